package docs_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/sessile-go/sessile/middleware"
	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

// envelope is sessions.Config.WriteError of an app with a form of its own.
//
//nolint:errchkjson // a client that has gone needs no answer
func envelope(w http.ResponseWriter, r *http.Request, err *sessions.APIError) {
	if r.Header.Get("Sec-Fetch-Mode") == "navigate" && errors.Is(err, sessions.ErrUnauthenticated) {
		http.Redirect(w, r, "/sign-in", http.StatusSeeOther) // a page; everything else gets the envelope
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(err.Status)
	_ = json.NewEncoder(w).Encode(map[string]string{"problem": err.Code, "message": err.Message})
}

func TestRefusalsInAnEnvelope(t *testing.T) {
	t.Parallel()
	kit := sessionstest.New(t, func(config *sessions.Config) {
		config.WriteError = envelope
	})
	handler := middleware.Require(kit.Manager)(http.NotFoundHandler())
	for mode, want := range map[string]int{"navigate": http.StatusSeeOther, "cors": http.StatusUnauthorized} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Sec-Fetch-Mode", mode)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != want || w.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("%s: %d %v %s", mode, w.Code, w.Header(), w.Body)
		}
	}
}
