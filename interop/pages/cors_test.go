package pages

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/rs/cors"

	"github.com/sessile-go/sessile/middleware"
	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

func crossOrigin(mux *http.ServeMux) http.Handler {
	handler := cors.New(cors.Options{
		AllowedOrigins: []string{"https://app.example"}, // never "*" with cookies of your own
		AllowedMethods: []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete},
		AllowedHeaders: []string{"Authorization", "Content-Type"},
		ExposedHeaders: []string{"WWW-Authenticate", "Retry-After", "X-Request-Id"},
		MaxAge:         600,
	}).Handler(mux)
	return handler
}

// hello is an app that other origins may call.
func hello(kit *sessionstest.Kit) http.Handler {
	mux := http.NewServeMux()
	sessions.NewHandler(kit.Manager).Register(mux, "")
	mux.Handle("GET /me", middleware.Require(kit.Manager)(http.HandlerFunc(hi)))
	return crossOrigin(mux)
}

func TestCORS(t *testing.T) {
	t.Parallel()
	kit := sessionstest.New(t)
	handler := hello(kit)
	for origin, want := range map[string]string{
		"https://app.example": "https://app.example", "https://evil.example": "",
	} {
		for _, path := range []string{"/me", "/auth/sessions/current/refresh"} {
			r := httptest.NewRequest(http.MethodOptions, path, nil)
			r.Header.Set("Origin", origin)
			r.Header.Set("Access-Control-Request-Method", "POST")
			r.Header.Set("Access-Control-Request-Headers", "authorization,content-type")
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			if got := w.Header().Get("Access-Control-Allow-Origin"); got != want {
				t.Errorf("%s of %s: %d %q", path, origin, w.Code, got)
			}
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/me", nil)
	r.Header = kit.SignIn(t, "alice").Header()
	r.Header.Set("Origin", "https://app.example")
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	if w.Code != http.StatusOK || w.Header().Get("Access-Control-Allow-Origin") != "https://app.example" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}
