// Package sessions gives an app that already has users its auth sessions.
package sessions
