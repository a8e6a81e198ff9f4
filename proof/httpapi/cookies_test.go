package httpapi_test

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

// What a browser in cookie mode sends, and what happens to it.
const (
	accessCookie        = "__Host-sessile_access"
	refreshCookie       = "__Host-sessile_refresh"
	actingAccessCookie  = "__Host-sessile_acting_access"
	actingRefreshCookie = "__Host-sessile_acting_refresh"

	nothing       = ""
	ownSet        = "+access +refresh"
	ownCleared    = "-access -refresh"
	actingSet     = "+acting_access +acting_refresh"
	actingCleared = "-acting_access -acting_refresh"
	allCleared    = ownCleared + " " + actingCleared

	refused = "REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED"
)

func cookieMode(c *sessions.Config) { c.Cookies.Enabled = true }

// cookies adds cookies, given as name and value.
func cookies(pairs ...string) option {
	return func(r *http.Request) {
		for i := 0; i < len(pairs); i += 2 {
			r.Header.Add("Cookie", pairs[i]+"="+pairs[i+1])
		}
	}
}

// own are the cookies of a user, acting those of an impersonation.
func (g grant) own() option { return cookies(accessCookie, g.access, refreshCookie, g.refresh) }
func (g grant) acting() option {
	return cookies(actingAccessCookie, g.access, actingRefreshCookie, g.refresh)
}

// cookies says what an answer does to them.
func (a answer) cookies() string {
	var changes []string
	for _, c := range (&http.Response{Header: a.header}).Cookies() {
		sign := "+"
		if c.MaxAge < 0 {
			sign = "-"
		}
		changes = append(changes, sign+strings.TrimPrefix(c.Name, "__Host-sessile_"))
	}
	return strings.Join(changes, " ")
}

// did fails the test if something else happened to the cookies.
func (a answer) did(t testing.TB, want string) answer {
	t.Helper()
	if got := a.cookies(); got != want {
		t.Errorf("cookies %q, want %q", got, want)
	}
	return a
}

var setCookieLine = regexp.MustCompile(
	`^__Host-sessile_(acting_)?(access|refresh)=[A-Za-z0-9._-]*; Path=/; Max-Age=[0-9]+; HttpOnly; Secure; ` +
		`SameSite=Lax$`,
)

// checkCookies holds cookies against the rules for all of them.
func (e *env) checkCookies(t testing.TB, where string, a answer) {
	t.Helper()
	seen := map[string]bool{}
	for _, line := range a.header["Set-Cookie"] {
		name, rest, _ := strings.Cut(line, "=")
		value, _, _ := strings.Cut(rest, ";")
		if !setCookieLine.MatchString(line) || seen[name] || (value == "") != strings.Contains(line, "; Max-Age=0;") {
			t.Errorf("%s: a cookie %s", where, credentials.ReplaceAllString(line, "…"))
		}
		seen[name] = true
		if value != "" {
			e.secret(value)
			if strings.Contains(string(a.body), value) {
				t.Errorf("%s: what is in %s is in the body, too", where, name)
			}
		}
	}
}

func TestEveryEndpointTakesCookies(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ method, path, body string }{
		"list":    {http.MethodGet, "/auth/sessions?user_id=me", ""},
		"current": {http.MethodGet, "/auth/sessions/current", ""},
		"end":     {http.MethodDelete, "/auth/sessions/{other}", ""},
		"endMany": {http.MethodDelete, "/auth/sessions", ""},
		"create":  {http.MethodPost, "/auth/sessions", `{"user_id":"` + bob + `"}`},
	} {
		for how, mount := range mounts {
			t.Run(name+"/"+how, func(t *testing.T) {
				t.Parallel()
				e := newEnv(t, cookieMode, func(c *sessions.Config) {
					c.MayImpersonate = func(context.Context, sessions.Identity, sessions.User) error { return nil }
				})
				mount(e)
				g := e.signIn(t, alice)
				send := func(options ...option) answer {
					t.Helper()
					if test.body != "" {
						options = append(options, jsonBody(test.body))
					}
					return e.do(t, test.method, strings.Replace(test.path, "{other}", e.signIn(t, alice).id,
						1), options...)
				}
				set := ""
				if name == "create" { // an impersonation, whose tokens go into cookies, too
					set = actingSet
				}
				send(cookies(accessCookie, g.access)).want(t, 200).did(t, set)
				send(g.own()).want(t, 200).did(t, set)
				e.clock.Advance(time.Hour)
				set = strings.TrimSpace(ownSet + " " + set)
				send(cookies(refreshCookie, g.refresh)).want(t, 200).did(t, set)
				send(g.own()).want(t, 200).did(t, set)

				dead := e.signIn(t, alice)
				// as another process would
				if _, err := e.manager.Join(e.rows.Store).End(t.Context(), sessions.EndParams{
					ID: dead.id,
				}); err != nil {
					t.Fatal(err)
				}
				before := e.snapshot(t)
				for range 2 { // our own endpoints look the session up, however good the signature is
					a := e.do(t, test.method, strings.Replace(test.path, "{other}", g.id, 1), dead.own(),
						jsonBody(test.body)).refused(t, 401, refused).did(t, ownCleared)
					if a.details()["reason"] != "ended" || challengeError(a) != "invalid_token" {
						t.Errorf("%v, challenge %q", a.details(), a.header.Get("Www-Authenticate"))
					}
				}
				if diff := difference(before, e.snapshot(t)); diff != "" {
					t.Errorf("something changed: %s", diff)
				}
				e.do(t, test.method, strings.Replace(test.path, "{other}", g.id, 1), jsonBody(test.body)).refused(t,
					401, nobody).did(t, nothing)
			})
		}
	}
}

// Endpoints whose credential comes in the body have no use for cookies.
func TestOtherEndpointsDoNotLookAtCookies(t *testing.T) {
	t.Parallel()
	e := newEnv(t, cookieMode)
	g := e.signIn(t, alice)
	before := e.snapshot(t)
	e.do(t, http.MethodPost, "/auth/oauth/token", g.own(), form("grant_type", "refresh_token", "client_id", project)).
		refusedOAuth(t, 400, "invalid_request").did(t, nothing)
	e.do(t, http.MethodPost, "/auth/oauth/revoke", g.own(), form("x", "y")).refusedOAuth(t, 400, "invalid_request").
		did(t, nothing)
	e.do(t, http.MethodPost, "/auth/sessions/redeem", g.own(), jsonBody(`{"code":"x"}`)).refused(t, 401,
		"HANDOFF_CODE_NOT_FOUND_OR_EXPIRED").did(t, nothing)
	if e.snapshot(t) != before {
		t.Error("something changed")
	}
}

func (a answer) refusedOAuth(t testing.TB, status int, code string) answer {
	t.Helper()
	if a.status != status || a.json["error"] != code {
		t.Fatalf("%d %s, want %d %s", a.status, redactedBody(a), status, code)
	}
	return a
}

func (e *env) refreshByCookie(t testing.TB, options ...option) answer {
	t.Helper()
	return e.do(t, http.MethodPost, "/auth/sessions/current/refresh", options...)
}

func TestRefreshByCookieAnswersWithoutTokens(t *testing.T) {
	t.Parallel()
	for name, acts := range map[string]bool{"the user's own": false, "of an impersonation": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEnv(t, cookieMode)
			own, acting := e.signIn(t, alice), e.signIn(t, bob, impersonating(alice))
			sent, id, user, set := []option{own.own()}, own.id, alice, ownSet
			if acts { // it counts if both are there
				sent, id, user, set = []option{own.own(), acting.acting()}, acting.id, bob, actingSet
			}
			a := e.refreshByCookie(t, sent...).want(t, 200).did(t, set)
			fields := slices.Sorted(maps.Keys(a.json))
			if !slices.Equal(fields, []string{
				"expires_at_millis", "expires_in", "is_impersonation", "session_id", "user_id",
			}) {
				t.Errorf("fields %v", fields)
			}
			row := e.row(t, id)
			if a.json["session_id"] != id || a.json["user_id"] != user || a.json["is_impersonation"] != acts ||
				a.json["expires_in"] != 600.0 || a.json["expires_at_millis"] != float64(row.ExpiresAt.UnixMilli()) {
				t.Errorf("%s", a.body)
			}
			if !row.LastUsedAt.Equal(e.clock.Now().Truncate(time.Microsecond)) {
				t.Error("it was not refreshed")
			}
		})
	}
}

func TestTheRefreshHeaderWinsOverTheCookie(t *testing.T) {
	t.Parallel()
	e := newEnv(t, cookieMode)
	mine, other := e.signIn(t, alice), e.signIn(t, bob)
	before := e.row(t, mine.id)
	e.clock.Advance(time.Minute)
	if a := e.refresh(t, other.refresh, mine.own()).want(t, 200).did(t, nothing); a.text("user_id") != bob ||
		a.text("refresh_token") == "" {
		t.Errorf("%s", redactedBody(a))
	}
	// Even a wrong one, and with any origin: no browser sends it by itself.
	e.refresh(t, "x", mine.own()).refused(t, 401, refused).did(t, nothing)
	e.refresh(t, other.refresh, mine.own(), header("Sec-Fetch-Site", "cross-site")).want(t, 200).did(t, nothing)
	e.do(t, http.MethodPost, "/auth/sessions/current/refresh", mine.own(),
		header("x-stack-refresh-token", other.refresh, other.refresh)).refused(t, 400, "SCHEMA_ERROR").did(t, nothing)
	// What else is sent is checked before the cookie is looked at.
	e.refreshByCookie(t, mine.own(), header("x-stack-project-id", "x")).refused(t, 400, "CURRENT_PROJECT_NOT_FOUND").
		did(t, nothing)
	if e.row(t, mine.id) != before {
		t.Error("the cookie's session was refreshed")
	}
	// Next to other credentials no refresh token is read; an empty header counts as absent.
	e.refreshByCookie(t, mine.own(), bearer("x")).refused(t, 400, "SCHEMA_ERROR").did(t, nothing)
	e.refresh(t, "", mine.own()).want(t, 200).did(t, ownSet)
}

// jar returns the tokens that an answer has put into cookies.
func (a answer) jar() (own, acting grant) {
	fields := map[string]*string{
		accessCookie: &own.access, refreshCookie: &own.refresh, actingAccessCookie: &acting.access,
		actingRefreshCookie: &acting.refresh,
	}
	for _, c := range (&http.Response{Header: a.header}).Cookies() {
		*fields[c.Name] = c.Value
	}
	return own, acting
}

// withoutTokens fails the test unless a grant of Alice was answered to a browser.
func (a answer) withoutTokens(t testing.TB) answer {
	t.Helper()
	if a.want(t, 200); len(a.json) != 5 || a.text("user_id") != alice || a.text("session_id") == "" ||
		a.json["expires_in"] == nil || a.json["expires_at_millis"] == nil {
		t.Errorf("%s", redactedBody(a))
	}
	return a
}

// A script in an administrator's page can act in it, and take nothing away.
func TestCreateByCookieAnswersNoTokens(t *testing.T) {
	t.Parallel()
	o := newOffice(t, cookieMode)
	admin := o.signIn(t, root)
	a := o.ask(t, admin.own(), target(alice, `"reason":"x"`)).withoutTokens(t).did(t, actingSet)
	_, acting := a.jar()
	if s := o.row(t, a.text("session_id")); !s.Impersonation || s.Actor != root || s.ParentSessionID != admin.id {
		t.Errorf("%+v", s)
	}
	if b := o.do(t, http.MethodGet, "/auth/sessions/current", admin.own(), acting.acting()).want(t,
		200); b.text("id") != a.text("session_id") {
		t.Errorf("%s", b.body)
	}
	// By header the same caller has the tokens, as ever.
	o.ask(t, bearer(admin.access), target(alice)).did(t, nothing)
	if b := o.ask(t, bearer(admin.access), target(alice), admin.own()).did(t, nothing); b.text("access_token") == "" {
		t.Errorf("%s", redactedBody(b))
	}

	// A code would be as good as the tokens.
	o.takeEvents()
	before := o.snapshot(t)
	o.ask(t, admin.own(), target(alice, `"handoff":true`)).refused(t, 400, "SCHEMA_ERROR").did(t, nothing)
	o.toldRefusal(t, "invalid")
	if after := o.snapshot(t); before != after {
		t.Errorf("something changed: %s", difference(before, after))
	}
	o.ask(t, admin.own(), target(alice, `"handoff":false`)).withoutTokens(t).did(t, actingSet)
	if o.ask(t, bearer(admin.access), target(alice, `"handoff":true`)).want(t, 200).text("handoff_code") == "" {
		t.Error("no code by header")
	}
}

// A browser that has our cookies gets the tokens of a code in cookies, too.
func TestRedeemByABrowser(t *testing.T) {
	t.Parallel()
	o := newOffice(t, cookieMode)
	code := func(members ...string) string {
		t.Helper()
		return o.ask(t, bearer(o.serverKey), target(alice, append(members, `"handoff":true`)...)).want(t, 200).
			text("handoff_code")
	}
	admin, dead := o.signIn(t, root), o.signIn(t, bob)
	if _, err := o.manager.End(t.Context(), sessions.EndParams{ID: dead.id}); err != nil {
		t.Fatal(err)
	}
	acting := `"is_impersonation":true`
	o.redeem(t, code(acting), admin.own()).withoutTokens(t).did(t, actingSet)
	o.redeem(t, code(acting), admin.own(), header("Sec-Fetch-Site", "same-origin")).withoutTokens(t).did(t, actingSet)
	o.redeem(t, code(acting), cookies(accessCookie, admin.access)).withoutTokens(t).did(t, actingSet)
	o.redeem(t, code(acting), dead.own()).withoutTokens(t).did(t, actingSet)
	a := o.redeem(t, code(), admin.own(), cookies(actingAccessCookie, "x")).withoutTokens(t).did(t,
		ownSet+" "+actingCleared)
	own, _ := a.jar()
	if b := o.do(t, http.MethodGet, "/auth/sessions/current", own.own()).want(t, 200); b.text("id") !=
		a.text("session_id") {
		t.Errorf("%s", b.body)
	}

	// Whoever has none, or credentials in headers, is not taken for a browser.
	for name, option := range map[string]option{
		"no cookies": cookies("theme", "dark"), "a bearer": bearer(admin.access),
		"an access type": stack("access-type", "client"),
	} {
		also := admin.own()
		if name == "no cookies" {
			also = option
		}
		if b := o.redeem(t, code(acting), also, option).want(t, 200).did(t, nothing); b.text("refresh_token") == "" {
			t.Errorf("%s: %s", name, redactedBody(b))
		}
	}

	// Another origin, and a cookie that is there twice: refused, and the code still works.
	good := code(acting)
	for _, origin := range foreignOrigins {
		o.redeem(t, good, admin.own(), origin).refused(t, 403, "FORBIDDEN").did(t, nothing)
	}
	o.redeem(t, good, cookies(accessCookie, "a", accessCookie, "b")).refused(t, 400, "SCHEMA_ERROR").did(t, nothing)
	o.redeem(t, "shc1_x", admin.own()).refused(t, 401, "HANDOFF_CODE_NOT_FOUND_OR_EXPIRED").did(t, nothing)
	o.redeem(t, good, admin.own()).withoutTokens(t)
}

func TestRefreshByBadCookie(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		configure func(*sessions.Config)
		before    func(t *testing.T, e *env, g grant)
		send      func(g grant) option
		status    int
		code      string
		reason    string
		cookies   string
		ends      sessions.EndReason
	}{
		"none": {
			send: func(grant) option { return cookies("theme", "dark") }, status: 400, code: "SCHEMA_ERROR",
		},
		"an empty one": {
			send: func(grant) option { return cookies(refreshCookie, "") }, status: 400, code: "SCHEMA_ERROR",
		},
		"an access token alone": {
			send: func(g grant) option { return cookies(accessCookie, g.access) }, status: 400, code: "SCHEMA_ERROR",
		},
		"twice": {
			send:   func(g grant) option { return cookies(refreshCookie, g.refresh, refreshCookie, g.refresh) },
			status: 400, code: "SCHEMA_ERROR",
		},
		"the access cookie twice": {
			send: func(g grant) option {
				return cookies(accessCookie, "a", accessCookie, "b", refreshCookie, g.refresh)
			}, status: 400, code: "SCHEMA_ERROR",
		},
		"two planted beside it": {send: func(g grant) option {
			return cookies(actingRefreshCookie, "a", actingRefreshCookie, "b", refreshCookie, g.refresh)
		}, status: 400, code: "SCHEMA_ERROR"},
		"truncated": {
			send: func(g grant) option { return cookies(refreshCookie, g.refresh[:40]) }, status: 401, code: refused,
			reason: "malformed", cookies: ownCleared,
		},
		"of 8 KiB": {
			send:   func(g grant) option { return cookies(refreshCookie, g.refresh+strings.Repeat("A", 8<<10)) },
			status: 401, code: refused, reason: "malformed", cookies: ownCleared,
		},
		"an access token in it": {
			send: func(g grant) option { return cookies(refreshCookie, g.access) }, status: 401, code: refused,
			reason: "malformed", cookies: ownCleared,
		},
		"one planted beside it": {
			send:   func(g grant) option { return cookies(actingRefreshCookie, "x", refreshCookie, g.refresh) },
			status: 401, code: refused, reason: "malformed", cookies: ownSet + " " + actingCleared,
		},
		"in an impersonation's name": {
			send: func(g grant) option { return cookies(actingRefreshCookie, g.refresh) }, status: 401, code: refused,
			reason: "malformed", cookies: actingCleared,
		},
		"idle": {
			configure: func(c *sessions.Config) { c.IdleTimeout, c.AccessTokenTTL = 10*time.Minute, 8*time.Minute },
			send:      grant.own, status: 401, code: refused, reason: "idle", cookies: ownCleared,
		},
		"spent": {before: func(t *testing.T, e *env, g grant) {
			t.Helper()
			e.refresh(t, e.refresh(t, g.refresh).want(t, 200).text("refresh_token")).want(t, 200)
		}, send: grant.own, status: 401, code: refused, reason: "replay", cookies: ownCleared,
			ends: sessions.EndReplay},
		"ended": {before: func(t *testing.T, e *env, g grant) {
			t.Helper()
			e.do(t, http.MethodDelete, "/auth/sessions/"+g.id, bearer(e.serverKey)).want(t, 200)
		}, send: grant.own, status: 401, code: refused, reason: "ended", cookies: ownCleared,
			ends: sessions.EndRevoked},
		"of a user who is gone": {before: func(_ *testing.T, e *env, _ grant) {
			e.setUsers(func(context.Context, string) (sessions.User, error) {
				return sessions.User{}, sessions.ErrUserNotFound
			})
		}, send: grant.own, status: 401, code: refused, reason: "user_gone", cookies: ownCleared,
			ends: sessions.EndUserGone},
		"of a user who is disabled": {before: func(_ *testing.T, e *env, _ grant) {
			e.setUsers(func(context.Context, string) (sessions.User, error) {
				return sessions.User{}, sessions.ErrUserDisabled
			})
		}, send: grant.own, status: 401, code: refused, reason: "user_disabled"},
		"and the store is away": {before: func(_ *testing.T, e *env, _ grant) {
			e.setFault(sessionstest.FailAt(sessionstest.MethodRefresh, 0, errors.New("away")))
		}, send: grant.own, status: 503, code: "TEMPORARILY_UNAVAILABLE"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			configure := []func(*sessions.Config){cookieMode}
			if test.configure != nil {
				configure = append(configure, test.configure)
			}
			e := newEnv(t, configure...)
			g := e.signIn(t, alice)
			e.clock.Advance(time.Hour)
			if test.before != nil {
				test.before(t, e, g)
			}
			a := e.refreshByCookie(t, test.send(g)).refused(t, test.status, test.code).did(t, test.cookies)
			if reason, _ := a.details()["reason"].(string); reason != test.reason {
				t.Errorf("reason %q, want %q", reason, test.reason)
			}
			if got := e.row(t, g.id).EndReason; got != test.ends {
				t.Errorf("ended by %q, want %q", got, test.ends)
			}
		})
	}
}

var foreignOrigins = map[string]option{
	"cross-site":                 header("Sec-Fetch-Site", "cross-site"),
	"same-site":                  header("Sec-Fetch-Site", "same-site"),
	"an old browser, elsewhere":  header("Origin", "https://evil.test"),
	"an old browser, sandboxed":  header("Origin", "null"),
	"an old browser, other port": header("Origin", "http://sessile.test:8080"),
}

func TestAnotherOriginChangesNothingByCookie(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		method, path, body string
		safe               bool
	}{
		"create":   {http.MethodPost, "/auth/sessions", `{"user_id":"` + bob + `"}`, false},
		"end":      {http.MethodDelete, "/auth/sessions/{other}", "", false},
		"end many": {http.MethodDelete, "/auth/sessions", "", false},
		"sign out": {http.MethodDelete, "/auth/sessions/current", "", false},
		"refresh":  {http.MethodPost, "/auth/sessions/current/refresh", "", false},
		"list":     {http.MethodGet, "/auth/sessions?user_id=me", "", true},
		"current":  {http.MethodGet, "/auth/sessions/current", "", true},
	} {
		for where, origin := range foreignOrigins {
			t.Run(name+"/"+where, func(t *testing.T) {
				t.Parallel()
				e := newEnv(t, cookieMode, func(c *sessions.Config) {
					c.MayImpersonate = func(context.Context, sessions.Identity, sessions.User) error { return nil }
				})
				g, other, acting := e.signIn(t, alice), e.signIn(t, alice), e.signIn(t, bob, impersonating(alice))
				send := func(options ...option) answer {
					t.Helper()
					options = append(options, origin)
					if test.body != "" {
						options = append(options, jsonBody(test.body))
					}
					return e.do(t, test.method, strings.Replace(test.path, "{other}", other.id, 1), options...)
				}
				if test.safe {
					send(g.own()).want(t, 200).did(t, nothing)
					return
				}
				e.clock.Advance(20 * time.Minute) // so that it would refresh
				e.takeEvents()
				before := e.snapshot(t)
				for _, sent := range []option{
					g.own(), acting.acting(), cookies(refreshCookie, "dead"), cookies(accessCookie, "dead"),
				} {
					a := send(sent).refused(t, 403, "FORBIDDEN").did(t, nothing)
					if d := a.details(); len(d) != 1 || d["reason"] != "cross_origin" {
						t.Errorf("details %v", d)
					}
				}
				if diff := difference(before, e.snapshot(t)); diff != "" || len(e.takeEvents()) != 0 {
					t.Errorf("something happened: %s", diff)
				}
				// SameSite keeps the cookies at home: clearing them would sign out all the same.
				send().did(t, nothing)
				// Headers are never sent by a browser on its own.
				e.clock.Advance(-20 * time.Minute)
				if name == "refresh" {
					send(header("x-stack-refresh-token", g.refresh)).want(t, 200).did(t, nothing)
				} else {
					send(bearer(g.access)).want(t, 200).did(t, nothing)
				}
			})
		}
	}
}

func TestSignOutAlwaysClearsTheCookies(t *testing.T) {
	t.Parallel()
	const signedOut = 200
	gone := func(_ *testing.T, e *env, _ grant) {
		e.setUsers(func(context.Context, string) (sessions.User, error) {
			return sessions.User{}, sessions.ErrUserNotFound
		})
	}
	end := func(t *testing.T, e *env, g grant) {
		t.Helper()
		if _, err := e.manager.Join(e.rows.Store).End(t.Context(), sessions.EndParams{ID: g.id}); err != nil {
			t.Fatal(err)
		}
	}
	late := func(_ *testing.T, e *env, _ grant) { e.clock.Advance(time.Hour) }
	for name, test := range map[string]struct {
		before  func(t *testing.T, e *env, g grant)
		send    func(g grant) option
		status  int
		code    string
		cookies string
		ends    sessions.EndReason
	}{
		"live":                         {nil, grant.own, signedOut, "", ownCleared, sessions.EndSignedOut},
		"the access token has expired": {late, grant.own, signedOut, "", ownCleared, sessions.EndSignedOut},
		"the access token alone": {
			nil, func(g grant) option { return cookies(accessCookie, g.access) }, signedOut, "", ownCleared,
			sessions.EndSignedOut,
		},
		"the refresh token alone": {
			late, func(g grant) option { return cookies(refreshCookie, g.refresh) }, signedOut, "", ownCleared,
			sessions.EndSignedOut,
		},
		"a spent refresh token": {
			func(t *testing.T, e *env, g grant) { t.Helper(); e.refresh(t, g.refresh).want(t, 200) },
			func(g grant) option { return cookies(refreshCookie, g.refresh) }, signedOut, "", ownCleared,
			sessions.EndSignedOut,
		},
		"the access token is garbage": {
			nil, func(g grant) option { return cookies(accessCookie, "x", refreshCookie, g.refresh) }, signedOut, "",
			ownCleared, sessions.EndSignedOut,
		},
		"the refresh token is garbage": {
			nil, func(g grant) option { return cookies(accessCookie, g.access, refreshCookie, "x") }, signedOut, "",
			ownCleared, sessions.EndSignedOut,
		},
		"both are garbage": {
			nil, func(grant) option { return cookies(accessCookie, "x", refreshCookie, "y") }, 401, refused,
			ownCleared, "",
		},
		"an access token that is garbage": {
			nil, func(grant) option { return cookies(accessCookie, "x") }, 401, "ACCESS_TOKEN_EXPIRED", ownCleared, "",
		},
		"no cookies": {
			nil, func(grant) option { return cookies("theme", "dark") }, 401, "ACCESS_TOKEN_EXPIRED", allCleared, "",
		},
		"empty ones": {
			nil, func(grant) option { return cookies(accessCookie, "", refreshCookie, "") }, 401,
			"ACCESS_TOKEN_EXPIRED", allCleared, "",
		},
		"one twice": {
			nil, func(g grant) option { return cookies(accessCookie, g.access, accessCookie, g.access) }, 400,
			"SCHEMA_ERROR", allCleared, "",
		},
		"it has ended elsewhere": {end, grant.own, 401, refused, ownCleared, sessions.EndRevoked},
		"the user is gone":       {gone, grant.own, signedOut, "", ownCleared, sessions.EndSignedOut},
		"the user is gone, and it is late": {
			func(t *testing.T, e *env, g grant) { t.Helper(); gone(t, e, g); late(t, e, g) }, grant.own, signedOut, "",
			ownCleared, sessions.EndSignedOut,
		},
		"it expired long ago": {
			func(_ *testing.T, e *env, _ grant) { e.clock.Advance(800 * 24 * time.Hour) }, grant.own, 401, refused,
			ownCleared, "",
		},
		"the store is away": {func(_ *testing.T, e *env, _ grant) {
			e.setFault(sessionstest.FailAt(sessionstest.MethodEnd, 0, errors.New("away")))
		}, grant.own, 503, "TEMPORARILY_UNAVAILABLE", ownCleared, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEnv(t, cookieMode)
			g, bystander := e.signIn(t, alice), e.signIn(t, alice)
			if test.before != nil {
				test.before(t, e, g)
			}
			a := e.do(t, http.MethodDelete, "/auth/sessions/current", test.send(g),
				header("Sec-Fetch-Site", "same-origin")).want(t, test.status).did(t, test.cookies)
			if test.code != "" {
				a.refused(t, test.status, test.code)
			}
			if got := e.row(t, g.id).EndReason; got != test.ends {
				t.Errorf("ended by %q, want %q", got, test.ends)
			}
			if !e.row(t, bystander.id).EndedAt.IsZero() {
				t.Error("another session has ended")
			}
		})
	}
	t.Run("it was pruned", func(t *testing.T) {
		t.Parallel()
		e := newEnv(t, cookieMode)
		g := e.signIn(t, alice)
		end(t, e, g)
		if n, err := e.rows.Prune(t.Context(), sessions.PruneParams{EndedBefore: began.Add(time.Hour), Limit: 10}); n !=
			1 || err != nil {
			t.Fatal(n, err)
		}
		e.do(t, http.MethodDelete, "/auth/sessions/current", g.own()).refused(t, 401, refused).did(t, ownCleared)
	})
}

// A token counts in its own cookie only, so one that was planted in another ends
// nothing; the cookie goes.
func TestSignOutByATokenInAnotherCookie(t *testing.T) {
	t.Parallel()
	const nobody = "ACCESS_TOKEN_EXPIRED"
	for name, test := range map[string]struct {
		send    func(own, acting grant) option
		code    string // "" is signed out
		cookies string
		ends    string // which of the two
	}{
		"the user's access token": {
			func(own, _ grant) option { return cookies(actingAccessCookie, own.access) }, nobody, actingCleared, "",
		},
		"the user's refresh token": {
			func(own, _ grant) option { return cookies(actingRefreshCookie, own.refresh) }, refused, actingCleared, "",
		},
		"both of the user's": {
			func(own, _ grant) option { return own.acting() }, refused, actingCleared, "",
		},
		"the impersonation's access token": {
			func(_, acting grant) option { return cookies(accessCookie, acting.access) }, nobody, ownCleared, "",
		},
		"the impersonation's refresh token": {
			func(_, acting grant) option { return cookies(refreshCookie, acting.refresh) }, refused, ownCleared, "",
		},
		"both of the impersonation's": {
			func(_, acting grant) option { return acting.own() }, refused, ownCleared, "",
		},
		"the access token beside a good refresh": {func(own, acting grant) option {
			return cookies(accessCookie, acting.access, refreshCookie, own.refresh)
		}, "", ownCleared, "own"},
		"the same, of an impersonation": {func(own, acting grant) option {
			return cookies(actingAccessCookie, own.access, actingRefreshCookie, acting.refresh)
		}, "", actingCleared, "acting"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEnv(t, cookieMode)
			own, acting := e.signIn(t, alice), e.signIn(t, bob, impersonating(alice))
			a := e.do(t, http.MethodDelete, "/auth/sessions/current", test.send(own, acting)).did(t, test.cookies)
			if test.code == "" {
				a.want(t, 200)
			} else {
				a.refused(t, 401, test.code)
			}
			for which, g := range map[string]grant{"own": own, "acting": acting} {
				if ended := !e.row(t, g.id).EndedAt.IsZero(); ended != (which == test.ends) {
					t.Errorf("the session of %s: ended %v", which, ended)
				}
			}
		})
	}
}

func TestSignOutOfAnImpersonationLeavesTheUserSignedIn(t *testing.T) {
	t.Parallel()
	for name, dies := range map[string]bool{"live": false, "dead": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEnv(t, cookieMode)
			own, acting := e.signIn(t, alice), e.signIn(t, bob, impersonating(alice))
			want := 200
			if dies {
				e.do(t, http.MethodDelete, "/auth/sessions/"+acting.id, bearer(e.adminKey)).want(t, 200)
				want = 401
			}
			e.do(t, http.MethodDelete, "/auth/sessions/current", own.own(), acting.acting()).want(t, want).did(t,
				actingCleared)
			if row := e.row(t, acting.id); row.EndedAt.IsZero() || !dies && (row.EndReason != sessions.EndSignedOut ||
				row.EndedBy != alice) {
				t.Errorf("%+v", row)
			}
			if a := e.do(t, http.MethodGet, "/auth/sessions/current", own.own()).want(t, 200); a.text("id") != own.id {
				t.Error("the user's own session does not count again")
			}
		})
	}
}

func TestSignOutByHeaderLeavesTheCookies(t *testing.T) {
	t.Parallel()
	for name, by := range map[string]func(g grant) option{
		"Bearer":         func(g grant) option { return bearer(g.access) },
		"x-stack":        func(g grant) option { return stack("access-type", "client", "access-token", g.access) },
		"refresh header": func(g grant) option { return header("x-stack-refresh-token", g.refresh) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEnv(t, cookieMode)
			g, other := e.signIn(t, alice), e.signIn(t, bob)
			e.do(t, http.MethodDelete, "/auth/sessions/current", g.own(), by(grant{access: "x", refresh: "x"})).want(t,
				401).did(t, nothing)
			e.do(t, http.MethodDelete, "/auth/sessions/current", g.own(), by(other)).want(t, 200).did(t, nothing)
			if !e.row(t, g.id).EndedAt.IsZero() || e.row(t, other.id).EndedAt.IsZero() {
				t.Error("the wrong session has ended")
			}
		})
	}
	t.Run("an access type without a token", func(t *testing.T) {
		t.Parallel()
		e := newEnv(t, cookieMode)
		g := e.signIn(t, alice)
		e.do(t, http.MethodDelete, "/auth/sessions/current", g.own(), stack("access-type", "client")).refused(t, 401,
			"ACCESS_TOKEN_EXPIRED").did(t, nothing)
		if !e.row(t, g.id).EndedAt.IsZero() {
			t.Error("it has ended")
		}
	})
	t.Run("Basic names nobody", func(t *testing.T) {
		t.Parallel()
		e := newEnv(t, cookieMode)
		g := e.signIn(t, alice)
		e.do(t, http.MethodDelete, "/auth/sessions/current", g.own(), basic("x", "y")).want(t, 200).did(t, ownCleared)
	})
}
