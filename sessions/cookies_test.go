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
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
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

// site is a host in cookie mode: routes after the middleware, and the endpoints.
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
	for path, need := range map[string]sessions.Need{
		"/me": sessions.NeedUser, "/open": sessions.NeedNothing, "/machines": sessions.NeedServer,
	} {
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
			[2]string{
				"__Host-sessile_acting_access=%s; Path=/",
				"__Secure-sessile_acting_refresh=%s; Path=/auth/sessions/current",
			},
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
			// The cookies of an impersonation outlast its tokens: if the browser dropped
			// them by itself, the next request would be the user's own.
			acting := s.Impersonate(t, "alice", "bob").Grant
			wantLines(set(acting),
				line(test.acting[0], acting.AccessToken.Reveal(), 365*24*3600),
				line(test.acting[1], acting.RefreshToken.Reveal(), 365*24*3600))
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
		{sessions.Cookies{
			Enabled: true, Name: strings.Repeat("a", 32), RefreshPath: "/a/b%20c", InsecureCookie: true,
		}, nil},
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
			if _, err := s.End(t.Context(), sessions.EndParams{ID: id}); err != nil {
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
				if !errors.Is(err, test.want) || err == nil && (ended.ID != alice.Grant.Session.ID ||
					ended.EndReason != sessions.EndSignedOut) {
					t.Errorf("%+v, %v; want error %v", ended, err, test.want)
				}
			})
			b.send(t, "POST", "/sign-out").want(t, 200, "", test.cookies)
		})
	}
	off := sessionstest.New(t)
	if _, err := off.SignOutBrowser(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/",
		nil)); err == nil {
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
