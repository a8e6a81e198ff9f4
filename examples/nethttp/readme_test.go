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
	// The comment above it is for those who read the file.
	_, code, found := strings.Cut(string(program), "\npackage main\n")
	if !found {
		t.Fatal("main.go has no line \"package main\"")
	}
	_, block, found := strings.Cut(string(readme), "\n```go\npackage main\n")
	if !found {
		t.Fatal("README.md has no ```go block that starts with \"package main\"; it has to show examples/nethttp/main.go")
	}
	if block, _, _ = strings.Cut(block, "```\n"); block != code {
		t.Errorf("README.md shows another program than examples/nethttp/main.go. Put there:\n\npackage main\n%s", code)
	}
}
