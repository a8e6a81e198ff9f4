package proof_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sessile-go/sessile/sessions"
)

// service is one of several that share a database and a set of secrets.
type service struct {
	*sessions.Manager
	handler http.Handler
	mu      sync.Mutex
	events  []sessions.Event
}

func newService(t *testing.T, st sessions.Store, audience string, former ...string) *service {
	t.Helper()
	s := &service{}
	c := denyConfig(st)
	c.Audience, c.FormerAudiences = audience, former
	c.ProjectID = "house" // the same for all, so that they read the headers of the x-stack family
	c.Cookies.Enabled = true
	c.OnEvent = func(_ context.Context, e sessions.Event) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.events = append(s.events, e)
	}
	m, err := sessions.New(c)
	if err != nil {
		t.Fatal(err)
	}
	s.Manager, s.handler = m, sessions.NewHandler(m)
	return s
}

func (s *service) takeEvents() []sessions.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	events := s.events
	s.events = nil
	return events
}

func (s *service) signIn(t *testing.T) sessions.Grant {
	t.Helper()
	g, err := s.Create(t.Context(), sessions.CreateParams{UserID: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// do makes a request; an answer with tokens in it, in the body or in cookies, has them.
func (s *service) do(t *testing.T, method, path, body string, header ...string) (status int, access, refresh string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	var answer struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
	}
	_ = json.Unmarshal(w.Body.Bytes(), &answer) // not every answer is JSON
	for _, c := range w.Result().Cookies() {
		switch {
		case c.MaxAge < 0:
		case strings.HasSuffix(c.Name, "access"):
			answer.Access = c.Value
		case strings.HasSuffix(c.Name, "refresh"):
			answer.Refresh = c.Value
		}
	}
	return w.Code, answer.Access, answer.Refresh
}

// presentations are the ways to use a grant of another service. Those that end the
// session are in endings.
var presentations = map[string]func(t *testing.T, s *service, g sessions.Grant) (ok bool, access, refresh string){
	"refresh": func(t *testing.T, s *service, g sessions.Grant) (bool, string, string) {
		t.Helper()
		code, access, refresh := s.do(t, http.MethodPost, "/auth/sessions/current/refresh", "", "X-Stack-Refresh-Token",
			g.RefreshToken.Reveal())
		return code == http.StatusOK, access, refresh
	},
	"refresh by JSON": func(t *testing.T, s *service, g sessions.Grant) (bool, string, string) {
		t.Helper()
		code, access, refresh := s.do(t, http.MethodPost, "/auth/sessions/current/refresh",
			`{"refresh_token":"`+g.RefreshToken.Reveal()+`"}`, "Content-Type", "application/json")
		return code == http.StatusOK, access, refresh
	},
	"refresh by cookie": func(t *testing.T, s *service, g sessions.Grant) (bool, string, string) {
		t.Helper()
		code, access, refresh := s.do(t, http.MethodPost, "/auth/sessions/current/refresh", "", "Cookie",
			cookieOf(t, s, g))
		return code == http.StatusOK, access, refresh
	},
	"the token endpoint": func(t *testing.T, s *service, g sessions.Grant) (bool, string, string) {
		t.Helper()
		form := url.Values{
			"grant_type": {"refresh_token"}, "refresh_token": {g.RefreshToken.Reveal()}, "client_id": {"house"},
		}
		code, access, refresh := s.do(t, http.MethodPost, "/auth/oauth/token", form.Encode(), "Content-Type",
			"application/x-www-form-urlencoded")
		return code == http.StatusOK, access, refresh
	},
	"redeem": func(t *testing.T, s *service, g sessions.Grant) (bool, string, string) {
		t.Helper()
		code, access, refresh := s.do(t, http.MethodPost, "/auth/sessions/redeem", `{"code":"`+g.Handoff.Reveal()+`"}`,
			"Content-Type", "application/json")
		return code == http.StatusOK, access, refresh
	},
	"the access token": func(t *testing.T, s *service, g sessions.Grant) (bool, string, string) {
		t.Helper()
		code, _, _ := s.do(t, http.MethodGet, "/auth/sessions/current", "", "Authorization",
			"Bearer "+g.AccessToken.Reveal())
		return code == http.StatusOK, "", ""
	},
}

var endings = map[string]func(t *testing.T, s *service, g sessions.Grant) (code int){
	"sign-out by refresh token": func(t *testing.T, s *service, g sessions.Grant) int {
		t.Helper()
		code, _, _ := s.do(t, http.MethodDelete, "/auth/sessions/current", "", "X-Stack-Refresh-Token",
			g.RefreshToken.Reveal())
		return code
	},
	"sign-out by access token": func(t *testing.T, s *service, g sessions.Grant) int {
		t.Helper()
		code, _, _ := s.do(t, http.MethodDelete, "/auth/sessions/current", "", "Authorization",
			"Bearer "+g.AccessToken.Reveal())
		return code
	},
	"sign-out by cookie": func(t *testing.T, s *service, g sessions.Grant) int {
		t.Helper()
		code, _, _ := s.do(t, http.MethodDelete, "/auth/sessions/current", "", "Cookie", cookieOf(t, s, g),
			"Sec-Fetch-Site", "same-origin")
		return code
	},
	"revoke": func(t *testing.T, s *service, g sessions.Grant) int {
		t.Helper()
		code, _, _ := s.do(t, http.MethodPost, "/auth/oauth/revoke", url.Values{
			"token": {g.RefreshToken.Reveal()},
		}.Encode(), "Content-Type", "application/x-www-form-urlencoded")
		return code
	},
	"revoke by access token": func(t *testing.T, s *service, g sessions.Grant) int {
		t.Helper()
		code, _, _ := s.do(t, http.MethodPost, "/auth/oauth/revoke", url.Values{
			"token": {g.AccessToken.Reveal()},
		}.Encode(), "Content-Type", "application/x-www-form-urlencoded")
		return code
	},
}

func cookieOf(t *testing.T, s *service, g sessions.Grant) string {
	t.Helper()
	w := httptest.NewRecorder()
	if err := s.SetCookies(w, g); err != nil {
		t.Fatal(err)
	}
	var pairs []string
	for _, c := range w.Result().Cookies() {
		if c.MaxAge > 0 && !strings.Contains(c.Name, "access") {
			pairs = append(pairs, c.Name+"="+c.Value)
		}
	}
	return strings.Join(pairs, "; ")
}

func audienceOf(t *testing.T, token string) string {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("not an access token: %d segments", len(parts))
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims struct {
		Audience string `json:"aud"`
	}
	if err != nil || json.Unmarshal(payload, &claims) != nil {
		t.Fatalf("not an access token: %v", err)
	}
	return claims.Audience
}

func offered(t *testing.T, s *service, how string) sessions.Grant {
	t.Helper()
	if how != "redeem" {
		return s.signIn(t)
	}
	g, err := s.Create(t.Context(), sessions.CreateParams{UserID: "ada", Handoff: true})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// Two services on one database with one set of secrets take their own tokens only.
func TestServicesThatShareAStoreTakeTheirOwnTokensOnly(t *testing.T) {
	t.Parallel()
	for _, kind := range openStores {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			p := kind.open(t)
			shop, desk := newService(t, p.handle(t), "shop"), newService(t, p.handle(t), "desk")
			for _, how := range slices.Sorted(maps.Keys(presentations)) {
				g := offered(t, shop, how)
				shop.takeEvents()
				if ok, access, refresh := presentations[how](t, desk, g); ok || access != "" || refresh != "" {
					t.Errorf("%s: the desk took the shop's: %v", how, ok)
				}
				for _, e := range desk.takeEvents() {
					if e.Type != sessions.EventImpersonationRefused { // of a hand-off code that is not known
						t.Errorf("%s: event %s", how, e.Type)
					}
				}
				if s, err := shop.Get(t.Context(), g.Session.ID); err != nil || s != g.Session {
					t.Errorf("%s: the row is now %+v, %v", how, s, err)
				}
				if ok, _, _ := presentations[how](t, shop, g); !ok {
					t.Errorf("%s: the shop refuses its own", how)
				}
			}
			for _, how := range slices.Sorted(maps.Keys(endings)) {
				g := shop.signIn(t)
				endings[how](t, desk, g)
				if s, err := shop.Get(t.Context(), g.Session.ID); err != nil || !s.EndedAt.IsZero() {
					t.Errorf("%s: the desk has ended the shop's session: %+v, %v", how, s, err)
				}
				if code := endings[how](t, shop, g); code != http.StatusOK {
					t.Errorf("%s: the shop answers %d to its own", how, code)
				}
			}
			// The user is the same, so a password change ends both.
			shop.signIn(t)
			if ended, err := desk.EndMany(t.Context(), sessions.EndManyParams{UserID: "ada"}); err != nil ||
				len(ended) < 2 {
				t.Errorf("%d, %v", len(ended), err)
			}
		})
	}
}

// After a rename the tokens of the former name are taken, and answered with the new
// one's.
func TestARenamedAudienceTakesWhatTheFormerOneGave(t *testing.T) {
	t.Parallel()
	for _, kind := range openStores {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			p := kind.open(t)
			before, after := newService(t, p.handle(t), "shop"), newService(t, p.handle(t), "store", "till", "shop")
			only := newService(t, p.handle(t), "store") // once the former names have been dropped
			for _, how := range slices.Sorted(maps.Keys(presentations)) {
				g := offered(t, before, how)
				if ok, access, refresh := presentations[how](t, only, g); ok || access != "" || refresh != "" {
					t.Errorf("%s: taken without FormerAudiences", how)
				}
				ok, access, refresh := presentations[how](t, after, g)
				if !ok {
					t.Errorf("%s: refused", how)
					continue
				}
				for _, e := range after.takeEvents() {
					if e.OldSecret {
						t.Errorf("%s: a former audience counts as an old secret", how)
					}
				}
				if how == "the access token" {
					continue
				}
				if got := audienceOf(t, access); got != "store" {
					t.Errorf("%s: answered with the audience %q", how, got)
				}
				if _, err := before.Refresh(t.Context(), refresh, sessions.Client{}); !errors.Is(err,
					sessions.ErrMalformed) {
					t.Errorf("%s: the refresh token is of the former audience: %v", how, err)
				}
				if _, err := only.Refresh(t.Context(), refresh, sessions.Client{}); err != nil {
					t.Errorf("%s: the refresh token is not of the new audience: %v", how, err)
				}
			}
			for _, how := range slices.Sorted(maps.Keys(endings)) {
				g := before.signIn(t)
				if code := endings[how](t, after, g); code != http.StatusOK {
					t.Errorf("%s: %d", how, code)
				}
				if s, err := before.Get(t.Context(), g.Session.ID); err != nil || s.EndedAt.IsZero() {
					t.Errorf("%s: not ended: %+v, %v", how, s, err)
				}
			}
			// A code is used once, whatever the name that redeems it.
			g := offered(t, before, "redeem")
			if _, err := after.Redeem(t.Context(), g.Handoff.Reveal(), sessions.Client{}); err != nil {
				t.Error(err)
			}
			if _, err := before.Redeem(t.Context(), g.Handoff.Reveal(), sessions.Client{}); !errors.Is(err,
				sessions.ErrInvalidHandoff) {
				t.Errorf("redeemed again: %v", err)
			}
			if s, err := after.Get(t.Context(), g.Session.ID); err != nil || s.EndReason != sessions.EndHandoffReplay {
				t.Errorf("%+v, %v", s, err)
			}
		})
	}
}
