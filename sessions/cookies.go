package sessions

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Cookies sets cookie mode: the server keeps a browser's tokens in cookies that no
// script can read, and refreshes them. After the host has signed a user in it calls
// [Manager.SetCookies]; from then on the middlewares and our endpoints take the
// access token from its cookie where a request has no credentials in a header.
//
// Where the access token has run out, the middlewares refresh on the way through and
// set new cookies on the answer; concurrent requests share one refresh. That needs an
// overlap ([Rotation]). Cookies that have died are cleared. A request of an unsafe
// method that only cookies authenticate has to come from the same origin, by
// [http.CrossOriginProtection]; one with a token in a header does not.
//
// An impersonation has cookies of its own next to the user's. While they are there
// they count; the user's own are refreshed with them, so that acting for long does not
// leave the user's session idle. The request that finds them dead is refused and clears them, so that it
// is never done to the user's own account; from the next one on the user's count.
//
// All cookies are HttpOnly, Secure and SameSite=Lax, with Path=/ and the prefix
// __Host-, so no other host can set them: __Host-sessile_access,
// __Host-sessile_refresh, and for impersonations __Host-sessile_acting_access and
// __Host-sessile_acting_refresh.
type Cookies struct {
	// Enabled switches cookie mode on. Defaults to false: cookies are not looked at.
	Enabled bool

	// Name is the middle of the names, for two Managers on one host: 1 to 32 letters,
	// digits, '-' and '_', without "_acting" at its end. Defaults to "sessile".
	Name string

	// RefreshPath is where alone browsers send the refresh cookie: the path of our
	// endpoint as browsers see it, or of a folder above. The middlewares never see it
	// and do not refresh; the page has to call the endpoint. Sign-out by cookie needs
	// it, too, once the access token has run out: "/auth/sessions/current" covers
	// both, behind the prefix where the API is mounted. The cookie is then called __Secure-…, a
	// name that neighbouring hosts of the domain can set, too. Defaults to none.
	RefreshPath string

	// InsecureCookie is for development over plain http, where browsers take no
	// Secure cookie from any host but localhost: it drops Secure, and with it the
	// prefixes. With it anybody on the network can take the session, and any
	// neighbouring host can plant one; it MUST NOT be set in production. Defaults to
	// false.
	InsecureCookie bool
}

// faults are pairs of a field and what is wrong with it.
func (c Cookies) faults() (faults [][2]string) {
	if !c.Enabled {
		if c != (Cookies{}) {
			faults = append(faults, [2]string{"Enabled", "is false, and other fields are set"})
		}
		return faults
	}
	if c.Name != "" && !validCookieName(c.Name) {
		faults = append(faults, [2]string{
			"Name", "must be 1 to 32 letters, digits, '-' and '_', and not end in " + actingMiddle,
		})
	}
	if c.RefreshPath != "" && !validCookiePath(c.RefreshPath) {
		faults = append(faults, [2]string{
			"RefreshPath",
			"must be a path below /, of up to 255 visible ASCII characters without ';' and ',', not ending in '/'",
		})
	}
	return faults
}

func validCookieName(name string) bool {
	return len(name) <= 32 && !strings.HasSuffix(name, actingMiddle) &&
		!strings.ContainsFunc(name, func(r rune) bool { return r == '.' || r == '~' || !isKeyChar(r) })
}

func validCookiePath(p string) bool {
	return len(p) <= 255 && p[0] == '/' && p[len(p)-1] != '/' &&
		!strings.ContainsFunc(p, func(r rune) bool { return r <= ' ' || r > '~' || r == ';' || r == ',' })
}

// actingMiddle stands in the names of an impersonation's cookies behind Cookies.Name.
const actingMiddle = "_acting"

// cookiePair is the names of the cookies of one session.
type cookiePair struct{ access, refresh string }

// cookieMode is Cookies in use.
type cookieMode struct {
	own, acting cookiePair
	refreshPath string
	secure      bool
	// through is whether the middlewares refresh.
	through     bool
	crossOrigin http.CrossOriginProtection

	mu      sync.Mutex
	flights map[string]*flight // by refresh token
}

func newCookieMode(c Cookies) *cookieMode {
	if !c.Enabled {
		return nil
	}
	setDefault(&c.Name, "sessile")
	accessPrefix, refreshPrefix := "__Host-", "__Host-"
	if c.RefreshPath != "" {
		refreshPrefix = "__Secure-"
	}
	if c.InsecureCookie {
		accessPrefix, refreshPrefix = "", ""
	}
	pair := func(middle string) cookiePair {
		return cookiePair{accessPrefix + c.Name + middle + "_access", refreshPrefix + c.Name + middle + "_refresh"}
	}
	mode := &cookieMode{
		own:         pair(""),
		acting:      pair(actingMiddle),
		refreshPath: c.RefreshPath,
		secure:      !c.InsecureCookie,
		through:     c.RefreshPath == "",
		flights:     map[string]*flight{},
	}
	setDefault(&mode.refreshPath, "/")
	return mode
}

// limit is what a token may have so that its cookie is not dropped: browsers take
// 4,096 bytes for name and value together (RFC 6265bis, section 5.7).
func (c *cookieMode) limit(most int) int {
	if c == nil {
		return most
	}
	return min(most, 4096-len(c.acting.access))
}

var errNoCookieMode = miswired("Config.Cookies is not enabled.")

// SetCookies puts the tokens of a grant into cookies on the answer: after sign-in,
// [Manager.Redeem] or [Manager.Reauthenticate]. It replaces cookies that are set on
// w already, and makes w uncacheable. Those of an impersonation go beside the user's
// own; the user's own put away those of an impersonation, whose session goes on until
// it ends or expires, as does another session that this browser had. Call it before
// the answer's header is written: later nothing is set, and no error says so.
//
// Put [http.CrossOriginProtection] in front of the sign-in: no cookie of ours is there
// yet to guard it, and another site could sign a visitor in as the attacker.
//
// Errors: cookie mode is off, or the grant has no tokens; nothing is set then.
func (m *Manager) SetCookies(w http.ResponseWriter, g Grant) error {
	switch {
	case m.cookies == nil:
		return errNoCookieMode
	case g.AccessToken == (Token{}) || g.RefreshToken == (Token{}):
		return errors.New("sessions: SetCookies: the grant has no tokens")
	}
	m.setCookies(w, g)
	if !g.Session.Impersonation {
		m.cookies.clear(w, m.cookies.acting)
	}
	return nil
}

func (m *Manager) setCookies(w http.ResponseWriter, g Grant) {
	c := m.cookies
	pair := c.pairOf(g.Session.Impersonation)
	accessLife, refreshLife := g.AccessTokenExpiresAt.Sub(g.AccessTokenIssuedAt), g.Session.ExpiresAt.Sub(m.now())
	if g.Session.Impersonation {
		// They stay until a request has been told that it is over. If the browser
		// dropped them by itself, what was meant for the impersonated user would be
		// done to the user's own account.
		accessLife, refreshLife = actingLife, actingLife
	}
	c.set(w, pair.access, "/", g.AccessToken.Reveal(), accessLife)
	c.set(w, pair.refresh, c.refreshPath, g.RefreshToken.Reveal(), refreshLife)
}

// actingLife is how long a browser keeps the cookies of an impersonation, and not how
// long they are good for. Browsers allow 400 days (RFC 6265bis, section 5.5).
const actingLife = 365 * 24 * time.Hour

func (c *cookieMode) pairOf(impersonation bool) cookiePair {
	if impersonation {
		return c.acting
	}
	return c.own
}

// ClearCookies removes all our cookies from the browser: the user's own and those
// of an impersonation. It ends no session. Where cookie mode is off it does nothing.
func (m *Manager) ClearCookies(w http.ResponseWriter) {
	if c := m.cookies; c != nil {
		c.clear(w, c.own)
		c.clear(w, c.acting)
	}
}

// ClearImpersonationCookies removes those of an impersonation alone, so that the
// browser is back in the user's own session.
func (m *Manager) ClearImpersonationCookies(w http.ResponseWriter) {
	if c := m.cookies; c != nil {
		c.clear(w, c.acting)
	}
}

func (c *cookieMode) clear(w http.ResponseWriter, pair cookiePair) {
	c.set(w, pair.access, "/", "", 0)
	c.set(w, pair.refresh, c.refreshPath, "", 0)
}

// set sets a cookie, or removes it where life is less than a second.
func (c *cookieMode) set(w http.ResponseWriter, name, path, value string, life time.Duration) {
	cookie := &http.Cookie{ //nolint:gosec // Secure is off only with InsecureCookie
		Name: name, Value: value, Path: path, MaxAge: int(life / time.Second),
		HttpOnly: true, Secure: c.secure, SameSite: http.SameSiteLaxMode,
	}
	if cookie.MaxAge <= 0 {
		cookie.MaxAge = -1
	}
	h := w.Header()
	h["Set-Cookie"] = slices.DeleteFunc(h["Set-Cookie"], func(line string) bool {
		return strings.HasPrefix(line, name+"=")
	})
	http.SetCookie(w, cookie)
	h.Set("Cache-Control", "no-store") // or a cache would hand the session to others
}

// isSet reports whether an answer sets or removes a cookie.
func isSet(w http.ResponseWriter, name string) bool {
	return slices.ContainsFunc(w.Header()["Set-Cookie"], func(line string) bool {
		return strings.HasPrefix(line, name+"=")
	})
}

// setAlready is the value that an answer sets a cookie to.
func setAlready(w http.ResponseWriter, name string) string {
	for _, line := range w.Header()["Set-Cookie"] {
		if rest, ok := strings.CutPrefix(line, name+"="); ok {
			value, _, _ := strings.Cut(rest, ";")
			return value
		}
	}
	return ""
}
