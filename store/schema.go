package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"gorm.io/gorm"
)

// column is one column of the table.
type column struct {
	name string
	// typ is the type as the DDL and the database itself spell it; id is a uuid on
	// Postgres and TEXT on SQLite.
	typ string
	// rest follows the type in the DDL.
	rest string
}

const (
	typeBig   = "BIGINT"
	typeSmall = "SMALLINT"
	typeText  = "TEXT"
	typeUUID  = "UUID"

	notNull = "NOT NULL"
)

// schema is the table of a dialect.
func schema(d dialect) []column {
	id, userID := column{"id", typeText, notNull + " PRIMARY KEY"}, column{"user_id", typeText, notNull}
	actorSessionID := column{"actor_session_id", typeText, ""}
	if d == postgres {
		// The order of a language would be of no use here, and changes with the
		// operating system's library.
		id.typ, actorSessionID.typ, userID.rest = typeUUID, typeUUID, `COLLATE "C" `+notNull
	}
	return []column{
		id,
		userID,
		{"created_at", typeBig, notNull},
		{"last_used_at", typeBig, notNull},
		{"expires_at", typeBig, notNull},
		{"auth_time", typeBig, notNull},
		{"impersonation", typeSmall, notNull},
		{"actor", typeText, notNull},
		{"reason", typeText, notNull},
		{"created_by", typeText, notNull},
		actorSessionID,
		{"client_ip", typeText, notNull},
		{"client_user_agent", typeText, notNull},
		{"handoff_hash", typeText, notNull},
		{"handoff_expires_at", typeBig, notNull},
		{"handoff_uses", typeBig, notNull},
		{"current", typeBig, notNull},
		{"parent", typeBig, notNull},
		{"answered_at", typeBig, notNull},
		{"recoveries", typeBig, notNull},
		{"refresh_outcome", typeBig, notNull},
		{"ended_at", typeBig, ""},
		{"end_reason", typeText, notNull},
		{"ended_by", typeText, notNull},
	}
}

// indexes are those of the table, by name. None holds a column that a refresh
// changes, or Postgres could not update in place.
func (s *Store) indexes() []struct{ name, ddl string } {
	index := func(suffix, on string) struct{ name, ddl string } {
		name := s.cfg.index(suffix)
		return struct{ name, ddl string }{name, `CREATE INDEX IF NOT EXISTS "` + name + `" ON ` + s.cfg.quoted() + ` ` + on}
	}
	return []struct{ name, ddl string }{
		index("user", `(user_id, created_at DESC, id DESC) WHERE ended_at IS NULL`),
		index("ended", `(ended_at, id) WHERE ended_at IS NOT NULL`),
		index("expires", `(expires_at)`),
		index("actor", `(actor_session_id) WHERE actor_session_id IS NOT NULL`),
	}
}

func (s *Store) table() string {
	lines := make([]string, 0, 24)
	for _, c := range schema(s.dialect) {
		lines = append(lines, strings.TrimRight("  "+c.name+" "+c.typ+" "+c.rest, " "))
	}
	ddl := "CREATE TABLE IF NOT EXISTS " + s.cfg.quoted() + " (\n" + strings.Join(lines, ",\n") + "\n)"
	if s.dialect == postgres {
		ddl += " WITH (fillfactor = 80)"
	}
	return ddl
}

// SchemaSQL returns what Migrate executes where nothing is there yet, for review or
// for the host's own migration tool. Times are Unix microseconds.
func (s *Store) SchemaSQL() string {
	var b strings.Builder
	b.WriteString(s.table() + ";\n")
	for _, i := range s.indexes() {
		b.WriteString(i.ddl + ";\n")
	}
	return b.String()
}

// Migrate makes the table and its indexes where they are missing. It is idempotent,
// and any number of processes may call it at once. It changes no column: where there
// is a table of that name which it would not have made, it returns an error that
// names the differences. Columns beyond its own are accepted if an INSERT may leave
// them out, so that an older version still starts beside a newer one.
//
// Where everything is there it only reads, and needs no right to create.
func (s *Store) Migrate(ctx context.Context) error {
	missing, err := s.missing(ctx)
	if err != nil || len(missing) == 0 {
		return err
	}
	if s.dialect == postgres && !s.joined {
		return s.retry(ctx, func() error {
			var inner error
			// A snapshot of a stricter isolation would be taken before the lock is
			// granted, and not show what its holder made.
			err := s.session(ctx).Transaction(func(tx *gorm.DB) error {
				inner = s.In(tx).create(ctx)
				return inner
			}, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
			if inner != nil {
				return inner
			}
			return wrap(ctx, "migrate", err)
		})
	}
	return s.create(ctx)
}

// create makes what is missing. On Postgres, where IF NOT EXISTS does not keep two
// callers from colliding in the catalogue, one after the other: the lock is held to
// the end of the transaction. On SQLite each statement is atomic, and so is its IF
// NOT EXISTS.
func (s *Store) create(ctx context.Context) error {
	if s.dialect == postgres {
		if _, err := s.exec(ctx, "migrate", `SELECT pg_advisory_xact_lock(hashtextextended(@name, 0))`, map[string]any{"name": "sessile " + s.cfg.quoted()}); err != nil {
			return err
		}
	}
	missing, err := s.missing(ctx)
	if err != nil {
		return err
	}
	for _, ddl := range missing {
		if _, err := s.exec(ctx, "migrate", ddl); err != nil {
			return err
		}
	}
	if len(missing) > 0 {
		// On SQLite somebody else's table may have come between.
		_, err = s.missing(ctx)
	}
	return err
}

// missing returns the statements that are still to be executed, or an error where
// there is a table that is not ours.
func (s *Store) missing(ctx context.Context) ([]string, error) {
	have, err := s.columns(ctx)
	if err != nil {
		return nil, err
	}
	var ddl []string
	if len(have) == 0 {
		ddl = append(ddl, s.table())
	} else if faults := compare(schema(s.dialect), have); len(faults) > 0 {
		return nil, fmt.Errorf("store: migrate: table %s was not made by this package: %w", s.cfg.quoted(), errors.Join(faults...))
	}
	names, err := s.indexNames(ctx)
	if err != nil {
		return nil, err
	}
	for _, i := range s.indexes() {
		if !slices.Contains(names, i.name) {
			ddl = append(ddl, i.ddl)
		}
	}
	return ddl, nil
}

// found is a column that the database has.
type found struct {
	name, typ, collation         string
	notNull, hasDefault, primary int64
}

func (s *Store) columns(ctx context.Context) ([]found, error) {
	query := `SELECT name, type, '', "notnull", dflt_value IS NOT NULL, pk FROM pragma_table_info(@table) ORDER BY cid`
	if s.dialect == postgres {
		// A table is looked for where our statements would find it.
		query = `SELECT a.attname, format_type(a.atttypid, a.atttypmod), COALESCE(l.collname, ''),
CAST(a.attnotnull AS int), CAST(a.atthasdef OR a.attidentity <> '' AS int), COALESCE(array_position(CAST(i.indkey AS smallint[]), a.attnum) + 1, 0)
FROM pg_attribute a
LEFT JOIN pg_collation l ON l.oid = a.attcollation
LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary
WHERE a.attrelid = to_regclass(@quoted) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`
	}
	return read(ctx, s, "migrate", query, s.names(), func(f *found) []any {
		return []any{&f.name, &f.typ, &f.collation, &f.notNull, &f.hasDefault, &f.primary}
	})
}

func (s *Store) indexNames(ctx context.Context) ([]string, error) {
	query := `SELECT name FROM pragma_index_list(@table)`
	if s.dialect == postgres {
		query = `SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = to_regclass(@quoted) AND i.indisvalid`
	}
	return read(ctx, s, "migrate", query, s.names(), func(name *string) []any { return []any{name} })
}

func (s *Store) names() map[string]any {
	return map[string]any{"table": s.cfg.Table, "quoted": s.cfg.quoted()}
}

// compare says in what a table differs from the one that Migrate makes.
func compare(want []column, have []found) []error {
	var faults []error
	for i, w := range want {
		at := slices.IndexFunc(have, func(f found) bool { return strings.EqualFold(f.name, w.name) })
		if at < 0 {
			faults = append(faults, fmt.Errorf("column %s is missing", w.name))
			continue
		}
		h := have[at]
		if !strings.EqualFold(h.typ, w.typ) {
			faults = append(faults, fmt.Errorf("column %s has type %s, want %s", w.name, h.typ, w.typ))
		}
		if strings.Contains(w.rest, "COLLATE") && h.collation != "C" {
			faults = append(faults, fmt.Errorf("column %s has collation %s, want C", w.name, h.collation))
		}
		if mandatory := strings.Contains(w.rest, notNull); mandatory != (h.notNull != 0) {
			faults = append(faults, fmt.Errorf("column %s: NOT NULL is %t, want %t", w.name, h.notNull != 0, mandatory))
		}
		if key := i == 0; key != (h.primary != 0) {
			faults = append(faults, fmt.Errorf("column %s: primary key is %t, want %t", w.name, h.primary != 0, key))
		}
	}
	for _, h := range have {
		ours := slices.ContainsFunc(want, func(w column) bool { return strings.EqualFold(h.name, w.name) })
		if !ours && (h.primary != 0 || h.notNull != 0 && h.hasDefault == 0) {
			faults = append(faults, fmt.Errorf("column %s is in the way: in the primary key, or NOT NULL without a default", h.name))
		}
	}
	return faults
}
