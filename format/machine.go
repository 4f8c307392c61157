// SPDX-License-Identifier: GPL-3.0-or-later

package format

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"slapos/manager/cgroup"
)

// Machine is what formatting reads and changes. Its zero value is the real
// machine; tests replace single fields.
type Machine struct {
	Etc      string // /etc
	ProcSys  string // /proc/sys
	CGroups  cgroup.Hierarchy
	Network  Network
	Run      func(ctx context.Context, words ...string) ([]byte, error)
	LookPath func(program string) (string, error)
	Chown    func(path string, uid, gid int) error

	accounts *Accounts // nil if they may have changed
}

func (m *Machine) setDefaults() {
	m.Etc = cmp.Or(m.Etc, "/etc")
	m.ProcSys = cmp.Or(m.ProcSys, "/proc/sys")
	if m.Network == nil {
		m.Network = kernelNetwork{}
	}
	if m.Run == nil {
		m.Run = runProgram
	}
	if m.LookPath == nil {
		m.LookPath = exec.LookPath
	}
	if m.Chown == nil {
		m.Chown = os.Chown
	}
}

// runProgram returns the output of a program; its error contains the end of the output.
func runProgram(ctx context.Context, words ...string) ([]byte, error) {
	output, err := exec.CommandContext(ctx, words[0], words[1:]...).CombinedOutput()
	if err != nil {
		return output, fmt.Errorf("%w: %s", err, bytes.TrimSpace(output))
	}
	return output, nil
}

// MissingPrograms returns the programs that formatting needs but that can't be
// run (FMT-8).
func (m *Machine) MissingPrograms(d *Definition) []string {
	m.setDefaults()
	var missing []string
	if d.AlterUser {
		for _, program := range []string{"groupadd", "useradd", "usermod", "passwd"} {
			if _, err := m.LookPath(program); err != nil {
				missing = append(missing, program)
			}
		}
	}
	return missing
}

// Present is the machine as it is: everything that a plan depends on.
type Present struct {
	Accounts *Accounts
	// Directories are those that formatting may have to make, by path. A
	// missing one has no entry.
	Directories map[string]Directory
	// CGroups is nil if partitions get no control groups.
	CGroups *cgroup.State
	// Network is nil if formatting doesn't touch the network.
	Network *NetworkState
	// NonlocalBind means that programs may listen on addresses that no interface has.
	NonlocalBind bool
	// LoopbackWithoutIPv6 means that IPv6 is off on lo.
	LoopbackWithoutIPv6 bool
	// Storage are the numbered directories of external storage (FMT-46).
	Storage []string
}

// Directory is a directory, or what is in its place.
type Directory struct {
	UID, GID    int
	Mode        fs.FileMode // permissions
	IsDirectory bool
	// Err says why it couldn't be examined.
	Err error
}

// Parameters of the kernel.
const (
	nonlocalBind        = "net/ipv6/ip_nonlocal_bind"
	loopbackWithoutIPv6 = "net/ipv6/conf/lo/disable_ipv6"
)

// Present reads the machine, for the computer that the definition and the state
// of an earlier run describe.
func (m *Machine) Present(ctx context.Context, d *Definition, previous *Computer) (*Present, error) {
	present := &Present{Directories: map[string]Directory{}}
	var err error
	if present.Accounts, err = readAccounts(m.Etc); err != nil {
		return nil, fmt.Errorf("read users and groups: %w", err)
	}
	if present.Storage, err = storageDirectories(d.InstanceStorageHome); err != nil {
		return nil, err
	}
	computer, err := describe(d, previous)
	if err != nil {
		return nil, err
	}
	if err := computer.place(present.Storage); err != nil {
		return nil, err
	}
	m.readDirectories(present, computer, d)
	if d.AlterUser && m.CGroups.Available() == nil { // partitions get groups if they have separate users
		var references []string
		for _, partition := range computer.Partitions {
			references = append(references, partition.Reference)
		}
		present.CGroups = m.CGroups.Read(references)
	}
	if d.Input != nil && !d.AlterNetwork {
		return present, nil
	}
	if present.Network, err = m.Network.Present(ctx); err != nil {
		return nil, fmt.Errorf("read network interfaces: %w", err)
	}
	for name, isSet := range map[string]*bool{nonlocalBind: &present.NonlocalBind, loopbackWithoutIPv6: &present.LoopbackWithoutIPv6} {
		content, err := os.ReadFile(filepath.Join(m.ProcSys, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		*isSet = strings.TrimSpace(string(content)) == "1"
	}
	return present, nil
}

// readDirectories examines the directories that formatting makes. The plan
// decides what an error in one of them means.
func (m *Machine) readDirectories(present *Present, computer *Computer, d *Definition) {
	paths := []string{computer.InstanceRoot, computer.SoftwareRoot}
	for _, partition := range computer.Partitions {
		paths = append(paths, partition.directories()...)
	}
	if d.CertificateRepository != "" {
		paths = append(paths, d.CertificateRepository)
	}
	for _, path := range paths {
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			present.Directories[path] = Directory{Err: err}
		default:
			directory := Directory{UID: unknownID, GID: unknownID, Mode: info.Mode().Perm(), IsDirectory: info.IsDir()}
			if status, ok := info.Sys().(*syscall.Stat_t); ok {
				directory.UID, directory.GID = int(status.Uid), int(status.Gid)
			}
			present.Directories[path] = directory
		}
	}
}

// storageDirectories returns home/data<number>, ordered by number.
func storageDirectories(home string) ([]string, error) {
	if home == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(home)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read instance_storage_home: %w", err)
	}
	var names []string
	for _, entry := range entries {
		digits, isData := strings.CutPrefix(entry.Name(), "data")
		if _, err := strconv.ParseUint(digits, 10, 64); isData && err == nil {
			names = append(names, entry.Name())
		}
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(len(a)-len(b), strings.Compare(a, b)) })
	for i, name := range names {
		names[i] = filepath.Join(home, name)
	}
	return names, nil
}

// user finds a user on the machine: in passwd, or else through the C library.
func (m *Machine) user(ctx context.Context, name string) (User, error) {
	if m.accounts == nil {
		accounts, err := readAccounts(m.Etc)
		if err != nil {
			return User{}, err
		}
		m.accounts = accounts
	}
	if user, found := m.accounts.Users[name]; found {
		return user, nil
	}
	if m.hasDirectoryService() {
		output, _ := m.Run(ctx, "getent", "passwd", name)
		for fields := range records(output, 7) {
			uid, err := strconv.Atoi(fields[2])
			gid, err2 := strconv.Atoi(fields[3])
			if fields[0] == name && err == nil && err2 == nil {
				return User{UID: uid, GID: gid, Home: fields[5], Shell: fields[6], Locked: true}, nil
			}
		}
	}
	return User{}, fmt.Errorf("there is no user %s", name)
}

// isDone reports whether a command for the user is no longer needed.
func (m *Machine) isDone(user plannedUser, command []string) bool {
	accounts, err := readAccounts(m.Etc)
	needed := func(other []string) bool { return slices.Equal(other, command) }
	return err == nil && !slices.ContainsFunc(user.commands(accounts), needed)
}

// hasDirectoryService reports whether users also come from elsewhere, such as LDAP.
func (m *Machine) hasDirectoryService() bool {
	content, err := os.ReadFile(filepath.Join(m.Etc, "nsswitch.conf"))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(content)) {
		sources, isPasswd := strings.CutPrefix(strings.TrimSpace(line), "passwd:")
		if !isPasswd {
			continue
		}
		for _, source := range strings.Fields(sources) {
			if source != "files" && source != "compat" && source != "systemd" && source[0] != '[' {
				return true
			}
		}
	}
	return false
}
