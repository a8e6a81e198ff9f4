package explorer_test

import (
	"maps"
	"testing"
)

// What a key drops must not matter: states with one key have the same next keys
// and break the same invariants. Checked on every state that is near enough.
func TestKeysDropNothingThatMatters(t *testing.T) {
	t.Parallel()
	hot := tabs(2, overwrite).inFlight(2).restoring(2)
	hot.survive = true
	two := tabs(2, swap)
	two.stores = []memory{swap, static}
	for name, check := range map[string]func(*testing.T){
		"tabs":             func(t *testing.T) { sameFuture(t, tabs(3, overwrite), 9) },
		"static":           func(t *testing.T) { sameFuture(t, tabs(2, static), 10) },
		"forced refreshes": func(t *testing.T) { sameFuture(t, tabs(2, overwrite).paced(0), 9) },
		"two stores":       func(t *testing.T) { sameFuture(t, two.paced(0), 7) },
		"restored":         func(t *testing.T) { sameFuture(t, hot, 10) },
		"limited":          func(t *testing.T) { sameFuture(t, tabs(1, overwrite).using(with(5, 2)).losing(2), 25) },
		"thief": func(t *testing.T) {
			sameFuture(t, duel{protocol: with(3, 0), victim: overwrite, uses: 6, lost: 2}, 16)
		},
		"static victim": func(t *testing.T) {
			sameFuture(t, duel{protocol: with(3, 2), victim: static, uses: 6, lost: 2}, 16)
		},
		"anyone": func(t *testing.T) {
			sameFuture(t, anyone{protocol: with(3, 0), newest: 5, live: isLive}, 16)
		},
		"anyone, strict": func(t *testing.T) {
			sameFuture(t, anyone{protocol: strict(), newest: 5, live: isLive}, 16)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t)
		})
	}
}

func sameFuture[S comparable](t *testing.T, m model[S], depth int) {
	t.Helper()
	type future struct {
		next   map[S]bool
		broken map[string]bool
	}
	futures := map[S]future{}
	seen := map[S]bool{m.start(): true}
	frontier := []S{m.start()}
	for range depth {
		var further []S
		for _, s := range frontier {
			f := future{map[S]bool{}, map[string]bool{}}
			m.steps(s, func(_ step, next S, broken string) {
				if broken != "" {
					f.broken[broken] = true
					return
				}
				f.next[m.key(next)] = true
				if !seen[next] {
					seen[next] = true
					further = append(further, next)
				}
			})
			k := m.key(s)
			if old, ok := futures[k]; !ok {
				futures[k] = f
			} else if !maps.Equal(old.next, f.next) || !maps.Equal(old.broken, f.broken) {
				t.Fatalf("%+v shares the key %+v with a state that has another future", s, k)
			}
		}
		frontier = further
	}
	t.Logf("%d states, %d keys", len(seen), len(futures))
	if len(futures) == 0 {
		t.Fatal("nothing compared")
	}
}
