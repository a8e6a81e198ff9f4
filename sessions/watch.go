package sessions

import (
	"context"
	"sync"
	"time"
)

// Watch returns a context that is cancelled when the session of id ends or expires. It is
// for connections that live longer than an access token, such as server-sent events and
// WebSockets. The cause is then an [*ExpiredError]. Call cancel when the connection is
// closed.
//
//	id, _ := sessions.FromContext(r.Context())
//	ctx, cancel := manager.Watch(r.Context(), id)
//	defer cancel()
//
// If this process ends the session, the context is cancelled at once. If another process
// ends it, the context is cancelled within [RevocationBound] while [Manager.Run] or
// [Manager.WatchRevocations] runs, and not at all without one of them. While the feed is
// behind, contexts are left alone; it catches up. A session that falls idle cancels
// nothing. For an identity without a session, such as that of a key, the context is
// cancelled with ctx only.
func (m *Manager) Watch(ctx context.Context, id Identity) (context.Context, context.CancelFunc) {
	if id.SessionID == "" {
		return context.WithCancel(ctx)
	}
	ctx, cancelCause := context.WithCancelCause(ctx)
	expired := &ExpiredError{ExpiredAt: id.SessionExpiresAt, UserID: id.UserID, SessionID: id.SessionID}
	ctx, cancel := context.WithTimeoutCause(ctx, id.SessionExpiresAt.Sub(m.now()), expired)

	w := &watch{userID: id.UserID, cancel: cancelCause}
	m.watches.add(id.SessionID, w)
	context.AfterFunc(ctx, func() {
		m.watches.remove(id.SessionID, w)
		cancelCause(nil) // releases the context that is between ctx and its parent
	})
	// After add, so that an end is either seen here or reaches the watch.
	if at, ended := m.ended.at(id.SessionID); ended {
		w.end(id.SessionID, at)
	} else if at, ended, _ := m.feed.at(id.SessionID, m.cfg.Now()); ended {
		w.end(id.SessionID, at)
	}
	return ctx, cancel
}

// watch is one context that waits for the end of a session.
type watch struct {
	userID string
	cancel context.CancelCauseFunc
}

func (w *watch) end(sessionID string, at time.Time) {
	w.cancel(&ExpiredError{ExpiredAt: at, UserID: w.userID, SessionID: sessionID})
}

// watches are the watches of a Manager, by session.
type watches struct {
	mu   sync.Mutex
	byID map[string]map[*watch]struct{}
}

func (ws *watches) add(sessionID string, w *watch) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.byID == nil {
		ws.byID = map[string]map[*watch]struct{}{}
	}
	if ws.byID[sessionID] == nil {
		ws.byID[sessionID] = map[*watch]struct{}{}
	}
	ws.byID[sessionID][w] = struct{}{}
}

func (ws *watches) remove(sessionID string, w *watch) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	delete(ws.byID[sessionID], w)
	if len(ws.byID[sessionID]) == 0 {
		delete(ws.byID, sessionID)
	}
}

// end cancels the contexts that wait for a session.
func (ws *watches) end(sessionID string, at time.Time) {
	ws.mu.Lock()
	waiting := ws.byID[sessionID]
	delete(ws.byID, sessionID)
	ws.mu.Unlock()
	for w := range waiting { // they are no longer in the map
		w.end(sessionID, at)
	}
}
