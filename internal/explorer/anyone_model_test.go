package explorer_test

import (
	"time"

	"github.com/sessile-go/sessile/sessions"
)

// anyone is a model of the worst company a session can be in: every token that
// was ever issued may be presented at any time, by whomever. What holds here
// holds for every client and every thief.
type anyone struct {
	protocol
	// newest bounds the run: no token above it is issued.
	newest counter
	// lifetime and idle are those of the session, in ticks; 0: none.
	lifetime, idle int8
	// live says whether a session may be refreshed.
	live func(sessions.Session, sessions.Moment) bool
	// rollback lets the database fall back to the row as it was created.
	rollback bool
}

// anyoneState has the row, and what an onlooker who sees every answer knows. The
// invariants are judged by the onlooker's notes, so wrong bookkeeping in the row
// cannot hide itself.
type anyoneState struct {
	row             row
	ended           bool // the row says so
	age, used       int8 // ticks since the session was created, and last used
	over            bool // noted: ended, expired or idle
	issued          counter
	latest, lineage counter // noted: the newest token, and the one that bought it
	fresh           int8    // noted: ticks since latest was first handed out
	late            int8    // noted: answers in a row to a token used before, each with a new successor
}

func (m anyone) start() anyoneState {
	return anyoneState{row: m.newRow(), issued: 1, latest: 1, fresh: m.window()}
}

func (m anyone) key(s anyoneState) anyoneState {
	s.row = m.protocol.key(s.row)
	if m.MaxRecoveries <= 0 {
		s.late = 0
	}
	return s
}

func (m anyone) steps(s anyoneState, emit func(step, anyoneState, string)) {
	next := s
	next.row = m.later(s.row, 1)
	next.fresh = min(s.fresh+1, m.window())
	if m.lifetime > 0 {
		next.age = min(s.age+1, m.lifetime)
	}
	if m.idle > 0 {
		next.used = min(s.used+1, m.idle)
	}
	next.over = s.over || m.lifetime > 0 && next.age >= m.lifetime || m.idle > 0 && next.used >= m.idle
	emit(step{what: "tick"}, next, "")

	if !s.ended {
		next = s
		next.ended, next.over = true, true
		emit(step{what: "sign out"}, next, "")
	}
	if m.rollback && s.row.current > 1 {
		next = s
		next.row = m.newRow()
		emit(step{what: "restore", token: 1}, next, "")
	}
	for token := counter(1); token <= s.issued; token++ {
		by, next, broken := m.arrive(s, token)
		if next.issued <= m.newest || broken != "" {
			emit(by, next, broken)
		}
	}
}

func (m anyone) arrive(s anyoneState, token counter) (step, anyoneState, string) {
	by := step{what: "arrive", token: token}
	if !m.live(m.session(s)) {
		return by, s, ""
	}
	before := s.row
	s.row, by.outcome = m.present(s.row, token, 0)
	if refused(by.outcome) {
		s.ended = by.outcome != outcomeLater
		broken := m.judgeRefusal(s, token)
		s.over = s.over || s.ended
		return by, s, broken
	}
	by.answer, s.used = s.row.current, 0
	broken := m.judgeAnswer(s, token, before)
	if s.latest != by.answer {
		if token == s.lineage {
			s.late++
		} else {
			s.late = 0
		}
		s.latest, s.lineage, s.fresh = by.answer, token, 0
		s.issued = max(s.issued, by.answer)
	} else if token != s.lineage {
		s.lineage, s.late = token, 0
	}
	return by, s, broken
}

// session is the row as the rest of the package sees it.
func (m anyone) session(s anyoneState) (sessions.Session, sessions.Moment) {
	se := sessions.Session{CreatedAt: ago(s.age), LastUsedAt: ago(s.used), ExpiresAt: noon.Add(24 * time.Hour)}
	at := sessions.Moment{Now: noon}
	if m.lifetime > 0 {
		se.ExpiresAt = ago(s.age - m.lifetime)
	}
	if m.idle > 0 {
		at.IdleCutoff = ago(m.idle)
	}
	if s.ended {
		se.EndedAt = noon
	}
	return se, at
}

func (m anyone) judgeAnswer(s anyoneState, token counter, before row) string {
	answer := s.row.current
	switch {
	case s.over:
		return "(d) a session that is over was refreshed"
	case token != s.latest && token != s.lineage:
		return "(c) a spent token has a successor"
	case answer < before.current || s.row.parent < before.parent || answer < s.latest:
		return "(e) a counter went back"
	case token == s.latest && answer <= s.issued:
		return "(c) a token was issued a second time"
	case token == s.lineage && s.fresh < m.window() && answer != s.latest:
		return "(g) two answers to one token inside the window"
	case token == s.lineage && s.fresh >= m.window() && m.MaxRecoveries == sessions.NoRecovery:
		return "(c) a spent token has a successor: no recovery is allowed"
	case token == s.lineage && answer != s.latest && m.MaxRecoveries > 0 && int(s.late) >= m.MaxRecoveries:
		return "(c) a spent token has a successor: more recoveries than allowed"
	default:
		return ""
	}
}

func (m anyone) judgeRefusal(s anyoneState, token counter) string {
	switch {
	case token == s.latest:
		return "(a) the newest token is refused"
	case token == s.lineage && s.fresh < m.window():
		return "(g) a duplicate inside the window is refused"
	case token == s.lineage && m.MaxRecoveries == 0:
		return "(a) a token whose successor is unused is refused"
	case token == s.lineage && m.MaxRecoveries > 0 && int(s.late) < m.MaxRecoveries:
		return "(a) a recovery that is allowed is refused"
	case token != s.latest && token != s.lineage && !s.ended:
		return "(b) a spent token did not end the session"
	default:
		return ""
	}
}
