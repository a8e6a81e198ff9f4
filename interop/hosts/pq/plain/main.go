// Command plain is a host on net/http and lib/pq, without sessile.
package main

import (
	"database/sql"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	_ "github.com/lib/pq"
)

func main() {
	db, err := sql.Open("postgres", os.Getenv("DATABASE_URL"))
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /me", func(w http.ResponseWriter, r *http.Request) {
		var name string
		row := db.QueryRowContext(r.Context(), "SELECT name FROM users WHERE id = $1", "ada")
		if err := row.Scan(&name); err != nil {
			http.Error(w, "no such user", http.StatusNotFound)
			return
		}
		fmt.Fprintln(w, "hello", name)
	})
	server := &http.Server{Addr: "127.0.0.1:8080", Handler: mux, ReadTimeout: 10 * time.Second}
	log.Fatal(server.ListenAndServe())
}
