// SPDX-License-Identifier: GPL-3.0-or-later

package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
)

// readyText is what a background supervisor writes once it answers; any other
// text says why it can't.
const readyText = "ready\n"

// Detach starts a supervisor in the background, in its own session and without
// our standard streams. It returns when the supervisor answers, or with the
// reason why it won't. arguments are its command line, starting with argv[0];
// descriptor 3 is a pipe for [Report].
func Detach(ctx context.Context, executable string, arguments, environ []string) error {
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	defer read.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		write.Close()
		return err
	}
	defer null.Close()
	process, err := os.StartProcess(executable, arguments, &os.ProcAttr{
		Env:   environ,
		Files: []*os.File{null, null, null, write},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	write.Close()
	if err != nil {
		return fmt.Errorf("start the supervisor: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { read.Close() })
	defer stop()
	said, err := io.ReadAll(io.LimitReader(read, 1<<16))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if string(said) == readyText {
		return process.Release()
	}
	state, waitErr := process.Wait()
	if text := strings.TrimSpace(string(said)); text != "" {
		return errors.New(text)
	}
	return errors.Join(err, waitErr, fmt.Errorf("the supervisor ended before it answered (%v)", state))
}

// Report tells the process that waits in [Detach] how the start went.
func Report(pipe *os.File, err error) {
	text := readyText
	if err != nil {
		text = err.Error()
	}
	_, _ = io.WriteString(pipe, text)
	pipe.Close()
}
