package archtest

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// Inside sessions the files that carry (http*.go and cookie*.go) stand on those that decide, and none of the latter
// knows a name that is defined in one of the former. A rule that is tested without a request then holds for every
// transport.

// carried are the names of carrying files that the domain may use all the same, each with its reason.
var carried = map[string]string{
	"APIError":       "the type that Config.WriteError takes",
	"Cookies":        "the type of Config.Cookies",
	"Enabled":        "a field of Cookies, which Config.validate reads",
	"RefreshPath":    "a field of Cookies, which Config.withDefaults sets",
	"InsecureCookie": "a field of Cookies, of which New warns",
	"faults":         "what Config.validate asks of Cookies",
	"cookieMode":     "the Manager keeps it",
	"newCookieMode":  "New makes it",
	"limit":          "cookies bound the size of an access token",
}

func carries(file string) bool {
	base := path.Base(file)
	return strings.HasPrefix(base, "http") || strings.HasPrefix(base, "cookie")
}

// upward returns a line for each file of a package in dir that decides and uses a name of one that carries, and the
// exceptions that were needed.
func upward(fsys fs.FS, dir string) (violations, needed []string, err error) {
	names, err := fs.Glob(fsys, path.Join(dir, "*.go"))
	if err != nil {
		return nil, nil, err
	}
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		src, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, nil, err
		}
		f, err := parser.ParseFile(fset, name, src, parser.SkipObjectResolution)
		if err != nil {
			return nil, nil, err
		}
		files = append(files, f)
	}
	// Other packages are not loaded. What is defined in this one is found all the same.
	config := types.Config{Importer: noImporter{}, Error: func(error) {}}
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	pkg, _ := config.Check(dir, fset, files, info)
	lines, used := map[string]bool{}, map[string]bool{}
	for id, object := range info.Uses {
		if object.Pkg() != pkg || !object.Pos().IsValid() {
			continue
		}
		from, to := fset.Position(id.Pos()).Filename, fset.Position(object.Pos()).Filename
		if carries(from) || !carries(to) {
			continue
		}
		if carried[object.Name()] != "" {
			used[object.Name()] = true
			continue
		}
		lines[fmt.Sprintf("%s uses %s, which is defined in %s", from, object.Name(), to)] = true
	}
	return slices.Sorted(maps.Keys(lines)), slices.Sorted(maps.Keys(used)), nil
}

// noImporter imports nothing.
type noImporter struct{}

func (noImporter) Import(string) (*types.Package, error) { return nil, errors.New("not loaded") }

func TestTheDomainUsesNoNameOfHTTP(t *testing.T) {
	t.Parallel()
	violations, needed, err := upward(os.DirFS(repoRoot(t)), "sessions")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range violations {
		t.Error(v)
	}
	if want := slices.Sorted(maps.Keys(carried)); !slices.Equal(needed, want) {
		t.Errorf("the exceptions that are needed are %q, those in the list are %q", needed, want)
	}
}

func TestTheDomainRuleBites(t *testing.T) {
	t.Parallel()
	const carrier = "package p\nimport \"net/http\"\ntype answer struct{ status int }\nfunc write(w " +
		"http.ResponseWriter) {}\n" +
		"func (m *Manager) reply() {}\nconst limitOf = 1\n"
	for use, want := range map[string]string{
		"func f() { write(nil) }":              "p/a.go uses write, which is defined in p/http.go",
		"var x = answer{}":                     "p/a.go uses answer, which is defined in p/http.go",
		"func f(a *answer) int { return 1 }":   "p/a.go uses answer, which is defined in p/http.go",
		"func (m *Manager) f() { m.reply() }":  "p/a.go uses reply, which is defined in p/http.go",
		"func f() int { return limitOf }":      "p/a.go uses limitOf, which is defined in p/http.go",
		"func (m *Manager) g() { m.decide() }": "",
	} {
		fsys := fstest.MapFS{
			"p/http.go":      {Data: []byte(carrier)},
			"p/manager.go":   {Data: []byte("package p\ntype Manager struct{}\nfunc (m *Manager) decide() {}\n")},
			"p/http_more.go": {Data: []byte("package p\nfunc g(m *Manager) { m.reply(); write(nil) }\n")},
			"p/a.go":         {Data: []byte("package p\n" + use + "\n")},
		}
		violations, _, err := upward(fsys, "p")
		if err != nil || strings.Join(violations, "\n") != want {
			t.Errorf("%s: %q, %v; want %q", use, violations, err, want)
		}
	}
}
