package sessionstest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sessile-go/sessile/sessions"
)

// Store is a [sessions.Store] in memory. It keeps the whole contract within one process,
// and sessions/storetest holds it to that. It is safe for concurrent use. The zero value is
// an empty store.
type Store struct {
	// Clock is the clock of the store, which a Manager compares with its own. A test with a
	// fake clock sets it to the Now method of that clock before the first call. Defaults to
	// time.Now.
	Clock func() time.Time

	mu   sync.Mutex
	rows map[string]*row
}

type row struct {
	session sessions.Session
	state   sessions.RefreshState
	// redeemed is true if the hand-off code was used.
	redeemed bool
}

var _ sessions.Store = (*Store)(nil)

// NewStore returns an empty store.
func NewStore() *Store { return new(Store) }

// Create adds a session, or returns [sessions.ErrConflict], or
// [sessions.ErrNotFound] if it may not depend on its parent.
func (st *Store) Create(ctx context.Context, s sessions.Session) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if _, taken := st.rows[s.ID]; taken {
		return fmt.Errorf("sessionstest: create: %w", sessions.ErrConflict)
	}

	for _, t := range []*time.Time{
		&s.CreatedAt, &s.LastUsedAt, &s.ExpiresAt, &s.AuthTime, &s.EndedAt, &s.HandoffExpiresAt,
	} {
		*t = micro(*t)
	}
	if s.ParentSessionID != "" {
		actor, ok := st.rows[s.ParentSessionID]
		if !ok || actor.session.UserID != s.Actor || actor.session.Impersonation || over(actor.session, s.CreatedAt) {
			return notFound("create")
		}
	}
	if st.rows == nil {
		st.rows = make(map[string]*row)
	}
	st.rows[s.ID] = &row{session: s, state: sessions.NewRefreshState(s.CreatedAt)}
	return nil
}

// Get returns a session, live or not, or [sessions.ErrNotFound].
func (st *Store) Get(ctx context.Context, id string) (sessions.Session, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return sessions.Session{}, err
	}
	r, ok := st.rows[id]
	if !ok {
		return sessions.Session{}, notFound("get")
	}
	return r.session, nil
}

// Refresh runs [sessions.Rotation.Next] on a live session, or returns
// [sessions.ErrNotFound].
func (st *Store) Refresh(ctx context.Context, p sessions.RefreshParams) (sessions.RefreshResult, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return sessions.RefreshResult{}, err
	}
	m := moment(p.Moment)
	r, ok := st.rows[p.ID]
	if !ok || !st.live(r.session, m) {
		return sessions.RefreshResult{}, notFound("refresh")
	}
	if r.session.Impersonation && !m.Now.Before(r.session.ExpiresAt.Add(-p.ImpersonationMargin)) {
		return sessions.RefreshResult{}, notFound("refresh")
	}

	next, outcome := p.Rotation.Next(r.state, p.Presented, m.Now)
	r.state = next
	if outcome.EndReason() != "" {
		r.end(m.Now, outcome.EndReason(), "")
	} else {
		r.use(m.Now, p.Client)
	}
	return sessions.RefreshResult{Session: r.session, State: r.state, Outcome: outcome}, nil
}

// List returns the live sessions of a user, newest first.
func (st *Store) List(ctx context.Context, p sessions.ListParams) ([]sessions.Session, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m := moment(p.Moment)

	var list []sessions.Session
	for _, r := range st.rows {
		s := r.session
		switch {
		case s.UserID != p.UserID, !st.live(s, m):
		case p.OnlyID != "" && s.ID != p.OnlyID:
		case s.Impersonation && !p.Impersonations:
		case p.After != nil && newestFirst(position(s), *p.After) <= 0:
		default:
			list = append(list, s)
		}
	}
	slices.SortFunc(list, func(a, b sessions.Session) int { return newestFirst(position(a), position(b)) })
	if p.Limit > 0 && len(list) > p.Limit {
		list = slices.Clone(list[:p.Limit])
	}
	return list, nil
}

// End ends one session that is not over, or returns [sessions.ErrNotFound].
func (st *Store) End(ctx context.Context, p sessions.EndParams) (sessions.Session, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return sessions.Session{}, err
	}
	now := micro(p.Now)
	r, ok := st.rows[p.ID]
	switch {
	case !ok, over(r.session, now):
		return sessions.Session{}, notFound("end")
	case p.UserID != "" && p.UserID != r.session.UserID:
		return sessions.Session{}, notFound("end")
	case p.NoImpersonation && r.session.Impersonation:
		return sessions.Session{}, notFound("end")
	}
	r.end(now, p.Reason, p.By)
	return r.session, nil
}

// EndMany ends the sessions of a user that are not over, except one, and returns
// them.
func (st *Store) EndMany(ctx context.Context, p sessions.EndManyParams) ([]sessions.Session, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	now := micro(p.Now)

	var ended []sessions.Session
	for id, r := range st.rows {
		if r.session.UserID == p.UserID && id != p.ExceptID && !over(r.session, now) {
			r.end(now, p.Reason, p.By)
			ended = append(ended, r.session)
		}
	}
	return ended, nil
}

// EndDependents marks the dependents of some sessions as ended, and returns them.
func (st *Store) EndDependents(ctx context.Context, p sessions.EndDependentsParams) ([]sessions.Session, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	now := micro(p.Now)

	actors := make(map[string]bool, len(p.ParentSessionIDs))
	for _, id := range p.ParentSessionIDs {
		actors[id] = id != ""
	}
	var ended []sessions.Session
	for _, r := range st.rows {
		if !actors[r.session.ParentSessionID] || over(r.session, now) {
			continue
		}
		r.end(now, p.Reason, p.By)
		ended = append(ended, r.session)
	}
	return ended, nil
}

// Redeem uses a hand-off code, or ends its session if the code was used before, or returns
// [sessions.ErrNotFound].
func (st *Store) Redeem(ctx context.Context, p sessions.RedeemParams) (sessions.Session, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return sessions.Session{}, err
	}
	m := moment(p.Moment)
	r, ok := st.rows[p.ID]
	switch {
	case !ok, !st.live(r.session, m), p.Hash == "", p.Hash != r.session.HandoffHash:
		return sessions.Session{}, notFound("redeem")
	case r.redeemed:
		r.end(m.Now, sessions.EndHandoffReplay, "")
	case !m.Now.Before(r.session.HandoffExpiresAt):
		return sessions.Session{}, notFound("redeem")
	default:
		r.redeemed = true
		r.use(m.Now, p.Client)
	}
	return r.session, nil
}

// Ended returns the sessions that have ended at or after since, by themselves or with their
// parent.
func (st *Store) Ended(ctx context.Context, since time.Time) ([]sessions.EndedSession, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	since = micro(since)

	var ended []sessions.EndedSession
	for id, r := range st.rows {
		e := sessions.EndedSession{ID: id, EndedAt: r.session.EndedAt}
		if actor, ok := st.rows[r.session.ParentSessionID]; ok && e.EndedAt.IsZero() {
			e.EndedAt, e.ParentSessionID = actor.session.EndedAt, actor.session.ID
		}
		if !e.EndedAt.IsZero() && !e.EndedAt.Before(since) {
			ended = append(ended, e)
		}
	}
	return ended, nil
}

// Prune deletes at most p.Limit sessions that are old enough, and returns how
// many.
func (st *Store) Prune(ctx context.Context, p sessions.PruneParams) (int, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return 0, err
	}

	needed := make(map[string]bool)
	for _, r := range st.rows {
		if r.session.EndedAt.IsZero() {
			needed[r.session.ParentSessionID] = true
		}
	}
	n := 0
	for id, r := range st.rows {
		if n >= p.Limit {
			break
		}
		s := r.session
		idle := before(s.LastUsedAt, p.IdleBefore) && !needed[id]
		if idle || before(s.EndedAt, p.EndedBefore) || before(s.ExpiresAt, p.ExpiredBefore) {
			delete(st.rows, id)
			n++
		}
	}
	return n, nil
}

// Now returns the time of st.Clock, in UTC.
func (st *Store) Now(ctx context.Context) (time.Time, error) {
	if err := ctx.Err(); err != nil {
		return time.Time{}, err
	}
	if st.Clock == nil {
		return micro(time.Now()), nil
	}
	return micro(st.Clock()), nil
}

func (r *row) end(at time.Time, reason sessions.EndReason, by string) {
	r.session.EndedAt, r.session.EndReason, r.session.EndedBy = at, reason, by
}

// use records a successful use of the session.
func (r *row) use(at time.Time, c sessions.Client) {
	if at.After(r.session.LastUsedAt) {
		r.session.LastUsedAt = at
	}
	r.session.Client.IP = cmp.Or(c.IP, r.session.Client.IP)
	r.session.Client.UserAgent = cmp.Or(c.UserAgent, r.session.Client.UserAgent)
}

// live judges a session and, if it has one, its parent. The parent may be idle. It is never
// an impersonation, so it has no parent.
func (st *Store) live(s sessions.Session, m sessions.Moment) bool {
	if s.ParentSessionID != "" {
		actor, ok := st.rows[s.ParentSessionID]
		if !ok || over(actor.session, m.Now) {
			return false
		}
	}
	return s.Live(m)
}

// over reports whether a session has ended or expired, by its row alone.
func over(s sessions.Session, now time.Time) bool {
	return !s.Live(sessions.Moment{Now: now})
}

func notFound(doing string) error {
	return fmt.Errorf("sessionstest: %s: %w", doing, sessions.ErrNotFound)
}

// micro returns a time with the resolution of a database, so that a test sees the same times
// with both.
func micro(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

func moment(m sessions.Moment) sessions.Moment {
	return sessions.Moment{Now: micro(m.Now), IdleCutoff: micro(m.IdleCutoff)}
}

func before(t, limit time.Time) bool { return !t.IsZero() && !limit.IsZero() && t.Before(limit) }

func position(s sessions.Session) sessions.ListPosition {
	return sessions.ListPosition{CreatedAt: s.CreatedAt, ID: s.ID}
}

// newestFirst is negative if a comes before b in a list.
func newestFirst(a, b sessions.ListPosition) int {
	return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(b.ID, a.ID))
}
