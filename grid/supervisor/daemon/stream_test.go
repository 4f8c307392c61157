// SPDX-License-Identifier: GPL-3.0-or-later

package daemon

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"slapos/slap/testkit"
)

// A server that is closed while requests arrive answers or refuses each of
// them, and leaves no connection open.
func TestCloseWhileBusy(t *testing.T) {
	testkit.NoLeaks(t)
	testkit.EachProcessors(t, func(t *testing.T) {
		for range testkit.Rounds(20) {
			listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
			if err != nil {
				t.Fatal(err)
			}
			s := &server{listener: listener, open: map[*connection]bool{}}
			go s.serve(s.listener)
			var clients sync.WaitGroup
			answered := make(chan struct{}, 1000)
			for range 8 {
				clients.Go(func() {
					client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
						return net.Dial("unix", listener.Addr().String())
					}}}
					for {
						answer, err := client.Get("http://s/")
						if err != nil {
							return
						}
						answer.Body.Close()
						select {
						case answered <- struct{}{}:
						default:
						}
					}
				})
			}
			<-answered
			s.close()
			clients.Wait()
			testkit.Eventually(t, testkit.Patience, "no connection is left", func() bool {
				s.mu.Lock()
				defer s.mu.Unlock()
				return len(s.open) == 0
			})
		}
	})
}

// A followed log arrives whole and in order, however it is written.
func TestFollowPieces(t *testing.T) {
	testkit.NoLeaks(t)
	content := []byte(strings.Repeat("a line of a log\n", 500))
	for name, pieces := range testkit.Pieces {
		path := filepath.Join(t.TempDir(), "log")
		file, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		tail, err := openTail(path)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		read, write := io.Pipe()
		ended := make(chan struct{})
		go func() { // owns tail until it ends
			defer close(ended)
			tail.follow(ctx, nil, write, func() {})
		}()
		var copying sync.WaitGroup
		copying.Go(func() {
			_, _ = io.Copy(struct{ io.Writer }{file}, pieces(bytes.NewReader(content)))
			file.Close()
		})
		got := make([]byte, len(content))
		if _, err := io.ReadFull(read, got); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s: %v", name, err)
		}
		copying.Wait()
		cancel()
		read.Close()
		select {
		case <-ended:
		case <-time.After(testkit.Patience):
			t.Fatal("it doesn't end")
		}
		tail.close()
	}
}
