package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/store/internal/core"
)

var _ sessions.Store = (*Store)(nil)

// Dialect is the database that a pool is connected to, which [database/sql] does not say.
type Dialect string

// The databases that New accepts.
const (
	SQLite   Dialect = "sqlite"
	Postgres Dialect = "postgres"
)

// Config says which tables the store uses and how.
type Config struct {
	// Table is the name of the table: ASCII letters, digits and underscores, not
	// first a digit, at most 48 bytes. Defaults to "sessile_sessions".
	Table string
	// Schema is the Postgres schema of the tables, which the host creates. SQLite has no
	// schemas. Defaults to "", the search_path of the connection.
	Schema string
	// NoPreparedStatements sends every statement as text, for poolers that give
	// each transaction another connection. Defaults to false.
	NoPreparedStatements bool
	// AuditLog adds to a second table, of the same name with _audit after it, an entry
	// for every creation, use and end of an impersonation, in the transaction of that
	// change; see [Store.Audit]. It needs no migration. Defaults to false.
	AuditLog bool
}

// Store keeps sessions in one table and implements [sessions.Store]: every method is one
// statement. It is safe for concurrent use, and any number of processes may have one on
// the same table, through this package or package store.
//
// A method returns [sessions.ErrNotFound] and [sessions.ErrConflict] as they are. Any other
// error begins with "store: " and the method's name, and wraps what the driver or the
// context said. An error of a driver may quote the statement, but never a bound value.
// Nothing is logged. On error the other result is the zero value.
//
// After a deadlock or a serialization failure of Postgres, and while SQLite is busy, a
// method tries again for up to 10 s from the beginning of the call, but not after the
// context's deadline. The last attempt may end later by SQLite's busy time-out, which no
// context cuts short.
type Store struct {
	contract
	core *core.Store
}

// contract promotes the methods of [sessions.Store], whose comments say what they do.
type contract = sessions.Store

func face(c *core.Store) *Store { return &Store{contract: c, core: c} }

// New returns a store on db. It does no I/O and changes no setting of db. The error joins
// all faults of the arguments.
func New(db *sql.DB, d Dialect, cfg Config) (*Store, error) {
	var faults []error
	if db == nil {
		faults = append(faults, errors.New("store: db: required, from sql.Open"))
	}
	if d != SQLite && d != Postgres {
		faults = append(faults, fmt.Errorf("store: dialect %q: want sqlstore.SQLite or sqlstore.Postgres", string(d)))
	}
	on := &pool{db: db, unprepared: cfg.NoPreparedStatements, prepared: map[string]*sql.Stmt{}}
	c, err := core.New(on, core.Dialect(d), core.Config(cfg), faults...)
	if err != nil {
		return nil, err
	}
	return face(c), nil
}

// In returns a store with the same configuration whose methods run in tx, a transaction
// that the host began on the same database and ends itself. Everything in the transaction
// must go through tx, the lookup of Config.Users included, or it waits for the connection
// that tx holds if the pool has only one. The Example shows how the context of the call
// carries tx to the lookup.
//
// Nothing is tried again there, since only the whole transaction can be. Refresh and Redeem
// return an error, because a rollback would undo the end of a replayed session.
// End, EndMany and EndDependents return an error if the transaction is REPEATABLE READ or
// SERIALIZABLE on Postgres, because its snapshot may lack sessions that must end; the host
// must roll back what they have ended by then. The store is as safe for concurrent use as tx
// is.
func (s *Store) In(tx *sql.Tx) *Store {
	if tx == nil {
		return face(s.core.In(nil, errors.New("store: In: not a transaction")))
	}
	return face(s.core.In(transaction{tx}))
}

// Migrations returns the files that Migrate runs, with the names of the Config, for review
// or for the host's own migration tool:
//
//	err := os.CopyFS("migrations/sessile", st.Migrations())
//
// goose, golang-migrate and Atlas read them as they are; see docs/stores.md.
func (s *Store) Migrations() fs.FS { return s.core.Migrations() }

// Migrate brings the tables to the form that this version of the package needs, as Migrate
// of package store does. Any number of processes may call it at once. If nothing is left to
// do, it only reads and needs no other right.
func (s *Store) Migrate(ctx context.Context) error { return s.core.Migrate(ctx) }
