package store

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"github.com/sessile-go/sessile/store/internal/core"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// executor runs the statements of the core through GORM, so that plug-ins see them.
type executor struct {
	db    *gorm.DB
	table string
}

// newExecutor returns one on a copy of a handle with its own settings.
func newExecutor(db *gorm.DB, cfg Config) executor {
	own := session(db, !cfg.NoPreparedStatements)
	if cfg.NoPreparedStatements {
		// The host's handle may prepare. Plug-ins ask for the setting, and the pool is what
		// does it.
		own.PrepareStmt = false
		own.Statement.ConnPool = unprepared(own.Statement.ConnPool)
		own.ConnPool = own.Statement.ConnPool
	}
	return executor{own, cfg.Table}
}

// joined returns one in a transaction.
func joined(tx *gorm.DB, table string) executor {
	own := session(tx, false)
	// GORM's cache of prepared statements makes the second caller of a statement wait for
	// the first to prepare it. If the pool has one connection, which this transaction holds,
	// the first may in turn wait for the transaction: for ever. So nothing is prepared here,
	// even if the host's handle does.
	own.Statement.ConnPool = unprepared(own.Statement.ConnPool)
	return executor{own, table}
}

// unprepared returns the pool or the transaction that is inside GORM's caches of prepared
// statements. There is one cache for each setting of PrepareStmt: that of the host's
// handle, those of its sessions, and that of newExecutor.
func unprepared(pool gorm.ConnPool) gorm.ConnPool {
	for {
		switch p := pool.(type) {
		case *gorm.PreparedStmtDB:
			pool = p.ConnPool
		case *gorm.PreparedStmtTX:
			pool = p.Tx
		default:
			return pool
		}
	}
}

// session returns a copy of a handle with settings and a statement of its own.
func session(db *gorm.DB, prepare bool) *gorm.DB {
	return db.Session(&gorm.Session{
		NewDB:                  true,
		SkipDefaultTransaction: true,
		PrepareStmt:            prepare,
		Logger:                 silent{},
		Context:                db.Statement.Context, // makes Session copy the statement
	})
}

// What gorm.io/plugin/dbresolver calls itself and, in its settings, a statement for a
// source. Without the setting it would send a SELECT to a replica, which may lag.
const (
	resolver = "gorm:db_resolver"
	toSource = "gorm:db_resolver:write"
)

// session returns a handle for one statement. The resolver may have sources for the table
// alone, so the statement names it: the resolver would read it from the SQL, but what goes
// to the audit log must go to the same database.
func (e executor) session(ctx context.Context) *gorm.DB {
	db := e.db.Session(&gorm.Session{NewDB: true, Context: ctx}).Set(toSource, struct{}{})
	db.Statement.Table = e.table
	return db
}

// Query implements [core.Executor].
func (e executor) Query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	rows, err := e.session(ctx).Raw(query, args...).Rows()
	if err != nil && rows != nil { // a plug-in has added an error after the statement ran
		err = errors.Join(err, rows.Close()) //nolint:sqlclosecheck // without an error, the caller closes them
		rows = nil
	}
	return rows, err
}

// Exec implements [core.Executor].
func (e executor) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	tx := e.session(ctx).Exec(query, args...)
	return tx.RowsAffected, tx.Error
}

// Transaction implements [core.Executor]. The resolver chooses a database for a statement,
// but not for a BEGIN, so it is called here.
func (e executor) Transaction(ctx context.Context, opts *sql.TxOptions, f func(tx core.Executor) error) error {
	db := e.session(ctx)
	if choose := db.Callback().Query().Get(resolver); choose != nil {
		choose(db)
	}
	return db.Transaction(func(tx *gorm.DB) error { return f(joined(tx, e.table)) }, opts)
}

// Again implements [core.Executor]. It recognises two accidents of GORM's shared cache of
// prepared statements, before the statement ran. A caller that finds a statement while
// another one prepares it gets that caller's error, be it cancelled or past its deadline,
// though its own context is fine. And a statement may be evicted and closed between being
// found and being run, for which database/sql has no exported error.
//
// If the handle has a default time-out, a deadline may also be the end of a statement of
// this caller, which may have been committed.
func (e executor) Again(err error) bool {
	timed := e.db.DefaultContextTimeout > 0 || e.db.DefaultTransactionTimeout > 0
	return errors.Is(err, context.Canceled) || !timed && errors.Is(err, context.DeadlineExceeded) ||
		strings.Contains(err.Error(), "sql: statement is closed")
}

// silent is a logger that prints nothing. GORM's own prints the bound values of slow and
// failed statements, and does so even at Silent if a plug-in raises the level, which
// LogMode here does not allow.
type silent struct{}

func (s silent) LogMode(logger.LogLevel) logger.Interface                           { return s }
func (silent) Info(context.Context, string, ...any)                                 {}
func (silent) Warn(context.Context, string, ...any)                                 {}
func (silent) Error(context.Context, string, ...any)                                {}
func (silent) Trace(context.Context, time.Time, func() (string, int64), error)      {}
func (silent) ParamsFilter(_ context.Context, sql string, _ ...any) (string, []any) { return sql, nil }
