// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"fmt"
	"maps"
	"math"
	"runtime"
	"strings"
	"testing"
	"time"

	"slapos/format"
	"slapos/grid"
	"slapos/promise"
)

// gridOptionsOf are the options that a pass gets from keys of section [slapos].
func gridOptionsOf(t *testing.T, keys map[string]string) (grid.Options, error) {
	t.Helper()
	e, _, _ := newTestEnvironment(t)
	merged := map[string]string{
		"computer_id": "COMP-1", "master_url": "http://127.0.0.1:1", "instance_root": t.TempDir(), "software_root": t.TempDir(),
	}
	maps.Copy(merged, keys)
	file, err := parseConfiguration("slapos.cfg", []byte("[slapos]\n"))
	if err != nil {
		t.Fatal(err)
	}
	options, err := e.gridOptions(merged, file)
	if err == nil {
		options.Master.Close()
	}
	return options, err
}

// CLI-24, D-26: what is written arrives as it is written, a default stands for what is
// not written at all, and what can't be is told with its key.
// GRID-4, GRID-5.
func TestGridNumbers(t *testing.T) {
	const absent = "\x00"
	type values map[string]any // text in the file → value, or the error's words
	for key, test := range map[string]struct {
		read   func(grid.Options) any
		values values
	}{
		"software_min_free_space": {
			func(o grid.Options) any { return o.Software.MinFreeSpace },
			values{absent: int64(grid.DefaultMinFreeSpace), "0": int64(0), "0M": int64(0), "1": int64(1), "1000M": int64(1000 << 20),
				"": "is not a size", "-1": "is not a size", "much": "is not a size", "99999999999T": int64(math.MaxInt64)},
		},
		"instance_min_free_space": {
			func(o grid.Options) any { return o.Instance.MinFreeSpace },
			values{absent: int64(grid.DefaultMinFreeSpace), "0": int64(0), "-1": "is not a size"},
		},
		"jobs": {
			func(o grid.Options) any { return o.Jobs },
			values{absent: runtime.NumCPU(), "1": 1, "64": 64, "0": "jobs must be 1 or more, not 0", "-1": "jobs must be 1 or more, not -1",
				"": "jobs must be a whole number", "1.5": "jobs must be a whole number", "9999999999999999999999": "jobs must be a whole number"},
		},
		"maximum_periodicity": {
			func(o grid.Options) any { return o.Instance.MaximumPeriodicity },
			values{absent: grid.DefaultMaximumPeriodicity, "0": 0, "-1": -1, "": "maximum_periodicity must be a whole number", "often": "maximum_periodicity must be a whole number"},
		},
		"promise_timeout": {
			func(o grid.Options) any { return o.Instance.PromiseTimeout },
			values{absent: 20 * time.Second, "0.0": promise.NoTimeout, "0": promise.NoTimeout, "2.5": 2500 * time.Millisecond, " 7 ": 7 * time.Second,
				"-1": "promise_timeout: -1 seconds are out of range", "1e30": "promise_timeout: 1e30 seconds are out of range",
				"": "promise_timeout must be a number of seconds", "nan": "promise_timeout must be a number of seconds", "soon": "promise_timeout must be a number of seconds"},
		},
		"partition_timeout": {
			func(o grid.Options) any { return o.Instance.PartitionTimeout },
			values{absent: time.Duration(0), "0": time.Duration(0), "90": 90 * time.Second, "-1": "partition_timeout: -1 seconds", "x": "partition_timeout must be"},
		},
	} {
		for text, want := range test.values {
			keys := map[string]string{key: text}
			if text == absent {
				keys = nil
			}
			options, err := gridOptionsOf(t, keys)
			words, fails := want.(string)
			switch {
			case fails && (err == nil || !strings.Contains(err.Error(), words) || !strings.Contains(err.Error(), key)):
				t.Errorf("%s = %q: error %v, want %q", key, text, err, words)
			case !fails && err != nil:
				t.Errorf("%s = %q: %v", key, text, err)
			case !fails && test.read(options) != want:
				t.Errorf("%s = %q: %v, want %v", key, text, test.read(options), want)
			}
		}
	}
}

// Each key that is true or false takes what Python's ConfigParser does (CLI-24).
// GRID-4.
func TestBooleans(t *testing.T) {
	forms := map[string]any{
		"1": true, "yes": true, "true": true, "on": true, "0": false, "no": false, "false": false, "off": false,
		"TRUE": true, "Yes": true, " on ": true, "OFF": false, "No": false,
		"2": nil, "y": nil, "maybe": nil, "truely": nil,
	}
	for key, read := range map[string]func(text string) (bool, error){
		"develop": func(text string) (bool, error) {
			o, err := gridOptionsOf(t, map[string]string{"develop": text})
			return o.Force, err
		},
		"forbid_supervisord_automatic_launch": func(text string) (bool, error) {
			o, err := gridOptionsOf(t, map[string]string{"forbid_supervisord_automatic_launch": text})
			return o.Supervisor.LaunchForbidden, err
		},
		"master_insecure": func(text string) (bool, error) {
			o, err := gridOptionsOf(t, map[string]string{"master_insecure": text})
			return strings.Contains(o.Supervisor.WatchdogCommand, "insecure"), err
		},
		"root_check": func(text string) (bool, error) {
			e, _, _ := newTestEnvironment(t)
			e.uid = 1000
			err := e.checkRoot(map[string]string{"root_check": text})
			if err != nil && !strings.Contains(err.Error(), "root_check") {
				return true, nil // refused for not being root
			}
			return false, err
		},
		"create_tun": func(text string) (bool, error) {
			var d format.Definition
			err := readFormatBooleans(map[string]string{"create_tun": text}, &d)
			return d.CreateTun, err
		},
	} {
		for text, want := range forms {
			got, err := read(text)
			switch {
			case want == nil && (err == nil || !strings.Contains(err.Error(), key)):
				t.Errorf("%s = %q: error %v, want one that names the key", key, text, err)
			case want != nil && (err != nil || got != want):
				t.Errorf("%s = %q: %v %v, want %v", key, text, got, err, want)
			}
		}
	}
}

// The key testing of section [firewall] is true with any text that does not say no.
func TestFirewallTesting(t *testing.T) {
	for text, want := range map[string]bool{"": false, "0": false, "no": false, "False": false, "off": false, "1": true, "true": true, "maybe": true} {
		file, err := parseConfiguration("slapos.cfg", []byte("[firewall]\ntesting = "+text+"\n"))
		if err != nil {
			t.Fatal(err)
		}
		var options grid.Options
		if err := fillFirewall(nil, file, &options); err != nil || options.Firewall.Testing != want {
			t.Errorf("%q: %+v %v, want %v", text, options.Firewall, err, want)
		}
	}
}

func TestSecondsOption(t *testing.T) {
	for text, want := range map[string]time.Duration{"0": 0, "0.001": time.Millisecond, "9e9": 9e9 * time.Second} {
		if got, err := secondsOption(map[string]string{"k": text}, time.Hour, "k"); err != nil || got != want {
			t.Errorf("%q: %v %v", text, got, err)
		}
	}
	for _, text := range []string{"-0.1", "inf", fmt.Sprint(math.MaxFloat64)} {
		if got, err := secondsOption(map[string]string{"k": text}, time.Hour, "k"); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
	if got, err := secondsOption(nil, time.Hour, "k"); err != nil || got != time.Hour {
		t.Errorf("absent: %v %v", got, err)
	}
}
