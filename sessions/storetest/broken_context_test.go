package storetest_test

import (
	"cmp"
	"context"
	"errors"
	"sync"

	"github.com/sessile-go/sessile/sessions"
)

func brokenContexts() []broken {
	return []broken{
		{
			"the context is ignored",
			part(func(p *parts) { p.ctx = func(context.Context) error { return nil } }),
			[]string{
				"context/create", "context/get", "context/get missing", "context/refresh",
				"context/refresh with a spent token",
				"context/list", "context/end", "context/end many", "context/prune", "context/now",
				"context/create with a parent", "context/end dependents", "context/redeem", "context/ended",
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
	}
}
