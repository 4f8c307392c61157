// SPDX-License-Identifier: GPL-3.0-or-later

package process

import (
	"os"
	"os/exec"

	"golang.org/x/sys/unix"

	"slapos/slap/child"
)

// streams connect us with a child. They are always closed.
type streams struct {
	output, messages *output    // nil: none
	theirs           []*os.File // the child's ends
	status           *os.File   // why there is no program
}

// The child's descriptors, from the first of [exec.Cmd.ExtraFiles] on.
const (
	messagesPlace, dataPlace    = 0, 1 // for the program
	statusPlace, directoryPlace = 2, 3 // for [child.Start]
	firstExtra                  = 3
)

// connect gives the child its descriptors.
func (c *Command) connect(cmd *exec.Cmd, start *child.Start) (s *streams, err error) {
	s = &streams{}
	if c.Terminal {
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	} else {
		if s.output, err = newOutput(c.Output, c.KeepOutput, maxLine); err != nil {
			return s, err
		}
		s.theirs = append(s.theirs, s.output.writeEnd)
		cmd.Stdout, cmd.Stderr = s.output.writeEnd, s.output.writeEnd
	}
	cmd.ExtraFiles = make([]*os.File, 4) // nil: closed
	if c.Messages != nil {
		if s.messages, err = newOutput(c.Messages, 0, maxMessage); err != nil {
			return s, err
		}
		s.theirs = append(s.theirs, s.messages.writeEnd)
		cmd.ExtraFiles[messagesPlace] = s.messages.writeEnd
	}
	if c.Data != nil {
		data, err := memoryFile(c.Data)
		if err != nil {
			return s, err
		}
		s.theirs = append(s.theirs, data)
		cmd.ExtraFiles[dataPlace] = data
	}
	return s, c.connectStart(cmd, start, s)
}

// connectStart gives the child what it needs until it is the program. It reaches its
// working directory through our descriptor.
func (c *Command) connectStart(cmd *exec.Cmd, start *child.Start, s *streams) error {
	status, writeEnd, err := os.Pipe()
	if err != nil {
		return err
	}
	s.status, s.theirs = status, append(s.theirs, writeEnd)
	cmd.ExtraFiles[statusPlace], start.Status = writeEnd, firstExtra+statusPlace
	if c.In == nil {
		return nil
	}
	directory, err := c.In.Handle()
	if err != nil {
		return err
	}
	s.theirs = append(s.theirs, directory)
	cmd.ExtraFiles[directoryPlace], start.Entered = directory, firstExtra+directoryPlace
	return nil
}

// failure tells, after the child's end, why it never became the program; nil: it did.
func (s *streams) failure() error {
	text := make([]byte, 16)
	raw, err := s.status.SyscallConn()
	if err != nil {
		return nil
	}
	size := 0
	_ = raw.Control(func(fd uintptr) { size, _ = unix.Read(int(fd), text) }) // it doesn't wait
	return child.Failure(text[:max(size, 0)])
}

func (s *streams) readers() []*output {
	var readers []*output
	for _, o := range []*output{s.output, s.messages} {
		if o != nil {
			readers = append(readers, o)
		}
	}
	return readers
}

// begin is called after the child's start.
func (s *streams) begin() {
	for _, file := range s.theirs {
		file.Close()
	}
	for _, o := range s.readers() {
		go o.read() // owns o, and calls line, until finish has waited for it
	}
}

// finish is called after the child's end. It returns the kept output.
func (s *streams) finish() string {
	kept := ""
	for _, o := range s.readers() {
		text := o.finish()
		if o == s.output {
			kept = text
		}
	}
	return kept
}

func (s *streams) close() {
	for _, file := range s.theirs {
		file.Close()
	}
	if s.status != nil {
		s.status.Close()
	}
	for _, o := range s.readers() {
		o.readEnd.Close()
	}
}

// memoryFile holds data for a single child: another user's must not be able to
// change it.
func memoryFile(data []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("slapos", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	file := os.NewFile(uintptr(fd), "data")
	if _, err = file.Write(data); err == nil {
		_, err = file.Seek(0, 0)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}
