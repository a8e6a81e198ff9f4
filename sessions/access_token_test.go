package sessions_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/sessile-go/sessile/sessions"
)

var b64 = base64.RawURLEncoding

// forger signs anything with the key of a Manager.
type forger struct {
	*kit
	key           *ecdsa.PrivateKey
	header, token string
	claims        string
}

func newForger(t *testing.T, change ...func(*sessions.Config)) *forger {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	f := &forger{key: key}
	f.kit = newKit(t, append([]func(*sessions.Config){func(c *sessions.Config) { c.Signers = []crypto.Signer{key} }},
		change...)...)
	f.token = f.create(t, sessions.CreateParams{}).AccessToken.Reveal()
	parts := strings.Split(f.token, ".")
	f.header, f.claims = decode(t, parts[0]), decode(t, parts[1])
	return f
}

func decode(t *testing.T, segment string) string {
	t.Helper()
	b, err := b64.DecodeString(segment)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func (f *forger) raw(t *testing.T, input string) []byte {
	t.Helper()
	digest := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, f.key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	out := make([]byte, 64)
	r.FillBytes(out[:32])
	s.FillBytes(out[32:])
	return out
}

func (f *forger) sign(t *testing.T, header, claims string) string {
	t.Helper()
	input := b64.EncodeToString([]byte(header)) + "." + b64.EncodeToString([]byte(claims))
	return input + "." + b64.EncodeToString(f.raw(t, input))
}

// with replaces one member of the claims, by its spelling.
func (f *forger) with(t *testing.T, name, spelling string) string {
	t.Helper()
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(f.claims), &members); err != nil {
		t.Fatal(err)
	}
	if _, ok := members[name]; !ok && name != "nbf" && name != "act" {
		t.Fatalf("no claim %q to replace", name)
	}
	delete(members, name)
	text, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	if spelling == "" {
		return string(text)
	}
	return string(text[:len(text)-1]) + `,"` + name + `":` + spelling + "}"
}

func (f *forger) mustRefuse(t *testing.T, name, token string) {
	t.Helper()
	id, err := f.Verify(token)
	if !errors.Is(err, sessions.ErrUnauthenticated) || id != (sessions.Identity{}) {
		t.Errorf("%s: got %+v, %v", name, id, err)
	}
}

func TestVerifyTakesWhatWeIssue(t *testing.T) {
	t.Parallel()
	f := newForger(t)
	id, err := f.Verify(f.token)
	if err != nil {
		t.Fatal(err)
	}
	want := sessions.Identity{
		Access: sessions.AccessClient, UserID: "alice", SessionID: id.SessionID,
		AuthTime: start, ExpiresAt: start.Add(10 * time.Minute), SessionExpiresAt: start.Add(365 * 24 * time.Hour),
	}
	if id != want {
		t.Errorf("got  %+v\nwant %+v", id, want)
	}
	// The forger is good enough for the tests below to mean something.
	if _, err := f.Verify(f.sign(t, f.header, f.claims)); err != nil {
		t.Errorf("a token signed again: %v", err)
	}
	if _, err := f.Verify(f.sign(t, f.header, f.with(t, "name", `"Mallory"`))); err != nil {
		t.Errorf("a token with another name: %v", err)
	}
}

func TestAccessTokenClaims(t *testing.T) {
	t.Parallel()
	f := newForger(t, func(c *sessions.Config) { c.Audience = "https://api.example" })
	var claims map[string]any
	if err := json.Unmarshal([]byte(f.claims), &claims); err != nil {
		t.Fatal(err)
	}
	session := claims["sid"]
	if claims["jti"] == "" || claims["jti"] == nil {
		t.Error("no jti")
	}
	delete(claims, "jti")
	project := f.Config.ProjectID
	want := map[string]any{
		"iss": "https://app.example/auth", "sub": "alice", "aud": "https://api.example",
		"iat": float64(start.Unix()), "exp": float64(start.Unix() + 600), "auth_time": float64(start.Unix()),
		"session_expires_at": float64(start.Add(365 * 24 * time.Hour).Unix()),
		"sid":                session, "refresh_token_id": session, "client_id": project, "project_id": project,
		"branch_id": "main",
		"role":      "authenticated", "name": "Name of alice", "email": "alice@example.com", "email_verified": true,
		"selected_team_id": nil, "signed_up_at": float64(start.Add(-time.Hour).Unix()),
		"is_anonymous": false, "is_restricted": false, "restricted_reason": nil, "requires_totp_mfa": false,
	}
	if fmt.Sprint(claims) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", claims, want)
	}
}

func TestVerifyRefusesHostileHeaders(t *testing.T) {
	t.Parallel()
	f := newForger(t)
	kid := f.header[strings.Index(f.header, `"kid":`):strings.Index(f.header, `,"typ"`)]
	headers := map[string]string{
		"alg none":            `{"alg":"none",` + kid + `,"typ":"at+jwt"}`,
		"alg nOnE":            `{"alg":"nOnE",` + kid + `,"typ":"at+jwt"}`,
		"alg HS256":           `{"alg":"HS256",` + kid + `,"typ":"at+jwt"}`,
		"alg es256":           `{"alg":"es256",` + kid + `,"typ":"at+jwt"}`,
		"alg ES384":           `{"alg":"ES384",` + kid + `,"typ":"at+jwt"}`,
		"no alg":              `{` + kid + `,"typ":"at+jwt"}`,
		"alg twice":           `{"alg":"none","alg":"ES256",` + kid + `,"typ":"at+jwt"}`,
		"another order":       `{"typ":"at+jwt","alg":"ES256",` + kid + `}`,
		"a space":             `{"alg":"ES256", ` + kid + `,"typ":"at+jwt"}`,
		"a crit":              `{"alg":"ES256",` + kid + `,"typ":"at+jwt","crit":["exp"]}`,
		"an empty crit":       `{"alg":"ES256",` + kid + `,"typ":"at+jwt","crit":[]}`,
		"b64 false":           `{"alg":"ES256",` + kid + `,"typ":"at+jwt","b64":false}`,
		"an embedded key":     `{"alg":"ES256",` + kid + `,"typ":"at+jwt","jwk":{}}`,
		"a key URL":           `{"alg":"ES256",` + kid + `,"typ":"at+jwt","jku":"http://127.0.0.1:1/"}`,
		"another typ":         `{"alg":"ES256",` + kid + `,"typ":"JWT"}`,
		"no typ":              `{"alg":"ES256",` + kid + `}`,
		"a media type as typ": `{"alg":"ES256",` + kid + `,"typ":"application/at+jwt"}`,
		"no kid":              `{"alg":"ES256","typ":"at+jwt"}`,
		"an unknown kid":      `{"alg":"ES256","kid":"../../dev/null","typ":"at+jwt"}`,
		"a nested token":      `{"alg":"ES256",` + kid + `,"typ":"at+jwt","cty":"JWT"}`,
		"an empty object":     `{}`,
		"not JSON":            `x`,
	}
	for name, header := range headers {
		f.mustRefuse(t, name, f.sign(t, header, f.claims))
	}

	// Algorithm confusion: an HMAC under the public key, in the header we expect.
	parts := strings.Split(f.token, ".")
	public, err := f.key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha256.New, public)
	mac.Write([]byte(parts[0] + "." + parts[1]))
	f.mustRefuse(t, "an HMAC as signature", parts[0]+"."+parts[1]+"."+b64.EncodeToString(mac.Sum(nil)))

	other := newForger(t)
	f.mustRefuse(t, "a token of another instance", other.token)
	f.mustRefuse(t, "our header over another key's signature", other.sign(t, f.header, f.claims))
}

func TestVerifyRefusesHostileForms(t *testing.T) {
	t.Parallel()
	f := newForger(t)
	parts := strings.Split(f.token, ".")
	h, p, s := parts[0], parts[1], parts[2]
	raw, err := b64.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	forms := map[string]string{
		"empty":                         "",
		"one segment":                   h,
		"two segments":                  h + "." + p,
		"no signature":                  h + "." + p + ".",
		"no header":                     "." + p + "." + s,
		"no payload":                    h + ".." + s,
		"four segments":                 f.token + "." + s,
		"an empty fourth segment":       f.token + ".",
		"five segments":                 h + "." + p + "." + s + "." + s + "." + s,
		"many dots":                     strings.Repeat(".", 100_000),
		"a leading space":               " " + f.token,
		"a trailing space":              f.token + " ",
		"a line break in the signature": h + "." + p + "." + s[:40] + "\r\n" + s[40:],
		"a line break in the payload":   h + "." + p[:40] + "\n" + p[40:] + "." + s,
		"a padded signature":            f.token + "==",
		"a padded payload":              h + "." + p + "=." + s,
		"the standard alphabet":         h + "." + p + "." + b64std(raw),
		"63 bytes of signature":         h + "." + p + "." + b64.EncodeToString(raw[:63]),
		"65 bytes of signature":         h + "." + p + "." + b64.EncodeToString(append(raw[:64:64], 0)),
		"r and s swapped":               h + "." + p + "." + b64.EncodeToString(append(raw[32:64:64], raw[:32]...)),
		"the JSON serialisation":        `{"protected":"` + h + `","payload":"` + p + `","signature":"` + s + `"}`,
		"5 KiB":                         f.token + strings.Repeat("A", 5<<10),
		"a refresh token":               f.create(t, sessions.CreateParams{}).RefreshToken.Reveal(),
	}
	// A canonical last character has four zero bits: every other is an alias.
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, s[len(s)-1])
	for i := 1; i < 16; i++ {
		forms[fmt.Sprintf("a signature that is not canonical, %d", i)] = f.token[:len(f.token)-1] +
			string(alphabet[last+i])
	}
	for i := range 512 {
		flipped := append([]byte(nil), raw...)
		flipped[i/8] ^= 1 << (i % 8)
		forms[fmt.Sprintf("bit %d of the signature flipped", i)] = h + "." + p + "." + b64.EncodeToString(flipped)
	}
	for i := range p {
		c := byte('A')
		if p[i] == c {
			c = 'B'
		}
		forms[fmt.Sprintf("another character of the payload at %d", i)] = h + "." + p[:i] + string(c) +
			p[i+1:] + "." + s
	}
	n := elliptic.P256().Params().N
	q := elliptic.P256().Params().P
	edges := []*big.Int{
		big.NewInt(0), big.NewInt(1), new(big.Int).Sub(n, big.NewInt(1)), n, new(big.Int).Add(n, big.NewInt(1)), q,
		new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1)),
	}
	for i, r := range edges {
		for j, t := range edges {
			signature := make([]byte, 64)
			r.FillBytes(signature[:32])
			t.FillBytes(signature[32:])
			forms[fmt.Sprintf("edge signature %d, %d", i, j)] = h + "." + p + "." + b64.EncodeToString(signature)
		}
	}
	for name, token := range forms {
		f.mustRefuse(t, name, token)
	}
}

func b64std(b []byte) string {
	s := strings.TrimRight(base64.StdEncoding.EncodeToString(b), "=")
	if !strings.ContainsAny(s, "+/") {
		return s[:len(s)-1] + "+" // some signatures look the same in both alphabets
	}
	return s
}

func TestVerifyRefusesHostileClaims(t *testing.T) {
	t.Parallel()
	f := newForger(t)
	now := start.Unix()
	claims := map[string]string{
		"not an object":          `[]`,
		"null":                   `null`,
		"an empty object":        `{}`,
		"text after the object":  f.claims + `{}`,
		"a NUL after the object": f.claims + "\x00",
		"a byte order mark":      "\xef\xbb\xbf" + f.claims,
		"invalid UTF-8":          f.with(t, "name", "\"\xff\""),
		"a lone surrogate":       f.with(t, "name", `"\ud800"`),
		"a reversed pair":        f.with(t, "name", `"\udc00\ud800"`),
		"sub twice":              f.claims[:len(f.claims)-1] + `,"sub":"bob"}`,
		"SUB beside sub":         f.claims[:len(f.claims)-1] + `,"SUB":"bob"}`,
		"a long s in sub":        f.claims[:len(f.claims)-1] + `,"ſub":"bob"}`,
		"an escaped sub":         f.claims[:len(f.claims)-1] + `,"\u0073ub":"bob"}`,
		"exp twice":              f.claims[:len(f.claims)-1] + `,"exp":99999999999}`,
		"a double inside":        f.claims[:len(f.claims)-1] + `,"x":{"a":1,"A":2}}`,
		"nested 17 deep": f.claims[:len(f.claims)-1] + `,"x":` + strings.Repeat("[", 17) +
			strings.Repeat("]", 17) + `}`,
		"an nbf":                  f.with(t, "nbf", "1"),
		"another issuer":          f.with(t, "iss", `"https://app.example/auth/"`),
		"an issuer in a list":     f.with(t, "iss", `["https://app.example/auth"]`),
		"another audience":        f.with(t, "aud", `"other"`),
		"an audience in a list":   f.with(t, "aud", `["`+f.Config.ProjectID+`"]`),
		"the audience as prefix":  f.with(t, "aud", `"`+f.Config.ProjectID+`:anon"`),
		"an empty subject":        f.with(t, "sub", `""`),
		"a subject of number":     f.with(t, "sub", `1`),
		"a subject with NUL":      f.with(t, "sub", `"a\u0000"`),
		"a subject of 256 bytes":  f.with(t, "sub", `"`+strings.Repeat("a", 256)+`"`),
		"a session id in braces":  f.with(t, "sid", `"{01890a5d-ac96-774b-bcce-b302099a8057}"`),
		"two session ids":         f.with(t, "sid", `"01890a5d-ac96-774b-bcce-b302099a8057"`),
		"exp 0":                   f.with(t, "exp", "0"),
		"exp -0":                  f.with(t, "exp", "-0"),
		"exp negative":            f.with(t, "exp", "-1"),
		"exp as a string":         f.with(t, "exp", `"9999999999"`),
		"exp null":                f.with(t, "exp", "null"),
		"exp true":                f.with(t, "exp", "true"),
		"exp with a fraction":     f.with(t, "exp", fmt.Sprint(now+60)+".0"),
		"exp with an exponent":    f.with(t, "exp", "9e9"),
		"exp 1e400":               f.with(t, "exp", "1e400"),
		"exp 2^63-1":              f.with(t, "exp", "9223372036854775807"),
		"exp 2^64":                f.with(t, "exp", "18446744073709551616"),
		"exp in the year 10000":   f.with(t, "exp", "253402300800"),
		"exp before iat":          f.with(t, "exp", fmt.Sprint(now-1)),
		"iat an hour ahead":       f.with(t, "iat", fmt.Sprint(now+3600)),
		"auth_time as a string":   f.with(t, "auth_time", `"x"`),
		"act on a normal session": f.with(t, "act", `{"sub":"root"}`),
		"session over":            f.with(t, "session_expires_at", fmt.Sprint(now)),
	}
	for _, name := range []string{"iss", "aud", "sub", "sid", "refresh_token_id", "exp", "iat", "session_expires_at"} {
		claims[name+" missing"] = f.with(t, name, "")
	}
	for name, c := range claims {
		f.mustRefuse(t, name, f.sign(t, f.header, c))
	}

	g := &forger{kit: f.kit, key: f.key}
	g.claims = decode(t, strings.Split(f.create(t, sessions.CreateParams{Impersonation: true, Actor: "root"}).
		AccessToken.Reveal(), ".")[1])
	if id, err := f.Verify(f.sign(t, f.header, g.claims)); err != nil || !id.Impersonation || id.Actor != "root" {
		t.Fatalf("impersonation: %+v, %v", id, err)
	}
	for name, act := range map[string]string{
		"act as a string": `"root"`, "act true": `true`, "act 1": `1`, "act null": `null`, "act empty": `{}`,
		"act in a list": `[{"sub":"root"}]`,
		"act with more": `{"sub":"root","exp":1}`, "act nested": `{"sub":"root","act":{"sub":"x"}}`,
		"act without a name": `{"sub":""}`, "act of number": `{"sub":1}`,
		"act a thousand deep": strings.Repeat(`{"act":`, 1000) + "1" + strings.Repeat("}", 1000),
	} {
		f.mustRefuse(t, name, f.sign(t, f.header, g.with(t, "act", act)))
	}
}

func TestAccessTokenTimes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name                 string
		ttl                  time.Duration
		impersonation        bool
		skew                 time.Duration
		lives, verifiesUntil time.Duration
	}{
		{name: "an ordinary token lives ten minutes", ttl: time.Hour, lives: 10 * time.Minute,
			verifiesUntil: 10 * time.Minute},
		{name: "skew is tolerated after exp", ttl: time.Hour, skew: time.Minute, lives: 10 * time.Minute,
			verifiesUntil: 11 * time.Minute},
		{name: "exp is capped at the session's end", ttl: 5 * time.Minute, lives: 5 * time.Minute,
			verifiesUntil: 5 * time.Minute},
		{name: "a token lives 30 s, and we refuse it from the session's end on", ttl: 10 * time.Second,
			lives: 30 * time.Second, verifiesUntil: 10 * time.Second},
		{name: "an impersonation's token never passes its ceiling", ttl: 45 * time.Second, impersonation: true,
			lives: 45 * time.Second, verifiesUntil: 45 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			k := newKit(t, func(config *sessions.Config) { config.ClockSkew = c.skew })
			p := sessions.CreateParams{TTL: c.ttl, Impersonation: c.impersonation, By: "support"}
			g := k.create(t, p)
			if got := g.AccessTokenExpiresAt.Sub(start); got != c.lives {
				t.Errorf("exp after %v, want %v", got, c.lives)
			}
			k.Clock.Set(start.Add(c.verifiesUntil - time.Microsecond))
			if _, err := k.Verify(g.AccessToken.Reveal()); err != nil {
				t.Errorf("just before its end: %v", err)
			}
			k.Clock.Set(start.Add(c.verifiesUntil))
			_, err := k.Verify(g.AccessToken.Reveal())
			var expired *sessions.ExpiredError
			if !errors.As(err, &expired) || !errors.Is(err, sessions.ErrExpired) || expired.SessionID != g.Session.ID ||
				expired.UserID != "alice" {
				t.Errorf("at its end: %v", err)
			}
		})
	}
}

func TestClaimsHook(t *testing.T) {
	t.Parallel()
	var claims map[string]any
	k := newKit(t, func(c *sessions.Config) {
		c.Claims = func(_ context.Context, s sessions.Session, u sessions.User) (map[string]any, error) {
			if s.UserID != u.ID {
				t.Errorf("session of %s, user %s", s.UserID, u.ID)
			}
			return claims, nil
		}
	})
	claims = map[string]any{"plan": "pro", "groups": []string{"a", "b"}}
	g := k.create(t, sessions.CreateParams{})
	if _, err := k.Verify(g.AccessToken.Reveal()); err != nil {
		t.Fatal(err)
	}
	if text := decode(t, strings.Split(g.AccessToken.Reveal(), ".")[1]); !strings.Contains(text,
		`"groups":["a","b"],"plan":"pro"}`) {
		t.Errorf("claims %s", text)
	}
	for name, c := range map[string]map[string]any{
		"a registered name":             {"sub": "bob"},
		"a registered name by its case": {"SID": "x"},
		"nbf":                           {"nbf": 1},
		"a token above 4,096 bytes":     {"x": strings.Repeat("a", 3000)},
		"a value that JSON has not":     {"x": func() {}},
		"names that differ in case":     {"x": 1, "X": 2},
		"nesting":                       {"x": nest(20)},
	} {
		claims = c
		if g, err := k.Create(t.Context(), sessions.CreateParams{UserID: "alice"}); !errors.Is(err,
			sessions.ErrUnavailable) || g != (sessions.Grant{}) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if list, err := k.List(t.Context(), "alice", sessions.ListOptions{}); err != nil || len(list.Sessions) != 1 {
		t.Errorf("refused creates have left %d sessions behind, %v", len(list.Sessions)-1, err)
	}
}

// Whatever users call themselves, they can sign in and stay signed in.
func TestALongNameIsCutInTheClaimAndKeepsNobodyOut(t *testing.T) {
	t.Parallel()
	longID := strings.Repeat("u", 255)
	k := newKit(t, func(c *sessions.Config) { c.Cookies.Enabled = true })
	address := func(n int) string { return strings.Repeat("a", n-len("@example.com")) + "@example.com" }
	for name, c := range map[string]struct {
		user        sessions.User
		name, email any
	}{
		"as they are": {
			sessions.User{Name: "<Ada> & \"Co\"", Email: "ada@example.com"}, "<Ada> & \"Co\"", "ada@example.com",
		},
		"a name of 400 <":      {sessions.User{Name: strings.Repeat("<", 400)}, strings.Repeat("<", 255), nil},
		"a name of 255 bytes":  {sessions.User{Name: strings.Repeat("x", 255)}, strings.Repeat("x", 255), nil},
		"a name of a megabyte": {sessions.User{Name: strings.Repeat("x", 1<<20)}, strings.Repeat("x", 255), nil},
		"a name of quotes":     {sessions.User{Name: strings.Repeat(`"`, 400)}, strings.Repeat(`"`, 127), nil},
		"a name of control bytes": {
			sessions.User{Name: strings.Repeat("\x01", 400)}, strings.Repeat("\x01", 42), nil,
		},
		"a name of separators": {
			sessions.User{Name: strings.Repeat("\u2028", 400)}, strings.Repeat("\u2028", 42), nil,
		},
		"a name in Chinese": {
			sessions.User{Name: "x" + strings.Repeat("漢", 400)}, "x" + strings.Repeat("漢", 84), nil,
		},
		"a name of emoji": {sessions.User{Name: strings.Repeat("👍", 400)}, strings.Repeat("👍", 63), nil},
		"a name that is not UTF-8": {
			sessions.User{Name: strings.Repeat("\xff", 400)}, strings.Repeat("\ufffd", 42), nil,
		},
		"an address of 320 bytes":     {sessions.User{Email: address(320)}, nil, address(320)},
		"an address of 321 bytes":     {sessions.User{Email: address(321)}, nil, nil},
		"an address of 400 <":         {sessions.User{Email: strings.Repeat("<", 400)}, nil, nil},
		"an address that is no UTF-8": {sessions.User{Email: "\xff@example.com"}, nil, nil},
	} {
		c.user.ID, c.user.EmailVerified = longID, true
		k.SetUser(c.user, nil)
		g, err := k.Create(t.Context(), sessions.CreateParams{
			UserID: longID, Impersonation: true, Actor: strings.Repeat("a", 255),
		})
		if err != nil {
			t.Errorf("%s: create: %v", name, err)
			continue
		}
		if g, err = k.Refresh(t.Context(), g.RefreshToken.Reveal(), sessions.Client{}); err != nil {
			t.Errorf("%s: refresh: %v", name, err)
			continue
		}
		if _, err := k.Verify(g.AccessToken.Reveal()); err != nil {
			t.Errorf("%s: verify: %v", name, err)
		}
		var claims map[string]any
		if err := json.Unmarshal([]byte(decode(t, strings.Split(g.AccessToken.Reveal(), ".")[1])),
			&claims); err != nil {
			t.Fatal(err)
		}
		if claims["name"] != c.name || claims["email"] != c.email {
			t.Errorf("%s: name %q, email %q", name, claims["name"], claims["email"])
		}
		if c.user.Email != "" && claims["email_verified"] != (c.email != nil) {
			t.Errorf("%s: email_verified is %v", name, claims["email_verified"])
		}
	}
}

// Every refresh cuts the name, which the user may choose.
func TestCuttingANameAllocatesNothing(t *testing.T) { //nolint:paralleltest // it counts allocations
	for name, text := range map[string]string{
		"255 control characters": strings.Repeat("\x01", 255), "255 letters": strings.Repeat("x", 255),
		"no UTF-8": strings.Repeat("\xff", 255),
	} {
		if n := testing.AllocsPerRun(10, func() { sessions.CutEncoded(text, 255) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// The length that is added up is the one that encoding/json writes.
func TestTheLengthOfEveryRuneInAClaim(t *testing.T) {
	t.Parallel()
	check := func(text string) {
		t.Helper()
		encoded, err := sessions.EncodeClaims(text)
		if err != nil {
			t.Fatal(err)
		}
		r, size := utf8.DecodeRuneInString(text)
		if got, want := sessions.EncodedLen(r, size), len(encoded)-len(`""`); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
	for r := range rune(0x3000) {
		check(string(r))
	}
	for _, text := range []string{"漢", "\ufffd", "\uffff", "👍", "\U0010ffff", "\xff", "\x80", "\xc3"} {
		check(text)
	}
}

func nest(depth int) any {
	if depth == 0 {
		return 1
	}
	return []any{nest(depth - 1)}
}

func FuzzVerify(f *testing.F) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	m := newKit(f, func(c *sessions.Config) { c.Signers = []crypto.Signer{key} })
	f.Add(`{"alg":"ES256","kid":"k","typ":"at+jwt"}`, `{"sub":"a"}`, []byte("x"))
	f.Add("", `{"sub":"a","SUB":"b"}`, make([]byte, 64))
	f.Fuzz(func(t *testing.T, header, claims string, signature []byte) {
		token := b64.EncodeToString([]byte(header)) + "." + b64.EncodeToString([]byte(claims)) + "." +
			b64.EncodeToString(signature)
		for _, text := range []string{token, header, claims} {
			if id, err := m.Verify(text); err == nil || id != (sessions.Identity{}) {
				t.Errorf("%q verifies: %+v, %v", text, id, err)
			}
		}
	})
}
