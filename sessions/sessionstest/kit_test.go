package sessionstest_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/sessile-go/sessile/middleware"
	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

func TestAKitStandsStillAndKnowsItsUsers(t *testing.T) {
	t.Parallel()
	kit := sessionstest.New(t)
	if !kit.Clock.Now().Equal(time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)) {
		t.Errorf("the clock stands at %s", kit.Clock.Now())
	}
	if err := kit.CheckClock(t.Context()); err != nil {
		t.Errorf("the store has another clock: %v", err)
	}
	create := func(userID string) error {
		_, err := kit.Create(t.Context(), sessions.CreateParams{UserID: userID})
		return err
	}
	for _, id := range []string{"alice", "bob"} {
		if err := create(id); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	if err := create("carol"); !errors.Is(err, sessions.ErrUserNotFound) {
		t.Errorf("somebody unknown: %v", err)
	}
	kit.SetUser(sessions.User{ID: "carol"}, nil)
	if err := create("carol"); err != nil {
		t.Errorf("somebody added: %v", err)
	}
	kit.SetUser(sessions.User{ID: "carol"}, sessions.ErrUserDisabled)
	if err := create("carol"); !errors.Is(err, sessions.ErrUserDisabled) {
		t.Errorf("somebody disabled: %v", err)
	}
	if n := len(kit.TakeEvents()); n != 3 {
		t.Errorf("%d events, want 3", n)
	}
	if n := len(kit.TakeEvents()); n != 0 {
		t.Errorf("%d events were there twice", n)
	}
	if n := kit.Faults.Calls(sessionstest.MethodCreate); n != 3 {
		t.Errorf("%d calls went by Faults, want 3", n)
	}
}

func TestAKitIsMadeOfTheChangedConfig(t *testing.T) {
	t.Parallel()
	kit := sessionstest.New(t, func(c *sessions.Config) { c.AccessTokenTTL = time.Minute },
		func(c *sessions.Config) { c.Issuer = "https://other.example" })
	if kit.Config.AccessTokenTTL != time.Minute || kit.Config.Issuer != "https://other.example" {
		t.Error("Config is not what the Manager was made of")
	}
	g := kit.SignIn(t, "alice").Grant
	if d := g.AccessTokenExpiresAt.Sub(g.AccessTokenIssuedAt); d != time.Minute {
		t.Errorf("an access token lives for %v", d)
	}
}

func TestTheClientCarriesTheHeaderUnlessThereIsOne(t *testing.T) {
	t.Parallel()
	kit := sessionstest.New(t)
	server := httptest.NewServer(middleware.Require(kit.Manager)(http.HandlerFunc(greet)))
	defer server.Close()
	alice, bob := kit.SignIn(t, "alice"), kit.SignIn(t, "bob")
	for _, test := range []struct{ header, want string }{
		{"", "hello alice"},
		{bob.Header().Get("Authorization"), "hello bob"},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if test.header != "" {
			r.Header.Set("Authorization", test.header)
		}
		response, err := alice.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || string(body) != test.want {
			t.Errorf("%s, %v; want %s", body, err, test.want)
		}
		if got := r.Header.Get("Authorization"); got != test.header {
			t.Errorf("the request was changed: it has %q now", got)
		}
	}
}

func TestAnImpersonationHasItsActor(t *testing.T) {
	t.Parallel()
	id := sessionstest.New(t).Impersonate(t, "support", "alice").Identity(t)
	if !id.Impersonation || id.Actor != "support" || id.UserID != "alice" || !id.AuthTime.IsZero() {
		t.Errorf("%+v", id)
	}
}
