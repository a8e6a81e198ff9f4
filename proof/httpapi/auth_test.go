package httpapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sessile-go/sessile/sessions"
)

// credentials are what the cases of the next tests can name.
func (e *env) credentials(t *testing.T) *strings.Replacer {
	t.Helper()
	own := e.signIn(t, alice)
	ended := e.signIn(t, alice)
	// as another process would
	if _, err := e.manager.Join(e.rows.Store).End(t.Context(), sessions.EndParams{ID: ended.id}); err != nil {
		t.Fatal(err)
	}
	foreign := newEnv(t, func(c *sessions.Config) { c.Secrets = [][]byte{[]byte(strings.Repeat("foreign ", 4))} }).
		signIn(t, alice)
	other := newEnv(t, func(c *sessions.Config) { c.Issuer = "https://other.test/" }).signIn(t, alice)
	e.secret(foreign.access, other.access)
	head, tail, _ := strings.Cut(own.access, ".")
	payload, signature, _ := strings.Cut(tail, ".")
	return strings.NewReplacer(
		"{server}", e.serverKey, "{admin}", e.adminKey, "{access}", own.access, "{session}", own.id,
		"{refresh}", own.refresh,
		"{ended}", ended.access, "{ended session}", ended.id, "{foreign}", foreign.access,
		"{other issuer}", other.access,
		"{truncated}", own.access[:len(own.access)-3], "{unsigned}", head+"."+payload+".", "{forged}",
		head+"."+payload[:len(payload)-2]+"QQ."+signature,
		"{alg none}", "eyJhbGciOiJub25lIn0."+payload+".", "{long}", strings.Repeat("a", 1<<20), "{long key}",
		"ssk_"+strings.Repeat("a", 1<<20),
		"{other key}", "ssk_"+strings.Repeat("x", 43), "{other admin}", "sak_"+strings.Repeat("x", 43),
		"{cut key}", e.serverKey[:len(e.serverKey)-1], "{half key}", e.serverKey[:20],
	)
}

const (
	unparsable = "UNPARSABLE_ACCESS_TOKEN"
	nobody     = "ACCESS_TYPE_REQUIRED"
)

func TestBearer(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		headers   []string // name: value
		status    int
		code      string
		challenge string // the error of the challenge; "-" for a challenge without
	}{
		"a server key":               {[]string{"Authorization: Bearer {server}"}, 200, "", ""},
		"an admin key":               {[]string{"Authorization: Bearer {admin}"}, 200, "", ""},
		"an access token":            {[]string{"Authorization: Bearer {access}"}, 200, "", ""},
		"the scheme in lower case":   {[]string{"Authorization: bearer {access}"}, 200, "", ""},
		"the scheme in upper case":   {[]string{"Authorization: BEARER {access}"}, 200, "", ""},
		"two spaces":                 {[]string{"Authorization: Bearer  {access}"}, 200, "", ""},
		"nothing":                    {nil, 401, nobody, "-"},
		"an empty header":            {[]string{"Authorization: "}, 401, nobody, "-"},
		"Basic":                      {[]string{"Authorization: Basic {server}"}, 401, nobody, "-"},
		"Digest":                     {[]string{"Authorization: Digest {server}"}, 401, nobody, "-"},
		"DPoP":                       {[]string{"Authorization: DPoP {access}"}, 401, nobody, "-"},
		"Token":                      {[]string{"Authorization: Token {access}"}, 401, nobody, "-"},
		"a longer scheme":            {[]string{"Authorization: BearerX {access}"}, 401, nobody, "-"},
		"a colon behind the scheme":  {[]string{"Authorization: Bearer: {access}"}, 401, nobody, "-"},
		"the token without a scheme": {[]string{"Authorization: {access}"}, 401, nobody, "-"},
		"the key without a scheme":   {[]string{"Authorization: {server}"}, 401, nobody, "-"},
		"a scheme alone":             {[]string{"Authorization: Bearer"}, 401, unparsable, "invalid_token"},
		"an empty token":             {[]string{"Authorization: Bearer "}, 401, unparsable, "invalid_token"},
		"two headers, the same twice": {
			[]string{"Authorization: Bearer {server}", "Authorization: Bearer {server}"}, 400, "SCHEMA_ERROR",
			"invalid_request",
		},
		"two headers, a good one first": {
			[]string{"Authorization: Bearer {server}", "Authorization: Basic eDp5"}, 400, "SCHEMA_ERROR",
			"invalid_request",
		},
		"two headers, a good one last": {
			[]string{"Authorization: Basic eDp5", "Authorization: Bearer {server}"}, 400, "SCHEMA_ERROR",
			"invalid_request",
		},
		"two in one header": {
			[]string{"Authorization: Bearer {server}, Bearer {access}"}, 401, "INVALID_SECRET_SERVER_KEY",
			"invalid_token",
		},
		"a tab for a space": {[]string{"Authorization: Bearer\t{access}"}, 401, nobody, "-"},
		"a space behind the token": {
			[]string{"Authorization: Bearer {access} "}, 401, unparsable, "invalid_token",
		},
		"quotes around the token": {
			[]string{`Authorization: Bearer "{access}"`}, 401, unparsable, "invalid_token",
		},
		"another server key": {
			[]string{"Authorization: Bearer {other key}"}, 401, "INVALID_SECRET_SERVER_KEY", "invalid_token",
		},
		"another admin key": {
			[]string{"Authorization: Bearer {other admin}"}, 401, "INVALID_SUPER_SECRET_ADMIN_KEY", "invalid_token",
		},
		"a server key that lacks a letter": {
			[]string{"Authorization: Bearer {cut key}"}, 401, "INVALID_SECRET_SERVER_KEY", "invalid_token",
		},
		"a server key with one too many": {
			[]string{"Authorization: Bearer {server}x"}, 401, "INVALID_SECRET_SERVER_KEY", "invalid_token",
		},
		"half a server key": {
			[]string{"Authorization: Bearer {half key}"}, 401, "INVALID_SECRET_SERVER_KEY", "invalid_token",
		},
		"a server key with another prefix": {
			[]string{"Authorization: Bearer SSK_{server}"}, 401, unparsable, "invalid_token",
		},
		"a prefix alone": {
			[]string{"Authorization: Bearer ssk_"}, 401, "INVALID_SECRET_SERVER_KEY", "invalid_token",
		},
		"a server key of 1 MiB": {
			[]string{"Authorization: Bearer {long key}"}, 401, "INVALID_SECRET_SERVER_KEY", "invalid_token",
		},
		"a token of 1 MiB": {
			[]string{"Authorization: Bearer {long}"}, 401, unparsable, "invalid_token",
		},
		"a refresh token": {
			[]string{"Authorization: Bearer {refresh}"}, 401, unparsable, "invalid_token",
		},
		"a session id": {
			[]string{"Authorization: Bearer {session}"}, 401, unparsable, "invalid_token",
		},
		"a client key": {
			[]string{"Authorization: Bearer " + clientKey}, 401, unparsable, "invalid_token",
		},
		"undefined": {
			[]string{"Authorization: Bearer undefined"}, 401, unparsable, "invalid_token",
		},
		"null": {
			[]string{"Authorization: Bearer null"}, 401, unparsable, "invalid_token",
		},
		"an object that was not serialised": {
			[]string{"Authorization: Bearer [object Object]"}, 401, unparsable, "invalid_token",
		},
		"a star": {[]string{"Authorization: Bearer *"}, 401, unparsable, "invalid_token"},
		"a truncated token": {
			[]string{"Authorization: Bearer {truncated}"}, 401, unparsable, "invalid_token",
		},
		"a token without signature": {
			[]string{"Authorization: Bearer {unsigned}"}, 401, unparsable, "invalid_token",
		},
		"a token with algorithm none": {
			[]string{"Authorization: Bearer {alg none}"}, 401, unparsable, "invalid_token",
		},
		"a forged token": {
			[]string{"Authorization: Bearer {forged}"}, 401, unparsable, "invalid_token",
		},
		"a token of another secret": {
			[]string{"Authorization: Bearer {foreign}"}, 401, unparsable, "invalid_token",
		},
		"a token of another issuer": {
			[]string{"Authorization: Bearer {other issuer}"}, 401, unparsable, "invalid_token",
		},
		"a token of a session that is ended": {
			[]string{"Authorization: Bearer {ended}"}, 401, "ACCESS_TOKEN_EXPIRED", "invalid_token",
		},
		"a key in another header": {
			[]string{"X-Api-Key: {server}", "Proxy-Authorization: Bearer {server}", "Cookie: access_token={access}"},
			401, nobody, "-",
		},
		"somebody else's identity headers": {
			[]string{
				"X-User-Id: " + alice, "X-Forwarded-User: " + alice, "X-Original-Url: /", "X-Middleware-Subrequest: 1",
				"Access-Type: admin",
			}, 401, nobody, "-",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEnv(t)
			fill := e.credentials(t)
			before := e.snapshot(t)
			a := e.do(t, http.MethodGet, "/auth/sessions?user_id="+alice, headers(fill, test.headers)).
				want(t, test.status)
			if a.status == 200 {
				return
			}
			a.refused(t, test.status, test.code)
			if got := challengeError(a); got != test.challenge {
				t.Errorf("challenge %q, want error %q", a.header.Get("Www-Authenticate"), test.challenge)
			}
			if e.snapshot(t) != before {
				t.Error("something changed")
			}
		})
	}
}

func headers(fill *strings.Replacer, lines []string) option {
	return func(r *http.Request) {
		for _, line := range lines {
			name, value, _ := strings.Cut(line, ": ")
			r.Header.Add(name, fill.Replace(value))
		}
	}
}

// challengeError returns the error of the challenge, "-" for a challenge without an error,
// or "" without a challenge.
func challengeError(a answer) string {
	challenge := a.header.Get("Www-Authenticate")
	if challenge == "" {
		return ""
	}
	_, rest, found := strings.Cut(challenge, `error="`)
	if !found {
		return "-"
	}
	code, _, _ := strings.Cut(rest, `"`)
	return code
}

// Credentials in the query or the body do not count.
func TestCredentialsInQueryAndBodyAreNone(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	own := e.signIn(t, alice)
	e.do(t, http.MethodGet, "/auth/sessions?user_id=me&access_token="+own.access).refused(t, 401, nobody)
	e.do(t, http.MethodPost, "/auth/sessions", jsonBody(`{"user_id":"`+alice+`","access_token":"`+e.serverKey+`"}`)).
		refused(t, 401, nobody)
	e.do(t, http.MethodDelete, "/auth/sessions/current", form("access_token", own.access, "refresh_token",
		own.refresh)).refused(t, 401, "ACCESS_TOKEN_EXPIRED")
	if s := e.row(t, own.id); !s.EndedAt.IsZero() {
		t.Error("signed out")
	}
}

// Of the x-stack family: the order of the checks is the contract's, and so are the
// details, without which the SDK breaks.
func TestStackFamily(t *testing.T) {
	t.Parallel()
	projectDetails := `{"project_id":"` + project + `"}`
	for name, test := range map[string]struct {
		headers []string // names without prefix
		status  int
		code    string
		details string
	}{
		"client": {
			[]string{"access-type: client", "project-id: P", "access-token: {access}"}, 200, "", "",
		},
		"client with its key": {
			[]string{
				"access-type: client", "project-id: P", "access-token: {access}",
				"publishable-client-key: " + clientKey,
			}, 200, "", "",
		},
		"client with the placeholder": {
			[]string{
				"access-type: client", "project-id: P", "access-token: {access}",
				"publishable-client-key: __stack_public_client__",
			}, 200, "", "",
		},
		"server": {
			[]string{"access-type: server", "project-id: P", "secret-server-key: {server}"}, 200, "", "",
		},
		"server with a client key that is not looked at": {
			[]string{
				"access-type: server", "project-id: P", "secret-server-key: {server}", "publishable-client-key: x",
			}, 200, "", "",
		},
		"server with an access token": {
			[]string{
				"access-type: server", "project-id: P", "secret-server-key: {server}", "access-token: {access}",
			}, 200, "", "",
		},
		"admin": {
			[]string{"access-type: admin", "project-id: P", "super-secret-admin-key: {admin}"}, 200, "", "",
		},
		"the main branch": {
			[]string{
				"access-type: admin", "project-id: P", "super-secret-admin-key: {admin}", "branch-id: main",
			}, 200, "", "",
		},
		"all that the SDK sends": {
			[]string{
				"access-type: client", "project-id: P", "access-token: {access}", "refresh-token: {refresh}",
				"publishable-client-key: " + clientKey,
				"allow-anonymous-user: true", "client-version: js @stackframe/js@2.8.108", "random-nonce: x",
			}, 200, "", "",
		},

		"no access type": {[]string{"project-id: P", "access-token: {access}"}, 401, nobody, ""},
		"no access type, another project": {
			[]string{"project-id: x"}, 400, "CURRENT_PROJECT_NOT_FOUND", `{"project_id":"x"}`,
		},
		"a server key without access type": {
			[]string{"project-id: P", "secret-server-key: {server}"}, 400, "PROJECT_KEY_WITHOUT_ACCESS_TYPE", "",
		},
		"an admin key without access type": {
			[]string{"project-id: P", "super-secret-admin-key: {admin}"}, 400, "PROJECT_KEY_WITHOUT_ACCESS_TYPE", "",
		},
		"a client key without access type": {
			[]string{"project-id: P", "publishable-client-key: " + clientKey}, 400,
			"PROJECT_KEY_WITHOUT_ACCESS_TYPE", "",
		},
		"an unknown access type": {
			[]string{"access-type: root", "project-id: P"}, 400, "INVALID_ACCESS_TYPE", `{"accessType":"root"}`,
		},
		"an access type in other case": {
			[]string{"access-type: Server", "project-id: P", "secret-server-key: {server}"}, 400, "INVALID_ACCESS_TYPE",
			`{"accessType":"Server"}`,
		},
		"a very long access type": {
			[]string{"access-type: {long}", "project-id: P"}, 400, "INVALID_ACCESS_TYPE", `{"accessType":"` +
				strings.Repeat("a", 64) + `"}`,
		},
		"no project": {
			[]string{"access-type: server", "secret-server-key: {server}"}, 400, "ACCESS_TYPE_WITHOUT_PROJECT_ID",
			`{"request_type":"server"}`,
		},
		"another project": {
			[]string{"access-type: server", "project-id: x", "secret-server-key: {server}"}, 400,
			"CURRENT_PROJECT_NOT_FOUND", `{"project_id":"x"}`,
		},
		"another project with an access token": {
			[]string{
				"access-type: client", "project-id: x", "access-token: {access}",
			}, 401, "INVALID_PROJECT_FOR_ACCESS_TOKEN", `{"actual_project_id":"` + project +
				`","expected_project_id":"x"}`,
		},
		"a bad access token before another project": {
			[]string{"access-type: client", "project-id: x", "access-token: x"}, 401, unparsable, "",
		},
		"client with another key": {
			[]string{"access-type: client", "project-id: P", "access-token: {access}", "publishable-client-key: x"},
			401, "INVALID_PUBLISHABLE_CLIENT_KEY", projectDetails,
		},
		"client without a user": {
			[]string{"access-type: client", "project-id: P"}, 400, "CANNOT_GET_OWN_USER_WITHOUT_USER", "",
		},
		"server without its key": {
			[]string{"access-type: server", "project-id: P"}, 401, "SERVER_AUTHENTICATION_REQUIRED", "",
		},
		"server with the admin's key": {
			[]string{"access-type: server", "project-id: P", "super-secret-admin-key: {admin}"}, 401,
			"SERVER_AUTHENTICATION_REQUIRED", "",
		},
		"server with an admin key for its own": {
			[]string{"access-type: server", "project-id: P", "secret-server-key: {admin}"}, 401,
			"INVALID_SECRET_SERVER_KEY", projectDetails,
		},
		"server with another key": {
			[]string{"access-type: server", "project-id: P", "secret-server-key: {other key}"}, 401,
			"INVALID_SECRET_SERVER_KEY", projectDetails,
		},
		"admin without its key": {
			[]string{"access-type: admin", "project-id: P"}, 401, "ADMIN_AUTHENTICATION_REQUIRED", "",
		},
		"admin with a server key": {
			[]string{"access-type: admin", "project-id: P", "super-secret-admin-key: {server}"}, 401,
			"INVALID_SUPER_SECRET_ADMIN_KEY", projectDetails,
		},
		"another branch": {
			[]string{"access-type: server", "project-id: P", "secret-server-key: {server}", "branch-id: dev"}, 400,
			"BRANCH_DOES_NOT_EXIST", `{"branch_id":"dev"}`,
		},
		"a bad access token beside a good key": {
			[]string{"access-type: server", "project-id: P", "secret-server-key: {server}", "access-token: {forged}"},
			401, unparsable, "",
		},
		"a dead access token beside a good key": {
			[]string{"access-type: server", "project-id: P", "secret-server-key: {server}", "access-token: {ended}"},
			401, "ACCESS_TOKEN_EXPIRED",
			fmt.Sprintf(`{"expired_at_millis":%d,"project_id":%q,"refresh_token_id":"{ended session}","user_id":%q}`,
				began.UnixMilli(), project, alice),
		},
		"an access type, so Authorization is not looked at": {
			[]string{"access-type: client", "project-id: P", "=Authorization: Bearer {server}"}, 400,
			"CANNOT_GET_OWN_USER_WITHOUT_USER", "",
		},
		"a good access type beside a bad Authorization": {
			[]string{
				"access-type: client", "project-id: P", "access-token: {access}", "=Authorization: Bearer x",
			}, 200, "", "",
		},
		"no access type, so Authorization is": {
			[]string{"project-id: P", "=Authorization: Bearer {server}"}, 200, "", "",
		},
		"an access type twice": {
			[]string{"access-type: client", "access-type: admin", "project-id: P"}, 400, "SCHEMA_ERROR", "*",
		},
		"a server key twice": {
			[]string{
				"access-type: server", "project-id: P", "secret-server-key: {server}", "secret-server-key: {server}",
			}, 400, "SCHEMA_ERROR", "*",
		},
		"an access token twice": {
			[]string{"access-type: client", "project-id: P", "access-token: {access}", "access-token: {access}"}, 400,
			"SCHEMA_ERROR", "*",
		},
	} {
		for _, prefix := range []string{"x-stack-", "x-hexclave-"} {
			t.Run(name+"/"+prefix, func(t *testing.T) {
				t.Parallel()
				e := newEnv(t)
				fill := e.credentials(t)
				as := func(r *http.Request) {
					for _, line := range test.headers {
						name, value, _ := strings.Cut(line, ": ")
						if value == "P" {
							value = project
						}
						if plain, ok := strings.CutPrefix(name, "="); ok {
							name = plain
						} else {
							name = prefix + name
						}
						r.Header.Add(name, fill.Replace(value))
					}
				}
				a := e.do(t, http.MethodGet, "/auth/sessions?user_id="+alice, as).want(t, test.status)
				if a.status == 200 {
					return
				}
				a.refused(t, test.status, test.code)
				details, _ := json.Marshal(a.json["details"])
				if want := fill.Replace(test.details); want != "*" && string(details) != want &&
					(want != "" || a.json["details"] != nil) {
					t.Errorf("details %s, want %s", details, want)
				}

				// The same with the status that the SDK asks for.
				for _, spelling := range []string{"x-stack-", "x-hexclave-"} {
					b := e.do(t, http.MethodGet, "/auth/sessions?user_id="+alice, as,
						header(spelling+"override-error-status", "true"))
					if b.wire != 200 || b.status != a.status || string(b.body) != string(a.body) ||
						b.header.Get("Www-Authenticate") != a.header.Get("Www-Authenticate") {
						t.Errorf("overridden: %d for %d: %s", b.wire, b.status, redactedBody(b))
					}
				}
			})
		}
	}
}

// If a request has both spellings, the newer one counts.
func TestTheNewerSpellingWins(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	own := e.signIn(t, alice)
	both := func(old, newer string) []option {
		return []option{
			stack("access-type", old), family("x-hexclave-", "access-type", newer, "access-token", own.access),
		}
	}
	e.do(t, http.MethodGet, "/auth/sessions/current", both("admin", "client")...).want(t, 200)
	e.do(t, http.MethodGet, "/auth/sessions/current", both("client", "admin")...).refused(t, 401,
		"ADMIN_AUTHENTICATION_REQUIRED")
}

func TestClientKeys(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		key    string
		status int
		code   string
	}{
		"a configured key": {clientKey, 200, ""},
		"no key":           {"", 401, "PUBLISHABLE_CLIENT_KEY_REQUIRED_FOR_PROJECT"},
		"the placeholder":  {"__stack_public_client__", 401, "PUBLISHABLE_CLIENT_KEY_REQUIRED_FOR_PROJECT"},
		"another key":      {"x", 401, "INVALID_PUBLISHABLE_CLIENT_KEY"},
	} {
		t.Run(name+", where one is required", func(t *testing.T) {
			t.Parallel()
			e := newEnv(t, func(c *sessions.Config) { c.RequireClientKey = true })
			own := e.signIn(t, alice)
			a := e.do(t, http.MethodGet, "/auth/sessions/current", stack("access-type", "client", "access-token",
				own.access, "publishable-client-key", test.key)).want(t, test.status)
			if test.status != 200 {
				a.refused(t, test.status, test.code)
				if a.details()["project_id"] != project {
					t.Errorf("details %v", a.details())
				}
			}
			// Bearer is not of the family and knows no client keys.
			e.do(t, http.MethodGet, "/auth/sessions/current", bearer(own.access)).want(t, 200)
		})
	}
}

// Without a project the headers of the family mean nothing, and no answer has one; the
// tests of package sessions hold every answer.
func TestWithoutAProjectTheFamilyMeansNothing(t *testing.T) {
	t.Parallel()
	e := newEnv(t, func(c *sessions.Config) { c.ProjectID, c.Audience = "", "my-app" })
	own := e.signIn(t, alice)
	family := stack("access-type", "client", "access-token", own.access, "override-error-status", "true")
	e.do(t, http.MethodGet, "/auth/sessions/current", family).refused(t, 401, nobody)
	e.do(t, http.MethodGet, "/auth/sessions/current", family, bearer(own.access)).want(t, 200)
	e.do(t, http.MethodGet, "/auth/sessions/current", family, bearer("x")).refused(t, 401, unparsable)
	e.do(t, http.MethodGet, "/auth/sessions?user_id=me", family, bearer(e.serverKey)).refused(t, 400,
		"CANNOT_GET_OWN_USER_WITHOUT_USER")
	e.refresh(t, own.refresh).refused(t, 400, "SCHEMA_ERROR")
	e.do(t, http.MethodPost, "/auth/sessions/current/refresh",
		jsonBody(`{"refresh_token":"`+own.refresh+`"}`)).want(t, 200)
	// Details are our own, or absent.
	for _, a := range []answer{
		e.do(t, http.MethodGet, "/auth/sessions/current", bearer(e.serverKey+"x")).refused(t, 401,
			"INVALID_SECRET_SERVER_KEY"),
		e.do(t, http.MethodGet, "/auth/sessions/current", bearer(e.adminKey+"x")).refused(t, 401,
			"INVALID_SUPER_SECRET_ADMIN_KEY"),
		e.do(t, http.MethodPost, "/auth/sessions", bearer(own.access), jsonBody(`{"user_id":"`+alice+`"}`)).refused(t,
			401, "INSUFFICIENT_ACCESS_TYPE"),
		e.do(t, http.MethodDelete, "/auth/sessions/current").refused(t, 401, "ACCESS_TOKEN_EXPIRED"),
	} {
		if a.json["details"] != nil {
			t.Errorf("%s", a.body)
		}
	}
	e.clock.Advance(time.Hour)
	a := e.do(t, http.MethodGet, "/auth/sessions/current", bearer(own.access)).refused(t, 401, "ACCESS_TOKEN_EXPIRED")
	if d := a.details(); len(d) != 3 || d["session_id"] != own.id || d["user_id"] != alice ||
		d["expired_at_millis"] == nil {
		t.Errorf("details %v", d)
	}
	own = e.signIn(t, alice)
	e.do(t, http.MethodPost, "/auth/oauth/token", form("grant_type", "refresh_token", "refresh_token",
		own.refresh)).want(t, 200)
	e.do(t, http.MethodPost, "/auth/oauth/token", form("grant_type", "refresh_token", "refresh_token", own.refresh,
		"client_id", "whatever")).want(t, 200)
	e.do(t, http.MethodGet, "/projects/my-app/.well-known/jwks.json").refused(t, 404, "NOT_FOUND")
	e.do(t, http.MethodGet, "/.well-known/jwks.json").want(t, 200)
}

// Our endpoints look up the session on every request.
func TestOurEndpointsAreStrict(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		end func(t *testing.T, e *env, own grant)
		at  time.Duration // since the start: when the session ended
	}{
		"ended by this process": {func(t *testing.T, e *env, own grant) {
			t.Helper()
			e.clock.Advance(time.Minute)
			if _, err := e.manager.End(t.Context(), sessions.EndParams{ID: own.id}); err != nil {
				t.Fatal(err)
			}
		}, time.Minute},
		"ended by another process": {func(t *testing.T, e *env, own grant) {
			t.Helper()
			e.clock.Advance(time.Minute)
			if _, err := e.manager.Join(e.rows.Store).End(t.Context(), sessions.EndParams{ID: own.id}); err != nil {
				t.Fatal(err)
			}
			e.clock.Advance(time.Minute)
		}, time.Minute},
		"expired": {func(_ *testing.T, e *env, _ grant) { e.clock.Advance(5 * time.Minute) }, 5 * time.Minute},
		"pruned": {func(t *testing.T, e *env, own grant) {
			t.Helper()
			if _, err := e.manager.Join(e.rows.Store).End(t.Context(), sessions.EndParams{ID: own.id}); err != nil {
				t.Fatal(err)
			}
			if n, err := e.rows.Prune(t.Context(), sessions.PruneParams{
				EndedBefore: began.Add(time.Hour), Limit: 10,
			}); n != 1 || err != nil {
				t.Fatal(n, err)
			}
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEnv(t)
			own := e.signIn(t, alice, lasting(5*time.Minute))
			test.end(t, e, own)
			for _, call := range []string{
				"GET /auth/sessions/current", "GET /auth/sessions?user_id=me", "DELETE /auth/sessions",
				"DELETE /auth/sessions/" + own.id, "POST /auth/sessions",
			} {
				method, path, _ := strings.Cut(call, " ")
				for _, caller := range e.both(own.access) {
					a := e.do(t, method, path, caller.as, jsonBody(`{"user_id":"me"}`)).refused(t, 401,
						"ACCESS_TOKEN_EXPIRED")
					d := a.details()
					want := began.Add(test.at)
					if name == "expired" {
						want = want.Truncate(time.Second) // the token says so, in seconds
					}
					if d["user_id"] != alice || d["refresh_token_id"] != own.id || d["project_id"] != project ||
						d["expired_at_millis"] != float64(want.UnixMilli()) {
						t.Errorf("%s: details %v, want %v", call, d, want.UnixMilli())
					}
				}
			}
		})
	}
}

// An access token has an end of its own, which is no business of the session.
func TestAnExpiredAccessTokenIsRefused(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	own := e.signIn(t, alice)
	expires := began.Add(10 * time.Minute).Truncate(time.Second)
	e.clock.Set(expires.Add(-time.Microsecond))
	e.do(t, http.MethodGet, "/auth/sessions/current", bearer(own.access)).want(t, 200)
	e.clock.Set(expires)
	a := e.do(t, http.MethodGet, "/auth/sessions/current", bearer(own.access)).refused(t, 401, "ACCESS_TOKEN_EXPIRED")
	if a.details()["expired_at_millis"] != float64(expires.UnixMilli()) {
		t.Errorf("details %v", a.details())
	}
	e.refresh(t, own.refresh).want(t, 200)
}

// Outer middleware has the last word about the id of a request, its client none.
func TestRequestID(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	own := e.signIn(t, alice)
	for name, test := range map[string]struct {
		outer string
		kept  bool
	}{
		"one of outer middleware":      {"req-1/ABC", true},
		"one of 128 characters":        {strings.Repeat("x", 128), true},
		"one of 129 characters":        {strings.Repeat("x", 129), false},
		"one with a space":             {"a b", false},
		"one that is not ASCII":        {"é", false},
		"one with a control character": {"a\x1b[31m", false},
		"none":                         {"", false},
	} {
		t.Run(name, func(t *testing.T) {
			e.serve = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if test.outer != "" {
					w.Header().Set("X-Request-Id", test.outer)
				}
				e.handler.ServeHTTP(w, r)
			})
			for _, as := range []option{
				bearer(own.access), bearer("x"), stack("access-type", "client", "access-token", own.access),
				stack("access-type", "client", "access-token", "x"),
			} {
				a := e.do(t, http.MethodGet, "/auth/sessions/current", as, header("X-Request-Id", "of-the-client"))
				got := a.header.Get("X-Request-Id")
				if (got == test.outer) != test.kept || got == "of-the-client" {
					t.Errorf("X-Request-Id %q", got)
				}
			}
		})
	}
}
