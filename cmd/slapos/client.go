// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"slapos/slap"
)

// A client is a connection of a client command to its master.
type client struct {
	*slap.Client
	defaults map[string]string // section [slapconsole], CLI-27
	config   slap.ClientConfig
	python   string // key of section [slapos]: who runs the console
}

// Close closes idle connections.
func (c *client) Close() { _ = c.Client.Close() }

// clientOptions are the options that client commands share.
type clientOptions struct {
	configuration     string // --cfg
	keyFile, certFile string // of slapos console only
}

// openClient reads the client configuration and merges the options into it
// (CLI-27, SLAP-90).
func (e *environment) openClient(options clientOptions) (*client, error) {
	configuration, err := e.clientConfiguration(options.configuration)
	if err != nil {
		return nil, err
	}
	if !configuration.Has("slapos") {
		return nil, fmt.Errorf("%s has no section [slapos]: slapos configure client writes one", configuration.Path())
	}
	slapos, err := configuration.Section("slapos")
	if err != nil {
		return nil, err
	}
	console, err := configuration.Section("slapconsole")
	if err != nil {
		return nil, err
	}
	config := slap.ClientConfig{
		MasterURL: slapos["master_url"],
		Origin:    masterOrigin(configuration, slapos["master_url"]),
		RESTURL:   slapos["master_rest_url"],
		KeyFile:   cmp.Or(options.keyFile, console["key_file"]),
		CertFile:  cmp.Or(options.certFile, console["cert_file"]),
		CAFile:    e.expandUser(slapos["master_ca_file"]),
		Home:      e.getenv("HOME"),
		Logger:    e.log,
	}
	if config.KeyFile == "" && config.CertFile == "" {
		config.KeyFile, config.CertFile = slapos["key_file"], slapos["cert_file"]
	}
	config.KeyFile, config.CertFile = e.expandUser(config.KeyFile), e.expandUser(config.CertFile)
	if config.Insecure, err = isTrue(slapos, "master_insecure"); err != nil { // D-16
		return nil, placed(err, configuration, "slapos")
	}
	if config.Token, err = slap.ReadToken(e.expandUser(slapos["master_token_file"])); err != nil {
		return nil, placed(err, configuration, "slapos")
	}
	if config.MasterURL == "" {
		return nil, sentencef("No option 'master_url' in section [slapos] of %s", configuration.Path())
	}
	if strings.HasPrefix(config.MasterURL, "https") && config.KeyFile == "" && config.CertFile == "" && config.Token == "" {
		return nil, sentencef("No option 'key_file' and/or 'cert_file' in section [slapconsole] of %s", configuration.Path())
	}
	master, err := slap.NewClient(config)
	if err != nil {
		return nil, err
	}
	return &client{Client: master, defaults: console, config: config, python: e.expandUser(slapos["python"])}, nil
}

// openHateoas opens a client of the master's HATEOAS interface; done closes it.
func (e *environment) openHateoas(ctx context.Context, options clientOptions) (master *slap.Hateoas, done func(), err error) {
	client, err := e.openClient(options)
	if err != nil {
		return nil, nil, err
	}
	master, err = client.Hateoas(ctx)
	if err != nil {
		client.Close()
		return nil, nil, err
	}
	return master, client.Close, nil
}

// productPrefix marks the name of a product instead of a URL (CLI-48).
const productPrefix = "product."

// softwareURL resolves "product.NAME" to the best release of that product;
// anything else is a URL already.
func (e *environment) softwareURL(ctx context.Context, client *client, url string) (string, error) {
	name, found := strings.CutPrefix(url, productPrefix)
	if !found {
		return url, nil
	}
	e.log.Info("Getting best Software Release corresponding to this Software Product...")
	release, err := client.Product(ctx, name)
	if errors.Is(err, slap.ErrNotFound) {
		return "", sentencef("Error: No Software Release corresponding to this Software Product has been found. Exiting now.")
	}
	if err == nil {
		e.log.Info("Found as " + release + ".")
	}
	return release, err
}
