// SPDX-License-Identifier: GPL-3.0-or-later

// Package daemon is the supervisor: it starts the programs of a configuration,
// keeps their logs, restarts them, and answers XML-RPC calls (GRID-76).
//
// One lock guards all mutable state. Nothing polls: an idle supervisor doesn't
// wake up. One epoll reports the ends of processes and their output, timers
// make the changes that are due later, HTTP brings the calls.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"slapos/grid/supervisor/config"
	"slapos/manager/cgroup"
)

// Options say what to serve.
type Options struct {
	ConfigFile string
	Silent     bool             // don't write the log to Stdout
	Stdout     io.Writer        // gets a copy of the log; nil for none
	Environ    []string         // the supervisor's; programs inherit it
	Ready      func()           // called when the sockets answer; may be nil
	CGroups    cgroup.Hierarchy // where partitions have control groups
	Version    string           // of this program
	Image      Image            // what an upgrade executes
	Takeover   int              // the descriptor of a state to take over; 0: none

	signals chan os.Signal // those that arrived before the takeover
}

// daemon is a supervisor between two reads of its main configuration.
type daemon struct {
	options     Options
	environment map[string]string
	config      *config.Config  // at the start
	taken       *handover       // of the image before, until it is taken over; nil: none
	previous    string          // version of that image
	lost        error           // why its state isn't known
	groupsRead  []*config.Group // at the last reload
	mainLog     *mainLog
	log         *slog.Logger
	pidFile     *pidFile
	poller      *poller

	mu          sync.Mutex // guards everything below, and every process
	state       supervisorState
	groups      map[string]*group
	journal     *journal
	buffer      []byte // for reading pipes
	eventSerial int
	ticking     bool
	nextTick    time.Time
	servers     servers
	upgrading   bool
	tidying     *time.Timer
	ending      chan struct{} // closed when the state stops being RUNNING
	sockets     *socketWatch

	signals   chan os.Signal
	handovers chan handoverRequest // for the goroutine that handles signals
}

// Serve runs a supervisor in the foreground until ctx ends, a signal asks it to
// stop (SIGTERM, SIGINT, SIGQUIT) or a client calls the method shutdown; then
// it stops every service. SIGHUP and the method restart stop everything and
// start again; SIGUSR2 reopens logs and recreates removed sockets. If it
// returns an error, it has started nothing.
func Serve(ctx context.Context, options Options) error {
	if options.Takeover > 0 {
		options.signals = early
	}
	defer catchIgnored()()
	for {
		again, err := serveOnce(ctx, options)
		if err != nil || !again {
			return err
		}
		options.Ready, options.Takeover, options.signals = nil, 0, nil
	}
}

func serveOnce(ctx context.Context, options Options) (again bool, err error) {
	d := &daemon{
		options: options, environment: map[string]string{},
		state: supervisorRunning, groups: map[string]*group{}, buffer: make([]byte, 64<<10),
		ending: make(chan struct{}), signals: options.signals, handovers: make(chan handoverRequest),
	}
	if err := d.configure(); err != nil {
		return false, err
	}
	for _, variable := range options.Environ {
		if name, value, found := strings.Cut(variable, "="); found {
			d.environment[name] = value
		}
	}
	if err := d.prepare(); err != nil {
		return false, err
	}
	defer d.mainLog.close()
	defer d.pidFile.release()
	if err := d.listen(); err != nil {
		return false, err
	}
	defer func() { d.servers.close() }()
	stopSignals := d.handleSignals(ctx)
	defer stopSignals()
	d.begin()
	d.servers.serve()
	d.mu.Lock()
	d.watchSockets(d.servers)
	d.mu.Unlock()
	if options.Ready != nil {
		options.Ready()
	}
	<-d.ending
	d.stopAll()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sockets.close()
	d.poller.close()
	d.journal.remove()
	return d.state == supervisorRestarting, nil
}

// configure reads the configuration, or the state of the image before us. If
// that can't be read, we are as if the supervisor had been killed, and adopt.
func (d *daemon) configure() (err error) {
	if d.options.Takeover > 0 {
		if d.taken, err = takeHandover(d.options.Takeover); err == nil {
			d.config, d.groupsRead, d.previous = d.taken.Config, d.taken.GroupsRead, d.taken.Version
			return nil
		}
		d.lost = err
		closeInherited()
	}
	d.config, err = config.Load(d.options.ConfigFile, d.options.Environ)
	if err == nil {
		d.groupsRead = d.config.Groups
	}
	return err
}

// prepare does everything that comes before the first process.
func (d *daemon) prepare() (err error) {
	if err := d.becomeUser(); err != nil {
		return err
	}
	if err := raiseLimit(d.config.MinFDs); err != nil {
		return err
	}
	// Programs inherit only the standard streams, whatever else we inherited.
	_ = unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC)
	syscall.Umask(d.config.Umask)
	debug.SetGCPercent(garbagePercent)
	if d.config.Directory != "" && d.taken == nil {
		if err := os.Chdir(d.config.Directory); err != nil {
			return fmt.Errorf("start in the directory of [supervisord]: %w", err)
		}
	}
	stdout := d.options.Stdout
	if d.options.Silent || d.config.Silent {
		stdout = nil
	}
	if d.mainLog, err = d.openMainLog(stdout); err != nil {
		return err
	}
	d.log = slog.New(d.mainLog)
	d.keepCrashes()
	if err := d.claimPIDFile(); err != nil {
		return err
	}
	if d.taken != nil {
		d.poller, err = newPoller()
		return err
	}
	if d.lost != nil {
		d.log.Error("the state of the supervisor before this one is lost, its services are adopted", "error", d.lost)
	}
	for _, path := range d.config.Included {
		d.log.Info(fmt.Sprintf("Included extra file \"%s\" during parsing", path))
	}
	for _, warning := range d.config.Warnings {
		d.log.Warn(warning)
	}
	if d.poller, err = newPoller(); err != nil {
		d.pidFile.release()
		return err
	}
	return nil
}

// keepCrashes sends a panic's output to the log: in the background nobody reads
// standard error.
func (d *daemon) keepCrashes() {
	if d.config.LogFile == "" {
		return
	}
	file, err := os.OpenFile(d.config.LogFile, os.O_WRONLY|os.O_APPEND, 0)
	if err == nil {
		_ = debug.SetCrashOutput(file, debug.CrashOptions{})
		file.Close()
	}
}

// becomeUser drops root's rights if the configuration asks for it.
func (d *daemon) becomeUser() error {
	p := &process{config: &config.Program{User: d.config.User, Group: -1}}
	credential, err := p.credential()
	if err != nil || credential == nil {
		return err
	}
	groups := make([]int, len(credential.Groups))
	for i, group := range credential.Groups {
		groups[i] = int(group)
	}
	return errors.Join(syscall.Setgroups(groups), syscall.Setgid(int(credential.Gid)), syscall.Setuid(int(credential.Uid)))
}

// raiseLimit raises the limit of open files: each service takes three.
func raiseLimit(minimum int) error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	if minimum <= 0 || limit.Cur >= uint64(minimum) {
		return nil
	}
	wanted := unix.Rlimit{Cur: uint64(minimum), Max: max(limit.Max, uint64(minimum))}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &wanted); err != nil {
		return fmt.Errorf("only %d files may be open here, minfds asks for %d: raise the limit (ulimit -n) or lower minfds", limit.Max, minimum)
	}
	return nil
}

// begin adopts and starts processes.
func (d *daemon) begin() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.journal = openJournal(strings.TrimSuffix(d.config.PIDFile, ".pid")+".services", func(err error) {
		d.log.Error("the journal of services is incomplete", "error", err)
	})
	if d.taken != nil {
		d.takeOver()
		d.start()
		return
	}
	for _, c := range d.config.Groups {
		d.addGroup(c)
	}
	d.adoptJournal()
	if d.pidFile.stale { // the last supervisor crashed
		d.adoptMarked()
	}
	if !d.config.NoCleanup {
		d.cleanLogs()
	}
	if err := d.pidFile.write(); err != nil {
		d.critical(err.Error())
	}
	d.log.Info(fmt.Sprintf("supervisord started with pid %d", os.Getpid()))
	d.notify("SUPERVISOR_STATE_CHANGE_RUNNING", "")
	for _, g := range d.groupsByPriority() {
		g.autoStart()
	}
	d.start()
}

// start starts what goes on by itself.
func (d *daemon) start() {
	go d.poller.run(&d.mu) // calls handlers with the lock held, until this process ends or restarts
	d.ticks()
	debug.FreeOSMemory()
	dropStartup()
}

// end makes the supervisor stop, or restart.
func (d *daemon) end(next supervisorState) {
	if d.state == supervisorRunning {
		close(d.ending)
	}
	if d.state != supervisorShutdown {
		d.state = next
	}
}

// signalBuffer is how many signals may wait to be handled.
const signalBuffer = 16

// handleSignals reacts to signals and the end of ctx.
func (d *daemon) handleSignals(ctx context.Context) (stop func()) {
	if d.signals == nil {
		d.signals = make(chan os.Signal, signalBuffer)
		signal.Notify(d.signals, handled...)
	}
	if os.Getpid() == 1 {
		signal.Notify(d.signals, unix.SIGCHLD)
	}
	done := make(chan struct{})
	go func() { // uses the daemon with its lock held; stop closes done
		for {
			select {
			case <-done:
				return
			case <-ctx.Done():
				d.mu.Lock()
				d.end(supervisorShutdown)
				d.mu.Unlock()
				ctx = context.WithoutCancel(ctx)
			case s := <-d.signals:
				d.handleSignal(s.(syscall.Signal))
			case request := <-d.handovers:
				request.done <- d.handOverBetweenSignals(request.program)
			}
		}
	}()
	return func() {
		signal.Stop(d.signals)
		close(done)
	}
}

func (d *daemon) handleSignal(s syscall.Signal) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch s {
	case unix.SIGCHLD:
		reapOrphans(d)
	case unix.SIGUSR2:
		d.log.Info("received SIGUSR2 indicating log reopen request")
		d.reopenLogs()
		if d.sockets != nil {
			d.sockets.look()
		}
	case unix.SIGHUP:
		d.log.Warn("received SIGHUP indicating restart request")
		d.end(supervisorRestarting)
	default:
		d.log.Warn(fmt.Sprintf("received %s indicating exit request", signalName(s)))
		d.end(supervisorShutdown)
	}
}

// reapOrphans reaps processes that were reparented to us because we are the
// first process of a container.
func reapOrphans(d *daemon) {
	ours := map[int]bool{}
	for _, g := range d.groups {
		for _, p := range g.processes {
			ours[p.pid] = true
		}
	}
	entries, _ := os.ReadDir("/proc")
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || ours[pid] {
			continue
		}
		if stat, err := readStat(pid); err == nil && stat.dead && stat.parent == os.Getpid() {
			_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil)
		}
	}
}

func (d *daemon) reopenLogs() {
	err := d.mainLog.locked((*logFile).reopen)
	for _, g := range d.groups {
		for _, p := range g.processes {
			for _, o := range p.outputs() {
				if o.log != nil {
					err = errors.Join(err, o.log.reopen())
				}
			}
		}
	}
	if err != nil {
		d.log.Error("logs can't be reopened", "error", err)
	}
}

// stopAll stops the groups, one priority after the other, and waits for each.
func (d *daemon) stopAll() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.notify("SUPERVISOR_STATE_CHANGE_STOPPING", "")
	groups := d.groupsByPriority()
	for len(groups) > 0 {
		last := len(groups) - 1
		for last > 0 && groups[last-1].config.Priority == groups[last].config.Priority {
			last--
		}
		for _, g := range groups[last:] {
			g.stopAll()
		}
		for _, g := range groups[last:] {
			for _, p := range g.processes {
				_ = p.wait(context.Background(), func() bool { return p.state.isStopped() })
			}
		}
		groups = groups[:last]
	}
}

// wait releases the lock until done returns true; it asks at each change of state.
func (p *process) wait(ctx context.Context, done func() bool) error {
	for !done() {
		if p.changed == nil {
			p.changed = make(chan struct{})
		}
		changed := p.changed
		connectionOf(ctx).enter(waiting)
		p.d.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		p.d.mu.Lock()
		connectionOf(ctx).enter(busy)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

func (d *daemon) critical(text string) {
	d.log.Log(context.Background(), config.LevelCritical, text)
}

// logPath is the path of a program's log; AUTO makes a temporary one.
func (d *daemon) logPath(p *config.Program, channel string, s config.Stream) string {
	if s.LogFile != config.Auto {
		return s.LogFile
	}
	pattern := fmt.Sprintf("%s-%s---%s-*.log", strings.ReplaceAll(p.Name, "/", "_"), channel, d.config.Identifier)
	file, err := os.CreateTemp(d.config.ChildLogDir, pattern)
	if err != nil {
		d.log.Error("output is not logged", "process", p.Name, "error", err)
		return ""
	}
	defer file.Close()
	return file.Name()
}

// cleanLogs removes the temporary logs of earlier supervisors.
func (d *daemon) cleanLogs() {
	used := map[string]bool{}
	for _, g := range d.groups {
		for _, p := range g.processes {
			for _, o := range p.outputs() {
				used[o.path] = true
			}
		}
	}
	ours := regexp.MustCompile(`^.+---` + regexp.QuoteMeta(d.config.Identifier) + `-\S+\.log(\.\d{1,4})?$`)
	entries, err := os.ReadDir(d.config.ChildLogDir)
	if err != nil {
		d.log.Warn("Could not clear childlog dir")
	}
	for _, entry := range entries {
		path := d.config.ChildLogDir + "/" + entry.Name()
		if ours.MatchString(entry.Name()) && !used[path] {
			os.Remove(path)
		}
	}
}
