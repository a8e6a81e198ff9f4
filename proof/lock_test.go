package proof_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/sessile-go/sessile/internal/pgtest"
	"github.com/sessile-go/sessile/sessions"
	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
)

// A write that waits for somebody else's lock is given up, has then changed nothing, and
// can be asked for again. The caller here would wait for ever.
func TestAWriteThatWaitsForALockIsGivenUp(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		dialector func(t *testing.T) func() gorm.Dialector
		lock      string // in SQLite a transaction is enough
		waiting   string // how many wait for it
	}{
		"sqlite": {func(t *testing.T) func() gorm.Dialector {
			file := t.TempDir() + "/sessions.db"
			return func() gorm.Dialector { // a driver that waits itself ignores the context meanwhile
				return sqlite.Open("file:" + file + "?_journal_mode=WAL&_busy_timeout=100&_txlock=immediate")
			}
		}, `SELECT 1`, `SELECT 0`},
		"postgres": {func(t *testing.T) func() gorm.Dialector {
			dsn := pgtest.DSN(t)
			return func() gorm.Dialector { return postgres.Open(dsn) }
		}, `SELECT 1 FROM sessile_sessions FOR UPDATE`,
			`SELECT count(*) FROM pg_stat_activity WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid))`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := migratedPlace(t, test.dialector(t))
			config := denyConfig(p.handle(t))
			events := 0
			config.OnEvent = func(context.Context, sessions.Event) { events++ }
			patient, err := sessions.New(config)
			if err != nil {
				t.Fatal(err)
			}
			config.StoreTimeout = 300 * time.Millisecond
			m, err := sessions.New(config)
			if err != nil {
				t.Fatal(err)
			}
			g, err := patient.Create(t.Context(), sessions.CreateParams{UserID: "alice"})
			if err != nil {
				t.Fatal(err)
			}

			other := p.handle(t).db.Begin()
			if err := errors.Join(other.Error, other.Exec(test.lock).Error); err != nil {
				t.Fatal(err)
			}
			for what, call := range map[string]func() error{
				"end": func() error {
					_, err := m.End(context.Background(), sessions.EndParams{ID: g.Session.ID})
					return err
				},
				"end many": func() error {
					_, err := m.EndMany(context.Background(), sessions.EndManyParams{UserID: "alice"})
					return err
				},
				"refresh": func() error {
					_, err := m.Refresh(context.Background(), g.RefreshToken.Reveal(), sessions.Client{})
					return err
				},
			} {
				if err := call(); !errors.Is(err, sessions.ErrUnavailable) {
					t.Errorf("%s: %v", what, err)
				}
			}
			// A driver asks the server to cancel a statement and does not wait for it. A
			// statement that gets its lock before the cancellation arrives is executed.
			for deadline, waiting := time.Now().Add(time.Minute), 1; waiting > 0; {
				if err := other.Raw(test.waiting).Scan(&waiting).Error; err != nil || time.Now().After(deadline) {
					t.Fatalf("%d statements still wait: %v", waiting, err)
				}
			}
			if err := other.Rollback().Error; err != nil {
				t.Fatal(err)
			}

			if events != 1 {
				t.Errorf("%d events of what has not happened", events-1)
			}
			if s, err := patient.Get(t.Context(), g.Session.ID); err != nil || !s.EndedAt.IsZero() {
				t.Errorf("%+v, %v", s, err)
			}
			if _, err := patient.End(t.Context(), sessions.EndParams{ID: g.Session.ID}); err != nil {
				t.Error(err)
			}
		})
	}
}
