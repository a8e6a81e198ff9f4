package sessions

import "time"

// Rotation governs what the refresh protocol does with a refresh token that was presented
// before. docs/refresh.md explains the protocol. The zero value is the default. It suits the
// published SDK, which keeps its first refresh token.
type Rotation struct {
	// Overlap is how long after an answer the same refresh token still gets the same
	// successor: two tabs at once, or a retry. Clients must give up a request before half of
	// Overlap has passed. It is between 1 s and 10 min, and at most half the lifetime of an
	// access token. [NoOverlap] is allowed only together with [NoRecovery]. Defaults to 60 s,
	// or to half the lifetime of an access token if that is less.
	Overlap time.Duration
	// MaxRecoveries is how many replies in a row may be lost for longer than Overlap before
	// the session ends. [NoRecovery] allows none. Defaults to 0: any number, which clients
	// that keep their first token need.
	MaxRecoveries int
}

// StrictRotation returns the settings of RFC 9700, section 4.14.2, to the letter: the first
// use spends a refresh token, and a second use ends the session. One lost reply, or two tabs
// at once, sign the user out.
func StrictRotation() Rotation { return Rotation{Overlap: NoOverlap, MaxRecoveries: NoRecovery} }

// RefreshState is the state of the refresh tokens of one session: two counters instead of
// tokens. A new session starts with [NewRefreshState].
type RefreshState struct {
	// Current is the counter of the newest refresh token.
	Current int64
	// Parent is the counter of the token that was exchanged for the newest one.
	// Before the first refresh it is 0, which is never issued.
	Parent int64
	// AnsweredAt is when the newest token was last given out.
	AnsweredAt time.Time
	// Recoveries counts recoveries since the last rotation.
	Recoveries int64
}

// NewRefreshState returns the state of a session that is created at now.
func NewRefreshState(now time.Time) RefreshState { return RefreshState{Current: 1, AnsweredAt: now} }

// Outcome is the decision of the refresh protocol about a presented token. Stores keep it in
// a column, so the numbers never change.
type Outcome int64

// The outcomes. Up to OutcomeAhead the caller gets the token of [RefreshState.Current]; the
// other two have ended the session.
const (
	// OutcomeRotated: the current token was presented, and has a successor now.
	OutcomeRotated Outcome = 1
	// OutcomeOverlap: the parent of the current token was presented inside the window, and
	// gets the same successor again.
	OutcomeOverlap Outcome = 2
	// OutcomeRecovered: the parent was presented outside the window, because the reply was
	// lost, or because the client keeps its token. A new successor displaces the unused one.
	OutcomeRecovered Outcome = 3
	// OutcomeAhead: the token is newer than the row. This package has issued it, so the
	// database has lost a commit. The token is treated as the current one.
	OutcomeAhead Outcome = 4
	// OutcomeReplay: the token was spent or displaced before, so two holders exist.
	OutcomeReplay Outcome = 5
	// OutcomeRecoveryLimit: this would be one recovery more than [Rotation.MaxRecoveries].
	OutcomeRecoveryLimit Outcome = 6
)

// refused reports whether no token may follow. That includes outcomes that are not known.
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

// WindowCutoff returns the start of the overlap window of now: now is inside if AnsweredAt is
// after it. ok is false if there is no window. An AnsweredAt in the future, from a replica
// whose clock is ahead, is inside.
func (r Rotation) WindowCutoff(now time.Time) (cutoff time.Time, ok bool) {
	if r.Overlap == NoOverlap {
		return time.Time{}, false
	}
	return now.Add(-r.Overlap), true
}

// Next is the whole refresh protocol for one live session. It returns the state and the
// outcome after the token with counter presented has arrived at now. It is pure. r must have
// its defaults filled in; [RefreshParams] has such a Rotation. Every success also moves
// LastUsedAt to the later of itself and now, which is not part of the state.
//
// A store may call it only if it can hold the row locked from reading to writing. The SQL
// store has the same table as one statement, and a test holds the two against each other.
func (r Rotation) Next(s RefreshState, presented int64, now time.Time) (RefreshState, Outcome) {
	cutoff, window := r.WindowCutoff(now)
	inside := window && s.AnsweredAt.After(cutoff)

	switch {
	case presented == s.Current:
		return RefreshState{Current: s.Current + 1, Parent: s.Current, AnsweredAt: now}, OutcomeRotated

	case presented > s.Current:
		return RefreshState{Current: presented + 1, Parent: presented, AnsweredAt: now}, OutcomeAhead

	case presented == s.Parent && inside:
		// The window counts from the last answer, or two tabs that wake around its end
		// would fork the session. With limited recoveries that would prolong the life of
		// the parent, so then the window stays fixed.
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
