package sessionstest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/sessile-go/sessile/middleware"
	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

// The database commits a refresh, and the connection breaks before the answer.
// The client tries again with the token that it has.
func ExampleFaults() {
	ctx := context.Background()
	clock := sessionstest.NewClock(time.Date(2026, time.March, 29, 8, 0, 0, 0, time.UTC))
	store := &sessionstest.Faults{
		Store: sessionstest.NewStore(),
		After: sessionstest.FailAt(sessionstest.MethodRefresh, 1, errors.New("connection reset by peer")),
	}

	// A host gives the store and clock.Now to its Manager; here they are used bare.
	id := "0195e000-0000-7000-8000-000000000001"
	_ = store.Create(ctx, sessions.Session{
		ID: id, UserID: "alice",
		CreatedAt: clock.Now(), LastUsedAt: clock.Now(), ExpiresAt: clock.Now().Add(time.Hour),
	})
	for range 2 {
		clock.Advance(5 * time.Second)
		result, err := store.Refresh(ctx, sessions.RefreshParams{
			ID: id, Presented: 1, Rotation: sessions.Rotation{Overlap: time.Minute},
			Moment: sessions.Moment{Now: clock.Now()},
		})
		fmt.Println(err, result.State.Current, result.Outcome == sessions.OutcomeOverlap)
	}
	// Output:
	// connection reset by peer 0 false
	// <nil> 2 true
}

// A Fault is any function: this one makes every call wait until the test lets it
// go on, so that a time-out can be tested without waiting for it.
func ExampleFault() {
	gate := make(chan struct{})
	store := &sessionstest.Faults{
		Store: sessionstest.NewStore(),
		Before: func(ctx context.Context, _ sessionstest.Call) error {
			select {
			case <-gate:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		},
	}

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := store.Get(ctx, "0195e000-0000-7000-8000-000000000001")
	fmt.Println(err)

	close(gate)
	_, err = store.Get(context.Background(), "0195e000-0000-7000-8000-000000000001")
	fmt.Println(errors.Is(err, sessions.ErrNotFound))
	// Output:
	// context canceled
	// true
}

// A clock that stands still makes time a part of the test.
func ExampleClock() {
	clock := sessionstest.NewClock(time.Date(2026, time.March, 29, 8, 0, 0, 0, time.UTC))
	now := clock.Now // as Config.Now

	fmt.Println(now().Format(time.TimeOnly))
	clock.Advance(90 * time.Second)
	fmt.Println(now().Format(time.TimeOnly))
	// Output:
	// 08:00:00
	// 08:01:30
}

// A handler is tested with the real middleware, without a database or a sign-in page, and
// with a clock that the test moves.
func ExampleNew() {
	t := &testing.T{} // yours
	kit := sessionstest.New(t)
	alice := kit.SignIn(t, "alice")

	server := httptest.NewServer(middleware.Require(kit.Manager)(http.HandlerFunc(greet)))
	defer server.Close()
	get := func(client *http.Client) {
		response, err := client.Get(server.URL)
		if err != nil {
			fmt.Println(err)
			return
		}
		defer func() { _ = response.Body.Close() }()
		body, _ := io.ReadAll(response.Body)
		fmt.Println(response.StatusCode, string(body[:min(len(body), 30)]))
	}
	get(alice.Client())
	get(kit.Impersonate(t, "support", "bob").Client())
	get(http.DefaultClient)
	kit.Clock.Advance(time.Hour)
	get(alice.Client())
	// Output:
	// 200 hello alice
	// 200 hello bob, or rather support
	// 401 {"code":"ACCESS_TYPE_REQUIRED"
	// 401 {"code":"ACCESS_TOKEN_EXPIRED"
}

func greet(w http.ResponseWriter, r *http.Request) {
	id, _ := sessions.FromContext(r.Context())
	fmt.Fprint(w, "hello ", id.UserID)
	if id.Impersonation {
		fmt.Fprint(w, ", or rather ", id.Actor)
	}
}

// A handler that only asks who it is needs no middleware at all.
func ExampleSignedIn_Identity() {
	t := &testing.T{} // yours
	alice := sessionstest.New(t).SignIn(t, "alice")

	r := httptest.NewRequest(http.MethodGet, "/", nil)
	w := httptest.NewRecorder()
	greet(w, r.WithContext(sessions.NewContext(r.Context(), alice.Identity(t))))
	fmt.Println(w.Body)
	// Output: hello alice
}

// A browser in cookie mode: the access token has run out, and the middleware
// refreshes on the way through.
func ExampleSignedIn_Cookies() {
	t := &testing.T{} // yours
	kit := sessionstest.New(t, func(c *sessions.Config) { c.Cookies = sessions.Cookies{Enabled: true} })
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for _, cookie := range kit.SignIn(t, "alice").Cookies(t) {
		r.AddCookie(cookie)
	}

	kit.Clock.Advance(time.Hour)
	w := httptest.NewRecorder()
	middleware.Require(kit.Manager)(http.HandlerFunc(greet)).ServeHTTP(w, r)
	fmt.Println(w.Body)
	for _, cookie := range w.Result().Cookies() {
		fmt.Println(cookie.Name, cookie.MaxAge)
	}
	// Output:
	// hello alice
	// __Host-sessile_access 600
	// __Host-sessile_refresh 31532400
}
