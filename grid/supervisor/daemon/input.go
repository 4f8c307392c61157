// SPDX-License-Identifier: GPL-3.0-or-later

package daemon

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// maximumWaiting bounds the text that waits for one process, in bytes.
const maximumWaiting = 16 << 20

var errInputFull = errors.New("the process doesn't read its standard input")

// input is text that didn't fit into the pipe of a process. The daemon's lock
// guards it, as it does the process.
type input struct {
	fd   int
	text []byte
}

// sendInput writes to the process's standard input, even if another supervisor
// made that pipe. What doesn't fit waits until the process reads. On an error
// the process gets none of the text.
func (p *process) sendInput(text []byte) error {
	if waiting := p.waitingInput(); waiting+len(text) > maximumWaiting {
		return fmt.Errorf("%w: %d bytes wait already, %d more are too many", errInputFull, waiting, len(text))
	}
	if p.input != nil {
		p.input.text = append(p.input.text, text...)
		return nil
	}
	fd, err := reopenPipe(p.pid, 0, unix.O_WRONLY, p.pipes[0])
	if err != nil {
		return err
	}
	rest, err := writeInput(fd, text)
	if err != nil || len(rest) == 0 {
		closeAll(fd)
		return err
	}
	waiting := &input{fd: fd, text: append([]byte(nil), rest...)}
	if err := p.d.poller.add(fd, unix.EPOLLOUT, func(uint32) { p.continueInput(waiting) }); err != nil {
		closeAll(fd)
		return err
	}
	p.input = waiting
	return nil
}

func (p *process) waitingInput() int {
	if p.input == nil {
		return 0
	}
	return len(p.input.text)
}

// continueInput writes waiting text once the pipe has room.
func (p *process) continueInput(waiting *input) {
	rest, err := writeInput(waiting.fd, waiting.text)
	waiting.text = rest
	if err != nil {
		p.d.log.Warn("the process closed its standard input before it read all", "process", p.config.Name, "bytes", len(rest))
	}
	if err != nil || len(rest) == 0 {
		p.dropInput()
	}
}

// writeInput writes until the pipe is full, and returns the rest.
func writeInput(fd int, text []byte) (rest []byte, err error) {
	for len(text) > 0 {
		n, err := unix.Write(fd, text)
		switch err {
		case nil:
			text = text[n:]
		case unix.EINTR:
		case unix.EAGAIN:
			return text, nil
		default:
			return text, err
		}
	}
	return nil, nil
}

// dropInput drops the waiting text: its reader is gone.
func (p *process) dropInput() {
	if p.input != nil {
		p.d.poller.closeFD(p.input.fd)
		p.input = nil
	}
}
