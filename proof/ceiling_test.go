package proof_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
	"pgregory.net/rapid"
)

// The ceiling of an impersonation is on its row: no sequence of refreshes, clocks
// that jump, secrets that rotate, settings that change and users that are asked
// again moves it, and no token is good beyond it.
func TestNothingExtendsAnImpersonation(t *testing.T) {
	t.Parallel()
	for _, kind := range openStores {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			st := kind.open(t).handle(t)
			refreshes, refusals := 0, 0
			rapid.Check(t, func(r *rapid.T) { ceilingRun(t, r, st, &refreshes, &refusals) })
			t.Logf("%d refreshes, %d refused", refreshes, refusals)
			if refreshes == 0 || refusals == 0 {
				t.Error("nothing was tried")
			}
		})
	}
}

func ceilingRun(t *testing.T, r *rapid.T, st sessions.Store, refreshes, refusals *int) {
	start := time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)
	clock := sessionstest.NewClock(start)
	secret := func(n int) []byte { return bytes.Repeat([]byte{byte(n), 0}, 16) }
	config := sessions.Config{
		Store:          st,
		Users:          func(_ context.Context, id string) (sessions.User, error) { return sessions.User{ID: id}, nil },
		MayImpersonate: func(context.Context, sessions.Identity, sessions.User) error { return nil },
		Secrets:        [][]byte{secret(1)},
		Issuer:         "https://app.example",
		Audience:       "app",
		Now:            clock.Now,
	}
	manager := func() *sessions.Manager {
		m, err := sessions.New(config)
		if err != nil {
			r.Fatal(err)
		}
		return m
	}
	m := manager()
	p := sessions.CreateParams{
		UserID: "bob", TTL: time.Duration(rapid.IntRange(30, 24*3600).Draw(r, "seconds")) * time.Second,
	}
	ceiling := start.Add(p.TTL)
	var (
		imp sessions.Grant
		err error
	)
	p.Handoff = rapid.Bool().Draw(r, "by a code")
	if rapid.Bool().Draw(r, "by a user") {
		own := time.Duration(rapid.IntRange(60, 48*3600).Draw(r, "seconds of the parent")) * time.Second
		actor, createErr := m.Create(t.Context(), sessions.CreateParams{UserID: "alice", TTL: own})
		if createErr != nil {
			r.Fatal(createErr)
		}
		id, verifyErr := m.Verify(actor.AccessToken.Reveal())
		if verifyErr != nil {
			r.Fatal(verifyErr)
		}
		if end := start.Add(own); end.Before(ceiling) {
			ceiling = end
		}
		imp, err = m.Impersonate(t.Context(), id, p)
	} else {
		p.Impersonation, p.By = true, "support"
		imp, err = m.Create(t.Context(), p)
	}
	if err == nil && p.Handoff {
		imp, err = m.Redeem(t.Context(), imp.Handoff.Reveal(), sessions.Client{})
	}
	if err != nil {
		r.Fatal(err)
	}

	tokens := []sessions.Token{imp.RefreshToken}
	r.Repeat(map[string]func(*rapid.T){
		"refresh": func(r *rapid.T) {
			token := rapid.SampledFrom(tokens[max(0, len(tokens)-2):]).Draw(r, "token")
			grant, err := m.Refresh(t.Context(), token.Reveal(), sessions.Client{})
			if err != nil {
				*refusals++
				return
			}
			*refreshes++
			if now := clock.Now(); !now.Before(ceiling.Add(-30 * time.Second)) {
				r.Fatalf("refreshed at %v, the ceiling is %v", now, ceiling)
			}
			if grant.AccessTokenExpiresAt.After(ceiling) {
				r.Fatalf("an access token until %v, the ceiling is %v", grant.AccessTokenExpiresAt, ceiling)
			}
			tokens = append(tokens, grant.RefreshToken)
		},
		"clock": func(r *rapid.T) {
			clock.Advance(time.Duration(rapid.IntRange(-1800, 3600).Draw(r, "seconds")) * time.Second)
		},
		"rotate the secrets": func(*rapid.T) {
			config.Secrets = append([][]byte{secret(len(config.Secrets) + 1)}, config.Secrets...)
			m = manager()
		},
		"raise every limit": func(*rapid.T) {
			config.Impersonation = sessions.Impersonation{TTL: 24 * time.Hour, MaxTTL: 24 * time.Hour}
			config.MaxSessionTTL, config.IdleTimeout = 100*365*24*time.Hour, sessions.NoIdleTimeout
			m = manager()
		},
		"": func(r *rapid.T) {
			s, err := m.Get(t.Context(), imp.Session.ID)
			if err != nil || !s.ExpiresAt.Equal(ceiling) || !s.Impersonation {
				r.Fatalf("the row says %+v, %v; the ceiling is %v", s, err, ceiling)
			}
		},
	})
}
