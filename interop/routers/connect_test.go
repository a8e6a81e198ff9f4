package routers

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/sessile-go/sessile/middleware"
	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

// connectConfig answers refusals as Connect, gRPC and gRPC-Web clients read them.
func connectConfig(manager *sessions.Manager) middleware.Config {
	write := connect.NewErrorWriter()
	return middleware.Config{
		Manager: manager,
		WriteError: func(w http.ResponseWriter, r *http.Request, err *sessions.APIError) {
			code := connect.CodeUnauthenticated
			switch {
			case err.Status == http.StatusForbidden:
				code = connect.CodePermissionDenied
			case err.Status == http.StatusBadRequest:
				code = connect.CodeInvalidArgument
			case err.Status == http.StatusServiceUnavailable:
				code = connect.CodeUnavailable // the client may try again
			case err.Status >= http.StatusInternalServerError:
				code = connect.CodeInternal
			}
			if !write.IsSupported(r) {
				sessions.WriteError(w, r, err)
				return
			}
			_ = write.Write(w, r, connect.NewError(code, errors.New(err.Message)))
		},
	}
}

// me is a method of a service.
func me(ctx context.Context, _ *connect.Request[emptypb.Empty]) (*connect.Response[wrapperspb.StringValue], error) {
	id, _ := sessions.FromContext(ctx)
	return connect.NewResponse(wrapperspb.String(id.UserID)), nil
}

func mountConnect(mux *http.ServeMux, manager *sessions.Manager, path string, service http.Handler) {
	mux.Handle(path, connectConfig(manager).Require(service))
}

func TestConnect(t *testing.T) {
	t.Parallel()
	const procedure = "/app.v1.Users/Me"
	kit := sessionstest.New(t)
	mux := http.NewServeMux()
	mountConnect(mux, kit.Manager, procedure, connect.NewUnaryHandler(procedure, me))
	server := httptest.NewServer(mux)
	defer server.Close()
	alice := kit.SignIn(t, "alice")
	for protocol, options := range map[string][]connect.ClientOption{
		"Connect": nil, "gRPC-Web": {connect.WithGRPCWeb()},
	} {
		call := func(client *http.Client) (string, error) {
			me := connect.NewClient[emptypb.Empty, wrapperspb.StringValue](client, server.URL+procedure, options...)
			answer, err := me.CallUnary(t.Context(), connect.NewRequest(&emptypb.Empty{}))
			if err != nil {
				return "", err
			}
			return answer.Msg.GetValue(), nil
		}
		if user, err := call(alice.Client()); err != nil || user != "alice" {
			t.Errorf("%s: %q, %v", protocol, user, err)
		}
		if _, err := call(http.DefaultClient); connect.CodeOf(err) != connect.CodeUnauthenticated {
			t.Errorf("%s: without credentials: %v", protocol, err)
		}
	}
	// Others get the form of the HTTP API.
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodDelete, procedure, nil))
	if w.Code != http.StatusUnauthorized || w.Header().Get("WWW-Authenticate") == "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	kit.Clock.Advance(time.Hour)
	response, err := alice.Client().Post(server.URL+procedure, "application/json", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusUnauthorized {
		t.Errorf("an hour later: %d", response.StatusCode)
	}
}
