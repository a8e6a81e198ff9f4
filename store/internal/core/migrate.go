package core

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"
)

// Migrate runs the migrations that the database lacks; the faces say more.
func (s *Store) Migrate(ctx context.Context) error { return s.MigrateFiles(ctx, s.Migrations()) }

// MigrateFiles is Migrate with other files, for tests of what a later version may do.
func (s *Store) MigrateFiles(ctx context.Context, files fs.FS) error {
	all, indexes, err := parse(files)
	if err != nil {
		return fmt.Errorf("store: migrate: %w", err)
	}
	recorded, err := s.recorded(ctx)
	if err != nil {
		return err
	}
	pending := slices.DeleteFunc(slices.Clone(all), func(m migration) bool {
		return slices.Contains(recorded, m.version)
	})
	if len(pending) == 0 || len(recorded) == 0 {
		if err := s.judge(ctx, recorded); err != nil {
			return err
		}
	}
	if len(pending) > 0 {
		if err := s.apply(ctx, pending); err != nil {
			return err
		}
		// Another process may have run more of them meanwhile.
		if recorded, err = s.recorded(ctx); err != nil {
			return err
		}
	}
	if latest := all[len(all)-1].version; slices.ContainsFunc(recorded, func(v int64) bool { return v > latest }) {
		// A later version of the package may have dropped an index.
		return nil
	}
	return s.build(ctx, indexes)
}

// recorded returns the versions of the migrations that have run.
func (s *Store) recorded(ctx context.Context) ([]int64, error) {
	t := table{name: s.cfg.Table + "_migrations", columns: []column{
		{"version", typeBig, notNull + " PRIMARY KEY"},
		{"applied_at", typeBig, notNull},
	}}
	t.quoted = s.cfg.quoted(t.name)
	have, err := s.columns(ctx, t)
	if err != nil || len(have) == 0 {
		return nil, err
	}
	if faults := compare(t.columns, have); len(faults) > 0 {
		return nil, foreign(t, faults)
	}
	return read(ctx, s, "migrate", `SELECT version FROM `+t.quoted+` ORDER BY version`, nil, single[int64])
}

// judge returns an error unless the tables are those that this version of the package
// works with. If no migration is recorded, they may also be missing.
func (s *Store) judge(ctx context.Context, recorded []int64) error {
	for _, t := range s.tables() {
		have, err := s.columns(ctx, t)
		if err != nil {
			return err
		}
		if len(have) == 0 && len(recorded) == 0 {
			continue
		}
		faults := compare(t.columns, have)
		if len(faults) == 0 && s.dialect == SQLite {
			if faults, err = s.looseColumns(ctx, t); err != nil {
				return err
			}
		}
		switch {
		case len(faults) == 0:
		case len(recorded) == 0:
			return foreign(t, faults)
		case len(have) == 0:
			return fmt.Errorf("store: migrate: table %s is missing, but its migrations are recorded", t.quoted)
		default:
			return fmt.Errorf("store: migrate: table %s at version %d does not suit this version of the package: %w",
				t.quoted, recorded[len(recorded)-1], errors.Join(faults...))
		}
	}
	return nil
}

// single is the target of a row of one column.
func single[T any](v *T) []any { return []any{v} }

func foreign(t table, faults []error) error {
	return fmt.Errorf("store: migrate: table %s was not made by this package: %w", t.quoted, errors.Join(faults...))
}

// apply runs migrations in one transaction. One that another process has run meanwhile
// cannot record itself again and is left out.
func (s *Store) apply(ctx context.Context, pending []migration) error {
	record := `INSERT INTO ` + s.cfg.quoted(s.cfg.Table+"_migrations") + " "
	patient := *s
	patient.migrating = true
	return patient.step(ctx, "migrate", func(in *Store) error {
		after, err := in.before(ctx)
		if err != nil {
			return err
		}
		for _, m := range pending {
			for _, statement := range m.statements {
				n, err := in.exec(ctx, statement)
				if err != nil {
					return err
				}
				if n == 0 && strings.HasPrefix(statement, record) {
					break
				}
			}
		}
		if err := in.judge(ctx, []int64{pending[len(pending)-1].version}); err != nil {
			return err
		}
		return after()
	})
}

// before is for a transaction of Postgres. It waits for other processes, because IF NOT
// EXISTS does not keep two callers from colliding in the catalogue. after restores the
// lock_timeout, which the migrations change, for the rest of a transaction of the host.
func (s *Store) before(ctx context.Context) (after func() error, err error) {
	if s.dialect != Postgres {
		return func() error { return nil }, nil
	}
	name := map[string]any{"name": "sessile " + s.cfg.quoted(s.cfg.Table)}
	_, err = s.exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended(@name, 0))`, name)
	if err != nil {
		return nil, err
	}
	timeout, err := read(ctx, s, "migrate", `SELECT current_setting('lock_timeout')`, nil, single[string])
	if err != nil {
		return nil, err
	}
	return func() error {
		restore := map[string]any{"timeout": timeout[0]}
		_, err := s.exec(ctx, `SELECT set_config('lock_timeout', @timeout, true)`, restore)
		return err
	}, nil
}

// build makes the indexes that are missing. On Postgres it blocks no writer, so it is not
// a transaction. One on another connection keeps other processes from building the same
// index. They do not wait for it, because sessions work without, and because CREATE INDEX
// CONCURRENTLY would wait for them: it waits for every statement that began before it.
func (s *Store) build(ctx context.Context, indexes []index) error {
	lost, err := s.lost(ctx, indexes)
	if err != nil || len(lost) == 0 {
		return err
	}
	if s.dialect == SQLite || s.joined {
		err := s.try(ctx, "migrate", func() error { return s.create(ctx, lost, "") })
		if err != nil {
			return err
		}
		return s.complete(ctx, indexes)
	}
	return s.step(ctx, "migrate", func(guard *Store) error {
		free, err := read(ctx, guard, "migrate", tryLock, s.tables()[0].names(), single[bool])
		if err != nil || !free[0] {
			return err
		}
		// The portal of a SELECT keeps its snapshot, for which CREATE INDEX CONCURRENTLY
		// would wait, until the next statement, and SET has none.
		if _, err := guard.exec(ctx, `SET LOCAL idle_in_transaction_session_timeout = 0`); err != nil {
			return err
		}
		second, cancel := context.WithTimeout(ctx, secondConnection)
		defer cancel()
		lost, err := s.lost(second, indexes)
		if err != nil {
			return fmt.Errorf("%w (building an index needs two connections at a time)", err)
		}
		if err := s.create(ctx, lost, "CONCURRENTLY "); err != nil {
			return wrap(ctx, "migrate", err)
		}
		return s.complete(ctx, indexes)
	})
}

// complete returns an error if an index is still missing.
func (s *Store) complete(ctx context.Context, indexes []index) error {
	lost, err := s.lost(ctx, indexes)
	if err != nil || len(lost) == 0 {
		return err
	}
	return fmt.Errorf("store: migrate: index %s was not made: is there another one of that name?", lost[0].name)
}

// tryLock names the table by its OID, since a table of that name in another schema has
// indexes of its own.
const tryLock = `SELECT pg_try_advisory_xact_lock(
  hashtextextended('sessile index ' || CAST(CAST(to_regclass(@quoted) AS oid) AS text), 0))`

// secondConnection is how long a pool may take to give a second connection.
const secondConnection = 5 * time.Second

// lostIndex is one that is missing. invalid is what a build that has failed left of it, or
// empty.
type lostIndex struct {
	index
	invalid string
}

// create makes indexes. It returns the error as it is.
func (s *Store) create(ctx context.Context, lost []lostIndex, concurrently string) error {
	for _, i := range lost {
		if i.invalid != "" {
			if _, err := s.db.Exec(ctx, `DROP INDEX `+concurrently+`IF EXISTS `+i.invalid); err != nil {
				return err
			}
		}
		if _, err := s.db.Exec(ctx, strings.Replace(i.ddl, " INDEX ", " INDEX "+concurrently, 1)); err != nil {
			return err
		}
	}
	return nil
}

// lost returns those of the indexes that are missing or invalid. One that is being built is
// neither.
func (s *Store) lost(ctx context.Context, indexes []index) ([]lostIndex, error) {
	query := `SELECT name, '' FROM pragma_index_list(@table)`
	if s.dialect == Postgres {
		query = `SELECT c.relname, CASE
WHEN i.indisvalid OR EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = i.indexrelid) THEN ''
ELSE quote_ident(n.nspname) || '.' || quote_ident(c.relname) END
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE i.indrelid = to_regclass(@quoted)`
	}
	key := func(name string) string { return name }
	if s.dialect == SQLite {
		key = strings.ToLower // to SQLite, names in either case are the same
	}
	type existing struct{ name, invalid string }
	have := map[string]string{}
	for _, t := range s.tables() {
		all, err := read(ctx, s, "migrate", query, t.names(), func(e *existing) []any {
			return []any{&e.name, &e.invalid}
		})
		if err != nil {
			return nil, err
		}
		for _, e := range all {
			have[key(e.name)] = e.invalid
		}
	}
	var lost []lostIndex
	for _, i := range indexes {
		if invalid, ok := have[key(i.name)]; !ok || invalid != "" {
			lost = append(lost, lostIndex{i, invalid})
		}
	}
	return lost, nil
}

// exec runs a statement of a migration.
func (s *Store) exec(ctx context.Context, text string, args ...named) (int64, error) {
	st := compile(text)
	var values []any
	for _, a := range args {
		values = st.bind(a)
	}
	return s.execute(ctx, "migrate", st.text, values)
}
