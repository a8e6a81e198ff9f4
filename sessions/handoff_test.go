package sessions_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sessile-go/sessile/sessions"
)

func TestHandoff(t *testing.T) {
	t.Parallel()
	g := newGoverned(t)
	alice, _ := g.signIn(t, "alice")
	g.takeEvents()
	asked := g.impersonate(t, alice, sessions.CreateParams{Handoff: true})
	if asked.RefreshToken != (sessions.Token{}) || asked.AccessToken != (sessions.Token{}) ||
		!strings.HasPrefix(asked.Handoff.Reveal(), "shc1_") {
		t.Fatalf("the answer has tokens, or no code: %+v", asked)
	}
	g.Clock.Advance(59 * time.Second)
	grant, err := g.Redeem(t.Context(), asked.Handoff.Reveal(), sessions.Client{IP: "192.0.2.7"})
	if err != nil || grant.Session.ID != asked.Session.ID || grant.Session.Client.IP != "192.0.2.7" {
		t.Fatalf("redeem: %+v, %v", grant, err)
	}
	next := g.refresh(t, grant.RefreshToken)
	equalTypes(t, g.takeEvents(), sessions.EventHandedOff, sessions.EventRedeemed, sessions.EventRotated)

	// Two hold the code: neither may go on.
	g.Clock.Advance(time.Hour / 2)
	if again, err := g.Redeem(t.Context(), asked.Handoff.Reveal(), sessions.Client{}); !errors.Is(err,
		sessions.ErrInvalidHandoff) || again != (sessions.Grant{}) {
		t.Errorf("second redemption: %v", err)
	}
	equalTypes(t, g.takeEvents(), sessions.EventHandoffReplay)
	g.refuse(t, next.RefreshToken, sessions.ErrSessionEnded)
	if s := g.session(t, grant.Session.ID); s.EndReason != sessions.EndHandoffReplay {
		t.Errorf("ended for %q", s.EndReason)
	}
}

func TestHandoffRefusals(t *testing.T) {
	t.Parallel()
	g := newGoverned(t)
	alice, _ := g.signIn(t, "alice")
	late := g.impersonate(t, alice, sessions.CreateParams{Handoff: true}).Handoff.Reveal()
	g.Clock.Advance(time.Minute)
	good := g.impersonate(t, alice, sessions.CreateParams{Handoff: true}).Handoff.Reveal()
	other := []byte(good)
	other[len(other)-1] = 'A' + (other[len(other)-1]-'A'+1)%26
	g.takeEvents()
	for name, code := range map[string]string{
		"late": late, "empty": "", "garbage": "shc1_", "cut": good[:len(good)-1], "extended": good + "A",
		"another secret": string(other),
		"a line break":   good[:30] + "\n" + good[31:], "a refresh token": g.create(t, sessions.CreateParams{}).
					RefreshToken.Reveal(), "long": strings.Repeat("A", 1<<16),
	} {
		g.TakeEvents()
		if grant, err := g.Redeem(t.Context(), code, sessions.Client{}); !errors.Is(err, sessions.ErrInvalidHandoff) ||
			grant != (sessions.Grant{}) {
			t.Errorf("%s: %v", name, err)
		}
		g.oneRefusal(t, name, "")
	}
	if _, err := g.Redeem(t.Context(), good, sessions.Client{}); err != nil {
		t.Errorf("the good one, after all that: %v", err)
	}

	demoted := g.impersonate(t, alice, sessions.CreateParams{Handoff: true})
	g.setPolicy(func(admins map[string]bool) error { delete(admins, "alice"); return nil })
	if _, err := g.Redeem(t.Context(), demoted.Handoff.Reveal(), sessions.Client{}); !errors.Is(err,
		sessions.ErrImpersonationNotAllowed) {
		t.Errorf("the actor was demoted meanwhile: %v", err)
	}
}

func TestOneHandoffManyCallers(t *testing.T) {
	t.Parallel()
	g := newGoverned(t)
	alice, _ := g.signIn(t, "alice")
	for range 50 {
		code := g.impersonate(t, alice, sessions.CreateParams{Handoff: true}).Handoff.Reveal()
		g.takeEvents()
		grants := make([]sessions.Grant, 8)
		var wg sync.WaitGroup
		for i := range grants {
			wg.Go(func() {
				if grant, err := g.Redeem(t.Context(), code, sessions.Client{}); err == nil {
					grants[i] = grant
				}
			})
		}
		wg.Wait()
		var holders []sessions.Grant
		for _, grant := range grants {
			if grant != (sessions.Grant{}) {
				holders = append(holders, grant)
			}
		}
		if len(holders) > 1 {
			t.Fatalf("%d grants of one code", len(holders))
		}
		for _, holder := range holders {
			g.refuse(t, holder.RefreshToken, sessions.ErrSessionEnded)
		}
		replays := 0
		for _, e := range g.takeEvents() {
			if e == sessions.EventHandoffReplay {
				replays++
			}
		}
		if replays != 1 {
			t.Fatalf("%d replays told", replays)
		}
	}
}
