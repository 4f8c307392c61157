// SPDX-License-Identifier: GPL-3.0-or-later

package daemon

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"slapos/grid/supervisor/config"
)

// servers are the sockets on which the supervisor answers.
type servers []*server

// errInUse is the error of an address that another program listens on.
func errInUse(c config.Server) error {
	return fmt.Errorf("another program is already listening on %s, which one of our HTTP servers is configured to use: "+
		"use that program, or change the address in section [%s]", cmp.Or(c.Socket, c.Address), c.Section)
}

// listen opens the sockets; it replaces a socket that nobody answers on.
func (d *daemon) listen() error {
	if d.taken != nil {
		return d.takeServers()
	}
	for _, c := range d.config.Servers {
		s := d.newServer(c)
		if err := s.listen(); err != nil {
			d.servers.close()
			return err
		}
		d.servers = append(d.servers, s)
	}
	return nil
}

func (d *daemon) newServer(c config.Server) *server {
	return &server{d: d, config: c, open: map[*connection]bool{}}
}

func (s *server) listen() (err error) {
	c := s.config
	if c.Socket != "" {
		s.listener, s.file, err = listenUnix(c)
	} else {
		s.listener, err = net.Listen("tcp4", c.Address)
		if c.Username == "" {
			s.d.critical(fmt.Sprintf("Server '%s' running without any HTTP authentication checking", c.Section))
		}
	}
	if errors.Is(err, unix.EADDRINUSE) {
		return errInUse(c)
	}
	return err
}

// listenUnix makes the socket file; it replaces a socket that nobody answers
// on, and nothing else.
func listenUnix(c config.Server) (net.Listener, fileID, error) {
	if connection, err := net.Dial("unix", c.Socket); err == nil {
		_ = connection.Close()
		return nil, fileID{}, errInUse(c)
	}
	if info, err := os.Lstat(c.Socket); err == nil && info.Mode().Type() == os.ModeSocket {
		os.Remove(c.Socket)
	} else if err == nil {
		return nil, fileID{}, fmt.Errorf("listen on %s: the path exists and is not a socket, remove it", c.Socket)
	}
	// The socket must never be open to others, not even before chmod.
	umask := syscall.Umask(0o777 &^ int(c.Mode))
	listener, err := net.Listen("unix", c.Socket)
	syscall.Umask(umask)
	if err != nil {
		return nil, fileID{}, fmt.Errorf("listen on %s: %w", c.Socket, err)
	}
	listener.(*net.UnixListener).SetUnlinkOnClose(false) // another supervisor may own the path by then
	if c.UID >= 0 || c.GID >= 0 {
		if err := os.Chown(c.Socket, c.UID, c.GID); err != nil {
			_ = listener.Close()
			os.Remove(c.Socket)
			return nil, fileID{}, err
		}
	}
	return listener, identify(c.Socket), nil
}

func (all servers) serve() {
	for _, s := range all {
		s.mu.Lock()
		for c := range s.open { // that another image accepted
			go s.serveConnection(c) // owns the connection
		}
		s.mu.Unlock()
		go s.serve(s.listener) // as long as the listener is open; afterwards there are more connections
	}
}

func (all servers) close() {
	for _, s := range all {
		s.close()
	}
}
