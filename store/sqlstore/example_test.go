package sqlstore_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	_ "github.com/mattn/go-sqlite3"
	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/store/sqlstore"
)

// txKey is the key of the transaction that a context carries.
type txKey struct{}

// queryer is what a pool and a transaction have in common.
type queryer interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// customers returns the host's Config.Users. Create calls it with the context of the call,
// so in a transaction it must ask that: db would not have the customer who has just been
// added, and if it has one connection, the lookup would wait for ever.
func customers(db *sql.DB) func(context.Context, string) (sessions.User, error) {
	return func(ctx context.Context, id string) (sessions.User, error) {
		var on queryer = db
		if tx, ok := ctx.Value(txKey{}).(*sql.Tx); ok {
			on = tx
		}
		u := sessions.User{ID: id}
		err := on.QueryRowContext(ctx, `SELECT name FROM customers WHERE id = $1`, id).Scan(&u.Name)
		if errors.Is(err, sql.ErrNoRows) {
			return sessions.User{}, sessions.ErrUserNotFound
		}
		if err != nil {
			return sessions.User{}, err
		}
		return u, nil
	}
}

// signUp adds a customer and signs it in: both are kept, or neither.
func signUp(
	ctx context.Context, db *sql.DB, st *sqlstore.Store, m *sessions.Manager, id, name string,
) (sessions.Grant, error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return sessions.Grant{}, err
	}
	defer func() { _ = tx.Rollback() }() // after the commit it does nothing

	inside := context.WithValue(ctx, txKey{}, tx)
	if _, err := tx.ExecContext(inside, `INSERT INTO customers (id, name) VALUES ($1, $2)`, id, name); err != nil {
		return sessions.Grant{}, err
	}
	joined := m.Join(st.In(tx))
	grant, err := joined.Create(inside, sessions.CreateParams{UserID: id})
	if err != nil {
		return sessions.Grant{}, err
	}
	if err := tx.Commit(); err != nil {
		return sessions.Grant{}, err
	}
	joined.Committed(ctx)
	return grant, nil
}

// A sign-up adds the host's own row and the first session in one transaction, without GORM.
func Example() {
	dir, err := os.MkdirTemp("", "sessile")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	ctx := context.Background()
	const settings = "?_journal_mode=WAL&_busy_timeout=1000&_synchronous=FULL&_txlock=immediate"
	db, err := sql.Open("sqlite3", "file:"+filepath.Join(dir, "app.db")+settings)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, `CREATE TABLE customers (id TEXT PRIMARY KEY, name TEXT NOT NULL)`); err != nil {
		log.Fatal(err)
	}

	st, err := sqlstore.New(db, sqlstore.SQLite, sqlstore.Config{})
	if err != nil {
		log.Fatal(err)
	}
	if err := st.Migrate(ctx); err != nil {
		log.Fatal(err)
	}
	manager, err := sessions.New(sessions.Config{
		Store:    st,
		Users:    customers(db),
		Secrets:  [][]byte{bytes.Repeat([]byte("example "), 4)}, // 32 random bytes, from your secret store
		Issuer:   "https://app.example",
		Audience: "app",
		OnEvent: func(_ context.Context, e sessions.Event) {
			fmt.Println("event:", e.Type, e.Session.UserID)
		},
	})
	if err != nil {
		log.Fatal(err)
	}

	for range 2 {
		grant, err := signUp(ctx, db, st, manager, "alice", "Alice")
		if err != nil {
			fmt.Println("not signed up: the name is taken")
			continue
		}
		id, err := manager.Verify(grant.AccessToken.Reveal())
		fmt.Println("signed in:", id.UserID, err)
	}
	list, err := manager.List(ctx, "alice", sessions.ListOptions{})
	fmt.Println("sessions:", len(list.Sessions), err)
	// Output:
	// event: created alice
	// signed in: alice <nil>
	// not signed up: the name is taken
	// sessions: 1 <nil>
}
