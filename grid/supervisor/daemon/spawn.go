// SPDX-License-Identifier: GPL-3.0-or-later

package daemon

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/ochinchina/supervisord/faults"
	"golang.org/x/sys/unix"

	"slapos/grid/supervisor/config"
	"slapos/slap"
	"slapos/slap/child"
)

// A commandError says that a command can't be run, before anything was tried.
type commandError struct {
	fault int
	text  string
}

func (e *commandError) Error() string { return e.text }

// defaultPath is searched if the environment has no PATH.
const defaultPath = "/bin:/usr/bin:/usr/local/bin"

// command resolves the command line to a file and its arguments.
func (p *process) command() (path string, argv []string, err error) {
	argv, err = config.SplitCommand(p.config.Command)
	if err != nil {
		return "", nil, &commandError{fault: faults.NotExecutable, text: fmt.Sprintf("can't parse command %s: %v", slap.PythonRepr(p.config.Command), err)}
	}
	if len(argv) == 0 {
		return "", nil, &commandError{fault: faults.NotExecutable, text: "command is empty"}
	}
	path = argv[0]
	if !strings.Contains(path, "/") {
		path = p.search(path)
	}
	info, err := os.Stat(path)
	switch quoted := slap.PythonRepr(path); {
	case err != nil:
		err = &commandError{fault: faults.NoFile, text: "can't find command " + quoted}
	case info.IsDir():
		err = &commandError{fault: faults.NotExecutable, text: "command at " + quoted + " is a directory"}
	case info.Mode()&0o111 == 0:
		err = &commandError{fault: faults.NotExecutable, text: "command at " + quoted + " is not executable"}
	case unix.Access(path, unix.X_OK) != nil:
		err = &commandError{fault: faults.NotExecutable, text: "no permission to run command " + quoted}
	}
	return path, argv, err
}

// search looks for a program in PATH: the program's own PATH or ours.
func (p *process) search(name string) string {
	path, found := p.config.Environment["PATH"]
	if !found {
		path = p.d.environment["PATH"]
	}
	if path == "" {
		path = defaultPath
	}
	for directory := range strings.SplitSeq(path, ":") {
		candidate := filepath.Join(directory, name)
		if _, err := os.Stat(candidate); err == nil {
			return candidate
		}
	}
	return name
}

// variables returns the environment of the process.
func (p *process) variables() []string {
	all := maps.Clone(p.d.environment)
	all["SUPERVISOR_ENABLED"] = "1"
	if url := p.serverURL(); url != "" {
		all["SUPERVISOR_SERVER_URL"] = url
	}
	all["SUPERVISOR_PROCESS_NAME"] = p.config.Name
	all["SUPERVISOR_GROUP_NAME"] = p.group.config.Name
	maps.Copy(all, p.config.Environment)
	list := make([]string, 0, len(all))
	for name, value := range all {
		list = append(list, name+"="+value)
	}
	return list
}

func (p *process) serverURL() string {
	if p.config.ServerURL != "" {
		return p.config.ServerURL
	}
	return p.d.config.ServerURL()
}

// credential returns the identity to run under, or nil to keep ours. It has all
// groups of the user, and none of ours.
func (p *process) credential() (*syscall.Credential, error) {
	uid := p.config.User
	if uid < 0 || uid == os.Geteuid() {
		return nil, nil
	}
	if os.Geteuid() != 0 {
		return nil, errors.New("can't drop privilege as nonroot user")
	}
	credential := &syscall.Credential{Uid: uint32(uid), Gid: uint32(p.config.Group)}
	entry, err := user.LookupId(strconv.Itoa(uid))
	if err != nil {
		if p.config.Group < 0 {
			return nil, fmt.Errorf("can't find uid %d", uid)
		}
		credential.Groups = []uint32{credential.Gid}
		return credential, nil
	}
	if p.config.Group < 0 {
		gid, err := strconv.Atoi(entry.Gid)
		if err != nil {
			return nil, err
		}
		credential.Gid = uint32(gid)
	}
	names, err := entry.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("could not set groups of effective user: %w", err)
	}
	credential.Groups = []uint32{credential.Gid}
	for _, name := range names {
		if gid, err := strconv.Atoi(name); err == nil && uint32(gid) != credential.Gid {
			credential.Groups = append(credential.Groups, uint32(gid))
		}
	}
	return credential, nil
}

// start runs the program. It returns errors that are known before there is a
// process; what can't become the program ends with exit status 127, as the
// original's child does (see package child).
func (p *process) start() error {
	path, argv, err := p.command()
	if err != nil {
		return err
	}
	for _, o := range p.outputs() {
		if err := o.open(); err != nil {
			return err
		}
	}
	pipes, err := p.makePipes()
	if err != nil {
		return fmt.Errorf("unknown error making dispatchers for '%s': %w", p.config.Name, err)
	}
	defer pipes.closeChild()
	credential, err := p.credential()
	if err != nil {
		pipes.closeParent()
		p.failExec(fmt.Sprintf("couldn't setuid to %d: %v", p.config.User, err))
		return nil
	}
	start := child.Start{
		Path: path, Args: argv, Env: p.variables(), User: credential, Umask: p.config.Umask, Directory: p.config.Directory,
	}
	args, env := start.Command()
	attributes := &syscall.ProcAttr{
		Env:   env,
		Files: []uintptr{uintptr(pipes.stdin), uintptr(pipes.stdout), uintptr(pipes.stderr)},
		// A process group of its own shields it from our terminal's signals. A
		// group leader can't become a session leader, which distinguishes the
		// programs that supervisor started from those that they started: see
		// adopt.
		Sys: &syscall.SysProcAttr{Setpgid: true, PidFD: new(int)},
	}
	pid, err := p.fork(args, attributes)
	if err != nil {
		pipes.closeParent()
		return p.notStarted(argv[0], err)
	}
	p.pid, p.pidfd = pid, *attributes.Sys.PidFD
	p.d.log.Info(fmt.Sprintf("spawned: '%s' with pid %d", p.config.Name, pid))
	p.pipes = [3]uint64{inode(pipes.stdin), inode(pipes.stdout), inode(pipes.stderr)}
	p.d.journal.started(p)
	return p.watch(pipes)
}

// notStarted distinguishes a lack of resources, which is retried, from a
// program that can't be executed.
func (p *process) notStarted(program string, err error) error {
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.ENOMEM):
		return fmt.Errorf("too many processes in process table to spawn '%s'", p.config.Name)
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
		return fmt.Errorf("too many open files to spawn '%s'", p.config.Name)
	}
	p.failExec(fmt.Sprintf("couldn't exec %s: %s", program, unix.ErrnoName(errno(err))))
	return nil
}

func errno(err error) (number syscall.Errno) {
	errors.As(err, &number)
	return number
}

// failExec stands in for a child that could only write the reason and exit with 127.
func (p *process) failExec(why string) {
	o := p.stderr
	if o == nil {
		o = p.stdout
	}
	o.write([]byte("supervisor: " + why + "\nsupervisor: child process was not spawned\n"))
	for _, o := range p.outputs() {
		o.closeUnused()
	}
	p.finish(ended{status: 127, how: "exit status 127"})
}

// watch follows the output and the end of a new process. It kills a process
// that it can't watch.
func (p *process) watch(pipes *pipes) error {
	err := errors.New("this kernel has no pidfds: Linux 5.3 or newer is needed")
	if p.pidfd >= 0 {
		err = p.d.poller.add(p.pidfd, unix.EPOLLIN, func(uint32) { p.reap() })
	}
	if err == nil {
		err = p.stdout.follow(pipes.readStdout)
	}
	if err == nil && p.stderr != nil {
		err = p.stderr.follow(pipes.readStderr)
	}
	if err != nil {
		_ = unix.Kill(-p.pid, unix.SIGKILL)
		_, _ = unix.Wait4(p.pid, nil, 0, nil)
		p.release()
		return err
	}
	if p.listener != nil {
		p.listener.begin(pipes.writeStdin)
	}
	return nil
}

// reap takes the exit status of the process, and handles its end.
func (p *process) reap() {
	if p.ticks != 0 && !isOurChild(p.pid, p.ticks) {
		p.finish(endOf(p.pid, p.pidfd, p.ticks))
		return
	}
	var status unix.WaitStatus
	pid, err := unix.Wait4(p.pid, &status, unix.WNOHANG, nil)
	switch {
	case err == nil && pid == 0, err == unix.EINTR: // not yet
	case err != nil: // somebody else reaped it
		p.finish(endOf(p.pid, p.pidfd, p.ticks))
	default:
		p.finish(endFrom(status))
	}
}

// isOurChild reports whether an adopted process is a child of ours all the
// same: a supervisor that became this one started it.
func isOurChild(pid int, ticks uint64) bool {
	stat, err := readStat(pid)
	return err == nil && stat.ticks == ticks && stat.parent == os.Getpid()
}

func endFrom(status unix.WaitStatus) ended {
	if status.Exited() {
		return ended{status: status.ExitStatus(), how: fmt.Sprintf("exit status %d", status.ExitStatus())}
	}
	how := "terminated by " + signalName(status.Signal())
	if status.CoreDump() {
		how += " (core dumped)"
	}
	return ended{status: -1, how: how}
}
