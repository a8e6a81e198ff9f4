package proof_test

import (
	"path/filepath"
	"testing"

	"github.com/sessile-go/sessile/internal/pgtest"
	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
	"github.com/sessile-go/sessile/store"
	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// openStores are the stores that ship.
var openStores = []struct {
	name string
	// open makes an empty database, with the table, for one test.
	open func(t testing.TB) *place
}{
	{"memory", func(testing.TB) *place {
		st := sessionstest.NewStore()
		return &place{handle: func(testing.TB) openedStore { return openedStore{Store: st} }}
	}},
	{"sqlite", func(t testing.TB) *place {
		t.Helper()
		file := filepath.Join(t.TempDir(), "sessions.db")
		return migratedPlace(t, func() gorm.Dialector { return sqlite.Open(documentedDSN(file)) })
	}},
	{"postgres", func(t testing.TB) *place {
		t.Helper()
		dsn := pgtest.DSN(t)
		return migratedPlace(t, func() gorm.Dialector { return postgres.Open(dsn) })
	}},
}

// place is where sessions are kept.
type place struct {
	// handle opens the database once more, as each replica does. It is closed
	// after the test.
	handle func(t testing.TB) openedStore
}

// openedStore is a store on a handle of its own; db is nil in memory.
type openedStore struct {
	sessions.Store
	db *gorm.DB
}

// documentedDSN is how the documentation of package store opens a file.
func documentedDSN(file string) string {
	return "file:" + file + "?_journal_mode=WAL&_busy_timeout=1000&_synchronous=FULL&_txlock=immediate"
}

func migratedPlace(t testing.TB, dialector func() gorm.Dialector) *place {
	t.Helper()
	p := &place{handle: func(t testing.TB) openedStore {
		t.Helper()
		return openStore(t, dialector())
	}}
	first := p.handle(t)
	st, ok := first.Store.(*store.Store)
	if !ok {
		t.Fatalf("%T has no table", first.Store)
	}
	if err := st.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
}

func openStore(t testing.TB, d gorm.Dialector) openedStore {
	t.Helper()
	db, err := gorm.Open(d, &gorm.Config{Logger: logger.Discard})
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
	if db.Name() == "sqlite" {
		pool.SetMaxOpenConns(1)
	} else {
		pool.SetMaxOpenConns(8)
	}
	st, err := store.New(db, store.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return openedStore{Store: st, db: db}
}
