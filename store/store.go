package store

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/sessile-go/sessile/sessions"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

var _ sessions.Store = (*Store)(nil)

// DefaultTable is the name of the table where [Config.Table] is empty.
const DefaultTable = "sessile_sessions"

// Config says where the sessions are.
type Config struct {
	// Table is the name of the table: ASCII letters, digits and underscores, not
	// first a digit, at most 48 bytes. Defaults to [DefaultTable].
	Table string
	// Schema is the Postgres schema of the table, which the host creates. SQLite
	// has none. Defaults to "", the search_path of the connection.
	Schema string
	// NoPreparedStatements sends every statement as text, for poolers that give
	// each transaction another connection. Defaults to false.
	NoPreparedStatements bool
	// AuditLog adds a second table, of the same name with _audit behind it, and to
	// it an entry for every creation, use and end of an impersonation, in the
	// transaction of that change; see [Store.Audit]. On Postgres the change and its
	// entries are one statement, but for the creation of an impersonation, which is a
	// transaction. On SQLite the refresh and the end of an ordinary session are one
	// statement, too; those of an impersonation, and the end of many, are a transaction,
	// which has one INSERT for every 500 entries. In the host's transaction, an error must
	// roll that back, as ever. Defaults to false.
	AuditLog bool
}

// Store keeps sessions in one table. It is safe for concurrent use, and any number
// of processes may have one on the same table.
//
// Errors: [sessions.ErrNotFound] and [sessions.ErrConflict] as they are; any other
// begins with "store: ", the method's name, and wraps what the driver or the
// context said. Those of a driver may quote the statement, never a bound value;
// nothing is logged. On error the other result is the zero value.
//
// Deadlocks and serialization failures of Postgres and a busy SQLite are tried
// again for up to 10 s from the beginning of the call, but not after the context's
// deadline. The last attempt may end later by SQLite's busy time-out, which no context
// cuts short.
type Store struct {
	db      *gorm.DB
	dialect dialect
	cfg     Config
	stmts   *statements
	// joined is true for a store from In.
	joined bool
	// fault is what is wrong with a store from In; every method returns it.
	fault error
}

type dialect string

// The names that GORM's dialects give themselves.
const (
	sqlite   dialect = "sqlite"
	postgres dialect = "postgres"
)

// New returns a store on db. It does no I/O and leaves db as it is; the handle's
// connection pool is used, its other settings are not. It refuses a handle in
// DryRun mode, in a transaction (see [Store.In]), or of another database than
// SQLite and Postgres. The error joins all faults.
func New(db *gorm.DB, cfg Config) (*Store, error) {
	if cfg.Table == "" {
		cfg.Table = DefaultTable
	}
	d, faults := inspect(db)
	if len(faults) == 0 && inTransaction(db) {
		faults = append(faults, errors.New("store: db: is in a transaction; use In of a store on the database itself"))
	}
	faults = append(faults, cfg.validate(d)...)
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return &Store{
		db: db.Session(&gorm.Session{
			NewDB:                  true,
			SkipDefaultTransaction: true,
			PrepareStmt:            !cfg.NoPreparedStatements,
			Logger:                 silent{},
		}),
		dialect: d,
		cfg:     cfg,
		stmts:   newStatements(cfg, d),
	}, nil
}

// In returns a store with the same configuration whose methods run in tx, a
// transaction that the host began and ends:
//
//	err := db.Transaction(func(tx *gorm.DB) error {
//		_, err := manager.WithStore(st.In(tx)).Create(ctx, params)
//		return err
//	})
//
// Everything inside has to go through tx, the lookup of Config.Users too, or it
// waits for the connection that tx holds where there is only one. The lookup gets
// the context of the call; the Examples show how that carries tx.
//
// Nothing is tried again there, since only the whole transaction can be. Refresh
// and Redeem are refused with [sessions.ErrJoined]: a rollback would undo the end of
// a replayed session. End, EndMany and EndDependents are refused if the transaction is
// REPEATABLE READ or SERIALIZABLE on Postgres, because its snapshot may lack sessions
// that must end; what they have ended by then is for the host to roll back. Where tx is
// no transaction, every method returns an error that says so.
// The store is as safe for concurrent use as tx is, which with most drivers is not
// at all.
func (s *Store) In(tx *gorm.DB) *Store {
	in := &Store{dialect: s.dialect, cfg: s.cfg, stmts: s.stmts, joined: true, fault: s.fault}
	d, faults := inspect(tx)
	switch {
	case len(faults) > 0:
	case d != s.dialect:
		faults = append(faults, fmt.Errorf("store: In: a transaction on %s, the store is on %s", d, s.dialect))
	case !inTransaction(tx):
		faults = append(faults, errors.New("store: In: not a transaction"))
	}
	if len(faults) > 0 {
		in.fault = errors.Join(append([]error{in.fault}, faults...)...)
		return in
	}

	// The context makes Session copy the statement, whose pool is set below.
	in.db = tx.Session(&gorm.Session{
		NewDB:                  true,
		SkipDefaultTransaction: true,
		Logger:                 silent{},
		Context:                tx.Statement.Context,
	})
	// GORM's cache of prepared statements makes the second caller of a statement
	// wait for the first to prepare it. With a pool of one connection, which this
	// transaction holds, the first may in turn wait for us: for ever. So nothing
	// is prepared here, even where the host's handle does.
	if p, ok := in.db.Statement.ConnPool.(*gorm.PreparedStmtTX); ok {
		in.db.Statement.ConnPool = p.Tx
	}
	return in
}

// inspect tells the dialect of a handle and what is wrong with it.
func inspect(db *gorm.DB) (dialect, []error) {
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
	d := dialect(db.Name())
	if d != sqlite && d != postgres {
		faults = append(faults, fmt.Errorf("store: db: dialect %q, want sqlite or postgres", string(d)))
	}
	return d, faults
}

func inTransaction(db *gorm.DB) bool {
	_, ok := db.Statement.ConnPool.(gorm.TxCommitter)
	return ok
}

// identifier is what needs no escape inside quotes, is no use to an injection, and
// means the same in both databases. Postgres cuts names at 63 bytes, and those of
// the indexes are longer than the table's.
var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,47}$`)

func (c Config) validate(d dialect) []error {
	var faults []error
	const rule = "want ASCII letters, digits and underscores, not first a digit, at most 48 bytes"
	switch {
	case !identifier.MatchString(c.Table):
		faults = append(faults, fmt.Errorf("store: Config.Table: %s", rule))
	case d == sqlite && strings.HasPrefix(strings.ToLower(c.Table), "sqlite_"):
		faults = append(faults, errors.New("store: Config.Table: SQLite keeps names with sqlite_ for itself"))
	}
	switch {
	case c.Schema == "":
	case d == sqlite:
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

// index is the name of one of the table's indexes.
func (c Config) index(suffix string) string { return c.Table + "_" + suffix + "_idx" }

// silent is a logger that prints nothing. GORM's own prints the bound values of
// slow and failed statements, and does so even at Silent when a plug-in raises the
// level: LogMode here does not.
type silent struct{}

func (s silent) LogMode(logger.LogLevel) logger.Interface                           { return s }
func (silent) Info(context.Context, string, ...any)                                 {}
func (silent) Warn(context.Context, string, ...any)                                 {}
func (silent) Error(context.Context, string, ...any)                                {}
func (silent) Trace(context.Context, time.Time, func() (string, int64), error)      {}
func (silent) ParamsFilter(_ context.Context, sql string, _ ...any) (string, []any) { return sql, nil }
