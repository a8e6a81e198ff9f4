package echov5_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/labstack/echo/v5"

	"github.com/sessile-go/sessile/middleware/echov5"
	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

// exampleManager returns a Manager and the access tokens of alice and of root, who
// impersonates her.
func exampleManager() (manager *sessions.Manager, alice, root string) {
	manager, err := sessions.New(sessions.Config{
		Store:    sessionstest.NewStore(),
		Users:    func(_ context.Context, id string) (sessions.User, error) { return sessions.User{ID: id}, nil },
		Secrets:  [][]byte{bytes.Repeat([]byte("example "), 4)}, // from the environment, and random
		Issuer:   "https://app.example",
		Audience: "app",
	})
	if err != nil {
		panic(err)
	}
	token := func(p sessions.CreateParams) string {
		grant, err := manager.Create(context.Background(), p)
		if err != nil {
			panic(err)
		}
		return grant.AccessToken.Reveal()
	}
	return manager, token(sessions.CreateParams{UserID: "alice"}),
		token(sessions.CreateParams{UserID: "alice", Impersonation: true, Actor: "root"})
}

func sendTo(e *echo.Echo, method, path, token string) {
	r := httptest.NewRequest(method, path, nil)
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	fmt.Fprintln(os.Stdout, method, path, w.Code, strings.TrimSpace(w.Body.String()))
}

// Only the user can change the password.
func ExampleForbidImpersonation() {
	manager, alice, root := exampleManager()
	e := echo.New()
	password := func(c *echo.Context) error { return c.String(http.StatusOK, "changed") }
	e.POST("/password", password, echov5.Require(manager), echov5.ForbidImpersonation)

	sendTo(e, http.MethodPost, "/password", alice)
	sendTo(e, http.MethodPost, "/password", root)
	// Output:
	// POST /password 200 changed
	// POST /password 403 {"code":"IMPERSONATION_NOT_ALLOWED","error":"This impersonation is not allowed."}
}

// Support may read notes, with a banner; only the user may write them.
func ExampleReadOnlyImpersonation() {
	manager, alice, root := exampleManager()
	e := echo.New()
	g := e.Group("/notes", echov5.Require(manager), echov5.ReadOnlyImpersonation)
	notes := func(c *echo.Context) error {
		if id, _ := sessions.FromContext(c.Request().Context()); id.Impersonation {
			return c.String(http.StatusOK, id.Actor+" acts as "+id.UserID)
		}
		return c.String(http.StatusOK, "notes")
	}
	g.GET("", notes)
	g.POST("", notes)

	sendTo(e, http.MethodGet, "/notes", root)
	sendTo(e, http.MethodPost, "/notes", root)
	sendTo(e, http.MethodPost, "/notes", alice)
	// Output:
	// GET /notes 200 root acts as alice
	// POST /notes 403 {"code":"IMPERSONATION_NOT_ALLOWED","error":"This impersonation is not allowed."}
	// POST /notes 200 notes
}
