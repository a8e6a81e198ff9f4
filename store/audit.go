package store

import (
	"context"
	"time"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/store/internal/core"
)

// AuditEntry is one row of the audit log: something that happened to an
// impersonation, or to somebody's wish for one. docs/events.md says what each type
// means. Entries are added and never changed, nor deleted, by this package.
type AuditEntry struct {
	// ID is a UUID version 7; among entries of one At, the later is the greater by the
	// clock of the Postgres server, or by that of the process that wrote them on SQLite.
	ID string
	// At is when, by the application's clock.
	At time.Time
	// Type says what happened.
	Type sessions.EventType
	// SessionID is the impersonation; empty where none came of it.
	SessionID string
	// UserID, Actor, ParentSessionID and Reason are those of the session.
	UserID, Actor, ParentSessionID, Reason string
	// EndReason is why the session has ended with this, else empty.
	EndReason sessions.EndReason
	// By is who created the session, wanted to, or ended it; empty for its use, and
	// where a protocol ended it.
	By string
	// Client is who made the call, as far as that is known: for a replay the
	// presenter, for an end nobody.
	Client sessions.Client
	// Refusal is why an impersonation was refused.
	Refusal string
}

// AuditQuery selects entries of the audit log.
type AuditQuery struct {
	// UserID selects what was done as this user.
	UserID string
	// Actor selects what this actor did. One of the two is required; with both,
	// what this actor did as this user.
	Actor string
	// Limit is the largest number of entries to return; 0 is no limit.
	Limit int
	// Before, where set, starts behind this position, which is further in the
	// past.
	Before *AuditPosition
}

// AuditPosition is the place of an entry in the audit log.
type AuditPosition struct {
	At time.Time
	ID string
}

// Audit returns entries of the audit log, newest first: by At, then by ID. None is
// an empty list and no error. It returns an error where Config.AuditLog is not set.
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

// Record adds an event to the audit log that changed no row, such as
// [sessions.EventImpersonationRefused]. The store adds the others itself, in the
// transaction of the change; recorded again they would stand there twice. What a
// refused caller sent may not be text at all: what cannot be stored is replaced by
// U+FFFD. It returns an error if Config.AuditLog is not set.
func (s *Store) Record(ctx context.Context, e sessions.Event) error { return s.core.Record(ctx, e) }
