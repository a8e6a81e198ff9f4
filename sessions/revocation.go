package sessions

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// Revocation is the setting of the revocation dial: how soon a route refuses the
// access tokens of a session that has ended. In the process that ended it they are
// refused at once whatever the setting.
type Revocation int

// The settings of the revocation dial.
const (
	// DefaultRevocation is Bounded from the moment [Manager.WatchRevocations] was
	// called, also after it has returned, and Stateless where the host never calls
	// it.
	DefaultRevocation Revocation = iota
	// Stateless refuses them when they expire: signature and times are looked at,
	// and nothing else.
	Stateless
	// Bounded refuses them within [RevocationBound] of the end, without database
	// work on the request: by what [Manager.WatchRevocations] has read. Where that
	// does not run, or is behind, [Config.RevocationFallback] decides.
	Bounded
	// Strict looks up the session on every request: one statement.
	Strict
)

// checkOf is what a setting of the dial does.
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

// verifyStrict is what our own endpoints do.
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

// RevocationBound is how soon bounded routes refuse the access tokens of an ended
// session, counted from the commit of its end, where the clocks of all replicas
// agree within 5 s and the commit comes within 5 s of the call that ended it. A
// commit that comes later, at the end of a long transaction of the host, is heard of
// within 30 s more.
const RevocationBound = 5 * time.Second

const (
	// feedPause is between two polls.
	feedPause = time.Second
	// feedOverlap is how far behind the last poll the next one begins to read: what
	// was stamped before that poll by another clock, or committed after it.
	feedOverlap = 10 * time.Second
	// feedWhole is how often the whole life of an access token is read instead, for
	// commits that came later than the overlap, and to forget what is over.
	feedWhole = 30 * time.Second
)

var errSlowPoll = errors.New("sessions: the poll took too long")

// WatchRevocations keeps this process informed of the sessions that others end, until
// ctx is done. Where it runs already it returns at once. The host starts it beside
// its server, and stops it after the server:
//
//	go manager.WatchRevocations(ctx)
//
// It asks the store once a second for what has ended lately, one indexed statement,
// and keeps it in memory for as long as an access token may live. Routes that are
// [Bounded] then refuse within [RevocationBound], without database work, and
// contexts from [Manager.Watch] are cancelled. It goes on through errors of the
// store; [Manager.Health] reports them, and so does the log, once each time.
//
// Every half a minute it also ends the impersonations whose actor's session has ended in
// a process that died before it could end them, too. That calls [Config.OnEvent], next
// to the polls and not between them; a hook that panics there is logged.
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
	idle := make(chan struct{}, 1) // one at a time
	idle <- struct{}{}
	ticker := time.NewTicker(feedPause)
	defer ticker.Stop()
	for {
		if actors := m.pollEnded(ctx); len(actors) > 0 {
			select {
			case <-idle:
				marking.Go(func() {
					m.endLeft(ctx, actors)
					idle <- struct{}{}
				})
			default: // the next whole poll finds them again
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// pollEnded reads what has ended since the last poll that went well. It returns the
// sessions that have ended and whose impersonations nobody has marked, if it was a poll of
// all of them.
func (m *Manager) pollEnded(ctx context.Context) (actors []string) {
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
		return nil // stopped, which is no failure
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
	for _, e := range ended { // a process that lives has had time enough to mark them
		if e.ParentSessionID != "" && began.Sub(e.EndedAt) > RevocationBound {
			actors = append(actors, e.ParentSessionID)
		}
	}
	slices.Sort(actors)
	return slices.Compact(actors)
}

// leftBatch bounds a statement that has to succeed within [Config.StoreTimeout], or it
// would fail again each time.
const leftBatch = 1000

// endLeft marks the impersonations that depend on sessions that have ended: the process
// that ended those has died before it came to that.
func (m *Manager) endLeft(ctx context.Context, actorSessionIDs []string) {
	for batch := range slices.Chunk(actorSessionIDs, leftBatch) {
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

// notifyAlone is notify where nobody recovers from the panic of a hook: it would end the
// process.
func (m *Manager) notifyAlone(ctx context.Context, e Event) {
	defer func() {
		if p := recover(); p != nil {
			_ = m.logPanic(ctx, p) // there is nobody to answer
		}
	}()
	m.notify(ctx, e)
}

// Health reports the state of the revocation feed, for the host's health endpoint. A
// Manager without a feed has no other state: whether its store answers is for the host to ask.
type Health struct {
	// FeedRunning is true while [Manager.Run] or [Manager.WatchRevocations] runs.
	FeedRunning bool `json:"feed_running"`
	// FeedCurrent is true while the feed runs and is no older than [RevocationBound], so
	// that bounded routes rely on it. Otherwise [Config.RevocationFallback] decides.
	FeedCurrent bool `json:"feed_current"`
	// FeedReadAt is when the last poll that went well began; zero before the first.
	FeedReadAt time.Time `json:"feed_read_at,omitzero"`
	// FeedError is why the last poll failed, nil where it did not. It is an error of
	// the store, for the log and not for the public.
	FeedError error `json:"-"`
}

// Health returns how the Manager is now, without asking the store.
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

// feed is what WatchRevocations knows.
type feed struct {
	// window is how long before now an end matters: no access token of a session
	// lives longer than that behind its end, whichever clock stamped it.
	window time.Duration

	mu      sync.RWMutex
	running bool
	// started stays when it no longer runs: what the host relies on must not become
	// laxer because something has stopped.
	started bool
	ended   map[string]time.Time
	// readAt is when the last good poll began, with the monotonic clock where there
	// is one; wholeAt when the last good one of the whole window did.
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

// next says from when on a poll that begins now reads, and whether that is the
// whole window. After an outage nothing is left out, however long it was: contexts
// from Watch outlive access tokens.
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

// done takes what a poll has read, and returns what is new of it, and whether the
// poll before had failed.
func (f *feed) done(began time.Time, whole bool, read []EndedSession,
	err error) (failedBefore bool, fresh []EndedSession) {
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

// at says whether a session is known to have ended, and since when, and whether what
// is known can be relied on.
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

// recentlyEnded remembers the sessions that this process has ended for as long as
// an access token of theirs may live, so that it refuses those at once.
type recentlyEnded struct {
	keep time.Duration

	mu sync.RWMutex
	// Two generations, swapped after keep: each entry is kept for keep at least
	// and 2 × keep at most, without a timer and without a scan.
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
	case now.Before(r.swapped): // the clock was set back: nothing is old, but it gets old from here on
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
