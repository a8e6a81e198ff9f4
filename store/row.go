package store

import (
	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/store/internal/core"
)

// Row is one row of the table of sessions, for hosts that want to read it with GORM. The
// host chooses the name of the table, so each query names it:
//
//	var rows []store.Row
//	err := db.Table(store.DefaultTable).Find(&rows, "user_id = ?", id).Error
//
// Times are Unix microseconds. Later versions may add columns, so do not write rows, and do
// not compare the table with AutoMigrate.
type Row struct {
	// ID is the session's id, a uuid on Postgres and TEXT on SQLite.
	ID string `gorm:"column:id;primaryKey"`
	// UserID is the host's id of the user, compared byte by byte.
	UserID string `gorm:"column:user_id"`
	// CreatedAt, LastUsedAt and ExpiresAt are the times of [sessions.Session].
	CreatedAt  int64 `gorm:"column:created_at;autoCreateTime:false"`
	LastUsedAt int64 `gorm:"column:last_used_at"`
	ExpiresAt  int64 `gorm:"column:expires_at"`
	// AuthTime is 0 for an impersonation.
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
	// HandoffHash is "", and HandoffExpiresAt 0, if there was no hand-off.
	HandoffHash      string `gorm:"column:handoff_hash"`
	HandoffExpiresAt int64  `gorm:"column:handoff_expires_at"`
	// HandoffUses is 0, 1 once the code was redeemed, and 2 if a second
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
	// EndedAt is nil if the session was not ended.
	EndedAt *int64 `gorm:"column:ended_at"`
	// EndReason and EndedBy are "" if the session was not ended.
	EndReason string `gorm:"column:end_reason"`
	EndedBy   string `gorm:"column:ended_by"`
}

// Session returns what the row says about the session.
func (r Row) Session() sessions.Session { return core.Row(r).Session() }

// RefreshState returns what the row knows of the session's refresh tokens.
func (r Row) RefreshState() sessions.RefreshState { return core.Row(r).RefreshState() }
