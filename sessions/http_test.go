package sessions_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sessile-go/sessile/sessions"
)

// With a project every refusal of nobody names access types, as the published SDK expects.
func TestOnlyWithAProjectARefusalNamesAccessTypes(t *testing.T) {
	t.Parallel()
	for project, want := range map[string]bool{"7d3f0c5e-9a0b-4c1d-8e2f-3a4b5c6d7e8f": true, "": false} {
		m := newKit(t, func(c *sessions.Config) { c.ProjectID, c.Audience = project, "my-app" }).Manager
		for name, refuse := range map[string]func(http.ResponseWriter, *http.Request){
			"the API": sessions.NewHandler(m).Current().ServeHTTP,
			"the host": func(w http.ResponseWriter, r *http.Request) {
				m.WriteError(w, r, fmt.Errorf("list: %w", sessions.ErrNoCredentials))
			},
			"step-up after Optional": func(w http.ResponseWriter, r *http.Request) {
				ctx, err := m.Admit(w, r, sessions.NeedNothing, sessions.Stateless)
				if err != nil {
					t.Fatal(err)
				}
				if err = sessions.GuardRecent(ctx, time.Minute); !errors.Is(err, sessions.ErrNoCredentials) {
					t.Errorf("step-up: %v", err)
				}
				sessions.WriteError(w, r, err)
			},
		} {
			w := httptest.NewRecorder()
			refuse(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
			if named := strings.Contains(w.Body.String(), "access type"); w.Code != 401 || named != want {
				t.Errorf("project %q, %s: %d %s", project, name, w.Code, w.Body)
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
