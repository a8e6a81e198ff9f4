package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// worker sends one request after another, as a client that gives up after 10 s.
type worker struct {
	name string
	// next sends the next request and notes what was acknowledged.
	next func() (status int, retryAfter string, err error)

	answered, refused, gaveUp atomic.Int64
}

// outage is what clients see of a database that goes silent.
type outage struct {
	app    *app
	client *http.Client

	mu      sync.Mutex
	tokens  []string // the last that each client got
	created []string
	ended   []string
}

func (o *outage) send(method, path, body string,
	headers ...header) (status int, retryAfter string, fields map[string]any, err error) {
	r, err := http.NewRequest(method, o.app.base+path, strings.NewReader(body))
	if err != nil {
		return 0, "", nil, err
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		r.Header.Set(h.name, h.value)
	}
	resp, err := o.client.Do(r)
	if err != nil {
		return 0, "", nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, "", nil, err
	}
	_ = json.Unmarshal(text, &fields) // what has no body has no fields
	return resp.StatusCode, resp.Header.Get("Retry-After"), fields, nil
}

func (o *outage) create() (status int, retryAfter, session string, err error) {
	status, retryAfter, fields, err := o.send("POST", "/auth/sessions", `{"user_id": "`+seeds()[0].ID+`"}`,
		bearer(testServerKey))
	session, _ = fields["session_id"].(string)
	return status, retryAfter, session, err
}

// refreshes presents the token that it got last.
func (o *outage) refreshes(i int) *worker {
	return &worker{name: "refresh", next: func() (int, string, error) {
		status, retryAfter, fields, err := o.send("POST", "/auth/sessions/current/refresh", "",
			header{"X-Stack-Refresh-Token", o.tokens[i]})
		if status == http.StatusOK {
			o.tokens[i], _ = fields["refresh_token"].(string)
		}
		return status, retryAfter, err
	}}
}

func (o *outage) creates() *worker {
	return &worker{name: "create", next: func() (int, string, error) {
		status, retryAfter, session, err := o.create()
		if status == http.StatusOK {
			o.mu.Lock()
			o.created = append(o.created, session)
			o.mu.Unlock()
		}
		return status, retryAfter, err
	}}
}

// ends creates a session and ends it. An end whose answer was lost has happened: the
// next try finds no session.
func (o *outage) ends() *worker {
	var session string
	var again bool
	return &worker{name: "end", next: func() (int, string, error) {
		if session == "" {
			status, retryAfter, created, err := o.create()
			session, again = created, false
			return status, retryAfter, err
		}
		status, retryAfter, _, err := o.send("DELETE", "/auth/sessions/"+session, "", bearer(testServerKey))
		if status == http.StatusOK || status == http.StatusNotFound && again {
			o.mu.Lock()
			o.ended = append(o.ended, session)
			o.mu.Unlock()
			session, status = "", http.StatusOK
		}
		again = true
		return status, retryAfter, err
	}}
}

// A server whose machine is cut off is worse than one that is down: it refuses nothing.
// While that lasts, every request is answered, and afterwards nobody has to restart the
// app, although database/sql opens connections without a deadline.
func TestASilentDatabaseIsAnOutageThatEnds(t *testing.T) {
	t.Parallel()
	p := newProxy(t)
	a := start(t, t.TempDir(), append(keys(), "DATABASE_URL="+p.url)...)
	transport := &http.Transport{MaxIdleConnsPerHost: 50}
	defer transport.CloseIdleConnections()
	o := &outage{app: a, client: &http.Client{Timeout: 10 * time.Second, Transport: transport}}

	// Twice as many as the pool has connections.
	var workers []*worker
	for i := range 20 {
		o.tokens = append(o.tokens, a.create(t, seeds()[1].ID).refresh)
		workers = append(workers, o.refreshes(i))
	}
	for range 10 {
		workers = append(workers, o.creates(), o.ends())
	}
	var stop atomic.Bool
	var working sync.WaitGroup
	answers := make(chan struct{}, 1) // one that was good, after the switch-over
	for _, w := range workers {
		working.Go(func() {
			for !stop.Load() {
				status, retryAfter, err := w.next()
				switch {
				case err != nil:
					w.gaveUp.Add(1)
				case status == http.StatusOK:
					w.answered.Add(1)
					select {
					case answers <- struct{}{}:
					default:
					}
				case status == http.StatusServiceUnavailable && retryAfter != "":
					w.refused.Add(1)
				default:
					t.Errorf("%s: %d, Retry-After %q", w.name, status, retryAfter)
					return
				}
			}
		})
	}
	t.Cleanup(working.Wait)
	t.Cleanup(func() { stop.Store(true) })
	each := func(what string, reached func(*worker) bool) {
		t.Helper()
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		deadline := time.Now().Add(patience)
		for slices.ContainsFunc(workers, func(w *worker) bool { return !reached(w) }) {
			if t.Failed() || time.Now().After(deadline) {
				for _, w := range workers {
					t.Logf("%s: %d answered, %d refused, %d given up", w.name, w.answered.Load(), w.refused.Load(),
						w.gaveUp.Load())
				}
				t.Fatal("not every client " + what)
			}
			<-tick.C
		}
	}

	a.want(t, 200, "", "GET", "/ready", "")
	each("is served", func(w *worker) bool { return w.answered.Load() > 1 })
	p.cutOff()
	if got := a.do(t, "GET", "/ready", ""); got.status != 503 || got.header.Get("Retry-After") == "" {
		t.Errorf("/ready: %d %s", got.status, got.text)
	}
	a.want(t, 200, "", "GET", "/health", "")
	each("is told of the outage, twice", func(w *worker) bool { return w.refused.Load() > 1 })
	a.want(t, 503, "", "GET", "/ready", "")

	before := map[*worker]int64{}
	for _, w := range workers {
		before[w] = w.answered.Load()
	}
	select {
	case <-answers: // of the time before
	default:
	}
	p.switchOver()
	over := time.Now()
	select {
	case <-answers:
		t.Logf("the first success came %v after the switch-over", time.Since(over).Round(time.Millisecond))
	case <-time.After(patience):
		t.Fatal("nobody is served after the switch-over")
	}
	each("is served again", func(w *worker) bool { return w.answered.Load() > before[w] })
	t.Logf("the last client was served %v after the switch-over", time.Since(over).Round(time.Millisecond))
	a.want(t, 200, "", "GET", "/ready", "")
	stop.Store(true)
	working.Wait()

	// What was acknowledged is there.
	for i, token := range o.tokens {
		if got := a.do(t, "POST", "/auth/sessions/current/refresh", "",
			header{"X-Stack-Refresh-Token", token}); got.status != 200 {
			t.Errorf("the last token of client %d: %d %s", i, got.status, got.text)
		}
	}
	live := map[string]bool{}
	for cursor := ""; ; {
		list := a.want(t, 200, "", "GET", "/auth/sessions?limit=100&user_id="+seeds()[0].ID+cursor, "",
			bearer(testAdminKey))
		for _, s := range itemsOf(t, list) {
			live[fmt.Sprint(s["id"])] = true
		}
		page, _ := list.body["pagination"].(map[string]any)
		next, _ := page["next_cursor"].(string)
		if next == "" {
			break
		}
		cursor = "&cursor=" + next
	}
	for _, id := range o.created {
		if !live[id] {
			t.Errorf("session %s was created and is not there", id)
		}
	}
	for _, id := range o.ended {
		if live[id] {
			t.Errorf("session %s was ended and lives", id)
		}
	}
	t.Logf("%d sessions created and %d ended", len(o.created), len(o.ended))
}

// The time-outs of the server hold, each tried at a hundredth of its length.
func TestSlowAndIdleConnectionsAreClosed(t *testing.T) {
	t.Parallel()
	cutOff := make(chan struct{})
	server := newServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/much" {
			_, _ = io.Copy(io.Discard, r.Body)
			return
		}
		var err error
		for chunk := make([]byte, 1<<20); err == nil; {
			_, err = w.Write(chunk)
		}
		close(cutOff)
	}), slog.New(slog.DiscardHandler))
	for name, limit := range map[string]*time.Duration{
		"ReadHeaderTimeout": &server.ReadHeaderTimeout, "ReadTimeout": &server.ReadTimeout,
		"WriteTimeout": &server.WriteTimeout, "IdleTimeout": &server.IdleTimeout,
	} {
		if *limit <= 0 || *limit > 5*time.Minute {
			t.Errorf("%s is %v", name, *limit)
		}
		*limit /= 100
	}
	listening := httptest.NewUnstartedServer(nil)
	listening.Config = server
	listening.Start()
	t.Cleanup(listening.Close)

	connect := func(t *testing.T, send string) net.Conn {
		t.Helper()
		conn, err := net.Dial("tcp", listening.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, send); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	for name, send := range map[string]string{
		"nothing is sent":     "",
		"the headers are cut": "GET / HTTP/1.1\r\nHost: a.example\r\nX-Slow: ",
		"the body is cut":     "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 10\r\n\r\nhalf",
		"kept alive and idle": "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := io.Copy(io.Discard, connect(t, send)); err != nil {
				t.Errorf("the server does not close it: %v", err)
			}
		})
	}
	t.Run("the answer is not read", func(t *testing.T) {
		t.Parallel()
		connect(t, "GET /much HTTP/1.1\r\nHost: a.example\r\n\r\n")
		select {
		case <-cutOff:
		case <-time.After(patience):
			t.Error("the server goes on writing")
		}
	})
}
