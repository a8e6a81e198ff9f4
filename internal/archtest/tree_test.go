package archtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"maps"
	"os/exec"
	"path"
	"slices"
	"strconv"
	"strings"
)

// tree is what the rules look at.
type tree struct {
	module   string              // the path of the root's
	modules  []string            // the folders of all modules, "." first
	folders  []string            // all that hold a file, slash-separated, "." first
	files    []file              // Go files of all modules
	external map[string][]string // imports of the packages of others
}

type file struct {
	path    string
	dir     string
	test    bool
	imports []string
	uses    []string // "time.Now", with the import path, not its local name
}

// load parses every Go file of every module, whatever its build constraints: the
// arrows hold on every platform. The path of a nested module has to be that of its
// folder, so that a folder means one import path.
func load(fsys fs.FS, external map[string][]string) (*tree, error) {
	module, err := modulePath(fsys, "go.mod")
	if err != nil {
		return nil, err
	}
	t := &tree{module: module, external: external}
	folders := map[string]bool{}
	err = fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := path.Base(name)
		if d.IsDir() {
			if name == "." {
				return nil
			}
			if base[0] == '.' || base == "testdata" || base == "node_modules" || name == "bin" {
				return fs.SkipDir
			}
			return nil
		}
		folders[path.Dir(name)] = true
		if base == "go.mod" {
			dir := path.Dir(name)
			nested, err := modulePath(fsys, name)
			if err == nil && nested != t.importPath(dir) {
				err = fmt.Errorf("%s: module %s; its folder asks for %s", name, nested, t.importPath(dir))
			}
			t.modules = append(t.modules, dir)
			return err
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		f, err := parse(fsys, name)
		if err != nil {
			return err
		}
		t.files = append(t.files, f)
		return nil
	})
	t.folders = slices.Sorted(maps.Keys(folders))
	return t, err
}

// modulePath returns the path in a go.mod.
func modulePath(fsys fs.FS, name string) (string, error) {
	mod, err := fs.ReadFile(fsys, name)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(mod)) {
		if rest, ok := strings.CutPrefix(line, "module "); ok {
			return strings.TrimSpace(rest), nil
		}
	}
	return "", fmt.Errorf("%s names no module", name)
}

func parse(fsys fs.FS, name string) (file, error) {
	src, err := fs.ReadFile(fsys, name)
	if err != nil {
		return file{}, err
	}
	parsed, err := parser.ParseFile(token.NewFileSet(), name, src, parser.SkipObjectResolution)
	if err != nil {
		return file{}, err
	}
	f := file{path: name, dir: path.Dir(name), test: strings.HasSuffix(name, "_test.go")}
	local := map[string]string{} // local name of an import → its path
	for _, spec := range parsed.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return file{}, fmt.Errorf("%s: %w", name, err)
		}
		f.imports = append(f.imports, p)
		switch {
		case spec.Name == nil:
			local[path.Base(p)] = p
		case spec.Name.Name == ".":
			// Under a dot import any bare name may be the package's: count all.
			f.uses = append(f.uses, p+".*")
		default:
			local[spec.Name.Name] = p
		}
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := sel.X.(*ast.Ident); ok {
			if p, ok := local[x.Name]; ok {
				f.uses = append(f.uses, p+"."+sel.Sel.Name)
			}
		}
		return true
	})
	return f, nil
}

// listExternal asks the go command what the packages that a module links import, and
// adds it to external.
func listExternal(dir string, external map[string][]string) error {
	cmd := exec.Command("go", "list", "-e", "-deps", "-json=ImportPath,Imports", "./...")
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("go list in %s: %w\n%s", dir, err, stderr.Bytes())
	}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("go list in %s: %w", dir, err)
		}
		external[p.ImportPath] = append(external[p.ImportPath], p.Imports...) // two modules may link two versions of it
	}
}

// match reports whether the import path p is meant by one of the patterns.
func (t *tree) match(patterns []string, p string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		if pattern == "std" {
			return p != "C" && t.isStd(p)
		}
		if rest, ok := strings.CutPrefix(pattern, "./"); ok {
			pattern = t.module + "/" + rest
		}
		if prefix, ok := strings.CutSuffix(pattern, "/..."); ok {
			return p == prefix || strings.HasPrefix(p, prefix+"/")
		}
		return p == pattern
	})
}

// isStd: paths of the standard library have no dot in their first element.
func (t *tree) isStd(p string) bool {
	first, _, _ := strings.Cut(p, "/")
	return !strings.Contains(first, ".") && !t.own(p)
}

func (t *tree) own(p string) bool {
	return p == t.module || strings.HasPrefix(p, t.module+"/")
}

func (t *tree) importPath(dir string) string { return path.Join(t.module, dir) }

// linked returns everything that ends up in a program with the package p, each
// with the package that brought it in.
func (t *tree) linked(p string) (map[string]string, error) {
	via := map[string]string{}
	for queue := []string{p}; len(queue) > 0; queue = queue[1:] {
		next, err := t.importsOf(queue[0])
		if err != nil {
			return nil, err
		}
		for _, dep := range next {
			if _, seen := via[dep]; !seen && dep != p {
				via[dep] = queue[0]
				queue = append(queue, dep)
			}
		}
	}
	return via, nil
}

func (t *tree) importsOf(p string) ([]string, error) {
	if !t.own(p) {
		next, ok := t.external[p]
		if !ok && !t.isStd(p) {
			return nil, fmt.Errorf("the go command does not know %s: cannot see what it links in", p)
		}
		return next, nil
	}
	var next []string
	for _, f := range t.files {
		if !f.test && t.importPath(f.dir) == p {
			next = append(next, f.imports...)
		}
	}
	return next, nil
}
