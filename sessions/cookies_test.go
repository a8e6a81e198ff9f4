package sessions_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

// The cookies, by their default names.
const (
	accessCookie        = "__Host-sessile_access"
	refreshCookie       = "__Host-sessile_refresh"
	actingAccessCookie  = "__Host-sessile_acting_access"
	actingRefreshCookie = "__Host-sessile_acting_refresh"
)

// site is a host in cookie mode: routes behind the middleware, and our endpoints.
type site struct {
	*sessionstest.Kit
	http.Handler
}

func newSite(t testing.TB, change ...func(*sessions.Config)) *site {
	t.Helper()
	enable := func(c *sessions.Config) { c.Cookies.Enabled = true }
	s := &site{Kit: sessionstest.New(t, append([]func(*sessions.Config){enable}, change...)...)}
	s.Handler = routes(s.Manager)
	return s
}

// replica is another process of the same host.
func (s *site) replica(t *testing.T) *site {
	t.Helper()
	other := *s
	other.Handler = routes(mustNew(t, s.Config))
	return &other
}

func routes(m *sessions.Manager) http.Handler {
	mux := http.NewServeMux()
	for path, need := range map[string]sessions.Need{"/me": sessions.NeedUser, "/open": sessions.NeedNothing, "/machines": sessions.NeedServer} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			ctx, err := m.Admit(w, r, need, sessions.Stateless)
			if err != nil {
				sessions.WriteError(w, r, err)
				return
			}
			id, ok := sessions.FromContext(ctx)
			switch {
			case !ok:
				_, _ = io.WriteString(w, "nobody")
			case id.Impersonation:
				_, _ = io.WriteString(w, id.Actor+" as "+id.UserID)
			default:
				_, _ = io.WriteString(w, id.UserID)
			}
		})
	}
	mux.Handle("/auth/", sessions.NewHandler(m))
	return mux
}

// browser keeps cookies as browsers do, on the clock of its site.
type browser struct {
	*site
	jar map[string]*http.Cookie
}

// browse opens a browser in which these sessions are signed in, in this order.
func (s *site) browse(t testing.TB, signedIn ...*sessionstest.SignedIn) *browser {
	t.Helper()
	b := &browser{site: s, jar: map[string]*http.Cookie{}}
	for _, in := range signedIn {
		w := httptest.NewRecorder()
		if err := s.SetCookies(w, in.Grant); err != nil {
			t.Fatal(err)
		}
		b.take(w.Result())
	}
	return b
}

// fork is a second browser with the same cookies: what a thief has copied, or what
// the first one had before.
func (b *browser) fork() *browser { return &browser{site: b.site, jar: maps.Clone(b.jar)} }

func (b *browser) take(answer *http.Response) {
	for _, c := range answer.Cookies() {
		if c.MaxAge < 0 {
			delete(b.jar, c.Name)
			continue
		}
		c.Expires = b.Clock.Now().Add(time.Duration(c.MaxAge) * time.Second)
		b.jar[c.Name] = c
	}
}

// reply is what a browser was answered.
type reply struct {
	status       int
	body         string
	code, reason string // of an error
	// cookies are what happened to them: "+access -acting_refresh".
	cookies string
	header  http.Header
}

// send sends a request with the cookies that a browser would send, and what else
// change does to it, and takes the cookies of the answer.
func (b *browser) send(t testing.TB, method, path string, change ...func(*http.Request)) reply {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "https://app.example"+path, nil)
	for _, name := range slices.Sorted(maps.Keys(b.jar)) {
		if c := b.jar[name]; strings.HasPrefix(path, c.Path) && b.Clock.Now().Before(c.Expires) {
			r.AddCookie(&http.Cookie{Name: name, Value: c.Value})
		}
	}
	for _, f := range change {
		f(r)
	}
	w := httptest.NewRecorder()
	b.ServeHTTP(w, r)
	answer := w.Result()
	b.take(answer)
	return newReply(answer, w.Body.String())
}

func newReply(answer *http.Response, body string) reply {
	got := reply{status: answer.StatusCode, body: body, header: answer.Header}
	var failure struct {
		Code    string
		Details struct{ Reason string }
	}
	if answer.StatusCode >= 400 && json.Unmarshal([]byte(body), &failure) == nil {
		got.body, got.code, got.reason = "", failure.Code, failure.Details.Reason
	}
	var changes []string
	for _, c := range answer.Cookies() {
		sign := "+"
		if c.MaxAge < 0 {
			sign = "-"
		}
		_, name, _ := strings.Cut(c.Name, "sessile_")
		changes = append(changes, sign+name)
	}
	got.cookies = strings.Join(changes, " ")
	return got
}

// want fails the test if the status, the body or else the code and reason, or what
// happened to the cookies are others.
func (r reply) want(t testing.TB, status int, text, cookies string) {
	t.Helper()
	got := r.body
	if r.status >= 400 {
		got = strings.TrimSpace(r.code + " " + r.reason)
	}
	if r.status != status || got != text || r.cookies != cookies {
		t.Errorf("%d %q with cookies %q, want %d %q with %q", r.status, got, r.cookies, status, text, cookies)
	}
	if cc := r.header.Get("Cache-Control"); r.cookies != "" && cc != "no-store" {
		t.Errorf("Cookies were set with Cache-Control %q", cc)
	}
}

func header(name string, values ...string) func(*http.Request) {
	return func(r *http.Request) { r.Header[http.CanonicalHeaderKey(name)] = values }
}

func cookies(pairs ...string) func(*http.Request) {
	return func(r *http.Request) {
		for i := 0; i < len(pairs); i += 2 {
			r.Header.Add("Cookie", pairs[i]+"="+pairs[i+1])
		}
	}
}

const (
	bothSet     = "+access +refresh"
	bothCleared = "-access -refresh"
	endOfActing = "-acting_access -acting_refresh"
)

func TestCookiesAreSetAndClearedByTheseLines(t *testing.T) {
	t.Parallel()
	const attributes = "; HttpOnly; Secure; SameSite=Lax"
	for name, test := range map[string]struct {
		cookies sessions.Cookies
		own     [2]string // names and paths
		acting  [2]string
		rest    string
	}{
		"by default": {
			sessions.Cookies{},
			[2]string{"__Host-sessile_access=%s; Path=/", "__Host-sessile_refresh=%s; Path=/"},
			[2]string{"__Host-sessile_acting_access=%s; Path=/", "__Host-sessile_acting_refresh=%s; Path=/"},
			attributes,
		},
		"with a name": {
			sessions.Cookies{Name: "my-App_2"},
			[2]string{"__Host-my-App_2_access=%s; Path=/", "__Host-my-App_2_refresh=%s; Path=/"},
			[2]string{"__Host-my-App_2_acting_access=%s; Path=/", "__Host-my-App_2_acting_refresh=%s; Path=/"},
			attributes,
		},
		"with a path for the refresh cookie": {
			sessions.Cookies{RefreshPath: "/auth/sessions/current"},
			[2]string{"__Host-sessile_access=%s; Path=/", "__Secure-sessile_refresh=%s; Path=/auth/sessions/current"},
			[2]string{"__Host-sessile_acting_access=%s; Path=/", "__Secure-sessile_acting_refresh=%s; Path=/auth/sessions/current"},
			attributes,
		},
		"without TLS": {
			sessions.Cookies{InsecureCookie: true},
			[2]string{"sessile_access=%s; Path=/", "sessile_refresh=%s; Path=/"},
			[2]string{"sessile_acting_access=%s; Path=/", "sessile_acting_refresh=%s; Path=/"},
			"; HttpOnly; SameSite=Lax",
		},
		"without TLS and with a path": {
			sessions.Cookies{InsecureCookie: true, RefreshPath: "/r"},
			[2]string{"sessile_access=%s; Path=/", "sessile_refresh=%s; Path=/r"},
			[2]string{"sessile_acting_access=%s; Path=/", "sessile_acting_refresh=%s; Path=/r"},
			"; HttpOnly; SameSite=Lax",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, func(c *sessions.Config) {
				c.Cookies = test.cookies
				c.Cookies.Enabled = true
				c.SessionTTL = 90 * time.Minute
			})
			line := func(form, value string, maxAge int) string {
				return fmt.Sprintf(form, value) + fmt.Sprintf("; Max-Age=%d", maxAge) + test.rest
			}
			wantLines := func(do func(http.ResponseWriter), want ...string) {
				t.Helper()
				w := httptest.NewRecorder()
				do(w)
				if got := w.Header()["Set-Cookie"]; !slices.Equal(got, want) {
					t.Errorf("got\n%s\nwant\n%s", redact(got), redact(want))
				}
				if got := w.Header().Get("Cache-Control"); got != "no-store" {
					t.Errorf("Cache-Control is %q", got)
				}
			}
			set := func(g sessions.Grant) func(http.ResponseWriter) {
				return func(w http.ResponseWriter) {
					if err := s.SetCookies(w, g); err != nil {
						t.Error(err)
					}
				}
			}
			clearedOwn := []string{line(test.own[0], "", 0), line(test.own[1], "", 0)}
			clearedActing := []string{line(test.acting[0], "", 0), line(test.acting[1], "", 0)}

			own := s.SignIn(t, "alice").Grant
			wantLines(set(own),
				line(test.own[0], own.AccessToken.Reveal(), 600), line(test.own[1], own.RefreshToken.Reveal(), 5400),
				clearedActing[0], clearedActing[1])
			// An impersonation outlasts its tokens in the browser: where the browser
			// put them away by itself, the next request would be the user's own.
			acting := s.Impersonate(t, "alice", "bob").Grant
			wantLines(set(acting),
				line(test.acting[0], acting.AccessToken.Reveal(), 365*24*3600), line(test.acting[1], acting.RefreshToken.Reveal(), 365*24*3600))
			wantLines(s.ClearCookies, append(clearedOwn, clearedActing...)...)
			wantLines(s.ClearImpersonationCookies, clearedActing...)
			wantLines(func(w http.ResponseWriter) { // signed in, and out after all: nothing is there twice
				http.SetCookie(w, &http.Cookie{Name: "theme", Value: "dark"})
				set(s.SignIn(t, "bob").Grant)(w)
				set(acting)(w)
				set(own)(w)
				http.SetCookie(w, &http.Cookie{Name: "lang", Value: "en"})
				s.ClearCookies(w)
			}, append(append([]string{"theme=dark", "lang=en"}, clearedOwn...), clearedActing...)...)

			s.Clock.Advance(89*time.Minute + 500*time.Millisecond)
			last := s.refresh(t, own.RefreshToken)
			wantLines(set(last),
				line(test.own[0], last.AccessToken.Reveal(), 60), line(test.own[1], last.RefreshToken.Reveal(), 59),
				clearedActing[0], clearedActing[1])
		})
	}
}

// redact leaves the tokens out: a failed test is a log, too.
func redact(lines []string) string {
	return regexp.MustCompile(`(srt1_|eyJ)[A-Za-z0-9_.-]*`).ReplaceAllString(strings.Join(lines, "\n"), "$1…")
}

func (s *site) refresh(t testing.TB, token sessions.Token) sessions.Grant {
	t.Helper()
	g, err := s.Refresh(t.Context(), token.Reveal(), sessions.Client{})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestSetCookiesRefusesWhatItCannotPutIntoCookies(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	good := s.SignIn(t, "alice").Grant
	handoff, err := s.Create(t.Context(), sessions.CreateParams{UserID: "alice", Handoff: true})
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		m     *sessions.Manager
		grant sessions.Grant
	}{
		"no grant":             {s.Manager, sessions.Grant{}},
		"a hand-off":           {s.Manager, handoff},
		"an access token only": {s.Manager, sessions.Grant{Session: good.Session, AccessToken: good.AccessToken}},
		"cookie mode is off":   {sessionstest.New(t).Manager, good},
	} {
		w := httptest.NewRecorder()
		if err := test.m.SetCookies(w, test.grant); err == nil || len(w.Header()) != 0 {
			t.Errorf("%s: error %v, headers %v", name, err, w.Header())
		}
	}
	w := httptest.NewRecorder()
	off := sessionstest.New(t)
	off.ClearCookies(w)
	off.ClearImpersonationCookies(w)
	if len(w.Header()) != 0 {
		t.Errorf("cookie mode is off, and clearing wrote %v", w.Header())
	}
}

func TestConfigCookiesNamesEachFaultOnce(t *testing.T) {
	t.Parallel()
	const name, path = "sessions: Config.Cookies.Name: ", "sessions: Config.Cookies.RefreshPath: "
	for _, test := range []struct {
		cookies sessions.Cookies
		faults  []string // what each line begins with
	}{
		{sessions.Cookies{}, nil},
		{sessions.Cookies{Enabled: true}, nil},
		{sessions.Cookies{Enabled: true, Name: strings.Repeat("a", 32), RefreshPath: "/a/b%20c", InsecureCookie: true}, nil},
		{sessions.Cookies{Name: "x"}, []string{"sessions: Config.Cookies.Enabled: "}},
		{sessions.Cookies{RefreshPath: "/x", InsecureCookie: true}, []string{"sessions: Config.Cookies.Enabled: "}},
		{sessions.Cookies{Enabled: true, Name: strings.Repeat("a", 33)}, []string{name}},
		{sessions.Cookies{Enabled: true, Name: "a.b"}, []string{name}},
		{sessions.Cookies{Enabled: true, Name: "a~b"}, []string{name}},
		{sessions.Cookies{Enabled: true, Name: "a b"}, []string{name}},
		{sessions.Cookies{Enabled: true, Name: "a=b"}, []string{name}},
		{sessions.Cookies{Enabled: true, Name: "é"}, []string{name}},
		{sessions.Cookies{Enabled: true, Name: "x_acting"}, []string{name}}, // the impersonations of x
		{sessions.Cookies{Enabled: true, RefreshPath: "/"}, []string{path}},
		{sessions.Cookies{Enabled: true, RefreshPath: "auth"}, []string{path}},
		{sessions.Cookies{Enabled: true, RefreshPath: "/a;b"}, []string{path}},
		{sessions.Cookies{Enabled: true, RefreshPath: "/a b"}, []string{path}},
		{sessions.Cookies{Enabled: true, RefreshPath: "/\x00"}, []string{path}},
		{sessions.Cookies{Enabled: true, RefreshPath: "/" + strings.Repeat("a", 255)}, []string{path}},
		{sessions.Cookies{Enabled: true, Name: "a b", RefreshPath: "/é"}, []string{name, path}},
	} {
		c := sessionstest.New(t).Config
		c.Cookies = test.cookies
		_, err := sessions.New(c)
		var lines []string
		if err != nil {
			lines = strings.Split(err.Error(), "\n")
		}
		if !slices.EqualFunc(lines, test.faults, strings.HasPrefix) {
			t.Errorf("%+v: %v, want %q", test.cookies, err, test.faults)
		}
	}
}

// What browsers would drop must not be issued: name and value together have 4,096
// bytes (RFC 6265bis, section 5.7).
func TestAnAccessTokenFitsIntoItsCookie(t *testing.T) {
	t.Parallel()
	padding := 0
	claims := func(c *sessions.Config) {
		c.Claims = func(context.Context, sessions.Session, sessions.User) (map[string]any, error) {
			return map[string]any{"padding": strings.Repeat("x", padding)}, nil
		}
	}
	s := newSite(t, claims)
	longest := 0
	for padding = 2200; ; padding++ {
		grant, err := s.Create(t.Context(), sessions.CreateParams{UserID: "alice", Impersonation: true, Actor: "bob"})
		if err != nil {
			if !errors.Is(err, sessions.ErrUnavailable) {
				t.Error(err)
			}
			break
		}
		longest = len(actingAccessCookie) + len(grant.AccessToken.Reveal())
	}
	if longest < 4090 || longest > 4096 {
		t.Errorf("the longest has %d bytes", longest)
	}
	if _, err := sessionstest.New(t, claims).Create(t.Context(), sessions.CreateParams{UserID: "alice"}); err != nil {
		t.Errorf("without cookies it is not too long: %v", err)
	}
}

func TestTheMiddlewareTakesCookiesAndRefreshesThem(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	alice := s.SignIn(t, "alice")
	b := s.browse(t, alice)

	b.send(t, "GET", "/me").want(t, 200, "alice", "")
	if n := s.Faults.Calls(sessionstest.MethodRefresh); n != 0 {
		t.Errorf("%d refreshes", n)
	}
	access := alice.Grant.AccessToken.Reveal()
	b.send(t, "GET", "/me", func(r *http.Request) {
		r.Header.Del("Cookie")
		cookies(accessCookie, access)(r)
	}).want(t, 200, "alice", "")

	s.Clock.Advance(10 * time.Minute)
	old := b.jar[refreshCookie].Value
	// A browser whose clock is late sends the access cookie still.
	b.send(t, "GET", "/me", cookies(accessCookie, access)).want(t, 200, "alice", bothSet)
	if b.jar[refreshCookie].Value == old || b.jar[accessCookie].Value == access {
		t.Error("the cookies are the old ones")
	}
	b.send(t, "GET", "/me").want(t, 200, "alice", "")
	if n := s.Faults.Calls(sessionstest.MethodRefresh); n != 1 {
		t.Errorf("%d refreshes, want 1", n)
	}

	s.Clock.Advance(10 * time.Minute)
	b.send(t, "HEAD", "/me").want(t, 200, "alice", bothSet)
	s.Clock.Advance(10 * time.Minute)
	b.send(t, "OPTIONS", "/me").want(t, 200, "alice", bothSet)
	s.Clock.Advance(10 * time.Minute)
	b.send(t, "POST", "/me", header("Sec-Fetch-Site", "same-origin")).want(t, 200, "alice", bothSet)
	s.Clock.Advance(10 * time.Minute)
	b.send(t, "GET", "/open").want(t, 200, "alice", bothSet)
	b.send(t, "GET", "/machines").want(t, 401, "INSUFFICIENT_ACCESS_TYPE", "")
}

func (r reply) hasNoToken(t testing.TB) {
	t.Helper()
	if strings.Contains(r.body, "srt1_") || strings.Contains(r.body, "eyJ") {
		t.Error("a token is in the body")
	}
}

func TestAuthenticateReadsCookiesAndWritesNone(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for _, c := range s.SignIn(t, "alice").Cookies(t) {
		r.AddCookie(c)
	}
	if id, err := s.Authenticate(r, sessions.Strict); err != nil || id.UserID != "alice" {
		t.Errorf("got %+v and error %v", id, err)
	}
	s.Clock.Advance(time.Hour)
	if id, err := s.Authenticate(r, sessions.Strict); !errors.Is(err, sessions.ErrExpired) || id != (sessions.Identity{}) {
		t.Errorf("expired: got %+v and error %v", id, err)
	}
	if n := s.Faults.Calls(sessionstest.MethodRefresh); n != 0 {
		t.Errorf("%d refreshes", n)
	}
}

// Optional in front of all routes and Require in front of some is one refresh.
func TestMiddlewaresInARowRefreshOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, need := range []sessions.Need{sessions.NeedNothing, sessions.NeedUser} {
			for _, dial := range []sessions.Revocation{sessions.Stateless, sessions.Strict} {
				ctx, err := s.Admit(w, r, need, dial)
				if err != nil {
					sessions.WriteError(w, r, err)
					return
				}
				r = r.WithContext(ctx)
			}
		}
		id, _ := sessions.FromContext(r.Context())
		_, _ = io.WriteString(w, id.UserID)
	})
	alice := s.SignIn(t, "alice")
	b := s.browse(t, alice)
	for n := range 3 {
		s.Clock.Advance(time.Hour)
		b.send(t, "GET", "/").want(t, 200, "alice", bothSet)
		if got := s.Faults.Calls(sessionstest.MethodRefresh); got != n+1 {
			t.Errorf("%d refreshes for %d requests", got, n+1)
		}
	}
	if _, err := s.End(t.Context(), alice.Grant.Session.ID, "", ""); err != nil {
		t.Fatal(err)
	}
	b.send(t, "GET", "/").want(t, 401, "REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED ended", bothCleared)
}

func TestUnderRefreshPathOnlyTheEndpointRefreshes(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *sessions.Config) { c.Cookies.RefreshPath = "/auth/sessions/current" })
	alice := s.SignIn(t, "alice")
	b := s.browse(t, alice)
	b.send(t, "GET", "/me").want(t, 200, "alice", "")

	s.Clock.Advance(10 * time.Minute)
	stale := cookies(accessCookie, alice.Grant.AccessToken.Reveal())
	b.send(t, "GET", "/me", stale).want(t, 401, "ACCESS_TOKEN_EXPIRED", "")
	b.send(t, "GET", "/me").want(t, 401, "ACCESS_TYPE_REQUIRED", "")
	b.send(t, "GET", "/open", stale).want(t, 200, "nobody", "")
	// Below the path, where the refresh cookie comes along, too.
	b.send(t, "GET", "/auth/sessions/current").want(t, 401, "ACCESS_TYPE_REQUIRED", "")
	if n := s.Faults.Calls(sessionstest.MethodRefresh); n != 0 {
		t.Errorf("%d refreshes", n)
	}
	got := b.send(t, "POST", "/auth/sessions/current/refresh")
	got.hasNoToken(t)
	if got.status != 200 || got.cookies != bothSet {
		t.Errorf("refresh: %d with cookies %q", got.status, got.cookies)
	}
	b.send(t, "GET", "/me").want(t, 200, "alice", "")
	s.Clock.Advance(10 * time.Minute)
	if got := b.send(t, "DELETE", "/auth/sessions/current"); got.status != 200 || len(b.jar) != 0 {
		t.Errorf("sign-out by the refresh cookie: %d, %d cookies left", got.status, len(b.jar))
	}
}

// hold makes a gate before the store's refreshes. It stays shut until open is called.
func (s *site) hold() (open func()) {
	gate := make(chan struct{})
	s.Faults.Before = func(ctx context.Context, c sessionstest.Call) error {
		if c.Method != sessionstest.MethodRefresh {
			return nil
		}
		select {
		case <-gate:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return sync.OnceFunc(func() { close(gate) })
}

func TestConcurrentRequestsShareOneRefresh(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // which also fails if a goroutine is left
		s := newSite(t)
		b := s.browse(t, s.SignIn(t, "alice"))
		s.Clock.Advance(time.Hour)
		open := s.hold()

		first, hangUp := context.WithCancel(t.Context())
		impatient, giveUp := context.WithCancel(t.Context())
		tabs := make([]*browser, 20)
		answers := make([]reply, len(tabs))
		var all sync.WaitGroup
		for i := range tabs {
			tabs[i] = b.fork()
			all.Go(func() {
				path := []string{"/me", "/open", "/auth/sessions?user_id=me"}[i%3]
				answers[i] = tabs[i].send(t, "GET", path, func(r *http.Request) {
					switch i {
					case 0:
						*r = *r.WithContext(first)
					case 1:
						*r = *r.WithContext(impatient)
					}
				})
			})
			synctest.Wait() // so the first tab is the one that refreshes
		}
		hangUp()
		giveUp()
		synctest.Wait()
		answers[1].want(t, 503, "TEMPORARILY_UNAVAILABLE", "")
		open()
		all.Wait()

		for i, got := range answers {
			if i != 1 && (got.status != 200 || got.cookies != bothSet) {
				t.Errorf("request %d: %d %s with cookies %q", i, got.status, got.code, got.cookies)
			}
			if i > 1 && (tabs[i].jar[refreshCookie].Value != tabs[0].jar[refreshCookie].Value || tabs[i].jar[accessCookie].Value != tabs[0].jar[accessCookie].Value) {
				t.Errorf("request %d got other cookies", i)
			}
		}
		if n := s.Faults.Calls(sessionstest.MethodRefresh); n != 1 {
			t.Errorf("%d refreshes reached the store, want 1", n)
		}
		tabs[0].send(t, "GET", "/me").want(t, 200, "alice", "")
		s.Clock.Advance(time.Hour)
		tabs[0].send(t, "GET", "/me").want(t, 200, "alice", bothSet)
	})
}

func TestRefreshesOfDifferentBrowsersDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		alice, bob := s.browse(t, s.SignIn(t, "alice")), s.browse(t, s.SignIn(t, "bob"))
		s.Clock.Advance(time.Hour)
		open := s.hold()
		var answers [2]reply
		var all sync.WaitGroup
		for i, b := range []*browser{alice, bob} {
			all.Go(func() { answers[i] = b.send(t, "GET", "/me") })
		}
		synctest.Wait()
		open()
		all.Wait()
		answers[0].want(t, 200, "alice", bothSet)
		answers[1].want(t, 200, "bob", bothSet)
	})
}

func TestAPanickingHookDoesNotHangTheOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var panics bool
		s := newSite(t, func(c *sessions.Config) {
			users := c.Users
			c.Users = func(ctx context.Context, id string) (sessions.User, error) {
				if panics {
					panics = false
					panic("a bug of the host")
				}
				return users(ctx, id)
			}
		})
		b := s.browse(t, s.SignIn(t, "alice"))
		s.Clock.Advance(time.Hour)
		open := s.hold()
		panics = true

		answers := make([]reply, 5)
		recovered := make([]any, len(answers))
		var all sync.WaitGroup
		for i := range answers {
			all.Go(func() {
				defer func() { recovered[i] = recover() }()
				answers[i] = b.fork().send(t, "GET", "/me")
			})
			synctest.Wait()
		}
		open()
		all.Wait()
		if recovered[0] != "a bug of the host" {
			t.Errorf("the panic came to %v", recovered)
		}
		for _, got := range answers[1:] {
			got.want(t, 503, "TEMPORARILY_UNAVAILABLE", "")
		}
		b.send(t, "GET", "/me").want(t, 200, "alice", bothSet)
	})
}

func TestTwoReplicasGiveTheSameSuccessor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		here := s.browse(t, s.SignIn(t, "alice"))
		s.Clock.Advance(time.Hour)
		there := here.fork()
		there.site = s.replica(t)
		open := s.hold()
		var answers [2]reply
		var all sync.WaitGroup
		for i, b := range []*browser{here, there} {
			all.Go(func() { answers[i] = b.send(t, "GET", "/me") })
		}
		synctest.Wait()
		if n := s.Faults.Calls(sessionstest.MethodRefresh); n != 2 {
			t.Fatalf("%d refreshes, want one of each replica", n)
		}
		open()
		all.Wait()
		answers[0].want(t, 200, "alice", bothSet)
		answers[1].want(t, 200, "alice", bothSet)
		if here.jar[refreshCookie].Value != there.jar[refreshCookie].Value {
			t.Error("two successors")
		}
		s.Clock.Advance(time.Hour)
		there.send(t, "GET", "/me").want(t, 200, "alice", bothSet)
	})
}

func TestALostAnswerSignsNobodyOut(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.browse(t, s.SignIn(t, "alice"))
	s.Clock.Advance(time.Hour)
	lost := b.fork()
	lost.send(t, "GET", "/me").want(t, 200, "alice", bothSet)
	s.TakeEvents()

	s.Clock.Advance(time.Second) // within the overlap
	again := b.fork()
	again.send(t, "GET", "/me").want(t, 200, "alice", bothSet)
	if again.jar[refreshCookie].Value != lost.jar[refreshCookie].Value {
		t.Error("within the overlap it is another successor")
	}
	s.Clock.Advance(time.Hour)
	b.send(t, "GET", "/me").want(t, 200, "alice", bothSet)
	b.send(t, "GET", "/me").want(t, 200, "alice", "")
	var types []sessions.EventType
	for _, e := range s.TakeEvents() {
		types = append(types, e.Type)
	}
	equalTypes(t, types, sessions.EventOverlap, sessions.EventRecovered)
}

func TestBadCookies(t *testing.T) {
	t.Parallel()
	const refused, unparsable = "REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED ", "malformed"
	type in struct {
		*site
		alice          *sessionstest.SignedIn
		access         string
		refresh        string
		actingA        string
		actingR        string
		foreign, other *sessionstest.SignedIn
	}
	end := func(t *testing.T, i in) {
		t.Helper()
		if _, err := i.replica(t).Store.End(t.Context(), sessions.EndParams{ID: i.alice.Grant.Session.ID, Now: i.Clock.Now(), Reason: sessions.EndRevoked}); err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range map[string]struct {
		configure func(*sessions.Config)
		// later is how much later the request comes; the default is an hour.
		later   time.Duration
		before  func(t *testing.T, i in)
		send    func(i in) []string
		status  int
		text    string
		cookies string
		// ends is why alice's session ends by it.
		ends sessions.EndReason
		// rotates: it is refused after the refresh.
		rotates bool
	}{
		"the access cookie twice":  {send: func(i in) []string { return []string{accessCookie, i.access, accessCookie, i.access} }, status: 400, text: "SCHEMA_ERROR"},
		"the refresh cookie twice": {send: func(i in) []string { return []string{refreshCookie, i.refresh, refreshCookie, "x"} }, status: 400, text: "SCHEMA_ERROR"},
		"the access cookie of an impersonation twice": {send: func(i in) []string {
			return []string{actingAccessCookie, i.actingA, actingAccessCookie, i.actingA}
		}, status: 400, text: "SCHEMA_ERROR"},
		"the refresh cookie of an impersonation twice": {send: func(i in) []string {
			return []string{actingRefreshCookie, i.actingR, actingRefreshCookie, "", accessCookie, i.access}
		}, status: 400, text: "SCHEMA_ERROR"},
		"empty values":              {send: func(in) []string { return []string{accessCookie, "", refreshCookie, ""} }, status: 401, text: "ACCESS_TYPE_REQUIRED"},
		"other cookies":             {send: func(i in) []string { return []string{"sessile_access", i.access, "__host-sessile_refresh", i.refresh} }, status: 401, text: "ACCESS_TYPE_REQUIRED"},
		"quoted values":             {later: time.Second, send: func(i in) []string { return []string{accessCookie, `"` + i.access + `"`} }, status: 200, text: "alice"},
		"a truncated access token":  {later: time.Second, send: func(i in) []string { return []string{accessCookie, i.access[:len(i.access)-1]} }, status: 401, text: refused + unparsable, cookies: bothCleared},
		"a truncated refresh token": {send: func(i in) []string { return []string{refreshCookie, i.refresh[:len(i.refresh)-1]} }, status: 401, text: refused + unparsable, cookies: bothCleared},
		"a long access token":       {later: time.Second, send: func(i in) []string { return []string{accessCookie, i.access + strings.Repeat("A", 4096)} }, status: 401, text: refused + unparsable, cookies: bothCleared},
		"a long refresh token":      {send: func(i in) []string { return []string{refreshCookie, i.refresh + strings.Repeat("A", 4096)} }, status: 401, text: refused + unparsable, cookies: bothCleared},
		"tokens of another secret": {later: time.Second, send: func(i in) []string {
			return []string{accessCookie, i.foreign.Grant.AccessToken.Reveal(), refreshCookie, i.foreign.Grant.RefreshToken.Reveal()}
		}, status: 401, text: refused + unparsable, cookies: bothCleared},
		"an access token of another issuer": {later: time.Second, send: func(i in) []string { return []string{accessCookie, i.other.Grant.AccessToken.Reveal()} }, status: 401, text: refused + unparsable, cookies: bothCleared},
		"a refresh token of another issuer": {send: func(i in) []string { return []string{refreshCookie, i.other.Grant.RefreshToken.Reveal()} }, status: 401, text: refused + "unknown", cookies: bothCleared},
		"swapped":                           {later: time.Second, send: func(i in) []string { return []string{accessCookie, i.refresh, refreshCookie, i.access} }, status: 401, text: refused + unparsable, cookies: bothCleared},
		"a session that has ended":          {before: end, send: func(i in) []string { return []string{refreshCookie, i.refresh} }, status: 401, text: refused + "ended", cookies: bothCleared, ends: sessions.EndRevoked},
		"a session that has expired":        {later: 400 * 24 * time.Hour, configure: func(c *sessions.Config) { c.IdleTimeout = sessions.NoIdleTimeout }, send: func(i in) []string { return []string{refreshCookie, i.refresh} }, status: 401, text: refused + "expired", cookies: bothCleared},
		"a session that was idle":           {later: 100 * 24 * time.Hour, send: func(i in) []string { return []string{refreshCookie, i.refresh} }, status: 401, text: refused + "idle", cookies: bothCleared},
		"a spent token": {before: func(t *testing.T, i in) {
			t.Helper()
			i.site.refresh(t, i.site.refresh(t, i.alice.Grant.RefreshToken).RefreshToken)
		}, send: func(i in) []string { return []string{refreshCookie, i.refresh} }, status: 401, text: refused + "replay", cookies: bothCleared, ends: sessions.EndReplay},
		"a user who is disabled": {before: func(_ *testing.T, i in) { i.SetUser(sessions.User{ID: "alice"}, sessions.ErrUserDisabled) }, send: func(i in) []string { return []string{refreshCookie, i.refresh} }, status: 401, text: refused + "user_disabled", rotates: true},
		// Nobody who acts as a user waits for the user to be enabled.
		"a user who is disabled, acted as": {later: time.Minute, before: func(_ *testing.T, i in) { i.SetUser(sessions.User{ID: "bob"}, sessions.ErrUserDisabled) }, send: func(i in) []string { return []string{actingRefreshCookie, i.actingR} }, status: 401, text: refused + "user_disabled", cookies: endOfActing, rotates: true},
		"a user who is gone":               {before: func(_ *testing.T, i in) { i.SetUser(sessions.User{ID: "alice"}, sessions.ErrUserNotFound) }, send: func(i in) []string { return []string{refreshCookie, i.refresh} }, status: 401, text: refused + "user_gone", cookies: bothCleared, ends: sessions.EndUserGone, rotates: true},
		"a user who cannot be told":        {before: func(_ *testing.T, i in) { i.SetUser(sessions.User{ID: "alice"}, errAway) }, send: func(i in) []string { return []string{refreshCookie, i.refresh} }, status: 503, text: "TEMPORARILY_UNAVAILABLE", rotates: true},
		// Somebody could be signed in unawares, or take an impersonation for himself.
		"the user's access token in the place of an impersonation's":  {later: time.Second, send: func(i in) []string { return []string{actingAccessCookie, i.access} }, status: 401, text: refused + unparsable, cookies: endOfActing},
		"the user's refresh token in the place of an impersonation's": {send: func(i in) []string { return []string{actingRefreshCookie, i.refresh} }, status: 401, text: refused + unparsable, cookies: endOfActing, rotates: true},
		"an impersonation's access token in the place of the user's":  {later: time.Second, send: func(i in) []string { return []string{accessCookie, i.actingA} }, status: 401, text: refused + unparsable, cookies: bothCleared},
		"an impersonation's refresh token in the place of the user's": {later: time.Minute, send: func(i in) []string { return []string{refreshCookie, i.actingR} }, status: 401, text: refused + unparsable, cookies: bothCleared, rotates: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var configure []func(*sessions.Config)
			if test.configure != nil {
				configure = append(configure, test.configure)
			}
			i := in{site: newSite(t, configure...)}
			i.alice = i.SignIn(t, "alice")
			i.access, i.refresh = i.alice.Grant.AccessToken.Reveal(), i.alice.Grant.RefreshToken.Reveal()
			acting := i.Impersonate(t, "carol", "bob").Grant
			i.actingA, i.actingR = acting.AccessToken.Reveal(), acting.RefreshToken.Reveal()
			i.foreign = newSite(t, func(c *sessions.Config) { c.Secrets = [][]byte{secret(7)} }).SignIn(t, "alice")
			i.other = newSite(t, func(c *sessions.Config) { c.Issuer = "https://other.example" }).SignIn(t, "alice")
			later := test.later
			if later == 0 {
				later = time.Hour
			}
			i.Clock.Advance(later)
			if test.before != nil {
				test.before(t, i)
			}
			rows := func() (rows [2]sessions.Session) {
				for n, id := range []string{i.alice.Grant.Session.ID, acting.Session.ID} {
					s, err := i.Store.Get(t.Context(), id)
					if err != nil {
						t.Fatal(err)
					}
					rows[n] = s
				}
				return rows
			}
			before := rows()
			i.browse(t).send(t, "GET", "/me", cookies(test.send(i)...)).want(t, test.status, test.text, test.cookies)
			after := rows()
			if after[0].EndReason != test.ends {
				t.Errorf("alice's session ended by %q, want %q", after[0].EndReason, test.ends)
			}
			if !test.rotates && test.ends == "" && after != before {
				t.Errorf("something changed: %+v, was %+v", after, before)
			}
			// Who may pass as nobody, may with dead cookies, too, and with no others.
			if test.status == 401 {
				if got := i.browse(t).send(t, "GET", "/open", cookies(test.send(i)...)); got.status != 200 || got.body != "nobody" {
					t.Errorf("on an optional route: %d %s", got.status, got.code)
				}
			}
		})
	}
}

func TestCookiesAreNotLookedAtWhereTheyAreOff(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	alice := s.SignIn(t, "alice")
	off := *s
	config := s.Config
	config.Cookies = sessions.Cookies{}
	off.Handler = routes(mustNew(t, config))
	before := s.Faults.Calls(sessionstest.MethodGet)
	for _, twice := range []bool{false, true} {
		b := s.browse(t, alice)
		b.site = &off
		var more []func(*http.Request)
		if twice {
			more = append(more, cookies(accessCookie, "x"))
		}
		b.send(t, "GET", "/me", more...).want(t, 401, "ACCESS_TYPE_REQUIRED", "")
		b.send(t, "GET", "/open", more...).want(t, 200, "nobody", "")
		b.send(t, "GET", "/auth/sessions/current", more...).want(t, 401, "ACCESS_TYPE_REQUIRED", "")
		b.send(t, "POST", "/auth/sessions/current/refresh", more...).want(t, 400, "SCHEMA_ERROR", "")
		b.send(t, "DELETE", "/auth/sessions/current", append(more, header("Sec-Fetch-Site", "cross-site"))...).want(t, 401, "ACCESS_TOKEN_EXPIRED", "")
	}
	if n := s.Faults.Calls(sessionstest.MethodGet); n != before || s.Faults.Calls(sessionstest.MethodRefresh)+s.Faults.Calls(sessionstest.MethodEnd) != 0 {
		t.Error("the store was asked")
	}
}

func TestHeadersWinOverCookies(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		headers func(bob *sessionstest.SignedIn) []string
		status  int
		text    string
	}{
		"Bearer": {func(bob *sessionstest.SignedIn) []string {
			return []string{"Authorization", "Bearer " + bob.Grant.AccessToken.Reveal()}
		}, 200, "bob"},
		"Bearer, malformed": {func(*sessionstest.SignedIn) []string { return []string{"Authorization", "Bearer x"} }, 401, "UNPARSABLE_ACCESS_TOKEN"},
		"Bearer, empty":     {func(*sessionstest.SignedIn) []string { return []string{"Authorization", "Bearer "} }, 401, "UNPARSABLE_ACCESS_TOKEN"},
		"Bearer, an unknown key": {func(*sessionstest.SignedIn) []string {
			return []string{"Authorization", "Bearer ssk_" + strings.Repeat("x", 43)}
		}, 401, "INVALID_SECRET_SERVER_KEY"},
		"an access type, and a token": {func(bob *sessionstest.SignedIn) []string {
			return []string{"X-Stack-Access-Type", "client", "X-Stack-Access-Token", bob.Grant.AccessToken.Reveal()}
		}, 200, "bob"},
		"an access type, no token": {func(*sessionstest.SignedIn) []string { return []string{"X-Stack-Access-Type", "client"} }, 400, "CANNOT_GET_OWN_USER_WITHOUT_USER"},
		"an access type, a bad token": {func(*sessionstest.SignedIn) []string {
			return []string{"X-Hexclave-Access-Type", "client", "X-Hexclave-Access-Token", "x"}
		}, 401, "UNPARSABLE_ACCESS_TOKEN"},
		"an access type, a bad one": {func(*sessionstest.SignedIn) []string { return []string{"X-Stack-Access-Type", "root"} }, 400, "INVALID_ACCESS_TYPE"},
		"a key without access type": {func(*sessionstest.SignedIn) []string { return []string{"X-Stack-Secret-Server-Key", "x"} }, 400, "PROJECT_KEY_WITHOUT_ACCESS_TYPE"},
		// These name nobody.
		"Basic":                  {func(*sessionstest.SignedIn) []string { return []string{"Authorization", "Basic eDp5"} }, 200, "alice"},
		"an empty Authorization": {func(*sessionstest.SignedIn) []string { return []string{"Authorization", ""} }, 200, "alice"},
		"a project alone":        {func(*sessionstest.SignedIn) []string { return []string{"X-Stack-Branch-Id", "main"} }, 200, "alice"},
		"a token without access type": {func(bob *sessionstest.SignedIn) []string {
			return []string{"X-Stack-Access-Token", bob.Grant.AccessToken.Reveal()}
		}, 200, "alice"},
		"a refresh token of the family": {func(bob *sessionstest.SignedIn) []string {
			return []string{"X-Stack-Refresh-Token", bob.Grant.RefreshToken.Reveal()}
		}, 200, "alice"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			alice, bob := s.SignIn(t, "alice"), s.SignIn(t, "bob")
			send := func(b *browser) reply {
				return b.send(t, "GET", "/me", func(r *http.Request) {
					pairs := test.headers(bob)
					for i := 0; i < len(pairs); i += 2 {
						r.Header.Set(pairs[i], pairs[i+1])
					}
					if r.Header.Get("X-Stack-Access-Type")+r.Header.Get("X-Hexclave-Access-Type") != "" {
						r.Header.Set("X-Stack-Project-Id", s.Config.ProjectID)
						r.Header.Set("X-Hexclave-Project-Id", s.Config.ProjectID)
					}
				})
			}
			send(s.browse(t, alice)).want(t, test.status, test.text, "")
			// Dead cookies beside a header that counts are left alone.
			if test.text != "alice" {
				dead := s.browse(t)
				dead.jar[refreshCookie] = &http.Cookie{Value: "x", Path: "/", Expires: s.Clock.Now().Add(time.Hour)}
				send(dead).want(t, test.status, test.text, "")
			}
		})
	}
	t.Run("Bearer, expired", func(t *testing.T) {
		t.Parallel()
		s := newSite(t)
		b, bob := s.browse(t, s.SignIn(t, "alice")), s.SignIn(t, "bob")
		s.Clock.Advance(time.Hour)
		bearer := header("Authorization", "Bearer "+bob.Grant.AccessToken.Reveal())
		b.send(t, "GET", "/me", bearer).want(t, 401, "ACCESS_TOKEN_EXPIRED", "")
		b.send(t, "GET", "/open", bearer).want(t, 401, "ACCESS_TOKEN_EXPIRED", "")
	})
}

// origins are where a request can come from.
var origins = map[string]struct {
	headers []string
	foreign bool
}{
	"cross-site":                         {[]string{"Sec-Fetch-Site", "cross-site"}, true},
	"same-site":                          {[]string{"Sec-Fetch-Site", "same-site"}, true},
	"same-site, whatever Origin says":    {[]string{"Sec-Fetch-Site", "same-site", "Origin", "https://app.example"}, true},
	"none, as from the address bar":      {[]string{"Sec-Fetch-Site", "none"}, false},
	"same-origin":                        {[]string{"Sec-Fetch-Site", "same-origin", "Origin", "https://app.example"}, false},
	"an old browser, another origin":     {[]string{"Origin", "https://evil.example"}, true},
	"an old browser, another port":       {[]string{"Origin", "https://app.example:8443"}, true},
	"an old browser, a longer host":      {[]string{"Origin", "https://app.example.evil.example"}, true},
	"an old browser, the origin null":    {[]string{"Origin", "null"}, true},
	"an old browser, the same origin":    {[]string{"Origin", "https://app.example"}, false},
	"no browser, or one that says where": {nil, false},
}

func TestAnotherOriginCannotActByCookie(t *testing.T) {
	t.Parallel()
	for name, origin := range origins {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			alice := s.SignIn(t, "alice")
			from := func(r *http.Request) {
				for i := 0; i < len(origin.headers); i += 2 {
					r.Header.Set(origin.headers[i], origin.headers[i+1])
				}
			}
			fresh, b := s.browse(t, alice), s.browse(t, alice)
			for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "PROPFIND"} {
				for _, path := range []string{"/me", "/open"} {
					want := func(got reply) {
						t.Helper()
						if origin.foreign {
							got.want(t, 403, "FORBIDDEN cross_origin", "")
						} else {
							got.want(t, 200, "alice", "")
						}
					}
					want(fresh.send(t, method, path, from))
				}
				// Only cookies are sent by a browser on its own.
				fresh.send(t, method, "/me", from, header("Authorization", "Bearer "+alice.Grant.AccessToken.Reveal())).want(t, 200, "alice", "")
				s.browse(t).send(t, method, "/open", from).want(t, 200, "nobody", "")
			}
			for _, method := range []string{"GET", "HEAD", "OPTIONS"} {
				fresh.send(t, method, "/me", from).want(t, 200, "alice", "")
			}
			s.Clock.Advance(time.Hour)
			row := func() sessions.Session {
				row, err := s.Get(t.Context(), alice.Grant.Session.ID)
				if err != nil {
					t.Fatal(err)
				}
				return row
			}
			before := row()
			if origin.foreign {
				b.send(t, "POST", "/me", from).want(t, 403, "FORBIDDEN cross_origin", "")
				s.browse(t).send(t, "POST", "/me", from, cookies(refreshCookie, "dead")).want(t, 403, "FORBIDDEN cross_origin", "")
				if row() != before || s.Faults.Calls(sessionstest.MethodRefresh) != 0 {
					t.Error("the session was refreshed")
				}
			} else {
				b.send(t, "POST", "/me", from).want(t, 200, "alice", bothSet)
			}
		})
	}
}

func TestAnImpersonationCountsWhileItsCookiesAreThere(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.browse(t, s.SignIn(t, "alice"), s.Impersonate(t, "alice", "bob"))
	b.send(t, "GET", "/me").want(t, 200, "alice as bob", "")
	s.Clock.Advance(10 * time.Minute)
	b.send(t, "GET", "/me").want(t, 200, "alice as bob", bothSet+" +acting_access +acting_refresh")
	w := httptest.NewRecorder()
	s.ClearImpersonationCookies(w)
	b.take(w.Result())
	b.send(t, "GET", "/me").want(t, 200, "alice", "")
}

// Whoever acts for longer than a session may be idle is still signed in afterwards.
func TestActingKeepsTheUsersOwnSession(t *testing.T) {
	t.Parallel()
	for name, path := range map[string]string{"on the way through": "", "by the page": "/auth/sessions/current"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, func(c *sessions.Config) { c.IdleTimeout, c.Cookies.RefreshPath = 20*time.Minute, path })
			alice := s.SignIn(t, "alice")
			b := s.browse(t, alice, s.Impersonate(t, "alice", "bob"))
			step := func(want string) {
				t.Helper()
				if path == "" {
					b.send(t, "POST", "/me").want(t, 200, "alice as bob", want)
				} else if got := b.send(t, "POST", "/auth/sessions/current/refresh"); got.status != 200 || got.cookies != want {
					t.Fatalf("%d with cookies %q, want %q", got.status, got.cookies, want)
				}
			}
			const acting = "+acting_access +acting_refresh"
			for range 4 { // for 40 minutes
				s.Clock.Advance(10 * time.Minute)
				before := s.Faults.Calls(sessionstest.MethodRefresh)
				step(bothSet + " " + acting)
				if n := s.Faults.Calls(sessionstest.MethodRefresh) - before; n != 2 {
					t.Errorf("%d refreshes", n)
				}
				if path == "" {
					step("") // nothing has run out
				} else {
					step(acting)
				}
			}
			if got := b.send(t, "DELETE", "/auth/sessions/current"); got.status != 200 || got.cookies != "-acting_access -acting_refresh" {
				t.Errorf("%d with cookies %q", got.status, got.cookies)
			}
			b.send(t, "GET", "/me").want(t, 200, "alice", "")
			if row, err := s.Get(t.Context(), alice.Grant.Session.ID); err != nil || !row.EndedAt.IsZero() {
				t.Errorf("%+v, %v", row, err)
			}
		})
	}
}

// The user's own tokens run out alone: nothing is done to the impersonation's.
func TestActingRefreshesOnlyWhatHasRunOut(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.browse(t, s.SignIn(t, "alice"))
	s.Clock.Advance(9 * time.Minute)
	w := httptest.NewRecorder()
	if err := s.SetCookies(w, s.Impersonate(t, "alice", "bob").Grant); err != nil {
		t.Fatal(err)
	}
	b.take(w.Result())
	b.send(t, "GET", "/me").want(t, 200, "alice as bob", "")
	s.Clock.Advance(time.Minute)
	late := b.fork()
	b.send(t, "GET", "/open").want(t, 200, "alice as bob", bothSet)
	late.send(t, "GET", "/me").want(t, 200, "alice as bob", bothSet) // another of the same page
	b.send(t, "GET", "/me").want(t, 200, "alice as bob", "")
	// A request of another origin refreshes nothing.
	s.Clock.Advance(10 * time.Minute)
	b.send(t, "POST", "/me", header("Sec-Fetch-Site", "cross-site")).want(t, 403, "FORBIDDEN cross_origin", "")
	// Nor does a planted pair, which the user's own next request is refused for.
	twice := b.fork()
	twice.send(t, "GET", "/me", cookies(refreshCookie, "x")).want(t, 200, "alice as bob", "+acting_access +acting_refresh")
}

// A dead session of the user's own is cleared. The request is still done as the
// impersonation, or, if that depends on it, not at all; never as somebody else.
func TestActingFromASessionThatIsOver(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		asked bool // by the user, and not by a key
		fresh bool // the impersonation's access token
		want  string
		open  string
		did   string
	}{
		"it does not depend on it":                 {false, true, "alice as bob", "alice as bob", "-access -refresh"},
		"the same, and is refreshed":               {false, false, "alice as bob", "alice as bob", "-access -refresh +acting_access +acting_refresh"},
		"it depends on it":                         {true, true, "REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED", "nobody", "-access -refresh -acting_access -acting_refresh"},
		"it depends on it, and would be refreshed": {true, false, "REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED", "nobody", "-access -refresh -acting_access -acting_refresh"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, func(c *sessions.Config) {
				c.MayImpersonate = func(context.Context, sessions.Identity, sessions.User) error { return nil }
			})
			alice := s.SignIn(t, "alice")
			act := func() sessions.Grant {
				if !test.asked {
					return s.Impersonate(t, "alice", "bob").Grant
				}
				grant, err := s.Manager.Impersonate(t.Context(), alice.Identity(t), sessions.CreateParams{UserID: "bob"})
				if err != nil {
					t.Fatal(err)
				}
				return grant
			}
			if test.fresh {
				s.Clock.Advance(9 * time.Minute)
			}
			grant := act()
			b := s.browse(t, alice)
			w := httptest.NewRecorder()
			if err := s.SetCookies(w, grant); err != nil {
				t.Fatal(err)
			}
			b.take(w.Result())
			// Another process ends the user's own session.
			if _, err := s.WithStore(s.Faults).End(t.Context(), alice.Grant.Session.ID, "", ""); err != nil {
				t.Fatal(err)
			}
			if s.Clock.Advance(5 * time.Minute); !test.fresh {
				s.Clock.Advance(5 * time.Minute)
			}
			delete(b.jar, accessCookie) // as browsers do when it has run out
			open := b.fork()
			if got := b.send(t, "POST", "/me"); got.cookies != test.did || got.body != test.want && got.code != test.want {
				t.Errorf("%d %q with cookies %q, want %q with %q", got.status, got.body, got.cookies, test.want, test.did)
			}
			if got := open.send(t, "POST", "/open"); got.body != test.open {
				t.Errorf("an optional route: %d %q", got.status, got.body)
			}
		})
	}
}

// One middleware inside another says what the outer one has said: a dead pair that it has
// cleared is not good again because its access token is.
func TestMiddlewaresInARowAgreeOnADeadImpersonation(t *testing.T) {
	t.Parallel()
	for name, needs := range map[string][]sessions.Need{
		"Require inside Optional":  {sessions.NeedNothing, sessions.NeedUser},
		"Optional inside Require":  {sessions.NeedUser, sessions.NeedNothing},
		"Optional inside Optional": {sessions.NeedNothing, sessions.NeedNothing},
	} {
		for _, depends := range []bool{true, false} {
			t.Run(fmt.Sprint(name, ", it depends on the user's session: ", depends), func(t *testing.T) {
				t.Parallel()
				s := newSite(t, func(c *sessions.Config) {
					c.MayImpersonate = func(context.Context, sessions.Identity, sessions.User) error { return nil }
				})
				s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					for _, need := range needs {
						ctx, err := s.Admit(w, r, need, sessions.Stateless)
						if err != nil {
							sessions.WriteError(w, r, err)
							return
						}
						r = r.WithContext(ctx)
					}
					id, _ := sessions.FromContext(r.Context())
					_, _ = io.WriteString(w, id.Actor+" as "+id.UserID)
				})
				alice := s.SignIn(t, "alice")
				s.Clock.Advance(6 * time.Minute)
				grant := s.Impersonate(t, "alice", "bob").Grant
				if depends {
					var err error
					if grant, err = s.Manager.Impersonate(t.Context(), alice.Identity(t), sessions.CreateParams{UserID: "bob"}); err != nil {
						t.Fatal(err)
					}
				}
				b := s.browse(t, alice)
				w := httptest.NewRecorder()
				if err := s.SetCookies(w, grant); err != nil {
					t.Fatal(err)
				}
				b.take(w.Result())
				// Another process ends the user's own session, and its access token runs out.
				if _, err := s.WithStore(s.Faults).End(t.Context(), alice.Grant.Session.ID, "", ""); err != nil {
					t.Fatal(err)
				}
				s.Clock.Advance(5 * time.Minute)
				switch {
				case !depends:
					b.send(t, "POST", "/").want(t, 200, "alice as bob", bothCleared)
				case slices.Contains(needs, sessions.NeedUser):
					b.send(t, "POST", "/").want(t, 401, "REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED ended", bothCleared+" "+endOfActing)
				default:
					b.send(t, "POST", "/").want(t, 200, " as ", bothCleared+" "+endOfActing)
				}
			})
		}
	}
}

// That the user's own session cannot be refreshed now is no reason to refuse what the
// impersonation may do.
func TestActingWhileTheUsersOwnCannotBeRefreshed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	alice := s.SignIn(t, "alice")
	s.Clock.Advance(9 * time.Minute)
	b := s.browse(t, alice, s.Impersonate(t, "alice", "bob"))
	delete(b.jar, accessCookie)
	s.Clock.Advance(5 * time.Minute)
	s.Faults.Before = sessionstest.FailAt(sessionstest.MethodRefresh, 0, errAway)
	for range 2 {
		b.send(t, "POST", "/me").want(t, 200, "alice as bob", "")
	}
	s.SetUser(sessions.User{ID: "alice"}, sessions.ErrUserDisabled) // whose session is kept
	s.Faults.Before = nil
	b.send(t, "POST", "/me").want(t, 200, "alice as bob", "")
	s.SetUser(sessions.User{ID: "alice"}, nil)
	b.send(t, "POST", "/me").want(t, 200, "alice as bob", bothSet)
}

// The next request is the user's own; this one was meant for another.
func TestARequestOfADeadImpersonationIsNeverTheUsersOwn(t *testing.T) {
	t.Parallel()
	for name, die := range map[string]func(t *testing.T, s *site, acting *sessionstest.SignedIn){
		"it has expired":        func(_ *testing.T, s *site, _ *sessionstest.SignedIn) { s.Clock.Advance(time.Hour) },
		"it expired a week ago": func(_ *testing.T, s *site, _ *sessionstest.SignedIn) { s.Clock.Advance(7 * 24 * time.Hour) },
		"it is in its last 30 s": func(_ *testing.T, s *site, acting *sessionstest.SignedIn) {
			s.Clock.Advance(45 * time.Minute)
			s.refresh(t, acting.Grant.RefreshToken)
			s.Clock.Set(acting.Grant.Session.ExpiresAt.Add(-time.Second))
		},
		"it was ended": func(t *testing.T, s *site, acting *sessionstest.SignedIn) {
			t.Helper()
			if _, err := s.End(t.Context(), acting.Grant.Session.ID, sessions.EndRevoked, ""); err != nil {
				t.Fatal(err)
			}
		},
		"it was pruned": func(t *testing.T, s *site, acting *sessionstest.SignedIn) {
			t.Helper()
			s.Clock.Advance(40 * 24 * time.Hour)
			if _, err := s.Prune(t.Context()); err != nil {
				t.Fatal(err)
			}
		},
	} {
		for _, mode := range []string{"", "/auth/sessions/current"} {
			t.Run(name+", refresh path "+mode, func(t *testing.T) {
				t.Parallel()
				s := newSite(t, func(c *sessions.Config) { c.Cookies.RefreshPath = mode })
				own, acting := s.SignIn(t, "alice"), s.Impersonate(t, "alice", "bob")
				b := s.browse(t, own, acting)
				die(t, s, acting)
				// The user's own cookies are good all the time.
				own.Grant = s.refresh(t, own.Grant.RefreshToken)
				for _, c := range own.Cookies(t) {
					c.Expires = s.Clock.Now().Add(time.Duration(c.MaxAge) * time.Second)
					b.jar[c.Name] = c
				}
				open := b.fork()
				cleared := endOfActing
				if mode != "" {
					cleared = "" // the middleware has not seen whether it can be refreshed
				}
				if got := b.send(t, "POST", "/me"); got.status != 401 || got.cookies != cleared {
					t.Errorf("%d %q with cookies %q", got.status, got.body, got.cookies)
				}
				if got := open.send(t, "GET", "/open"); got.body != "nobody" || got.cookies != cleared {
					t.Errorf("an optional route: %d %q with cookies %q", got.status, got.body, got.cookies)
				}
				if mode != "" {
					if got := b.send(t, "POST", "/auth/sessions/current/refresh"); got.status != 401 || got.cookies != endOfActing {
						t.Errorf("refresh: %d with cookies %q", got.status, got.cookies)
					}
				}
				b.send(t, "POST", "/me").want(t, 200, "alice", "")
			})
		}
	}
}

func TestWhatCannotBeToldClearsNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.browse(t, s.SignIn(t, "alice"), s.Impersonate(t, "alice", "bob"))
	s.Clock.Advance(10 * time.Minute)
	for _, m := range []sessionstest.Method{sessionstest.MethodRefresh, sessionstest.MethodGet} {
		s.Faults.Before = sessionstest.FailAt(m, 0, errAway)
		set := ""
		if m == sessionstest.MethodGet { // why it is refused
			s.Clock.Advance(time.Hour)
			set = bothSet // the user's own, which had run out, too
		}
		b.send(t, "GET", "/me").want(t, 503, "TEMPORARILY_UNAVAILABLE", set)
		b.send(t, "GET", "/open").want(t, 503, "TEMPORARILY_UNAVAILABLE", "")
	}
	s.Faults.Before = nil
	b.send(t, "GET", "/me").want(t, 401, "REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED expired", endOfActing)
	b.send(t, "GET", "/me").want(t, 200, "alice", "")
}

// A good access token that could not be looked up is no reason to refresh.
func TestALookupThatFailsRefreshesNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.browse(t, s.SignIn(t, "alice"))
	s.Faults.Before = sessionstest.FailAt(sessionstest.MethodGet, 0, errAway)
	b.send(t, "GET", "/auth/sessions/current").want(t, 503, "TEMPORARILY_UNAVAILABLE", "")
	if n := s.Faults.Calls(sessionstest.MethodRefresh); n != 0 {
		t.Errorf("%d refreshes", n)
	}
}

// A request that was on its way when the user authenticated again is answered after
// the new cookies are set.
func TestAReplacedSessionDoesNotClearTheCookiesOfTheNextOne(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	alice := s.SignIn(t, "alice")
	b := s.browse(t, alice)
	late := b.fork()
	grant, err := s.Reauthenticate(t.Context(), alice.Grant.Session.ID)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	if err := s.SetCookies(w, grant); err != nil {
		t.Fatal(err)
	}
	b.take(w.Result())
	late.send(t, "GET", "/me").want(t, 401, "REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED ended", "")
	late.send(t, "GET", "/open").want(t, 200, "nobody", "")
	b.send(t, "GET", "/me").want(t, 200, "alice", "")
}

func TestABrowserOverHTTP2(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	mux := http.NewServeMux()
	mux.Handle("/", s.Handler)
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		grant, err := s.Create(r.Context(), sessions.CreateParams{UserID: "alice"})
		if err == nil {
			err = s.SetCookies(w, grant)
		}
		if err != nil {
			sessions.WriteError(w, r, err)
		}
	})
	server := httptest.NewUnstartedServer(mux)
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := server.Client()
	client.Jar = jar
	send := func(method, path string) reply {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		if err != nil || answer.ProtoMajor != 2 {
			t.Fatalf("%s, error %v", answer.Proto, err)
		}
		return newReply(answer, string(body))
	}
	send("GET", "/me").want(t, 401, "ACCESS_TYPE_REQUIRED", "")
	send("POST", "/login").want(t, 200, "", bothSet+" "+endOfActing)
	send("GET", "/me").want(t, 200, "alice", "")
	s.Clock.Advance(time.Hour)
	send("GET", "/me").want(t, 200, "alice", bothSet)
	send("DELETE", "/auth/sessions/current").want(t, 200, `{"success":true}`, bothCleared)
	address, _ := url.Parse(server.URL)
	if left := jar.Cookies(address); len(left) != 0 {
		t.Errorf("%d cookies are left", len(left))
	}
}

// A neighbouring host cannot set a cookie whose name begins with __Host-, but one whose
// name begins with a space that is none of ASCII it can. Servers that trim those take it
// for ours.
func TestACookieNameHasNoOtherSpaceAroundIt(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	access := s.SignIn(t, "alice").Grant.AccessToken.Reveal()
	for _, space := range []string{"", " ", "\t"} {
		if got := s.browse(t).send(t, "GET", "/me", header("Cookie", space+accessCookie+"="+access)); got.status != 200 {
			t.Errorf("%q before the name: %d %s", space, got.status, got.body)
		}
	}
	for _, space := range []string{"\u2000", "\u00a0", "\u0085", "\u3000", "\v", "\f", "\r", "\n", "\x00", "\u200b", "\xa0", "$", "x "} {
		for _, line := range []string{space + accessCookie + "=" + access, "a=b; " + space + accessCookie + "=" + access, accessCookie + space + "=" + access} {
			if got := s.browse(t).send(t, "GET", "/me", header("Cookie", line)); got.status != 401 {
				t.Errorf("%.40q: %d %s", line, got.status, got.body)
			}
		}
	}
}

func FuzzCookies(f *testing.F) {
	s := newSite(f)
	alice := s.SignIn(f, "alice")
	access, refresh := alice.Grant.AccessToken.Reveal(), alice.Grant.RefreshToken.Reveal()
	if _, err := s.End(f.Context(), alice.Grant.Session.ID, "", ""); err != nil { // or the fuzzer may well find good ones
		f.Fatal(err)
	}
	for _, seed := range []string{
		"", ";", "=", accessCookie, accessCookie + "=", accessCookie + "=x", "x=" + access, " " + accessCookie + " =" + access + "x",
		accessCookie + "=" + access[:len(access)-1], refreshCookie + "=" + refresh[:len(refresh)-1], accessCookie + "=" + refresh + "; " + refreshCookie + "=" + access,
		actingRefreshCookie + `="` + refresh + "\"", accessCookie + "=a;" + accessCookie + "=b", accessCookie + "=" + access + "," + access, "\u2000" + accessCookie + "=" + access,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		for method, change := range map[string]func(*http.Request){"GET": header("Cookie", line), "POST": header("Cookie", line, line)} {
			got := s.browse(t).send(t, method, "/me", change)
			if got.status != 400 && got.status != 401 || strings.Contains(got.cookies, "+") {
				t.Errorf("%s %q: %d %s%s, cookies %q", method, line, got.status, got.code, got.body, got.cookies)
			}
		}
	})
}

// The answer of a request that took its time must not put the cookies of a dead
// session over those that the browser has got meanwhile.
func TestASessionThatEndsWhileItIsRefreshedSetsNoCookies(t *testing.T) {
	t.Parallel()
	for name, die := range map[string]func(t *testing.T, s *site, b *browser, id string){
		"ended": func(t *testing.T, s *site, _ *browser, id string) {
			t.Helper()
			if _, err := s.End(t.Context(), id, "", ""); err != nil {
				t.Error(err)
			}
		},
		"replaced": func(t *testing.T, s *site, b *browser, id string) {
			t.Helper()
			replace(t, s.Manager, b, id)
		},
		"replaced by another replica": func(t *testing.T, s *site, b *browser, id string) {
			t.Helper()
			replace(t, mustNew(t, s.Config), b, id)
		},
	} {
		for path, want := range map[string]reply{
			"/me":                            {status: 401, code: "REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED ended"},
			"/open":                          {status: 200, body: "nobody"},
			"/auth/sessions/current/refresh": {status: 401, code: "REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED ended"},
		} {
			t.Run(name+path, func(t *testing.T) {
				t.Parallel()
				var during func()
				s := newSite(t, func(c *sessions.Config) {
					lookup := c.Users
					c.Users = func(ctx context.Context, id string) (sessions.User, error) {
						if f := during; f != nil { // the refresh is committed, and not answered
							during = nil
							f()
						}
						return lookup(ctx, id)
					}
				})
				alice := s.SignIn(t, "alice")
				b := s.browse(t, alice)
				s.Clock.Advance(time.Hour)
				during = func() { die(t, s, b, alice.Grant.Session.ID) }
				method := "GET"
				if strings.HasSuffix(path, "/refresh") {
					method = "POST"
				}
				b.send(t, method, path).want(t, want.status, want.body+want.code, "")
				if name != "ended" {
					b.send(t, "GET", "/me").want(t, 200, "alice", "")
				}
			})
		}
	}
}

// replace is step-up by m, whose answer reaches the browser at once.
func replace(t *testing.T, m *sessions.Manager, b *browser, id string) {
	t.Helper()
	grant, err := m.Reauthenticate(t.Context(), id)
	if err != nil {
		t.Error(err)
		return
	}
	w := httptest.NewRecorder()
	if err := m.SetCookies(w, grant); err != nil {
		t.Error(err)
	}
	b.take(w.Result())
}

// A refresh may take longer than an access token lives: the next request goes on
// with the tokens of this one.
func TestASlowRefreshIsNotLost(t *testing.T) {
	t.Parallel()
	var slow time.Duration
	var s *site
	s = newSite(t, func(c *sessions.Config) {
		lookup := c.Users
		c.AccessTokenTTL, c.Rotation.MaxRecoveries = 10*time.Second, sessions.NoRecovery
		c.Users = func(ctx context.Context, id string) (sessions.User, error) {
			if slow > 0 {
				s.Clock.Advance(slow)
			}
			return lookup(ctx, id)
		}
	})
	b := s.browse(t, s.SignIn(t, "alice"))
	s.Clock.Advance(time.Hour)
	slow = 11 * time.Second
	b.send(t, "GET", "/me").want(t, 401, "ACCESS_TOKEN_EXPIRED", bothSet)
	slow = 0
	b.send(t, "GET", "/me").want(t, 200, "alice", bothSet)
}

// What reads why a session ended may fail, which is no proof that it ended for good.
func TestAReplacementThatCannotBeToldClearsNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	alice := s.SignIn(t, "alice")
	b := s.browse(t, alice)
	if _, err := s.Reauthenticate(t.Context(), alice.Grant.Session.ID); err != nil {
		t.Fatal(err)
	}
	s.Faults.Before = sessionstest.FailAt(sessionstest.MethodGet, 0, errAway)
	b.send(t, "GET", "/me").want(t, 503, "TEMPORARILY_UNAVAILABLE", "")
}

// Its refresh cookie is gone, by eviction perhaps, and it hides the user's own session.
func TestAnImpersonationThatCannotRefreshGivesWayUnderRefreshPath(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *sessions.Config) { c.Cookies.RefreshPath = "/auth/sessions/current" })
	b := s.browse(t, s.SignIn(t, "alice"), s.Impersonate(t, "alice", "bob"))
	delete(b.jar, "__Secure-sessile_acting_refresh")
	s.Clock.Advance(time.Hour)
	b.send(t, "GET", "/me").want(t, 401, "ACCESS_TOKEN_EXPIRED", "")
	b.send(t, "POST", "/auth/sessions/current/refresh").want(t, 401, "REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED malformed", endOfActing)
	b.send(t, "POST", "/auth/sessions/current/refresh")
	b.send(t, "GET", "/me").want(t, 200, "alice", "")
}

// Bearer wins, which at this endpoint means that there is no refresh token.
func TestTheRefreshEndpointReadsNoCookiesBesideABearer(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.browse(t, s.SignIn(t, "bob"))
	for _, authorization := range []string{s.SignIn(t, "alice").Header().Get("Authorization"), "Bearer junk"} {
		b.send(t, "POST", "/auth/sessions/current/refresh", header("Authorization", authorization)).want(t, 400, "SCHEMA_ERROR", "")
	}
	if n := s.Faults.Calls(sessionstest.MethodRefresh); n != 0 {
		t.Errorf("%d refreshes", n)
	}
	b.send(t, "POST", "/auth/sessions/current/refresh", header("Authorization", "Basic dXNlcjpwYXNz"))
	if n := s.Faults.Calls(sessionstest.MethodRefresh); n != 1 {
		t.Errorf("%d refreshes beside a password of the staging site", n)
	}
}

// A cache must not give one user's page to the next, whatever the handler forgets.
func TestAnswersByCookieVary(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	alice := s.SignIn(t, "alice")
	b := s.browse(t, alice)
	files := http.FileServerFS(fstest.MapFS{"page": {Data: []byte("page")}})
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for range 2 { // in a row
			if _, err := s.Admit(w, r, sessions.NeedNothing, sessions.Stateless); err != nil {
				sessions.WriteError(w, r, err)
				return
			}
		}
		files.ServeHTTP(w, r)
	})
	check := func(what string, got reply, vary, cache string) {
		t.Helper()
		if v, c := strings.Join(got.header.Values("Vary"), " "), got.header.Get("Cache-Control"); v != vary || c != cache {
			t.Errorf("%s: Vary %q, Cache-Control %q; want %q and %q", what, v, c, vary, cache)
		}
	}
	check("a page", b.send(t, "GET", "/page"), "Cookie", "private")
	check("nobody's page", s.browse(t).send(t, "GET", "/page"), "Cookie", "")
	check("a page with a token", s.browse(t).send(t, "GET", "/page", header("Authorization", alice.Header().Get("Authorization"))), "Cookie", "")
	// No cache knows that these are credentials.
	check("a page for the SDK", s.browse(t).send(t, "GET", "/page", header("X-Stack-Access-Type", "client"),
		header("X-Stack-Project-Id", s.Config.ProjectID), header("X-Stack-Access-Token", alice.Grant.AccessToken.Reveal())), "Cookie", "private")
	s.Clock.Advance(time.Hour)
	// FileServer takes Cache-Control away from its errors.
	check("a refresh at a page that is missing", b.send(t, "GET", "/missing"), "Cookie", "")
}

func TestSignOutBrowserClearsWhateverComesOfIt(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		before  func(t *testing.T, s *site, id string)
		want    error
		cookies string
	}{
		"live":              {func(*testing.T, *site, string) {}, nil, bothCleared},
		"the token ran out": {func(_ *testing.T, s *site, _ string) { s.Clock.Advance(time.Hour) }, nil, bothCleared},
		"a user who is disabled": {func(_ *testing.T, s *site, _ string) {
			s.Clock.Advance(time.Hour)
			s.SetUser(sessions.User{ID: "alice"}, sessions.ErrUserDisabled)
		}, nil, bothCleared},
		"long gone": {func(t *testing.T, s *site, id string) {
			t.Helper()
			if _, err := s.End(t.Context(), id, "", ""); err != nil {
				t.Fatal(err)
			}
			s.Clock.Advance(time.Hour)
		}, sessions.ErrNotFound, bothCleared},
		"no database": {func(_ *testing.T, s *site, _ string) {
			s.Faults.Before = func(context.Context, sessionstest.Call) error { return errAway }
		}, sessions.ErrUnavailable, bothCleared},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			alice := s.SignIn(t, "alice")
			b := s.browse(t, alice)
			test.before(t, s, alice.Grant.Session.ID)
			s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				ended, err := s.SignOutBrowser(w, r)
				if !errors.Is(err, test.want) || err == nil && (ended.ID != alice.Grant.Session.ID || ended.EndReason != sessions.EndSignedOut) {
					t.Errorf("%+v, %v; want error %v", ended, err, test.want)
				}
			})
			b.send(t, "POST", "/sign-out").want(t, 200, "", test.cookies)
		})
	}
	off := sessionstest.New(t)
	if _, err := off.SignOutBrowser(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/", nil)); err == nil {
		t.Error("there was a sign-out without cookie mode")
	}
}

func TestInsecureCookieSaysSo(t *testing.T) {
	t.Parallel()
	for _, insecure := range []bool{true, false} {
		var log bytes.Buffer
		newSite(t, func(c *sessions.Config) {
			c.Cookies.InsecureCookie, c.Logger = insecure, slog.New(slog.NewTextHandler(&log, nil))
		})
		if said := strings.Contains(log.String(), "InsecureCookie"); said != insecure {
			t.Errorf("InsecureCookie is %t, and the log: %q", insecure, &log)
		}
	}
}
