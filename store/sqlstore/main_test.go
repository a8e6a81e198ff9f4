package sqlstore_test

import (
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "github.com/mattn/go-sqlite3"    // the driver "sqlite3"
	"github.com/sessile-go/sessile/internal/pgtest"
	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/store/sqlstore"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// t0 is the clock of the tests. Its microseconds must survive.
var t0 = time.Date(2026, 3, 4, 5, 6, 7, 890_123_000, time.UTC)

// databases are what most tests run on, without waiting for the disk.
var databases = []struct {
	name    string
	dialect sqlstore.Dialect
	open    func(t testing.TB) *sql.DB
}{
	{"sqlite", sqlstore.SQLite, func(t testing.TB) *sql.DB {
		t.Helper()
		return open(t, "sqlite3", "file:"+file(t)+"?_journal_mode=WAL&_synchronous=OFF", 1)
	}},
	{"sqlite with many connections", sqlstore.SQLite, func(t testing.TB) *sql.DB {
		t.Helper()
		return open(t, "sqlite3", "file:"+file(t)+"?_journal_mode=WAL&_busy_timeout=1000&_synchronous=OFF", 0)
	}},
	{"postgres", sqlstore.Postgres, func(t testing.TB) *sql.DB {
		t.Helper()
		return open(t, "pgx", pgtest.DSN(t), 16)
	}},
}

func file(t testing.TB) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "sessions.db")
}

// documented is the DSN of the package's documentation, for a file.
func documented(file string) string {
	return "file:" + file + "?_journal_mode=WAL&_busy_timeout=1000&_synchronous=FULL&_txlock=immediate"
}

func open(t testing.TB, driver, dsn string, connections int) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	must(t, err)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	db.SetMaxOpenConns(connections)
	return db
}

func newStore(t testing.TB, db *sql.DB, d sqlstore.Dialect, cfg sqlstore.Config) *sqlstore.Store {
	t.Helper()
	st, err := sqlstore.New(db, d, cfg)
	must(t, err)
	return st
}

// migrated is a store with its tables.
func migrated(t testing.TB, db *sql.DB, d sqlstore.Dialect, cfg sqlstore.Config) *sqlstore.Store {
	t.Helper()
	st := newStore(t, db, d, cfg)
	must(t, st.Migrate(t.Context()))
	return st
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newID() string { return uuid.Must(uuid.NewV7()).String() }

// session is a live session at t0.
func session(user string) sessions.Session {
	return sessions.Session{
		ID: newID(), UserID: user, CreatedBy: "backend",
		CreatedAt: t0, LastUsedAt: t0, ExpiresAt: t0.Add(24 * time.Hour),
	}
}

// dependent is an impersonation of a user by the user of parent.
func dependent(user string, parent sessions.Session) sessions.Session {
	s := session(user)
	s.Impersonation, s.Actor, s.ParentSessionID = true, parent.UserID, parent.ID
	return s
}

func created(t testing.TB, st *sqlstore.Store, s sessions.Session) sessions.Session {
	t.Helper()
	must(t, st.Create(t.Context(), s))
	return s
}

func presentation(id string, counter int64, now time.Time) sessions.RefreshParams {
	return sessions.RefreshParams{
		ID: id, Presented: counter,
		Rotation: sessions.Rotation{Overlap: time.Minute}, Moment: sessions.Moment{Now: now},
	}
}
