// Package pgtest gives tests a Postgres.
//
// It uses the server of TEST_DATABASE_URL if that is set. Otherwise it starts one
// throw-away cluster per test process from the installed binaries, on a unix socket, and
// removes it however the process ends. If there is neither, the test is skipped with
// [SkipPrefix], or fails if SESSILE_REQUIRE_POSTGRES is 1.
//
// A package that uses it calls Main from TestMain:
//
//	func TestMain(m *testing.M) { pgtest.Main(m) }
package pgtest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
)

// SkipPrefix starts the message of every test that was skipped because there is no
// Postgres.
const SkipPrefix = "SKIPPED POSTGRES:"

// The environment variables of this package.
const (
	envURL     = "TEST_DATABASE_URL"
	envRequire = "SESSILE_REQUIRE_POSTGRES"
)

// patience limits the statements of this package: a schema that cannot be dropped, because a
// test left a transaction open, must not hang the run.
const patience = time.Minute

// shared is the server on which [DSN] makes schemas.
var shared struct {
	sync.Mutex
	server *server
	err    error
	own    *Cluster
}

// Main runs the tests, stops the shared cluster and exits the process.
func Main(m *testing.M) {
	code := m.Run()
	shared.Lock()
	own := shared.own
	shared.Unlock()
	if own != nil {
		own.close()
	}
	os.Exit(code)
}

// DSN returns a connection string, in URL form, whose search_path is a schema made
// for this test and dropped after it. It is safe for concurrent use.
func DSN(t testing.TB) string {
	t.Helper()
	shared.Lock()
	if shared.server == nil && shared.err == nil {
		shared.server, shared.own, shared.err = open()
	}
	s, err := shared.server, shared.err
	shared.Unlock()
	if err != nil && os.Getenv(envURL) != "" {
		t.Fatal("pgtest:", err) // asked for, so not to be passed over
	}
	if err != nil {
		missing(t, err)
	}
	return s.schema(t)
}

// New starts a cluster for this test, which the test may restart. It ends with the test. New
// does not use TEST_DATABASE_URL, since that server may have other users.
func New(t testing.TB) *Cluster {
	t.Helper()
	c, err := start()
	if err != nil {
		missing(t, err)
	}
	t.Cleanup(c.close)
	return c
}

// open finds or starts the shared server.
func open() (*server, *Cluster, error) {
	if dsn := os.Getenv(envURL); dsn != "" {
		base, err := parse(dsn)
		if err != nil {
			return nil, nil, err
		}
		return &server{base: base}, nil, nil
	}
	c, err := start()
	if err != nil {
		return nil, nil, err
	}
	return c.server, c, nil
}

func missing(t testing.TB, err error) {
	t.Helper()
	if os.Getenv(envRequire) == "1" {
		t.Fatalf("%s is 1 and there is no Postgres: %v", envRequire, err)
	}
	t.Skipf("%s %v (set %s, or install postgresql)", SkipPrefix, err, envURL)
}

// server makes schemas on a running Postgres.
type server struct {
	base *url.URL

	mu    sync.Mutex
	admin *sql.DB
}

// parse reads a connection string in URL form. It refuses the form with keywords, to which
// a search_path could not be added without parsing quotes.
func parse(dsn string) (*url.URL, error) {
	u, err := url.Parse(dsn)
	if err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") {
		// url.Parse quotes its input, which may hold a password.
		return nil, fmt.Errorf("%s has to look like postgres://user@host/database", envURL)
	}
	return u, nil
}

func (s *server) db() (*sql.DB, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.admin == nil {
		db, err := sql.Open("pgx", s.base.String())
		if err != nil {
			return nil, fmt.Errorf("open: %w", err)
		}
		db.SetMaxOpenConns(4)
		s.admin = db
	}
	return s.admin, nil
}

func (s *server) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.admin != nil {
		_ = s.admin.Close() // nothing is left to be lost
		s.admin = nil
	}
}

func (s *server) exec(query string) error {
	db, err := s.db()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := db.ExecContext(ctx, query); err != nil {
		return fmt.Errorf("%s: %w", query, err)
	}
	return nil
}

func (s *server) schema(t testing.TB) string {
	t.Helper()
	name := "test_" + strings.ToLower(rand.Text())
	if err := s.exec("CREATE SCHEMA " + name); err != nil {
		t.Fatal("pgtest:", err)
	}
	t.Cleanup(func() {
		if err := s.exec("DROP SCHEMA " + name + " CASCADE"); err != nil {
			t.Error("pgtest:", err)
		}
	})
	u := *s.base
	q := u.Query()
	q.Set("search_path", name)
	u.RawQuery = q.Encode()
	return u.String()
}
