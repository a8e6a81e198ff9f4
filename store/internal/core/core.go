// Package core is what the faces of the store have in common: the statements, the rows,
// the schema, and when to try again. It runs its statements on an [Executor], which a
// face makes of the host's handle. Package store has the one on GORM.
package core

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/sessile-go/sessile/sessions"
)

var _ sessions.Store = (*Store)(nil)

// DefaultTable is the name of the table if [Config.Table] is empty.
const DefaultTable = "sessile_sessions"

// Config has the fields of a face's Config, which is converted to it.
type Config struct {
	Table                string
	Schema               string
	NoPreparedStatements bool
	AuditLog             bool
}

// Dialect names a database, as GORM does.
type Dialect string

// The databases for which there are statements.
const (
	SQLite   Dialect = "sqlite"
	Postgres Dialect = "postgres"
)

// Executor runs statements on a database or in a transaction.
type Executor interface {
	// Query runs a statement and returns its rows.
	Query(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	// Exec runs a statement and returns how many rows it changed.
	Exec(ctx context.Context, query string, args ...any) (int64, error)
	// Transaction runs f in a transaction with opts, which may be nil. It commits if f
	// returns nil, or else rolls back and returns the error of f. It is never called on
	// an Executor in a transaction.
	Transaction(ctx context.Context, opts *sql.TxOptions, f func(tx Executor) error) error
	// Again reports whether err is an accident of the executor's own that has changed
	// nothing and that another attempt may cure.
	Again(err error) bool
}

// Store implements [sessions.Store] on an Executor.
type Store struct {
	db      Executor
	dialect Dialect
	cfg     Config
	stmts   *statements
	// joined is true for a store from In.
	joined bool
	// migrating is true while the lock_timeout of a migration may end an attempt.
	migrating bool
	// fault is what is wrong with a store from In; every method returns it.
	fault error
}

// New returns a store on db. faults are those of the handle that db was made of; the
// error joins them with those of cfg.
func New(db Executor, d Dialect, cfg Config, faults ...error) (*Store, error) {
	if cfg.Table == "" {
		cfg.Table = DefaultTable
	}
	faults = append(faults, cfg.validate(d)...)
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return &Store{db: db, dialect: d, cfg: cfg, stmts: newStatements(cfg, d)}, nil
}

// Dialect returns the database of the store.
func (s *Store) Dialect() Dialect { return s.dialect }

// Table returns the name of the store's table.
func (s *Store) Table() string { return s.cfg.Table }

// In returns a store with the same configuration in a transaction. If there are
// faults, every method of it returns them.
func (s *Store) In(tx Executor, faults ...error) *Store {
	in := &Store{db: tx, dialect: s.dialect, cfg: s.cfg, stmts: s.stmts, joined: true, fault: s.fault}
	if len(faults) > 0 {
		in.fault = errors.Join(append([]error{in.fault}, faults...)...)
	}
	return in
}

// identifier is what needs no escape inside quotes, is no use to an injection, and
// means the same in both databases. Postgres cuts names at 63 bytes, and those of
// the indexes are longer than the table's.
var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,47}$`)

func (c Config) validate(d Dialect) []error {
	var faults []error
	const rule = "want ASCII letters, digits and underscores, not first a digit, at most 48 bytes"
	switch {
	case !identifier.MatchString(c.Table):
		faults = append(faults, fmt.Errorf("store: Config.Table: %s", rule))
	case d == SQLite && strings.HasPrefix(strings.ToLower(c.Table), "sqlite_"):
		faults = append(faults, errors.New("store: Config.Table: SQLite keeps names with sqlite_ for itself"))
	}
	switch {
	case c.Schema == "":
	case d == SQLite:
		faults = append(faults, errors.New("store: Config.Schema: SQLite has no schemas"))
	case !identifier.MatchString(c.Schema):
		faults = append(faults, fmt.Errorf("store: Config.Schema: %s", rule))
	}
	return faults
}

// quoted is a table as statements name it.
func (c Config) quoted(table string) string {
	if c.Schema != "" {
		return `"` + c.Schema + `"."` + table + `"`
	}
	return `"` + table + `"`
}

func (c Config) auditTable() string { return c.Table + "_audit" }
