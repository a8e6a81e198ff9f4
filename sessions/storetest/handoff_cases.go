package storetest

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"github.com/sessile-go/sessile/sessions"
)

// handoff is the lifetime of the codes.
const handoff = time.Minute

// hash returns the hash of the code of the n-th session.
func hash(n int) string {
	sum := sha256.Sum256([]byte("code " + strconv.Itoa(n)))
	return hex.EncodeToString(sum[:])
}

// handedOff returns an impersonation with an unused code.
func handedOff(n int, user string) sessions.Session {
	s := impersonation(n, user)
	s.HandoffHash, s.HandoffExpiresAt = hash(n), start.Add(handoff)
	return s
}

// redeems checks that Redeem and Get return want.
func (k *kit) redeems(what string, p sessions.RedeemParams, want sessions.Session) {
	got, err := k.store.Redeem(k.ctx, p)
	if err != nil {
		k.errorf("Redeem, %s: %w", what, err)
		return
	}
	k.same("Redeem, "+what, got, want)
	k.holds(want)
}

// noRedeem calls Redeem and expects ErrNotFound.
func (k *kit) noRedeem(what string, p sessions.RedeemParams) {
	s, err := k.store.Redeem(k.ctx, p)
	k.refused("Redeem, "+what, err, sessions.ErrNotFound)
	k.zero("Redeem, "+what, s == sessions.Session{})
}

// code returns the arguments that redeem the code of s, d after the start.
func code(s sessions.Session, d time.Duration) sessions.RedeemParams {
	return sessions.RedeemParams{ID: s.ID, Hash: s.HandoffHash, Moment: at(d)}
}

func handoffCases() []testCase {
	client := sessions.Client{IP: "198.51.100.1", UserAgent: "second/2.0"}
	return []testCase{
		{
			name: "create/a hand-off comes back",
			why:  "Create adds a session with the hash of its code, Get returns it",
			run: func(k *kit) {
				parent, s := session(1, "alice"), handedOff(2, "bob")
				tied := dependent(3, "bob", parent)
				tied.HandoffHash, tied.HandoffExpiresAt = hash(3), start.Add(micro)
				k.create(parent, s, tied)
				k.holds(parent, s, tied)
				k.lists("with a hand-off", sessions.ListParams{UserID: "bob", Impersonations: true, Moment: at(0)},
					tied, s)
			},
		},
		{
			name: "redeem/the first time",
			why: "the first time Redeem moves LastUsedAt forward, takes the non-empty fields of p.Client, and " +
				"returns the session",
			run: func(k *kit) {
				for i, c := range []sessions.Client{{}, {IP: client.IP}, {UserAgent: client.UserAgent}, client} {
					s, other := handedOff(2*i, "alice"), handedOff(2*i+1, "alice")
					k.create(s, other)
					p := code(s, handoff-micro)
					p.Client = c
					k.redeems("in the last microsecond", p, after(s, rotated, p.Moment.Now, c))
					k.holds(other)
				}
			},
		},
		{
			name: "redeem/last use never moves back",
			why:  "LastUsedAt never moves back, even if the clock of a replica is behind",
			run: func(k *kit) {
				s := handedOff(1, "alice")
				k.create(s)
				k.redeems("by a clock that is behind", code(s, -time.Hour), s)
			},
		},
		{
			name: "redeem/a second time ends the session",
			why: "any further time Redeem ends the session with EndHandoffReplay, late or not, leaves the rest, and " +
				"returns it as it is then",
			run: func(k *kit) {
				for i, again := range []time.Duration{
					-time.Second, 0, time.Second, handoff - micro, handoff, handoff + micro, ttl - micro,
				} {
					s := handedOff(i, "alice")
					k.create(s)
					k.redeems("the first time", code(s, 0), s)
					p := code(s, again)
					p.Client = client
					k.redeems("a second time, at "+again.String(), p,
						ended(s, p.Moment.Now, sessions.EndHandoffReplay, ""))
					k.noRedeem("a third time", p)
					k.noRefresh("after the end", sessions.RefreshParams{
						ID: s.ID, Presented: 1, Rotation: unlimited, Moment: at(again),
					})
					k.holds(ended(s, p.Moment.Now, sessions.EndHandoffReplay, ""))
				}
			},
		},
		{
			name: "redeem/late",
			why:  "ErrNotFound: too late for the first time; nothing changes, and the session stays live",
			run: func(k *kit) {
				s := handedOff(1, "alice")
				k.create(s)
				for _, late := range []time.Duration{handoff, handoff + micro, time.Hour} {
					for range 2 { // a refusal is no first time
						k.noRedeem("at "+late.String(), code(s, late))
					}
				}
				k.holds(s)
				k.redeems("in time after all", code(s, 0), s)
			},
		},
		{
			name: "redeem/another hash",
			why:  "ErrNotFound: another hash; nothing changes, and a wrong guess neither uses up nor replays a code",
			run: func(k *kit) {
				s, other, none := handedOff(1, "alice"), handedOff(2, "alice"), impersonation(3, "alice")
				none.HandoffExpiresAt = start.Add(handoff)
				k.create(s, other, none)
				tries := func(what string, of sessions.Session) {
					for _, wrong := range []string{
						"", hash(9), other.HandoffHash, strings.ToUpper(s.HandoffHash), s.HandoffHash[:63],
						s.HandoffHash + "0", s.HandoffHash + " ", "%",
					} {
						p := code(s, time.Second)
						p.Hash = wrong
						k.noRedeem(what+" with the hash "+wrong, p)
					}
					k.holds(of)
				}
				tries("before", s)
				k.redeems("with its own", code(s, 0), s)
				tries("afterwards", s)
				k.noRedeem("of no code", code(none, 0))
				k.noRedeem("of no session", sessions.RedeemParams{ID: id(999), Hash: s.HandoffHash, Moment: at(0)})
				k.holds(other, none)
			},
		},
		{
			name: "redeem/only a live session",
			why:  "ErrNotFound: no such session, or not live; nothing changes",
			run: func(k *kit) {
				for _, c := range lives() {
					s := handedOff(c.n, "alice")
					s.HandoffExpiresAt = start.Add(2 * ttl)
					k.create(s)
					p := code(s, 0)
					p.Moment = c.moment
					if c.live {
						k.redeems(c.name, p, after(s, rotated, c.moment.Now, sessions.Client{}))
						continue
					}
					k.noRedeem(c.name, p)
					k.holds(s)
				}
				s := handedOff(1000, "alice")
				k.create(s)
				k.end(s, at(time.Hour))
				k.noRedeem("ended", code(s, 0))
				k.holds(ended(s, start.Add(time.Hour), sessions.EndRevoked, "admin"))
			},
		},
		{
			name: "redeem/a used code of a session that is over",
			why:  "ErrNotFound if the session is not live: an end is final, and an expired session does not end again",
			run: func(k *kit) {
				s, late := handedOff(1, "alice"), handedOff(2, "alice")
				k.create(s, late)
				k.redeems("the first time", code(s, 0), s)
				k.redeems("the first time", code(late, 0), late)
				k.end(s, at(time.Second))
				k.noRedeem("after the end", code(s, 2*time.Second))
				k.noRedeem("after the expiry", code(late, ttl))
				k.holds(ended(s, start.Add(time.Second), sessions.EndRevoked, "admin"), late)
			},
		},
		{
			name: "redeem/leaves the refresh state",
			why:  "a code is not a refresh token: redeeming changes no counter, and a refresh does not use up a code",
			run: func(k *kit) {
				s, other := handedOff(1, "alice"), handedOff(2, "alice")
				k.create(s, other)
				k.redeems("the first time", code(s, 0), s)
				k.rotates("after a redemption", s, 1)
				k.rotates("before a redemption", other, 1)
				k.redeems("after a refresh", code(other, 0), other)
				k.rotates("after a redemption", other, 2)
			},
		},
		{
			name: "redeem/an instant is the same in every zone",
			why:  "a moment is an instant, in whatever zone it is written; times go out in UTC",
			run: func(k *kit) {
				for i, zone := range zones() {
					want := handedOff(i, "alice")
					s := want
					s.HandoffExpiresAt = s.HandoffExpiresAt.In(zone)
					k.create(s)
					k.holds(want)
					p := code(s, handoff)
					p.Moment.Now = p.Moment.Now.In(zone)
					k.noRedeem("late in "+zone.String(), p)
					p.Moment.Now = p.Moment.Now.Add(-micro)
					want.LastUsedAt = p.Moment.Now.UTC()
					k.redeems("in time in "+zone.String(), p, want)
					k.redeems("a second time in "+zone.String(), p,
						ended(want, p.Moment.Now, sessions.EndHandoffReplay, ""))
				}
			},
		},
	}
}
