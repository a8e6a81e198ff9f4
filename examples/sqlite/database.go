package main

import (
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
	// connections is how many may be open at once.
	connections int
}

// sqliteOptions are what a server wants of SQLite, by the names of its driver.
//
//   - WAL lets readers go on while somebody writes.
//   - The busy time-out lets a writer wait for another process instead of failing.
//   - FULL, because with NORMAL, the driver's default in WAL mode, a power failure
//     can take back a commit that was answered already: a session that was ended
//     would be live again.
//   - Immediate transactions take the write lock at their start. One that reads
//     first and then writes would fail at once if another wrote in between.
const sqliteOptions = "_journal_mode=WAL&_busy_timeout=10000&_synchronous=FULL&_txlock=immediate"

// parseDatabase reads DATABASE_URL.
func parseDatabase(text string) (database, error) {
	if strings.HasPrefix(text, "postgres://") || strings.HasPrefix(text, "postgresql://") {
		if _, err := url.Parse(text); err != nil {
			return database{}, fmt.Errorf("DATABASE_URL: is not a URL") // err quotes it, and it may hold a password
		}
		return database{postgres.Open(text), "sessile.secrets", 20}, nil
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
	return database{sqlite.Open(dsn), path + ".secrets", 1}, nil
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
	return db, pool.Close, nil
}

// connect tries again while several processes make a new file at once: one of them
// turns WAL on, and for that SQLite lets nobody wait.
func (d database) connect() (*gorm.DB, error) {
	for pause := 10 * time.Millisecond; ; pause *= 2 {
		// GORM's own logger would print the values of slow statements.
		db, err := gorm.Open(d.dialector, &gorm.Config{Logger: logger.Discard})
		if err == nil || pause > 5*time.Second || !strings.Contains(err.Error(), "database is locked") {
			return db, err
		}
		<-time.After(pause)
	}
}
