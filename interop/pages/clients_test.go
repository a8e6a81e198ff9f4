package pages

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

// verifier verifies access tokens in a service that knows only the address of the JWK set.
func verifier(ctx context.Context, issuer, audience, jwksURL string) *oidc.IDTokenVerifier {
	return oidc.NewVerifier(issuer, oidc.NewRemoteKeySet(ctx, jwksURL), &oidc.Config{
		ClientID:             audience,
		SupportedSigningAlgs: []string{oidc.ES256},
	})
}

func TestAnotherService(t *testing.T) {
	t.Parallel()
	kit := sessionstest.New(t, func(c *sessions.Config) {
		c.Issuer, c.Audience, c.Now = "https://app.example", "app", nil // the verifier has the real clock
	})
	server := httptest.NewServer(http.Handler(sessions.NewHandler(kit.Manager)))
	defer server.Close()
	text := kit.SignIn(t, "alice").Grant.AccessToken.Reveal()
	jwks := server.URL + "/.well-known/jwks.json"
	token, err := verifier(t.Context(), "https://app.example", "app", jwks).Verify(t.Context(), text)
	if err != nil || token.Subject != "alice" {
		t.Fatalf("%+v, %v", token, err)
	}
	if _, err := verifier(t.Context(), "https://app.example", "another", jwks).Verify(t.Context(), text); err == nil {
		t.Error("verified for another audience")
	}
	if _, err := verifier(t.Context(), "https://other.example", "app", jwks).Verify(t.Context(), text); err == nil {
		t.Error("verified for another issuer")
	}
	if _, err := verifier(t.Context(), "https://app.example", "app", jwks).Verify(t.Context(), text+"A"); err == nil {
		t.Error("verified with another signature")
	}
}
