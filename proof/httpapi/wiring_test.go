package httpapi_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/sessile-go/sessile/sessions"
)

// wirings are the lines with which our pages and package docs wire the handler, as
// code. Each has to serve every route.
var wirings = map[string]struct {
	prefix string
	wire   func(mux *http.ServeMux, handler *sessions.Handler)
}{
	`sessions.NewHandler(manager).Register(mux, "")`: {"", func(mux *http.ServeMux, handler *sessions.Handler) {
		handler.Register(mux, "")
	}},
	`mux.Handle("/api/v1/", http.StripPrefix("/api/v1", handler))`: {"/api/v1",
		func(mux *http.ServeMux, handler *sessions.Handler) {
			mux.Handle("/api/v1/", http.StripPrefix("/api/v1", handler))
		}},
	`echov4.Mount(e, sessions.NewHandler(manager))`: {}, // the contract of the adapters serves every route of this one
}

// What a reader copies serves everything.
func TestEveryWiringThatWeShowServesEveryRoute(t *testing.T) {
	t.Parallel()
	shown := map[string]bool{}
	for _, page := range []string{
		"README.md", "docs/http-api.md", "docs/routers.md", "docs/security.md", "sessions/doc.go", "sessions/http.go",
		"middleware/middleware.go",
	} {
		content, err := os.ReadFile("../../" + page)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(content)) {
			line, _, _ = strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "//"), " //")
			line = strings.TrimSpace(line)
			if _, known := wirings[line]; known {
				shown[line] = true
			} else if strings.Contains(line, "NewHandler(manager)") || strings.Contains(line, "StripPrefix(") {
				t.Errorf("%s wires the handler as no test does: %s", page, line)
			}
		}
	}
	e := newEnv(t)
	handler := sessions.NewHandler(e.manager)
	for line, wiring := range wirings {
		if !shown[line] {
			t.Errorf("nobody shows %s", line)
		}
		if wiring.wire == nil {
			continue
		}
		mux := http.NewServeMux()
		wiring.wire(mux, handler)
		for _, route := range handler.Routes() {
			path := wiring.prefix + strings.NewReplacer("{sessile_id}", "01890a5d-ac96-774b-bcce-b302099a8057",
				"{sessile_project_id}", project).Replace(route.Pattern)
			w := httptest.NewRecorder()
			mux.ServeHTTP(w, httptest.NewRequest(route.Method, path, nil))
			served := w.Code != http.StatusMethodNotAllowed && w.Code < 500 && w.Header().Get("X-Request-Id") != ""
			if isKeys := strings.HasSuffix(path, "jwks.json"); !served || w.Code == http.StatusNotFound ||
				isKeys && w.Code != http.StatusOK {
				t.Errorf("%s: %s %s: %d %s", line, route.Method, path, w.Code, w.Body)
			}
		}
	}
}

// The handler ignores parameters of the host's own mux around it, whatever their names.
func TestPathValuesOfTheHost(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	mine, other := e.signIn(t, alice), e.signIn(t, alice)
	handler := sessions.NewHandler(e.manager)
	mux := http.NewServeMux()
	for _, name := range []string{"id", "project_id"} {
		mux.Handle("/whole/"+name+"/{"+name+"}/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.StripPrefix("/whole/"+name+"/"+r.PathValue(name), handler).ServeHTTP(w, r)
		}))
		handler.Register(mux, "/routes/"+name+"/{"+name+"}")
	}
	for _, prefix := range []string{"/whole/id/", "/whole/project_id/", "/routes/id/", "/routes/project_id/"} {
		prefix += other.id
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, prefix+"/.well-known/jwks.json", nil))
		if w.Code != http.StatusOK {
			t.Errorf("%s: the keys are answered with %d %s", prefix, w.Code, w.Body)
		}
		w = httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodDelete, prefix+"/auth/sessions/01890a5d-ac96-774b-bcce-b302099a8057", nil)
		r.Header.Set("Authorization", "Bearer "+mine.access)
		mux.ServeHTTP(w, r)
		if w.Code != http.StatusNotFound {
			t.Errorf("%s: an unknown session is answered with %d %s", prefix, w.Code, w.Body)
		}
	}
	list, err := e.manager.List(t.Context(), alice, sessions.ListOptions{})
	if err != nil || !slices.ContainsFunc(list.Sessions, func(s sessions.Session) bool { return s.ID == other.id }) {
		t.Errorf("the session in the prefix is gone: %v", err)
	}
}
