// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/pytext"
	"slapos/slap"
	"slapos/slap/pyjson"
	"slapos/slap/schema"
)

type serviceInfoOptions struct {
	clientOptions
	reference string
	json      bool // without effect: it is JSON anyway
	news      bool
}

func (o *serviceInfoOptions) flags() []cli.Flag {
	return []cli.Flag{
		clientConfigFlag(&o.configuration),
		jsonFlag(&o.json, "print JSON, as it does anyway"),
		&cli.BoolFlag{Name: "news", Destination: &o.news, Usage: "add the news of the instances"},
	}
}

func newServiceInfoCommand(e *environment) *cli.Command {
	options := new(serviceInfoOptions)
	return &cli.Command{
		Name:      "info",
		Usage:     "show what the master knows of a service",
		Category:  "client",
		ArgsUsage: "REFERENCE",
		Description: `Prints what the master knows of the service with the title REFERENCE, as JSON.
"status" sums up the news of its instances: none, green, red, orange (green and
red), or unsupported if the master keeps no news.

Exit codes: 0 success; 1 failed; 2 no such service, it isn't ready, or wrong
usage.`,
		Flags: options.flags(),
		Action: func(c *cli.Context) error {
			options.reference = c.Args().First()
			return runServiceInfo(c.Context, e, *options)
		},
	}
}

func runServiceInfo(ctx context.Context, e *environment, options serviceInfoOptions) error {
	master, done, err := e.openHateoas(ctx, options.clientOptions)
	if err != nil {
		return err
	}
	defer done()
	service, err := master.Service(ctx, options.reference)
	switch {
	case errors.Is(err, slap.ErrNotReady):
		e.log.Warn("Instance does not exist or is not ready yet.")
		return &exitError{code: 2}
	case errors.Is(err, slap.ErrNotFound):
		e.log.Warn("Instance " + options.reference + " does not exist.")
		return &exitError{code: 2}
	case err != nil:
		return err
	}
	info, err := e.describeService(ctx, service, options.news)
	if err != nil {
		return err
	}
	return e.printJSON(info)
}

// describeService makes the object of CLI-41, with its keys in order.
func (e *environment) describeService(ctx context.Context, service *slap.ServiceInformation, withNews bool) (*pytext.Object, error) {
	software := newSoftwareSchema(e, service.SoftwareReleaseURL, "")
	connection, err := serialised(service.ConnectionParameters, software.serialisation(ctx))
	if err != nil {
		return nil, fmt.Errorf("connection parameters: %w", err)
	}
	parameters, err := pytext.ServiceParameters(service)
	if err != nil {
		return nil, err
	}
	info := pytext.NewObject()
	info.Set("software-url", service.SoftwareReleaseURL)
	info.Set("software-type", service.SoftwareType)
	info.Set("shared", service.Shared)
	info.Set("requested-state", service.RequestedState)
	info.Set("instance-parameters", parameters)
	info.Set("connection-parameters", connection)
	if len(service.News) == 0 || string(service.News) == "null" {
		info.Set("status", "unsupported")
		return info, nil
	}
	news, err := pyjson.Parse(service.News)
	if err != nil {
		return nil, fmt.Errorf("news: %w", err)
	}
	info.Set("status", statusOf(news))
	if withNews {
		info.Set("news", news)
	}
	return info, nil
}

// serialised undoes json-in-xml: it decodes what stands under "_".
func serialised(parameters slap.Dict, s schema.Serialisation) (any, error) {
	text, found := parameters["_"].(string)
	if s != schema.JSONInXML || !found {
		return parameters, nil
	}
	return pyjson.Parse([]byte(text))
}

// statusOf sums up a list of news (CLI-41).
func statusOf(news any) string {
	var access, failure bool
	list, _ := news.([]any)
	for _, item := range list {
		if o, ok := item.(*pytext.Object); ok {
			text, _ := o.Value("text").(string)
			access = access || strings.HasPrefix(text, "#access")
			failure = failure || strings.HasPrefix(text, "#error")
		}
	}
	switch {
	case access && failure:
		return "orange"
	case failure:
		return "red"
	case access:
		return "green"
	}
	return "none"
}
