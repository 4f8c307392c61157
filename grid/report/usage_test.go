// SPDX-License-Identifier: GPL-3.0-or-later

package report

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"slapos/grid/pass"
	"slapos/grid/testenv"
	"slapos/slap"
	"slapos/slap/confined"
	"slapos/slap/testkit"
)

// A reportTest is a node with partitions owned by an ordinary user.
type reportTest struct {
	*testenv.Master
	t       *testing.T
	root    string // instance root
	options Options
	log     lockedBuffer
}

// A lockedBuffer takes the logs of several partitions at once.
type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(text []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(text)
}

func newReportTest(t *testing.T) *reportTest {
	t.Parallel()
	r := &reportTest{Master: testenv.NewMaster(t), t: t, root: filepath.Join(testenv.Directory(t), "instance")}
	if err := os.Mkdir(r.root, 0o755); err != nil {
		t.Fatal(err)
	}
	r.options.Node = pass.Node{
		ComputerID: testenv.Computer, MasterURL: r.URL, Master: r.Client,
		InstanceRoot: r.root, SoftwareRoot: filepath.Join(filepath.Dir(r.root), "software"),
		Environment: []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=/nonexistent"},
		Logger:      slog.New(slog.NewTextHandler(&r.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	return r
}

// partition makes the directory of partition slappart<n>, with files owned by
// its user, and adds it to the master's list.
func (r *reportTest) partition(n int, state slap.State, files map[string]string) string {
	r.t.Helper()
	name := fmt.Sprint("slappart", n)
	directory := filepath.Join(r.root, name)
	if err := os.Mkdir(directory, 0o750); err != nil {
		r.t.Fatal(err)
	}
	for path, content := range files {
		path = filepath.Join(directory, path)
		testkit.WriteFile(r.t, path, content)
		if strings.HasPrefix(content, "#!") {
			os.Chmod(path, 0o755)
		}
	}
	r.handOver(directory)
	r.list(n, state)
	return directory
}

// list adds a partition to the master's list.
func (r *reportTest) list(n int, state slap.State) {
	name := fmt.Sprint("slappart", n)
	r.Wanted.Partitions = append(r.Wanted.Partitions, &slap.Partition{
		Computer: testenv.Computer, Reference: name, RequestedState: state, NeedModification: true,
		SoftwareRelease: &slap.SoftwareRelease{URL: "http://example.com/software.cfg", Computer: testenv.Computer},
		Parameters:      slap.Dict{}, ConnectionParameters: slap.Dict{},
	})
}

// handOver gives a tree to the partitions' user.
func (r *reportTest) handOver(directory string) {
	r.t.Helper()
	err := filepath.WalkDir(directory, func(path string, _ os.DirEntry, err error) error {
		if err == nil {
			testkit.HandOver(r.t, path)
		}
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

// open makes a report and opens the master's partitions, in order.
func (r *reportTest) open() *report {
	r.t.Helper()
	opened := newReport(r.options)
	for _, wanted := range r.Wanted.Partitions {
		p, err := opened.opener().Open(wanted, opened.node.Logger)
		if err != nil {
			r.t.Fatal(err)
		}
		r.t.Cleanup(p.Close)
		opened.partitions = append(opened.partitions, opened.newPartition(p))
	}
	return opened
}

// usageOf returns a valid report of one movement.
func usageOf(resource string) string {
	return "<consumption><movement><resource>" + resource + "</resource><title/><reference>x</reference>" +
		"<quantity>1</quantity><price>0</price><VAT/></movement></consumption>"
}

func TestRunReportScripts(t *testing.T) {
	r := newReportTest(t)
	directory := r.partition(0, slap.StateStarted, map[string]string{
		"etc/report/20-second": "#!/bin/sh\necho \"$PWD $(id -u) $# $HOME ${TMPDIR-none} $PYTHONNOUSERSITE\" >$1; echo told; read x || echo end of input\n",
		"etc/report/10-first":  "#!/bin/sh\nexit 3\n",
		"etc/report/30-third":  "not a program",
		"etc/report/dir/x":     "",
		"var/xml_report/old":   "",
	})
	os.Symlink("/nonexistent", filepath.Join(directory, "etc/report/40-link"))
	p := r.open().partitions[0]
	err := p.runReportScripts(context.Background())
	want := "Script '10-first' failed.\nScript '30-third' failed.\nScript '40-link' failed."
	if err == nil || err.Error() != want {
		t.Errorf("error is %v", err)
	}
	written, _ := filepath.Glob(filepath.Join(directory, "var/xml_report/slapreport.*"))
	if len(written) != 1 {
		t.Fatalf("written: %v", written)
	}
	user, err := p.Owner()
	if err != nil {
		t.Fatal(err)
	}
	got := testkit.ReadFile(t, written[0])
	if want := fmt.Sprintf("%s/etc/report %d 1 %s none true\n", directory, testkit.User(), user.Home); got != want {
		t.Errorf("the script saw %q, want %q", got, want)
	}
	if text := r.log.String(); !strings.Contains(text, "msg=told") || !strings.Contains(text, "end of input") {
		t.Errorf("log: %s", text)
	}
}

func TestRunReportScriptsNone(t *testing.T) {
	r := newReportTest(t)
	r.partition(0, slap.StateStarted, nil)
	directory := r.partition(1, slap.StateStarted, map[string]string{"etc/x": ""})
	if err := unix.Mkfifo(filepath.Join(directory, "etc/report"), 0o666); err != nil {
		t.Fatal(err)
	}
	directory = r.partition(2, slap.StateStarted, map[string]string{"etc/x": ""})
	proof := filepath.Join(filepath.Dir(r.root), "proof")
	testkit.WriteFile(t, filepath.Join(filepath.Dir(r.root), "scripts", "script"), "#!/bin/sh\necho >"+proof+"\n")
	os.Chmod(filepath.Join(filepath.Dir(r.root), "scripts", "script"), 0o755)
	os.Symlink("../../../scripts", filepath.Join(directory, "etc/report"))
	partitions := r.open().partitions
	for i, wantError := range []bool{false, false, true} {
		if err := partitions[i].runReportScripts(context.Background()); (err != nil) != wantError {
			t.Errorf("partition %d: %v", i, err)
		}
	}
	testkit.MustNotExist(t, proof)
}

func TestCollectUsage(t *testing.T) {
	r := newReportTest(t)
	directory := r.partition(0, slap.StateStarted, map[string]string{
		"var/xml_report/valid": usageOf("own"), "var/xml_report/invalid": "<consumption/>", "var/xml_report/empty": "",
		"var/xml_report/directory/valid": usageOf("below"),
	})
	testkit.WriteFile(t, filepath.Join(r.root, usageDirectory, "slappart0", "valid"), usageOf("shared"))
	outside := testkit.WriteFile(t, filepath.Join(filepath.Dir(r.root), "outside"), usageOf("outside"))
	reports := filepath.Join(directory, "var/xml_report")
	os.Symlink(outside, filepath.Join(reports, "link"))
	os.Symlink("/dev/zero", filepath.Join(reports, "zero"))
	os.Symlink("invalid", filepath.Join(reports, "own-link"))
	if err := unix.Mkfifo(filepath.Join(reports, "fifo"), 0o666); err != nil {
		t.Fatal(err)
	}
	large, _ := os.Create(filepath.Join(reports, "large"))
	large.Truncate(1 << 40)
	large.Close()
	before, _ := os.ReadDir(reports)

	opened := r.open()
	shared, err := opened.openSharedUsage()
	if err != nil {
		t.Fatal(err)
	}
	defer shared.Close()
	u := &opened.partitions[0].usage
	if err := u.collect(shared); err != nil {
		t.Fatal(err)
	}
	var resources []string
	for _, movement := range u.movements {
		resources = append(resources, movement[0].text)
	}
	if !slices.Equal(resources, []string{"own", "shared"}) {
		t.Errorf("collected %v", resources)
	}
	if err := opened.sendUsage(context.Background(), []*collectedUsage{u}); err != nil {
		t.Error(err)
	}
	call := r.Expect(t, "useComputer")[0]
	if report := call.Form.Get("use_string"); strings.Count(report, "<reference>slappart0</reference>") != 2 || call.Form.Get("computer_id") != testenv.Computer {
		t.Errorf("report is %s", report)
	}
	after, _ := os.ReadDir(reports)
	if len(after) != len(before)-1 {
		t.Errorf("left: %v", after)
	}
	testkit.MustNotExist(t, filepath.Join(reports, "valid"))
	testkit.MustNotExist(t, filepath.Join(r.root, usageDirectory, "slappart0", "valid"))
	testkit.MustExist(t, outside)
}

// TestCollectUsageElsewhere has a link in place of the whole directory of reports.
func TestCollectUsageElsewhere(t *testing.T) {
	r := newReportTest(t)
	outside := testkit.WriteFile(t, filepath.Join(filepath.Dir(r.root), "outside", "xml_report", "valid"), usageOf("outside"))
	for i, target := range []string{filepath.Join(filepath.Dir(r.root), "outside"), "../../outside"} {
		directory := r.partition(i, slap.StateStarted, nil)
		os.Symlink(target, filepath.Join(directory, "var"))
	}
	directory := r.partition(2, slap.StateStarted, map[string]string{"var/x": ""})
	if err := unix.Mkfifo(filepath.Join(directory, "var/xml_report"), 0o666); err != nil {
		t.Fatal(err)
	}
	for i, p := range r.open().partitions {
		u := &p.usage
		if err := u.collect(nil); (err == nil) != (i == 2) || len(u.files) > 0 {
			t.Errorf("partition %d: %v, %v", i, u.files, err)
		}
	}
	testkit.MustExist(t, outside)
}

func TestCollectUsageBounded(t *testing.T) {
	r := newReportTest(t)
	padding := strings.Repeat(" ", confined.MaxFile-len(usageOf("x")))
	files := map[string]string{}
	for i := range 6 {
		files[fmt.Sprint("var/xml_report/", i)] = usageOf("x") + padding
	}
	r.partition(0, slap.StateStarted, files)
	opened := r.open()
	for _, want := range []int{4, 2} {
		u := &collectedUsage{partition: opened.partitions[0].Partition}
		if err := u.collect(nil); err != nil || len(u.movements) != want {
			t.Errorf("collected %d, %v", len(u.movements), err)
		}
		if err := opened.sendUsage(context.Background(), []*collectedUsage{u}); err != nil {
			t.Error(err)
		}
	}
}

func TestSendUsageFailures(t *testing.T) {
	collect := func(r *reportTest) (*report, []*collectedUsage) {
		opened := r.open()
		var collected []*collectedUsage
		for _, p := range opened.partitions {
			if err := p.usage.collect(nil); err != nil {
				t.Fatal(err)
			}
			collected = append(collected, &p.usage)
		}
		return opened, collected
	}
	setup := func(t *testing.T) *reportTest {
		r := newReportTest(t)
		for i := range 3 {
			r.partition(i, slap.StateStarted, map[string]string{"var/xml_report/r": usageOf(fmt.Sprint("resource", i))})
		}
		r.partition(3, slap.StateStarted, nil)
		return r
	}
	left := func(r *reportTest) int {
		found, _ := filepath.Glob(filepath.Join(r.root, "*/var/xml_report/r"))
		return len(found)
	}
	t.Run("server error", func(t *testing.T) {
		r := setup(t)
		r.Set(func() { r.Status["useComputer"] = http.StatusServiceUnavailable })
		opened, collected := collect(r)
		if err := opened.sendUsage(context.Background(), collected); !errors.Is(err, slap.ErrServer) {
			t.Error(err)
		}
		for i, u := range collected {
			if u.unsent != (i < 3) {
				t.Errorf("partition %d: unsent %v", i, u.unsent)
			}
		}
		r.Set(func() { r.Status["useComputer"] = 0 })
		opened, collected = collect(r)
		if err := opened.sendUsage(context.Background(), collected); err != nil || left(r) != 0 {
			t.Errorf("the next run: %v, %d files left", err, left(r))
		}
	})
	t.Run("one is refused", func(t *testing.T) {
		r := setup(t)
		r.Set(func() {
			r.Refuse = func(call testenv.Call) int {
				if strings.Contains(call.Form.Get("use_string"), "resource1") {
					return http.StatusBadRequest
				}
				return 0
			}
		})
		opened, collected := collect(r)
		if err := opened.sendUsage(context.Background(), collected); err != nil || left(r) != 1 {
			t.Errorf("error %v, %d files left", err, left(r))
		}
		for i, u := range collected {
			if u.unsent || (u.refused != nil) != (i == 1) {
				t.Errorf("partition %d: unsent %v, refused %v", i, u.unsent, u.refused)
			}
		}
		r.Expect(t, "useComputer", "useComputer", "useComputer", "useComputer")
	})
}

func TestSendComputerUsage(t *testing.T) {
	r := newReportTest(t)
	valid := aggregateUsage("anything", []partitionUsage{{"p", []usageMovement{{
		{"resource", "r"}, {"quantity", "1"}, {"price", "2"}, {"VAT", ""}}}}}, time.Now())
	reports := filepath.Join(r.root, usageDirectory, testenv.Computer)
	for name, content := range map[string]string{"1": valid, "2": usageOf("x"), "3": "", "4": valid} {
		testkit.WriteFile(t, filepath.Join(reports, name), content)
	}
	opened := newReport(r.options)
	shared, err := opened.openSharedUsage()
	if err != nil {
		t.Fatal(err)
	}
	defer shared.Close()
	r.Set(func() { r.Status["useComputer"] = http.StatusServiceUnavailable })
	if err := opened.sendComputerUsage(context.Background(), shared); !errors.Is(err, slap.ErrServer) {
		t.Error(err)
	}
	testkit.MustExist(t, filepath.Join(reports, "1"))
	r.Take()
	r.Set(func() { r.Status["useComputer"] = 0 })
	if err := opened.sendComputerUsage(context.Background(), shared); err != nil {
		t.Error(err)
	}
	calls := r.Expect(t, "useComputer", "useComputer")
	if calls[0].Form.Get("use_string") != valid {
		t.Errorf("sent %s", calls[0].Form)
	}
	entries, _ := os.ReadDir(reports)
	if len(entries) != 2 || entries[0].Name() != "2" || entries[1].Name() != "3" {
		t.Errorf("left: %v", entries)
	}
}
