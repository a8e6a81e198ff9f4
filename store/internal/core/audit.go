package core

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/sessile-go/sessile/sessions"
)

// AuditEntry is one row of the audit log.
type AuditEntry struct {
	ID                                     string
	At                                     time.Time
	Type                                   sessions.EventType
	SessionID                              string
	UserID, Actor, ParentSessionID, Reason string
	EndReason                              sessions.EndReason
	By                                     string
	Client                                 sessions.Client
	Refusal                                string
}

// AuditQuery selects entries of the audit log.
type AuditQuery struct {
	UserID string
	Actor  string
	Limit  int
	Before *AuditPosition
}

// AuditPosition is the place of an entry in the audit log.
type AuditPosition struct {
	At time.Time
	ID string
}

var errNoAuditLog = errors.New("Config.AuditLog is not set")

// Audit returns entries of the audit log, newest first: by At, then by ID.
func (s *Store) Audit(ctx context.Context, q AuditQuery) ([]AuditEntry, error) {
	switch {
	case !s.cfg.AuditLog:
		return nil, wrap(ctx, "audit", errNoAuditLog)
	case q.UserID == "" && q.Actor == "":
		return nil, errors.New("store: audit: UserID or Actor is required")
	case q.Before != nil && !isID(q.Before.ID):
		return nil, errors.New("store: audit: Before.ID is not a UUID in its canonical spelling")
	case !storable(q.UserID, q.Actor):
		return nil, s.answer(ctx, "audit", nil)
	}
	args := named{"user_id": q.UserID, "actor": q.Actor, "limit": int64(q.Limit)}
	if q.Before != nil {
		args["before_at"], args["before_id"] = q.Before.At.UnixMicro(), q.Before.ID
	}
	list := s.stmts.audit.with(q.UserID != "", q.Actor != "", q.Before != nil, q.Limit > 0)
	rows, err := query(ctx, s, "audit", list, args, auditFields.targets)
	if err != nil {
		return nil, err
	}
	entries := make([]AuditEntry, len(rows))
	for i := range rows {
		entries[i] = rows[i].entry()
	}
	return entries, nil
}

// Record adds to the audit log an event that changed no row. It replaces text that cannot be stored
// by U+FFFD.
func (s *Store) Record(ctx context.Context, e sessions.Event) error {
	if !s.cfg.AuditLog {
		return wrap(ctx, "record", errNoAuditLog)
	}
	row := newRow(e.Session)
	a := newAuditRow(row, occurrence{at: e.At.UnixMicro(), event: e.Type, client: e.Client})
	a.refusal = e.Refusal
	for _, id := range []**string{&a.sessionID, &a.parentSessionID} {
		if *id != nil && !isID(**id) {
			*id = nil
		}
	}
	for _, text := range []*string{
		&a.event, &a.userID, &a.actor, &a.reason, &a.endReason, &a.by, &a.clientIP, &a.clientUserAgent, &a.refusal,
	} {
		*text = strings.ReplaceAll(strings.ToValidUTF8(*text, "\ufffd"), "\x00", "\ufffd")
	}
	return s.record(ctx, "record", []auditRow{a})
}

// occurrence is what the row does not say about a change.
type occurrence struct {
	at     int64
	event  sessions.EventType
	client sessions.Client
}

// auditRow is one row of the audit log.
type auditRow struct {
	id, event                          string
	at                                 int64
	sessionID, parentSessionID         *string
	userID, actor, reason              string
	endReason, by                      string
	clientIP, clientUserAgent, refusal string
}

// newAuditRow returns an entry about r as it is after the change.
func newAuditRow(r Row, o occurrence) auditRow {
	a := auditRow{
		at: o.at, event: string(o.event),
		parentSessionID: r.ParentSessionID, userID: r.UserID, actor: r.Actor, reason: r.Reason,
		endReason: r.EndReason, by: r.EndedBy,
		clientIP: o.client.IP, clientUserAgent: o.client.UserAgent,
	}
	if r.ID != "" {
		a.sessionID = &r.ID
	}
	switch o.event {
	case sessions.EventCreated, sessions.EventHandedOff, sessions.EventImpersonationRefused:
		a.by = r.CreatedBy
	default: // who ended it, if it has ended
	}
	return a
}

func (a *auditRow) entry() AuditEntry {
	e := AuditEntry{
		ID: a.id, At: fromMicro(a.at), Type: sessions.EventType(a.event),
		UserID: a.userID, Actor: a.actor, Reason: a.reason, EndReason: sessions.EndReason(a.endReason), By: a.by,
		Client: sessions.Client{IP: a.clientIP, UserAgent: a.clientUserAgent}, Refusal: a.refusal,
	}
	if a.sessionID != nil {
		e.SessionID = *a.sessionID
	}
	if a.parentSessionID != nil {
		e.ParentSessionID = *a.parentSessionID
	}
	return e
}

// auditBatch is the number of entries that one INSERT adds. Both databases limit the number of
// arguments, Postgres at 65,535 and SQLite at 32,766.
const auditBatch = 500

// idNow is a UUID version 7 that Postgres makes for each row after all waiting of the statement, so
// that the entries of a session have the order of its changes. Its first 60 bits are the clock,
// read once, in units of 1000/4096 microseconds. The rest is random.
const idNow = `CAST(overlay(` +
	`lpad(to_hex(CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT) * 512 / 125), 15, '0')` +
	` PLACING '7' FROM 13 FOR 0) || '8' || substr(md5(CAST(random() AS TEXT)), 1, 15) AS UUID)`

// record adds rows to the audit log, with new ids in their order. On Postgres it is called
// for one row, because a change there adds its entries itself.
func (s *Store) record(ctx context.Context, op string, rows []auditRow) error {
	for batch := range slices.Chunk(rows, auditBatch) {
		var args []any
		for i := range batch {
			values := auditFields.values(&batch[i])
			if s.dialect == Postgres {
				values = values[1:] // the database makes the id
			} else {
				id, err := uuid.NewV7()
				if err != nil {
					return wrap(ctx, op, err)
				}
				values[0] = id.String()
			}
			args = append(args, values...)
		}
		insert := s.stmts.record + strings.Repeat(`, `+s.stmts.entry, len(batch)-1)
		if _, err := s.execute(ctx, op, insert, args); err != nil {
			return err
		}
	}
	return nil
}
