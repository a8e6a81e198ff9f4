package docs_test

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

func refresh(
	ctx context.Context, manager *sessions.Manager, token string, client sessions.Client,
) (sessions.Grant, error) {
	grant, err := manager.Refresh(ctx, token, client)
	switch {
	case errors.Is(err, sessions.ErrRefused):
		return sessions.Grant{}, err // sign in again
	case err != nil:
		return sessions.Grant{}, err // try again: the token still works
	}
	return grant, nil
}

func TestRefresh(t *testing.T) {
	t.Parallel()
	kit := sessionstest.New(t)
	token := kit.SignIn(t, "alice").Grant.RefreshToken.Reveal()
	kit.Faults.Before = sessionstest.FailAt(sessionstest.MethodRefresh, 1, io.ErrUnexpectedEOF)
	for _, want := range []error{sessions.ErrUnavailable, nil} {
		grant, err := refresh(t.Context(), kit.Manager, token, sessions.Client{})
		if !errors.Is(err, want) || err == nil && grant.Session.UserID != "alice" {
			t.Errorf("%+v, %v, want %v", grant.Session, err, want)
		}
	}
	_, err := refresh(t.Context(), kit.Manager, "nonsense", sessions.Client{})
	if !errors.Is(err, sessions.ErrRefused) {
		t.Error(err)
	}
}
