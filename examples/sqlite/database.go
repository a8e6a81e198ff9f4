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

// database has the settings of the database.
type database struct {
	dialector gorm.Dialector
	// secretsFile keeps the secrets that the app made.
	secretsFile string
	// connections is how many may be open at once. All of them stay open: database/sql
	// keeps two by default, and a busy server would keep opening new ones.
	connections int
	// maxIdle and maxAge limit how long a connection may be unused, and how long it may
	// live. Zero is no limit.
	maxIdle, maxAge time.Duration
	// unprepared is true if statements must not be prepared, because a pooler gives
	// each transaction another connection.
	unprepared bool
}

// sqliteOptions are the settings of SQLite for a server, by the names of its driver.
//
//   - WAL lets readers continue during a write.
//   - The busy time-out lets a writer wait for another process instead of failing. It is
//     short because SQLite waits all that time even if the request is over. The store
//     tries again by itself.
//   - FULL makes commits durable. With NORMAL, the driver's default in WAL mode, a power
//     failure can undo a commit that was already answered, and an ended session would be
//     live again.
//   - Immediate transactions take the write lock at their start. A deferred one that reads
//     and then writes fails at once if another has written meanwhile.
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
		return database{}, fmt.Errorf("DATABASE_URL: must name a file")
	}
	if options != "" {
		options += "&" // the driver takes the first of two
	}
	dsn := "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + options + sqliteOptions
	// One connection, because SQLite has one writer: the pool queues fairly and wakes a
	// waiter at once, while SQLite polls with growing pauses.
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
		// A server that hangs accepts connections and does not answer. database/sql opens
		// connections without a deadline, so without this limit the pool would wait for the
		// first of them for ever, even after the server is back.
		u.RawQuery = strings.TrimPrefix(u.RawQuery+"&connect_timeout=2", "&")
	}
	mode := options.Get("default_query_exec_mode")
	return database{
		dialector:   postgres.Open(u.String()),
		secretsFile: "sessile.secrets",
		connections: 20,
		maxIdle:     5 * time.Minute, // closes what a burst opened
		maxAge:      time.Hour,       // follows a change of the host's DNS
		unprepared:  mode != "" && mode != "cache_statement",
	}, nil
}

// open returns the database and a func that closes it.
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

// whileLocked repeats f, for about 10 s, while another process has locked the SQLite file.
// Processes that create a file at the same time need it: one of them turns WAL on, and
// SQLite does not let the others wait for that.
func whileLocked(f func() error) error {
	for pause := 10 * time.Millisecond; ; pause *= 2 {
		err := f()
		if err == nil || pause > 5*time.Second || !strings.Contains(err.Error(), "database is locked") {
			return err
		}
		<-time.After(pause)
	}
}
