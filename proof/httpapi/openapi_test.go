package httpapi_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
)

func TestOpenAPIDocument(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("../../sessions/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	parse := func(t *testing.T) libopenapi.Document {
		t.Helper()
		document, err := libopenapi.NewDocument(content)
		if err != nil {
			t.Fatal(err)
		}
		return document
	}

	t.Run("is valid OpenAPI 3.1", func(t *testing.T) {
		t.Parallel()
		document := parse(t)
		v, errs := validator.NewValidator(document)
		if len(errs) > 0 {
			t.Fatal(errs)
		}
		if document.GetVersion() != "3.1.0" {
			t.Errorf("version %s", document.GetVersion())
		}
		if ok, errs := v.ValidateDocument(); !ok {
			for _, err := range errs {
				t.Errorf("%s: %s %v", err.Message, err.Reason, err.SchemaValidationErrors)
			}
		}
	})

	t.Run("describes every route and no other", func(t *testing.T) {
		t.Parallel()
		model, err := parse(t).BuildV3Model()
		if err != nil {
			t.Fatal(err)
		}
		var described, served []string
		for path, item := range model.Model.Paths.PathItems.FromOldest() {
			for method := range item.GetOperations().FromOldest() {
				described = append(described, strings.ToUpper(method)+" "+path)
			}
		}
		for _, route := range newEnv(t).handler.Routes() {
			// What only routers see of a parameter's name is not in the document.
			served = append(served, route.Method+" "+strings.ReplaceAll(route.Pattern, "{sessile_", "{"))
		}
		slices.Sort(described)
		slices.Sort(served)
		if !slices.Equal(described, served) {
			t.Errorf("described:\n%s\nserved:\n%s", strings.Join(described, "\n"), strings.Join(served, "\n"))
		}
	})

	t.Run("is served as it is", func(t *testing.T) {
		t.Parallel()
		a := newEnv(t).do(t, http.MethodGet, "/auth/openapi.yaml").want(t, http.StatusOK)
		if !bytes.Equal(a.body, content) {
			t.Error("the served document is another one")
		}
		if got := a.header.Get("Content-Type"); got != "application/yaml; charset=utf-8" {
			t.Errorf("Content-Type %q", got)
		}
	})
}

// The checks of all other tests are worth something only if they can fail.
func TestOpenAPICheckCanFail(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(r *http.Request, w *http.Response, body *string){
		"the answer has a member too many": func(_ *http.Request, _ *http.Response, body *string) {
			*body = strings.Replace(*body, "{", `{"more":1,`, 1)
		},
		"the answer lacks a member": func(_ *http.Request, _ *http.Response, body *string) {
			*body = strings.Replace(*body, `"is_paginated":false`, `"x":false`, 1)
		},
		"a member of an item has another type": func(_ *http.Request, _ *http.Response, body *string) {
			*body = strings.Replace(*body, `"created_at":`, `"created_at":"1","was":`, 1)
		},
		"an item has a member too many": func(_ *http.Request, _ *http.Response, body *string) {
			*body = strings.Replace(*body, `"created_at":`, `"refresh_token":"x","created_at":`, 1)
		},
		"the status is not described": func(_ *http.Request, w *http.Response, _ *string) {
			w.StatusCode = http.StatusCreated
		},
		"the code is not one of this endpoint": func(_ *http.Request, w *http.Response, body *string) {
			w.StatusCode, *body = http.StatusBadRequest,
				`{"code":"USER_ID_DOES_NOT_EXIST","error":"x","details":{"user_id":"x"}}`
		},
		"the details are missing": func(_ *http.Request, w *http.Response, body *string) {
			w.StatusCode, *body = http.StatusBadRequest, `{"code":"SCHEMA_ERROR","error":"x"}`
		},
		"a header is missing": func(_ *http.Request, w *http.Response, _ *string) {
			w.Header.Del("Cache-Control")
		},
		"a header has another value": func(_ *http.Request, w *http.Response, _ *string) {
			w.Header.Set("Cache-Control", "private")
		},
		"a parameter is malformed": func(r *http.Request, _ *http.Response, _ *string) {
			r.URL.RawQuery += "&limit=0"
		},
		"a parameter is missing": func(r *http.Request, _ *http.Response, _ *string) { r.URL.RawQuery = "" },
		"the request has no credential": func(r *http.Request, _ *http.Response, _ *string) {
			r.Header.Del("Authorization")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEnv(t)
			e.signIn(t, alice)
			r := httptest.NewRequest(http.MethodGet, "http://sessile.test/auth/sessions?user_id="+alice, nil)
			bearer(e.serverKey)(r)
			w := httptest.NewRecorder()
			e.handler.ServeHTTP(w, r)
			response := w.Result()
			text := w.Body.String()
			spoil(r, response, &text)
			response.Body = io.NopCloser(strings.NewReader(text))

			v, err := openapi()
			if err != nil {
				t.Fatal(err)
			}
			okAnswer, _ := v.ValidateHttpResponse(r, response)
			okRequest, _ := v.ValidateHttpRequestSync(r)
			if okAnswer && okRequest {
				t.Error("nothing was found")
			}
		})
	}
}
