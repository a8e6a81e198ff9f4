package sessions

// Tested in package httpapi.

import (
	"encoding/json"
	"net/http"
	"strings"
)

// metadataJSON is what clients discover of an authorization server (RFC 8414, section 2, and OpenID
// Connect Discovery 1.0, section 3), as far as it applies to this one.
type metadataJSON struct {
	Issuer                string   `json:"issuer"`
	TokenEndpoint         string   `json:"token_endpoint"`
	RevocationEndpoint    string   `json:"revocation_endpoint"`
	JWKSetURI             string   `json:"jwks_uri"`
	GrantTypes            []string `json:"grant_types_supported"`
	ResponseTypes         []string `json:"response_types_supported"`
	TokenAuthMethods      []string `json:"token_endpoint_auth_methods_supported"`
	RevocationAuthMethods []string `json:"revocation_endpoint_auth_methods_supported"`
	SubjectTypes          []string `json:"subject_types_supported"`
	// IDTokenAlgorithms is read by go-oidc and others for the algorithm of every token that they
	// verify.
	IDTokenAlgorithms []string `json:"id_token_signing_alg_values_supported"`
}

func (m *Manager) metadata() ([]byte, error) {
	base := strings.TrimRight(m.cfg.BaseURL, "/")
	all := []string{"client_secret_basic", "client_secret_post", "none"}
	token := all
	switch {
	case len(m.cfg.ClientKeys) == 0:
		token = all[2:]
	case m.cfg.RequireClientKey:
		token = all[:2]
	}
	return json.Marshal(metadataJSON{
		Issuer:             m.cfg.Issuer,
		TokenEndpoint:      base + "/auth/oauth/token",
		RevocationEndpoint: base + "/auth/oauth/revoke",
		JWKSetURI:          base + "/.well-known/jwks.json",
		GrantTypes:         []string{"refresh_token"},
		// Required, and empty, because there is no authorization endpoint.
		ResponseTypes:         []string{},
		TokenAuthMethods:      token,
		RevocationAuthMethods: all, // no method is looked at
		SubjectTypes:          []string{"public"},
		IDTokenAlgorithms:     []string{"ES256"},
	})
}

// Metadata serves the authorization server metadata, by which OAuth and OpenID Connect clients find
// the token endpoint, the revocation endpoint and the JWK set. They look for it at paths that are
// made of [Config.Issuer], which the host's own router serves:
//
//	mux.Handle("GET /.well-known/oauth-authorization-server", handler.Metadata()) // RFC 8414
//	mux.Handle("GET /.well-known/openid-configuration", handler.Metadata())       // OpenID Connect
//
// These are for an issuer without a path. For https://app.example/auth they are
// /.well-known/oauth-authorization-server/auth and /auth/.well-known/openid-configuration. If
// [Config.ProjectID] is set, the Handler itself serves the latter at
// /projects/{project_id}/.well-known/openid-configuration, for an issuer that is BaseURL followed
// by /projects/ and the id.
//
// It needs [Config.BaseURL]; without it the answer is 500. Every URL comes from the Config, never
// from the Host of a request.
func (h *Handler) Metadata() http.Handler {
	content, err := h.m.metadata()
	if h.m.cfg.BaseURL == "" {
		err = miswired("Metadata needs Config.BaseURL.")
	}
	etag := etagOf(content)
	return h.endpoint(methods(http.MethodGet), func(w http.ResponseWriter, r *http.Request) error {
		if err != nil {
			return err
		}
		servePublic(w, r, "application/json; charset=utf-8", etag, content)
		return nil
	})
}
