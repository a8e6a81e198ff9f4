// Package glebarez runs both faces of the store on github.com/glebarez/sqlite. It is a
// package of its own because this driver and modernc's register the same name.
package glebarez

import (
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/glebarez/sqlite"
	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/storetest"
	"github.com/sessile-go/sessile/store"
	"github.com/sessile-go/sessile/store/sqlstore"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// open opens a file with GORM, and closes it after the test.
func open(t testing.TB) (*gorm.DB, *sql.DB) {
	t.Helper()
	dsn := "file:" + filepath.Join(t.TempDir(), "s.db") +
		"?_pragma=journal_mode(WAL)&_pragma=busy_timeout(1000)&_pragma=synchronous(OFF)&_txlock=immediate"
	db, err := gorm.Open(sqlite.Open(dsn), &gorm.Config{Logger: logger.Discard})
	must(t, err)
	pool, err := db.DB()
	must(t, err)
	t.Cleanup(func() {
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
	})
	pool.SetMaxOpenConns(1)
	return db, pool
}

func TestConformance(t *testing.T) {
	t.Parallel()
	t.Run("gorm", func(t *testing.T) {
		t.Parallel()
		storetest.Run(t, func(t testing.TB) sessions.Store {
			db, _ := open(t)
			st, err := store.New(db, store.Config{AuditLog: true})
			must(t, err)
			must(t, st.Migrate(t.Context()))
			return st
		})
	})
	t.Run("sqlstore", func(t *testing.T) {
		t.Parallel()
		storetest.Run(t, func(t testing.TB) sessions.Store {
			_, pool := open(t)
			st, err := sqlstore.New(pool, sqlstore.SQLite, sqlstore.Config{AuditLog: true})
			must(t, err)
			must(t, st.Migrate(t.Context()))
			return st
		})
	})
}
