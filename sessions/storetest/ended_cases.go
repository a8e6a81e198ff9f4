package storetest

import (
	"errors"
	"fmt"
	"time"

	"github.com/sessile-go/sessile/sessions"
)

// endedAt returns the entry of Ended for s, which ended d after the start.
func endedAt(s sessions.Session, d time.Duration) sessions.EndedSession {
	return sessions.EndedSession{ID: s.ID, EndedAt: start.Add(d)}
}

// left returns the entry of Ended for s if its parent ended an hour after the start and s is not marked.
func left(s sessions.Session) sessions.EndedSession {
	e := endedAt(s, time.Hour)
	e.ParentSessionID = s.ParentSessionID
	return e
}

// sees checks that Ended returns exactly these, in any order.
func (k *kit) sees(what string, since time.Time, want ...sessions.EndedSession) {
	got, err := k.store.Ended(k.ctx, since)
	if err != nil {
		k.errorf("Ended, %s: %w", what, err)
		return
	}
	left := make(map[string]sessions.EndedSession)
	for _, e := range want {
		left[e.ID] = e
	}
	for _, e := range got {
		expected, ok := left[e.ID]
		if !ok {
			k.errorf("Ended, %s: %s at %s is there as well, or twice", what, e.ID, spell(e.EndedAt))
			continue
		}
		delete(left, e.ID)
		k.sameTime("Ended, "+what+": EndedAt of "+e.ID, e.EndedAt, expected.EndedAt)
		if e.ParentSessionID != expected.ParentSessionID {
			k.errorf("Ended, %s: ParentSessionID of %s is %q, want %q", what, e.ID, e.ParentSessionID,
				expected.ParentSessionID)
		}
	}
	for id := range left {
		k.errorf("Ended, %s: %s is missing", what, id)
	}
}

func endedCases() []testCase {
	return []testCase{
		{
			name: "ended/since counts",
			why:  "Ended returns the sessions whose EndedAt is at or after since, to the microsecond",
			run: func(k *kit) {
				early, exact, late := session(1, "alice"), session(2, "bob"), session(3, "alice")
				k.create(early, exact, late)
				k.end(early, at(time.Hour-micro))
				k.end(exact, at(time.Hour))
				k.end(late, at(time.Hour+micro))
				k.sees("before all", start.Add(time.Hour-micro), endedAt(early, time.Hour-micro),
					endedAt(exact, time.Hour), endedAt(late, time.Hour+micro))
				k.sees("at one of them", start.Add(time.Hour), endedAt(exact, time.Hour),
					endedAt(late, time.Hour+micro))
				k.sees("after it", start.Add(time.Hour+micro), endedAt(late, time.Hour+micro))
				k.sees("after all", start.Add(time.Hour+2*micro))
			},
		},
		{
			name: "ended/no since is from the beginning",
			why:  "every end is at or after the zero time",
			run: func(k *kit) {
				old, s := session(1, "alice"), session(2, "alice")
				old.CreatedAt, old.LastUsedAt = time.Unix(0, 0), time.Unix(0, 0) // the earliest that a clock shows
				old.AuthTime = time.Time{}
				k.create(old, s, session(3, "alice"))
				m := sessions.Moment{Now: time.Unix(1, 0)}
				if _, err := k.store.End(k.ctx, sessions.EndParams{
					ID: old.ID, Now: m.Now, Reason: sessions.EndRevoked,
				}); err != nil {
					k.errorf("End: %w", err)
				}
				k.end(s, at(time.Hour))
				k.sees("all", time.Time{}, sessions.EndedSession{ID: old.ID, EndedAt: m.Now}, endedAt(s, time.Hour))
			},
		},
		{
			name: "ended/none is an empty list",
			why:  "without any, the list is empty and the error nil",
			run: func(k *kit) {
				k.sees("in an empty store", time.Time{})
				k.create(session(1, "alice"))
				k.sees("before the first end", time.Time{})
			},
		},
		{
			name: "ended/not those that expired or fell idle",
			why:  "a session that expired or fell idle has no EndedAt; its tokens expire by themselves",
			run: func(k *kit) {
				live, expired, idle, over := session(1, "alice"), session(2, "alice"), session(3, "alice"),
					session(4, "alice")
				expired.ExpiresAt = start.Add(micro)
				idle.CreatedAt, idle.LastUsedAt = start.Add(-ttl), start.Add(-ttl)
				parent := session(5, "carol")
				parent.ExpiresAt = start.Add(micro)
				k.create(live, expired, idle, over, parent, dependent(6, "bob", parent), impersonation(7, "bob"))
				k.end(over, at(time.Hour))
				k.sees("all", time.Time{}, endedAt(over, time.Hour))
			},
		},
		{
			name: "ended/for every reason",
			why: "the list has the sessions of every user that End, EndMany, EndDependents, a refused Refresh or a " +
				"second Redeem has ended",
			run: func(k *kit) {
				one, many, imp := session(1, "alice"), session(2, "bob"), impersonation(3, "bob")
				parent, replayed, lost, offered := session(4, "carol"), session(6, "dave"), session(7, "erin"),
					handedOff(8, "frank")
				marked := dependent(5, "alice", parent)
				k.create(one, many, imp, parent, marked, replayed, lost, offered)

				k.end(one, at(1*time.Second))
				k.endMany("one user's", sessions.EndManyParams{
					UserID: "bob", Now: at(2 * time.Second).Now, Reason: sessions.EndRevoked,
				}, many, imp)
				k.endDependents("of a live session", sessions.EndDependentsParams{
					ParentSessionIDs: []string{parent.ID}, Now: start.Add(3 * time.Second),
					Reason: sessions.EndNotAllowed,
				}, marked)
				for range 2 {
					k.refresh(sessions.RefreshParams{
						ID: replayed.ID, Presented: 1, Rotation: strict, Moment: at(4 * time.Second),
					})
				}
				limit := sessions.Rotation{Overlap: overlap, MaxRecoveries: 1}
				for i, want := range []sessions.Outcome{rotated, recovered, recoveryLimit} {
					got := k.refresh(sessions.RefreshParams{
						ID: lost.ID, Presented: 1, Rotation: limit, Moment: at(time.Duration(i) * overlap),
					})
					if got.Outcome != want {
						k.errorf("the refresh of a lost token: outcome is %d, want %d", got.Outcome, want)
					}
				}
				for range 2 {
					if _, err := k.store.Redeem(k.ctx, code(offered, 5*time.Second)); err != nil {
						k.errorf("Redeem: %w", err)
					}
				}
				k.sees("all", start,
					endedAt(one, 1*time.Second), endedAt(many, 2*time.Second), endedAt(imp, 2*time.Second),
					endedAt(marked, 3*time.Second),
					endedAt(replayed, 4*time.Second), endedAt(offered, 5*time.Second), endedAt(lost, 2*overlap))
			},
		},
		{
			name: "ended/with the parent",
			why: "the list has the dependents of an ended session, too, with its id and its EndedAt, until they are " +
				"marked",
			run: func(k *kit) {
				parent, another := session(1, "alice"), session(2, "alice")
				one, two, expired := dependent(3, "bob", parent), dependent(4, "carol", parent),
					dependent(5, "dave", parent)
				expired.ExpiresAt = start.Add(micro)
				k.create(parent, another, one, two, expired, dependent(6, "bob", another), impersonation(7, "bob"))
				k.end(parent, at(time.Hour))
				all := []sessions.EndedSession{endedAt(parent, time.Hour), left(one), left(two), left(expired)}
				k.sees("at the end of the parent", start.Add(time.Hour), all...)
				k.sees("before it", start, all...)
				k.sees("after it", start.Add(time.Hour+micro))

				k.endDependents("later", sessions.EndDependentsParams{
					ParentSessionIDs: []string{parent.ID},
					Now:              start.Add(2 * time.Hour), Reason: sessions.EndParentEnded,
				}, one, two)
				k.sees("after they were marked", start, endedAt(parent, time.Hour), endedAt(one, 2*time.Hour),
					endedAt(two, 2*time.Hour), left(expired))
				k.sees("after the end of the parent, when they were marked", start.Add(2*time.Hour),
					endedAt(one, 2*time.Hour), endedAt(two, 2*time.Hour))
			},
		},
		{
			name: "ended/by itself before the parent",
			why: "a dependent that was ended by itself is there once, with its own EndedAt, or not at all if that is " +
				"before since",
			run: func(k *kit) {
				parent := session(1, "alice")
				early, late := dependent(2, "bob", parent), dependent(3, "carol", parent)
				k.create(parent, early, late)
				k.end(early, at(time.Minute))
				k.end(late, at(time.Hour))
				k.end(parent, at(day))
				k.sees("before all", start, endedAt(early, time.Minute), endedAt(late, time.Hour), endedAt(parent, day))
				k.sees("between the two", start.Add(time.Hour), endedAt(late, time.Hour), endedAt(parent, day))
				k.sees("at the end of the parent", start.Add(day), endedAt(parent, day))
			},
		},
		{
			name: "ended/hundreds at once",
			why:  "Ended returns all ends, however many there are",
			run: func(k *kit) {
				var all []sessions.Session
				var want []sessions.EndedSession
				for i := range 300 {
					s := session(i, "alice")
					all, want = append(all, s), append(want, endedAt(s, time.Hour))
				}
				k.create(all...)
				k.endMany("all", sessions.EndManyParams{
					UserID: "alice", Now: at(time.Hour).Now, Reason: sessions.EndRevoked,
				}, all...)
				k.sees("all", start, want...)
			},
		},
		{
			name: "ended/an instant is the same in every zone",
			why:  "since is an instant, in whatever zone it is written; EndedAt goes out in UTC and to the microsecond",
			run: func(k *kit) {
				var want []sessions.EndedSession
				for i, zone := range zones() {
					s := session(i, "alice")
					k.create(s)
					m := at(time.Hour)
					m.Now = m.Now.In(zone)
					k.end(s, m)
					want = append(want, endedAt(s, time.Hour))
				}
				for _, zone := range zones() {
					k.sees("in "+zone.String(), start.Add(time.Hour).In(zone), want...)
					k.sees("too late in "+zone.String(), start.Add(time.Hour+micro).In(zone))
				}
			},
		},
		{
			name: "ended/what was committed before",
			why:  "the list has all ends that were committed before the call began; no answer is cached",
			run: func(k *kit) {
				var want []sessions.EndedSession
				for i := range 5 {
					s := session(i, "alice")
					k.create(s)
					k.sees("before the next end", start, want...)
					k.end(s, at(time.Hour))
					want = append(want, endedAt(s, time.Hour))
					k.sees("after it", start, want...)
				}
			},
		},
		{
			name: "ended/pruned ones are gone",
			why:  "Prune deletes a session and leaves nothing of its end, not even in its dependents",
			run: func(k *kit) {
				old, parent, s := session(1, "alice"), session(2, "alice"), session(3, "bob")
				k.create(old, parent, s, dependent(4, "bob", parent))
				k.end(old, at(time.Minute))
				k.end(parent, at(time.Minute))
				k.end(s, at(time.Hour))
				k.prune("two of three", sessions.PruneParams{EndedBefore: start.Add(time.Hour), Limit: 10}, 2)
				k.sees("all", time.Time{}, endedAt(s, time.Hour))
			},
		},
		{
			name: "concurrent/an end is seen once it was answered",
			why:  "the list has all ends that were committed before the call began, whatever others do meanwhile",
			run: func(k *kit) {
				errs := make([]error, callers)
				together(callers, func(i int) {
					for n := range 3 {
						s := session(10*i+n, fmt.Sprintf("user %d", i))
						endErr := k.store.Create(k.ctx, s)
						if endErr == nil {
							_, endErr = k.store.End(k.ctx, sessions.EndParams{
								ID: s.ID, Now: at(time.Hour).Now, Reason: sessions.EndRevoked,
							})
						}
						list, err := k.store.Ended(k.ctx, start.Add(time.Hour))
						times := 0
						for _, e := range list {
							if e.ID == s.ID {
								times++
							}
						}
						if err = errors.Join(endErr, err); err == nil && times != 1 {
							err = fmt.Errorf("%s is there %d times", s.ID, times)
						}
						errs[i] = errors.Join(errs[i], err)
					}
				})
				if err := errors.Join(errs...); err != nil {
					k.errorf("Ended, while others end: %w", err)
				}
			},
		},
	}
}
