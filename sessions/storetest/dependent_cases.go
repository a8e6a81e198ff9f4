package storetest

import (
	"fmt"
	"time"

	"github.com/sessile-go/sessile/sessions"
)

// dependent returns an impersonation of a user that depends on a parent. By itself it would live longer than any moment
// of lives.
func dependent(n int, user string, parent sessions.Session) sessions.Session {
	s := impersonation(n, user)
	s.Actor, s.ParentSessionID = parent.UserID, parent.ID
	s.LastUsedAt, s.ExpiresAt = start.Add(ttl), start.Add(3*ttl)
	return s
}

// overs returns the ways in which a parent ends or expires.
func overs() []struct {
	name   string
	happen func(k *kit, parent sessions.Session)
	// moment is one at which the parent is over.
	moment sessions.Moment
} {
	type way = struct {
		name   string
		happen func(k *kit, parent sessions.Session)
		moment sessions.Moment
	}
	return []way{
		{"ended", func(k *kit, parent sessions.Session) { k.end(parent, at(time.Minute)) }, at(time.Hour)},
		{"ended by a clock that is ahead", func(k *kit, parent sessions.Session) { k.end(parent, at(2*time.Hour)) },
			at(time.Hour)},
		{"ended together with others", func(k *kit, parent sessions.Session) {
			k.endMany("of the parent's user", sessions.EndManyParams{
				UserID: parent.UserID, Now: at(time.Minute).Now, Reason: sessions.EndRevoked,
			}, parent)
		}, at(time.Hour)},
		{"replayed", func(k *kit, parent sessions.Session) {
			for _, want := range []sessions.Outcome{rotated, replay} {
				got := k.refresh(sessions.RefreshParams{
					ID: parent.ID, Presented: 1, Rotation: strict, Moment: at(time.Minute),
				})
				if got.Outcome != want {
					k.errorf("the refresh of the parent: outcome is %d, want %d", got.Outcome, want)
				}
			}
		}, at(time.Hour)},
		{"expired", func(*kit, sessions.Session) {}, at(ttl)},
		{"pruned", func(k *kit, parent sessions.Session) {
			k.end(parent, at(-time.Minute)) // before all others
			k.prune("of the parent's user", sessions.PruneParams{EndedBefore: start, Limit: 1}, 1)
		}, at(time.Hour)},
	}
}

// derived returns a case about one method that uses a dependent. While the parent has neither ended
// nor expired, idle or not, the method works. Afterwards it does not find the dependent, which
// stays as it is.
func derived(method string, try func(k *kit, what string, s sessions.Session, m sessions.Moment, live bool)) testCase {
	return testCase{
		name: "dependents/" + method + " judges the parent too",
		why: "a session with a ParentSessionID is live only while its parent has neither ended nor expired, " +
			"idle or not",
		run: func(k *kit) {
			for i, over := range overs() {
				parent := session(1000+10*i, "actor "+over.name)
				s, plain := dependent(1001+10*i, "user "+over.name, parent),
					dependent(1002+10*i, "else "+over.name, parent)
				s.HandoffHash, s.HandoffExpiresAt = hash(1001+10*i), s.ExpiresAt
				plain.ParentSessionID = "" // a session without a parent does not depend on one
				k.create(parent, s, plain)
				over.happen(k, parent)
				try(k, "parent "+over.name, s, over.moment, false)
				k.holds(s)
				k.lists("of a session without a parent",
					sessions.ListParams{UserID: plain.UserID, Impersonations: true, Moment: over.moment}, plain)
			}
			for _, c := range lives() {
				parent := session(10*c.n, "actor "+c.name)
				s := dependent(10*c.n+1, "user "+c.name, parent)
				s.HandoffHash, s.HandoffExpiresAt = hash(10*c.n+1), s.ExpiresAt
				k.create(parent, s)
				try(k, "parent "+c.name, s, c.moment, !c.over())
				if c.over() {
					k.holds(s)
				}
				k.holds(parent)
			}
		},
	}
}

func dependentCases() []testCase {
	return []testCase{
		{
			name: "create/with a live parent",
			why: "if ParentSessionID is set, the parent must be a session of the user Actor that has not ended and " +
				"expires after CreatedAt",
			run: func(k *kit) {
				parent, idle, last := session(1, "alice"), session(2, "alice"), session(3, "alice")
				idle.LastUsedAt = start.Add(-ttl) // idle or not does not matter here
				last.ExpiresAt = start.Add(micro)
				k.create(parent, idle, last)
				for i, a := range []sessions.Session{parent, parent, idle, last} {
					s := dependent(10+i, "bob", a)
					k.create(s)
					k.holds(s)
					k.rotates("with a parent", s, 1)
				}
				k.holds(parent, idle, last)
			},
		},
		{
			name: "create/with a parent that is over",
			why: "ErrNotFound, and nothing is added, if the parent has ended, expires at CreatedAt or before, or " +
				"does not exist",
			run: func(k *kit) {
				over, late, later := session(1, "alice"), session(2, "alice"), session(3, "alice")
				late.CreatedAt, late.ExpiresAt = start.Add(-time.Hour), start
				later.CreatedAt, later.ExpiresAt = start.Add(-time.Hour), start.Add(-micro)
				k.create(over, late, later)
				k.end(over, at(time.Hour)) // by a clock that is ahead
				for i, a := range []sessions.Session{over, late, later, session(999, "alice")} {
					s := dependent(10+i, "bob", a)
					k.refused("Create with parent "+a.ID, k.store.Create(k.ctx, s), sessions.ErrNotFound)
					k.gone(s)
				}
			},
		},
		{
			name: "create/with a parent of somebody else",
			why:  "the parent must be a session of the user s.Actor, compared byte by byte",
			run: func(k *kit) {
				parent := session(1, "alice")
				k.create(parent, session(2, "bob"))
				for i, who := range []string{"bob", "Alice", "alic", "alice ", "alice%", "%", "", parent.CreatedBy} {
					s := dependent(10+i, "bob", parent)
					s.Actor = who
					k.refused("Create by "+who, k.store.Create(k.ctx, s), sessions.ErrNotFound)
					k.gone(s)
				}
			},
		},
		{
			name: "create/with an impersonation as parent",
			why:  "the parent is not an impersonation: nobody impersonates from an impersonation",
			run: func(k *kit) {
				parent := session(1, "alice")
				first, second := dependent(2, "bob", parent), impersonation(3, "bob")
				k.create(parent, first, second)
				for i, a := range []sessions.Session{first, second} {
					s := dependent(10+i, "carol", a)
					k.refused("Create with an impersonation as parent", k.store.Create(k.ctx, s), sessions.ErrNotFound)
					k.gone(s)
				}
			},
		},
		{
			name: "create/a taken id with a parent",
			why:  "ErrConflict: the id exists; not ErrNotFound, which means that the parent is over",
			run: func(k *kit) {
				parent, first := session(1, "alice"), session(2, "bob")
				k.create(parent, first)
				k.refused("Create", k.store.Create(k.ctx, dependent(2, "bob", parent)), sessions.ErrConflict)
				k.refused("Create with the id of the parent", k.store.Create(k.ctx, dependent(1, "bob", parent)),
					sessions.ErrConflict)
				k.holds(parent, first)
			},
		},

		derived("refresh", func(k *kit, what string, s sessions.Session, m sessions.Moment, live bool) {
			p := sessions.RefreshParams{
				ID: s.ID, Presented: 1, Rotation: unlimited, Moment: m, ImpersonationMargin: time.Hour,
				Client: sessions.Client{IP: "198.51.100.1"},
			}
			if !live {
				k.noRefresh(what, p)
				p.Rotation, p.Presented = strict, 0
				k.noRefresh(what+", with a spent token", p)
				return
			}
			if got := k.refresh(p); got.Outcome != rotated {
				k.errorf("Refresh, %s: outcome is %d, want a rotation", what, got.Outcome)
			}
		}),
		derived("list", func(k *kit, what string, s sessions.Session, m sessions.Moment, live bool) {
			var want []sessions.Session
			if live {
				want = append(want, s)
			}
			p := sessions.ListParams{UserID: s.UserID, Impersonations: true, Moment: m}
			k.lists(what, p, want...)
			p.OnlyID = s.ID
			k.lists(what+", by id", p, want...)
			p = sessions.ListParams{
				UserID: s.UserID, Impersonations: true, Moment: m, Limit: 1,
				After: &sessions.ListPosition{CreatedAt: start.Add(day), ID: id(0)},
			}
			k.lists(what+", a page", p, want...)
		}),
		derived("redeem", func(k *kit, what string, s sessions.Session, m sessions.Moment, live bool) {
			p := sessions.RedeemParams{
				ID: s.ID, Hash: s.HandoffHash, Moment: m, Client: sessions.Client{IP: "198.51.100.1"},
			}
			if !live {
				k.noRedeem(what, p)
				return
			}
			if _, err := k.store.Redeem(k.ctx, p); err != nil {
				k.errorf("Redeem, %s: %w", what, err)
			}
		}),
		{
			name: "dependents/can be ended after their parent",
			why: "End and EndMany look at the row alone: a dependent that is not marked yet could otherwise only " +
				"expire",
			run: func(k *kit) {
				for i, over := range overs() {
					parent := session(1000+10*i, "actor "+over.name)
					one, two := dependent(1001+10*i, "user "+over.name, parent),
						dependent(1002+10*i, "user "+over.name, parent)
					k.create(parent, one, two)
					over.happen(k, parent)
					k.end(one, over.moment)
					p := sessions.EndManyParams{
						UserID: two.UserID, Now: over.moment.Now, Reason: sessions.EndRevoked, By: "admin",
					}
					k.endMany("parent "+over.name, p, two)
					k.endMany("again", p)
				}
			},
		},
		{
			name: "dependents/end with an idle parent",
			why: "an idle session is not live, but its dependents may be: so it can be ended, alone and together " +
				"with others",
			run: func(k *kit) {
				idle := sessions.Moment{Now: start.Add(day), IdleCutoff: start}
				for i, end := range []func(parent sessions.Session){
					func(parent sessions.Session) { k.end(parent, idle) },
					func(parent sessions.Session) {
						k.endMany("of the actor", sessions.EndManyParams{
							UserID: parent.UserID, Now: idle.Now, Reason: sessions.EndRevoked, By: "admin",
						}, parent)
					},
				} {
					parent := session(10*i, fmt.Sprint("actor ", i))
					s := dependent(10*i+1, fmt.Sprint("user ", i), parent)
					k.create(parent, s)
					list := sessions.ListParams{UserID: s.UserID, Impersonations: true, Moment: idle}
					k.lists("before the end", list, s)
					end(parent)
					k.lists("after the end", list)
					k.noRefresh("after the end", sessions.RefreshParams{
						ID: s.ID, Presented: 1, Rotation: unlimited, Moment: idle,
					})
					p := sessions.EndDependentsParams{
						ParentSessionIDs: []string{parent.ID}, Now: idle.Now,
						Reason: sessions.EndParentEnded, By: "admin",
					}
					k.endDependents("of the idle session", p, s)
				}
			},
		},
		{
			name: "dependents/their use is no use of the parent",
			why:  "nothing that happens to an impersonation changes its parent, nor the user's other sessions",
			run: func(k *kit) {
				parent, plain := session(1, "alice"), session(2, "bob")
				s := dependent(3, "bob", parent)
				s.HandoffHash, s.HandoffExpiresAt = hash(3), start.Add(time.Hour)
				k.create(parent, plain, s)
				k.refresh(sessions.RefreshParams{ID: s.ID, Presented: 1, Rotation: unlimited, Moment: at(time.Minute)})
				for range 2 { // a replay, which ends it
					if _, err := k.store.Redeem(k.ctx, sessions.RedeemParams{
						ID: s.ID, Hash: s.HandoffHash, Moment: at(time.Minute),
					}); err != nil {
						k.errorf("Redeem: %w", err)
					}
				}
				k.holds(parent, plain)
				k.rotates("the parent", parent, 1)
				k.rotates("the user's", plain, 1)
			},
		},
		{
			name: "end many/a parent and its dependent",
			why:  "EndMany looks at each row alone: the end of a parent does not spare its dependents",
			run: func(k *kit) {
				for i := range 8 {
					// The ids in both orders, since some database goes by them.
					n, m := 2*i, 2*i+1
					if i%2 == 1 {
						n, m = m, n
					}
					parent := session(n, "alice")
					s := dependent(m, "alice", parent)
					k.create(parent, s)
					k.endMany("both", sessions.EndManyParams{
						UserID: "alice", Now: at(time.Hour).Now, Reason: sessions.EndRevoked,
					}, parent, s)
				}
			},
		},
		{
			name: "end dependents/marks them and returns them",
			why: "EndDependents marks the dependents of p.ParentSessionIDs and returns them as they are then, or an " +
				"empty list",
			run: func(k *kit) {
				parent, another, plain := session(1, "alice"), session(2, "alice"), session(3, "bob")
				one, two, other := dependent(4, "bob", parent), dependent(5, "carol", parent),
					dependent(6, "bob", another)
				k.create(parent, another, plain, one, two, other)
				k.end(parent, at(time.Minute))

				p := sessions.EndDependentsParams{
					ParentSessionIDs: []string{parent.ID}, Now: start.Add(time.Hour), Reason: sessions.EndParentEnded,
					By: "alice's",
				}
				k.endDependents("all", p, one, two)
				k.endDependents("again", p)
				k.holds(ended(parent, start.Add(time.Minute), sessions.EndRevoked, "admin"), another, plain, other)
				for _, nobody := range []string{id(999), other.ID, plain.ID} {
					p.ParentSessionIDs = []string{nobody}
					k.endDependents("of "+nobody, p)
				}
				k.holds(another, plain, other)
			},
		},
		{
			name: "end dependents/of many parents",
			why: "EndDependents marks the dependents of all p.ParentSessionIDs, each once, however many ids there " +
				"are; without ids it marks nothing",
			run: func(k *kit) {
				const many = 3000 // more than one statement of some databases has arguments for
				p := sessions.EndDependentsParams{
					Now: start.Add(time.Hour), Reason: sessions.EndParentEnded, By: "alice's",
				}
				var want []sessions.Session
				plain := session(1, "bob")
				k.create(plain)
				for i := range many {
					p.ParentSessionIDs = append(p.ParentSessionIDs, id(100_000+i))
					if i%1000 == 1 || i == many-1 {
						parent := session(100_000+i, "alice")
						one, two := dependent(200_000+2*i, "bob", parent), dependent(200_001+2*i, "carol", parent)
						k.create(parent, one, two)
						want = append(want, one, two)
					}
				}
				another := session(2, "alice")
				other := dependent(3, "bob", another)
				k.create(another, other)
				p.ParentSessionIDs = append(p.ParentSessionIDs, p.ParentSessionIDs[1], "", "no id", "%",
					plain.ID, other.ID)

				none := p
				for _, ids := range [][]string{nil, {}, {""}, {"no id"}, {id(999), id(998)}} {
					none.ParentSessionIDs = ids
					k.endDependents(fmt.Sprintf("of %q", ids), none)
				}
				k.endDependents("of all", p, want...)
				k.endDependents("again", p)
				k.holds(plain, another, other)
			},
		},
		{
			name: "end dependents/whether the parent is live or not",
			why:  "EndDependents judges the dependents alone, whether the parent is live or not",
			run: func(k *kit) {
				live := session(1, "alice")
				s := dependent(2, "bob", live)
				k.create(live, s)
				p := sessions.EndDependentsParams{
					ParentSessionIDs: []string{live.ID}, Now: start.Add(time.Hour), Reason: sessions.EndNotAllowed,
				}
				k.endDependents("of a live session", p, s)
				k.holds(live)

				for i, over := range overs() {
					parent := session(10*i+10, "actor "+over.name)
					s := dependent(10*i+11, "bob", parent)
					k.create(parent, s)
					over.happen(k, parent)
					p.ParentSessionIDs, p.Now = []string{parent.ID}, over.moment.Now
					k.endDependents("of a session "+over.name, p, s)
				}
			},
		},
		{
			name: "end dependents/not those that are over by themselves",
			why:  "a dependent that has ended or expired by itself keeps that end; an idle one is marked",
			run: func(k *kit) {
				parent := session(1, "alice")
				over, late, last, idle := dependent(2, "bob", parent), dependent(3, "bob", parent),
					dependent(4, "bob", parent),
					dependent(5, "bob", parent)
				late.ExpiresAt, last.ExpiresAt = start.Add(ttl), start.Add(ttl+micro)
				idle.LastUsedAt = start
				k.create(parent, over, late, last, idle)
				k.end(over, at(time.Minute))
				p := sessions.EndDependentsParams{
					ParentSessionIDs: []string{parent.ID}, Now: start.Add(ttl), Reason: sessions.EndParentEnded,
				}
				k.endDependents("at the expiry of one", p, last, idle)
				k.holds(ended(over, start.Add(time.Minute), sessions.EndRevoked, "admin"), late)
			},
		},
		{
			name: "end dependents/an instant is the same in every zone",
			why:  "a moment is an instant, in whatever zone it is written; EndedAt goes out in UTC",
			run: func(k *kit) {
				for i, zone := range zones() {
					parent := session(10*i, "alice")
					s := dependent(10*i+1, "bob", parent)
					k.create(parent, s)
					p := sessions.EndDependentsParams{
						ParentSessionIDs: []string{parent.ID},
						Now:              s.ExpiresAt.In(zone), Reason: sessions.EndParentEnded,
					}
					k.endDependents("expired in "+zone.String(), p)
					p.Now = s.ExpiresAt.Add(-micro).In(zone)
					k.endDependents("in "+zone.String(), p, s)
				}
			},
		},
	}
}

// endDependents checks that EndDependents ends exactly these sessions, in any
// order.
func (k *kit) endDependents(what string, p sessions.EndDependentsParams, want ...sessions.Session) {
	got, err := k.store.EndDependents(k.ctx, p)
	if err != nil {
		k.errorf("EndDependents, %s: %w", what, err)
		return
	}
	k.endedAll("EndDependents, "+what, got, want, p.Now, p.Reason, p.By)
}
