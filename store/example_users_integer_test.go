package store_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"

	"github.com/sessile-go/sessile/sessions"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
)

// Person is a model of the host's own, with ids that are numbers.
type Person struct {
	ID   int64 `gorm:"primaryKey"`
	Name string
}

// people returns a Config.Users over integer ids. Only "7" is the user 7: were "007" and
// "+7" the same user, to end the sessions of "7" would leave theirs alive.
func people(db *gorm.DB) func(context.Context, string) (sessions.User, error) {
	return sessions.IntUsers(func(ctx context.Context, id int64) (sessions.User, error) {
		var p Person
		found := db.WithContext(ctx).Limit(1).Find(&p, "id = ?", id)
		switch {
		case found.Error != nil:
			return sessions.User{}, found.Error // unknown: 503, and nobody is signed out
		case found.RowsAffected == 0:
			return sessions.User{}, sessions.ErrUserNotFound
		}
		return sessions.User{Name: p.Name}, nil
	})
}

func lookUpPeople(ctx context.Context, db *gorm.DB, out io.Writer) error {
	if err := db.AutoMigrate(&Person{}); err != nil {
		return err
	}
	if err := db.Create(&Person{ID: 7, Name: "Alice"}).Error; err != nil {
		return err
	}
	cfg := sessions.Config{Users: people(db)} // and the rest
	for _, id := range []string{"7", "007", "+7", "7.0", " 7", "8", "99999999999999999999"} {
		user, err := cfg.Users(ctx, id)
		fmt.Fprintf(out, "%q: %q %v\n", id, user.Name, err)
	}
	return nil
}

// The users are in a table with integer ids.
func Example_usersWithIntegerIDs() {
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

	if err := lookUpPeople(context.Background(), db, os.Stdout); err != nil {
		log.Fatal(err)
	}
	// Output:
	// "7": "Alice" <nil>
	// "007": "" sessions: user not found
	// "+7": "" sessions: user not found
	// "7.0": "" sessions: user not found
	// " 7": "" sessions: user not found
	// "8": "" sessions: user not found
	// "99999999999999999999": "" sessions: user not found
}
