package store_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/sessile-go/sessile/internal/pgtest"
	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/store"
	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
)

// tape records what reaches a driver.
type tape struct {
	mu  sync.Mutex
	all []string
}

func (tp *tape) add(s string) {
	tp.mu.Lock()
	defer tp.mu.Unlock()
	tp.all = append(tp.all, s)
}

func (tp *tape) cut() []string {
	tp.mu.Lock()
	defer tp.mu.Unlock()
	all := tp.all
	tp.all = nil
	return all
}

// TraceQueryStart and TraceQueryEnd make a tape a pgx.QueryTracer.
func (tp *tape) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	tp.add(q.SQL)
	return ctx
}

func (tp *tape) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// taped is a driver whose statements and transactions go on a tape. Without the
// optional interfaces of a connection, database/sql runs everything by Prepare.
type (
	tapedConnector struct {
		driver driver.Driver
		tape   *tape
		dsn    string
	}
	tapedConn struct {
		driver.Conn
		tape *tape
	}
	tapedStmt struct {
		driver.Stmt
		tape  *tape
		query string
	}
)

func (c tapedConnector) Driver() driver.Driver { return c.driver }

func (c tapedConnector) Connect(context.Context) (driver.Conn, error) {
	conn, err := c.driver.Open(c.dsn)
	return tapedConn{conn, c.tape}, err
}

func (c tapedConn) Prepare(query string) (driver.Stmt, error) {
	s, err := c.Conn.Prepare(query)
	return tapedStmt{s, c.tape, query}, err
}

func (c tapedConn) Begin() (driver.Tx, error) {
	c.tape.add("BEGIN")
	return c.Conn.Begin() //nolint:staticcheck // the driver's BeginTx is hidden on purpose
}

func (s tapedStmt) Exec(args []driver.Value) (driver.Result, error) {
	s.tape.add(s.query)
	return s.Stmt.Exec(args) //nolint:staticcheck // as above
}

func (s tapedStmt) Query(args []driver.Value) (driver.Rows, error) {
	s.tape.add(s.query)
	return s.Stmt.Query(args) //nolint:staticcheck // as above
}

// tapedDatabases are those of databases, with what reaches the driver on a tape.
var tapedDatabases = []struct {
	name string
	open func(t *testing.T, tp *tape) *gorm.DB
}{
	{"sqlite", func(t *testing.T, tp *tape) *gorm.DB {
		t.Helper()
		plain := pool(t, open(t, sqlite.Open("file::memory:")))
		return open(t, sqlite.New(sqlite.Config{
			Conn: sql.OpenDB(tapedConnector{plain.Driver(), tp, "file:" + file(t)}),
		}))
	}},
	{"postgres", func(t *testing.T, tp *tape) *gorm.DB {
		t.Helper()
		cfg, err := pgx.ParseConfig(pgtest.DSN(t))
		must(t, err)
		cfg.Tracer = tp
		return open(t, postgres.New(postgres.Config{Conn: stdlib.OpenDB(*cfg)}))
	}},
}

func TestEveryMethodIsOneStatement(t *testing.T) {
	t.Parallel()
	for _, d := range tapedDatabases {
		for _, unprepared := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, unprepared %t", d.name, unprepared), func(t *testing.T) {
				t.Parallel()
				tp := &tape{}
				st := newStore(t, d.open(t, tp), store.Config{NoPreparedStatements: unprepared})
				ctx := t.Context()
				must(t, st.Migrate(ctx))
				s, actor := session("u"), created(t, st, session("actor"))
				tp.cut()
				steps := []struct {
					name string
					call func() error
				}{
					{"INSERT", func() error { return st.Create(ctx, s) }},
					{"UPDATE", func() error { _, err := st.Refresh(ctx, presentation(s.ID, 1, t0)); return err }},
					{"UPDATE", func() error {
						_, err := st.Redeem(ctx, sessions.RedeemParams{ID: s.ID, Hash: "hash", Moment: at(t0)})
						return err
					}},
					{"INSERT", func() error { return st.Create(ctx, dependent("u", actor)) }},
					{"UPDATE", func() error {
						_, err := st.EndDependents(ctx, sessions.EndDependentsParams{
							ParentSessionIDs: []string{actor.ID, s.ID}, Now: t0, Reason: sessions.EndParentEnded,
						})
						return err
					}},
					{"SELECT", func() error { _, err := st.Get(ctx, s.ID); return err }},
					{"SELECT", func() error {
						_, err := st.List(ctx, sessions.ListParams{UserID: "u", Moment: at(t0), Limit: 1})
						return err
					}},
					{"UPDATE", func() error {
						_, err := st.End(ctx, sessions.EndParams{
							ID: s.ID, Now: at(t0).Now, Reason: sessions.EndSignedOut,
						})
						return err
					}},
					{"UPDATE", func() error {
						_, err := st.EndMany(ctx, sessions.EndManyParams{
							UserID: "u", Now: at(t0).Now, Reason: sessions.EndRevoked,
						})
						return err
					}},
					{"SELECT", func() error { _, err := st.Ended(ctx, t0); return err }},
					{"DELETE", func() error {
						_, err := st.Prune(ctx, sessions.PruneParams{EndedBefore: t0, Limit: 1})
						return err
					}},
				}
				for range 2 { // the first one prepares
					for _, step := range steps {
						// The second time the session exists and is ended.
						if err := step.call(); err != nil && !errors.Is(err, sessions.ErrConflict) &&
							!errors.Is(err, sessions.ErrNotFound) {
							t.Fatal(step.name, err)
						}
						if got := tp.cut(); len(got) != 1 || !strings.HasPrefix(got[0], step.name) {
							t.Errorf("%d statements, want one %s: %q", len(got), step.name, got)
						}
					}
				}
			})
		}
	}
}

// TestTheAuditLogCostsNoStatement holds the changes of ordinary sessions to one
// statement on both databases, and on Postgres all changes, entries included.
func TestTheAuditLogCostsNoStatement(t *testing.T) {
	t.Parallel()
	for _, d := range tapedDatabases {
		for _, unprepared := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, unprepared %t", d.name, unprepared), func(t *testing.T) {
				t.Parallel()
				tp := &tape{}
				st, ctx := migratedAs(t, d.open(t, tp), store.Config{
					AuditLog: true, NoPreparedStatements: unprepared,
				}), t.Context()
				for range 2 { // the first one prepares
					handedOff := func(s sessions.Session) sessions.Session {
						s.HandoffHash, s.HandoffExpiresAt = "hash", t0.Add(time.Minute)
						return created(t, st, s)
					}
					ordinary, actor := handedOff(session("ordinary")), created(t, st, session("actor"))
					for _, c := range []struct {
						name string
						s    sessions.Session
						one  bool
					}{{"ordinary", ordinary, true}, {
						"impersonation", handedOff(dependent("impersonation", actor)), d.name == "postgres",
					}} {
						other, third := c.s, c.s
						other.ID, third.ID = newID(), newID()
						created(t, st, other)
						created(t, st, third)
						tp.cut()
						steps := []struct {
							name string
							call func() error
							one  bool
						}{
							{"redeem", func() error {
								_, err := st.Redeem(ctx, sessions.RedeemParams{
									ID: c.s.ID, Hash: "hash", Moment: at(t0),
								})
								return err
							}, c.one},
							{"refresh", func() error {
								_, err := st.Refresh(ctx, presentation(c.s.ID, 1, t0))
								return err
							}, c.one},
							{"replay", func() error {
								_, err := st.Refresh(ctx, presentation(c.s.ID, 0, t0))
								return err
							}, c.one},
							{"end", func() error {
								_, err := st.End(ctx, sessions.EndParams{
									ID: other.ID, Now: t0, Reason: sessions.EndRevoked,
								})
								return err
							}, c.one},
							{"end many", func() error {
								_, err := st.EndMany(ctx, sessions.EndManyParams{
									UserID: c.name, Now: t0, Reason: sessions.EndRevoked,
								})
								return err
							}, d.name == "postgres"},
							{"end dependents", func() error {
								ids := []string{ordinary.ID}
								if c.s.Impersonation {
									ids = append(ids, actor.ID)
								}
								_, err := st.EndDependents(ctx, sessions.EndDependentsParams{
									ParentSessionIDs: ids, Now: t0, Reason: sessions.EndParentEnded,
								})
								return err
							}, d.name == "postgres"},
						}
						for _, step := range steps {
							must(t, step.call())
							if got := tp.cut(); (len(got) == 1) != step.one {
								t.Errorf("%s, %s: %d statements: %q", c.name, step.name, len(got), got)
							}
						}
					}
				}
			})
		}
	}
}

// TestEntriesHaveTheOrderOfTheChanges ties many changes of one session at one instant,
// by many callers at once: what was replayed last is the newest entry, and the ids are
// UUIDs of version 7 by the clock.
func TestEntriesHaveTheOrderOfTheChanges(t *testing.T) {
	t.Parallel()
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			st, ctx := audited(t, open(t, d.open(t))), t.Context()
			before := time.Now().Add(-time.Second)
			for round := range 10 {
				user := fmt.Sprint("user ", round)
				s := created(t, st, dependent(user, created(t, st, session("actor"))))
				errs := together(16, func(i int) error {
					if i == 0 {
						_, err := st.End(ctx, sessions.EndParams{ID: s.ID, Now: t0, Reason: sessions.EndRevoked})
						return err
					}
					if _, err := st.Refresh(ctx, presentation(s.ID, 1, t0)); err != nil &&
						!errors.Is(err, sessions.ErrNotFound) {
						return err
					}
					return nil
				})
				must(t, errors.Join(errs...))
				entries, err := st.Audit(ctx, store.AuditQuery{UserID: user})
				must(t, err)
				var types []string
				for _, e := range slices.Backward(entries) {
					types = append(types, string(e.Type))
					id, err := uuid.Parse(e.ID)
					must(t, err)
					var millis int64
					for _, b := range id[:6] {
						millis = millis<<8 | int64(b)
					}
					at := time.UnixMilli(millis)
					if id.Version() != 7 || id.Variant() != uuid.RFC4122 || at.Before(before) ||
						at.After(time.Now().Add(time.Second)) {
						t.Errorf("%s is not a UUID of version 7 of now", e.ID)
					}
				}
				got := strings.Join(types, " ")
				if !regexp.MustCompile(`^created( rotated( overlap)*)? ended$`).MatchString(got) {
					t.Errorf("the log has, in its order, %s", got)
				}
			}
		})
	}
}

// explained runs a statement of the store's with an EXPLAIN before it, and returns
// the plan.
func explained(t *testing.T, db *gorm.DB, call func(st *store.Store) error) string {
	t.Helper()
	explain := "EXPLAIN QUERY PLAN "
	if db.Name() == "postgres" {
		explain = "EXPLAIN "
	}
	var plan strings.Builder
	// The statement is explained just before it runs, with the same arguments.
	watched := db.Session(&gorm.Session{NewDB: true})
	name := t.Name()
	look := func(tx *gorm.DB) {
		rows, err := tx.Statement.ConnPool.QueryContext(tx.Statement.Context, explain+tx.Statement.SQL.String(),
			tx.Statement.Vars...)
		must(t, err)
		defer func() { must(t, rows.Close()) }()
		columns, err := rows.Columns()
		must(t, err)
		for rows.Next() {
			// SQLite has the text in the last of several columns.
			cells := make([]any, len(columns))
			for i := range cells {
				cells[i] = new(any)
			}
			var line string
			cells[len(cells)-1] = &line
			must(t, rows.Scan(cells...))
			plan.WriteString(line + "\n")
		}
		must(t, rows.Err())
	}
	must(t, watched.Callback().Row().Before("gorm:row").Register(name, look))
	must(t, watched.Callback().Raw().Before("gorm:raw").Register(name, look))
	must(t, call(newStore(t, watched, store.Config{NoPreparedStatements: true})))
	must(t, watched.Callback().Row().Remove(name))
	must(t, watched.Callback().Raw().Remove(name))
	return plan.String()
}

// everywhere is what no plan holds: a sort in SQLite, and a look at every row for
// the one of the actor, there and, at once for many, in Postgres.
var everywhere = regexp.MustCompile(`TEMP B-TREE FOR ORDER BY|SCAN (s|p)\b|hashed SubPlan`)

func TestPlansUseTheIndexes(t *testing.T) {
	t.Parallel()
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			db := open(t, d.open(t))
			migrated(t, db)
			rows := make([]store.Row, 0, 5000)
			for i := range cap(rows) {
				r := store.Row{
					ID: newID(), UserID: fmt.Sprint("user ", i%500), CreatedAt: int64(i), LastUsedAt: t0.UnixMicro(),
					ExpiresAt: t0.Add(time.Duration(i) * time.Second).UnixMicro(),
					Current:   1, HandoffHash: "hash", HandoffExpiresAt: t0.UnixMicro(),
				}
				if i%50 == 1 {
					r.ParentSessionID = &rows[i/400*400].ID // eight depend on every 400th
				}
				if i%3 == 0 {
					ended := int64(i)
					r.EndedAt = &ended
				}
				rows = append(rows, r)
			}
			must(t, db.Table(store.DefaultTable).CreateInBatches(rows, 500).Error)
			must(t, db.Exec(`ANALYZE`).Error)

			ctx, m := t.Context(), sessions.Moment{Now: t0.Add(-time.Hour)}
			for _, tt := range []struct {
				name, want, never string
				call              func(st *store.Store) error
			}{
				{"a page of a list", "sessile_sessions_user_idx", "Sort", func(st *store.Store) error {
					_, err := st.List(ctx, sessions.ListParams{
						UserID: "user 7", Impersonations: true, Moment: m, Limit: 3,
						After: &sessions.ListPosition{CreatedAt: time.UnixMicro(3000), ID: newID()},
					})
					return err
				}},
				{"the end of many", "sessile_sessions_user_idx", "Seq Scan", func(st *store.Store) error {
					_, err := st.EndMany(ctx, sessions.EndManyParams{
						UserID: "user 7", Now: m.Now, Reason: sessions.EndRevoked,
					})
					return err
				}},
				{"a refresh", "sessile_sessions", "Seq Scan", func(st *store.Store) error {
					_, err := st.Refresh(ctx, sessions.RefreshParams{
						ID: rows[2].ID, Presented: 1, Rotation: rotation, Moment: m,
					})
					return err
				}},
				{"a redemption", "sessile_sessions", "Seq Scan", func(st *store.Store) error {
					_, err := st.Redeem(ctx, sessions.RedeemParams{ID: rows[2].ID, Hash: "hash", Moment: m})
					return err
				}},
				{"an impersonation", "sessile_sessions", "Seq Scan", func(st *store.Store) error {
					return st.Create(ctx, dependent("user 7", rows[4].Session()))
				}},
				{"the end of the dependents of a parent", "sessile_sessions_parent_idx", "Seq Scan",
					func(st *store.Store) error {
						_, err := st.EndDependents(ctx, sessions.EndDependentsParams{
							ParentSessionIDs: []string{rows[0].ID, rows[400].ID}, Now: m.Now,
							Reason: sessions.EndParentEnded,
						})
						return err
					}},
				{"what has ended", "sessile_sessions_ended_idx", "Seq Scan", func(st *store.Store) error {
					_, err := st.Ended(ctx, time.UnixMicro(4900))
					return err
				}},
				{"the dependents of what has ended", "sessile_sessions_parent_idx", "Seq Scan",
					func(st *store.Store) error {
						_, err := st.Ended(ctx, time.UnixMicro(4900))
						return err
					}},
				{"a prune of what ended", "sessile_sessions_ended_idx", "Seq Scan", func(st *store.Store) error {
					_, err := st.Prune(ctx, sessions.PruneParams{EndedBefore: time.UnixMicro(50), Limit: 10})
					return err
				}},
				{"a prune of what expired", "sessile_sessions_expires_idx", "Seq Scan", func(st *store.Store) error {
					_, err := st.Prune(ctx, sessions.PruneParams{ExpiredBefore: t0.Add(10 * time.Second), Limit: 10})
					return err
				}},
			} {
				plan := explained(t, db, tt.call)
				if !strings.Contains(plan, tt.want) || strings.Contains(plan, tt.never) ||
					everywhere.MatchString(plan) {
					t.Errorf("%s: want %s and no %s:\n%s", tt.name, tt.want, tt.never, plan)
				}
			}
		})
	}
}

// TestAPruneOfWhatIsIdleIsAnAntiJoin holds the idle part of a prune, which reads the
// table, to one pass: Postgres joins the dependents once, and SQLite finds them by index.
func TestAPruneOfWhatIsIdleIsAnAntiJoin(t *testing.T) {
	t.Parallel()
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			db := open(t, d.open(t))
			migrated(t, db)
			rows := make([]store.Row, 0, 5000)
			for i := range cap(rows) {
				used := t0.Add(time.Duration(i%2) * time.Hour)
				r := store.Row{
					ID: newID(), UserID: newID(), LastUsedAt: used.UnixMicro(),
					ExpiresAt: t0.Add(24 * time.Hour).UnixMicro(), Current: 1,
				}
				if i%100 == 99 {
					r.ParentSessionID = &rows[i-9].ID // an idle one
				}
				rows = append(rows, r)
			}
			must(t, db.Table(store.DefaultTable).CreateInBatches(rows, 500).Error)
			must(t, db.Exec(`ANALYZE`).Error)

			want, never := "Anti Join", "SubPlan"
			if d.name == "sqlite" {
				want, never = "SEARCH d USING INDEX sessile_sessions_parent_idx", "SCAN d"
			}
			for name, p := range map[string]sessions.PruneParams{
				"alone":         {IdleBefore: t0.Add(time.Minute), Limit: 100},
				"with the rest": {EndedBefore: t0, ExpiredBefore: t0, IdleBefore: t0.Add(time.Minute), Limit: 100},
			} {
				plan := explained(t, db, func(st *store.Store) error {
					n, err := st.Prune(t.Context(), p)
					if err == nil && n != p.Limit {
						err = fmt.Errorf("pruned %d, want %d", n, p.Limit)
					}
					return err
				})
				if !strings.Contains(plan, want) || strings.Contains(plan, never) {
					t.Errorf("%s: want %s and no %s:\n%s", name, want, never, plan)
				}
			}
		})
	}
}

func TestRefreshUpdatesStayHOT(t *testing.T) {
	t.Parallel()
	db := open(t, postgres.Open(pgtest.DSN(t)))
	pool(t, db).SetMaxOpenConns(1) // statistics are those of one backend until it reports them
	st := migrated(t, db)
	const users, rounds = 20, 5
	now := t0
	for range users {
		s := created(t, st, session("u"))
		for n := range int64(rounds) {
			now = now.Add(time.Second)
			p := presentation(s.ID, n+1, now)
			p.Client = sessions.Client{IP: fmt.Sprint("192.0.2.", n), UserAgent: strings.Repeat("x", int(n))}
			if _, err := st.Refresh(t.Context(), p); err != nil {
				t.Fatal(err)
			}
		}
	}
	var version int
	must(t, db.Raw(`SELECT CAST(current_setting('server_version_num') AS int)`).Scan(&version).Error)
	if version < 150000 {
		t.Skip("before version 15 a backend cannot be asked to report")
	}
	must(t, db.Exec(`SELECT pg_stat_force_next_flush()`).Error)
	var got struct{ Updates, Hot int }
	must(t, db.Raw(`SELECT n_tup_upd AS updates, n_tup_hot_upd AS hot `+
		`FROM pg_stat_user_tables WHERE relid = to_regclass(?)`, store.DefaultTable).Scan(&got).Error)
	// A page that is full moves one row to the next: not because of an index.
	if got.Updates != users*rounds || got.Hot < users*rounds*8/10 {
		t.Errorf("%d of %d updates were HOT, want nearly all of %d", got.Hot, got.Updates, users*rounds)
	}
}

func TestNoIndexHoldsAColumnThatRefreshChanges(t *testing.T) {
	t.Parallel()
	db := open(t, postgres.Open(pgtest.DSN(t)))
	migrated(t, db)
	var indexed []string
	must(t, db.Raw(`SELECT DISTINCT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid
WHERE i.indrelid = to_regclass(?) AND (a.attnum = ANY (i.indkey) OR `+
		`pg_get_expr(i.indpred, i.indrelid) ~ ('\m' || a.attname || '\M')) ORDER BY 1`, store.DefaultTable).
		Scan(&indexed).Error)
	// ended_at keeps its value in a refresh that succeeds.
	if want := []string{
		"created_at", "ended_at", "expires_at", "id", "parent_session_id", "user_id",
	}; !slices.Equal(indexed, want) {
		t.Errorf("indexed are %v, want %v", indexed, want)
	}
}

// TestTheLocalTimeZoneDoesNotMatter runs part of this file's package again in
// processes that are elsewhere.
func TestTheLocalTimeZoneDoesNotMatter(t *testing.T) {
	const inChild = "STORE_TEST_ZONE"
	if os.Getenv(inChild) != "" {
		if time.Local.String() == "UTC" {
			t.Fatal("this process is not elsewhere")
		}
		db := open(t, databases[0].open(t))
		life(t, migrated(t, db))
		return
	}
	t.Parallel()
	for _, zone := range []string{"America/Los_Angeles", "Asia/Tokyo"} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestTheLocalTimeZoneDoesNotMatter$")
		cmd.Env = append(os.Environ(), "TZ="+zone, inChild+"=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", zone, err, out)
		}
	}
}
