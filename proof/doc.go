// Package proof tests the promises of the refresh protocol on the real stores: SQLite,
// Postgres, and the one in memory. It contains only tests.
//
//	go -C proof test .                               about a minute
//	go -C proof test . -proof.histories 500          more concurrent histories
//	go -C proof test . -rapid.checks 5000 -timeout 1h  more random runs
//	go -C proof test . -run Unheard -proof.hangups 1000
//	go -C proof test . -proof.pictures /tmp          draws the histories that fail
//
// # Linearizability
//
// Several Managers, each with its own handle on one database, concurrently create, refresh,
// end, list and read sessions, while connections are killed, contexts are canceled in the
// middle of a statement, answers get lost and the server restarts. A sequential model then
// checks every answer. Its refresh is
// [github.com/sessile-go/sessile/sessions.Rotation.Next]. There must be an order of all calls,
// consistent with real time, in which every caller gets the answer that it got. A call with an
// unknown result may take effect at any time after it began, or never. A history covers one
// user: List and EndMany are one step over all sessions of the user.
//
// Postgres gets one allowance. Its UPDATE of several rows has one snapshot and updates the
// rows one after another, so EndMany is one step for each session and not one for all of them:
// a session that is created while it runs may survive, although a list has shown it next to
// one that did not. A session that was created before it began never survives.
//
// # State machine
//
// Random runs of honest and careless clients, thieves, jumping clocks, restarting
// replicas on different steps of the secret rotation, and settings. A model of pure values
// checks each answer and each row. An onlooker, who knows only what clients sent and
// received, judges the invariants:
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
// Random calls for sessions and their dependents on one store. A model checks every answer
// and every list; in it, the idle time of a session does not affect others. Broken rules
// must fail here, too.
//
// # Thieves, dumps, secrets, ceilings
//
// Over HTTP, the table of the protocol checks every interleaving of up to five uses of one
// session by its user and a thief; -theft.sqlite 5 walks them all on SQLite, too. Every byte
// of both databases is searched for issued tokens, and tried as a credential and as a key.
// Logs, errors, events and every exported type are searched for live secrets. Secrets rotate
// twice by the runbook while clients refresh, and in the wrong order, which must sign clients
// out. And nothing extends an impersonation.
//
// # Revocation
//
// A session that one process ends is denied by another, over HTTP and one Postgres. A
// benchmark measures after how long, for each setting of the dial:
//
//	go -C proof test . -run '^$' -bench TimeToDeny -benchtime 30x
//
// # Clients that hang up
//
// Clients send a replay, an end or a sign-out over TCP and hang up while the server carries
// it out. No session ends without its event, and the process that ended it refuses its access
// token.
package proof
