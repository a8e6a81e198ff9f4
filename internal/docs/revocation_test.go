package docs_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/sessile-go/sessile/middleware"
	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

// afterPasswordChange signs the user out everywhere but here.
func afterPasswordChange(ctx context.Context, manager *sessions.Manager, caller sessions.Identity) error {
	_, err := manager.EndMany(ctx, sessions.EndManyParams{
		UserID:   caller.UserID,
		ExceptID: caller.SessionID, // leave it out to end this session, too
		Reason:   "password_changed",
		By:       caller.UserID,
	})
	return err
}

func dials(mux *http.ServeMux, manager *sessions.Manager, orders, payments http.Handler) {
	strict := middleware.Config{Manager: manager, Revocation: sessions.Strict}
	mux.Handle("POST /payments", strict.Require(payments))
	mux.Handle("GET /orders", middleware.Require(manager)(orders)) // Bounded, if the process calls Run
}

func stream(manager *sessions.Manager) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, _ := sessions.FromContext(r.Context())
		ctx, cancel := manager.Watch(r.Context(), id)
		defer cancel()

		w.Header().Set("Content-Type", "text/event-stream")
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done(): // the client has gone, or the session has ended: see context.Cause
				return
			case now := <-tick.C:
				fmt.Fprintf(w, "data: %v\n\n", now)
				_ = http.NewResponseController(w).Flush()
			}
		}
	}
}

func TestRevocation(t *testing.T) {
	t.Parallel()
	kit := sessionstest.New(t)
	here, there, bob := kit.SignIn(t, "alice"), kit.SignIn(t, "alice"), kit.SignIn(t, "bob")
	mux := http.NewServeMux()
	ok := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	dials(mux, kit.Manager, ok, ok)
	mux.Handle("GET /stream", middleware.Require(kit.Manager)(stream(kit.Manager)))
	server := httptest.NewServer(mux)
	defer server.Close()

	streaming, err := there.Client().Get(server.URL + "/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer streaming.Body.Close()
	if err := afterPasswordChange(t.Context(), kit.Manager, here.Identity(t)); err != nil {
		t.Fatal(err)
	}
	if buffer := make([]byte, 1); true { // it ends, or the test would never do
		for err = nil; err == nil; {
			_, err = streaming.Body.Read(buffer)
		}
	}
	for _, tc := range []struct {
		who    string
		client *http.Client
		want   int
	}{
		{"here", here.Client(), 200}, {"there", there.Client(), 401},
		{"bob", bob.Client(), 200}, {"nobody", http.DefaultClient, 401},
	} {
		for path, method := range map[string]string{"/orders": http.MethodGet, "/payments": http.MethodPost} {
			r, err := http.NewRequest(method, server.URL+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			response, err := tc.client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
			if response.StatusCode != tc.want {
				t.Errorf("%s %s by %s: %d", method, path, tc.who, response.StatusCode)
			}
		}
	}
}
