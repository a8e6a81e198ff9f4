package store_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"github.com/sessile-go/sessile/sessions"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
)

// Member is a model of the host's own, with ids that are text.
type Member struct {
	ID        string `gorm:"primaryKey"`
	Name      string
	Email     string
	Verified  bool
	Suspended bool
	CreatedAt time.Time
}

// members returns a Config.Users over a GORM model. If the host creates sessions in its own
// transactions, db must be that of the context, see Store.In.
func members(db *gorm.DB) func(context.Context, string) (sessions.User, error) {
	return func(ctx context.Context, id string) (sessions.User, error) {
		var m Member
		found := db.WithContext(ctx).Limit(1).Find(&m, "id = ?", id)
		switch {
		case found.Error != nil:
			return sessions.User{}, found.Error // unknown: 503, and nobody is signed out
		case found.RowsAffected == 0:
			return sessions.User{}, sessions.ErrUserNotFound
		case m.Suspended:
			return sessions.User{}, sessions.ErrUserDisabled
		}
		return sessions.User{
			ID: m.ID, Name: m.Name, Email: m.Email, EmailVerified: m.Verified, SignedUpAt: m.CreatedAt,
		}, nil
	}
}

func lookUpMembers(ctx context.Context, db *gorm.DB, out io.Writer) error {
	if err := db.AutoMigrate(&Member{}); err != nil {
		return err
	}
	all := []Member{{ID: "alice", Name: "Alice"}, {ID: "mallory", Name: "Mallory", Suspended: true}}
	if err := db.Create(all).Error; err != nil {
		return err
	}
	cfg := sessions.Config{Users: members(db)} // and the rest
	for _, id := range []string{"alice", "mallory", "nobody"} {
		user, err := cfg.Users(ctx, id)
		fmt.Fprintf(out, "%s: %q %v\n", id, user.Name, err)
	}
	return nil
}

// Users are a GORM model.
func Example_users() {
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

	if err := lookUpMembers(context.Background(), db, os.Stdout); err != nil {
		log.Fatal(err)
	}
	// Output:
	// alice: "Alice" <nil>
	// mallory: "" sessions: user disabled
	// nobody: "" sessions: user not found
}
