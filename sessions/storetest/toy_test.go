package storetest_test

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/storetest"
)

type (
	state    = sessions.RefreshState
	nextFunc = func(r sessions.Rotation, s state, presented int64, now time.Time) (state, sessions.Outcome)
)

// parts are the decisions of a store in memory. Each broken store gets one of them wrong.
type parts struct {
	ctx         func(ctx context.Context) error
	save        func(r *toyRow)
	taken       error // what a second Create of an id returns; nil overwrites
	live        func(s sessions.Session, m sessions.Moment) bool
	owner       func(row, asked string) bool
	next        nextFunc
	margin      func(s sessions.Session, p sessions.RefreshParams) bool
	apply       func(r *toyRow, p sessions.RefreshParams, o sessions.Outcome)
	hidden      func(s sessions.Session, p sessions.ListParams) bool
	later       func(s sessions.Session, after sessions.ListPosition) bool
	order       func(a, b sessions.Session) int
	spared      func(s sessions.Session, p sessions.EndManyParams) bool
	over        func(s sessions.Session, now time.Time) bool // whether an end leaves s alone; judges s alone
	old         func(s sessions.Session, p sessions.PruneParams, needed bool) bool
	mayBeParent func(parent *sessions.Session, s sessions.Session) bool       // parent may be nil
	parent      func(parent *sessions.Session, m sessions.Moment) bool        // parent may be nil
	depends     func(s sessions.Session, p sessions.EndDependentsParams) bool // judges s alone
	redeem      func(r *toyRow, p sessions.RedeemParams) error
	// zero if it has not ended; parent may be nil
	ended  func(s sessions.Session, parent *sessions.Session) time.Time
	recent func(at, since time.Time) bool
	many   func(t *toy, s sessions.Session, now time.Time) bool // called before EndMany ends s; nil means yes
	// called between reading and writing, without the lock
	pause func()
}

func good() *parts {
	micro := func(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
	return &parts{
		ctx: func(ctx context.Context) error { return ctx.Err() },
		save: func(r *toyRow) {
			s := &r.Session
			for _, t := range []*time.Time{
				&s.CreatedAt, &s.LastUsedAt, &s.ExpiresAt, &s.AuthTime, &s.HandoffExpiresAt,
			} {
				*t = micro(*t)
			}
		},
		taken: sessions.ErrConflict,
		live:  func(s sessions.Session, m sessions.Moment) bool { return s.Live(m) },
		owner: func(row, asked string) bool { return row == asked },
		next:  sessions.Rotation.Next,
		margin: func(s sessions.Session, p sessions.RefreshParams) bool {
			return s.Impersonation && !p.Moment.Now.Before(s.ExpiresAt.Add(-p.ImpersonationMargin))
		},
		apply: func(r *toyRow, p sessions.RefreshParams, o sessions.Outcome) {
			if o.EndReason() != "" {
				r.end(p.Moment.Now, o.EndReason(), "")
				return
			}
			r.use(p.Moment.Now, p.Client)
		},
		hidden: func(s sessions.Session, p sessions.ListParams) bool {
			return s.Impersonation && !p.Impersonations || p.OnlyID != "" && s.ID != p.OnlyID
		},
		later: func(s sessions.Session, after sessions.ListPosition) bool {
			return cmp.Or(s.CreatedAt.Compare(after.CreatedAt), cmp.Compare(s.ID, after.ID)) < 0
		},
		order: func(a, b sessions.Session) int {
			return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(b.ID, a.ID))
		},
		spared: func(s sessions.Session, p sessions.EndManyParams) bool { return s.ID == p.ExceptID },
		over:   isOver,
		old: func(s sessions.Session, p sessions.PruneParams, needed bool) bool {
			return before(s.EndedAt, p.EndedBefore) || before(s.ExpiresAt, p.ExpiredBefore) ||
				before(s.LastUsedAt, p.IdleBefore) && !needed
		},
		mayBeParent: func(parent *sessions.Session, s sessions.Session) bool {
			return parent != nil && parent.UserID == s.Actor && !parent.Impersonation &&
				parent.Live(sessions.Moment{Now: s.CreatedAt})
		},
		parent: func(parent *sessions.Session, m sessions.Moment) bool {
			return parent != nil && !isOver(*parent, m.Now)
		},
		depends: func(s sessions.Session, p sessions.EndDependentsParams) bool {
			return s.ParentSessionID != "" && slices.Contains(p.ParentSessionIDs, s.ParentSessionID) &&
				!isOver(s, p.Now)
		},
		redeem: func(r *toyRow, p sessions.RedeemParams) error {
			switch {
			case p.Hash == "" || p.Hash != r.HandoffHash:
				return sessions.ErrNotFound
			case r.uses > 0:
				r.end(p.Moment.Now, sessions.EndHandoffReplay, "")
			case !p.Moment.Now.Before(r.HandoffExpiresAt):
				return sessions.ErrNotFound
			default:
				r.uses++
				r.use(p.Moment.Now, p.Client)
			}
			return nil
		},
		ended: func(s sessions.Session, parent *sessions.Session) time.Time {
			if s.EndedAt.IsZero() && parent != nil {
				return parent.EndedAt
			}
			return s.EndedAt
		},
		recent: func(at, since time.Time) bool { return !at.Before(since) },
	}
}

// isOver reports whether a session has ended or expired, idle or not.
func isOver(s sessions.Session, now time.Time) bool {
	return !s.Live(sessions.Moment{Now: now})
}

func before(t, limit time.Time) bool { return !t.IsZero() && !limit.IsZero() && t.Before(limit) }

type toyRow struct {
	sessions.Session
	sessions.RefreshState
	uses int // of the hand-off code
}

func (r *toyRow) use(at time.Time, c sessions.Client) {
	if at.After(r.LastUsedAt) {
		r.LastUsedAt = at.UTC()
	}
	r.Client.IP = cmp.Or(c.IP, r.Client.IP)
	r.Client.UserAgent = cmp.Or(c.UserAgent, r.Client.UserAgent)
}

func (r *toyRow) end(at time.Time, reason sessions.EndReason, by string) {
	r.EndedAt, r.EndReason, r.EndedBy = at.UTC(), reason, by
}

// toy is a store made of parts. If parts.pause is set, it takes its lock once to read and once to
// write, like a careless program with two statements.
type toy struct {
	*parts
	mu   *sync.Mutex
	rows map[string]toyRow
}

func newToy(p *parts) *toy { return &toy{parts: p, mu: new(sync.Mutex), rows: make(map[string]toyRow)} }

func (t *toy) between() {
	if t.pause != nil {
		t.mu.Unlock()
		t.pause()
		t.mu.Lock()
	}
}

// row returns the session of an id, or nil.
func (t *toy) row(id string) *sessions.Session {
	if r, ok := t.rows[id]; ok {
		return &r.Session
	}
	return nil
}

// needed reports whether the session of an id has a dependent that has not ended.
func (t *toy) needed(id string) bool {
	for _, r := range t.rows {
		if r.ParentSessionID == id && r.EndedAt.IsZero() {
			return true
		}
	}
	return false
}

func (t *toy) alive(s sessions.Session, m sessions.Moment) bool {
	return t.live(s, m) && (s.ParentSessionID == "" || t.parent(t.row(s.ParentSessionID), m))
}

func (t *toy) Create(ctx context.Context, s sessions.Session) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.ctx(ctx); err != nil {
		return err
	}
	_, taken := t.rows[s.ID]
	mayBeParent := s.ParentSessionID == "" || t.mayBeParent(t.row(s.ParentSessionID), s)
	t.between()
	if taken && t.taken != nil {
		return t.taken
	}
	if !mayBeParent {
		return sessions.ErrNotFound
	}
	r := toyRow{Session: s, RefreshState: sessions.NewRefreshState(s.CreatedAt)}
	t.save(&r)
	t.rows[s.ID] = r
	return nil
}

func (t *toy) Get(ctx context.Context, id string) (sessions.Session, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.ctx(ctx); err != nil {
		return sessions.Session{}, err
	}
	r, ok := t.rows[id]
	if !ok {
		return sessions.Session{}, sessions.ErrNotFound
	}
	return r.Session, nil
}

func (t *toy) Refresh(ctx context.Context, p sessions.RefreshParams) (sessions.RefreshResult, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.ctx(ctx); err != nil {
		return sessions.RefreshResult{}, err
	}
	r, ok := t.rows[p.ID]
	if !ok || !t.alive(r.Session, p.Moment) || t.margin(r.Session, p) {
		return sessions.RefreshResult{}, sessions.ErrNotFound
	}
	t.between()
	var o sessions.Outcome
	r.RefreshState, o = t.next(p.Rotation, r.RefreshState, p.Presented, p.Moment.Now.UTC())
	t.apply(&r, p, o)
	t.rows[p.ID] = r
	return sessions.RefreshResult{Session: r.Session, State: r.RefreshState, Outcome: o}, nil
}

func (t *toy) List(ctx context.Context, p sessions.ListParams) ([]sessions.Session, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.ctx(ctx); err != nil {
		return nil, err
	}
	var list []sessions.Session
	for _, r := range t.rows {
		if t.owner(r.UserID, p.UserID) && t.alive(r.Session, p.Moment) && !t.hidden(r.Session, p) &&
			(p.After == nil || t.later(r.Session, *p.After)) {
			list = append(list, r.Session)
		}
	}
	slices.SortFunc(list, t.order)
	if p.Limit > 0 && p.Limit < len(list) {
		list = list[:p.Limit]
	}
	return list, nil
}

func (t *toy) End(ctx context.Context, p sessions.EndParams) (sessions.Session, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.ctx(ctx); err != nil {
		return sessions.Session{}, err
	}
	r, ok := t.rows[p.ID]
	if !ok || t.over(r.Session, p.Now) || p.UserID != "" && !t.owner(r.UserID, p.UserID) || p.NoImpersonation &&
		r.Impersonation {
		return sessions.Session{}, sessions.ErrNotFound
	}
	t.between()
	r.end(p.Now, p.Reason, p.By)
	t.rows[p.ID] = r
	return r.Session, nil
}

func (t *toy) EndMany(ctx context.Context, p sessions.EndManyParams) ([]sessions.Session, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.ctx(ctx); err != nil {
		return nil, err
	}
	var list []sessions.Session
	for _, r := range t.rows {
		if t.owner(r.UserID, p.UserID) && !t.spared(r.Session, p) && !t.over(r.Session, p.Now) {
			list = append(list, r.Session)
		}
	}
	t.between()
	slices.SortFunc(list, func(a, b sessions.Session) int { return cmp.Compare(a.ID, b.ID) })
	ended := list[:0]
	for _, s := range list {
		if t.many != nil && !t.many(t, s, p.Now) {
			continue
		}
		r := t.rows[s.ID]
		r.end(p.Now, p.Reason, p.By)
		t.rows[r.ID] = r
		ended = append(ended, r.Session)
	}
	return ended, nil
}

func (t *toy) EndDependents(ctx context.Context, p sessions.EndDependentsParams) ([]sessions.Session, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.ctx(ctx); err != nil {
		return nil, err
	}
	var list []sessions.Session
	for _, r := range t.rows {
		if t.depends(r.Session, p) {
			list = append(list, r.Session)
		}
	}
	t.between()
	for i := range list {
		r := t.rows[list[i].ID]
		r.end(p.Now, p.Reason, p.By)
		t.rows[r.ID], list[i] = r, r.Session
	}
	return list, nil
}

func (t *toy) Redeem(ctx context.Context, p sessions.RedeemParams) (sessions.Session, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.ctx(ctx); err != nil {
		return sessions.Session{}, err
	}
	r, ok := t.rows[p.ID]
	if !ok || !t.alive(r.Session, p.Moment) {
		return sessions.Session{}, sessions.ErrNotFound
	}
	t.between()
	if err := t.redeem(&r, p); err != nil {
		return sessions.Session{}, err
	}
	t.rows[p.ID] = r
	return r.Session, nil
}

func (t *toy) Ended(ctx context.Context, since time.Time) ([]sessions.EndedSession, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.ctx(ctx); err != nil {
		return nil, err
	}
	var ended []sessions.EndedSession
	for _, r := range t.rows {
		if at := t.ended(r.Session, t.row(r.ParentSessionID)); !at.IsZero() && t.recent(at, since) {
			e := sessions.EndedSession{ID: r.ID, EndedAt: at}
			if r.EndedAt.IsZero() {
				e.ParentSessionID = r.ParentSessionID
			}
			ended = append(ended, e)
		}
	}
	return ended, nil
}

func (t *toy) Prune(ctx context.Context, p sessions.PruneParams) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.ctx(ctx); err != nil {
		return 0, err
	}
	var doomed []string
	for id, r := range t.rows {
		if len(doomed) < p.Limit && t.old(r.Session, p, t.needed(id)) {
			doomed = append(doomed, id)
		}
	}
	t.between()
	for _, id := range doomed {
		delete(t.rows, id)
	}
	return len(doomed), nil
}

func (t *toy) Now(ctx context.Context) (time.Time, error) {
	if err := t.ctx(ctx); err != nil {
		return time.Time{}, err
	}
	return time.Unix(1, 0).UTC(), nil
}

// TestTheToyIsGood holds the tables of broken stores: without a broken part, the toy passes.
func TestTheToyIsGood(t *testing.T) {
	t.Parallel()
	if err := storetest.Check(func() (sessions.Store, error) { return newToy(good()), nil }); err != nil {
		t.Error(err)
	}
}
