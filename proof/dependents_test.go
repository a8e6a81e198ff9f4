package proof_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
	"pgregory.net/rapid"
)

// A family is a store under random calls about impersonations, and a model of it in pure
// values. The rule is that being idle is each session's own affair: an impersonation
// lives while its own row does and its parent has neither ended nor expired;
// ending looks at the row alone; and a prune leaves no live impersonation without the
// session that it depends on.
type family struct {
	store sessions.Store
	ctx   context.Context
	users []string
	now   time.Time
	rows  map[string]sessions.Session
	count map[string]int64 // the current refresh token
	log   []string
}

const familyIdle, familyLife = 10 * time.Minute, 40 * time.Minute

func (f *family) moment() sessions.Moment {
	return sessions.Moment{Now: f.now, IdleCutoff: f.now.Add(-familyIdle)}
}

func familyOver(s sessions.Session, now time.Time) bool {
	return !s.Live(sessions.Moment{Now: now})
}

// live is the rule.
func (f *family) live(s sessions.Session) bool {
	if s.ParentSessionID != "" {
		if actor, there := f.rows[s.ParentSessionID]; !there || familyOver(actor, f.now) {
			return false
		}
	}
	return s.Live(f.moment())
}

// pick is one of the sessions of the run, or one that is not there.
func (f *family) pick(t *rapid.T) sessions.Session {
	ids := append(slices.Sorted(maps.Keys(f.rows)), uuid.Must(uuid.NewV7()).String())
	id := rapid.SampledFrom(ids).Draw(t, "session")
	if s, there := f.rows[id]; there {
		return s
	}
	return sessions.Session{ID: id}
}

func (f *family) end(s sessions.Session, reason sessions.EndReason) sessions.Session {
	s.EndedAt, s.EndReason, s.EndedBy = f.now, reason, "admin"
	f.rows[s.ID] = s
	return s
}

// verdict is an error as a caller distinguishes it from others.
func verdict(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, sessions.ErrNotFound):
		return "not found"
	default:
		return err.Error()
	}
}

func (f *family) same(what string, got, want any) error {
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		return fmt.Errorf("%s: got %s\nwant %s\nafter %s", what, g, w, strings.Join(f.log, "; "))
	}
	return nil
}

func byID(list []sessions.Session) []sessions.Session {
	return slices.SortedFunc(slices.Values(list), func(a, b sessions.Session) int { return cmp.Compare(a.ID, b.ID) })
}

// doomed are the sessions of the model that an end of several takes.
func (f *family) doomed(reason sessions.EndReason, is func(sessions.Session) bool) []sessions.Session {
	var all []sessions.Session
	for _, id := range slices.Sorted(maps.Keys(f.rows)) {
		if s := f.rows[id]; is(s) && !familyOver(s, f.now) {
			all = append(all, f.end(s, reason))
		}
	}
	return all
}

// step is one call, and what the model makes of it.
func (f *family) step(t *rapid.T) error {
	what := rapid.SampledFrom([]string{
		"sign in", "impersonate", "impersonate", "pass", "pass", "refresh", "refresh", "refresh", "end", "end many",
		"end dependents", "prune",
	}).Draw(t, "call")
	f.log = append(f.log, what)
	switch what {
	case "pass":
		f.now = f.now.Add(time.Duration(rapid.IntRange(1, 9).Draw(t, "minutes")) * time.Minute)
	case "sign in", "impersonate":
		s := sessions.Session{
			ID: uuid.Must(uuid.NewV7()).String(), UserID: rapid.SampledFrom(f.users).Draw(t, "user"), CreatedAt: f.now,
			LastUsedAt: f.now, ExpiresAt: f.now.Add(familyLife),
		}
		want := "ok"
		if what == "impersonate" {
			actor := f.pick(t)
			s.Impersonation, s.ParentSessionID, s.Actor = true, actor.ID, cmp.Or(actor.UserID, "nobody")
			if actor.UserID == "" || actor.Impersonation || familyOver(actor, f.now) {
				want = "not found"
			}
		}
		err := f.store.Create(f.ctx, s)
		if want == "ok" {
			f.rows[s.ID], f.count[s.ID] = s, 1
		}
		return f.same(what, verdict(err), want)
	case "refresh":
		s, want := f.pick(t), "not found"
		p := sessions.RefreshParams{
			ID: s.ID, Presented: f.count[s.ID], Rotation: sessions.Rotation{Overlap: time.Minute}, Moment: f.moment(),
		}
		if s.UserID != "" && f.live(s) {
			want = "ok"
			s.LastUsedAt = f.now
			f.rows[s.ID] = s
			f.count[s.ID]++
		}
		got, err := f.store.Refresh(f.ctx, p)
		if want != "ok" {
			s = sessions.Session{}
		}
		return errors.Join(f.same(what, verdict(err), want), f.same(what, got.Session, s))
	case "end":
		s, want := f.pick(t), "not found"
		p := sessions.EndParams{ID: s.ID, Now: f.now, Reason: sessions.EndRevoked, By: "admin"}
		if s.UserID != "" && !familyOver(s, f.now) {
			want, s = "ok", f.end(s, sessions.EndRevoked)
		} else {
			s = sessions.Session{}
		}
		got, err := f.store.End(f.ctx, p)
		return errors.Join(f.same(what, verdict(err), want), f.same(what, got, s))
	case "end many":
		user := rapid.SampledFrom(f.users).Draw(t, "user")
		want := f.doomed(sessions.EndRevoked, func(s sessions.Session) bool { return s.UserID == user })
		got, err := f.store.EndMany(f.ctx, sessions.EndManyParams{
			UserID: user, Now: f.now, Reason: sessions.EndRevoked, By: "admin",
		})
		return errors.Join(f.same(what, verdict(err), "ok"), f.same(what, byID(got), want))
	case "end dependents":
		ids := []string{f.pick(t).ID, f.pick(t).ID}
		want := f.doomed(sessions.EndParentEnded, func(s sessions.Session) bool {
			return slices.Contains(ids, s.ParentSessionID)
		})
		got, err := f.store.EndDependents(f.ctx, sessions.EndDependentsParams{
			ParentSessionIDs: ids, Now: f.now, Reason: sessions.EndParentEnded, By: "admin",
		})
		return errors.Join(f.same(what, verdict(err), "ok"), f.same(what, byID(got), want))
	case "prune":
		live := f.alive()
		p := sessions.PruneParams{
			EndedBefore: f.now, ExpiredBefore: f.now, IdleBefore: f.now.Add(-familyIdle), Limit: 1000,
		}
		gone := maps.Clone(f.rows)
		maps.DeleteFunc(gone, func(id string, s sessions.Session) bool {
			needed := false
			for _, d := range f.rows {
				needed = needed || d.ParentSessionID == id && d.EndedAt.IsZero()
			}
			ended := !s.EndedAt.IsZero() && s.EndedAt.Before(p.EndedBefore)
			return !ended && !s.ExpiresAt.Before(p.ExpiredBefore) && (needed || !s.LastUsedAt.Before(p.IdleBefore))
		})
		n, err := f.store.Prune(f.ctx, p)
		for id := range gone {
			delete(f.rows, id)
		}
		return errors.Join(f.same(what, verdict(err), "ok"), f.same(what, n, len(gone)),
			f.same("what is live, by the model", f.alive(), live))
	}
	return nil
}

// alive are the live sessions of the model.
func (f *family) alive() []sessions.Session {
	var all []sessions.Session
	for _, id := range slices.Sorted(maps.Keys(f.rows)) {
		if s := f.rows[id]; f.live(s) {
			all = append(all, s)
		}
	}
	return all
}

// look holds all lists against the model.
func (f *family) look() error {
	var got []sessions.Session
	for _, user := range f.users {
		list, err := f.store.List(f.ctx, sessions.ListParams{UserID: user, Impersonations: true, Moment: f.moment()})
		if err != nil {
			return err
		}
		got = append(got, list...)
	}
	return f.same("lists", byID(got), f.alive())
}

// familyRun is one random run; the store begins empty.
func familyRun(ctx context.Context, t *rapid.T, st sessions.Store) error {
	everything := time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
	for {
		n, err := st.Prune(ctx, sessions.PruneParams{EndedBefore: everything, ExpiredBefore: everything, Limit: 1000})
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
	}
	f := &family{
		store: st, ctx: ctx, users: []string{"alice", "bob", "root"}, now: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC),
		rows: make(map[string]sessions.Session), count: make(map[string]int64),
	}
	for range rapid.IntRange(10, 40).Draw(t, "calls") {
		if err := errors.Join(f.step(t), f.look()); err != nil {
			return err
		}
	}
	return nil
}

func TestImpersonationsLiveAsTheModelSays(t *testing.T) {
	t.Parallel()
	for _, s := range openStores {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			st := s.open(t).handle(t)
			rapid.Check(t, func(rt *rapid.T) {
				if err := familyRun(t.Context(), rt, st); err != nil {
					rt.Fatal(err)
				}
			})
		})
	}
}

// brokenFamily replaces methods of a store.
type brokenFamily struct {
	sessions.Store
	refresh func(context.Context, sessions.RefreshParams) (sessions.RefreshResult, error)
	list    func(context.Context, sessions.ListParams) ([]sessions.Session, error)
	end     func(context.Context, sessions.EndParams) (sessions.Session, error)
	prune   func(context.Context, sessions.PruneParams) (int, error)
}

func (b *brokenFamily) Refresh(ctx context.Context, p sessions.RefreshParams) (sessions.RefreshResult, error) {
	if b.refresh != nil {
		return b.refresh(ctx, p)
	}
	return b.Store.Refresh(ctx, p)
}

func (b *brokenFamily) List(ctx context.Context, p sessions.ListParams) ([]sessions.Session, error) {
	if b.list != nil {
		return b.list(ctx, p)
	}
	return b.Store.List(ctx, p)
}

func (b *brokenFamily) End(ctx context.Context, p sessions.EndParams) (sessions.Session, error) {
	if b.end != nil {
		return b.end(ctx, p)
	}
	return b.Store.End(ctx, p)
}

func (b *brokenFamily) Prune(ctx context.Context, p sessions.PruneParams) (int, error) {
	if b.prune != nil {
		return b.prune(ctx, p)
	}
	return b.Store.Prune(ctx, p)
}

// TestTheModelOfImpersonationsNoticesABrokenRule breaks the rule in each of its parts.
func TestTheModelOfImpersonationsNoticesABrokenRule(t *testing.T) {
	t.Parallel()
	idle := func(ctx context.Context, st sessions.Store, id string, m sessions.Moment) bool {
		s, err := st.Get(ctx, id)
		return err == nil && !s.Live(m) && s.Live(sessions.Moment{Now: m.Now})
	}
	for name, breakIt := range map[string]func(b *brokenFamily, st sessions.Store){
		"no refresh while the actor is idle": func(b *brokenFamily, st sessions.Store) {
			b.refresh = func(ctx context.Context, p sessions.RefreshParams) (sessions.RefreshResult, error) {
				if s, err := st.Get(ctx, p.ID); err == nil && s.ParentSessionID != "" &&
					idle(ctx, st, s.ParentSessionID, p.Moment) {
					return sessions.RefreshResult{}, sessions.ErrNotFound
				}
				return st.Refresh(ctx, p)
			}
		},
		"no list of it while the actor is idle": func(b *brokenFamily, st sessions.Store) {
			b.list = func(ctx context.Context, p sessions.ListParams) ([]sessions.Session, error) {
				list, err := st.List(ctx, p)
				return slices.DeleteFunc(list, func(s sessions.Session) bool {
					return s.ParentSessionID != "" && idle(ctx, st, s.ParentSessionID, p.Moment)
				}), err
			}
		},
		"no end of what is idle": func(b *brokenFamily, st sessions.Store) {
			b.end = func(ctx context.Context, p sessions.EndParams) (sessions.Session, error) {
				if idle(ctx, st, p.ID, sessions.Moment{Now: p.Now, IdleCutoff: p.Now.Add(-familyIdle)}) {
					return sessions.Session{}, sessions.ErrNotFound
				}
				return st.End(ctx, p)
			}
		},
		"no end of what depends on a session that is over": func(b *brokenFamily, st sessions.Store) {
			b.end = func(ctx context.Context, p sessions.EndParams) (sessions.Session, error) {
				if s, err := st.Get(ctx, p.ID); err == nil && s.ParentSessionID != "" {
					if actor, err := st.Get(ctx, s.ParentSessionID); err != nil || familyOver(actor, p.Now) {
						return sessions.Session{}, sessions.ErrNotFound
					}
				}
				return st.End(ctx, p)
			}
		},
		"a prune of whatever is idle": func(b *brokenFamily, st sessions.Store) {
			b.prune = func(ctx context.Context, p sessions.PruneParams) (int, error) {
				n, err := st.Prune(ctx, p)
				if err != nil || p.IdleBefore.IsZero() {
					return n, err
				}
				// What is idle for the whole of it goes, needed or not.
				for _, user := range []string{"alice", "bob", "root"} {
					list, listErr := st.List(ctx, sessions.ListParams{
						UserID: user, Moment: sessions.Moment{Now: p.ExpiredBefore},
					})
					if listErr != nil {
						return n, listErr
					}
					for _, s := range list {
						if s.LastUsedAt.Before(p.IdleBefore) {
							if _, err := st.End(ctx, sessions.EndParams{
								ID: s.ID, Now: p.EndedBefore.Add(-time.Hour),
							}); err == nil {
								n++
							}
						}
					}
				}
				_, err = st.Prune(ctx, sessions.PruneParams{EndedBefore: p.EndedBefore, Limit: p.Limit})
				return n, err
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const tries = 300
			for seed := range tries {
				st := &brokenFamily{Store: sessionstest.NewStore()}
				breakIt(st, st.Store)
				run := rapid.Custom(func(rt *rapid.T) error { return familyRun(t.Context(), rt, st) })
				if err := run.Example(seed); err != nil {
					return
				}
			}
			t.Errorf("%d runs passed", tries)
		})
	}
}
