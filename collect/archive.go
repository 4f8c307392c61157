// SPDX-License-Identifier: GPL-3.0-or-later

package collect

import (
	"archive/tar"
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"

	"slapos/slap/wholefile"
)

// archiveDays packs the rows of the oldest completed day, and then marks them
// as reported (COL-34): one day per pass, like slapos.core. If it is stopped in
// between, the next pass packs that day again.
func (c *Collector) archiveDays(ctx context.Context, store *store, stamp stamp) error {
	if err := c.archiveLeftDirectories(); err != nil {
		return err
	}
	days, err := store.strings(ctx, "SELECT DISTINCT date FROM system WHERE reported = 0 AND date != ? ORDER BY date", stamp.date)
	if err != nil {
		return err
	}
	for _, day := range days {
		if _, err := time.Parse(dateLayout, day); err != nil { // it becomes a file name
			c.Logger.Warn("Rows without a valid day aren't archived", slog.String("date", day))
			continue
		}
		if err := c.archiveDay(ctx, store, day); err != nil {
			return fmt.Errorf("archive %s: %w", day, err)
		}
		return nil
	}
	return nil
}

func (c *Collector) archiveDay(ctx context.Context, store *store, day string) error {
	tables, err := store.tables(ctx)
	if err != nil {
		return err
	}
	err = writeArchive(filepath.Join(c.logDirectory(), day+".tar.gz"), func(archive *tar.Writer) error {
		if err := archive.WriteHeader(header(day+"/", tar.TypeDir, 0o755, 0, c.Now())); err != nil {
			return err
		}
		for _, table := range tables {
			if err := c.archiveTable(ctx, archive, store, table, day); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return store.transaction(ctx, func(t *transaction) error {
		for _, table := range tables {
			if _, err := t.ExecContext(ctx, "UPDATE "+quoteName(table)+" SET reported = 1 WHERE date = ? AND reported = 0", day); err != nil {
				return err
			}
		}
		return nil
	})
}

func header(name string, kind byte, mode, size int64, modified time.Time) *tar.Header {
	return &tar.Header{Name: name, Typeflag: kind, Mode: mode, Size: size, ModTime: modified.Truncate(time.Second), Format: tar.FormatGNU}
}

// writeArchive makes a compressed archive, whole or not at all.
func writeArchive(path string, fill func(*tar.Writer) error) error {
	file, err := wholefile.Create(path, wholefile.ExactMode(0o644))
	if err != nil {
		return err
	}
	defer func() { _ = file.Cleanup() }()
	compressed := gzip.NewWriter(file)
	archive := tar.NewWriter(compressed)
	if err := fill(archive); err != nil {
		return err
	}
	if err := errors.Join(archive.Close(), compressed.Close()); err != nil {
		return err
	}
	return file.CloseAtomicallyReplace()
}

// archiveTable writes a table's rows through an unnamed file: a day may not fit
// in memory, and the archive needs the length first.
func (c *Collector) archiveTable(ctx context.Context, archive *tar.Writer, store *store, table, day string) error {
	file, err := os.CreateTemp(c.logDirectory(), ".dump-")
	if err != nil {
		return err
	}
	defer file.Close()
	if err := os.Remove(file.Name()); err != nil {
		return err
	}
	if err := dumpTable(ctx, file, store, table, day); err != nil {
		return err
	}
	length, err := file.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := archive.WriteHeader(header(day+"/dump_"+table+".csv", tar.TypeReg, 0o644, length, c.Now())); err != nil {
		return err
	}
	_, err = io.Copy(archive, file)
	return err
}

// dumpTable writes the rows of a day with all columns, without a header.
func dumpTable(ctx context.Context, w io.Writer, store *store, table, day string) error {
	const enough = 1 << 16
	var b bytes.Buffer
	rows, err := store.db.QueryContext(ctx, "SELECT * FROM "+quoteName(table)+" WHERE date = ? ORDER BY rowid", day)
	if err != nil {
		return store.fail(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	values, targets := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		targets[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(targets...); err != nil {
			return store.fail(err)
		}
		writeCSV(&b, values)
		if b.Len() > enough {
			if _, err := b.WriteTo(w); err != nil {
				return err
			}
		}
	}
	if err := rows.Err(); err != nil {
		return store.fail(err)
	}
	_, err = b.WriteTo(w)
	return err
}

// leftover is the new name of an archived directory: if its removal were
// interrupted, the rest would be archived over the whole.
const leftover = ".archived"

// archiveLeftDirectories packs directories of days that an interrupted
// slapos.core left.
func (c *Collector) archiveLeftDirectories() error {
	aside := filepath.Join(c.logDirectory(), leftover)
	if err := os.RemoveAll(aside); err != nil {
		return err
	}
	left, err := filepath.Glob(filepath.Join(escapeGlob(c.logDirectory()), "*-*-*"))
	if err != nil {
		return err
	}
	for _, directory := range left {
		if info, err := os.Lstat(directory); err != nil || !info.IsDir() {
			continue
		}
		name := filepath.Base(directory)
		err := writeArchive(directory+".tar.gz", func(archive *tar.Writer) error {
			return addTree(archive, directory, name)
		})
		if err != nil {
			return fmt.Errorf("archive %s: %w", directory, err)
		}
		if err := errors.Join(os.Rename(directory, aside), os.RemoveAll(aside)); err != nil {
			return err
		}
	}
	return nil
}

func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

// addTree adds the files and directories below a directory.
func addTree(archive *tar.Writer, directory, name string) error {
	return filepath.WalkDir(directory, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil || !info.IsDir() && !info.Mode().IsRegular() {
			return err
		}
		below, err := filepath.Rel(directory, path)
		if err != nil {
			return err
		}
		member := filepath.Join(name, below)
		if info.IsDir() {
			return archive.WriteHeader(header(member+"/", tar.TypeDir, 0o755, 0, info.ModTime()))
		}
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		if err := archive.WriteHeader(header(member, tar.TypeReg, 0o644, info.Size(), info.ModTime())); err != nil {
			return err
		}
		_, err = io.CopyN(archive, file, info.Size())
		return err
	})
}

// nullFloat is a sum that may be missing.
type nullFloat = sql.NullFloat64
