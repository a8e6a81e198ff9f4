package sessions

// Tested in handoff_test.go and in package httpapi.

import (
	"errors"
	"net/http"
)

// Redeem serves POST /auth/sessions/redeem: it exchanges a hand-off code for the tokens, which go
// into cookies if the request comes from a browser that has our cookies.
func (h *Handler) Redeem() http.Handler { return h.endpoint(methods(http.MethodPost), h.redeem) }

func (h *Handler) redeem(w http.ResponseWriter, r *http.Request) error {
	// The code is credential enough. Other credentials are checked all the same, as at refresh.
	others, err := h.m.otherCredentials(r)
	if err != nil {
		return err
	}
	byCookie := false
	if !others {
		if byCookie, err = h.m.isBrowser(r); err != nil {
			return err
		}
	}
	object, err := readObject(w, r)
	if err != nil {
		return err
	}
	var s schemaError
	for _, field := range object {
		if string(field.name) != "code" {
			s.unknown("body", field.name)
		}
	}
	code, ok := jsonString(object.get("code"))
	if !ok {
		s.add("body.code", "must be a string")
	}
	if err := s.err(r); err != nil {
		return err
	}
	grant, err := h.m.Redeem(r.Context(), code, h.m.RequestClient(r))
	if errors.Is(err, ErrUnavailable) {
		// The code may be used, and a second use ends the session.
		e := *NewAPIError(err)
		e.Message, e.Details = "Temporarily unavailable: ask for a new code.", map[string]any{"retry": false}
		return &e
	}
	if err != nil {
		return err
	}
	return h.m.answerGrant(w, grant, byCookie)
}

// isBrowser reports whether a request without credentials in headers comes from a browser in cookie mode: it carries
// our cookies, live or not.
func (m *Manager) isBrowser(r *http.Request) (bool, error) {
	if m.cookies == nil {
		return false, nil
	}
	_, err := m.cookies.readSameOrigin(r)
	if errors.Is(err, ErrNoCredentials) {
		return false, nil
	}
	return err == nil, err
}
