package main

import (
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"gorm.io/gorm"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
	"github.com/sessile-go/sessile/store"
)

// browser keeps cookies and posts forms as a browser does.
type browser struct {
	base, agent string
	http        *http.Client
	jar         *loopbackJar
}

// loopbackJar takes this machine for trustworthy, as Chromium and Firefox do: they
// keep Secure cookies that come over plain http from there.
type loopbackJar struct{ *cookiejar.Jar }

func overTLS(u *url.URL) *url.URL { return &url.URL{Scheme: "https", Host: u.Host, Path: u.Path} }

func (j *loopbackJar) SetCookies(u *url.URL, cookies []*http.Cookie) {
	j.Jar.SetCookies(overTLS(u), cookies)
}
func (j *loopbackJar) Cookies(u *url.URL) []*http.Cookie { return j.Jar.Cookies(overTLS(u)) }

func newBrowser(t *testing.T, base, agent string) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &browser{base: base, agent: agent, jar: &loopbackJar{jar}}
	b.http = &http.Client{
		Jar: b.jar, Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}
	return b
}

// page is an answer that a browser got, after redirects.
type page struct {
	status int
	path   string
	header http.Header
	text   string
}

func (b *browser) do(t *testing.T, method, path, body string, headers ...header) page {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, b.base+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	r.Header.Set("User-Agent", b.agent)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, h := range headers {
		r.Header.Set(h.name, h.value)
	}
	resp, err := b.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if path != "/style.css" && path != "/icon.svg" {
		for name, value := range map[string]string{
			"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin",
		} {
			if resp.Header.Get(name) != value {
				t.Errorf("%s %s: %s: %q", method, path, name, resp.Header.Get(name))
			}
		}
		if csp := resp.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") ||
			!strings.Contains(csp, "frame-ancestors 'none'") {
			t.Errorf("%s %s: Content-Security-Policy: %s", method, path, csp)
		}
	}
	if location := resp.Header.Get("Location"); location != "" {
		if resp.StatusCode != http.StatusSeeOther {
			t.Errorf("%s %s: redirected with %d", method, path, resp.StatusCode)
		}
		return b.do(t, http.MethodGet, location, "")
	}
	return page{resp.StatusCode, path, resp.Header, html.UnescapeString(string(text))}
}

func (b *browser) get(t *testing.T, path string) page { t.Helper(); return b.do(t, "GET", path, "") }

// post posts a form: names and values in turn.
func (b *browser) post(t *testing.T, path string, form ...string) page {
	t.Helper()
	return b.do(t, "POST", path, encode(form...))
}

func encode(form ...string) string {
	values := url.Values{}
	for i := 0; i < len(form); i += 2 {
		values.Set(form[i], form[i+1])
	}
	return values.Encode()
}

func (b *browser) signIn(t *testing.T, u user) page {
	t.Helper()
	return b.post(t, "/sign-in", "user", u.ID).is(t, 200, "/devices", "Your devices", u.Name)
}

// is fails unless the page is where and what it should be.
func (p page) is(t *testing.T, status int, path string, texts ...string) page {
	t.Helper()
	at, _, _ := strings.Cut(p.path, "?")
	if p.status != status || at != path {
		t.Fatalf("at %s with %d, want %s with %d:\n%s", at, p.status, path, status, p.text)
	}
	for _, text := range texts {
		if !strings.Contains(p.text, text) {
			t.Fatalf("%s does not say %q:\n%s", at, text, p.text)
		}
	}
	return p
}

func (p page) lacks(t *testing.T, texts ...string) page {
	t.Helper()
	for _, text := range texts {
		if strings.Contains(p.text, text) {
			t.Fatalf("%s says %q:\n%s", p.path, text, p.text)
		}
	}
	return p
}

var actions = regexp.MustCompile(`action="(/devices/[0-9a-f-]{36}/revoke)"`)

const (
	chrome = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
	phone  = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) " +
		"Version/18.1 Mobile/15E148 Safari/604.1"
	over = "Your session is over. Please sign in again."
)

func TestSigningInAndOut(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, databaseURL string) {
		a := start(t, t.TempDir(), append(keys(), "DATABASE_URL="+databaseURL)...)
		if !strings.Contains(a.greeting, "pages        "+a.base+"/\n") {
			t.Errorf("the greeting does not say where the pages are:\n%s", a.greeting)
		}
		b := newBrowser(t, a.base, chrome)
		welcome := b.get(t, "/").is(t, 200, "/", "it believes you", "Ada Lovelace", "Alan Turing", "Grace Hopper")
		for _, path := range []string{"/devices", "/profile", "/people", "/confirm"} {
			b.get(t, path).is(t, 200, "/", "Sign in").lacks(t, over)
		}
		b.signIn(t, seeds()[0]).is(t, 200, "/devices", "Chrome on Linux", "This device", "within the hour").lacks(t,
			"People", "everywhere else")
		b.get(t, "/").is(t, 200, "/devices")
		b.post(t, "/sign-in", "user", seeds()[1].ID).is(t, 200, "/devices", "signed in already", "Ada Lovelace")
		if n := len(a.listed(t, seeds()[1].ID)); n != 0 {
			t.Errorf("%d sessions of the other user", n)
		}

		kept := b.jar.Cookies(welcome.url(t, b))
		b.post(t, "/sign-out").is(t, 200, "/", "You are signed out.")
		if n := len(a.listed(t, seeds()[0].ID)); n != 0 {
			t.Errorf("%d sessions after the sign-out", n)
		}
		if cookies := b.jar.Cookies(welcome.url(t, b)); len(cookies) != 0 {
			t.Errorf("cookies after the sign-out: %d", len(cookies))
		}
		thief := newBrowser(t, a.base, chrome)
		thief.jar.SetCookies(welcome.url(t, thief), kept)
		thief.get(t, "/devices").is(t, 200, "/", over)
		b.get(t, "/devices").is(t, 200, "/").lacks(t, over)
		b.post(t, "/sign-out").is(t, 200, "/").lacks(t, over)
	})
}

func (p page) url(t *testing.T, b *browser) *url.URL {
	t.Helper()
	u, err := url.Parse(b.base + p.path)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestDevices(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, databaseURL string) {
		a := start(t, t.TempDir(), append(keys(), "DATABASE_URL="+databaseURL)...)
		ada, alan := seeds()[0], seeds()[1]
		here, other, third, foreign := newBrowser(t, a.base, chrome), newBrowser(t, a.base, phone),
			newBrowser(t, a.base, ""), newBrowser(t, a.base, chrome)
		here.signIn(t, ada)
		other.signIn(t, ada)
		foreign.signIn(t, alan)
		listed := here.get(t, "/devices").is(t, 200, "/devices", "Chrome on Linux", "Safari on iPhone",
			"Sign out everywhere else")
		found := actions.FindAllStringSubmatch(listed.text, -1)
		if len(found) != 1 || strings.Count(listed.text, "This device") != 1 {
			t.Fatalf("not one to revoke, and this one:\n%s", listed.text)
		}
		revoke := found[0][1]

		foreign.post(t, revoke).is(t, 404, revoke, "There is nothing here")
		other.get(t, "/devices").is(t, 200, "/devices")
		here.post(t, revoke).is(t, 200, "/devices", "That device is signed out.").lacks(t, "iPhone")
		other.get(t, "/devices").is(t, 200, "/", over)
		here.post(t, revoke).is(t, 404, revoke)
		here.post(t, "/devices/me/revoke").is(t, 404, "/devices/me/revoke")

		third.signIn(t, ada).is(t, 200, "/devices", "Unknown device")
		other.signIn(t, ada)
		here.post(t, "/devices/revoke-others").is(t, 200, "/devices", "All your other devices are signed out.").lacks(t,
			"iPhone", "everywhere else")
		other.get(t, "/profile").is(t, 200, "/", over)
		third.post(t, "/profile", "name", "Eve").is(t, 200, "/", over)
		foreign.get(t, "/devices").is(t, 200, "/devices", "Alan Turing")
		here.get(t, "/profile").is(t, 200, "/profile", "Ada Lovelace")
	})
}

func TestWhatBrowsersSayIsEscaped(t *testing.T) {
	t.Parallel()
	a := start(t, t.TempDir(), keys()...)
	const script = `"><script>alert(1)</script>`
	b := newBrowser(t, a.base, script)
	b.signIn(t, seeds()[0])
	b.post(t, "/profile", "name", script).is(t, 200, "/profile", "Your name is changed.")
	for _, path := range []string{
		"/devices", "/profile", "/profile?notice=" + url.QueryEscape(script), "/nowhere?" + script,
	} {
		r := request(t, b, path)
		if strings.Contains(r, "<script") || !strings.Contains(r, "<main") {
			t.Errorf("%s:\n%s", path, r)
		}
	}
	if !strings.Contains(request(t, b, "/devices"), "&lt;script&gt;") {
		t.Error("the user agent is not shown")
	}
}

// request returns a page as it came.
func request(t *testing.T, b *browser, path string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.base+strings.ReplaceAll(path, `"`, "%22"), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html")
	resp, err := b.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestFormsOfOtherSitesAreRefused(t *testing.T) {
	t.Parallel()
	a := start(t, t.TempDir(), keys()...)
	ada, alan, grace := seeds()[0], seeds()[1], seeds()[2]
	here, other, administrator, nobody := newBrowser(t, a.base, chrome), newBrowser(t, a.base, phone),
		newBrowser(t, a.base, chrome), newBrowser(t, a.base, chrome)
	here.signIn(t, ada)
	administrator.signIn(t, grace)
	other.signIn(t, ada)
	revoke := actions.FindStringSubmatch(here.get(t, "/devices").text)[1]

	for _, tc := range []struct {
		who        *browser
		path, form string
	}{
		{nobody, "/sign-in", encode("user", alan.ID)},
		{here, "/sign-out", ""},
		{here, revoke, ""},
		{here, "/devices/revoke-others", ""},
		{here, "/profile", encode("name", "Eve")},
		{here, "/confirm", ""},
		{administrator, "/people/" + alan.ID + "/impersonate", encode("reason", "none")},
		{administrator, "/people/" + alan.ID + "/continue", ""},
	} {
		for _, from := range [][]header{
			{{"Sec-Fetch-Site", "cross-site"}, {"Origin", "https://evil.example"}},
			{{"Sec-Fetch-Site", "same-site"}, {"Origin", "http://127.0.0.1:1"}},
			{{"Sec-Fetch-Site", ""}, {"Origin", "https://evil.example"}},
			{{"Sec-Fetch-Site", ""}, {"Origin", "null"}},
		} {
			tc.who.do(t, "POST", tc.path, tc.form, from...).is(t, 403, tc.path, "a page of another site")
		}
	}
	if here, other := len(a.listed(t, ada.ID)), len(a.listed(t, alan.ID)); here != 2 || other != 0 {
		t.Errorf("%d and %d sessions", here, other)
	}
	here.get(t, "/profile").is(t, 200, "/profile", `value="Ada Lovelace"`)
	other.get(t, "/devices").is(t, 200, "/devices")
	if cookies := nobody.jar.Cookies(page{path: "/"}.url(t, nobody)); len(cookies) != 0 {
		t.Errorf("somebody is signed in: %d cookies", len(cookies))
	}
}

func TestAdministratorsActAsUsersOnPages(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, databaseURL string) {
		a := start(t, t.TempDir(), append(keys(), "DATABASE_URL="+databaseURL)...)
		ada, alan, grace := seeds()[0], seeds()[1], seeds()[2]
		own, b := newBrowser(t, a.base, phone), newBrowser(t, a.base, chrome)
		own.signIn(t, ada)
		asAda, landing := "/people/"+ada.ID+"/impersonate", "/people/"+ada.ID+"/continue"
		own.get(t, "/people").is(t, 403, "/people", "for administrators").lacks(t, "grace@example.com")
		own.get(t, "/people/"+alan.ID+"/continue").is(t, 403, "/people/"+alan.ID+"/continue").lacks(t, "Alan Turing")
		own.post(t, "/people/"+alan.ID+"/impersonate", "reason", "curious").is(t, 403, "/people/"+alan.ID+
			"/impersonate")

		b.signIn(t, grace).is(t, 200, "/devices", `href="/people"`)
		b.get(t, "/people").is(t, 200, "/people", ada.Email, alan.Email, `action="`+asAda+`"`).lacks(t, grace.ID)
		b.post(t, asAda, "reason", " ").is(t, 200, "/people", "Please say why.")
		b.post(t, "/people/"+grace.ID+"/impersonate", "reason", "a test").is(t, 403, "/people/"+grace.ID+"/impersonate")
		b.post(t, "/people/"+testProject+"/impersonate", "reason", "a test").is(t, 404, "/people/"+testProject+
			"/impersonate")
		b.get(t, landing).is(t, 200, "/people", "hand-off has been used")

		// Going there, even ahead of the administrator, redeems nothing.
		continues := b.post(t, asAda, "reason", "<b>ticket 4711").is(t, 200, landing, "Continue as Ada Lovelace").
			lacks(t, "shc1_", "acting as")
		b.do(t, "HEAD", landing, "", header{"Sec-Purpose", "prefetch"}).is(t, 200, landing)
		code := b.jar.Cookies(continues.url(t, b))
		b.post(t, "/people/"+alan.ID+"/continue").is(t, 200, "/people", "hand-off has been used")
		b.get(t, "/devices").is(t, 200, "/devices", "Grace Hopper").lacks(t, "acting as")
		b.post(t, landing).is(
			t, 200, "/devices", "<strong>Grace Hopper</strong> acting as <strong>Ada Lovelace</strong>", "are private",
		).lacks(t, "iPhone", "everywhere else")

		for path, status := range map[string]int{
			"/devices": 200, "/profile": 200, "/nowhere": 404, "/people": 403, "/confirm": 403,
		} {
			b.get(t, path).is(t, status, path, "acting as <strong>Ada Lovelace</strong>", "UTC",
				"<button>End</button>").lacks(t, `href="/people"`, `action="/confirm"`)
		}
		b.get(t, "/profile").is(t, 200, "/profile", "<fieldset disabled").lacks(t, `action="/profile"`)
		const readOnly = "An impersonation is read-only"
		b.post(t, "/profile", "name", "Eve").is(t, 403, "/profile", readOnly, "acting as")
		b.post(t, "/devices/revoke-others").is(t, 403, "/devices/revoke-others", readOnly)
		b.post(t, "/devices/"+testProject+"/revoke").is(t, 403, "/devices/"+testProject+"/revoke", readOnly)
		b.post(t, "/confirm").is(t, 403, "/confirm", readOnly)
		b.post(t, "/people/"+alan.ID+"/impersonate", "reason", "a chain").is(t, 403, "/people/"+alan.ID+"/impersonate")
		own.get(t, "/profile").is(t, 200, "/profile", `value="Ada Lovelace"`)
		own.get(t, "/devices").is(t, 200, "/devices").lacks(t, "Chrome on Linux")
		if listed := a.listed(t, ada.ID); len(listed) != 2 || listed[0]["actor"] != grace.ID ||
			listed[0]["reason"] != "<b>ticket 4711" {
			t.Errorf("the admin key sees %v", listed)
		}

		b.post(t, "/sign-out").is(t, 200, "/people", "The impersonation has ended.", "Signed in as Grace Hopper").
			lacks(t, "acting as")
		b.get(t, landing).is(t, 200, "/people", "hand-off has been used")

		// Who has copied the code is noticed: the impersonation ends with it.
		b.post(t, asAda, "reason", "a test").is(t, 200, landing)
		code = append(code[:0], b.jar.Cookies(continues.url(t, b))...)
		b.post(t, landing).is(t, 200, "/devices", "acting as")
		thief := newBrowser(t, a.base, chrome)
		thief.signIn(t, grace)
		thief.jar.SetCookies(continues.url(t, thief), onlyHandoff(code, landing))
		thief.post(t, landing).is(t, 200, "/people", "hand-off has been used").lacks(t, "acting as")
		b.get(t, "/profile").is(t, 200, "/devices", "The impersonation is over. You are yourself again.",
			"Grace Hopper").lacks(t, "acting as")

		b.post(t, asAda, "reason", "a test").is(t, 200, landing)
		b.post(t, landing).is(t, 200, "/devices", "acting as")
		a.setAdministrator(t, grace.ID, false)
		b.post(t, "/sign-out").is(t, 403, "/people", "for administrators").lacks(t, "acting as")
	})
}

func onlyHandoff(cookies []*http.Cookie, path string) []*http.Cookie {
	var only []*http.Cookie
	for _, c := range cookies {
		if strings.Contains(c.Name, "handoff") {
			only = append(only, &http.Cookie{Name: c.Name, Value: c.Value, Path: path, Secure: true})
		}
	}
	return only
}

// inProcess is the app with a clock that can be moved.
func inProcess(t *testing.T) (*app, *sessionstest.Clock) {
	t.Helper()
	return inProcessOn(t, filepath.Join(t.TempDir(), "test.db"))
}

func inProcessOn(t *testing.T, databaseURL string) (*app, *sessionstest.Clock) {
	t.Helper()
	db := openDatabase(t, databaseURL)
	all := users{db}
	st, err := store.New(db, store.Config{AuditLog: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := migrate(t.Context(), all, st); err != nil {
		t.Fatal(err)
	}
	var hashes []sessions.ServerKey
	for _, key := range []string{testServerKey, testAdminKey} {
		hash, err := sessions.HashServerKey("a test", key)
		if err != nil {
			t.Fatal(err)
		}
		hashes = append(hashes, hash)
	}
	clock := sessionstest.NewClock(time.Now())
	logs := &logBuffer{}
	logger := slog.New(slog.NewTextHandler(logs, nil))
	manager, err := sessions.New(sessions.Config{
		Store: st, Users: all.sessionUser, MayImpersonate: all.mayImpersonate, Secrets: [][]byte{
			[]byte("in-process tests need 32 bytes.."),
		},
		Issuer: "https://app.example", ProjectID: testProject, ServerKeys: hashes, Now: clock.Now,
		Cookies: sessions.Cookies{Enabled: true}, OnEvent: recordRefused(st, logger), Logger: logger,
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(newApp(manager, st, all, config{projectID: testProject}, logger))
	t.Cleanup(server.Close)
	return &app{base: server.URL, logs: logs}, clock
}

func TestChangingTheNameAsksForAFreshSignIn(t *testing.T) {
	t.Parallel()
	a, clock := inProcess(t)
	b := newBrowser(t, a.base, chrome)
	b.signIn(t, seeds()[0])
	before := b.jar.Cookies(page{path: "/"}.url(t, b))
	b.post(t, "/profile", "name", "").is(t, 422, "/profile", `aria-invalid="true"`, "Please enter 1 to 100 characters.")
	b.post(t, "/profile", "name", strings.Repeat("a", 101)).is(t, 422, "/profile")
	b.post(t, "/profile", "name", strings.Repeat("a", 10<<10)).is(t, 422, "/profile")
	b.post(t, "/profile", "name", "Ada Byron").is(t, 200, "/profile", "Your name is changed.", `value="Ada Byron"`)

	clock.Advance(recently + time.Minute)
	b.get(t, "/profile").is(t, 200, "/profile", "Ada Byron", `href="/confirm"`).lacks(t, `action="/profile"`)
	b.post(t, "/profile", "name", "Eve").is(t, 200, "/confirm", "Confirm it is you", "I am Ada Byron")
	b.get(t, "/profile").is(t, 200, "/profile", "Ada Byron")
	b.post(t, "/confirm").is(t, 200, "/profile", "You can change your name now.", `action="/profile"`)
	b.post(t, "/profile", "name", "Ada Lovelace").is(t, 200, "/profile", "Your name is changed.")
	if listed := b.get(t, "/devices"); strings.Count(listed.text, "Chrome on Linux") != 1 {
		t.Errorf("not one device:\n%s", listed.text)
	}

	// A copy of the old cookies is not promoted with it.
	thief := newBrowser(t, a.base, chrome)
	thief.jar.SetCookies(page{path: "/"}.url(t, thief), before)
	thief.get(t, "/profile").is(t, 200, "/", over)

	// The second click of two comes with them, and is sent to the page that this
	// browser, which has the new ones, then sees.
	b.get(t, "/?notice=over").is(t, 200, "/devices", "Your devices").lacks(t, "The impersonation is over")
}

func TestAnImpersonationThatRunsOutLeadsBack(t *testing.T) {
	t.Parallel()
	a, clock := inProcess(t)
	b := newBrowser(t, a.base, chrome)
	b.signIn(t, seeds()[2])
	path := "/people/" + seeds()[0].ID
	b.post(t, path+"/impersonate", "reason", "a test").is(t, 200, path+"/continue")
	clock.Advance(2 * time.Minute)
	b.post(t, path+"/continue").is(t, 200, "/people", "hand-off has been used or has run out").lacks(t, "acting as")
	b.post(t, path+"/impersonate", "reason", "a test").is(t, 200, path+"/continue")
	b.post(t, path+"/continue").is(t, 200, "/devices", "acting as")
	clock.Advance(30 * time.Minute)
	b.get(t, "/devices").is(t, 200, "/devices", "acting as")
	clock.Advance(31 * time.Minute)
	b.get(t, "/profile").is(t, 200, "/devices", "The impersonation is over.", "Grace Hopper").lacks(t, "acting as")
}

// openDatabase opens what a program works on.
func openDatabase(t *testing.T, databaseURL string) *gorm.DB {
	t.Helper()
	where, err := parseDatabase(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	db, closeDB, err := where.open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := closeDB(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func TestADeletedUserIsSignedOut(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, databaseURL string) {
		a := start(t, t.TempDir(), append(keys(), "DATABASE_URL="+databaseURL)...)
		ada, grace := seeds()[0], seeds()[2]
		token := a.create(t, ada.ID).access
		acting := newBrowser(t, a.base, chrome)
		acting.signIn(t, grace)
		acting.post(t, "/people/"+ada.ID+"/impersonate", "reason", "a test")
		acting.post(t, "/people/"+ada.ID+"/continue").is(t, 200, "/devices", "acting as")
		own := map[string]*browser{}
		for _, path := range []string{
			"GET /devices", "GET /profile", "GET /people", "GET /confirm", "POST /profile", "POST /confirm",
		} {
			own[path] = newBrowser(t, a.base, chrome)
			own[path].signIn(t, ada)
		}
		if err := openDatabase(t, databaseURL).Delete(&user{}, "id = ?", ada.ID).Error; err != nil {
			t.Fatal(err)
		}

		for route, b := range own {
			method, path, _ := strings.Cut(route, " ")
			got := b.do(t, method, path, encode("name", "Ada"))
			if at, _, _ := strings.Cut(got.path, "?"); got.status != 200 || at != "/" ||
				!strings.Contains(got.text, "Sign in") {
				t.Errorf("%s: at %s with %d:\n%s", route, got.path, got.status, got.text)
			}
			if cookies := b.jar.Cookies(got.url(t, b)); len(cookies) != 0 {
				t.Errorf("%s: %d cookies are left", route, len(cookies))
			}
		}
		acting.get(t, "/profile").is(t, 200, "/devices", "The impersonation is over. You are yourself again.",
			"Grace Hopper").lacks(t, "acting as")
		if listed := a.listed(t, ada.ID); len(listed) != 1 {
			t.Errorf("%d sessions, want that of the API alone", len(listed))
		}

		a.want(t, 404, "USER_NOT_FOUND", "GET", "/me", "", bearer(token))
		a.want(t, 404, "USER_NOT_FOUND", "PUT", "/me/name", `{"name": "Ada"}`, bearer(token))
		a.want(t, 404, "USER_NOT_FOUND", "GET", "/api/v1/users/me", "",
			stack("client", header{"X-Stack-Access-Token", token})...)
	})
}

func TestARequestThatFailsLeavesOneLine(t *testing.T) {
	t.Parallel()
	for name, broken := range map[string]string{"in the middleware": "sessile_sessions", "in the handler": "users"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			databaseURL := filepath.Join(t.TempDir(), "test.db")
			a, _ := inProcessOn(t, databaseURL)
			g := a.create(t, seeds()[0].ID)
			if err := openDatabase(t, databaseURL).Exec("DROP TABLE " + broken).Error; err != nil {
				t.Fatal(err)
			}
			a.want(t, 503, "TEMPORARILY_UNAVAILABLE", "GET", "/me", "", bearer(g.access))
			if logs := a.logs.String(); strings.Count(logs, "\n") != 1 ||
				!strings.Contains(logs, "no such table: "+broken) {
				t.Errorf("not one line with the cause:\n%s", logs)
			}
		})
	}
}

func TestErrorsArePagesForBrowsersOnly(t *testing.T) {
	t.Parallel()
	a := start(t, t.TempDir(), keys()...)
	b := newBrowser(t, a.base, chrome)
	b.get(t, "/nowhere").is(t, 404, "/nowhere", "There is nothing here", "To the start")
	b.post(t, "/sign-in", "user", testProject).is(t, 404, "/sign-in", "There is nothing here")
	b.post(t, "/sign-in", "user", "").is(t, 400, "/sign-in", "That did not work")
	b.post(t, "/people").is(t, 405, "/people")
	b.signIn(t, seeds()[0])
	b.get(t, "/nowhere").is(t, 404, "/nowhere", "Back to your devices", "Signed in as Ada Lovelace")
	for _, path := range []string{"/devices", "/profile", "/people", "/nowhere"} {
		if got := b.do(t, "HEAD", path, ""); got.text != "" || got.status != b.get(t, path).status {
			t.Errorf("HEAD %s: %d %q", path, got.status, got.text)
		}
	}
	for path, mediaType := range map[string]string{
		"/style.css": "text/css; charset=utf-8", "/icon.svg": "image/svg+xml",
	} {
		if got := b.get(t, path).is(t, 200, path); got.header.Get("Content-Type") != mediaType || got.text == "" {
			t.Errorf("%s: %v", path, got.header)
		}
	}

	if got := a.do(t, "GET", "/nowhere", ""); got.status != 404 || got.body["message"] != "Not Found" {
		t.Errorf("for a program: %d %s", got.status, got.text)
	}
	// The API's answers are the same for everybody.
	a.want(t, 401, "ACCESS_TYPE_REQUIRED", "GET", "/me", "", header{"Accept", "text/html"})
	health := a.want(t, 200, "", "GET", "/health", "")
	if manager, _ := health.body["sessions"].(map[string]any); health.body["status"] != "ok" ||
		manager["feed"] == "off" {
		t.Errorf("/health: %s", health.text)
	}
}

func TestCookiesAreForTrustworthyHostsUnlessToldOtherwise(t *testing.T) {
	t.Parallel()
	for insecure, want := range map[string]string{
		"": "; HttpOnly; Secure; SameSite=Lax", "0": "; HttpOnly; Secure; SameSite=Lax",
		"1": "; HttpOnly; SameSite=Lax",
	} {
		a := start(t, t.TempDir(), append(keys(), "SESSILE_INSECURE_COOKIE="+insecure)...)
		b := newBrowser(t, a.base, chrome)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.base+"/sign-in?user="+seeds()[0].ID, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := b.http.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		lines := resp.Header.Values("Set-Cookie")
		if len(lines) != 4 {
			t.Fatalf("%d cookies", len(lines))
		}
		for _, line := range lines {
			if !strings.HasSuffix(line, want) || strings.HasPrefix(line, "__Host-") == (insecure == "1") {
				name, _, _ := strings.Cut(line, "=")
				t.Errorf("SESSILE_INSECURE_COOKIE=%s: %s", insecure, name)
			}
		}
	}
}

func TestDevicesHaveNamesForPeople(t *testing.T) {
	t.Parallel()
	for agent, want := range map[string]string{
		chrome:                          "Chrome on Linux",
		phone:                           "Safari on iPhone",
		chrome + " Edg/131.0.0.0":       "Edge on Linux",
		"Mozilla/5.0 Firefox/1 Windows": "Firefox on Windows",
		"curl/8.5.0":                    "curl",
		"":                              "Unknown device",
		"a toaster":                     "a toaster",
		strings.Repeat("é", 100):        strings.Repeat("é", 60) + "…",
	} {
		if got := deviceName(agent); got != want {
			t.Errorf("%q is %q, want %q", agent, got, want)
		}
	}
	now := time.Date(2026, 1, 9, 12, 30, 0, 0, time.UTC)
	for hours, want := range map[int]string{
		-1: "within the hour", 0: "within the hour", 1: "an hour ago", 47: "47 hours ago", 50: "2 days ago",
	} {
		if got := ago(now, now.Truncate(time.Hour).Add(-time.Duration(hours)*time.Hour)); got != want {
			t.Errorf("%d hours: %q, want %q", hours, got, want)
		}
	}
}
