// SPDX-License-Identifier: GPL-3.0-or-later

// Package promise runs the checks of one partition and keeps their results.
//
// A promise is of one of several kinds ([Kind]): a plugin is a Python module in
// etc/plugin with a class RunPromise, an executable is any program in
// etc/promise, where exit status 0 means success. [Run] reads the state files
// to select what is due, runs the plugins in one Python of the partition's
// Software Release and the executables directly, all as the partition's user,
// and writes the files that monitoring tools read:
//
//	.slapgrid/promise/result/<title>.status.json   last result (PROM-25)
//	.slapgrid/promise/cache/<title>                when it is due (PROM-23)
//	.slapgrid/promise/log/<title>.log              what it said (PROM-16)
//
// These are the files of slapos.core 1.26. The partition's user owns them and
// may put anything there: they are read and written with that user's rights,
// bounded, and without waiting for a pipe; they only decide the schedule and
// the result of checks that aren't due.
package promise

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"slapos/promise/process"
	"slapos/slap"
	"slapos/slap/confined"
)

// Mode says which promises run, and how they judge (PROM-1).
type Mode int

const (
	// Forced tests all promises, due or not.
	Forced Mode = iota
	// Anomaly runs the promises that are due and judges by their anomalies,
	// which are less strict, and may bang.
	Anomaly
)

// noTimeout is a Timeout that is never reached. It is a number because the
// launchers of every slapos.core need one.
const noTimeout = 10 * 365 * 24 * time.Hour

// Options configure a run (PROM-3). Only Directory is required.
type Options struct {
	Directory string // of the partition, absolute
	// Root is the directory, opened; if nil, the run opens it.
	Root        *confined.Directory
	PartitionID string
	ComputerID  string
	MasterURL   string
	CertFile    string // the partition's; may be empty, as may KeyFile
	KeyFile     string

	// Interpreter is the Software Release's Python, empty if unknown.
	Interpreter string
	// Python runs plugins if there is no Interpreter (D-2); may be empty.
	Python string
	// Environ is the agent's environment, with SLAPGRID_INSTANCE_ROOT.
	Environ []string

	Mode    Mode
	Timeout time.Duration // of one promise; 0: no limit
	// Parallel is how many promises of the partition run at once; 0: as many as
	// there are processors, 1: one after the other, in order. Unless it is 1,
	// up to 8 executables run at once, since they mostly wait.
	Parallel int

	Logger *slog.Logger // nil: none
	// Bang asks the master to process the instance again. Plugins bang through
	// their slapos.core, and only use this if that is missing. May be nil.
	Bang func(ctx context.Context, message string) error

	// Observer receives the results of the run; may be nil.
	Observer Observer

	Now    func() time.Time // nil: time.Now
	Random func() int       // the number of an executable's run, 100–999; nil: random
}

// An Observer receives the results of a run. Several goroutines may call its
// methods, which must not block.
type Observer interface {
	// Listed receives all promises, with their last results.
	Listed(promises []Result)
	// Ended receives the result of a promise that was due.
	Ended(promise Result)
}

// Report is the result of a run. Promises are listed kind after kind, in the
// order of their directories.
type Report struct {
	Promises []Result
	Checked  int // promises that ran
	Skipped  int // promises that were not due, or whose check is disabled
	Failed   int // among both; a skipped one counts with its last result
	// Duration of the whole run.
	Duration time.Duration
	text     string // of the first failure, see Error
}

// String returns the report as a line.
func (r Report) String() string {
	return fmt.Sprintf("%d promises: %d checked, %d not due, %d failed, in %.2f s",
		len(r.Promises), r.Checked, r.Skipped, r.Failed, r.Duration.Seconds())
}

// Result is the result of a promise.
type Result struct {
	Title   string // the file's name without its extension
	Name    string // the file's name
	Path    string
	Kind    Kind
	Failed  bool
	Message string
	// Skipped means that it was not due, or its check is disabled. The rest is
	// then from its last result, if any.
	Skipped  bool
	Duration time.Duration // of its run
	Date     time.Time     // of the result, in whole seconds; zero: no result
}

// Error is the failure of a promise, as reported to the master (PROM-27).
type Error struct {
	Name, Message string
	text          string // from an old slapos.core, which words it differently
}

func (e *Error) Error() string {
	if e.text != "" {
		return e.text
	}
	return fmt.Sprintf("Promise %s failed with output: %s", slap.PythonRepr(e.Name), e.Message)
}

// Err returns the first failure in order, an [*Error], or nil.
func (r Report) Err() error {
	for _, result := range r.Promises {
		if result.Failed {
			return &Error{Name: result.Name, Message: result.Message, text: r.text}
		}
	}
	return nil
}

// Run runs the promises of a partition that are due. If some fail, that is not
// an error but in [Report.Err]; an error means that some could not be run, and
// the report then has the others.
func Run(ctx context.Context, options Options) (Report, error) {
	r, err := newRun(options)
	if err != nil {
		return Report{}, fmt.Errorf("promises of %s: %w", options.Directory, err)
	}
	defer r.files.close()
	started := time.Now()
	if err = r.look(); err == nil {
		r.observeList()
		err = r.check(ctx)
	}
	r.logRest()
	report := r.report()
	report.Duration = time.Since(started)
	if err != nil {
		return report, fmt.Errorf("promises of %s: %w", options.Directory, err)
	}
	if report.Skipped > 0 && !r.loggedByLauncher {
		r.logger.Info(fmt.Sprintf("%d promises didn't need to be checked.", report.Skipped)) // PROM-27
	}
	return report, nil
}

// Stored returns the results of the last runs without running anything: every
// promise counts as skipped.
func Stored(options Options) (Report, error) {
	r, err := newRun(options)
	if err != nil {
		return Report{}, fmt.Errorf("promises of %s: %w", options.Directory, err)
	}
	defer r.files.close()
	if err := r.files.do(r.list); err != nil {
		return Report{}, fmt.Errorf("promises of %s: %w", options.Directory, err)
	}
	for _, c := range r.checks {
		c.state, c.result = decided, c.last()
	}
	r.observeList()
	return r.report(), nil
}

// run is one call of [Run].
type run struct {
	Options
	user   *process.User
	files  *files
	logger *slog.Logger
	checks []*check // in order of the report

	mutex sync.Mutex
	next  int // the first check that isn't logged yet
	// loggedByLauncher means that an old slapos.core runs plugins and executables
	// and logs them. launcherText is its text of the first failure.
	loggedByLauncher bool
	launcherText     string
}

func newRun(options Options) (*run, error) {
	if options.Timeout == 0 {
		options.Timeout = noTimeout
	}
	if options.Parallel <= 0 {
		options.Parallel = runtime.NumCPU()
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.Random == nil {
		options.Random = func() int { return 100 + rand.IntN(900) }
	}
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	if !filepath.IsAbs(options.Directory) {
		return nil, errors.New("the directory of the partition must be an absolute path")
	}
	options.Directory = filepath.Clean(options.Directory)
	var own *confined.Directory
	if options.Root == nil {
		opened, err := confined.Open(options.Directory)
		if err != nil {
			return nil, err
		}
		options.Root, own = opened, opened
	}
	user, err := ownerOf(options.Root)
	var opened *files
	if err == nil {
		opened, err = openFiles(options.Root, user)
	}
	if err != nil {
		if own != nil {
			own.Close()
		}
		return nil, err
	}
	opened.own = own
	return &run{Options: options, user: user, files: opened, logger: options.Logger}, nil
}

// ownerOf returns the user that promises run as. An agent that is not root runs
// them as itself, whether passwd knows it or not.
func ownerOf(directory *confined.Directory) (*process.User, error) {
	user, err := process.LookupUser(directory.UID, directory.GID)
	if err != nil && os.Geteuid() != 0 {
		return &process.User{UID: directory.UID, GID: directory.GID, Home: directory.Name()}, nil
	}
	return user, err
}

// check runs what is due, kind after kind. A kind runs beside those before it
// unless the order is strict.
func (r *run) check(ctx context.Context) error {
	last := map[string]*check{} // by title
	for _, c := range due(r.checks) {
		c.before, last[c.title] = last[c.title], c
	}
	var tasks []task
	for _, kind := range Kinds() {
		if slices.ContainsFunc(tasks, func(t task) bool { return slices.Contains(t.takes, kind) }) {
			continue
		}
		all := r.of(kind)
		task := kind.start(ctx, r, all, due(all))
		tasks = append(tasks, task)
		if r.Parallel == 1 {
			_ = task.wait() // strict order
		}
	}
	var err error
	for _, task := range tasks {
		err = errors.Join(err, task.wait())
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func (r *run) report() Report {
	report := Report{Promises: []Result{}, text: r.launcherText}
	for _, c := range r.checks {
		if c.state == waiting {
			continue // the run was ended before it
		}
		report.Promises = append(report.Promises, c.result)
		if c.result.Skipped {
			report.Skipped++
		} else {
			report.Checked++
		}
		if c.result.Failed {
			report.Failed++
		}
	}
	return report
}

func (r *run) observeList() {
	if r.Observer == nil {
		return
	}
	list := make([]Result, len(r.checks))
	for i, c := range r.checks {
		list[i] = c.last()
		if c.unready {
			list[i] = c.result
		}
		list[i].Skipped = c.state == decided
	}
	r.Observer.Listed(list)
}

// path returns the path of a promise.
func (r *run) path(kind Kind, name string) string {
	return filepath.Join(r.Directory, kind.Folder(), name)
}
