package store

import (
	"context"
	"time"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/store/internal/core"
)

// AuditEntry is one row of the audit log: something that happened to an impersonation,
// or an attempt at one that was refused. docs/events.md says what each type means. This
// package adds entries, and never changes or deletes one.
type AuditEntry struct {
	// ID is a UUID version 7. Among entries of the same At, a later one is greater, by the
	// clock of the Postgres server or, on SQLite, of the process that wrote the entry.
	ID string
	// At is the time of the event, by the application's clock.
	At time.Time
	// Type says what happened.
	Type sessions.EventType
	// SessionID is the impersonation. It is empty if none was created.
	SessionID string
	// UserID, Actor, ParentSessionID and Reason are those of the session.
	UserID, Actor, ParentSessionID, Reason string
	// EndReason is why the session ended with this event, or empty if it did not.
	EndReason sessions.EndReason
	// By is who created the session, tried to, or ended it. It is empty for a use of the
	// session, and if the protocol ended it.
	By string
	// Client is who made the call, if it is known: the presenter of a token or a code, and
	// nobody for an end.
	Client sessions.Client
	// Refusal is why an impersonation was refused.
	Refusal string
}

// AuditQuery selects entries of the audit log. UserID or Actor is required; with both, it
// selects what this actor did as this user.
type AuditQuery struct {
	// UserID selects what was done as this user.
	UserID string
	// Actor selects what this actor did.
	Actor string
	// Limit is the largest number of entries to return. Defaults to 0, no limit.
	Limit int
	// Before, if set, selects the entries after this position in the list, which are older.
	// Defaults to nil, the newest.
	Before *AuditPosition
}

// AuditPosition is the place of an entry in the audit log.
type AuditPosition struct {
	At time.Time
	ID string
}

// Audit returns entries of the audit log, newest first: by At, then by ID. If it finds no
// entry, it returns an empty list and no error. It returns an error if Config.AuditLog is
// not set.
func (s *Store) Audit(ctx context.Context, q AuditQuery) ([]AuditEntry, error) {
	found, err := s.core.Audit(ctx, core.AuditQuery{
		UserID: q.UserID, Actor: q.Actor, Limit: q.Limit, Before: (*core.AuditPosition)(q.Before),
	})
	if err != nil {
		return nil, err
	}
	entries := make([]AuditEntry, len(found))
	for i, e := range found {
		entries[i] = AuditEntry(e)
	}
	return entries, nil
}

// Record adds to the audit log an event that changed no row, such as
// [sessions.EventImpersonationRefused]. The store adds all other events itself, in the
// transaction of the change, so do not record them again. Record replaces text that cannot
// be stored by U+FFFD, since the request of a refused caller may hold anything. It returns
// an error if Config.AuditLog is not set.
func (s *Store) Record(ctx context.Context, e sessions.Event) error { return s.core.Record(ctx, e) }
