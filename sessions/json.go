package sessions

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// This is a strict reader of JSON objects, for request bodies and claims. On top
// of encoding/json's grammar it refuses what parsers disagree about, since a
// disagreement is how one value gets past a check and another one is used (RFC
// 8725, section 2.6; RFC 8259, section 4): invalid UTF-8, lone surrogates, names
// that are there twice or differ only in case, and deep nesting. json/v2 can take
// its place when the go line allows.

const maxJSONDepth = 16

// errNotObject: valid JSON, but not an object.
var errNotObject = errors.New("must be a JSON object")

// jsonObject has the members of an object in their order.
type jsonObject []jsonMember

type jsonMember struct {
	// name is without quotes and escapes.
	name []byte
	// raw is the value as it is spelled.
	raw []byte
}

// parseObject reads an object. The raw values point into data.
func parseObject(data []byte) (jsonObject, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("is not UTF-8")
	}
	if !json.Valid(data) {
		return nil, errors.New("is not valid JSON")
	}
	w := jsonWalker{data: data}
	w.space()
	if data[w.pos] != '{' {
		return nil, errNotObject
	}
	return w.object(1)
}

// get returns the value of a member, nil if it is not there.
func (o jsonObject) get(name string) []byte {
	for _, m := range o {
		if string(m.name) == name {
			return m.raw
		}
	}
	return nil
}

// jsonWalker goes over data that json.Valid has accepted; so it need not look out
// for the end of data, nor for anything that the grammar forbids.
type jsonWalker struct {
	data []byte
	pos  int
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

func (w *jsonWalker) object(depth int) (jsonObject, error) {
	if depth > maxJSONDepth {
		return nil, fmt.Errorf("is nested deeper than %d", maxJSONDepth)
	}
	members := make(jsonObject, 0, 24)
	w.pos++ // {
	for {
		w.space()
		switch w.data[w.pos] {
		case '}':
			w.pos++
			if err := members.unique(); err != nil {
				return nil, err
			}
			return members, nil
		case ',':
			w.pos++
			w.space()
		}
		raw, err := w.text()
		if err != nil {
			return nil, err
		}
		name, ok := unquote(raw)
		if !ok {
			return nil, errors.New("has a malformed member name")
		}
		w.space()
		w.pos++ // :
		w.space()
		start := w.pos
		if err := w.value(depth); err != nil {
			return nil, err
		}
		members = append(members, jsonMember{name, w.data[start:w.pos]})
	}
}

func (w *jsonWalker) array(depth int) error {
	if depth > maxJSONDepth {
		return fmt.Errorf("is nested deeper than %d", maxJSONDepth)
	}
	w.pos++ // [
	for {
		w.space()
		switch w.data[w.pos] {
		case ']':
			w.pos++
			return nil
		case ',':
			w.pos++
			w.space()
		}
		if err := w.value(depth); err != nil {
			return err
		}
	}
}

// value passes one value by.
func (w *jsonWalker) value(depth int) error {
	switch w.data[w.pos] {
	case '{':
		_, err := w.object(depth + 1)
		return err
	case '[':
		return w.array(depth + 1)
	case '"':
		_, err := w.text()
		return err
	default: // a number or a literal: up to the next delimiter
		for w.pos < len(w.data) && !strings.ContainsRune(",]} \t\r\n", rune(w.data[w.pos])) {
			w.pos++
		}
		return nil
	}
}

// text passes a string by and returns it with its quotes.
func (w *jsonWalker) text() ([]byte, error) {
	start := w.pos
	w.pos++
	for {
		switch w.data[w.pos] {
		case '"':
			w.pos++
			return w.data[start:w.pos], nil
		case '\\':
			if w.data[w.pos+1] != 'u' {
				w.pos += 2
				continue
			}
			unit := w.unit(w.pos)
			w.pos += 6
			switch {
			case unit < 0xD800 || unit > 0xDFFF:
			case unit < 0xDC00 && w.data[w.pos] == '\\' && w.data[w.pos+1] == 'u' && w.unit(w.pos)&0xFC00 == 0xDC00:
				w.pos += 6
			default:
				return nil, errors.New("has a lone surrogate")
			}
		default:
			w.pos++
		}
	}
}

// unit reads the four digits of the \uXXXX at pos.
func (w *jsonWalker) unit(pos int) uint64 {
	n, _ := strconv.ParseUint(string(w.data[pos+2:pos+6]), 16, 16)
	return n
}

// unique refuses names that are the same, or the same but for case: readers that
// match names loosely, as encoding/json does, would take one for the other. Beyond
// a handful of names a set of folded names keeps hostile bodies cheap.
func (o jsonObject) unique() error {
	if len(o) <= 32 {
		for i := range o {
			for j := range i {
				if bytes.EqualFold(o[i].name, o[j].name) {
					return fmt.Errorf("has the member %q twice", clipText(string(o[i].name), 64))
				}
			}
		}
		return nil
	}
	seen := make(map[string]struct{}, len(o))
	for _, m := range o {
		folded := strings.ToLower(strings.ToUpper(string(m.name)))
		if _, twice := seen[folded]; twice {
			return fmt.Errorf("has the member %q twice", clipText(string(m.name), 64))
		}
		seen[folded] = struct{}{}
	}
	return nil
}

// jsonString reads a string value.
func jsonString(raw []byte) (string, bool) {
	text, ok := unquote(raw)
	return string(text), ok
}

// unquote reads a string value; where it has no escapes, without a copy.
func unquote(raw []byte) ([]byte, bool) {
	if len(raw) < 2 || raw[0] != '"' {
		return nil, false
	}
	plain := raw[1 : len(raw)-1]
	if bytes.IndexByte(plain, '\\') < 0 {
		return plain, true
	}
	var s string
	err := json.Unmarshal(raw, &s)
	return []byte(s), err == nil
}

// jsonInt reads an integer by its spelling: 1000.0, 6e4 and -0 are none, nor is
// anything outside int64.
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
