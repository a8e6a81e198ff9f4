package storetest

import (
	"strings"
	"time"

	"github.com/sessile-go/sessile/sessions"
)

func rowCases() []testCase {
	return []testCase{
		{
			name: "create/then get is equal",
			why:  "Create adds a session, Get returns it; times have microsecond resolution",
			run: func(k *kit) {
				plain, other := session(1, "alice"), impersonation(2, "bob")
				bare := sessions.Session{
					ID: id(3), UserID: "carol",
					CreatedAt: start, LastUsedAt: start, ExpiresAt: start.Add(micro),
				}
				k.create(plain, other, bare)
				k.holds(plain, other, bare)
			},
		},
		{
			name: "create/texts come back byte for byte",
			why:  "a session comes back as it was created, whatever characters its texts have",
			run: func(k *kit) {
				for i, text := range texts() {
					s := impersonation(i, "alice")
					s.Actor, s.Reason, s.CreatedBy, s.Client.UserAgent = text, text, text, text
					k.create(s)
					k.holds(s)
				}
				s := session(1000, strings.Repeat("u", 255))
				s.Reason, s.CreatedBy = strings.Repeat("ü", 250), strings.Repeat("c", 255)
				s.Client = sessions.Client{
					IP: "2001:db8:1111:2222:3333:4444:5555:6666%ethernet-0.1", UserAgent: strings.Repeat("a", 255),
				}
				k.create(s)
				k.holds(s)
			},
		},
		{
			name: "create/an instant is the same in every zone",
			why:  "times go out in UTC, whatever zone the process or the argument has",
			run: func(k *kit) {
				for i, zone := range zones() {
					want := session(i, "alice")
					s := want
					for _, t := range []*time.Time{&s.CreatedAt, &s.LastUsedAt, &s.ExpiresAt, &s.AuthTime} {
						*t = t.In(zone)
					}
					k.create(s)
					k.holds(want)
				}
			},
		},
		{
			name: "create/finer times become microseconds",
			why:  "times have microsecond resolution; a finer one is rounded up or down",
			run: func(k *kit) {
				for i, extra := range []time.Duration{1, 499, 500, 999} {
					s := session(i, "alice")
					s.CreatedAt, s.LastUsedAt = start.Add(extra), start.Add(extra)
					k.create(s)
					got, err := k.store.Get(k.ctx, s.ID)
					if err != nil {
						k.errorf("Get: %w", err)
						continue
					}
					for _, t := range []time.Time{got.CreatedAt, got.LastUsedAt} {
						if !t.Equal(start) && !t.Equal(start.Add(micro)) {
							k.errorf("%s came back as %s", spell(s.CreatedAt), spell(t))
						}
					}
				}
			},
		},
		{
			name: "create/a taken id is a conflict",
			why:  "ErrConflict: the id exists; the existing row is unchanged",
			run: func(k *kit) {
				first := session(1, "alice")
				k.create(first)
				k.refresh(sessions.RefreshParams{ID: first.ID, Presented: 1, Rotation: unlimited, Moment: at(0)})

				second := impersonation(1, "mallory")
				second.ExpiresAt = start.Add(2 * ttl)
				for _, s := range []sessions.Session{first, second} {
					k.refused("Create", k.store.Create(k.ctx, s), sessions.ErrConflict)
					k.holds(first)
				}
				k.lists("of the second user", sessions.ListParams{
					UserID: "mallory", Impersonations: true, Moment: at(0),
				})
				k.rotates("after the conflict", first, 2)
			},
		},
		{
			name: "create/an ended session keeps its id",
			why:  "ErrConflict: the id exists, live or not; the existing row is unchanged",
			run: func(k *kit) {
				s := session(1, "alice")
				k.create(s)
				k.end(s, at(time.Hour))
				k.refused("Create", k.store.Create(k.ctx, s), sessions.ErrConflict)
				k.holds(ended(s, start.Add(time.Hour), sessions.EndRevoked, "admin"))
			},
		},
		{
			name: "create/starts with the first token",
			why:  "a new session has the state of NewRefreshState at its CreatedAt",
			run: func(k *kit) {
				s := session(1, "alice")
				k.create(s)
				k.rotates("new", s, 1)
			},
		},
		{
			name: "get/a missing session is not found",
			why:  "ErrNotFound: no such id; on error the other result is the zero value",
			run: func(k *kit) {
				k.gone(session(1, "alice"))
				k.create(session(1, "alice"), session(3, "alice"))
				k.gone(session(2, "alice"))
			},
		},
		{
			name: "get/finds sessions that are over",
			why:  "Get returns a session, live or not",
			run: func(k *kit) {
				over, s := session(1, "alice"), session(2, "alice")
				over.ExpiresAt = over.CreatedAt.Add(micro)
				k.create(over, s)
				k.end(s, at(time.Hour))
				k.holds(over, ended(s, start.Add(time.Hour), sessions.EndRevoked, "admin"))
			},
		},
		{
			name: "get/finds one session among many",
			why:  "ids are compared byte by byte",
			run: func(k *kit) {
				var all []sessions.Session
				for i := range 40 {
					s := created(session(i*1_000_003, "alice"), time.Duration(i)*micro)
					all = append(all, s)
				}
				k.create(all...)
				k.holds(all...)
			},
		},
		{
			name: "now/is the database's clock in UTC",
			why:  "times go out in UTC",
			run: func(k *kit) {
				now, err := k.store.Now(k.ctx)
				if err != nil || now.IsZero() || now.Location() != time.UTC {
					k.errorf("Now: got %s in zone %q and error %v", spell(now), now.Location(), err)
				}
			},
		},
	}
}

// end ends s as "admin" and expects success.
func (k *kit) end(s sessions.Session, m sessions.Moment) {
	got, err := k.store.End(k.ctx, sessions.EndParams{ID: s.ID, Now: m.Now, Reason: sessions.EndRevoked, By: "admin"})
	if err != nil {
		k.errorf("End(%s): %w", s.ID, err)
		return
	}
	k.same("End("+s.ID+")", got, ended(s, m.Now, sessions.EndRevoked, "admin"))
}

// texts returns strings that a careless statement, collation or encoding changes.
func texts() []string {
	return []string{
		"", " ", "a ", " a", `'`, `''`, `"`, `\`, `\\`, `\'`, "`", "%", "_", ";", "--", "/*", "?", "$1", ":a", "@a",
		"{}", "NULL", "null",
		"'; DROP TABLE sessile_sessions; --", "0", "01", "1e3", "true", "é", "e\u0301", "ß", "İ", "日本語", "👩‍👩‍👧",
		"\u200b", "\u2028", "\ufeffa", "\U0010ffff",
	}
}

// zones returns UTC and a zone on each side of it; the three seldom agree on the date.
func zones() []*time.Location {
	return []*time.Location{time.UTC, time.FixedZone("east", 14*3600), time.FixedZone("west", -12*3600)}
}
