package stores

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/store"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
	"gorm.io/plugin/dbresolver"
)

// TestTheResolverSendsEverythingToTheSource has a handle whose own database is neither the
// source nor the replica, for all tables and for that of the sessions alone. The changes of
// impersonations are transactions here, because of the audit log.
func TestTheResolverSendsEverythingToTheSource(t *testing.T) {
	t.Parallel()
	for _, tables := range [][]any{nil, {store.DefaultTable}} {
		for _, host := range []bool{false, true} {
			for _, unprepared := range []bool{false, true} {
				t.Run(fmt.Sprintf("%v, host prepares %t, unprepared %t", tables, host, unprepared), func(t *testing.T) {
					t.Parallel()
					handle, source, replica := lite(t), lite(t), lite(t)
					db, err := gorm.Open(handle, &gorm.Config{Logger: logger.Discard, PrepareStmt: host})
					must(t, err)
					resolver := dbresolver.Register(dbresolver.Config{
						Sources: []gorm.Dialector{source}, Replicas: []gorm.Dialector{replica},
					}, tables...)
					must(t, db.Use(resolver))
					pool, err := db.DB()
					must(t, err)
					closed(t, pool)
					t.Cleanup(func() {
						must(t, resolver.Call(func(pool gorm.ConnPool) error {
							if db, ok := pool.(*sql.DB); ok {
								return db.Close()
							}
							return nil
						}))
					})
					st, err := store.New(db, store.Config{AuditLog: true, NoPreparedStatements: unprepared})
					must(t, err)
					must(t, st.Migrate(t.Context()))
					impersonate(t, st)
					// The resolver for one table must know that it is about this one.
					own := db.Table(store.DefaultTable).Clauses(dbresolver.Write)
					must(t, own.Transaction(func(tx *gorm.DB) error {
						s := impersonation()
						s.ParentSessionID = ""
						return st.In(tx).Create(t.Context(), s)
					}))

					for name, want := range map[string]struct {
						dialector gorm.Dialector
						rows      int64
					}{"handle's": {handle, 0}, "source's": {source, 5}, "replica's": {replica, 0}} {
						if got := entries(t, want.dialector); got != want.rows {
							t.Errorf("the %s database has %d entries of the audit log, want %d", name, got, want.rows)
						}
					}
				})
			}
		}
	}
}

func lite(t *testing.T) gorm.Dialector {
	t.Helper()
	return sqlite.Open("file:" + filepath.Join(t.TempDir(), "s.db") +
		"?_journal_mode=WAL&_busy_timeout=1000&_synchronous=OFF&_txlock=immediate")
}

// now is the clock of the test.
var now = time.Date(2026, time.March, 4, 5, 6, 7, 0, time.UTC)

// impersonation is one of Alice by the boss.
func impersonation() sessions.Session {
	return sessions.Session{
		ID: uuid.Must(uuid.NewV7()).String(), UserID: "alice",
		CreatedAt: now, LastUsedAt: now, ExpiresAt: now.Add(time.Hour),
		Impersonation: true, Actor: "boss", ParentSessionID: uuid.Must(uuid.NewV7()).String(),
	}
}

// impersonate makes four changes of impersonations, and reads them.
func impersonate(t *testing.T, st *store.Store) {
	t.Helper()
	ctx := t.Context()
	s, other := impersonation(), impersonation()
	parent := s
	parent.ID, parent.UserID, parent.Impersonation, parent.Actor = s.ParentSessionID, s.Actor, false, ""
	parent.ParentSessionID, other.ParentSessionID = "", parent.ID
	must(t, st.Create(ctx, parent))
	must(t, st.Create(ctx, s))
	must(t, st.Create(ctx, other))
	if _, err := st.Refresh(ctx, sessions.RefreshParams{
		ID: s.ID, Presented: 1, Rotation: sessions.Rotation{Overlap: time.Minute}, Moment: sessions.Moment{Now: now},
	}); err != nil {
		t.Error(err)
	}
	if _, err := st.End(ctx, sessions.EndParams{ID: s.ID, Now: now, Reason: sessions.EndRevoked}); err != nil {
		t.Error(err)
	}
	all := sessions.ListParams{UserID: "alice", Impersonations: true, Moment: sessions.Moment{Now: now}}
	list, err := st.List(ctx, all)
	if err != nil || len(list) != 1 || list[0].ID != other.ID {
		t.Errorf("listed %+v, %v", list, err)
	}
	log, err := st.Audit(ctx, store.AuditQuery{UserID: "alice"})
	if err != nil || len(log) != 4 {
		t.Errorf("the audit log has %+v, %v", log, err)
	}
}

// entries counts those of the audit log, 0 if there is no such table.
func entries(t *testing.T, d gorm.Dialector) int64 {
	t.Helper()
	db, err := gorm.Open(d, &gorm.Config{Logger: logger.Discard})
	must(t, err)
	pool, err := db.DB()
	must(t, err)
	closed(t, pool)
	if !db.Migrator().HasTable(store.DefaultTable) {
		return 0
	}
	var n int64
	must(t, db.Table(store.DefaultTable+"_audit").Count(&n).Error)
	return n
}
