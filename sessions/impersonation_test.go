package sessions_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sessile-go/sessile/sessions"
)

// governed is a kit in which alice, an administrator, may impersonate everybody but
// other administrators.
type governed struct {
	*kit
	policy struct {
		sync.Mutex
		admins map[string]bool
		err    error
	}
}

func newGoverned(t testing.TB, change ...func(*sessions.Config)) *governed {
	t.Helper()
	g := &governed{}
	g.policy.admins = map[string]bool{"alice": true, "root": true}
	g.kit = newKit(t, append([]func(*sessions.Config){func(c *sessions.Config) {
		c.MayImpersonate = func(_ context.Context, actor sessions.Identity, target sessions.User) error {
			g.policy.Lock()
			defer g.policy.Unlock()
			switch {
			case g.policy.err != nil:
				return g.policy.err
			case !g.policy.admins[actor.UserID], g.policy.admins[target.ID]:
				return sessions.ErrImpersonationNotAllowed
			default:
				return nil
			}
		}
	}}, change...)...)
	g.setUser("root", nil)
	return g
}

func (g *governed) setPolicy(f func(admins map[string]bool) error) {
	g.policy.Lock()
	defer g.policy.Unlock()
	g.policy.err = f(g.policy.admins)
}

// signIn returns the identity of a new session of a user.
func (g *governed) signIn(t testing.TB, user string) (sessions.Identity, sessions.Grant) {
	t.Helper()
	grant := g.create(t, sessions.CreateParams{UserID: user})
	id, err := g.Verify(grant.AccessToken.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	return id, grant
}

func (g *governed) impersonate(t testing.TB, caller sessions.Identity, p sessions.CreateParams) sessions.Grant {
	t.Helper()
	if p.UserID == "" {
		p.UserID = "bob"
	}
	grant, err := g.Manager.Impersonate(t.Context(), caller, p)
	if err != nil {
		t.Fatal(err)
	}
	return grant
}

func TestImpersonate(t *testing.T) {
	t.Parallel()
	g := newGoverned(t)
	alice, _ := g.signIn(t, "alice")
	g.takeEvents()
	grant := g.impersonate(t, alice, sessions.CreateParams{Reason: "ticket 1", Actor: "mallory", By: "mallory"})
	s := grant.Session
	if !s.Impersonation || s.UserID != "bob" || s.Actor != "alice" || s.ParentSessionID != alice.SessionID ||
		s.Reason != "ticket 1" ||
		s.CreatedBy != "alice" || !s.AuthTime.IsZero() || s.ExpiresAt != start.Add(time.Hour) {
		t.Errorf("session %+v", s)
	}
	id, err := g.Verify(grant.AccessToken.Reveal())
	if err != nil || !id.Impersonation || id.Actor != "alice" || id.UserID != "bob" || !id.AuthTime.IsZero() {
		t.Errorf("identity %+v, %v", id, err)
	}
	if _, err := g.Check(t.Context(), id); err != nil {
		t.Errorf("check: %v", err)
	}
	equalTypes(t, g.takeEvents(), sessions.EventCreated)
}

func TestImpersonationNeverOutlivesTheActorsSession(t *testing.T) {
	t.Parallel()
	g := newGoverned(t)
	grant := g.create(t, sessions.CreateParams{UserID: "alice", TTL: 20 * time.Minute})
	alice, err := g.Verify(grant.AccessToken.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	if s := g.impersonate(t, alice, sessions.CreateParams{
		TTL: time.Hour,
	}).Session; s.ExpiresAt != start.Add(20*time.Minute) {
		t.Errorf("expires at %v, its parent at %v", s.ExpiresAt, start.Add(20*time.Minute))
	}
}

func TestImpersonationIsRefused(t *testing.T) {
	t.Parallel()
	g := newGoverned(t, func(c *sessions.Config) { c.Impersonation.RequireReason = true })
	alice, _ := g.signIn(t, "alice")
	bob, _ := g.signIn(t, "bob")
	imp, err := g.Verify(g.impersonate(t, alice, sessions.CreateParams{Reason: "x"}).AccessToken.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	ended, grant := g.signIn(t, "alice")
	if _, err := g.End(t.Context(), sessions.EndParams{ID: grant.Session.ID}); err != nil {
		t.Fatal(err)
	}
	g.takeEvents()
	for _, c := range []struct {
		name    string
		caller  sessions.Identity
		p       sessions.CreateParams
		want    error
		refusal string
	}{
		{"of an unknown user", alice, sessions.CreateParams{UserID: "nobody", Reason: "x"}, sessions.ErrUserNotFound,
			"user_not_found"},
		{"of a disabled user", alice, sessions.CreateParams{UserID: "carol", Reason: "x"}, sessions.ErrUserDisabled,
			"user_disabled"},
		{"of another administrator", alice, sessions.CreateParams{UserID: "root", Reason: "x"},
			sessions.ErrImpersonationNotAllowed, "not_allowed"},
		{"of oneself", alice, sessions.CreateParams{UserID: "alice", Reason: "x"},
			sessions.ErrImpersonationNotAllowed, "oneself"},
		{"by a user who may not", bob, sessions.CreateParams{UserID: "alice", Reason: "x"},
			sessions.ErrImpersonationNotAllowed, "not_allowed"},
		{"from an impersonation", imp, sessions.CreateParams{UserID: "alice", Reason: "x"},
			sessions.ErrImpersonationNotAllowed, "chained"},
		{"from a session that has ended", ended, sessions.CreateParams{UserID: "bob", Reason: "x"},
			sessions.ErrExpired, ""},
		{"by nobody", sessions.Identity{Access: sessions.AccessClient},
			sessions.CreateParams{UserID: "bob", Reason: "x"}, sessions.ErrImpersonationNotAllowed, ""},
		{"by a key's identity", sessions.Identity{Access: sessions.AccessServer, KeyName: "k"},
			sessions.CreateParams{UserID: "bob", Reason: "x"}, sessions.ErrImpersonationNotAllowed, "not_allowed"},
		{"without a reason", alice, sessions.CreateParams{UserID: "bob"}, sessions.ErrInvalidParams, "invalid"},
		{"for longer than a day", alice, sessions.CreateParams{UserID: "bob", Reason: "x", TTL: 25 * time.Hour},
			sessions.ErrInvalidParams, "invalid"},
		{"with a reason of 501 bytes", alice, sessions.CreateParams{UserID: "bob", Reason: strings.Repeat("x", 501)},
			sessions.ErrInvalidParams, "invalid"},
	} {
		grant, err := g.Manager.Impersonate(t.Context(), c.caller, c.p)
		if !errors.Is(err, c.want) || grant != (sessions.Grant{}) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		g.oneRefusal(t, c.name, c.refusal)
	}
	for name, f := range map[string]func(map[string]bool) error{
		"demoted a moment ago":          func(admins map[string]bool) error { delete(admins, "alice"); return nil },
		"the policy cannot tell":        func(map[string]bool) error { return errors.New("database away") },
		"the actor's account is closed": func(admins map[string]bool) error { admins["alice"] = true; return nil },
	} {
		if name == "the actor's account is closed" {
			g.setUser("alice", sessions.ErrUserDisabled)
		}
		g.setPolicy(f)
		want, refusal := sessions.ErrImpersonationNotAllowed, "not_allowed"
		if name == "the policy cannot tell" {
			want, refusal = sessions.ErrUnavailable, "unavailable"
		}
		if _, err := g.Manager.Impersonate(t.Context(), alice, sessions.CreateParams{
			UserID: "bob", Reason: "x",
		}); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
		g.oneRefusal(t, name, refusal)
		g.setUser("alice", nil)
		g.setPolicy(func(admins map[string]bool) error { admins["alice"] = true; return nil })
	}
	list, err := g.List(t.Context(), "bob", sessions.ListOptions{Impersonations: true})
	if err != nil || len(list.Sessions) != 2 {
		t.Errorf("bob has %d sessions, %v: a refusal has written", len(list.Sessions), err)
	}
}

// oneRefusal fails the test unless there was one event, of an impersonation refused for
// this; none at all if it is empty.
func (g *governed) oneRefusal(t *testing.T, name string, want string) {
	t.Helper()
	events := g.TakeEvents()
	if want == "" {
		if len(events) != 0 {
			t.Errorf("%s: events %+v", name, events)
		}
		return
	}
	if len(events) != 1 || events[0].Type != sessions.EventImpersonationRefused || events[0].Refusal != want ||
		events[0].Session.ID != "" || !events[0].Session.Impersonation {
		t.Errorf("%s: events %+v, want one refusal %q", name, events, want)
	}
}

// Whoever may not do it cannot fill the host's audit trail by asking.
func TestRefusalsOfOneActorAreBounded(t *testing.T) {
	t.Parallel()
	g := newGoverned(t)
	alice, _ := g.signIn(t, "alice")
	bob, _ := g.signIn(t, "bob")
	g.Clock.Advance(2 * time.Second) // not at the beginning of anything
	ask := func(caller sessions.Identity, times int) (reported int) {
		t.Helper()
		g.TakeEvents()
		for range times {
			if _, err := g.Manager.Impersonate(t.Context(), caller, sessions.CreateParams{
				UserID: "root",
			}); !errors.Is(err, sessions.ErrImpersonationNotAllowed) {
				t.Fatal(err)
			}
		}
		return len(g.TakeEvents())
	}
	if n := ask(bob, 200); n != 10 {
		t.Errorf("200 refusals are %d events", n)
	}
	if n := ask(alice, 9); n != 9 {
		t.Errorf("of another actor, 9 refusals are %d events", n)
	}
	g.Clock.Advance(59 * time.Second)
	if n := ask(bob, 1); n != 0 {
		t.Errorf("in the same minute: %d events", n)
	}
	g.Clock.Advance(2 * time.Second)
	if n := ask(bob, 200); n != 10 {
		t.Errorf("a minute later, 200 refusals are %d events", n)
	}
	g.Clock.Advance(-time.Hour)
	if n := ask(bob, 1); n != 1 {
		t.Errorf("after the clock was set back: %d events", n)
	}
	// A Joined counts with the Manager that it is made of.
	joined := g.Join(g.Store)
	for range 20 {
		_, _ = joined.Create(t.Context(), sessions.CreateParams{UserID: "nobody", By: "bob", Impersonation: true})
	}
	g.TakeEvents()
	joined.Committed(t.Context())
	if n := len(g.TakeEvents()); n != 9 {
		t.Errorf("of a Joined: %d events", n)
	}
	// The actors that a key names are counted separately.
	g.TakeEvents()
	for i := range 30 {
		_, _ = g.Create(t.Context(), sessions.CreateParams{
			UserID: "nobody", By: "support", Impersonation: true, Actor: []string{"x", "y", "z"}[i%3],
		})
	}
	if n := len(g.TakeEvents()); n != 30 {
		t.Errorf("of three actors of a key, 10 each: %d events", n)
	}
}

// What is refused in a transaction that is rolled back is not reported, so it must not use
// up what is.
func TestRefusalsThatAreNeverSentDoNotCount(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	eve := sessions.CreateParams{UserID: "nobody", Impersonation: true, Actor: "eve"}
	joined := k.Join(k.Store)
	ask := func(m interface {
		Create(ctx context.Context, p sessions.CreateParams) (sessions.Grant, error)
	}) {
		t.Helper()
		for range 200 {
			if _, err := m.Create(t.Context(), eve); !errors.Is(err, sessions.ErrUserNotFound) {
				t.Fatal(err)
			}
		}
	}
	ask(joined)
	if n := len(k.takeEvents()); n != 0 {
		t.Errorf("%d events of a transaction that is not over", n)
	}
	ask(k.Manager)
	if n := len(k.takeEvents()); n != 10 {
		t.Errorf("after a rollback, 200 refusals are %d events", n)
	}
	k.Clock.Advance(time.Minute)
	joined.Committed(t.Context())
	ask(k.Manager)
	if n := len(k.takeEvents()); n != 10 {
		t.Errorf("after a commit, 400 refusals are %d events", n)
	}
}

// Thousands of actors are bounded, too.
func TestRefusalsOfAllActorsAreBounded(t *testing.T) {
	t.Parallel()
	g := newGoverned(t)
	for i := range 6000 {
		_, _ = g.Create(t.Context(), sessions.CreateParams{
			UserID: "nobody", By: "support", Impersonation: true, Actor: strconv.Itoa(i),
		})
	}
	if n := len(g.TakeEvents()); n != 4096 {
		t.Errorf("6000 actors are %d events", n)
	}
	g.Clock.Advance(time.Minute)
	if _, err := g.Create(t.Context(), sessions.CreateParams{
		UserID: "nobody", By: "support", Impersonation: true, Actor: "5999",
	}); err == nil {
		t.Fatal("granted")
	}
	g.oneRefusal(t, "a minute later", "user_not_found")
}

func TestKeysImpersonateUnderTheSettings(t *testing.T) {
	t.Parallel()
	k := newKit(t, func(c *sessions.Config) {
		c.Impersonation.RequireActor, c.Impersonation.RequireReason = true, true
	})
	for name, p := range map[string]sessions.CreateParams{
		"no actor":  {Reason: "x"},
		"no reason": {Actor: "root"},
	} {
		p.UserID, p.Impersonation, p.By = "alice", true, "support"
		if _, err := k.Create(t.Context(), p); !errors.Is(err, sessions.ErrInvalidParams) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if s := k.create(t, sessions.CreateParams{Impersonation: true, By: "support", Actor: "root", Reason: "x"}).
		Session; s.Actor != "root" || s.ParentSessionID != "" {
		t.Errorf("session %+v", s)
	}
	if _, err := k.Manager.Impersonate(t.Context(), sessions.Identity{
		Access: sessions.AccessClient, UserID: "bob", SessionID: "01890a5d-ac96-774b-bcce-b302099a8057",
	},
		sessions.CreateParams{UserID: "alice", Reason: "x"}); !errors.Is(err, sessions.ErrImpersonationNotAllowed) {
		t.Errorf("a user, without a policy: %v", err)
	}
}

// Every way in which an impersonation ends by itself: its next refresh is refused
// with the reason, its access token too, and one event says that it has ended.
func TestImpersonationEndsByItself(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		do     func(t *testing.T, g *governed, actor sessions.Grant)
		reason sessions.EndReason
		want   error // of the refresh after it
		// late: there is no event before the refresh
		late bool
	}{
		{"the actor signs out", func(t *testing.T, g *governed, actor sessions.Grant) {
			if _, err := g.EndByRefreshToken(t.Context(), actor.RefreshToken.Reveal(), sessions.EndParams{
				Reason: sessions.EndSignedOut, By: "alice",
			}); err != nil {
				t.Error(err)
			}
		}, sessions.EndParentEnded, sessions.ErrSessionEnded, false},
		{"the parent is revoked", func(t *testing.T, g *governed, actor sessions.Grant) {
			if _, err := g.End(t.Context(), sessions.EndParams{ID: actor.Session.ID, By: "key"}); err != nil {
				t.Error(err)
			}
		}, sessions.EndParentEnded, sessions.ErrSessionEnded, false},
		{"all sessions of the actor are ended", func(t *testing.T, g *governed, _ sessions.Grant) {
			if ended, err := g.EndMany(t.Context(), sessions.EndManyParams{UserID: "alice", By: "key"}); err != nil ||
				len(ended) != 1 {
				t.Errorf("%v, %v", ended, err)
			}
		}, sessions.EndParentEnded, sessions.ErrSessionEnded, false},
		{"the actor's refresh token is replayed", func(t *testing.T, g *governed, actor sessions.Grant) {
			g.refresh(t, g.refresh(t, actor.RefreshToken).RefreshToken)
			g.refuse(t, actor.RefreshToken, sessions.ErrReplay)
		}, sessions.EndParentEnded, sessions.ErrSessionEnded, false},
		{"the actor's account goes", func(t *testing.T, g *governed, actor sessions.Grant) {
			g.setUser("alice", sessions.ErrUserNotFound)
			g.refuse(t, actor.RefreshToken, sessions.ErrUserNotFound)
		}, sessions.EndParentEnded, sessions.ErrSessionEnded, false},
		{"the parent ends, and the impersonation is not marked",
			func(t *testing.T, g *governed, actor sessions.Grant) {
				if _, err := g.Store.End(t.Context(), sessions.EndParams{
					ID: actor.Session.ID, Now: g.Clock.Now(), Reason: sessions.EndRevoked,
				}); err != nil {
					t.Error(err)
				}
			}, sessions.EndParentEnded, sessions.ErrParentEnded, true},
		{"the actor is demoted", func(_ *testing.T, g *governed, _ sessions.Grant) {
			g.setPolicy(func(admins map[string]bool) error { delete(admins, "alice"); return nil })
		}, sessions.EndNotAllowed, sessions.ErrImpersonationNotAllowed, true},
		{"the actor is disabled", func(_ *testing.T, g *governed, _ sessions.Grant) {
			g.setUser("alice", sessions.ErrUserDisabled)
		}, sessions.EndNotAllowed, sessions.ErrImpersonationNotAllowed, true},
		{"the target is promoted", func(_ *testing.T, g *governed, _ sessions.Grant) {
			g.setPolicy(func(admins map[string]bool) error { admins["bob"] = true; return nil })
		}, sessions.EndNotAllowed, sessions.ErrImpersonationNotAllowed, true},
		{"the target is gone", func(_ *testing.T, g *governed, _ sessions.Grant) {
			g.setUser("bob", sessions.ErrUserNotFound)
		}, sessions.EndUserGone, sessions.ErrUserNotFound, true},
		{"its own token is replayed", func(_ *testing.T, _ *governed, _ sessions.Grant) {}, sessions.EndReplay,
			sessions.ErrReplay, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := newGoverned(t, func(config *sessions.Config) {
				config.IdleTimeout, config.AccessTokenTTL = 10*time.Minute, 8*time.Minute
			})
			id, actor := g.signIn(t, "alice")
			imp := g.impersonate(t, id, sessions.CreateParams{})
			g.Clock.Advance(5 * time.Minute)
			first := imp
			imp = g.refresh(t, imp.RefreshToken) // so that it is not idle itself
			if c.reason == sessions.EndReplay {
				g.refresh(t, imp.RefreshToken)
				imp.RefreshToken = first.RefreshToken
			}
			bystander := g.create(t, sessions.CreateParams{UserID: "bob"})
			g.takeEvents()

			c.do(t, g, actor)
			if ended := !g.session(t, imp.Session.ID).EndedAt.IsZero(); ended == c.late {
				t.Errorf("ended %v before its next refresh", ended)
			}
			if c.reason == sessions.EndParentEnded {
				impID := sessions.Identity{UserID: "bob", SessionID: imp.Session.ID}
				if _, err := g.Check(t.Context(), impID); !errors.Is(err, sessions.ErrExpired) {
					t.Errorf("check: %v", err)
				}
				if list, err := g.List(t.Context(), "bob", sessions.ListOptions{Impersonations: true}); err != nil ||
					len(list.Sessions) != 1 {
					t.Errorf("listed: %v, %v", list, err)
				}
			}
			g.refuse(t, imp.RefreshToken, c.want)
			if s := g.session(t, imp.Session.ID); s.EndReason != c.reason || s.EndedAt != g.Clock.Now() {
				t.Errorf("ended %v for %q, want %q", s.EndedAt, s.EndReason, c.reason)
			}
			if _, err := g.Verify(imp.AccessToken.Reveal()); !errors.Is(err, sessions.ErrExpired) {
				t.Errorf("its access token: %v", err)
			}
			ends := 0
			for _, e := range g.TakeEvents() {
				if e.Session.ID == imp.Session.ID && !e.Session.EndedAt.IsZero() {
					ends++
				}
			}
			if ends != 1 {
				t.Errorf("%d events say that it has ended", ends)
			}
			if s := g.session(t, bystander.Session.ID); !s.EndedAt.IsZero() {
				t.Errorf("the user's own session ended: %+v", s)
			}
		})
	}
}

// Being idle is each session's own affair: an impersonation goes on while its actor acts
// and does nothing else, everybody sees it, and it ends like any other.
func TestAnImpersonationOutlivesItsIdleActor(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(g *governed, actor, imp sessions.Grant) error{
		"End": func(g *governed, _, imp sessions.Grant) error {
			_, err := g.End(context.Background(), sessions.EndParams{ID: imp.Session.ID, By: "admin"})
			return err
		},
		"EndMany": func(g *governed, _, _ sessions.Grant) error {
			ended, err := g.EndMany(context.Background(), sessions.EndManyParams{UserID: "bob", By: "admin"})
			if len(ended) != 1 {
				err = fmt.Errorf("ended %d, %w", len(ended), err)
			}
			return err
		},
		"the end of the parent": func(g *governed, actor, _ sessions.Grant) error {
			_, err := g.End(context.Background(), sessions.EndParams{ID: actor.Session.ID, By: "admin"})
			return err
		},
		"the end of all sessions of the actor": func(g *governed, _, _ sessions.Grant) error {
			_, err := g.EndMany(context.Background(), sessions.EndManyParams{UserID: "alice", By: "admin"})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGoverned(t, func(config *sessions.Config) {
				config.IdleTimeout, config.Retention = 15*time.Minute, 10*time.Minute
			})
			caller, actor := g.signIn(t, "alice")
			imp := g.impersonate(t, caller, sessions.CreateParams{})
			for range 10 { // the last of them at 50 minutes, of an hour
				g.Clock.Advance(5 * time.Minute)
				imp = g.refresh(t, imp.RefreshToken)
				if n, err := g.Prune(t.Context()); n != 0 || err != nil {
					t.Fatalf("pruned %d, %v", n, err)
				}
			}
			g.refuse(t, actor.RefreshToken, sessions.ErrSessionIdle)
			id, err := g.Verify(imp.AccessToken.Reveal())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := g.Check(t.Context(), id); err != nil {
				t.Errorf("check: %v", err)
			}
			list, err := g.List(t.Context(), "bob", sessions.ListOptions{Impersonations: true})
			if err != nil || len(list.Sessions) != 1 || list.Sessions[0].ID != imp.Session.ID {
				t.Errorf("listed: %+v, %v", list, err)
			}
			if err := end(g, actor, imp); err != nil {
				t.Error(err)
			}
			if s := g.session(t, imp.Session.ID); s.EndedAt.IsZero() {
				t.Error("it has not ended")
			}
			if _, err := g.Verify(imp.AccessToken.Reveal()); !errors.Is(err, sessions.ErrExpired) {
				t.Errorf("its access token: %v", err)
			}
			g.refuse(t, imp.RefreshToken, sessions.ErrSessionEnded)
		})
	}
}

func TestEndingAnImpersonationTouchesNothingElse(t *testing.T) {
	t.Parallel()
	g := newGoverned(t)
	id, actor := g.signIn(t, "alice")
	_, own := g.signIn(t, "bob")
	imp := g.impersonate(t, id, sessions.CreateParams{})
	if _, err := g.End(t.Context(), sessions.EndParams{
		ID: imp.Session.ID, Reason: sessions.EndSignedOut, By: "bob",
	}); err != nil {
		t.Fatal(err)
	}
	g.refresh(t, actor.RefreshToken)
	g.refresh(t, own.RefreshToken)
	g.refuse(t, imp.RefreshToken, sessions.ErrSessionEnded)
}

func TestImpersonationLeavesNoFootprints(t *testing.T) {
	t.Parallel()
	g := newGoverned(t)
	alice, _ := g.signIn(t, "alice")
	_, own := g.signIn(t, "bob")
	g.Clock.Advance(time.Minute)
	before := g.session(t, own.Session.ID)
	g.refresh(t, g.impersonate(t, alice, sessions.CreateParams{}).RefreshToken)
	if after := g.session(t, own.Session.ID); after != before {
		t.Errorf("the user's session was %+v, is %+v", before, after)
	}
	list, err := g.List(t.Context(), "bob", sessions.ListOptions{})
	if err != nil || len(list.Sessions) != 1 || list.Sessions[0].ID != own.Session.ID {
		t.Errorf("the user's list: %+v, %v", list, err)
	}
}
