package sessions

import (
	"context"
	"log/slog"
	"time"
)

// EventType names what happened to a session.
type EventType string

// The event types; docs/events.md has their fields.
const (
	// EventCreated: a session was created and its tokens were given.
	EventCreated EventType = "created"
	// EventHandedOff: a session was created and a hand-off code was given.
	EventHandedOff EventType = "handed_off"
	// EventRedeemed: the code was redeemed and the tokens were given.
	EventRedeemed EventType = "redeemed"
	// EventRotated, EventOverlap, EventRecovered and EventAhead are the outcomes
	// of a refresh that gave tokens; see [Outcome]. The last two also come before an
	// EventRefused of the same refresh.
	EventRotated   EventType = "rotated"
	EventOverlap   EventType = "overlap"
	EventRecovered EventType = "recovered"
	EventAhead     EventType = "ahead"
	// EventRefused: a refresh token or a hand-off code was good, and no tokens were
	// given, because the user is disabled or a hook has failed; see [Event.Refusal].
	// The session goes on. Of a disabled user at most 10 in a minute.
	EventRefused EventType = "refused"
	// EventReplay and EventRecoveryLimit: a refresh has ended the session.
	EventReplay        EventType = "replay"
	EventRecoveryLimit EventType = "recovery_limit"
	// EventHandoffReplay: a code was redeemed again, which has ended the session.
	EventHandoffReplay EventType = "handoff_replay"
	// EventEnded: the session was ended for the reason on it.
	EventEnded EventType = "ended"
	// EventForgedToken: the signature of an access token is good, but we did not issue
	// it: a key or a secret has leaked, or one of the causes in docs/events.md. It was
	// refused. At most 10 in a minute from each process for each [Event.Refusal].
	EventForgedToken EventType = "forged_token"
	// EventImpersonationRefused: somebody asked for an impersonation and was refused;
	// nothing has changed. See [Event.Refusal]. A caller without a good credential
	// makes none, and an actor at most 10 in a minute.
	EventImpersonationRefused EventType = "impersonation_refused"
)

// The values of Event.Refusal.
const (
	refusalInvalid        = "invalid"
	refusalUserNotFound   = "user_not_found"
	refusalUserDisabled   = "user_disabled"
	refusalOneself        = "oneself"
	refusalChained        = "chained"
	refusalNotAllowed     = "not_allowed"
	refusalUnavailable    = "unavailable"
	refusalUnknownSession = "unknown_session"
	refusalContradiction  = "contradiction"
)

// Event tells the host what happened to one session; see [Config.OnEvent]. It
// holds no credential.
type Event struct {
	// Type says what happened.
	Type EventType
	// At is when, by the application's clock.
	At time.Time
	// Session is the session after it. Session.Client is the last client whose
	// use succeeded.
	Session Session
	// Client is the client that made this call: for a replay the presenter.
	Client Client
	// Refusal is why, for [EventImpersonationRefused], [EventRefused] and
	// [EventForgedToken]; it is empty for other events.
	//
	// For the first, Session has what was asked for, as far as it is known, and no ID:
	// "invalid" if the request is malformed, "user_not_found" and "user_disabled" by
	// [Config.Users], "oneself" if the actor is the user, "chained" if the caller is an
	// impersonation, "not_allowed" by [Config.MayImpersonate] or because there is none,
	// "unavailable" if a hook or the store has failed.
	//
	// For the second it is "user_disabled" or "unavailable".
	//
	// For the third, Session has what the token says: "unknown_session" if the store does
	// not have its session, "contradiction" if the claims contradict each other or the row
	// of the session.
	Refusal string
	// OldSecret is true when a refresh token was presented that is not of the
	// first secret: while such events come, dropping that secret signs out. A former
	// audience does not count.
	OldSecret bool
}

// notify sends events to [Config.OnEvent], except for those that are too many in a minute, and makes this process
// refuse the access tokens of the sessions that have ended.
func (m *Manager) notify(ctx context.Context, events ...Event) {
	m.refuseEnded(events) // before any hook is called, for it may panic
	if m.cfg.OnEvent == nil {
		return
	}
	ctx = context.WithoutCancel(ctx) // what is committed is reported, even if the caller has disconnected
	for _, e := range events {
		if m.reports(ctx, e) {
			m.cfg.OnEvent(ctx, e)
		}
	}
}

// reports reports whether to send an event, and not to leave it out as one of too many:
// they would fill the host's audit trail. They count when they are sent, because those of
// a transaction that is rolled back never are.
func (m *Manager) reports(ctx context.Context, e Event) bool {
	switch e.Type { // nobody can cause any number of the others
	case EventForgedToken:
		reported, _ := m.forgeries.count(e.Refusal, m.now())
		return reported
	case EventImpersonationRefused:
		reported, last := m.refusals.count(e.Session.CreatedBy+"\x00"+e.Session.Actor, m.now())
		if last {
			m.cfg.Logger.LogAttrs(ctx, slog.LevelWarn,
				"sessions: refused impersonations of this actor are not reported for up to a minute",
				slog.String("actor", clipText(e.Session.Actor, maxUserID)))
		}
		return reported
	case EventRefused:
		if e.Refusal != refusalUserDisabled {
			return true
		}
		reported, last := m.disabled.count(e.Session.UserID, m.now())
		if last {
			m.cfg.Logger.LogAttrs(ctx, slog.LevelWarn,
				"sessions: refused refreshes of this disabled user are not reported for up to a minute",
				slog.String("user_id", e.Session.UserID))
		}
		return reported
	default:
		return true
	}
}

// refuseEnded makes this process refuse the access tokens of the sessions that ended.
func (m *Manager) refuseEnded(events []Event) {
	for _, e := range events {
		if !e.Session.EndedAt.IsZero() {
			m.ended.add(e.Session.ID, e.Session.EndedAt, m.cfg.Now())
			m.watches.end(e.Session.ID, e.Session.EndedAt)
		}
	}
}

// emitEnds reports the ends of sessions, after it has marked their dependents, and
// reports those, too. The tokens are refused from the start.
func (m *Manager) emitEnds(ctx context.Context, events ...Event) error {
	m.effects.refuse(events)
	dependents, err := m.endDependents(ctx, events)
	if err != nil {
		return err
	}
	m.effects.report(ctx, append(events, dependents...))
	return nil
}
