package explorer_test

import (
	"cmp"
	"slices"

	"github.com/sessile-go/sessile/sessions"
)

// honest is a model of honest clients of one session on a network that loses,
// delays and repeats. Nobody in it is a thief, so any refusal is a sign-out that
// should not be.
type honest struct {
	protocol
	// stores are the memories of tokens. Tabs that share a memory share one entry.
	stores []memory
	// tabs is how many requests may wait for their reply at once, per store. A
	// tab remembers nothing itself, so which of them waits does not matter.
	tabs int
	// flight is how many requests there are at once, the abandoned included.
	flight int
	// timeout is the longest a tab waits, from reading its token to storing the
	// reply; linger is how long after the reading a request can still arrive,
	// even if the tab has given up or was answered, and negative if it cannot then;
	// pace is the shortest time from storing a
	// reply to the next refresh. At linger = timeout the network forgets a
	// request when its tab does.
	timeout, linger, pace int8
	// lost is how many replies in a row may get lost; any, if negative.
	lost int8
	// once rules out that the network delivers a request twice.
	once bool
	// single rules out every fault but one: one request of the run is given up before it
	// arrives, and arrives later, and its reply is lost.
	single bool
	// rollback is how many commits a restored backup of the database may lack; 0
	// rules restoring out.
	rollback counter
	// survive lets requests and replies live through a restore. Otherwise it
	// takes at least as long as they do, as a failover usually does.
	survive bool
}

// memory is how a store takes answers.
type memory int8

const (
	swap      memory = iota // only in place of the token that was presented
	overwrite               // always: the last write wins
	static                  // never: the client keeps its first token
	volatile                // always, but a restart brings the first token back
)

type honestState struct {
	row    row
	backup row // current 0: none
	stores [2]stored
	flight [4]request // the first n
	n      int8
	lost   int8
	given  bool // a request has been given up, if that matters
}

// stored is what a store holds, and how many ticks ago it took it.
type stored struct {
	token counter
	since int8
}

// request is a presentation of a token under way. It carries the store it was
// read from, so a tab is nothing but its request.
type request struct {
	token, answer counter // answer: a reply under way, 0 if there is none
	store, age    int8
	waiting       bool // its tab has not given up
	arrived       bool // at least once
}

func (m honest) start() honestState {
	s := honestState{row: m.newRow()}
	for i := range m.stores {
		s.stores[i] = stored{1, m.pace}
	}
	return s
}

func (m honest) steps(s honestState, emit func(step, honestState, string)) {
	if next, ok := m.passTick(s); ok {
		emit(step{what: "tick"}, next, "")
	}
	for i := range m.stores {
		if next, ok := m.send(s, int8(i)); ok {
			emit(step{what: "send", token: s.stores[i].token}, next, "")
		}
		if m.stores[i] == volatile && s.stores[i].token != 1 {
			next := s
			next.stores[i].token = 1
			emit(step{what: "restart with", token: 1}, next, "")
		}
	}
	for i, r := range s.flight[:s.n] {
		m.arrive(s, i, emit)
		if r.waiting && r.answer != 0 {
			emit(step{what: "reply to", token: r.token, answer: r.answer}, m.store(s, i), "")
		}
		if r.waiting {
			next := m.giveUp(s, i)
			if m.single {
				if s.given || r.arrived {
					continue
				}
				next.given = true
			}
			if m.lost < 0 || next.lost <= m.lost {
				emit(step{what: "give up", token: r.token}, next, "")
			}
		} else {
			emit(step{what: "forget", token: r.token}, m.drop(s, i), "")
		}
	}
	if m.rollback > 0 {
		if s.backup != s.row {
			next := s
			next.backup = s.row
			emit(step{what: "backup at", token: s.row.current}, next, "")
		}
		if s.backup.current != 0 && s.backup != s.row && (s.n == 0 || m.survive) {
			next := s
			next.row = s.backup
			emit(step{what: "restore", token: s.backup.current}, next, "")
		}
	}
}

// passTick lets a tick pass, unless a tab has to give up first.
func (m honest) passTick(s honestState) (honestState, bool) {
	s.row = m.later(s.row, 1)
	if s.backup.current != 0 {
		s.backup = m.later(s.backup, 1)
	}
	for i := range m.stores {
		s.stores[i].since = min(s.stores[i].since+1, m.pace)
	}
	for i := int(s.n) - 1; i >= 0; i-- {
		r := &s.flight[i]
		if r.waiting && r.age >= m.timeout {
			return s, false
		}
		r.age++
		if !r.waiting && r.age > m.linger {
			s = m.drop(s, i)
		}
	}
	return s, true
}

// send is a tab reading its store and presenting what it finds.
func (m honest) send(s honestState, store int8) (honestState, bool) {
	waiting := 0
	for _, r := range s.flight[:s.n] {
		if r.waiting && r.store == store {
			waiting++
		}
	}
	if waiting >= m.tabs || int(s.n) >= m.flight || s.stores[store].since < m.pace {
		return s, false
	}
	s.flight[s.n] = request{token: s.stores[store].token, store: store, waiting: true}
	s.n++
	return s, true
}

// arrive is a request reaching the server, for the first time or again. The
// reply then gets under way, or lost; an earlier one may still be.
func (m honest) arrive(s honestState, i int, emit func(step, honestState, string)) {
	r := s.flight[i]
	if m.once && r.arrived {
		return
	}
	clocks := []int8{0, m.skew}
	if m.skew == 0 {
		clocks = clocks[:1]
	}
	for _, ahead := range clocks {
		next := s
		var outcome sessions.Outcome
		next.row, outcome = m.present(s.row, r.token, ahead)
		next.flight[i].arrived = true
		by := step{what: "arrive", token: r.token, outcome: outcome}
		if outcome == outcomeLater {
			emit(by, next, "")
			continue
		}
		if refused(outcome) {
			emit(by, next, "(a) an honest client is signed out")
			return
		}
		by.answer = next.row.current
		if next.backup.current != 0 && m.newest(next)-next.backup.current > m.rollback {
			next.backup = row{}
		}
		if r.waiting {
			replied := next
			replied.flight[i].answer = next.row.current
			if r.answer != 0 {
				replied.lost++
			}
			if m.lost < 0 || replied.lost <= m.lost {
				emit(by, replied, "")
			}
		}
		if m.single && r.waiting {
			continue
		}
		next.lost++
		if m.lost < 0 || next.lost <= m.lost {
			by.what = "reply lost: arrive"
			emit(by, next, "")
		}
	}
}

// store is a tab taking a reply.
func (m honest) store(s honestState, i int) honestState {
	r := s.flight[i]
	mem := &s.stores[r.store]
	switch m.stores[r.store] {
	case swap:
		if mem.token == r.token {
			*mem = stored{token: r.answer}
		}
	case overwrite, volatile:
		*mem = stored{token: r.answer}
	case static: // keeps its first token
	}
	s.lost = 0
	return m.stopWaiting(s, i)
}

// giveUp is a tab not waiting any longer; a reply under way is lost to it.
func (m honest) giveUp(s honestState, i int) honestState {
	if s.flight[i].answer != 0 {
		s.lost++
	}
	return m.stopWaiting(s, i)
}

func (m honest) stopWaiting(s honestState, i int) honestState {
	if m.linger < 0 {
		return m.drop(s, i)
	}
	s.flight[i].waiting, s.flight[i].answer = false, 0
	return s
}

func (m honest) drop(s honestState, i int) honestState {
	s.n--
	s.flight[i] = s.flight[s.n]
	s.flight[s.n] = request{}
	return s
}

// newest is the newest token that anyone holds or gets.
func (m honest) newest(s honestState) counter {
	n := s.row.current
	for _, st := range s.stores {
		n = max(n, st.token)
	}
	for _, r := range s.flight[:s.n] {
		n = max(n, r.token, r.answer)
	}
	return n
}

// key renames tokens. The rules only compare counters and add 1, so what matters
// of a token is whether it is the row's parent, and how far it is above the
// lowest Current that the row has or can be set back to; of the others below,
// none can ever be accepted again. Requests are a set.
func (m honest) key(s honestState) honestState {
	floor := s.row.current
	if s.backup.current != 0 {
		floor = min(floor, s.backup.current)
	}
	row, backup := s.row, s.backup
	rename := func(c counter) counter {
		switch {
		case c == 0:
			return 0
		case c >= floor:
			return c - floor + 10
		case c == row.parent && c == backup.parent:
			return 1
		case c == row.parent:
			return 2
		case c == backup.parent:
			return 3
		case m.displaced(row, c):
			return 5
		default:
			return 4
		}
	}
	s.row, s.backup = m.protocol.key(row), m.protocol.key(backup)
	s.row.current, s.row.parent = rename(row.current), rename(row.parent)
	s.backup.current, s.backup.parent = rename(backup.current), rename(backup.parent)
	for i := range s.stores {
		s.stores[i].token = rename(s.stores[i].token)
	}
	for i := range s.flight[:s.n] {
		r := &s.flight[i]
		r.token, r.answer = rename(r.token), rename(r.answer)
		r.arrived = r.arrived && m.once
	}
	slices.SortFunc(s.flight[:s.n], func(a, b request) int { return cmp.Compare(a.rank(), b.rank()) })
	if m.lost < 0 {
		s.lost = 0
	}
	return s
}

func (r request) rank() int64 {
	n := int64(r.token)<<32 | int64(r.answer)<<16 | int64(r.age)<<8 | int64(r.store)<<2
	if r.waiting {
		n |= 1
	}
	if r.arrived {
		n |= 2
	}
	return n
}
