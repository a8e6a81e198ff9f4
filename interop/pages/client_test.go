package pages

import (
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/sessile-go/sessile/sessions/sessionstest"
)

// Three calls with an expired token make one refresh, and a session that is over is forgotten.
func TestPageOnAnotherOrigin(t *testing.T) {
	t.Parallel()
	node, err := exec.LookPath("node")
	if err != nil {
		if os.Getenv("SESSILE_REQUIRE_NODE") == "1" {
			t.Fatalf("SESSILE_REQUIRE_NODE is 1 and there is no Node: %v", err)
		}
		t.Skipf("SKIPPED NODE: %v", err)
	}
	kit := sessionstest.New(t)
	server := httptest.NewServer(hello(kit))
	defer server.Close()
	grant := httptest.NewRecorder()
	if err := kit.WriteGrant(grant, kit.SignIn(t, "alice").Grant); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), node, "client_check.mjs")
	cmd.Env = append(os.Environ(), "BASE_URL="+server.URL)
	cmd.Stdin = strings.NewReader(grant.Body.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
