package httpapi_test

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sessile-go/sessile/sessions"
)

// untouched is a body that must not be read.
type untouched struct{ t testing.TB }

func (u untouched) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}

func (untouched) Close() error { return nil }

// The body of a request without credentials is not read, and its faults are not reported:
// whoever has no credential causes no further cost.
func TestNobodysBodyIsNotRead(t *testing.T) {
	t.Parallel()
	o := newOffice(t, cookieMode)
	old := o.signIn(t, root)
	o.clock.Advance(3 * 365 * 24 * time.Hour)
	ended := o.signIn(t, root)
	if _, err := o.manager.End(t.Context(), sessions.EndParams{ID: ended.id}); err != nil {
		t.Fatal(err)
	}
	good := o.signIn(t, root)
	o.takeEvents()
	for name, test := range map[string]struct {
		as     option
		status int
	}{
		"no credentials":                 {header("X-Nothing", ""), 401},
		"garbage":                        {bearer("x"), 401},
		"a key that nobody has":          {bearer("ssk_x"), 401},
		"a token that expired years ago": {bearer(old.access), 401},
		"a session that has ended":       {bearer(ended.access), 401},
		"the same beside a key": {
			stack("access-type", "server", "secret-server-key", o.serverKey, "access-token", ended.access), 401,
		},
		"a client without a user": {stack("access-type", "client"), 401},
		"two credentials":         {header("Authorization", "Bearer x", "Bearer x"), 400},
		"another project": {
			stack("access-type", "client", "access-token", good.access, "project-id", "x"), 401,
		},
		"cookies that are over": {ended.own(), 401},
		"good cookies, of another origin": {
			func(r *http.Request) { good.own()(r); r.Header.Set("Sec-Fetch-Site", "cross-site") }, 403,
		},
	} {
		for _, contentType := range []string{"application/json", "text/plain"} {
			r := httptestRequest(t, "/auth/sessions", contentType)
			test.as(r)
			w := &recorder{header: http.Header{}}
			o.handler.ServeHTTP(w, r)
			if w.status != test.status {
				t.Errorf("%s: %d %s", name, w.status, w.body.String())
			}
			if events := o.takeWholeEvents(); len(events) != 0 {
				t.Errorf("%s: events %+v", name, events)
			}
		}
	}
}

type recorder struct {
	header http.Header
	status int
	body   strings.Builder
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(status int)      { r.status = status }
func (r *recorder) Write(b []byte) (int, error) { return r.body.Write(b) }

func httptestRequest(t testing.TB, path, contentType string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://sessile.test"+path, untouched{t})
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	return r
}

// A client that waits to be asked for its body is asked only if it is somebody.
func TestNobodyIsAskedForABody(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	address := e.listen(t)
	text := `{"user_id":"` + alice + `"}`
	head := func(lines ...string) string {
		return "POST /auth/sessions HTTP/1.1\r\nHost: sessile.test\r\nContent-Type: application/json\r\nExpect: " +
			"100-continue\r\nContent-Length: 65000\r\n" +
			strings.Join(append(lines, "", ""), "\r\n")
	}
	for name, line := range map[string]string{
		"no credentials": "X-Nothing: x", "a wrong key": "Authorization: Bearer ssk_x",
		"garbage": "Authorization: Bearer x",
	} {
		first := e.exchange(t, address, 1, http.MethodPost, func(c net.Conn) {
			_, _ = io.WriteString(c, head(line))
		})[0]
		if first.status != http.StatusUnauthorized {
			t.Errorf("%s: the first answer is %d", name, first.status)
		}
	}
	body := text + strings.Repeat(" ", 65000-len(text))
	answers := e.exchange(t, address, 2, http.MethodPost, func(c net.Conn) {
		_, _ = io.WriteString(c, head("Authorization: Bearer "+e.serverKey)+body)
	})
	if answers[0].status != http.StatusContinue || answers[1].status != http.StatusOK {
		t.Errorf("of somebody: %d and %d", answers[0].status, answers[1].status)
	}
}

// Callers who are somebody and may not do it are reported with what they asked for, as
// far as it can be read.
func TestARefusalSaysWhatWasAskedFor(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	acting := o.signIn(t, alice, impersonating(root))
	o.takeEvents()
	for text, want := range map[string]sessions.Session{
		target(bob, `"reason":"ticket 1"`):       {UserID: bob, Reason: "ticket 1"},
		target(bob, `"reason":7`, `"more":true`): {UserID: bob},
		"{":                                      {},
		"[]":                                     {},
		strings.Repeat(" ", 70000):               {},
	} {
		o.ask(t, bearer(acting.access), text).refused(t, 403, "IMPERSONATION_NOT_ALLOWED")
		if s := o.toldRefusal(t, "chained").Session; s.UserID != want.UserID || s.Reason != want.Reason ||
			s.Actor != alice {
			t.Errorf("%.20s: %+v", text, s)
		}
	}
	o.do(t, http.MethodPost, "/auth/sessions", bearer(acting.access), body("text/plain", target(bob))).refused(t, 403,
		"IMPERSONATION_NOT_ALLOWED")
	o.toldRefusal(t, "chained")
}

// Nobody can make any number of events: not with codes, not with old tokens, and a user
// who may not impersonate only a few.
func TestCallersCannotFillTheAuditTrail(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	old := o.signIn(t, root)
	o.clock.Advance(3 * 365 * 24 * time.Hour)
	mallory := o.signIn(t, bob)
	o.takeEvents()
	for range 200 {
		o.ask(t, bearer(old.access), target(alice, `"reason":"text of the attacker"`)).refused(t, 401,
			"ACCESS_TOKEN_EXPIRED")
		o.redeem(t, "shc1_"+strings.Repeat("A", 64)).refused(t, 401, "HANDOFF_CODE_NOT_FOUND_OR_EXPIRED")
	}
	if events := o.takeWholeEvents(); len(events) != 0 {
		t.Errorf("400 anonymous requests are %d events", len(events))
	}
	for range 200 {
		o.ask(t, bearer(mallory.access), target(alice)).refused(t, 403, "IMPERSONATION_NOT_ALLOWED")
	}
	if events := o.takeWholeEvents(); len(events) != 10 {
		t.Errorf("200 refusals of a user are %d events", len(events))
	}
	if n := strings.Count(o.logged(), "\n"); n != 1 {
		t.Errorf("%d lines in the log: %s", n, o.logged())
	}
}
