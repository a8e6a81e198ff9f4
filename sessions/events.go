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
	// EventRedeemed: the hand-off code was redeemed and the tokens were given.
	EventRedeemed EventType = "redeemed"
	// EventRotated, EventOverlap, EventRecovered and EventAhead: a refresh gave tokens, with this [Outcome]. The last
	// two also come before an EventRefused of the same refresh.
	EventRotated   EventType = "rotated"
	EventOverlap   EventType = "overlap"
	EventRecovered EventType = "recovered"
	EventAhead     EventType = "ahead"
	// EventRefused: a refresh token or a hand-off code was good, but no tokens were given, because the user is disabled
	// or a hook has failed; see [Event.Refusal]. The session goes on. There are at most 10 a minute from each process
	// for each disabled user.
	EventRefused EventType = "refused"
	// EventReplay and EventRecoveryLimit: a refresh has ended the session.
	EventReplay        EventType = "replay"
	EventRecoveryLimit EventType = "recovery_limit"
	// EventHandoffReplay: a hand-off code was redeemed again, which has ended the session.
	EventHandoffReplay EventType = "handoff_replay"
	// EventEnded: the session was ended; Session.EndReason says why.
	EventEnded EventType = "ended"
	// EventForgedToken: an access token with a good signature was refused, because we did not issue it. A key or a
	// secret has leaked, or there is one of the other causes in docs/events.md. There are at most 10 a minute from each
	// process for each [Event.Refusal].
	EventForgedToken EventType = "forged_token"
	// EventImpersonationRefused: somebody requested an impersonation and was refused, and nothing has changed; see
	// [Event.Refusal]. A caller without a good credential causes no event, and an actor at most 10 a minute.
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

// Event reports to the host what happened to one session; see [Config.OnEvent]. It holds no credential.
type Event struct {
	// Type says what happened.
	Type EventType
	// At is when it happened, by the application's clock.
	At time.Time
	// Session is the session after the event. Session.Client is the last client whose use succeeded.
	Session Session
	// Client is the client that made this call. For a replay it is the client that presented the spent token.
	Client Client
	// Refusal says why somebody or something was refused, for three types of
	// events. It is empty for the others.
	//
	// For [EventImpersonationRefused] it is "invalid" if the request is malformed, "user_not_found" or "user_disabled"
	// as [Config.Users] says, "oneself" if the actor is the user, "chained" if the caller is an impersonation,
	// "not_allowed" if [Config.MayImpersonate] refuses or is nil, and "unavailable" if a hook or the store has failed.
	// Session holds the request, as far as it is known, and has no ID.
	//
	// For [EventRefused] it is "user_disabled" or "unavailable".
	//
	// For [EventForgedToken] it is "unknown_session" if the store does not have the session, and "contradiction" if the
	// claims contradict each other or the row of the session. Session holds the claims.
	Refusal string
	// OldSecret is true if the presented refresh token was made with another secret than the first one of
	// [Config.Secrets]. As long as such events arrive, dropping that secret signs users out. A token of a former
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

// reports reports whether to send an event. It leaves out events that are too many and would fill the host's audit
// trail. Events count when they are sent, because those of a transaction that is rolled back never are.
func (m *Manager) reports(ctx context.Context, e Event) bool {
	switch e.Type { // the number of other events is bounded by itself
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

// refuseEnded makes this process refuse the access tokens of the sessions that have ended.
func (m *Manager) refuseEnded(events []Event) {
	for _, e := range events {
		if !e.Session.EndedAt.IsZero() {
			m.ended.add(e.Session.ID, e.Session.EndedAt, m.cfg.Now())
			m.watches.end(e.Session.ID, e.Session.EndedAt)
		}
	}
}

// emitEnds refuses the tokens of sessions that have ended, marks their dependents, and reports the ends of both.
func (m *Manager) emitEnds(ctx context.Context, events ...Event) error {
	m.effects.refuse(events)
	dependents, err := m.endDependents(ctx, events)
	if err != nil {
		return err
	}
	m.effects.report(ctx, append(events, dependents...))
	return nil
}
