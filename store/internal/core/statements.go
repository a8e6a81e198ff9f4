package core

import "strings"

// statements are those for one table. They are the same on both databases and never end in a
// different plan for different arguments, so each is prepared once.
//
// Postgres infers the type of an argument from the first place of it: next to a column it is the
// type of the column, next to a literal 1 it would be a four-byte integer. So everything that can
// be computed is computed before, and no argument first appears next to a number.
type statements struct {
	create, createDependent, get, ended, now statement
	list, audit                              forms
	// prune has a statement for each choice of the three times.
	prune [8]statement

	refresh, redeem, end, endMany, endDependents change
	// record adds an entry to the audit log; on SQLite, more of them follow.
	record, entry string
}

// columns and auditColumns list the columns of the tables, as statements name them.
var columns, auditColumns = rowFields.list("", ", "), auditFields.list("", ", ")

// notOver is the condition under which a session can be ended, by its row alone.
const notOver = `ended_at IS NULL AND expires_at > @now`

// end is the beginning of every statement that ends sessions. Conditions follow.
const end = `UPDATE {table} SET ended_at = @now, end_reason = @reason, ended_by = @by WHERE `

// live is the condition of sessions.Moment, for the arguments of moment, with that
// of the parent if there is one. The table is named s for it.
//
// The EXISTS sees the parent as it was when the statement began, which is as it should
// be: whatever was acknowledged before is seen, and what ends the parent meanwhile may
// come after. Only of the statement's own row a newer version counts, since a caller
// that waited for its lock must see what the holder did; that is read again, see refresh.
const live = notOver + ` AND last_used_at > @idle_cutoff AND (s.parent_session_id IS NULL OR EXISTS (
  SELECT 1 FROM {table} AS p
  WHERE p.id = s.parent_session_id AND p.ended_at IS NULL AND p.expires_at > @now))`

// success is the condition under which sessions.Rotation.Next ends no session. A token is inside
// the window if answered_at > @window_cutoff. The cutoff is never with NoOverlap, and
// @max_recoveries is never if recoveries are unlimited.
const success = `(@presented >= current OR @presented = parent AND 
  (answered_at > @window_cutoff OR recoveries < @max_recoveries))`

// refresh is sessions.Rotation.Next and the end of a refused session as one statement over the
// row's own columns. Postgres reads those again after it waited for a lock. A CTE, a join or a
// subselect would see the row as it was before, and several callers would each take the token for
// current; the subselect of live is about another row. RETURNING sees only the new row, which does
// not show the outcome: hence refresh_outcome.
//
// A success changes no column that is in an index, except that ended_at is in one and keeps its
// value. So the update stays HOT.
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
client_user_agent = CASE
  WHEN @client_user_agent <> '' AND ` + success + ` THEN @client_user_agent
  ELSE client_user_agent END,
ended_at = CASE WHEN ` + success + ` THEN ended_at ELSE @now END,
end_reason = CASE
  WHEN ` + success + ` THEN end_reason
  WHEN @presented = parent THEN @parent_refused_reason
  ELSE 'replay' END
WHERE id = @id AND ` + live + ` AND (impersonation = 0 OR expires_at > @margin)`

// redeem is sessions.Store.Redeem, by the rules of refresh: the row's own columns decide whether
// this is the first use, so exactly one of many callers makes it.
const redeem = `UPDATE {table} AS s SET
handoff_uses = handoff_uses + 1,
last_used_at = CASE WHEN handoff_uses = 0 AND last_used_at < @now THEN @now ELSE last_used_at END,
client_ip = CASE WHEN handoff_uses = 0 AND @client_ip <> '' THEN @client_ip ELSE client_ip END,
client_user_agent = CASE
  WHEN handoff_uses = 0 AND @client_user_agent <> '' THEN @client_user_agent
  ELSE client_user_agent END,
ended_at = CASE WHEN handoff_uses = 0 THEN ended_at ELSE @now END,
end_reason = CASE WHEN handoff_uses = 0 THEN end_reason ELSE 'handoff_replay' END
WHERE id = @id AND handoff_hash = @hash AND (handoff_uses > 0 OR handoff_expires_at > @now) AND ` + live

// fill replaces the names of the tables.
func (c Config) fill(text string) string {
	return strings.NewReplacer("{table}", c.quoted(c.Table), "{audit}", c.quoted(c.auditTable())).Replace(text)
}

func newStatements(cfg Config, d Dialect) *statements {
	// The row of the parent is locked, so that its end waits for a creation that has seen it
	// live, or the creation for the end. Without that, a session could begin after
	// EndDependents looked for it. SQLite has one writer anyway.
	lock := ""
	// A list of ids is one argument, whatever their number: the text stays the same,
	// and no database's limit of arguments is met.
	anyOf := `IN (SELECT value FROM json_each(@ids))`
	// The statement goes from the sessions that have ended to their dependents. The other
	// way would look at every session that has a parent. SQLite keeps the order of a CROSS
	// JOIN; Postgres goes by its estimates, unless an OFFSET keeps the two apart.
	dependents := `CROSS JOIN {table} AS s WHERE s.parent_session_id = p.id AND s.ended_at IS NULL AND`
	now := `SELECT CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) * 1000`
	if d == Postgres {
		lock = ` FOR SHARE`
		anyOf = `= ANY(CAST(@ids AS uuid[]))`
		dependents = `CROSS JOIN LATERAL (
  SELECT id FROM {table} WHERE parent_session_id = p.id AND ended_at IS NULL OFFSET 0) AS s WHERE`
		now = `SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)`
	}
	insert, values := `INSERT INTO {table} (`+columns+`) `, rowFields.list("@", ", ")
	all := &statements{
		create: compile(cfg.fill(insert + `VALUES (` + values + `) ON CONFLICT DO NOTHING`)),
		createDependent: compile(cfg.fill(insert + `SELECT ` + values + ` WHERE EXISTS (
  SELECT 1 FROM {table} AS p WHERE p.id = @parent_session_id AND p.user_id = @actor
  AND p.impersonation = 0 AND p.ended_at IS NULL AND p.expires_at > @created_at` + lock + `)
ON CONFLICT DO NOTHING`)),
		get: compile(cfg.fill(`SELECT ` + columns + ` FROM {table} WHERE id = @id`)),
		list: newForms(cfg.fill(`SELECT ` + columns + ` FROM {table} AS s WHERE user_id = @user_id AND ` + live +
			`[[ AND id = @only_id]][[ AND impersonation = 0]][[ AND (created_at, id) < (@after_created_at, @after_id)]]
ORDER BY created_at DESC, id DESC[[ LIMIT @limit]]`)),
		// The second half is for dependents that are not marked yet. A prepared
		// statement may get a plan for any argument, which takes an open range for a
		// third of the table and reads all of it; one with two ends is taken for 0.5 %.
		ended: compile(cfg.fill(`SELECT id, ended_at, NULL FROM {table}
WHERE ended_at >= @since AND ended_at <= @forever
UNION ALL
SELECT s.id, p.ended_at, p.id FROM {table} AS p ` + dependents + ` p.ended_at >= @since AND p.ended_at <= @forever`)),
		now: compile(now),
		audit: newForms(cfg.fill(`SELECT ` + auditColumns + ` FROM {audit}
WHERE TRUE[[ AND user_id = @user_id]][[ AND actor = @actor]][[ AND (at, id) < (@before_at, @before_id)]]
ORDER BY at DESC, id DESC[[ LIMIT @limit]]`)),

		refresh: newChange(cfg, d, "refresh", true, refreshed, refresh),
		redeem:  newChange(cfg, d, "redeem", true, redeemed, redeem),
		end: newChange(cfg, d, "end", true, ended,
			end+`id = @id AND `+notOver+`[[ AND user_id = @user_id]][[ AND impersonation = 0]]`),
		endMany: newChange(cfg, d, "end many", false, ended,
			end+inOrder(d, `user_id = @user_id[[ AND id <> @except_id]] AND `+notOver)),
		endDependents: newChange(cfg, d, "end dependents", false, ended,
			end+inOrder(d, `parent_session_id `+anyOf+` AND `+notOver)),
	}
	// SQLite has no positions here, because it looks for those that have a name one by one.
	all.entry = `(?` + strings.Repeat(`, ?`, len(auditFields)-1) + `)`
	if d == Postgres {
		all.entry = compile(`(` + idNow + `, ` + auditFields[1:].list("@", ", ") + `)`).text
	}
	all.record = cfg.fill(`INSERT INTO {audit} (` + auditColumns + `) VALUES ` + all.entry)
	for choice := range all.prune {
		all.prune[choice] = compile(cfg.fill(prune(d, choice&1 != 0, choice&2 != 0, choice&4 != 0)))
	}
	return all
}

// inOrder is a condition under which several rows change. Two statements that lock the same rows in
// different orders may wait for each other, so the rows are locked by id first.
func inOrder(d Dialect, condition string) string {
	if d == Postgres {
		return `id = ANY(ARRAY(SELECT id FROM {table} AS s WHERE ` + condition + ` ORDER BY id FOR NO KEY UPDATE))`
	}
	return condition // SQLite has one writer
}

// prune deletes what is older than the chosen times.
func prune(d Dialect, ended, expired, idle bool) string {
	// Each time has a part with an index of its own. A row is in one part only, or it would
	// count twice against the limit.
	var parts, earlier []string
	add := func(old, young string) {
		where := strings.Join(append([]string{old}, earlier...), ` AND `)
		parts = append(parts, `SELECT id FROM {table} AS s WHERE `+where)
		earlier = append(earlier, young)
	}
	if ended {
		add(`ended_at < @ended`, `(ended_at IS NULL OR ended_at >= @ended)`)
	}
	if expired {
		add(`expires_at < @expired`, `expires_at >= @expired`)
	}
	if idle {
		// The idle come last, so that their condition is in no other part: below NOT or OR,
		// Postgres would look for the dependents of each row by itself. So it is an anti join.
		add(`last_used_at < @idle AND NOT EXISTS (
  SELECT 1 FROM {table} AS d WHERE d.parent_session_id = s.id AND d.ended_at IS NULL)`,
			`last_used_at >= @idle`)
	}
	if len(parts) == 0 {
		return ""
	}
	// The rows are judged again as they are locked: Postgres does not repeat the
	// subselect after it waited for a row, and in the meantime an idle session may
	// have been refreshed. Their dependents are not looked for again: the statement
	// would see no later ones, because its snapshot is from before the wait.
	return `DELETE FROM {table} AS s WHERE ` + inOrder(d,
		`id IN (`+strings.Join(parts, ` UNION ALL `)+` LIMIT @limit) AND NOT (`+strings.Join(earlier, ` AND `)+`)`)
}
