package interop

import (
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/storetest"
	"github.com/sessile-go/sessile/store"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
	_ "modernc.org/sqlite" // the driver "sqlite", without cgo
)

// openModernc opens a file as docs/stores.md says: GORM's own dialect over the
// driver modernc.org/sqlite.
func openModernc(t testing.TB, file string, connections int) *store.Store {
	t.Helper()
	pool, err := sql.Open(
		"sqlite",
		"file:"+file+
			"?_pragma=journal_mode(WAL)&_pragma=busy_timeout(1000)&_pragma=synchronous(FULL)&_txlock=immediate",
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
	})
	pool.SetMaxOpenConns(connections)
	db, err := gorm.Open(sqlite.New(sqlite.Config{Conn: pool}), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		t.Fatal(err)
	}
	st, err := store.New(db, store.Config{AuditLog: connections > 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return st
}

func TestModerncKeepsTheContract(t *testing.T) {
	t.Parallel()
	for _, connections := range []int{1, 8} {
		t.Run(fmt.Sprintf("%d connections", connections), func(t *testing.T) {
			t.Parallel()
			storetest.Run(t, func(t testing.TB) sessions.Store {
				return openModernc(t, filepath.Join(t.TempDir(), "sessions.db"), connections)
			})
		})
	}
}

// TestModerncRotatesATokenOnce has 32 callers present each token at once, through
// two pools on one file, as two processes have them.
func TestModerncRotatesATokenOnce(t *testing.T) {
	t.Parallel()
	const callers, tokens = 32, 20
	file := filepath.Join(t.TempDir(), "sessions.db")
	stores := []*store.Store{openModernc(t, file, 1), openModernc(t, file, 8)}
	now := time.Date(2026, time.March, 4, 5, 6, 7, 0, time.UTC)
	s := sessions.Session{
		ID: uuid.Must(uuid.NewV7()).String(), UserID: "alice", CreatedAt: now, LastUsedAt: now,
		ExpiresAt: now.Add(time.Hour),
	}
	if err := stores[0].Create(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	for token := int64(1); token <= tokens; token++ {
		var mu sync.Mutex
		outcomes := make(map[sessions.Outcome]int)
		var all sync.WaitGroup
		for i := range callers {
			all.Go(func() {
				r, err := stores[i%2].Refresh(t.Context(), sessions.RefreshParams{
					ID: s.ID, Presented: token, Rotation: sessions.Rotation{Overlap: time.Minute},
					Moment: sessions.Moment{Now: now},
				})
				if err != nil || r.State.Current != token+1 {
					t.Errorf("token %d: successor %d, %v", token, r.State.Current, err)
				}
				mu.Lock()
				defer mu.Unlock()
				outcomes[r.Outcome]++
			})
		}
		all.Wait()
		if outcomes[sessions.OutcomeRotated] != 1 || outcomes[sessions.OutcomeOverlap] != callers-1 {
			t.Fatalf("token %d: outcomes %v, want one rotation", token, outcomes)
		}
	}
}

// TestModerncWithoutCgo builds and runs the tests above in an environment that has no
// C compiler.
func TestModerncWithoutCgo(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("go", "test", "-count=1", "-run=^TestModernc(KeepsTheContract|RotatesATokenOnce)$", ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "CC=/nowhere/cc")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
