package storetest

import (
	"fmt"
	"time"

	"github.com/sessile-go/sessile/sessions"
)

func pruneCases() []testCase {
	return []testCase{
		{
			name: "prune/what ended before",
			why: "a session with EndedAt before EndedBefore is deleted; at EndedBefore it stays, and so does one " +
				"that has not ended",
			run: func(k *kit) {
				early, exact, late, s := session(1, "alice"), session(2, "alice"), session(3, "bob"),
					session(4, "alice")
				k.create(early, exact, late, s)
				k.end(early, at(time.Hour-micro))
				k.end(exact, at(time.Hour))
				k.end(late, at(time.Hour+micro))
				p := sessions.PruneParams{EndedBefore: start.Add(time.Hour), Limit: 100}
				k.prune("once", p, 1)
				k.prune("again", p, 0)
				k.gone(early)
				k.holds(s, ended(exact, start.Add(time.Hour), sessions.EndRevoked, "admin"),
					ended(late, start.Add(time.Hour+micro), sessions.EndRevoked, "admin"))
			},
		},
		{
			name: "prune/what expired before",
			why:  "a session with ExpiresAt before ExpiredBefore is deleted; at ExpiredBefore it stays",
			run: func(k *kit) {
				early, exact, late := session(1, "alice"), session(2, "alice"), impersonation(3, "bob")
				early.ExpiresAt, exact.ExpiresAt, late.ExpiresAt = start.Add(day-micro), start.Add(day),
					start.Add(day+micro)
				k.create(early, exact, late)
				p := sessions.PruneParams{ExpiredBefore: start.Add(day), Limit: 100}
				k.prune("once", p, 1)
				k.prune("again", p, 0)
				k.gone(early)
				k.holds(exact, late)
			},
		},
		{
			name: "prune/what fell idle before",
			why:  "a session with LastUsedAt before IdleBefore is deleted; at IdleBefore it stays",
			run: func(k *kit) {
				early, exact, late, used := session(1, "alice"), created(session(2, "alice"), micro),
					created(impersonation(3, "bob"), 2*micro), session(4, "alice")
				k.create(early, exact, late, used)
				k.refresh(sessions.RefreshParams{ID: used.ID, Presented: 1, Rotation: unlimited, Moment: at(time.Hour)})
				used.LastUsedAt = start.Add(time.Hour)
				p := sessions.PruneParams{IdleBefore: start.Add(micro), Limit: 100}
				k.prune("once", p, 1)
				k.prune("again", p, 0)
				k.gone(early)
				k.holds(exact, late, used)
			},
		},
		{
			name: "prune/an idle session that others depend on",
			why: "a session last used before IdleBefore stays while it has a dependent that has not ended, since " +
				"that may be live",
			run: func(k *kit) {
				parent, alone, spent := session(1, "alice"), session(2, "alice"), session(3, "alice")
				s, marked, idle := created(dependent(4, "bob", parent), day), dependent(5, "bob", spent),
					dependent(6, "bob", parent)
				s.ExpiresAt, idle.LastUsedAt = start.Add(10*ttl), start
				k.create(parent, alone, spent, s, marked, idle)
				k.end(marked, at(time.Minute))
				p := sessions.PruneParams{IdleBefore: start.Add(time.Hour), Limit: 100}
				k.prune("what is idle", p, 3)
				k.prune("again", p, 0)
				k.gone(alone, spent, idle)
				k.holds(parent, s)
				now := sessions.Moment{Now: start.Add(ttl - micro), IdleCutoff: start.Add(day)}
				k.lists("afterwards", sessions.ListParams{UserID: "bob", Impersonations: true, Moment: now}, s)
				k.end(s, at(2*day))
				k.prune("after its end", p, 1)
				k.prune("what has ended", sessions.PruneParams{EndedBefore: start.Add(ttl), Limit: 100}, 2)
				k.gone(parent, marked, s)

				// A parent that has ended or expired is deleted, whatever depends on it.
				for i, p := range []sessions.PruneParams{
					{EndedBefore: start.Add(day), Limit: 100},
					{ExpiredBefore: start.Add(day), Limit: 100},
					{EndedBefore: start.Add(day), ExpiredBefore: start.Add(day),
						IdleBefore: start.Add(-day), Limit: 100},
				} {
					parent := session(100+10*i, "alice")
					parent.ExpiresAt = start.Add(time.Hour)
					s := dependent(101+10*i, "bob", parent)
					k.create(parent, s)
					if p.ExpiredBefore.IsZero() {
						k.end(parent, at(time.Minute))
					}
					k.prune(fmt.Sprint("what is over, ", i), p, 1)
					k.gone(parent)
					k.holds(s)
				}
			},
		},
		{
			name: "prune/no times, nothing to delete",
			why:  "a zero time selects nothing",
			run: func(k *kit) {
				over, old, s := session(1, "alice"), session(2, "alice"), session(3, "alice")
				old.ExpiresAt = start.Add(micro)
				k.create(over, old, s)
				k.end(over, at(0))
				k.prune("no times at all", sessions.PruneParams{Limit: 100}, 0)
				k.prune("times before everything", sessions.PruneParams{
					EndedBefore: start, ExpiredBefore: start, IdleBefore: start, Limit: 100,
				}, 0)
				k.holds(ended(over, start, sessions.EndRevoked, "admin"), old, s)
				k.prune("one time, two zero", sessions.PruneParams{EndedBefore: start.Add(day), Limit: 100}, 1)
				k.gone(over)
				k.holds(old, s)
				k.prune("another time", sessions.PruneParams{ExpiredBefore: start.Add(day), Limit: 100}, 1)
				k.gone(old)
				k.holds(s)
			},
		},
		{
			name: "prune/never a live one",
			why:  "Prune deletes what ended, expired or fell idle before its times, never a live session",
			run: func(k *kit) {
				var live []sessions.Session
				for i := range 10 {
					s := created(session(i, "alice"), time.Duration(i)*time.Second)
					if i%2 == 0 {
						s = created(impersonation(i, "alice"), time.Duration(i)*time.Second)
					}
					live = append(live, s)
					over, old := session(100+i, "alice"), session(200+i, "alice")
					old.ExpiresAt = start.Add(time.Minute)
					k.create(s, over, old)
					k.end(over, at(time.Minute))
				}
				p := sessions.PruneParams{
					EndedBefore: start.Add(time.Hour), ExpiredBefore: start.Add(time.Hour),
					IdleBefore: start.Add(-time.Hour), Limit: 1000,
				}
				k.prune("all that is over", p, 20)
				k.holds(live...)
				k.lists("afterwards", sessions.ListParams{UserID: "alice", Impersonations: true, Moment: at(time.Hour)},
					newestFirst(live)...)
			},
		},
		{
			name: "prune/limit",
			why:  "Prune deletes at most Limit sessions and returns how many; at least one, if there are any",
			run: func(k *kit) {
				const total = 11
				var all []sessions.Session
				for i := range total {
					s := session(i, "alice")
					s.ExpiresAt = start.Add(time.Duration(i+1) * micro)
					all = append(all, s)
				}
				k.create(all...)
				left := total
				for _, limit := range []int{1, 3, 3, 3, 3, 3} {
					n, err := k.store.Prune(k.ctx, sessions.PruneParams{ExpiredBefore: start.Add(day), Limit: limit})
					if err != nil {
						k.errorf("Prune: %w", err)
						return
					}
					if n > limit || (n == 0) != (left == 0) {
						k.errorf("Prune of %d sessions with limit %d: got %d", left, limit, n)
					}
					left -= n
					if still := k.count(all); still != left {
						k.errorf("Prune says that %d sessions are left, Get finds %d", left, still)
						return
					}
				}
			},
		},
		{
			name: "prune/an instant is the same in every zone",
			why:  "a time is an instant, in whatever zone it is written",
			run: func(k *kit) {
				for i, zone := range zones() {
					over, s := session(10*i, "alice"), session(10*i+1, "alice")
					k.create(over, s)
					k.end(over, at(time.Hour))
					p := sessions.PruneParams{
						EndedBefore:   start.Add(time.Hour).In(zone),
						ExpiredBefore: start.Add(ttl).In(zone),
						IdleBefore:    start.In(zone),
						Limit:         100,
					}
					k.prune("at its end, in "+zone.String(), p, 0)
					p.EndedBefore = start.Add(time.Hour + micro).In(zone)
					k.prune("after its end, in "+zone.String(), p, 1)
					k.gone(over)
					k.holds(s)
				}
			},
		},
		{
			name: "prune/a pruned id is free",
			why:  "nothing is left of a deleted session",
			run: func(k *kit) {
				s := session(1, "alice")
				k.create(s)
				for _, presented := range []int64{1, 2, 3} {
					k.refresh(sessions.RefreshParams{
						ID: s.ID, Presented: presented, Rotation: unlimited, Moment: at(0),
					})
				}
				k.end(s, at(0))
				k.prune("it", sessions.PruneParams{EndedBefore: start.Add(micro), Limit: 1}, 1)
				k.noRefresh("pruned", sessions.RefreshParams{
					ID: s.ID, Presented: 4, Rotation: unlimited, Moment: at(0),
				})
				k.create(s)
				k.rotates("created again", s, 1)
			},
		},
	}
}

// count returns how many of these sessions Get finds.
func (k *kit) count(all []sessions.Session) int {
	n := 0
	for _, s := range all {
		if _, err := k.store.Get(k.ctx, s.ID); err == nil {
			n++
		}
	}
	return n
}
