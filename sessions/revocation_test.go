package sessions_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

// replicas are two processes on one store: here ends sessions, there has the routes.
type replicas struct {
	here, there *sessions.Manager
	store       *sessionstest.Store
	faults      *sessionstest.Faults // of there
	log         bytes.Buffer         // of there
}

func newReplicas(t *testing.T, change ...func(*sessions.Config)) *replicas {
	t.Helper()
	change = append([]func(*sessions.Config){func(c *sessions.Config) { c.Now = time.Now }}, change...)
	k := sessionstest.New(t, change...)
	k.Store.Clock = time.Now
	r := &replicas{here: k.Manager, store: k.Store, faults: &sessionstest.Faults{Store: k.Store}}
	config := k.Config
	config.Store, config.Logger = r.faults, slog.New(slog.NewTextHandler(&r.log, nil))
	var err error
	if r.there, err = sessions.New(config); err != nil {
		t.Fatal(err)
	}
	return r
}

// watch starts the feed there, and returns what stops it and waits for that.
func (r *replicas) watch(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	running.Go(func() { r.there.WatchRevocations(ctx) })
	synctest.Wait()
	stop = func() {
		cancel()
		running.Wait()
	}
	t.Cleanup(stop)
	return stop
}

// admit is a request to a route there.
func (r *replicas) admit(t *testing.T, s *sessionstest.SignedIn, dial sessions.Revocation) error {
	t.Helper()
	request := httptest.NewRequest(http.MethodGet, "/", nil)
	request.Header = s.Header()
	_, err := r.there.Admit(httptest.NewRecorder(), request, sessions.NeedUser, dial)
	return err
}

func (r *replicas) wantAdmitted(t *testing.T, s *sessionstest.SignedIn, dial sessions.Revocation, want bool) {
	t.Helper()
	switch err := r.admit(t, s, dial); {
	case want && err != nil:
		t.Errorf("dial %d: refused: %v", dial, err)
	case !want && !errors.Is(err, sessions.ErrExpired):
		t.Errorf("dial %d: got %v, want ErrExpired", dial, err)
	}
}

func end(t *testing.T, m *sessions.Manager, s *sessionstest.SignedIn) {
	t.Helper()
	if _, err := m.End(t.Context(), sessions.EndParams{ID: s.Grant.Session.ID}); err != nil {
		t.Fatal(err)
	}
}

// endLate makes an end visible now that was stamped some time ago, as the commit of a
// long transaction, or another clock, does.
func (r *replicas) endLate(t *testing.T, s *sessionstest.SignedIn, ago time.Duration) {
	t.Helper()
	_, err := r.store.End(t.Context(), sessions.EndParams{
		ID: s.Grant.Session.ID, Now: time.Now().Add(-ago), Reason: sessions.EndRevoked,
	})
	if err != nil {
		t.Fatal(err)
	}
}

// pass lets time pass inside a synctest bubble, without waiting.
func pass(d time.Duration) { time.Sleep(d) } //nolint:forbidigo // the bubble's clock, not the real one

func TestBoundedRoutesRefuseWithinTheBoundWhateverThePhase(t *testing.T) {
	t.Parallel()
	for _, phase := range []time.Duration{
		0, time.Millisecond, 500 * time.Millisecond, 999 * time.Millisecond, 29*time.Second + 999*time.Millisecond,
		5 * time.Minute,
	} {
		t.Run(phase.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newReplicas(t)
				alice, bob := sessionstest.SignIn(t, r.here, "alice"), sessionstest.SignIn(t, r.here, "bob")
				r.watch(t)
				pass(phase)
				r.wantAdmitted(t, alice, sessions.Bounded, true)
				end(t, r.here, alice)
				reads := r.faults.Calls(sessionstest.MethodGet)
				pass(sessions.RevocationBound)
				synctest.Wait()
				r.wantAdmitted(t, alice, sessions.Bounded, false)
				r.wantAdmitted(t, alice, sessions.DefaultRevocation, false)
				r.wantAdmitted(t, alice, sessions.Stateless, true)
				r.wantAdmitted(t, bob, sessions.Bounded, true)
				if n := r.faults.Calls(sessionstest.MethodGet) - reads; n != 0 {
					t.Errorf("bounded routes asked the store %d times", n)
				}
			})
		})
	}
}

// What is refused once stays refused for as long as its token could be used.
func TestABoundedRefusalLastsAsLongAsTheToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReplicas(t, func(c *sessions.Config) { c.ClockSkew = time.Minute })
		alice := sessionstest.SignIn(t, r.here, "alice")
		r.watch(t)
		end(t, r.here, alice)
		pass(2 * time.Second)
		for lived := 2 * time.Second; lived < 10*time.Minute+2*time.Minute; lived += 7 * time.Second {
			r.wantAdmitted(t, alice, sessions.Bounded, false)
			pass(7 * time.Second)
		}
		pass(time.Minute)
		if n, _ := sessions.Remembered(r.there); n != 0 {
			t.Errorf("%d ended sessions are remembered for nothing", n)
		}
	})
}

func TestALateCommitIsFoundWithinHalfAMinuteMore(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ ago, within time.Duration }{
		"by a clock 5 s behind":                   {5 * time.Second, sessions.RevocationBound},
		"by a clock 5 s ahead":                    {-5 * time.Second, sessions.RevocationBound},
		"5 s behind, and 4 s after the call":      {9 * time.Second, sessions.RevocationBound},
		"at the end of a transaction of a minute": {time.Minute, sessions.RevocationBound + 30*time.Second},
		"of one almost as long as the token can live": {
			10*time.Minute - time.Minute, sessions.RevocationBound + 30*time.Second,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newReplicas(t)
				r.watch(t)
				pass(42 * time.Second)
				alice := sessionstest.SignIn(t, r.here, "alice")
				pass(300 * time.Millisecond)
				r.endLate(t, alice, test.ago)
				pass(test.within)
				synctest.Wait()
				r.wantAdmitted(t, alice, sessions.Bounded, false)
			})
		})
	}
}

func TestTheDefaultOfTheDialFollowsTheFeed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReplicas(t)
		alice := sessionstest.SignIn(t, r.here, "alice")
		end(t, r.here, alice)
		if got := r.there.Health(); got.FeedRunning || got.FeedCurrent {
			t.Errorf("before it starts: health %+v", got)
		}
		r.wantAdmitted(t, alice, sessions.DefaultRevocation, true)
		// Without a feed a route that asks for the bound gets more, not less.
		r.wantAdmitted(t, alice, sessions.Bounded, false)

		stop := r.watch(t)
		if got := r.there.Health(); !got.FeedCurrent || got.FeedReadAt.IsZero() || got.FeedError != nil {
			t.Errorf("health %+v", got)
		}
		r.wantAdmitted(t, alice, sessions.DefaultRevocation, false)
		r.there.WatchRevocations(t.Context()) // a second one returns at once
		if got := r.there.Health(); !got.FeedRunning || !got.FeedCurrent {
			t.Errorf("after a second one has returned: health %+v", got)
		}

		stop()
		if got := r.there.Health(); got.FeedRunning || got.FeedCurrent {
			t.Errorf("after it stopped: health %+v", got)
		}
		// What stops must not open what it guarded: a server that shuts down still
		// answers.
		r.wantAdmitted(t, alice, sessions.Bounded, false)
		r.wantAdmitted(t, alice, sessions.DefaultRevocation, false)
		r.watch(t) // and it can be started again
		r.wantAdmitted(t, alice, sessions.DefaultRevocation, false)
	})
}

func TestInTheProcessThatEndedItARefusalIsImmediateWhateverTheDial(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReplicas(t)
		for _, dial := range []sessions.Revocation{
			sessions.DefaultRevocation, sessions.Stateless, sessions.Bounded, sessions.Strict,
		} {
			alice := sessionstest.SignIn(t, r.there, "alice")
			r.wantAdmitted(t, alice, dial, true)
			end(t, r.there, alice)
			r.wantAdmitted(t, alice, dial, false)
		}
	})
}

func TestWhereTheFeedIsBehindTheFallbackDecides(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fallback sessions.Revocation
		admitted bool
	}{
		"strict by default": {sessions.DefaultRevocation, false},
		"strict":            {sessions.Strict, false},
		"stateless":         {sessions.Stateless, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newReplicas(t, func(c *sessions.Config) { c.RevocationFallback = test.fallback })
				alice, bob := sessionstest.SignIn(t, r.here, "alice"), sessionstest.SignIn(t, r.here, "bob")
				var away atomic.Bool
				r.faults.Before = func(_ context.Context, c sessionstest.Call) error {
					if away.Load() && c.Method == sessionstest.MethodEnded {
						return errAway
					}
					return nil
				}
				r.watch(t)
				synctest.Wait()
				away.Store(true)
				end(t, r.here, alice)
				// Up to the bound what is known counts, although polls fail.
				pass(sessions.RevocationBound - time.Second)
				synctest.Wait()
				if got := r.there.Health(); !got.FeedCurrent || !errors.Is(got.FeedError, errAway) {
					t.Errorf("within the bound: health %+v", got)
				}
				r.wantAdmitted(t, bob, sessions.Bounded, true)

				pass(time.Second + time.Millisecond)
				synctest.Wait()
				if got := r.there.Health(); !got.FeedRunning || got.FeedCurrent {
					t.Errorf("behind the bound: health %+v", got)
				}
				r.wantAdmitted(t, alice, sessions.Bounded, test.admitted)
				r.wantAdmitted(t, alice, sessions.DefaultRevocation, test.admitted)
				r.wantAdmitted(t, bob, sessions.Bounded, true)

				away.Store(false)
				pass(time.Second)
				synctest.Wait()
				if got := r.there.Health(); !got.FeedCurrent || got.FeedError != nil {
					t.Errorf("after the outage: health %+v", got)
				}
				reads := r.faults.Calls(sessionstest.MethodGet)
				r.wantAdmitted(t, alice, sessions.Bounded, false)
				if r.faults.Calls(sessionstest.MethodGet) != reads {
					t.Error("the fallback outlasts the outage")
				}
				log := r.log.String()
				if n := strings.Count(log, "revocation feed cannot read"); n != 1 {
					t.Errorf("the failure was logged %d times", n)
				}
				if n := strings.Count(log, "revocation feed reads again"); n != 1 {
					t.Errorf("the recovery was logged %d times", n)
				}
			})
		})
	}
}

// A fallback that cannot look either says so, and admits nobody.
func TestBehindAndWithoutADatabaseABoundedRouteIs503(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReplicas(t)
		alice := sessionstest.SignIn(t, r.here, "alice")
		r.faults.Before = func(context.Context, sessionstest.Call) error { return errAway }
		r.watch(t)
		if err := r.admit(t, alice, sessions.Bounded); !errors.Is(err, sessions.ErrUnavailable) {
			t.Errorf("got %v, want ErrUnavailable", err)
		}
		if got := r.there.Health(); !got.FeedRunning || got.FeedCurrent || !got.FeedReadAt.IsZero() {
			t.Errorf("health %+v", got)
		}
	})
}

// A poll that hangs is given up, and the next one is made.
func TestAHangingPollIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReplicas(t)
		var hang atomic.Bool
		r.faults.Before = func(ctx context.Context, c sessionstest.Call) error {
			if hang.Load() && c.Method == sessionstest.MethodEnded {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}
		stop := r.watch(t)
		hang.Store(true)
		pass(time.Minute)
		if got := r.there.Health(); !got.FeedRunning || got.FeedCurrent {
			t.Errorf("while polls hang: health %+v", got)
		}
		hang.Store(false)
		pass(time.Minute)
		synctest.Wait()
		if got := r.there.Health(); !got.FeedCurrent {
			t.Errorf("after that: health %+v", got)
		}
		logged := r.log.Len()
		hang.Store(true)
		pass(time.Second)
		if stop(); r.there.Health().FeedError != nil || r.log.Len() != logged {
			t.Errorf("a poll that was stopped with the feed counts as failed: %v", r.there.Health().FeedError)
		}
	})
}

// The impersonation was never marked as ended: the mark failed, or is still to come.
func TestTheFeedEndsAnImpersonationWithItsActorsSession(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReplicas(t, func(c *sessions.Config) {
			c.MayImpersonate = func(context.Context, sessions.Identity, sessions.User) error { return nil }
		})
		bob := sessionstest.SignIn(t, r.here, "bob")
		grant, err := r.here.Impersonate(t.Context(), bob.Identity(t), sessions.CreateParams{UserID: "alice"})
		if err != nil {
			t.Fatal(err)
		}
		acting, err := r.there.Verify(grant.AccessToken.Reveal())
		if err != nil {
			t.Fatal(err)
		}
		r.watch(t)
		ctx, cancel := r.there.Watch(t.Context(), acting)
		defer cancel()
		r.endLate(t, bob, 0) // the store alone: nobody marks
		pass(sessions.RevocationBound)
		synctest.Wait()
		if !errors.Is(context.Cause(ctx), sessions.ErrExpired) {
			t.Errorf("the watched context has %v", context.Cause(ctx))
		}
		request := httptest.NewRequest(http.MethodGet, "/", nil)
		request.Header.Set("Authorization", "Bearer "+grant.AccessToken.Reveal())
		if _, err := r.there.Authenticate(request, sessions.Bounded); !errors.Is(err, sessions.ErrExpired) {
			t.Errorf("got %v, want ErrExpired", err)
		}
	})
}

// An unknown setting is a mistake, and mistakes are strict.
func TestAnUnknownSettingOfTheDialIsStrict(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReplicas(t)
		alice := sessionstest.SignIn(t, r.here, "alice")
		end(t, r.here, alice)
		r.wantAdmitted(t, alice, sessions.Revocation(42), false)
	})
}

func TestHealthMarshalsWithoutTheError(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(sessions.Health{FeedRunning: true, FeedError: errAway})
	if err != nil || string(text) != `{"feed_running":true,"feed_current":false}` {
		t.Errorf("%s, %v", text, err)
	}
}

func TestRevocationFallbackIsStrictOrStateless(t *testing.T) {
	t.Parallel()
	k := sessionstest.New(t)
	for _, dial := range []sessions.Revocation{sessions.Bounded, -1, 42} {
		config := k.Config
		config.RevocationFallback = dial
		if _, err := sessions.New(config); err == nil || !strings.Contains(err.Error(), "RevocationFallback") {
			t.Errorf("%d: %v", dial, err)
		}
	}
}

// After its clock was set back, a process does not know the age of the feed until the next
// poll.
func TestAClockSetBackMakesTheFeedBehindUntilItReads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var back atomic.Int64
		r := newReplicas(t, func(c *sessions.Config) {
			c.Now = func() time.Time { return time.Now().Round(0).Add(-time.Duration(back.Load())) } // not monotonic
		})
		r.watch(t)
		back.Store(int64(time.Hour))
		if got := r.there.Health(); !got.FeedRunning || got.FeedCurrent {
			t.Errorf("after the clock was set back: health %+v", got)
		}
		pass(time.Second)
		synctest.Wait()
		if got := r.there.Health(); !got.FeedRunning || !got.FeedCurrent {
			t.Errorf("after a poll: health %+v", got)
		}
		// Nor does the reading of the whole window wait until the clock catches up.
		alice := sessionstest.SignIn(t, r.there, "alice")
		r.endLate(t, alice, 50*time.Second+time.Duration(back.Load()))
		pass(35 * time.Second)
		synctest.Wait()
		r.wantAdmitted(t, alice, sessions.Bounded, false)
	})
}

// A deadline of the host's is no client that hangs up, and a failure that nobody
// waits for any more is still one.
func TestFailuresAreLoggedThoughTheClientBeGone(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		ctx  func(context.Context) (context.Context, context.CancelFunc)
		fail error
	}{
		"a deadline": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 0)
		}, context.DeadlineExceeded},
		"no table": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			return ctx, cancel
		}, errors.New("relation does not exist")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newReplicas(t)
				alice := sessionstest.SignIn(t, r.here, "alice")
				r.faults.Before = func(context.Context, sessionstest.Call) error { return test.fail }
				ctx, cancel := test.ctx(t.Context())
				defer cancel()
				request := httptest.NewRequestWithContext(ctx, http.MethodGet, "/auth/sessions/current", nil)
				request.Header = alice.Header()
				_, _ = r.there.Admit(httptest.NewRecorder(), request, sessions.NeedUser, sessions.Strict)
				pass(time.Second) // two of one kind at once are one line
				sessions.NewHandler(r.there).ServeHTTP(httptest.NewRecorder(), request)
				if n := strings.Count(r.log.String(), "request failed"); n != 2 {
					t.Errorf("logged %d times: %s", n, &r.log)
				}
			})
		})
	}
}

func TestAClientThatHangsUpIsNoError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReplicas(t)
		alice := sessionstest.SignIn(t, r.here, "alice")
		ctx, hangUp := context.WithCancel(t.Context())
		hangUp()
		request := httptest.NewRequestWithContext(ctx, http.MethodGet, "/auth/sessions/current", nil)
		request.Header = alice.Header()
		if _, err := r.there.Admit(httptest.NewRecorder(), request, sessions.NeedUser, sessions.Strict); !errors.Is(err,
			sessions.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
		sessions.NewHandler(r.there).ServeHTTP(httptest.NewRecorder(), request)
		if r.log.Len() != 0 {
			t.Errorf("logged: %s", &r.log)
		}
	})
}

// The feed comes back for what a crash has left, and leaves to the living what is theirs:
// they know by whom the session was ended.
func TestTheFeedEndsWhatIsLeftUnmarked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReplicas(t, func(c *sessions.Config) {
			c.MayImpersonate = func(context.Context, sessions.Identity, sessions.User) error { return nil }
		})
		alice := sessionstest.SignIn(t, r.here, "alice")
		acting, err := r.here.Impersonate(t.Context(), alice.Identity(t), sessions.CreateParams{UserID: "bob"})
		if err != nil {
			t.Fatal(err)
		}
		r.watch(t)
		pass(time.Minute - time.Second)
		r.endLate(t, alice, 0) // as a process does that dies then
		marks := func() int { return r.faults.Calls(sessionstest.MethodEndDependents) }

		pass(2 * time.Second)
		synctest.Wait()
		if n := marks(); n != 0 {
			t.Errorf("marked %d times while the process that ended it may be about to", n)
		}
		pass(30*time.Second + sessions.RevocationBound)
		synctest.Wait()
		if s, err := r.there.Get(t.Context(), acting.Session.ID); err != nil || s.EndReason != sessions.EndParentEnded {
			t.Errorf("%+v, %v", s, err)
		}
		pass(5 * time.Minute)
		if n := marks(); n != 1 {
			t.Errorf("%d statements for one that was left", n)
		}
	})
}

// A hook or a statement that panics or hangs stops the marking and never the feed. The feed
// runs in a goroutine in which nobody else would recover, and bounded routes rely on it.
func TestMarkingWhatIsLeftLeavesTheFeedAlone(t *testing.T) {
	t.Parallel()
	for name, breaks := range map[string]func(c *sessions.Config){
		"a hook panics": func(c *sessions.Config) {
			c.OnEvent = func(_ context.Context, e sessions.Event) {
				if e.Session.EndReason == sessions.EndParentEnded {
					panic("a hook")
				}
			}
		},
		"a hook hangs": func(c *sessions.Config) {
			c.OnEvent = func(ctx context.Context, e sessions.Event) {
				if e.Session.EndReason == sessions.EndParentEnded {
					<-ctx.Done()
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newReplicas(t, func(c *sessions.Config) {
					c.MayImpersonate = func(context.Context, sessions.Identity, sessions.User) error { return nil }
					breaks(c)
				})
				alice := sessionstest.SignIn(t, r.here, "alice")
				var acting []sessions.Grant
				for range 10 {
					g, err := r.here.Impersonate(t.Context(), alice.Identity(t), sessions.CreateParams{UserID: "bob"})
					if err != nil {
						t.Fatal(err)
					}
					acting = append(acting, g)
				}
				r.watch(t)
				r.endLate(t, alice, 0)
				for second := range 120 {
					pass(time.Second)
					synctest.Wait()
					if state := r.there.Health(); !state.FeedCurrent {
						t.Fatalf("after %d s: health %+v", second, state)
					}
				}
				for _, g := range acting {
					if s, err := r.there.Get(t.Context(), g.Session.ID); err != nil ||
						s.EndReason != sessions.EndParentEnded {
						t.Errorf("%+v, %v", s, err)
					}
				}
				if logged := strings.Contains(r.log.String(), "panic in a hook"); logged != (name == "a hook panics") {
					t.Errorf("logged %s", r.log.String())
				}
			})
		})
	}
}

func TestTheFeedOfAHostWithoutImpersonationMarksNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReplicas(t)
		r.watch(t)
		end(t, r.here, sessionstest.SignIn(t, r.here, "alice"))
		pass(2 * time.Minute)
		if n := r.faults.Calls(sessionstest.MethodEndDependents); n != 0 {
			t.Errorf("%d statements", n)
		}
	})
}
