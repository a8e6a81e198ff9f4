package explorer_test

import (
	"slices"
	"testing"
	"time"
)

const (
	overlap  = time.Minute
	lifetime = 10 * time.Minute // of an access token: the victim refreshes so often
	weeks    = 2000             // refreshes of the victim, two weeks
)

// The price of a window that every answer restarts: a thief need not know when the
// victim refreshes, only how often. He rotates once per access-token lifetime, and
// presents the old token again before each window ends, so it never does. Whenever
// the victim comes, it gets the thief's successor, and they never diverge. With a
// window that counts from the rotation the same thief lives on only if the victim
// happens to come inside it, one phase in ten.
func TestThiefWhoKeepsTheWindowOpen(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		rules  rules
		median int // refreshes of the victim that the session lives through
		ridden int // phases of the victim, in per cent, in which it lives for ever
	}{
		{"in use", inUse, weeks, 100},
		{"a window from the rotation", windowFixed, 1, 11},
		{"a window from the rotation, and a quiet one", quiet, 1, 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var lived []int
			ridden := 0
			for phase := time.Second; phase < lifetime; phase += 6 * time.Second {
				n := keepOpen(with(60, 0).but(c.rules), phase)
				if n == weeks {
					ridden++
				}
				lived = append(lived, n)
			}
			slices.Sort(lived)
			median, share := lived[len(lived)/2], 100*ridden/len(lived)
			t.Logf("lived through %d refreshes of the victim (median), for ever in %d %% of the phases", median, share)
			if median != c.median || share != c.ridden {
				t.Errorf("median %d, for ever in %d %%; want %d and %d %%", median, share, c.median, c.ridden)
			}
		})
	}
}

// keepOpen counts the refreshes of the victim until the session ends. Both start
// with the same token, the thief at 0, the victim at phase.
func keepOpen(p protocol, phase time.Duration) int {
	c := newClocked(p)
	victim, base, newest := int64(1), int64(1), int64(1)
	nextThief := time.Duration(0)
	for n := range weeks {
		nextVictim := phase + time.Duration(n)*lifetime
		for ; nextThief < nextVictim; nextThief = min(nextThief+overlap-time.Second,
			nextThief.Truncate(lifetime)+lifetime) {
			if nextThief%lifetime == 0 {
				base = newest
			}
			token := base
			if !c.use(&token, nextThief) {
				return n
			}
			newest = token
		}
		if !c.use(&victim, nextVictim) {
			return n
		}
	}
	return weeks
}

// The price of "the current token, inside the window, answers itself": a thief who
// holds the token before the victim's, which is spent, presents it before each
// window ends. So the window never ends, the victim's token never rotates, and the
// thief's never dies, whatever the victim does and whenever. In use, the victim's
// next refresh ends it.
func TestPinning(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		rules rules
		most  int
	}{
		{"in use", inUse, 1},
		{"the current token answers itself", frozen, weeks},
		{"the same, restarting the window", frozenSliding, weeks},
		{"a window from the rotation, and a quiet one", quiet, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			least, most := weeks, 0
			for phase := time.Second; phase < lifetime; phase += 6 * time.Second {
				n := pin(with(60, 0).but(c.rules), phase)
				least, most = min(least, n), max(most, n)
			}
			t.Logf("lived through %d to %d refreshes of the victim", least, most)
			if most != c.most || c.most == weeks && least != weeks {
				t.Errorf("lived through %d to %d refreshes, want at most %d, and never fewer if that is for ever",
					least, most, c.most)
			}
		})
	}
}

func pin(p protocol, phase time.Duration) int {
	c := newClocked(p)
	victim := int64(1)
	c.use(&victim, -time.Second)
	nextThief := time.Duration(0)
	for n := range weeks {
		nextVictim := phase + time.Duration(n)*lifetime
		for ; nextThief < nextVictim; nextThief += overlap - time.Second {
			if token := int64(1); !c.use(&token, nextThief) {
				return n
			}
		}
		if !c.use(&victim, nextVictim) {
			return n
		}
	}
	return weeks
}

// The price of refusing spent tokens inside the window without ending the session:
// a thief who refreshes before each window ends locks the victim out, and the
// victim's token, which in use would end the session, never does. If that goes for
// the token before the parent alone, the victim's is soon older.
func TestLockOut(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		rules rules
		want  int // presentations by the victim before the session ends
	}{
		{"in use", inUse, 0},
		{"the token before the parent comes back later", staleOnce, 0},
		{"every spent token comes back later", staleAny, weeks},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			row := newClocked(with(60, 0).but(c.rules))
			thief, now := int64(1), time.Duration(0)
			for n := range weeks {
				for until := now + lifetime; now < until; now += overlap - time.Second {
					if !row.use(&thief, now) {
						t.Fatal("the thief ended the session himself")
					}
				}
				if token := int64(1); !row.use(&token, now) {
					if n != c.want {
						t.Errorf("ended at presentation %d, want %d", n, c.want)
					}
					return
				}
			}
			if c.want != weeks {
				t.Errorf("never ended, want at presentation %d", c.want)
			}
		})
	}
}

// The quiet window gives honest clients what the restarted one gives them, and
// more: it needs no restart that a restored database could take back, and holds even if
// recoveries are limited. Its price is the answer "later" for a token that is presented a
// second time between one overlap and two after the first.
func TestQuietWindow(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		m    honest
	}{
		{"two tabs, compare and swap", tabs(2, swap)},
		{"three tabs, last write wins", tabs(3, overwrite)},
		{"two static tabs", tabs(2, static)},
		{"two tabs, restored in no time", honest{
			stores: []memory{overwrite}, tabs: 2, flight: 2, timeout: 2, linger: 2, pace: 3, lost: anyNumber,
			rollback: 2, survive: true,
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			holds(t, c.m.using(with(5, 0).quietly()))
		})
	}
	t.Run("two tabs, limit 3, one reply lost", func(t *testing.T) {
		t.Parallel()
		holds(t, tabs(2, overwrite).using(with(5, 3).quietly()).losing(1))
	})
	t.Run("two tabs, limit 3, one reply lost, abandoned requests arrive", func(t *testing.T) {
		t.Parallel()
		m := tabs(2, overwrite).using(with(5, 3).quietly())
		m.lost = 1
		holds(t, m)
	})
	t.Run("turns", func(t *testing.T) {
		t.Parallel()
		holds(t, duel{protocol: with(3, 0).quietly(), victim: overwrite, thief: hoards, uses: 3, lost: 2})
	})
}
