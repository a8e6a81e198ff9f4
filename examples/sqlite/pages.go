package main

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/sessile-go/sessile/middleware/echov4"
	"github.com/sessile-go/sessile/sessions"
)

// pages are the pages for people: plain HTML that works without a script. This file has the
// routes and handlers, html.go the templates.
type pages struct {
	manager *sessions.Manager
	users   users
	// insecure allows plain http on a host other than this machine.
	insecure bool

	crossOrigin *http.CrossOriginProtection
}

// recently is how fresh a sign-in must be for changes that a stolen session must not make.
const recently = 5 * time.Minute

func (p pages) register(e *echo.Echo) {
	// Pages that only show use the bounded dial: an end elsewhere takes effect within
	// seconds, without a statement. Changes look the session up.
	look := echov4.Config{Manager: p.manager}
	change := echov4.Config{Manager: p.manager, Revocation: sessions.Strict}

	p.get(e, "/", p.welcome, look.Optional())
	p.post(e, "/sign-in", p.signIn, change.Optional())
	p.post(e, "/sign-out", p.signOut) // even if the session is over

	p.get(e, "/devices", p.devices, look.Require())
	p.post(e, "/devices/:id/revoke", p.revoke, change.Require(), echov4.ReadOnlyImpersonation)
	p.post(e, "/devices/revoke-others", p.revokeOthers, change.Require(), echov4.ReadOnlyImpersonation)

	p.get(e, "/profile", p.profile, look.Require())
	p.post(e, "/profile", p.rename, change.Require(), echov4.ReadOnlyImpersonation, echov4.RequireRecent(recently))
	p.get(e, "/confirm", p.confirm, look.Require(), echov4.ForbidImpersonation)
	p.post(e, "/confirm", p.confirmed, change.Require(), echov4.ForbidImpersonation)

	p.get(e, "/people", p.people, look.Require(), p.administrators)
	p.post(e, "/people/:id/impersonate", p.impersonate, change.Require()) // Config.MayImpersonate decides
	p.get(e, "/people/:id/continue", p.handoff, look.Require(), p.administrators)
	p.post(e, "/people/:id/continue", p.redeem, change.Require(), p.administrators)

	e.Match([]string{http.MethodGet, http.MethodHead}, "/style.css",
		asset("pages/style.css", "text/css; charset=utf-8"))
	e.Match([]string{http.MethodGet, http.MethodHead}, "/icon.svg", asset("pages/icon.svg", "image/svg+xml"))
}

func (p pages) get(e *echo.Echo, path string, handler echo.HandlerFunc, guards ...echo.MiddlewareFunc) {
	e.Match([]string{http.MethodGet, http.MethodHead}, path, handler, slices.Insert(guards, 0, p.page)...)
}

func (p pages) post(e *echo.Echo, path string, handler echo.HandlerFunc, guards ...echo.MiddlewareFunc) {
	e.POST(path, handler, slices.Insert(guards, 0, p.page)...)
}

// page is the first middleware of every page.
func (p pages) page(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		beAPage(c)
		r := c.Request()
		// Require checks requests with session cookies. A sign-in has no cookies yet, and
		// another site must not sign anybody in as somebody else.
		if err := p.crossOrigin.Check(r); err != nil {
			return echov4.Error(c, fmt.Errorf("%w: %w", sessions.ErrCrossOrigin, err))
		}
		r.Body = http.MaxBytesReader(c.Response(), r.Body, 8<<10)
		return next(c)
	}
}

// administrators lets administrators pass. An impersonation never passes, because nobody can
// act as an administrator.
func (p pages) administrators(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		user, err := p.users.find(c.Request().Context(), identity(c).UserID)
		switch {
		case err != nil:
			return echov4.Error(c, err)
		case !user.Administrator:
			return echo.ErrForbidden
		}
		return next(c)
	}
}

// userGone reports whether err means that the user of the session was deleted. The session
// itself lives until its next refresh.
func (p pages) userGone(c echo.Context, err error) bool {
	id := identity(c)
	if !id.HasUser() || !errors.Is(err, sessions.ErrUserNotFound) {
		return false
	}
	_, err = p.users.find(c.Request().Context(), id.UserID)
	return errors.Is(err, sessions.ErrUserNotFound)
}

// leave signs out a caller whose user is gone. A caller who acted as that user returns
// to their own session.
func (p pages) leave(c echo.Context) error {
	ended, err := p.manager.SignOutBrowser(c.Response(), c.Request())
	switch {
	case errors.Is(err, sessions.ErrUnavailable):
		title, text := explain(err, http.StatusServiceUnavailable)
		return p.show(c, http.StatusServiceUnavailable, "error", title, text)
	case ended.Impersonation:
		return see(c, "/", "acting")
	}
	return see(c, "/", "gone")
}

func identity(c echo.Context) sessions.Identity {
	id, _ := sessions.FromContext(c.Request().Context())
	return id
}

// welcome is the sign-in page.
func (p pages) welcome(c echo.Context) error {
	if identity(c).HasUser() {
		notice := ""
		if c.QueryParam("notice") == "acting" { // and the own session is still live
			notice = "own"
		}
		return see(c, "/devices", notice)
	}
	all, err := p.users.all(c.Request().Context())
	if err != nil {
		return echov4.Error(c, err)
	}
	return p.show(c, http.StatusOK, "sign-in", "Sign in", all)
}

// signIn believes the form, because this is a demo. A real app first checks a password or a
// passkey, and then does the same.
func (p pages) signIn(c echo.Context) error {
	if identity(c).HasUser() {
		return see(c, "/devices", "already") // a second session would orphan the first one
	}
	grant, err := p.manager.Create(c.Request().Context(), sessions.CreateParams{
		UserID: c.FormValue("user"), Client: p.manager.RequestClient(c.Request()),
	})
	if err == nil {
		err = p.manager.SetCookies(c.Response(), grant)
	}
	if err != nil {
		return echov4.Error(c, err)
	}
	return see(c, "/devices", "")
}

// signOut ends the session of the cookies and clears them. If that is an impersonation, the
// browser returns to the user's own session.
func (p pages) signOut(c echo.Context) error {
	// With no-store alone, Chromium's back button still shows the last page.
	c.Response().Header().Set("Clear-Site-Data", `"cache"`)
	ended, err := p.manager.SignOutBrowser(c.Response(), c.Request())
	switch {
	case errors.Is(err, sessions.ErrCrossOrigin), errors.Is(err, sessions.ErrUnavailable):
		return echov4.Error(c, err)
	case ended.Impersonation:
		return see(c, "/people", "ended")
	default:
		return see(c, "/", "signed-out")
	}
}

// device is a session as its user sees it.
type device struct {
	ID, Name    string
	Here        bool
	Since, Used time.Time
	Idle        string
}

func (p pages) devices(c echo.Context) error {
	ctx, id := c.Request().Context(), identity(c)
	list, err := p.manager.ListOwn(ctx, id, sessions.ListOptions{})
	if err != nil {
		return echov4.Error(c, err)
	}
	var all []device
	for _, s := range list.Sessions {
		here := s.ID == id.SessionID
		all = append(all, device{
			ID: s.ID, Name: deviceName(s.Client.UserAgent), Here: here, Since: s.CreatedAt, Used: s.LastUsedAt,
			Idle: ago(time.Now(), s.LastUsedAt),
		})
	}
	slices.SortStableFunc(all, func(a, b device) int {
		if a.Here == b.Here {
			return 0
		}
		if a.Here {
			return -1
		}
		return 1
	})
	title := "Your devices"
	if id.Impersonation {
		title = "Devices"
	}
	return p.show(c, http.StatusOK, "devices", title, all)
}

func (p pages) revoke(c echo.Context) error {
	if _, err := p.manager.EndOwn(c.Request().Context(), identity(c), c.Param("id")); err != nil {
		return echov4.Error(c, err)
	}
	return see(c, "/devices", "revoked")
}

func (p pages) revokeOthers(c echo.Context) error {
	if _, err := p.manager.EndOthers(c.Request().Context(), identity(c)); err != nil {
		return echov4.Error(c, err)
	}
	return see(c, "/devices", "others")
}

// profileData is the content of the page "Profile".
type profileData struct {
	Name, Problem string
	// Fresh is true if the name may be changed without another confirmation.
	Fresh bool
}

func (p pages) profile(c echo.Context) error {
	ctx := c.Request().Context()
	user, err := p.users.find(ctx, identity(c).UserID)
	if err != nil {
		return echov4.Error(c, err)
	}
	// Checked before the form is filled in, because /confirm would lose its content.
	fresh := sessions.GuardRecent(ctx, recently) == nil
	return p.show(c, http.StatusOK, "profile", "Profile", profileData{Name: user.Name, Fresh: fresh})
}

func (p pages) rename(c echo.Context) error {
	name := strings.TrimSpace(c.FormValue("name"))
	if !validName(name) {
		problem := "Please enter 1 to 100 characters."
		return p.show(c, http.StatusUnprocessableEntity, "profile", "Profile", profileData{
			Name: name, Problem: problem, Fresh: true,
		})
	}
	if err := p.users.set(c.Request().Context(), identity(c).UserID, "name", name); err != nil {
		return echov4.Error(c, err)
	}
	return see(c, "/profile", "renamed")
}

func (p pages) confirm(c echo.Context) error {
	return p.show(c, http.StatusOK, "confirm", "Confirm it is you", nil)
}

// confirmed believes the form, as signIn does. It replaces the session, so that a thief of
// the old one gains nothing.
func (p pages) confirmed(c echo.Context) error {
	grant, err := p.manager.Reauthenticate(c.Request().Context(), identity(c).SessionID)
	if err == nil {
		err = p.manager.SetCookies(c.Response(), grant)
	}
	if err != nil {
		return echov4.Error(c, err)
	}
	return see(c, "/profile", "confirmed")
}

func (p pages) people(c echo.Context) error {
	all, err := p.users.all(c.Request().Context())
	if err != nil {
		return echov4.Error(c, err)
	}
	return p.show(c, http.StatusOK, "people", "People", all)
}

// impersonate creates a session as another user. It gets a code, which could also be
// redeemed on another host.
func (p pages) impersonate(c echo.Context) error {
	reason := strings.TrimSpace(c.FormValue("reason"))
	if reason == "" && !identity(c).Impersonation {
		return see(c, "/people", "reason")
	}
	grant, err := p.manager.Impersonate(c.Request().Context(), identity(c), sessions.CreateParams{
		UserID: c.Param("id"), Reason: reason, Client: p.manager.RequestClient(c.Request()), Handoff: true,
	})
	if err != nil {
		return echov4.Error(c, err)
	}
	path := "/people/" + grant.Session.UserID + "/continue"
	c.SetCookie(p.handoffCookie(path, grant.Handoff.Reveal(), 60))
	return see(c, path, "")
}

// handoffCookie carries a code to the page that redeems it; a URL would appear in histories
// and logs. Opening that page does not redeem the code, because browsers prefetch links, and
// a code that is redeemed twice ends the impersonation.
func (p pages) handoffCookie(path, code string, seconds int) *http.Cookie {
	return &http.Cookie{ //nolint:gosec // Secure is off only for development
		Name: p.handoffName(), Value: code, Path: path, MaxAge: seconds,
		HttpOnly: true, Secure: !p.insecure, SameSite: http.SameSiteStrictMode,
	}
}

func (p pages) handoffName() string {
	if p.insecure {
		return "handoff"
	}
	return "__Secure-handoff"
}

func (p pages) handoff(c echo.Context) error {
	if _, err := c.Cookie(p.handoffName()); err != nil {
		return see(c, "/people", "handoff")
	}
	user, err := p.users.find(c.Request().Context(), c.Param("id"))
	if err != nil {
		return echov4.Error(c, err)
	}
	return p.show(c, http.StatusOK, "continue", "Continue as "+user.Name, user)
}

func (p pages) redeem(c echo.Context) error {
	code, err := c.Cookie(p.handoffName())
	if err != nil {
		return see(c, "/people", "handoff")
	}
	c.SetCookie(p.handoffCookie(c.Request().URL.Path, "", -1))
	grant, err := p.manager.Redeem(c.Request().Context(), code.Value, p.manager.RequestClient(c.Request()))
	switch {
	case errors.Is(err, sessions.ErrInvalidHandoff):
		return see(c, "/people", "handoff")
	case err != nil:
		return echov4.Error(c, err)
	}
	// Next to the user's own cookies, which count again when these are removed.
	if err := p.manager.SetCookies(c.Response(), grant); err != nil {
		return err
	}
	return see(c, "/devices", "")
}
