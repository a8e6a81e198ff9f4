package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/sessile-go/sessile/sessions"
)

// user is a row of the app's own table. sessile never looks at it.
type user struct {
	ID            string `gorm:"primaryKey"`
	Name          string
	Email         string
	Administrator bool
	CreatedAt     time.Time
}

// seeds returns the users that exist from the first start.
func seeds() []user {
	return []user{
		{ID: "0b7c4a1e-6f0d-4c9a-8e21-5a3d9c2f7b01", Name: "Ada Lovelace", Email: "ada@example.com"},
		{ID: "4d2e8f36-91ab-4e5c-b7d0-2c6f1a8e3d02", Name: "Alan Turing", Email: "alan@example.com"},
		{ID: "9a6f3c58-2e47-4b1d-a3c9-7e0b5d4f6a03", Name: "Grace Hopper", Email: "grace@example.com",
			Administrator: true},
	}
}

// users is the app's own table of users.
type users struct{ db *gorm.DB }

// queryLimit is how long a query may take. A request has no deadline by itself, and a
// database may hang.
const queryLimit = 5 * time.Second

// within returns the database with the time limit of one query.
func (u users) within(ctx context.Context) (*gorm.DB, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, queryLimit)
	return u.db.WithContext(ctx), cancel
}

func (u users) migrate(ctx context.Context) error {
	err := whileLocked(func() error {
		return u.db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
			if tx.Name() == "postgres" { // several processes may start at once
				if err := tx.Exec("SELECT pg_advisory_xact_lock(hashtext('users'))").Error; err != nil {
					return err
				}
			}
			if err := tx.AutoMigrate(&user{}); err != nil {
				return err
			}
			rows := seeds()
			return tx.Clauses(clause.OnConflict{DoNothing: true}).Create(&rows).Error
		})
	})
	if err != nil {
		return fmt.Errorf("make the table of users: %w", err)
	}
	return nil
}

// find returns a user, or sessions.ErrUserNotFound, or sessions.ErrUnavailable if the
// database failed.
func (u users) find(ctx context.Context, id string) (user, error) {
	// An id may come from a path, and Postgres fails on text with a zero byte.
	if uuid.Validate(id) != nil {
		return user{}, sessions.ErrUserNotFound
	}
	db, cancel := u.within(ctx)
	defer cancel()
	var found user
	err := db.Where("id = ?", id).Take(&found).Error
	switch {
	case errors.Is(err, gorm.ErrRecordNotFound):
		return user{}, sessions.ErrUserNotFound
	case err != nil:
		return user{}, fmt.Errorf("%w: find the user: %w", sessions.ErrUnavailable, err)
	}
	return found, nil
}

// ask returns an error if the database does not answer.
func (u users) ask(ctx context.Context) error {
	return u.db.WithContext(ctx).Select("id").Limit(1).Find(&[]user{}).Error
}

// all returns every user. Its error is sessions.ErrUnavailable.
func (u users) all(ctx context.Context) ([]user, error) {
	db, cancel := u.within(ctx)
	defer cancel()
	var found []user
	if err := db.Order("id").Find(&found).Error; err != nil {
		return nil, fmt.Errorf("%w: list the users: %w", sessions.ErrUnavailable, err)
	}
	return found, nil
}

// set changes one column of a user. Its errors are those of find.
func (u users) set(ctx context.Context, id, column string, value any) error {
	if uuid.Validate(id) != nil {
		return sessions.ErrUserNotFound
	}
	db, cancel := u.within(ctx)
	defer cancel()
	result := db.Model(&user{}).Where("id = ?", id).Update(column, value)
	switch {
	case result.Error != nil:
		return fmt.Errorf("%w: change the user: %w", sessions.ErrUnavailable, result.Error)
	case result.RowsAffected == 0:
		return sessions.ErrUserNotFound
	}
	return nil
}

// sessionUser is sessions.Config.Users.
func (u users) sessionUser(ctx context.Context, id string) (sessions.User, error) {
	found, err := u.find(ctx, id)
	if err != nil {
		return sessions.User{}, err
	}
	return sessions.User{
		ID:            found.ID,
		Name:          found.Name,
		Email:         found.Email,
		EmailVerified: true,
		SignedUpAt:    found.CreatedAt,
	}, nil
}

// mayImpersonate is sessions.Config.MayImpersonate: administrators may act as users who are
// not administrators. It is called again at every refresh, so it reads the table and not a
// token. An error of find means that the answer is unknown.
func (u users) mayImpersonate(ctx context.Context, actor sessions.Identity, target sessions.User) error {
	acting, err := u.find(ctx, actor.UserID)
	if err != nil {
		return err
	}
	acted, err := u.find(ctx, target.ID)
	if err != nil {
		return err
	}
	if !acting.Administrator || acted.Administrator {
		return sessions.ErrImpersonationNotAllowed
	}
	return nil
}
