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

// newApp returns the app: the sessions API, the pages, and routes that sessions protect.
func newApp(manager *sessions.Manager, st *store.Store, users users, cfg config, logger *slog.Logger) http.Handler {
	pages := pages{
		manager: manager, users: users, insecure: cfg.insecureCookie, crossOrigin: http.NewCrossOriginProtection(),
	}
	e := echo.New()
	e.IPExtractor = echo.ExtractIPDirect() // by default Echo trusts headers that anybody can send
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

	// At the root for curl, and under /api/v1 for the published SDK of Stack Auth.
	api := sessions.NewHandler(manager)
	v1 := e.Group("/api/v1")
	echov4.Mount(e, api)
	echov4.Mount(v1, api)
	// OAuth clients look for the metadata here (RFC 8414). Clients of OpenID Connect look
	// below the issuer, and Mount serves it there.
	if issuer, err := url.Parse(cfg.issuer); err == nil {
		e.GET("/.well-known/oauth-authorization-server"+strings.TrimSuffix(issuer.Path, "/"),
			echo.WrapHandler(api.Metadata()))
	}

	// Strict looks the session up on every request, so that a sign-out takes effect at
	// once, whichever replica it reached. echov4.Require(manager) saves that statement.
	auth := echov4.Config{Manager: manager, Revocation: sessions.Strict}

	// An impersonation is read-only. The guard lets GET and HEAD pass, so every route of
	// a user can have it.
	own := []echo.MiddlewareFunc{auth.Require(), echov4.ReadOnlyImpersonation}
	e.GET("/me", users.me, own...)
	// The same change as on the page /profile needs the same step-up, or a thief of a
	// token would use this route.
	e.PUT("/me/name", users.rename, append(slices.Clone(own), echov4.RequireRecent(recently))...)
	e.PUT("/users/:id/administrator", users.setAdministrator, auth.RequireServer())
	e.GET("/audit", audit(st), auth.RequireServer())

	// The SDK also requests these.
	v1.GET("/users/me", users.stackMe, auth.Require())
	v1.GET("/users/:id", users.stackUser, auth.RequireServer())
	v1.GET("/projects/current", project(cfg.projectID), auth.Optional())
	// Is the process alive? 200 even while the database is away or the revocation feed is
	// behind, since a restart would not help.
	e.GET("/health", func(c echo.Context) error {
		return c.JSON(http.StatusOK, echo.Map{"status": "ok", "sessions": manager.Health()})
	})
	// Can it serve? If not, a load balancer sends requests elsewhere.
	e.GET("/ready", ready(users))

	// Gives the routes of the SDK the headers and errors that it understands.
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
		"actor":            id.Actor, // for a banner
	})
}

// rename changes the name of the user.
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
	return strings.TrimSpace(name) != "" && len(name) <= 100 && utf8.ValidString(name) &&
		!strings.ContainsFunc(name, unicode.IsControl)
}

// setAdministrator makes a user an administrator, or takes that away.
func (u users) setAdministrator(c echo.Context) error {
	var body struct {
		Administrator *bool `json:"administrator"` // a pointer, so that a missing field is not false
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

// ready queries the database.
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

// audit lists the audit log of a user or an actor, newest first.
func audit(st *store.Store) echo.HandlerFunc {
	return func(c echo.Context) error {
		if id, _ := sessions.FromContext(c.Request().Context()); id.Access != sessions.AccessAdmin {
			return echov4.Error(c, &sessions.APIError{
				Status: http.StatusForbidden, Code: "FORBIDDEN", Message: "The audit log is for admin keys.",
			})
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

// readBody reads one JSON value with the fields of v and no others.
func readBody(c echo.Context, v any) error {
	body := json.NewDecoder(http.MaxBytesReader(c.Response(), c.Request().Body, 1<<10))
	body.DisallowUnknownFields()
	if body.Decode(v) != nil {
		return badRequest(c, "the body is not the JSON that this route expects")
	}
	if _, err := body.Token(); !errors.Is(err, io.EOF) {
		return badRequest(c, "the body has data after its JSON value")
	}
	return nil
}

// badRequest returns an error in the form of the session API.
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
		return echov4.Error(c, err) // USER_NOT_FOUND for an unknown user
	}
	return c.JSON(http.StatusOK, echo.Map{
		"id":                     user.ID,
		"display_name":           user.Name,
		"primary_email":          user.Email,
		"primary_email_verified": true,
		"signed_up_at_millis":    user.CreatedAt.UnixMilli(),
		"is_anonymous":           false,
		"is_restricted":          false,
		"risk_scores":            echo.Map{"sign_up": echo.Map{}}, // the SDK reads it
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

// cors allows requests from pages of any origin. That is safe because "*" excludes requests
// with cookies: such a page can use only tokens that it was given.
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
		AllowHeaders: append(both("Access-Type", "Project-Id", "Branch-Id", "Publishable-Client-Key",
			"Secret-Server-Key",
			"Super-Secret-Admin-Key", "Admin-Access-Token", "Access-Token", "Refresh-Token", "Override-Error-Status",
			"Allow-Anonymous-User", "Allow-Restricted-User", "Client-Version", "Random-Nonce"),
			"Authorization", "Content-Type", "Idempotency-Key", "Ngrok-Skip-Browser-Warning"),
		ExposeHeaders: append(both("Known-Error", "Actual-Status", "Request-Id"),
			"ETag", "Retry-After", "WWW-Authenticate", "X-Request-Id"),
		MaxAge: int((24 * time.Hour).Seconds()),
	})
}
