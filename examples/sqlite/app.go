package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/labstack/echo/v4"
	echomiddleware "github.com/labstack/echo/v4/middleware"

	"github.com/sessile-go/sessile/middleware/echov4"
	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/store"
)

// newApp is the app: the sessions API, pages, and routes of its own that sessions protect.
func newApp(manager *sessions.Manager, st *store.Store, users users, cfg config, logger *slog.Logger) http.Handler {
	pages := pages{manager: manager, users: users, insecure: cfg.insecureCookie, crossOrigin: http.NewCrossOriginProtection()}
	e := echo.New()
	e.IPExtractor = echo.ExtractIPDirect() // what Echo believes otherwise, anybody can send
	e.Use(cors())
	e.HTTPErrorHandler = func(err error, c echo.Context) {
		var (
			known   *echo.HTTPError
			refused *sessions.APIError
		)
		hungUp := c.Request().Context().Err() != nil && errors.Is(err, context.Canceled)
		logged := errors.As(err, &refused) && refused.Logged // by the Manager
		if !hungUp && !logged && (!errors.As(err, &known) || known.Code >= http.StatusInternalServerError) {
			logger.ErrorContext(c.Request().Context(), "request failed", "route", c.Path(), "error", err)
		}
		if !pages.wanted(c, err) {
			e.DefaultHTTPErrorHandler(err, c)
			return
		}
		if err := pages.fail(c, err); err != nil {
			logger.ErrorContext(c.Request().Context(), "the page of an error", "route", c.Path(), "error", err)
			e.DefaultHTTPErrorHandler(err, c)
		}
	}
	pages.register(e)

	// At the root for curl, and where the published SDK of Stack Auth looks for it.
	api := sessions.NewHandler(manager)
	v1 := e.Group("/api/v1")
	echov4.Mount(e, api)
	echov4.Mount(v1, api)
	// Where OAuth clients look for what they can do here (RFC 8414); those of OpenID
	// Connect look below the issuer, where Mount has put it.
	if issuer, err := url.Parse(cfg.issuer); err == nil {
		e.GET("/.well-known/oauth-authorization-server"+strings.TrimSuffix(issuer.Path, "/"), echo.WrapHandler(api.Metadata()))
	}

	// Strict asks for the session on every request, so that a sign-out counts at
	// once, whichever replica it reached. echov4.Require(manager) and the like do
	// without that statement.
	auth := echov4.Config{Manager: manager, Revocation: sessions.Strict}

	// Who acts as a user may look and not touch: the guard lets GET and HEAD pass,
	// so every route of a user can have it.
	own := []echo.MiddlewareFunc{auth.Require(), echov4.ReadOnlyImpersonation}
	e.GET("/me", users.me, own...)
	// The step-up of the page /profile, because it is the same change: whoever stole a
	// token would otherwise come here.
	e.PUT("/me/name", users.rename, append(slices.Clone(own), echov4.RequireRecent(recently))...)
	e.PUT("/users/:id/administrator", users.setAdministrator, auth.RequireServer())
	e.GET("/audit", audit(st), auth.RequireServer())

	// What the SDK asks an app for beside sessions.
	v1.GET("/users/me", users.stackMe, auth.Require())
	v1.GET("/users/:id", users.stackUser, auth.RequireServer())
	v1.GET("/projects/current", project(cfg.projectID), auth.Optional())
	// Is the process alive? 200 also while the database is away or the revocation feed
	// is behind: a restart would mend neither.
	e.GET("/health", func(c echo.Context) error {
		return c.JSON(http.StatusOK, echo.Map{"status": "ok", "sessions": manager.Health()})
	})
	// Can it serve? A load balancer sends requests elsewhere while the answer is no.
	e.GET("/ready", ready(users))

	// Gives those routes the headers and the errors that the SDK understands.
	return sessions.StackHeaders(e)
}

func (u users) me(c echo.Context) error {
	id, _ := sessions.FromContext(c.Request().Context())
	user, err := u.find(c.Request().Context(), id.UserID)
	if err != nil {
		return echov4.Error(c, err)
	}
	return c.JSON(http.StatusOK, echo.Map{
		"id":               user.ID,
		"name":             user.Name,
		"email":            user.Email,
		"is_administrator": user.Administrator,
		"session_id":       id.SessionID,
		"is_impersonation": id.Impersonation,
		"actor":            id.Actor, // for a banner: who acts as the user
	})
}

// rename lets users say what they are called.
func (u users) rename(c echo.Context) error {
	var body struct {
		Name string `json:"name"`
	}
	if err := readBody(c, &body); err != nil {
		return err
	}
	if !validName(body.Name) {
		return badRequest(c, "name must be a string of 1 to 100 bytes without control characters")
	}
	id, _ := sessions.FromContext(c.Request().Context())
	if err := u.set(c.Request().Context(), id.UserID, "name", body.Name); err != nil {
		return echov4.Error(c, err)
	}
	return u.me(c)
}

func validName(name string) bool {
	return strings.TrimSpace(name) != "" && len(name) <= 100 && utf8.ValidString(name) && !strings.ContainsFunc(name, unicode.IsControl)
}

// setAdministrator makes a user an administrator, or no longer one.
func (u users) setAdministrator(c echo.Context) error {
	var body struct {
		Administrator *bool `json:"administrator"` // a pointer, because its absence must not mean false
	}
	if err := readBody(c, &body); err != nil {
		return err
	}
	if body.Administrator == nil {
		return badRequest(c, "administrator must be true or false")
	}
	if err := u.set(c.Request().Context(), c.Param("id"), "administrator", *body.Administrator); err != nil {
		return echov4.Error(c, err)
	}
	return c.JSON(http.StatusOK, echo.Map{"id": c.Param("id"), "is_administrator": *body.Administrator})
}

// readyLimit is short because probes do not wait for long.
const readyLimit = 2 * time.Second

// ready asks the database.
func ready(users users) echo.HandlerFunc {
	return func(c echo.Context) error {
		ctx, cancel := context.WithTimeout(c.Request().Context(), readyLimit)
		defer cancel()
		if err := users.ask(ctx); err != nil {
			c.Response().Header().Set("Retry-After", "1")
			return c.JSON(http.StatusServiceUnavailable, echo.Map{"status": "unavailable"})
		}
		return c.JSON(http.StatusOK, echo.Map{"status": "ok"})
	}
}

// audit lists what was done as a user, or by an actor, the latest first.
func audit(st *store.Store) echo.HandlerFunc {
	return func(c echo.Context) error {
		if id, _ := sessions.FromContext(c.Request().Context()); id.Access != sessions.AccessAdmin {
			return echov4.Error(c, &sessions.APIError{Status: http.StatusForbidden, Code: "FORBIDDEN", Message: "The audit log is for admin keys."})
		}
		q := store.AuditQuery{UserID: c.QueryParam("user_id"), Actor: c.QueryParam("actor"), Limit: 100}
		if q.UserID == "" && q.Actor == "" {
			return badRequest(c, "user_id or actor is required")
		}
		ctx, cancel := context.WithTimeout(c.Request().Context(), queryLimit)
		defer cancel()
		entries, err := st.Audit(ctx, q)
		if err != nil {
			return echov4.Error(c, fmt.Errorf("%w: %w", sessions.ErrUnavailable, err))
		}
		items := make([]echo.Map, len(entries))
		for i, e := range entries {
			items[i] = echo.Map{
				"at": e.At.UnixMilli(), "type": e.Type, "session_id": e.SessionID,
				"user_id": e.UserID, "actor": e.Actor, "reason": e.Reason,
				"by": e.By, "end_reason": e.EndReason, "refusal": e.Refusal,
			}
		}
		return c.JSON(http.StatusOK, echo.Map{"items": items})
	}
}

// readBody reads one JSON value that has no fields but those of v.
func readBody(c echo.Context, v any) error {
	body := json.NewDecoder(http.MaxBytesReader(c.Response(), c.Request().Body, 1<<10))
	body.DisallowUnknownFields()
	if body.Decode(v) != nil {
		return badRequest(c, "the body is not the JSON that this route takes")
	}
	if _, err := body.Token(); !errors.Is(err, io.EOF) {
		return badRequest(c, "something follows the JSON of the body")
	}
	return nil
}

// badRequest is an error in the form of the session API's own.
func badRequest(c echo.Context, message string) error {
	return echov4.Error(c, &sessions.APIError{Status: http.StatusBadRequest, Code: "SCHEMA_ERROR", Message: message})
}

func (u users) stackMe(c echo.Context) error {
	id, _ := sessions.FromContext(c.Request().Context())
	return u.answerStack(c, id.UserID)
}

func (u users) stackUser(c echo.Context) error { return u.answerStack(c, c.Param("id")) }

func (u users) answerStack(c echo.Context, id string) error {
	user, err := u.find(c.Request().Context(), id)
	if err != nil {
		return echov4.Error(c, err) // of an unknown user it makes USER_NOT_FOUND
	}
	return c.JSON(http.StatusOK, echo.Map{
		"id":                     user.ID,
		"display_name":           user.Name,
		"primary_email":          user.Email,
		"primary_email_verified": true,
		"signed_up_at_millis":    user.CreatedAt.UnixMilli(),
		"is_anonymous":           false,
		"is_restricted":          false,
		"risk_scores":            echo.Map{"sign_up": echo.Map{}}, // the SDK looks into it
	})
}

func project(id string) echo.HandlerFunc {
	return func(c echo.Context) error {
		return c.JSON(http.StatusOK, echo.Map{
			"id": id,
			"config": echo.Map{
				"allow_localhost":         true,
				"domains":                 []string{},
				"enabled_oauth_providers": []string{},
			},
		})
	}
}

// cors lets pages of any origin ask. That is safe because a browser shows them no
// answer to a request with cookies: "*" is not for those. So such a page has only the
// tokens that it was given.
func cors() echo.MiddlewareFunc {
	both := func(names ...string) []string {
		var all []string
		for _, name := range names {
			all = append(all, "X-Stack-"+name, "X-Hexclave-"+name)
		}
		return all
	}
	return echomiddleware.CORSWithConfig(echomiddleware.CORSConfig{
		AllowOrigins: []string{"*"},
		AllowMethods: []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete},
		AllowHeaders: append(both("Access-Type", "Project-Id", "Branch-Id", "Publishable-Client-Key", "Secret-Server-Key",
			"Super-Secret-Admin-Key", "Admin-Access-Token", "Access-Token", "Refresh-Token", "Override-Error-Status",
			"Allow-Anonymous-User", "Allow-Restricted-User", "Client-Version", "Random-Nonce"),
			"Authorization", "Content-Type", "Idempotency-Key", "Ngrok-Skip-Browser-Warning"),
		ExposeHeaders: append(both("Known-Error", "Actual-Status", "Request-Id"),
			"ETag", "Retry-After", "WWW-Authenticate", "X-Request-Id"),
		MaxAge: int((24 * time.Hour).Seconds()),
	})
}
