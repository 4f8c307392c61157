// SPDX-License-Identifier: GPL-3.0-or-later

// Package agent is the long process of a node: it runs the passes when something has
// changed or is due, instead of regularly (D-28).
//
//	a := agent.New(settings, agent.Options{Logger: log})
//	err := a.Run(ctx)            // until ctx ends
//	a.Reload(settings)           // meanwhile, and a.Status()
//
// One goroutine has the [schedule]: what is due when, what runs, what failed. It sleeps
// until the earliest of that. Others report to it:
//
//	the looker    ── what the master wants: it waits there for a change
//	workers       ── how a run ended, and when the next one is due
//	the watcher   ── promises and services that appeared, bangs
//	the keeper    ── the supervisor ended, or is another one
//
// A task is a release, a partition or a job. Each partition is a run of package
// instance that processes only it, each release one of package software: a slow one
// holds up nobody, and none is in two runs at once. The rules of the passes are theirs;
// this room only says when.
package agent

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"path"
	"slices"
	"sync"
	"time"

	"slapos/grid/instance"
	"slapos/grid/supervision"
	"slapos/slap"
)

// The jobs of every agent, beside those of its settings.
const (
	jobSweep   = "sweep"
	jobOffline = "offline"
	jobReport  = "report"
	jobGarbage = "garbage collection"
)

// Options are what doesn't change while an agent runs.
type Options struct {
	Logger *slog.Logger
	// Notify tells the service manager how the agent is, in a line; may be nil.
	Notify func(status string)
}

// An Agent is the process of a node.
type Agent struct {
	options Options
	log     *slog.Logger
	locks   *locks
	events  chan func(now time.Time) // what others report; run by the loop
	ended   chan struct{}            // closed when the loop has ended
	workers sync.WaitGroup
	begun   time.Time
	root    string // of the partitions

	// The loop alone uses the rest.
	ctx        context.Context
	settings   Settings
	commons    *supervision.Commons
	schedule   *schedule
	packer     *packer
	partitions map[string]*wanted
	releases   map[string]*slap.SoftwareRelease
	names      map[string][]string // promises and services by partition
	forced     map[string]bool     // partitions with services that appeared
	master     masterState
	looking    context.CancelFunc
	looker     *looker
	watcher    *watcher
	keeper     *keeper
	told       string // the last status that was notified
}

// masterState is what is known of the master.
type masterState struct {
	answered time.Time // last
	waits    bool
	wait     time.Duration
	err      error
	since    time.Time // of the error
}

// New makes an agent; Run runs it.
func New(settings Settings, options Options) *Agent {
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	return &Agent{
		options: options, log: options.Logger, locks: newLocks(options.Logger), events: make(chan func(time.Time)), ended: make(chan struct{}),
		settings: settings, commons: supervision.NewCommons(), packer: newPacker(), begun: time.Now(), root: settings.Node.InstanceRoot,
		partitions: map[string]*wanted{}, releases: map[string]*slap.SoftwareRelease{},
		names: map[string][]string{}, forced: map[string]bool{},
	}
}

// report hands an event to the loop. It returns false once that has ended.
func (a *Agent) report(event func(now time.Time)) bool {
	select {
	case a.events <- event:
		return true
	case <-a.ended:
		return false
	}
}

// Run works until ctx ends, and then waits for what runs, which ctx interrupts.
func (a *Agent) Run(ctx context.Context) error {
	a.ctx = ctx
	a.begin()
	defer a.end()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case event := <-a.events:
			event(a.settings.now())
		}
		ready, wake := a.schedule.start(a.settings.now())
		for _, t := range ready {
			a.start(t)
		}
		a.notify()
		timer.Stop()
		if !wake.IsZero() {
			timer.Reset(max(0, wake.Sub(a.settings.now())))
		}
	}
}

// begin makes the schedule and starts those who report.
func (a *Agent) begin() {
	a.settings.Supervisor.Commons = a.commons
	a.schedule = newSchedule(places(a.settings))
	a.watcher = newWatcher(a.log, a.settings.Node.InstanceRoot, func(seen sighting) {
		a.report(func(now time.Time) { a.seen(seen, now) })
	})
	a.keeper = newKeeper(a.settings.Node.InstanceRoot, func(what string) {
		a.report(func(now time.Time) { a.supervisorChanged(what, now) })
	})
	a.workers.Go(func() { a.watcher.run(a.ctx) })
	a.workers.Go(func() { a.keeper.run(a.ctx) })
	a.lookAnew()
	a.askJobs(a.settings.now())
}

func (a *Agent) end() {
	close(a.ended)
	a.looking()
	a.workers.Wait()
}

func places(s Settings) map[Kind]int {
	return map[Kind]int{KindRelease: s.Node.Jobs, KindPartition: s.Node.Jobs}
}

// lookAnew starts a looker with the present settings.
func (a *Agent) lookAnew() {
	if a.looking != nil {
		a.looking()
	}
	ctx, cancel := context.WithCancel(a.ctx)
	l := &looker{
		master: a.settings.Node.Master, computer: a.settings.Node.ComputerID,
		poll: a.settings.Poll, wait: a.settings.Wait, poke: make(chan struct{}, 1),
		found: func(ctx context.Context, found look) {
			a.report(func(now time.Time) {
				if ctx.Err() == nil { // not one of former settings
					a.looked(found, now)
				}
			})
		},
	}
	a.looking, a.looker = cancel, l
	a.workers.Go(func() {
		// Masters expect this first from every node (SLAP-40).
		_, _ = l.master.Hateoas(ctx)
		l.run(ctx)
	})
}

// poke has the looker look now.
func (a *Agent) poke() {
	select {
	case a.looker.poke <- struct{}{}:
	default:
	}
}

// askJobs schedules the jobs.
func (a *Agent) askJobs(now time.Time) {
	wanted := map[string]bool{jobSweep: true, jobReport: true, jobOffline: true, jobGarbage: a.settings.Garbage > 0}
	a.schedule.ask(key{KindJob, jobSweep}, now.Add(a.settings.full()), "regularly")
	a.schedule.ask(key{KindJob, jobReport}, now.Add(spreadLater(a.settings.Report)), "regularly")
	if a.settings.Garbage > 0 {
		a.schedule.ask(key{KindJob, jobGarbage}, now.Add(a.settings.Garbage), "regularly")
	}
	for _, job := range a.settings.Jobs {
		wanted[job.Name] = true
		a.schedule.ask(key{KindJob, job.Name}, now.Add(spreadLater(min(job.Every, job.Jitter))), "regularly")
	}
	for k := range a.schedule.tasks {
		if k.kind == KindJob && !wanted[k.name] {
			a.schedule.drop(k)
		}
	}
}

// supervisorChanged looks at everything: a supervisor that begins starts nothing, and
// one that ended is started by a pass.
func (a *Agent) supervisorChanged(what string, now time.Time) {
	a.log.Info(what)
	for name, known := range a.partitions {
		if !known.isFree() {
			a.schedule.changed(key{KindPartition, name}, now, what)
		}
	}
	a.schedule.ask(key{KindJob, jobSweep}, now, what)
}

// start runs a task in a goroutine of its own.
func (a *Agent) start(t *task) {
	w := &worker{settings: a.settings, locks: a.locks, log: a.log, watcher: a.watcher}
	waiting := func(pid int) { a.report(func(time.Time) { t.holder = pid }) }
	run := a.runOf(t, w, waiting)
	a.workers.Go(func() {
		o := run(a.ctx)
		a.report(func(now time.Time) { a.finished(t, o, now) })
	})
}

// runOf is what a task does, with what is known now.
func (a *Agent) runOf(t *task, w *worker, waiting func(pid int)) func(context.Context) outcome {
	switch t.kind {
	case KindRelease:
		release := a.releases[t.name]
		return func(ctx context.Context) outcome { return w.release(ctx, release, waiting) }
	case KindPartition:
		known, force := a.partitions[t.name], a.forced[t.name]
		delete(a.forced, t.name)
		release := a.releases[known.url]
		installed := release != nil && release.State() == slap.StateAvailable
		return func(ctx context.Context) outcome { return w.partition(ctx, known, force, installed, waiting) }
	}
	switch t.name {
	case jobSweep:
		free, whole := a.free()
		return func(ctx context.Context) outcome { return w.sweep(ctx, free, whole, waiting) }
	case jobOffline:
		failure := a.master.err
		return func(ctx context.Context) outcome { return w.offline(ctx, failure, waiting) }
	case jobReport:
		all := a.used()
		return func(ctx context.Context) outcome { return w.report(ctx, all, waiting) }
	case jobGarbage:
		releases := a.listed()
		return func(ctx context.Context) outcome { return w.collectGarbage(ctx, releases, waiting) }
	}
	i := slices.IndexFunc(a.settings.Jobs, func(job Job) bool { return job.Name == t.name })
	job := a.settings.Jobs[i]
	return func(ctx context.Context) outcome { return w.job(ctx, job) }
}

// free are the free partitions; whole says that all others were processed well.
func (a *Agent) free() (free []string, whole bool) {
	whole = true
	for name, known := range a.partitions {
		if known.isFree() {
			free = append(free, name)
		} else if t := a.schedule.tasks[key{KindPartition, name}]; t == nil || t.running || t.runs == 0 || t.err != nil {
			whole = false
		}
	}
	slices.Sort(free)
	return free, whole
}

// used are the other partitions, in order.
func (a *Agent) used() (all []*wanted) {
	var names []string
	for name, known := range a.partitions {
		if !known.isFree() {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		all = append(all, a.partitions[name])
	}
	return all
}

func (a *Agent) listed() (releases []*slap.SoftwareRelease) {
	for _, release := range a.releases {
		releases = append(releases, release)
	}
	return releases
}

// finished notes the end of a run, and when the task is due again.
func (a *Agent) finished(t *task, o outcome, now time.Time) {
	began := t.began
	if o.err == nil && o.next.IsZero() && !o.later {
		o.next, o.why = a.regularly(t, now), "regularly"
	}
	a.schedule.end(t, o, now)
	switch t.kind {
	case KindRelease:
		if o.err == nil {
			a.schedule.release(t.name, now)
		}
	case KindPartition:
		if release := a.schedule.tasks[key{KindRelease, o.waits}]; o.waits != "" && (release == nil || release.err == nil && release.ended.After(began)) {
			a.schedule.release(o.waits, now) // it came meanwhile
		}
		if o.names != nil {
			a.names[t.name] = o.names
		}
		if o.err == nil && o.waits == "" {
			a.keeper.meet(!a.settings.Supervisor.LaunchForbidden)
		}
		if known := a.partitions[t.name]; known != nil && known.state == slap.StateDestroyed && !a.master.waits {
			a.poke()
		}
	case KindJob:
		if o.err != nil {
			a.log.Error(o.err.Error())
		}
	}
}

// regularly is when a task is due again that ended well; zero: never.
func (a *Agent) regularly(t *task, now time.Time) time.Time {
	switch {
	case t.kind == KindRelease:
		return now.Add(a.settings.full())
	case t.kind == KindPartition:
		return time.Time{} // it waits for its release
	case t.name == jobSweep:
		return now.Add(a.settings.full())
	case t.name == jobOffline:
		if a.master.err == nil {
			return time.Time{}
		}
		return now.Add(a.settings.Poll)
	case t.name == jobReport:
		return now.Add(spread(a.settings.Report))
	case t.name == jobGarbage:
		return now.Add(spread(a.settings.Garbage))
	}
	for _, job := range a.settings.Jobs {
		if job.Name == t.name { // from its begin: it is to run as often as that
			next := t.began.Add(job.Every + spreadLater(job.Jitter))
			if next.Before(now) {
				next = now
			}
			return next
		}
	}
	return time.Time{}
}

// seen takes notice of what appeared in a partition.
func (a *Agent) seen(s sighting, now time.Time) {
	known := a.partitions[s.partition]
	if known == nil || known.isFree() {
		return
	}
	k := key{KindPartition, s.partition}
	if s.bang {
		a.poke()
	}
	isNew := func(name string) bool {
		_, found := slices.BinarySearch(a.names[s.partition], name)
		return !found
	}
	t := a.schedule.tasks[k]
	if t == nil || t.running || t.runs == 0 || known.state != slap.StateStarted {
		return // its run sees them
	}
	_, services := instance.Folders()
	for _, name := range s.names {
		if !isNew(name) {
			continue
		}
		if slices.Contains(services, path.Dir(name)) {
			a.forced[s.partition] = true
			a.schedule.ask(k, now, "a service appeared")
			return
		}
		a.schedule.ask(k, now, "a promise appeared")
	}
}

// ErrRestart means that settings can't be changed while the agent runs.
var ErrRestart = errors.New("another instance_root needs a restart of the agent")

// Reload goes on with other settings: what runs ends with the old ones.
func (a *Agent) Reload(settings Settings) error {
	if settings.Node.InstanceRoot != a.root {
		return ErrRestart
	}
	a.report(func(now time.Time) {
		old := a.settings
		settings.Supervisor.Commons = a.commons
		a.settings = settings
		a.schedule.places = places(settings)
		if old.Node.ComputerID != settings.Node.ComputerID || old.Node.MasterURL != settings.Node.MasterURL {
			a.startOver()
		}
		a.askJobs(now)
		a.lookAnew()
		for name, known := range a.partitions {
			if !known.isFree() {
				a.schedule.ask(key{KindPartition, name}, now, "reloaded")
			}
		}
		for url := range a.releases {
			a.schedule.ask(key{KindRelease, url}, now, "reloaded")
		}
		if old.Node.Master != nil {
			old.Node.Master.Close()
		}
	})
	return nil
}

// startOver forgets a node: the settings are another's.
func (a *Agent) startOver() {
	for name := range a.partitions {
		a.forget(name)
	}
	for url := range a.releases {
		a.schedule.drop(key{KindRelease, url})
	}
	clear(a.partitions)
	clear(a.releases)
}

// spreadLater draws a part of a duration.
func spreadLater(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return rand.N(d)
}
