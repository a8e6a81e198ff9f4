package docs_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

// readSecrets reads sessions.Config.Secrets: base64, separated by commas. The first one signs.
func readSecrets(text string) (secrets [][]byte, err error) {
	for i, field := range strings.Split(text, ",") {
		secret, err := base64.StdEncoding.DecodeString(field)
		if err != nil {
			return nil, fmt.Errorf("secret %d is not base64", i) // and never shown
		}
		secrets = append(secrets, secret)
	}
	return secrets, nil
}

func TestSecretsRotateWithoutSigningAnybodyOut(t *testing.T) {
	t.Parallel()
	old := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("old one "), 4))
	next := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("new one "), 4))
	store := sessionstest.NewStore()
	var token string
	for _, text := range []string{old, old + "," + next, next + "," + old, next} {
		secrets, err := readSecrets(text)
		if err != nil {
			t.Fatal(err)
		}
		kit := sessionstest.New(t, func(c *sessions.Config) { c.Secrets, c.Store = secrets, store })
		if token == "" {
			token = kit.SignIn(t, "alice").Grant.RefreshToken.Reveal()
			continue
		}
		grant, err := kit.Refresh(t.Context(), token, sessions.Client{})
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		token = grant.RefreshToken.Reveal()
	}
	if _, err := readSecrets("not base64"); err == nil || strings.Contains(err.Error(), "not base64,") {
		t.Error(err)
	}
}

func TestTrustedProxies(t *testing.T) {
	t.Parallel()
	sessionstest.New(t, func(config *sessions.Config) {
		config.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} // your load balancer
	})
}
