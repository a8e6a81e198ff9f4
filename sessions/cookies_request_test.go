package sessions_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

func TestTheMiddlewareTakesCookiesAndRefreshesThem(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	alice := s.SignIn(t, "alice")
	b := s.browse(t, alice)

	b.send(t, "GET", "/me").want(t, 200, "alice", "")
	if n := s.Faults.Calls(sessionstest.MethodRefresh); n != 0 {
		t.Errorf("%d refreshes", n)
	}
	access := alice.Grant.AccessToken.Reveal()
	b.send(t, "GET", "/me", func(r *http.Request) {
		r.Header.Del("Cookie")
		cookies(accessCookie, access)(r)
	}).want(t, 200, "alice", "")

	s.Clock.Advance(10 * time.Minute)
	old := b.jar[refreshCookie].Value
	// A browser whose clock is late sends the access cookie still.
	b.send(t, "GET", "/me", cookies(accessCookie, access)).want(t, 200, "alice", bothSet)
	if b.jar[refreshCookie].Value == old || b.jar[accessCookie].Value == access {
		t.Error("the cookies are the old ones")
	}
	b.send(t, "GET", "/me").want(t, 200, "alice", "")
	if n := s.Faults.Calls(sessionstest.MethodRefresh); n != 1 {
		t.Errorf("%d refreshes, want 1", n)
	}

	s.Clock.Advance(10 * time.Minute)
	b.send(t, "HEAD", "/me").want(t, 200, "alice", bothSet)
	s.Clock.Advance(10 * time.Minute)
	b.send(t, "OPTIONS", "/me").want(t, 200, "alice", bothSet)
	s.Clock.Advance(10 * time.Minute)
	b.send(t, "POST", "/me", header("Sec-Fetch-Site", "same-origin")).want(t, 200, "alice", bothSet)
	s.Clock.Advance(10 * time.Minute)
	b.send(t, "GET", "/open").want(t, 200, "alice", bothSet)
	b.send(t, "GET", "/machines").want(t, 401, "INSUFFICIENT_ACCESS_TYPE", "")
}

func (r reply) hasNoToken(t testing.TB) {
	t.Helper()
	if strings.Contains(r.body, "srt1_") || strings.Contains(r.body, "eyJ") {
		t.Error("a token is in the body")
	}
}

func TestAuthenticateReadsCookiesAndWritesNone(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for _, c := range s.SignIn(t, "alice").Cookies(t) {
		r.AddCookie(c)
	}
	if id, err := s.Authenticate(r, sessions.Strict); err != nil || id.UserID != "alice" {
		t.Errorf("got %+v and error %v", id, err)
	}
	s.Clock.Advance(time.Hour)
	if id, err := s.Authenticate(r, sessions.Strict); !errors.Is(err, sessions.ErrExpired) ||
		id != (sessions.Identity{}) {
		t.Errorf("expired: got %+v and error %v", id, err)
	}
	if n := s.Faults.Calls(sessionstest.MethodRefresh); n != 0 {
		t.Errorf("%d refreshes", n)
	}
}

func TestBadCookies(t *testing.T) {
	t.Parallel()
	const refused, unparsable = "REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED ", "malformed"
	type in struct {
		*site
		alice          *sessionstest.SignedIn
		access         string
		refresh        string
		actingA        string
		actingR        string
		foreign, other *sessionstest.SignedIn
	}
	end := func(t *testing.T, i in) {
		t.Helper()
		if _, err := i.replica(t).Store.End(t.Context(), sessions.EndParams{
			ID: i.alice.Grant.Session.ID, Now: i.Clock.Now(), Reason: sessions.EndRevoked,
		}); err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range map[string]struct {
		configure func(*sessions.Config)
		// later is how much later the request comes; the default is an hour.
		later   time.Duration
		before  func(t *testing.T, i in)
		send    func(i in) []string
		status  int
		text    string
		cookies string
		// ends is why alice's session ends by it.
		ends sessions.EndReason
		// rotates: it is refused after the refresh.
		rotates bool
	}{
		"the access cookie twice": {
			send: func(i in) []string { return []string{accessCookie, i.access, accessCookie, i.access} }, status: 400,
			text: "SCHEMA_ERROR",
		},
		"the refresh cookie twice": {
			send: func(i in) []string { return []string{refreshCookie, i.refresh, refreshCookie, "x"} }, status: 400,
			text: "SCHEMA_ERROR",
		},
		"the access cookie of an impersonation twice": {send: func(i in) []string {
			return []string{actingAccessCookie, i.actingA, actingAccessCookie, i.actingA}
		}, status: 400, text: "SCHEMA_ERROR"},
		"the refresh cookie of an impersonation twice": {send: func(i in) []string {
			return []string{actingRefreshCookie, i.actingR, actingRefreshCookie, "", accessCookie, i.access}
		}, status: 400, text: "SCHEMA_ERROR"},
		"empty values": {
			send: func(in) []string { return []string{accessCookie, "", refreshCookie, ""} }, status: 401,
			text: "ACCESS_TYPE_REQUIRED",
		},
		"other cookies": {
			send: func(i in) []string {
				return []string{"sessile_access", i.access, "__host-sessile_refresh", i.refresh}
			}, status: 401, text: "ACCESS_TYPE_REQUIRED",
		},
		"quoted values": {
			later: time.Second, send: func(i in) []string { return []string{accessCookie, `"` + i.access + `"`} },
			status: 200, text: "alice",
		},
		"a truncated access token": {
			later: time.Second, send: func(i in) []string { return []string{accessCookie, i.access[:len(i.access)-1]} },
			status: 401, text: refused + unparsable, cookies: bothCleared,
		},
		"a truncated refresh token": {
			send: func(i in) []string { return []string{refreshCookie, i.refresh[:len(i.refresh)-1]} }, status: 401,
			text: refused + unparsable, cookies: bothCleared,
		},
		"a long access token": {
			later: time.Second, send: func(i in) []string {
				return []string{accessCookie, i.access + strings.Repeat("A", 4096)}
			}, status: 401, text: refused + unparsable, cookies: bothCleared,
		},
		"a long refresh token": {
			send:   func(i in) []string { return []string{refreshCookie, i.refresh + strings.Repeat("A", 4096)} },
			status: 401, text: refused + unparsable, cookies: bothCleared,
		},
		"tokens of another secret": {later: time.Second, send: func(i in) []string {
			return []string{
				accessCookie, i.foreign.Grant.AccessToken.Reveal(), refreshCookie,
				i.foreign.Grant.RefreshToken.Reveal(),
			}
		}, status: 401, text: refused + unparsable, cookies: bothCleared},
		"an access token of another issuer": {
			later: time.Second, send: func(i in) []string {
				return []string{accessCookie, i.other.Grant.AccessToken.Reveal()}
			}, status: 401, text: refused + unparsable, cookies: bothCleared,
		},
		"a refresh token of another issuer": {
			send:   func(i in) []string { return []string{refreshCookie, i.other.Grant.RefreshToken.Reveal()} },
			status: 401, text: refused + "unknown", cookies: bothCleared,
		},
		"swapped": {
			later: time.Second, send: func(i in) []string {
				return []string{accessCookie, i.refresh, refreshCookie, i.access}
			}, status: 401, text: refused + unparsable, cookies: bothCleared,
		},
		"a session that has ended": {
			before: end, send: func(i in) []string { return []string{refreshCookie, i.refresh} }, status: 401,
			text: refused + "ended", cookies: bothCleared, ends: sessions.EndRevoked,
		},
		"a session that has expired": {
			later: 400 * 24 * time.Hour, configure: func(c *sessions.Config) { c.IdleTimeout = sessions.NoIdleTimeout },
			send: func(i in) []string { return []string{refreshCookie, i.refresh} }, status: 401,
			text: refused + "expired", cookies: bothCleared,
		},
		"a session that was idle": {
			later: 100 * 24 * time.Hour, send: func(i in) []string { return []string{refreshCookie, i.refresh} },
			status: 401, text: refused + "idle", cookies: bothCleared,
		},
		"a spent token": {before: func(t *testing.T, i in) {
			t.Helper()
			i.site.refresh(t, i.site.refresh(t, i.alice.Grant.RefreshToken).RefreshToken)
		}, send: func(i in) []string { return []string{refreshCookie, i.refresh} }, status: 401,
			text: refused + "replay", cookies: bothCleared, ends: sessions.EndReplay},
		"a user who is disabled": {
			before: func(_ *testing.T, i in) { i.SetUser(sessions.User{ID: "alice"}, sessions.ErrUserDisabled) },
			send:   func(i in) []string { return []string{refreshCookie, i.refresh} }, status: 401,
			text: refused + "user_disabled", rotates: true,
		},
		// Nobody who acts as a user waits for the user to be enabled.
		"a user who is disabled, acted as": {
			later: time.Minute, before: func(_ *testing.T, i in) {
				i.SetUser(sessions.User{ID: "bob"}, sessions.ErrUserDisabled)
			}, send: func(i in) []string { return []string{actingRefreshCookie, i.actingR} }, status: 401,
			text: refused + "user_disabled", cookies: endOfActing, rotates: true,
		},
		"a user who is gone": {
			before: func(_ *testing.T, i in) { i.SetUser(sessions.User{ID: "alice"}, sessions.ErrUserNotFound) },
			send:   func(i in) []string { return []string{refreshCookie, i.refresh} }, status: 401,
			text: refused + "user_gone", cookies: bothCleared, ends: sessions.EndUserGone, rotates: true,
		},
		"a user who cannot be told": {
			before: func(_ *testing.T, i in) { i.SetUser(sessions.User{ID: "alice"}, errAway) },
			send:   func(i in) []string { return []string{refreshCookie, i.refresh} }, status: 503,
			text: "TEMPORARILY_UNAVAILABLE", rotates: true,
		},
		// Somebody could be signed in unawares, or take an impersonation for himself.
		"the user's access token in the place of an impersonation's": {
			later: time.Second, send: func(i in) []string { return []string{actingAccessCookie, i.access} },
			status: 401, text: refused + unparsable, cookies: endOfActing,
		},
		"the user's refresh token in the place of an impersonation's": {
			send: func(i in) []string { return []string{actingRefreshCookie, i.refresh} }, status: 401,
			text: refused + unparsable, cookies: endOfActing, rotates: true,
		},
		"an impersonation's access token in the place of the user's": {
			later: time.Second, send: func(i in) []string { return []string{accessCookie, i.actingA} }, status: 401,
			text: refused + unparsable, cookies: bothCleared,
		},
		"an impersonation's refresh token in the place of the user's": {
			later: time.Minute, send: func(i in) []string { return []string{refreshCookie, i.actingR} }, status: 401,
			text: refused + unparsable, cookies: bothCleared, rotates: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var configure []func(*sessions.Config)
			if test.configure != nil {
				configure = append(configure, test.configure)
			}
			i := in{site: newSite(t, configure...)}
			i.alice = i.SignIn(t, "alice")
			i.access, i.refresh = i.alice.Grant.AccessToken.Reveal(), i.alice.Grant.RefreshToken.Reveal()
			acting := i.Impersonate(t, "carol", "bob").Grant
			i.actingA, i.actingR = acting.AccessToken.Reveal(), acting.RefreshToken.Reveal()
			i.foreign = newSite(t, func(c *sessions.Config) { c.Secrets = [][]byte{secret(7)} }).SignIn(t, "alice")
			i.other = newSite(t, func(c *sessions.Config) { c.Issuer = "https://other.example" }).SignIn(t, "alice")
			later := test.later
			if later == 0 {
				later = time.Hour
			}
			i.Clock.Advance(later)
			if test.before != nil {
				test.before(t, i)
			}
			rows := func() (rows [2]sessions.Session) {
				for n, id := range []string{i.alice.Grant.Session.ID, acting.Session.ID} {
					s, err := i.Store.Get(t.Context(), id)
					if err != nil {
						t.Fatal(err)
					}
					rows[n] = s
				}
				return rows
			}
			before := rows()
			i.browse(t).send(t, "GET", "/me", cookies(test.send(i)...)).want(t, test.status, test.text, test.cookies)
			after := rows()
			if after[0].EndReason != test.ends {
				t.Errorf("alice's session ended by %q, want %q", after[0].EndReason, test.ends)
			}
			if !test.rotates && test.ends == "" && after != before {
				t.Errorf("something changed: %+v, was %+v", after, before)
			}
			// Who may pass as nobody, may with dead cookies, too, and with no others.
			if test.status == 401 {
				if got := i.browse(t).send(t, "GET", "/open", cookies(test.send(i)...)); got.status != 200 ||
					got.body != "nobody" {
					t.Errorf("on an optional route: %d %s", got.status, got.code)
				}
			}
		})
	}
}

func TestCookiesAreNotLookedAtWhereTheyAreOff(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	alice := s.SignIn(t, "alice")
	off := *s
	config := s.Config
	config.Cookies = sessions.Cookies{}
	off.Handler = routes(mustNew(t, config))
	before := s.Faults.Calls(sessionstest.MethodGet)
	for _, twice := range []bool{false, true} {
		b := s.browse(t, alice)
		b.site = &off
		var more []func(*http.Request)
		if twice {
			more = append(more, cookies(accessCookie, "x"))
		}
		b.send(t, "GET", "/me", more...).want(t, 401, "ACCESS_TYPE_REQUIRED", "")
		b.send(t, "GET", "/open", more...).want(t, 200, "nobody", "")
		b.send(t, "GET", "/auth/sessions/current", more...).want(t, 401, "ACCESS_TYPE_REQUIRED", "")
		b.send(t, "POST", "/auth/sessions/current/refresh", more...).want(t, 400, "SCHEMA_ERROR", "")
		b.send(t, "DELETE", "/auth/sessions/current", append(more, header("Sec-Fetch-Site", "cross-site"))...).want(t,
			401, "ACCESS_TOKEN_EXPIRED", "")
	}
	if n := s.Faults.Calls(sessionstest.MethodGet); n != before || s.Faults.Calls(sessionstest.MethodRefresh)+
		s.Faults.Calls(sessionstest.MethodEnd) != 0 {
		t.Error("the store was asked")
	}
}

func TestHeadersWinOverCookies(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		headers func(bob *sessionstest.SignedIn) []string
		status  int
		text    string
	}{
		"Bearer": {func(bob *sessionstest.SignedIn) []string {
			return []string{"Authorization", "Bearer " + bob.Grant.AccessToken.Reveal()}
		}, 200, "bob"},
		"Bearer, malformed": {
			func(*sessionstest.SignedIn) []string { return []string{"Authorization", "Bearer x"} }, 401,
			"UNPARSABLE_ACCESS_TOKEN",
		},
		"Bearer, empty": {
			func(*sessionstest.SignedIn) []string { return []string{"Authorization", "Bearer "} }, 401,
			"UNPARSABLE_ACCESS_TOKEN",
		},
		"Bearer, an unknown key": {func(*sessionstest.SignedIn) []string {
			return []string{"Authorization", "Bearer ssk_" + strings.Repeat("x", 43)}
		}, 401, "INVALID_SECRET_SERVER_KEY"},
		"an access type, and a token": {func(bob *sessionstest.SignedIn) []string {
			return []string{"X-Stack-Access-Type", "client", "X-Stack-Access-Token", bob.Grant.AccessToken.Reveal()}
		}, 200, "bob"},
		"an access type, no token": {
			func(*sessionstest.SignedIn) []string { return []string{"X-Stack-Access-Type", "client"} }, 400,
			"CANNOT_GET_OWN_USER_WITHOUT_USER",
		},
		"an access type, a bad token": {func(*sessionstest.SignedIn) []string {
			return []string{"X-Hexclave-Access-Type", "client", "X-Hexclave-Access-Token", "x"}
		}, 401, "UNPARSABLE_ACCESS_TOKEN"},
		"an access type, a bad one": {
			func(*sessionstest.SignedIn) []string { return []string{"X-Stack-Access-Type", "root"} }, 400,
			"INVALID_ACCESS_TYPE",
		},
		"a key without access type": {
			func(*sessionstest.SignedIn) []string { return []string{"X-Stack-Secret-Server-Key", "x"} }, 400,
			"PROJECT_KEY_WITHOUT_ACCESS_TYPE",
		},
		// These name nobody.
		"Basic": {
			func(*sessionstest.SignedIn) []string { return []string{"Authorization", "Basic eDp5"} }, 200, "alice",
		},
		"an empty Authorization": {
			func(*sessionstest.SignedIn) []string { return []string{"Authorization", ""} }, 200, "alice",
		},
		"a project alone": {
			func(*sessionstest.SignedIn) []string { return []string{"X-Stack-Branch-Id", "main"} }, 200, "alice",
		},
		"a token without access type": {func(bob *sessionstest.SignedIn) []string {
			return []string{"X-Stack-Access-Token", bob.Grant.AccessToken.Reveal()}
		}, 200, "alice"},
		"a refresh token of the family": {func(bob *sessionstest.SignedIn) []string {
			return []string{"X-Stack-Refresh-Token", bob.Grant.RefreshToken.Reveal()}
		}, 200, "alice"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			alice, bob := s.SignIn(t, "alice"), s.SignIn(t, "bob")
			send := func(b *browser) reply {
				return b.send(t, "GET", "/me", func(r *http.Request) {
					pairs := test.headers(bob)
					for i := 0; i < len(pairs); i += 2 {
						r.Header.Set(pairs[i], pairs[i+1])
					}
					if r.Header.Get("X-Stack-Access-Type")+r.Header.Get("X-Hexclave-Access-Type") != "" {
						r.Header.Set("X-Stack-Project-Id", s.Config.ProjectID)
						r.Header.Set("X-Hexclave-Project-Id", s.Config.ProjectID)
					}
				})
			}
			send(s.browse(t, alice)).want(t, test.status, test.text, "")
			// Dead cookies next to a header that counts are left alone.
			if test.text != "alice" {
				dead := s.browse(t)
				dead.jar[refreshCookie] = &http.Cookie{Value: "x", Path: "/", Expires: s.Clock.Now().Add(time.Hour)}
				send(dead).want(t, test.status, test.text, "")
			}
		})
	}
	t.Run("Bearer, expired", func(t *testing.T) {
		t.Parallel()
		s := newSite(t)
		b, bob := s.browse(t, s.SignIn(t, "alice")), s.SignIn(t, "bob")
		s.Clock.Advance(time.Hour)
		bearer := header("Authorization", "Bearer "+bob.Grant.AccessToken.Reveal())
		b.send(t, "GET", "/me", bearer).want(t, 401, "ACCESS_TOKEN_EXPIRED", "")
		b.send(t, "GET", "/open", bearer).want(t, 401, "ACCESS_TOKEN_EXPIRED", "")
	})
}

// origins are where a request can come from.
var origins = map[string]struct {
	headers []string
	foreign bool
}{
	"cross-site": {[]string{"Sec-Fetch-Site", "cross-site"}, true},
	"same-site":  {[]string{"Sec-Fetch-Site", "same-site"}, true},
	"same-site, whatever Origin says": {
		[]string{"Sec-Fetch-Site", "same-site", "Origin", "https://app.example"}, true,
	},
	"none, as from the address bar": {[]string{"Sec-Fetch-Site", "none"}, false},
	"same-origin": {
		[]string{"Sec-Fetch-Site", "same-origin", "Origin", "https://app.example"}, false,
	},
	"an old browser, another origin":     {[]string{"Origin", "https://evil.example"}, true},
	"an old browser, another port":       {[]string{"Origin", "https://app.example:8443"}, true},
	"an old browser, a longer host":      {[]string{"Origin", "https://app.example.evil.example"}, true},
	"an old browser, the origin null":    {[]string{"Origin", "null"}, true},
	"an old browser, the same origin":    {[]string{"Origin", "https://app.example"}, false},
	"no browser, or one that says where": {nil, false},
}

func TestAnotherOriginCannotActByCookie(t *testing.T) {
	t.Parallel()
	for name, origin := range origins {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			alice := s.SignIn(t, "alice")
			from := func(r *http.Request) {
				for i := 0; i < len(origin.headers); i += 2 {
					r.Header.Set(origin.headers[i], origin.headers[i+1])
				}
			}
			fresh, b := s.browse(t, alice), s.browse(t, alice)
			for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "PROPFIND"} {
				for _, path := range []string{"/me", "/open"} {
					want := func(got reply) {
						t.Helper()
						if origin.foreign {
							got.want(t, 403, "FORBIDDEN cross_origin", "")
						} else {
							got.want(t, 200, "alice", "")
						}
					}
					want(fresh.send(t, method, path, from))
				}
				// Only cookies are sent by a browser on its own.
				fresh.send(t, method, "/me", from, header("Authorization", "Bearer "+alice.Grant.AccessToken.Reveal())).
					want(t, 200, "alice", "")
				s.browse(t).send(t, method, "/open", from).want(t, 200, "nobody", "")
			}
			for _, method := range []string{"GET", "HEAD", "OPTIONS"} {
				fresh.send(t, method, "/me", from).want(t, 200, "alice", "")
			}
			s.Clock.Advance(time.Hour)
			row := func() sessions.Session {
				row, err := s.Get(t.Context(), alice.Grant.Session.ID)
				if err != nil {
					t.Fatal(err)
				}
				return row
			}
			before := row()
			if origin.foreign {
				b.send(t, "POST", "/me", from).want(t, 403, "FORBIDDEN cross_origin", "")
				s.browse(t).send(t, "POST", "/me", from, cookies(refreshCookie, "dead")).want(t, 403,
					"FORBIDDEN cross_origin", "")
				if row() != before || s.Faults.Calls(sessionstest.MethodRefresh) != 0 {
					t.Error("the session was refreshed")
				}
			} else {
				b.send(t, "POST", "/me", from).want(t, 200, "alice", bothSet)
			}
		})
	}
}

func TestABrowserOverHTTP2(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	mux := http.NewServeMux()
	mux.Handle("/", s.Handler)
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		grant, err := s.Create(r.Context(), sessions.CreateParams{UserID: "alice"})
		if err == nil {
			err = s.SetCookies(w, grant)
		}
		if err != nil {
			sessions.WriteError(w, r, err)
		}
	})
	server := httptest.NewUnstartedServer(mux)
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := server.Client()
	client.Jar = jar
	send := func(method, path string) reply {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		if err != nil || answer.ProtoMajor != 2 {
			t.Fatalf("%s, error %v", answer.Proto, err)
		}
		return newReply(answer, string(body))
	}
	send("GET", "/me").want(t, 401, "ACCESS_TYPE_REQUIRED", "")
	send("POST", "/login").want(t, 200, "", bothSet+" "+endOfActing)
	send("GET", "/me").want(t, 200, "alice", "")
	s.Clock.Advance(time.Hour)
	send("GET", "/me").want(t, 200, "alice", bothSet)
	send("DELETE", "/auth/sessions/current").want(t, 200, `{"success":true}`, bothCleared)
	address, _ := url.Parse(server.URL)
	if left := jar.Cookies(address); len(left) != 0 {
		t.Errorf("%d cookies are left", len(left))
	}
}

// A neighbouring host cannot set a cookie whose name begins with __Host-, but it can set one
// whose name begins with a non-ASCII space before that. Servers that trim such spaces take it
// for the real one.
func TestACookieNameHasNoOtherSpaceAroundIt(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	access := s.SignIn(t, "alice").Grant.AccessToken.Reveal()
	for _, space := range []string{"", " ", "\t"} {
		if got := s.browse(t).send(t, "GET", "/me",
			header("Cookie", space+accessCookie+"="+access)); got.status != 200 {
			t.Errorf("%q before the name: %d %s", space, got.status, got.body)
		}
	}
	for _, space := range []string{
		"\u2000", "\u00a0", "\u0085", "\u3000", "\v", "\f", "\r", "\n", "\x00", "\u200b", "\xa0", "$", "x ",
	} {
		for _, line := range []string{
			space + accessCookie + "=" + access, "a=b; " + space + accessCookie + "=" + access,
			accessCookie + space + "=" + access,
		} {
			if got := s.browse(t).send(t, "GET", "/me", header("Cookie", line)); got.status != 401 {
				t.Errorf("%.40q: %d %s", line, got.status, got.body)
			}
		}
	}
}

func FuzzCookies(f *testing.F) {
	s := newSite(f)
	alice := s.SignIn(f, "alice")
	access, refresh := alice.Grant.AccessToken.Reveal(), alice.Grant.RefreshToken.Reveal()
	// or the fuzzer may well find good ones
	if _, err := s.End(f.Context(), sessions.EndParams{ID: alice.Grant.Session.ID}); err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		"", ";", "=", accessCookie, accessCookie + "=", accessCookie + "=x", "x=" + access, " " + accessCookie +
			" =" + access + "x",
		accessCookie + "=" + access[:len(access)-1], refreshCookie + "=" + refresh[:len(refresh)-1],
		accessCookie + "=" + refresh + "; " + refreshCookie + "=" + access,
		actingRefreshCookie + `="` + refresh + "\"", accessCookie + "=a;" + accessCookie + "=b", accessCookie + "=" +
			access + "," + access, "\u2000" + accessCookie + "=" + access,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		for method, change := range map[string]func(*http.Request){
			"GET": header("Cookie", line), "POST": header("Cookie", line, line),
		} {
			got := s.browse(t).send(t, method, "/me", change)
			if got.status != 400 && got.status != 401 || strings.Contains(got.cookies, "+") {
				t.Errorf("%s %q: %d %s%s, cookies %q", method, line, got.status, got.code, got.body, got.cookies)
			}
		}
	})
}

// A cache must not give one user's page to the next, whatever the handler forgets.
func TestAnswersByCookieVary(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	alice := s.SignIn(t, "alice")
	b := s.browse(t, alice)
	files := http.FileServerFS(fstest.MapFS{"page": {Data: []byte("page")}})
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for range 2 { // in a row
			if _, err := s.Admit(w, r, sessions.NeedNothing, sessions.Stateless); err != nil {
				sessions.WriteError(w, r, err)
				return
			}
		}
		files.ServeHTTP(w, r)
	})
	check := func(what string, got reply, vary, cache string) {
		t.Helper()
		if v, c := strings.Join(got.header.Values("Vary"), " "),
			got.header.Get("Cache-Control"); v != vary || c != cache {
			t.Errorf("%s: Vary %q, Cache-Control %q; want %q and %q", what, v, c, vary, cache)
		}
	}
	check("a page", b.send(t, "GET", "/page"), "Cookie", "private")
	check("nobody's page", s.browse(t).send(t, "GET", "/page"), "Cookie", "")
	check("a page with a token",
		s.browse(t).send(t, "GET", "/page", header("Authorization", alice.Header().Get("Authorization"))), "Cookie", "")
	// No cache knows that these are credentials.
	check("a page for the SDK", s.browse(t).send(t, "GET", "/page", header("X-Stack-Access-Type", "client"),
		header("X-Stack-Project-Id", s.Config.ProjectID),
		header("X-Stack-Access-Token", alice.Grant.AccessToken.Reveal())), "Cookie", "private")
	s.Clock.Advance(time.Hour)
	// FileServer takes Cache-Control away from its errors.
	check("a refresh at a page that is missing", b.send(t, "GET", "/missing"), "Cookie", "")
}
