package store_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/sessile-go/sessile/internal/pgtest"
	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/store"
	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
)

// busy is an SQLite that another process keeps locked: each UPDATE waits for the busy
// time-out, whatever its context says, and fails.
type (
	busyConnector struct {
		driver  driver.Driver
		dsn     string
		timeout time.Duration
		updates *int
	}
	busyConn struct {
		driver.Conn
		of busyConnector
	}
	busyStmt struct {
		driver.Stmt
		of busyConnector
	}
)

func (c busyConnector) Driver() driver.Driver { return c.driver }

func (c busyConnector) Connect(context.Context) (driver.Conn, error) {
	conn, err := c.driver.Open(c.dsn)
	return busyConn{conn, c}, err
}

func (c busyConn) Prepare(query string) (driver.Stmt, error) {
	s, err := c.Conn.Prepare(query)
	if err == nil && strings.HasPrefix(query, "UPDATE") {
		return busyStmt{s, c.of}, nil
	}
	return s, err
}

func (s busyStmt) Query([]driver.Value) (driver.Rows, error) {
	*s.of.updates++
	<-time.After(s.of.timeout)
	return nil, errors.New("database is locked")
}

// TestABusyDatabaseIsNotTriedPastTheDeadline counts attempts, in time that passes by
// itself: the last one begins before the deadline and before the end of the budget, the
// first one included.
func TestABusyDatabaseIsNotTriedPastTheDeadline(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name              string
		timeout, deadline time.Duration
		least, most       int // attempts
		took              time.Duration
	}{
		{"a deadline shorter than the busy time-out", time.Second, 500 * time.Millisecond, 1, 1, time.Second},
		{"a deadline of some busy time-outs", time.Second, 3500 * time.Millisecond, 4, 4, 4500 * time.Millisecond},
		{"no busy time-out", 0, 500 * time.Millisecond, 20, 100_000, 500 * time.Millisecond},
		{"no deadline", 4 * time.Second, time.Hour, 3, 3, 14 * time.Second},
		{"no deadline and no busy time-out", 0, time.Hour, 100, 1_000_000, 10 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			plain := pool(t, open(t, sqlite.Open("file::memory:")))
			dsn := "file:" + file(t)
			migrated(t, open(t, sqlite.Open(dsn)))
			synctest.Test(t, func(t *testing.T) {
				updates := 0
				conn := sql.OpenDB(busyConnector{plain.Driver(), dsn, tt.timeout, &updates})
				defer func() { must(t, conn.Close()) }()
				db, err := gorm.Open(sqlite.New(sqlite.Config{Conn: conn}))
				must(t, err)
				st := newStore(t, db, store.Config{NoPreparedStatements: true})
				ctx, cancel := context.WithTimeout(context.Background(), tt.deadline)
				defer cancel()
				began := time.Now()
				_, err = st.End(ctx, sessions.EndParams{ID: newID(), Now: t0, Reason: sessions.EndRevoked})
				if err == nil || errors.Is(err, sessions.ErrNotFound) || ctx.Err() != nil &&
					!errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v, want an error that says why", err)
				}
				if updates < tt.least || updates > tt.most {
					t.Errorf("%d attempts, want %d to %d", updates, tt.least, tt.most)
				}
				if took := time.Since(began); took > tt.took {
					t.Errorf("returned after %v, want %v at most", took, tt.took)
				}
			})
		})
	}
}

// TestProcessesShareAFile has several processes with 32 writers each on one file as
// documented, every call with the time that a Manager gives it: none fails.
func TestProcessesShareAFile(t *testing.T) {
	const inChild, processes, writers, writes = "STORE_TEST_SHARED_FILE", 3, 32, 10
	if name := os.Getenv(inChild); name != "" {
		st := newStore(t, open(t, sqlite.Open(documented(name))), store.Config{})
		errs := together(writers, func(int) error {
			s := session("u")
			for n := range int64(writes) {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				err := st.Create(ctx, s)
				if n > 0 {
					_, err = st.Refresh(ctx, presentation(s.ID, n, t0))
				}
				cancel()
				if err != nil {
					return err
				}
			}
			return nil
		})
		if len(errs) > 0 {
			t.Fatalf("%d of %d writers failed, the first: %v", len(errs), writers, errs[0])
		}
		return
	}
	t.Parallel()
	name := file(t)
	migrated(t, open(t, sqlite.Open(documented(name))))
	errs := together(processes, func(int) error {
		cmd := exec.Command(os.Args[0], "-test.run=^TestProcessesShareAFile$")
		cmd.Env = append(os.Environ(), inChild+"="+name)
		out, err := cmd.CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%w\n%s", err, out)
		}
		return err
	})
	must(t, errors.Join(errs...))
}

// TestASerializationFailureIsFollowedByWaiting has a statement fail because of what
// somebody else commits meanwhile: it is not tried in the same way for as long as there
// are others, but once more in a transaction that waits for them.
func TestASerializationFailureIsFollowedByWaiting(t *testing.T) {
	t.Parallel()
	for _, isolation := range []string{"repeatable read", "serializable"} {
		t.Run(isolation, func(t *testing.T) {
			t.Parallel()
			dsn, tp := pgtest.DSN(t), &tape{}
			plain := open(t, postgres.Open(dsn))
			s := created(t, migrated(t, plain), session("u"))
			cfg, err := pgx.ParseConfig(withParam(t, dsn, "default_transaction_isolation", isolation))
			must(t, err)
			cfg.Tracer = tp
			st := newStore(t, open(t, postgres.New(postgres.Config{Conn: stdlib.OpenDB(*cfg)})), store.Config{})
			tp.cut()
			done := make(chan error, 1)
			must(t, plain.Transaction(func(holder *gorm.DB) error {
				must(t, holder.Exec(`UPDATE sessile_sessions SET last_used_at = last_used_at + 1`).Error)
				go func() {
					_, err := st.End(t.Context(), sessions.EndParams{ID: s.ID, Now: t0, Reason: sessions.EndRevoked})
					done <- err
				}()
				waits(t, holder)
				return nil
			}))
			must(t, <-done)
			if got := tp.cut(); len(got) != 4 || got[1] != "begin isolation level read committed" || got[0] != got[2] ||
				got[3] != "commit" {
				t.Errorf("%d statements: %q, want the same one twice, the second time in a transaction", len(got), got)
			}
		})
	}
}
