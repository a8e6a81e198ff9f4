package sessionstest

import (
	"context"
	"sync"
	"time"

	"github.com/sessile-go/sessile/sessions"
)

// Method names a method of [sessions.Store].
type Method string

// The methods of [sessions.Store].
const (
	MethodCreate        Method = "Create"
	MethodGet           Method = "Get"
	MethodRefresh       Method = "Refresh"
	MethodList          Method = "List"
	MethodEnd           Method = "End"
	MethodEndMany       Method = "EndMany"
	MethodEndDependents Method = "EndDependents"
	MethodRedeem        Method = "Redeem"
	MethodEnded         Method = "Ended"
	MethodPrune         Method = "Prune"
	MethodNow           Method = "Now"
)

// Call is one call of a store's method.
type Call struct {
	// Method is the method that was called.
	Method Method
	// N counts the calls of that method on this [Faults], from 1.
	N int
}

// Fault decides what happens to a call. If it returns nil the call goes on, if it returns an
// error the call fails with it. It may wait, on a channel for instance, to make a store slow;
// then it should give up when ctx is done. It runs in the caller's goroutine. It must be safe
// for concurrent use if the store is used concurrently.
type Fault func(ctx context.Context, c Call) error

// FailAt returns a [Fault] that fails the n-th call of method m, from 1, with err, and lets
// all others go on. With n = 0 it fails every call of m.
func FailAt(m Method, n int, err error) Fault {
	return func(_ context.Context, c Call) error {
		if c.Method == m && (n == 0 || c.N == n) {
			return err
		}
		return nil
	}
}

// Faults is a [sessions.Store] that passes every call on to another one. Before and After
// make chosen calls fail, or wait. A host uses it to test its app while the database is away.
// Set the fields before the first call; then Faults is as safe for concurrent use as they
// are. To switch a fault on and off while a server runs, let Before ask an [atomic.Bool].
type Faults struct {
	// Store does the work. Required.
	Store sessions.Store
	// Before runs before the call reaches Store. If it returns an error, the call fails and
	// nothing has happened. Defaults to none.
	Before Fault
	// After runs when the call has returned from Store, even if it has failed. If After
	// returns an error, the answer is lost: the caller gets that error although everything
	// has happened. Defaults to none.
	After Fault

	mu    sync.Mutex
	calls map[Method]int
}

var _ sessions.Store = (*Faults)(nil)

// Calls returns the number of calls of method m, failed ones included.
func (f *Faults) Calls(m Method) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[m]
}

func (f *Faults) count(m Method) Call {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.calls == nil {
		f.calls = make(map[Method]int)
	}
	f.calls[m]++
	return Call{Method: m, N: f.calls[m]}
}

func through[T any](ctx context.Context, f *Faults, m Method, call func() (T, error)) (T, error) {
	var zero T
	c := f.count(m)
	if f.Before != nil {
		if err := f.Before(ctx, c); err != nil {
			return zero, err
		}
	}
	answer, err := call()
	if f.After != nil {
		if err := f.After(ctx, c); err != nil {
			return zero, err
		}
	}
	return answer, err
}

// Create calls Store.Create.
func (f *Faults) Create(ctx context.Context, s sessions.Session) error {
	_, err := through(ctx, f, MethodCreate, func() (struct{}, error) { return struct{}{}, f.Store.Create(ctx, s) })
	return err
}

// Get calls Store.Get.
func (f *Faults) Get(ctx context.Context, id string) (sessions.Session, error) {
	return through(ctx, f, MethodGet, func() (sessions.Session, error) { return f.Store.Get(ctx, id) })
}

// Refresh calls Store.Refresh.
func (f *Faults) Refresh(ctx context.Context, p sessions.RefreshParams) (sessions.RefreshResult, error) {
	return through(ctx, f, MethodRefresh, func() (sessions.RefreshResult, error) { return f.Store.Refresh(ctx, p) })
}

// List calls Store.List.
func (f *Faults) List(ctx context.Context, p sessions.ListParams) ([]sessions.Session, error) {
	return through(ctx, f, MethodList, func() ([]sessions.Session, error) { return f.Store.List(ctx, p) })
}

// End calls Store.End.
func (f *Faults) End(ctx context.Context, p sessions.EndParams) (sessions.Session, error) {
	return through(ctx, f, MethodEnd, func() (sessions.Session, error) { return f.Store.End(ctx, p) })
}

// EndMany calls Store.EndMany.
func (f *Faults) EndMany(ctx context.Context, p sessions.EndManyParams) ([]sessions.Session, error) {
	return through(ctx, f, MethodEndMany, func() ([]sessions.Session, error) { return f.Store.EndMany(ctx, p) })
}

// EndDependents calls Store.EndDependents.
func (f *Faults) EndDependents(ctx context.Context, p sessions.EndDependentsParams) ([]sessions.Session, error) {
	return through(ctx, f, MethodEndDependents, func() ([]sessions.Session, error) {
		return f.Store.EndDependents(ctx, p)
	})
}

// Redeem calls Store.Redeem.
func (f *Faults) Redeem(ctx context.Context, p sessions.RedeemParams) (sessions.Session, error) {
	return through(ctx, f, MethodRedeem, func() (sessions.Session, error) { return f.Store.Redeem(ctx, p) })
}

// Ended calls Store.Ended.
func (f *Faults) Ended(ctx context.Context, since time.Time) ([]sessions.EndedSession, error) {
	return through(ctx, f, MethodEnded, func() ([]sessions.EndedSession, error) { return f.Store.Ended(ctx, since) })
}

// Prune calls Store.Prune.
func (f *Faults) Prune(ctx context.Context, p sessions.PruneParams) (int, error) {
	return through(ctx, f, MethodPrune, func() (int, error) { return f.Store.Prune(ctx, p) })
}

// Now calls Store.Now.
func (f *Faults) Now(ctx context.Context) (time.Time, error) {
	return through(ctx, f, MethodNow, func() (time.Time, error) { return f.Store.Now(ctx) })
}
