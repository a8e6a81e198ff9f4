package storetest_test

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/sessile-go/sessile/sessions"
)

func brokenEnds() []broken {
	return []broken{
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
			[]string{"end/no impersonation if NoImpersonation is set"},
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
						_, _ = st.Refresh(ctx, sessions.RefreshParams{
							ID: p.ID, Presented: 2, Rotation: sessions.StrictRotation(), Moment: sessions.Moment{
								Now: p.Now,
							},
						})
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
					page, err := st.List(ctx, sessions.ListParams{
						UserID: p.UserID, Moment: sessions.Moment{Now: p.Now}, Impersonations: true, Limit: 200,
					})
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
	}
}
