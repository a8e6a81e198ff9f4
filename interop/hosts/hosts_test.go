package hosts

import (
	"context"
	"debug/buildinfo"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write testdata/hosts.golden")

const (
	module     = "github.com/sessile-go/sessile"
	goldenFile = "testdata/hosts.golden"
	// patience bounds a build on a machine that has nothing in its caches.
	patience = 10 * time.Minute
)

// hosts are the programs, each with what its own go.mod requires.
var hosts = []struct {
	name     string
	requires []string
	// limits of the host with sessile, if not 0
	maxBytes, maxModules int
}{
	{"pq", []string{"github.com/lib/pq"}, 12 << 20, 3},
	{"echov4", []string{"github.com/labstack/echo/v4", "gorm.io/gorm", "gorm.io/driver/postgres"}, 0, 0},
	{"gin", []string{"github.com/gin-gonic/gin", "gorm.io/gorm", "gorm.io/driver/postgres"}, 0, 0},
}

// built is a host after go build.
type built struct {
	modules  []string // go list -m all
	linked   []string // the modules in the program
	packages []string // the packages in the program, those of the standard library left out
	bytes    int64
}

func TestHostsGainWhatWeRequire(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, h := range hosts {
		mod := "module host\n\ngo 1.25.0\n\n"
		for _, path := range h.requires {
			mod += "require " + run(t, ".", "go", "list", "-m", "-f", "{{.Path}} {{.Version}}", path)
		}
		plain, mod := build(t, filepath.Join(h.name, "plain"), mod)
		with, _ := build(t, filepath.Join(h.name, "with"),
			mod+"\nrequire "+module+" v0.0.0\n\nreplace "+module+" => "+root+"\n")

		fmt.Fprintf(&got, "%s: go list -m all\n%s", h.name, difference(plain.modules, with.modules))
		fmt.Fprintf(&got, "%s: linked modules\n%s", h.name, difference(plain.linked, with.linked))
		fmt.Fprintf(&got, "%s: linked packages\n%s", h.name, difference(plain.packages, with.packages))
		t.Logf("%s: %d bytes and %d linked modules without, %d bytes and %d linked modules with sessile",
			h.name, plain.bytes, len(plain.linked), with.bytes, len(with.linked))
		if h.maxBytes > 0 && with.bytes > int64(h.maxBytes) {
			t.Errorf("%s: %d bytes, more than %d", h.name, with.bytes, h.maxBytes)
		}
		if h.maxModules > 0 && len(with.linked) > h.maxModules {
			t.Errorf("%s: links %d modules, more than %d: %v", h.name, len(with.linked), h.maxModules, with.linked)
		}
	}
	if *update {
		if err := os.WriteFile(goldenFile, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("hosts gain\n%s\nwant\n%s\n(-update writes the file)", got.String(), want)
	}
}

// build makes a module of the program in the folder and builds it. It returns the go.mod
// as go mod tidy left it, too.
func build(t *testing.T, folder, mod string) (built, string) {
	t.Helper()
	dir := t.TempDir()
	program, err := os.ReadFile(filepath.Join(folder, "main.go"))
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"go.mod": mod, "main.go": string(program)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	run(t, dir, "go", "mod", "tidy")
	run(t, dir, "go", "build", "-trimpath", "-buildvcs=false", "-o", "host", ".")
	info, err := buildinfo.ReadFile(filepath.Join(dir, "host"))
	if err != nil {
		t.Fatal(err)
	}
	stat, err := os.Stat(filepath.Join(dir, "host"))
	if err != nil {
		t.Fatal(err)
	}
	b := built{bytes: stat.Size()}
	for _, dep := range info.Deps {
		b.linked = append(b.linked, dep.Path)
	}
	own := "{{if not .Main}}{{.Path}} {{.Version}}{{end}}"
	b.modules = strings.Fields(strings.ReplaceAll(run(t, dir, "go", "list", "-m", "-f", own, "all"), " ", "@"))
	foreign := "{{if not .Standard}}{{.ImportPath}}{{end}}"
	b.packages = strings.Fields(run(t, dir, "go", "list", "-deps", "-f", foreign, "."))
	tidied, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	return b, string(tidied)
}

// difference returns a line for each that only one of them has.
func difference(before, after []string) string {
	var lines []string
	for _, s := range before {
		if !slices.Contains(after, s) {
			lines = append(lines, "- "+s+"\n")
		}
	}
	for _, s := range after {
		if !slices.Contains(before, s) {
			lines = append(lines, "+ "+s+"\n")
		}
	}
	slices.SortFunc(lines, func(a, b string) int { return strings.Compare(a[2:], b[2:]) })
	return strings.Join(lines, "")
}

func run(t *testing.T, dir string, command ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off", "PWD="+dir)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s in %s: %v\n%s%s", strings.Join(command, " "), dir, err, out, stderr.String())
	}
	return string(out)
}
