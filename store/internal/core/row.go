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

// newRow returns the row that Create inserts for s.
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

func fromMicro(us int64) time.Time { return time.UnixMicro(us).UTC() }

// Instants before and after all others, far from overflow in any sum.
const (
	always int64 = -1 << 62
	never  int64 = 1 << 62
)

// microOrAlways returns t, or an instant before all others if t is zero.
func microOrAlways(t time.Time) int64 {
	if t.IsZero() {
		return always
	}
	return t.UnixMicro()
}

// isID reports whether id can be the id of a row. The uuid of Postgres takes other spellings, which
// would give one session several names, and fails on the rest, which would end the host's
// transaction.
func isID(id string) bool {
	u, err := uuid.Parse(id)
	return err == nil && u.String() == id
}
