// Package store keeps sessions in SQLite or Postgres, through the *gorm.DB that
// the host app has already. It is the [sessions.Store] that ships.
//
// Start with [New], which does no I/O, and call [Store.Migrate] before the first
// request; or run the files of [Store.Migrations] with your own migration tool.
// [Store.In] joins a transaction of the host's.
//
// The package imports no driver. The SQL is its own, takes nothing from the
// handle's configuration and never reaches the handle's logger, so it works under
// any naming strategy, logger, PrepareStmt, SkipDefaultTransaction and
// TranslateError, and in any time zone. Tables are plain and may be read by others,
// see [Row]; writing to them is not supported.
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
// WAL lets readers go on while somebody writes. The busy time-out lets a writer
// wait for another process instead of failing. SQLite waits for all of it whatever
// the deadline of the call, so it is 1 s at most; the store tries again by itself,
// within the deadline. FULL has to be said: mattn's build
// of SQLite makes NORMAL the default of WAL, and with NORMAL a power failure may
// take back a commit that was answered already, an ended session included.
// _txlock=immediate makes the host's own transactions take the write lock at their
// start; one that reads first and writes later would otherwise fail at once where
// another has written in between, and no time-out helps.
//
// One connection, because SQLite has one writer anyway: waiting for it in the pool
// is fair and wakes at once, while SQLite's own waiting polls with growing pauses.
// With 32 writers the 99th percentile falls from 37 ms to 11 ms with NORMAL, and
// from 331 ms to 35 ms with FULL. An app that reads much opens a second handle for
// that. It works with any number of connections.
//
// Without cgo, hand a pool of modernc.org/sqlite to gorm.io/driver/sqlite, in
// sqlite.Config.Conn. That driver spells the settings _pragma=journal_mode(WAL) and
// so on.
//
// # Postgres
//
// Version 12 or later, at any default_transaction_isolation. Behind a pooler that
// gives each transaction another connection, set Config.NoPreparedStatements and
// the driver's default_query_exec_mode=exec.
//
// No refresh touches an index: updates stay HOT, and the table is filled to 80 %
// to leave them room on their page.
//
// Where the handle uses gorm.io/plugin/dbresolver, every statement goes to the
// source: a replica that lags would show an ended session as live.
package store
