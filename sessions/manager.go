package sessions

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// Manager creates, refreshes, verifies and ends sessions. It is safe for concurrent use. Any number of Managers, in any
// number of processes, may share one store and one set of secrets.
type Manager struct {
	cfg      Config // limited
	host     Config // the same without limits, for Join
	clientID string
	// audiences are those whose tokens are accepted. New tokens are for the first.
	audiences []string
	keys      keySet
	ring      *ring
	jwks      []byte
	ended     *recentlyEnded
	feed      *feed
	watches   *watches
	forgeries *refusals
	failures  *failures
	cookies   *cookieMode // nil if it is off
	refusals  *refusals   // by who asks for impersonations
	disabled  *refusals   // by user
	// effects are prompt, except for the Manager inside a Joined.
	effects effects
}

// New makes a Manager. It does no I/O and starts no goroutine. The error joins every fault of cfg.
func New(cfg Config) (*Manager, error) {
	cfg = cfg.withDefaults()
	ring, ringErr := newRing(cfg.Secrets, cfg.Signers, cfg.audiences())
	keys, keysErr := newKeySet(cfg.ServerKeys)
	if err := errors.Join(cfg.validate(), ringErr, keysErr); err != nil {
		return nil, err
	}
	jwks, err := ring.jwkSet()
	if err != nil {
		return nil, err
	}
	cfg.Secrets, cfg.Signers = nil, nil // the ring has their keys
	tokenLife := max(cfg.AccessTokenTTL, minFreshness) + cfg.ClockSkew
	m := &Manager{
		cfg:       cfg.limited(),
		host:      cfg,
		clientID:  cfg.ProjectID,
		audiences: cfg.audiences(),
		keys:      keys,
		ring:      ring,
		jwks:      jwks,
		ended:     newRecentlyEnded(tokenLife),
		feed:      newFeed(tokenLife),
		watches:   &watches{},
		forgeries: &refusals{},
		failures:  &failures{},
		cookies:   newCookieMode(cfg.Cookies),
		refusals:  &refusals{},
		disabled:  &refusals{},
	}
	m.effects = promptEffects{m}
	if m.clientID == "" {
		m.clientID = cfg.Audience
	}
	if cfg.Cookies.InsecureCookie {
		m.cfg.Logger.Warn("sessions: Config.Cookies.InsecureCookie is set, which is for development only")
	}
	return m, nil
}

// Format writes the name of the type whatever the verb. The fields hold keys.
func (*Manager) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "sessions.Manager") }

// now returns the time at the resolution of the store.
func (m *Manager) now() time.Time { return m.cfg.Now().UTC().Truncate(time.Microsecond) }

func (m *Manager) moment(now time.Time) Moment {
	if m.cfg.IdleTimeout == NoIdleTimeout {
		return Moment{Now: now}
	}
	return Moment{Now: now, IdleCutoff: now.Add(-m.cfg.IdleTimeout)}
}

func (m *Manager) client(c Client) Client {
	if m.cfg.NoClientInfo {
		return Client{}
	}
	return Client{IP: clipText(c.IP, maxIP), UserAgent: clipText(c.UserAgent, maxUserAgent)}
}

// errOtherID: the host returned another user than the requested one.
var errOtherID = errors.New("Config.Users returned a User with another ID than the requested one")

// user asks the host for a user. The user that it returns has exactly the requested id: a policy that compares ids
// must never see another spelling, or an empty one.
func (m *Manager) user(ctx context.Context, id string) (User, error) {
	user, err := m.cfg.Users(ctx, id)
	switch {
	case isAnswer(err, ErrUserNotFound):
		return User{}, answered(ErrUserNotFound, err)
	case isAnswer(err, ErrUserDisabled):
		return User{}, answered(ErrUserDisabled, err)
	case err != nil:
		return User{}, unavailable("look up the user", err)
	case user.ID == "":
		return User{}, unavailable("look up the user", errors.New("Config.Users returned a User without an ID"))
	case user.ID != id:
		return User{}, unavailable("look up the user", errOtherID)
	}
	return user, nil
}

// grant makes both tokens of a session.
func (m *Manager) grant(ctx context.Context, s Session, user User, counter int64, now time.Time) (Grant, error) {
	var extra map[string]any
	if m.cfg.Claims != nil {
		var err error
		if extra, err = m.cfg.Claims(ctx, s, user); err != nil {
			return Grant{}, unavailable("Config.Claims", err)
		}
	}
	access, issued, expires, err := m.issue(s, user, extra, now)
	if err != nil {
		return Grant{}, unavailable("issue", err)
	}
	refresh, err := m.ring.mintRefresh(s.ID, counter)
	if err != nil {
		return Grant{}, unavailable("issue", err)
	}
	return Grant{
		Session: s, RefreshToken: refresh,
		AccessToken: access, AccessTokenIssuedAt: issued, AccessTokenExpiresAt: expires,
	}, nil
}

// Refresh exchanges a refresh token for new tokens; docs/refresh.md explains the protocol. The client stores the
// grant's refresh token in place of the one that it had. A client that keeps its first token keeps working, unless
// [Rotation.MaxRecoveries] forbids it.
//
// Errors: the leaves of [ErrRefused], after which the user must sign in again; [ErrUnavailable], after which the client
// may try again with the same token.
func (m *Manager) Refresh(ctx context.Context, token string, client Client) (Grant, error) {
	presented, err := m.ring.parseRefresh(token)
	if err != nil {
		return Grant{}, err
	}
	now := m.now()
	moment := m.moment(now)
	client = m.client(client)
	result, err := m.cfg.Store.Refresh(ctx, RefreshParams{
		ID:                  presented.sessionID,
		Presented:           presented.counter,
		Rotation:            m.cfg.Rotation,
		Moment:              moment,
		ImpersonationMargin: minFreshness,
		Client:              client,
	})
	ctx = m.effects.context(ctx)
	switch {
	case errors.Is(err, ErrNotFound):
		return Grant{}, m.whyRefused(ctx, presented.sessionID, moment)
	case err != nil:
		return Grant{}, unavailable("refresh", err)
	}

	e := Event{
		Type: result.Outcome.event(), At: now, Session: result.Session, Client: client, OldSecret: presented.oldSecret,
	}
	if result.Outcome.refused() {
		if err := m.emitEnds(ctx, e); err != nil {
			return Grant{}, err
		}
		if result.Outcome == OutcomeRecoveryLimit {
			return Grant{}, ErrRecoveryLimit
		}
		return Grant{}, ErrReplay
	}
	return m.regrant(ctx, e, result.State.Current)
}

// regrant makes tokens for a session that goes on, if the host still allows it, and reports e. If there are no
// tokens, it reports the refusal instead. EventRecovered and EventAhead are alarms and are reported next to a
// refusal: the row has moved on, and no later refresh would raise them.
func (m *Manager) regrant(ctx context.Context, e Event, counter int64) (Grant, error) {
	grant, err := m.grantAgain(ctx, e.Session, counter, e.At)
	switch {
	case errors.Is(err, errUserGone), errors.Is(err, errNotAllowed):
		return Grant{}, err // the end of the session is an event already
	case err != nil:
		if e.Type == EventRecovered || e.Type == EventAhead {
			m.notify(ctx, e)
		}
		e.Type, e.Refusal = EventRefused, refusalOf(err)
	}
	m.notify(ctx, e)
	return grant, err
}

// grantAgain makes tokens if the host still allows the session to go on, and ends the session otherwise.
func (m *Manager) grantAgain(ctx context.Context, s Session, counter int64, now time.Time) (Grant, error) {
	user, err := m.user(ctx, s.UserID)
	switch {
	case errors.Is(err, ErrUserNotFound):
		// The end is final: a user that is created again under this id must not inherit the session.
		return Grant{}, m.endFor(ctx, s, EndUserGone, errUserGone)
	case errors.Is(err, ErrUserDisabled):
		return Grant{}, errUserRefused
	case err != nil:
		return Grant{}, err
	}
	if s.ParentSessionID != "" {
		actor := Identity{Access: AccessClient, UserID: s.Actor, SessionID: s.ParentSessionID}
		switch err := m.mayImpersonate(ctx, actor, user); {
		case errors.Is(err, ErrImpersonationNotAllowed):
			return Grant{}, m.endFor(ctx, s, EndNotAllowed, errNotAllowed)
		case err != nil:
			return Grant{}, err
		}
	}
	return m.grant(ctx, s, user, counter, now)
}

// endFor ends a session and returns why, or the error of the end.
func (m *Manager) endFor(ctx context.Context, s Session, reason EndReason, why error) error {
	if _, err := m.end(ctx, EndParams{ID: s.ID, Reason: reason}); err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	return why
}

// whyRefused returns why a refresh found no live session. The states of a session that is over are final, so the answer
// is right although it is looked up later.
func (m *Manager) whyRefused(ctx context.Context, id string, moment Moment) error {
	s, err := m.cfg.Store.Get(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return ErrUnknownSession
	}
	if err != nil {
		return unavailable("refresh", err)
	}
	switch s.state(moment) {
	case stateEnded:
		if s.EndReason == EndReplaced {
			return errReplaced
		}
		return ErrSessionEnded
	case stateIdle:
		return ErrSessionIdle
	case stateExpired:
		return ErrSessionExpired
	case stateLive: // by its own row
	}
	switch over, err := m.parentOver(ctx, s, moment.Now); {
	case err != nil:
		return err
	case over:
		events, err := m.markDependents(ctx, []string{s.ParentSessionID}, s.Actor)
		if err != nil {
			return err
		}
		m.notify(ctx, events...)
		return ErrParentEnded
	case s.Impersonation:
		return ErrSessionExpired // in its last 30 s
	default:
		return unavailable("refresh", errors.New("the session is live again: the database has lost commits"))
	}
}

// Verify checks an access token without the database: form, signature, issuer, audience and times, and that this
// process has not ended its session. [Manager.Check] also detects a session that another process has ended.
//
// Errors: [ErrInvalidToken]; [*ExpiredError].
func (m *Manager) Verify(token string) (Identity, error) {
	return m.verify(context.Background(), token)
}

func (m *Manager) verify(ctx context.Context, token string) (Identity, error) {
	id, err := m.parseAccess(ctx, token)
	if err != nil {
		return Identity{}, err
	}
	now := m.now()
	if expires := id.ExpiresAt.Add(m.cfg.ClockSkew); !now.Before(expires) || !now.Before(id.SessionExpiresAt) {
		at := id.ExpiresAt
		if id.SessionExpiresAt.Before(at) {
			at = id.SessionExpiresAt
		}
		return Identity{}, &ExpiredError{ExpiredAt: at, UserID: id.UserID, SessionID: id.SessionID}
	}
	if at, ended := m.ended.at(id.SessionID); ended {
		return Identity{}, &ExpiredError{ExpiredAt: at, UserID: id.UserID, SessionID: id.SessionID}
	}
	return id, nil
}

// Check looks up the session of an identity from [Manager.Verify], with one statement, and returns it if it is live
// and of the same user and actor. This is the strict setting of the revocation dial. If the row contradicts the
// token, Check reports an [EventForgedToken].
//
// Errors: [*ExpiredError], [ErrUnavailable].
func (m *Manager) Check(ctx context.Context, id Identity) (Session, error) {
	now := m.now()
	s, err := m.cfg.Store.Get(ctx, id.SessionID)
	expired := &ExpiredError{ExpiredAt: now, UserID: id.UserID, SessionID: id.SessionID}
	switch {
	case errors.Is(err, ErrNotFound):
		if now.Before(id.ExpiresAt) { // Prune keeps a row for longer than its tokens live
			m.reportForged(ctx, id, refusalUnknownSession)
		}
		return Session{}, expired
	case err != nil:
		return Session{}, unavailable("check", err)
	case s.UserID != id.UserID, s.Impersonation != id.Impersonation, s.Actor != id.Actor:
		if now.Before(id.ExpiresAt) {
			m.reportForged(ctx, id, refusalContradiction)
		}
		return Session{}, expired
	}
	moment := m.moment(now)
	switch s.state(moment) {
	case stateLive:
		over, err := m.parentOver(ctx, s, now)
		if err != nil {
			return Session{}, err
		}
		if !over {
			return s, nil
		}
	case stateEnded:
		expired.ExpiredAt = s.EndedAt
	case stateExpired:
		expired.ExpiredAt = s.ExpiresAt
	case stateIdle:
		expired.ExpiredAt = s.LastUsedAt.Add(m.cfg.IdleTimeout)
	}
	return Session{}, expired
}

// Get returns the session with an id, live or not.
//
// Errors: [ErrNotFound], [ErrUnavailable].
func (m *Manager) Get(ctx context.Context, id string) (Session, error) {
	if !validSessionID(id) {
		return Session{}, ErrNotFound
	}
	s, err := m.cfg.Store.Get(ctx, id)
	switch {
	case errors.Is(err, ErrNotFound):
		return Session{}, ErrNotFound
	case err != nil:
		return Session{}, unavailable("get", err)
	}
	return s, nil
}

// End ends the session p.ID, even if it is idle: impersonations may depend on it. Set p.UserID and
// p.NoImpersonation to end it on these conditions only. p.Reason defaults to [EndRevoked], and End sets p.Now. This
// process refuses the session's access tokens at once.
//
// Errors: [ErrNotFound] if there is no such session, it has ended or expired already, or it does not meet the
// conditions; [ErrInvalidParams], [ErrUnavailable].
func (m *Manager) End(ctx context.Context, p EndParams) (Session, error) {
	if !validSessionID(p.ID) || p.UserID != "" && !validUserID(p.UserID) {
		return Session{}, ErrNotFound
	}
	return m.end(ctx, p)
}

// EndMany ends all sessions of the user p.UserID, impersonations and idle ones included, and returns them. Set
// p.ExceptID to keep one. p.Reason defaults to [EndRevoked], and EndMany sets p.Now. A host calls it when a password
// changes or a user is deleted. A user without sessions is no error.
//
// Errors: [ErrInvalidParams], [ErrUnavailable].
func (m *Manager) EndMany(ctx context.Context, p EndManyParams) ([]Session, error) {
	var f faults
	f.form(validUserID(p.UserID), "UserID", mustBeID)
	f.form(p.ExceptID == "" || validSessionID(p.ExceptID), "ExceptID", "must be the ID of a session")
	f.cause(&p.Reason, p.By)
	if err := f.err(); err != nil {
		return nil, err
	}
	p.Now = m.now()
	ended, err := m.cfg.Store.EndMany(ctx, p)
	ctx = m.effects.context(ctx)
	if err != nil {
		return nil, unavailable("end many", err)
	}
	if err := m.emitEnds(ctx, endings(ended, p.Now)...); err != nil {
		return nil, err
	}
	return ended, nil
}

// EndByRefreshToken ends the session of a refresh token as [Manager.End] does. The token may be spent, and p.ID is
// ignored. It serves the sign-out and the revocation (RFC 7009) of a client that has no access token.
//
// Errors: [ErrMalformed]; those of [Manager.End].
func (m *Manager) EndByRefreshToken(ctx context.Context, token string, p EndParams) (Session, error) {
	presented, err := m.ring.parseRefresh(token)
	if err != nil {
		return Session{}, err
	}
	p.ID = presented.sessionID
	return m.End(ctx, p)
}

func (m *Manager) end(ctx context.Context, p EndParams) (Session, error) {
	var f faults
	f.cause(&p.Reason, p.By)
	if err := f.err(); err != nil {
		return Session{}, err
	}
	p.Now = m.now()
	s, err := m.cfg.Store.End(ctx, p)
	ctx = m.effects.context(ctx)
	switch {
	case errors.Is(err, ErrNotFound):
		return Session{}, ErrNotFound
	case err != nil:
		return Session{}, unavailable("end", err)
	}
	if err := m.emitEnds(ctx, endings([]Session{s}, p.Now)...); err != nil {
		return Session{}, err
	}
	return s, nil
}

// cause judges why and by whom a session ends. An empty reason becomes EndRevoked.
func (f *faults) cause(reason *EndReason, by string) {
	setDefault(reason, EndRevoked)
	f.form(validText(string(*reason), maxCause), "Reason", mustBeCause)
	f.form(validText(by, maxName), "By", mustBeName)
}

const pruneBatch = 1000

// Prune deletes the sessions that have been over for longer than [Config.Retention], in batches, and returns how many
// it has deleted, on error too. [Manager.Run] calls it once an hour. Several calls at once do no harm.
//
// Prune calls [Manager.CheckClock] first, because a clock that is far ahead would delete live sessions.
//
// Errors: those of [Manager.CheckClock]; [ErrUnavailable], also for a batch that takes 5 min.
func (m *Manager) Prune(ctx context.Context) (int, error) {
	if err := m.CheckClock(ctx); err != nil {
		return 0, err
	}
	before := m.now().Add(-m.cfg.Retention)
	p := PruneParams{EndedBefore: before, ExpiredBefore: before, Limit: pruneBatch}
	if m.cfg.IdleTimeout != NoIdleTimeout {
		p.IdleBefore = before.Add(-m.cfg.IdleTimeout)
	}
	total := 0
	for {
		n, err := m.pruneOnce(ctx, p)
		total += n
		if err != nil {
			return total, unavailable("prune", err)
		}
		if n < pruneBatch {
			return total, nil
		}
	}
}

// pruneLimit is the time of one batch, which may read the whole table for idle rows.
const pruneLimit = 5 * time.Minute

func (m *Manager) pruneOnce(ctx context.Context, p PruneParams) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, pruneLimit)
	defer cancel()
	return m.cfg.Store.Prune(ctx, p)
}

// clockWarning is the difference above which CheckClock logs a warning.
const clockWarning = 5 * time.Second

// CheckClock compares the application's clock with the database's and logs a warning if they are more than 5 s apart.
// [Manager.Run] calls it at the start. Replicas that disagree by more than the overlap fork sessions, and a replica
// whose clock is a year ahead would sign everybody out.
//
// Errors: the clocks are more than half of [Rotation.Overlap] apart, or half of its default if there is no overlap;
// [ErrUnavailable].
func (m *Manager) CheckClock(ctx context.Context) error {
	before := m.now()
	database, err := m.cfg.Store.Now(ctx)
	if err != nil {
		return unavailable("check the clock", err)
	}
	after := m.now()
	var apart time.Duration
	switch {
	case database.Before(before):
		apart = before.Sub(database)
	case database.After(after):
		apart = database.Sub(after)
	}
	limit := max(m.cfg.Rotation.Overlap, 0) / 2
	if limit == 0 {
		limit = defaultOverlap / 2
	}
	if apart > limit {
		return fmt.Errorf("sessions: this clock and the database's are %v apart, at most %v are allowed", apart, limit)
	}
	if apart > clockWarning {
		m.cfg.Logger.WarnContext(ctx, "sessions: this clock and the database's differ", "apart", apart)
	}
	return nil
}

// JWKSet returns the public keys of access tokens as a JWK set (RFC 7517), for hosts that also publish them elsewhere.
func (m *Manager) JWKSet() []byte { return slices.Clone(m.jwks) }
