package sessions_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"time"

	"github.com/sessile-go/sessile/middleware"
	"github.com/sessile-go/sessile/sessions"
)

// exampleSite is a host with pages: a sign-in, a page, a sign-out, and one change that asks
// for the password again.
func exampleSite(manager *sessions.Manager) http.Handler {
	require := middleware.Require(manager)
	recent := middleware.RequireRecent(5 * time.Minute)
	mux := http.NewServeMux()

	mux.HandleFunc("POST /sign-in", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("password") != "correct horse" { // yours: who somebody is, is for you to say
			http.Error(w, "wrong password", http.StatusUnauthorized)
			return
		}
		grant, err := manager.Create(r.Context(), sessions.CreateParams{
			UserID: r.FormValue("user"), Client: manager.RequestClient(r),
		})
		if err == nil {
			err = manager.SetCookies(w, grant)
		}
		if err != nil {
			sessions.WriteError(w, r, err)
		}
	})
	mux.HandleFunc("POST /sign-out", func(w http.ResponseWriter, r *http.Request) {
		_, _ = manager.SignOutBrowser(w, r) // the cookies are gone, whatever was left to end
	})
	mux.Handle("GET /me", require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, _ := sessions.FromContext(r.Context())
		fmt.Fprint(w, "hello ", id.UserID)
	})))

	mux.Handle("POST /email", require(recent(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "changed")
	}))))
	mux.Handle("POST /password", require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, _ := sessions.FromContext(r.Context())
		if r.FormValue("password") != "correct horse" { // of id.UserID, and nobody else
			http.Error(w, "wrong password", http.StatusUnauthorized)
			return
		}
		grant, err := manager.Reauthenticate(r.Context(), id.SessionID)
		if err == nil {
			err = manager.SetCookies(w, grant)
		}
		if err != nil {
			sessions.WriteError(w, r, err)
		}
	})))

	// The middlewares refuse what other origins send with our cookies. A sign-in has
	// none yet, and another site must not sign anybody in as somebody else.
	return http.NewCrossOriginProtection().Handler(mux)
}

// exampleBrowser sends forms, and keeps cookies as a browser does.
func exampleBrowser(server *httptest.Server) func(method, path string, fields ...string) string {
	jar, err := cookiejar.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	client := server.Client()
	client.Jar = jar
	return func(method, path string, fields ...string) string {
		form := url.Values{}
		for i := 0; i < len(fields); i += 2 {
			form.Set(fields[i], fields[i+1])
		}
		request, err := http.NewRequest(method, server.URL+path+"?"+form.Encode(), http.NoBody)
		if err != nil {
			log.Fatal(err)
		}
		response, err := client.Do(request)
		if err != nil {
			log.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			log.Fatal(err)
		}
		if response.StatusCode != http.StatusOK {
			challenge, _, _ := strings.Cut(response.Header.Get("WWW-Authenticate"), ", error_description")
			body = []byte(challenge)
		}
		return strings.TrimSpace(fmt.Sprint(method, " ", path, " ", response.StatusCode, " ", string(body)))
	}
}

// A browser signs in, comes back when its access token has long run out, and signs
// out. Nobody but the host's sign-in and sign-out touches cookies.
func ExampleManager_SetCookies() {
	now := time.Now()
	config := exampleConfig()
	config.Cookies = sessions.Cookies{Enabled: true}
	config.Now = func() time.Time { return now }
	manager, err := sessions.New(config)
	if err != nil {
		log.Fatal(err)
	}
	server := httptest.NewTLSServer(exampleSite(manager)) // browsers take our cookies over TLS only
	defer server.Close()
	send := exampleBrowser(server)

	fmt.Println(send("POST", "/sign-in", "user", "alice", "password", "correct horse"))
	fmt.Println(send("GET", "/me"))
	now = now.Add(30 * 24 * time.Hour)
	fmt.Println(send("GET", "/me")) // refreshed on the way through
	fmt.Println(send("POST", "/sign-out"))
	fmt.Println(send("GET", "/me"))
	// Output:
	// POST /sign-in 200
	// GET /me 200 hello alice
	// GET /me 200 hello alice
	// POST /sign-out 200
	// GET /me 401 Bearer realm="sessile"
}

// What a stolen session should not be able to do asks for the password again. The
// session is replaced then: who else has its tokens is signed out.
func ExampleManager_Reauthenticate() {
	now := time.Now()
	config := exampleConfig()
	config.Cookies = sessions.Cookies{Enabled: true}
	config.Now = func() time.Time { return now }
	manager, err := sessions.New(config)
	if err != nil {
		log.Fatal(err)
	}
	server := httptest.NewTLSServer(exampleSite(manager))
	defer server.Close()
	send := exampleBrowser(server)

	fmt.Println(send("POST", "/sign-in", "user", "alice", "password", "correct horse"))
	now = now.Add(time.Hour)
	fmt.Println(send("POST", "/email"))
	fmt.Println(send("POST", "/password", "password", "correct horse"))
	fmt.Println(send("POST", "/email"))
	// Output:
	// POST /sign-in 200
	// POST /email 401 Bearer realm="sessile", error="insufficient_user_authentication"
	// POST /password 200
	// POST /email 200 changed
}
