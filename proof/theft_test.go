package proof_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sessile-go/sessile/middleware"
	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

// That SQLite and memory keep one table is held by other tests; what this one adds
// is the HTTP API above it. So SQLite walks one use less, which takes a fifth of
// the time, unless the flag asks for all.
var theftDepthSQLite = flag.Int("theft.sqlite", 4, "uses of a stolen token to interleave on SQLite")

const theftDepth = 5

// theftStart is not on a full second, so that rounding shows.
var theftStart = time.Date(2026, time.March, 14, 15, 9, 26, 535_898_000, time.UTC)

// theftHolder is one of the two who hold tokens of one session.
type theftHolder int

const (
	theftVictim theftHolder = iota
	theftThief
)

func (h theftHolder) String() string { return [...]string{"victim", "thief"}[h] }

// theftClients are far enough apart that an event cannot name the wrong one.
var theftClients = [...]sessions.Client{
	theftVictim: {IP: "203.0.113.7", UserAgent: "Victim/1.0 (honest)"},
	theftThief:  {IP: "198.51.100.66", UserAgent: "Thief/6.6"},
}

// theftSetup is who plays under which rules.
type theftSetup struct {
	name     string
	rotation sessions.Rotation
	// adopts: the victim stores each answer, else it keeps its first token.
	adopts bool
	// keeps: the thief keeps all tokens it ever saw and presents any, else only
	// the newest.
	keeps bool
	// most is the largest number of successful uses in turn and outside the
	// window, the theft included: what bound (b) is about.
	most int
}

var theftSetups = []theftSetup{
	{"adopting victim, thief that keeps", sessions.Rotation{Overlap: time.Minute}, true, true, 3},
	{"adopting victim, thief that adopts", sessions.Rotation{Overlap: time.Minute}, true, false, 2},
	// Nobody can distinguish static from static; the table says so, too.
	{"static victim, thief that keeps", sessions.Rotation{Overlap: time.Minute}, false, true, theftDepth},
	{"static victim, thief that adopts", sessions.Rotation{Overlap: time.Minute}, false, false, 3},

	{"strict, adopting victim, thief that keeps", sessions.StrictRotation(), true, true, 1},
	{"strict, adopting victim, thief that adopts", sessions.StrictRotation(), true, false, 1},
	{"strict, static victim, thief that keeps", sessions.StrictRotation(), false, true, 1},
	{"strict, static victim, thief that adopts", sessions.StrictRotation(), false, false, 1},
}

// theftUse is one presentation of a token, and what the table says to it.
type theftUse struct {
	by        theftHolder
	presented int64
	// wait is how long after the use before it.
	wait time.Duration

	outside bool
	outcome sessions.Outcome
	current int64
}

func (u theftUse) String() string {
	return fmt.Sprintf("%v presents %d after %v: outcome %d, current %d", u.by, u.presented, u.wait,
		u.outcome, u.current)
}

// theftPlans calls yield with every interleaving of at most depth uses. An
// interleaving is shorter only if the table ends the session. The thief's first
// token is any one that the victim held up to then, so it stands for a theft at any
// time before.
//
// The two waits are both edges of the window, one microsecond apart.
func theftPlans(s theftSetup, depth int, yield func(plan []theftUse)) {
	overlap := s.rotation.Overlap
	if overlap == sessions.NoOverlap {
		overlap = time.Minute
	}
	waits := []time.Duration{overlap - time.Microsecond, overlap}

	type node struct {
		state  sessions.RefreshState
		now    time.Time
		held   []int64 // by the victim, the newest last
		stolen []int64 // known to the thief, the newest last
		plan   []theftUse
	}
	add := func(list []int64, counter int64) []int64 {
		if slices.Contains(list, counter) {
			return list
		}
		return append(slices.Clone(list), counter)
	}
	var walk func(n node)
	walk = func(n node) {
		if len(n.plan) == depth {
			yield(n.plan)
			return
		}
		for _, wait := range waits {
			now := n.now.Add(wait)
			use := func(by theftHolder, presented int64) {
				state, outcome := s.rotation.Next(n.state, presented, now)
				u := theftUse{by, presented, wait, !now.Before(n.state.AnsweredAt.Add(overlap)), outcome, state.Current}
				next := node{state, now, n.held, n.stolen, append(slices.Clone(n.plan), u)}
				switch {
				case outcome.EndReason() != "":
					yield(next.plan)
					return
				case by == theftVictim && s.adopts:
					next.held = add(n.held, state.Current)
				case by == theftThief && s.keeps:
					next.stolen = add(add(n.stolen, presented), state.Current)
				case by == theftThief:
					next.stolen = []int64{state.Current}
				}
				walk(next)
			}
			use(theftVictim, n.held[len(n.held)-1])
			known := n.stolen
			if len(known) == 0 {
				known = n.held
			}
			for _, counter := range known {
				use(theftThief, counter)
			}
		}
	}
	start := time.Unix(1_800_000_000, 0)
	walk(node{state: sessions.NewRefreshState(start), now: start, held: []int64{1}})
}

// theftStage is a server with both holders in front of it.
type theftStage struct {
	setup   theftSetup
	manager *sessions.Manager
	clock   *sessionstest.Clock
	server  *httptest.Server
	events  []sessions.Event // only one request is under way at a time
}

func newTheftStage(t *testing.T, setup theftSetup, store sessions.Store) *theftStage {
	t.Helper()
	st := &theftStage{setup: setup, clock: sessionstest.NewClock(theftStart)}
	var err error
	st.manager, err = sessions.New(sessions.Config{
		Store:          store,
		Users:          func(_ context.Context, id string) (sessions.User, error) { return sessions.User{ID: id}, nil },
		Secrets:        [][]byte{[]byte(strings.Repeat("theft and replay", 2))},
		Issuer:         "https://app.example/auth",
		ProjectID:      "app",
		Rotation:       setup.rotation,
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")},
		Now:            st.clock.Now,
		OnEvent:        func(_ context.Context, e sessions.Event) { st.events = append(st.events, e) },
	})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/", sessions.NewHandler(st.manager))
	mux.Handle("GET /hosts-own",
		middleware.Require(st.manager)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNoContent)
		})))
	st.server = httptest.NewServer(mux)
	t.Cleanup(st.server.Close)
	return st
}

// theftAnswer is what either holder gets.
type theftAnswer struct {
	status int
	body   struct {
		RefreshToken string `json:"refresh_token"`
		AccessToken  string `json:"access_token"`
		SessionID    string `json:"session_id"`
		Code         string `json:"code"`
		Details      struct {
			Reason string `json:"reason"`
		} `json:"details"`
	}
}

// request is one of holder's, with a credential in a header.
func (st *theftStage) request(holder theftHolder, method, path, name, credential string) *http.Request {
	r := httptest.NewRequest(method, st.server.URL+path, http.NoBody)
	r.RequestURI = "" // or a client refuses to send it
	r.RemoteAddr = "127.0.0.1:1"
	r.Header.Set(name, credential)
	r.Header.Set("User-Agent", theftClients[holder].UserAgent)
	r.Header.Set("X-Forwarded-For", theftClients[holder].IP)
	return r
}

func (st *theftStage) refreshRequest(holder theftHolder, token string) *http.Request {
	return st.request(holder, http.MethodPost, "/auth/sessions/current/refresh", "X-Stack-Refresh-Token", token)
}

func readTheftAnswer(response *http.Response) (a theftAnswer, err error) {
	defer response.Body.Close()
	a.status = response.StatusCode
	b, err := io.ReadAll(response.Body)
	if err == nil && len(b) > 0 {
		err = json.Unmarshal(b, &a.body)
	}
	return a, err
}

// refresh goes over the network.
func (st *theftStage) refresh(holder theftHolder, token string) (a theftAnswer, err error) {
	response, err := st.server.Client().Do(st.refreshRequest(holder, token))
	if err != nil {
		return a, err
	}
	return readTheftAnswer(response)
}

// hand gives a request to the server's handler without a network between.
func (st *theftStage) hand(r *http.Request) (theftAnswer, error) {
	w := httptest.NewRecorder()
	st.server.Config.Handler.ServeHTTP(w, r)
	return readTheftAnswer(w.Result())
}

func (st *theftStage) refreshInProcess(holder theftHolder, token string) (a theftAnswer, err error) {
	g, err := st.manager.Refresh(context.Background(), token, theftClients[holder])
	if err != nil {
		return a, err
	}
	a.status = http.StatusOK
	a.body.SessionID, a.body.RefreshToken, a.body.AccessToken = g.Session.ID, g.RefreshToken.Reveal(),
		g.AccessToken.Reveal()
	return a, nil
}

// open asks our own endpoint and the host's with an access token.
func (st *theftStage) open(holder theftHolder, token string) (own, hosts theftAnswer, err error) {
	bearer := "Bearer " + token
	if own, err = st.hand(st.request(holder, http.MethodGet, "/auth/sessions/current", "Authorization",
		bearer)); err != nil {
		return own, hosts, err
	}
	hosts, err = st.hand(st.request(holder, http.MethodGet, "/hosts-own", "Authorization", bearer))
	return own, hosts, err
}

func (st *theftStage) takeEvents() []sessions.Event {
	events := st.events
	st.events = nil
	return events
}

// theftPlay is one interleaving under way.
type theftPlay struct {
	*theftStage
	session string
	user    string
	tokens  map[int64]string // refresh tokens by counter
	// The tokens that each holder would use next.
	newestRefresh, newestAccess [2]string
	last                        theftHolder // whose use succeeded last
	turns                       theftTurns
}

// play runs a plan on a session of its own and returns the longest run of uses
// that bound (b) limits. The first known uses of the plan were made over HTTP in
// another play; they are repeated without it, which leaves each use of each
// interleaving made over HTTP once and takes a quarter of the time.
func (st *theftStage) play(ctx context.Context, n, known int, plan []theftUse) (most int, err error) {
	p := theftPlay{theftStage: st, user: fmt.Sprintf("user-%d", n), tokens: map[int64]string{}}
	g, err := st.manager.Create(ctx, sessions.CreateParams{UserID: p.user, Client: theftClients[theftVictim]})
	if err != nil {
		return 0, err
	}
	st.takeEvents()
	p.session = g.Session.ID
	p.tokens[1] = g.RefreshToken.Reveal()
	p.newestRefresh[theftVictim], p.newestAccess[theftVictim] = p.tokens[1], g.AccessToken.Reveal()

	for i, u := range plan {
		st.clock.Advance(u.wait)
		refresh := p.refresh
		if i < known {
			refresh = p.refreshInProcess
		}
		if err := p.use(u, refresh); err != nil {
			return 0, fmt.Errorf("use %d: %w", i+1, err)
		}
		p.turns.count(u)
	}
	if ended := plan[len(plan)-1].outcome.EndReason() != ""; ended {
		err = p.allDead(ctx)
	} else {
		err = p.allAlive(ctx, n%8 == 1)
	}
	return p.turns.most, err
}

// use presents a token and holds the answer and the event against the table.
func (p *theftPlay) use(u theftUse, refresh func(theftHolder, string) (theftAnswer, error)) error {
	a, err := refresh(u.by, p.tokens[u.presented])
	if err != nil {
		return err
	}
	events := p.takeEvents()
	if len(events) != 1 {
		return fmt.Errorf("%d events, want one: %+v", len(events), events)
	}
	e, want := events[0], sessions.Event{At: p.clock.Now(), Client: theftClients[u.by]}
	// A refused use leaves the client that was served last.
	if u.outcome.EndReason() == "" {
		p.last = u.by
	}
	want.Type = map[sessions.Outcome]sessions.EventType{
		sessions.OutcomeRotated: sessions.EventRotated, sessions.OutcomeOverlap: sessions.EventOverlap,
		sessions.OutcomeRecovered: sessions.EventRecovered, sessions.OutcomeReplay: sessions.EventReplay,
	}[u.outcome]
	if e.Type != want.Type || !e.At.Equal(want.At) || e.Client != want.Client || e.OldSecret {
		return fmt.Errorf("event %+v, want %+v", e, want)
	}
	if e.Session.ID != p.session || e.Session.UserID != p.user || e.Session.Client != theftClients[p.last] {
		return fmt.Errorf("the event's session is %+v, want id %s, user %s, client %+v", e.Session, p.session, p.user,
			theftClients[p.last])
	}

	if u.outcome.EndReason() != "" {
		if e.Session.EndReason != sessions.EndReplay || !e.Session.EndedAt.Equal(want.At) {
			return fmt.Errorf("the event's session ended at %v by %q, want %v by replay", e.Session.EndedAt,
				e.Session.EndReason, want.At)
		}
		return p.wantRefused(a, "replay")
	}
	if a.status != http.StatusOK || a.body.SessionID != p.session || a.body.RefreshToken == "" ||
		a.body.AccessToken == "" {
		return fmt.Errorf("answered %d %+v, want 200 and tokens of session %s", a.status, a.body, p.session)
	}
	for counter, token := range p.tokens {
		if same := token == a.body.RefreshToken; same != (counter == u.current) {
			return fmt.Errorf("the successor is the token of counter %d: %t, want %t", counter, same, !same)
		}
	}
	p.tokens[u.current] = a.body.RefreshToken
	p.newestAccess[u.by] = a.body.AccessToken
	if u.by == theftThief || p.setup.adopts {
		p.newestRefresh[u.by] = a.body.RefreshToken
	}
	return nil
}

func (p *theftPlay) wantRefused(a theftAnswer, reason string) error {
	if a.status != http.StatusUnauthorized || a.body.Code != "REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED" ||
		a.body.Details.Reason != reason ||
		a.body.RefreshToken != "" || a.body.AccessToken != "" {
		return fmt.Errorf("answered %d %+v, want 401 with reason %s and no token", a.status, a.body, reason)
	}
	return nil
}

// allDead tries everything that either holder has, after a replay.
func (p *theftPlay) allDead(ctx context.Context) error {
	for holder, token := range p.newestRefresh {
		if token == "" {
			continue // the thief came with an older token and got nothing
		}
		a, err := p.hand(p.refreshRequest(theftHolder(holder), token))
		if err == nil {
			err = p.wantRefused(a, "ended")
		}
		if err != nil {
			return fmt.Errorf("%v's refresh token after the replay: %w", theftHolder(holder), err)
		}
	}
	for counter, token := range p.tokens {
		if _, err := p.manager.Refresh(ctx, token, theftClients[theftThief]); !errors.Is(err,
			sessions.ErrSessionEnded) {
			return fmt.Errorf("token %d after the replay: %w", counter, err)
		}
	}
	for holder, token := range p.newestAccess {
		if token == "" {
			continue
		}
		own, hosts, err := p.open(theftHolder(holder), token)
		if err != nil {
			return err
		}
		for _, a := range []theftAnswer{own, hosts} {
			if a.status != http.StatusUnauthorized || a.body.Code != "ACCESS_TOKEN_EXPIRED" {
				return fmt.Errorf("%v's access token after the replay: answered %d %+v", theftHolder(holder),
					a.status, a.body)
			}
		}
	}
	if events := p.takeEvents(); len(events) != 0 {
		return fmt.Errorf("more events after the replay: %+v", events)
	}
	return p.wantRow(ctx, sessions.EndReplay, p.clock.Now())
}

// allAlive is the other side of allDead: without a replay the row lives, and the
// access tokens open what they open after none. The latter shows that allDead asks
// the right questions; now and then is often enough for that.
func (p *theftPlay) allAlive(ctx context.Context, access bool) error {
	for holder, token := range p.newestAccess {
		if token == "" || !access {
			continue
		}
		own, hosts, err := p.open(theftHolder(holder), token)
		if err != nil {
			return err
		}
		if own.status != http.StatusOK || hosts.status != http.StatusNoContent {
			return fmt.Errorf("%v's access token: answered %d and %d, want 200 and 204", theftHolder(holder),
				own.status, hosts.status)
		}
	}
	return p.wantRow(ctx, "", time.Time{})
}

func (p *theftPlay) wantRow(ctx context.Context, reason sessions.EndReason, at time.Time) error {
	row, err := p.manager.Get(ctx, p.session)
	if err != nil {
		return err
	}
	if row.EndReason != reason || !row.EndedAt.Equal(at) || row.EndedBy != "" || row.Client != theftClients[p.last] {
		return fmt.Errorf("the row ended at %v by %q of %q, client %+v; want %v by %q, client %+v", row.EndedAt,
			row.EndReason, row.EndedBy, row.Client, at, reason, theftClients[p.last])
	}
	return nil
}

// theftTurns counts how many uses in turn, by one holder and then the other, all
// outside the window, have succeeded since the theft.
type theftTurns struct {
	before theftUse
	stolen bool
	run    int
	most   int
}

func (c *theftTurns) count(u theftUse) {
	defer func() { c.before = u }()
	if u.outcome.EndReason() != "" {
		return
	}
	switch {
	case u.by == theftThief && !c.stolen:
		// The theft. The victim's use just before is after it if it presented
		// the stolen token, and not if it was how the victim got that.
		c.stolen = true
		if c.run = 0; u.outside && c.before.by == theftVictim && c.before.outside && c.before.presented >= u.presented {
			c.run = 1
		}
	case u.by == c.before.by || !c.before.outside:
		c.run = 0
	}
	if !u.outside {
		c.run = 0
		return
	}
	c.run++
	if c.stolen {
		c.most = max(c.most, c.run)
	}
}

func TestTheft(t *testing.T) {
	t.Parallel()
	for _, stores := range openStores {
		depth, walked := map[string]int{"memory": theftDepth, "sqlite": *theftDepthSQLite}[stores.name]
		if !walked {
			continue // Postgres differs in concurrency alone, and here nobody is concurrent
		}
		for _, setup := range theftSetups {
			t.Run(stores.name+"/"+setup.name, func(t *testing.T) {
				t.Parallel()
				stage := newTheftStage(t, setup, stores.open(t).handle(t))
				plans, uses, replays, most := 0, 0, 0, 0
				var before []theftUse
				theftPlans(setup, depth, func(plan []theftUse) {
					if t.Failed() {
						return
					}
					known := 0
					for known < min(len(plan), len(before)) && plan[known] == before[known] {
						known++
					}
					before = plan
					plans++
					uses += len(plan) - known
					if plan[len(plan)-1].outcome.EndReason() != "" {
						replays++
					}
					turns, err := stage.play(t.Context(), plans, known, plan)
					if err != nil {
						t.Errorf("%v\nafter %v", err, plan)
					}
					most = max(most, turns)
				})
				if want := min(setup.most, depth); most != want {
					t.Errorf("at most %d successful uses in turn, want %d", most, want)
				}
				t.Logf("%d interleavings of at most %d uses, %d uses, %d replays, at most %d uses in turn", plans,
					depth, uses, replays, most)
			})
		}
	}
}
