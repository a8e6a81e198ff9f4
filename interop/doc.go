// Package interop tests sessile against clients that others wrote: the published
// SDK of Stack Auth, golang.org/x/oauth2, and JWT libraries of Go and Node that
// verify access tokens against the JWK set. It also runs both faces of the store on
// drivers and plug-ins of others (packages stores and glebarez), the contract of the
// adapters on other routers (package routers), and the pages of examples/sqlite in
// Chromium.
//
// It is a separate module, so that its dependencies stay out of the root's. The
// tests start examples/sqlite on both databases. Those on Node run npm ci if
// node_modules is missing. They are skipped without Node, unless
// SESSILE_REQUIRE_NODE is 1; the same applies to Chromium, with
// SESSILE_REQUIRE_CHROMIUM.
package interop
