package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sessile-go/sessile/internal/pgtest"
)

// The tests run this very binary as the program, in a process of its own: what is
// tested is what a newcomer starts, signals and exit code included.
const envProgram = "SESSILE_TEST_RUNS_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(envProgram) == "1" {
		main()
		return
	}
	pgtest.Main(m)
}

// patience is for machines that are busy with something else.
const patience = time.Minute

const (
	testServerKey = "ssk_0123456789abcdef0123456789abcdef"
	testAdminKey  = "sak_0123456789abcdef0123456789abcdef"
	testClientKey = "pck_test"
	testProject   = "5e551e00-0000-4000-8000-000000000001"
	testOrigin    = "https://app.example"
)

// onBoth runs a test on both databases. url is the DATABASE_URL.
func onBoth(t *testing.T, test func(t *testing.T, url string)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, filepath.Join(t.TempDir(), "test.db"))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, pgtest.DSN(t))
	})
}

// app is a running program.
type app struct {
	base     string
	greeting string
	cmd      *exec.Cmd

	exited chan struct{}
	err    error // after exited
	logs   *logBuffer
}

type logBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// program returns a command for the program in directory dir, with env and none of the settings of this process.
func program(t *testing.T, dir string, env ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Dir = dir
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); name != "ADDR" && name != "DATABASE_URL" &&
			!strings.HasPrefix(name, "SESSILE_") {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	cmd.Env = append(append(cmd.Env, envProgram+"=1", "ADDR=127.0.0.1:0"), env...)
	return cmd
}

// fixedAddr returns an address for a program that is started again: the issuer of its tokens
// has the address in it. The port is outside the range that systems hand out by themselves, so
// nobody else gets it meanwhile.
func fixedAddr(t *testing.T) string {
	t.Helper()
	for range 100 {
		listener, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(20000+rand.IntN(10000)))
		if err == nil {
			defer listener.Close()
			return listener.Addr().String()
		}
	}
	t.Fatal("no free port")
	return ""
}

// start starts the program, on any port unless env has one, and waits until it has printed its address.
func start(t *testing.T, dir string, env ...string) *app {
	t.Helper()
	a := &app{cmd: program(t, dir, env...), exited: make(chan struct{}), logs: &logBuffer{}}
	a.cmd.Stderr = a.logs
	out, err := a.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := a.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	greeted := make(chan string, 1)
	go func() {
		var text strings.Builder
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			text.WriteString(lines.Text() + "\n")
			if strings.Contains(lines.Text(), "/me'") { // the last line
				greeted <- text.String()
			}
		}
		a.err = a.cmd.Wait()
		close(a.exited)
	}()
	t.Cleanup(func() {
		_ = a.cmd.Process.Kill() // if the test did not stop it
		<-a.exited
		if logs := a.logs.String(); strings.Contains(logs, "ey"+"J") || strings.Contains(logs, "srt1_") ||
			strings.Contains(logs, "SELECT") {
			t.Errorf("a token or SQL in the log:\n%s", logs)
		}
	})
	select {
	case a.greeting = <-greeted:
	case <-a.exited:
		t.Fatalf("it ended: %v\n%s", a.err, a.logs)
	case <-time.After(patience):
		t.Fatalf("it does not start:\n%s", a.logs)
	}
	first, _, _ := strings.Cut(a.greeting, "\n")
	a.base = strings.TrimPrefix(first, "listening on ")
	return a
}

// stop sends a signal and waits for the end.
func (a *app) stop(t *testing.T, signal os.Signal) {
	t.Helper()
	if err := a.cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	select {
	case <-a.exited:
	case <-time.After(patience):
		t.Fatal("it does not stop")
	}
	if a.err != nil {
		t.Errorf("%v: %v\n%s", signal, a.err, a.logs)
	}
}

// answer is an HTTP answer whose body was read.
type answer struct {
	status int
	header http.Header
	body   map[string]any
	text   string
}

func (a answer) code() string { s, _ := a.body["code"].(string); return s }

// header is one name and value of a request.
type header struct{ name, value string }

func bearer(token string) header { return header{"Authorization", "Bearer " + token} }

// stack returns the headers of a client of the x-stack family, and more.
func stack(access string, more ...header) []header {
	all := []header{{"X-Stack-Access-Type", access}, {"X-Stack-Project-Id", testProject}}
	return append(all, more...)
}

func (a *app) do(t *testing.T, method, path, body string, headers ...header) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, a.base+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		r.Header.Set(h.name, h.value)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	got := answer{status: resp.StatusCode, header: resp.Header, text: string(text)}
	_ = json.Unmarshal(text, &got.body) // an empty body has no fields
	return got
}

// want calls do, and fails unless the answer has this status and, unless it is empty, this code.
func (a *app) want(t *testing.T, status int, code, method, path, body string, headers ...header) answer {
	t.Helper()
	got := a.do(t, method, path, body, headers...)
	if got.status != status || got.code() != code {
		t.Fatalf("%s %s: %d %s, want %d %s", method, path, got.status, got.text, status, code)
	}
	return got
}

// grant is what create and refresh answer.
type grant struct{ access, refresh, session string }

func grantOf(t *testing.T, a answer) grant {
	t.Helper()
	text := func(name string) string {
		s, _ := a.body[name].(string)
		if s == "" {
			t.Fatalf("no %s in %s", name, a.text)
		}
		return s
	}
	return grant{text("access_token"), text("refresh_token"), text("session_id")}
}

func (a *app) create(t *testing.T, userID string) grant {
	t.Helper()
	return grantOf(t, a.want(t, 200, "", "POST", "/auth/sessions", `{"user_id": "`+userID+`"}`, bearer(testServerKey)))
}

func keys() []string {
	return []string{
		"SESSILE_SERVER_KEY=" + testServerKey, "SESSILE_ADMIN_KEY=" + testAdminKey, "SESSILE_CLIENT_KEY=" +
			testClientKey,
	}
}

// paste runs the first curl of the greeting as a newcomer does, in whose shell env is
// set.
func (a *app) paste(t *testing.T, env ...string) answer {
	t.Helper()
	_, command, found := strings.Cut(a.greeting, "\ncurl -X POST")
	command, _, ended := strings.Cut(command, "\n\n")
	if !found || !ended {
		t.Fatalf("no curl in:\n%s", a.greeting)
	}
	command = "curl -X POST" + command
	if _, err := exec.LookPath("curl"); err == nil {
		shell := exec.Command("/bin/sh", "-c", command+" -sS --fail-with-body")
		shell.Env = append(os.Environ(), env...)
		out, err := shell.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s\n%s", err, command, out)
		}
		got := answer{status: 200, text: string(out)}
		if err := json.Unmarshal(out, &got.body); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return got
	}
	for _, kv := range env {
		name, value, _ := strings.Cut(kv, "=")
		command = strings.ReplaceAll(command, "$"+name, value)
	}
	var quoted []string
	for _, m := range regexp.MustCompile(`'([^']*)'|"([^"]*)"`).FindAllStringSubmatch(command, -1) {
		quoted = append(quoted, m[1]+m[2])
	}
	if len(quoted) != 4 {
		t.Fatalf("not the curl that was expected:\n%s", command)
	}
	target, err := url.Parse(quoted[0])
	if err != nil {
		t.Fatal(err)
	}
	return a.do(t, "POST", target.Path, quoted[3], header{
		"Authorization", strings.TrimPrefix(quoted[1], "Authorization: "),
	})
}

func TestNewcomersWalk(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, databaseURL string) {
		a := start(t, t.TempDir(), "DATABASE_URL="+databaseURL)
		for _, u := range seeds() {
			if !strings.Contains(a.greeting, u.ID) {
				t.Errorf("the greeting does not show user %s:\n%s", u.ID, a.greeting)
			}
		}
		ada := seeds()[0]
		a.want(t, 401, "ACCESS_TYPE_REQUIRED", "GET", "/me", "")

		first := grantOf(t, a.paste(t))
		second := grantOf(t, a.paste(t))
		me := a.want(t, 200, "", "GET", "/me", "", bearer(first.access))
		if me.body["id"] != ada.ID || me.body["name"] != ada.Name || me.body["session_id"] != first.session ||
			me.body["is_administrator"] != false {
			t.Errorf("/me: %s", me.text)
		}

		refreshed := grantOf(
			t, a.want(t, 200, "", "POST", "/auth/sessions/current/refresh", "", header{
				"X-Stack-Refresh-Token", first.refresh,
			}),
		)
		if refreshed.refresh == first.refresh || refreshed.session != first.session {
			t.Error("the refresh token was not rotated, or the session is another")
		}
		if n := len(a.items(t, refreshed.access)); n != 2 {
			t.Errorf("%d sessions in the list, want 2", n)
		}

		a.want(t, 200, "", "DELETE", "/auth/sessions/"+second.session, "", bearer(refreshed.access))
		a.want(t, 401, "ACCESS_TOKEN_EXPIRED", "GET", "/me", "", bearer(second.access))
		if n := len(a.items(t, refreshed.access)); n != 1 {
			t.Errorf("%d sessions in the list, want 1", n)
		}

		a.want(t, 200, "", "DELETE", "/auth/sessions/current", "", bearer(refreshed.access))
		a.want(t, 401, "ACCESS_TOKEN_EXPIRED", "GET", "/me", "", bearer(refreshed.access))
		a.want(t, 401, "REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED", "POST", "/auth/sessions/current/refresh", "",
			header{"X-Stack-Refresh-Token", refreshed.refresh})
		a.stop(t, syscall.SIGTERM)
	})
}

func (a *app) items(t *testing.T, access string) []any {
	t.Helper()
	items, _ := a.want(t, 200, "", "GET", "/auth/sessions?user_id=me", "", bearer(access)).body["items"].([]any)
	return items
}

func TestRoutesForTheSDK(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, databaseURL string) {
		a := start(t, t.TempDir(), append(keys(), "DATABASE_URL="+databaseURL)...)
		grace := seeds()[2]
		g := a.create(t, grace.ID)
		server := stack("server", header{"X-Stack-Secret-Server-Key", testServerKey})

		for name, got := range map[string]answer{
			"users/{id} for a server": a.want(t, 200, "", "GET", "/api/v1/users/"+grace.ID, "", server...),
			"users/me for a client": a.want(t, 200, "", "GET", "/api/v1/users/me", "",
				stack("client", header{"X-Stack-Access-Token", g.access})...),
			"users/me for a server with a user": a.want(t, 200, "", "GET", "/api/v1/users/me", "",
				append(server, header{"X-Hexclave-Access-Token", g.access})...),
		} {
			scores, _ := got.body["risk_scores"].(map[string]any)
			if got.body["id"] != grace.ID || got.body["primary_email"] != grace.Email || scores["sign_up"] == nil {
				t.Errorf("%s: %s", name, got.text)
			}
			if got.header.Get("X-Stack-Request-Id") == "" || got.header.Get("X-Hexclave-Request-Id") == "" {
				t.Errorf("%s: no request id in %v", name, got.header)
			}
		}

		for _, tc := range []struct {
			name, path string
			headers    []header
			status     int
			code       string
		}{
			{"an unknown user", "/api/v1/users/11111111-2222-4333-8444-555555555555", server, 404, "USER_NOT_FOUND"},
			{"what is no id", "/api/v1/users/%00", server, 404, "USER_NOT_FOUND"},
			{"bytes that are not UTF-8", "/api/v1/users/%ff", server, 404, "USER_NOT_FOUND"},
			{"a user, for a client", "/api/v1/users/" + grace.ID,
				stack("client", header{"X-Stack-Access-Token", g.access}), 401, "INSUFFICIENT_ACCESS_TYPE"},
			{"me without a user", "/api/v1/users/me", stack("client"), 400, "CANNOT_GET_OWN_USER_WITHOUT_USER"},
			{"me with a server key alone", "/api/v1/users/me", server, 400, "CANNOT_GET_OWN_USER_WITHOUT_USER"},
			{"me with a forged token", "/api/v1/users/me",
				stack("client", header{"X-Stack-Access-Token", g.access[:len(g.access)-4] + "AAAA"}), 401,
				"UNPARSABLE_ACCESS_TOKEN"},
			{"a wrong client key", "/api/v1/users/me",
				stack("client", header{"X-Stack-Publishable-Client-Key", "pck_wrong"}), 401,
				"INVALID_PUBLISHABLE_CLIENT_KEY"},
		} {
			got := a.want(t, tc.status, tc.code, "GET", tc.path, "", tc.headers...)
			if known := got.header.Get("X-Stack-Known-Error"); known != tc.code ||
				got.header.Get("X-Hexclave-Known-Error") != tc.code {
				t.Errorf("%s: known error %q", tc.name, known)
			}
			// The SDK asks for errors as 200, to spare the browser's console.
			got = a.do(t, "GET", tc.path, "", append(tc.headers, header{"X-Stack-Override-Error-Status", "true"})...)
			if got.status != 200 || got.header.Get("X-Stack-Actual-Status") == "" || got.code() != tc.code {
				t.Errorf("%s, overridden: %d %s %v", tc.name, got.status, got.text, got.header)
			}
		}

		project := a.want(t, 200, "", "GET", "/api/v1/projects/current", "", stack("client")...)
		config, _ := project.body["config"].(map[string]any)
		if project.body["id"] != testProject || config["enabled_oauth_providers"] == nil || config["domains"] == nil ||
			config["allow_localhost"] != true {
			t.Errorf("projects/current: %s", project.text)
		}
		a.want(t, 200, "", "GET", "/health", "")

		// The session API is there twice, and so is its key set.
		a.want(t, 200, "", "GET", "/api/v1/auth/sessions?user_id="+grace.ID, "", server...)
		a.want(t, 200, "", "GET", "/.well-known/jwks.json", "")
		a.want(t, 200, "", "GET", "/api/v1/projects/"+testProject+"/.well-known/jwks.json", "")
		for _, path := range []string{
			"/.well-known/oauth-authorization-server/api/v1/projects/" + testProject, "/api/v1/projects/" +
				testProject + "/.well-known/openid-configuration",
		} {
			got := a.want(t, 200, "", "GET", path, "")
			if got.body["issuer"] != a.base+"/api/v1/projects/"+testProject || got.body["token_endpoint"] != a.base+
				"/api/v1/auth/oauth/token" {
				t.Errorf("%s: %s", path, got.text)
			}
		}
		a.want(t, 200, "", "GET", "/auth/sessions?user_id="+grace.ID, "", bearer(testAdminKey))
	})
}

func TestBrowsersMayAsk(t *testing.T) {
	t.Parallel()
	a := start(t, t.TempDir(), keys()...)
	for _, path := range []string{
		"/auth/sessions", "/api/v1/auth/sessions/current", "/api/v1/auth/oauth/token", "/api/v1/users/me",
		"/me", "/nowhere",
	} {
		got := a.do(t, "OPTIONS", path, "", header{"Origin", testOrigin}, header{
			"Access-Control-Request-Method", "DELETE",
		})
		if got.status != 204 || got.header.Get("Access-Control-Allow-Origin") != "*" ||
			got.header.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("preflight of %s: %d %v", path, got.status, got.header)
		}
		for _, method := range []string{"GET", "POST", "DELETE"} {
			if !strings.Contains(got.header.Get("Access-Control-Allow-Methods"), method) {
				t.Errorf("preflight of %s does not allow %s", path, method)
			}
		}
		allowed := "," + strings.ToLower(got.header.Get("Access-Control-Allow-Headers")) + ","
		for _, name := range []string{
			"access-type", "project-id", "branch-id", "publishable-client-key", "secret-server-key",
			"super-secret-admin-key",
			"access-token", "refresh-token", "override-error-status", "allow-anonymous-user", "allow-restricted-user",
			"client-version", "random-nonce",
		} {
			if !strings.Contains(allowed, ",x-stack-"+name+",") || !strings.Contains(allowed, ",x-hexclave-"+name+",") {
				t.Errorf("preflight of %s does not allow both spellings of %s", path, name)
			}
		}
		for _, name := range []string{"authorization", "content-type", "ngrok-skip-browser-warning"} {
			if !strings.Contains(allowed, ","+name+",") {
				t.Errorf("preflight of %s does not allow %s", path, name)
			}
		}
	}
	got := a.do(t, "GET", "/api/v1/users/me", "", stack("client", header{"Origin", testOrigin})...)
	exposed := "," + strings.ToLower(got.header.Get("Access-Control-Expose-Headers")) + ","
	for _, name := range []string{"known-error", "actual-status", "request-id"} {
		if !strings.Contains(exposed, ",x-stack-"+name+",") || !strings.Contains(exposed, ",x-hexclave-"+name+",") {
			t.Errorf("%s is not exposed in both spellings: %s", name, exposed)
		}
	}
}

func TestSecretsAreMadeOnceAndKeptBesideTheDatabase(t *testing.T) {
	t.Parallel()
	for name, databaseURL := range map[string]func(dir string) string{
		"by default":  func(string) string { return "" },
		"a path":      func(dir string) string { return filepath.Join(dir, "my 100%25 own?.db") },
		"file:":       func(string) string { return "file:rel%20ative.db?_busy_timeout=100" },
		"file:///":    func(dir string) string { return "file://" + dir + "/absolute.db" },
		"sqlite://":   func(string) string { return "sqlite://relative.db" },
		"sqlite:////": func(dir string) string { return "sqlite://" + dir + "/absolute.db" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			env := append(keys(), "DATABASE_URL="+databaseURL(dir), "ADDR="+fixedAddr(t))
			a := start(t, dir, env...)
			g := a.create(t, seeds()[0].ID)
			before := keptIn(t, dir)
			a.stop(t, os.Interrupt)

			again := start(t, dir, env...)
			if keptIn(t, dir) != before {
				t.Error("the second start made other secrets")
			}
			again.want(t, 200, "", "GET", "/me", "", bearer(g.access))
			again.want(t, 200, "", "POST", "/auth/sessions/current/refresh", "", header{
				"X-Stack-Refresh-Token", g.refresh,
			})
			again.stop(t, syscall.SIGTERM)
		})
	}
}

// keptIn returns the secrets kept in dir, next to the database, with mode 0600.
func keptIn(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var files, secrets []string
	for _, e := range entries {
		files = append(files, e.Name())
		if strings.HasSuffix(e.Name(), ".secrets") {
			secrets = append(secrets, e.Name())
		}
	}
	if len(secrets) != 1 {
		t.Fatalf("not one file of secrets among %q", files)
	}
	path := filepath.Join(dir, secrets[0])
	if database := strings.TrimSuffix(path, ".secrets"); database != filepath.Join(dir, "sessile") {
		if _, err := os.Stat(database); err != nil {
			t.Errorf("the secrets are not beside the database: %q", files)
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != 0o600 {
		t.Errorf("the secrets have mode %v", info.Mode())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestReplicasThatStartTogetherAgree(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, databaseURL string) {
		dir := t.TempDir() // of Postgres's secrets
		replicas := make([]*app, 4)
		var starting sync.WaitGroup
		for i := range replicas {
			starting.Go(func() {
				replicas[i] = start(
					t, dir, append(keys(), "DATABASE_URL="+databaseURL,
						"SESSILE_ISSUER=https://app.example/api/v1/projects/5e551e00-0000-4000-8000-000000000001")...,
				)
			})
		}
		starting.Wait()
		if t.Failed() {
			return
		}
		g := replicas[0].create(t, seeds()[1].ID)
		for i, a := range replicas {
			g = grantOf(
				t, a.want(t, 200, "", "POST", "/auth/sessions/current/refresh", "", header{
					"X-Stack-Refresh-Token", g.refresh,
				}),
			)
			for _, other := range replicas {
				other.want(t, 200, "", "GET", "/me", "", bearer(g.access))
			}
			if i == len(replicas)-1 {
				a.want(t, 200, "", "DELETE", "/auth/sessions/current", "", bearer(g.access))
			}
		}
		replicas[0].want(t, 401, "REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED", "POST", "/auth/sessions/current/refresh", "",
			header{"X-Stack-Refresh-Token", g.refresh})
		keptSecretsOf := dir
		if !strings.HasPrefix(databaseURL, "postgres") {
			keptSecretsOf = filepath.Dir(databaseURL)
		}
		keptIn(t, keptSecretsOf)
	})
}

func TestTheEnvironmentIsHeeded(t *testing.T) {
	t.Parallel()
	const (
		standard = "+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/8=" // padded
		urlSafe  = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh-_" // 33 bytes
	)
	dir := t.TempDir()
	env := append(keys(), "SESSILE_PROJECT_ID=11111111-2222-4333-8444-555555555555", "SESSILE_ACCESS_TTL=90s",
		"SESSILE_OVERLAP=5s", "ADDR="+fixedAddr(t))
	a := start(t, dir, append(env, "SESSILE_SECRETS="+standard)...)
	got := a.want(t, 200, "", "POST", "/auth/sessions", `{"user_id": "`+seeds()[0].ID+`"}`, bearer(testServerKey))
	if got.body["expires_in"] != 90.0 {
		t.Errorf("expires_in: %s", got.text)
	}
	g := grantOf(t, got)
	me := header{"X-Stack-Access-Token", g.access}
	a.want(t, 200, "", "GET", "/api/v1/users/me", "", header{"X-Stack-Access-Type", "client"}, header{
		"X-Stack-Project-Id", "11111111-2222-4333-8444-555555555555",
	}, header{"X-Stack-Publishable-Client-Key", testClientKey}, me)
	a.want(t, 401, "INVALID_PROJECT_FOR_ACCESS_TOKEN", "GET", "/api/v1/users/me", "", stack("client", me)...)
	for _, key := range []string{testServerKey, testAdminKey, testClientKey} {
		if strings.Contains(a.greeting, key) {
			t.Errorf("a key that was given is shown:\n%s", a.greeting)
		}
	}
	grantOf(t, a.paste(t, "SESSILE_SERVER_KEY="+testServerKey))
	a.stop(t, syscall.SIGTERM)

	// The first secret signs, all verify.
	rotated := start(
		t, dir, append(env, "SESSILE_SECRETS="+strings.TrimRight(urlSafe, "=")+", "+
			strings.TrimRight(standard, "="))...,
	)
	rotated.want(t, 200, "", "GET", "/me", "", bearer(g.access))
	g = grantOf(
		t, rotated.want(t, 200, "", "POST", "/auth/sessions/current/refresh", "", header{
			"X-Stack-Refresh-Token", g.refresh,
		}),
	)
	rotated.stop(t, syscall.SIGTERM)
	dropped := start(t, dir, append(env, "SESSILE_SECRETS="+urlSafe)...)
	dropped.want(t, 200, "", "GET", "/me", "", bearer(g.access))
	if _, err := os.Stat(filepath.Join(dir, "sessile.db.secrets")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("secrets were given and a file was made: %v", err)
	}
}

func TestBadEnvironmentIsRefusedClearly(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ env, want string }{
		{"SESSILE_SERVER_KEY=ssk_short", "SESSILE_SERVER_KEY: "},
		{"SESSILE_SERVER_KEY=0123456789abcdef0123456789abcdef0123", "a server key starts with ssk_"},
		{"SESSILE_SERVER_KEY=" + testAdminKey, "SESSILE_SERVER_KEY: "},
		{"SESSILE_ADMIN_KEY=" + testServerKey, "SESSILE_ADMIN_KEY: "},
		{"SESSILE_ADMIN_KEY=sak_short", "at least 32 are required"},
		{"SESSILE_SECRETS=c2hvcnQ=", "SESSILE_SECRETS: number 1"},
		{"SESSILE_SECRETS=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh+/,", "SESSILE_SECRETS: number 2"},
		{"SESSILE_SECRETS=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh+/,AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh-_",
			"is the same as Secrets[0]"},
		{"SESSILE_ACCESS_TTL=10", "SESSILE_ACCESS_TTL: \"10\" is not a positive duration"},
		{"SESSILE_ACCESS_TTL=1s", "Config.AccessTokenTTL"},
		{"SESSILE_OVERLAP=-1s", "SESSILE_OVERLAP: "},
		{"SESSILE_OVERLAP=9m", "Config.Rotation.Overlap"},
		{"SESSILE_PROJECT_ID=a project", "Config.ProjectID"},
		{"SESSILE_ISSUER=app.example/api/v1/projects/5e551e00-0000-4000-8000-000000000001",
			"Config.Issuer: must be an absolute http or https URL"},
		{"SESSILE_ISSUER=https://app.example/api/v1/projects/another",
			"SESSILE_ISSUER: must be the address of the app"},
		{"SESSILE_INSECURE_COOKIE=yes", "SESSILE_INSECURE_COOKIE: \"yes\" is neither 0 nor 1"},
		{"DATABASE_URL=mysql://localhost/x", "DATABASE_URL: mysql:// is neither"},
		{"DATABASE_URL=file::memory:", "DATABASE_URL: must name a file"},
		{"DATABASE_URL=/nowhere/at/all.db", "/nowhere/at"},
		{"DATABASE_URL=postgres://u:hush@127.0.0.1:1/x?connect_timeout=5", "open the database"},
		{"ADDR=nonsense", "missing port"},
	} {
		t.Run(tc.env, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			cmd := program(t, t.TempDir(), tc.env)
			var out strings.Builder
			cmd.Stdout, cmd.Stderr = &out, &out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
			err := cmd.Wait()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(out.String(), tc.want) {
				t.Errorf("%v, want exit code 1 and %q in:\n%s", err, tc.want, out.String())
			}
			if value := strings.TrimPrefix(strings.TrimPrefix(tc.env, "SESSILE_SECRETS="),
				"SESSILE_SERVER_KEY="); value != tc.env && strings.Contains(out.String(), value) ||
				strings.Contains(out.String(), "hush") {
				t.Errorf("a secret is shown:\n%s", out.String())
			}
		})
	}
}

func TestASignalLetsRequestsFinish(t *testing.T) {
	t.Parallel()
	a := start(t, t.TempDir(), keys()...)
	g := a.create(t, seeds()[0].ID)
	addr := strings.TrimPrefix(a.base, "http://")
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	send := func(format string, args ...any) {
		t.Helper()
		if _, err := fmt.Fprintf(conn, format, args...); err != nil {
			t.Fatal(err)
		}
	}

	// "100 Continue" says that the handler waits for the body.
	body := url.Values{
		"grant_type": {"refresh_token"}, "client_id": {testProject}, "client_secret": {testClientKey},
		"refresh_token": {g.refresh},
	}.Encode()
	send("POST /auth/oauth/token HTTP/1.1\r\nHost: %s\r\nExpect: 100-continue\r\nContent-Type: "+
		"application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n", addr, len(body))
	answers := bufio.NewReader(conn)
	if line, err := answers.ReadString('\n'); err != nil || !strings.Contains(line, " 100 ") {
		t.Fatalf("%q %v", line, err)
	}
	if err := a.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(patience)
	for { // until nobody new is let in
		another, err := net.Dial("tcp", addr)
		if err != nil {
			break
		}
		_ = another.Close()
		if time.Now().After(deadline) {
			t.Fatal("it goes on listening")
		}
		<-tick.C
	}
	send("%s", body)
	if line, err := answers.ReadString('\n'); err != nil || line != "\r\n" { // the end of "100 Continue"
		t.Fatalf("%q %v", line, err)
	}
	if line, err := answers.ReadString('\n'); err != nil || !strings.Contains(line, " 200 ") {
		t.Errorf("the request that was under way: %q %v", line, err)
	}
	select {
	case <-a.exited:
	case <-time.After(patience):
		t.Fatal("it does not stop")
	}
	if a.err != nil {
		t.Errorf("it ended with %v\n%s", a.err, a.logs)
	}
}
