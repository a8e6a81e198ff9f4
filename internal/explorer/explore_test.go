package explorer_test

import (
	"flag"
	"fmt"
	"strings"
	"testing"

	"github.com/sessile-go/sessile/sessions"
)

var (
	long = flag.Bool("explorer.long", false, "explore the large set-ups too")
	deep = flag.Int("explorer.depth", 0, "stop at this depth; 0: when nothing new is left")
)

// A model is something to explore: its start, every possible next step, and the states that
// need not be distinguished.
type model[S comparable] interface {
	start() S
	// steps hands every possible next step to emit, with the state after it and
	// the invariant that it broke, if it did.
	steps(s S, emit func(by step, next S, broken string))
	// key maps states that have the same future to one of them.
	key(s S) S
}

// step is what happened, for traces.
type step struct {
	what    string
	token   counter
	answer  counter
	outcome sessions.Outcome
}

func (s step) String() string {
	text := s.what
	if s.token != 0 {
		text += fmt.Sprintf(" %d", s.token)
	}
	if s.outcome != 0 {
		text += " " + outcomeNames[s.outcome]
	}
	if s.answer != 0 {
		text += fmt.Sprintf(" →%d", s.answer)
	}
	return text
}

// result is what an exploration found.
type result struct {
	states int
	depth  int
	closed bool   // nothing new was left: the result holds for every depth
	broken string // the first invariant that broke, "" if none did
	trace  []step // the shortest way there
}

func (r result) String() string {
	if r.broken != "" {
		return fmt.Sprintf("%s, in %d steps (%d states):\n  %s", r.broken, len(r.trace), r.states, r.lines("\n  "))
	}
	if r.closed {
		return fmt.Sprintf("%7d states, all there are; the farthest is %d steps away", r.states, r.depth)
	}
	return fmt.Sprintf("%7d states up to depth %d", r.states, r.depth)
}

func (r result) lines(sep string) string {
	var lines []string
	for _, s := range r.trace {
		lines = append(lines, s.String())
	}
	return strings.Join(lines, sep)
}

// explore goes through all states breadth-first, so the first broken invariant
// has a shortest trace. Only the key of a state is compared; the state itself is
// carried on, so every trace is a real run with real counters, whatever key does.
func explore[S comparable](m model[S], depth int) result {
	type node struct {
		from int32
		by   step
	}
	type open struct {
		state S
		at    int32
	}
	var (
		nodes    = []node{{from: -1}}
		seen     = map[S]struct{}{m.key(m.start()): {}}
		frontier = []open{{state: m.start()}}
		r        result
	)
	for len(frontier) > 0 && r.broken == "" && (depth == 0 || r.depth < depth) {
		var next []open
		for _, o := range frontier {
			m.steps(o.state, func(by step, s S, broken string) {
				if r.broken != "" {
					return
				}
				if broken != "" {
					r.broken, r.trace = broken, []step{by}
					for at := o.at; at > 0; at = nodes[at].from {
						r.trace = append([]step{nodes[at].by}, r.trace...)
					}
					return
				}
				k := m.key(s)
				if _, old := seen[k]; old {
					return
				}
				seen[k] = struct{}{}
				nodes = append(nodes, node{o.at, by})
				next = append(next, open{s, int32(len(nodes) - 1)})
			})
			if r.broken != "" {
				break
			}
		}
		if len(next) > 0 || r.broken != "" {
			r.depth++
		}
		frontier = next
	}
	r.states, r.closed = len(seen), len(frontier) == 0 && r.broken == ""
	return r
}

// holds fails unless no invariant breaks in m, in any run of any length.
func holds[S comparable](t *testing.T, m model[S]) {
	t.Helper()
	r := explore(m, *deep)
	t.Log(r)
	if r.broken != "" {
		t.Fatalf("broken: %v", r)
	}
	if !r.closed && *deep == 0 {
		t.Fatal("the exploration stopped early")
	}
}

// breaks fails unless an invariant whose text begins with want breaks in m, and
// the shortest trace is the given one, if one is given. An explorer that does not find a
// known fault proves nothing by finding none.
func breaks[S comparable](t *testing.T, m model[S], want, trace string) {
	t.Helper()
	r := explore(m, 0)
	t.Log(r)
	if !strings.HasPrefix(r.broken, want) {
		t.Fatalf("broke %q, want %q", r.broken, want)
	}
	if got := r.lines("; "); trace != "" && got != trace {
		t.Errorf("shortest trace:\n%s\nwant:\n%s", got, trace)
	}
}
