package sessions

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Impersonate creates a session in which the caller acts as the user p.UserID, if [Config.MayImpersonate] allows it. It
// sets p.Actor and p.By to the caller. The caller's session is the parent of the new one, which ends with it and never
// outlives it. The caller must come from a strict check of the access token, as [Manager.Check] makes it.
//
// Errors: those of [Manager.Create], which are reported as events; [*ExpiredError] if the caller's session has just
// ended, which is not.
func (m *Manager) Impersonate(ctx context.Context, caller Identity, p CreateParams) (Grant, error) {
	p = p.impersonatedBy(caller)
	if err := m.mayAsk(caller); err != nil {
		m.refuseImpersonation(ctx, p, err)
		return Grant{}, err
	}
	return m.Create(ctx, p)
}

var (
	errChained = newError(ErrImpersonationNotAllowed, "the caller is an impersonation")
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

// mayImpersonate asks the host whether the actor is still a user who may have sessions, and then its policy.
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
	case isAnswer(err, ErrImpersonationNotAllowed):
		return answered(ErrImpersonationNotAllowed, err)
	case err != nil:
		return unavailable("Config.MayImpersonate", err)
	}
	return nil
}

// refuseImpersonation reports that an impersonation was requested and refused, unless the caller has no good
// credential.
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

// refusals counts refusals by actor or by user, so that nobody can cause any number of events. All counts begin anew at
// the same time, which takes one map and no timer.
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

// count counts a refusal. It returns whether to report it, and whether it is the last one of this actor to be reported.
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

// parentOver reports whether the parent of s has ended or expired. An idle parent does not end its dependents.
func (m *Manager) parentOver(ctx context.Context, s Session, now time.Time) (bool, error) {
	if s.ParentSessionID == "" {
		return false, nil
	}
	parent, err := m.cfg.Store.Get(ctx, s.ParentSessionID)
	switch {
	case errors.Is(err, ErrNotFound):
		return true, nil
	case err != nil:
		return false, unavailable("look up the parent", err)
	default:
		return !parent.Live(Moment{Now: now}), nil
	}
}

// endDependents marks the dependents of sessions that one caller has just ended, and returns the events of that.
func (m *Manager) endDependents(ctx context.Context, ends []Event) ([]Event, error) {
	var (
		parents []string
		by      string
	)
	for _, e := range ends {
		if !e.Session.Impersonation { // an impersonation has no dependents
			parents, by = append(parents, e.Session.ID), e.Session.EndedBy
		}
	}
	return m.markDependents(ctx, parents, by)
}

// markDependents marks the dependents of parents that have ended. They are over since then. The marks bring them into
// the list of ended sessions, to this process and to the host's events. So the end of the parents holds even if the
// marks fail, unless that may have broken the host's transaction.
func (m *Manager) markDependents(ctx context.Context, parentIDs []string, by string) ([]Event, error) {
	if m.cfg.MayImpersonate == nil || len(parentIDs) == 0 {
		return nil, nil // no session has a dependent
	}
	now := m.now()
	ended, err := m.cfg.Store.EndDependents(ctx, EndDependentsParams{
		ParentSessionIDs: parentIDs, Now: now, Reason: EndParentEnded, By: by,
	})
	if err != nil {
		return nil, m.effects.unmarked(ctx, err)
	}
	return endings(ended, now), nil
}

// endings returns the events of sessions that somebody has ended.
func endings(ended []Session, now time.Time) []Event {
	events := make([]Event, len(ended))
	for i, s := range ended {
		events[i] = Event{Type: EventEnded, At: now, Session: s}
	}
	return events
}
