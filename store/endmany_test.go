package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sessile-go/sessile/internal/pgtest"
	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/store"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
)

// TestTheEndOfManyIsAsManyStatementsAsThatOfOne holds Manager.EndMany, dependents
// included, to a number of statements that does not grow with what it ends.
func TestTheEndOfManyIsAsManyStatementsAsThatOfOne(t *testing.T) {
	t.Parallel()
	for _, d := range tapedDatabases {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			tp := &tape{}
			db := d.open(t, tp)
			st := migrated(t, db)
			m, err := sessions.New(sessions.Config{
				Store: st, Issuer: "https://app.example", Audience: "app",
				Secrets: [][]byte{[]byte("a secret of thirty-two bytes, 123")},
				Users: func(_ context.Context, id string) (sessions.User, error) {
					return sessions.User{ID: id}, nil
				},
				MayImpersonate: func(context.Context, sessions.Identity, sessions.User) error { return nil },
				Now:            func() time.Time { return t0 },
			})
			must(t, err)
			for _, n := range []int{1, 5000} {
				user := fmt.Sprint("user of ", n)
				rows := make([]store.Row, 0, 2*n)
				for range n {
					row := store.Row{
						ID: newID(), UserID: user, LastUsedAt: t0.UnixMicro(),
						ExpiresAt: t0.Add(time.Hour).UnixMicro(), Current: 1,
					}
					dependent := row
					dependent.ID, dependent.UserID, dependent.Impersonation, dependent.ParentSessionID = newID(),
						"somebody", 1, &row.ID
					rows = append(rows, row, dependent)
				}
				must(t, db.Table(store.DefaultTable).CreateInBatches(rows, 500).Error)
				tp.cut()
				ended, err := m.EndMany(t.Context(), sessions.EndManyParams{
					UserID: user, Reason: sessions.EndRevoked, By: "admin",
				})
				if err != nil || len(ended) != n {
					t.Fatalf("ended %d of %d: %v", len(ended), n, err)
				}
				if got := tp.cut(); len(got) != 2 {
					t.Errorf("%d sessions: %d statements, want one for them and one for what depends on them: %.300q",
						n, len(got), got)
				}
			}
			after, err := read(t.Context(), db)
			must(t, err)
			for _, r := range after {
				if r.EndedAt == nil {
					t.Fatalf("%+v is live", r)
				}
			}
		})
	}
}

// TestWhatEndsManyLocksThemInOrder has one of several rows locked by another
// transaction: what comes before it by id is locked by then, and what comes after it
// is not. So two that end the same sessions never wait for each other.
func TestWhatEndsManyLocksThemInOrder(t *testing.T) {
	t.Parallel()
	for name, call := range map[string]func(ctx context.Context, st *store.Store,
		actors []string) ([]sessions.Session, error){
		"end dependents": func(ctx context.Context, st *store.Store, actors []string) ([]sessions.Session, error) {
			return st.EndDependents(ctx, sessions.EndDependentsParams{
				ParentSessionIDs: actors, Now: t0, Reason: sessions.EndParentEnded,
			})
		},
		"end many": func(ctx context.Context, st *store.Store, _ []string) ([]sessions.Session, error) {
			return st.EndMany(ctx, sessions.EndManyParams{UserID: "user", Now: t0, Reason: sessions.EndRevoked})
		},
		"prune": func(ctx context.Context, st *store.Store, actors []string) ([]sessions.Session, error) {
			n, err := st.Prune(ctx, sessions.PruneParams{ExpiredBefore: t0.AddDate(1, 0, 0), Limit: 100})
			return make([]sessions.Session, max(0, n-len(actors))), err
		},
		"end others": func(ctx context.Context, st *store.Store, actors []string) ([]sessions.Session, error) {
			return st.EndMany(ctx, sessions.EndManyParams{
				UserID: "user", ExceptID: actors[0], Now: t0, Reason: sessions.EndRevoked,
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := open(t, postgres.Open(pgtest.DSN(t)))
			st, ctx := migrated(t, db), t.Context()
			var actors, ids []string
			for range 3 {
				actors = append(actors, created(t, st, session("actor")).ID)
			}
			for range 9 {
				ids = append(ids, newID())
			}
			for i := range ids { // the first in the table is the last by id
				s := session("user")
				s.ID, s.CreatedAt = ids[len(ids)-1-i], t0.Add(time.Duration(i*4%9)*time.Second)
				s.Impersonation, s.Actor, s.ParentSessionID = true, "actor", actors[i%3]
				created(t, st, s)
			}
			const middle = 4
			done := make(chan error, 1)
			must(t, db.Transaction(func(holder *gorm.DB) error {
				must(t, holder.Exec(`SELECT 1 FROM sessile_sessions WHERE id = ? FOR UPDATE`, ids[middle]).Error)
				go func() {
					ended, err := call(ctx, st, actors)
					if err == nil && len(ended) != len(ids) {
						err = fmt.Errorf("ended %d of %d", len(ended), len(ids))
					}
					done <- err
				}()
				waits(t, holder)
				var free []string
				must(t, db.Raw(`SELECT id FROM sessile_sessions WHERE parent_session_id IS NOT NULL ORDER BY id FOR `+
					`UPDATE SKIP LOCKED`).Scan(&free).Error)
				if got, want := strings.Join(free, " "), strings.Join(ids[middle+1:], " "); got != want {
					t.Errorf("not locked are %s\nwant %s", got, want)
				}
				return nil
			}))
			must(t, <-done)
		})
	}
}

// waits returns once another connection waits for a lock of this transaction.
func waits(t *testing.T, holder *gorm.DB) {
	t.Helper()
	for range 100_000 {
		var n int
		must(t, holder.Raw(`SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = `+
			`ANY(pg_blocking_pids(pid))`).Scan(&n).Error)
		if n > 0 {
			return
		}
	}
	t.Fatal("nobody waits for the lock")
}

// clocked is a store whose database has the clock of the test.
type clocked struct {
	sessions.Store
	clock func() time.Time
}

func (c clocked) Now(context.Context) (time.Time, error) { return c.clock(), nil }

// TestAnImpersonationBehindAnIdleActorIsSeenAndEnded holds the rule of idleness on both
// databases: it is each session's own affair.
func TestAnImpersonationBehindAnIdleActorIsSeenAndEnded(t *testing.T) {
	t.Parallel()
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			db := open(t, d.open(t))
			st, ctx, now := migrated(t, db), t.Context(), t0
			clock := func() time.Time { return now }
			m, err := sessions.New(sessions.Config{
				Store: clocked{st, clock}, Issuer: "https://app.example", Audience: "app",
				Secrets: [][]byte{[]byte("a secret of thirty-two bytes, 123")},
				Users: func(_ context.Context, id string) (sessions.User, error) {
					return sessions.User{ID: id}, nil
				},
				MayImpersonate: func(context.Context, sessions.Identity, sessions.User) error { return nil },
				Now:            clock,
				IdleTimeout:    15 * time.Minute,
				Retention:      10 * time.Minute,
			})
			must(t, err)
			for name, end := range map[string]func(actor, imp sessions.Session) error{
				"End": func(_, imp sessions.Session) error {
					_, err := m.End(ctx, sessions.EndParams{ID: imp.ID})
					return err
				},
				"EndMany": func(_, imp sessions.Session) error {
					_, err := m.EndMany(ctx, sessions.EndManyParams{UserID: imp.UserID})
					return err
				},
				"the end of the actor's session": func(actor, _ sessions.Session) error {
					_, err := m.End(ctx, sessions.EndParams{ID: actor.ID})
					return err
				},
				"the end of the actor's sessions": func(actor, _ sessions.Session) error {
					_, err := m.EndMany(ctx, sessions.EndManyParams{UserID: actor.UserID})
					return err
				},
			} {
				actor, err := m.Create(ctx, sessions.CreateParams{UserID: "actor, " + name})
				must(t, err)
				caller, err := m.Verify(actor.AccessToken.Reveal())
				must(t, err)
				imp, err := m.Impersonate(ctx, caller, sessions.CreateParams{UserID: "user, " + name})
				must(t, err)
				for range 10 {
					now = now.Add(5 * time.Minute)
					imp, err = m.Refresh(ctx, imp.RefreshToken.Reveal(), sessions.Client{})
					must(t, err)
					if _, err := m.Prune(ctx); err != nil {
						t.Fatal(err)
					}
				}
				if _, err := m.Refresh(ctx, actor.RefreshToken.Reveal(), sessions.Client{}); !errors.Is(err,
					sessions.ErrSessionIdle) {
					t.Fatalf("the actor's refresh: %v, want ErrSessionIdle", err)
				}
				list, err := m.List(ctx, imp.Session.UserID, sessions.ListOptions{Impersonations: true})
				if err != nil || len(list.Sessions) != 1 {
					t.Errorf("%s: listed %d, %v, want the impersonation", name, len(list.Sessions), err)
				}
				if err := end(actor.Session, imp.Session); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				if _, err := m.Verify(imp.AccessToken.Reveal()); !errors.Is(err, sessions.ErrExpired) {
					t.Errorf("%s: its access token: %v, want ErrExpired", name, err)
				}
				if s, err := m.Get(ctx, imp.Session.ID); err != nil || s.EndedAt.IsZero() {
					t.Errorf("%s: it has not ended: %v", name, err)
				}
			}
		})
	}
}
