package store_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/sessile-go/sessile/internal/pgtest"
	"github.com/sessile-go/sessile/store"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
)

// statements returns those of a store's migrations, in order, without the comments.
func statements(t testing.TB, st *store.Store) []string {
	t.Helper()
	var all []string
	for _, name := range names(t, st.Migrations()) {
		text, err := fs.ReadFile(st.Migrations(), name)
		must(t, err)
		code := regexp.MustCompile(`(?m)^--.*\n`).ReplaceAllString(string(text), "")
		all = append(all, strings.Split(strings.TrimSuffix(code, ";\n"), ";\n")...)
	}
	return all
}

func names(t testing.TB, files fs.FS) []string {
	t.Helper()
	names, err := fs.Glob(files, "*")
	must(t, err)
	return names
}

// createTable returns the statement that makes a table.
func createTable(t testing.TB, st *store.Store, quoted string) string {
	t.Helper()
	all := statements(t, st)
	i := slices.IndexFunc(all, func(s string) bool {
		return strings.HasPrefix(s, "CREATE TABLE IF NOT EXISTS "+quoted+" (")
	})
	if i < 0 {
		t.Fatalf("no statement makes %s", quoted)
	}
	return all[i]
}

func TestMigrationsAreAFileSystem(t *testing.T) {
	t.Parallel()
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			cfg := store.Config{Table: "logins"}
			if d.name == "postgres" {
				cfg.Schema = "auth"
			}
			files := newStore(t, open(t, d.open(t)), cfg).Migrations()
			must(t, fstest.TestFS(files, "00001_sessions.up.sql"))
			dir := t.TempDir()
			must(t, os.CopyFS(dir, files))
			for _, name := range names(t, files) {
				got, err := os.ReadFile(filepath.Join(dir, name))
				must(t, err)
				golden := filepath.Join("testdata", "migrations", d.name, name)
				if *update {
					must(t, os.WriteFile(golden, got, 0o600))
				}
				want, err := os.ReadFile(golden)
				must(t, err)
				if string(got) != string(want) {
					t.Errorf("%s is\n%s\nwant\n%s", name, got, want)
				}
			}
		})
	}
}

// TestMigrationsKeepTheirRules holds the files to what the tools and Migrate need.
func TestMigrationsKeepTheirRules(t *testing.T) {
	t.Parallel()
	var numbered [2][]string
	for i, d := range databases {
		files := newStore(t, open(t, d.open(t)), store.Config{}).Migrations()
		numbered[i] = names(t, files)
		for at, name := range numbered[i] {
			if want := fmt.Sprintf(`^%05d_\w+\.up\.sql$`, at+1); !regexp.MustCompile(want).MatchString(name) {
				t.Errorf("%s: want %s", name, want)
			}
			text, err := fs.ReadFile(files, name)
			must(t, err)
			header, code, _ := strings.Cut(string(text), "-- +goose Up\n")
			if bytes.ContainsAny(text, "{}?@") {
				t.Errorf("%s %s: has a placeholder", d.name, name)
			}
			if strings.Contains(code, "CONCURRENTLY") {
				if header != noTransaction || strings.Count(code, ";") != 1 {
					t.Errorf("%s %s: want the headers of a file without transaction, and one statement", d.name, name)
				}
				continue
			}
			if header != "" {
				t.Errorf("%s %s begins with %q", d.name, name, header)
			}
			if d.name == "postgres" && !strings.HasPrefix(code, "SET LOCAL lock_timeout = '2s';\n") {
				t.Errorf("%s %s: waits for locks without a limit", d.name, name)
			}
			alone := strings.HasPrefix(code, "CREATE INDEX") && strings.Count(code, ";") == 1
			record := fmt.Sprintf("(version, applied_at)\nVALUES (%d, ", at+1)
			if !alone && !strings.Contains(code, record) {
				t.Errorf("%s %s: does not record its version", d.name, name)
			}
		}
	}
	if !slices.Equal(numbered[0], numbered[1]) {
		t.Errorf("SQLite has %v, Postgres has %v", numbered[0], numbered[1])
	}
}

// noTransaction is on top of the files of Postgres that build an index next to writers.
const noTransaction = "-- atlas:txmode none\n-- +goose NO TRANSACTION\n"

// later returns the migrations of an imaginary later version of the package: a column,
// an index on it that is built apart, an index that goes, and one that comes.
func later(t testing.TB, st *store.Store, dialect string) fs.FS {
	t.Helper()
	files := fstest.MapFS{}
	for _, name := range names(t, st.Migrations()) {
		text, err := fs.ReadFile(st.Migrations(), name)
		must(t, err)
		files[name] = &fstest.MapFile{Data: text}
	}
	n := len(files)
	limit, concurrently, header := "", "", ""
	if dialect == "postgres" {
		limit, concurrently = "SET LOCAL lock_timeout = '50ms';\n", "CONCURRENTLY "
		header = noTransaction
	}
	add := func(name, header, text string) {
		n++
		text = strings.ReplaceAll(text, "{n}", fmt.Sprint(n))
		files[fmt.Sprintf("%05d_%s.up.sql", n, name)] = &fstest.MapFile{Data: []byte(header + "-- +goose Up\n" + text)}
	}
	const record = `INSERT INTO "sessile_sessions_migrations" (version, applied_at)
VALUES ({n}, 1) ON CONFLICT DO NOTHING;
`
	add("label", "", limit+record+`ALTER TABLE "sessile_sessions" ADD COLUMN label TEXT NOT NULL DEFAULT '';
`)
	add("label_index", header, `CREATE INDEX `+concurrently+`IF NOT EXISTS "sessile_sessions_label_idx"
ON "sessile_sessions" (label)
WHERE label <> '';
`)
	add("expires_index", "", limit+record+`DROP INDEX IF EXISTS "sessile_sessions_expires_idx";
CREATE INDEX IF NOT EXISTS "sessile_sessions_later_idx" ON "sessile_sessions" (expires_at, id);
`)
	return files
}

func versions(t testing.TB, db *gorm.DB) (all []int) {
	t.Helper()
	must(t, db.Raw(`SELECT version FROM sessile_sessions_migrations ORDER BY version`).Scan(&all).Error)
	return all
}

// indexes returns the names of those that can be used.
func indexes(t testing.TB, db *gorm.DB) (all []string) {
	t.Helper()
	query := `SELECT name FROM sqlite_master WHERE type = 'index' AND name LIKE '%_idx' ORDER BY name`
	if db.Name() == "postgres" {
		query = `SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE c.relnamespace = CAST(current_schema() AS regnamespace) AND i.indisvalid AND c.relname LIKE '%_idx'
ORDER BY c.relname`
	}
	must(t, db.Raw(query).Scan(&all).Error)
	return all
}

// TestReplicasOfALaterVersionMigrateAtOnce upgrades a database in use, and has the older
// version start on it.
func TestReplicasOfALaterVersionMigrateAtOnce(t *testing.T) {
	t.Parallel()
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			dialector := d.open(t)
			db := open(t, dialector)
			older := migrated(t, db)
			s := created(t, older, session("u"))
			newest := versions(t, db)
			n := len(newest)
			files := later(t, older, d.name)

			replicas := make([]*store.Store, 10)
			for i := range replicas {
				replicas[i] = newStore(t, open(t, dialector), store.Config{})
			}
			migrate := func(i int) error { return replicas[i].MigrateFiles(t.Context(), files) }
			for _, err := range together(len(replicas), migrate) {
				t.Error(err)
			}
			if got, want := versions(t, db), append(newest, n+1, n+3); !slices.Equal(got, want) {
				t.Errorf("recorded %v, want %v: the index is its own record", got, want)
			}
			want := []string{
				"sessile_sessions_audit_acts_idx", "sessile_sessions_audit_user_idx",
				"sessile_sessions_ended_idx", "sessile_sessions_label_idx", "sessile_sessions_later_idx",
				"sessile_sessions_parent_idx", "sessile_sessions_user_idx",
			}
			if got := indexes(t, db); !slices.Equal(got, want) {
				t.Errorf("indexes %q, want %q", got, want)
			}

			must(t, older.Migrate(t.Context()))
			if got := indexes(t, db); !slices.Equal(got, want) {
				t.Errorf("the older version leaves the indexes %q, want %q", got, want)
			}
			if got, err := older.Get(t.Context(), s.ID); err != nil || got != s {
				t.Errorf("the older version reads %+v, %v, want %+v", got, err, s)
			}
			must(t, db.Exec(`DELETE FROM sessile_sessions`).Error)
			life(t, older)
		})
	}
}

// TestALaterVersionMigratesFirst has an older version find an empty database, and a later
// one migrate it before the older one has the lock.
func TestALaterVersionMigratesFirst(t *testing.T) {
	t.Parallel()
	dialector := postgres.Open(pgtest.DSN(t))
	db, other := open(t, dialector), open(t, dialector)
	older, newer := newStore(t, db, store.Config{}), newStore(t, other, store.Config{})
	var want []string
	var once sync.Once
	must(t, db.Callback().Raw().Before("gorm:raw").Register("meanwhile", func(*gorm.DB) {
		once.Do(func() {
			if err := newer.MigrateFiles(t.Context(), later(t, newer, "postgres")); err != nil {
				t.Error(err)
			}
			want = indexes(t, other)
		})
	}))
	must(t, older.Migrate(t.Context()))
	if got := indexes(t, db); len(want) == 0 || !slices.Equal(got, want) {
		t.Errorf("the older version leaves the indexes %q, want %q", got, want)
	}
}

// TestAMigrationThatFailsChangesNothing has the last statement of the last of several files
// fail.
func TestAMigrationThatFailsChangesNothing(t *testing.T) {
	t.Parallel()
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			db := open(t, d.open(t))
			st := migrated(t, db)
			recorded, built := versions(t, db), indexes(t, db)
			files := later(t, st, d.name)
			broken := fstest.MapFS{}
			for _, name := range names(t, files) {
				text, err := fs.ReadFile(files, name)
				must(t, err)
				broken[name] = &fstest.MapFile{Data: text}
			}
			last := broken[slices.Max(names(t, files))]
			last.Data = append(last.Data, "INSERT INTO nowhere VALUES (1);\n"...)

			err := st.MigrateFiles(t.Context(), broken)
			if err == nil || !strings.Contains(err.Error(), "nowhere") {
				t.Errorf("got %v, want the error of the last statement", err)
			}
			if got := versions(t, db); !slices.Equal(got, recorded) {
				t.Errorf("recorded %v, want %v", got, recorded)
			}
			if got := indexes(t, db); !slices.Equal(got, built) {
				t.Errorf("indexes %q, want %q", got, built)
			}
			if db.Migrator().HasColumn(store.DefaultTable, "label") {
				t.Error("the column of an earlier file is there")
			}
			life(t, st)
			must(t, st.MigrateFiles(t.Context(), files))
			if got := versions(t, db); len(got) <= len(recorded) {
				t.Errorf("recorded %v afterwards", got)
			}
		})
	}
}

// TestAnOlderVersionSaysWhatItCannotWorkWith has a column renamed that it needs.
func TestAnOlderVersionSaysWhatItCannotWorkWith(t *testing.T) {
	t.Parallel()
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			db := open(t, d.open(t))
			st := migrated(t, db)
			must(t, db.Exec(`INSERT INTO sessile_sessions_migrations VALUES (99, 1)`).Error)
			must(t, db.Exec(`ALTER TABLE sessile_sessions RENAME COLUMN reason TO why`).Error)
			want := `at version 99 does not suit this version of the package: column reason is missing`
			if err := st.Migrate(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want one that says %q", err, want)
			}
			must(t, db.Exec(`DROP TABLE sessile_sessions`).Error)
			want = `table "sessile_sessions" is missing, but its migrations are recorded`
			if err := st.Migrate(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want one that says %q", err, want)
			}
		})
	}
}

func TestMigrateRefusesARecordThatItDidNotMake(t *testing.T) {
	t.Parallel()
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			db := open(t, d.open(t))
			must(t, db.Exec(`CREATE TABLE sessile_sessions_migrations (version TEXT)`).Error)
			err := newStore(t, db, store.Config{}).Migrate(t.Context())
			want := `table "sessile_sessions_migrations" was not made by this package`
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("took a table of the host's for its own: %v", err)
			}
			if db.Migrator().HasTable(store.DefaultTable) {
				t.Error("made a table next to it")
			}
		})
	}
}

// TestMigrateTakesOverTablesWithoutARecord has the tables that a tool has made of the
// DDL alone.
func TestMigrateTakesOverTablesWithoutARecord(t *testing.T) {
	t.Parallel()
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			db := open(t, d.open(t))
			st := migrated(t, db)
			s := created(t, st, session("u"))
			want := versions(t, db)
			must(t, db.Exec(`DROP TABLE sessile_sessions_migrations`).Error)
			must(t, st.Migrate(t.Context()))
			if got := versions(t, db); !slices.Equal(got, want) {
				t.Errorf("recorded %v, want %v", got, want)
			}
			if _, err := st.Get(t.Context(), s.ID); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestMigrateWaitsForLocksInTurns has a transaction hold the table until the migration
// has given up once: everybody else waits for a table after whoever waits to alter it.
func TestMigrateWaitsForLocksInTurns(t *testing.T) {
	t.Parallel()
	dialector := postgres.Open(pgtest.DSN(t))
	db, other := open(t, dialector), open(t, dialector)
	st := migrated(t, db)
	reader := other.Begin()
	must(t, reader.Exec(`LOCK TABLE sessile_sessions IN ACCESS SHARE MODE`).Error)
	refused := 0
	must(t, db.Callback().Raw().After("gorm:raw").Register("release", func(db *gorm.DB) {
		var state interface{ SQLState() string }
		if errors.As(db.Error, &state) && state.SQLState() == "55P03" {
			if refused++; refused == 1 {
				if err := reader.Rollback().Error; err != nil {
					t.Error(err)
				}
			}
		}
	}))
	must(t, st.MigrateFiles(t.Context(), later(t, st, "postgres")))
	if refused == 0 {
		t.Error("no attempt ended by lock_timeout")
	}
}

func TestMigrateInATransactionRestoresItsLockTimeout(t *testing.T) {
	t.Parallel()
	db := open(t, postgres.Open(pgtest.DSN(t)))
	st := newStore(t, db, store.Config{})
	must(t, db.Transaction(func(tx *gorm.DB) error {
		must(t, tx.Exec(`SET LOCAL lock_timeout = '7s'`).Error)
		must(t, st.In(tx).Migrate(t.Context()))
		var timeout string
		must(t, tx.Raw(`SHOW lock_timeout`).Scan(&timeout).Error)
		if timeout != "7s" {
			t.Errorf("lock_timeout is %s afterwards, want 7s", timeout)
		}
		return nil
	}))
}

// TestALostIndexIsBuiltNextToWriters has ten replicas start while one index is missing
// and another one is what a failed build has left.
func TestALostIndexIsBuiltNextToWriters(t *testing.T) {
	t.Parallel()
	dialector := postgres.Open(pgtest.DSN(t))
	db := open(t, dialector)
	st := migrated(t, db)
	created(t, st, session("u"))
	created(t, st, session("u"))
	want := indexes(t, db)
	must(t, db.Exec(`DROP INDEX sessile_sessions_ended_idx, sessile_sessions_user_idx`).Error)
	unique := `CREATE UNIQUE INDEX CONCURRENTLY sessile_sessions_user_idx ON sessile_sessions (user_id)`
	if db.Exec(unique).Error == nil {
		t.Fatal("two sessions of one user made a unique index")
	}

	var mu sync.Mutex
	built := make(map[string]int)
	replicas := make([]*store.Store, 10)
	for i := range replicas {
		db := open(t, dialector)
		must(t, db.Callback().Raw().After("gorm:raw").Register("count", func(db *gorm.DB) {
			if sql := db.Statement.SQL.String(); strings.Contains(sql, "INDEX") {
				mu.Lock()
				defer mu.Unlock()
				built[strings.Join(strings.Fields(sql)[:3], " ")]++
			}
		}))
		replicas[i] = newStore(t, db, store.Config{})
	}
	for _, err := range together(len(replicas), func(i int) error { return replicas[i].Migrate(t.Context()) }) {
		t.Error(err)
	}
	if got := indexes(t, db); !slices.Equal(got, want) {
		t.Errorf("indexes %q, want %q", got, want)
	}
	if built["CREATE INDEX CONCURRENTLY"] != 2 || built["CREATE INDEX IF"] != 0 {
		t.Errorf("statements: %v, want two indexes that were built concurrently", built)
	}
}

// TestSQLiteIgnoresTheCaseOfATable has a host write the name of its table in another way.
func TestSQLiteIgnoresTheCaseOfATable(t *testing.T) {
	t.Parallel()
	db := open(t, databases[0].open(t))
	migrated(t, db)
	life(t, migratedAs(t, db, store.Config{Table: "Sessile_Sessions"}))
}

// TestAnIndexOfTheHostStays has one of that name on another table.
func TestAnIndexOfTheHostStays(t *testing.T) {
	t.Parallel()
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			db := open(t, d.open(t))
			must(t, db.Exec(`CREATE TABLE users (id TEXT)`).Error)
			must(t, db.Exec(`CREATE INDEX sessile_sessions_ended_idx ON users (id)`).Error)
			st := newStore(t, db, store.Config{})
			for range 2 {
				err := st.Migrate(t.Context())
				if err == nil || !strings.Contains(err.Error(), "index sessile_sessions_ended_idx was not made") {
					t.Errorf("got %v, want one that names the index", err)
				}
			}
			if !db.Migrator().HasIndex("users", "sessile_sessions_ended_idx") {
				t.Error("the index of the host is gone")
			}
			must(t, db.Exec(`DROP INDEX sessile_sessions_ended_idx`).Error)
			must(t, st.Migrate(t.Context()))
			life(t, st)
		})
	}
}

// TestAnIndexNeedsASecondConnection has a pool of one: an error, not a wait for ever.
func TestAnIndexNeedsASecondConnection(t *testing.T) {
	t.Parallel()
	db := open(t, postgres.Open(pgtest.DSN(t)))
	st := migrated(t, db)
	must(t, db.Exec(`DROP INDEX sessile_sessions_ended_idx`).Error)
	pool(t, db).SetMaxOpenConns(1)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	err := st.Migrate(ctx)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "needs two connections") {
		t.Errorf("got %v, want one that says what is needed", err)
	}
	pool(t, db).SetMaxOpenConns(2)
	must(t, st.Migrate(t.Context()))
}

// TestAReplicaOnlyReadsOnceASchemaIsThere has a role that may not make anything.
func TestAReplicaOnlyReadsOnceASchemaIsThere(t *testing.T) {
	t.Parallel()
	db := open(t, postgres.Open(pgtest.DSN(t)))
	st := migrated(t, db)
	must(t, db.Transaction(func(tx *gorm.DB) error {
		must(t, tx.Exec(`SET TRANSACTION READ ONLY`).Error)
		must(t, st.In(tx).Migrate(t.Context()))
		return nil
	}, &sql.TxOptions{ReadOnly: true}))
}
