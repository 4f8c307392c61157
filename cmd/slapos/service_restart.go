// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"errors"

	"github.com/urfave/cli/v2"

	"slapos/slap"
)

type serviceRestartOptions struct {
	clientOptions
	reference string
	timeout   int
	json      bool
}

func (o *serviceRestartOptions) flags() []cli.Flag {
	return []cli.Flag{
		clientConfigFlag(&o.configuration), waitTimeoutFlag(&o.timeout),
		jsonFlag(&o.json, "print an object with the keys reference, requested-state and condition"),
	}
}

func newServiceRestartCommand(e *environment) *cli.Command {
	options := new(serviceRestartOptions)
	return &cli.Command{
		Name:      "restart",
		Usage:     "stop a service and start it again",
		Category:  "client",
		ArgsUsage: "REFERENCE",
		Description: `Asks the master to stop the service with the title REFERENCE, waits until its
node has done so, asks to start it, and waits again. Nothing else of the request
changes. Only a local master of this program can tell when it is stopped.

Exit codes: 0 it runs again; 1 failed; 2 no such service, or wrong usage; 124
--timeout passed, for one of both waits.`,
		Flags: options.flags(),
		Action: func(c *cli.Context) error {
			options.reference = c.Args().First()
			return runServiceRestart(c.Context, e, *options)
		},
	}
}

func runServiceRestart(ctx context.Context, e *environment, options serviceRestartOptions) error {
	client, err := e.openClient(options.clientOptions)
	if err != nil {
		return err
	}
	defer client.Close()
	guid := slap.InstanceGUID(options.reference, "", false)
	if _, err := client.InstanceStatus(ctx, guid); errors.Is(err, slap.ErrNotFound) {
		e.log.Warn("Instance " + options.reference + " does not exist.")
		return &exitError{code: 2}
	} else if err != nil {
		return err
	}
	master, err := client.Hateoas(ctx)
	if err != nil {
		return err
	}
	service, err := master.Service(ctx, options.reference)
	if err != nil {
		return err
	}
	request := slap.Request{
		SoftwareRelease: service.SoftwareReleaseURL, SoftwareType: service.SoftwareType, Reference: options.reference,
	}
	if request.Parameters, err = slap.DecodeInstance([]byte(service.Text("text_content"))); err != nil {
		return err
	}
	for _, step := range []struct {
		state slap.State
		until slap.Condition
		say   string
	}{
		{slap.StateStopped, slap.ConditionStopped, "Stopping "},
		{slap.StateStarted, slap.ConditionRunning, "Starting "},
	} {
		e.log.Info(step.say + options.reference + " ...")
		request.State = step.state
		w := &waiter{e: e, client: client, subject: options.reference, timeout: options.timeout}
		if _, err := w.request(ctx, request); err != nil {
			return err
		}
		if err := w.instance(ctx, guid, options.reference, step.until); err != nil {
			return err
		}
	}
	e.log.Info("Done.")
	if !options.json {
		return nil
	}
	return e.printDocument(struct {
		Reference string         `json:"reference"`
		State     slap.State     `json:"requested-state"`
		Condition slap.Condition `json:"condition"`
	}{options.reference, slap.StateStarted, slap.ConditionRunning})
}
