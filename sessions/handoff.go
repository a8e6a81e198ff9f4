package sessions

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"time"

	"github.com/google/uuid"
)

// A hand-off code is "shc1_", followed by the unpadded base64url form of the session id (16 bytes) and 32 random bytes.
// The database has a hash of the code and the audience.
const (
	handoffPrefix = "shc1_"
	handoffLen    = 16 + 32
	handoffTTL    = 60 * time.Second
)

func newHandoff(sessionID, audience string) (code Token, hash string, err error) {
	id, err := uuid.Parse(sessionID)
	if err != nil {
		return Token{}, "", err
	}
	var b [handoffLen]byte
	copy(b[:], id[:])
	if _, err := rand.Read(b[16:]); err != nil {
		return Token{}, "", err
	}
	text := handoffPrefix + base64.RawURLEncoding.EncodeToString(b[:])
	return NewToken(text), hashHandoff(text, audience), nil
}

func hashHandoff(code, audience string) string {
	sum := sha256.Sum256([]byte(code + "\x00" + audience))
	return hex.EncodeToString(sum[:])
}

func parseHandoff(code string) (sessionID string, ok bool) {
	if len(code) != len(handoffPrefix)+base64.RawURLEncoding.EncodedLen(handoffLen) ||
		code[:len(handoffPrefix)] != handoffPrefix {
		return "", false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(code[len(handoffPrefix):])
	if err != nil || len(b) != handoffLen {
		return "", false
	}
	return uuid.UUID(b[:16]).String(), true
}

// Redeem exchanges a hand-off code for the tokens of its session, once and within 60 s. A second redemption ends the
// session, even if the two race, because two parties hold the code (RFC 6749, section 4.1.2). Do not retry it, but
// request a new code.
//
// Errors: [ErrInvalidHandoff]; [ErrRefused] if the host does not allow the session any more, as at a refresh;
// [ErrUnavailable], after which the code may be used up.
func (m *Manager) Redeem(ctx context.Context, code string, client Client) (Grant, error) {
	client = m.client(client)
	now := m.now()
	id, ok := parseHandoff(code)
	if !ok {
		return Grant{}, ErrInvalidHandoff
	}
	var (
		s   Session
		err error
	)
	for _, audience := range m.audiences {
		s, err = m.cfg.Store.Redeem(ctx, RedeemParams{
			ID: id, Hash: hashHandoff(code, audience), Moment: m.moment(now), Client: client,
		})
		if !errors.Is(err, ErrNotFound) {
			break
		}
	}
	ctx = m.effects.context(ctx)
	switch {
	case errors.Is(err, ErrNotFound):
		return Grant{}, ErrInvalidHandoff // without an event, which anybody could cause
	case err != nil:
		return Grant{}, unavailable("redeem", err)
	case !s.EndedAt.IsZero():
		if err := m.emitEnds(ctx, Event{Type: EventHandoffReplay, At: now, Session: s, Client: client}); err != nil {
			return Grant{}, err
		}
		return Grant{}, ErrInvalidHandoff
	}
	return m.regrant(ctx, Event{Type: EventRedeemed, At: now, Session: s, Client: client}, NewRefreshState(now).Current)
}
