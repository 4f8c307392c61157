// SPDX-License-Identifier: GPL-3.0-or-later

package supervisor

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"slapos/slap/clock"
)

// LaunchOptions configure [Launch].
type LaunchOptions struct {
	// Executable is the path of this program, which is started again under the
	// name supervisord. Required.
	Executable string
	// Foreground replaces this process with the supervisor.
	Foreground bool
	Logger     *slog.Logger // default: slog.Default

	shutdownPause time.Duration // 0: the constant shutdownPause; shorter in tests
}

// How long Launch waits (GRID-75).
const (
	shutdownPause = 2 * time.Second
	checkLimit    = time.Second
)

// launchFailure precedes the supervisor's own message (GRID-75).
const launchFailure = "Failed to launch supervisord:\n"

// Launch makes sure that a supervisor answers on the layout's socket. Unless
// one of ours or Python's already does, it starts one, with an empty
// environment (GRID-75, D-5). The configuration must already be written. Launch
// repairs the watchdog of a supervisor that it finds: the node may have started
// with an empty command for it.
func Launch(ctx context.Context, l Layout, options LaunchOptions) error {
	logger := options.Logger
	if logger == nil {
		logger = slog.Default()
	}
	if err := l.StopSecond(ctx); err != nil {
		return err
	}
	client := NewClient(l.Socket())
	defer client.Close()
	running, err := answers(ctx, client, l.Socket(), cmp.Or(options.shutdownPause, shutdownPause), logger)
	if err != nil || running {
		return err
	}
	if _, err := os.Stat(l.ConfigFile()); errors.Is(err, fs.ErrNotExist) {
		return errors.New(launchFailure + l.ConfigFile() + " is missing: slapos node supervisord, or a first slapos node instance, writes it")
	}
	logger.Info("Launching supervisord with clean environment.")
	arguments := []string{"supervisord", "-c", l.ConfigFile()}
	if options.Foreground {
		arguments = append(arguments, "--nodaemon")
		err := syscall.Exec(options.Executable, arguments, nil)
		return fmt.Errorf("start %s: %w", options.Executable, err)
	}
	var output bytes.Buffer
	command := exec.CommandContext(ctx, options.Executable)
	command.Args = arguments
	command.Env = []string{}
	command.Stdout, command.Stderr = &output, &output
	if err := command.Run(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		present := NewClient(l.Socket())
		defer present.Close()
		if _, _, stateErr := present.State(ctx); stateErr == nil {
			return nil // another run was faster, or the supervisor has recreated its socket
		}
		logger.Warn("Supervisord unknown problem: " + output.String())
		return errors.New(launchFailure + strings.TrimSpace(output.String()+"\n"+err.Error()))
	}
	return check(ctx, client, logger)
}

// answers reports whether a running supervisor listens on the socket. It waits
// while one is shutting down.
func answers(ctx context.Context, client *Client, socket string, pause time.Duration, logger *slog.Logger) (bool, error) {
	if !exists(socket) {
		return false, nil
	}
	for n := 2; n <= 6; n++ {
		code, name, err := client.State(ctx)
		switch {
		case ctx.Err() != nil:
			return false, ctx.Err()
		case isFault(err, FaultShutdownState), err == nil && code < 1:
			logger.Info("Supervisor in shutdown procedure, will check again later.")
			if err := clock.Pause(ctx, time.Duration(n)*pause); err != nil {
				return false, err
			}
		case err != nil:
			return false, ignoreUnreachable(err)
		case code == 1:
			logger.Debug("Supervisord already running.")
			return true, repairWatchdog(ctx, client)
		default:
			logger.Warn(fmt.Sprintf("Unknown supervisord state %d %s. Will try to start.", code, name))
			return false, nil
		}
	}
	return false, errors.New("the supervisor behind " + socket + " has been shutting down for long: stop it, or the services it waits for")
}

// ignoreUnreachable drops all errors but a supervisor's answers.
func ignoreUnreachable(err error) error {
	var fault *Fault
	if errors.As(err, &fault) {
		return fmt.Errorf("ask the supervisor for its state: %w", err)
	}
	return nil
}

// repairWatchdog restarts the watchdog with the current configuration unless it
// is running.
func repairWatchdog(ctx context.Context, client *Client) error {
	info, err := client.ProcessInfo(ctx, "watchdog")
	if err == nil && slices.Contains([]string{"STARTING", "RUNNING", "BACKOFF"}, info.Statename) {
		return nil
	}
	if err == nil {
		err = client.RemoveGroup(ctx, "watchdog")
	}
	if err != nil && !isFault(err, FaultBadName) {
		return fmt.Errorf("restart the watchdog: %w", err)
	}
	if _, _, _, err := client.ReloadConfig(ctx); err != nil {
		return fmt.Errorf("restart the watchdog: %w", err)
	}
	if err := client.AddGroup(ctx, "watchdog"); err != nil && !isFault(err, FaultBadName) && !isFault(err, FaultAlreadyAdded) {
		return fmt.Errorf("restart the watchdog: %w", err)
	}
	return nil
}

// check asks a new supervisor for its state, a few times with growing limits;
// getting none is only a warning.
func check(ctx context.Context, client *Client, logger *slog.Logger) error {
	for try := range 5 {
		limit := max(1, 5*try)
		limited, cancel := context.WithTimeout(ctx, time.Duration(limit)*checkLimit)
		code, name, err := client.State(limited)
		cancel()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil && code == 1:
			return nil
		case err == nil:
			logger.Warn(fmt.Sprintf("Wrong status name '%s' and code %d, trying again", name, code))
		}
	}
	logger.Warn("Issue while checking supervisord.")
	return nil
}
