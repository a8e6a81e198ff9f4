package sessions_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/sessile-go/sessile/sessions"
)

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

func TestStrictRotationIsAccepted(t *testing.T) {
	t.Parallel()
	k := newKit(t, func(c *sessions.Config) { c.Rotation = sessions.StrictRotation() })
	g := k.create(t, sessions.CreateParams{})
	k.refresh(t, g.RefreshToken)
	k.refuse(t, g.RefreshToken, sessions.ErrReplay)
	k.refuse(t, g.RefreshToken, sessions.ErrSessionEnded)
}
