// Package proof holds the refresh protocol against what it promises, on the real
// stores: SQLite, Postgres, and the one in memory. It ships nothing.
//
//	go test ./internal/proof                               about a minute
//	go test ./internal/proof -proof.histories 500          more concurrent histories
//	go test ./internal/proof -rapid.checks 5000 -timeout 1h  more random runs
//	go test ./internal/proof -run Unheard -proof.hangups 1000
//	go test ./internal/proof -proof.pictures /tmp          draws the histories that fail
//
// # Linearizability
//
// Several Managers, each with a handle of its own on one database, create, refresh,
// end, list and read sessions at once, while connections are killed, contexts end in
// the middle of a statement, answers get lost and the server restarts.
// Every answer is then held against a sequential model, whose refresh is
// [github.com/sessile-go/sessile/sessions.Rotation.Next]: there has to be one order of
// all calls, in keeping with real time, that gives every caller what it saw. A call
// with an unknown result may have happened at any time after it began, or never. The unit of a
// history is a user: lists and ends of many are judged over all sessions of the user, as one step
// each.
//
// Postgres gets one allowance. Its UPDATE of several rows has one snapshot and takes
// the rows one after another, so an end of many is a step for each session, not for
// all of them: a session created while it runs may survive, although a list has
// shown it next to one that did not. What was created before it began never survives.
//
// # State machine
//
// Random runs of honest and careless clients, thieves, jumping clocks, restarting
// replicas on different steps of the secret rotation, and settings. Each answer and
// each row is held against a model of pure values, and an onlooker, who knows only
// what clients sent and were sent, judges the invariants:
//
//	(a) an honest client is never signed out by refreshing
//	(c) a spent token never has a successor
//	(d) nothing refreshes a session that is over
//	(e) counters never go back
//	(f) one row per session
//	(g) duplicates inside the window get the same successor
//
// Both proofs are tested themselves: stores that are broken on purpose must fail.
//
// # Impersonations
//
// Random calls about sessions and the impersonations that depend on them, on one store:
// every answer and every list is held against a model whose rule is a line, that being
// idle is each session's own affair. Broken rules must be noticed here, too.
//
// # Thieves, dumps, secrets, ceilings
//
// Over HTTP, every interleaving of up to five uses of one session by its user and a
// thief is held against the table; -theft.sqlite 5 walks them all on SQLite, too.
// Every byte of both databases is searched for what was issued, and tried as
// credential and as key. Logs, errors, events and every exported type are searched
// for live secrets. Secrets rotate twice by the runbook while clients refresh, and in
// the wrong order, which has to sign clients out. And nothing extends an
// impersonation.
//
// # Revocation
//
// What one process ends another one denies, over HTTP and one Postgres; the
// benchmark says after how long, for each setting of the dial:
//
//	go test ./internal/proof -run '^$' -bench TimeToDeny -benchtime 30x
//
// # Clients that hang up
//
// Clients send a replay, an end or a sign-out over TCP and hang up while the server
// carries it out. No session ends without its event, and the process that ended it
// takes its access token no longer.
package proof
