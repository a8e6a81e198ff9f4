// Package interop tests sessile against clients that others wrote: the published
// SDK of Stack Auth, golang.org/x/oauth2, and JWT libraries of Go and Node that
// verify our access tokens from our JWK set. It also runs the store on a driver
// without cgo, the contract of the adapters on the routers of others (package
// routers), and the pages of examples/sqlite in Chromium.
//
// It is a module of its own, so that what it needs stays out of the root's. The
// tests start examples/sqlite on both databases. Those on Node run npm ci where
// node_modules is missing, and are skipped where there is no Node, unless
// SESSILE_REQUIRE_NODE is 1; the same goes for Chromium, with
// SESSILE_REQUIRE_CHROMIUM.
package interop
