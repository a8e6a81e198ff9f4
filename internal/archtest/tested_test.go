package archtest

import (
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// TestEveryFileNamesItsTests checks that a reader of a file of sessions finds its tests: in
// a file of its name, or in the files and packages of a line "Tested in … and ….".
func TestEveryFileNamesItsTests(t *testing.T) {
	t.Parallel()
	faults, files, err := untested(os.DirFS(repoRoot(t)), "sessions")
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range faults {
		t.Error(fault)
	}
	if files < 30 {
		t.Errorf("looked at %d files", files)
	}
}

var (
	testedIn = regexp.MustCompile(`(?m)^// Tested in (.+)\.$`)
	aTest    = regexp.MustCompile(`\w+_test\.go|packages? .+`)
	words    = regexp.MustCompile(`\w+`)
)

// untested returns a line for each file of dir without tests, and the number of files.
func untested(fsys fs.FS, dir string) (faults []string, files int, err error) {
	withTests := map[string]bool{} // names of folders and paths of files
	err = fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git") {
			return fs.SkipDir
		}
		if strings.HasSuffix(name, "_test.go") {
			withTests[name], withTests[path.Base(path.Dir(name))] = true, true
		}
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	names, err := fs.Glob(fsys, path.Join(dir, "*.go"))
	if err != nil {
		return nil, 0, err
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") || path.Base(name) == "doc.go" {
			continue
		}
		files++
		src, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, 0, err
		}
		line := testedIn.FindSubmatch(src)
		own := withTests[strings.TrimSuffix(name, ".go")+"_test.go"]
		switch {
		case line == nil && !own:
			faults = append(faults, name+`: has no test file of its name and no line "// Tested in …."`)
			continue
		case line == nil:
			continue
		}
		for _, where := range aTest.FindAllString(string(line[1]), -1) {
			if list, ok := strings.CutPrefix(where, "package"); ok {
				for _, p := range words.FindAllString(strings.TrimPrefix(list, "s "), -1) {
					if p != "and" && !withTests[p] {
						faults = append(faults, name+": package "+p+" has no tests")
					}
				}
			} else if !withTests[path.Join(dir, where)] {
				faults = append(faults, name+": there is no "+where)
			}
		}
	}
	return faults, files, nil
}

func TestUntestedFindsWhatHasNoTests(t *testing.T) {
	t.Parallel()
	fsys := fstest.MapFS{}
	for name, src := range map[string]string{
		"p/doc.go":       "package p\n",
		"p/a.go":         "package p\n",
		"p/a_test.go":    "package p\n",
		"p/b.go":         "package p\n\n// Tested in a_test.go and in packages q and r.\n",
		"p/c.go":         "package p\n\n// Tested in package q.\n",
		"p/d.go":         "package p\n",
		"p/e.go":         "package p\n\n// Tested in d_test.go and in package s.\n",
		"x/q/a_test.go":  "package q\n",
		"r/a_test.go":    "package r\n",
		"x/s/s.go":       "package s\n",
		"p/q/a_test.txt": "",
	} {
		fsys[name] = &fstest.MapFile{Data: []byte(src)}
	}
	faults, files, err := untested(fsys, "p")
	want := []string{
		`p/d.go: has no test file of its name and no line "// Tested in …."`,
		"p/e.go: there is no d_test.go", "p/e.go: package s has no tests",
	}
	if err != nil || files != 5 || !slices.Equal(faults, want) {
		t.Errorf("got %q in %d files and error %v, want %q", faults, files, err, want)
	}
}
