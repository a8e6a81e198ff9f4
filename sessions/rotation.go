package sessions

import "time"

// Rotation sets how the refresh protocol treats a refresh token that was
// presented before. docs/refresh.md explains the protocol. The zero value is the
// default and suits the published SDK, which never adopts a rotated token.
type Rotation struct {
	// Overlap is how long after an answer the same refresh token still gets the
	// same successor: two tabs at once, or a retry. Clients must give up a request
	// before half of it. Between 1 s and 10 min, at most half the access token's
	// lifetime; [NoOverlap] only together with [NoRecovery]. Defaults to 60 s, or
	// half the access token's lifetime where that is less.
	Overlap time.Duration
	// MaxRecoveries is how many replies in a row may be lost for longer than
	// Overlap before the session ends. Defaults to 0: any number, which clients
	// that keep their first token need. [NoRecovery] allows none.
	MaxRecoveries int
}

// StrictRotation is RFC 9700, section 4.14.2, to the letter: a refresh token is
// spent by its first use, and a second use ends the session. One lost reply, or
// two tabs at once, sign the user out.
func StrictRotation() Rotation { return Rotation{Overlap: NoOverlap, MaxRecoveries: NoRecovery} }

// RefreshState is what a row knows of its refresh tokens: two counters instead of
// tokens. A new session starts with [NewRefreshState].
type RefreshState struct {
	// Current is the counter of the newest refresh token.
	Current int64
	// Parent is the counter of the token that bought it; 0, which is never
	// issued, before the first refresh.
	Parent int64
	// AnsweredAt is when the newest token was last handed out.
	AnsweredAt time.Time
	// Recoveries counts recoveries since the last rotation.
	Recoveries int64
}

// NewRefreshState is the state of a session created at now.
func NewRefreshState(now time.Time) RefreshState { return RefreshState{Current: 1, AnsweredAt: now} }

// Outcome is what the refresh protocol made of a presented token. Stores keep it
// in a column, so the numbers never change.
type Outcome int64

// The outcomes. Up to OutcomeAhead the caller gets the token of
// [RefreshState.Current]; the other two have ended the session.
const (
	// OutcomeRotated: the current token was presented, it has a successor now.
	OutcomeRotated Outcome = 1
	// OutcomeOverlap: its parent, inside the window: the same successor again.
	OutcomeOverlap Outcome = 2
	// OutcomeRecovered: its parent, outside the window: the reply was lost, or
	// the client keeps its token. The unused successor is displaced by a new one.
	OutcomeRecovered Outcome = 3
	// OutcomeAhead: a token newer than the row. We issued it, so the database
	// lost a commit; it is taken as current.
	OutcomeAhead Outcome = 4
	// OutcomeReplay: a spent or displaced token; two holders exist.
	OutcomeReplay Outcome = 5
	// OutcomeRecoveryLimit: one recovery more than [Rotation.MaxRecoveries].
	OutcomeRecoveryLimit Outcome = 6
)

// refused reports whether no token may follow; of an outcome that is not known, too.
func (o Outcome) refused() bool { return o != 0 && o > OutcomeAhead }

// EndReason returns why the session has ended with this outcome, or "" if it goes on.
func (o Outcome) EndReason() EndReason {
	switch o {
	case OutcomeReplay:
		return EndReplay
	case OutcomeRecoveryLimit:
		return EndRecoveryLimit
	default:
		return ""
	}
}

func (o Outcome) event() EventType {
	switch o {
	case OutcomeRotated:
		return EventRotated
	case OutcomeOverlap:
		return EventOverlap
	case OutcomeRecovered:
		return EventRecovered
	case OutcomeAhead:
		return EventAhead
	case OutcomeRecoveryLimit:
		return EventRecoveryLimit
	default:
		return EventReplay
	}
}

// WindowCutoff is the instant after which AnsweredAt has to lie for now to be
// inside the overlap window, and false where there is no window. An AnsweredAt in
// the future, from a replica whose clock is ahead, is inside.
func (r Rotation) WindowCutoff(now time.Time) (time.Time, bool) {
	if r.Overlap == NoOverlap {
		return time.Time{}, false
	}
	return now.Add(-r.Overlap), true
}

// Next is the whole refresh protocol for one live session: the state and the
// outcome after the token with counter presented arrives at now. It is pure; r
// must have its defaults filled in, as [Manager] does. Every success also moves
// LastUsedAt to the later of itself and now, which is not part of the state here.
//
// A store may use it only where it can hold the row locked from reading to
// writing; the SQL store has the same table as one statement, and a test holds
// the two against each other.
func (r Rotation) Next(s RefreshState, presented int64, now time.Time) (RefreshState, Outcome) {
	cutoff, window := r.WindowCutoff(now)
	inside := window && s.AnsweredAt.After(cutoff)

	switch {
	case presented == s.Current:
		return RefreshState{Current: s.Current + 1, Parent: s.Current, AnsweredAt: now}, OutcomeRotated

	case presented > s.Current:
		return RefreshState{Current: presented + 1, Parent: presented, AnsweredAt: now}, OutcomeAhead

	case presented == s.Parent && inside:
		// The window counts from the last answer, or two tabs that wake around
		// its end fork the session. Where recoveries are limited that would
		// prolong the parent's life, so there it stays fixed.
		if r.MaxRecoveries == 0 && now.After(s.AnsweredAt) {
			s.AnsweredAt = now
		}
		return s, OutcomeOverlap

	case presented == s.Parent && (r.MaxRecoveries == 0 || s.Recoveries < int64(r.MaxRecoveries)):
		s.Current++
		s.Recoveries++
		s.AnsweredAt = now
		return s, OutcomeRecovered

	case presented == s.Parent && r.MaxRecoveries > 0:
		return s, OutcomeRecoveryLimit

	default:
		return s, OutcomeReplay
	}
}
