package explorer_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/sessile-go/sessile/sessions"
)

// Rules that would close the gap of forced refreshes, and how far each goes: which
// stores they save if tabs refresh again at once, and if no sooner than a tick after storing a
// reply, with requests that live for two.
func TestRulesAgainstForcedRefreshes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		rules rules
		// whether (a) holds: refreshing at once or a tick later, per store
		swapNow, overwriteNow, overwriteSoon bool
	}{
		{"in use", inUse, false, false, false},
		{"the current token answers itself", frozen, true, false, false},
		{"the same, restarting the window", frozenSliding, true, true, true},
		{"the same, in a window from the rotation", frozenFixed, false, false, false},
		{"the token before the parent comes back later", staleOnce, false, false, false},
		{"every spent token comes back later", staleAny, true, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := 2
			if *long {
				n = 3
			}
			for _, try := range []struct {
				store memory
				pace  int8
				want  bool
			}{{swap, 0, c.swapNow}, {overwrite, 0, c.overwriteNow}, {overwrite, 1, c.overwriteSoon}} {
				m := tabs(n, try.store).inFlight(max(n, 3)).using(with(5, 0).but(c.rules)).paced(try.pace)
				r := explore(m, 0)
				t.Logf("store %d, next refresh after %d: %v", try.store, try.pace, r)
				if got := r.broken == ""; got != try.want {
					t.Errorf("store %d, next refresh after %d: holds is %t, want %t", try.store, try.pace,
						got, try.want)
				}
			}
			// They do not change the bound of (b), which counts uses outside the
			// window; they change what happens inside, see TestPinning.
			holds(t, duel{protocol: with(3, 0).but(c.rules), victim: overwrite, thief: hoards, uses: 3, lost: 2})
		})
	}
}

// How wide that gap is: tab A rotates, stores, and after a pause refreshes
// again, while tab B's request with the old token is under way. Round trips
// between 50 ms and 5 s, evenly on a logarithmic scale; B read its token at any
// moment of A's first round trip. The share of such events that ends the session:
func TestForcedRefreshOdds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pause                time.Duration
		inUse, again, frozen float64 // per cent; again: staleOnce and a third refresh
	}{
		{0, 30, 14, 0},
		{100 * time.Millisecond, 25, 10, 0},
		{500 * time.Millisecond, 15, 3, 0},
		{time.Second, 8, 0, 0},
		{2 * time.Second, 1, 0, 0},
		{5 * time.Second, 0, 0, 0},
	} {
		got := []float64{
			forcedRefreshes(inUse, c.pause, 1), forcedRefreshes(staleOnce, c.pause, 2),
			forcedRefreshes(frozen, c.pause, 2),
		}
		t.Logf("pause %5v: %4.1f %% in use, %4.1f %% stale once and a third refresh, %4.1f %% frozen", c.pause, got[0],
			got[1], got[2])
		for i, want := range []float64{c.inUse, c.again, c.frozen} {
			if math.Abs(got[i]-want) > 1 {
				t.Errorf("pause %v, rules %d: %.1f %%, want %.0f %%", c.pause, i, got[i], want)
			}
		}
		if one := forcedRefreshes(staleOnce, c.pause, 1); one != 0 {
			t.Errorf("pause %v, stale once, two refreshes: %.1f %%, want 0", c.pause, one)
		}
	}
}

// forcedRefreshes is the share, in per cent, of events in which an honest pair of
// tabs is signed out.
func forcedRefreshes(r rules, pause time.Duration, forced int) float64 {
	const events = 20_000
	random := rand.New(rand.NewPCG(6, 6))
	roundTrip := func() time.Duration {
		return time.Duration(float64(50*time.Millisecond) * math.Pow(100, random.Float64()))
	}
	type arrival struct {
		at time.Duration
		b  bool
	}
	bad := 0
	for range events {
		first := roundTrip()
		arrivals := []arrival{{at: first / 2}}
		for i, stored := 0, first; i < forced; i++ {
			trip := roundTrip()
			arrivals = append(arrivals, arrival{at: stored + pause + trip/2})
			stored += pause + trip
		}
		read := time.Duration(random.Float64() * float64(first))
		arrivals = append(arrivals, arrival{at: read + roundTrip()/2, b: true})
		slices.SortFunc(arrivals, func(x, y arrival) int { return int(x.at - y.at) })

		c := newClocked(with(60, 0).but(r))
		a, b := int64(1), int64(1)
		for _, next := range arrivals {
			token := &a
			if next.b {
				token = &b
			}
			if !c.use(token, next.at) {
				bad++
				break
			}
		}
	}
	return 100 * float64(bad) / events
}

// clocked is a row under a clock in real units, for questions of how often.
type clocked struct {
	protocol
	state  sessions.RefreshState
	minted time.Time
}

func newClocked(p protocol) *clocked {
	created := noon.Add(-time.Hour)
	return &clocked{p, sessions.NewRefreshState(created), created}
}

// use presents a token and adopts the answer, and reports whether the session
// lives.
func (c *clocked) use(token *int64, after time.Duration) bool {
	now := noon.Add(after)
	next, o := c.rules(c.Rotation, c.state, c.minted, *token, now)
	switch {
	case o == outcomeLater:
		return true
	case refused(o):
		return false
	case next.Current != c.state.Current:
		c.minted = now
	}
	c.state, *token = next, next.Current
	return true
}
