package proof_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

// rotateSecrets are three generations of the host's secret.
var rotateSecrets = [][]byte{
	bytes.Repeat([]byte("first"), 8), bytes.Repeat([]byte("second"), 8), bytes.Repeat([]byte("third"), 8),
}

// rotateKeyID is the key id of a secret, which its refresh tokens begin with.
func rotateKeyID(t testing.TB, secret int) [4]byte {
	t.Helper()
	id, err := hkdf.Key(sha256.New, rotateSecrets[secret], nil, "sessile refresh kid v1", 4)
	if err != nil {
		t.Fatal(err)
	}
	return [4]byte(id)
}

// rotateKind is what a client makes of the refresh tokens it is sent.
type rotateKind int

const (
	// rotateAdopting stores each.
	rotateAdopting rotateKind = iota
	// rotateLossy stores each that arrives; every third does not.
	rotateLossy
	// rotateStatic keeps its first, as the published SDK does.
	rotateStatic
	rotateKinds
)

type rotateClient struct {
	kind    rotateKind
	session sessions.Session
	token   string
	// secret is the one that token is of.
	secret int
	calls  int
}

// rotateDeploy is what runs on a replica between two deploys.
type rotateDeploy struct {
	manager *sessions.Manager
	ring    []int // secrets, the first one signs
	keys    map[string]*ecdsa.PublicKey
}

// rotateFleet is two replicas on one database, and a host elsewhere that caches the JWK set
// for as long as its max-age allows.
type rotateFleet struct {
	clock    *sessionstest.Clock
	stores   [2]sessions.Store
	replicas [2]atomic.Pointer[rotateDeploy]
	keyIDs   map[[4]byte]int

	mu sync.Mutex
	// old are the sessions that were refreshed with an old secret, since it was
	// last emptied.
	old      map[string]bool
	clients  []*rotateClient
	cached   map[string]*ecdsa.PublicKey
	cachedAt time.Time
	counts   rotateCounts
}

type rotateCounts struct{ refreshes, faults, lost, refused, verified int }

// rotateMaxAge is the max-age of the JWK set.
const rotateMaxAge = time.Hour

var (
	errRotateBefore = errors.New("the database is away")
	errRotateAfter  = errors.New("the answer of the database is lost")
)

func newRotateFleet(t *testing.T, p *place) *rotateFleet {
	t.Helper()
	f := &rotateFleet{clock: sessionstest.NewClock(theftStart), keyIDs: map[[4]byte]int{}, old: map[string]bool{}}
	for i := range rotateSecrets {
		f.keyIDs[rotateKeyID(t, i)] = i
	}
	for i := range f.stores {
		// Odd and prime to each other, so that no client meets the same fault
		// at each turn.
		f.stores[i] = &sessionstest.Faults{
			Store:  p.handle(t),
			Before: rotateEvery(11, errRotateBefore),
			After:  rotateEvery(7, errRotateAfter),
		}
		if err := f.deploy(i, 0); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

func rotateEvery(n int, err error) sessionstest.Fault {
	return func(_ context.Context, c sessionstest.Call) error {
		if c.Method == sessionstest.MethodRefresh && c.N%n == 0 {
			return err
		}
		return nil
	}
}

// deploy puts a ring on a replica.
func (f *rotateFleet) deploy(replica int, ring ...int) error {
	d := &rotateDeploy{ring: ring}
	cfg := f.config(f.stores[replica], ring...)
	cfg.OnEvent = func(_ context.Context, e sessions.Event) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if e.OldSecret {
			f.old[e.Session.ID] = true
		}
	}
	var err error
	if d.manager, err = sessions.New(cfg); err != nil {
		return err
	}
	if d.keys, err = rotateKeys(d.manager.JWKSet()); err != nil {
		return err
	}
	f.replicas[replica].Store(d)
	return nil
}

func (f *rotateFleet) config(store sessions.Store, ring ...int) sessions.Config {
	cfg := sessions.Config{
		Store:     store,
		Users:     func(_ context.Context, id string) (sessions.User, error) { return sessions.User{ID: id}, nil },
		Issuer:    "https://app.example/auth",
		ProjectID: "app",
		Now:       f.clock.Now,
	}
	for _, i := range ring {
		cfg.Secrets = append(cfg.Secrets, rotateSecrets[i])
	}
	return cfg
}

// create signs n clients of each kind in at a replica.
func (f *rotateFleet) create(t testing.TB, replica, n int) {
	t.Helper()
	d := f.replicas[replica].Load()
	for kind := range rotateKinds {
		for range n {
			g, err := d.manager.Create(t.Context(), sessions.CreateParams{UserID: "alice"})
			if err != nil {
				t.Fatal(err)
			}
			c := &rotateClient{kind: kind, session: g.Session, token: g.RefreshToken.Reveal(), secret: d.ring[0]}
			if err := f.checkGrant(d, replica, g); err != nil {
				t.Error("create:", err)
			}
			f.clients = append(f.clients, c)
		}
	}
}

// round lets every client refresh twice, at both replicas, all at once, while deploy runs if
// it is not nil.
func (f *rotateFleet) round(t testing.TB, deploy func() error) {
	t.Helper()
	var wg sync.WaitGroup
	if deploy != nil {
		wg.Go(func() {
			if err := deploy(); err != nil {
				t.Errorf("deploy: %v", err)
			}
		})
	}
	for i, c := range f.clients {
		wg.Go(func() {
			for turn := range 2 {
				if err := f.refresh(t.Context(), c, (i+turn)%2); err != nil {
					t.Errorf("client %d, kind %d: %v", i, c.kind, err)
				}
			}
		})
	}
	wg.Wait()
}

// refresh is one refresh of a client. If the store fails, it tries again at the other
// replica, like a client of a load balancer.
func (f *rotateFleet) refresh(ctx context.Context, c *rotateClient, replica int) error {
	c.calls++
	for attempt := range 20 {
		at := (replica + attempt) % 2
		d := f.replicas[at].Load()
		g, err := d.manager.Refresh(ctx, c.token, sessions.Client{})
		f.add(func(n *rotateCounts) { n.refreshes++ })
		known := slices.Contains(d.ring, c.secret)
		switch {
		case errors.Is(err, errRotateBefore), errors.Is(err, errRotateAfter):
			f.add(func(n *rotateCounts) { n.faults++ })
			continue
		case !known && c.kind == rotateStatic && errors.Is(err, sessions.ErrMalformed):
			f.add(func(n *rotateCounts) { n.refused++ })
			return nil
		case err != nil:
			return fmt.Errorf("at replica %d with secrets %v, the token is of %d: %w", at, d.ring, c.secret, err)
		case !known:
			return fmt.Errorf("replica %d with secrets %v took a token of secret %d", at, d.ring, c.secret)
		}
		if err := f.checkGrant(d, at, g); err != nil {
			return err
		}
		switch {
		case c.kind == rotateStatic:
		case c.kind == rotateLossy && c.calls%3 == 0:
			f.add(func(n *rotateCounts) { n.lost++ })
		default:
			c.token, c.secret = g.RefreshToken.Reveal(), d.ring[0]
		}
		return nil
	}
	return errors.New("no answer in twenty attempts")
}

func (f *rotateFleet) add(count func(*rotateCounts)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	count(&f.counts)
}

// checkGrant asks whether everybody else can read what replica has just minted.
func (f *rotateFleet) checkGrant(d *rotateDeploy, replica int, g sessions.Grant) error {
	keyID, _, err := rotateRead(g.RefreshToken.Reveal())
	if err != nil {
		return err
	}
	if secret := f.keyIDs[keyID]; secret != d.ring[0] {
		return fmt.Errorf("a ring %v minted with secret %d", d.ring, secret)
	}
	access, other := g.AccessToken.Reveal(), f.replicas[1-replica].Load()
	if err := rotateVerify(other.keys, access); err != nil {
		return fmt.Errorf("ring %v signs, the JWK set of ring %v does not verify: %w", d.ring, other.ring, err)
	}
	if _, err := other.manager.Verify(access); err != nil {
		return fmt.Errorf("ring %v signs, ring %v does not verify: %w", d.ring, other.ring, err)
	}

	f.mu.Lock()
	defer f.mu.Unlock()
	if now := f.clock.Now(); f.cached == nil || now.Sub(f.cachedAt) >= rotateMaxAge {
		f.cached, f.cachedAt = other.keys, now
	}
	if err := rotateVerify(f.cached, access); err != nil {
		return fmt.Errorf("ring %v signs, a JWK set %v old does not verify: %w", d.ring,
			f.clock.Now().Sub(f.cachedAt), err)
	}
	f.counts.verified++
	return nil
}

// emptyOld returns the sessions that were refreshed with an old secret since the
// last call.
func (f *rotateFleet) emptyOld() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	old := slices.Sorted(maps.Keys(f.old))
	clear(f.old)
	return old
}

// step deploys a ring everywhere, one replica after the other, with load before,
// during and in between. New clients sign in at the replica that is ahead.
func (f *rotateFleet) step(t testing.TB, ring ...int) {
	t.Helper()
	for replica := range f.replicas {
		f.round(t, func() error { return f.deploy(replica, ring...) })
		f.clock.Advance(10 * time.Second) // inside the window
		f.create(t, replica, 1)
		f.round(t, nil)
		f.clock.Advance(2 * time.Minute) // outside
		f.round(t, nil)
		f.clock.Advance(15 * time.Minute) // past the access tokens
	}
}

func TestRotatingSecretsUnderLoad(t *testing.T) {
	t.Parallel()
	for _, stores := range openStores {
		if stores.name == "memory" {
			continue // replicas share a database
		}
		t.Run(stores.name, func(t *testing.T) {
			t.Parallel()
			f := newRotateFleet(t, stores.open(t))
			f.create(t, 0, 4)
			f.round(t, nil)
			for old := range len(rotateSecrets) - 1 {
				f.rotate(t, old, old+1)
			}
			t.Logf("%d clients: %+v", len(f.clients), f.counts)
		})
	}
}

// rotate follows the runbook of docs/security.md.
func (f *rotateFleet) rotate(t *testing.T, old, fresh int) {
	t.Helper()
	refusedBefore := f.counts.refused

	// 1. Append the new secret after the old one, everywhere; wait an hour.
	f.step(t, old, fresh)
	f.clock.Advance(rotateMaxAge - 34*time.Minute) // step takes 17 of them after the last deploy
	f.round(t, nil)
	f.clock.Advance(17 * time.Minute)

	// 2. Move it to the front, everywhere.
	f.step(t, fresh, old)

	// 3. Drop the old one after the longest idle time.
	for range 6 {
		f.clock.Advance(90 * 24 * time.Hour / 6)
		f.emptyOld()
		f.round(t, nil)
	}
	told := f.emptyOld()
	if f.counts.refused != refusedBefore {
		t.Errorf("%d static clients were refused before the last step", f.counts.refused-refusedBefore)
	}
	var doomed []string
	for _, c := range f.clients {
		if c.secret != old {
			continue
		}
		if c.kind != rotateStatic {
			t.Errorf("a client of kind %d still has a token of the old secret", c.kind)
		}
		doomed = append(doomed, c.session.ID)
	}
	slices.Sort(doomed)
	if len(doomed) == 0 || !slices.Equal(told, doomed) {
		t.Errorf("events with OldSecret name %d sessions, the last step signs %d out; want the same, and some",
			len(told), len(doomed))
	}
	f.forge(t, old, false)
	f.step(t, fresh)
	f.forge(t, old, true)
	f.forge(t, fresh, false)

	// Those that are signed out stay so, at either replica; they have gone to
	// sign in again and trouble the next generation no more.
	f.clients = slices.DeleteFunc(f.clients, func(c *rotateClient) bool {
		if c.secret != old {
			return false
		}
		for i := range f.replicas {
			if _, err := f.replicas[i].Load().manager.Refresh(t.Context(), c.token, sessions.Client{}); !errors.Is(err,
				sessions.ErrMalformed) {
				t.Errorf("a token of the dropped secret %d at replica %d: %v", old, i, err)
			}
		}
		return true
	})
}

// forge mints with a secret, for a session that lives, what its thief would, and
// says whether both replicas refuse it. Access tokens of a dropped secret have long
// expired by themselves, so that only a forged one shows that the key is gone.
func (f *rotateFleet) forge(t *testing.T, secret int, refused bool) {
	t.Helper()
	i := slices.IndexFunc(f.clients, func(c *rotateClient) bool { return c.kind == rotateAdopting })
	victim := f.clients[i]
	_, counter, err := rotateRead(victim.token)
	if err != nil {
		t.Fatal(err)
	}
	forged, err := rotateForge(t.Context(), f.config(nil, secret), victim.session, counter)
	if err != nil {
		t.Fatal(err)
	}
	for i := range f.replicas {
		d := f.replicas[i].Load()
		_, err := d.manager.Verify(forged.AccessToken.Reveal())
		switch {
		case refused && !errors.Is(err, sessions.ErrInvalidToken):
			t.Errorf("ring %v and an access token of secret %d: %v", d.ring, secret, err)
		case !refused && err != nil:
			t.Errorf("the forged access token of secret %d, which ring %v has, is not good: %v", secret, d.ring, err)
		}
		if !refused {
			continue
		}
		if _, err := d.manager.Refresh(t.Context(), forged.RefreshToken.Reveal(), sessions.Client{}); !errors.Is(err,
			sessions.ErrMalformed) {
			t.Errorf("ring %v and a refresh token of secret %d: %v", d.ring, secret, err)
		}
	}
	// A forged refresh token that is good is the client's own, to the last byte.
	if same := forged.RefreshToken.Reveal() == victim.token; same != (secret == victim.secret) {
		t.Errorf("the refresh token forged with secret %d is the client's, of %d: %t", secret, victim.secret, same)
	}
}

// Every short cut through the runbook signs adopting clients out, or hands out
// access tokens that a neighbour cannot verify, while replicas differ.
func TestRotatingInTheWrongOrder(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name          string
		before, after []int
		signedOut     bool
		unverified    bool
	}{
		{"append", []int{0}, []int{0, 1}, false, false},
		{"move to the front", []int{0, 1}, []int{1, 0}, false, false},
		{"drop, when all have adopted", []int{1, 0}, []int{1}, false, false},

		{"prepend at once", []int{0}, []int{1, 0}, true, true},
		{"replace", []int{0}, []int{1}, true, true},
		{"move to the front and drop", []int{0, 1}, []int{1}, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			st := sessionstest.NewStore()
			f := &rotateFleet{
				clock: sessionstest.NewClock(theftStart), stores: [2]sessions.Store{st, st}, old: map[string]bool{},
			}
			if err := errors.Join(f.deploy(0, c.before...), f.deploy(1, c.before...)); err != nil {
				t.Fatal(err)
			}
			g, err := f.replicas[1].Load().manager.Create(t.Context(), sessions.CreateParams{UserID: "alice"})
			if err != nil {
				t.Fatal(err)
			}

			if err := f.deploy(0, c.after...); err != nil {
				t.Fatal(err)
			}
			var signedOut, unverified bool
			for i := range 6 {
				f.clock.Advance(5 * time.Minute)
				d, other := f.replicas[i%2].Load(), f.replicas[1-i%2].Load()
				next, err := d.manager.Refresh(t.Context(), g.RefreshToken.Reveal(), sessions.Client{})
				if errors.Is(err, sessions.ErrMalformed) {
					signedOut = true
					continue
				} else if err != nil {
					t.Fatal(err)
				}
				if rotateVerify(other.keys, next.AccessToken.Reveal()) != nil {
					unverified = true
				}
				g = next
			}
			if signedOut != c.signedOut || unverified != c.unverified {
				t.Errorf("from %v to %v: signed out %t, unverified access tokens %t; want %t, %t", c.before, c.after,
					signedOut, unverified, c.signedOut, c.unverified)
			}
		})
	}
}

// rotateRead takes a refresh token apart as the documentation has it.
func rotateRead(token string) (keyID [4]byte, counter int64, err error) {
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(token, "srt1_"))
	if err != nil || len(b) != 60 {
		return keyID, 0, fmt.Errorf("%d bytes are no refresh token: %w", len(b), err)
	}
	return [4]byte(b), int64(binary.BigEndian.Uint64(b[20:28])), nil
}

// rotateKeys reads a JWK set as anyone would.
func rotateKeys(set []byte) (map[string]*ecdsa.PublicKey, error) {
	var parsed struct {
		Keys []struct{ Kid, X, Y string }
	}
	if err := json.Unmarshal(set, &parsed); err != nil {
		return nil, err
	}
	keys := map[string]*ecdsa.PublicKey{}
	for _, k := range parsed.Keys {
		x, errX := base64.RawURLEncoding.DecodeString(k.X)
		y, errY := base64.RawURLEncoding.DecodeString(k.Y)
		if err := errors.Join(errX, errY); err != nil {
			return nil, err
		}
		key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, x, y))
		if err != nil {
			return nil, err
		}
		keys[k.Kid] = key
	}
	return keys, nil
}

// rotateVerify verifies an access token with a JWK set and nothing else.
func rotateVerify(keys map[string]*ecdsa.PublicKey, token string) error {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return errors.New("not three segments")
	}
	header, err := base64.RawURLEncoding.DecodeString(parts[0])
	if err != nil {
		return err
	}
	var h struct{ Alg, Kid string }
	if err := json.Unmarshal(header, &h); err != nil {
		return err
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || len(signature) != 64 || h.Alg != "ES256" {
		return fmt.Errorf("alg %s, a signature of %d bytes, %w", h.Alg, len(signature), err)
	}
	key := keys[h.Kid]
	if key == nil {
		return fmt.Errorf("no key %s among %d", h.Kid, len(keys))
	}
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if !ecdsa.Verify(key, digest[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])) {
		return errors.New("bad signature")
	}
	return nil
}

// rotateForge mints tokens of a session, at a counter, with the keys of a config
// that the session was not made with: what an attacker does who holds a secret.
func rotateForge(ctx context.Context, cfg sessions.Config, session sessions.Session,
	counter int64) (sessions.Grant, error) {
	cfg.Store = rotateForgery{session: session, counter: counter}
	m, err := sessions.New(cfg)
	if err != nil {
		return sessions.Grant{}, err
	}
	own, err := m.Create(ctx, sessions.CreateParams{UserID: session.UserID})
	if err != nil {
		return sessions.Grant{}, err
	}
	return m.Refresh(ctx, own.RefreshToken.Reveal(), sessions.Client{})
}

// rotateForgery is a store that answers any refresh with one session.
type rotateForgery struct {
	sessions.Store
	session sessions.Session
	counter int64
}

func (rotateForgery) Create(context.Context, sessions.Session) error { return nil }

func (s rotateForgery) Refresh(context.Context, sessions.RefreshParams) (sessions.RefreshResult, error) {
	return sessions.RefreshResult{
		Session: s.session, State: sessions.RefreshState{Current: s.counter}, Outcome: sessions.OutcomeRotated,
	}, nil
}
