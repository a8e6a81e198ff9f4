package interop

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	josejwt "github.com/go-jose/go-jose/v4/jwt"
	"github.com/golang-jwt/jwt/v5"
	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"
	jwxjwt "github.com/lestrrat-go/jwx/v3/jwt"
)

// presented is a token, and whose it has to be.
type presented struct {
	Token    string `json:"token"`
	Issuer   string `json:"issuer"`
	Audience string `json:"audience"`
}

// testJWT verifies access tokens like a service that knows only the address of the JWK set.
func testJWT(t *testing.T, a *app, userID string) {
	t.Helper()
	g := a.create(t, userID)
	issuer := a.base + "/api/v1/projects/" + projectID
	good := presented{g.AccessToken, issuer, projectID}
	segments := strings.Split(g.AccessToken, ".")
	if len(segments) != 3 {
		t.Fatalf("%d segments", len(segments))
	}
	with := func(header, payload, signature string) presented {
		return presented{header + "." + payload + "." + signature, issuer, projectID}
	}
	payload, err := base64.RawURLEncoding.DecodeString(segments[1])
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	another := encode(bytes.Replace(payload, []byte(userID), []byte(a.users[0]), 1))

	cases := []struct {
		name string
		presented
		accept bool
	}{
		{"a good token", good, true},
		{"another issuer is expected", presented{g.AccessToken, issuer + "/x", projectID}, false},
		{"another audience is expected", presented{g.AccessToken, issuer, "somebody"}, false},
		{"claims that were changed", with(segments[0], another, segments[2]), false},
		{"a signature that was changed", with(segments[0], segments[1], flip(segments[2])), false},
		{"no signature", with(segments[0], segments[1], ""), false},
		{"alg none", with(encode([]byte(`{"alg":"none","typ":"at+jwt"}`)), segments[1], ""), false},
		{"a key of somebody else under our kid", with(segments[0], another, forge(t, segments[0]+"."+another)), false},
		{"half of it", presented{g.AccessToken[:len(g.AccessToken)/2], issuer, projectID}, false},
	}
	for _, set := range []string{
		a.base + "/.well-known/jwks.json", a.base + "/api/v1/projects/" + projectID + "/.well-known/jwks.json",
	} {
		status, jwks := do(t, http.DefaultClient, request(t, http.MethodGet, set, ""))
		if status != http.StatusOK {
			t.Fatalf("%s: %d %s", set, status, jwks)
		}
		for library, verify := range map[string]func(context.Context, []byte, presented) error{
			"golang-jwt": verifyGolangJWT, "go-jose": verifyGoJOSE, "jwx": verifyJWX,
		} {
			for _, tc := range cases {
				if err := verify(t.Context(), jwks, tc.presented); (err == nil) != tc.accept {
					t.Errorf("%s: %s: %v", library, tc.name, err)
				}
			}
		}
	}

	t.Run("jose", func(t *testing.T) {
		t.Parallel()
		var all []presented
		for _, tc := range cases {
			all = append(all, tc.presented)
		}
		in, err := json.Marshal(all)
		if err != nil {
			t.Fatal(err)
		}
		out := node(t, "jose.mjs", bytes.NewReader(in), "JWKS_URL="+issuer+"/.well-known/jwks.json")
		var verdicts []string
		if err := json.Unmarshal(out, &verdicts); err != nil || len(verdicts) != len(cases) {
			t.Fatalf("%s: %v", out, err)
		}
		for i, tc := range cases {
			if (verdicts[i] == "") != tc.accept {
				t.Errorf("%s: %s", tc.name, verdicts[i])
			}
		}
	})
}

// flip changes one bit in the middle of a segment.
func flip(segment string) string {
	b, err := base64.RawURLEncoding.DecodeString(segment)
	if err != nil {
		return ""
	}
	b[len(b)/2] ^= 1
	return base64.RawURLEncoding.EncodeToString(b)
}

// forge returns the signature of a key that is not in the set.
func forge(t *testing.T, text string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signature, err := jwt.SigningMethodES256.Sign(text, key)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(signature)
}

const typ = "at+jwt" // RFC 9068, section 2.1

func verifyGolangJWT(_ context.Context, set []byte, p presented) error {
	// It comes without a reader of JWK sets; what is needed of one is this.
	var keys struct {
		Keys []struct{ Kty, Crv, Kid, Alg, X, Y string }
	}
	if err := json.Unmarshal(set, &keys); err != nil {
		return err
	}
	find := func(token *jwt.Token) (any, error) {
		if token.Header["typ"] != typ {
			return nil, errors.New("typ")
		}
		for _, k := range keys.Keys {
			if k.Kid != token.Header["kid"] || k.Kty != "EC" || k.Crv != "P-256" || k.Alg != "ES256" {
				continue
			}
			x, errX := base64.RawURLEncoding.DecodeString(k.X)
			y, errY := base64.RawURLEncoding.DecodeString(k.Y)
			if err := errors.Join(errX, errY); err != nil {
				return nil, err
			}
			return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, x, y))
		}
		return nil, errors.New("unknown kid")
	}
	_, err := jwt.Parse(p.Token, find, jwt.WithValidMethods([]string{"ES256"}), jwt.WithIssuer(p.Issuer),
		jwt.WithAudience(p.Audience),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithStrictDecoding())
	return err
}

func verifyGoJOSE(_ context.Context, set []byte, p presented) error {
	var keys jose.JSONWebKeySet
	if err := json.Unmarshal(set, &keys); err != nil {
		return err
	}
	token, err := josejwt.ParseSigned(p.Token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return err
	}
	if got := token.Headers[0].ExtraHeaders[jose.HeaderType]; got != typ {
		return fmt.Errorf("typ %v", got)
	}
	var claims josejwt.Claims
	if err := token.Claims(keys, &claims); err != nil {
		return err
	}
	return claims.ValidateWithLeeway(josejwt.Expected{Issuer: p.Issuer, AnyAudience: josejwt.Audience{p.Audience}}, 0)
}

func verifyJWX(_ context.Context, set []byte, p presented) error {
	keys, err := jwk.Parse(set)
	if err != nil {
		return err
	}
	token, err := jwxjwt.Parse([]byte(p.Token), jwxjwt.WithKeySet(keys), jwxjwt.WithIssuer(p.Issuer),
		jwxjwt.WithAudience(p.Audience),
		jwxjwt.WithRequiredClaim("sub"), jwxjwt.WithRequiredClaim("exp"), jwxjwt.WithRequiredClaim("sid"))
	if err != nil {
		return err
	}
	if _, ok := token.Subject(); !ok {
		return errors.New("no sub")
	}
	message, err := jws.Parse([]byte(p.Token))
	if err != nil {
		return err
	}
	headers := message.Signatures()[0].ProtectedHeaders()
	if got, _ := headers.Type(); got != typ {
		return fmt.Errorf("typ %q", got)
	}
	if got, _ := headers.Algorithm(); got != jwa.ES256() {
		return fmt.Errorf("alg %v", got)
	}
	return nil
}
