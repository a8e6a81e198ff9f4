package interop

import (
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	atlas "ariga.io/atlas/sql/migrate"
	atlaspostgres "ariga.io/atlas/sql/postgres"
	atlassqlite "ariga.io/atlas/sql/sqlite"
	"github.com/golang-migrate/migrate/v4"
	"github.com/golang-migrate/migrate/v4/database"
	pgxmigrate "github.com/golang-migrate/migrate/v4/database/pgx/v5"
	"github.com/golang-migrate/migrate/v4/database/sqlite3"
	"github.com/golang-migrate/migrate/v4/source/iofs"
	"github.com/pressly/goose/v3"
	"github.com/sessile-go/sessile/internal/pgtest"
	"github.com/sessile-go/sessile/store"
	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// tools run all files of a file system on a database.
var tools = []struct {
	name string
	up   func(t *testing.T, db *gorm.DB, files fs.FS)
}{
	{"goose", func(t *testing.T, db *gorm.DB, files fs.FS) {
		dialect := goose.DialectSQLite3
		if db.Name() == "postgres" {
			dialect = goose.DialectPostgres
		}
		provider, err := goose.NewProvider(dialect, pool(t, db), files)
		must(t, err)
		_, err = provider.Up(t.Context())
		must(t, err)
	}},
	{"golang-migrate", func(t *testing.T, db *gorm.DB, files fs.FS) {
		source, err := iofs.New(files, ".")
		must(t, err)
		var driver database.Driver
		if db.Name() == "postgres" {
			driver, err = pgxmigrate.WithInstance(pool(t, db), &pgxmigrate.Config{})
		} else {
			driver, err = sqlite3.WithInstance(pool(t, db), &sqlite3.Config{})
		}
		must(t, err)
		m, err := migrate.NewWithInstance("iofs", source, db.Name(), driver)
		must(t, err)
		if err := m.Up(); !errors.Is(err, migrate.ErrNoChange) {
			must(t, err)
		}
	}},
	{"Atlas", func(t *testing.T, db *gorm.DB, files fs.FS) {
		folder := t.TempDir()
		must(t, os.CopyFS(folder, files))
		dir, err := atlas.NewLocalDir(folder)
		must(t, err)
		sum, err := dir.Checksum()
		must(t, err)
		must(t, atlas.WriteSumFile(dir, sum)) // atlas migrate hash
		openDriver := atlassqlite.Open
		if db.Name() == "postgres" {
			openDriver = atlaspostgres.Open
		}
		driver, err := openDriver(pool(t, db))
		must(t, err)
		executor, err := atlas.NewExecutor(driver, dir, atlas.NopRevisionReadWriter{}, atlas.WithAllowDirty(true))
		must(t, err)
		must(t, executor.ExecuteN(t.Context(), 0))
	}},
}

var dialects = []struct {
	name string
	open func(t *testing.T) gorm.Dialector
}{
	{"sqlite", func(t *testing.T) gorm.Dialector {
		return sqlite.Open("file:" + filepath.Join(t.TempDir(), "app.db"))
	}},
	{"postgres", func(t *testing.T) gorm.Dialector { return postgres.Open(pgtest.DSN(t)) }},
}

func openLogins(t *testing.T, dialector gorm.Dialector) (*gorm.DB, *store.Store) {
	t.Helper()
	db, err := gorm.Open(dialector, &gorm.Config{Logger: logger.Discard})
	must(t, err)
	t.Cleanup(func() { must(t, pool(t, db).Close()) })
	st, err := store.New(db, store.Config{Table: "logins"})
	must(t, err)
	return db, st
}

// TestMigrationToolsEndWhereMigrateDoes has each tool run the files on a database of its
// own, before and after Migrate.
func TestMigrationToolsEndWhereMigrateDoes(t *testing.T) {
	t.Parallel()
	for _, d := range dialects {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			reference, st := openLogins(t, d.open(t))
			must(t, st.Migrate(t.Context()))
			want := schemaOf(t, reference)
			if len(want) < 9 {
				t.Fatalf("Migrate made %q", want)
			}
			for _, tool := range tools {
				t.Run(tool.name, func(t *testing.T) {
					t.Parallel()
					db, st := openLogins(t, d.open(t))
					for range 2 {
						tool.up(t, db, st.Migrations())
						if got := schemaOf(t, db); !slices.Equal(got, want) {
							t.Fatalf("the tool made\n%s", difference(got, want))
						}
					}
					statements := 0
					must(t, db.Callback().Raw().Before("*").Register("count", func(*gorm.DB) { statements++ }))
					must(t, st.Migrate(t.Context()))
					if statements != 0 {
						t.Errorf("Migrate had %d statements left to run", statements)
					}

					after, st := openLogins(t, d.open(t))
					must(t, st.Migrate(t.Context()))
					tool.up(t, after, st.Migrations())
					if got := schemaOf(t, after); !slices.Equal(got, want) {
						t.Errorf("after Migrate the tool made\n%s", difference(got, want))
					}
				})
			}
		})
	}
}

// TestMigrationToolsRunTheFilesOfLaterVersions adds the kinds of files that later versions
// of the package will have.
func TestMigrationToolsRunTheFilesOfLaterVersions(t *testing.T) {
	t.Parallel()
	for _, d := range dialects {
		for _, tool := range tools {
			t.Run(tool.name+" on "+d.name, func(t *testing.T) {
				t.Parallel()
				db, st := openLogins(t, d.open(t))
				files := fstest.MapFS{}
				first, err := fs.ReadFile(st.Migrations(), "00001_sessions.up.sql")
				must(t, err)
				files["00001_sessions.up.sql"] = &fstest.MapFile{Data: first}
				limit, header, concurrently := "", "", ""
				if d.name == "postgres" {
					limit, concurrently = "SET LOCAL lock_timeout = '2s';\n", "CONCURRENTLY "
					header = "-- atlas:txmode none\n-- +goose NO TRANSACTION\n"
				}
				files["00002_label.up.sql"] = &fstest.MapFile{Data: []byte("-- +goose Up\n" + limit +
					`INSERT INTO "logins_migrations" (version, applied_at) VALUES (2, 1) ON CONFLICT DO NOTHING;
ALTER TABLE "logins" ADD COLUMN label TEXT NOT NULL DEFAULT '';
`)}
				files["00003_label_index.up.sql"] = &fstest.MapFile{Data: []byte(header + "-- +goose Up\n" +
					"CREATE INDEX " + concurrently + `IF NOT EXISTS "logins_label_idx" ON "logins" (label)
WHERE label <> '';
`)}
				tool.up(t, db, files)
				var labels, recorded int
				must(t, db.Raw(`SELECT count(label) FROM logins`).Scan(&labels).Error)
				must(t, db.Raw(`SELECT max(version) FROM logins_migrations`).Scan(&recorded).Error)
				if recorded != 2 || !db.Migrator().HasIndex("logins", "logins_label_idx") {
					t.Errorf("version %d is recorded, want 2 and an index", recorded)
				}
				must(t, st.Migrate(t.Context())) // an older version starts on it
			})
		}
	}
}

// schemaOf returns everything that the database knows of our tables: columns, indexes,
// options, and the recorded versions.
func schemaOf(t *testing.T, db *gorm.DB) []string {
	t.Helper()
	query := `SELECT sql FROM sqlite_master WHERE tbl_name GLOB 'logins*' AND sql IS NOT NULL`
	if db.Name() == "postgres" {
		query = `SELECT concat_ws(' ', c.relname, c.reloptions, a.attnum, a.attname,
	format_type(a.atttypid, a.atttypmod), a.attcollation, a.attnotnull, a.atthasdef)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
WHERE c.relnamespace = CAST(current_schema() AS regnamespace) AND c.relkind = 'r' AND c.relname LIKE 'logins%'
UNION ALL SELECT replace(indexdef, current_schema(), 'app') FROM pg_indexes
WHERE schemaname = current_schema() AND tablename LIKE 'logins%'`
	}
	var all, versions []string
	must(t, db.Raw(query).Scan(&all).Error)
	recorded := `SELECT CAST(version AS text) FROM logins_migrations WHERE applied_at > 1000000000000000`
	must(t, db.Raw(recorded).Scan(&versions).Error)
	for _, v := range versions {
		all = append(all, "version "+v)
	}
	slices.Sort(all)
	return all
}

func difference(got, want []string) string {
	return strings.Join(got, "\n") + "\nwant\n" + strings.Join(want, "\n")
}

func pool(t *testing.T, db *gorm.DB) *sql.DB {
	t.Helper()
	pool, err := db.DB()
	must(t, err)
	return pool
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
