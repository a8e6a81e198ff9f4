package sessions

import "context"

// reportForged reports an access token with a good signature that this package has not
// issued.
func (m *Manager) reportForged(ctx context.Context, id Identity, why string) {
	e := Event{
		Type: EventForgedToken, At: m.now(), Refusal: why,
		Session: Session{
			ID: clipText(id.SessionID, maxUserID), UserID: clipText(id.UserID, maxUserID),
			Impersonation: id.Impersonation, Actor: clipText(id.Actor, maxUserID),
		},
	}
	if client, ok := ctx.Value(clientKey{}).(func() Client); ok {
		e.Client = m.client(client())
	}
	m.notify(ctx, e)
}

// clientKey is the context key of a func() Client, which returns the client of the request.
type clientKey struct{}
