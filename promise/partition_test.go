// SPDX-License-Identifier: GPL-3.0-or-later

package promise

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"slapos/promise/process"
	"slapos/slap"
)

// partition is a partition for a test, with its log.
type partition struct {
	t       testing.TB
	options Options
	log     bytes.Buffer
	// libraries are paths that plugins put in front of sys.path.
	libraries []string
	// python runs the original; empty: the test environment's.
	python string
	// without has names of plugins that fill leaves out.
	without []string
}

func newPartition(t testing.TB) *partition {
	t.Helper()
	directory := t.TempDir()
	for top := directory; top != os.TempDir() && top != "/"; top = filepath.Dir(top) {
		if err := os.Chmod(top, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	p := &partition{t: t}
	for _, folder := range []string{"etc", "etc/plugin", "etc/promise"} {
		if err := os.Mkdir(filepath.Join(directory, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	p.options = Options{
		Timeout:   20 * time.Second,
		Directory: directory, PartitionID: "slappart0", ComputerID: "COMP-1", MasterURL: "http://127.0.0.1:9/",
		Interpreter: testPython, Environ: []string{"PATH=/usr/bin:/bin", "LANG=C", "TZ=" + os.Getenv("TZ")},
		Logger: slog.New(slog.NewTextHandler(&p.log, &slog.HandlerOptions{ReplaceAttr: withoutTime})),
	}
	p.give()
	return p
}

func withoutTime(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

// give gives the partition to an ordinary user if the tests run as root.
func (p *partition) give() {
	if os.Geteuid() != 0 {
		return
	}
	err := filepath.WalkDir(p.options.Directory, func(path string, _ fs.DirEntry, err error) error {
		if err == nil {
			err = os.Lchown(path, 1, 1)
		}
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *partition) path(name string) string { return filepath.Join(p.options.Directory, name) }

func (p *partition) write(name, text string, mode fs.FileMode) {
	p.t.Helper()
	if err := os.MkdirAll(filepath.Dir(p.path(name)), 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(p.path(name), []byte(text), mode); err != nil {
		p.t.Fatal(err)
	}
	p.give()
}

func (p *partition) read(name string) string {
	p.t.Helper()
	content, err := os.ReadFile(p.path(name))
	if err != nil {
		p.t.Fatal(err)
	}
	return string(content)
}

func (p *partition) exists(name string) bool {
	_, err := os.Lstat(p.path(name))
	return err == nil
}

// executable writes a promise in etc/promise.
func (p *partition) executable(name, script string) {
	p.t.Helper()
	p.write("etc/promise/"+name, "#!/bin/sh\n"+script+"\n", 0o755)
}

// plugin writes a plugin whose class has the given body.
func (p *partition) plugin(name, body string) {
	p.t.Helper()
	p.write("etc/plugin/"+name, p.pluginText(body), 0o644)
}

func (p *partition) libraryList() string {
	list := ""
	for _, library := range p.libraries {
		list += "\n  '" + library + "',"
	}
	return "[" + list + "]"
}

func (p *partition) pluginText(body string) string {
	lines := strings.Split(strings.TrimSpace(body), "\n")
	return "import sys\nsys.path[0:0] = " + p.libraryList() + "\n" + `
from zope.interface import implementer
from slapos.grid.promise import interface
from slapos.grid.promise.generic import GenericPromise, TestResult, AnomalyResult


@implementer(interface.IPromise)
class RunPromise(GenericPromise):
    ` + strings.Join(lines, "\n    ") + "\n"
}

func (p *partition) run(mode Mode) (Report, error) {
	p.log.Reset()
	p.options.Mode = mode
	return Run(p.t.Context(), p.options)
}

// mustRun fails the test if the promises could not be run.
func (p *partition) mustRun(mode Mode) Report {
	p.t.Helper()
	report, err := p.run(mode)
	if err != nil {
		p.t.Fatalf("%v\n%s", err, p.log.String())
	}
	return report
}

// expire makes all promises due.
func (p *partition) expire() {
	if err := os.RemoveAll(p.path(cacheFolder)); err != nil {
		p.t.Fatal(err)
	}
}

// original runs the promises with slapos.core's own runner.
func (p *partition) original(mode Mode) (text string, exit int) {
	p.t.Helper()
	user, err := ownerOf(openedForTest(p.t, p.options.Directory))
	if err != nil {
		p.t.Fatal(err)
	}
	o := p.options
	command := &process.Command{Path: cmp.Or(p.python, testPython), Dir: o.Directory, User: user, KeepOutput: 1 << 20,
		Env: process.CleanEnvironment(o.Environ, user.Home),
		Args: []string{sitePackages + "/slapos/grid/promise/runpromises.py",
			"--promise-folder", p.path("etc/plugin"), "--legacy-promise-folder", p.path("etc/promise"),
			"--promise-timeout", fmt.Sprint(int(o.Timeout.Seconds())), "--partition-folder", o.Directory,
			"--log-folder", p.path(logFolder), "--master-url", o.MasterURL, "--partition-cert", "",
			"--partition-key", "", "--partition-id", o.PartitionID, "--computer-id", o.ComputerID,
			map[Mode]string{Forced: "--force", Anomaly: "--check-anomaly"}[mode]}}
	result, err := command.Run(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	if i := strings.LastIndex(result.Output, "Promise '"); i >= 0 && result.ExitCode == 2 {
		return result.Output[i:], 2
	}
	return result.Output, result.ExitCode
}

var varying = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`"(next_run_after|timestamp|module_file_mtime)": [0-9.e+]+`), `"$1": T`},
	{regexp.MustCompile(`"module_file": "[^"]*/grid/promise/wrapper.py"`), `"module_file": "ITSELF"`},
	{regexp.MustCompile(`"module_file": "[^"]*/etc/promise/[^"]*"`), `"module_file": "ITSELF"`},
	{regexp.MustCompile(`"execution-time": [0-9.e+-]+`), `"execution-time": S`},
	{regexp.MustCompile(`\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}`), `DATE`},
	{regexp.MustCompile(`\d{10}-\d{3}`), `TRANSACTION`},
}

// state returns everything that promises keep, without what differs between any
// two runs.
func (p *partition) state() map[string]string {
	p.t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(p.path(stateFolder), func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		text := info.Mode().String()
		if entry.Type().IsRegular() {
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text = strings.ReplaceAll(string(content), p.options.Directory, "CPDIR")
			for _, v := range varying {
				text = v.pattern.ReplaceAllString(text, v.with)
			}
			text = info.Mode().String() + "\n" + text
		}
		files[strings.TrimPrefix(path, p.options.Directory+"/")] = text
		return nil
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return files
}

// master receives bangs.
type master struct {
	url   string
	mutex sync.Mutex
	bangs []string
}

func newMaster(t testing.TB) *master {
	m := &master{}
	partition := &slap.Partition{Computer: "COMP-1", Reference: "slappart0", RequestedState: slap.StateStarted}
	answer, err := slap.Marshal(partition)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		switch strings.TrimLeft(request.URL.Path, "/") {
		case "registerComputerPartition":
			w.Write(answer)
		case "softwareInstanceBang":
			m.bang(request.Context(), request.FormValue("message"))
		default:
			http.NotFound(w, request)
		}
	}))
	t.Cleanup(server.Close)
	m.url = server.URL + "/"
	return m
}

func (m *master) bang(_ context.Context, message string) error {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.bangs = append(m.bangs, message)
	return nil
}

// taken returns the bangs since its last call.
func (m *master) taken() []string {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	bangs := m.bangs
	m.bangs = nil
	return bangs
}
