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

// account and invitation are tables of the host's own.
type account struct {
	ID   string `gorm:"primaryKey"`
	Name string
}

type invitation struct {
	Code   string `gorm:"primaryKey"`
	UsedBy string
}

// txKey is under which a context carries the transaction that its call runs in.
type txKey struct{}

// inTransaction runs f in a transaction, with a context that carries it.
func inTransaction(ctx context.Context, db *gorm.DB, f func(ctx context.Context, tx *gorm.DB) error) error {
	return db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		return f(context.WithValue(ctx, txKey{}, tx), tx)
	})
}

// handle is the transaction that ctx carries, or else db.
func handle(ctx context.Context, db *gorm.DB) *gorm.DB {
	if tx, ok := ctx.Value(txKey{}).(*gorm.DB); ok {
		db = tx
	}
	return db.WithContext(ctx)
}

// accounts returns the host's Config.Users. Create calls it with the context of its own
// call, so inside a transaction it asks there. On db it would not see the account that
// was just added; and if db has one connection, which the transaction holds, it would
// wait for ever.
func accounts(db *gorm.DB) func(context.Context, string) (sessions.User, error) {
	return func(ctx context.Context, id string) (sessions.User, error) {
		var a account
		found := handle(ctx, db).Limit(1).Find(&a, "id = ?", id)
		switch {
		case found.Error != nil:
			return sessions.User{}, found.Error // unknown: 503, and nobody is signed out
		case found.RowsAffected == 0:
			return sessions.User{}, sessions.ErrUserNotFound
		}
		return sessions.User{ID: a.ID, Name: a.Name}, nil
	}
}

// signUp adds an account, signs it in and uses up its invitation: all or nothing.
func signUp(ctx context.Context, db *gorm.DB, st *store.Store, manager *sessions.Manager, a account,
	code string) (sessions.Grant, error) {
	var grant sessions.Grant
	var joined *sessions.Joined
	err := inTransaction(ctx, db, func(ctx context.Context, tx *gorm.DB) error {
		if err := tx.Create(&a).Error; err != nil {
			return err
		}
		var err error
		joined = manager.Join(st.In(tx))
		if grant, err = joined.Create(ctx, sessions.CreateParams{UserID: a.ID}); err != nil {
			return err
		}
		used := tx.Model(&invitation{}).Where("code = ? AND used_by = ''", code).Update("used_by", a.ID)
		if used.Error == nil && used.RowsAffected == 0 {
			return errors.New("the invitation is used up")
		}
		return used.Error
	})
	if err != nil {
		return sessions.Grant{}, err // and nobody hears of a session that is not there
	}
	joined.Committed(ctx)
	return grant, nil
}

// signUps lets two users sign up with one invitation.
func signUps(ctx context.Context, db *gorm.DB, out io.Writer) error {
	if err := db.AutoMigrate(&account{}, &invitation{}); err != nil {
		return err
	}
	if err := db.Create(&invitation{Code: "welcome"}).Error; err != nil {
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
		Users:     accounts(db),
		Secrets:   [][]byte{bytes.Repeat([]byte("example "), 4)}, // 32 random bytes, from your secret store
		Issuer:    "https://app.example",
		ProjectID: "my-app",
		OnEvent: func(_ context.Context, e sessions.Event) {
			fmt.Fprintln(out, "event:", e.Type, e.Session.UserID)
		},
	})
	if err != nil {
		return err
	}

	for _, a := range []account{{ID: "alice", Name: "Alice"}, {ID: "bob", Name: "Bob"}} {
		if _, err := signUp(ctx, db, st, manager, a, "welcome"); err != nil {
			fmt.Fprintln(out, "not signed up:", err)
		}
		list, err := manager.List(ctx, a.ID, sessions.ListOptions{})
		if err != nil {
			return err
		}
		_, err = accounts(db)(ctx, a.ID)
		fmt.Fprintf(out, "%s: an account: %t, sessions: %d\n", a.Name, err == nil, len(list.Sessions))
	}
	return nil
}

// An account, its first session and its invitation in one transaction, on SQLite
// with its one connection: everything inside goes through tx, the host's lookup of
// the user too.
func ExampleStore_In_signUp() {
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

	if err := signUps(context.Background(), db, os.Stdout); err != nil {
		log.Fatal(err)
	}
	// Output:
	// event: created alice
	// Alice: an account: true, sessions: 1
	// not signed up: the invitation is used up
	// Bob: an account: false, sessions: 0
}
