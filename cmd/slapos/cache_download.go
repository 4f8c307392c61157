// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/argv"
	"slapos/cmd/slapos/pytext"
	"slapos/networkcache"
	"slapos/slap/pyjson"
)

type cacheDownloadOptions struct {
	configuration, key, url string
	list                    bool
	filters                 []string
}

func (o *cacheDownloadOptions) flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "config", Destination: &o.configuration, Aliases: []string{"c"}, Usage: "`FILE` with a section [networkcache] (required)"},
		&cli.StringFlag{Name: "key", Destination: &o.key, Aliases: []string{"k"}, Usage: "`KEY` of the entries"},
		&cli.StringFlag{Name: "url", Destination: &o.url, Aliases: []string{"u"}, Usage: "`URL` of a file, instead of a key"},
		&cli.BoolFlag{Name: "list", Destination: &o.list, Aliases: []string{"l"}, Usage: "list the entries instead"},
	}
}

func newCacheDownloadCommand(e *environment) *cli.Command {
	options := new(cacheDownloadOptions)
	return &cli.Command{
		Name:      "download",
		Usage:     "download a file from the network cache",
		ArgsUsage: "[FILTER...]",
		Description: `Prints the content of the first entry that has a trusted signature and passes
all filters. A filter is a field of the entry, an operator and a JSON value: ==
<= >= < > compare; << keeps the entries with the lowest values below the given
one, >> those with the highest above it. 'n>=[4,2]' and 'n<<Infinity' select
the oldest version from 4.2 on.

Exit codes: 0 done; 1 failed, or nothing found.`,
		Flags: options.flags(),
		Action: func(c *cli.Context) error {
			if err := argv.Exclusive(c, "key", "url"); err != nil {
				return err
			}
			options.filters = c.Args().Slice()
			return runCacheDownload(c.Context, e, *options)
		},
	}
}

func runCacheDownload(ctx context.Context, e *environment, options cacheDownloadOptions) error {
	key := options.key
	if key == "" {
		if options.url == "" {
			return argv.UsageErrorf("one of the arguments -k/--key -u/--url is required")
		}
		key = sourceKey(options.url)
	}
	filters, err := parseEntryFilters(options.filters)
	if err != nil {
		return err
	}
	config, _, err := e.readNetworkCache(options.configuration)
	if err != nil {
		return err
	}
	client, err := networkcache.NewClient(config)
	if err != nil {
		return err
	}
	found, err := e.trustedObjects(ctx, client, key)
	if err != nil {
		return err
	}
	for _, filter := range filters {
		found = filter.apply(found, e.log)
	}
	if len(found) == 0 {
		return errors.New("No result found with given criteria.")
	}
	if options.list {
		list := []any{}
		for _, about := range found {
			list = append(list, pyjson.Plain(about)) // with sorted keys
		}
		_, err := fmt.Fprintln(e.stdout, pytext.EncodeJSON(list))
		return err
	}
	sum, isText := found[0].Value("sha512").(string)
	if !isText {
		return errors.New("the sha512 of the entry is not text")
	}
	content, err := client.Download(ctx, sum)
	if err != nil {
		return err
	}
	defer content.Close()
	_, err = io.Copy(e.stdout, content)
	return err
}

// trustedObjects are what the trusted entries of a key are about; those without
// a sum are left out (NC-56).
func (e *environment) trustedObjects(ctx context.Context, client *networkcache.Client, key string) ([]*pytext.Object, error) {
	entries, err := client.Entries(ctx, key)
	if err != nil {
		return nil, err
	}
	var found []*pytext.Object
	for _, entry := range entries {
		if !client.Trusts(entry) {
			continue
		}
		value, err := pyjson.Parse([]byte(entry.Content))
		if err != nil {
			e.log.Info(fmt.Sprintf("Failed to parse json-in-json response (%q)", entry.Content))
			continue
		}
		about, isObject := value.(*pytext.Object)
		if !isObject || about.Value("sha512") == nil {
			e.log.Info(fmt.Sprintf("Bad or missing sha512 in directory response (%s)", entry.Content))
			continue
		}
		found = append(found, about)
	}
	return found, nil
}
