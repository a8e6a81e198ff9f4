// Package storetest checks a [sessions.Store] against its contract.
//
// [Run] runs every case as a subtest with a store of its own. [Check] does the same
// without a *testing.T and returns what failed. Both use the methods of Store alone.
// A store that passes can serve a Manager. What a single process cannot show
// (durability, many processes on one database) is left to the store's own tests.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/sessile-go/sessile/sessions"
)

// Run checks a store, each case as a parallel subtest. It calls newStore once for
// each subtest, on its goroutine. newStore returns an empty store that nothing else
// uses, closes it with t.Cleanup, and fails t if it cannot make one.
func Run(t *testing.T, newStore func(t testing.TB) sessions.Store) {
	t.Helper()
	for _, c := range cases() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if err := c.check(t.Context(), newStore(t)); err != nil {
				t.Error(err)
			}
		})
	}
}

// Check checks a store, one case after the other. It returns nil, or the failures
// joined, each with the name of its case. It calls newStore once for each case.
// newStore returns an empty store that nothing else uses; the caller closes these
// stores after Check.
func Check(newStore func() (sessions.Store, error)) error {
	var failed []error
	for _, c := range cases() {
		st, err := newStore()
		if err != nil {
			failed = append(failed, fmt.Errorf("storetest: %s: new store: %w", c.name, err))
			continue
		}
		if err := c.check(context.Background(), st); err != nil {
			failed = append(failed, fmt.Errorf("storetest: %s: %w", c.name, err))
		}
	}
	return errors.Join(failed...)
}

// testCase is one property of every store.
type testCase struct {
	name string
	// why is the sentence of the contract that the case enforces.
	why string
	run func(k *kit)
}

func (c testCase) check(ctx context.Context, st sessions.Store) error {
	k := &kit{ctx: ctx, store: st}
	c.run(k)
	if len(k.failed) == 0 {
		return nil
	}
	return fmt.Errorf("%s\n%w", c.why, errors.Join(k.failed...))
}

func cases() []testCase {
	var all []testCase
	for _, group := range [][]testCase{
		rowCases(),
		refreshCases(),
		listCases(),
		endCases(),
		dependentCases(),
		handoffCases(),
		endedCases(),
		pruneCases(),
		userCases(),
		contextCases(),
		concurrentCases(),
	} {
		all = append(all, group...)
	}
	return all
}
