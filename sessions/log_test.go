package sessions_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

// A host without a Logger gets the cause of an outage in its default log, even if that was
// replaced meanwhile. Not parallel: the default is global.
func TestWithoutALoggerTheDefaultOneIsAskedAtEachLine(t *testing.T) { //nolint:paralleltest // the default is global
	old, writer, flags := slog.Default(), log.Writer(), log.Flags()
	defer func() {
		slog.SetDefault(old)
		log.SetOutput(writer)
		log.SetFlags(flags)
	}()
	k, silent := newFailingKit(t, nil), newFailingKit(t, slog.New(slog.DiscardHandler))
	for i := range 2 {
		var buf bytes.Buffer
		slog.SetDefault(slog.New(slog.NewTextHandler(&buf, nil)))
		for _, k := range []*failingKit{silent, k} {
			k.fail(errors.New("no route to the database"))
			k.get(t)
		}
		if got := buf.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "no route to the database") {
			t.Errorf("default %d got %q", i, got)
		}
		k.Clock.Advance(time.Second)
	}
	var buf bytes.Buffer
	slog.SetDefault(slog.New(slog.NewTextHandler(&buf, nil)))
	refused := newKit(t, func(c *sessions.Config) { c.Logger = nil })
	for range 20 { // until their events are no longer reported, which is a warning
		_, _ = refused.Create(t.Context(), sessions.CreateParams{UserID: "nobody", Impersonation: true, By: "console"})
	}
	if got := buf.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "level=WARN") {
		t.Errorf("of refusals the default got %q", got)
	}
}

// failingKit is a kit whose store fails, and a token for it.
type failingKit struct {
	*kit
	bearer sessions.Token
}

func newFailingKit(t *testing.T, logger *slog.Logger) *failingKit {
	t.Helper()
	k := newKit(t, func(c *sessions.Config) { c.Logger = logger })
	return &failingKit{k, k.create(t, sessions.CreateParams{}).AccessToken}
}

// fail makes every call of the store fail.
func (k *failingKit) fail(err error) {
	k.Faults.Before = func(context.Context, sessionstest.Call) error { return err }
}

// get asks for the current session, at the endpoint and after a middleware.
func (k *failingKit) get(t *testing.T) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/auth/sessions/current", nil)
	r.Header.Set("Authorization", "Bearer "+k.bearer.Reveal())
	answer := httptest.NewRecorder()
	sessions.NewHandler(k.Manager).ServeHTTP(answer, r)
	if answer.Code < 500 {
		t.Errorf("answered %d", answer.Code)
	}
	if _, err := k.Admit(httptest.NewRecorder(), r, sessions.NeedUser, sessions.Strict); err == nil {
		t.Error("admitted")
	}
}

func TestAnOutageIsALineASecondOfEachKind(t *testing.T) {
	t.Parallel()
	var buf bytes.Buffer
	k := newFailingKit(t, slog.New(slog.NewTextHandler(&buf, nil)))
	const requests, seconds = 10, 20 // each of which is two
	n := 0
	for range seconds {
		for range requests {
			n++
			k.fail(fmt.Errorf("dial tcp 127.0.0.1:%d: connection refused", 30000+n))
			k.get(t)
			k.fail(fmt.Errorf("begin %d: %w", n, context.DeadlineExceeded))
			k.get(t)
		}
		k.Clock.Advance(time.Second)
	}
	lines := strings.Split(strings.TrimSpace(buf.String()), "\n")
	if len(lines) != 2*seconds {
		t.Errorf("%d lines, want one a second of each of two kinds", len(lines))
	}
	left := 0
	for _, m := range regexp.MustCompile(`suppressed=(\d+)`).FindAllStringSubmatch(buf.String(), -1) {
		count, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		left += count
	}
	// Those of the last second are counted in the next line.
	if want := 2 * (seconds - 1) * (2*requests - 1); left != want {
		t.Errorf("%d requests are counted as left out, want %d", left, want)
	}
	t.Logf("%d failed requests, %d bytes", 4*n, buf.Len())

	k.Clock.Advance(-seconds / 2 * time.Second) // set back: not silent until then
	buf.Reset()
	k.get(t)
	if !strings.Contains(buf.String(), "request failed") {
		t.Error("nothing is logged after the clock was set back")
	}
}

// A host's own sign-in, as README shows it, answers by Manager.WriteError. The cause of
// a 503 is then in the log, once, whoever writes the answer.
func TestWhatTheHostsRoutesAnswerIsLogged(t *testing.T) {
	t.Parallel()
	for name, hook := range map[string]func(http.ResponseWriter, *http.Request, *sessions.APIError){
		"our form": nil,
		"the app's form": func(w http.ResponseWriter, _ *http.Request, err *sessions.APIError) {
			w.WriteHeader(err.Status)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var buf bytes.Buffer
			k := newKit(t, func(c *sessions.Config) {
				c.Logger, c.WriteError = slog.New(slog.NewTextHandler(&buf, nil)), hook
			})
			k.Faults.Before = func(context.Context, sessionstest.Call) error {
				return errors.New("no route to the database")
			}
			r := httptest.NewRequest(http.MethodPost, "/sign-in", nil)
			_, err := k.Create(r.Context(), sessions.CreateParams{UserID: "alice"})
			w := httptest.NewRecorder()
			k.WriteError(w, r, err)
			if got := buf.String(); w.Code != 503 || strings.Count(got, "\n") != 1 ||
				!strings.Contains(got, "no route to the database") {
				t.Errorf("%d, logged %q", w.Code, got)
			}
			buf.Reset()
			k.WriteError(httptest.NewRecorder(), r, &sessions.APIError{Status: 503, Code: "AWAY", Logged: true})
			k.WriteError(httptest.NewRecorder(), r, sessions.ErrNotFound)
			if buf.Len() > 0 {
				t.Errorf("logged what is logged already, or not the server's fault: %q", buf.String())
			}
		})
	}
}

// Two mistakes in the wiring within a second are two lines: whoever mends one wants to
// read of the other.
func TestEachMistakeInTheWiringIsLogged(t *testing.T) {
	t.Parallel()
	var buf bytes.Buffer
	k := newKit(t, func(c *sessions.Config) { c.Logger = slog.New(slog.NewTextHandler(&buf, nil)) })
	handler := sessions.NewHandler(k.Manager)
	for range 2 {
		handler.Metadata().ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
		r := httptest.NewRequest(http.MethodDelete, "/", nil)
		r.Header.Set("Authorization", "Bearer "+k.create(t, sessions.CreateParams{}).AccessToken.Reveal())
		handler.End().ServeHTTP(httptest.NewRecorder(), r)
	}
	got := buf.String()
	if strings.Count(got, "\n") != 2 || !strings.Contains(got, "BaseURL") || !strings.Contains(got, "SetPathValue") {
		t.Errorf("logged %s", got)
	}
}

// However many kinds there seem to be, they take no memory for ever.
func TestKindsOfFailuresAreBounded(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	for i := range 1000 {
		sessions.NoteFailure(k.Manager, strconv.Itoa(i))
	}
	if n := sessions.FailureKinds(k.Manager); n > 100 {
		t.Errorf("%d kinds are remembered", n)
	}
}

func TestAPanicIsOneLine(t *testing.T) {
	t.Parallel()
	var buf bytes.Buffer
	k := newKit(t, func(c *sessions.Config) {
		c.Logger = slog.New(slog.NewTextHandler(&buf, nil))
		users := c.Users
		c.Users = func(ctx context.Context, id string) (sessions.User, error) {
			if id == "bob" {
				panic("a secret of bob")
			}
			return users(ctx, id)
		}
	})
	key, err := sessions.NewServerKey(sessions.AccessServer)
	if err != nil {
		t.Fatal(err)
	}
	hash, err := sessions.HashServerKey("backend", key)
	if err != nil {
		t.Fatal(err)
	}
	config := k.Config
	config.ServerKeys = []sessions.ServerKey{hash}
	m, err := sessions.New(config)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "/auth/sessions", strings.NewReader(`{"user_id":"bob"}`))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+key)
	answer := httptest.NewRecorder()
	sessions.NewHandler(m).ServeHTTP(answer, r)
	if answer.Code != http.StatusInternalServerError {
		t.Fatalf("answered %d %s", answer.Code, answer.Body)
	}
	got := buf.String()
	if strings.Count(got, "\n") != 1 || !strings.Contains(got, "log_test.go") ||
		strings.Contains(got, "secret of bob") {
		t.Errorf("logged %q", got)
	}
}

// An app that logs its errors in one place can leave out what is in the log.
func TestARefusalSaysThatItIsLogged(t *testing.T) {
	t.Parallel()
	var hooked []bool
	k := newFailingKit(t, slog.New(slog.DiscardHandler))
	config := k.Config
	config.WriteError = func(w http.ResponseWriter, r *http.Request, err *sessions.APIError) {
		hooked = append(hooked, err.Logged)
		sessions.WriteError(w, r, err)
	}
	m, err := sessions.New(config)
	if err != nil {
		t.Fatal(err)
	}
	k.fail(errors.New("connection refused"))
	r := httptest.NewRequest(http.MethodGet, "/auth/sessions/current", nil)
	for _, logged := range []bool{false, true} { // first without a token, which is no failure
		hooked = nil
		_, err := m.Admit(httptest.NewRecorder(), r, sessions.NeedUser, sessions.Strict)
		var refused *sessions.APIError
		if ok := errors.As(err, &refused); logged && !ok || ok && refused.Logged != logged {
			t.Errorf("admit: %+v", err)
		}
		sessions.NewHandler(m).ServeHTTP(httptest.NewRecorder(), r)
		if len(hooked) != 1 || hooked[0] != logged {
			t.Errorf("the hook got %v, want %t", hooked, logged)
		}
		r.Header.Set("Authorization", "Bearer "+k.bearer.Reveal())
	}
}

// One hook that panics all the time does not hide another's panic, whatever both say.
func TestThePanicOfOneHookDoesNotHideAnothers(t *testing.T) {
	t.Parallel()
	var (
		buf  bytes.Buffer
		hook string
		user *sessions.User
	)
	k := newKit(t, func(c *sessions.Config) {
		c.Logger = slog.New(slog.NewTextHandler(&buf, nil))
		c.Cookies.Enabled = true
		users := c.Users
		c.Users = func(ctx context.Context, id string) (sessions.User, error) {
			switch hook {
			case "Users":
				panic("a bug")
			case "Users, by nil":
				return *user, nil
			}
			return users(ctx, id)
		}
		c.Claims = func(context.Context, sessions.Session, sessions.User) (map[string]any, error) {
			switch hook {
			case "Claims":
				panic("a bug")
			case "Claims, with an error":
				panic(errors.New("a bug"))
			}
			return nil, nil
		}
	})
	token := k.create(t, sessions.CreateParams{}).RefreshToken.Reveal()
	h := sessions.NewHandler(k.Manager)
	for range 3 {
		for _, hook = range []string{"Users", "Users, by nil", "Claims", "Claims, with an error"} {
			r := httptest.NewRequest(http.MethodPost, "/auth/sessions/current/refresh", nil)
			r.Header.Set("X-Stack-Refresh-Token", token)
			answer := httptest.NewRecorder()
			if h.ServeHTTP(answer, r); answer.Code != http.StatusInternalServerError {
				t.Fatalf("%s: answered %d %s", hook, answer.Code, answer.Body)
			}
		}
	}
	if n := strings.Count(buf.String(), "panic in a hook"); n != 4 {
		t.Errorf("%d lines, want one of each:\n%s", n, buf.String())
	}
}

// What has panicked while it wrote an answer is not asked for another one.
func TestAPanicOfWriteErrorDropsTheConnection(t *testing.T) {
	t.Parallel()
	for name, path := range map[string]string{
		"a refusal": "/nothing", "another hook has panicked": "/auth/sessions/current/refresh",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var buf bytes.Buffer
			calls, breaks := 0, false
			k := newKit(t, func(c *sessions.Config) {
				c.Logger = slog.New(slog.NewTextHandler(&buf, nil))
				c.WriteError = func(w http.ResponseWriter, _ *http.Request, e *sessions.APIError) {
					calls++
					w.WriteHeader(e.Status)
					panic("late")
				}
				users := c.Users
				c.Users = func(ctx context.Context, id string) (sessions.User, error) {
					if breaks {
						panic("early")
					}
					return users(ctx, id)
				}
			})
			r := httptest.NewRequest(http.MethodPost, path, nil)
			r.Header.Set("X-Stack-Refresh-Token", k.create(t, sessions.CreateParams{}).RefreshToken.Reveal())
			breaks = true
			func() {
				defer func() {
					if err, ok := recover().(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
						t.Errorf("net/http gets the panic %v", err)
					}
				}()
				sessions.NewHandler(k.Manager).ServeHTTP(httptest.NewRecorder(), r)
			}()
			if calls != 1 {
				t.Errorf("WriteError was called %d times", calls)
			}
			if got := buf.String(); !strings.Contains(got, "panic in a hook") || !strings.Contains(got, "log_test.go") {
				t.Errorf("logged %q", got)
			}
		})
	}
}
