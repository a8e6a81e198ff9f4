package sessions

import "context"

// reportForged reports an access token whose signature is good and that says what we do
// not say.
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

// clientKey is the context key of a func() Client, which says who makes the request.
type clientKey struct{}
