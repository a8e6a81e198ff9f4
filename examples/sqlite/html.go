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
	layout := template.Must(template.New("").Funcs(template.FuncMap{"initials": initials}).ParseFS(files, "pages/layout.html"))
	all := map[string]*template.Template{}
	for _, name := range names {
		all[name] = template.Must(template.Must(layout.Clone()).ParseFS(files, "pages/"+name+".html"))
	}
	return all
}

// view is what the templates are given.
type view struct {
	Title, Notice string
	// Here is the path, for the menu.
	Here string
	// User is whose page it is; nobody's has no ID.
	User user
	// Acting is set where somebody else acts as User.
	Acting *acting
	Data   any
}

// acting is what the banner says.
type acting struct {
	Actor string
	Until time.Time
}

// notices are what a page can say about what has just happened. The URL names one, so
// nobody can put words of their own on a page.
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

// see sends the browser to another page, so that a reload does not post again.
func see(c echo.Context, path, notice string) error {
	if notice != "" {
		path += "?notice=" + notice
	}
	return c.Redirect(http.StatusSeeOther, path)
}

const pageKey = "page"

// beAPage sets the headers of pages, and that errors become pages, too.
func beAPage(c echo.Context) {
	c.Set(pageKey, true)
	h := c.Response().Header()
	h.Set("Cache-Control", "no-store") // or the back button shows them after the sign-out
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	// With no-referrer browsers post our own forms with "Origin: null", which cannot
	// be told from another site's.
	h.Set("Referrer-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
}

// show answers with a page.
func (p pages) show(c echo.Context, status int, name, title string, data any) error {
	v := view{Title: title, Notice: notices[c.QueryParam("notice")], Here: c.Request().URL.Path, Data: data}
	if err := p.setUser(c, &v); err != nil && name != "error" { // which may be about just that
		return err
	}
	var page bytes.Buffer
	if err := templates[name].ExecuteTemplate(&page, "layout.html", v); err != nil {
		return err
	}
	return c.HTMLBlob(status, page.Bytes())
}

// setUser says whose page it is, and who acts.
func (p pages) setUser(c echo.Context, v *view) error {
	ctx, id := c.Request().Context(), identity(c)
	if !id.HasUser() {
		return nil
	}
	if id.Impersonation {
		actor, err := p.users.find(ctx, id.Actor)
		if err != nil && !errors.Is(err, sessions.ErrUserNotFound) { // a server key may have named anybody
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

// wanted reports whether an error is for a person: of a page, or of a path that is
// nothing and was typed into a browser.
func (p pages) wanted(c echo.Context, err error) bool {
	if c.Get(pageKey) != nil {
		return true
	}
	unknown := errors.Is(err, echo.ErrNotFound) || errors.Is(err, echo.ErrMethodNotAllowed)
	if !unknown || !strings.Contains(c.Request().Header.Get("Accept"), "text/html") {
		return false
	}
	beAPage(c)
	if ctx, err := p.manager.Admit(c.Response(), c.Request(), sessions.NeedNothing, sessions.DefaultRevocation); err == nil {
		c.SetRequest(c.Request().WithContext(ctx)) // whose the menu is
	}
	return true
}

// fail shows an error as a page, or leads to where it can be mended.
func (p pages) fail(c echo.Context, err error) error {
	status := http.StatusInternalServerError
	if known, ok := errors.AsType[*echo.HTTPError](err); ok {
		status = known.Code
	}
	_, tooOld := errors.AsType[*sessions.AuthenticationTooOldError](err)
	c.Response().Header().Del("WWW-Authenticate") // is for programs
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
		return "Not while acting as somebody", "Who acts as a user may look, and change nothing. Nothing was changed."
	case status == http.StatusForbidden:
		return "Not for you", "This page is for administrators."
	case status == http.StatusNotFound:
		return "There is nothing here", "The page does not exist, or what it was about is gone."
	case status == http.StatusServiceUnavailable:
		return "One moment, please", "This cannot be answered right now. Try again; you are still signed in."
	case status < http.StatusInternalServerError:
		return "That did not work", "The request is not one that this page takes."
	default:
		return "Something went wrong", "It is our fault, and it is in the log."
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

// deviceName makes a User-Agent readable, where it is of a kind that everybody has.
func deviceName(userAgent string) string {
	find := func(pairs ...[2]string) string {
		for _, pair := range pairs {
			if strings.Contains(userAgent, pair[0]) {
				return pair[1]
			}
		}
		return ""
	}
	// Most browsers claim to be those further down as well.
	browser := find([2]string{"Edg", "Edge"}, [2]string{"OPR/", "Opera"}, [2]string{"SamsungBrowser/", "Samsung Internet"},
		[2]string{"Firefox/", "Firefox"}, [2]string{"FxiOS/", "Firefox"}, [2]string{"Chrome/", "Chrome"}, [2]string{"CriOS/", "Chrome"},
		[2]string{"Safari/", "Safari"}, [2]string{"curl/", "curl"}, [2]string{"Go-http-client/", "A Go program"})
	system := find([2]string{"iPhone", "iPhone"}, [2]string{"iPad", "iPad"}, [2]string{"Android", "Android"}, [2]string{"CrOS", "ChromeOS"},
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

// ago says how long ago an hour was; the server does not know the reader's zone.
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
