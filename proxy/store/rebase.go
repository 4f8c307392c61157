// SPDX-License-Identifier: GPL-3.0-or-later

package store

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// settingRow is what the database remembers of the master's configuration.
type settingRow struct{ name, value string }

var settingTable = table[settingRow]{name: "config18", order: "name", columns: []column[settingRow]{
	{name: "name", at: func(r *settingRow) cell { return text{&r.name} }},
	{name: "value", at: func(r *settingRow) cell { return text{&r.value} }},
}}

const rootSetting = "local_software_release_root"

// rebase moves the paths of local software releases along when their root
// was moved (PROXY-145, PROXY-146).
func (d *Database) rebase(ctx context.Context, s *session) error {
	former, current := "/", d.options.SoftwareRoot
	set, err := settingTable.read(ctx, s, "WHERE name = $1", rootSetting)
	if err != nil {
		return err
	}
	if len(set) > 0 {
		former = set[0].value
	}
	if former == current {
		return nil
	}
	if !filepath.IsAbs(current) {
		return fmt.Errorf("local_software_release_root: %q is not an absolute path", current)
	}
	wanted := settingRow{name: rootSetting, value: current}
	if _, err := s.exec(ctx, settingTable.insertion()+" ON CONFLICT (name) DO UPDATE SET value = excluded.value", settingTable.values(&wanted)...); err != nil {
		return err
	}
	log := d.options.Logger
	relative, err := filepath.Rel(former, current)
	if err != nil {
		return fmt.Errorf("local_software_release_root: %w", err)
	}
	switch {
	case relative != ".." && !strings.HasPrefix(relative, "../"):
		log.Info(fmt.Sprintf("Do not rebase any URLs because %s is a subpath of %s", current, former))
		return nil
	case filepath.Base(relative) == "..":
		log.Info(fmt.Sprintf("Do not rebase any URLs because %s is a superpath of %s", current, former))
		return nil
	}
	if d.dialect.file != "" {
		backup := d.dialect.file + "-backup-" + d.stamp() + ".sql"
		log.Info("Backuping database to " + backup)
		if err := dump(ctx, s, backup); err != nil {
			return err
		}
	}
	log.Info("Rebase URLs on local software release root path")
	log.Info("Old root path: " + former)
	log.Info("New root path: " + current)
	return d.rebaseAll(ctx, s, former, current)
}

func (d *Database) rebaseAll(ctx context.Context, s *session, former, current string) error {
	urls, err := distinct(ctx, s, "SELECT DISTINCT url FROM software18 WHERE url IS NOT NULL")
	if err != nil {
		return err
	}
	for _, old := range urls {
		moved := d.rebased(old, former, current)
		if moved == old {
			continue
		}
		// A release known under both paths is one now.
		if _, err := s.exec(ctx, `DELETE FROM software18 WHERE url = $1 AND computer_reference IN
			(SELECT computer_reference FROM software18 WHERE url = $2)`, moved, old); err != nil {
			return err
		}
		if _, err := s.exec(ctx, "UPDATE software18 SET url = $1 WHERE url = $2", moved, old); err != nil {
			return err
		}
	}
	urls, err = distinct(ctx, s, "SELECT DISTINCT software_release FROM partition18 WHERE software_release IS NOT NULL")
	if err != nil {
		return err
	}
	for _, old := range urls {
		moved := d.rebased(old, former, current)
		if moved == old {
			continue
		}
		if _, err := s.exec(ctx, "UPDATE partition18 SET software_release = $1 WHERE software_release = $2", moved, old); err != nil {
			return err
		}
	}
	return nil
}

func distinct(ctx context.Context, s *session, query string) (values []string, err error) {
	err = s.rows(ctx, query, nil, func(rows *sql.Rows) error {
		var value string
		err := rows.Scan(&value)
		values = append(values, value)
		return err
	})
	return values, err
}

// rebased is where the release at path is now. A URL, a path that isn't below
// the former root, and a file that exists only at the old place stay as they are.
func (d *Database) rebased(path, former, current string) string {
	log := d.options.Logger
	log.Debug("Examining URL " + path)
	if parsed, err := url.Parse(path); path == "" || err != nil || parsed.Scheme != "" {
		log.Debug("  Do not rebase because it is not a path")
		return path
	}
	relative, err := filepath.Rel(former, path)
	if err != nil || relative == ".." || strings.HasPrefix(relative, "../") {
		log.Debug("  Do not rebase because it is not a subpath of " + former)
		return path
	}
	moved := filepath.Join(current, relative)
	if !isFile(moved) && isFile(path) {
		log.Debug(fmt.Sprintf("  Do not rebase because it refers to an existing file but %s does not", moved))
		return path
	}
	log.Debug("  Migrate to rebased URL " + moved)
	return moved
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
