package proof_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sessile-go/sessile/internal/pgtest"
	"github.com/sessile-go/sessile/middleware"
	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/store"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// replicaOf, in the environment, makes this program a replica on that database.
const replicaOf = "SESSILE_TEST_REPLICA_OF"

// dials are the settings of the revocation dial by the path of their route.
var dials = []struct {
	path string
	dial sessions.Revocation
}{{"/stateless", sessions.Stateless}, {"/bounded", sessions.Bounded}, {"/strict", sessions.Strict}}

// shortLife keeps a stateless route from being waited for. Everything else about
// time has its default.
const shortLife = 3 * time.Second

func denyConfig(st sessions.Store) sessions.Config {
	return sessions.Config{
		Store:          st,
		Users:          func(_ context.Context, id string) (sessions.User, error) { return sessions.User{ID: id}, nil },
		Secrets:        [][]byte{bytes.Repeat([]byte("deny"), 8)},
		Issuer:         "https://app.example",
		Audience:       "app",
		AccessTokenTTL: shortLife,
	}
}

// replica serves one route for each setting of the dial, and /events, which is open
// for as long as the session lives. It says where on standard output, and is done
// when its standard input is closed, by the death of its parent too.
func replica(dsn string) error {
	db, err := gorm.Open(postgres.Open(dsn), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		return err
	}
	st, err := store.New(db, store.Config{})
	if err != nil {
		return err
	}
	config := denyConfig(st)
	config.AccessTokenTTL = 10 * time.Minute // what is verified says when it expires
	manager, err := sessions.New(config)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go manager.WatchRevocations(ctx)

	mux := http.NewServeMux()
	ok := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	for _, d := range dials {
		mux.Handle("GET "+d.path, middleware.Config{Manager: manager, Revocation: d.dial}.Require(ok))
	}
	mux.Handle("GET /events",
		middleware.Require(manager)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			id, _ := sessions.FromContext(r.Context())
			watched, cancel := manager.Watch(r.Context(), id)
			defer cancel()
			_ = http.NewResponseController(w).Flush()
			<-watched.Done()
		})))
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strconv.FormatBool(manager.Health().FeedCurrent))
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = server.Close()
	}()
	fmt.Fprintln(os.Stdout, "http://"+listener.Addr().String())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// twoProcesses is a Manager here, and a replica of it in another process.
type twoProcesses struct {
	*sessions.Manager
	replica string
}

func startReplica(t testing.TB) *twoProcesses {
	t.Helper()
	dsn := pgtest.DSN(t)
	place := migratedPlace(t, func() gorm.Dialector { return postgres.Open(dsn) })
	manager, err := sessions.New(denyConfig(place.handle(t)))
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), replicaOf+"="+dsn)
	cmd.Stderr = os.Stderr
	in, errIn := cmd.StdinPipe()
	out, errOut := cmd.StdoutPipe()
	if err := errors.Join(errIn, errOut, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(in.Close(), cmd.Wait()); err != nil {
			t.Errorf("the replica: %v", err)
		}
	})
	p := &twoProcesses{Manager: manager}
	if _, err := fmt.Fscanln(out, &p.replica); err != nil {
		t.Fatalf("the replica does not say where it is: %v", err)
	}
	p.eventually(t, "the feed of the replica is current", func() bool { return p.get(t, "/health", "") == "true" })
	return p
}

// get returns the body of a 200, or else the status.
func (p *twoProcesses) get(t testing.TB, path, token string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.replica+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != http.StatusOK {
		return response.Status
	}
	return string(body)
}

const denied = "401 Unauthorized"

// eventually asks again and again, for much longer than it can take.
func (p *twoProcesses) eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	pause := time.NewTicker(2 * time.Millisecond)
	defer pause.Stop()
	limit := time.NewTimer(time.Minute)
	defer limit.Stop()
	for !is() {
		select {
		case <-pause.C:
		case <-limit.C:
			t.Fatalf("not after a minute: %s", what)
		}
	}
}

func (p *twoProcesses) signIn(t testing.TB) sessions.Grant {
	t.Helper()
	grant, err := p.Create(t.Context(), sessions.CreateParams{UserID: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	return grant
}

func (p *twoProcesses) end(t testing.TB, g sessions.Grant) {
	t.Helper()
	if _, err := p.End(t.Context(), sessions.EndParams{
		ID: g.Session.ID, Reason: sessions.EndSignedOut, By: "alice",
	}); err != nil {
		t.Fatal(err)
	}
}

// A session that one process ends is denied by another: at once on strict routes, soon on
// bounded ones, and its streams are closed.
func TestWhatOneProcessEndsAnotherDenies(t *testing.T) {
	t.Parallel()
	p := startReplica(t)
	for _, d := range dials {
		t.Run(strings.TrimPrefix(d.path, "/"), func(t *testing.T) {
			t.Parallel()
			g := p.signIn(t)
			token := g.AccessToken.Reveal()
			if got := p.get(t, d.path, token); got != "" {
				t.Fatalf("before the end: %s", got)
			}
			p.end(t, g)
			if d.dial == sessions.Strict {
				if got := p.get(t, d.path, token); got != denied {
					t.Errorf("right after the end: %q", got)
				}
				return
			}
			p.eventually(t, "denied", func() bool { return p.get(t, d.path, token) == denied })
		})
	}
	t.Run("stream", func(t *testing.T) {
		t.Parallel()
		g := p.signIn(t)
		closed := make(chan string)
		go func() { closed <- p.get(t, "/events", g.AccessToken.Reveal()) }()
		p.end(t, g)
		if got := <-closed; got != "" && got != denied { // it may have come too late
			t.Errorf("the stream ended with %q", got)
		}
	})
}

// BenchmarkTimeToDeny measures, from the commit of an end in one process, how long
// another one goes on accepting the session's access token, by setting of the dial,
// and keeps a stream of it open. On a stateless route that is what the token has
// left of its life, here of 3 s.
//
//	go -C proof test . -run '^$' -bench TimeToDeny -benchtime 30x
func BenchmarkTimeToDeny(b *testing.B) {
	p := startReplica(b)
	for _, d := range dials {
		b.Run(strings.TrimPrefix(d.path, "/"), func(b *testing.B) {
			measure(b, p, func(token string) {
				p.eventually(b, "denied", func() bool { return p.get(b, d.path, token) == denied })
			})
		})
	}
	b.Run("stream", func(b *testing.B) {
		measure(b, p, func(token string) {
			if got := p.get(b, "/events", token); got != "" && got != denied {
				b.Errorf("the stream ended with %q", got)
			}
		})
	})
}

func measure(b *testing.B, p *twoProcesses, untilDenied func(token string)) {
	b.Helper()
	var took []time.Duration
	for range b.N {
		g := p.signIn(b)
		done := make(chan time.Time)
		started := make(chan struct{})
		go func() {
			close(started)
			untilDenied(g.AccessToken.Reveal())
			done <- time.Now()
		}()
		<-started
		<-time.After(rand.N(time.Second)) // anywhere between two polls
		p.end(b, g)
		from := time.Now()
		took = append(took, (<-done).Sub(from))
	}
	slices.Sort(took)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(took[len(took)/2].Milliseconds()), "ms-median")
	b.ReportMetric(float64(took[len(took)-1].Milliseconds()), "ms-max")
}
