// SPDX-License-Identifier: GPL-3.0-or-later

package collect

import (
	"encoding/xml"
	"fmt"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"slapos/slap/testkit"
)

// recorded is a node with samples every ten minutes from 00:00 to 05:50, with a
// gap from 02:00 to 02:50.
func recorded(t *testing.T, partitions int) *Collector {
	t.Helper()
	c := newTestCollector(t)
	if err := c.makeDirectories(); err != nil {
		t.Fatal(err)
	}
	var statements []string
	for minute := 0; minute < 360; minute += 10 {
		if minute/60 == 2 {
			continue
		}
		clock := fmt.Sprintf("%02d:%02d:00", minute/60, minute%60)
		statements = append(statements,
			fmt.Sprintf("INSERT INTO system (cpu_percent, memory_used, date, time) VALUES (%d, 1048576, '2026-11-21', '%s')", minute/60, clock),
			fmt.Sprintf("INSERT INTO disk (partition, used, date, time) VALUES ('/dev/a', '500', '2026-11-21', '%[1]s'), ('/dev/b', '1500', '2026-11-21', '%[1]s')", clock))
		for i := range partitions {
			if i == 1 && minute < 180 {
				continue
			}
			for range 2 {
				statements = append(statements, fmt.Sprintf("INSERT INTO user (partition, cpu_percent, memory_rss, date, time) VALUES ('slapuser%d', %d, 1048576, '2026-11-21', '%s')", i, 10*(i+1), clock))
			}
		}
	}
	statements = append(statements,
		"INSERT INTO folder (partition, disk_used, date, time) VALUES ('slapuser0', 2048, '2026-11-19', '10:00:00'), ('slapuser0', 4096, '2026-11-21', '03:10:00')")
	execute(t, c, "BEGIN", strings.Join(statements, ";"), "COMMIT")
	return c
}

func history(t *testing.T, c *Collector, steps int, names ...string) *Use {
	t.Helper()
	h, err := OpenHistory(DatabasePath(c.InstanceRoot))
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	from := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	use, err := h.Read(t.Context(), from, from.Add(6*time.Hour), steps, names...)
	if err != nil {
		t.Fatal(err)
	}
	return use
}

func TestHistory(t *testing.T) {
	c := recorded(t, 2)
	use := history(t, c, 6)
	if use.Passes != 30 || len(use.Partitions) != 2 || use.Step != time.Hour {
		t.Errorf("%+v", use)
	}
	nan := math.NaN()
	mib := 1048576.0
	for name, test := range map[string]struct{ got, want []float64 }{
		"computer CPU":     {use.Computer.CPU, []float64{0, 1, nan, 3, 4, 5}},
		"computer disk":    {use.Computer.Disk, []float64{2000, 2000, nan, 2000, 2000, 2000}},
		"slapuser0 CPU":    {use.Partitions[0].CPU, []float64{20, 20, nan, 20, 20, 20}},
		"slapuser0 memory": {use.Partitions[0].Memory, []float64{2 * mib, 2 * mib, nan, 2 * mib, 2 * mib, 2 * mib}},
		"slapuser0 disk":   {use.Partitions[0].Disk, []float64{2 * mib, 2 * mib, 2 * mib, 4 * mib, 4 * mib, 4 * mib}},
		"slapuser1 CPU":    {use.Partitions[1].CPU, []float64{0, 0, nan, 40, 40, 40}},
		"slapuser1 disk":   {use.Partitions[1].Disk, []float64{nan, nan, nan, nan, nan, nan}},
	} {
		if fmt.Sprint(test.got) != fmt.Sprint(test.want) {
			t.Errorf("%s: %v, want %v", name, test.got, test.want)
		}
	}
	if use := history(t, c, 6, "slapuser1"); len(use.Partitions) != 1 || use.Passes != 30 {
		t.Errorf("%+v", use)
	}
	// The kernel's numbers count if there are any; a new group starts at 0.
	execute(t, c, sliceTable.schema(), `INSERT INTO cgroup (partition, cpu_time, memory_used, date, time) VALUES
		('slapuser0', 100, 7, '2026-11-21', '03:00:00'), ('slapuser0', 400, 9, '2026-11-21', '03:10:00'), ('slapuser0', 5, 9, '2026-11-21', '03:20:00')`)
	use = history(t, c, 6)
	if got := use.Partitions[0]; got.CPU[3] != 50 || got.CPU[4] != 20 || math.Round(got.Memory[3]) != 8 {
		t.Errorf("%+v", got)
	}
}

func TestByNumber(t *testing.T) {
	names := []string{"slapuser10", "slapuser2", "b", "slapuser1", "a9"}
	slices.SortFunc(names, byNumber)
	if fmt.Sprint(names) != "[a9 b slapuser1 slapuser2 slapuser10]" {
		t.Error(names)
	}
}

func TestHistoryNothing(t *testing.T) {
	if _, err := OpenHistory(filepath.Join(t.TempDir(), "collector.db")); err == nil || !strings.Contains(err.Error(), "nothing was collected yet") {
		t.Error(err)
	}
}

func TestPlot(t *testing.T) {
	c := recorded(t, 12)
	execute(t, c, "INSERT INTO user (partition, cpu_percent, date, time) VALUES ('<b>&' || char(27), 1000000, '2026-11-21', '01:00:00')")
	use := history(t, c, 100)
	directory := t.TempDir()
	svg, picture := filepath.Join(directory, "a.svg"), filepath.Join(directory, "a.PNG")
	for _, path := range []string{svg, picture} {
		if err := Plot(use, path); err != nil {
			t.Fatal(err)
		}
	}
	content := testkit.ReadFile(t, svg)
	decoder := xml.NewDecoder(strings.NewReader(content))
	for {
		if _, err := decoder.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"CPU, % of one processor", "memory, MiB", "disk, MiB", ">slapuser0<", ">5 others<", "&lt;b&gt;&amp;?", "2026-11-21 00:00 to 2026-11-21 06:00 UTC"} {
		if !strings.Contains(content, want) {
			t.Errorf("no %s in the picture", want)
		}
	}
	file, err := os.Open(picture)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	decoded, err := png.Decode(file)
	if err != nil || decoded.Bounds().Dx() < 700 {
		t.Fatal(err)
	}
	colours := map[any]bool{}
	for x := range decoded.Bounds().Dx() {
		colours[decoded.At(x, decoded.Bounds().Dy()/6)] = true
	}
	if len(colours) < 5 {
		t.Errorf("%d colours", len(colours))
	}
	if err := Plot(use, filepath.Join(directory, "a.gif")); err == nil {
		t.Error("no error")
	}
	empty := &Use{From: use.From, To: use.To, Step: use.Step}
	if err := Plot(empty, svg); err != nil {
		t.Error(err)
	}
}

func TestScale(t *testing.T) {
	for _, test := range []struct{ highest, step, top float64 }{
		{0, 0.2, 1}, {1, 0.2, 1}, {37, 10, 40}, {99, 20, 100}, {101, 50, 150}, {1e9, 2e8, 1e9}, {math.Inf(1), 0.2, 1}, {math.NaN(), 0.2, 1},
	} {
		if step, top := scale(test.highest); math.Abs(step-test.step) > 1e-6*step || math.Abs(top-test.top) > 1e-6*top {
			t.Errorf("%v: %v, %v", test.highest, step, top)
		}
	}
	from := time.Date(2026, 11, 21, 10, 30, 0, 0, time.UTC)
	for length, want := range map[time.Duration]int{time.Second: 2, time.Hour: 7, 24 * time.Hour: 8, 7 * 24 * time.Hour: 7, 20 * 365 * 24 * time.Hour: 20} {
		if ticks, layout := timeTicks(from, from.Add(length)); len(ticks) != want || layout == "" {
			t.Errorf("%v: %d ticks", length, len(ticks))
		}
	}
}
