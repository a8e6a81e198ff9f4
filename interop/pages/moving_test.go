package pages

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/golang-jwt/jwt/v5"
	gorilla "github.com/gorilla/sessions"

	"github.com/sessile-go/sessile/middleware"
	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

// exchange gives the holder of an old token a session.
func exchange(manager *sessions.Manager, oldKey []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		claims, err := oldClaims(r, oldKey)
		if err != nil {
			http.Error(w, "sign in again", http.StatusUnauthorized)
			return
		}
		params := sessions.CreateParams{UserID: claims.Subject, Client: manager.RequestClient(r)}
		if claims.IssuedAt != nil {
			params.AuthTime = claims.IssuedAt.Time // not now: the user has not signed in again
		}
		grant, err := manager.Create(r.Context(), params)
		if err != nil {
			manager.WriteError(w, r, err)
			return
		}
		_ = manager.WriteGrant(w, grant)
	}
}

// either takes tokens of both kinds, until the last old one has expired.
func either(manager *sessions.Manager, oldKey []byte) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		require := middleware.Require(manager)(next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			claims, err := oldClaims(r, oldKey)
			if err != nil {
				require.ServeHTTP(w, r)
				return
			}
			id := sessions.Identity{Access: sessions.AccessClient, UserID: claims.Subject}
			next.ServeHTTP(w, r.WithContext(sessions.NewContext(r.Context(), id)))
		})
	}
}

// oldClaims verifies a token of the old kind, as the app has always done.
func oldClaims(r *http.Request, key []byte) (*jwt.RegisteredClaims, error) {
	text, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !found {
		return nil, errors.New("no token")
	}
	claims := &jwt.RegisteredClaims{}
	_, err := jwt.ParseWithClaims(text, claims, func(*jwt.Token) (any, error) { return key, nil },
		jwt.WithValidMethods([]string{"HS256"}), jwt.WithExpirationRequired())
	return claims, err
}

// adopt gives browsers with a session of the old kind one of the new kind, while they look at
// pages. Put it in front of Require. userOf answers "" if there is no old session, and forget
// ends it.
func adopt(
	manager *sessions.Manager, userOf func(*http.Request) string, forget func(http.ResponseWriter, *http.Request),
) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			userID := userOf(r)
			if userID == "" || r.Method != http.MethodGet {
				next.ServeHTTP(w, r)
				return
			}
			params := sessions.CreateParams{UserID: userID, Client: manager.RequestClient(r)}
			grant, err := manager.Create(r.Context(), params)
			if err == nil {
				err = manager.SetCookies(w, grant)
			}
			if err != nil {
				manager.WriteError(w, r, err)
				return
			}
			forget(w, r)
			r = r.Clone(r.Context()) // this request goes on with the new session
			r.Header.Set("Authorization", "Bearer "+grant.AccessToken.Reveal())
			next.ServeHTTP(w, r)
		})
	}
}

// fromGorilla adopts what gorilla/sessions has kept.
func fromGorilla(manager *sessions.Manager, store gorilla.Store) func(http.Handler) http.Handler {
	return adopt(manager, func(r *http.Request) string {
		old, _ := store.Get(r, "session") // an error means a new, empty session
		userID, _ := old.Values["user_id"].(string)
		return userID
	}, func(w http.ResponseWriter, r *http.Request) {
		old, _ := store.Get(r, "session")
		delete(old.Values, "user_id") // or old.Options.MaxAge = -1, if nothing else is in it
		_ = old.Save(r, w)
	})
}

// fromSCS adopts what scs has kept. Put it after LoadAndSave.
func fromSCS(manager *sessions.Manager, old *scs.SessionManager) func(http.Handler) http.Handler {
	return adopt(manager, func(r *http.Request) string {
		return old.GetString(r.Context(), "user_id")
	}, func(_ http.ResponseWriter, r *http.Request) {
		old.Remove(r.Context(), "user_id")
	})
}

func hi(w http.ResponseWriter, r *http.Request) {
	id, _ := sessions.FromContext(r.Context())
	fmt.Fprint(w, "hello ", id.UserID)
}

func TestMovingFromGolangJWT(t *testing.T) {
	t.Parallel()
	kit := sessionstest.New(t)
	key := []byte("the key that the app has always had")
	old := func(method jwt.SigningMethod, key any, life time.Duration) string {
		text, err := jwt.NewWithClaims(method, jwt.RegisteredClaims{
			Subject:   "alice",
			ExpiresAt: jwt.NewNumericDate(time.Now().Add(life)),
			IssuedAt:  jwt.NewNumericDate(kit.Clock.Now().Add(-time.Hour)),
		}).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	mux := http.NewServeMux()
	mux.Handle("POST /exchange", exchange(kit.Manager, key))
	mux.Handle("GET /me", either(kit.Manager, key)(http.HandlerFunc(hi)))
	for name, tc := range map[string]struct {
		token string
		want  int
	}{
		"an old token":              {old(jwt.SigningMethodHS256, key, time.Minute), 200},
		"one that has expired":      {old(jwt.SigningMethodHS256, key, -time.Minute), 401},
		"one with another key":      {old(jwt.SigningMethodHS256, []byte("another"), time.Minute), 401},
		"one without a signature":   {old(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, time.Minute), 401},
		"a token of the new kind":   {kit.SignIn(t, "alice").Grant.AccessToken.Reveal(), 200},
		"something else altogether": {"x", 401},
	} {
		r := httptest.NewRequest(http.MethodGet, "/me", nil)
		r.Header.Set("Authorization", "Bearer "+tc.token)
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		if w.Code != tc.want || w.Code == 200 && w.Body.String() != "hello alice" {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	r := httptest.NewRequest(http.MethodPost, "/exchange", nil)
	r.Header.Set("Authorization", "Bearer "+old(jwt.SigningMethodHS256, key, time.Minute))
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	list, err := kit.List(t.Context(), "alice", sessions.ListOptions{})
	if w.Code != 200 || err != nil || !list.Sessions[0].AuthTime.Equal(kit.Clock.Now().Add(-time.Hour)) {
		t.Errorf("%d %s: %+v, %v", w.Code, w.Body, list, err)
	}
}

func TestMovingBrowsers(t *testing.T) {
	t.Parallel()
	store := gorilla.NewCookieStore([]byte("0123456789abcdef0123456789abcdef"))
	scsManager := scs.New()
	for name, tc := range map[string]struct {
		signIn http.HandlerFunc // as it was
		adopt  func(*sessions.Manager) func(http.Handler) http.Handler
		wrap   func(http.Handler) http.Handler
	}{
		"gorilla/sessions": {
			func(w http.ResponseWriter, r *http.Request) {
				old, _ := store.Get(r, "session")
				old.Values["user_id"] = "alice"
				_ = old.Save(r, w)
			},
			func(m *sessions.Manager) func(http.Handler) http.Handler { return fromGorilla(m, store) },
			func(next http.Handler) http.Handler { return next },
		},
		"scs": {
			func(_ http.ResponseWriter, r *http.Request) { scsManager.Put(r.Context(), "user_id", "alice") },
			func(m *sessions.Manager) func(http.Handler) http.Handler { return fromSCS(m, scsManager) },
			scsManager.LoadAndSave,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kit := sessionstest.New(t, func(c *sessions.Config) { c.Cookies = sessions.Cookies{Enabled: true} })
			require := middleware.Require(kit.Manager)
			mux := http.NewServeMux()
			mux.HandleFunc("POST /old-sign-in", tc.signIn)
			mux.Handle("/me", tc.adopt(kit.Manager)(require(http.HandlerFunc(hi))))
			server := httptest.NewTLSServer(tc.wrap(mux))
			defer server.Close()
			jar, err := cookiejar.New(nil)
			if err != nil {
				t.Fatal(err)
			}
			client := server.Client()
			client.Jar = jar
			send := func(method, path string) (int, string) {
				r, err := http.NewRequest(method, server.URL+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				response, err := client.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				defer response.Body.Close()
				body, err := io.ReadAll(response.Body)
				if err != nil {
					t.Fatal(err)
				}
				return response.StatusCode, string(body)
			}
			send("POST", "/old-sign-in")
			if status, body := send("POST", "/me"); status != 401 {
				t.Errorf("before a page was looked at: %d %s", status, body)
			}
			for range 3 {
				if status, body := send("GET", "/me"); status != 200 || body != "hello alice" {
					t.Errorf("%d %s", status, body)
				}
			}
			if status, body := send("POST", "/me"); status != 200 {
				t.Errorf("after that: %d %s", status, body)
			}
			list, err := kit.List(t.Context(), "alice", sessions.ListOptions{})
			if err != nil || len(list.Sessions) != 1 {
				t.Errorf("%d sessions, %v", len(list.Sessions), err)
			}
		})
	}
}
