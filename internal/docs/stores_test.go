package docs_test

import (
	"context"
	"database/sql"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
	"github.com/sessile-go/sessile/sessions/storetest"
	"github.com/sessile-go/sessile/store"
	"github.com/sessile-go/sessile/store/sqlstore"
)

func storeOnSQLite(ctx context.Context) (*gorm.DB, *store.Store, error) {
	dsn := "file:app.db?_journal_mode=WAL&_busy_timeout=1000&_synchronous=FULL&_txlock=immediate"
	db, err := gorm.Open(sqlite.Open(dsn), &gorm.Config{})
	if err != nil {
		return nil, nil, err
	}
	pool, err := db.DB()
	if err != nil {
		return nil, nil, err
	}
	pool.SetMaxOpenConns(1)
	st, err := store.New(db, store.Config{})
	if err != nil {
		return nil, nil, err
	}
	return db, st, st.Migrate(ctx)
}

func storeOnPostgres(ctx context.Context) (*store.Store, error) {
	db, err := gorm.Open(postgres.Open("postgres://app@db.internal/app?connect_timeout=2"), &gorm.Config{})
	if err != nil {
		return nil, err
	}
	pool, err := db.DB()
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(20)
	pool.SetMaxIdleConns(20)                 // all of them, or database/sql keeps two
	pool.SetConnMaxIdleTime(5 * time.Minute) // gives back what a burst has opened
	pool.SetConnMaxLifetime(time.Hour)       // reconnects after the host name has moved
	st, err := store.New(db, store.Config{})
	if err != nil {
		return nil, err
	}
	return st, st.Migrate(ctx)
}

func storeWithoutGORM(ctx context.Context, db *sql.DB) (*sqlstore.Store, error) {
	st, err := sqlstore.New(db, sqlstore.Postgres, sqlstore.Config{})
	if err != nil {
		return nil, err
	}
	return st, st.Migrate(ctx)
}

// writeMigrations is a program that needs no database.
func writeMigrations() error {
	db, err := sql.Open("pgx", "") // does not connect
	if err != nil {
		return err
	}
	defer db.Close()
	st, err := sqlstore.New(db, sqlstore.Postgres, sqlstore.Config{})
	if err != nil {
		return err
	}
	return os.CopyFS("migrations/sessile", st.Migrations())
}

func ownNames(db *gorm.DB) (*store.Store, error) {
	st, err := store.New(db, store.Config{Schema: "auth", Table: "logins"})
	return st, err
}

func changePassword(
	ctx context.Context, db *gorm.DB, st *store.Store, manager *sessions.Manager, account Account,
) error {
	var joined *sessions.Joined
	err := db.Transaction(func(tx *gorm.DB) error {
		if err := tx.Save(&account).Error; err != nil {
			return err
		}
		joined = manager.Join(st.In(tx))
		_, err := joined.EndMany(ctx, sessions.EndManyParams{UserID: account.ID, Reason: "password_changed"})
		return err
	})
	if err == nil {
		joined.Committed(ctx)
	}
	return err
}

func readAudit(ctx context.Context, db *gorm.DB) ([]store.AuditEntry, error) {
	st, err := store.New(db, store.Config{AuditLog: true})
	if err != nil {
		return nil, err
	}
	// The newest entries of an actor, of a user with UserID, or of both.
	entries, err := st.Audit(ctx, store.AuditQuery{Actor: "admin-7", Limit: 50})
	if err != nil || len(entries) < 50 {
		return entries, err
	}
	last := entries[len(entries)-1]
	before := &store.AuditPosition{At: last.At, ID: last.ID}
	more, err := st.Audit(ctx, store.AuditQuery{Actor: "admin-7", Limit: 50, Before: before})
	return append(entries, more...), err
}

func recordRefusals(config *sessions.Config, st *store.Store, logger *slog.Logger) {
	config.OnEvent = func(ctx context.Context, e sessions.Event) {
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

func faultyStore() sessions.Store {
	st := &sessionstest.Faults{
		Store: sessionstest.NewStore(),
		After: sessionstest.FailAt(sessionstest.MethodRefresh, 1, io.ErrUnexpectedEOF),
	}
	return st
}

func newMyStore(testing.TB) sessions.Store { return sessionstest.NewStore() }

func TestStore(t *testing.T) {
	storetest.Run(t, func(t testing.TB) sessions.Store { return newMyStore(t) })
}

func TestStores(t *testing.T) {
	t.Chdir(t.TempDir())
	ctx := t.Context()
	db, st, err := storeOnSQLite(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.AutoMigrate(&Account{}); err != nil {
		t.Fatal(err)
	}
	account := Account{ID: "alice"}
	kit := sessionstest.New(t, func(c *sessions.Config) {
		c.Store = st
		recordRefusals(c, st, slog.New(slog.DiscardHandler))
	})
	kit.SignIn(t, account.ID)
	if err := changePassword(ctx, db, st, kit.Manager, account); err != nil {
		t.Fatal(err)
	}
	if list, err := kit.List(ctx, account.ID, sessions.ListOptions{}); err != nil || len(list.Sessions) != 0 {
		t.Errorf("after a changed password: %v, %v", list.Sessions, err)
	}
	if entries, err := readAudit(ctx, db); err != nil || len(entries) != 0 {
		t.Errorf("the audit log has %v, %v", entries, err)
	}
	if err := writeMigrations(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join("migrations", "sessile", "00001_sessions.up.sql")); err != nil {
		t.Error(err)
	}
	if _, err := ownNames(db); err == nil {
		t.Error("SQLite has a schema")
	}
	if _, err := faultyStore().Now(ctx); err != nil {
		t.Error(err)
	}
	// These need a server.
	_, _ = storeOnPostgres, storeWithoutGORM
}
