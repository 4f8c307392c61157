// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/argv"
	"slapos/networkcache"
	"slapos/networkcache/proximity"
	"slapos/networkcache/server"
	"slapos/slap/serve"
)

type cacheStartOptions struct {
	host                                   string
	port                                   int
	place                                  cachePlace
	maximumAge                             time.Duration
	maximumSize                            int64
	tokenFile                              string
	certificateFile, keyFile, clientCAFile string
	notLoopback                            bool
	names                                  string
	connections                            int
	noPage                                 bool
	signerFile                             string
	upstreams                              cli.StringSlice
	fresh, wait                            time.Duration
	passUploads                            bool
	upstream                               networkcache.Service // files alone
}

func (o *cacheStartOptions) flags() []cli.Flag {
	return append([]cli.Flag{
		&cli.StringFlag{Name: "host", Destination: &o.host, Value: "127.0.0.1", Usage: "`ADDRESS` to listen on"},
		argv.WholeFlag(&o.port, "port", "`PORT` to listen on, 0 for a free one", "5010", 0, maxPort),
		argv.MeasureFlag(&o.maximumAge, "max-age", "remove what nobody has downloaded for `TIME`, as 90d or 12h", "", ageForms, parseAge),
		argv.MeasureFlag(&o.maximumSize, "max-size", "above `SIZE`, remove what was not used for longest, as 100G", "", byteSizeForms, parseByteSize),
		&cli.StringFlag{Name: "token-file", Destination: &o.tokenFile, Usage: "`FILE` with tokens that allow uploads, one a line"},
		&cli.StringFlag{Name: "cert-file", Destination: &o.certificateFile, Usage: "serve https with the certificate in `FILE`"},
		&cli.StringFlag{Name: "key-file", Destination: &o.keyFile, Usage: "`FILE` with the key of --cert-file (default: the same file)"},
		&cli.StringFlag{Name: "client-ca-file", Destination: &o.clientCAFile, Usage: "`FILE` with the authorities whose clients may upload"},
		&cli.StringFlag{Name: "listen-names", Destination: &o.names, Usage: "`NAMES` of this server beside its addresses and the machine's, as of a reverse proxy before it, with blanks between"},
		argv.WholeFlag(&o.connections, "listen-connections", "`NUMBER` of connections that one address may have at a time, of IPv6 one /64 network; this machine has half of the descriptors, 4096 at most", "256", 1, 1<<16),
		&cli.BoolFlag{Name: "no-loopback-upload", Destination: &o.notLoopback, Usage: "accept no uploads from this machine without certificate or token: for servers behind a proxy"},
		&cli.BoolFlag{Name: "no-page", Destination: &o.noPage, Usage: "serve no page at /, which tells everybody what is here"},
		&cli.StringFlag{Name: "signer-file", Destination: &o.signerFile, Usage: "`FILE` with certificates of signers, whose names the page shows"},
		&cli.StringSliceFlag{Name: "upstream", Destination: &o.upstreams, Usage: "bring what isn't here from the cache at `URL`, and keep it (repeatable, asked in this order); 'CACHE-URL DIR-URL' if it isn't one of slapos cache start"},
		argv.MeasureFlag(&o.fresh, "upstream-fresh", "ask an upstream again about the same key after `TIME`, as 90s or 12h", "5m", ageForms, parseAge),
		argv.MeasureFlag(&o.wait, "upstream-wait", "wait `TIME` for an upstream, and for each 16 KiB of an answer, before another is asked", "20s", ageForms, parseAge),
		&cli.BoolFlag{Name: "upstream-uploads", Destination: &o.passUploads, Usage: "pass uploads on to the first upstream, as its URL's user; without it, they are refused"},
		&cli.StringFlag{Name: "upstream-ca-file", Destination: &o.upstream.CAFile, Usage: "`FILE` with the authorities of upstreams with https (default: the system's)"},
		&cli.StringFlag{Name: "upstream-cert-file", Destination: &o.upstream.CertificateFile, Usage: "`FILE` with the client certificate for upstreams"},
		&cli.StringFlag{Name: "upstream-key-file", Destination: &o.upstream.KeyFile, Usage: "`FILE` with the key of --upstream-cert-file (default: the same file)"},
	}, o.place.flags()...)
}

func newCacheStartCommand(e *environment) *cli.Command {
	options := new(cacheStartOptions)
	return &cli.Command{
		Name:  "start",
		Usage: "serve the network cache",
		Description: `Serves shacache at /shacache/cache, shadir at /shacache/dir and Prometheus
metrics at /metrics, until it is interrupted; the page at / shows browsers what
is here, and finds it by URL, key or digest. Anybody who reaches the address
may download. Uploads are accepted from this machine, from clients with a
certificate of --client-ca-file, and with a token, sent as bearer or as the
password of the URL.

With --upstream this is a proximity cache: what isn't here comes from there,
once for all clients that ask at the same time, and stays, within --max-age and
--max-size. Signatures and sums decide what clients trust, not places.

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
	served, err := e.cacheServerOptions(options)
	if err != nil {
		return err
	}
	security, err := options.security()
	if err != nil {
		return err
	}
	if err := e.openCacheStore(ctx, options.place, &served.Store); err != nil {
		return err
	}
	defer served.Store.Entries.Close()
	lock, err := lockCache(e.expandUser(options.place.directory), served.Store.RemoveLeft)
	if err != nil {
		return err
	}
	defer lock.Close()
	listeners, err := serve.Listen(ctx, options.host, options.port)
	if err != nil {
		return err
	}
	beside := []func(context.Context){}
	if len(options.upstreams.Value()) > 0 {
		near, err := options.proximity(&served.Store)
		if err != nil {
			return err
		}
		defer near.Close()
		served.Origin, beside = near, append(beside, near.TendHourly)
	}
	cache := server.New(served)
	beside = append(beside, cache.CollectHourly)
	return serve.Loop{
		Handler: serve.Guard{Names: strings.Fields(options.names)}.Handler(cache), Security: security, Log: e.log,
		Beside: func(ctx context.Context) {
			var all sync.WaitGroup
			for _, run := range beside {
				all.Go(func() { run(ctx) })
			}
			all.Wait()
		},
		Connections: options.connections,
		Patience:    time.Minute, // those who upload may pause
		Greeting: func(url string) string {
			return fmt.Sprintf("Serving the network cache at %s/shacache/cache and %s/shacache/dir", url, url)
		},
	}.Serve(ctx, listeners)
}

// proximity makes the origin of a server that stores in store.
func (o cacheStartOptions) proximity(store *server.Store) (*proximity.Cache, error) {
	options := proximity.Options{Store: store, Fresh: o.fresh, Wait: o.wait, PassUploads: o.passUploads}
	for i, place := range o.upstreams.Value() {
		u := proximity.Upstream{Cache: o.upstream, Directory: o.upstream}
		var err error
		if u.Cache.Download, u.Directory.Download, err = networkcache.ParsePlace(place); err != nil {
			return nil, argv.UsageErrorf("argument --upstream: %v", err)
		}
		if i == 0 {
			u.Cache.Upload, u.Directory.Upload = u.Cache.Download, u.Directory.Download
		}
		options.Upstreams = append(options.Upstreams, u)
	}
	return proximity.New(options)
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
	var signers networkcache.Certificates
	if options.signerFile != "" {
		text, err := os.ReadFile(e.expandUser(options.signerFile))
		if err != nil {
			return server.Options{}, err
		}
		signers = networkcache.ParseCertificates(string(text), e.log)
	}
	return server.Options{
		MayUpload: uploaders.Allow, Page: !options.noPage, Signers: signers,
		Store: server.Store{MaximumAge: options.maximumAge, MaximumSize: options.maximumSize, Logger: e.log, Now: e.now},
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
