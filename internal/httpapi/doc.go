// Package httpapi holds the HTTP API of package sessions against its OpenAPI
// document and its contract: every answer of these tests is validated. It ships
// nothing.
//
// The tests are not in package sessions because a host's go.sum lists what the
// tests of its dependencies import, and the OpenAPI library would bring two dozen
// modules there.
package httpapi
