package store_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"
	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/store"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
)

func Example() {
	dir, err := os.MkdirTemp("", "sessile")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()

	// See the package documentation for what each setting is for.
	dsn := "file:" + filepath.Join(dir, "app.db") +
		"?_journal_mode=WAL&_busy_timeout=1000&_synchronous=FULL&_txlock=immediate"
	db, err := gorm.Open(sqlite.Open(dsn), &gorm.Config{})
	if err != nil {
		log.Fatal(err)
	}
	sqlDB, err := db.DB()
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = sqlDB.Close() }()
	sqlDB.SetMaxOpenConns(1)

	ctx := context.Background()
	st, err := store.New(db, store.Config{})
	if err != nil {
		log.Fatal(err)
	}
	if err := st.Migrate(ctx); err != nil {
		log.Fatal(err)
	}

	// An app hands st to sessions.New. Together with its own rows it creates a
	// session through Manager.Join(st.In(tx)); both are kept, or neither.
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := sessions.Session{
		ID: uuid.Must(uuid.NewV7()).String(), UserID: "alice", CreatedAt: now, LastUsedAt: now,
		ExpiresAt: now.AddDate(1, 0, 0),
	}
	err = db.Transaction(func(tx *gorm.DB) error {
		if err := st.In(tx).Create(ctx, s); err != nil {
			return err
		}
		return errors.New("the app's own row was refused")
	})
	fmt.Println(err)

	_, err = st.Get(ctx, s.ID)
	fmt.Println(errors.Is(err, sessions.ErrNotFound))
	// Output:
	// the app's own row was refused
	// true
}
