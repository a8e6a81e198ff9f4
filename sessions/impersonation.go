package sessions

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Impersonate creates a session in which the caller acts as the user p.UserID,
// under [Config.MayImpersonate]. The caller is its actor, whatever p says; it ends
// with the caller's session and never outlives it, idle or not. Caller is an
// identity whose access token was checked, strictly: [Manager.Check].
//
// Errors: those of [Manager.Create], reported as events as there; [*ExpiredError] if the
// caller's session has just ended, which is not.
func (m *Manager) Impersonate(ctx context.Context, caller Identity, p CreateParams) (Grant, error) {
	p = p.impersonatedBy(caller)
	if err := m.mayAsk(caller); err != nil {
		m.refuseImpersonation(ctx, p, err)
		return Grant{}, err
	}
	return m.Create(ctx, p)
}

var (
	errChained = newError(ErrImpersonationNotAllowed, "from an impersonation")
	errNobody  = newError(ErrImpersonationNotAllowed, "Config.MayImpersonate is not set")
)

// mayAsk refuses callers whom no policy could allow to impersonate.
func (m *Manager) mayAsk(caller Identity) error {
	switch {
	case m.cfg.MayImpersonate == nil, caller.Access != AccessClient, !caller.HasUser():
		return errNobody
	case caller.Impersonation:
		return errChained
	}
	return nil
}

// mayImpersonate asks the host: whether the actor still is a user that may have
// sessions, and then its policy.
func (m *Manager) mayImpersonate(ctx context.Context, actor Identity, target User) error {
	if m.cfg.MayImpersonate == nil {
		return errNobody
	}
	_, err := m.user(ctx, actor.UserID)
	switch {
	case errors.Is(err, ErrUserNotFound), errors.Is(err, ErrUserDisabled):
		return fmt.Errorf("%w: the actor: %w", ErrImpersonationNotAllowed, err)
	case err != nil:
		return err
	}
	err = m.cfg.MayImpersonate(ctx, actor, target)
	switch {
	case errors.Is(err, ErrImpersonationNotAllowed):
		return answered(ErrImpersonationNotAllowed, err)
	case err != nil:
		return unavailable("Config.MayImpersonate", err)
	}
	return nil
}

// refuseImpersonation reports that an impersonation was asked for and refused, unless
// the caller is nobody now.
func (m *Manager) refuseImpersonation(ctx context.Context, p CreateParams, err error) {
	if errors.Is(err, ErrUnauthenticated) || p.caller != nil && !p.caller.HasUser() && !p.caller.Trusted() {
		return
	}
	e := Event{
		Type: EventImpersonationRefused,
		At:   m.now(),
		Session: Session{
			UserID: clipText(p.UserID, maxUserID), Impersonation: true,
			Actor: clipText(p.Actor, maxUserID), Reason: clipText(p.Reason, maxReason), CreatedBy: p.By,
		},
		Client:  m.client(p.Client),
		Refusal: refusalOf(err),
	}
	if p.caller != nil {
		e.Session.ParentSessionID = p.caller.SessionID
	}
	setDefault(&e.Session.Actor, p.By)
	if p.Actor == p.UserID && e.Refusal == refusalNotAllowed {
		e.Refusal = refusalOneself
	}
	m.effects.report(ctx, []Event{e})
}

// refusals counts what was refused, by who asked, so that nobody can have any number of
// events. Windows are the same for all: no timer, and one map.
type refusals struct {
	mu     sync.Mutex
	began  time.Time
	actors map[string]int
}

const (
	refusalWindow    = time.Minute
	maxRefusals      = 10   // of one actor or user in a window
	maxRefusalActors = 4096 // in a window; more are not counted and not reported
)

// count counts a refusal, and returns whether to report it, and whether it is the last
// one of this actor that is.
func (r *refusals) count(actor string, now time.Time) (report, last bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if age := now.Sub(r.began); r.actors == nil || age < 0 || age >= refusalWindow {
		r.began, r.actors = now, map[string]int{}
	}
	n, known := r.actors[actor]
	if n >= maxRefusals || !known && len(r.actors) >= maxRefusalActors {
		return false, false
	}
	r.actors[actor] = n + 1
	return true, n+1 == maxRefusals
}

func refusalOf(err error) string {
	switch {
	case errors.Is(err, errChained):
		return refusalChained
	case errors.Is(err, ErrImpersonationNotAllowed):
		return refusalNotAllowed
	case errors.Is(err, ErrUserNotFound):
		return refusalUserNotFound
	case errors.Is(err, ErrUserDisabled):
		return refusalUserDisabled
	case errors.Is(err, ErrUnavailable):
		return refusalUnavailable
	default:
		return refusalInvalid
	}
}

// parentOver reports whether the session of the actor of s has ended or expired. Being
// idle is each session's own affair.
func (m *Manager) parentOver(ctx context.Context, s Session, now time.Time) (bool, error) {
	if s.ParentSessionID == "" {
		return false, nil
	}
	actor, err := m.cfg.Store.Get(ctx, s.ParentSessionID)
	switch {
	case errors.Is(err, ErrNotFound):
		return true, nil
	case err != nil:
		return false, unavailable("look up the actor's session", err)
	default:
		return !actor.Live(Moment{Now: now}), nil
	}
}

// endDependents marks the impersonations that depend on actors' sessions that have
// just ended, all by the same hand, and returns the events of that.
func (m *Manager) endDependents(ctx context.Context, ends []Event) ([]Event, error) {
	var (
		actors []string
		by     string
	)
	for _, e := range ends {
		if !e.Session.Impersonation { // nothing depends on an impersonation
			actors, by = append(actors, e.Session.ID), e.Session.EndedBy
		}
	}
	return m.markDependents(ctx, actors, by)
}

// markDependents marks the impersonations that depend on sessions that have ended. They
// have been dead since: this makes them say so, in the list of ended sessions, to this
// process and as events. So a failure is no reason to deny the end, unless it may have
// broken the host's transaction.
func (m *Manager) markDependents(ctx context.Context, actorSessionIDs []string, by string) ([]Event, error) {
	if m.cfg.MayImpersonate == nil || len(actorSessionIDs) == 0 {
		return nil, nil // no session has a dependent
	}
	now := m.now()
	ended, err := m.cfg.Store.EndDependents(ctx, EndDependentsParams{
		ParentSessionIDs: actorSessionIDs, Now: now, Reason: EndParentEnded, By: by,
	})
	if err != nil {
		return nil, m.effects.unmarked(ctx, err)
	}
	return endings(ended, now), nil
}

// endings are the events of sessions that were ended by somebody.
func endings(ended []Session, now time.Time) []Event {
	events := make([]Event, len(ended))
	for i, s := range ended {
		events[i] = Event{Type: EventEnded, At: now, Session: s}
	}
	return events
}
