package store_test

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/sessile-go/sessile/internal/pgtest"
	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/store"
	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) { pgtest.Main(m) }

// t0 is the clock of the tests; it has microseconds, which must survive.
var t0 = time.Date(2026, 3, 4, 5, 6, 7, 890_123_000, time.UTC)

// documented is the DSN of the package's documentation, for a file.
func documented(file string) string {
	return "file:" + file + "?_journal_mode=WAL&_busy_timeout=1000&_synchronous=FULL&_txlock=immediate"
}

func file(t testing.TB) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "sessions.db")
}

// databases are what most tests run on. Those that are about waiting and
// durability open SQLite as documented.
var databases = []struct {
	name string
	open func(t testing.TB) gorm.Dialector
}{
	{"sqlite", func(t testing.TB) gorm.Dialector {
		t.Helper()
		return sqlite.Open("file:" + file(t) + "?_journal_mode=WAL&_synchronous=OFF")
	}},
	{"postgres", func(t testing.TB) gorm.Dialector {
		t.Helper()
		return postgres.Open(pgtest.DSN(t))
	}},
}

// open opens a handle as the documentation says, which for SQLite is with one
// connection, and closes it after the test.
func open(t testing.TB, d gorm.Dialector, opts ...gorm.Option) *gorm.DB {
	t.Helper()
	if len(opts) == 0 {
		opts = []gorm.Option{&gorm.Config{Logger: logger.Discard}}
	}
	db, err := gorm.Open(d, opts...)
	if err != nil {
		t.Fatal(err)
	}
	pool := pool(t, db)
	t.Cleanup(func() {
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
	})
	if db.Name() == "sqlite" {
		pool.SetMaxOpenConns(1)
	} else {
		pool.SetMaxOpenConns(16)
	}
	return db
}

func pool(t testing.TB, db *gorm.DB) *sql.DB {
	t.Helper()
	pool, err := db.DB()
	if err != nil {
		t.Fatal(err)
	}
	return pool
}

func newStore(t testing.TB, db *gorm.DB, cfg store.Config) *store.Store {
	t.Helper()
	st, err := store.New(db, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// migrated is a store with its table.
func migrated(t testing.TB, db *gorm.DB) *store.Store {
	t.Helper()
	return migratedAs(t, db, store.Config{})
}

// audited is a store with its tables, one of them the audit log.
func audited(t testing.TB, db *gorm.DB) *store.Store {
	t.Helper()
	return migratedAs(t, db, store.Config{AuditLog: true})
}

func migratedAs(t testing.TB, db *gorm.DB, cfg store.Config) *store.Store {
	t.Helper()
	st := newStore(t, db, cfg)
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
		ID: newID(), UserID: user,
		CreatedAt: t0, LastUsedAt: t0, ExpiresAt: t0.Add(24 * time.Hour), AuthTime: t0.Add(-time.Minute),
		CreatedBy: "backend", Reason: "sign-in",
		Client: sessions.Client{IP: "192.0.2.1", UserAgent: "test"},
	}
}

// dependent returns an impersonation of a user whose parent is the session of an actor.
func dependent(user string, actor sessions.Session) sessions.Session {
	s := session(user)
	s.Impersonation, s.Actor, s.ParentSessionID, s.AuthTime = true, actor.UserID, actor.ID, time.Time{}
	return s
}

func created(t testing.TB, st *store.Store, s sessions.Session) sessions.Session {
	t.Helper()
	must(t, st.Create(t.Context(), s))
	return s
}

func at(now time.Time) sessions.Moment {
	return sessions.Moment{Now: now, IdleCutoff: now.Add(-24 * time.Hour)}
}

// rotation is the default.
var rotation = sessions.Rotation{Overlap: time.Minute}

func presentation(id string, counter int64, now time.Time) sessions.RefreshParams {
	return sessions.RefreshParams{
		ID: id, Presented: counter, Rotation: rotation, Moment: at(now), ImpersonationMargin: 30 * time.Second,
	}
}

// together calls f n times at once and returns the errors.
func together(n int, f func(i int) error) []error {
	start, errs := make(chan struct{}), make(chan error)
	for i := range n {
		go func() {
			<-start
			errs <- f(i)
		}()
	}
	close(start)
	all := make([]error, 0, n)
	for range n {
		if err := <-errs; err != nil {
			all = append(all, err)
		}
	}
	return all
}

// read returns the rows as the database has them.
func read(ctx context.Context, db *gorm.DB) (map[string]store.Row, error) {
	var rows []store.Row
	if err := db.WithContext(ctx).Table(store.DefaultTable).Find(&rows).Error; err != nil {
		return nil, fmt.Errorf("read rows: %w", err)
	}
	byID := make(map[string]store.Row, len(rows))
	for _, r := range rows {
		byID[r.ID] = r
	}
	return byID, nil
}

// withParam adds a parameter to a DSN in URL form.
func withParam(t testing.TB, dsn, name, value string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set(name, value)
	u.RawQuery = q.Encode()
	return u.String()
}
