// Command nethttp is the smallest host: net/http, SQLite, a sign-in, one protected route.
//
//	export SESSILE_SECRET=$(openssl rand -base64 32) SESSILE_SERVER_KEY=ssk_$(openssl rand -hex 32)
//	go run ./examples/nethttp
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/sessile-go/sessile/middleware"
	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/store"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
)

const dsn = "file:app.db?_journal_mode=WAL&_busy_timeout=1000&_synchronous=FULL&_txlock=immediate"

func main() {
	db, errDB := gorm.Open(sqlite.Open(dsn))
	st, errStore := store.New(db, store.Config{})
	key, errKey := sessions.HashServerKey("backend", os.Getenv("SESSILE_SERVER_KEY"))
	manager, err := sessions.New(sessions.Config{
		Store:      st,
		Users:      findUser,
		Secrets:    [][]byte{[]byte(os.Getenv("SESSILE_SECRET"))},
		ServerKeys: []sessions.ServerKey{key},
		Issuer:     "https://app.example", Audience: "app",
	})
	if err = errors.Join(errDB, errStore, errKey, err); err == nil {
		err = st.Migrate(context.Background())
	}
	if err != nil {
		log.Fatal(err)
	}
	go func() { log.Fatal(manager.Run(context.Background())) }() // returns only if the clock is wrong
	server := &http.Server{
		Addr:        cmp.Or(os.Getenv("ADDR"), "127.0.0.1:8080"),
		Handler:     routes(manager),
		ReadTimeout: 10 * time.Second,
	}
	log.Fatal(server.ListenAndServe())
}

func routes(manager *sessions.Manager) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /sign-in", func(w http.ResponseWriter, r *http.Request) {
		userID, err := checkPassword(r) // yours: a password, a passkey, another provider
		if err != nil {
			http.Error(w, "wrong name or password", http.StatusUnauthorized)
			return
		}
		params := sessions.CreateParams{UserID: userID, Client: manager.RequestClient(r)}
		grant, err := manager.Create(r.Context(), params)
		if err != nil {
			manager.WriteError(w, r, err) // as JSON; the cause of a 5xx goes to the log only
			return
		}
		_ = manager.WriteGrant(w, grant) // {"refresh_token":"srt1_…","access_token":"eyJ…",…}
	})
	mux.Handle("GET /me", middleware.Require(manager)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, _ := sessions.FromContext(r.Context())
		fmt.Fprintln(w, "hello", id.UserID)
	})))
	sessions.NewHandler(manager).Register(mux, "") // /auth/sessions: refresh, list, revoke, sign out; the JWK set
	return mux
}

func checkPassword(r *http.Request) (userID string, err error) {
	var form struct{ Name, Password string }
	if err := json.NewDecoder(r.Body).Decode(&form); err != nil {
		return "", err
	}
	if form.Name != "ada" || form.Password != "correct horse" {
		return "", errors.New("wrong name or password")
	}
	return "ada", nil
}

func findUser(_ context.Context, id string) (sessions.User, error) { // yours, in your table
	if id != "ada" {
		return sessions.User{}, sessions.ErrUserNotFound
	}
	return sessions.User{ID: id, Name: "Ada Lovelace"}, nil
}
