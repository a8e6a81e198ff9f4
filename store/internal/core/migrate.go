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
				n, err := in.exec(ctx, "migrate", statement)
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
	_, err = s.exec(ctx, "migrate", `SELECT pg_advisory_xact_lock(hashtextextended(@name, 0))`, name)
	if err != nil {
		return nil, err
	}
	timeout, err := read(ctx, s, "migrate", `SELECT current_setting('lock_timeout')`, nil, single[string])
	if err != nil {
		return nil, err
	}
	return func() error {
		restore := map[string]any{"timeout": timeout[0]}
		_, err := s.exec(ctx, "migrate", `SELECT set_config('lock_timeout', @timeout, true)`, restore)
		return err
	}, nil
}

// build makes the indexes that are missing. On Postgres it blocks no writer, so it is
// not a transaction. Another one, on a second connection, keeps other processes from
// building the same; they do not wait for it, because sessions work without. They may
// not wait either: CREATE INDEX CONCURRENTLY waits for every statement that began before.
func (s *Store) build(ctx context.Context, indexes []index) error {
	missing, err := s.missing(ctx, indexes)
	if err != nil || len(missing) == 0 {
		return err
	}
	if s.dialect == SQLite || s.joined {
		return s.create(ctx, missing, "")
	}
	return s.step(ctx, "migrate", func(guard *Store) error {
		free, err := read(ctx, guard, "migrate", tryLock, s.tables()[0].names(), single[bool])
		if err != nil || !free[0] {
			return err
		}
		// The portal of a SELECT keeps its snapshot, for which CREATE INDEX CONCURRENTLY
		// would wait, until the next statement, and SET has none.
		if _, err := guard.exec(ctx, "migrate", `SET LOCAL idle_in_transaction_session_timeout = 0`); err != nil {
			return err
		}
		second, cancel := context.WithTimeout(ctx, secondConnection)
		defer cancel()
		missing, err := s.missing(second, indexes)
		if err != nil {
			return fmt.Errorf("%w (building an index needs two connections at a time)", err)
		}
		return s.create(ctx, missing, "CONCURRENTLY ")
	})
}

// tryLock names the table by its OID, since a table of that name in another schema has
// indexes of its own.
const tryLock = `SELECT pg_try_advisory_xact_lock(
  hashtextextended('sessile index ' || CAST(CAST(to_regclass(@quoted) AS oid) AS text), 0))`

// secondConnection is how long a pool may take to give a second connection.
const secondConnection = 5 * time.Second

// create makes indexes. On Postgres, an index of that name is what a build has left that
// failed.
func (s *Store) create(ctx context.Context, missing []index, concurrently string) error {
	for _, i := range missing {
		ddl := []string{i.ddl}
		if s.dialect == Postgres {
			ddl = []string{
				`DROP INDEX ` + concurrently + `IF EXISTS ` + s.cfg.quoted(i.name),
				strings.Replace(i.ddl, " INDEX ", " INDEX "+concurrently, 1),
			}
		}
		for _, statement := range ddl {
			err := s.try(ctx, "migrate", func() error {
				_, err := s.db.Exec(ctx, statement)
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// missing returns those of the indexes that are not there, on Postgres also those whose
// build has failed. One that is being built is there.
func (s *Store) missing(ctx context.Context, indexes []index) ([]index, error) {
	var have []string
	for _, t := range s.tables() {
		query := `SELECT name FROM pragma_index_list(@table)`
		if s.dialect == Postgres {
			query = `SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = to_regclass(@quoted)
AND (i.indisvalid OR EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = i.indexrelid))`
		}
		names, err := read(ctx, s, "migrate", query, t.names(), single[string])
		if err != nil {
			return nil, err
		}
		have = append(have, names...)
	}
	return slices.DeleteFunc(slices.Clone(indexes), func(i index) bool { return slices.Contains(have, i.name) }), nil
}
