package storetest_test

import (
	"context"
	"sync"
	"time"

	"github.com/sessile-go/sessile/sessions"
)

func brokenPrunes() []broken {
	return []broken{
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
				params.EndedBefore, params.ExpiredBefore, params.IdleBefore = wallClock(params.EndedBefore),
					wallClock(params.ExpiredBefore), wallClock(params.IdleBefore)
				return rightly(s, params, needed)
			}
		}), []string{"prune/an instant is the same in every zone"}},
		{"prune takes an idle session that others depend on", part(func(p *parts) {
			rightly := p.old
			p.old = func(s sessions.Session, params sessions.PruneParams, _ bool) bool {
				return rightly(s, params, false)
			}
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
	}
}
