package sessions_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

// admitted returns the context of a request with this bearer token after the middleware.
func admitted(t *testing.T, m *sessions.Manager, token string) context.Context {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	ctx, err := m.Admit(httptest.NewRecorder(), r, sessions.NeedNothing, sessions.Stateless)
	if err != nil {
		t.Fatal(err)
	}
	return ctx
}

func TestGuardRecentAsksForARecentAuthentication(t *testing.T) {
	t.Parallel()
	k := sessionstest.New(t)
	alice := k.SignIn(t, "alice")
	for _, test := range []struct {
		maxAge, after time.Duration
		old           bool
	}{
		{time.Minute, 0, false},
		{time.Minute, time.Minute, false},
		{time.Minute, time.Minute + time.Microsecond, true},
		{time.Minute, 9 * time.Minute, true},
		{time.Second, time.Second, false},
		{1500 * time.Millisecond, 1500 * time.Millisecond, false},
		{1500 * time.Millisecond, 1501 * time.Millisecond, true},
		{time.Hour, -30 * time.Second, false}, // another replica's clock is ahead
	} {
		k.Clock.Set(alice.Grant.Session.CreatedAt)
		ctx := admitted(t, k.Manager, alice.Grant.AccessToken.Reveal())
		k.Clock.Advance(test.after)
		err := sessions.GuardRecent(ctx, test.maxAge)
		var old *sessions.AuthenticationTooOldError
		if errors.As(err, &old) != test.old || (err != nil) != test.old {
			t.Errorf("%v after the authentication, with at most %v: error %v", test.after, test.maxAge, err)
		}
		if old != nil && (old.MaxAge != test.maxAge.Truncate(time.Second) ||
			errors.Is(err, sessions.ErrUnauthenticated)) {
			t.Errorf("%+v", old)
		}
	}

	// A refresh does not make it younger.
	k.Clock.Set(alice.Grant.Session.CreatedAt.Add(time.Hour))
	next, err := k.Refresh(t.Context(), alice.Grant.RefreshToken.Reveal(), sessions.Client{})
	if err != nil {
		t.Fatal(err)
	}
	var old *sessions.AuthenticationTooOldError
	if err := sessions.GuardRecent(admitted(t, k.Manager, next.AccessToken.Reveal()),
		time.Minute); !errors.As(err, &old) {
		t.Errorf("after a refresh: error %v", err)
	}
	// The host says when; that may have been before.
	early, err := k.Create(t.Context(), sessions.CreateParams{UserID: "alice", AuthTime: k.Clock.Now().Add(-time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	if err := sessions.GuardRecent(admitted(t, k.Manager, early.AccessToken.Reveal()),
		time.Minute); !errors.As(err, &old) {
		t.Errorf("authenticated an hour before: error %v", err)
	}
}

func TestGuardRecentRefusesWhomItCannotJudge(t *testing.T) {
	t.Parallel()
	k := sessionstest.New(t)
	alice := k.SignIn(t, "alice")
	good := admitted(t, k.Manager, alice.Grant.AccessToken.Reveal())
	for name, test := range map[string]struct {
		ctx    context.Context
		maxAge time.Duration
		is     error
		status int
	}{
		"nobody": {admitted(t, k.Manager, ""), time.Hour, sessions.ErrNoCredentials, 401},
		"an impersonation": {
			admitted(t, k.Manager, k.Impersonate(t, "bob", "alice").Grant.AccessToken.Reveal()), time.Hour,
			sessions.ErrImpersonationNotAllowed, 403,
		},
		"no middleware in front":       {t.Context(), time.Hour, nil, 500},
		"a context made for a test":    {sessions.NewContext(t.Context(), alice.Identity(t)), time.Hour, nil, 500},
		"less than a second":           {good, 999 * time.Millisecond, nil, 500},
		"no age at all, as by mistake": {good, 0, nil, 500},
	} {
		err := sessions.GuardRecent(test.ctx, test.maxAge)
		if says := sessions.NewAPIError(err).Message; strings.Contains(says, "NewContext") !=
			(name == "a context made for a test") {
			t.Errorf("%s: it says %q", name, says)
		}
		if err == nil || test.is != nil && !errors.Is(err, test.is) || sessions.NewAPIError(err).Status != test.status {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// RFC 9470, section 3.
func TestAnOldAuthenticationIsAnsweredWithTheChallenge(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	r.Header.Set("X-Stack-Access-Type", "client")
	w := httptest.NewRecorder()
	sessions.WriteError(w, r, &sessions.AuthenticationTooOldError{MaxAge: 5 * time.Minute})
	const (
		challenge = `Bearer realm="sessile", error="insufficient_user_authentication", error_description="The user ` +
			`has to authenticate again.", max_age="300"`
		body = `{"code":"INSUFFICIENT_USER_AUTHENTICATION","error":"The user has to authenticate ` +
			`again.","details":{"max_age":300}}`
	)
	if got := w.Header().Get("WWW-Authenticate"); got != challenge {
		t.Errorf("challenge %s", got)
	}
	if w.Code != 401 || w.Body.String() != body {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for _, name := range []string{"X-Stack-Known-Error", "X-Hexclave-Known-Error"} {
		if got := w.Header().Get(name); got != "" {
			t.Errorf("%s: %s, which the SDK does not know", name, got)
		}
	}
	if w.Header().Get("X-Stack-Request-Id") == "" {
		t.Error("no request id for the SDK")
	}
}

func TestReauthenticateReplacesTheSession(t *testing.T) {
	t.Parallel()
	k := sessionstest.New(t)
	old, err := k.Create(t.Context(), sessions.CreateParams{
		UserID: "alice", TTL: 36 * time.Hour, By: "login", AuthTime: k.Clock.Now().Add(-time.Hour),
		Client: sessions.Client{IP: "192.0.2.1", UserAgent: "Example/1.0"},
	})
	if err != nil {
		t.Fatal(err)
	}
	k.Clock.Advance(time.Minute)
	ctx, stop := k.Watch(t.Context(), admittedIdentity(t, k.Manager, old))
	defer stop()
	k.TakeEvents()
	grant, err := k.Reauthenticate(t.Context(), old.Session.ID)
	if err != nil {
		t.Fatal(err)
	}

	now := k.Clock.Now()
	want := old.Session
	want.ID, want.CreatedAt, want.LastUsedAt, want.AuthTime, want.ExpiresAt = grant.Session.ID, now, now, now,
		now.Add(36*time.Hour)
	if grant.Session != want || grant.Session.ID == old.Session.ID {
		t.Errorf("the new session is %+v, want %+v", grant.Session, want)
	}
	if s, err := k.Get(t.Context(), old.Session.ID); err != nil || s.EndReason != sessions.EndReplaced ||
		s.EndedBy != "alice" || s.EndedAt != now {
		t.Errorf("the old session is %+v, error %v", s, err)
	}
	if _, err := k.Refresh(t.Context(), old.RefreshToken.Reveal(), sessions.Client{}); !errors.Is(err,
		sessions.ErrSessionEnded) {
		t.Errorf("the old refresh token: error %v", err)
	}
	if _, err := k.Verify(old.AccessToken.Reveal()); !errors.Is(err, sessions.ErrExpired) {
		t.Errorf("the old access token: error %v", err)
	}
	if ctx.Err() == nil {
		t.Error("what was watched goes on")
	}
	if err := sessions.GuardRecent(admitted(t, k.Manager, grant.AccessToken.Reveal()), time.Second); err != nil {
		t.Errorf("the new one is not recent: %v", err)
	}
	if _, err := k.Refresh(t.Context(), grant.RefreshToken.Reveal(), sessions.Client{}); err != nil {
		t.Errorf("the new refresh token: %v", err)
	}
	wantEvents(t, k.TakeEvents(), sessions.EventCreated, sessions.EventEnded, sessions.EventRotated)
}

func admittedIdentity(t *testing.T, m *sessions.Manager, g sessions.Grant) sessions.Identity {
	t.Helper()
	id, ok := sessions.FromContext(admitted(t, m, g.AccessToken.Reveal()))
	if !ok {
		t.Fatal("nobody")
	}
	return id
}

func wantEvents(t *testing.T, events []sessions.Event, want ...sessions.EventType) {
	t.Helper()
	var types []sessions.EventType
	for _, e := range events {
		types = append(types, e.Type)
	}
	equalTypes(t, types, want...)
}

// Whoever lowers the ceiling does not lock out those who signed in before.
func TestReauthenticateStaysBelowTheCeiling(t *testing.T) {
	t.Parallel()
	k := sessionstest.New(t)
	old := k.SignIn(t, "alice").Grant
	config := k.Config
	config.MaxSessionTTL = 24 * time.Hour
	grant, err := mustNew(t, config).Reauthenticate(t.Context(), old.Session.ID)
	if err != nil || grant.Session.ExpiresAt != k.Clock.Now().Add(24*time.Hour) {
		t.Errorf("expires at %v, error %v", grant.Session.ExpiresAt, err)
	}
}

func TestReauthenticateEndsImpersonationsBehindTheOldSession(t *testing.T) {
	t.Parallel()
	k := sessionstest.New(t, func(c *sessions.Config) {
		c.MayImpersonate = func(context.Context, sessions.Identity, sessions.User) error { return nil }
	})
	alice := k.SignIn(t, "alice")
	acting, err := k.Manager.Impersonate(t.Context(), alice.Identity(t), sessions.CreateParams{UserID: "bob"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Reauthenticate(t.Context(), alice.Grant.Session.ID); err != nil {
		t.Fatal(err)
	}
	if s, err := k.Get(t.Context(), acting.Session.ID); err != nil || s.EndReason != sessions.EndParentEnded ||
		s.EndedBy != "alice" {
		t.Errorf("the impersonation is %+v, error %v", s, err)
	}
	if _, err := k.Verify(acting.AccessToken.Reveal()); !errors.Is(err, sessions.ErrExpired) {
		t.Errorf("its access token: error %v", err)
	}
}

// live are the sessions of alice that somebody could still use.
func live(t *testing.T, k *sessionstest.Kit) []string {
	t.Helper()
	list, err := k.Store.List(t.Context(), sessions.ListParams{
		UserID: "alice", Impersonations: true, Moment: sessions.Moment{Now: k.Clock.Now()},
	})
	if err != nil {
		t.Fatal(err)
	}
	ids := []string{}
	for _, s := range list {
		ids = append(ids, s.ID)
	}
	return ids
}

func TestReauthenticateIsRefused(t *testing.T) {
	t.Parallel()
	const elsewhere = "01890a5d-ac96-774b-bcce-b302099a8057"
	for name, test := range map[string]struct {
		// prepare returns the id to ask for.
		prepare func(t *testing.T, k *sessionstest.Kit, alice sessions.Grant) string
		is      error
		userID  string // of the ExpiredError
		lives   bool   // alice's session does
	}{
		"no id": {
			func(*testing.T, *sessionstest.Kit, sessions.Grant) string { return "" }, sessions.ErrExpired, "", true,
		},
		"no session": {
			func(*testing.T, *sessionstest.Kit, sessions.Grant) string { return elsewhere },
			sessions.ErrExpired, "", true,
		},
		"a refresh token": {
			func(_ *testing.T, _ *sessionstest.Kit, g sessions.Grant) string { return g.RefreshToken.Reveal() },
			sessions.ErrExpired, "", true,
		},
		"it has ended": {func(t *testing.T, k *sessionstest.Kit, g sessions.Grant) string {
			t.Helper()
			if _, err := k.End(t.Context(), sessions.EndParams{
				ID: g.Session.ID, Reason: sessions.EndSignedOut, By: "alice",
			}); err != nil {
				t.Fatal(err)
			}
			return g.Session.ID
		}, sessions.ErrExpired, "alice", false},
		"it was replaced before": {func(t *testing.T, k *sessionstest.Kit, g sessions.Grant) string {
			t.Helper()
			next, err := k.Reauthenticate(t.Context(), g.Session.ID)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := k.End(t.Context(), sessions.EndParams{ID: next.Session.ID}); err != nil {
				t.Fatal(err)
			}
			return g.Session.ID
		}, sessions.ErrExpired, "alice", false},
		"it has expired": {func(_ *testing.T, k *sessionstest.Kit, g sessions.Grant) string {
			k.Clock.Set(g.Session.ExpiresAt)
			return g.Session.ID
		}, sessions.ErrExpired, "alice", false},
		"it was idle": {func(_ *testing.T, k *sessionstest.Kit, g sessions.Grant) string {
			k.Clock.Advance(90 * 24 * time.Hour)
			return g.Session.ID
		}, sessions.ErrExpired, "alice", true}, // by its row alone
		"it is an impersonation": {func(t *testing.T, k *sessionstest.Kit, g sessions.Grant) string {
			t.Helper()
			acting := k.Impersonate(t, "bob", "alice").Grant.Session.ID
			if _, err := k.End(t.Context(), sessions.EndParams{ID: g.Session.ID}); err != nil {
				t.Fatal(err)
			}
			return acting
		}, sessions.ErrImpersonationNotAllowed, "", false},
		"the user is disabled": {func(_ *testing.T, k *sessionstest.Kit, g sessions.Grant) string {
			k.SetUser(sessions.User{ID: "alice"}, sessions.ErrUserDisabled)
			return g.Session.ID
		}, sessions.ErrUserDisabled, "", true},
		"the user is gone": {func(_ *testing.T, k *sessionstest.Kit, g sessions.Grant) string {
			k.SetUser(sessions.User{ID: "alice"}, sessions.ErrUserNotFound)
			return g.Session.ID
		}, sessions.ErrUserNotFound, "", true},
		"the user cannot be told": {func(_ *testing.T, k *sessionstest.Kit, g sessions.Grant) string {
			k.SetUser(sessions.User{ID: "alice"}, errAway)
			return g.Session.ID
		}, sessions.ErrUnavailable, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := sessionstest.New(t)
			alice := k.SignIn(t, "alice").Grant
			id := test.prepare(t, k, alice)
			made := k.Faults.Calls(sessionstest.MethodCreate)
			before := live(t, k)
			grant, err := k.Reauthenticate(t.Context(), id)
			if !errors.Is(err, test.is) || grant != (sessions.Grant{}) {
				t.Errorf("got %v and error %v", grant, err)
			}
			var expired *sessions.ExpiredError
			if errors.As(err, &expired) && (expired.UserID != test.userID || expired.SessionID != id ||
				expired.ExpiredAt != k.Clock.Now()) {
				t.Errorf("%+v", expired)
			}
			if n := k.Faults.Calls(sessionstest.MethodCreate); n != made {
				t.Error("a session was made")
			}
			after := live(t, k)
			if !slices.Equal(before, after) || slices.Contains(after, alice.Session.ID) != test.lives {
				t.Errorf("live are %v, were %v", after, before)
			}
		})
	}
}

func TestAFailingReauthenticationLeavesNoSecondSession(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		before, after sessionstest.Fault
		oldLives      bool
		// orphans are sessions whose tokens nobody has.
		orphans int
	}{
		"the lookup fails": {
			before: sessionstest.FailAt(sessionstest.MethodGet, 1, errAway), oldLives: true,
		},
		"the create fails": {
			before: sessionstest.FailAt(sessionstest.MethodCreate, 2, errAway), oldLives: true,
		},
		"the answer to the create is lost": {
			after: sessionstest.FailAt(sessionstest.MethodCreate, 2, errAway), oldLives: true, orphans: 1,
		},
		"the end fails": {
			before: sessionstest.FailAt(sessionstest.MethodEnd, 1, errAway), oldLives: true,
		},
		"the answer to the end is lost": {after: sessionstest.FailAt(sessionstest.MethodEnd, 1, errAway)},
		"both ends fail": {
			before: sessionstest.FailAt(sessionstest.MethodEnd, 0, errAway), oldLives: true, orphans: 1,
		},
		"the end of the new one fails after the loss": {
			before: sessionstest.FailAt(sessionstest.MethodEnd, 2, errAway),
			after:  sessionstest.FailAt(sessionstest.MethodEnd, 1, errAway), orphans: 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := sessionstest.New(t)
			old := k.SignIn(t, "alice").Grant
			k.Faults.Before, k.Faults.After = test.before, test.after
			grant, err := k.Reauthenticate(t.Context(), old.Session.ID)
			if !errors.Is(err, sessions.ErrUnavailable) || !errors.Is(err, errAway) || grant != (sessions.Grant{}) {
				t.Errorf("got %v and error %v", grant, err)
			}
			left := live(t, k)
			if slices.Contains(left, old.Session.ID) != test.oldLives {
				t.Errorf("the old session lives: %t", !test.oldLives)
			}
			want := test.orphans
			if test.oldLives {
				want++
			}
			if len(left) != want {
				t.Errorf("%d sessions live, want %d", len(left), want)
			}
		})
	}
}

func TestReauthenticateGoesOnWhenTheCallerDisconnects(t *testing.T) {
	t.Parallel()
	k := sessionstest.New(t)
	old := k.SignIn(t, "alice").Grant
	ctx, hangUp := context.WithCancel(t.Context())
	k.Faults.Before = func(_ context.Context, c sessionstest.Call) error {
		if c.Method == sessionstest.MethodEnd && c.N == 1 {
			hangUp()
		}
		return nil
	}
	grant, err := k.Reauthenticate(ctx, old.Session.ID)
	if err != nil {
		t.Fatal(err)
	}
	if left := live(t, k); !slices.Equal(left, []string{grant.Session.ID}) {
		t.Errorf("live are %v", left)
	}
}

// An end that came meanwhile was meant for this browser, too.
func TestReauthenticateDoesNotOutliveAnEndThatCameMeanwhile(t *testing.T) {
	t.Parallel()
	for _, cleanUpFails := range []bool{false, true} {
		k := sessionstest.New(t)
		old := k.SignIn(t, "alice").Grant
		k.Faults.Before = func(ctx context.Context, c sessionstest.Call) error {
			switch {
			case c.Method == sessionstest.MethodEnd && c.N == 1:
				_, err := k.Store.End(ctx, sessions.EndParams{
					ID: old.Session.ID, Now: k.Clock.Now(), Reason: sessions.EndRevoked, By: "root",
				})
				return err
			case c.Method == sessionstest.MethodEnd && cleanUpFails:
				return errAway
			default:
				return nil
			}
		}
		grant, err := k.Reauthenticate(t.Context(), old.Session.ID)
		want, orphans := sessions.ErrExpired, 0
		if cleanUpFails { // so that the host does not take it for over
			want, orphans = sessions.ErrUnavailable, 1
		}
		if !errors.Is(err, want) || grant != (sessions.Grant{}) {
			t.Errorf("got %v and error %v, want %v", grant, err, want)
		}
		if left := live(t, k); len(left) != orphans {
			t.Errorf("live are %v", left)
		}
		if s, err := k.Get(t.Context(), old.Session.ID); err != nil || s.EndedBy != "root" {
			t.Errorf("the old session is %+v, error %v", s, err)
		}
	}
}
