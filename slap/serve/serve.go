// SPDX-License-Identifier: GPL-3.0-or-later

// Package serve is how the servers of this program listen and serve: [Listen]
// opens their addresses, or gets them from systemd, and a [Loop] serves on them
// until it is stopped.
//
// The local master and the cache server are handlers that don't know this
// package: their commands pass them in, so that networkcache imports nothing of
// ours. It is below slap, and not beside the commands, because everything that
// starts a master needs it, such as the master's tests and standalone.
package serve

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Loop says what to serve, and how.
type Loop struct {
	Handler http.Handler
	// Security makes the server use TLS, unless nil.
	Security *tls.Config
	Log      *slog.Logger
	// Greeting returns what is logged for each listener with the given URL,
	// such as http://127.0.0.1:5000; if nil, "Running on URL/", which others'
	// tests look for. Farewell is logged at the end, unless empty.
	Greeting func(url string) string
	Farewell string
	// Patience is how long a client may pause in the middle of a body, and while
	// it takes an answer; 0: DefaultPatience.
	Patience time.Duration
	// Connections is how many a remote address may have at a time; 0: 256.
	Connections int
	// Beside runs while the server does. Its context ends with the server,
	// which waits for it; may be nil.
	Beside func(context.Context)
}

// patience is how long running requests may take when the server stops.
const patience = 10 * time.Second

// Serve serves until ctx ends, then lets running requests finish for up to ten
// seconds. It notifies systemd when it is ready, and when it stops.
func (l Loop) Serve(ctx context.Context, listeners []net.Listener) error {
	server := l.server()
	scheme := "http"
	failed := make(chan error, len(listeners))
	other, local := mostOf(l.Connections)
	for _, listener := range listeners {
		listener = newBoundListener(listener, other, local, cmp.Or(l.Patience, DefaultPatience))
		if l.Security != nil {
			scheme, listener = "https", tls.NewListener(listener, l.Security)
		}
		go func() { failed <- server.Serve(listener) }() // ends with the server; its error has room
		l.Log.Info(l.greet(scheme + "://" + listener.Addr().String()))
	}
	defer l.startBeside(ctx)()
	_, _ = daemon.SdNotify(false, daemon.SdNotifyReady)
	select {
	case err := <-failed:
		server.Close()
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	_, _ = daemon.SdNotify(false, daemon.SdNotifyStopping)
	if l.Farewell != "" {
		l.Log.Info(l.Farewell)
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	if err := server.Shutdown(ending); err != nil {
		server.Close()
	}
	return nil
}

func (l Loop) greet(url string) string {
	if l.Greeting == nil {
		return "Running on " + url + "/"
	}
	return l.Greeting(url)
}

// startBeside starts Beside and returns what stops it and waits for it.
func (l Loop) startBeside(ctx context.Context) (end func()) {
	if l.Beside == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { // ends with its context; end waits
		defer close(done)
		l.Beside(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

// maximumHeader bounds the head of a request, in bytes. Each connection may hold one.
const maximumHeader = 64 << 10

// server makes a server that slow clients can't block.
func (l Loop) server() *http.Server {
	return &http.Server{
		Handler:           patient(l.Handler, cmp.Or(l.Patience, DefaultPatience)),
		ReadHeaderTimeout: 30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    maximumHeader,
		ErrorLog:          slog.NewLogLogger(l.Log.Handler(), slog.LevelDebug),
	}
}
