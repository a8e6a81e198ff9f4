package sessions_test

import (
	"context"
	"errors"
	"testing"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

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
		users, may, claims := c.Users, c.MayImpersonate, c.Claims
		c.Users = func(ctx context.Context, id string) (sessions.User, error) {
			if ctx.Value(key{}) != nil {
				see("Users", ctx)
			}
			return users(ctx, id)
		}
		c.MayImpersonate = func(ctx context.Context, actor sessions.Identity, target sessions.User) error {
			if ctx.Value(key{}) != nil {
				see("MayImpersonate", ctx)
			}
			return may(ctx, actor, target)
		}
		c.Claims = func(ctx context.Context, s sessions.Session, u sessions.User) (map[string]any, error) {
			if ctx.Value(key{}) != nil {
				see("Claims", ctx)
			}
			return claims(ctx, s, u)
		}
	})
	calls := 0
	joined := w.WithStore(&sessionstest.Faults{Store: w.Store, Before: func(ctx context.Context, c sessionstest.Call) error {
		calls++
		see(string(c.Method), ctx)
		return nil
	}})
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, true))
	defer cancel()
	caller := w.identity(t, w.alice)
	_, errCreate := joined.Create(ctx, sessions.CreateParams{UserID: "alice"})
	_, errImpersonate := joined.Impersonate(ctx, caller, sessions.CreateParams{UserID: "bob"})
	_, errList := joined.List(ctx, "alice", sessions.ListOptions{})
	_, errCheck := joined.Check(ctx, caller)
	_, errAgain := joined.Reauthenticate(ctx, w.alice.Session.ID)
	_, errEnd := joined.EndMany(ctx, "alice", "", "", "")
	if err := errors.Join(errCreate, errImpersonate, errList, errCheck, errAgain, errEnd); err != nil {
		t.Fatal(err)
	}
	if len(seen) > 0 || calls < 8 {
		t.Errorf("of %d calls these had another context: %v", calls, seen)
	}
}
