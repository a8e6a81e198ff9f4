package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// BouncerSkipPrefix starts the message of every test that was skipped because there is
// no PgBouncer.
const BouncerSkipPrefix = "SKIPPED PGBOUNCER:"

const envRequireBouncer = "SESSILE_REQUIRE_PGBOUNCER"

// bouncerKeeper owns a PgBouncer. Its standard input ends when the test process does,
// even if that is killed: then it stops the pooler and removes the directory.
const bouncerKeeper = `
dir=$2
"$1" "$dir/pgbouncer.ini" </dev/null >"$dir/log" 2>&1 &
cat >/dev/null
kill $! && wait $!
cd / && rm -rf "$dir"
`

// BouncerDSN is [DSN] through a PgBouncer of the test's own, in transaction mode and
// with fewer server connections than a test has clients, so that they really take
// turns. The test is skipped with [BouncerSkipPrefix] if PgBouncer is not installed, or
// fails if SESSILE_REQUIRE_PGBOUNCER is 1.
func BouncerDSN(t testing.TB) string {
	t.Helper()
	bin, err := bouncerBinary()
	if err != nil && os.Getenv(envRequireBouncer) == "1" {
		t.Fatalf("%s is 1: %v", envRequireBouncer, err)
	}
	if err != nil {
		t.Skipf("%s %v (install pgbouncer)", BouncerSkipPrefix, err)
	}
	config, err := bouncerConfig(DSN(t))
	if err != nil {
		t.Fatal("pgtest:", err)
	}
	who, err := runAs() // PgBouncer refuses root, as Postgres does
	if err != nil {
		t.Fatal("pgtest:", err)
	}
	dir, err := makeDir(who)
	if err != nil {
		t.Fatal("pgtest:", err)
	}
	ini := filepath.Join(dir, "pgbouncer.ini")
	if err := os.WriteFile(ini, []byte(config+"unix_socket_dir = "+dir+"\n"), 0o600); err != nil {
		t.Fatal("pgtest:", errors.Join(err, os.RemoveAll(dir)))
	}
	if who != nil {
		if err := os.Chown(ini, int(who.Uid), int(who.Gid)); err != nil {
			t.Fatal("pgtest:", errors.Join(err, os.RemoveAll(dir)))
		}
	}

	cmd := exec.Command("/bin/sh", "-c", bouncerKeeper, "sh", bin, dir)
	cmd.Dir = dir
	cmd.Env = environ()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: who}
	alive, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal("pgtest:", errors.Join(err, os.RemoveAll(dir)))
	}
	t.Cleanup(func() {
		_ = alive.Close()
		_ = cmd.Wait() // it ends with the signal's exit code
	})

	if err := awaitSocket(filepath.Join(dir, ".s.PGSQL.6432")); err != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "log"))
		t.Fatalf("pgtest: PgBouncer does not start: %v\n%s", err, log)
	}
	u := url.URL{Scheme: "postgres", User: url.User("anybody"), Path: "/sessile"}
	u.RawQuery = url.Values{"host": {dir}, "port": {"6432"}, "sslmode": {"disable"}}.Encode()
	return u.String()
}

func bouncerBinary() (string, error) {
	if bin, err := exec.LookPath("pgbouncer"); err == nil {
		return bin, nil
	}
	return exec.LookPath("/usr/sbin/pgbouncer") // which is not on everybody's PATH
}

// bouncerConfig is the configuration of a PgBouncer in front of dsn, without the
// directory of its socket. PgBouncer takes no search_path from clients.
func bouncerConfig(dsn string) (string, error) {
	u, err := url.Parse(dsn)
	if err != nil {
		return "", err
	}
	options := u.Query()
	server := []string{"dbname=" + strings.TrimPrefix(u.Path, "/")}
	add := func(name, value string) {
		if value != "" {
			server = append(server, name+"='"+strings.ReplaceAll(value, "'", "''")+"'")
		}
	}
	host, port := u.Hostname(), u.Port()
	if socket := options.Get("host"); socket != "" {
		host, port = socket, options.Get("port")
	}
	password, _ := u.User.Password()
	add("host", host)
	add("port", port)
	add("user", u.User.Username())
	add("password", password)
	add("connect_query", "SET search_path TO "+options.Get("search_path"))
	return fmt.Sprintf(`[databases]
sessile = %s
[pgbouncer]
pool_mode = transaction
default_pool_size = 4
max_client_conn = 200
listen_port = 6432
auth_type = any
`, strings.Join(server, " ")), nil
}

func awaitSocket(path string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}
