package pgtest_test

import (
	"bufio"
	"database/sql"
	"io"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/sessile-go/sessile/internal/pgtest"
)

// asChild makes the test binary the process that a test kills.
const asChild = "PGTEST_CHILD"

func TestMain(m *testing.M) { pgtest.Main(m) }

func open(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func exec1(t *testing.T, db *sql.DB, query string) {
	t.Helper()
	if _, err := db.Exec(query); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func count(t *testing.T, db *sql.DB, query string) int {
	t.Helper()
	var n int
	if err := db.QueryRow(query).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

func TestEachTestHasASchemaOfItsOwn(t *testing.T) {
	t.Parallel()
	a, b := open(t, pgtest.DSN(t)), open(t, pgtest.DSN(t))
	exec1(t, a, `CREATE TABLE things (n int)`)
	exec1(t, b, `CREATE TABLE things (n int)`)
	exec1(t, a, `INSERT INTO things VALUES (1)`)
	if n := count(t, b, `SELECT count(*) FROM things`); n != 0 {
		t.Errorf("the other schema has %d rows, want 0", n)
	}
}

func TestASchemaIsDroppedAfterItsTest(t *testing.T) {
	t.Parallel()
	var name string
	t.Run("a test", func(t *testing.T) {
		if err := open(t, pgtest.DSN(t)).QueryRow(`SELECT current_schema()`).Scan(&name); err != nil {
			t.Fatal(err)
		}
	})
	db := open(t, pgtest.DSN(t))
	var n int
	if err := db.QueryRow(`SELECT count(*) FROM pg_namespace WHERE nspname = $1`, name).Scan(&n); err != nil {
		t.Fatal(err)
	}
	if name == "" || n != 0 {
		t.Errorf("schema %q is still there", name)
	}
}

func TestABouncerLeadsToTheSchemaAndEndsWithItsTest(t *testing.T) {
	t.Parallel()
	var dir string
	t.Run("a test", func(t *testing.T) {
		u, err := url.Parse(pgtest.BouncerDSN(t))
		if err != nil {
			t.Fatal(err)
		}
		dir = u.Query().Get("host")
		db := open(t, u.String()+"&default_query_exec_mode=exec")
		exec1(t, db, `CREATE TABLE things (n int)`)
		if n := count(
			t, db, `SELECT count(*) FROM pg_tables WHERE tablename = 'things' AND schemaname = current_schema() AND `+
				`schemaname LIKE 'test_%'`,
		); n != 1 {
			t.Error("the table is not in the test's own schema")
		}
	})
	if dir == "" {
		t.Skip("there is no PgBouncer")
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", dir, err)
	}
}

func TestThereAreConnectionsForParallelTests(t *testing.T) {
	t.Parallel()
	if os.Getenv("TEST_DATABASE_URL") != "" {
		t.Skip("a server of somebody else's settings")
	}
	if n := count(t, open(t, pgtest.DSN(t)), `SELECT current_setting('max_connections')::int`); n < 200 {
		t.Errorf("max_connections is %d, want at least 200", n)
	}
}

func TestARestartKeepsWhatWasCommitted(t *testing.T) {
	t.Parallel()
	c := pgtest.New(t)
	dsn := c.DSN(t)
	db := open(t, dsn)
	exec1(t, db, `CREATE TABLE things (n int)`)
	exec1(t, db, `INSERT INTO things VALUES (1)`)
	c.Restart(t)
	if n := count(t, open(t, dsn), `SELECT count(*) FROM things`); n != 1 {
		t.Errorf("%d rows after the restart, want 1", n)
	}
}

// TestNothingOutlivesAKilledProcess kills this binary in the middle of a test,
// which runs no cleanup at all.
func TestNothingOutlivesAKilledProcess(t *testing.T) {
	if os.Getenv(asChild) != "" {
		c := pgtest.New(t)
		var dir string
		if err := open(t, c.DSN(t)).QueryRow(`SELECT current_setting('data_directory')`).Scan(&dir); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stdout.WriteString("cluster " + dir + "\n"); err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, os.Stdin) // until killed
		return
	}
	t.Parallel()
	pgtest.New(t) // skips without Postgres

	cmd := exec.Command(os.Args[0], "-test.run=^TestNothingOutlivesAKilledProcess$")
	cmd.Env = append(os.Environ(), asChild+"=1")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stdin.Close() }()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var data string
	for lines := bufio.NewScanner(stdout); data == "" && lines.Scan(); {
		data, _ = strings.CutPrefix(lines.Text(), "cluster ")
		if data == lines.Text() {
			data = ""
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	if data == "" {
		t.Fatal("the child named no cluster")
	}
	deadline, tick := time.After(30*time.Second), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := os.Stat(strings.TrimSuffix(data, "/data")); os.IsNotExist(err) {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("%s is still there", data)
		case <-tick.C:
		}
	}
}
