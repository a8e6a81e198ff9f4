package httpapi_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

// The administrators of these tests; the policy protects them from each other.
const (
	root  = "0b7e6d2a-6c1f-4a53-9a44-0d6c8f0f5a10"
	other = "0b7e6d2a-6c1f-4a53-9a44-0d6c8f0f5a11"
)

// office is an env whose host lets its administrators impersonate everybody else.
type office struct {
	*env
	policy struct {
		sync.Mutex
		admins map[string]bool
		gone   map[string]error
		err    error
	}
}

func newOffice(t testing.TB, configure ...func(*sessions.Config)) *office {
	t.Helper()
	o := &office{}
	o.policy.admins = map[string]bool{root: true, other: true}
	o.policy.gone = map[string]error{}
	o.env = newEnv(t, append([]func(*sessions.Config){func(c *sessions.Config) {
		c.MayImpersonate = func(_ context.Context, actor sessions.Identity, target sessions.User) error {
			o.policy.Lock()
			defer o.policy.Unlock()
			switch {
			case o.policy.err != nil:
				return o.policy.err
			case !o.policy.admins[actor.UserID] || o.policy.admins[target.ID]:
				return fmt.Errorf("the policy of the tests: %w", sessions.ErrImpersonationNotAllowed)
			default:
				return nil
			}
		}
	}}, configure...)...)
	o.setUsers(func(ctx context.Context, id string) (sessions.User, error) {
		o.policy.Lock()
		defer o.policy.Unlock()
		if err := o.policy.gone[id]; err != nil {
			return sessions.User{}, err
		}
		if id == root || id == other {
			return sessions.User{ID: id}, nil
		}
		return knownUsers(ctx, id)
	})
	return o
}

func (o *office) change(f func()) {
	o.policy.Lock()
	defer o.policy.Unlock()
	f()
}

func (o *office) demote(id string) { o.change(func() { delete(o.policy.admins, id) }) }

func (o *office) lose(id string, err error) { o.change(func() { o.policy.gone[id] = err }) }

// ask is a create.
func (o *office) ask(t testing.TB, as option, text string, more ...option) answer {
	t.Helper()
	return o.do(t, http.MethodPost, "/auth/sessions", append([]option{as, jsonBody(text)}, more...)...)
}

func target(user string, members ...string) string {
	return `{"user_id":"` + user + `"` + strings.Join(append([]string{""}, members...), ",") + `}`
}

// become is an impersonation of alice by the owner of an access token.
func (o *office) become(t testing.TB, access string, members ...string) grant {
	t.Helper()
	a := o.ask(t, bearer(access), target(alice, members...)).want(t, 200)
	return grant{a.text("session_id"), a.text("refresh_token"), a.text("access_token")}
}

func (o *office) redeem(t testing.TB, code string, more ...option) answer {
	t.Helper()
	quoted, err := json.Marshal(code)
	if err != nil {
		t.Fatal(err)
	}
	return o.do(t, http.MethodPost, "/auth/sessions/redeem",
		append([]option{jsonBody(`{"code":` + string(quoted) + `}`)}, more...)...)
}

// dead fails the test if any credential of g still works.
func (o *office) dead(t testing.TB, g grant) {
	t.Helper()
	o.do(t, http.MethodGet, "/auth/sessions/current", bearer(g.access)).refused(t, 401, "ACCESS_TOKEN_EXPIRED")
	o.refresh(t, g.refresh).refused(t, 401, "REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED")
}

func (o *office) alive(t testing.TB, g grant) {
	t.Helper()
	o.do(t, http.MethodGet, "/auth/sessions/current", bearer(g.access)).want(t, 200)
	o.refresh(t, g.refresh).want(t, 200)
}

// claims are those of an access token, signature aside.
func claims(t testing.TB, token string) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatal("not a JWT")
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var c map[string]any
	if err := json.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// What a user asks for is an impersonation, whatever the request calls it, and the
// caller is its actor.
func TestAUserImpersonates(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"with nothing but a user":       target(alice),
		"and says that it is one":       target(alice, `"is_impersonation":true`),
		"and says that it is none":      target(alice, `"is_impersonation":false`),
		"and names itself as the actor": target(alice, `"actor":{"user_id":"`+root+`"}`),
		"and names itself, and says it is no": target(alice, `"is_impersonation":false`,
			`"actor":{"user_id":"`+root+`"}`),
	} {
		for scheme := range 3 {
			t.Run(name+"/"+strconv.Itoa(scheme), func(t *testing.T) {
				t.Parallel()
				o := newOffice(t)
				admin := o.signIn(t, root)
				o.takeEvents()
				a := o.ask(t, o.both(admin.access)[scheme].as, body, header("User-Agent", "Office/1")).want(t, 200)
				if len(a.json) != 8 || a.json["is_impersonation"] != true || a.text("user_id") != alice ||
					a.json["expires_at_millis"] != float64(began.Add(time.Hour).UnixMilli()) {
					t.Errorf("%s", redactedBody(a))
				}
				s := o.row(t, a.text("session_id"))
				if !s.Impersonation || s.UserID != alice || s.Actor != root || s.ParentSessionID != admin.id ||
					s.CreatedBy != root || !s.AuthTime.IsZero() || s.Client.UserAgent != "Office/1" {
					t.Errorf("%+v", s)
				}
				c := claims(t, a.text("access_token"))
				if act, _ := c["act"].(map[string]any); len(act) != 1 || act["sub"] != root || c["sub"] != alice ||
					c["sid"] != s.ID {
					t.Errorf("claims %v", c)
				}
				if _, has := c["auth_time"]; has {
					t.Error("the user has not authenticated, and yet there is auth_time")
				}
				id, err := o.manager.Verify(a.text("access_token"))
				if err != nil || !id.Impersonation || id.Actor != root || !id.AuthTime.IsZero() {
					t.Errorf("%+v, %v", id, err)
				}
				events := o.takeWholeEvents()
				if len(events) != 1 || events[0].Type != sessions.EventCreated || events[0].Session != s {
					t.Errorf("events %+v", events)
				}
				next := o.refresh(t, a.text("refresh_token")).want(t, 200)
				c = claims(t, next.text("access_token"))
				if act, _ := c["act"].(map[string]any); len(act) != 1 || act["sub"] != root || c["auth_time"] != nil {
					t.Errorf("refreshed claims %v", c)
				}
			})
		}
	}
}

// An ordinary session has no actor.
func TestAnOrdinaryTokenHasNoActor(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	c := claims(t, o.signIn(t, alice).access)
	if _, has := c["act"]; has || c["auth_time"] == nil {
		t.Errorf("claims %v", c)
	}
}

// Every refusal of an impersonation: the documented error, nothing written, one
// event that says why and who it was.
func TestARefusedImpersonation(t *testing.T) {
	t.Parallel()
	type test struct {
		as     string // whose credential; root's if empty
		body   string
		status int
		code   string
		why    string
		change func(o *office)
		config func(*sessions.Config)
	}
	const invalid, notAllowed = "SCHEMA_ERROR", "IMPERSONATION_NOT_ALLOWED"
	governed := func(c *sessions.Config) { c.Impersonation.RequireActor, c.Impersonation.RequireReason = true, true }
	noPolicy := func(c *sessions.Config) { c.MayImpersonate = nil }
	tests := map[string]test{
		"by nobody's leave": {
			body: target(alice), status: 401, code: "INSUFFICIENT_ACCESS_TYPE", why: "not_allowed", config: noPolicy,
		},
		"by nobody's leave, with a bad body": {
			body: target(alice, `"actor":7`), status: 401, code: "INSUFFICIENT_ACCESS_TYPE", why: "not_allowed",
			config: noPolicy,
		},
		"from one, by nobody's leave": {
			as: "acting", body: target(bob), status: 401, code: "INSUFFICIENT_ACCESS_TYPE", why: "not_allowed",
			config: noPolicy,
		},
		"by a user who may not": {
			as: "bob", body: target(alice), status: 403, code: notAllowed, why: "not_allowed",
		},
		"of another administrator": {
			body: target(other), status: 403, code: notAllowed, why: "not_allowed",
		},
		"of oneself": {body: target(root), status: 403, code: notAllowed, why: "oneself"},
		"of me":      {body: target("me"), status: 403, code: notAllowed, why: "oneself"},
		"of me, by a user who may not": {
			as: "bob", body: target("me"), status: 403, code: notAllowed, why: "oneself",
		},
		"from an impersonation": {
			as: "acting", body: target(bob), status: 403, code: notAllowed, why: "chained",
		},
		"from an impersonation, of the actor": {
			as: "acting", body: target(root), status: 403, code: notAllowed, why: "chained",
		},
		"from an impersonation, of me": {
			as: "acting", body: target("me"), status: 403, code: notAllowed, why: "chained",
		},
		"from a key's impersonation of root": {
			as: "acting root", body: target(bob), status: 403, code: notAllowed, why: "chained",
		},
		"from a session that has ended": {
			as: "ended", body: target(alice), status: 401, code: "ACCESS_TOKEN_EXPIRED",
		},
		"with a token that has expired": {
			body: target(alice), status: 401, code: "ACCESS_TOKEN_EXPIRED", change: func(o *office) {
				o.clock.Advance(11 * time.Minute)
			},
		},
		"from an impersonation that has ended": {
			as: "ended acting", body: target(bob), status: 401, code: "ACCESS_TOKEN_EXPIRED",
		},
		"by somebody demoted a moment ago": {
			body: target(alice), status: 403, code: notAllowed, why: "not_allowed", change: func(o *office) {
				o.demote(root)
			},
		},
		"by somebody disabled a moment ago": {
			body: target(alice), status: 403, code: notAllowed, why: "not_allowed", change: func(o *office) {
				o.lose(root, sessions.ErrUserDisabled)
			},
		},
		"by somebody who is gone": {
			body: target(alice), status: 403, code: notAllowed, why: "not_allowed", change: func(o *office) {
				o.lose(root, sessions.ErrUserNotFound)
			},
		},
		"of somebody promoted a moment ago": {
			body: target(alice), status: 403, code: notAllowed, why: "not_allowed", change: func(o *office) {
				o.change(func() { o.policy.admins[alice] = true })
			},
		},
		"of a user that nobody knows": {
			body: target(unknown), status: 400, code: "USER_ID_DOES_NOT_EXIST", why: "user_not_found",
		},
		"of a user in other case": {
			body: target(strings.ToUpper(alice)), status: 400, code: "USER_ID_DOES_NOT_EXIST", why: "user_not_found",
		},
		"of a disabled user": {
			body: target(disabled), status: 400, code: "USER_ID_DOES_NOT_EXIST", why: "user_disabled",
		},
		"where the policy cannot tell": {
			body: target(alice), status: 503, code: "TEMPORARILY_UNAVAILABLE", why: "unavailable",
			change: func(o *office) { o.change(func() { o.policy.err = errors.New("no route to policy.internal") }) },
		},
		"where the policy takes too long": {
			body: target(alice), status: 503, code: "TEMPORARILY_UNAVAILABLE", why: "unavailable",
			change: func(o *office) { o.change(func() { o.policy.err = context.DeadlineExceeded }) },
		},
		"where the actor cannot be looked up": {
			body: target(alice), status: 503, code: "TEMPORARILY_UNAVAILABLE", why: "unavailable",
			change: func(o *office) { o.lose(root, errors.New("no route")) },
		},
		"where the store cannot write": {body: target(alice), status: 503, code: "TEMPORARILY_UNAVAILABLE",
			why: "unavailable", change: func(o *office) {
				o.setFault(sessionstest.FailAt(sessionstest.MethodCreate, 0, errors.New("disk full")))
			}},
		"where the session ends meanwhile": {body: target(alice), status: 401, code: "ACCESS_TOKEN_EXPIRED",
			change: func(o *office) {
				o.setFault(func(_ context.Context, c sessionstest.Call) error {
					if c.Method == sessionstest.MethodCreate {
						return sessions.ErrNotFound
					}
					return nil
				})
			}},
		"with a body that is no object": {body: `["` + alice + `"]`, status: 400, code: invalid, why: "invalid"},
		"without a user":                {body: `{}`, status: 400, code: invalid, why: "invalid"},
		"by a user without a reason": {
			body: target(alice), status: 400, code: invalid, why: "invalid", config: governed,
		},
		"by a user with an empty one": {
			body: target(alice, `"reason":""`), status: 400, code: invalid, why: "invalid", config: governed,
		},
		"by a key without an actor": {
			as: "server", body: target(alice, `"is_impersonation":true`, `"reason":"x"`), status: 400, code: invalid,
			why: "invalid", config: governed,
		},
		"by a key without a reason": {
			as: "admin", body: target(alice, `"is_impersonation":true`, `"actor":{"user_id":"a"}`), status: 400,
			code: invalid, why: "invalid", config: governed,
		},
		"by a key for oneself": {
			as: "server", body: target(alice, `"is_impersonation":true`, `"actor":{"user_id":"`+alice+`"}`),
			status: 403, code: notAllowed, why: "oneself",
		},
		"by a key of a user unknown": {
			as: "admin", body: target(unknown, `"is_impersonation":true`), status: 400, code: "USER_ID_DOES_NOT_EXIST",
			why: "user_not_found",
		},
		"by a key of a disabled user": {
			as: "server", body: target(disabled, `"is_impersonation":true`), status: 400,
			code: "USER_ID_DOES_NOT_EXIST", why: "user_disabled",
		},
		"by a key of me": {
			as: "server", body: target("me", `"is_impersonation":true`), status: 400,
			code: "CANNOT_GET_OWN_USER_WITHOUT_USER", why: "invalid",
		},
	}
	for name, member := range map[string]string{
		"an actor who is somebody else":     `"actor":{"user_id":"` + bob + `"}`,
		"an actor that is a string":         `"actor":"` + root + `"`,
		"an actor that is an array":         `"actor":["` + root + `"]`,
		"an actor that is null":             `"actor":null`,
		"an actor that is empty":            `"actor":{}`,
		"an actor with an empty id":         `"actor":{"user_id":""}`,
		"an actor with a line break":        `"actor":{"user_id":"` + root + `\n"}`,
		"an actor of 256 bytes":             `"actor":{"user_id":"` + strings.Repeat("a", 256) + `"}`,
		"an actor with more about it":       `"actor":{"user_id":"` + root + `","role":"admin"}`,
		"a reason of 501 bytes":             `"reason":"` + strings.Repeat("r", 501) + `"`,
		"a reason of 502 in 251 characters": `"reason":"` + strings.Repeat("ü", 251) + `"`,
		"a reason with a control character": `"reason":"a\u0000b"`,
		"a reason with an override":         `"reason":"a\u202eb"`,
		"a reason that is a number":         `"reason":7`,
		"a client of its own":               `"client":{"ip":"192.0.2.1"}`,
		"an empty client":                   `"client":{}`,
		"a day and a millisecond":           `"expires_in_millis":86400001`,
		"less than half a minute":           `"expires_in_millis":29999`,
		"a year":                            `"expires_in_millis":31536000000,"is_impersonation":false`,
		"a hand-off that is a string":       `"handoff":"true"`,
		"a field that nobody knows":         `"parent_session_id":"x"`,
	} {
		tests["by a user with "+name] = test{body: target(alice, member), status: 400, code: invalid, why: "invalid"}
	}
	tests["above the host's own ceiling"] = test{
		body: target(alice, `"expires_in_millis":600001`), status: 400, code: invalid, why: "invalid",
		config: func(c *sessions.Config) { c.Impersonation.MaxTTL = 10 * time.Minute },
	}

	for name, test := range tests {
		for scheme := range 3 {
			t.Run(name+"/"+strconv.Itoa(scheme), func(t *testing.T) {
				t.Parallel()
				var configure []func(*sessions.Config)
				if test.config != nil {
					configure = append(configure, test.config)
				}
				o := newOffice(t, configure...)
				admin, ended := o.signIn(t, root), o.signIn(t, root)
				acting := o.signIn(t, alice, impersonating(root), because)
				endedActing := o.signIn(t, alice, impersonating(root), because)
				for _, g := range []grant{ended, endedActing} {
					if _, err := o.manager.End(t.Context(), sessions.EndParams{ID: g.id}); err != nil {
						t.Fatal(err)
					}
				}
				credential, asker := admin.access, root
				switch test.as {
				case "bob":
					credential, asker = o.signIn(t, bob).access, bob
				case "acting":
					credential, asker = acting.access, alice
				case "acting root":
					credential = o.signIn(t, root, impersonating("support"), because).access
				case "ended":
					credential = ended.access
				case "ended acting":
					credential, asker = endedActing.access, alice
				case "server":
					credential, asker = o.serverKey, "backend"
				case "admin":
					credential, asker = o.adminKey, "console"
				}
				if test.change != nil {
					test.change(o)
				}
				o.takeEvents()
				before := o.snapshot(t)
				a := o.ask(t, o.both(credential)[scheme].as, test.body, header("User-Agent", "Office/1")).refused(t,
					test.status, test.code)
				if after := o.snapshot(t); before != after {
					t.Errorf("refused, and yet something changed: %s", difference(before, after))
				}
				event := o.toldRefusal(t, test.why)
				if test.why == "" { // of nobody
					return
				}
				if event.Session.CreatedBy != asker {
					t.Errorf("the event says that %q asked, it was %q", event.Session.CreatedBy, asker)
				}
				if event.Client.UserAgent != "Office/1" && !strings.HasPrefix(test.as, "server") &&
					!strings.HasPrefix(test.as, "admin") {
					t.Errorf("the event has the client %+v", event.Client)
				}
				if strings.Contains(string(a.body), "internal") {
					t.Errorf("the cause is shown: %s", a.body)
				}
				if test.status < 500 && o.logged() != "" {
					t.Errorf("a refusal is no trouble of ours, but the log has\n%s", o.logged())
				}
			})
		}
	}
}

func because(p *sessions.CreateParams) { p.Reason = "of the test" }

// The event of a malformed request has everything that could be read.
func TestARefusalTellsWhatWasAsked(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.ask(t, bearer(o.serverKey), target(alice, `"is_impersonation":true`, `"actor":{"user_id":"`+root+`"}`,
		`"reason":"ticket 7"`, `"expires_in_millis":1`)).refused(t, 400, "SCHEMA_ERROR")
	if s := o.toldRefusal(t, "invalid").Session; s.Actor != root || s.UserID != alice || s.Reason != "ticket 7" ||
		s.CreatedBy != "backend" {
		t.Errorf("%+v", s)
	}
	o.ask(t, bearer(o.adminKey), `{"user_id":"a\u0000`+strings.Repeat("x", 300)+
		`","is_impersonation":true,"reason":"\u001b[31m`+strings.Repeat("r", 600)+`"}`).refused(t, 400, "SCHEMA_ERROR")
	if s := o.toldRefusal(t, "invalid").Session; len(s.UserID) != 255 || len(s.Reason) != 500 ||
		strings.ContainsAny(s.UserID+s.Reason, "\x00\x1b") || s.Actor != "console" {
		t.Errorf("%+v", s)
	}
	admin := o.signIn(t, root)
	o.takeEvents()
	o.ask(t, bearer(admin.access), target(other, `"reason":"curious"`)).refused(t, 403, "IMPERSONATION_NOT_ALLOWED")
	if s := o.toldRefusal(t, "not_allowed").Session; s.Actor != root || s.UserID != other || s.Reason != "curious" ||
		s.ParentSessionID != admin.id {
		t.Errorf("%+v", s)
	}
}

// Who required governance gets it, from keys and from users.
func TestRequiredGovernanceOverHTTP(t *testing.T) {
	t.Parallel()
	o := newOffice(t, func(c *sessions.Config) {
		c.Impersonation.RequireActor, c.Impersonation.RequireReason = true, true
	})
	a := o.ask(t, bearer(o.serverKey), target(alice, `"is_impersonation":true`)).refused(t, 400, "SCHEMA_ERROR")
	for _, path := range []string{"actor", "reason"} {
		if !strings.Contains(a.text("error"), "\n- body."+path+" is required") {
			t.Errorf("nothing is said of %s: %s", path, a.body)
		}
	}
	a = o.ask(t, bearer(o.serverKey), target(alice, `"is_impersonation":true`, `"actor":{"user_id":"a"}`,
		`"reason":""`)).refused(t, 400, "SCHEMA_ERROR")
	if !strings.Contains(a.text("error"), "\n- body.reason is required") {
		t.Errorf("nothing is said of the empty reason: %s", a.body)
	}
	for _, blank := range []string{" ", `\u3000`, `\u200d`} {
		a = o.ask(t, bearer(o.serverKey), target(alice, `"is_impersonation":true`, `"actor":{"user_id":"a"}`,
			`"reason":"`+blank+`"`)).refused(t, 400, "SCHEMA_ERROR")
		if !strings.Contains(a.text("error"), "\n- body.reason is required") {
			t.Errorf("nothing is said of the reason %q: %s", blank, a.body)
		}
	}
	o.ask(t, bearer(o.serverKey), target(alice, `"is_impersonation":true`, `"actor":{"user_id":"a"}`,
		`"reason":"r"`)).want(t, 200)
	o.ask(t, bearer(o.serverKey), target(alice)).want(t, 200) // no impersonation
	// A user's actor needs no naming.
	if s := o.row(t, o.become(t, o.signIn(t, root).access, `"reason":"r"`).id); s.Actor != root || s.Reason != "r" {
		t.Errorf("%+v", s)
	}
}

// A key is not subject to the policy, and a user next to it does not change that.
func TestKeysAreNotSubjectToThePolicy(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.change(func() { o.policy.err = errors.New("not to be asked") })
	for _, key := range []string{o.serverKey, o.adminKey} {
		for _, caller := range o.both(key) {
			a := o.ask(t, caller.as,
				target(root, `"is_impersonation":true`, `"client":{"ip":"192.0.2.1"}`)).want(t, 200)
			if s := o.row(t, a.text("session_id")); s.ParentSessionID != "" || !s.Impersonation {
				t.Errorf("%s: %+v", caller.name, s)
			}
		}
	}
	own := o.signIn(t, bob)
	a := o.ask(t, stack("access-type", "server", "secret-server-key", o.serverKey, "access-token", own.access),
		target(alice)).want(t, 200)
	if a.json["is_impersonation"] != false {
		t.Errorf("%s", redactedBody(a))
	}
}

// An impersonation never outlives its parent.
func TestAnImpersonationIsCappedByItsActorsSession(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	admin := o.signIn(t, root, lasting(20*time.Minute))
	a := o.ask(t, bearer(admin.access), target(alice, `"expires_in_millis":3600000`)).want(t, 200)
	if end := began.Add(20 * time.Minute).
		Truncate(time.Second); a.json["expires_at_millis"] != float64(end.UnixMilli()) {
		t.Errorf("ends at %v, want %v", a.json["expires_at_millis"], end.UnixMilli())
	}
}

// A token whose actor has an actor is invalid, whoever signed it: the claim has one
// member.
func TestAnActorOfAnActorIsRefused(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*sessions.Session, *sessions.User) map[string]any{
		"act": func(*sessions.Session, *sessions.User) map[string]any {
			return map[string]any{"act": map[string]any{"sub": "x", "act": map[string]any{"sub": "y"}}}
		},
		"Act, in other case": func(*sessions.Session, *sessions.User) map[string]any {
			return map[string]any{"Act": map[string]any{"sub": "x"}}
		},
		"auth_time": func(*sessions.Session, *sessions.User) map[string]any { return map[string]any{"auth_time": 1} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOffice(t)
			admin := o.signIn(t, root)
			o.setClaims(func(_ context.Context, s sessions.Session, u sessions.User) (map[string]any, error) {
				return spoil(&s, &u), nil
			})
			before := o.snapshot(t)
			o.ask(t, bearer(admin.access), target(alice)).refused(t, 503, "TEMPORARILY_UNAVAILABLE")
			if o.snapshot(t) != before {
				t.Error("something changed")
			}
		})
	}
}

// What an impersonation sees and ends is itself.
func TestAnImpersonationHasNothingButItself(t *testing.T) {
	t.Parallel()
	for _, shown := range []bool{false, true} {
		for scheme := range 3 {
			t.Run(fmt.Sprintf("%v/%d", shown, scheme), func(t *testing.T) {
				t.Parallel()
				o := newOffice(t, func(c *sessions.Config) { c.Impersonation.ShowToUser = shown })
				users, admin, second := o.signIn(t, alice), o.signIn(t, root), o.signIn(t, other)
				sibling := o.become(t, second.access)
				acting := o.become(t, admin.access, `"reason":"ticket 7"`)
				as := o.both(acting.access)[scheme].as

				for _, user := range []string{"me", alice} {
					for _, more := range []string{"", "&impersonation=include", "&limit=200"} {
						a := o.do(t, http.MethodGet, "/auth/sessions?user_id="+user+more, as).want(t, 200)
						items := a.items(t)
						if len(items) != 1 || items[0]["id"] != acting.id || items[0]["is_current_session"] != true ||
							items[0]["is_impersonation"] != true {
							t.Errorf("%s%s: %s", user, more, a.body)
						}
					}
				}
				o.do(t, http.MethodGet, "/auth/sessions?user_id="+root, as).refused(t, 403, "FORBIDDEN")
				if a := o.do(t, http.MethodGet, "/auth/sessions/current", as).want(t, 200); a.text("id") != acting.id ||
					a.json["actor"] != root || a.json["reason"] != "ticket 7" {
					t.Errorf("current: %s", a.body)
				}

				before := o.snapshot(t)
				for _, g := range []grant{users, admin, second, sibling} {
					o.do(t, http.MethodDelete, "/auth/sessions/"+g.id, as).refused(t, 404, "SESSION_NOT_FOUND")
				}
				o.do(t, http.MethodDelete, "/auth/sessions/"+acting.id, as).refused(t, 400,
					"CANNOT_DELETE_CURRENT_SESSION")
				for _, user := range []string{"", "?user_id=me", "?user_id=" + alice, "?user_id=" + root} {
					o.do(t, http.MethodDelete, "/auth/sessions"+user, as).refused(t, 403, "FORBIDDEN")
				}
				if after := o.snapshot(t); before != after {
					t.Errorf("something changed: %s", difference(before, after))
				}

				o.takeEvents()
				o.do(t, http.MethodDelete, "/auth/sessions/current", as).want(t, 200)
				events := o.takeWholeEvents()
				if len(events) != 1 || events[0].Type != sessions.EventEnded || events[0].Session.ID != acting.id ||
					events[0].Session.EndReason != sessions.EndSignedOut || events[0].Session.EndedBy != root {
					t.Errorf("events %+v", events)
				}
				o.dead(t, acting)
				for _, g := range []grant{users, admin, second, sibling} {
					o.alive(t, g)
				}
			})
		}
	}
}

// Who sees impersonations, who may end them, and who learns how many.
func TestVisibilityOverHTTP(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		shown bool
		end   int // the status of the user's ending one
		count float64
	}{
		"hidden": {false, 404, 1},
		"shown":  {true, 200, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOffice(t, func(c *sessions.Config) { c.Impersonation.ShowToUser = test.shown })
			own, second, admin := o.signIn(t, alice), o.signIn(t, alice), o.signIn(t, root)
			o.clock.Advance(time.Minute)
			first := o.become(t, admin.access, `"reason":"ticket 7"`)
			o.clock.Advance(time.Minute)
			byKey := o.signIn(t, alice, impersonating("support"))
			o.clock.Advance(time.Minute)
			third := o.become(t, admin.access)
			ordinary := []string{second.id, own.id}
			slices.Sort(ordinary)
			acting := []string{third.id, byKey.id, first.id}

			for _, list := range []struct {
				who, credential, query string
				impersonations, why    bool
			}{
				{"the user", own.access, "", test.shown, false},
				{"the user who asks for them", own.access, "&impersonation=include", test.shown, false},
				{"a server key", o.serverKey, "", false, true},
				{"a server key that asks for them", o.serverKey, "&impersonation=include", true, true},
				{"an admin key", o.adminKey, "", true, true},
			} {
				for _, caller := range o.both(list.credential) {
					a := o.do(t, http.MethodGet, "/auth/sessions?user_id="+alice+list.query, caller.as).want(t, 200)
					var seenActing, seenOrdinary []string
					for _, item := range a.items(t) {
						id, _ := item["id"].(string)
						if item["is_impersonation"] == true {
							seenActing = append(seenActing, id)
						} else {
							seenOrdinary = append(seenOrdinary, id)
						}
						_, hasActor := item["actor"]
						_, hasReason := item["reason"]
						if hasActor != list.why || hasReason != list.why {
							t.Errorf("%s, %s: actor and reason of %v", list.who, caller.name, item)
						}
						if list.why && id == first.id && (item["actor"] != root || item["reason"] != "ticket 7") {
							t.Errorf("%s, %s: %v", list.who, caller.name, item)
						}
					}
					slices.Sort(seenOrdinary)
					if !slices.Equal(seenOrdinary, ordinary) || list.impersonations &&
						!slices.Equal(seenActing, acting) || !list.impersonations && seenActing != nil {
						t.Errorf("%s, %s: %v and %v", list.who, caller.name, seenOrdinary, seenActing)
					}
				}
			}

			// One by id.
			if a := o.do(t, http.MethodDelete, "/auth/sessions/"+first.id, bearer(own.access)).want(t,
				test.end); test.end == 404 {
				a.refused(t, 404, "SESSION_NOT_FOUND")
				o.alive(t, first)
				o.do(t, http.MethodDelete, "/auth/sessions/"+first.id, bearer(o.serverKey)).want(t, 200)
			}
			o.dead(t, first)
			o.alive(t, admin)
			// All the others: it also ends hidden ones, and does not learn of them.
			if a := o.do(t, http.MethodDelete, "/auth/sessions", bearer(own.access)).want(t,
				200); a.json["ended"] != test.count {
				t.Errorf("%s, want %v", a.body, test.count)
			}
			for _, g := range []grant{second, byKey, third} {
				o.dead(t, g)
			}
			o.alive(t, own)
			o.alive(t, admin)
		})
	}
}

// No impersonation leaves a trace on the user's own sessions.
func TestNoFootprintsOverHTTP(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	own, admin := o.signIn(t, alice), o.signIn(t, root)
	list := func() string {
		return string(o.do(t, http.MethodGet, "/auth/sessions?user_id=me", bearer(own.access)).want(t, 200).body)
	}
	row, before := o.row(t, own.id), list()
	o.clock.Advance(5 * time.Minute)
	acting := o.become(t, admin.access)
	o.refresh(t, acting.refresh, header("User-Agent", "Office/1")).want(t, 200)
	if o.row(t, own.id) != row || list() != before {
		t.Errorf("%+v, was %+v; %s, was %s", o.row(t, own.id), row, list(), before)
	}
	o.do(t, http.MethodDelete, "/auth/sessions/current", bearer(acting.access)).want(t, 200)
	if o.row(t, own.id) != row || list() != before {
		t.Error("its end left a trace")
	}
}

// Every way in which an impersonation ends by itself, as its holder learns of it,
// from both refresh endpoints.
func TestRefreshOfAnImpersonationThatIsOver(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		do     func(t *testing.T, o *office, admin grant)
		reason string
		ends   sessions.EndReason
		by     string
	}{
		"the actor has signed out": {func(t *testing.T, o *office, admin grant) {
			t.Helper()
			o.do(t, http.MethodDelete, "/auth/sessions/current", bearer(admin.access)).want(t, 200)
		}, "ended", sessions.EndParentEnded, root},
		"a key has ended the parent": {func(t *testing.T, o *office, admin grant) {
			t.Helper()
			o.do(t, http.MethodDelete, "/auth/sessions/"+admin.id, bearer(o.serverKey)).want(t, 200)
		}, "ended", sessions.EndParentEnded, "backend"},
		"a key has ended all of the actor's": {func(t *testing.T, o *office, _ grant) {
			t.Helper()
			o.do(t, http.MethodDelete, "/auth/sessions?user_id="+root, bearer(o.adminKey)).want(t, 200)
		}, "ended", sessions.EndParentEnded, "console"},
		"the actor's refresh token was revoked": {func(t *testing.T, o *office, admin grant) {
			t.Helper()
			o.do(t, http.MethodPost, "/auth/oauth/revoke", form("token", admin.refresh)).want(t, 200)
		}, "ended", sessions.EndParentEnded, ""},
		"the parent has ended, and the impersonation is not marked": {func(t *testing.T, o *office, admin grant) {
			t.Helper()
			if _, err := o.kit.Store.End(t.Context(), sessions.EndParams{
				ID: admin.id, Now: o.clock.Now(), Reason: sessions.EndRevoked,
			}); err != nil {
				t.Error(err)
			}
		}, "actor_ended", sessions.EndParentEnded, root},
		"the actor was demoted": {
			func(_ *testing.T, o *office, _ grant) { o.demote(root) }, "not_allowed", sessions.EndNotAllowed, "",
		},
		"the actor was disabled": {
			func(_ *testing.T, o *office, _ grant) { o.lose(root, sessions.ErrUserDisabled) }, "not_allowed",
			sessions.EndNotAllowed, "",
		},
		"the actor is gone": {
			func(_ *testing.T, o *office, _ grant) { o.lose(root, sessions.ErrUserNotFound) }, "not_allowed",
			sessions.EndNotAllowed, "",
		},
		"the target was promoted": {
			func(_ *testing.T, o *office, _ grant) { o.change(func() { o.policy.admins[alice] = true }) },
			"not_allowed", sessions.EndNotAllowed, "",
		},
		"the target is gone": {
			func(_ *testing.T, o *office, _ grant) { o.lose(alice, sessions.ErrUserNotFound) }, "user_gone",
			sessions.EndUserGone, "",
		},
	} {
		for how, refresh := range refreshers {
			t.Run(name+"/"+how, func(t *testing.T) {
				t.Parallel()
				o := newOffice(t, func(c *sessions.Config) {
					c.IdleTimeout, c.AccessTokenTTL = 10*time.Minute, 8*time.Minute
				})
				admin := o.signIn(t, root)
				acting := o.become(t, admin.access)
				o.clock.Advance(5 * time.Minute)
				acting.refresh = o.refresh(t, acting.refresh).want(t, 200).text("refresh_token")
				bystander := o.signIn(t, alice)
				test.do(t, o, admin)
				a := refresh(t, o.env, acting.refresh).refused(t, refusedWith(how),
					"REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED")
				if d := a.details(); len(d) != 2 || d["reason"] != test.reason || d["retry"] != false {
					t.Errorf("details %v, want %s", d, test.reason)
				}
				if s := o.row(t, acting.id); s.EndReason != test.ends || s.EndedBy != test.by {
					t.Errorf("ended for %q by %q, want %q by %q", s.EndReason, s.EndedBy, test.ends, test.by)
				}
				if again := refresh(t, o.env, acting.refresh).refused(t, refusedWith(how),
					"REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED"); again.details()["reason"] != "ended" {
					t.Errorf("the second time: %v", again.details())
				}
				o.do(t, http.MethodGet, "/auth/sessions/current", bearer(acting.access)).refused(t, 401,
					"ACCESS_TOKEN_EXPIRED")
				if !o.row(t, bystander.id).EndedAt.IsZero() {
					t.Error("the user's own session has ended")
				}
			})
		}
	}
}

// A policy without an answer ends nothing.
func TestRefreshWhereThePolicyCannotTell(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	acting := o.become(t, o.signIn(t, root).access)
	o.change(func() { o.policy.err = errors.New("no route to policy.internal") })
	if a := o.refresh(t, acting.refresh).refused(t, 503, "TEMPORARILY_UNAVAILABLE"); a.details()["retry"] != true {
		t.Errorf("%v", a.details())
	}
	o.change(func() { o.policy.err = nil })
	o.refresh(t, acting.refresh).want(t, 200)
}

// The hand-off: a code and no tokens, and whoever redeems it has them.
func TestHandoffOverHTTP(t *testing.T) {
	t.Parallel()
	for name, mount := range mounts {
		for scheme := range 3 {
			t.Run(name+"/"+strconv.Itoa(scheme), func(t *testing.T) {
				t.Parallel()
				o := newOffice(t)
				mount(o.env)
				for who, credential := range map[string]string{
					"a user": o.signIn(t, root).access, "a server key": o.serverKey, "an admin key": o.adminKey,
				} {
					o.takeEvents()
					a := o.ask(t, o.both(credential)[scheme].as, target(alice, `"is_impersonation":true`,
						`"handoff":true`)).want(t, 200)
					if len(a.json) != 6 || a.json["expires_in"] != 60.0 || a.text("user_id") != alice ||
						a.json["is_impersonation"] != true ||
						a.json["expires_at_millis"] != float64(o.clock.Now().Add(time.Hour).UnixMilli()) ||
						leaksToken(a) {
						t.Errorf("%s: %s", who, redactedBody(a))
					}
					code := a.text("handoff_code")
					if s := o.row(t, a.text("session_id")); s.HandoffHash == "" ||
						strings.Contains(fmt.Sprintf("%+v", s), code) {
						t.Errorf("%s: the row has the code, or no hash", who)
					}
					o.clock.Advance(59*time.Second + 999*time.Millisecond)
					b := o.redeem(t, code, header("User-Agent", "Browser/1")).want(t, 200)
					if len(b.json) != 8 || b.text("session_id") != a.text("session_id") || b.text("user_id") != alice ||
						b.json["is_impersonation"] != true || b.json["expires_in"] != 600.0 ||
						b.json["expires_at_millis"] != a.json["expires_at_millis"] {
						t.Errorf("%s: %s", who, redactedBody(b))
					}
					if s := o.row(t, b.text("session_id")); s.Client.UserAgent != "Browser/1" {
						t.Errorf("%s: redeemed from %+v", who, s.Client)
					}
					if got := o.takeEvents(); !slices.Equal(got, []sessions.EventType{
						sessions.EventHandedOff, sessions.EventRedeemed,
					}) {
						t.Errorf("%s: events %v", who, got)
					}
					o.alive(t, grant{b.text("session_id"), b.text("refresh_token"), b.text("access_token")})
				}
			})
		}
	}
}

func leaksToken(a answer) bool {
	return strings.Contains(string(a.body), "srt1_") || strings.Contains(string(a.body), "eyJ")
}

// A sign-in can be handed off, too; without asking there is no code.
func TestHandoffOfASignIn(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	a := o.ask(t, bearer(o.serverKey), target(alice, `"handoff":true`)).want(t, 200)
	if b := o.redeem(t, a.text("handoff_code")).want(t, 200); b.json["is_impersonation"] != false {
		t.Errorf("%s", redactedBody(b))
	}
	if a := o.ask(t, bearer(o.serverKey), target(alice, `"handoff":false`)).want(t,
		200); a.json["handoff_code"] != nil || a.text("refresh_token") == "" {
		t.Errorf("%s", redactedBody(a))
	}
}

// A code that is late, unknown or garbage: 401, nothing written, one event.
func TestARefusedRedemption(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		code func(good string) string
		late time.Duration
	}{
		"61 s late":              {func(good string) string { return good }, 61 * time.Second},
		"60 s to the letter":     {func(good string) string { return good }, time.Minute},
		"empty":                  {func(string) string { return "" }, 0},
		"a prefix alone":         {func(string) string { return "shc1_" }, 0},
		"no prefix":              {func(good string) string { return strings.TrimPrefix(good, "shc1_") }, 0},
		"another prefix":         {func(good string) string { return strings.Replace(good, "shc1_", "shc2_", 1) }, 0},
		"the prefix in capitals": {func(good string) string { return strings.Replace(good, "shc1_", "SHC1_", 1) }, 0},
		"cut":                    {func(good string) string { return good[:len(good)-1] }, 0},
		"extended":               {func(good string) string { return good + "A" }, 0},
		"padded":                 {func(good string) string { return good + "==" }, 0},
		"with a space behind":    {func(good string) string { return good + " " }, 0},
		"with a line break":      {func(good string) string { return good[:20] + "\n" + good[21:] }, 0},
		"with another ending":    {func(good string) string { return good[:len(good)-4] + "AAAA" }, 0},
		"of no session":          {func(good string) string { return "shc1_" + strings.Repeat("A", len(good)-5) }, 0},
		"a hash":                 {func(string) string { return strings.Repeat("ab", 32) }, 0},
		"a line of SQL":          {func(string) string { return "' OR 1=1 --" }, 0},
		"60,000 bytes":           {func(string) string { return "shc1_" + strings.Repeat("A", 60000) }, 0},
		"NUL":                    {func(string) string { return "\x00" }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOffice(t)
			good := o.ask(t, bearer(o.signIn(t, root).access), target(alice, `"handoff":true`)).want(t, 200).
				text("handoff_code")
			o.clock.Advance(test.late)
			o.takeEvents()
			before := o.snapshot(t)
			a := o.redeem(t, test.code(good), header("User-Agent", "Thief/1")).refused(t, 401,
				"HANDOFF_CODE_NOT_FOUND_OR_EXPIRED")
			if challengeError(a) != "invalid_token" {
				t.Errorf("challenge %q", a.header.Get("Www-Authenticate"))
			}
			if after := o.snapshot(t); before != after {
				t.Errorf("something changed: %s", difference(before, after))
			}
			o.toldRefusal(t, "") // anybody can cause it
			if test.late == 0 {
				o.redeem(t, good).want(t, 200) // a wrong one does not spend it
			}
		})
	}

	t.Run("a refresh token, and the code as one", func(t *testing.T) {
		t.Parallel()
		o := newOffice(t)
		own := o.signIn(t, alice)
		code := o.ask(t, bearer(o.serverKey), target(alice, `"handoff":true`)).want(t, 200).text("handoff_code")
		o.redeem(t, own.refresh).refused(t, 401, "HANDOFF_CODE_NOT_FOUND_OR_EXPIRED")
		o.redeem(t, own.access).refused(t, 401, "HANDOFF_CODE_NOT_FOUND_OR_EXPIRED")
		if a := o.refresh(t, code).refused(t, 401,
			"REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED"); a.details()["reason"] != "malformed" {
			t.Errorf("%v", a.details())
		}
		o.do(t, http.MethodGet, "/auth/sessions/current", bearer(code)).refused(t, 401, unparsable)
		o.alive(t, own)
	})
}

// Between the code and its redemption things can change.
func TestARedemptionThatComesTooLate(t *testing.T) {
	t.Parallel()
	const code, token = "HANDOFF_CODE_NOT_FOUND_OR_EXPIRED", "REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED"
	for name, test := range map[string]struct {
		do     func(t *testing.T, o *office, admin grant, id string)
		code   string
		reason any
		ends   sessions.EndReason
	}{
		"the actor was demoted": {
			func(_ *testing.T, o *office, _ grant, _ string) { o.demote(root) }, token, "not_allowed",
			sessions.EndNotAllowed,
		},
		"the target is gone": {
			func(_ *testing.T, o *office, _ grant, _ string) { o.lose(alice, sessions.ErrUserNotFound) }, token,
			"user_gone", sessions.EndUserGone,
		},
		"the target is disabled": {
			func(_ *testing.T, o *office, _ grant, _ string) { o.lose(alice, sessions.ErrUserDisabled) }, token,
			"user_disabled", "",
		},
		"the actor has signed out": {func(t *testing.T, o *office, admin grant, _ string) {
			t.Helper()
			o.do(t, http.MethodDelete, "/auth/sessions/current", bearer(admin.access)).want(t, 200)
		}, code, nil, sessions.EndParentEnded},
		"the session was ended": {func(t *testing.T, o *office, _ grant, id string) {
			t.Helper()
			o.do(t, http.MethodDelete, "/auth/sessions/"+id, bearer(o.adminKey)).want(t, 200)
		}, code, nil, sessions.EndRevoked},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOffice(t)
			admin := o.signIn(t, root)
			a := o.ask(t, bearer(admin.access), target(alice, `"handoff":true`)).want(t, 200)
			test.do(t, o, admin, a.text("session_id"))
			b := o.redeem(t, a.text("handoff_code")).refused(t, 401, test.code)
			if b.details()["reason"] != test.reason {
				t.Errorf("details %v", b.details())
			}
			if s := o.row(t, a.text("session_id")); s.EndReason != test.ends {
				t.Errorf("ended for %q, want %q", s.EndReason, test.ends)
			}
		})
	}
}

// A failure may have used the code, so the answer does not invite to repeat it.
func TestARedemptionThatFails(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	a := o.ask(t, bearer(o.signIn(t, root).access), target(alice, `"handoff":true`)).want(t, 200)
	o.change(func() { o.policy.err = errors.New("no route to policy.internal") })
	b := o.redeem(t, a.text("handoff_code")).refused(t, 503, "TEMPORARILY_UNAVAILABLE")
	if len(b.details()) != 1 || b.details()["retry"] != false || strings.Contains(string(b.body), "internal") {
		t.Errorf("%s", b.body)
	}
	if !strings.Contains(o.logged(), "no route to policy.internal") {
		t.Errorf("the log does not have the cause: %s", o.logged())
	}
	o.change(func() { o.policy.err = nil })
	o.redeem(t, a.text("handoff_code")).refused(t, 401, "HANDOFF_CODE_NOT_FOUND_OR_EXPIRED")
	if s := o.row(t, a.text("session_id")); s.EndReason != sessions.EndHandoffReplay {
		t.Errorf("ended for %q", s.EndReason)
	}
}

// Two hold the code, so neither goes on, however late the second one comes.
func TestASecondRedemptionEndsTheSession(t *testing.T) {
	t.Parallel()
	for _, later := range []time.Duration{0, 30 * time.Second, 50 * time.Minute} {
		t.Run(later.String(), func(t *testing.T) {
			t.Parallel()
			o := newOffice(t)
			admin, own := o.signIn(t, root), o.signIn(t, alice)
			code := o.ask(t, bearer(admin.access), target(alice, `"handoff":true`)).want(t, 200).text("handoff_code")
			first := o.redeem(t, code).want(t, 200)
			holder := grant{first.text("session_id"), first.text("refresh_token"), first.text("access_token")}
			o.clock.Advance(later)
			if later < 10*time.Minute {
				o.do(t, http.MethodGet, "/auth/sessions/current", bearer(holder.access)).want(t, 200)
			}
			o.takeEvents()
			o.redeem(t, code, header("User-Agent", "Thief/1")).refused(t, 401, "HANDOFF_CODE_NOT_FOUND_OR_EXPIRED")
			events := o.takeWholeEvents()
			if len(events) != 1 || events[0].Type != sessions.EventHandoffReplay || events[0].Session.ID != holder.id ||
				events[0].Client.UserAgent != "Thief/1" || events[0].Session.EndReason != sessions.EndHandoffReplay {
				t.Errorf("events %+v", events)
			}
			o.dead(t, holder)
			// A third time there is nothing left to end.
			o.takeEvents()
			before := o.snapshot(t)
			o.redeem(t, code).refused(t, 401, "HANDOFF_CODE_NOT_FOUND_OR_EXPIRED")
			o.toldRefusal(t, "")
			if o.snapshot(t) != before {
				t.Error("something changed")
			}
			o.refresh(t, admin.refresh).want(t, 200)
			o.refresh(t, own.refresh).want(t, 200)
		})
	}
}

// Of many redemptions at once none leaves a usable grant: at most one was answered
// with tokens, and those died with the next one.
func TestManyRedemptionsAtOnce(t *testing.T) {
	t.Parallel()
	const callers = 16
	for round := range 10 {
		o := newOffice(t)
		code := o.ask(t, bearer(o.signIn(t, root).access), target(alice, `"handoff":true`)).want(t, 200).
			text("handoff_code")
		o.takeEvents()
		answers := make([]answer, callers)
		start := make(chan struct{})
		var wg sync.WaitGroup
		for i := range answers {
			wg.Go(func() {
				<-start
				answers[i] = o.redeem(t, code)
			})
		}
		close(start)
		wg.Wait()
		granted := 0
		for _, a := range answers {
			if a.status == 200 {
				granted++
				o.dead(t, grant{a.text("session_id"), a.text("refresh_token"), a.text("access_token")})
				continue
			}
			if a.json["code"] != "HANDOFF_CODE_NOT_FOUND_OR_EXPIRED" && a.details()["reason"] != "ended" {
				t.Errorf("round %d: %d %s", round, a.status, redactedBody(a))
			}
		}
		count := map[sessions.EventType]int{}
		for _, e := range o.takeEvents() {
			count[e]++
		}
		if granted > 1 || count[sessions.EventRedeemed] != 1 || count[sessions.EventHandoffReplay] != 1 ||
			count[sessions.EventImpersonationRefused] != 0 {
			t.Errorf("round %d: %d grants, events %v", round, granted, count)
		}
	}
}

// Redeeming needs no other credential, and looks at none.
func TestRedeemBesideOtherCredentials(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	ended := o.signIn(t, bob)
	if _, err := o.manager.End(t.Context(), sessions.EndParams{ID: ended.id}); err != nil {
		t.Fatal(err)
	}
	for name, as := range map[string]option{
		"nothing": header("Accept", "*/*"), "a dead access token": bearer(ended.access), "garbage": bearer("x"),
		"the server's key":         bearer(o.serverKey),
		"the x-stack family":       stack("access-type", "client", "access-token", ended.access),
		"another session's cookie": header("Cookie", "session="+ended.id),
	} {
		code := o.ask(t, bearer(o.serverKey), target(alice, `"handoff":true`)).want(t, 200).text("handoff_code")
		if a := o.redeem(t, code, as).want(t, 200); a.text("user_id") != alice {
			t.Errorf("%s: %s", name, redactedBody(a))
		}
	}
	// The override is for all errors.
	if a := o.redeem(t, "x", stack("override-error-status", "1")).refused(t, 401,
		"HANDOFF_CODE_NOT_FOUND_OR_EXPIRED"); a.wire != 200 {
		t.Errorf("status %d", a.wire)
	}
}
