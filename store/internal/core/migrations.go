package core

import (
	"bytes"
	"embed"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// sources are the migrations of both databases. A file never changes once it was in a
// release, because it describes what hosts have run. {schema} and {name} stand for the
// host's choices, see [Store.Migrations].
//
// A file is one transaction and records its version in it, after which it does what it
// is for. It can run twice, if only with an error that leaves everything as it was. Its
// number is that of the same change on the other database. A file of Postgres first
// limits the time for which it waits for locks, since all others who want the table
// wait after it.
//
// An index on a table that may be large is built by a file of its own, with
// "-- +goose NO TRANSACTION" and "-- atlas:txmode none" on top and CREATE INDEX
// CONCURRENTLY as its only statement, for golang-migrate would put two of them in one
// transaction. It records nothing: the index is the record, and a build that has failed
// leaves an invalid one.
//
//go:embed migrations
var sources embed.FS

// Migrations returns the migrations as files that migration tools read, with the names
// of the store's Config: 00001_sessions.up.sql and so on.
func (s *Store) Migrations() fs.FS { return s.render(sources) }

// render returns the files of the store's dialect with the names of its Config.
func (s *Store) render(from fs.FS) fs.FS {
	schema := strings.TrimSuffix(s.cfg.quoted(""), `""`)
	names := strings.NewReplacer("{schema}", schema, "{name}", s.cfg.Table)
	return rendered{from, "migrations/" + string(s.dialect), names}
}

// rendered is a folder of another file system, each file of which goes through names.
type rendered struct {
	from  fs.FS
	dir   string
	names *strings.Replacer
}

// Open implements [fs.FS].
func (r rendered) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	if name != "." {
		f, err := r.file(name)
		if err != nil {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
		return &openFile{Reader: bytes.NewReader(f.text), file: f}, nil
	}
	sources, err := fs.ReadDir(r.from, r.dir)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	var folder openFolder
	for _, source := range sources {
		f, err := r.file(source.Name())
		if err != nil {
			return nil, err
		}
		folder.rest = append(folder.rest, f)
	}
	return &folder, nil
}

func (r rendered) file(name string) (file, error) {
	source, err := fs.ReadFile(r.from, path.Join(r.dir, name))
	return file{name, []byte(r.names.Replace(string(source)))}, err
}

// file is a rendered file, or the folder if it has no name.
type file struct {
	name string
	text []byte
}

func (f file) Name() string               { return f.name }
func (f file) Size() int64                { return int64(len(f.text)) }
func (f file) Mode() fs.FileMode          { return 0o444 }
func (f file) Type() fs.FileMode          { return 0 }
func (f file) ModTime() time.Time         { return time.Time{} }
func (f file) IsDir() bool                { return false }
func (f file) Sys() any                   { return nil }
func (f file) Info() (fs.FileInfo, error) { return f, nil }

type openFile struct {
	*bytes.Reader
	file file
}

func (f *openFile) Stat() (fs.FileInfo, error) { return f.file, nil }
func (f *openFile) Close() error               { return nil }

// folder is the root, in which all files are.
type folder struct{ file }

func (folder) Name() string      { return "." }
func (folder) Mode() fs.FileMode { return fs.ModeDir | 0o555 }
func (folder) IsDir() bool       { return true }

type openFolder struct {
	folder
	rest []fs.DirEntry
}

func (f *openFolder) Stat() (fs.FileInfo, error) { return f.folder, nil }
func (f *openFolder) Close() error               { return nil }
func (f *openFolder) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: ".", Err: fs.ErrInvalid}
}

// ReadDir implements [fs.ReadDirFile].
func (f *openFolder) ReadDir(n int) ([]fs.DirEntry, error) {
	if n <= 0 {
		n = len(f.rest)
	} else if len(f.rest) == 0 {
		return nil, io.EOF
	}
	n = min(n, len(f.rest))
	entries := f.rest[:n:n]
	f.rest = f.rest[n:]
	return entries, nil
}

// migration is a file that is a transaction.
type migration struct {
	version    int64
	statements []string
}

// index is one that the files make and do not drop.
type index struct{ name, ddl string }

var (
	createIndex = regexp.MustCompile(`^(CREATE (?:UNIQUE )?INDEX )(?:CONCURRENTLY )?(IF NOT EXISTS "(\w+)"\s+ON )`)
	dropIndex   = regexp.MustCompile(`^DROP INDEX IF EXISTS (?:"\w+"\.)?"(\w+)"$`)
)

// parse returns the migrations in the order of their versions, without files that only
// build an index, and the indexes that all files leave.
func parse(files fs.FS) (all []migration, indexes []index, err error) {
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return nil, nil, err
	}
	for _, name := range names {
		number, _, _ := strings.Cut(name, "_")
		version, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", name, err)
		}
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, nil, err
		}
		m := migration{version, split(string(text))}
		for _, statement := range m.statements {
			if i := createIndex.FindStringSubmatch(statement); i != nil {
				indexes = append(indexes, index{i[3], createIndex.ReplaceAllString(statement, "$1$2")})
			}
			if i := dropIndex.FindStringSubmatch(statement); i != nil {
				indexes = slices.DeleteFunc(indexes, func(have index) bool { return have.name == i[1] })
			}
		}
		if len(m.statements) > 1 || !createIndex.MatchString(m.statements[0]) {
			all = append(all, m)
		}
	}
	return all, indexes, nil
}

// split returns the statements of a file. Our files have a semicolon at the end of a statement's last
// line and nowhere else, and comments only above the first statement.
func split(text string) []string {
	for strings.HasPrefix(text, "--") {
		_, text, _ = strings.Cut(text, "\n")
	}
	return strings.Split(strings.TrimSuffix(text, ";\n"), ";\n")
}
