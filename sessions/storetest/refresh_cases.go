package storetest

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/sessile-go/sessile/sessions"
)

// step is one presentation of a refresh token, and its result. Times count from the start.
type step struct {
	at        time.Duration
	presented int64
	outcome   sessions.Outcome

	// The state after it.
	current, parent, recoveries int64
	answered                    time.Duration
}

const (
	rotated       = sessions.OutcomeRotated
	overlapped    = sessions.OutcomeOverlap
	recovered     = sessions.OutcomeRecovered
	ahead         = sessions.OutcomeAhead
	replay        = sessions.OutcomeReplay
	recoveryLimit = sessions.OutcomeRecoveryLimit

	maxCounter = 1<<53 - 1
)

// protocol returns a case that presents tokens of one session one after the other.
func protocol(name, why string, r sessions.Rotation, steps ...step) testCase {
	return testCase{name: name, why: why, run: func(k *kit) {
		s := session(1, "alice")
		k.create(s)
		for i, st := range steps {
			what := fmt.Sprintf("step %d, token %d at %s", i+1, st.presented, st.at)
			got := k.refresh(sessions.RefreshParams{ID: s.ID, Presented: st.presented, Rotation: r, Moment: at(st.at)})
			s = after(s, st.outcome, start.Add(st.at), sessions.Client{})
			k.refreshed(what, got, sessions.RefreshResult{Session: s, Outcome: st.outcome, State: sessions.RefreshState{
				Current: st.current, Parent: st.parent, Recoveries: st.recoveries, AnsweredAt: start.Add(st.answered),
			}})
		}
	}}
}

// after returns s after a refresh with this outcome.
func after(s sessions.Session, o sessions.Outcome, now time.Time, c sessions.Client) sessions.Session {
	if o.EndReason() != "" {
		return ended(s, now, o.EndReason(), "")
	}
	if now.After(s.LastUsedAt) {
		s.LastUsedAt = now
	}
	if c.IP != "" {
		s.Client.IP = c.IP
	}
	if c.UserAgent != "" {
		s.Client.UserAgent = c.UserAgent
	}
	return s
}

// refreshed checks an answer of Refresh, and that Get agrees with it.
func (k *kit) refreshed(what string, got, want sessions.RefreshResult) {
	if got.Outcome != want.Outcome {
		k.errorf("%s: outcome is %d, want %d", what, got.Outcome, want.Outcome)
	}
	k.sameState(what, got.State, want.State)
	k.same(what, got.Session, want.Session)
	k.holds(want.Session)
}

func refreshCases() []testCase {
	const s, end = time.Second, overlap
	return []testCase{
		protocol("refresh/the current token rotates",
			"current: parent becomes current, current counts up, recoveries start again", unlimited,
			step{at: 1 * s, presented: 1, outcome: rotated, current: 2, parent: 1, answered: 1 * s},
			step{at: 1 * s, presented: 2, outcome: rotated, current: 3, parent: 2, answered: 1 * s},
			step{at: day, presented: 3, outcome: rotated, current: 4, parent: 3, answered: day},
		),
		protocol("refresh/the parent inside the window gets the same successor",
			"overlap: two tabs, or a retry, get the same successor", unlimited,
			step{at: 0, presented: 1, outcome: rotated, current: 2, parent: 1, answered: 0},
			step{at: 0, presented: 1, outcome: overlapped, current: 2, parent: 1, answered: 0},
			step{at: end - micro, presented: 1, outcome: overlapped, current: 2, parent: 1, answered: end - micro},
			step{at: end, presented: 2, outcome: rotated, current: 3, parent: 2, answered: end},
			step{at: end + s, presented: 2, outcome: overlapped, current: 3, parent: 2, answered: end + s},
		),
		protocol("refresh/the window ends exactly at its length",
			"inside means that the answer lies after now minus Overlap; at its end it does not", unlimited,
			step{at: 0, presented: 1, outcome: rotated, current: 2, parent: 1, answered: 0},
			step{at: end, presented: 1, outcome: recovered, current: 3, parent: 1, recoveries: 1, answered: end},
			step{at: 2*end - micro, presented: 1, outcome: overlapped, current: 3, parent: 1, recoveries: 1,
				answered: 2*end - micro},
		),
		protocol("refresh/the window slides if recoveries are unlimited",
			"the window counts from the last answer; otherwise two tabs that wake at its end could fork the session",
			unlimited,
			step{at: 0, presented: 1, outcome: rotated, current: 2, parent: 1, answered: 0},
			step{at: 40 * s, presented: 1, outcome: overlapped, current: 2, parent: 1, answered: 40 * s},
			step{at: 99 * s, presented: 1, outcome: overlapped, current: 2, parent: 1, answered: 99 * s},
			step{at: 159 * s, presented: 1, outcome: recovered, current: 3, parent: 1, recoveries: 1,
				answered: 159 * s},
		),
		protocol("refresh/the window stays fixed if recoveries are limited",
			"a sliding window would prolong the life of the parent", limited,
			step{at: 0, presented: 1, outcome: rotated, current: 2, parent: 1, answered: 0},
			step{at: 40 * s, presented: 1, outcome: overlapped, current: 2, parent: 1, answered: 0},
			step{at: end - micro, presented: 1, outcome: overlapped, current: 2, parent: 1, answered: 0},
			step{at: end, presented: 1, outcome: recovered, current: 3, parent: 1, recoveries: 1, answered: end},
		),
		protocol("refresh/an answer in the future is inside the window",
			"a replica's clock may be behind; the time of the answer never moves back in an overlap", unlimited,
			step{at: 100 * s, presented: 1, outcome: rotated, current: 2, parent: 1, answered: 100 * s},
			step{at: 90 * s, presented: 1, outcome: overlapped, current: 2, parent: 1, answered: 100 * s},
			step{at: -day, presented: 1, outcome: overlapped, current: 2, parent: 1, answered: 100 * s},
			step{at: 90 * s, presented: 2, outcome: rotated, current: 3, parent: 2, answered: 90 * s},
		),
		protocol("refresh/a lost reply is recovered",
			"recovered: the parent outside the window gets a new successor, and the next use starts anew", unlimited,
			step{at: 0, presented: 1, outcome: rotated, current: 2, parent: 1, answered: 0},
			step{at: day, presented: 1, outcome: recovered, current: 3, parent: 1, recoveries: 1, answered: day},
			step{at: day + s, presented: 3, outcome: rotated, current: 4, parent: 3, answered: day + s},
			step{at: 2 * day, presented: 3, outcome: recovered, current: 5, parent: 3, recoveries: 1,
				answered: 2 * day},
		),
		protocol("refresh/a displaced token is a replay",
			"between parent and current: the unused successor died when it was displaced", unlimited,
			step{at: 0, presented: 1, outcome: rotated, current: 2, parent: 1, answered: 0},
			step{at: end, presented: 1, outcome: recovered, current: 3, parent: 1, recoveries: 1, answered: end},
			step{at: end + s, presented: 2, outcome: replay, current: 3, parent: 1, recoveries: 1, answered: end},
		),
		protocol("refresh/a spent token is a replay",
			"below the parent: the token has two holders, whatever the window and the recoveries", unlimited,
			step{at: 0, presented: 1, outcome: rotated, current: 2, parent: 1, answered: 0},
			step{at: 0, presented: 2, outcome: rotated, current: 3, parent: 2, answered: 0},
			step{at: s, presented: 1, outcome: replay, current: 3, parent: 2, answered: 0},
		),
		protocol("refresh/one recovery more than allowed ends the session",
			"recovery limit: MaxRecoveries in a row are allowed, the next is not", limited,
			step{at: 0, presented: 1, outcome: rotated, current: 2, parent: 1, answered: 0},
			step{at: 1 * end, presented: 1, outcome: recovered, current: 3, parent: 1, recoveries: 1,
				answered: 1 * end},
			step{at: 2 * end, presented: 1, outcome: recovered, current: 4, parent: 1, recoveries: 2,
				answered: 2 * end},
			step{at: 3*end - micro, presented: 1, outcome: overlapped, current: 4, parent: 1, recoveries: 2,
				answered: 2 * end},
			step{at: 3 * end, presented: 1, outcome: recoveryLimit, current: 4, parent: 1, recoveries: 2,
				answered: 2 * end},
		),
		protocol("refresh/a rotation forgives recoveries",
			"recoveries are counted since the last rotation", limited,
			step{at: 0, presented: 1, outcome: rotated, current: 2, parent: 1, answered: 0},
			step{at: 1 * end, presented: 1, outcome: recovered, current: 3, parent: 1, recoveries: 1,
				answered: 1 * end},
			step{at: 2 * end, presented: 1, outcome: recovered, current: 4, parent: 1, recoveries: 2,
				answered: 2 * end},
			step{at: 3 * end, presented: 4, outcome: rotated, current: 5, parent: 4, answered: 3 * end},
			step{at: 4 * end, presented: 4, outcome: recovered, current: 6, parent: 4, recoveries: 1,
				answered: 4 * end},
		),
		protocol("refresh/no recovery makes a late parent a replay",
			"NoRecovery ends the session if the parent is presented outside the overlap", never,
			step{at: 0, presented: 1, outcome: rotated, current: 2, parent: 1, answered: 0},
			step{at: end - micro, presented: 1, outcome: overlapped, current: 2, parent: 1, answered: 0},
			step{at: end, presented: 1, outcome: replay, current: 2, parent: 1, answered: 0},
		),
		protocol("refresh/strict rotation takes a token once",
			"NoOverlap refuses a refresh token after its first use, even in the same microsecond", strict,
			step{at: 0, presented: 1, outcome: rotated, current: 2, parent: 1, answered: 0},
			step{at: 0, presented: 2, outcome: rotated, current: 3, parent: 2, answered: 0},
			step{at: 0, presented: 2, outcome: replay, current: 3, parent: 2, answered: 0},
		),
		protocol("refresh/without a window a future answer is no overlap",
			"NoOverlap has no window, so nothing is inside it", strict,
			step{at: end, presented: 1, outcome: rotated, current: 2, parent: 1, answered: end},
			step{at: 0, presented: 1, outcome: replay, current: 2, parent: 1, answered: end},
		),
		protocol("refresh/a token ahead of the row is taken as current",
			"ahead: we issued it, so the database lost a commit", unlimited,
			step{at: 0, presented: 1, outcome: rotated, current: 2, parent: 1, answered: 0},
			step{at: end, presented: 1, outcome: recovered, current: 3, parent: 1, recoveries: 1, answered: end},
			step{at: end, presented: 7, outcome: ahead, current: 8, parent: 7, answered: end},
			step{at: end + s, presented: 7, outcome: overlapped, current: 8, parent: 7, answered: end + s},
			step{at: end + s, presented: 8, outcome: rotated, current: 9, parent: 8, answered: end + s},
			step{at: end + s, presented: 3, outcome: replay, current: 9, parent: 8, answered: end + s},
		),
		protocol("refresh/a token ahead is taken in strict rotation too",
			"ahead: we issued it, so the database lost a commit", strict,
			step{at: 0, presented: 2, outcome: ahead, current: 3, parent: 2, answered: 0},
			step{at: 0, presented: 1, outcome: replay, current: 3, parent: 2, answered: 0},
		),
		protocol("refresh/large counters stay exact",
			"counters go up to 2^53-1; a float would round larger ones", unlimited,
			step{at: 0, presented: maxCounter - 1, outcome: ahead, current: maxCounter,
				parent: maxCounter - 1, answered: 0},
			step{at: 0, presented: maxCounter - 1, outcome: overlapped, current: maxCounter,
				parent: maxCounter - 1, answered: 0},
			step{at: 0, presented: maxCounter, outcome: rotated, current: maxCounter + 1,
				parent: maxCounter, answered: 0},
			step{at: end, presented: maxCounter, outcome: recovered, current: maxCounter + 2, parent: maxCounter,
				recoveries: 1, answered: end},
			step{at: end, presented: maxCounter - 1, outcome: replay, current: maxCounter + 2, parent: maxCounter,
				recoveries: 1, answered: end},
		),
		{
			name: "refresh/a client that keeps its first token lives on",
			why:  "MaxRecoveries 0 is unlimited, for clients that never store a new token",
			run: func(k *kit) {
				s := session(1, "alice")
				k.create(s)
				for i := range 60 {
					now := time.Duration(i) * time.Hour
					want := recovered
					if i == 0 {
						want = rotated
					}
					got := k.refresh(sessions.RefreshParams{
						ID: s.ID, Presented: 1, Rotation: unlimited, Moment: at(now),
					})
					s = after(s, want, start.Add(now), sessions.Client{})
					k.refreshed(fmt.Sprintf("use %d", i+1), got, sessions.RefreshResult{Session: s, Outcome: want,
						State: sessions.RefreshState{
							Current: int64(i + 2), Parent: 1, Recoveries: int64(i), AnsweredAt: start.Add(now),
						}})
				}
			},
		},
		{
			name: "refresh/a long walk agrees with the table",
			why:  "Refresh runs Rotation.Next, whatever happened before and under whatever settings",
			run:  walk,
		},
		{
			name: "refresh/last use never moves back",
			why:  "every success moves LastUsedAt to the later of itself and now",
			run: func(k *kit) {
				s := session(1, "alice")
				k.create(s)
				for i, now := range []time.Duration{
					-time.Hour, 0, time.Hour, time.Hour - micro, -day, time.Hour + micro,
				} {
					got := k.refresh(sessions.RefreshParams{
						ID: s.ID, Presented: int64(i + 1), Rotation: strict, Moment: at(now),
					})
					s = after(s, rotated, start.Add(now), sessions.Client{})
					k.same(fmt.Sprintf("Refresh at %s", now), got.Session, s)
					k.holds(s)
				}
			},
		},
		{
			name: "refresh/a success takes over what the client says",
			why:  "on success the client's non-empty fields replace those of the session, one by one",
			run: func(k *kit) {
				s := session(1, "alice")
				k.create(s)
				for i, step := range []struct {
					presented int64
					outcome   sessions.Outcome
					now       time.Duration
					client    sessions.Client
				}{
					{1, rotated, 0, sessions.Client{IP: "198.51.100.1", UserAgent: "second/2.0"}},
					{1, overlapped, 0, sessions.Client{}},
					{1, overlapped, 0, sessions.Client{IP: "2001:db8::1"}},
					{1, recovered, overlap, sessions.Client{UserAgent: "third'; --"}},
					{9, ahead, overlap, sessions.Client{IP: "203.0.113.9"}},
					{10, rotated, overlap, sessions.Client{}},
				} {
					got := k.refresh(sessions.RefreshParams{
						ID: s.ID, Presented: step.presented, Rotation: unlimited, Moment: at(step.now),
						Client: step.client,
					})
					s = after(s, step.outcome, start.Add(step.now), step.client)
					k.same(fmt.Sprintf("step %d", i+1), got.Session, s)
					k.holds(s)
				}
			},
		},
		{
			name: "refresh/a refusal leaves the client and the last use",
			why:  "a refused refresh ends the session and leaves what the last success recorded",
			run: func(k *kit) {
				for i, r := range []sessions.Rotation{unlimited, limited, never, strict} {
					s := session(i, "alice")
					k.create(s)
					for n := range int64(3) {
						k.refresh(sessions.RefreshParams{
							ID: s.ID, Presented: n + 1, Rotation: r, Moment: at(time.Minute),
						})
					}
					s.LastUsedAt = start.Add(time.Minute)
					got := k.refresh(sessions.RefreshParams{
						ID: s.ID, Presented: 1, Rotation: r, Moment: at(time.Hour),
						Client: sessions.Client{IP: "203.0.113.66", UserAgent: "thief/1.0"},
					})
					s = ended(s, start.Add(time.Hour), sessions.EndReplay, "")
					k.refreshed("replay", got, sessions.RefreshResult{Session: s, Outcome: replay,
						State: sessions.RefreshState{
							Current: 4, Parent: 3, AnsweredAt: start.Add(time.Minute),
						}})
				}
			},
		},
		{
			name: "refresh/a refusal ends the session for good",
			why:  "after a replay no token of the session works, the newest included",
			run: func(k *kit) {
				s := session(1, "alice")
				k.create(s)
				for _, presented := range []int64{1, 2, 1} {
					k.refresh(sessions.RefreshParams{
						ID: s.ID, Presented: presented, Rotation: unlimited, Moment: at(0),
					})
				}
				s = ended(s, start, sessions.EndReplay, "")
				for _, presented := range []int64{3, 2, 1, 4} {
					k.noRefresh(fmt.Sprintf("token %d after the replay", presented),
						sessions.RefreshParams{
							ID: s.ID, Presented: presented, Rotation: unlimited, Moment: at(time.Hour),
						})
				}
				k.noEnd("after the replay", sessions.EndParams{
					ID: s.ID, Now: at(time.Hour).Now, Reason: sessions.EndRevoked, By: "admin",
				})
				k.endMany("after the replay", sessions.EndManyParams{
					UserID: "alice", Now: at(time.Hour).Now, Reason: sessions.EndRevoked,
				})
				k.lists("after the replay", sessions.ListParams{UserID: "alice", Moment: at(time.Hour)})
				k.holds(s)
			},
		},
		{
			name: "refresh/a session that is not live is not found",
			why:  "ErrNotFound: no such session, or not live; nothing changes",
			run: func(k *kit) {
				over := session(1, "alice")
				k.create(over)
				k.end(over, at(time.Hour))
				for _, c := range lives() {
					s := session(10+c.n, "alice")
					k.create(s)
					p := sessions.RefreshParams{
						ID: s.ID, Presented: 1, Rotation: strict, Moment: c.moment,
						Client: sessions.Client{IP: "198.51.100.1", UserAgent: "second/2.0"},
					}
					if c.live {
						got := k.refresh(p)
						k.same("Refresh, "+c.name, got.Session, after(s, rotated, c.moment.Now, p.Client))
						continue
					}
					k.noRefresh(c.name, p)
					k.holds(s)
					k.rotates("at a moment at which it is live", s, 1)
					k.holds(s)
				}
				k.noRefresh("ended", sessions.RefreshParams{
					ID: over.ID, Presented: 1, Rotation: unlimited, Moment: at(time.Hour),
				})
				k.noRefresh("before it ended", sessions.RefreshParams{
					ID: over.ID, Presented: 1, Rotation: unlimited, Moment: at(0),
				})
				k.noRefresh("missing", sessions.RefreshParams{
					ID: id(999), Presented: 1, Rotation: unlimited, Moment: at(0),
				})
				k.holds(ended(over, start.Add(time.Hour), sessions.EndRevoked, "admin"))
				k.gone(session(999, "alice"))
			},
		},
		{
			name: "refresh/a session that is not live is not ended by a replay",
			why:  "liveness is judged before the table: an expired session does not end a second time",
			run: func(k *kit) {
				s := session(1, "alice")
				k.create(s)
				for _, presented := range []int64{1, 2} {
					k.refresh(sessions.RefreshParams{ID: s.ID, Presented: presented, Rotation: strict, Moment: at(0)})
				}
				p := sessions.RefreshParams{ID: s.ID, Presented: 1, Rotation: strict, Moment: at(ttl)}
				k.noRefresh("a spent token of an expired session", p)
				p.Moment = sessions.Moment{Now: start.Add(day), IdleCutoff: start}
				k.noRefresh("a spent token of an idle session", p)
				k.holds(s)
			},
		},
		{
			name: "refresh/an impersonation expires early by the margin",
			why:  "an impersonation counts as expired ImpersonationMargin before its ExpiresAt, other sessions do not",
			run: func(k *kit) {
				const margin = 30 * time.Second
				for i, c := range []struct {
					s    sessions.Session
					now  time.Duration
					live bool
				}{
					{impersonation(1, "alice"), ttl - margin - micro, true},
					{impersonation(2, "alice"), ttl - margin, false},
					{impersonation(3, "alice"), ttl - micro, false},
					{session(4, "alice"), ttl - margin, true},
					{session(5, "alice"), ttl - micro, true},
					{session(6, "alice"), ttl, false},
				} {
					k.create(c.s)
					what := fmt.Sprintf("row %d", i+1)
					p := sessions.RefreshParams{
						ID: c.s.ID, Presented: 1, Rotation: unlimited, Moment: at(c.now), ImpersonationMargin: margin,
					}
					if c.live {
						k.same(what, k.refresh(p).Session, after(c.s, rotated, start.Add(c.now), p.Client))
						continue
					}
					k.noRefresh(what, p)
					k.holds(c.s)
				}
				k.lists("the margin applies to Refresh alone", sessions.ListParams{
					UserID: "alice", OnlyID: id(2), Impersonations: true, Moment: at(ttl - margin),
				},
					impersonation(2, "alice"))
			},
		},
		{
			name: "refresh/does not move the end of a session",
			why:  "no refresh moves ExpiresAt",
			run: func(k *kit) {
				s := session(1, "alice")
				k.create(s)
				for i := range 5 {
					now := start.Add(time.Duration(i) * 7 * day)
					got := k.refresh(sessions.RefreshParams{
						ID: s.ID, Presented: int64(i + 1), Rotation: strict, Moment: sessions.Moment{Now: now},
					})
					s = after(s, rotated, now, sessions.Client{})
					k.same("Refresh", got.Session, s)
				}
				k.noRefresh("at ExpiresAt", sessions.RefreshParams{
					ID: s.ID, Presented: 6, Rotation: strict, Moment: at(ttl),
				})
				k.holds(s)
			},
		},
		{
			name: "refresh/leaves other sessions alone",
			why:  "a refresh, refused or not, changes only the session that the token names",
			run: func(k *kit) {
				one, two, three := session(1, "alice"), session(2, "alice"), session(3, "bob")
				k.create(one, two, three)
				for _, presented := range []int64{1, 2, 1} {
					k.refresh(sessions.RefreshParams{ID: one.ID, Presented: presented, Rotation: strict, Moment: at(0)})
				}
				k.holds(two, three)
				k.rotates("another of the user", two, 1)
				k.rotates("another user's", three, 1)
			},
		},
		{
			name: "refresh/an instant is the same in every zone",
			why:  "a moment is an instant, in whatever zone it is written",
			run: func(k *kit) {
				for i, zone := range zones() {
					s := session(i, "alice")
					k.create(s)
					for n, now := range []time.Duration{0, 59 * time.Second, ttl - micro} {
						got := k.refresh(sessions.RefreshParams{
							ID: s.ID, Presented: int64(n + 1), Rotation: strict,
							Moment: sessions.Moment{
								Now: start.Add(now).In(zone), IdleCutoff: start.Add(-micro).In(zone),
							},
						})
						s = after(s, rotated, start.Add(now), sessions.Client{})
						k.refreshed(zone.String(), got, sessions.RefreshResult{Session: s, Outcome: rotated,
							State: sessions.RefreshState{
								Current: int64(n + 2), Parent: int64(n + 1), AnsweredAt: start.Add(now),
							}})
					}
					k.noRefresh("at ExpiresAt in "+zone.String(), sessions.RefreshParams{
						ID: s.ID, Presented: 4, Rotation: strict, Moment: sessions.Moment{Now: start.Add(ttl).In(zone)},
					})
				}
			},
		},
	}
}

// walk presents tokens at random, with settings that change from call to call, and compares the store with
// Rotation.Next. The seed is fixed, so that a store fails here every time or never.
func walk(k *kit) {
	rng := rand.New(rand.NewPCG(0x5e551e, 1))
	pick := func(n int) int { return rng.IntN(n) }
	settings := []sessions.Rotation{
		unlimited, unlimited, limited, never, strict, {Overlap: time.Second, MaxRecoveries: 1},
	}
	pauses := []time.Duration{
		0, 0, micro, time.Second, overlap - micro, overlap, overlap + micro, time.Hour, -micro, -time.Second, -overlap,
	}
	clients := []sessions.Client{
		{}, {IP: "198.51.100.1"}, {UserAgent: "second/2.0"}, {IP: "2001:db8::1", UserAgent: "third/3.0"},
	}

	seen := make(map[sessions.Outcome]int)
	var s sessions.Session
	var state sessions.RefreshState
	var now time.Time
	for i := range 300 {
		if s.ID == "" || !s.EndedAt.IsZero() {
			s = session(i, "alice")
			k.create(s)
			state, now = sessions.NewRefreshState(s.CreatedAt), s.CreatedAt
		}
		now = now.Add(pauses[pick(len(pauses))])
		r := settings[pick(len(settings))]
		// Mostly tokens that keep the session, so that the walk gets far.
		presented := []int64{
			state.Current, state.Current, state.Current, state.Parent, state.Parent, state.Parent, state.Parent,
			state.Current + 1 + int64(pick(3)), state.Current - 1, 1 + int64(pick(int(state.Current))),
		}[pick(10)]
		presented = max(presented, 1)
		client := clients[pick(len(clients))]

		next, outcome := r.Next(state, presented, now)
		got := k.refresh(sessions.RefreshParams{
			ID: s.ID, Presented: presented, Rotation: r, Moment: sessions.Moment{Now: now}, Client: client,
		})
		what := fmt.Sprintf("step %d, token %d with %+v on %+v", i+1, presented, r, state)
		s, state = after(s, outcome, now, client), next
		k.refreshed(what, got, sessions.RefreshResult{Session: s, State: state, Outcome: outcome})
		if len(k.failed) > 0 {
			return // Every later step would report the same.
		}
		seen[outcome]++
	}
	for o := rotated; o <= recoveryLimit; o++ {
		if seen[o] == 0 {
			k.errorf("the walk itself is at fault: it never had outcome %d", o)
		}
	}
}

// life is a moment in the life of a session that session returned, and whether the session is live then.
type life struct {
	n      int
	name   string
	moment sessions.Moment
	live   bool
}

// over reports whether the session has expired then, idle or not.
func (l life) over() bool { return !l.moment.Now.Before(start.Add(ttl)) }

func lives() []life {
	all := []life{
		{name: "when it is created", moment: at(0), live: true},
		{name: "before it is created, by a clock that is behind", moment: at(-time.Hour), live: true},
		{name: "a microsecond before ExpiresAt", moment: at(ttl - micro), live: true},
		{name: "at ExpiresAt", moment: at(ttl)},
		{name: "a microsecond after ExpiresAt", moment: at(ttl + micro)},
		{name: "last used a microsecond after IdleCutoff", moment: sessions.Moment{
			Now: start.Add(day), IdleCutoff: start.Add(-micro),
		},
			live: true},
		{name: "last used at IdleCutoff", moment: sessions.Moment{Now: start.Add(day), IdleCutoff: start}},
		{name: "last used a microsecond before IdleCutoff", moment: sessions.Moment{
			Now: start.Add(day), IdleCutoff: start.Add(micro),
		}},
		{name: "expired and idle", moment: sessions.Moment{Now: start.Add(ttl), IdleCutoff: start.Add(ttl - day)}},
	}
	for i := range all {
		all[i].n = i
	}
	return all
}
