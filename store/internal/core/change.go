package core

import (
	"context"
	"fmt"
	"strings"

	"github.com/sessile-go/sessile/sessions"
)

// change is a statement that changes sessions and returns them as they are then.
type change struct {
	op string
	// single is true if it changes one session at most.
	single bool
	event  eventOf
	// alone and joined are the statement by itself and in a transaction of the host.
	alone, joined forms
}

// eventOf gives the type of event of a changed row, as a function and as an expression of SQL over
// the row u.
type eventOf struct {
	of  func(r Row) sessions.EventType
	sql string
}

var (
	ended = eventOf{func(Row) sessions.EventType {
		return sessions.EventEnded
	}, literal(string(sessions.EventEnded))}

	refreshed = eventOf{func(r Row) sessions.EventType {
		return outcomes[sessions.Outcome(r.RefreshOutcome)]
	}, outcomesSQL()}

	redeemed = eventOf{func(r Row) sessions.EventType {
		if r.EndedAt != nil {
			return sessions.EventHandoffReplay
		}
		return sessions.EventRedeemed
	}, `CASE WHEN u.ended_at IS NULL THEN ` + literal(string(sessions.EventRedeemed)) +
		` ELSE ` + literal(string(sessions.EventHandoffReplay)) + ` END`}
)

// outcomes are the types of event of a refresh.
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

// newChange completes a statement, which is an UPDATE up to the end of its conditions.
//
// On Postgres it also adds the entries of the audit log, and in a transaction of the host
// it returns the isolation of that, all in one statement. On SQLite it has one more
// optional part, which leaves out the sessions that need an entry.
func newChange(cfg Config, d Dialect, op string, single bool, event eventOf, update string) change {
	c := change{op: op, single: single, event: event}
	if d == SQLite {
		c.alone = newForms(cfg.fill(update + `[[ AND impersonation = 0]] RETURNING ` + columns + `, ''`))
		c.joined = c.alone
		return c
	}
	returning := update + ` RETURNING ` + columns
	all := `WITH u AS (` + returning + `)`
	if cfg.AuditLog {
		all += `, a AS (INSERT INTO {audit} (` + auditColumns + `)
SELECT ` + idNow + `, CAST(@now AS BIGINT), ` + event.sql + `,
u.id, u.user_id, u.actor, u.parent_session_id, u.reason, u.end_reason, u.ended_by,
CAST(@log_ip AS TEXT), CAST(@log_user_agent AS TEXT), '' FROM u WHERE u.impersonation <> 0)`
	}
	all += ` SELECT ` + columns + `, '' FROM u`
	c.alone = newForms(cfg.fill(returning + `, ''`))
	if cfg.AuditLog {
		c.alone = newForms(cfg.fill(all))
	}
	c.joined = newForms(cfg.fill(all + ` UNION ALL SELECT ` + noRow + `, current_setting('transaction_isolation')`))
	return c
}

// change makes a change and returns the sessions as they are then. parts are the optional
// parts of the statement, and client is who made the call, if it is known. If there is an
// audit log, an entry for each impersonation is part of the same transaction: neither is
// ever there without the other.
func (s *Store) change(
	ctx context.Context, c *change, client sessions.Client, args named, parts ...bool,
) ([]Row, error) {
	args["log_ip"], args["log_user_agent"] = client.IP, client.UserAgent
	if !s.cfg.AuditLog || s.dialect == Postgres {
		return s.update(ctx, c, args, parts)
	}
	if c.single && !s.joined {
		// Nearly all sessions need no entry: for them one statement is enough.
		if rows, err := s.update(ctx, c, args, append(parts, true)); err != nil || len(rows) > 0 {
			return rows, err
		}
	}
	var rows []Row
	err := s.step(ctx, c.op, func(in *Store) error {
		var err error
		if rows, err = in.update(ctx, c, args, parts); err != nil {
			return err
		}
		at, _ := args["now"].(int64)
		var entries []auditRow
		for _, r := range rows {
			if r.Impersonation != 0 {
				entries = append(entries, newAuditRow(r, occurrence{at: at, event: c.event.of(r), client: client}))
			}
		}
		return in.record(ctx, c.op, entries)
	})
	if err != nil {
		return nil, err
	}
	return rows, nil
}

// changedRow is a changed row, or a row with nothing but the isolation of the transaction.
type changedRow struct {
	Row
	isolation string
}

func (r *changedRow) targets() []any { return append(rowFields.targets(&r.Row), &r.isolation) }

// update runs the statement of a change.
func (s *Store) update(ctx context.Context, c *change, args named, parts []bool) ([]Row, error) {
	statements := c.alone
	if s.joined {
		statements = c.joined
	}
	changed, err := query(ctx, s, c.op, statements.with(parts...), args, (*changedRow).targets)
	if err != nil {
		return nil, err
	}
	rows := make([]Row, 0, len(changed))
	for _, r := range changed {
		switch {
		case r.isolation == "":
			rows = append(rows, r.Row)
		case !strings.HasPrefix(r.isolation, "read "):
			return nil, fmt.Errorf("store: %s: the transaction is %s, so it may miss sessions that began after its "+
				"first statement: roll it back, and begin it as read committed (sql.LevelReadCommitted)",
				c.op, r.isolation)
		}
	}
	return rows, nil
}

// first returns the row of a change of one session. If there is no row, the error is ErrNotFound.
func first(rows []Row, err error) (Row, error) {
	switch {
	case err != nil:
		return Row{}, err
	case len(rows) == 0:
		return Row{}, sessions.ErrNotFound
	}
	return rows[0], nil
}

// noRow are empty columns with the types that they have on Postgres.
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
