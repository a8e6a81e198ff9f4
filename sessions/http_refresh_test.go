package sessions_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/sessile-go/sessile/sessions"
)

// modes are with and without [sessions.Config.ProjectID].
var modes = map[string]func(*sessions.Config){"plain": plain, "project": withProject}

// post sends a refresh and returns the answer and its code, if it is a refusal.
func post(t *testing.T, k *kit, body io.Reader, headers ...string) (w *httptest.ResponseRecorder, code string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/auth/sessions/current/refresh", body)
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	w = httptest.NewRecorder()
	sessions.NewHandler(k.Manager).ServeHTTP(w, r)
	var answer struct {
		Code string `json:"code"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		t.Fatal(err)
	}
	return w, answer.Code
}

// The body is as strict as that of the other endpoints.
func TestRefreshByTheBody(t *testing.T) {
	t.Parallel()
	const (
		good, isJSON       = `{"refresh_token":"{token}"}`, "Content-Type: application/json"
		badType, dead      = "UNSUPPORTED_MEDIA_TYPE", "REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED"
		malformed, invalid = "BODY_PARSING_ERROR", "SCHEMA_ERROR"
	)
	js, aForm := []string{isJSON}, []string{"Content-Type: application/x-www-form-urlencoded"}
	for name, test := range map[string]struct {
		body    string // {token} is the refresh token
		headers []string
		status  int
		code    string
	}{
		"JSON":                     {good, js, 200, ""},
		"JSON in UTF-8":            {good, []string{isJSON + "; charset=UTF-8"}, 200, ""},
		"JSON in capitals":         {good, []string{"Content-Type: Application/JSON"}, 200, ""},
		"space around":             {" {\"refresh_token\" : \"{token}\"}\n", js, 200, ""},
		"an access token, too":     {good, []string{isJSON, "Authorization: Bearer x"}, 200, ""},
		"Latin 1":                  {good, []string{isJSON + "; charset=latin1"}, 415, badType},
		"compressed":               {good, []string{isJSON, "Content-Encoding: gzip"}, 415, badType},
		"two types":                {good, []string{"Content-Type: text/plain", isJSON}, 415, badType},
		"a malformed type":         {good, []string{isJSON + "; =x"}, 415, badType},
		"no type":                  {good, nil, 400, invalid},
		"a form":                   {`refresh_token={token}`, aForm, 400, invalid},
		"a type that begins as it": {good, []string{"Content-Type: application/jsonl"}, 400, invalid},
		"nothing":                  {"", js, 400, invalid},
		"an empty object":          {`{}`, js, 400, invalid},
		"null":                     {`{"refresh_token":null}`, js, 400, invalid},
		"an object":                {`{"refresh_token":{"a":"{token}"}}`, js, 400, invalid},
		"a list":                   {`["{token}"]`, js, 400, invalid},
		"a text":                   {`"{token}"`, js, 400, invalid},
		"another member":           {`{"refresh_token":"{token}","grant_type":"refresh_token"}`, js, 400, invalid},
		"another name":             {`{"token":"{token}"}`, js, 400, invalid},
		"another case":             {`{"Refresh_Token":"{token}"}`, js, 400, invalid},
		"two cases":                {`{"refresh_token":"{token}","Refresh_Token":"x"}`, js, 400, malformed},
		"twice":                    {`{"refresh_token":"{token}","refresh_token":"x"}`, js, 400, malformed},
		"more after it":            {`{"refresh_token":"{token}"}{}`, js, 400, malformed},
		"not UTF-8":                {"{\"refresh_token\":\"\xff\"}", js, 400, malformed},
		"64 KiB and more": {
			good + strings.Repeat(" ", 64<<10), js, 413, "BODY_TOO_LARGE",
		},
		"not a token":     {`{"refresh_token":"x"}`, js, 401, dead},
		"two in one":      {`{"refresh_token":"{token},{token}"}`, js, 401, dead},
		"an escape in it": {`{"refresh_token":"\u0073{token}"}`, js, 401, dead},
	} {
		for mode, configure := range modes {
			k := newKit(t, configure)
			own := k.create(t, sessions.CreateParams{})
			before := k.session(t, own.Session.ID)
			k.Clock.Advance(time.Minute)
			body := strings.NewReader(strings.ReplaceAll(test.body, "{token}", own.RefreshToken.Reveal()))
			w, code := post(t, k, body, test.headers...)
			if w.Code != test.status || code != test.code {
				t.Errorf("%s, %s: %d %s, want %d %s", mode, name, w.Code, w.Body, test.status, test.code)
			}
			if after := k.session(t, own.Session.ID); (after == before) != (test.status != 200) {
				t.Errorf("%s, %s: the session is now %+v", mode, name, after)
			}
			if has := strings.Contains(w.Body.String(), "srt1_"); has != (test.status == 200) {
				t.Errorf("%s, %s: %s", mode, name, w.Body)
			}
		}
	}
}

// What a request says itself goes before the cookies that a browser adds to it, and then
// the cookies and their session stay as they are. So does the origin not matter: no other
// site knows the token.
func TestTheRefreshTokenOfTheBodyGoesBeforeTheCookie(t *testing.T) {
	t.Parallel()
	for mode, configure := range modes {
		k := newKit(t, configure, func(c *sessions.Config) { c.Cookies.Enabled = true })
		mine, other := k.create(t, sessions.CreateParams{}), k.create(t, sessions.CreateParams{UserID: "bob"})
		jar := "Cookie: __Host-sessile_access=" + mine.AccessToken.Reveal() +
			"; __Host-sessile_refresh=" + mine.RefreshToken.Reveal()
		before := k.session(t, mine.Session.ID)
		k.Clock.Advance(time.Minute)
		named := `{"refresh_token":"` + other.RefreshToken.Reveal() + `"}`

		const isJSON, foreign = "Content-Type: application/json", "Sec-Fetch-Site: cross-site"
		w, _ := post(t, k, strings.NewReader(named), jar, isJSON, foreign)
		if text := w.Body.String(); w.Code != 200 || !strings.Contains(text, `"user_id":"bob"`) ||
			!strings.Contains(text, "srt1_") {
			t.Errorf("%s: %d %s", mode, w.Code, w.Body)
		}
		if w.Header().Get("Set-Cookie") != "" || k.session(t, mine.Session.ID) != before {
			t.Errorf("%s: the session of the cookies has changed: %v", mode, w.Header())
		}
		for _, wrong := range []string{`{"refresh_token":"x"}`, `{"refresh_token":""}`, `{"x":1}`, `{`} {
			w, code := post(t, k, strings.NewReader(wrong), jar, isJSON)
			if w.Code < 400 || code == "" || w.Header().Get("Set-Cookie") != "" ||
				k.session(t, mine.Session.ID) != before {
				t.Errorf("%s: %s: %d %s", mode, wrong, w.Code, w.Body)
			}
		}

		// A body without a token leaves the cookies to decide, and so does one that is not JSON.
		for name, headers := range map[string][]string{
			"":          {isJSON},
			"{}":        {isJSON},
			" {\n} ":    {isJSON},
			"x=y":       {"Content-Type: application/x-www-form-urlencoded"},
			named:       {"Content-Type: text/plain"},
			named + " ": nil,
		} {
			w, _ := post(t, k, strings.NewReader(name), append(headers, jar)...)
			if w.Code != 200 || strings.Contains(w.Body.String(), "srt1_") || w.Header().Get("Set-Cookie") == "" {
				t.Errorf("%s: %q: %d %s", mode, name, w.Code, w.Body)
			}
			w, code := post(t, k, strings.NewReader(name), append(headers, jar, foreign)...)
			if w.Code != 403 || code != "FORBIDDEN" {
				t.Errorf("%s: %q of another origin: %d %s", mode, name, w.Code, w.Body)
			}
		}
	}
}

// The header of the family goes before the body, which then is not even read.
func TestTheRefreshHeaderGoesBeforeTheBody(t *testing.T) {
	t.Parallel()
	k := newKit(t, withProject)
	own := k.create(t, sessions.CreateParams{})
	unread := iotest.ErrReader(errors.New("the body was read"))
	const isJSON = "Content-Type: application/json"
	header := "X-Stack-Refresh-Token: " + own.RefreshToken.Reveal()
	if w, _ := post(t, k, unread, header, isJSON); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w, code := post(t, k, unread, isJSON); w.Code != 400 || code != "BODY_PARSING_ERROR" {
		t.Errorf("a body that breaks off: %d %s", w.Code, w.Body)
	}
	if w, code := post(t, k, unread, header, header, isJSON); w.Code != 400 || code != "SCHEMA_ERROR" {
		t.Errorf("two headers: %d %s", w.Code, w.Body)
	}
}
