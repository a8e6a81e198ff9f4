package sessions

// Tested in package httpapi.

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
)

// oauthJSON is the answer of the token endpoint (RFC 6749, section 5.1).
type oauthJSON struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"`
	RefreshToken string `json:"refresh_token"`
}

// Token serves POST /auth/oauth/token: the refresh grant of RFC 6749, section 6.
func (h *Handler) Token() http.Handler {
	if h.m.cfg.ProjectID == "" {
		return h.endpointWith(methods(http.MethodPost), h.token, isStackRequest, writeOAuthError)
	}
	// The SDK sends no x-stack header here and wants the known-error header.
	always := func(*http.Request) bool { return true }
	writeError := func(w http.ResponseWriter, r *http.Request, err error) {
		NewAPIError(err).setKnown(w.Header())
		writeOAuthError(w, r, err)
	}
	return h.endpointWith(methods(http.MethodPost), h.token, always, writeError)
}

func (h *Handler) token(w http.ResponseWriter, r *http.Request) error {
	get, err := oauthFields(w, r)
	if err != nil {
		return err
	}
	switch grant := get("grant_type"); grant {
	case "refresh_token":
	case "":
		return newSchemaError(r, "body.grant_type", "is required")
	default:
		e := newSchemaError(r, "body.grant_type", "must be refresh_token")
		e.oauth = "unsupported_grant_type"
		return e
	}
	if scope := get("scope"); scope != "" && (scope != "legacy" || h.m.cfg.ProjectID == "") {
		e := newSchemaError(r, "body.scope", "is not a scope")
		e.oauth = "invalid_scope"
		return e
	}
	if err := h.checkOAuthClient(r, get); err != nil {
		return err
	}
	token := get("refresh_token")
	if token == "" {
		return newSchemaError(r, "body.refresh_token", "is required")
	}
	grant, err := h.m.Refresh(r.Context(), token, h.m.RequestClient(r))
	if err != nil {
		return err
	}
	w.Header().Set("Pragma", "no-cache") // RFC 6749, section 5.1
	writeJSON(w, http.StatusOK, oauthJSON{
		AccessToken:  grant.AccessToken.Reveal(),
		TokenType:    "Bearer",
		ExpiresIn:    grant.expiresIn(),
		RefreshToken: grant.RefreshToken.Reveal(),
	})
	return nil
}

// oauthFields reads a form or a JSON object of strings. It ignores unknown fields, and refuses one
// that is there twice (RFC 6749, section 3.2).
func oauthFields(w http.ResponseWriter, r *http.Request) (get func(name string) string, err error) {
	media, body, err := readBody(w, r, mediaForm, mediaJSON)
	if err != nil {
		return nil, err
	}
	if media == mediaJSON {
		object, err := readJSON(body)
		if err != nil {
			return nil, err
		}
		for _, field := range object {
			if _, ok := jsonString(field.raw); !ok && slices.Contains(oauthNames, string(field.name)) {
				return nil, newSchemaError(r, "body."+string(field.name), "must be a string")
			}
		}
		return func(name string) string {
			text, _ := jsonString(object.get(name))
			return text
		}, nil
	}
	form, err := formFields(r, string(body), oauthNames)
	return func(name string) string { return form[name] }, err
}

// oauthNames are the fields that we read.
var oauthNames = []string{"grant_type", "refresh_token", "client_id", "client_secret", "scope", "token"}

// checkOAuthClient checks the client's id and key, from the body or from Authorization: Basic (RFC
// 6749, section 2.3.1). A client of the latter is refused with 401, another one with 400 (section
// 5.2).
func (h *Handler) checkOAuthClient(r *http.Request, get func(string) string) error {
	id, key := get("client_id"), get("client_secret")
	basicID, basicKey, byBasic := r.BasicAuth()
	invalid := func() error {
		e := &APIError{
			Status: 400, Code: codeInvalidOAuthClientIDOrSecret, oauth: "invalid_client",
			Message: "The client id or the client key is not valid.",
			Details: map[string]any{"client_id": nil},
		}
		if byBasic {
			e.Status = 401
		}
		if id != "" {
			e.Details["client_id"] = clipText(id, 128)
		}
		return e
	}
	if len(r.Header.Values("Authorization")) > 1 {
		return newSchemaError(r, "headers.authorization", "must be there once")
	}
	if byBasic {
		var errID, errKey error
		if basicID, errID = url.QueryUnescape(basicID); errID != nil {
			return invalid()
		}
		if basicKey, errKey = url.QueryUnescape(basicKey); errKey != nil {
			return invalid()
		}
		if key != "" || id != "" && id != basicID {
			return newSchemaError(r, "headers.authorization", "names the client a second time")
		}
		id, key = basicID, basicKey
	}
	if project := h.m.cfg.ProjectID; project != "" && id != project && id != project+"#main" {
		return invalid()
	}
	err := h.m.checkClientKey(key)
	var api *APIError
	if errors.As(err, &api) {
		if api.Code == codeInvalidPublishableClientKey {
			return invalid()
		}
		api.oauth = "invalid_client"
	}
	return err
}

// Revoke serves POST /auth/oauth/revoke (RFC 7009): it ends the session of a refresh token or of an
// access token, spent and expired ones included.
func (h *Handler) Revoke() http.Handler {
	return h.endpointWith(methods(http.MethodPost), h.revoke, isStackRequest, writeOAuthError)
}

func (h *Handler) revoke(w http.ResponseWriter, r *http.Request) error {
	get, err := oauthFields(w, r)
	if err != nil {
		return err
	}
	token := get("token")
	if token == "" {
		return newSchemaError(r, "body.token", "is required")
	}
	_, err = h.m.EndByRefreshToken(r.Context(), token, EndParams{Reason: EndRevoked})
	if errors.Is(err, ErrMalformed) {
		var id Identity
		if id, err = h.m.parseAccess(h.m.askedBy(r), token); err == nil {
			_, err = h.m.end(r.Context(), EndParams{ID: id.SessionID, UserID: id.UserID, Reason: EndRevoked})
		}
	}
	// A string that is not a token of this server, or is one of a session that is over, counts as
	// revoked (RFC 7009, section 2.2).
	if err != nil && !errors.Is(err, ErrInvalidToken) && !errors.Is(err, ErrNotFound) {
		return err
	}
	writeJSON(w, http.StatusOK, struct{}{}) // clients parse the body of a 200
	return nil
}

// oauthErrors maps our codes to those of RFC 6749, section 5.2. All others are invalid_request.
var oauthErrors = map[string]string{
	codeRefreshTokenNotFoundOrExpired: "invalid_grant",
	codeTemporarilyUnavailable:        "temporarily_unavailable",
	codeInternal:                      "server_error",
}

// writeOAuthError answers in the form of RFC 6749, section 5.2, with our code and details next to
// it. Its challenge is never Bearer: OAuth clients read a challenge before the body, and would not
// see invalid_grant.
func writeOAuthError(w http.ResponseWriter, r *http.Request, err error) {
	e := *NewAPIError(err)
	if e.Code == codeRefreshTokenNotFoundOrExpired {
		e.Status = http.StatusBadRequest
	}
	e.challenge = ""
	e.SetHeader(w.Header(), r)
	if e.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="sessile"`)
	}
	w.Header().Set("Pragma", "no-cache")
	code := e.oauth
	setDefault(&code, oauthErrors[e.Code])
	setDefault(&code, "invalid_request")
	writeJSON(w, e.Status, struct {
		Error       string         `json:"error"`
		Description string         `json:"error_description"`
		Code        string         `json:"code"`
		Details     map[string]any `json:"details,omitempty"`
	}{code, quotable(e.Message), e.Code, e.Details})
}
