package core

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// column is one column of a table.
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

// columnsOf are the columns of the sessions in a dialect.
func columnsOf(d Dialect) []column { return rowFields.columns(d) }

// auditColumnsOf are the columns of the audit log in a dialect.
func auditColumnsOf(d Dialect) []column { return auditFields.columns(d) }

// table is one that Migrate makes.
type table struct {
	name, quoted string
	columns      []column
	options      string
	indexes      []struct{ name, ddl string }
}

// tables are those of the store. No index of the sessions holds a column that a
// refresh changes, or Postgres could not update in place.
func (s *Store) tables() []table {
	newTable := func(name string, columns []column, indexes ...[2]string) table {
		t := table{name: name, quoted: s.cfg.quoted(name), columns: columns}
		for _, i := range indexes {
			index := s.cfg.index(i[0])
			t.indexes = append(t.indexes, struct{ name, ddl string }{index, `CREATE INDEX IF NOT EXISTS "` + index + `" ON ` + t.quoted + ` ` + i[1]})
		}
		return t
	}
	all := []table{newTable(s.cfg.Table, columnsOf(s.dialect),
		[2]string{"user", `(user_id, created_at DESC, id DESC) WHERE ended_at IS NULL`},
		[2]string{"ended", `(ended_at, id) WHERE ended_at IS NOT NULL`},
		[2]string{"expires", `(expires_at)`},
		[2]string{"actor", `(parent_session_id) WHERE parent_session_id IS NOT NULL`},
	)}
	if s.dialect == Postgres {
		all[0].options = " WITH (fillfactor = 80)"
	}
	if s.cfg.AuditLog {
		// With audit_actor the longest name would have 64 bytes, see identifier.
		all = append(all, newTable(s.cfg.auditTable(), auditColumnsOf(s.dialect),
			[2]string{"audit_user", `(user_id, at DESC, id DESC)`},
			[2]string{"audit_acts", `(actor, at DESC, id DESC)`},
		))
	}
	return all
}

func (t table) ddl() string {
	lines := make([]string, 0, len(t.columns))
	for _, c := range t.columns {
		lines = append(lines, strings.TrimRight("  "+c.name+" "+c.typ+" "+c.rest, " "))
	}
	return "CREATE TABLE IF NOT EXISTS " + t.quoted + " (\n" + strings.Join(lines, ",\n") + "\n)" + t.options
}

// SchemaSQL returns what Migrate executes where nothing is there yet, for review or
// for the host's own migration tool. Times are Unix microseconds.
func (s *Store) SchemaSQL() string {
	var b strings.Builder
	for _, t := range s.tables() {
		b.WriteString(t.ddl() + ";\n")
		for _, i := range t.indexes {
			b.WriteString(i.ddl + ";\n")
		}
	}
	return b.String()
}

// Migrate makes the tables and their indexes where they are missing. It is idempotent,
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
	if s.dialect == Postgres {
		return s.step(ctx, "migrate", func(in *Store) error { return in.create(ctx) })
	}
	return s.create(ctx)
}

// create makes what is missing. On Postgres, where IF NOT EXISTS does not keep two
// callers from colliding in the catalogue, one after the other: the lock is held to
// the end of the transaction. On SQLite each statement is atomic, and so is its IF
// NOT EXISTS.
func (s *Store) create(ctx context.Context) error {
	if s.dialect == Postgres {
		if _, err := s.exec(ctx, "migrate", `SELECT pg_advisory_xact_lock(hashtextextended(@name, 0))`, map[string]any{"name": "sessile " + s.cfg.quoted(s.cfg.Table)}); err != nil {
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
	var ddl []string
	for _, t := range s.tables() {
		have, err := s.columns(ctx, t)
		if err != nil {
			return nil, err
		}
		if len(have) == 0 {
			ddl = append(ddl, t.ddl())
		} else {
			faults := compare(t.columns, have)
			if len(faults) == 0 && s.dialect == SQLite {
				if faults, err = s.looseColumns(ctx, t); err != nil {
					return nil, err
				}
			}
			if len(faults) > 0 {
				return nil, fmt.Errorf("store: migrate: table %s was not made by this package: %w", t.quoted, errors.Join(faults...))
			}
		}
		names, err := s.indexNames(ctx, t)
		if err != nil {
			return nil, err
		}
		for _, i := range t.indexes {
			if !slices.Contains(names, i.name) {
				ddl = append(ddl, i.ddl)
			}
		}
	}
	return ddl, nil
}

// found is a column that the database has.
type found struct {
	name, typ, collation         string
	notNull, hasDefault, primary int64
}

func (s *Store) columns(ctx context.Context, t table) ([]found, error) {
	query := `SELECT name, type, '', "notnull", dflt_value IS NOT NULL, pk FROM pragma_table_info(@table) ORDER BY cid`
	if s.dialect == Postgres {
		// A table is looked for where our statements would find it.
		query = `SELECT a.attname, format_type(a.atttypid, a.atttypmod), COALESCE(l.collname, ''),
CAST(a.attnotnull AS int), CAST(a.atthasdef OR a.attidentity <> '' AS int), COALESCE(array_position(CAST(i.indkey AS smallint[]), a.attnum) + 1, 0)
FROM pg_attribute a
LEFT JOIN pg_collation l ON l.oid = a.attcollation
LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary
WHERE a.attrelid = to_regclass(@quoted) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`
	}
	return read(ctx, s, "migrate", query, t.names(), func(f *found) []any {
		return []any{&f.name, &f.typ, &f.collation, &f.notNull, &f.hasDefault, &f.primary}
	})
}

// looseColumns says which columns of SQLite do not compare byte by byte. No pragma has
// the collation of a column, but it decides what a UNION takes for the same.
func (s *Store) looseColumns(ctx context.Context, t table) ([]error, error) {
	var queries []string
	for _, c := range t.columns {
		if c.typ == typeText {
			queries = append(queries, `SELECT '`+c.name+`', (SELECT count(*) FROM (SELECT `+c.name+` FROM `+t.quoted+
				` WHERE 0 UNION SELECT 'a' UNION SELECT 'A' UNION SELECT 'a ' UNION SELECT 'ä'))`)
		}
	}
	type column struct {
		name     string
		distinct int64
	}
	targets := func(c *column) []any { return []any{&c.name, &c.distinct} }
	columns, err := read(ctx, s, "migrate", strings.Join(queries, ` UNION ALL `), nil, targets)
	var faults []error
	for _, c := range columns {
		if c.distinct != 4 {
			faults = append(faults, fmt.Errorf("column %s has another collation than BINARY", c.name))
		}
	}
	return faults, err
}

func (s *Store) indexNames(ctx context.Context, t table) ([]string, error) {
	query := `SELECT name FROM pragma_index_list(@table)`
	if s.dialect == Postgres {
		query = `SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = to_regclass(@quoted) AND i.indisvalid`
	}
	return read(ctx, s, "migrate", query, t.names(), func(name *string) []any { return []any{name} })
}

func (t table) names() map[string]any {
	return map[string]any{"table": t.name, "quoted": t.quoted}
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
