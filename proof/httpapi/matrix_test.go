package httpapi_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sessile-go/sessile/sessions"
)

// matrix is who may do what: design and docs have the same table for people.
// "200" is a grant; else the status and the code of the refusal.
var matrix = []struct {
	name           string
	method, path   string
	body           string
	admin, server  string
	client, acting string // a user, and somebody who acts as one
	refresh        string // a refresh token and nothing else
	nobody         string
}{
	{
		name: "create for a user", method: http.MethodPost, path: "/auth/sessions", body: `{"user_id":"{bob}"}`,
		admin: "200", server: "200",
		client: "401 INSUFFICIENT_ACCESS_TYPE", acting: "401 INSUFFICIENT_ACCESS_TYPE",
		refresh: "401 ACCESS_TYPE_REQUIRED", nobody: "401 ACCESS_TYPE_REQUIRED",
	},
	{
		name: "create an impersonation", method: http.MethodPost, path: "/auth/sessions",
		body:  `{"user_id":"{bob}","is_impersonation":true}`,
		admin: "200", server: "200",
		client: "401 INSUFFICIENT_ACCESS_TYPE", acting: "401 INSUFFICIENT_ACCESS_TYPE",
		refresh: "401 ACCESS_TYPE_REQUIRED", nobody: "401 ACCESS_TYPE_REQUIRED",
	},
	{
		name: "create for me", method: http.MethodPost, path: "/auth/sessions", body: `{"user_id":"me"}`,
		admin: "400 CANNOT_GET_OWN_USER_WITHOUT_USER", server: "400 CANNOT_GET_OWN_USER_WITHOUT_USER",
		client: "401 INSUFFICIENT_ACCESS_TYPE", acting: "401 INSUFFICIENT_ACCESS_TYPE",
		refresh: "401 ACCESS_TYPE_REQUIRED", nobody: "401 ACCESS_TYPE_REQUIRED",
	},
	{
		name: "list the user", method: http.MethodGet, path: "/auth/sessions?user_id={alice}",
		admin: "200", server: "200", client: "200", acting: "200", refresh: "401 ACCESS_TYPE_REQUIRED",
		nobody: "401 ACCESS_TYPE_REQUIRED",
	},
	{
		name: "list me", method: http.MethodGet, path: "/auth/sessions?user_id=me",
		admin: "400 CANNOT_GET_OWN_USER_WITHOUT_USER", server: "400 CANNOT_GET_OWN_USER_WITHOUT_USER",
		client: "200", acting: "200", refresh: "401 ACCESS_TYPE_REQUIRED", nobody: "401 ACCESS_TYPE_REQUIRED",
	},
	{
		name: "list another user", method: http.MethodGet, path: "/auth/sessions?user_id={bob}",
		admin: "200", server: "200", client: "403 FORBIDDEN", acting: "403 FORBIDDEN",
		refresh: "401 ACCESS_TYPE_REQUIRED", nobody: "401 ACCESS_TYPE_REQUIRED",
	},
	{
		name: "list a user that nobody knows", method: http.MethodGet, path: "/auth/sessions?user_id={unknown}",
		admin: "200", server: "200", client: "403 FORBIDDEN", acting: "403 FORBIDDEN",
		refresh: "401 ACCESS_TYPE_REQUIRED", nobody: "401 ACCESS_TYPE_REQUIRED",
	},
	{
		name: "the current session", method: http.MethodGet, path: "/auth/sessions/current",
		admin: "400 CANNOT_GET_OWN_USER_WITHOUT_USER", server: "400 CANNOT_GET_OWN_USER_WITHOUT_USER",
		client: "200", acting: "200", refresh: "401 ACCESS_TYPE_REQUIRED", nobody: "401 ACCESS_TYPE_REQUIRED",
	},
	{
		name: "end another session of the user", method: http.MethodDelete, path: "/auth/sessions/{other session}",
		admin: "200", server: "200", client: "200", acting: "404 SESSION_NOT_FOUND",
		refresh: "401 ACCESS_TYPE_REQUIRED", nobody: "401 ACCESS_TYPE_REQUIRED",
	},
	{
		name: "end it as the client SDK does", method: http.MethodDelete,
		path:  "/auth/sessions/{other session}?user_id=me",
		admin: "200", server: "200", client: "200", acting: "404 SESSION_NOT_FOUND",
		refresh: "401 ACCESS_TYPE_REQUIRED", nobody: "401 ACCESS_TYPE_REQUIRED",
	},
	{
		name: "end the caller's own session by id", method: http.MethodDelete, path: "/auth/sessions/{own session}",
		admin: "404 SESSION_NOT_FOUND", server: "404 SESSION_NOT_FOUND",
		client: "400 CANNOT_DELETE_CURRENT_SESSION", acting: "400 CANNOT_DELETE_CURRENT_SESSION",
		refresh: "401 ACCESS_TYPE_REQUIRED", nobody: "401 ACCESS_TYPE_REQUIRED",
	},
	{
		name: "end an impersonation of the user", method: http.MethodDelete, path: "/auth/sessions/{impersonation}",
		admin: "200", server: "200", client: "404 SESSION_NOT_FOUND", acting: "404 SESSION_NOT_FOUND",
		refresh: "401 ACCESS_TYPE_REQUIRED", nobody: "401 ACCESS_TYPE_REQUIRED",
	},
	{
		name: "end another user's session", method: http.MethodDelete, path: "/auth/sessions/{bob's session}",
		admin: "200", server: "200", client: "404 SESSION_NOT_FOUND", acting: "404 SESSION_NOT_FOUND",
		refresh: "401 ACCESS_TYPE_REQUIRED", nobody: "401 ACCESS_TYPE_REQUIRED",
	},
	{
		name: "end a session that never was", method: http.MethodDelete,
		path:  "/auth/sessions/01890a5d-ac96-774b-bcce-b302099a8057",
		admin: "404 SESSION_NOT_FOUND", server: "404 SESSION_NOT_FOUND", client: "404 SESSION_NOT_FOUND",
		acting:  "404 SESSION_NOT_FOUND",
		refresh: "401 ACCESS_TYPE_REQUIRED", nobody: "401 ACCESS_TYPE_REQUIRED",
	},
	{
		name: "end a session that has ended", method: http.MethodDelete, path: "/auth/sessions/{ended session}",
		admin: "404 SESSION_NOT_FOUND", server: "404 SESSION_NOT_FOUND", client: "404 SESSION_NOT_FOUND",
		acting:  "404 SESSION_NOT_FOUND",
		refresh: "401 ACCESS_TYPE_REQUIRED", nobody: "401 ACCESS_TYPE_REQUIRED",
	},
	{
		name: "end many of the user", method: http.MethodDelete, path: "/auth/sessions?user_id={alice}",
		admin: "200", server: "200", client: "200", acting: "403 FORBIDDEN", refresh: "401 ACCESS_TYPE_REQUIRED",
		nobody: "401 ACCESS_TYPE_REQUIRED",
	},
	{
		name: "end many of me", method: http.MethodDelete, path: "/auth/sessions?user_id=me",
		admin: "400 CANNOT_GET_OWN_USER_WITHOUT_USER", server: "400 CANNOT_GET_OWN_USER_WITHOUT_USER",
		client: "200", acting: "403 FORBIDDEN", refresh: "401 ACCESS_TYPE_REQUIRED", nobody: "401 ACCESS_TYPE_REQUIRED",
	},
	{
		name: "end many without a user", method: http.MethodDelete, path: "/auth/sessions",
		admin: "400 SCHEMA_ERROR", server: "400 SCHEMA_ERROR",
		client: "200", acting: "403 FORBIDDEN", refresh: "401 ACCESS_TYPE_REQUIRED", nobody: "401 ACCESS_TYPE_REQUIRED",
	},
	{
		name: "end many of another user", method: http.MethodDelete, path: "/auth/sessions?user_id={bob}",
		admin: "200", server: "200", client: "403 FORBIDDEN", acting: "403 FORBIDDEN",
		refresh: "401 ACCESS_TYPE_REQUIRED", nobody: "401 ACCESS_TYPE_REQUIRED",
	},
	{
		name: "refresh", method: http.MethodPost, path: "/auth/sessions/current/refresh",
		admin: "400 SCHEMA_ERROR", server: "400 SCHEMA_ERROR", client: "400 SCHEMA_ERROR", acting: "400 SCHEMA_ERROR",
		refresh: "200", nobody: "400 SCHEMA_ERROR",
	},
	{
		name: "sign out", method: http.MethodDelete, path: "/auth/sessions/current",
		admin: "401 ACCESS_TOKEN_EXPIRED", server: "401 ACCESS_TOKEN_EXPIRED", client: "200", acting: "200",
		refresh: "200", nobody: "401 ACCESS_TOKEN_EXPIRED",
	},
	{
		name: "the keys", method: http.MethodGet, path: "/.well-known/jwks.json",
		admin: "200", server: "200", client: "200", acting: "200", refresh: "200", nobody: "200",
	},
	{
		name: "the metadata", method: http.MethodGet, path: "/projects/" + project +
			"/.well-known/openid-configuration",
		admin: "200", server: "200", client: "200", acting: "200", refresh: "200", nobody: "200",
	},
	{
		name: "the document", method: http.MethodGet, path: "/auth/openapi.yaml",
		admin: "200", server: "200", client: "200", acting: "200", refresh: "200", nobody: "200",
	},
}

func TestWhoMayDoWhat(t *testing.T) {
	t.Parallel()
	for _, row := range matrix {
		for column, want := range map[string]string{
			"an admin key": row.admin, "a server key": row.server, "an access token": row.client,
			"an access token of an impersonation": row.acting, "a refresh token": row.refresh, "nobody": row.nobody,
		} {
			for _, scheme := range []int{0, 1, 2} {
				t.Run(row.name+"/"+column+"/"+[]string{"Bearer", "x-stack", "x-hexclave"}[scheme], func(t *testing.T) {
					t.Parallel()
					e := newEnv(t)
					own := e.signIn(t, alice)
					acting := e.signIn(t, alice, impersonating("admin-1"))
					ended := e.signIn(t, alice)
					if _, err := e.manager.End(t.Context(), sessions.EndParams{ID: ended.id}); err != nil {
						t.Fatal(err)
					}
					paths := []string{
						"{alice}", alice, "{bob}", bob, "{unknown}", unknown,
						"{other session}", e.signIn(t, alice).id, "{impersonation}",
						e.signIn(t, alice, impersonating("admin-1")).id,
						"{bob's session}", e.signIn(t, bob).id, "{ended session}", ended.id,
					}
					var as option
					switch column {
					case "an admin key":
						as = e.both(e.adminKey)[scheme].as
						paths = append(paths, "{own session}", "01890a5d-ac96-774b-bcce-000000000000")
					case "a server key":
						as = e.both(e.serverKey)[scheme].as
						paths = append(paths, "{own session}", "01890a5d-ac96-774b-bcce-000000000000")
					case "an access token":
						as = e.both(own.access)[scheme].as
						paths = append(paths, "{own session}", own.id)
					case "an access token of an impersonation":
						as = e.both(acting.access)[scheme].as
						paths = append(paths, "{own session}", acting.id)
					case "a refresh token":
						as = header([]string{
							"x-stack-refresh-token", "x-stack-refresh-token", "x-hexclave-refresh-token",
						}[scheme], own.refresh)
						paths = append(paths, "{own session}", own.id)
					default:
						as = []option{func(*http.Request) {}, stack(), family("x-hexclave-")}[scheme]
						paths = append(paths, "{own session}", own.id)
					}
					fill := strings.NewReplacer(paths...)
					options := []option{as}
					if row.body != "" {
						options = append(options, jsonBody(fill.Replace(row.body)))
					}
					before := e.snapshot(t)
					a := e.do(t, row.method, fill.Replace(row.path), options...)
					if want == "200" {
						a.want(t, http.StatusOK)
						return
					}
					status, code, _ := strings.Cut(want, " ")
					if status != strconv.Itoa(a.status) || a.json["code"] != code {
						t.Fatalf("%d %s, want %s", a.status, redactedBody(a), want)
					}
					challenge := map[string]string{
						"401 INSUFFICIENT_ACCESS_TYPE": "insufficient_scope", "401 ACCESS_TYPE_REQUIRED": "-",
						"401 ACCESS_TOKEN_EXPIRED": "-",
					}[want]
					if got := challengeError(a); got != challenge { // an error only if there were credentials
						t.Errorf("challenge %q, want error %q", a.header.Get("Www-Authenticate"), challenge)
					}
					if after := e.snapshot(t); before != after {
						t.Errorf("refused, and yet something changed: %s", difference(before, after))
					}
				})
			}
		}
	}
}

// A refused caller must not learn from the answer whether a session is there, is
// somebody else's, or is over.
func TestSessionsOfOthersLookAsIfTheyWereNotThere(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	own, ended := e.signIn(t, alice), e.signIn(t, alice)
	if _, err := e.manager.End(t.Context(), sessions.EndParams{ID: ended.id}); err != nil {
		t.Fatal(err)
	}
	var first string
	for _, id := range []string{
		"01890a5d-ac96-774b-bcce-b302099a8057", ended.id, e.signIn(t, bob).id,
		e.signIn(t, alice, impersonating("admin-1")).id, e.signIn(t, bob, impersonating("admin-1")).id,
	} {
		a := e.do(t, http.MethodDelete, "/auth/sessions/"+id, bearer(own.access)).refused(t, 404, "SESSION_NOT_FOUND")
		if first == "" {
			first = string(a.body)
		}
		if string(a.body) != first {
			t.Errorf("the answers differ: %s and %s", first, a.body)
		}
	}
}

func TestAnImpersonationSeesItselfAlone(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.signIn(t, alice)
	e.signIn(t, alice, impersonating("admin-2"))
	acting := e.signIn(t, alice, impersonating("admin-1"))
	a := e.do(t, http.MethodGet, "/auth/sessions?user_id=me", bearer(acting.access)).want(t, http.StatusOK)
	if ids := a.ids(t); len(ids) != 1 || ids[0] != acting.id {
		t.Errorf("listed %v, want %s", ids, acting.id)
	}
}

func TestEndReasonAndWhoStayOnTheRow(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	for name, test := range map[string]struct {
		do     func(t *testing.T, own, other grant) // ends other
		reason sessions.EndReason
		by     string
	}{
		"by id with a server key": {func(t *testing.T, _, other grant) {
			t.Helper()
			e.do(t, http.MethodDelete, "/auth/sessions/"+other.id, bearer(e.serverKey)).want(t, 200)
		}, sessions.EndRevoked, "backend"},
		"by id with an admin key of the x-stack family": {func(t *testing.T, _, other grant) {
			t.Helper()
			e.do(t, http.MethodDelete, "/auth/sessions/"+other.id, e.both(e.adminKey)[1].as).want(t, 200)
		}, sessions.EndRevoked, "console"},
		"by id by the user": {func(t *testing.T, own, other grant) {
			t.Helper()
			e.do(t, http.MethodDelete, "/auth/sessions/"+other.id, bearer(own.access)).want(t, 200)
		}, sessions.EndRevoked, alice},
		"all others by the user": {func(t *testing.T, own, _ grant) {
			t.Helper()
			e.do(t, http.MethodDelete, "/auth/sessions", bearer(own.access)).want(t, 200)
		}, sessions.EndRevoked, alice},
		"signed out with the access token": {func(t *testing.T, _, other grant) {
			t.Helper()
			e.do(t, http.MethodDelete, "/auth/sessions/current", bearer(other.access)).want(t, 200)
		}, sessions.EndSignedOut, alice},
		"signed out with the refresh token": {func(t *testing.T, _, other grant) {
			t.Helper()
			e.do(t, http.MethodDelete, "/auth/sessions/current",
				header("x-stack-refresh-token", other.refresh)).want(t, 200)
		}, sessions.EndSignedOut, ""},
		"revoked with the refresh token": {func(t *testing.T, _, other grant) {
			t.Helper()
			e.do(t, http.MethodPost, "/auth/oauth/revoke", form("token", other.refresh)).want(t, 200)
		}, sessions.EndRevoked, ""},
	} {
		t.Run(name, func(t *testing.T) {
			own, other := e.signIn(t, alice), e.signIn(t, alice)
			test.do(t, own, other)
			if s := e.row(t, other.id); s.EndReason != test.reason || s.EndedBy != test.by ||
				!s.EndedAt.Equal(e.clock.Now().Truncate(time.Microsecond)) {
				t.Errorf("ended at %v, %s by %q; want %s by %q", s.EndedAt, s.EndReason, s.EndedBy,
					test.reason, test.by)
			}
			if s := e.row(t, own.id); !s.EndedAt.IsZero() {
				t.Error("the caller's own session has ended, too")
			}
		})
	}
}
