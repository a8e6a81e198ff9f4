package proof_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

// errCrashed is what the dead would say.
var errCrashed = errors.New("the process has died")

// A process that dies after the end of a session and before that of the impersonations
// that depend on it leaves those as if they lived. A replica ends them, once, with an event.
func TestWhatACrashLeavesAliveIsEndedByAReplica(t *testing.T) {
	t.Parallel()
	for _, s := range openStores {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			p := s.open(t)
			clock := sessionstest.NewClock(theftStart)
			var mu sync.Mutex
			events := map[string][]sessions.Event{}
			process := func(st sessions.Store) *sessions.Manager {
				config := denyConfig(st)
				config.Now = clock.Now
				config.AccessTokenTTL = 10 * time.Minute
				config.MayImpersonate = func(context.Context, sessions.Identity, sessions.User) error { return nil }
				config.OnEvent = func(_ context.Context, e sessions.Event) {
					mu.Lock()
					defer mu.Unlock()
					events[e.Session.ID] = append(events[e.Session.ID], e)
				}
				m, err := sessions.New(config)
				if err != nil {
					t.Fatal(err)
				}
				return m
			}
			dying := process(&sessionstest.Faults{
				Store: p.handle(t), Before: sessionstest.FailAt(sessionstest.MethodEndDependents, 0, errCrashed),
			})
			actor, err := dying.Create(t.Context(), sessions.CreateParams{UserID: "alice"})
			if err != nil {
				t.Fatal(err)
			}
			caller, err := dying.Verify(actor.AccessToken.Reveal())
			if err != nil {
				t.Fatal(err)
			}
			acting, err := dying.Impersonate(t.Context(), caller, sessions.CreateParams{UserID: "bob"})
			if err != nil {
				t.Fatal(err)
			}
			bystander, err := dying.Create(t.Context(), sessions.CreateParams{UserID: "bob"})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := dying.End(t.Context(), sessions.EndParams{ID: actor.Session.ID}); err != nil {
				t.Fatal(err)
			}
			clock.Advance(sessions.RevocationBound + time.Second) // by then it would have been done

			ctx, stop := context.WithCancel(t.Context())
			var feeds sync.WaitGroup
			defer feeds.Wait()
			defer stop()
			replicas := []*sessions.Manager{process(p.handle(t)), process(p.handle(t))}
			for _, replica := range replicas {
				feeds.Go(func() { replica.WatchRevocations(ctx) })
			}
			limit := time.After(time.Minute)
			tick := time.NewTicker(2 * time.Millisecond)
			defer tick.Stop()
			for marked := false; !marked || !replicas[0].Health().FeedCurrent || !replicas[1].Health().FeedCurrent; {
				select {
				case <-tick.C:
				case <-limit:
					t.Fatal("nobody has come back for it within a minute")
				}
				s, err := replicas[0].Get(t.Context(), acting.Session.ID)
				if err != nil {
					t.Fatal(err)
				}
				marked = s.EndReason == sessions.EndParentEnded
			}
			stop()
			feeds.Wait()

			mu.Lock()
			defer mu.Unlock()
			last := events[acting.Session.ID]
			if len(last) != 2 || last[1].Type != sessions.EventEnded ||
				last[1].Session.EndReason != sessions.EndParentEnded {
				t.Errorf("events of the impersonation: %+v", last)
			}
			if n := len(events[bystander.Session.ID]); n != 1 {
				t.Errorf("%d events of the user's own session", n)
			}
			if s, err := replicas[0].Get(t.Context(), bystander.Session.ID); err != nil || !s.EndedAt.IsZero() {
				t.Errorf("the user's own session: %+v, %v", s, err)
			}
		})
	}
}
