// SPDX-License-Identifier: GPL-3.0-or-later

package promise

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"slapos/slap/testkit"
)

// longTestEnvironment is the folder that testdata/environments.sh makes, named
// by "make promise-toolbox"; empty in "make test".
func longTestEnvironment(t *testing.T) string {
	t.Helper()
	folder := os.Getenv("PROMISE_TEST_ENV")
	if folder == "" {
		return ""
	}
	folder, err := filepath.EvalSymlinks(folder)
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

// toolboxPromise is a plugin of slapos.toolbox with parameters. In these, CPDIR
// is the partition, URL a web server, and PORT its port.
type toolboxPromise struct{ plugin, parameters string }

var toolboxPromises = []toolboxPromise{
	{plugin: "audit_os_version", parameters: `{'dist': 'No Such Linux', 'versions': '1 2'}`},
	{plugin: "audit_os_version", parameters: `{'dist': __import__('distro').name(), 'versions': __import__('distro').version()}`},
	{plugin: "backupserver_check_backup", parameters: `{'script_fullpath': 'CPDIR/script', 'status_fullpath': 'CPDIR/none', 'cron_frequency': '0 0 1 1 *', 'monitor_url': 'URL', 'status_dirbasename': 'a', 'status_name': 'b', 'statistic_dirbasename': 'c', 'statistic_name': 'd'}`},
	{plugin: "backupserver_check_backup", parameters: `{'script_fullpath': 'CPDIR/script', 'status_fullpath': 'CPDIR/backup', 'cron_frequency': '0 0 1 1 *', 'monitor_url': 'URL', 'status_dirbasename': 'a', 'status_name': 'b', 'statistic_dirbasename': 'c', 'statistic_name': 'd'}`},
	{plugin: "check_amarisoft_stats_log", parameters: `{'amarisoft-stats-log': 'CPDIR/amarisoft.json.log', 'stats-period': '5000'}`},
	{plugin: "check_baseband_latency", parameters: `{'amarisoft-stats-log': 'CPDIR/amarisoft.json.log', 'stats-period': '5000', 'min-rxtx-delay': '7'}`},
	{plugin: "check_certificate", parameters: `{'certificate': 'CPDIR/none.pem', 'key': 'CPDIR/none.key'}`},
	{plugin: "check_command_execute", parameters: `{'command': 'echo good'}`},
	{plugin: "check_command_execute", parameters: `{'command': 'echo bad; exit 3', 'result_count': '3', 'failure_amount': '2'}`},
	{plugin: "check_core_network", parameters: `{'amarisoft-stats-log': 'CPDIR/amarisoft.json.log', 'stats-period': '5000', 'mme-list': ['10.0.0.1'], 'amf-list': ['10.0.0.2']}`},
	{plugin: "check_cpri_lock", parameters: `{'amarisoft-stats-log': 'CPDIR/amarisoft.json.log', 'stats-period': '5000', 'sdr_dev': '0', 'sfp_port': '1'}`},
	{plugin: "check_cpu_temperature", parameters: `{'avg-flag-file': 'CPDIR/avg-temperature'}`},
	{plugin: "check_error_on_http_log", parameters: `{'log-file': 'CPDIR/http.log'}`},
	{plugin: "check_error_on_zope_longrequest_log", parameters: `{'log-file': 'CPDIR/zope.log', 'error-threshold': 1, 'maximum-delay': 0}`},
	{plugin: "check_file_state", parameters: `{'filename': 'CPDIR/script', 'state': 'absent'}`},
	{plugin: "check_file_state", parameters: `{'filename': 'CPDIR/script', 'state': 'not-empty', 'report-anomaly': 'false'}`},
	{plugin: "check_file_state", parameters: `{'filename': 'CPDIR/script', 'state': 'empty', 'result-count': '1', 'failure-amount': '3'}`},
	{plugin: "check_free_disk_space", parameters: `{'collectordb': 'CPDIR/none.db'}`},
	{plugin: "check_frequency_outofbounds", parameters: `{'frequency': '2600', 'range-rating': '2500 MHz - 2570 MHz'}`},
	{plugin: "check_gps_lock", parameters: `{'amarisoft-stats-log': 'CPDIR/amarisoft.json.log', 'stats-period': '5000'}`},
	{plugin: "check_interface_up", parameters: `{'ifname': 'no-such'}`},
	{plugin: "check_neo_health", parameters: `{'neoctl': 'CPDIR/neoctl', 'expected-state': 'RUNNING'}`},
	{plugin: "check_network_errors_packets", parameters: `{}`},
	{plugin: "check_network_transit", parameters: `{'last-transit-file': 'CPDIR/last-transit', 'min-data-amount': '-1'}`},
	{plugin: "check_oru_config_log", parameters: `{'config-log': 'CPDIR/config.log'}`},
	{plugin: "check_oru_lof", parameters: `{'netconf-log': 'CPDIR/netconf.log'}`},
	{plugin: "check_oru_stats_log", parameters: `{'stats-log': 'CPDIR/config.log'}`},
	{plugin: "check_partition_deployment_state", parameters: `{'monitor-url': 'URL'}`},
	{plugin: "check_ram_usage", parameters: `{'last-avg-ram-file': 'CPDIR/last-ram'}`},
	{plugin: "check_rx_saturated", parameters: `{'amarisoft-stats-log': 'CPDIR/amarisoft.json.log', 'stats-period': '5000', 'rf-rx-chan-list': '[0]', 'max-rx-sample-db': '-5'}`},
	{plugin: "check_sdr_busy", parameters: `{'sdr': 'CPDIR', 'sdr_dev': '0', 'dma_chan': '1'}`},
	{plugin: "check_server_cpu_load", parameters: `{'cpu-load-threshold': 'much'}`},
	{plugin: "check_service_state", parameters: `{'service': 'x', 'expect': 'running', 'run-directory': 'CPDIR/none'}`},
	{plugin: "check_socket_listening", parameters: `{'host': '127.0.0.1', 'port': 'PORT'}`},
	{plugin: "check_socket_listening", parameters: `{'host': '127.0.0.1', 'port': '1'}`},
	{plugin: "check_socket_listening", parameters: `{'pathname': 'CPDIR/none.sock'}`},
	{plugin: "check_surykatka_json", parameters: `{'json-file': 'CPDIR/surykatka.json', 'report': 'bot_status'}`},
	{plugin: "check_surykatka_json", parameters: `{'json-file': 'CPDIR/none.json', 'report': 'http_query', 'url': 'URL'}`},
	{plugin: "check_url_available", parameters: `{'url': 'URL/good'}`},
	{plugin: "check_url_available", parameters: `{'url': 'URL/bad', 'http-code': '201'}`},
	{plugin: "check_url_available", parameters: `{'url': 'http://127.0.0.1:1/'}`},
	{plugin: "monitor_bootstrap_status", parameters: `{'process-pid-file': 'CPDIR/none.pid', 'status-file': 'CPDIR/script', 'process-name': 'x'}`},
	{plugin: "monitor_partition_space", parameters: `{'collectordb': 'CPDIR/none.db'}`},
	{plugin: "trafficserver_cache_availability", parameters: `{'wrapper-path': 'CPDIR/traffic_ctl'}`},
	{plugin: "validate_frontend_configuration", parameters: `{'verification-script': 'CPDIR/validate'}`},
}

// Plugins of slapos.toolbox must not notice who runs them: in each run, both
// sides report the same failure, and leave the same files for each promise.
func TestToolbox(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if request.URL.Path != "/good" {
			http.Error(w, "no", http.StatusTeapot)
		}
	}))
	t.Cleanup(server.Close)
	theirs, ours := newToolboxPartition(t, server), newToolboxPartition(t, server)
	steps := episodes
	if longTestEnvironment(t) == "" {
		steps = episodes[:2] // the original is slow
	}
	wanted, got := make([]map[string]string, len(steps)), make([]map[string]string, len(steps))
	failed, good := 0, 0
	for step, mode := range steps {
		if mode == Anomaly && step != 2 {
			theirs.expire()
			ours.expire()
		}
		text, exit := theirs.original(mode)
		report := ours.mustRun(mode)
		if err := fmt.Sprint(report.Err()); exit != 2 || measured.ReplaceAllString(strings.TrimSpace(text), "N") != measured.ReplaceAllString(strings.TrimSpace(err), "N") {
			t.Errorf("run %d: reported %v, want %q (%d)", step, err, text, exit)
		}
		wanted[step], got[step] = theirs.toolboxState(t), ours.toolboxState(t)
		failed += report.Failed
		good += len(report.Promises) - report.Failed
	}
	names := map[string]bool{}
	for i, promise := range toolboxPromises {
		names[promise.plugin] = true
		t.Run(promise.title(i), func(t *testing.T) {
			for step := range steps {
				files := takeFiles(wanted[step], promise.title(i))
				if len(files) < 2 {
					t.Errorf("run %d: the original left %v", step, slices.Collect(maps.Keys(files)))
				}
				compare(t, fmt.Sprintf("run %d", step), files, takeFiles(got[step], promise.title(i)))
			}
		})
	}
	for step := range steps {
		compare(t, fmt.Sprintf("run %d", step), wanted[step], got[step])
	}
	t.Logf("%d plugins, %d promises, %d runs: %d results good, %d failed", len(names), len(toolboxPromises), len(steps), good, failed)
	if len(names) < 20 || failed < len(toolboxPromises)/2 || good < len(toolboxPromises)/2 {
		t.Error("the promises do not show much")
	}
}

// title returns the title of the i-th promise.
func (promise toolboxPromise) title(i int) string {
	return fmt.Sprintf("p%02d_%s", i, promise.plugin)
}

// takeFiles removes the files of a promise from state.
func takeFiles(state map[string]string, title string) map[string]string {
	files := map[string]string{}
	for name, text := range state {
		if strings.HasPrefix(filepath.Base(name), title) {
			files[name] = text
			delete(state, name)
		}
	}
	return files
}

func newToolboxPartition(t *testing.T, server *httptest.Server) *partition {
	t.Helper()
	p := newPartition(t)
	p.fillToolbox()
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	known := strings.NewReplacer("CPDIR", p.options.Directory, "URL", server.URL, "PORT", port)
	for i, promise := range toolboxPromises {
		p.write("etc/plugin/"+promise.title(i)+".py", "import sys\nsys.path[0:0] = []\n"+
			"from slapos.promise.plugin."+promise.plugin+" import RunPromise\nextra_config_dict = "+known.Replace(promise.parameters)+"\n", 0o644)
	}
	p.options.Interpreter, p.python = testPython, testPython
	return p
}

// measured matches what differs between runs at different times: all numbers
// except in names and modes.
var measured = regexp.MustCompile(`\b\d+(\.\d+)?(e[+-]\d+)?\b|0x[0-9a-f]+`)

func (p *partition) toolboxState(t *testing.T) map[string]string {
	t.Helper()
	state := p.state()
	for name, text := range state {
		mode, content, _ := strings.Cut(text, "\n")
		state[name] = mode + "\n" + measured.ReplaceAllString(content, "N")
	}
	return state
}

// fillToolbox makes the files that the promises look at.
func (p *partition) fillToolbox() {
	p.t.Helper()
	now := time.Now()
	entry := fmt.Sprintf(`{"time": "%s", "log_level": "INFO", "message": "Samples stats", "data": {"rf": {"rxtx_delay_min": 5.1},`+
		` "s1_list": [{"address": "10.0.0.1:36412", "state": "setup_done"}], "ng_list": [],`+
		` "samples": {"rx": [{"max": -3.5}]},`+
		` "rf_info": "TRX SDR driver, API v15/18\nPCIe CPRI /dev/sdr0@1:\n  Sync: gps (locked)\n  CPRI_option: 5 [HW]\n"}}`+"\n", now.Format("2006-01-02 15:04:05,000"))
	p.write("amarisoft.json.log", entry+entry, 0o644)
	p.write("script", "text\n", 0o644)
	p.write("backup", now.Format("2006-01-02T15:04:05Z")+", host, x, backup running\n"+now.Format("2006-01-02T15:04:05Z")+", host, x, backup failed\n", 0o644)
	p.write("http.log", now.Format("[Mon Jan 02 15:04:05 2006]")+" [error] (113)No route to host: x\n"+now.Format("[Mon Jan 02 15:04:05 2006]")+" [info] fine\n", 0o644)
	p.write("zope.log", strings.Repeat(now.Format("2006-01-02 15:04:05,000")+" WARNING Products.LongRequestLogger.dumper Thread 1: Started on x\n", 3), 0o644)
	p.write("config.log", "Waiting for notification from x\nSending edit-config RPC request...\nGot exception\n", 0o644)
	p.write("netconf.log", `{"time": "x", "data": {"notification": {"alarm-notif": {"fault-id": "1002", "is-cleared": "false", "affected-objects": {"name": "d\u00e9j\u00e0"}}}}}`+"\n", 0o644)
	p.write("surykatka.json", `{"bot_status": [{"date": "Mon, 01 Jan 2018 00:00:00 -0000", "text": "loop"}]}`, 0o644)
	p.write("neoctl", "#!/bin/sh\necho '# {\"problem\": [\"a\", null], \"warning\": [\"b\"]}'\necho RUNNING\n", 0o755)
	p.write("traffic_ctl", "#!/bin/sh\necho full; exit 1\n", 0o755)
	p.write("validate", "#!/bin/sh\nexit 0\n", 0o755)
	p.write("sdr_util", "#!/bin/sh\necho Device or resource busy; exit 1\n", 0o755)
	for _, name := range []string{"var", "var/log"} {
		if err := unix.Mkdir(p.path(name), 0o755); err != nil {
			p.t.Fatal(err)
		}
	}
	p.write(".slapgrid-slappart0-error.log", "bad\n", 0o644)
}

// Every release of slapos.core that has plugins gives us the same results as
// the original's runner. "make test" tries one with its own launcher and one
// without, in the Python of the test environment.
func TestReleases(t *testing.T) {
	t.Parallel()
	environment := longTestEnvironment(t)
	if environment == "" {
		for _, core := range mustGlob(t, filepath.Dir(filepath.Dir(testPython))+"/core/*") {
			testRelease(t, variant{name: filepath.Base(core), interpreter: barePython, libraries: []string{core, sitePackages},
				without: slices.Clone(broken), modes: episodes[:2]})
		}
		return
	}
	for _, libraries := range mustGlob(t, environment+"/python/*/library") {
		folder := filepath.Dir(libraries)
		for _, core := range mustGlob(t, environment+"/core/*") {
			v := variant{name: filepath.Base(core), interpreter: folder + "/python", libraries: []string{core, libraries}}
			switch {
			case filepath.Base(folder) == "2.7":
				v.without = append(v.without, "unicode.py") // the original can't report it
			case strings.HasPrefix(v.name, "1.4."):
				continue // which needs Python 2
			}
			testRelease(t, v)
		}
	}
}

// testRelease compares the runs of a release, whose version is the variant's
// name, with those of its own runner.
func testRelease(t *testing.T, v variant) {
	if strings.HasPrefix(v.name, "1.1") || len(v.name) == len("1.4.28") && v.name < "1.8" {
		v.without = append(v.without, "own_result.py") // it has no message, at which their launchers end
	}
	t.Run(v.name+" "+filepath.Base(filepath.Dir(v.interpreter)), func(t *testing.T) {
		t.Parallel()
		wanted := liveTheirs(t, v)
		for step, got := range liveOurs(t, v) {
			dropHistory(wanted[step].state)
			dropHistory(got.state)
			compareEpisodes(t, fmt.Sprintf("run %d", step), wanted[step], got)
		}
	})
}

// dropHistory keeps what every release writes, without what Python 2 orders
// differently or leaves out.
func dropHistory(state map[string]string) {
	withoutName := regexp.MustCompile(`(\[Errno \d+\][^:\n]*): 'CPDIR[^']*'`)
	for name, text := range state {
		if !strings.HasPrefix(name, resultFolder+"/") && !strings.HasPrefix(name, logFolder+"/") {
			delete(state, name)
			continue
		}
		mode, content, _ := strings.Cut(text, "\n")
		content = strings.ReplaceAll(content, `"execution-time": S`, `"execution-time": 0`)
		var document map[string]any
		if json.Unmarshal([]byte(content), &document) == nil {
			content = string(must(json.Marshal(document)))
		}
		state[name] = mode + "\n" + withoutName.ReplaceAllString(content, "$1")
	}
}

// The embedded runtime works in every Python; TestSameAsOriginal runs it in the
// test environment's.
func TestRuntimes(t *testing.T) {
	environment := longTestEnvironment(t)
	if environment == "" {
		testkit.Long(t, "PROMISE_TEST_ENV", "promise-toolbox")
	}
	wanted := liveOurs(t, variant{name: "wanted", interpreter: testPython})
	for _, python := range mustGlob(t, environment+"/python/*") {
		t.Run(filepath.Base(python), func(t *testing.T) {
			t.Parallel()
			for step, got := range liveOurs(t, variant{name: python, interpreter: python + "/python"}) {
				compareEpisodes(t, fmt.Sprintf("run %d", step), wanted[step], got)
			}
		})
	}
}

func mustGlob(t *testing.T, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) == 0 {
		t.Fatalf("%s: nothing there, %v", pattern, err)
	}
	return found
}
