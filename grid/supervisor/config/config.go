// SPDX-License-Identifier: GPL-3.0-or-later

package config

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Auto as the name of a log asks for a temporary file in [Config.ChildLogDir].
const Auto = "AUTO"

// Level is the level of a line in the supervisor's own log.
type Level = slog.Level

// The levels. slog has no name for three of them.
const (
	LevelBlather  Level = -12
	LevelTrace    Level = -8
	LevelDebug          = slog.LevelDebug
	LevelInfo           = slog.LevelInfo
	LevelWarn           = slog.LevelWarn
	LevelError          = slog.LevelError
	LevelCritical Level = 12
)

// Config is the configuration of the supervisor. Paths are absolute.
type Config struct {
	Identifier      string
	LogFile         string // "" for none
	LogFileMaxBytes int64  // 0: the log is not rotated
	LogFileBackups  int
	LogLevel        Level
	PIDFile         string
	Umask           int
	Directory       string // to start in; "" for the present one
	User            int    // to become; -1 for none
	NoDaemon        bool
	Silent          bool
	MinFDs          int
	ChildLogDir     string
	NoCleanup       bool // keep the AUTO logs of earlier runs
	StripANSI       bool
	Servers         []Server
	Groups          []*Group // in order of priority and name
	// Warnings and Included are written to the log.
	Warnings, Included []string
}

// Server is a socket to listen on.
type Server struct {
	Section            string
	Socket             string // path of a unix socket, or
	Address            string // host:port
	Mode               os.FileMode
	UID, GID           int // owner of the socket; -1: unchanged
	Username, Password string
}

// URL is the address that programs get in SUPERVISOR_SERVER_URL.
func (s Server) URL() string {
	if s.Socket != "" {
		return "unix://" + s.Socket
	}
	if strings.HasPrefix(s.Address, ":") {
		return "http://localhost" + s.Address
	}
	return "http://" + s.Address
}

// ServerURL is the address of the preferred server, "" without one.
func (c *Config) ServerURL() string {
	for _, server := range c.Servers {
		if server.Socket != "" {
			return server.URL()
		}
	}
	if len(c.Servers) > 0 {
		return c.Servers[0].URL()
	}
	return ""
}

// Group is a set of programs that are added, started and stopped together.
type Group struct {
	Name     string
	Priority int
	Programs []*Program
	Listener *Listener // set for a group of event listeners
}

// Listener says which events a group of event listeners wants.
type Listener struct {
	BufferSize int
	Events     []string // sorted
}

// loader reads one configuration.
type loader struct {
	*ini
	*Config
	environment names             // ENV_x
	here        string            // directory of the main file
	host        string            // name of the machine
	shared      map[string]string // environment= of [supervisord]
}

// Load reads a main configuration file and what it includes. environ is the
// environment of the supervisor, for %(ENV_x)s.
func Load(path string, environ []string) (*Config, error) {
	l, err := newLoader(path, environ)
	if err != nil {
		return nil, err
	}
	if err := l.include(); err != nil {
		return nil, err
	}
	if !l.has("supervisord") {
		return nil, fmt.Errorf("%s does not include a [supervisord] section", path)
	}
	for _, step := range []func() error{l.daemon, l.servers, l.groups} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return l.Config, nil
}

// include reads the files of [include]. %(here)s is the directory of the
// including file.
func (l *loader) include() error {
	if !l.has("include") {
		return nil
	}
	l.replace("%(here)s", l.here)
	files, found := l.get("include", "files")
	if !found {
		return fmt.Errorf("the configuration has an [include] section, but no files setting")
	}
	files, err := l.names(nil).expand(files, "include.files")
	if err != nil {
		return err
	}
	for _, pattern := range strings.Fields(files) {
		if !filepath.IsAbs(pattern) {
			pattern = filepath.Join(l.here, pattern)
		}
		paths, err := filepath.Glob(strings.ReplaceAll(pattern, "[!", "[^"))
		if err != nil {
			return fmt.Errorf("include.files: %s: %w", pattern, err)
		}
		hidden := strings.HasPrefix(filepath.Base(pattern), ".")
		paths = slices.DeleteFunc(paths, func(path string) bool {
			return !hidden && strings.HasPrefix(filepath.Base(path), ".")
		})
		if len(paths) == 0 {
			l.Warnings = append(l.Warnings, `No file matches via include "`+pattern+`"`)
		}
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				return fmt.Errorf("could not read config file: %w", err)
			}
			if err := l.parse(path, data); err != nil {
				return err
			}
			l.replace("%(here)s", filepath.Dir(path))
			l.Included = append(l.Included, path)
		}
	}
	return nil
}

// names returns the expansions that are known everywhere, plus more.
func (l *loader) names(more names) names {
	return l.environment.with(names{"here": l.here, "host_node_name": l.host}).with(more)
}

// A section reads options one by one and keeps the first error.
type section struct {
	l     *loader
	name  string
	names names
	err   error
}

func (l *loader) section(name string, more names) *section {
	return &section{l: l, name: name, names: l.names(more)}
}

// raw is the value before expansion.
func (s *section) raw(option, fallback string) string {
	if value, found := s.l.get(s.name, option); found {
		return value
	}
	return fallback
}

func (s *section) text(option, fallback string) string {
	value, err := s.names.expand(s.raw(option, fallback), s.name+"."+option)
	s.fail(err)
	return value
}

func (s *section) fail(err error) {
	if s.err == nil {
		s.err = err
	}
}

func (s *section) set(option string) bool {
	_, found := s.l.get(s.name, option)
	return found
}

// read converts the value of an option.
func read[T any](s *section, option, fallback string, convert func(string) (T, error)) T {
	value, err := convert(s.text(option, fallback))
	if err != nil {
		s.fail(fmt.Errorf("%s: %w", option, err))
	}
	return value
}

// readOptional is read for an option that may be missing.
func readOptional[T any](s *section, option string, none T, convert func(string) (T, error)) T {
	if !s.set(option) {
		return none
	}
	return read(s, option, "", convert)
}

// daemon reads [supervisord].
func (l *loader) daemon() error {
	s := l.section("supervisord", nil)
	l.MinFDs = read(s, "minfds", "1024", integer)
	l.Directory = readOptional(s, "directory", "", existingDirectory)
	l.User = readOptional(s, "user", -1, userID)
	l.Umask = read(s, "umask", "022", octal)
	l.LogFile, _ = logFile(s.text("logfile", "supervisord.log"))
	if l.LogFile != "" {
		var err error
		l.LogFile, err = fileInDirectory(l.LogFile)
		s.fail(err)
	}
	l.LogFileMaxBytes = read(s, "logfile_maxbytes", "50MB", byteSize)
	l.LogFileBackups = read(s, "logfile_backups", "10", integer)
	l.LogLevel = read(s, "loglevel", "info", logLevel)
	l.PIDFile = read(s, "pidfile", "supervisord.pid", fileInDirectory)
	l.Identifier = s.text("identifier", "supervisor")
	l.NoDaemon = read(s, "nodaemon", "false", boolean)
	l.Silent = read(s, "silent", "false", boolean)
	l.ChildLogDir = read(s, "childlogdir", os.TempDir(), existingDirectory)
	l.NoCleanup = read(s, "nocleanup", "false", boolean)
	l.StripANSI = read(s, "strip_ansi", "false", boolean)
	l.shared = read(s, "environment", "", pairs)
	for name, value := range l.shared {
		l.environment["ENV_"+name] = value
	}
	if s.err != nil {
		return l.inSection(s.name, s.err)
	}
	return nil
}

// servers reads the sections of the sockets.
func (l *loader) servers() error {
	for _, name := range l.ini.names {
		kind, _, _ := strings.Cut(name, ":")
		if kind != "inet_http_server" && kind != "unix_http_server" {
			continue
		}
		s := l.section(name, nil)
		server := Server{
			Section: name, Mode: 0o700, UID: -1, GID: -1,
			Username: s.text("username", ""), Password: s.text("password", ""),
		}
		if (server.Username == "") != (server.Password == "") {
			return fmt.Errorf("section [%s] has only one of username and password: it needs both, or none", name)
		}
		if kind == "inet_http_server" {
			server.Address = read(s, "port", "", address)
		} else {
			l.unixServer(s, &server)
		}
		if s.err != nil {
			return l.inSection(name, s.err)
		}
		l.Servers = append(l.Servers, server)
	}
	return nil
}

func (l *loader) unixServer(s *section, server *Server) {
	file := strings.TrimSpace(s.text("file", ""))
	if file == "" {
		s.fail(fmt.Errorf("section [%s] has no file value", s.name))
		return
	}
	var err error
	server.Socket, err = filepath.Abs(expandUser(file))
	s.fail(err)
	server.Mode = os.FileMode(read(s, "chmod", "0700", octal))
	if s.set("chown") {
		server.UID, server.GID, err = owner(s.text("chown", ""))
		s.fail(err)
	}
}

// address reads host:port, *:port or port.
func address(text string) (string, error) {
	host, port := "", text
	if at := strings.LastIndexByte(text, ':'); at >= 0 {
		host, port = strings.ToLower(text[:at]), text[at+1:]
	}
	number, err := integer(port)
	if err != nil || number < 1 || number > 65535 {
		return "", fmt.Errorf("not a valid port number: %q", port)
	}
	if host == "*" {
		host = ""
	}
	return fmt.Sprintf("%s:%d", host, number), nil
}
