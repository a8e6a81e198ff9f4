package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/config"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

// The users of the tests. Others are unknown.
const (
	alice    = "0b7e6d2a-6c1f-4a53-9a44-0d6c8f0f5a01"
	bob      = "0b7e6d2a-6c1f-4a53-9a44-0d6c8f0f5a02"
	disabled = "0b7e6d2a-6c1f-4a53-9a44-0d6c8f0f5a03"
	unknown  = "0b7e6d2a-6c1f-4a53-9a44-0d6c8f0f5aff"
	project  = "7d3f0c5e-9a0b-4c1d-8e2f-3a4b5c6d7e8f"
	// clientKey is publishable, so it is no secret.
	clientKey = "pck_of_the_tests"
)

// began is not on a full hour, minute or second, so that rounding shows.
var began = time.Date(2026, time.March, 14, 15, 9, 26, 535898000, time.UTC)

// env is a handler with all that is around it, for one test.
type env struct {
	kit     *sessionstest.Kit
	rows    *rows
	clock   *sessionstest.Clock
	manager *sessions.Manager
	handler *sessions.Handler
	// serve is how requests reach the handler: under prefix.
	serve  http.Handler
	prefix string

	serverKey, adminKey string

	mu     sync.Mutex
	users  func(ctx context.Context, id string) (sessions.User, error)
	claims func(context.Context, sessions.Session, sessions.User) (map[string]any, error)
	fault  sessionstest.Fault
	log    bytes.Buffer
	// secrets must show up in no log and in no error.
	secrets []string
}

func newEnv(t testing.TB, configure ...func(*sessions.Config)) *env {
	t.Helper()
	e := &env{}
	var keys []sessions.ServerKey
	for name, access := range map[string]sessions.AccessType{
		"backend": sessions.AccessServer, "console": sessions.AccessAdmin,
	} {
		key, err := sessions.NewServerKey(access)
		if err != nil {
			t.Fatal(err)
		}
		hashed, err := sessions.HashServerKey(name, key)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, hashed)
		e.secrets = append(e.secrets, key)
		if access == sessions.AccessServer {
			e.serverKey = key
		} else {
			e.adminKey = key
		}
	}
	e.kit = sessionstest.New(t, append([]func(*sessions.Config){func(c *sessions.Config) {
		c.Users = func(ctx context.Context, id string) (sessions.User, error) {
			if users := locked(e, func() func(context.Context, string) (sessions.User, error) {
				return e.users
			}); users != nil {
				return users(ctx, id)
			}
			return knownUsers(ctx, id)
		}
		c.Claims = func(ctx context.Context, s sessions.Session, u sessions.User) (map[string]any, error) {
			if claims := locked(e,
				func() func(context.Context, sessions.Session, sessions.User) (map[string]any, error) {
					return e.claims
				}); claims != nil {
				return claims(ctx, s, u)
			}
			return nil, nil
		}
		c.Secrets = [][]byte{bytes.Repeat([]byte("kept"), 8)}
		c.Issuer = "https://sessile.test/api/v1/projects/" + project
		c.BaseURL = "https://sessile.test/api/v1"
		c.ProjectID = project
		c.ServerKeys = keys
		c.ClientKeys = []string{clientKey}
		c.Logger = slog.New(slog.NewTextHandler(lockedWriter{e}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}}, configure...)...)
	e.rows = &rows{Store: e.kit.Store}
	e.kit.Faults.Store = e.rows
	e.kit.Faults.Before = func(ctx context.Context, c sessionstest.Call) error {
		if fault := locked(e, func() sessionstest.Fault { return e.fault }); fault != nil {
			return fault(ctx, c)
		}
		return nil
	}
	e.clock = e.kit.Clock
	e.clock.Set(began)
	e.manager = e.kit.Manager
	e.handler = sessions.NewHandler(e.manager)
	e.serve = e.handler
	return e
}

func knownUsers(_ context.Context, id string) (sessions.User, error) {
	switch id {
	case alice:
		return sessions.User{
			ID: alice, Name: "Alice", Email: "alice@sessile.test", EmailVerified: true,
			SignedUpAt: began.AddDate(-1, 0, 0),
		}, nil
	case bob:
		return sessions.User{ID: bob}, nil
	case disabled:
		return sessions.User{}, sessions.ErrUserDisabled
	default:
		return sessions.User{}, sessions.ErrUserNotFound
	}
}

func locked[T any](e *env, get func() T) T {
	e.mu.Lock()
	defer e.mu.Unlock()
	return get()
}

type lockedWriter struct{ e *env }

func (w lockedWriter) Write(b []byte) (int, error) {
	w.e.mu.Lock()
	defer w.e.mu.Unlock()
	return w.e.log.Write(b)
}

func (e *env) setUsers(f func(context.Context, string) (sessions.User, error)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.users = f
}

func (e *env) setClaims(f func(context.Context, sessions.Session, sessions.User) (map[string]any, error)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.claims = f
}

func (e *env) setFault(f sessionstest.Fault) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.fault = f
}

func (e *env) logged() string { return locked(e, e.log.String) }

// takeEvents returns the types of the events since the last call.
func (e *env) takeEvents() []sessions.EventType {
	var types []sessions.EventType
	for _, event := range e.takeWholeEvents() {
		types = append(types, event.Type)
	}
	return types
}

// takeWholeEvents returns the events since the last call.
func (e *env) takeWholeEvents() []sessions.Event { return e.kit.TakeEvents() }

// toldRefusal fails the test unless there was exactly one event since the last call, of an
// impersonation refused for this reason. If want is empty, there must be no event.
func (e *env) toldRefusal(t testing.TB, want string) sessions.Event {
	t.Helper()
	events := e.takeWholeEvents()
	if want == "" && len(events) == 0 {
		return sessions.Event{}
	}
	if want == "" || len(events) != 1 || events[0].Type != sessions.EventImpersonationRefused ||
		events[0].Refusal != want ||
		events[0].Session.ID != "" || !events[0].Session.Impersonation ||
		!events[0].At.Equal(e.clock.Now().Truncate(time.Microsecond)) {
		t.Fatalf("events %+v, want one of an impersonation refused for %q", events, want)
	}
	return events[0]
}

func (e *env) secret(s ...string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.secrets = append(e.secrets, s...)
}

// mounts are the ways to put the handler into a host.
var mounts = map[string]func(e *env){
	"ServeHTTP": func(*env) {},
	"StripPrefix": func(e *env) {
		e.prefix = "/api/v1"
		e.serve = http.StripPrefix(e.prefix, e.handler)
	},
	"Register": func(e *env) {
		e.prefix = "/api/v1"
		mux := http.NewServeMux()
		e.handler.Register(mux, e.prefix)
		e.serve = mux
	},
}

// rows is a store that knows every row that was ever made, and the state of its
// refresh tokens as far as callers have seen it.
type rows struct {
	sessions.Store
	mu     sync.Mutex
	ids    []string
	states map[string]sessions.RefreshState
}

func (r *rows) Create(ctx context.Context, s sessions.Session) error {
	err := r.Store.Create(ctx, s)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		r.ids = append(r.ids, s.ID)
	}
	return err
}

func (r *rows) Refresh(ctx context.Context, p sessions.RefreshParams) (sessions.RefreshResult, error) {
	result, err := r.Store.Refresh(ctx, p)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		if r.states == nil {
			r.states = map[string]sessions.RefreshState{}
		}
		r.states[p.ID] = result.State
	}
	return result, err
}

// snapshot shows all there is in the store: live, ended, impersonations too.
func (e *env) snapshot(t testing.TB) string {
	t.Helper()
	e.rows.mu.Lock()
	defer e.rows.mu.Unlock()
	var b strings.Builder
	for _, id := range e.rows.ids {
		s, err := e.rows.Get(context.WithoutCancel(t.Context()), id)
		if err != nil {
			t.Fatalf("a row is gone: %v", err)
		}
		fmt.Fprintf(&b, "%+v %+v\n", s, e.rows.states[id])
	}
	return b.String()
}

// difference shows the lines of one snapshot that the other does not have.
func difference(before, after string) string {
	var b strings.Builder
	for line := range strings.Lines(after) {
		if !strings.Contains(before, line) {
			b.WriteString("\n+ " + line)
		}
	}
	for line := range strings.Lines(before) {
		if !strings.Contains(after, line) {
			b.WriteString("\n- " + line)
		}
	}
	return b.String()
}

// row is the session with id as the store has it.
func (e *env) row(t testing.TB, id string) sessions.Session {
	t.Helper()
	s, err := e.rows.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// An option changes a request.
type option func(*http.Request)

func header(name string, values ...string) option {
	return func(r *http.Request) { r.Header[http.CanonicalHeaderKey(name)] = values }
}

func bearer(credential string) option { return header("Authorization", "Bearer "+credential) }

// family sets headers of the x-stack family, given as name and value, in one of
// its spellings, and those that clients always send.
func family(prefix string, pairs ...string) option {
	return func(r *http.Request) {
		r.Header.Set(prefix+"project-id", project)
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i+1] == "" {
				r.Header.Del(prefix + pairs[i])
			} else {
				r.Header.Set(prefix+pairs[i], pairs[i+1])
			}
		}
	}
}

func stack(pairs ...string) option { return family("x-stack-", pairs...) }

func body(contentType, text string) option {
	return func(r *http.Request) {
		r.Body = io.NopCloser(strings.NewReader(text))
		r.ContentLength = int64(len(text))
		if contentType != "" {
			r.Header.Set("Content-Type", contentType)
		}
	}
}

func jsonBody(text string) option { return body("application/json", text) }

func form(pairs ...string) option {
	values := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		values.Add(pairs[i], pairs[i+1])
	}
	return body("application/x-www-form-urlencoded", values.Encode())
}

// answer is an answer that has kept the rules that all answers have to keep.
type answer struct {
	// status is the real one, even if the request asked for 200.
	status int
	// wire is the one that was sent.
	wire   int
	header http.Header
	body   []byte
	json   map[string]any
}

// do sends a request to the handler in this process.
func (e *env) do(t testing.TB, method, path string, options ...option) answer {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "http://sessile.test/", nil).WithContext(t.Context())
	r.Method = method
	// The parser of httptest is a browser's: it would not let a bad path through.
	path, r.URL.RawQuery, _ = strings.Cut(path, "?")
	r.URL.Path = e.prefix + path
	if decoded, err := url.PathUnescape(path); err == nil && decoded != path {
		r.URL.Path, r.URL.RawPath = e.prefix+decoded, e.prefix+path
	}
	r.RequestURI = r.URL.RequestURI()
	r.Body, r.ContentLength = http.NoBody, 0
	for _, o := range options {
		o(r)
	}
	sent, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(sent))
	w := httptest.NewRecorder()
	e.serve.ServeHTTP(w, r)
	response := w.Result()
	return e.judge(t, r, sent, response)
}

// judge holds an answer against the rules for all of them, and against the
// OpenAPI document.
func (e *env) judge(t testing.TB, r *http.Request, sent []byte, response *http.Response) answer {
	t.Helper()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := answer{status: response.StatusCode, wire: response.StatusCode, header: response.Header, body: content}
	path := strings.TrimPrefix(r.URL.Path, e.prefix)
	where := r.Method + " " + path

	hasProject := e.kit.Config.ProjectID != "" // else nothing speaks the family's language
	ofFamily := hasProject && (path == "/auth/oauth/token" ||
		slices.ContainsFunc(slices.Collect(keys(r.Header)), func(name string) bool {
			return strings.HasPrefix(name, "X-Stack-") || strings.HasPrefix(name, "X-Hexclave-")
		}))
	overriding := hasProject && r.Header.Get("X-Stack-Override-Error-Status")+
		r.Header.Get("X-Hexclave-Override-Error-Status") != ""
	if text := a.header.Get("X-Stack-Actual-Status"); text != "" {
		if !overriding || a.wire != http.StatusOK || !regexp.MustCompile(`^4[0-9]{2}$`).MatchString(text) {
			t.Errorf("%s: status %d with actual status %q, override asked for: %v", where, a.wire, text, overriding)
		}
		_, _ = fmt.Sscan(text, &a.status)
	} else if overriding && a.wire >= 400 && a.wire < 500 {
		t.Errorf("%s: status %d although the override was asked for", where, a.wire)
	}
	foreign := e.serve != http.Handler(e.handler) && strings.HasPrefix(a.header.Get("Content-Type"), "text/plain") &&
		(a.status == http.StatusNotFound || a.status == http.StatusMethodNotAllowed)
	if foreign || a.status == http.StatusTemporaryRedirect && e.prefix != "" {
		return a // the answer of the host's mux
	}
	if strings.Contains(a.header.Get("Content-Type"), "json") && len(content) > 0 &&
		a.status != http.StatusPartialContent {
		if err := json.Unmarshal(content, &a.json); err != nil {
			t.Errorf("%s: the body is not JSON: %q", where, content)
		}
	}

	id := a.header.Get("X-Request-Id")
	if !regexp.MustCompile(`^[!-~]{1,128}$`).MatchString(id) {
		t.Errorf("%s: X-Request-Id is %q", where, id)
	}
	for _, name := range []string{"Request-Id", "Known-Error", "Actual-Status"} {
		if a.header.Get("X-Stack-"+name) != a.header.Get("X-Hexclave-"+name) {
			t.Errorf("%s: the two spellings of %s differ: %q and %q", where, name, a.header.Get("X-Stack-"+name),
				a.header.Get("X-Hexclave-"+name))
		}
	}
	if got := a.header.Get("X-Stack-Request-Id"); ofFamily && got != id || !ofFamily && got != "" {
		t.Errorf("%s: x-stack-request-id is %q, X-Request-Id %q", where, got, id)
	}
	for name, values := range a.header {
		if len(values) != 1 && name != "Set-Cookie" {
			t.Errorf("%s: header %s is there %d times", where, name, len(values))
		}
		if !slices.Contains(answerHeaders, name) {
			t.Errorf("%s: header %s is of no use", where, name)
		}
	}
	if a.status >= 300 && a.status < 400 && a.status != http.StatusNotModified {
		t.Errorf("%s: a redirect, %d to %s", where, a.status, a.header.Get("Location"))
	}

	code, _ := a.json["code"].(string)
	if known := a.header.Get("X-Stack-Known-Error"); a.status < 400 && known != "" {
		t.Errorf("%s: known error %q with status %d", where, known, a.status)
	}
	isPublic := strings.Contains(path, "/.well-known/") || path == "/auth/openapi.yaml"
	if a.status >= 400 && (!isPublic || a.json != nil) && r.Method != http.MethodHead {
		wantKnown := ""
		if ofFamily && sdkKnows[code] {
			wantKnown = code
		}
		if known := a.header.Get("X-Stack-Known-Error"); known != wantKnown {
			t.Errorf("%s: known error %q, want %q", where, known, wantKnown)
		}
		if code == "" || a.json["error"] == "" || a.json["error"] == nil {
			t.Errorf("%s: not an error body: %s", where, content)
		}
		if message, _ := a.details()["message"].(string); code == "SCHEMA_ERROR" &&
			!schemaMessage.MatchString(message) {
			t.Errorf("%s: the message does not name the field: %q", where, message)
		}
		for name := range a.json {
			if !slices.Contains([]string{"code", "error", "error_description", "details"}, name) {
				t.Errorf("%s: the error has a member %q", where, name)
			}
		}
	}
	if !isPublic || a.status >= 400 && a.json != nil {
		if got := a.header.Get("Cache-Control"); got != "no-store" {
			t.Errorf("%s: Cache-Control is %q", where, got)
		}
	}
	if len(content) > 0 {
		if got := a.header.Get("X-Content-Type-Options"); got != "nosniff" {
			t.Errorf("%s: X-Content-Type-Options is %q", where, got)
		}
	}
	challenge := a.header.Get("Www-Authenticate")
	grammar := challengeGrammar
	if strings.HasPrefix(path, "/auth/oauth/") {
		grammar = oauthChallengeGrammar
	}
	if (a.status == http.StatusUnauthorized || challenge != "") && !grammar.MatchString(challenge) {
		t.Errorf("%s: WWW-Authenticate is %q", where, challenge)
	}
	if got := a.header.Get("Retry-After"); (a.status == http.StatusServiceUnavailable) != (got != "") {
		t.Errorf("%s: status %d with Retry-After %q", where, a.status, got)
	}
	if got := a.header.Get("Allow"); (a.status == http.StatusMethodNotAllowed) != (got != "") {
		t.Errorf("%s: status %d with Allow %q", where, a.status, got)
	}

	e.checkCookies(t, where, a)
	e.checkOpenAPI(t, where, r, path, sent, a)
	if a.status == http.StatusOK {
		for _, name := range []string{"refresh_token", "access_token", "handoff_code"} {
			if token, ok := a.json[name].(string); ok {
				e.secret(token)
			}
		}
	}
	e.checkLeaks(t, where, a)
	return a
}

func keys(h http.Header) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for name := range h {
			if !yield(name) {
				return
			}
		}
	}
}

var (
	// RFC 6750, section 3, and RFC 9110, section 11.6.1.
	challengeGrammar = regexp.MustCompile(
		`^Bearer realm="sessile"(, error="(invalid_request|invalid_token|insufficient_scope)", error_description="[ ` +
			`!#-\[\]-~]+")?$`,
	)

	// RFC 6749, section 5.2. Clients read a challenge before the body, so there is none
	// with invalid_grant.
	oauthChallengeGrammar = regexp.MustCompile(`^Basic realm="sessile"$`)

	// schemaMessage has a line for each problem, which begins with the path of its
	// field, as the wire contract has it.
	schemaMessage = regexp.MustCompile(
		`^Request validation failed on [A-Z]+ /[^\n]*:(\n- (body|query|params|headers|cookies)[^\n]* [^\n]+)+$`,
	)

	// answerHeaders are all headers that an answer may have.
	answerHeaders = []string{
		"Accept-Ranges", "Allow", "Cache-Control", "Connection", "Content-Length", "Content-Range", "Content-Type",
		"Date", "Etag",
		"Pragma", "Retry-After", "Set-Cookie", "Vary", "Www-Authenticate", "X-Content-Type-Options", "X-Request-Id",
		"X-Stack-Actual-Status", "X-Stack-Known-Error", "X-Stack-Request-Id",
		"X-Hexclave-Actual-Status", "X-Hexclave-Known-Error", "X-Hexclave-Request-Id",
	}

	// sdkKnows are the codes of the wire contract that our endpoints answer. The
	// published SDK answers all others with an appeal to update it.
	sdkKnows = map[string]bool{
		"BODY_PARSING_ERROR": true, "SCHEMA_ERROR": true, "PROJECT_KEY_WITHOUT_ACCESS_TYPE": true,
		"INVALID_ACCESS_TYPE":            true,
		"ACCESS_TYPE_WITHOUT_PROJECT_ID": true, "ACCESS_TYPE_REQUIRED": true, "INSUFFICIENT_ACCESS_TYPE": true,
		"INVALID_PUBLISHABLE_CLIENT_KEY": true, "INVALID_SECRET_SERVER_KEY": true,
		"INVALID_SUPER_SECRET_ADMIN_KEY":              true,
		"PUBLISHABLE_CLIENT_KEY_REQUIRED_FOR_PROJECT": true, "SERVER_AUTHENTICATION_REQUIRED": true,
		"ADMIN_AUTHENTICATION_REQUIRED": true,
		"UNPARSABLE_ACCESS_TOKEN":       true, "ACCESS_TOKEN_EXPIRED": true, "INVALID_PROJECT_FOR_ACCESS_TOKEN": true,
		"CURRENT_PROJECT_NOT_FOUND": true, "BRANCH_DOES_NOT_EXIST": true, "CANNOT_GET_OWN_USER_WITHOUT_USER": true,
		"USER_ID_DOES_NOT_EXIST": true, "CANNOT_DELETE_CURRENT_SESSION": true,
		"REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED": true,
		"INVALID_OAUTH_CLIENT_ID_OR_SECRET":  true, "USER_NOT_FOUND": true,
	}

	// What would give away a credential, a statement or our insides.
	leaks = regexp.MustCompile(
		`s(rt|hc)1_[A-Za-z0-9_-]|s[sa]k_[A-Za-z0-9_-]{8}|eyJ[A-Za-z0-9_-]{8}|(?i:\b(select|insert into|update|delete ` +
			`from) [^ ]+ (from|set|values|where)\b)`,
	)
	credentials = regexp.MustCompile(`(srt1_|shc1_|s[sa]k_|eyJ)[A-Za-z0-9_.-]*`)
	traces      = regexp.MustCompile(`sessions: |goroutine \d+ \[|\.go:\d+|runtime\.|panic`)
)

// checkLeaks looks for secrets in the log, and in what is not their owner's answer.
func (e *env) checkLeaks(t testing.TB, where string, a answer) {
	t.Helper()
	texts := map[string]string{"the log": e.logged()}
	if a.status >= 400 {
		texts["the body"] = string(a.body)
		if traces.Match(a.body) {
			t.Errorf("%s: the body shows our insides: %s", where, a.body)
		}
	}
	for name, text := range texts {
		if found := leaks.FindString(text); found != "" {
			t.Errorf("%s: %s has %.12q…", where, name, found)
		}
		for _, secret := range locked(e, func() []string { return slices.Clone(e.secrets) }) {
			if strings.Contains(text, secret) {
				t.Errorf("%s: %s has a secret that begins with %.8q", where, name, secret)
			}
		}
	}
}

// The OpenAPI document, compiled once: that takes a while.
var openapi = sync.OnceValues(func() (validator.Validator, error) {
	content, err := os.ReadFile("../../sessions/openapi.yaml")
	if err != nil {
		return nil, err
	}
	document, err := libopenapi.NewDocument(content)
	if err != nil {
		return nil, err
	}
	v, errs := validator.NewValidator(document, config.WithURLEncodedBodyValidation(), config.WithFormatAssertions())
	return v, errors.Join(errs...)
})

// checkOpenAPI holds every answer, and every request that was granted, against
// openapi.yaml.
func (e *env) checkOpenAPI(t testing.TB, where string, r *http.Request, path string, sent []byte, a answer) {
	t.Helper()
	// The document describes GET; it cannot describe other methods and paths. A part of the
	// keys is not JSON.
	if r.Method == http.MethodHead || a.status == http.StatusPartialContent || a.json["code"] == "METHOD_NOT_ALLOWED" ||
		a.json["error"] == "There is nothing here." {
		return
	}
	v, err := openapi()
	if err != nil {
		t.Fatal(err)
	}
	request := r.Clone(r.Context())
	request.URL = &url.URL{Scheme: "http", Host: "sessile.test", Path: path, RawQuery: r.URL.RawQuery}
	request.Body = io.NopCloser(bytes.NewReader(sent))
	for name, values := range r.Header { // one spelling is documented, for both
		if tail, ok := strings.CutPrefix(name, "X-Hexclave-"); ok {
			request.Header["X-Stack-"+tail] = values
		}
	}
	response := &http.Response{
		StatusCode: a.status, Header: a.header.Clone(), Request: request,
		Body: io.NopCloser(bytes.NewReader(a.body)), ContentLength: int64(len(a.body)),
	}
	if ok, errs := v.ValidateHttpResponse(request, response); !ok {
		for _, err := range errs {
			t.Errorf("%s: the answer %d %s is not as openapi.yaml has it: %s: %s %v", where, a.status, redactedBody(a),
				err.Message, err.Reason, err.SchemaValidationErrors)
		}
	}
	if a.status >= 300 {
		return
	}
	request.Body = io.NopCloser(bytes.NewReader(sent))
	if ok, errs := v.ValidateHttpRequestSync(request); !ok {
		for _, err := range errs {
			t.Errorf("%s: the request was granted but is not as openapi.yaml has it: %s: %s %v", where, err.Message,
				err.Reason, err.SchemaValidationErrors)
		}
	}
}

// redactedBody is a body without the tokens: a failed test is a log, too.
func redactedBody(a answer) string { return credentials.ReplaceAllString(string(a.body), "…") }

// want fails the test if the status is another one.
func (a answer) want(t testing.TB, status int) answer {
	t.Helper()
	if a.status != status {
		t.Fatalf("status %d, want %d: %s", a.status, status, redactedBody(a))
	}
	return a
}

// refused fails the test if it is not this error.
func (a answer) refused(t testing.TB, status int, code string) answer {
	t.Helper()
	if a.status != status || a.json["code"] != code {
		t.Fatalf("%d %s, want %d %s", a.status, redactedBody(a), status, code)
	}
	return a
}

func (a answer) details() map[string]any {
	details, _ := a.json["details"].(map[string]any)
	return details
}

func (a answer) text(name string) string {
	s, _ := a.json[name].(string)
	return s
}

// items are the sessions of a list.
func (a answer) items(t testing.TB) []map[string]any {
	t.Helper()
	list, ok := a.json["items"].([]any)
	if !ok {
		t.Fatalf("no list: %s", redactedBody(a))
	}
	items := make([]map[string]any, len(list))
	for i := range list {
		items[i], _ = list[i].(map[string]any)
	}
	return items
}

// ids are those of the sessions of a list.
func (a answer) ids(t testing.TB) []string {
	t.Helper()
	var ids []string
	for _, item := range a.items(t) {
		id, _ := item["id"].(string)
		ids = append(ids, id)
	}
	return ids
}

// grant is a session of a user, as a client holds it.
type grant struct{ id, refresh, access string }

// signIn makes a session, in the process.
func (e *env) signIn(t testing.TB, userID string, change ...func(*sessions.CreateParams)) grant {
	t.Helper()
	p := sessions.CreateParams{UserID: userID, By: "test"}
	for _, f := range change {
		f(&p)
	}
	g, err := e.manager.Create(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	e.secret(g.RefreshToken.Reveal(), g.AccessToken.Reveal())
	return grant{g.Session.ID, g.RefreshToken.Reveal(), g.AccessToken.Reveal()}
}

func impersonating(actor string) func(*sessions.CreateParams) {
	return func(p *sessions.CreateParams) { p.Impersonation, p.Actor = true, actor }
}

func lasting(ttl time.Duration) func(*sessions.CreateParams) {
	return func(p *sessions.CreateParams) { p.TTL = ttl }
}

// refresh refreshes over HTTP.
func (e *env) refresh(t testing.TB, token string, options ...option) answer {
	t.Helper()
	return e.do(t, http.MethodPost, "/auth/sessions/current/refresh",
		append([]option{header("x-stack-refresh-token", token)}, options...)...)
}

// caller is who makes a request, in one of the two schemes.
type caller struct {
	name string
	as   option
}

// both are the two schemes, the second one in its two spellings, with the same
// credentials: a key or an access token.
func (e *env) both(credential string) []caller {
	name, access := "access-token", "client"
	switch {
	case strings.HasPrefix(credential, "ssk_"):
		name, access = "secret-server-key", "server"
	case strings.HasPrefix(credential, "sak_"):
		name, access = "super-secret-admin-key", "admin"
	}
	return []caller{
		{"Bearer", bearer(credential)},
		{"x-stack", family("x-stack-", "access-type", access, name, credential)},
		{"x-hexclave", family("x-hexclave-", "access-type", access, name, credential)},
	}
}
