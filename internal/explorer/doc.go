// Package explorer proves the refresh protocol on small models. It ships nothing:
// its tests go through every state that the models can reach, breadth-first, with
// [github.com/sessile-go/sessile/sessions.Rotation.Next] itself as the rules.
//
//	go test ./internal/explorer -v                         seconds, with the counts
//	go test ./internal/explorer -v -explorer.long          larger set-ups
//	go test ./internal/explorer -explorer.depth 30         the proofs to depth 30 only
//
// Every state space closes: nothing new is left to visit, so the results hold for
// runs of any length. When something breaks, the shortest run that breaks it is
// printed, with real counters.
//
// # The models
//
//   - anyone: every token ever issued may be presented at any time, by anyone. The
//     invariants are judged by the notes of an onlooker, not by the row.
//   - honest: one to three tabs on one store, or static clients. Requests get lost,
//     repeated, given up and arrive late, replies get lost; a database may be set
//     back to any earlier row.
//   - duel: a victim and a thief who stole once everything the victim held, sent
//     and was sent. A use is a request and its reply in one step.
//
// # What they leave out, and why that is sound
//
//   - A token is its counter: a forged one never gets here, and successors are
//     derived, so equal counters are equal tokens (of one secret).
//   - One row: sessions share nothing. One step of the row is atomic, as the store
//     contract demands; that the stores keep it is tested on the stores.
//   - Time is in ticks, as ages. The rules compare differences of times, never
//     times; an age outside the window is outside for good. Deadlines of the models
//     are multiples of a tick, so finer ticks add orders of events only if two
//     deadlines differ by less; the finer set-ups are there for that.
//   - Counters are renamed when states are compared. The rules compare them and add
//     1; a token below Current that is not the parent never becomes either. Tabs
//     have no memory but their store and request, so requests are a set.
//     TestKeysDropNothingThatMatters checks the renaming, state by state.
//   - anyone stops at a number of tokens, restoring at a number of lost commits
//     (lost at once; restores themselves repeat without limit).
//
// # What holds
//
// F is the longest a tab waits, from reading its token to storing the reply; Z the
// longest until a request arrives at the row, given up or not; S the difference
// between the clocks of replicas.
//
//	                                    unlimited   limit n     no recovery  strict
//	(a) honest clients stay signed in   yes [1]     see [2]     see [3]      see [4]
//	(b) turns of victim and thief [5]   3           min(n+1,3)  1            1
//	(c) no spent token has a successor  yes         yes         yes          yes
//	(d) nothing refreshes what is over  yes         yes         yes          yes
//	(e) counters never go back          yes         yes         yes          yes
//	(g) duplicates get one answer       yes         yes         yes          no window
//	(h) (a) after lost commits [6]      as (a)      as (a)      as (a)       as (a)
//
// The conditions:
//
//  1. For several tabs exactly if Overlap > F+Z+S, and the next refresh comes later
//     than Z after the last reply was stored. If requests die with their tab's
//     patience, Z is F: 60 s of overlap and clocks 15 s apart support time-outs
//     below 22.5 s.
//  2. One tab that loses at most n replies in a row, if no request arrives after it
//     was given up; several tabs that lose none. The window is fixed there.
//  3. No reply is lost.
//  4. One tab, and no reply is lost.
//  5. Plus one per lost reply of the victim. Static victims: no bound if recoveries
//     are unlimited and the thief is static too; n+1 with a limit.
//  6. If the database is away for as long as requests live, as in a failover. A
//     restore takes back that an answer restarted the window, and tabs around its
//     edge may then get two successors.
//
// # Forced refreshes
//
// The next refresh has to come later than Z, or this happens: A sends 1, B sends 1;
// A gets 2, stores it and at once refreshes with it; then B's 1 arrives, and is
// spent. It ends this share of sessions, each time that a tab refreshes again after
// so long a pause while another's request is under way (round trips 50 ms to 5 s,
// evenly on a logarithmic scale):
//
//	pause            0    100 ms  500 ms   1 s    2 s   5 s
//	sessions ended  30 %   25 %    15 %    8 %    1 %    0
//
// With access tokens of ten minutes another tab's request is under way in 0.2 % of
// cases if timers are independent, and in nearly all if one event wakes both tabs.
//
// Answers by rule, none in use:
//
//   - "The current token, inside the window, answers itself": closes the gap for
//     stores that compare and swap. If the last write wins, it takes a window that
//     such answers restart, and then a client that refreshes once per overlap never
//     rotates. The bound of three turns stands. But with either, a thief with
//     a spent token, the parent, who presents it once per overlap keeps the window
//     open, the victim's token current and its own alive: for ever, in every phase,
//     without knowing anything of the victim. In use, the victim's next refresh or
//     the one after ends that. This price is too high.
//   - "Inside the window the token before the parent is refused without ending the
//     session": gives nobody a token, keeps the bound, closes one forced refresh
//     (30 % becomes 0), not two in a row (14 %). The better rule, should one be
//     needed; it costs an answer that clients must understand.
//   - The same for every spent token: closes it if stores compare and swap, but a
//     thief who refreshes once per overlap is never ended by the victim's token.
//
// The answer by client is complete and free: one refresh at a time per store (a lock
// that tabs share) with none abandoned under way, or a forced refresh that waits
// until Z has passed since the last stored reply; two seconds already take 30 % to
// 1 %, five to none of the above.
//
// # Requests that are held back
//
// A proxy can hold a request back for longer than the overlap, or send it a second time
// after its own time-out, when the browser has long had the answer to another request
// and given this one up. The late token is the parent, outside the window: it displaces
// the successor that the browser holds, the reply is lost, and the browser's next
// refresh looks like a second holder. One such request suffices.
//
// Two rules that would mend it, explored and not in use: "the displaced token is taken
// back, once for each rotation, if its successor is unused", after one recovery or after
// any number of them.
//
//	                                  in use   after one   after any
//	one request held back             ended    lives       lives
//	turns, thief who keeps tokens     3        3           4
//	turns, thief who keeps the newest 2        3           3
//
// The price is paid by every victim of a thief who keeps only the newest token: today
// the thief's second refresh ends the session, with either rule it succeeds, and if the
// victim is away, the thief has the session until the victim returns. Neither rule mends
// two held-back requests in a row.
//
// A browser's cookies do not distinguish the two. The held-back request carries
// the pair of cookies from before the refresh, as the retry after a lost reply does; and
// the displaced pair is complete in the browser and in a stolen cookie jar alike. A process
// that has seen the new access token could distinguish them, but only that process.
//
// The cure in use is condition 1: an overlap longer than a proxy holds a request.
//
// # The restarted window and its price
//
// An overlap answer restarts the window if recoveries are unlimited; otherwise tabs that
// wake around its end would be signed out. The price: a thief who rotates once per
// access-token lifetime and presents the old token again within each overlap keeps
// the window open, so a victim that refreshes regularly always gets the thief's own
// successor. He need not know when the victim refreshes, only how often, and is
// found when it skips a refresh or makes one more; a fixed window leaves him one
// phase in ten.
// He shows as an overlap event per minute, from two addresses.
//
// Rule quiet is the alternative, explored and not in use: a fixed window, then one
// as long in which the parent gets the answer to come back later. It needs no new column,
// keeps (a), for tabs even if recoveries are limited, and (h) without condition 6,
// and stops that thief. Its price is that answer: a retry between one overlap and two
// after a lost reply waits up to an overlap, and so does a second static client.
package explorer
