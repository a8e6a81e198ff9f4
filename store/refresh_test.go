package store_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sessile-go/sessile/internal/pgtest"
	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/store"
	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
)

// space is one case of the state space: a row, and what is presented to it.
type space struct {
	row store.Row
	// actor is the session that row depends on, nil if it is not there.
	actor *store.Row
	p     sessions.RefreshParams
	note  string
}

// want is what the pure function and the contract make of it.
func (c space) want() (store.Row, sessions.Outcome) {
	sess, p := c.row.Session(), c.p
	m := p.Moment
	if !sess.Live(m) || sess.Impersonation && !m.Now.Add(p.ImpersonationMargin).Before(sess.ExpiresAt) {
		return c.row, 0
	}
	if sess.ParentSessionID != "" && (c.actor == nil || !c.actor.Session().Live(sessions.Moment{Now: m.Now})) {
		return c.row, 0
	}
	state, outcome := p.Rotation.Next(c.row.RefreshState(), p.Presented, m.Now)
	r := c.row
	r.Current, r.Parent, r.AnsweredAt, r.Recoveries = state.Current, state.Parent, state.AnsweredAt.UnixMicro(),
		state.Recoveries
	r.RefreshOutcome = int64(outcome)
	if outcome.EndReason() != "" {
		now := m.Now.UnixMicro()
		r.EndedAt, r.EndReason = &now, string(outcome.EndReason())
		return r, outcome
	}
	r.LastUsedAt = max(r.LastUsedAt, m.Now.UnixMicro())
	if p.Client.IP != "" {
		r.ClientIP = p.Client.IP
	}
	if p.Client.UserAgent != "" {
		r.ClientUserAgent = p.Client.UserAgent
	}
	return r, outcome
}

// wholeSpace enumerates the table of the protocol, with states that it cannot
// reach, and then each way to be live or not. A dimension that does not matter is
// varied along the way.
func wholeSpace() []space {
	const overlap = time.Minute
	now := t0
	base := func() store.Row {
		return store.Row{
			ID: newID(), UserID: "u", CreatedAt: now.Add(-2 * time.Hour).UnixMicro(),
			LastUsedAt: now.Add(-time.Hour).UnixMicro(),
			ExpiresAt:  now.Add(time.Hour).UnixMicro(), AuthTime: 1, Reason: "r", CreatedBy: "c", ClientIP: "old ip",
			ClientUserAgent: "old agent",
			Current:         2, Parent: 1, AnsweredAt: now.Add(-time.Hour).UnixMicro(), RefreshOutcome: 1,
		}
	}
	rotations := []sessions.Rotation{
		{Overlap: overlap}, {Overlap: overlap, MaxRecoveries: 1}, {Overlap: overlap, MaxRecoveries: 2},
		{Overlap: overlap, MaxRecoveries: sessions.NoRecovery}, sessions.StrictRotation(),
	}
	answered := []time.Duration{
		-overlap - time.Microsecond, -overlap, -overlap + time.Microsecond, -time.Second, 0, time.Minute,
	}
	clients := []sessions.Client{{}, {IP: "new ip"}, {UserAgent: "new agent"}, {IP: "new ip", UserAgent: "new agent"}}

	var all []space
	add := func(note string, r store.Row, presented int64, rot sessions.Rotation, idle time.Time) {
		all = append(all, space{row: r, note: note, p: sessions.RefreshParams{
			ID: r.ID, Presented: presented, Rotation: rot, Client: clients[len(all)%len(clients)],
			Moment: sessions.Moment{Now: now, IdleCutoff: idle}, ImpersonationMargin: 30 * time.Second,
		}})
	}
	for _, rot := range rotations {
		for _, ago := range answered {
			for current := int64(1); current <= 3; current++ {
				for parent := range int64(4) {
					for presented := range int64(5) {
						for recoveries := int64(0); recoveries <= int64(max(rot.MaxRecoveries, 0))+1; recoveries++ {
							r := base()
							r.Current, r.Parent, r.Recoveries = current, parent, recoveries
							r.AnsweredAt = now.Add(ago).UnixMicro()
							if presented%2 == 0 { // used by a replica whose clock is ahead
								r.LastUsedAt = now.Add(time.Second).UnixMicro()
							}
							add("table", r, presented, rot, time.Time{})
						}
					}
				}
			}
		}
	}

	ended := now.Add(-time.Minute).UnixMicro()
	for presented := range int64(4) {
		for _, left := range []int64{-1, 0, 1, 30e6 - 1, 30e6, 30e6 + 1} { // microseconds
			for _, impersonation := range []int64{0, 1} {
				r := base()
				r.ExpiresAt, r.Impersonation = now.UnixMicro()+left, impersonation
				add("expiry", r, presented, rotations[0], time.Time{})
			}
		}
		for _, past := range []time.Duration{-time.Microsecond, 0, time.Microsecond} {
			r := base()
			add("idle", r, presented, rotations[0], time.UnixMicro(r.LastUsedAt).Add(past))
		}
		r := base()
		r.EndedAt, r.EndReason, r.EndedBy = &ended, "revoked", "somebody"
		add("ended", r, presented, rotations[0], time.Time{})

		ahead := now.Add(time.Hour).UnixMicro()
		// An actor's session, over or idle or neither, of a session that is live.
		for i, change := range []func(actor *store.Row){
			func(*store.Row) {},
			func(actor *store.Row) { actor.EndedAt = &ended },
			func(actor *store.Row) { actor.EndedAt = &ahead }, // by a clock that is ahead
			func(actor *store.Row) { actor.ExpiresAt = now.UnixMicro() - 1 },
			func(actor *store.Row) { actor.ExpiresAt = now.UnixMicro() },
			func(actor *store.Row) { actor.ExpiresAt = now.UnixMicro() + 1 }, // and no margin
			func(actor *store.Row) { actor.LastUsedAt = now.Add(-30 * time.Minute).UnixMicro() },
			func(actor *store.Row) { actor.LastUsedAt = now.Add(-30*time.Minute).UnixMicro() + 1 },
			nil,
		} {
			r, actor := base(), base()
			r.Impersonation, r.ParentSessionID, r.LastUsedAt = 1, &actor.ID, now.Add(-time.Minute).UnixMicro()
			actor.LastUsedAt = r.LastUsedAt
			idle := time.Time{}
			if i >= 6 {
				idle = now.Add(-30 * time.Minute)
			}
			add("actor", r, presented, rotations[0], idle)
			if change != nil {
				change(&actor)
				all[len(all)-1].actor = &actor
			}
		}

		// The largest counter that is well-formed.
		r = base()
		r.Current, r.Parent = 1<<53-2+presented, 1<<53-3+presented
		add("large", r, 1<<53-1, rotations[0], time.Time{})
	}
	return all
}

func TestTheStatementIsThePureFunction(t *testing.T) {
	t.Parallel()
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			db := open(t, d.open(t))
			st := migrated(t, db)
			cases := wholeSpace()
			rows := make([]store.Row, 0, len(cases))
			for _, c := range cases {
				rows = append(rows, c.row)
				if c.actor != nil {
					rows = append(rows, *c.actor)
				}
			}
			must(t, db.Table(store.DefaultTable).CreateInBatches(rows, 500).Error)

			var next atomic.Int64
			results, errs := make([]sessions.RefreshResult, len(cases)), make([]error, len(cases))
			var workers sync.WaitGroup
			for range 8 {
				workers.Go(func() {
					for i := next.Add(1) - 1; int(i) < len(cases); i = next.Add(1) - 1 {
						results[i], errs[i] = st.Refresh(t.Context(), cases[i].p)
					}
				})
			}
			workers.Wait()

			have, err := read(t.Context(), db)
			must(t, err)
			seen := map[sessions.Outcome]int{}
			for i, c := range cases {
				row, outcome := c.want()
				seen[outcome]++
				if got := have[c.row.ID]; !reflect.DeepEqual(got, row) {
					t.Fatalf("%s: presented %d to %+v with %+v:\n row %+v\nwant %+v", c.note, c.p.Presented, c.row,
						c.p.Rotation, got, row)
				}
				if c.actor != nil && !reflect.DeepEqual(have[c.actor.ID], *c.actor) {
					t.Fatalf("%s: presented %d to %+v: changed the actor's session", c.note, c.p.Presented, c.row)
				}
				if outcome == 0 {
					if !errors.Is(errs[i], sessions.ErrNotFound) || results[i] != (sessions.RefreshResult{}) {
						t.Fatalf("%s: presented %d to %+v: got %+v, %v, want nothing and ErrNotFound", c.note,
							c.p.Presented, c.row, results[i], errs[i])
					}
					continue
				}
				want := sessions.RefreshResult{Session: row.Session(), State: row.RefreshState(), Outcome: outcome}
				if errs[i] != nil || results[i] != want {
					t.Fatalf("%s: presented %d to %+v with %+v:\n got %+v, %v\nwant %+v", c.note, c.p.Presented, c.row,
						c.p.Rotation, results[i], errs[i], want)
				}
			}
			for o := sessions.Outcome(0); o <= sessions.OutcomeRecoveryLimit; o++ {
				if seen[o] == 0 {
					t.Errorf("no case has outcome %d", o)
				}
			}
			t.Logf("%d cases: %v", len(cases), seen)
		})
	}
}

// crowds are settings for many callers at once. On Postgres each has a connection
// of its own, or the pool would hide races.
var crowds = []struct {
	name string
	open func(t *testing.T) *gorm.DB
}{
	{"sqlite as documented", func(t *testing.T) *gorm.DB {
		t.Helper()
		return open(t, sqlite.Open(documented(file(t))))
	}},
	{"sqlite with any number of connections", func(t *testing.T) *gorm.DB {
		t.Helper()
		db := open(t, sqlite.Open(documented(file(t))))
		pool(t, db).SetMaxOpenConns(0)
		return db
	}},
	{"sqlite with a rollback journal, any number of connections and no patience", func(t *testing.T) *gorm.DB {
		t.Helper()
		db := open(t, sqlite.Open("file:"+file(t)+"?_journal_mode=DELETE&_busy_timeout=0&_synchronous=OFF"))
		pool(t, db).SetMaxOpenConns(0)
		return db
	}},
	{"postgres", func(t *testing.T) *gorm.DB {
		t.Helper()
		return crowded(t, "")
	}},
	{"postgres at repeatable read", func(t *testing.T) *gorm.DB {
		t.Helper()
		return crowded(t, "repeatable read")
	}},
	{"postgres at serializable", func(t *testing.T) *gorm.DB {
		t.Helper()
		return crowded(t, "serializable")
	}},
}

func crowded(t *testing.T, isolation string) *gorm.DB {
	t.Helper()
	dsn := pgtest.DSN(t)
	if isolation != "" {
		dsn = withParam(t, dsn, "default_transaction_isolation", isolation)
	}
	db := open(t, postgres.Open(dsn))
	pool(t, db).SetMaxOpenConns(64)
	return db
}

func TestOneOfManyPresentationsActs(t *testing.T) {
	t.Parallel()
	const callers, rounds = 64, 2
	tests := []struct {
		name     string
		present  int64         // to current 3, parent 2
		after    time.Duration // since the last answer
		rotation sessions.Rotation
		want     map[sessions.Outcome]int // 0: not found
		current  int64
	}{
		{"the current token rotates once", 3, time.Hour, rotation, map[sessions.Outcome]int{1: 1, 2: 63}, 4},
		{"a late parent is recovered once", 2, time.Hour, rotation, map[sessions.Outcome]int{3: 1, 2: 63}, 4},
		{"a token ahead is taken once", 9, time.Hour, rotation, map[sessions.Outcome]int{4: 1, 2: 63}, 10},
		{"a spent token is seen once", 1, time.Hour, rotation, map[sessions.Outcome]int{5: 1, 0: 63}, 3},
		{"strictly, the second use is seen once", 3, time.Hour, sessions.StrictRotation(),
			map[sessions.Outcome]int{1: 1, 5: 1, 0: 62}, 4},
	}
	for _, crowd := range crowds {
		t.Run(crowd.name, func(t *testing.T) {
			t.Parallel()
			db := crowd.open(t)
			st := migrated(t, db)
			for _, tt := range tests {
				for range rounds {
					s := created(t, st, session("u"))
					for n := range int64(2) {
						if _, err := st.Refresh(t.Context(), presentation(s.ID, n+1, t0)); err != nil {
							t.Fatal(err)
						}
					}
					var mu sync.Mutex
					got, currents := map[sessions.Outcome]int{}, map[int64]bool{}
					errs := together(callers, func(int) error {
						p := presentation(s.ID, tt.present, t0.Add(tt.after))
						p.Rotation = tt.rotation
						r, err := st.Refresh(t.Context(), p)
						if err != nil && !errors.Is(err, sessions.ErrNotFound) {
							return err
						}
						mu.Lock()
						defer mu.Unlock()
						got[r.Outcome]++
						if r.Outcome != 0 {
							currents[r.State.Current] = true
						}
						return nil
					})
					if len(errs) > 0 {
						t.Fatalf("%s: %d errors, the first: %v", tt.name, len(errs), errs[0])
					}
					if !reflect.DeepEqual(got, tt.want) || len(currents) != 1 || !currents[tt.current] {
						t.Fatalf("%s: outcomes %v, counters %v, want %v and %d", tt.name, got, currents,
							tt.want, tt.current)
					}
				}
			}
		})
	}
}

// TestNothingWorksAfterTheParentEnded has sessions created as dependents of another one,
// refreshed and redeemed while that one ends: whoever began after its end was
// acknowledged is refused, and EndDependents finds all of them.
func TestNothingWorksAfterTheParentEnded(t *testing.T) {
	t.Parallel()
	const callers = 24
	for _, crowd := range crowds {
		t.Run(crowd.name, func(t *testing.T) {
			t.Parallel()
			db := crowd.open(t)
			st := audited(t, db)
			ctx := t.Context()
			actor := created(t, st, session("actor"))
			old := make([]sessions.Session, callers)
			for i := range old {
				s := dependent(newID(), actor)
				s.HandoffHash, s.HandoffExpiresAt = "hash", t0.Add(time.Hour)
				old[i] = created(t, st, s)
			}
			var begun, over atomic.Bool
			var mu sync.Mutex
			young := map[string]bool{}
			errs := together(callers+1, func(i int) error {
				if i == callers {
					for !begun.Load() {
						runtime.Gosched()
					}
					_, err := st.End(ctx, sessions.EndParams{
						ID: actor.ID, Now: at(t0).Now, Reason: sessions.EndSignedOut,
					})
					over.Store(true)
					return err
				}
				for n := int64(1); ; n++ {
					late, s := over.Load(), dependent(newID(), actor)
					createErr := st.Create(ctx, s)
					_, refreshErr := st.Refresh(ctx, presentation(old[i].ID, n, t0))
					_, redeemErr := st.Redeem(ctx, sessions.RedeemParams{
						ID: old[(i+1)%callers].ID, Hash: "hash", Moment: at(t0),
					})
					begun.Store(true)
					if createErr == nil {
						mu.Lock()
						young[s.ID] = true
						mu.Unlock()
					}
					for _, err := range []error{createErr, refreshErr, redeemErr} {
						if err != nil && !errors.Is(err, sessions.ErrNotFound) {
							return err
						}
						if late && err == nil {
							return errors.New("something worked that began after the end")
						}
					}
					if late {
						return nil
					}
				}
			})
			for _, err := range errs {
				t.Error(err)
			}
			marked, err := st.EndDependents(ctx, sessions.EndDependentsParams{
				ParentSessionIDs: []string{actor.ID}, Now: t0, Reason: sessions.EndParentEnded,
			})
			must(t, err)
			for _, s := range marked {
				delete(young, s.ID)
			}
			for _, s := range marked {
				got := history(t, st, s.UserID)
				if !strings.HasPrefix(got, "ended ") || strings.Count(got, "ended") != 1 {
					t.Errorf("the audit log has %q, want one end, as the last", got)
				}
			}
			if len(young) > 0 {
				t.Errorf("%d sessions were created and not found", len(young))
			}
			rows, err := read(ctx, db)
			must(t, err)
			for _, r := range rows {
				if r.EndedAt == nil {
					t.Errorf("not marked: %+v", r)
				}
			}
		})
	}
}

func TestOneOfManyRedemptionsGrants(t *testing.T) {
	t.Parallel()
	for _, crowd := range crowds {
		t.Run(crowd.name, func(t *testing.T) {
			t.Parallel()
			st := audited(t, crowd.open(t))
			for range 4 {
				s := dependent(newID(), session("actor"))
				s.ParentSessionID, s.HandoffHash, s.HandoffExpiresAt = "", "hash", t0.Add(time.Minute)
				created(t, st, s)
				var grants, ends atomic.Int64
				for _, err := range together(32, func(int) error {
					got, err := st.Redeem(t.Context(), sessions.RedeemParams{ID: s.ID, Hash: "hash", Moment: at(t0)})
					switch {
					case errors.Is(err, sessions.ErrNotFound):
						return nil
					case err != nil:
						return err
					case got.EndedAt.IsZero():
						grants.Add(1)
					case got.EndReason == sessions.EndHandoffReplay:
						ends.Add(1)
					}
					return nil
				}) {
					t.Error(err)
				}
				if grants.Load() != 1 || ends.Load() != 1 {
					t.Errorf("%d grants and %d ends, want 1 and 1", grants.Load(), ends.Load())
				}
				if got, want := history(t, st, s.UserID), "handoff_replay redeemed handed_off"; got != want {
					t.Errorf("the audit log has %q, want %q", got, want)
				}
			}
		})
	}
}

func TestManyWritersNeverSeeABusyDatabase(t *testing.T) {
	t.Parallel()
	for i, crowd := range slices.Concat(crowds, crowds) {
		cfg := store.Config{AuditLog: i < len(crowds)}
		t.Run(fmt.Sprintf("%s, audit log %t", crowd.name, cfg.AuditLog), func(t *testing.T) {
			t.Parallel()
			db := crowd.open(t)
			st := migratedAs(t, db, cfg)
			errs := together(32, func(i int) error {
				user := fmt.Sprint("user ", i%4)
				for n := range 4 {
					s := session(user)
					s.Impersonation = n%2 == 0
					if err := st.Create(t.Context(), s); err != nil {
						return err
					}
					// Others end all of the user's sessions meanwhile.
					if _, err := st.Refresh(t.Context(), presentation(s.ID, 1, t0)); err != nil &&
						!errors.Is(err, sessions.ErrNotFound) {
						return err
					}
					if _, err := st.List(t.Context(), sessions.ListParams{UserID: user, Moment: at(t0)}); err != nil {
						return err
					}
				}
				if _, err := st.EndMany(t.Context(), sessions.EndManyParams{
					UserID: user, Now: at(t0).Now, Reason: sessions.EndRevoked,
				}); err != nil {
					return err
				}
				_, err := st.Prune(t.Context(), sessions.PruneParams{EndedBefore: t0.Add(time.Hour), Limit: 3})
				return err
			})
			for _, err := range errs {
				t.Error(err)
			}
		})
	}
}

// TestACommitThatFailsIsNotAnAnswer has a reader hold the shared lock of a rollback
// journal: the UPDATE returns its row, and only then cannot commit.
func TestACommitThatFailsIsNotAnAnswer(t *testing.T) {
	t.Parallel()
	dsn := "file:" + file(t) + "?_journal_mode=DELETE&_busy_timeout=1"
	db := open(t, sqlite.Open(dsn))
	st := migrated(t, db)
	s := created(t, st, session("u"))

	reader := pool(t, open(t, sqlite.Open(dsn)))
	tx, err := reader.BeginTx(t.Context(), nil)
	must(t, err)
	var n int
	must(t, tx.QueryRow(`SELECT count(*) FROM `+store.DefaultTable).Scan(&n))

	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	r, err := st.Refresh(ctx, presentation(s.ID, 1, t0))
	if !errors.Is(err, context.DeadlineExceeded) || r != (sessions.RefreshResult{}) {
		t.Errorf("with the lock held: got %+v, %v, want nothing and DeadlineExceeded", r, err)
	}
	must(t, tx.Rollback())
	r, err = st.Refresh(t.Context(), presentation(s.ID, 1, t0))
	if err != nil || r.Outcome != sessions.OutcomeRotated {
		t.Errorf("after it: got %+v, %v, want the rotation that did not happen before", r, err)
	}
}
