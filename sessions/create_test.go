package sessions_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

func TestCreate(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	g := k.create(t, sessions.CreateParams{
		UserID: "alice", TTL: time.Hour, AuthTime: start.Add(-time.Minute), By: "backend", Reason: "login",
		Client: sessions.Client{IP: "192.0.2.1", UserAgent: "curl\x00/8 " + strings.Repeat("é", 200)},
	})
	want := sessions.Session{
		ID: g.Session.ID, UserID: "alice", CreatedAt: start, LastUsedAt: start, ExpiresAt: start.Add(time.Hour),
		AuthTime:  start.Add(-time.Minute),
		CreatedBy: "backend", Reason: "login",
		Client: sessions.Client{IP: "192.0.2.1", UserAgent: "curl/8 " + strings.Repeat("é", 124)},
	}
	if g.Session != want {
		t.Errorf("got  %+v\nwant %+v", g.Session, want)
	}
	if got := k.session(t, g.Session.ID); got != want {
		t.Errorf("stored %+v\nwant   %+v", got, want)
	}
	equalTypes(t, k.takeEvents(), sessions.EventCreated)

	imp := k.create(t, sessions.CreateParams{UserID: "bob", Impersonation: true, By: "support"}).Session
	if imp.Actor != "support" || !imp.AuthTime.IsZero() || imp.ExpiresAt != start.Add(time.Hour) {
		t.Errorf("impersonation %+v", imp)
	}
}

func TestNoClientInfoIsRecordedAnywhere(t *testing.T) {
	t.Parallel()
	k := newKit(t, func(c *sessions.Config) { c.NoClientInfo = true })
	client := sessions.Client{IP: "192.0.2.1", UserAgent: "Browser/1.0"}
	g := k.create(t, sessions.CreateParams{Client: client})
	if _, err := k.Refresh(t.Context(), g.RefreshToken.Reveal(), client); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Create(t.Context(), sessions.CreateParams{
		UserID: "nobody", Impersonation: true, By: "support", Client: client,
	}); err == nil {
		t.Fatal("an unknown user was impersonated")
	}
	if s := k.session(t, g.Session.ID); s.Client != (sessions.Client{}) {
		t.Errorf("on the row: %+v", s.Client)
	}
	events := k.TakeEvents()
	if len(events) != 3 {
		t.Errorf("%d events, want 3", len(events))
	}
	for _, e := range events {
		if e.Client != (sessions.Client{}) || e.Session.Client != (sessions.Client{}) {
			t.Errorf("event %s: %+v, %+v", e.Type, e.Client, e.Session.Client)
		}
	}
}

func TestCreateRefuses(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.setUser("broken", errors.New("connection refused"))
	long := strings.Repeat("x", 256)
	for _, c := range []struct {
		name string
		p    sessions.CreateParams
		want error
	}{
		{"no user", sessions.CreateParams{}, sessions.ErrInvalidParams},
		{"a user id of 256 bytes", sessions.CreateParams{UserID: long}, sessions.ErrInvalidParams},
		{"a user id with a control character", sessions.CreateParams{UserID: "a\x00b"}, sessions.ErrInvalidParams},
		{"a user id that is not UTF-8", sessions.CreateParams{UserID: "\xff"}, sessions.ErrInvalidParams},
		{"an unknown user", sessions.CreateParams{UserID: "mallory"}, sessions.ErrUserNotFound},
		{"a user by another case", sessions.CreateParams{UserID: "Alice"}, sessions.ErrUserNotFound},
		{"a disabled user", sessions.CreateParams{UserID: "carol"}, sessions.ErrUserDisabled},
		{"a lookup that fails", sessions.CreateParams{UserID: "broken"}, sessions.ErrUnavailable},
		{"a negative life", sessions.CreateParams{UserID: "alice", TTL: -1}, sessions.ErrInvalidParams},
		{"a life above the ceiling", sessions.CreateParams{UserID: "alice", TTL: 367*24*time.Hour + 1},
			sessions.ErrInvalidParams},
		{"an impersonation above its ceiling", sessions.CreateParams{
			UserID: "alice", TTL: 25 * time.Hour, Impersonation: true, By: "x",
		}, sessions.ErrInvalidParams},
		{"an impersonation below 30 s", sessions.CreateParams{
			UserID: "alice", TTL: 29 * time.Second, Impersonation: true, By: "x",
		}, sessions.ErrInvalidParams},
		{"an impersonation by nobody", sessions.CreateParams{UserID: "alice", Impersonation: true},
			sessions.ErrInvalidParams},
		{"an impersonation that was authenticated", sessions.CreateParams{
			UserID: "alice", Impersonation: true, By: "x", AuthTime: start,
		}, sessions.ErrInvalidParams},
		{"an actor without impersonation", sessions.CreateParams{UserID: "alice", Actor: "root"},
			sessions.ErrInvalidParams},
		{"an actor with a line break", sessions.CreateParams{UserID: "alice", Impersonation: true, Actor: "a\nb"},
			sessions.ErrInvalidParams},
		{"a reason of 501 bytes", sessions.CreateParams{UserID: "alice", Reason: strings.Repeat("x", 501)},
			sessions.ErrInvalidParams},
		{"an authentication to come", sessions.CreateParams{UserID: "alice", AuthTime: start.Add(2 * time.Minute)},
			sessions.ErrInvalidParams},
	} {
		g, err := k.Create(t.Context(), c.p)
		if !errors.Is(err, c.want) || g != (sessions.Grant{}) {
			t.Errorf("%s: %v, %v; want %v", c.name, g, err, c.want)
		}
	}
	for _, user := range []string{"alice", "bob", "carol", "broken"} {
		if list, err := k.List(t.Context(), user, sessions.ListOptions{Impersonations: true}); err != nil ||
			len(list.Sessions) > 0 {
			t.Errorf("%s has sessions: %v, %v", user, list, err)
		}
	}
	for _, e := range k.takeEvents() {
		if e != sessions.EventImpersonationRefused { // TestImpersonationIsRefused counts those
			t.Errorf("event %s", e)
		}
	}
}

func TestAFailingStoreLeavesNoGrant(t *testing.T) {
	t.Parallel()
	broken := errors.New("disk full")
	k := newKit(t)
	k.Config.Store = &sessionstest.Faults{
		Store: k.Store, Before: sessionstest.FailAt(sessionstest.MethodCreate, 1, broken),
	}
	m := mustNew(t, k.Config)
	g, err := m.Create(t.Context(), sessions.CreateParams{UserID: "alice"})
	if !errors.Is(err, sessions.ErrUnavailable) || !errors.Is(err, broken) || g != (sessions.Grant{}) {
		t.Errorf("got %v, %v", g, err)
	}
}

func TestARequiredReasonCanBeSeen(t *testing.T) {
	t.Parallel()
	k := newKit(t, func(c *sessions.Config) { c.Impersonation.RequireReason = true })
	for _, reason := range []string{
		"", " ", "\u3000", "\u00a0 \u2003", "\u200d", "\u0301", "\u3164", "\u115f\u1160", "\u2800", "\ufe0f", "\u034f",
	} {
		if _, err := k.Create(t.Context(), sessions.CreateParams{
			UserID: "alice", Impersonation: true, By: "key", Reason: reason,
		}); !errors.Is(err, sessions.ErrInvalidParams) {
			t.Errorf("reason %q: %v, want ErrInvalidParams", reason, err)
		}
		// Nobody asks for the reason of a sign-in.
		if _, err := k.Create(t.Context(), sessions.CreateParams{UserID: "alice", Reason: reason}); err != nil {
			t.Errorf("reason %q of a sign-in: %v", reason, err)
		}
	}
	for _, reason := range []string{"x", " 4711 ", "?", "漢", "€", "👍", "ॐ"} {
		if _, err := k.Create(t.Context(), sessions.CreateParams{
			UserID: "alice", Impersonation: true, By: "key", Reason: reason,
		}); err != nil {
			t.Errorf("reason %q: %v", reason, err)
		}
	}
}

func TestAnAuthenticationBefore1970IsRefused(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	for _, at := range []time.Time{
		time.Unix(0, 0), time.Unix(0, 999), time.Unix(-1, 0), time.Date(1969, 7, 20, 0, 0, 0, 0, time.UTC),
		time.Date(1, 1, 1, 0, 0, 1, 0, time.UTC),
	} {
		if _, err := k.Create(t.Context(), sessions.CreateParams{UserID: "alice", AuthTime: at}); !errors.Is(err,
			sessions.ErrInvalidParams) {
			t.Errorf("%v: %v, want ErrInvalidParams", at, err)
		}
	}
	for _, at := range []time.Time{{}, time.Unix(1, 0), start} {
		if _, err := k.Verify(k.create(t, sessions.CreateParams{AuthTime: at}).AccessToken.Reveal()); err != nil {
			t.Errorf("%v: %v", at, err)
		}
	}
}
