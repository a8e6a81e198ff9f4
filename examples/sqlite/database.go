package main

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// database says where the data is.
type database struct {
	dialector gorm.Dialector
	// secretsFile is where secrets are kept that nobody gave us.
	secretsFile string
	// connections is how many may be open at once. All of them stay open: database/sql
	// keeps two by default, and a busy server would open a new one for every few
	// requests.
	connections int
	// maxIdle and maxAge are how long a connection may be unused and how long it may
	// live. Zero means for ever.
	maxIdle, maxAge time.Duration
	// unprepared is true if statements must not be prepared, because a pooler gives
	// each transaction another connection.
	unprepared bool
}

// sqliteOptions are what a server wants of SQLite, by the names of its driver.
//
//   - WAL lets readers go on while somebody writes.
//   - The busy time-out lets a writer wait for another process instead of failing.
//     It is short because SQLite waits for all of it, even if the request is over
//     meanwhile. The store tries again by itself.
//   - FULL, because with NORMAL, the driver's default in WAL mode, a power failure
//     can take back a commit that was answered already: a session that was ended
//     would be live again.
//   - Immediate transactions take the write lock at their start. One that reads
//     first and then writes would fail at once if another wrote in between.
const sqliteOptions = "_journal_mode=WAL&_busy_timeout=1000&_synchronous=FULL&_txlock=immediate"

// parseDatabase reads DATABASE_URL.
func parseDatabase(text string) (database, error) {
	if strings.HasPrefix(text, "postgres://") || strings.HasPrefix(text, "postgresql://") {
		return parsePostgres(text)
	}

	uri, options, _ := strings.Cut(text, "?")
	var path string
	switch scheme, rest, ok := strings.Cut(uri, ":"); {
	case ok && scheme == "sqlite":
		path = strings.TrimPrefix(rest, "//")
	case ok && scheme == "file":
		u, err := url.Parse(uri)
		if err != nil {
			return database{}, fmt.Errorf("DATABASE_URL: %w", err)
		}
		path = u.Path
		if u.Opaque != "" {
			if path, err = url.PathUnescape(u.Opaque); err != nil {
				return database{}, fmt.Errorf("DATABASE_URL: %w", err)
			}
		}
	case strings.Contains(uri, "://"):
		return database{}, fmt.Errorf("DATABASE_URL: %s:// is neither sqlite:// nor postgres://", scheme)
	default:
		path, options = text, ""
	}
	if path == "" || path == ":memory:" {
		return database{}, fmt.Errorf("DATABASE_URL: has to name a file")
	}
	if options != "" {
		options += "&" // the driver takes the first of two
	}
	dsn := "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + options + sqliteOptions
	// One connection, because SQLite has one writer anyway: waiting for it in the
	// pool is fair and wakes at once, while SQLite itself polls with growing pauses.
	return database{dialector: sqlite.Open(dsn), secretsFile: path + ".secrets", connections: 1}, nil
}

// parsePostgres reads the URL of a Postgres.
func parsePostgres(text string) (database, error) {
	u, err := url.Parse(text)
	if err != nil {
		return database{}, errors.New("DATABASE_URL: is not a URL") // err quotes it, and it may hold a password
	}
	options := u.Query()
	if !options.Has("connect_timeout") {
		// A server that has gone silent takes connections and answers none.
		// database/sql opens new ones under no deadline, so without this limit the
		// pool would wait for the first of them for ever, even after the server is back.
		u.RawQuery = strings.TrimPrefix(u.RawQuery+"&connect_timeout=2", "&")
	}
	mode := options.Get("default_query_exec_mode")
	return database{
		dialector:   postgres.Open(u.String()),
		secretsFile: "sessile.secrets",
		connections: 20,
		maxIdle:     5 * time.Minute, // what a burst has opened
		maxAge:      time.Hour,       // so that they follow a name that leads elsewhere
		unprepared:  mode != "" && mode != "cache_statement",
	}, nil
}

// open returns the database and what closes it.
func (d database) open() (*gorm.DB, func() error, error) {
	db, err := d.connect()
	if err != nil {
		return nil, nil, fmt.Errorf("open the database: %w", err)
	}
	pool, err := db.DB()
	if err != nil {
		return nil, nil, err
	}
	pool.SetMaxOpenConns(d.connections)
	pool.SetMaxIdleConns(d.connections)
	pool.SetConnMaxIdleTime(d.maxIdle)
	pool.SetConnMaxLifetime(d.maxAge)
	return db, pool.Close, nil
}

func (d database) connect() (db *gorm.DB, err error) {
	err = whileLocked(func() error {
		// GORM's own logger would print the values of slow statements.
		db, err = gorm.Open(d.dialector, &gorm.Config{Logger: logger.Discard})
		return err
	})
	return db, err
}

// whileLocked calls f again, for about 10 s, while another process has the SQLite file
// locked. Several that make a new one at once need it: one of them turns WAL on, and
// for that SQLite lets nobody wait.
func whileLocked(f func() error) error {
	for pause := 10 * time.Millisecond; ; pause *= 2 {
		err := f()
		if err == nil || pause > 5*time.Second || !strings.Contains(err.Error(), "database is locked") {
			return err
		}
		<-time.After(pause)
	}
}
