package main

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"gorm.io/gorm"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
	"github.com/sessile-go/sessile/store"
)

func TestTheMigrationHasADeadline(t *testing.T) {
	t.Parallel()
	db := openDatabase(t, filepath.Join(t.TempDir(), "test.db"))
	statements := 0
	look := func(tx *gorm.DB) {
		statements++
		if _, ok := tx.Statement.Context.Deadline(); !ok {
			t.Errorf("no deadline: %s", tx.Statement.SQL.String())
		}
	}
	for _, register := range []func(string, func(*gorm.DB)) error{
		db.Callback().Raw().Before("*").Register, db.Callback().Row().Before("*").Register,
		db.Callback().Create().Before("*").Register,
	} {
		if err := register("look", look); err != nil {
			t.Fatal(err)
		}
	}
	st, err := store.New(db, store.Config{AuditLog: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := migrate(t.Context(), users{db}, st); err != nil || statements == 0 {
		t.Errorf("%d statements, %v", statements, err)
	}
}

// deadlines is a store that records the deadlines of its calls.
type deadlines struct {
	sessions.Store
	all []time.Time
}

func (d *deadlines) add(ctx context.Context) {
	at, _ := ctx.Deadline()
	d.all = append(d.all, at)
}

func (d *deadlines) Now(ctx context.Context) (time.Time, error) {
	d.add(ctx)
	return d.Store.Now(ctx)
}

func (d *deadlines) Prune(ctx context.Context, p sessions.PruneParams) (int, error) {
	d.add(ctx)
	return d.Store.Prune(ctx, p)
}

// The Manager gives each call of the store a limit of its own, which is no shorter here
// than that of the whole prune. So only the latter makes the deadlines equal.
func TestAPruneHasADeadline(t *testing.T) {
	t.Parallel()
	st := &deadlines{Store: sessionstest.NewStore()}
	manager, err := sessions.New(sessions.Config{
		Store: st, Secrets: [][]byte{[]byte("in-process tests need 32 bytes..")}, Issuer: "https://app.example",
		ProjectID:    testProject,
		Users:        func(_ context.Context, id string) (sessions.User, error) { return sessions.User{ID: id}, nil },
		StoreTimeout: upkeepLimit,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := pruneOnce(t.Context(), manager); err != nil {
		t.Fatal(err)
	}
	if len(st.all) != 2 || st.all[0].IsZero() || !st.all[0].Equal(st.all[1]) {
		t.Errorf("deadlines %v, want two that are equal", st.all)
	}
}
