package stores

import (
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/sessile-go/sessile/internal/pgtest"
	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/storetest"
	"github.com/sessile-go/sessile/store/sqlstore"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	for _, d := range drivers {
		for face, on := range faces {
			for _, audited := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/audit log %t", d.name, face, audited), func(t *testing.T) {
					t.Parallel()
					storetest.Run(t, func(t testing.TB) sessions.Store {
						return on(t, d.open(t), d.dialect, sqlstore.Config{AuditLog: audited})
					})
				})
			}
		}
	}
}

// TestOneOfManyPresentationsActs has 32 callers present each token at once.
func TestOneOfManyPresentationsActs(t *testing.T) {
	t.Parallel()
	for _, d := range drivers {
		for face, on := range faces {
			t.Run(d.name+"/"+face, func(t *testing.T) {
				t.Parallel()
				refreshTogether(t, on(t, d.open(t), d.dialect, sqlstore.Config{}))
			})
		}
	}
}

func refreshTogether(t *testing.T, st sessions.Store) {
	t.Helper()
	const callers, tokens = 32, 10
	now := time.Date(2026, time.March, 4, 5, 6, 7, 0, time.UTC)
	s := sessions.Session{
		ID: uuid.Must(uuid.NewV7()).String(), UserID: "alice",
		CreatedAt: now, LastUsedAt: now, ExpiresAt: now.Add(time.Hour),
	}
	must(t, st.Create(t.Context(), s))
	for token := int64(1); token <= tokens; token++ {
		var rotated, overlapped atomic.Int64
		var all sync.WaitGroup
		for range callers {
			all.Go(func() {
				r, err := st.Refresh(t.Context(), sessions.RefreshParams{
					ID: s.ID, Presented: token,
					Rotation: sessions.Rotation{Overlap: time.Minute}, Moment: sessions.Moment{Now: now},
				})
				switch {
				case err != nil || r.State.Current != token+1:
					t.Errorf("token %d: successor %d, %v", token, r.State.Current, err)
				case r.Outcome == sessions.OutcomeRotated:
					rotated.Add(1)
				case r.Outcome == sessions.OutcomeOverlap:
					overlapped.Add(1)
				}
			})
		}
		all.Wait()
		if rotated.Load() != 1 || overlapped.Load() != callers-1 {
			t.Fatalf("token %d: %d rotations and %d overlaps", token, rotated.Load(), overlapped.Load())
		}
	}
}

// TestPgBouncerInTransactionMode has more callers than PgBouncer has connections to the
// server, and nothing prepared.
func TestPgBouncerInTransactionMode(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(t testing.TB, dsn string) *sql.DB{
		"lib/pq": func(t testing.TB, dsn string) *sql.DB {
			t.Helper()
			return open(t, "postgres", with(t, dsn, map[string]string{"binary_parameters": "yes"}))
		},
		"pgxpool": func(t testing.TB, dsn string) *sql.DB {
			t.Helper()
			return fromPool(t, with(t, dsn, map[string]string{"default_query_exec_mode": "exec"}))
		},
	} {
		for face, on := range faces {
			t.Run(name+"/"+face, func(t *testing.T) {
				t.Parallel()
				db := open(t, pgtest.BouncerDSN(t))
				db.SetMaxOpenConns(16)
				cfg := sqlstore.Config{NoPreparedStatements: true, AuditLog: true}
				refreshTogether(t, on(t, db, sqlstore.Postgres, cfg))
			})
		}
	}
}

// TestModerncWithoutCgo builds and runs the tests of that driver in an environment that has
// no C compiler.
func TestModerncWithoutCgo(t *testing.T) {
	t.Parallel()
	const those = "^(TestConformance|TestOneOfManyPresentationsActs)$/^modernc$"
	cmd := exec.Command("go", "test", "-count=1", "-v", "-run="+those, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "CC=/nowhere/cc")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	// A pattern that names no test passes, too.
	for _, want := range []string{
		"TestConformance/modernc/gorm/audit_log_true/prune/", "TestConformance/modernc/sqlstore/audit_log_true/prune/",
		"TestOneOfManyPresentationsActs/modernc/gorm ", "TestOneOfManyPresentationsActs/modernc/sqlstore ",
	} {
		if !strings.Contains(string(out), "--- PASS: "+want) {
			t.Errorf("%s did not run", want)
		}
	}
}
