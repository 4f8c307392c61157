// SPDX-License-Identifier: GPL-3.0-or-later

package proxy

import (
	"context"
	"io"
	"net/http"
	"time"

	"slapos/slap/serve"
)

// The memory that bodies may have, in bytes, all together; those of one client may
// have a quarter. A small one needs nothing of it, so that large ones can't keep it
// out; a large one has some minutes, and waits for others for some seconds.
const (
	maximumRoom = 64 << 20
	smallBody   = 64 << 10
	roomPiece   = 256 << 10
	roomTime    = 5 * time.Minute
	roomWait    = 20 * time.Second
)

// room is the memory for bodies.
type room struct {
	pieces     *serve.Budget
	time, wait time.Duration
}

func newRoom() *room {
	return &room{pieces: serve.NewBudget(maximumRoom / roomPiece), time: roomTime, wait: roomWait}
}

var (
	errRoom = &statusError{http.StatusServiceUnavailable, "This master reads as many large requests, of all or of this client, as it has memory for: try again later."}
	errSlow = &statusError{http.StatusRequestTimeout, "This request was sent too slowly."}
)

// roomedBody takes what is read of it from a room; leave gives it back.
type roomedBody struct {
	io.ReadCloser
	request     *http.Request
	room        *room
	share       *serve.Share // nil for a small body
	begun       time.Time
	read, taken int64
}

// body is the body of a request, read through a limit of its own.
func (r *room) body(request *http.Request, limited io.ReadCloser) *roomedBody {
	return &roomedBody{ReadCloser: limited, request: request, room: r, begun: time.Now()}
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
	ctx, cancel := context.WithTimeout(b.request.Context(), b.room.wait)
	defer cancel()
	pieces := int64(1)
	if b.share == nil {
		b.share = b.room.pieces.ShareOf(b.request)
		// All that was announced, or may come, is taken at once: two that have
		// half each would wait for one another.
		most := int64(b.room.pieces.Most() / 4)
		pieces = most
		if b.request.ContentLength >= 0 {
			pieces = min(max(1, (b.request.ContentLength-smallBody+roomPiece-1)/roomPiece), most)
		}
	}
	if b.share.Wait(ctx, int(pieces)) != nil {
		return errRoom
	}
	b.taken += pieces * roomPiece
	return nil
}

func (b *roomedBody) leave() {
	if b.share != nil {
		b.share.Leave()
	}
}
