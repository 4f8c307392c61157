// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"errors"
	"fmt"
	"go/ast"
	goparser "go/parser"
	"go/token"
	"io/fs"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"slapos/cmd/slapos/pytext"
	"slapos/format"
	"slapos/grid/agent"
	"slapos/grid/firewall"
	"slapos/networkcache"
	"slapos/proxy"
	"slapos/slap/testkit"
)

// absent stands for a key that is not written.
const absent = "\x00"

// oddNumbers are written for every key with a rule; what a row does not list
// must be refused.
var oddNumbers = []string{absent, "1MK", "0", "", "-1", "1e30", "99999999999999999999", "abc", "nan", "inf", "1_000", " 5 ", "5.0", "2.5", "0x10", "010"}

// truths are the forms of Python's ConfigParser.
var truths = map[string]any{
	"1": true, "yes": true, "true": true, "on": true, "0": false, "no": false, "false": false, "off": false,
	"TRUE": true, "Yes": true, " oN ": true, "OFF": false, "No": false, "False": false,
}

// A keyTable says what a key comes to, by the text that is written. Texts of
// oddNumbers that it lacks are refused.
type keyTable struct {
	read   func(section map[string]string) (any, error)
	values map[string]any
}

func keyTables(t *testing.T) map[string]keyTable {
	const mega = 1 << 20
	ofGrid := func(read func(gridOptions) any) func(map[string]string) (any, error) {
		return func(section map[string]string) (any, error) {
			options, err := gridOptionsOf(t, section)
			return read(options), err
		}
	}
	ofFormat := func(name string) keyTable {
		read := func(section map[string]string) (any, error) {
			if _, given := section["partition_amount"]; !given {
				section["partition_amount"] = "1"
			}
			e, _, _ := newTestEnvironment(t)
			var run format.Options
			if err := e.readPartitionAmount(section, &run.Definition); err != nil {
				return nil, err
			}
			var err error
			if run.Limits, err = readLimits(section); err != nil {
				return nil, err
			}
			switch name {
			case "partition_amount":
				return run.PartitionAmount, nil
			case "ipv6_prefixshift":
				return run.PrefixShift, nil
			case "memory_max":
				return run.Limits.MemoryMax, nil
			case "cpu_weight":
				return run.Limits.CPUWeight, nil
			}
			return run.Limits.PIDsMax, nil
		}
		return keyTable{read: read}
	}
	agentTime := func(read func(agent.Settings) any) func(map[string]string) (any, error) {
		return func(section map[string]string) (any, error) {
			e, _, _ := newTestEnvironment(t)
			file, err := pytext.ParseConfiguration("slapos.cfg", []byte("[slapos]\n"))
			if err != nil {
				return nil, err
			}
			var settings agent.Settings
			err = e.fillAgentTimes(section, file, &settings)
			return read(settings), err
		}
	}
	with := func(table keyTable, values map[string]any) keyTable {
		table.values = values
		return table
	}
	seconds := func(usual, zero time.Duration) map[string]any {
		return map[string]any{absent: usual, "0": zero, "1_000": 1000 * time.Second, " 5 ": 5 * time.Second, "5.0": 5 * time.Second,
			"2.5": 2500 * time.Millisecond, "010": 10 * time.Second}
	}
	whole := func(usual any, more map[string]any) map[string]any {
		values := map[string]any{absent: usual, "1_000": 1000, " 5 ": 5, "010": 10}
		for text, value := range more {
			values[text] = value
		}
		return values
	}
	space := map[string]any{absent: int64(1000 << 20), "0": int64(0), "99999999999999999999": int64(math.MaxInt64),
		"5.0": int64(5), "2.5": int64(2), "010": int64(10)}
	endless := map[string]any{"0": 0, "-1": -1, "99999999999999999999": math.MaxInt}
	tables := map[string]keyTable{
		"jobs":                    {ofGrid(func(o gridOptions) any { return o.Node.Jobs }), whole(runtime.NumCPU(), nil)},
		"maximum_periodicity":     {ofGrid(func(o gridOptions) any { return o.Instance.MaximumPeriodicity }), whole(86400, endless)},
		"promise_timeout":         {ofGrid(func(o gridOptions) any { return o.Instance.PromiseTimeout }), seconds(20*time.Second, 0)},
		"partition_timeout":       {ofGrid(func(o gridOptions) any { return o.Instance.PartitionTimeout }), seconds(0, 0)},
		"partition-timeout":       {ofGrid(func(o gridOptions) any { return o.Instance.PartitionTimeout }), seconds(0, 0)},
		"software_min_free_space": {ofGrid(func(o gridOptions) any { return o.Software.MinFreeSpace }), space},
		"instance_min_free_space": {ofGrid(func(o gridOptions) any { return o.Instance.MinFreeSpace }), space},
		"agent_poll_periodicity": {agentTime(func(s agent.Settings) any { return s.Poll }),
			map[string]any{absent: time.Minute, "1_000": 1000 * time.Second, " 5 ": 5 * time.Second, "010": 10 * time.Second}},
		"agent_wait": {agentTime(func(s agent.Settings) any { return s.Wait }),
			map[string]any{absent: 5 * time.Minute, "0": time.Duration(0), " 5 ": 5 * time.Second, "010": 10 * time.Second, "600": 10 * time.Minute}},
		"agent_report_periodicity": {agentTime(func(s agent.Settings) any { return s.Report }),
			map[string]any{absent: time.Hour, "1_000": 1000 * time.Second, " 5 ": 5 * time.Second, "010": 10 * time.Second}},
		"agent_collect_periodicity": {func(section map[string]string) (any, error) {
			return wholeOption(section, "agent_collect_periodicity", 60)
		},
			whole(60, map[string]any{"0": 0})},
		"agent_prune_periodicity": {agentTime(func(s agent.Settings) any { return len(s.Jobs) }),
			map[string]any{absent: 0, "0": 0, "1_000": 1, " 5 ": 1, "010": 1}},
		"agent_garbage_collect_periodicity": {agentTime(func(s agent.Settings) any { return s.Garbage }),
			map[string]any{absent: time.Duration(0), "0": time.Duration(0), "1_000": 1000 * time.Second, " 5 ": 5 * time.Second, "010": 10 * time.Second}},
		"maximal_delay": {func(section map[string]string) (any, error) { return wholeOption(section, "maximal_delay", 0) },
			whole(0, map[string]any{"0": 0})},
		"port": {func(section map[string]string) (any, error) { return wholeOption(section, "port", -1) },
			whole(-1, map[string]any{"0": 0})},
		"listen_connections": {func(section map[string]string) (any, error) { return wholeOption(section, "listen_connections", 0) },
			whole(0, map[string]any{"65536": 65536})},
		"history_days": {func(section map[string]string) (any, error) { return wholeOption(section, "history_days", 0) },
			whole(0, map[string]any{"36500": 36_500})},
		"history_events": {func(section map[string]string) (any, error) { return wholeOption(section, "history_events", 0) },
			whole(0, map[string]any{"100000": 100_000})},
		"partition_amount": with(ofFormat("partition_amount"), whole(1, map[string]any{"0": 0})),
		"ipv6_prefixshift": with(ofFormat("ipv6_prefixshift"), map[string]any{absent: 16, " 5 ": 5, "010": 10}),
		"memory_max":       with(ofFormat("memory_max"), map[string]any{absent: uint64(0), "": uint64(0), " 5 ": uint64(5), "010": uint64(10)}),
		"cpu_weight":       with(ofFormat("cpu_weight"), map[string]any{absent: 0, "": 0, " 5 ": 5, "010": 10}),
		"pids_max":         with(ofFormat("pids_max"), map[string]any{absent: 0, "": 0, " 5 ": 5, "010": 10}),
		"collect_cache": {ofCollect(t, "slapos", func(s map[string]any) any { return s["keep"] }),
			whole(15, endless)},
		"disk_snapshot_time_cycle": {ofCollect(t, "collect", func(s map[string]any) any { return s["cycle"] }), map[string]any{
			absent: 24 * time.Hour, "0": time.Duration(0), "-1": time.Duration(0), "99999999999999999999": 100 * 365 * 24 * time.Hour,
			"1_000": 1000 * time.Second, " 5 ": 5 * time.Second, "010": 10 * time.Second}},
		"shacache_max_age": {func(section map[string]string) (any, error) { return ageOption(section, "shacache_max_age") },
			map[string]any{absent: time.Duration(0), "90d": 90 * 24 * time.Hour, "1.5d": 36 * time.Hour, "12h": 12 * time.Hour}},
		"shacache_max_size": {func(section map[string]string) (any, error) { return byteSizeOption(section, "shacache_max_size") },
			map[string]any{absent: int64(0), "500M": int64(500 * mega), "1.5K": int64(1536), "2GiB": int64(2048 * mega),
				"1_000": int64(1000), "5.0": int64(5), "2.5": int64(2), "010": int64(10)}},
	}
	for name, read := range map[string]func(d *format.Definition) any{
		"alter_network":            func(d *format.Definition) any { return d.AlterNetwork },
		"alter_user":               func(d *format.Definition) any { return d.AlterUser },
		"partition_has_ipv6_range": func(d *format.Definition) any { return d.PartitionHasIPv6Range },
		"create_tap":               func(d *format.Definition) any { return d.CreateTap },
		"create_tun":               func(d *format.Definition) any { return d.CreateTun },
		"tap_ipv6":                 func(d *format.Definition) any { return d.TapIPv6 },
		"tun_ipv6":                 func(d *format.Definition) any { return d.TunIPv6 },
	} {
		tables[name] = keyTable{func(section map[string]string) (any, error) {
			var d format.Definition
			err := readFormatBooleans(section, &d)
			return read(&d), err
		}, map[string]any{absent: name != "create_tun"}}
	}
	tables["develop"] = keyTable{ofGrid(func(o gridOptions) any { return o.Node.Force }), map[string]any{absent: false, "": false}}
	tables["forbid_supervisord_automatic_launch"] = keyTable{ofGrid(func(o gridOptions) any { return o.Supervisor.LaunchForbidden }), map[string]any{absent: false}}
	tables["master_insecure"] = keyTable{
		ofGrid(func(o gridOptions) any { return strings.Contains(o.Supervisor.WatchdogCommand, "insecure") }), map[string]any{absent: false},
	}
	tables["listen_open_cache"] = keyTable{func(section map[string]string) (any, error) {
		e, _, _ := newTestEnvironment(t)
		section["listen_token_file"] = testkit.WriteFile(t, filepath.Join(t.TempDir(), "token"), "a\n")
		var options proxy.Options
		if _, err := e.guardProxy(section, &options); err != nil {
			return nil, err
		}
		return options.Allow(httptest.NewRequest(http.MethodGet, "/shacache/dir/key", nil)), nil
	}, map[string]any{absent: false}}
	tables["listen_authority"] = keyTable{func(section map[string]string) (any, error) { return isAuthority(section) }, map[string]any{absent: false}}
	tables["signature-date"] = keyTable{func(section map[string]string) (any, error) {
		section["download-binary-cache-url"] = "http://127.0.0.1:1"
		e, _, _ := newTestEnvironment(t)
		cache, _, err := e.releaseCache(section, 0)
		if err != nil {
			return nil, err
		}
		return cache.(*networkcache.Releases).Dated, nil
	}, map[string]any{absent: false}}
	tables["root_check"] = keyTable{func(section map[string]string) (any, error) {
		e, _, _ := newTestEnvironment(t)
		e.uid = 1000
		err := e.checkRoot(section)
		var exit *exitError
		if errors.As(err, &exit) && exit.code == 5 {
			return true, nil // refused for not being root
		}
		return false, err
	}, map[string]any{absent: true}}
	loosely := func(usual, other bool) map[string]any {
		values := map[string]any{}
		for _, text := range append([]string{"maybe", "2 ", "y", "truely"}, oddNumbers...) {
			values[text] = other
		}
		values[absent], values[""] = usual, false
		return values
	}
	tables["testing"] = keyTable{func(section map[string]string) (any, error) {
		options, err := firewallOf(t, section)
		return options.Testing, err
	}, loosely(false, true)}
	tables["report_disk_usage"] = keyTable{ofCollect(t, "collect", func(s map[string]any) any { return s["measure"] }), loosely(true, false)}
	return tables
}

// ofCollect reads one of the settings of node collect, with keys written into a
// section.
func ofCollect(t *testing.T, name string, read func(settings map[string]any) any) func(map[string]string) (any, error) {
	return func(section map[string]string) (any, error) {
		sections := map[string]map[string]string{
			"slapos":     {"computer_id": "COMP-1", "instance_root": "/srv"},
			"slapformat": {"partition_amount": "2", "partition_base_name": "part", "user_base_name": "user"},
			"collect":    {},
		}
		for key, value := range section {
			sections[name][key] = value
		}
		e, _, _ := newTestEnvironment(t)
		settings, err := e.collectSettings(configurationOf(t, sections))
		if err != nil {
			return nil, err
		}
		return read(map[string]any{"keep": settings.KeepDays, "cycle": settings.Folders.Cycle, "measure": settings.Folders.Measure}), nil
	}
}

// configurationOf is a file with these sections.
func configurationOf(t *testing.T, sections map[string]map[string]string) *pytext.Configuration {
	t.Helper()
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(sections)) {
		fmt.Fprintf(&text, "[%s]\n", name)
		for key, value := range sections[name] {
			fmt.Fprintf(&text, "%s = %s\n", key, strings.NewReplacer("%", "%%", "\n", "\n ").Replace(value))
		}
	}
	file, err := pytext.ParseConfiguration("slapos.cfg", []byte(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func firewallOf(t *testing.T, section map[string]string) (firewall.Options, error) {
	t.Helper()
	var options gridOptions
	err := fillFirewall(nil, configurationOf(t, map[string]map[string]string{"firewall": section}), &options)
	return *options.Instance.Firewall, err
}

// Every key that is more than a text, with every kind of value: what is written
// arrives, a default stands for an absent key only, and what can't be is told
// with its key. CLI-24, D-26.
// GRID-4, GRID-5, FMT-6, FMT-11, COL-6.
func TestKeys(t *testing.T) {
	tables := keyTables(t)
	for _, rule := range keyRules {
		table, found := tables[rule.name]
		if !found {
			t.Errorf("%s has a rule, and no row here", rule.name)
			continue
		}
		delete(tables, rule.name)
		texts := slices.Concat(oddNumbers, []string{"maybe", "2 ", "y", "truely"})
		want := table.values
		if rule.kind == truthKind || rule.kind == looseKind {
			want = map[string]any{}
			for text, value := range table.values {
				want[text] = value
			}
			for text, value := range truths {
				want[text] = value
			}
		} else {
			texts = oddNumbers
		}
		for text := range want {
			if !slices.Contains(texts, text) {
				texts = append(texts, text)
			}
		}
		for _, text := range texts {
			section := map[string]string{rule.name: text}
			if text == absent {
				section = map[string]string{}
			}
			value, expected := want[text]
			got, err := table.read(section)
			switch {
			case expected && err != nil:
				t.Errorf("%s = %q: %v", rule.name, text, err)
			case expected && got != value:
				t.Errorf("%s = %q: %v (%[3]T), want %v (%[4]T)", rule.name, text, got, value)
			case !expected && err == nil:
				t.Errorf("%s = %q: %v, want an error", rule.name, text, got)
			case !expected && !strings.Contains(err.Error(), rule.name):
				t.Errorf("%s = %q: the error does not name the key: %v", rule.name, text, err)
			}
		}
	}
	for name := range tables {
		t.Errorf("%s has a row, and no rule", name)
	}
}

// A key that can't be read is told by the command with its file and its section.
func TestKeyPlaces(t *testing.T) {
	commands := map[string][]string{
		"slapos":     {"node", "instance", "--now"},
		"slapformat": {"node", "format", "--dry_run"},
		"slapproxy":  {"proxy", "start"},
		"collect":    {"node", "collect", "--show"},

		"networkcache": {"node", "software"},
	}
	special := map[string][]string{"collect_cache": commands["collect"], "maximal_delay": {"node", "report"}}
	for _, rule := range keyRules {
		if strings.HasPrefix(rule.name, "agent_") {
			special[rule.name] = []string{"node", "agent"}
		}
	}
	more := map[string][][]string{
		"root_check":                          {{"node", "format"}, {"node", "boot"}, {"node", "bang"}, {"node", "prune"}, {"node", "promise"}, {"node", "promise", "--stored"}, {"node", "status"}},
		"forbid_supervisord_automatic_launch": {{"node", "software"}},
		"master_insecure":                     {{"node", "bang"}, {"service", "list"}, {"proxy", "start"}},
		"partition_amount":                    {{"node", "collect", "--show"}, {"node", "format", "--dry_run"}},
	}
	for _, rule := range keyRules {
		if rule.kind == looseKind {
			continue
		}
		lines := append([][]string{commands[rule.section]}, more[rule.name]...)
		if words := special[rule.name]; words != nil {
			lines = [][]string{words}
		}
		for _, words := range lines {
			n := newNodeTest(t)
			sections := map[string]map[string]string{
				"slapos": {"computer_id": "COMP-1", "master_url": "http://127.0.0.1:1", "instance_root": n.directory, "software_root": n.directory,
					"shared_part_list": n.directory, "root_check": "false", "forbid_supervisord_automatic_launch": "true", "pidfile": n.directory + "/pid"},
				"slapformat": {"partition_amount": "1", "partition_base_name": "part", "user_base_name": "user", "computer_xml": n.directory + "/x.xml", "create_tap": "false"},
				"slapproxy": {"port": "0", "database_uri": n.directory + "/proxy.db", "shacache_content_directory": n.directory + "/c",
					"shacache_metadata_directory": n.directory + "/m"},
				"collect":      {},
				"networkcache": {},
			}
			sections[rule.section][rule.name] = "-7.x"
			var text strings.Builder
			for name, section := range sections {
				fmt.Fprintf(&text, "[%s]\n", name)
				for key, value := range section {
					fmt.Fprintf(&text, "%s = %s\n", key, value)
				}
			}
			path := n.configuration(text.String())
			code := n.run(append(words, "--cfg", path)...)
			told := n.stderr.String()
			line := told
			for _, candidate := range strings.Split(told, "\n") {
				if strings.Contains(candidate, rule.name) {
					line = candidate
				}
			}
			for _, word := range []string{path, "[" + rule.section + "]", rule.name, "-7.x"} {
				if code != 1 || !strings.Contains(line, word) {
					t.Errorf("%s with %s: exit code %d, and no %q in\n%s", strings.Join(words, " "), rule.name, code, word, told)
				}
			}
		}
	}
}

// The texts of section [firewall]: empty ones stay empty, as for the original.
func TestFirewallTexts(t *testing.T) {
	usual, err := firewallOf(t, map[string]string{})
	want := firewall.Options{
		Command: "firewall-cmd", ReloadCommand: "slapos node restart firewall", LogFile: "/var/log/firewall.log", DBusLogFile: "/var/log/dbus.log",
	}
	if err != nil || !reflect.DeepEqual(usual, want) {
		t.Errorf("absent: %+v %v", usual, err)
	}
	keys := map[string]string{"Command": "firewall_cmd", "ReloadCommand": "reload_config_cmd", "Executable": "firewall_executable",
		"DBusExecutable": "dbus_executable", "LogFile": "log_file", "DBusLogFile": "dbus_log_file"}
	fields := reflect.TypeFor[firewall.Options]()
	for i := range fields.NumField() {
		field := fields.Field(i)
		if field.Type.Kind() != reflect.String {
			continue
		}
		key := keys[field.Name]
		if key == "" {
			t.Fatalf("%s has no row here", field.Name)
		}
		for _, text := range []string{"", "0", "x y"} {
			options, err := firewallOf(t, map[string]string{key: text})
			if got := reflect.ValueOf(options).Field(i).String(); err != nil || got != text {
				t.Errorf("%s = %q: %q %v", key, text, got, err)
			}
		}
	}
	for _, command := range []string{"instance", "report"} {
		n := newNodeTest(t)
		path := n.configuration("[slapos]\ncomputer_id = C\nmaster_url = http://127.0.0.1:1\ninstance_root = DIRECTORY\nsoftware_root = DIRECTORY\n" +
			"root_check = false\npidfile = DIRECTORY/pid\n[firewall]\nfirewall_cmd =\n")
		if code := n.run("node", command, "--cfg", path); code != 1 || !strings.Contains(n.stderr.String(), path+": section [firewall], key firewall_cmd must be a program, not \"\": without the key, it is firewall-cmd") {
			t.Errorf("node %s: %d %s", command, code, n.stderr.String())
		}
	}
}

// Texts whose absence has a default, and whose empty form is something else.
func TestEmptyTexts(t *testing.T) {
	var run format.Options
	if err := fillFormatOptions(map[string]string{}, &run); err != nil || run.SoftwareUser != "slapsoft" || run.PartitionBaseName != "None" || len(run.PublicAddressServices) == 0 {
		t.Errorf("absent: %+v %v", run.Definition, err)
	}
	if err := fillFormatOptions(map[string]string{"partition_base_name": "", "public_ipv4_service_list": ""}, &run); err != nil || run.PartitionBaseName != "" || len(run.PublicAddressServices) != 0 {
		t.Errorf("empty: %+v %v", run.Definition, err)
	}
	if err := fillFormatOptions(map[string]string{"software_user": ""}, &run); err == nil || !strings.Contains(err.Error(), "software_user must be the name of a user") {
		t.Error(err)
	}
	e, _, _ := newTestEnvironment(t)
	for _, test := range []struct {
		options map[string]string
		want    string
	}{
		{map[string]string{}, ""},
		{map[string]string{"signature_private_key_file": "/b"}, "/b"},
		{map[string]string{"signature_private_key_file": "/b", "signature-private-key-file": "/a"}, "/a"},
		{map[string]string{"signature_private_key_file": "/b", "signature-private-key-file": ""}, ""},
	} {
		if got, passphrase := e.signatureKeyFile(test.options); got != test.want || passphrase != "" {
			t.Errorf("%v: %q, want %q", test.options, got, test.want)
		}
	}
	for text, want := range map[string]string{absent: "/srv/var/run", "": ".", "/x/": "/x"} {
		own := map[string]string{"disk_snapshot_process_pid_foder": text}
		if text == absent {
			own = nil
		}
		if folders, err := folderSettings(own, "/srv"); err != nil || folders.PIDDirectory != want {
			t.Errorf("disk_snapshot_process_pid_foder = %q: %q %v", text, folders.PIDDirectory, err)
		}
	}
}

// Numbers of users are read by the functions of values.go alone, so that each
// key has its rule and its row above.
func TestNumbersAreReadInOnePlace(t *testing.T) {
	readers := map[string]string{ // of what is no key and no option
		"values.go": "strconv.ParseFloat time.ParseDuration", "node_collect.go": "time.ParseDuration",
		"help.go": "strconv.Atoi", "main.go": "strconv.Atoi",
	}
	names, err := fs.Glob(os.DirFS("."), "*.go")
	if err != nil || len(names) < 50 {
		t.Fatal(len(names), err)
	}
	found := 0
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := goparser.ParseFile(token.NewFileSet(), filepath.Join(".", name), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(node ast.Node) bool {
			selected, ok := node.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			room, _ := selected.X.(*ast.Ident)
			if room == nil || !slices.Contains([]string{"strconv.Atoi", "strconv.ParseInt", "strconv.ParseUint", "strconv.ParseFloat", "strconv.ParseBool", "time.ParseDuration"}, room.Name+"."+selected.Sel.Name) {
				return true
			}
			found++
			if !strings.Contains(readers[name], selected.Sel.Name) {
				t.Errorf("%s calls %s.%s: read keys and options by values.go", name, room.Name, selected.Sel.Name)
			}
			return true
		})
	}
	if found < 5 {
		t.Errorf("only %d calls were found", found)
	}
}
