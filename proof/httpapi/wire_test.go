package httpapi_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long a test waits for an answer that should come at once. It is long
// because machines are busy, and it passes only if something is wrong.
const patience = 30 * time.Second

// serverLog is what net/http complains about: a panic that got through to it, a
// header written twice.
type serverLog struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *serverLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *serverLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// listen serves the handler on a real listener.
func (e *env) listen(t testing.TB) (address string) {
	t.Helper()
	complaints := &serverLog{}
	server := httptest.NewUnstartedServer(e.serve)
	server.Config.ErrorLog = log.New(complaints, "", 0)
	server.Start()
	t.Cleanup(func() {
		server.Close()
		if text := complaints.String(); text != "" {
			t.Errorf("net/http complains: %s", text)
		}
	})
	return server.Listener.Addr().String()
}

// exchange sends bytes as they are and reads answers until it has n or the
// connection ends. write may go on after the first bytes; its errors are those of
// a server that has had enough.
func (e *env) exchange(t testing.TB, address string, n int, method string, write func(net.Conn)) []answer {
	t.Helper()
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		write(conn)
	}()
	defer func() { _ = conn.Close(); <-done }()
	r := bufio.NewReader(conn)
	var answers []answer
	for range n {
		response, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil {
			t.Fatalf("answer %d of %d: %v", len(answers)+1, n, err)
		}
		content, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		a := answer{status: response.StatusCode, wire: response.StatusCode, header: response.Header, body: content}
		if strings.Contains(response.Header.Get("Content-Type"), "json") {
			if err := json.Unmarshal(content, &a.json); err != nil {
				t.Fatal(err)
			}
		}
		e.checkLeaks(t, method, a)
		answers = append(answers, a)
	}
	return answers
}

// TestBadInputOnTheWire is what cannot be said in a *http.Request, or is another
// thing there.
func TestBadInputOnTheWire(t *testing.T) {
	t.Parallel()
	create := `{"user_id":"` + alice + `"}`
	head := func(lines ...string) string {
		return "POST {prefix}/auth/sessions HTTP/1.1\r\nHost: sessile.test\r\n" +
			strings.Join(lines, "\r\n") + "\r\n\r\n"
	}
	const as, family, media = "Authorization: Bearer {server}", "x-stack-access-type: server\r\nx-stack-project-id: " +
		project + "\r\nx-stack-secret-server-key: {server}", "Content-Type: application/json"
	length := func(n int) string { return fmt.Sprintf("Content-Length: %d", n) }
	send := func(text string) func(net.Conn) { return func(c net.Conn) { _, _ = io.WriteString(c, text) } }
	sendAndHangUp := func(text string) func(net.Conn) {
		return func(c net.Conn) {
			_, _ = io.WriteString(c, text)
			if tcp, ok := c.(*net.TCPConn); ok {
				_ = tcp.CloseWrite()
			}
		}
	}
	endless := func(head string) func(net.Conn) {
		return func(c net.Conn) {
			_, err := io.WriteString(c, head)
			for chunk := "1000\r\n" + strings.Repeat(" ", 0x1000) + "\r\n"; err == nil; {
				_, err = io.WriteString(c, chunk)
			}
		}
	}
	type wireCase struct {
		name   string
		write  func(net.Conn)
		status []int
		code   string // "" if net/http answers
	}
	cases := func(fill *strings.Replacer) []wireCase {
		f := fill.Replace
		all := []wireCase{
			{"two Authorization headers", send(f(head(as, as, media, length(len(create))) + create)), []int{400},
				"SCHEMA_ERROR"},
			{"two Authorization headers, a good one and another",
				send(f(head(as, "authorization: Basic eDp5", media, length(len(create))) + create)), []int{400},
				"SCHEMA_ERROR"},
			{"a body that never ends, in chunks", endless(f(head(as, media, "Transfer-Encoding: chunked"))), []int{413},
				"BODY_TOO_LARGE"},
			{"a body that never ends, of the x-stack family",
				endless(f(head(family, media, "Transfer-Encoding: chunked"))), []int{413}, "BODY_TOO_LARGE"},
			{"a body that goes on after 64 KiB, but not now",
				send(f(head(as, media, "Transfer-Encoding: chunked")) + "10001\r\n" + strings.Repeat(" ", 0x10001) +
					"\r\n"), []int{413}, "BODY_TOO_LARGE"},
			{"the same of the x-stack family", send(f(head(family, media, "Transfer-Encoding: chunked")) + "10001\r\n" +
				strings.Repeat(" ", 0x10001) + "\r\n"), []int{413}, "BODY_TOO_LARGE"},
			{"64 KiB and one byte, announced and not sent", send(f(head(as, media, length(64<<10+1)))), []int{413},
				"BODY_TOO_LARGE"},
			{"64 KiB and one byte, announced and not sent, of the x-stack family",
				send(f(head(family, media, length(64<<10+1)))), []int{413}, "BODY_TOO_LARGE"},
			{"200 KiB, announced and not sent, that waits to be asked",
				send(f(head(as, media, length(200<<10), "Expect: 100-continue"))), []int{413}, "BODY_TOO_LARGE"},
			{"64 KiB and one byte, sent",
				send(f(head(as, media, length(64<<10+1))) + create + strings.Repeat(" ", 64<<10+1-len(create))),
				[]int{413}, "BODY_TOO_LARGE"},
			{"64 KiB and one byte, in chunks of one byte",
				send(f(head(as, media, "Transfer-Encoding: chunked")) + strings.Repeat("1\r\n \r\n", 64<<10+1) +
					"0\r\n\r\n"), []int{413}, "BODY_TOO_LARGE"},
			{"a body shorter than announced", sendAndHangUp(f(head(as, media, length(len(create)+10)) + create)),
				[]int{400}, "BODY_PARSING_ERROR"},
			{"chunks that stop",
				sendAndHangUp(f(head(as, media, "Transfer-Encoding: chunked")) + fmt.Sprintf("%x\r\n%s\r\n",
					len(create), create)), []int{400}, "BODY_PARSING_ERROR"},
			{"a malformed chunk", send(f(head(as, media, "Transfer-Encoding: chunked")) + "zz\r\n"), []int{400},
				"BODY_PARSING_ERROR"},
			{"a body longer than announced", sendAndHangUp(f(head(as, media, length(len(create)-1)) + create)),
				[]int{400}, "BODY_PARSING_ERROR"},
			{"no body announced", send(f(head(as, media) + create)), []int{400}, "BODY_PARSING_ERROR"},
			{"two lengths", send(f(head(as, media, length(len(create)), length(len(create)+1)) + create)),
				[]int{400}, ""},
			{"a length with a sign", send(f(head(as, media, "Content-Length: +"+fmt.Sprint(len(create))) + create)),
				[]int{400}, ""},
			{"an unknown transfer coding", send(f(head(as, media, "Transfer-Encoding: gzip, chunked")) + "0\r\n\r\n"),
				[]int{400, 501}, ""},
			{"a space before the colon",
				send(f(head("Authorization : Bearer {server}", media, length(len(create))) + create)), []int{400}, ""},
			{"NUL in a header",
				send(f(head("Authorization: Bearer {server}\x00", media, length(len(create))) + create)),
				[]int{400}, ""},
			{"what is not UTF-8 in a header",
				send(f(head("Authorization: Bearer {server}\xff", media, length(len(create))) + create)), []int{401},
				"INVALID_SECRET_SERVER_KEY"},
			{"credentials in the trailer",
				send(f(head(media, "Transfer-Encoding: chunked", "Trailer: Authorization") +
					fmt.Sprintf("%x\r\n%s\r\n0\r\nAuthorization: Bearer {server}\r\n\r\n", len(create), create))),
				[]int{401}, "ACCESS_TYPE_REQUIRED"},
			{"a header of more than 1 MiB", send(f(head("Authorization: Bearer " + strings.Repeat("a", 2<<20)))),
				[]int{431}, ""},
			{"a token of half a MiB",
				send(f(head("Authorization: Bearer "+strings.Repeat("a", 512<<10), media, length(len(create))) +
					create)), []int{401}, "UNPARSABLE_ACCESS_TOKEN"},
			{"10,000 headers",
				send(f(head("Authorization: Bearer x", strings.Repeat("X-H: 1\r\n", 10000)+media, length(len(create))) +
					create)), []int{401, 431}, "*"},
			{"an upgrade without credentials",
				send("GET " + f("{prefix}") + "/auth/sessions/current HTTP/1.1\r\nHost: x\r\nConnection: " +
					"Upgrade\r\nUpgrade: websocket\r\n\r\n"), []int{401}, "ACCESS_TYPE_REQUIRED"},
			{"the preface of HTTP/2", sendAndHangUp("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
				[]int{400, 405, 404, 505}, "*"},
			{"all options of the server", send("OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
				[]int{200}, ""},
			{"TRACE",
				send(f("TRACE {prefix}/auth/sessions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server}\r\n\r\n")),
				[]int{405}, "METHOD_NOT_ALLOWED"},
			{"a verb of nobody's",
				send(f("FOO {prefix}/auth/sessions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server}\r\n\r\n")),
				[]int{405}, "METHOD_NOT_ALLOWED"},
			{"a verb in lower case",
				send(f("post {prefix}/auth/sessions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server}\r\n\r\n")),
				[]int{405}, "METHOD_NOT_ALLOWED"},
		}
		for _, path := range []string{
			"{prefix}//auth/sessions", "//{prefix}/auth/sessions", "{prefix}/auth//sessions",
			"{prefix}/auth/./sessions", "{prefix}/auth/../auth/sessions", "{prefix}/auth/sessions/",
			"{prefix}/AUTH/sessions",
			"{prefix}/auth/sessions%2F", "{prefix}/auth%2Fsessions", "{prefix}/auth/sessions/%2e%2e/sessions",
			"{prefix}/auth/%2e/sessions", "{prefix}/auth/sessions;x", "{prefix}/auth/sessions.json",
			"{prefix}/auth/sessions%00",
			"{prefix}/auth/sessions%0d%0a", "{prefix}/auth/x/../sessions",
		} {
			for _, method := range []string{"GET", "POST", "DELETE"} {
				text := f(
					fmt.Sprintf(
						"%s %s?user_id=%s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {admin}\r\n%s\r\n%s\r\n\r\n%s",
						method, path, alice, media, length(len(create)), create,
					),
				)
				all = append(all, wireCase{method + " " + path, send(text), []int{404}, "path"})
			}
		}
		return all
	}

	for mountName, mount := range mounts {
		t.Run(mountName, func(t *testing.T) {
			t.Parallel()
			e := newEnv(t)
			mount(e)
			fill, victim := e.victims(t)
			for _, c := range cases(strings.NewReplacer("{prefix}", e.prefix, "{server}", fill.Replace("{server}"),
				"{admin}", fill.Replace("{admin}"))) {
				t.Run(c.name, func(t *testing.T) {
					address := e.listen(t)
					before := e.snapshot(t)
					a := e.exchange(t, address, 1, http.MethodPost, c.write)[0]
					switch {
					case c.code == "path" && a.json == nil && mountName != "ServeHTTP":
						// The host's: refused, or shown the clean path.
						if a.status < 300 || a.status >= 500 {
							t.Errorf("status %d", a.status)
						}
					case c.code == "path" && mountName == "Register":
						if a.status < 400 || a.status >= 500 {
							t.Errorf("status %d", a.status)
						}
					case c.code == "path":
						a.refused(t, 404, "NOT_FOUND")
					case c.code == "METHOD_NOT_ALLOWED" && mountName == "Register":
						a.want(t, 405)
					case c.code != "" && c.code != "*":
						a.refused(t, c.status[0], c.code)
					default:
						if !slices.Contains(c.status, a.status) {
							t.Errorf("status %d, want %v: %s", a.status, c.status, redactedBody(a))
						}
					}
					if bytes.Contains(a.body, []byte("Bearer {")) || bytes.Contains(a.body, []byte("Host:")) {
						t.Errorf("the request is echoed: %s", a.body)
					}
					if after := e.snapshot(t); after != before {
						t.Errorf("something changed: %s", difference(before, after))
					}
					if log := e.logged(); log != "" {
						t.Errorf("in the log: %s", log)
					}
				})
			}
			e.refresh(t, victim.refresh).want(t, 200)
		})
	}
}

// Each request of a connection speaks for itself.
func TestPipelinedRequestsShareNothing(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	own := e.signIn(t, alice)
	const get = "GET /auth/sessions/current HTTP/1.1\r\nHost: x\r\n"
	answers := e.exchange(t, e.listen(t), 3, http.MethodGet, func(c net.Conn) {
		_, _ = io.WriteString(c, get+"Authorization: Bearer "+own.access+"\r\n\r\n"+get+"\r\n"+get+
			"Authorization: Bearer "+own.access+"\r\n\r\n")
	})
	for i, want := range []int{200, 401, 200} {
		if answers[i].status != want {
			t.Errorf("answer %d: status %d, want %d", i, answers[i].status, want)
		}
	}
}

// A body that we do not read is not judged either: the SDK sends {} with sign-out.
func TestBodiesThatNobodyReads(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"{}", "not JSON", strings.Repeat("x", 200<<10)} {
		e := newEnv(t)
		own := e.signIn(t, alice)
		a := e.exchange(t, e.listen(t), 1, http.MethodDelete, func(c net.Conn) {
			_, _ = fmt.Fprintf(c,
				"DELETE /auth/sessions/current HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: "+
					"text/weird\r\nContent-Length: %d\r\n\r\n%s", own.access, len(text), text)
		})[0].want(t, 200)
		if string(a.body) != `{"success":true}` {
			t.Errorf("%s", a.body)
		}
	}
}

// The documented calls, through a real client and a real server.
func TestOverARealConnection(t *testing.T) {
	t.Parallel()
	for name, mount := range mounts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEnv(t)
			mount(e)
			address := e.listen(t)
			call := func(method, path string, options ...option) answer {
				t.Helper()
				r, err := http.NewRequestWithContext(t.Context(), method, "http://"+address+e.prefix+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				for _, o := range options {
					o(r)
				}
				var sent []byte
				if r.Body != nil {
					sent, _ = io.ReadAll(r.Body)
					r.Body = io.NopCloser(bytes.NewReader(sent))
				}
				response, err := http.DefaultClient.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				defer response.Body.Close()
				return e.judge(t, r, sent, response)
			}
			a := call(http.MethodPost, "/auth/sessions", bearer(e.serverKey),
				jsonBody(`{"user_id": "`+alice+`"}`)).want(t, 200)
			call(http.MethodGet, "/auth/sessions?user_id=me", bearer(a.text("access_token"))).want(t, 200)
			b := call(http.MethodPost, "/auth/sessions/current/refresh",
				header("x-stack-refresh-token", a.text("refresh_token"))).want(t, 200)
			call(http.MethodPost, "/auth/oauth/token", form("grant_type", "refresh_token", "client_id", project,
				"refresh_token", b.text("refresh_token"))).want(t, 200)
			call(http.MethodHead, "/auth/sessions/current", bearer(a.text("access_token"))).want(t, 200)
			call(http.MethodDelete, "/auth/sessions/current", bearer(a.text("access_token"))).want(t, 200)
			call(http.MethodPost, "/auth/sessions/current/refresh",
				header("x-stack-refresh-token", b.text("refresh_token"))).refused(t, 401,
				"REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED")
			call(http.MethodGet, "/.well-known/jwks.json").want(t, 200)
			if s := e.row(t, a.text("session_id")); s.Client.IP != "127.0.0.1" ||
				s.Client.UserAgent != "Go-http-client/1.1" {
				t.Errorf("client %+v", s.Client)
			}
		})
	}
}
