package explorer_test

import (
	"time"

	"github.com/sessile-go/sessile/sessions"
)

// counter is a refresh token: within one session a token is its counter. 0 is
// never issued and stands for none.
type counter int16

// A tick is the unit of time of the models. The protocol only compares
// differences of times, so its length does not matter.
const tick = time.Second

// outcomeLater is what some rules that are examined here, but not in use, make of
// a token: refused for now, and the session lives on.
const outcomeLater sessions.Outcome = 99

// refused reports whether no token follows an outcome.
func refused(o sessions.Outcome) bool { return o > sessions.OutcomeAhead }

var outcomeNames = map[sessions.Outcome]string{
	sessions.OutcomeRotated:       "rotated",
	sessions.OutcomeOverlap:       "overlap",
	sessions.OutcomeRecovered:     "recovered",
	sessions.OutcomeAhead:         "ahead",
	sessions.OutcomeReplay:        "replay",
	sessions.OutcomeRecoveryLimit: "recovery limit",
	outcomeLater:                  "later",
}

// row is the refresh state of one session, with times as ticks ago, so that
// states at different times of the day are the same state. A replica whose clock
// is ahead makes them negative.
type row struct {
	current, parent counter
	answered        int8
	recoveries      int8
	// minted is when the newest token was first handed out. The protocol does
	// not keep it; some examined rules do.
	minted int8
}

// rules is a rule table. The one in use is [sessions.Rotation.Next]; the tests
// also pass broken and alternative ones, to see what would happen.
type rules func(r sessions.Rotation, s sessions.RefreshState, minted time.Time, presented int64,
	now time.Time) (sessions.RefreshState, sessions.Outcome)

func inUse(r sessions.Rotation, s sessions.RefreshState, _ time.Time, presented int64,
	now time.Time) (sessions.RefreshState, sessions.Outcome) {
	return r.Next(s, presented, now)
}

// protocol is a rule table with its settings.
type protocol struct {
	sessions.Rotation
	rules       rules
	needsMinted bool // the rules look at minted
	siblings    bool // the rules look at the token that the last recovery displaced
	reach       int8 // how many overlaps back the rules look, at least 1
	skew        int8 // how far the clocks of replicas are apart
}

// with is the protocol in use with an overlap of that many ticks, 0 for none.
func with(overlap int, maxRecoveries int) protocol {
	r := sessions.Rotation{Overlap: time.Duration(overlap) * tick, MaxRecoveries: maxRecoveries}
	if overlap == 0 {
		r.Overlap = sessions.NoOverlap
	}
	return protocol{Rotation: r, rules: inUse, reach: 1}
}

// but is p with other rules.
func (p protocol) but(r rules) protocol {
	p.rules, p.needsMinted = r, true
	return p
}

// quietly is p with quiet, which looks back for two windows.
func (p protocol) quietly() protocol {
	p = p.but(quiet)
	p.reach = 2
	return p
}

// takingBack is p with rules that take a displaced token back.
func (p protocol) takingBack(r rules) protocol {
	p = p.but(r)
	p.siblings = true
	return p
}

// displaced reports whether a token is the one that the last recovery displaced, if
// the rules look at that.
func (p protocol) displaced(r row, token counter) bool {
	return p.siblings && token == r.current-1 && token > r.parent
}

func (p protocol) window() int8 { return max(0, int8(p.Overlap/tick)) }

// inside says whether the rules still treat the row as just answered.
func (p protocol) inside(r row) bool { return r.answered < p.reach*p.window() }

// noon is when everything happens: time passes by moving the row's times back.
var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func ago(ticks int8) time.Time { return noon.Add(-time.Duration(ticks) * tick) }

// present is a token arriving at a replica whose clock is that many ticks ahead.
func (p protocol) present(r row, token counter, ahead int8) (row, sessions.Outcome) {
	now := ago(-ahead)
	s, outcome := p.rules(p.Rotation, sessions.RefreshState{
		Current: int64(r.current), Parent: int64(r.parent),
		AnsweredAt: ago(r.answered), Recoveries: int64(r.recoveries),
	}, ago(r.minted), int64(token), now)
	next := row{
		current: counter(s.Current), parent: counter(s.Parent),
		answered: int8(noon.Sub(s.AnsweredAt) / tick), recoveries: int8(min(s.Recoveries, 100)), minted: r.minted,
	}
	if next.current != r.current {
		next.minted = -ahead
	}
	return next, outcome
}

// newRow is a session created long enough ago that no window is open.
func (p protocol) newRow() row { return p.later(row{current: 1}, 100) }

// later returns r some ticks later. Ages stop growing once they no longer matter: outside
// the window, even by the slowest clock.
func (p protocol) later(r row, ticks int8) row {
	r.answered = min(r.answered+ticks, p.reach*p.window()+p.skew)
	r.minted = min(r.minted+ticks, p.reach*p.window()+p.skew)
	return r
}

// key drops what the future does not depend on.
func (p protocol) key(r row) row {
	if !p.needsMinted {
		r.minted = 0
	}
	switch {
	case p.siblings:
		r.recoveries = min(r.recoveries, 2)
	case p.MaxRecoveries <= 0:
		r.recoveries = 0
	}
	return r
}
