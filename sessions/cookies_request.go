package sessions

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// held holds the tokens of one session that a browser has sent.
type held struct {
	pair            cookiePair
	access, refresh string
}

// read returns the cookies of an impersonation, or else the user's own. Errors: ErrNoCredentials;
// 400 if one is there twice, because somebody has planted one.
func (c *cookieMode) read(r *http.Request) (held, error) {
	for _, pair := range []cookiePair{c.acting, c.own} {
		h, err := pair.read(r)
		if err != nil || h.access != "" || h.refresh != "" {
			return h, err
		}
	}
	return held{}, ErrNoCredentials
}

// read returns the cookies of one session, if they are there.
func (p cookiePair) read(r *http.Request) (held, error) {
	h := held{pair: p}
	for name, value := range map[string]*string{p.access: &h.access, p.refresh: &h.refresh} {
		var count int
		if *value, count = cookieNamed(r, name); count > 1 {
			return held{}, newSchemaError(r, "cookies."+name, "must be there once")
		}
	}
	return h, nil
}

// cookieNamed returns the value of a cookie, and how often it is there. It does what
// [http.Request.CookiesNamed] does, without a struct for each of thousands of cookies. It trims
// space and tab from a name and nothing else: a browser lets anybody set a cookie whose name begins
// with another kind of space and goes on with __Host-.
func cookieNamed(r *http.Request, name string) (value string, count int) {
	for _, line := range r.Header["Cookie"] {
		for pair := range strings.SplitSeq(line, ";") {
			key, v, _ := strings.Cut(strings.Trim(pair, " \t"), "=")
			if key != name {
				continue
			}
			if count++; len(v) >= 2 && v[0] == '"' && v[len(v)-1] == '"' { // RFC 6265, section 4.1.1
				v = v[1 : len(v)-1]
			}
			value = v
		}
	}
	return value, count
}

// readSameOrigin is read, and refuses requests of another origin.
func (c *cookieMode) readSameOrigin(r *http.Request) (held, error) {
	h, err := c.read(r)
	if err != nil {
		return held{}, err
	}
	if err := c.crossOrigin.Check(r); err != nil {
		return held{}, fmt.Errorf("%w: %w", ErrCrossOrigin, err)
	}
	return h, nil
}

// deadCookieError wraps the error of cookies that authenticate nobody.
type deadCookieError struct{ err error }

func (e *deadCookieError) Error() string { return e.err.Error() }
func (e *deadCookieError) Unwrap() error { return e.err }

func (*deadCookieError) ofSessions() {}

// cookieIdentity returns whom the cookies authenticate. It refreshes cookies whose access token is not good any more,
// unless w is nil.
func (m *Manager) cookieIdentity(w http.ResponseWriter, r *http.Request, check tokenCheck) (Identity, error) {
	h, err := m.cookiesToJudge(w, r)
	if err != nil {
		return Identity{}, err
	}
	if w != nil && m.cookies.through && h.pair == m.cookies.acting {
		if err := m.keepOwn(w, r); errors.Is(err, ErrUnauthenticated) {
			// the parent of the impersonation may have ended, so look it up whatever the dial says
			check = m.verifyStrict
		}
	}
	id, err := m.checkHeld(r, h, check)
	switch {
	case err == nil:
		return id, nil
	case !errors.Is(err, ErrUnauthenticated):
		return Identity{}, err
	case !m.cookies.through || w == nil:
		return Identity{}, &deadCookieError{err}
	}
	grant, live, err := m.refreshHeld(w, r, h)
	if err != nil {
		return Identity{}, err
	}
	m.setCookies(w, grant)
	if live {
		check = m.verify // its session has just been looked up
	}
	id, err = check(r.Context(), grant.AccessToken.Reveal())
	if errors.Is(err, ErrUnauthenticated) { // a token that lives shorter than its refresh took
		return Identity{}, &deadCookieError{err}
	}
	return id, err
}

// cookiesToJudge returns the cookies of r, or what another of our middlewares has already made of them in this answer.
func (m *Manager) cookiesToJudge(w http.ResponseWriter, r *http.Request) (held, error) {
	h, err := m.cookies.readSameOrigin(r)
	if err != nil || w == nil {
		return h, err
	}
	startPrivate(w)
	switch fresh := setAlready(w, h.pair.access); {
	case fresh != "":
		h.access = fresh
	case isSet(w, h.pair.access): // the other one found them dead, even if their access token looks good
		return held{}, &deadCookieError{ErrSessionEnded}
	}
	return h, nil
}

// checkHeld checks the access token of cookies, which must be of the kind of session that they are for.
func (m *Manager) checkHeld(r *http.Request, h held, check tokenCheck) (Identity, error) {
	if h.access == "" {
		return Identity{}, ErrNoCredentials
	}
	id, err := check(m.askedBy(r), h.access)
	if err == nil && m.cookies.pairOf(id.Impersonation) != h.pair {
		err = ErrInvalidToken // planted
	}
	if err != nil {
		return Identity{}, err
	}
	return id, nil
}

// keepOwn refreshes the user's own cookies of a request that acts, if their access token has run
// out: otherwise the session of a user who acts for long would fall idle. It sets them, or clears
// them if they are dead; the request is done as the impersonation all the same or not at all. Only
// an error that is ErrUnauthenticated matters to the caller.
func (m *Manager) keepOwn(w http.ResponseWriter, r *http.Request) error {
	h, twice := m.cookies.own.read(r)
	set := isSet(w, m.cookies.own.access) // by another of our middlewares, further out
	if set && setAlready(w, m.cookies.own.access) == "" {
		return ErrSessionEnded
	}
	if twice != nil || h.refresh == "" || set {
		return nil //nolint:nilerr // the next request that is the user's own is refused for it
	}
	if id, err := m.Verify(h.access); err == nil && !id.Impersonation {
		return nil
	}
	grant, _, err := m.refreshHeld(w, r, h)
	switch {
	case err == nil:
		m.setCookies(w, grant)
	case !errors.Is(err, ErrUnauthenticated) && !hungUp(r, err):
		m.logFailure(r.Context(), "sessions: the user's own session is not refreshed next to an impersonation",
			NewAPIError(err).Code, err)
	}
	return err
}

// refreshHeld refreshes cookies, which the caller then sets, or clears them if that can never succeed. live is true if
// their session was looked up after that and is live.
func (m *Manager) refreshHeld(w http.ResponseWriter, r *http.Request, h held) (grant Grant, live bool, err error) {
	grant, err = m.refreshOnce(r.Context(), h.refresh, m.RequestClient(r))
	if err == nil && m.cookies.pairOf(grant.Session.Impersonation) != h.pair {
		err = ErrMalformed // planted
	}
	if err == nil {
		// It may have ended since, or been replaced, perhaps by another process. Then the browser
		// has other cookies by now, which these must not overwrite.
		_, over := m.Check(r.Context(), identityOf(grant.Session))
		if errors.Is(over, ErrUnauthenticated) {
			return Grant{}, false, &deadCookieError{ErrSessionEnded}
		}
		return grant, over == nil, nil
	}
	switch {
	case !errors.Is(err, ErrRefused):
		return Grant{}, false, err
	case errors.Is(err, errUserRefused) && h.pair == m.cookies.own: // whose session is kept
	case errors.Is(err, errReplaced):
		// The browser has the next session's cookies now, or will have them soon.
	default:
		m.cookies.clear(w, h.pair)
	}
	return Grant{}, false, &deadCookieError{err}
}

// refreshByCookie does the work of the refresh endpoint for cookies. Errors: ErrNoCredentials if no
// refresh cookie came.
func (m *Manager) refreshByCookie(w http.ResponseWriter, r *http.Request) (Grant, error) {
	h, err := m.cookies.readSameOrigin(r)
	switch {
	case err != nil:
		return Grant{}, err
	case h.refresh == "" && h.pair == m.cookies.acting:
		// It can never go on, and it hides the user's own session.
		m.cookies.clear(w, h.pair)
		return Grant{}, &deadCookieError{ErrMalformed}
	case h.refresh == "":
		return Grant{}, ErrNoCredentials
	case h.pair == m.cookies.acting:
		_ = m.keepOwn(w, r) // the refresh below judges the parent by itself
	}
	grant, _, err := m.refreshHeld(w, r, h)
	if err == nil {
		m.setCookies(w, grant)
	}
	return grant, err
}

// SignOutBrowser ends the session that the cookies of r name, returns it, and clears the cookies
// even if it fails. It is what our endpoint does, for the host's own form. Put no middleware in
// front of it that refuses, or a dead session could not sign out. If the browser acts as a user,
// only the impersonation ends, even if it was over already, and the browser's own session is back.
// A token that is in the wrong cookie names nothing.
//
// With [Cookies].RefreshPath the route must be below that path: elsewhere a browser whose access
// token has run out sends nothing to end, and the session lives on.
//
// Errors: [ErrCrossOrigin], and then nothing has happened; [ErrNoCredentials], [ErrNotFound],
// [ErrMalformed] if the cookies name nothing to end; an [*APIError] for a cookie that is sent
// twice; [ErrUnavailable], after which the session may still be live; another one if cookie mode is
// off.
func (m *Manager) SignOutBrowser(w http.ResponseWriter, r *http.Request) (Session, error) {
	if m.cookies == nil {
		return Session{}, errNoCookieMode
	}
	// This comes first, because a request that another origin has sent has no cookies.
	if err := m.cookies.crossOrigin.Check(r); err != nil {
		return Session{}, fmt.Errorf("%w: %w", ErrCrossOrigin, err)
	}
	h, err := m.cookies.read(r)
	if err != nil {
		m.ClearCookies(w)
		return Session{}, err
	}
	m.cookies.clear(w, h.pair)
	return m.endHeld(m.askedBy(r), h)
}

// endHeld ends the session of the access token, or else of the refresh token. A token in the cookie
// of another kind of session names nothing.
func (m *Manager) endHeld(ctx context.Context, h held) (Session, error) {
	if caller, err := m.parseAccess(ctx, h.access); err == nil && m.cookies.pairOf(caller.Impersonation) == h.pair {
		return m.SignOut(ctx, caller)
	}
	if h.refresh == "" {
		return Session{}, ErrNoCredentials
	}
	presented, err := m.ring.parseRefresh(h.refresh)
	if err != nil {
		return Session{}, err
	}
	s, err := m.Get(ctx, presented.sessionID)
	switch {
	case err != nil:
		return Session{}, err
	case m.cookies.pairOf(s.Impersonation) != h.pair:
		return Session{}, ErrMalformed
	}
	return m.EndByRefreshToken(ctx, h.refresh, EndParams{Reason: EndSignedOut})
}

// flight is a refresh that concurrent requests of one browser share.
type flight struct {
	done  chan struct{}
	grant Grant
	err   error
}

// refreshOnce is Refresh, once for all requests that present a token at the same time: a browser
// sends many when a page loads. It goes on if the client of the first request disconnects, because
// the others wait for it.
func (m *Manager) refreshOnce(ctx context.Context, token string, client Client) (Grant, error) {
	if err := ctx.Err(); err != nil {
		return Grant{}, unavailable("refresh", err)
	}
	c := m.cookies
	c.mu.Lock()
	f, joins := c.flights[token]
	if !joins {
		f = &flight{done: make(chan struct{}), err: unavailable("refresh", errors.New("a hook has panicked"))}
		c.flights[token] = f
	}
	c.mu.Unlock()
	if joins {
		select {
		case <-f.done:
			return f.grant, f.err
		case <-ctx.Done():
			return Grant{}, unavailable("refresh", ctx.Err())
		}
	}
	defer func() { // even if a hook of the host panics
		c.mu.Lock()
		delete(c.flights, token)
		c.mu.Unlock()
		close(f.done)
	}()
	f.grant, f.err = m.Refresh(context.WithoutCancel(ctx), token, client)
	return f.grant, f.err
}
