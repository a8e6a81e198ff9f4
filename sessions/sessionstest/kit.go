package sessionstest

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sessile-go/sessile/sessions"
)

// Kit is a Manager with a store in memory, a clock that stands still, and users that the
// test adds. Make it with [New].
type Kit struct {
	*sessions.Manager
	// Config is the Config of the Manager, for a test that makes another Manager on the same
	// store, as a second replica does.
	Config sessions.Config
	// Clock is its clock. At first it shows noon on 1 March 2026.
	Clock *Clock
	// Store keeps its sessions.
	Store *Store
	// Faults wraps Store and lets everything pass, unless the test sets its Before or After.
	// Calls of a [sessions.Joined] do not go through it.
	Faults *Faults

	mu     sync.Mutex
	users  map[string]answer
	events []sessions.Event
}

type answer struct {
	user sessions.User
	err  error
}

// New makes a Kit with the users "alice" and "bob". It applies the changes to the Config
// before it makes the Manager. If the Config is refused, t fails. The Config has a
// [sessions.Config.ProjectID], which adds claims and details for Stack Auth's clients.
// For the answers of a host without such clients, set Audience and clear ProjectID in a
// change.
func New(t testing.TB, change ...func(*sessions.Config)) *Kit {
	t.Helper()
	k := &Kit{
		Clock: NewClock(time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)),
		Store: NewStore(),
		users: map[string]answer{},
	}
	k.Store.Clock = k.Clock.Now
	k.Faults = &Faults{Store: k.Store}
	for _, id := range []string{"alice", "bob"} {
		k.SetUser(sessions.User{
			ID: id, Name: "Name of " + id, Email: id + "@example.com", EmailVerified: true,
			SignedUpAt: k.Clock.Now().Add(-time.Hour),
		}, nil)
	}
	secret := make([]byte, 32)
	for i := range secret {
		secret[i] = byte(i)
	}
	k.Config = sessions.Config{
		Store:     k.Faults,
		Users:     k.lookup,
		Secrets:   [][]byte{secret},
		Issuer:    "https://app.example/auth",
		ProjectID: "6fbd1f36-94bb-4f4b-9d13-1a8f3d1f1c0a",
		Now:       k.Clock.Now,
		Logger:    slog.New(slog.DiscardHandler),
		OnEvent: func(_ context.Context, e sessions.Event) {
			k.mu.Lock()
			defer k.mu.Unlock()
			k.events = append(k.events, e)
		},
	}
	for _, f := range change {
		f(&k.Config)
	}
	m, err := sessions.New(k.Config)
	if err != nil {
		t.Fatalf("sessionstest: New: %v", err)
	}
	k.Manager = m
	return k
}

// SetUser sets the answer to the lookup of the user u.ID: u, or err if it is not nil.
func (k *Kit) SetUser(u sessions.User, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.users[u.ID] = answer{u, err}
}

func (k *Kit) lookup(_ context.Context, id string) (sessions.User, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	a, ok := k.users[id]
	switch {
	case !ok:
		return sessions.User{}, sessions.ErrUserNotFound
	case a.err != nil:
		return sessions.User{}, a.err
	default:
		return a.user, nil
	}
}

// TakeEvents returns the events since the last call.
func (k *Kit) TakeEvents() []sessions.Event {
	k.mu.Lock()
	defer k.mu.Unlock()
	events := k.events
	k.events = nil
	return events
}

// SignIn signs a user in.
func (k *Kit) SignIn(t testing.TB, userID string) *SignedIn {
	t.Helper()
	return SignIn(t, k.Manager, userID)
}

// Impersonate creates a session in which actor acts as the user.
func (k *Kit) Impersonate(t testing.TB, actor, userID string) *SignedIn {
	t.Helper()
	return Impersonate(t, k.Manager, actor, userID)
}

// SignedIn is a session of a signed-in user.
type SignedIn struct {
	// Grant is the result of create.
	Grant sessions.Grant

	m *sessions.Manager
}

// SignIn signs a user in with any Manager, such as the host's own. If that is refused, t
// fails.
func SignIn(t testing.TB, m *sessions.Manager, userID string) *SignedIn {
	t.Helper()
	return signIn(t, m, sessions.CreateParams{UserID: userID})
}

// Impersonate is [SignIn] for a session in which actor acts as the user. It creates the
// session as a trusted caller does, so no policy is asked.
func Impersonate(t testing.TB, m *sessions.Manager, actor, userID string) *SignedIn {
	t.Helper()
	return signIn(t, m, sessions.CreateParams{UserID: userID, Impersonation: true, Actor: actor})
}

func signIn(t testing.TB, m *sessions.Manager, p sessions.CreateParams) *SignedIn {
	t.Helper()
	grant, err := m.Create(context.Background(), p)
	if err != nil {
		t.Fatalf("sessionstest: sign %q in: %v", p.UserID, err)
	}
	return &SignedIn{Grant: grant, m: m}
}

// Identity returns the identity that [sessions.FromContext] returns for a request of this
// session. A test of a handler needs no middleware with it:
//
//	r = r.WithContext(sessions.NewContext(r.Context(), alice.Identity(t)))
func (s *SignedIn) Identity(t testing.TB) sessions.Identity {
	t.Helper()
	id, err := s.m.Verify(s.Grant.AccessToken.Reveal())
	if err != nil {
		t.Fatalf("sessionstest: identity: %v", err)
	}
	return id
}

// Header returns the credentials of a client of the HTTP API: Authorization: Bearer.
func (s *SignedIn) Header() http.Header {
	return http.Header{"Authorization": {"Bearer " + s.Grant.AccessToken.Reveal()}}
}

// Client returns a client whose requests carry [SignedIn.Header], unless they have
// an Authorization of their own. It does not refresh.
func (s *SignedIn) Client() *http.Client {
	return &http.Client{Transport: bearer{s.Header()}}
}

type bearer struct{ header http.Header }

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Header.Get("Authorization") == "" {
		r = r.Clone(r.Context()) // a RoundTripper must not change its request
		for name, values := range b.header {
			r.Header[name] = slices.Clone(values)
		}
	}
	return http.DefaultTransport.RoundTrip(r)
}

// Cookies returns the cookies of a browser in cookie mode. Add them to a request with
// [http.Request.AddCookie]. If [sessions.Config].Cookies is not enabled, t fails.
func (s *SignedIn) Cookies(t testing.TB) []*http.Cookie {
	t.Helper()
	w := headers{}
	if err := s.m.SetCookies(w, s.Grant); err != nil {
		t.Fatalf("sessionstest: cookies: %v", err)
	}
	answer := http.Response{Header: http.Header(w)}
	return slices.DeleteFunc(answer.Cookies(), func(c *http.Cookie) bool { return c.MaxAge < 0 })
}

// headers is a ResponseWriter that keeps the headers and drops the rest.
type headers http.Header

func (h headers) Header() http.Header       { return http.Header(h) }
func (headers) Write(b []byte) (int, error) { return len(b), nil }
func (headers) WriteHeader(int)             {}
