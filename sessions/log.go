package sessions

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"
)

// defaultHandler is [slog.Default] as it is at each line. Hosts set it late, and more than
// once.
type defaultHandler struct{}

func (defaultHandler) Enabled(ctx context.Context, l slog.Level) bool {
	return slog.Default().Enabled(ctx, l)
}

func (defaultHandler) Handle(ctx context.Context, r slog.Record) error {
	return slog.Default().Handler().Handle(ctx, r)
}

func (defaultHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return slog.Default().Handler().WithAttrs(attrs)
}

func (defaultHandler) WithGroup(name string) slog.Handler {
	return slog.Default().Handler().WithGroup(name)
}

// The codes of failures of the server, in the log and in the answer.
const (
	codeTemporarilyUnavailable = "TEMPORARILY_UNAVAILABLE"
	codeInternal               = "INTERNAL"
)

// logFailure logs in one line why a request failed, or why something that belongs to it did.
// In an outage everything fails for the same reason, so each kind of failure has one line a
// second, which says how many lines were left out before it.
func (m *Manager) logFailure(ctx context.Context, message, code string, err error, more ...slog.Attr) {
	suppressed, ok := m.failures.note(message+"|"+code+"|"+failureKind(err), m.cfg.Now())
	if !ok {
		return
	}
	attrs := append([]slog.Attr{slog.String("code", code), slog.Any("error", err)}, more...)
	if suppressed > 0 {
		attrs = append(attrs, slog.Int("suppressed", suppressed))
	}
	m.cfg.Logger.LogAttrs(ctx, slog.LevelError, message, attrs...) //nolint:sloglint // a constant of each caller
}

// failureKind returns the call that failed and the type of the error at the root. The text of
// an error is not part of the kind, because it may contain ports and ids.
func failureKind(err error) string {
	call := ""
	if text, ok := strings.CutPrefix(err.Error(), ErrUnavailable.Error()+": "); ok {
		call, _, _ = strings.Cut(text, ":") // as unavailable writes it
	}
	for {
		if known, ok := err.(interface{ kind() string }); ok && known.kind() != "" {
			return known.kind()
		}
		switch e := err.(type) { //nolint:errorlint // each link of the chain in turn
		case *panicError:
			return "panic|" + e.value + "|" + e.at
		case *foreignError:
			err = e.err
			continue
		case interface{ Unwrap() []error }:
			if all := e.Unwrap(); len(all) > 0 {
				err = all[len(all)-1] // the cause comes after its meaning
				continue
			}
		default:
			if next := errors.Unwrap(err); next != nil {
				err = next
				continue
			}
		}
		return fmt.Sprintf("%s|%T", call, err)
	}
}

// logPanic logs that a hook of the host has panicked and returns that as an error. It is for
// the deferred function that has recovered p. The place of the panic goes to the log only.
// The text of p goes nowhere, because it may contain anything.
func (m *Manager) logPanic(ctx context.Context, p any, more ...slog.Attr) error {
	err := panicked(p)
	more = append(more, slog.String("stack", string(debug.Stack())))
	m.logFailure(ctx, "sessions: panic in a hook", codeInternal, err, more...)
	return err
}

// panicError describes a panic: the type of its value, and its place.
type panicError struct{ value, at string }

func (e *panicError) Error() string { return "sessions: panic: " + e.value }

// panicked returns the error of a panic, for the deferred function that has recovered p.
func panicked(p any) error {
	e := &panicError{value: fmt.Sprintf("%T", p)}
	var pcs [32]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs[:])])
	// The function that panics calls the runtime, perhaps through several of its functions,
	// and the runtime calls the deferred function.
	for inPanic, more := false, true; more; {
		var f runtime.Frame
		f, more = frames.Next()
		if ofRuntime := strings.HasPrefix(f.Function, "runtime."); inPanic && !ofRuntime {
			e.at = f.Function
			break
		} else if ofRuntime {
			inPanic = true
		}
	}
	return e
}

const (
	failureEvery = time.Second
	// maxFailureKinds is far above the number of kinds in a program.
	maxFailureKinds = 100
)

// failures are the recently logged failures of a Manager, by kind.
type failures struct {
	mu     sync.Mutex
	byKind map[string]*failure
}

type failure struct {
	logged     time.Time
	suppressed int
}

// note counts a failure. It reports whether to log it, and how many of its kind were left
// out since the last one that was logged.
func (f *failures) note(kind string, now time.Time) (suppressed int, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	last := f.byKind[kind]
	if last == nil {
		if f.byKind == nil || len(f.byKind) >= maxFailureKinds {
			f.byKind = map[string]*failure{}
		}
		f.byKind[kind] = &failure{logged: now}
		return 0, true
	}
	if age := now.Sub(last.logged); age >= 0 && age < failureEvery {
		last.suppressed++
		return 0, false
	}
	suppressed = last.suppressed
	*last = failure{logged: now}
	return suppressed, true
}
