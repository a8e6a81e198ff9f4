package sessionstest_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
	"github.com/sessile-go/sessile/sessions/storetest"
)

var (
	morning = time.Date(2026, time.March, 29, 8, 0, 0, 0, time.UTC)
	errAway = errors.New("the database is away")
)

func session() sessions.Session {
	return sessions.Session{
		ID: "0195e000-0000-7000-8000-000000000001", UserID: "alice",
		CreatedAt: morning, LastUsedAt: morning, ExpiresAt: morning.Add(time.Hour),
		HandoffHash: "hash", HandoffExpiresAt: morning.Add(time.Minute),
	}
}

// dependent is the id of an impersonation that depends on the session.
const dependent = "0195e000-0000-7000-8000-000000000003"

func TestAClockMovesOnlyWhenTold(t *testing.T) {
	t.Parallel()
	clock := sessionstest.NewClock(morning.In(time.FixedZone("east", 3600)))
	now := clock.Now
	if got := now(); got != morning {
		t.Errorf("a new clock shows %s, want %s", got, morning)
	}
	if got := clock.Advance(time.Minute); got != morning.Add(time.Minute) || now() != got {
		t.Errorf("after a minute it shows %s and says %s", now(), got)
	}
	clock.Advance(-time.Hour)
	if got := now(); got != morning.Add(-59*time.Minute) {
		t.Errorf("an hour back it shows %s", got)
	}
	clock.Set(morning.In(time.FixedZone("west", -3600)))
	if got := now(); got != morning {
		t.Errorf("set, it shows %s, want %s", got, morning)
	}
}

func TestAClockIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	clock := sessionstest.NewClock(morning)
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			clock.Advance(time.Second)
			clock.Now()
		})
	}
	all.Wait()
	if got := clock.Now(); got != morning.Add(50*time.Second) {
		t.Errorf("50 seconds later it shows %s", got)
	}
}

func TestTheStoreAnswersWithTheClockThatItWasGiven(t *testing.T) {
	t.Parallel()
	st := sessionstest.NewStore()
	now, err := st.Now(t.Context())
	if since := time.Since(now); err != nil || since < -time.Minute || since > time.Minute {
		t.Errorf("without a clock: got %s and error %v", now, err)
	}
	st.Clock = sessionstest.NewClock(morning).Now
	if now, err := st.Now(t.Context()); err != nil || now != morning {
		t.Errorf("with a clock: got %s and error %v", now, err)
	}
}

func TestFaultsWithoutAnyKeepTheContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(testing.TB) sessions.Store {
		none := func(context.Context, sessionstest.Call) error { return nil }
		return &sessionstest.Faults{Store: sessionstest.NewStore(), Before: none, After: none}
	})
}

func TestFaults(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	at := sessions.Moment{Now: morning}

	// Every method, and whether it had an effect.
	for _, c := range []struct {
		method sessionstest.Method
		call   func(st sessions.Store) (zero bool, err error)
		// happened is nil for methods that only read.
		happened func(st sessions.Store) bool
	}{
		{sessionstest.MethodCreate, func(st sessions.Store) (bool, error) {
			s := session()
			s.ID = "0195e000-0000-7000-8000-000000000002"
			return true, st.Create(ctx, s)
		}, func(st sessions.Store) bool {
			_, err := st.Get(ctx, "0195e000-0000-7000-8000-000000000002")
			return err == nil
		}},
		{sessionstest.MethodGet, func(st sessions.Store) (bool, error) {
			s, err := st.Get(ctx, session().ID)
			return s == sessions.Session{}, err
		}, nil},
		{sessionstest.MethodRefresh, func(st sessions.Store) (bool, error) {
			r, err := st.Refresh(ctx, sessions.RefreshParams{
				ID: session().ID, Presented: 7, Moment: sessions.Moment{Now: morning.Add(time.Second)},
			})
			return r == sessions.RefreshResult{}, err
		}, func(st sessions.Store) bool {
			s, _ := st.Get(ctx, session().ID)
			return s.LastUsedAt.After(morning)
		}},
		{sessionstest.MethodList, func(st sessions.Store) (bool, error) {
			l, err := st.List(ctx, sessions.ListParams{UserID: "alice", Moment: at})
			return l == nil, err
		}, nil},
		{sessionstest.MethodEnd, func(st sessions.Store) (bool, error) {
			s, err := st.End(ctx, sessions.EndParams{ID: session().ID, Now: at.Now, Reason: sessions.EndRevoked})
			return s == sessions.Session{}, err
		}, func(st sessions.Store) bool {
			s, _ := st.Get(ctx, session().ID)
			return s.EndReason == sessions.EndRevoked
		}},
		{sessionstest.MethodEndMany, func(st sessions.Store) (bool, error) {
			l, err := st.EndMany(ctx, sessions.EndManyParams{UserID: "alice", Now: at.Now, Reason: sessions.EndRevoked})
			return l == nil, err
		}, func(st sessions.Store) bool {
			s, _ := st.Get(ctx, session().ID)
			return s.EndReason == sessions.EndRevoked
		}},
		{sessionstest.MethodEndDependents, func(st sessions.Store) (bool, error) {
			l, err := st.EndDependents(ctx, sessions.EndDependentsParams{
				ParentSessionIDs: []string{session().ID}, Now: morning, Reason: sessions.EndParentEnded,
			})
			return l == nil, err
		}, func(st sessions.Store) bool {
			s, _ := st.Get(ctx, dependent)
			return s.EndReason == sessions.EndParentEnded
		}},
		{sessionstest.MethodRedeem, func(st sessions.Store) (bool, error) {
			s, err := st.Redeem(ctx, sessions.RedeemParams{
				ID: session().ID, Hash: "hash", Moment: sessions.Moment{Now: morning.Add(time.Second)},
			})
			return s == sessions.Session{}, err
		}, func(st sessions.Store) bool {
			s, _ := st.Get(ctx, session().ID)
			return s.LastUsedAt.After(morning)
		}},
		{sessionstest.MethodEnded, func(st sessions.Store) (bool, error) {
			l, err := st.Ended(ctx, time.Time{})
			return l == nil, err
		}, nil},
		{sessionstest.MethodPrune, func(st sessions.Store) (bool, error) {
			n, err := st.Prune(ctx, sessions.PruneParams{ExpiredBefore: morning.Add(2 * time.Hour), Limit: 1})
			return n == 0, err
		}, func(st sessions.Store) bool {
			_, err := st.Get(ctx, session().ID)
			return errors.Is(err, sessions.ErrNotFound)
		}},
		{sessionstest.MethodNow, func(st sessions.Store) (bool, error) {
			now, err := st.Now(ctx)
			return now.IsZero(), err
		}, nil},
	} {
		newFaults := func(t *testing.T) *sessionstest.Faults {
			t.Helper()
			st := sessionstest.NewStore()
			behind := session()
			behind.ID, behind.UserID, behind.Impersonation = dependent, "bob", true
			behind.Actor, behind.ParentSessionID = session().UserID, session().ID
			behind.ExpiresAt = morning.Add(24 * time.Hour) // too young for the prune
			if err := errors.Join(st.Create(ctx, session()), st.Create(ctx, behind)); err != nil {
				t.Fatal(err)
			}
			return &sessionstest.Faults{Store: st}
		}

		t.Run(string(c.method)+" fails before it happens", func(t *testing.T) {
			t.Parallel()
			f := newFaults(t)
			f.Before = sessionstest.FailAt(c.method, 1, errAway)
			zero, err := c.call(f)
			if !errors.Is(err, errAway) || !zero {
				t.Errorf("got error %v and a zero result: %t", err, zero)
			}
			if c.happened != nil && c.happened(f.Store) {
				t.Error("it has happened")
			}
			if _, err := c.call(f); err != nil {
				t.Errorf("the second call: %v", err)
			}
			if n := f.Calls(c.method); n != 2 {
				t.Errorf("counted %d calls, want 2", n)
			}
		})
		t.Run(string(c.method)+" fails after it has happened", func(t *testing.T) {
			t.Parallel()
			f := newFaults(t)
			f.After = sessionstest.FailAt(c.method, 0, errAway)
			zero, err := c.call(f)
			if !errors.Is(err, errAway) || !zero {
				t.Errorf("got error %v and a zero result: %t", err, zero)
			}
			if c.happened != nil && !c.happened(f.Store) {
				t.Error("it has not happened")
			}
			if _, err := c.call(f); !errors.Is(err, errAway) {
				t.Errorf("the second call: got error %v", err)
			}
		})
	}
}

func TestFailAtLeavesOtherCallsAlone(t *testing.T) {
	t.Parallel()
	fault := sessionstest.FailAt(sessionstest.MethodEnd, 2, errAway)
	for _, c := range []struct {
		call sessionstest.Call
		want error
	}{
		{sessionstest.Call{Method: sessionstest.MethodEnd, N: 1}, nil},
		{sessionstest.Call{Method: sessionstest.MethodEnd, N: 2}, errAway},
		{sessionstest.Call{Method: sessionstest.MethodEnd, N: 3}, nil},
		{sessionstest.Call{Method: sessionstest.MethodEndMany, N: 2}, nil},
	} {
		if err := fault(t.Context(), c.call); !errors.Is(err, c.want) {
			t.Errorf("%s %d: got %v, want %v", c.call.Method, c.call.N, err, c.want)
		}
	}
}

func TestASlowStoreWaitsForTheGate(t *testing.T) {
	t.Parallel()
	st := sessionstest.NewStore()
	if err := st.Create(t.Context(), session()); err != nil {
		t.Fatal(err)
	}
	arrived, gate := make(chan struct{}), make(chan struct{})
	f := &sessionstest.Faults{Store: st, Before: func(ctx context.Context, c sessionstest.Call) error {
		if c.Method != sessionstest.MethodEnd {
			return nil
		}
		close(arrived)
		select {
		case <-gate:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}}

	done := make(chan error)
	go func() {
		_, err := f.End(t.Context(), sessions.EndParams{ID: session().ID, Now: morning, Reason: sessions.EndRevoked})
		done <- err
	}()
	<-arrived
	if s, err := f.Get(t.Context(), session().ID); err != nil || !s.EndedAt.IsZero() {
		t.Errorf("while End waits: got end %s and error %v", s.EndedAt, err)
	}
	close(gate)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if s, err := f.Get(t.Context(), session().ID); err != nil || s.EndedAt.IsZero() {
		t.Errorf("after End: got end %s and error %v", s.EndedAt, err)
	}
}
