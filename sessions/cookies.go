package sessions

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Cookies sets cookie mode: the server keeps a browser's tokens in cookies that no script can read,
// and refreshes them. The host calls [Manager.SetCookies] after it has signed a user in. From then
// on the middlewares and our endpoints take the access token from its cookie if a request has no
// credentials in a header.
//
// If the access token has run out, the middlewares refresh on the way through and set new cookies
// on the answer; concurrent requests share one refresh. That needs an overlap ([Rotation]). Dead
// cookies are cleared. A request of an unsafe method that only cookies authenticate must come from
// the same origin, by [http.CrossOriginProtection]; one with a token in a header need not.
//
// An impersonation has cookies of its own. They take precedence over those of the browser's own
// session for as long as the browser has them. The browser's own session is refreshed with them, so
// that it does not fall idle during a long impersonation. If the impersonation is over, the next
// request is refused, and the answer clears its cookies. So a request that was meant for the
// impersonated user never acts on the account of the browser's own user. From the next request on,
// the browser's own session counts again.
//
// All cookies are HttpOnly, Secure and SameSite=Lax, with Path=/ and the prefix __Host-, so no
// other host can set them: __Host-sessile_access, __Host-sessile_refresh, and for impersonations
// __Host-sessile_acting_access and __Host-sessile_acting_refresh.
type Cookies struct {
	// Enabled switches cookie mode on. Defaults to false: cookies are not looked at.
	Enabled bool

	// Name is the middle of the names, for two Managers on one host: 1 to 32 letters,
	// digits, '-' and '_', without "_acting" at its end. Defaults to "sessile".
	Name string

	// RefreshPath is the only path to which browsers send the refresh cookie: that of our endpoint
	// as browsers see it, or of a folder above. The middlewares never see the cookie and do not
	// refresh; the page must call the endpoint. Sign-out by cookie needs the cookie, too, once the
	// access token has run out: "/auth/sessions/current", after the prefix of the API, covers both.
	// The cookie is then called __Secure-…, a name that neighbouring hosts of the domain can set,
	// too. Defaults to none.
	RefreshPath string

	// InsecureCookie is for development over plain http, over which browsers accept no Secure
	// cookie from any host but localhost. It drops Secure, and with it the prefixes. With it
	// anybody on the network can take the session, and any neighbouring host can plant one; it MUST
	// NOT be set in production. Defaults to false.
	InsecureCookie bool
}

// faults returns pairs of a field and its fault.
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

// actingMiddle follows Cookies.Name in the names of an impersonation's cookies.
const actingMiddle = "_acting"

// cookiePair holds the names of the cookies of one session.
type cookiePair struct{ access, refresh string }

// cookieMode is what a Manager makes of Cookies.
type cookieMode struct {
	own, acting cookiePair
	refreshPath string
	secure      bool
	// through is true if the middlewares refresh.
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

// limit returns the longest token whose cookie is not dropped, at most most: browsers accept 4,096
// bytes for name and value together (RFC 6265bis, section 5.7).
func (c *cookieMode) limit(most int) int {
	if c == nil {
		return most
	}
	return min(most, 4096-len(c.acting.access))
}

var errNoCookieMode = miswired("Config.Cookies is not enabled.")

// SetCookies puts the tokens of a grant into cookies on the answer, after sign-in, [Manager.Redeem]
// or [Manager.Reauthenticate]. It replaces cookies that are set on w already, and keeps the answer
// out of caches. An impersonation's cookies go next to those of the browser's own session. The
// grant of an ordinary session also clears the cookies of an impersonation. Neither that
// impersonation nor the session that this browser had before ends with it. Call SetCookies before
// the answer's header is written: later it has no effect, and reports no error.
//
// Put [http.CrossOriginProtection] in front of the sign-in. It has no cookie yet that could guard
// it, and another site could sign a visitor in as the attacker.
//
// Errors: cookie mode is off, or the grant has no tokens; then nothing is set.
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
		// They stay until a request finds the impersonation over. If the browser dropped them by
		// itself, what was meant for the impersonated user would be done to the user's own account.
		accessLife, refreshLife = actingLife, actingLife
	}
	c.set(w, pair.access, "/", g.AccessToken.Reveal(), accessLife)
	c.set(w, pair.refresh, c.refreshPath, g.RefreshToken.Reveal(), refreshLife)
}

// actingLife is how long a browser keeps the cookies of an impersonation, not how long they are
// good. Browsers allow 400 days (RFC 6265bis, section 5.5).
const actingLife = 365 * 24 * time.Hour

func (c *cookieMode) pairOf(impersonation bool) cookiePair {
	if impersonation {
		return c.acting
	}
	return c.own
}

// ClearCookies removes all our cookies from the browser: those of its own session and
// those of an impersonation. It ends no session. If cookie mode is off, it does
// nothing.
func (m *Manager) ClearCookies(w http.ResponseWriter) {
	if c := m.cookies; c != nil {
		c.clear(w, c.own)
		c.clear(w, c.acting)
	}
}

// ClearImpersonationCookies removes an impersonation's cookies alone, so that the browser is back
// in its own session.
func (m *Manager) ClearImpersonationCookies(w http.ResponseWriter) {
	if c := m.cookies; c != nil {
		c.clear(w, c.acting)
	}
}

func (c *cookieMode) clear(w http.ResponseWriter, pair cookiePair) {
	c.set(w, pair.access, "/", "", 0)
	c.set(w, pair.refresh, c.refreshPath, "", 0)
}

// set sets a cookie, or removes it if life is less than a second.
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

// setAlready returns the value to which an answer sets a cookie.
func setAlready(w http.ResponseWriter, name string) string {
	for _, line := range w.Header()["Set-Cookie"] {
		if rest, ok := strings.CutPrefix(line, name+"="); ok {
			value, _, _ := strings.Cut(rest, ";")
			return value
		}
	}
	return ""
}
