// Package httpapi tests the HTTP API of package sessions against its contract and its
// OpenAPI document, which validates every answer. It contains only tests.
//
// The tests are not in package sessions because the go.sum of a host lists the imports of
// the tests of its dependencies, and the OpenAPI library imports two dozen modules.
package httpapi
