package interop

import (
	"bufio"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sessile-go/sessile/internal/pgtest"
)

func TestMain(m *testing.M) {
	// What is tested waits for tokens to expire more than it works, so the number
	// of processors is no measure. A -parallel on the command line still counts.
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	pgtest.Main(m)
}

// patience is for machines that are busy with something else.
const patience = 2 * time.Minute

const (
	serverKey = "ssk_0123456789abcdef0123456789abcdef"
	clientKey = "pck_interop"
	projectID = "7d6f0a52-3c1e-4b8d-9f20-6a4e8c5b1d70"
)

// TestInterop starts the example once for each database; all clients use it.
func TestInterop(t *testing.T) {
	t.Parallel()
	program := buildExample(t)
	// Before the first token is made, because it takes longer than a token lives.
	if _, err := exec.LookPath("node"); err == nil {
		if err := installModules(); err != nil {
			t.Fatal(err)
		}
	}
	for name, databaseURL := range map[string]func(t *testing.T) string{
		"sqlite":   func(*testing.T) string { return "" },
		"postgres": func(t *testing.T) string { t.Helper(); return pgtest.DSN(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := start(t, program, databaseURL(t))
			t.Run("Stack SDK 2.8.108", func(t *testing.T) { t.Parallel(); testSDK(t, a, "2.8.108", a.users[0]) })
			t.Run("Stack SDK 2.8.77", func(t *testing.T) { t.Parallel(); testSDK(t, a, "2.8.77", a.users[1]) })
			t.Run("oauth2", func(t *testing.T) { t.Parallel(); testOAuth2(t, a, a.users[2]) })
			t.Run("OAuth clients", func(t *testing.T) { t.Parallel(); testOAuthClients(t, a, a.users[2]) })
			t.Run("go-oidc", func(t *testing.T) { t.Parallel(); testGoOIDC(t, a, a.users[2]) })
			t.Run("JWT libraries", func(t *testing.T) { t.Parallel(); testJWT(t, a, a.users[2]) })
		})
	}
}

// buildExample returns the program that the tests run.
func buildExample(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "example")
	build := exec.Command("go", "build", "-o", program, "./examples/sqlite")
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return program
}

// app is a running example.
type app struct {
	base  string
	users []string
}

// start starts the example with tokens so short that the SDK refreshes soon; with
// less than 30 s it would not work at all.
func start(t *testing.T, program, databaseURL string) *app {
	t.Helper()
	cmd := exec.Command(program)
	cmd.Dir = t.TempDir()
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); name != "ADDR" && name != "DATABASE_URL" &&
			!strings.HasPrefix(name, "SESSILE_") {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	cmd.Env = append(cmd.Env, "ADDR=127.0.0.1:0", "DATABASE_URL="+databaseURL, "SESSILE_ACCESS_TTL=30s",
		"SESSILE_PROJECT_ID="+projectID, "SESSILE_SERVER_KEY="+serverKey, "SESSILE_CLIENT_KEY="+clientKey)
	var logs strings.Builder
	cmd.Stderr = &logs
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	a := &app{}
	ready, exited := make(chan struct{}), make(chan error, 1)
	go func() {
		user := regexp.MustCompile(`^user +(\S+)`)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if base, ok := strings.CutPrefix(lines.Text(), "listening on "); ok {
				a.base = base
			}
			if m := user.FindStringSubmatch(lines.Text()); m != nil {
				if a.users = append(a.users, m[1]); len(a.users) == 3 {
					close(ready)
				}
			}
		}
		exited <- cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		defer kill.Stop()
		if err := <-exited; err != nil {
			t.Errorf("the example ended with %v", err)
		}
		if logs.Len() > 0 {
			t.Errorf("the example has logged:\n%s", logs.String())
		}
	})
	select {
	case <-ready:
	case err := <-exited:
		exited <- err
		t.Fatal("the example does not start")
	case <-time.After(patience):
		t.Fatal("the example does not start")
	}
	return a
}

// issuer is that of the access tokens.
func (a *app) issuer() string { return a.base + "/api/v1/projects/" + projectID }

type grant struct {
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	SessionID    string `json:"session_id"`
}

func (a *app) create(t *testing.T, userID string) grant {
	t.Helper()
	r := request(t, http.MethodPost, a.base+"/auth/sessions", `{"user_id": "`+userID+`"}`)
	r.Header.Set("Authorization", "Bearer "+serverKey)
	r.Header.Set("Content-Type", "application/json")
	status, body := do(t, http.DefaultClient, r)
	var g grant
	if err := json.Unmarshal(body, &g); err != nil || status != http.StatusOK {
		t.Fatalf("create: %d %s %v", status, body, err)
	}
	return g
}

func request(t *testing.T, method, url, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func do(t *testing.T, client *http.Client, r *http.Request) (status int, body []byte) {
	t.Helper()
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err = io.ReadAll(resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, body
}
