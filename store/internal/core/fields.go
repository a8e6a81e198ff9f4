package core

import "strings"

// field is a column of a table and the field of R that holds it.
type field[R any] struct {
	name string
	kind kind
	// of returns a pointer to the field.
	of func(r *R) any
}

// fields are the columns of a table, the primary key first. Statements name them in this
// order.
type fields[R any] []field[R]

// kind is what a column holds; kindType and constraint spell it in the DDL.
type kind int

const (
	// an ID is a uuid on Postgres and TEXT on SQLite.
	keyID kind = iota
	optionalID
	// A name is compared and sorted byte by byte.
	name
	text
	number
	optionalNumber
	flag
)

// list is the names of the columns, each with a prefix.
func (f fields[R]) list(prefix, between string) string {
	all := make([]string, len(f))
	for i := range f {
		all[i] = prefix + f[i].name
	}
	return strings.Join(all, between)
}

// targets are where to scan a row. A uuid of Postgres scans as text.
func (f fields[R]) targets(r *R) []any {
	all := make([]any, len(f), len(f)+1)
	for i := range f {
		all[i] = f[i].of(r)
	}
	return all
}

// values are a row as arguments. No pointer is among them, since what a driver makes of
// one is its own affair.
func (f fields[R]) values(r *R) []any {
	all := f.targets(r)
	for i, p := range all {
		switch p := p.(type) {
		case *string:
			all[i] = *p
		case *int64:
			all[i] = *p
		case **string:
			all[i] = orNull(*p)
		case **int64:
			all[i] = orNull(*p)
		}
	}
	return all
}

func orNull[T any](p *T) any {
	if p == nil {
		return nil
	}
	return *p
}

// columns are the columns for the DDL of a dialect.
func (f fields[R]) columns(d Dialect) []column {
	all := make([]column, len(f))
	for i := range f {
		all[i] = f[i].kind.column(d)
		all[i].name = f[i].name
	}
	return all
}

func (k kind) column(d Dialect) column {
	switch k {
	case keyID, optionalID:
		c := column{typ: typeText}
		if d == Postgres {
			c.typ = typeUUID
		}
		if k == keyID {
			c.rest = notNull + " PRIMARY KEY"
		}
		return c
	case name:
		if d == Postgres {
			// The order of a language would be of no use here, and changes with the
			// operating system's library.
			return column{typ: typeText, rest: `COLLATE "C" ` + notNull}
		}
		return column{typ: typeText, rest: notNull}
	case text:
		return column{typ: typeText, rest: notNull}
	case flag:
		return column{typ: typeSmall, rest: notNull}
	case optionalNumber:
		return column{typ: typeBig}
	default:
		return column{typ: typeBig, rest: notNull}
	}
}

// rowFields are the table of the sessions.
var rowFields = fields[Row]{
	{"id", keyID, func(r *Row) any { return &r.ID }},
	{"user_id", name, func(r *Row) any { return &r.UserID }},
	{"created_at", number, func(r *Row) any { return &r.CreatedAt }},
	{"last_used_at", number, func(r *Row) any { return &r.LastUsedAt }},
	{"expires_at", number, func(r *Row) any { return &r.ExpiresAt }},
	{"auth_time", number, func(r *Row) any { return &r.AuthTime }},
	{"impersonation", flag, func(r *Row) any { return &r.Impersonation }},
	{"actor", text, func(r *Row) any { return &r.Actor }},
	{"reason", text, func(r *Row) any { return &r.Reason }},
	{"created_by", text, func(r *Row) any { return &r.CreatedBy }},
	{"parent_session_id", optionalID, func(r *Row) any { return &r.ParentSessionID }},
	{"client_ip", text, func(r *Row) any { return &r.ClientIP }},
	{"client_user_agent", text, func(r *Row) any { return &r.ClientUserAgent }},
	{"handoff_hash", text, func(r *Row) any { return &r.HandoffHash }},
	{"handoff_expires_at", number, func(r *Row) any { return &r.HandoffExpiresAt }},
	{"handoff_uses", number, func(r *Row) any { return &r.HandoffUses }},
	{"current", number, func(r *Row) any { return &r.Current }},
	{"parent", number, func(r *Row) any { return &r.Parent }},
	{"answered_at", number, func(r *Row) any { return &r.AnsweredAt }},
	{"recoveries", number, func(r *Row) any { return &r.Recoveries }},
	{"refresh_outcome", number, func(r *Row) any { return &r.RefreshOutcome }},
	{"ended_at", optionalNumber, func(r *Row) any { return &r.EndedAt }},
	{"end_reason", text, func(r *Row) any { return &r.EndReason }},
	{"ended_by", text, func(r *Row) any { return &r.EndedBy }},
}

// auditFields are the table of the audit log. Its session_id is NULL if there is no
// session, since no uuid means that.
var auditFields = fields[auditRow]{
	{"id", keyID, func(r *auditRow) any { return &r.id }},
	{"at", number, func(r *auditRow) any { return &r.at }},
	{"type", text, func(r *auditRow) any { return &r.event }},
	{"session_id", optionalID, func(r *auditRow) any { return &r.sessionID }},
	{"user_id", name, func(r *auditRow) any { return &r.userID }},
	{"actor", name, func(r *auditRow) any { return &r.actor }},
	{"parent_session_id", optionalID, func(r *auditRow) any { return &r.parentSessionID }},
	{"reason", text, func(r *auditRow) any { return &r.reason }},
	{"end_reason", text, func(r *auditRow) any { return &r.endReason }},
	{"by", text, func(r *auditRow) any { return &r.by }},
	{"client_ip", text, func(r *auditRow) any { return &r.clientIP }},
	{"client_user_agent", text, func(r *auditRow) any { return &r.clientUserAgent }},
	{"refusal", text, func(r *auditRow) any { return &r.refusal }},
}
