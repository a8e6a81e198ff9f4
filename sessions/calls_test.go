package sessions_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

// interrupted is a Manager with alice, who acts as bob, and with a code that was handed
// to bob. Its hooks answer as a database does: not to a caller who is gone.
type interrupted struct {
	*kit
	alice, acting, handed sessions.Grant
	spent                 sessions.Token // of alice
	gone, forbidden       bool
}

func newInterrupted(t *testing.T, change ...func(*sessions.Config)) *interrupted {
	t.Helper()
	w := &interrupted{}
	w.kit = newKit(t, append([]func(*sessions.Config){func(c *sessions.Config) {
		c.Cookies.Enabled = true
		users := c.Users
		c.Users = func(ctx context.Context, id string) (sessions.User, error) {
			switch {
			case ctx.Err() != nil:
				return sessions.User{}, ctx.Err()
			case w.gone:
				return sessions.User{}, sessions.ErrUserNotFound
			}
			return users(ctx, id)
		}
		c.MayImpersonate = func(ctx context.Context, _ sessions.Identity, _ sessions.User) error {
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case w.forbidden:
				return sessions.ErrImpersonationNotAllowed
			}
			return nil
		}
		c.Claims = func(ctx context.Context, _ sessions.Session, _ sessions.User) (map[string]any, error) {
			return nil, ctx.Err()
		}
	}}, change...)...)
	first := w.create(t, sessions.CreateParams{})
	w.spent = first.RefreshToken
	w.alice = w.refresh(t, w.kit.refresh(t, first.RefreshToken).RefreshToken)
	var err error
	if w.acting, err = w.Manager.Impersonate(t.Context(), w.identity(t, w.alice), sessions.CreateParams{
		UserID: "bob",
	}); err != nil {
		t.Fatal(err)
	}
	w.handed = w.create(t, sessions.CreateParams{UserID: "bob", Handoff: true})
	w.takeEvents()
	return w
}

func (w *interrupted) identity(t *testing.T, g sessions.Grant) sessions.Identity {
	t.Helper()
	id, err := w.Verify(g.AccessToken.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// writes are the calls that write, and the method of the store with which they begin to.
var writes = []struct {
	name  string
	begin sessionstest.Method
	call  func(ctx context.Context, t *testing.T, w *interrupted) error
}{
	{"create", sessionstest.MethodCreate, func(ctx context.Context, _ *testing.T, w *interrupted) error {
		_, err := w.Create(ctx, sessions.CreateParams{UserID: "alice"})
		return err
	}},
	{"impersonate", sessionstest.MethodCreate, func(ctx context.Context, t *testing.T, w *interrupted) error {
		_, err := w.Manager.Impersonate(ctx, w.identity(t, w.alice), sessions.CreateParams{UserID: "bob"})
		return err
	}},
	{"refresh", sessionstest.MethodRefresh, func(ctx context.Context, _ *testing.T, w *interrupted) error {
		_, err := w.Refresh(ctx, w.alice.RefreshToken.Reveal(), sessions.Client{})
		return err
	}},
	{"refresh of an impersonation", sessionstest.MethodRefresh,
		func(ctx context.Context, _ *testing.T, w *interrupted) error {
			_, err := w.Refresh(ctx, w.acting.RefreshToken.Reveal(), sessions.Client{})
			return err
		}},
	{"replay", sessionstest.MethodRefresh, func(ctx context.Context, _ *testing.T, w *interrupted) error {
		_, err := w.Refresh(ctx, w.spent.Reveal(), sessions.Client{})
		return err
	}},
	{"refresh for a user who is gone", sessionstest.MethodRefresh,
		func(ctx context.Context, _ *testing.T, w *interrupted) error {
			w.gone = true
			_, err := w.Refresh(ctx, w.alice.RefreshToken.Reveal(), sessions.Client{})
			return err
		}},
	{"refresh that the policy forbids", sessionstest.MethodRefresh,
		func(ctx context.Context, _ *testing.T, w *interrupted) error {
			w.forbidden = true
			_, err := w.Refresh(ctx, w.acting.RefreshToken.Reveal(), sessions.Client{})
			return err
		}},
	{"refresh by cookie", sessionstest.MethodRefresh, func(ctx context.Context, t *testing.T, w *interrupted) error {
		return w.byCookie(ctx, t, w.alice)
	}},
	{"replay by cookie", sessionstest.MethodRefresh, func(ctx context.Context, t *testing.T, w *interrupted) error {
		return w.byCookie(ctx, t, sessions.Grant{
			Session: w.alice.Session, AccessToken: w.alice.AccessToken, RefreshToken: w.spent,
		})
	}},
	{"end", sessionstest.MethodEnd, func(ctx context.Context, _ *testing.T, w *interrupted) error {
		_, err := w.End(ctx, sessions.EndParams{ID: w.alice.Session.ID, By: "console"})
		return err
	}},
	{"end many", sessionstest.MethodEndMany, func(ctx context.Context, _ *testing.T, w *interrupted) error {
		_, err := w.EndMany(ctx, sessions.EndManyParams{UserID: "alice", By: "console"})
		return err
	}},
	{"end by refresh token", sessionstest.MethodEnd, func(ctx context.Context, _ *testing.T, w *interrupted) error {
		_, err := w.EndByRefreshToken(ctx, w.alice.RefreshToken.Reveal(), sessions.EndParams{
			Reason: sessions.EndSignedOut,
		})
		return err
	}},
	{"sign out", sessionstest.MethodEnd, func(ctx context.Context, t *testing.T, w *interrupted) error {
		_, err := w.SignOut(ctx, w.identity(t, w.alice))
		return err
	}},
	{"redeem", sessionstest.MethodRedeem, func(ctx context.Context, _ *testing.T, w *interrupted) error {
		_, err := w.Redeem(ctx, w.handed.Handoff.Reveal(), sessions.Client{})
		return err
	}},
	{"authenticate again", sessionstest.MethodCreate, func(ctx context.Context, _ *testing.T, w *interrupted) error {
		_, err := w.Reauthenticate(ctx, w.alice.Session.ID)
		return err
	}},
}

// byCookie refreshes in the endpoint.
func (w *interrupted) byCookie(ctx context.Context, t *testing.T, g sessions.Grant) error {
	t.Helper()
	cookies := httptest.NewRecorder()
	if err := w.SetCookies(cookies, g); err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/auth/sessions/current/refresh", nil)
	for _, c := range cookies.Result().Cookies() {
		if c.MaxAge > 0 {
			r.AddCookie(c)
		}
	}
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	answer := httptest.NewRecorder()
	sessions.NewHandler(w.Manager).ServeHTTP(answer, r)
	switch answer.Code {
	case http.StatusOK:
		return nil
	case http.StatusServiceUnavailable:
		return sessions.ErrUnavailable
	default:
		return fmt.Errorf("%d %s", answer.Code, answer.Body)
	}
}

// aftermath is what can be seen of a call.
type aftermath struct {
	Err    string
	Events []string
	// Taken says which access tokens this process takes.
	Alice, Acting bool
}

func (w *interrupted) aftermath(err error) aftermath {
	a := aftermath{Err: fmt.Sprint(err)}
	names := map[string]string{
		w.alice.Session.ID: "alice", w.acting.Session.ID: "acting", w.handed.Session.ID: "handed",
	}
	for _, e := range w.TakeEvents() {
		a.Events = append(a.Events, fmt.Sprint(e.Type, " ", names[e.Session.ID], " ", e.Session.EndReason, " ",
			e.Session.EndedBy))
	}
	_, err = w.Verify(w.alice.AccessToken.Reveal())
	a.Alice = err == nil
	_, err = w.Verify(w.acting.AccessToken.Reveal())
	a.Acting = err == nil
	return a
}

// A write that has begun goes on as if the caller had stayed, and so does all that
// belongs to it, whenever the caller disconnects.
func TestWhoDisconnectsDuringAWriteChangesNothing(t *testing.T) {
	t.Parallel()
	for _, write := range writes {
		t.Run(write.name, func(t *testing.T) {
			t.Parallel()
			stays := newInterrupted(t)
			want := stays.aftermath(write.call(t.Context(), t, stays))
			if len(want.Events) == 0 {
				t.Fatalf("no event of an undisturbed call: %+v", want)
			}
			for point, set := range map[string]func(*sessionstest.Faults, sessionstest.Fault){
				"before the store has written": func(f *sessionstest.Faults, cancel sessionstest.Fault) {
					f.Before = cancel
				},
				"after the store has written": func(f *sessionstest.Faults, cancel sessionstest.Fault) {
					f.After = cancel
				},
			} {
				leaves := newInterrupted(t)
				ctx, cancel := context.WithCancel(t.Context())
				set(leaves.Faults, func(_ context.Context, c sessionstest.Call) error {
					if c.Method == write.begin {
						cancel()
					}
					return nil
				})
				if got := leaves.aftermath(write.call(ctx, t, leaves)); !reflect.DeepEqual(got, want) {
					t.Errorf("%s:\ngot  %+v\nwant %+v", point, got, want)
				}
				cancel()
			}
		})
	}
}

func TestNoWriteBeginsForSomebodyWhoIsGone(t *testing.T) {
	t.Parallel()
	for _, write := range writes {
		t.Run(write.name, func(t *testing.T) {
			t.Parallel()
			w := newInterrupted(t)
			calls := w.Faults.Calls(write.begin)
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if err := write.call(ctx, t, w); !errors.Is(err, sessions.ErrUnavailable) {
				t.Errorf("got %v", err)
			}
			if n := w.Faults.Calls(write.begin) - calls; n != 0 {
				t.Errorf("%s was called %d times", write.begin, n)
			}
			got := w.aftermath(nil)
			for _, e := range got.Events {
				if e != "impersonation_refused   " {
					t.Errorf("event %q", e)
				}
			}
			if !got.Alice || !got.Acting {
				t.Errorf("%+v", got)
			}
		})
	}
}

// Nothing waits longer than StoreTimeout for a store, or a hook, that hangs.
func TestWhatHangsIsGivenUp(t *testing.T) {
	t.Parallel()
	hang := func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}
	type call = func(context.Context, *testing.T, *interrupted) error
	named := map[string]call{
		"check": func(ctx context.Context, t *testing.T, w *interrupted) error {
			_, err := w.Check(ctx, w.identity(t, w.alice))
			return err
		},
		"get": func(ctx context.Context, _ *testing.T, w *interrupted) error {
			_, err := w.Get(ctx, w.alice.Session.ID)
			return err
		},
		"list": func(ctx context.Context, _ *testing.T, w *interrupted) error {
			_, err := w.List(ctx, "alice", sessions.ListOptions{})
			return err
		},
		"check the clock": func(ctx context.Context, _ *testing.T, w *interrupted) error { return w.CheckClock(ctx) },
	}
	for _, write := range writes {
		named[write.name] = write.call
	}
	const limit = 3 * time.Second
	try := func(t *testing.T, name string, run call, break_ func(*interrupted), change func(*sessions.Config)) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newInterrupted(t, func(c *sessions.Config) { c.StoreTimeout = limit }, change)
				break_(w)
				began := time.Now()
				if err := run(t.Context(), t, w); !errors.Is(err, sessions.ErrUnavailable) {
					t.Errorf("got %v", err)
				}
				if took := time.Since(began); took != limit {
					t.Errorf("given up after %v", took)
				}
			})
		})
	}
	for name, run := range named {
		try(t, name, run, func(w *interrupted) {
			w.Faults.Before = func(ctx context.Context, _ sessionstest.Call) error { return hang(ctx) }
		}, func(*sessions.Config) {})
	}

	for name, set := range map[string]func(*sessions.Config, func(context.Context) error){
		"Users": func(c *sessions.Config, hook func(context.Context) error) {
			users := c.Users
			c.Users = func(ctx context.Context, id string) (sessions.User, error) {
				if err := hook(ctx); err != nil {
					return sessions.User{}, err
				}
				return users(ctx, id)
			}
		},
		"MayImpersonate": func(c *sessions.Config, hook func(context.Context) error) {
			c.MayImpersonate = func(ctx context.Context, _ sessions.Identity, _ sessions.User) error {
				return hook(ctx)
			}
		},
		"Claims": func(c *sessions.Config, hook func(context.Context) error) {
			c.Claims = func(ctx context.Context, _ sessions.Session, _ sessions.User) (map[string]any, error) {
				return nil, hook(ctx)
			}
		},
	} {
		broken := false
		try(t, name, named["refresh of an impersonation"], func(*interrupted) { broken = true },
			func(c *sessions.Config) {
				set(c, func(ctx context.Context) error {
					if !broken {
						return nil
					}
					return hang(ctx)
				})
			})
	}
}

func TestARequestToAStoreThatHangsIsAnswered503(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newInterrupted(t)
		w.Faults.Before = func(ctx context.Context, _ sessionstest.Call) error {
			<-ctx.Done()
			return ctx.Err()
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/auth/sessions/current", nil)
		r.Header.Set("Authorization", "Bearer "+w.alice.AccessToken.Reveal())
		answer := httptest.NewRecorder()
		began := time.Now()
		sessions.NewHandler(w.Manager).ServeHTTP(answer, r)
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("answered after %v", took)
		}
		if answer.Code != http.StatusServiceUnavailable || answer.Header().Get("Retry-After") == "" {
			t.Errorf("answered %d %v", answer.Code, answer.Header())
		}
	})
}

// A caller who will not wait as long gets his answer earlier, but stops no write.
func TestADeadlineOfTheCallerCountsForReadsAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newInterrupted(t)
		w.Faults.Before = func(ctx context.Context, _ sessionstest.Call) error {
			timer := time.NewTimer(2 * time.Second)
			defer timer.Stop()
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-timer.C:
				return nil
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if _, err := w.End(ctx, sessions.EndParams{ID: w.alice.Session.ID}); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != 4*time.Second { // End, and EndDependents
			t.Errorf("ended after %v", took)
		}

		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began = time.Now()
		if _, err := w.Get(ctx, w.alice.Session.ID); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("read for %v", took)
		}
	})
}

// A hook or a method of the store that is added later has a time limit, too.
func TestNoHookAndNoCallOfTheStoreIsWithoutALimit(t *testing.T) {
	t.Parallel()
	isContext := reflect.TypeFor[context.Context]()
	seen := map[string]bool{} // whether it had a deadline
	spy := func(name string, f reflect.Type) reflect.Value {
		return reflect.MakeFunc(f, func(args []reflect.Value) []reflect.Value {
			ctx, _ := reflect.TypeAssert[context.Context](args[0])
			_, seen[name] = ctx.Deadline()
			answers := make([]reflect.Value, f.NumOut())
			for i := range answers {
				answers[i] = reflect.Zero(f.Out(i))
			}
			return answers
		})
	}
	call := func(f reflect.Value) {
		args := []reflect.Value{reflect.ValueOf(context.Background())}
		for i := 1; i < f.Type().NumIn(); i++ {
			args = append(args, reflect.Zero(f.Type().In(i)))
		}
		f.Call(args)
	}

	config := sessions.Config{StoreTimeout: time.Second}
	fields := reflect.ValueOf(&config).Elem()
	var hooks []string
	for _, field := range reflect.VisibleFields(fields.Type()) {
		if f := field.Type; f.Kind() == reflect.Func && f.NumIn() > 0 && f.In(0) == isContext {
			hooks = append(hooks, field.Name)
			fields.FieldByIndex(field.Index).Set(spy(field.Name, f))
		}
	}
	faults := &sessionstest.Faults{Store: sessionstest.NewStore(),
		Before: func(ctx context.Context, c sessionstest.Call) error {
			_, seen[string(c.Method)] = ctx.Deadline()
			return errors.New("seen")
		}}
	config.Store = faults
	limited := reflect.ValueOf(sessions.Limited(config))
	for _, name := range hooks {
		call(limited.FieldByName(name))
	}
	store := limited.FieldByName("Store")
	methods := reflect.TypeFor[sessions.Store]()
	for i := range methods.NumMethod() {
		call(store.MethodByName(methods.Method(i).Name))
	}

	if len(seen) != len(hooks)+methods.NumMethod() || len(hooks) < 4 {
		t.Fatalf("called %v", seen)
	}
	own := map[string]bool{"Ended": true, "Prune": true} // limits of their own
	for name, limited := range seen {
		if limited == own[name] {
			t.Errorf("%s has a limit: %t", name, limited)
		}
	}
}
