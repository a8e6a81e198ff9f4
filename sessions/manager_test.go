package sessions_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
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
		ID: g.Session.ID, UserID: "alice", CreatedAt: start, LastUsedAt: start, ExpiresAt: start.Add(time.Hour), AuthTime: start.Add(-time.Minute),
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
	if _, err := k.Create(t.Context(), sessions.CreateParams{UserID: "nobody", Impersonation: true, By: "support", Client: client}); err == nil {
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
		{"a life above the ceiling", sessions.CreateParams{UserID: "alice", TTL: 367*24*time.Hour + 1}, sessions.ErrInvalidParams},
		{"an impersonation above its ceiling", sessions.CreateParams{UserID: "alice", TTL: 25 * time.Hour, Impersonation: true, By: "x"}, sessions.ErrInvalidParams},
		{"an impersonation below 30 s", sessions.CreateParams{UserID: "alice", TTL: 29 * time.Second, Impersonation: true, By: "x"}, sessions.ErrInvalidParams},
		{"an impersonation by nobody", sessions.CreateParams{UserID: "alice", Impersonation: true}, sessions.ErrInvalidParams},
		{"an impersonation that was authenticated", sessions.CreateParams{UserID: "alice", Impersonation: true, By: "x", AuthTime: start}, sessions.ErrInvalidParams},
		{"an actor without impersonation", sessions.CreateParams{UserID: "alice", Actor: "root"}, sessions.ErrInvalidParams},
		{"an actor with a line break", sessions.CreateParams{UserID: "alice", Impersonation: true, Actor: "a\nb"}, sessions.ErrInvalidParams},
		{"a reason of 501 bytes", sessions.CreateParams{UserID: "alice", Reason: strings.Repeat("x", 501)}, sessions.ErrInvalidParams},
		{"an authentication to come", sessions.CreateParams{UserID: "alice", AuthTime: start.Add(2 * time.Minute)}, sessions.ErrInvalidParams},
	} {
		g, err := k.Create(t.Context(), c.p)
		if !errors.Is(err, c.want) || g != (sessions.Grant{}) {
			t.Errorf("%s: %v, %v; want %v", c.name, g, err, c.want)
		}
	}
	for _, user := range []string{"alice", "bob", "carol", "broken"} {
		if list, err := k.List(t.Context(), user, sessions.ListOptions{Impersonations: true}); err != nil || len(list.Sessions) > 0 {
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
	k.Config.Store = &sessionstest.Faults{Store: k.Store, Before: sessionstest.FailAt(sessionstest.MethodCreate, 1, broken)}
	m := mustNew(t, k.Config)
	g, err := m.Create(t.Context(), sessions.CreateParams{UserID: "alice"})
	if !errors.Is(err, sessions.ErrUnavailable) || !errors.Is(err, broken) || g != (sessions.Grant{}) {
		t.Errorf("got %v, %v", g, err)
	}
}

func TestRefreshProtocol(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	g1 := k.create(t, sessions.CreateParams{})
	k.takeEvents()

	g2 := k.refresh(t, g1.RefreshToken)
	again := k.refresh(t, g1.RefreshToken)
	if again.RefreshToken.Reveal() != g2.RefreshToken.Reveal() {
		t.Error("two presentations inside the window have two successors")
	}
	k.Clock.Advance(time.Minute)
	g3 := k.refresh(t, g1.RefreshToken) // the reply was lost
	if g3.RefreshToken.Reveal() == g2.RefreshToken.Reveal() {
		t.Error("the displaced successor was handed out again")
	}
	equalTypes(t, k.takeEvents(), sessions.EventRotated, sessions.EventOverlap, sessions.EventRecovered)

	k.refuse(t, g2.RefreshToken, sessions.ErrReplay)
	equalTypes(t, k.takeEvents(), sessions.EventReplay)
	for _, token := range []sessions.Token{g1.RefreshToken, g2.RefreshToken, g3.RefreshToken} {
		k.refuse(t, token, sessions.ErrSessionEnded)
	}
	equalTypes(t, k.takeEvents())
	s := k.session(t, g1.Session.ID)
	if s.EndReason != sessions.EndReplay || s.EndedAt != k.Clock.Now() || s.EndedBy != "" {
		t.Errorf("ended session %+v", s)
	}
	if _, err := k.Verify(g3.AccessToken.Reveal()); !errors.Is(err, sessions.ErrExpired) {
		t.Errorf("access token after the replay: %v", err)
	}
}

func TestAStaticClientKeepsItsFirstToken(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	g := k.create(t, sessions.CreateParams{})
	for range 50 {
		k.Clock.Advance(10 * time.Minute)
		k.refresh(t, g.RefreshToken)
	}
}

func TestRecoveryLimit(t *testing.T) {
	t.Parallel()
	k := newKit(t, func(c *sessions.Config) { c.Rotation.MaxRecoveries = 2 })
	g := k.create(t, sessions.CreateParams{})
	for range 3 { // rotated, and recovered twice
		k.refresh(t, g.RefreshToken)
		k.Clock.Advance(10 * time.Minute)
	}
	k.takeEvents()
	k.refuse(t, g.RefreshToken, sessions.ErrRecoveryLimit)
	equalTypes(t, k.takeEvents(), sessions.EventRecoveryLimit)
	k.refuse(t, g.RefreshToken, sessions.ErrSessionEnded)
}

func TestSessionsExpire(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		p      sessions.CreateParams
		step   time.Duration // between refreshes
		deadAt time.Duration
		want   error
	}{
		{"unused, after the idle timeout", sessions.CreateParams{}, 90 * 24 * time.Hour, 90 * 24 * time.Hour, sessions.ErrSessionIdle},
		{"used all the time, at its absolute end", sessions.CreateParams{TTL: 50 * time.Hour}, time.Hour, 50 * time.Hour, sessions.ErrSessionExpired},
		{"an impersonation, 30 s before its end", sessions.CreateParams{Impersonation: true, By: "x"}, 30 * time.Second, time.Hour - 30*time.Second, sessions.ErrSessionExpired},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			k := newKit(t)
			token := k.create(t, c.p).RefreshToken
			for at := c.step; at < c.deadAt; at += c.step {
				k.Clock.Set(start.Add(at))
				token = k.refresh(t, token).RefreshToken
			}
			k.Clock.Set(start.Add(c.deadAt - time.Microsecond))
			if c.step == c.deadAt { // the last instant counts as use, so look without refreshing
				list, err := k.List(t.Context(), "alice", sessions.ListOptions{})
				if err != nil || len(list.Sessions) != 1 {
					t.Errorf("just before the end: %v, %v", list, err)
				}
			} else {
				token = k.refresh(t, token).RefreshToken
			}
			k.Clock.Set(start.Add(c.deadAt))
			k.refuse(t, token, c.want)
		})
	}
}

func TestRefreshAsksForTheUser(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	g := k.create(t, sessions.CreateParams{})
	k.takeEvents()

	k.setUser("alice", errors.New("connection refused"))
	k.refuse(t, g.RefreshToken, sessions.ErrUnavailable)
	k.setUser("alice", sessions.ErrUserDisabled)
	k.Clock.Advance(time.Hour)
	k.refuse(t, g.RefreshToken, sessions.ErrUserRefused)
	k.setUser("alice", nil)
	k.Clock.Advance(time.Hour)
	g = k.refresh(t, g.RefreshToken) // the token that the client holds still works
	k.takeEvents()

	k.setUser("alice", sessions.ErrUserNotFound)
	k.refuse(t, g.RefreshToken, sessions.ErrUserGone)
	equalTypes(t, k.takeEvents(), sessions.EventEnded)
	if s := k.session(t, g.Session.ID); s.EndReason != sessions.EndUserGone {
		t.Errorf("end reason %q", s.EndReason)
	}
	k.setUser("alice", nil) // made again under the same id
	k.refuse(t, g.RefreshToken, sessions.ErrSessionEnded)
}

func TestEnd(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	g := k.create(t, sessions.CreateParams{})
	id, err := k.Verify(g.AccessToken.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Check(t.Context(), id); err != nil {
		t.Errorf("check of a live session: %v", err)
	}
	k.takeEvents()
	k.Clock.Advance(time.Second)
	s, err := k.End(t.Context(), g.Session.ID, "", "root")
	if err != nil || s.EndReason != sessions.EndRevoked || s.EndedBy != "root" || s.EndedAt != k.Clock.Now() {
		t.Fatalf("End: %+v, %v", s, err)
	}
	equalTypes(t, k.takeEvents(), sessions.EventEnded)
	for _, missing := range []string{g.Session.ID, "01890a5d-ac96-774b-bcce-b302099a8057", "{" + g.Session.ID + "}", ""} {
		if s, err := k.End(t.Context(), missing, "", ""); !errors.Is(err, sessions.ErrNotFound) || s != (sessions.Session{}) {
			t.Errorf("End(%q): %+v, %v", missing, s, err)
		}
	}
	// At once in this process, at the next look elsewhere.
	if _, err := k.Verify(g.AccessToken.Reveal()); !errors.Is(err, sessions.ErrExpired) {
		t.Errorf("Verify here: %v", err)
	}
	elsewhere := mustNew(t, k.Config)
	if _, err := elsewhere.Verify(g.AccessToken.Reveal()); err != nil {
		t.Errorf("stateless Verify elsewhere: %v", err)
	}
	var expired *sessions.ExpiredError
	if _, err := elsewhere.Check(t.Context(), id); !errors.As(err, &expired) || expired.ExpiredAt != s.EndedAt {
		t.Errorf("Check elsewhere: %v", err)
	}
}

func TestEndMany(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	keep := k.create(t, sessions.CreateParams{})
	k.create(t, sessions.CreateParams{})
	k.create(t, sessions.CreateParams{Impersonation: true, By: "support"})
	k.create(t, sessions.CreateParams{UserID: "bob"})
	k.takeEvents()
	ended, err := k.EndMany(t.Context(), "alice", keep.Session.ID, "password_changed", "alice")
	if err != nil || len(ended) != 2 {
		t.Fatalf("EndMany: %v, %v", ended, err)
	}
	equalTypes(t, k.takeEvents(), sessions.EventEnded, sessions.EventEnded)
	for _, user := range []string{"alice", "bob"} {
		if list, err := k.List(t.Context(), user, sessions.ListOptions{Impersonations: true}); err != nil || len(list.Sessions) != 1 {
			t.Errorf("%s has %v, %v", user, list.Sessions, err)
		}
	}
	if _, err := k.EndMany(t.Context(), "", "", "", ""); !errors.Is(err, sessions.ErrInvalidParams) {
		t.Errorf("no user: %v", err)
	}
	if _, err := k.EndMany(t.Context(), "alice", "", "a\nb", ""); !errors.Is(err, sessions.ErrInvalidParams) {
		t.Errorf("a reason in two lines: %v", err)
	}
}

func TestListPages(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	for i := range 7 {
		k.create(t, sessions.CreateParams{})
		if i%3 == 0 {
			k.Clock.Advance(time.Millisecond)
		}
	}
	all, err := k.List(t.Context(), "alice", sessions.ListOptions{})
	if err != nil || len(all.Sessions) != 7 || all.Next != "" {
		t.Fatalf("all: %d, %q, %v", len(all.Sessions), all.Next, err)
	}
	var paged []sessions.Session
	for cursor := ""; ; {
		page, err := k.List(t.Context(), "alice", sessions.ListOptions{Limit: 3, Cursor: cursor})
		if err != nil {
			t.Fatal(err)
		}
		paged = append(paged, page.Sessions...)
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	for i := range all.Sessions {
		if len(paged) != 7 || paged[i] != all.Sessions[i] {
			t.Fatalf("pages %v\nwhole %v", paged, all.Sessions)
		}
	}
	for name, o := range map[string]sessions.ListOptions{
		"limit 201": {Limit: 201}, "limit -1": {Limit: -1}, "a cursor of garbage": {Limit: 1, Cursor: "x"}, "an overlong cursor": {Limit: 1, Cursor: strings.Repeat("A", 33)},
	} {
		if _, err := k.List(t.Context(), "alice", o); !errors.Is(err, sessions.ErrInvalidParams) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestJoinedManagerHoldsEventsBack(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	g := k.create(t, sessions.CreateParams{})
	k.takeEvents()
	joined := k.WithStore(k.Store)
	if _, err := joined.Refresh(t.Context(), g.RefreshToken.Reveal(), sessions.Client{}); !errors.Is(err, sessions.ErrJoined) {
		t.Errorf("Refresh: %v", err)
	}
	if _, err := joined.Create(t.Context(), sessions.CreateParams{UserID: "bob"}); err != nil {
		t.Fatal(err)
	}
	if _, err := joined.End(t.Context(), g.Session.ID, "", ""); err != nil {
		t.Fatal(err)
	}
	equalTypes(t, k.takeEvents())
	if _, err := k.Verify(g.AccessToken.Reveal()); err != nil {
		t.Errorf("refused before the host has committed: %v", err)
	}
	events := joined.Events()
	if again := joined.Events(); len(events) != 2 || len(again) != 0 {
		t.Errorf("held back %v, then %v", events, again)
	}
	k.Notify(t.Context(), events...)
	equalTypes(t, k.takeEvents(), sessions.EventCreated, sessions.EventEnded)
	if _, err := k.Verify(g.AccessToken.Reveal()); !errors.Is(err, sessions.ErrExpired) {
		t.Errorf("after the commit: %v", err)
	}
}

func TestEventsOutliveTheCaller(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	told := false
	k := newKit(t, func(c *sessions.Config) {
		c.OnEvent = func(ctx context.Context, _ sessions.Event) {
			cancel()
			told = ctx.Err() == nil
		}
	})
	if _, err := k.Create(ctx, sessions.CreateParams{UserID: "alice"}); err != nil || !told {
		t.Errorf("told %v, %v", told, err)
	}
}

func TestPrune(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	ended := k.create(t, sessions.CreateParams{}).Session.ID
	expired := k.create(t, sessions.CreateParams{TTL: time.Hour}).Session.ID
	idle := k.create(t, sessions.CreateParams{}).Session.ID
	if _, err := k.End(t.Context(), ended, "", ""); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		at   time.Duration
		want int
		gone []string
	}{
		{30 * 24 * time.Hour, 0, nil},
		{30*24*time.Hour + time.Microsecond, 1, []string{ended}},
		{30*24*time.Hour + 2*time.Hour, 1, []string{expired}},
		{30*24*time.Hour + 90*24*time.Hour, 0, nil},
		{30*24*time.Hour + 90*24*time.Hour + time.Hour, 1, []string{idle}},
	} {
		k.Clock.Set(start.Add(step.at))
		if n, err := k.Prune(t.Context()); err != nil || n != step.want {
			t.Errorf("after %v: pruned %d, %v; want %d", step.at, n, err, step.want)
		}
		for _, id := range step.gone {
			if _, err := k.Get(t.Context(), id); !errors.Is(err, sessions.ErrNotFound) {
				t.Errorf("after %v: %v", step.at, err)
			}
		}
	}
}

func TestCheckClock(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		apart  time.Duration
		warned bool
		fails  bool
	}{
		{0, false, false}, {5 * time.Second, false, false}, {-6 * time.Second, true, false}, {30 * time.Second, true, false}, {31 * time.Second, false, true}, {-time.Hour, false, true},
	} {
		var log strings.Builder
		k := newKit(t, func(config *sessions.Config) { config.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
		k.Store.Clock = func() time.Time { return start.Add(c.apart) }
		err := k.CheckClock(t.Context())
		if (err != nil) != c.fails || strings.Contains(log.String(), "differ") != c.warned {
			t.Errorf("%v apart: %v, log %q", c.apart, err, log.String())
		}
	}
}

func TestOneTokenManyCallers(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	g := k.create(t, sessions.CreateParams{})
	k.takeEvents()
	successors := make([]string, 64)
	var wg sync.WaitGroup
	for i := range successors {
		wg.Go(func() {
			g, err := k.Refresh(t.Context(), g.RefreshToken.Reveal(), sessions.Client{})
			if err != nil {
				t.Error(err)
			}
			successors[i] = g.RefreshToken.Reveal()
		})
	}
	wg.Wait()
	for _, s := range successors {
		if s != successors[0] {
			t.Fatal("callers have different successors")
		}
	}
	rotated := 0
	for _, e := range k.takeEvents() {
		if e == sessions.EventRotated {
			rotated++
		}
	}
	if rotated != 1 {
		t.Errorf("rotated %d times", rotated)
	}
}
