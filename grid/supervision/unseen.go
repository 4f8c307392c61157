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

// unseen describes a supervisor that no pass has completed with yet: since then
// it, or the machine, was restarted.
type unseen struct {
	name string          // of the supervisor; empty: a pass has completed with it
	idle map[string]bool // groups with a program that it never started
}

// seenFile names the last supervisor under which a pass started all services.
func (s *Supervision) seenFile() string {
	return filepath.Join(filepath.Dir(s.layout.PIDFile()), "supervisord.seen")
}

// FindIdle asks a supervisor that no pass has completed with which groups are
// idle. If none answers, no group is: nobody could start it either.
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

// NoteSeen is called at the end of a pass that has started all idle groups.
func (s *Supervision) NoteSeen() error {
	if s.unseen.name == "" {
		return nil
	}
	return wholefile.Write(s.seenFile(), []byte(s.unseen.name), 0o600)
}
