package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"unicode/utf8"
)

// The list of words is a table of this page, so that people read what the test reads.
const (
	listPage    = "CONTRIBUTING.md"
	listHeading = "## Language"
)

// columns is how long a line may be. A tab counts as tabWidth.
const (
	columns  = 120
	tabWidth = 4
)

// TestLanguage holds every sentence that somebody else reads to the list of words in
// CONTRIBUTING.md: comments, the texts of errors and logs, pages and examples.
func TestLanguage(t *testing.T) {
	t.Parallel()
	fsys := os.DirFS(repoRoot(t))
	list, err := readList(fsys)
	if err != nil {
		t.Fatal(err)
	}
	faults, looked, err := checkLanguage(fsys, list)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range faults {
		t.Error(f)
	}
	for _, name := range []string{
		"README.md", "CHANGELOG.md", "docs/security.md", "sessions/openapi.yaml", "sessions/doc.go", "store/store.go",
		"proof/doc.go",
		"middleware/echov5/echov5.go", "examples/sqlite/pages/sign-in.html", "interop/doc.go",
	} {
		if !slices.Contains(looked, name) {
			t.Errorf("has not looked at %s", name)
		}
	}
}

// fault is a word of the list, or a line that is too long.
type fault struct {
	file string
	line int
	what string
}

func (f fault) String() string { return fmt.Sprintf("%s:%d: %s", f.file, f.line, f.what) }

// entry is a row of the list: what to avoid, what to write, and phrases that are fine.
type entry struct {
	not     *regexp.Regexp
	instead string
	fine    []*regexp.Regexp
}

// readList reads the table below the heading. Phrases are in backquotes.
func readList(fsys fs.FS) ([]entry, error) {
	page, err := fs.ReadFile(fsys, listPage)
	if err != nil {
		return nil, err
	}
	_, section, ok := strings.Cut(string(page), "\n"+listHeading+"\n")
	if !ok {
		return nil, fmt.Errorf("%s has no %q", listPage, listHeading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var list []entry
	for row := range strings.Lines(section) {
		cells := strings.Split(row, "|")
		if len(cells) != 5 || !strings.Contains(cells[1], "`") {
			continue
		}
		not := phrases(cells[1])
		if len(not) != 1 {
			return nil, fmt.Errorf("%s: want one phrase in %q", listPage, cells[1])
		}
		list = append(list, entry{not[0], strings.TrimSpace(cells[2]), phrases(cells[3])})
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s: no words below %q", listPage, listHeading)
	}
	return list, nil
}

var inBackquotes = regexp.MustCompile("`([^`]+)`")

// phrases compiles what stands in backquotes: words, one "/" between those of which any
// is meant, and "…" for a few words. The first letter may be a capital; WHERE is SQL.
func phrases(cell string) []*regexp.Regexp {
	var all []*regexp.Regexp
	for _, m := range inBackquotes.FindAllStringSubmatch(cell, -1) {
		var b strings.Builder
		b.WriteString(`\b`)
		for i, word := range strings.Fields(m[1]) {
			if word == "…" {
				b.WriteString(`(?:\s+[^\s.;:]+){1,5}`)
				continue
			}
			if i > 0 {
				b.WriteString(`\s+`)
			}
			var words []string
			for w := range strings.SplitSeq(word, "/") {
				_, n := utf8.DecodeRuneInString(w)
				w = "[" + w[:n] + strings.ToUpper(w[:n]) + "]" + regexp.QuoteMeta(w[n:])
				words = append(words, strings.ReplaceAll(w, "'", "['’]"))
			}
			b.WriteString("(?:" + strings.Join(words, "|") + ")")
		}
		b.WriteString(`\b`)
		all = append(all, regexp.MustCompile(b.String()))
	}
	return all
}

// find returns the faults of a text whose first line has the number line.
func find(list []entry, file string, line int, text string) []fault {
	var faults []fault
	for _, e := range list {
		var fine [][]int
		for _, re := range e.fine {
			fine = append(fine, re.FindAllStringIndex(text, -1)...)
		}
		for _, hit := range e.not.FindAllStringIndex(text, -1) {
			if slices.ContainsFunc(fine, func(f []int) bool { return f[0] <= hit[0] && hit[1] <= f[1] }) {
				continue
			}
			around := text[max(0, hit[0]-40):min(len(text), hit[1]+40)]
			what := fmt.Sprintf("%q in %q; write %s", text[hit[0]:hit[1]], strings.ToValidUTF8(around, ""), e.instead)
			faults = append(faults, fault{file, line + strings.Count(text[:hit[0]], "\n"), what})
		}
	}
	return faults
}

// checkLanguage looks at every file that has sentences, those of nested modules
// included, and returns their names as well.
func checkLanguage(fsys fs.FS, list []entry) (faults []fault, looked []string, err error) {
	err = fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := path.Base(name)
		if d.IsDir() {
			if name != "." && (base[0] == '.' || base == "testdata" || base == "node_modules" || name == "bin") {
				return fs.SkipDir
			}
			return nil
		}
		ext := path.Ext(name)
		if !slices.Contains([]string{".go", ".md", ".html", ".yaml"}, ext) || base[0] == '.' {
			return nil
		}
		src, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		looked = append(looked, name)
		faults = append(faults, tooLong(name, string(src))...)
		switch ext {
		case ".go":
			more, err := findInGo(list, name, src)
			if err != nil {
				return err
			}
			faults = append(faults, more...)
		case ".md":
			faults = append(faults, find(list, name, 1, withoutTheList(name, withoutCode(string(src))))...)
		default:
			faults = append(faults, find(list, name, 1, string(src))...)
		}
		return nil
	})
	return faults, looked, err
}

// findInGo looks at the comments and, but in tests, at strings of more than one word.
func findInGo(list []entry, name string, src []byte) ([]fault, error) {
	fset := token.NewFileSet()
	parsed, err := parser.ParseFile(fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	var faults []fault
	for _, group := range parsed.Comments {
		lines := make([]string, len(group.List))
		for i, c := range group.List {
			if !strings.HasPrefix(c.Text, "//go:") {
				lines[i] = strings.Trim(c.Text, "/*")
			}
		}
		faults = append(faults, find(list, name, fset.Position(group.Pos()).Line, strings.Join(lines, "\n"))...)
	}
	if strings.HasSuffix(name, "_test.go") {
		return faults, nil
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		lit, ok := n.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			return true
		}
		if text, err := strconv.Unquote(lit.Value); err == nil && strings.ContainsAny(text, " \n") {
			faults = append(faults, find(list, name, fset.Position(lit.Pos()).Line, text)...)
		}
		return true
	})
	return faults, nil
}

var spans = regexp.MustCompile("`[^`\n]+`")

// withoutCode blanks what a page has in backquotes: a name is no prose.
func withoutCode(page string) string {
	return spans.ReplaceAllStringFunc(page, func(s string) string { return strings.Repeat("`", len(s)) })
}

// withoutTheList blanks the rows of the list.
func withoutTheList(name, page string) string {
	before, section, ok := strings.Cut(page, "\n"+listHeading+"\n")
	if name != listPage || !ok {
		return page
	}
	section, after, _ := strings.Cut(section, "\n## ")
	var b strings.Builder
	for line := range strings.Lines(section) {
		if line[0] == '|' {
			line = "\n"
		}
		b.WriteString(line)
	}
	return before + "\n" + listHeading + "\n" + b.String() + "\n## " + after
}

// tooLong returns the lines of Go and prose that are too long. Those that could not be
// shorter are left out: a row of a table, and a line whose longest word is most of it.
func tooLong(name, src string) []fault {
	if path.Ext(name) == ".html" {
		return nil
	}
	var faults []fault
	n := 0
	for line := range strings.Lines(src) {
		n++
		line = strings.TrimSuffix(line, "\n")
		long := utf8.RuneCountInString(line) + (tabWidth-1)*strings.Count(line, "\t")
		if long <= columns || path.Ext(name) == ".md" && strings.HasPrefix(line, "|") {
			continue
		}
		longest := 0
		for word := range strings.FieldsSeq(line) {
			longest = max(longest, utf8.RuneCountInString(word))
		}
		if longest < columns-20 {
			faults = append(faults, fault{name, n, fmt.Sprintf("%d columns, more than %d", long, columns)})
		}
	}
	return faults
}

// TestTheListFindsWhatItNames holds the reading of the list, and what is no fault.
func TestTheListFindsWhatItNames(t *testing.T) {
	t.Parallel()
	page := "# A\n\nbeside\n\n" + listHeading + "\n\nHow to write.\n\n| not | but | fine |\n|---|---|---|\n" +
		"| `where` | *if* | `is/says where`, `where … lives` |\n| `beside/besides` | next to | |\n| `of ours` | our " +
		"| |\n\n## After\n\nof ours\n"
	files := fstest.MapFS{
		listPage: {Data: []byte(page)},
		"a.go": {Data: []byte("// Package a says where it is.\n//\n//go:generate beside\npackage a\n\n// b is one " +
			"of\n// ours.\nvar b = \"beside\"\n\n" +
			"/*\nc, Where it is set,\n*/\nvar c = \"SELECT 1 WHERE 2 beside 3\" // where the code of c lives\n\nvar " +
			"d = `beside\nit`\n")},
		"a_test.go": {Data: []byte("package a\n\nvar e = \"one beside the other\" // besides\n")},
		"b.md": {
			Data: []byte("`where` is a word\n\nWhere it\nis set\n\n| a | " + strings.Repeat("b ", 80) + "|\n" +
				strings.Repeat("b ", 80) + "\n"),
		},
		"c.html": {Data: []byte("<p>beside" + strings.Repeat(" b", 80) + "\n")},
		"d.yaml": {
			Data: []byte("a: somewhere\nb: wherever\nc: WHERE\n# https://example.org/" +
				strings.Repeat("b", 120) + "\n"),
		},
		"testdata/a.md": {Data: []byte("beside\n")},
		".ci/a.md":      {Data: []byte("beside\n")},
		"w.go": {
			Data: []byte("package w\n\n" + strings.Repeat("\t", 20) + "var w = \"" + strings.Repeat("w ", 18) + "\"\n"),
		},
	}
	list, err := readList(files)
	if err != nil {
		t.Fatal(err)
	}
	faults, looked, err := checkLanguage(files, list)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range faults {
		found, _, _ := strings.Cut(f.String(), " in ")
		got = append(got, strings.ReplaceAll(found, `\n `, " "))
	}
	slices.Sort(got)
	want := []string{
		`CONTRIBUTING.md:17: "of ours"`, `CONTRIBUTING.md:3: "beside"`,
		`a.go:11: "Where"`, `a.go:13: "beside"`, `a.go:15: "beside"`, `a.go:6: "of ours"`,
		`a_test.go:3: "besides"`,
		`b.md:3: "Where"`, `b.md:7: 160 columns, more than 120`,
		`c.html:1: "beside"`,
		`w.go:3: 126 columns, more than 120`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if len(looked) != 7 {
		t.Errorf("looked at %v", looked)
	}
	for name, page := range map[string]string{
		"no page":       "",
		"no list":       "# A\n\n" + listHeading + "\n\nHow to write.\n",
		"no phrase":     "# A\n\n" + listHeading + "\n\n| a ` b | c | |\n",
		"two in a cell": "# A\n\n" + listHeading + "\n\n| `a`, `b` | c | |\n",
	} {
		if _, err := readList(fstest.MapFS{listPage: {Data: []byte(page)}}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
