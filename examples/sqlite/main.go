// Command sqlite is an app that has users of its own and has taken sessile in. Run
// it and paste what it prints:
//
//	go run ./examples/sqlite
//
// It keeps its data in the SQLite file sessile.db; with DATABASE_URL set to
// postgres://… in Postgres. Environment variables, all optional:
//
//	ADDR                where to listen; 127.0.0.1:8080
//	DATABASE_URL        a path, file:… or sqlite://… for SQLite, postgres://… for Postgres
//	SESSILE_SECRETS     base64, separated by commas, the first one signs; made once and
//	                    kept beside the database
//	SESSILE_PROJECT_ID  what clients name as their project
//	SESSILE_ISSUER      the issuer of access tokens: https://app.example/api/v1/projects/
//	                    and the project id; made of ADDR by default, so instances on
//	                    different addresses need it to accept each other's tokens
//	SESSILE_SERVER_KEY  ssk_…; made at every start
//	SESSILE_ADMIN_KEY   sak_…; made at every start
//	SESSILE_CLIENT_KEY  the publishable key of clients; made at every start
//	SESSILE_ACCESS_TTL  how long access tokens live, as 10m
//	SESSILE_OVERLAP     how long a spent refresh token still gets its successor, as 60s
//	SESSILE_INSECURE_COOKIE
//	                    1 for development only: lets browsers keep the cookies of the
//	                    pages over plain http from a host other than 127.0.0.1 and
//	                    localhost, and Safari from those, too
//
// Here in main.go everything is put together, app.go has the routes of the API and
// pages.go those of the pages, users.go the users, html.go, database.go and config.go
// what is around them.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/store"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	if err := run(ctx, os.Getenv, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "sqlite:", err)
		os.Exit(1)
	}
}

// run serves until ctx is done.
func run(ctx context.Context, getenv func(string) string, out, logs io.Writer) (err error) {
	cfg, err := readConfig(getenv)
	if err != nil {
		return err
	}
	logger := slog.New(slog.NewTextHandler(logs, nil))

	db, closeDB, err := cfg.database.open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeDB()) }()
	users := users{db}
	st, err := store.New(db, store.Config{AuditLog: true, NoPreparedStatements: cfg.database.unprepared})
	if err != nil {
		return err
	}
	if err := migrate(ctx, users, st); err != nil {
		return err
	}

	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", cfg.addr)
	if err != nil {
		return err
	}
	defer listener.Close()
	base := baseURL(cfg.addr, listener.Addr())
	cfg.issuer = cmp.Or(cfg.issuer, base+"/api/v1"+cfg.ofProject())

	manager, err := sessions.New(sessions.Config{
		Store:          st,
		Users:          users.sessionUser,
		MayImpersonate: users.mayImpersonate,
		Secrets:        cfg.secrets,
		Issuer:         cfg.issuer,
		BaseURL:        strings.TrimSuffix(cfg.issuer, cfg.ofProject()),
		ProjectID:      cfg.projectID,
		ServerKeys:     cfg.hashes,
		ClientKeys:     []string{cfg.clientKey.text},
		AccessTokenTTL: cfg.accessTTL,
		Rotation:       sessions.Rotation{Overlap: cfg.overlap},
		Cookies:        sessions.Cookies{Enabled: true, InsecureCookie: cfg.insecureCookie},
		OnEvent:        recordRefused(st, logger),
		Logger:         logger,
	})
	if err != nil {
		return err
	}
	if err := manager.CheckClock(ctx); err != nil {
		return err
	}

	// Waited for before the database is closed.
	var background sync.WaitGroup
	defer background.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	background.Go(func() { prune(ctx, manager, logger) })
	// To the last request: without it their routes would ask the database.
	feed, stopFeed := context.WithCancel(context.WithoutCancel(ctx))
	defer stopFeed()
	background.Go(func() { manager.WatchRevocations(feed) })

	server := newServer(newApp(manager, st, users, cfg, logger), logger)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	cfg.greet(out, base)

	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	// Requests that are under way get their answers.
	grace, cancelGrace := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancelGrace()
	return server.Shutdown(grace)
}

// newServer returns a server that closes slow and idle connections.
func newServer(handler http.Handler, logger *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
	}
}

// recordRefused adds refusals to the audit log. They change no row, so the store does
// not see them. They are always of somebody who is signed in or has a key, and at most
// 10 a minute of each, or callers could fill the database.
func recordRefused(st *store.Store, logger *slog.Logger) func(context.Context, sessions.Event) {
	return func(ctx context.Context, e sessions.Event) {
		if e.Type != sessions.EventImpersonationRefused {
			return
		}
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second) // the caller waits for its answer
		defer cancel()
		if err := st.Record(ctx, e); err != nil {
			logger.ErrorContext(ctx, "audit log", "error", err)
		}
	}
}

// upkeepLimit is how long the migration and each prune may take. A database that has gone
// silent would hold the one for ever, and the other for the five minutes that the Manager
// gives to each batch, and with them the requests that wait for the same statement.
const upkeepLimit = time.Minute

// migrate makes the tables.
func migrate(ctx context.Context, users users, st *store.Store) error {
	ctx, cancel := context.WithTimeout(ctx, upkeepLimit)
	defer cancel()
	if err := users.migrate(ctx); err != nil {
		return err
	}
	return st.Migrate(ctx)
}

// prune deletes sessions that have been over for a month, once an hour.
func prune(ctx context.Context, manager *sessions.Manager, logger *slog.Logger) {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		if err := pruneOnce(ctx, manager); err != nil && ctx.Err() == nil {
			logger.Error("prune", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// pruneOnce keeps what it has deleted if its time is over; the next one goes on.
func pruneOnce(ctx context.Context, manager *sessions.Manager) error {
	ctx, cancel := context.WithTimeout(ctx, upkeepLimit)
	defer cancel()
	_, err := manager.Prune(ctx)
	return err
}
