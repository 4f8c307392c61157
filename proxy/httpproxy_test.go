// SPDX-License-Identifier: GPL-3.0-or-later

package proxy

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"slapos/slap/testkit"
)

// Only a server that is silent is given up, not one whose client is slow.
func TestPatientReader(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r := &patientReader{Reader: strings.NewReader("ab"), timer: time.AfterFunc(time.Hour, cancel), limit: 20 * time.Millisecond}
	if n, err := r.Read(make([]byte, 1)); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	testkit.Watch(t, 100*time.Millisecond) // the client takes its time
	if ctx.Err() != nil {
		t.Error("broken off because the client is slow")
	}
	silent, writer := io.Pipe()
	defer writer.Close()
	context.AfterFunc(ctx, func() { silent.CloseWithError(ctx.Err()) })
	r.Reader = silent
	if _, err := r.Read(make([]byte, 1)); err == nil || ctx.Err() == nil {
		t.Error("a silent server is waited for")
	}
}
