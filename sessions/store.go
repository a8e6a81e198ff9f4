package sessions

// Tested in package storetest.

import (
	"context"
	"time"
)

// Store keeps sessions. The one that ships is github.com/sessile-go/sessile/store;
// sessions/storetest checks any other against this contract.
//
// A session is live at a moment if [Session.Live] says so and, if it has an
// ParentSessionID, the session of that id is there and has neither ended nor expired:
// it dies with the actor's session in that same step, though its own row is marked
// later, by EndDependents. Being idle is each session's own affair: an actor who acts
// does not use the session that he acts from. Refresh, Redeem and List judge both
// sessions. End, EndMany and EndDependents look at the row alone and do not ask
// whether it is idle, since what is not live may still have to end: a session on which
// others depend, or one that nobody has marked.
//
// Every method is one atomic step and safe for concurrent use by many processes.
// Times come in as arguments, in any zone and meant to the microsecond, and go out
// in UTC; a store never reads a clock to decide anything. Ids and user ids are
// compared byte by byte.
//
// Each method has three kinds of answer: yes, no, and could not tell. "No" is
// [ErrNotFound] or [ErrConflict], wrapped or not; any other error means that the
// effect is unknown. On error the other result is the zero value. A method whose
// context is already done returns that error and changes nothing. Nothing may be
// answered before it is as durable as the database makes it.
type Store interface {
	// Create adds a live session with the state of [NewRefreshState] at its
	// CreatedAt. ErrConflict: the id exists; the existing row is unchanged. Where
	// s.ParentSessionID is set, that session has to be, in the same step, one of
	// the user s.Actor that is no impersonation, has not ended and expires after
	// s.CreatedAt; else ErrNotFound, and nothing is added.
	Create(ctx context.Context, s Session) error

	// Get returns a session, live or not. ErrNotFound: no such id.
	Get(ctx context.Context, id string) (Session, error)

	// Refresh runs [Rotation.Next] on the row of p.ID, if that session is live at
	// p.Moment, and writes the new state, or the end of the session, in the same
	// step: of many callers with one token exactly one sees it rotate, and
	// exactly one sees a session end. A refused outcome sets EndedAt to
	// p.Moment.Now, EndReason to [Outcome.EndReason] and EndedBy to "", and leaves
	// the rest as it was. ErrNotFound: no such session, or not live; nothing has
	// changed.
	Refresh(ctx context.Context, p RefreshParams) (RefreshResult, error)

	// List returns live sessions, newest first: by CreatedAt, then by ID, both
	// descending. No sessions is an empty list and no error.
	List(ctx context.Context, p ListParams) ([]Session, error)

	// End ends one session that has neither ended nor expired by itself, and returns it
	// as it is then. ErrNotFound: no such session, over, or outside the conditions of p.
	End(ctx context.Context, p EndParams) (Session, error)

	// EndMany ends the sessions of one user that have neither ended nor expired by
	// themselves, each in one atomic step, and returns them as they are then, in no
	// particular order. All whose creation was
	// answered before the call began are among them; one that is created meanwhile
	// may be. None is an empty list and no error.
	EndMany(ctx context.Context, p EndManyParams) ([]Session, error)

	// EndDependents marks as ended the sessions whose ParentSessionID is one of
	// p.ParentSessionIDs and that were not ended or expired by themselves, whether the
	// actor's session is live or not, and returns them as they are then, in no
	// particular order. None is an empty list and no error. There may be thousands of
	// ids, for which a store takes no more round trips than for one.
	EndDependents(ctx context.Context, p EndDependentsParams) ([]Session, error)

	// Redeem uses the hand-off code with hash p.Hash of the live session p.ID. The
	// first time before HandoffExpiresAt it moves LastUsedAt forward, takes the
	// non-empty fields of p.Client, and returns the session. Any further time, late
	// or not, it ends the session with [EndHandoffReplay], EndedAt p.Moment.Now
	// and EndedBy "", and returns it as it is then: of many callers one sees it
	// live and one sees it end. ErrNotFound: no such session, not live, another
	// hash, or too late for the first time; nothing has changed.
	Redeem(ctx context.Context, p RedeemParams) (Session, error)

	// Ended returns the sessions whose EndedAt is at or after since, and those that
	// were not ended by themselves but whose ParentSessionID is among the former,
	// with that and with the EndedAt of that one: each once, in no particular order. What was
	// committed before the call began is among them. It is called every second, so
	// its cost must follow from what it returns and not from what there is. None is
	// an empty list and no error.
	Ended(ctx context.Context, since time.Time) ([]EndedSession, error)

	// Prune deletes at most p.Limit sessions that ended, expired or were last used
	// before the times of p, and returns how many; at least one, if there are any.
	// The caller's times are in the past, so it never deletes a live one. A session
	// that was last used too long ago stays as long as it is the ParentSessionID of one
	// that was not ended, which may be live.
	Prune(ctx context.Context, p PruneParams) (int, error)

	// Now returns the database's clock, for [Manager.CheckClock] only.
	Now(ctx context.Context) (time.Time, error)
}

// RefreshParams is a presented refresh token, already authenticated.
type RefreshParams struct {
	// ID is the session that the token names.
	ID string
	// Presented is the token's counter, from 1 to 2^53-1.
	Presented int64
	// Rotation has the settings, with defaults filled in.
	Rotation Rotation
	// Moment is when the token was presented.
	Moment Moment
	// ImpersonationMargin: an impersonation counts as expired this long before
	// its ExpiresAt.
	ImpersonationMargin time.Duration
	// Client is who presented it. On success its non-empty fields replace those
	// of the session; a refused refresh leaves them.
	Client Client
}

// RefreshResult is what Refresh did.
type RefreshResult struct {
	// Session is the session after it; it has ended if Outcome.EndReason says so.
	Session Session
	// State is the state after it.
	State RefreshState
	// Outcome says which row of the table applied.
	Outcome Outcome
}

// ListParams selects live sessions.
type ListParams struct {
	// UserID is required.
	UserID string
	// OnlyID, where set, selects that session alone.
	OnlyID string
	// Impersonations also selects impersonations.
	Impersonations bool
	// Moment judges liveness.
	Moment Moment
	// Limit is the largest number of sessions to return; 0 is no limit.
	Limit int
	// After, where set, starts the list behind this position.
	After *ListPosition
}

// ListPosition is a place in a list.
type ListPosition struct {
	CreatedAt time.Time
	ID        string
}

// EndParams selects one session and says why it ends.
type EndParams struct {
	// ID is required.
	ID string
	// UserID, where set, must be the session's.
	UserID string
	// NoImpersonation refuses impersonations.
	NoImpersonation bool
	// Now becomes EndedAt; what has expired by then is left alone.
	Now time.Time
	// Reason and By stay on the row.
	Reason EndReason
	By     string
}

// EndManyParams selects the sessions of one user, impersonations included.
type EndManyParams struct {
	// UserID is required.
	UserID string
	// ExceptID, where set, is left alone.
	ExceptID string
	// Now becomes EndedAt; what has expired by then is left alone.
	Now time.Time
	// Reason and By stay on the row.
	Reason EndReason
	By     string
}

// EndDependentsParams selects the impersonations that depend on actors' sessions.
type EndDependentsParams struct {
	// ParentSessionIDs are the ids of those sessions; without any, none is selected.
	ParentSessionIDs []string
	// Now becomes EndedAt; what has expired by then is left alone.
	Now time.Time
	// Reason and By stay on the rows.
	Reason EndReason
	By     string
}

// RedeemParams is a presented hand-off code.
type RedeemParams struct {
	// ID is the session that the code names.
	ID string
	// Hash is the SHA-256 of the code, in lower-case hexadecimal; never empty.
	Hash string
	// Moment is when it was presented.
	Moment Moment
	// Client is who presented it.
	Client Client
}

// EndedSession says when a session has ended.
type EndedSession struct {
	ID      string
	EndedAt time.Time
	// ParentSessionID is set if the session was not ended by itself, but only with that
	// of its actor, which is this one: EndDependents has not marked it yet.
	ParentSessionID string
}

// PruneParams says what is old enough to delete: EndedAt before EndedBefore,
// ExpiresAt before ExpiredBefore, or LastUsedAt before IdleBefore if no session that
// was not ended depends on it. A zero time selects nothing.
type PruneParams struct {
	EndedBefore, ExpiredBefore, IdleBefore time.Time
	// Limit is the largest number of rows to delete, at least 1.
	Limit int
}
