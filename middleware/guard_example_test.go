package middleware_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"

	"github.com/sessile-go/sessile/middleware"
	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

// exampleManager returns a Manager and the access tokens of alice and of root, who
// impersonates her.
func exampleManager() (manager *sessions.Manager, alice, root string) {
	manager, err := sessions.New(sessions.Config{
		Store:    sessionstest.NewStore(),
		Users:    func(_ context.Context, id string) (sessions.User, error) { return sessions.User{ID: id}, nil },
		Secrets:  [][]byte{bytes.Repeat([]byte("example "), 4)}, // from the environment, and random
		Issuer:   "https://app.example",
		Audience: "app",
	})
	if err != nil {
		panic(err)
	}
	token := func(p sessions.CreateParams) string {
		grant, err := manager.Create(context.Background(), p)
		if err != nil {
			panic(err)
		}
		return grant.AccessToken.Reveal()
	}
	return manager, token(sessions.CreateParams{UserID: "alice"}),
		token(sessions.CreateParams{UserID: "alice", Impersonation: true, Actor: "root"})
}

func send(h http.Handler, method, path, token string) {
	r := httptest.NewRequest(method, path, nil)
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	fmt.Fprintln(os.Stdout, method, path, w.Code, w.Body)
}

// Only the user can change the password.
func ExampleForbidImpersonation() {
	manager, alice, root := exampleManager()
	require := middleware.Require(manager)
	password := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "changed") })

	mux := http.NewServeMux()
	mux.Handle("POST /password", require(middleware.ForbidImpersonation(password)))

	send(mux, http.MethodPost, "/password", alice)
	send(mux, http.MethodPost, "/password", root)
	// Output:
	// POST /password 200 changed
	// POST /password 403 {"code":"IMPERSONATION_NOT_ALLOWED","error":"This impersonation is not allowed."}
}

// Support may read notes, with a banner; only the user may write them.
func ExampleReadOnlyImpersonation() {
	manager, alice, root := exampleManager()
	require := middleware.Require(manager)
	notes := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if id, _ := sessions.FromContext(r.Context()); id.Impersonation {
			fmt.Fprintf(w, "[%s acts as %s] ", id.Actor, id.UserID)
		}
		fmt.Fprint(w, "notes")
	})

	mux := http.NewServeMux()
	mux.Handle("/notes", require(middleware.ReadOnlyImpersonation(notes)))

	send(mux, http.MethodGet, "/notes", root)
	send(mux, http.MethodPost, "/notes", root)
	send(mux, http.MethodPost, "/notes", alice)
	// Output:
	// GET /notes 200 [root acts as alice] notes
	// POST /notes 403 {"code":"IMPERSONATION_NOT_ALLOWED","error":"This impersonation is not allowed."}
	// POST /notes 200 notes
}

// A guard without a middleware before it does not know the caller, and lets nobody pass.
func ExampleForbidImpersonation_incorrect() {
	_, alice, _ := exampleManager()
	password := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "changed") })

	send(middleware.ForbidImpersonation(password), http.MethodPost, "/password", alice)
	// Output:
	// POST /password 500 {"code":"INTERNAL","error":"None of Require, Optional and RequireServer has run before."}
}
