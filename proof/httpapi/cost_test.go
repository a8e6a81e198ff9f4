package httpapi_test

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"strings"
	"testing"

	"github.com/sessile-go/sessile/sessions"
)

// costly is a request that anybody can send, or that a caller without rights can.
type costly struct {
	name, method, path string
	header             http.Header
	body               string
	// document is a document that anybody may read whole, if it is at path.
	document bool
}

func (c costly) size() int {
	n := len(c.path) + len(c.body)
	for name, values := range c.header {
		for _, v := range values {
			n += len(name) + len(v)
		}
	}
	return n
}

func (c costly) request() *http.Request {
	r := httptest.NewRequest(http.MethodGet, "http://sessile.test/", nil)
	r.Method, r.URL.Path = c.method, c.path
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader(c.body)), int64(len(c.body))
	maps.Copy(r.Header, c.header)
	return r
}

// discard is a client that reads nothing but the length.
type discard struct {
	header http.Header
	out    int
}

func (d *discard) Header() http.Header { return d.header }
func (*discard) WriteHeader(int)       {}
func (d *discard) Write(b []byte) (int, error) {
	d.out += len(b)
	return len(b), nil
}

// distinct fills size bytes with the shortest texts that all differ, in a form with
// one %s.
func distinct(size int, form, separator string) string {
	const digits = "abcdefghijklmnopqrstuvwxyz0123456789"
	var b strings.Builder
	for i := 0; b.Len() < size-64; i++ {
		if i > 0 {
			b.WriteString(separator)
		}
		name := string(digits[i%36]) + string(digits[i/36%36])
		if i >= 36*36 {
			name += string(digits[i/36/36%36])
		}
		fmt.Fprintf(&b, form, name)
	}
	return b.String()
}

// ranges asks for n single bytes, each in a part of its own.
func ranges(n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("%d-%d", i, i)
	}
	return "bytes=" + strings.Join(all, ",")
}

func costlyRequests(e *env) []costly {
	const kib, mib = 1 << 10, 1 << 20
	asJSON := http.Header{"Content-Type": {"application/json"}}
	asForm := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	// Nested as deep as it may be, and as many objects as there is room for.
	nested := `{"x":[` + strings.Repeat("{},", 64*kib/3-8) + `{}]}`
	deep := `{"x":[` + strings.Repeat(strings.Repeat(`{"":`, 14)+"1"+strings.Repeat("}", 14)+",", 64*kib/72-1) + `1]}`
	members := "{" + distinct(64*kib, `"%s":1`, ",") + "}"
	escaped := "{" + distinct(64*kib, `"%s\n":1`, ",") + "}"
	some := "{" + distinct(4*kib, `"%s":1`, ",") + "}"
	long := `{"` + strings.Repeat("n", 64*kib-16) + `":1}`
	brackets := `{"x":` + strings.Repeat("[", 64*kib-16)
	var all []costly
	for _, path := range []string{
		"/auth/sessions", "/auth/sessions/redeem", "/auth/oauth/token", "/auth/oauth/revoke",
	} {
		for name, body := range map[string]string{
			"nothing": "{}", "objects in an array": nested, "deep objects": deep, "many members": members,
			"members with escapes": escaped,
			"4 KiB of members":     some, "one long name": long, "brackets": brackets,
			"spaces": strings.Repeat(" ", 64*kib),
		} {
			all = append(all, costly{name: name, method: http.MethodPost, path: path, header: asJSON, body: body})
			if path == "/auth/sessions" {
				all = append(all, costly{
					name: name + ", by a key", method: http.MethodPost, path: path, header: http.Header{
						"Content-Type": asJSON["Content-Type"], "Authorization": {"Bearer " + e.serverKey},
					}, body: body,
				})
			}
		}
	}
	for _, path := range []string{"/auth/oauth/token", "/auth/oauth/revoke"} {
		for name, body := range map[string]string{
			"a form of many fields": distinct(64*kib, "%s=1", "&"), "a form of empty fields": strings.Repeat("&",
				64*kib), "a form of escapes": distinct(64*kib, "%%61%s", "&"),
			"a form with one field many times": strings.Repeat("token=&", 64*kib/7),
			"a form with a long token": "grant_type=refresh_token&refresh_token=x&token=" +
				strings.Repeat("%61", 21*kib),
		} {
			all = append(all, costly{name: name, method: http.MethodPost, path: path, header: asForm, body: body})
		}
	}
	dead := "srt1_" + strings.Repeat("A", 80)
	for name, header := range map[string]http.Header{
		"1 MB of X-Forwarded-For": {
			"X-Stack-Refresh-Token": {dead}, "X-Forwarded-For": {strings.Repeat("1,", mib/2)},
		},
		"1 MB of trusted hops": {
			"X-Stack-Refresh-Token": {dead}, "X-Forwarded-For": {strings.Repeat("10.0.0.1:80, ", mib/13)},
		},
		"1 MB of commas": {"X-Stack-Refresh-Token": {dead}, "X-Forwarded-For": {strings.Repeat(",", mib)}},
		"1 MB of lines": {
			"X-Stack-Refresh-Token": {dead}, "X-Forwarded-For": strings.Split(strings.Repeat("1,", mib/32), ","),
		},
		"1 MB of User-Agent":          {"X-Stack-Refresh-Token": {dead}, "User-Agent": {strings.Repeat("a", mib)}},
		"1 MB of Authorization":       {"Authorization": {"Bearer " + strings.Repeat("a", mib)}},
		"1 MB of segments":            {"Authorization": {"Bearer " + strings.Repeat(".", mib)}},
		"1 MB of server key":          {"Authorization": {"Bearer ssk_" + strings.Repeat("a", mib)}},
		"1 MB of refresh token":       {"X-Stack-Refresh-Token": {strings.Repeat("a", mib)}},
		"1 MB of access type":         {"X-Stack-Access-Type": {strings.Repeat("a", mib)}},
		"1 MB of access types":        {"X-Stack-Access-Type": strings.Split(strings.Repeat("a,", mib/2), ",")},
		"1 MB of cookies":             {"Cookie": {strings.Repeat("a=b; ", mib/5)}},
		"1 MB of semicolons":          {"Cookie": {strings.Repeat(";", mib)}},
		"1 MB of an access cookie":    {"Cookie": {accessCookie + "=" + strings.Repeat("a", mib)}},
		"many access cookies":         {"Cookie": {strings.Repeat(accessCookie+"=a; ", 2900)}},
		"1 MB of Content-Type":        {"Content-Type": {"application/json" + distinct(mib, "; %s=1", "")}},
		"1 MB of spaces before a key": {"Authorization": {"Bearer" + strings.Repeat(" ", mib)}},
	} {
		for _, path := range []string{"/auth/sessions/current/refresh", "/auth/sessions/redeem"} {
			all = append(all, costly{name: name, method: http.MethodPost, path: path, header: header})
		}
	}
	for _, path := range []string{
		"/auth/openapi.yaml", "/.well-known/jwks.json", "/projects/" + project + "/.well-known/openid-configuration",
	} {
		for name, ranges := range map[string]string{
			"250 ranges": ranges(250), "6,000 ranges": ranges(6000), "1 MB of ranges": ranges(90_000),
		} {
			all = append(all, costly{
				name: name, method: http.MethodGet, path: path, header: http.Header{"Range": {ranges}}, document: true,
			})
		}
	}
	all = append(all,
		costly{name: "1 MB of path", method: http.MethodGet, path: strings.Repeat("/a", mib/2)},
		costly{name: "1 MB of id", method: http.MethodDelete, path: "/auth/sessions/" + strings.Repeat("a", mib)},
		costly{name: "1 MB of project", method: http.MethodGet, path: "/projects/" + strings.Repeat("a", mib) +
			"/.well-known/jwks.json"},
	)
	return all
}

// behindProxies trusts the proxies that requests of these tests come from, and more.
func behindProxies(c *sessions.Config) {
	c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("10.0.0.0/8")}
}

// allocated is how many bytes the process allocates while f runs.
func allocated(f func()) int {
	least := 1 << 62
	for range 3 { // others allocate, too
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		least = min(least, int(after.TotalAlloc-before.TotalAlloc))
	}
	return least
}

// Nobody has to be somebody to send these. What one of them costs follows from what
// came in.
//
//nolint:paralleltest // It counts what the process allocates.
func TestWhatAnonymousRequestsCost(t *testing.T) {
	const (
		most = 8
		// fixed is what the smallest request may cost.
		fixed = 16 << 10
		// out is the largest answer.
		out = 4 << 10
	)
	for _, mode := range []func(*sessions.Config){func(*sessions.Config) {}, cookieMode, behindProxies} {
		e := newEnv(t, mode)
		for _, c := range costlyRequests(e) {
			w := &discard{}
			serve := func(c costly) (cost, out int) {
				cost = allocated(func() {
					r := c.request()
					w.header, w.out = http.Header{}, 0
					e.handler.ServeHTTP(w, r)
				})
				return cost, w.out
			}
			free, largest := fixed, out
			if c.document {
				free, largest = serve(costly{method: c.method, path: c.path})
				free += fixed
			}
			cost, sent := serve(c)
			in := c.size()
			t.Logf("%s\t%s\t%d\t%d\t%d\t%.1f", c.path[:min(len(c.path), 40)], c.name, in, cost, sent,
				float64(cost)/float64(in))
			if cost > most*in+free || sent > largest {
				t.Errorf("%s %.40s, %s: %d bytes came in, %d were allocated and %d went out", c.method, c.path, c.name,
					in, cost, sent)
			}
		}
	}
}
