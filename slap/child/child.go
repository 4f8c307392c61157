// SPDX-License-Identifier: GPL-3.0-or-later

// Package child begins a program for somebody whom its parent doesn't trust.
//
// Go starts a child by vfork: until the child has become another program, the whole
// parent stands still. What the child opens on the way, its directory and the program,
// belongs to the user for whom it runs, who can make that last: with a file system of
// his own that doesn't answer, or with a lease on the program's file. Hence two steps:
// the parent's child becomes this program again, whose file nobody else can hold, and
// that one (see stage.go) becomes the user, enters the directory and then the program.
// It has the number, the session and the control group of what it becomes.
//
// A test binary that links this package serves as well.
package child

import (
	"bytes"
	"strconv"
	"strings"
	"syscall"
)

// Start says how a program begins.
type Start struct {
	// Path is the program, absolute or relative to the directory. Args are its
	// arguments, its name included.
	Path string
	Args []string
	Env  []string // the whole environment, each as NAME=value
	// User to become; nil: the one that the parent is.
	User *syscall.Credential
	// Umask; -1: the parent's.
	Umask int
	// Directory is entered by its name, as the user; empty: the parent's.
	Directory string
	// Entered is the directory by its number among the child's descriptors, where
	// Directory is empty; 0: none. The program doesn't get it.
	Entered int
	// Status is the child's descriptor for the reason why there is no program, see
	// [Failure]; the program doesn't get it. 0: standard error tells the reason, in
	// the words of Python's supervisor, for people.
	Status int
}

// Program is what runs in this process's child, instead of what is to be started.
const Program = "/proc/self/exe"

// name is the first argument by which this program knows that it is to become another.
const name = "slapos: start"

// mark stands before each variable: the runtime of this program obeys some of them,
// and they are for the other.
const mark = "+"

// Command returns arguments, with the name, and environment for [Program].
func (s Start) Command() (args, env []string) {
	options := []string{"umask=" + strconv.Itoa(s.Umask), "entered=" + strconv.Itoa(s.Entered), "status=" + strconv.Itoa(s.Status)}
	if s.User != nil {
		options = append(options, "uid="+strconv.FormatUint(uint64(s.User.Uid), 10), "gid="+strconv.FormatUint(uint64(s.User.Gid), 10))
		for _, group := range s.User.Groups {
			options = append(options, "group="+strconv.FormatUint(uint64(group), 10))
		}
	}
	args = append([]string{name, strings.Join(options, ","), s.Directory, s.Path}, s.Args...)
	env = make([]string, 0, len(s.Env))
	for _, variable := range s.Env {
		env = append(env, mark+variable)
	}
	return args, env
}

// Variables returns what /proc/PID/environ of a process has, each as NAME=value. If the
// process begins, it has yet to become a program: then they are the program's, and the
// process may still be its parent's user.
func Variables(environ []byte) (variables [][]byte, begins bool) {
	variables = bytes.Split(bytes.TrimSuffix(environ, []byte{0}), []byte{0})
	for _, variable := range variables {
		if !bytes.HasPrefix(variable, []byte(mark)) {
			return variables, false
		}
	}
	for i := range variables {
		variables[i] = variables[i][len(mark):]
	}
	return variables, true
}

// Failure reads what was written to [Start.Status]: nil if there is nothing, as
// always when the program has begun.
func Failure(text []byte) error {
	number, err := strconv.ParseUint(string(text), 10, 16)
	if err != nil || number == 0 {
		return nil
	}
	return syscall.Errno(number)
}
