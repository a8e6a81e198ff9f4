package storetest_test

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/sessile-go/sessile/sessions"
)

func brokenRows() []broken {
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
			[]string{
				"create/a taken id is a conflict", "create/an ended session keeps its id", "concurrent/one create wins",
			},
		},
		{
			"a conflict is the driver's own error",
			part(func(p *parts) { p.taken = errors.New("UNIQUE constraint failed") }),
			[]string{"create/a taken id is a conflict"},
		},

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
	}
}
