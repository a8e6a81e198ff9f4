package interop

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// installModules gets what the scripts need, unless it is there.
func installModules() error {
	wanted, err := os.Stat("package-lock.json")
	if err != nil {
		return err
	}
	if there, err := os.Stat("node_modules/.package-lock.json"); err == nil && there.ModTime().After(wanted.ModTime()) {
		return nil
	}
	if out, err := exec.Command("npm", "ci").CombinedOutput(); err != nil {
		return fmt.Errorf("npm ci: %w\n%s", err, out)
	}
	return nil
}

// node runs a script of this folder and returns what it prints. Without Node it skips the
// test, or fails it if SESSILE_REQUIRE_NODE is 1.
func node(t *testing.T, script string, stdin io.Reader, env ...string) []byte {
	t.Helper()
	if _, err := exec.LookPath("node"); err != nil {
		if os.Getenv("SESSILE_REQUIRE_NODE") == "1" {
			t.Fatalf("SESSILE_REQUIRE_NODE is 1 and there is no Node: %v", err)
		}
		t.Skipf("SKIPPED NODE: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", script)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin = stdin
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", script, err, out, stderr.String())
	}
	return out
}

// testSDK lets sdk.mjs go through the life of sessions of a user with one version
// of the published SDK.
func testSDK(t *testing.T, a *app, version, userID string) {
	t.Helper()
	name := "stackframe-js-" + version
	node(t, "sdk.mjs", nil,
		"SDK="+name, "BASE_URL="+a.base, "PROJECT_ID="+projectID, "USER_ID="+userID, "SERVER_KEY="+serverKey,
		"CLIENT_KEY="+clientKey)

	text, err := os.ReadFile(filepath.Join("node_modules", name, "package.json"))
	if err != nil {
		t.Fatal(err)
	}
	var manifest struct{ Name, Version string }
	if err := json.Unmarshal(text, &manifest); err != nil || manifest.Name != "@stackframe/js" ||
		manifest.Version != version {
		t.Errorf("%s is %+v (%v)", name, manifest, err)
	}
}
