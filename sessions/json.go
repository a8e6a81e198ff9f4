package sessions

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// This is a strict reader of JSON objects, for request bodies and claims. Beyond encoding/json's
// grammar it refuses what parsers disagree about, since a disagreement is how one value passes a
// check and another one is used (RFC 8725, section 2.6; RFC 8259, section 4): invalid UTF-8, lone
// surrogates, names that are there twice or differ only in case, and deep nesting. json/v2 can
// replace it when the go line allows.

const (
	maxJSONDepth = 16
	// maxJSONMembers bounds what an object costs beyond its own size. An access token has no room
	// for that many.
	maxJSONMembers = 512
)

// errNotObject is the error of valid JSON that is not an object.
var errNotObject = errors.New("must be a JSON object")

// jsonObject has the members of an object in their order.
type jsonObject []jsonMember

type jsonMember struct {
	// name is without quotes and escapes.
	name []byte
	// raw is the value as it is spelled.
	raw []byte
}

// parseObject reads an object. The raw values point into data. Only the members of the outermost
// object are kept, in a slice of the right size: anybody can send a body, and it must not cost much
// more than its own bytes.
func parseObject(data []byte) (jsonObject, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("is not UTF-8")
	}
	if tooDeep(data) {
		return nil, errTooDeep
	}
	if !json.Valid(data) {
		return nil, errors.New("is not valid JSON")
	}
	w := jsonWalker{data: data, names: make([]int32, 0, 32)}
	w.space()
	if data[w.pos] != '{' {
		return nil, errNotObject
	}
	start := w.pos
	count, err := w.object()
	if err != nil {
		return nil, err
	}
	w.pos = start
	return w.collect(count), nil
}

var errTooDeep = fmt.Errorf("is nested deeper than %d", maxJSONDepth)

// tooDeep reports whether data, if it is JSON, is nested too deep. It runs before json.Valid, which
// keeps a stack of up to 10,000 brackets.
func tooDeep(data []byte) bool {
	depth, quoted := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case c == '"':
			quoted = !quoted
		case quoted && c == '\\':
			i++ // the next byte does not end the string
		case quoted:
		case c == '[', c == '{':
			if depth++; depth > maxJSONDepth {
				return true
			}
		case c == ']', c == '}':
			depth--
		}
	}
	return false
}

// get returns the value of a member, or nil if it is not there.
func (o jsonObject) get(name string) []byte {
	for _, m := range o {
		if string(m.name) == name {
			return m.raw
		}
	}
	return nil
}

// text returns the string value of a member, or "" if it is missing or not a string.
func (o jsonObject) text(name string) string {
	s, _ := jsonString(o.get(name))
	return s
}

// is reports whether a member is the string want.
func (o jsonObject) is(name, want string) bool {
	s, ok := unquote(o.get(name))
	return ok && string(s) == want // without a copy
}

// jsonWalker walks over data that json.Valid has accepted, so it need not watch for the end of
// data, nor for anything that the grammar forbids.
type jsonWalker struct {
	data []byte
	pos  int
	// names holds the positions of the member names of the objects around pos, those of the
	// innermost object last.
	names []int32
}

func (w *jsonWalker) space() {
	for w.pos < len(w.data) {
		switch w.data[w.pos] {
		case ' ', '\t', '\n', '\r':
			w.pos++
		default:
			return
		}
	}
}

// object checks an object and skips it. It returns how many members it has.
func (w *jsonWalker) object() (count int, err error) {
	outer := len(w.names)
	for w.next('}') {
		if len(w.names)-outer == maxJSONMembers {
			return 0, fmt.Errorf("has an object of more than %d members", maxJSONMembers)
		}
		w.names = append(w.names, int32(w.pos)) // bodies and tokens have at most 64 KiB
		if err := w.text(); err != nil {
			return 0, err
		}
		w.colon()
		if err := w.value(); err != nil {
			return 0, err
		}
	}
	names := w.names[outer:]
	w.names = w.names[:outer]
	return len(names), w.unique(names)
}

// collect returns the count members of the object at pos, which object has accepted.
func (w *jsonWalker) collect(count int) jsonObject {
	members := make(jsonObject, 0, count)
	for w.next('}') {
		start := w.pos
		_ = w.text()
		name, _ := unquote(w.data[start:w.pos])
		w.colon()
		start = w.pos
		_ = w.value()
		members = append(members, jsonMember{name, w.data[start:w.pos]})
	}
	return members
}

func (w *jsonWalker) array() error {
	for w.next(']') {
		if err := w.value(); err != nil {
			return err
		}
	}
	return nil
}

// next skips the bracket or the comma before an element, or returns false after the
// closing bracket.
func (w *jsonWalker) next(closing byte) bool {
	w.space()
	if w.data[w.pos] != closing { // [, { or a comma
		w.pos++
		w.space()
	}
	if w.data[w.pos] != closing {
		return true
	}
	w.pos++
	return false
}

func (w *jsonWalker) colon() {
	w.space()
	w.pos++
	w.space()
}

// value skips one value.
func (w *jsonWalker) value() error {
	switch w.data[w.pos] {
	case '{':
		_, err := w.object()
		return err
	case '[':
		return w.array()
	case '"':
		return w.text()
	default: // a number or a literal: up to the next delimiter
		for w.pos < len(w.data) && !strings.ContainsRune(",]} \t\r\n", rune(w.data[w.pos])) {
			w.pos++
		}
		return nil
	}
}

// text skips a string.
func (w *jsonWalker) text() error {
	for w.pos++; w.data[w.pos] != '"'; {
		if w.data[w.pos] != '\\' {
			w.pos++
			continue
		}
		r, size := jsonRune(w.data[w.pos:])
		if r == loneSurrogate {
			return errors.New("has a lone surrogate")
		}
		w.pos += size
	}
	w.pos++
	return nil
}

// loneSurrogate is not a rune of any text.
const loneSurrogate rune = -1

// jsonRune reads the first character of b, which is inside a string, and returns how
// many bytes spell it.
func jsonRune(b []byte) (r rune, size int) {
	if b[0] != '\\' {
		return utf8.DecodeRune(b)
	}
	switch b[1] {
	case 'u':
		r, size = codeUnit(b), 6
		if !utf16.IsSurrogate(r) {
			return r, size
		}
		if len(b) >= 12 && b[6] == '\\' && b[7] == 'u' {
			if r := utf16.DecodeRune(r, codeUnit(b[6:])); r != utf8.RuneError {
				return r, 12
			}
		}
		return loneSurrogate, size
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	default: // ", \ and / stand for themselves
		return rune(b[1]), 2
	}
}

// codeUnit reads the four digits of the \uXXXX that b begins with.
func codeUnit(b []byte) rune {
	var r rune
	for _, c := range b[2:6] {
		if r <<= 4; c <= '9' {
			r |= rune(c - '0')
		} else {
			r |= rune(c|0x20) - 'a' + 10
		}
	}
	return r
}

// unique refuses names that are equal, or equal but for case: readers that match names loosely, as
// encoding/json does, would take one for the other. It sorts names.
func (w *jsonWalker) unique(names []int32) error {
	slices.SortFunc(names, w.compareNames)
	for i := 1; i < len(names); i++ {
		if w.compareNames(names[i-1], names[i]) == 0 {
			w.pos = int(names[i])
			_ = w.text()
			name, _ := unquote(w.data[names[i]:w.pos])
			return fmt.Errorf("has the member %q twice", clipText(string(name), 64))
		}
	}
	return nil
}

// compareNames orders the names at two positions, ignoring case.
func (w *jsonWalker) compareNames(a, b int32) int {
	x, y := w.data[a+1:], w.data[b+1:]
	for x[0] != '"' && y[0] != '"' {
		r, n := jsonRune(x)
		s, m := jsonRune(y)
		if order := cmp.Compare(foldRune(r), foldRune(s)); order != 0 {
			return order
		}
		x, y = x[n:], y[m:]
	}
	switch {
	case y[0] != '"':
		return -1
	case x[0] != '"':
		return 1
	default:
		return 0
	}
}

// foldRune returns one character for all that differ only in case: the least one.
func foldRune(r rune) rune {
	if r < 'a' {
		return r
	}
	least := r
	for s := unicode.SimpleFold(r); s != r; s = unicode.SimpleFold(s) {
		least = min(least, s)
	}
	return least
}

// jsonString reads a string value.
func jsonString(raw []byte) (string, bool) {
	text, ok := unquote(raw)
	return string(text), ok
}

// unquote reads a string value of an object that parseObject has accepted. It does not copy one
// without escapes.
func unquote(raw []byte) ([]byte, bool) {
	if len(raw) < 2 || raw[0] != '"' {
		return nil, false
	}
	plain := raw[1 : len(raw)-1]
	if bytes.IndexByte(plain, '\\') < 0 {
		return plain, true
	}
	text := make([]byte, 0, len(plain)) // every escape is longer than what it stands for
	for len(plain) > 0 {
		r, size := jsonRune(plain)
		text, plain = utf8.AppendRune(text, r), plain[size:]
	}
	return text, true
}

// jsonInt reads an integer by its spelling: it refuses 1000.0, 6e4, -0 and anything outside int64.
func jsonInt(raw []byte) (int64, bool) {
	n, err := strconv.ParseInt(string(raw), 10, 64)
	return n, err == nil && string(raw) != "-0"
}

// jsonBool reads true or false.
func jsonBool(raw []byte) (value, ok bool) {
	switch string(raw) {
	case "true":
		return true, true
	case "false":
		return false, true
	default:
		return false, false
	}
}
