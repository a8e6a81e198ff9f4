package sessions

// Tested in package httpapi.

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"maps"
	"net/http"
	"strings"
	"time"
)

//go:embed openapi.yaml
var openapi []byte

// JWKS serves GET /.well-known/jwks.json: the public keys of access tokens.
func (h *Handler) JWKS() http.Handler {
	etag := etagOf(h.m.jwks)
	return h.endpoint(methods(http.MethodGet), func(w http.ResponseWriter, r *http.Request) error {
		servePublic(w, r, "application/json; charset=utf-8", etag, h.m.jwks)
		return nil
	})
}

// ofProject serves a document at the path of the x-stack family, for [Config.ProjectID] alone.
func (h *Handler) ofProject(document http.Handler) http.Handler {
	return h.endpoint(methods(http.MethodGet), func(w http.ResponseWriter, r *http.Request) error {
		project, err := pathValue(r, paramProjectID)
		switch {
		case err != nil:
			return err
		case project != h.m.cfg.ProjectID:
			return &APIError{Status: 404, Code: codeNotFound, Message: "There is no such project."}
		}
		document.ServeHTTP(w, r)
		return nil
	})
}

// OpenAPI serves GET /auth/openapi.yaml: this API as OpenAPI 3.1.
func (h *Handler) OpenAPI() http.Handler {
	etag := etagOf(openapi)
	return h.endpoint(methods(http.MethodGet), func(w http.ResponseWriter, r *http.Request) error {
		servePublic(w, r, "application/yaml; charset=utf-8", etag, openapi)
		return nil
	})
}

func etagOf(content []byte) string {
	sum := sha256.Sum256(content)
	return `"` + hex.EncodeToString(sum[:16]) + `"`
}

// servePublic serves what anyone may keep for an hour. ServeContent answers conditional and range
// requests. If a request asks for several ranges, it would write a part with a header for each, up
// to hundreds of times the size of the document, so such a request gets the whole (RFC 9110,
// section 14.2).
func servePublic(w http.ResponseWriter, r *http.Request, contentType, etag string, content []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", "public, max-age=3600")
	h.Set("Etag", etag)
	h.Set("X-Content-Type-Options", "nosniff")
	if strings.Contains(r.Header.Get("Range"), ",") {
		whole := *r // the host's request is not changed
		whole.Header = maps.Clone(r.Header)
		whole.Header.Del("Range")
		r = &whole
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}
