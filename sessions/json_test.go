package sessions

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestParseObject(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`{}`, ` { } `, `{"a":1}`, "{\"a\" :\t1 ,\r\n\"b\":[ 1 , \"x\" , { } ] }", `{"a":{"a":{"a":null}}}`, `{"":""}`,
		`{"a":"\ud83d\ude00"}`, `{"a":"\\u0041\""}`, `{"\u0061":1}`, `{"a":[{"b":1},{"b":2}]}`, `{"a":-0.0e-1}`,
		`{"a":"` + "\u2028" + `"}`,
		`{"a":` + strings.Repeat("[", 15) + strings.Repeat("]", 15) + `}`,
	} {
		if _, err := parseObject([]byte(text)); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, text := range []string{
		``, ` `, `null`, `[]`, `"x"`, `1`, `{`, `}`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{,"a":1}`, `{"a":1 "b":2}`,
		`{'a':1}`, `{a:1}`, `{"a":1}x`, `{"a":1}{}`,
		"{\"a\":1}\x00", "\xef\xbb\xbf{}", `{"a":NaN}`, `{"a":+1}`, `{"a":01}`, `{"a":.5}`, `{"a":1.}`,
		`{"a":"` + "\n" + `"}`, `{"a":"\x41"}`, `{"a":"\u12"}`, "{\"a\":\"\xff\"}", "{\"\xc0\x80\":1}",
		`{/**/}`, `{"a":1,"a":2}`, `{"a":1,"A":2}`, `{"s":1,"ſ":2}`, `{"k":1,"K":2}`, `{"a":1,"\u0061":2}`,
		`{"x":{"a":1,"A":2}}`, `{"x":[{"a":1,"a":2}]}`,
		`{"a":"\ud800"}`, `{"a":"\ud800x"}`, `{"a":"\udc00"}`, `{"a":"\ud800\u0041"}`, `{"a":"\ud800\ud800"}`,
		`{"\ud800":1}`,
		`{"a":` + strings.Repeat("[", 16) + strings.Repeat("]", 16) + `}`, strings.Repeat(`{"a":`, 17) + "1" +
			strings.Repeat("}", 17), strings.Repeat("[", 100_000),
	} {
		if o, err := parseObject([]byte(text)); err == nil || o != nil {
			t.Errorf("%.60q: accepted as %v", text, o)
		}
	}

	many := make([]string, 0, 40)
	for i := range 40 {
		many = append(many, `"`+strings.Repeat("m", i+1)+`":1`)
	}
	if _, err := parseObject([]byte("{" + strings.Join(many, ",") + "}")); err != nil {
		t.Errorf("40 members: %v", err)
	}
	if _, err := parseObject([]byte("{" + strings.Join(many, ",") + `,"MMM":1}`)); err == nil {
		t.Error("40 members and one twice: accepted")
	}
}

func TestJSONIntegersGoBySpelling(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{"0": 0, "-1": -1, "1000": 1000, "9223372036854775807": 1<<63 - 1} {
		if n, ok := jsonInt([]byte(text)); !ok || n != want {
			t.Errorf("%s: %d, %v", text, n, ok)
		}
	}
	for _, text := range []string{
		"", "-0", "1000.0", "6e4", "1E3", "9223372036854775808", "1e400", `"1"`, "null", "true", "[1]",
	} {
		if n, ok := jsonInt([]byte(text)); ok {
			t.Errorf("%s: taken for %d", text, n)
		}
	}
}

// What the strict reader accepts, encoding/json accepts and reads the same.
func FuzzParseObject(f *testing.F) {
	f.Add(`{"a":1,"b":"\ud83d\ude00","c":[{}]}`)
	f.Add(`{"A":1,"a":2}`)
	f.Add("{\"\\u0061\" : [ 1 , 2 ] }\n")
	f.Fuzz(func(t *testing.T, text string) {
		object, err := parseObject([]byte(text))
		if err != nil {
			if object != nil {
				t.Fatalf("%v beside %v", object, err)
			}
			return
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal([]byte(text), &members); err != nil || len(members) != len(object) {
			t.Fatalf("encoding/json has %d members of %d, %v", len(members), len(object), err)
		}
		for _, m := range object {
			if string(members[string(m.name)]) != string(m.raw) {
				t.Errorf("%q is %s, to encoding/json %s", m.name, m.raw, members[string(m.name)])
			}
			if s, ok := jsonString(m.raw); ok {
				var want string
				if err := json.Unmarshal(m.raw, &want); err != nil || s != want {
					t.Errorf("%s is %q, to encoding/json %q, %v", m.raw, s, want, err)
				}
			}
		}
	})
}
