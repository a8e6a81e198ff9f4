// Package sessionstest helps a host to test the code around its sessions without a
// database and without waiting, and with the same result each time.
//
// Start with [New], which makes a whole Manager in memory. [SignIn] signs a user in with it,
// or with the host's own Manager, and gives the test a client, a header, cookies or an
// identity.
//
// The parts also work by themselves. [Clock] stands still until the test moves it. [Store]
// keeps sessions in memory. [Faults] wraps any store, this one or the real one, and makes
// chosen calls fail before they happen, fail after they happened, or wait.
//
// The package is for tests. Nothing in it is durable, and a Store in memory knows nothing of
// the host's transactions.
package sessionstest
