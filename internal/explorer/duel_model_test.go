package explorer_test

// duel is a model of a victim and a thief who stole once, on one session. Both
// keep coming back. A use is a request and its reply in one step.
type duel struct {
	protocol
	victim memory // overwrite or static
	thief  thief
	// lost is how many of the victim's replies may get lost.
	lost int8
	// uses is how many successful uses in turn are allowed, plus one per lost
	// reply: whatever one party does before the other comes back counts once, and
	// a use counts if its reply was received. Counting starts with the thief's
	// first use.
	uses int8
	// rides lets a party come back inside the window of the other's last answer.
	rides bool
	// restolen lets the thief steal again and again.
	restolen bool
}

// thief is which of its tokens a thief presents.
type thief int8

const (
	hoards thief = iota // any that it stole or got: the strongest
	adopts              // the newest that it has
	clings              // the one it began with
)

const mostLoot counter = 62

type party int8

const (
	nobody party = iota
	victim
	deaf // the victim, its reply lost
	robber
)

type duelState struct {
	row               row
	held              counter // the victim's token
	previous          counter // what it held before
	unread            counter // the last answer that it lost or ignored
	loot              uint64  // the thief's tokens, a bit each
	first             counter // the one that it presented first
	last              party   // who was answered last
	uses, lost, tries int8
	ended             bool
}

func (m duel) start() duelState { return duelState{row: m.newRow(), held: 1} }

func (m duel) steps(s duelState, emit func(step, duelState, string)) {
	if s.ended {
		return
	}
	next := s
	next.row = m.later(s.row, 1)
	emit(step{what: "tick"}, next, "")

	if s.loot == 0 || m.restolen {
		next = s
		next.loot |= 1<<s.held | 1<<s.previous | 1<<s.unread
		next.loot &^= 1 // no token
		emit(step{what: "steal", token: s.held}, next, "")
	}
	if s.last != robber || m.rides || !m.inside(s.row) {
		m.use(s, victim, s.held, emit)
		if s.tries < m.lost {
			m.use(s, deaf, s.held, emit)
		}
	}
	if s.last == nobody || s.last == robber || m.rides || !m.inside(s.row) {
		for token := mostLoot; token > 0; token-- {
			if s.loot&(1<<token) == 0 {
				continue
			}
			if m.thief != clings || s.first == 0 || s.first == token {
				m.use(s, robber, token, emit)
			}
			if m.thief == adopts {
				break
			}
		}
	}
}

func (m duel) use(s duelState, by party, token counter, emit func(step, duelState, string)) {
	st := step{
		token: token, what: [...]string{
			victim: "victim uses", deaf: "victim, reply lost, uses", robber: "thief uses",
		}[by],
	}
	s.row, st.outcome = m.present(s.row, token, 0)
	if refused(st.outcome) {
		// The thief may be refused, too, and has nothing from it.
		s.ended = st.outcome != outcomeLater
		if by == victim {
			s.last = deaf
		}
		emit(st, s, "")
		return
	}
	answer := s.row.current
	st.answer = answer
	if by == robber && s.first == 0 {
		s.first = token
	}
	started := s.first != 0
	switch {
	case by == deaf:
		s.unread = answer
		s.tries++
		if started {
			s.lost++
		}
		if s.last == robber || s.last == nobody {
			s.last = deaf
		}
	case by == victim && m.victim == static:
		s.unread = answer
	case by == victim:
		s.previous, s.held, s.unread = s.held, answer, 0
	case by == robber:
		if answer > mostLoot {
			panic("the thief's tokens do not fit")
		}
		s.loot |= 1 << answer
	}
	if by != deaf && by != s.last {
		if started {
			s.uses++
		}
		s.last = by
	}
	if s.uses > m.uses+s.lost {
		emit(st, s, "(b) two holders take turns")
		return
	}
	emit(st, s, "")
}

// key says of every token whether it is the row's current one, its parent, or
// spent, which is all that the rules see of it; anyone shows that a spent token
// stays spent.
func (m duel) key(s duelState) duelState {
	row := s.row
	rename := func(c counter) counter {
		switch {
		case c == 0:
			return 0
		case c == row.current:
			return 3
		case c == row.parent:
			return 2
		case m.displaced(row, c):
			return 4
		default:
			return 1
		}
	}
	loot := uint64(0)
	for token := counter(1); token <= mostLoot; token++ {
		if s.loot&(1<<token) != 0 {
			loot |= 1 << rename(token)
		}
	}
	s.row = m.protocol.key(row)
	s.row.current, s.row.parent = 3, min(row.parent, 1)*2
	s.held, s.previous, s.unread, s.first, s.loot = rename(s.held), rename(s.previous), rename(s.unread),
		rename(s.first), loot
	return s
}
