package interop

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/oauth2"
)

// testOAuth2 lets a TokenSource refresh by itself: it adopts the rotated refresh
// token each time.
func testOAuth2(t *testing.T, a *app, userID string) {
	t.Helper()
	for name, style := range map[string]oauth2.AuthStyle{
		"client in the header, else in the form": oauth2.AuthStyleAutoDetect,
		"client in the header":                   oauth2.AuthStyleInHeader,
		"client in the form":                     oauth2.AuthStyleInParams,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := oauth2.Config{
				ClientID:     projectID,
				ClientSecret: clientKey,
				Endpoint:     oauth2.Endpoint{TokenURL: a.base + "/auth/oauth/token", AuthStyle: style},
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			first := a.create(t, userID)
			source := config.TokenSource(ctx, &oauth2.Token{RefreshToken: first.RefreshToken})

			status, body := do(t, oauth2.NewClient(ctx, source), request(t, http.MethodGet, a.base+"/me", ""))
			if status != http.StatusOK || !strings.Contains(string(body), userID) ||
				!strings.Contains(string(body), first.SessionID) {
				t.Fatalf("/me: %d %s", status, body)
			}

			// With an hour to spare no token is ever fresh enough, so that each call
			// refreshes.
			always := oauth2.ReuseTokenSourceWithExpiry(&oauth2.Token{}, source, time.Hour)
			const refreshes = 60
			seen := map[string]bool{first.RefreshToken: true}
			var last *oauth2.Token
			for i := range refreshes {
				token, err := always.Token()
				if err != nil {
					t.Fatalf("refresh %d: %v", i, err)
				}
				if seen[token.RefreshToken] || !strings.HasPrefix(token.RefreshToken, "srt1_") {
					t.Fatalf("refresh %d did not rotate", i)
				}
				if left := time.Until(token.Expiry); token.Type() != "Bearer" || left > 30*time.Second ||
					left < 15*time.Second {
					t.Fatalf("refresh %d: type %q, %v left", i, token.Type(), left)
				}
				seen[token.RefreshToken] = true
				last = token
			}

			var callers sync.WaitGroup
			for range 8 {
				callers.Go(func() {
					for range 4 {
						if _, err := always.Token(); err != nil {
							t.Errorf("together: %v", err)
						}
					}
				})
			}
			callers.Wait()

			status, _ = do(t, oauth2.NewClient(ctx, oauth2.StaticTokenSource(last)),
				request(t, http.MethodGet, a.base+"/me", ""))
			if status != http.StatusOK {
				t.Errorf("/me after %d refreshes: %d", refreshes, status)
			}

			// The first token was spent long ago: two holders, so the session ends for
			// both.
			_, err := config.TokenSource(ctx, &oauth2.Token{RefreshToken: first.RefreshToken}).Token()
			wantInvalidGrant(t, "a spent token", err)
			_, err = always.Token()
			wantInvalidGrant(t, "after a replay", err)
			status, _ = do(t, oauth2.NewClient(ctx, oauth2.StaticTokenSource(last)),
				request(t, http.MethodGet, a.base+"/me", ""))
			if status != http.StatusUnauthorized {
				t.Errorf("/me after a replay: %d", status)
			}
		})
	}
}

func wantInvalidGrant(t *testing.T, what string, err error) {
	t.Helper()
	var refused *oauth2.RetrieveError
	if !errors.As(err, &refused) || refused.ErrorCode != "invalid_grant" ||
		refused.Response.StatusCode != http.StatusBadRequest {
		t.Errorf("%s: %v, want invalid_grant", what, err)
	}
}
