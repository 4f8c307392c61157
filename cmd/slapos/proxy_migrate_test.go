// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"path/filepath"
	"strings"
	"testing"

	"slapos/proxy/store"
)

func TestProxyMigrate(t *testing.T) {
	folder := t.TempDir()
	from, to := filepath.Join(folder, "from.db"), filepath.Join(folder, "to.db")
	database, err := store.Open(t.Context(), store.Options{URI: from, Computer: "C"})
	if err == nil {
		err = database.LoadComputer(t.Context(), store.ComputerDescription{Reference: "C", Partitions: []store.PartitionDescription{{Reference: "slappart0"}}})
		database.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		words          string
		code           int
		stdout, stderr string
	}{
		{"--from " + from, 2, "", "both --from and --to are needed"},
		{"--from sqlite:/nonexistent --to " + to, 1, "", "database /nonexistent: "},
		{"--from sqlite://" + from + " --to sqlite:" + to, 0, "computer18: 1\nsoftware18: 0\npartition18: 1\n", ""},
		{"--from " + from + " --to " + to, 1, "", "database " + to + " is not empty, it has rows in table "},
	} {
		n := newNodeTest(t)
		code := n.run(append([]string{"proxy", "migrate"}, strings.Fields(c.words)...)...)
		if code != c.code || !strings.Contains(n.stdout.String(), c.stdout) || !strings.Contains(n.stderr.String(), c.stderr) {
			t.Errorf("%s: exit code %d\n%s%s", c.words, code, &n.stdout, &n.stderr)
		}
		if lines := strings.Count(strings.TrimSpace(n.stderr.String()), "\n"); c.code == 1 && lines > 0 {
			t.Errorf("%s: %d lines more\n%s", c.words, lines, &n.stderr)
		}
	}
}
