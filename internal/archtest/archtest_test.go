// Package archtest checks the structure of the repository: the imports of each package, the
// only file that reads the clock, the folders, the layers of files, and the language. The
// rules are a table in rules_test.go.
package archtest

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// check returns one line for each violation, and which package each rule has
// seen, so that a rule that looks at nothing does not pass for one that holds.
func check(t *tree) (violations []string, seen map[string][]string) {
	seen = map[string][]string{}
	for _, r := range rules {
		say := func(where, format string, args ...any) {
			violations = append(
				violations, fmt.Sprintf("%s: %s: %s (%s)", r.name, where, fmt.Sprintf(format, args...), r.reason),
			)
		}
		for _, f := range t.files {
			p := t.importPath(f.dir)
			if !r.covers(t, f) {
				continue
			}
			first := !slices.Contains(seen[r.name], p)
			if first {
				seen[r.name] = append(seen[r.name], p)
			}
			for _, imp := range f.imports {
				if r.only != nil && !t.match(r.only, imp) {
					say(f.path, "imports %s; allowed are %s", imp, strings.Join(r.only, ", "))
				}
				if t.match(r.never, imp) {
					say(f.path, "imports %s", imp)
				}
			}
			for _, use := range f.uses {
				for _, forbidden := range r.neverUse {
					pkg, _, _ := strings.Cut(forbidden, ".")
					if use == forbidden || use == pkg+".*" {
						say(f.path, "mentions %s", use)
					}
				}
			}
			if r.neverDeps == nil || !first {
				continue
			}
			via, err := t.linked(p)
			if err != nil {
				say(p, "%v", err)
			}
			for dep := range via {
				if t.match(r.neverDeps, dep) {
					chain := []string{dep}
					for at := dep; at != p; chain = append(chain, at) {
						at = via[at]
					}
					slices.Reverse(chain)
					say(p, "links %s", strings.Join(chain, " → "))
				}
			}
		}
	}
	for _, dir := range t.folders {
		if !inHouse(dir) {
			violations = append(
				violations, fmt.Sprintf("%s: %s: %s", roomRule, dir,
					"not in the list of rooms (each needs a purpose and its arrows)"),
			)
		}
	}
	slices.Sort(violations)
	return violations, seen
}

const roomRule = "every folder is a known room"

func inHouse(dir string) bool {
	return slices.ContainsFunc(rooms, func(room string) bool {
		prefix, below := strings.CutSuffix(room, "/...")
		return dir == prefix || below && strings.HasPrefix(dir, prefix+"/")
	})
}

func (r rule) covers(t *tree, f file) bool {
	p := t.importPath(f.dir)
	matches := func(patterns []string) bool {
		return slices.ContainsFunc(patterns, func(pattern string) bool {
			ok, err := path.Match(pattern, path.Base(f.path))
			return ok && err == nil
		})
	}
	return (r.tests || !f.test) && t.match(r.in, p) && !t.match(r.but, p) && !matches(r.except)
}

func TestHouse(t *testing.T) {
	t.Parallel()
	root := repoRoot(t)
	external := map[string][]string{}
	tr, err := load(os.DirFS(root), external)
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range tr.modules {
		// What is linked is judged for what ships; the other modules need not be downloaded.
		if dir != "." && !tr.match(shipping, tr.importPath(dir)) {
			continue
		}
		if err := listExternal(filepath.Join(root, filepath.FromSlash(dir)), external); err != nil {
			t.Fatal(err)
		}
	}
	violations, seen := check(tr)
	for _, v := range violations {
		t.Error(v)
	}

	// A rule holds only if it has looked. Which rooms exist is asked of the disk,
	// not of the loader, which might have missed one.
	if tr.module != "github.com/sessile-go/sessile" {
		t.Errorf("looked at module %q", tr.module)
	}
	for _, r := range rules {
		for _, pattern := range r.in {
			dir := strings.TrimSuffix(strings.TrimPrefix(pattern, "./"), "...")
			if dir == "" {
				dir = "sessions"
			}
			if !ships(t, filepath.Join(root, filepath.FromSlash(dir))) || tr.match(r.but, tr.importPath(dir)) {
				continue
			}
			if !slices.Contains(seen[r.name], tr.importPath(dir)) {
				t.Errorf("%s: has not looked at %s", r.name, dir)
			}
		}
	}
	if !ships(t, filepath.Join(root, "sessions")) {
		t.Error("there is no package sessions: looked at nothing")
	}
	if _, ok := external["github.com/google/uuid"]; !ok {
		t.Error("the go command listed no dependencies")
	}
}

// TestTheRootRequiresWhatAHostMayLink holds the go.mod that every host's module graph shows. What only a test wants
// belongs into a module of its own.
func TestTheRootRequiresWhatAHostMayLink(t *testing.T) {
	t.Parallel()
	mod, err := os.ReadFile(filepath.Join(repoRoot(t), "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	var direct []string
	for line := range strings.Lines(string(mod)) {
		fields := strings.Fields(strings.TrimPrefix(line, "require "))
		if len(fields) == 2 && fields[1][0] == 'v' {
			direct = append(direct, fields[0])
		}
	}
	if !slices.Equal(direct, required) {
		t.Errorf("go.mod requires\n%s\nwant\n%s", strings.Join(direct, "\n"), strings.Join(required, "\n"))
	}
}

func repoRoot(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// ships reports whether the folder has a Go file that is not a test.
func ships(t *testing.T, dir string) bool {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(names, func(name string) bool { return !strings.HasSuffix(name, "_test.go") })
}

// sound is a small house that keeps every rule. Lines in it that look like violations are
// allowed in their files.
var sound = map[string]string{
	"go.mod":         "module example.test/house\n\ngo 1.25.0\n",
	"README.md":      "",
	"docs/stores.md": "",
	"tools/go.mod":   "module example.test/house/tools\n",
	"interop/go.mod": "module example.test/house/interop\n",
	"interop/client/client.go": "package client\nimport (\n_ \"github.com/labstack/echo/v4\"\n_ " +
		"\"github.com/jackc/pgx/v5\"\n)\n",
	"interop/a/go.mod":             "module example.test/house/interop/a\n",
	"proof/go.mod":                 "module example.test/house/proof\n",
	"proof/a_test.go":              "package proof\nimport _ \"pgregory.net/rapid\"\n",
	"interop/node_modules/x/x.go":  "not Go",
	".ci/run":                      "",
	"sessions/testdata/odd/odd.go": "package odd\nimport _ \"log\"\n",
	"sessions/doc.go":              "// Package sessions never calls time.Now here.\npackage sessions\n",
	"sessions/config.go":           "package sessions\nimport \"time\"\nvar now = time.Now\n",
	"sessions/http_routes.go":      "package sessions\nimport _ \"net/http\"\n",
	"sessions/cookie.go":           "package sessions\nimport _ \"net/http\"\n",
	"sessions/secret.go": "package sessions\nimport (\n_ \"crypto/ecdsa\"\n_ \"encoding/asn1\"\n_ " +
		"\"github.com/google/uuid\"\n)\n",
	"sessions/session.go": "package sessions\nimport \"time\"\ntype c struct{}\nfunc (c) Now() " +
		"time.Time { return time.Time{} }\nvar _ = c{}.Now()\n",
	"sessions/session_test.go": "package sessions\nimport (\n\"testing\"\n\"time\"\n_ " +
		"\"net/http/httptest\"\n)\nvar _ testing.TB\nvar _ = time.Now\n",
	"sessions/storetest/storetest.go": "package storetest\nimport (\n_ \"testing\"\n_ " +
		"\"example.test/house/sessions\"\n)\n",
	"sessions/sessionstest/kit.go": "package sessionstest\nimport (\n_ \"net/http/httptest\"\n_ " +
		"\"example.test/house/sessions\"\n)\n",
	"store/store.go": "package store\nimport (\n_ \"gorm.io/gorm/clause\"\n_ " +
		"\"example.test/house/sessions\"\n)\n",
	"store/sqlstore/sqlstore.go": "package sqlstore\nimport (\n_ \"database/sql\"\n_ " +
		"\"example.test/house/store/internal/core\"\n)\n",
	"store/internal/core/core.go": "package core\nimport (\n_ \"github.com/google/uuid\"\n_ " +
		"\"example.test/house/sessions\"\n)\n",
	"store/store_test.go": "package store\nimport (\n_ \"gorm.io/driver/sqlite\"\n_ " +
		"\"example.test/house/internal/pgtest\"\n_ \"example.test/house/sessions/storetest\"\n)\n",
	"middleware/middleware.go": "package middleware\nimport (\n_ \"net/http\"\n_ " +
		"\"example.test/house/sessions\"\n)\n",
	"middleware/echov4/echov4.go": "package echov4\nimport (\n_ \"github.com/labstack/echo/v4\"\n_ " +
		"\"example.test/house/middleware\"\n)\n",
	"internal/middlewaretest/a.go": "package middlewaretest\nimport (\n_ \"testing\"\n_ " +
		"\"example.test/house/sessions/sessionstest\"\n)\n",
	"middleware/echov5/go.mod": "module example.test/house/middleware/echov5\n",
	"middleware/echov5/echov5.go": "package echov5\nimport (\n_ \"github.com/labstack/echo/v5\"\n_ " +
		"\"example.test/house/sessions\"\n)\n",
	"internal/pgtest/pgtest.go":          "package pgtest\nimport _ \"github.com/jackc/pgx/v5\"\n",
	"internal/archtest/archtest_test.go": "package archtest\n",
	"examples/sqlite/main.go": "package main\nimport (\n_ \"log\"\n_ \"gorm.io/driver/sqlite\"\n_ " +
		"\"github.com/labstack/echo/v4\"\n_ \"example.test/house/store\"\n_ " +
		"\"example.test/house/middleware/echov4\"\n)\n",
}

// outside is what the packages that the fake house imports bring in themselves.
var outside = map[string][]string{
	"github.com/google/uuid":      {"crypto/rand"},
	"gorm.io/gorm":                {"database/sql"},
	"gorm.io/gorm/clause":         {"gorm.io/gorm"},
	"github.com/labstack/echo/v4": {"net/http"},
	"github.com/labstack/echo/v5": {"net/http"},
	"example.org/careless":        {"example.org/careless/inner"},
	"example.org/careless/inner":  {"testing", "github.com/mattn/go-sqlite3", "gorm.io/gorm"},
	"github.com/mattn/go-sqlite3": {"database/sql/driver"},
	"testing":                     {"flag"},
}

func loadFake(t *testing.T, changes map[string]string) *tree {
	t.Helper()
	fsys := fstest.MapFS{}
	for _, tree := range []map[string]string{sound, changes} {
		for name, src := range tree {
			fsys[name] = &fstest.MapFile{Data: []byte(src)}
		}
	}
	tr, err := load(fsys, outside)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func TestSoundHousePasses(t *testing.T) {
	t.Parallel()
	violations, seen := check(loadFake(t, nil))
	for _, v := range violations {
		t.Error(v)
	}
	for _, r := range rules {
		if len(seen[r.name]) == 0 {
			t.Errorf("%s: has looked at nothing", r.name)
		}
	}
}

// TestEveryRuleBites feeds each rule a file that breaks it.
func TestEveryRuleBites(t *testing.T) {
	t.Parallel()
	imports := func(pkg string, paths ...string) string {
		return "package " + pkg + "\nimport _ \"" + strings.Join(paths, "\"\nimport _ \"") + "\"\n"
	}
	cases := []struct {
		rule, path, src, want string
	}{
		{"sessions stands on std and google/uuid", "sessions/a.go", imports("sessions", "example.org/careless"),
			"imports example.org/careless"},
		{"sessions stands on std and google/uuid", "sessions/a.go", imports("sessions", "example.test/house/store"),
			"imports example.test/house/store"},
		{"sessions stands on std and google/uuid", "sessions/a.go", imports("sessions", "C"), "imports C"},
		{"sessions stands on std and google/uuid", "sessions/a_windows.go", "//go:build windows\n\n" +
			imports("sessions", "example.org/careless"), "a_windows.go"},
		{"store stands on sessions and GORM", "store/a.go", imports("store", "example.org/careless"),
			"imports example.org/careless"},
		{"store stands on sessions and GORM", "store/a.go", imports("store", "net/http"), "imports net/http"},
		{"store/sqlstore stands on sessions", "store/sqlstore/a.go", imports("sqlstore", "gorm.io/gorm"),
			"imports gorm.io/gorm"},
		{"store/sqlstore stands on sessions", "store/sqlstore/a.go", imports("sqlstore", "example.test/house/store"),
			"imports example.test/house/store"},
		{"the core of the store stands on sessions", "store/internal/core/a.go", imports("core", "gorm.io/gorm"),
			"imports gorm.io/gorm"},
		{"the core of the store stands on sessions", "store/internal/core/a.go", imports("core", "net/http"),
			"imports net/http"},
		{"middleware stands on sessions", "middleware/a.go", imports("middleware", "github.com/google/uuid"),
			"imports github.com/google/uuid"},
		{"middleware stands on sessions", "middleware/a.go",
			imports("middleware", "example.test/house/middleware/echov4"), "echov4"},
		{"middleware/echov4 stands on sessions and Echo v4", "middleware/echov4/a.go",
			imports("echov4", "github.com/labstack/echo/v5"), "echo/v5"},
		{"middleware/echov5 stands on sessions and Echo v5", "middleware/echov5/a.go",
			imports("echov5", "github.com/labstack/echo/v4"), "echo/v4"},
		{"the test kits stand on sessions", "sessions/storetest/a.go", imports("storetest", "pgregory.net/rapid"),
			"imports pgregory.net/rapid"},
		{"the test kits stand on sessions", "sessions/sessionstest/a.go",
			imports("sessionstest", "example.test/house/store"), "imports example.test/house/store"},
		{"the contract of the adapters knows no router", "internal/middlewaretest/b.go",
			imports("middlewaretest", "example.test/house/middleware"), "middleware"},
		{"store never meets middleware", "store/a.go", imports("store", "example.test/house/middleware/echov4"),
			"house/store → example.test/house/middleware/echov4"},
		{"middleware never meets store", "middleware/a.go", imports("middleware", "example.test/house/store"),
			"house/middleware → example.test/house/store"},
		{"middleware never meets store", "middleware/echov4/a.go", imports("echov4", "example.org/careless"),
			"careless/inner → gorm.io/gorm"},
		{"Echo only in its adapter and the examples", "middleware/a.go",
			imports("middleware", "github.com/labstack/echo/v4"), "imports github.com/labstack/echo/v4"},
		{"Echo only in its adapter and the examples", "sessions/a_test.go",
			imports("sessions", "github.com/labstack/gommon/log"), "imports github.com/labstack/gommon/log"},
		{"drivers only in tests and examples", "sessions/storetest/a.go", imports("storetest", "gorm.io/driver/sqlite"),
			"imports gorm.io/driver/sqlite"},
		{"no driver linked into what ships", "store/a.go", imports("store", "example.org/careless"),
			"inner → github.com/mattn/go-sqlite3"},
		{"no test library linked into what ships", "sessions/a.go", imports("sessions", "testing"),
			"house/sessions → testing"},
		{"no test library linked into what ships", "store/a.go", imports("store", "example.org/careless"),
			"house/store → example.org/careless → example.org/careless/inner → testing"},
		{"no test library linked into what ships", "middleware/a.go",
			imports("middleware", "example.test/house/sessions/sessionstest"), "house/sessions/sessionstest"},
		{"no test library linked into what ships", "middleware/echov4/a.go",
			imports("echov4", "net/http/httptest"), "links"},
		{"no test library linked into what ships", "store/a.go", imports("store", "example.org/unlisted"),
			"does not know example.org/unlisted"},
		{"nobody imports the examples", "store/a_test.go", imports("store", "example.test/house/examples/sqlite"),
			"imports example.test/house/examples/sqlite"},
		{"net/http only in http*.go, cookie*.go and the fields of Config", "sessions/a.go",
			imports("sessions", "net/http"), "imports net/http"},
		{"net/http only in http*.go, cookie*.go and the fields of Config", "sessions/manager_http.go",
			imports("sessions", "net/http/httputil"), "imports net/http/httputil"},
		{"signing only in access_token.go and secret.go", "sessions/a.go", imports("sessions", "crypto/ecdsa"),
			"imports crypto/ecdsa"},
		{"signing only in access_token.go and secret.go", "sessions/a.go", imports("sessions", "encoding/asn1"),
			"imports encoding/asn1"},
		{"in sessions the clock is read in config.go only", "sessions/a.go",
			"package sessions\nimport \"time\"\nfunc f() { _ = time.Now() }\n", "mentions time.Now"},
		{"in sessions the clock is read in config.go only", "sessions/a.go",
			"package sessions\nimport t \"time\"\nvar f = t.Now\n", "mentions time.Now"},
		{"in sessions the clock is read in config.go only", "sessions/a.go",
			"package sessions\nimport . \"time\"\nvar f = Now\n", "mentions time.*"},
		{"the clock is read in sessions/config.go only", "store/config.go",
			"package store\nimport \"time\"\nfunc f(t time.Time) { _ = time.Since(t) }\n", "mentions time.Since"},
		{"the clock is read in sessions/config.go only", "middleware/echov4/a.go",
			"package echov4\nimport \"time\"\nfunc f(t time.Time) { _ = time.Until(t) }\n", "mentions time.Until"},
		{"no math/rand and no log in what ships", "store/a.go", imports("store", "log"), "imports log"},
		{"no math/rand and no log in what ships", "sessions/a.go", imports("sessions", "math/rand"),
			"imports math/rand"},
		{"what ships reads no environment and prints nothing", "sessions/config.go",
			"package sessions\nimport \"os\"\nvar x = os.Getenv(\"X\")\n", "mentions os.Getenv"},
		{"what ships reads no environment and prints nothing", "middleware/a.go",
			"package middleware\nimport \"fmt\"\nfunc f() { fmt.Println() }\n", "mentions fmt.Println"},
		{"test libraries only in modules of their own", "sessions/a_test.go", imports("sessions", "pgregory.net/rapid"),
			"imports pgregory.net/rapid"},
		{"test libraries only in modules of their own", "middleware/echov5/a_test.go",
			imports("echov5", "github.com/stretchr/testify/assert"), "imports github.com/stretchr/testify/assert"},
		{roomRule, "utils/a.go", "package utils\n", "utils"},
		{roomRule, "sessions/helpers/a.txt", "", "sessions/helpers"},
	}

	bitten := map[string]bool{}
	for _, c := range cases {
		t.Run(c.rule+": "+c.path, func(t *testing.T) {
			t.Parallel()
			violations, _ := check(loadFake(t, map[string]string{c.path: c.src}))
			caught := slices.ContainsFunc(violations, func(v string) bool {
				return strings.HasPrefix(v, c.rule+": ") && strings.Contains(v, c.want)
			})
			if !caught {
				t.Errorf("not caught; want %q in one of\n%s", c.want, strings.Join(violations, "\n"))
			}
		})
		bitten[c.rule] = true
	}
	for _, r := range rules {
		if !bitten[r.name] {
			t.Errorf("no case breaks the rule %q", r.name)
		}
	}
}

func TestLoadRefusesWhatItCannotRead(t *testing.T) {
	t.Parallel()
	for name, fsys := range map[string]fstest.MapFS{
		"no go.mod":         {"sessions/a.go": {Data: []byte("package sessions\n")}},
		"go.mod without":    {"go.mod": {Data: []byte("go 1.25.0\n")}},
		"a file is no code": {"go.mod": {Data: []byte("module m.test\n")}, "a.go": {Data: []byte("nonsense")}},
		"a nested module is not its folder": {
			"go.mod":   {Data: []byte("module m.test\n")},
			"a/go.mod": {Data: []byte("module m.test/b\n")},
		},
		"a nested module has no name": {"go.mod": {Data: []byte("module m.test\n")}, "a/go.mod": {}},
	} {
		if _, err := load(fs.FS(fsys), nil); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
