package store

import "strings"

// statements are the texts for one table. They are the same on both databases and
// never end in a different plan for different arguments, so each is prepared once;
// the optional conditions of a list, an end and a prune are added to theirs.
//
// An argument is written @name. GORM binds each occurrence as a parameter of its
// own, whose type Postgres infers from where it stands: next to a column it is the
// column's, next to a literal 1 it would be a four-byte integer. So what has to be
// computed is computed before, and no argument stands next to a number.
type statements struct {
	create, get, list, end, endMany string
	refresh                         string
}

// live is the condition of sessions.Moment, for the arguments of moment.
const live = `ended_at IS NULL AND expires_at > @now AND last_used_at > @idle_cutoff`

// success is the condition under which sessions.Rotation.Next ends no session.
// Inside the window is answered_at > @window_cutoff: with NoOverlap the cutoff is
// never, with unlimited recoveries @max_recoveries is.
const success = `(@presented >= current OR @presented = parent AND (answered_at > @window_cutoff OR recoveries < @max_recoveries))`

// refresh is sessions.Rotation.Next and the end of a refused session as one
// statement over the row's own columns. Postgres reads those again after it waited
// for a lock; a CTE, a join or a subselect would read what was there before, and
// several callers would each believe to have rotated. RETURNING sees the new row
// only, in which the outcomes cannot be told apart: hence refresh_outcome.
//
// Of the columns that a success changes none is in an index; ended_at is in one and
// keeps its value, so the update stays HOT.
const refresh = `UPDATE {table} SET
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
WHERE id = @id AND ` + live + ` AND (impersonation = 0 OR expires_at > @margin)
RETURNING ` + columns

func newStatements(cfg Config) *statements {
	text := func(s string) string { return strings.ReplaceAll(s, "{table}", cfg.quoted()) }
	return &statements{
		create: text(`INSERT INTO {table} (` + columns + `) VALUES (?` + strings.Repeat(`, ?`, strings.Count(columns, ",")) + `) ON CONFLICT DO NOTHING`),
		get:    text(`SELECT ` + columns + ` FROM {table} WHERE id = @id`),
		list:   text(`SELECT ` + columns + ` FROM {table} WHERE user_id = @user_id AND ` + live),
		end: text(`UPDATE {table} SET ended_at = @now, end_reason = @reason, ended_by = @by
WHERE id = @id AND ` + live),
		endMany: text(`UPDATE {table} SET ended_at = @now, end_reason = @reason, ended_by = @by
WHERE user_id = @user_id AND ` + live),
		refresh: text(refresh),
	}
}
