package sessions_test

import (
	"bytes"
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
			want := map[string]string{
				"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": v.kid, "x": v.x, "y": v.y,
			}
			if len(set.Keys) != 1 || fmt.Sprint(set.Keys[0]) != fmt.Sprint(want) {
				t.Errorf("JWK set %v, want %v", set.Keys, want)
			}

			s := sessions.Session{
				ID: id, UserID: "alice", CreatedAt: start, LastUsedAt: start, ExpiresAt: start.Add(time.Hour),
				AuthTime: start,
			}
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

func sameKid(a, b sessions.Token) bool {
	headerA, _, _ := strings.Cut(a.Reveal(), ".")
	headerB, _, _ := strings.Cut(b.Reveal(), ".")
	return headerA == headerB
}

func TestServerKeys(t *testing.T) {
	t.Parallel()
	for access, prefix := range map[sessions.AccessType]string{
		sessions.AccessServer: "ssk_", sessions.AccessAdmin: "sak_",
	} {
		key, err := sessions.NewServerKey(access)
		if err != nil || !strings.HasPrefix(key, prefix) || len(key) != 47 {
			t.Errorf("NewServerKey(%s) = %q, %v", access, key, err)
		}
		hashed, err := sessions.HashServerKey("backend", key)
		if err != nil || hashed.Access != access || hashed.Name != "backend" ||
			strings.Contains(fmt.Sprintf("%+v", hashed), key) {
			t.Errorf("HashServerKey = %+v, %v", hashed, err)
		}
	}
	if key, err := sessions.NewServerKey(sessions.AccessClient); key != "" ||
		!errors.Is(err, sessions.ErrInvalidParams) {
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
		if hashed, err := sessions.HashServerKey(c[0], c[1]); !errors.Is(err, sessions.ErrInvalidParams) ||
			hashed != (sessions.ServerKey{}) {
			t.Errorf("%s: %+v, %v; want ErrInvalidParams", name, hashed, err)
		}
	}
}

func TestNothingPrintsASecret(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	g := k.create(t, sessions.CreateParams{})
	wrapped := struct{ grant sessions.Grant }{g}
	values := map[string]any{
		"grant": g, "wrapped grant": wrapped, "config": k.Config, "pointer to config": &k.Config, "manager": k.Manager,
		"handler": sessions.NewHandler(k.Manager),
	}
	for name, v := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			out := fmt.Sprintf(verb, v)
			for _, secret := range []string{
				g.RefreshToken.Reveal(), g.AccessToken.Reveal(), string(k.Config.Secrets[0]),
				fmt.Sprintf("%x", k.Config.Secrets[0]), fmt.Sprintf("%d", k.Config.Secrets[0]),
				fmt.Sprintf("%x", g.RefreshToken.Reveal()),
			} {
				if strings.Contains(out, secret) {
					t.Errorf("%s with %s shows a secret: %s", name, verb, out)
				}
			}
		}
	}
	for name, v := range values {
		for encoder, encode := range map[string]func(any) ([]byte, error){"json": json.Marshal, "xml": xml.Marshal} {
			text, err := encode(v)
			if bytes.Contains(text, []byte("srt1_")) || bytes.Contains(text, []byte("eyJ")) || err != nil &&
				(strings.Contains(err.Error(), "srt1_") || strings.Contains(err.Error(), "eyJ")) {
				t.Errorf("%s as %s: %s, %v", name, encoder, text, err)
			}
		}
	}
}
