package store

import (
	"time"

	"github.com/google/uuid"
	"github.com/sessile-go/sessile/sessions"
)

// Row is one row of the table, column by column, for hosts that want to read it
// with GORM. The name of the table is the host's own, so it has to be said:
//
//	var rows []store.Row
//	err := db.Table(store.DefaultTable).Where("user_id = ?", id).Find(&rows).Error
//
// Times are Unix microseconds. Columns may be added in later versions; so do not
// write rows, and do not compare the table with AutoMigrate.
type Row struct {
	// ID is the session's id, a uuid on Postgres and TEXT on SQLite.
	ID string `gorm:"column:id;primaryKey"`
	// UserID is the host's id of the user, compared bytewise.
	UserID string `gorm:"column:user_id"`
	// CreatedAt, LastUsedAt and ExpiresAt are the times of [sessions.Session].
	CreatedAt  int64 `gorm:"column:created_at;autoCreateTime:false"`
	LastUsedAt int64 `gorm:"column:last_used_at"`
	ExpiresAt  int64 `gorm:"column:expires_at"`
	// AuthTime is 0 where there is none.
	AuthTime int64 `gorm:"column:auth_time"`
	// Impersonation is 0 or 1.
	Impersonation int64 `gorm:"column:impersonation"`
	// Actor, Reason and CreatedBy are those of [sessions.Session].
	Actor     string `gorm:"column:actor"`
	Reason    string `gorm:"column:reason"`
	CreatedBy string `gorm:"column:created_by"`
	// ParentSessionID is nil if this session depends on no other.
	ParentSessionID *string `gorm:"column:parent_session_id"`
	// ClientIP and ClientUserAgent say where the session was last used from.
	ClientIP        string `gorm:"column:client_ip"`
	ClientUserAgent string `gorm:"column:client_user_agent"`
	// HandoffHash is "", and HandoffExpiresAt 0, where there was no hand-off.
	HandoffHash      string `gorm:"column:handoff_hash"`
	HandoffExpiresAt int64  `gorm:"column:handoff_expires_at"`
	// HandoffUses is 0, 1 once the code was redeemed, and 2 where a second
	// redemption has ended the session.
	HandoffUses int64 `gorm:"column:handoff_uses"`
	// Current, Parent, AnsweredAt and Recoveries are [sessions.RefreshState].
	Current    int64 `gorm:"column:current"`
	Parent     int64 `gorm:"column:parent"`
	AnsweredAt int64 `gorm:"column:answered_at"`
	Recoveries int64 `gorm:"column:recoveries"`
	// RefreshOutcome is the [sessions.Outcome] of the last refresh that changed
	// the row, 0 before the first.
	RefreshOutcome int64 `gorm:"column:refresh_outcome"`
	// EndedAt is nil while the session was not ended.
	EndedAt *int64 `gorm:"column:ended_at"`
	// EndReason and EndedBy are "" while the session was not ended.
	EndReason string `gorm:"column:end_reason"`
	EndedBy   string `gorm:"column:ended_by"`
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
