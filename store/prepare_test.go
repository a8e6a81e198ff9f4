package store_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/sessile-go/sessile/internal/pgtest"
	"github.com/sessile-go/sessile/store"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// prepares counts the statements that a connection of pgx prepares.
type prepares struct{ n atomic.Int64 }

// TraceQueryStart and TraceQueryEnd make prepares a pgx.QueryTracer, which a tracer must be.
func (*prepares) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}
func (*prepares) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// TracePrepareStart and TracePrepareEnd make prepares a pgx.PrepareTracer.
func (p *prepares) TracePrepareStart(ctx context.Context, _ *pgx.Conn, _ pgx.TracePrepareStartData) context.Context {
	p.n.Add(1)
	return ctx
}
func (*prepares) TracePrepareEnd(context.Context, *pgx.Conn, pgx.TracePrepareEndData) {}

// TestNoPreparedStatementsHoldsForAHandleThatPrepares has a handle whose statements are not
// prepared, one whose are, and a session of that which sets PrepareStmt once more.
func TestNoPreparedStatementsHoldsForAHandleThatPrepares(t *testing.T) {
	t.Parallel()
	for host := range 3 {
		for _, unprepared := range []bool{false, true} {
			t.Run(fmt.Sprintf("host %d, NoPreparedStatements %t", host, unprepared), func(t *testing.T) {
				t.Parallel()
				var p prepares
				cfg, err := pgx.ParseConfig(pgtest.DSN(t))
				must(t, err)
				cfg.Tracer, cfg.DefaultQueryExecMode = &p, pgx.QueryExecModeExec // it prepares nothing by itself
				pg := postgres.New(postgres.Config{Conn: stdlib.OpenDB(*cfg)})
				db := open(t, pg, &gorm.Config{PrepareStmt: host > 0, Logger: logger.Discard})
				if host > 1 {
					db = db.Session(&gorm.Session{PrepareStmt: true})
				}
				st := migratedAs(t, db, store.Config{NoPreparedStatements: unprepared, AuditLog: true})
				life(t, st)
				must(t, db.Transaction(func(tx *gorm.DB) error {
					return st.In(tx).Create(t.Context(), session("in a transaction"))
				}))
				if n := p.n.Load(); n > 0 == unprepared {
					t.Errorf("%d statements were prepared", n)
				}
			})
		}
	}
}

// TestPgBouncerInTransactionMode has a handle that prepares, and more callers than PgBouncer
// has connections to the server: what is prepared on one is not there on the next.
func TestPgBouncerInTransactionMode(t *testing.T) {
	t.Parallel()
	dsn := withParam(t, pgtest.BouncerDSN(t), "default_query_exec_mode", "exec")
	db := open(t, postgres.Open(dsn), &gorm.Config{PrepareStmt: true, Logger: logger.Discard})
	st := migratedAs(t, db, store.Config{NoPreparedStatements: true, AuditLog: true})
	life(t, st)
	for _, err := range together(16, func(int) error {
		s := session("u")
		if err := st.Create(t.Context(), s); err != nil {
			return err
		}
		for n := range int64(10) {
			if _, err := st.Refresh(t.Context(), presentation(s.ID, n+1, t0)); err != nil {
				return err
			}
		}
		return nil
	}) {
		t.Error(err)
	}
}
