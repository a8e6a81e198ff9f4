package middlewaretest

import (
	"net/http"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/sessile-go/sessile/sessions"
)

// proxies checks an app that clients reach through proxies.
func (s *suite) proxies(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	const agent = "Mozilla/5.0"

	for _, test := range []struct {
		name      string
		trusted   []netip.Prefix
		peer      string
		forwarded []string
		ip        string
	}{
		{"no proxy", nil, "192.0.2.1:4711", nil, "192.0.2.1"},
		{"no proxy is trusted", nil, "10.0.0.2:4711", []string{"203.0.113.7"}, "10.0.0.2"},
		{"a trusted one", trusted, "10.0.0.2:4711", []string{"203.0.113.7"}, "203.0.113.7"},
		{"what the client has written itself", trusted, "10.0.0.2:4711", []string{"198.51.100.9, 203.0.113.7"},
			"203.0.113.7"},
		{"two of them", trusted, "10.0.0.2:4711", []string{"198.51.100.9, 203.0.113.7, 10.0.0.3"}, "203.0.113.7"},
		{"two of them, a line each", trusted, "10.0.0.2:4711", []string{"203.0.113.7", "10.0.0.3"}, "203.0.113.7"},
		{"past the proxy", trusted, "192.0.2.1:4711", []string{"10.0.0.3"}, "192.0.2.1"},
		{"from within", trusted, "10.0.0.2:4711", []string{"10.0.0.3"}, "10.0.0.3"},
		{"no address", trusted, "10.0.0.2:4711", []string{"unknown"}, "10.0.0.2"},
		{"IPv6", trusted, "[fd00::2]:4711", []string{"2001:db8::7"}, "2001:db8::7"},
		{"a unix socket", trusted, "@", []string{"203.0.113.7"}, ""},
	} {
		for _, m := range mounts {
			s.run(t, "the client's address/"+test.name+"/"+m.name, func(t *testing.T) {
				h := newHost(t, func(c *sessions.Config) { c.TrustedProxies = test.trusted })
				if got := s.recorded(t, h, s.mounted(t, h, m.prefix, m.whole), m.prefix, test.peer, test.forwarded,
					agent); got != (sessions.Client{IP: test.ip, UserAgent: agent}) {
					t.Errorf("recorded %+v, want %s", got, test.ip)
				}
			})
		}
	}

	s.run(t, "the client's address/NoClientInfo", func(t *testing.T) {
		h := newHost(t, func(c *sessions.Config) { c.TrustedProxies, c.NoClientInfo = trusted, true })
		if got := s.recorded(t, h, s.mounted(t, h, "/api", false), "/api", "10.0.0.2:4711", []string{"203.0.113.7"},
			agent); got != (sessions.Client{}) {
			t.Errorf("recorded %+v", got)
		}
	})

	// These headers of a client change no answer.
	for _, m := range mounts {
		for _, path := range []string{
			"/me", m.prefix + "/auth/sessions/current", m.prefix + "/auth/sessions?user_id=me",
			m.prefix + "/.well-known/jwks.json",
		} {
			s.run(t, "the address of the app/"+m.name+"/"+path, func(t *testing.T) {
				h := newHost(t, func(c *sessions.Config) { c.TrustedProxies = trusted })
				app := s.mounted(t, h, m.prefix, m.whole)
				for _, as := range []string{bearer(token(h.SignIn(t, "alice"))), bearer("x"), ""} {
					plain := newRequest(t, http.MethodGet, path, "", as)
					told := newRequest(t, http.MethodGet, path, "", as, "X-Forwarded-For: 203.0.113.7",
						"X-Forwarded-Proto: http", "X-Forwarded-Host: evil.example",
						"X-Forwarded-Prefix: /evil", "X-Forwarded-Port: 81", "X-Real-Ip: 203.0.113.7",
						"Forwarded: for=203.0.113.7;host=evil.example", "X-Original-Url: /open", "X-Rewrite-Url: /open",
						"X-Http-Method-Override: DELETE")
					for _, r := range []*http.Request{plain, told} {
						r.RemoteAddr = "10.0.0.2:4711"
					}
					a, b := s.serve(app, plain), s.serve(app, told)
					a.Header().Del("X-Request-Id")
					b.Header().Del("X-Request-Id")
					if a.Code != b.Code || a.Body.String() != b.Body.String() ||
						!reflect.DeepEqual(a.Header(), b.Header()) {
						t.Errorf("%d %v %s\n%d %v %s", a.Code, a.Header(), a.Body, b.Code, b.Header(), b.Body)
					}
					if strings.Contains(b.Body.String(), "evil") {
						t.Errorf("%s", b.Body)
					}
				}
			})
		}
	}
}

// recorded refreshes a session and returns what is recorded of the client.
func (s *suite) recorded(t *testing.T, h *host, app http.Handler, prefix, peer string, forwarded []string,
	agent string) sessions.Client {
	t.Helper()
	alice := h.SignIn(t, "alice")
	r := newRequest(t, http.MethodPost, prefix+"/auth/sessions/current/refresh", "", "x-stack-refresh-token: "+
		alice.Grant.RefreshToken.Reveal(), "User-Agent: "+agent, "X-Real-Ip: 198.51.100.1")
	r.RemoteAddr = peer
	for _, line := range forwarded {
		r.Header.Add("X-Forwarded-For", line)
	}
	if w := s.serve(app, r); w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	row, err := h.Store.Get(t.Context(), alice.Grant.Session.ID)
	if err != nil {
		t.Fatal(err)
	}
	return row.Client
}
