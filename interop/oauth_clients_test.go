package interop

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// oauthChecks is how many checks oauth.mjs makes.
const oauthChecks = 35

// testOAuthClients lets clients on Node discover the example by its issuer, refresh,
// revoke and verify.
func testOAuthClients(t *testing.T, a *app, userID string) {
	t.Helper()
	out := node(t, "oauth.mjs", nil, "BASE_URL="+a.base, "ISSUER="+a.issuer(), "PROJECT_ID="+projectID,
		"USER_ID="+userID,
		"SERVER_KEY="+serverKey, "CLIENT_KEY="+clientKey)
	var verdicts [][2]string
	if err := json.Unmarshal(out, &verdicts); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	for _, v := range verdicts {
		if name, refusal := v[0], v[1]; refusal != "" {
			t.Errorf("%s: %s", name, refusal)
		}
	}
	if len(verdicts) != oauthChecks {
		t.Errorf("%d checks, want %d", len(verdicts), oauthChecks)
	}
}

// testGoOIDC discovers the example by its issuer, verifies, and refreshes with oauth2 at
// the endpoint that it has found.
func testGoOIDC(t *testing.T, a *app, userID string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	provider, err := oidc.NewProvider(ctx, a.issuer())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := oidc.NewProvider(ctx, a.base+"/api/v1/projects/another"); err == nil {
		t.Error("another project was found")
	}
	var found struct {
		RevocationEndpoint string   `json:"revocation_endpoint"`
		GrantTypes         []string `json:"grant_types_supported"`
	}
	if err := provider.Claims(&found); err != nil || found.RevocationEndpoint != a.base+"/api/v1/auth/oauth/revoke" ||
		!slices.Equal(found.GrantTypes, []string{"refresh_token"}) {
		t.Errorf("%+v, %v", found, err)
	}

	g := a.create(t, userID)
	config := oauth2.Config{ClientID: projectID, ClientSecret: clientKey, Endpoint: provider.Endpoint()}
	token, err := config.TokenSource(ctx, &oauth2.Token{RefreshToken: g.RefreshToken}).Token()
	if err != nil {
		t.Fatal(err)
	}
	verifier := provider.Verifier(&oidc.Config{ClientID: projectID})
	for _, access := range []string{g.AccessToken, token.AccessToken} {
		verified, err := verifier.Verify(ctx, access)
		if err != nil {
			t.Fatal(err)
		}
		var claims struct {
			SessionID string `json:"sid"`
		}
		if err := verified.Claims(&claims); err != nil || verified.Subject != userID ||
			claims.SessionID != g.SessionID {
			t.Errorf("subject %s, %+v, %v", verified.Subject, claims, err)
		}
	}
	if _, err := provider.Verifier(&oidc.Config{ClientID: "another"}).Verify(ctx, g.AccessToken); err == nil {
		t.Error("verified for another audience")
	}
	segments := strings.Split(g.AccessToken, ".")
	if _, err := verifier.Verify(ctx, segments[0]+"."+segments[1]+"."+flip(segments[2])); err == nil {
		t.Error("verified with another signature")
	}

	if _, err := config.TokenSource(ctx, token).Token(); err != nil {
		t.Error(err)
	}
	again, err := config.TokenSource(ctx, &oauth2.Token{RefreshToken: token.RefreshToken}).Token()
	if err != nil {
		t.Fatal(err)
	}
	_, err = config.TokenSource(ctx, &oauth2.Token{RefreshToken: g.RefreshToken}).Token()
	wantInvalidGrant(t, "a spent token", err)
	_, err = config.TokenSource(ctx, &oauth2.Token{RefreshToken: again.RefreshToken}).Token()
	wantInvalidGrant(t, "after a replay", err)
}
