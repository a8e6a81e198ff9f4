package sessions_test

import (
	"context"
	"errors"
	"testing"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

func TestAJoinedHoldsItsEffectsBackUntilTheHostHasCommitted(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	g := k.create(t, sessions.CreateParams{})
	many := k.create(t, sessions.CreateParams{UserID: "bob"})
	k.takeEvents()
	joined := k.Join(k.Store)
	if _, err := joined.Create(t.Context(), sessions.CreateParams{UserID: "alice"}); err != nil {
		t.Fatal(err)
	}
	if _, err := joined.End(t.Context(), sessions.EndParams{ID: g.Session.ID}); err != nil {
		t.Fatal(err)
	}
	if ended, err := joined.EndMany(t.Context(), sessions.EndManyParams{UserID: "bob"}); err != nil || len(ended) != 1 {
		t.Fatalf("ended %v, %v", ended, err)
	}
	equalTypes(t, k.takeEvents())
	for _, token := range []sessions.Token{g.AccessToken, many.AccessToken} {
		if _, err := k.Verify(token.Reveal()); err != nil {
			t.Errorf("refused before the host has committed: %v", err)
		}
	}
	joined.Committed(t.Context())
	equalTypes(t, k.takeEvents(), sessions.EventCreated, sessions.EventEnded, sessions.EventEnded)
	for _, token := range []sessions.Token{g.AccessToken, many.AccessToken} {
		if _, err := k.Verify(token.Reveal()); !errors.Is(err, sessions.ErrExpired) {
			t.Errorf("after the commit: %v", err)
		}
	}
	joined.Committed(t.Context())
	equalTypes(t, k.takeEvents())
}

// A password change that keeps this browser signed in, as Reauthenticate does outside a transaction.
func TestAJoinedReplacesASession(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	old := k.create(t, sessions.CreateParams{})
	k.takeEvents()
	joined := k.Join(k.Store)
	next, errCreate := joined.Create(t.Context(), sessions.CreateParams{UserID: "alice"})
	_, errEnd := joined.EndMany(t.Context(), sessions.EndManyParams{
		UserID: "alice", ExceptID: next.Session.ID, Reason: sessions.EndReplaced,
	})
	if err := errors.Join(errCreate, errEnd); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Verify(old.AccessToken.Reveal()); err != nil {
		t.Errorf("before the commit the old access token is refused: %v", err)
	}
	joined.Committed(t.Context())
	equalTypes(t, k.takeEvents(), sessions.EventCreated, sessions.EventEnded)
	if _, err := k.Verify(old.AccessToken.Reveal()); !errors.Is(err, sessions.ErrExpired) {
		t.Errorf("after the commit: error %v", err)
	}
	if s := k.session(t, old.Session.ID); s.EndReason != sessions.EndReplaced {
		t.Errorf("the old session is %+v", s)
	}
}

// After the commit nobody waits for the host's transaction any more, and nobody can cancel the events.
func TestTheEventsOfACommitHaveATimeLimit(t *testing.T) {
	t.Parallel()
	limited := false
	k := newKit(t, func(c *sessions.Config) {
		c.OnEvent = func(ctx context.Context, _ sessions.Event) { _, limited = ctx.Deadline() }
	})
	joined := k.Join(k.Store)
	if _, err := joined.Create(t.Context(), sessions.CreateParams{UserID: "alice"}); err != nil {
		t.Fatal(err)
	}
	joined.Committed(t.Context())
	if !limited {
		t.Error("the hook had no time limit")
	}
}

// In a transaction of the host the host decides.
func TestAJoinedCallHasTheContextOfTheHostAlone(t *testing.T) {
	t.Parallel()
	type key struct{}
	var seen []string
	see := func(what string, ctx context.Context) {
		if _, limited := ctx.Deadline(); limited || ctx.Value(key{}) == nil || ctx.Done() == nil {
			seen = append(seen, what)
		}
	}
	w := newInterrupted(t, func(c *sessions.Config) {
		users, claims := c.Users, c.Claims
		c.Users = func(ctx context.Context, id string) (sessions.User, error) {
			if ctx.Value(key{}) != nil {
				see("Users", ctx)
			}
			return users(ctx, id)
		}
		c.Claims = func(ctx context.Context, s sessions.Session, u sessions.User) (map[string]any, error) {
			if ctx.Value(key{}) != nil {
				see("Claims", ctx)
			}
			return claims(ctx, s, u)
		}
	})
	calls := 0
	joined := w.Join(&sessionstest.Faults{Store: w.Store, Before: func(ctx context.Context, c sessionstest.Call) error {
		calls++
		see(string(c.Method), ctx)
		return nil
	}})
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, true))
	defer cancel()
	_, errCreate := joined.Create(ctx, sessions.CreateParams{UserID: "alice"})
	_, errActing := joined.Create(ctx, sessions.CreateParams{UserID: "bob", Impersonation: true, By: "support"})
	_, errOne := joined.End(ctx, sessions.EndParams{ID: w.alice.Session.ID})
	_, errEnd := joined.EndMany(ctx, sessions.EndManyParams{UserID: "alice"})
	if err := errors.Join(errCreate, errActing, errOne, errEnd); err != nil {
		t.Fatal(err)
	}
	if len(seen) > 0 || calls < 6 {
		t.Errorf("of %d calls these had another context: %v", calls, seen)
	}
}
