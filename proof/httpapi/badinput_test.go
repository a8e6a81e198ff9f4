package httpapi_test

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// maxBody is the largest body that is read.
const maxBody = 64 << 10

// badInput is one request that must be refused and change nothing. The fields may
// name credentials and sessions as {server}, {other session} and so on.
type badInput struct {
	name    string
	method  string
	path    string
	headers []string
	body    string
	status  int
	code    string
	// refusal is that of the one event of a refused impersonation; if it is empty, there
	// must be no event.
	refusal string
	// hosts is true if the answer may come from the host's mux, for methods and paths, when
	// routes are registered one by one.
	hosts bool
}

const asServer = "Authorization: Bearer {server}"

// badInputs are all of them: the creates, and what is wrong with any request.
func badInputs() []badInput {
	var all []badInput
	create := func(name, body string, status int, code string) {
		all = append(all, badInput{
			name: name, method: http.MethodPost, path: "/auth/sessions",
			headers: []string{asServer, "Content-Type: application/json"}, body: body, status: status, code: code,
		})
	}
	field := func(name, value string) { create(name, `{"user_id":`+value+`}`, 400, "SCHEMA_ERROR") }
	more := func(name, member string) { create(name, `{"user_id":"{alice}",`+member+`}`, 400, "SCHEMA_ERROR") }
	acting := func(name, member string, status int, code string, refusal string) {
		create(name, `{"user_id":"{alice}",`+member+`}`, status, code)
		all[len(all)-1].refusal = refusal
	}
	unparsed := func(name, body string) { create(name, body, 400, "BODY_PARSING_ERROR") }

	create("no user_id", `{}`, 400, "SCHEMA_ERROR")
	create("a user_id of another name", `{"userId":"{alice}"}`, 400, "SCHEMA_ERROR")
	field("an empty user_id", `""`)
	field("a user_id that is null", `null`)
	field("a user_id that is a number", `7`)
	field("a user_id that is true", `true`)
	field("a user_id that is an array", `["{alice}"]`)
	field("a user_id that is an object", `{"id":"{alice}"}`)
	field("a user_id of 256 bytes", `"`+strings.Repeat("a", 256)+`"`)
	field("a user_id of 256 bytes in 128 characters", `"`+strings.Repeat("ü", 128)+`"`)
	field("a user_id of 60,000 bytes", `"`+strings.Repeat("a", 60000)+`"`)
	for name, escaped := range map[string]string{
		"NUL": `\u0000`, "a line break": `\n`, "CR LF": `\r\n`, "an escape": `\u001b[31m`, "DEL": `\u007f`,
		"a C1 control": `\u0085`, "a tab": `\t`,
	} {
		field("a user_id with "+name, `"`+"{alice}"+escaped+`"`)
	}
	unparsed("a user_id with invalid UTF-8", "{\"user_id\":\"\xff\xfe\"}")
	unparsed("a user_id with half a character", "{\"user_id\":\"\xc3\"}")
	unparsed("a user_id with an overlong form", "{\"user_id\":\"\xc0\xaf\"}")
	unparsed("a user_id with a surrogate in UTF-8", "{\"user_id\":\"\xed\xa0\x80\"}")
	unparsed("a user_id with a lone surrogate", `{"user_id":"\ud800"}`)
	unparsed("a user_id with surrogates the wrong way round", `{"user_id":"\udc00\ud800"}`)
	unparsed("a user_id with a bare control character", "{\"user_id\":\"a\x00\"}")
	create("an unknown user", `{"user_id":"{unknown}"}`, 400, "USER_ID_DOES_NOT_EXIST")
	create("a disabled user", `{"user_id":"{disabled}"}`, 400, "USER_ID_DOES_NOT_EXIST")
	create("a user in other case", `{"user_id":"{ALICE}"}`, 400, "USER_ID_DOES_NOT_EXIST")
	create("a user with spaces around", `{"user_id":" {alice} "}`, 400, "USER_ID_DOES_NOT_EXIST")
	create("me, where nobody is", `{"user_id":"me"}`, 400, "CANNOT_GET_OWN_USER_WITHOUT_USER")

	for _, millis := range []string{
		"0", "-1", "-0", "0.0", "1.5", "1000.0", "6e4", "1e0", "1E3", `"1000"`, "null", "true", "[]", "{}", "1e400",
		"-1e400", "31708800001", "9223372036854775807",
		"9223372036854775808", "-9223372036854775808", "18446744073709551616", "9223372036855", "18446744073710",
		strings.Repeat("9", 60000), "1e" + strings.Repeat("9", 50000),
	} {
		more("expires_in_millis "+clip(millis), `"expires_in_millis":`+millis)
	}
	for _, millis := range []string{"NaN", "Infinity", "+1", "0x10", "01", "1_000", ".5", "1.", "1,000"} {
		unparsed("expires_in_millis "+millis, `{"user_id":"{alice}","expires_in_millis":`+millis+`}`)
	}
	for _, millis := range []string{"29999", "1", "86400001", "31708800000"} {
		acting("an impersonation of "+millis, `"is_impersonation":true,"expires_in_millis":`+millis, 400,
			"SCHEMA_ERROR", "invalid")
		acting("an impersonation, said last, of "+millis, `"expires_in_millis":`+millis+`,"is_impersonation":true`, 400,
			"SCHEMA_ERROR", "invalid")
	}
	for _, value := range []string{`"true"`, "1", "0", "null", "[]", "{}", `""`} {
		more("is_impersonation "+value, `"is_impersonation":`+value)
	}
	for _, value := range []string{
		`"admin"`, "null", "[]", "{}", "1", `{"user_id":""}`, `{"user_id":7}`, `{"user_id":"a\u0000"}`,
		`{"user_id":"a","more":1}`, `{"USER_ID":"a"}`,
	} {
		acting("actor "+value, `"is_impersonation":true,"actor":`+value, 400, "SCHEMA_ERROR", "invalid")
	}
	acting("an actor who is the user", `"is_impersonation":true,"actor":{"user_id":"{alice}"}`, 403,
		"IMPERSONATION_NOT_ALLOWED", "oneself")
	for _, value := range []string{`"true"`, "1", "0", "null", "[]", "{}", `""`} {
		more("handoff "+value, `"handoff":`+value)
		acting("handoff "+value+" of an impersonation", `"is_impersonation":true,"handoff":`+value, 400,
			"SCHEMA_ERROR", "invalid")
	}
	more("an actor of no impersonation", `"actor":{"user_id":"admin-1"}`)
	more("an actor of an impersonation that is none", `"is_impersonation":false,"actor":{"user_id":"admin-1"}`)
	for _, value := range []string{"null", "1", "[]", `"a\u0000b"`, `"` + strings.Repeat("r", 501) + `"`} {
		more("reason "+clip(value), `"reason":`+value)
		acting("reason "+clip(value)+" of an impersonation", `"is_impersonation":true,"reason":`+value, 400,
			"SCHEMA_ERROR", "invalid")
	}
	for _, value := range []string{
		"null", "1", `"x"`, "[]", `{"ip":"x"}`, `{"ip":""}`, `{"ip":null}`, `{"ip":7}`, `{"ip":"192.0.2.1:80"}`,
		`{"ip":"192.0.2.1/24"}`, `{"ip":"192.0.2.256"}`, `{"user_agent":null}`, `{"user_agent":"a\nb"}`, `{"host":"x"}`,
	} {
		more("client "+value, `"client":`+value)
	}
	for _, member := range []string{
		`"id":"01890a5d-ac96-774b-bcce-b302099a8057"`, `"session_id":"x"`, `"refresh_token":"x"`, `"access_token":"x"`,
		`"userId":"x"`, `"created_at":0`, `"expires_at_millis":1`,
		`"":1`, `"user_id ":"x"`, `"__proto__":{}`, `"$where":"1"`, `"` + strings.Repeat("n", 1000) +
			`":1`, `"\u0000":1`,
	} {
		more("an unknown field "+clip(member), member)
	}
	unparsed("user_id twice", `{"user_id":"{alice}","user_id":"{alice}"}`)
	unparsed("user_id in two cases", `{"user_id":"{alice}","USER_ID":"{bob}"}`)
	unparsed("user_id, once escaped", `{"user_id":"{alice}","user\u005fid":"{bob}"}`)
	unparsed("a name that folds to another", `{"user_id":"{alice}","reason":"a","rea\u017fon":"b"}`)
	unparsed("a name twice in an inner object",
		`{"user_id":"{alice}","is_impersonation":true,"actor":{"user_id":"a","user_id":"b"}}`)
	unparsed("many names, one twice", `{"user_id":"{alice}",`+manyMembers(60)+`,"m7":1}`)
	create("many unknown names", `{"user_id":"{alice}",`+manyMembers(511)+`}`, 400, "SCHEMA_ERROR")
	unparsed("more names than an object may have", `{"user_id":"{alice}",`+manyMembers(512)+`}`)
	for name, tail := range map[string]string{
		"a letter": "x", "a second object": "{}", "a comma": ",", "a brace": "}", "NUL": "\x00",
		"a second line of JSON": "\n{\"user_id\":\"{bob}\"}",
	} {
		unparsed("trailing garbage: "+name, `{"user_id":"{alice}"}`+tail)
	}
	unparsed("a byte order mark", "\ufeff"+`{"user_id":"{alice}"}`)
	unparsed("a comment", `{"user_id":"{alice}"/* */}`)
	unparsed("a trailing comma", `{"user_id":"{alice}",}`)
	unparsed("single quotes", `{'user_id':'{alice}'}`)
	unparsed("a name without quotes", `{user_id:"{alice}"}`)
	unparsed("an empty body", "")
	unparsed("spaces", " \n ")
	unparsed("a truncated body", `{"user_id":"{alice}"`)
	unparsed("half a body", `{"user_id":"`)
	unparsed("a form as JSON", "user_id={alice}")
	unparsed("UTF-16", "{\x00\"\x00u\x00")
	for _, value := range []string{"null", "true", "1", `"{alice}"`, "[]", `[{"user_id":"{alice}"}]`} {
		create("a body that is "+value, value, 400, "SCHEMA_ERROR")
	}
	unparsed("objects nested 17 deep", `{"user_id":"{alice}","x":`+strings.Repeat(`{"x":`, 16)+"1"+
		strings.Repeat("}", 16)+"}")
	unparsed("arrays nested 30,000 deep", `{"user_id":"{alice}","x":`+strings.Repeat("[", 30000)+
		strings.Repeat("]", 30000)+"}")
	unparsed("arrays nested without end", `{"user_id":`+strings.Repeat("[", 60000))
	create("objects nested 16 deep", `{"user_id":"{alice}","x":`+strings.Repeat(`{"x":`, 15)+"1"+
		strings.Repeat("}", 15)+"}", 400, "SCHEMA_ERROR")
	create("an array of 20,000 elements", `{"user_id":"{alice}","x":[`+strings.Repeat("1,", 20000)+`1]}`, 400,
		"SCHEMA_ERROR")
	create("an array of 20,000 objects", `{"user_id":"{alice}","x":[`+strings.Repeat("{},", 20000)+`1]}`, 400,
		"SCHEMA_ERROR")
	create("64 KiB and one byte", `{"user_id":"{alice}"}`+strings.Repeat(" ", maxBody-len(`{"user_id":""}`)-len(alice)+
		1), 413, "BODY_TOO_LARGE")
	create("10 MiB", strings.Repeat(" ", 10<<20), 413, "BODY_TOO_LARGE")

	// Redeeming: the form of the request. What a wrong code gets is in
	// TestARefusedRedemption.
	redeem := func(name, body string, status int, code string) {
		all = append(all, badInput{
			name: "redeem: " + name, method: http.MethodPost, path: "/auth/sessions/redeem",
			headers: []string{"Content-Type: application/json"}, body: body, status: status, code: code,
		})
	}
	for _, value := range []string{"null", "7", "true", "[]", "{}", `["shc1_x"]`} {
		redeem("a code that is "+value, `{"code":`+value+`}`, 400, "SCHEMA_ERROR")
	}
	for _, member := range []string{`"user_id":"{alice}"`, `"refresh_token":"x"`, `"":1`, `"codes":"x"`} {
		redeem("an unknown field "+member, `{"code":"shc1_x",`+member+`}`, 400, "SCHEMA_ERROR")
	}
	for _, value := range []string{"{}", "null", "[]", `"shc1_x"`, "1"} {
		redeem("a body that is "+value, value, 400, "SCHEMA_ERROR")
	}
	redeem("an empty body", "", 400, "BODY_PARSING_ERROR")
	redeem("half a body", `{"code":"shc1_`, 400, "BODY_PARSING_ERROR")
	redeem("a code twice", `{"code":"shc1_x","code":"shc1_x"}`, 400, "BODY_PARSING_ERROR")
	redeem("a code in two cases", `{"code":"shc1_x","CODE":"shc1_x"}`, 400, "BODY_PARSING_ERROR")
	redeem("a lone surrogate", `{"code":"\ud800"}`, 400, "BODY_PARSING_ERROR")
	redeem("trailing garbage", `{"code":"shc1_x"}x`, 400, "BODY_PARSING_ERROR")
	redeem("64 KiB and more", `{"code":"`+strings.Repeat("a", maxBody)+`"}`, 413, "BODY_TOO_LARGE")
	for _, contentType := range []string{
		"", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16",
	} {
		b := badInput{
			name: "redeem: Content-Type " + contentType, method: http.MethodPost, path: "/auth/sessions/redeem",
			body: `{"code":"shc1_x"}`, status: 415, code: "UNSUPPORTED_MEDIA_TYPE",
		}
		if contentType != "" {
			b.headers = []string{"Content-Type: " + contentType}
		}
		all = append(all, b)
	}

	// Content types.
	for _, contentType := range []string{
		"", "text/plain", "text/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
		"application/xml", "application/json-patch+json", "application/jsonx",
		"application/json; charset=utf-16", "application/json; charset=latin1", "application/json; charset=utf-7",
		"application/json; charset=", "application/json;charset=utf-8;charset=utf-16",
		"application/json, text/plain", "application", "/", "application/json; x",
	} {
		b := badInput{
			name: "Content-Type " + contentType, method: http.MethodPost, path: "/auth/sessions",
			headers: []string{asServer}, body: `{"user_id":"{alice}"}`, status: 415, code: "UNSUPPORTED_MEDIA_TYPE",
		}
		if contentType != "" {
			b.headers = append(b.headers, "Content-Type: "+contentType)
		}
		all = append(all, b)
	}
	all = append(all,
		badInput{
			name: "two content types", method: http.MethodPost, path: "/auth/sessions", headers: []string{
				asServer, "Content-Type: application/json", "Content-Type: application/json",
			}, body: `{"user_id":"{alice}"}`, status: 415, code: "UNSUPPORTED_MEDIA_TYPE",
		},
		badInput{
			name: "a compressed body", method: http.MethodPost, path: "/auth/sessions", headers: []string{
				asServer, "Content-Type: application/json", "Content-Encoding: gzip",
			}, body: "\x1f\x8b\x08", status: 415, code: "UNSUPPORTED_MEDIA_TYPE",
		},
		badInput{
			name: "a body that is said not to be compressed", method: http.MethodPost, path: "/auth/sessions",
			headers: []string{asServer, "Content-Type: application/json", "Content-Encoding: identity"},
			body:    `{"user_id":"{alice}"}`, status: 415, code: "UNSUPPORTED_MEDIA_TYPE",
		},
	)

	// Ids.
	for _, id := range []string{
		"x", "1", "true", "me", "null", "*", "%25", "01890a5d-ac96-774b-bcce", "01890a5d-ac96-774b-bcce-b302099a8057x",
		"01890A5D-AC96-774B-BCCE-B302099A8057",
		"01890a5dac96774bbcceb302099a8057", "{01890a5d-ac96-774b-bcce-b302099a8057}",
		"urn:uuid:01890a5d-ac96-774b-bcce-b302099a8057", "01890a5d-ac96-774b-bcce-b302099a8057%20",
		"'%20OR%201=1--", strings.Repeat("a", 5000), "(01890a5d-ac96-774b-bcce-b302099a8057)",
		"{OTHER SESSION}", "{dashless}",
	} {
		b := badInput{
			name: "a session id " + clip(id), method: http.MethodDelete, path: "/auth/sessions/" + id,
			headers: []string{asServer}, status: 400, code: "SCHEMA_ERROR",
		}
		if strings.Contains(id, "%") { // encoded paths are not clean
			b.status, b.code, b.hosts = 404, "NOT_FOUND", true
		}
		all = append(all, b)
	}

	// Queries.
	get := func(name, query string, status int, code string) {
		all = append(all, badInput{
			name: name, method: http.MethodGet, path: "/auth/sessions?" + query, headers: []string{asServer},
			status: status, code: code,
		})
	}
	for _, query := range []string{
		"user_id={alice}&user_id={alice}", "user_id={alice}&user_id={bob}", "user_id={alice}&user_id=", "user_id=", "",
		"User_id={alice}", "user_id[]={alice}",
		"user_id=%00", "user_id=%ff", "user_id=%zz", "user_id={alice}%", "user_id={alice};x=1",
		"user_id=" + strings.Repeat("a", 256), "user_id=a%0d%0ab",
		"user_id={alice}&limit=0", "user_id={alice}&limit=-1", "user_id={alice}&limit=201", "user_id={alice}&limit=1.0",
		"user_id={alice}&limit=+1", "user_id={alice}&limit=01", "user_id={alice}&limit=x", "user_id={alice}&limit=",
		"user_id={alice}&limit=99999999999999999999", "user_id={alice}&limit=1&limit=1",
		"user_id={alice}&cursor=x&limit=1", "user_id={alice}&cursor=&limit=1",
		"user_id={alice}&cursor=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		"user_id={alice}&limit=1&cursor=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
		"user_id={alice}&limit=1&cursor=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		"user_id={alice}&limit=1&cursor='%20OR%201=1", "user_id={alice}&impersonation=true",
		"user_id={alice}&impersonation=", "user_id={alice}&impersonation=include&impersonation=include",
	} {
		get("the query "+clip(query), query, 400, "SCHEMA_ERROR")
	}
	for _, query := range []string{
		"", "?user_id=", "?user_id={alice}&user_id={alice}", "?user_id={alice}&user_id={bob}", "?user_id=%00",
		"?user_id=%zz", "?user_id={alice};", "?user_id[]={alice}", "?USER_ID={alice}",
	} {
		all = append(all, badInput{
			name: "end many with the query " + query, method: http.MethodDelete, path: "/auth/sessions" + query,
			headers: []string{asServer}, status: 400, code: "SCHEMA_ERROR",
		})
	}
	for _, query := range []string{"?user_id=", "?user_id=me&user_id=me", "?user_id=%00", "?x=%zz"} {
		all = append(all, badInput{
			name: "end one with the query " + query, method: http.MethodDelete, path: "/auth/sessions/{other session}" +
				query, headers: []string{asServer}, status: 400, code: "SCHEMA_ERROR",
		})
	}

	// Paths that are not clean, and others that are not there; as the caller that
	// may do most.
	for _, path := range []string{
		"/", "//auth/sessions", "/auth//sessions", "/auth/sessions/", "/auth/sessions//", "/./auth/sessions",
		"/auth/./sessions", "/auth/../auth/sessions", "/x/../auth/sessions",
		"/auth/sessions/.", "/auth/sessions/..", "/auth/sessions/../sessions", "/AUTH/sessions", "/auth/Sessions",
		"/auth/sessions/CURRENT/refresh", "/auth/sessions%2f", "/auth%2fsessions", "/%61uth/sessions",
		"/auth/sessions/%2e%2e/sessions", "/auth/%2e/sessions", "/auth/sessions%00", "/auth/sessions;x",
		"/auth/sessions;jsessionid=1", "/auth/sessions.json", "/auth/sessions%20", "/auth/sessions%0d%0ax",
		"/auth\\sessions", "/auth/sessions%5c",
		"/auth", "/auth/session", "/api/auth/sessions", "/auth/sessions/current/refresh/", "/auth/oauth",
		"/auth/oauth/token/", "/.well-known/jwks.json/", "/.well-known/", "/projects//.well-known/jwks.json",
		"/auth/openapi.yml",
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
			all = append(all, badInput{
				name: method + " " + path, method: method, path: path + "?user_id={alice}", headers: []string{
					"Authorization: Bearer {admin}", "Content-Type: application/json",
				},
				body: `{"user_id":"{alice}"}`, status: 404, code: "NOT_FOUND", hosts: true,
			})
		}
	}
	// Credentials: the table of the schemes is in TestBearer and TestStackFamily;
	// here those that this list is about, on every endpoint that wants some.
	for _, endpoint := range []struct{ method, path, body string }{
		{http.MethodPost, "/auth/sessions", `{"user_id":"{alice}"}`},
		{http.MethodGet, "/auth/sessions?user_id={alice}", ""},
		{http.MethodGet, "/auth/sessions/current", ""},
		{http.MethodDelete, "/auth/sessions?user_id={alice}", ""},
		{http.MethodDelete, "/auth/sessions/{other session}", ""},
		{http.MethodDelete, "/auth/sessions/current", ""},
	} {
		nobodysCode := nobody
		if endpoint.path == "/auth/sessions/current" && endpoint.method == http.MethodDelete {
			nobodysCode = "ACCESS_TOKEN_EXPIRED"
		}
		for _, c := range []struct {
			name    string
			headers []string
			status  int
			code    string
		}{
			{"two Authorization headers", []string{asServer, asServer}, 400, "SCHEMA_ERROR"},
			{"a wrong scheme", []string{"Authorization: Basic {server}"}, 401, nobodysCode},
			{"an empty token", []string{"Authorization: Bearer "}, 401, unparsable},
			{"a token of 1 MiB", []string{"Authorization: Bearer {long}"}, 401, unparsable},
			{"a wrong key", []string{"Authorization: Bearer {other key}"}, 401, "INVALID_SECRET_SERVER_KEY"},
			{"a wrong admin key", []string{"Authorization: Bearer {other admin}"}, 401,
				"INVALID_SUPER_SECRET_ADMIN_KEY"},
			{"a key of 1 MiB", []string{"Authorization: Bearer {long key}"}, 401, "INVALID_SECRET_SERVER_KEY"},
			{"a forged token", []string{"Authorization: Bearer {forged}"}, 401, unparsable},
			{"a truncated token", []string{"Authorization: Bearer {truncated}"}, 401, unparsable},
			{"a foreign token", []string{"Authorization: Bearer {foreign}"}, 401, unparsable},
			{"a token of another issuer", []string{"Authorization: Bearer {other issuer}"}, 401, unparsable},
			{"a refresh token for an access token", []string{"Authorization: Bearer {refresh}"}, 401, unparsable},
			{"no credentials", nil, 401, nobodysCode},
			{"a wrong key of the x-stack family", []string{
				"x-stack-access-type: server", "x-stack-project-id: " + project,
				"x-stack-secret-server-key: {other key}",
			}, 401, "INVALID_SECRET_SERVER_KEY"},
			{"a forged token of the x-hexclave family", []string{
				"x-hexclave-access-type: client", "x-hexclave-project-id: " + project,
				"x-hexclave-access-token: {forged}",
			}, 401, unparsable},
		} {
			all = append(all, badInput{
				name: c.name + ", " + endpoint.method + " " + endpoint.path, method: endpoint.method,
				path: endpoint.path, headers: append([]string{"Content-Type: application/json"}, c.headers...),
				body: endpoint.body, status: c.status, code: c.code,
			})
		}
		if nobodysCode == nobody {
			all = append(all, badInput{
				name: "a dead token, " + endpoint.method + " " + endpoint.path, method: endpoint.method,
				path: endpoint.path, headers: []string{
					"Content-Type: application/json", "Authorization: Bearer {ended}",
				}, body: endpoint.body, status: 401, code: "ACCESS_TOKEN_EXPIRED",
			})
		}
	}
	all = append(all, badInput{
		name: "a client token where a server is needed", method: http.MethodPost, path: "/auth/sessions",
		headers: []string{
			"Authorization: Bearer {access}", "Content-Type: application/json",
		}, body: `{"user_id":"{bob}"}`, status: 401, code: "INSUFFICIENT_ACCESS_TYPE", refusal: "not_allowed",
	})
	// A key signs somebody in, whoever else comes along.
	all = append(all, badInput{
		name: "a dead token beside a key", method: http.MethodPost, path: "/auth/sessions", headers: []string{
			"Content-Type: application/json", "x-stack-access-type: server", "x-stack-project-id: " + project,
			"x-stack-secret-server-key: {server}", "x-stack-access-token: {ended}",
		}, body: `{"user_id":"{alice}"}`, status: 401, code: "ACCESS_TOKEN_EXPIRED",
	})
	return all
}

func manyMembers(n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`"m`)
		b.WriteString(strings.Repeat("x", i%7))
		for d := i; ; d /= 10 {
			b.WriteByte(byte('0' + d%10))
			if d < 10 {
				break
			}
		}
		b.WriteString(`":1`)
	}
	return b.String()
}

func clip(s string) string {
	if len(s) > 48 {
		return s[:48] + "…"
	}
	return s
}

// fill puts credentials and ids into a case.
func (b badInput) fill(with *strings.Replacer) badInput {
	b.path, b.body = with.Replace(b.path), with.Replace(b.body)
	headers := make([]string, len(b.headers))
	for i, h := range b.headers {
		headers[i] = with.Replace(h)
	}
	b.headers = headers
	return b
}

// victims are the sessions that no bad request may touch, and the names of all
// that requests can use.
func (e *env) victims(t *testing.T) (*strings.Replacer, grant) {
	t.Helper()
	other := e.signIn(t, alice)
	acting := e.signIn(t, alice, impersonating("admin-1"))
	bobs := e.signIn(t, bob)
	credentials := e.credentials(t)
	names := strings.NewReplacer(
		"{alice}", alice, "{bob}", bob, "{unknown}", unknown, "{disabled}", disabled, "{ALICE}", strings.ToUpper(alice),
		"{other session}", other.id, "{OTHER SESSION}", strings.ToUpper(other.id), "{dashless}",
		strings.ReplaceAll(other.id, "-", ""),
		"{impersonation}", acting.id, "{bob's session}", bobs.id,
		"{server}", credentials.Replace("{server}"), "{admin}", credentials.Replace("{admin}"), "{access}",
		credentials.Replace("{access}"),
		"{refresh}", credentials.Replace("{refresh}"), "{ended}", credentials.Replace("{ended}"), "{foreign}",
		credentials.Replace("{foreign}"),
		"{other issuer}", credentials.Replace("{other issuer}"), "{truncated}", credentials.Replace("{truncated}"),
		"{forged}", credentials.Replace("{forged}"),
		"{long}", credentials.Replace("{long}"), "{long key}", credentials.Replace("{long key}"), "{other key}",
		credentials.Replace("{other key}"), "{other admin}", credentials.Replace("{other admin}"),
	)
	e.takeEvents()
	return names, other
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	cases := badInputs()
	for mountName, mount := range mounts {
		// One environment for all: what a case has spoilt, the next ones see.
		e := newEnv(t)
		mount(e)
		fill, victim := e.victims(t)
		before := e.snapshot(t)
		t.Run(mountName, func(t *testing.T) {
			t.Parallel()
			refusals := 0
			for _, test := range cases {
				if mountName == "Register" && strings.Contains(test.path, "%61") {
					continue // the mux decodes, and so it is the same path
				}
				t.Run(test.name, func(t *testing.T) {
					c := test.fill(fill)
					options := []option{body("", c.body)}
					for _, line := range c.headers {
						name, value, _ := strings.Cut(line, ": ")
						options = append(options, func(r *http.Request) { r.Header.Add(name, value) })
					}
					a := e.do(t, c.method, c.path, options...)
					switch {
					case c.hosts && mountName != "ServeHTTP" && a.json == nil:
						// The host's mux has refused it, or shown the clean path.
						if a.status < 300 || a.status >= 500 {
							t.Errorf("status %d", a.status)
						}
					case c.hosts && mountName == "Register" && a.status >= 400 && a.status < 500:
						// The mux decodes the path; the route then refuses it.
					default:
						a.refused(t, c.status, c.code)
					}
					if after := e.snapshot(t); after != before {
						t.Errorf("something changed: %s", difference(before, after))
						before = after // the next case is not to blame
					}
					e.toldRefusal(t, c.refusal)
					if c.refusal != "" {
						if refusals++; refusals%9 == 0 {
							e.clock.Advance(time.Minute) // or no more of them would be reported
						}
					}
					if log := e.logged(); log != "" {
						t.Errorf("a refusal is no trouble of ours, but the log has\n%s", log)
					}
				})
			}
			e.refresh(t, victim.refresh).want(t, 200)
		})
	}
}

// The largest body that is read is read.
func TestABodyOfExactly64KiB(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	text := `{"user_id":"` + alice + `"}`
	e.do(t, http.MethodPost, "/auth/sessions", bearer(e.serverKey),
		jsonBody(text+strings.Repeat(" ", maxBody-len(text)))).want(t, 200)
	e.do(t, http.MethodPost, "/auth/sessions", bearer(e.serverKey),
		jsonBody(text+strings.Repeat(" ", maxBody-len(text)+1))).refused(t, 413, "BODY_TOO_LARGE")
}

// A content type has more than one spelling.
func TestContentTypesThatAreJSON(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	for _, contentType := range []string{
		"application/json", "application/json; charset=utf-8", `application/json;charset="UTF-8"`,
		"Application/JSON; Charset=Utf-8", "application/json; x=y",
	} {
		e.do(t, http.MethodPost, "/auth/sessions", bearer(e.serverKey),
			body(contentType, `{"user_id":"`+alice+`"}`)).want(t, 200)
	}
}

// The first ten problems are named, however many there are.
func TestAtMostTenProblemsAreNamed(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	for path, body := range map[string]string{
		"/auth/sessions": `{"user_id":7,` + manyMembers(300) + `}`, "/auth/sessions/redeem": `{` +
			manyMembers(300) + `}`,
	} {
		a := e.do(t, http.MethodPost, path, bearer(e.serverKey), jsonBody(body)).refused(t, 400, "SCHEMA_ERROR")
		if n := strings.Count(a.text("error"), "\n- "); n != 10 {
			t.Errorf("%s: %d problems", path, n)
		}
	}
}

// A token that was put into a path by mistake does not come back, in an error that
// clients log.
func TestNoErrorShowsAPathSegmentThatIsNotAnID(t *testing.T) {
	t.Parallel()
	for mountName, mount := range mounts {
		t.Run(mountName, func(t *testing.T) {
			t.Parallel()
			e := newEnv(t)
			mount(e)
			own := e.signIn(t, alice)
			for _, segment := range []string{
				own.refresh, own.access, "0123456789abcdef0123456789abcdef", strings.ToUpper(own.id),
			} {
				a := e.do(t, http.MethodDelete, "/auth/sessions/"+segment, bearer(own.access)).refused(t, 400,
					"SCHEMA_ERROR")
				if strings.Contains(string(a.body), segment) || !strings.Contains(a.text("error"), "on DELETE ") ||
					!strings.Contains(a.text("error"), "/auth/sessions/…:") {
					t.Errorf("%.12q…: %s", segment, redactedBody(a))
				}
			}
			a := e.do(t, http.MethodDelete, "/auth/sessions/"+own.id+"?user_id=a&user_id=b", bearer(e.serverKey)).
				refused(t, 400, "SCHEMA_ERROR")
			if !strings.Contains(a.text("error"), "/auth/sessions/"+own.id+":") {
				t.Errorf("%s", a.body)
			}
		})
	}
}

// Forms and JSON of the OAuth endpoints are read as strictly.
func TestBadInputOfRevoke(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		options func(token string) []option
		status  int
		code    string
	}{
		"no body": {func(string) []option { return nil }, 415, "UNSUPPORTED_MEDIA_TYPE"},
		"another type": {
			func(rt string) []option { return []option{body("text/plain", "token="+rt)} }, 415,
			"UNSUPPORTED_MEDIA_TYPE",
		},
		"an empty form": {func(string) []option { return []option{form()} }, 400, "SCHEMA_ERROR"},
		"a token twice": {
			func(rt string) []option { return []option{form("token", rt, "token", rt)} }, 400, "SCHEMA_ERROR",
		},
		"a malformed form": {
			func(rt string) []option { return []option{body("application/x-www-form-urlencoded", "token="+rt+"%")} },
			400, "BODY_PARSING_ERROR",
		},
		"malformed JSON": {
			func(rt string) []option { return []option{jsonBody(`{"token":"` + rt)} }, 400, "BODY_PARSING_ERROR",
		},
		"JSON with a number": {func(string) []option { return []option{jsonBody(`{"token":7}`)} }, 400, "SCHEMA_ERROR"},
		"JSON with two": {
			func(rt string) []option { return []option{jsonBody(`{"token":"` + rt + `","token":"` + rt + `"}`)} }, 400,
			"BODY_PARSING_ERROR",
		},
		"the token elsewhere": {func(rt string) []option {
			return []option{form("refresh_token", rt), header("x-stack-refresh-token", rt)}
		}, 400, "SCHEMA_ERROR"},
		"too large": {
			func(rt string) []option { return []option{form("token", rt, "pad", strings.Repeat("x", maxBody))} }, 413,
			"BODY_TOO_LARGE",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEnv(t)
			own := e.signIn(t, alice)
			before := e.snapshot(t)
			a := e.do(t, http.MethodPost, "/auth/oauth/revoke", test.options(own.refresh)...).refused(t,
				test.status, test.code)
			if a.json["error"] != "invalid_request" {
				t.Errorf("%s", a.body)
			}
			if e.snapshot(t) != before {
				t.Error("something changed")
			}
		})
	}
}

// What a refused create was asked for is nowhere afterwards, chosen ids least of all.
func TestCreateTakesNoChosenTokens(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	a := e.do(t, http.MethodPost, "/auth/sessions?session_id=01890a5d-ac96-774b-bcce-b302099a8057&refresh_token=mine",
		bearer(e.serverKey),
		header("Cookie", "refresh_token=mine; session=01890a5d-ac96-774b-bcce-b302099a8057"),
		header("x-stack-refresh-token", "mine"),
		jsonBody(`{"user_id":"`+alice+`"}`)).want(t, 200)
	if a.text("session_id") == "01890a5d-ac96-774b-bcce-b302099a8057" || a.text("refresh_token") == "mine" {
		t.Errorf("%s", redactedBody(a))
	}
}
