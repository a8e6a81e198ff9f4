package sessions

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	defaultSessionTTL       = 365 * 24 * time.Hour
	defaultMaxSessionTTL    = 367 * 24 * time.Hour
	defaultIdleTimeout      = 90 * 24 * time.Hour
	defaultAccessTokenTTL   = 10 * time.Minute
	defaultOverlap          = 60 * time.Second
	defaultImpersonationTTL = time.Hour
	maxImpersonationTTL     = 24 * time.Hour
	minImpersonationTTL     = 30 * time.Second
	defaultRetention        = 30 * 24 * time.Hour

	minAccessTokenTTL = 2 * time.Second
	maxAccessTokenTTL = 24 * time.Hour
	minOverlap        = time.Second
	maxOverlap        = 10 * time.Minute
	maxClockSkew      = time.Minute
	storeTimeout      = RevocationBound
	minStoreTimeout   = 100 * time.Millisecond
	maxStoreTimeout   = time.Minute
)

// Values of settings that mean never.
const (
	// NoIdleTimeout as [Config].IdleTimeout keeps unused sessions until they expire.
	NoIdleTimeout time.Duration = -1
	// NoOverlap as [Rotation].Overlap refuses a refresh token from its first use on.
	NoOverlap time.Duration = -1
	// NoRecovery as [Rotation].MaxRecoveries ends the session if the token before the
	// current one is presented outside the overlap.
	NoRecovery = -1
)

// Config holds the settings of a [Manager]. [New] copies it, so a later change has no
// effect. The zero value of every field that is not required is the safe one. Functions
// are called concurrently.
type Config struct {
	// Store keeps the sessions. Required.
	Store Store

	// StoreTimeout limits each call to the store or to a hook, from 100 ms to 1 min. A
	// call that takes longer fails with [ErrUnavailable]. A read also ends with the
	// caller's context. A write begins only if that context is live, and then only
	// StoreTimeout stops it and everything that belongs to it, so that no session ends
	// without its event because a client has disconnected. Calls of a [Joined] have the
	// caller's context and no other limit.
	//
	// Defaults to 5 s. [RevocationBound] holds if an end is committed within 5 s of
	// the call. With a longer limit, bounded routes may learn of an end later.
	StoreTimeout time.Duration

	// Users looks up a user of the host by id, at each create and at each refresh. It
	// returns [ErrUserNotFound] if there is no such user: create refuses, and refresh ends
	// the session. It returns [ErrUserDisabled] if the user may not have sessions now: both
	// refuse, and the session is kept. Any other error means that the answer is unknown,
	// which clients see as 503.
	//
	// The User must have the ID that was requested, byte for byte. If it has no
	// ID, that is a 503; if it has another one, create answers as for an unknown user, and
	// refresh with 503. Users should query the primary database, not a replica that lags. No
	// route calls it, not even a strict one: to stop the access tokens of a user, call
	// [Manager.EndMany]. See [IntUsers] for integer ids. Required.
	Users func(ctx context.Context, userID string) (User, error)

	// Claims adds claims to the access token of a session. If it returns a registered
	// name, or if the token would have more than 4,096 bytes, the call fails and no token is
	// issued. Defaults to no further claims.
	Claims func(ctx context.Context, session Session, user User) (map[string]any, error)

	// Secrets are the source of all keys: at least 32 random bytes each, and not one byte
	// repeated. The first one signs, all of them verify. To rotate, append a new secret
	// everywhere, wait an hour, move it to the front, and drop the old one after the longest
	// idle time. Use one set for each environment: a staging copy with the secrets of
	// production accepts the tokens of production. Required.
	Secrets [][]byte

	// Signers sign access tokens instead of the keys derived from Secrets, for hosts with a
	// KMS. Their keys are ECDSA on P-256. The first one signs, all of them verify. They get
	// no context, so a remote one needs a time limit of its own. Defaults to the derived keys.
	Signers []crypto.Signer

	// Issuer is the iss of access tokens: an absolute http or https URL. With BaseURL it must
	// have no user, query or fragment. Required.
	Issuer string

	// BaseURL is the URL at which clients reach the HTTP API, such as
	// https://app.example/api/v1: absolute, http or https, without user, query and fragment.
	// [Handler.Metadata] is made from it. Defaults to none: no metadata is served, for hosts
	// that have their own.
	BaseURL string

	// ProjectID makes the API that of a Stack Auth project, for its published SDK. It is the
	// project that clients name, and the client_id and project_id of access tokens, which
	// then carry all claims that the SDK needs. It has letters, digits, '-', '_' and '.';
	// the SDK needs a UUID. Set it only if you have such clients; without it access tokens
	// are about half as long. Required if Audience is not set.
	ProjectID string

	// Audience is the aud of access tokens. Refresh tokens and hand-off codes are bound to
	// it, too: if two Managers share a store and a set of secrets, each takes only its own. A
	// change signs everybody out; see FormerAudiences. Required if ProjectID is not set, to
	// which it defaults.
	Audience string

	// FormerAudiences are former values of Audience. Their tokens and hand-off codes are
	// still accepted, and the new tokens are those of Audience. To rename, add the new name
	// here everywhere, swap the two everywhere, and drop the old one as you would drop an old
	// secret. Never name another service's audience here. Defaults to none.
	FormerAudiences []string

	// ServerKeys are the server keys and admin keys of trusted callers, as hashes from
	// [HashServerKey]. Defaults to none.
	ServerKeys []ServerKey

	// ClientKeys are publishable client keys, which are not secret. If a client sends a key,
	// it must be among them. Defaults to none.
	ClientKeys []string

	// RequireClientKey refuses clients of the x-stack family and of the token endpoint that
	// send no client key. Defaults to false.
	RequireClientKey bool

	// AccessTokenTTL is how long access tokens live, from 2 s to 24 h. The published SDK does
	// not work with less than 30 s. Defaults to 10 min.
	AccessTokenTTL time.Duration

	// SessionTTL is how long a session lives if create does not say. Defaults to 365 days, or
	// to MaxSessionTTL if that is less.
	SessionTTL time.Duration

	// MaxSessionTTL is the longest life that create may request. Defaults to 367 days.
	MaxSessionTTL time.Duration

	// IdleTimeout ends sessions that were not refreshed for this long. It must be longer
	// than AccessTokenTTL and Rotation.Overlap together, or no client could refresh in
	// time. Defaults to 90 days; [NoIdleTimeout] switches it off.
	IdleTimeout time.Duration

	// MayImpersonate decides whether a user may impersonate another one. It returns nil to
	// allow it and [ErrImpersonationNotAllowed] to refuse it. Any other error means that the
	// answer is unknown, which clients see as 503, whatever that error wraps.
	//
	// It is called at create and again at each refresh. At a refresh actor has Access, UserID
	// and SessionID only, so look the actor's rights up. Protect targets that may do more than
	// the actor. The target is what Users returned. Callers with a key are not subject to it.
	// Defaults to refusing everybody.
	MayImpersonate func(ctx context.Context, actor Identity, target User) error

	// Impersonation governs sessions in which somebody else acts as the user.
	Impersonation Impersonation

	// Rotation governs the refresh protocol. Defaults to the zero Rotation;
	// [StrictRotation] is RFC 9700 to the letter.
	Rotation Rotation

	// RevocationFallback says what [Bounded] routes do while the revocation feed does not run
	// or is behind. It is Strict or Stateless. Stateless keeps them going while the database
	// is away, at a price: sessions that ended elsewhere go on for up to the life of an access
	// token. Defaults to Strict.
	RevocationFallback Revocation

	// Cookies governs cookie mode, for browsers. Defaults to off.
	Cookies Cookies

	// ClockSkew is how long after its exp an access token is still accepted, up to 60 s.
	// Defaults to 0.
	ClockSkew time.Duration

	// Retention is how long [Manager.Prune] keeps sessions that are over. It is not less than
	// AccessTokenTTL and ClockSkew together. Defaults to 30 days.
	Retention time.Duration

	// TrustedProxies are the proxies whose X-Forwarded-For is believed. Defaults to none: the
	// client's address is that of the connection.
	TrustedProxies []netip.Prefix

	// ClientIP returns the address of the client that made a request, for hosts whose
	// framework knows it. An invalid Addr means that no address is recorded. New refuses
	// ClientIP together with TrustedProxies. Defaults to the address of the connection and
	// TrustedProxies.
	ClientIP func(*http.Request) netip.Addr

	// NoClientInfo records neither the address nor the user agent of clients. Defaults to
	// false.
	NoClientInfo bool

	// WriteError writes refusals in the app's own form: those of the mounted routes, and
	// those of the net/http middlewares unless their Config has a WriteError of its own. The
	// headers of the answer are set before the call: challenge, Retry-After, Allow, no-store,
	// request id, known error. WriteError sends the status, which is err.Status, or another
	// answer, such as a redirect to the sign-in page. errors.Is finds the cause in err. The
	// function [WriteError] writes the default form.
	//
	// Routes under /auth/oauth/ keep the form of RFC 6749, and the middlewares for Echo
	// return errors to the app's HTTPErrorHandler. If WriteError panics on a mounted route,
	// that is logged and the connection is dropped. Defaults to the JSON of [APIError].
	WriteError func(w http.ResponseWriter, r *http.Request, err *APIError)

	// OnEvent gets each [Event] after it is committed and before the caller has its answer,
	// so it should hand the event on and return. Its context ends when it returns or after
	// StoreTimeout, and not when the caller disconnects. Defaults to none.
	OnEvent func(ctx context.Context, event Event)

	// Logger gets failures of the store and of hooks: one line for each request that failed,
	// and at most one line a second of each kind. No credential and no SQL is ever logged.
	// Defaults to [slog.Default] as it is at each line; use [slog.DiscardHandler] for silence.
	Logger *slog.Logger

	// Now is the clock. Replicas must agree within a quarter of Rotation.Overlap, so
	// run NTP. Defaults to time.Now.
	Now func() time.Time
}

// Impersonation governs sessions in which somebody else acts as the user.
type Impersonation struct {
	// RequireActor refuses a create by key that names no actor. Defaults to false: the name
	// of the key is the actor.
	RequireActor bool
	// RequireReason refuses a create without a reason, or with a reason without visible
	// characters. Defaults to false.
	RequireReason bool
	// ShowToUser lists impersonations in the list of the user's own sessions, and lets the
	// user end them. Admin keys always see them, server keys on request. Defaults to false.
	ShowToUser bool
	// TTL is how long an impersonation lives if create does not say. Defaults to 1 h, or to
	// MaxTTL if that is less.
	TTL time.Duration
	// MaxTTL is the longest life that create may request, from 30 s to 24 h. Defaults to
	// 24 h.
	MaxTTL time.Duration
}

// Format shows no field, whatever the verb, because Secrets is one of them. Do not keep a
// Config in an unexported field of a struct that is ever printed: there fmt calls no method
// and shows everything.
func (Config) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "sessions.Config{…}") }

// MarshalJSON shows no field.
func (Config) MarshalJSON() ([]byte, error) { return []byte(`"sessions.Config{…}"`), nil }

// withDefaults returns a copy that shares nothing with c.
func (c Config) withDefaults() Config {
	secrets := make([][]byte, len(c.Secrets))
	for i, s := range c.Secrets {
		secrets[i] = slices.Clone(s)
	}
	c.Secrets = secrets
	c.Signers = slices.Clone(c.Signers)
	c.ServerKeys = slices.Clone(c.ServerKeys)
	c.ClientKeys = slices.Clone(c.ClientKeys)
	c.FormerAudiences = slices.Clone(c.FormerAudiences)
	c.TrustedProxies = slices.Clone(c.TrustedProxies)
	for i, proxy := range c.TrustedProxies {
		if plain, ok := plainPrefix(proxy); ok {
			c.TrustedProxies[i] = plain
		}
	}

	setDefault(&c.StoreTimeout, storeTimeout)
	setDefault(&c.Audience, c.ProjectID)
	setDefault(&c.AccessTokenTTL, defaultAccessTokenTTL)
	setDefault(&c.MaxSessionTTL, defaultMaxSessionTTL)
	setDefault(&c.SessionTTL, min(defaultSessionTTL, c.MaxSessionTTL))
	setDefault(&c.IdleTimeout, defaultIdleTimeout)
	setDefault(&c.Impersonation.MaxTTL, maxImpersonationTTL)
	setDefault(&c.Impersonation.TTL, min(defaultImpersonationTTL, c.Impersonation.MaxTTL))
	setDefault(&c.Rotation.Overlap, min(defaultOverlap, c.AccessTokenTTL/2))
	setDefault(&c.Retention, max(defaultRetention, c.AccessTokenTTL+c.ClockSkew))
	setDefault(&c.RevocationFallback, Strict)
	if c.Logger == nil {
		c.Logger = slog.New(defaultHandler{})
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// publicClientKey is what clients without a client key send in place of one.
const publicClientKey = "__stack_public_client__"

// validate returns every fault of a config that has its defaults, joined.
func (c Config) validate() error {
	var f configFaults
	c.validateIssuer(&f)
	c.validateNames(&f)
	c.validateTimes(&f)
	c.validateRequests(&f)
	f.between("ClockSkew", c.ClockSkew, 0, maxClockSkew)
	f.between("Retention", c.Retention, c.AccessTokenTTL+c.ClockSkew, 100*defaultSessionTTL)
	c.validateRotation(&f)
	return errors.Join(f...)
}

// configFaults are everything that is wrong with a Config.
type configFaults []error

func (f *configFaults) add(field, format string, args ...any) {
	*f = append(*f, fmt.Errorf("sessions: Config."+field+": "+format, args...))
}

func (f *configFaults) between(field string, d, low, high time.Duration) {
	if d < low || d > high {
		f.add(field, "%v is not between %v and %v", d, low, high)
	}
}

// validateIssuer judges what every host must set, and the URLs.
func (c Config) validateIssuer(f *configFaults) {
	if c.Store == nil {
		f.add("Store", "required")
	}
	if c.Users == nil {
		f.add("Users", "required")
	}
	if u, err := url.Parse(c.Issuer); c.Issuer == "" {
		f.add("Issuer", "required")
	} else if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		f.add("Issuer", "must be an absolute http or https URL")
	} else if c.BaseURL != "" && !isBaseURL(c.Issuer) {
		f.add("Issuer", "must have no user, query or fragment, for the metadata of Config.BaseURL")
	}
	if c.BaseURL != "" && !isBaseURL(c.BaseURL) {
		f.add("BaseURL", "must be an absolute http or https URL without user, query and fragment")
	}
}

// validateNames judges the project, the audiences and the client keys.
func (c Config) validateNames(f *configFaults) {
	switch {
	case c.ProjectID != "" && !validProjectID(c.ProjectID):
		f.add("ProjectID", "has a character other than letters, digits, '-', '_' and '.', or more than 128")
	case c.Audience == "":
		f.add("Audience", "required, or Config.ProjectID for the clients of Stack Auth's SDK")
	case !validText(c.Audience, 255):
		f.add("Audience", "must be 1 to 255 bytes without control or format characters")
	}
	for i, former := range c.FormerAudiences {
		switch field := fmt.Sprintf("FormerAudiences[%d]", i); {
		case former == "" || !validText(former, 255):
			f.add(field, "must be 1 to 255 bytes without control or format characters")
		case slices.Contains(c.audiences()[:i+1], former):
			f.add(field, "is Config.Audience, or is given twice")
		}
	}
	for i, key := range c.ClientKeys {
		if key == "" || key == publicClientKey || !validText(key, 255) {
			f.add(fmt.Sprintf("ClientKeys[%d]", i),
				"must be 1 to 255 bytes without control or format characters, and not %s", publicClientKey)
		}
	}
	if c.RequireClientKey && len(c.ClientKeys) == 0 {
		f.add("RequireClientKey", "needs Config.ClientKeys")
	}
}

func (c Config) validateTimes(f *configFaults) {
	f.between("StoreTimeout", c.StoreTimeout, minStoreTimeout, maxStoreTimeout)
	f.between("AccessTokenTTL", c.AccessTokenTTL, minAccessTokenTTL, maxAccessTokenTTL)
	f.between("MaxSessionTTL", c.MaxSessionTTL, time.Second, 100*defaultSessionTTL)
	f.between("SessionTTL", c.SessionTTL, time.Millisecond, c.MaxSessionTTL)
	// A client refreshes when its access token has expired, and tries again for as long as
	// the overlap. Its session must not have become idle by then.
	switch awake := c.AccessTokenTTL + max(c.Rotation.Overlap, minOverlap); {
	case c.IdleTimeout == NoIdleTimeout:
	case c.IdleTimeout <= awake:
		f.add("IdleTimeout", "%v is not above %v, which is AccessTokenTTL and Rotation.Overlap together",
			c.IdleTimeout, awake)
	default:
		f.between("IdleTimeout", c.IdleTimeout, 0, 100*defaultSessionTTL)
	}
	f.between("Impersonation.MaxTTL", c.Impersonation.MaxTTL, minImpersonationTTL, maxImpersonationTTL)
	f.between("Impersonation.TTL", c.Impersonation.TTL, minImpersonationTTL, c.Impersonation.MaxTTL)
}

// validateRequests judges how requests are read.
func (c Config) validateRequests(f *configFaults) {
	if c.RevocationFallback != Strict && c.RevocationFallback != Stateless {
		f.add("RevocationFallback", "%d is neither Strict nor Stateless", c.RevocationFallback)
	}
	for _, problem := range c.Cookies.faults() {
		f.add("Cookies."+problem[0], "%s", problem[1])
	}
	if c.Cookies.Enabled && c.Cookies.RefreshPath == "" && c.Rotation.Overlap == NoOverlap {
		// The requests of one page do not all arrive at the same time. Those that arrive
		// after the refresh of the first one would be replays.
		f.add("Cookies", "refreshing on the way through needs an overlap, or set RefreshPath")
	}
	for i, proxy := range c.TrustedProxies {
		if _, ok := plainPrefix(proxy); !ok {
			f.add(fmt.Sprintf("TrustedProxies[%d]", i), "%v is not a network of IPv4 or of IPv6", proxy)
		}
	}
	if c.ClientIP != nil && len(c.TrustedProxies) > 0 {
		f.add("ClientIP", "takes the place of Config.TrustedProxies")
	}
}

func (c Config) validateRotation(f *configFaults) {
	switch {
	case c.Rotation.MaxRecoveries < NoRecovery:
		f.add("Rotation.MaxRecoveries", "%d is neither 0, positive nor NoRecovery", c.Rotation.MaxRecoveries)
	case c.Rotation.Overlap == NoOverlap:
		// Without a window every second presentation would displace the successor: two
		// tabs at once would fork the session, and a spent token would still buy one.
		if c.Rotation.MaxRecoveries != NoRecovery {
			f.add("Rotation.Overlap", "NoOverlap needs NoRecovery, see StrictRotation")
		}
	default:
		f.between("Rotation.Overlap", c.Rotation.Overlap, minOverlap, min(maxOverlap, c.AccessTokenTTL/2))
	}
}

// audiences returns all audiences whose tokens are accepted. Tokens are issued for the first.
func (c Config) audiences() []string { return append([]string{c.Audience}, c.FormerAudiences...) }

// isBaseURL reports whether paths can be appended to text, an absolute URL. RFC 8414,
// section 2, requires the same of issuers.
func isBaseURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil &&
		!strings.ContainsAny(text, "?#")
}

func validProjectID(s string) bool {
	return s != "" && len(s) <= 128 && strings.Trim(s, ".") != "" && !strings.ContainsFunc(s, func(c rune) bool {
		return c == '~' || !isKeyChar(c)
	})
}
