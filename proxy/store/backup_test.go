// SPDX-License-Identifier: GPL-3.0-or-later

package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"slapos/proxy/store"
	"slapos/slap"
)

// TestBackupWhileItRuns backs a database up while others write to it: each copy is
// whole, and has what was answered before it began (PROXY-201).
func TestBackupWhileItRuns(t *testing.T) {
	t.Parallel()
	l := newLab(t, file, 200)
	ctx, cancel := context.WithCancel(l.ctx)
	var writers sync.WaitGroup
	answered := make(chan int, 1000)
	writers.Go(func() {
		defer close(answered)
		for i := 0; ctx.Err() == nil && i < 150; i++ {
			if _, err := l.Request(l.ctx, order(fmt.Sprintf("i%d", i), with(slap.Dict{"text": strings.Repeat("x", 3000)}))); err != nil {
				t.Error(err)
				return
			}
			answered <- i
		}
	})
	path := filepath.Join(t.TempDir(), "backup.db")
	var former int64
	for range 5 {
		<-answered
		known := int64(len(answered))
		contents, err := store.Backup(l.ctx, l.uri, path)
		l.must(err)
		if contents.Computers != 1 || contents.Instances < max(former, known) {
			t.Errorf("%d instances, had %d before and knew %d", contents.Instances, former, known)
		}
		former = contents.Instances
		again, err := store.Inspect(l.ctx, path)
		l.must(err)
		l.equal("the file has", again, contents)
	}
	cancel()
	for range answered { //nolint:revive // the writer ends
	}
	writers.Wait()
	info, err := os.Stat(path)
	l.must(err)
	l.equal("mode", info.Mode().Perm(), os.FileMode(0o600))
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("beside the backup: %v, %v", entries, err)
	}
}

// TestBackupHasAll restores a backup of a file and of a server, each in a file and in
// a server: all rows are as they were.
func TestBackupHasAll(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]place{"file": file, "server": postgresURI} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, at, 3)
			l.request(order("one", with(slap.Dict{"text": "é\n<&>\u2028"})))
			l.requestShared(order("shared"))
			l.must(l.Supply(l.ctx, store.Software{URL: release, Computer: "c", State: "available"}))
			l.must(l.Report(l.ctx, store.Report{Computer: "c", Kind: store.KindRelease, Subject: release, State: store.ReportError, Log: "no compiler"}))
			l.must(l.AddUsage(l.ctx, "c", "<journal/>"))
			want := content(t, l.uri)
			path := filepath.Join(t.TempDir(), "backup.db")
			if _, err := store.Backup(l.ctx, l.uri, path); err != nil {
				t.Fatal(err)
			}
			for _, to := range []string{file(t), postgresURI(t)} {
				restored, err := store.Restore(l.ctx, store.RestoreOptions{File: path, URI: to})
				l.must(err)
				l.equal("former", restored.Former, "")
				for table, rows := range content(t, to) {
					l.equal(table, rows.Rows, want[table].Rows)
				}
				copied := open(t, store.Options{URI: to})
				if log, err := copied.Log(l.ctx, last(t, copied)); err != nil || log != "no compiler" {
					t.Errorf("log %q, %v", log, err)
				}
			}
			// A server that has something isn't filled.
			if at := postgresURI(t); true {
				other := open(t, store.Options{URI: at})
				l.must(other.LoadComputer(l.ctx, description("c", 1)))
				if _, err := store.Restore(l.ctx, store.RestoreOptions{File: path, URI: at, Force: true}); err == nil || !strings.Contains(err.Error(), "is not empty") {
					t.Errorf("a server's database that has something: %v", err)
				}
			}
		})
	}
}

// last is the last event with a log.
func last(t *testing.T, s store.Store) int64 {
	t.Helper()
	events, err := s.Events(t.Context(), store.EventFilter{Event: store.EventReported})
	if err != nil || len(events) == 0 {
		t.Fatalf("%v, %v", events, err)
	}
	return events[len(events)-1].ID
}

// TestRestoreRefuses to lose anything, and to take what is no backup (PROXY-201).
func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	l := newLab(t, file, 2)
	backup := filepath.Join(t.TempDir(), "backup.db")
	if _, err := store.Backup(l.ctx, l.uri, backup); err != nil {
		t.Fatal(err)
	}
	l.request(order("later"))
	restore := func(from string, force bool) (*store.Restored, error) {
		return store.Restore(l.ctx, store.RestoreOptions{File: from, URI: l.uri, Force: force,
			Now: func() time.Time { return time.Unix(1_700_000_000, 0) }})
	}
	refuses := func(err error, words string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), words) || strings.Contains(err.Error(), "\n") {
			t.Errorf("got %v, want %q", err, words)
		}
	}
	_, err := restore(backup, true)
	refuses(err, "is in use: stop its master first")
	l.must(l.Close())
	_, err = restore(backup, false)
	refuses(err, "has 1 node, 1 instance, 0 installations, 2 events, and what happened after the backup, until 2023-11-14")
	bad := filepath.Join(t.TempDir(), "bad.db")
	l.must(os.WriteFile(bad, nil, 0o600))
	_, err = restore(bad, true)
	refuses(err, "is empty")
	text, err := os.ReadFile(backup)
	l.must(err)
	l.must(os.WriteFile(bad, text[:len(text)/2], 0o600))
	_, err = restore(bad, true)
	refuses(err, "is damaged")
	_, err = restore(filepath.Join(t.TempDir(), "absent"), true)
	refuses(err, "can't be opened")
	change(t, backup, bad, "PRAGMA user_version = 99")
	_, err = restore(bad, true)
	refuses(err, "its tables are of version 99")
	change(t, backup, bad, "DROP TABLE partition18")
	_, err = restore(bad, true)
	refuses(err, "is not the database of a slapos proxy")
	// One that is in use is none: its log may have more.
	busy := newLab(t, file, 1)
	_, err = restore(busy.uri, true)
	refuses(err, "is a database that somebody uses")
	restored, err := restore(backup, true)
	l.must(err)
	l.equal("former", restored.Former, l.uri+"-before-restore-20231114-221320")
	if contents, err := store.Inspect(l.ctx, restored.Former); err != nil || contents.Instances != 1 {
		t.Errorf("the former database has %v, %v", contents, err)
	}
	if contents, err := store.Inspect(l.ctx, l.uri); err != nil || contents.Instances != 0 || contents.Computers != 1 {
		t.Errorf("the database has %v, %v", contents, err)
	}
	// A damaged one is replaced too, and kept.
	l.must(os.WriteFile(l.uri, []byte("rubbish"), 0o600))
	_, err = restore(backup, false)
	refuses(err, "--force replaces it")
	l.must(os.Remove(restored.Former))
	restored, err = restore(backup, true)
	l.must(err)
	if former, err := os.ReadFile(restored.Former); err != nil || string(former) != "rubbish" {
		t.Errorf("former: %q, %v", former, err)
	}
}

// change copies a file and changes the copy.
func change(t *testing.T, from, to, statement string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	execute(t, to, statement)
}

// execute runs statements on a file, as a tool would.
func execute(t *testing.T, path string, statements ...string) {
	t.Helper()
	database, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer database.Close()
	for _, statement := range statements {
		if _, err := database.Exec(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// TestCheck finds each kind of fault, mends what is mendable, and leaves the rest.
func TestCheck(t *testing.T) {
	t.Parallel()
	l := newLab(t, file, 4)
	l.request(order("one"))
	l.request(order("two"))
	l.requestShared(order("shared"))
	l.must(l.Close())
	checked, err := store.Check(l.ctx, l.uri)
	l.must(err)
	l.equal("of a sound one", checked.Findings, []store.Finding(nil))
	faults := []string{
		"INSERT INTO partition_network18 (partition_reference, computer_reference) VALUES ('gone', 'c')",
		"CREATE TABLE related18 (computer_reference TEXT, partition_reference TEXT, title TEXT, PRIMARY KEY (computer_reference, partition_reference, title))",
		"INSERT INTO related18 VALUES ('c', 'slappart3', 'x')",
		"INSERT INTO report18 VALUES ('c', 'instance', 'slappart3', 'started', '', '', 1, 1, 0, 0, 0), ('c', 'release', 'http://gone', 'started', '', '', 1, 1, 0, 0, 0)",
		"INSERT INTO promise18 VALUES ('c', 'slappart3', '', '', 1, 1, 0, 0)",
		"INSERT INTO log18 VALUES (999, '')",
		"INSERT INTO partition18 (reference, computer_reference, slap_state) VALUES ('p', 'gone', 'free')",
		"UPDATE partition18 SET requested_by = 'nobody' WHERE partition_reference = 'two'",
		"INSERT INTO partition18 (reference, computer_reference, slap_state, partition_reference) VALUES ('q', 'c', 'busy', 'one')",
		"UPDATE slave18 SET hosted_by = 'gone'",
		"UPDATE partition18 SET xml = '<broken' WHERE partition_reference = 'two'",
	}
	execute(t, l.uri, faults...)
	checked, err = store.Repair(l.ctx, l.uri)
	l.must(err)
	found := map[string]string{}
	for _, f := range checked.Findings {
		found[f.What] = fmt.Sprintf("%d%v%v", f.Count, f.Examples, f.Mendable)
	}
	l.equal("findings", found, map[string]string{
		"addresses of partitions that don't exist":                                     "1[gone of c]true",
		"lists of requested titles, of partitions without instance":                    "1[slappart3 of c]true",
		"reports about partitions without instance":                                    "1[slappart3 of c]true",
		"reports about releases that nobody supplied":                                  "1[http://gone of c]true",
		"promises of partitions without instance":                                      "1[slappart3 of c]true",
		"logs without event":                                                           "1[event 999]true",
		"partitions of computers that don't exist: format the node again":              "1[p of gone]false",
		"instances whose root doesn't exist: destroy them":                             "1[slappart1 of c]false",
		"instances with the title of another one in their tree: destroy or rename one": "2[slappart0 of c q of c]false",
		"shared instances without host: request them again":                            "1[_shared of c]false",
		"instances whose documents can't be read: request them again":                  "1[slappart1 of c]false",
	})
	checked, err = store.Check(l.ctx, l.uri)
	l.must(err)
	for _, f := range checked.Findings {
		if f.Mendable {
			t.Errorf("still there: %+v", f)
		}
	}
	l.equal("what is left", len(checked.Findings), 5)
	// An index that lost an entry.
	execute(t, l.uri, "PRAGMA writable_schema = on; UPDATE sqlite_master SET rootpage = (SELECT rootpage FROM sqlite_master WHERE name = 'slave18_reference') WHERE name = 'software18_computer'; PRAGMA writable_schema = reset")
	if checked, err = store.Check(l.ctx, l.uri); err == nil && len(checked.Findings) == 5 {
		t.Errorf("a wrong index: %v, %v", checked, err)
	}
}

// TestCheckOfServer runs the same statements on a server, and mends there.
func TestCheckOfServer(t *testing.T) {
	t.Parallel()
	l := newLab(t, postgresURI, 2)
	l.request(order("one"))
	server, err := sql.Open("pgx", l.uri)
	l.must(err)
	defer server.Close()
	_, err = server.Exec("INSERT INTO partition_network18 (partition_reference, computer_reference) VALUES ('gone', 'c'); INSERT INTO log18 VALUES (999, '')")
	l.must(err)
	checked, err := store.Repair(l.ctx, l.uri)
	l.must(err)
	l.equal("findings", len(checked.Findings), 2)
	checked, err = store.Check(l.ctx, l.uri)
	l.must(err)
	l.equal("after", checked.Findings, []store.Finding(nil))
}

// TestBackupFails without leaving anything.
func TestBackupFails(t *testing.T) {
	t.Parallel()
	l := newLab(t, file, 1)
	folder := t.TempDir()
	ctx, cancel := context.WithCancel(l.ctx)
	cancel()
	if _, err := store.Backup(ctx, l.uri, filepath.Join(folder, "backup.db")); err == nil || !errors.Is(err, context.Canceled) && !strings.Contains(err.Error(), "interrupt") {
		t.Errorf("of somebody who gives up: %v", err)
	}
	if _, err := store.Backup(l.ctx, filepath.Join(folder, "absent.db"), filepath.Join(folder, "backup.db")); err == nil || !strings.Contains(err.Error(), "absent.db can't be opened") {
		t.Errorf("of nothing: %v", err)
	}
	entries, err := os.ReadDir(folder)
	if err != nil || !reflect.DeepEqual(len(entries), 0) {
		t.Errorf("left: %v, %v", entries, err)
	}
}
