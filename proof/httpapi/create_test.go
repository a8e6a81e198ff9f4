package httpapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sessile-go/sessile/sessions"
)

func TestCreateAsDocumented(t *testing.T) {
	t.Parallel()
	for name, mount := range mounts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEnv(t)
			mount(e)
			for _, key := range []string{e.serverKey, e.adminKey} {
				for _, caller := range e.both(key) {
					a := e.do(t, http.MethodPost, "/auth/sessions", caller.as, jsonBody(`{"user_id": "`+alice+`"}`)).
						want(t, http.StatusOK)
					if len(a.json) != 8 || a.text("token_type") != "Bearer" || a.text("user_id") != alice ||
						a.json["is_impersonation"] != false ||
						a.json["expires_in"] != 600.0 ||
						a.json["expires_at_millis"] != float64(began.Add(365*24*time.Hour).UnixMilli()) {
						t.Errorf("%s: %s", caller.name, redactedBody(a))
					}
					if id, err := uuid.Parse(a.text("session_id")); err != nil || id.Version() != 7 {
						t.Errorf("session id %q is not a UUID version 7", a.text("session_id"))
					}
					if !strings.HasPrefix(a.text("refresh_token"), "srt1_") ||
						strings.Count(a.text("access_token"), ".") != 2 {
						t.Error("the tokens have another shape")
					}
					if got := a.header.Get("Content-Type"); got != "application/json; charset=utf-8" {
						t.Errorf("Content-Type %q", got)
					}
					current := e.do(t, http.MethodGet, "/auth/sessions/current", bearer(a.text("access_token"))).want(t,
						http.StatusOK)
					if current.text("id") != a.text("session_id") {
						t.Error("the access token is of another session")
					}
					e.refresh(t, a.text("refresh_token")).want(t, http.StatusOK)
				}
			}
			e.takeEvents()
		})
	}
}

func TestCreateFields(t *testing.T) {
	t.Parallel()
	const minute = time.Minute
	for name, test := range map[string]struct {
		body string
		want func(s sessions.Session) bool
	}{
		"a life of one millisecond": {
			`"expires_in_millis":1`, func(s sessions.Session) bool {
				return s.ExpiresAt.Equal(began.Add(time.Millisecond))
			},
		},
		"the longest life": {
			`"expires_in_millis":31708800000`, func(s sessions.Session) bool {
				return s.ExpiresAt.Equal(began.Add(367 * 24 * time.Hour))
			},
		},
		"no impersonation, said outright": {
			`"is_impersonation":false`, func(s sessions.Session) bool {
				return !s.Impersonation && s.Actor == "" && s.AuthTime.Equal(began)
			},
		},
		"an impersonation": {`"is_impersonation":true`, func(s sessions.Session) bool {
			return s.Impersonation && s.Actor == "backend" && s.AuthTime.IsZero() &&
				s.ExpiresAt.Equal(began.Add(time.Hour))
		}},
		"the shortest impersonation": {
			`"is_impersonation":true,"expires_in_millis":30000`, func(s sessions.Session) bool {
				return s.ExpiresAt.Equal(began.Add(minute / 2))
			},
		},
		"the longest impersonation": {
			`"expires_in_millis":86400000,"is_impersonation":true`, func(s sessions.Session) bool {
				return s.ExpiresAt.Equal(began.Add(24 * time.Hour))
			},
		},
		"an actor": {
			`"is_impersonation":true,"actor":{"user_id":"admin-1"}`, func(s sessions.Session) bool {
				return s.Actor == "admin-1" && s.CreatedBy == "backend"
			},
		},
		"a reason": {
			`"reason":"ticket 4711 – “urgent”"`, func(s sessions.Session) bool {
				return s.Reason == "ticket 4711 – “urgent”"
			},
		},
		"a reason of 500 bytes": {
			`"reason":"` + strings.Repeat("r", 500) + `"`, func(s sessions.Session) bool {
				return len(s.Reason) == 500
			},
		},
		"an empty reason": {`"reason":""`, func(s sessions.Session) bool { return s.Reason == "" }},
		"a client": {`"client":{"ip":"192.0.2.7","user_agent":"Phone/2"}`, func(s sessions.Session) bool {
			return s.Client == sessions.Client{IP: "192.0.2.7", UserAgent: "Phone/2"}
		}},
		"a client that is IPv4 in IPv6": {
			`"client":{"ip":"::ffff:192.0.2.7"}`, func(s sessions.Session) bool { return s.Client.IP == "192.0.2.7" },
		},
		"a client with a zone": {
			`"client":{"ip":"fe80::1%eth0"}`, func(s sessions.Session) bool { return s.Client.IP == "fe80::1" },
		},
		"a client with a long user agent": {
			`"client":{"user_agent":"` + strings.Repeat("ü", 200) + `"}`, func(s sessions.Session) bool {
				return s.Client.UserAgent == strings.Repeat("ü", 127)
			},
		},
		"a client of whom nothing is known": {
			`"client":{}`, func(s sessions.Session) bool { return s.Client == sessions.Client{} },
		},
		// The caller is a backend: its own address is nobody's device.
		"no client, so nothing of the caller": {
			`"is_impersonation":false`, func(s sessions.Session) bool { return s.Client == sessions.Client{} },
		},
		"escaped names and values": {
			`"\u0072eason":"\u00e9\ud83d\ude00"`, func(s sessions.Session) bool { return s.Reason == "é😀" },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEnv(t)
			a := e.do(t, http.MethodPost, "/auth/sessions", bearer(e.serverKey), header("User-Agent", "Backend/1"),
				jsonBody(`{"user_id":"`+alice+`",`+test.body+`}`)).want(t, http.StatusOK)
			if s := e.row(t, a.text("session_id")); !test.want(s) {
				t.Errorf("%+v", s)
			}
			if events := e.takeEvents(); len(events) != 1 || events[0] != sessions.EventCreated {
				t.Errorf("events %v", events)
			}
		})
	}
}

// What looks like an attack is a user id like any other, if the host has such a
// user: it is kept as it came, and matches nothing else.
func TestCreateTakesUserIDsLiterally(t *testing.T) {
	t.Parallel()
	for _, id := range []string{
		"42", "me too", " alice ", "ALICE", "alice", "a'; DROP TABLE sessions;--", `"quoted"`, "../../etc/passwd",
		"{{.Secret}}", "${jndi:x}",
		"%00", "100%", "_", "null", "user\\n", "ａｌｉｃｅ", "é", "e\u0301", strings.Repeat("x", 255),
		strings.Repeat("ü", 127),
	} {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			e := newEnv(t)
			e.setUsers(func(_ context.Context, id string) (sessions.User, error) { return sessions.User{ID: id}, nil })
			quoted, _ := json.Marshal(id)
			a := e.do(t, http.MethodPost, "/auth/sessions", bearer(e.serverKey),
				jsonBody(`{"user_id":`+string(quoted)+`}`)).want(t, http.StatusOK)
			if got := e.row(t, a.text("session_id")).UserID; got != id || a.text("user_id") != id {
				t.Errorf("kept as %q, answered as %q", got, a.text("user_id"))
			}
			if got := e.do(t, http.MethodGet, "/auth/sessions?user_id=me", bearer(a.text("access_token"))).want(t,
				http.StatusOK).ids(t); len(got) != 1 {
				t.Errorf("lists %d sessions", len(got))
			}
			if got := e.do(t, http.MethodGet, "/auth/sessions?user_id=%25", bearer(e.adminKey)).want(t, http.StatusOK).
				ids(t); len(got) != 0 {
				t.Error("found by a wildcard")
			}
		})
	}
}

func TestCreateForMe(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	own := e.signIn(t, alice)
	a := e.do(t, http.MethodPost, "/auth/sessions", stack("access-type", "server", "secret-server-key", e.serverKey,
		"access-token", own.access), jsonBody(`{"user_id":"me"}`)).want(t, http.StatusOK)
	if a.text("user_id") != alice || a.text("session_id") == own.id {
		t.Errorf("%s", redactedBody(a))
	}
	if s := e.row(t, a.text("session_id")); s.CreatedBy != "backend" {
		t.Errorf("created by %q", s.CreatedBy)
	}
}

func TestCreateRefusesUsers(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		user    string
		users   func(context.Context, string) (sessions.User, error)
		status  int
		code    string
		details string
	}{
		"one that the host does not know": {
			user: unknown, status: 400, code: "USER_ID_DOES_NOT_EXIST", details: `{"user_id":"` + unknown + `"}`,
		},
		"one that is disabled": {
			user: disabled, status: 400, code: "USER_ID_DOES_NOT_EXIST",
			details: `{"reason":"user_disabled","user_id":"` + disabled + `"}`,
		},
		"one that the host calls by another id": {
			user: "ALICE", users: func(context.Context, string) (sessions.User, error) {
				return sessions.User{ID: "alice"}, nil
			},
			status: 400, code: "USER_ID_DOES_NOT_EXIST", details: `{"user_id":"ALICE"}`,
		},
		"one that the host gives no id": {
			user: alice, users: func(context.Context, string) (sessions.User, error) {
				return sessions.User{Name: "Alice"}, nil
			},
			status: 503, code: "TEMPORARILY_UNAVAILABLE", details: `{"retry":true}`,
		},
		"one that the host cannot look up": {
			user: alice, users: func(context.Context, string) (sessions.User, error) {
				return sessions.User{}, errors.New("no route to users.internal")
			},
			status: 503, code: "TEMPORARILY_UNAVAILABLE", details: `{"retry":true}`,
		},
		"one whose lookup takes too long": {
			user: alice, users: func(context.Context, string) (sessions.User, error) {
				return sessions.User{}, context.DeadlineExceeded
			},
			status: 503, code: "TEMPORARILY_UNAVAILABLE", details: `{"retry":true}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEnv(t)
			e.setUsers(test.users)
			a := e.do(t, http.MethodPost, "/auth/sessions", bearer(e.serverKey),
				jsonBody(`{"user_id":"`+test.user+`"}`)).refused(t, test.status, test.code)
			if details, _ := json.Marshal(a.json["details"]); string(details) != test.details {
				t.Errorf("details %s, want %s", details, test.details)
			}
			if strings.Contains(string(a.body), "users.internal") {
				t.Errorf("the cause is shown: %s", a.body)
			}
			if rows := e.snapshot(t); rows != "" {
				t.Errorf("there is a session: %s", rows)
			}
			if events := e.takeEvents(); len(events) != 0 {
				t.Errorf("events %v", events)
			}
		})
	}
}

// All problems of a request come at once, each with the path of its field.
func TestCreateTellsAllProblemsAtOnce(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	a := e.do(t, http.MethodPost, "/auth/sessions", bearer(e.serverKey),
		jsonBody(
			`{"user_id":7,"expires_in_millis":"1","is_impersonation":1,"actor":[],"reason":{},`+
				`"client":{"ip":"x","port":1},"id":"mine"}`,
		)).refused(t, 400, "SCHEMA_ERROR")
	message := a.details()["message"]
	if message != a.json["error"] {
		t.Error("details.message is not the text of error")
	}
	lines := strings.Split(a.text("error"), "\n")
	if lines[0] != "Request validation failed on POST /auth/sessions:" {
		t.Errorf("first line %q", lines[0])
	}
	for _, path := range []string{
		"user_id", "expires_in_millis", "is_impersonation", "actor", "reason", "client.ip", "client.port", "id",
	} {
		if !strings.Contains(a.text("error"), "\n- body."+path+" ") {
			t.Errorf("nothing is said of %s:\n%s", path, a.text("error"))
		}
	}
}

func TestCreateAtAPathOfTheHost(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	mux := http.NewServeMux()
	mux.Handle("POST /support/impersonate", e.handler.Create())
	send := func(options ...option) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, "/support/impersonate", nil)
		for _, o := range options {
			o(r)
		}
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		return w
	}
	if w := send(bearer(e.serverKey), jsonBody(`{"user_id":"`+alice+`","is_impersonation":true}`)); w.Code !=
		http.StatusOK {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
	if w := send(jsonBody(`{"user_id":"` + alice + `"}`)); w.Code != http.StatusUnauthorized ||
		!strings.Contains(w.Body.String(), "ACCESS_TYPE_REQUIRED") {
		t.Errorf("status %d without credentials: %s", w.Code, w.Body)
	}
}
