package proof_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

// aging has two processes on one store, whose clock and whose user the test decides over.
type aging struct {
	here, there *sessions.Manager
	clock       *sessionstest.Clock
	user        error // what Users answers
}

func newAging(t *testing.T, p *place) *aging {
	t.Helper()
	a := &aging{clock: &sessionstest.Clock{}}
	a.clock.Set(time.Date(2026, time.March, 14, 15, 9, 26, 0, time.UTC))
	for _, m := range []**sessions.Manager{&a.here, &a.there} {
		c := denyConfig(p.handle(t))
		c.AccessTokenTTL, c.Now = 10*time.Minute, a.clock.Now
		c.Users = func(_ context.Context, id string) (sessions.User, error) {
			return sessions.User{ID: id}, a.user
		}
		var err error
		if *m, err = sessions.New(c); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

func (a *aging) signIn(t *testing.T) sessions.Grant {
	t.Helper()
	g, err := a.here.Create(t.Context(), sessions.CreateParams{UserID: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// taken fails the test unless routes of a process take an access token, or refuse it, at
// each of the settings.
func taken(t *testing.T, m *sessions.Manager, g sessions.Grant, want bool, dials ...sessions.Revocation) {
	t.Helper()
	for _, dial := range dials {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.Header.Set("Authorization", "Bearer "+g.AccessToken.Reveal())
		switch _, err := m.Authenticate(r, dial); {
		case err != nil && !errors.Is(err, sessions.ErrExpired):
			t.Errorf("dial %d: %v", dial, err)
		case (err == nil) != want:
			t.Errorf("dial %d: taken: %v", dial, err == nil)
		}
	}
}

var everyDial = []sessions.Revocation{sessions.Stateless, sessions.Bounded, sessions.Strict}

// A refresh retires the refresh token, and no access token.
func TestARefreshDoesNotRetireTheOlderAccessToken(t *testing.T) {
	t.Parallel()
	for _, kind := range openStores {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			a := newAging(t, kind.open(t))
			first := a.signIn(t)
			a.clock.Advance(10 * time.Minute / 2)
			second, err := a.there.Refresh(t.Context(), first.RefreshToken.Reveal(), sessions.Client{})
			if err != nil {
				t.Fatal(err)
			}
			taken(t, a.here, first, true, everyDial...)
			taken(t, a.here, second, true, everyDial...)
			a.clock.Advance(10 * time.Minute / 2)
			taken(t, a.here, first, false, everyDial...)
			taken(t, a.here, second, true, everyDial...)

			// The end of the session retires all of them.
			third, err := a.there.Refresh(t.Context(), second.RefreshToken.Reveal(), sessions.Client{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := a.here.End(t.Context(), sessions.EndParams{ID: first.Session.ID}); err != nil {
				t.Fatal(err)
			}
			for _, g := range []sessions.Grant{second, third} {
				taken(t, a.here, g, false, everyDial...)
				taken(t, a.there, g, false, sessions.Strict)
			}
		})
	}
}

// To disable a user stops refreshes. What stops access tokens before they expire is
// EndMany.
func TestADisabledUsersAccessTokenWorksUntilItExpires(t *testing.T) {
	t.Parallel()
	for _, kind := range openStores {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			a := newAging(t, kind.open(t))
			waits, ends := a.signIn(t), a.signIn(t)
			a.user = sessions.ErrUserDisabled
			for _, g := range []sessions.Grant{waits, ends} {
				if _, err := a.there.Refresh(t.Context(), g.RefreshToken.Reveal(), sessions.Client{}); !errors.Is(err,
					sessions.ErrUserDisabled) {
					t.Fatalf("refresh: %v", err)
				}
				taken(t, a.here, g, true, everyDial...)
				taken(t, a.there, g, true, everyDial...)
			}

			if ended, err := a.here.EndMany(t.Context(), sessions.EndManyParams{
				UserID: "ada", ExceptID: waits.Session.ID,
			}); err != nil || len(ended) != 1 {
				t.Fatalf("%d ended, %v", len(ended), err)
			}
			taken(t, a.here, ends, false, everyDial...)
			taken(t, a.there, ends, false, sessions.Strict)
			taken(t, a.there, waits, true, everyDial...)
			a.clock.Advance(10 * time.Minute)
			taken(t, a.there, waits, false, everyDial...)

			// The session that was kept goes on when the user comes back.
			a.user = nil
			if _, err := a.there.Refresh(t.Context(), waits.RefreshToken.Reveal(), sessions.Client{}); err != nil {
				t.Error(err)
			}
			if _, err := a.there.Refresh(t.Context(), ends.RefreshToken.Reveal(), sessions.Client{}); !errors.Is(err,
				sessions.ErrSessionEnded) {
				t.Errorf("refresh of the one that was ended: %v", err)
			}
		})
	}
}

// A deleted user's session ends at the next refresh, and not before.
func TestADeletedUsersAccessTokenWorksUntilTheNextRefresh(t *testing.T) {
	t.Parallel()
	for _, kind := range openStores {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			a := newAging(t, kind.open(t))
			g := a.signIn(t)
			a.user = sessions.ErrUserNotFound
			taken(t, a.here, g, true, everyDial...)
			if _, err := a.here.Refresh(t.Context(), g.RefreshToken.Reveal(), sessions.Client{}); !errors.Is(err,
				sessions.ErrUserNotFound) {
				t.Fatalf("refresh: %v", err)
			}
			taken(t, a.here, g, false, everyDial...)
			taken(t, a.there, g, false, sessions.Strict)
		})
	}
}
