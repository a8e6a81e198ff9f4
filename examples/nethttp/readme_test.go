package main

import (
	"os"
	"strings"
	"testing"
)

// The code that README.md and docs/getting-started.md show is the one that is compiled and
// tested here.
func TestThePagesShowThisProgram(t *testing.T) {
	t.Parallel()
	program, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(string(program), "\n"); lines >= 100 {
		t.Errorf("main.go has %d lines; the smallest host has fewer than 100", lines)
	}
	// The comment above the package clause is for those who read the file.
	_, all, found := strings.Cut(string(program), "\npackage main\n")
	if !found {
		t.Fatal("main.go has no line \"package main\"")
	}
	_, routes, found := strings.Cut(string(program), "\nfunc routes(")
	routes, _, closed := strings.Cut(routes, "\n}\n")
	if !found || !closed {
		t.Fatal("main.go has no func routes")
	}
	for page, code := range map[string]string{
		"README.md":               "func routes(" + routes + "\n}\n",
		"docs/getting-started.md": "package main\n" + all,
	} {
		text, err := os.ReadFile("../../" + page)
		if err != nil {
			t.Fatal(err)
		}
		_, block, _ := strings.Cut(string(text), "\n```go\n")
		if block, _, _ = strings.Cut(block, "```\n"); block != code {
			t.Errorf("the first Go code of %s is not that of examples/nethttp/main.go. Put there:\n\n%s", page, code)
		}
	}
}
