package sessions

// Tested in package storetest.

import (
	"context"
	"time"
)

// Store keeps sessions. Packages store and store/sqlstore of this module implement
// it, and sessions/storetest checks any other implementation against this contract.
//
// A session is live at a moment if [Session.Live] says so and, if it has a ParentSessionID,
// its parent exists and has neither ended nor expired. A dependent dies with its parent in
// that same step, although EndDependents marks its own row later. Idling does not pass from
// the parent to the dependent: an actor who acts as somebody else does not use the session
// of their own meanwhile. Refresh, Redeem and List judge both sessions. End, EndMany and
// EndDependents look at the row alone and do not ask whether it is idle, because a session
// that is not live may still have to end: one that has dependents, or one that nobody has
// marked.
//
// Every method is one atomic step, and many processes may call it concurrently. Times come
// in as arguments, in any zone, with the resolution of a microsecond, and go out in UTC. A
// store never reads a clock to decide anything. Ids and user ids are compared byte by byte.
//
// Each method has three kinds of answer: yes, no, and unknown. "No" is [ErrNotFound] or
// [ErrConflict], wrapped or not. Any other error means that the effect is unknown. With an
// error the other result is the zero value. A method whose context is already done returns
// the error of the context and changes nothing. Nothing may be answered before it is as
// durable as the database makes it.
type Store interface {
	// Create adds a live session with the state of [NewRefreshState] at its CreatedAt. If
	// s.ParentSessionID is set, then in the same step that session must exist, belong to
	// the user s.Actor, be no impersonation, not have ended, and expire after s.CreatedAt.
	// Otherwise Create returns ErrNotFound and adds nothing. ErrConflict: the id exists; the
	// existing row is unchanged.
	Create(ctx context.Context, s Session) error

	// Get returns a session, live or not. ErrNotFound: no such id.
	Get(ctx context.Context, id string) (Session, error)

	// Refresh runs [Rotation.Next] on the row of p.ID if that session is live at p.Moment,
	// and writes the new state, or the end of the session, in the same step. Of many callers
	// with one token exactly one sees it rotate, and exactly one sees a session end. An
	// outcome with an EndReason sets EndedAt to p.Moment.Now, EndReason to
	// [Outcome.EndReason] and EndedBy to "", and leaves the rest of the row as it was.
	// ErrNotFound: no such session, or it is not live; nothing has changed.
	Refresh(ctx context.Context, p RefreshParams) (RefreshResult, error)

	// List returns live sessions, newest first: by CreatedAt, then by ID, both descending.
	// If there are none, it returns an empty list and no error.
	List(ctx context.Context, p ListParams) ([]Session, error)

	// End ends one session that has neither ended nor expired, and returns it as it is then.
	// It does not look at the parent. ErrNotFound: no such session, it is over, or it does
	// not meet the conditions of p.
	End(ctx context.Context, p EndParams) (Session, error)

	// EndMany ends the sessions of one user that have neither ended nor expired, each in one
	// atomic step, and returns them as they are then, in any order. It does not look at
	// parents. Sessions whose creation was answered before the call began are among them;
	// one that is created during the call may be. If there are none, it returns an empty
	// list and no error.
	EndMany(ctx context.Context, p EndManyParams) ([]Session, error)

	// EndDependents marks as ended the dependents of p.ParentSessionIDs that have neither
	// ended nor expired by their own rows, whether the parent is live or not, and returns
	// them as they are then, in any order. If there are none, it returns an empty list and no
	// error. There may be thousands of ids. A store takes no more round trips for them than
	// for one.
	EndDependents(ctx context.Context, p EndDependentsParams) ([]Session, error)

	// Redeem uses the hand-off code with hash p.Hash of the live session p.ID. The first time
	// before HandoffExpiresAt it moves LastUsedAt forward, takes the non-empty fields of
	// p.Client, and returns the session. Every further time, late or not, it ends the session
	// with [EndHandoffReplay], EndedAt p.Moment.Now and EndedBy "", and returns it as it is
	// then. Of many callers one sees it live and one sees it end. ErrNotFound: no such
	// session, it is not live, it has another hash, or it is too late for the first time;
	// nothing has changed.
	Redeem(ctx context.Context, p RedeemParams) (Session, error)

	// Ended returns the sessions whose EndedAt is at or after since. It also returns their
	// dependents that have not ended by their own rows, with the id and the EndedAt of the
	// parent. Each session is there once, in any order, and everything that was committed
	// before the call began is among them. Ended is called every second, so its cost must
	// follow from what it returns and not from the size of the table. If there are none, it
	// returns an empty list and no error.
	Ended(ctx context.Context, since time.Time) ([]EndedSession, error)

	// Prune deletes at most p.Limit sessions that ended, expired or were last used before the
	// times of p, and returns how many: at least one, if there are any. The times of p are in
	// the past, so it never deletes a live session. A session that was last used too long ago
	// stays as long as it has a dependent that has not ended, which may be live.
	Prune(ctx context.Context, p PruneParams) (int, error)

	// Now returns the database's clock, for [Manager.CheckClock] only.
	Now(ctx context.Context) (time.Time, error)
}

// RefreshParams holds a presented refresh token that is already authenticated.
type RefreshParams struct {
	// ID is the session that the token names.
	ID string
	// Presented is the token's counter, from 1 to 2^53-1.
	Presented int64
	// Rotation has the settings, with defaults filled in.
	Rotation Rotation
	// Moment is when the token was presented.
	Moment Moment
	// ImpersonationMargin is how long before its ExpiresAt an impersonation counts as
	// expired.
	ImpersonationMargin time.Duration
	// Client is who presented the token. On success its non-empty fields replace those of the
	// session. A refused refresh leaves them.
	Client Client
}

// RefreshResult is the result of [Store].Refresh.
type RefreshResult struct {
	// Session is the session after the step. It has ended if Outcome has an EndReason.
	Session Session
	// State is the state after the step.
	State RefreshState
	// Outcome says which row of the protocol applied.
	Outcome Outcome
}

// ListParams selects live sessions.
type ListParams struct {
	// UserID is required.
	UserID string
	// OnlyID selects that session alone, if it is set.
	OnlyID string
	// Impersonations also selects impersonations.
	Impersonations bool
	// Moment judges liveness.
	Moment Moment
	// Limit is the largest number of sessions to return; 0 is no limit.
	Limit int
	// After starts the list after this position, if it is set.
	After *ListPosition
}

// ListPosition is a place in a list.
type ListPosition struct {
	CreatedAt time.Time
	ID        string
}

// EndParams selects one session for [Manager.End] and [Store].End, and says why it ends.
type EndParams struct {
	// ID is required.
	ID string
	// UserID must be the session's, if it is set.
	UserID string
	// NoImpersonation refuses impersonations.
	NoImpersonation bool
	// Now becomes EndedAt. A session that has expired by then is left alone. The Manager
	// sets it.
	Now time.Time
	// Reason stays on the row. For a Manager it defaults to [EndRevoked].
	Reason EndReason
	// By says who ends the session, and stays on the row. It may be empty.
	By string
}

// EndManyParams selects the sessions of one user, impersonations included, for
// [Manager.EndMany] and [Store].EndMany, and says why they end.
type EndManyParams struct {
	// UserID is required.
	UserID string
	// ExceptID, if it is set, is the session to keep.
	ExceptID string
	// Now becomes EndedAt. Sessions that have expired by then are left alone. The Manager
	// sets it.
	Now time.Time
	// Reason stays on the rows. For a Manager it defaults to [EndRevoked].
	Reason EndReason
	// By says who ends the sessions, and stays on the rows. It may be empty.
	By string
}

// EndDependentsParams selects the dependents of some sessions.
type EndDependentsParams struct {
	// ParentSessionIDs are the ids of the parents. If it is empty, nothing is selected.
	ParentSessionIDs []string
	// Now becomes EndedAt. Sessions that have expired by then are left alone.
	Now time.Time
	// Reason and By stay on the rows.
	Reason EndReason
	By     string
}

// RedeemParams holds a presented hand-off code.
type RedeemParams struct {
	// ID is the session that the code names.
	ID string
	// Hash is the SHA-256 of the code, in lower-case hexadecimal; never empty.
	Hash string
	// Moment is when the code was presented.
	Moment Moment
	// Client is who presented it.
	Client Client
}

// EndedSession says when a session has ended.
type EndedSession struct {
	ID      string
	EndedAt time.Time
	// ParentSessionID is the id of the parent if the session is over only because its
	// parent has ended: EndDependents has not marked its row yet. Otherwise it is empty.
	ParentSessionID string
}

// PruneParams selects what is old enough to delete: sessions with EndedAt before
// EndedBefore, with ExpiresAt before ExpiredBefore, or with LastUsedAt before IdleBefore and
// no dependent that has not ended. A zero time selects nothing.
type PruneParams struct {
	EndedBefore, ExpiredBefore, IdleBefore time.Time
	// Limit is the largest number of rows to delete, at least 1.
	Limit int
}
