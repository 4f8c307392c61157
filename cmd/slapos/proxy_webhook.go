// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"slapos/proxy/webhook"
)

// webhooks reads who gets the events of a proxy; nobody, without URLs.
func (e *environment) webhooks(settings map[string]string) (webhook.Options, error) {
	options := webhook.Options{Agent: "slapos-proxy/" + version, Logger: e.log}
	urls := strings.Fields(settings["webhook_urls"])
	if len(urls) == 0 {
		return options, nil
	}
	if len(urls) > webhook.MostTargets {
		return options, fmt.Errorf("webhook_urls: there are %d, %d are possible", len(urls), webhook.MostTargets)
	}
	for i, text := range urls {
		target, err := webhook.Parse(text)
		if err != nil {
			return options, fmt.Errorf("webhook_urls: URL %d can't be used: %w", i+1, err)
		}
		options.Targets = append(options.Targets, target)
	}
	file := e.expandUser(settings["webhook_secret_file"])
	if file == "" {
		return options, errors.New("webhook_urls needs webhook_secret_file in section [slapproxy]: receivers check by it who sends")
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return options, fmt.Errorf("webhook_secret_file: %w", err)
	}
	if options.Secret, err = webhook.ParseSecret(string(text)); err != nil {
		return options, fmt.Errorf("webhook_secret_file %s: %w", file, err)
	}
	return options, nil
}
