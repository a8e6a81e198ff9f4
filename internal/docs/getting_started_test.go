package docs_test

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"gorm.io/driver/sqlite"
	"gorm.io/gorm"

	"github.com/sessile-go/sessile/middleware"
	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

// Account is a table that the app has anyway.
type Account struct {
	ID       string `gorm:"primaryKey"`
	Name     string
	Email    string
	Disabled bool
}

// findUser is sessions.Config.Users for a GORM model.
func findUser(db *gorm.DB) func(context.Context, string) (sessions.User, error) {
	return func(ctx context.Context, id string) (sessions.User, error) {
		var a Account
		found := db.WithContext(ctx).Limit(1).Find(&a, "id = ?", id)
		switch {
		case found.Error != nil:
			return sessions.User{}, found.Error // unknown: the answer is 503, and nobody is signed out
		case found.RowsAffected == 0:
			return sessions.User{}, sessions.ErrUserNotFound
		case a.Disabled:
			return sessions.User{}, sessions.ErrUserDisabled
		}
		return sessions.User{ID: a.ID, Name: a.Name, Email: a.Email}, nil
	}
}

// openMemory opens a database that is gone after the test.
func openMemory(t *testing.T) *gorm.DB {
	t.Helper()
	db, err := gorm.Open(sqlite.Open(":memory:"), &gorm.Config{})
	if err != nil {
		t.Fatal(err)
	}
	sqlDB, err := db.DB()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sqlDB.Close() })
	sqlDB.SetMaxOpenConns(1)
	return db
}

func TestUsersOfGORM(t *testing.T) {
	t.Parallel()
	db := openMemory(t)
	if err := db.AutoMigrate(&Account{}); err != nil {
		t.Fatal(err)
	}
	if err := db.Create([]Account{{ID: "alice", Name: "Alice"}, {ID: "mallory", Disabled: true}}).Error; err != nil {
		t.Fatal(err)
	}
	users := findUser(db)
	if user, err := users(t.Context(), "alice"); err != nil || user.Name != "Alice" {
		t.Errorf("alice: %+v, %v", user, err)
	}
	for id, want := range map[string]error{"mallory": sessions.ErrUserDisabled, "nobody": sessions.ErrUserNotFound} {
		if _, err := users(t.Context(), id); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", id, err, want)
		}
	}
}

func integers(config *sessions.Config, findName func(context.Context, int64) (string, error)) {
	config.Users = sessions.IntUsers(func(ctx context.Context, id int64) (sessions.User, error) {
		name, err := findName(ctx, id)
		if errors.Is(err, sql.ErrNoRows) {
			return sessions.User{}, sessions.ErrUserNotFound
		}
		return sessions.User{Name: name}, err
	})
}

func TestUsersWithIntegerIDs(t *testing.T) {
	t.Parallel()
	kit := sessionstest.New(t, func(config *sessions.Config) {
		integers(config, func(_ context.Context, id int64) (string, error) {
			if id != 7 {
				return "", sql.ErrNoRows
			}
			return "Alice", nil
		})
	})
	create := func(ctx context.Context, manager *sessions.Manager, account struct{ ID int64 }) error {
		grant, err := manager.Create(ctx, sessions.CreateParams{UserID: sessions.IntID(account.ID)})
		if err == nil && grant.Session.UserID != "7" {
			t.Errorf("a session of %q", grant.Session.UserID)
		}
		return err
	}
	if err := create(t.Context(), kit.Manager, struct{ ID int64 }{7}); err != nil {
		t.Error(err)
	}
	if err := create(t.Context(), kit.Manager, struct{ ID int64 }{8}); !errors.Is(err, sessions.ErrUserNotFound) {
		t.Errorf("a session of nobody: %v", err)
	}
}

// serve runs the server and the upkeep of its sessions until ctx is done.
func serve(ctx context.Context, server *http.Server, manager *sessions.Manager) error {
	upkeep, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop() // after the last request, which still needs it
	ended := make(chan error, 2)
	go func() { ended <- manager.Run(upkeep) }()
	go func() { ended <- server.ListenAndServe() }()
	select {
	case err := <-ended:
		return err // the clocks are apart, or the port is taken
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(upkeep, 10*time.Second)
	defer cancel()
	return server.Shutdown(grace)
}

func TestServe(t *testing.T) {
	t.Parallel()
	manager := sessionstest.New(t).Manager
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := serve(ctx, &http.Server{Addr: "127.0.0.1:0"}, manager); err != nil {
		t.Error(err)
	}
	if err := serve(t.Context(), &http.Server{Addr: "127.0.0.1:none"}, manager); err == nil {
		t.Error("it served without a port")
	}
}

func TestOrdersAreTheCallersOwn(t *testing.T) {
	t.Parallel()
	kit := sessionstest.New(t) // a Manager in memory, with the users alice and bob and a clock that stands still
	handler := middleware.Require(kit.Manager)(http.HandlerFunc(orders))

	r := httptest.NewRequest(http.MethodGet, "/orders", nil)
	r.Header = kit.SignIn(t, "alice").Header()
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	if w.Code != http.StatusOK || w.Body.String() != "orders of alice" {
		t.Errorf("%d %s", w.Code, w.Body)
	}

	kit.Clock.Advance(time.Hour) // the access token has expired
	w = httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	if w.Code != http.StatusUnauthorized {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func orders(w http.ResponseWriter, r *http.Request) {
	id, _ := sessions.FromContext(r.Context())
	_, _ = w.Write([]byte("orders of " + id.UserID))
}
