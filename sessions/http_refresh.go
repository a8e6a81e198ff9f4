package sessions

import (
	"errors"
	"net/http"
	"slices"
)

const headerRefreshToken = "Refresh-Token"

// refreshHeader reads x-stack-refresh-token, which may be there once.
func refreshHeader(r *http.Request) (token string, present bool, err error) {
	switch values := stackValues(r.Header, headerRefreshToken); {
	case len(values) > 1:
		return "", false, newSchemaError(r, "headers.x-stack-refresh-token", "must be there once")
	case len(values) == 1 && values[0] != "":
		return values[0], true, nil
	default:
		return "", false, nil
	}
}

// Refresh serves POST /auth/sessions/current/refresh. It takes the refresh token from the first of
// these that has one: with [Config.ProjectID] the header x-stack-refresh-token; a JSON body
// {"refresh_token": …}; and under [Config.Cookies] the refresh cookie. What the client sends
// itself takes precedence over the cookies that its browser adds. If the token came in a cookie,
// the new tokens go into cookies; else they go into the body of the answer.
func (h *Handler) Refresh() http.Handler { return h.endpoint(methods(http.MethodPost), h.refresh) }

func (h *Handler) refresh(w http.ResponseWriter, r *http.Request) error {
	// The refresh token is credential enough. Other credentials are checked all the same,
	// except for an access token, which may well have expired.
	others, err := h.m.otherCredentials(r)
	if err != nil {
		return err
	}
	token, present, err := refreshHeader(r)
	if err == nil && !present {
		token, present, err = refreshBody(w, r)
	}
	if err != nil {
		return err
	}
	if !present && !others && h.m.cookies != nil {
		grant, err := h.m.refreshByCookie(w, r)
		if err == nil {
			writeJSON(w, http.StatusOK, newCookieGrantJSON(grant))
		}
		if !errors.Is(err, ErrNoCredentials) {
			return err
		}
	}
	if !present {
		return h.m.refreshTokenRequired(r)
	}
	grant, err := h.m.Refresh(r.Context(), token, h.m.RequestClient(r))
	if err != nil {
		return err
	}
	return h.m.WriteGrant(w, grant)
}

// refreshTokenRequired returns the refusal of a request without a refresh token.
func (m *Manager) refreshTokenRequired(r *http.Request) error {
	path, problem := "body.refresh_token", "is required, as "+mediaJSON
	if m.cfg.ProjectID != "" {
		path, problem = "headers.x-stack-refresh-token", "is required"
	}
	if m.cookies != nil {
		problem += ", or the refresh cookie"
	}
	return newSchemaError(r, path, "%s", problem)
}

// refreshBody reads the refresh token from a JSON body. An empty body and an empty object have
// none. A body that is not JSON is not read: a browser in cookie mode may well send a form.
func refreshBody(w http.ResponseWriter, r *http.Request) (token string, present bool, err error) {
	if r.ContentLength == 0 || !slices.ContainsFunc(r.Header.Values("Content-Type"), isJSON) {
		return "", false, nil
	}
	_, body, err := readBody(w, r, mediaJSON)
	if err != nil || len(body) == 0 {
		return "", false, err
	}
	object, err := objectOf(r, body)
	if err != nil {
		return "", false, err
	}
	var s schemaError
	for _, field := range object {
		if string(field.name) != "refresh_token" {
			s.unknown("body", field.name)
			continue
		}
		if token, present = jsonString(field.raw); token == "" {
			s.add("body.refresh_token", "must be a string that is not empty")
		}
	}
	return token, present, s.err(r)
}
