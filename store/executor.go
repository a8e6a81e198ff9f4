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

// executor runs the statements of the core through GORM, where the host's plug-ins see
// them.
type executor struct{ db *gorm.DB }

// newExecutor makes a session of the store's own of the host's handle.
func newExecutor(db *gorm.DB, cfg Config) executor {
	return executor{db.Session(&gorm.Session{
		NewDB:                  true,
		SkipDefaultTransaction: true,
		PrepareStmt:            !cfg.NoPreparedStatements,
		Logger:                 silent{},
	})}
}

// joined makes one of a transaction.
func joined(tx *gorm.DB) executor {
	// The context makes Session copy the statement, whose pool is set below.
	db := tx.Session(&gorm.Session{
		NewDB:                  true,
		SkipDefaultTransaction: true,
		Logger:                 silent{},
		Context:                tx.Statement.Context,
	})
	// GORM's cache of prepared statements makes the second caller of a statement
	// wait for the first to prepare it. With a pool of one connection, which this
	// transaction holds, the first may in turn wait for us: for ever. So nothing
	// is prepared here, even where the host's handle does.
	if p, ok := db.Statement.ConnPool.(*gorm.PreparedStmtTX); ok {
		db.Statement.ConnPool = p.Tx
	}
	return executor{db}
}

// toSource is the setting by which gorm.io/plugin/dbresolver sends a statement to
// the source. Without it a SELECT would go to a replica, which may be behind.
const toSource = "gorm:db_resolver:write"

func (e executor) session(ctx context.Context) *gorm.DB {
	return e.db.Session(&gorm.Session{NewDB: true, Context: ctx}).Set(toSource, struct{}{})
}

func (e executor) Query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return e.session(ctx).Raw(query, args...).Rows()
}

func (e executor) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	tx := e.session(ctx).Exec(query, args...)
	return tx.RowsAffected, tx.Error
}

func (e executor) Transaction(ctx context.Context, opts *sql.TxOptions, f func(tx core.Executor) error) error {
	return e.session(ctx).Transaction(func(tx *gorm.DB) error { return f(joined(tx)) }, opts)
}

// Again recognises two accidents of GORM's shared cache of prepared
// statements, before the statement ran. A caller that finds a statement while another
// one prepares it gets that caller's error, be it cancelled or past its deadline,
// though its own context is fine. And a statement may be evicted and closed between
// being found and being run, for which database/sql has no exported error.
//
// With a default time-out of the host's GORM handle, a deadline may also be the end of a
// statement of this caller, which may have been committed.
func (e executor) Again(err error) bool {
	timed := e.db.DefaultContextTimeout > 0 || e.db.DefaultTransactionTimeout > 0
	return errors.Is(err, context.Canceled) || !timed && errors.Is(err, context.DeadlineExceeded) ||
		strings.Contains(err.Error(), "sql: statement is closed")
}

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
