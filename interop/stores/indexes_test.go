package stores

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"github.com/sessile-go/sessile/internal/pgtest"
	"github.com/sessile-go/sessile/store/sqlstore"
)

// TestMigrateBuildsALostIndex does so with each driver: CREATE INDEX CONCURRENTLY waits for
// every snapshot that another connection holds, and what a driver leaves open may hold one.
func TestMigrateBuildsALostIndex(t *testing.T) {
	t.Parallel()
	pools := map[string]func(t testing.TB) *sql.DB{
		"pgxpool through PgBouncer": func(t testing.TB) *sql.DB {
			t.Helper()
			return fromPool(t, with(t, pgtest.BouncerDSN(t), map[string]string{"default_query_exec_mode": "exec"}))
		},
	}
	for _, d := range drivers {
		if d.dialect == sqlstore.Postgres {
			pools[d.name] = d.open
		}
	}
	for driver, open := range pools {
		for face, on := range faces {
			for _, unprepared := range []bool{false, true} {
				if !unprepared && driver == "pgxpool through PgBouncer" {
					continue
				}
				name := driver + "/" + face + "/prepared"
				if unprepared {
					name = driver + "/" + face + "/unprepared"
				}
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					db := open(t)
					st, ok := on(t, db, sqlstore.Postgres, sqlstore.Config{NoPreparedStatements: unprepared}).(migrator)
					if !ok {
						t.Fatal("a face has no Migrate")
					}
					ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
					defer cancel()
					_, err := db.ExecContext(ctx, `DROP INDEX sessile_sessions_ended_idx`)
					must(t, err)
					must(t, st.Migrate(ctx))
					var valid bool
					must(t, db.QueryRowContext(ctx, `SELECT indisvalid FROM pg_index
WHERE indexrelid = CAST('sessile_sessions_ended_idx' AS regclass)`).Scan(&valid))
					if !valid {
						t.Error("the index is not valid")
					}
				})
			}
		}
	}
}
