// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"errors"

	"go.starlark.net/starlark"

	"slapos/cmd/slapos/pytext"
	"slapos/slap"
)

// library is the object slap: what the original's library offers, by the same
// names (CLI-55, CLI-58).
func (c *console) library() *entity {
	return &entity{name: "slap", attributes: methods(map[string]function{
		"registerComputer":          c.registerComputer,
		"registerComputerPartition": c.registerPartition,
		"registerSoftwareRelease":   c.registerRelease,
		"registerOpenOrder": noArguments(func() (any, error) {
			return &entity{name: "OpenOrder", attributes: methods(map[string]function{
				"request": c.request, "getInformation": c.information, "requestComputer": c.requestComputer,
			})}, nil
		}),
		"registerSupply": noArguments(func() (any, error) {
			return &entity{name: "Supply", attributes: methods(map[string]function{"supply": c.supply})}, nil
		}),
		"registerToken": noArguments(func() (any, error) {
			return &entity{name: "Token", attributes: methods(map[string]function{"request": noArguments(c.token)})}, nil
		}),
		"getOpenOrderDict":                          noArguments(c.services),
		"getComputerDict":                           noArguments(c.computers),
		"getSoftwareReleaseListFromSoftwareProduct": c.releases,
	})}
}

func (c *console) supply(a arguments) (any, error) {
	var url, computer string
	state := string(slap.StateAvailable)
	if err := a.unpack("software_release", &url, "computer_guid", &computer, "state?", &state); err != nil {
		return nil, err
	}
	return nil, c.client.Supply(c.ctx, url, computer, slap.State(state))
}

func (c *console) request(a arguments) (any, error) {
	var r slap.Request
	var softwareType, state, parameters, filter starlark.Value = starlark.None, starlark.None, starlark.None, starlark.None
	err := a.unpack("software_release", &r.SoftwareRelease, "partition_reference", &r.Reference,
		"partition_parameter_kw?", &parameters, "software_type?", &softwareType, "filter_kw?", &filter, "state?", &state, "shared?", &r.Shared)
	if err != nil {
		return nil, err
	}
	if r.Parameters, err = dictionary("partition_parameter_kw", parameters); err != nil {
		return nil, err
	}
	if r.Filter, err = dictionary("filter_kw", filter); err != nil {
		return nil, err
	}
	r.SoftwareType = slap.DefaultSoftwareType
	if text, ok := starlark.AsString(softwareType); ok {
		r.SoftwareType = text
	}
	if text, ok := starlark.AsString(state); ok {
		r.State = slap.State(text)
	}
	instance, err := c.client.Request(c.ctx, r)
	if errors.Is(err, slap.ErrNotReady) { // SLAP-58: told when something is asked of it
		return newPartition(c, &slap.Instance{}, err).entity(), nil
	}
	if err != nil {
		return nil, err
	}
	return newPartition(c, instance, nil).entity(), nil
}

// dictionary reads a parameter that is a dictionary or None (SLAP-52).
func dictionary(name string, value starlark.Value) (slap.Dict, error) {
	if value == starlark.None {
		return slap.Dict{}, nil
	}
	dict, ok := value.(*starlark.Dict)
	if !ok {
		return nil, sentencef("Unexpected type of %s '%s'", name, pythonText(value))
	}
	o, err := fromStarlarkDict(dict)
	if err != nil {
		return nil, err
	}
	return pytext.Plain(o).(slap.Dict), nil
}

// information is what the master knows of a service, under the names of the
// original's object.
func (c *console) information(a arguments) (any, error) {
	var reference string
	if err := a.unpack("partition_reference", &reference); err != nil {
		return nil, err
	}
	master, err := c.client.Hateoas(c.ctx)
	if err != nil {
		return nil, err
	}
	service, err := master.Service(c.ctx, reference)
	if err != nil {
		return nil, err
	}
	parameters, err := serviceParameters(service)
	if err != nil {
		return nil, err
	}
	attributes := starlark.StringDict{}
	for name, value := range map[string]any{
		"_software_release_url": service.SoftwareReleaseURL,
		"_source_reference":     service.SoftwareType,
		"_root_slave":           service.Shared,
		"_requested_state":      service.RequestedState,
		"_parameter_dict":       parameters,
		"_connection_dict":      service.ConnectionParameters,
	} {
		if attributes[name], err = toStarlark(value); err != nil {
			return nil, err
		}
	}
	return &entity{name: "Instance", attributes: attributes}, nil
}

func (c *console) services() (any, error) {
	master, err := c.client.Hateoas(c.ctx)
	if err != nil {
		return nil, err
	}
	services, err := master.Services(c.ctx)
	list := pytext.NewObject()
	for _, service := range services {
		list.Set(service.Title, &entity{name: "Instance", attributes: starlark.StringDict{
			"_software_release_url": starlark.String(service.SoftwareReleaseURL),
		}})
	}
	return list, err
}

func (c *console) computers() (any, error) {
	master, err := c.client.Hateoas(c.ctx)
	if err != nil {
		return nil, err
	}
	computers, err := master.Computers(c.ctx)
	list := pytext.NewObject()
	for _, computer := range computers {
		list.Set(computer.Title, c.computerEntity(computer.Reference, computer.Title))
	}
	return list, err
}

func (c *console) token() (any, error) {
	master, err := c.client.Hateoas(c.ctx)
	if err != nil {
		return nil, err
	}
	return master.Token(c.ctx)
}

func (c *console) releases(a arguments) (any, error) {
	var product, url string
	if err := a.unpack("software_product_reference?", &product, "software_release_url?", &url); err != nil {
		return nil, err
	}
	switch {
	case (product == "") == (url == ""):
		return nil, errors.New("either software_product_reference or software_release_url is needed, and not both")
	case product != "":
		return c.client.ProductReleases(c.ctx, product)
	}
	return c.client.SiblingReleases(c.ctx, url)
}

func (c *console) registerComputer(a arguments) (any, error) {
	var reference string
	if err := a.unpack("computer_guid", &reference); err != nil {
		return nil, err
	}
	return c.computerEntity(reference, ""), nil
}

func (c *console) requestComputer(a arguments) (any, error) {
	var title string
	if err := a.unpack("computer_title", &title); err != nil {
		return nil, err
	}
	computer, err := c.client.RequestComputer(c.ctx, title)
	if err != nil {
		return nil, err
	}
	return c.computerEntity(computer.Reference, title), nil
}

func (c *console) computerEntity(reference, title string) *entity {
	attributes := methods(map[string]function{
		"getId": noArguments(func() (any, error) { return reference, nil }),
		"getComputerPartitionList": noArguments(func() (any, error) {
			computer, err := c.client.FullComputerInformation(c.ctx, reference)
			if err != nil {
				return nil, err
			}
			var list []any
			for _, p := range computer.Partitions {
				list = append(list, knownPartition(c, p).entity())
			}
			return list, nil
		}),
		"getSoftwareReleaseList": noArguments(func() (any, error) {
			computer, err := c.client.FullComputerInformation(c.ctx, reference)
			if err != nil {
				return nil, err
			}
			var list []any
			for _, release := range computer.SoftwareReleases {
				list = append(list, c.releaseEntity(release))
			}
			return list, nil
		}),
		"getStatus": noArguments(func() (any, error) {
			status, err := c.client.ComputerStatus(c.ctx, reference)
			return status, err
		}),
		"getInformation": noArguments(func() (any, error) {
			master, err := c.client.Hateoas(c.ctx)
			if err != nil {
				return nil, err
			}
			information, err := master.Computer(c.ctx, reference)
			if err != nil {
				return nil, err
			}
			return c.computerEntity(information.Reference, information.Title), nil
		}),
		"bang": func(a arguments) (any, error) {
			var message string
			if err := a.unpack("message", &message); err != nil {
				return nil, err
			}
			return nil, c.client.ComputerBang(c.ctx, reference, message)
		},
	})
	attributes["_reference"] = starlark.String(reference)
	attributes["_title"] = starlark.String(title)
	return &entity{name: "Computer", attributes: attributes}
}

func (c *console) registerRelease(a arguments) (any, error) {
	var url string
	err := a.unpack("software_release", &url)
	return c.releaseEntity(&slap.SoftwareRelease{URL: url}), err
}

func (c *console) releaseEntity(release *slap.SoftwareRelease) *entity {
	// known fails for what the release doesn't know of itself (SLAP-45).
	known := func(name, value string) (string, error) {
		if value == "" {
			return "", errors.New(name + " has not been defined.")
		}
		return value, nil
	}
	names := func() (url, computer string, err error) {
		if url, err = known("software_release", release.URL); err == nil {
			computer, err = known("computer_guid", release.Computer)
		}
		return url, computer, err
	}
	tell := func(call func(ctx context.Context, url, computer string) error) function {
		return noArguments(func() (any, error) {
			url, computer, err := names()
			if err != nil {
				return nil, err
			}
			return nil, call(c.ctx, url, computer)
		})
	}
	return &entity{name: "SoftwareRelease", attributes: methods(map[string]function{
		"getURI":        noArguments(func() (any, error) { return known("software_release", release.URL) }),
		"getComputerId": noArguments(func() (any, error) { return known("computer_guid", release.Computer) }),
		"getState":      noArguments(func() (any, error) { return release.State(), nil }),
		"available":     tell(c.client.AvailableRelease),
		"building":      tell(c.client.BuildingRelease),
		"destroyed":     tell(c.client.DestroyedRelease),
		"error": func(a arguments) (any, error) {
			var text string
			if err := a.unpack("error_log", &text); err != nil {
				return nil, err
			}
			url, computer, err := names()
			if err == nil {
				err = c.client.ReleaseError(c.ctx, url, computer, text)
			}
			if err != nil { // it never fails (SLAP-46)
				c.e.log.Error(err.Error())
			}
			return nil, nil
		},
	})}
}
