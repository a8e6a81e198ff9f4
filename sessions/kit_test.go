package sessions_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

var start = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

// kit is a Manager over a store in memory, with a clock that stands still.
type kit struct {
	*sessions.Manager
	store  *sessionstest.Store
	clock  *sessionstest.Clock
	config sessions.Config

	mu     sync.Mutex
	users  map[string]error // what the host's lookup answers; absent is unknown
	events []sessions.Event
}

func secret(first byte) []byte {
	s := make([]byte, 32)
	for i := range s {
		s[i] = first + byte(i)
	}
	return s
}

func newKit(t testing.TB, change ...func(*sessions.Config)) *kit {
	t.Helper()
	k := &kit{
		store: sessionstest.NewStore(),
		clock: sessionstest.NewClock(start),
		users: map[string]error{"alice": nil, "bob": nil, "carol": sessions.ErrUserDisabled},
	}
	k.store.Clock = k.clock.Now
	k.config = sessions.Config{
		Store:     k.store,
		Users:     k.lookup,
		Secrets:   [][]byte{secret(0)},
		Issuer:    "https://app.example/auth",
		ProjectID: "6fbd1f36-94bb-4f4b-9d13-1a8f3d1f1c0a",
		Now:       k.clock.Now,
		OnEvent: func(_ context.Context, e sessions.Event) {
			k.mu.Lock()
			defer k.mu.Unlock()
			k.events = append(k.events, e)
		},
	}
	for _, f := range change {
		f(&k.config)
	}
	m, err := sessions.New(k.config)
	if err != nil {
		t.Fatal(err)
	}
	k.Manager = m
	return k
}

func (k *kit) lookup(_ context.Context, id string) (sessions.User, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	err, known := k.users[id]
	if !known {
		err = sessions.ErrUserNotFound
	}
	if err != nil {
		return sessions.User{}, err
	}
	return sessions.User{ID: id, Name: "Name of " + id, Email: id + "@example.com", EmailVerified: true, SignedUpAt: start.Add(-time.Hour)}, nil
}

func (k *kit) setUser(id string, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.users[id] = err
}

func (k *kit) takeEvents() []sessions.EventType {
	k.mu.Lock()
	defer k.mu.Unlock()
	var types []sessions.EventType
	for _, e := range k.events {
		types = append(types, e.Type)
	}
	k.events = nil
	return types
}

func (k *kit) create(t testing.TB, p sessions.CreateParams) sessions.Grant {
	t.Helper()
	if p.UserID == "" {
		p.UserID = "alice"
	}
	g, err := k.Create(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func (k *kit) refresh(t testing.TB, token sessions.Token) sessions.Grant {
	t.Helper()
	g, err := k.Refresh(t.Context(), token.Reveal(), sessions.Client{})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func (k *kit) refuse(t *testing.T, token sessions.Token, want error) {
	t.Helper()
	g, err := k.Refresh(t.Context(), token.Reveal(), sessions.Client{})
	if !errors.Is(err, want) {
		t.Fatalf("refresh: got error %v, want %v", err, want)
	}
	if g != (sessions.Grant{}) {
		t.Fatalf("refresh returned %v beside its error", g)
	}
}

func (k *kit) session(t *testing.T, id string) sessions.Session {
	t.Helper()
	s, err := k.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func equalTypes(t *testing.T, got []sessions.EventType, want ...sessions.EventType) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("events %v, want %v", got, want)
	}
}
