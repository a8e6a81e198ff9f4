package sessions

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// AuthenticationTooOldError means that the user must authenticate again, although the
// session is good (RFC 9470). It is not an [ErrUnauthenticated].
type AuthenticationTooOldError struct {
	// MaxAge is how long ago the user may have authenticated, in whole seconds.
	MaxAge time.Duration
}

func (e *AuthenticationTooOldError) Error() string {
	return fmt.Sprintf("sessions: authenticated more than %v ago", e.MaxAge)
}

func (*AuthenticationTooOldError) ofSessions() {}

// GuardRecent refuses the request of ctx unless its user authenticated at most maxAge ago.
// It is step-up, for routes that a stolen session should not be able to use. maxAge must be
// a second or more. The middleware packages call it, and write the refusal. After the host
// has asked for the password again, it calls [Manager.Reauthenticate].
//
// Errors: [*AuthenticationTooOldError], which is answered with the challenge of RFC 9470;
// [ErrImpersonationNotAllowed] for impersonations, which have no authentication time;
// [ErrNoCredentials] if there is no user; a misconfiguration, answered with 500, if no
// middleware of this module has run before.
func GuardRecent(ctx context.Context, maxAge time.Duration) error {
	a, ok := ctx.Value(admittedKey{}).(admitted)
	switch {
	case !ok:
		return errNoMiddleware
	case a.m == nil:
		return errNewContext
	case maxAge < time.Second:
		return miswired("RequireRecent: maxAge must be a second or more.")
	case !a.id.HasUser():
		return a.m.explainNobody(ErrNoCredentials)
	case a.id.Impersonation:
		return fmt.Errorf("%w: it cannot authenticate", ErrImpersonationNotAllowed)
	case a.m.now().Sub(a.id.AuthTime) > maxAge:
		return &AuthenticationTooOldError{MaxAge: maxAge.Truncate(time.Second)}
	default:
		return nil
	}
}

// Reauthenticate replaces a session after its user has authenticated again, at the host's
// own prompt. It creates a new session for the same user and client, with an authentication
// time of now and a life as long as that of the old one, and ends the old one with
// [EndReplaced]. So whoever else holds tokens of the old session is not promoted with it, but
// signed out (OWASP ASVS 7.2.4). The dependents of the old session end with it.
//
// The host must have authenticated the user of this session, and no other. The grant must
// reach the client: send it with the answer, in cookie mode by [Manager.SetCookies]. Of two
// calls for one session the second finds it replaced. If the answer is lost, the user must
// sign in again, and the new session stays until it is ended or idle for too long.
//
// Errors: [*ExpiredError] if the session is over; [ErrImpersonationNotAllowed] for an
// impersonation; [ErrUserNotFound], [ErrUserDisabled]; [ErrUnavailable], after which the old
// session may still be live.
func (m *Manager) Reauthenticate(ctx context.Context, sessionID string) (Grant, error) {
	old, err := m.Get(ctx, sessionID)
	over := &ExpiredError{ExpiredAt: m.now(), UserID: old.UserID, SessionID: sessionID}
	switch {
	case errors.Is(err, ErrNotFound):
		return Grant{}, over
	case err != nil:
		return Grant{}, err
	case old.Impersonation:
		return Grant{}, fmt.Errorf("%w: it cannot authenticate", ErrImpersonationNotAllowed)
	case !old.Live(m.moment(m.now())):
		return Grant{}, over
	}
	grant, err := m.Create(ctx, CreateParams{
		UserID: old.UserID,
		TTL:    min(old.ExpiresAt.Sub(old.CreatedAt), m.cfg.MaxSessionTTL),
		Client: old.Client,
		By:     old.CreatedBy,
	})
	ctx = m.effects.context(ctx)
	if err != nil {
		return Grant{}, err
	}
	_, err = m.end(ctx, EndParams{ID: old.ID, Reason: EndReplaced, By: old.UserID})
	if err == nil {
		return grant, nil
	}
	// Either somebody else has ended it meanwhile, and the new session must not outlive that;
	// or the store has failed, and nobody has the tokens of the new session.
	_, endErr := m.end(ctx, EndParams{ID: grant.Session.ID, Reason: EndReplaced, By: old.UserID})
	if errors.Is(err, ErrNotFound) {
		err = over
		if endErr != nil {
			err = endErr
		}
	}
	return Grant{}, err
}
