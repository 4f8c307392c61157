// SPDX-License-Identifier: GPL-3.0-or-later

package partition

import (
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"slapos/slap"
	"slapos/slap/confined"
	"slapos/slap/testkit"
)

func TestRetentionDelay(t *testing.T) {
	for _, test := range []struct {
		value any
		want  float64
	}{{nil, 0}, {1, 1}, {1.5, 1.5}, {"2.5", 2.5}, {" 3 ", 3}, {"x", 0}, {"", 0}, {"inf", 0}, {"nan", 0}, {slap.Tuple{}, 0}, {true, 0}} {
		if got := retentionDelay(slap.Dict{"retention_delay": test.value}, slog.New(slog.DiscardHandler)); got != test.want {
			t.Errorf("%v gives %v", test.value, got)
		}
	}
	if got := retentionDelay(nil, slog.Default()); got != 0 {
		t.Error(got)
	}
}

func newRetention(t *testing.T, root *confined.Directory) *retention {
	state, err := confined.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { state.Close() })
	return &retention{root, state, "slappart0"}
}

func TestLockRetention(t *testing.T) {
	root := openPartitionDirectory(t)
	r := newRetention(t, root)
	uid := os.Getuid()
	if uid == 0 {
		uid = 29997
	}
	for _, days := range []float64{0, 7} {
		if err := r.lock(days, uid, os.Getgid()); err != nil {
			t.Fatal(err)
		}
		content, _ := root.Read(RetentionDelayFile)
		info, err := root.Stat(RetentionDelayFile)
		if string(content) != "0.0" || err != nil || info.Mode() != 0o644 || int(info.Sys().(*syscall.Stat_t).Uid) != uid {
			t.Errorf("after %v: %q, %v, %v", days, content, info, err)
		}
	}
}

func TestRetentionOver(t *testing.T) {
	now := time.Unix(1_800_000_000, 500_000_000)
	day := 24 * time.Hour
	for name, test := range map[string]struct {
		delay, date string // "-": no file
		now         time.Time
		want        bool
		wantDate    string // "-": no file
		fails       bool
	}{
		"never installed":         {"-", "-", now, true, "-", false},
		"no delay":                {"0.0", "-", now, true, "-", false},
		"negative delay":          {"-1", "-", now, true, "-", false},
		"delay":                   {"2.0", "-", now, false, "1800172800.0", false},
		"fraction of a day":       {"0.00001", "-", now, false, "1800000000.864", false},
		"smaller than now":        {"0.000001", "-", now, true, "1800000000.0864", false},
		"date to come":            {"2.0", "1800172800.0", now.Add(day), false, "1800172800.0", false},
		"date is there":           {"2.0", "1800172800.0", now.Add(2 * day), true, "1800172800.0", false},
		"date without delay file": {"-", "1800172800.0", now, false, "1800172800.0", false},
		"garbage delay":           {"x", "-", now, false, "-", true},
		"empty delay":             {"", "-", now, false, "-", true},
		"garbage date":            {"1.0", "nan", now, false, "nan", true},
	} {
		t.Run(name, func(t *testing.T) {
			root := openPartitionDirectory(t)
			for file, content := range map[string]string{RetentionDelayFile: test.delay, RetentionDateFile: test.date} {
				if content != "-" {
					testkit.WriteFile(t, root.Join(file), content)
				}
			}
			uid := os.Getuid()
			if uid == 0 && test.delay != "-" {
				uid = 29997
				if err := os.Chown(root.Join(RetentionDelayFile), uid, 29997); err != nil {
					t.Fatal(err)
				}
			}
			over, err := newRetention(t, root).over(test.now)
			if over != test.want || (err != nil) != test.fails {
				t.Errorf("over: %v, %v", over, err)
			}
			date, err := root.Read(RetentionDateFile)
			if err != nil {
				date = []byte("-")
			}
			if string(date) != test.wantDate {
				t.Errorf("date is %q", date)
			}
			if info, err := root.Stat(RetentionDateFile); err == nil && test.date == "-" && int(info.Sys().(*syscall.Stat_t).Uid) != uid {
				t.Errorf("the date belongs to %d, not to %d as the delay", info.Sys().(*syscall.Stat_t).Uid, uid)
			}
		})
	}
}

// Only regular files come from an agent; others lock nothing.
func TestRetentionHostileFiles(t *testing.T) {
	for name, create := range map[string]func(path string) error{
		"pipe":                func(path string) error { return unix.Mkfifo(path, 0o644) },
		"link to the outside": func(path string) error { return os.Symlink("/dev/zero", path) },
		"directory":           func(path string) error { return os.MkdirAll(filepath.Join(path, "a"), 0o755) },
	} {
		root := openPartitionDirectory(t)
		for _, file := range []string{RetentionDelayFile, RetentionDateFile} {
			if err := create(root.Join(file)); err != nil {
				t.Fatal(err)
			}
		}
		if over, err := newRetention(t, root).over(time.Now()); !over || err != nil {
			t.Errorf("%s: %v, %v", name, over, err)
		}
	}
}

// The partition's user can write the files in it, but doesn't gain time by that
// (GRID-97).
func TestRetentionIsNotProlonged(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	day := 24 * time.Hour
	for name, hostile := range map[string]func(root *confined.Directory){
		"longer delay": func(root *confined.Directory) { testkit.WriteFile(t, root.Join(RetentionDelayFile), "9999.0") },
		"later date": func(root *confined.Directory) {
			testkit.WriteFile(t, root.Join(RetentionDateFile), "9999999999.0")
		},
		"no date": func(root *confined.Directory) { os.Remove(root.Join(RetentionDateFile)) },
		"garbage": func(root *confined.Directory) {
			testkit.WriteFile(t, root.Join(RetentionDelayFile), "x")
			testkit.WriteFile(t, root.Join(RetentionDateFile), "x")
		},
	} {
		r := newRetention(t, openPartitionDirectory(t))
		if err := r.lock(2, os.Getuid(), os.Getgid()); err != nil {
			t.Fatal(err)
		}
		if over, err := r.over(now); over || err != nil {
			t.Errorf("%s: over %v at first, %v", name, over, err)
		}
		hostile(r.root)
		if over, err := r.over(now.Add(day)); over || err != nil {
			t.Errorf("%s: over %v after a day, %v", name, over, err)
		}
		hostile(r.root)
		if over, err := r.over(now.Add(2 * day)); !over || err != nil {
			t.Errorf("%s: over %v after two days, %v", name, over, err)
		}
	}
}

// TestRetentionIsNotMade has the files there before the first attempt to destroy.
func TestRetentionIsNotMade(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	day := 24 * time.Hour
	for _, date := range []string{"9999999999.0", "x", ""} {
		for delay, end := range map[float64]time.Duration{0: 0, 2: 2 * day} {
			r := newRetention(t, openPartitionDirectory(t))
			if err := r.lock(delay, os.Getuid(), os.Getgid()); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{RetentionDelayFile, RetentionDateFile} {
				testkit.WriteFile(t, r.root.Join(name), date)
			}
			if over, err := r.over(now); over != (delay == 0) || err != nil {
				t.Errorf("%q, delay %v: over %v at first, %v", date, delay, over, err)
			}
			if over, err := r.over(now.Add(end)); !over || err != nil {
				t.Errorf("%q, delay %v: over %v after %s, %v", date, delay, over, end, err)
			}
		}
	}
}

// openPartitionDirectory makes the directory of a partition, and opens it.
func openPartitionDirectory(t *testing.T) *confined.Directory {
	t.Helper()
	directory := filepath.Join(t.TempDir(), "slappart0")
	if err := os.Mkdir(directory, 0o750); err != nil {
		t.Fatal(err)
	}
	testkit.HandOver(t, directory)
	root, err := confined.Open(directory)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root
}
