package sqlstore

import (
	"context"
	"database/sql"
	"sync"

	"github.com/sessile-go/sessile/store/internal/core"
)

// pool runs the statements of the core on connections of a pool.
type pool struct {
	db         *sql.DB
	unprepared bool

	mu sync.RWMutex
	// prepared has the statements by their texts, of which the core has some dozens. They
	// stay open as long as the pool.
	prepared map[string]*sql.Stmt
}

// statement returns a prepared statement. Callers that need the same one at the same time
// each prepare it, so that nobody waits for a caller that gets no connection or gives up.
func (p *pool) statement(ctx context.Context, query string) (*sql.Stmt, error) {
	p.mu.RLock()
	s := p.prepared[query]
	p.mu.RUnlock()
	if s != nil {
		return s, nil
	}
	s, err := p.db.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	first := p.prepared[query]
	if first == nil {
		p.prepared[query] = s
	}
	p.mu.Unlock()
	if first != nil {
		_ = s.Close() //nolint:sqlclosecheck // it is kept unless another caller was first
		return first, nil
	}
	return s, nil
}

// once reports whether a statement is not worth preparing. Without arguments, drivers need
// one round trip for it anyway, and nearly all such statements are parts of migrations.
func (p *pool) once(args []any) bool { return p.unprepared || len(args) == 0 }

// Query implements [core.Executor].
func (p *pool) Query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if p.once(args) {
		return p.db.QueryContext(ctx, query, args...)
	}
	s, err := p.statement(ctx, query) //nolint:sqlclosecheck // it is kept
	if err != nil {
		return nil, err
	}
	return s.QueryContext(ctx, args...)
}

// Exec implements [core.Executor].
func (p *pool) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	if p.once(args) {
		return affected(p.db.ExecContext(ctx, query, args...))
	}
	s, err := p.statement(ctx, query) //nolint:sqlclosecheck // it is kept
	if err != nil {
		return 0, err
	}
	return affected(s.ExecContext(ctx, args...))
}

// Transaction implements [core.Executor].
func (p *pool) Transaction(ctx context.Context, opts *sql.TxOptions, f func(tx core.Executor) error) error {
	tx, err := p.db.BeginTx(ctx, opts)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	if err := f(transaction{tx}); err != nil {
		return err
	}
	return tx.Commit()
}

// Again implements [core.Executor].
func (p *pool) Again(error) bool { return false }

// transaction runs the statements of the core in a transaction. They are not prepared: that
// would take a round trip for each, since what is prepared on a pool must be prepared once
// more on the connection of the transaction.
type transaction struct{ tx *sql.Tx }

// Query implements [core.Executor].
func (t transaction) Query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return t.tx.QueryContext(ctx, query, args...)
}

// Exec implements [core.Executor].
func (t transaction) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	return affected(t.tx.ExecContext(ctx, query, args...))
}

// Transaction implements [core.Executor].
func (t transaction) Transaction(_ context.Context, _ *sql.TxOptions, f func(tx core.Executor) error) error {
	return f(t)
}

// Again implements [core.Executor].
func (t transaction) Again(error) bool { return false }

func affected(r sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}
