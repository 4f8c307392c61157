// SPDX-License-Identifier: GPL-3.0-or-later

package console

import (
	"context"
	"errors"
	"fmt"

	"go.starlark.net/starlark"

	"slapos/cmd/slapos/pytext"
	"slapos/slap"
	"slapos/slap/pyjson"
)

// library is the object slap, with the names of the original's library (CLI-55,
// CLI-58).
func (s *Session) library() *entity {
	return &entity{name: "slap", attributes: methods(map[string]function{
		"registerComputer":          s.registerComputer,
		"registerComputerPartition": s.registerPartition,
		"registerSoftwareRelease":   s.registerRelease,
		"registerOpenOrder": noArguments(func() (any, error) {
			return &entity{name: "OpenOrder", attributes: methods(map[string]function{
				"request": s.request, "getInformation": s.information, "requestComputer": s.requestComputer,
			})}, nil
		}),
		"registerSupply": noArguments(func() (any, error) {
			return &entity{name: "Supply", attributes: methods(map[string]function{"supply": s.supply})}, nil
		}),
		"registerToken": noArguments(func() (any, error) {
			return &entity{name: "Token", attributes: methods(map[string]function{"request": noArguments(s.token)})}, nil
		}),
		"getOpenOrderDict":                          noArguments(s.services),
		"getComputerDict":                           noArguments(s.computers),
		"getSoftwareReleaseListFromSoftwareProduct": s.releases,
	})}
}

func (s *Session) supply(a arguments) (any, error) {
	var url, computer string
	state := string(slap.StateAvailable)
	if err := a.unpack("software_release", &url, "computer_guid", &computer, "state?", &state); err != nil {
		return nil, err
	}
	return nil, s.options.Master.Supply(s.ctx, url, computer, slap.State(state))
}

func (s *Session) request(a arguments) (any, error) {
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
	instance, err := s.options.Master.Request(s.ctx, r)
	if errors.Is(err, slap.ErrNotReady) { // SLAP-58: told when something is asked of it
		return newPartition(s, &slap.Instance{}, err).entity(), nil
	}
	if err != nil {
		return nil, err
	}
	return newPartition(s, instance, nil).entity(), nil
}

// dictionary reads a parameter that is a dictionary or None (SLAP-52).
func dictionary(name string, value starlark.Value) (slap.Dict, error) {
	if value == starlark.None {
		return slap.Dict{}, nil
	}
	dict, ok := value.(*starlark.Dict)
	if !ok {
		return nil, fmt.Errorf("Unexpected type of %s '%s'", name, pythonText(value))
	}
	o, err := fromStarlarkDict(dict)
	if err != nil {
		return nil, err
	}
	return pyjson.Plain(o).(slap.Dict), nil
}

// information is what the master knows of a service, under the names of the
// original's object.
func (s *Session) information(a arguments) (any, error) {
	var reference string
	if err := a.unpack("partition_reference", &reference); err != nil {
		return nil, err
	}
	master, err := s.options.Master.Hateoas(s.ctx)
	if err != nil {
		return nil, err
	}
	service, err := master.Service(s.ctx, reference)
	if err != nil {
		return nil, err
	}
	parameters, err := pytext.ServiceParameters(service)
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

func (s *Session) services() (any, error) {
	master, err := s.options.Master.Hateoas(s.ctx)
	if err != nil {
		return nil, err
	}
	services, err := master.Services(s.ctx)
	list := pytext.NewObject()
	for _, service := range services {
		list.Set(service.Title, &entity{name: "Instance", attributes: starlark.StringDict{
			"_software_release_url": starlark.String(service.SoftwareReleaseURL),
		}})
	}
	return list, err
}

func (s *Session) computers() (any, error) {
	master, err := s.options.Master.Hateoas(s.ctx)
	if err != nil {
		return nil, err
	}
	computers, err := master.Computers(s.ctx)
	list := pytext.NewObject()
	for _, computer := range computers {
		list.Set(computer.Title, s.computerEntity(computer.Reference, computer.Title))
	}
	return list, err
}

func (s *Session) token() (any, error) {
	master, err := s.options.Master.Hateoas(s.ctx)
	if err != nil {
		return nil, err
	}
	return master.Token(s.ctx)
}

func (s *Session) releases(a arguments) (any, error) {
	var product, url string
	if err := a.unpack("software_product_reference?", &product, "software_release_url?", &url); err != nil {
		return nil, err
	}
	switch {
	case (product == "") == (url == ""):
		return nil, errors.New("either software_product_reference or software_release_url is needed, and not both")
	case product != "":
		return s.options.Master.ProductReleases(s.ctx, product)
	}
	return s.options.Master.SiblingReleases(s.ctx, url)
}

func (s *Session) registerComputer(a arguments) (any, error) {
	var reference string
	if err := a.unpack("computer_guid", &reference); err != nil {
		return nil, err
	}
	return s.computerEntity(reference, ""), nil
}

func (s *Session) requestComputer(a arguments) (any, error) {
	var title string
	if err := a.unpack("computer_title", &title); err != nil {
		return nil, err
	}
	computer, err := s.options.Master.RequestComputer(s.ctx, title)
	if err != nil {
		return nil, err
	}
	return s.computerEntity(computer.Reference, title), nil
}

func (s *Session) computerEntity(reference, title string) *entity {
	attributes := methods(map[string]function{
		"getId": noArguments(func() (any, error) { return reference, nil }),
		"getComputerPartitionList": noArguments(func() (any, error) {
			computer, err := s.options.Master.FullComputerInformation(s.ctx, reference)
			if err != nil {
				return nil, err
			}
			var list []any
			for _, p := range computer.Partitions {
				list = append(list, knownPartition(s, p).entity())
			}
			return list, nil
		}),
		"getSoftwareReleaseList": noArguments(func() (any, error) {
			computer, err := s.options.Master.FullComputerInformation(s.ctx, reference)
			if err != nil {
				return nil, err
			}
			var list []any
			for _, release := range computer.SoftwareReleases {
				list = append(list, s.releaseEntity(release))
			}
			return list, nil
		}),
		"getStatus": noArguments(func() (any, error) {
			status, err := s.options.Master.ComputerStatus(s.ctx, reference)
			return status, err
		}),
		"getInformation": noArguments(func() (any, error) {
			master, err := s.options.Master.Hateoas(s.ctx)
			if err != nil {
				return nil, err
			}
			information, err := master.Computer(s.ctx, reference)
			if err != nil {
				return nil, err
			}
			return s.computerEntity(information.Reference, information.Title), nil
		}),
		"bang": func(a arguments) (any, error) {
			var message string
			if err := a.unpack("message", &message); err != nil {
				return nil, err
			}
			return nil, s.options.Master.ComputerBang(s.ctx, reference, message)
		},
	})
	attributes["_reference"] = starlark.String(reference)
	attributes["_title"] = starlark.String(title)
	return &entity{name: "Computer", attributes: attributes}
}

func (s *Session) registerRelease(a arguments) (any, error) {
	var url string
	err := a.unpack("software_release", &url)
	return s.releaseEntity(&slap.SoftwareRelease{URL: url}), err
}

func (s *Session) releaseEntity(release *slap.SoftwareRelease) *entity {
	// known fails for an attribute that the release lacks (SLAP-45).
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
			return nil, call(s.ctx, url, computer)
		})
	}
	return &entity{name: "SoftwareRelease", attributes: methods(map[string]function{
		"getURI":        noArguments(func() (any, error) { return known("software_release", release.URL) }),
		"getComputerId": noArguments(func() (any, error) { return known("computer_guid", release.Computer) }),
		"getState":      noArguments(func() (any, error) { return release.State(), nil }),
		"available":     tell(s.options.Master.AvailableRelease),
		"building":      tell(s.options.Master.BuildingRelease),
		"destroyed":     tell(s.options.Master.DestroyedRelease),
		"error": func(a arguments) (any, error) {
			var text string
			if err := a.unpack("error_log", &text); err != nil {
				return nil, err
			}
			url, computer, err := names()
			if err == nil {
				err = s.options.Master.ReleaseError(s.ctx, url, computer, text)
			}
			if err != nil { // it never fails (SLAP-46)
				s.options.Logger.Error(err.Error())
			}
			return nil, nil
		},
	})}
}
