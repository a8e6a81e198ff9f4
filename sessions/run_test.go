package sessions_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

// running is a Run there.
type running struct {
	*replicas
	stop  context.CancelFunc
	ended chan error
}

// run starts Run there; its end is waited for.
func (r *replicas) run(t *testing.T) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	running := &running{r, cancel, make(chan error, 1)}
	var wg sync.WaitGroup
	wg.Go(func() { running.ended <- r.there.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	synctest.Wait()
	return running
}

// returned returns what Run has returned, if it has.
func (r *running) returned() (err error, ok bool) { //nolint:revive // as a map answers
	synctest.Wait()
	select {
	case err := <-r.ended:
		return err, true
	default:
		return nil, false
	}
}

func (r *running) wantCalls(t *testing.T, m sessionstest.Method, want int) {
	t.Helper()
	synctest.Wait()
	if n := r.faults.Calls(m); n != want {
		t.Errorf("%d calls of %s, want %d", n, m, want)
	}
}

func (r *running) wantLogged(t *testing.T, text string, want int) {
	t.Helper()
	synctest.Wait()
	if n := strings.Count(r.log.String(), text); n != want {
		t.Errorf("%q is logged %d times, want %d:\n%s", text, n, want, r.log.String())
	}
}

// failing makes the calls of some methods there fail while the switch is on.
func (r *replicas) failing(methods ...sessionstest.Method) *atomic.Bool {
	var away atomic.Bool
	away.Store(true)
	r.faults.Before = func(_ context.Context, c sessionstest.Call) error {
		if !away.Load() {
			return nil
		}
		if len(methods) == 0 {
			return errAway
		}
		if slices.Contains(methods, c.Method) {
			return errAway
		}
		return nil
	}
	return &away
}

func TestRunKeepsTheFeedAndPrunesEveryHour(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReplicas(t, func(c *sessions.Config) { c.Retention = 3 * time.Hour })
		alice, bob := sessionstest.SignIn(t, r.here, "alice"), sessionstest.SignIn(t, r.here, "bob")
		old := sessionstest.SignIn(t, r.here, "alice").Grant.Session.ID
		if _, err := r.here.End(t.Context(), sessions.EndParams{ID: old}); err != nil {
			t.Fatal(err)
		}
		run := r.run(t)
		run.wantCalls(t, sessionstest.MethodPrune, 1)
		end(t, r.here, alice)
		pass(sessions.RevocationBound)
		synctest.Wait()
		r.wantAdmitted(t, alice, sessions.DefaultRevocation, false)
		r.wantAdmitted(t, bob, sessions.DefaultRevocation, true)

		pass(time.Hour)
		run.wantCalls(t, sessionstest.MethodPrune, 2)
		pass(3 * time.Hour)
		run.wantCalls(t, sessionstest.MethodPrune, 5)
		if _, err := r.here.Get(t.Context(), old); !errors.Is(err, sessions.ErrNotFound) {
			t.Errorf("what is over is still there: %v", err)
		}
		if err, ok := run.returned(); ok {
			t.Fatalf("it returned %v", err)
		}
		run.stop()
		if err, ok := run.returned(); !ok || err != nil {
			t.Errorf("after the end of its context: returned %v, %v", ok, err)
		}
		if polls := r.faults.Calls(sessionstest.MethodEnded); polls == 0 {
			t.Error("no polls")
		} else {
			pass(time.Hour)
			run.wantCalls(t, sessionstest.MethodEnded, polls)
		}
		run.wantLogged(t, "level=", 0)
	})
}

// The clock could not be checked at the start, and that must not open what the feed guards.
func TestWhileTheClockIsUnknownTheDefaultOfTheDialIsNotStateless(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReplicas(t)
		alice, bob := sessionstest.SignIn(t, r.here, "alice"), sessionstest.SignIn(t, r.here, "bob")
		end(t, r.here, alice)
		away := r.failing(sessionstest.MethodNow)
		run := r.run(t)
		for range 3 {
			r.wantAdmitted(t, alice, sessions.DefaultRevocation, false) // by a lookup
			r.wantAdmitted(t, bob, sessions.DefaultRevocation, true)
			pass(3 * time.Minute)
		}
		run.wantCalls(t, sessionstest.MethodEnded, 0)
		run.wantCalls(t, sessionstest.MethodPrune, 0)
		run.wantLogged(t, "upkeep fails", 1)

		away.Store(false)
		pass(time.Second)
		run.wantLogged(t, "works again", 1)
		reads := r.faults.Calls(sessionstest.MethodGet)
		r.wantAdmitted(t, alice, sessions.DefaultRevocation, false) // by the feed
		run.wantCalls(t, sessionstest.MethodGet, reads)
		run.wantCalls(t, sessionstest.MethodPrune, 1)
	})
}

func TestRunOutlastsAnOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReplicas(t)
		away := r.failing()
		run := r.run(t)
		pass(8 * time.Hour)
		if err, ok := run.returned(); ok {
			t.Fatalf("it returned %v", err)
		}
		run.wantLogged(t, "level=", 1)
		away.Store(false)
		pass(time.Second)
		run.wantLogged(t, "level=", 2)
		run.wantCalls(t, sessionstest.MethodPrune, 1)

		away.Store(true)
		pass(8 * time.Hour)
		run.wantLogged(t, "level=ERROR", 3) // of the feed and of the prune one each
		away.Store(false)
		pass(time.Minute)
		run.wantLogged(t, "level=ERROR", 3)
		run.wantLogged(t, "level=INFO", 3)
		alice := sessionstest.SignIn(t, r.here, "alice")
		end(t, r.here, alice)
		pass(sessions.RevocationBound)
		synctest.Wait()
		r.wantAdmitted(t, alice, sessions.DefaultRevocation, false)
	})
}

// A prune that fails costs nothing but the prune, and is made up for soon.
func TestAPruneThatFailsLeavesTheFeedAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReplicas(t)
		away := r.failing(sessionstest.MethodPrune)
		run := r.run(t)
		pass(10*time.Minute + time.Second)
		run.wantCalls(t, sessionstest.MethodPrune, 11)
		run.wantLogged(t, "upkeep fails", 1)
		alice := sessionstest.SignIn(t, r.here, "alice")
		end(t, r.here, alice)
		pass(sessions.RevocationBound)
		synctest.Wait()
		reads := r.faults.Calls(sessionstest.MethodGet)
		r.wantAdmitted(t, alice, sessions.DefaultRevocation, false)
		run.wantCalls(t, sessionstest.MethodGet, reads)
		away.Store(false)
		pass(time.Minute)
		run.wantCalls(t, sessionstest.MethodPrune, 12)
		run.wantLogged(t, "works again", 1)
		pass(59 * time.Minute)
		run.wantCalls(t, sessionstest.MethodPrune, 12)
	})
}

func TestRunEndsIfTheClocksAreApart(t *testing.T) {
	t.Parallel()
	for name, later := range map[string]bool{"at the start": false, "at a later prune": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newReplicas(t)
				var apart atomic.Int64
				r.store.Clock = func() time.Time { return time.Now().Add(-time.Duration(apart.Load())) }
				if !later {
					apart.Store(int64(time.Minute))
				}
				run := r.run(t)
				if later {
					pass(150 * time.Minute)
					run.wantCalls(t, sessionstest.MethodPrune, 3)
					apart.Store(int64(time.Minute))
					pass(29 * time.Minute)
					if err, ok := run.returned(); ok {
						t.Fatalf("it returned %v", err)
					}
					pass(time.Minute)
				}
				err, ok := run.returned()
				if !ok || err == nil || errors.Is(err, sessions.ErrUnavailable) ||
					!strings.Contains(err.Error(), "apart") {
					t.Fatalf("returned %v, %v", ok, err)
				}
				run.wantLogged(t, "level=ERROR", 1) // for those who do not look at the error
				if later {
					run.wantCalls(t, sessionstest.MethodPrune, 3)
				} else {
					run.wantCalls(t, sessionstest.MethodEnded, 0)
					run.wantCalls(t, sessionstest.MethodPrune, 0)
				}
				// What was guarded stays guarded.
				alice := sessionstest.SignIn(t, r.here, "alice")
				r.wantAdmitted(t, alice, sessions.DefaultRevocation, true)
				end(t, r.here, alice)
				r.wantAdmitted(t, alice, sessions.DefaultRevocation, false)
			})
		})
	}
}

// A host may call the parts itself, and Run then does the rest.
func TestRunNextToAFeedThatRunsDoesNotPollTwice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReplicas(t)
		r.watch(t)
		run := r.run(t)
		second := r.run(t)
		pass(time.Minute)
		run.wantCalls(t, sessionstest.MethodEnded, 61)
		run.stop()
		second.stop()
		if err, ok := run.returned(); !ok || err != nil {
			t.Errorf("returned %v, %v", ok, err)
		}
		pass(time.Minute)
		run.wantCalls(t, sessionstest.MethodEnded, 121)
	})
}

func TestRunReturnsSoonAfterItsContextIsDone(t *testing.T) {
	t.Parallel()
	for _, method := range []sessionstest.Method{
		sessionstest.MethodNow, sessionstest.MethodEnded, sessionstest.MethodPrune,
	} {
		for name, hangs := range map[string]bool{"hangs": true, "fails": false} {
			t.Run(string(method)+" "+name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					r := newReplicas(t)
					r.faults.Before = func(ctx context.Context, c sessionstest.Call) error {
						switch {
						case c.Method != method:
							return nil
						case hangs:
							<-ctx.Done()
							return ctx.Err()
						default:
							return errAway
						}
					}
					run := r.run(t)
					pass(1500 * time.Millisecond)
					run.stop()
					if err, ok := run.returned(); !ok || err != nil {
						t.Errorf("returned %v, %v", ok, err)
					}
				})
			})
		}
	}
	t.Run("before the start", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := sessionstest.New(t).Run(ctx); err != nil {
			t.Error(err)
		}
	})
}

// A database that has gone silent does not hold the upkeep for ever.
func TestTheCallsOfRunHaveDeadlines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReplicas(t)
		var unlimited []sessionstest.Method
		var mu sync.Mutex
		r.faults.Before = func(ctx context.Context, c sessionstest.Call) error {
			mu.Lock()
			defer mu.Unlock()
			if _, ok := ctx.Deadline(); !ok {
				unlimited = append(unlimited, c.Method)
			}
			return nil
		}
		run := r.run(t)
		pass(2 * time.Hour)
		run.wantCalls(t, sessionstest.MethodPrune, 3)
		mu.Lock()
		defer mu.Unlock()
		if len(unlimited) > 0 {
			t.Errorf("without a deadline: %v", unlimited)
		}
	})
}
