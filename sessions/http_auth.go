package sessions

// Tested in cookies_request_test.go and in package httpapi.

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
)

// Authenticate returns who makes a request. It reads the credentials from the first of these that
// has any: with [Config.ProjectID] the headers of the x-stack or x-hexclave family; Authorization:
// Bearer with a server key, an admin key or an access token; and the cookies of [Config.Cookies].
// The dial says how an access token is checked, even if it comes next to a key. Authenticate writes
// nothing, so it does not refresh cookies that have run out; [Manager.Admit] does, which the
// middleware packages call.
//
// A client of the family that sends no access token has an identity without a user. Errors:
// [ErrNoCredentials] if the request has none; [*APIError], [ErrInvalidToken], [*ExpiredError],
// [ErrCrossOrigin], [ErrUnavailable].
func (m *Manager) Authenticate(r *http.Request, dial Revocation) (Identity, error) {
	return m.authenticate(nil, r, m.checkOf(dial))
}

// askedBy returns the context of a request for a tokenCheck, which may report who made it.
func (m *Manager) askedBy(r *http.Request) context.Context {
	return context.WithValue(r.Context(), clientKey{}, func() Client { return m.RequestClient(r) })
}

// authenticate is Authenticate with a tokenCheck. It refreshes cookies that have run out, unless w
// is nil.
func (m *Manager) authenticate(w http.ResponseWriter, r *http.Request, check tokenCheck) (Identity, error) {
	id, _, err := m.authenticateBy(w, r, check)
	return id, err
}

// authenticateBy is authenticate, and also reports whether it was by cookie.
func (m *Manager) authenticateBy(
	w http.ResponseWriter, r *http.Request, check tokenCheck,
) (id Identity, byCookie bool, err error) {
	r = m.heard(r)
	if h := headerOf(w); m.cookies != nil && !slices.Contains(h.Values("Vary"), "Cookie") {
		h.Add("Vary", "Cookie")
	}
	id, err = m.headerIdentity(r, check)
	switch {
	case errors.Is(err, ErrNoCredentials) && m.cookies != nil:
		byCookie = true
		id, err = m.cookieIdentity(w, r, check)
	case err == nil && isStackRequest(r):
		startPrivate(w)
	}
	if err != nil {
		return Identity{}, false, m.explain(err)
	}
	return id, byCookie, nil
}

// headerOf returns the header of w. If w is nil, it returns one that nobody reads.
func headerOf(w http.ResponseWriter) http.Header {
	if w == nil {
		return http.Header{}
	}
	return w.Header()
}

// startPrivate keeps an answer out of shared caches, unless a later handler says otherwise. Caches
// know of Authorization by themselves (RFC 9111, section 3.5), and of no other credential.
func startPrivate(w http.ResponseWriter) {
	if h := headerOf(w); h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "private")
	}
}

// hungUp reports whether an error is that of a client that has disconnected, which is nobody's
// fault. It is false for a deadline, and for other errors that happen while a client disconnects.
func hungUp(r *http.Request, err error) bool {
	return errors.Is(r.Context().Err(), context.Canceled) && errors.Is(err, context.Canceled)
}

// logRequest logs the cause of a refusal that is the server's fault, once, and returns the refusal
// marked as logged.
func (m *Manager) logRequest(r *http.Request, err error, more ...slog.Attr) error {
	e := *NewAPIError(err) // a copy, because some are shared
	if e.Status < 500 || e.Logged || hungUp(r, err) {
		return err
	}
	if e.cause != nil {
		err = e.cause
	}
	m.logFailure(r.Context(), "sessions: request failed", e.Code, err, more...)
	e.Logged = true
	return &e
}

// headerIdentity looks at headers only. If check is nil, an access token is not looked at, and the
// identity is zero.
func (m *Manager) headerIdentity(r *http.Request, check tokenCheck) (Identity, error) {
	id, named, err := m.stackIdentity(r, check)
	if err != nil || named {
		return id, err
	}
	return m.bearerIdentity(r, check)
}

// otherCredentials checks the headers of the x-stack family that come with a refresh token or a
// hand-off code, except for an access token, which may well have expired. It reports whether there
// are credentials in headers, good or not.
func (m *Manager) otherCredentials(r *http.Request) (present bool, err error) {
	_, named, err := m.stackIdentity(r, nil)
	if err != nil || named {
		return named, err
	}
	_, err = m.bearerIdentity(r, nil)
	return !errors.Is(err, ErrNoCredentials), nil
}

// explain adds what NewAPIError cannot know: the details of an expired token, and with a project
// how else a request may name its caller.
func (m *Manager) explain(err error) error {
	var expired *ExpiredError
	if !errors.As(err, &expired) {
		return m.explainNobody(err)
	}
	e := NewAPIError(expired)
	e.cause = err
	e.Details = map[string]any{"expired_at_millis": expired.ExpiredAt.UnixMilli(), "user_id": expired.UserID}
	if m.cfg.ProjectID != "" { // the SDK needs them
		e.Details["project_id"], e.Details["refresh_token_id"] = m.cfg.ProjectID, expired.SessionID
	} else {
		e.Details["session_id"] = expired.SessionID
	}
	return e
}

// explainNobody says, with a project, how else a request may name its caller.
func (m *Manager) explainNobody(err error) error {
	var api *APIError // one that exists already may be the host's, and says what it has to
	if m.cfg.ProjectID == "" || !errors.Is(err, ErrNoCredentials) || errors.As(err, &api) {
		return err
	}
	if api = NewAPIError(err); api.Code == codeAccessTypeRequired {
		api.Message = "Credentials are required: a server key or an access token as Authorization: Bearer, or an " +
			"access type."
	}
	return api
}

// bearerIdentity reads Authorization (RFC 6750, section 2.1). The prefix distinguishes the kinds of
// credentials, so no credential is tried as two kinds.
func (m *Manager) bearerIdentity(r *http.Request, check tokenCheck) (Identity, error) {
	values := r.Header.Values("Authorization")
	if len(values) > 1 {
		err := newSchemaError(r, "headers.authorization", "must be there once")
		err.challenge = "invalid_request"
		return Identity{}, err
	}
	if len(values) == 0 {
		return Identity{}, ErrNoCredentials
	}
	scheme, credential, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return Identity{}, ErrNoCredentials
	}
	credential = strings.TrimLeft(credential, " ")
	if access, isKey := keyAccess(credential); isKey {
		return m.keyIdentity(credential, access)
	}
	if check == nil {
		return Identity{}, nil
	}
	return check(m.askedBy(r), credential)
}

func (m *Manager) keyIdentity(key string, access AccessType) (Identity, error) {
	name, ok := m.keys.find(key, access)
	if ok {
		return Identity{Access: access, KeyName: name}, nil
	}
	code, kind := codeInvalidSecretServerKey, "server"
	if access == AccessAdmin {
		code, kind = codeInvalidSuperSecretAdminKey, "admin"
	}
	return Identity{}, &APIError{
		Status: 401, Code: code, Message: "The " + kind + " key is not valid.", challenge: "invalid_token",
		Details: m.projectDetails(),
	}
}

// Need says which callers a route admits.
type Need int

// The kinds of routes.
const (
	// NeedUser admits a good access token, alone or next to a key.
	NeedUser Need = iota
	// NeedServer admits a server key or an admin key.
	NeedServer
	// NeedNothing admits everybody, but credentials that are sent must be good.
	NeedNothing
)

// Admit decides whether a request may pass, and returns its context with the identity for
// [FromContext]. The middleware packages call it and write the refusal. Errors: those of
// [Manager.Authenticate], and an [*APIError] for credentials that are good but not of the right
// kind.
//
// It may set Set-Cookie, Cache-Control and Vary on w, to which the handler after it must write. It
// writes nothing else.
func (m *Manager) Admit(w http.ResponseWriter, r *http.Request, need Need, dial Revocation) (context.Context, error) {
	if m == nil {
		return nil, errNoManager
	}
	ctx, err := m.admit(w, m.heard(r), need, dial)
	if err != nil && m.cfg.ProjectID == "" && isStackRequest(r) {
		e := *NewAPIError(err)
		if e.cause == nil {
			e.cause = err
		}
		e.plain = true
		err = &e
	}
	return ctx, err
}

func (m *Manager) admit(w http.ResponseWriter, r *http.Request, need Need, dial Revocation) (context.Context, error) {
	id, err := m.authenticate(w, r, m.checkOf(dial))
	var dead *deadCookieError
	switch {
	// A browser cannot drop a dead cookie by itself.
	case need == NeedNothing && (errors.Is(err, ErrNoCredentials) || errors.As(err, &dead)):
		return context.WithValue(r.Context(), admittedKey{}, admitted{m: m}), nil
	case err != nil:
		return nil, m.logRequest(r, err) // a middleware has no log, and the answer hides the cause
	case need == NeedServer && !id.Trusted():
		return nil, m.insufficientAccess(id, AccessServer, AccessAdmin)
	case need == NeedUser && !id.HasUser() && id.Access != AccessClient && !isStackRequest(r):
		return nil, m.insufficientAccess(id, AccessClient)
	case need == NeedUser && !id.HasUser():
		return nil, cannotGetOwnUser()
	}
	return context.WithValue(r.Context(), admittedKey{}, admitted{m: m, id: id}), nil
}

var errNoManager = miswired("The middleware has no Manager.")

// insufficientAccess refuses good credentials of another kind than the allowed ones.
func (m *Manager) insufficientAccess(caller Identity, allowed ...AccessType) error {
	e := &APIError{Status: 401, Code: codeInsufficientAccessType, challenge: "insufficient_scope"}
	switch {
	case m.cfg.ProjectID != "":
		e.Message = "The credentials are good, but not of the kind that this needs."
		e.Details = map[string]any{"actual_access_type": string(caller.Access), "allowed_access_types": allowed}
	case slices.Contains(allowed, AccessClient):
		e.Message = "The key is good, but this needs an access token of a user."
	default:
		e.Message = "The access token is good, but this needs a server key."
	}
	return e
}

func cannotGetOwnUser() error {
	return &APIError{
		Status: 400, Code: codeCannotGetOwnUserWithoutUser, Message: "This needs an access token of a user.",
	}
}
