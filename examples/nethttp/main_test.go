package main

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const serverKey = "ssk_0123456789abcdef0123456789abcdef"

func TestTheSmallestHostWorks(t *testing.T) {
	t.Parallel()
	base := start(t)

	status, body := request(t, http.MethodPost, base+"/auth/sessions", serverKey, `{"user_id": "ada"}`)
	var grant struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(body), &grant); status != http.StatusOK || err != nil {
		t.Fatalf("create: %d %s (%v)", status, body, err)
	}
	status, body = request(t, http.MethodGet, base+"/me", grant.AccessToken, "")
	if status != http.StatusOK || body != "hello ada\n" {
		t.Errorf("/me with an access token: %d %q", status, body)
	}
	status, body = request(t, http.MethodPost, base+"/sign-in", "", `{"name": "ada", "password": "correct horse"}`)
	if err := json.Unmarshal([]byte(body), &grant); status != http.StatusOK || err != nil {
		t.Fatalf("sign-in: %d %s (%v)", status, body, err)
	}
	status, body = request(t, http.MethodGet, base+"/me", grant.AccessToken, "")
	if status != http.StatusOK || body != "hello ada\n" {
		t.Errorf("/me after a sign-in: %d %q", status, body)
	}
	for _, form := range []string{
		`{"name": "ada", "password": "wrong"}`, `{"name": "eve", "password": "correct horse"}`, ``,
	} {
		if status, body := request(t, http.MethodPost, base+"/sign-in", "", form); status != http.StatusUnauthorized {
			t.Errorf("sign-in with %s: %d %q", form, status, body)
		}
	}
	if status, body := request(t, http.MethodGet, base+"/me", "", ""); status != http.StatusUnauthorized {
		t.Errorf("/me without credentials: %d %q", status, body)
	}
	status, body = request(t, http.MethodPost, base+"/auth/sessions", serverKey, `{"user_id": "nobody"}`)
	if status != http.StatusBadRequest || !strings.Contains(body, "USER_ID_DOES_NOT_EXIST") {
		t.Errorf("create for an unknown user: %d %s", status, body)
	}
}

func TestItDoesNotStartWithoutSecrets(t *testing.T) {
	t.Parallel()
	cmd := command(t, build(t))
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Fatal("it started")
	}
	for _, want := range []string{"a server key starts with ssk_", "Config.Secrets[0]: has 0 bytes"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
}

// start builds and starts the program and returns its address.
func start(t *testing.T) string {
	t.Helper()
	// The program cannot say which port it got, so it is given one that is free.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	program := build(t)
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}

	secret := strings.Repeat("test", 11)
	cmd := command(t, program, "ADDR="+addr, "SESSILE_SECRET="+secret, "SESSILE_SERVER_KEY="+serverKey)
	var log strings.Builder
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })

	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		if conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr); err == nil {
			_ = conn.Close()
			return "http://" + addr
		}
		select {
		case <-ended:
			t.Fatalf("it ended:\n%s", log.String())
		case <-ctx.Done():
			t.Fatal("it does not answer")
		case <-tick.C:
		}
	}
}

func build(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "nethttp")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return program
}

// command runs the program in a directory of its own, without our variables in its
// environment.
func command(t *testing.T, program string, env ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(program)
	cmd.Dir = filepath.Dir(program)
	cmd.Env = env
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "ADDR=") && !strings.HasPrefix(kv, "SESSILE_SE") {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	return cmd
}

func request(t *testing.T, method, url, bearer, body string) (status int, answer string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
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
	return resp.StatusCode, string(text)
}
