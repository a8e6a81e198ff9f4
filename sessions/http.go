package sessions

import (
	"errors"
	"log/slog"
	"net/http"
	"path"
	"slices"
	"strings"
)

// Handler serves the HTTP API of a [Manager], which docs/http-api.md describes, and the embedded
// openapi.yaml.
//
// Mount it whole, and it owns its prefix: it answers unknown paths and methods itself, as JSON.
//
//	mux.Handle("/api/v1/", http.StripPrefix("/api/v1", handler))
//
// Or register its routes one by one with [Handler.Register], or register single endpoints at paths
// of your own:
//
//	mux.Handle("POST /support/impersonate", handler.Create())
//
// It is safe for concurrent use.
type Handler struct {
	m      *Manager
	routes []Route
}

// NewHandler makes the handler of a Manager.
func NewHandler(m *Manager) *Handler {
	h := &Handler{m: m}
	h.routes = h.table()
	return h
}

// ServeHTTP serves all routes. It never redirects, and it refuses a path that is not already clean
// with 404: a redirect would take credentials to a path that a proxy may have judged differently.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var (
		allow []string
		there []Route // the routes at this path
	)
	if p := r.URL.Path; r.URL.RawPath == "" && strings.HasPrefix(p, "/") && path.Clean(p) == p {
		for _, route := range h.routes {
			values, ok := route.match(p)
			if !ok {
				continue
			}
			if route.serves(r.Method) {
				for name, value := range values {
					r.SetPathValue(name, value)
				}
				route.Handler.ServeHTTP(w, r)
				return
			}
			allow = append(allow, route.methods()...)
			there = append(there, route)
		}
	}
	if len(there) == 1 { // it refuses the method in its own form: OAuth has another
		there[0].Handler.ServeHTTP(w, r)
		return
	}
	h.endpoint(nil, func(http.ResponseWriter, *http.Request) error {
		if len(allow) > 0 {
			slices.Sort(allow)
			return methodNotAllowed(slices.Compact(allow))
		}
		return &APIError{Status: 404, Code: codeNotFound, Message: "There is nothing here."}
	}).ServeHTTP(w, r)
}

// Register registers every route at mux under prefix, which is "" or begins with a slash and does
// not end with one. The mux answers unknown paths and methods, and redirects paths that are not
// clean.
func (h *Handler) Register(mux *http.ServeMux, prefix string) {
	for _, route := range h.routes {
		mux.Handle(route.Method+" "+prefix+route.Pattern, route.Handler)
	}
}

func methodNotAllowed(allow []string) error {
	return &APIError{
		Status: 405, Code: codeMethodNotAllowed, Message: "The method is not allowed here.",
		allow: strings.Join(allow, ", "),
	}
}

// endpoint makes a handler of a function that answers, or returns an error before it has written
// anything. If methods is nil, every method is allowed.
func (h *Handler) endpoint(methods []string, serve func(http.ResponseWriter, *http.Request) error) http.Handler {
	return h.endpointWith(methods, serve, isStackRequest, h.m.WriteError)
}

func (h *Handler) endpointWith(
	methods []string,
	serve func(http.ResponseWriter, *http.Request) error,
	isStack func(*http.Request) bool,
	writeError func(http.ResponseWriter, *http.Request, error),
) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := requestID(w.Header())
		r = h.m.heard(r)
		if isStack(r) {
			w = newStackWriter(w, r)
		}
		answering := false
		fail := func(err error) {
			err = h.m.logRequest(r, err, slog.String("request_id", id))
			answering = true
			writeError(w, r, err)
		}
		recovered := func() {
			p := recover()
			if p == nil {
				return
			}
			// asks net/http to drop the connection
			if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(p)
			}
			e := NewAPIError(h.m.logPanic(r.Context(), p, slog.String("request_id", id)))
			if answering { // writeError has panicked, and may have written already
				panic(http.ErrAbortHandler)
			}
			e.Logged, answering = true, true
			writeError(w, r, e)
		}
		defer recovered() // a panic of the first recovered
		defer recovered()
		if methods != nil && !serves(methods, r.Method) {
			fail(methodNotAllowed(methods))
			return
		}
		if err := serve(w, r); err != nil {
			fail(err)
		}
	})
}
