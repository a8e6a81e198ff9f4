package sqlstore_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/mattn/go-sqlite3"
	"github.com/sessile-go/sessile/internal/pgtest"
	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/store/sqlstore"
)

func TestNewNamesEveryFault(t *testing.T) {
	t.Parallel()
	lite := open(t, "sqlite3", "file::memory:", 1)
	for _, tt := range []struct {
		name    string
		db      *sql.DB
		dialect sqlstore.Dialect
		cfg     sqlstore.Config
		want    []string
	}{
		{"no pool", nil, sqlstore.SQLite, sqlstore.Config{}, []string{"store: db: required"}},
		{"no dialect", lite, "", sqlstore.Config{}, []string{`store: dialect ""`}},
		{"another database", lite, "mysql", sqlstore.Config{}, []string{`store: dialect "mysql"`}},
		{"a table with a quote", lite, sqlstore.SQLite, sqlstore.Config{Table: `a"b`},
			[]string{"store: Config.Table: "}},
		{"a schema on SQLite", lite, sqlstore.SQLite, sqlstore.Config{Schema: "auth"},
			[]string{"store: Config.Schema: "}},
		{"all at once", nil, "oracle", sqlstore.Config{Table: "?", Schema: "@"},
			[]string{"store: db: ", "store: dialect ", "store: Config.Table: ", "store: Config.Schema: "}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			st, err := sqlstore.New(tt.db, tt.dialect, tt.cfg)
			if st != nil || err == nil {
				t.Fatalf("got %v, %v, want an error", st, err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q lacks %q", err, want)
				}
			}
		})
	}
}

func TestInJoinsTheHostsTransaction(t *testing.T) {
	t.Parallel()
	for _, d := range databases {
		for _, commit := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/commit %t", d.name, commit), func(t *testing.T) {
				t.Parallel()
				db, ctx := d.open(t), t.Context()
				st := migrated(t, db, d.dialect, sqlstore.Config{AuditLog: true})
				parent := created(t, st, session("boss"))
				old, young := created(t, st, dependent("u", parent)), dependent("u", parent)
				tx, err := db.BeginTx(ctx, nil)
				must(t, err)
				defer func() { _ = tx.Rollback() }()
				in := st.In(tx)
				must(t, in.Create(ctx, young))
				// No answer of the store ends the transaction.
				if err := in.Create(ctx, young); !errors.Is(err, sessions.ErrConflict) {
					t.Errorf("create again: %v, want ErrConflict", err)
				}
				if _, err := in.Get(ctx, "no id"); !errors.Is(err, sessions.ErrNotFound) {
					t.Errorf("get no id: %v, want ErrNotFound", err)
				}
				_, err = in.Refresh(ctx, presentation(old.ID, 1, t0))
				if err == nil || errors.Is(err, sessions.ErrNotFound) {
					t.Errorf("refresh: %v, want an error", err)
				}
				others := sessions.EndManyParams{UserID: "u", ExceptID: young.ID, Now: t0, Reason: sessions.EndRevoked}
				if _, err := in.EndMany(ctx, others); err != nil {
					t.Errorf("end many: %v", err)
				}
				if commit {
					must(t, tx.Commit())
				} else {
					must(t, tx.Rollback())
				}
				_, err = st.Get(ctx, young.ID)
				if got := err == nil; got != commit || !got && !errors.Is(err, sessions.ErrNotFound) {
					t.Errorf("created is %t (%v), want %t", got, err, commit)
				}
				s, err := st.Get(ctx, old.ID)
				if ended := !s.EndedAt.IsZero(); err != nil || ended != commit {
					t.Errorf("ended is %t (%v), want %t", ended, err, commit)
				}
				entries, err := st.Audit(ctx, sqlstore.AuditQuery{UserID: "u"})
				if want := map[bool]int{false: 1, true: 3}[commit]; err != nil || len(entries) != want {
					t.Errorf("%d entries (%v), want %d", len(entries), err, want)
				}
			})
		}
	}
}

func TestInRefusesNoTransaction(t *testing.T) {
	t.Parallel()
	in := migrated(t, databases[0].open(t), sqlstore.SQLite, sqlstore.Config{AuditLog: true}).In(nil)
	_, getErr := in.Get(t.Context(), newID())
	_, auditErr := in.Audit(t.Context(), sqlstore.AuditQuery{UserID: "u"})
	for _, err := range []error{
		getErr, auditErr,
		in.Create(t.Context(), session("u")), in.Migrate(t.Context()), in.Record(t.Context(), sessions.Event{}),
	} {
		if err == nil || !strings.HasPrefix(err.Error(), "store: In: ") {
			t.Errorf("%v, want an error that says what is wrong", err)
		}
	}
}

func TestAStrictTransactionOfTheHostEndsNothing(t *testing.T) {
	t.Parallel()
	db, ctx := open(t, "pgx", pgtest.DSN(t), 4), t.Context()
	st := migrated(t, db, sqlstore.Postgres, sqlstore.Config{})
	s := created(t, st, session("u"))
	tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
	must(t, err)
	defer func() { _ = tx.Rollback() }()
	_, err = st.In(tx).End(ctx, sessions.EndParams{ID: s.ID, Now: t0, Reason: sessions.EndRevoked})
	if err == nil || !strings.Contains(err.Error(), "sql.LevelReadCommitted") {
		t.Errorf("%v, want an error that says what to do", err)
	}
}

func TestTenReplicasMigrateAtOnce(t *testing.T) {
	t.Parallel()
	lite, dsn := documented(file(t)), pgtest.DSN(t)
	for _, d := range []struct {
		driver, dsn string
		dialect     sqlstore.Dialect
	}{{"sqlite3", lite, sqlstore.SQLite}, {"pgx", dsn, sqlstore.Postgres}} {
		t.Run(d.driver, func(t *testing.T) {
			t.Parallel()
			replicas := make([]*sqlstore.Store, 10)
			for i := range replicas {
				replicas[i] = newStore(t, open(t, d.driver, d.dsn, 4), d.dialect, sqlstore.Config{AuditLog: true})
			}
			var all sync.WaitGroup
			for _, st := range replicas {
				all.Go(func() {
					if err := st.Migrate(t.Context()); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			created(t, replicas[9], session("u"))
		})
	}
}

func TestOneOfManyPresentationsActs(t *testing.T) {
	t.Parallel()
	const callers = 64
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			db := d.open(t)
			if d.dialect == sqlstore.Postgres {
				db.SetMaxOpenConns(callers)
			}
			st := migrated(t, db, d.dialect, sqlstore.Config{AuditLog: true})
			s := created(t, st, dependent("u", created(t, st, session("boss"))))
			var rotated, overlapped atomic.Int64
			var all sync.WaitGroup
			for range callers {
				all.Go(func() {
					r, err := st.Refresh(t.Context(), presentation(s.ID, 1, t0))
					switch {
					case err != nil || r.State.Current != 2:
						t.Errorf("counter %d, %v", r.State.Current, err)
					case r.Outcome == sessions.OutcomeRotated:
						rotated.Add(1)
					case r.Outcome == sessions.OutcomeOverlap:
						overlapped.Add(1)
					}
				})
			}
			all.Wait()
			if rotated.Load() != 1 || overlapped.Load() != callers-1 {
				t.Errorf("%d rotations and %d overlaps, want 1 and %d", rotated.Load(), overlapped.Load(), callers-1)
			}
		})
	}
}

// counted is a driver that counts what is prepared and what is run. Without the optional
// interfaces of a connection, database/sql prepares everything.
type (
	counts           struct{ prepared, run atomic.Int64 }
	countedConnector struct {
		driver driver.Driver
		dsn    string
		counts *counts
	}
	countedConn struct {
		driver.Conn
		counts *counts
	}
	countedStmt struct {
		driver.Stmt
		counts *counts
	}
)

func (c countedConnector) Driver() driver.Driver { return c.driver }

func (c countedConnector) Connect(context.Context) (driver.Conn, error) {
	conn, err := c.driver.Open(c.dsn)
	return countedConn{conn, c.counts}, err
}

func (c countedConn) Prepare(query string) (driver.Stmt, error) {
	c.counts.prepared.Add(1)
	s, err := c.Conn.Prepare(query)
	return countedStmt{s, c.counts}, err
}

func (s countedStmt) Exec(args []driver.Value) (driver.Result, error) {
	s.counts.run.Add(1)
	return s.Stmt.Exec(args) //nolint:staticcheck // the driver's context methods are hidden on purpose
}

func (s countedStmt) Query(args []driver.Value) (driver.Rows, error) {
	s.counts.run.Add(1)
	return s.Stmt.Query(args) //nolint:staticcheck // as above
}

// TraceQueryStart and TraceQueryEnd make counts a pgx.QueryTracer, and TracePrepareStart
// and TracePrepareEnd a pgx.PrepareTracer.
func (c *counts) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	c.run.Add(1)
	return ctx
}
func (c *counts) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (c *counts) TracePrepareStart(ctx context.Context, _ *pgx.Conn, _ pgx.TracePrepareStartData) context.Context {
	c.prepared.Add(1)
	return ctx
}
func (c *counts) TracePrepareEnd(context.Context, *pgx.Conn, pgx.TracePrepareEndData) {}

// calls are one of each method that is one statement.
func calls(ctx context.Context, st *sqlstore.Store, s, parent sessions.Session) map[string]func() error {
	now := sessions.Moment{Now: t0}
	return map[string]func() error{
		"create":           func() error { return st.Create(ctx, session("other")) },
		"create dependent": func() error { return st.Create(ctx, dependent("other", parent)) },
		"get":              func() error { _, err := st.Get(ctx, s.ID); return err },
		"refresh":          func() error { _, err := st.Refresh(ctx, presentation(s.ID, 1, t0)); return err },
		"redeem": func() error {
			_, err := st.Redeem(ctx, sessions.RedeemParams{ID: s.ID, Hash: "hash", Moment: now})
			return err
		},
		"list": func() error {
			_, err := st.List(ctx, sessions.ListParams{UserID: s.UserID, Moment: now, Limit: 2})
			return err
		},
		"end": func() error {
			_, err := st.End(ctx, sessions.EndParams{ID: newID(), UserID: "u", Now: t0, Reason: sessions.EndRevoked})
			return err
		},
		"end many": func() error {
			_, err := st.EndMany(ctx, sessions.EndManyParams{
				UserID: "nobody", ExceptID: s.ID, Now: t0, Reason: sessions.EndRevoked,
			})
			return err
		},
		"end dependents": func() error {
			_, err := st.EndDependents(ctx, sessions.EndDependentsParams{
				ParentSessionIDs: []string{s.ID, newID()}, Now: t0, Reason: sessions.EndParentEnded,
			})
			return err
		},
		"ended": func() error { _, err := st.Ended(ctx, t0); return err },
		"prune": func() error {
			_, err := st.Prune(ctx, sessions.PruneParams{ExpiredBefore: t0, Limit: 1})
			return err
		},
	}
}

// TestEveryMethodIsOneStatement counts round trips. A statement is prepared once on a
// connection, or never.
func TestEveryMethodIsOneStatement(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(t *testing.T, c *counts) (*sql.DB, sqlstore.Dialect){
		"sqlite": func(t *testing.T, c *counts) (*sql.DB, sqlstore.Dialect) {
			t.Helper()
			return sql.OpenDB(countedConnector{&sqlite3.SQLiteDriver{}, "file:" + file(t), c}), sqlstore.SQLite
		},
		"postgres": func(t *testing.T, c *counts) (*sql.DB, sqlstore.Dialect) {
			t.Helper()
			cfg, err := pgx.ParseConfig(pgtest.DSN(t))
			must(t, err)
			cfg.Tracer = c
			cfg.DefaultQueryExecMode = pgx.QueryExecModeExec // it prepares nothing by itself
			return stdlib.OpenDB(*cfg), sqlstore.Postgres
		},
	} {
		for _, unprepared := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, unprepared %t", name, unprepared), func(t *testing.T) {
				t.Parallel()
				var c counts
				db, d := open(t, &c)
				t.Cleanup(func() { must(t, db.Close()) })
				db.SetMaxOpenConns(1)
				st := migrated(t, db, d, sqlstore.Config{NoPreparedStatements: unprepared})
				parent, s := created(t, st, session("boss")), session("u")
				s.HandoffHash, s.HandoffExpiresAt = "hash", t0.Add(time.Hour)
				created(t, st, s)
				for range 3 {
					for name, call := range calls(t.Context(), st, s, parent) {
						c.run.Store(0)
						if err := call(); err != nil && !errors.Is(err, sessions.ErrNotFound) {
							t.Fatal(name, err)
						}
						if n := c.run.Load(); n != 1 {
							t.Errorf("%s: %d statements, want one", name, n)
						}
					}
					// Redemptions and refreshes after the second end nothing that is counted here.
					s = session("u")
					s.HandoffHash, s.HandoffExpiresAt = "hash", t0.Add(time.Hour)
					created(t, st, s)
				}
				c.prepared.Store(0)
				for name, call := range calls(t.Context(), st, s, parent) {
					if err := call(); err != nil && !errors.Is(err, sessions.ErrNotFound) {
						t.Fatal(name, err)
					}
				}
				if n := c.prepared.Load(); n > 0 && (!unprepared || d == sqlstore.Postgres) {
					t.Errorf("%d statements were prepared once more", n)
				}
			})
		}
	}
}

// TestACallerThatGivesUpHoldsUpNobody has the first caller of a statement wait for the only
// connection, and give up.
func TestACallerThatGivesUpHoldsUpNobody(t *testing.T) {
	t.Parallel()
	db := databases[0].open(t)
	st := migrated(t, db, sqlstore.SQLite, sqlstore.Config{})
	s := created(t, st, session("u"))
	conn, err := db.Conn(t.Context())
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() { _, err := st.Get(ctx, s.ID); first <- err }()
	second := make(chan error, 1)
	go func() { _, err := st.Get(t.Context(), s.ID); second <- err }()
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("the first caller: %v, want Canceled", err)
	}
	must(t, conn.Close())
	must(t, <-second)
}

func TestAMissingTableAsksForMigrate(t *testing.T) {
	t.Parallel()
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			_, err := newStore(t, d.open(t), d.dialect, sqlstore.Config{}).Get(t.Context(), newID())
			if err == nil {
				t.Fatal("no error")
			}
			text := err.Error()
			if !strings.HasPrefix(text, "store: get: ") || !strings.Contains(text, "has Migrate run?") {
				t.Error(text)
			}
		})
	}
}
