package store_test

import (
	"fmt"
	"io/fs"
	"log"
	"strings"

	"github.com/sessile-go/sessile/store"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
)

// A table and a schema of the host's choice. New does no I/O, so a program that
// writes the files for a migration tool needs no server.
func ExampleConfig() {
	db, err := gorm.Open(postgres.Open("postgres://app@db.internal/app"), &gorm.Config{DisableAutomaticPing: true})
	if err != nil {
		log.Fatal(err)
	}
	st, err := store.New(db, store.Config{Schema: "auth", Table: "logins"}) // CREATE SCHEMA is the host's
	if err != nil {
		log.Fatal(err)
	}
	ddl, err := fs.ReadFile(st.Migrations(), "00001_sessions.up.sql")
	if err != nil {
		log.Fatal(err)
	}
	for line := range strings.Lines(string(ddl)) {
		if name, ok := strings.CutPrefix(line, "CREATE "); ok {
			fmt.Println(strings.Fields(name)[0], strings.Fields(name)[4])
		}
	}
	// Output:
	// TABLE "auth"."logins_migrations"
	// TABLE "auth"."logins"
	// INDEX "logins_user_idx"
	// INDEX "logins_ended_idx"
	// INDEX "logins_expires_idx"
	// INDEX "logins_parent_idx"
	// TABLE "auth"."logins_audit"
	// INDEX "logins_audit_user_idx"
	// INDEX "logins_audit_acts_idx"
}
