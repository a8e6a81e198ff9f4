package storetest_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
	"github.com/sessile-go/sessile/sessions/storetest"
)

type broken struct {
	name  string
	store func() sessions.Store
	// want are the cases that must fail; others may fail, too.
	want []string
}

func brokenStores() []broken {
	return slices.Concat(
		brokenRows(),
		brokenRefreshes(),
		brokenLists(),
		brokenEnds(),
		brokenDependents(),
		brokenHandoffs(),
		brokenFeeds(),
		brokenPrunes(),
		brokenUsers(),
		brokenContexts(),
		brokenSteps(),
	)
}

// part returns a toy of which breakIt has changed one decision.
func part(breakIt func(p *parts)) func() sessions.Store {
	return func() sessions.Store {
		p := good()
		breakIt(p)
		return newToy(p)
	}
}

// method returns a good store of which breakIt has replaced one method.
func method(breakIt func(o *over, st sessions.Store)) func() sessions.Store {
	return func() sessions.Store {
		o := &over{Store: sessionstest.NewStore()}
		breakIt(o, o.Store)
		return o
	}
}

func each(s *sessions.Session, f func(time.Time) time.Time) {
	for _, at := range []*time.Time{
		&s.CreatedAt, &s.LastUsedAt, &s.ExpiresAt, &s.AuthTime, &s.EndedAt, &s.HandoffExpiresAt,
	} {
		if !at.IsZero() {
			*at = f(*at)
		}
	}
}

func TestCheckNamesWhatABrokenStoreBreaks(t *testing.T) {
	t.Parallel()
	for _, c := range brokenStores() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			err := storetest.Check(func() (sessions.Store, error) { return c.store(), nil })
			if err == nil {
				t.Fatal("Check found nothing")
			}
			for _, name := range c.want {
				if !strings.Contains(err.Error(), "storetest: "+name+": ") {
					t.Errorf("Check did not fail in %q; it said:\n%.3000s", name, err)
				}
			}
		})
	}
}

// TestEveryCaseCatchesABrokenStore gets the names of all cases from a store that always fails. A case that no broken
// store fails may check nothing.
func TestEveryCaseCatchesABrokenStore(t *testing.T) {
	t.Parallel()
	away := errors.New("the database is away")
	err := storetest.Check(func() (sessions.Store, error) {
		return &sessionstest.Faults{
			Store:  sessionstest.NewStore(),
			Before: func(context.Context, sessionstest.Call) error { return away },
		}, nil
	})
	if err == nil {
		t.Fatal("Check found nothing")
	}
	wanted := make(map[string]bool)
	for _, b := range brokenStores() {
		for _, name := range b.want {
			wanted[name] = true
		}
	}
	cases := 0
	for line := range strings.Lines(err.Error()) {
		rest, ok := strings.CutPrefix(line, "storetest: ")
		if !ok {
			continue
		}
		cases++
		if name, _, _ := strings.Cut(rest, ": "); !wanted[name] {
			t.Errorf("no broken store must fail %q", name)
		}
	}
	t.Logf("%d cases, %d broken stores", cases, len(brokenStores()))
}

func TestCheckReportsAStoreThatCannotBeMade(t *testing.T) {
	t.Parallel()
	away := errors.New("the database is away")
	if err := storetest.Check(func() (sessions.Store, error) { return nil, away }); !errors.Is(err, away) {
		t.Errorf("got error %v, want one that is %q", err, away)
	}
}

// wallClock drops the zone of a time and keeps what a clock there shows.
func wallClock(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}
