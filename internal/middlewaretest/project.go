package middlewaretest

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// withoutAProject checks that the headers of the x-stack family mean nothing to a host
// that has no project: they name nobody, and no answer has one.
func (s *suite) withoutAProject(t *testing.T) {
	h := newHost(t, withoutProject)
	own, acting := token(h.SignIn(t, "alice")), token(h.Impersonate(t, "root", "alice"))
	family := []string{
		"x-stack-project-id: x", "x-stack-access-type: server", "x-stack-secret-server-key: " + h.server,
		"x-hexclave-access-token: " + own, "x-stack-override-error-status: true",
	}
	const none, notEnough = "401 ACCESS_TYPE_REQUIRED", "401 INSUFFICIENT_ACCESS_TYPE"
	for _, test := range []struct {
		name, credential string
		kind             Kind
		want             string
	}{
		{"nobody, for users", "", Require, none},
		{"nobody, for servers", "", RequireServer, none},
		{"nobody, for all", "", Optional, "nobody"},
		{"a user", own, Require, "client||alice"},
		{"a user, for servers", own, RequireServer, notEnough},
		{"a key, for users", h.server, Require, notEnough},
		{"a bad token", "x", Require, "401 UNPARSABLE_ACCESS_TOKEN"},
		{"an impersonation before a guard", acting, Require, ""},
	} {
		s.run(t, test.name, func(t *testing.T) {
			app := s.me(t, Middleware{Kind: test.kind, Manager: h.Manager}, Middleware{Kind: ForbidImpersonation})
			headers := slices.Clone(family)
			if test.credential != "" {
				headers = append(headers, bearer(test.credential))
			}
			w := s.send(t, app, http.MethodGet, "/me", headers...)
			if test.want == "" {
				holdImpersonation(t, w, http.MethodGet)
			} else {
				hold(t, w, http.MethodGet, test.want, false)
			}
			for name := range w.Header() {
				if strings.HasPrefix(name, "X-Stack-") || strings.HasPrefix(name, "X-Hexclave-") {
					t.Errorf("the answer has %s", name)
				}
			}
		})
	}
}
