package storetest_test

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/sessile-go/sessile/sessions"
)

func brokenLists() []broken {
	return []broken{
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
			p.later = func(s sessions.Session, after sessions.ListPosition) bool {
				return s.CreatedAt.Before(after.CreatedAt)
			}
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
					return slices.DeleteFunc(l, func(s sessions.Session) bool {
						return s.Impersonation && !p.Impersonations
					}), err
				}
			}),
			[]string{"list/limit counts what is selected"},
		},
		{"impersonations are always shown", part(func(p *parts) {
			p.hidden = func(s sessions.Session, params sessions.ListParams) bool {
				return params.OnlyID != "" && s.ID != params.OnlyID
			}
		}), []string{"list/impersonations only if Impersonations is set"}},
		{"an impersonation is shown by id", part(func(p *parts) {
			p.hidden = func(s sessions.Session, params sessions.ListParams) bool {
				if params.OnlyID != "" {
					return s.ID != params.OnlyID
				}
				return s.Impersonation && !params.Impersonations
			}
		}), []string{"list/impersonations only if Impersonations is set"}},
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
	}
}
