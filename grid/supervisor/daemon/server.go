package daemon

import (
	"context"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"slapos/grid/supervisor/config"
	"slapos/grid/supervisor/xmlrpc"
)

// maximumRequest bounds the body of a call, in bytes.
const maximumRequest = 16 << 20

// servers are the sockets that the supervisor answers on.
type servers []*server

type server struct {
	config   config.Server
	listener net.Listener
	http     *http.Server
}

// errInUse is the original's complaint, which scripts look for.
var errInUse = errors.New("Another program is already listening on a port that one of our HTTP servers is configured to use. " +
	"Shut this program down first before starting supervisord.")

// listen opens the sockets; it takes the place of a socket that nobody answers
// on.
func (d *daemon) listen() (servers, error) {
	var all servers
	for _, c := range d.config.Servers {
		s := &server{config: c}
		var err error
		if c.Socket != "" {
			s.listener, err = listenUnix(c)
		} else {
			s.listener, err = net.Listen("tcp4", c.Address)
			if c.Username == "" {
				d.critical(fmt.Sprintf("Server '%s' running without any HTTP authentication checking", c.Section))
			}
		}
		if errors.Is(err, unix.EADDRINUSE) {
			err = errInUse
		}
		if err != nil {
			all.close()
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

func listenUnix(c config.Server) (net.Listener, error) {
	if connection, err := net.Dial("unix", c.Socket); err == nil {
		connection.Close()
		return nil, errInUse
	}
	if info, err := os.Lstat(c.Socket); err == nil && info.Mode().Type() == os.ModeSocket {
		os.Remove(c.Socket)
	}
	// The socket must never be open to others, not even before chmod.
	umask := syscall.Umask(0o777 &^ int(c.Mode))
	listener, err := net.Listen("unix", c.Socket)
	syscall.Umask(umask)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", c.Socket, err)
	}
	if c.UID >= 0 || c.GID >= 0 {
		if err := os.Chown(c.Socket, c.UID, c.GID); err != nil {
			listener.Close()
			return nil, err
		}
	}
	return listener, nil
}

func (all servers) serve(d *daemon) {
	for _, s := range all {
		s.http = &http.Server{
			Handler:           s.authenticate(d),
			ReadHeaderTimeout: time.Minute,
			ErrorLog:          slog.NewLogLogger(d.mainLog, config.LevelTrace),
		}
		go func() { _ = s.http.Serve(s.listener) }()
	}
}

// close lets answers that are being written go out.
func (all servers) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for _, s := range all {
		if s.http != nil && s.http.Shutdown(ctx) != nil {
			s.http.Close()
		}
		s.listener.Close() // removes the socket
	}
}

// authenticate asks for the user's name and password if the configuration has
// them; the password may be given as {SHA} and a hexadecimal SHA-1.
func (s *server) authenticate(d *daemon) http.Handler {
	if s.config.Username == "" {
		return d
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		username, password, _ := r.BasicAuth()
		wanted := s.config.Password
		if digest, found := strings.CutPrefix(wanted, "{SHA}"); found {
			sum := sha1.Sum([]byte(password))
			wanted, password = digest, hex.EncodeToString(sum[:])
		}
		if subtle.ConstantTimeCompare([]byte(username), []byte(s.config.Username))&
			subtle.ConstantTimeCompare([]byte(password), []byte(wanted)) != 1 {
			w.Header().Set("WWW-Authenticate", `Basic realm="default"`)
			http.Error(w, "authentication required", http.StatusUnauthorized)
			return
		}
		d.ServeHTTP(w, r)
	})
}

// ServeHTTP answers XML-RPC calls on /RPC2, and follows logs on
// /logtail/PROCESS[/stdout|stderr] and /mainlogtail.
func (d *daemon) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	switch {
	case strings.HasPrefix(path, "/RPC2"):
		d.serveCall(w, r)
	case strings.HasPrefix(path, "/mainlogtail"):
		d.serveTail(w, r, d.config.LogFile)
	case strings.HasPrefix(path, "/logtail/"):
		d.serveTail(w, r, d.tailPath(strings.TrimPrefix(path, "/logtail/")))
	default:
		http.NotFound(w, r)
	}
}

func (d *daemon) serveCall(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maximumRequest))
	if err != nil {
		http.Error(w, "the request can't be read", http.StatusBadRequest)
		return
	}
	method, params, err := xmlrpc.UnmarshalCall(body)
	if err != nil {
		d.log.Error("XML-RPC request is invalid", "error", err)
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	d.log.Log(r.Context(), config.LevelTrace, "XML-RPC method called: "+method+"()")
	value, err := d.call(r.Context(), method, params)
	var answer []byte
	if err == nil {
		answer, err = xmlrpc.MarshalResponse(value)
	}
	if err != nil {
		answer = xmlrpc.MarshalFault(asFault(err))
	}
	w.Header().Set("Content-Type", "text/xml")
	w.Header().Set("Content-Length", fmt.Sprint(len(answer)))
	_, _ = w.Write(answer)
}

// tailPath is the log of a process, named as in a URL; "" if there is none.
func (d *daemon) tailPath(name string) string {
	channel := "stdout"
	if process, last, found := strings.Cut(name, "/"); found {
		name, channel = process, last
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	p, err := d.process(name)
	if err != nil {
		return ""
	}
	return p.logFile(channel)
}

const (
	tailHead  = 1024 // bytes that are shown at once
	tailPause = 100 * time.Millisecond
)

// serveTail sends the end of a log, and then what is added to it, until the
// client goes away. It follows a rotation.
func (d *daemon) serveTail(w http.ResponseWriter, r *http.Request, path string) {
	if r.Method != http.MethodGet {
		http.Error(w, "only GET", http.StatusBadRequest)
		return
	}
	if path == "" {
		http.NotFound(w, r)
		return
	}
	file, err := openForReading(path)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	defer func() { file.Close() }()
	if info, err := file.Stat(); err == nil {
		w.Header().Set("Last-Modified", info.ModTime().UTC().Format(http.TimeFormat))
		_, _ = file.Seek(max(0, info.Size()-tailHead), io.SeekStart)
	}
	w.Header().Set("Content-Type", "text/plain;charset=utf-8")
	w.Header().Set("X-Accel-Buffering", "no")
	ticker := time.NewTicker(tailPause)
	defer ticker.Stop()
	for {
		if _, err := io.Copy(w, file); err != nil || http.NewResponseController(w).Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-d.ending:
			return
		case <-ticker.C:
		}
		if file, err = followed(w, file, path); err != nil {
			return
		}
	}
}

// followed returns the file that now has the log's name, from its beginning if
// it is another or was emptied.
func followed(w io.Writer, file *os.File, path string) (*os.File, error) {
	held, err := file.Stat()
	if err != nil {
		return file, err
	}
	if present, err := os.Lstat(path); err == nil && !os.SameFile(held, present) {
		if next, err := openForReading(path); err == nil {
			_, err = io.Copy(w, file)
			file.Close()
			return next, err
		}
	}
	if at, err := file.Seek(0, io.SeekCurrent); err == nil && held.Size() < at {
		if _, err := io.WriteString(w, "==> File truncated <==\n"); err != nil {
			return file, err
		}
		_, err = file.Seek(0, io.SeekStart)
		return file, err
	}
	return file, nil
}
