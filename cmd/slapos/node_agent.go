// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/pytext"
	"slapos/grid/agent"
	"slapos/slap/serve"
)

type agentOptions struct {
	passOptions
	listen string
}

// flags are those of the passes, but for what only a single run has.
func (o *agentOptions) flags() []cli.Flag {
	flags := slices.DeleteFunc(o.passOptions.flags(), func(f cli.Flag) bool {
		switch f.Names()[0] {
		case "now", "maximal_delay", "pidfile", "supervisord-socket", "supervisord-configuration-path":
			return true
		}
		return false
	})
	return append(flags, &cli.StringFlag{Name: "listen", Destination: &o.listen, Usage: "also tell metrics and health at `ADDRESS:PORT` of the loopback"})
}

func newNodeAgentCommand(e *environment) *cli.Command {
	options := new(agentOptions)
	return &cli.Command{
		Name:  "agent",
		Usage: "run the passes when something changed or is due",
		Description: `One process instead of five timers: it waits at the master for a change, and
processes what changed. It checks promises when they are due, reports usage
each hour, and collects each minute. SIGHUP has it read the configuration
again. Commands like "slapos node instance" go on to work beside it. What it
does is shown by "slapos node status".

Exit codes: 0 stopped; 1 the configuration or the socket can't be used;
5 not root.`,
		Flags: options.flags(),
		Action: func(c *cli.Context) error {
			if err := options.read(c); err != nil {
				return err
			}
			return runNodeAgent(c.Context, e, *options)
		},
	}
}

func runNodeAgent(ctx context.Context, e *environment, options agentOptions) error {
	// It isn't for children.
	e.environ = slices.DeleteFunc(slices.Clone(e.environ), func(variable string) bool {
		return strings.HasPrefix(variable, "NOTIFY_SOCKET=") || strings.HasPrefix(variable, "WATCHDOG_")
	})
	settings, err := e.agentSettings(options)
	if err != nil {
		return err
	}
	listener, err := agent.Listen(settings.Node.InstanceRoot)
	if err != nil {
		return err
	}
	defer listener.Close()
	a := agent.New(settings, agent.Options{Logger: e.log, Notify: notifyStatus})
	stop, err := e.serveAgent(ctx, a, listener, settings.Listen)
	if err != nil {
		return err
	}
	defer stop()
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	ended := make(chan struct{})
	defer func() { <-ended }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // until ctx ends
		defer close(ended)
		e.attend(ctx, a, options, hangup)
	}()
	_, _ = daemon.SdNotify(false, daemon.SdNotifyReady)
	err = a.Run(ctx)
	_, _ = daemon.SdNotify(false, daemon.SdNotifyStopping)
	return err
}

func notifyStatus(status string) { _, _ = daemon.SdNotify(false, "STATUS="+status) }

// attend reads the configuration again on SIGHUP, and tells systemd's watchdog that the
// agent answers.
func (e *environment) attend(ctx context.Context, a *agent.Agent, options agentOptions, hangup <-chan os.Signal) {
	var alive <-chan time.Time
	if every, err := daemon.SdWatchdogEnabled(false); err == nil && every > 0 {
		ticker := time.NewTicker(every / 2)
		defer ticker.Stop()
		alive = ticker.C
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			e.reloadAgent(a, options)
		case <-alive:
			if _, err := a.Status(ctx); err == nil {
				_, _ = daemon.SdNotify(false, daemon.SdNotifyWatchdog)
			}
		}
	}
}

func (e *environment) reloadAgent(a *agent.Agent, options agentOptions) {
	_, _ = daemon.SdNotify(false, fmt.Sprintf("%s\nMONOTONIC_USEC=%d", daemon.SdNotifyReloading, monotonic()/time.Microsecond))
	settings, err := e.agentSettings(options)
	if err == nil {
		err = a.Reload(settings)
	}
	if err != nil {
		e.log.Error(fmt.Sprintf("The agent goes on with the configuration that it has: %v", err))
	} else {
		e.log.Info("The configuration was read again")
	}
	_, _ = daemon.SdNotify(false, daemon.SdNotifyReady)
}

// serveAgent serves the agent's socket and, if that is wanted, an address of the
// loopback.
func (e *environment) serveAgent(ctx context.Context, a *agent.Agent, listener net.Listener, address string) (stop func(), err error) {
	servers := []*http.Server{{Handler: a.Handler(true), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute}}
	listeners := []net.Listener{listener}
	if address != "" {
		public, err := listenLoopback(ctx, address)
		if err != nil {
			return nil, err
		}
		listeners = append(listeners, public)
		servers = append(servers, &http.Server{
			Handler: serve.Guard{}.Handler(a.Handler(false)), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		})
		e.log.Info("Metrics at http://" + public.Addr().String() + "/metrics")
	}
	for i, server := range servers {
		go func() { _ = server.Serve(listeners[i]) }() // until it is closed
	}
	return func() {
		for _, server := range servers {
			server.Close()
		}
	}, nil
}

// checkLoopback reads the value of agent_listen.
func checkLoopback(address string) error {
	host, _, err := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	if err != nil || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("agent_listen must be an address of the loopback and a port, such as 127.0.0.1:9101, not %q", address)
	}
	return nil
}

// listenLoopback refuses an address that others reach: the numbers are for this machine.
func listenLoopback(ctx context.Context, address string) (net.Listener, error) {
	if err := checkLoopback(address); err != nil {
		return nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("agent_listen: %w", err)
	}
	return listener, nil
}

// agentSettings reads the configuration, as the passes do.
func (e *environment) agentSettings(options agentOptions) (settings agent.Settings, err error) {
	err = e.withConfiguration(options.configuration, gridSections, func(configuration *pytext.Configuration) (err error) {
		settings, err = e.readAgent(configuration, options)
		return err
	})
	return settings, err
}

func (e *environment) readAgent(configuration *pytext.Configuration, options agentOptions) (agent.Settings, error) {
	merged, err := mergeGridOptions(options.given, configuration)
	if err != nil {
		return agent.Settings{}, err
	}
	if err := e.checkRoot(merged); err != nil {
		return agent.Settings{}, err
	}
	if err := requireGridOptions(merged); err != nil {
		return agent.Settings{}, err
	}
	if err := checkGridFiles(merged); err != nil {
		return agent.Settings{}, err
	}
	grid, err := e.gridOptions(merged, configuration)
	if err != nil {
		return agent.Settings{}, err
	}
	if err := checkFirewall(&grid); err != nil {
		return agent.Settings{}, err
	}
	settings := agent.Settings{
		Node: grid.Node, Supervisor: grid.Supervisor, Software: grid.Software, Instance: grid.Instance,
		PIDFiles: agent.PIDFiles{
			Software: pidFileOf(merged, softwarePIDKey, softwarePIDFile), Instance: pidFileOf(merged, instancePIDKey, instancePIDFile),
			Report: pidFileOf(merged, reportPIDKey, reportPIDFile),
		},
		Full: agent.DefaultFull, Listen: merged["agent_listen"],
	}
	if options.listen != "" {
		settings.Listen = options.listen
	}
	return settings, e.fillAgentTimes(merged, configuration, &settings)
}

// fillAgentTimes reads how often the agent does what.
func (e *environment) fillAgentTimes(merged map[string]string, configuration *pytext.Configuration, settings *agent.Settings) error {
	var collect, prune time.Duration
	for _, number := range []struct {
		key   string
		usual time.Duration
		into  *time.Duration
	}{
		{"agent_poll_periodicity", agent.DefaultPoll, &settings.Poll},
		{"agent_wait", agent.DefaultWait, &settings.Wait},
		{"agent_report_periodicity", agent.DefaultReport, &settings.Report},
		{"agent_collect_periodicity", time.Minute, &collect},
		{"agent_prune_periodicity", 0, &prune},
		{"agent_garbage_collect_periodicity", 0, &settings.Garbage},
	} {
		seconds, err := wholeOption(merged, number.key, int(number.usual/time.Second))
		if err != nil {
			return err
		}
		*number.into = time.Duration(seconds) * time.Second
	}
	if collect > 0 && e.mayCollect(configuration) {
		settings.Jobs = append(settings.Jobs, agent.Job{Name: "collect", Every: collect, Jitter: collect / 10, Run: e.commandJob(configuration, "collect")})
	}
	if prune > 0 {
		settings.Jobs = append(settings.Jobs, agent.Job{Name: "prune", Every: prune, Jitter: prune / 10, Run: e.commandJob(configuration, "prune")})
	}
	if joined, err := e.joinedNode(configuration.Path()); err == nil && joined != nil && e.uid == 0 {
		settings.Jobs = append(settings.Jobs, agent.Job{Name: "renew", Every: renewEvery, Jitter: renewEvery / 10, Run: e.commandJob(configuration, "renew")})
	}
	return nil
}

// renewEvery is how often the certificate of a node that has joined is looked at.
const renewEvery = 24 * time.Hour

// mayCollect reports whether `slapos node collect` would work: it needs root, and the
// names of partitions.
func (e *environment) mayCollect(configuration *pytext.Configuration) bool {
	if e.uid != 0 {
		return false
	}
	_, err := e.collectSettings(configuration)
	return err == nil
}
