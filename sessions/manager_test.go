package sessions_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/sessile-go/sessile/sessions"
)

func TestSessionsExpire(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		p      sessions.CreateParams
		step   time.Duration // between refreshes
		deadAt time.Duration
		want   error
	}{
		{"unused, after the idle timeout", sessions.CreateParams{}, 90 * 24 * time.Hour, 90 * 24 * time.Hour,
			sessions.ErrSessionIdle},
		{"used all the time, at its absolute end", sessions.CreateParams{TTL: 50 * time.Hour}, time.Hour,
			50 * time.Hour, sessions.ErrSessionExpired},
		{"an impersonation, 30 s before its end", sessions.CreateParams{Impersonation: true, By: "x"}, 30 * time.Second,
			time.Hour - 30*time.Second, sessions.ErrSessionExpired},
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
	k.refuse(t, g.RefreshToken, sessions.ErrUserDisabled)
	k.setUser("alice", nil)
	k.Clock.Advance(time.Hour)
	g = k.refresh(t, g.RefreshToken) // the token that the client holds still works
	k.takeEvents()

	k.setUser("alice", sessions.ErrUserNotFound)
	k.refuse(t, g.RefreshToken, sessions.ErrUserNotFound)
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
	s, err := k.End(t.Context(), sessions.EndParams{ID: g.Session.ID, By: "root"})
	if err != nil || s.EndReason != sessions.EndRevoked || s.EndedBy != "root" || s.EndedAt != k.Clock.Now() {
		t.Fatalf("End: %+v, %v", s, err)
	}
	equalTypes(t, k.takeEvents(), sessions.EventEnded)
	for _, missing := range []string{
		g.Session.ID, "01890a5d-ac96-774b-bcce-b302099a8057", "{" + g.Session.ID + "}", "",
	} {
		if s, err := k.End(t.Context(), sessions.EndParams{ID: missing}); !errors.Is(err, sessions.ErrNotFound) ||
			s != (sessions.Session{}) {
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
	ended, err := k.EndMany(t.Context(), sessions.EndManyParams{
		UserID: "alice", ExceptID: keep.Session.ID, Reason: "password_changed", By: "alice",
	})
	if err != nil || len(ended) != 2 {
		t.Fatalf("EndMany: %v, %v", ended, err)
	}
	equalTypes(t, k.takeEvents(), sessions.EventEnded, sessions.EventEnded)
	for _, user := range []string{"alice", "bob"} {
		if list, err := k.List(t.Context(), user, sessions.ListOptions{Impersonations: true}); err != nil ||
			len(list.Sessions) != 1 {
			t.Errorf("%s has %v, %v", user, list.Sessions, err)
		}
	}
	if _, err := k.EndMany(t.Context(), sessions.EndManyParams{}); !errors.Is(err, sessions.ErrInvalidParams) {
		t.Errorf("no user: %v", err)
	}
	if _, err := k.EndMany(t.Context(), sessions.EndManyParams{UserID: "alice", Reason: "a\nb"}); !errors.Is(err,
		sessions.ErrInvalidParams) {
		t.Errorf("a reason in two lines: %v", err)
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
	if _, err := k.End(t.Context(), sessions.EndParams{ID: ended}); err != nil {
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
		{0, false, false}, {5 * time.Second, false, false}, {-6 * time.Second, true, false},
		{30 * time.Second, true, false}, {31 * time.Second, false, true}, {-time.Hour, false, true},
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
