package sessions_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/sessile-go/sessile/sessions"
)

func TestConfigFaultsAreJoined(t *testing.T) {
	t.Parallel()
	_, err := sessions.New(sessions.Config{})
	for _, field := range []string{"Store", "Users", "Secrets", "Issuer", "Audience"} {
		if err == nil || !strings.Contains(err.Error(), "sessions: Config."+field+": ") {
			t.Errorf("empty config: error does not name %s: %v", field, err)
		}
	}

	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, field string
		change      func(*sessions.Config)
	}{
		{"a short secret", "Secrets[0]", func(c *sessions.Config) { c.Secrets = [][]byte{make([]byte, 31)} }},
		{"a secret of zeros", "Secrets[0]", func(c *sessions.Config) { c.Secrets = [][]byte{make([]byte, 32)} }},
		{"a secret of one character", "Secrets[1]", func(c *sessions.Config) {
			c.Secrets = [][]byte{secret(1), []byte(strings.Repeat("x", 44))}
		}},
		{"a repeated secret", "Secrets[1]", func(c *sessions.Config) { c.Secrets = [][]byte{secret(1), secret(1)} }},
		{"a signer on another curve", "Signers[0]", func(c *sessions.Config) { c.Signers = []crypto.Signer{p224} }},
		{"a signer of another kind", "Signers[0]", func(c *sessions.Config) { c.Signers = []crypto.Signer{edwards} }},
		{"a nil signer", "Signers[0]", func(c *sessions.Config) { c.Signers = []crypto.Signer{nil} }},
		{"a repeated signer", "Signers[1]", func(c *sessions.Config) { c.Signers = []crypto.Signer{p256, p256} }},
		{"a relative issuer", "Issuer", func(c *sessions.Config) { c.Issuer = "/auth" }},
		{"an issuer of another scheme", "Issuer", func(c *sessions.Config) { c.Issuer = "ftp://example.com" }},
		{"a project id with a slash", "ProjectID", func(c *sessions.Config) { c.ProjectID = "a/b" }},
		{"an empty former audience", "FormerAudiences[0]", func(c *sessions.Config) {
			c.FormerAudiences = []string{""}
		}},
		{"a former audience with a line break", "FormerAudiences[1]", func(c *sessions.Config) {
			c.FormerAudiences = []string{"a", "a\nb"}
		}},
		{"the audience as a former one", "FormerAudiences[0]", func(c *sessions.Config) {
			c.FormerAudiences = []string{c.ProjectID}
		}},
		{"a former audience twice", "FormerAudiences[2]", func(c *sessions.Config) {
			c.FormerAudiences = []string{"a", "b", "a"}
		}},
		{"an audience with a line break", "Audience", func(c *sessions.Config) { c.Audience = "a\nb" }},
		{"an empty client key", "ClientKeys[0]", func(c *sessions.Config) { c.ClientKeys = []string{""} }},
		{"the placeholder as client key", "ClientKeys[0]", func(c *sessions.Config) {
			c.ClientKeys = []string{"__stack_public_client__"}
		}},
		{"client keys required and none given", "RequireClientKey", func(c *sessions.Config) {
			c.RequireClientKey = true
		}},
		{"a server key without a name", "ServerKeys[0].Name", func(c *sessions.Config) {
			c.ServerKeys = []sessions.ServerKey{{Access: sessions.AccessServer, SHA256: strings.Repeat("0", 64)}}
		}},
		{"a server key with client access", "ServerKeys[0].Access", func(c *sessions.Config) {
			c.ServerKeys = []sessions.ServerKey{
				{Name: "n", Access: sessions.AccessClient, SHA256: strings.Repeat("0", 64)},
			}
		}},
		{"a server key in clear", "ServerKeys[0].SHA256", func(c *sessions.Config) {
			c.ServerKeys = []sessions.ServerKey{
				{Name: "n", Access: sessions.AccessServer, SHA256: "ssk_" + strings.Repeat("0", 60)},
			}
		}},
		{"access tokens that live too short", "AccessTokenTTL", func(c *sessions.Config) {
			c.AccessTokenTTL = time.Second
		}},
		{"access tokens that live too long", "AccessTokenTTL", func(c *sessions.Config) {
			c.AccessTokenTTL = 25 * time.Hour
		}},
		{"a default life above the ceiling", "SessionTTL", func(c *sessions.Config) {
			c.SessionTTL, c.MaxSessionTTL = 2*time.Hour, time.Hour
		}},
		{"a negative life", "SessionTTL", func(c *sessions.Config) { c.SessionTTL = -1 }},
		{"an idle timeout below the access token's life", "IdleTimeout", func(c *sessions.Config) {
			c.IdleTimeout = time.Minute
		}},
		{"an idle timeout of the access token's life", "IdleTimeout", func(c *sessions.Config) {
			c.IdleTimeout = 10 * time.Minute
		}},
		{"an idle timeout that a retry overruns", "IdleTimeout", func(c *sessions.Config) {
			c.IdleTimeout = 11 * time.Minute
		}},
		{"an idle timeout of centuries", "IdleTimeout", func(c *sessions.Config) {
			c.IdleTimeout = 101 * 365 * 24 * time.Hour
		}},
		{"an impersonation above a day", "Impersonation.MaxTTL", func(c *sessions.Config) {
			c.Impersonation.MaxTTL = 25 * time.Hour
		}},
		{"an impersonation below 30 s", "Impersonation.TTL", func(c *sessions.Config) {
			c.Impersonation.TTL = time.Second
		}},
		{"an overlap below a second", "Rotation.Overlap", func(c *sessions.Config) {
			c.Rotation.Overlap = time.Millisecond
		}},
		{"an overlap above ten minutes", "Rotation.Overlap", func(c *sessions.Config) {
			c.Rotation.Overlap, c.AccessTokenTTL = 11*time.Minute, time.Hour
		}},
		{"an overlap above half the access token's life", "Rotation.Overlap", func(c *sessions.Config) {
			c.Rotation.Overlap, c.AccessTokenTTL = 31*time.Second, time.Minute
		}},
		{"no overlap with recoveries", "Rotation.Overlap", func(c *sessions.Config) {
			c.Rotation.Overlap = sessions.NoOverlap
		}},
		{"cookies that are refreshed without an overlap", "Cookies", func(c *sessions.Config) {
			c.Cookies.Enabled, c.Rotation = true, sessions.StrictRotation()
		}},
		{"recoveries below none", "Rotation.MaxRecoveries", func(c *sessions.Config) { c.Rotation.MaxRecoveries = -2 }},
		{"a clock skew above a minute", "ClockSkew", func(c *sessions.Config) { c.ClockSkew = 61 * time.Second }},
		{"a retention below the access token's life", "Retention", func(c *sessions.Config) {
			c.Retention = time.Minute
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			config := newKit(t).Config
			c.change(&config)
			m, err := sessions.New(config)
			if m != nil || err == nil || !strings.Contains(err.Error(), "sessions: Config."+c.field+": ") {
				t.Errorf("New: %v, %v; want no Manager and an error for %s", m, err, c.field)
			}
		})
	}
}

func TestNewCopiesTheConfig(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	g := k.create(t, sessions.CreateParams{})
	clear(k.Config.Secrets[0])
	k.refresh(t, g.RefreshToken)
}
