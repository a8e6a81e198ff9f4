package sessions

import (
	"context"
	"fmt"
	"time"
)

// This file holds what callers may do with the sessions of their own user. The HTTP API does no more for an access
// token, so the host's own pages are as safe with these methods as the API is. List, End and EndMany, in contrast,
// trust whoever calls them. A caller is an identity from our middlewares, and is not checked again.

// ListOwn returns the sessions of the caller's user that the caller may see, newest first. An impersonation sees only
// itself. Others see impersonations only if [Impersonation].ShowToUser is set. ListOwn reads Limit and Cursor of o. A
// list is never longer than 200, so that nobody can request all sessions of a user who has many.
//
// The sessions lack everything that their user must not learn: who created them, the actor and the reason of an
// impersonation, and the hand-off. LastUsedAt is rounded down to the hour, but not below CreatedAt. A thief who holds
// the same token could otherwise see from LastUsedAt when another use stays unnoticed.
//
// Errors: [ErrNoCredentials] if the caller has no user or no session; those of [Manager.List].
func (m *Manager) ListOwn(ctx context.Context, caller Identity, o ListOptions) (SessionList, error) {
	if !caller.HasUser() || caller.SessionID == "" {
		return SessionList{}, ErrNoCredentials
	}
	o.Impersonations, o.onlyID = m.showsImpersonations(), ""
	setDefault(&o.Limit, maxListLimit)
	if caller.Impersonation {
		o.Impersonations, o.onlyID = true, caller.SessionID
	}
	list, err := m.List(ctx, caller.UserID, o)
	for i, s := range list.Sessions {
		list.Sessions[i] = s.shownTo(caller)
	}
	return list, err
}

// listAs returns the sessions of a user that a caller over HTTP may see.
func (m *Manager) listAs(ctx context.Context, caller Identity, userID string, o ListOptions) (SessionList, error) {
	if !caller.Trusted() {
		return m.ListOwn(ctx, caller, o)
	}
	o.Impersonations = o.Impersonations || caller.Access == AccessAdmin
	return m.List(ctx, userID, o)
}

// shownTo returns s as a caller may see it. An impersonation knows its own actor.
func (s Session) shownTo(caller Identity) Session {
	s.LastUsedAt = s.roundedUse()
	s.CreatedBy, s.HandoffHash, s.HandoffExpiresAt = "", "", time.Time{}
	if !caller.Impersonation {
		s.Actor, s.ParentSessionID, s.Reason = "", "", ""
	}
	return s
}

// roundedUse returns LastUsedAt as its user may see it; see ListOwn.
func (s Session) roundedUse() time.Time {
	if rounded := s.LastUsedAt.Truncate(time.Hour); rounded.After(s.CreatedAt) {
		return rounded
	}
	return s.CreatedAt
}

// EndOwn ends one of the other sessions that [Manager.ListOwn] shows the caller.
//
// Errors: [ErrNotFound] if the caller's user has no such session, and always for an impersonation; [ErrInvalidParams]
// for the caller's current session, for which there is [Manager.SignOut]; [ErrNoCredentials]; [ErrUnavailable].
func (m *Manager) EndOwn(ctx context.Context, caller Identity, id string) (Session, error) {
	switch {
	case !caller.HasUser(), caller.SessionID == "":
		return Session{}, ErrNoCredentials
	case !validSessionID(id), caller.Impersonation && id != caller.SessionID:
		return Session{}, ErrNotFound
	case id == caller.SessionID:
		return Session{}, fmt.Errorf("%w: id is the current session", ErrInvalidParams)
	}
	s, err := m.end(ctx, EndParams{
		ID: id, UserID: caller.UserID, NoImpersonation: !m.showsImpersonations(), By: caller.UserID,
	})
	if err != nil {
		return Session{}, err
	}
	return s.shownTo(caller), nil
}

// EndOthers ends all sessions of the caller's user except the caller's own. It ends hidden impersonations, too, and
// returns the sessions that [Manager.ListOwn] would have shown.
//
// Errors: [ErrImpersonationNotAllowed] for an impersonation, which may end only itself; [ErrNoCredentials]; those of
// [Manager.EndMany].
func (m *Manager) EndOthers(ctx context.Context, caller Identity) ([]Session, error) {
	switch {
	case !caller.HasUser(), caller.SessionID == "":
		return nil, ErrNoCredentials
	case caller.Impersonation:
		return nil, fmt.Errorf("%w: an impersonation may end only itself", ErrImpersonationNotAllowed)
	}
	moment := m.moment(m.now())
	ended, err := m.EndMany(ctx, EndManyParams{
		UserID: caller.UserID, ExceptID: caller.SessionID, Reason: EndRevoked, By: caller.UserID,
	})
	if err != nil {
		return nil, err
	}
	var shown []Session
	for _, s := range ended {
		// The caller does not learn of hidden sessions, nor of idle ones, which no list has shown.
		if (!s.Impersonation || m.showsImpersonations()) && !s.idle(moment) {
			shown = append(shown, s.shownTo(caller))
		}
	}
	return shown, nil
}

// SignOut ends the session of the caller and returns it. Its EndedBy is the actor if the caller is an impersonation,
// and the user otherwise. For a browser in cookie mode see [Manager.SignOutBrowser].
//
// Errors: [ErrNotFound] if the session is over already; [ErrNoCredentials]; [ErrUnavailable].
func (m *Manager) SignOut(ctx context.Context, caller Identity) (Session, error) {
	if !caller.HasUser() {
		return Session{}, ErrNoCredentials
	}
	by := caller.UserID
	if caller.Impersonation {
		by = caller.Actor
	}
	return m.end(ctx, EndParams{ID: caller.SessionID, UserID: caller.UserID, Reason: EndSignedOut, By: by})
}

func (m *Manager) showsImpersonations() bool { return m.cfg.Impersonation.ShowToUser }
