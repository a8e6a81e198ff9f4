package store_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sessile-go/sessile/internal/pgtest"
	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/store"
	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/schema"
)

func TestTenReplicasMigrateAtOnce(t *testing.T) {
	t.Parallel()
	dsns := []struct {
		name string
		open func(t *testing.T) func() gorm.Dialector
	}{
		{"sqlite as documented", func(t *testing.T) func() gorm.Dialector {
			t.Helper()
			dsn := documented(file(t))
			return func() gorm.Dialector { return sqlite.Open(dsn) }
		}},
		{"sqlite with a rollback journal and no patience", func(t *testing.T) func() gorm.Dialector {
			t.Helper()
			dsn := "file:" + file(t) + "?_busy_timeout=0"
			return func() gorm.Dialector { return sqlite.Open(dsn) }
		}},
		{"postgres", func(t *testing.T) func() gorm.Dialector {
			t.Helper()
			dsn := pgtest.DSN(t)
			return func() gorm.Dialector { return postgres.Open(dsn) }
		}},
		{"postgres at serializable", func(t *testing.T) func() gorm.Dialector {
			t.Helper()
			dsn := withParam(t, pgtest.DSN(t), "default_transaction_isolation", "serializable")
			return func() gorm.Dialector { return postgres.Open(dsn) }
		}},
	}
	for _, d := range dsns {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			dialector := d.open(t)
			replicas := make([]*store.Store, 10)
			for i := range replicas {
				replicas[i] = newStore(t, open(t, dialector()), store.Config{AuditLog: true})
			}
			for _, err := range together(len(replicas), func(i int) error { return replicas[i].Migrate(t.Context()) }) {
				t.Error(err)
			}
			must(t, replicas[0].Migrate(t.Context()))
			life(t, replicas[9])
		})
	}
}

func TestMigrateRefusesWhatItDidNotMake(t *testing.T) {
	t.Parallel()
	// Each change makes our table somebody else's.
	changes := []struct{ name, old, changed, want string }{
		{"a column is missing", "  actor TEXT NOT NULL,\n", "", "column actor is missing"},
		{"a column has another type", "current BIGINT", "current TEXT", "column current has type"},
		{"a column may be empty", "reason TEXT NOT NULL", "reason TEXT", "column reason: NOT NULL is false"},
		{"a column may not be empty", "ended_at BIGINT", "ended_at BIGINT NOT NULL",
			"column ended_at: NOT NULL is true"},
		{"there is no primary key", "NOT NULL PRIMARY KEY", "NOT NULL", "column id: primary key is false"},
		{"a column of somebody else's needs a value", "  actor TEXT NOT NULL,\n",
			"  actor TEXT NOT NULL,\n  tenant TEXT NOT NULL,\n", "column tenant is in the way"},
	}
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			db := open(t, d.open(t))
			for i, tt := range changes {
				name := "foreign_" + string(rune('a'+i))
				st := newStore(t, db, store.Config{Table: name})
				ddl := createTable(t, st, `"`+name+`"`)
				changed := strings.Replace(ddl, tt.old, tt.changed, 1)
				if changed == ddl {
					t.Fatalf("%s: no change", tt.name)
				}
				must(t, db.Exec(changed).Error)
				before := snapshot(t, db, name)
				err := st.Migrate(t.Context())
				if err == nil || !strings.Contains(err.Error(), "was not made by this package") ||
					!strings.Contains(err.Error(), tt.want) {
					t.Errorf("%s: %v, want one that says %q", tt.name, err, tt.want)
				}
				if after := snapshot(t, db, name); !slices.Equal(before, after) {
					t.Errorf("%s: altered from %q to %q", tt.name, before, after)
				}
			}

			// The audit log is not just anybody's table either, whether it is used or not.
			must(t, db.Exec(`CREATE TABLE sessile_sessions_audit (id TEXT)`).Error)
			if err := newStore(t, db, store.Config{}).Migrate(t.Context()); err == nil ||
				!strings.Contains(err.Error(), `"sessile_sessions_audit" was not made`) {
				t.Errorf("migrate over a table of the host's: %v", err)
			}

			st := newStore(t, db, store.Config{Table: "users"})
			must(t, db.Exec(`CREATE TABLE users (id TEXT PRIMARY KEY, name TEXT)`).Error)
			if err := st.Migrate(t.Context()); err == nil {
				t.Error("took the host's table for its own")
			}
			must(t, db.Exec(`CREATE VIEW looks AS SELECT id FROM users`).Error)
			if err := newStore(t, db, store.Config{Table: "looks"}).Migrate(t.Context()); err == nil {
				t.Error("took a view for its own")
			}
		})
	}
}

// TestMigrateRefusesLooseCollations has columns that take one id for another, each of
// the text columns in turn.
func TestMigrateRefusesLooseCollations(t *testing.T) {
	t.Parallel()
	db := open(t, databases[0].open(t))
	n := 0
	for _, collation := range []string{"NOCASE", "RTRIM", "BINARY"} {
		for table := range 2 {
			for _, column := range [][]string{
				{"id", "user_id", "actor", "reason", "parent_session_id", "handoff_hash", "end_reason", "ended_by"},
				{"id", "type", "session_id", "user_id", "actor", "by", "refusal"},
			}[table] {
				n++
				st := newStore(t, db, store.Config{Table: fmt.Sprint("foreign_", n)})
				name := fmt.Sprint("foreign_", n)
				ddl := []string{createTable(t, st, `"`+name+`"`), createTable(t, st, `"`+name+`_audit"`)}
				changed := strings.Replace(ddl[table], "  "+column+" TEXT", "  "+column+" TEXT COLLATE "+collation, 1)
				if changed == ddl[table] {
					t.Fatalf("%s: no change", column)
				}
				ddl[table] = changed
				for _, statement := range ddl {
					must(t, db.Exec(statement).Error)
				}
				before := snapshot(t, db, fmt.Sprint("foreign_", n))
				err := st.Migrate(t.Context())
				if collation == "BINARY" {
					must(t, err)
					continue
				}
				if want := "column " + column + " has another collation than BINARY"; err == nil ||
					!strings.Contains(err.Error(), want) {
					t.Errorf("%s %s: %v, want one that says %q", column, collation, err, want)
				}
				if after := snapshot(t, db, fmt.Sprint("foreign_", n)); !slices.Equal(before, after) {
					t.Errorf("%s: altered from %q to %q", column, before, after)
				}
			}
		}
	}
}

// snapshot is what the database knows of a table's columns and indexes.
func snapshot(t *testing.T, db *gorm.DB, table string) []string {
	t.Helper()
	query := `SELECT coalesce(sql, name) FROM sqlite_master WHERE tbl_name = ?`
	if db.Name() == "postgres" {
		query = `SELECT column_name || ' ' || data_type || ' ' || is_nullable FROM information_schema.columns
WHERE table_schema = current_schema() AND table_name = $1
UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = current_schema() AND tablename = $1`
	}
	var all []string
	must(t, db.Raw(query, table).Scan(&all).Error)
	slices.Sort(all)
	return all
}

func TestMigrateAcceptsATableOfALaterVersionAndRestoresIndexes(t *testing.T) {
	t.Parallel()
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			db := open(t, d.open(t))
			st := migrated(t, db)
			want := snapshot(t, db, store.DefaultTable)
			must(t, db.Exec(`DROP INDEX sessile_sessions_ended_idx`).Error)
			must(t, st.Migrate(t.Context()))
			if got := snapshot(t, db, store.DefaultTable); !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
			must(t, db.Exec(`ALTER TABLE sessile_sessions ADD COLUMN later BIGINT NOT NULL DEFAULT 0`).Error)
			must(t, st.Migrate(t.Context()))
			life(t, st)
		})
	}
}

func TestMigrateOfACompleteTableNeedsNoRights(t *testing.T) {
	t.Parallel()
	name := file(t)
	migrated(t, open(t, sqlite.Open(documented(name))))
	must(t, newStore(t, open(t, sqlite.Open("file:"+name+"?mode=ro")), store.Config{}).Migrate(t.Context()))

	dsn := pgtest.DSN(t)
	migrated(t, open(t, postgres.Open(dsn)))
	readOnly := open(t, postgres.Open(withParam(t, dsn, "default_transaction_read_only", "on")))
	must(t, newStore(t, readOnly, store.Config{}).Migrate(t.Context()))
}

func TestTheSchemaAndTheTableAreTheHostsToChoose(t *testing.T) {
	t.Parallel()
	db := open(t, postgres.Open(pgtest.DSN(t)))
	var schema string
	must(t, db.Raw(`SELECT current_schema()`).Scan(&schema).Error)
	other := schema + "_other"
	must(t, db.Exec(`CREATE SCHEMA `+other).Error)
	t.Cleanup(func() { must(t, db.Exec(`DROP SCHEMA `+other+` CASCADE`).Error) })

	here, there := migrated(t, db), newStore(t, db, store.Config{Schema: other})
	must(t, there.Migrate(t.Context()))
	s := created(t, here, session("u"))
	if _, err := there.Get(t.Context(), s.ID); err == nil {
		t.Error("two schemas share a session")
	}
	life(t, there)
}

func TestMigrationsAreWhatMigrateMakes(t *testing.T) {
	t.Parallel()
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			db := open(t, d.open(t))
			st := newStore(t, db, store.Config{AuditLog: true})
			for range 2 { // they may run twice
				for _, statement := range statements(t, st) {
					must(t, db.Exec(statement).Error)
				}
			}
			tables := func() []string {
				return append(snapshot(t, db, store.DefaultTable), snapshot(t, db, store.DefaultTable+"_audit")...)
			}
			before := tables()
			must(t, st.Migrate(t.Context()))
			if after := tables(); !slices.Equal(before, after) {
				t.Errorf("got %q, want %q", after, before)
			}
		})
	}
}

// TestRowIsTheTable holds the exported model against what the database has: the same
// columns in the same order, and those that are pointers in the model may be NULL.
func TestRowIsTheTable(t *testing.T) {
	t.Parallel()
	model, err := schema.Parse(&store.Row{}, &sync.Map{}, schema.NamingStrategy{})
	must(t, err)
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			db := open(t, d.open(t))
			st := migrated(t, db)
			types, err := db.Migrator().ColumnTypes(store.DefaultTable)
			must(t, err)
			var columns []string
			for _, c := range types {
				columns = append(columns, c.Name())
				field := model.LookUpField(c.Name())
				if field == nil {
					t.Errorf("the model lacks %s", c.Name())
					continue
				}
				if nullable, ok := c.Nullable(); !ok || nullable != (field.FieldType.Kind() == reflect.Pointer) {
					t.Errorf("%s: nullable is %t, the model's type is %s", c.Name(), nullable, field.FieldType)
				}
			}
			if !slices.Equal(columns, model.DBNames) {
				t.Errorf("columns %v, the model has %v", columns, model.DBNames)
			}

			s := created(t, st, session("u"))
			rows, err := read(t.Context(), db)
			must(t, err)
			if r := rows[s.ID]; r.Session() != s || r.RefreshState() != sessions.NewRefreshState(t0) {
				t.Errorf("row %+v, want that of %+v", r, s)
			}
		})
	}
}
