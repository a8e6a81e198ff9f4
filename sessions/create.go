package sessions

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// CreateParams is what create is asked for.
type CreateParams struct {
	// UserID is the host's id of the user: 1 to 255 bytes of UTF-8 without
	// control or format characters (Cc, Cf, Zl and Zp of Unicode). Required.
	UserID string
	// TTL is how long the session lives, up to [Config.MaxSessionTTL]. Defaults to
	// [Config.SessionTTL]; for impersonations to [Impersonation.TTL].
	TTL time.Duration
	// AuthTime is when the user authenticated, after 1970. Defaults to now. An
	// impersonation has none.
	AuthTime time.Time
	// Client is the end user's connection, where known. Its user agent is cut at
	// 255 bytes.
	Client Client
	// By is who creates the session; over HTTP the name of the server key.
	By string

	// Impersonation makes a session in which somebody else acts as the user.
	Impersonation bool
	// Actor is who acts, 1 to 255 bytes as UserID, and not the user. Defaults to
	// By. Only for impersonations.
	Actor string
	// Reason is free text of up to 500 bytes without control or format characters
	// other than U+200C and U+200D. Under [Impersonation].RequireReason an
	// impersonation needs one that can be seen.
	Reason string

	// Handoff asks for a one-time code in place of the tokens, which whoever
	// redeems it within 60 s gets; see [Manager.Redeem].
	Handoff bool

	// caller is the user who impersonates, under Config.MayImpersonate.
	caller *Identity
}

// Create makes a session for a user and returns its first tokens. Nothing is
// written before everything is checked: the user is looked up and the access
// token signed first.
//
// Errors: [ErrInvalidParams], [ErrUserNotFound], [ErrUserDisabled],
// [ErrImpersonationNotAllowed], [ErrUnavailable]. One of an impersonation is also
// reported as an event, up to 10 times a minute for each actor.
func (m *Manager) Create(ctx context.Context, p CreateParams) (Grant, error) {
	grant, err := m.create(ctx, p, m.now())
	if err != nil && p.Impersonation {
		m.refuseImpersonation(ctx, p, err)
	}
	return grant, err
}

func (m *Manager) create(ctx context.Context, p CreateParams, now time.Time) (Grant, error) {
	s, err := m.newSession(p, now)
	if err != nil {
		return Grant{}, err
	}
	user, err := m.user(ctx, s.UserID)
	switch {
	case errors.Is(err, errOtherID):
		// The host's lookup is looser than ours, by case perhaps, and the caller has
		// another spelling than the host. One user under two ids could not be listed or
		// revoked as one. Later the id is the row's, and the host is the one who changed.
		return Grant{}, fmt.Errorf("%w: %w", ErrUserNotFound, errOtherID)
	case err != nil:
		return Grant{}, err
	}
	if p.caller != nil {
		if err := m.mayImpersonate(ctx, *p.caller, user); err != nil {
			return Grant{}, err
		}
	}
	event := EventCreated
	var code Token
	if p.Handoff {
		event = EventHandedOff
		if code, s.HandoffHash, err = newHandoff(s.ID, m.cfg.Audience); err != nil {
			return Grant{}, unavailable("create", err)
		}
		s.HandoffExpiresAt = now.Add(handoffTTL)
	}
	// Also where a code takes the tokens' place: a hook or a signer that fails
	// should fail here and not at the redemption.
	grant, err := m.grant(ctx, s, user, NewRefreshState(now).Current, now)
	if err != nil {
		return Grant{}, err
	}
	err = m.cfg.Store.Create(ctx, s)
	ctx = m.effects.context(ctx)
	switch {
	case errors.Is(err, ErrNotFound) && p.caller != nil:
		return Grant{}, &ExpiredError{ExpiredAt: now, UserID: p.caller.UserID, SessionID: p.caller.SessionID}
	case err != nil:
		// A conflict is a repeated id: a broken random source, not the caller's
		// doing.
		return Grant{}, unavailable("create", err)
	}
	m.effects.report(ctx, []Event{{Type: event, At: now, Session: s, Client: s.Client}})
	if p.Handoff {
		return Grant{Session: s, Handoff: code}, nil
	}
	return grant, nil
}

func (m *Manager) newSession(p CreateParams, now time.Time) (Session, error) {
	invalid := func(format string, args ...any) (Session, error) {
		return Session{}, fmt.Errorf("%w: "+format, append([]any{ErrInvalidParams}, args...)...)
	}
	ttl, least, most := p.TTL, time.Millisecond, m.cfg.MaxSessionTTL
	setDefault(&ttl, m.cfg.SessionTTL)
	if p.Impersonation {
		ttl, least, most = p.TTL, minImpersonationTTL, m.cfg.Impersonation.MaxTTL
		setDefault(&ttl, m.cfg.Impersonation.TTL)
	}
	switch {
	case !validUserID(p.UserID):
		return invalid("UserID: 1 to %d bytes of UTF-8 without control or format characters are required", maxUserID)
	case ttl < least || ttl > most:
		return invalid("TTL: %v is not between %v and %v", p.TTL, least, most)
	case !validText(p.By, maxName):
		return invalid("By: more than %d bytes, or control or format characters", maxName)
	case !validReason(p.Reason):
		return invalid("Reason: more than %d bytes, or control or format characters", maxReason)
	case p.Actor != "" && !p.Impersonation:
		return invalid("Actor: only an impersonation has one")
	case !validText(p.Actor, maxUserID):
		return invalid("Actor: more than %d bytes, or control or format characters", maxUserID)
	case p.Impersonation && p.Actor == "" && p.By == "":
		return invalid("Actor: an impersonation needs one, or By")
	case p.Impersonation && p.Actor == "" && m.cfg.Impersonation.RequireActor:
		return invalid("Actor: required")
	case p.Impersonation && !visible(p.Reason) && m.cfg.Impersonation.RequireReason:
		return invalid("Reason: required")
	case p.Impersonation && !p.AuthTime.IsZero():
		return invalid("AuthTime: an impersonation has none")
	case !p.AuthTime.IsZero() && p.AuthTime.Unix() <= 0:
		return invalid("AuthTime: is not after 1970, from when access tokens count")
	case p.AuthTime.After(now.Add(maxIssuedAhead)):
		return invalid("AuthTime: is in the future")
	}

	id, err := uuid.NewV7()
	if err != nil {
		return Session{}, unavailable("create", err)
	}
	if p.Impersonation && p.Actor == p.UserID {
		return Session{}, fmt.Errorf("%w: of oneself", ErrImpersonationNotAllowed)
	}
	s := Session{
		ID:            id.String(),
		UserID:        p.UserID,
		CreatedAt:     now,
		LastUsedAt:    now,
		ExpiresAt:     now.Add(ttl).Truncate(time.Microsecond),
		AuthTime:      now,
		CreatedBy:     p.By,
		Impersonation: p.Impersonation,
		Actor:         p.Actor,
		Reason:        p.Reason,
		Client:        m.client(p.Client),
	}
	if !p.AuthTime.IsZero() {
		s.AuthTime = p.AuthTime.UTC().Truncate(time.Microsecond)
	}
	if p.Impersonation {
		s.AuthTime = time.Time{}
		setDefault(&s.Actor, p.By)
	}
	if p.caller != nil {
		s.ParentSessionID = p.caller.SessionID
		if s.ExpiresAt.After(p.caller.SessionExpiresAt) {
			s.ExpiresAt = p.caller.SessionExpiresAt
		}
	}
	return s, nil
}
