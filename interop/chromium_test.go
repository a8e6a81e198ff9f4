package interop

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/sessile-go/sessile/internal/pgtest"
)

var update = flag.Bool("update", false, "rewrite the pictures in docs/images")

const adminKey = "sak_0123456789abcdef0123456789abcdef"

// TestChromium walks through the example's pages in a real browser. The cases run one
// after the other, each in a profile and on a server of its own: several browsers at
// once take more memory than machines of CI have.
func TestChromium(t *testing.T) {
	t.Parallel()
	browser := startChromium(t)
	program := buildExample(t)
	if *update { // and not compared, because they differ from machine to machine
		t.Run("pictures", func(t *testing.T) { takePictures(t, startDemo(t, browser, program, "")) })
	}
	for name, databaseURL := range map[string]func(t *testing.T) string{
		"sqlite":   func(*testing.T) string { return "" },
		"postgres": func(t *testing.T) string { t.Helper(); return pgtest.DSN(t) },
	} {
		t.Run(name, func(t *testing.T) {
			for name, test := range map[string]func(t *testing.T, d *demo){
				"two tabs refresh at once":            testTwoTabs,
				"an administrator acts as a user":     testActing,
				"a sign-out elsewhere counts at once": testSignOutElsewhere,
				"the back button shows nothing":       testBackButton,
				"forms of other sites are refused":    testOtherSites,
				"the keyboard is enough":              testKeyboard,
				"pages fit a phone and can be read":   testLooks,
				"what a page links to is its own":     testNoForeignRequests,
				"no script is needed":                 testWithoutScripts,
			} {
				t.Run(name, func(t *testing.T) { test(t, startDemo(t, browser, program, databaseURL(t))) })
			}
		})
	}
}

// chromium is a running browser, or a profile of one.
type chromium struct{ ctx context.Context }

// startChromium starts a browser with an empty profile. Without Chromium it skips the test,
// or fails it if SESSILE_REQUIRE_CHROMIUM is 1.
func startChromium(t *testing.T) chromium {
	t.Helper()
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		if os.Getenv("SESSILE_REQUIRE_CHROMIUM") == "1" {
			t.Fatal("SESSILE_REQUIRE_CHROMIUM is 1 and there is no Chromium")
		}
		t.Skip("SKIPPED CHROMIUM: it is not installed")
	}
	home := t.TempDir()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.UserDataDir(filepath.Join(home, "profile")), chromedp.NoSandbox,
		chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-crash-reporter", true),
		chromedp.Flag("no-proxy-server", true), chromedp.Flag("hide-scrollbars", true),
		// What it may ask for lives on this machine, whatever a page says.
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"),
		chromedp.Env("HOME="+home, "TMPDIR="+home, "XDG_CONFIG_HOME="+home, "XDG_CACHE_HOME="+home),
	)
	allocator, cancelAllocator := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), options...)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		ending, cancelEnding := context.WithTimeout(ctx, patience)
		defer cancelEnding()
		_ = chromedp.Cancel(ending) // lets it write and end; what follows does not ask
		cancel()
		cancelAllocator()
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("Chromium does not start: %v", err)
	}
	return chromium{ctx}
}

// demo is a running example and the browser that looks at it.
type demo struct {
	*app
	browser   chromium
	accessTTL time.Duration
}

func startDemo(t *testing.T, browser chromium, program, databaseURL string) *demo {
	t.Helper()
	cmd := exec.Command(program)
	cmd.Dir = t.TempDir()
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); name != "ADDR" && name != "DATABASE_URL" &&
			!strings.HasPrefix(name, "SESSILE_") {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	d := &demo{app: &app{}, browser: browser, accessTTL: 4 * time.Second}
	cmd.Env = append(cmd.Env, "ADDR=127.0.0.1:0", "DATABASE_URL="+databaseURL, "SESSILE_ACCESS_TTL="+
		d.accessTTL.String(),
		"SESSILE_PROJECT_ID="+projectID, "SESSILE_SERVER_KEY="+serverKey, "SESSILE_ADMIN_KEY="+adminKey)
	var logs strings.Builder
	cmd.Stderr = &logs
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready, exited := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(exited)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if base, ok := strings.CutPrefix(lines.Text(), "listening on "); ok {
				d.base = base
			}
			if fields := strings.Fields(lines.Text()); len(fields) > 1 && fields[0] == "user" {
				if d.users = append(d.users, fields[1]); len(d.users) == 3 {
					close(ready)
				}
			}
		}
		err = cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		defer kill.Stop()
		<-exited
		if err != nil || logs.Len() > 0 {
			t.Errorf("the example ended with %v and has logged:\n%s", err, logs.String())
		}
	})
	select {
	case <-ready:
	case <-exited:
		t.Fatal("the example does not start")
	case <-time.After(patience):
		t.Fatal("the example does not start")
	}
	return d
}

// sessions asks with the admin key for the sessions of a user.
func (d *demo) sessions(t *testing.T, userID string) []string {
	t.Helper()
	r := request(t, http.MethodGet, d.base+"/auth/sessions?user_id="+userID, "")
	r.Header.Set("Authorization", "Bearer "+adminKey)
	status, body := do(t, http.DefaultClient, r)
	var list struct{ Items []struct{ ID string } }
	if err := json.Unmarshal(body, &list); err != nil || status != http.StatusOK {
		t.Fatalf("list: %d %s %v", status, body, err)
	}
	ids := make([]string, len(list.Items))
	for i, item := range list.Items {
		ids[i] = item.ID
	}
	return ids
}

// tab is a tab of the browser.
type tab struct {
	*demo
	ctx context.Context
}

// profile opens a tab in a profile of its own: as if in another browser.
func (d *demo) profile(t *testing.T) *tab {
	t.Helper()
	return d.open(t, d.browser, chromedp.WithNewBrowserContext())
}

// another opens a second tab.
func (b *tab) another(t *testing.T) *tab { t.Helper(); return b.open(t, chromium{b.ctx}) }

func (d *demo) open(t *testing.T, in chromium, options ...chromedp.ContextOption) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(in.ctx, options...)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	return &tab{d, ctx}
}

func run[T any](t *testing.T, b *tab, what string, action chromedp.Action[T]) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, action)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	return value
}

func (b *tab) eval(t *testing.T, script string) string {
	t.Helper()
	return run(t, b, script, chromedp.Evaluate[string](script))
}

// visit goes to a path and returns the status of the page.
func (b *tab) visit(t *testing.T, path string) int64 {
	t.Helper()
	return run(t, b, path, chromedp.NavigateResponse(b.base+path)).Status
}

// follow does what leads to another page, and waits for it.
func (b *tab) follow(t *testing.T, what string, action chromedp.Action[chromedp.Void]) int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	resp, err := chromedp.RunResponse(ctx, action)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	return resp.Status
}

func (b *tab) click(t *testing.T, css string) int64 {
	t.Helper()
	return b.follow(t, css, chromedp.Click(chromedp.CSS(css), chromedp.NodeVisible))
}

func (b *tab) signIn(t *testing.T, userID string) {
	t.Helper()
	b.visit(t, "/")
	b.click(t, fmt.Sprintf("button[value=%q]", userID))
	b.at(t, "/devices", "Your devices")
}

// at fails unless the tab shows a path, under a heading; the banner comes with it.
func (b *tab) at(t *testing.T, path, heading string) {
	t.Helper()
	if got := b.eval(t, `location.pathname + " " + document.querySelector("h1").textContent`); got != path+" "+heading {
		t.Fatalf("at %q, want %q", got, path+" "+heading)
	}
}

// shows returns the text of an element, or "".
func (b *tab) shows(t *testing.T, css string) string {
	t.Helper()
	return b.eval(t, fmt.Sprintf(`(document.querySelector(%q)?.innerText ?? "").replace(/\s+/g, " ").trim()`, css))
}

// until waits for something that comes by itself.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !done(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("it never came: %s", what)
		}
	}
}

// cookies are those of the app, by name.
func (b *tab) cookies(t *testing.T) map[string]string {
	t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	got, err := chromedp.Call(ctx, network.GetCookies, network.GetCookiesParams{URLs: []string{b.base}})
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{}
	for _, c := range got.Cookies {
		if !c.HTTPOnly || !c.Secure {
			t.Errorf("%s can be read by scripts or over the network", c.Name)
		}
		values[c.Name] = c.Value
	}
	return values
}

func testTwoTabs(t *testing.T, d *demo) {
	one := d.profile(t)
	one.signIn(t, d.users[0])
	two := one.another(t)
	two.visit(t, "/devices")
	first := d.sessions(t, d.users[0])
	for range 3 {
		before := one.cookies(t)["__Host-sessile_refresh"]
		until(t, "the end of the access token", func() bool { return one.cookies(t)["__Host-sessile_access"] == "" })
		// Both ask in the same moment, with the same refresh token.
		failed := make(chan error, 2)
		for _, b := range []*tab{one, two} {
			go func() {
				ctx, cancel := context.WithTimeout(b.ctx, patience)
				defer cancel()
				failed <- chromedp.Do(ctx, chromedp.Reload())
			}()
		}
		for range 2 {
			if err := <-failed; err != nil {
				t.Fatal(err)
			}
		}
		for _, b := range []*tab{one, two} {
			b.at(t, "/devices", "Your devices")
			if rows := b.eval(t, `String(document.querySelectorAll(".row").length)`); rows != "1" {
				t.Errorf("%s sessions in the list", rows)
			}
		}
		if after := one.cookies(t)["__Host-sessile_refresh"]; after == "" || after == before {
			t.Error("the refresh token was not rotated")
		}
	}
	// A replay would have ended it.
	if last := d.sessions(t, d.users[0]); len(first) != 1 || len(last) != 1 || first[0] != last[0] {
		t.Errorf("sessions %v have become %v", first, last)
	}
}

func testActing(t *testing.T, d *demo) {
	ada, grace := d.users[0], d.users[2]
	b := d.profile(t)
	b.signIn(t, grace)
	b.click(t, `nav a[href="/people"]`)
	b.at(t, "/people", "People")
	reason := chromedp.CSS("#why-" + ada)
	run(t, b, "the reason", chromedp.SendKeys(reason, "ticket 4711"))
	b.follow(t, "the form", chromedp.KeyEvent(kb.Enter))
	b.at(t, "/people/"+ada+"/continue", "Continue as Ada Lovelace")
	if b.shows(t, ".acting") != "" {
		t.Error("acting before the code was redeemed")
	}
	b.click(t, "main button")
	for path, status := range map[string]int64{"/devices": 200, "/profile": 200, "/people": 403, "/nowhere": 404} {
		if got := b.visit(t, path); got != status {
			t.Errorf("%s: %d", path, got)
		}
		if banner := b.shows(t, ".acting"); !strings.HasPrefix(banner,
			"Grace Hopper acting as Ada Lovelace, read-only, until ") || !strings.HasSuffix(banner, "UTC End") {
			t.Errorf("%s: the banner says %q", path, banner)
		}
	}
	b.visit(t, "/profile")
	if b.eval(t, `String(document.querySelector("#name").matches(":disabled"))`) != "true" {
		t.Error("the name can be changed")
	}
	// Also without the page's help.
	b.eval(t, `document.querySelector("fieldset").disabled = false, "done"`)
	b.eval(t,
		`((f) => { f.method = "post"; f.action = "/profile"; f.append(document.querySelector("fieldset")); `+
			`document.body.append(f); f.id = "forged"; return "done" })(document.createElement("form"))`)
	if status := b.click(t, "#forged button"); status != 403 {
		t.Errorf("the name is changed with %d", status)
	}
	if cookies := b.cookies(t); len(cookies) != 4 {
		t.Errorf("%d cookies, want both sessions'", len(cookies))
	}
	b.click(t, ".acting button")
	b.at(t, "/people", "People")
	if b.shows(t, ".acting") != "" || !strings.Contains(b.shows(t, "footer"), "Signed in as Grace Hopper") {
		t.Error("not Grace again")
	}
	if left := d.sessions(t, ada); len(left) != 0 {
		t.Errorf("sessions of Ada: %v", left)
	}
	b.back(t)
	if text := b.shows(t, "body"); strings.Contains(text, "acting as") {
		t.Errorf("after the end the back button shows %q", text)
	}
}

func testSignOutElsewhere(t *testing.T, d *demo) {
	here, there := d.profile(t), d.profile(t)
	here.signIn(t, d.users[0])
	there.signIn(t, d.users[0])
	here.visit(t, "/devices")
	here.click(t, `form[action="/devices/revoke-others"] button`)
	here.at(t, "/devices", "Your devices")
	there.click(t, `nav a[href="/profile"]`)
	there.at(t, "/", "Sign in")
	if notice := there.shows(t, ".notice"); !strings.HasPrefix(notice, "Your session is over.") {
		t.Errorf("the other browser is told %q", notice)
	}
	if left := there.cookies(t); len(left) != 0 {
		t.Errorf("%d dead cookies are kept", len(left))
	}
}

func testBackButton(t *testing.T, d *demo) {
	b := d.profile(t)
	b.signIn(t, d.users[0])
	b.visit(t, "/profile")
	b.visit(t, "/devices")
	b.click(t, "header button")
	b.at(t, "/", "Sign in")
	for range 3 {
		b.back(t)
		if text := b.shows(t, "body"); strings.Contains(text, "This device") || strings.Contains(text, "Signed in as") {
			t.Errorf("after the sign-out the back button shows %q", text)
		}
	}
}

// back is the back button.
func (b *tab) back(t *testing.T) {
	t.Helper()
	b.eval(t, `window.left = true, setTimeout(() => history.back()), "leaving"`)
	until(t, "the page before", func() bool {
		ctx, cancel := context.WithTimeout(b.ctx, patience)
		defer cancel()
		there, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`!window.left && document.readyState === "complete"`))
		return err == nil && there // an error is that of a page that has just gone
	})
}

func testOtherSites(t *testing.T, d *demo) {
	ada, alan := d.users[0], d.users[1]
	here, nobody := d.profile(t), d.profile(t)
	here.signIn(t, ada)
	d.profile(t).signIn(t, ada)
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(
			w, `<form method="post" action="%s%s"><input name="name" value="Eve"><input name="user" `+
				`value="%s"><input name="reason" value="none"></form><script>document.forms[0].submit()</script>`,
			d.base, r.URL.Path, alan,
		)
	}))
	t.Cleanup(evil.Close)
	for _, tc := range []struct {
		who  *tab
		path string
	}{
		{here, "/devices/revoke-others"}, {here, "/profile"}, {here, "/sign-out"}, {here, "/confirm"},
		{nobody, "/sign-in"},
	} {
		// Another port is another origin of the same site: there the cookies come along.
		for _, from := range []string{evil.URL, strings.Replace(evil.URL, "127.0.0.1", "localhost", 1)} {
			run(t, tc.who, from, chromedp.Navigate(from+tc.path))
			until(t, "the answer to a form of "+from, func() bool {
				return tc.who.eval(t, `(document.querySelector("h1")?.textContent ?? "")`) == "Nothing was changed"
			})
			if origin := tc.who.eval(t, "location.origin"); origin != d.base {
				t.Fatalf("that was said by %s", origin)
			}
		}
	}
	here.visit(t, "/profile")
	if name := here.eval(t, `document.querySelector("#name").value`); name != "Ada Lovelace" {
		t.Errorf("the name is %q", name)
	}
	if n, m := len(d.sessions(t, ada)), len(d.sessions(t, alan)); n != 2 || m != 0 {
		t.Errorf("%d and %d sessions", n, m)
	}
}

func testKeyboard(t *testing.T, d *demo) {
	b := d.profile(t)
	b.visit(t, "/")
	tabTo := func(css string) {
		t.Helper()
		for range 20 {
			run(t, b, "Tab", chromedp.KeyEvent(kb.Tab))
			if b.eval(t, `getComputedStyle(document.activeElement).outlineStyle`) == "none" {
				t.Errorf("the focus cannot be seen at %s", b.eval(t, `document.activeElement.outerHTML`))
			}
			if b.eval(t, fmt.Sprintf(`String(document.activeElement.matches(%q))`, css)) == "true" {
				return
			}
		}
		t.Fatalf("the keyboard does not get to %s", css)
	}
	tabTo(".skip")
	tabTo(fmt.Sprintf("button[value=%q]", d.users[1]))
	b.follow(t, "Enter", chromedp.KeyEvent(kb.Enter))
	b.at(t, "/devices", "Your devices")
	tabTo(`nav a[href="/profile"]`)
	b.follow(t, "Enter", chromedp.KeyEvent(kb.Enter))
	b.at(t, "/profile", "Profile")
	tabTo("header button")
	b.follow(t, "Space", chromedp.KeyEvent(" "))
	b.at(t, "/", "Sign in")
}

// contrast lists texts that differ from their ground by less than WCAG 2.2 asks for at
// level AA (1.4.3), what is disabled left out.
const contrast = `(() => {
  const rgba = (c) => { const n = c.match(/[\d.]+/g).map(Number); return n.length > 3 ? n : [...n, 1] };
  const light = (c) => {
    const [r, g, b] = c.map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const bad = [];
  for (const e of document.querySelectorAll("body *")) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()) || e.matches("input");
    if (!own || e.matches(":disabled, :disabled *")) continue;
    let ground = e;
    while (ground.parentElement && rgba(getComputedStyle(ground).backgroundColor)[3] < 1) ground = ground.parentElement;
    const colors = [getComputedStyle(e).color, getComputedStyle(ground).backgroundColor];
    const [a, b] = colors.map(rgba).map(light).sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) bad.push(e.textContent.trim() + ": " + ratio.toFixed(2));
  }
  return bad.join("; ");
})()`

// named lists what a screen reader has no name for, and what a page lacks.
const named = `(() => {
  const bad = [];
  for (const e of document.querySelectorAll("input")) if (!e.labels.length) bad.push("no label: " + e.outerHTML);
  for (const e of document.querySelectorAll("button, a")) {
    if (!e.textContent.trim()) bad.push("no name: " + e.outerHTML);
  }
  const titles = document.querySelectorAll("h1").length;
  if (titles !== 1 || !document.querySelector("main")) bad.push("not one h1, or no main");
  const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
  if (new Set(ids).size !== ids.length) bad.push("an id twice");
  return bad.join("; ");
})()`

func testLooks(t *testing.T, d *demo) {
	visitor, user, administrator, actor := d.profile(t), d.profile(t), d.profile(t), d.profile(t)
	user.signIn(t, d.users[0])
	d.profile(t).signIn(t, d.users[0])
	administrator.signIn(t, d.users[2])
	actor.signIn(t, d.users[2])
	actor.act(t, d.users[0])
	for _, tc := range []struct {
		who   *tab
		paths []string
	}{
		{visitor, []string{"/", "/?notice=over", "/nowhere"}},
		{user, []string{"/devices", "/profile?notice=renamed", "/confirm", "/people"}},
		{administrator, []string{"/people"}},
		{actor, []string{"/devices", "/profile", "/nowhere"}},
	} {
		for _, scheme := range []string{"light", "dark"} {
			tc.who.prefer(t, scheme)
			run(t, tc.who, "a phone", chromedp.EmulateViewport(320, 640, chromedp.EmulateMobile))
			for _, path := range tc.paths {
				tc.who.visit(t, path)
				if width := tc.who.eval(t, `String(document.documentElement.scrollWidth)`); width != "320" {
					t.Errorf("%s is %s pixels wide", path, width)
				}
				if bad := tc.who.eval(t, contrast); bad != "" {
					t.Errorf("%s, %s: too little contrast: %s", path, scheme, bad)
				}
				if bad := tc.who.eval(t, named); bad != "" {
					t.Errorf("%s: %s", path, bad)
				}
				ground := tc.who.eval(t, `getComputedStyle(document.body).backgroundColor`)
				if want := map[string]string{"light": "rgb(250, 249, 246)",
					"dark": "rgb(18, 23, 22)"}[scheme]; ground != want {
					t.Errorf("%s, %s: the ground is %s", path, scheme, ground)
				}
			}
		}
	}
}

// act makes an administrator act as a user.
func (b *tab) act(t *testing.T, userID string) {
	t.Helper()
	b.visit(t, "/people")
	run(t, b, "the reason", chromedp.SendKeys(chromedp.CSS("#why-"+userID), "ticket 4711"))
	b.follow(t, "the form", chromedp.KeyEvent(kb.Enter))
	b.click(t, "main button")
	b.at(t, "/devices", "Devices")
}

func (b *tab) prefer(t *testing.T, scheme string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	})
	if err != nil {
		t.Fatal(err)
	}
}

func testNoForeignRequests(t *testing.T, d *demo) {
	b := d.profile(t)
	b.signIn(t, d.users[0])
	loaded := b.eval(t, `performance.getEntriesByType("resource").map((e) => e.name).join(" ")`)
	for url := range strings.FieldsSeq(loaded) {
		if !strings.HasPrefix(url, d.base+"/") {
			t.Errorf("the page has asked for %s", url)
		}
	}
	if !strings.Contains(loaded, "/style.css") || !strings.Contains(loaded, "/icon.svg") {
		t.Errorf("loaded: %s", loaded)
	}
	if scripts := b.eval(t, `String(document.scripts.length)`); scripts != "0" {
		t.Errorf("%s scripts", scripts)
	}
}

func testWithoutScripts(t *testing.T, d *demo) {
	b := d.profile(t)
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if _, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled,
		emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
		t.Fatal(err)
	}
	b.signIn(t, d.users[1])
	b.visit(t, "/profile")
	run(t, b, "the name", chromedp.SendKeys(chromedp.CSS("#name"), " OBE"))
	b.click(t, "main button")
	b.at(t, "/profile", "Profile")
	if notice := b.shows(t, ".notice"); notice != "Your name is changed." {
		t.Errorf("it says %q", notice)
	}
}

func takePictures(t *testing.T, d *demo) {
	const folder = "../docs/images"
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	ada := d.users[0]
	for _, agent := range []string{
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) Version/18.1 Mobile/15E148 Safari/604.1",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/131.0.0.0 Safari/537.36 Edg/131.0.0.0",
	} {
		r := request(t, http.MethodPost, d.base+"/auth/sessions",
			fmt.Sprintf(`{"user_id": %q, "client": {"user_agent": %q}}`, ada, agent))
		r.Header.Set("Authorization", "Bearer "+serverKey)
		r.Header.Set("Content-Type", "application/json")
		if status, body := do(t, http.DefaultClient, r); status != http.StatusOK {
			t.Fatalf("create: %d %s", status, body)
		}
	}
	visitor, user, administrator := d.profile(t), d.profile(t), d.profile(t)
	user.signIn(t, ada)
	administrator.signIn(t, d.users[2])
	shoot := func(b *tab, name, scheme, path string, width, height int64) {
		t.Helper()
		b.prefer(t, scheme)
		run(t, b, name, chromedp.EmulateViewport(width, height, chromedp.EmulateScale(1.5)))
		b.visit(t, path)
		ctx, cancel := context.WithTimeout(b.ctx, patience)
		defer cancel()
		shot, err := chromedp.Call(ctx, page.CaptureScreenshot, page.CaptureScreenshotParams{
			Format: page.CaptureScreenshotFormatPng,
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(shot.Data) > 120<<10 {
			t.Errorf("%s has %d bytes", name, len(shot.Data))
		}
		if err := os.WriteFile(filepath.Join(folder, name+".png"), shot.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	shoot(visitor, "sign-in", "light", "/", 800, 600)
	shoot(user, "devices", "light", "/devices", 800, 640)
	shoot(user, "devices-dark", "dark", "/devices", 800, 640)
	shoot(user, "devices-phone", "light", "/devices", 360, 740)
	shoot(administrator, "people", "light", "/people", 800, 650)
	administrator.act(t, ada)
	shoot(administrator, "acting", "light", "/profile", 800, 560)
}
