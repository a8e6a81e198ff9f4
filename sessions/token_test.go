package sessions_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sessile-go/sessile/sessions"
)

// An answer with "[redacted]" and 200 passes every test of the host that looks at the
// status.
func TestATokenIsNotEncodedByAccident(t *testing.T) {
	t.Parallel()
	grant := newKit(t).create(t, sessions.CreateParams{})
	for name, v := range map[string]any{
		"itself":       grant.AccessToken,
		"in a map":     map[string]any{"token": grant.AccessToken},
		"in a grant":   grant,
		"by a pointer": &grant,
		"as a key":     map[sessions.Token]int{grant.RefreshToken: 1},
		"empty":        sessions.Token{},
	} {
		text, err := json.Marshal(v)
		if len(text) > 0 || err == nil || !strings.Contains(err.Error(), "Token.Reveal") || !strings.Contains(err.Error(), "Manager.WriteGrant") {
			t.Errorf("json, %s: %s, %v; want an error that names the cure", name, text, err)
		}
		var unsupported *xml.UnsupportedTypeError // a map
		text, err = xml.Marshal(v)
		if err == nil || !errors.As(err, &unsupported) && !strings.Contains(err.Error(), "Token.Reveal") {
			t.Errorf("xml, %s: %s, %v", name, text, err)
		}
	}
}

func TestALogWithATokenInItShowsNone(t *testing.T) {
	t.Parallel()
	grant := newKit(t).create(t, sessions.CreateParams{})
	for name, handler := range map[string]func(*bytes.Buffer) slog.Handler{
		"json": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
		"text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
	} {
		for what, v := range map[string]any{
			"token": grant.AccessToken, "pointer": &grant.AccessToken, "grant": grant, "wrapped": struct{ Grant sessions.Grant }{grant},
			"map": map[string]sessions.Token{"token": grant.RefreshToken}, "error": fmt.Errorf("for %v", grant.AccessToken),
		} {
			var b bytes.Buffer
			slog.New(handler(&b)).Info("signed in", what, v)
			line := b.String()
			if strings.Contains(line, "eyJ") || strings.Contains(line, "srt1_") || strings.Contains(line, "0xc0") && name == "json" {
				t.Errorf("%s, %s: %s", name, what, line)
			}
			if what == "token" && !strings.Contains(line, "[redacted]") {
				t.Errorf("%s, %s: %s", name, what, line)
			}
			if !strings.Contains(line, "[redacted]") && !strings.Contains(line, "Token.Reveal") && what != "pointer" {
				t.Errorf("%s, %s: %s", name, what, line)
			}
		}
	}
}

func TestWriteGrantAnswersAsTheEndpointsDo(t *testing.T) {
	t.Parallel()
	key, err := sessions.NewServerKey(sessions.AccessServer)
	if err != nil {
		t.Fatal(err)
	}
	hashed, err := sessions.HashServerKey("backend", key)
	if err != nil {
		t.Fatal(err)
	}
	k := newKit(t, func(c *sessions.Config) { c.ServerKeys = []sessions.ServerKey{hashed} })
	for body, p := range map[string]sessions.CreateParams{
		`{"user_id":"alice"}`:                                         {UserID: "alice"},
		`{"user_id":"alice","handoff":true}`:                          {UserID: "alice", Handoff: true},
		`{"user_id":"bob","is_impersonation":true,"reason":"ticket"}`: {UserID: "bob", Impersonation: true, By: "backend", Reason: "ticket"},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/auth/sessions", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+key)
		endpoint, own := httptest.NewRecorder(), httptest.NewRecorder()
		sessions.NewHandler(k.Manager).ServeHTTP(endpoint, r)
		if err := k.WriteGrant(own, k.create(t, p)); err != nil {
			t.Fatal(err)
		}
		var want, got map[string]any
		if json.Unmarshal(endpoint.Body.Bytes(), &want) != nil || json.Unmarshal(own.Body.Bytes(), &got) != nil || endpoint.Code != own.Code {
			t.Fatalf("%d, %d: %s", endpoint.Code, own.Code, own.Body)
		}
		for name, value := range want {
			switch name {
			case "session_id", "access_token", "refresh_token", "handoff_code": // of another session
				if len(fmt.Sprint(got[name])) != len(fmt.Sprint(value)) {
					t.Errorf("%s: %v", name, got[name])
				}
			default:
				if got[name] != value {
					t.Errorf("%s: %v, want %v", name, got[name], value)
				}
			}
		}
		if len(got) != len(want) {
			t.Errorf("%d members, want %d", len(got), len(want))
		}
		for _, name := range []string{"Cache-Control", "Content-Type", "X-Content-Type-Options"} {
			if own.Header().Get(name) != endpoint.Header().Get(name) || own.Header().Get(name) == "" {
				t.Errorf("%s: %q, want %q", name, own.Header().Get(name), endpoint.Header().Get(name))
			}
		}
	}

	w := httptest.NewRecorder()
	if err := k.WriteGrant(w, sessions.Grant{}); err == nil || w.Body.Len() > 0 || len(w.Header()) > 0 {
		t.Errorf("an empty grant: %v, %d bytes, %v", err, w.Body.Len(), w.Header())
	}
}
