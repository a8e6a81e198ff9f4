package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/store/internal/core"
	"gorm.io/gorm"
)

var _ sessions.Store = (*Store)(nil)

// DefaultTable is the name of the table if [Config.Table] is empty.
const DefaultTable = core.DefaultTable

// Config says which tables the store uses and how.
type Config struct {
	// Table is the name of the table: ASCII letters, digits and underscores, not
	// first a digit, at most 48 bytes. Defaults to [DefaultTable].
	Table string
	// Schema is the Postgres schema of the tables, which the host creates. SQLite has no
	// schemas. Defaults to "", the search_path of the connection.
	Schema string
	// NoPreparedStatements sends every statement as text, for poolers that give
	// each transaction another connection. Defaults to false.
	NoPreparedStatements bool
	// AuditLog adds to a second table, of the same name with _audit after it, an entry
	// for every creation, use and end of an impersonation, in the transaction of that
	// change; see [Store.Audit]. It needs no migration. On Postgres the change and its
	// entries are one statement, but the creation of an impersonation is a transaction.
	// On SQLite the refresh and the end of an ordinary session are one statement, too;
	// those of an impersonation, and the end of many, are a transaction, which has one
	// INSERT for every 500 entries. Defaults to false.
	AuditLog bool
}

// Store keeps sessions in one table and implements [sessions.Store]: every method is one
// statement. It is safe for concurrent use, and any number of processes may have one on
// the same table, through this package or package sqlstore.
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

// New returns a store on db. It does no I/O and changes nothing in db, whose connection pool
// and plugins it uses. It refuses a handle in DryRun mode, in a transaction (see [Store.In]),
// or of another database than SQLite and Postgres. The error joins all faults.
func New(db *gorm.DB, cfg Config) (*Store, error) {
	d, faults := inspect(db)
	if len(faults) == 0 && inTransaction(db) {
		faults = append(faults, errors.New("store: db: is in a transaction; use In of a store on the database itself"))
	}
	if cfg.Table == "" {
		cfg.Table = DefaultTable
	}
	var on executor
	if len(faults) == 0 {
		on = newExecutor(db, cfg)
	}
	c, err := core.New(on, d, core.Config(cfg), faults...)
	if err != nil {
		return nil, err
	}
	return face(c), nil
}

// In returns a store with the same configuration whose methods run in tx, a transaction
// that the host began and ends itself:
//
//	err := db.Transaction(func(tx *gorm.DB) error {
//		joined = manager.Join(st.In(tx))
//		_, err := joined.Create(ctx, params)
//		return err
//	})
//	if err == nil {
//		joined.Committed(ctx)
//	}
//
// Everything in the transaction must go through tx, the lookup of Config.Users included, or
// it waits for the connection that tx holds if the pool has only one. The lookup gets the
// context of the call, and the Examples show how that carries tx.
//
// Nothing is tried again there, since only the whole transaction can be. Refresh and Redeem
// return an error, because a rollback would undo the end of a replayed session. End, EndMany
// and EndDependents return an error if the transaction is REPEATABLE READ or SERIALIZABLE on
// Postgres, because its snapshot may lack sessions that must end; the host must roll back
// what they have ended by then. If tx is not a transaction, every method returns an error
// that says so. The store is as safe for concurrent use as tx is, and with most drivers a
// transaction is not.
func (s *Store) In(tx *gorm.DB) *Store {
	d, faults := inspect(tx)
	switch {
	case len(faults) > 0:
	case d != s.core.Dialect():
		faults = append(faults, fmt.Errorf("store: In: a transaction on %s, the store is on %s", d, s.core.Dialect()))
	case !inTransaction(tx):
		faults = append(faults, errors.New("store: In: not a transaction"))
	}
	var on executor
	if len(faults) == 0 {
		on = joined(tx, s.core.Table())
	}
	return face(s.core.In(on, faults...))
}

// Migrations returns the files that Migrate runs, with the names of the Config, for
// review or for the host's own migration tool:
//
//	err := os.CopyFS("migrations/sessile", st.Migrations())
//
// goose, golang-migrate and Atlas read them as they are; see docs/stores.md. Each file
// records its version in the table of the sessions' name with _migrations after it, in
// which Migrate looks, so a host may change from its tool to Migrate. A released file never
// changes, and the files do not depend on Config.AuditLog.
func (s *Store) Migrations() fs.FS { return s.core.Migrations() }

// Migrate brings the tables to the form that this version of the package needs. Any
// number of processes may call it at once: one of them does the work. If nothing is left
// to do it only reads and needs no other right.
//
// It refuses tables that the package did not make, with an error that names the
// differences. A table of a later version is accepted unless a column is missing or
// an INSERT must set one that this version does not know.
//
// On Postgres, a statement that alters a table waits at most 2 s for the transactions that
// use it, since everybody else waits meanwhile. Migrate tries it again for 10 s. If the
// table exists and lacks an index, Migrate builds the index concurrently. That blocks
// nobody, but it takes longer and needs a second connection. Other processes do not wait
// for it.
func (s *Store) Migrate(ctx context.Context) error { return s.core.Migrate(ctx) }

// inspect returns the dialect of a handle and what is wrong with it.
func inspect(db *gorm.DB) (core.Dialect, []error) {
	if db == nil || db.Config == nil || db.Dialector == nil || db.Statement == nil {
		return "", []error{errors.New("store: db: required, from gorm.Open")}
	}
	var faults []error
	if db.Error != nil {
		faults = append(faults, fmt.Errorf("store: db: carries an error: %w", db.Error))
	}
	if db.DryRun {
		faults = append(faults, errors.New("store: db: is in DryRun mode, which answers without asking the database"))
	}
	d := core.Dialect(db.Name())
	if d != core.SQLite && d != core.Postgres {
		faults = append(faults, fmt.Errorf("store: db: dialect %q, want sqlite or postgres", string(d)))
	}
	return d, faults
}

func inTransaction(db *gorm.DB) bool {
	_, ok := db.Statement.ConnPool.(gorm.TxCommitter)
	return ok
}
