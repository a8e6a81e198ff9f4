package echov4_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"

	"github.com/labstack/echo/v4"

	"github.com/sessile-go/sessile/middleware/echov4"
	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

func newManager() *sessions.Manager {
	manager, err := sessions.New(sessions.Config{
		Store:     sessionstest.NewStore(),
		Users:     func(_ context.Context, id string) (sessions.User, error) { return sessions.User{ID: id}, nil },
		Secrets:   [][]byte{bytes.Repeat([]byte("example "), 4)},
		Issuer:    "https://app.example",
		ProjectID: "my-app",
	})
	if err != nil {
		log.Fatal(err)
	}
	return manager
}

func ExampleRequire() {
	manager := newManager()
	e := echo.New()
	e.GET("/me", func(c echo.Context) error {
		id, _ := sessions.FromContext(c.Request().Context())
		return c.String(http.StatusOK, "hello "+id.UserID)
	}, echov4.Require(manager))

	grant, err := manager.Create(context.Background(), sessions.CreateParams{UserID: "alice"})
	if err != nil {
		log.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, "/me", nil)
	r.Header.Set("Authorization", "Bearer "+grant.AccessToken.Reveal())
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Body)
	// Output: 200 hello alice
}

// The whole HTTP API under a group.
func ExampleMount() {
	e := echo.New()
	echov4.Mount(e.Group("/api/v1"), sessions.NewHandler(newManager()))

	w := httptest.NewRecorder()
	e.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/v1/auth/sessions?user_id=me", nil))
	fmt.Println(w.Code, w.Header().Get("WWW-Authenticate"))
	// Output: 401 Bearer realm="sessile"
}

// A refusal is an error like any other.
func ExampleError() {
	e := echo.New()
	e.GET("/users/:id", func(c echo.Context) error { return echov4.Error(c, sessions.ErrUserNotFound) })

	w := httptest.NewRecorder()
	e.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/users/nobody", nil))
	fmt.Print(w.Code, " ", w.Body)
	// Output: 404 {"code":"USER_NOT_FOUND","error":"The user does not exist."}
}

// IPExtractor says which proxies Echo trusts. With Config.ClientIP the sessions have the
// same addresses as c.RealIP.
func Example_clientIP() {
	e := echo.New()
	e.IPExtractor = echo.ExtractIPFromXFFHeader(echo.TrustLoopback(true))

	config := sessions.Config{ // and the rest
		ClientIP: func(r *http.Request) netip.Addr {
			ip, _ := netip.ParseAddr(e.IPExtractor(r)) // invalid if there is no address
			return ip
		},
	}

	r := httptest.NewRequest(http.MethodGet, "/me", nil)
	r.RemoteAddr = "127.0.0.1:4711"
	r.Header.Set("X-Forwarded-For", "203.0.113.7")
	fmt.Println(config.ClientIP(r))
	// Output: 203.0.113.7
}
