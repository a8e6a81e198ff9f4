package sessions_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sessile-go/sessile/sessions"
)

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
		`{"user_id":"alice"}`:                {UserID: "alice"},
		`{"user_id":"alice","handoff":true}`: {UserID: "alice", Handoff: true},
		`{"user_id":"bob","is_impersonation":true,"reason":"ticket"}`: {
			UserID: "bob", Impersonation: true, By: "backend", Reason: "ticket",
		},
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
		if json.Unmarshal(endpoint.Body.Bytes(), &want) != nil || json.Unmarshal(own.Body.Bytes(), &got) != nil ||
			endpoint.Code != own.Code {
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
