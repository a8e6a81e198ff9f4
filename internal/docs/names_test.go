package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// packages are those whose names the pages use.
var packages = []string{
	"sessions", "sessions/sessionstest", "sessions/storetest", "store", "store/sqlstore",
	"middleware", "middleware/echov4", "middleware/echov5",
}

// foreign are names of other packages, and words that look like names.
var foreign = []string{
	"ClientID", "CookieStore", "CrossOriginProtection", "DryRun", "HTTPErrorHandler", "HttpOnly", "IPExtractor",
	"MaxAge", "PrepareStmt", "RealIP", "RemoteAddr", "RenewToken", "ResponseController", "ResponseWriter", "SameSite",
	"SetMaxOpenConns", "SetPathValue",
}

// exported are the names of our packages: "Manager", "Manager.Create" and "Create".
func exported(t *testing.T) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	add := func(pkg, owner, name string) {
		if !ast.IsExported(name) || owner != "" && !ast.IsExported(owner) {
			return
		}
		found[name] = true
		if owner == "" {
			found[pkg+"."+name] = true
			return
		}
		found[owner+"."+name], found[pkg+"."+owner+"."+name] = true, true
	}
	for _, dir := range packages {
		names, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, decl := range file.Decls {
				addDecl(file.Name.Name, decl, add)
			}
		}
	}
	return found
}

func addDecl(pkg string, decl ast.Decl, add func(pkg, owner, name string)) {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		owner := ""
		if d.Recv != nil {
			receiver := d.Recv.List[0].Type
			if star, isStar := receiver.(*ast.StarExpr); isStar {
				receiver = star.X
			}
			if named, isNamed := receiver.(*ast.Ident); isNamed {
				owner = named.Name
			}
		}
		add(pkg, owner, d.Name.Name)
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.ValueSpec:
				for _, name := range s.Names {
					add(pkg, "", name.Name)
				}
			case *ast.TypeSpec:
				add(pkg, "", s.Name.Name)
				addMembers(pkg, s, add)
			}
		}
	}
}

func addMembers(pkg string, s *ast.TypeSpec, add func(pkg, owner, name string)) {
	var members *ast.FieldList
	switch underlying := s.Type.(type) {
	case *ast.StructType:
		members = underlying.Fields
	case *ast.InterfaceType:
		members = underlying.Methods
	default:
		return
	}
	for _, member := range members.List {
		for _, name := range member.Names {
			add(pkg, s.Name.Name, name.Name)
		}
	}
}

var (
	// ours are names that say to whom they belong, such as Manager.Create and sessions.Config.Users.
	ours = regexp.MustCompile("`(?:manager|kit|m|h|handler)?\\.?((?:[a-z][a-z0-9]*\\.)?[A-Z]\\w*(?:\\.[A-Z]\\w*)*)")
	// camels are names that look like Go, because they have capitals inside.
	camels = regexp.MustCompile(`^[A-Z]+[a-z]+[A-Z]\w*$|^[A-Z][a-z]+[A-Z]+\w*$`)
)

// unknown returns the names on a page that look like ours and that no package has.
func unknown(page string, known map[string]bool) (names []string) {
	for _, m := range ours.FindAllStringSubmatch(page, -1) {
		name := m[1]
		first, _, dotted := strings.Cut(name, ".")
		isOurs := slices.ContainsFunc(packages, func(dir string) bool { return filepath.Base(dir) == first }) ||
			dotted && known[first]
		isCamel := !dotted && camels.MatchString(name) && !slices.Contains(foreign, name)
		if (isOurs || isCamel) && !known[name] {
			names = append(names, name)
		}
	}
	return names
}

// A page must not name what the packages no longer have.
func TestEveryNameExists(t *testing.T) {
	t.Parallel()
	known, checked := exported(t), 0
	for page, text := range pages(t) {
		if page == "CHANGELOG.md" { // it names what was removed
			continue
		}
		for _, b := range blocks(text) {
			text = strings.Replace(text, strings.Join(b.lines, "\n"), "", 1)
		}
		checked += len(ours.FindAllString(text, -1))
		for _, name := range unknown(text, known) {
			t.Errorf("%s: nothing is called %s", page, name)
		}
	}
	if checked < 100 {
		t.Errorf("checked only %d names", checked)
	}
}

func TestUnknown(t *testing.T) {
	t.Parallel()
	known := map[string]bool{"Manager": true, "Manager.Create": true, "sessions.Manager": true, "EndMany": true}
	for text, want := range map[string]string{
		"`Manager.Create`": "", "`sessions.Manager`": "", "`EndMany(ctx)`": "", "`GET`": "", "`http.Server`": "",
		"`Authorization`": "", "`Manager.Make`": "Manager.Make", "`sessions.Gone`": "sessions.Gone",
		"`NoSuchThing`": "NoSuchThing", "`sessions.Manager.Make`": "sessions.Manager.Make", "`ResponseWriter`": "",
	} {
		if got := strings.Join(unknown(text, known), " "); got != want {
			t.Errorf("%s: %q", text, got)
		}
	}
}
