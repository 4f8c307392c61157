// SPDX-License-Identifier: GPL-3.0-or-later

package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"github.com/ochinchina/supervisord/faults"
	"golang.org/x/sys/unix"

	"slapos/grid/supervisor/xmlrpc"
)

// Image is a program that can become the supervisor.
type Image struct {
	// Executable is the path of this program, links resolved: what stands there
	// when the upgrade is asked for is the new image.
	Executable string
	// Arguments are its command line, argv[0] first, to which [TakeoverOption]
	// is added.
	Arguments []string
}

// Options of the command line of a new image.
const (
	// TakeoverOption, with =N, makes it take over the supervisor that the state
	// in descriptor N describes: Options.Takeover.
	TakeoverOption = "--takeover"
	// RehearsalOption makes it only read that state: [Rehearse].
	RehearsalOption = "--rehearsal"
)

const (
	rehearsalLimit = time.Minute     // a busy machine
	stillLimit     = 2 * time.Second // for clients that don't read their answer
	stillPause     = 2 * time.Millisecond
)

// rehearsed is what a rehearsal prints, with the version.
const rehearsed = "can take over, version "

// Rehearse is what a new image does before it becomes the supervisor: it reads
// the state, so that an image that can't is never begun.
func Rehearse(state io.ReaderAt, version string, out io.Writer) error {
	if _, err := readHandover(state); err != nil {
		return err
	}
	_, err := fmt.Fprintln(out, rehearsed+version)
	return err
}

// upgrade replaces the program of this process with the one that is installed
// now: by exec, so that services stay our children, and their pipes, logs, our
// sockets and clients' connections stay open (GRID-109). The new image answers
// the call. Whatever fails before the exec changes nothing:
//
//	the file is ours or root's ─ a rehearsal reads the state ─ clients pause,
//	calls that wait are noted ─ nothing else happens (the lock) ─ exec
func (d *daemon) upgrade(ctx context.Context, _ arguments) (any, error) {
	c := connectionOf(ctx)
	if err := checkPeer(c); err != nil {
		return nil, xmlrpc.NewFault(faults.Failed, err.Error())
	}
	if d.upgrading {
		return nil, xmlrpc.NewFault(faults.Failed, "another upgrade is under way")
	}
	d.upgrading = true
	defer func() { d.upgrading = false }()
	c.leave(&pendingCall{Until: untilUpgraded})
	c.enter(waiting)
	d.mu.Unlock()
	err := d.replace()
	d.mu.Lock()
	c.enter(busy)
	c.leave(nil)
	d.log.Error("the supervisor goes on as the program that it is", "error", err)
	return nil, xmlrpc.NewFault(faults.Failed, err.Error())
}

// upgraded is the answer of the new image.
func (d *daemon) upgraded() any {
	return map[string]any{
		"pid": os.Getpid(), "version": d.options.Version, "previous": d.previous, "executable": d.options.Image.Executable,
	}
}

// checkPeer allows an upgrade only to root and the supervisor's own user: others
// may have been given the socket to start and stop services.
func checkPeer(c *connection) error {
	if c == nil {
		return errors.New("an upgrade is a call of its own")
	}
	unixConn, local := c.Conn.(*net.UnixConn)
	if !local {
		return errors.New("an upgrade can be asked for on the unix socket only")
	}
	raw, err := unixConn.SyscallConn()
	if err != nil {
		return err
	}
	var peer *unix.Ucred
	controlErr := raw.Control(func(fd uintptr) { peer, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err := errors.Join(controlErr, err); err != nil {
		return err
	}
	if peer.Uid != 0 && int(peer.Uid) != os.Geteuid() {
		return fmt.Errorf("user %d may not upgrade the supervisor: only root and user %d may", peer.Uid, os.Geteuid())
	}
	return nil
}

// replace returns only if this program stays.
func (d *daemon) replace() error {
	program, err := openImage(d.options.Image.Executable)
	if err != nil {
		return err
	}
	defer closeAll(program)
	if err := d.rehearse(program); err != nil {
		return fmt.Errorf("%s can't take over: %w", d.options.Image.Executable, err)
	}
	request := handoverRequest{program: program, done: make(chan error)}
	select {
	case d.handovers <- request: // to the goroutine that handles signals
		return <-request.done
	case <-d.ending:
		return errors.New("the supervisor is ending")
	}
}

// openImage opens a program that only root and we can have put there. What is
// checked is what is executed: the descriptor, not the path.
func openImage(path string) (fd int, err error) {
	if path == "" {
		return -1, errors.New("this supervisor doesn't know which program it is")
	}
	directory, above, err := openDirectory(path)
	if err != nil {
		return -1, err
	}
	defer closeAll(directory)
	opened, err := unix.Openat(directory, filepath.Base(path), unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer closeAll(opened)
	if fd, err = unix.FcntlInt(uintptr(opened), unix.F_DUPFD_CLOEXEC, 10); err != nil { // away from what a child gets
		return -1, &os.PathError{Op: "open", Path: path, Err: err}
	}
	var file unix.Stat_t
	if err = unix.Fstat(fd, &file); err == nil {
		switch {
		case !isTrusted(above):
			err = fmt.Errorf("%s is in a directory that others can write to: chmod go-w", path)
		case file.Mode&unix.S_IFMT != unix.S_IFREG || file.Mode&0o111 == 0:
			err = fmt.Errorf("%s is not a program", path)
		case file.Uid != 0 && int(file.Uid) != os.Geteuid():
			err = fmt.Errorf("%s belongs to user %d", path, file.Uid)
		case file.Mode&0o022 != 0:
			err = fmt.Errorf("%s can be written by others: chmod go-w", path)
		}
	}
	if err != nil {
		closeAll(fd)
		return -1, err
	}
	return fd, nil
}

// rehearse has the new image read our state, in a child.
func (d *daemon) rehearse(program int) error {
	d.mu.Lock()
	h, err := d.handover(new(offer))
	d.mu.Unlock()
	if err != nil {
		return err
	}
	fd, err := h.write()
	if err != nil {
		return err
	}
	state := os.NewFile(uintptr(fd), "state")
	defer state.Close()
	ctx, cancel := context.WithTimeout(context.Background(), rehearsalLimit)
	defer cancel()
	var stdout, stderr bytes.Buffer
	command := exec.CommandContext(ctx, imagePath(program))
	command.Args = append(append([]string{}, d.options.Image.Arguments...), TakeoverOption+"=3", RehearsalOption)
	command.Env, command.ExtraFiles, command.Stdout, command.Stderr = d.options.Environ, []*os.File{state}, &stdout, &stderr
	if command.Env == nil {
		command.Env = []string{}
	}
	unmasked(func() { err = command.Start() })
	if err == nil {
		err = command.Wait()
	}
	said, _, _ := strings.Cut(strings.TrimSpace(stderr.String()), "\n")
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("it doesn't answer within %s", rehearsalLimit)
	case err != nil && said != "":
		return errors.New(strings.TrimPrefix(said, "Error: "))
	case err != nil:
		return err
	case !strings.HasPrefix(stdout.String(), rehearsed):
		return errors.New("it is older than upgrades without a stop")
	}
	return nil
}

func imagePath(program int) string { return "/proc/self/fd/" + strconv.Itoa(program) }

// handoverRequest asks the goroutine that handles signals for a handover: it
// knows that no signal is lost on the way.
type handoverRequest struct {
	program int
	done    chan error
}

// errSignalled says that a signal has to be handled first.
var errSignalled = errors.New("a signal arrived")

// handOverBetweenSignals returns only on an error; it handles signals that arrive
// meanwhile.
func (d *daemon) handOverBetweenSignals(program int) error {
	for {
		err := d.handOver(program)
		if err != errSignalled {
			return err
		}
		for len(d.signals) > 0 {
			d.handleSignal((<-d.signals).(syscall.Signal))
		}
	}
}

// handOver makes the servers still and executes the program. It returns only on
// an error.
func (d *daemon) handOver(program int) error {
	for _, s := range d.servers {
		s.pause()
		defer s.resume()
	}
	d.awaitStill() // returns with the lock
	defer d.mu.Unlock()
	if d.state != supervisorRunning {
		return errors.New("the supervisor is ending")
	}
	o := new(offer)
	h, err := d.handover(o)
	if err != nil {
		return err
	}
	fd, err := h.write()
	if err != nil {
		return err
	}
	defer closeAll(fd)
	o.fd(fd)
	defer func() { _ = o.setInherited(false) }()
	if err := o.setInherited(true); err != nil {
		return err
	}
	arguments := append(append([]string{}, d.options.Image.Arguments...), TakeoverOption+"="+strconv.Itoa(fd))
	return execImage(imagePath(program), arguments, d.options.Environ, func() error {
		if d.hasSignals() {
			return errSignalled
		}
		return nil
	})
}

// awaitStill waits until no client is in the middle of a call or an answer, and
// returns with the lock. It drops connections that take too long.
func (d *daemon) awaitStill() {
	for end := time.Now().Add(stillLimit); ; time.Sleep(stillPause) {
		d.mu.Lock()
		still := true
		for _, s := range d.servers {
			still = still && s.still()
		}
		if still {
			return
		}
		d.mu.Unlock()
		if time.Now().After(end) {
			for _, s := range d.servers {
				s.dropBusy()
			}
		}
	}
}

// early has the signals that arrived before a takeover.
var early = make(chan os.Signal, signalBuffer)

// A new image handles signals as soon as it can. Before, SIGTERM and the like
// end it as kill -9 would, whatever it inherits: the runtime unblocks them.
func init() {
	takes := func(argument string) bool { return strings.HasPrefix(argument, TakeoverOption+"=") }
	if slices.ContainsFunc(os.Args, takes) && !slices.Contains(os.Args, RehearsalOption) {
		signal.Notify(early, handled...)
	}
}

// execImage blocks signals until the new image handles them, asks ready, and
// executes. It returns only on an error.
func execImage(path string, arguments, environ []string, ready func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	blocked, before := blockedSignals(), unix.Sigset_t{}
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, &blocked, &before); err != nil {
		return fmt.Errorf("block signals: %w", err)
	}
	defer func() { _ = unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil) }()
	if err := ready(); err != nil {
		return err
	}
	var limit syscall.Rlimit // Exec sets the one that this program was started with
	limited := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit)
	err := syscall.Exec(path, arguments, environ)
	if limited == nil {
		_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
	}
	return fmt.Errorf("execute: %w", err)
}

// handled are the signals that a supervisor reacts to.
var handled = []os.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGQUIT, unix.SIGHUP, unix.SIGUSR2}

func blockedSignals() (set unix.Sigset_t) {
	for _, s := range handled {
		number := uint(s.(syscall.Signal)) - 1
		bits := uint(8 * unsafe.Sizeof(set.Val[0]))
		set.Val[number/bits] |= 1 << (number % bits)
	}
	return set
}

// unmasked calls start with no signal blocked: a program that it starts
// inherits what its thread blocks, and a new image begins with blocked signals.
func unmasked(start func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	none, before := unix.Sigset_t{}, unix.Sigset_t{}
	if unix.PthreadSigmask(unix.SIG_SETMASK, &none, &before) == nil {
		defer func() { _ = unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil) }()
	}
	start()
}

// hasSignals reports whether a signal waits to be handled, after all that arrived
// have been noted. Only the goroutine that handles them may call it.
func (d *daemon) hasSignals() bool {
	flush := make(chan os.Signal, 1)
	signal.Notify(flush, unix.SIGUSR2)
	signal.Stop(flush) // waits until the runtime has delivered what it received
	return len(d.signals) > 0
}
