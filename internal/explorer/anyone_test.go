package explorer_test

import (
	"testing"

	"github.com/sessile-go/sessile/sessions"
)

func isLive(s sessions.Session, at sessions.Moment) bool { return s.Live(at) }

// settings are the ways to set the protocol, with an overlap of three ticks.
var settings = []struct {
	name string
	protocol
}{
	{"unlimited", with(3, 0)},
	{"limit 1", with(3, 1)},
	{"limit 3", with(3, 3)},
	{"no recovery", with(3, sessions.NoRecovery)},
	{"strict", strict()},
}

// (c), (d), (e), (g), in every setting, for whatever clients and thieves.
func TestWhateverIsPresented(t *testing.T) {
	t.Parallel()
	for _, c := range settings {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			newest := counter(12)
			if *long {
				newest = 24
			}
			holds(t, anyone{protocol: c.protocol, newest: newest, live: isLive})
			holds(t, anyone{protocol: c.protocol, newest: newest, live: isLive, lifetime: 9, idle: 4})
		})
	}
}

func TestWhateverIsPresentedFindsBrokenRules(t *testing.T) {
	t.Parallel()
	never := func(sessions.Session, sessions.Moment) bool { return true }
	notEnded := func(s sessions.Session, _ sessions.Moment) bool { return s.EndedAt.IsZero() }
	for _, c := range []struct {
		name, want, trace string
		m                 anyone
	}{
		{"the token before the parent is accepted", "(c)",
			"arrive 1 rotated →2; arrive 2 rotated →3; arrive 1 overlap →3", anyone{
				protocol: with(3, 0).but(grandparent),
			}},
		{"every token is accepted", "(c)", "arrive 1 rotated →2; arrive 2 rotated →3; arrive 1 overlap →3",
			anyone{protocol: with(3, 0).but(anyPrevious)}},
		{"a displaced successor is accepted", "(c)",
			"arrive 1 rotated →2; tick; tick; tick; arrive 1 recovered →3; arrive 2 rotated →4",
			anyone{protocol: with(3, 0).but(siblingsLive)}},
		{"a parent is forgotten", "(e)", "arrive 1 rotated →2; arrive 2 rotated →3", anyone{
			protocol: with(3, 0).but(parentBack),
		}},
		{"more recoveries than allowed", "(c)",
			"arrive 1 rotated →2; tick; tick; tick; arrive 1 recovered →3; tick; tick; tick; arrive 1 recovered →4; " +
				"tick; tick; tick; arrive 1 recovered →5", anyone{protocol: with(3, 2).but(recoveriesUncounted)}},
		{"a recovery where none is allowed", "(c)", "arrive 1 rotated →2; tick; tick; tick; arrive 1 recovered →3",
			anyone{protocol: with(3, sessions.NoRecovery).but(recoversAlways)}},
		{"a second use in strict rotation", "(c)", "arrive 1 rotated →2; arrive 1 recovered →3",
			anyone{protocol: strict().but(recoversAlways)}},
		{"the database loses commits", "(c)",
			"arrive 1 rotated →2; arrive 2 rotated →3; restore 1; arrive 1 rotated →2", anyone{
				protocol: with(3, 0), rollback: true,
			}},
		{"nobody asks whether the session has ended", "(d)", "sign out; arrive 1 rotated →2", anyone{
			protocol: with(3, 0), live: never,
		}},
		{"nobody asks whether the session has expired", "(d)", "tick; tick; tick; arrive 1 rotated →2",
			anyone{protocol: with(3, 0), live: notEnded, lifetime: 3}},
		{"nobody asks whether the session is idle", "(d)", "tick; tick; tick; arrive 1 rotated →2",
			anyone{protocol: with(3, 0), live: notEnded, idle: 3}},
		{"a counter is set back", "(e)", "arrive 1 rotated →2; tick; tick; tick; arrive 1 recovered →1",
			anyone{protocol: with(3, 0).but(counterBack)}},
		{"a duplicate gets a token of its own", "(g)", "arrive 1 rotated →2; arrive 1 overlap →3",
			anyone{protocol: with(3, 0).but(overlapMints)}},
		{"a duplicate is refused", "(g)", "arrive 1 rotated →2; arrive 1 replay", anyone{
			protocol: with(3, 0).but(overlapEnds),
		}},
		{"a replay does not end the session", "(b)", "arrive 1 rotated →2; arrive 2 rotated →3; arrive 1 later",
			anyone{protocol: with(3, 0).but(replayRefuses)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.m.newest = 12
			if c.m.live == nil {
				c.m.live = isLive
			}
			breaks(t, c.m, c.want, c.trace)
		})
	}
}
