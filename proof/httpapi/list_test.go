package httpapi_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sessile-go/sessile/sessions"
)

// What a session shows of itself, to whom.
func TestListFields(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.signIn(t, bob)
	own := e.signIn(t, alice, func(p *sessions.CreateParams) {
		p.Client, p.Reason = sessions.Client{IP: "192.0.2.1", UserAgent: "Phone/1"}, "signed in by hand"
	})
	e.clock.Advance(time.Hour + 20*time.Minute)
	acting := e.signIn(t, alice, impersonating("admin-1"))
	access := e.refresh(t, own.refresh, header("User-Agent", "Phone/2")).want(t, 200).text("access_token")

	created, used := began.UnixMilli(), e.clock.Now().UnixMilli()
	ordinary := func(lastUsed int64, current bool, more string) string {
		return fmt.Sprintf(`{%s"created_at":%d,"expires_at":%d,"id":%q,"is_current_session":%v,`+
			`"is_impersonation":false,"last_used_at":%d,"last_used_at_end_user_ip_info":{"ip":"192.0.2.1"},%s`+
			`"user_agent":"Phone/2","user_id":%q}`,
			when(more != "", `"actor":null,`), created, began.Add(365*24*time.Hour).UnixMilli(), own.id, current,
			lastUsed, more, alice)
	}
	forKeys := ordinary(used, false, `"reason":"signed in by hand",`)
	impersonation :=
		fmt.Sprintf(`{"actor":"admin-1","created_at":%d,"expires_at":%d,"id":%q,"is_current_session":false,`+
			`"is_impersonation":true,"last_used_at":%d,"reason":null,"user_agent":null,"user_id":%q}`,
			used, e.clock.Now().Add(time.Hour).UnixMilli(), acting.id, used, alice)
	// The hour is not shown if it is before the beginning.
	theirs :=
		fmt.Sprintf(`{"created_at":%d,"expires_at":%d,"id":%q,"is_current_session":true,`+
			`"is_impersonation":true,"last_used_at":%d,"user_agent":null,"user_id":%q}`,
			used, e.clock.Now().Add(time.Hour).UnixMilli(), acting.id, used, alice)
	// A client sees the hour of its last use, no more.
	hour := e.clock.Now().Truncate(time.Hour).UnixMilli()

	for name, test := range map[string]struct {
		credential, query string
		want              []string
	}{
		"a server key sees no impersonations": {e.serverKey, "", []string{forKeys}},
		"a server key that asks for impersonations": {
			e.serverKey, "&impersonation=include", []string{impersonation, forKeys},
		},
		"an admin key sees impersonations":   {e.adminKey, "", []string{impersonation, forKeys}},
		"a client sees its own, to the hour": {access, "", []string{ordinary(hour, true, "")}},
		"a client does not see impersonations": {
			access, "&impersonation=include", []string{ordinary(hour, true, "")},
		},
		"an impersonation sees itself, used since": {acting.access, "", []string{theirs}},
		"unknown parameters are ignored": {
			e.serverKey, "&order_by=user_id&fields=*&include=tokens&User_id=x&user_id[]=x", []string{forKeys},
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, caller := range e.both(test.credential) {
				a := e.do(t, http.MethodGet, "/auth/sessions?user_id="+alice+test.query, caller.as).want(t, 200)
				items := a.items(t)
				if len(items) != len(test.want) || a.json["is_paginated"] != false || len(a.json) != 2 {
					t.Fatalf("%s: %d items: %s", caller.name, len(items), a.body)
				}
				for i, item := range items {
					if got, _ := json.Marshal(item); string(got) != test.want[i] {
						t.Errorf("%s: item %d:\n%s\nwant\n%s", caller.name, i, got, test.want[i])
					}
				}
			}
		})
	}

	t.Run("the current session", func(t *testing.T) {
		for _, caller := range e.both(access) {
			a := e.do(t, http.MethodGet, "/auth/sessions/current", caller.as).want(t, 200)
			if got, _ := json.Marshal(a.json); string(got) != ordinary(hour, true, `"reason":"signed in by hand",`) {
				t.Errorf("%s: %s", caller.name, got)
			}
		}
		a := e.do(t, http.MethodGet, "/auth/sessions/current", bearer(acting.access)).want(t, 200)
		if a.json["actor"] != "admin-1" || a.json["is_impersonation"] != true {
			t.Errorf("%s", a.body)
		}
		a = e.do(t, http.MethodGet, "/auth/sessions/current", stack("access-type", "server", "secret-server-key",
			e.serverKey, "access-token", access)).want(t, 200)
		if a.text("id") != own.id || a.json["last_used_at"] != float64(used) {
			t.Errorf("with a key beside it: %s", a.body)
		}
	})
}

func when(condition bool, text string) string {
	if !condition {
		return ""
	}
	return text
}

func TestListOverHTTPHasLiveSessionsOnly(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	ended := e.signIn(t, alice)
	short := e.signIn(t, alice, lasting(time.Hour))
	idle := e.signIn(t, alice)
	e.clock.Advance(90*24*time.Hour - time.Hour)
	used := e.signIn(t, alice)
	if _, err := e.manager.End(t.Context(), sessions.EndParams{ID: ended.id}); err != nil {
		t.Fatal(err)
	}
	list := func() []string {
		return e.do(t, http.MethodGet, "/auth/sessions?user_id="+alice, bearer(e.adminKey)).want(t, 200).ids(t)
	}
	if got := list(); !slices.Equal(got, []string{used.id, idle.id}) {
		t.Errorf("listed %v; short-lived is %s", got, short.id)
	}
	e.clock.Advance(time.Hour)
	if got := list(); !slices.Equal(got, []string{used.id}) {
		t.Errorf("listed %v with one that is idle", got)
	}
}

func TestListPagesOverHTTP(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	var made []string
	for i := range 7 {
		// Some at the same instant: then the id decides.
		if i%3 == 0 {
			e.clock.Advance(time.Millisecond)
		}
		made = append(made, e.signIn(t, alice).id)
		e.signIn(t, bob)
	}
	e.signIn(t, alice, impersonating("admin-1"))
	slices.SortFunc(made, func(a, b string) int {
		x, y := e.row(t, a), e.row(t, b)
		if c := y.CreatedAt.Compare(x.CreatedAt); c != 0 {
			return c
		}
		if x.ID > y.ID {
			return -1
		}
		return 1
	})
	page := func(t *testing.T, query string) ([]string, string) {
		t.Helper()
		a := e.do(t, http.MethodGet, "/auth/sessions?user_id="+alice+query, bearer(e.serverKey)).want(t, 200)
		pagination, ok := a.json["pagination"].(map[string]any)
		if a.json["is_paginated"] != true || !ok || len(pagination) != 1 {
			t.Fatalf("%s", a.body)
		}
		next, _ := pagination["next_cursor"].(string)
		return a.ids(t), next
	}
	for _, limit := range []int{1, 2, 3, 6, 7, 8, 200} {
		t.Run(fmt.Sprintf("of %d", limit), func(t *testing.T) {
			var seen []string
			cursor := ""
			for {
				ids, next := page(t, fmt.Sprintf("&limit=%d%s", limit, cursor))
				if len(ids) > limit || len(ids) == 0 {
					t.Fatalf("a page of %d", len(ids))
				}
				seen = append(seen, ids...)
				if next == "" {
					break
				}
				cursor = "&cursor=" + next
			}
			if !slices.Equal(seen, made) {
				t.Errorf("seen %v\nmade %v", seen, made)
			}
		})
	}

	t.Run("new sessions and ended ones do not shift them", func(t *testing.T) {
		first, next := page(t, "&limit=3")
		e.clock.Advance(time.Second)
		e.signIn(t, alice)
		// the one the cursor stands on
		if _, err := e.manager.End(t.Context(), sessions.EndParams{ID: first[2]}); err != nil {
			t.Fatal(err)
		}
		rest, last := page(t, "&limit=200&cursor="+next)
		if !slices.Equal(append(first, rest...), made) || last != "" {
			t.Errorf("%v and %v, want %v", first, rest, made)
		}
	})

	t.Run("a cursor of another user shows nothing of them", func(t *testing.T) {
		_, next := page(t, "&limit=1")
		a := e.do(t, http.MethodGet, "/auth/sessions?limit=200&user_id="+bob+"&cursor="+next,
			bearer(e.serverKey)).want(t, 200)
		for _, item := range a.items(t) {
			if item["user_id"] != bob {
				t.Errorf("%v", item)
			}
		}
	})

	t.Run("none", func(t *testing.T) {
		a := e.do(t, http.MethodGet, "/auth/sessions?limit=5&user_id="+unknown, bearer(e.serverKey)).want(t, 200)
		if string(a.body) != `{"items":[],"is_paginated":true,"pagination":{"next_cursor":null}}` {
			t.Errorf("%s", a.body)
		}
		a = e.do(t, http.MethodGet, "/auth/sessions?user_id="+unknown, bearer(e.serverKey)).want(t, 200)
		if string(a.body) != `{"items":[],"is_paginated":false}` {
			t.Errorf("%s", a.body)
		}
	})
}

// What a client may ask for is bounded, whatever it leaves out.
func TestAClientListsAtMost200(t *testing.T) {
	t.Parallel()
	const most, all = 200, 203
	e := newEnv(t)
	own := e.signIn(t, alice)
	for range all - 1 {
		e.clock.Advance(time.Millisecond)
		e.signIn(t, alice)
	}
	newest := e.do(t, http.MethodGet, "/auth/sessions?user_id="+alice, bearer(e.serverKey)).want(t, 200).ids(t)
	if len(newest) != all || newest[all-1] != own.id {
		t.Fatalf("a key gets %d, want %d", len(newest), all)
	}
	for _, caller := range e.both(own.access) {
		a := e.do(t, http.MethodGet, "/auth/sessions?user_id=me", caller.as).want(t, 200)
		if got := a.ids(t); !slices.Equal(got, newest[:most]) || a.json["is_paginated"] != false || len(a.json) != 2 {
			t.Errorf("%s: a client gets %d, want the newest %d and no page", caller.name, len(got), most)
		}
		a = e.do(t, http.MethodGet, "/auth/sessions?user_id=me&limit=200", caller.as).want(t, 200)
		next, _ := a.json["pagination"].(map[string]any)["next_cursor"].(string)
		a = e.do(t, http.MethodGet, "/auth/sessions?user_id=me&limit=200&cursor="+next, caller.as).want(t, 200)
		if got := a.ids(t); !slices.Equal(got, newest[most:]) {
			t.Errorf("%s: the second page has %d, want %d", caller.name, len(got), all-most)
		}
	}
	id, err := e.manager.Verify(own.access)
	if err != nil {
		t.Fatal(err)
	}
	if list, err := e.manager.ListOwn(t.Context(), id, sessions.ListOptions{}); err != nil ||
		len(list.Sessions) != most || list.Next == "" {
		t.Errorf("ListOwn: %d, next %q, %v, want %d and a cursor", len(list.Sessions), list.Next, err, most)
	}
}

func TestEndManyOverHTTP(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		query string
		as    func(e *env, own grant) string
		ended float64
		live  []string // names of what still lives
	}{
		"a server key ends all of a user, and is told of those it may list": {
			"?user_id=" + alice, func(e *env, _ grant) string { return e.serverKey }, 4, []string{"bob's"},
		},
		"an admin key likewise": {
			"?user_id=" + alice, func(e *env, _ grant) string { return e.adminKey }, 4, []string{"bob's"},
		},
		"a client ends all others, impersonations too, and is told of its own": {
			"", func(_ *env, own grant) string { return own.access }, 2, []string{"own", "bob's"},
		},
		"a client that says me": {
			"?user_id=me", func(_ *env, own grant) string { return own.access }, 2, []string{"own", "bob's"},
		},
		"a client that says its id": {
			"?user_id=" + alice, func(_ *env, own grant) string { return own.access }, 2, []string{"own", "bob's"},
		},
		"nothing to end is no error either": {
			"?user_id=" + unknown, func(e *env, _ grant) string { return e.serverKey }, 0,
			[]string{"own", "second", "third", "acting", "bob's"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEnv(t)
			all := map[string]grant{
				"own": e.signIn(t, alice), "second": e.signIn(t, alice), "third": e.signIn(t, alice),
				"acting": e.signIn(t, alice, impersonating("admin-1")), "bob's": e.signIn(t, bob),
			}
			e.takeEvents()
			a := e.do(t, http.MethodDelete, "/auth/sessions"+test.query, bearer(test.as(e, all["own"]))).want(t, 200)
			if a.json["success"] != true || a.json["ended"] != test.ended {
				t.Errorf("%s, want %v", a.body, test.ended)
			}
			for name, g := range all {
				lives := slices.Contains(test.live, name)
				if got := e.row(t, g.id).EndedAt.IsZero(); got != lives {
					t.Errorf("%s lives: %v, want %v", name, got, lives)
				}
				if lives {
					e.refresh(t, g.refresh).want(t, 200)
				} else if a := e.refresh(t, g.refresh).refused(t, 401,
					"REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED"); a.details()["reason"] != "ended" {
					t.Errorf("%s: %v", name, a.details())
				}
			}
		})
	}
}

// The session that comes along is never ended by id, by whomever.
func TestTheCurrentSessionIsNotEndedByID(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	own := e.signIn(t, alice)
	for _, as := range []option{
		bearer(own.access), stack("access-type", "client", "access-token", own.access),
		stack("access-type", "server", "secret-server-key", e.serverKey, "access-token", own.access),
		stack("access-type", "admin", "super-secret-admin-key", e.adminKey, "access-token", own.access),
	} {
		e.do(t, http.MethodDelete, "/auth/sessions/"+own.id, as).refused(t, 400, "CANNOT_DELETE_CURRENT_SESSION")
	}
	if !e.row(t, own.id).EndedAt.IsZero() {
		t.Error("it has ended")
	}
}

// A session that was ended over HTTP is refused at once on the host's routes in this
// process, even if they query no database.
func TestEndedIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	for _, call := range []string{
		"DELETE /auth/sessions/{id}", "DELETE /auth/sessions", "DELETE /auth/sessions/current",
		"POST /auth/oauth/revoke",
	} {
		t.Run(call, func(t *testing.T) {
			t.Parallel()
			e := newEnv(t)
			own, other := e.signIn(t, alice), e.signIn(t, alice)
			switch call {
			case "DELETE /auth/sessions/{id}":
				e.do(t, http.MethodDelete, "/auth/sessions/"+other.id, bearer(own.access)).want(t, 200)
			case "DELETE /auth/sessions":
				e.do(t, http.MethodDelete, "/auth/sessions", bearer(own.access)).want(t, 200)
			case "DELETE /auth/sessions/current":
				e.do(t, http.MethodDelete, "/auth/sessions/current", bearer(other.access)).want(t, 200)
			default:
				e.do(t, http.MethodPost, "/auth/oauth/revoke", form("token", other.refresh)).want(t, 200)
			}
			if _, err := e.manager.Verify(other.access); err == nil {
				t.Error("still verified")
			}
			if _, err := e.manager.Verify(own.access); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestJWKS(t *testing.T) {
	t.Parallel()
	e := newEnv(t, func(c *sessions.Config) { c.Secrets = append(c.Secrets, bytes.Repeat([]byte("next"), 8)) })
	const atRoot, ofProject = "/.well-known/jwks.json", "/projects/" + project + "/.well-known/jwks.json"
	a := e.do(t, http.MethodGet, atRoot).want(t, 200)
	if keys, _ := a.json["keys"].([]any); len(keys) != 2 {
		t.Errorf("%d keys of two secrets", len(keys))
	}
	if string(a.body) != string(e.manager.JWKSet()) {
		t.Error("not what JWKSet returns")
	}
	etag := a.header.Get("Etag")
	if a.header.Get("Cache-Control") != "public, max-age=3600" ||
		a.header.Get("Content-Type") != "application/json; charset=utf-8" {
		t.Errorf("headers %v", a.header)
	}
	if b := e.do(t, http.MethodGet, ofProject+"?include_restricted=true&callback=steal", bearer("x")).want(t,
		200); string(b.body) != string(a.body) || b.header.Get("Etag") != etag {
		t.Error("the project's set is another one")
	}
	e.do(t, http.MethodGet, "/projects/"+unknown+"/.well-known/jwks.json").refused(t, 404, "NOT_FOUND")
	e.do(t, http.MethodGet, "/projects/"+unknown+"/.well-known/jwks.json", stack()).refused(t, 404, "NOT_FOUND")

	e.checkCaching(t, etag, atRoot, ofProject)
}

// checkCaching fails the test unless the paths answer conditional and range requests.
func (e *env) checkCaching(t *testing.T, etag string, paths ...string) {
	t.Helper()
	for name, test := range map[string]struct {
		header, value string
		status        int
	}{
		"the same":                  {"If-None-Match", etag, 304},
		"the same, weakly":          {"If-None-Match", "W/" + etag, 304},
		"one of several":            {"If-None-Match", `"x", W/"y", ` + etag, 304},
		"any":                       {"If-None-Match", "*", 304},
		"another":                   {"If-None-Match", `"x"`, 200},
		"the same without quotes":   {"If-None-Match", etag[1 : len(etag)-1], 200},
		"a range":                   {"Range", "bytes=0-3", 206},
		"a range that is not there": {"Range", "bytes=100000-", 416},
		"only if it is another":     {"If-Match", `"x"`, 412},
		"only if it is the same":    {"If-Match", etag, 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, path := range paths {
				b := e.do(t, http.MethodGet, path, header(test.header, test.value)).want(t, test.status)
				if test.status == 304 && (len(b.body) != 0 || b.header.Get("Etag") != etag) {
					t.Errorf("%q %v", b.body, b.header)
				}
			}
		})
	}
}

// HEAD follows GET: same status and headers.
func TestHead(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	own := e.signIn(t, alice)
	for _, path := range []string{
		"/auth/sessions?user_id=me", "/auth/sessions/current", "/.well-known/jwks.json", "/projects/" + project +
			"/.well-known/jwks.json", "/projects/" + project + "/.well-known/openid-configuration",
		"/auth/openapi.yaml",
	} {
		for _, as := range []option{
			bearer(own.access), bearer("x"), stack("access-type", "client", "access-token", own.access),
		} {
			get, head := e.do(t, http.MethodGet, path, as), e.do(t, http.MethodHead, path, as)
			if get.status != head.status {
				t.Errorf("%s: GET %d, HEAD %d", path, get.status, head.status)
			}
			for _, name := range []string{
				"Content-Type", "Content-Length", "Cache-Control", "Etag", "Www-Authenticate",
			} {
				if get.header.Get(name) != head.header.Get(name) {
					t.Errorf("%s: %s: GET %q, HEAD %q", path, name, get.header.Get(name), head.header.Get(name))
				}
			}
		}
	}
}

func TestMethodsThatAreNotThere(t *testing.T) {
	t.Parallel()
	for path, allow := range map[string]string{
		"/auth/sessions":                                      "DELETE, GET, HEAD, POST",
		"/auth/sessions/current":                              "DELETE, GET, HEAD",
		"/auth/sessions/current/refresh":                      "POST",
		"/auth/sessions/redeem":                               "DELETE, POST",
		"/auth/sessions/01890a5d-ac96-774b-bcce-b302099a8057": "DELETE",
		"/auth/oauth/token":                                   "POST",
		"/auth/oauth/revoke":                                  "POST",
		"/auth/openapi.yaml":                                  "GET, HEAD",
		"/.well-known/jwks.json":                              "GET, HEAD",
		"/projects/" + project + "/.well-known/jwks.json":     "GET, HEAD",

		"/projects/" + project + "/.well-known/openid-configuration": "GET, HEAD",
	} {
		for _, method := range []string{
			"GET", "HEAD", "POST", "DELETE", "PUT", "PATCH", "OPTIONS", "TRACE", "CONNECT", "FOO", "get",
		} {
			t.Run(method+" "+path, func(t *testing.T) {
				t.Parallel()
				if slices.Contains(strings.Split(allow, ", "), method) {
					return
				}
				e := newEnv(t)
				own := e.signIn(t, alice)
				before := e.snapshot(t)
				// Whoever asks, and however the request tries to be another one.
				for _, as := range []option{
					bearer(e.adminKey), bearer(own.access), stack("access-type", "admin", "super-secret-admin-key",
						e.adminKey), header("X-Http-Method-Override", "DELETE"),
				} {
					a := e.do(t, method, path, as)
					if method != "HEAD" {
						a.refused(t, 405, "METHOD_NOT_ALLOWED")
					}
					if a.want(t, 405).header.Get("Allow") != allow {
						t.Errorf("Allow %q, want %q", a.header.Get("Allow"), allow)
					}
				}
				if e.snapshot(t) != before {
					t.Error("something changed")
				}
			})
		}
	}
}
