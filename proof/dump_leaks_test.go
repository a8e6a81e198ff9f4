package proof_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"log"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/sessile-go/sessile/middleware"
	"github.com/sessile-go/sessile/middleware/echov4"
	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
	"github.com/sessile-go/sessile/store"
)

// dumpSink is one place where text ends up that somebody may read.
type dumpSink struct {
	name string
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *dumpSink) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

// dumpSinks are all of them.
type dumpSinks struct{ logText, logJSON, gorm, errors, events, answers dumpSink }

func newDumpSinks() *dumpSinks {
	s := &dumpSinks{}
	for name, sink := range s.all() {
		sink.name = name
	}
	return s
}

func (s *dumpSinks) all() map[string]*dumpSink {
	return map[string]*dumpSink{
		"the log as text": &s.logText, "the log as JSON": &s.logJSON, "the host's GORM log": &s.gorm,
		"errors": &s.errors, "events": &s.events, "answers": &s.answers,
	}
}

func (s *dumpSinks) logger() *slog.Logger {
	o := &slog.HandlerOptions{Level: slog.LevelDebug, AddSource: true}
	return slog.New(slog.NewMultiHandler(slog.NewTextHandler(&s.logText, o), slog.NewJSONHandler(&s.logJSON, o)))
}

func (s *dumpSinks) error(err error) {
	if err != nil {
		dumpRender(err, func(_ string, text []byte) { _, _ = s.errors.Write(text) })
	}
}

// dumpTalkative is a store, and a host, that put everything they are given into
// their errors.
type dumpTalkative struct {
	sessions.Store
	mu   sync.Mutex
	talk bool
}

func (s *dumpTalkative) set(talk bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.talk = talk
}

func (s *dumpTalkative) say(ctx context.Context, given ...any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.talk {
		return nil
	}
	return fmt.Errorf("given %v %+v, %#v in %v", given, given, given, ctx)
}

func (s *dumpTalkative) Create(ctx context.Context, p sessions.Session) error {
	return errors.Join(s.say(ctx, p), s.Store.Create(ctx, p))
}

func (s *dumpTalkative) Get(ctx context.Context, id string) (sessions.Session, error) {
	if err := s.say(ctx, id); err != nil {
		return sessions.Session{}, err
	}
	return s.Store.Get(ctx, id)
}

func (s *dumpTalkative) Refresh(ctx context.Context, p sessions.RefreshParams) (sessions.RefreshResult, error) {
	if err := s.say(ctx, p); err != nil {
		return sessions.RefreshResult{}, err
	}
	return s.Store.Refresh(ctx, p)
}

func (s *dumpTalkative) List(ctx context.Context, p sessions.ListParams) ([]sessions.Session, error) {
	if err := s.say(ctx, p); err != nil {
		return nil, err
	}
	return s.Store.List(ctx, p)
}

func (s *dumpTalkative) End(ctx context.Context, p sessions.EndParams) (sessions.Session, error) {
	if err := s.say(ctx, p); err != nil {
		return sessions.Session{}, err
	}
	return s.Store.End(ctx, p)
}

func (s *dumpTalkative) EndMany(ctx context.Context, p sessions.EndManyParams) ([]sessions.Session, error) {
	if err := s.say(ctx, p); err != nil {
		return nil, err
	}
	return s.Store.EndMany(ctx, p)
}

// dumpRequests sends everything that a client gets wrong, and some of what it gets
// right, and takes note of every answer that is not made of tokens.
func dumpRequests(t testing.TB, w *dumpWorld, sinks *dumpSinks, g sessions.Grant) {
	t.Helper()
	refresh, access := g.RefreshToken.Reveal(), g.AccessToken.Reveal()
	credentials := []string{
		refresh, access, w.serverKey, w.adminKey,
		refresh + "x", refresh[:len(refresh)-1], access + "x", access[:len(access)-2], w.serverKey + "x",
		w.adminKey[:len(w.adminKey)-1],
		strings.ToUpper(refresh), " " + access, "Bearer " + access,
	}
	var headers [][]string
	for _, c := range credentials {
		headers = append(headers,
			[]string{"Authorization", "Bearer " + c}, []string{"Authorization", "Basic " + c},
			[]string{"Authorization", c},
			[]string{"X-Stack-Refresh-Token", c},
			[]string{"X-Stack-Access-Type", "client", "X-Stack-Project-Id", "app", "X-Stack-Access-Token", c},
			[]string{"X-Stack-Access-Type", "server", "X-Stack-Project-Id", "app", "X-Stack-Secret-Server-Key", c},
			[]string{"X-Stack-Access-Type", "admin", "X-Stack-Project-Id", "app", "X-Stack-Super-Secret-Admin-Key", c},
			[]string{"X-Stack-Access-Type", "client", "X-Stack-Project-Id", "app", "X-Stack-Publishable-Client-Key", c},
			[]string{
				"X-Hexclave-Access-Type", "server", "X-Hexclave-Project-Id", "app", "X-Hexclave-Secret-Server-Key",
				w.serverKey, "X-Hexclave-Access-Token", c,
			},
		)
	}
	note := func(answer *httptest.ResponseRecorder) {
		fmt.Fprintf(&sinks.answers, "%d %v\n", answer.Code, answer.Header())
		body := answer.Body.Bytes()
		var grant struct {
			RefreshToken string `json:"refresh_token"`
			AccessToken  string `json:"access_token"`
		}
		if answer.Code == http.StatusOK && json.Unmarshal(body, &grant) == nil && grant.RefreshToken != "" {
			w.issued(t, sessions.Grant{
				RefreshToken: sessions.NewToken(grant.RefreshToken), AccessToken: sessions.NewToken(grant.AccessToken),
			})
			return
		}
		_, _ = sinks.answers.Write(body)
	}
	quote := func(s string) string {
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for _, h := range headers {
		for _, r := range []struct{ method, path, body string }{
			{http.MethodPost, "/auth/sessions", `{"user_id":"alice"}`},
			{http.MethodGet, "/auth/sessions?user_id=alice", ""},
			{http.MethodGet, "/auth/sessions/current", ""},
			{http.MethodDelete, "/auth/sessions/0195e000-0000-7000-8000-000000000001", ""},
			{http.MethodDelete, "/auth/sessions?user_id=nobody", ""},
			{http.MethodPost, "/auth/sessions/current/refresh", ""},
			{http.MethodGet, "/.well-known/jwks.json", ""},
			{http.MethodPut, "/auth/sessions", ""},
			{http.MethodGet, "/nothing", ""},
		} {
			note(w.serve(r.method, r.path, r.body, h...))
		}
	}
	for _, c := range credentials {
		for _, body := range []string{
			`{"grant_type":"refresh_token","client_id":"app","refresh_token":` + quote(c) + `}`,
			`{"grant_type":"refresh_token","client_id":"app","client_secret":` + quote(c) + `,"refresh_token":"x"}`,
			`{"grant_type":"password","client_id":"app","refresh_token":` + quote(c) + `}`,
			`{"grant_type":"refresh_token","refresh_token":[` + quote(c) + `]}`,
			`{"refresh_token":` + quote(c), // cut off
		} {
			note(w.serve(http.MethodPost, "/auth/oauth/token", body))
		}
		// Not one that revokes g, which is still needed.
		if c != refresh {
			note(w.serve(http.MethodPost, "/auth/oauth/revoke", `{"token":`+quote(c)+`}`))
		}
		_, err := w.manager.Refresh(t.Context(), c, sessions.Client{})
		sinks.error(err)
		_, err = w.manager.Verify(c)
		sinks.error(err)
		_, err = sessions.HashServerKey(strings.Repeat("n", 300), c)
		sinks.error(err)
		_, err = sessions.HashServerKey("", c)
		sinks.error(err)
		_, err = w.manager.List(t.Context(), "alice", sessions.ListOptions{Cursor: "?"})
		sinks.error(err)
	}
}

func TestLogsErrorsEventsAndAnswersHoldNoSecret(t *testing.T) {
	t.Parallel()
	for _, stores := range openStores {
		if stores.name == "postgres" {
			continue // what differs there is the driver, which the tests of package store have
		}
		t.Run(stores.name, func(t *testing.T) {
			t.Parallel()
			sinks := newDumpSinks()
			inner := stores.open(t).handle(t)
			if inner.db != nil {
				// The host logs as much as GORM can. That logger is on its handle,
				// from which the store has taken its own.
				inner.db = dumpLoudGORM(t, &sinks.gorm)
				inner.Store = dumpStoreOn(t, inner.db)
			}
			talkative := &dumpTalkative{Store: inner.Store}
			faults := &sessionstest.Faults{Store: talkative}
			var hooks struct {
				sync.Mutex
				users, claims, event func(given ...any) error
			}
			hook := func(get func() func(given ...any) error) func(given ...any) error {
				hooks.Lock()
				defer hooks.Unlock()
				if f := get(); f != nil {
					return f
				}
				return func(...any) error { return nil }
			}
			w := newDumpWorld(t, faults, func(w *dumpWorld, cfg *sessions.Config) {
				cfg.Logger = sinks.logger()
				cfg.Users = func(ctx context.Context, id string) (sessions.User, error) {
					if err := hook(func() func(...any) error { return hooks.users })(ctx, id); err != nil {
						return sessions.User{}, err
					}
					return w.user(ctx, id)
				}
				cfg.Claims = func(ctx context.Context, s sessions.Session, u sessions.User) (map[string]any, error) {
					return nil, hook(func() func(...any) error { return hooks.claims })(ctx, s, u)
				}
				cfg.OnEvent = func(ctx context.Context, e sessions.Event) {
					dumpRender(e, func(_ string, text []byte) { _, _ = sinks.events.Write(text) })
					slog.New(slog.NewJSONHandler(&sinks.events, nil)).InfoContext(ctx, "event", "event", e)
					_ = hook(func() func(...any) error { return hooks.event })(ctx, e) // it has none to give
				}
			})
			g := w.create(t, "alice", "")
			dumpRequests(t, w, sinks, g)

			failed := errors.New("failed")
			say := func(given ...any) error { return fmt.Errorf("given %v %+v %#v", given, given, given) }
			shout := func(given ...any) error { panic(fmt.Sprintf("given %v %+v %#v", given, given, given)) }
			for _, trouble := range []struct {
				on, off func()
			}{
				{func() { talkative.set(true) }, func() { talkative.set(false) }},
				{func() { faults.Before = func(context.Context, sessionstest.Call) error { return failed } },
					func() { faults.Before = nil }},
				{func() { faults.After = func(context.Context, sessionstest.Call) error { return failed } },
					func() { faults.After = nil }},
				{func() { hooks.users = say }, func() { hooks.users = nil }},
				{func() { hooks.users = shout }, func() { hooks.users = nil }},
				{func() { hooks.claims = say }, func() { hooks.claims = nil }},
				{func() { hooks.claims = shout }, func() { hooks.claims = nil }},
				{func() { hooks.event = shout }, func() { hooks.event = nil }},
			} {
				trouble.on()
				for range 2 {
					for _, r := range [][]string{
						{http.MethodPost, "/auth/sessions", `{"user_id":"alice"}`, "Authorization",
							"Bearer " + w.serverKey},
						{http.MethodGet, "/auth/sessions?user_id=alice", "", "Authorization", "Bearer " + w.adminKey},
						{http.MethodGet, "/auth/sessions/current", "", "Authorization",
							"Bearer " + g.AccessToken.Reveal()},
						{http.MethodPost, "/auth/sessions/current/refresh", "", "X-Stack-Refresh-Token",
							g.RefreshToken.Reveal()},
						{http.MethodDelete, "/auth/sessions?user_id=bob", "", "Authorization", "Bearer " + w.adminKey},
					} {
						if answer := w.serve(r[0], r[1], r[2], r[3:]...); answer.Code >= http.StatusBadRequest {
							fmt.Fprintf(&sinks.answers, "%v %s\n", answer.Header(), answer.Body)
						}
					}
				}
				dumpManagerErrors(t, w, sinks, g)
				trouble.off()
			}
			if inner.db != nil {
				// The drivers' own words, at last.
				if err := inner.db.Exec(`DROP TABLE sessile_sessions`).Error; err != nil {
					t.Fatal(err)
				}
				dumpRequests(t, w, sinks, g)
				dumpManagerErrors(t, w, sinks, g)
			}

			for name, sink := range sinks.all() {
				if found := w.canaries.find(sink.text.Bytes()); len(found) > 0 {
					t.Errorf("%s: %v", name, found)
				}
				if sink.text.Len() == 0 && (name != "the host's GORM log" || inner.db != nil) {
					t.Errorf("%s: nothing was written, so nothing was searched", name)
				}
				t.Logf("%s: %d bytes", name, sink.text.Len())
			}
		})
	}
}

// dumpManagerErrors collects the errors of the methods that HTTP hides.
func dumpManagerErrors(t testing.TB, w *dumpWorld, sinks *dumpSinks, g sessions.Grant) {
	t.Helper()
	done, cancel := context.WithCancel(t.Context())
	cancel()
	for _, ctx := range []context.Context{t.Context(), done} {
		for _, call := range []func() error{
			func() error {
				g, err := w.manager.Create(ctx, sessions.CreateParams{UserID: "bob"})
				if err == nil {
					w.issued(t, g)
				}
				return err
			},
			func() error { _, err := w.manager.Create(ctx, sessions.CreateParams{UserID: "\n"}); return err },
			func() error {
				_, err := w.manager.Refresh(ctx, g.RefreshToken.Reveal(), sessions.Client{})
				return err
			},
			func() error {
				_, err := w.manager.Check(ctx, sessions.Identity{UserID: "alice", SessionID: g.Session.ID})
				return err
			},
			func() error { _, err := w.manager.Get(ctx, g.Session.ID); return err },
			func() error { _, err := w.manager.List(ctx, "alice", sessions.ListOptions{}); return err },
			func() error { _, err := w.manager.End(ctx, sessions.EndParams{ID: sessions.Session{}.ID}); return err },
			func() error { _, err := w.manager.EndMany(ctx, sessions.EndManyParams{UserID: "bob"}); return err },
			func() error {
				_, err := w.manager.EndByRefreshToken(ctx, g.RefreshToken.Reveal()+"x", sessions.EndParams{})
				return err
			},
			func() error { _, err := w.manager.Prune(ctx); return err },
			func() error { return w.manager.CheckClock(ctx) },
			func() error {
				joined := w.manager.Join(w.config.Store)
				_, err := joined.End(ctx, sessions.EndParams{ID: g.Session.ID, By: g.RefreshToken.Reveal() + "\n"})
				return err
			},
			func() error {
				broken := w.config
				broken.Issuer, broken.Store = "", nil
				broken.Secrets = [][]byte{dumpSecrets[0], dumpSecrets[0], dumpSecrets[1][:31]}
				broken.ServerKeys = []sessions.ServerKey{
					{Name: "backend", Access: sessions.AccessServer, SHA256: w.serverKey},
				}
				_, err := sessions.New(broken)
				return err
			},
		} {
			func() {
				defer func() {
					// What a hook panics with is the host's own.
					_ = recover()
				}()
				sinks.error(call())
			}()
		}
	}
}

// dumpLoudGORM is a handle of a host that logs every statement with its values.
func dumpLoudGORM(t testing.TB, out io.Writer) *gorm.DB {
	t.Helper()
	db, err := gorm.Open(sqlite.Open(documentedDSN(filepath.Join(t.TempDir(), "loud.db"))), &gorm.Config{
		Logger: logger.New(log.New(out, "", 0), logger.Config{SlowThreshold: 1, LogLevel: logger.Info}),
	})
	if err != nil {
		t.Fatal(err)
	}
	pool := dumpPool(t, db)
	pool.SetMaxOpenConns(1)
	t.Cleanup(func() {
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := db.Exec(`SELECT ?`, "the host's own statement").Error; err != nil {
		t.Fatal(err)
	}
	return db
}

func dumpStoreOn(t testing.TB, db *gorm.DB) *store.Store {
	t.Helper()
	st, err := store.New(db, store.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return st
}

// A connection string often holds the database's password.
func TestErrorsHoldNoPassword(t *testing.T) {
	t.Parallel()
	const password = "correct-horse-battery-staple"
	c := newDumpCanaries()
	c.add("the password", []byte(password))
	// Nothing listens on port 1 of this machine.
	db, err := gorm.Open(postgres.Open("postgres://host:"+password+
		"@127.0.0.1:1/app?sslmode=disable&connect_timeout=5"), &gorm.Config{
		DisableAutomaticPing: true, Logger: logger.Discard,
	})
	if err != nil {
		t.Fatal(err)
	}
	st, err := store.New(db, store.Config{})
	if err != nil {
		t.Fatal(err)
	}
	sinks := newDumpSinks()
	w := newDumpWorld(t, st, func(_ *dumpWorld, cfg *sessions.Config) { cfg.Logger = sinks.logger() })
	_, err = w.manager.Create(t.Context(), sessions.CreateParams{UserID: "alice"})
	if !errors.Is(err, sessions.ErrUnavailable) {
		t.Fatalf("got %v from a database that is not there", err)
	}
	sinks.error(err)
	sinks.error(st.Migrate(t.Context()))
	if answer := w.serve(http.MethodPost, "/auth/sessions", `{"user_id":"alice"}`, "Authorization",
		"Bearer "+w.serverKey); answer.Code != http.StatusServiceUnavailable {
		t.Errorf("answered %d", answer.Code)
	}
	dumpRender(st, func(_ string, text []byte) { _, _ = sinks.errors.Write(text) })
	for name, sink := range sinks.all() {
		if found := c.find(sink.text.Bytes()); len(found) > 0 {
			t.Errorf("%s: %v", name, found)
		}
	}
	if sinks.logText.text.Len() == 0 || sinks.errors.text.Len() == 0 {
		t.Error("nothing was written, so nothing was searched")
	}
}

// dumpHidden is the shape that fmt looks into without asking.
const dumpHidden = "in an unexported field"

// dumpRender shows a value in every way that this test knows.
func dumpRender(v any, show func(how string, text []byte)) (renderings int) {
	render := func(how string, text []byte) {
		renderings++
		show(how, text)
	}
	type exported struct{ Value any }
	type hidden struct{ value any }
	pointer := reflect.New(reflect.TypeOf(v))
	pointer.Elem().Set(reflect.ValueOf(v))
	err, isError := v.(error)
	shapes := map[string]any{
		"itself": v, "a pointer to it": pointer.Interface(), "in a struct": exported{v}, dumpHidden: hidden{v},
		"in a slice": []any{v}, "in a map": map[string]any{"key": v},
	}
	if isError {
		shapes["wrapped"] = fmt.Errorf("wrapped: %w", errors.Join(err, io.EOF))
	}
	for shape, s := range shapes {
		for _, verb := range []string{
			"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%#x", "%d", "%b", "%o", "%U", "%c", "%e", "%t", "%T",
			"%08v", "%-20s", "%+q",
		} {
			render(verb+" of "+shape, fmt.Appendf(nil, verb, s))
		}
		render("Sprint of "+shape, fmt.Append(nil, s))
		render("Sprintln of "+shape, fmt.Appendln(nil, "", s, s))
		// Not all can be encoded, and then the error must be as silent.
		encode := func(how string, b []byte, err error) { render(how+" of "+shape, fmt.Appendf(b, "\n%v", err)) }
		b, err := json.Marshal(s)
		encode("JSON", b, err)
		b, err = json.MarshalIndent(s, "", "\t")
		encode("indented JSON", b, err)
		b, err = xml.Marshal(s)
		encode("XML", b, err)
		var buffer bytes.Buffer
		err = gob.NewEncoder(&buffer).Encode(s)
		encode("gob", buffer.Bytes(), err)
		for name, handler := range map[string]func(w io.Writer) slog.Handler{
			"slog text": func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, nil) },
			"slog JSON": func(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, nil) },
		} {
			var buffer bytes.Buffer
			slog.New(handler(&buffer)).With("with", s).WithGroup("group").Error("message", "value", s,
				slog.Group("inner", "value", s))
			render(name+" of "+shape, buffer.Bytes())
		}
		buffer.Reset()
		log.New(&buffer, "", log.Lshortfile).Print(s)
		render("log of "+shape, buffer.Bytes())
	}
	return renderings
}

// dumpPackages are those that hosts import, with their folders.
var dumpPackages = map[string]string{
	"sessions": "../sessions", "store": "../store", "middleware": "../middleware", "echov4": "../middleware/echov4",
}

// dumpExportedTypes reads the names of the types that a package exports.
func dumpExportedTypes(t testing.TB) (names []string) {
	t.Helper()
	for name, dir := range dumpPackages {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%d files in %s: %v", len(files), dir, err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), file, src, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, decl := range parsed.Decls {
				if decl, ok := decl.(*ast.GenDecl); ok && decl.Tok == token.TYPE {
					for _, spec := range decl.Specs {
						if spec, ok := spec.(*ast.TypeSpec); ok && spec.Name.IsExported() {
							names = append(names, name+"."+spec.Name.Name)
						}
					}
				}
			}
		}
	}
	slices.Sort(names)
	return names
}

// dumpHolding are values of every exported type of our packages, as full of live
// secrets as they get in a host that runs.
func dumpHolding(t testing.TB, w *dumpWorld, db *gorm.DB, st *store.Store) map[string][]any {
	t.Helper()
	g := w.create(t, "alice", "")
	ended, err := w.manager.End(t.Context(), sessions.EndParams{
		ID: g.Session.ID, Reason: sessions.EndRevoked, By: "backend",
	})
	if err != nil {
		t.Fatal(err)
	}
	g = w.create(t, "alice", `,"is_impersonation":true,"actor":{"user_id":"support"},"reason":"ticket 4711"`)
	handed := w.handOff(t, "alice")
	again, err := w.manager.Refresh(t.Context(), g.RefreshToken.Reveal(), sessions.Client{
		IP: "203.0.113.7", UserAgent: "Browser/1.0",
	})
	if err != nil {
		t.Fatal(err)
	}
	w.issued(t, again)
	identity, err := w.manager.Verify(again.AccessToken.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	list, err := w.manager.List(t.Context(), "alice", sessions.ListOptions{Impersonations: true})
	if err != nil {
		t.Fatal(err)
	}
	var rows []store.Row
	if err := db.Table(store.DefaultTable).Find(&rows).Error; err != nil {
		t.Fatal(err)
	}

	scalar := bytes.Repeat([]byte("kms!"), 8)
	signer, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar)
	if err != nil {
		t.Fatal(err)
	}
	w.canaries.addScalar("the key of the KMS", scalar)
	config := w.config
	config.Signers = []crypto.Signer{signer}
	config.ClientKeys, config.RequireClientKey = []string{"publishable"}, true
	config.Cookies = sessions.Cookies{Enabled: true, RefreshPath: "/auth/sessions/current"}
	config.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	withKMS, err := sessions.New(config)
	if err != nil {
		t.Fatal(err)
	}
	joined := w.manager.Join(w.config.Store)
	if _, err := joined.Create(t.Context(), sessions.CreateParams{UserID: "bob"}); err != nil {
		t.Fatal(err)
	}
	refused, err := w.manager.Refresh(t.Context(), g.RefreshToken.Reveal()+"x", sessions.Client{})
	if err == nil || refused != (sessions.Grant{}) {
		t.Fatal("a mangled token was taken")
	}
	state := sessions.NewRefreshState(theftStart)
	moment := sessions.Moment{Now: theftStart, IdleCutoff: theftStart}
	event := w.events[len(w.events)-1]

	return map[string][]any{
		"sessions.AccessType": {identity.Access},
		"sessions.APIError": {
			*sessions.NewAPIError(err), sessions.NewAPIError(fmt.Errorf("%w: %+v", sessions.ErrUnavailable, again)),
		},
		"sessions.AuthenticationTooOldError": {sessions.AuthenticationTooOldError{MaxAge: time.Minute}},
		"sessions.Client":                    {again.Session.Client},
		"sessions.Config":                    {config},
		"sessions.Cookies":                   {config.Cookies},
		"sessions.CreateParams":              {sessions.CreateParams{UserID: "alice", Client: again.Session.Client}},
		"sessions.EndDependentsParams": {
			sessions.EndDependentsParams{ParentSessionIDs: []string{g.Session.ID}, Now: theftStart},
		},
		"sessions.EndManyParams": {
			sessions.EndManyParams{UserID: "alice", ExceptID: g.Session.ID, Now: moment.Now},
		},
		"sessions.EndParams":    {sessions.EndParams{ID: g.Session.ID, Now: moment.Now}},
		"sessions.EndReason":    {ended.EndReason},
		"sessions.EndedSession": {sessions.EndedSession{ID: g.Session.ID, EndedAt: theftStart}},
		"sessions.Event": {
			event, sessions.Event{Session: ended, Client: again.Session.Client, OldSecret: true},
		},
		"sessions.EventType":     {event.Type},
		"sessions.ExpiredError":  {sessions.ExpiredError{UserID: "alice", SessionID: g.Session.ID}},
		"sessions.Grant":         {g, again, handed},
		"sessions.Handler":       {w.handler, sessions.NewHandler(withKMS), *w.handler},
		"sessions.Health":        {w.manager.Health()},
		"sessions.Identity":      {identity},
		"sessions.Impersonation": {sessions.Impersonation{TTL: time.Hour, MaxTTL: time.Hour}},
		"sessions.ListOptions":   {sessions.ListOptions{Cursor: list.Next, Limit: 1}},
		"sessions.ListParams":    {sessions.ListParams{UserID: "alice", Moment: moment}},
		"sessions.ListPosition":  {sessions.ListPosition{CreatedAt: theftStart, ID: g.Session.ID}},
		"sessions.Joined":        {joined, *joined},
		"sessions.Manager":       {w.manager, withKMS, *w.manager, *withKMS},
		"sessions.Moment":        {moment},
		"sessions.Need":          {sessions.NeedServer},
		"sessions.Outcome":       {sessions.OutcomeReplay},
		"sessions.PruneParams":   {sessions.PruneParams{EndedBefore: theftStart, Limit: 1}},
		"sessions.RedeemParams": {
			sessions.RedeemParams{ID: handed.Session.ID, Hash: handed.Session.HandoffHash, Moment: moment},
		},
		"sessions.RefreshParams": {
			sessions.RefreshParams{ID: g.Session.ID, Presented: 2, Moment: moment, Client: again.Session.Client},
		},
		"sessions.RefreshResult": {
			sessions.RefreshResult{Session: again.Session, State: state, Outcome: sessions.OutcomeRotated},
		},
		"sessions.RefreshState": {state},
		"sessions.Revocation":   {sessions.Strict},
		"sessions.Rotation":     {sessions.StrictRotation()},
		"sessions.Route":        {w.handler.Routes()[0]},
		"sessions.ServerKey":    {w.config.ServerKeys[0]},
		"sessions.Session":      {again.Session, ended},
		"sessions.SessionList":  {list},
		"sessions.Store":        {w.config.Store},
		"sessions.Token":        {g.RefreshToken, g.AccessToken, sessions.NewToken(w.serverKey)},
		"sessions.User":         {sessions.User{ID: "alice"}},
		"store.AuditEntry": {
			store.AuditEntry{SessionID: g.Session.ID, UserID: "alice", Client: again.Session.Client},
		},
		"store.AuditPosition": {store.AuditPosition{At: theftStart, ID: g.Session.ID}},
		"store.AuditQuery":    {store.AuditQuery{UserID: "alice"}},
		"store.Config":        {store.Config{Table: store.DefaultTable}},
		"store.Row":           {rows[0]},
		"store.Store":         {st},
		"middleware.Config":   {middleware.Config{Manager: w.manager}},
		"echov4.Config":       {echov4.Config{Manager: w.manager}},
		"echov4.Router":       {struct{ echov4.Router }{}},
	}
}

// dumpFill fills every empty exported field, with live secrets if its type allows, so that
// fields that are added later are rendered, too.
func dumpFill(v reflect.Value, g sessions.Grant) {
	switch v.Interface().(type) {
	case sessions.Token:
		v.Set(reflect.ValueOf(g.RefreshToken))
		return
	case []byte:
		v.SetBytes(dumpSecrets[0])
		return
	case [][]byte:
		v.Set(reflect.ValueOf(dumpSecrets))
		return
	case time.Time:
		v.Set(reflect.ValueOf(theftStart))
		return
	case error:
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for _, field := range v.Fields() {
			if field.CanSet() && (field.IsZero() || field.Kind() == reflect.Struct) {
				dumpFill(field, g)
			}
		}
	case reflect.String:
		v.SetString("text")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		dumpFill(v.Index(0), g)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		dumpFill(v.Elem(), g)
	default: // functions, maps and interfaces hold nothing to read
	}
}

func TestNoExportedTypeShowsASecret(t *testing.T) {
	t.Parallel()
	var ignored bytes.Buffer
	db := dumpLoudGORM(t, &ignored)
	st := dumpStoreOn(t, db)
	w := newDumpWorld(t, st)
	holding := dumpHolding(t, w, db, st)
	g, ok := holding["sessions.Grant"][0].(sessions.Grant)
	if !ok {
		t.Fatal("no grant")
	}

	if want, have := dumpExportedTypes(t), slices.Sorted(maps.Keys(holding)); !slices.Equal(want, have) {
		missing := slices.DeleteFunc(slices.Clone(want), func(s string) bool { return slices.Contains(have, s) })
		extra := slices.DeleteFunc(have, func(s string) bool { return slices.Contains(want, s) })
		t.Errorf("exported types without a value here: %v; values of types that are gone: %v", missing, extra)
	}

	values, renderings, size, limit := 0, 0, 0, false
	for name, all := range holding {
		for _, v := range all {
			filled := reflect.New(reflect.TypeOf(v)).Elem()
			filled.Set(reflect.ValueOf(v))
			if filled.Kind() == reflect.Struct {
				dumpFill(filled, g)
			}
			for _, v := range []any{v, filled.Interface()} {
				values++
				renderings += dumpRender(v, func(how string, text []byte) {
					size += len(text)
					_, isConfig := v.(sessions.Config)
					// fmt calls no method of what it reaches through an unexported
					// field, and Config.Secrets is plain bytes. Config says so.
					if isConfig && strings.HasSuffix(how, dumpHidden) {
						limit = limit || len(w.canaries.find(text)) > 0
						return
					}
					if found := w.canaries.find(text); len(found) > 0 {
						t.Errorf("%s, %T: %s shows %v", name, v, how, found)
					}
				})
			}
		}
	}
	if !limit {
		t.Error(
			"a Config behind an unexported field shows nothing now: take the exception and the warning in Config out",
		)
	}
	t.Logf("%d types, %d values, %d renderings of %d bytes, %d secrets in %d spellings", len(holding), values,
		renderings, size, w.canaries.secrets, w.canaries.strings)

	// The same search finds a host's own type that does not redact.
	type careless struct {
		Token  string
		Secret []byte
		Key    *ecdsa.PrivateKey
	}
	found := map[string]bool{}
	for _, v := range []any{
		careless{Token: g.RefreshToken.Reveal()}, careless{Secret: dumpSecrets[0]}, careless{Token: w.serverKey},
		errors.New(g.AccessToken.Reveal()),
	} {
		dumpRender(v, func(how string, text []byte) {
			if len(w.canaries.find(text)) > 0 {
				found[how] = true
			}
		})
	}
	for _, verb := range []string{
		"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "JSON", "XML", "gob", "slog text", "slog JSON",
		"log", "Sprint",
	} {
		if !found[verb+" of itself"] {
			t.Errorf("a secret shown by %s is not found", verb)
		}
	}
}
