package sessions

import (
	"context"
	"fmt"
	"time"
)

// What callers may do with the sessions of the user they speak for. The HTTP API
// does no more for an access token, so a host's own pages are as safe with these as
// it is; List, End and EndMany ask nobody who is calling. A caller is an identity from
// our middlewares, and is not checked again.

// ListOwn returns the sessions of the caller's user that the caller may see, newest
// first: an impersonation sees itself alone, others see impersonations only where
// [Impersonation].ShowToUser is set. Of o, Limit and Cursor count. A list is never
// longer than 200: a user with many sessions must not be able to ask for all at once.
//
// The sessions are without what their user is not to know: who began them, actor and
// reason of an impersonation, the hand-off. LastUsedAt is rounded down to the hour,
// but not below CreatedAt: a thief who holds the same token could watch the exact
// time for the moment at which his own use goes unnoticed.
//
// Errors: [ErrNoCredentials] where the caller has no user or no session; those of
// [Manager.List].
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

// listAs returns what a caller over HTTP sees of a user: a key that user's sessions, a user only the own ones.
func (m *Manager) listAs(ctx context.Context, caller Identity, userID string, o ListOptions) (SessionList, error) {
	if !caller.Trusted() {
		return m.ListOwn(ctx, caller, o)
	}
	o.Impersonations = o.Impersonations || caller.Access == AccessAdmin
	return m.List(ctx, userID, o)
}

// shownTo is s as a caller may see it. An impersonation knows its own actor.
func (s Session) shownTo(caller Identity) Session {
	s.LastUsedAt = s.roundedUse()
	s.CreatedBy, s.HandoffHash, s.HandoffExpiresAt = "", "", time.Time{}
	if !caller.Impersonation {
		s.Actor, s.ParentSessionID, s.Reason = "", "", ""
	}
	return s
}

func (s Session) roundedUse() time.Time {
	if rounded := s.LastUsedAt.Truncate(time.Hour); rounded.After(s.CreatedAt) {
		return rounded
	}
	return s.CreatedAt
}

// EndOwn ends one of the other sessions that [Manager.ListOwn] shows the caller.
//
// Errors: [ErrNotFound] where there is none of that id, another user's included, and
// always for an impersonation; [ErrInvalidParams] for the caller's current session,
// which is ended by signing out; [ErrNoCredentials]; [ErrUnavailable].
func (m *Manager) EndOwn(ctx context.Context, caller Identity, id string) (Session, error) {
	switch {
	case !caller.HasUser(), caller.SessionID == "":
		return Session{}, ErrNoCredentials
	case !validSessionID(id), caller.Impersonation && id != caller.SessionID:
		return Session{}, ErrNotFound
	case id == caller.SessionID:
		return Session{}, fmt.Errorf("%w: the current session", ErrInvalidParams)
	}
	s, err := m.end(ctx, EndParams{
		ID: id, UserID: caller.UserID, NoImpersonation: !m.showsImpersonations(), By: caller.UserID,
	})
	if err != nil {
		return Session{}, err
	}
	return s.shownTo(caller), nil
}

// EndOthers ends all sessions of the caller's user but the caller's own, hidden
// impersonations included, and returns those that [Manager.ListOwn] would have shown.
//
// Errors: [ErrImpersonationNotAllowed] for an impersonation, which ends only itself;
// [ErrNoCredentials]; those of [Manager.EndMany].
func (m *Manager) EndOthers(ctx context.Context, caller Identity) ([]Session, error) {
	switch {
	case !caller.HasUser(), caller.SessionID == "":
		return nil, ErrNoCredentials
	case caller.Impersonation:
		return nil, fmt.Errorf("%w: to end others", ErrImpersonationNotAllowed)
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
		// Nobody learns of what they may not see, nor of what was idle, which no list
		// has shown.
		if (!s.Impersonation || m.showsImpersonations()) && !s.idle(moment) {
			shown = append(shown, s.shownTo(caller))
		}
	}
	return shown, nil
}

// SignOut ends the session of the caller, by whoever really acts, and returns it. For
// a browser in cookie mode see [Manager.SignOutBrowser].
//
// Errors: [ErrNotFound] where it is over already; [ErrNoCredentials];
// [ErrUnavailable].
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
