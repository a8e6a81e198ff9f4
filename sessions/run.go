package sessions

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

const (
	// clockPause is how long Run waits after a failed check of the clock. Until a check
	// succeeds, every bounded request looks up its session.
	clockPause = time.Second
	pruneEvery = time.Hour
	prunePause = time.Minute
)

// Run does the upkeep of a Manager until ctx is done. It checks the clock as
// [Manager.CheckClock] does, keeps the revocation feed as [Manager.WatchRevocations] does,
// and calls [Manager.Prune] at once and then every hour. Start it before the server, and
// stop it after the server, so that the last requests still have the feed:
//
//	go func() {
//		if err := manager.Run(ctx); err != nil {
//			log.Fatal(err) // the clock is wrong
//		}
//	}()
//
// While the store is away Run tries again: the clock and the feed every second, and a prune
// every minute. It logs the first failure of each, and its recovery. The feed begins to read
// after the clock has been checked; [Manager.Health] reports its state.
//
// The feed counts as started from the call on, even if the first check of the clock fails.
// So [DefaultRevocation] means [Bounded] from then on, and never becomes laxer.
//
// Run returns nil when ctx is done. It returns an error in one case only, and has logged it:
// this clock and the database's are too far apart, at the start or at a later prune. Then the
// host should stop, because replicas that disagree on the time fork sessions. If it goes on
// without Run, [Config.RevocationFallback] decides for its bounded routes.
func (m *Manager) Run(ctx context.Context) error {
	feeds := m.feed.start()
	if feeds {
		defer m.feed.stop()
	}
	if err := m.insist(ctx, "check the clock", clockPause, m.CheckClock); err != nil || ctx.Err() != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var feeding sync.WaitGroup
	defer feeding.Wait()
	defer cancel()
	if feeds { // else the host has called WatchRevocations itself
		feeding.Go(func() { m.keepFeed(ctx) })
	}
	for {
		err := m.insist(ctx, "prune", prunePause, func(ctx context.Context) error {
			_, err := m.Prune(ctx)
			return err
		})
		if err != nil || !wait(ctx, pruneEvery) {
			return err
		}
	}
}

// insist calls do until it succeeds or ctx is done, and then returns nil. It logs the start
// and the end of an outage. Any error other than ErrUnavailable is final.
func (m *Manager) insist(
	ctx context.Context, what string, pause time.Duration, do func(context.Context) error,
) error {
	log, task := m.cfg.Logger, slog.String("task", what)
	for failed := false; ; failed = true {
		err := do(ctx)
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // err says only that ctx is done
		case err == nil && failed:
			log.LogAttrs(ctx, slog.LevelInfo, "sessions: upkeep works again", task)
			return nil
		case err == nil:
			return nil
		case !errors.Is(err, ErrUnavailable):
			log.LogAttrs(ctx, slog.LevelError, "sessions: Run has ended", task, slog.Any("error", err))
			return err
		case !failed:
			log.LogAttrs(ctx, slog.LevelError, "sessions: upkeep fails, will retry", task, slog.Any("error", err))
		}
		if !wait(ctx, pause) {
			return nil
		}
	}
}

// wait returns true after d, or false when ctx is done.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
