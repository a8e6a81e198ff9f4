package sessions

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// AuthenticationTooOldError says that the user has to authenticate again, though the
// session is good (RFC 9470). It is no [ErrUnauthenticated].
type AuthenticationTooOldError struct {
	// MaxAge is how long ago the user may have authenticated, in whole seconds.
	MaxAge time.Duration
}

func (e *AuthenticationTooOldError) Error() string {
	return fmt.Sprintf("sessions: authenticated more than %v ago", e.MaxAge)
}

func (*AuthenticationTooOldError) ofSessions() {}

// GuardRecent decides whether the request of ctx may pass a route that asks for a
// user who has authenticated at most maxAge ago, a second or more: step-up, for what
// a stolen session should not be able to do. The middleware packages are this and
// the writing of the refusal. After the host has asked for the password again it
// calls [Manager.Reauthenticate].
//
// Errors: [*AuthenticationTooOldError], which is answered with the challenge of RFC
// 9470; [ErrImpersonationNotAllowed] for impersonations, which have no
// authentication time; [ErrNoCredentials] where there is no user; another one where
// none of our middlewares has run before.
func GuardRecent(ctx context.Context, maxAge time.Duration) error {
	a, ok := ctx.Value(admittedKey{}).(admitted)
	switch {
	case !ok:
		return errNoMiddleware
	case a.m == nil:
		return errNewContext
	case maxAge < time.Second:
		return miswired("RequireRecent needs a second at least.")
	case !a.id.HasUser():
		return ErrNoCredentials
	case a.id.Impersonation:
		return fmt.Errorf("%w: it cannot authenticate", ErrImpersonationNotAllowed)
	case a.m.now().Sub(a.id.AuthTime) > maxAge:
		return &AuthenticationTooOldError{MaxAge: maxAge.Truncate(time.Second)}
	default:
		return nil
	}
}

// Reauthenticate replaces a session after its user has authenticated again, at the
// host's own prompt: it creates a new one for the same user and client, with an
// authentication time of now and a life as long as the old one's was, and ends the
// old one with [EndReplaced]. So whoever else holds tokens of the old session is not
// promoted with it, but signed out (OWASP ASVS 7.2.4). Impersonations behind the old
// session end with it.
//
// The host has to have authenticated the user of this session, and no other. The
// grant has to reach the client: give it with the answer, in cookie mode by
// [Manager.SetCookies]. Of two calls for one session the second finds it replaced.
// Where the answer is lost, the user has to sign in again, and the new session stays
// until it has been idle for too long or is ended.
//
// Errors: [*ExpiredError] where the session is over; [ErrImpersonationNotAllowed]
// for an impersonation; [ErrUserNotFound], [ErrUserDisabled]; [ErrUnavailable],
// after which the old session may be live still.
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
	// Either somebody else has ended it meanwhile, and meant this session, too; or the
	// store has failed, and then nobody has the new one's tokens.
	_, endErr := m.end(ctx, EndParams{ID: grant.Session.ID, Reason: EndReplaced, By: old.UserID})
	if errors.Is(err, ErrNotFound) {
		err = over
		if endErr != nil {
			err = endErr
		}
	}
	return Grant{}, err
}
