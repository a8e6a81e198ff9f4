// Package store keeps sessions in SQLite or Postgres, through the *gorm.DB that the
// host app already has. It implements [sessions.Store]. Package sqlstore does the same
// on a *sql.DB, for hosts without GORM.
//
// Start with [New], which does no I/O, and call [Store.Migrate] before the first
// request; or run the files of [Store.Migrations] with your own migration tool.
// [Store.In] joins a transaction of the host.
//
// The package imports no driver. It runs SQL of its own through the handle, so the
// handle's plugins see the statements. The handle's logger does not, and no naming
// strategy, PrepareStmt, SkipDefaultTransaction or TranslateError changes what they do.
// No time zone matters. The tables are plain and others may read them, see [Row]; writing
// to them is not supported.
//
// # SQLite
//
// Version 3.38 or later (RETURNING, json_each). With gorm.io/driver/sqlite:
//
//	dsn := "file:app.db?_journal_mode=WAL&_busy_timeout=1000&_synchronous=FULL&_txlock=immediate"
//	db, err := gorm.Open(sqlite.Open(dsn), &gorm.Config{})
//	sqlDB, err := db.DB()
//	sqlDB.SetMaxOpenConns(1)
//
// WAL lets readers go on while somebody writes. The busy time-out lets a writer wait for
// another process instead of failing. SQLite waits for all of it whatever the deadline of
// the call, so set it to 1 s at most. The store tries again by itself, within the
// deadline. FULL is needed because mattn's build of SQLite makes NORMAL the default of
// WAL. With NORMAL a power failure may take back a commit that was answered already, the
// end of a session included. With _txlock=immediate the host's own transactions take the
// write lock when they begin; one that reads first and writes later would otherwise fail
// at once if another has written in between, and no time-out helps.
//
// One connection, because SQLite has one writer anyway: waiting for it in the pool is fair
// and wakes at once, while SQLite's own waiting polls with growing pauses. With 32 writers
// the 99th percentile falls from 37 ms to 11 ms with NORMAL, and from 331 ms to 35 ms with
// FULL. An app that reads much opens a second handle for that. The store works with any
// number of connections.
//
// Without cgo, pass a pool of modernc.org/sqlite to gorm.io/driver/sqlite, in
// sqlite.Config.Conn. That driver spells the settings _pragma=journal_mode(WAL) and so on.
//
// # Postgres
//
// Version 12 or later, at any default_transaction_isolation. Behind a pooler that gives
// each transaction another connection, set Config.NoPreparedStatements and the driver's
// default_query_exec_mode=exec.
//
// A refresh changes no column that is in an index. So updates stay HOT, and the table is
// filled to 80 % to leave them room on their page.
//
// If the handle uses gorm.io/plugin/dbresolver, every statement goes to the source: a
// replica that lags would show an ended session as live. A transaction for [Store.In] runs
// on the database on which the host began it. If the handle's own database is not a source,
// begin it with db.Table(name).Clauses(dbresolver.Write).Transaction.
package store
