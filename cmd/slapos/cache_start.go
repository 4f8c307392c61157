// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/argv"
	"slapos/networkcache/server"
	"slapos/slap/serve"
)

type cacheStartOptions struct {
	host                                   string
	port                                   int
	directory, contents, entries           string
	maximumAge                             time.Duration
	maximumSize                            int64
	tokenFile                              string
	certificateFile, keyFile, clientCAFile string
	notLoopback                            bool
	names                                  string
	connections                            int
}

func (o *cacheStartOptions) flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "host", Destination: &o.host, Value: "127.0.0.1", Usage: "`ADDRESS` to listen on"},
		argv.WholeFlag(&o.port, "port", "`PORT` to listen on, 0 for a free one", "5010", 0, maxPort),
		&cli.StringFlag{Name: "directory", Destination: &o.directory, Usage: "`DIRECTORY` to keep everything in (required)"},
		&cli.StringFlag{Name: "contents", Destination: &o.contents, Usage: "`BUCKET` for the contents, as s3://BUCKET/PREFIX?endpoint=https://HOST&region=REGION"},
		&cli.StringFlag{Name: "entries", Destination: &o.entries, Usage: "`DATABASE` for the entries, as postgres://… or sqlite:PATH"},
		argv.MeasureFlag(&o.maximumAge, "max-age", "remove what nobody has downloaded for `TIME`, as 90d or 12h", "", ageForms, parseAge),
		argv.MeasureFlag(&o.maximumSize, "max-size", "above `SIZE`, remove what was not used for longest, as 100G", "", byteSizeForms, parseByteSize),
		&cli.StringFlag{Name: "token-file", Destination: &o.tokenFile, Usage: "`FILE` with tokens that allow uploads, one a line"},
		&cli.StringFlag{Name: "cert-file", Destination: &o.certificateFile, Usage: "serve https with the certificate in `FILE`"},
		&cli.StringFlag{Name: "key-file", Destination: &o.keyFile, Usage: "`FILE` with the key of --cert-file (default: the same file)"},
		&cli.StringFlag{Name: "client-ca-file", Destination: &o.clientCAFile, Usage: "`FILE` with the authorities whose clients may upload"},
		&cli.StringFlag{Name: "listen-names", Destination: &o.names, Usage: "`NAMES` of this server beside its addresses and the machine's, as of a reverse proxy before it, with blanks between"},
		argv.WholeFlag(&o.connections, "listen-connections", "`NUMBER` of connections that one address may have at a time, of IPv6 one /64 network; this machine has half of the descriptors, 4096 at most", "256", 1, 1<<16),
		&cli.BoolFlag{Name: "no-loopback-upload", Destination: &o.notLoopback, Usage: "accept no uploads from this machine without certificate or token: for servers behind a proxy"},
	}
}

func newCacheStartCommand(e *environment) *cli.Command {
	options := new(cacheStartOptions)
	return &cli.Command{
		Name:  "start",
		Usage: "serve the network cache",
		Description: `Serves shacache at /shacache/cache, shadir at /shacache/dir and Prometheus
metrics at /metrics, until it is interrupted. Anybody who reaches the address
may download. Uploads are accepted from this machine, from clients with a
certificate of --client-ca-file, and with a token, sent as bearer or as the
password of the URL.

The credentials for a bucket come from AWS_ACCESS_KEY_ID and
AWS_SECRET_ACCESS_KEY, else from ~/.aws/credentials, else from the cloud that
the machine runs in.

Exit codes: 0 stopped; 1 a directory, a file or the address can't be used.`,
		Flags: options.flags(),
		Action: func(c *cli.Context) error {
			return runCacheStart(c.Context, e, *options)
		},
	}
}

func runCacheStart(ctx context.Context, e *environment, options cacheStartOptions) error {
	if options.directory == "" {
		return argv.UsageErrorf("the following arguments are required: --directory")
	}
	served, err := e.cacheServerOptions(options)
	if err != nil {
		return err
	}
	security, err := options.security()
	if err != nil {
		return err
	}
	if err := e.openCacheStore(ctx, options, &served.Store); err != nil {
		return err
	}
	defer served.Store.Entries.Close()
	listeners, err := serve.Listen(ctx, options.host, options.port)
	if err != nil {
		return err
	}
	cache := server.New(served)
	return serve.Loop{
		Handler: serve.Guard{Names: strings.Fields(options.names)}.Handler(cache), Security: security, Log: e.log, Beside: cache.CollectHourly,
		Connections: options.connections,
		Patience:    time.Minute, // those who upload may pause
		Greeting: func(url string) string {
			return fmt.Sprintf("Serving the network cache at %s/shacache/cache and %s/shacache/dir", url, url)
		},
	}.Serve(ctx, listeners)
}

// openCacheStore opens the places that the options name, by default in the
// directory.
func (e *environment) openCacheStore(ctx context.Context, options cacheStartOptions, store *server.Store) (err error) {
	directory := e.expandUser(options.directory)
	contents, entries := options.contents, options.entries
	if contents == "" {
		contents = filepath.Join(directory, "cache")
	}
	if entries == "" {
		entries = filepath.Join(directory, "dir")
	}
	if strings.HasPrefix(contents, "s3://") {
		err = os.MkdirAll(directory, 0o755)
	} else {
		err = os.MkdirAll(contents, 0o755)
	}
	if err != nil {
		return fmt.Errorf("network cache: %w", err)
	}
	if store.Contents, err = server.OpenBlobs(ctx, contents, directory, e.bucketLogin()); err != nil {
		return err
	}
	store.Entries, err = server.OpenIndex(ctx, entries, filepath.Join(directory, "uploaders"))
	return err
}

// bucketLogin reads credentials where Amazon's tools do.
func (e *environment) bucketLogin() server.Login {
	login := server.Login{
		AccessKey: e.getenv("AWS_ACCESS_KEY_ID"), SecretKey: e.getenv("AWS_SECRET_ACCESS_KEY"), SessionToken: e.getenv("AWS_SESSION_TOKEN"),
		File: e.getenv("AWS_SHARED_CREDENTIALS_FILE"), Profile: e.getenv("AWS_PROFILE"), Region: e.getenv("AWS_REGION"),
	}
	if login.File == "" {
		login.File = e.expandUser("~/.aws/credentials")
	}
	if _, err := os.Stat(login.File); err != nil {
		login.File = ""
	}
	return login
}

func (e *environment) cacheServerOptions(options cacheStartOptions) (server.Options, error) {
	uploaders := server.Uploaders{NotLoopback: options.notLoopback}
	if options.tokenFile != "" {
		var err error
		if uploaders.Tokens, err = readTokens(e.expandUser(options.tokenFile)); err != nil {
			return server.Options{}, err
		}
	}
	return server.Options{
		MayUpload: uploaders.Allow,
		Store:     server.Store{MaximumAge: options.maximumAge, MaximumSize: options.maximumSize, Logger: e.log, Now: e.now},
	}, nil
}

// security is nil without certificate.
func (o cacheStartOptions) security() (*tls.Config, error) {
	if o.certificateFile == "" {
		if o.clientCAFile != "" || o.keyFile != "" {
			return nil, argv.UsageErrorf("--client-ca-file and --key-file need --cert-file")
		}
		return nil, nil
	}
	return listenSecurity(o.certificateFile, o.keyFile, o.clientCAFile)
}
