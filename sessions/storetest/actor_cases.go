package storetest

import (
	"fmt"
	"time"

	"github.com/sessile-go/sessile/sessions"
)

// behind returns an impersonation of a user that depends on the session of an actor.
// Alone it would live for longer than any of lives looks.
func behind(n int, user string, actor sessions.Session) sessions.Session {
	s := impersonation(n, user)
	s.Actor, s.ParentSessionID = actor.UserID, actor.ID
	s.LastUsedAt, s.ExpiresAt = start.Add(ttl), start.Add(3*ttl)
	return s
}

// overs are the ways in which an actor's session comes to be over.
func overs() []struct {
	name   string
	happen func(k *kit, actor sessions.Session)
	// moment is one at which it is over.
	moment sessions.Moment
} {
	type way = struct {
		name   string
		happen func(k *kit, actor sessions.Session)
		moment sessions.Moment
	}
	return []way{
		{"ended", func(k *kit, actor sessions.Session) { k.end(actor, at(time.Minute)) }, at(time.Hour)},
		{"ended by a clock that is ahead", func(k *kit, actor sessions.Session) { k.end(actor, at(2*time.Hour)) },
			at(time.Hour)},
		{"ended together with others", func(k *kit, actor sessions.Session) {
			k.endMany("the actor's", sessions.EndManyParams{
				UserID: actor.UserID, Now: at(time.Minute).Now, Reason: sessions.EndRevoked,
			}, actor)
		}, at(time.Hour)},
		{"replayed", func(k *kit, actor sessions.Session) {
			for _, want := range []sessions.Outcome{rotated, replay} {
				got := k.refresh(sessions.RefreshParams{
					ID: actor.ID, Presented: 1, Rotation: strict, Moment: at(time.Minute),
				})
				if got.Outcome != want {
					k.errorf("the actor's refresh: outcome is %d, want %d", got.Outcome, want)
				}
			}
		}, at(time.Hour)},
		{"expired", func(*kit, sessions.Session) {}, at(ttl)},
		{"pruned", func(k *kit, actor sessions.Session) {
			k.end(actor, at(-time.Minute)) // before all others
			k.prune("the actor's", sessions.PruneParams{EndedBefore: start, Limit: 1}, 1)
		}, at(time.Hour)},
	}
}

// derived is a case about one method that uses a session which depends on an actor's:
// at a moment at which that one has neither ended nor expired it works, idle or not;
// at one at which it has, the session is not found and stays as it is.
func derived(method string, try func(k *kit, what string, s sessions.Session, m sessions.Moment, live bool)) testCase {
	return testCase{
		name: "actor/" + method + " judges the actor's session too",
		why: "a session with an ParentSessionID is live only while the session of that id has neither ended nor " +
			"expired, idle or not",
		run: func(k *kit) {
			for i, over := range overs() {
				actor := session(1000+10*i, "actor "+over.name)
				s, plain := behind(1001+10*i, "user "+over.name, actor), behind(1002+10*i, "else "+over.name, actor)
				s.HandoffHash, s.HandoffExpiresAt = hash(1001+10*i), s.ExpiresAt
				plain.ParentSessionID = "" // a session that nothing stands behind does not care
				k.create(actor, s, plain)
				over.happen(k, actor)
				try(k, "actor's session "+over.name, s, over.moment, false)
				k.holds(s)
				k.lists("of a session that nothing stands behind",
					sessions.ListParams{UserID: plain.UserID, Impersonations: true, Moment: over.moment}, plain)
			}
			for _, c := range lives() {
				actor := session(10*c.n, "actor "+c.name)
				s := behind(10*c.n+1, "user "+c.name, actor)
				s.HandoffHash, s.HandoffExpiresAt = hash(10*c.n+1), s.ExpiresAt
				k.create(actor, s)
				try(k, "actor's session "+c.name, s, c.moment, !c.over())
				if c.over() {
					k.holds(s)
				}
				k.holds(actor)
			}
		},
	}
}

func actorCases() []testCase {
	return []testCase{
		{
			name: "create/behind a live session of the actor",
			why: "where ParentSessionID is set, that session has to be one of the user Actor that has not ended and " +
				"expires after CreatedAt",
			run: func(k *kit) {
				actor, idle, last := session(1, "alice"), session(2, "alice"), session(3, "alice")
				idle.LastUsedAt = start.Add(-ttl) // idle or not does not matter here
				last.ExpiresAt = start.Add(micro)
				k.create(actor, idle, last)
				for i, a := range []sessions.Session{actor, actor, idle, last} {
					s := behind(10+i, "bob", a)
					k.create(s)
					k.holds(s)
					k.rotates("behind an actor's session", s, 1)
				}
				k.holds(actor, idle, last)
			},
		},
		{
			name: "create/behind a session that is over",
			why: "ErrNotFound, and nothing is added, where the actor's session has ended, expires at CreatedAt or " +
				"before, or is not there",
			run: func(k *kit) {
				over, late, later := session(1, "alice"), session(2, "alice"), session(3, "alice")
				late.CreatedAt, late.ExpiresAt = start.Add(-time.Hour), start
				later.CreatedAt, later.ExpiresAt = start.Add(-time.Hour), start.Add(-micro)
				k.create(over, late, later)
				k.end(over, at(time.Hour)) // by a clock that is ahead
				for i, a := range []sessions.Session{over, late, later, session(999, "alice")} {
					s := behind(10+i, "bob", a)
					k.refused("Create behind "+a.ID, k.store.Create(k.ctx, s), sessions.ErrNotFound)
					k.gone(s)
				}
			},
		},
		{
			name: "create/behind somebody else's session",
			why:  "the actor's session has to be one of the user s.Actor, byte by byte",
			run: func(k *kit) {
				actor := session(1, "alice")
				k.create(actor, session(2, "bob"))
				for i, who := range []string{"bob", "Alice", "alic", "alice ", "alice%", "%", "", actor.CreatedBy} {
					s := behind(10+i, "bob", actor)
					s.Actor = who
					k.refused("Create by "+who, k.store.Create(k.ctx, s), sessions.ErrNotFound)
					k.gone(s)
				}
			},
		},
		{
			name: "create/behind an impersonation",
			why:  "the actor's session is no impersonation: nobody acts as somebody who acts as somebody",
			run: func(k *kit) {
				actor := session(1, "alice")
				first, second := behind(2, "bob", actor), impersonation(3, "bob")
				k.create(actor, first, second)
				for i, a := range []sessions.Session{first, second} {
					s := behind(10+i, "carol", a)
					k.refused("Create behind an impersonation", k.store.Create(k.ctx, s), sessions.ErrNotFound)
					k.gone(s)
				}
			},
		},
		{
			name: "create/a taken id behind an actor's session",
			why:  "ErrConflict: the id exists; not to be taken for an actor's session that is over",
			run: func(k *kit) {
				actor, first := session(1, "alice"), session(2, "bob")
				k.create(actor, first)
				k.refused("Create", k.store.Create(k.ctx, behind(2, "bob", actor)), sessions.ErrConflict)
				k.refused("Create of the actor's own id", k.store.Create(k.ctx, behind(1, "bob", actor)),
					sessions.ErrConflict)
				k.holds(actor, first)
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
			name: "actor/what depends on a session that is over can be ended",
			why: "End and EndMany look at the row alone: what nobody has marked yet would otherwise have no end but " +
				"its expiry",
			run: func(k *kit) {
				for i, over := range overs() {
					actor := session(1000+10*i, "actor "+over.name)
					one, two := behind(1001+10*i, "user "+over.name, actor), behind(1002+10*i, "user "+over.name, actor)
					k.create(actor, one, two)
					over.happen(k, actor)
					k.end(one, over.moment)
					p := sessions.EndManyParams{
						UserID: two.UserID, Now: over.moment.Now, Reason: sessions.EndRevoked, By: "admin",
					}
					k.endMany("actor's session "+over.name, p, two)
					k.endMany("again", p)
				}
			},
		},
		{
			name: "actor/an idle actor's session ends what depends on it",
			why: "an idle session is not live, but others are that depend on it: so it can be ended, alone and " +
				"together with others",
			run: func(k *kit) {
				idle := sessions.Moment{Now: start.Add(day), IdleCutoff: start}
				for i, end := range []func(actor sessions.Session){
					func(actor sessions.Session) { k.end(actor, idle) },
					func(actor sessions.Session) {
						k.endMany("of the actor", sessions.EndManyParams{
							UserID: actor.UserID, Now: idle.Now, Reason: sessions.EndRevoked, By: "admin",
						}, actor)
					},
				} {
					actor := session(10*i, fmt.Sprint("actor ", i))
					s := behind(10*i+1, fmt.Sprint("user ", i), actor)
					k.create(actor, s)
					list := sessions.ListParams{UserID: s.UserID, Impersonations: true, Moment: idle}
					k.lists("before the end", list, s)
					end(actor)
					k.lists("after the end", list)
					k.noRefresh("after the end", sessions.RefreshParams{
						ID: s.ID, Presented: 1, Rotation: unlimited, Moment: idle,
					})
					p := sessions.EndDependentsParams{
						ParentSessionIDs: []string{
							actor.ID,
						}, Now: idle.Now, Reason: sessions.EndParentEnded, By: "admin",
					}
					k.endDependents("of the idle session", p, s)
				}
			},
		},
		{
			name: "actor/its own use keeps no actor's session alive",
			why:  "nothing that happens to an impersonation changes the actor's session, nor the user's others",
			run: func(k *kit) {
				actor, plain := session(1, "alice"), session(2, "bob")
				s := behind(3, "bob", actor)
				s.HandoffHash, s.HandoffExpiresAt = hash(3), start.Add(time.Hour)
				k.create(actor, plain, s)
				k.refresh(sessions.RefreshParams{ID: s.ID, Presented: 1, Rotation: unlimited, Moment: at(time.Minute)})
				for range 2 { // a replay, which ends it
					if _, err := k.store.Redeem(k.ctx, sessions.RedeemParams{
						ID: s.ID, Hash: s.HandoffHash, Moment: at(time.Minute),
					}); err != nil {
						k.errorf("Redeem: %w", err)
					}
				}
				k.holds(actor, plain)
				k.rotates("the actor's", actor, 1)
				k.rotates("the user's", plain, 1)
			},
		},
		{
			name: "end many/an actor's session and one behind it",
			why:  "EndMany looks at each row alone: the end of the actor's session spares none that depends on it",
			run: func(k *kit) {
				for i := range 8 {
					// The ids in both orders, since some database goes by them.
					n, m := 2*i, 2*i+1
					if i%2 == 1 {
						n, m = m, n
					}
					actor := session(n, "alice")
					s := behind(m, "alice", actor)
					k.create(actor, s)
					k.endMany("both", sessions.EndManyParams{
						UserID: "alice", Now: at(time.Hour).Now, Reason: sessions.EndRevoked,
					}, actor, s)
				}
			},
		},
		{
			name: "end dependents/marks them and returns them",
			why: "EndDependents marks the sessions whose ParentSessionID is one of p's and returns them as they are " +
				"then; none is an empty list",
			run: func(k *kit) {
				actor, another, plain := session(1, "alice"), session(2, "alice"), session(3, "bob")
				one, two, other := behind(4, "bob", actor), behind(5, "carol", actor), behind(6, "bob", another)
				k.create(actor, another, plain, one, two, other)
				k.end(actor, at(time.Minute))

				p := sessions.EndDependentsParams{
					ParentSessionIDs: []string{actor.ID}, Now: start.Add(time.Hour), Reason: sessions.EndParentEnded,
					By: "alice's",
				}
				k.endDependents("all", p, one, two)
				k.endDependents("again", p)
				k.holds(ended(actor, start.Add(time.Minute), sessions.EndRevoked, "admin"), another, plain, other)
				for _, nobody := range []string{id(999), other.ID, plain.ID} {
					p.ParentSessionIDs = []string{nobody}
					k.endDependents("behind "+nobody, p)
				}
				k.holds(another, plain, other)
			},
		},
		{
			name: "end dependents/of many actors' sessions",
			why: "EndDependents marks what depends on any of p.ParentSessionIDs, each session once, however many " +
				"ids there are; without ids, none",
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
						actor := session(100_000+i, "alice")
						one, two := behind(200_000+2*i, "bob", actor), behind(200_001+2*i, "carol", actor)
						k.create(actor, one, two)
						want = append(want, one, two)
					}
				}
				another := session(2, "alice")
				other := behind(3, "bob", another)
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
			name: "end dependents/whether the actor's session is live or not",
			why:  "EndDependents judges the sessions by themselves, whether the actor's session is live or not",
			run: func(k *kit) {
				live := session(1, "alice")
				s := behind(2, "bob", live)
				k.create(live, s)
				p := sessions.EndDependentsParams{
					ParentSessionIDs: []string{live.ID}, Now: start.Add(time.Hour), Reason: sessions.EndNotAllowed,
				}
				k.endDependents("of a live session", p, s)
				k.holds(live)

				for i, over := range overs() {
					actor := session(10*i+10, "actor "+over.name)
					s := behind(10*i+11, "bob", actor)
					k.create(actor, s)
					over.happen(k, actor)
					p.ParentSessionIDs, p.Now = []string{actor.ID}, over.moment.Now
					k.endDependents("of a session "+over.name, p, s)
				}
			},
		},
		{
			name: "end dependents/not what is over by itself",
			why:  "what was ended or expired by itself keeps the end that it had; what is idle is marked",
			run: func(k *kit) {
				actor := session(1, "alice")
				over, late, last, idle := behind(2, "bob", actor), behind(3, "bob", actor), behind(4, "bob", actor),
					behind(5, "bob", actor)
				late.ExpiresAt, last.ExpiresAt = start.Add(ttl), start.Add(ttl+micro)
				idle.LastUsedAt = start
				k.create(actor, over, late, last, idle)
				k.end(over, at(time.Minute))
				p := sessions.EndDependentsParams{
					ParentSessionIDs: []string{actor.ID}, Now: start.Add(ttl), Reason: sessions.EndParentEnded,
				}
				k.endDependents("at the expiry of one", p, last, idle)
				k.holds(ended(over, start.Add(time.Minute), sessions.EndRevoked, "admin"), late)
			},
		},
		{
			name: "end dependents/an instant is the same in every zone",
			why:  "a moment is an instant, whatever zone it is spelled in; EndedAt goes out in UTC",
			run: func(k *kit) {
				for i, zone := range zones() {
					actor := session(10*i, "alice")
					s := behind(10*i+1, "bob", actor)
					k.create(actor, s)
					p := sessions.EndDependentsParams{
						ParentSessionIDs: []string{
							actor.ID,
						}, Now: s.ExpiresAt.In(zone), Reason: sessions.EndParentEnded,
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
