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

// Audit returns entries of the audit log, newest first: by At, then by ID. None is
// an empty list and no error. It returns an error where Config.AuditLog is not set.
func (s *Store) Audit(ctx context.Context, q AuditQuery) ([]AuditEntry, error) {
	var where []string
	args := map[string]any{}
	if q.UserID != "" {
		where, args["user_id"] = append(where, `user_id = @user_id`), q.UserID
	}
	if q.Actor != "" {
		where, args["actor"] = append(where, `actor = @actor`), q.Actor
	}
	switch {
	case !s.cfg.AuditLog:
		return nil, wrap(ctx, "audit", errNoAuditLog)
	case len(where) == 0:
		return nil, errors.New("store: audit: UserID or Actor is required")
	case q.Before != nil && !isID(q.Before.ID):
		return nil, errors.New("store: audit: Before.ID is not a UUID in its canonical spelling")
	case !storable(q.UserID, q.Actor):
		return nil, s.answer(ctx, "audit", nil)
	}
	if q.Before != nil {
		where = append(where, `(at, id) < (@before_at, @before_id)`)
		args["before_at"], args["before_id"] = q.Before.At.UnixMicro(), q.Before.ID
	}
	query := s.stmts.audit + strings.Join(where, ` AND `) + ` ORDER BY at DESC, id DESC`
	if q.Limit > 0 {
		query += ` LIMIT @limit`
		args["limit"] = int64(q.Limit)
	}
	rows, err := read(ctx, s, "audit", query, args, (*auditRow).targets)
	if err != nil {
		return nil, err
	}
	list := make([]AuditEntry, len(rows))
	for i := range rows {
		list[i] = rows[i].entry()
	}
	return list, nil
}

// Record adds an event to the audit log that changed no row, such as
// [sessions.EventImpersonationRefused]. The store adds the others itself, in the
// transaction of the change; recorded again they would stand there twice. What a
// refused caller sent may not be text at all: what cannot be stored is replaced by
// U+FFFD. It returns an error if Config.AuditLog is not set.
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
	for _, text := range []*string{&a.event, &a.userID, &a.actor, &a.reason, &a.endReason, &a.by, &a.clientIP, &a.clientUserAgent, &a.refusal} {
		*text = strings.ReplaceAll(strings.ToValidUTF8(*text, "\ufffd"), "\x00", "\ufffd")
	}
	return s.record(ctx, "record", []auditRow{a})
}

// occurrence is what a change was, as far as the row does not say it.
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

// newAuditRow says what happened to r, as it is then.
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
	default: // who ended it, where it was ended
	}
	return a
}

// auditColumns are in the order of targets.
const auditColumns = `id, at, type, session_id, user_id, actor, parent_session_id, reason, end_reason, by, client_ip, client_user_agent, refusal`

// values are those of the columns after id.
func (a *auditRow) values() []any {
	return []any{
		a.at, a.event, orNull(a.sessionID), a.userID, a.actor, orNull(a.parentSessionID),
		a.reason, a.endReason, a.by, a.clientIP, a.clientUserAgent, a.refusal,
	}
}

func (a *auditRow) targets() []any {
	return []any{
		&a.id, &a.at, &a.event, &a.sessionID, &a.userID, &a.actor, &a.parentSessionID,
		&a.reason, &a.endReason, &a.by, &a.clientIP, &a.clientUserAgent, &a.refusal,
	}
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

// auditBatch is how many entries one INSERT adds; both databases limit the number
// of arguments, Postgres at 65,535 and SQLite at 32,766.
const auditBatch = 500

// idNow is a UUID version 7 made by Postgres, for each row when it comes to that row:
// after whatever the statement waited for, so that the entries of a session have the
// order of its changes. Its first 60 bits are the clock, read once, in units of 1000/4096
// microseconds; the rest is random.
const idNow = `CAST(overlay(lpad(to_hex(CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT) * 512 / 125), 15, '0') PLACING '7' FROM 13 FOR 0)` +
	` || '8' || substr(md5(CAST(random() AS TEXT)), 1, 15) AS UUID)`

// record adds rows to the audit log, with new ids in their order.
func (s *Store) record(ctx context.Context, op string, rows []auditRow) error {
	id := `?`
	if s.dialect == Postgres {
		id = idNow
	}
	values := `(` + id + strings.Repeat(`, ?`, strings.Count(auditColumns, ",")) + `)`
	for batch := range slices.Chunk(rows, auditBatch) {
		var args []any
		for _, row := range batch {
			if s.dialect != Postgres {
				id, err := uuid.NewV7()
				if err != nil {
					return wrap(ctx, op, err)
				}
				args = append(args, id.String())
			}
			args = append(args, row.values()...)
		}
		query := s.stmts.record + values + strings.Repeat(`, `+values, len(batch)-1)
		if _, err := s.exec(ctx, op, query, args...); err != nil {
			return err
		}
	}
	return nil
}
