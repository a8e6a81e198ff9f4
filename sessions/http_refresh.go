package sessions

import (
	"errors"
	"net/http"
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

// Refresh is POST /auth/sessions/current/refresh: the refresh token comes in the
// header x-stack-refresh-token, or else, under [Config.Cookies], in its cookie, and
// then the new tokens go into cookies and not into the body.
func (h *Handler) Refresh() http.Handler { return h.endpoint(methods(http.MethodPost), h.refresh) }

func (h *Handler) refresh(w http.ResponseWriter, r *http.Request) error {
	// The refresh token is credential enough. What else is sent is checked all
	// the same, but for an access token, which may well have expired.
	if _, _, err := h.m.stackIdentity(r, nil); err != nil {
		return err
	}
	token, present, err := refreshHeader(r)
	if err != nil {
		return err
	}
	if _, err := h.m.headerIdentity(r, nil); !present && h.m.cookies != nil && errors.Is(err, ErrNoCredentials) {
		grant, err := h.m.refreshByCookie(w, r)
		if err == nil {
			writeJSON(w, http.StatusOK, newCookieGrantJSON(grant))
		}
		if !errors.Is(err, ErrNoCredentials) {
			return err
		}
	}
	if !present {
		if h.m.cookies != nil {
			return newSchemaError(r, "headers.x-stack-refresh-token", "is required, or the refresh cookie")
		}
		return newSchemaError(r, "headers.x-stack-refresh-token", "is required")
	}
	grant, err := h.m.Refresh(r.Context(), token, h.m.RequestClient(r))
	if err != nil {
		return err
	}
	return h.m.WriteGrant(w, grant)
}
