// Package sqlstore keeps sessions in SQLite or Postgres, through the [database/sql] pool
// that the host app already has. It is package store for hosts without GORM: it runs the
// same statements on the same tables, and links neither GORM nor a driver.
//
//	pool, err := sql.Open("postgres", "postgres://app@db.internal/app")
//	st, err := sqlstore.New(pool, sqlstore.Postgres, sqlstore.Config{})
//	err = st.Migrate(ctx)
//	manager, err := sessions.New(sessions.Config{Store: st, …})
//
// [New] does no I/O. Call [Store.Migrate] before the first request. [Store.In] joins a
// transaction of the host. Make one Store for each pool and keep it: it keeps the
// statements that it has prepared.
//
// # Drivers
//
// The pool may come from any of these, and from what wraps one of them:
//
//   - github.com/jackc/pgx/v5/stdlib, also over a pgxpool: stdlib.OpenDBFromPool(pool)
//   - github.com/lib/pq
//   - github.com/mattn/go-sqlite3
//   - modernc.org/sqlite and github.com/glebarez/go-sqlite, which need no cgo
//
// A sqlx.DB has the pool in its field DB, and the pool from which a sqlc.Queries was made
// serves both.
//
// # SQLite
//
// Version 3.38 or later. Open the file with a journal in WAL mode, a busy time-out of 1 s,
// synchronous FULL and immediate transactions, and allow one connection. With
// mattn/go-sqlite3:
//
//	dsn := "file:app.db?_journal_mode=WAL&_busy_timeout=1000&_synchronous=FULL&_txlock=immediate"
//	pool, err := sql.Open("sqlite3", dsn)
//	pool.SetMaxOpenConns(1)
//
// Package store says what each of these settings is for.
//
// # Postgres
//
// Version 12 or later, at any default_transaction_isolation. Behind a pooler that gives
// each transaction another connection, set [Config].NoPreparedStatements, and keep the
// driver from preparing by itself: default_query_exec_mode=exec in the URL of pgx,
// binary_parameters=yes in that of lib/pq.
package sqlstore
