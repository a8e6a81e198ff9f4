package main

import (
	"os"
	"strings"
	"testing"
)

// The program that README.md shows is the one that is compiled and tested here.
func TestReadmeShowsThisProgram(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(string(program), "\n"); lines >= 60 {
		t.Errorf("main.go has %d lines; the smallest host has fewer than 60", lines)
	}
	for rest, found := string(readme), true; found; {
		var block string
		_, rest, found = strings.Cut(rest, "\n```go\n")
		block, rest, _ = strings.Cut(rest, "\n```\n")
		if !strings.Contains("\n"+block+"\n", "\npackage main\n") {
			continue
		}
		if block+"\n" != string(program) {
			t.Errorf("README.md shows another program than examples/nethttp/main.go, which is:\n\n%s", program)
		}
		return
	}
	t.Errorf("README.md has no ```go block with \"package main\"; it has to show examples/nethttp/main.go:\n\n%s", program)
}
