package sessions_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	"github.com/sessile-go/sessile/middleware"
	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

// A host may let sessions live until they expire, however long they are not used, and
// send the events that mean an attack to its own alarm.
func ExampleConfig() {
	cfg := exampleConfig()
	cfg.SessionTTL = 30 * 24 * time.Hour
	cfg.IdleTimeout = sessions.NoIdleTimeout
	cfg.OnEvent = func(_ context.Context, e sessions.Event) {
		switch e.Type {
		case sessions.EventReplay, sessions.EventHandoffReplay, sessions.EventForgedToken:
			fmt.Println("alarm:", e.Type, e.Session.UserID)
		case sessions.EventRefused:
			fmt.Println("refused:", e.Refusal)
		default:
		}
	}
	cfg.Rotation = sessions.StrictRotation()
	manager, err := sessions.New(cfg)
	if err != nil {
		log.Fatal(err)
	}

	ctx := context.Background()
	grant, err := manager.Create(ctx, sessions.CreateParams{UserID: "alice"})
	if err != nil {
		log.Fatal(err)
	}
	for range 2 { // the user, and a thief who has copied the token
		_, err = manager.Refresh(ctx, grant.RefreshToken.Reveal(), sessions.Client{})
		fmt.Println(err)
	}
	// Output:
	// <nil>
	// alarm: replay alice
	// sessions: unauthenticated: refresh token refused: replay
}

// A refresh error says whether the user must sign in again, and why. The HTTP API answers
// with these reasons by itself; a host with a transport of its own translates them.
func ExampleManager_Refresh_refused() {
	clock := sessionstest.NewClock(time.Now())
	cfg := exampleConfig()
	cfg.Now = clock.Now
	manager, err := sessions.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	explain := func(err error) string {
		switch {
		case errors.Is(err, sessions.ErrUnavailable):
			return "try again with the same token"
		case errors.Is(err, sessions.ErrReplay), errors.Is(err, sessions.ErrRecoveryLimit):
			return "somebody else may have had your session, which is ended"
		case errors.Is(err, sessions.ErrSessionIdle), errors.Is(err, sessions.ErrSessionExpired):
			return "you were away for long"
		case errors.Is(err, sessions.ErrParentEnded), errors.Is(err, sessions.ErrImpersonationNotAllowed):
			return "the impersonation is over"
		case errors.Is(err, sessions.ErrUserDisabled), errors.Is(err, sessions.ErrUserNotFound):
			return "your account is closed"
		case errors.Is(err, sessions.ErrSessionEnded), errors.Is(err, sessions.ErrUnknownSession):
			return "you were signed out"
		case errors.Is(err, sessions.ErrMalformed):
			return "that is no refresh token"
		case err != nil:
			return "sign in again"
		default:
			return "welcome back"
		}
	}

	ctx := context.Background()
	grant, err := manager.Create(ctx, sessions.CreateParams{UserID: "alice"})
	if err != nil {
		log.Fatal(err)
	}
	_, err = manager.Refresh(ctx, "a session id from a cookie jar", sessions.Client{})
	fmt.Println(explain(err))
	_, err = manager.Refresh(ctx, grant.RefreshToken.Reveal(), sessions.Client{})
	fmt.Println(explain(err))
	clock.Advance(100 * 24 * time.Hour)
	_, err = manager.Refresh(ctx, grant.RefreshToken.Reveal(), sessions.Client{})
	fmt.Println(explain(err))
	// Output:
	// that is no refresh token
	// welcome back
	// you were away for long
}

// A command line program signs out with the refresh token that it has, even if its access
// token has expired.
func ExampleManager_EndByRefreshToken() {
	manager := exampleManager()
	ctx := context.Background()
	grant, err := manager.Create(ctx, sessions.CreateParams{UserID: "alice"})
	if err != nil {
		log.Fatal(err)
	}
	for range 2 {
		s, err := manager.EndByRefreshToken(ctx, grant.RefreshToken.Reveal(), sessions.EndParams{
			Reason: sessions.EndSignedOut, By: "alice",
		})
		switch {
		case errors.Is(err, sessions.ErrNotFound):
			fmt.Println("it is over already")
		case err != nil: // ErrMalformed, ErrUnavailable
			log.Fatal(err)
		default:
			fmt.Println(s.UserID, s.EndReason)
		}
	}
	// Output:
	// alice signed_out
	// it is over already
}

// A page of the host lists a user's sessions, 50 at a time.
func ExampleManager_List() {
	manager := exampleManager()
	ctx := context.Background()
	for range 60 {
		if _, err := manager.Create(ctx, sessions.CreateParams{UserID: "alice"}); err != nil {
			log.Fatal(err)
		}
	}
	options := sessions.ListOptions{Limit: 50}
	for more := true; more; {
		var page sessions.SessionList
		page, err := manager.List(ctx, "alice", options)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(len(page.Sessions))
		options.Cursor, more = page.Next, page.Next != ""
	}
	_, err := manager.List(ctx, "alice", sessions.ListOptions{Limit: 1000})
	fmt.Println(errors.Is(err, sessions.ErrInvalidParams))
	// Output:
	// 50
	// 10
	// true
}

// The endpoints can be put on routes of the host, one by one.
func ExampleHandler_SignOut() {
	manager := exampleManager()
	handler := sessions.NewHandler(manager)
	mux := http.NewServeMux()
	mux.Handle("POST /session/refresh", handler.Refresh())
	mux.Handle("DELETE /session", handler.SignOut())
	mux.Handle("POST /oauth/revoke", handler.Revoke()) // RFC 7009
	mux.Handle("GET /keys.json", handler.JWKS())

	grant, err := manager.Create(context.Background(), sessions.CreateParams{UserID: "alice"})
	if err != nil {
		log.Fatal(err)
	}
	for range 2 {
		r := httptest.NewRequest(http.MethodDelete, "/session", nil)
		r.Header.Set("Authorization", "Bearer "+grant.AccessToken.Reveal())
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		fmt.Println(w.Code)
	}
	// Output:
	// 200
	// 401
}

// An API of the host signs its caller out, and treats a backend with a server key, which
// has no session, in another way.
func ExampleManager_SignOut() {
	manager := exampleManager()
	signOut := func(w http.ResponseWriter, r *http.Request) {
		caller, _ := sessions.FromContext(r.Context())
		if caller.Trusted() && !caller.HasUser() {
			http.Error(w, "a server key is not signed in", http.StatusBadRequest)
			return
		}
		if _, err := manager.SignOut(r.Context(), caller); err != nil {
			manager.WriteError(w, r, err)
			return
		}
		fmt.Fprint(w, "goodbye")
	}
	r := httptest.NewRequest(http.MethodPost, "/sign-out", nil)
	grant, err := manager.Create(r.Context(), sessions.CreateParams{UserID: "alice"})
	if err != nil {
		log.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+grant.AccessToken.Reveal())
	w := httptest.NewRecorder()
	middleware.Require(manager)(http.HandlerFunc(signOut)).ServeHTTP(w, r)
	fmt.Println(w.Body)
	// Output: goodbye
}

// Verifiers that cannot reach the app read its public keys from a file.
func ExampleManager_JWKSet() {
	folder, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(folder) }()
	file := filepath.Join(folder, "jwks.json")
	if err := os.WriteFile(file, exampleManager().JWKSet(), 0o600); err != nil {
		log.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(text[:9]))
	// Output: {"keys":[
}

// A host that has ended a session by another way than [sessions.Manager.SignOutBrowser]
// removes its cookies, too. Of an actor who goes back to the own session, those of the
// impersonation are enough.
func ExampleManager_ClearCookies() {
	cfg := exampleConfig()
	cfg.Cookies.Enabled = true
	manager, err := sessions.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	w := httptest.NewRecorder()
	manager.ClearImpersonationCookies(w)
	fmt.Println(len(w.Result().Cookies()), "cookies of an impersonation")
	w = httptest.NewRecorder()
	manager.ClearCookies(w)
	fmt.Println(len(w.Result().Cookies()), "cookies in all")
	// Output:
	// 2 cookies of an impersonation
	// 4 cookies in all
}
