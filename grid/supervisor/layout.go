// SPDX-License-Identifier: GPL-3.0-or-later

package supervisor

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"slapos/slap/wholefile"
)

// Layout says where the supervisor of a node keeps its files.
type Layout struct {
	InstanceRoot string       // absolute
	Logger       *slog.Logger // default: slog.Default
}

func (l Layout) logger() *slog.Logger {
	if l.Logger == nil {
		return slog.Default()
	}
	return l.Logger
}

func (l Layout) path(parts ...string) string {
	return filepath.Join(append([]string{l.InstanceRoot}, parts...)...)
}

// IsLayout reports whether the supervisor uses that name beside the partitions.
func IsLayout(name string) bool {
	switch name {
	case "etc", "var", "sv.sock", "supervisord.socket":
		return true
	}
	return false
}

// Socket returns the path that the supervisor listens on: the old one while
// that file exists (GRID-71).
func (l Layout) Socket() string {
	if exists(l.oldSocket()) {
		return l.oldSocket()
	}
	return l.newSocket()
}

func (l Layout) oldSocket() string { return l.path("supervisord.socket") }
func (l Layout) newSocket() string { return l.path("sv.sock") }

// ConfigFile returns the path of the main configuration file.
func (l Layout) ConfigFile() string { return l.path("etc", "supervisord.conf") }

// ConfigDir returns the directory with one file for each group of programs.
func (l Layout) ConfigDir() string { return l.path("etc", "supervisord.conf.d") }

// PIDFile returns the path of the file with the supervisor's process number.
func (l Layout) PIDFile() string { return l.path("var", "run", "supervisord.pid") }

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// StopSecond stops the supervisor on the new socket, and its services, if the
// old socket exists, too: a node has only one supervisor (GRID-71).
func (l Layout) StopSecond(ctx context.Context) error {
	if !exists(l.oldSocket()) {
		return nil
	}
	l.logger().Info("Using legacy supervisor socket path " + l.oldSocket())
	if !exists(l.newSocket()) {
		return nil
	}
	l.logger().Log(ctx, slog.LevelError+4, fmt.Sprintf(
		"We have two supervisord running ! Stopping the one using %s to keep using legacy %s instead",
		l.newSocket(), l.oldSocket()))
	client := NewClient(l.newSocket())
	defer client.Close()
	if err := client.StopAll(ctx); err != nil {
		return fmt.Errorf("stop the second supervisor on %s: %w", l.newSocket(), err)
	}
	return client.Shutdown(ctx)
}

// directories are created in this order (GRID-72).
var directories = []struct {
	path string
	mode os.FileMode
}{
	{"var", 0o755},
	{"var/log", 0o700},
	{"var/run", 0o700},
	{"etc", 0o700},
	{"etc/supervisord.conf.d", 0o700},
}

// WriteConfiguration creates the directories and writes the main configuration
// file if it differs (GRID-72). watchdogCommand is the command line of the
// event listener, from [Watchdog.Command]; if it is empty, the listener is
// configured but can't start.
func WriteConfiguration(l Layout, watchdogCommand string) error {
	if info, err := os.Stat(l.InstanceRoot); err != nil || !info.IsDir() {
		if err == nil {
			return fmt.Errorf("%s is no directory: set instance_root to one", l.InstanceRoot)
		}
		return fmt.Errorf("%s does not exist", l.InstanceRoot)
	}
	for _, directory := range directories {
		path := l.path(directory.path)
		if err := os.Mkdir(path, directory.mode); err != nil && !os.IsExist(err) {
			return err
		}
		if err := os.Chmod(path, directory.mode); err != nil {
			return err
		}
	}
	for _, value := range []string{l.InstanceRoot, watchdogCommand} {
		if strings.ContainsAny(value, "\n\r") {
			return fmt.Errorf("supervisor configuration: %q holds a line break", value)
		}
	}
	root := escape(l.InstanceRoot)
	socket := escape(l.Socket())
	text := "[rpcinterface:supervisor]\n" +
		"supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n" +
		"\n[include]\nfiles = " + root + "/etc/supervisord.conf.d/*.conf\n" +
		"\n[supervisorctl]\nserverurl = unix://" + socket + "\n" +
		"\n[supervisord]\nloglevel = info\n" +
		"logfile = " + root + "/var/log/supervisord.log\n" +
		"logfile_maxbytes = 50MB\nnodaemon = false\n" +
		"pidfile = " + root + "/var/run/supervisord.pid\n" +
		"logfile-backups = 10\n" + // misspelt in the original too: 10 is the default
		"\n[unix_http_server]\nfile=" + socket + "\nchmod=0700\n" +
		"\n[eventlistener:watchdog]\ncommand=" + escape(watchdogCommand) + "\n" +
		"events=PROCESS_STATE_EXITED, PROCESS_STATE_FATAL\n"
	_, err := writeIfChanged(l.ConfigFile(), []byte(text))
	return err
}

// escape protects text from supervisor's %(name)s expansion.
func escape(text string) string { return strings.ReplaceAll(text, "%", "%%") }

// writeIfChanged replaces a file with content, mode 0600, and reports whether
// it differed.
func writeIfChanged(path string, content []byte) (changed bool, err error) {
	if present, err := os.ReadFile(path); err == nil && bytes.Equal(present, content) {
		info, err := os.Lstat(path)
		if err == nil && info.Mode() == 0o600 {
			return false, nil
		}
	}
	if err := wholefile.Write(path, content, 0o600, wholefile.IgnoresUmask()); err != nil {
		return false, fmt.Errorf("write supervisor configuration: %w", err)
	}
	return true, nil
}
