package sessions_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/sessile-go/sessile/sessions"
)

// support is a kit in which support may act as everybody but root. What the host's
// lookup answers is the test's to spoil.
type support struct {
	*kit
	mu     sync.Mutex
	answer func(id string) sessions.User
	seen   map[string]bool // the ids of the users that the hooks were given
}

func newSupport(t testing.TB) *support {
	t.Helper()
	s := &support{seen: map[string]bool{}}
	saw := func(user sessions.User) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.seen[user.ID] = true
	}
	s.kit = newKit(t, func(c *sessions.Config) {
		c.Users = func(_ context.Context, id string) (sessions.User, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.answer(id), nil
		}
		c.MayImpersonate = func(_ context.Context, actor sessions.Identity, target sessions.User) error {
			saw(target)
			if actor.UserID != "support" || target.ID == "root" { // the shape of policy that an empty id slips through
				return sessions.ErrImpersonationNotAllowed
			}
			return nil
		}
		c.Claims = func(_ context.Context, _ sessions.Session, user sessions.User) (map[string]any, error) {
			saw(user)
			return nil, nil
		}
	})
	s.answers(rightly)
	return s
}

func rightly(id string) sessions.User { return sessions.User{ID: id, Name: "Name of " + id} }

func (s *support) answers(answer func(id string) sessions.User) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

func (s *support) sawOnly(t *testing.T, name string, want ...string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	slices.Sort(want)
	if seen := slices.Sorted(maps.Keys(s.seen)); !slices.Equal(seen, want) {
		t.Errorf("%s: hooks saw the users %q, want %q", name, seen, want)
	}
	clear(s.seen)
}

func (s *support) identity(t *testing.T, g sessions.Grant) sessions.Identity {
	t.Helper()
	id, err := s.Verify(g.AccessToken.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestAUserWithoutAnIDReachesNoHook(t *testing.T) {
	t.Parallel()
	s := newSupport(t)
	own := s.create(t, sessions.CreateParams{UserID: "support"})
	caller := s.identity(t, own)
	acting, err := s.Manager.Impersonate(t.Context(), caller, sessions.CreateParams{UserID: "bob"})
	if err != nil {
		t.Fatal(err)
	}
	handoff := s.create(t, sessions.CreateParams{UserID: "bob", Handoff: true})
	s.sawOnly(t, "as it should be", "support", "bob")

	if _, err := s.Manager.Impersonate(t.Context(), caller, sessions.CreateParams{UserID: "root"}); !errors.Is(err,
		sessions.ErrImpersonationNotAllowed) {
		t.Errorf("support as root: %v", err)
	}
	s.sawOnly(t, "support as root", "root")

	s.answers(func(id string) sessions.User { return sessions.User{Name: "Name of " + id} })
	s.takeEvents()
	for name, call := range map[string]func() (sessions.Grant, error){
		"sign-in": func() (sessions.Grant, error) {
			return s.Create(t.Context(), sessions.CreateParams{UserID: "root"})
		},
		"by a key": func() (sessions.Grant, error) {
			return s.Create(t.Context(), sessions.CreateParams{UserID: "root", Impersonation: true, By: "key"})
		},
		"support as root": func() (sessions.Grant, error) {
			return s.Manager.Impersonate(t.Context(), caller, sessions.CreateParams{UserID: "root"})
		},
		"refresh": func() (sessions.Grant, error) {
			return s.Refresh(t.Context(), own.RefreshToken.Reveal(), sessions.Client{})
		},
		"refresh of an impersonation": func() (sessions.Grant, error) {
			return s.Refresh(t.Context(), acting.RefreshToken.Reveal(), sessions.Client{})
		},
		"redeem": func() (sessions.Grant, error) {
			return s.Redeem(t.Context(), handoff.Handoff.Reveal(), sessions.Client{})
		},
	} {
		if g, err := call(); !errors.Is(err, sessions.ErrUnavailable) || g != (sessions.Grant{}) {
			t.Errorf("%s: %v, %v; want ErrUnavailable", name, g, err)
		}
		s.sawOnly(t, name)
	}
	for _, user := range []string{"root", "support", "bob"} {
		list, err := s.List(t.Context(), user, sessions.ListOptions{Impersonations: true})
		if want := map[string]int{"support": 1, "bob": 2}[user]; err != nil || len(list.Sessions) != want {
			t.Errorf("%s has %d sessions, %v; want %d", user, len(list.Sessions), err, want)
		}
	}
	s.answers(rightly)
	s.refresh(t, own.RefreshToken)
	s.refresh(t, acting.RefreshToken)
}

func TestAHostThatSpellsIDsAnotherWayEndsNoSession(t *testing.T) {
	t.Parallel()
	s := newSupport(t)
	own := s.create(t, sessions.CreateParams{UserID: "bob"})
	acting, err := s.Manager.Impersonate(t.Context(),
		s.identity(t, s.create(t, sessions.CreateParams{UserID: "support"})), sessions.CreateParams{UserID: "bob"})
	if err != nil {
		t.Fatal(err)
	}
	handoff := s.create(t, sessions.CreateParams{UserID: "bob", Handoff: true})
	respelled := func(which, as string) func(string) sessions.User {
		return func(id string) sessions.User {
			if id == which {
				id = as
			}
			return rightly(id)
		}
	}
	refused := func(name string, token sessions.Token) {
		t.Helper()
		clear(s.seen)
		if _, err := s.Refresh(t.Context(), token.Reveal(), sessions.Client{}); !errors.Is(err,
			sessions.ErrUnavailable) || errors.Is(err, sessions.ErrUserNotFound) {
			t.Errorf("%s: %v, want ErrUnavailable", name, err)
		}
		s.sawOnly(t, name)
	}
	for _, as := range []string{"Bob", "BOB", "bob ", "root"} {
		s.answers(respelled("bob", as))
		refused("refresh of bob, whom the host calls "+as, own.RefreshToken)
		refused("refresh of an impersonation of bob, whom the host calls "+as, acting.RefreshToken)
		if _, err := s.Create(t.Context(), sessions.CreateParams{UserID: "bob"}); !errors.Is(err,
			sessions.ErrUserNotFound) || errors.Is(err, sessions.ErrUnavailable) {
			t.Errorf("create of bob, whom the host calls %q: %v, want ErrUserNotFound", as, err)
		}
	}
	if _, err := s.Redeem(t.Context(), handoff.Handoff.Reveal(), sessions.Client{}); !errors.Is(err,
		sessions.ErrUnavailable) {
		t.Errorf("redeem: %v, want ErrUnavailable", err)
	}
	s.answers(respelled("support", "Support"))
	refused("refresh of an impersonation whose actor the host spells otherwise", acting.RefreshToken)
	for _, g := range []sessions.Grant{own, acting, handoff} {
		if kept := s.session(t, g.Session.ID); !kept.EndedAt.IsZero() {
			t.Errorf("ended for %q", kept.EndReason)
		}
	}
	s.answers(rightly)
	s.refresh(t, own.RefreshToken)
	s.refresh(t, acting.RefreshToken)
}
