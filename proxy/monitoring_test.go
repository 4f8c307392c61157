// SPDX-License-Identifier: GPL-3.0-or-later

package proxy_test

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.yaml.in/yaml/v3"

	"slapos/proxy"
	"slapos/proxy/store"
	"slapos/slap"
	"slapos/slap/testkit"
)

const monitoring = "../docs/monitoring"

// metricsOf are the lines of /metrics of a master in which everything happened that
// makes a metric appear.
func metricsOf(t *testing.T) string {
	t.Helper()
	r := newReceiver(t)
	l := newLab(t, proxy.Options{})
	sender := l.sends(io.Discard, r.URL)
	l.server.Config.Handler = proxy.New(proxy.Options{Store: l.Store, Computer: "local_computer", Collectors: []prometheus.Collector{sender}})
	l.load(2)
	l.request("one")
	l.post("/softwareReleaseError", "url", "nothing", "computer_id", "nobody", "error_log", "x")
	l.get("/getFullComputerInformation?computer_id=local_computer")
	l.ready(sender, 1)
	l.supplies(0, 3)
	l.expectEvents(r, 3)
	return l.get("/metrics").body
}

// expectEvents waits for a number of events.
func (l *lab) expectEvents(r *receiver, events int) {
	l.Helper()
	testkit.Eventually(l.T, testkit.Patience, "events arrive", func() bool { return len(r.got()) >= events })
}

var (
	metricName = regexp.MustCompile(`slapos_[a-z_]+`)
	metricUse  = regexp.MustCompile(`(slapos_[a-z_]+)\{([^}]*)\}`)
	labelUse   = regexp.MustCompile(`([a-z_]+)(=~?)"([^"]*)"`)
)

// checkQuery compares a query with the metrics that exist, and with the values of
// their labels that are known.
func checkQuery(t *testing.T, where, query, text string) {
	t.Helper()
	for _, name := range metricName.FindAllString(query, -1) {
		if !strings.Contains(text, "\n"+name+" ") && !strings.Contains(text, "\n"+name+"{") {
			t.Errorf("%s: there is no metric %s", where, name)
		}
	}
	for _, use := range metricUse.FindAllStringSubmatch(query, -1) {
		for _, label := range labelUse.FindAllStringSubmatch(use[2], -1) {
			if label[1] == "instance" || label[1] == "job" {
				continue // Prometheus adds them
			}
			if !strings.Contains(text, label[1]+`="`) {
				t.Errorf("%s: there is no label %s", where, label[1])
			}
			if label[1] != "condition" {
				continue
			}
			for _, value := range strings.Split(label[3], "|") {
				if !regexp.MustCompile(`\n` + use[1] + `\{condition="` + value + `"\}`).MatchString(text) {
					t.Errorf("%s: %s has no condition %s", where, use[1], value)
				}
			}
		}
	}
}

// TestAlerts compares the alerts with the metrics, and has promtool check and try them
// if there is one.
func TestAlerts(t *testing.T) {
	text := metricsOf(t)
	source, err := os.ReadFile(filepath.Join(monitoring, "alerts.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var rules struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	if err := yaml.Unmarshal(source, &rules); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			names = append(names, rule.Alert)
			if rule.Expr == "" || rule.Labels["severity"] == "" || rule.Annotations["summary"] == "" || rule.Annotations["description"] == "" {
				t.Errorf("%+v", rule)
			}
			checkQuery(t, rule.Alert, rule.Expr, text)
		}
	}
	if slices.Sort(names); len(names) < 8 || len(slices.Compact(slices.Clone(names))) != len(names) {
		t.Errorf("alerts %v", names)
	}
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		promtool, _ = filepath.Abs("../var/bin/promtool")
	}
	if _, err := os.Stat(promtool); err != nil {
		t.Skip("no promtool in PATH or var/bin: Debian has it in package prometheus")
	}
	for _, words := range [][]string{{"check", "rules", "alerts.yml"}, {"test", "rules", "alerts_test.yml"}} {
		command := exec.Command(promtool, words...)
		command.Dir = monitoring
		if out, err := command.CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", words, err, out)
		}
	}
}

// TestDashboard compares the queries of the dashboard with the metrics.
func TestDashboard(t *testing.T) {
	text := metricsOf(t)
	source, err := os.ReadFile(filepath.Join(monitoring, "dashboard.json"))
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(source, &dashboard); err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for _, panel := range dashboard.Panels {
		if len(panel.Targets) == 0 {
			t.Errorf("%s shows nothing", panel.Title)
		}
		for _, target := range panel.Targets {
			checkQuery(t, panel.Title, target.Expr, text)
			for _, name := range metricName.FindAllString(target.Expr, -1) {
				used[name] = true
			}
		}
	}
	for line := range strings.Lines(text) {
		name, found := strings.CutPrefix(line, "# TYPE ")
		if name, _, _ = strings.Cut(name, " "); found && strings.HasPrefix(name, "slapos_") && !used[name] && !used[name+"_bucket"] && name != "slapos_proxy_waiting_requests" {
			t.Errorf("no panel shows %s", name)
		}
	}
}

// TestEventCounts counts each kind of event from 0.
func TestEventCounts(t *testing.T) {
	l := newLab(t, proxy.Options{})
	l.load(1)
	if err := l.Supply(t.Context(), store.Software{URL: "u", Computer: "local_computer", State: slap.StateAvailable}); err != nil {
		t.Fatal(err)
	}
	text := l.get("/metrics").body
	for _, line := range []string{`slapos_proxy_events_total{event="formatted"} 1`, `slapos_proxy_events_total{event="supplied"} 1`, `slapos_proxy_events_total{event="bang"} 0`} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("no %s", line)
		}
	}
}
