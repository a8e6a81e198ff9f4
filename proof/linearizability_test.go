package proof_test

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/sessile-go/sessile/internal/pgtest"
	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
)

var (
	linHistories = flag.Int("proof.histories", 30, "concurrent histories to judge, for each database")
	linPictures  = flag.String("proof.pictures", "", "folder for a picture of each history that fails")
)

const (
	linReplicas = 3
	linWorkers  = 6
	linUsers    = 2
	linCalls    = 40 // of each worker
	// linDoubts is how many unknown answers a history may have before fewer faults
	// are made: each may have happened at any time, or never, and the checker tries.
	linDoubts = 16
	// linPatience is how long the checker may take over one history. One that it
	// cannot decide counts as a failure.
	linPatience = time.Minute
)

var linStart = time.Date(2026, time.April, 5, 6, 7, 8, 0, time.UTC)

// linFaults says what goes wrong during a history.
type linFaults struct {
	name    string
	cancel  bool // contexts end during a statement
	lose    bool // answers of the store get lost
	kill    bool // single connections die
	killAll bool // all connections die at once, as in a fast shutdown
	restart bool // the server crashes and comes back
	reopen  bool // a replica goes away and another takes its place
}

var linSettings = []sessions.Rotation{
	{},
	{MaxRecoveries: 1},
	{MaxRecoveries: sessions.NoRecovery},
	sessions.StrictRotation(),
	{},
}

func TestHistoriesOnSQLiteAreLinearizable(t *testing.T) {
	t.Parallel()
	faults := []linFaults{
		{name: "calm"},
		{name: "cancel", cancel: true},
		{name: "lose", lose: true},
		{name: "reopen", reopen: true},
		{name: "all", cancel: true, lose: true, reopen: true},
	}
	var sum linSum
	for i := range *linHistories {
		f := faults[i%len(faults)]
		t.Run(fmt.Sprintf("%d %s", i, f.name), func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "sessions.db")
			p := migratedPlace(t, func() gorm.Dialector { return sqlite.Open(documentedDSN(file)) })
			h := newLinHistory(t, f, uint64(i), linSettings[i/len(faults)%len(linSettings)],
				func() sessions.Store { return p.handle(t) })
			h.run(t)
			h.judge(t, false, &sum)
		})
	}
	sum.log(t)
}

func TestHistoriesOnPostgresAreLinearizable(t *testing.T) {
	t.Parallel()
	cluster := pgtest.New(t)
	faults := []linFaults{
		{name: "calm"},
		{name: "cancel", cancel: true},
		{name: "lose and reopen", lose: true, reopen: true},
		{name: "kill", kill: true},
		{name: "kill all", killAll: true, cancel: true},
		{name: "restart", restart: true, lose: true},
	}
	var sum linSum
	for i := range *linHistories {
		f := faults[i%len(faults)]
		t.Run(fmt.Sprintf("%d %s", i, f.name), func(t *testing.T) {
			dsn := cluster.DSN(t)
			admin := openStore(t, postgres.Open(dsn))
			named := linNamed(t, dsn)
			p := migratedPlace(t, func() gorm.Dialector { return postgres.Open(named) })
			h := newLinHistory(t, f, uint64(i), linSettings[i/len(faults)%len(linSettings)],
				func() sessions.Store { return p.handle(t) })
			h.kill = func(ctx context.Context, limit int) {
				// Those that are at work first: an idle connection that dies is only replaced.
				err := admin.db.WithContext(ctx).Exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name = ? ORDER BY state = 'active' DESC, random() LIMIT ?`, linApplication, limit).Error
				if err != nil {
					t.Error("kill connections:", err)
				}
			}
			h.restart = func() { cluster.Restart(t) }
			h.run(t)
			h.judge(t, true, &sum)
		})
	}
	sum.log(t)
}

const linApplication = "sessile-replica"

// linNamed marks the connections that may be killed.
func linNamed(t testing.TB, dsn string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("application_name", linApplication)
	u.RawQuery = q.Encode()
	return u.String()
}

// TestBrokenStoresAreNotLinearizable proves that the checker can fail, and that it
// does not without a reason.
func TestBrokenStoresAreNotLinearizable(t *testing.T) {
	t.Parallel()
	live := looseLive
	broken := map[string]looseFlaws{
		"a refresh reads first and writes later": {split: true},
		"a refresh is run twice":                 {twice: true},
		"an end is answered before it is done":   {early: true},
		"a list comes from a replica behind":     {lag: true},
		"a commit is lost after its answer":      {forget: 25},
		"one of many is not ended":               {spare: true},
		"many are ended one by one":              {oneByOne: true},
		"an ended session can be refreshed": {judge: func(s sessions.Session, m sessions.Moment) bool {
			s.EndedAt = time.Time{}
			return live(s, m)
		}},
		"an expired session can be refreshed": {judge: func(s sessions.Session, m sessions.Moment) bool {
			s.ExpiresAt = m.Now.Add(time.Hour)
			return live(s, m)
		}},
		"a window of no length": {next: func(r sessions.Rotation, s sessions.RefreshState, presented int64,
			now time.Time) (sessions.RefreshState, sessions.Outcome) {
			r.Overlap = time.Nanosecond
			return r.Next(s, presented, now)
		}},
	}
	for name, flaws := range broken {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const tries = 40
			for i := range tries {
				if err := linLoose(t, flaws, uint64(i), false); err != nil {
					t.Logf("found in history %d", i)
					return
				}
			}
			t.Errorf("%d histories passed", tries)
		})
	}
	t.Run("none", func(t *testing.T) {
		t.Parallel()
		for i := range 20 {
			if err := linLoose(t, looseFlaws{}, uint64(i), false); err != nil {
				t.Fatal(err)
			}
		}
	})
	// What Postgres is allowed, see the package's documentation, is no more than
	// this.
	t.Run("many are ended one by one", func(t *testing.T) {
		t.Parallel()
		for i := range 20 {
			if err := linLoose(t, looseFlaws{oneByOne: true}, uint64(i), true); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func linLoose(t *testing.T, flaws looseFlaws, seed uint64, splitEndMany bool) error {
	t.Helper()
	st := newLooseStore(flaws)
	h := newLinHistory(t, linFaults{lose: true}, seed, sessions.Rotation{}, func() sessions.Store { return st })
	h.work(t)
	st.settle()
	h.finish()
	_, err := h.check(splitEndMany)
	return err
}

// linHistory is one run of many callers, and what they saw.
type linHistory struct {
	faults   linFaults
	rotation sessions.Rotation // with its defaults
	clock    *sessionstest.Clock
	config   sessions.Config
	newStore func() sessions.Store
	kill     func(ctx context.Context, limit int)
	restart  func()
	// requests are what the caller's goroutine does meanwhile.
	requests chan func()
	side     sync.WaitGroup
	steps    atomic.Int64
	disturb  atomic.Bool // faults go on

	mu       sync.Mutex
	replicas [linReplicas]*linReplica
	calls    []*linCall
	sessions [linUsers][]*linSession
	troubles int // faults that happened
	unknown  int // answers that were unknown
}

// linReplica is a process of the host.
type linReplica struct {
	*sessions.Manager
	store sessions.Store
}

// linSession is what clients know of a session.
type linSession struct {
	id     string
	tokens []string // in the order in which they arrived
	over   bool     // a client has learned it
}

// linKey carries a *linCall to the store and to events.
type linKey struct{}

// linTap notes what a Manager asks its store for: the time by the replica's clock,
// and the id of a session whose create fails.
type linTap struct{ sessions.Store }

func linNote(ctx context.Context, m sessions.Moment) *linCall {
	c, ok := ctx.Value(linKey{}).(*linCall)
	if !ok {
		return new(linCall)
	}
	c.in.now, c.in.idleCutoff = m.Now.UnixMicro(), math.MinInt64
	if !m.IdleCutoff.IsZero() {
		c.in.idleCutoff = m.IdleCutoff.UnixMicro()
	}
	return c
}

// linCallerKey carries the context of the caller.
type linCallerKey struct{}

// linUntil cancels a call of the store with the context of the caller. A Manager lets no
// caller do that to a write; its own time limit does, and at any moment.
func linUntil(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	if caller, ok := ctx.Value(linCallerKey{}).(context.Context); ok {
		stop := context.AfterFunc(caller, cancel)
		return ctx, func() { stop(); cancel() }
	}
	return ctx, cancel
}

func (s linTap) Create(ctx context.Context, sess sessions.Session) error {
	ctx, cancel := linUntil(ctx)
	defer cancel()
	c := linNote(ctx, sessions.Moment{Now: sess.CreatedAt})
	c.id, c.in.expires = sess.ID, sess.ExpiresAt.UnixMicro()
	return s.Store.Create(ctx, sess)
}

func (s linTap) Refresh(ctx context.Context, p sessions.RefreshParams) (sessions.RefreshResult, error) {
	ctx, cancel := linUntil(ctx)
	defer cancel()
	linNote(ctx, p.Moment)
	return s.Store.Refresh(ctx, p)
}

func (s linTap) List(ctx context.Context, p sessions.ListParams) ([]sessions.Session, error) {
	linNote(ctx, p.Moment)
	return s.Store.List(ctx, p)
}

func (s linTap) End(ctx context.Context, p sessions.EndParams) (sessions.Session, error) {
	ctx, cancel := linUntil(ctx)
	defer cancel()
	linNote(ctx, sessions.Moment{Now: p.Now}).in.reason = p.Reason
	return s.Store.End(ctx, p)
}

func (s linTap) EndMany(ctx context.Context, p sessions.EndManyParams) ([]sessions.Session, error) {
	ctx, cancel := linUntil(ctx)
	defer cancel()
	linNote(ctx, sessions.Moment{Now: p.Now}).in.reason = p.Reason
	return s.Store.EndMany(ctx, p)
}

var errLinLost = errors.New("the answer is lost")

func newLinHistory(t *testing.T, f linFaults, seed uint64, rotation sessions.Rotation,
	newStore func() sessions.Store) *linHistory {
	t.Helper()
	h := &linHistory{
		faults:   f,
		rotation: rotation,
		clock:    sessionstest.NewClock(linStart),
		newStore: newStore,
		requests: make(chan func(), linWorkers*linCalls),
	}
	if h.rotation.Overlap == 0 {
		h.rotation.Overlap = time.Minute
	}
	h.config = sessions.Config{
		Users:     func(_ context.Context, id string) (sessions.User, error) { return sessions.User{ID: id}, nil },
		Secrets:   [][]byte{[]byte("a secret for histories, 32 bytes")},
		Issuer:    "https://app.example/auth",
		ProjectID: "histories",
		Rotation:  rotation,
		// The shortest that leaves room for the usual overlap.
		AccessTokenTTL: 2 * time.Minute,
		OnEvent: func(ctx context.Context, e sessions.Event) {
			if c, ok := ctx.Value(linKey{}).(*linCall); ok && c.in.kind == linRefresh {
				c.event = e.Type
			}
		},
	}
	if seed%3 == 0 {
		// nearly the shortest
		h.config.IdleTimeout = h.config.AccessTokenTTL + max(h.rotation.Overlap, time.Second) + time.Second
	}
	h.disturb.Store(true)
	for i := range h.replicas {
		h.replicas[i] = h.newReplica(t, i, seed)
	}
	return h
}

// newReplica starts a replica, whose clock is a little off.
func (h *linHistory) newReplica(t *testing.T, i int, seed uint64) *linReplica {
	t.Helper()
	r := &linReplica{store: h.newStore()}
	cfg := h.config
	random := rand.New(rand.NewPCG(seed, uint64(1000+i)))
	var mu sync.Mutex
	cfg.Store = linTap{&sessionstest.Faults{Store: r.store,
		After: func(ctx context.Context, _ sessionstest.Call) error {
			mu.Lock()
			lost := h.faults.lose && h.disturb.Load() && random.IntN(25) == 0 && !h.doubtful()
			mu.Unlock()
			if _, ours := ctx.Value(linKey{}).(*linCall); !lost || !ours {
				return nil
			}
			h.trouble()
			return errLinLost
		}}}
	skew := time.Duration(i-1) * 5 * time.Second
	cfg.Now = func() time.Time { return h.clock.Now().Add(skew) }
	var err error
	if r.Manager, err = sessions.New(cfg); err != nil {
		t.Fatal(err)
	}
	return r
}

func (h *linHistory) trouble() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.troubles++
}

func (h *linHistory) doubtful() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.unknown >= linDoubts
}

// run lets the callers loose, does what their faults ask for, and reads all
// sessions when everything is quiet.
func (h *linHistory) run(t *testing.T) {
	t.Helper()
	h.work(t)
	h.finish()
}

func (h *linHistory) work(t *testing.T) {
	t.Helper()
	done := make(chan struct{})
	var workers sync.WaitGroup
	for w := range linWorkers {
		workers.Go(func() { h.worker(t, w) })
	}
	go func() {
		workers.Wait()
		close(done)
	}()
	for {
		select {
		case f := <-h.requests:
			f()
			continue
		case <-done:
		}
		break
	}
	h.side.Wait()
	h.disturb.Store(false)
}

// worker is one caller.
func (h *linHistory) worker(t *testing.T, w int) {
	random := rand.New(rand.NewPCG(uint64(w), rand.Uint64()))
	for i := range linCalls {
		if i == linCalls/2 && w == 0 {
			h.disaster(t)
		}
		if h.faults.kill && random.IntN(30) == 0 && !h.doubtful() {
			h.trouble()
			h.side.Go(func() { h.kill(context.WithoutCancel(t.Context()), 1) })
		}
		switch random.IntN(40) {
		case 0, 1:
			h.clock.Advance(time.Duration(random.Int64N(int64(40 * time.Second))))
		case 2:
			h.clock.Advance(time.Duration(random.Int64N(int64(4 * time.Minute))))
		}
		replica := h.pick(random)
		ctx, cancel := context.WithCancel(t.Context())
		if h.faults.cancel && random.IntN(12) == 0 && !h.doubtful() {
			h.trouble()
			time.AfterFunc(time.Duration(random.Int64N(int64(1500*time.Microsecond))), cancel)
		}
		c, ok := h.choose(random, w, i)
		if !ok {
			cancel()
			return
		}
		h.do(context.WithValue(ctx, linCallerKey{}, ctx), replica, c)
		cancel()
		if c.verdict == linUnknown {
			h.await(t)
		}
	}
}

// disaster has the worse faults done by the goroutine of the test, which may fail.
func (h *linHistory) disaster(t *testing.T) {
	if h.faults.killAll {
		h.trouble()
		h.side.Go(func() { h.kill(context.WithoutCancel(t.Context()), 1000) })
	}
	if h.faults.restart {
		h.trouble()
		h.requests <- h.restart
	}
	if h.faults.reopen {
		h.trouble()
		h.requests <- func() {
			r := h.newReplica(t, 1, 99)
			h.mu.Lock()
			old := h.replicas[1]
			h.replicas[1] = r
			h.mu.Unlock()
			linClose(old.store)
		}
	}
}

// linClose closes a handle under its users, as the end of a process does.
func linClose(st sessions.Store) {
	if o, ok := st.(openedStore); ok && o.db != nil {
		if pool, err := o.db.DB(); err == nil {
			_ = pool.Close() // it is closed again after the test
		}
	}
}

// await waits until every replica has its database again, so that one failure of
// the server is a few unknown answers and not hundreds.
func (h *linHistory) await(t *testing.T) {
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(time.Minute)
	for i := range linReplicas {
		for {
			h.mu.Lock()
			r := h.replicas[i]
			h.mu.Unlock()
			if _, err := r.store.Now(t.Context()); err == nil {
				break
			}
			select {
			case <-ticker.C:
			case <-deadline:
				t.Error("the database did not come back")
				return
			}
		}
	}
}

func (h *linHistory) pick(random *rand.Rand) *linReplica {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.replicas[random.IntN(linReplicas)]
}

// exhausted reports whether the sessions of a user are known to be over.
func (h *linHistory) exhausted(u int) bool {
	return !slices.ContainsFunc(h.sessions[u], func(s *linSession) bool { return !s.over })
}

// linCommand is a call that is to be made.
type linCommand struct {
	*linCall
	session *linSession
	token   string
}

// choose makes up a call, or returns false if nothing is left that might change.
func (h *linHistory) choose(random *rand.Rand, w, i int) (linCommand, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !slices.ContainsFunc(h.sessions[:], func(s []*linSession) bool { return len(s) < linSlots }) && h.exhausted(0) &&
		h.exhausted(1) {
		return linCommand{}, false
	}
	u := random.IntN(linUsers)
	if h.exhausted(u) && random.IntN(10) > 0 {
		u = (u + 1) % linUsers
	}
	c := linCommand{linCall: &linCall{worker: w, user: fmt.Sprintf("user %d", u)}}
	known := h.sessions[u]
	dice := random.IntN(100)
	if room := len(known) < linSlots; room && (dice < 5 || h.exhausted(u)) {
		c.in.kind = linCreate
		c.session = new(linSession)
		h.sessions[u] = append(known, c.session)
		return c, true
	}
	c.in.kind = linList
	s := known[random.IntN(len(known))]
	if s.over && random.IntN(4) > 0 {
		s = known[len(known)-1]
	}
	if s.id == "" || dice < 15 {
		return c, true // its create is under way, or was not heard of again
	}
	c.in.by = fmt.Sprintf("%d-%d", w, i)
	c.id = s.id
	switch {
	case dice < 17:
		c.in.kind = linEndMany
		if dice < 16 {
			c.id = ""
		}
	case dice < 20:
		c.in.kind = linEnd
		if dice < 18 {
			c.token = s.tokens[random.IntN(len(s.tokens))]
		}
	case dice < 28:
		c.in.kind, c.in.by = linGet, ""
	default:
		c.in.kind, c.in.by = linRefresh, ""
		n := len(s.tokens)
		switch back := random.IntN(100); {
		case back < 80:
			c.token = s.tokens[n-1]
		case back < 98:
			c.token = s.tokens[max(0, n-2)]
		default:
			c.token = s.tokens[random.IntN(n)]
		}
		c.session = s
	}
	return c, true
}

// do makes a call and records its result.
func (h *linHistory) do(ctx context.Context, r *linReplica, c linCommand) {
	ctx = context.WithValue(ctx, linKey{}, c.linCall)
	var (
		grant sessions.Grant
		one   sessions.Session
	)
	if c.in.kind == linRefresh {
		c.in.presented = linCounter(c.token)
	}
	c.call = h.steps.Add(1)
	switch c.in.kind {
	case linCreate:
		p := sessions.CreateParams{UserID: c.user}
		if c.call%3 == 0 {
			p.TTL = 3 * time.Minute
		}
		if grant, c.err = r.Create(ctx, p); c.err == nil {
			c.seen = []sessions.Session{grant.Session}
		}
	case linRefresh:
		if grant, c.err = r.Refresh(ctx, c.token, sessions.Client{}); c.err == nil {
			c.seen = []sessions.Session{grant.Session}
		}
	case linEnd:
		if c.token != "" {
			one, c.err = r.EndByRefreshToken(ctx, c.token, sessions.EndParams{
				Reason: sessions.EndSignedOut, By: c.in.by,
			})
		} else {
			one, c.err = r.End(ctx, sessions.EndParams{ID: c.id, Reason: sessions.EndRevoked, By: c.in.by})
		}
		if c.err == nil {
			c.seen = []sessions.Session{one}
		}
	case linGet:
		if one, c.err = r.Get(ctx, c.id); c.err == nil {
			c.seen = []sessions.Session{one}
		}
	case linEndMany:
		c.seen, c.err = r.EndMany(ctx, sessions.EndManyParams{
			UserID: c.user, ExceptID: c.id, Reason: sessions.EndRevoked, By: c.in.by,
		})
	case linList:
		var list sessions.SessionList
		list, c.err = r.List(ctx, c.user, sessions.ListOptions{})
		c.seen = list.Sessions
	}
	c.ret = h.steps.Add(1)
	c.verdict = linVerdictOf(c.err)
	c.counter = linCounter(grant.RefreshToken.Reveal())

	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls = append(h.calls, c.linCall)
	if c.verdict == linUnknown {
		h.unknown++
	}
	if c.session != nil && (errors.Is(c.err, sessions.ErrRefused) || c.err != nil && c.in.kind == linCreate) {
		c.session.over = true
	}
	if c.err == nil && c.session != nil {
		c.session.id = grant.Session.ID
		c.session.tokens = append(c.session.tokens, grant.RefreshToken.Reveal())
	}
}

// linCounter reads a refresh token: the counter is behind the key id and the
// session id.
func linCounter(token string) int64 {
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(token, "srt1_"))
	if err != nil || len(b) < 28 {
		return 0
	}
	return int64(binary.BigEndian.Uint64(b[20:28]))
}

func linVerdictOf(err error) linVerdict {
	for _, known := range []struct {
		err     error
		verdict linVerdict
	}{
		{sessions.ErrNotFound, linNotFound},
		{sessions.ErrUnknownSession, linMissing},
		{sessions.ErrSessionEnded, linOver},
		{sessions.ErrSessionExpired, linExpired},
		{sessions.ErrSessionIdle, linIdle},
		{sessions.ErrReplay, linReplay},
		{sessions.ErrRecoveryLimit, linLimit},
	} {
		if errors.Is(err, known.err) {
			return known.verdict
		}
	}
	if err != nil {
		return linUnknown
	}
	return linOK
}

// finish looks at everything once more, in peace: the next refresh of each newest
// token shows the counters, the read who ended what.
func (h *linHistory) finish() {
	r := h.replicas[0]
	for u := range linUsers {
		user := fmt.Sprintf("user %d", u)
		ids := make(map[string]bool)
		for _, c := range h.calls {
			if c.user == user && c.in.kind == linCreate && c.id != "" {
				ids[c.id] = true
			}
		}
		for _, s := range h.sessions[u] {
			if s.id != "" {
				h.do(context.Background(), r, linCommand{
					linCall: &linCall{user: user, id: s.id, in: linInput{kind: linRefresh}}, session: s,
					token: s.tokens[len(s.tokens)-1],
				})
			}
		}
		h.do(context.Background(), r, linCommand{linCall: &linCall{user: user, in: linInput{kind: linList}}})
		for id := range ids {
			h.do(context.Background(), r, linCommand{linCall: &linCall{user: user, id: id, in: linInput{kind: linGet}}})
		}
	}
}

// linError is a user whose history has no order.
type linError struct {
	user   string
	part   linPartition
	result porcupine.CheckResult
}

func (f *linError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", f.user, f.result)
	for _, op := range f.part.ops {
		ret := fmt.Sprint(op.Return)
		if op.Return == math.MaxInt64 {
			ret = "…"
		}
		fmt.Fprintf(&b, "\n%5d-%-5s caller %d: %v → %v", op.Call, ret, op.ClientId, op.Input, op.Output)
	}
	return b.String()
}

// check judges the history, and says how many of its answers were unknown.
func (h *linHistory) check(splitEndMany bool) (unknown int, err error) {
	if err := linLate(h.calls); err != nil {
		return 0, err
	}
	parts, err := linSplit(h.rotation, h.calls, splitEndMany)
	if err != nil {
		return 0, err
	}
	for user, p := range parts {
		for _, op := range p.ops {
			if op.Return == math.MaxInt64 {
				unknown++
			}
		}
		if result := porcupine.CheckOperationsTimeout(p.model.porcupine(), p.ops, linPatience); result != porcupine.Ok {
			return unknown, &linError{user, p, result}
		}
	}
	return unknown, nil
}

// judge fails the test if there is no order, with a picture.
func (h *linHistory) judge(t *testing.T, splitEndMany bool, sum *linSum) {
	t.Helper()
	began := time.Now()
	unknown, err := h.check(splitEndMany)
	sum.longest = max(sum.longest, time.Since(began))
	sum.add(h, unknown)
	if err == nil {
		return
	}
	t.Error(err)
	var f *linError
	if !errors.As(err, &f) || *linPictures == "" {
		return
	}
	model := f.part.model.porcupine()
	_, info := porcupine.CheckOperationsVerbose(model, f.part.ops, linPatience)
	picture, err := os.CreateTemp(*linPictures, "history-*.html")
	if err != nil {
		t.Fatal(err)
	}
	defer picture.Close()
	if err := porcupine.Visualize(model, info, picture); err != nil {
		t.Error(err)
	}
	t.Log("picture:", picture.Name())
}

// linSum counts what was judged.
type linSum struct {
	histories, calls, open, unknown, faults int
	longest                                 time.Duration
	verdicts                                map[string]int
}

func (s *linSum) add(h *linHistory, unknown int) {
	s.histories++
	s.calls += len(h.calls)
	s.open += unknown
	s.faults += h.troubles
	if s.verdicts == nil {
		s.verdicts = make(map[string]int)
	}
	for _, c := range h.calls {
		if c.verdict == linUnknown {
			s.unknown++
		}
		s.verdicts[strings.TrimSpace(fmt.Sprintf("%s %s %s", c.in.kind, c.verdict, c.event))]++
	}
}

func (s *linSum) log(t *testing.T) {
	t.Helper()
	t.Logf("%d histories, %d calls, %d faults, %d answers unknown, %d of them possible to the end, "+
		"longest check %v: %v",
		s.histories, s.calls, s.faults, s.unknown, s.open, s.longest, s.verdicts)
}
