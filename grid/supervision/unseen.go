// SPDX-License-Identifier: GPL-3.0-or-later

package supervision

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"

	"slapos/slap/wholefile"
)

// unseen tells of a supervisor that no pass has finished with yet: it was
// restarted since partitions were processed, or the machine was.
type unseen struct {
	name string          // of the supervisor; empty: it is known
	idle map[string]bool // groups with a program that it never started
}

// seenFile is where passes note the supervisor of which they know that every
// partition has its services started.
func (s *Supervision) seenFile() string {
	return filepath.Join(filepath.Dir(s.layout.PIDFile()), "supervisord.seen")
}

// FindIdle asks a supervisor that no pass has seen which groups are idle. Where
// nobody answers none is: there is nobody to start them either.
func (s *Supervision) FindIdle(ctx context.Context) {
	pid, err := os.ReadFile(s.layout.PIDFile())
	if err != nil {
		return
	}
	info, err := os.Stat(s.layout.PIDFile())
	if err != nil {
		return
	}
	name := fmt.Sprintf("%s %d", bytes.TrimSpace(pid), info.ModTime().UnixNano())
	if seen, err := os.ReadFile(s.seenFile()); err == nil && string(seen) == name {
		return
	}
	processes, err := s.client.AllProcessInfo(ctx)
	if err != nil {
		return
	}
	s.unseen = unseen{name: name, idle: map[string]bool{}}
	for _, process := range processes {
		if process.Statename == "STOPPED" && process.Start == 0 {
			s.unseen.idle[process.Group] = true
		}
	}
}

// NoteSeen is for the end of a pass that has started all that was idle.
func (s *Supervision) NoteSeen() error {
	if s.unseen.name == "" {
		return nil
	}
	return wholefile.Write(s.seenFile(), []byte(s.unseen.name), 0o600)
}
