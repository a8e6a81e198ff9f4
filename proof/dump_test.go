package proof_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"

	"github.com/sessile-go/sessile/internal/pgtest"
	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
	"github.com/sessile-go/sessile/store"
)

// dumpSecrets is a ring of two: bytes, and text as hosts keep it in an environment.
var dumpSecrets = func() [][]byte {
	a, b := sha256.Sum256([]byte("the first secret of the dump test")), sha256.Sum256([]byte("the second one"))
	return [][]byte{append(a[:], b[:8]...), []byte(base64.StdEncoding.EncodeToString(b[:]))}
}()

// dumpFragment is how much of a secret may not be seen anywhere.
const dumpFragment = 12

// dumpCanaries finds secrets, in many spellings, in any number of bytes.
type dumpCanaries struct {
	// byStart are the spellings by their first bytes; several secrets may share
	// some. filter says for most bytes at once that none begins there.
	byStart map[[dumpFragment]byte][]dumpSpelling
	filter  []uint64
	secrets int
	strings int
}

type dumpSpelling struct{ rest, label string }

func newDumpCanaries() *dumpCanaries {
	return &dumpCanaries{byStart: map[[dumpFragment]byte][]dumpSpelling{}, filter: make([]uint64, 1<<16)}
}

func dumpHash(eight uint64) uint64 { return eight * 0x9e3779b97f4a7c15 >> 42 }

func (c *dumpCanaries) spelling(label, text string) {
	if len(text) < dumpFragment {
		return
	}
	start := [dumpFragment]byte([]byte(text))
	s := dumpSpelling{text[dumpFragment:], label}
	if slices.ContainsFunc(c.byStart[start], func(o dumpSpelling) bool { return o.rest == s.rest }) {
		return
	}
	c.byStart[start] = append(c.byStart[start], s)
	var eight uint64
	for _, b := range []byte(text[:8]) {
		eight = eight<<8 | uint64(b)
	}
	h := dumpHash(eight)
	c.filter[h/64] |= 1 << (h % 64)
	c.strings++
}

// add adds a secret: every fragment of it as it is, and its beginning, middle and
// end in other spellings.
func (c *dumpCanaries) add(label string, secret []byte) {
	if len(secret) < dumpFragment {
		return
	}
	c.secrets++
	for i := range len(secret) - dumpFragment + 1 {
		c.spelling(label, string(secret[i:i+dumpFragment]))
	}
	c.spell(label, secret)
}

// spell adds other spellings only.
func (c *dumpCanaries) spell(label string, secret []byte) {
	// The pieces are as long as what an eye or a log would keep of a secret.
	for _, from := range []int{0, (len(secret) - dumpFragment) / 2, len(secret) - dumpFragment} {
		piece := secret[from : from+dumpFragment]
		each := func(format, separator string) string {
			parts := make([]string, len(piece))
			for i, b := range piece {
				parts[i] = fmt.Sprintf(format, b)
			}
			return strings.Join(parts, separator)
		}
		for name, text := range map[string]string{
			"hex":                 hex.EncodeToString(piece[:6]), // a prefix of 12 digits
			"HEX":                 strings.ToUpper(hex.EncodeToString(piece[:6])),
			"hex with spaces":     each("%02x", " "),
			"%v":                  each("%d", " "),
			"JSON array":          each("%d", ","),
			"%#v":                 each("0x%x", ", "),
			"%#v of a byte":       each("0x%02x", ", "),
			"percent":             each("%%%02X", ""),
			"percent, lower case": each("%%%02x", ""),
			"quoted":              strings.Trim(strconv.Quote(string(piece)), `"`),
			"quoted, ASCII":       strings.Trim(strconv.QuoteToASCII(string(piece)), `"`),
			"query":               url.QueryEscape(string(piece)),
			"path":                url.PathEscape(string(piece)),
		} {
			c.spelling(label+", "+name, text)
		}
	}
	// Base64 of something that the secret stands in, wherever it begins there:
	// what depends on the neighbours is cut off.
	for shift := range 3 {
		for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			text := encoding.EncodeToString(slices.Concat(make([]byte, shift), secret))
			text = text[(shift*8+5)/6 : len(text)-1]
			for _, from := range []int{0, (len(text) - dumpFragment) / 2, len(text) - dumpFragment} {
				if from >= 0 {
					c.spelling(label+", base64", text[from:from+dumpFragment])
				}
			}
		}
	}
}

// find returns what of the secrets is in data, each label once.
func (c *dumpCanaries) find(data []byte) (found []string) {
	var eight uint64
	for i, b := range data {
		eight = eight<<8 | uint64(b)
		if h := dumpHash(eight); c.filter[h/64]&(1<<(h%64)) == 0 {
			continue
		}
		from := i - 7
		if from < 0 || len(data)-from < dumpFragment {
			continue
		}
		for _, s := range c.byStart[[dumpFragment]byte(data[from:])] {
			if bytes.HasPrefix(data[from+dumpFragment:], []byte(s.rest)) && !slices.Contains(found, s.label) {
				found = append(found, s.label)
			}
		}
	}
	return found
}

// addHashed adds a secret and what a careless store would keep of it instead.
func (c *dumpCanaries) addHashed(label string, secret []byte) {
	c.add(label, secret)
	sum := sha256.Sum256(secret)
	c.add("SHA-256 of "+label, sum[:])
}

func (c *dumpCanaries) addRefresh(t testing.TB, label, token string) {
	t.Helper()
	c.addHashed(label, []byte(token))
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(token, "srt1_"))
	if err != nil {
		t.Fatal(err)
	}
	// What comes before the MAC is the session id and a counter, which are in
	// the row, and the key id, which opens nothing.
	c.add("the MAC of "+label, b[28:])
	sum := sha256.Sum256(b)
	c.add("SHA-256 of the bytes of "+label, sum[:])
}

func (c *dumpCanaries) addAccess(t testing.TB, label, token string) {
	t.Helper()
	header, rest, _ := strings.Cut(token, ".")
	_, signature, _ := strings.Cut(rest, ".")
	raw, err := base64.RawURLEncoding.DecodeString(signature)
	if err != nil || len(header) == 0 {
		t.Fatalf("not an access token: %v", err)
	}
	c.add(label, []byte(rest)) // the header is public
	c.add("the signature of "+label, raw)
	sum := sha256.Sum256([]byte(token))
	c.add("SHA-256 of "+label, sum[:])
}

// addSecret adds a secret of the host and the keys that come from it.
func (c *dumpCanaries) addSecret(t testing.TB, label string, secret []byte) {
	t.Helper()
	c.addHashed(label, secret)
	derive := func(info string) []byte {
		key, err := hkdf.Key(sha256.New, secret, nil, info, 32)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	c.addHashed("the refresh key of "+label, derive("sessile refresh v1\x00app"))
	scalar := derive("sessile es256 v1 0")
	if _, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar); err != nil {
		t.Fatal(err) // a chance of 2^-32, and the labels are frozen
	}
	c.addScalar("the signing key of "+label, scalar)
}

// addScalar adds a private key, which fmt prints as a decimal.
func (c *dumpCanaries) addScalar(label string, scalar []byte) {
	c.addHashed(label, scalar)
	decimal := new(big.Int).SetBytes(scalar).String()
	c.spelling(label+", decimal", decimal)
}

// dumpWorld is a host that has run for a while.
type dumpWorld struct {
	clock               *sessionstest.Clock
	config              sessions.Config
	manager             *sessions.Manager
	handler             *sessions.Handler
	serverKey, adminKey string
	canaries            *dumpCanaries

	mu     sync.Mutex
	gone   map[string]bool // users
	events []sessions.Event
	live   []sessions.Grant // of sessions that nobody ended
	handed sessions.Grant   // by a code that nobody has redeemed
	tokens int
}

func newDumpWorld(t testing.TB, st sessions.Store, change ...func(*dumpWorld, *sessions.Config)) *dumpWorld {
	t.Helper()
	w := &dumpWorld{clock: sessionstest.NewClock(theftStart), canaries: newDumpCanaries(), gone: map[string]bool{}}
	key := func(name string, access sessions.AccessType) (string, sessions.ServerKey) {
		key, err := sessions.NewServerKey(access)
		if err != nil {
			t.Fatal(err)
		}
		hashed, err := sessions.HashServerKey(name, key)
		if err != nil {
			t.Fatal(err)
		}
		return key, hashed
	}
	var hashes [2]sessions.ServerKey
	w.serverKey, hashes[0] = key("backend", sessions.AccessServer)
	w.adminKey, hashes[1] = key("console", sessions.AccessAdmin)
	w.canaries.add("the server key", []byte(w.serverKey))
	w.canaries.add("the admin key", []byte(w.adminKey))
	for i, secret := range dumpSecrets {
		w.canaries.addSecret(t, fmt.Sprintf("secret %d", i), secret)
	}
	w.config = sessions.Config{
		Store:      st,
		Users:      w.user,
		Secrets:    dumpSecrets,
		Issuer:     "https://app.example/auth",
		ProjectID:  "app",
		ServerKeys: hashes[:],
		Now:        w.clock.Now,
		OnEvent: func(_ context.Context, e sessions.Event) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.events = append(w.events, e)
		},
	}
	for _, f := range change {
		f(w, &w.config)
	}
	var err error
	if w.manager, err = sessions.New(w.config); err != nil {
		t.Fatal(err)
	}
	w.handler = sessions.NewHandler(w.manager)
	return w
}

func (w *dumpWorld) user(_ context.Context, id string) (sessions.User, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gone[id] {
		return sessions.User{}, sessions.ErrUserNotFound
	}
	return sessions.User{ID: id, Name: "Name of " + id, Email: id + "@app.example"}, nil
}

// issued takes note of a grant's tokens.
func (w *dumpWorld) issued(t testing.TB, g sessions.Grant) sessions.Grant {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tokens += 2
	w.canaries.addRefresh(t, fmt.Sprintf("refresh token %d", w.tokens), g.RefreshToken.Reveal())
	w.canaries.addAccess(t, fmt.Sprintf("access token %d", w.tokens), g.AccessToken.Reveal())
	return g
}

// serve hands a request to the handler.
func (w *dumpWorld) serve(method, path, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://app.example"+path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	r.Header.Set("User-Agent", "Browser/1.0")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	recorder := httptest.NewRecorder()
	w.handler.ServeHTTP(recorder, r)
	return recorder
}

// grantOf reads the answer of create or refresh.
func (w *dumpWorld) grantOf(t testing.TB, answer *httptest.ResponseRecorder) sessions.Grant {
	t.Helper()
	var body struct {
		RefreshToken string `json:"refresh_token"`
		AccessToken  string `json:"access_token"`
		SessionID    string `json:"session_id"`
	}
	if err := json.Unmarshal(answer.Body.Bytes(), &body); err != nil || answer.Code != http.StatusOK {
		t.Fatalf("no grant: %d, %v", answer.Code, err)
	}
	s, err := w.manager.Get(t.Context(), body.SessionID)
	if err != nil {
		t.Fatal(err)
	}
	return w.issued(t, sessions.Grant{
		Session: s, RefreshToken: sessions.NewToken(body.RefreshToken),
		AccessToken: sessions.NewToken(body.AccessToken),
	})
}

func (w *dumpWorld) create(t testing.TB, user, more string) sessions.Grant {
	t.Helper()
	return w.grantOf(t, w.serve(http.MethodPost, "/auth/sessions", `{"user_id":"`+user+`"`+more+`}`, "Authorization",
		"Bearer "+w.serverKey))
}

// handOff creates a session with a one-time code, of which the random part is the
// secret: the rest is the session's id.
func (w *dumpWorld) handOff(t testing.TB, user string) sessions.Grant {
	t.Helper()
	g, err := w.manager.Create(t.Context(), sessions.CreateParams{
		UserID: user, Impersonation: true, By: "backend", Handoff: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(g.Handoff.Reveal(), "shc1_"))
	if err != nil || len(b) != 48 {
		t.Fatalf("a code of %d bytes, %v", len(b), err)
	}
	w.canaries.add("a hand-off code", b[16:])
	return g
}

func (w *dumpWorld) refresh(t testing.TB, g sessions.Grant) sessions.Grant {
	t.Helper()
	return w.grantOf(t, w.serve(http.MethodPost, "/auth/sessions/current/refresh", "", "X-Stack-Refresh-Token",
		g.RefreshToken.Reveal()))
}

// run is what a day in the life of the host leaves in the database: sessions in
// every state that there is.
func (w *dumpWorld) run(t testing.TB) {
	t.Helper()
	want := func(answer *httptest.ResponseRecorder, status int) {
		t.Helper()
		if answer.Code != status {
			t.Errorf("answered %d, want %d", answer.Code, status)
		}
	}
	for i := range 5 {
		user := func(what string) string { return fmt.Sprintf("%s-%d", what, i) }
		bearer := func(g sessions.Grant) []string {
			return []string{"Authorization", "Bearer " + g.AccessToken.Reveal()}
		}

		never := w.create(t, user("never"), "")
		w.live = append(w.live, never)

		g := w.create(t, user("adopts"), `,"reason":"sign-in","client":{"ip":"203.0.113.7","user_agent":"Browser/1.0"}`)
		for range 3 {
			w.clock.Advance(9 * time.Minute)
			g = w.refresh(t, g)
		}
		w.live = append(w.live, g)

		g = w.create(t, user("lossy"), "")
		w.refresh(t, g) // rotated, the answer is lost
		w.refresh(t, g) // overlap
		w.clock.Advance(2 * time.Minute)
		w.live = append(w.live, w.refresh(t, g)) // recovered

		// Impersonations need not look different from others.
		g = w.create(t, user("impersonated"),
			`,"is_impersonation":true,"expires_in_millis":86400000,"actor":{"user_id":"support"},"reason":"ticket `+
				`4711"`)
		w.live = append(w.live, w.refresh(t, g))

		stolen := w.create(t, user("replayed"), "")
		w.refresh(t, w.refresh(t, stolen))
		want(w.serve(http.MethodPost, "/auth/sessions/current/refresh", "", "X-Stack-Refresh-Token",
			stolen.RefreshToken.Reveal()), http.StatusUnauthorized)

		want(w.serve(http.MethodDelete, "/auth/sessions/current", "", bearer(w.create(t, user("signed-out"), ""))...),
			http.StatusOK)
		g = w.create(t, user("revoked"), "")
		want(w.serve(http.MethodDelete, "/auth/sessions/"+g.Session.ID, "", "Authorization", "Bearer "+w.adminKey),
			http.StatusOK)
		g = w.create(t, user("rfc7009"), "")
		want(w.serve(http.MethodPost, "/auth/oauth/revoke", `{"token":"`+g.RefreshToken.Reveal()+`"}`), http.StatusOK)
		w.create(t, user("many"), "")
		w.create(t, user("many"), "")
		w.handed = w.handOff(t, user("handed-off"))
		want(w.serve(http.MethodDelete, "/auth/sessions?user_id="+user("many"), "", "Authorization",
			"Bearer "+w.serverKey), http.StatusOK)

		g = w.create(t, user("deleted"), "")
		w.mu.Lock()
		w.gone[user("deleted")] = true
		w.mu.Unlock()
		want(w.serve(http.MethodPost, "/auth/sessions/current/refresh", "", "X-Stack-Refresh-Token",
			g.RefreshToken.Reveal()), http.StatusUnauthorized)

		// long expired
		want(w.serve(http.MethodGet, "/auth/sessions?user_id=me", "", bearer(never)...), http.StatusUnauthorized)
	}
	config := w.config
	config.Store = agreeing{config.Store, w.clock.Now}
	pruner, err := sessions.New(config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pruner.Prune(t.Context()); err != nil {
		t.Error(err)
	}
}

// agreeing is a store whose database has another clock.
type agreeing struct {
	sessions.Store
	clock func() time.Time
}

func (s agreeing) Now(context.Context) (time.Time, error) { return s.clock(), nil }

// dump is every byte that the database has.
type dump struct {
	// values are the values of all columns of all tables, as text.
	values []string
	// rows are the same, to be compared.
	rows string
	// files are those of the database, ours those among them that hold no other
	// data than ours.
	files map[string][]byte
	ours  []string
}

func (d dump) size() (n int) {
	for _, b := range d.files {
		n += len(b)
	}
	return n
}

// find looks for secrets everywhere.
func (d dump) find(c *dumpCanaries) (found []string) {
	for _, v := range d.values {
		for _, label := range c.find([]byte(v)) {
			found = append(found, label+" in a column")
		}
	}
	for name, b := range d.files {
		for _, label := range c.find(b) {
			found = append(found, label+" in "+filepath.Base(name))
		}
	}
	return found
}

// dumpTables reads all columns of the tables that query names.
func dumpTables(t testing.TB, db *sql.DB, query string) (d dump) {
	t.Helper()
	column := func(query string) (all []string) {
		rows, err := db.QueryContext(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		names, err := rows.Columns()
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			values, targets := make([]sql.NullString, len(names)), make([]any, len(names))
			for i := range values {
				targets[i] = &values[i]
			}
			if err := rows.Scan(targets...); err != nil {
				t.Fatal(err)
			}
			for _, v := range values {
				all = append(all, v.String)
			}
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			t.Fatal(err)
		}
		return all
	}
	for _, table := range column(query) {
		values := column(`SELECT * FROM "` + table + `" ORDER BY 1`)
		d.values = append(d.values, values...)
		d.rows += table + "\n" + strings.Join(values, "\n")
	}
	if len(d.values) == 0 {
		t.Fatal("the dump is empty")
	}
	return d
}

// dumpDatabases are the ways to keep sessions on disk, and to steal it.
var dumpDatabases = []struct {
	name string
	open func(t testing.TB) (openedStore, func() dump)
}{
	{"sqlite", func(t testing.TB) (openedStore, func() dump) {
		t.Helper()
		file := filepath.Join(t.TempDir(), "sessions.db")
		st := dumpMigrated(t, sqlite.Open(documentedDSN(file)))
		return st, func() dump {
			d := dumpTables(t, dumpPool(t, st.db), `SELECT name FROM sqlite_master WHERE type = 'table'`)
			d.files = map[string][]byte{}
			for _, suffix := range []string{"", "-wal", "-shm"} {
				b, err := os.ReadFile(file + suffix)
				if err != nil || len(b) == 0 {
					t.Fatalf("%d bytes of the database's file %q: %v", len(b), suffix, err)
				}
				d.files[file+suffix] = b
				d.ours = append(d.ours, file+suffix)
			}
			return d
		}
	}},
	{"postgres", func(t testing.TB) (openedStore, func() dump) {
		t.Helper()
		// A server of somebody else's shows its tables, not its files. One of our
		// own has no other tests' data, and its files are a few dozen megabytes.
		foreign := os.Getenv("TEST_DATABASE_URL") != ""
		var dsn string
		if foreign {
			dsn = pgtest.DSN(t)
		} else {
			dsn = pgtest.New(t).DSN(t)
		}
		st := dumpMigrated(t, postgres.Open(dsn))
		return st, func() dump {
			pool := dumpPool(t, st.db)
			d := dumpTables(t, pool, `SELECT tablename FROM pg_tables WHERE schemaname = current_schema()`)
			if foreign {
				t.Log("only the tables are read, not the files")
				return d
			}
			if _, err := pool.ExecContext(t.Context(), `CHECKPOINT`); err != nil {
				t.Fatal(err)
			}
			one := func(query string) (s string) {
				if err := pool.QueryRowContext(t.Context(), query).Scan(&s); err != nil {
					t.Fatal(err)
				}
				return s
			}
			data := one(`SHOW data_directory`)
			d.files = dumpFiles(t, filepath.Dir(data)) // with the server's log
			d.ours = append(d.ours, filepath.Join(data, "pg_wal", one(`SELECT pg_walfile_name(pg_current_wal_lsn())`)))
			for relation := range strings.FieldsSeq(one(`SELECT string_agg(pg_relation_filepath(c.oid), ' ')
				FROM pg_class c WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'i')`)) {
				d.ours = append(d.ours, filepath.Join(data, relation))
			}
			return d
		}
	}},
}

func dumpMigrated(t testing.TB, d gorm.Dialector) openedStore {
	t.Helper()
	st := openStore(t, d)
	table, ok := st.Store.(*store.Store)
	if !ok {
		t.Fatalf("%T has no table", st.Store)
	}
	if err := table.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return st
}

func dumpPool(t testing.TB, db *gorm.DB) *sql.DB {
	t.Helper()
	pool, err := db.DB()
	if err != nil {
		t.Fatal(err)
	}
	return pool
}

func dumpFiles(t testing.TB, root string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			var b []byte
			if b, err = os.ReadFile(name); err == nil {
				files[name] = b
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // the server lives on, and recycles
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

var (
	dumpPrintable = regexp.MustCompile(`[ -~]{6,}`)
	dumpTokenLike = regexp.MustCompile(`[A-Za-z0-9_.+/=-]{6,}`)
)

// loot is every string in the dump that could be a credential.
func (d dump) loot() []string {
	seen := map[string]bool{}
	take := func(s string) {
		if s != "" && len(s) <= 8192 {
			seen[s] = true
		}
	}
	for _, v := range d.values {
		take(v)
	}
	for _, name := range d.ours {
		for _, run := range dumpPrintable.FindAll(d.files[name], -1) {
			take(string(run))
			for _, part := range dumpTokenLike.FindAll(run, -1) {
				take(string(part))
			}
			// The next column begins directly after a value, without a gap.
			for _, prefix := range []string{"srt1_", "ssk_", "sak_", "ey"} {
				for i := bytes.Index(run, []byte(prefix)); i >= 0 && i < len(run); i++ {
					if bytes.HasPrefix(run[i:], []byte(prefix)) {
						take(string(run[i:]))
						take(string(run[i:min(len(run), i+85)])) // a refresh token
						take(string(run[i:min(len(run), i+47)])) // a server key
					}
				}
			}
		}
	}
	all := make([]string, 0, len(seen))
	for s := range seen {
		all = append(all, s)
	}
	slices.Sort(all)
	return all
}

// attack tries every string as everything, and returns what opened something.
func (w *dumpWorld) attack(t testing.TB, loot []string, values []string) (opened []string, keys int) {
	t.Helper()
	open := func(how, s string) { opened = append(opened, fmt.Sprintf("%s: a string of %d bytes", how, len(s))) }
	r := httptest.NewRequest(http.MethodGet, "http://app.example/", nil)
	authenticate := func(credential string) bool {
		r.Header.Set("Authorization", "Bearer "+credential)
		_, err := w.manager.Authenticate(r, sessions.Stateless)
		return err == nil
	}
	for _, s := range loot {
		for _, token := range []string{s, "srt1_" + s} {
			if _, err := w.manager.Refresh(t.Context(), token, sessions.Client{}); !errors.Is(err,
				sessions.ErrMalformed) {
				open("as a refresh token", s)
			}
		}
		for _, code := range []string{s, "shc1_" + s} {
			if _, err := w.manager.Redeem(t.Context(), code, sessions.Client{}); !errors.Is(err,
				sessions.ErrInvalidHandoff) {
				open("as a hand-off code", s)
			}
		}
		for _, credential := range []string{s, "ssk_" + s, "sak_" + s} {
			if authenticate(credential) {
				open("as a bearer", s)
			}
		}
	}

	// Key material: what is long enough for a secret, and of columns everything,
	// made long enough.
	columns := map[string]bool{}
	for _, v := range values {
		columns[v] = true
	}
	victim := w.live[len(w.live)-1]
	_, counter, err := rotateRead(victim.RefreshToken.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range loot {
		var secrets [][]byte
		if len(s) >= 32 {
			secrets = append(secrets, []byte(s))
		}
		for _, decode := range []func(string) ([]byte, error){
			hex.DecodeString, base64.RawURLEncoding.DecodeString, base64.StdEncoding.DecodeString,
		} {
			if b, err := decode(s); err == nil && len(b) >= 32 {
				secrets = append(secrets, b)
			}
		}
		if columns[s] {
			sum := sha256.Sum256([]byte(s))
			secrets = append(secrets, sum[:])
			if len(s) < 32 {
				secrets = append(secrets, append([]byte(s), make([]byte, 32-len(s))...))
			}
		}
		for _, secret := range secrets {
			keys++
			if w.mints(t, secret, victim.Session, counter) {
				open("as a secret", s)
			}
		}
	}
	return opened, keys
}

// mints reports whether tokens that were made with secret open a session.
func (w *dumpWorld) mints(t testing.TB, secret []byte, session sessions.Session, counter int64) bool {
	t.Helper()
	forged, err := rotateForge(t.Context(), sessions.Config{
		Users: w.config.Users, Secrets: [][]byte{secret}, Issuer: w.config.Issuer, ProjectID: w.config.ProjectID,
		Now: w.config.Now,
	}, session, counter)
	if err != nil {
		t.Fatal(err)
	}
	_, refreshErr := w.manager.Refresh(t.Context(), forged.RefreshToken.Reveal(), sessions.Client{})
	_, verifyErr := w.manager.Verify(forged.AccessToken.Reveal())
	return !errors.Is(refreshErr, sessions.ErrMalformed) || !errors.Is(verifyErr, sessions.ErrInvalidToken)
}

func TestADumpOpensNothing(t *testing.T) {
	t.Parallel()
	for _, database := range dumpDatabases {
		t.Run(database.name, func(t *testing.T) {
			t.Parallel()
			st, read := database.open(t)
			w := newDumpWorld(t, st)
			w.canaries.addHashed("the server key", []byte(w.serverKey))
			w.canaries.addHashed("the admin key", []byte(w.adminKey))
			w.run(t)

			d := read()
			if found := d.find(w.canaries); len(found) > 0 {
				t.Errorf("the database holds %v", found)
			}
			loot := d.loot()
			opened, keys := w.attack(t, loot, d.values)
			if len(opened) > 0 {
				t.Errorf("with the dump one opens %v", opened)
			}
			t.Logf("%d tokens issued; %d secrets in %d spellings looked for in %d values of columns and %d bytes of "+
				"%d files; %d strings tried as tokens and keys, %d as secrets",
				w.tokens, w.canaries.secrets, w.canaries.strings, len(d.values), d.size(), len(d.files),
				len(loot), keys)

			// The attempts have changed nothing, and there was something to open.
			if again := read(); again.rows != d.rows {
				t.Error("the attack has changed rows")
			}
			for i, g := range w.live {
				w.live[i] = w.refresh(t, g)
			}

			w.plant(t, st.db, read)
		})
	}
}

// plant shows that the search finds a planted secret, and that the attack works with it.
func (w *dumpWorld) plant(t *testing.T, db *gorm.DB, read func() dump) {
	t.Helper()
	token := w.live[0].RefreshToken.Reveal()
	sum := sha256.Sum256([]byte(token))
	planted := []struct {
		name, text string
		opens      bool
	}{
		{"a refresh token", token, true},
		{"an access token", w.live[0].AccessToken.Reveal(), true},
		{"a server key", w.serverKey, true},
		{"the secret", string(dumpSecrets[1]), true},
		{"the secret in base64", base64.StdEncoding.EncodeToString(dumpSecrets[0]), true},
		{"the secret in hex", hex.EncodeToString(dumpSecrets[0]), true},
		{"a hand-off code", w.handed.Handoff.Reveal(), true},
		{"the hash of a token", hex.EncodeToString(sum[:]), false},
		{"twelve characters of a token", token[50:62], false},
		{"twelve characters of a key", w.adminKey[:12], false},
	}
	var ids []string
	if err := db.Raw(`SELECT id FROM sessile_sessions LIMIT ?`, len(planted)).Scan(&ids).Error; err != nil {
		t.Fatal(err)
	}
	for i, p := range planted {
		result := db.Exec(`UPDATE sessile_sessions SET reason = ? WHERE id = ?`, p.text, ids[i])
		if result.Error != nil || result.RowsAffected != 1 {
			t.Fatalf("planted in %d rows: %v", result.RowsAffected, result.Error)
		}
	}

	d := read()
	for _, p := range planted {
		if i := slices.Index(d.values, p.text); i < 0 || len(dump{values: d.values[i : i+1]}.find(w.canaries)) == 0 {
			t.Errorf("%s was planted and not found in its column", p.name)
		}
		seen := len(d.files) == 0
		for _, name := range d.ours {
			b := d.files[name]
			if i := bytes.Index(b, []byte(p.text)); i >= 0 &&
				len(w.canaries.find(b[max(0, i-20):min(len(b), i+len(p.text)+20)])) > 0 {
				seen = true
			}
		}
		if !seen {
			t.Errorf("%s was planted and not found in any file", p.name)
		}
		if opened, _ := w.attack(t, []string{p.text}, nil); (len(opened) > 0) != p.opens {
			t.Errorf("with %s one opens %v, want something: %t", p.name, opened, p.opens)
		}
	}
}
