package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"github.com/sessile-go/sessile/sessions"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
)

// What sqlc generates of a query:

// DBTX is a database or a transaction.
type DBTX interface {
	ExecContext(context.Context, string, ...any) (sql.Result, error)
	PrepareContext(context.Context, string) (*sql.Stmt, error)
	QueryContext(context.Context, string, ...any) (*sql.Rows, error)
	QueryRowContext(context.Context, string, ...any) *sql.Row
}

// Queries has a method for each query.
type Queries struct{ db DBTX }

// New returns the queries on a database or in a transaction.
func New(db DBTX) *Queries { return &Queries{db: db} }

const getCustomer = `-- name: GetCustomer :one
SELECT id, name, email, verified_at, disabled FROM customers WHERE id = $1
`

// Customer is a row of the table customers.
type Customer struct {
	ID         string
	Name       string
	Email      sql.NullString
	VerifiedAt sql.NullTime
	Disabled   bool
}

// GetCustomer runs the query of that name.
func (q *Queries) GetCustomer(ctx context.Context, id string) (Customer, error) {
	row := q.db.QueryRowContext(ctx, getCustomer, id)
	var i Customer
	err := row.Scan(&i.ID, &i.Name, &i.Email, &i.VerifiedAt, &i.Disabled)
	return i, err
}

// What the host writes:

// customers is a Config.Users over generated queries. In a transaction that GORM
// began, the queries are New(tx.Statement.ConnPool); see Store.In.
func customers(q *Queries) func(context.Context, string) (sessions.User, error) {
	return func(ctx context.Context, id string) (sessions.User, error) {
		c, err := q.GetCustomer(ctx, id)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return sessions.User{}, sessions.ErrUserNotFound
		case err != nil:
			return sessions.User{}, err // unknown: 503, and nobody is signed out
		case c.Disabled:
			return sessions.User{}, sessions.ErrUserDisabled
		}
		return sessions.User{ID: c.ID, Name: c.Name, Email: c.Email.String, EmailVerified: c.VerifiedAt.Valid}, nil
	}
}

func lookUpCustomers(ctx context.Context, db *gorm.DB, out io.Writer) error {
	sqlDB, err := db.DB()
	if err != nil {
		return err
	}
	const insert = `INSERT INTO customers (id, name, email, verified_at, disabled) VALUES ($1, $2, $3, $4, $5)`
	if _, err := sqlDB.ExecContext(ctx,
		`CREATE TABLE customers (id TEXT PRIMARY KEY, name TEXT NOT NULL, email TEXT, verified_at TIMESTAMP, `+
			`disabled BOOLEAN NOT NULL)`); err != nil {
		return err
	}
	if _, err := sqlDB.ExecContext(ctx, insert, "alice", "Alice", "alice@example.com",
		time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), false); err != nil {
		return err
	}
	if _, err := sqlDB.ExecContext(ctx, insert, "mallory", "Mallory", nil, nil, true); err != nil {
		return err
	}
	cfg := sessions.Config{Users: customers(New(sqlDB))} // and the rest
	for _, id := range []string{"alice", "mallory", "nobody"} {
		user, err := cfg.Users(ctx, id)
		fmt.Fprintf(out, "%s: %q %t %v\n", id, user.Email, user.EmailVerified, err)
	}
	return nil
}

// The lookup of users through queries that sqlc has generated.
func Example_usersOfSqlc() {
	db, err := gorm.Open(sqlite.Open(":memory:"), &gorm.Config{})
	if err != nil {
		log.Fatal(err)
	}
	sqlDB, err := db.DB()
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = sqlDB.Close() }()
	sqlDB.SetMaxOpenConns(1)

	if err := lookUpCustomers(context.Background(), db, os.Stdout); err != nil {
		log.Fatal(err)
	}
	// Output:
	// alice: "alice@example.com" true <nil>
	// mallory: "" false sessions: user disabled
	// nobody: "" false sessions: user not found
}
