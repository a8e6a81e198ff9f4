package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sessile-go/sessile/internal/pgtest"
	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/store"
	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
)

func TestInJoinsTheHostsTransaction(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	tests := []struct {
		name    string
		end     error
		created bool
	}{{"a commit keeps", nil, true}, {"a rollback takes back", boom, false}}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, d := range databases {
				t.Run(d.name, func(t *testing.T) {
					t.Parallel()
					db := open(t, d.open(t))
					st, ctx := migrated(t, db), t.Context()
					old, young := created(t, st, session("u")), session("u")
					err := db.Transaction(func(tx *gorm.DB) error {
						in := st.In(tx)
						if err := in.Create(ctx, young); err != nil {
							return err
						}
						// No answer poisons the transaction.
						if err := in.Create(ctx, young); !errors.Is(err, sessions.ErrConflict) {
							t.Errorf("create again: %v, want ErrConflict", err)
						}
						if _, err := in.Get(ctx, "no id"); !errors.Is(err, sessions.ErrNotFound) {
							t.Errorf("get nonsense: %v, want ErrNotFound", err)
						}
						if _, err := in.Refresh(ctx, presentation(old.ID, 1, t0)); !cannotJoin(err) {
							t.Errorf("refresh: %v, want that it cannot join", err)
						}
						if _, err := in.Redeem(ctx, sessions.RedeemParams{
							ID: old.ID, Hash: "hash", Moment: at(t0),
						}); !cannotJoin(err) {
							t.Errorf("redeem: %v, want that it cannot join", err)
						}
						list, err := in.List(ctx, sessions.ListParams{UserID: "u", Moment: at(t0)})
						if err != nil || len(list) != 2 {
							t.Errorf("list: %v, %v, want both", list, err)
						}
						if _, err := in.EndMany(ctx, sessions.EndManyParams{
							UserID: "u", ExceptID: young.ID, Now: at(t0).Now, Reason: sessions.EndRevoked,
						}); err != nil {
							return err
						}
						feed, err := in.Ended(ctx, t0)
						if err != nil || len(feed) != 1 || feed[0].ID != old.ID {
							t.Errorf("ended: %v, %v, want the old one", feed, err)
						}
						return tt.end
					})
					if !errors.Is(err, tt.end) {
						t.Fatalf("transaction: %v, want %v", err, tt.end)
					}
					_, err = st.Get(ctx, young.ID)
					if got := !errors.Is(err, sessions.ErrNotFound); got != tt.created || got && err != nil {
						t.Errorf("created is %t (%v), want %t", got, err, tt.created)
					}
					s, err := st.Get(ctx, old.ID)
					if ended := !s.EndedAt.IsZero(); err != nil || ended != tt.created {
						t.Errorf("ended is %t (%v), want %t", ended, err, tt.created)
					}
					feed, err := st.Ended(ctx, t0)
					if got := len(feed) == 1; err != nil || got != tt.created {
						t.Errorf("the feed has %v (%v), want the end: %t", feed, err, tt.created)
					}
				})
			}
		})
	}
}

func TestInMigratesInTheHostsTransaction(t *testing.T) {
	t.Parallel()
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			db := open(t, d.open(t))
			st := newStore(t, db, store.Config{})
			boom := errors.New("boom")
			err := db.Transaction(func(tx *gorm.DB) error { return errors.Join(st.In(tx).Migrate(t.Context()), boom) })
			if err == nil || err.Error() != boom.Error() {
				t.Fatal(err)
			}
			if db.Migrator().HasTable(store.DefaultTable) {
				t.Error("the table survived the rollback")
			}
		})
	}
}

func TestInRefusesWhatIsNoTransactionOfItsDatabase(t *testing.T) {
	t.Parallel()
	db := open(t, databases[0].open(t))
	st := migrated(t, db)
	dry := db.Session(&gorm.Session{DryRun: true})
	for name, tx := range map[string]*gorm.DB{"none": nil, "the database itself": db, "a dry run": dry} {
		in, ctx, s := st.In(tx), t.Context(), session("u")
		_, getErr := in.Get(ctx, s.ID)
		_, refreshErr := in.Refresh(ctx, presentation(s.ID, 1, t0))
		_, listErr := in.List(ctx, sessions.ListParams{UserID: "u"})
		_, endErr := in.End(ctx, sessions.EndParams{ID: "x"})
		_, manyErr := in.EndMany(ctx, sessions.EndManyParams{UserID: "u"})
		_, dependentsErr := in.EndDependents(ctx, sessions.EndDependentsParams{ParentSessionIDs: []string{s.ID}})
		_, redeemErr := in.Redeem(ctx, sessions.RedeemParams{ID: s.ID})
		_, feedErr := in.Ended(ctx, t0)
		_, pruneErr := in.Prune(ctx, sessions.PruneParams{Limit: 1})
		_, nowErr := in.Now(ctx)
		for _, err := range []error{
			in.Create(ctx, s), getErr, refreshErr, listErr, endErr, manyErr, dependentsErr, redeemErr, feedErr,
			pruneErr, nowErr, in.Migrate(ctx), in.In(db).Migrate(ctx),
		} {
			if err == nil || !strings.HasPrefix(err.Error(), "store: ") || errors.Is(err, sessions.ErrNotFound) {
				t.Errorf("%s: %v, want an error that says what is wrong", name, err)
			}
		}
	}
}

// TestATransactionDoesNotWaitForWhoWaitsForIt has the only connection in a
// transaction, and a caller outside of it that waits for the connection in order to
// prepare the very statement that the transaction is about to run.
func TestATransactionDoesNotWaitForWhoWaitsForIt(t *testing.T) {
	t.Parallel()
	for _, prepare := range []bool{false, true} {
		db := open(t, sqlite.Open(documented(file(t))), &gorm.Config{PrepareStmt: prepare})
		st := migrated(t, db)
		outside := make(chan error, 1)
		ctx, cancel := context.WithCancel(t.Context())
		err := db.Transaction(func(tx *gorm.DB) error {
			waiting := pool(t, db).Stats().WaitCount
			go func() { outside <- st.Create(ctx, session("outside")) }()
			for pool(t, db).Stats().WaitCount == waiting {
				runtime.Gosched() // until the other is in the queue
			}
			return st.In(tx).Create(ctx, session("inside"))
		})
		if err := errors.Join(err, <-outside); err != nil {
			t.Errorf("PrepareStmt %t: %v", prepare, err)
		}
		cancel()
	}
}

// TestATransactionOfTheStoreDoesNotWaitForWhoWaitsForIt is the same in a transaction that
// the store begins itself, for the entry of the audit log.
func TestATransactionOfTheStoreDoesNotWaitForWhoWaitsForIt(t *testing.T) {
	t.Parallel()
	for _, prepare := range []bool{false, true} {
		t.Run(fmt.Sprintf("PrepareStmt %t", prepare), func(t *testing.T) {
			t.Parallel()
			db := open(t, sqlite.Open(documented(file(t))), &gorm.Config{PrepareStmt: prepare})
			st := audited(t, db)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			outside := make(chan error, 1)
			var once sync.Once
			must(t, db.Callback().Raw().Before("gorm:raw").Register("meanwhile", func(*gorm.DB) {
				once.Do(func() {
					waiting := pool(t, db).Stats().WaitCount
					go func() { _, err := st.Get(ctx, newID()); outside <- err }()
					for pool(t, db).Stats().WaitCount == waiting && ctx.Err() == nil {
						runtime.Gosched() // until the other is in the queue
					}
				})
			}))
			// The parent is missing, so the transaction looks for a session of the same id.
			err := st.Create(ctx, dependent("u", session("boss")))
			if getErr := <-outside; !errors.Is(err, sessions.ErrNotFound) || !errors.Is(getErr, sessions.ErrNotFound) {
				t.Errorf("inside %v, outside %v, want ErrNotFound", err, getErr)
			}
		})
	}
}

func TestADoneContextChangesNothing(t *testing.T) {
	t.Parallel()
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			db := open(t, d.open(t))
			st := migrated(t, db)
			s := created(t, st, session("u"))
			before, err := read(t.Context(), db)
			must(t, err)
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_, getErr := st.Get(ctx, "x")
			_, refreshErr := st.Refresh(ctx, presentation(s.ID, 1, t0))
			_, listErr := st.List(ctx, sessions.ListParams{UserID: "u", OnlyID: "x"})
			_, endErr := st.End(ctx, sessions.EndParams{ID: s.ID, Now: at(t0).Now})
			_, manyErr := st.EndMany(ctx, sessions.EndManyParams{UserID: "u", Now: at(t0).Now})
			_, dependentsErr := st.EndDependents(ctx, sessions.EndDependentsParams{
				ParentSessionIDs: []string{s.ID}, Now: t0,
			})
			_, redeemErr := st.Redeem(ctx, sessions.RedeemParams{ID: s.ID, Moment: at(t0)})
			_, feedErr := st.Ended(ctx, t0)
			_, pruneErr := st.Prune(ctx, sessions.PruneParams{Limit: 1})
			_, nowErr := st.Now(ctx)
			for _, err := range []error{
				st.Create(ctx, session("u")), getErr, refreshErr, listErr, endErr, manyErr, dependentsErr, redeemErr,
				feedErr, pruneErr, nowErr, st.Migrate(ctx),
			} {
				if !errors.Is(err, context.Canceled) {
					t.Errorf("%v, want Canceled", err)
				}
			}
			after, err := read(t.Context(), db)
			must(t, err)
			if len(after) != len(before) || after[s.ID] != before[s.ID] {
				t.Errorf("rows %+v, want %+v", after, before)
			}
		})
	}
}

// TestAStrictTransactionOfTheHostEndsNothing has a session begin after the host's
// transaction took its snapshot, a thief's perhaps. What that snapshot cannot show would
// live on: so the end is refused, whether it found sessions or not.
func TestAStrictTransactionOfTheHostEndsNothing(t *testing.T) {
	t.Parallel()
	ends := map[string]func(ctx context.Context, in *store.Store, s sessions.Session) error{
		"end": func(ctx context.Context, in *store.Store, s sessions.Session) error {
			_, err := in.End(ctx, sessions.EndParams{ID: s.ID, Now: t0, Reason: sessions.EndRevoked})
			return err
		},
		"end many": func(ctx context.Context, in *store.Store, s sessions.Session) error {
			list, err := in.EndMany(ctx, sessions.EndManyParams{UserID: s.UserID, Now: t0, Reason: sessions.EndRevoked})
			if err != nil && list != nil {
				err = errors.New("sessions beside an error")
			}
			return err
		},
		"end dependents": func(ctx context.Context, in *store.Store, s sessions.Session) error {
			_, err := in.EndDependents(ctx, sessions.EndDependentsParams{
				ParentSessionIDs: []string{s.ParentSessionID}, Now: t0, Reason: sessions.EndParentEnded,
			})
			return err
		},
	}
	for _, cfg := range []store.Config{{}, {AuditLog: true}} {
		for _, isolation := range []sql.IsolationLevel{
			sql.LevelRepeatableRead, sql.LevelSerializable, sql.LevelReadCommitted, sql.LevelReadUncommitted,
		} {
			t.Run(fmt.Sprintf("%v, audit log %t", isolation, cfg.AuditLog), func(t *testing.T) {
				t.Parallel()
				db := open(t, postgres.Open(pgtest.DSN(t)))
				st, ctx := migratedAs(t, db, cfg), t.Context()
				strict := isolation >= sql.LevelRepeatableRead
				for name, end := range ends {
					for _, some := range []bool{false, true} {
						actor := created(t, st, session("actor"))
						user := fmt.Sprint(name, some)
						if some {
							created(t, st, dependent(user, actor))
						}
						thief := dependent(user, actor)
						err := db.Transaction(func(tx *gorm.DB) error {
							var one int
							must(t, tx.Raw(`SELECT 1`).Scan(&one).Error)
							created(t, st, thief)
							return end(ctx, st.In(tx), thief)
						}, &sql.TxOptions{Isolation: isolation})
						if !strict {
							must(t, err)
						} else if err == nil || !strings.HasPrefix(err.Error(), "store: "+name+": ") ||
							!strings.Contains(err.Error(), "sql.LevelReadCommitted") ||
							errors.Is(err, sessions.ErrNotFound) {
							t.Errorf("%s, others %t: %v, want an error that says what to do", name, some, err)
						}
						if s, err := st.Get(ctx, thief.ID); err != nil || s.EndedAt.IsZero() != strict {
							t.Errorf("%s, others %t: ended at %v, %v", name, some, s.EndedAt, err)
						}
					}
				}
			})
		}
	}
}

// cannotJoin reports whether err refuses a call because of the transaction that it is in.
func cannotJoin(err error) bool {
	return err != nil && strings.Contains(err.Error(), "cannot join a transaction")
}
