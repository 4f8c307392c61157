// SPDX-License-Identifier: GPL-3.0-or-later

package server

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Serve answers at the listeners until ctx ends, then lets requests under way
// finish for up to ten seconds. With security it speaks TLS. Old contents are
// removed once an hour.
func (s *Server) Serve(ctx context.Context, listeners []net.Listener, security *tls.Config) error {
	log := s.store.Logger
	web := s.webServer()
	scheme := "http"
	failed := make(chan error, len(listeners))
	for _, listener := range listeners {
		address := listener.Addr().String()
		if security != nil {
			scheme, listener = "https", tls.NewListener(listener, security)
		}
		go func() { failed <- web.Serve(listener) }() // ends with the server; its error has room
		log.Info(fmt.Sprintf("Serving the network cache at %s://%s/shacache/cache and %s://%s/shacache/dir", scheme, address, scheme, address))
	}
	collecting, endCollecting := context.WithCancel(ctx)
	collected := make(chan struct{})
	go func() {
		defer close(collected)
		s.store.CollectEvery(collecting, time.Hour, func(count int) { s.counts.collected.Add(float64(count)) })
	}()
	defer func() {
		endCollecting()
		<-collected
	}()
	_, _ = daemon.SdNotify(false, daemon.SdNotifyReady)
	select {
	case err := <-failed:
		web.Close()
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	_, _ = daemon.SdNotify(false, daemon.SdNotifyStopping)
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := web.Shutdown(ending); err != nil {
		web.Close()
	}
	return nil
}

// webServer makes a server that no slow client holds up.
func (s *Server) webServer() *http.Server {
	return &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(s.store.Logger.Handler(), slog.LevelDebug),
	}
}
