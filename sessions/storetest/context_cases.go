package storetest

import (
	"context"
	"errors"
	"time"

	"github.com/sessile-go/sessile/sessions"
)

func contextCases() []testCase {
	var all []testCase
	for _, m := range []struct {
		name string
		// call makes the call and reports whether its other result is zero.
		call func(ctx context.Context, st sessions.Store) (zero bool, err error)
	}{
		{"create", func(ctx context.Context, st sessions.Store) (bool, error) {
			return true, st.Create(ctx, session(9, "alice"))
		}},
		{"create with a parent", func(ctx context.Context, st sessions.Store) (bool, error) {
			return true, st.Create(ctx, dependent(9, "bob", session(1, "alice")))
		}},
		{"get", func(ctx context.Context, st sessions.Store) (bool, error) {
			s, err := st.Get(ctx, id(1))
			return s == sessions.Session{}, err
		}},
		{"get missing", func(ctx context.Context, st sessions.Store) (bool, error) {
			s, err := st.Get(ctx, id(9))
			return s == sessions.Session{}, err
		}},
		{"refresh", func(ctx context.Context, st sessions.Store) (bool, error) {
			r, err := st.Refresh(ctx, sessions.RefreshParams{
				ID: id(1), Presented: 1, Rotation: unlimited, Moment: at(time.Minute),
			})
			return r == sessions.RefreshResult{}, err
		}},
		{"refresh with a spent token", func(ctx context.Context, st sessions.Store) (bool, error) {
			r, err := st.Refresh(ctx, sessions.RefreshParams{
				ID: id(2), Presented: 1, Rotation: strict, Moment: at(time.Minute),
			})
			return r == sessions.RefreshResult{}, err
		}},
		{"list", func(ctx context.Context, st sessions.Store) (bool, error) {
			l, err := st.List(ctx, sessions.ListParams{UserID: "alice", Moment: at(time.Minute)})
			return l == nil, err
		}},
		{"end", func(ctx context.Context, st sessions.Store) (bool, error) {
			s, err := st.End(ctx, sessions.EndParams{ID: id(1), Now: at(time.Minute).Now, Reason: sessions.EndRevoked})
			return s == sessions.Session{}, err
		}},
		{"end many", func(ctx context.Context, st sessions.Store) (bool, error) {
			l, err := st.EndMany(ctx, sessions.EndManyParams{
				UserID: "alice", Now: at(time.Minute).Now, Reason: sessions.EndRevoked,
			})
			return l == nil, err
		}},
		{"end dependents", func(ctx context.Context, st sessions.Store) (bool, error) {
			l, err := st.EndDependents(ctx, sessions.EndDependentsParams{
				ParentSessionIDs: []string{id(1)}, Now: start.Add(time.Minute), Reason: sessions.EndParentEnded,
			})
			return l == nil, err
		}},
		{"redeem", func(ctx context.Context, st sessions.Store) (bool, error) {
			s, err := st.Redeem(ctx, sessions.RedeemParams{ID: id(5), Hash: hash(5), Moment: at(time.Second)})
			return s == sessions.Session{}, err
		}},
		{"ended", func(ctx context.Context, st sessions.Store) (bool, error) {
			l, err := st.Ended(ctx, start)
			return l == nil, err
		}},
		{"prune", func(ctx context.Context, st sessions.Store) (bool, error) {
			n, err := st.Prune(ctx, sessions.PruneParams{EndedBefore: start.Add(day), Limit: 10})
			return n == 0, err
		}},
		{"now", func(ctx context.Context, st sessions.Store) (bool, error) {
			now, err := st.Now(ctx)
			return now.IsZero(), err
		}},
	} {
		all = append(all, testCase{
			name: "context/" + m.name,
			why:  "a method whose context is done returns the error of the context and changes nothing",
			run: func(k *kit) {
				one, two, over := session(1, "alice"), session(2, "alice"), session(3, "alice")
				tied, offered := dependent(4, "bob", one), handedOff(5, "bob")
				k.create(one, two, over, tied, offered)
				k.refresh(sessions.RefreshParams{ID: two.ID, Presented: 1, Rotation: strict, Moment: at(0)})
				k.end(over, at(0))

				canceled, cancel := context.WithCancel(k.ctx)
				cancel()
				late, cancelLate := context.WithDeadline(k.ctx, time.Unix(0, 0))
				defer cancelLate()
				for _, c := range []struct {
					ctx  context.Context
					want error
				}{{canceled, context.Canceled}, {late, context.DeadlineExceeded}} {
					zero, err := m.call(c.ctx, k.store)
					k.refused(m.name, err, c.want)
					if errors.Is(err, sessions.ErrNotFound) || errors.Is(err, sessions.ErrConflict) {
						k.errorf("%s: the error is also ErrNotFound or ErrConflict: %w", m.name, err)
					}
					k.zero(m.name, zero)
				}

				k.holds(one, two, tied, offered, ended(over, start, sessions.EndRevoked, "admin"))
				k.gone(session(9, "alice"))
				k.rotates("afterwards", one, 1)
				k.rotates("afterwards", two, 2)
			},
		})
	}
	return append(all, testCase{
		name: "context/is not kept",
		why:  "a context belongs to one call: the store keeps working after it is done",
		run: func(k *kit) {
			ctx, cancel := context.WithCancel(k.ctx)
			s := session(1, "alice")
			if err := k.store.Create(ctx, s); err != nil {
				k.errorf("Create: %w", err)
			}
			if _, err := k.store.List(ctx, sessions.ListParams{UserID: "alice", Moment: at(0)}); err != nil {
				k.errorf("List: %w", err)
			}
			cancel()
			k.holds(s)
			k.lists("afterwards", sessions.ListParams{UserID: "alice", Moment: at(0)}, s)
			k.end(s, at(0))
		},
	})
}
