package storetest_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/sessile-go/sessile/sessions"
)

func brokenActors() []broken {
	return []broken{
		{"the actor's session is forgotten", part(func(p *parts) {
			rightly := p.save
			p.save = func(r *toyRow) {
				rightly(r)
				r.ParentSessionID = ""
			}
		}), append([]string{"create/behind a live session of the actor", "end dependents/marks them and returns them"},
			everyActorCase...)},
		{"whatever is named may stand behind", stands(func(*sessions.Session, sessions.Session) bool {
			return true
		}), []string{
			"create/behind a session that is over", "create/behind somebody else's session",
			"create/behind an impersonation",
		}},
		{"an ended session may stand behind", stands(func(actor *sessions.Session, s sessions.Session) bool {
			return actor != nil && actor.UserID == s.Actor && !actor.Impersonation &&
				s.CreatedAt.Before(actor.ExpiresAt)
		}), []string{"create/behind a session that is over"}},
		{"a session may stand behind until its expiry and then",
			stands(func(actor *sessions.Session, s sessions.Session) bool {
				return actor != nil && actor.UserID == s.Actor && !actor.Impersonation && actor.EndedAt.IsZero() &&
					!s.CreatedAt.After(actor.ExpiresAt)
			}), []string{"create/behind a session that is over"}},
		{"anybody's session may stand behind", stands(func(actor *sessions.Session, s sessions.Session) bool {
			return actor != nil && !actor.Impersonation && actor.Live(sessions.Moment{Now: s.CreatedAt})
		}), []string{"create/behind somebody else's session"}},
		{"an actor has no case", stands(func(actor *sessions.Session, s sessions.Session) bool {
			return actor != nil && strings.EqualFold(actor.UserID, s.Actor) && !actor.Impersonation &&
				actor.Live(sessions.Moment{Now: s.CreatedAt})
		}), []string{"create/behind somebody else's session"}},
		{"an impersonation may stand behind", stands(func(actor *sessions.Session, s sessions.Session) bool {
			return actor != nil && (actor.UserID == s.Actor || actor.Impersonation) &&
				actor.Live(sessions.Moment{Now: s.CreatedAt})
		}), []string{"create/behind an impersonation"}},
		{"an idle session may not stand behind", stands(func(actor *sessions.Session, s sessions.Session) bool {
			return actor != nil && actor.UserID == s.Actor && !actor.Impersonation &&
				actor.Live(sessions.Moment{Now: s.CreatedAt, IdleCutoff: s.CreatedAt.AddDate(0, 0, -7)})
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
		{"nobody looks at the actor's session", actor(func(*sessions.Session, sessions.Moment) bool { return true }),
			everyActorCase},
		{"the actor's session need only be there",
			actor(func(actor *sessions.Session, _ sessions.Moment) bool { return actor != nil }), everyActorCase},
		{"the actor's session may be gone", actor(func(actor *sessions.Session, m sessions.Moment) bool {
			return actor == nil || !isOver(*actor, m.Now)
		}), everyActorCase},
		{"the actor's session must not be idle", actor(func(actor *sessions.Session, m sessions.Moment) bool {
			return actor != nil && actor.Live(m)
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
			[]string{
				"actor/what depends on a session that is over can be ended",
				"end many/an actor's session and one behind it",
			},
		},
		{"end wants a session that is not idle", part(func(p *parts) {
			p.over = func(s sessions.Session, now time.Time) bool {
				return !s.Live(sessions.Moment{Now: now, IdleCutoff: now.AddDate(0, 0, -1)})
			}
		}), []string{
			"end/what has neither ended nor expired", "end many/what has neither ended nor expired",
			"actor/an idle actor's session ends what depends on it",
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
				return slices.Contains(params.ParentSessionIDs, s.ParentSessionID) &&
					s.Live(sessions.Moment{Now: params.Now})
			}
		}), []string{"end dependents/of many actors' sessions"}},
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
		}), []string{
			"end dependents/not what is over by itself", "end dependents/an instant is the same in every zone",
		}},
		{"end dependents leaves what is idle", part(func(p *parts) {
			p.behind = func(s sessions.Session, params sessions.EndDependentsParams) bool {
				return slices.Contains(params.ParentSessionIDs, s.ParentSessionID) &&
					s.Live(sessions.Moment{Now: params.Now, IdleCutoff: params.Now.AddDate(0, 0, -20)})
			}
		}), []string{"end dependents/not what is over by itself"}},
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
				"end dependents/whether the actor's session is live or not",
			},
		},
		{"end dependents compares the hands of the clock", part(func(p *parts) {
			rightly := p.behind
			p.behind = func(s sessions.Session, params sessions.EndDependentsParams) bool {
				params.Now = wallClock(params.Now)
				return rightly(s, params)
			}
		}), []string{"end dependents/an instant is the same in every zone"}},
	}
}

func stands(is func(actor *sessions.Session, s sessions.Session) bool) func() sessions.Store {
	return part(func(p *parts) { p.stands = is })
}

func actor(is func(actor *sessions.Session, m sessions.Moment) bool) func() sessions.Store {
	return part(func(p *parts) { p.actor = is })
}

// untied lets one method see a session as if nothing stood behind it.
func untied(breakIt func(alone *toy, o *over)) func() sessions.Store {
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

var everyActorCase = []string{
	"actor/refresh judges the actor's session too", "actor/list judges the actor's session too",
	"actor/redeem judges the actor's session too",
}
