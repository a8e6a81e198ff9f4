package core

import (
	"regexp"
	"strconv"
	"strings"
)

// statement is a text for the database with the names of its arguments, in the order of
// their positions.
type statement struct {
	text  string
	names []string
}

// named are arguments by name.
type named = map[string]any

var argument = regexp.MustCompile(`@[a-z_]+`)

// compile replaces the names of arguments, written @name, by positions in the order in
// which they first appear. Postgres has positions only, and the drivers of SQLite take $1
// for the first argument, too.
func compile(text string) statement {
	var s statement
	at := map[string]string{}
	s.text = argument.ReplaceAllStringFunc(text, func(name string) string {
		if at[name] == "" {
			s.names = append(s.names, name[1:])
			at[name] = "$" + strconv.Itoa(len(s.names))
		}
		return at[name]
	})
	return s
}

// bind returns the arguments in the order of their positions.
func (s statement) bind(args named) []any {
	all := make([]any, len(s.names))
	for i, name := range s.names {
		all[i] = args[name]
	}
	return all
}

// forms are a statement with optional parts, written [[part]]. There is one for each
// choice of parts, so that none is put together when it is needed.
type forms []statement

func newForms(text string) forms {
	before, rest, optional := strings.Cut(text, "[[")
	if !optional {
		return forms{compile(text)}
	}
	part, after, _ := strings.Cut(rest, "]]")
	var all forms
	without, with := newForms(before+after), newForms(before+part+after)
	for i := range without {
		all = append(all, without[i], with[i])
	}
	return all
}

// with returns the form that has the given parts. Parts that are not mentioned are left
// out.
func (f forms) with(parts ...bool) statement {
	i := 0
	for bit, in := range parts {
		if in {
			i |= 1 << bit
		}
	}
	return f[i]
}
