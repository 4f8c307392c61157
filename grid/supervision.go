// SPDX-License-Identifier: GPL-3.0-or-later

package grid

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"sync"

	"slapos/grid/supervisor"
	"slapos/slap/wholefile"
)

// A supervision makes the supervisor follow its files for all partitions of a
// pass. Files are written, then the supervisor reads all of them again and says
// which groups differ from what it runs; each partition then changes its own
// groups, at its own pace. Partitions that ask for a reading while one is under
// way share the next one.
type supervision struct {
	layout          supervisor.Layout
	client          *supervisor.Client
	watchdogCommand string
	firewall        *FirewallOptions // nil: no daemons

	// idle are the groups with a program that this supervisor never started. The
	// supervisor was restarted since their partition was processed, or the
	// machine was.
	idle map[string]bool
	// newcomer names the supervisor when no pass has seen it yet.
	newcomer string

	mu      sync.Mutex
	pending bool          // there is a change that no partition asks for
	written int           // changes of files, and one for what earlier passes left
	read    int           // changes that the supervisor has read
	reading chan struct{} // closed when the reading under way has ended; nil: none
	// differences are the groups that don't run as the files say. busy ones are
	// being changed, touched ones were at some moment of the reading under way:
	// what that reading says of them is out of date.
	differences   map[string]difference
	busy, touched map[string]bool
}

// difference tells what is to be done with a group.
type difference int

const (
	groupAdded difference = iota
	groupChanged
	groupRemoved
)

func newSupervision(p *pass) *supervision {
	layout := p.supervisorLayout()
	return &supervision{
		layout: layout, client: supervisor.NewClient(layout.Socket()), watchdogCommand: p.Supervisor.WatchdogCommand,
		firewall: p.Firewall,
		written:  1, differences: map[string]difference{}, busy: map[string]bool{}, touched: map[string]bool{},
	}
}

func (s *supervision) close() { s.client.Close() }

func (s *supervision) writeConfiguration(ctx context.Context) error {
	if err := s.layout.StopSecond(ctx); err != nil {
		return err
	}
	if err := supervisor.WriteConfiguration(s.layout, s.watchdogCommand); err != nil {
		return err
	}
	for _, daemon := range s.firewall.daemons() {
		changed, err := s.layout.WriteSystemDaemon(daemon)
		if err != nil {
			return err
		}
		s.pending = s.pending || changed
	}
	return nil
}

// daemons of the firewall, those without a command being absent (GRID-78).
func (o *FirewallOptions) daemons() []supervisor.SystemDaemon {
	firewall := supervisor.SystemDaemon{Name: "firewall", Priority: 5}
	dbus := supervisor.SystemDaemon{Name: "dbus", Priority: 1}
	if o != nil && !o.Testing {
		firewall.Command, firewall.LogFile = o.Executable, o.LogFile
		dbus.Command, dbus.LogFile = o.DBusExecutable, o.DBusLogFile
	}
	return []supervisor.SystemDaemon{dbus, firewall}
}

// seenFile is where passes note the supervisor of which they know that every
// partition has its services started.
func (s *supervision) seenFile() string {
	return filepath.Join(filepath.Dir(s.layout.PIDFile()), "supervisord.seen")
}

// findIdle asks a supervisor that no pass has seen which groups are idle. Where
// nobody answers none is: there is nobody to start them either.
func (s *supervision) findIdle(ctx context.Context) {
	pid, err := os.ReadFile(s.layout.PIDFile())
	if err != nil {
		return
	}
	info, err := os.Stat(s.layout.PIDFile())
	if err != nil {
		return
	}
	newcomer := fmt.Sprintf("%s %d", bytes.TrimSpace(pid), info.ModTime().UnixNano())
	if seen, err := os.ReadFile(s.seenFile()); err == nil && string(seen) == newcomer {
		return
	}
	processes, err := s.client.AllProcessInfo(ctx)
	if err != nil {
		return
	}
	s.newcomer, s.idle = newcomer, map[string]bool{}
	for _, process := range processes {
		if process.Statename == "STOPPED" && process.Start == 0 {
			s.idle[process.Group] = true
		}
	}
}

// noteSeen is for the end of a pass that has started all that was idle.
func (s *supervision) noteSeen() error {
	if s.newcomer == "" {
		return nil
	}
	return wholefile.Write(s.seenFile(), []byte(s.newcomer), 0o600)
}

// noteChange tells that a file was written or removed.
func (s *supervision) noteChange() {
	s.mu.Lock()
	s.written++
	s.mu.Unlock()
}

// follow changes the groups chosen by mine until they run as their files say,
// except that nothing is started (GRID-74).
func (s *supervision) follow(ctx context.Context, mine func(group string) bool, log *slog.Logger) error {
	if err := s.readFiles(ctx); err != nil {
		return fmt.Errorf("supervisor: %w", err)
	}
	for {
		name, change, found := s.take(mine)
		if !found {
			return nil
		}
		err := s.change(ctx, name, change, log)
		s.release(name)
		if err != nil {
			return fmt.Errorf("supervisor: %w", err)
		}
	}
}

// finish changes the groups that are left when a pass ends: those of nobody, as
// the watchdog's, and of interrupted passes.
func (s *supervision) finish(ctx context.Context, log *slog.Logger) error {
	s.mu.Lock()
	asked := s.read > 0 || s.pending
	s.mu.Unlock()
	if !asked {
		return nil
	}
	return s.follow(ctx, func(string) bool { return true }, log)
}

// readFiles makes sure that the supervisor has read all files written so far.
func (s *supervision) readFiles(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for wanted := s.written; s.read < wanted; {
		if reading := s.reading; reading != nil {
			s.mu.Unlock()
			select {
			case <-reading:
			case <-ctx.Done():
			}
			s.mu.Lock()
			if err := ctx.Err(); err != nil {
				return err
			}
			continue
		}
		if err := s.readNow(ctx); err != nil {
			return err
		}
	}
	return nil
}

// readNow lets go of the lock while the supervisor reads.
func (s *supervision) readNow(ctx context.Context) error {
	written := s.written
	s.reading, s.touched = make(chan struct{}), maps.Clone(s.busy)
	s.mu.Unlock()
	added, changed, removed, err := s.client.ReloadConfig(ctx)
	s.mu.Lock()
	close(s.reading)
	s.reading = nil
	if err != nil {
		return fmt.Errorf("reload configuration: %w", err)
	}
	s.read = written
	s.differences = map[string]difference{}
	for change, names := range map[difference][]string{groupAdded: added, groupChanged: changed, groupRemoved: removed} {
		for _, name := range names {
			if !s.touched[name] {
				s.differences[name] = change
			}
		}
	}
	return nil
}

func (s *supervision) take(mine func(string) bool) (name string, change difference, found bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, change := range s.differences {
		if mine(name) {
			delete(s.differences, name)
			s.busy[name], s.touched[name] = true, true
			return name, change, true
		}
	}
	return "", 0, false
}

func (s *supervision) release(name string) {
	s.mu.Lock()
	delete(s.busy, name)
	s.mu.Unlock()
}

func (s *supervision) change(ctx context.Context, name string, change difference, log *slog.Logger) error {
	if change != groupAdded {
		if err := endGroup(ctx, s.client, name, log); err != nil {
			return err
		}
	}
	if change == groupRemoved {
		return nil
	}
	var fault *supervisor.Fault
	err := s.client.AddGroup(ctx, name)
	if err != nil && !(errors.As(err, &fault) && fault.Code == supervisor.FaultAlreadyAdded) {
		return fmt.Errorf("add group %s: %w", name, err)
	}
	log.Info(fmt.Sprintf("Updated '%s'", name))
	return nil
}
