package proof_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
	"github.com/sessile-go/sessile/store"
	"gorm.io/gorm"
	"pgregory.net/rapid"
)

// machineCheck is what a machine judges.
type machineCheck byte

const (
	checkHonest  machineCheck = 'a'
	checkSpent   machineCheck = 'c'
	checkOver    machineCheck = 'd'
	checkBack    machineCheck = 'e'
	checkRows    machineCheck = 'f'
	checkSame    machineCheck = 'g'
	checkModel   machineCheck = 'm'
	machineAll                = "acdefgm"
	machineStart              = 1_780_000_000 // Unix time
)

func TestRandomRunsKeepTheProtocol(t *testing.T) {
	t.Parallel()
	for _, o := range openStores {
		t.Run(o.name, func(t *testing.T) {
			t.Parallel()
			w := newMachineWorld(t, o.open(t))
			var sum machineSum
			rapid.Check(t, func(rt *rapid.T) {
				if err := machineRun(t.Context(), rt, w, machineAll, &sum); err != nil {
					rt.Fatal(err)
				}
			})
			t.Log(&sum)
		})
	}
}

// TestRandomRunsNoticeABrokenProtocol breaks the rules once for each invariant.
// Nothing but that invariant is judged, so that it is seen to hold by itself; the
// model, which would notice first, has to notice, too.
func TestRandomRunsNoticeABrokenProtocol(t *testing.T) {
	t.Parallel()
	next := sessions.Rotation.Next
	for name, broken := range map[string]struct {
		check machineCheck
		flaws looseFlaws
	}{
		"no lost reply is forgiven": {checkHonest,
			looseFlaws{next: func(r sessions.Rotation, s sessions.RefreshState, presented int64,
				now time.Time) (sessions.RefreshState, sessions.Outcome) {
				r.MaxRecoveries = sessions.NoRecovery
				return next(r, s, presented, now)
			}}},
		"the window counts from the rotation": {checkHonest,
			looseFlaws{next: func(r sessions.Rotation, s sessions.RefreshState, presented int64,
				now time.Time) (sessions.RefreshState, sessions.Outcome) {
				after, outcome := next(r, s, presented, now)
				if outcome == sessions.OutcomeOverlap {
					after.AnsweredAt = s.AnsweredAt
				}
				return after, outcome
			}}},
		"a recovery opens no window": {checkHonest,
			looseFlaws{next: func(r sessions.Rotation, s sessions.RefreshState, presented int64,
				now time.Time) (sessions.RefreshState, sessions.Outcome) {
				after, outcome := next(r, s, presented, now)
				if outcome == sessions.OutcomeRecovered {
					after.AnsweredAt = s.AnsweredAt
				}
				return after, outcome
			}}},
		"older tokens go on working": {checkSpent,
			looseFlaws{next: func(r sessions.Rotation, s sessions.RefreshState, presented int64,
				now time.Time) (sessions.RefreshState, sessions.Outcome) {
				return next(r, s, max(presented, s.Parent), now)
			}}},
		"displaced tokens go on working": {checkSpent,
			looseFlaws{next: func(r sessions.Rotation, s sessions.RefreshState, presented int64,
				now time.Time) (sessions.RefreshState, sessions.Outcome) {
				if presented > s.Parent {
					presented = max(presented, s.Current)
				}
				return next(r, s, presented, now)
			}}},
		"ended sessions are refreshed": {checkOver, looseFlaws{judge: func(s sessions.Session, m sessions.Moment) bool {
			s.EndedAt = time.Time{}
			return looseLive(s, m)
		}}},
		"expired sessions are refreshed": {checkOver,
			looseFlaws{judge: func(s sessions.Session, m sessions.Moment) bool {
				s.ExpiresAt = m.Now.Add(time.Hour)
				return looseLive(s, m)
			}}},
		"idle sessions are refreshed": {checkOver, looseFlaws{judge: func(s sessions.Session, m sessions.Moment) bool {
			m.IdleCutoff = time.Time{}
			return looseLive(s, m)
		}}},
		"a recovery hands out what it displaced": {checkBack,
			looseFlaws{next: func(r sessions.Rotation, s sessions.RefreshState, presented int64,
				now time.Time) (sessions.RefreshState, sessions.Outcome) {
				after, outcome := next(r, s, presented, now)
				if outcome == sessions.OutcomeRecovered && s.Recoveries > 0 {
					after.Current = s.Current - 1
				}
				return after, outcome
			}}},
		"each token is a row": {checkRows, looseFlaws{rowPerToken: true}},
		"duplicates get successors of their own": {checkSame,
			looseFlaws{next: func(r sessions.Rotation, s sessions.RefreshState, presented int64,
				now time.Time) (sessions.RefreshState, sessions.Outcome) {
				after, outcome := next(r, s, presented, now)
				if outcome == sessions.OutcomeOverlap {
					after.Current++
				}
				return after, outcome
			}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const tries = 3000
			for _, judged := range []string{string(broken.check), string(checkModel)} {
				runs := rapid.Custom(func(rt *rapid.T) error {
					st := newLooseStore(broken.flaws)
					return machineRun(t.Context(), rt, &machineWorld{handles: []sessions.Store{st},
						rows: machineLooseRows(st)}, judged, new(machineSum))
				})
				found := -1
				for seed := 0; seed < tries && found < 0; seed++ {
					if err := runs.Example(seed); err != nil {
						found = seed
					}
				}
				if found < 0 {
					t.Errorf("(%s): %d runs passed", judged, tries)
				} else {
					t.Logf("(%s): run %d", judged, found)
				}
			}
		})
	}
}

func TestRandomRunsPassAStoreThatKeepsTheRules(t *testing.T) {
	t.Parallel()
	var sum machineSum
	rapid.Check(t, func(rt *rapid.T) {
		st := newLooseStore(looseFlaws{})
		w := &machineWorld{handles: []sessions.Store{st}, rows: machineLooseRows(st)}
		if err := machineRun(t.Context(), rt, w, machineAll, &sum); err != nil {
			rt.Fatal(err)
		}
	})
	t.Log(&sum)
}

// machineSum counts what was done; runs that shrink a failure count, too.
type machineSum struct{ runs, steps, calls, refused atomic.Int64 }

func (s *machineSum) String() string {
	return fmt.Sprintf("%d runs, %d steps, %d refreshes, %d of them refused", s.runs.Load(), s.steps.Load(),
		s.calls.Load(), s.refused.Load())
}

// machineWorld is what outlives a run.
type machineWorld struct {
	// handles are on one database.
	handles []sessions.Store
	// rows reads the rows of these users; nil if a store does not show them.
	rows func(ctx context.Context, users []string) (map[string]looseRow, error)
	runs int
}

func newMachineWorld(t testing.TB, p *place) *machineWorld {
	t.Helper()
	w := new(machineWorld)
	var db *gorm.DB
	for range 3 {
		o := p.handle(t)
		w.handles = append(w.handles, o.Store)
		db = o.db
	}
	if db == nil {
		return w
	}
	w.rows = func(ctx context.Context, users []string) (map[string]looseRow, error) {
		var rows []store.Row
		err := db.WithContext(ctx).Table(store.DefaultTable).Where("user_id IN ?", users).Find(&rows).Error
		found := make(map[string]looseRow)
		for _, r := range rows {
			found[r.ID] = looseRow{r.Session(), r.RefreshState()}
		}
		return found, err
	}
	return w
}

func machineLooseRows(st *looseStore) func(context.Context, []string) (map[string]looseRow, error) {
	return func(context.Context, []string) (map[string]looseRow, error) { return st.all(), nil }
}

// machine is one run: the clients and what they hold, a model of the store, and
// the notes of an onlooker.
type machine struct {
	ctx    context.Context
	world  *machineWorld
	judged string
	sum    *machineSum

	rotation sessions.Rotation
	peaceful bool // honest clients only, and nobody ends anything
	idle     time.Duration
	patience time.Duration // of honest clients, less than half the overlap
	skew     time.Duration // of a replica's clock at most, either way

	now      time.Time // of the world; replicas are a little off
	replicas [3]*machineReplica
	users    []string
	sessions []*machineSession
	keyIDs   map[int]string // of secrets, as tokens showed them
	texts    map[machineToken]string
	before   map[string]looseRow

	fault machineFault
	event sessions.EventType
	err   error
	trace []string
}

type machineFault string

const (
	machineNoFault  machineFault = ""
	machineNotAsked machineFault = "before"
	machineNotTold  machineFault = "after"
)

// machineReplica is a process of the host.
type machineReplica struct {
	manager *sessions.Manager
	off     time.Duration
	step    int // of the secret's rotation
	handle  int
}

// machineToken is a refresh token: of a session, with a counter, under a secret.
type machineToken struct {
	session *machineSession
	counter int64
	secret  int
}

// machineKind is how the clients of a session behave.
type machineKind string

const (
	machineTabs   machineKind = "tabs"   // two, with one store
	machineLossy  machineKind = "lossy"  // one
	machineStatic machineKind = "static" // keeps its first token
	machinePushy  machineKind = "pushy"  // two tabs that refresh whenever they like
)

// machineSession is a session, as its clients, the model and the onlooker know it.
type machineSession struct {
	name string
	kind machineKind

	// The clients.
	held     machineToken
	storedAt time.Time
	flights  []machineFlight
	all      []machineToken // everything that was ever handed out
	stolen   bool

	// The model.
	row looseRow

	// The onlooker.
	issued    int64              // the highest counter handed out
	used      int64              // the highest counter known to have been taken
	maybe     int64              // the highest counter that may have been taken
	answers   map[int64]answered // what was given for a counter
	displaced map[int64]bool
	unsure    map[int64]bool // an answer for that counter was lost
	lastUse   time.Time      // at the latest
	knownUse  time.Time      // at the earliest
	over      string
	maybeOver bool // the answer of a call that can end it was lost
	expires   time.Time
}

type answered struct {
	counter int64
	at      time.Time // start of the window
}

// machineFlight is a request of an honest client, from reading its token to
// storing the answer.
type machineFlight struct {
	token    machineToken
	deadline time.Time
	answer   *machineToken
}

// machineRun draws one run and returns what is wrong with it.
func machineRun(ctx context.Context, t *rapid.T, w *machineWorld, judged string, sum *machineSum) error {
	w.runs++
	sum.runs.Add(1)
	m := &machine{
		ctx: ctx, world: w, judged: judged, sum: sum,
		now:    time.Unix(machineStart, 0).UTC(),
		keyIDs: make(map[int]string),
		texts:  make(map[machineToken]string),
		users:  []string{fmt.Sprintf("ann %d", w.runs), fmt.Sprintf("bob %d", w.runs)},
	}
	overlap := rapid.SampledFrom([]time.Duration{time.Minute, 10 * time.Second}).Draw(t, "overlap")
	m.rotation = rapid.SampledFrom([]sessions.Rotation{
		{Overlap: overlap},
		{Overlap: overlap},
		{Overlap: overlap},
		{Overlap: overlap, MaxRecoveries: 1},
		{Overlap: overlap, MaxRecoveries: 3},
		{Overlap: overlap, MaxRecoveries: sessions.NoRecovery},
		sessions.StrictRotation(),
	}).Draw(t, "rotation")
	m.peaceful = rapid.Bool().Draw(t, "peaceful")
	m.idle = rapid.SampledFrom([]time.Duration{90 * 24 * time.Hour, sessions.NoIdleTimeout, 20 * time.Minute}).
		Draw(t, "idle")
	m.patience, m.skew = overlap/3, overlap/8
	for i := range m.replicas {
		m.replicas[i] = &machineReplica{handle: i % len(w.handles)}
		m.start(m.replicas[i])
	}
	t.Repeat(map[string]func(*rapid.T){"step": m.step})
	if m.err != nil {
		return fmt.Errorf("%w\n%s", m.err, strings.Join(m.trace, "\n"))
	}
	return nil
}

// wrong notes the first violation, if it is of a kind that is judged.
func (m *machine) wrong(c machineCheck, format string, args ...any) {
	if m.err == nil && strings.Contains(m.judged, string(c)) {
		m.err = fmt.Errorf("(%c) "+format, append([]any{c}, args...)...)
	}
}

// must notes an error that nothing explains.
func (m *machine) must(err error) {
	if m.err == nil {
		m.err = err
	}
}

func (m *machine) say(format string, args ...any) {
	m.trace = append(m.trace, fmt.Sprintf("%12v  ", m.now.Sub(time.Unix(machineStart, 0)))+fmt.Sprintf(format, args...))
}

// machineRing returns the secrets at a step: one alone, then followed by the next one, then
// after the next one, and so on.
func machineRing(step int) []int {
	switch k := step / 3; step % 3 {
	case 0:
		return []int{k}
	case 1:
		return []int{k, k + 1}
	default:
		return []int{k + 1, k}
	}
}

// start makes a new Manager for a replica.
func (m *machine) start(r *machineReplica) {
	var secrets [][]byte
	for _, k := range machineRing(r.step) {
		secrets = append(secrets, fmt.Appendf(nil, "secret %3d of machines, of 32 bytes", k))
	}
	failing := func(f machineFault) sessionstest.Fault {
		return func(context.Context, sessionstest.Call) error {
			if m.fault == f {
				return errors.New("the database is away")
			}
			return nil
		}
	}
	var err error
	r.manager, err = sessions.New(sessions.Config{
		Store: &sessionstest.Faults{
			Store: m.world.handles[r.handle], Before: failing(machineNotAsked), After: failing(machineNotTold),
		},
		Users:       func(_ context.Context, id string) (sessions.User, error) { return sessions.User{ID: id}, nil },
		Secrets:     secrets,
		Issuer:      "https://app.example/auth",
		ProjectID:   "machines",
		Rotation:    m.rotation,
		IdleTimeout: m.idle,
		OnEvent:     func(_ context.Context, e sessions.Event) { m.event = e.Type },
		Now:         func() time.Time { return m.now.Add(r.off) },
	})
	m.must(err)
}

func (m *machine) moment(r *machineReplica) sessions.Moment {
	now := m.now.Add(r.off)
	if m.idle == sessions.NoIdleTimeout {
		return sessions.Moment{Now: now}
	}
	return sessions.Moment{Now: now, IdleCutoff: now.Add(-m.idle)}
}

// What happens, more or less often.
var (
	machinePeace = []string{
		"client", "client", "client", "client", "client", "client", "client", "client",
		"time", "time", "time", "skew", "restart", "deploy", "deploy",
	}
	machineWar = slices.Concat(machinePeace, []string{"create", "thief", "thief", "end"})
)

// step is a few things that happen; what is looked at after each.
func (m *machine) step(t *rapid.T) {
	for range 2 {
		m.one(t)
		m.look()
	}
}

func (m *machine) one(t *rapid.T) {
	if m.err != nil {
		return
	}
	m.sum.steps.Add(1)
	what := rapid.SampledFrom(machineWar).Draw(t, "what")
	if m.peaceful && !slices.Contains(machinePeace, what) {
		what = "client"
	}
	r := m.replicas[rapid.IntRange(0, len(m.replicas)-1).Draw(t, "replica")]
	if !slices.ContainsFunc(m.sessions, func(s *machineSession) bool {
		return s.over == "" && m.now.Before(s.expires)
	}) {
		what = "create"
	}
	switch what {
	case "create":
		m.create(t, r)
	case "client":
		m.client(t, r)
	case "thief":
		m.thief(t, r)
	case "end":
		m.end(t, r)
	case "time":
		m.pass(t)
	case "skew":
		r.off = time.Duration(rapid.Int64Range(-int64(m.skew), int64(m.skew)).Draw(t, "skew")).
			Truncate(time.Microsecond)
		m.say("a clock is off by %v", r.off)
	case "restart":
		r.handle = rapid.IntRange(0, len(m.world.handles)-1).Draw(t, "handle")
		m.start(r)
		m.say("restart")
	case "deploy":
		m.deploy(r)
	}
}

func (m *machine) pass(t *rapid.T) {
	o := max(m.rotation.Overlap, time.Second)
	d := rapid.SampledFrom([]time.Duration{
		time.Microsecond, o / 10, o / 5, m.patience, o - m.patience, o - time.Microsecond, o, o + m.patience, 2 * o,
		5 * time.Minute, 19 * time.Minute, 21 * time.Minute, 2 * time.Hour,
	}).Draw(t, "time")
	m.now = m.now.Add(d.Truncate(time.Microsecond))
	for _, s := range m.sessions {
		s.flights = slices.DeleteFunc(s.flights, func(f machineFlight) bool { return m.now.After(f.deadline) })
	}
	m.say("%v pass", d)
}

// deploy takes a replica one step further, if the runbook allows: all are on one
// step before the first goes to the next, and a secret is dropped when every
// client that adopts has left it. Static clients never do.
func (m *machine) deploy(r *machineReplica) {
	for _, other := range m.replicas {
		if other.step < r.step {
			return
		}
	}
	if r.step%3 == 2 {
		for _, s := range m.sessions {
			if s.kind != machineStatic && s.over == "" && (s.held.secret != machineRing(r.step)[0] ||
				len(s.flights) > 0) {
				return
			}
		}
	}
	r.step++
	m.start(r)
	m.say("a replica has the secrets %v", machineRing(r.step))
}

func (m *machine) create(t *rapid.T, r *machineReplica) {
	const most = 6
	if len(m.sessions) >= most {
		return
	}
	s := &machineSession{
		name: fmt.Sprintf("s%d", len(m.sessions)),
		kind: rapid.SampledFrom([]machineKind{
			machineTabs, machineTabs, machineLossy, machineStatic, machinePushy,
		}).Draw(t, "kind"),
		answers:   make(map[int64]answered),
		displaced: make(map[int64]bool),
		unsure:    make(map[int64]bool),
	}
	if m.peaceful {
		s.kind = machineTabs
	}
	p := sessions.CreateParams{
		UserID: rapid.SampledFrom(m.users).Draw(t, "user"),
		TTL:    rapid.SampledFrom([]time.Duration{0, 0, time.Hour}).Draw(t, "ttl"),
	}
	m.event = ""
	grant, err := r.manager.Create(m.ctx, p)
	if err != nil {
		m.must(err)
		return
	}
	m.sessions = append(m.sessions, s)
	s.row = looseRow{grant.Session, sessions.NewRefreshState(grant.Session.CreatedAt)}
	s.issued, s.lastUse, s.knownUse, s.expires = 1, grant.Session.CreatedAt, grant.Session.CreatedAt,
		grant.Session.ExpiresAt
	s.held = m.token(s, r, grant.RefreshToken.Reveal(), 1)
	s.storedAt = m.now.Add(-time.Hour)
	s.all = []machineToken{s.held}
	m.say("%s of %s, %s", s.name, p.UserID, s.kind)
}

func (m *machine) pick(t *rapid.T) *machineSession {
	s := m.sessions[rapid.IntRange(0, len(m.sessions)-1).Draw(t, "session")]
	if s.over != "" && rapid.IntRange(0, 3).Draw(t, "dead") > 0 {
		s = m.sessions[len(m.sessions)-1]
	}
	return s
}

// client is the next thing that a client of a session does.
func (m *machine) client(t *rapid.T, r *machineReplica) {
	s := m.pick(t)
	if s.kind == machineStatic {
		m.present(t, r, s, s.all[0])
		return
	}
	tabs := 2
	if s.kind == machineLossy {
		tabs = 1
	}
	// An honest client waits, after storing an answer, until none of its requests
	// can be under way.
	if rested := s.kind == machinePushy || m.now.Sub(s.storedAt) > m.patience; rested && len(s.flights) < tabs &&
		(len(s.flights) == 0 || rapid.Bool().Draw(t, "send")) {
		s.flights = append(s.flights, machineFlight{token: s.held, deadline: m.now.Add(m.patience)})
		m.say("%s sends %d", s.name, s.held.counter)
		return
	}
	if len(s.flights) == 0 {
		return
	}
	i := rapid.IntRange(0, len(s.flights)-1).Draw(t, "flight")
	f := &s.flights[i]
	switch rapid.SampledFrom([]string{"go on", "go on", "go on", "again", "lose"}).Draw(t, "network") {
	case "lose":
		m.say("%s loses %d", s.name, f.token.counter)
		s.flights = slices.Delete(s.flights, i, i+1)
		return
	case "go on":
		if f.answer != nil {
			s.held, s.storedAt = *f.answer, m.now
			m.say("%s stores %d", s.name, s.held.counter)
			s.flights = slices.Delete(s.flights, i, i+1)
			return
		}
	}
	if answer, ok := m.present(t, r, s, f.token); ok {
		f.answer = &answer
	}
}

// thief presents anything that was ever handed out, and keeps what it gets.
func (m *machine) thief(t *rapid.T, r *machineReplica) {
	s := m.pick(t)
	s.stolen = true
	m.say("a thief:")
	m.present(t, r, s, s.all[rapid.IntRange(0, len(s.all)-1).Draw(t, "loot")])
}

func (m *machine) end(t *rapid.T, r *machineReplica) {
	s := m.pick(t)
	now := m.moment(r).Now
	over := func(s *machineSession, reason sessions.EndReason) {
		s.over = string(reason)
		s.row.session.EndedAt, s.row.session.EndReason, s.row.session.EndedBy = now, reason, "host"
	}
	// What is idle can be ended.
	live := func(s *machineSession) bool {
		return s.row.session.Live(sessions.Moment{Now: now})
	}
	switch how := rapid.SampledFrom([]string{"id", "token", "all", "others"}).Draw(t, "how"); how {
	case "id", "token":
		var err error
		if token := s.all[0]; how == "token" {
			_, err = r.manager.EndByRefreshToken(m.ctx, m.texts[token], sessions.EndParams{
				Reason: sessions.EndSignedOut, By: "host",
			})
			if !slices.Contains(machineRing(r.step), token.secret) {
				if !errors.Is(err, sessions.ErrMalformed) {
					m.wrong(checkModel, "sign-out with a dropped secret: %v", err)
				}
				return
			}
		} else {
			_, err = r.manager.End(m.ctx, sessions.EndParams{
				ID: s.row.session.ID, Reason: sessions.EndSignedOut, By: "host",
			})
		}
		m.say("end of %s by %s: %v", s.name, how, err)
		switch {
		case err == nil != live(s), err != nil && !errors.Is(err, sessions.ErrNotFound):
			m.wrong(checkModel, "end of %s, live %t: %v", s.name, live(s), err)
		}
		if err == nil {
			over(s, sessions.EndSignedOut)
		}
	default:
		except := ""
		if how == "others" {
			except = s.row.session.ID
		}
		ended, err := r.manager.EndMany(m.ctx, sessions.EndManyParams{
			UserID: s.row.session.UserID, ExceptID: except, Reason: sessions.EndRevoked, By: "host",
		})
		m.must(err)
		m.say("end of %s of %s: %d", how, s.row.session.UserID, len(ended))
		for _, other := range m.sessions {
			want := other.row.session.UserID == s.row.session.UserID && other.row.session.ID != except && live(other)
			got := slices.ContainsFunc(ended, func(e sessions.Session) bool { return e.ID == other.row.session.ID })
			if want != got {
				m.wrong(checkModel, "end of many: %s ended %t, want %t", other.name, got, want)
			}
			if got {
				over(other, sessions.EndRevoked)
			}
		}
	}
}

// token reads what a refresh token says and holds it against all before: one ring
// has one text for a counter.
func (m *machine) token(s *machineSession, r *machineReplica, text string, want int64) machineToken {
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(text, "srt1_"))
	if err != nil || len(b) < 28 {
		m.must(fmt.Errorf("%q is no refresh token", text))
		return machineToken{}
	}
	token := machineToken{s, linCounter(text), machineRing(r.step)[0]}
	if want != 0 && token.counter != want {
		m.wrong(checkModel, "%s: handed out %d, want %d", s.name, token.counter, want)
	}
	if known, ok := m.keyIDs[token.secret]; ok && known != string(b[:4]) {
		m.wrong(checkSame, "the key id of a secret has changed")
	}
	m.keyIDs[token.secret] = string(b[:4])
	if known, ok := m.texts[token]; ok && known != text {
		m.wrong(checkSame, "%s: two texts for %d under one secret", s.name, token.counter)
	}
	m.texts[token] = text
	return token
}

// expect is the model: what has to come of a presentation, and the row after it.
func (m *machine) expect(r *machineReplica, token machineToken) (looseRow, sessions.Outcome, error) {
	row := token.session.row
	if !slices.Contains(machineRing(r.step), token.secret) {
		return row, 0, sessions.ErrMalformed
	}
	moment := m.moment(r)
	switch s := row.session; {
	case !s.EndedAt.IsZero():
		return row, 0, sessions.ErrSessionEnded
	case !moment.Now.Before(s.ExpiresAt):
		return row, 0, sessions.ErrSessionExpired
	case !s.Live(moment):
		return row, 0, sessions.ErrSessionIdle
	}
	var outcome sessions.Outcome
	row.state, outcome = m.rotation.Next(row.state, token.counter, moment.Now)
	if outcome.EndReason() != "" {
		row.session.EndedAt, row.session.EndReason = moment.Now, outcome.EndReason()
	} else if moment.Now.After(row.session.LastUsedAt) {
		row.session.LastUsedAt = moment.Now
	}
	switch outcome {
	case sessions.OutcomeReplay:
		return row, outcome, sessions.ErrReplay
	case sessions.OutcomeRecoveryLimit:
		return row, outcome, sessions.ErrRecoveryLimit
	default:
		return row, outcome, nil
	}
}

var machineEvents = map[sessions.Outcome]sessions.EventType{
	sessions.OutcomeRotated:       sessions.EventRotated,
	sessions.OutcomeOverlap:       sessions.EventOverlap,
	sessions.OutcomeRecovered:     sessions.EventRecovered,
	sessions.OutcomeAhead:         sessions.EventAhead,
	sessions.OutcomeReplay:        sessions.EventReplay,
	sessions.OutcomeRecoveryLimit: sessions.EventRecoveryLimit,
}

// present sends a token to a replica and judges the answer.
func (m *machine) present(t *rapid.T, r *machineReplica, s *machineSession, token machineToken) (machineToken, bool) {
	m.sum.calls.Add(1)
	fault := rapid.SampledFrom([]machineFault{"", "", "", "", "", "", machineNotAsked, machineNotTold}).Draw(t, "fault")
	row, outcome, want := m.expect(r, token)
	now := m.moment(r).Now

	m.fault, m.event = fault, ""
	grant, err := r.manager.Refresh(m.ctx, m.texts[token], sessions.Client{})
	m.fault = machineNoFault
	m.say("%s presents %d, fault %q, clock off by %v: %s %d %v", s.name, token.counter, fault, r.off, m.event,
		linCounter(grant.RefreshToken.Reveal()), err)

	if fault != machineNoFault && !errors.Is(err, sessions.ErrMalformed) {
		if !errors.Is(err, sessions.ErrUnavailable) {
			m.wrong(checkModel, "a database that is away answers %v", err)
		}
		if fault == machineNotTold {
			s.row = row
			s.maybe, s.maybeOver = max(s.maybe, token.counter), true
			s.unsure[token.counter] = true
			delete(s.answers, token.counter)
			if now.After(s.lastUse) {
				s.lastUse = now
			}
		}
		return machineToken{}, false
	}
	s.row = row
	if !errors.Is(err, want) || m.event != machineEvents[outcome] {
		m.wrong(checkModel, "%s presents %d: %s, %v; want %s, %v", s.name, token.counter, m.event, err,
			machineEvents[outcome], want)
	}
	if err != nil {
		m.sum.refused.Add(1)
		m.refused(s, token, now, err)
		return machineToken{}, false
	}
	answer := m.token(s, r, grant.RefreshToken.Reveal(), row.state.Current)
	m.accepted(s, token, answer, now)
	s.all = append(s.all, answer)
	return answer, true
}

// inside is the onlooker's reckoning of whether a duplicate of an answered
// presentation comes in the window. If an answer was lost and the window does not restart,
// nobody outside knows when it began.
func (m *machine) inside(s *machineSession, token machineToken, a answered, now time.Time) bool {
	if m.rotation.Overlap == sessions.NoOverlap || s.unsure[token.counter] && m.rotation.MaxRecoveries != 0 {
		return false
	}
	return now.Before(a.at.Add(m.rotation.Overlap))
}

// accepted is what an onlooker makes of a success.
func (m *machine) accepted(s *machineSession, token, answer machineToken, now time.Time) {
	idle := m.idle != sessions.NoIdleTimeout && now.Sub(s.lastUse) >= m.idle
	if s.over != "" || !now.Before(s.expires) || idle {
		m.wrong(checkOver, "%s was refreshed: over %q, expired %t, idle %t", s.name, s.over,
			!now.Before(s.expires), idle)
	}
	if s.used > token.counter || s.displaced[token.counter] {
		m.wrong(checkSpent, "%s: %d was taken although %d had been used; displaced %v", s.name, token.counter, s.used,
			s.displaced[token.counter])
	}
	if answer.counter < s.issued {
		m.wrong(checkBack, "%s: %d was handed out after %d", s.name, answer.counter, s.issued)
	}
	last, repeated := s.answers[token.counter]
	switch {
	case !repeated:
		last = answered{answer.counter, now}
	case last.counter == answer.counter:
		if m.rotation.MaxRecoveries == 0 && now.After(last.at) {
			last.at = now
		}
	default:
		if m.inside(s, token, last, now) {
			m.wrong(checkSame, "%s: %d gave %d and then %d", s.name, token.counter, last.counter, answer.counter)
		}
		s.displaced[last.counter] = true
		last = answered{answer.counter, now}
	}
	s.answers[token.counter] = last
	s.used, s.maybe = max(s.used, token.counter), max(s.maybe, token.counter)
	s.issued = max(s.issued, answer.counter)
	if now.After(s.lastUse) {
		s.lastUse = now
	}
	if now.After(s.knownUse) {
		s.knownUse = now
	}
}

// refused is what an onlooker makes of a refusal.
func (m *machine) refused(s *machineSession, token machineToken, now time.Time, err error) {
	deserved := s.over != "" ||
		!now.Before(s.expires) ||
		m.idle != sessions.NoIdleTimeout && now.Sub(s.knownUse) >= m.idle
	if a, known := s.answers[token.counter]; known && m.inside(s, token, a, now) && !deserved && !s.maybeOver &&
		s.maybe <= token.counter && !errors.Is(err, sessions.ErrMalformed) {
		m.wrong(checkSame, "%s: a duplicate of %d inside the window: %v", s.name, token.counter, err)
	}
	adopts := s.kind == machineTabs || s.kind == machineLossy
	if adopts && !s.stolen && m.rotation.MaxRecoveries == 0 && !deserved {
		m.wrong(checkHonest, "%s presents %d and is signed out: %v", s.name, token.counter, err)
	}
	switch {
	case errors.Is(err, sessions.ErrReplay), errors.Is(err, sessions.ErrRecoveryLimit):
		s.over = err.Error()
	case errors.Is(err, sessions.ErrSessionEnded) && s.over == "":
		s.over = "ended by a call whose answer was lost"
	}
}

// look reads the store, past the Managers' refreshes.
func (m *machine) look() {
	if m.err != nil {
		return
	}
	r := m.replicas[0]
	moment := m.moment(r)
	for _, user := range m.users {
		list, err := r.manager.List(m.ctx, user, sessions.ListOptions{})
		m.must(err)
		got := make(map[string]bool)
		for _, s := range list.Sessions {
			got[s.ID] = true
		}
		want := make(map[string]bool)
		known := make(map[string]bool)
		for _, s := range m.sessions {
			if s.row.session.UserID == user {
				known[s.row.session.ID] = true
				if s.row.session.Live(moment) {
					want[s.row.session.ID] = true
				}
			}
		}
		for id := range got {
			if !known[id] {
				m.wrong(checkRows, "%s has a session that nobody created", user)
			}
		}
		if !maps.Equal(got, want) || len(list.Sessions) != len(got) {
			m.wrong(checkModel, "%s has %d live sessions, want %d", user, len(list.Sessions), len(want))
		}
	}
	if m.world.rows == nil {
		for _, s := range m.sessions {
			got, err := r.manager.Get(m.ctx, s.row.session.ID)
			m.must(err)
			if got != s.row.session {
				m.wrong(checkModel, "%s is\n%+v, want\n%+v", s.name, got, s.row.session)
			}
		}
		return
	}
	rows, err := m.world.rows(m.ctx, m.users)
	m.must(err)
	if len(rows) != len(m.sessions) {
		m.wrong(checkRows, "%d sessions have %d rows", len(m.sessions), len(rows))
	}
	for _, s := range m.sessions {
		row, ok := rows[s.row.session.ID]
		if !ok {
			m.wrong(checkRows, "%s has no row", s.name)
			continue
		}
		if b := m.before[s.row.session.ID]; row.state.Current < b.state.Current || row.state.Parent < b.state.Parent ||
			row.session.LastUsedAt.Before(b.session.LastUsedAt) {
			m.wrong(checkBack, "%s went from %+v to %+v", s.name, b, row)
		}
		if row != s.row {
			m.wrong(checkModel, "%s is\n%+v, want\n%+v", s.name, row, s.row)
		}
	}
	m.before = rows
}
