package sessions

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// CreateParams holds the arguments of [Manager.Create].
type CreateParams struct {
	// UserID is the host's id of the user: 1 to 255 bytes of UTF-8 without control or format characters (Cc, Cf, Zl
	// and Zp of Unicode). Required.
	UserID string
	// TTL is how long the session lives, up to [Config.MaxSessionTTL]. Defaults to [Config.SessionTTL]; for an
	// impersonation it is 30 s to [Impersonation].MaxTTL and defaults to [Impersonation].TTL.
	TTL time.Duration
	// AuthTime is when the user authenticated, after 1970. Defaults to now. An impersonation has no AuthTime.
	AuthTime time.Time
	// Client is the end user's connection, if it is known. Its user agent is cut at 255 bytes.
	Client Client
	// By is who creates the session; over HTTP it is the name of the server key.
	By string

	// Impersonation makes a session in which somebody else acts as the user.
	Impersonation bool
	// Actor is who acts, 1 to 255 bytes as UserID, and not the user. Defaults to By. Only for impersonations.
	Actor string
	// Reason is free text of up to 500 bytes without control or format characters other than U+200C and U+200D.
	// If [Impersonation].RequireReason is set, an impersonation needs a reason with something visible in it.
	Reason string

	// Handoff returns a one-time code in place of the tokens. Whoever redeems it within 60 s gets the tokens; see
	// [Manager.Redeem].
	Handoff bool

	// caller is the user who impersonates, under Config.MayImpersonate.
	caller *Identity
}

// impersonatedBy returns p for a user who asks for an impersonation.
func (p CreateParams) impersonatedBy(caller Identity) CreateParams {
	p.caller = &caller
	p.Impersonation, p.Actor, p.By = true, caller.UserID, caller.UserID
	return p
}

// askedBy returns p for a caller over HTTP: a key may ask for any session, a user for an impersonation.
func (p CreateParams) askedBy(caller Identity) CreateParams {
	if !caller.Trusted() {
		return p.impersonatedBy(caller)
	}
	p.By = caller.KeyName
	return p
}

// Create makes a session for a user and returns its first tokens. Nothing is written before everything is checked:
// Create looks up the user and signs the access token first.
//
// Errors: [ErrInvalidParams], which names every field that is wrong; [ErrUserNotFound], [ErrUserDisabled],
// [ErrImpersonationNotAllowed], [ErrUnavailable]. A refused impersonation is also reported as an event, up to 10
// times a minute for each actor.
func (m *Manager) Create(ctx context.Context, p CreateParams) (Grant, error) {
	grant, err := m.create(ctx, p, m.now())
	if err != nil && p.Impersonation {
		m.refuseImpersonation(ctx, p, err)
	}
	return grant, err
}

// createAs is Create for a caller over HTTP.
func (m *Manager) createAs(ctx context.Context, caller Identity, p CreateParams) (Grant, error) {
	if !caller.Trusted() {
		return m.Impersonate(ctx, caller, p)
	}
	return m.Create(ctx, p.askedBy(caller))
}

func (m *Manager) create(ctx context.Context, p CreateParams, now time.Time) (Grant, error) {
	if err := m.createFaults(p, now).err(); err != nil {
		return Grant{}, err
	}
	s, err := m.newSession(p, now)
	if err != nil {
		return Grant{}, err
	}
	user, err := m.newUser(ctx, p)
	if err != nil {
		return Grant{}, err
	}
	var code Token
	if p.Handoff {
		if code, s.HandoffHash, err = newHandoff(s.ID, m.cfg.Audience); err != nil {
			return Grant{}, unavailable("create", err)
		}
		s.HandoffExpiresAt = now.Add(handoffTTL)
	}
	// Tokens are made for a hand-off, too: a hook or a signer that fails should fail here and not at the redemption.
	grant, err := m.grant(ctx, s, user, NewRefreshState(now).Current, now)
	if err != nil {
		return Grant{}, err
	}
	if err := m.add(ctx, s, p); err != nil {
		return Grant{}, err
	}
	if p.Handoff {
		return Grant{Session: s, Handoff: code}, nil
	}
	return grant, nil
}

// createFaults holds the rules of CreateParams. It returns everything that is wrong with p, for a session that begins
// at now. The HTTP API judges a request by the same list.
func (m *Manager) createFaults(p CreateParams, now time.Time) faults {
	var f faults
	f.form(validUserID(p.UserID), "UserID", mustBeID)
	if ttl, least, most := m.lifetime(p); ttl < least || ttl > most {
		f.form(false, "TTL", fmt.Sprintf("must be from %v to %v", least, most))
	}
	f.form(validReason(p.Reason), "Reason", mustBeReason)
	f.form(validText(p.Actor, maxUserID), "Actor", mustBeID)
	f.form(validText(p.By, maxName), "By", mustBeName)
	if p.Impersonation {
		m.impersonationFaults(&f, p)
		return f
	}
	f.presence(p.Actor == "", "Actor", "is only for impersonations")
	f.form(p.AuthTime.IsZero() || p.AuthTime.Unix() > 0, "AuthTime",
		"must be after 1970, from when access tokens count")
	f.form(!p.AuthTime.After(now.Add(maxIssuedAhead)), "AuthTime", "must not be in the future")
	return f
}

func (m *Manager) impersonationFaults(f *faults, p CreateParams) {
	if m.cfg.Impersonation.RequireActor {
		f.presence(p.Actor != "", "Actor", isRequired)
	} else {
		f.presence(p.Actor != "" || p.By != "", "Actor", "is required if By is empty")
	}
	f.presence(visible(p.Reason) || !m.cfg.Impersonation.RequireReason, "Reason", isRequired)
	f.presence(p.AuthTime.IsZero(), "AuthTime", "is not for impersonations")
}

// lifetime returns how long the session of p lives, and the least and the most that it may live.
func (m *Manager) lifetime(p CreateParams) (ttl, least, most time.Duration) {
	if p.Impersonation {
		return cmp.Or(p.TTL, m.cfg.Impersonation.TTL), minImpersonationTTL, m.cfg.Impersonation.MaxTTL
	}
	return cmp.Or(p.TTL, m.cfg.SessionTTL), time.Millisecond, m.cfg.MaxSessionTTL
}

// newSession makes the session of valid params.
func (m *Manager) newSession(p CreateParams, now time.Time) (Session, error) {
	if p.Impersonation && p.Actor == p.UserID {
		return Session{}, fmt.Errorf("%w: the actor is the user", ErrImpersonationNotAllowed)
	}
	id, err := uuid.NewV7()
	if err != nil {
		return Session{}, unavailable("create", err)
	}
	ttl, _, _ := m.lifetime(p)
	s := Session{
		ID:            id.String(),
		UserID:        p.UserID,
		CreatedAt:     now,
		LastUsedAt:    now,
		ExpiresAt:     now.Add(ttl).Truncate(time.Microsecond),
		CreatedBy:     p.By,
		Impersonation: p.Impersonation,
		Actor:         p.Actor,
		Reason:        p.Reason,
		Client:        m.client(p.Client),
	}
	switch {
	case p.Impersonation:
		setDefault(&s.Actor, p.By)
	case p.AuthTime.IsZero():
		s.AuthTime = now
	default:
		s.AuthTime = p.AuthTime.UTC().Truncate(time.Microsecond)
	}
	if p.caller != nil {
		s.ParentSessionID = p.caller.SessionID
		if s.ExpiresAt.After(p.caller.SessionExpiresAt) {
			s.ExpiresAt = p.caller.SessionExpiresAt
		}
	}
	return s, nil
}

// newUser looks up the user of a session that is to be created, and asks the policy if another user is to act.
func (m *Manager) newUser(ctx context.Context, p CreateParams) (User, error) {
	user, err := m.user(ctx, p.UserID)
	if errors.Is(err, errOtherID) {
		// The host's lookup is looser than ours, by case perhaps, and the caller has another spelling than the host.
		// One user under two ids could not be listed or revoked as one. At a refresh the id is the row's, and it is
		// the host who has changed.
		return User{}, fmt.Errorf("%w: %w", ErrUserNotFound, errOtherID)
	}
	if err == nil && p.caller != nil {
		err = m.mayImpersonate(ctx, *p.caller, user)
	}
	if err != nil {
		return User{}, err
	}
	return user, nil
}

// add writes a new session and reports it.
func (m *Manager) add(ctx context.Context, s Session, p CreateParams) error {
	err := m.cfg.Store.Create(ctx, s)
	ctx = m.effects.context(ctx)
	switch {
	case errors.Is(err, ErrNotFound) && p.caller != nil: // the parent has ended meanwhile
		return &ExpiredError{ExpiredAt: s.CreatedAt, UserID: p.caller.UserID, SessionID: p.caller.SessionID}
	case err != nil:
		// A conflict is a repeated id: the fault of a broken random source, not of the caller.
		return unavailable("create", err)
	}
	event := EventCreated
	if p.Handoff {
		event = EventHandedOff
	}
	m.effects.report(ctx, []Event{{Type: event, At: s.CreatedAt, Session: s, Client: s.Client}})
	return nil
}
