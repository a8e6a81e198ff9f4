package core

import (
	"time"

	"github.com/google/uuid"
	"github.com/sessile-go/sessile/sessions"
)

// Row is one row of the table, column by column. Times are Unix microseconds.
type Row struct {
	ID               string
	UserID           string
	CreatedAt        int64
	LastUsedAt       int64
	ExpiresAt        int64
	AuthTime         int64
	Impersonation    int64
	Actor            string
	Reason           string
	CreatedBy        string
	ParentSessionID  *string
	ClientIP         string
	ClientUserAgent  string
	HandoffHash      string
	HandoffExpiresAt int64
	HandoffUses      int64
	Current          int64
	Parent           int64
	AnsweredAt       int64
	Recoveries       int64
	RefreshOutcome   int64
	EndedAt          *int64
	EndReason        string
	EndedBy          string
}

// Session returns what the row says about the session.
func (r Row) Session() sessions.Session {
	s := sessions.Session{
		ID:            r.ID,
		UserID:        r.UserID,
		CreatedAt:     fromMicro(r.CreatedAt),
		LastUsedAt:    fromMicro(r.LastUsedAt),
		ExpiresAt:     fromMicro(r.ExpiresAt),
		CreatedBy:     r.CreatedBy,
		Impersonation: r.Impersonation != 0,
		Actor:         r.Actor,
		Reason:        r.Reason,
		Client:        sessions.Client{IP: r.ClientIP, UserAgent: r.ClientUserAgent},
		HandoffHash:   r.HandoffHash,
		EndReason:     sessions.EndReason(r.EndReason),
		EndedBy:       r.EndedBy,
	}
	if r.ParentSessionID != nil {
		s.ParentSessionID = *r.ParentSessionID
	}
	if r.HandoffExpiresAt != 0 {
		s.HandoffExpiresAt = fromMicro(r.HandoffExpiresAt)
	}
	if r.AuthTime != 0 {
		s.AuthTime = fromMicro(r.AuthTime)
	}
	if r.EndedAt != nil {
		s.EndedAt = fromMicro(*r.EndedAt)
	}
	return s
}

// RefreshState returns what the row knows of the session's refresh tokens.
func (r Row) RefreshState() sessions.RefreshState {
	return sessions.RefreshState{
		Current:    r.Current,
		Parent:     r.Parent,
		AnsweredAt: fromMicro(r.AnsweredAt),
		Recoveries: r.Recoveries,
	}
}

// newRow is the row that Create inserts for s.
func newRow(s sessions.Session) Row {
	state := sessions.NewRefreshState(s.CreatedAt)
	r := Row{
		ID:              s.ID,
		UserID:          s.UserID,
		CreatedAt:       s.CreatedAt.UnixMicro(),
		LastUsedAt:      s.LastUsedAt.UnixMicro(),
		ExpiresAt:       s.ExpiresAt.UnixMicro(),
		Actor:           s.Actor,
		Reason:          s.Reason,
		CreatedBy:       s.CreatedBy,
		ClientIP:        s.Client.IP,
		ClientUserAgent: s.Client.UserAgent,
		HandoffHash:     s.HandoffHash,
		Current:         state.Current,
		Parent:          state.Parent,
		AnsweredAt:      state.AnsweredAt.UnixMicro(),
		Recoveries:      state.Recoveries,
		EndReason:       string(s.EndReason),
		EndedBy:         s.EndedBy,
	}
	if s.Impersonation {
		r.Impersonation = 1
	}
	if s.ParentSessionID != "" {
		r.ParentSessionID = &s.ParentSessionID
	}
	if !s.HandoffExpiresAt.IsZero() {
		r.HandoffExpiresAt = s.HandoffExpiresAt.UnixMicro()
	}
	if !s.AuthTime.IsZero() {
		r.AuthTime = s.AuthTime.UnixMicro()
	}
	if !s.EndedAt.IsZero() {
		at := s.EndedAt.UnixMicro()
		r.EndedAt = &at
	}
	return r
}

// columns lists the table's columns as the statements name them, in the order of
// values and targets.
const columns = `id, user_id, created_at, last_used_at, expires_at, auth_time, impersonation, actor, reason, created_by, ` +
	`parent_session_id, client_ip, client_user_agent, handoff_hash, handoff_expires_at, handoff_uses, current, parent, answered_at, recoveries, refresh_outcome, ended_at, end_reason, ended_by`

// targets are where to scan a row of columns. A uuid of Postgres scans as text.
func (r *Row) targets() []any {
	return []any{
		&r.ID, &r.UserID, &r.CreatedAt, &r.LastUsedAt, &r.ExpiresAt, &r.AuthTime, &r.Impersonation, &r.Actor, &r.Reason, &r.CreatedBy,
		&r.ParentSessionID, &r.ClientIP, &r.ClientUserAgent, &r.HandoffHash, &r.HandoffExpiresAt, &r.HandoffUses,
		&r.Current, &r.Parent, &r.AnsweredAt, &r.Recoveries, &r.RefreshOutcome, &r.EndedAt, &r.EndReason, &r.EndedBy,
	}
}

// values are the row as the arguments of an INSERT.
func (r *Row) values() []any {
	return []any{
		r.ID, r.UserID, r.CreatedAt, r.LastUsedAt, r.ExpiresAt, r.AuthTime, r.Impersonation, r.Actor, r.Reason, r.CreatedBy,
		orNull(r.ParentSessionID), r.ClientIP, r.ClientUserAgent, r.HandoffHash, r.HandoffExpiresAt, r.HandoffUses,
		r.Current, r.Parent, r.AnsweredAt, r.Recoveries, r.RefreshOutcome, orNull(r.EndedAt), r.EndReason, r.EndedBy,
	}
}

// orNull is what p points to as an argument, or NULL. What a driver makes of a
// pointer is its own affair.
func orNull[T any](p *T) any {
	if p == nil {
		return nil
	}
	return *p
}

func fromMicro(us int64) time.Time { return time.UnixMicro(us).UTC() }

// Instants before and after all others, far from overflow in any sum.
const (
	always int64 = -1 << 62
	never  int64 = 1 << 62
)

// microOrAlways is t, or an instant before all others where t says "none".
func microOrAlways(t time.Time) int64 {
	if t.IsZero() {
		return always
	}
	return t.UnixMicro()
}

// isID reports whether id can be the id of a row. The uuid of Postgres takes other
// spellings, which would give one session several names, and fails on the rest,
// which would poison a transaction of the host's.
func isID(id string) bool {
	u, err := uuid.Parse(id)
	return err == nil && u.String() == id
}
