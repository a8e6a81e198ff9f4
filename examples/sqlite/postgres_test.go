package main

import (
	"io"
	"net"
	"net/url"
	"path"
	"sync"
	"testing"

	"github.com/sessile-go/sessile/internal/pgtest"
)

// proxy stands between the program and its Postgres. It counts connections, and can go
// silent as a server does whose machine is cut off: it takes connections, and what is
// sent, and answers nothing.
type proxy struct {
	url string

	listener          net.Listener
	network, upstream string

	mu     sync.Mutex
	silent bool
	opened int
	links  map[*link]struct{}
}

// link is a connection through the proxy. One that was once silent stays so.
type link struct {
	client, server net.Conn
	silent         bool
}

func newProxy(t *testing.T) *proxy {
	t.Helper()
	u, err := url.Parse(pgtest.DSN(t))
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{network: "tcp", upstream: u.Host, links: map[*link]struct{}{}}
	options := u.Query()
	if dir := options.Get("host"); dir != "" {
		p.network, p.upstream = "unix", path.Join(dir, ".s.PGSQL."+options.Get("port"))
	}
	if p.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	options.Del("host")
	options.Del("port")
	u.Host, u.RawQuery = p.listener.Addr().String(), options.Encode()
	p.url = u.String()

	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			client, err := p.listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { p.serve(client) })
		}
	})
	t.Cleanup(func() {
		_ = p.listener.Close()
		p.mu.Lock()
		for l := range p.links {
			l.close()
		}
		p.mu.Unlock()
		serving.Wait()
	})
	return p
}

func (l *link) close() {
	_ = l.client.Close()
	if l.server != nil {
		_ = l.server.Close()
	}
}

func (p *proxy) serve(client net.Conn) {
	l := &link{client: client}
	p.mu.Lock()
	p.opened++
	l.silent = p.silent
	if !l.silent {
		var err error
		if l.server, err = net.Dial(p.network, p.upstream); err != nil {
			p.mu.Unlock()
			_ = client.Close()
			return
		}
	}
	p.links[l] = struct{}{}
	p.mu.Unlock()

	if l.server != nil {
		go func() {
			_, _ = io.Copy(client, l.server)
			if !p.isSilent(l) {
				_ = client.Close()
			}
		}()
		_, _ = io.Copy(l.server, client)
	}
	if l.server == nil || p.isSilent(l) {
		_, _ = io.Copy(io.Discard, client) // until the program gives it up
	}
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
	l.close()
}

func (p *proxy) isSilent(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return l.silent
}

// cutOff makes the server silent for all connections that there are and those to come.
// It has gone for good: what it had not committed is undone.
func (p *proxy) cutOff() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silent = true
	for l := range p.links {
		if l.silent = true; l.server != nil {
			_ = l.server.Close()
		}
	}
}

// switchOver leads new connections to a server that answers. Old ones stay silent.
func (p *proxy) switchOver() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silent = false
}

func (p *proxy) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.opened
}

// database/sql keeps two connections by default. With more callers than that nearly
// every request then opens one, which costs Postgres more than the request.
func TestConnectionsToPostgresAreKept(t *testing.T) {
	t.Parallel()
	p := newProxy(t)
	a := start(t, t.TempDir(), append(keys(), "DATABASE_URL="+p.url)...)
	const clients, refreshes, pool = 32, 20, 20
	var busy sync.WaitGroup
	for range clients {
		busy.Go(func() {
			token := a.create(t, seeds()[0].ID).refresh
			for range refreshes {
				token = grantOf(t, a.want(t, 200, "", "POST", "/auth/sessions/current/refresh", "",
					header{"X-Stack-Refresh-Token", token})).refresh
			}
		})
	}
	busy.Wait()
	if n := p.count(); n > pool {
		t.Errorf("%d refreshes opened %d connections, want at most the %d of the pool", clients*refreshes, n, pool)
	} else {
		t.Logf("%d refreshes opened %d connections", clients*refreshes, n)
	}
}

// Below version 1.21 PgBouncer in transaction mode loses prepared statements, those of
// the store and those of the driver. DATABASE_URL alone switches both off.
func TestBehindPgBouncer(t *testing.T) {
	t.Parallel()
	databaseURL := pgtest.BouncerDSN(t) + "&default_query_exec_mode=exec"
	instances := make([]*app, 2) // that migrate at once
	dir := t.TempDir()
	var starting sync.WaitGroup
	for i := range instances {
		starting.Go(func() {
			instances[i] = start(
				t, dir, append(keys(), "DATABASE_URL="+databaseURL,
					"SESSILE_ISSUER=https://app.example/api/v1/projects/5e551e00-0000-4000-8000-000000000001")...,
			)
		})
	}
	starting.Wait()
	if t.Failed() {
		return
	}

	const clients, rounds = 16, 5
	ada, grace := seeds()[0], seeds()[2]
	var busy sync.WaitGroup
	for i := range clients {
		busy.Go(func() {
			a, b := instances[i%2], instances[(i+1)%2]
			for range rounds {
				own := a.create(t, grace.ID)
				acting := b.impersonate(t, own, ada.ID)
				for _, g := range []grant{own, acting} {
					for range 3 {
						g = grantOf(t, b.want(t, 200, "", "POST", "/auth/sessions/current/refresh", "",
							header{"X-Stack-Refresh-Token", g.refresh}))
					}
					a.want(t, 200, "", "GET", "/me", "", bearer(g.access))
					a.want(t, 200, "", "GET", "/auth/sessions?user_id=me", "", bearer(g.access))
				}
				a.want(t, 200, "", "DELETE", "/auth/sessions/current", "", bearer(own.access))
				a.refuses(t, acting)
			}
			kept := a.create(t, ada.ID)
			a.want(t, 403, "IMPERSONATION_NOT_ALLOWED", "POST", "/auth/sessions", `{"user_id": "`+grace.ID+`"}`,
				bearer(kept.access))
			a.want(t, 200, "", "PUT", "/me/name", `{"name": "Ada"}`, bearer(kept.access))
		})
	}
	busy.Wait()
	for userID, want := range map[string]int{ada.ID: clients, grace.ID: 0} {
		if n := len(instances[0].listed(t, userID)); n != want {
			t.Errorf("%d sessions of %s, want %d", n, userID, want)
		}
	}
	entries := itemsOf(t, instances[1].want(t, 200, "", "GET", "/audit?actor="+ada.ID, "", bearer(testAdminKey)))
	if len(entries) != clients {
		t.Errorf("%d refusals in the audit log, want %d", len(entries), clients)
	}
	entries = itemsOf(t, instances[1].want(t, 200, "", "GET", "/audit?actor="+grace.ID, "", bearer(testAdminKey)))
	if len(entries) != 100 { // a full page; each of the 80 impersonations has left five
		t.Errorf("%d entries of impersonations in the audit log, want 100", len(entries))
	}
}
