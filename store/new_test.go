package store_test

import (
	"bytes"
	"context"
	"errors"
	"log"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sessile-go/sessile/internal/pgtest"
	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/store"
	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
	"gorm.io/gorm/schema"
	"gorm.io/gorm/utils/tests"
)

func TestNewNamesEveryFault(t *testing.T) {
	t.Parallel()
	lite := open(t, sqlite.Open(documented(file(t))))
	other, err := gorm.Open(tests.DummyDialector{}, &gorm.Config{})
	must(t, err)
	tx := lite.Begin()
	t.Cleanup(func() { tx.Rollback() })

	cases := []struct {
		name string
		db   *gorm.DB
		cfg  store.Config
		want []string
	}{
		{"no handle", nil, store.Config{}, []string{"store: db: required"}},
		{"a handle that was not opened", &gorm.DB{}, store.Config{}, []string{"store: db: required"}},
		{"a dry run", lite.Session(&gorm.Session{DryRun: true}), store.Config{}, []string{"store: db: is in DryRun"}},
		{"a transaction", tx, store.Config{}, []string{"store: db: is in a transaction"}},
		{"a handle with an error", &gorm.DB{Config: lite.Config, Statement: lite.Statement, Error: errors.New("boom")},
			store.Config{}, []string{"boom"}},
		{"another database", other, store.Config{}, []string{`store: db: dialect "dummy"`}},
		{"a table with a quote", lite, store.Config{Table: `a"b`}, []string{"store: Config.Table: "}},
		{"a table with a dot", lite, store.Config{Table: `a.b`}, []string{"store: Config.Table: "}},
		{"a table that begins with a digit", lite, store.Config{Table: `1a`}, []string{"store: Config.Table: "}},
		{"a table with a line feed", lite, store.Config{Table: "a\n"}, []string{"store: Config.Table: "}},
		{"a table whose indexes would be cut", lite, store.Config{Table: strings.Repeat("a", 49)},
			[]string{"store: Config.Table: "}},
		{"a table that SQLite keeps for itself", lite, store.Config{Table: "SQLite_x"}, []string{
			"store: Config.Table: ",
		}},
		{"a schema on SQLite", lite, store.Config{Schema: "auth"}, []string{"store: Config.Schema: "}},
		{"all at once", nil, store.Config{Table: "?", Schema: "@"}, []string{
			"store: db: ", "store: Config.Table: ", "store: Config.Schema: ",
		}},
	}
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			st, err := store.New(tt.db, tt.cfg)
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

// TestAnyHandleWorks goes once through a session's life on handles that a host may
// have, on both databases.
func TestAnyHandleWorks(t *testing.T) {
	t.Parallel()
	naming := schema.NamingStrategy{TablePrefix: "app_", SingularTable: true, NoLowerCase: true}
	configs := []struct {
		name string
		cfg  gorm.Config
	}{
		{"the default", gorm.Config{}},
		{"a naming strategy", gorm.Config{NamingStrategy: naming}},
		{"prepared statements", gorm.Config{PrepareStmt: true}},
		{"a cache of one prepared statement", gorm.Config{PrepareStmt: true, PrepareStmtMaxSize: 1}},
		{"no default transaction", gorm.Config{SkipDefaultTransaction: true}},
		{"translated errors", gorm.Config{TranslateError: true}},
		{"local times", gorm.Config{NowFunc: func() time.Time { return t0.In(time.FixedZone("", 9*3600)) }}},
		{"all at once", gorm.Config{
			NamingStrategy: naming, PrepareStmt: true, SkipDefaultTransaction: true, TranslateError: true,
			QueryFields:          true,
			FullSaveAssociations: true, AllowGlobalUpdate: true, CreateBatchSize: 1, DisableNestedTransaction: true,
			DefaultContextTimeout: time.Minute, DefaultTransactionTimeout: time.Minute,
		}},
	}
	dialectors := []struct {
		name string
		open func(t testing.TB) gorm.Dialector
	}{
		databases[0], databases[1],
		{"postgres with the simple protocol", func(t testing.TB) gorm.Dialector {
			t.Helper()
			return postgres.New(postgres.Config{DSN: pgtest.DSN(t), PreferSimpleProtocol: true})
		}},
		{"postgres with unprepared statements", func(t testing.TB) gorm.Dialector {
			t.Helper()
			return postgres.Open(withParam(t, pgtest.DSN(t), "default_query_exec_mode", "exec"))
		}},
		{"postgres in another time zone", func(t testing.TB) gorm.Dialector {
			t.Helper()
			return postgres.Open(pgtest.DSN(t) + "&timezone=America/Los_Angeles") // GORM reads it unescaped
		}},
	}
	for _, d := range dialectors {
		for _, c := range configs {
			for _, own := range []store.Config{{}, {Table: "Auth_Sessions", NoPreparedStatements: true}} {
				t.Run(d.name+"/"+c.name+"/"+own.Table, func(t *testing.T) {
					t.Parallel()
					var out bytes.Buffer
					cfg := c.cfg
					cfg.Logger = logger.New(log.New(&out, "", 0), logger.Config{LogLevel: logger.Info})
					db := open(t, d.open(t), &cfg)
					st := newStore(t, db, own)
					must(t, st.Migrate(t.Context()))
					life(t, st)
					must(t, db.Transaction(func(tx *gorm.DB) error {
						return st.In(tx).Create(t.Context(), session("in a transaction"))
					}))
					for line := range strings.Lines(out.String()) {
						t.Errorf("logged: %s", line)
					}
				})
			}
		}
	}
}

// life calls every method once and expects what each should answer.
func life(t *testing.T, st *store.Store) {
	t.Helper()
	ctx, now := t.Context(), t0.Add(time.Minute)
	s := created(t, st, session("user"))
	if err := st.Create(ctx, s); !errors.Is(err, sessions.ErrConflict) {
		t.Fatalf("create again: %v, want ErrConflict", err)
	}
	if got, err := st.Get(ctx, s.ID); err != nil || got != s {
		t.Fatalf("get: %+v, %v, want %+v", got, err, s)
	}
	r, err := st.Refresh(ctx, presentation(s.ID, 1, now))
	s.LastUsedAt = now
	if err != nil || r.Outcome != sessions.OutcomeRotated || r.Session != s {
		t.Fatalf("refresh: %+v, %v", r, err)
	}
	list, err := st.List(ctx, sessions.ListParams{
		UserID: "user", OnlyID: s.ID, Moment: at(now), Limit: 1,
		After: &sessions.ListPosition{CreatedAt: t0.Add(time.Microsecond), ID: s.ID},
	})
	if err != nil || len(list) != 1 || list[0] != s {
		t.Fatalf("list: %+v, %v", list, err)
	}
	other := created(t, st, session("user"))
	offer := dependent("somebody", s)
	offer.HandoffHash, offer.HandoffExpiresAt = "hash", now
	created(t, st, offer)
	if got, err := st.Get(ctx, offer.ID); err != nil || got != offer {
		t.Fatalf("get a hand-off: %+v, %v, want %+v", got, err, offer)
	}
	redeemed, err := st.Redeem(ctx, sessions.RedeemParams{ID: offer.ID, Hash: "hash", Moment: at(t0)})
	if err != nil || redeemed != offer {
		t.Fatalf("redeem: %+v, %v, want %+v", redeemed, err, offer)
	}
	feed, err := st.Ended(ctx, t0)
	if err != nil || len(feed) != 0 {
		t.Fatalf("ended before any has: %+v, %v", feed, err)
	}
	dependents, err := st.EndDependents(ctx, sessions.EndDependentsParams{
		ParentSessionIDs: []string{s.ID}, Now: now, Reason: sessions.EndParentEnded,
	})
	if err != nil || len(dependents) != 1 || dependents[0].ID != offer.ID ||
		dependents[0].EndReason != sessions.EndParentEnded {
		t.Fatalf("end dependents: %+v, %v", dependents, err)
	}
	many, err := st.EndMany(ctx, sessions.EndManyParams{
		UserID: "user", ExceptID: s.ID, Now: at(now).Now, Reason: sessions.EndRevoked, By: "admin",
	})
	if err != nil || len(many) != 1 || many[0].ID != other.ID || many[0].EndedBy != "admin" ||
		!many[0].EndedAt.Equal(now) {
		t.Fatalf("end many: %+v, %v", many, err)
	}
	ended, err := st.End(ctx, sessions.EndParams{
		ID: s.ID, UserID: "user", NoImpersonation: true, Now: at(now).Now, Reason: sessions.EndSignedOut,
	})
	if err != nil || ended.EndReason != sessions.EndSignedOut {
		t.Fatalf("end: %+v, %v", ended, err)
	}
	feed, err = st.Ended(ctx, now)
	if err != nil || len(feed) != 3 || feed[0].EndedAt != now || feed[1].EndedAt != now || feed[2].EndedAt != now {
		t.Fatalf("ended: %+v, %v, want three", feed, err)
	}
	n, err := st.Prune(ctx, sessions.PruneParams{
		EndedBefore: now.Add(1), ExpiredBefore: now, IdleBefore: t0, Limit: 10,
	})
	if err != nil || n != 0 {
		t.Fatalf("prune what is too young: %d, %v", n, err)
	}
	n, err = st.Prune(ctx, sessions.PruneParams{
		EndedBefore: now.Add(time.Second), ExpiredBefore: now, IdleBefore: now, Limit: 10,
	})
	if err != nil || n != 3 {
		t.Fatalf("prune: %d, %v, want 3", n, err)
	}
	clock, err := st.Now(ctx)
	if err != nil || clock.Location() != time.UTC || time.Since(clock).Abs() > time.Minute {
		t.Fatalf("now: %v, %v", clock, err)
	}
}

func TestWhatCannotBeStoredIsNotAsked(t *testing.T) {
	t.Parallel()
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			db := open(t, d.open(t))
			st, ctx := migrated(t, db), t.Context()
			s := created(t, st, session("u"))

			for _, id := range []string{
				"", "x", strings.ToUpper(s.ID), "urn:uuid:" + s.ID, "{" + s.ID + "}",
				strings.ReplaceAll(s.ID, "-", ""), s.ID + " ",
			} {
				if _, err := st.Get(ctx, id); !errors.Is(err, sessions.ErrNotFound) {
					t.Errorf("get %q: %v, want ErrNotFound", id, err)
				}
				if _, err := st.Refresh(ctx, presentation(id, 1, t0)); !errors.Is(err, sessions.ErrNotFound) {
					t.Errorf("refresh %q: %v, want ErrNotFound", id, err)
				}
				if _, err := st.End(ctx, sessions.EndParams{ID: id, Now: at(t0).Now}); !errors.Is(err,
					sessions.ErrNotFound) {
					t.Errorf("end %q: %v, want ErrNotFound", id, err)
				}
				if _, err := st.Redeem(ctx, sessions.RedeemParams{
					ID: id, Hash: "hash", Moment: at(t0),
				}); !errors.Is(err, sessions.ErrNotFound) {
					t.Errorf("redeem %q: %v, want ErrNotFound", id, err)
				}
				if list, err := st.EndDependents(ctx, sessions.EndDependentsParams{
					ParentSessionIDs: []string{id}, Now: t0,
				}); err != nil || len(list) != 0 {
					t.Errorf("end dependents of %q: %v, %v, want none", id, list, err)
				}
				if other := dependent("v", s); id != "" {
					other.ParentSessionID = id
					if err := st.Create(ctx, other); !errors.Is(err, sessions.ErrNotFound) {
						t.Errorf("create with parent %q: %v, want ErrNotFound", id, err)
					}
				}
				other := session("u")
				other.ID = id
				if err := st.Create(ctx, other); err == nil || errors.Is(err, sessions.ErrConflict) {
					t.Errorf("create %q: %v, want an error", id, err)
				}
				if id == "" {
					continue
				}
				if list, err := st.List(ctx, sessions.ListParams{UserID: "u", OnlyID: id, Moment: at(t0)}); err !=
					nil || len(list) != 0 {
					t.Errorf("list only %q: %v, %v, want none", id, list, err)
				}
			}
			for _, text := range []string{"a\x00b", "a\xffb"} {
				bad := session(text)
				if err := st.Create(ctx, bad); err == nil || strings.Contains(err.Error(), text) {
					t.Errorf("create for %q: %v, want an error without it", text, err)
				}
				if list, err := st.List(ctx, sessions.ListParams{UserID: text, Moment: at(t0)}); err != nil ||
					len(list) != 0 {
					t.Errorf("list of %q: %v, %v, want none", text, list, err)
				}
				if _, err := st.End(ctx, sessions.EndParams{ID: s.ID, UserID: text, Now: at(t0).Now}); !errors.Is(err,
					sessions.ErrNotFound) {
					t.Errorf("end of %q: %v, want ErrNotFound", text, err)
				}
				p := presentation(s.ID, 1, t0)
				p.Client.UserAgent = text
				if _, err := st.Refresh(ctx, p); err == nil {
					t.Errorf("refresh by %q: no error", text)
				}
				if _, err := st.Redeem(ctx, sessions.RedeemParams{
					ID: s.ID, Hash: text, Moment: at(t0),
				}); !errors.Is(err, sessions.ErrNotFound) {
					t.Errorf("redeem of %q: %v, want ErrNotFound", text, err)
				}
			}
			if got, err := st.Get(ctx, s.ID); err != nil || got != s {
				t.Errorf("after it all: %+v, %v, want %+v", got, err, s)
			}
		})
	}
}

func TestErrorsOfTheDriverAreWrappedAndSayNoValue(t *testing.T) {
	t.Parallel()
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			db := open(t, d.open(t))
			st := newStore(t, db, store.Config{}) // no table
			s := session("somebody's name")
			_, getErr := st.Get(t.Context(), s.ID)
			_, refreshErr := st.Refresh(t.Context(), presentation(s.ID, 1, t0))
			for op, err := range map[string]error{
				"create": st.Create(t.Context(), s), "get": getErr, "refresh": refreshErr,
			} {
				if err == nil || !strings.HasPrefix(err.Error(), "store: "+op+": ") ||
					errors.Is(err, sessions.ErrNotFound) {
					t.Errorf("%s: %v", op, err)
					continue
				}
				if strings.Contains(err.Error(), s.ID) || strings.Contains(err.Error(), s.UserID) {
					t.Errorf("%s shows a value: %v", op, err)
				}
			}
		})
	}
}

// TestSelectsAskTheSource stands in for gorm.io/plugin/dbresolver, which decides
// before the statement by this setting.
func TestSelectsAskTheSource(t *testing.T) {
	t.Parallel()
	db := open(t, databases[0].open(t))
	var replica []string
	must(t, db.Callback().Row().Before("*").Register("to_replica", func(db *gorm.DB) {
		if _, ok := db.Statement.Settings.Load("gorm:db_resolver:write"); !ok {
			replica = append(replica, db.Statement.SQL.String())
		}
	}))
	st := migrated(t, db)
	life(t, st)
	if len(replica) > 0 {
		t.Errorf("asked a replica: %q", replica)
	}
}

// expired is a context whose cancellation looks like its deadline.
type expired struct{ context.Context }

func (e expired) Err() error {
	if e.Context.Err() != nil {
		return context.DeadlineExceeded
	}
	return nil
}

// TestAnotherCallersContextIsNotOurs has one caller give up, or come to its deadline,
// while GORM prepares a statement that a second caller waits for.
func TestAnotherCallersContextIsNotOurs(t *testing.T) {
	t.Parallel()
	for want, wrapped := range map[error]func(context.Context) context.Context{
		context.Canceled:         func(ctx context.Context) context.Context { return ctx },
		context.DeadlineExceeded: func(ctx context.Context) context.Context { return expired{ctx} },
	} {
		t.Run(want.Error(), func(t *testing.T) {
			t.Parallel()
			db := open(t, databases[0].open(t))
			st := migrated(t, db)
			s := created(t, st, session("u"))

			// The only connection is taken, so the first caller waits in Prepare, and
			// its context ends there.
			conn, err := pool(t, db).Conn(t.Context())
			must(t, err)
			first, cancel := context.WithCancel(t.Context())
			firstErr, secondErr := make(chan error, 1), make(chan error, 1)
			get := func(ctx context.Context, done chan error) {
				_, err := st.Get(ctx, s.ID)
				done <- err
			}
			waiting := pool(t, db).Stats().WaitCount
			go get(wrapped(first), firstErr)
			for pool(t, db).Stats().WaitCount == waiting {
				runtime.Gosched() // until the first caller holds the place in the cache
			}
			go get(t.Context(), secondErr)
			cache, ok := db.Session(&gorm.Session{PrepareStmt: true}).ConnPool.(*gorm.PreparedStmtDB)
			if !ok {
				t.Fatal("GORM's cache of prepared statements is elsewhere")
			}
			for cache.Mux.TryLock() { // until the second caller has its lock, and keeps it
				cache.Mux.Unlock()
				runtime.Gosched()
			}
			cancel()
			if err := <-firstErr; !errors.Is(err, want) {
				t.Errorf("the first caller: %v, want %v", err, want)
			}
			must(t, conn.Close())
			if err := <-secondErr; err != nil {
				t.Errorf("the second caller: %v", err)
			}
		})
	}
}

// TestAnErrorOfAPluginHoldsNoConnection has a plug-in of the host add an error after the
// only connection has answered.
func TestAnErrorOfAPluginHoldsNoConnection(t *testing.T) {
	t.Parallel()
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			db := open(t, d.open(t))
			st := migrated(t, db)
			s := created(t, st, session("u"))
			boom := errors.New("boom")
			must(t, db.Callback().Row().After("gorm:row").Register("boom", func(db *gorm.DB) { _ = db.AddError(boom) }))
			if _, err := st.Get(t.Context(), s.ID); !errors.Is(err, boom) {
				t.Errorf("get: %v, want boom", err)
			}
			if n := pool(t, db).Stats().InUse; n != 0 {
				t.Errorf("%d connections in use", n)
			}
		})
	}
}

// TestADefaultTimeoutOfTheHandleIsNotTriedAgain holds the store to one attempt when GORM
// itself ends a statement, because the database may have carried it out.
func TestADefaultTimeoutOfTheHandleIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			db := open(t, d.open(t))
			s := created(t, migrated(t, db), session("u"))
			attempts := 0
			must(t, db.Callback().Row().Before("gorm:row").Register("count", func(*gorm.DB) { attempts++ }))
			timed := db.Session(&gorm.Session{NewDB: true})
			timed.DefaultContextTimeout = 1
			_, err := newStore(t, timed, store.Config{}).Refresh(t.Context(), presentation(s.ID, 1, t0))
			if !errors.Is(err, context.DeadlineExceeded) || attempts != 1 {
				t.Errorf("%d attempts, %v, want one and DeadlineExceeded", attempts, err)
			}
		})
	}
}

// The first mistake that a host makes has its remedy in the error.
func TestAMissingTableAsksForMigrate(t *testing.T) {
	t.Parallel()
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			db := open(t, d.open(t))
			st, err := store.New(db, store.Config{})
			must(t, err)
			_, getErr := st.Get(t.Context(), "0195e000-0000-7000-8000-000000000001")
			for what, err := range map[string]error{"create": st.Create(t.Context(), session("alice")), "get": getErr} {
				if err == nil || !strings.Contains(err.Error(), "has Migrate run?") {
					t.Errorf("%s: %v", what, err)
				}
			}
			must(t, st.Migrate(t.Context()))
			must(t, st.Create(t.Context(), session("alice")))
		})
	}
}
