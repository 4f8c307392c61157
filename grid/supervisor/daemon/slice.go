// SPDX-License-Identifier: GPL-3.0-or-later

package daemon

import (
	"path/filepath"
	"syscall"

	"slapos/slap/child"
)

// fork starts a program in the control group of its partition, if node format
// has made one (D-12). The group has the name of the program's directory. The
// partition's limits hold from the first instruction on. The arguments are those of
// [child.Start].
func (p *process) fork(args []string, attributes *syscall.ProcAttr) (pid int, err error) {
	slice, err := p.d.options.CGroups.Open(filepath.Base(p.config.Directory))
	if err != nil {
		p.d.log.Warn("services are not limited by control groups", "error", err)
	}
	fork := func() { pid, err = syscall.ForkExec(child.Program, args, attributes) }
	if slice == nil {
		unmasked(fork)
		return pid, err
	}
	defer slice.Close()
	attributes.Sys.UseCgroupFD, attributes.Sys.CgroupFD = true, int(slice.Fd())
	if unmasked(fork); err == nil {
		return pid, nil
	}
	// It is an old kernel, a sandbox, or a group that can't hold processes.
	attributes.Sys.UseCgroupFD = false
	refusal := err
	if unmasked(fork); err == nil {
		p.d.log.Warn("services are not limited by control groups", "error", refusal)
	}
	return pid, err
}
