// Package stores runs both faces of the store on drivers and plug-ins that others wrote.
package stores

import (
	"context"
	"database/sql"
	"net/url"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	_ "github.com/lib/pq"           // the driver "postgres"
	_ "github.com/mattn/go-sqlite3" // the driver "sqlite3"
	"github.com/sessile-go/sessile/internal/pgtest"
	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/store"
	"github.com/sessile-go/sessile/store/sqlstore"
	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
	_ "modernc.org/sqlite" // the driver "sqlite", without cgo
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// open opens a pool and closes it after the test.
func open(t testing.TB, driver, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	must(t, err)
	return closed(t, db)
}

func closed(t testing.TB, db *sql.DB) *sql.DB {
	t.Helper()
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// drivers open an empty database.
var drivers = []struct {
	name    string
	dialect sqlstore.Dialect
	open    func(t testing.TB) *sql.DB
}{
	{"modernc", sqlstore.SQLite, func(t testing.TB) *sql.DB {
		t.Helper()
		db := open(t, "sqlite", "file:"+filepath.Join(t.TempDir(), "s.db")+
			"?_pragma=journal_mode(WAL)&_pragma=busy_timeout(1000)&_pragma=synchronous(OFF)&_txlock=immediate")
		db.SetMaxOpenConns(1)
		return db
	}},
	{"lib/pq", sqlstore.Postgres, func(t testing.TB) *sql.DB {
		t.Helper()
		db := open(t, "postgres", pgtest.DSN(t))
		db.SetMaxOpenConns(8)
		return db
	}},
	{"pgxpool", sqlstore.Postgres, func(t testing.TB) *sql.DB {
		t.Helper()
		return fromPool(t, pgtest.DSN(t))
	}},
}

// fromPool returns a pool of database/sql over one of pgx.
func fromPool(t testing.TB, dsn string) *sql.DB {
	t.Helper()
	cfg, err := pgxpool.ParseConfig(dsn)
	must(t, err)
	cfg.MaxConns = 8
	pool, err := pgxpool.NewWithConfig(context.Background(), cfg)
	must(t, err)
	t.Cleanup(pool.Close)
	return closed(t, stdlib.OpenDBFromPool(pool))
}

// with adds parameters to a DSN in URL form.
func with(t testing.TB, dsn string, params map[string]string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	must(t, err)
	q := u.Query()
	for name, value := range params {
		q.Set(name, value)
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// migrator is what both faces have.
type migrator interface {
	sessions.Store
	Migrate(ctx context.Context) error
}

// faces make a store on a pool.
var faces = map[string]func(t testing.TB, db *sql.DB, d sqlstore.Dialect, cfg sqlstore.Config) sessions.Store{
	"sqlstore": func(t testing.TB, db *sql.DB, d sqlstore.Dialect, cfg sqlstore.Config) sessions.Store {
		t.Helper()
		st, err := sqlstore.New(db, d, cfg)
		return migrated(t, st, err)
	},
	"gorm": func(t testing.TB, db *sql.DB, d sqlstore.Dialect, cfg sqlstore.Config) sessions.Store {
		t.Helper()
		dialector := sqlite.New(sqlite.Config{Conn: db})
		if d == sqlstore.Postgres {
			dialector = postgres.New(postgres.Config{Conn: db})
		}
		handle, err := gorm.Open(dialector, &gorm.Config{Logger: logger.Discard})
		must(t, err)
		st, err := store.New(handle, store.Config(cfg))
		return migrated(t, st, err)
	},
}

func migrated(t testing.TB, st migrator, err error) sessions.Store {
	t.Helper()
	must(t, err)
	must(t, st.Migrate(t.Context()))
	return st
}
