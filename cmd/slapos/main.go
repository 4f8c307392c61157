// SPDX-License-Identifier: GPL-3.0-or-later

// Command slapos runs a SlapOS node, its local master and its clients.
//
// One command is one file with a constructor that is listed in commands.go.
// This package alone reads configuration files and environment variables,
// prints, and exits; the packages below it take typed options.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"slapos/slap"
	"slapos/slap/start"
)

// Set by the linker, see the Makefile.
var (
	version = "1.26.1"
	commit  string
)

func main() {
	start.Done()
	keepDescriptorsFromChildren()
	e := newEnvironment()
	log.SetFlags(0)
	log.SetOutput(libraryLog{e})
	if _, given := os.LookupEnv("EDITOR"); !given {
		_ = os.Setenv("EDITOR", "vi") // CLI-29
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, e, os.Args))
}

// run executes one command line, the name of the program first, and returns
// the exit code.
func run(ctx context.Context, e *environment, args []string) int {
	if words, ok := programs[filepath.Base(args[0])]; ok {
		args = append(append([]string{args[0]}, words...), args[1:]...)
	}
	app := newApplication(e)
	err := app.run(ctx, args[1:])
	if err == nil {
		err = e.outputError()
	}
	return e.report(ctx, err)
}

// programs are the other names that the binary answers to, and the command
// that each stands for (D-19).
var programs = map[string][]string{
	"slapos-watchdog":               {"watchdog"},
	"supervisord":                   {"supervisord"},
	"supervisorctl":                 {"supervisorctl"},
	"generate-signature-key":        {"cache", "generate-signature-key"},
	"slapos-generate-signature-key": {"cache", "generate-signature-key"},
	"networkcache-upload":           {"cache", "upload"},
	"networkcache-download":         {"cache", "download"},
	"slapcache-conf":                {"cache", "conf"},
	"slapcache-upload":              {"cache", "share"},
	"slapcache-download":            {"cache", "fetch-shared"},
}

// An exitError ends the command with its own code. A nil err means that the
// user has already been informed.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return "exit code " + strconv.Itoa(e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// sentencef makes an error of a whole sentence, for the original's texts that
// scripts and people look for.
func sentencef(format string, args ...any) error { return fmt.Errorf(format, args...) }

// levelCritical is the level above ERROR of the original's log.
const levelCritical = slog.LevelError + 4

// A criticalError is logged at levelCritical.
type criticalError struct{ error }

func (e *criticalError) Unwrap() error { return e.error }

func criticalf(format string, args ...any) error { return &criticalError{sentencef(format, args...)} }

// report shows the user the error, if any, in one line, and returns the exit
// code (CLI-14).
func (e *environment) report(ctx context.Context, err error) int {
	if err == nil {
		return 0
	}
	code := 1
	var exit *exitError
	if errors.As(err, &exit) {
		code, err = exit.code, exit.err
	} else if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		code, err = 130, errors.New("interrupted")
	}
	if err == nil {
		return code
	}
	level := slog.LevelError
	var critical *criticalError
	if errors.As(err, &critical) {
		level = levelCritical
	}
	e.log.Log(ctx, level, strings.Join(lines(err.Error()), " ")+advice(err))
	if e.global.debug {
		for cause := err; cause != nil; cause = errors.Unwrap(cause) {
			e.log.Error(fmt.Sprintf("  caused by %T: %v", cause, cause))
		}
	}
	return code
}

// advice is the way out of an error whose text, the original's, has none. It
// follows that text.
func advice(err error) string {
	var answer *slap.HTTPError
	switch {
	case errors.Is(err, slap.ErrNoHateoas):
		return " Set master_rest_url in section [slapos], for a local master to http://HOST:PORT/hateoas."
	case !errors.As(err, &answer) || !strings.HasSuffix(err.Error(), answer.Error()):
		return ""
	case answer.Status == http.StatusNotFound:
		return ": the master doesn't know this: check names, and master_url"
	case answer.Status == http.StatusRequestTimeout:
		return ": the master isn't ready to answer this: try again later"
	}
	return ""
}

// keepDescriptorsFromChildren marks every inherited descriptor except the
// standard three, so that child programs don't inherit what our parent left
// open. The process itself can still use them, for example systemd's sockets.
func keepDescriptorsFromChildren() {
	if unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC) == nil {
		return
	}
	// Linux before 5.11.
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return
	}
	for _, entry := range entries {
		if fd, err := strconv.Atoi(entry.Name()); err == nil && fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
}

// versionText is the line of --version (CLI-10).
func versionText() string {
	if commit == "" {
		return fmt.Sprintf("slapos %s (%s)", version, runtime.Version())
	}
	return fmt.Sprintf("slapos %s (%s, commit %s)", version, runtime.Version(), commit)
}
