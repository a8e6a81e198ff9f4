package core

import "strings"

// statements are the texts for one table. They are the same on both databases and
// never end in a different plan for different arguments, so each is prepared once;
// the optional conditions of a list, an end and a prune are added to theirs, and what
// a change returns to those of changes, see change.go.
//
// An argument is written @name. GORM binds each occurrence as a parameter of its
// own, whose type Postgres infers from where it stands: next to a column it is the
// column's, next to a literal 1 it would be a four-byte integer. So what has to be
// computed is computed before, and no argument stands next to a number.
type statements struct {
	create, createBehind, get, list, end, endMany, endOthers, endDependents string
	refresh, redeem, ended                                                  string
	// record, log and audit go on with values, with a selection and with conditions.
	record, log, audit string
}

// notOver is the condition under which a session can be ended, by its row alone.
const notOver = `ended_at IS NULL AND expires_at > @now`

// end is what every end of a session writes; conditions follow.
const end = `UPDATE {table} SET ended_at = @now, end_reason = @reason, ended_by = @by WHERE `

// live is the condition of sessions.Moment, for the arguments of moment, with that
// of the actor's session if there is one. The table is named s for it.
//
// The EXISTS sees the other row as it was when the statement began, which is as it
// should be: whatever was acknowledged before is seen, and what ends the actor's
// session meanwhile may come after. Only of the statement's own row a newer version
// counts, since who waited for its lock must see what its holder did; that is read
// again, see refresh.
const live = notOver + ` AND last_used_at > @idle_cutoff AND (s.parent_session_id IS NULL OR EXISTS (
  SELECT 1 FROM {table} AS actor
  WHERE actor.id = s.parent_session_id AND actor.ended_at IS NULL AND actor.expires_at > @now))`

// success is the condition under which sessions.Rotation.Next ends no session.
// Inside the window is answered_at > @window_cutoff: with NoOverlap the cutoff is
// never, with unlimited recoveries @max_recoveries is.
const success = `(@presented >= current OR @presented = parent AND (answered_at > @window_cutoff OR recoveries < @max_recoveries))`

// refresh is sessions.Rotation.Next and the end of a refused session as one
// statement over the row's own columns. Postgres reads those again after it waited
// for a lock; a CTE, a join or a subselect would read what was there before, and
// several callers would each believe to have rotated (that of live is about another
// row). RETURNING sees the new row
// only, in which the outcomes cannot be told apart: hence refresh_outcome.
//
// Of the columns that a success changes none is in an index; ended_at is in one and
// keeps its value, so the update stays HOT.
const refresh = `UPDATE {table} AS s SET
refresh_outcome = CASE
  WHEN @presented = current THEN 1
  WHEN @presented > current THEN 4
  WHEN @presented = parent AND answered_at > @window_cutoff THEN 2
  WHEN @presented = parent AND recoveries < @max_recoveries THEN 3
  WHEN @presented = parent THEN @parent_refused
  ELSE 5 END,
parent = CASE WHEN @presented >= current THEN @presented ELSE parent END,
current = CASE
  WHEN @presented >= current THEN @next
  WHEN @presented = parent AND answered_at <= @window_cutoff AND recoveries < @max_recoveries THEN current + 1
  ELSE current END,
recoveries = CASE
  WHEN @presented >= current THEN 0
  WHEN @presented = parent AND answered_at <= @window_cutoff AND recoveries < @max_recoveries THEN recoveries + 1
  ELSE recoveries END,
answered_at = CASE
  WHEN @presented >= current THEN @now
  WHEN @presented = parent AND answered_at > @window_cutoff AND answered_at < @slide_to THEN @now
  WHEN @presented = parent AND answered_at <= @window_cutoff AND recoveries < @max_recoveries THEN @now
  ELSE answered_at END,
last_used_at = CASE WHEN last_used_at < @now AND ` + success + ` THEN @now ELSE last_used_at END,
client_ip = CASE WHEN @client_ip <> '' AND ` + success + ` THEN @client_ip ELSE client_ip END,
client_user_agent = CASE WHEN @client_user_agent <> '' AND ` + success + ` THEN @client_user_agent ELSE client_user_agent END,
ended_at = CASE WHEN ` + success + ` THEN ended_at ELSE @now END,
end_reason = CASE
  WHEN ` + success + ` THEN end_reason
  WHEN @presented = parent THEN @parent_refused_reason
  ELSE 'replay' END
WHERE id = @id AND ` + live + ` AND (impersonation = 0 OR expires_at > @margin)`

// redeem is sessions.Store.Redeem, by the rules of refresh: the row's own columns
// decide whether this is the first use, so one of many callers sees it.
const redeem = `UPDATE {table} AS s SET
handoff_uses = handoff_uses + 1,
last_used_at = CASE WHEN handoff_uses = 0 AND last_used_at < @now THEN @now ELSE last_used_at END,
client_ip = CASE WHEN handoff_uses = 0 AND @client_ip <> '' THEN @client_ip ELSE client_ip END,
client_user_agent = CASE WHEN handoff_uses = 0 AND @client_user_agent <> '' THEN @client_user_agent ELSE client_user_agent END,
ended_at = CASE WHEN handoff_uses = 0 THEN ended_at ELSE @now END,
end_reason = CASE WHEN handoff_uses = 0 THEN end_reason ELSE 'handoff_replay' END
WHERE id = @id AND handoff_hash = @hash AND (handoff_uses > 0 OR handoff_expires_at > @now) AND ` + live

func newStatements(cfg Config, d Dialect) *statements {
	text := func(s string) string {
		return strings.NewReplacer("{table}", cfg.quoted(cfg.Table), "{audit}", cfg.quoted(cfg.auditTable())).Replace(s)
	}
	values := `?` + strings.Repeat(`, ?`, strings.Count(columns, ","))
	// With the actor's row locked, its end waits for a creation that has seen it
	// live, or the creation for the end; else an impersonation could begin after
	// EndDependents looked for it. SQLite has one writer anyway.
	lock := ""
	// A list of ids is one argument, whatever their number: the text stays the same,
	// and no database's limit of arguments is met.
	anyOf := `IN (SELECT value FROM json_each(@ids))`
	// From what has ended to what depends on it, and never the other way, which would
	// be to look at every impersonation. SQLite keeps the order of a
	// CROSS JOIN; Postgres goes by its estimates, unless an OFFSET keeps them apart.
	behind := `CROSS JOIN {table} AS s WHERE s.parent_session_id = actor.id AND s.ended_at IS NULL AND`
	if d == Postgres {
		lock = ` FOR SHARE`
		anyOf = `= ANY(CAST(@ids AS uuid[]))`
		behind = `CROSS JOIN LATERAL (SELECT id FROM {table} WHERE parent_session_id = actor.id AND ended_at IS NULL OFFSET 0) AS s WHERE`
	}
	return &statements{
		create: text(`INSERT INTO {table} (` + columns + `) VALUES (` + values + `) ON CONFLICT DO NOTHING`),
		createBehind: text(`INSERT INTO {table} (` + columns + `) SELECT ` + values + ` WHERE EXISTS (
  SELECT 1 FROM {table} AS actor
  WHERE actor.id = ? AND actor.user_id = ? AND actor.impersonation = 0 AND actor.ended_at IS NULL AND actor.expires_at > ?` + lock + `)
ON CONFLICT DO NOTHING`),
		get:           text(`SELECT ` + columns + ` FROM {table} WHERE id = @id`),
		list:          text(`SELECT ` + columns + ` FROM {table} AS s WHERE user_id = @user_id AND ` + live),
		end:           text(end + `id = @id AND ` + notOver),
		endMany:       text(end + inOrder(d, `{table}`, `user_id = @user_id AND `+notOver)),
		endOthers:     text(end + inOrder(d, `{table}`, `user_id = @user_id AND id <> @except_id AND `+notOver)),
		endDependents: text(end + inOrder(d, `{table}`, `parent_session_id `+anyOf+` AND `+notOver)),
		// The second half is for impersonations that nobody came to mark. A prepared
		// statement may get a plan for any argument, which takes an open range for a
		// third of the table and reads all of it; one with two ends is taken for 0.5 %.
		ended: text(`SELECT id, ended_at, NULL FROM {table} WHERE ended_at >= @since AND ended_at <= @forever
UNION ALL
SELECT s.id, actor.ended_at, actor.id FROM {table} AS actor ` + behind + ` actor.ended_at >= @since AND actor.ended_at <= @forever`),
		refresh: text(refresh),
		redeem:  text(redeem),
		record:  text(`INSERT INTO {audit} (` + auditColumns + `) VALUES `),
		log:     text(`INSERT INTO {audit} (` + auditColumns + `) SELECT `),
		audit:   text(`SELECT ` + auditColumns + ` FROM {audit} WHERE `),
	}
}
