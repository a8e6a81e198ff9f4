package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/store"
	"gorm.io/gorm"
)

// history is what the audit log says of a user, newest first.
func history(t testing.TB, st *store.Store, userID string) string {
	t.Helper()
	entries, err := st.Audit(t.Context(), store.AuditQuery{UserID: userID})
	must(t, err)
	all := make([]string, 0, len(entries))
	for _, e := range entries {
		all = append(all, string(e.Type))
	}
	return strings.Join(all, " ")
}

// changes are all that can happen to an impersonation and leave an entry, as calls on the
// session s, whose parent is actor and whose code has the hash "hash".
var changes = []struct {
	name string
	// first says what happens to s before, as far as other changes do it.
	first []string
	call  func(ctx context.Context, st *store.Store, s, actor sessions.Session) error
	want  store.AuditEntry // what differs from the session
}{
	{"created", nil, func(ctx context.Context, st *store.Store, s, _ sessions.Session) error {
		s.ID, s.HandoffHash = newID(), ""
		return st.Create(ctx, s)
	}, store.AuditEntry{
		Type: sessions.EventCreated, At: t0, By: "backend", Client: sessions.Client{IP: "192.0.2.1", UserAgent: "test"},
	}},
	{"handed off", nil, func(ctx context.Context, st *store.Store, s, _ sessions.Session) error {
		s.ID = newID()
		return st.Create(ctx, s)
	}, store.AuditEntry{
		Type: sessions.EventHandedOff, At: t0, By: "backend", Client: sessions.Client{IP: "192.0.2.1",
			UserAgent: "test"},
	}},
	{"redeemed", nil, redeemIt, store.AuditEntry{Type: sessions.EventRedeemed, At: late, Client: presenter}},
	{"redeemed twice", []string{"redeemed"}, redeemIt,
		store.AuditEntry{
			Type: sessions.EventHandoffReplay, At: late, EndReason: sessions.EndHandoffReplay, Client: presenter,
		}},
	{"rotated", nil, refreshIt(1), store.AuditEntry{Type: sessions.EventRotated, At: late, Client: presenter}},
	{"overlap", []string{"rotated"}, refreshIt(1), store.AuditEntry{
		Type: sessions.EventOverlap, At: late, Client: presenter,
	}},
	{"ahead", nil, refreshIt(7), store.AuditEntry{Type: sessions.EventAhead, At: late, Client: presenter}},
	{"recovered", []string{"rotated early"}, refreshIt(1), store.AuditEntry{
		Type: sessions.EventRecovered, At: late, Client: presenter,
	}},
	{"replay", []string{"rotated", "ahead"}, refreshIt(1),
		store.AuditEntry{Type: sessions.EventReplay, At: late, EndReason: sessions.EndReplay, Client: presenter}},
	{"recovery limit", []string{"rotated early", "recovered early"}, func(ctx context.Context, st *store.Store,
		s, _ sessions.Session) error {
		p := presentation(s.ID, 1, late)
		p.Rotation.MaxRecoveries, p.Client = 1, presenter
		_, err := st.Refresh(ctx, p)
		return err
	}, store.AuditEntry{
		Type: sessions.EventRecoveryLimit, At: late, EndReason: sessions.EndRecoveryLimit, Client: presenter,
	}},
	{"ended", nil, func(ctx context.Context, st *store.Store, s, _ sessions.Session) error {
		_, err := st.End(ctx, sessions.EndParams{
			ID: s.ID, Now: at(late).Now, Reason: sessions.EndSignedOut, By: "boss",
		})
		return err
	}, store.AuditEntry{Type: sessions.EventEnded, At: late, EndReason: sessions.EndSignedOut, By: "boss"}},
	{"ended with others", nil, func(ctx context.Context, st *store.Store, s, _ sessions.Session) error {
		_, err := st.EndMany(ctx, sessions.EndManyParams{
			UserID: s.UserID, Now: at(late).Now, Reason: sessions.EndRevoked, By: "user",
		})
		return err
	}, store.AuditEntry{Type: sessions.EventEnded, At: late, EndReason: sessions.EndRevoked, By: "user"}},
	{"ended with its actor", nil, func(ctx context.Context, st *store.Store, _, actor sessions.Session) error {
		_, err := st.EndDependents(ctx, sessions.EndDependentsParams{
			ParentSessionIDs: []string{actor.ID}, Now: late, Reason: sessions.EndParentEnded, By: "actor",
		})
		return err
	}, store.AuditEntry{Type: sessions.EventEnded, At: late, EndReason: sessions.EndParentEnded, By: "actor"}},
}

// early are changes that happen before others only.
var early = map[string]func(ctx context.Context, st *store.Store, s, actor sessions.Session) error{
	"rotated early": func(ctx context.Context, st *store.Store, s, _ sessions.Session) error {
		_, err := st.Refresh(ctx, presentation(s.ID, 1, late.Add(-20*time.Minute)))
		return err
	},
	"recovered early": func(ctx context.Context, st *store.Store, s, _ sessions.Session) error {
		_, err := st.Refresh(ctx, presentation(s.ID, 1, late.Add(-10*time.Minute)))
		return err
	},
}

var (
	late      = t0.Add(time.Hour)
	presenter = sessions.Client{IP: "203.0.113.9", UserAgent: "presenter"}
)

func redeemIt(ctx context.Context, st *store.Store, s, _ sessions.Session) error {
	_, err := st.Redeem(ctx, sessions.RedeemParams{ID: s.ID, Hash: "hash", Moment: at(late), Client: presenter})
	return err
}

func refreshIt(counter int64) func(context.Context, *store.Store, sessions.Session, sessions.Session) error {
	return func(ctx context.Context, st *store.Store, s, _ sessions.Session) error {
		p := presentation(s.ID, counter, late)
		p.Client = presenter
		_, err := st.Refresh(ctx, p)
		return err
	}
}

// forEachChange prepares an impersonation for each change on each database.
func forEachChange(t *testing.T, f func(t *testing.T, db *gorm.DB, st *store.Store, s sessions.Session,
	call func(st *store.Store) error, want store.AuditEntry)) {
	t.Helper()
	for _, d := range databases {
		for _, c := range changes {
			t.Run(d.name+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				db := open(t, d.open(t))
				st, ctx := audited(t, db), t.Context()
				actor := created(t, st, session("actor"))
				s := dependent("user", actor)
				s.HandoffHash, s.HandoffExpiresAt = "hash", t0.Add(2*time.Hour)
				created(t, st, s)
				for _, name := range c.first {
					call := early[name]
					for _, other := range changes {
						if other.name == name {
							call = other.call
						}
					}
					must(t, call(ctx, st, s, actor))
				}
				want := c.want
				want.UserID, want.Actor, want.ParentSessionID, want.Reason = s.UserID, s.Actor,
					s.ParentSessionID, s.Reason
				f(t, db, st, s, func(st *store.Store) error { return c.call(ctx, st, s, actor) }, want)
			})
		}
	}
}

func TestEveryChangeOfAnImpersonationIsInTheAuditLog(t *testing.T) {
	t.Parallel()
	forEachChange(t, func(t *testing.T, db *gorm.DB, st *store.Store, s sessions.Session, call func(*store.Store) error,
		want store.AuditEntry) {
		t.Helper()
		before, err := st.Audit(t.Context(), store.AuditQuery{UserID: s.UserID})
		must(t, err)
		must(t, call(st))
		entries, err := st.Audit(t.Context(), store.AuditQuery{UserID: s.UserID})
		must(t, err)
		// The first entry is of the session itself; a creation has another at t0.
		added := slices.DeleteFunc(slices.Clone(entries), func(e store.AuditEntry) bool {
			return slices.Contains(before, e)
		})
		if len(added) != 1 || len(entries) != len(before)+1 {
			t.Fatalf("%d entries were added, want 1: %+v", len(added), entries)
		}
		want.ID, want.SessionID = added[0].ID, s.ID
		if want.At.Equal(t0) {
			want.SessionID = added[0].SessionID // of the one that was created
			rows, err := read(t.Context(), db)
			must(t, err)
			if _, ok := rows[want.SessionID]; !ok || want.SessionID == s.ID {
				t.Errorf("the entry is of %s", want.SessionID)
			}
		}
		if added[0] != want {
			t.Errorf("got  %+v\nwant %+v", added[0], want)
		}
		if got := history(t, st, "actor"); got != "" {
			t.Errorf("the actor's own session is in the log: %s", got)
		}
	})
}

// TestNoChangeWithoutItsEntry takes the log away: a change that cannot be logged does not
// happen.
func TestNoChangeWithoutItsEntry(t *testing.T) {
	t.Parallel()
	forEachChange(t, func(t *testing.T, db *gorm.DB, st *store.Store, s sessions.Session, call func(*store.Store) error,
		_ store.AuditEntry) {
		t.Helper()
		must(t, db.Exec(`ALTER TABLE sessile_sessions_audit RENAME TO elsewhere`).Error)
		before, err := read(t.Context(), db)
		must(t, err)
		if err := call(st); err == nil || !strings.HasPrefix(err.Error(), "store: ") ||
			strings.Contains(err.Error(), s.UserID+"'") {
			t.Fatalf("without a log: %v, want an error", err)
		}
		after, err := read(t.Context(), db)
		must(t, err)
		if len(after) != len(before) {
			t.Errorf("%d rows, want %d", len(after), len(before))
		}
		for id, row := range after {
			if row.Session() != before[id].Session() || row.RefreshState() != before[id].RefreshState() ||
				row.HandoffUses != before[id].HandoffUses {
				t.Errorf("changed from %+v to %+v", before[id], row)
			}
		}
		must(t, db.Exec(`ALTER TABLE elsewhere RENAME TO sessile_sessions_audit`).Error)
		must(t, call(st))
	})
}

func TestTheAuditLogJoinsTheHostsTransaction(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	forEachChange(t, func(t *testing.T, db *gorm.DB, st *store.Store, s sessions.Session, call func(*store.Store) error,
		want store.AuditEntry) {
		t.Helper()
		before := history(t, st, s.UserID)
		for _, end := range []error{boom, nil} {
			joined := false
			err := db.Transaction(func(tx *gorm.DB) error {
				err := call(st.In(tx))
				if joined = !cannotJoin(err); !joined {
					return boom // a refresh does not join
				}
				if err != nil {
					return err
				}
				return end
			})
			if !joined {
				break
			}
			if !errors.Is(err, end) {
				t.Fatalf("transaction: %v, want %v", err, end)
			}
			got := history(t, st, s.UserID)
			if added := got != before; added != (end == nil) {
				t.Errorf("after %v the log has %q, before %q", end, got, before)
			}
			if end == nil && !strings.Contains(got, string(want.Type)) {
				t.Errorf("the log has %q, want %s in it", got, want.Type)
			}
		}
	})
}

func TestTheAuditLogSaysNothingOfOtherSessions(t *testing.T) {
	t.Parallel()
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			st, ctx := audited(t, open(t, d.open(t))), t.Context()
			s, other := created(t, st, session("user")), created(t, st, session("user"))
			imp := created(t, st, dependent("user", created(t, st, session("boss"))))
			if _, err := st.Refresh(ctx, presentation(s.ID, 1, t0)); err != nil {
				t.Fatal(err)
			}
			if _, err := st.End(ctx, sessions.EndParams{ID: other.ID, Now: at(t0).Now}); err != nil {
				t.Fatal(err)
			}
			if list, err := st.EndMany(ctx, sessions.EndManyParams{
				UserID: "user", Now: at(t0).Now, Reason: sessions.EndRevoked, By: "user",
			}); err != nil || len(list) != 2 {
				t.Fatal(list, err)
			}
			// What is refused or finds nothing is no change.
			if err := st.Create(ctx, imp); !errors.Is(err, sessions.ErrConflict) {
				t.Errorf("create again: %v, want ErrConflict", err)
			}
			nobody := dependent("user", session("nobody"))
			if err := st.Create(ctx, nobody); !errors.Is(err, sessions.ErrNotFound) {
				t.Errorf("create behind nobody: %v, want ErrNotFound", err)
			}
			if _, err := st.Refresh(ctx, presentation(imp.ID, 1, t0)); !errors.Is(err, sessions.ErrNotFound) {
				t.Errorf("refresh what has ended: %v, want ErrNotFound", err)
			}
			if got, want := history(t, st, "user"), "ended created"; got != want {
				t.Errorf("the log has %q, want %q", got, want)
			}
		})
	}
}

func TestTheAuditLogIsListedByUserAndByActor(t *testing.T) {
	t.Parallel()
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			st, ctx := audited(t, open(t, d.open(t))), t.Context()
			var all []store.AuditEntry // newest first
			for i := range 24 {
				s := dependent(fmt.Sprint("user ", i%3), session(fmt.Sprint("actor ", i%2)))
				s.ParentSessionID, s.CreatedAt = "", t0.Add(time.Duration(i/6)*time.Microsecond) // six at each instant
				created(t, st, s)
				all = append([]store.AuditEntry{
					{SessionID: s.ID, UserID: s.UserID, Actor: s.Actor, At: s.CreatedAt},
				}, all...)
			}
			for _, q := range []store.AuditQuery{
				{UserID: "user 1"}, {Actor: "actor 0"}, {UserID: "user 2", Actor: "actor 1"}, {UserID: "USER 1"},
				{Actor: "user 1"}, {UserID: "a\x00"},
			} {
				want := slices.DeleteFunc(slices.Clone(all), func(e store.AuditEntry) bool {
					return q.UserID != "" && e.UserID != q.UserID || q.Actor != "" && e.Actor != q.Actor
				})
				for _, size := range []int{0, 1, 3, 100} {
					page := q
					page.Limit = size
					var got []store.AuditEntry
					for {
						entries, err := st.Audit(ctx, page)
						must(t, err)
						got = append(got, entries...)
						if size == 0 || len(entries) < size {
							break
						}
						last := entries[len(entries)-1]
						page.Before = &store.AuditPosition{At: last.At, ID: last.ID}
					}
					same := slices.EqualFunc(got, want, func(g, w store.AuditEntry) bool {
						return g.SessionID == w.SessionID && g.UserID == w.UserID && g.Actor == w.Actor &&
							g.At.Equal(w.At)
					})
					if !same {
						t.Errorf("%+v in pages of %d: got %+v\nwant %+v", q, size, got, want)
					}
				}
			}
			for _, q := range []store.AuditQuery{{}, {Limit: 1}, {UserID: "u", Before: &store.AuditPosition{ID: "x"}}} {
				if _, err := st.Audit(ctx, q); err == nil {
					t.Errorf("%+v: no error", q)
				}
			}
		})
	}
}

func TestManyEntriesAtOnce(t *testing.T) {
	t.Parallel()
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			db := open(t, d.open(t))
			st, ctx := audited(t, db), t.Context()
			rows := make([]store.Row, 1203)
			for i := range rows {
				rows[i] = store.Row{
					ID: newID(), UserID: "u", Impersonation: 1, LastUsedAt: t0.UnixMicro(),
					ExpiresAt: t0.Add(time.Hour).UnixMicro(), Current: 1,
				}
			}
			must(t, db.Table(store.DefaultTable).CreateInBatches(rows, 500).Error)
			if list, err := st.EndMany(ctx, sessions.EndManyParams{
				UserID: "u", Now: at(t0).Now, Reason: sessions.EndRevoked,
			}); err != nil || len(list) != len(rows) {
				t.Fatal(len(list), err)
			}
			entries, err := st.Audit(ctx, store.AuditQuery{UserID: "u"})
			must(t, err)
			seen := map[string]bool{}
			for _, e := range entries {
				seen[e.SessionID] = true
			}
			if len(entries) != len(rows) || len(seen) != len(rows) {
				t.Errorf("%d entries of %d sessions, want %d", len(entries), len(seen), len(rows))
			}
		})
	}
}

func TestRecordAddsWhatChangedNoRow(t *testing.T) {
	t.Parallel()
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			db := open(t, d.open(t))
			st, ctx := audited(t, db), t.Context()
			event := func(user string) sessions.Event {
				return sessions.Event{
					Type: sessions.EventImpersonationRefused, At: late.In(time.FixedZone("", 3600)), Refusal: "chained",
					Client: presenter,
					Session: sessions.Session{
						UserID: user, Impersonation: true, Actor: "actor", ParentSessionID: newID(), Reason: "because",
						CreatedBy: "key",
					},
				}
			}
			e := event("user")
			must(t, st.Record(ctx, e))
			got, err := st.Audit(ctx, store.AuditQuery{Actor: "actor"})
			must(t, err)
			want := store.AuditEntry{
				At: late, Type: sessions.EventImpersonationRefused, UserID: "user", Actor: "actor",
				ParentSessionID: e.Session.ParentSessionID, Reason: "because", By: "key", Client: presenter,
				Refusal: "chained",
			}
			if len(got) == 1 {
				want.ID = got[0].ID
			}
			if !slices.Equal(got, []store.AuditEntry{want}) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}

			// Nobody stays out of the log by what he sends.
			bad := event("a\x00b\xffc")
			bad.Session.ID, bad.Session.ParentSessionID, bad.Client.UserAgent = "no id", "'", "\xff"
			must(t, st.Record(ctx, bad))
			if got := history(t, st, "a\ufffdb\ufffdc"); got != "impersonation_refused" {
				t.Errorf("the log has %q of what cannot be stored", got)
			}

			must(t, db.Transaction(func(tx *gorm.DB) error { return st.In(tx).Record(ctx, event("joined")) }))
			if got := history(t, st, "joined"); got != "impersonation_refused" {
				t.Errorf("the log has %q after a commit", got)
			}
		})
	}
}

func TestWithoutAuditLogNothingIsLogged(t *testing.T) {
	t.Parallel()
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			db := open(t, d.open(t))
			st := migrated(t, db)
			created(t, st, dependent("u", created(t, st, session("actor"))))
			var entries int
			must(t, db.Raw(`SELECT count(*) FROM sessile_sessions_audit`).Scan(&entries).Error)
			if entries != 0 {
				t.Errorf("%d entries", entries)
			}
			if _, err := st.Audit(t.Context(), store.AuditQuery{UserID: "u"}); err == nil ||
				!strings.Contains(err.Error(), "Config.AuditLog") {
				t.Errorf("audit: %v", err)
			}
			if err := st.Record(t.Context(), sessions.Event{}); err == nil ||
				!strings.Contains(err.Error(), "Config.AuditLog") {
				t.Errorf("record: %v", err)
			}

			// It may come later, without a migration.
			later := newStore(t, db, store.Config{AuditLog: true})
			created(t, later, dependent("u", created(t, later, session("actor"))))
			if got, want := history(t, later, "u"), "created"; got != want {
				t.Errorf("the log has %q, want %q", got, want)
			}
		})
	}
}

// TestTheAuditLogIsOnlyAddedTo has the database refuse anything else.
func TestTheAuditLogIsOnlyAddedTo(t *testing.T) {
	t.Parallel()
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			db := open(t, d.open(t))
			st, ctx := audited(t, db), t.Context()
			guard := []string{
				`CREATE TRIGGER no_update BEFORE UPDATE ON sessile_sessions_audit BEGIN SELECT RAISE(ABORT, ` +
					`'update'); END`,
				`CREATE TRIGGER no_delete BEFORE DELETE ON sessile_sessions_audit BEGIN SELECT RAISE(ABORT, ` +
					`'delete'); END`,
			}
			if d.name == "postgres" {
				guard = []string{
					`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''only ` +
						`added to''; END'`,
					`CREATE TRIGGER guard BEFORE UPDATE OR DELETE OR TRUNCATE ON sessile_sessions_audit EXECUTE ` +
						`FUNCTION refuse()`,
				}
			}
			for _, ddl := range guard {
				must(t, db.Exec(ddl).Error)
			}
			life(t, st) // ends with a prune of all sessions
			must(t, st.Migrate(ctx))
			if got, want := history(t, st, "somebody"), "ended redeemed handed_off"; got != want {
				t.Errorf("the log has %q, want %q", got, want)
			}
		})
	}
}

func TestTheLongestNamesAreNotCut(t *testing.T) {
	t.Parallel()
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			db := open(t, d.open(t))
			name := strings.Repeat("n", 48)
			st := migratedAs(t, db, store.Config{Table: name, AuditLog: true})
			life(t, st)
			for _, ddl := range statements(t, st) {
				quoted, _, _ := strings.Cut(strings.TrimPrefix(ddl, `CREATE INDEX IF NOT EXISTS "`), `"`)
				if strings.HasPrefix(ddl, "CREATE INDEX") && len(quoted) > 63 {
					t.Errorf("%s has %d bytes, Postgres cuts at 63", quoted, len(quoted))
				}
			}
		})
	}
}
