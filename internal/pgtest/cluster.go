package pgtest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// Cluster is a throw-away Postgres that belongs to this process.
type Cluster struct {
	server *server

	mu      sync.Mutex
	cmd     *exec.Cmd
	orders  io.WriteCloser
	replies *bufio.Scanner
	dir     string
}

// keeper owns the cluster. It reads one order per line and answers each with one
// line. Its standard input ends when the test process does, by whatever cause,
// SIGKILL included: then it stops the server and removes the directory. It runs in its own
// session, so that an interrupt on the terminal does not stop it.
//
// pg_ctl waits until the server accepts connections, so nothing needs to poll. The server
// inherits no open file of the keeper, or the pipes would never close.
//
// It ignores SIGPIPE: if the test process dies while an order is carried out, the answer
// finds no reader, and the keeper must live on to clean up.
const keeper = `
trap '' PIPE
bin=$1 dir=$2
ctl() { "$bin/pg_ctl" -D "$dir/data" -l "$dir/log" -w -t 60 "$@" </dev/null >>"$dir/ctl.log" 2>&1; }
init() {
	"$bin/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --no-locale --no-sync </dev/null >"$dir/ctl.log" 2>&1 &&
	cat >>"$dir/data/postgresql.conf" <<CONF
listen_addresses = ''
unix_socket_directories = '$dir'
port = 5432
max_connections = 300
shared_buffers = 64MB
fsync = off
full_page_writes = off
CONF
}
while read -r order; do
	case $order in
	init) init ;;
	start) ctl start ;;
	restart) ctl -m immediate restart ;;
	*) false ;;
	esac && echo ok || echo failed
done
ctl -m immediate stop
cd / && rm -rf "$dir"
`

// start makes a cluster and waits until it answers.
func start() (_ *Cluster, err error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	who, err := runAs()
	if err != nil {
		return nil, err
	}
	dir, err := makeDir(who)
	if err != nil {
		return nil, err
	}

	cmd := exec.Command("/bin/sh", "-c", keeper, "sh", bin, dir)
	cmd.Dir = dir
	cmd.Env = environ()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: who}
	c := &Cluster{cmd: cmd, dir: dir}
	if c.orders, err = cmd.StdinPipe(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	c.replies = bufio.NewScanner(out)
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}

	base := &url.URL{Scheme: "postgres", User: url.User("postgres"), Path: "/postgres"}
	base.RawQuery = url.Values{"host": {dir}, "port": {"5432"}, "sslmode": {"disable"}}.Encode()
	c.server = &server{base: base}
	for _, order := range []string{"init", "start"} {
		if err := c.do(order); err != nil {
			c.close()
			return nil, err
		}
	}
	return c, nil
}

// DSN is [DSN] on this cluster.
func (c *Cluster) DSN(t testing.TB) string {
	t.Helper()
	return c.server.schema(t)
}

// Restart stops the server like a crash and starts it again. Committed data is kept,
// connections are not.
func (c *Cluster) Restart(t testing.TB) {
	t.Helper()
	if err := c.do("restart"); err != nil {
		t.Fatal("pgtest:", err)
	}
}

func (c *Cluster) do(order string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := fmt.Fprintln(c.orders, order); err != nil {
		return fmt.Errorf("%s: %w", order, err)
	}
	if c.replies.Scan() && c.replies.Text() == "ok" {
		return nil
	}
	return fmt.Errorf("%s of a Postgres cluster failed: %s", order, c.log())
}

// log returns the output of the server and its tools, for the message of a failure.
func (c *Cluster) log() string {
	var all []string
	for _, name := range []string{"ctl.log", "log"} {
		if b, err := os.ReadFile(filepath.Join(c.dir, name)); err == nil {
			all = append(all, strings.TrimSpace(string(b)))
		}
	}
	return strings.Join(all, "\n")
}

func (c *Cluster) close() {
	c.server.close()
	c.mu.Lock()
	defer c.mu.Unlock()
	// What goes wrong here leaves at worst a directory in the temporary one.
	_ = c.orders.Close()
	_ = c.cmd.Wait()
}

// binaries finds the directory of initdb and postgres: that of PATH, or else the newest
// that Debian installed, since Debian does not put it on PATH.
func binaries() (string, error) {
	if p, err := exec.LookPath("initdb"); err == nil {
		if p, err = filepath.EvalSymlinks(p); err == nil && complete(filepath.Dir(p)) {
			return filepath.Dir(p), nil
		}
	}
	dirs, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		return "", fmt.Errorf("look for binaries: %w", err)
	}
	version := func(dir string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(dir))) // 0 for what is no version
		return n
	}
	sort.Slice(dirs, func(i, j int) bool { return version(dirs[i]) > version(dirs[j]) })
	for _, dir := range dirs {
		if complete(dir) {
			return dir, nil
		}
	}
	return "", errors.New("no initdb, pg_ctl and postgres found")
}

func complete(dir string) bool {
	for _, name := range []string{"initdb", "pg_ctl", "postgres"} {
		if _, err := exec.LookPath(filepath.Join(dir, name)); err != nil {
			return false
		}
	}
	return true
}

// runAs returns the user to run the server as: nil for the current user, or another one for
// root, since Postgres refuses to run as root.
func runAs() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err1 == nil && err2 == nil && uid != 0 {
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
		}
	}
	return nil, errors.New("root cannot run Postgres, and there is no user postgres or nobody")
}

// makeDir makes the cluster's directory. Its path is short, because the path of a socket is
// limited to about 100 bytes, and accessible to the user who runs the server, unlike a TMPDIR
// of root.
func makeDir(who *syscall.Credential) (string, error) {
	parent := os.TempDir()
	if who != nil || len(parent) > 60 {
		parent = "/tmp"
	}
	dir, err := os.MkdirTemp(parent, "pgtest")
	if err != nil {
		return "", fmt.Errorf("make a directory: %w", err)
	}
	if who != nil {
		if err := os.Chown(dir, int(who.Uid), int(who.Gid)); err != nil {
			return "", errors.Join(err, os.RemoveAll(dir))
		}
	}
	return dir, nil
}

// environ returns the environment without the variables that redirect Postgres's tools.
func environ() []string {
	env := []string{"LC_ALL=C"}
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "PG") && !strings.HasPrefix(kv, "LC_") && !strings.HasPrefix(kv, "LANG") {
			env = append(env, kv)
		}
	}
	return env
}
