package storetest_test

import (
	"cmp"
	"context"
	"errors"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
	"github.com/sessile-go/sessile/sessions/storetest"
)

type (
	state    = sessions.RefreshState
	nextFunc = func(r sessions.Rotation, s state, presented int64, now time.Time) (state, sessions.Outcome)
)

// parts are the decisions of a store in memory. Each broken store gets one of
// them wrong.
type parts struct {
	ctx    func(ctx context.Context) error
	save   func(r *toyRow)
	taken  error // what a second Create of an id returns; nil overwrites
	live   func(s sessions.Session, m sessions.Moment) bool
	owner  func(row, asked string) bool
	next   nextFunc
	margin func(s sessions.Session, p sessions.RefreshParams) bool
	apply  func(r *toyRow, p sessions.RefreshParams, o sessions.Outcome)
	hidden func(s sessions.Session, p sessions.ListParams) bool
	later  func(s sessions.Session, after sessions.ListPosition) bool
	order  func(a, b sessions.Session) int
	spared func(s sessions.Session, p sessions.EndManyParams) bool
	over   func(s sessions.Session, now time.Time) bool // whether an end finds it so; judges s alone
	old    func(s sessions.Session, p sessions.PruneParams, needed bool) bool
	stands func(actor *sessions.Session, s sessions.Session) bool        // actor may be nil
	actor  func(actor *sessions.Session, m sessions.Moment) bool         // actor may be nil
	behind func(s sessions.Session, p sessions.EndDependentsParams) bool // judges s alone
	redeem func(r *toyRow, p sessions.RedeemParams) error
	ended  func(s sessions.Session, actor *sessions.Session) time.Time // zero where it has not; actor may be nil
	recent func(at, since time.Time) bool
	many   func(t *toy, s sessions.Session, now time.Time) bool // asked before EndMany ends s; nil is yes
	pause  func()                                               // between reading and writing, without the lock
}

func good() *parts {
	micro := func(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
	return &parts{
		ctx: func(ctx context.Context) error { return ctx.Err() },
		save: func(r *toyRow) {
			s := &r.Session
			for _, t := range []*time.Time{&s.CreatedAt, &s.LastUsedAt, &s.ExpiresAt, &s.AuthTime, &s.HandoffExpiresAt} {
				*t = micro(*t)
			}
		},
		taken: sessions.ErrConflict,
		live:  func(s sessions.Session, m sessions.Moment) bool { return s.State(m) == sessions.StateLive },
		owner: func(row, asked string) bool { return row == asked },
		next:  sessions.Rotation.Next,
		margin: func(s sessions.Session, p sessions.RefreshParams) bool {
			return s.Impersonation && !p.Moment.Now.Before(s.ExpiresAt.Add(-p.ImpersonationMargin))
		},
		apply: func(r *toyRow, p sessions.RefreshParams, o sessions.Outcome) {
			if o.Refused() {
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
			return before(s.EndedAt, p.EndedBefore) || before(s.ExpiresAt, p.ExpiredBefore) || before(s.LastUsedAt, p.IdleBefore) && !needed
		},
		stands: func(actor *sessions.Session, s sessions.Session) bool {
			return actor != nil && actor.UserID == s.Actor && !actor.Impersonation && actor.State(sessions.Moment{Now: s.CreatedAt}) == sessions.StateLive
		},
		actor: func(actor *sessions.Session, m sessions.Moment) bool {
			return actor != nil && !isOver(*actor, m.Now)
		},
		behind: func(s sessions.Session, p sessions.EndDependentsParams) bool {
			return s.ParentSessionID != "" && slices.Contains(p.ParentSessionIDs, s.ParentSessionID) && !isOver(s, p.Now)
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
		ended: func(s sessions.Session, actor *sessions.Session) time.Time {
			if s.EndedAt.IsZero() && actor != nil {
				return actor.EndedAt
			}
			return s.EndedAt
		},
		recent: func(at, since time.Time) bool { return !at.Before(since) },
	}
}

// isOver is whether a session has ended or expired, idle or not.
func isOver(s sessions.Session, now time.Time) bool {
	return s.State(sessions.Moment{Now: now}) != sessions.StateLive
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

// toy is a store made of parts. It takes its lock once to read and once to write,
// as a careless program takes two statements, where parts.pause is set.
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

// row is the session of an id, nil where there is none.
func (t *toy) row(id string) *sessions.Session {
	if r, ok := t.rows[id]; ok {
		return &r.Session
	}
	return nil
}

// needed reports whether a session that was not ended depends on that of an id.
func (t *toy) needed(id string) bool {
	for _, r := range t.rows {
		if r.ParentSessionID == id && r.EndedAt.IsZero() {
			return true
		}
	}
	return false
}

func (t *toy) alive(s sessions.Session, m sessions.Moment) bool {
	return t.live(s, m) && (s.ParentSessionID == "" || t.actor(t.row(s.ParentSessionID), m))
}

func (t *toy) Create(ctx context.Context, s sessions.Session) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.ctx(ctx); err != nil {
		return err
	}
	_, taken := t.rows[s.ID]
	stands := s.ParentSessionID == "" || t.stands(t.row(s.ParentSessionID), s)
	t.between()
	if taken && t.taken != nil {
		return t.taken
	}
	if !stands {
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
		if t.owner(r.UserID, p.UserID) && t.alive(r.Session, p.Moment) && !t.hidden(r.Session, p) && (p.After == nil || t.later(r.Session, *p.After)) {
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
	if !ok || t.over(r.Session, p.Now) || p.UserID != "" && !t.owner(r.UserID, p.UserID) || p.NoImpersonation && r.Impersonation {
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
		if t.behind(r.Session, p) {
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

// over replaces whole methods of a store.
type over struct {
	sessions.Store
	create        func(context.Context, sessions.Session) error
	get           func(context.Context, string) (sessions.Session, error)
	refresh       func(context.Context, sessions.RefreshParams) (sessions.RefreshResult, error)
	list          func(context.Context, sessions.ListParams) ([]sessions.Session, error)
	end           func(context.Context, sessions.EndParams) (sessions.Session, error)
	endMany       func(context.Context, sessions.EndManyParams) ([]sessions.Session, error)
	endDependents func(context.Context, sessions.EndDependentsParams) ([]sessions.Session, error)
	redeem        func(context.Context, sessions.RedeemParams) (sessions.Session, error)
	ended         func(context.Context, time.Time) ([]sessions.EndedSession, error)
	prune         func(context.Context, sessions.PruneParams) (int, error)
	now           func(context.Context) (time.Time, error)
}

func (o *over) Create(ctx context.Context, s sessions.Session) error {
	if o.create != nil {
		return o.create(ctx, s)
	}
	return o.Store.Create(ctx, s)
}

func (o *over) Get(ctx context.Context, id string) (sessions.Session, error) {
	if o.get != nil {
		return o.get(ctx, id)
	}
	return o.Store.Get(ctx, id)
}

func (o *over) Refresh(ctx context.Context, p sessions.RefreshParams) (sessions.RefreshResult, error) {
	if o.refresh != nil {
		return o.refresh(ctx, p)
	}
	return o.Store.Refresh(ctx, p)
}

func (o *over) List(ctx context.Context, p sessions.ListParams) ([]sessions.Session, error) {
	if o.list != nil {
		return o.list(ctx, p)
	}
	return o.Store.List(ctx, p)
}

func (o *over) End(ctx context.Context, p sessions.EndParams) (sessions.Session, error) {
	if o.end != nil {
		return o.end(ctx, p)
	}
	return o.Store.End(ctx, p)
}

func (o *over) EndMany(ctx context.Context, p sessions.EndManyParams) ([]sessions.Session, error) {
	if o.endMany != nil {
		return o.endMany(ctx, p)
	}
	return o.Store.EndMany(ctx, p)
}

func (o *over) EndDependents(ctx context.Context, p sessions.EndDependentsParams) ([]sessions.Session, error) {
	if o.endDependents != nil {
		return o.endDependents(ctx, p)
	}
	return o.Store.EndDependents(ctx, p)
}

func (o *over) Redeem(ctx context.Context, p sessions.RedeemParams) (sessions.Session, error) {
	if o.redeem != nil {
		return o.redeem(ctx, p)
	}
	return o.Store.Redeem(ctx, p)
}

func (o *over) Ended(ctx context.Context, since time.Time) ([]sessions.EndedSession, error) {
	if o.ended != nil {
		return o.ended(ctx, since)
	}
	return o.Store.Ended(ctx, since)
}

func (o *over) Prune(ctx context.Context, p sessions.PruneParams) (int, error) {
	if o.prune != nil {
		return o.prune(ctx, p)
	}
	return o.Store.Prune(ctx, p)
}

func (o *over) Now(ctx context.Context) (time.Time, error) {
	if o.now != nil {
		return o.now(ctx)
	}
	return o.Store.Now(ctx)
}

type broken struct {
	name  string
	store func() sessions.Store
	// want are the cases that have to fail; others may fail as well.
	want []string
}

func brokenStores() []broken {
	// part breaks one decision of the toy, method one method of the good store.
	part := func(breakIt func(p *parts)) func() sessions.Store {
		return func() sessions.Store {
			p := good()
			breakIt(p)
			return newToy(p)
		}
	}
	method := func(breakIt func(o *over, st sessions.Store)) func() sessions.Store {
		return func() sessions.Store {
			o := &over{Store: sessionstest.NewStore()}
			breakIt(o, o.Store)
			return o
		}
	}
	owner := func(same func(row, asked string) bool) func() sessions.Store {
		return part(func(p *parts) { p.owner = same })
	}
	table := func(next nextFunc) func() sessions.Store {
		return part(func(p *parts) { p.next = next })
	}
	live := func(is func(s sessions.Session, m sessions.Moment) bool) func() sessions.Store {
		return part(func(p *parts) {
			p.live = is
			p.over = func(s sessions.Session, now time.Time) bool { return !is(s, sessions.Moment{Now: now}) }
		})
	}
	apply := func(more func(r *toyRow, was sessions.Session, p sessions.RefreshParams, o sessions.Outcome)) func() sessions.Store {
		return part(func(p *parts) {
			rightly := p.apply
			p.apply = func(r *toyRow, params sessions.RefreshParams, o sessions.Outcome) {
				was := r.Session
				rightly(r, params, o)
				more(r, was, params, o)
			}
		})
	}
	each := func(s *sessions.Session, f func(time.Time) time.Time) {
		for _, at := range []*time.Time{&s.CreatedAt, &s.LastUsedAt, &s.ExpiresAt, &s.AuthTime, &s.EndedAt, &s.HandoffExpiresAt} {
			if !at.IsZero() {
				*at = f(*at)
			}
		}
	}
	// meet lets other callers in, until one of them is here too. A caller that
	// is alone goes on after a while.
	meet := func() func() {
		var here atomic.Int64
		return func() {
			before := here.Add(1)
			for range 100 {
				if here.Load() > before {
					return
				}
				runtime.Gosched()
			}
		}
	}

	stands := func(is func(actor *sessions.Session, s sessions.Session) bool) func() sessions.Store {
		return part(func(p *parts) { p.stands = is })
	}
	actor := func(is func(actor *sessions.Session, m sessions.Moment) bool) func() sessions.Store {
		return part(func(p *parts) { p.actor = is })
	}
	redeem := func(more func(r *toyRow, was toyRow, p sessions.RedeemParams, err error) error) func() sessions.Store {
		return part(func(p *parts) {
			rightly := p.redeem
			p.redeem = func(r *toyRow, params sessions.RedeemParams) error {
				was := *r
				return more(r, was, params, rightly(r, params))
			}
		})
	}
	recent := func(is func(at, since time.Time) bool) func() sessions.Store {
		return part(func(p *parts) { p.recent = is })
	}
	when := func(more func(s sessions.Session, actor *sessions.Session, at time.Time) time.Time) func() sessions.Store {
		return part(func(p *parts) {
			rightly := p.ended
			p.ended = func(s sessions.Session, actor *sessions.Session) time.Time { return more(s, actor, rightly(s, actor)) }
		})
	}
	// feed changes what Ended answers.
	feed := func(change func(ctx context.Context, st sessions.Store, list []sessions.EndedSession) []sessions.EndedSession) func() sessions.Store {
		return method(func(o *over, st sessions.Store) {
			o.ended = func(ctx context.Context, since time.Time) ([]sessions.EndedSession, error) {
				list, err := st.Ended(ctx, since)
				if err != nil {
					return nil, err
				}
				return change(ctx, st, list), nil
			}
		})
	}
	unseen := func(reason sessions.EndReason) func() sessions.Store {
		return when(func(s sessions.Session, _ *sessions.Session, at time.Time) time.Time {
			if s.EndReason == reason {
				return time.Time{}
			}
			return at
		})
	}
	// untied lets one method see a session as if nothing stood behind it.
	untied := func(breakIt func(alone *toy, o *over)) func() sessions.Store {
		return func() sessions.Store {
			right := newToy(good())
			p := good()
			p.actor = func(*sessions.Session, sessions.Moment) bool { return true }
			alone := &toy{parts: p, mu: right.mu, rows: right.rows}
			o := &over{Store: right}
			breakIt(alone, o)
			return o
		}
	}
	everyActorCase := []string{
		"actor/refresh judges the actor's session too", "actor/list judges the actor's session too", "actor/redeem judges the actor's session too",
	}

	return []broken{
		// What is kept.
		{
			"times are cut to milliseconds",
			part(func(p *parts) {
				p.save = func(r *toyRow) {
					each(&r.Session, func(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) })
				}
			}),
			[]string{"create/then get is equal"},
		},
		{
			"times are kept to the nanosecond",
			part(func(p *parts) { p.save = func(r *toyRow) { each(&r.Session, time.Time.UTC) } }),
			[]string{"create/finer times become microseconds"},
		},
		{
			"times come back in the zone of the argument",
			part(func(p *parts) { p.save = func(*toyRow) {} }),
			[]string{"create/an instant is the same in every zone"},
		},
		{
			"times come back in a zone of its own",
			method(func(o *over, st sessions.Store) {
				o.get = func(ctx context.Context, id string) (sessions.Session, error) {
					s, err := st.Get(ctx, id)
					each(&s, func(t time.Time) time.Time { return t.In(time.FixedZone("office", 3600)) })
					return s, err
				}
			}),
			[]string{"create/then get is equal"},
		},
		{
			"times lose their zone and keep the hands of the clock",
			part(func(p *parts) {
				p.save = func(r *toyRow) { each(&r.Session, wallClock) }
			}),
			[]string{"create/an instant is the same in every zone"},
		},
		{
			"no authentication time comes back as 1970",
			part(func(p *parts) {
				rightly := p.save
				p.save = func(r *toyRow) {
					rightly(r)
					if r.AuthTime.IsZero() {
						r.AuthTime = time.Unix(0, 0).UTC()
					}
				}
			}),
			[]string{"create/then get is equal"},
		},
		{
			"a quote is doubled",
			part(func(p *parts) {
				rightly := p.save
				p.save = func(r *toyRow) {
					rightly(r)
					r.Reason = strings.ReplaceAll(r.Reason, "'", "''")
				}
			}),
			[]string{"create/texts come back byte for byte"},
		},
		{
			"a text is cut at 200 bytes",
			part(func(p *parts) {
				rightly := p.save
				p.save = func(r *toyRow) {
					rightly(r)
					r.UserID = r.UserID[:min(len(r.UserID), 200)]
				}
			}),
			[]string{"create/texts come back byte for byte"},
		},
		{
			"a column is forgotten",
			part(func(p *parts) {
				rightly := p.save
				p.save = func(r *toyRow) {
					rightly(r)
					r.Actor = ""
				}
			}),
			[]string{"create/then get is equal"},
		},
		{
			"the first counter is 0",
			part(func(p *parts) {
				rightly := p.save
				p.save = func(r *toyRow) {
					rightly(r)
					r.Current = 0
				}
			}),
			[]string{"create/starts with the first token"},
		},
		{
			"create overwrites",
			part(func(p *parts) { p.taken = nil }),
			[]string{"create/a taken id is a conflict", "create/an ended session keeps its id", "concurrent/one create wins"},
		},
		{
			"a conflict is the driver's own error",
			part(func(p *parts) { p.taken = errors.New("UNIQUE constraint failed") }),
			[]string{"create/a taken id is a conflict"},
		},

		// Three kinds of answer.
		{
			"missing is the zero value and no error",
			method(func(o *over, st sessions.Store) {
				o.get = func(ctx context.Context, id string) (sessions.Session, error) {
					s, err := st.Get(ctx, id)
					if errors.Is(err, sessions.ErrNotFound) {
						err = nil
					}
					return s, err
				}
			}),
			[]string{"get/a missing session is not found"},
		},
		{
			"missing is an error without a name",
			method(func(o *over, st sessions.Store) {
				o.get = func(ctx context.Context, id string) (sessions.Session, error) {
					s, err := st.Get(ctx, id)
					if errors.Is(err, sessions.ErrNotFound) {
						err = errors.New("sql: no rows in result set")
					}
					return s, err
				}
			}),
			[]string{"get/a missing session is not found"},
		},
		{
			"get finds only what is live",
			method(func(o *over, st sessions.Store) {
				o.get = func(ctx context.Context, id string) (sessions.Session, error) {
					s, err := st.Get(ctx, id)
					if err == nil && !s.EndedAt.IsZero() {
						return sessions.Session{}, sessions.ErrNotFound
					}
					return s, err
				}
			}),
			[]string{"get/finds sessions that are over"},
		},
		{
			"ids are cut at 31 characters",
			method(func(o *over, st sessions.Store) {
				o.create = func(ctx context.Context, s sessions.Session) error {
					s.ID = s.ID[:31]
					return st.Create(ctx, s)
				}
				o.get = func(ctx context.Context, id string) (sessions.Session, error) {
					s, err := st.Get(ctx, id[:31])
					if err == nil {
						s.ID = id
					}
					return s, err
				}
			}),
			[]string{"get/finds one session among many"},
		},
		{
			"a refused refresh also returns the session",
			method(func(o *over, st sessions.Store) {
				o.refresh = func(ctx context.Context, p sessions.RefreshParams) (sessions.RefreshResult, error) {
					r, err := st.Refresh(ctx, p)
					if errors.Is(err, sessions.ErrNotFound) {
						r.Session, _ = st.Get(ctx, p.ID)
					}
					return r, err
				}
			}),
			[]string{"refresh/a session that is not live is not found"},
		},
		{
			"a refresh of nothing is no error",
			method(func(o *over, st sessions.Store) {
				o.refresh = func(ctx context.Context, p sessions.RefreshParams) (sessions.RefreshResult, error) {
					r, err := st.Refresh(ctx, p)
					if errors.Is(err, sessions.ErrNotFound) {
						err = nil
					}
					return r, err
				}
			}),
			[]string{"refresh/a session that is not live is not found"},
		},
		{
			"an empty list is an error",
			method(func(o *over, st sessions.Store) {
				o.list = func(ctx context.Context, p sessions.ListParams) ([]sessions.Session, error) {
					l, err := st.List(ctx, p)
					if err == nil && len(l) == 0 {
						err = sessions.ErrNotFound
					}
					return l, err
				}
			}),
			[]string{"list/none is an empty list"},
		},
		{
			"ending none of many is an error",
			method(func(o *over, st sessions.Store) {
				o.endMany = func(ctx context.Context, p sessions.EndManyParams) ([]sessions.Session, error) {
					l, err := st.EndMany(ctx, p)
					if err == nil && len(l) == 0 {
						err = sessions.ErrNotFound
					}
					return l, err
				}
			}),
			[]string{"end many/none is an empty list"},
		},
		{
			"the context is ignored",
			part(func(p *parts) { p.ctx = func(context.Context) error { return nil } }),
			[]string{
				"context/create", "context/get", "context/get missing", "context/refresh", "context/refresh with a spent token",
				"context/list", "context/end", "context/end many", "context/prune", "context/now",
				"context/create behind an actor's session", "context/end dependents", "context/redeem", "context/ended",
			},
		},
		{
			"the context is asked after the work",
			method(func(o *over, st sessions.Store) {
				o.end = func(ctx context.Context, p sessions.EndParams) (sessions.Session, error) {
					s, err := st.End(context.WithoutCancel(ctx), p)
					if ctx.Err() != nil {
						return sessions.Session{}, ctx.Err()
					}
					return s, err
				}
			}),
			[]string{"context/end"},
		},
		{
			"a done context is an error of its own",
			part(func(p *parts) {
				p.ctx = func(ctx context.Context) error {
					if ctx.Err() != nil {
						return errors.New("interrupted")
					}
					return nil
				}
			}),
			[]string{"context/get", "context/prune"},
		},
		{
			"the first context is kept",
			part(func(p *parts) {
				var once sync.Once
				var first context.Context
				p.ctx = func(ctx context.Context) error {
					once.Do(func() { first = ctx }) //nolint:fatcontext // Keeping it is what is broken.
					return cmp.Or(ctx.Err(), first.Err())
				}
			}),
			[]string{"context/is not kept"},
		},
		{
			"the clock is in local time",
			method(func(o *over, st sessions.Store) {
				o.now = func(ctx context.Context) (time.Time, error) {
					now, err := st.Now(ctx)
					if err != nil {
						return time.Time{}, err
					}
					return now.In(time.FixedZone("office", 3600)), nil
				}
			}),
			[]string{"now/is the database's clock in UTC"},
		},
		{
			"the list is handed out twice",
			method(func(o *over, st sessions.Store) {
				var mu sync.Mutex
				kept := make(map[sessions.ListParams][]sessions.Session)
				o.list = func(ctx context.Context, p sessions.ListParams) ([]sessions.Session, error) {
					mu.Lock()
					defer mu.Unlock()
					if l := kept[p]; l != nil {
						return l, nil
					}
					l, err := st.List(ctx, p)
					kept[p] = l
					return l, err
				}
			}),
			[]string{"list/results are the caller's own"},
		},
		{
			"the caller's position is changed",
			method(func(o *over, st sessions.Store) {
				o.list = func(ctx context.Context, p sessions.ListParams) ([]sessions.Session, error) {
					l, err := st.List(ctx, p)
					if p.After != nil && len(l) > 0 {
						*p.After = sessions.ListPosition{CreatedAt: l[len(l)-1].CreatedAt, ID: l[len(l)-1].ID}
					}
					return l, err
				}
			}),
			[]string{"list/results are the caller's own"},
		},

		// Users.
		{"everybody sees everything", owner(func(string, string) bool { return true }), []string{
			"users/each sees only their own sessions", "users/ending one's own ends nobody else's", "users/nobody ends another's session", "users/a pattern matches nobody",
		}},
		{"user ids have no case", owner(strings.EqualFold), []string{
			"users/each sees only their own sessions", "users/ending one's own ends nobody else's", "users/nobody ends another's session", "users/a pattern matches nobody",
		}},
		{"user ids are compared with LIKE", owner(like), []string{
			"users/each sees only their own sessions", "users/ending one's own ends nobody else's", "users/a pattern matches nobody",
		}},
		{"user ids are padded with spaces", owner(func(row, asked string) bool {
			return strings.TrimRight(row, " ") == strings.TrimRight(asked, " ")
		}), []string{"users/each sees only their own sessions", "users/ending one's own ends nobody else's"}},
		{"user ids are normalised", owner(func(row, asked string) bool {
			compose := strings.NewReplacer("e\u0301", "é", "A\u030a", "Å", "\u212b", "Å")
			return compose.Replace(row) == compose.Replace(asked)
		}), []string{"users/each sees only their own sessions", "users/ending one's own ends nobody else's"}},
		{"user ids are compared as numbers", owner(func(row, asked string) bool {
			a, errA := strconv.ParseFloat(row, 64)
			b, errB := strconv.ParseFloat(asked, 64)
			return row == asked || errA == nil && errB == nil && a == b
		}), []string{"users/each sees only their own sessions"}},
		{"user ids are compared by their first 254 bytes", owner(func(row, asked string) bool {
			return row[:min(len(row), 254)] == asked[:min(len(asked), 254)]
		}), []string{"users/each sees only their own sessions"}},
		{"user ids are compared by prefix", owner(strings.HasPrefix), []string{"users/each sees only their own sessions"}},

		// Liveness.
		{"expiry is off by one", live(func(s sessions.Session, m sessions.Moment) bool {
			m.Now = m.Now.Add(-time.Microsecond)
			return s.State(m) == sessions.StateLive
		}), []string{"refresh/a session that is not live is not found", "list/only live sessions", "end/what has neither ended nor expired", "end many/what has neither ended nor expired"}},
		{"expiry is early by one", live(func(s sessions.Session, m sessions.Moment) bool {
			m.Now = m.Now.Add(time.Microsecond)
			return s.State(m) == sessions.StateLive
		}), []string{"refresh/a session that is not live is not found", "list/only live sessions", "end/what has neither ended nor expired", "end many/what has neither ended nor expired"}},
		{"idle is off by one", live(func(s sessions.Session, m sessions.Moment) bool {
			if !m.IdleCutoff.IsZero() {
				m.IdleCutoff = m.IdleCutoff.Add(-time.Microsecond)
			}
			return s.State(m) == sessions.StateLive
		}), []string{"refresh/a session that is not live is not found", "list/only live sessions"}},
		{"idle sessions live", live(func(s sessions.Session, m sessions.Moment) bool {
			m.IdleCutoff = time.Time{}
			return s.State(m) == sessions.StateLive
		}), []string{"refresh/a session that is not live is not found", "list/only live sessions"}},
		{"expired sessions live", live(func(s sessions.Session, m sessions.Moment) bool {
			return s.EndedAt.IsZero() && s.LastUsedAt.After(m.IdleCutoff)
		}), []string{"refresh/a session that is not live is not found", "list/only live sessions"}},
		{"no idle timeout is a long one", live(func(s sessions.Session, m sessions.Moment) bool {
			if m.IdleCutoff.IsZero() {
				m.IdleCutoff = m.Now.AddDate(-1, 0, 0)
			}
			return s.State(m) == sessions.StateLive
		}), []string{"list/no idle cutoff is no idle timeout"}},
		{"times are compared as local text", live(func(s sessions.Session, m sessions.Moment) bool {
			text := func(t time.Time) string { return t.Format("2006-01-02 15:04:05.000000") }
			return s.EndedAt.IsZero() && text(m.Now) < text(s.ExpiresAt) && (m.IdleCutoff.IsZero() || text(s.LastUsedAt) > text(m.IdleCutoff))
		}), []string{"refresh/an instant is the same in every zone", "list/an instant is the same in every zone", "end/an instant is the same in every zone"}},
		{"a session lives until the moment of its end", live(func(s sessions.Session, m sessions.Moment) bool {
			if m.Now.Before(s.EndedAt) {
				s.EndedAt = time.Time{}
			}
			return s.State(m) == sessions.StateLive
		}), []string{"end/an ended session stays as it was ended", "refresh/a session that is not live is not found"}},
		{
			"a refresh revives an ended session",
			part(func(p *parts) {
				rightly := p.live
				p.live = func(s sessions.Session, m sessions.Moment) bool {
					s.EndedAt = time.Time{}
					return rightly(s, m)
				}
				apply := p.apply
				p.apply = func(r *toyRow, params sessions.RefreshParams, o sessions.Outcome) {
					r.end(time.Time{}, "", "")
					apply(r, params, o)
				}
			}),
			[]string{"end/an ended session stays as it was ended", "refresh/a refusal ends the session for good"},
		},

		// The refresh protocol.
		{"the window includes its end", table(func(r sessions.Rotation, s state, presented int64, now time.Time) (state, sessions.Outcome) {
			if r.Overlap > 0 {
				r.Overlap += time.Microsecond
			}
			return r.Next(s, presented, now)
		}), []string{"refresh/the window ends exactly at its length", "refresh/a long walk agrees with the table"}},
		{"the window never slides", table(func(r sessions.Rotation, s state, presented int64, now time.Time) (state, sessions.Outcome) {
			next, o := r.Next(s, presented, now)
			if o == sessions.OutcomeOverlap {
				next.AnsweredAt = s.AnsweredAt
			}
			return next, o
		}), []string{"refresh/the window slides where recoveries are unlimited", "refresh/a long walk agrees with the table"}},
		{"the window always slides", table(func(r sessions.Rotation, s state, presented int64, now time.Time) (state, sessions.Outcome) {
			next, o := r.Next(s, presented, now)
			if o == sessions.OutcomeOverlap && now.After(next.AnsweredAt) {
				next.AnsweredAt = now
			}
			return next, o
		}), []string{"refresh/the window stays fixed where recoveries are limited"}},
		{"the answer moves back", table(func(r sessions.Rotation, s state, presented int64, now time.Time) (state, sessions.Outcome) {
			next, o := r.Next(s, presented, now)
			if o == sessions.OutcomeOverlap && r.MaxRecoveries == 0 {
				next.AnsweredAt = now
			}
			return next, o
		}), []string{"refresh/an answer in the future is inside the window"}},
		{"no window is one of a nanosecond", table(func(r sessions.Rotation, s state, presented int64, now time.Time) (state, sessions.Outcome) {
			if r.Overlap == sessions.NoOverlap {
				r.Overlap = time.Nanosecond
			}
			return r.Next(s, presented, now)
		}), []string{"refresh/strict rotation takes a token once", "refresh/without a window a future answer is no overlap"}},
		{"a rotation keeps the parent", table(func(r sessions.Rotation, s state, presented int64, now time.Time) (state, sessions.Outcome) {
			next, o := r.Next(s, presented, now)
			if o == sessions.OutcomeRotated && s.Parent != 0 {
				next.Parent = s.Parent
			}
			return next, o
		}), []string{"refresh/the current token rotates", "refresh/a long walk agrees with the table"}},
		{"an overlap rotates again", table(func(r sessions.Rotation, s state, presented int64, now time.Time) (state, sessions.Outcome) {
			next, o := r.Next(s, presented, now)
			if o == sessions.OutcomeOverlap {
				next.Current++
			}
			return next, o
		}), []string{"refresh/the parent inside the window gets the same successor", "concurrent/one token rotates once"}},
		{"recoveries are not counted", table(func(r sessions.Rotation, s state, presented int64, now time.Time) (state, sessions.Outcome) {
			next, o := r.Next(s, presented, now)
			next.Recoveries = 0
			return next, o
		}), []string{"refresh/a lost reply is recovered", "refresh/one recovery more than allowed ends the session"}},
		{"recoveries are never forgiven", table(func(r sessions.Rotation, s state, presented int64, now time.Time) (state, sessions.Outcome) {
			next, o := r.Next(s, presented, now)
			next.Recoveries = max(next.Recoveries, s.Recoveries)
			return next, o
		}), []string{"refresh/a rotation forgives recoveries", "refresh/a token ahead of the row is taken as current"}},
		{"one recovery too many is allowed", table(func(r sessions.Rotation, s state, presented int64, now time.Time) (state, sessions.Outcome) {
			if r.MaxRecoveries > 0 {
				r.MaxRecoveries++
			}
			return r.Next(s, presented, now)
		}), []string{"refresh/one recovery more than allowed ends the session"}},
		{"no recovery is one", table(func(r sessions.Rotation, s state, presented int64, now time.Time) (state, sessions.Outcome) {
			if r.MaxRecoveries == sessions.NoRecovery {
				r.MaxRecoveries = 1
			}
			return r.Next(s, presented, now)
		}), []string{"refresh/no recovery makes a late parent a replay", "refresh/strict rotation takes a token once"}},
		{"any number of recoveries is fifty", table(func(r sessions.Rotation, s state, presented int64, now time.Time) (state, sessions.Outcome) {
			if r.MaxRecoveries == 0 {
				r.MaxRecoveries = 50
			}
			return r.Next(s, presented, now)
		}), []string{"refresh/a client that keeps its first token lives on"}},
		{"a displaced token still works", table(func(r sessions.Rotation, s state, presented int64, now time.Time) (state, sessions.Outcome) {
			if presented > s.Parent && presented < s.Current {
				presented = s.Current
			}
			return r.Next(s, presented, now)
		}), []string{"refresh/a displaced token is a replay", "refresh/a long walk agrees with the table"}},
		{"a spent token counts as the parent", table(func(r sessions.Rotation, s state, presented int64, now time.Time) (state, sessions.Outcome) {
			return r.Next(s, max(presented, s.Parent), now)
		}), []string{"refresh/a spent token is a replay", "refresh/a refusal ends the session for good"}},
		{"a token ahead is a replay", table(func(r sessions.Rotation, s state, presented int64, now time.Time) (state, sessions.Outcome) {
			if presented > s.Current {
				return s, sessions.OutcomeReplay
			}
			return r.Next(s, presented, now)
		}), []string{"refresh/a token ahead of the row is taken as current", "refresh/a token ahead is taken in strict rotation too"}},
		{"counters are floats", table(func(r sessions.Rotation, s state, presented int64, now time.Time) (state, sessions.Outcome) {
			next, o := r.Next(s, presented, now)
			next.Current, next.Parent = int64(float64(next.Current)), int64(float64(next.Parent))
			return next, o
		}), []string{"refresh/large counters stay exact"}},
		{"counters have 32 bits", table(func(r sessions.Rotation, s state, presented int64, now time.Time) (state, sessions.Outcome) {
			next, o := r.Next(s, presented, now)
			next.Current, next.Parent = int64(int32(next.Current)), int64(int32(next.Parent))
			return next, o
		}), []string{"refresh/large counters stay exact"}},
		{
			"a replay does not end the session",
			apply(func(r *toyRow, was sessions.Session, _ sessions.RefreshParams, o sessions.Outcome) {
				if o.Refused() {
					r.Session = was
				}
			}),
			[]string{"refresh/a spent token is a replay", "refresh/a refusal ends the session for good", "concurrent/one replay ends the session once"},
		},
		{
			"a recovery limit is called a replay",
			apply(func(r *toyRow, _ sessions.Session, _ sessions.RefreshParams, o sessions.Outcome) {
				if o.Refused() {
					r.EndReason = sessions.EndReplay
				}
			}),
			[]string{"refresh/one recovery more than allowed ends the session"},
		},
		{
			"last use moves back",
			apply(func(r *toyRow, _ sessions.Session, p sessions.RefreshParams, o sessions.Outcome) {
				if !o.Refused() {
					r.LastUsedAt = p.Moment.Now.UTC()
				}
			}),
			[]string{"refresh/last use never moves back"},
		},
		{
			"only a rotation is a use",
			apply(func(r *toyRow, was sessions.Session, _ sessions.RefreshParams, o sessions.Outcome) {
				if o == sessions.OutcomeOverlap {
					r.LastUsedAt = was.LastUsedAt
				}
			}),
			[]string{"refresh/the parent inside the window gets the same successor"},
		},
		{
			"a refusal is a use",
			apply(func(r *toyRow, _ sessions.Session, p sessions.RefreshParams, _ sessions.Outcome) {
				if p.Moment.Now.After(r.LastUsedAt) {
					r.LastUsedAt = p.Moment.Now.UTC()
				}
			}),
			[]string{"refresh/a refusal leaves the client and the last use"},
		},
		{
			"an empty client field erases",
			apply(func(r *toyRow, _ sessions.Session, p sessions.RefreshParams, o sessions.Outcome) {
				if !o.Refused() {
					r.Client = p.Client
				}
			}),
			[]string{"refresh/a success takes over what the client says"},
		},
		{
			"client fields replace only together",
			apply(func(r *toyRow, was sessions.Session, p sessions.RefreshParams, _ sessions.Outcome) {
				if p.Client.IP == "" || p.Client.UserAgent == "" {
					r.Client = was.Client
				}
			}),
			[]string{"refresh/a success takes over what the client says"},
		},
		{
			"a refused client leaves its mark",
			apply(func(r *toyRow, _ sessions.Session, p sessions.RefreshParams, o sessions.Outcome) {
				if o.Refused() {
					r.Client = p.Client
				}
			}),
			[]string{"refresh/a refusal leaves the client and the last use"},
		},
		{
			"a refresh moves the end",
			apply(func(r *toyRow, was sessions.Session, p sessions.RefreshParams, _ sessions.Outcome) {
				r.ExpiresAt = p.Moment.Now.UTC().Add(was.ExpiresAt.Sub(was.CreatedAt))
			}),
			[]string{"refresh/does not move the end of a session"},
		},
		{
			"the margin is forgotten",
			part(func(p *parts) { p.margin = func(sessions.Session, sessions.RefreshParams) bool { return false } }),
			[]string{"refresh/an impersonation expires early by the margin"},
		},
		{
			"the margin is for everybody",
			part(func(p *parts) {
				rightly := p.margin
				p.margin = func(s sessions.Session, params sessions.RefreshParams) bool {
					s.Impersonation = true
					return rightly(s, params)
				}
			}),
			[]string{"refresh/an impersonation expires early by the margin"},
		},
		{
			"a replay ends all sessions of the user",
			method(func(o *over, st sessions.Store) {
				o.refresh = func(ctx context.Context, p sessions.RefreshParams) (sessions.RefreshResult, error) {
					r, err := st.Refresh(ctx, p)
					if r.Outcome.Refused() {
						_, err = st.EndMany(ctx, sessions.EndManyParams{UserID: r.Session.UserID, Now: p.Moment.Now, Reason: sessions.EndReplay})
					}
					return r, err
				}
			}),
			[]string{"refresh/leaves other sessions alone"},
		},
		{
			"an expired session can still be replayed",
			method(func(o *over, st sessions.Store) {
				o.refresh = func(ctx context.Context, p sessions.RefreshParams) (sessions.RefreshResult, error) {
					if s, _ := st.Get(ctx, p.ID); p.Presented < 2 && s.State(p.Moment) == sessions.StateExpired {
						p.Moment.Now = s.CreatedAt
					}
					return st.Refresh(ctx, p)
				}
			}),
			[]string{"refresh/a session that is not live is not ended by a replay"},
		},

		// Lists.
		{"the list is oldest first", part(func(p *parts) {
			rightly := p.order
			p.order = func(a, b sessions.Session) int { return rightly(b, a) }
		}), []string{"list/newest first", "list/pages cover each session once"}},
		{"the list is in order of id", part(func(p *parts) {
			p.order = func(a, b sessions.Session) int { return cmp.Compare(b.ID, a.ID) }
		}), []string{"list/newest first"}},
		{"ties are oldest first", part(func(p *parts) {
			p.order = func(a, b sessions.Session) int {
				return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(a.ID, b.ID))
			}
		}), []string{"list/newest first", "list/pages cover each session once"}},
		{"the list is in order of use", part(func(p *parts) {
			p.order = func(a, b sessions.Session) int {
				return cmp.Or(b.LastUsedAt.Compare(a.LastUsedAt), cmp.Compare(b.ID, a.ID))
			}
		}), []string{"list/use does not change the order"}},
		{"a page begins with the end of the last", part(func(p *parts) {
			rightly := p.later
			p.later = func(s sessions.Session, after sessions.ListPosition) bool {
				return rightly(s, after) || s.ID == after.ID
			}
		}), []string{"list/pages cover each session once"}},
		{"a page skips what is of one instant", part(func(p *parts) {
			p.later = func(s sessions.Session, after sessions.ListPosition) bool { return s.CreatedAt.Before(after.CreatedAt) }
		}), []string{"list/pages cover each session once", "list/a position need not be a session"}},
		{"a page repeats what is of one instant", part(func(p *parts) {
			p.later = func(s sessions.Session, after sessions.ListPosition) bool {
				return !s.CreatedAt.After(after.CreatedAt) && s.ID != after.ID
			}
		}), []string{"list/pages cover each session once"}},
		{
			"a position that is gone starts anew",
			method(func(o *over, st sessions.Store) {
				o.list = func(ctx context.Context, p sessions.ListParams) ([]sessions.Session, error) {
					if p.After != nil {
						if _, err := st.Get(ctx, p.After.ID); err != nil {
							p.After = nil
						}
					}
					return st.List(ctx, p)
				}
			}),
			[]string{"list/a position need not be a session"},
		},
		{
			"the list has no limit",
			method(func(o *over, st sessions.Store) {
				o.list = func(ctx context.Context, p sessions.ListParams) ([]sessions.Session, error) {
					p.Limit = 0
					return st.List(ctx, p)
				}
			}),
			[]string{"list/limit", "list/pages cover each session once"},
		},
		{
			"the list has a limit of its own",
			method(func(o *over, st sessions.Store) {
				o.list = func(ctx context.Context, p sessions.ListParams) ([]sessions.Session, error) {
					p.Limit = min(cmp.Or(p.Limit, 100), 100)
					return st.List(ctx, p)
				}
			}),
			[]string{"list/limit"},
		},
		{
			"the limit counts what is filtered out",
			method(func(o *over, st sessions.Store) {
				o.list = func(ctx context.Context, p sessions.ListParams) ([]sessions.Session, error) {
					q := p
					q.Impersonations = true
					l, err := st.List(ctx, q)
					return slices.DeleteFunc(l, func(s sessions.Session) bool { return s.Impersonation && !p.Impersonations }), err
				}
			}),
			[]string{"list/limit counts what is selected"},
		},
		{"impersonations are always shown", part(func(p *parts) {
			p.hidden = func(s sessions.Session, params sessions.ListParams) bool {
				return params.OnlyID != "" && s.ID != params.OnlyID
			}
		}), []string{"list/impersonations only where asked for"}},
		{"an impersonation is shown by id", part(func(p *parts) {
			p.hidden = func(s sessions.Session, params sessions.ListParams) bool {
				if params.OnlyID != "" {
					return s.ID != params.OnlyID
				}
				return s.Impersonation && !params.Impersonations
			}
		}), []string{"list/impersonations only where asked for"}},
		{
			"a session is listed by id whoever asks",
			method(func(o *over, st sessions.Store) {
				o.list = func(ctx context.Context, p sessions.ListParams) ([]sessions.Session, error) {
					if s, err := st.Get(ctx, p.OnlyID); err == nil {
						p.UserID = s.UserID
					}
					return st.List(ctx, p)
				}
			}),
			[]string{"list/one session by id"},
		},

		// Ends.
		{
			"end ignores the user",
			method(func(o *over, st sessions.Store) {
				o.end = func(ctx context.Context, p sessions.EndParams) (sessions.Session, error) {
					p.UserID = ""
					return st.End(ctx, p)
				}
			}),
			[]string{"end/only of the user that is named", "users/nobody ends another's session"},
		},
		{
			"end ignores that impersonations are out",
			method(func(o *over, st sessions.Store) {
				o.end = func(ctx context.Context, p sessions.EndParams) (sessions.Session, error) {
					p.NoImpersonation = false
					return st.End(ctx, p)
				}
			}),
			[]string{"end/no impersonation where that is asked for"},
		},
		{
			"end returns the session as it was before",
			method(func(o *over, st sessions.Store) {
				o.end = func(ctx context.Context, p sessions.EndParams) (sessions.Session, error) {
					was, _ := st.Get(ctx, p.ID)
					if _, err := st.End(ctx, p); err != nil {
						return sessions.Session{}, err
					}
					return was, nil
				}
			}),
			[]string{"end/returns the session as it is then"},
		},
		{
			"end forgets by whom",
			method(func(o *over, st sessions.Store) {
				o.end = func(ctx context.Context, p sessions.EndParams) (sessions.Session, error) {
					p.By = strings.TrimSpace(p.By)
					return st.End(ctx, p)
				}
			}),
			[]string{"end/every reason and any name stay on the row"},
		},
		{
			"a failed end touches the refresh state",
			method(func(o *over, st sessions.Store) {
				o.end = func(ctx context.Context, p sessions.EndParams) (sessions.Session, error) {
					s, err := st.End(ctx, p)
					if errors.Is(err, sessions.ErrNotFound) {
						_, _ = st.Refresh(ctx, sessions.RefreshParams{ID: p.ID, Presented: 2, Rotation: sessions.StrictRotation(), Moment: sessions.Moment{Now: p.Now}})
					}
					return s, err
				}
			}),
			[]string{"end/a condition that fails changes nothing"},
		},
		{"end many spares none", part(func(p *parts) {
			p.spared = func(sessions.Session, sessions.EndManyParams) bool { return false }
		}), []string{"end many/leaves one alone"}},
		{"end many spares impersonations", part(func(p *parts) {
			rightly := p.spared
			p.spared = func(s sessions.Session, params sessions.EndManyParams) bool {
				return rightly(s, params) || s.Impersonation
			}
		}), []string{"end many/ends all live sessions of the user"}},
		{
			"end many returns only what one may list",
			method(func(o *over, st sessions.Store) {
				o.endMany = func(ctx context.Context, p sessions.EndManyParams) ([]sessions.Session, error) {
					l, err := st.EndMany(ctx, p)
					return slices.DeleteFunc(l, func(s sessions.Session) bool { return s.Impersonation }), err
				}
			}),
			[]string{"end many/ends all live sessions of the user"},
		},
		{
			"end many ends a page",
			method(func(o *over, st sessions.Store) {
				o.endMany = func(ctx context.Context, p sessions.EndManyParams) ([]sessions.Session, error) {
					page, err := st.List(ctx, sessions.ListParams{UserID: p.UserID, Moment: sessions.Moment{Now: p.Now}, Impersonations: true, Limit: 200})
					var all []sessions.Session
					for _, s := range page {
						if s.ID == p.ExceptID {
							continue
						}
						s, endErr := st.End(ctx, sessions.EndParams{ID: s.ID, Now: p.Now, Reason: p.Reason, By: p.By})
						if endErr == nil {
							all = append(all, s)
						}
					}
					return all, err
				}
			}),
			[]string{"end many/hundreds at once"},
		},

		// Sessions behind an actor's.
		{"the actor's session is forgotten", part(func(p *parts) {
			rightly := p.save
			p.save = func(r *toyRow) {
				rightly(r)
				r.ParentSessionID = ""
			}
		}), append([]string{"create/behind a live session of the actor", "end dependents/marks them and returns them"}, everyActorCase...)},
		{"whatever is named may stand behind", stands(func(*sessions.Session, sessions.Session) bool { return true }), []string{
			"create/behind a session that is over", "create/behind somebody else's session", "create/behind an impersonation",
		}},
		{"an ended session may stand behind", stands(func(actor *sessions.Session, s sessions.Session) bool {
			return actor != nil && actor.UserID == s.Actor && !actor.Impersonation && s.CreatedAt.Before(actor.ExpiresAt)
		}), []string{"create/behind a session that is over"}},
		{"a session may stand behind until its expiry and then", stands(func(actor *sessions.Session, s sessions.Session) bool {
			return actor != nil && actor.UserID == s.Actor && !actor.Impersonation && actor.EndedAt.IsZero() && !s.CreatedAt.After(actor.ExpiresAt)
		}), []string{"create/behind a session that is over"}},
		{"anybody's session may stand behind", stands(func(actor *sessions.Session, s sessions.Session) bool {
			return actor != nil && !actor.Impersonation && actor.State(sessions.Moment{Now: s.CreatedAt}) == sessions.StateLive
		}), []string{"create/behind somebody else's session"}},
		{"an actor has no case", stands(func(actor *sessions.Session, s sessions.Session) bool {
			return actor != nil && strings.EqualFold(actor.UserID, s.Actor) && !actor.Impersonation && actor.State(sessions.Moment{Now: s.CreatedAt}) == sessions.StateLive
		}), []string{"create/behind somebody else's session"}},
		{"an impersonation may stand behind", stands(func(actor *sessions.Session, s sessions.Session) bool {
			return actor != nil && (actor.UserID == s.Actor || actor.Impersonation) && actor.State(sessions.Moment{Now: s.CreatedAt}) == sessions.StateLive
		}), []string{"create/behind an impersonation"}},
		{"an idle session may not stand behind", stands(func(actor *sessions.Session, s sessions.Session) bool {
			return actor != nil && actor.UserID == s.Actor && !actor.Impersonation &&
				actor.State(sessions.Moment{Now: s.CreatedAt, IdleCutoff: s.CreatedAt.AddDate(0, 0, -7)}) == sessions.StateLive
		}), []string{"create/behind a live session of the actor"}},
		{
			"a conflict behind an actor's session is not found",
			method(func(o *over, st sessions.Store) {
				o.create = func(ctx context.Context, s sessions.Session) error {
					err := st.Create(ctx, s)
					if s.ParentSessionID != "" && errors.Is(err, sessions.ErrConflict) {
						return sessions.ErrNotFound
					}
					return err
				}
			}),
			[]string{"create/a taken id behind an actor's session"},
		},
		{"nobody looks at the actor's session", actor(func(*sessions.Session, sessions.Moment) bool { return true }), everyActorCase},
		{"the actor's session need only be there", actor(func(actor *sessions.Session, _ sessions.Moment) bool { return actor != nil }), everyActorCase},
		{"the actor's session may be gone", actor(func(actor *sessions.Session, m sessions.Moment) bool {
			return actor == nil || !isOver(*actor, m.Now)
		}), everyActorCase},
		{"the actor's session must not be idle", actor(func(actor *sessions.Session, m sessions.Moment) bool {
			return actor != nil && actor.State(m) == sessions.StateLive
		}), everyActorCase},
		{"the actor's session may have expired", actor(func(actor *sessions.Session, _ sessions.Moment) bool {
			return actor != nil && actor.EndedAt.IsZero()
		}), everyActorCase},
		{"the actor's expiry is off by one", actor(func(actor *sessions.Session, m sessions.Moment) bool {
			return actor != nil && !isOver(*actor, m.Now.Add(-time.Microsecond))
		}), everyActorCase},
		{"the actor's session was live once", part(func(p *parts) {
			rightly, seen := p.actor, make(map[string]bool)
			p.actor = func(actor *sessions.Session, m sessions.Moment) bool {
				if actor != nil && rightly(actor, m) {
					seen[actor.ID] = true
				}
				return actor != nil && seen[actor.ID]
			}
		}), []string{"concurrent/no refresh succeeds behind an end"}},
		{
			"refresh looks at the row alone",
			untied(func(alone *toy, o *over) { o.refresh = alone.Refresh }),
			[]string{"actor/refresh judges the actor's session too"},
		},
		{
			"a list looks at the rows alone",
			untied(func(alone *toy, o *over) { o.list = alone.List }),
			[]string{"actor/list judges the actor's session too"},
		},
		{
			"end judges the actor's session too",
			method(func(o *over, st sessions.Store) {
				o.end = func(ctx context.Context, p sessions.EndParams) (sessions.Session, error) {
					if s, _ := st.Get(ctx, p.ID); ctx.Err() == nil && s.ParentSessionID != "" {
						if actor, err := st.Get(ctx, s.ParentSessionID); err != nil || isOver(actor, p.Now) {
							return sessions.Session{}, sessions.ErrNotFound
						}
					}
					return st.End(ctx, p)
				}
			}),
			[]string{"actor/what depends on a session that is over can be ended"},
		},
		{
			"end many judges the actors' sessions too, one after the other",
			part(func(p *parts) {
				p.many = func(t *toy, s sessions.Session, now time.Time) bool {
					actor := t.row(s.ParentSessionID)
					return s.ParentSessionID == "" || actor != nil && !isOver(*actor, now)
				}
			}),
			[]string{"actor/what depends on a session that is over can be ended", "end many/an actor's session and one behind it"},
		},
		{"end wants a session that is not idle", part(func(p *parts) {
			p.over = func(s sessions.Session, now time.Time) bool {
				return s.State(sessions.Moment{Now: now, IdleCutoff: now.AddDate(0, 0, -1)}) != sessions.StateLive
			}
		}), []string{"end/what has neither ended nor expired", "end many/what has neither ended nor expired", "actor/an idle actor's session ends what depends on it"}},
		{"end ends what has expired", part(func(p *parts) {
			p.over = func(s sessions.Session, _ time.Time) bool { return !s.EndedAt.IsZero() }
		}), []string{"end/what has neither ended nor expired", "end many/what has neither ended nor expired", "end/an instant is the same in every zone"}},
		{
			"redeem looks at the row alone",
			untied(func(alone *toy, o *over) { o.redeem = alone.Redeem }),
			[]string{"actor/redeem judges the actor's session too"},
		},
		{
			"a use is the actor's use as well",
			method(func(o *over, st sessions.Store) {
				o.refresh = func(ctx context.Context, p sessions.RefreshParams) (sessions.RefreshResult, error) {
					r, err := st.Refresh(ctx, p)
					if err == nil && r.Session.ParentSessionID != "" {
						p.ID = r.Session.ParentSessionID
						_, _ = st.Refresh(ctx, p)
					}
					return r, err
				}
			}),
			[]string{"actor/its own use keeps no actor's session alive"},
		},
		{"end dependents looks at the first id", part(func(p *parts) {
			rightly := p.behind
			p.behind = func(s sessions.Session, params sessions.EndDependentsParams) bool {
				params.ParentSessionIDs = params.ParentSessionIDs[:min(1, len(params.ParentSessionIDs))]
				return rightly(s, params)
			}
		}), []string{"end dependents/of many actors' sessions"}},
		{"end dependents has room for so many ids", part(func(p *parts) {
			rightly := p.behind
			p.behind = func(s sessions.Session, params sessions.EndDependentsParams) bool {
				params.ParentSessionIDs = params.ParentSessionIDs[:min(1000, len(params.ParentSessionIDs))]
				return rightly(s, params)
			}
		}), []string{"end dependents/of many actors' sessions"}},
		{"end dependents without an id ends all", part(func(p *parts) {
			rightly := p.behind
			p.behind = func(s sessions.Session, params sessions.EndDependentsParams) bool {
				if len(params.ParentSessionIDs) == 0 {
					return s.ParentSessionID != "" && s.EndedAt.IsZero()
				}
				return rightly(s, params)
			}
		}), []string{"end dependents/of many actors' sessions"}},
		{"end dependents takes a session that depends on none", part(func(p *parts) {
			p.behind = func(s sessions.Session, params sessions.EndDependentsParams) bool {
				return slices.Contains(params.ParentSessionIDs, s.ParentSessionID) && s.State(sessions.Moment{Now: params.Now}) == sessions.StateLive
			}
		}), []string{"end dependents/of many actors' sessions"}},
		{
			"end dependents returns one twice",
			method(func(o *over, st sessions.Store) {
				o.endDependents = func(ctx context.Context, p sessions.EndDependentsParams) ([]sessions.Session, error) {
					l, err := st.EndDependents(ctx, p)
					if len(l) > 1 {
						l = append(l, l[0])
					}
					return l, err
				}
			}),
			[]string{"end dependents/of many actors' sessions"},
		},
		{"end dependents marks everything of the actor", part(func(p *parts) {
			rightly := p.behind
			p.behind = func(s sessions.Session, params sessions.EndDependentsParams) bool {
				return rightly(s, params) || slices.Contains(params.ParentSessionIDs, s.ID) && s.EndedAt.IsZero()
			}
		}), []string{"end dependents/whether the actor's session is live or not"}},
		{"end dependents marks what was marked", part(func(p *parts) {
			p.behind = func(s sessions.Session, params sessions.EndDependentsParams) bool {
				return slices.Contains(params.ParentSessionIDs, s.ParentSessionID) && params.Now.Before(s.ExpiresAt)
			}
		}), []string{"end dependents/marks them and returns them", "end dependents/not what is over by itself"}},
		{"end dependents marks what has expired", part(func(p *parts) {
			p.behind = func(s sessions.Session, params sessions.EndDependentsParams) bool {
				return slices.Contains(params.ParentSessionIDs, s.ParentSessionID) && s.EndedAt.IsZero()
			}
		}), []string{"end dependents/not what is over by itself", "end dependents/an instant is the same in every zone"}},
		{"end dependents leaves what is idle", part(func(p *parts) {
			p.behind = func(s sessions.Session, params sessions.EndDependentsParams) bool {
				return slices.Contains(params.ParentSessionIDs, s.ParentSessionID) && s.State(sessions.Moment{Now: params.Now, IdleCutoff: params.Now.AddDate(0, 0, -20)}) == sessions.StateLive
			}
		}), []string{"end dependents/not what is over by itself"}},
		{
			"end dependents wants a live session",
			method(func(o *over, st sessions.Store) {
				o.endDependents = func(ctx context.Context, p sessions.EndDependentsParams) ([]sessions.Session, error) {
					p.ParentSessionIDs = slices.DeleteFunc(slices.Clone(p.ParentSessionIDs), func(id string) bool {
						s, _ := st.Get(ctx, id)
						return ctx.Err() == nil && s.State(sessions.Moment{Now: p.Now}) != sessions.StateLive
					})
					return st.EndDependents(ctx, p)
				}
			}),
			[]string{"end dependents/marks them and returns them", "end dependents/whether the actor's session is live or not"},
		},
		{"end dependents compares the hands of the clock", part(func(p *parts) {
			rightly := p.behind
			p.behind = func(s sessions.Session, params sessions.EndDependentsParams) bool {
				params.Now = wallClock(params.Now)
				return rightly(s, params)
			}
		}), []string{"end dependents/an instant is the same in every zone"}},

		// Hand-offs.
		{"the hash of a code is forgotten", part(func(p *parts) {
			rightly := p.save
			p.save = func(r *toyRow) {
				rightly(r)
				r.HandoffHash = ""
			}
		}), []string{"create/a hand-off comes back", "redeem/the first time"}},
		{"no hand-off comes back as 1970", part(func(p *parts) {
			rightly := p.save
			p.save = func(r *toyRow) {
				rightly(r)
				if r.HandoffExpiresAt.IsZero() {
					r.HandoffExpiresAt = time.Unix(0, 0).UTC()
				}
			}
		}), []string{"create/then get is equal"}},
		{"a code works without end", redeem(func(r *toyRow, was toyRow, p sessions.RedeemParams, err error) error {
			if err == nil && was.uses > 0 {
				*r = was
				r.use(p.Moment.Now, p.Client)
			}
			return err
		}), []string{"redeem/a second time ends the session", "concurrent/one code is redeemed once"}},
		{"a second time is only refused", redeem(func(r *toyRow, was toyRow, _ sessions.RedeemParams, err error) error {
			if err == nil && was.uses > 0 {
				*r = was
				return sessions.ErrNotFound
			}
			return err
		}), []string{"redeem/a second time ends the session", "concurrent/one code is redeemed once"}},
		{"a second time that is late is only refused", redeem(func(r *toyRow, was toyRow, p sessions.RedeemParams, err error) error {
			if err == nil && !p.Moment.Now.Before(r.HandoffExpiresAt) {
				*r = was
				return sessions.ErrNotFound
			}
			return err
		}), []string{"redeem/a second time ends the session"}},
		{"a second time is called a replay", redeem(func(r *toyRow, _ toyRow, _ sessions.RedeemParams, err error) error {
			if !r.EndedAt.IsZero() {
				r.EndReason = sessions.EndReplay
			}
			return err
		}), []string{"redeem/a second time ends the session"}},
		{"a second client leaves its mark", redeem(func(r *toyRow, _ toyRow, p sessions.RedeemParams, err error) error {
			if err == nil {
				r.use(p.Moment.Now, p.Client)
			}
			return err
		}), []string{"redeem/a second time ends the session"}},
		{"a code works a microsecond longer", part(func(p *parts) {
			rightly := p.redeem
			p.redeem = func(r *toyRow, params sessions.RedeemParams) error {
				r.HandoffExpiresAt = r.HandoffExpiresAt.Add(time.Microsecond)
				defer func() { r.HandoffExpiresAt = r.HandoffExpiresAt.Add(-time.Microsecond) }()
				return rightly(r, params)
			}
		}), []string{"redeem/late", "redeem/an instant is the same in every zone"}},
		{
			"a late code ends the session",
			method(func(o *over, st sessions.Store) {
				o.redeem = func(ctx context.Context, p sessions.RedeemParams) (sessions.Session, error) {
					s, err := st.Get(ctx, p.ID)
					if err == nil && s.HandoffHash == p.Hash && !p.Moment.Now.Before(s.HandoffExpiresAt) && !s.LastUsedAt.After(s.CreatedAt) {
						return st.End(ctx, sessions.EndParams{ID: p.ID, Now: p.Moment.Now, Reason: sessions.EndHandoffReplay})
					}
					return st.Redeem(ctx, p)
				}
			}),
			[]string{"redeem/late"},
		},
		{"a late code is used up", part(func(p *parts) {
			rightly := p.redeem
			late := make(map[string]bool)
			p.redeem = func(r *toyRow, params sessions.RedeemParams) error {
				if late[r.ID] {
					return sessions.ErrNotFound
				}
				err := rightly(r, params)
				late[r.ID] = err != nil
				return err
			}
		}), []string{"redeem/late", "redeem/another hash"}},
		{"any hash will do", part(func(p *parts) {
			rightly := p.redeem
			p.redeem = func(r *toyRow, params sessions.RedeemParams) error {
				params.Hash = r.HandoffHash
				return rightly(r, params)
			}
		}), []string{"redeem/another hash"}},
		{"hashes have no case", part(func(p *parts) {
			rightly := p.redeem
			p.redeem = func(r *toyRow, params sessions.RedeemParams) error {
				params.Hash = strings.ToLower(params.Hash)
				return rightly(r, params)
			}
		}), []string{"redeem/another hash"}},
		{"no code is an empty code", part(func(p *parts) {
			rightly := p.redeem
			p.redeem = func(r *toyRow, params sessions.RedeemParams) error {
				if params.Hash == "" && r.HandoffHash == "" {
					return nil
				}
				return rightly(r, params)
			}
		}), []string{"redeem/another hash"}},
		{"a wrong hash uses up the code", redeem(func(r *toyRow, _ toyRow, p sessions.RedeemParams, err error) error {
			if err != nil && p.Hash != r.HandoffHash {
				r.end(p.Moment.Now, sessions.EndHandoffReplay, "")
				return nil
			}
			return err
		}), []string{"redeem/another hash"}},
		{
			"a code works after the end",
			method(func(o *over, st sessions.Store) {
				o.redeem = func(ctx context.Context, p sessions.RedeemParams) (sessions.Session, error) {
					s, err := st.Redeem(ctx, p)
					if errors.Is(err, sessions.ErrNotFound) {
						if s, getErr := st.Get(ctx, p.ID); getErr == nil && !s.EndedAt.IsZero() && s.HandoffHash == p.Hash {
							return s, nil
						}
					}
					return s, err
				}
			}),
			[]string{"redeem/only a live session", "redeem/a used code of a session that is over"},
		},
		{
			"a code moves last use back",
			redeem(func(r *toyRow, was toyRow, p sessions.RedeemParams, err error) error {
				if err == nil && was.uses == 0 {
					r.LastUsedAt = p.Moment.Now.UTC()
				}
				return err
			}),
			[]string{"redeem/last use never moves back"},
		},
		{
			"a code is no use",
			redeem(func(r *toyRow, was toyRow, _ sessions.RedeemParams, err error) error {
				r.LastUsedAt = was.LastUsedAt
				return err
			}),
			[]string{"redeem/the first time"},
		},
		{
			"a code's empty client field erases",
			redeem(func(r *toyRow, was toyRow, p sessions.RedeemParams, err error) error {
				if err == nil && was.uses == 0 {
					r.Client = p.Client
				}
				return err
			}),
			[]string{"redeem/the first time"},
		},
		{
			"a redemption is a rotation",
			redeem(func(r *toyRow, was toyRow, _ sessions.RedeemParams, err error) error {
				if err == nil && was.uses == 0 {
					r.Parent, r.Current = r.Current, r.Current+1
				}
				return err
			}),
			[]string{"redeem/leaves the refresh state"},
		},
		{"a code is compared by the hands of the clock", part(func(p *parts) {
			rightly := p.redeem
			p.redeem = func(r *toyRow, params sessions.RedeemParams) error {
				params.Moment.Now = wallClock(params.Moment.Now)
				return rightly(r, params)
			}
		}), []string{"redeem/an instant is the same in every zone"}},

		// What has ended.
		{"since is left out", recent(func(at, since time.Time) bool { return at.After(since) }), []string{
			"ended/since counts", "ended/with the actor's session", "ended/an instant is the same in every zone", "concurrent/an end is seen once it was answered",
		}},
		{"since is a microsecond early", recent(func(at, since time.Time) bool { return !at.Before(since.Add(-time.Microsecond)) }), []string{"ended/since counts"}},
		{"since is cut to seconds", recent(func(at, since time.Time) bool { return !at.Before(since.Truncate(time.Second)) }), []string{"ended/since counts"}},
		{"since is ignored", recent(func(time.Time, time.Time) bool { return true }), []string{"ended/since counts", "ended/with the actor's session"}},
		{"since is compared by the hands of the clock", recent(func(at, since time.Time) bool { return !at.Before(wallClock(since)) }), []string{
			"ended/an instant is the same in every zone",
		}},
		{"no since is no answer", recent(func(at, since time.Time) bool { return !since.IsZero() && !at.Before(since) }), []string{
			"ended/no since is from the beginning", "ended/not what is over by time alone",
		}},
		{"no since is the last year", recent(func(at, since time.Time) bool {
			return !at.Before(since) && (!since.IsZero() || at.Year() > 2000)
		}), []string{"ended/no since is from the beginning"}},
		{
			"nothing ended is an error",
			method(func(o *over, st sessions.Store) {
				o.ended = func(ctx context.Context, since time.Time) ([]sessions.EndedSession, error) {
					l, err := st.Ended(ctx, since)
					if err == nil && len(l) == 0 {
						err = sessions.ErrNotFound
					}
					return l, err
				}
			}),
			[]string{"ended/none is an empty list", "ended/since counts"},
		},
		{"what has expired has ended", when(func(s sessions.Session, _ *sessions.Session, at time.Time) time.Time {
			if at.IsZero() && s.ExpiresAt.Before(s.CreatedAt.AddDate(0, 0, 1)) {
				return s.ExpiresAt
			}
			return at
		}), []string{"ended/not what is over by time alone"}},
		{"what is idle has ended", when(func(s sessions.Session, _ *sessions.Session, at time.Time) time.Time {
			if at.IsZero() && s.LastUsedAt.Before(time.Date(2026, time.March, 10, 0, 0, 0, 0, time.UTC)) {
				return s.LastUsedAt
			}
			return at
		}), []string{"ended/not what is over by time alone"}},
		{"what stands behind an expired session has ended", when(func(_ sessions.Session, actor *sessions.Session, at time.Time) time.Time {
			if at.IsZero() && actor != nil && actor.ExpiresAt.Before(actor.CreatedAt.AddDate(0, 0, 1)) {
				return actor.ExpiresAt
			}
			return at
		}), []string{"ended/not what is over by time alone"}},
		{"what was revoked is not seen", unseen(sessions.EndRevoked), []string{"ended/whatever has ended it", "ended/since counts"}},
		{"what was replayed is not seen", unseen(sessions.EndReplay), []string{"ended/whatever has ended it"}},
		{"what recovered too often is not seen", unseen(sessions.EndRecoveryLimit), []string{"ended/whatever has ended it"}},
		{"what was redeemed twice is not seen", unseen(sessions.EndHandoffReplay), []string{"ended/whatever has ended it"}},
		{"what the policy has ended is not seen", unseen(sessions.EndNotAllowed), []string{"ended/whatever has ended it"}},
		{"impersonations are not seen", when(func(s sessions.Session, _ *sessions.Session, at time.Time) time.Time {
			if s.Impersonation {
				return time.Time{}
			}
			return at
		}), []string{"ended/whatever has ended it", "ended/with the actor's session"}},
		{
			"nobody learns what is not marked",
			feed(func(_ context.Context, _ sessions.Store, list []sessions.EndedSession) []sessions.EndedSession {
				for i := range list {
					list[i].ParentSessionID = ""
				}
				return list
			}),
			[]string{"ended/with the actor's session"},
		},
		{
			"what is marked counts as not marked",
			feed(func(ctx context.Context, st sessions.Store, list []sessions.EndedSession) []sessions.EndedSession {
				for i, e := range list {
					if s, err := st.Get(ctx, e.ID); err == nil {
						list[i].ParentSessionID = s.ParentSessionID
					}
				}
				return list
			}),
			[]string{"ended/with the actor's session", "ended/whatever has ended it"},
		},
		{"the actor's end is not seen", when(func(s sessions.Session, _ *sessions.Session, _ time.Time) time.Time { return s.EndedAt }), []string{
			"ended/with the actor's session",
		}},
		{"the actor's end is every end", when(func(_ sessions.Session, actor *sessions.Session, at time.Time) time.Time {
			if actor != nil && !actor.EndedAt.IsZero() {
				return actor.EndedAt
			}
			return at
		}), []string{"ended/with the actor's session", "ended/by itself before the actor's session"}},
		{"what stands behind an ended session has ended when it expires", when(func(s sessions.Session, _ *sessions.Session, at time.Time) time.Time {
			if s.EndedAt.IsZero() && !at.IsZero() {
				return s.ExpiresAt
			}
			return at
		}), []string{"ended/with the actor's session"}},
		{"what has expired does not end with the actor's session", when(func(s sessions.Session, _ *sessions.Session, at time.Time) time.Time {
			if s.EndedAt.IsZero() && s.ExpiresAt.Before(at) {
				return time.Time{}
			}
			return at
		}), []string{"ended/with the actor's session"}},
		{
			"what ended by itself is there twice",
			feed(func(ctx context.Context, st sessions.Store, list []sessions.EndedSession) []sessions.EndedSession {
				for _, e := range slices.Clone(list) {
					s, _ := st.Get(ctx, e.ID)
					if actor, err := st.Get(ctx, s.ParentSessionID); err == nil && !actor.EndedAt.IsZero() && !s.EndedAt.IsZero() {
						list = append(list, sessions.EndedSession{ID: s.ID, EndedAt: actor.EndedAt})
					}
				}
				return list
			}),
			[]string{"ended/by itself before the actor's session"},
		},
		{
			"only the first hundred are seen",
			feed(func(_ context.Context, _ sessions.Store, list []sessions.EndedSession) []sessions.EndedSession {
				return list[:min(len(list), 100)]
			}),
			[]string{"ended/hundreds at once"},
		},
		{
			"ends come back in a zone of its own",
			feed(func(_ context.Context, _ sessions.Store, list []sessions.EndedSession) []sessions.EndedSession {
				for i := range list {
					list[i].EndedAt = list[i].EndedAt.In(time.FixedZone("office", 3600))
				}
				return list
			}),
			[]string{"ended/an instant is the same in every zone"},
		},
		{
			"ends come back in milliseconds",
			feed(func(_ context.Context, _ sessions.Store, list []sessions.EndedSession) []sessions.EndedSession {
				for i := range list {
					list[i].EndedAt = list[i].EndedAt.Truncate(time.Millisecond)
				}
				return list
			}),
			[]string{"ended/an instant is the same in every zone", "ended/since counts"},
		},
		{
			"ended answers what the call before has found",
			method(func(o *over, st sessions.Store) {
				var mu sync.Mutex
				kept := make(map[time.Time][]sessions.EndedSession)
				o.ended = func(ctx context.Context, since time.Time) ([]sessions.EndedSession, error) {
					mu.Lock()
					defer mu.Unlock()
					list, err := st.Ended(ctx, since)
					if err != nil {
						return nil, err
					}
					last := kept[since]
					kept[since] = list
					return last, nil
				}
			}),
			[]string{"ended/what was committed before", "concurrent/an end is seen once it was answered"},
		},
		{
			"ends are kept in a log that nobody prunes",
			method(func(o *over, st sessions.Store) {
				seen := make(map[string]time.Time)
				o.prune = func(ctx context.Context, p sessions.PruneParams) (int, error) {
					list, err := st.Ended(ctx, time.Time{})
					if err != nil {
						return 0, err
					}
					for _, e := range list {
						seen[e.ID] = e.EndedAt
					}
					return st.Prune(ctx, p)
				}
				o.ended = func(ctx context.Context, since time.Time) ([]sessions.EndedSession, error) {
					list, err := st.Ended(ctx, since)
					if err != nil {
						return nil, err
					}
					for id, at := range seen {
						if !slices.Contains(list, sessions.EndedSession{ID: id, EndedAt: at}) {
							list = append(list, sessions.EndedSession{ID: id, EndedAt: at})
						}
					}
					return list, nil
				}
			}),
			[]string{"ended/pruned ones are gone"},
		},

		// Prune.
		{"prune deletes live sessions", part(func(p *parts) {
			p.old = func(s sessions.Session, params sessions.PruneParams, needed bool) bool {
				return before(s.CreatedAt, params.ExpiredBefore)
			}
		}), []string{"prune/never a live one"}},
		{"prune takes what is exactly as old", part(func(p *parts) {
			rightly := p.old
			p.old = func(s sessions.Session, params sessions.PruneParams, needed bool) bool {
				for _, at := range []*time.Time{&params.EndedBefore, &params.ExpiredBefore, &params.IdleBefore} {
					if !at.IsZero() {
						*at = at.Add(time.Microsecond)
					}
				}
				return rightly(s, params, needed)
			}
		}), []string{"prune/what ended before", "prune/what expired before", "prune/what fell idle before"}},
		{"prune takes sessions that did not end for ended at zero", part(func(p *parts) {
			rightly := p.old
			p.old = func(s sessions.Session, params sessions.PruneParams, needed bool) bool {
				return rightly(s, params, needed) || s.EndedAt.Before(params.EndedBefore)
			}
		}), []string{"prune/what ended before"}},
		{"prune takes no time for any time", part(func(p *parts) {
			rightly := p.old
			p.old = func(s sessions.Session, params sessions.PruneParams, needed bool) bool {
				return rightly(s, params, needed) || params.EndedBefore.IsZero() && !s.EndedAt.IsZero()
			}
		}), []string{"prune/no times, nothing to delete"}},
		{"prune knows only sessions that ended", part(func(p *parts) {
			p.old = func(s sessions.Session, params sessions.PruneParams, needed bool) bool {
				return before(s.EndedAt, params.EndedBefore)
			}
		}), []string{"prune/what expired before", "prune/what fell idle before", "prune/limit"}},
		{"prune compares the hands of the clock", part(func(p *parts) {
			rightly := p.old
			p.old = func(s sessions.Session, params sessions.PruneParams, needed bool) bool {
				params.EndedBefore, params.ExpiredBefore, params.IdleBefore = wallClock(params.EndedBefore), wallClock(params.ExpiredBefore), wallClock(params.IdleBefore)
				return rightly(s, params, needed)
			}
		}), []string{"prune/an instant is the same in every zone"}},
		{"prune takes an idle session whoever depends on it", part(func(p *parts) {
			rightly := p.old
			p.old = func(s sessions.Session, params sessions.PruneParams, _ bool) bool { return rightly(s, params, false) }
		}), []string{"prune/an idle session that others depend on"}},
		{"prune spares whatever others depend on", part(func(p *parts) {
			rightly := p.old
			p.old = func(s sessions.Session, params sessions.PruneParams, needed bool) bool {
				return rightly(s, params, needed) && !needed
			}
		}), []string{"prune/an idle session that others depend on"}},
		{"prune spares what others ever depended on", part(func(p *parts) {
			rightly, saved := p.old, make(map[string]bool)
			save := p.save
			p.save = func(r *toyRow) {
				save(r)
				saved[r.ParentSessionID] = true
			}
			p.old = func(s sessions.Session, params sessions.PruneParams, needed bool) bool {
				return rightly(s, params, needed || saved[s.ID])
			}
		}), []string{"prune/an idle session that others depend on"}},
		{
			"prune has no limit",
			method(func(o *over, st sessions.Store) {
				o.prune = func(ctx context.Context, p sessions.PruneParams) (int, error) {
					p.Limit = 1 << 30
					return st.Prune(ctx, p)
				}
			}),
			[]string{"prune/limit"},
		},
		{
			"prune counts what it was allowed to",
			method(func(o *over, st sessions.Store) {
				o.prune = func(ctx context.Context, p sessions.PruneParams) (int, error) {
					if n, err := st.Prune(ctx, p); n == 0 || err != nil {
						return n, err
					}
					return p.Limit, nil
				}
			}),
			[]string{"prune/limit", "prune/what ended before"},
		},
		{
			"a pruned session only hides",
			method(func(o *over, st sessions.Store) {
				var mu sync.Mutex
				seen := make(map[string]bool)
				o.create = func(ctx context.Context, s sessions.Session) error {
					mu.Lock()
					defer mu.Unlock()
					err := st.Create(ctx, s)
					if err == nil && seen[s.ID] {
						return sessions.ErrConflict
					}
					seen[s.ID] = seen[s.ID] || err == nil
					return err
				}
			}),
			[]string{"prune/a pruned id is free"},
		},

		// One atomic step.
		{"everything reads first and writes later", part(func(p *parts) { p.pause = meet() }), []string{
			"concurrent/one token rotates once", "concurrent/strict rotation takes one of many", "concurrent/one replay ends the session once",
			"concurrent/a late parent is recovered once", "concurrent/one create wins", "concurrent/one end wins",
			"concurrent/each session is ended by one EndMany", "concurrent/no refresh succeeds after an end",
			"concurrent/no refresh succeeds after ending many", "concurrent/each session is pruned once",
			"concurrent/one EndDependents marks each", "concurrent/one code is redeemed once", "concurrent/no impersonation begins behind an end",
		}},
		{
			"a busy database is the caller's problem",
			method(func(o *over, st sessions.Store) {
				var busy sync.Mutex
				pause := meet()
				o.refresh = func(ctx context.Context, p sessions.RefreshParams) (sessions.RefreshResult, error) {
					if !busy.TryLock() {
						return sessions.RefreshResult{}, errors.New("database is locked")
					}
					defer busy.Unlock()
					pause()
					return st.Refresh(ctx, p)
				}
			}),
			[]string{"concurrent/one token rotates once", "concurrent/different sessions do not wait for luck"},
		},
	}
}

func TestCheckNamesWhatABrokenStoreBreaks(t *testing.T) {
	t.Parallel()
	for _, c := range brokenStores() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			err := storetest.Check(func() (sessions.Store, error) { return c.store(), nil })
			if err == nil {
				t.Fatal("Check found nothing")
			}
			for _, name := range c.want {
				if !strings.Contains(err.Error(), "storetest: "+name+": ") {
					t.Errorf("Check did not fail in %q; it said:\n%.3000s", name, err)
				}
			}
		})
	}
}

// TestEveryCaseCatchesABrokenStore asks a store that always fails for the names of
// all cases: one that no broken store fails may check nothing.
func TestEveryCaseCatchesABrokenStore(t *testing.T) {
	t.Parallel()
	away := errors.New("the database is away")
	err := storetest.Check(func() (sessions.Store, error) {
		return &sessionstest.Faults{
			Store:  sessionstest.NewStore(),
			Before: func(context.Context, sessionstest.Call) error { return away },
		}, nil
	})
	if err == nil {
		t.Fatal("Check found nothing")
	}
	wanted := make(map[string]bool)
	for _, b := range brokenStores() {
		for _, name := range b.want {
			wanted[name] = true
		}
	}
	cases := 0
	for line := range strings.Lines(err.Error()) {
		rest, ok := strings.CutPrefix(line, "storetest: ")
		if !ok {
			continue
		}
		cases++
		if name, _, _ := strings.Cut(rest, ": "); !wanted[name] {
			t.Errorf("no broken store has to fail %q", name)
		}
	}
	t.Logf("%d cases, %d broken stores", cases, len(brokenStores()))
}

func TestCheckReportsAStoreThatCannotBeMade(t *testing.T) {
	t.Parallel()
	away := errors.New("the database is away")
	if err := storetest.Check(func() (sessions.Store, error) { return nil, away }); !errors.Is(err, away) {
		t.Errorf("got error %v, want one that is %q", err, away)
	}
}

// TestTheToyIsGood keeps the table above honest: without a broken part, the toy
// passes.
func TestTheToyIsGood(t *testing.T) {
	t.Parallel()
	if err := storetest.Check(func() (sessions.Store, error) { return newToy(good()), nil }); err != nil {
		t.Error(err)
	}
}

// wallClock forgets the zone of a time and keeps what a clock there shows.
func wallClock(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}

// like is SQL's LIKE with the case folded, as SQLite has it.
func like(text, pattern string) bool {
	text, pattern = strings.ToLower(text), strings.ToLower(pattern)
	if pattern == "" {
		return text == ""
	}
	rest := []rune(text)
	for i, p := range pattern {
		switch {
		case p == '%':
			for j := range len(rest) + 1 {
				if like(string(rest[j:]), pattern[i+1:]) {
					return true
				}
			}
			return false
		case len(rest) == 0, p != '_' && p != rest[0]:
			return false
		}
		rest = rest[1:]
	}
	return len(rest) == 0
}
