// SPDX-License-Identifier: GPL-3.0-or-later

package collect

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"slapos/slap/testkit"
)

func runPython(t *testing.T, script string, arguments ...string) string {
	t.Helper()
	command := exec.Command(testkit.Python(t), append([]string{"-c", script}, arguments...)...)
	var failure bytes.Buffer
	command.Stderr = &failure
	output, err := command.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, failure.String())
	}
	return string(output)
}

// The samples of three days: two processes in each of the two partitions.
func samples(now time.Time) (statements []string) {
	for day := range 3 {
		date := now.AddDate(0, 0, -day).Format(dateLayout)
		for pass := range 4 {
			clock := fmt.Sprintf("00:00:%02d", 7*pass)
			statements = append(statements, fmt.Sprintf("INSERT INTO system VALUES (%g, %g, %d, %d, %d, 1, 2, %d, 3, 4, '%s', '%s', 0)",
				0.1*float64(pass), 100-99.7+float64(pass), 1000000000+pass*333, 3000000000-pass, 5000+pass*3001, 700+pass*1025, date, clock))
			statements = append(statements, fmt.Sprintf("INSERT INTO disk VALUES ('/dev/a-b', '%d', '%d', '/;/mnt,\"x\"', '%s', '%s', 0)", 1025+pass, 4096, date, clock))
			for partition := range 2 {
				for process := range 2 {
					statements = append(statements, fmt.Sprintf("INSERT INTO user VALUES ('slapuser%d', %d, '%d-1.5', %g, %g, %d, %g, %d, %d, %d, '%s', '%s', 0)",
						partition, 90000+process, 90000+process, 0.1*float64(pass+process), 60.25*float64(process), 2+process, 0.3,
						(process+1)*(5<<20)+333*pass, 4096*process, 17*process, date, clock))
				}
				statements = append(statements, fmt.Sprintf("INSERT INTO folder VALUES ('slapuser%d', %g, '%s', '%s', 0)", partition, 4096.5+float64(pass), date, clock))
			}
			statements = append(statements, fmt.Sprintf("INSERT INTO temperature VALUES ('é \"s\":', 40.5, 0, '%s', '%s', 0)", date, clock))
		}
	}
	return append(statements, "INSERT INTO heating VALUES ('m', 's', 20, 60, 300, 100, '2020-01-01', '00:00:01', 1)")
}

const originalFiles = `
import sys, time
from slapos.collect.db import Database
from slapos.collect.reporter import RawCSVDumper, SystemCSVReporterDumper, SystemJSONReporterDumper, ConsumptionReport, compressLogFolder
directory, today, *days = sys.argv[1:]
database = Database(directory, create=True)
SystemCSVReporterDumper(database).dump(directory)
SystemJSONReporterDumper(database).dump(directory)
report = ConsumptionReport(computer_id='COMP-1', user_list={'slapuser0': None, 'slapuser1': None}, database=database, location=directory)
for day in days:
  report.buildXMLReport(day)
RawCSVDumper(database).dump(directory)
compressLogFolder(directory)
database.garbageCollect(2)
`

// From the same rows both programs write the same bytes, and each can continue
// with the other's database. COL-14, COL-32, COL-33, COL-34, COL-35, COL-39,
// COL-40, COL-41, COL-42, COL-37.
func TestLikeOriginal(t *testing.T) {
	t.Parallel()
	c := newTestCollector(t)
	now := time.Now().UTC()
	today := now.Format(dateLayout)
	c.Now = func() time.Time { return now }
	c.Folders.Measure = false
	pass(t, c)
	for _, table := range []string{"user", "folder", "computer", "system", "disk", "temperature"} {
		execute(t, c, "DELETE FROM "+table)
	}
	for _, directory := range []string{"consumption-report", "xml_report/COMP-1"} {
		if err := os.RemoveAll(filepath.Join(c.InstanceRoot, "var", directory)); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.makeDirectories(); err != nil {
		t.Fatal(err)
	}
	execute(t, c, samples(now)...)

	theirs := t.TempDir()
	database := []byte(testkit.ReadFile(t, DatabasePath(c.InstanceRoot)))
	if err := os.WriteFile(filepath.Join(theirs, "collector.db"), database, 0o644); err != nil {
		t.Fatal(err)
	}
	days := []string{now.AddDate(0, 0, -1).Format(dateLayout), now.AddDate(0, 0, -2).Format(dateLayout)}
	for range 2 { // it archives one day at a time
		runPython(t, originalFiles, append([]string{theirs, today}, days...)...)
	}

	c.KeepDays = 2
	store, err := openStore(t.Context(), DatabasePath(c.InstanceRoot))
	if err != nil {
		t.Fatal(err)
	}
	defer store.close()
	for range 2 {
		if err := c.writeFiles(t.Context(), store, stampOf(now)); err != nil {
			t.Fatal(err)
		}
	}
	kept, outgoing := c.reportDirectories()
	for _, day := range days {
		same(t, filepath.Join(kept, day+".xml"), filepath.Join(theirs, day+".xml"))
		same(t, filepath.Join(outgoing, day+".xml"), filepath.Join(theirs, day+".xml"))
		sameArchive(t, filepath.Join(c.logDirectory(), day+".tar.gz"), filepath.Join(theirs, day+".tar.gz"))
	}
	tables, err := filepath.Glob(filepath.Join(theirs, "system_*.csv"))
	if err != nil || len(tables) != 12 {
		t.Fatal(tables, err)
	}
	for _, table := range tables {
		same(t, filepath.Join(c.logDirectory(), filepath.Base(table)), table)
	}
	history, err := OpenHistory(DatabasePath(c.InstanceRoot))
	if err != nil {
		t.Fatal(err)
	}
	defer history.Close()
	series, err := history.Day(t.Context(), today)
	if err != nil {
		t.Fatal(err)
	}
	for name := range series {
		content, err := series.JSON(name)
		if want := testkit.ReadFile(t, filepath.Join(theirs, "system_"+name+".json")); err != nil || string(content) != want {
			t.Errorf("%s: %v\n%s\nwant\n%s", name, err, content, want)
		}
	}
	// What is left after old rows were deleted, and with which schema.
	for _, question := range []string{
		"SELECT group_concat(date || reported) FROM (SELECT DISTINCT date, reported FROM user ORDER BY 1)",
		"SELECT count(*) FROM heating",
	} {
		ours := ask(t, c, question)
		if got := runPython(t, "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute(sys.argv[2]).fetchone()[0])", filepath.Join(theirs, "collector.db"), question); strings.TrimSpace(got) != ours {
			t.Errorf("%s: %s, theirs %s", question, ours, got)
		}
	}
}

func same(t *testing.T, ours, theirs string) {
	t.Helper()
	if a, b := testkit.ReadFile(t, ours), testkit.ReadFile(t, theirs); a != b {
		t.Errorf("%s:\n%q\ntheirs:\n%q", ours, a, b)
	}
}

// sameArchive compares names and contents of members.
func sameArchive(t *testing.T, ours, theirs string) {
	t.Helper()
	var listings [2]string
	for i, path := range []string{ours, theirs} {
		names, err := exec.Command("tar", "tzf", path).Output()
		if err != nil {
			t.Fatal(err)
		}
		sorted := strings.Fields(string(names))
		slices.Sort(sorted)
		for _, name := range sorted {
			content, err := exec.Command("tar", "xzOf", path, name).Output()
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasSuffix(name, "/") { // everything in the directory, in any order
				content = nil
			}
			listings[i] += fmt.Sprintf("%s %q\n", name, content)
		}
	}
	if listings[0] != listings[1] || !strings.Contains(listings[0], "dump_user.csv") {
		t.Errorf("%s:\n%s\ntheirs:\n%s", ours, listings[0], listings[1])
	}
}

const databaseSchema = `
import sqlite3, sys
from slapos.collect.db import Database
if len(sys.argv) > 2:
  Database(sys.argv[1], create=True)
connection = sqlite3.connect(sys.argv[1] + '/collector.db')
for name, kind in connection.execute("select name, type from sqlite_master order by name"):
  print(name, kind)
  for row in connection.execute("pragma %s_%s('%s')" % (kind, 'info' if kind == 'index' else 'xinfo', name)):
    print(' ', *row)
print(connection.execute('pragma journal_mode').fetchone())
`

// The schema is the original's, whichever program made the database. COL-10,
// COL-15.
func TestSchemaLikeOriginal(t *testing.T) {
	t.Parallel()
	theirs, ours := t.TempDir(), t.TempDir()
	want := runPython(t, databaseSchema, theirs, "create")
	store, err := openStore(t.Context(), filepath.Join(ours, "collector.db"))
	if err != nil {
		t.Fatal(err)
	}
	if err := store.close(); err != nil {
		t.Fatal(err)
	}
	if got := runPython(t, databaseSchema, ours); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

const mixedRows = `
import sys
from slapos.collect.db import Database
database = Database(sys.argv[1], create=True)
database.connect()
database.insertUserSnapshot('slapuser0', 5, '5-1.5', 1, 2, 3, 4, 5, 6, 7, sys.argv[2], '00:00:01')
database.insertSystemSnapshot(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, sys.argv[2], '00:00:01')
database.commit()
database.close()
from slapos.collect.reporter import RawCSVDumper
RawCSVDumper(database).dump(sys.argv[1])
database.garbageCollect(1)
`

// Both programs alternate, with the table of control groups that only ours has.
// COL-16.
func TestByTurns(t *testing.T) {
	t.Parallel()
	c := newTestCollector(t)
	c.Slice = func(partition string) string { return filepath.Join(c.Sys, partition) }
	testkit.WriteFile(t, filepath.Join(c.Sys, "slappart0/cpu.stat"), "usage_usec 1\n")
	for day := range 3 {
		moment := time.Now().UTC().AddDate(0, 0, day-4)
		c.Now = func() time.Time { return moment }
		pass(t, c)
		runPython(t, mixedRows, c.logDirectory(), moment.Format(dateLayout))
	}
	if got := ask(t, c, "SELECT count(*) || ' ' || (SELECT count(*) FROM cgroup) FROM system"); got != "0 0" {
		t.Errorf("%s rows are left", got) // the original took all for completed days
	}
	c.Now = time.Now
	pass(t, c)
	left, err := filepath.Glob(filepath.Join(c.logDirectory(), "*.tar.gz"))
	if err != nil || len(left) != 3 {
		t.Error("directories of the original are archived:", left, err)
	}
}
