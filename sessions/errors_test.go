package sessions_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

// sentinels are all of errors.go, by name; TestSentinelsAreComplete holds it to that.
var sentinels = map[string]error{
	"ErrUnauthenticated":         sessions.ErrUnauthenticated,
	"ErrInvalidParams":           sessions.ErrInvalidParams,
	"ErrNotFound":                sessions.ErrNotFound,
	"ErrConflict":                sessions.ErrConflict,
	"ErrUnavailable":             sessions.ErrUnavailable,
	"ErrImpersonationNotAllowed": sessions.ErrImpersonationNotAllowed,
	"ErrCrossOrigin":             sessions.ErrCrossOrigin,
	"ErrNoCredentials":           sessions.ErrNoCredentials,
	"ErrInvalidToken":            sessions.ErrInvalidToken,
	"ErrExpired":                 sessions.ErrExpired,
	"ErrInvalidHandoff":          sessions.ErrInvalidHandoff,
	"ErrRefused":                 sessions.ErrRefused,
	"ErrMalformed":               sessions.ErrMalformed,
	"ErrUnknownSession":          sessions.ErrUnknownSession,
	"ErrSessionEnded":            sessions.ErrSessionEnded,
	"ErrSessionExpired":          sessions.ErrSessionExpired,
	"ErrSessionIdle":             sessions.ErrSessionIdle,
	"ErrReplay":                  sessions.ErrReplay,
	"ErrRecoveryLimit":           sessions.ErrRecoveryLimit,
	"ErrParentEnded":             sessions.ErrParentEnded,
	"ErrUserNotFound":            sessions.ErrUserNotFound,
	"ErrUserDisabled":            sessions.ErrUserDisabled,
}

func TestSentinelsAreComplete(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "errors.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var declared []string
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok {
			for _, name := range spec.Names {
				if name.IsExported() {
					declared = append(declared, name.Name)
				}
			}
		}
		return true
	})
	slices.Sort(declared)
	if known := slices.Sorted(maps.Keys(sentinels)); !slices.Equal(known, declared) {
		t.Errorf("errors.go has %v\nthe tests know %v", declared, known)
	}
}

// hostError is an error type of the host.
type hostError struct {
	id  int
	err error
}

func (e *hostError) Error() string { return "host: " + e.err.Error() }
func (e *hostError) Unwrap() error { return e.err }

// hooks is a kit in which alice may act as bob, and each hook fails as the test says.
type hooks struct {
	*kit
	mu   sync.Mutex
	fail map[string]error
}

func (h *hooks) failing(hook string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.fail[hook]
}

func (h *hooks) set(hook string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fail = map[string]error{hook: err}
}

type failingSigner struct {
	crypto.Signer
	h *hooks
}

func (s failingSigner) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if err := s.h.failing("Signers"); err != nil {
		return nil, err
	}
	return s.Signer.Sign(random, digest, opts)
}

func newHooks(t *testing.T) *hooks {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	h := &hooks{}
	h.kit = newKit(t, func(c *sessions.Config) {
		users := c.Users
		c.Users = func(ctx context.Context, id string) (sessions.User, error) {
			if err := h.failing("Users of " + id); err != nil {
				return sessions.User{}, err
			}
			return users(ctx, id)
		}
		c.MayImpersonate = func(context.Context, sessions.Identity, sessions.User) error {
			return h.failing("MayImpersonate")
		}
		c.Claims = func(context.Context, sessions.Session, sessions.User) (map[string]any, error) {
			return nil, h.failing("Claims")
		}
		c.Signers = []crypto.Signer{failingSigner{key, h}}
	})
	h.Faults.Before = func(_ context.Context, c sessionstest.Call) error {
		return h.failing("Store." + string(c.Method))
	}
	return h
}

func TestWhatAHookWrapsIsNotOurAnswer(t *testing.T) {
	t.Parallel()
	causes := maps.Clone(sentinels)
	causes["APIError"] = &sessions.APIError{Status: 403, Code: "FORBIDDEN", Message: "of another service"}
	causes["ExpiredError"] = &sessions.ExpiredError{UserID: "bob"}
	causes["AuthenticationTooOldError"] = &sessions.AuthenticationTooOldError{MaxAge: time.Minute}
	maps.Copy(causes, refusalsByHosts(t))
	own := map[string][]string{
		"Users of alice":      {"ErrUserNotFound", "ErrUserDisabled"},
		"Users of bob":        {"ErrUserNotFound", "ErrUserDisabled"},
		"MayImpersonate":      {"ErrImpersonationNotAllowed"},
		"Claims":              nil,
		"Signers":             nil,
		"Store.Create":        {"ErrNotFound"},
		"Store.Get":           {"ErrNotFound"},
		"Store.Refresh":       {"ErrNotFound"},
		"Store.Redeem":        {"ErrNotFound"},
		"Store.End":           {"ErrNotFound"},
		"Store.EndMany":       nil,
		"Store.List":          nil,
		"Store.Now":           nil,
		"Store.Prune":         nil,
		"Store.EndDependents": nil, // a failure of which denies no end
	}
	for hook, answers := range own {
		t.Run(hook, func(t *testing.T) {
			t.Parallel()
			h := newHooks(t)
			alice := h.create(t, sessions.CreateParams{})
			caller, err := h.Verify(alice.AccessToken.Reveal())
			if err != nil {
				t.Fatal(err)
			}
			acting, err := h.Manager.Impersonate(t.Context(), caller, sessions.CreateParams{UserID: "bob"})
			if err != nil {
				t.Fatal(err)
			}
			asked := 0
			for name, cause := range causes {
				if slices.Contains(answers, name) {
					continue
				}
				h.set("", nil)
				handoff, err := h.Manager.Impersonate(t.Context(), caller, sessions.CreateParams{
					UserID: "bob", Handoff: true,
				})
				if err != nil {
					t.Fatal(err)
				}
				failure := &hostError{id: 7, err: errors.Join(cause, context.DeadlineExceeded)}
				h.set(hook, failure)
				for call, err := range h.calls(t, caller, alice, acting, handoff) {
					if err == nil {
						continue // it does not ask that hook
					}
					asked++
					h.judge(t, fmt.Sprintf("%s with %s", call, name), err, cause, failure)
				}
			}
			if want := len(causes) - len(answers); asked < want && hook != "Store.EndDependents" {
				t.Errorf("asked %d times, want %d or more", asked, want)
			}
			h.set("", nil)
			h.refresh(t, alice.RefreshToken) // no session has ended
			h.refresh(t, acting.RefreshToken)
		})
	}
}

// refusalsByHosts are refused refreshes of another Manager, which match the answer of its hook, too.
func refusalsByHosts(t *testing.T) map[string]error {
	t.Helper()
	refused := map[string]error{}
	for hook, answer := range map[string]error{
		"Users of bob": sessions.ErrUserDisabled, "Users of bob ": sessions.ErrUserNotFound,
		"MayImpersonate": sessions.ErrImpersonationNotAllowed,
	} {
		h := newHooks(t)
		grant, err := h.Manager.Impersonate(t.Context(), h.SignIn(t, "alice").Identity(t),
			sessions.CreateParams{UserID: "bob"})
		if err != nil {
			t.Fatal(err)
		}
		h.set(strings.TrimSpace(hook), answer)
		_, err = h.Refresh(t.Context(), grant.RefreshToken.Reveal(), sessions.Client{})
		if !errors.Is(err, sessions.ErrRefused) {
			t.Fatalf("%s answers %v: %v", hook, answer, err)
		}
		refused[err.Error()] = err
	}
	return refused
}

// calls makes every call that asks a hook, and ends no session that the test needs.
func (h *hooks) calls(t *testing.T, caller sessions.Identity, own, acting, handoff sessions.Grant) map[string]error {
	t.Helper()
	ctx := t.Context()
	errs := map[string]error{}
	grant := func(name string, g sessions.Grant, err error) {
		if err != nil && g != (sessions.Grant{}) {
			t.Errorf("%s: a grant with an error", name)
		}
		errs[name] = err
	}
	g, err := h.Create(ctx, sessions.CreateParams{UserID: "bob"})
	grant("create", g, err)
	g, err = h.Manager.Impersonate(ctx, caller, sessions.CreateParams{UserID: "bob"})
	grant("impersonate", g, err)
	g, err = h.Refresh(ctx, own.RefreshToken.Reveal(), sessions.Client{})
	grant("refresh", g, err)
	g, err = h.Refresh(ctx, acting.RefreshToken.Reveal(), sessions.Client{})
	grant("refresh of an impersonation", g, err)
	g, err = h.Redeem(ctx, handoff.Handoff.Reveal(), sessions.Client{})
	grant("redeem", g, err)
	_, errs["check"] = h.Check(ctx, caller)
	_, errs["get"] = h.Get(ctx, own.Session.ID)
	_, errs["list"] = h.List(ctx, "bob", sessions.ListOptions{})
	if h.failing("Store.End") != nil {
		_, errs["end"] = h.End(ctx, sessions.EndParams{ID: own.Session.ID})
	}
	_, errs["end many"] = h.EndMany(ctx, sessions.EndManyParams{UserID: "nobody"})
	_, errs["prune"] = h.Prune(ctx)
	errs["check the clock"] = h.CheckClock(ctx)
	return errs
}

func (h *hooks) judge(t *testing.T, name string, err, cause error, failure *hostError) {
	t.Helper()
	if answer := sessions.NewAPIError(err); answer.Status != 503 || answer.Code != "TEMPORARILY_UNAVAILABLE" ||
		answer == cause { //nolint:errorlint // identity
		t.Errorf("%s: answered %d %s", name, answer.Status, answer.Code)
	}
	for other, sentinel := range sentinels {
		if errors.Is(err, sentinel) != (sentinel == sessions.ErrUnavailable) { //nolint:errorlint // identity
			t.Errorf("%s: errors.Is(err, %s) is %v", name, other, errors.Is(err, sentinel))
		}
	}
	var (
		api     *sessions.APIError
		expired *sessions.ExpiredError
		tooOld  *sessions.AuthenticationTooOldError
		header  interface {
			SetHeader(http.Header, *http.Request)
		}
		found *hostError
	)
	for _, target := range []any{&api, &expired, &tooOld, &header} {
		if errors.As(err, target) || !reflect.ValueOf(target).Elem().IsNil() {
			t.Errorf("%s: errors.As finds %T", name, target)
		}
	}
	if !errors.As(err, &found) || found != failure || !errors.Is(err, failure) {
		t.Errorf("%s: the host's own error is lost in %v", name, err)
	}
	if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		t.Errorf("%s: the context's error is lost in %v", name, err)
	}
	if !strings.Contains(err.Error(), "host: ") {
		t.Errorf("%s: the cause is lost in %q", name, err)
	}
}

// A hook's own answer counts, and what else the host has wrapped with it does not.
func TestAHooksOwnAnswerIsTheWholeAnswer(t *testing.T) {
	t.Parallel()
	with := func(answer error) error {
		return &hostError{
			id: 7, err: errors.Join(&sessions.APIError{Status: 200, Code: "OK"}, &sessions.ExpiredError{},
				sessions.ErrInvalidToken, answer),
		}
	}
	h := newHooks(t)
	alice := h.create(t, sessions.CreateParams{})
	caller, err := h.Verify(alice.AccessToken.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		hook   string
		answer error
		status int
	}{
		{"Users of bob", sessions.ErrUserNotFound, 404},
		{"Users of bob", sessions.ErrUserDisabled, 403},
		{"Users of alice", sessions.ErrUserNotFound, 403},
		{"Users of alice", sessions.ErrUserDisabled, 403},
		{"MayImpersonate", sessions.ErrImpersonationNotAllowed, 403},
	} {
		h.set(c.hook, with(c.answer))
		_, err := h.Manager.Impersonate(t.Context(), caller, sessions.CreateParams{UserID: "bob"})
		var found *hostError
		if got := sessions.NewAPIError(err).Status; got != c.status || !errors.Is(err, c.answer) ||
			errors.Is(err, sessions.ErrInvalidToken) || !errors.As(err, &found) {
			t.Errorf("%s: %d, %v", c.hook, got, err)
		}
	}
}

// A host may keep one APIError for many answers.
func TestNoAnswerWritesIntoAnErrorOfTheHost(t *testing.T) {
	t.Parallel()
	h := newHooks(t)
	caller, err := h.Verify(h.create(t, sessions.CreateParams{}).AccessToken.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	handoff, err := h.Manager.Impersonate(t.Context(), caller, sessions.CreateParams{UserID: "bob", Handoff: true})
	if err != nil {
		t.Fatal(err)
	}
	kept := &sessions.APIError{
		Status: 503, Code: "TEMPORARILY_UNAVAILABLE", Message: "The directory is away.",
		Details: map[string]any{"retry": true},
	}
	h.set("MayImpersonate", kept)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/auth/sessions/redeem",
		strings.NewReader(`{"code":"`+handoff.Handoff.Reveal()+`"}`))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	sessions.NewHandler(h.Manager).ServeHTTP(w, r)
	if w.Code != 503 || !strings.Contains(w.Body.String(), `"retry":false`) {
		t.Errorf("answered %d %s", w.Code, w.Body)
	}
	if kept.Message != "The directory is away." || len(kept.Details) != 1 || kept.Details["retry"] != true {
		t.Errorf("the host's error is now %+v", kept)
	}
}

// A refusal that the host has decided is found by the branch of refusals, for all who only
// want to know that the user must sign in again, and by the host's own sentinel.
func TestARefusalByTheHostMatchesBothSentinels(t *testing.T) {
	t.Parallel()
	for hook, want := range map[string]error{
		"Users of bob":   sessions.ErrUserDisabled,
		"Users of bob ":  sessions.ErrUserNotFound,
		"MayImpersonate": sessions.ErrImpersonationNotAllowed,
	} {
		h := newHooks(t)
		alice := h.SignIn(t, "alice")
		grant, err := h.Manager.Impersonate(t.Context(), alice.Identity(t), sessions.CreateParams{UserID: "bob"})
		if err != nil {
			t.Fatal(err)
		}
		h.set(strings.TrimSpace(hook), want)
		_, err = h.Refresh(t.Context(), grant.RefreshToken.Reveal(), sessions.Client{})
		for name, sentinel := range sentinels {
			//nolint:errorlint // identity
			matches := sentinel == sessions.ErrUnauthenticated || sentinel == sessions.ErrRefused || sentinel == want
			if errors.Is(err, sentinel) != matches {
				t.Errorf("%s answers %v: %v matches %s: %v", hook, want, err, name, !matches)
			}
		}
		if api := sessions.NewAPIError(err); api.Status != 401 || api.Code != "REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED" {
			t.Errorf("%s answers %v: %d %s", hook, want, api.Status, api.Code)
		}
	}
}
