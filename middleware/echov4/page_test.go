package echov4_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/labstack/echo/v4"

	"github.com/sessile-go/sessile/middleware/echov4"
	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

// wire is on the page docs/routers.md.
func wire(e *echo.Echo, manager *sessions.Manager) {
	echov4.Mount(e, sessions.NewHandler(manager))
	e.GET("/me", me, echov4.Require(manager))
}

func me(c echo.Context) error {
	id, _ := sessions.FromContext(c.Request().Context())
	return c.String(http.StatusOK, "hello "+id.UserID)
}

func TestTheWiringOfThePage(t *testing.T) {
	t.Parallel()
	kit := sessionstest.New(t)
	e := echo.New()
	wire(e, kit.Manager)
	for _, path := range []string{"/me", "/auth/sessions/current"} {
		for want, header := range map[int]http.Header{
			http.StatusOK: kit.SignIn(t, "alice").Header(), http.StatusUnauthorized: {},
		} {
			r := httptest.NewRequest(http.MethodGet, path, nil)
			r.Header = header
			w := httptest.NewRecorder()
			e.ServeHTTP(w, r)
			if w.Code != want {
				t.Errorf("%s: %d %s, want %d", path, w.Code, w.Body, want)
			}
		}
	}
}
