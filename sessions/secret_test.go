package sessions_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sessile-go/sessile/sessions"
)

// The vectors were computed by an independent program from the words of
// docs/security.md. If this test fails, every token out there has died.
func TestSecretDerivationIsFrozen(t *testing.T) {
	t.Parallel()
	const id = "01890a5d-ac96-774b-bcce-b302099a8057"
	long := make([]byte, 48)
	for i := range long {
		long[i] = byte(100 + i)
	}
	for _, v := range []struct {
		name, audience    string
		secret            []byte
		kid, x, y         string
		one, two, largest string
	}{
		{
			name: "32 bytes, a project id", audience: "6fbd1f36-94bb-4f4b-9d13-1a8f3d1f1c0a", secret: secret(0),
			kid:     "xBFlfn1ApZ3yTe-6xFCXSEMCeq2Et-dlfU1BpZAOJMA",
			x:       "IjAkdiQrHvYEaR3PK305i5QlPuXlC2bvpTr7_POcRwk",
			y:       "IqnSvDhFw_3SPjZVHhaEUrc4Pli8-L_oJuIRnyaBZi8",
			one:     "srt1_9HrE4wGJCl2slndLvM6zAgmagFcAAAAAAAAAAXprEHzW5-Wlz02shexM4yQTD43A_KOTeA9hmDa2LMDC",
			two:     "srt1_9HrE4wGJCl2slndLvM6zAgmagFcAAAAAAAAAAmOsmlCWX1UF6PTkF4ISShCNOKaFLRVIvXRnfOY94zl_",
			largest: "srt1_9HrE4wGJCl2slndLvM6zAgmagFcAH________4uyjDWRsPJLBbFLepZSGiliN18Ugs6rOnV5qf1lk64u",
		},
		{
			name: "32 bytes, a URL", audience: "https://app.example/é", secret: secret(0),
			kid:     "xBFlfn1ApZ3yTe-6xFCXSEMCeq2Et-dlfU1BpZAOJMA",
			x:       "IjAkdiQrHvYEaR3PK305i5QlPuXlC2bvpTr7_POcRwk",
			y:       "IqnSvDhFw_3SPjZVHhaEUrc4Pli8-L_oJuIRnyaBZi8",
			one:     "srt1_9HrE4wGJCl2slndLvM6zAgmagFcAAAAAAAAAAYfO1mnWPRfx9bOG24JUy_-xKd1R_AfdxxPCXPwrl6ld",
			two:     "srt1_9HrE4wGJCl2slndLvM6zAgmagFcAAAAAAAAAApVF-B1eCud1Bt1-jNsO_DHOkalJWW_xsxy1MZpjwBv6",
			largest: "srt1_9HrE4wGJCl2slndLvM6zAgmagFcAH________xBwmgjblrpUWvemqfjZNsA82APKHzuBmCnzG7LbP1as",
		},
		{
			name: "48 bytes, a project id", audience: "6fbd1f36-94bb-4f4b-9d13-1a8f3d1f1c0a", secret: long,
			kid:     "reGtxAbEa03rU7H21rcBRVzQ_Egiu__9uocA8Tw3EZk",
			x:       "e9Ir2dauurz5Rn0cf0OCZeaHmjETpUQjxf2vyxQngVo",
			y:       "VJs2oHfqUVNrM3h8DtWPv7mvCfZlc2C4JggEGjZWURQ",
			one:     "srt1_JqcO-gGJCl2slndLvM6zAgmagFcAAAAAAAAAAapFhPIxQ13TdUDO2Y731QBoLAlxC4oUXkfBv-3c4NXa",
			two:     "srt1_JqcO-gGJCl2slndLvM6zAgmagFcAAAAAAAAAAoiargLCYFJPjZRA72ToL1Bb6sq_DvKqESB081JTrYn_",
			largest: "srt1_JqcO-gGJCl2slndLvM6zAgmagFcAH________1jc1YlzITYr_uHA45LHTKG2UP_5ji-n4zVXJ_re7bPR",
		},
		{
			name: "48 bytes, a URL", audience: "https://app.example/é", secret: long,
			kid:     "reGtxAbEa03rU7H21rcBRVzQ_Egiu__9uocA8Tw3EZk",
			x:       "e9Ir2dauurz5Rn0cf0OCZeaHmjETpUQjxf2vyxQngVo",
			y:       "VJs2oHfqUVNrM3h8DtWPv7mvCfZlc2C4JggEGjZWURQ",
			one:     "srt1_JqcO-gGJCl2slndLvM6zAgmagFcAAAAAAAAAAYzSyH0JOUX9U3kPW7sDmPTRnpKjBKwsA5jzxXP9nWJK",
			two:     "srt1_JqcO-gGJCl2slndLvM6zAgmagFcAAAAAAAAAAi4A5pzUOVcPpuqo3Oa_kzb-hSOW3fl0CRSM38K5xF2i",
			largest: "srt1_JqcO-gGJCl2slndLvM6zAgmagFcAH________-L392YycDhOeSJM4rH4Z-Ww-2_Ci7VwU4nxp11A6l-d",
		},
	} {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			k := newKit(t, func(c *sessions.Config) { c.Secrets, c.Audience = [][]byte{v.secret}, v.audience })
			var set struct{ Keys []map[string]string }
			if err := json.Unmarshal(k.JWKSet(), &set); err != nil {
				t.Fatal(err)
			}
			want := map[string]string{"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": v.kid, "x": v.x, "y": v.y}
			if len(set.Keys) != 1 || fmt.Sprint(set.Keys[0]) != fmt.Sprint(want) {
				t.Errorf("JWK set %v, want %v", set.Keys, want)
			}

			s := sessions.Session{ID: id, UserID: "alice", CreatedAt: start, LastUsedAt: start, ExpiresAt: start.Add(time.Hour), AuthTime: start}
			if err := k.Store.Create(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			if g := k.refresh(t, sessions.NewToken(v.one)); g.RefreshToken.Reveal() != v.two {
				t.Errorf("successor of counter 1 is %s, want %s", g.RefreshToken.Reveal(), v.two)
			}
			// The largest counter parses: it is ahead of the row.
			g, err := k.Refresh(t.Context(), v.largest, sessions.Client{})
			if err != nil {
				t.Fatalf("largest counter: %v", err)
			}
			// Its successor would be 2^53, which is malformed.
			k.refuse(t, g.RefreshToken, sessions.ErrMalformed)
		})
	}
}

func TestRingWithSeveralSecrets(t *testing.T) {
	t.Parallel()
	older, newer := secret(0), secret(100)
	ring := func(secrets ...[]byte) func(*sessions.Config) {
		return func(c *sessions.Config) { c.Secrets = secrets }
	}
	k := newKit(t, ring(older))
	g := k.create(t, sessions.CreateParams{})

	k.Config.Secrets = [][]byte{older, newer}
	appended := &kit{mustNew(t, k.Config), k.Kit}
	if _, err := appended.Verify(g.AccessToken.Reveal()); err != nil {
		t.Errorf("new secret behind the old one: access token: %v", err)
	}
	if got := appended.create(t, sessions.CreateParams{}); !sameKid(got.AccessToken, g.AccessToken) {
		t.Error("the second secret signs")
	}

	k.Config.Secrets = [][]byte{newer, older}
	moved := &kit{mustNew(t, k.Config), k.Kit}
	if _, err := moved.Verify(g.AccessToken.Reveal()); err != nil {
		t.Errorf("new secret in front: access token of the old one: %v", err)
	}
	k.takeEvents()
	next := moved.refresh(t, g.RefreshToken)
	if sameKid(next.AccessToken, g.AccessToken) {
		t.Error("new secret in front: the old one still signs")
	}
	if events := k.TakeEvents(); len(events) != 1 || !events[0].OldSecret {
		t.Errorf("refresh with a token of the old secret: events %+v, want one with OldSecret", events)
	}

	k.Config.Secrets = [][]byte{newer}
	dropped := &kit{mustNew(t, k.Config), k.Kit}
	dropped.refuse(t, g.RefreshToken, sessions.ErrMalformed)
	if _, err := dropped.Verify(g.AccessToken.Reveal()); !errors.Is(err, sessions.ErrInvalidToken) {
		t.Errorf("access token of a dropped secret: %v, want ErrInvalidToken", err)
	}
	dropped.refresh(t, next.RefreshToken)
	if bytes.Contains(dropped.JWKSet(), []byte(`"kid":"xBFlfn1ApZ3yTe`)) {
		t.Error("the JWK set has a key of the dropped secret")
	}
}

func mustNew(t *testing.T, c sessions.Config) *sessions.Manager {
	t.Helper()
	m, err := sessions.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func sameKid(a, b sessions.Token) bool {
	headerA, _, _ := strings.Cut(a.Reveal(), ".")
	headerB, _, _ := strings.Cut(b.Reveal(), ".")
	return headerA == headerB
}

func TestRefreshTokensThatAreNotOurs(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	good := k.create(t, sessions.CreateParams{}).RefreshToken.Reveal()
	foreign := newKit(t, func(c *sessions.Config) { c.Secrets = [][]byte{secret(7)} }).create(t, sessions.CreateParams{}).RefreshToken.Reveal()
	cases := map[string]string{
		"empty":                     "",
		"the prefix alone":          "srt1_",
		"one character less":        good[:len(good)-1],
		"one character more":        good + "A",
		"padded":                    good + "=",
		"quoted":                    `"` + good + `"`,
		"another prefix":            "srt2_" + good[5:],
		"an upper-case prefix":      "SRT1_" + good[5:],
		"a line break at its end":   good + "\n",
		"a line break inside":       good[:40] + "\n" + good[41:],
		"the standard alphabet":     good[:84] + "+",
		"a token of another secret": foreign,
		"a megabyte":                strings.Repeat("A", 1<<20),
		"a session id":              "01890a5d-ac96-774b-bcce-b302099a8057",
		"the word undefined":        "undefined",
	}
	for i := 5; i < len(good); i++ {
		flipped := []byte(good)
		if flipped[i]++; good[i] == 'z' || good[i] == 'Z' || good[i] == '9' || good[i] == '-' || good[i] == '_' {
			flipped[i] = 'A'
		}
		cases[fmt.Sprintf("another character at %d", i)] = string(flipped)
	}
	for name, token := range cases {
		if _, err := k.Refresh(t.Context(), token, sessions.Client{}); !errors.Is(err, sessions.ErrMalformed) {
			t.Errorf("%s: error %v, want ErrMalformed", name, err)
		}
	}
	k.refresh(t, sessions.NewToken(good)) // none of it has done any harm
}

func TestConfigFaultsAreJoined(t *testing.T) {
	t.Parallel()
	_, err := sessions.New(sessions.Config{})
	for _, field := range []string{"Store", "Users", "Secrets", "Issuer", "ProjectID"} {
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
		{"a secret of one character", "Secrets[1]", func(c *sessions.Config) { c.Secrets = [][]byte{secret(1), []byte(strings.Repeat("x", 44))} }},
		{"a repeated secret", "Secrets[1]", func(c *sessions.Config) { c.Secrets = [][]byte{secret(1), secret(1)} }},
		{"a signer on another curve", "Signers[0]", func(c *sessions.Config) { c.Signers = []crypto.Signer{p224} }},
		{"a signer of another kind", "Signers[0]", func(c *sessions.Config) { c.Signers = []crypto.Signer{edwards} }},
		{"a nil signer", "Signers[0]", func(c *sessions.Config) { c.Signers = []crypto.Signer{nil} }},
		{"a repeated signer", "Signers[1]", func(c *sessions.Config) { c.Signers = []crypto.Signer{p256, p256} }},
		{"a relative issuer", "Issuer", func(c *sessions.Config) { c.Issuer = "/auth" }},
		{"an issuer of another scheme", "Issuer", func(c *sessions.Config) { c.Issuer = "ftp://example.com" }},
		{"a project id with a slash", "ProjectID", func(c *sessions.Config) { c.ProjectID = "a/b" }},
		{"an empty former audience", "FormerAudiences[0]", func(c *sessions.Config) { c.FormerAudiences = []string{""} }},
		{"a former audience with a line break", "FormerAudiences[1]", func(c *sessions.Config) { c.FormerAudiences = []string{"a", "a\nb"} }},
		{"the audience as a former one", "FormerAudiences[0]", func(c *sessions.Config) { c.FormerAudiences = []string{c.ProjectID} }},
		{"a former audience twice", "FormerAudiences[2]", func(c *sessions.Config) { c.FormerAudiences = []string{"a", "b", "a"} }},
		{"an audience with a line break", "Audience", func(c *sessions.Config) { c.Audience = "a\nb" }},
		{"an empty client key", "ClientKeys[0]", func(c *sessions.Config) { c.ClientKeys = []string{""} }},
		{"the placeholder as client key", "ClientKeys[0]", func(c *sessions.Config) { c.ClientKeys = []string{"__stack_public_client__"} }},
		{"client keys required and none given", "RequireClientKey", func(c *sessions.Config) { c.RequireClientKey = true }},
		{"a server key without a name", "ServerKeys[0].Name", func(c *sessions.Config) {
			c.ServerKeys = []sessions.ServerKey{{Access: sessions.AccessServer, SHA256: strings.Repeat("0", 64)}}
		}},
		{"a server key with client access", "ServerKeys[0].Access", func(c *sessions.Config) {
			c.ServerKeys = []sessions.ServerKey{{Name: "n", Access: sessions.AccessClient, SHA256: strings.Repeat("0", 64)}}
		}},
		{"a server key in clear", "ServerKeys[0].SHA256", func(c *sessions.Config) {
			c.ServerKeys = []sessions.ServerKey{{Name: "n", Access: sessions.AccessServer, SHA256: "ssk_" + strings.Repeat("0", 60)}}
		}},
		{"access tokens that live too short", "AccessTokenTTL", func(c *sessions.Config) { c.AccessTokenTTL = time.Second }},
		{"access tokens that live too long", "AccessTokenTTL", func(c *sessions.Config) { c.AccessTokenTTL = 25 * time.Hour }},
		{"a default life above the ceiling", "SessionTTL", func(c *sessions.Config) { c.SessionTTL, c.MaxSessionTTL = 2*time.Hour, time.Hour }},
		{"a negative life", "SessionTTL", func(c *sessions.Config) { c.SessionTTL = -1 }},
		{"an idle timeout below the access token's life", "IdleTimeout", func(c *sessions.Config) { c.IdleTimeout = time.Minute }},
		{"an idle timeout of the access token's life", "IdleTimeout", func(c *sessions.Config) { c.IdleTimeout = 10 * time.Minute }},
		{"an idle timeout that a retry overruns", "IdleTimeout", func(c *sessions.Config) { c.IdleTimeout = 11 * time.Minute }},
		{"an idle timeout of centuries", "IdleTimeout", func(c *sessions.Config) { c.IdleTimeout = 101 * 365 * 24 * time.Hour }},
		{"an impersonation above a day", "Impersonation.MaxTTL", func(c *sessions.Config) { c.Impersonation.MaxTTL = 25 * time.Hour }},
		{"an impersonation below 30 s", "Impersonation.TTL", func(c *sessions.Config) { c.Impersonation.TTL = time.Second }},
		{"an overlap below a second", "Rotation.Overlap", func(c *sessions.Config) { c.Rotation.Overlap = time.Millisecond }},
		{"an overlap above ten minutes", "Rotation.Overlap", func(c *sessions.Config) { c.Rotation.Overlap, c.AccessTokenTTL = 11*time.Minute, time.Hour }},
		{"an overlap above half the access token's life", "Rotation.Overlap", func(c *sessions.Config) { c.Rotation.Overlap, c.AccessTokenTTL = 31*time.Second, time.Minute }},
		{"no overlap with recoveries", "Rotation.Overlap", func(c *sessions.Config) { c.Rotation.Overlap = sessions.NoOverlap }},
		{"cookies that are refreshed without an overlap", "Cookies", func(c *sessions.Config) { c.Cookies.Enabled, c.Rotation = true, sessions.StrictRotation() }},
		{"recoveries below none", "Rotation.MaxRecoveries", func(c *sessions.Config) { c.Rotation.MaxRecoveries = -2 }},
		{"a clock skew above a minute", "ClockSkew", func(c *sessions.Config) { c.ClockSkew = 61 * time.Second }},
		{"a retention below the access token's life", "Retention", func(c *sessions.Config) { c.Retention = time.Minute }},
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

func TestStrictRotationIsAccepted(t *testing.T) {
	t.Parallel()
	k := newKit(t, func(c *sessions.Config) { c.Rotation = sessions.StrictRotation() })
	g := k.create(t, sessions.CreateParams{})
	k.refresh(t, g.RefreshToken)
	k.refuse(t, g.RefreshToken, sessions.ErrReplay)
	k.refuse(t, g.RefreshToken, sessions.ErrSessionEnded)
}

func TestServerKeys(t *testing.T) {
	t.Parallel()
	for access, prefix := range map[sessions.AccessType]string{sessions.AccessServer: "ssk_", sessions.AccessAdmin: "sak_"} {
		key, err := sessions.NewServerKey(access)
		if err != nil || !strings.HasPrefix(key, prefix) || len(key) != 47 {
			t.Errorf("NewServerKey(%s) = %q, %v", access, key, err)
		}
		hashed, err := sessions.HashServerKey("backend", key)
		if err != nil || hashed.Access != access || hashed.Name != "backend" || strings.Contains(fmt.Sprintf("%+v", hashed), key) {
			t.Errorf("HashServerKey = %+v, %v", hashed, err)
		}
	}
	if key, err := sessions.NewServerKey(sessions.AccessClient); key != "" || !errors.Is(err, sessions.ErrInvalidParams) {
		t.Errorf("NewServerKey(client) = %q, %v", key, err)
	}
	long := strings.Repeat("k", 40)
	for name, c := range map[string][2]string{
		"no prefix":       {"n", long},
		"too short":       {"n", "ssk_short"},
		"a space":         {"n", "ssk_" + long + " "},
		"not ASCII":       {"n", "ssk_" + long + "é"},
		"no name":         {"", "ssk_" + long},
		"a name in lines": {"a\nb", "ssk_" + long},
	} {
		if hashed, err := sessions.HashServerKey(c[0], c[1]); !errors.Is(err, sessions.ErrInvalidParams) || hashed != (sessions.ServerKey{}) {
			t.Errorf("%s: %+v, %v; want ErrInvalidParams", name, hashed, err)
		}
	}
}

func TestNothingPrintsASecret(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	g := k.create(t, sessions.CreateParams{})
	wrapped := struct{ grant sessions.Grant }{g}
	values := map[string]any{"grant": g, "wrapped grant": wrapped, "config": k.Config, "pointer to config": &k.Config, "manager": k.Manager, "handler": sessions.NewHandler(k.Manager)}
	for name, v := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			out := fmt.Sprintf(verb, v)
			for _, secret := range []string{g.RefreshToken.Reveal(), g.AccessToken.Reveal(), string(k.Config.Secrets[0]), fmt.Sprintf("%x", k.Config.Secrets[0]), fmt.Sprintf("%d", k.Config.Secrets[0]), fmt.Sprintf("%x", g.RefreshToken.Reveal())} {
				if strings.Contains(out, secret) {
					t.Errorf("%s with %s shows a secret: %s", name, verb, out)
				}
			}
		}
	}
	for name, v := range values {
		for encoder, encode := range map[string]func(any) ([]byte, error){"json": json.Marshal, "xml": xml.Marshal} {
			text, err := encode(v)
			if bytes.Contains(text, []byte("srt1_")) || bytes.Contains(text, []byte("eyJ")) || err != nil && (strings.Contains(err.Error(), "srt1_") || strings.Contains(err.Error(), "eyJ")) {
				t.Errorf("%s as %s: %s, %v", name, encoder, text, err)
			}
		}
	}
}
