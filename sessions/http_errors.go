package sessions

// Tested in errors_test.go and in package httpapi.

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The codes of the HTTP API. docs/http-api.md says when each is answered.
const (
	codeBodyParsingError               = "BODY_PARSING_ERROR"
	codeSchemaError                    = "SCHEMA_ERROR"
	codeProjectKeyWithoutAccessType    = "PROJECT_KEY_WITHOUT_ACCESS_TYPE"
	codeInvalidAccessType              = "INVALID_ACCESS_TYPE"
	codeAccessTypeWithoutProjectID     = "ACCESS_TYPE_WITHOUT_PROJECT_ID"
	codeAccessTypeRequired             = "ACCESS_TYPE_REQUIRED"
	codeInsufficientAccessType         = "INSUFFICIENT_ACCESS_TYPE"
	codeInvalidPublishableClientKey    = "INVALID_PUBLISHABLE_CLIENT_KEY"
	codeInvalidSecretServerKey         = "INVALID_SECRET_SERVER_KEY"
	codeInvalidSuperSecretAdminKey     = "INVALID_SUPER_SECRET_ADMIN_KEY"
	codePublishableClientKeyRequired   = "PUBLISHABLE_CLIENT_KEY_REQUIRED_FOR_PROJECT"
	codeServerAuthenticationRequired   = "SERVER_AUTHENTICATION_REQUIRED"
	codeAdminAuthenticationRequired    = "ADMIN_AUTHENTICATION_REQUIRED"
	codeUnparsableAccessToken          = "UNPARSABLE_ACCESS_TOKEN"
	codeAccessTokenExpired             = "ACCESS_TOKEN_EXPIRED"
	codeInvalidProjectForAccessToken   = "INVALID_PROJECT_FOR_ACCESS_TOKEN"
	codeCurrentProjectNotFound         = "CURRENT_PROJECT_NOT_FOUND"
	codeBranchDoesNotExist             = "BRANCH_DOES_NOT_EXIST"
	codeCannotGetOwnUserWithoutUser    = "CANNOT_GET_OWN_USER_WITHOUT_USER"
	codeUserIDDoesNotExist             = "USER_ID_DOES_NOT_EXIST"
	codeCannotDeleteCurrentSession     = "CANNOT_DELETE_CURRENT_SESSION"
	codeRefreshTokenNotFoundOrExpired  = "REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED"
	codeInvalidOAuthClientIDOrSecret   = "INVALID_OAUTH_CLIENT_ID_OR_SECRET"
	codeUserNotFound                   = "USER_NOT_FOUND"
	codeSessionNotFound                = "SESSION_NOT_FOUND"
	codeForbidden                      = "FORBIDDEN"
	codeImpersonationNotAllowed        = "IMPERSONATION_NOT_ALLOWED"
	codeHandoffCodeNotFoundOrExpired   = "HANDOFF_CODE_NOT_FOUND_OR_EXPIRED"
	codeInsufficientUserAuthentication = "INSUFFICIENT_USER_AUTHENTICATION"
	codeNotFound                       = "NOT_FOUND"
	codeMethodNotAllowed               = "METHOD_NOT_ALLOWED"
	codeBodyTooLarge                   = "BODY_TOO_LARGE"
	codeUnsupportedMediaType           = "UNSUPPORTED_MEDIA_TYPE"
	headerKnownError, headerRequestID  = "Known-Error", "Request-Id"
	headerActualStatus, headerOverride = "Actual-Status", "Override-Error-Status"
)

// unknownToSDK are the codes that go without the known-error header. The published SDK answers a
// code that it does not know with an appeal to update it.
var unknownToSDK = map[string]bool{
	codeSessionNotFound: true, codeForbidden: true, codeImpersonationNotAllowed: true,
	codeHandoffCodeNotFoundOrExpired: true, codeInsufficientUserAuthentication: true, codeNotFound: true,
	codeMethodNotAllowed: true,
	codeBodyTooLarge:     true, codeUnsupportedMediaType: true, codeTemporarilyUnavailable: true, codeInternal: true,
}

// APIError is an error as the HTTP API answers it: {"code", "error", "details"?}. A host returns
// one from routes of its own through [WriteError], or from an Echo handler through the adapter.
type APIError struct {
	// Status is the HTTP status.
	Status int `json:"-"`
	// Code is for programs: one of those in docs/http-api.md, or the host's own.
	Code string `json:"code"`
	// Message is for people. The caller sees it.
	Message string `json:"error"`
	// Details holds what a program may need to know about this code.
	Details map[string]any `json:"details,omitempty"`
	// Logged is true if the cause went to [Config.Logger] already, or was left out there as one of
	// many of its kind. An app that logs its errors in one place leaves this one out.
	Logged bool `json:"-"`

	cause     error
	challenge string // the error code of the Bearer challenge (RFC 6750, section 3.1)
	maxAge    int64  // its max_age, in seconds (RFC 9470, section 3), or 0
	oauth     string // the error code of RFC 6749, section 5.2, if it is not the usual one
	allow     string
	// plain is set if a Manager without a project refuses: then the answer has no header of the
	// x-stack family.
	plain bool
}

func (e *APIError) Error() string { return e.Code + ": " + e.Message }

func (*APIError) ofSessions() {}

// kind distinguishes errors without a cause in the log. One with a cause has the kind of its cause.
func (e *APIError) kind() string {
	if e.cause != nil {
		return ""
	}
	return e.Code + "|" + e.Message
}

// MarshalJSON writes the body of the answer. It does what encoding/json would do by itself, for
// frameworks that show an error's text unless it implements json.Marshaler, as Echo's own error
// handler does.
func (e *APIError) MarshalJSON() ([]byte, error) {
	type body APIError // without methods, or this would not end
	return json.Marshal((*body)(e))
}

// Unwrap returns the error that e was made of, or nil.
func (e *APIError) Unwrap() error { return e.cause }

// answers is the one table from errors to answers. The first match counts, so leaves stand before
// their branch.
var answers = []struct {
	err     error
	status  int
	code    string
	message string
	reason  string // details.reason
	// challenge is the error code of the Bearer challenge.
	challenge string
}{
	{ErrMalformed, 401, codeRefreshTokenNotFoundOrExpired, "The refresh token is not valid.", "malformed",
		"invalid_token"},
	{ErrUnknownSession, 401, codeRefreshTokenNotFoundOrExpired, "The session does not exist.", "unknown",
		"invalid_token"},
	{ErrSessionEnded, 401, codeRefreshTokenNotFoundOrExpired, "The session has ended.", "ended", "invalid_token"},
	{ErrSessionExpired, 401, codeRefreshTokenNotFoundOrExpired, "The session has expired.", "expired", "invalid_token"},
	{ErrSessionIdle, 401, codeRefreshTokenNotFoundOrExpired, "The session was not used for too long.", "idle",
		"invalid_token"},
	{ErrReplay, 401, codeRefreshTokenNotFoundOrExpired, "The refresh token was used before, so the session was ended.",
		"replay", "invalid_token"},
	{ErrRecoveryLimit, 401, codeRefreshTokenNotFoundOrExpired,
		"The refresh token was repeated too often, so the session was ended.", "recovery_limit", "invalid_token"},
	{errUserGone, 401, codeRefreshTokenNotFoundOrExpired, "The user does not exist any more.", "user_gone",
		"invalid_token"},
	{ErrParentEnded, 401, codeRefreshTokenNotFoundOrExpired, "The session of the actor has ended.", "actor_ended",
		"invalid_token"},
	{errNotAllowed, 401, codeRefreshTokenNotFoundOrExpired, "The impersonation is no longer allowed.", "not_allowed",
		"invalid_token"},
	{errUserRefused, 401, codeRefreshTokenNotFoundOrExpired, "The user may not have sessions now.", "user_disabled",
		"invalid_token"},
	{ErrNoCredentials, 401, codeAccessTypeRequired,
		"Credentials are required: a server key or an access token as Authorization: Bearer.", "", ""},
	{ErrInvalidToken, 401, codeUnparsableAccessToken, "The access token is not valid.", "", "invalid_token"},
	{ErrInvalidHandoff, 401, codeHandoffCodeNotFoundOrExpired,
		"The hand-off code is not valid, has expired, or was used before.", "", "invalid_token"},
	{ErrImpersonationNotAllowed, 403, codeImpersonationNotAllowed, "This impersonation is not allowed.", "", ""},
	{ErrCrossOrigin, 403, codeForbidden, "A request of another origin cannot change anything by cookie.",
		"cross_origin", ""},
	{ErrExpired, 401, codeAccessTokenExpired, "The access token has expired, or its session has ended.", "",
		"invalid_token"},
	{ErrUnauthenticated, 401, codeAccessTypeRequired, "Credentials are required.", "", ""},
	{ErrInvalidParams, 400, codeSchemaError, "A parameter is not valid.", "", ""},
	{ErrUserNotFound, 404, codeUserNotFound, "The user does not exist.", "", ""},
	{ErrUserDisabled, 403, codeForbidden, "The user may not have sessions now.", "user_disabled", ""},
	{ErrNotFound, 404, codeSessionNotFound, "The session does not exist.", "", ""},
	{ErrUnavailable, 503, codeTemporarilyUnavailable, "Temporarily unavailable, try again.", "", ""},
}

// NewAPIError returns the answer of the HTTP API to err. An error that it does not know becomes a
// 500 whose message does not show the cause.
func NewAPIError(err error) *APIError {
	var api *APIError
	if errors.As(err, &api) {
		return api
	}
	var old *AuthenticationTooOldError
	if errors.As(err, &old) {
		seconds := int64(old.MaxAge / time.Second)
		return &APIError{
			Status: 401, Code: codeInsufficientUserAuthentication, Message: "The user has to authenticate again.",
			Details: map[string]any{"max_age": seconds}, cause: err, challenge: "insufficient_user_authentication",
			maxAge: seconds,
		}
	}
	var wrong *wiringError
	if errors.As(err, &wrong) {
		return &APIError{Status: 500, Code: codeInternal, Message: wrong.text}
	}
	for _, a := range answers {
		if !errors.Is(err, a.err) {
			continue
		}
		e := &APIError{Status: a.status, Code: a.code, Message: a.message, cause: err, challenge: a.challenge}
		switch {
		case a.code == codeRefreshTokenNotFoundOrExpired:
			e.Details = map[string]any{"reason": a.reason, "retry": false}
		case a.reason != "":
			e.Details = map[string]any{"reason": a.reason}
		case a.code == codeTemporarilyUnavailable:
			e.Details = map[string]any{"retry": true}
		case a.code == codeSchemaError:
			// The rest of the text names the field, and holds nothing but the caller's own input.
			if _, what, ok := strings.Cut(err.Error(), ErrInvalidParams.Error()+": "); ok {
				e.Message = "A parameter is not valid: " + what + "."
			}
			e.Details = map[string]any{"message": e.Message}
		}
		return e
	}
	return &APIError{Status: 500, Code: codeInternal, Message: "Internal error.", cause: err}
}

// SetHeader sets the headers of an answer to r: the request id, the Bearer challenge of a 401,
// Retry-After of a 503, Allow of a 405, and no-store. If r belongs to the x-stack family, it also
// sets the family's request id and known error.
func (e *APIError) SetHeader(h http.Header, r *http.Request) {
	id := requestID(h)
	if e.Status == http.StatusUnauthorized || e.challenge != "" {
		value := `Bearer realm="sessile"`
		if e.challenge != "" {
			value += `, error="` + e.challenge + `", error_description="` + quotable(e.Message) + `"`
		}
		if e.maxAge > 0 {
			value += `, max_age="` + strconv.FormatInt(e.maxAge, 10) + `"`
		}
		h.Set("WWW-Authenticate", value)
	}
	if e.Status == http.StatusServiceUnavailable {
		h.Set("Retry-After", "1")
	}
	if e.allow != "" {
		h.Set("Allow", e.allow)
	}
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	// The guards know the Manager by the context only.
	a, _ := r.Context().Value(admittedKey{}).(admitted)
	if isStackRequest(r) && !e.plain && (a.m == nil || a.m.cfg.ProjectID != "") {
		setStackHeader(h, headerRequestID, id)
		e.setKnown(h)
	}
}

func (e *APIError) setKnown(h http.Header) {
	if !unknownToSDK[e.Code] {
		setStackHeader(h, headerKnownError, e.Code)
	}
}

// quotable makes text fit for error_description (RFC 6750, section 3).
func quotable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '"' || r == '\\':
			return '\''
		case r == '\n':
			return ' '
		case r < ' ' || r > '~':
			return '?'
		default:
			return r
		}
	}, text)
}

// WriteError answers r with err, in the form and with the headers of our own endpoints. It writes
// an [*APIError] as it is, and any other error as [NewAPIError] has it, which hides the cause of a
// 5xx. WriteError does not log the cause; [Manager.WriteError] does.
func WriteError(w http.ResponseWriter, r *http.Request, err error) {
	e := NewAPIError(err)
	e.SetHeader(w.Header(), r)
	writeJSON(w, e.Status, e)
}

// WriteError answers r with err in the app's own form, [Config.WriteError], or else as the function
// WriteError does. The middlewares and the mounted routes call it. Call it on the host's own routes
// for refusals of the same form. The cause of a 5xx goes to [Config.Logger], unless the error is
// [APIError].Logged.
func (m *Manager) WriteError(w http.ResponseWriter, r *http.Request, err error) {
	if m != nil {
		r = m.heard(r)
		err = m.explainNobody(err)
		err = m.logRequest(r, err, slog.String("request_id", requestID(w.Header())))
	}
	if m == nil || m.cfg.WriteError == nil {
		WriteError(w, r, err)
		return
	}
	e := *NewAPIError(err) // a copy, because some are shared and the app may change it
	e.SetHeader(w.Header(), r)
	m.cfg.WriteError(w, r, &e)
}

// writeJSON answers with a body that no cache keeps.
func writeJSON(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil { // the host's own value in APIError.Details
		status, text = http.StatusInternalServerError, []byte(`{"code":"INTERNAL","error":"Internal error."}`)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(text)))
	h.Set("Cache-Control", "no-store") // outer middleware may have set another
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(text) // if it fails, the client is gone
}

// maxProblems is how many problems of a request an answer lists. The first few show what is wrong,
// and the answer to a small request must not be large.
const maxProblems = 10

// schemaError collects the problems of a request.
type schemaError struct{ problems []string }

func (s *schemaError) add(path, format string, args ...any) {
	if len(s.problems) < maxProblems {
		s.problems = append(s.problems, path+" "+fmt.Sprintf(format, args...))
	}
}

// unknown adds a field that the object at path does not have.
func (s *schemaError) unknown(path string, name []byte) {
	if len(s.problems) < maxProblems {
		s.add(path+"."+clipText(string(name), 64), "is not a field of this request")
	}
}

// err returns nil if there were no problems.
func (s *schemaError) err(r *http.Request) error {
	if len(s.problems) == 0 {
		return nil
	}
	return s.answer(r)
}

func (s *schemaError) answer(r *http.Request) *APIError {
	message := fmt.Sprintf("Request validation failed on %s %s:\n- %s",
		r.Method, shownPath(r.URL.Path), strings.Join(s.problems, "\n- "))
	return &APIError{Status: 400, Code: codeSchemaError, Message: message, Details: map[string]any{"message": message}}
}

// shownPath returns a path as errors show it. It keeps segments of our own patterns and ids, and
// cuts out everything else: a credential that was put into the path by mistake must not come back
// in a text that clients log.
func shownPath(path string) string {
	var b strings.Builder
	for segment := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		if b.Len() > 255 {
			break
		}
		if !validSessionID(segment) && !slices.Contains(segments, segment) {
			segment = "…"
		}
		b.WriteString("/" + segment)
	}
	return b.String()
}

// segments are the segments of the patterns of our routes.
var segments = []string{
	"auth", "sessions", "current", "refresh", "redeem", "oauth", "token", "revoke", "openapi.yaml", "projects",
	".well-known", "jwks.json",
}

func newSchemaError(r *http.Request, path, format string, args ...any) *APIError {
	var s schemaError
	s.add(path, format, args...)
	return s.answer(r)
}

func bodyParsingError(format string, args ...any) *APIError {
	message := "The request body " + fmt.Sprintf(format, args...) + "."
	return &APIError{
		Status: 400, Code: codeBodyParsingError, Message: message, Details: map[string]any{"message": message},
	}
}
