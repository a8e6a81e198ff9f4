package docs_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/sessile-go/sessile/middleware"
	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

func mount(mux *http.ServeMux, manager *sessions.Manager) {
	sessions.NewHandler(manager).Register(mux, "")

	mux.Handle("GET /me", middleware.Require(manager)(http.HandlerFunc(me)))
}

func mountUnderPrefix(mux *http.ServeMux, handler *sessions.Handler) {
	mux.Handle("/api/v1/", http.StripPrefix("/api/v1", handler))
}

func me(w http.ResponseWriter, r *http.Request) {
	id, _ := sessions.FromContext(r.Context())
	_, _ = w.Write([]byte("hello " + id.UserID))
}

func TestMounted(t *testing.T) {
	t.Parallel()
	kit := sessionstest.New(t)
	mux := http.NewServeMux()
	mount(mux, kit.Manager)
	mountUnderPrefix(mux, sessions.NewHandler(kit.Manager))
	for _, path := range []string{"/me", "/auth/sessions/current", "/api/v1/auth/sessions/current"} {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Header = kit.SignIn(t, "alice").Header()
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}
