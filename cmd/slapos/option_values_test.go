// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/argv"
)

// Every option that takes a number or a measure, with every kind of value.
// CLI-7.
func TestOptionValues(t *testing.T) {
	type limits struct {
		usual       string
		least, most int
	}
	seconds, amount := limits{"", 0, maxSeconds}, maxAmount
	rows := map[string]limits{
		"cache start --port":                 {"5010", 0, 65535},
		"configure local --partition-number": {"20", 0, amount},
		"node register --partition-number":   {"10", 0, amount},
		"node promise --every":               {"", 1, maxSeconds},
		"standalone start --port":            {"", 0, 65535},
		"standalone start --partitions":      {"", 0, 250},
		"cache start --listen-connections":   {"256", 1, 1 << 16},
		"cache start --max-age":              {},
		"cache start --max-size":             {},
		"cache start --upstream-fresh":       {usual: "5m"},
		"cache start --upstream-wait":        {usual: "20s"},
		"node collect --since":               {usual: "24h"},
		"computer events --limit":            {"20", 1, 1000},
		"request --timeout":                  {"0", 0, maxSeconds},
		"node join --partition-number":       {"10", 0, amount},
		"proxy token --ttl":                  {usual: "1h"},
		"proxy token --uses":                 {"", 1, maxAmount},
		"supply --timeout":                   {"0", 0, maxSeconds},
		"remove --timeout":                   {"0", 0, maxSeconds},
		"service restart --timeout":          {"0", 0, maxSeconds},
		"service events --limit":             {"20", 1, 1000},
		"supervisord --takeover":             {"0", 0, amount},
		"node PASS --jobs":                   {"", 1, maxJobs},
		"node PASS --maximum-periodicity":    {"", math.MinInt, math.MaxInt},
		"node PASS --promise-timeout":        seconds,
		"node PASS --partition-timeout":      seconds,
	}
	seen := map[string]bool{}
	check := func(path string, f cli.Flag) {
		name := path + " --" + f.Names()[0]
		generic, ok := f.(*cli.GenericFlag)
		if !ok {
			switch f.(type) {
			case *cli.StringFlag, *cli.BoolFlag, *cli.StringSliceFlag, *argv.WordsFlag, *argv.OptionalFlag:
			default:
				t.Errorf("%s is a %T: use argv.WholeFlag or argv.MeasureFlag, which read as Python does", name, f)
			}
			return
		}
		if argv.Choices(f) != nil {
			if err := generic.Value.Set("neither"); err == nil {
				t.Errorf("%s accepts what is not a choice", name)
			}
			return
		}
		for _, pass := range []string{"agent", "software", "instance", "report", "promise"} {
			if row := strings.Replace(name, "node "+pass+" ", "node PASS ", 1); rows[name] == (limits{}) && rows[row] != (limits{}) {
				name = row
			}
		}
		row, found := rows[name]
		if !found {
			t.Errorf("%s has no row here", name)
			return
		}
		seen[name] = true
		if generic.Value.String() != row.usual {
			t.Errorf("%s is %q when absent, want %q", name, generic.Value.String(), row.usual)
		}
		w, isWhole := generic.Value.(*argv.Whole)
		if isWhole && (w.Least != row.least || w.Most != row.most) {
			t.Errorf("%s takes %d to %d, want %d to %d", name, w.Least, w.Most, row.least, row.most)
		}
		for _, text := range oddNumbers[1:] {
			number, isNumber := map[string]int{"0": 0, "-1": -1, "1_000": 1000, " 5 ": 5, "010": 10, "99999999999999999999": math.MaxInt}[text]
			isNumber = isNumber && isWhole && number >= row.least && number <= row.most
			isSize := name == "cache start --max-size" && slices.Contains([]string{"1_000", "5.0", "2.5", "010"}, text)
			err := generic.Value.Set(text)
			if (err == nil) != (isNumber || isSize) {
				t.Errorf("%s %q: %v", name, text, err)
			}
			if err == nil && isWhole && generic.Value.String() != strconv.Itoa(number) {
				t.Errorf("%s %q: %s", name, text, generic.Value)
			}
		}
	}
	e, _, _ := newTestEnvironment(t)
	for _, first := range commands(e) {
		for _, f := range first.Flags {
			check(first.Name, f)
		}
		for _, second := range first.Subcommands {
			for _, f := range second.Flags {
				check(first.Name+" "+second.Name, f)
			}
		}
	}
	for name, row := range rows {
		if row != (limits{}) && !seen[name] {
			t.Errorf("there is no %s", name)
		}
	}
}

// A number on the command line is refused with the option's name and what it may
// be; exit code 2, as argparse.
func TestOptionErrors(t *testing.T) {
	for _, test := range []struct{ line, want string }{
		{"node instance --jobs 0", `argument --jobs: invalid value "0": must be a whole number from 1 to 10000`},
		{"node instance -j 1e30", `argument --jobs: invalid value "1e30": must be a whole number from 1 to 10000`},
		{"node instance --promise-timeout 2.5", `argument --promise-timeout: invalid value "2.5": must be a whole number from 0 to 9000000000`},
		{"node instance --partition-timeout 99999999999999999999", `argument --partition-timeout: invalid value "99999999999999999999": must be`},
		{"node instance --maximum-periodicity often", `argument --maximum-periodicity: invalid value "often": must be a whole number`},
		{"node promise --watch --every 0", `argument --every: invalid value "0": must be a whole number from 1`},
		{"node collect --since 0", `argument --since: invalid value "0": must be a time like 90m, 24h or 7d, ten years at most`},
		{"cache start --port 65536", `argument --port: invalid value "65536": must be a whole number from 0 to 65535`},
		{"cache start --max-age 0d", `argument --max-age: invalid value "0d": must be a time such as 90d or 12h`},
		{"cache start --max-age 1e300d", `argument --max-age: invalid value`},
		{"cache start --max-size nan", `argument --max-size: invalid value "nan": must be a size such as 500M or 100G`},
		{"standalone start --port x", `argument --port: invalid value "x": must be a whole number from 0 to 65535`},
		{"configure local --partition-number -1", `argument --partition-number: invalid value "-1": must be a whole number from 0`},
	} {
		n := newNodeTest(t)
		if code := n.run(strings.Fields(test.line)...); code != 2 || !strings.Contains(n.stderr.String(), test.want) {
			t.Errorf("%s: %d %s", test.line, code, n.stderr.String())
		}
	}
	if os.Getuid() == 0 {
		n := newNodeTest(t)
		for _, port := range []string{"0", "x", "", "-1", "65536"} {
			if code := n.run("configure", "local", "--slapos-configuration-directory", n.directory, "--daemon-listen-port="+port); code != 2 || !strings.Contains(n.stderr.String(), "argument --daemon-listen-port: invalid value \""+port+"\": must be a whole number from 1 to 65535") {
				t.Errorf("--daemon-listen-port %q: %d %s", port, code, n.stderr.String())
			}
		}
	}
	n := newNodeTest(t)
	path := n.configuration("[slapos]\ncomputer_id = C\n[slapproxy]\ndatabase_uri = DIRECTORY/p.db\n")
	if code := n.run("proxy", "start", "--cfg", path, "--port", "x"); code != 2 || !strings.Contains(n.stderr.String(), `argument --port: invalid value "x": must be a whole number from 0 to 65535`) {
		t.Errorf("%d %s", code, n.stderr.String())
	}
	if code := n.run("proxy", "start", "--cfg", path, "--port", ""); code != 1 || !strings.Contains(n.stderr.String(), "no port: set it in section [slapproxy] or with --port, 0 for a free one") {
		t.Errorf("%d %s", code, n.stderr.String())
	}
}
