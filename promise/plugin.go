// SPDX-License-Identifier: GPL-3.0-or-later

package promise

import (
	"cmp"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode"

	"slapos/promise/process"
)

// pluginKind is the kind of Python modules (PROM-20).
type pluginKind struct{}

func (pluginKind) String() string { return "plugin" }
func (pluginKind) Folder() string { return "etc/plugin" }

func (pluginKind) accepts(r *run, name string) bool {
	r.removeStaleModule(name)
	return strings.HasSuffix(name, ".py") && !strings.HasPrefix(name, "__init__")
}

// start runs the plugins in a single Python. The launcher of an old slapos.core
// runs the executables, too.
func (pluginKind) start(ctx context.Context, r *run, all, plugins []*check) task {
	if len(all) == 0 {
		r.removeLeftovers()
	}
	if len(plugins) == 0 {
		return finished
	}
	d := newDriver(r, plugins)
	done := make(chan error, 1)
	// It owns the driver until wait returns, except for fields that known guards.
	go func() { done <- d.execute(ctx) }()
	wait := sync.OnceValue(func() error { return <-done })
	<-d.known
	if d.runner == launcher {
		d.hand(append(all, r.of(Executable)...))
		return task{takes: []Kind{Executable}, wait: sync.OnceValue(func() error { return errors.Join(wait(), d.takeResults()) })}
	}
	r.removeLeftovers()
	return task{wait: wait}
}

// The Python code that runs plugins: bootstrap, library, child and driver;
// runtime has what stands in for a missing slapos.core.
//
//go:embed python
var python embed.FS

// bootstrapCommand reads the rest from the descriptor of process.Command's
// data.
const bootstrapCommand = "import os; exec(os.fdopen(4).read())"

// version of slapos.core that the runtime stands in for.
const runtimeVersion = "1.26.1"

// maxDriverLog bounds the plugins' output in the agent's log, per run.
const maxDriverLog = 1 << 20

// runner says who runs the plugins within the driver.
type runner int

const (
	noRunner  runner = iota // the driver ended before it said
	ownRunner               // the driver itself runs those plugins that it got
	launcher                // the launcher of an old slapos.core runs everything
)

// driver is one Python process that runs the plugins of the partition.
type driver struct {
	run     *run
	due     []*check
	started time.Time
	known   chan struct{} // closed when runner is known
	banging sync.WaitGroup

	// The goroutine that reads messages writes the rest; others read it once
	// known is closed or the process has ended.
	runner   runner
	isOwn    bool // the promise classes are our runtime's
	finished bool // a launcher has completed
	failure  *string
	promise  bool // the failure is a promise's
	banged   bool
	printed  int // bytes

	handed []*check // to a launcher
}

// message is a line from the driver; see python/driver.py.
type message struct {
	Runner   string  `json:"runner"`
	Version  *string `json:"version"`
	Name     string  `json:"name"`
	Status   string  `json:"status"`
	Duration float64 `json:"duration"` // seconds
	Type     string  `json:"type"`
	Failed   bool    `json:"failed"`
	Message  *string `json:"message"`
	Date     string  `json:"date"`
	Bang     *string `json:"bang"`
	Error    *string `json:"error"`
	Promise  bool    `json:"promise"`
	Finished bool    `json:"finished"`
}

func newDriver(r *run, due []*check) *driver {
	return &driver{run: r, due: due, started: r.Now(), known: make(chan struct{})}
}

// execute runs the driver until all plugins have ended. Then those that are due
// without a result have failed, unless the driver did.
func (d *driver) execute(ctx context.Context) error {
	r := d.run
	defer func() {
		if d.runner == noRunner {
			close(d.known)
		}
		for _, c := range d.due {
			if d.runner == ownRunner && ctx.Err() == nil {
				d.settle(c, r.silent(c, 0))
			} else {
				c.end()
			}
		}
	}()
	interpreter := cmp.Or(r.Interpreter, r.Python)
	if interpreter == "" {
		d.refuse()
		return nil
	}
	data, err := d.job()
	if err != nil {
		return err
	}
	command := &process.Command{
		Path: interpreter, Args: []string{"-c", bootstrapCommand}, In: r.Root,
		Env: process.CleanEnvironment(r.Environ, r.user.Home), User: r.user,
		Data: data, Messages: func(line string) { d.receive(ctx, line) }, Output: d.print, KeepOutput: 2000,
		Timeout: timeoutOfAll(len(r.checks), r.Timeout), EndAll: true, // PROM-6
	}
	result, err := command.Run(ctx)
	d.banging.Wait()
	switch {
	case err != nil:
		return err
	case d.runner == noRunner && d.failure == nil:
		return fmt.Errorf("%s can't run plugins: %s", interpreter, lastLine(result.Output))
	case d.failure != nil && !d.promise:
		return fmt.Errorf("%s can't run plugins: %s", interpreter, lastLine(*d.failure))
	}
	return nil
}

// refuse fails the plugins of a partition without a Python (D-2).
func (d *driver) refuse() {
	text := fmt.Sprintf("no python interpreter for plugin promises of %s: install python3, or name one with [slapos] python", d.run.PartitionID)
	for _, c := range d.due {
		d.settle(c, outcome{resultType: d.run.resultType(), failed: true, message: &text})
	}
	d.setRunner(ownRunner)
}

func (d *driver) setRunner(who runner) {
	if who == ownRunner {
		d.run.begin(d.due)
	}
	d.runner = who
	close(d.known)
}

// settle sets a plugin's result, unless it has one.
func (d *driver) settle(c *check, o outcome) {
	if c.isEnded() {
		return
	}
	d.run.settle(c, o)
	c.end()
}

// receive handles a message from the driver. Promises could send messages, too,
// so one can only affect the results of this partition.
func (d *driver) receive(ctx context.Context, line string) {
	var m message
	if err := json.Unmarshal([]byte(line), &m); err != nil {
		return
	}
	switch {
	case m.Runner != "" && d.runner == noRunner:
		d.isOwn = m.Version == nil
		if m.Runner == "launcher" {
			d.setRunner(launcher)
		} else {
			d.setRunner(ownRunner)
		}
	case m.Name != "" && d.runner == ownRunner:
		for _, c := range d.due {
			if c.name == m.Name {
				d.settle(c, d.outcome(c, m))
			}
		}
	case m.Bang != nil:
		d.bang(ctx, *m.Bang)
	case m.Finished:
		d.finished = true
	case m.Error != nil && d.failure == nil:
		d.failure, d.promise, d.finished = m.Error, m.Promise, m.Promise
	}
}

func (d *driver) outcome(c *check, m message) outcome {
	duration := durationOf(m.Duration)
	switch m.Status {
	case "done":
		o := outcome{resultType: m.Type, failed: m.Failed, message: m.Message, date: m.Date, duration: duration}
		if o.resultType != testResult && o.resultType != anomalyResult {
			o.resultType = d.run.resultType()
		}
		if _, err := time.Parse(resultDate, o.date); err != nil {
			o.date = ""
		}
		return o
	case "empty":
		return outcome{duration: duration}
	}
	if m.Status == "timeout" {
		return d.run.late(c, duration)
	}
	return d.run.silent(c, duration)
}

// durationOf bounds a number of seconds from an untrusted source.
func durationOf(seconds float64) time.Duration {
	return time.Duration(min(max(seconds, 0), 1e6) * float64(time.Second))
}

// bang forwards a bang from a promise of our runtime to the master, once per
// run (PROM-15).
func (d *driver) bang(ctx context.Context, text string) {
	if d.banged || !d.isOwn || d.run.Mode != Anomaly || d.run.Bang == nil {
		return
	}
	d.banged = true
	d.banging.Go(func() {
		if err := d.run.Bang(ctx, shorten(text)); err != nil {
			d.run.logger.Warn("Bang failed.", "error", err)
		}
	})
}

// print logs the output of promises, up to a limit.
func (d *driver) print(line string) {
	if d.printed > maxDriverLog {
		return
	}
	d.printed += len(line) + 1
	if d.printed > maxDriverLog {
		d.run.logger.Warn("The promises print too much: the rest of it is not logged.")
		return
	}
	if record, ok := parseRecord(line); ok {
		d.run.logger.Log(context.Background(), levelOf(record.Level), record.Text, "logger", record.Logger)
		return
	}
	d.run.logger.Info(line)
}

// A record is a log record of a promise; see python/driver.py.
type record struct {
	Logger string `json:"logger"`
	Level  string `json:"level"`
	Text   string `json:"text"`
}

func parseRecord(line string) (r record, ok bool) {
	text, found := strings.CutPrefix(line, "\x1e")
	if !found || json.Unmarshal([]byte(text), &r) != nil {
		return record{}, false
	}
	// A promise is named after its file: that name can't forge a line.
	if r.Logger == "" || strings.ContainsFunc(r.Logger, unicode.IsControl) {
		return record{}, false
	}
	return r, true
}

// hand gives the checks to a launcher, which logs them.
func (d *driver) hand(checks []*check) {
	d.run.mutex.Lock()
	defer d.run.mutex.Unlock()
	d.handed, d.run.loggedByLauncher = checks, true
	for _, c := range checks {
		c.logged = true
	}
}

// takeResults reads the results that a launcher stored.
func (d *driver) takeResults() error {
	r := d.run
	r.mutex.Lock()
	defer r.mutex.Unlock()
	failed := false
	for _, c := range d.handed {
		failed = failed || c.result.Failed
	}
	for _, c := range due(d.handed) {
		defer c.end()
		var s *stored
		_ = r.files.do(func() error { s = r.readStored(c.title); return nil })
		date := time.Time{}
		if s != nil && s.Name == c.name {
			date, _ = time.Parse(resultDate, s.Result.Date)
		}
		if date.Before(d.started.Truncate(time.Second)) {
			if d.finished {
				c.state = decided // disabled, if it has no result
			}
			continue
		}
		c.state, c.previous = decided, s
		c.result = c.last()
		c.result.Skipped = false
		if r.Observer != nil {
			r.Observer.Ended(c.result)
		}
		failed = failed || s.Result.Failed
	}
	switch {
	case !d.promise || d.failure == nil:
		return nil
	case !failed:
		return errors.New(*d.failure)
	}
	r.launcherText = *d.failure
	return nil
}

// job returns the program that the interpreter reads: the bootstrap, and a call
// of it with all the driver's input.
func (d *driver) job() ([]byte, error) {
	r := d.run
	sources := map[string]string{}
	for _, name := range []string{"bootstrap", "library", "child", "driver", "runtime/interface", "runtime/generic", "runtime/zope"} {
		text, err := python.ReadFile("python/" + name + ".py")
		if err != nil {
			return nil, err
		}
		sources[name] = string(text)
	}
	due, suspects := []string{}, []string{}
	for _, c := range d.due {
		due = append(due, c.name)
		if r.Mode == Anomaly && c.isSuspect() {
			suspects = append(suspects, c.name)
		}
	}
	job, err := json.Marshal(map[string]any{
		"sources": sources, "version": runtimeVersion,
		"partition": r.Directory, "folder": r.path(Plugin, ""), "legacy": r.path(Executable, ""),
		"cache": r.Directory + "/" + cacheFolder,
		"due":   due, "suspects": suspects, "parallel": r.Parallel, "timeout": r.Timeout.Seconds(),
		"anomaly": r.Mode == Anomaly, "force": r.Mode == Forced,
		"config": map[string]any{ // PROM-12
			"log-folder": r.Directory + "/" + logFolder, "partition-folder": r.Directory, "debug": false,
			"promise-timeout": r.Timeout.Seconds(), "master-url": orNil(r.MasterURL),
			"partition-cert": orNil(r.CertFile), "partition-key": orNil(r.KeyFile),
			"partition-id": orNil(r.PartitionID), "computer-id": orNil(r.ComputerID),
		},
	})
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "%s\n\nbegin(u%s)\n", sources["bootstrap"], asciiJSON(asciiOnly(string(job)))), nil
}

// orNil returns nil for an empty text: promises of slapos.core get None.
func orNil(text string) any {
	if text == "" {
		return nil
	}
	return text
}

func (r *run) resultType() string {
	if r.Mode == Anomaly {
		return anomalyResult
	}
	return testResult
}

// removeStaleModule removes compiled Python whose source is gone (PROM-20).
func (r *run) removeStaleModule(name string) {
	if !strings.HasSuffix(name, ".pyc") && !strings.HasSuffix(name, ".pyo") {
		return
	}
	path := Plugin.Folder() + "/" + name
	if _, err := r.files.directory.Stat(path[:len(path)-1]); err != nil {
		if err := r.files.directory.Remove(path); err != nil {
			r.logger.Warn("A compiled plugin without its source is left.", "file", path, "error", err)
		}
	}
}

// removeLeftovers removes the files of slapos.core older than 1.22 (PROM-28),
// but not if such a version still runs here: see launcher.
func (r *run) removeLeftovers() {
	old := map[string]bool{"promise_stats.json": true, "promise_status.json": true, "global.json": true, "public.json": true}
	for _, c := range r.checks {
		old[c.name+".timestamp"], old[c.name+".periodicity"] = true, true
	}
	_ = r.files.do(func() error {
		names, _ := r.files.names(stateFolder)
		for _, name := range names {
			var err error
			switch {
			case old[name]:
				err = r.files.directory.Remove(stateFolder + "/" + name)
			case name == "history":
				err = r.files.directory.RemoveAll(stateFolder + "/" + name)
			}
			if err != nil {
				r.logger.Warn("A file of an older slapos.core is left.", "file", name, "error", err)
			}
		}
		return nil
	})
}

// lastLine returns a text's last line, which ends a stack trace.
func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return cmp.Or(lines[len(lines)-1], "it ended without a word")
}

// timeoutOfAll returns how long the promises of a partition may take one after
// the other, plus a margin. It doesn't overflow.
func timeoutOfAll(promises int, each time.Duration) time.Duration {
	const longest = 100 * 365 * 24 * time.Hour
	if promises > 0 && each > longest/time.Duration(promises) {
		return longest
	}
	return time.Duration(promises)*(each+2*termGrace) + 10*time.Second
}
