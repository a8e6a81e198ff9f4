package storetest

import (
	"time"

	"github.com/sessile-go/sessile/sessions"
)

func endCases() []testCase {
	return []testCase{
		{
			name: "end/returns the session as it is then",
			why:  "End ends one session; Now becomes EndedAt; Reason and By are recorded",
			run: func(k *kit) {
				s, other := session(1, "alice"), session(2, "alice")
				k.create(s, other)
				client := sessions.Client{IP: "198.51.100.1"}
				k.refresh(sessions.RefreshParams{
					ID: s.ID, Presented: 1, Rotation: unlimited, Moment: at(time.Minute), Client: client,
				})
				s = after(s, rotated, start.Add(time.Minute), client)

				got, err := k.store.End(k.ctx, sessions.EndParams{
					ID: s.ID, UserID: "alice", Now: at(time.Hour).Now, Reason: sessions.EndSignedOut, By: "alice",
				})
				if err != nil {
					k.errorf("End: %w", err)
				}
				s = ended(s, start.Add(time.Hour), sessions.EndSignedOut, "alice")
				k.same("End", got, s)
				k.holds(s, other)
			},
		},
		{
			name: "end/every reason and any name stay on the row",
			why:  "Reason and By are recorded byte for byte",
			run: func(k *kit) {
				reasons := []sessions.EndReason{
					sessions.EndSignedOut, sessions.EndRevoked, sessions.EndReplay, sessions.EndRecoveryLimit,
					sessions.EndUserGone,
					sessions.EndParentEnded, sessions.EndNotAllowed, sessions.EndHandoffReplay,
				}
				for i, by := range texts() {
					s := session(i, "alice")
					k.create(s)
					reason := reasons[i%len(reasons)]
					got, err := k.store.End(k.ctx, sessions.EndParams{
						ID: s.ID, Now: at(time.Hour).Now, Reason: reason, By: by,
					})
					if err != nil {
						k.errorf("End by %q: %w", by, err)
					}
					s = ended(s, start.Add(time.Hour), reason, by)
					k.same("End", got, s)
					k.holds(s)
				}
			},
		},
		{
			name: "end/what has neither ended nor expired",
			why: "ErrNotFound: no such session, or it has ended or expired, and nothing changes; an idle one can be " +
				"ended",
			run: func(k *kit) {
				for _, c := range lives() {
					s := session(c.n, "alice")
					k.create(s)
					if !c.over() {
						k.end(s, c.moment)
						k.holds(ended(s, c.moment.Now, sessions.EndRevoked, "admin"))
						continue
					}
					k.noEnd(c.name, sessions.EndParams{
						ID: s.ID, Now: c.moment.Now, Reason: sessions.EndRevoked, By: "admin",
					})
					k.holds(s)
				}
				k.noEnd("missing", sessions.EndParams{ID: id(999), Now: at(0).Now, Reason: sessions.EndRevoked})
				k.gone(session(999, "alice"))
			},
		},
		{
			name: "end/an ended session stays as it was ended",
			why:  "ended is final: no second end, no refresh and no moment before the end brings it back",
			run: func(k *kit) {
				s := session(1, "alice")
				k.create(s)
				k.end(s, at(time.Hour))
				s = ended(s, start.Add(time.Hour), sessions.EndRevoked, "admin")
				for _, now := range []time.Duration{0, time.Hour - micro, time.Hour, day, 2 * ttl} {
					m := at(now)
					k.noEnd("again", sessions.EndParams{
						ID: s.ID, Now: m.Now, Reason: sessions.EndSignedOut, By: "alice",
					})
					k.noRefresh("after the end", sessions.RefreshParams{
						ID: s.ID, Presented: 1, Rotation: unlimited, Moment: m, Client: sessions.Client{
							IP: "198.51.100.1",
						},
					})
					k.endMany("after the end", sessions.EndManyParams{
						UserID: "alice", Now: m.Now, Reason: sessions.EndSignedOut,
					})
					k.lists("after the end", sessions.ListParams{UserID: "alice", Moment: m})
					k.holds(s)
				}
			},
		},
		{
			name: "end/only of the user that is named",
			why:  "if UserID is set, it must be the session's; otherwise End returns ErrNotFound",
			run: func(k *kit) {
				s := session(1, "alice")
				k.create(s, session(2, "bob"))
				for _, user := range []string{"bob", "Alice", "alic", "alice ", "alice%", "%", s.CreatedBy} {
					k.noEnd("of user "+user, sessions.EndParams{
						ID: s.ID, UserID: user, Now: at(time.Hour).Now, Reason: sessions.EndRevoked, By: user,
					})
				}
				k.holds(s)
				k.end(s, at(time.Hour))
				k.holds(session(2, "bob"))
			},
		},
		{
			name: "end/no impersonation if NoImpersonation is set",
			why:  "NoImpersonation refuses impersonations, and nothing else",
			run: func(k *kit) {
				plain, imp := session(1, "alice"), impersonation(2, "alice")
				k.create(plain, imp)
				p := sessions.EndParams{
					UserID: "alice", NoImpersonation: true, Now: at(time.Hour).Now,
					Reason: sessions.EndRevoked, By: "alice",
				}
				p.ID = imp.ID
				k.noEnd("an impersonation", p)
				k.holds(imp)
				p.ID = plain.ID
				if _, err := k.store.End(k.ctx, p); err != nil {
					k.errorf("End of a session that is not an impersonation: %w", err)
				}
				k.end(imp, at(time.Hour))
			},
		},
		{
			name: "end/a condition that fails changes nothing",
			why:  "a condition that fails changes nothing, the refresh state included",
			run: func(k *kit) {
				s := session(1, "alice")
				k.create(s)
				k.refresh(sessions.RefreshParams{ID: s.ID, Presented: 1, Rotation: strict, Moment: at(0)})
				k.noEnd("of another user", sessions.EndParams{
					ID: s.ID, UserID: "bob", Now: at(0).Now, Reason: sessions.EndRevoked,
				})
				k.endMany("except this one", sessions.EndManyParams{
					UserID: "alice", ExceptID: s.ID, Now: at(0).Now, Reason: sessions.EndRevoked,
				})
				k.rotates("spared twice", s, 2)
			},
		},
		{
			name: "end many/ends all live sessions of the user",
			why:  "EndMany ends the sessions of one user, impersonations included, and returns them as they are then",
			run: func(k *kit) {
				one, two, imp, other := session(1, "alice"), session(2, "alice"), impersonation(3, "alice"),
					session(4, "bob")
				k.create(one, two, imp, other)
				k.refresh(sessions.RefreshParams{
					ID: two.ID, Presented: 1, Rotation: unlimited, Moment: at(time.Minute),
				})
				two.LastUsedAt = start.Add(time.Minute)
				p := sessions.EndManyParams{
					UserID: "alice", Now: at(time.Hour).Now, Reason: sessions.EndRevoked, By: "admin's key",
				}
				k.endMany("all", p, one, two, imp)
				k.holds(other)
				k.endMany("again", p)
			},
		},
		{
			name: "end many/none is an empty list",
			why:  "without any, the list is empty and the error nil",
			run: func(k *kit) {
				k.endMany("in an empty store", sessions.EndManyParams{
					UserID: "alice", Now: at(0).Now, Reason: sessions.EndRevoked,
				})
				k.create(session(1, "bob"))
				k.endMany("of a user without sessions", sessions.EndManyParams{
					UserID: "alice", Now: at(0).Now, Reason: sessions.EndRevoked,
				})
				k.holds(session(1, "bob"))
			},
		},
		{
			name: "end many/leaves one alone",
			why:  "EndMany leaves the session ExceptID alone, and no other",
			run: func(k *kit) {
				one, two, three, other := session(1, "alice"), session(2, "alice"), impersonation(3, "alice"),
					session(4, "bob")
				k.create(one, two, three, other)
				p := sessions.EndManyParams{
					UserID: "alice", ExceptID: two.ID, Now: at(time.Hour).Now, Reason: sessions.EndRevoked, By: "alice",
				}
				k.endMany("except one", p, one, three)
				k.holds(two, other)
				p.ExceptID = other.ID
				k.endMany("except one of another user", p, two)
				k.holds(other)
			},
		},
		{
			name: "end many/what has neither ended nor expired",
			why:  "EndMany ends idle sessions, too; those that have ended or expired stay as they were",
			run: func(k *kit) {
				for _, c := range lives() {
					user := "user " + c.name
					s, over := session(10*c.n, user), session(10*c.n+1, user)
					k.create(s, over)
					k.end(over, at(-2*time.Hour))
					p := sessions.EndManyParams{
						UserID: user, Now: c.moment.Now, Reason: sessions.EndSignedOut, By: "alice",
					}
					if !c.over() {
						k.endMany(c.name, p, s)
					} else {
						k.endMany(c.name, p)
						k.holds(s)
					}
					k.holds(ended(over, start.Add(-2*time.Hour), sessions.EndRevoked, "admin"))
				}
			},
		},
		{
			name: "end many/hundreds at once",
			why:  "EndMany ends the sessions of a user in one step, however many there are",
			run: func(k *kit) {
				var all []sessions.Session
				for i := range 300 {
					all = append(all, session(i, "alice"))
				}
				k.create(all...)
				k.endMany("all", sessions.EndManyParams{
					UserID: "alice", ExceptID: all[7].ID, Now: at(time.Hour).Now, Reason: sessions.EndRevoked,
				},
					append(all[:7:7], all[8:]...)...)
				k.holds(all[7])
			},
		},
		{
			name: "end/an instant is the same in every zone",
			why:  "a moment is an instant, in whatever zone it is written; EndedAt goes out in UTC",
			run: func(k *kit) {
				for i, zone := range zones() {
					one, two := session(10*i, "alice"), session(10*i+1, "bob")
					k.create(one, two)
					late := sessions.Moment{Now: start.Add(ttl).In(zone)}
					k.noEnd("expired in "+zone.String(), sessions.EndParams{
						ID: one.ID, Now: late.Now, Reason: sessions.EndRevoked,
					})
					k.endMany("expired in "+zone.String(), sessions.EndManyParams{
						UserID: "bob", Now: late.Now, Reason: sessions.EndRevoked,
					})

					m := sessions.Moment{Now: start.Add(ttl - micro).In(zone), IdleCutoff: start.Add(-micro).In(zone)}
					k.end(one, m)
					k.holds(ended(one, m.Now, sessions.EndRevoked, "admin"))
					k.endMany("in "+zone.String(), sessions.EndManyParams{
						UserID: "bob", Now: m.Now, Reason: sessions.EndRevoked,
					},
						two)
				}
			},
		},
	}
}
