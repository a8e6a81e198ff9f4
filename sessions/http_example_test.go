package sessions_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

// findUser stands for the host's own table of users.
func findUser(_ context.Context, id string) (sessions.User, error) {
	if id != "alice" {
		return sessions.User{}, sessions.ErrUserNotFound
	}
	return sessions.User{ID: id, Name: "Alice"}, nil
}

// exampleConfig is a whole Config; a real host reads the secret and the keys from
// its environment, and gives a store that lasts.
func exampleConfig() sessions.Config {
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		log.Fatal(err)
	}
	return sessions.Config{
		Store:     sessionstest.NewStore(),
		Users:     findUser,
		Secrets:   [][]byte{secret},
		Issuer:    "https://app.example",
		ProjectID: "my-app",
	}
}

func exampleManager() *sessions.Manager {
	manager, err := sessions.New(exampleConfig())
	if err != nil {
		log.Fatal(err)
	}
	return manager
}

// The backend that may create sessions has a server key; the host keeps its hash.
func ExampleNewHandler() {
	key, err := sessions.NewServerKey(sessions.AccessServer)
	if err != nil {
		log.Fatal(err)
	}
	hashed, err := sessions.HashServerKey("backend", key)
	if err != nil {
		log.Fatal(err)
	}
	config := exampleConfig()
	config.ServerKeys = []sessions.ServerKey{hashed}
	manager, err := sessions.New(config)
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/api/v1/", http.StripPrefix("/api/v1", sessions.NewHandler(manager)))
	server := httptest.NewServer(mux)
	defer server.Close()

	// curl -X POST "$URL/api/v1/auth/sessions" -H "Authorization: Bearer ssk_…" \
	//   -H "Content-Type: application/json" -d '{"user_id": "alice"}'
	request, err := http.NewRequest(http.MethodPost, server.URL+"/api/v1/auth/sessions",
		strings.NewReader(`{"user_id": "alice"}`))
	if err != nil {
		log.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+key)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(response.Status, strings.Contains(string(body), `"refresh_token":"srt1_`))
	// Output: 200 OK true
}

// Any endpoint can be put at a path of the host's own.
func ExampleHandler_Create() {
	handler := sessions.NewHandler(exampleManager())
	mux := http.NewServeMux()
	mux.Handle("POST /support/impersonate", handler.Create())

	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, "/support/impersonate",
		strings.NewReader(`{"user_id": "alice", "is_impersonation": true}`))
	r.Header.Set("Content-Type", "application/json")
	mux.ServeHTTP(w, r)
	fmt.Println(w.Code, "without a server key")
	// Output: 401 without a server key
}

// Registered one by one, the routes leave unknown paths to the host's mux.
func ExampleHandler_Register() {
	mux := http.NewServeMux()
	sessions.NewHandler(exampleManager()).Register(mux, "/api/v1")
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "the host's page") })

	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/v1/auth/nothing", nil))
	fmt.Println(w.Body)
	// Output: the host's page
}

// The published SDK wants its own headers of the host's routes, too.
func ExampleStackHeaders() {
	user := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sessions.WriteError(w, r, sessions.ErrUserNotFound)
	})
	mux := http.NewServeMux()
	mux.Handle("GET /api/v1/users/{id}", sessions.StackHeaders(user))

	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "/api/v1/users/nobody", nil)
	r.Header.Set("X-Stack-Override-Error-Status", "true")
	mux.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Header().Get("X-Stack-Actual-Status"), w.Header().Get("X-Stack-Known-Error"))
	// Output: 200 404 USER_NOT_FOUND
}

func ExampleManager_Create() {
	manager := exampleManager()
	grant, err := manager.Create(context.Background(), sessions.CreateParams{
		UserID: "alice",
		TTL:    30 * 24 * time.Hour,
	})
	if err != nil {
		log.Fatal(err)
	}
	// Tokens do not print themselves; Reveal is for their owner.
	fmt.Println(grant.Session.UserID, grant.RefreshToken, len(grant.RefreshToken.Reveal()) > 0)

	_, err = manager.Create(context.Background(), sessions.CreateParams{UserID: "nobody"})
	fmt.Println(errors.Is(err, sessions.ErrUserNotFound))
	// Output:
	// alice [redacted] true
	// true
}

// A host's own sign-in answers as POST /auth/sessions does.
func ExampleManager_WriteGrant() {
	manager := exampleManager()
	signIn := func(w http.ResponseWriter, r *http.Request) {
		if _, password, _ := r.BasicAuth(); password != "the host checks it" {
			http.Error(w, "wrong name or password", http.StatusUnauthorized)
			return
		}
		grant, err := manager.Create(r.Context(), sessions.CreateParams{
			UserID: "alice", Client: manager.RequestClient(r),
		})
		if err != nil {
			sessions.WriteError(w, r, err)
			return
		}
		if err := manager.WriteGrant(w, grant); err != nil {
			log.Print(err)
		}
	}

	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, "/sign-in", nil)
	r.SetBasicAuth("alice", "the host checks it")
	signIn(w, r)
	fmt.Println(w.Code, w.Header().Get("Cache-Control"), strings.Contains(w.Body.String(), `"refresh_token":"srt1_`))

	// What a handler must not do is answer with the grant itself.
	_, err := json.Marshal(sessions.Grant{AccessToken: sessions.NewToken("eyJ…")})
	fmt.Println(err != nil)
	// Output:
	// 200 no-store true
	// true
}

// Somebody acts as a user, in the open and not for long.
func ExampleManager_Create_impersonation() {
	manager := exampleManager()
	grant, err := manager.Create(context.Background(), sessions.CreateParams{
		UserID:        "alice",
		Impersonation: true,
		Actor:         "admin-1",
		Reason:        "ticket 4711",
		TTL:           15 * time.Minute,
	})
	if err != nil {
		log.Fatal(err)
	}
	id, err := manager.Verify(grant.AccessToken.Reveal())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(id.UserID, id.Impersonation, id.Actor)
	// Output: alice true admin-1
}

// A client stores the successor in place of the token it had.
func ExampleManager_Refresh() {
	manager := exampleManager()
	ctx := context.Background()
	first, err := manager.Create(ctx, sessions.CreateParams{UserID: "alice"})
	if err != nil {
		log.Fatal(err)
	}
	second, err := manager.Refresh(ctx, first.RefreshToken.Reveal(), sessions.Client{IP: "192.0.2.1"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(second.Session.ID == first.Session.ID, second.RefreshToken.Reveal() == first.RefreshToken.Reveal())

	// Refused means: sign in again. Anything else means: try again.
	_, err = manager.Refresh(ctx, "not a token", sessions.Client{})
	fmt.Println(errors.Is(err, sessions.ErrRefused))
	// Output:
	// true false
	// true
}

// Verify asks no database; Check does, and knows what other processes have ended.
func ExampleManager_Verify() {
	manager := exampleManager()
	ctx := context.Background()
	grant, err := manager.Create(ctx, sessions.CreateParams{UserID: "alice"})
	if err != nil {
		log.Fatal(err)
	}
	id, err := manager.Verify(grant.AccessToken.Reveal())
	if err != nil {
		log.Fatal(err)
	}
	session, err := manager.Check(ctx, id)
	fmt.Println(id.UserID, session.ID == id.SessionID, err)

	_, err = manager.Verify("not a token")
	fmt.Println(errors.Is(err, sessions.ErrInvalidToken), errors.Is(err, sessions.ErrUnauthenticated))
	// Output:
	// alice true <nil>
	// true true
}

// What has ended is refused at once.
func ExampleManager_End() {
	manager := exampleManager()
	ctx := context.Background()
	grant, err := manager.Create(ctx, sessions.CreateParams{UserID: "alice"})
	if err != nil {
		log.Fatal(err)
	}
	ended, err := manager.End(ctx, sessions.EndParams{ID: grant.Session.ID, Reason: sessions.EndRevoked, By: "admin-1"})
	fmt.Println(ended.EndReason, ended.EndedBy, err)

	_, err = manager.Verify(grant.AccessToken.Reveal())
	fmt.Println(errors.Is(err, sessions.ErrExpired))
	_, err = manager.Refresh(ctx, grant.RefreshToken.Reveal(), sessions.Client{})
	fmt.Println(errors.Is(err, sessions.ErrSessionEnded))
	// Output:
	// revoked admin-1 <nil>
	// true
	// true
}

// A password has changed: all other sessions end.
func ExampleManager_EndMany() {
	manager := exampleManager()
	ctx := context.Background()
	var current sessions.Grant
	for range 3 {
		var err error
		if current, err = manager.Create(ctx, sessions.CreateParams{UserID: "alice"}); err != nil {
			log.Fatal(err)
		}
	}
	ended, err := manager.EndMany(ctx, sessions.EndManyParams{
		UserID: "alice", ExceptID: current.Session.ID, Reason: "password_changed", By: "alice",
	})
	fmt.Println(len(ended), err)
	// Output: 2 <nil>
}

func ExampleNewServerKey() {
	key, err := sessions.NewServerKey(sessions.AccessServer)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(key[:4], len(key))
	// Output: ssk_ 47
}

// The caller gets the key, the config its hash.
func ExampleHashServerKey() {
	key, err := sessions.HashServerKey("billing", "ssk_this-is-an-example-and-not-a-real-key")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(key.Name, key.Access, len(key.SHA256))

	_, err = sessions.HashServerKey("billing", "ssk_short")
	fmt.Println(err)
	// Output:
	// billing server 64
	// sessions: invalid parameters: the key has 9 characters, at least 32 are required
}

// RFC 9700 to the letter: one lost reply signs out.
func ExampleStrictRotation() {
	config := exampleConfig()
	config.Rotation = sessions.StrictRotation()
	manager, err := sessions.New(config)
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	grant, err := manager.Create(ctx, sessions.CreateParams{UserID: "alice"})
	if err != nil {
		log.Fatal(err)
	}
	_, err = manager.Refresh(ctx, grant.RefreshToken.Reveal(), sessions.Client{})
	fmt.Println(err)
	_, err = manager.Refresh(ctx, grant.RefreshToken.Reveal(), sessions.Client{})
	fmt.Println(errors.Is(err, sessions.ErrReplay))
	// Output:
	// <nil>
	// true
}
