// SPDX-License-Identifier: GPL-3.0-or-later

package serve

import (
	"io"
	"net"
	"time"
)

// Answers are written in pieces, each of which a client has the server's patience
// to take: what one never reads would hold its connection, and what answers it,
// for ever.
const (
	piece     = 16 << 10  // bytes
	filePiece = 256 << 10 // of a file that the kernel sends
)

type boundConnection struct {
	net.Conn
	patience time.Duration
	leave    func()
}

func (c *boundConnection) Close() error {
	defer c.leave()
	return c.Conn.Close()
}

func (c *boundConnection) Write(p []byte) (n int, err error) {
	for {
		c.wait()
		m, err := c.Conn.Write(p[n:min(n+piece, len(p))])
		n += m
		if err != nil || n == len(p) {
			return n, err
		}
	}
}

func (c *boundConnection) wait() { _ = c.Conn.SetWriteDeadline(time.Now().Add(c.patience)) }

// ReadFrom lets the kernel send files.
func (c *boundConnection) ReadFrom(r io.Reader) (n int64, err error) {
	to, ok := c.Conn.(io.ReaderFrom)
	if !ok {
		return io.Copy(struct{ io.Writer }{c}, r)
	}
	// The kernel sees a file below one bound, not below two.
	whole, bounded := r.(*io.LimitedReader)
	if !bounded {
		whole = &io.LimitedReader{R: r, N: 1<<63 - 1}
	}
	for whole.N > 0 {
		c.wait()
		part := &io.LimitedReader{R: whole.R, N: min(whole.N, filePiece)}
		wanted := part.N
		m, err := to.ReadFrom(part)
		n, whole.N = n+m, whole.N-m
		if err != nil || m < wanted {
			return n, err
		}
	}
	return n, nil
}
