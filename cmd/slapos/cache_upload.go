// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/argv"
	"slapos/cmd/slapos/pytext"
	"slapos/networkcache"
	"slapos/networkcache/archive"
	"slapos/slap/pyjson"
)

type cacheUploadOptions struct {
	configuration, key, url, file, metadata string
	fields                                  []string // NAME=VALUE
}

func (o *cacheUploadOptions) flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "config", Destination: &o.configuration, Aliases: []string{"c"}, Usage: "`FILE` with a section [networkcache] (required)"},
		&cli.StringFlag{Name: "key", Destination: &o.key, Aliases: []string{"k"}, Usage: "`KEY` of the entry, of the form SCHEME:NAME (default: file-urlmd5: and the md5 sum of the URL)"},
		&cli.StringFlag{Name: "url", Destination: &o.url, Aliases: []string{"u"}, Usage: "upload what `URL` holds"},
		&cli.StringFlag{Name: "file", Destination: &o.file, Aliases: []string{"f"}, Usage: "upload `FILE`, also when there is a URL"},
		&cli.StringFlag{Name: "metadata", Destination: &o.metadata, Aliases: []string{"m"}, Usage: "JSON `FILE` with fields of the entry"},
	}
}

func newCacheUploadCommand(e *environment) *cli.Command {
	options := new(cacheUploadOptions)
	return &cli.Command{
		Name:      "upload",
		Usage:     "upload a file to the network cache",
		ArgsUsage: "[KEY=VALUE...]",
		Description: `Uploads the content of a file or a URL; a directory is packed. Its entry gets
the fields of the metadata file, each KEY=VALUE, and the URL when no key is
given. A file without key and URL gets no entry.

Exit codes: 0 done; 1 failed.`,
		Flags: options.flags(),
		Action: func(c *cli.Context) error {
			if err := argv.Exclusive(c, "key", "url"); err != nil {
				return err
			}
			options.fields = c.Args().Slice()
			return runCacheUpload(c.Context, e, *options)
		},
	}
}

func runCacheUpload(ctx context.Context, e *environment, options cacheUploadOptions) error {
	if options.file == "" && options.url == "" {
		return argv.UsageErrorf("either --file or --url is required")
	}
	_, err := options.upload(ctx, e)
	return err
}

// upload returns the sum of what is uploaded.
func (o cacheUploadOptions) upload(ctx context.Context, e *environment) (sum string, err error) {
	config, section, err := e.readNetworkCache(o.configuration)
	if err != nil {
		return "", err
	}
	config.SignatureKeyFile, config.PassphraseFile = e.signatureKeyFile(section)
	client, err := networkcache.NewClient(config)
	if err != nil {
		return "", err
	}
	fields, err := o.metadataFields()
	if err != nil {
		return "", err
	}
	key := o.key
	if key == "" && o.url != "" {
		key = sourceKey(o.url)
	}
	if key != "" && len(fields) == 0 {
		return "", errors.New("metadata should not be empty: give --metadata, --url or KEY=VALUE")
	}
	content, err := o.open(ctx)
	if err != nil {
		return "", err
	}
	defer content.Close()
	if sum, err = client.Upload(ctx, content); err != nil || key == "" {
		return sum, err
	}
	return sum, client.Index(ctx, key, sum, fields)
}

// readNetworkCache reads section [networkcache] of a file, which must be given.
func (e *environment) readNetworkCache(path string) (config networkcache.Config, section map[string]string, err error) {
	if path == "" {
		return config, nil, argv.UsageErrorf("the following arguments are required: -c/--config")
	}
	configuration, err := e.readConfiguration(e.expandUser(path))
	if err != nil {
		return config, nil, err
	}
	return e.networkCacheOf(configuration)
}

// networkCacheOf reads section [networkcache] for what isn't of built releases.
func (e *environment) networkCacheOf(configuration *pytext.Configuration) (config networkcache.Config, section map[string]string, err error) {
	section, err = networkCacheSection(configuration)
	if err != nil {
		return config, nil, err
	}
	return e.networkCacheConfig(section, "download", "upload"), section, nil
}

// metadataFields are in the order of NC-54.
func (o cacheUploadOptions) metadataFields() ([]networkcache.Field, error) {
	metadata := pytext.NewObject()
	if o.metadata != "" {
		text, err := os.ReadFile(o.metadata)
		if err != nil {
			return nil, err
		}
		value, err := pyjson.Parse(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", o.metadata, err)
		}
		isObject := false
		if metadata, isObject = value.(*pytext.Object); !isObject {
			return nil, fmt.Errorf("Not a dictionary: %s", o.metadata)
		}
	}
	for _, field := range o.fields {
		name, value, found := strings.Cut(field, "=")
		if !found {
			return nil, argv.UsageErrorf("argument KEY=VALUE: invalid value %q", field)
		}
		metadata.Set(name, value)
	}
	if _, found := metadata.Get("url"); !found && o.key == "" && o.url != "" {
		metadata.Set("url", o.url)
	}
	if _, found := metadata.Get("sha512"); found {
		return nil, errors.New("sha512 can't be given: it is computed from the content")
	}
	var fields []networkcache.Field
	for _, member := range *metadata {
		fields = append(fields, networkcache.Field{Name: member.Key, Value: json.RawMessage(pytext.EncodeJSONLine(member.Value))})
	}
	return fields, nil
}

// open opens what is to be uploaded.
func (o cacheUploadOptions) open(ctx context.Context) (*os.File, error) {
	if o.file != "" {
		return os.Open(o.file)
	}
	parsed, err := url.Parse(o.url)
	switch {
	case err == nil && (parsed.Scheme == "http" || parsed.Scheme == "https"):
		return fetchToFile(ctx, o.url)
	case err == nil && parsed.Scheme == "file":
		return os.Open(parsed.Path)
	}
	if info, err := os.Stat(o.url); err == nil && info.IsDir() {
		return packToFile(ctx, o.url)
	}
	return os.Open(o.url)
}

// newScratch makes a file without name.
func newScratch(directory string) (*os.File, error) {
	file, err := os.CreateTemp(directory, ".slapos-upload-*")
	if err != nil {
		return nil, err
	}
	return file, os.Remove(file.Name())
}

func fetchToFile(ctx context.Context, address string) (*os.File, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", request.URL.Redacted(), answer.Status)
	}
	file, err := newScratch("")
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(file, answer.Body); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", request.URL.Redacted(), err), file.Close())
	}
	return file, nil
}

// packToFile packs a directory into a file beside it, where there is room for a
// file of its size.
func packToFile(ctx context.Context, directory string) (*os.File, error) {
	directory, err := filepath.Abs(directory)
	if err != nil {
		return nil, err
	}
	file, err := newScratch(filepath.Dir(directory))
	if err != nil {
		return nil, err
	}
	if err := archive.Pack(ctx, file, directory); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}
