package sessions

import (
	"context"
	"sync"
)

// Joined creates and ends sessions inside a transaction of the host. It is made by [Manager.Join].
type Joined struct {
	m    *Manager // over the store of the transaction
	host *Manager // the one that Join was called on
	held *heldEffects
}

// Join returns a Joined over store, which writes inside a transaction of the host. What Joined creates and ends is
// committed and rolled back with the rest of that transaction:
//
//	var joined *sessions.Joined
//	err := db.Transaction(func(tx *gorm.DB) error {
//		joined = manager.Join(st.In(tx))
//		_, err := joined.Create(ctx, params)
//		return err
//	})
//	if err == nil {
//		joined.Committed(ctx)
//	}
//
// Its calls have the caller's context and no other time limit: on some drivers a statement that is cancelled
// takes the connection of the transaction with it. The hooks get that context, too.
//
// Joined cannot refresh: the host's rollback would undo the end of a session whose refresh token was replayed.
func (m *Manager) Join(store Store) *Joined {
	held := &heldEffects{}
	inside := *m
	inside.cfg = m.host
	inside.cfg.Store = store
	inside.effects = held
	return &Joined{m: &inside, host: m, held: held}
}

// Create is [Manager.Create] inside the transaction.
func (j *Joined) Create(ctx context.Context, p CreateParams) (Grant, error) {
	return j.m.Create(ctx, p)
}

// End is [Manager.End] inside the transaction. This process accepts the access tokens of the session until
// [Joined.Committed] is called.
func (j *Joined) End(ctx context.Context, p EndParams) (Session, error) { return j.m.End(ctx, p) }

// EndMany is [Manager.EndMany] inside the transaction. This process accepts the access tokens of the sessions
// until [Joined.Committed] is called.
func (j *Joined) EndMany(ctx context.Context, p EndManyParams) ([]Session, error) {
	return j.m.EndMany(ctx, p)
}

// Committed sends the events of everything that was done inside the transaction, and makes this process refuse the
// access tokens of the sessions that have ended. Call it after the transaction has been committed, and not if it
// was rolled back. A second call does nothing.
func (j *Joined) Committed(ctx context.Context) { j.host.notify(ctx, j.held.take()...) }

// effects decides when a write takes effect outside the database.
type effects interface {
	// context returns the context of what belongs to a write under ctx, whether the write
	// succeeded or not.
	context(ctx context.Context) context.Context
	// refuse makes this process refuse the access tokens of the sessions that have ended.
	refuse(events []Event)
	// report sends events to the host.
	report(ctx context.Context, events []Event)
	// unmarked returns the error of a call that has ended sessions and failed to mark their dependents, nil if the
	// call succeeds all the same.
	unmarked(ctx context.Context, err error) error
}

// promptEffects are those of the Manager: they take place at once, even if the caller has disconnected.
type promptEffects struct{ m *Manager }

func (promptEffects) context(ctx context.Context) context.Context { return context.WithoutCancel(ctx) }

func (p promptEffects) refuse(events []Event) { p.m.refuseEnded(events) }

func (p promptEffects) report(ctx context.Context, events []Event) { p.m.notify(ctx, events...) }

// unmarked logs the error. The dependents have been dead since their parents ended, and the revocation feed marks
// them later.
func (p promptEffects) unmarked(ctx context.Context, err error) error {
	p.m.logFailure(ctx, "sessions: impersonations of an ended session are not marked", codeTemporarilyUnavailable, err)
	return nil
}

// heldEffects are those of a Joined: they wait until the host has committed.
type heldEffects struct {
	mu     sync.Mutex
	events []Event
}

func (*heldEffects) context(ctx context.Context) context.Context { return ctx }

func (*heldEffects) refuse([]Event) {}

func (h *heldEffects) report(_ context.Context, events []Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, events...)
}

// unmarked fails the call: the error may have broken the host's transaction.
func (*heldEffects) unmarked(_ context.Context, err error) error {
	return unavailable("end dependents", err)
}

func (h *heldEffects) take() []Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	events := h.events
	h.events = nil
	return events
}
