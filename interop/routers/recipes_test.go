package routers

import (
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"

	"github.com/sessile-go/sessile/sessions"
)

// docs/routers.md shows the functions of this file, and internal/docs holds it to that.

// mountChi registers every route of h.
func mountChi(r chi.Router, h *sessions.Handler) {
	for _, route := range h.Routes() { // chi sets path values itself
		r.Method(route.Method, route.Pattern, route.Handler)
		if route.Method == http.MethodGet {
			r.Method(http.MethodHead, route.Pattern, route.Handler)
		}
	}
}

// mountGin registers every route of h.
func mountGin(r gin.IRouter, h *sessions.Handler) {
	for _, route := range h.Routes() {
		path := strings.NewReplacer("{", ":", "}", "").Replace(route.Pattern)
		serve := func(c *gin.Context) {
			for _, param := range c.Params {
				c.Request.SetPathValue(param.Key, param.Value)
			}
			route.Handler.ServeHTTP(c.Writer, c.Request)
		}
		r.Handle(route.Method, path, serve)
		if route.Method == http.MethodGet {
			r.Handle(http.MethodHead, path, serve)
		}
	}
}

// bridge makes a middleware of net/http one of Gin.
func bridge(with func(http.Handler) http.Handler) gin.HandlerFunc {
	return func(c *gin.Context) {
		passed := false
		with(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			passed = true
			c.Request = r
			c.Next()
		})).ServeHTTP(c.Writer, c.Request)
		if !passed {
			c.Abort()
		}
	}
}
