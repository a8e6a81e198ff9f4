package main

import (
	"bytes"
	"cmp"
	"embed"
	"errors"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/sessile-go/sessile/sessions"
)

//go:embed pages
var files embed.FS

var templates = parseTemplates("sign-in", "devices", "profile", "confirm", "people", "continue", "error")

func parseTemplates(names ...string) map[string]*template.Template {
	layout := template.Must(template.New("").Funcs(template.FuncMap{"initials": initials}).ParseFS(files,
		"pages/layout.html"))
	all := map[string]*template.Template{}
	for _, name := range names {
		all[name] = template.Must(template.Must(layout.Clone()).ParseFS(files, "pages/"+name+".html"))
	}
	return all
}

// view is the argument of the templates.
type view struct {
	Title, Notice string
	// Here is the path, for the menu.
	Here string
	// User is the signed-in user; without one its ID is empty.
	User user
	// Acting is set if somebody else acts as User.
	Acting *acting
	Data   any
}

// acting is the content of the banner.
type acting struct {
	Actor string
	Until time.Time
}

// notices are messages about what has just happened. The URL has only a key, so nobody can
// put other text on a page.
var notices = map[string]string{
	"acting":     "The impersonation is over. Please sign in again.",
	"already":    "You are signed in already. Sign out to be somebody else.",
	"confirmed":  "Thank you. You can change your name now.",
	"ended":      "The impersonation has ended. You are yourself again.",
	"gone":       "Your account does not exist any more. You are signed out.",
	"handoff":    "That hand-off has been used or has run out. Please start again.",
	"others":     "All your other devices are signed out.",
	"over":       "Your session is over. Please sign in again.",
	"own":        "The impersonation is over. You are yourself again.",
	"reason":     "Please say why. The reason is kept with the session.",
	"renamed":    "Your name is changed.",
	"revoked":    "That device is signed out.",
	"signed-out": "You are signed out.",
}

// see redirects the browser to another page, so that a reload does not post again.
func see(c echo.Context, path, notice string) error {
	if notice != "" {
		path += "?notice=" + notice
	}
	return c.Redirect(http.StatusSeeOther, path)
}

const pageKey = "page"

// beAPage sets the headers of pages, and marks the request so that errors become pages.
func beAPage(c echo.Context) {
	c.Set(pageKey, true)
	h := c.Response().Header()
	h.Set("Cache-Control", "no-store") // or the back button would show them after a sign-out
	h.Set("Content-Security-Policy",
		"default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri "+
			"'none'")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	// With no-referrer browsers post the app's own forms with "Origin: null", like those of
	// another site.
	h.Set("Referrer-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
}

// show writes a page.
func (p pages) show(c echo.Context, status int, name, title string, data any) error {
	v := view{Title: title, Notice: notices[c.QueryParam("notice")], Here: c.Request().URL.Path, Data: data}
	if err := p.setUser(c, &v); err != nil && name != "error" { // the error page may be about this failure
		return err
	}
	var page bytes.Buffer
	if err := templates[name].ExecuteTemplate(&page, "layout.html", v); err != nil {
		return err
	}
	return c.HTMLBlob(status, page.Bytes())
}

// setUser sets the user of the page and the actor.
func (p pages) setUser(c echo.Context, v *view) error {
	ctx, id := c.Request().Context(), identity(c)
	if !id.HasUser() {
		return nil
	}
	if id.Impersonation {
		actor, err := p.users.find(ctx, id.Actor)
		if err != nil && !errors.Is(err, sessions.ErrUserNotFound) { // a server key may name any actor
			return err
		}
		v.Acting = &acting{Actor: cmp.Or(actor.Name, id.Actor), Until: id.SessionExpiresAt.UTC()}
	}
	user, err := p.users.find(ctx, id.UserID)
	if err != nil {
		return err
	}
	v.User = user
	return nil
}

// wanted reports whether an error must be a page: it is of a page, or a browser requested
// an unknown path.
func (p pages) wanted(c echo.Context, err error) bool {
	if c.Get(pageKey) != nil {
		return true
	}
	unknown := errors.Is(err, echo.ErrNotFound) || errors.Is(err, echo.ErrMethodNotAllowed)
	if !unknown || !strings.Contains(c.Request().Header.Get("Accept"), "text/html") {
		return false
	}
	beAPage(c)
	if ctx, err := p.manager.Admit(c.Response(), c.Request(), sessions.NeedNothing,
		sessions.DefaultRevocation); err == nil {
		c.SetRequest(c.Request().WithContext(ctx)) // for the menu
	}
	return true
}

// fail shows an error as a page, or redirects to the page that resolves it.
func (p pages) fail(c echo.Context, err error) error {
	status := http.StatusInternalServerError
	var known *echo.HTTPError
	if errors.As(err, &known) {
		status = known.Code
	}
	tooOld := errors.As(err, new(*sessions.AuthenticationTooOldError))
	c.Response().Header().Del("WWW-Authenticate") // for programs only
	switch {
	case c.Response().Committed:
		return nil
	case p.userGone(c, err):
		return p.leave(c)
	case tooOld:
		return see(c, "/confirm", "")
	case errors.Is(err, sessions.ErrNoCredentials):
		return see(c, "/", "")
	case status == http.StatusUnauthorized && c.Path() != "/":
		if slices.ContainsFunc(c.Cookies(), func(k *http.Cookie) bool { return strings.Contains(k.Name, "_acting_") }) {
			return see(c, "/", "acting")
		}
		return see(c, "/", "over")
	}
	title, text := explain(err, status)
	return p.show(c, status, "error", title, text)
}

func explain(err error, status int) (title, text string) {
	switch {
	case errors.Is(err, sessions.ErrCrossOrigin):
		return "Nothing was changed", "This was sent by a page of another site, so it was refused."
	case errors.Is(err, sessions.ErrImpersonationNotAllowed):
		return "Not while acting as somebody", "An impersonation is read-only. Nothing was changed."
	case status == http.StatusForbidden:
		return "Not for you", "This page is for administrators."
	case status == http.StatusNotFound:
		return "There is nothing here", "The page does not exist, or its subject was deleted."
	case status == http.StatusServiceUnavailable:
		return "One moment, please", "This cannot be answered right now. Try again; you are still signed in."
	case status < http.StatusInternalServerError:
		return "That did not work", "This page cannot handle the request."
	default:
		return "Something went wrong", "It is our fault, and it was logged."
	}
}

func asset(name, contentType string) echo.HandlerFunc {
	return func(c echo.Context) error {
		content, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		c.Response().Header().Set("Cache-Control", "public, max-age=300")
		c.Response().Header().Set("X-Content-Type-Options", "nosniff")
		return c.Blob(http.StatusOK, contentType, content)
	}
}

// deviceName makes the User-Agent of common browsers readable.
func deviceName(userAgent string) string {
	find := func(pairs ...[2]string) string {
		for _, pair := range pairs {
			if strings.Contains(userAgent, pair[0]) {
				return pair[1]
			}
		}
		return ""
	}
	// Most browsers also name those further down.
	browser := find([2]string{"Edg", "Edge"}, [2]string{"OPR/", "Opera"}, [2]string{
		"SamsungBrowser/", "Samsung Internet",
	},
		[2]string{"Firefox/", "Firefox"}, [2]string{"FxiOS/", "Firefox"}, [2]string{"Chrome/", "Chrome"},
		[2]string{"CriOS/", "Chrome"},
		[2]string{"Safari/", "Safari"}, [2]string{"curl/", "curl"}, [2]string{"Go-http-client/", "A Go program"})
	system := find([2]string{"iPhone", "iPhone"}, [2]string{"iPad", "iPad"}, [2]string{"Android", "Android"},
		[2]string{"CrOS", "ChromeOS"},
		[2]string{"Windows", "Windows"}, [2]string{"Macintosh", "macOS"}, [2]string{"Linux", "Linux"})
	switch {
	case browser != "" && system != "":
		return browser + " on " + system
	case browser+system != "":
		return browser + system
	case userAgent == "":
		return "Unknown device"
	}
	if letters := []rune(userAgent); len(letters) > 60 {
		return string(letters[:60]) + "…"
	}
	return userAgent
}

// ago returns how long ago an hour was; the server does not know the reader's zone.
func ago(now, hour time.Time) string {
	switch n := int(now.Truncate(time.Hour).Sub(hour) / time.Hour); {
	case n <= 0:
		return "within the hour"
	case n == 1:
		return "an hour ago"
	case n < 48:
		return strconv.Itoa(n) + " hours ago"
	default:
		return strconv.Itoa(n/24) + " days ago"
	}
}

func initials(name string) string {
	var letters []rune
	for word := range strings.FieldsSeq(name) {
		letters = append(letters, []rune(word)[0])
	}
	if len(letters) > 2 {
		letters = []rune{letters[0], letters[len(letters)-1]}
	}
	return strings.ToUpper(string(letters))
}
