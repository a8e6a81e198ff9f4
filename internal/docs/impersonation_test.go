package docs_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sessile-go/sessile/middleware"
	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

// staff answers for the app's table of users.
func staff(ctx context.Context, userID string) (isAdministrator bool, err error) {
	return userID == "grace", ctx.Err()
}

// mayImpersonate is sessions.Config.MayImpersonate: administrators may act as anybody but
// another administrator.
func mayImpersonate(ctx context.Context, actor sessions.Identity, target sessions.User) error {
	actorIsStaff, err := staff(ctx, actor.UserID)
	if err != nil {
		return err // unknown: the answer is 503
	}
	targetIsStaff, err := staff(ctx, target.ID)
	if err != nil {
		return err
	}
	if !actorIsStaff || targetIsStaff {
		return sessions.ErrImpersonationNotAllowed
	}
	return nil
}

func impersonationConfig(config *sessions.Config) {
	config.MayImpersonate = mayImpersonate
	config.Impersonation = sessions.Impersonation{RequireReason: true, TTL: 30 * time.Minute}
}

func guards(mux *http.ServeMux, manager *sessions.Manager, notes, password http.Handler) {
	require := middleware.Require(manager)
	mux.Handle("/notes", require(middleware.ReadOnlyImpersonation(notes)))
	mux.Handle("POST /password", require(middleware.ForbidImpersonation(password)))
}

func banner(w http.ResponseWriter, r *http.Request) {
	id, _ := sessions.FromContext(r.Context())
	if id.Impersonation {
		fmt.Fprintf(w, "%s is acting as %s", id.Actor, id.UserID)
	}
}

// actAs lets the caller act as another user, without HTTP.
func actAs(
	ctx context.Context, manager *sessions.Manager, caller sessions.Identity, userID, reason string,
) (sessions.Grant, error) {
	if _, err := manager.Check(ctx, caller); err != nil { // the caller's own session has not ended
		return sessions.Grant{}, err
	}
	return manager.Impersonate(ctx, caller, sessions.CreateParams{UserID: userID, Reason: reason})
}

func TestImpersonation(t *testing.T) {
	t.Parallel()
	kit := sessionstest.New(t, impersonationConfig)
	kit.SetUser(sessions.User{ID: "grace"}, nil)
	grace := kit.SignIn(t, "grace")
	mux := http.NewServeMux()
	guards(mux, kit.Manager, http.HandlerFunc(banner), http.HandlerFunc(banner))
	sessions.NewHandler(kit.Manager).Register(mux, "")
	send := func(method, path, body, bearer string) (int, string) {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+bearer)
		if body != "" {
			r.Header.Set("Content-Type", "application/json")
		}
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}

	create := `{"user_id": "alice", "reason": "ticket 4711"}`
	status, body := send("POST", "/auth/sessions", create, grace.Grant.AccessToken.Reveal())
	var grant struct {
		AccessToken   string `json:"access_token"`
		ExpiresMillis int64  `json:"expires_at_millis"`
	}
	if err := json.Unmarshal([]byte(body), &grant); err != nil || status != http.StatusOK {
		t.Fatalf("%d %s %v", status, body, err)
	}
	if end := time.UnixMilli(grant.ExpiresMillis); !end.Equal(kit.Clock.Now().Add(30 * time.Minute)) {
		t.Errorf("it ends at %v", end)
	}
	status, body = send("GET", "/notes", "", grant.AccessToken)
	if status != http.StatusOK || body != "grace is acting as alice" {
		t.Errorf("notes: %d %s", status, body)
	}
	for path, method := range map[string]string{"/notes": "PUT", "/password": "POST"} {
		if status, body := send(method, path, "", grant.AccessToken); status != http.StatusForbidden {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	acting, err := actAs(t.Context(), kit.Manager, grace.Identity(t), "bob", "ticket 4712")
	if err != nil || acting.Session.Actor != "grace" {
		t.Errorf("%+v, %v", acting.Session, err)
	}
	_, err = actAs(t.Context(), kit.Manager, grace.Identity(t), "bob", "")
	if !errors.Is(err, sessions.ErrInvalidParams) {
		t.Errorf("without a reason: %v", err)
	}
	_, err = actAs(t.Context(), kit.Manager, kit.SignIn(t, "alice").Identity(t), "bob", "x")
	if !errors.Is(err, sessions.ErrImpersonationNotAllowed) {
		t.Errorf("by alice: %v", err)
	}
}
