package main

import (
	"path/filepath"
	"testing"

	"gorm.io/gorm"

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
