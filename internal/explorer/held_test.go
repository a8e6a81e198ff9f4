package explorer_test

import "testing"

// heldBack is a browser one of whose requests a proxy holds back for longer than the
// window. The browser has given it up, so its reply is lost; nothing else goes wrong.
func heldBack(p protocol) honest {
	return honest{
		protocol: p, stores: []memory{overwrite}, tabs: 2, flight: 2,
		timeout: 1, linger: 5, pace: 6, lost: anyNumber, once: true, single: true,
	}
}

// A request that is held back past the window displaces the token that the browser has
// got meanwhile, and as its reply is lost, the browser is signed out. The cure in use is
// a longer window. The rules that would do without one each give a thief a turn more.
func TestRequestsThatAreHeldBack(t *testing.T) {
	t.Parallel()
	const trace = "send 1; send 1; arrive 1 rotated →2; reply to 1 →2; tick; give up 1; tick; tick; tick; tick; " +
		"reply lost: arrive 1 recovered →3; tick; send 2; arrive 2 replay"
	breaks(t, heldBack(with(3, 0)), "(a)", trace)
	holds(t, heldBack(with(7, 0))) // longer than F and Z together

	for _, c := range []struct {
		name  string
		rules rules
		mends bool
		turns int8 // of victim and hoarding thief, and of victim and adopting thief
		adopt int8
	}{
		{"in use", inUse, false, 3, 2},
		{"a displaced token is taken back once", takesBack, true, 3, 3},
		{"the same, after any number of recoveries", takesBackLast, true, 4, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := explore(heldBack(with(3, 0).takingBack(c.rules)), 0)
			t.Log(r)
			if got := r.broken == ""; got != c.mends {
				t.Errorf("mends it: %t, want %t", got, c.mends)
			}
			for thief, turns := range map[thief]int8{hoards: c.turns, adopts: c.adopt} {
				m := duel{protocol: with(3, 0).takingBack(c.rules), victim: overwrite, thief: thief, uses: turns}
				holds(t, m)
				m.uses--
				breaks(t, m, "(b)", "")
			}
		})
	}
}
