package storetest_test

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/sessile-go/sessile/sessions"
)

func brokenHandoffs() []broken {
	return []broken{
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
		{"a second time that is late is only refused",
			redeem(func(r *toyRow, was toyRow, p sessions.RedeemParams, err error) error {
				if err == nil && !p.Moment.Now.Before(r.HandoffExpiresAt) {
					*r = was
					return sessions.ErrNotFound
				}
				return err
			}), []string{"redeem/a second time ends the session"}},
		{"a second time is called a replay",
			redeem(func(r *toyRow, _ toyRow, _ sessions.RedeemParams, err error) error {
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
					if err == nil && s.HandoffHash == p.Hash && !p.Moment.Now.Before(s.HandoffExpiresAt) &&
						!s.LastUsedAt.After(s.CreatedAt) {
						return st.End(ctx, sessions.EndParams{
							ID: p.ID, Now: p.Moment.Now, Reason: sessions.EndHandoffReplay,
						})
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
						if s, getErr := st.Get(ctx, p.ID); getErr == nil && !s.EndedAt.IsZero() &&
							s.HandoffHash == p.Hash {
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
	}
}

func redeem(more func(r *toyRow, was toyRow, p sessions.RedeemParams, err error) error) func() sessions.Store {
	return part(func(p *parts) {
		rightly := p.redeem
		p.redeem = func(r *toyRow, params sessions.RedeemParams) error {
			was := *r
			return more(r, was, params, rightly(r, params))
		}
	})
}
