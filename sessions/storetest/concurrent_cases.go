package storetest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sessile-go/sessile/sessions"
)

const (
	// callers is how many goroutines call at once.
	callers = 40
	// rounds is how often a case tries, since a store that is not atomic may pass once.
	rounds = 6
)

// together runs f in n goroutines that start at the same time, and waits for them.
func together(n int, f func(i int)) {
	var ready, done sync.WaitGroup
	gate := make(chan struct{})
	ready.Add(n)
	for i := range n {
		done.Go(func() {
			ready.Done()
			<-gate
			f(i)
		})
	}
	ready.Wait()
	close(gate)
	done.Wait()
}

func concurrentCases() []testCase {
	return []testCase{
		{
			name: "concurrent/one token rotates once",
			why:  "of many callers with one token exactly one sees it rotate; the rest get the same successor",
			run: func(k *kit) {
				for round := range rounds {
					s := session(round, "alice")
					k.create(s)
					for _, presented := range []int64{1, 2} {
						results, errs := make([]sessions.RefreshResult, callers), make([]error, callers)
						together(callers, func(i int) {
							results[i], errs[i] = k.store.Refresh(k.ctx, sessions.RefreshParams{
								ID: s.ID, Presented: presented, Rotation: unlimited,
								Moment: at(time.Duration(i%3) * micro),
							})
						})
						outcomes := make(map[sessions.Outcome]int)
						for i, r := range results {
							if errs[i] != nil {
								k.errorf("Refresh: %w", errs[i])
								continue
							}
							outcomes[r.Outcome]++
							if r.State.Current != presented+1 || r.State.Parent != presented {
								k.errorf("round %d: caller %d got successor %d of %d, want %d", round, i,
									r.State.Current, r.State.Parent, presented+1)
							}
						}
						if outcomes[rotated] != 1 || outcomes[overlapped] != callers-1 {
							k.errorf("round %d: rotated %d times, overlapped %d times, want 1 and %d", round,
								outcomes[rotated], outcomes[overlapped], callers-1)
						}
					}
				}
			},
		},
		{
			name: "concurrent/strict rotation takes one of many",
			why:  "without a window exactly one caller rotates, one sees the replay, and the rest find no live session",
			run: func(k *kit) {
				for round := range rounds {
					s := session(round, "alice")
					k.create(s)
					outcomes := k.presentTogether(s.ID, 1, strict)
					if outcomes[rotated] != 1 || outcomes[replay] != 1 || outcomes[0] != callers-2 {
						k.errorf("round %d: rotated %d, replayed %d, not found %d times, want 1, 1 and %d",
							round, outcomes[rotated], outcomes[replay], outcomes[0], callers-2)
					}
					k.holds(ended(s, start, sessions.EndReplay, ""))
				}
			},
		},
		{
			name: "concurrent/one replay ends the session once",
			why:  "of many callers with a spent token exactly one sees the session end",
			run: func(k *kit) {
				for round := range rounds {
					s := session(round, "alice")
					k.create(s)
					for _, presented := range []int64{1, 2} {
						k.refresh(sessions.RefreshParams{
							ID: s.ID, Presented: presented, Rotation: unlimited, Moment: at(0),
						})
					}
					outcomes := k.presentTogether(s.ID, 1, unlimited)
					if outcomes[replay] != 1 || outcomes[0] != callers-1 {
						k.errorf("round %d: replayed %d, not found %d times, want 1 and %d", round, outcomes[replay],
							outcomes[0], callers-1)
					}
					k.holds(ended(s, start, sessions.EndReplay, ""))
				}
			},
		},
		{
			name: "concurrent/a late parent is recovered once",
			why:  "the first recovery opens a window, in which all other callers get the same successor",
			run: func(k *kit) {
				for round := range rounds {
					s := created(session(round, "alice"), -time.Hour)
					k.create(s)
					k.refresh(sessions.RefreshParams{ID: s.ID, Presented: 1, Rotation: limited, Moment: at(-time.Hour)})
					outcomes := k.presentTogether(s.ID, 1, limited)
					if outcomes[recovered] != 1 || outcomes[overlapped] != callers-1 {
						k.errorf("round %d: recovered %d, overlapped %d times, want 1 and %d", round,
							outcomes[recovered], outcomes[overlapped], callers-1)
					}
				}
			},
		},
		{
			name: "concurrent/calls for different sessions do not fail",
			why:  "every method is one atomic step: calls for different sessions neither fail nor mix",
			run: func(k *kit) {
				var mu sync.Mutex
				var failed []error
				together(callers, func(i int) {
					s := session(i, fmt.Sprintf("user %d", i%4))
					err := k.store.Create(k.ctx, s)
					for n := int64(1); n <= 5 && err == nil; n++ {
						var r sessions.RefreshResult
						r, err = k.store.Refresh(k.ctx, sessions.RefreshParams{
							ID: s.ID, Presented: n, Rotation: strict, Moment: at(time.Duration(n) * time.Second),
						})
						if err == nil && (r.Session.ID != s.ID || r.Outcome != rotated || r.State.Current != n+1) {
							err = fmt.Errorf("Refresh(%d) of %s: got outcome %d and current %d of %s", n, s.ID,
								r.Outcome, r.State.Current, r.Session.ID)
						}
					}
					if err != nil {
						mu.Lock()
						defer mu.Unlock()
						failed = append(failed, err)
					}
				})
				k.failed = append(k.failed, failed...)
				for i := range callers {
					k.holds(after(session(i, fmt.Sprintf("user %d", i%4)), rotated, start.Add(5*time.Second),
						sessions.Client{}))
				}
			},
		},
		{
			name: "concurrent/one create wins",
			why:  "of many creators of one id one succeeds, the others see ErrConflict, and the row is the winner's",
			run: func(k *kit) {
				for round := range rounds {
					errs := make([]error, callers)
					together(callers, func(i int) {
						errs[i] = k.store.Create(k.ctx, session(round, fmt.Sprintf("user %d", i)))
					})
					won := 0
					for i, err := range errs {
						if err != nil {
							k.refused("Create", err, sessions.ErrConflict)
							continue
						}
						won++
						k.holds(session(round, fmt.Sprintf("user %d", i)))
					}
					if won != 1 {
						k.errorf("round %d: %d creators succeeded, want 1", round, won)
					}
				}
			},
		},
		{
			name: "concurrent/one end wins",
			why:  "of many enders of one session one succeeds, and the row has its reason",
			run: func(k *kit) {
				for round := range rounds {
					s := session(round, "alice")
					k.create(s)
					errs := make([]error, callers)
					together(callers, func(i int) {
						_, errs[i] = k.store.End(k.ctx, sessions.EndParams{
							ID: s.ID, Now: start.Add(time.Duration(i) * micro), Reason: sessions.EndRevoked,
							By: fmt.Sprintf("ender %d", i),
						})
					})
					won := 0
					for i, err := range errs {
						if err != nil {
							k.refused("End", err, sessions.ErrNotFound)
							continue
						}
						won++
						k.holds(
							ended(s, start.Add(time.Duration(i)*micro), sessions.EndRevoked,
								fmt.Sprintf("ender %d", i)),
						)
					}
					if won != 1 {
						k.errorf("round %d: %d enders succeeded, want 1", round, won)
					}
				}
			},
		},
		{
			name: "concurrent/each session is ended by one EndMany",
			why:  "EndMany is one step: of several at once exactly one returns each session, and none fails",
			run: func(k *kit) {
				const enders = 8
				for round := range rounds {
					user := fmt.Sprintf("user %d", round)
					var all []sessions.Session
					for i := range 10 {
						all = append(all, session(100*round+i, user))
					}
					k.create(all...)
					lists, errs := make([][]sessions.Session, enders), make([]error, enders)
					together(enders, func(i int) {
						lists[i], errs[i] = k.store.EndMany(k.ctx, sessions.EndManyParams{
							UserID: user, Now: start, Reason: sessions.EndRevoked, By: fmt.Sprintf("ender %d", i),
						})
					})
					if err := errors.Join(errs...); err != nil {
						k.errorf("EndMany: %w", err)
					}
					k.eachOnce(round, all, lists)
				}
			},
		},
		{
			name: "concurrent/no refresh succeeds after an end",
			why:  "once End has returned, the session is over for everybody",
			run: func(k *kit) {
				for round := range rounds {
					k.refreshAgainst(session(round, "alice"), func(s sessions.Session) error {
						_, err := k.store.End(k.ctx, sessions.EndParams{
							ID: s.ID, Now: at(0).Now, Reason: sessions.EndRevoked, By: "admin",
						})
						return err
					})
				}
			},
		},
		{
			name: "concurrent/no refresh succeeds after ending many",
			why:  "once EndMany has returned, the sessions are over for everybody",
			run: func(k *kit) {
				for round := range rounds {
					s := session(round, fmt.Sprintf("user %d", round))
					k.refreshAgainst(s, func(s sessions.Session) error {
						list, err := k.store.EndMany(k.ctx, sessions.EndManyParams{
							UserID: s.UserID, Now: at(0).Now, Reason: sessions.EndRevoked, By: "admin",
						})
						if err == nil && len(list) != 1 {
							return fmt.Errorf("EndMany returned %d sessions, want 1", len(list))
						}
						return err
					})
				}
			},
		},
		{
			name: "concurrent/no dependent is refreshed after the end of its parent",
			why:  "once End has returned, the dependents of the session are over for everybody",
			run: func(k *kit) {
				for round := range rounds {
					parent := session(2*round, "alice")
					s := dependent(2*round+1, "bob", parent)
					k.create(parent, s)
					k.refreshUntil(s, func() error {
						_, err := k.store.End(k.ctx, sessions.EndParams{
							ID: parent.ID, Now: at(0).Now, Reason: sessions.EndRevoked, By: "admin",
						})
						return err
					})
					k.holds(s, ended(parent, start, sessions.EndRevoked, "admin"))
				}
			},
		},
		{
			name: "concurrent/no dependent is created after the end of its parent",
			why: "Create checks the parent in the same step: after the end of the parent, EndDependents finds every " +
				"dependent",
			run: func(k *kit) {
				for round := range rounds {
					parent := session(100*round, "alice")
					k.create(parent)
					errs := make([]error, callers)
					working := make(chan struct{}, callers)
					var marked []sessions.Session
					together(callers+1, func(i int) {
						if i < callers {
							working <- struct{}{}
							errs[i] = k.store.Create(k.ctx, dependent(100*round+1+i, "bob", parent))
							return
						}
						<-working
						_, endErr := k.store.End(k.ctx, sessions.EndParams{
							ID: parent.ID, Now: at(0).Now, Reason: sessions.EndRevoked, By: "admin",
						})
						list, err := k.store.EndDependents(k.ctx, sessions.EndDependentsParams{
							ParentSessionIDs: []string{parent.ID}, Now: start, Reason: sessions.EndParentEnded,
						})
						if err := errors.Join(endErr, err); err != nil {
							k.errorf("the end: %w", err)
						}
						marked = list
					})
					begun := make(map[string]bool)
					for i, err := range errs {
						if err != nil {
							k.refused("Create", err, sessions.ErrNotFound)
							continue
						}
						begun[id(100*round+1+i)] = true
					}
					for _, s := range marked {
						delete(begun, s.ID)
					}
					if len(begun) > 0 {
						k.errorf("round %d: %d impersonations began after the end of the parent",
							round, len(begun))
					}
				}
			},
		},
		{
			name: "concurrent/one EndDependents marks each",
			why:  "of several concurrent EndDependents exactly one returns each session",
			run: func(k *kit) {
				const enders = 8
				for round := range rounds {
					parent := session(100*round, "alice")
					k.create(parent)
					var all []sessions.Session
					for i := range 10 {
						all = append(all, dependent(100*round+1+i, "bob", parent))
					}
					k.create(all...)
					lists, errs := make([][]sessions.Session, enders), make([]error, enders)
					together(enders, func(i int) {
						lists[i], errs[i] = k.store.EndDependents(k.ctx, sessions.EndDependentsParams{
							ParentSessionIDs: []string{parent.ID}, Now: start, Reason: sessions.EndParentEnded,
							By: fmt.Sprintf("ender %d", i),
						})
					})
					if err := errors.Join(errs...); err != nil {
						k.errorf("EndDependents: %w", err)
					}
					k.eachOnce(round, all, lists)
				}
			},
		},
		{
			name: "concurrent/one code is redeemed once",
			why: "of many callers with one code one gets the live session, one sees it end, and the others get " +
				"ErrNotFound",
			run: func(k *kit) {
				for round := range rounds {
					s := handedOff(round, "alice")
					k.create(s)
					results, errs := make([]sessions.Session, callers), make([]error, callers)
					together(callers, func(i int) {
						results[i], errs[i] = k.store.Redeem(k.ctx, sessions.RedeemParams{
							ID: s.ID, Hash: s.HandoffHash, Moment: at(0),
						})
					})
					over := ended(s, start, sessions.EndHandoffReplay, "")
					var grants, ends int
					for i, got := range results {
						switch {
						case errs[i] != nil:
							k.refused("Redeem", errs[i], sessions.ErrNotFound)
						case got.EndedAt.IsZero():
							grants++
							k.same("Redeem, the first", got, s)
						default:
							ends++
							k.same("Redeem, the second", got, over)
						}
					}
					if grants != 1 || ends != 1 {
						k.errorf("round %d: %d callers got the session and %d saw it end, want 1 and 1",
							round, grants, ends)
					}
					k.holds(over)
				}
			},
		},
		{
			name: "concurrent/each session is pruned once",
			why:  "Prune returns how many it deleted: the counts of several callers add up",
			run: func(k *kit) {
				var all []sessions.Session
				for i := range 60 {
					s := session(i, "alice")
					s.ExpiresAt = start.Add(micro)
					all = append(all, s)
				}
				kept := session(1000, "alice")
				k.create(all...)
				k.create(kept)
				p := sessions.PruneParams{ExpiredBefore: start.Add(time.Hour), Limit: 7}
				var total atomic.Int64
				errs := make([]error, 8)
				together(len(errs), func(i int) {
					n, err := k.store.Prune(k.ctx, p)
					total.Add(int64(n))
					errs[i] = err
				})
				if err := errors.Join(errs...); err != nil {
					k.errorf("Prune: %w", err)
				}
				// Every call deletes at least one, so these calls delete the rest.
				for range all {
					n, err := k.store.Prune(k.ctx, p)
					if err != nil {
						k.errorf("Prune: %w", err)
					}
					total.Add(int64(n))
				}
				if total.Load() != int64(len(all)) {
					k.errorf("the counts add up to %d, want %d", total.Load(), len(all))
				}
				k.gone(all...)
				k.holds(kept)
			},
		},
	}
}

// eachOnce checks that exactly one of several callers ended each session, and that Get returns what it returned.
func (k *kit) eachOnce(round int, all []sessions.Session, lists [][]sessions.Session) {
	times := make(map[string]int)
	for _, list := range lists {
		for _, s := range list {
			times[s.ID]++
			k.holds(s)
		}
	}
	for _, s := range all {
		if times[s.ID] != 1 {
			k.errorf("round %d: %s was ended %d times", round, s.ID, times[s.ID])
		}
	}
}

// presentTogether lets all callers present one token at the start, and counts the outcomes. 0 counts ErrNotFound.
func (k *kit) presentTogether(id string, presented int64, r sessions.Rotation) map[sessions.Outcome]int {
	results, errs := make([]sessions.RefreshResult, callers), make([]error, callers)
	together(callers, func(i int) {
		results[i], errs[i] = k.store.Refresh(k.ctx, sessions.RefreshParams{
			ID: id, Presented: presented, Rotation: r, Moment: at(0),
		})
	})
	outcomes := make(map[sessions.Outcome]int)
	for i, r := range results {
		if errs[i] != nil {
			k.refused("Refresh", errs[i], sessions.ErrNotFound)
		}
		outcomes[r.Outcome]++
	}
	return outcomes
}

// refreshAgainst creates s and refreshes it until end has ended it.
func (k *kit) refreshAgainst(s sessions.Session, end func(sessions.Session) error) {
	k.create(s)
	k.refreshUntil(s, func() error { return end(s) })
	k.holds(ended(s, start, sessions.EndRevoked, "admin"))
}

// refreshUntil refreshes s from several goroutines while end runs, and once more from each of them afterwards.
func (k *kit) refreshUntil(s sessions.Session, end func() error) {
	over := make(chan struct{})
	var endErr error
	errs := make([]error, 8)
	working := make(chan struct{}, len(errs))
	together(len(errs)+1, func(i int) {
		if i == len(errs) {
			<-working
			endErr = end()
			close(over)
			return
		}
		for n := range 30 {
			last := n == 29
			if last {
				<-over
			}
			_, err := k.store.Refresh(k.ctx, sessions.RefreshParams{
				ID: s.ID, Presented: 1, Rotation: unlimited, Moment: at(0),
			})
			if n == 0 {
				working <- struct{}{}
			}
			switch {
			case err != nil && !errors.Is(err, sessions.ErrNotFound):
				errs[i] = err
				return
			case last && err == nil:
				errs[i] = errors.New("a refresh that began after the end has succeeded")
			}
		}
	})
	if endErr != nil {
		k.errorf("the end: %w", endErr)
	}
	if err := errors.Join(errs...); err != nil {
		k.errorf("Refresh: %w", err)
	}
}
