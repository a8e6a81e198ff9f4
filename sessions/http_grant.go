package sessions

// Tested in http_test.go and in package httpapi.

import (
	"errors"
	"net/http"
	"time"
)

// WriteGrant answers with the tokens of a grant, or with its hand-off code if it has no tokens, as
// JSON in the form and with the headers of POST /auth/sessions. A host's own sign-in ends with it.
// No cache keeps the answer. For browsers see [Manager.SetCookies].
//
// If the grant has neither, WriteGrant returns an error and writes nothing.
func (m *Manager) WriteGrant(w http.ResponseWriter, g Grant) error {
	switch {
	case g.Handoff != (Token{}):
		writeJSON(w, http.StatusOK, handoffJSON{
			HandoffCode: g.Handoff.Reveal(), ExpiresIn: int64(handoffTTL / time.Second),
			SessionID: g.Session.ID, UserID: g.Session.UserID,
			ExpiresAtMillis: g.Session.ExpiresAt.UnixMilli(), IsImpersonation: g.Session.Impersonation,
		})
	case g.AccessToken == (Token{}) || g.RefreshToken == (Token{}):
		return errors.New("sessions: WriteGrant: the grant has no tokens")
	default:
		writeJSON(w, http.StatusOK, newGrantJSON(g))
	}
	return nil
}

// grantJSON is the answer of create and of refresh.
type grantJSON struct {
	RefreshToken    string `json:"refresh_token"`
	AccessToken     string `json:"access_token"`
	TokenType       string `json:"token_type"`
	ExpiresIn       int64  `json:"expires_in"`
	SessionID       string `json:"session_id"`
	UserID          string `json:"user_id"`
	ExpiresAtMillis int64  `json:"expires_at_millis"`
	IsImpersonation bool   `json:"is_impersonation"`
}

func newGrantJSON(g Grant) grantJSON {
	return grantJSON{
		RefreshToken:    g.RefreshToken.Reveal(),
		AccessToken:     g.AccessToken.Reveal(),
		TokenType:       "Bearer",
		ExpiresIn:       g.expiresIn(),
		SessionID:       g.Session.ID,
		UserID:          g.Session.UserID,
		ExpiresAtMillis: g.Session.ExpiresAt.UnixMilli(),
		IsImpersonation: g.Session.Impersonation,
	}
}

// expiresIn is in whole seconds (RFC 6749, section 5.1).
func (g Grant) expiresIn() int64 {
	return int64(g.AccessTokenExpiresAt.Sub(g.AccessTokenIssuedAt) / time.Second)
}

// handoffJSON is the answer of a create with a hand-off.
type handoffJSON struct {
	HandoffCode     string `json:"handoff_code"`
	ExpiresIn       int64  `json:"expires_in"`
	SessionID       string `json:"session_id"`
	UserID          string `json:"user_id"`
	ExpiresAtMillis int64  `json:"expires_at_millis"`
	IsImpersonation bool   `json:"is_impersonation"`
}

// answerGrant answers with a grant. A browser in cookie mode gets the tokens in cookies
// only: in the body a script in the page could take them away.
func (m *Manager) answerGrant(w http.ResponseWriter, g Grant, byCookie bool) error {
	if !byCookie {
		return m.WriteGrant(w, g)
	}
	if err := m.SetCookies(w, g); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, newCookieGrantJSON(g))
	return nil
}

// cookieGrantJSON is grantJSON without tokens: those are in cookies that scripts cannot read.
type cookieGrantJSON struct {
	ExpiresIn       int64  `json:"expires_in"`
	SessionID       string `json:"session_id"`
	UserID          string `json:"user_id"`
	ExpiresAtMillis int64  `json:"expires_at_millis"`
	IsImpersonation bool   `json:"is_impersonation"`
}

func newCookieGrantJSON(g Grant) cookieGrantJSON {
	return cookieGrantJSON{
		ExpiresIn:       g.expiresIn(),
		SessionID:       g.Session.ID,
		UserID:          g.Session.UserID,
		ExpiresAtMillis: g.Session.ExpiresAt.UnixMilli(),
		IsImpersonation: g.Session.Impersonation,
	}
}
