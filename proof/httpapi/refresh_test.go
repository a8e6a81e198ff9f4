package httpapi_test

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

// refreshers are the ways to refresh over HTTP, and how each reports a refusal.
var refreshers = map[string]func(t testing.TB, e *env, token string) answer{
	"the endpoint": func(t testing.TB, e *env, token string) answer { t.Helper(); return e.refresh(t, token) },
	"the endpoint, in the newer spelling": func(t testing.TB, e *env, token string) answer {
		t.Helper()
		return e.do(t, http.MethodPost, "/auth/sessions/current/refresh", header("x-hexclave-refresh-token", token))
	},
	"the endpoint, in the body": func(t testing.TB, e *env, token string) answer {
		t.Helper()
		return e.do(t, http.MethodPost, "/auth/sessions/current/refresh", jsonBody(`{"refresh_token":"`+token+`"}`))
	},
	"the token endpoint, a form": func(t testing.TB, e *env, token string) answer {
		t.Helper()
		return e.do(t, http.MethodPost, "/auth/oauth/token", form("grant_type", "refresh_token", "refresh_token", token,
			"client_id", project, "client_secret", clientKey))
	},
	"the token endpoint, JSON": func(t testing.TB, e *env, token string) answer {
		t.Helper()
		return e.do(t, http.MethodPost, "/auth/oauth/token", jsonBody(`{"grant_type":"refresh_token","refresh_token":"`+
			token+`","client_id":"`+project+`#main"}`))
	},
	"the token endpoint, Basic": func(t testing.TB, e *env, token string) answer {
		t.Helper()
		return e.do(t, http.MethodPost, "/auth/oauth/token", basic(project, clientKey),
			form("grant_type", "refresh_token", "refresh_token", token))
	},
}

// refusedWith is the status with which one of them refuses a refresh token.
func refusedWith(how string) int {
	if strings.HasPrefix(how, "the token endpoint") {
		return http.StatusBadRequest // RFC 6749, section 5.2
	}
	return http.StatusUnauthorized
}

// basic encodes as RFC 6749, section 2.3.1, has it.
func basic(id, key string) option {
	return header("Authorization",
		"Basic "+base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(key))))
}

func TestRefreshOverHTTP(t *testing.T) {
	t.Parallel()
	for name, refresh := range refreshers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEnv(t)
			own := e.signIn(t, alice)
			token := own.refresh
			for range 3 { // a client that adopts the successor
				e.clock.Advance(time.Hour)
				a := refresh(t, e, token).want(t, 200)
				if a.text("refresh_token") == token || a.text("token_type") != "Bearer" ||
					a.json["expires_in"] != 600.0 {
					t.Errorf("%s", redactedBody(a))
				}
				token = a.text("refresh_token")
				if current := e.do(t, http.MethodGet, "/auth/sessions/current", bearer(a.text("access_token"))).want(t,
					200); current.text("id") != own.id {
					t.Error("the access token is of another session")
				}
			}
			if !e.row(t, own.id).LastUsedAt.Equal(e.clock.Now()) {
				t.Error("last used is not now")
			}

			// And one that keeps its first token.
			static := e.signIn(t, alice)
			for range 3 {
				e.clock.Advance(time.Hour)
				refresh(t, e, static.refresh).want(t, 200)
			}
		})
	}
}

func TestRefusedRefreshOverHTTP(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		configure func(*sessions.Config)
		token     func(t *testing.T, e *env, own grant) string
		reason    string
		ends      sessions.EndReason // why the session ends by it
	}{
		"not a token": {
			token: func(*testing.T, *env, grant) string { return "undefined" }, reason: "malformed",
		},
		"a truncated token": {
			token:  func(_ *testing.T, _ *env, own grant) string { return own.refresh[:len(own.refresh)-1] },
			reason: "malformed",
		},
		"an extended token": {
			token: func(_ *testing.T, _ *env, own grant) string { return own.refresh + "A" }, reason: "malformed",
		},
		"a padded token": {
			token: func(_ *testing.T, _ *env, own grant) string { return own.refresh + "=" }, reason: "malformed",
		},
		"a token in quotes": {
			token: func(_ *testing.T, _ *env, own grant) string { return "'" + own.refresh + "'" }, reason: "malformed",
		},
		"a token, upper case": {
			token:  func(_ *testing.T, _ *env, own grant) string { return strings.ToUpper(own.refresh) },
			reason: "malformed",
		},
		"a forged token": {token: func(_ *testing.T, _ *env, own grant) string {
			i := len(own.refresh) - 5
			return own.refresh[:i] + string(own.refresh[i]^1) + own.refresh[i+1:]
		}, reason: "malformed"},
		"two tokens with a comma": {
			token:  func(_ *testing.T, _ *env, own grant) string { return own.refresh + "," + own.refresh },
			reason: "malformed",
		},
		"a server key": {
			token: func(_ *testing.T, e *env, _ grant) string { return e.serverKey }, reason: "malformed",
		},
		"an access token": {
			token: func(_ *testing.T, _ *env, own grant) string { return own.access }, reason: "malformed",
		},
		"a session id": {
			token: func(_ *testing.T, _ *env, own grant) string { return own.id }, reason: "malformed",
		},
		"a token of another secret": {token: func(t *testing.T, e *env, _ grant) string {
			t.Helper()
			foreign := newEnv(t, func(c *sessions.Config) {
				c.Secrets = [][]byte{[]byte(strings.Repeat("foreign ", 4))}
			}).signIn(t, alice).refresh
			e.secret(foreign)
			return foreign
		}, reason: "malformed"},
		"a token of a session that is not there": {token: func(t *testing.T, e *env, _ grant) string {
			t.Helper()
			other := newEnv(t).signIn(t, alice).refresh // the same secret, another database
			e.secret(other)
			return other
		}, reason: "unknown"},
		"of a session that has ended": {token: func(t *testing.T, e *env, own grant) string {
			t.Helper()
			e.do(t, http.MethodDelete, "/auth/sessions/"+own.id, bearer(e.serverKey)).want(t, 200)
			return own.refresh
		}, reason: "ended", ends: sessions.EndRevoked},
		"of a session that has expired": {token: func(_ *testing.T, e *env, own grant) string {
			e.clock.Advance(2 * time.Hour)
			return own.refresh
		}, reason: "expired"},
		"of a session that was idle": {configure: func(c *sessions.Config) { c.IdleTimeout = time.Hour },
			token: func(_ *testing.T, e *env, own grant) string {
				e.clock.Advance(time.Hour)
				return own.refresh
			}, reason: "idle"},
		"a token that was spent long ago": {token: func(t *testing.T, e *env, own grant) string {
			t.Helper()
			second := e.refresh(t, own.refresh).want(t, 200).text("refresh_token")
			e.refresh(t, second).want(t, 200)
			return own.refresh
		}, reason: "replay", ends: sessions.EndReplay},
		"a token used twice, where that is one too many": {configure: func(c *sessions.Config) {
			c.Rotation = sessions.StrictRotation()
		}, token: func(t *testing.T, e *env, own grant) string {
			t.Helper()
			e.refresh(t, own.refresh).want(t, 200)
			return own.refresh
		}, reason: "replay", ends: sessions.EndReplay},
		"one reply too many lost": {configure: func(c *sessions.Config) { c.Rotation.MaxRecoveries = 1 },
			token: func(t *testing.T, e *env, own grant) string {
				t.Helper()
				for range 2 {
					e.refresh(t, own.refresh).want(t, 200)
					e.clock.Advance(2 * time.Minute)
				}
				return own.refresh
			}, reason: "recovery_limit", ends: sessions.EndRecoveryLimit},
		"of a user who is gone": {token: func(_ *testing.T, e *env, own grant) string {
			e.setUsers(func(context.Context, string) (sessions.User, error) {
				return sessions.User{}, sessions.ErrUserNotFound
			})
			return own.refresh
		}, reason: "user_gone", ends: sessions.EndUserGone},
		"of a user who is disabled": {token: func(_ *testing.T, e *env, own grant) string {
			e.setUsers(func(context.Context, string) (sessions.User, error) {
				return sessions.User{}, sessions.ErrUserDisabled
			})
			return own.refresh
		}, reason: "user_disabled"},
	} {
		for how, refresh := range refreshers {
			t.Run(name+"/"+how, func(t *testing.T) {
				t.Parallel()
				var configure []func(*sessions.Config)
				if test.configure != nil {
					configure = append(configure, test.configure)
				}
				e := newEnv(t, configure...)
				own := e.signIn(t, alice, lasting(90*time.Minute))
				bystander := e.signIn(t, bob)
				token := test.token(t, e, own)
				status, challenge := refusedWith(how), "invalid_token"
				if status == 400 {
					challenge = ""
				}
				a := refresh(t, e, token).refused(t, status, "REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED")
				if d := a.details(); len(d) != 2 || d["reason"] != test.reason || d["retry"] != false {
					t.Errorf("details %v, want reason %s", d, test.reason)
				}
				if challengeError(a) != challenge || status == 400 && a.header.Get("Www-Authenticate") != "" {
					t.Errorf("challenge %q", a.header.Get("Www-Authenticate"))
				}
				if strings.HasPrefix(how, "the token endpoint") {
					if a.json["error"] != "invalid_grant" || a.text("error_description") == "" ||
						a.header.Get("X-Stack-Known-Error") != "REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED" {
						t.Errorf("not as the SDK and RFC 6749 have it: %s", redactedBody(a))
					}
				}
				if s := e.row(t, own.id); s.EndReason != test.ends {
					t.Errorf("ended by %q, want %q", s.EndReason, test.ends)
				}
				if s := e.row(t, bystander.id); !s.EndedAt.IsZero() {
					t.Error("another user's session has ended")
				}
			})
		}
	}
}

// The session of a disabled user waits.
func TestADisabledUserComesBack(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	own := e.signIn(t, alice)
	e.setUsers(func(context.Context, string) (sessions.User, error) {
		return sessions.User{}, sessions.ErrUserDisabled
	})
	e.refresh(t, own.refresh).refused(t, 401, "REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED")
	e.setUsers(nil)
	e.refresh(t, own.refresh).want(t, 200)
}

func TestAGoneUserDoesNotComeBack(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	own := e.signIn(t, alice)
	e.setUsers(func(context.Context, string) (sessions.User, error) {
		return sessions.User{}, sessions.ErrUserNotFound
	})
	e.refresh(t, own.refresh).refused(t, 401, "REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED")
	e.setUsers(nil)
	if a := e.refresh(t, own.refresh).refused(t, 401,
		"REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED"); a.details()["reason"] != "ended" {
		t.Errorf("details %v", a.details())
	}
	if _, err := e.manager.Verify(own.access); err == nil {
		t.Error("the access token still works here")
	}
}

// An impersonation's token never passes its ceiling, so it is not refreshed in its
// last half minute.
func TestAnImpersonationIsNotRefreshedInItsLastHalfMinute(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	acting := e.signIn(t, alice, impersonating("admin-1"), lasting(10*time.Minute))
	e.clock.Advance(9*time.Minute + 30*time.Second - time.Millisecond)
	if a := e.refresh(t, acting.refresh).want(t, 200); a.json["is_impersonation"] != true {
		t.Errorf("%s", redactedBody(a))
	}
	e.clock.Advance(time.Millisecond)
	if a := e.refresh(t, acting.refresh).refused(t, 401,
		"REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED"); a.details()["reason"] != "expired" {
		t.Errorf("details %v", a.details())
	}
}

// The refresh token is credential enough. What else is sent is checked all the
// same, but for an access token.
func TestRefreshBesideOtherCredentials(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		with   func(e *env) option
		status int
		code   string
	}{
		"nothing": {func(*env) option { return header("User-Agent", "x") }, 200, ""},
		"a dead access token": {
			func(*env) option { return stack("access-type", "client", "access-token", "dead") }, 200, "",
		},
		"a dead access token as Bearer": {func(*env) option { return bearer("dead") }, 200, ""},
		"two Authorization headers": {
			func(*env) option { return header("Authorization", "Bearer a", "Bearer b") }, 200, "",
		},
		"the server's key": {
			func(e *env) option { return stack("access-type", "server", "secret-server-key", e.serverKey) }, 200, "",
		},
		"a body": {func(*env) option { return jsonBody(`{"refresh_token":"x"}`) }, 200, ""},
		"an unknown access type": {
			func(*env) option { return stack("access-type", "x") }, 400, "INVALID_ACCESS_TYPE",
		},
		"another project": {
			func(*env) option { return stack("project-id", "x") }, 400, "CURRENT_PROJECT_NOT_FOUND",
		},
		"another project of a client": {
			func(*env) option { return stack("project-id", "x", "access-type", "client", "access-token", "dead") }, 400,
			"CURRENT_PROJECT_NOT_FOUND",
		},
		"a wrong server key": {
			func(*env) option { return stack("access-type", "server", "secret-server-key", "x") }, 401,
			"INVALID_SECRET_SERVER_KEY",
		},
		"a wrong client key": {
			func(*env) option { return stack("access-type", "client", "publishable-client-key", "x") }, 401,
			"INVALID_PUBLISHABLE_CLIENT_KEY",
		},
		"a key without access type": {
			func(*env) option { return stack("publishable-client-key", clientKey) }, 400,
			"PROJECT_KEY_WITHOUT_ACCESS_TYPE",
		},
		"another branch": {
			func(*env) option { return stack("access-type", "client", "branch-id", "dev") }, 400,
			"BRANCH_DOES_NOT_EXIST",
		},
		"a second refresh token": {func(*env) option {
			return func(r *http.Request) { r.Header.Add("x-stack-refresh-token", "other") }
		}, 400, "SCHEMA_ERROR"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEnv(t)
			own := e.signIn(t, alice)
			before := e.snapshot(t)
			a := e.refresh(t, own.refresh, test.with(e)).want(t, test.status)
			if test.status != 200 {
				a.refused(t, test.status, test.code)
				if e.snapshot(t) != before {
					t.Error("something changed")
				}
				e.refresh(t, own.refresh).want(t, 200)
			}
		})
	}
}

func TestTokenEndpointErrors(t *testing.T) {
	t.Parallel()
	const formType, jsonType = "application/x-www-form-urlencoded", "application/json"
	for name, test := range map[string]struct {
		options func(token string) []option
		status  int
		error   string // RFC 6749, section 5.2
		code    string
		client  any // details.client_id
	}{
		"no grant type": {
			func(rt string) []option { return []option{form("refresh_token", rt, "client_id", project)} }, 400,
			"invalid_request", "SCHEMA_ERROR", nil,
		},
		"another grant type": {func(rt string) []option {
			return []option{form("grant_type", "password", "refresh_token", rt, "client_id", project)}
		}, 400, "unsupported_grant_type", "SCHEMA_ERROR", nil},
		"authorization_code": {func(rt string) []option {
			return []option{form("grant_type", "authorization_code", "refresh_token", rt, "client_id", project)}
		}, 400, "unsupported_grant_type", "SCHEMA_ERROR", nil},
		"a grant type twice": {func(rt string) []option {
			return []option{
				form("grant_type", "refresh_token", "grant_type", "refresh_token", "refresh_token", rt,
					"client_id", project),
			}
		}, 400, "invalid_request", "SCHEMA_ERROR", nil},
		"a refresh token twice": {func(rt string) []option {
			return []option{
				form("grant_type", "refresh_token", "refresh_token", rt, "refresh_token", rt, "client_id", project),
			}
		}, 400, "invalid_request", "SCHEMA_ERROR", nil},
		"no refresh token": {
			func(string) []option { return []option{form("grant_type", "refresh_token", "client_id", project)} }, 400,
			"invalid_request", "SCHEMA_ERROR", nil,
		},
		"an empty refresh token": {func(string) []option {
			return []option{form("grant_type", "refresh_token", "refresh_token", "", "client_id", project)}
		}, 400, "invalid_request", "SCHEMA_ERROR", nil},
		"an unknown scope": {func(rt string) []option {
			return []option{
				form("grant_type", "refresh_token", "refresh_token", rt, "client_id", project, "scope", "admin"),
			}
		}, 400, "invalid_scope", "SCHEMA_ERROR", nil},
		"no client": {
			func(rt string) []option { return []option{form("grant_type", "refresh_token", "refresh_token", rt)} }, 400,
			"invalid_client", "INVALID_OAUTH_CLIENT_ID_OR_SECRET", nil,
		},
		"another client": {func(rt string) []option {
			return []option{form("grant_type", "refresh_token", "refresh_token", rt, "client_id", "x")}
		}, 400, "invalid_client", "INVALID_OAUTH_CLIENT_ID_OR_SECRET", "x"},
		"another branch": {func(rt string) []option {
			return []option{form("grant_type", "refresh_token", "refresh_token", rt, "client_id", project+"#dev")}
		}, 400, "invalid_client", "INVALID_OAUTH_CLIENT_ID_OR_SECRET", project + "#dev"},
		"another client key": {func(rt string) []option {
			return []option{
				form("grant_type", "refresh_token", "refresh_token", rt, "client_id", project, "client_secret", "x"),
			}
		}, 400, "invalid_client", "INVALID_OAUTH_CLIENT_ID_OR_SECRET", project},
		"another client in Basic": {func(rt string) []option {
			return []option{form("grant_type", "refresh_token", "refresh_token", rt), basic("x", clientKey)}
		}, 401, "invalid_client", "INVALID_OAUTH_CLIENT_ID_OR_SECRET", nil},
		"another key in Basic": {func(rt string) []option {
			return []option{form("grant_type", "refresh_token", "refresh_token", rt), basic(project, "x")}
		}, 401, "invalid_client", "INVALID_OAUTH_CLIENT_ID_OR_SECRET", nil},
		"an id in Basic that is not encoded": {func(rt string) []option {
			return []option{
				form("grant_type", "refresh_token", "refresh_token", rt), func(r *http.Request) {
					r.SetBasicAuth("%zz", "")
				},
			}
		}, 401, "invalid_client", "INVALID_OAUTH_CLIENT_ID_OR_SECRET", nil},
		"a client in both places": {func(rt string) []option {
			return []option{
				form("grant_type", "refresh_token", "refresh_token", rt, "client_id", project, "client_secret",
					clientKey), basic(project, clientKey),
			}
		}, 400, "invalid_request", "SCHEMA_ERROR", nil},
		"two clients": {func(rt string) []option {
			return []option{
				form("grant_type", "refresh_token", "refresh_token", rt, "client_id", "x"), basic(project, clientKey),
			}
		}, 400, "invalid_request", "SCHEMA_ERROR", nil},
		"two Authorization headers": {func(rt string) []option {
			return []option{
				form("grant_type", "refresh_token", "refresh_token", rt, "client_id", project),
				basic(project, clientKey), func(r *http.Request) { r.Header.Add("Authorization", "Basic eDp5") },
			}
		}, 400, "invalid_request", "SCHEMA_ERROR", nil},
		"no body": {
			func(string) []option { return nil }, 415, "invalid_request", "UNSUPPORTED_MEDIA_TYPE", nil,
		},
		"another media type": {
			func(string) []option { return []option{body("text/plain", "grant_type=refresh_token")} }, 415,
			"invalid_request", "UNSUPPORTED_MEDIA_TYPE", nil,
		},
		"a form in another charset": {
			func(string) []option { return []option{body(formType+"; charset=utf-16", "x")} }, 415, "invalid_request",
			"UNSUPPORTED_MEDIA_TYPE", nil,
		},
		"a malformed form": {
			func(string) []option { return []option{body(formType, "grant_type=%zz")} }, 400, "invalid_request",
			"BODY_PARSING_ERROR", nil,
		},
		"a form with a semicolon": {
			func(string) []option { return []option{body(formType, "grant_type=refresh_token;client_id=x")} }, 400,
			"invalid_request", "BODY_PARSING_ERROR", nil,
		},
		"malformed JSON": {
			func(string) []option { return []option{body(jsonType, "{")} }, 400, "invalid_request",
			"BODY_PARSING_ERROR", nil,
		},
		"JSON that is no object": {
			func(string) []option { return []option{body(jsonType, "[]")} }, 400, "invalid_request",
			"BODY_PARSING_ERROR", nil,
		},
		"JSON with a number": {
			func(string) []option { return []option{body(jsonType, `{"grant_type":1}`)} }, 400, "invalid_request",
			"SCHEMA_ERROR", nil,
		},
		"JSON with null": {func(rt string) []option {
			return []option{body(jsonType, `{"grant_type":"refresh_token","refresh_token":"`+rt+`","client_id":null}`)}
		}, 400, "invalid_request", "SCHEMA_ERROR", nil},
		"JSON with a name twice": {func(rt string) []option {
			return []option{
				body(jsonType, `{"grant_type":"refresh_token","refresh_token":"x","refresh_token":"`+rt+
					`","client_id":"`+project+`"}`),
			}
		}, 400, "invalid_request", "BODY_PARSING_ERROR", nil},
		"a body that is too large": {func(rt string) []option {
			return []option{
				form("grant_type", "refresh_token", "refresh_token", rt, "client_id", project, "pad",
					strings.Repeat("x", 64<<10)),
			}
		}, 413, "invalid_request", "BODY_TOO_LARGE", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEnv(t)
			own := e.signIn(t, alice)
			before := e.snapshot(t)
			a := e.do(t, http.MethodPost, "/auth/oauth/token", test.options(own.refresh)...)
			if a.json["error"] != test.error || a.text("error_description") == "" || a.json["code"] != test.code {
				t.Fatalf("%d %s, want %s, %s", a.status, redactedBody(a), test.error, test.code)
			}
			a.refused(t, test.status, test.code)
			if challenge := a.header.Get("Www-Authenticate"); (challenge != "") != (test.status == 401) {
				t.Errorf("%d with challenge %q", a.status, challenge)
			}
			if got, ok := a.details()["client_id"]; (ok || test.client != nil) && got != test.client &&
				!strings.Contains(name, "Basic") {
				t.Errorf("details %v", a.details())
			}
			if a.header.Get("Pragma") != "no-cache" {
				t.Error("no Pragma")
			}
			if e.snapshot(t) != before {
				t.Error("something changed")
			}
			e.refresh(t, own.refresh).want(t, 200)
		})
	}

	t.Run("a client key is missing where one is required", func(t *testing.T) {
		t.Parallel()
		e := newEnv(t, func(c *sessions.Config) { c.RequireClientKey = true })
		own := e.signIn(t, alice)
		for _, key := range []string{"", "__stack_public_client__"} {
			a := e.do(t, http.MethodPost, "/auth/oauth/token", form("grant_type", "refresh_token", "refresh_token",
				own.refresh, "client_id", project, "client_secret", key)).
				refused(t, 401, "PUBLISHABLE_CLIENT_KEY_REQUIRED_FOR_PROJECT")
			if a.json["error"] != "invalid_client" || a.details()["project_id"] != project {
				t.Errorf("%s", a.body)
			}
		}
		e.do(t, http.MethodPost, "/auth/oauth/token", form("grant_type", "refresh_token", "refresh_token", own.refresh,
			"client_id", project, "client_secret", clientKey)).want(t, 200)
	})

	t.Run("what is granted all the same", func(t *testing.T) {
		t.Parallel()
		e := newEnv(t)
		own := e.signIn(t, alice)
		for name, options := range map[string][]option{
			"the placeholder for no key": {
				form("grant_type", "refresh_token", "refresh_token", own.refresh, "client_id", project, "client_secret",
					"__stack_public_client__"),
			},
			"the scope of the original": {
				form("grant_type", "refresh_token", "refresh_token", own.refresh, "client_id", project,
					"scope", "legacy"),
			},
			"unknown fields": {
				form("grant_type", "refresh_token", "refresh_token", own.refresh, "client_id", project, "x", "1"),
			},
			"Basic beside its own id": {
				form("grant_type", "refresh_token", "refresh_token", own.refresh, "client_id", project),
				basic(project, ""),
			},
			"an access token beside": {
				form("grant_type", "refresh_token", "refresh_token", own.refresh, "client_id", project), bearer("dead"),
			},
			"the charset said": {
				body("application/x-www-form-urlencoded;charset=UTF-8", "grant_type=refresh_token&refresh_token="+
					own.refresh+"&client_id="+project),
			},
		} {
			if a := e.do(t, http.MethodPost, "/auth/oauth/token", options...); a.status != 200 || len(a.json) != 4 ||
				a.header.Get("Pragma") != "no-cache" {
				t.Errorf("%s: %d %s", name, a.status, redactedBody(a))
			}
		}
	})
}

// A revoked token ends its session, and a string that is not a token of this server is as
// good as revoked (RFC 7009, section 2.2).
func TestRevoke(t *testing.T) {
	t.Parallel()
	refresh := func(_ *testing.T, _ *env, own grant) string { return own.refresh }
	access := func(_ *testing.T, _ *env, own grant) string { return own.access }
	foreign := func(t *testing.T, e *env) grant {
		t.Helper()
		g := newEnv(t, func(c *sessions.Config) { c.Secrets = [][]byte{[]byte(strings.Repeat("foreign ", 4))} }).
			signIn(t, alice)
		e.secret(g.refresh, g.access)
		return g
	}
	for name, test := range map[string]struct {
		before func(t *testing.T, e *env, own grant)
		token  func(t *testing.T, e *env, own grant) string
		lives  bool
	}{
		"a refresh token": {token: refresh},
		"a spent one": {
			before: func(t *testing.T, e *env, own grant) { t.Helper(); e.refresh(t, own.refresh).want(t, 200) },
			token:  refresh,
		},
		"an access token": {token: access},
		"an older one": {
			before: func(t *testing.T, e *env, own grant) { t.Helper(); e.refresh(t, own.refresh).want(t, 200) },
			token:  access,
		},
		"one that has expired": {
			before: func(_ *testing.T, e *env, _ grant) { e.clock.Advance(11 * time.Minute) }, token: access,
		},
		"of another server": {
			token: func(t *testing.T, e *env, _ grant) string { t.Helper(); return foreign(t, e).refresh }, lives: true,
		},
		"an access token of it": {
			token: func(t *testing.T, e *env, _ grant) string { t.Helper(); return foreign(t, e).access }, lives: true,
		},
		"a truncated one": {
			token: func(_ *testing.T, _ *env, own grant) string { return own.refresh[:60] }, lives: true,
		},
		"an extended one": {
			token: func(_ *testing.T, _ *env, own grant) string { return own.refresh + "A" }, lives: true,
		},
		"a truncated access token": {
			token: func(_ *testing.T, _ *env, own grant) string { return own.access[:len(own.access)-1] }, lives: true,
		},
		"one with another payload": {
			token: func(_ *testing.T, _ *env, own grant) string {
				return strings.Replace(own.access, ".", ".e", 1)
			}, lives: true,
		},
		"one that is not signed": {
			token: func(_ *testing.T, _ *env, own grant) string {
				return own.access[:strings.LastIndex(own.access, ".")+1]
			}, lives: true,
		},
		"a malformed one": {token: func(*testing.T, *env, grant) string { return "srt1_x" }, lives: true},
		"two dots":        {token: func(*testing.T, *env, grant) string { return "a.b.c" }, lives: true},
		"a server key": {
			token: func(_ *testing.T, e *env, _ grant) string { return e.serverKey }, lives: true,
		},
		"the id of the session": {
			token: func(_ *testing.T, _ *env, own grant) string { return own.id }, lives: true,
		},
		"a word": {token: func(*testing.T, *env, grant) string { return "undefined" }, lives: true},
		"a long one": {
			token: func(*testing.T, *env, grant) string { return strings.Repeat("x.", 20<<10) }, lives: true,
		},
	} {
		for _, how := range []string{"form", "JSON"} {
			t.Run(name+"/"+how, func(t *testing.T) {
				t.Parallel()
				e := newEnv(t)
				own, bystander := e.signIn(t, alice), e.signIn(t, alice)
				if test.before != nil {
					test.before(t, e, own)
				}
				token := test.token(t, e, own)
				content := form("token", token, "token_type_hint", "access_token", "client_id", "whoever")
				if how == "JSON" {
					content = jsonBody(`{"token":"` + token + `","token_type_hint":"nonsense"}`)
				}
				e.takeEvents()
				for range 2 { // again is the same
					a := e.do(t, http.MethodPost, "/auth/oauth/revoke", content).want(t, 200)
					if string(a.body) != "{}" || a.header.Get("Content-Type") != "application/json; charset=utf-8" {
						t.Errorf("%s %q", a.header.Get("Content-Type"), a.body)
					}
				}
				s := e.row(t, own.id)
				if s.EndedAt.IsZero() != test.lives || !test.lives && s.EndReason != sessions.EndRevoked {
					t.Errorf("ended at %v by %q", s.EndedAt, s.EndReason)
				}
				if events := len(e.takeEvents()); events != map[bool]int{true: 0, false: 1}[test.lives] {
					t.Errorf("%d events", events)
				}
				if !e.row(t, bystander.id).EndedAt.IsZero() {
					t.Error("another session has ended")
				}
				if !test.lives {
					e.refresh(t, own.refresh).refused(t, 401, "REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED")
				}
			})
		}
	}
}

// An impersonation's tokens end the impersonation, and neither its parent nor
// the user's.
func TestRevokeAnImpersonation(t *testing.T) {
	t.Parallel()
	for _, which := range []string{"access", "refresh"} {
		e := newEnv(t, func(c *sessions.Config) {
			c.MayImpersonate = func(context.Context, sessions.Identity, sessions.User) error { return nil }
		})
		actor, own := e.signIn(t, bob), e.signIn(t, alice)
		acting := e.do(t, http.MethodPost, "/auth/sessions", bearer(actor.access),
			jsonBody(`{"user_id":"`+alice+`"}`)).want(t, 200)
		e.do(t, http.MethodPost, "/auth/oauth/revoke", form("token", acting.text(which+"_token"))).want(t, 200)
		if e.row(t, acting.text("session_id")).EndedAt.IsZero() {
			t.Errorf("%s token: the impersonation lives", which)
		}
		for _, g := range []grant{actor, own} {
			if !e.row(t, g.id).EndedAt.IsZero() {
				t.Errorf("%s token: another session has ended", which)
			}
		}
	}
}

// A 200 is promised only once the store has confirmed it.
func TestRevokeIsNotConfirmed(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	own := e.signIn(t, alice)
	for _, token := range []string{own.refresh, own.access} {
		e.setFault(func(context.Context, sessionstest.Call) error { return errors.New("connection refused") })
		a := e.do(t, http.MethodPost, "/auth/oauth/revoke", form("token", token)).refused(t, 503,
			"TEMPORARILY_UNAVAILABLE")
		if a.json["error"] != "temporarily_unavailable" || a.header.Get("Retry-After") == "" {
			t.Errorf("%v %s", a.header, a.body)
		}
		e.setFault(nil)
		if !e.row(t, own.id).EndedAt.IsZero() {
			t.Error("it has ended")
		}
	}
	e.do(t, http.MethodPost, "/auth/oauth/revoke", form("token", own.access)).want(t, 200)
}

// Signing out: how the session is named, and the results.
func TestSignOutMatrix(t *testing.T) {
	t.Parallel()
	const gone = "401 REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED"
	access := map[string]func(t *testing.T, e *env, own grant) string{
		"none": func(*testing.T, *env, grant) string { return "" },
		"live": func(_ *testing.T, _ *env, own grant) string { return own.access },
		"expired": func(_ *testing.T, e *env, own grant) string {
			e.clock.Advance(11 * time.Minute)
			return own.access
		},
		"of one expired": func(_ *testing.T, e *env, own grant) string {
			e.clock.Advance(3 * time.Hour)
			return own.access
		},
		"of one ended": func(t *testing.T, e *env, own grant) string {
			t.Helper()
			if _, err := e.manager.End(t.Context(), sessions.EndParams{ID: own.id}); err != nil {
				t.Fatal(err)
			}
			return own.access
		},
		"forged": func(_ *testing.T, _ *env, own grant) string { return own.access[:len(own.access)-4] + "AAAA" },
	}
	refresh := map[string]func(t *testing.T, e *env, other grant) string{
		"none": func(*testing.T, *env, grant) string { return "" },
		"live": func(_ *testing.T, _ *env, other grant) string { return other.refresh },
		"spent": func(t *testing.T, e *env, other grant) string {
			t.Helper()
			e.refresh(t, other.refresh).want(t, 200)
			return other.refresh
		},
		"of one ended": func(t *testing.T, e *env, other grant) string {
			t.Helper()
			if _, err := e.manager.End(t.Context(), sessions.EndParams{ID: other.id}); err != nil {
				t.Fatal(err)
			}
			return other.refresh
		},
		"malformed": func(*testing.T, *env, grant) string { return "undefined" },
	}
	// The access token decides wherever there is one.
	want := map[string]string{
		"live": "own", "expired": "own", "of one expired": gone, "of one ended": gone,
		"forged": "401 UNPARSABLE_ACCESS_TOKEN",
	}
	wantWithout := map[string]string{
		"none": "401 ACCESS_TOKEN_EXPIRED", "live": "other", "spent": "other", "of one ended": gone, "malformed": gone,
	}

	for accessName, makeAccess := range access {
		for refreshName, makeRefresh := range refresh {
			for _, scheme := range []string{"Bearer", "client", "server"} {
				t.Run("access "+accessName+", refresh "+refreshName+", "+scheme, func(t *testing.T) {
					t.Parallel()
					e := newEnv(t)
					own, other := e.signIn(t, alice, lasting(2*time.Hour)), e.signIn(t, bob)
					refreshToken := makeRefresh(t, e, other)
					accessToken := makeAccess(t, e, own)
					e.secret(accessToken + "!") // a forged one may stand in no log, either
					var options []option
					switch {
					case scheme == "server":
						options = append(options, stack("access-type", "server", "secret-server-key", e.serverKey,
							"access-token", accessToken))
					case scheme == "client":
						options = append(options, stack("access-type", "client", "access-token", accessToken))
					case accessToken != "":
						options = append(options, bearer(accessToken))
					}
					if refreshToken != "" {
						options = append(options, header("x-stack-refresh-token", refreshToken))
					}
					options = append(options, jsonBody("{}")) // as the SDK does
					expected := want[accessName]
					if accessName == "none" {
						expected = wantWithout[refreshName]
					}
					before := e.snapshot(t)
					e.takeEvents()
					a := e.do(t, http.MethodDelete, "/auth/sessions/current", options...)
					switch expected {
					case "own", "other":
						a.want(t, 200)
						ended := map[string]grant{"own": own, "other": other}[expected]
						if s := e.row(t, ended.id); s.EndReason != sessions.EndSignedOut {
							t.Errorf("ended by %q", s.EndReason)
						}
						if events := e.takeEvents(); len(events) != 1 || events[0] != sessions.EventEnded {
							t.Errorf("events %v", events)
						}
						// Signing out twice, or racing, is signed out.
						if accessName != "none" || refreshName != "none" {
							e.do(t, http.MethodDelete, "/auth/sessions/current", options...).refused(t, 401,
								"REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED")
						}
					default:
						_, code, _ := strings.Cut(expected, " ")
						a.refused(t, 401, code)
						if code == "ACCESS_TOKEN_EXPIRED" {
							d := a.details()
							if d["expired_at_millis"] != float64(e.clock.Now().UnixMilli()) || d["user_id"] != nil ||
								d["project_id"] != nil || d["refresh_token_id"] != nil {
								t.Errorf("details %v", d)
							}
						}
						if e.snapshot(t) != before {
							t.Error("something changed")
						}
					}
				})
			}
		}
	}
}

// Two refresh tokens are refused: it is unknown which one was meant.
func TestTwoRefreshTokens(t *testing.T) {
	t.Parallel()
	for _, call := range []string{"POST /auth/sessions/current/refresh", "DELETE /auth/sessions/current"} {
		for _, spelling := range []string{"x-stack-refresh-token", "x-hexclave-refresh-token"} {
			e := newEnv(t)
			first, second := e.signIn(t, alice), e.signIn(t, alice)
			before := e.snapshot(t)
			method, path, _ := strings.Cut(call, " ")
			for _, tokens := range [][]string{
				{first.refresh, second.refresh}, {first.refresh, first.refresh}, {first.refresh, ""},
			} {
				a := e.do(t, method, path, header(spelling, tokens...)).refused(t, 400, "SCHEMA_ERROR")
				if !strings.Contains(a.text("error"), "headers.x-stack-refresh-token must be there once") {
					t.Errorf("%s", a.body)
				}
			}
			if e.snapshot(t) != before {
				t.Errorf("%s: something changed", call)
			}
		}
	}
}

// Who uses a session, as far as the host's proxies can be trusted.
func TestClientAddress(t *testing.T) {
	t.Parallel()
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	for name, test := range map[string]struct {
		proxies   []netip.Prefix
		remote    string
		forwarded []string
		want      string
	}{
		"of the connection":                 {nil, "192.0.2.1:4711", nil, "192.0.2.1"},
		"of IPv6":                           {nil, "[2001:db8::1%eth0]:4711", nil, "2001:db8::1"},
		"nobody's word is taken by default": {nil, "10.0.0.1:4711", []string{"203.0.113.9"}, "10.0.0.1"},
		"a stranger's word is not taken":    {trusted, "192.0.2.1:4711", []string{"203.0.113.9"}, "192.0.2.1"},
		"a trusted proxy's is":              {trusted, "10.0.0.1:4711", []string{"203.0.113.9"}, "203.0.113.9"},
		"of the last that is not trusted": {
			trusted, "10.0.0.1:4711", []string{"198.51.100.7, 203.0.113.9, 10.0.0.2"}, "203.0.113.9",
		},
		"over several headers": {
			trusted, "10.0.0.1:4711", []string{"198.51.100.7", "203.0.113.9, 10.0.0.2"}, "203.0.113.9",
		},
		"what is no address ends the chain": {
			trusted, "10.0.0.1:4711", []string{"203.0.113.9, <script>, 10.0.0.2"}, "10.0.0.2",
		},
		"an empty header":                  {trusted, "10.0.0.1:4711", []string{""}, "10.0.0.1"},
		"a connection that has no address": {trusted, "@", []string{"203.0.113.9"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEnv(t, func(c *sessions.Config) { c.TrustedProxies = test.proxies })
			own := e.signIn(t, alice)
			e.refresh(t, own.refresh, header("X-Forwarded-For", test.forwarded...), header("User-Agent", "Phone/1"),
				func(r *http.Request) { r.RemoteAddr = test.remote }).want(t, 200)
			if got := e.row(t, own.id).Client; got.IP != test.want || got.UserAgent != "Phone/1" {
				t.Errorf("%+v, want %q", got, test.want)
			}
		})
	}

	t.Run("nothing where the host wants nothing", func(t *testing.T) {
		t.Parallel()
		e := newEnv(t, func(c *sessions.Config) { c.NoClientInfo = true })
		own := e.signIn(t, alice)
		e.refresh(t, own.refresh, header("User-Agent", "Phone/1")).want(t, 200)
		if got := e.row(t, own.id).Client; got != (sessions.Client{}) {
			t.Errorf("%+v", got)
		}
	})
}

// An unavailable database is 503 on every endpoint, never "not found", and the answer shows
// no details.
func TestStoreFails(t *testing.T) {
	t.Parallel()
	failure := errors.New("dial tcp db.internal:5432: connection refused")
	for call, method := range map[string]sessionstest.Method{
		"POST /auth/sessions":                    sessionstest.MethodCreate,
		"GET /auth/sessions?user_id=" + alice:    sessionstest.MethodList,
		"DELETE /auth/sessions?user_id=" + alice: sessionstest.MethodEndMany,
		"GET /auth/sessions/current":             sessionstest.MethodGet,
		"DELETE /auth/sessions/current":          sessionstest.MethodEnd,
		"DELETE /auth/sessions/{other}":          sessionstest.MethodEnd,
		"POST /auth/sessions/current/refresh":    sessionstest.MethodRefresh,
		"POST /auth/oauth/token":                 sessionstest.MethodRefresh,
		"POST /auth/oauth/revoke":                sessionstest.MethodEnd,
	} {
		for name, err := range map[string]error{
			"with an error of its driver": failure, "by its deadline": context.DeadlineExceeded,
			"because the caller left": context.Canceled,
		} {
			t.Run(call+" "+name, func(t *testing.T) {
				t.Parallel()
				e := newEnv(t)
				own, other := e.signIn(t, alice), e.signIn(t, alice)
				verb, path, _ := strings.Cut(strings.ReplaceAll(call, "{other}", other.id), " ")
				var options []option
				switch {
				case verb == "POST" && path == "/auth/sessions":
					options = []option{bearer(e.serverKey), jsonBody(`{"user_id":"` + alice + `"}`)}
				case path == "/auth/oauth/token":
					options = []option{
						form("grant_type", "refresh_token", "refresh_token", own.refresh, "client_id", project),
					}
				case path == "/auth/oauth/revoke":
					options = []option{form("token", own.refresh)}
				case verb == "POST":
					options = []option{header("x-stack-refresh-token", own.refresh)}
				default:
					options = []option{bearer(own.access)}
				}
				before := e.snapshot(t)
				e.setFault(func(_ context.Context, c sessionstest.Call) error {
					if c.Method == method {
						return err
					}
					return nil
				})
				e.takeEvents()
				a := e.do(t, verb, path, options...).refused(t, 503, "TEMPORARILY_UNAVAILABLE")
				if d := a.details(); len(d) != 1 || d["retry"] != true {
					t.Errorf("details %v", d)
				}
				if a.header.Get("Retry-After") != "1" || strings.Contains(string(a.body), "internal:") {
					t.Errorf("%v %s", a.header, a.body)
				}
				if strings.HasPrefix(path, "/auth/oauth") && a.json["error"] != "temporarily_unavailable" {
					t.Errorf("%s", a.body)
				}
				// A 5xx is sent as it is, whatever the SDK asks for.
				if b := e.do(t, verb, path,
					append(options, header("x-stack-override-error-status", "true"))...); b.wire != 503 ||
					b.header.Get("X-Stack-Known-Error") != "" {
					t.Errorf("%d %v", b.wire, b.header)
				}
				if e.snapshot(t) != before || len(e.takeEvents()) != 0 {
					t.Error("something changed")
				}
				if !strings.Contains(e.logged(), a.header.Get("X-Request-Id")) {
					t.Errorf("the log does not name the request:\n%s", e.logged())
				}
				e.setFault(nil)
				e.do(t, verb, path, options...).want(t, 200)
			})
		}
	}
}

// If the answer of the database is lost, the client learns that the result is unknown, and a
// repeated request has the same result.
func TestTheStoresAnswerIsLost(t *testing.T) {
	t.Parallel()
	for call, method := range map[string]sessionstest.Method{
		"DELETE /auth/sessions/current":       sessionstest.MethodEnd,
		"POST /auth/sessions/current/refresh": sessionstest.MethodRefresh,
		"POST /auth/oauth/revoke":             sessionstest.MethodEnd,
	} {
		t.Run(call, func(t *testing.T) {
			t.Parallel()
			e := newEnv(t)
			own := e.signIn(t, alice)
			e.kit.Faults.After = sessionstest.FailAt(method, 1, errors.New("connection reset"))
			verb, path, _ := strings.Cut(call, " ")
			options := []option{header("x-stack-refresh-token", own.refresh)}
			if strings.HasPrefix(path, "/auth/oauth") {
				options = []option{form("token", own.refresh)}
			}
			e.do(t, verb, path, options...).refused(t, 503, "TEMPORARILY_UNAVAILABLE")
			switch a := e.do(t, verb, path, options...); call {
			case "DELETE /auth/sessions/current":
				a.refused(t, 401, "REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED") // which is signed out
			default:
				a.want(t, 200)
			}
		})
	}
}

// What the host's own code does wrong is no reason to sign anybody out.
func TestHooksFail(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		spoil  func(e *env)
		status int
		code   string
	}{
		"the users cannot be looked up": {func(e *env) {
			e.setUsers(func(context.Context, string) (sessions.User, error) {
				return sessions.User{}, errors.New("users.internal is away")
			})
		}, 503, "TEMPORARILY_UNAVAILABLE"},
		"the lookup panics": {func(e *env) {
			e.setUsers(func(context.Context, string) (sessions.User, error) { panic("users.internal: " + e.serverKey) })
		}, 500, "INTERNAL"},
		"the claims fail": {func(e *env) {
			e.setClaims(func(context.Context, sessions.Session, sessions.User) (map[string]any, error) {
				return nil, errors.New("claims.internal is away")
			})
		}, 503, "TEMPORARILY_UNAVAILABLE"},
		"the claims panic": {func(e *env) {
			e.setClaims(func(context.Context, sessions.Session, sessions.User) (map[string]any, error) {
				panic(errors.New(e.serverKey))
			})
		}, 500, "INTERNAL"},
		"the claims are registered ones": {func(e *env) {
			e.setClaims(func(context.Context, sessions.Session, sessions.User) (map[string]any, error) {
				return map[string]any{"Sub": "admin"}, nil
			})
		}, 503, "TEMPORARILY_UNAVAILABLE"},
		"the claims are too large": {func(e *env) {
			e.setClaims(func(context.Context, sessions.Session, sessions.User) (map[string]any, error) {
				return map[string]any{"roles": strings.Repeat("x", 4096)}, nil
			})
		}, 503, "TEMPORARILY_UNAVAILABLE"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEnv(t)
			own := e.signIn(t, alice)
			rows := len(e.rows.ids)
			test.spoil(e)
			e.takeEvents()
			for _, as := range []option{bearer(e.serverKey), e.both(e.serverKey)[1].as} {
				a := e.do(t, http.MethodPost, "/auth/sessions", as, jsonBody(`{"user_id":"`+alice+`"}`)).refused(t,
					test.status, test.code)
				if strings.Contains(string(a.body), "internal ") || strings.Contains(string(a.body), ".internal") {
					t.Errorf("the cause is shown: %s", a.body)
				}
			}
			if len(e.rows.ids) != rows || len(e.takeEvents()) != 0 {
				t.Error("a session was created")
			}
			for how, refresh := range refreshers {
				a := refresh(t, e, own.refresh).refused(t, test.status, test.code)
				if strings.Contains(how, "token endpoint") && a.json["error"] != map[int]string{
					500: "server_error", 503: "temporarily_unavailable",
				}[test.status] {
					t.Errorf("%s: %s", how, a.body)
				}
			}
			if !strings.Contains(e.logged(), "level=ERROR") {
				t.Error("nothing in the log")
			}
			e.setUsers(nil)
			e.setClaims(nil)
			// The token that the client holds still works, and the process lives.
			e.refresh(t, own.refresh).want(t, 200)
		})
	}
}
