package storetest_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/sessile-go/sessile/sessions"
)

func brokenSteps() []broken {
	return []broken{
		{"everything reads first and writes later", part(func(p *parts) { p.pause = meet() }), []string{
			"concurrent/one token rotates once", "concurrent/strict rotation takes one of many",
			"concurrent/one replay ends the session once",
			"concurrent/a late parent is recovered once", "concurrent/one create wins", "concurrent/one end wins",
			"concurrent/each session is ended by one EndMany", "concurrent/no refresh succeeds after an end",
			"concurrent/no refresh succeeds after ending many", "concurrent/each session is pruned once",
			"concurrent/one EndDependents marks each", "concurrent/one code is redeemed once",
			"concurrent/no dependent is created after the end of its parent",
		}},
		{
			"a busy database is the caller's problem",
			method(func(o *over, st sessions.Store) {
				var busy sync.Mutex
				pause := meet()
				o.refresh = func(ctx context.Context, p sessions.RefreshParams) (sessions.RefreshResult, error) {
					if !busy.TryLock() {
						return sessions.RefreshResult{}, errors.New("database is locked")
					}
					defer busy.Unlock()
					pause()
					return st.Refresh(ctx, p)
				}
			}),
			[]string{"concurrent/one token rotates once", "concurrent/calls for different sessions do not fail"},
		},
	}
}

// meet returns a func that waits until another caller calls it, too. A caller that stays alone goes on after a while.
func meet() func() {
	var here atomic.Int64
	return func() {
		before := here.Add(1)
		for range 100 {
			if here.Load() > before {
				return
			}
			runtime.Gosched()
		}
	}
}
