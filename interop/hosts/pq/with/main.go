// Command with is a host on net/http and lib/pq, with sessile.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/sessile-go/sessile/middleware"
	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/store/sqlstore"

	_ "github.com/lib/pq"
)

func main() {
	db, errDB := sql.Open("postgres", os.Getenv("DATABASE_URL"))
	st, errStore := sqlstore.New(db, sqlstore.Postgres, sqlstore.Config{})
	manager, err := sessions.New(sessions.Config{
		Store: st,
		Users: func(ctx context.Context, id string) (sessions.User, error) {
			u := sessions.User{ID: id}
			err := db.QueryRowContext(ctx, "SELECT name FROM users WHERE id = $1", id).Scan(&u.Name)
			if errors.Is(err, sql.ErrNoRows) {
				err = sessions.ErrUserNotFound
			}
			return u, err
		},
		Secrets: [][]byte{[]byte(os.Getenv("SESSILE_SECRET"))},
		Issuer:  "https://app.example", Audience: "app",
	})
	if err = errors.Join(errDB, errStore, err); err == nil {
		err = st.Migrate(context.Background())
	}
	if err != nil {
		log.Fatal(err)
	}
	go func() { log.Fatal(manager.Run(context.Background())) }()
	mux := http.NewServeMux()
	sessions.NewHandler(manager).Register(mux, "")
	mux.Handle("GET /me", middleware.Require(manager)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, _ := sessions.FromContext(r.Context())
		fmt.Fprintln(w, "hello", id.UserID)
	})))
	server := &http.Server{Addr: "127.0.0.1:8080", Handler: mux, ReadTimeout: 10 * time.Second}
	log.Fatal(server.ListenAndServe())
}
