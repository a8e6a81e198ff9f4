package docs_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// pages are the files that people read, by their paths below root.
func pages(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md"} {
		names, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			page, err := filepath.Rel(root, name)
			if err != nil {
				t.Fatal(err)
			}
			found[filepath.ToSlash(page)] = string(text)
		}
	}
	if len(found) < 10 {
		t.Fatalf("found only %d pages", len(found))
	}
	return found
}

// sources are the lines of every file of the repository with one of the extensions, by path.
func sources(t *testing.T, extensions ...string) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch name := entry.Name(); {
		case err != nil:
			return err
		case entry.IsDir() && path != root && (name == "node_modules" || name == "testdata" || name[0] == '.'):
			return filepath.SkipDir
		case entry.IsDir() || !slices.Contains(extensions, filepath.Ext(name)):
			return nil
		}
		text, err := os.ReadFile(path)
		found[path] = strings.Split(string(text), "\n")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// block is the text between two fences of a page.
type block struct {
	language string
	line     int
	lines    []string
}

func blocks(page string) (found []block) {
	open := false
	for i, line := range strings.Split(page, "\n") {
		language, isFence := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case isFence && !open:
			found = append(found, block{language: language, line: i + 2})
			open = true
		case isFence:
			open = false
		case open:
			last := &found[len(found)-1]
			last.lines = append(last.lines, line)
		}
	}
	return found
}

// isExcerpt reports whether the paragraphs of want stand in file in their order. Both may be
// indented differently, and other code may stand between two paragraphs.
func isExcerpt(want, file []string) bool {
	from := 0
	for _, paragraph := range paragraphs(want) {
		at := find(paragraph, file, from)
		if at < 0 {
			return false
		}
		from = at + len(paragraph)
	}
	return true
}

func paragraphs(lines []string) (found [][]string) {
	var last []string
	for _, line := range append(slices.Clone(lines), "") {
		switch {
		case line != "":
			last = append(last, line)
		case len(last) > 0:
			found, last = append(found, last), nil
		}
	}
	return found
}

// find returns the line of file at which paragraph begins, from a line on, or -1.
func find(paragraph, file []string, from int) int {
	for at := from; at+len(paragraph) <= len(file); at++ {
		indent, matches := strings.CutSuffix(file[at], strings.TrimLeft(paragraph[0], "\t"))
		if !matches || strings.Trim(indent, "\t") != "" {
			continue
		}
		outer := len(indent) - (len(paragraph[0]) - len(strings.TrimLeft(paragraph[0], "\t")))
		if outer < 0 {
			continue
		}
		same := true
		for i, line := range paragraph {
			same = same && file[at+i] == strings.Repeat("\t", outer)+line
		}
		if same {
			return at
		}
	}
	return -1
}

// What a reader copies from a page compiles, because a file that is compiled has it.
func TestEveryBlockOfCodeIsAnExcerpt(t *testing.T) {
	t.Parallel()
	files := map[string]map[string][]string{"go": sources(t, ".go"), "js": sources(t, ".mjs")}
	blocksOf := map[string]int{}
	for page, text := range pages(t) {
		for _, b := range blocks(text) {
			if files[b.language] == nil {
				continue
			}
			blocksOf[b.language]++
			found := false
			for _, file := range files[b.language] {
				found = found || isExcerpt(b.lines, file)
			}
			if !found {
				t.Errorf("%s:%d: no file has this %s code:\n%s", page, b.line, b.language, strings.Join(b.lines, "\n"))
			}
		}
	}
	if blocksOf["go"] < 20 || blocksOf["js"] < 1 {
		t.Errorf("found only these blocks of code: %v", blocksOf)
	}
}

func TestIsExcerpt(t *testing.T) {
	t.Parallel()
	file := strings.Split("package a\n\nfunc f() {\n\tif ok {\n\t\tone()\n\n\t\ttwo()\n\t}\n}\n", "\n")
	for text, want := range map[string]bool{
		"func f() {\n\tif ok {\n\t\tone()": true,
		"if ok {\n\tone()":                 true,
		"one()\n\ntwo()":                   true,
		"two()\n}":                         false, // the brace is further out
		"\ttwo()\n}":                       true,
		"two()\n\none()":                   false,
		"if ok {\none()":                   false,
		"three()":                          false,
		"one() // and more":                false,
	} {
		if got := isExcerpt(strings.Split(text, "\n"), file); got != want {
			t.Errorf("%q: %t", text, got)
		}
	}
}

var (
	inline  = regexp.MustCompile("`[^`\n]*`")
	links   = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	letters = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// anchors are the names that GitHub gives to the headings of a page.
func anchors(page string) map[string]bool {
	found := map[string]bool{}
	for _, b := range blocks(page) { // a comment of a shell looks like a heading
		page = strings.Replace(page, strings.Join(b.lines, "\n"), "", 1)
	}
	for _, m := range heading.FindAllStringSubmatch(page, -1) {
		name := strings.ReplaceAll(letters.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-")
		unique := name
		for n := 1; found[unique]; n++ {
			unique = fmt.Sprintf("%s-%d", name, n)
		}
		found[unique] = true
	}
	return found
}

func TestEveryLinkLeadsSomewhere(t *testing.T) {
	t.Parallel()
	all, checked := pages(t), 0
	for page, text := range all {
		for _, m := range links.FindAllStringSubmatch(inline.ReplaceAllString(text, ""), -1) {
			link := m[1]
			if strings.Contains(link, "://") || strings.HasPrefix(link, "mailto:") {
				continue
			}
			checked++
			path, anchor, _ := strings.Cut(link, "#")
			target := page
			if path != "" {
				target = filepath.ToSlash(filepath.Join(filepath.Dir(page), path))
			}
			if _, err := os.Stat(filepath.Join(root, target)); err != nil {
				t.Errorf("%s: there is no %s", page, link)
			} else if text, isPage := all[target]; isPage && anchor != "" && !anchors(text)[anchor] {
				t.Errorf("%s: %s has no heading #%s", page, target, anchor)
			}
		}
	}
	if checked < 40 {
		t.Errorf("checked only %d links", checked)
	}
}

// README is what a visitor reads in five minutes.
func TestReadmeIsShort(t *testing.T) {
	t.Parallel()
	readme := pages(t)["README.md"]
	if lines := strings.Count(readme, "\n"); lines > 150 {
		t.Errorf("README.md has %d lines, 150 at most", lines)
	}
	for _, b := range blocks(readme) {
		if b.language != "go" {
			continue
		}
		if len(b.lines) > 25 {
			t.Errorf("README.md:%d: the code has %d lines, 25 at most", b.line, len(b.lines))
		}
		return
	}
	t.Error("README.md has no Go code")
}
