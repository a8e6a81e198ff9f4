package storetest_test

import (
	"strconv"
	"strings"

	"github.com/sessile-go/sessile/sessions"
)

func brokenUsers() []broken {
	return []broken{
		{"everybody sees everything", owner(func(string, string) bool { return true }), []string{
			"users/each sees only their own sessions", "users/ending one's own ends nobody else's",
			"users/nobody ends another's session", "users/a pattern matches nobody",
		}},
		{"user ids have no case", owner(strings.EqualFold), []string{
			"users/each sees only their own sessions", "users/ending one's own ends nobody else's",
			"users/nobody ends another's session", "users/a pattern matches nobody",
		}},
		{"user ids are compared with LIKE", owner(like), []string{
			"users/each sees only their own sessions", "users/ending one's own ends nobody else's",
			"users/a pattern matches nobody",
		}},
		{"user ids are padded with spaces", owner(func(row, asked string) bool {
			return strings.TrimRight(row, " ") == strings.TrimRight(asked, " ")
		}), []string{"users/each sees only their own sessions", "users/ending one's own ends nobody else's"}},
		{"user ids are normalised", owner(func(row, asked string) bool {
			compose := strings.NewReplacer("e\u0301", "é", "A\u030a", "Å", "\u212b", "Å")
			return compose.Replace(row) == compose.Replace(asked)
		}), []string{"users/each sees only their own sessions", "users/ending one's own ends nobody else's"}},
		{"user ids are compared as numbers", owner(func(row, asked string) bool {
			a, errA := strconv.ParseFloat(row, 64)
			b, errB := strconv.ParseFloat(asked, 64)
			return row == asked || errA == nil && errB == nil && a == b
		}), []string{"users/each sees only their own sessions"}},
		{"user ids are compared by their first 254 bytes", owner(func(row, asked string) bool {
			return row[:min(len(row), 254)] == asked[:min(len(asked), 254)]
		}), []string{"users/each sees only their own sessions"}},
		{"user ids are compared by prefix", owner(strings.HasPrefix), []string{
			"users/each sees only their own sessions",
		}},
	}
}

func owner(same func(row, asked string) bool) func() sessions.Store {
	return part(func(p *parts) { p.owner = same })
}

// like is LIKE of SQLite, which folds the case.
func like(text, pattern string) bool {
	text, pattern = strings.ToLower(text), strings.ToLower(pattern)
	if pattern == "" {
		return text == ""
	}
	rest := []rune(text)
	for i, p := range pattern {
		switch {
		case p == '%':
			for j := range len(rest) + 1 {
				if like(string(rest[j:]), pattern[i+1:]) {
					return true
				}
			}
			return false
		case len(rest) == 0, p != '_' && p != rest[0]:
			return false
		}
		rest = rest[1:]
	}
	return len(rest) == 0
}
