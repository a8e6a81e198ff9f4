package storetest_test

import (
	"context"
	"errors"
	"time"

	"github.com/sessile-go/sessile/sessions"
)

func brokenRefreshes() []broken {
	return []broken{
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

		// Liveness.
		{"expiry is off by one", live(func(s sessions.Session, m sessions.Moment) bool {
			m.Now = m.Now.Add(-time.Microsecond)
			return s.Live(m)
		}), []string{
			"refresh/a session that is not live is not found", "list/only live sessions",
			"end/what has neither ended nor expired", "end many/what has neither ended nor expired",
		}},
		{"expiry is early by one", live(func(s sessions.Session, m sessions.Moment) bool {
			m.Now = m.Now.Add(time.Microsecond)
			return s.Live(m)
		}), []string{
			"refresh/a session that is not live is not found", "list/only live sessions",
			"end/what has neither ended nor expired", "end many/what has neither ended nor expired",
		}},
		{"idle is off by one", live(func(s sessions.Session, m sessions.Moment) bool {
			if !m.IdleCutoff.IsZero() {
				m.IdleCutoff = m.IdleCutoff.Add(-time.Microsecond)
			}
			return s.Live(m)
		}), []string{"refresh/a session that is not live is not found", "list/only live sessions"}},
		{"idle sessions live", live(func(s sessions.Session, m sessions.Moment) bool {
			m.IdleCutoff = time.Time{}
			return s.Live(m)
		}), []string{"refresh/a session that is not live is not found", "list/only live sessions"}},
		{"expired sessions live", live(func(s sessions.Session, m sessions.Moment) bool {
			return s.EndedAt.IsZero() && s.LastUsedAt.After(m.IdleCutoff)
		}), []string{"refresh/a session that is not live is not found", "list/only live sessions"}},
		{"no idle timeout is a long one", live(func(s sessions.Session, m sessions.Moment) bool {
			if m.IdleCutoff.IsZero() {
				m.IdleCutoff = m.Now.AddDate(-1, 0, 0)
			}
			return s.Live(m)
		}), []string{"list/no idle cutoff is no idle timeout"}},
		{"times are compared as local text", live(func(s sessions.Session, m sessions.Moment) bool {
			text := func(t time.Time) string { return t.Format("2006-01-02 15:04:05.000000") }
			return s.EndedAt.IsZero() && text(m.Now) < text(s.ExpiresAt) &&
				(m.IdleCutoff.IsZero() || text(s.LastUsedAt) > text(m.IdleCutoff))
		}), []string{
			"refresh/an instant is the same in every zone", "list/an instant is the same in every zone",
			"end/an instant is the same in every zone",
		}},
		{"a session lives until the moment of its end", live(func(s sessions.Session, m sessions.Moment) bool {
			if m.Now.Before(s.EndedAt) {
				s.EndedAt = time.Time{}
			}
			return s.Live(m)
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
		{"the window includes its end",
			table(func(r sessions.Rotation, s state, presented int64, now time.Time) (state, sessions.Outcome) {
				if r.Overlap > 0 {
					r.Overlap += time.Microsecond
				}
				return r.Next(s, presented, now)
			}), []string{"refresh/the window ends exactly at its length", "refresh/a long walk agrees with the table"}},
		{"the window never slides",
			table(func(r sessions.Rotation, s state, presented int64, now time.Time) (state, sessions.Outcome) {
				next, o := r.Next(s, presented, now)
				if o == sessions.OutcomeOverlap {
					next.AnsweredAt = s.AnsweredAt
				}
				return next, o
			}), []string{
				"refresh/the window slides if recoveries are unlimited", "refresh/a long walk agrees with the table",
			}},
		{"the window always slides",
			table(func(r sessions.Rotation, s state, presented int64, now time.Time) (state, sessions.Outcome) {
				next, o := r.Next(s, presented, now)
				if o == sessions.OutcomeOverlap && now.After(next.AnsweredAt) {
					next.AnsweredAt = now
				}
				return next, o
			}), []string{"refresh/the window stays fixed if recoveries are limited"}},
		{"the answer moves back",
			table(func(r sessions.Rotation, s state, presented int64, now time.Time) (state, sessions.Outcome) {
				next, o := r.Next(s, presented, now)
				if o == sessions.OutcomeOverlap && r.MaxRecoveries == 0 {
					next.AnsweredAt = now
				}
				return next, o
			}), []string{"refresh/an answer in the future is inside the window"}},
		{"no window is one of a nanosecond",
			table(func(r sessions.Rotation, s state, presented int64, now time.Time) (state, sessions.Outcome) {
				if r.Overlap == sessions.NoOverlap {
					r.Overlap = time.Nanosecond
				}
				return r.Next(s, presented, now)
			}), []string{
				"refresh/strict rotation takes a token once", "refresh/without a window a future answer is no overlap",
			}},
		{"a rotation keeps the parent",
			table(func(r sessions.Rotation, s state, presented int64, now time.Time) (state, sessions.Outcome) {
				next, o := r.Next(s, presented, now)
				if o == sessions.OutcomeRotated && s.Parent != 0 {
					next.Parent = s.Parent
				}
				return next, o
			}), []string{"refresh/the current token rotates", "refresh/a long walk agrees with the table"}},
		{"an overlap rotates again",
			table(func(r sessions.Rotation, s state, presented int64, now time.Time) (state, sessions.Outcome) {
				next, o := r.Next(s, presented, now)
				if o == sessions.OutcomeOverlap {
					next.Current++
				}
				return next, o
			}), []string{
				"refresh/the parent inside the window gets the same successor", "concurrent/one token rotates once",
			}},
		{"recoveries are not counted",
			table(func(r sessions.Rotation, s state, presented int64, now time.Time) (state, sessions.Outcome) {
				next, o := r.Next(s, presented, now)
				next.Recoveries = 0
				return next, o
			}), []string{
				"refresh/a lost reply is recovered", "refresh/one recovery more than allowed ends the session",
			}},
		{"recoveries are never forgiven",
			table(func(r sessions.Rotation, s state, presented int64, now time.Time) (state, sessions.Outcome) {
				next, o := r.Next(s, presented, now)
				next.Recoveries = max(next.Recoveries, s.Recoveries)
				return next, o
			}), []string{
				"refresh/a rotation forgives recoveries", "refresh/a token ahead of the row is taken as current",
			}},
		{"one recovery too many is allowed",
			table(func(r sessions.Rotation, s state, presented int64, now time.Time) (state, sessions.Outcome) {
				if r.MaxRecoveries > 0 {
					r.MaxRecoveries++
				}
				return r.Next(s, presented, now)
			}), []string{"refresh/one recovery more than allowed ends the session"}},
		{"no recovery is one",
			table(func(r sessions.Rotation, s state, presented int64, now time.Time) (state, sessions.Outcome) {
				if r.MaxRecoveries == sessions.NoRecovery {
					r.MaxRecoveries = 1
				}
				return r.Next(s, presented, now)
			}), []string{
				"refresh/no recovery makes a late parent a replay", "refresh/strict rotation takes a token once",
			}},
		{"any number of recoveries is fifty",
			table(func(r sessions.Rotation, s state, presented int64, now time.Time) (state, sessions.Outcome) {
				if r.MaxRecoveries == 0 {
					r.MaxRecoveries = 50
				}
				return r.Next(s, presented, now)
			}), []string{"refresh/a client that keeps its first token lives on"}},
		{"a displaced token still works",
			table(func(r sessions.Rotation, s state, presented int64, now time.Time) (state, sessions.Outcome) {
				if presented > s.Parent && presented < s.Current {
					presented = s.Current
				}
				return r.Next(s, presented, now)
			}), []string{"refresh/a displaced token is a replay", "refresh/a long walk agrees with the table"}},
		{"a spent token counts as the parent",
			table(func(r sessions.Rotation, s state, presented int64, now time.Time) (state, sessions.Outcome) {
				return r.Next(s, max(presented, s.Parent), now)
			}), []string{"refresh/a spent token is a replay", "refresh/a refusal ends the session for good"}},
		{"a token ahead is a replay",
			table(func(r sessions.Rotation, s state, presented int64, now time.Time) (state, sessions.Outcome) {
				if presented > s.Current {
					return s, sessions.OutcomeReplay
				}
				return r.Next(s, presented, now)
			}), []string{
				"refresh/a token ahead of the row is taken as current",
				"refresh/a token ahead is taken in strict rotation too",
			}},
		{"counters are floats",
			table(func(r sessions.Rotation, s state, presented int64, now time.Time) (state, sessions.Outcome) {
				next, o := r.Next(s, presented, now)
				next.Current, next.Parent = int64(float64(next.Current)), int64(float64(next.Parent))
				return next, o
			}), []string{"refresh/large counters stay exact"}},
		{"counters have 32 bits",
			table(func(r sessions.Rotation, s state, presented int64, now time.Time) (state, sessions.Outcome) {
				next, o := r.Next(s, presented, now)
				next.Current, next.Parent = int64(int32(next.Current)), int64(int32(next.Parent))
				return next, o
			}), []string{"refresh/large counters stay exact"}},
		{
			"a replay does not end the session",
			apply(func(r *toyRow, was sessions.Session, _ sessions.RefreshParams, o sessions.Outcome) {
				if o.EndReason() != "" {
					r.Session = was
				}
			}),
			[]string{
				"refresh/a spent token is a replay", "refresh/a refusal ends the session for good",
				"concurrent/one replay ends the session once",
			},
		},
		{
			"a recovery limit is called a replay",
			apply(func(r *toyRow, _ sessions.Session, _ sessions.RefreshParams, o sessions.Outcome) {
				if o.EndReason() != "" {
					r.EndReason = sessions.EndReplay
				}
			}),
			[]string{"refresh/one recovery more than allowed ends the session"},
		},
		{
			"last use moves back",
			apply(func(r *toyRow, _ sessions.Session, p sessions.RefreshParams, o sessions.Outcome) {
				if o.EndReason() == "" {
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
				if o.EndReason() == "" {
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
				if o.EndReason() != "" {
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
					if r.Outcome.EndReason() != "" {
						_, err = st.EndMany(ctx, sessions.EndManyParams{
							UserID: r.Session.UserID, Now: p.Moment.Now, Reason: sessions.EndReplay,
						})
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
					if s, _ := st.Get(ctx, p.ID); p.Presented < 2 && s.EndedAt.IsZero() &&
						!p.Moment.Now.Before(s.ExpiresAt) {
						p.Moment.Now = s.CreatedAt
					}
					return st.Refresh(ctx, p)
				}
			}),
			[]string{"refresh/a session that is not live is not ended by a replay"},
		},
	}
}

func table(next nextFunc) func() sessions.Store {
	return part(func(p *parts) { p.next = next })
}

func live(is func(s sessions.Session, m sessions.Moment) bool) func() sessions.Store {
	return part(func(p *parts) {
		p.live = is
		p.over = func(s sessions.Session, now time.Time) bool { return !is(s, sessions.Moment{Now: now}) }
	})
}

func apply(more func(r *toyRow, was sessions.Session, p sessions.RefreshParams,
	o sessions.Outcome)) func() sessions.Store {
	return part(func(p *parts) {
		rightly := p.apply
		p.apply = func(r *toyRow, params sessions.RefreshParams, o sessions.Outcome) {
			was := r.Session
			rightly(r, params, o)
			more(r, was, params, o)
		}
	})
}
