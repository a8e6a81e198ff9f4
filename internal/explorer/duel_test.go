package explorer_test

import (
	"fmt"
	"testing"
)

// (b): two parties with diverging tokens, who both keep coming back outside the
// window, take turns at most so often, whatever the thief does with all that it
// stole and got.
func TestTurnsOfVictimAndThief(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		setting string
		victim  memory
		thief   thief
		uses    int8
	}{
		{"unlimited", overwrite, hoards, 3},
		{"unlimited", overwrite, adopts, 2},
		{"unlimited", overwrite, clings, 3},
		{"unlimited", static, adopts, 2},
		{"limit 1", overwrite, hoards, 2},
		{"limit 1", static, hoards, 2},
		{"limit 3", overwrite, hoards, 3},
		{"limit 3", static, hoards, 4}, // the limit and one
		{"no recovery", overwrite, hoards, 1},
		{"no recovery", static, hoards, 1},
		{"strict", overwrite, hoards, 1},
		{"strict", static, hoards, 1},
	} {
		name := fmt.Sprintf("%s, %s victim, %s thief", c.setting, map[memory]string{
			overwrite: "adopting", static: "static",
		}[c.victim],
			[]string{hoards: "hoarding", adopts: "adopting", clings: "static"}[c.thief])
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := duel{victim: c.victim, thief: c.thief, uses: c.uses}
			for _, s := range settings {
				if s.name == c.setting {
					m.protocol = s.protocol
				}
			}
			for m.lost = range int8(4) {
				t.Logf("%d replies lost", m.lost)
				holds(t, m)
			}
			// No smaller bound is true.
			m.lost = 0
			m.uses--
			breaks(t, m, "(b)", "")
		})
	}
}

// What the bound does not cover, and what it would miss.
func TestTurnsWithoutBound(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, trace string
		m           duel
	}{
		{"caught at the second use, as if the thief forgot its old token",
			"steal 1; thief uses 1 rotated →2; tick; tick; tick; victim uses 1 recovered →3; tick; tick; tick; thief " +
				"uses 1 recovered →4",
			duel{protocol: with(3, 0), victim: overwrite, uses: 2}},
		{"static against static", "",
			duel{protocol: with(3, 0), victim: static, thief: clings, uses: 20}},
		{"a thief who rides inside the window", "",
			duel{protocol: with(3, 0), victim: overwrite, uses: 20, rides: true}},
		{"a thief who steals again and again", "",
			duel{protocol: with(3, 0), victim: overwrite, uses: 20, restolen: true}},
		{"a replay does not end the session",
			"steal 1; thief uses 1 rotated →2; tick; tick; tick; victim uses 1 recovered →3; tick; tick; tick; thief " +
				"uses 1 recovered →4; tick; tick; tick; victim uses 3 later; thief uses 4 rotated →5",
			duel{protocol: with(3, 0).but(replayRefuses), victim: overwrite, uses: 3}},
		{"every token is accepted",
			"steal 1; thief uses 1 rotated →2; thief uses 2 rotated →3; tick; tick; tick; victim uses 1 overlap →3; " +
				"thief uses 1 overlap →3; victim uses 3 rotated →4",
			duel{protocol: with(3, 0).but(anyPrevious), victim: overwrite, uses: 3}},
		{"a displaced successor is accepted", "",
			duel{protocol: with(3, 0).but(siblingsLive), victim: overwrite, uses: 3}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			breaks(t, c.m, "(b)", c.trace)
		})
	}
}
