// SPDX-License-Identifier: GPL-3.0-or-later

package collect

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"slapos/slap/testkit"
)

// likeSlapos writes the monitor files of partitions for the minutes that are given.
const likeSlapos = `
import types
from slapos.collect import reporter
from slapos.collect.db import Database
for line in sys.stdin:
  c = json.loads(line)
  reporter.time = types.SimpleNamespace(time=lambda: c["Now"])
  users = {name: types.SimpleNamespace(name=name, path=os.path.join(c["Directory"], name)) for name in c["Users"]}
  reporter.PartitionReport(Database(c["Directory"], create=True), users).buildJSONMonitorReport(c["Date"], c["Minute"] + ":00", c["Minute"] + ":59")
  out = {}
  for name in users:
    folder = os.path.join(name, ".slapgrid/monitor")
    for file in os.listdir(os.path.join(c["Directory"], folder)):
      out[os.path.join(folder, file)] = content(os.path.join(c["Directory"], folder, file))
  answer(out)
`

// The monitor files of partitions have slapos.core's bytes and modes, minute after
// minute, whatever was sampled (COL-38).
func TestMonitorLikeSlapos(t *testing.T) {
	t.Parallel()
	random := testkit.NewRandom(t)
	c := newTestCollector(t)
	c.Folders.Measure = false
	now := time.Date(2026, 11, 21, 10, 0, 20, 250_000_000, time.UTC)
	c.Now = func() time.Time { return now }
	pass(t, c)
	type minute struct {
		Directory, Date, Minute string
		Users                   []string
		Now                     float64
	}
	cases := make([]minute, random.Cases(30, 600))
	statements := []string{"DELETE FROM user", "DELETE FROM folder"}
	for i := range cases {
		at := now.Add(time.Duration(i) * time.Minute)
		cases[i] = minute{Users: []string{"slapuser0", "slapuser1"}, Date: at.Format(dateLayout), Minute: at.Add(-time.Minute).Format("15:04"),
			Now: float64(at.UnixMicro()) / 1e6}
		for user := range 2 {
			for range random.IntN(5) {
				clock := fmt.Sprintf("%s:%02d", cases[i].Minute, random.IntN(60))
				number := func(limit float64) string {
					// Exact sums: those of other numbers depend on the version of SQLite.
					return random.One("0", "0.125", "2.375", fmt.Sprint(float64(random.IntN(int(limit)*256))/256), fmt.Sprint(random.IntN(int(limit))))
				}
				// No process has such a number.
				statements = append(statements, fmt.Sprintf("INSERT INTO user VALUES ('slapuser%d', %d, 'x', %s, %s, %d, %s, %s, %s, %s, '%s', '%s', 0)",
					user, 9_000_000+random.IntN(3), number(100), number(1e6), random.IntN(50), number(10), number(1e10), number(1e12), number(1e6),
					cases[i].Date, clock))
				if random.IntN(2) == 0 {
					statements = append(statements, fmt.Sprintf("INSERT INTO folder VALUES ('slapuser%d', %s, '%s', '%s', 0)", user, number(1e9), cases[i].Date, clock))
				}
			}
		}
	}
	execute(t, c, statements...)
	theirs := t.TempDir()
	testkit.WriteFile(t, filepath.Join(theirs, "collector.db"), testkit.ReadFile(t, DatabasePath(c.InstanceRoot)))
	for i := range cases {
		cases[i].Directory = theirs
	}
	for user, partition := range c.Partitions {
		for _, directory := range []string{filepath.Join(theirs, fmt.Sprint("slapuser", user)), partition.Path} {
			if err := os.MkdirAll(filepath.Join(directory, ".slapgrid"), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	store, err := openStore(t.Context(), DatabasePath(c.InstanceRoot))
	if err != nil {
		t.Fatal(err)
	}
	defer store.close()
	files := testkit.Original(t, likeSlapos, cases, func(m minute, theirs map[string][]byte) {
		now = time.UnixMicro(int64(m.Now * 1e6)).UTC()
		if err := c.writeMonitors(t.Context(), store, stamp{}); err != nil {
			t.Fatal(err)
		}
		for name, want := range theirs {
			path := filepath.Join(c.InstanceRoot, "slappart"+name[len("slapuser"):])
			if got := testkit.Content(t, path); got != string(want) {
				t.Errorf("%s at %s\nslapos.core %q\nwe          %q", name, m.Minute, want, got)
			}
		}
	})
	t.Logf("%d files of %d minutes", files, len(cases))
}
