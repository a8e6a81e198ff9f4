package core

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// column is what a column of a table must be.
type column struct {
	name string
	// typ is the type as the migrations and the database itself spell it.
	typ string
	// rest is what follows the type in the migrations.
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

// table is a table of the store.
type table struct {
	name, quoted string
	columns      []column
}

// tables returns those that the migrations make, without the one that records them.
func (s *Store) tables() []table {
	return []table{
		{s.cfg.Table, s.cfg.quoted(s.cfg.Table), columnsOf(s.dialect)},
		{s.cfg.auditTable(), s.cfg.quoted(s.cfg.auditTable()), auditColumnsOf(s.dialect)},
	}
}

// found is what the database knows of a column.
type found struct {
	name, typ, collation         string
	notNull, hasDefault, primary int64
}

// columns returns those that a table has in the database, or none if there is no table of
// that name.
func (s *Store) columns(ctx context.Context, t table) ([]found, error) {
	query := `SELECT name, type, '', "notnull", dflt_value IS NOT NULL, pk FROM pragma_table_info(@table) ORDER BY cid`
	if s.dialect == Postgres {
		// to_regclass finds the table that our statements would find.
		query = `SELECT a.attname, format_type(a.atttypid, a.atttypmod), COALESCE(l.collname, ''),
CAST(a.attnotnull AS int), CAST(a.atthasdef OR a.attidentity <> '' AS int),
COALESCE(array_position(CAST(i.indkey AS smallint[]), a.attnum) + 1, 0)
FROM pg_attribute a
LEFT JOIN pg_collation l ON l.oid = a.attcollation
LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary
WHERE a.attrelid = to_regclass(@quoted) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`
	}
	return read(ctx, s, "migrate", query, t.names(), func(f *found) []any {
		return []any{&f.name, &f.typ, &f.collation, &f.notNull, &f.hasDefault, &f.primary}
	})
}

// looseColumns returns a fault for each column of SQLite that does not compare byte by byte.
// No pragma shows the collation of a column, but the collation decides which texts are the
// same to a UNION.
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

func (t table) names() map[string]any {
	return map[string]any{"table": t.name, "quoted": t.quoted}
}

// compare returns a fault for each difference between a table and the one that Migrate makes.
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
			const why = "in the primary key, or NOT NULL without a default"
			faults = append(faults, fmt.Errorf("column %s is in the way: %s", h.name, why))
		}
	}
	return faults
}
