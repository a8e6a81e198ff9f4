package sessions_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

// An access type is not a credential: whoever names one and nothing else is nobody.
func TestACallerWithoutACredentialIsNobody(t *testing.T) {
	t.Parallel()
	k := sessionstest.New(t)
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	r.Header.Set("X-Stack-Access-Type", "client")
	r.Header.Set("X-Stack-Project-Id", k.Config.ProjectID)
	ctx, err := k.Admit(httptest.NewRecorder(), r, sessions.NeedNothing, sessions.DefaultRevocation)
	if err != nil {
		t.Fatal(err)
	}
	id, ok := sessions.FromContext(ctx)
	if ok || id != (sessions.Identity{}) {
		t.Errorf("%+v, %v", id, ok)
	}
	for _, err := range []error{sessions.GuardImpersonation(ctx), sessions.GuardReadOnly(ctx, http.MethodPost)} {
		if err != nil {
			t.Errorf("it acts as nobody, but %v", err)
		}
	}
	if err := sessions.GuardRecent(ctx, time.Minute); !errors.Is(err, sessions.ErrNoCredentials) {
		t.Errorf("recent: %v", err)
	}
	watching, cancel := k.Watch(ctx, id)
	defer cancel()
	if watching.Err() != nil {
		t.Error("there is no session that could be over")
	}
	for _, nobody := range []sessions.Identity{{}, {Access: sessions.AccessClient}} {
		if id, ok := sessions.FromContext(sessions.NewContext(t.Context(), nobody)); ok || id != (sessions.Identity{}) {
			t.Errorf("%+v, %v", id, ok)
		}
	}
}
