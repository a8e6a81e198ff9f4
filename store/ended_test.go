package store_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sessile-go/sessile/store"
	"gorm.io/gorm"
)

// go test ./store -run TestEndedCostsTheSame -ended.rows=10000000 -v shows the
// figures at a size that takes minutes to fill.
var endedRows = flag.Int("ended.rows", 100_000, "rows of the larger table in TestEndedCostsTheSameHoweverManyThereAre")

// fill adds n sessions, a multiple of 10,000, by one statement. Six of ten ended in
// the month before the last hour, one of a hundred is an impersonation. 100 have
// ended within the 10 s before t0, and each has a dependent that nobody has marked.
func fill(ctx context.Context, db *gorm.DB, n int) error {
	numbers, id := `WITH RECURSIVE g(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM g WHERE i < @last) `,
		`printf('0195e000-0000-7000-8000-%%012x', %s)`
	from := `g`
	if db.Name() == "postgres" {
		numbers, from, id = ``, `generate_series(CAST(0 AS bigint), @last) AS g(i)`,
			`CAST('0195e000-0000-7000-8000-' || lpad(to_hex(%s), 12, '0') AS uuid)`
	}
	query := `INSERT INTO sessile_sessions (id, user_id, created_at, last_used_at, expires_at,
auth_time, impersonation, actor, reason, created_by, parent_session_id,
client_ip, client_user_agent, handoff_hash, handoff_expires_at, handoff_uses,
current, parent, answered_at, recoveries, refresh_outcome, ended_at, end_reason, ended_by)
` + numbers + `SELECT ` + fmt.Sprintf(id, `i`) +
		`, 'user ' || i / 3, @now - i * 1000, @now - i * 500, @now + i * 1000, @now,
CASE WHEN i % 100 = 7 THEN 1 ELSE 0 END, '', '', 'backend',
CASE WHEN i % 100 = 7 THEN ` + fmt.Sprintf(id, `i - 7`) +
		` END, '192.0.2.1', 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0',
'', 0, 0, 1, 0, @now, 0, 0,
CASE WHEN i % @recent = 0 THEN @now - i % 10 * 999999
WHEN i % 100 <> 7 AND i % 10 < 6 THEN @now - 3600000000 - i * 7919 % 2592000 * 1000000 END, '', ''
FROM ` + from
	return db.WithContext(ctx).Exec(query, map[string]any{
		"last": n - 1, "now": t0.UnixMicro(), "recent": n / 100,
	}).Error
}

// statement is what a call of the store's sends, and its arguments.
func statement(t *testing.T, db *gorm.DB, call func(st *store.Store) error) (query string, args []any) {
	t.Helper()
	watched := db.Session(&gorm.Session{NewDB: true})
	must(t, watched.Callback().Row().Before("gorm:row").Register(t.Name(), func(tx *gorm.DB) {
		query, args = tx.Statement.SQL.String(), tx.Statement.Vars
	}))
	must(t, call(newStore(t, watched, store.Config{})))
	must(t, watched.Callback().Row().Remove(t.Name()))
	return query, args
}

// explanation is how Postgres ran a statement.
type explanation struct {
	plan                string
	buffers             int
	planning, execution float64 // milliseconds
}

func (e explanation) String() string {
	return fmt.Sprintf("%d buffers, planning %.2f ms, execution %.2f ms", e.buffers, e.planning, e.execution)
}

// analyzed prepares a statement whose arguments are all BIGINT and runs it some
// times, so that the last finds warm caches. From the sixth on, Postgres chooses
// between a plan for the arguments and one for any, if mode lets it.
func analyzed(t *testing.T, db *gorm.DB, mode, query string, args []any) explanation {
	t.Helper()
	var e explanation
	must(t, db.Connection(func(conn *gorm.DB) error {
		types := strings.TrimSuffix(strings.Repeat("bigint, ", len(args)), ", ")
		values := strings.Trim(fmt.Sprint(args), "[]")
		for _, q := range []string{`SET plan_cache_mode = ` + mode, `PREPARE ended(` + types + `) AS ` + query} {
			if err := conn.Exec(q).Error; err != nil {
				return err
			}
		}
		var out string
		for range 8 {
			if err := conn.Raw(`EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE ended(` + strings.ReplaceAll(values,
				" ", ", ") + `)`).Row().Scan(&out); err != nil {
				return err
			}
		}
		var all []struct {
			Plan struct {
				Hit  int `json:"Shared Hit Blocks"`
				Read int `json:"Shared Read Blocks"`
			}
			Planning  float64 `json:"Planning Time"`
			Execution float64 `json:"Execution Time"`
		}
		if err := json.Unmarshal([]byte(out), &all); err != nil {
			return err
		}
		e = explanation{
			plan: out, buffers: all[0].Plan.Hit + all[0].Plan.Read, planning: all[0].Planning,
			execution: all[0].Execution,
		}
		return conn.Exec(`DEALLOCATE ended`).Error
	}))
	return e
}

// TestEndedCostsTheSameHoweverManyThereAre asks for the last 10 s, as the poll of
// every second does. A prepared statement may be planned for its arguments or for
// any, before or after a vacuum: none may look at more than it returns.
func TestEndedCostsTheSameHoweverManyThereAre(t *testing.T) {
	t.Parallel()
	since := t0.Add(-10 * time.Second)
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			sizes := []int{10_000, *endedRows}
			if d.name == "sqlite" {
				sizes[1] = min(sizes[1], 1_000_000)
			}
			buffers := make(map[string]int)
			for _, n := range sizes {
				db := open(t, d.open(t))
				st := migrated(t, db)
				for _, index := range []string{"user", "ended", "expires", "parent"} { // faster to build than to keep
					must(t, db.Exec(`DROP INDEX sessile_sessions_`+index+`_idx`).Error)
				}
				must(t, fill(t.Context(), db, n))
				must(t, st.Migrate(t.Context()))
				must(t, db.Exec(`ANALYZE`).Error)

				best := time.Hour
				for range 20 {
					begun := time.Now()
					list, err := st.Ended(t.Context(), since)
					if err != nil || len(list) != 200 {
						t.Fatalf("of %d rows: %d have ended, %v, want 200", n, len(list), err)
					}
					best = min(best, time.Since(begun))
				}
				t.Logf("%d rows, a call: %v at best", n, best)
				if d.name == "sqlite" {
					continue
				}

				query, args := statement(t, db, func(st *store.Store) error {
					_, err := st.Ended(t.Context(), since)
					return err
				})
				for _, vacuum := range []bool{false, true} {
					if vacuum {
						must(t, db.Exec(`VACUUM sessile_sessions`).Error)
					}
					for _, mode := range []string{"auto", "force_custom_plan", "force_generic_plan"} {
						e, what := analyzed(t, db, mode, query, args), fmt.Sprintf("%s, vacuumed %t", mode, vacuum)
						t.Logf("%d rows, %s: %v", n, what, e)
						// 100 ends, each looked up in an index of up to three more levels. 200 rows
						// more if another test's snapshot keeps a vacuum from its work.
						if few := buffers[what]; few > 0 && e.buffers > few+500 ||
							strings.Contains(e.plan, `"Seq Scan"`) {
							t.Errorf("%d rows, %s: %d buffers, %d of the smaller table\n%s", n, what,
								e.buffers, few, e.plan)
						}
						buffers[what] = e.buffers
					}
				}
			}
		})
	}
}
