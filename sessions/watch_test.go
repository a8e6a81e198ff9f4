package sessions_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

func wantCause(ctx context.Context, t *testing.T, want error) {
	t.Helper()
	synctest.Wait()
	if got := context.Cause(ctx); !errors.Is(got, want) {
		t.Errorf("the context has %v, want %v", got, want)
	}
}

func TestAWatchedContextEndsWithTheSessionAndNotWithTheToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReplicas(t)
		alice := sessionstest.SignIn(t, r.here, "alice")
		r.watch(t)
		ctx, cancel := r.there.Watch(t.Context(), alice.Identity(t))
		defer cancel()
		pass(3 * 10 * time.Minute) // the token is long dead
		wantCause(ctx, t, nil)

		end(t, r.here, alice)
		pass(sessions.RevocationBound)
		wantCause(ctx, t, sessions.ErrExpired)
		var expired *sessions.ExpiredError
		if !errors.As(context.Cause(ctx), &expired) || expired.UserID != "alice" ||
			expired.SessionID != alice.Grant.Session.ID || expired.ExpiredAt.IsZero() {
			t.Errorf("the cause is %+v", expired)
		}
	})
}

func TestEveryWatchOfASessionEndsAndNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReplicas(t)
		alice, other := sessionstest.SignIn(t, r.there, "alice"), sessionstest.SignIn(t, r.there, "alice")
		var mine []context.Context
		for range 10 {
			ctx, cancel := r.there.Watch(t.Context(), alice.Identity(t))
			defer cancel()
			mine = append(mine, ctx)
		}
		closed, closeIt := r.there.Watch(t.Context(), alice.Identity(t))
		closeIt()
		wantCause(closed, t, context.Canceled)
		another, cancel := r.there.Watch(t.Context(), other.Identity(t))
		defer cancel()

		end(t, r.there, alice) // in this process: at once, without a feed
		for _, ctx := range mine {
			wantCause(ctx, t, sessions.ErrExpired)
		}
		wantCause(closed, t, context.Canceled)
		wantCause(another, t, nil)
	})
}

func TestWatchesAreForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReplicas(t)
		for _, how := range []func(s *sessionstest.SignedIn, cancel context.CancelFunc){
			func(_ *sessionstest.SignedIn, cancel context.CancelFunc) { cancel() },
			func(s *sessionstest.SignedIn, _ context.CancelFunc) { end(t, r.there, s) },
		} {
			for range 10 {
				alice := sessionstest.SignIn(t, r.there, "alice")
				_, cancel := r.there.Watch(t.Context(), alice.Identity(t))
				how(alice, cancel)
			}
			synctest.Wait()
			if _, n := sessions.Remembered(r.there); n != 0 {
				t.Errorf("%d sessions are watched by nobody", n)
			}
		}
	})
}

func TestAWatchThatComesTooLateIsOverAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReplicas(t)
		alice, bob := sessionstest.SignIn(t, r.here, "alice"), sessionstest.SignIn(t, r.there, "bob")
		aliceID, bobID := alice.Identity(t), bob.Identity(t)
		end(t, r.here, alice)
		end(t, r.there, bob)
		late := func(id sessions.Identity) {
			ctx, cancel := r.there.Watch(t.Context(), id)
			defer cancel()
			wantCause(ctx, t, sessions.ErrExpired)
		}
		late(bobID) // ended by this process
		r.watch(t)
		late(aliceID)
	})
}

func TestAWatchedContextEndsWhenTheSessionExpires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReplicas(t, func(c *sessions.Config) { c.SessionTTL = time.Hour })
		alice := sessionstest.SignIn(t, r.here, "alice")
		ctx, cancel := r.there.Watch(t.Context(), alice.Identity(t))
		defer cancel()
		pass(time.Hour - time.Second)
		wantCause(ctx, t, nil)
		pass(time.Second)
		wantCause(ctx, t, sessions.ErrExpired)
	})
}

// The outage is longer than everything the feed keeps.
func TestAWatchHearsOfWhatEndedDuringALongOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReplicas(t)
		alice := sessionstest.SignIn(t, r.here, "alice")
		var away atomic.Bool
		r.faults.Before = func(context.Context, sessionstest.Call) error {
			if away.Load() {
				return errAway
			}
			return nil
		}
		r.watch(t)
		ctx, cancel := r.there.Watch(t.Context(), alice.Identity(t))
		defer cancel()
		away.Store(true)
		pass(time.Minute)
		end(t, r.here, alice)
		pass(3 * time.Hour)
		wantCause(ctx, t, nil) // nobody knew
		away.Store(false)
		pass(sessions.RevocationBound)
		wantCause(ctx, t, sessions.ErrExpired)
	})
}

func TestAWatchEndsWithItsParent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReplicas(t)
		alice := sessionstest.SignIn(t, r.here, "alice")
		gone := errors.New("the client is gone")
		parent, hangUp := context.WithCancelCause(t.Context())
		ctx, cancel := r.there.Watch(parent, alice.Identity(t))
		defer cancel()
		hangUp(gone)
		wantCause(ctx, t, gone)
		// A key has no session, so nothing but the parent ends this one.
		ctx, cancel = r.there.Watch(t.Context(), sessions.Identity{Access: sessions.AccessServer})
		wantCause(ctx, t, nil)
		cancel()
		wantCause(ctx, t, context.Canceled)
	})
}

// parent counts what waits for it to end.
type parent struct {
	context.Context

	done    chan struct{}
	waiting atomic.Int64
}

func (p *parent) Done() <-chan struct{} { return p.done }

func (p *parent) AfterFunc(func()) (stop func() bool) {
	p.waiting.Add(1)
	return sync.OnceValue(func() bool { p.waiting.Add(-1); return true })
}

// A connection that was hijacked is watched under the server's context, which lives on.
func TestAWatchLeavesNothingWithItsParent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReplicas(t)
		server := &parent{Context: t.Context(), done: make(chan struct{})}
		for _, how := range []func(s *sessionstest.SignedIn, cancel context.CancelFunc){
			func(_ *sessionstest.SignedIn, cancel context.CancelFunc) { cancel() },
			func(s *sessionstest.SignedIn, _ context.CancelFunc) { end(t, r.there, s) },
		} {
			alice := sessionstest.SignIn(t, r.there, "alice")
			_, cancel := r.there.Watch(server, alice.Identity(t))
			if server.waiting.Load() == 0 {
				t.Fatal("the context does not wait for its parent")
			}
			how(alice, cancel)
			synctest.Wait()
			if n := server.waiting.Load(); n != 0 {
				t.Errorf("%d contexts are left with the parent", n)
			}
		}
	})
}
