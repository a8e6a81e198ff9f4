package storetest_test

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/sessile-go/sessile/sessions"
)

func brokenFeeds() []broken {
	return []broken{
		{"since is left out", recent(func(at, since time.Time) bool { return at.After(since) }), []string{
			"ended/since counts", "ended/with the parent", "ended/an instant is the same in every zone",
			"concurrent/an end is seen once it was answered",
		}},
		{"since is a microsecond early", recent(func(at, since time.Time) bool {
			return !at.Before(since.Add(-time.Microsecond))
		}), []string{"ended/since counts"}},
		{"since is cut to seconds", recent(func(at, since time.Time) bool {
			return !at.Before(since.Truncate(time.Second))
		}), []string{"ended/since counts"}},
		{"since is ignored", recent(func(time.Time, time.Time) bool { return true }), []string{
			"ended/since counts", "ended/with the parent",
		}},
		{"since is compared by the hands of the clock",
			recent(func(at, since time.Time) bool { return !at.Before(wallClock(since)) }), []string{
				"ended/an instant is the same in every zone",
			}},
		{"no since is no answer", recent(func(at, since time.Time) bool {
			return !since.IsZero() && !at.Before(since)
		}), []string{
			"ended/no since is from the beginning", "ended/not those that expired or fell idle",
		}},
		{"no since is the last year", recent(func(at, since time.Time) bool {
			return !at.Before(since) && (!since.IsZero() || at.Year() > 2000)
		}), []string{"ended/no since is from the beginning"}},
		{
			"nothing ended is an error",
			method(func(o *over, st sessions.Store) {
				o.ended = func(ctx context.Context, since time.Time) ([]sessions.EndedSession, error) {
					l, err := st.Ended(ctx, since)
					if err == nil && len(l) == 0 {
						err = sessions.ErrNotFound
					}
					return l, err
				}
			}),
			[]string{"ended/none is an empty list", "ended/since counts"},
		},
		{"what has expired has ended", when(func(s sessions.Session, _ *sessions.Session, at time.Time) time.Time {
			if at.IsZero() && s.ExpiresAt.Before(s.CreatedAt.AddDate(0, 0, 1)) {
				return s.ExpiresAt
			}
			return at
		}), []string{"ended/not those that expired or fell idle"}},
		{"what is idle has ended", when(func(s sessions.Session, _ *sessions.Session, at time.Time) time.Time {
			if at.IsZero() && s.LastUsedAt.Before(time.Date(2026, time.March, 10, 0, 0, 0, 0, time.UTC)) {
				return s.LastUsedAt
			}
			return at
		}), []string{"ended/not those that expired or fell idle"}},
		{"dependents of an expired session have ended",
			when(func(_ sessions.Session, parent *sessions.Session, at time.Time) time.Time {
				if at.IsZero() && parent != nil && parent.ExpiresAt.Before(parent.CreatedAt.AddDate(0, 0, 1)) {
					return parent.ExpiresAt
				}
				return at
			}), []string{"ended/not those that expired or fell idle"}},
		{"what was revoked is not seen", unseen(sessions.EndRevoked), []string{
			"ended/for every reason", "ended/since counts",
		}},
		{"what was replayed is not seen", unseen(sessions.EndReplay), []string{"ended/for every reason"}},
		{"what recovered too often is not seen", unseen(sessions.EndRecoveryLimit), []string{
			"ended/for every reason",
		}},
		{"what was redeemed twice is not seen", unseen(sessions.EndHandoffReplay), []string{
			"ended/for every reason",
		}},
		{"what the policy has ended is not seen", unseen(sessions.EndNotAllowed), []string{
			"ended/for every reason",
		}},
		{"impersonations are not seen", when(func(s sessions.Session, _ *sessions.Session, at time.Time) time.Time {
			if s.Impersonation {
				return time.Time{}
			}
			return at
		}), []string{"ended/for every reason", "ended/with the parent"}},
		{
			"marked and not marked look the same",
			feed(func(_ context.Context, _ sessions.Store, list []sessions.EndedSession) []sessions.EndedSession {
				for i := range list {
					list[i].ParentSessionID = ""
				}
				return list
			}),
			[]string{"ended/with the parent"},
		},
		{
			"what is marked counts as not marked",
			feed(func(ctx context.Context, st sessions.Store, list []sessions.EndedSession) []sessions.EndedSession {
				for i, e := range list {
					if s, err := st.Get(ctx, e.ID); err == nil {
						list[i].ParentSessionID = s.ParentSessionID
					}
				}
				return list
			}),
			[]string{"ended/with the parent", "ended/for every reason"},
		},
		{"the end of the parent is not seen",
			when(func(s sessions.Session, _ *sessions.Session, _ time.Time) time.Time {
				return s.EndedAt
			}), []string{
				"ended/with the parent",
			}},
		{"the end of the parent is every end",
			when(func(_ sessions.Session, parent *sessions.Session, at time.Time) time.Time {
				if parent != nil && !parent.EndedAt.IsZero() {
					return parent.EndedAt
				}
				return at
			}), []string{"ended/with the parent", "ended/by itself before the parent"}},
		{"dependents of an ended session end when they expire",
			when(func(s sessions.Session, _ *sessions.Session, at time.Time) time.Time {
				if s.EndedAt.IsZero() && !at.IsZero() {
					return s.ExpiresAt
				}
				return at
			}), []string{"ended/with the parent"}},
		{"what has expired does not end with the parent",
			when(func(s sessions.Session, _ *sessions.Session, at time.Time) time.Time {
				if s.EndedAt.IsZero() && s.ExpiresAt.Before(at) {
					return time.Time{}
				}
				return at
			}), []string{"ended/with the parent"}},
		{
			"what ended by itself is there twice",
			feed(func(ctx context.Context, st sessions.Store, list []sessions.EndedSession) []sessions.EndedSession {
				for _, e := range slices.Clone(list) {
					s, _ := st.Get(ctx, e.ID)
					if parent, err := st.Get(ctx, s.ParentSessionID); err == nil && !parent.EndedAt.IsZero() &&
						!s.EndedAt.IsZero() {
						list = append(list, sessions.EndedSession{ID: s.ID, EndedAt: parent.EndedAt})
					}
				}
				return list
			}),
			[]string{"ended/by itself before the parent"},
		},
		{
			"only the first hundred are seen",
			feed(func(_ context.Context, _ sessions.Store, list []sessions.EndedSession) []sessions.EndedSession {
				return list[:min(len(list), 100)]
			}),
			[]string{"ended/hundreds at once"},
		},
		{
			"ends come back in a zone of its own",
			feed(func(_ context.Context, _ sessions.Store, list []sessions.EndedSession) []sessions.EndedSession {
				for i := range list {
					list[i].EndedAt = list[i].EndedAt.In(time.FixedZone("office", 3600))
				}
				return list
			}),
			[]string{"ended/an instant is the same in every zone"},
		},
		{
			"ends come back in milliseconds",
			feed(func(_ context.Context, _ sessions.Store, list []sessions.EndedSession) []sessions.EndedSession {
				for i := range list {
					list[i].EndedAt = list[i].EndedAt.Truncate(time.Millisecond)
				}
				return list
			}),
			[]string{"ended/an instant is the same in every zone", "ended/since counts"},
		},
		{
			"ended answers what the call before has found",
			method(func(o *over, st sessions.Store) {
				var mu sync.Mutex
				kept := make(map[time.Time][]sessions.EndedSession)
				o.ended = func(ctx context.Context, since time.Time) ([]sessions.EndedSession, error) {
					mu.Lock()
					defer mu.Unlock()
					list, err := st.Ended(ctx, since)
					if err != nil {
						return nil, err
					}
					last := kept[since]
					kept[since] = list
					return last, nil
				}
			}),
			[]string{"ended/what was committed before", "concurrent/an end is seen once it was answered"},
		},
		{
			"ends are kept in a log that nobody prunes",
			method(func(o *over, st sessions.Store) {
				seen := make(map[string]time.Time)
				o.prune = func(ctx context.Context, p sessions.PruneParams) (int, error) {
					list, err := st.Ended(ctx, time.Time{})
					if err != nil {
						return 0, err
					}
					for _, e := range list {
						seen[e.ID] = e.EndedAt
					}
					return st.Prune(ctx, p)
				}
				o.ended = func(ctx context.Context, since time.Time) ([]sessions.EndedSession, error) {
					list, err := st.Ended(ctx, since)
					if err != nil {
						return nil, err
					}
					for id, at := range seen {
						if !slices.Contains(list, sessions.EndedSession{ID: id, EndedAt: at}) {
							list = append(list, sessions.EndedSession{ID: id, EndedAt: at})
						}
					}
					return list, nil
				}
			}),
			[]string{"ended/pruned ones are gone"},
		},
	}
}

func recent(is func(at, since time.Time) bool) func() sessions.Store {
	return part(func(p *parts) { p.recent = is })
}

func when(more func(s sessions.Session, parent *sessions.Session, at time.Time) time.Time) func() sessions.Store {
	return part(func(p *parts) {
		rightly := p.ended
		p.ended = func(s sessions.Session, parent *sessions.Session) time.Time {
			return more(s, parent, rightly(s, parent))
		}
	})
}

// feed returns a good store of which change alters what Ended returns.
func feed(change func(ctx context.Context, st sessions.Store,
	list []sessions.EndedSession) []sessions.EndedSession) func() sessions.Store {
	return method(func(o *over, st sessions.Store) {
		o.ended = func(ctx context.Context, since time.Time) ([]sessions.EndedSession, error) {
			list, err := st.Ended(ctx, since)
			if err != nil {
				return nil, err
			}
			return change(ctx, st, list), nil
		}
	})
}

func unseen(reason sessions.EndReason) func() sessions.Store {
	return when(func(s sessions.Session, _ *sessions.Session, at time.Time) time.Time {
		if s.EndReason == reason {
			return time.Time{}
		}
		return at
	})
}
