package storetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/sessile-go/sessile/sessions"
)

func listCases() []testCase {
	return []testCase{
		{
			name: "list/none is an empty list",
			why:  "without sessions, the list is empty and the error nil",
			run: func(k *kit) {
				k.lists("in an empty store", sessions.ListParams{UserID: "alice", Moment: at(0)})
				k.create(session(1, "bob"))
				k.lists("of a user without sessions", sessions.ListParams{
					UserID: "alice", Impersonations: true, Moment: at(0),
				})
			},
		},
		{
			name: "list/newest first",
			why:  "by CreatedAt, then by ID, both descending",
			run: func(k *kit) {
				// Created neither in the order of the ids nor in that of time.
				var all []sessions.Session
				for _, n := range []int{4, 1, 5, 2, 3, 6} {
					s := created(session(n, "alice"), time.Duration(n%3)*micro)
					all = append(all, s)
				}
				k.create(all...)
				want := newestFirst(all)
				k.lists("all", sessions.ListParams{UserID: "alice", Moment: at(time.Second)}, want...)
			},
		},
		{
			name: "list/use does not change the order",
			why:  "sessions are ordered by creation, not by use",
			run: func(k *kit) {
				old, young := session(1, "alice"), created(session(2, "alice"), time.Second)
				k.create(old, young)
				client := sessions.Client{IP: "198.51.100.1"}
				k.refresh(sessions.RefreshParams{
					ID: old.ID, Presented: 1, Rotation: unlimited, Moment: at(time.Hour), Client: client,
				})
				old = after(old, rotated, start.Add(time.Hour), client)
				k.lists("all", sessions.ListParams{UserID: "alice", Moment: at(time.Hour)}, young, old)
			},
		},
		{
			name: "list/only live sessions",
			why:  "List returns live sessions: not ended, Now before ExpiresAt, LastUsedAt after IdleCutoff",
			run: func(k *kit) {
				s, over := session(1, "alice"), session(2, "alice")
				k.create(s, over)
				k.end(over, at(time.Hour))
				for _, c := range lives() {
					var want []sessions.Session
					if c.live {
						want = append(want, s)
					}
					k.lists(c.name, sessions.ListParams{UserID: "alice", Moment: c.moment}, want...)
					k.lists(c.name+", by id", sessions.ListParams{UserID: "alice", OnlyID: s.ID, Moment: c.moment},
						want...)
					k.lists(c.name+", the ended one", sessions.ListParams{
						UserID: "alice", OnlyID: over.ID, Moment: c.moment,
					})
				}
			},
		},
		{
			name: "list/no idle cutoff is no idle timeout",
			why:  "IdleCutoff is the zero time if there is no idle timeout",
			run: func(k *kit) {
				s := session(1, "alice")
				s.ExpiresAt = start.AddDate(100, 0, 0)
				k.create(s)
				k.lists("decades later", sessions.ListParams{
					UserID: "alice", Moment: sessions.Moment{Now: start.AddDate(99, 0, 0)},
				}, s)
			},
		},
		{
			name: "list/an instant is the same in every zone",
			why:  "a moment and a position are instants, in whatever zone they are written",
			run: func(k *kit) {
				one, two := session(1, "alice"), created(session(2, "alice"), micro)
				k.create(one, two)
				for _, zone := range zones() {
					m := sessions.Moment{Now: start.Add(ttl - micro).In(zone), IdleCutoff: start.Add(-micro).In(zone)}
					k.lists("live in "+zone.String(), sessions.ListParams{UserID: "alice", Moment: m}, two, one)
					k.lists("page in "+zone.String(), sessions.ListParams{
						UserID: "alice", Moment: m, After: &sessions.ListPosition{
							CreatedAt: two.CreatedAt.In(zone), ID: two.ID,
						},
					}, one)
					m.IdleCutoff = start.In(zone)
					k.lists("one idle in "+zone.String(), sessions.ListParams{UserID: "alice", Moment: m}, two)
					m = sessions.Moment{Now: start.Add(ttl).In(zone)}
					k.lists("expired in "+zone.String(), sessions.ListParams{UserID: "alice", Moment: m})
				}
			},
		},
		{
			name: "list/impersonations only if Impersonations is set",
			why:  "Impersonations also selects impersonations; without it they are hidden, by id too",
			run: func(k *kit) {
				plain, imp := session(1, "alice"), created(impersonation(2, "alice"), micro)
				k.create(plain, imp)
				k.lists("without", sessions.ListParams{UserID: "alice", Moment: at(time.Second)}, plain)
				k.lists("with", sessions.ListParams{
					UserID: "alice", Impersonations: true, Moment: at(time.Second),
				}, imp, plain)
				k.lists("the impersonation by id, without", sessions.ListParams{
					UserID: "alice", OnlyID: imp.ID, Moment: at(time.Second),
				})
				k.lists("the impersonation by id, with", sessions.ListParams{
					UserID: "alice", OnlyID: imp.ID, Impersonations: true, Moment: at(time.Second),
				}, imp)
				k.lists("of the actor", sessions.ListParams{
					UserID: imp.Actor, Impersonations: true, Moment: at(time.Second),
				})
			},
		},
		{
			name: "list/one session by id",
			why:  "OnlyID selects that session alone, and only if it is the user's",
			run: func(k *kit) {
				one, two, other := session(1, "alice"), session(2, "alice"), session(3, "bob")
				k.create(one, two, other)
				k.lists("own", sessions.ListParams{UserID: "alice", OnlyID: one.ID, Moment: at(0)}, one)
				k.lists("another user's", sessions.ListParams{UserID: "alice", OnlyID: other.ID, Moment: at(0)})
				k.lists("missing", sessions.ListParams{UserID: "alice", OnlyID: id(9), Moment: at(0)})
			},
		},
		{
			name: "list/limit",
			why:  "Limit is the largest number of sessions to return, the newest ones; 0 is no limit",
			run: func(k *kit) {
				var all []sessions.Session
				for i := range 130 {
					all = append(all, created(session(i, "alice"), time.Duration(i/2)*micro))
				}
				k.create(all...)
				want := newestFirst(all)
				for _, limit := range []int{1, 2, 129, 130, 131, 1000} {
					p := sessions.ListParams{UserID: "alice", Moment: at(time.Second), Limit: limit}
					k.lists(fmt.Sprintf("limit %d", limit), p, want[:min(limit, len(want))]...)
				}
				k.lists("no limit", sessions.ListParams{UserID: "alice", Moment: at(time.Second)}, want...)
			},
		},
		{
			name: "list/limit counts what is selected",
			why:  "sessions that a list leaves out do not count against its limit",
			run: func(k *kit) {
				want := session(1, "alice")
				k.create(want)
				for i := range 5 {
					imp, over, other := created(impersonation(10+i, "alice"), time.Second),
						created(session(20+i, "alice"), time.Second), created(session(30+i, "bob"), time.Second)
					k.create(imp, over, other)
					k.end(over, at(time.Minute))
				}
				k.lists("limit 1", sessions.ListParams{UserID: "alice", Moment: at(time.Minute), Limit: 1}, want)
			},
		},
		{
			name: "list/pages cover each session once",
			why:  "After starts the list after a position, even among sessions of one instant",
			run: func(k *kit) {
				var all []sessions.Session
				for i := range 23 {
					s := created(session(i*7%23, "alice"), time.Duration(i/8)*micro)
					if i%5 == 0 {
						s = created(impersonation(i*7%23, "alice"), time.Duration(i/8)*micro)
					}
					all = append(all, s)
				}
				k.create(all...)
				k.create(created(session(100, "bob"), micro))
				want := newestFirst(all)
				for _, size := range []int{1, 2, 5, 22, 23, 24} {
					p := sessions.ListParams{
						UserID: "alice", Impersonations: true, Moment: at(time.Second), Limit: size,
					}
					for from := 0; from <= len(want); from += size {
						k.lists(fmt.Sprintf("pages of %d, from %d", size, from), p,
							want[from:min(from+size, len(want))]...)
						if from+size <= len(want) {
							last := want[from+size-1]
							p.After = &sessions.ListPosition{CreatedAt: last.CreatedAt, ID: last.ID}
						}
					}
				}
			},
		},
		{
			name: "list/a position need not be a session",
			why:  "the last session of a page may be deleted before the next page is read",
			run: func(k *kit) {
				one, two, three := session(2, "alice"), session(4, "alice"), created(session(1, "alice"), micro)
				k.create(one, two, three)
				for _, c := range []struct {
					after sessions.ListPosition
					want  []sessions.Session
				}{
					{sessions.ListPosition{
						CreatedAt: start.Add(time.Hour), ID: id(0),
					}, []sessions.Session{three, two, one}},
					{sessions.ListPosition{CreatedAt: start.Add(micro), ID: id(0)}, []sessions.Session{two, one}},
					{sessions.ListPosition{CreatedAt: start, ID: id(5)}, []sessions.Session{two, one}},
					{sessions.ListPosition{CreatedAt: start, ID: id(3)}, []sessions.Session{one}},
					{sessions.ListPosition{CreatedAt: start, ID: id(1)}, nil},
					{sessions.ListPosition{CreatedAt: start.Add(-micro), ID: id(9)}, nil},
				} {
					k.lists(fmt.Sprintf("after %s %s", spell(c.after.CreatedAt), c.after.ID),
						sessions.ListParams{UserID: "alice", Moment: at(time.Second), After: &c.after}, c.want...)
				}
			},
		},
		{
			name: "list/results are the caller's own",
			why:  "a result shares no memory with the store, and the store keeps no argument",
			run: func(k *kit) {
				one, two := session(1, "alice"), created(session(2, "alice"), micro)
				k.create(one, two)
				p := sessions.ListParams{UserID: "alice", Moment: at(time.Second)}
				got, err := k.store.List(k.ctx, p)
				if err != nil {
					k.errorf("List: %w", err)
				}
				for i := range got {
					got[i] = sessions.Session{ID: "scribbled over"}
				}
				_ = append(got[:0], sessions.Session{}, sessions.Session{}, sessions.Session{})
				k.lists("after the caller changed the first list", p, two, one)

				position := sessions.ListPosition{CreatedAt: two.CreatedAt, ID: two.ID}
				p.After = &position
				k.lists("from a position", p, one)
				if (position != sessions.ListPosition{CreatedAt: two.CreatedAt, ID: two.ID}) {
					k.errorf("List has changed the caller's position")
				}
				position = sessions.ListPosition{CreatedAt: start.Add(time.Hour), ID: id(9)}
				k.lists("from the position that the caller changed", p, two, one)

				many, err := k.store.EndMany(k.ctx, sessions.EndManyParams{
					UserID: "alice", Now: at(time.Minute).Now, Reason: sessions.EndRevoked,
				})
				if err != nil {
					k.errorf("EndMany: %w", err)
				}
				for i := range many {
					many[i] = sessions.Session{ID: "scribbled over"}
				}
				k.holds(ended(one, start.Add(time.Minute), sessions.EndRevoked, ""),
					ended(two, start.Add(time.Minute), sessions.EndRevoked, ""))
			},
		},
	}
}

// newestFirst returns all in the order of a list.
func newestFirst(all []sessions.Session) []sessions.Session {
	sorted := slices.Clone(all)
	slices.SortFunc(sorted, func(a, b sessions.Session) int {
		if c := b.CreatedAt.Compare(a.CreatedAt); c != 0 {
			return c
		}
		if a.ID > b.ID {
			return -1
		}
		return 1
	})
	return sorted
}
