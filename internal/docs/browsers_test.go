package docs_test

import (
	"errors"
	"html/template"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sessile-go/sessile/middleware"
	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

// site is a host with pages.
func site(manager *sessions.Manager) http.Handler {
	require := middleware.Require(manager)
	mux := http.NewServeMux()

	mux.HandleFunc("POST /sign-in", func(w http.ResponseWriter, r *http.Request) {
		userID, err := checkForm(r) // yours
		if err != nil {
			http.Error(w, "wrong name or password", http.StatusUnauthorized)
			return
		}
		params := sessions.CreateParams{UserID: userID, Client: manager.RequestClient(r)}
		grant, err := manager.Create(r.Context(), params)
		if err == nil {
			err = manager.SetCookies(w, grant)
		}
		if err != nil {
			manager.WriteError(w, r, err)
			return
		}
		http.Redirect(w, r, "/devices", http.StatusSeeOther)
	})

	mux.HandleFunc("POST /sign-out", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Clear-Site-Data", `"cache"`) // or the back button shows the last page again
		_, err := manager.SignOutBrowser(w, r)       // clears the cookies, also those of a session that is over
		if errors.Is(err, sessions.ErrCrossOrigin) || errors.Is(err, sessions.ErrUnavailable) {
			manager.WriteError(w, r, err) // the session may still be live
			return
		}
		http.Redirect(w, r, "/", http.StatusSeeOther)
	})

	mux.Handle("GET /devices", require(devices(manager)))
	mux.Handle("POST /devices/{id}/end", require(endDevice(manager)))
	mux.Handle("POST /devices/end-others", require(endOthers(manager)))

	recent := middleware.RequireRecent(5 * time.Minute) // after Require
	mux.Handle("POST /email", require(recent(http.HandlerFunc(setEmail))))
	mux.Handle("POST /confirm", require(confirm(manager)))

	return http.NewCrossOriginProtection().Handler(mux) // nobody is signed in by a form of another site
}

// devices shows the sessions of the caller's user.
func devices(manager *sessions.Manager) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, _ := sessions.FromContext(r.Context())
		list, err := manager.ListOwn(r.Context(), id, sessions.ListOptions{})
		if err != nil {
			manager.WriteError(w, r, err)
			return
		}
		_ = devicesPage.Execute(w, map[string]any{"Here": id.SessionID, "Sessions": list.Sessions})
	}
}

// endDevice signs out one of the caller's other devices.
func endDevice(manager *sessions.Manager) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, _ := sessions.FromContext(r.Context())
		if _, err := manager.EndOwn(r.Context(), id, r.PathValue("id")); err != nil {
			manager.WriteError(w, r, err) // 404 for another user's session
			return
		}
		http.Redirect(w, r, "/devices", http.StatusSeeOther)
	}
}

// endOthers signs out all of them.
func endOthers(manager *sessions.Manager) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, _ := sessions.FromContext(r.Context())
		if _, err := manager.EndOthers(r.Context(), id); err != nil {
			manager.WriteError(w, r, err)
			return
		}
		http.Redirect(w, r, "/devices", http.StatusSeeOther)
	}
}

// confirm asks for the password again, for routes with RequireRecent.
func confirm(manager *sessions.Manager) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, _ := sessions.FromContext(r.Context())
		if userID, err := checkForm(r); err != nil || userID != id.UserID { // this user, and nobody else
			http.Error(w, "wrong password", http.StatusUnauthorized)
			return
		}
		grant, err := manager.Reauthenticate(r.Context(), id.SessionID)
		if err == nil {
			err = manager.SetCookies(w, grant)
		}
		if err != nil {
			manager.WriteError(w, r, err)
		}
	}
}

var devicesPage = template.Must(template.New("devices").Parse(
	`{{range .Sessions}}{{.Client.UserAgent}}{{if eq .ID $.Here}} (here){{else}} {{.ID}}{{end}}; {{end}}`))

func setEmail(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "changed") }

func checkForm(r *http.Request) (string, error) {
	if r.FormValue("password") != "correct horse" {
		return "", sessions.ErrUserNotFound
	}
	return r.FormValue("user"), nil
}

// browser is a browser with an address: it keeps cookies, and follows redirects.
type browser struct {
	t      *testing.T
	base   string
	client *http.Client
}

func browse(t *testing.T, server *httptest.Server) browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := server.Client().Transport
	return browser{t, server.URL, &http.Client{Transport: transport, Jar: jar}}
}

func (b browser) send(method, path string, form url.Values, header ...string) (status int, body string) {
	b.t.Helper()
	r, err := http.NewRequest(method, b.base+path, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("User-Agent", "a browser")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := b.client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

func TestSite(t *testing.T) {
	t.Parallel()
	kit := sessionstest.New(t, func(c *sessions.Config) {
		c.Cookies = sessions.Cookies{Enabled: true}
	})
	server := httptest.NewTLSServer(site(kit.Manager))
	defer server.Close()
	laptop, phone := browse(t, server), browse(t, server)
	alice := url.Values{"user": {"alice"}, "password": {"correct horse"}}

	status, body := laptop.send("POST", "/sign-in", alice, "Sec-Fetch-Site", "cross-site")
	if status != http.StatusForbidden {
		t.Errorf("signed in by another site: %d %s", status, body)
	}
	if status, body := laptop.send("POST", "/sign-in", alice); status != http.StatusOK || body != "a browser (here); " {
		t.Fatalf("signed in: %d %s", status, body)
	}
	kit.Clock.Advance(24 * time.Hour)
	if status, body := laptop.send("GET", "/devices", nil); status != http.StatusOK || body != "a browser (here); " {
		t.Errorf("a day later: %d %s", status, body)
	}
	if status, body := laptop.send("POST", "/email", nil); status != http.StatusUnauthorized {
		t.Errorf("a sign-in of yesterday changed the address: %d %s", status, body)
	}
	bob := url.Values{"user": {"bob"}, "password": {"correct horse"}}
	if status, body := laptop.send("POST", "/confirm", bob); status != http.StatusUnauthorized {
		t.Errorf("somebody else confirmed: %d %s", status, body)
	}
	if status, body := laptop.send("POST", "/confirm", alice); status != http.StatusOK {
		t.Errorf("confirmed: %d %s", status, body)
	}
	if status, body := laptop.send("POST", "/email", nil); status != http.StatusOK {
		t.Errorf("after that: %d %s", status, body)
	}

	_, body = phone.send("POST", "/sign-in", alice)
	_, other, _ := strings.Cut(body, ";")
	fields := strings.Fields(strings.TrimSuffix(strings.TrimSpace(other), ";"))
	if len(fields) != 3 {
		t.Fatalf("the phone sees %q", body)
	}
	status, body = phone.send("POST", "/devices/"+fields[2]+"/end", nil)
	if status != http.StatusOK || body != "a browser (here); " {
		t.Errorf("the laptop was ended: %d %s", status, body)
	}
	if status, body := laptop.send("GET", "/devices", nil); status != http.StatusUnauthorized {
		t.Errorf("the laptop goes on: %d %s", status, body)
	}
	if status, body := phone.send("POST", "/devices/end-others", nil); status != http.StatusOK {
		t.Errorf("the others were ended: %d %s", status, body)
	}
	// There is no page at / to be redirected to.
	for range 2 { // the second time there is nothing to end
		if status, body := phone.send("POST", "/sign-out", nil); status != http.StatusNotFound {
			t.Errorf("signed out: %d %s", status, body)
		}
	}
	if status, body := phone.send("GET", "/devices", nil); status != http.StatusUnauthorized {
		t.Errorf("after that: %d %s", status, body)
	}
}
