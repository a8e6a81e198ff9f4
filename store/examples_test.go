package store_test

import (
	"context"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/sessile-go/sessile/sessions"
	"gorm.io/gorm"
)

// TestTheExamplesDoTheSameOnBothDatabases runs what the Examples run on SQLite, with
// one connection on either.
func TestTheExamplesDoTheSameOnBothDatabases(t *testing.T) {
	t.Parallel()
	for name, example := range map[string]func(ctx context.Context, db *gorm.DB, out io.Writer) error{
		"sign-ups":           signUps,
		"password changes":   passwordChanges,
		"users":              lookUpMembers,
		"users of sqlc":      lookUpCustomers,
		"users with numbers": lookUpPeople,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var said []string
			for _, d := range databases {
				db := open(t, d.open(t))
				pool(t, db).SetMaxOpenConns(1)
				var out strings.Builder
				must(t, example(t.Context(), db, &out))
				said = append(said, out.String())
			}
			if said[0] != said[1] || said[0] == "" {
				t.Errorf("on SQLite:\n%s\non Postgres:\n%s", said[0], said[1])
			}
		})
	}
}

// TestALookupBesideTheTransactionWaitsForIt is why the examples carry the transaction
// in the context.
func TestALookupBesideTheTransactionWaitsForIt(t *testing.T) {
	t.Parallel()
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			db := open(t, d.open(t))
			pool(t, db).SetMaxOpenConns(1)
			must(t, db.AutoMigrate(&account{}))
			must(t, db.Create(&account{ID: "alice"}).Error)

			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			must(t, inTransaction(ctx, db, func(inside context.Context, _ *gorm.DB) error {
				if _, err := accounts(db)(inside, "alice"); err != nil {
					t.Errorf("in the transaction: %v", err)
				}
				waiting, done := pool(t, db).Stats().WaitCount, make(chan error)
				beside, giveUp := context.WithCancel(ctx)
				go func() { _, err := accounts(db)(beside, "alice"); done <- err }()
				for pool(t, db).Stats().WaitCount == waiting {
					runtime.Gosched() // until it waits
				}
				giveUp()
				if err := <-done; !errors.Is(err, context.Canceled) || errors.Is(err, sessions.ErrUserNotFound) {
					t.Errorf("beside it: %v, want that it gave up", err)
				}
				return nil
			}))
		})
	}
}
