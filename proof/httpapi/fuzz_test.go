package httpapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/sessile-go/sessile/sessions"
)

// FuzzCreateBody: what is accepted meets the schema, by another reader than ours;
// what is not has made no session.
func FuzzCreateBody(f *testing.F) {
	for _, seed := range []string{
		`{"user_id":"alice"}`,
		`{"user_id":"alice","expires_in_millis":1000,"is_impersonation":false,"reason":"r",` +
			`"client":{"ip":"192.0.2.1","user_agent":"x"}}`,
		`{"user_id":"alice","is_impersonation":true,"expires_in_millis":30000,"actor":{"user_id":"admin-1"}}`,
		`{"user_id":"me"}`, `{"user_id":""}`, `{"user_id":"a","USER_ID":"b"}`, `{"user_id":"\ud83d\ude00"}`,
		`{"user_id":"\ud83d"}`, `{"user_id":"a","expires_in_millis":1e3}`,
		`{"user_id":"a","expires_in_millis":31708800001}`, `{"user_id":"a","actor":{"user_id":"b"}}`, ``, `null`, `[]`,
		`{`, "{\"user_id\":\"\xff\"}", ` {"user_id":"a"} `, `{"user_id":"a"}x`,
	} {
		f.Add([]byte(seed))
	}
	e := newEnv(f)
	e.setUsers(func(_ context.Context, id string) (sessions.User, error) { return sessions.User{ID: id}, nil })
	f.Fuzz(func(t *testing.T, text []byte) {
		before := len(e.rows.ids)
		a := e.do(t, http.MethodPost, "/auth/sessions", bearer(e.serverKey), body("application/json", string(text)))
		made := e.rows.ids[before:]
		if a.status != http.StatusOK {
			if len(made) != 0 || a.status >= 500 {
				t.Fatalf("status %d with %d new sessions", a.status, len(made))
			}
			return
		}
		if len(made) != 1 || made[0] != a.text("session_id") {
			t.Fatalf("%d new sessions", len(made))
		}
		var request struct {
			UserID        string  `json:"user_id"`
			ExpiresIn     *int64  `json:"expires_in_millis"`
			Impersonation *bool   `json:"is_impersonation"`
			Reason        *string `json:"reason"`
			Actor         *struct {
				UserID string `json:"user_id"`
			} `json:"actor"`
			Client *struct {
				IP        *string `json:"ip"`
				UserAgent *string `json:"user_agent"`
			} `json:"client"`
		}
		decoder := json.NewDecoder(strings.NewReader(string(text)))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&request); err != nil {
			t.Fatalf("accepted, but not what the schema has: %v", err)
		}
		plain := func(s string, limit int) bool {
			return len(s) <= limit && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
		}
		acting := request.Impersonation != nil && *request.Impersonation
		least, most := int64(1), (367 * 24 * time.Hour).Milliseconds()
		if acting {
			least, most = (30 * time.Second).Milliseconds(), (24 * time.Hour).Milliseconds()
		}
		s := e.row(t, made[0])
		switch {
		case request.UserID == "" || !plain(request.UserID, 255) || s.UserID != request.UserID:
			t.Errorf("user id %q, kept as %q", request.UserID, s.UserID)
		case request.ExpiresIn != nil && (*request.ExpiresIn < least || *request.ExpiresIn > most ||
			s.ExpiresAt.Sub(s.CreatedAt).Milliseconds() != *request.ExpiresIn):
			t.Errorf("expires in %d, kept as %v", *request.ExpiresIn, s.ExpiresAt.Sub(s.CreatedAt))
		case s.Impersonation != acting:
			t.Errorf("impersonation: asked for %v, kept as %v", acting, s.Impersonation)
		case request.Reason != nil && (!plain(*request.Reason, 500) || s.Reason != *request.Reason):
			t.Errorf("reason %q, kept as %q", *request.Reason, s.Reason)
		case request.Actor != nil && (!acting || request.Actor.UserID == "" || !plain(request.Actor.UserID, 255) ||
			s.Actor != request.Actor.UserID):
			t.Errorf("actor %q, kept as %q", request.Actor.UserID, s.Actor)
		}
		if c := request.Client; c != nil && c.IP != nil {
			if _, err := netip.ParseAddr(*c.IP); err != nil {
				t.Errorf("client address %q", *c.IP)
			}
		}
	})
}

// FuzzAuthenticate: whatever the headers are, nothing panics, nothing is our fault,
// and nobody gets in who has no credential.
func FuzzAuthenticate(f *testing.F) {
	for _, seed := range []string{
		"", "Authorization: Bearer {server}", "Authorization: bearer  {access}",
		"Authorization: Bearer {access}\nAuthorization: Basic eDp5", "Authorization: Basic {server}",
		"x-stack-access-type: server\nx-stack-project-id: " + project + "\nx-stack-secret-server-key: {server}",
		"x-hexclave-access-type: client\nx-hexclave-project-id: " + project +
			"\nx-hexclave-access-token: {access}\nx-stack-override-error-status: 1",
		"x-stack-access-type: admin\nx-stack-branch-id: dev", "x-stack-refresh-token: {refresh}",
		"Authorization: Bearer ssk_\nCookie: a=b",
		"Authorization: Bearer eyJhbGciOiJub25lIn0.e30.", "X-Request-Id: \x1b[31m", "X-Forwarded-For: 1.2.3.4",
		"Content-Type: application/json\nContent-Encoding: gzip",
	} {
		f.Add(seed)
	}
	e := newEnv(f)
	own := e.signIn(f, alice)
	fill := strings.NewReplacer("{server}", e.serverKey, "{access}", own.access, "{refresh}", own.refresh)
	f.Fuzz(func(t *testing.T, lines string) {
		withSecret := fill.Replace(lines) != lines
		as := func(r *http.Request) {
			for line := range strings.SplitSeq(fill.Replace(lines), "\n") {
				name, value, _ := strings.Cut(line, ": ")
				// net/http lets no others through.
				if name == "" || strings.ContainsFunc(name, func(c rune) bool {
					return c <= ' ' || c > '~' || strings.ContainsRune(`()<>@,;:\"/[]?={}`, c)
				}) ||
					strings.ContainsFunc(value, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) {
					continue
				}
				r.Header.Add(name, value)
			}
		}
		for _, dial := range []sessions.Revocation{sessions.Stateless, sessions.Strict} {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			as(r)
			id, err := e.manager.Authenticate(r, dial)
			if err != nil && id != (sessions.Identity{}) {
				t.Errorf("an identity with an error: %+v", id)
			}
			if !withSecret && (id.Trusted() || id.HasUser()) {
				t.Errorf("got in: %+v", id)
			}
			if errors.Is(err, sessions.ErrUnavailable) || err != nil && sessions.NewAPIError(err).Status >= 500 {
				t.Errorf("our fault: %v", err)
			}
		}
		for _, call := range []string{
			"GET /auth/sessions/current", "GET /auth/sessions?user_id=" + alice, "POST /auth/sessions",
			"DELETE /auth/sessions?user_id=" + bob, "DELETE /auth/sessions/" + own.id, "POST /auth/oauth/token",
			"POST /auth/oauth/revoke",
		} {
			method, target, _ := strings.Cut(call, " ")
			r := httptest.NewRequest(method, target, nil)
			as(r)
			w := httptest.NewRecorder() // without the checks of all answers, which are slow
			e.handler.ServeHTTP(w, r)
			status := w.Code
			if actual := w.Header().Get("X-Stack-Actual-Status"); actual != "" && status == http.StatusOK {
				status, _ = strconv.Atoi(actual)
			}
			if status >= 500 || status < 400 && !withSecret {
				t.Errorf("%s: status %d: %s", call, status, w.Body)
			}
			// The log only: the answer names an unknown project or access type as the caller
			// wrote it, whatever it looks like.
			e.checkLeaks(t, call, answer{status: http.StatusOK})
		}
	})
}
