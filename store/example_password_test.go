package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/store"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
)

// login is a table of the host's own.
type login struct {
	UserID       string `gorm:"primaryKey"`
	PasswordHash string
}

// changePassword changes a password and ends the user's sessions but the one that
// asked for it: both, or neither. check is what else has to be well.
func changePassword(ctx context.Context, db *gorm.DB, st *store.Store, manager *sessions.Manager, l login, keep string,
	check func() error) error {
	var joined *sessions.Joined
	err := db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		if err := tx.Save(&l).Error; err != nil {
			return err
		}
		joined = manager.Join(st.In(tx))
		if _, err := joined.EndMany(ctx, sessions.EndManyParams{
			UserID: l.UserID, ExceptID: keep, Reason: "password_changed", By: l.UserID,
		}); err != nil {
			return err
		}
		return check()
	})
	if err != nil {
		return err
	}
	// From here on this process refuses the access tokens of what has ended.
	joined.Committed(ctx)
	return nil
}

// passwordChanges changes a password twice, the first time in vain.
func passwordChanges(ctx context.Context, db *gorm.DB, out io.Writer) error {
	if err := db.AutoMigrate(&login{}); err != nil {
		return err
	}
	st, err := store.New(db, store.Config{})
	if err != nil {
		return err
	}
	if err := st.Migrate(ctx); err != nil {
		return err
	}
	manager, err := sessions.New(sessions.Config{
		Store:     st,
		Users:     func(_ context.Context, id string) (sessions.User, error) { return sessions.User{ID: id}, nil },
		Secrets:   [][]byte{bytes.Repeat([]byte("example "), 4)}, // 32 random bytes, from your secret store
		Issuer:    "https://app.example",
		ProjectID: "my-app",
		OnEvent: func(_ context.Context, e sessions.Event) {
			fmt.Fprintf(out, "event: %s %q\n", e.Type, e.Session.EndReason)
		},
	})
	if err != nil {
		return err
	}
	laptop, err := manager.Create(ctx, sessions.CreateParams{UserID: "alice"})
	if err != nil {
		return err
	}
	phone, err := manager.Create(ctx, sessions.CreateParams{UserID: "alice"})
	if err != nil {
		return err
	}

	for _, check := range []func() error{
		func() error { return errors.New("the mail could not be queued") },
		func() error { return nil },
	} {
		err := changePassword(ctx, db, st, manager, login{"alice", "hash of the new one"}, laptop.Session.ID, check)
		fmt.Fprintln(out, "changed:", err == nil)
		for _, g := range []sessions.Grant{laptop, phone} {
			_, err := manager.Verify(g.AccessToken.Reveal())
			fmt.Fprintln(out, "- signed in:", err == nil)
		}
	}
	return nil
}

// A changed password and the end of the other sessions in one transaction.
func ExampleStore_In_passwordChange() {
	db, err := gorm.Open(sqlite.Open(":memory:"), &gorm.Config{})
	if err != nil {
		log.Fatal(err)
	}
	sqlDB, err := db.DB()
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = sqlDB.Close() }()
	sqlDB.SetMaxOpenConns(1)

	if err := passwordChanges(context.Background(), db, os.Stdout); err != nil {
		log.Fatal(err)
	}
	// Output:
	// event: created ""
	// event: created ""
	// changed: false
	// - signed in: true
	// - signed in: true
	// event: ended "password_changed"
	// changed: true
	// - signed in: true
	// - signed in: false
}
