package sessions_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

func TestTheAddressOfAClientInEveryForm(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		trusted, remote, forwarded, want string
	}{
		"as net/http leaves it":           {"", "192.0.2.1:4711", "", "192.0.2.1"},
		"as chi's RealIP leaves it":       {"", "192.0.2.1", "", "192.0.2.1"},
		"IPv6, as chi's RealIP leaves it": {"", "2001:db8::1", "", "2001:db8::1"},
		"IPv6 in brackets":                {"", "[2001:db8::1]", "", "2001:db8::1"},
		"IPv6 in brackets, with a port":   {"", "[2001:db8::1]:443", "", "2001:db8::1"},
		"with a zone":                     {"", "[fe80::1%eth0]:443", "", "fe80::1"},
		"a zone without a port":           {"", "fe80::1%eth0", "", "fe80::1"},
		"4-in-6":                          {"", "[::ffff:192.0.2.1]:443", "", "192.0.2.1"},
		"4-in-6 without a port":           {"", "::ffff:192.0.2.1", "", "192.0.2.1"},
		"IPv4 in brackets is none":        {"", "[192.0.2.1]", "", ""},
		"half a bracket is none":          {"", "[2001:db8::1", "", ""},
		"a name is none":                  {"", "localhost:80", "", ""},
		"nothing is none":                 {"", "", "203.0.113.7", ""},
		"forwarded by a bare address":     {"10.0.0.0/8", "10.0.0.2", "203.0.113.7", "203.0.113.7"},
		"forwarded with a port":           {"10.0.0.0/8", "10.0.0.2:80", "203.0.113.7:5678", "203.0.113.7"},
		"forwarded IPv6 with a port":      {"10.0.0.0/8", "10.0.0.2:80", "[2001:db8::1]:443", "2001:db8::1"},
		"forwarded IPv6 in brackets":      {"10.0.0.0/8", "10.0.0.2:80", "[2001:db8::1]", "2001:db8::1"},
		"forwarded through two, with ports": {
			"10.0.0.0/8", "10.0.0.2:80", "198.51.100.9:1, 203.0.113.7:5678 ,10.0.0.3:81", "203.0.113.7",
		},
		"forwarded 4-in-6": {
			"10.0.0.0/8", "10.0.0.2:80", "::ffff:203.0.113.7, ::ffff:10.0.0.3", "203.0.113.7",
		},
		"forwarded in quotes is not an address": {"10.0.0.0/8", "10.0.0.2:80", `"203.0.113.7"`, "10.0.0.2"},
		"an empty hop ends the walk":            {"10.0.0.0/8", "10.0.0.2:80", "203.0.113.7,", "10.0.0.2"},
		"a 4-in-6 network":                      {"::ffff:10.0.0.0/104", "10.0.0.2:80", "203.0.113.7", "203.0.113.7"},
		"a 4-in-6 network, and past it":         {"::ffff:10.0.0.0/104", "11.0.0.2:80", "203.0.113.7", "11.0.0.2"},
		"a 4-in-6 address": {
			"::ffff:10.0.0.2/128", "[::ffff:10.0.0.2]:80", "203.0.113.7", "203.0.113.7",
		},
		"all of IPv4, as 4-in-6": {"::ffff:0:0/96", "192.0.2.1:80", "203.0.113.7", "203.0.113.7"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := sessionstest.New(t, func(c *sessions.Config) {
				if test.trusted != "" {
					c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix(test.trusted)}
				}
			})
			r := httptest.NewRequest(http.MethodPost, "/", nil)
			r.RemoteAddr = test.remote
			r.Header.Set("X-Forwarded-For", test.forwarded)
			if got := k.RequestClient(r).IP; got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

// A framework that knows the address says it, and nothing else is looked at.
func TestTheHostKnowsTheAddress(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answer netip.Addr
		want   string
	}{
		"IPv4":        {netip.MustParseAddr("203.0.113.7"), "203.0.113.7"},
		"4-in-6":      {netip.MustParseAddr("::ffff:203.0.113.7"), "203.0.113.7"},
		"with a zone": {netip.MustParseAddr("fe80::1%eth0"), "fe80::1"},
		"none":        {netip.Addr{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := sessionstest.New(t, func(c *sessions.Config) {
				c.ClientIP = func(r *http.Request) netip.Addr {
					if r.URL.Path != "/sign-in" {
						t.Errorf("asked for %s", r.URL)
					}
					return test.answer
				}
			})
			r := httptest.NewRequest(http.MethodPost, "/sign-in", nil)
			r.Header.Set("X-Forwarded-For", "198.51.100.1")
			if got := k.RequestClient(r).IP; got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

func TestBadClientAddressConfig(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*sessions.Config){
		"sessions: Config.TrustedProxies[1]: ": func(c *sessions.Config) {
			c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), {}}
		},
		"sessions: Config.TrustedProxies[0]: ": func(c *sessions.Config) {
			c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("::ffff:10.0.0.0/95")}
		},
		"sessions: Config.ClientIP: ": func(c *sessions.Config) {
			c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
			c.ClientIP = func(*http.Request) netip.Addr { return netip.Addr{} }
		},
	} {
		config := exampleConfig()
		change(&config)
		if _, err := sessions.New(config); err == nil || !strings.HasPrefix(err.Error(), want) ||
			strings.Contains(err.Error(), "\n") {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
