package store

import (
	"context"
	"io/fs"
)

// MigrateFiles is Migrate with other files.
func (s *Store) MigrateFiles(ctx context.Context, files fs.FS) error {
	return s.core.MigrateFiles(ctx, files)
}
