package httpapi_test

import (
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

// What the app's own form of refusals is given: the cause, which the answer does not
// show, and an error that is its to change. The default form is at hand in it.
func TestWriteErrorOfTheHost(t *testing.T) {
	t.Parallel()
	errDatabase := errors.New("the database is away")
	var given []error
	k := sessionstest.New(t, func(c *sessions.Config) {
		c.WriteError = func(w http.ResponseWriter, r *http.Request, err *sessions.APIError) {
			given = append(given, errors.Unwrap(err))
			err.Message = "ours: " + err.Message
			sessions.WriteError(w, r, err)
		}
	})
	handler := sessions.NewHandler(k.Manager)
	as := k.SignIn(t, "alice").Header()
	call := func(method, path string, header http.Header) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, nil)
		maps.Copy(r.Header, header)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w
	}
	for range 2 {
		for _, test := range []struct {
			method, path string
			header       http.Header
			is           error // nil if there is no cause
			want         string
		}{
			{"GET", "/auth/sessions/current", nil, sessions.ErrNoCredentials,
				`{"code":"ACCESS_TYPE_REQUIRED","error":"ours: Credentials are required`},
			{"GET", "/nowhere", nil, nil, `{"code":"NOT_FOUND","error":"ours: There is nothing here."}`},
			{"PUT", "/auth/sessions", nil, nil,
				`{"code":"METHOD_NOT_ALLOWED","error":"ours: The method is not allowed here."}`},
		} {
			given = nil
			w := call(test.method, test.path, test.header)
			if !strings.HasPrefix(w.Body.String(), test.want) || len(given) != 1 || !errors.Is(given[0], test.is) {
				t.Errorf("%s %s: %d %s of %v", test.method, test.path, w.Code, w.Body, given)
			}
		}
	}
	k.Faults.Before = sessionstest.FailAt(sessionstest.MethodGet, 0, errDatabase)
	given = nil
	w := call("GET", "/auth/sessions/current", as)
	if w.Code != http.StatusServiceUnavailable || strings.Contains(w.Body.String(), "database") ||
		w.Header().Get("Retry-After") == "" || len(given) != 1 || !errors.Is(given[0], sessions.ErrUnavailable) {
		t.Errorf("%d %v %s of %v", w.Code, w.Header(), w.Body, given)
	}

	// On a route of the host's own.
	w = httptest.NewRecorder()
	k.WriteError(w, httptest.NewRequest(http.MethodGet, "/", nil), sessions.ErrUserNotFound)
	if w.Code != http.StatusNotFound ||
		w.Body.String() != `{"code":"USER_NOT_FOUND","error":"ours: The user does not exist."}` {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
