package explorer_test

import (
	"time"

	"github.com/sessile-go/sessile/sessions"
)

// Broken rules. Each is the protocol in use with one mistake that somebody could make; the
// explorer must detect it.

type (
	rotation = sessions.Rotation
	state    = sessions.RefreshState
	outcome  = sessions.Outcome
)

// windowNotRestarted forgets that a recovery hands out a new token, too.
func windowNotRestarted(r rotation, s state, _ time.Time, presented int64, now time.Time) (state, outcome) {
	next, o := r.Next(s, presented, now)
	if o == sessions.OutcomeRecovered {
		next.AnsweredAt = s.AnsweredAt
	}
	return next, o
}

// windowFixed counts the window from the rotation, not from the last answer.
func windowFixed(r rotation, s state, _ time.Time, presented int64, now time.Time) (state, outcome) {
	next, o := r.Next(s, presented, now)
	if o == sessions.OutcomeOverlap {
		next.AnsweredAt = s.AnsweredAt
	}
	return next, o
}

// overlapMints answers a duplicate with a new token instead of the same.
func overlapMints(r rotation, s state, _ time.Time, presented int64, now time.Time) (state, outcome) {
	next, o := r.Next(s, presented, now)
	if o == sessions.OutcomeOverlap {
		next.Current++
	}
	return next, o
}

// overlapEnds takes every duplicate for a replay.
func overlapEnds(r rotation, s state, _ time.Time, presented int64, now time.Time) (state, outcome) {
	if next, o := r.Next(s, presented, now); o != sessions.OutcomeOverlap {
		return next, o
	}
	return s, sessions.OutcomeReplay
}

// grandparent also accepts the token before the parent.
func grandparent(r rotation, s state, _ time.Time, presented int64, now time.Time) (state, outcome) {
	if presented == s.Parent-1 && presented > 0 {
		return s, sessions.OutcomeOverlap
	}
	return r.Next(s, presented, now)
}

// anyPrevious accepts whatever was issued once, as schemes do that keep no
// relation between tokens.
func anyPrevious(r rotation, s state, _ time.Time, presented int64, now time.Time) (state, outcome) {
	next, o := r.Next(s, presented, now)
	if o == sessions.OutcomeReplay {
		return s, sessions.OutcomeOverlap
	}
	return next, o
}

// replayRefuses refuses a replay and lets the session live.
func replayRefuses(r rotation, s state, _ time.Time, presented int64, now time.Time) (state, outcome) {
	next, o := r.Next(s, presented, now)
	if o == sessions.OutcomeReplay {
		return next, outcomeLater
	}
	return next, o
}

// siblingsLive also accepts a successor that a recovery displaced.
func siblingsLive(r rotation, s state, _ time.Time, presented int64, now time.Time) (state, outcome) {
	if presented > s.Parent && presented < s.Current {
		return state{Current: s.Current + 1, Parent: presented, AnsweredAt: now}, sessions.OutcomeRotated
	}
	return r.Next(s, presented, now)
}

// counterBack takes a late parent for a sign that the row is wrong, and sets it
// back.
func counterBack(r rotation, s state, _ time.Time, presented int64, now time.Time) (state, outcome) {
	next, o := r.Next(s, presented, now)
	if o == sessions.OutcomeRecovered {
		next.Current, next.Parent = presented, presented-1
	}
	return next, o
}

// parentBack forgets the parent when it rotates.
func parentBack(r rotation, s state, _ time.Time, presented int64, now time.Time) (state, outcome) {
	next, o := r.Next(s, presented, now)
	if o == sessions.OutcomeRotated && s.Parent > 0 {
		next.Parent = s.Parent - 1
	}
	return next, o
}

// aheadRefused takes a token newer than the row for a replay.
func aheadRefused(r rotation, s state, _ time.Time, presented int64, now time.Time) (state, outcome) {
	next, o := r.Next(s, presented, now)
	if o == sessions.OutcomeAhead {
		return s, sessions.OutcomeReplay
	}
	return next, o
}

// aheadKeepsParent takes a token newer than the row, but not as the new parent.
func aheadKeepsParent(r rotation, s state, _ time.Time, presented int64, now time.Time) (state, outcome) {
	next, o := r.Next(s, presented, now)
	if o == sessions.OutcomeAhead {
		next.Parent = s.Parent
	}
	return next, o
}

// recoveriesForEver counts recoveries over the whole life of a session.
func recoveriesForEver(r rotation, s state, _ time.Time, presented int64, now time.Time) (state, outcome) {
	next, o := r.Next(s, presented, now)
	if o == sessions.OutcomeRotated {
		next.Recoveries = s.Recoveries
	}
	return next, o
}

// recoveriesUncounted never counts them.
func recoveriesUncounted(r rotation, s state, _ time.Time, presented int64, now time.Time) (state, outcome) {
	next, o := r.Next(s, presented, now)
	next.Recoveries = 0
	return next, o
}

// recoversAlways recovers even if no recovery is allowed.
func recoversAlways(r rotation, s state, _ time.Time, presented int64, now time.Time) (state, outcome) {
	r.MaxRecoveries = 0
	return r.Next(s, presented, now)
}

// Alternatives. They were looked at because each closes a gap, and are not in
// use because of what each costs; see the package documentation.

// frozen: the current token, inside the window, answers itself.
func frozen(r rotation, s state, _ time.Time, presented int64, now time.Time) (state, outcome) {
	if presented == s.Current && now.Before(s.AnsweredAt.Add(r.Overlap)) {
		return s, sessions.OutcomeOverlap
	}
	return r.Next(s, presented, now)
}

// frozenSliding is frozen, and such an answer restarts the window.
func frozenSliding(r rotation, s state, _ time.Time, presented int64, now time.Time) (state, outcome) {
	if presented == s.Current && now.Before(s.AnsweredAt.Add(r.Overlap)) {
		s.AnsweredAt = now
		return s, sessions.OutcomeOverlap
	}
	return r.Next(s, presented, now)
}

// frozenFixed is frozen, in a window that counts from the rotation alone.
func frozenFixed(r rotation, s state, minted time.Time, presented int64, now time.Time) (state, outcome) {
	if presented == s.Current && now.Before(minted.Add(r.Overlap)) {
		return s, sessions.OutcomeOverlap
	}
	return r.Next(s, presented, now)
}

// staleOnce: inside the window the token before the parent is refused, but does
// not end the session; the client reads its store again.
func staleOnce(r rotation, s state, _ time.Time, presented int64, now time.Time) (state, outcome) {
	if presented == s.Parent-1 && presented > 0 && now.Before(s.AnsweredAt.Add(r.Overlap)) {
		return s, outcomeLater
	}
	return r.Next(s, presented, now)
}

// staleAny is the same for every spent token.
func staleAny(r rotation, s state, _ time.Time, presented int64, now time.Time) (state, outcome) {
	if presented < s.Current && presented != s.Parent && now.Before(s.AnsweredAt.Add(r.Overlap)) {
		return s, outcomeLater
	}
	return r.Next(s, presented, now)
}

// quiet counts the window from the rotation. A second window of the same length follows, in
// which the parent gets the answer to come back later. So no successor is displaced while a
// client that has just received it may be about to use it, and no answer moves a deadline.
func quiet(r rotation, s state, at time.Time, presented int64, now time.Time) (state, outcome) {
	age := now.Sub(s.AnsweredAt)
	if presented == s.Parent && age >= r.Overlap && age < 2*r.Overlap {
		return s, outcomeLater
	}
	return windowFixed(r, s, at, presented, now)
}

// takesBack: the token that a recovery displaced is taken all the same, once for each
// rotation, if that recovery was the only one and its token is unused. A request that
// was held back for longer than the window, and whose reply is lost, then signs nobody
// out.
func takesBack(r rotation, s state, _ time.Time, presented int64, now time.Time) (state, outcome) {
	if presented == s.Parent+1 && presented == s.Current-1 && s.Recoveries == 1 {
		return state{Current: s.Current + 1, Parent: presented, AnsweredAt: now}, sessions.OutcomeRecovered
	}
	return r.Next(s, presented, now)
}

// takesBackLast is takesBack after any number of recoveries.
func takesBackLast(r rotation, s state, _ time.Time, presented int64, now time.Time) (state, outcome) {
	if presented > s.Parent && presented == s.Current-1 && s.Recoveries == s.Current-s.Parent-1 {
		return state{Current: s.Current + 1, Parent: presented, AnsweredAt: now}, sessions.OutcomeRecovered
	}
	return r.Next(s, presented, now)
}
