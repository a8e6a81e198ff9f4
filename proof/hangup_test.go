package proof_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/store"
)

var hangUps = flag.Int("proof.hangups", 100, "how many clients hang up during each kind of request")

// hangUpLongest is until when after its request a client hangs up: a commit takes
// about as long.
const hangUpLongest = 400 * time.Microsecond

// A client that hangs up while its request is carried out changes nothing: a session
// that has ended has its event, and its access token is not taken by the process that
// ended it. Otherwise a thief could replay a token without an alarm.
func TestNoSessionEndsUnheardWhenItsClientHangsUp(t *testing.T) {
	t.Parallel()
	for _, s := range openStores[1:] { // in memory nothing takes time
		for _, audited := range []bool{false, true} {
			name := s.name
			if audited {
				name += " with an audit log"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				h := newHangUp(t, s.open(t), audited)
				for _, request := range []struct {
					name  string
					write func(t *testing.T, g sessions.Grant) string
				}{
					{"replay", h.replay}, {"end", h.end}, {"sign-out", h.signOut},
				} {
					ended, unheard, taken := 0, 0, 0
					for range *hangUps {
						g := h.signIn(t)
						h.hangUpDuring(t, request.write(t, g))
						switch heard, over := h.look(t, g); {
						case !over:
							continue
						case !heard:
							unheard++
						}
						ended++
						if _, err := h.Verify(g.AccessToken.Reveal()); err == nil {
							taken++
						}
					}
					t.Logf("%s: of %d requests %d have ended the session, %d without an event; of %d the token is "+
						"taken", request.name, *hangUps, ended, unheard, taken)
					if unheard+taken > 0 {
						t.Errorf("%s: %d unheard, %d taken", request.name, unheard, taken)
					}
				}
			})
		}
	}
}

// hangUp is a server whose clients hang up.
type hangUp struct {
	*sessions.Manager
	store   *store.Store
	audited bool
	address string
	closed  chan string // the address of a client whose request is over
	key     string
	users   int

	mu    sync.Mutex
	heard map[string]bool // by session: its end
}

func newHangUp(t *testing.T, p *place, audited bool) *hangUp {
	t.Helper()
	h := &hangUp{audited: audited, closed: make(chan string, 1), heard: map[string]bool{}}
	var err error
	if h.store, err = store.New(p.handle(t).db, store.Config{AuditLog: audited}); err != nil {
		t.Fatal(err)
	}
	if err := h.store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.key, err = sessions.NewServerKey(sessions.AccessServer)
	if err != nil {
		t.Fatal(err)
	}
	key, err := sessions.HashServerKey("backend", h.key)
	if err != nil {
		t.Fatal(err)
	}
	h.Manager, err = sessions.New(sessions.Config{
		Store:      h.store,
		Users:      func(_ context.Context, id string) (sessions.User, error) { return sessions.User{ID: id}, nil },
		Secrets:    [][]byte{[]byte("the secret of the clients who hang up")},
		Issuer:     "https://app.example",
		ProjectID:  "app",
		ServerKeys: []sessions.ServerKey{key},
		OnEvent: func(_ context.Context, e sessions.Event) {
			h.mu.Lock()
			defer h.mu.Unlock()
			if !e.Session.EndedAt.IsZero() {
				h.heard[e.Session.ID] = true
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.address = listener.Addr().String()
	server := &http.Server{
		Handler: sessions.NewHandler(h.Manager), ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0),
		ConnState: func(c net.Conn, state http.ConnState) {
			if state == http.StateClosed {
				h.closed <- c.RemoteAddr().String()
			}
		},
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		if err := errors.Join(server.Close(), <-served); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return h
}

// signIn makes a session of a user who has no other. The audit log is of impersonations.
func (h *hangUp) signIn(t *testing.T) sessions.Grant {
	t.Helper()
	h.users++
	p := sessions.CreateParams{UserID: fmt.Sprintf("user-%d", h.users)}
	if h.audited {
		p.Impersonation, p.Actor = true, "root"
	}
	g, err := h.Create(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func (h *hangUp) replay(t *testing.T, g sessions.Grant) string {
	t.Helper()
	last := g
	for range 2 {
		var err error
		if last, err = h.Refresh(t.Context(), last.RefreshToken.Reveal(), sessions.Client{}); err != nil {
			t.Fatal(err)
		}
	}
	return "POST /auth/sessions/current/refresh HTTP/1.1\r\nX-Stack-Refresh-Token: " + g.RefreshToken.Reveal()
}

func (h *hangUp) end(_ *testing.T, g sessions.Grant) string {
	return "DELETE /auth/sessions/" + g.Session.ID + " HTTP/1.1\r\nAuthorization: Bearer " + h.key
}

func (h *hangUp) signOut(_ *testing.T, g sessions.Grant) string {
	return "DELETE /auth/sessions/current HTTP/1.1\r\nAuthorization: Bearer " + g.AccessToken.Reveal()
}

// hangUpDuring sends a request, hangs up, and waits until the server has done with it.
func (h *hangUp) hangUpDuring(t *testing.T, request string) {
	t.Helper()
	conn, err := net.Dial("tcp", h.address)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, request+"\r\nHost: app.example\r\nContent-Length: 0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-time.After(rand.N(hangUpLongest)) // the fault itself, and nothing that a test waits for
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case of := <-h.closed:
		if of != conn.LocalAddr().String() {
			t.Fatalf("the connection of %s has ended, not that of %s", of, conn.LocalAddr())
		}
	case <-time.After(time.Minute):
		t.Fatal("the server does not notice that the client is gone")
	}
}

// look reports whether a session has ended, and whether there was an event of it and, with an
// audit log, an entry.
func (h *hangUp) look(t *testing.T, g sessions.Grant) (heard, over bool) {
	t.Helper()
	s, err := h.store.Get(t.Context(), g.Session.ID)
	if err != nil {
		t.Fatal(err)
	}
	h.mu.Lock()
	heard = h.heard[s.ID]
	h.mu.Unlock()
	over = !s.EndedAt.IsZero()
	if over && h.audited {
		entries, err := h.store.Audit(t.Context(), store.AuditQuery{UserID: s.UserID, Limit: 1})
		if err != nil {
			t.Fatal(err)
		}
		heard = heard && len(entries) == 1 && entries[0].EndReason == s.EndReason
	}
	return heard, over
}
