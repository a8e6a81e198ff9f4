package sessions_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

var start = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

// kit is one of sessionstest with a third user, carol, who is disabled, and shorthands.
type kit struct {
	*sessions.Manager // which may be another replica's
	*sessionstest.Kit
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
	k := sessionstest.New(t, change...)
	k.SetUser(sessions.User{ID: "carol"}, sessions.ErrUserDisabled)
	return &kit{k.Manager, k}
}

func (k *kit) setUser(id string, err error) { k.SetUser(sessions.User{ID: id}, err) }

func (k *kit) takeEvents() []sessions.EventType {
	var types []sessions.EventType
	for _, e := range k.TakeEvents() {
		types = append(types, e.Type)
	}
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

func mustNew(t *testing.T, c sessions.Config) *sessions.Manager {
	t.Helper()
	m, err := sessions.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

var errAway = errors.New("the database is away")
