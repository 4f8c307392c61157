// SPDX-License-Identifier: GPL-3.0-or-later

package proxy

import (
	"context"
	"io"
	"net/http"
	"time"

	"golang.org/x/sync/semaphore"
)

// The memory that bodies may have, in bytes, all together. A small one needs
// nothing of it, so that large ones can't keep it out; a large one has some
// minutes, and waits for those of others for some seconds.
const (
	maximumRoom = 64 << 20
	smallBody   = 64 << 10
	roomPiece   = 256 << 10
	roomTime    = 5 * time.Minute
	roomWait    = 20 * time.Second
)

// room is the memory for bodies.
type room struct {
	left       *semaphore.Weighted
	time, wait time.Duration
}

func newRoom() *room {
	return &room{left: semaphore.NewWeighted(maximumRoom), time: roomTime, wait: roomWait}
}

var (
	errRoom = &statusError{http.StatusServiceUnavailable, "This master reads as many large requests as it has memory for: try again later."}
	errSlow = &statusError{http.StatusRequestTimeout, "This request was sent too slowly."}
)

// roomedBody takes what is read of it from a room; leave gives it back.
type roomedBody struct {
	io.ReadCloser
	ctx         context.Context
	room        *room
	begun       time.Time
	read, taken int64
}

func (r *room) body(ctx context.Context, body io.ReadCloser) *roomedBody {
	return &roomedBody{ReadCloser: body, ctx: ctx, room: r, begun: time.Now()}
}

func (b *roomedBody) Read(p []byte) (int, error) {
	if b.read > smallBody+b.taken {
		if err := b.take(); err != nil {
			return 0, err
		}
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), roomPiece)])
	b.read += int64(n)
	return n, err
}

func (b *roomedBody) take() error {
	if time.Since(b.begun) > b.room.time {
		return errSlow
	}
	ctx, cancel := context.WithTimeout(b.ctx, b.room.wait)
	defer cancel()
	if b.room.left.Acquire(ctx, roomPiece) != nil {
		return errRoom
	}
	b.taken += roomPiece
	return nil
}

func (b *roomedBody) leave() {
	if b.taken > 0 {
		b.room.left.Release(b.taken)
		b.taken = 0
	}
}
