// Command nethttp is the smallest host: net/http, SQLite, one protected route.
//
//	export SESSILE_SECRET=$(openssl rand -base64 32) SESSILE_SERVER_KEY=ssk_$(openssl rand -hex 32)
//	go run ./examples/nethttp
package main

import (
	"cmp"
	"context"
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

func main() {
	db, errDB := gorm.Open(sqlite.Open("file:app.db?_journal_mode=WAL&_busy_timeout=1000&_synchronous=FULL&_txlock=immediate"))
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
	go manager.WatchRevocations(context.Background()) // hears of what other processes end
	mux := http.NewServeMux()
	sessions.NewHandler(manager).Register(mux, "")
	mux.Handle("GET /me", middleware.Require(manager)(http.HandlerFunc(me)))
	server := &http.Server{Addr: cmp.Or(os.Getenv("ADDR"), "127.0.0.1:8080"), Handler: mux, ReadTimeout: 10 * time.Second}
	log.Fatal(server.ListenAndServe())
}

func findUser(_ context.Context, id string) (sessions.User, error) { // yours, in your table
	if id != "ada" {
		return sessions.User{}, sessions.ErrUserNotFound
	}
	return sessions.User{ID: id, Name: "Ada Lovelace"}, nil
}

func me(w http.ResponseWriter, r *http.Request) {
	id, _ := sessions.FromContext(r.Context())
	fmt.Fprintln(w, "hello", id.UserID)
}
