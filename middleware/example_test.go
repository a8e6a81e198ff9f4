package middleware_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/sessile-go/sessile/middleware"
	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

func newManager() *sessions.Manager {
	manager, err := sessions.New(sessions.Config{
		Store:     sessionstest.NewStore(),
		Users:     func(_ context.Context, id string) (sessions.User, error) { return sessions.User{ID: id}, nil },
		Secrets:   [][]byte{bytes.Repeat([]byte("example "), 4)},
		Issuer:    "https://app.example",
		ProjectID: "my-app",
	})
	if err != nil {
		log.Fatal(err)
	}
	return manager
}

func ExampleRequire() {
	manager := newManager()
	me := func(w http.ResponseWriter, r *http.Request) {
		id, _ := sessions.FromContext(r.Context())
		fmt.Fprint(w, "hello ", id.UserID)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /me", middleware.Require(manager)(http.HandlerFunc(me)))

	grant, err := manager.Create(context.Background(), sessions.CreateParams{UserID: "alice"})
	if err != nil {
		log.Fatal(err)
	}
	for _, token := range []string{grant.AccessToken.Reveal(), "not a token"} {
		r := httptest.NewRequest(http.MethodGet, "/me", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		fmt.Println(w.Code, w.Body)
	}
	// Output:
	// 200 hello alice
	// 401 {"code":"UNPARSABLE_ACCESS_TOKEN","error":"The access token is not valid."}
}

// After a sign-out nobody can pay, not even in another process: this route looks up the
// session on every request.
func ExampleConfig_Require() {
	manager := newManager()
	strict := middleware.Config{Manager: manager, Revocation: sessions.Strict}
	pay := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "paid") })
	mux := http.NewServeMux()
	mux.Handle("POST /payments", strict.Require(pay))

	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/payments", nil))
	fmt.Println(w.Code)
	// Output: 401
}

func ExampleOptional() {
	page := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, ok := sessions.FromContext(r.Context())
		fmt.Fprint(w, "signed in: ", ok)
	})
	w := httptest.NewRecorder()
	middleware.Optional(newManager())(page).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	fmt.Println(w.Code, w.Body)
	// Output: 200 signed in: false
}
