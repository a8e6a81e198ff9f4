package core

import (
	"context"
	"fmt"
	"strings"

	"github.com/sessile-go/sessile/sessions"
)

// change is a statement that changes sessions, and what the audit log says of it.
type change struct {
	op string
	// query is an UPDATE up to the end of its conditions.
	query string
	// args are its arguments; one of them is now.
	args map[string]any
	// event is what happened to each impersonation.
	event eventOf
	// client is who made the call, as far as that is known.
	client sessions.Client
}

// eventOf is the type of event of a changed row: as a function, and as an expression
// of SQL over the row u.
type eventOf struct {
	of  func(r Row) sessions.EventType
	sql string
}

var (
	ended     = eventOf{func(Row) sessions.EventType { return sessions.EventEnded }, literal(string(sessions.EventEnded))}
	refreshed = eventOf{func(r Row) sessions.EventType { return outcomes[sessions.Outcome(r.RefreshOutcome)] }, outcomesSQL()}
	redeemed  = eventOf{func(r Row) sessions.EventType {
		if r.EndedAt != nil {
			return sessions.EventHandoffReplay
		}
		return sessions.EventRedeemed
	}, `CASE WHEN u.ended_at IS NULL THEN ` + literal(string(sessions.EventRedeemed)) + ` ELSE ` + literal(string(sessions.EventHandoffReplay)) + ` END`}
)

// outcomes is what a refresh was.
var outcomes = map[sessions.Outcome]sessions.EventType{
	sessions.OutcomeRotated:       sessions.EventRotated,
	sessions.OutcomeOverlap:       sessions.EventOverlap,
	sessions.OutcomeRecovered:     sessions.EventRecovered,
	sessions.OutcomeAhead:         sessions.EventAhead,
	sessions.OutcomeReplay:        sessions.EventReplay,
	sessions.OutcomeRecoveryLimit: sessions.EventRecoveryLimit,
}

func outcomesSQL() string {
	var b strings.Builder
	b.WriteString(`CASE u.refresh_outcome`)
	for o := sessions.OutcomeRotated; o <= sessions.OutcomeRecoveryLimit; o++ {
		fmt.Fprintf(&b, ` WHEN %d THEN %s`, o, literal(string(outcomes[o])))
	}
	b.WriteString(` END`)
	return b.String()
}

func literal(word string) string { return `'` + word + `'` }

// one makes a change to the session id. No row is ErrNotFound.
func (s *Store) one(ctx context.Context, id string, c change) (Row, error) {
	if !isID(id) {
		return Row{}, s.answer(ctx, c.op, sessions.ErrNotFound)
	}
	var rows []Row
	var err error
	if s.cfg.AuditLog && s.dialect == SQLite && !s.joined {
		// Nearly all sessions leave no entry: for them one statement is enough.
		if rows, err = s.rows(ctx, c.op, c.query+` AND impersonation = 0 RETURNING `+columns, c.args); err != nil {
			return Row{}, err
		}
	}
	if len(rows) == 0 {
		rows, err = s.change(ctx, c)
	}
	if err != nil {
		return Row{}, err
	}
	if len(rows) == 0 {
		return Row{}, sessions.ErrNotFound
	}
	return rows[0], nil
}

// change makes a change and returns the rows as they are then. If there is an audit
// log, an entry for each impersonation among them is part of the same transaction:
// neither is ever there without the other.
func (s *Store) change(ctx context.Context, c change) ([]Row, error) {
	switch {
	case s.dialect == Postgres && (s.cfg.AuditLog || s.joined):
		return s.changeAtOnce(ctx, c)
	case !s.cfg.AuditLog:
		return s.rows(ctx, c.op, c.query+` RETURNING `+columns, c.args)
	}
	var rows []Row
	err := s.step(ctx, c.op, func(in *Store) error {
		var err error
		if rows, err = in.rows(ctx, c.op, c.query+` RETURNING `+columns, c.args); err != nil {
			return err
		}
		at, _ := c.args["now"].(int64)
		var entries []auditRow
		for _, r := range rows {
			if r.Impersonation != 0 {
				entries = append(entries, newAuditRow(r, occurrence{at: at, event: c.event.of(r), client: c.client}))
			}
		}
		return in.record(ctx, c.op, entries)
	})
	if err != nil {
		return nil, err
	}
	return rows, nil
}

// changeAtOnce makes a change on Postgres, adds the entries of the audit log, and asks
// for the isolation of the host's transaction, all in one statement.
func (s *Store) changeAtOnce(ctx context.Context, c change) ([]Row, error) {
	text := `WITH u AS (` + c.query + ` RETURNING ` + columns + `)`
	if s.cfg.AuditLog {
		text += `, a AS (` + s.stmts.log + idNow + `, CAST(@now AS BIGINT), ` + c.event.sql + `, u.id, u.user_id, u.actor, u.parent_session_id, u.reason,
u.end_reason, u.ended_by, CAST(@log_ip AS TEXT), CAST(@log_user_agent AS TEXT), '' FROM u WHERE u.impersonation <> 0)`
		c.args["log_ip"], c.args["log_user_agent"] = c.client.IP, c.client.UserAgent
	}
	text += ` SELECT '', ` + columns + ` FROM u`
	if !s.joined {
		rows, err := read(ctx, s, c.op, text, c.args, (*isolatedRow).targets)
		return changed(rows), err
	}
	rows, err := read(ctx, s, c.op, text+` UNION ALL SELECT current_setting('transaction_isolation'), `+noRow, c.args, (*isolatedRow).targets)
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		if r.isolation != "" && !strings.HasPrefix(r.isolation, "read ") {
			return nil, fmt.Errorf("store: %s: the transaction is %s, so it may miss sessions that began after its "+
				"first statement: roll it back, and begin it as read committed (sql.LevelReadCommitted)", c.op, r.isolation)
		}
	}
	return changed(rows), nil
}

// isolatedRow is a changed row, or one that has nothing but the isolation of the
// transaction.
type isolatedRow struct {
	isolation string
	Row
}

func (r *isolatedRow) targets() []any { return append([]any{&r.isolation}, r.Row.targets()...) }

func changed(rows []isolatedRow) []Row {
	var all []Row
	for _, r := range rows {
		if r.isolation == "" {
			all = append(all, r.Row)
		}
	}
	return all
}

// noRow are columns with nothing in them, of the types that they have on Postgres.
var noRow = func() string {
	var values []string
	for _, c := range columnsOf(Postgres) {
		value := map[string]string{typeUUID: `'00000000-0000-0000-0000-000000000000'`, typeText: `''`}[c.typ]
		switch {
		case !strings.Contains(c.rest, notNull):
			value = `NULL`
		case value == "":
			value = `0`
		}
		values = append(values, `CAST(`+value+` AS `+c.typ+`)`)
	}
	return strings.Join(values, `, `)
}()
