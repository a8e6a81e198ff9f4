// Command sqlite is an app with its own table of users that uses sessile for sessions.
// Run it and paste what it prints:
//
//	go run ./examples/sqlite
//
// It keeps its data in the SQLite file sessile.db, or in Postgres if DATABASE_URL is
// postgres://…. All environment variables are optional:
//
//	ADDR                where to listen; 127.0.0.1:8080
//	DATABASE_URL        a path, file:… or sqlite://… for SQLite, postgres://… for Postgres
//	SESSILE_SECRETS     base64, separated by commas, the first one signs; made once and
//	                    kept next to the database
//	SESSILE_PROJECT_ID  the project id that clients send
//	SESSILE_ISSUER      the issuer of access tokens: https://app.example/api/v1/projects/
//	                    and the project id; derived from ADDR by default, so instances on
//	                    different addresses need it to accept each other's tokens
//	SESSILE_SERVER_KEY  ssk_…; made at every start
//	SESSILE_ADMIN_KEY   sak_…; made at every start
//	SESSILE_CLIENT_KEY  the publishable key of clients; made at every start
//	SESSILE_ACCESS_TTL  the lifetime of access tokens, such as 10m
//	SESSILE_OVERLAP     how long a spent refresh token still gets its successor, such as 60s
//	SESSILE_INSECURE_COOKIE
//	                    1 for development only: lets browsers store the cookies of the
//	                    pages over plain http from hosts other than 127.0.0.1 and
//	                    localhost, and Safari even from those
//
// main.go puts everything together. app.go has the routes of the API, pages.go those of the
// pages, users.go the users, and html.go, database.go and config.go the rest.
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

	// The upkeep runs until the last request, which still needs the revocation feed, and
	// the database is closed after it has returned.
	var background sync.WaitGroup
	defer background.Wait()
	upkeep, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	apart := make(chan error, 1) // nil once upkeep is done
	background.Go(func() { apart <- manager.Run(upkeep) })

	server := newServer(newApp(manager, st, users, cfg, logger), logger)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	cfg.greet(out, base)

	var wrongClock error
	select {
	case err := <-served:
		return err
	case wrongClock = <-apart:
	case <-ctx.Done():
	}
	// Requests in progress get their answers.
	grace, cancelGrace := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancelGrace()
	return errors.Join(wrongClock, server.Shutdown(grace))
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

// recordRefused adds refused impersonations to the audit log. They change no row, so the
// store does not see them. sessions reports at most 10 a minute of each caller, so callers
// cannot fill the database.
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

// migrationLimit is how long the migration may take. Without it a database that no longer
// answers would block the start for ever.
const migrationLimit = time.Minute

// migrate makes the tables.
func migrate(ctx context.Context, users users, st *store.Store) error {
	ctx, cancel := context.WithTimeout(ctx, migrationLimit)
	defer cancel()
	if err := users.migrate(ctx); err != nil {
		return err
	}
	return st.Migrate(ctx)
}
