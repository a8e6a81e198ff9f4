package sessions

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

// Access tokens are JWTs (RFC 7519) signed with ES256 (RFC 7518, section 3.4) in the profile of RFC
// 9068. We verify only what we issue: the protected header must be, byte for byte, one that this
// ring emits. So there is no header to parse, and algorithm confusion, embedded keys, crit, zip and
// the like cannot even be expressed.

const (
	// maxAccessToken is the size limit in bytes, at issue and at verification; it
	// keeps a token and its header line inside the limits of common proxies.
	maxAccessToken = 4096
	signatureLen   = 64
	// minFreshness is how long a fresh token lives at least, if the configured lifetime allows: the
	// published SDK refuses one with less than 20 s.
	minFreshness = 30 * time.Second
	// maxIssuedAhead is how far in the future an iat may lie: another replica's clock may be ahead.
	// Only exp decides when a token ends.
	maxIssuedAhead = time.Minute
	// branchID is the only branch of the x-stack family.
	branchID = "main"
	// maxNumericDate is the end of the year 9999. Beyond it time.Time no longer marshals.
	maxNumericDate = 253402300799
)

var segmentEncoding = base64.RawURLEncoding.Strict()

// accessKey signs and verifies access tokens.
type accessKey struct {
	signer crypto.Signer
	public *ecdsa.PublicKey
	// header is the encoded protected header that all tokens of this key have.
	header string
	jwk    jwk
}

// jwk is a public key in the JWK set (RFC 7517).
type jwk struct {
	KeyType   string `json:"kty"`
	Use       string `json:"use"`
	Algorithm string `json:"alg"`
	Curve     string `json:"crv"`
	X         string `json:"x"`
	Y         string `json:"y"`
	KeyID     string `json:"kid"`
}

func newAccessKey(signer crypto.Signer) (*accessKey, error) {
	if signer == nil {
		return nil, errors.New("the signer is nil")
	}
	public, ok := signer.Public().(*ecdsa.PublicKey)
	if !ok || public.Curve != elliptic.P256() {
		return nil, errors.New("the signer must have an ECDSA key on P-256")
	}
	point, err := public.Bytes() // 4 ‖ x ‖ y; refuses points off the curve
	if err != nil {
		return nil, err
	}
	x, y := segmentEncoding.EncodeToString(point[1:33]), segmentEncoding.EncodeToString(point[33:])
	// RFC 7638, section 3.2: the required members in lexicographic order.
	thumbprint := sha256.Sum256([]byte(`{"crv":"P-256","kty":"EC","x":"` + x + `","y":"` + y + `"}`))
	kid := segmentEncoding.EncodeToString(thumbprint[:])
	header := `{"alg":"ES256","kid":"` + kid + `","typ":"at+jwt"}`
	return &accessKey{
		signer: signer,
		public: public,
		header: segmentEncoding.EncodeToString([]byte(header)),
		jwk:    jwk{KeyType: "EC", Use: "sig", Algorithm: "ES256", Curve: "P-256", X: x, Y: y, KeyID: kid},
	}, nil
}

// jwkSet returns the public half of all keys (RFC 7517, section 5).
func (r *ring) jwkSet() ([]byte, error) {
	set := struct {
		Keys []jwk `json:"keys"`
	}{Keys: make([]jwk, len(r.access))}
	for i, k := range r.access {
		set.Keys[i] = k.jwk
	}
	return json.Marshal(set)
}

// sign makes a compact JWS (RFC 7515, section 7.1) with the first key.
func (r *ring) sign(payload []byte) (string, error) {
	key := r.access[0]
	input := key.header + "." + segmentEncoding.EncodeToString(payload)
	digest := sha256.Sum256([]byte(input))
	der, err := key.signer.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return "", err
	}
	// A signer answers in ASN.1. JWS has r ‖ s in 32 bytes each.
	var point struct{ R, S *big.Int }
	rest, err := asn1.Unmarshal(der, &point)
	if err != nil || len(rest) > 0 || point.R.Sign() <= 0 || point.S.Sign() <= 0 ||
		point.R.BitLen() > 256 || point.S.BitLen() > 256 {
		return "", errors.New("the signer returned a malformed signature")
	}
	var signature [signatureLen]byte
	point.R.FillBytes(signature[:32])
	point.S.FillBytes(signature[32:])
	return input + "." + segmentEncoding.EncodeToString(signature[:]), nil
}

// open checks a token's form and signature, and returns its payload without reading it.
func (r *ring) open(token string) (payload []byte, ok bool) {
	if len(token) > maxAccessToken || strings.ContainsAny(token, "\r\n") {
		return nil, false // the decoder skips line breaks even when strict
	}
	header, rest, _ := strings.Cut(token, ".")
	body, tail, found := strings.Cut(rest, ".")
	if !found || len(tail) != segmentEncoding.EncodedLen(signatureLen) {
		return nil, false
	}
	key := r.accessKey(header)
	if key == nil {
		return nil, false
	}
	var signature [signatureLen]byte
	if n, err := segmentEncoding.Decode(signature[:], []byte(tail)); err != nil || n != signatureLen {
		return nil, false
	}
	digest := sha256.Sum256([]byte(token[:len(header)+1+len(body)]))
	if !verifyES256(key.public, digest[:], signature[:]) {
		return nil, false
	}
	payload, err := segmentEncoding.DecodeString(body)
	return payload, err == nil
}

// verifyES256 checks a signature of the form r ‖ s.
func verifyES256(public *ecdsa.PublicKey, digest, signature []byte) bool {
	if len(signature) != signatureLen {
		return false
	}
	return ecdsa.Verify(public, digest, new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:]))
}

// tokenClaims are the claims of every access token, in the order in which they are written. Those
// about the user follow: stackClaims or userClaims.
type tokenClaims struct {
	Issuer           string   `json:"iss"`
	Subject          string   `json:"sub"`
	Audience         string   `json:"aud"`
	IssuedAt         int64    `json:"iat"`
	ExpiresAt        int64    `json:"exp"`
	ID               string   `json:"jti"`
	ClientID         string   `json:"client_id"`
	SessionID        string   `json:"sid"`
	SessionExpiresAt int64    `json:"session_expires_at"`
	AuthTime         *int64   `json:"auth_time,omitempty"`
	Actor            *actorIs `json:"act,omitempty"`
}

// userClaims follow in the tokens of a Manager without [Config.ProjectID], as far as the
// host's [User] has them (OpenID Connect Core 1.0, section 5.1).
type userClaims struct {
	Name          string `json:"name,omitempty"`
	Email         string `json:"email,omitempty"`
	EmailVerified bool   `json:"email_verified,omitempty"`
}

// stackClaims follow in the tokens of a Manager with [Config.ProjectID]. Those without a value are
// null and not absent: the published SDK does not accept a token that lacks one.
type stackClaims struct {
	ProjectID        string  `json:"project_id"`
	BranchID         string  `json:"branch_id"`
	RefreshTokenID   string  `json:"refresh_token_id"`
	Role             string  `json:"role"`
	Name             *string `json:"name"`
	Email            *string `json:"email"`
	EmailVerified    bool    `json:"email_verified"`
	SelectedTeamID   *string `json:"selected_team_id"`
	SignedUpAt       int64   `json:"signed_up_at"`
	IsAnonymous      bool    `json:"is_anonymous"`
	IsRestricted     bool    `json:"is_restricted"`
	RestrictedReason *string `json:"restricted_reason"`
	RequiresTOTPMFA  bool    `json:"requires_totp_mfa"`
}

// actorIs is the act claim (RFC 8693, section 4.1).
type actorIs struct {
	Subject string `json:"sub"`
}

// registeredClaims are names that [Config.Claims] may not set: those of both forms of our
// tokens, whichever this Manager issues, so that a host may set [Config.ProjectID] later;
// and nbf (RFC 7519, section 4.1.5), which we leave out on purpose.
var registeredClaims = []string{
	"iss", "sub", "aud", "iat", "exp", "nbf", "jti", "client_id", "sid", "session_expires_at", "auth_time", "act",
	"project_id", "branch_id", "refresh_token_id", "role", "name", "email", "email_verified", "selected_team_id",
	"signed_up_at", "is_anonymous", "is_restricted", "restricted_reason", "requires_totp_mfa",
}

// issue makes an access token for a session. extra comes from [Config.Claims].
func (m *Manager) issue(
	s Session, user User, extra map[string]any, now time.Time,
) (token Token, issued, expires time.Time, err error) {
	issued = now.Truncate(time.Second)
	expires = m.accessExpiry(s, now)

	payload, err := encodeClaims(m.tokenClaims(s, issued, expires))
	if err != nil {
		return Token{}, time.Time{}, time.Time{}, err
	}
	about, err := encodeClaims(m.claimsOf(user, s))
	if err != nil {
		return Token{}, time.Time{}, time.Time{}, err
	}
	payload = joinObjects(payload, about)
	if len(extra) > 0 {
		for name := range extra {
			if slices.ContainsFunc(registeredClaims, func(r string) bool { return strings.EqualFold(r, name) }) {
				return Token{}, time.Time{}, time.Time{},
					fmt.Errorf("Config.Claims returned the registered claim %q", name)
			}
		}
		more, err := encodeClaims(extra)
		if err != nil {
			return Token{}, time.Time{}, time.Time{}, fmt.Errorf("Config.Claims: %w", err)
		}
		payload = joinObjects(payload, more)
		// What we would not accept we must not issue.
		if _, err := parseObject(payload); err != nil {
			return Token{}, time.Time{}, time.Time{}, fmt.Errorf("Config.Claims: the access token's claims: %w", err)
		}
	}

	text, err := m.ring.sign(payload)
	if err != nil {
		return Token{}, time.Time{}, time.Time{}, fmt.Errorf("sign the access token: %w", err)
	}
	if limit := m.cookies.limit(maxAccessToken); len(text) > limit {
		err := fmt.Errorf("the access token has %d bytes, at most %d are allowed", len(text), limit)
		return Token{}, time.Time{}, time.Time{}, err
	}
	return NewToken(text), issued, expires, nil
}

func (m *Manager) tokenClaims(s Session, issued, expires time.Time) tokenClaims {
	claims := tokenClaims{
		Issuer:           m.cfg.Issuer,
		Subject:          s.UserID,
		Audience:         m.cfg.Audience,
		IssuedAt:         issued.Unix(),
		ExpiresAt:        expires.Unix(),
		ID:               m.newTokenID(),
		ClientID:         m.clientID,
		SessionID:        s.ID,
		SessionExpiresAt: s.ExpiresAt.Unix(),
	}
	if !s.AuthTime.IsZero() {
		// No further ahead than verification allows: this clock may be behind that of the replica
		// that authenticated the user.
		at := min(s.AuthTime.Unix(), issued.Add(maxIssuedAhead).Unix())
		claims.AuthTime = &at
	}
	if s.Impersonation {
		claims.Actor = &actorIs{Subject: s.Actor}
	}
	return claims
}

// newTokenID makes a jti. 96 random bits do not repeat while tokens live, and 16 bytes
// are less than half of what a UUID takes.
func (m *Manager) newTokenID() string {
	if m.cfg.ProjectID != "" {
		return uuid.NewString()
	}
	var b [12]byte
	_, _ = rand.Read(b[:]) // it never returns an error
	return segmentEncoding.EncodeToString(b[:])
}

// claimsOf returns the claims about a user: stackClaims or userClaims.
func (m *Manager) claimsOf(user User, s Session) any {
	about := userClaims{Name: cutEncoded(user.Name, maxNameClaim)}
	// The beginning of an address is another address, so it is not cut.
	if utf8.ValidString(user.Email) && cutEncoded(user.Email, maxEmailClaim) == user.Email {
		about.Email, about.EmailVerified = user.Email, user.EmailVerified
	}
	if m.cfg.ProjectID == "" {
		about.EmailVerified = about.EmailVerified && about.Email != ""
		return about
	}
	claims := stackClaims{
		ProjectID:      m.cfg.ProjectID,
		BranchID:       branchID,
		RefreshTokenID: s.ID,
		Role:           "authenticated",
		Name:           orNull(about.Name),
		Email:          orNull(about.Email),
		EmailVerified:  about.EmailVerified,
	}
	if !user.SignedUpAt.IsZero() {
		claims.SignedUpAt = user.SignedUpAt.Unix()
	}
	return claims
}

// joinObjects appends the members of a JSON object to another one, which has some.
func joinObjects(object, more []byte) []byte {
	if string(more) == "{}" {
		return object
	}
	return append(append(object[:len(object)-1], ','), more[1:]...)
}

// accessExpiry caps an access token's life at the end of its session, but lets a fresh token of an
// ordinary session live for minFreshness. Our own verification refuses it from the session's end
// on. An impersonation's token never passes its session's end.
func (m *Manager) accessExpiry(s Session, now time.Time) time.Time {
	full := now.Add(m.cfg.AccessTokenTTL)
	expires := full
	if expires.After(s.ExpiresAt) {
		expires = s.ExpiresAt
		if fresh := now.Add(minFreshness); !s.Impersonation && fresh.After(expires) {
			expires = fresh
		}
		if expires.After(full) {
			expires = full
		}
	}
	return expires.Truncate(time.Second)
}

// A name must not make the token so long that its user cannot sign in. The limits are in bytes of
// JSON. That of an address is above the limit of mail (RFC 5321, section 4.5.3.1).
const (
	maxNameClaim  = 255
	maxEmailClaim = 320
)

// cutEncoded returns the longest beginning of s that has at most limit bytes in a claim, without
// its quotes.
func cutEncoded(s string, limit int) string {
	encoded := 0
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		if encoded += encodedLen(r, size); encoded > limit {
			return s[:i]
		}
		i += size
	}
	return s
}

// encodedLen returns the length of a rune of size bytes in what encodeClaims writes.
func encodedLen(r rune, size int) int {
	switch {
	case r == '"', r == '\\', r == '\b', r == '\f', r == '\n', r == '\r', r == '\t':
		return len(`\n`)
	case r < ' ', r == '\u2028', r == '\u2029', r == utf8.RuneError && size == 1:
		return len(`\u0000`)
	default:
		return size
	}
}

// encodeClaims is json.Marshal, but keeps <, > and & as they are: a token is not HTML, and an
// escape has six bytes.
func encodeClaims(v any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// parseAccess checks an access token, except for its end and revocation.
func (m *Manager) parseAccess(ctx context.Context, token string) (Identity, error) {
	payload, ok := m.ring.open(token)
	if !ok {
		return Identity{}, ErrInvalidToken
	}
	claims, err := parseObject(payload)
	if err != nil || !m.addressed(claims) {
		return Identity{}, ErrInvalidToken
	}
	id, issued, ok := readClaims(claims)
	if !ok || issued.After(m.now().Add(maxIssuedAhead+m.cfg.ClockSkew)) {
		m.reportForged(ctx, id, refusalContradiction)
		return Identity{}, ErrInvalidToken
	}
	return id, nil
}

// addressed reports whether claims are those of a token for this service, under its name or a
// former one. Another service may share the secrets.
//
// A token has all claims of the x-stack family or none. Both forms count whether [Config.ProjectID]
// is set or not, so that older tokens go on when a host sets it.
func (m *Manager) addressed(claims jsonObject) bool {
	client := claims.text("client_id")
	return claims.is("iss", m.cfg.Issuer) && slices.Contains(m.audiences, claims.text("aud")) &&
		(client == m.clientID || slices.Contains(m.audiences, client)) &&
		(claims.get("project_id") == nil && claims.get("branch_id") == nil ||
			claims.is("project_id", client) && claims.is("branch_id", branchID))
}

// readClaims reads the claims of a payload whose signature is good, and checks that we would issue
// them: the key may have leaked. It returns what it has read even if ok is false.
func readClaims(claims jsonObject) (id Identity, issued time.Time, ok bool) {
	id = Identity{Access: AccessClient, UserID: claims.text("sub"), SessionID: claims.text("sid")}
	ok = validUserID(id.UserID) && validSessionID(id.SessionID) && sameSession(claims, id.SessionID)
	if raw := claims.get("act"); raw != nil {
		// One level only: an impersonation is never made from another.
		act, err := parseObject(raw)
		id.Impersonation, id.Actor = true, act.text("sub")
		ok = ok && err == nil && len(act) == 1 && validUserID(id.Actor) && claims.get("auth_time") == nil
	}
	issued, okTimes := readTimes(claims, &id)
	return id, issued, ok && okTimes
}

// sameSession reports whether a token names one session only. With the claims of the x-stack family,
// of which it has all or none, it does so twice.
func sameSession(claims jsonObject, sessionID string) bool {
	if claims.get("project_id") == nil {
		return claims.get("refresh_token_id") == nil
	}
	return claims.is("refresh_token_id", sessionID)
}

// readTimes reads the times of a token into id.
func readTimes(claims jsonObject, id *Identity) (issued time.Time, ok bool) {
	ok = claims.get("nbf") == nil
	date := func(name string) time.Time {
		n, isInt := jsonInt(claims.get(name))
		ok = ok && isInt && n > 0 && n <= maxNumericDate
		return time.Unix(n, 0).UTC()
	}
	issued, id.ExpiresAt, id.SessionExpiresAt = date("iat"), date("exp"), date("session_expires_at")
	// The limit is a constant, so that a deploy may shorten AccessTokenTTL.
	ok = ok && !id.ExpiresAt.Before(issued) && id.ExpiresAt.Sub(issued) <= maxAccessTokenTTL
	if claims.get("auth_time") != nil {
		id.AuthTime = date("auth_time")
		ok = ok && !id.AuthTime.After(issued.Add(maxIssuedAhead))
	}
	return issued, ok
}
