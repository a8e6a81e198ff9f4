package middlewaretest

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sessile-go/sessile/sessions"
)

// callers checks Require, RequireServer and Optional with every kind of caller.
func (s *suite) callers(t *testing.T) {
	h := newHost(t)
	own := token(h.SignIn(t, "alice"))
	acting := token(h.Impersonate(t, "admin-1", "alice"))
	ended, elsewhere := h.SignIn(t, "alice"), h.SignIn(t, "alice")
	if _, err := h.End(t.Context(), sessions.EndParams{ID: ended.Grant.Session.ID}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Join(h.Faults).End(t.Context(), sessions.EndParams{ID: elsewhere.Grant.Session.ID}); err != nil {
		t.Fatal(err)
	}
	project := h.Config.ProjectID
	family := func(lines ...string) []string { return append([]string{"x-stack-project-id: " + project}, lines...) }
	const none, notEnough = "401 ACCESS_TYPE_REQUIRED", "401 INSUFFICIENT_ACCESS_TYPE"
	const unparsable, expired, noUser = "401 UNPARSABLE_ACCESS_TOKEN", "401 ACCESS_TOKEN_EXPIRED",
		"400 CANNOT_GET_OWN_USER_WITHOUT_USER"
	const badKey, badAdminKey = "401 INVALID_SECRET_SERVER_KEY", "401 INVALID_SUPER_SECRET_ADMIN_KEY"
	const noProject = "400 CURRENT_PROJECT_NOT_FOUND"

	for _, test := range []struct {
		name                   string
		headers                []string
		user, server, optional string // the identity, or the refusal
		strictly               string // with the strict dial, if that differs
	}{
		{"nobody", nil, none, none, "nobody", ""},
		{"another scheme", []string{"Authorization: Basic eDp5"}, none, none, "nobody", ""},
		{"an access token", []string{bearer(own)}, "client||alice", notEnough, "client||alice", ""},
		{"an access token of an impersonation", []string{bearer(acting)}, "client||alice|acted by admin-1", notEnough,
			"client||alice|acted by admin-1", ""},
		{"a server key", []string{bearer(h.server)}, notEnough, "server|backend|", "server|backend|", ""},
		{"an admin key", []string{bearer(h.admin)}, notEnough, "admin|console|", "admin|console|", ""},
		{"a wrong key", []string{bearer(h.server + "x")}, badKey, badKey, badKey, ""},
		{"a wrong admin key", []string{bearer(h.admin + "x")}, badAdminKey, badAdminKey, badAdminKey, ""},
		{"a malformed token", []string{bearer("x")}, unparsable, unparsable, unparsable, ""},
		{"a forged token", []string{bearer(own[:len(own)-4] + "AAAA")}, unparsable, unparsable, unparsable, ""},
		{"two Authorization headers", []string{bearer(own), bearer(h.server)}, "400 SCHEMA_ERROR", "400 SCHEMA_ERROR",
			"400 SCHEMA_ERROR", ""},
		{"a token of a session that this process has ended", []string{bearer(token(ended))}, expired,
			expired, expired, ""},
		{"a token of a session that another process has ended", []string{bearer(token(elsewhere))}, "client||alice",
			notEnough, "client||alice", expired},
		{"a client of the x-stack family", family("x-stack-access-type: client", "x-stack-access-token: "+own),
			"client||alice", notEnough, "client||alice", ""},
		{"a client of the x-hexclave family", []string{
			"x-hexclave-project-id: " + project, "x-hexclave-access-type: client", "x-hexclave-access-token: " + own,
		}, "client||alice", notEnough, "client||alice", ""},
		{"a client without a user", family("x-stack-access-type: client"), noUser, notEnough, "nobody", ""},
		{"a server of the x-stack family", family("x-stack-access-type: server", "x-stack-secret-server-key: "+
			h.server), noUser, "server|backend|", "server|backend|", ""},
		{"a server with a user", family("x-stack-access-type: server", "x-stack-secret-server-key: "+h.server,
			"x-stack-access-token: "+own), "server|backend|alice", "server|backend|alice", "server|backend|alice", ""},
		{"a server with a dead user", family("x-stack-access-type: server", "x-stack-secret-server-key: "+h.server,
			"x-stack-access-token: "+token(ended)), expired, expired, expired, ""},
		{"another project", []string{"x-stack-project-id: x", "x-stack-access-type: client"}, noProject, noProject,
			noProject, ""},
		{"headers that name somebody", []string{
			"X-User-Id: alice", "X-Forwarded-User: alice", "X-Original-Url: /open",
			"X-Middleware-Subrequest: middleware", "Cookie: access_token=" + own,
		}, none, none, "nobody", ""},
	} {
		for kind, expected := range map[Kind]string{
			Require: test.user, RequireServer: test.server, Optional: test.optional,
		} {
			for name, dial := range s.dials() {
				want := expected
				if dial == sessions.Strict && test.strictly != "" {
					want = test.strictly
				}
				s.run(t, strings.Join([]string{test.name, string(kind), name}, "/"), func(t *testing.T) {
					app := s.me(t, Middleware{Kind: kind, Manager: h.Manager, Revocation: dial})
					for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodHead} {
						w := s.send(t, app, method, "/me?access_token="+own, test.headers...)
						hold(t, w, method, want, len(test.headers) > 0 && strings.HasPrefix(test.headers[0], "x-"))
					}
				})
			}
		}
	}
}

// hold compares an answer with an identity, or with a refusal and all its headers.
func hold(t *testing.T, w *httptest.ResponseRecorder, method, want string, ofFamily bool) {
	t.Helper()
	status, code, refused := strings.Cut(want, " ")
	if refused = refused && (status == "400" || status == "401"); !refused {
		if w.Code != http.StatusOK || method != http.MethodHead && w.Body.String() != want {
			t.Errorf("%s: %d %s, want %s", method, w.Code, w.Body, want)
		}
		return
	}
	if got := strconv.Itoa(w.Code); got != status {
		t.Errorf("%s: status %s, want %s: %s", method, got, want, w.Body)
		return
	}
	header := w.Header()
	if method != http.MethodHead {
		if got := codeOf(w); got != code {
			t.Errorf("%s: %s, want %s", method, got, code)
		}
		if got := strings.ToLower(header.Get("Content-Type")); !slices.Contains([]string{
			"application/json; charset=utf-8", "application/json",
		},
			got) {
			t.Errorf("Content-Type %q", got)
		}
	}
	if challenge := header.Get("Www-Authenticate"); status == "401" && !strings.HasPrefix(challenge,
		`Bearer realm="sessile"`) {
		t.Errorf("WWW-Authenticate %q", challenge)
	}
	if header.Get("Cache-Control") != "no-store" || header.Get("X-Request-Id") == "" {
		t.Errorf("%v", header)
	}
	known := ""
	if ofFamily {
		known = code
	}
	if header.Get("X-Stack-Known-Error") != known || header.Get("X-Hexclave-Known-Error") != known {
		t.Errorf("known error %q, want %q", header.Get("X-Stack-Known-Error"), known)
	}
}
