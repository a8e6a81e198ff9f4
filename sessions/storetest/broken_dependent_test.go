package storetest_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/sessile-go/sessile/sessions"
)

func brokenDependents() []broken {
	return []broken{
		{"the parent is forgotten", part(func(p *parts) {
			rightly := p.save
			p.save = func(r *toyRow) {
				rightly(r)
				r.ParentSessionID = ""
			}
		}), append([]string{"create/with a live parent", "end dependents/marks them and returns them"},
			everyDependentCase...)},
		{"any id may be a parent", mayBeParent(func(*sessions.Session, sessions.Session) bool {
			return true
		}), []string{
			"create/with a parent that is over", "create/with a parent of somebody else",
			"create/with an impersonation as parent",
		}},
		{"an ended session may be a parent", mayBeParent(func(parent *sessions.Session, s sessions.Session) bool {
			return parent != nil && parent.UserID == s.Actor && !parent.Impersonation &&
				s.CreatedAt.Before(parent.ExpiresAt)
		}), []string{"create/with a parent that is over"}},
		{"a session that expires at this instant may be a parent",
			mayBeParent(func(parent *sessions.Session, s sessions.Session) bool {
				return parent != nil && parent.UserID == s.Actor && !parent.Impersonation && parent.EndedAt.IsZero() &&
					!s.CreatedAt.After(parent.ExpiresAt)
			}), []string{"create/with a parent that is over"}},
		{"anybody's session may be a parent", mayBeParent(func(parent *sessions.Session, s sessions.Session) bool {
			return parent != nil && !parent.Impersonation && parent.Live(sessions.Moment{Now: s.CreatedAt})
		}), []string{"create/with a parent of somebody else"}},
		{"an actor has no case", mayBeParent(func(parent *sessions.Session, s sessions.Session) bool {
			return parent != nil && strings.EqualFold(parent.UserID, s.Actor) && !parent.Impersonation &&
				parent.Live(sessions.Moment{Now: s.CreatedAt})
		}), []string{"create/with a parent of somebody else"}},
		{"an impersonation may be a parent", mayBeParent(func(parent *sessions.Session, s sessions.Session) bool {
			return parent != nil && (parent.UserID == s.Actor || parent.Impersonation) &&
				parent.Live(sessions.Moment{Now: s.CreatedAt})
		}), []string{"create/with an impersonation as parent"}},
		{"an idle session may not be a parent", mayBeParent(func(parent *sessions.Session, s sessions.Session) bool {
			return parent != nil && parent.UserID == s.Actor && !parent.Impersonation &&
				parent.Live(sessions.Moment{Now: s.CreatedAt, IdleCutoff: s.CreatedAt.AddDate(0, 0, -7)})
		}), []string{"create/with a live parent"}},
		{
			"a conflict with a parent is not found",
			method(func(o *over, st sessions.Store) {
				o.create = func(ctx context.Context, s sessions.Session) error {
					err := st.Create(ctx, s)
					if s.ParentSessionID != "" && errors.Is(err, sessions.ErrConflict) {
						return sessions.ErrNotFound
					}
					return err
				}
			}),
			[]string{"create/a taken id with a parent"},
		},
		{"nobody looks at the parent", parent(func(*sessions.Session, sessions.Moment) bool { return true }),
			everyDependentCase},
		{"the parent need only exist",
			parent(func(parent *sessions.Session, _ sessions.Moment) bool { return parent != nil }),
			everyDependentCase},
		{"the parent may be missing", parent(func(parent *sessions.Session, m sessions.Moment) bool {
			return parent == nil || !isOver(*parent, m.Now)
		}), everyDependentCase},
		{"the parent must not be idle", parent(func(parent *sessions.Session, m sessions.Moment) bool {
			return parent != nil && parent.Live(m)
		}), everyDependentCase},
		{"the parent may have expired", parent(func(parent *sessions.Session, _ sessions.Moment) bool {
			return parent != nil && parent.EndedAt.IsZero()
		}), everyDependentCase},
		{"the expiry of the parent is off by one", parent(func(parent *sessions.Session, m sessions.Moment) bool {
			return parent != nil && !isOver(*parent, m.Now.Add(-time.Microsecond))
		}), everyDependentCase},
		{"the parent was live once", part(func(p *parts) {
			rightly, seen := p.parent, make(map[string]bool)
			p.parent = func(parent *sessions.Session, m sessions.Moment) bool {
				if parent != nil && rightly(parent, m) {
					seen[parent.ID] = true
				}
				return parent != nil && seen[parent.ID]
			}
		}), []string{"concurrent/no dependent is refreshed after the end of its parent"}},
		{
			"refresh looks at the row alone",
			untied(func(alone *toy, o *over) { o.refresh = alone.Refresh }),
			[]string{"dependents/refresh judges the parent too"},
		},
		{
			"a list looks at the rows alone",
			untied(func(alone *toy, o *over) { o.list = alone.List }),
			[]string{"dependents/list judges the parent too"},
		},
		{
			"end judges the parent too",
			method(func(o *over, st sessions.Store) {
				o.end = func(ctx context.Context, p sessions.EndParams) (sessions.Session, error) {
					if s, _ := st.Get(ctx, p.ID); ctx.Err() == nil && s.ParentSessionID != "" {
						if parent, err := st.Get(ctx, s.ParentSessionID); err != nil || isOver(parent, p.Now) {
							return sessions.Session{}, sessions.ErrNotFound
						}
					}
					return st.End(ctx, p)
				}
			}),
			[]string{"dependents/can be ended after their parent"},
		},
		{
			"end many judges the parents too, one after the other",
			part(func(p *parts) {
				p.many = func(t *toy, s sessions.Session, now time.Time) bool {
					parent := t.row(s.ParentSessionID)
					return s.ParentSessionID == "" || parent != nil && !isOver(*parent, now)
				}
			}),
			[]string{
				"dependents/can be ended after their parent",
				"end many/a parent and its dependent",
			},
		},
		{"end wants a session that is not idle", part(func(p *parts) {
			p.over = func(s sessions.Session, now time.Time) bool {
				return !s.Live(sessions.Moment{Now: now, IdleCutoff: now.AddDate(0, 0, -1)})
			}
		}), []string{
			"end/what has neither ended nor expired", "end many/what has neither ended nor expired",
			"dependents/end with an idle parent",
		}},
		{"end ends what has expired", part(func(p *parts) {
			p.over = func(s sessions.Session, _ time.Time) bool { return !s.EndedAt.IsZero() }
		}), []string{
			"end/what has neither ended nor expired", "end many/what has neither ended nor expired",
			"end/an instant is the same in every zone",
		}},
		{
			"redeem looks at the row alone",
			untied(func(alone *toy, o *over) { o.redeem = alone.Redeem }),
			[]string{"dependents/redeem judges the parent too"},
		},
		{
			"a use is a use of the parent as well",
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
			[]string{"dependents/their use is no use of the parent"},
		},
		{"end dependents looks at the first id", part(func(p *parts) {
			rightly := p.depends
			p.depends = func(s sessions.Session, params sessions.EndDependentsParams) bool {
				params.ParentSessionIDs = params.ParentSessionIDs[:min(1, len(params.ParentSessionIDs))]
				return rightly(s, params)
			}
		}), []string{"end dependents/of many parents"}},
		{"end dependents has room for so many ids", part(func(p *parts) {
			rightly := p.depends
			p.depends = func(s sessions.Session, params sessions.EndDependentsParams) bool {
				params.ParentSessionIDs = params.ParentSessionIDs[:min(1000, len(params.ParentSessionIDs))]
				return rightly(s, params)
			}
		}), []string{"end dependents/of many parents"}},
		{"end dependents without an id ends all", part(func(p *parts) {
			rightly := p.depends
			p.depends = func(s sessions.Session, params sessions.EndDependentsParams) bool {
				if len(params.ParentSessionIDs) == 0 {
					return s.ParentSessionID != "" && s.EndedAt.IsZero()
				}
				return rightly(s, params)
			}
		}), []string{"end dependents/of many parents"}},
		{"end dependents takes a session without a parent", part(func(p *parts) {
			p.depends = func(s sessions.Session, params sessions.EndDependentsParams) bool {
				return slices.Contains(params.ParentSessionIDs, s.ParentSessionID) &&
					s.Live(sessions.Moment{Now: params.Now})
			}
		}), []string{"end dependents/of many parents"}},
		{
			"end dependents returns one twice",
			method(func(o *over, st sessions.Store) {
				o.endDependents = func(ctx context.Context,
					p sessions.EndDependentsParams) ([]sessions.Session, error) {
					l, err := st.EndDependents(ctx, p)
					if len(l) > 1 {
						l = append(l, l[0])
					}
					return l, err
				}
			}),
			[]string{"end dependents/of many parents"},
		},
		{"end dependents marks the parent as well", part(func(p *parts) {
			rightly := p.depends
			p.depends = func(s sessions.Session, params sessions.EndDependentsParams) bool {
				return rightly(s, params) || slices.Contains(params.ParentSessionIDs, s.ID) && s.EndedAt.IsZero()
			}
		}), []string{"end dependents/whether the parent is live or not"}},
		{"end dependents marks again", part(func(p *parts) {
			p.depends = func(s sessions.Session, params sessions.EndDependentsParams) bool {
				return slices.Contains(params.ParentSessionIDs, s.ParentSessionID) && params.Now.Before(s.ExpiresAt)
			}
		}), []string{
			"end dependents/marks them and returns them", "end dependents/not those that are over by themselves",
		}},
		{"end dependents marks what has expired", part(func(p *parts) {
			p.depends = func(s sessions.Session, params sessions.EndDependentsParams) bool {
				return slices.Contains(params.ParentSessionIDs, s.ParentSessionID) && s.EndedAt.IsZero()
			}
		}), []string{
			"end dependents/not those that are over by themselves",
			"end dependents/an instant is the same in every zone",
		}},
		{"end dependents leaves what is idle", part(func(p *parts) {
			p.depends = func(s sessions.Session, params sessions.EndDependentsParams) bool {
				return slices.Contains(params.ParentSessionIDs, s.ParentSessionID) &&
					s.Live(sessions.Moment{Now: params.Now, IdleCutoff: params.Now.AddDate(0, 0, -20)})
			}
		}), []string{"end dependents/not those that are over by themselves"}},
		{
			"end dependents wants a live session",
			method(func(o *over, st sessions.Store) {
				o.endDependents = func(ctx context.Context,
					p sessions.EndDependentsParams) ([]sessions.Session, error) {
					p.ParentSessionIDs = slices.DeleteFunc(slices.Clone(p.ParentSessionIDs), func(id string) bool {
						s, _ := st.Get(ctx, id)
						return ctx.Err() == nil && !s.Live(sessions.Moment{Now: p.Now})
					})
					return st.EndDependents(ctx, p)
				}
			}),
			[]string{
				"end dependents/marks them and returns them",
				"end dependents/whether the parent is live or not",
			},
		},
		{"end dependents compares the hands of the clock", part(func(p *parts) {
			rightly := p.depends
			p.depends = func(s sessions.Session, params sessions.EndDependentsParams) bool {
				params.Now = wallClock(params.Now)
				return rightly(s, params)
			}
		}), []string{"end dependents/an instant is the same in every zone"}},
	}
}

func mayBeParent(is func(parent *sessions.Session, s sessions.Session) bool) func() sessions.Store {
	return part(func(p *parts) { p.mayBeParent = is })
}

func parent(is func(parent *sessions.Session, m sessions.Moment) bool) func() sessions.Store {
	return part(func(p *parts) { p.parent = is })
}

// untied lets one method see a session as if it had no parent.
func untied(breakIt func(alone *toy, o *over)) func() sessions.Store {
	return func() sessions.Store {
		right := newToy(good())
		p := good()
		p.parent = func(*sessions.Session, sessions.Moment) bool { return true }
		alone := &toy{parts: p, mu: right.mu, rows: right.rows}
		o := &over{Store: right}
		breakIt(alone, o)
		return o
	}
}

var everyDependentCase = []string{
	"dependents/refresh judges the parent too", "dependents/list judges the parent too",
	"dependents/redeem judges the parent too",
}
