package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// maxNames is how many exported names package sessions may have. A host reads all of them
// before it knows which ones it needs. A new name takes the place of another one.
const maxNames = 200

// published are the packages that somebody else imports.
var published = []string{
	"sessions", "sessions/sessionstest", "sessions/storetest", "store", "store/sqlstore",
	"middleware", "middleware/echov4", "middleware/echov5",
}

// byContract are methods that the standard library calls, so nobody else mentions them.
var byContract = []string{"Error", "Unwrap", "Format", "LogValue", "MarshalJSON", "MarshalText"}

// names are the exported names of a package: types, functions, constants, variables, and
// methods of exported types as "Type.Method". fields counts exported fields of structs and
// methods of interfaces.
type names struct {
	all    []string
	fields int
}

func exportedNames(fsys fs.FS, folder string) (names, error) {
	var n names
	entries, err := fs.ReadDir(fsys, folder)
	if err != nil {
		return names{}, err
	}
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), ".go") || strings.HasSuffix(entry.Name(), "_test.go") {
			continue
		}
		source, err := fs.ReadFile(fsys, path.Join(folder, entry.Name()))
		if err != nil {
			return names{}, err
		}
		file, err := parser.ParseFile(token.NewFileSet(), entry.Name(), source, 0)
		if err != nil {
			return names{}, err
		}
		for _, d := range file.Decls {
			n.declared(d)
		}
	}
	slices.Sort(n.all)
	return n, nil
}

func (n *names) declared(d ast.Decl) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if name := d.Name.Name; d.Recv == nil {
			n.add(name)
		} else if receiver := typeName(d.Recv.List[0].Type); ast.IsExported(receiver) && d.Name.IsExported() {
			n.all = append(n.all, receiver+"."+name)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				n.add(spec.Name.Name)
				if spec.Name.IsExported() {
					n.members(spec.Type)
				}
			case *ast.ValueSpec:
				for _, name := range spec.Names {
					n.add(name.Name)
				}
			}
		}
	}
}

func (n *names) add(name string) {
	if ast.IsExported(name) {
		n.all = append(n.all, name)
	}
}

func (n *names) members(t ast.Expr) {
	var list *ast.FieldList
	switch t := t.(type) {
	case *ast.StructType:
		list = t.Fields
	case *ast.InterfaceType:
		list = t.Methods
	default:
		return
	}
	for _, field := range list.List {
		for _, name := range field.Names {
			if name.IsExported() {
				n.fields++
			}
		}
	}
}

// typeName returns the name of the type of a receiver.
func typeName(t ast.Expr) string {
	switch t := t.(type) {
	case *ast.StarExpr:
		return typeName(t.X)
	case *ast.IndexExpr:
		return typeName(t.X)
	case *ast.Ident:
		return t.Name
	default:
		return ""
	}
}

func TestPackageSessionsExportsLittle(t *testing.T) {
	t.Parallel()
	fsys := os.DirFS(repoRoot(t))
	sum, fields := 0, 0
	for _, folder := range published {
		n, err := exportedNames(fsys, folder)
		if err != nil {
			t.Fatal(err)
		}
		if folder == "sessions" && len(n.all) > maxNames {
			t.Errorf("sessions exports %d names, at most %d are allowed", len(n.all), maxNames)
		}
		t.Logf("%s: %d names, %d fields", folder, len(n.all), n.fields)
		if strings.HasPrefix(folder, "sessions") {
			sum, fields = sum+len(n.all), fields+n.fields
		}
	}
	t.Logf("sessions/...: %d names, %d fields", sum, fields)
}

// A name that no page, no Example and no other package mentions is one that nobody needs,
// or one that nobody finds.
func TestEveryNameOfPackageSessionsIsMentioned(t *testing.T) {
	t.Parallel()
	fsys := os.DirFS(repoRoot(t))
	n, err := exportedNames(fsys, "sessions")
	if err != nil {
		t.Fatal(err)
	}
	mentioned := map[string]bool{}
	err = fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			if name != "." && strings.HasPrefix(entry.Name(), ".") || entry.Name() == "node_modules" {
				return fs.SkipDir
			}
			return nil
		}
		text, err := mentions(fsys, name)
		for _, word := range identifier.FindAllString(text, -1) {
			mentioned[word] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range n.all {
		short := name[strings.LastIndex(name, ".")+1:]
		if !mentioned[short] && !slices.Contains(byContract, short) {
			t.Errorf("sessions.%s is in no page, no Example and no other package", name)
		}
	}
}

var identifier = regexp.MustCompile(`[A-Za-z_][A-Za-z0-9_]*`)

// mentions returns the part of a file that shows names of package sessions to others.
func mentions(fsys fs.FS, name string) (string, error) {
	page := name == "README.md" || path.Dir(name) == "docs" && path.Ext(name) == ".md"
	if !page && path.Ext(name) != ".go" || path.Dir(name) == "internal/archtest" {
		return "", nil
	}
	source, err := fs.ReadFile(fsys, name)
	if err != nil || page {
		return string(source), err
	}
	if !strings.HasSuffix(name, "_test.go") {
		if path.Dir(name) == "sessions" {
			return "", nil
		}
		return string(source), nil
	}
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, name, source, 0)
	if err != nil {
		return "", err
	}
	var examples strings.Builder
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && strings.HasPrefix(f.Name.Name, "Example") {
			examples.Write(source[files.Position(f.Pos()).Offset:files.Position(f.End()).Offset])
		}
	}
	return examples.String(), nil
}
