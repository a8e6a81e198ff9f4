package proof_test

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/sessile-go/sessile/sessions"
)

// looseStore keeps sessions in memory and can be broken on purpose, to see which
// check notices. Without flaws it keeps the contract, which the proofs check first.
type looseStore struct {
	flaws looseFlaws

	mu      sync.Mutex
	rows    map[string]looseRow
	writes  int
	stale   map[string]looseRow // the rows some writes ago
	pending sync.WaitGroup
}

type looseRow struct {
	session sessions.Session
	state   sessions.RefreshState
}

type looseNext func(r sessions.Rotation, s sessions.RefreshState, presented int64,
	now time.Time) (sessions.RefreshState, sessions.Outcome)

// looseFlaws are the ways to break it.
type looseFlaws struct {
	// next replaces the rules of the protocol.
	next looseNext
	// split lets others in between reading a row and writing it back.
	split bool
	// twice runs a refresh twice, as a driver does that repeats blindly.
	twice bool
	// early answers an end before it is done.
	early bool
	// lag lists what was there some writes ago, as a replica does that is behind.
	lag bool
	// forget loses every so many writes after they were answered.
	forget int
	// spare leaves one session out when many are ended.
	spare bool
	// oneByOne ends many in as many steps.
	oneByOne bool
	// judge replaces the judgement of whether a refreshed session is live.
	judge func(s sessions.Session, m sessions.Moment) bool
	// rowPerToken adds a row for each new token, as schemes do that keep tokens.
	rowPerToken bool
}

func newLooseStore(f looseFlaws) *looseStore {
	if f.next == nil {
		f.next = sessions.Rotation.Next
	}
	if f.judge == nil {
		f.judge = looseLive
	}
	return &looseStore{flaws: f, rows: make(map[string]looseRow)}
}

func looseLive(s sessions.Session, m sessions.Moment) bool { return s.Live(m) }

// pause is long enough for others to come in between.
func (st *looseStore) pause() { <-time.After(200 * time.Microsecond) }

// settle waits for what was answered early.
func (st *looseStore) settle() { st.pending.Wait() }

func (st *looseStore) write(id string, r looseRow) {
	if st.writes%8 == 0 {
		st.stale = maps.Clone(st.rows)
	}
	st.writes++
	if st.flaws.forget > 0 && st.writes%st.flaws.forget == 0 {
		return
	}
	st.rows[id] = r
}

func (st *looseStore) Create(ctx context.Context, s sessions.Session) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if _, taken := st.rows[s.ID]; taken {
		return sessions.ErrConflict
	}
	st.write(s.ID, looseRow{s, sessions.NewRefreshState(s.CreatedAt)})
	return nil
}

func (st *looseStore) Get(ctx context.Context, id string) (sessions.Session, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	r, ok := st.rows[id]
	if !ok {
		return sessions.Session{}, cmp.Or(ctx.Err(), sessions.ErrNotFound)
	}
	return r.session, ctx.Err()
}

func (st *looseStore) Refresh(ctx context.Context, p sessions.RefreshParams) (sessions.RefreshResult, error) {
	result, err := st.refresh(ctx, p)
	if err == nil && st.flaws.twice && result.Outcome.EndReason() == "" {
		return st.refresh(ctx, p)
	}
	return result, err
}

func (st *looseStore) refresh(ctx context.Context, p sessions.RefreshParams) (sessions.RefreshResult, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return sessions.RefreshResult{}, err
	}
	r, ok := st.rows[p.ID]
	if !ok || !st.flaws.judge(r.session, p.Moment) {
		return sessions.RefreshResult{}, sessions.ErrNotFound
	}
	if st.flaws.split {
		st.mu.Unlock()
		st.pause()
		st.mu.Lock()
	}
	before := r.state.Current
	var outcome sessions.Outcome
	r.state, outcome = st.flaws.next(p.Rotation, r.state, p.Presented, p.Moment.Now)
	if outcome.EndReason() != "" {
		r.session.EndedAt, r.session.EndReason = p.Moment.Now, outcome.EndReason()
	} else if p.Moment.Now.After(r.session.LastUsedAt) {
		r.session.LastUsedAt = p.Moment.Now
	}
	st.write(p.ID, r)
	if st.flaws.rowPerToken && r.state.Current != before {
		again := r
		again.session.ID = uuid.Must(uuid.NewV7()).String()
		st.write(again.session.ID, again)
	}
	return sessions.RefreshResult{Session: r.session, State: r.state, Outcome: outcome}, nil
}

func (st *looseStore) List(ctx context.Context, p sessions.ListParams) ([]sessions.Session, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	rows := st.rows
	if st.flaws.lag {
		rows = st.stale
	}
	var list []sessions.Session
	for _, r := range rows {
		if r.session.UserID == p.UserID && looseLive(r.session, p.Moment) {
			list = append(list, r.session)
		}
	}
	slices.SortFunc(list, func(a, b sessions.Session) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(b.ID, a.ID))
	})
	return list, ctx.Err()
}

func (st *looseStore) End(ctx context.Context, p sessions.EndParams) (sessions.Session, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return sessions.Session{}, err
	}
	r, ok := st.rows[p.ID]
	if !ok || !looseLive(r.session, sessions.Moment{Now: p.Now}) {
		return sessions.Session{}, sessions.ErrNotFound
	}
	r.session.EndedAt, r.session.EndReason, r.session.EndedBy = p.Now, p.Reason, p.By
	if st.flaws.early {
		st.pending.Go(func() {
			st.pause()
			st.mu.Lock()
			defer st.mu.Unlock()
			late := st.rows[p.ID]
			late.session.EndedAt, late.session.EndReason, late.session.EndedBy = p.Now, p.Reason, p.By
			st.write(p.ID, late)
		})
		return r.session, nil
	}
	st.write(p.ID, r)
	return r.session, nil
}

func (st *looseStore) EndMany(ctx context.Context, p sessions.EndManyParams) ([]sessions.Session, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var ended []sessions.Session
	for _, id := range slices.Sorted(maps.Keys(st.rows)) {
		r := st.rows[id]
		if r.session.UserID != p.UserID || id == p.ExceptID || !looseLive(r.session, sessions.Moment{Now: p.Now}) {
			continue
		}
		if st.flaws.spare && len(ended) > 0 {
			break
		}
		r.session.EndedAt, r.session.EndReason, r.session.EndedBy = p.Now, p.Reason, p.By
		ended = append(ended, r.session)
		st.write(id, r)
		if st.flaws.oneByOne {
			st.mu.Unlock()
			st.pause()
			st.mu.Lock()
		}
	}
	return ended, nil
}

func (st *looseStore) Prune(context.Context, sessions.PruneParams) (int, error) {
	return 0, errors.ErrUnsupported
}

func (st *looseStore) Now(context.Context) (time.Time, error) { return time.Time{}, nil }

// all returns every row.
func (st *looseStore) all() map[string]looseRow {
	st.mu.Lock()
	defer st.mu.Unlock()
	return maps.Clone(st.rows)
}

// EndDependents returns an empty list: no session of the proofs has a parent.
func (st *looseStore) EndDependents(context.Context, sessions.EndDependentsParams) ([]sessions.Session, error) {
	return nil, nil
}

// Redeem knows no code: the proofs hand nothing off.
func (st *looseStore) Redeem(context.Context, sessions.RedeemParams) (sessions.Session, error) {
	return sessions.Session{}, sessions.ErrNotFound
}

// Ended is not asked: no proof of histories watches.
func (st *looseStore) Ended(context.Context, time.Time) ([]sessions.EndedSession, error) {
	return nil, errors.ErrUnsupported
}
