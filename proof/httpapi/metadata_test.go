package httpapi_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/sessile-go/sessile/sessions"
)

const configurationPath = "/projects/" + project + "/.well-known/openid-configuration"

func TestMetadata(t *testing.T) {
	t.Parallel()
	const want = `{"issuer":"https://sessile.test/api/v1/projects/` + project + `",` +
		`"token_endpoint":"https://sessile.test/api/v1/auth/oauth/token",` +
		`"revocation_endpoint":"https://sessile.test/api/v1/auth/oauth/revoke",` +
		`"jwks_uri":"https://sessile.test/api/v1/.well-known/jwks.json",` +
		`"grant_types_supported":["refresh_token"],"response_types_supported":[],` +
		`"token_endpoint_auth_methods_supported":["client_secret_basic","client_secret_post","none"],` +
		`"revocation_endpoint_auth_methods_supported":["client_secret_basic","client_secret_post","none"],` +
		`"subject_types_supported":["public"],"id_token_signing_alg_values_supported":["ES256"]}`
	for name, mount := range mounts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEnv(t)
			mount(e)
			a := e.do(t, http.MethodGet, configurationPath).want(t, 200)
			if string(a.body) != want {
				t.Errorf("%s", a.body)
			}
			if a.header.Get("Cache-Control") != "public, max-age=3600" ||
				a.header.Get("Content-Type") != "application/json; charset=utf-8" {
				t.Errorf("headers %v", a.header)
			}
			e.checkCaching(t, a.header.Get("Etag"), configurationPath)
			// Who asks, and how the request came here, change nothing.
			for _, as := range []option{
				bearer("x"), stack("access-type", "client", "access-token", "x"),
				func(r *http.Request) { r.Host, r.URL.Host = "evil.example", "evil.example" },
				header("X-Forwarded-Host", "evil.example"), header("Forwarded", "host=evil.example;proto=http"),
				header("X-Forwarded-Prefix", "/evil"),
			} {
				if b := e.do(t, http.MethodGet, configurationPath+"?issuer=evil", as).want(t,
					200); string(b.body) != want {
					t.Errorf("%s", b.body)
				}
			}
			e.do(t, http.MethodGet, "/projects/"+unknown+"/.well-known/openid-configuration").refused(t,
				404, "NOT_FOUND")
		})
	}
}

// The handler serves at paths of the host's own, and the URLs of the document lead to
// our endpoints.
func TestMetadataAtThePathsOfTheIssuer(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	mux := http.NewServeMux()
	e.handler.Register(mux, "/api/v1")
	mux.Handle("GET /.well-known/oauth-authorization-server/api/v1/projects/{project_id}", e.handler.Metadata())
	e.serve = mux
	e.prefix = "/api/v1"
	below := e.do(t, http.MethodGet, configurationPath).want(t, 200)
	// whose parameter is the host's own
	w := get(t, mux, "/.well-known/oauth-authorization-server/api/v1/projects/"+unknown)
	if w.Code != 200 || w.Body.String() != string(below.body) || w.Header().Get("Etag") != below.header.Get("Etag") {
		t.Errorf("%d %s", w.Code, w.Body)
	}

	for name, want := range map[string]int{"token_endpoint": 400, "revocation_endpoint": 200} {
		path := strings.TrimPrefix(below.text(name), "https://sessile.test")
		e.do(t, http.MethodPost, strings.TrimPrefix(path, e.prefix), form("grant_type", "refresh_token", "token", "x",
			"refresh_token", "x", "client_id", project)).want(t, want)
	}
	if path := strings.TrimPrefix(below.text("jwks_uri"), "https://sessile.test/api/v1"); string(e.do(t, http.MethodGet,
		path).want(t, 200).body) != string(e.manager.JWKSet()) {
		t.Error("another JWK set")
	}
}

func TestMetadataSaysWhatIsTrue(t *testing.T) {
	t.Parallel()
	all := []any{"client_secret_basic", "client_secret_post", "none"}
	for name, test := range map[string]struct {
		configure func(*sessions.Config)
		methods   []any
	}{
		"keys that clients may leave out": {func(*sessions.Config) {}, all},
		"keys that are required":          {func(c *sessions.Config) { c.RequireClientKey = true }, all[:2]},
		"no keys":                         {func(c *sessions.Config) { c.ClientKeys = nil }, all[2:]},
		"a slash at the end":              {func(c *sessions.Config) { c.BaseURL += "/" }, all},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEnv(t, test.configure)
			a := e.do(t, http.MethodGet, configurationPath).want(t, 200)
			if got, _ := a.json["token_endpoint_auth_methods_supported"].([]any); !slices.Equal(got, test.methods) {
				t.Errorf("methods %v", got)
			}
			if got := a.text("token_endpoint"); got != "https://sessile.test/api/v1/auth/oauth/token" {
				t.Errorf("token_endpoint %s", got)
			}
			// The methods work as it says, and the others do not.
			own := e.signIn(t, alice)
			for method, client := range map[string][]string{
				"none": {project, ""}, "client_secret_post": {project, clientKey},
			} {
				want := 400
				if slices.Contains(test.methods, any(method)) {
					want = 200
				} else if method == "none" {
					want = 401
				}
				e.do(t, http.MethodPost, "/auth/oauth/token", form("grant_type", "refresh_token", "refresh_token",
					own.refresh, "client_id", client[0], "client_secret", client[1])).want(t, want)
			}
		})
	}
}

// Hosts with metadata of their own leave ours out, and its paths are theirs.
func TestNoMetadata(t *testing.T) {
	t.Parallel()
	for name, configure := range map[string]func(*sessions.Config){
		"without BaseURL":   func(c *sessions.Config) { c.BaseURL = "" },
		"without ProjectID": func(c *sessions.Config) { c.ProjectID, c.Audience = "", "app" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEnv(t, configure)
			for _, path := range []string{
				configurationPath, "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server",
				"/projects/app/.well-known/openid-configuration",
			} {
				e.do(t, http.MethodGet, path).refused(t, 404, "NOT_FOUND")
			}
			for _, route := range e.handler.Routes() {
				if strings.Contains(route.Pattern, "openid-configuration") {
					t.Errorf("route %s", route.Pattern)
				}
			}
			w := get(t, e.handler.Metadata(), "/.well-known/openid-configuration")
			if name == "without ProjectID" {
				if w.Code != 200 || !strings.Contains(w.Body.String(), `"issuer"`) {
					t.Errorf("%d %s", w.Code, w.Body)
				}
			} else if w.Code != 500 || !strings.Contains(w.Body.String(), "Config.BaseURL") {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
}

func TestBaseURLIsValidated(t *testing.T) {
	t.Parallel()
	const (
		ofBase   = "sessions: Config.BaseURL: must be an absolute http or https URL without user, query and fragment"
		ofIssuer = "sessions: Config.Issuer: must have no user, query or fragment, for the metadata of Config.BaseURL"
	)
	for _, test := range []struct{ base, issuer, want string }{
		{"https://app.example", "https://app.example", ""},
		{"https://app.example/", "https://app.example/", ""},
		{"http://127.0.0.1:8080/api/v1", "https://id.example/x", ""},
		{"/", "https://app.example", ofBase},
		{"/api/v1", "https://app.example", ofBase},
		{"app.example/api", "https://app.example", ofBase},
		{"ftp://app.example", "https://app.example", ofBase},
		{"https:///api", "https://app.example", ofBase},
		{"https://u:p@app.example", "https://app.example", ofBase},
		{"https://app.example/?", "https://app.example", ofBase},
		{"https://app.example/#", "https://app.example", ofBase},
		{"https://app.example/%zz", "https://app.example", ofBase},
		{"https://app.example", "https://app.example?x", ofIssuer},
		{"https://app.example", "https://u@app.example", ofIssuer},
		{"", "https://app.example?x", ""},
	} {
		config := newEnv(t).kit.Config
		config.BaseURL, config.Issuer = test.base, test.issuer
		_, err := sessions.New(config)
		if got := errorText(err); got != test.want {
			t.Errorf("%q with issuer %q: %q, want %q", test.base, test.issuer, got, test.want)
		}
	}
}

// get is for paths of the host's own, which openapi.yaml does not describe.
func get(t *testing.T, h http.Handler, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
