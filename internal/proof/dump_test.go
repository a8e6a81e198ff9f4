package proof_test

import (
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/sessile-go/sessile/store"
)

// dumpStart is not on a full second, so that rounding shows.
var dumpStart = time.Date(2026, time.March, 14, 15, 9, 26, 535_898_000, time.UTC)

// dumpStore is a store with the database under it.
type dumpStore struct {
	*store.Store
	pool *sql.DB
	file string
}

func dumpSQLite(t *testing.T) dumpStore {
	t.Helper()
	file := filepath.Join(t.TempDir(), "sessions.db")
	d := dumpOpen(t, sqlite.Open("file:"+file+"?_journal_mode=WAL&_synchronous=OFF"), 1, &gorm.Config{Logger: logger.Discard})
	d.file = file
	return d
}

func dumpOpen(t *testing.T, dialector gorm.Dialector, conns int, cfg *gorm.Config) dumpStore {
	t.Helper()
	db, err := gorm.Open(dialector, cfg)
	if err != nil {
		t.Fatal(err)
	}
	pool, err := db.DB()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
	})
	pool.SetMaxOpenConns(conns)
	st, err := store.New(db, store.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return dumpStore{Store: st, pool: pool}
}
