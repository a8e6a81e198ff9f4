package sessions

// Tested in packages httpapi and middlewaretest.

import (
	"net/http"
	"slices"
	"strings"
)

// Route is one route of the HTTP API. The handler checks the method itself and reads the parameters
// of its pattern with [http.Request.PathValue], so any router can serve it. A router that does not
// set path values calls [http.Request.SetPathValue].
//
// The names of these parameters begin with "sessile_", so that they do not collide with parameters
// of the host's own, for instance of a group in which the API is mounted.
type Route struct {
	// Method is GET, POST or DELETE; a GET route answers HEAD, too.
	Method string
	// Pattern is a path in the notation of [http.ServeMux]. A parameter is one whole
	// segment, so a router that matches more than a segment must answer 404 itself.
	Pattern string
	// Handler serves it.
	Handler http.Handler
}

// Routes returns every route, for adapters to routers.
func (h *Handler) Routes() []Route { return slices.Clone(h.routes) }

// The parameters of [Route.Pattern]. openapi.yaml has them without the prefix, which matters to
// routers only.
const (
	paramID        = "sessile_id"
	paramProjectID = "sessile_project_id"
)

// table is the one list of routes. If two patterns match a path, the first one counts.
func (h *Handler) table() []Route {
	routes := []Route{
		{http.MethodPost, "/auth/sessions", h.Create()},
		{http.MethodPost, "/auth/sessions/redeem", h.Redeem()},
		{http.MethodGet, "/auth/sessions", h.List()},
		{http.MethodDelete, "/auth/sessions", h.EndMany()},
		{http.MethodGet, "/auth/sessions/current", h.Current()},
		{http.MethodDelete, "/auth/sessions/current", h.SignOut()},
		{http.MethodPost, "/auth/sessions/current/refresh", h.Refresh()},
		{http.MethodDelete, "/auth/sessions/{" + paramID + "}", h.End()},
		{http.MethodPost, "/auth/oauth/token", h.Token()},
		{http.MethodPost, "/auth/oauth/revoke", h.Revoke()},
		{http.MethodGet, "/auth/openapi.yaml", h.OpenAPI()},
		{http.MethodGet, "/.well-known/jwks.json", h.JWKS()},
	}
	if h.m.cfg.ProjectID != "" { // else the paths below /projects are the host's
		const wellKnown = "/projects/{" + paramProjectID + "}/.well-known/"
		routes = append(routes, Route{http.MethodGet, wellKnown + "jwks.json", h.ofProject(h.JWKS())})
		if h.m.cfg.BaseURL != "" {
			routes = append(routes, Route{
				http.MethodGet, wellKnown + "openid-configuration", h.ofProject(h.Metadata()),
			})
		}
	}
	return routes
}

// pathValue returns a parameter of a route's pattern. No router lets one be empty, so an empty one
// was not set.
func pathValue(r *http.Request, name string) (string, error) {
	value := r.PathValue(name)
	if value == "" {
		return "", miswired("The path value " + name + " is not set: name the parameter of the route so, " +
			"and if the router sets no path values, call http.Request.SetPathValue.")
	}
	return value, nil
}

// match compares a clean path with the pattern, segment by segment.
func (route Route) match(path string) (values map[string]string, ok bool) {
	if strings.Count(path, "/") != strings.Count(route.Pattern, "/") {
		return nil, false // before a path of thousands of segments is split
	}
	have, want := strings.Split(path, "/"), strings.Split(route.Pattern, "/")
	for i, segment := range want {
		if name, isParam := strings.CutPrefix(segment, "{"); isParam && have[i] != "" {
			if values == nil {
				values = map[string]string{}
			}
			values[strings.TrimSuffix(name, "}")] = have[i]
		} else if segment != have[i] {
			return nil, false
		}
	}
	return values, true
}

func (route Route) serves(method string) bool { return serves(route.methods(), method) }

func (route Route) methods() []string { return methods(route.Method) }

// methods adds HEAD to GET (RFC 9110, section 9.3.2).
func methods(method string) []string {
	if method == http.MethodGet {
		return []string{http.MethodGet, http.MethodHead}
	}
	return []string{method}
}

func serves(methods []string, method string) bool { return slices.Contains(methods, method) }
