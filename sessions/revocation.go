package sessions

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// Revocation is a setting of the revocation dial: how soon a route refuses the access tokens of a session that has
// ended. The process that ended the session refuses them at once, whatever the setting.
type Revocation int

// The settings of the revocation dial.
const (
	// DefaultRevocation is Bounded once [Manager.Run] or [Manager.WatchRevocations] was called, even if it has
	// returned, and Stateless otherwise.
	DefaultRevocation Revocation = iota
	// Stateless refuses the tokens when they expire. It checks their signature and times, and nothing else.
	Stateless
	// Bounded refuses the tokens within [RevocationBound] of the end, without database work on the request: it asks the
	// revocation feed. If the feed does not run or is not current, [Config.RevocationFallback] decides.
	Bounded
	// Strict refuses the tokens at once. It looks up the session on every request, with one statement.
	Strict
)

// checkOf returns the check of a setting of the dial.
func (m *Manager) checkOf(dial Revocation) tokenCheck {
	if dial == DefaultRevocation {
		dial = Stateless
		if m.feed.wasStarted() {
			dial = Bounded
		}
	}
	switch dial {
	case Stateless:
		return m.verify
	case Bounded:
		return m.verifyBounded
	default:
		return m.verifyStrict
	}
}

// tokenCheck checks an access token.
type tokenCheck func(ctx context.Context, token string) (Identity, error)

// verifyStrict is the strict setting of the dial, which our own endpoints use.
func (m *Manager) verifyStrict(ctx context.Context, token string) (Identity, error) {
	id, err := m.verify(ctx, token)
	if err != nil {
		return Identity{}, err
	}
	if _, err := m.Check(ctx, id); err != nil {
		return Identity{}, err
	}
	return id, nil
}

// RevocationBound is how soon bounded routes refuse the access tokens of a session after the commit of its end, if the
// clocks of all replicas agree within 5 s and the commit comes within 5 s of the call that ended the session. If the
// commit comes later, at the end of a long transaction, it takes up to 30 s more.
const RevocationBound = 5 * time.Second

const (
	// feedPause is the time between two polls.
	feedPause = time.Second
	// feedOverlap is how long before the last poll the next one begins to read. An end may have been stamped before
	// that poll by another clock, or committed after it.
	feedOverlap = 10 * time.Second
	// feedWhole is how often a poll reads the whole life of an access token instead, for commits that came later than
	// the overlap, and to forget sessions whose tokens have expired.
	feedWhole = 30 * time.Second
)

var errSlowPoll = errors.New("sessions: the poll took too long")

// WatchRevocations runs the revocation feed, which informs this process of the sessions that other processes end, until
// ctx is done. If the feed runs already, it returns at once. [Manager.Run] includes it. A host that calls it by itself
// starts it next to its server and stops it after the server:
//
//	go manager.WatchRevocations(ctx)
//
// Once a second it reads from the store which sessions have ended lately, with one indexed statement, and keeps them
// in memory for as long as an access token may live. Routes that are [Bounded] then refuse within [RevocationBound]
// without database work, and contexts from [Manager.Watch] are cancelled. WatchRevocations continues after errors of
// the store. [Manager.Health] reports them, and the log has a line when they begin and when they end.
//
// Every 30 s it also ends the dependents whose parent was ended by a process that died before it could end them. That
// calls [Config.OnEvent] in another goroutine, so that a slow hook does not delay the polls. If a hook panics there,
// the panic is logged.
func (m *Manager) WatchRevocations(ctx context.Context) {
	f := m.feed
	if !f.start() {
		return
	}
	defer f.stop()
	m.keepFeed(ctx)
}

// keepFeed polls until ctx is done. The caller has started the feed.
func (m *Manager) keepFeed(ctx context.Context) {
	var marking sync.WaitGroup
	defer marking.Wait()
	idle := make(chan struct{}, 1) // one goroutine at a time
	idle <- struct{}{}
	ticker := time.NewTicker(feedPause)
	defer ticker.Stop()
	for {
		if parents := m.pollEnded(ctx); len(parents) > 0 {
			select {
			case <-idle:
				marking.Go(func() {
					m.endLeft(ctx, parents)
					idle <- struct{}{}
				})
			default: // the next poll of everything reads them again
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// pollEnded reads which sessions have ended since the last successful poll. If it has read the whole window, it returns
// the parents that have ended and whose dependents nobody has marked.
func (m *Manager) pollEnded(ctx context.Context) (parents []string) {
	f := m.feed
	began := m.cfg.Now()
	since, whole := f.next(began)
	limit := RevocationBound
	if whole {
		limit = feedWhole // there may be much to read
	}
	pollCtx, cancel := context.WithTimeoutCause(ctx, limit, errSlowPoll)
	defer cancel()
	ended, err := m.cfg.Store.Ended(pollCtx, since)
	if ctx.Err() != nil {
		return nil // stopped, which is not a failure
	}
	failedBefore, fresh := f.done(began, whole, ended, err)
	switch {
	case err != nil && !failedBefore:
		m.cfg.Logger.LogAttrs(ctx, slog.LevelError, "sessions: the revocation feed cannot read", slog.Any("error", err))
	case err == nil && failedBefore:
		m.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "sessions: the revocation feed reads again")
	}
	for _, e := range fresh {
		m.watches.end(e.ID, e.EndedAt)
	}
	if err != nil || !whole || m.cfg.MayImpersonate == nil {
		return nil
	}
	for _, e := range ended { // a process that lives has had enough time to mark them
		if e.ParentSessionID != "" && began.Sub(e.EndedAt) > RevocationBound {
			parents = append(parents, e.ParentSessionID)
		}
	}
	slices.Sort(parents)
	return slices.Compact(parents)
}

// leftBatch bounds a statement that must succeed within [Config.StoreTimeout], or it would fail again each time.
const leftBatch = 1000

// endLeft marks the dependents of parents that were ended by a process which died before it could mark them.
func (m *Manager) endLeft(ctx context.Context, parentIDs []string) {
	for batch := range slices.Chunk(parentIDs, leftBatch) {
		if ctx.Err() != nil {
			return
		}
		events, _ := m.markDependents(ctx, batch, "") // it fails only in a transaction
		m.refuseEnded(events)
		for _, e := range events {
			m.notifyAlone(ctx, e)
		}
	}
}

// notifyAlone is notify in our own goroutine. It recovers from the panic of a hook, which would end the process.
func (m *Manager) notifyAlone(ctx context.Context, e Event) {
	defer func() {
		if p := recover(); p != nil {
			_ = m.logPanic(ctx, p) // there is no caller to return it to
		}
	}()
	m.notify(ctx, e)
}

// Health is the state of the revocation feed, for the host's health endpoint. It does not say whether the store
// answers.
type Health struct {
	// FeedRunning is true while [Manager.Run] or [Manager.WatchRevocations] runs.
	FeedRunning bool `json:"feed_running"`
	// FeedCurrent is true while the feed runs and is no older than [RevocationBound], so that bounded routes rely on
	// it. Otherwise [Config.RevocationFallback] decides.
	FeedCurrent bool `json:"feed_current"`
	// FeedReadAt is when the last successful poll began; zero before the first.
	FeedReadAt time.Time `json:"feed_read_at,omitzero"`
	// FeedError is why the last poll failed; nil if it succeeded. It is an error of the store, for the log and not
	// for the public.
	FeedError error `json:"-"`
}

// Health returns the state of the revocation feed now. It does not ask the store.
func (m *Manager) Health() Health { return m.feed.health(m.cfg.Now()) }

// verifyBounded is the bounded setting of the dial.
func (m *Manager) verifyBounded(ctx context.Context, token string) (Identity, error) {
	id, err := m.verify(ctx, token)
	if err != nil {
		return Identity{}, err
	}
	endedAt, ended, current := m.feed.at(id.SessionID, m.cfg.Now())
	switch {
	case ended:
		return Identity{}, &ExpiredError{ExpiredAt: endedAt, UserID: id.UserID, SessionID: id.SessionID}
	case !current && m.cfg.RevocationFallback == Strict:
		if _, err := m.Check(ctx, id); err != nil {
			return Identity{}, err
		}
	}
	return id, nil
}

// feed is what the revocation feed has read.
type feed struct {
	// window is how long before now an end matters. No access token of a session lives longer than that after its end,
	// whichever clock stamped it.
	window time.Duration

	mu      sync.RWMutex
	running bool
	// started stays true when the feed no longer runs. The default dial must not become laxer because something has
	// stopped.
	started bool
	ended   map[string]time.Time
	// readAt is when the last successful poll began, with its monotonic clock reading, and wholeAt when the last
	// successful one of the whole window did.
	readAt, wholeAt time.Time
	err             error
}

func newFeed(window time.Duration) *feed {
	return &feed{window: window + feedOverlap, ended: map[string]time.Time{}}
}

func (f *feed) start() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.running {
		return false
	}
	f.running, f.started = true, true
	return true
}

func (f *feed) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.running = false
}

func (f *feed) wasStarted() bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.started
}

// next returns since when a poll that begins now reads, and whether that is the whole window. After an outage of any
// length it leaves nothing out, because contexts from Watch outlive access tokens.
func (f *feed) next(now time.Time) (since time.Time, whole bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	since = now // the clock may have been set back
	if f.readAt.Before(now) {
		since = f.readAt
	}
	since = since.Add(-feedOverlap)
	if f.wholeAt.IsZero() || now.Before(f.wholeAt) || now.Sub(f.wholeAt) >= feedWhole {
		if start := now.Add(-f.window); f.readAt.IsZero() || start.Before(since) {
			since = start
		}
		whole = true
	}
	return since, whole
}

// done records what a poll has read. It returns what is new, and whether the poll before had failed.
func (f *feed) done(
	began time.Time, whole bool, read []EndedSession, err error,
) (failedBefore bool, fresh []EndedSession) {
	f.mu.Lock()
	defer f.mu.Unlock()
	failedBefore = f.err != nil
	if f.err = err; err != nil {
		return failedBefore, nil
	}
	ended := f.ended
	if whole {
		ended = make(map[string]time.Time, len(read))
		f.wholeAt = began
	}
	start := began.Add(-f.window)
	for _, e := range read {
		if _, known := f.ended[e.ID]; !known {
			fresh = append(fresh, e)
		}
		if !e.EndedAt.Before(start) {
			ended[e.ID] = e.EndedAt
		}
	}
	f.ended, f.readAt = ended, began
	return failedBefore, fresh
}

// at returns whether a session is known to have ended, and when, and whether the feed is current.
func (f *feed) at(id string, now time.Time) (at time.Time, ended, current bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	at, ended = f.ended[id]
	return at, ended, f.current(now)
}

func (f *feed) current(now time.Time) bool {
	age := now.Sub(f.readAt) // below zero if the clock was set back
	return f.running && !f.readAt.IsZero() && age >= 0 && age <= RevocationBound
}

func (f *feed) health(now time.Time) Health {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return Health{FeedRunning: f.running, FeedCurrent: f.current(now), FeedReadAt: f.readAt.UTC(), FeedError: f.err}
}

// recentlyEnded remembers the sessions that this process has ended for as long as their access tokens may live, so that
// it refuses those at once.
type recentlyEnded struct {
	keep time.Duration

	mu sync.RWMutex
	// Two generations are swapped after keep. So each entry is kept for at least keep and at most 2 × keep, without a
	// timer and without a scan.
	young, old map[string]time.Time // when they ended
	swapped    time.Time
}

func newRecentlyEnded(keep time.Duration) *recentlyEnded {
	return &recentlyEnded{keep: keep, young: map[string]time.Time{}}
}

func (r *recentlyEnded) add(id string, at, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case now.Before(r.swapped): // the clock was set back
		r.swapped = now
	case now.Sub(r.swapped) >= r.keep:
		r.old, r.young, r.swapped = r.young, map[string]time.Time{}, now
	}
	r.young[id] = at
}

func (r *recentlyEnded) at(id string) (time.Time, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if at, ok := r.young[id]; ok {
		return at, true
	}
	at, ok := r.old[id]
	return at, ok
}
