package explorer_test

import (
	"testing"

	"github.com/sessile-go/sessile/sessions"
)

const anyNumber = -1

// tabs is a client within the assumptions: so many tabs on one store, on a
// network that loses, delays and repeats whatever it likes. F is 2 ticks, and
// the overlap the shortest that suffices.
func tabs(n int, store memory) honest {
	return honest{
		protocol: with(5, 0), stores: []memory{store}, tabs: n, flight: n + 1,
		timeout: 2, linger: 2, pace: 3, lost: anyNumber,
	}
}

// slow is m with all its times, and so the resolution of the model, half as long
// again.
func (m honest) slow() honest {
	m.Overlap, m.timeout, m.linger, m.pace = 7*tick, 3, 3, 4
	return m
}

func (m honest) using(p protocol) honest          { m.protocol = p; return m }
func (m honest) restoring(commits counter) honest { m.rollback = commits; return m }
func (m honest) paced(ticks int8) honest          { m.pace = ticks; return m }
func (m honest) inFlight(n int) honest            { m.flight = n; return m }

// losing is m on a network that delivers a request at most once, and none that was
// given up, and loses at most n replies in a row.
func (m honest) losing(n int8) honest { m.lost, m.once, m.linger = n, true, -1; return m }

// (a) and (h): clients within the assumptions are never signed out by refreshing,
// whatever is lost, and whatever the database forgets.
func TestHonestClientsStaySignedIn(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		long bool
		m    honest
	}{
		{"one tab", false, tabs(1, swap)},
		{"one tab, many abandoned requests", false, tabs(1, overwrite).inFlight(4)},
		{"two tabs, compare and swap", false, tabs(2, swap)},
		{"two tabs, last write wins", false, tabs(2, overwrite)},
		{"three tabs, compare and swap", false, tabs(3, swap)},
		{"three tabs, last write wins", false, tabs(3, overwrite)},
		{"one static tab", false, tabs(1, static)},
		{"two static tabs", false, tabs(2, static)},
		{"one tab, finer ticks", false, tabs(1, overwrite).slow()},
		{"two tabs, finer ticks", false, tabs(2, overwrite).slow()},
		{"three tabs, finer ticks", false, tabs(3, overwrite).slow()},
		{"one tab, restored", false, tabs(1, overwrite).restoring(6)},
		{"two tabs, compare and swap, restored", false, tabs(2, swap).restoring(3)},
		{"two tabs, last write wins, restored", false, tabs(2, overwrite).restoring(3)},
		{"three tabs, restored", false, tabs(3, overwrite).inFlight(3).restoring(2)},
		{"one static tab, restored", false, tabs(1, static).restoring(6)},
		{"two static tabs, restored", false, tabs(2, static).restoring(3)},

		{"three tabs, finer ticks, compare and swap", true, tabs(3, swap).slow()},
		{"one tab, finer ticks, restored", true, tabs(1, overwrite).slow().restoring(12)},
		{"two tabs, finer ticks, restored", true, tabs(2, overwrite).slow().restoring(6)},
		{"three tabs, finer ticks, restored", true, tabs(3, overwrite).slow().restoring(3)},
		{"two static tabs, finer ticks, restored", true, tabs(2, static).slow().restoring(6)},
	} {
		if c.long && !*long {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			holds(t, c.m)
		})
	}
}

// The other settings promise less, and keep that. A lost reply counts even if its
// request was given up.
func TestHonestClientsWithLimitedRecoveries(t *testing.T) {
	t.Parallel()
	const refused = "(a)"
	for _, c := range []struct {
		name string
		m    honest
		want string
	}{
		{"limit 1, one reply lost in a row", tabs(1, overwrite).using(with(5, 1)).losing(1), ""},
		{"limit 1, two replies lost in a row", tabs(1, overwrite).using(with(5, 1)).losing(2), refused},
		{"limit 3, three replies lost in a row", tabs(1, overwrite).using(with(5, 3)).losing(3), ""},
		{"limit 3, four replies lost in a row", tabs(1, overwrite).using(with(5, 3)).losing(4), refused},
		{"limit 3, one reply lost in a row, restored", tabs(1, overwrite).using(with(5, 3)).losing(1).restoring(4), ""},
		{"limit 3, two tabs, nothing lost", tabs(2, overwrite).using(with(5, 3)).losing(0), ""},
		// The window is fixed there, so this is the edge of the next test.
		{"limit 3, two tabs, one reply lost", tabs(2, overwrite).using(with(5, 3)).losing(1), refused},
		{"limit 3, a static client", tabs(1, static).using(with(5, 3)).losing(0), refused},
		{"no recovery, nothing lost", tabs(2, overwrite).using(with(5, sessions.NoRecovery)).losing(0), ""},
		{"no recovery, nothing lost, restored", tabs(2, overwrite).using(with(5, sessions.NoRecovery)).losing(0).
			restoring(3), ""},
		{"no recovery, one reply lost", tabs(1, overwrite).using(with(5, sessions.NoRecovery)).losing(1), refused},
		{"strict, one tab, nothing lost", tabs(1, overwrite).using(strict()).losing(0), ""},
		{"strict, one tab, nothing lost, restored", tabs(1, overwrite).using(strict()).losing(0).restoring(4), ""},
		{"strict, one tab, one reply lost", tabs(1, overwrite).using(strict()).losing(1), refused},
		{"strict, two tabs, nothing lost", tabs(2, overwrite).using(strict()).losing(0), refused},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if c.want == "" {
				holds(t, c.m)
			} else {
				breaks(t, c.m, c.want, "")
			}
		})
	}
}

func strict() protocol {
	p := with(0, 0)
	p.Rotation = sessions.StrictRotation()
	return p
}

// The assumptions are not only sufficient: with F the longest a tab waits, Z the
// longest that a request may take to arrive, and S the difference between the
// clocks of replicas, (a) holds for several tabs on one store exactly if the
// overlap is longer than F+Z+S, and the next refresh comes later than Z after the
// last answer was stored.
func TestTimesThatHonestClientsNeed(t *testing.T) {
	t.Parallel()
	setups := 0
	for f := int8(1); f <= 2; f++ {
		for z := f; z <= 4; z++ {
			for skew := range int8(3) {
				for pace := z - 1; pace <= z+1; pace++ {
					for w := f + z + skew - 1; w <= f+z+skew+2; w++ {
						m := honest{
							protocol: with(int(w), 0), stores: []memory{overwrite}, tabs: 2, flight: 2,
							timeout: f, linger: z, pace: pace, lost: anyNumber,
						}
						m.skew = skew
						setups++
						r := explore(m, 0)
						if got, want := r.broken == "", w > f+z+skew && pace > z; got != want {
							t.Errorf("F=%d Z=%d S=%d W=%d, next refresh after %d: %v, want it to hold: %t", f, z, skew,
								w, pace, r, want)
						}
					}
				}
			}
		}
	}
	t.Logf("%d set-ups", setups)
}

// What is known to go wrong, with the shortest way there.
func TestHonestClientsOutsideTheAssumptions(t *testing.T) {
	t.Parallel()
	const refused = "(a)"
	two := honest{
		protocol: with(3, 0), stores: []memory{overwrite}, tabs: 2, flight: 2,
		timeout: 1, linger: 1, pace: 2, lost: anyNumber, once: true,
	}
	for _, c := range []struct {
		name  string
		m     func(m honest) honest
		trace string
	}{
		{"a recovery does not restart the window",
			func(m honest) honest {
				return m.using(m.but(windowNotRestarted))
			}, "send 1; arrive 1 rotated →2; tick; give up 1; tick; tick; send 1; send 1; arrive 1 recovered →3; " +
				"reply to 1 →3; tick; arrive 1 recovered →4; give up 1; tick; send 3; arrive 3 replay"},
		{"an overlap answer does not restart the window",
			func(m honest) honest {
				return m.using(m.but(windowFixed))
			}, "send 1; arrive 1 rotated →2; tick; send 1; give up 1; tick; send 1; arrive 1 overlap →2; reply to 1 " +
				"→2; tick; arrive 1 recovered →3; give up 1; tick; send 2; arrive 2 replay"},
		{"no overlap with unlimited recoveries",
			func(m honest) honest {
				return m.using(with(0, 0))
			}, "send 1; send 1; arrive 1 rotated →2; reply to 1 →2; tick; arrive 1 recovered →3; give up 1; tick; " +
				"send 2; arrive 2 replay"},
		{"an overlap of twice the time-out",
			func(m honest) honest {
				return m.using(with(2, 0))
			}, "send 1; arrive 1 rotated →2; tick; send 1; reply to 1 →2; tick; arrive 1 recovered →3; give up 1; " +
				"tick; send 2; arrive 2 replay"},
		{"a request that was given up arrives later than the overlap allows",
			func(m honest) honest {
				m.linger = 2
				return m.paced(3)
			}, "send 1; arrive 1 rotated →2; tick; send 1; reply to 1 →2; tick; give up 1; tick; reply lost: arrive " +
				"1 recovered →3; tick; send 2; arrive 2 replay"},
		{"a forced second refresh",
			func(m honest) honest {
				return m.paced(0)
			}, "send 1; send 1; arrive 1 rotated →2; reply to 1 →2; forget 1; send 2; arrive 2 rotated →3; arrive 1 " +
				"replay"},
		{"one tab, a forced refresh while an abandoned request is under way",
			func(m honest) honest {
				m.tabs = 1
				return m.paced(0)
			}, "send 1; give up 1; send 1; arrive 1 rotated →2; reply to 1 →2; forget 1; send 2; arrive 2 rotated " +
				"→3; arrive 1 replay"},
		{"tabs that each keep their own copy",
			func(m honest) honest { m.stores, m.tabs = []memory{overwrite, overwrite}, 1; return m },
			"send 1; arrive 1 rotated →2; reply to 1 →2; tick; tick; send 2; send 1; arrive 2 rotated →3; arrive 1 " +
				"replay"},
		{"one program adopts and one does not",
			func(m honest) honest { m.stores, m.tabs = []memory{overwrite, static}, 1; return m },
			"send 1; arrive 1 rotated →2; reply to 1 →2; tick; tick; send 2; send 1; arrive 2 rotated →3; arrive 1 " +
				"replay"},
		{"a restart brings the first token back",
			func(m honest) honest { m.stores, m.tabs = []memory{volatile}, 1; return m },
			"send 1; arrive 1 rotated →2; reply to 1 →2; tick; tick; send 2; restart with 1; arrive 2 rotated →3; " +
				"give up 2; send 1; arrive 1 replay"},
		{"a frozen tab sends what it read two refreshes ago",
			func(m honest) honest {
				m.linger = 3
				return m
			}, "send 1; send 1; arrive 1 rotated →2; reply to 1 →2; tick; forget 1; give up 1; tick; send 2; arrive " +
				"2 rotated →3; arrive 1 replay"},
		{"clocks that are apart",
			func(m honest) honest {
				m.skew = 1
				return m
			}, "send 1; arrive 1 rotated →2; tick; send 1; reply to 1 →2; tick; arrive 1 recovered →3; give up 1; " +
				"tick; send 2; arrive 2 replay"},
		// A restore takes back that the window was restarted. It does no harm if the
		// requests from before the restore died with their connections.
		{"a request from before a restore arrives after it",
			func(m honest) honest {
				m.survive = true
				return m.restoring(1)
			}, "send 1; arrive 1 rotated →2; tick; send 1; give up 1; tick; send 1; give up 1; backup at 2; arrive 1 " +
				"overlap →2; reply to 1 →2; tick; restore 2; reply lost: arrive 1 recovered →3; tick; send 2; arrive " +
				"2 replay"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			breaks(t, c.m(two), refused, c.trace)
		})
	}
	// The cures, next to the diseases.
	for _, c := range []struct {
		name string
		m    honest
	}{
		{"as it is", two},
		{"forced refreshes, one at a time", honest{
			protocol: with(3, 0), stores: []memory{
				overwrite,
			}, tabs: 1, flight: 1, timeout: 1, lost: anyNumber, linger: -1,
		}},
		{"a request from before a restore, one at a time", honest{
			protocol: with(3, 0), stores: []memory{overwrite}, tabs: 1, flight: 1, timeout: 1, lost: anyNumber,
			linger: -1, once: true, rollback: 6, survive: true,
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			holds(t, c.m)
		})
	}
}

func TestHonestClientsFindBrokenRules(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		m    honest
	}{
		{"overlap mints a new successor", tabs(2, swap).using(with(5, 0).but(overlapMints))},
		{"overlap ends the session", tabs(1, swap).using(with(5, 0).but(overlapEnds))},
		{"the parent is forgotten", tabs(1, swap).using(with(5, 0).but(parentBack))},
		{"a token newer than the row is refused", tabs(1, swap).using(with(5, 0).but(aheadRefused)).restoring(2)},
		{"a token newer than the row does not become the parent",
			tabs(1, swap).using(with(5, 0).but(aheadKeepsParent)).restoring(2)},
		{"recoveries are counted for ever", tabs(1, swap).using(with(5, 1).but(recoveriesForEver)).losing(1)},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			breaks(t, c.m, "(a)", "")
		})
	}
}
