package core

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/sessile-go/sessile/sessions"
)

// values returns the sessions of rows.
func values(rows []Row) []sessions.Session {
	list := make([]sessions.Session, len(rows))
	for i := range rows {
		list[i] = rows[i].Session()
	}
	return list
}

// answer returns err, for an answer that needs no database, unless the call would have failed
// anyway.
func (s *Store) answer(ctx context.Context, op string, err error) error {
	if s.fault != nil {
		return s.fault
	}
	if ctx.Err() != nil {
		return wrap(ctx, op, ctx.Err())
	}
	return err
}

// query runs a statement and returns its rows, scanned into the targets of each.
func query[T any](
	ctx context.Context, s *Store, op string, st statement, args named, targets func(*T) []any,
) ([]T, error) {
	var all []T
	err := s.run(ctx, op, func(db Executor) error {
		rows, err := db.Query(ctx, st.text, st.bind(args)...)
		if err != nil {
			return err
		}
		all, err = scan(rows, targets)
		return err
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// read is query for a text that is rarely needed.
func read[T any](ctx context.Context, s *Store, op, text string, args named, targets func(*T) []any) ([]T, error) {
	return query(ctx, s, op, compile(text), args, targets)
}

// scan reads rows to the end and closes them. It returns no row unless both succeed: SQLite commits
// an UPDATE only after its RETURNING was read, so a row also arrives if the commit fails.
func scan[T any](rows *sql.Rows, targets func(*T) []any) (all []T, err error) {
	defer func() {
		if err = errors.Join(err, rows.Close()); err != nil {
			all = nil
		}
	}()
	for rows.Next() {
		var row T
		if err := rows.Scan(targets(&row)...); err != nil {
			return nil, err
		}
		all = append(all, row)
	}
	return all, rows.Err()
}

// execute runs a statement and returns how many rows it changed.
func (s *Store) execute(ctx context.Context, op, text string, args []any) (int64, error) {
	var n int64
	err := s.run(ctx, op, func(db Executor) error {
		var err error
		n, err = db.Exec(ctx, text, args...)
		return err
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

// run calls f, which runs one statement. If the default isolation is stricter than READ COMMITTED,
// a commit of another caller makes the statement fail, and on a busy database that could go on. So
// after such a failure the statement gets a transaction of READ COMMITTED at once, in which it
// waits for others instead.
func (s *Store) run(ctx context.Context, op string, f func(db Executor) error) error {
	return s.try(ctx, op, func() error {
		err := f(s.db)
		if s.joined || sqlState(err) != serializationFailure {
			return err
		}
		return s.db.Transaction(ctx, readCommitted, f)
	})
}

// readCommitted is the isolation in which each statement sees everything that was committed before
// it.
var readCommitted = &sql.TxOptions{Isolation: sql.LevelReadCommitted}

// The pauses between attempts double from first to longest, each with jitter over all of
// its length, or callers that collided would collide again. The longest is short, because
// a busy SQLite has no queue: a caller that asks more often than others succeeds sooner, and
// a driver's own waiting ends with pauses of 100 ms.
const (
	retryBudget  = 10 * time.Second
	firstPause   = time.Millisecond
	longestPause = 20 * time.Millisecond
)

// try calls f, repeats it if another attempt may succeed, and wraps its error.
func (s *Store) try(ctx context.Context, op string, f func() error) error {
	if err := s.answer(ctx, op, nil); err != nil {
		return err
	}
	return wrap(ctx, op, s.retry(ctx, f))
}

// retry calls f until it succeeds or its error is not one that another attempt may cure. After each
// of those errors nothing has changed. It returns the error of the last attempt. No attempt begins
// after the context's deadline, nor after the budget, which counts from before the first attempt:
// on a busy SQLite an attempt lasts as long as the driver's busy time-out, whatever the context
// says.
func (s *Store) retry(ctx context.Context, f func() error) error {
	if s.joined {
		return f()
	}
	budget := time.NewTimer(retryBudget)
	defer budget.Stop()
	err := f()
	for longest := firstPause; err != nil && s.again(ctx, err); longest = min(2*longest, longestPause) {
		pause := time.NewTimer(rand.N(longest) + time.Microsecond) //nolint:gosec // jitter, nothing to guess
		select {
		case <-ctx.Done():
		case <-budget.C:
			pause.Stop()
			return err
		case <-pause.C:
			select {
			case <-budget.C:
				return err
			default:
			}
		}
		pause.Stop()
		if ctx.Err() != nil {
			return err
		}
		err = f()
	}
	return err
}

// step runs f on a store in a transaction. That is the host's if s has joined one. Otherwise it is
// a transaction of its own, which is tried again as a whole.
func (s *Store) step(ctx context.Context, op string, f func(in *Store) error) error {
	if s.joined {
		return f(s)
	}
	if err := s.answer(ctx, op, nil); err != nil {
		return err
	}
	var opts *sql.TxOptions
	if s.dialect == Postgres {
		// The snapshot of a stricter isolation is taken at the first statement, and stays.
		opts = readCommitted
	}
	return s.retry(ctx, func() error {
		var inner error
		err := s.db.Transaction(ctx, opts, func(tx Executor) error {
			inner = f(s.In(tx))
			return inner
		})
		if inner != nil {
			return inner // wrapped already
		}
		return wrap(ctx, op, err)
	})
}

// wrap puts the package and the method before an error; nil stays nil. If the context is done, the
// error says so, whatever the driver reported.
func wrap(ctx context.Context, op string, err error) error {
	switch done := ctx.Err(); {
	case err == nil:
		return nil
	case done != nil && !errors.Is(err, done):
		return fmt.Errorf("store: %s: %w: %w", op, done, err)
	case noTable(err):
		return fmt.Errorf("store: %s: %w (has Migrate run?)", op, err)
	default:
		return fmt.Errorf("store: %s: %w", op, err)
	}
}

// noTable recognises the mistake of a first start: on Postgres by undefined_table, on SQLite by its
// text.
func noTable(err error) bool {
	if state := sqlState(err); state != "" {
		return state == "42P01"
	}
	return strings.Contains(err.Error(), "no such table")
}

const (
	serializationFailure = "40001"
	deadlockDetected     = "40P01"
	lockNotAvailable     = "55P03"
)

// sqlState returns the code of an error of Postgres, or "".
func sqlState(err error) string {
	var state interface{ SQLState() string }
	if errors.As(err, &state) {
		return state.SQLState()
	}
	return ""
}

// again reports whether another attempt may succeed and this one has changed nothing.
func (s *Store) again(ctx context.Context, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	switch sqlState(err) {
	case serializationFailure, deadlockDetected:
		return true
	case lockNotAvailable:
		return s.migrating
	}
	return busy(err) || s.db.Again(err)
}

// busy recognises SQLITE_BUSY (5) and SQLITE_LOCKED (6) without naming a driver. modernc has the
// code as a method. mattn has it as a field of a struct, which only an import of the driver could
// read, so there the text decides. It is SQLite's own (sqlite3ErrStr and sqlite3LockAndPrepare) and
// the same in every driver.
func busy(err error) bool {
	var code interface{ Code() int }
	if errors.As(err, &code) {
		if c := code.Code() & 0xff; c == 5 || c == 6 {
			return true
		}
	}
	text := err.Error()
	for _, what := range []string{"database is locked", "database table is locked", "database schema is locked"} {
		if strings.Contains(text, what) {
			return true
		}
	}
	return false
}
