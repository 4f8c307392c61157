// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/argv"
	"slapos/cmd/slapos/pytext"
	"slapos/format"
	"slapos/grid/supervisor"
	"slapos/slap"
	"slapos/slap/clock"
	"slapos/slap/serve"
	"slapos/slap/wholefile"
)

type configureLocalOptions struct {
	interfaceName   string
	partitionNumber int
	network         string
	ip, port        string // of the proxy
	instanceRoot    string
	softwareRoot    string
	home            string // of slapos: bin, log
	directory       string // of configuration
	shacache        bool
	open            bool // the master asks nobody for a token
}

func (o *configureLocalOptions) flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "cfg", Usage: "accepted, without effect: `FILE` is the one that is written (default: $SLAPOS_CONFIGURATION or " + nodeConfigurationFile + ")"},
		&cli.StringFlag{Name: "interface-name", Destination: &o.interfaceName, Usage: "network `INTERFACE` that gets the addresses of partitions", Value: "lo"},
		argv.WholeFlag(&o.partitionNumber, "partition-number", "how many partitions to make", "20", 0, maxAmount),
		&cli.StringFlag{Name: "ipv4-local-network", Destination: &o.network, Usage: "private `NETWORK` for the addresses of partitions, not in use elsewhere", Value: "10.0.0.0/16"},
		&cli.StringFlag{Name: "daemon-listen-ip", Destination: &o.ip, Usage: "`ADDRESS` that the local master listens on; one that other machines reach, or ::, lets them join it", Value: "127.0.0.1"},
		&cli.StringFlag{Name: "daemon-listen-port", Destination: &o.port, Usage: "`PORT` that the local master listens on", Value: "8080"},
		&cli.StringFlag{Name: "slapos-instance-root", Destination: &o.instanceRoot, Usage: "`DIRECTORY` of instances", Value: "/srv/slapgrid"},
		&cli.StringFlag{Name: "slapos-software-root", Destination: &o.softwareRoot, Usage: "`DIRECTORY` of software", Value: "/opt/slapgrid"},
		&cli.StringFlag{Name: "slapos-buildout-directory", Destination: &o.home, Usage: "`DIRECTORY` of slapos itself, for its database and logs", Value: "/opt/slapos"},
		&cli.StringFlag{Name: "slapos-configuration-directory", Destination: &o.directory, Usage: "`DIRECTORY` of the configuration", Value: "/etc/opt/slapos"},
		&cli.BoolFlag{Name: "open-master", Destination: &o.open, Usage: "make the local master ask nobody for a token: every user of this machine may do anything, clients of slapos.core need no login"},
		&cli.BoolFlag{Name: "enable-shacache-proxy", Destination: &o.shacache, Usage: "make the local master keep a cache of sources and built releases, and use it"},
	}
}

func newConfigureLocalCommand(e *environment) *cli.Command {
	options := new(configureLocalOptions)
	return &cli.Command{
		Name:  "local",
		Usage: "make this computer a node with its own master",
		Description: `Writes slapos.cfg and slapos-proxy.cfg, starts the supervisor with the local
master (slapos proxy start) as one of its services, formats the computer, and
makes the client commands of this account talk to that master. Other users of
this machine are refused: the master asks for the token in DIRECTORY/master-token,
which these commands read by themselves.

With --daemon-listen-ip :: other machines join this master: it has an authority of
its own then, and speaks TLS. slapos proxy token node prints what they run.

Exit codes: 0 success; 1 failed; 2 wrong usage; 5 not root.`,
		Flags: options.flags(),
		Action: func(c *cli.Context) error {
			return runConfigureLocal(c.Context, e, *options)
		},
	}
}

// localComputer is the reference of a computer with its own master.
const localComputer = "local_computer"

// runConfigureLocal does CLI-92. Formatting creates the roots before the master
// runs. It can't inform the master yet, and nobody need hear of it: what else
// fails fails the second time, too.
func runConfigureLocal(ctx context.Context, e *environment, options configureLocalOptions) error {
	if err := e.requireRoot(); err != nil {
		return err
	}
	port, err := wholeOption(map[string]string{"port": options.port}, "port", 0)
	if err != nil || port == 0 { // its clients must know the port
		return argv.UsageErrorf("argument --daemon-listen-port: invalid value %q: must be %s", options.port, argv.WholeRange(1, maxPort))
	}
	options.port = strconv.Itoa(port)
	if options.ip, err = serve.Host(options.ip); err != nil {
		return argv.UsageErrorf("argument --daemon-listen-ip: %v", err)
	}
	l := &localNode{e: e, configureLocalOptions: options}
	if l.joinable() && l.shacache {
		return argv.UsageErrorf("argument --enable-shacache-proxy: not with a master that other machines join: start slapos cache start for them")
	}
	if _, err := os.Lstat(l.nodeFile()); err == nil {
		return sentencef("A SlapOS configuration directory already exist at %s. Aborting.", l.nodeFile())
	}
	if l.ipv6Network, err = e.ipv6LocalNetwork(ctx, l.interfaceName); err != nil {
		return err
	}
	if err := l.writeFiles(); err != nil {
		return err
	}
	if output, err := l.format(ctx).CombinedOutput(); err != nil {
		e.log.Debug("slapos node format, without the master: "+err.Error(), "output", string(output))
	}
	layout := supervisor.Layout{InstanceRoot: options.instanceRoot, Logger: e.log}
	watchdog := supervisor.Watchdog{
		Executable: e.executable, MasterURL: l.masterURL(), ComputerID: localComputer, InstanceRoot: options.instanceRoot,
		TokenFile: l.tokenFile(), CAFile: l.authorityFile,
	}
	if err := supervisor.WriteConfiguration(layout, watchdog.Command()); err != nil {
		return err
	}
	if err := l.linkClient(); err != nil {
		return err
	}
	if err := supervisor.Launch(ctx, layout, supervisor.LaunchOptions{Executable: e.executable, Logger: e.log}); err != nil {
		return err
	}
	if err := l.waitForMaster(ctx); err != nil {
		return err
	}
	formatting := l.format(ctx)
	formatting.Stdout, formatting.Stderr = e.childOutput(), e.stderr
	if err := formatting.Run(); err != nil {
		return fmt.Errorf("slapos node format: %w: the master runs; when what it says is mended, run slapos node format --now --cfg %s", err, l.nodeFile())
	}
	e.log.Info("This computer is the node " + localComputer + " of the master " + l.masterURL() + ".")
	if l.joinable() {
		e.log.Info("For other machines: slapos proxy token node --cfg " + l.proxyFile())
	}
	return e.startAgent(ctx, l.nodeFile())
}

type localNode struct {
	e *environment
	configureLocalOptions
	ipv6Network   string // of an interface without a global address
	authorityFile string // certificate of the authority of a master that others join
}

// joinable reports whether other machines reach the master, and join it.
func (l *localNode) joinable() bool {
	ip := net.ParseIP(l.ip)
	return !l.open && l.ip != "localhost" && (ip == nil || !ip.IsLoopback())
}

func (l *localNode) nodeFile() string  { return filepath.Join(l.directory, "slapos.cfg") }
func (l *localNode) proxyFile() string { return filepath.Join(l.directory, "slapos-proxy.cfg") }

// tokenFile has the token that the master asks for, and the clients of root.
func (l *localNode) tokenFile() string {
	if l.open {
		return ""
	}
	return filepath.Join(l.directory, "master-token")
}

// address is where this machine reaches the master.
func (l *localNode) address() string {
	host := l.ip
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, l.port)
}

func (l *localNode) masterURL() string {
	if l.joinable() {
		return "https://" + l.address()
	}
	return "http://" + l.address()
}

// program is the slapos that services are started with: that of the directory
// of slapos, or else this one.
func (l *localNode) program() string {
	if path := filepath.Join(l.home, "bin", "slapos"); isExecutable(path) {
		return path
	}
	return l.e.executable
}

func isExecutable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

func (l *localNode) writeFiles() error {
	services := filepath.Join(l.instanceRoot, "etc", "supervisord.conf.d")
	logs := filepath.Join(l.home, "log")
	for _, directory := range []string{l.directory, l.softwareRoot, services, logs} {
		if err := os.MkdirAll(directory, 0o755); err != nil {
			return err
		}
	}
	if err := os.Chmod(logs, 0o700); err != nil {
		return err
	}
	if file := l.tokenFile(); file != "" {
		if err := slap.MakeToken(file); err != nil {
			return fmt.Errorf("token of the master: %w", err)
		}
	}
	database := filepath.Join(l.home, "slapproxy.db")
	if l.joinable() {
		if err := l.makeAuthority(database); err != nil {
			return err
		}
	}
	node := nodeValues{
		Command: "configure local", ComputerID: localComputer, MasterURL: l.masterURL(),
		RESTURL:      l.masterURL() + "/hateoas", // PROXY-135
		TokenFile:    l.tokenFile(),
		CAFile:       l.authorityFile,
		SoftwareRoot: l.softwareRoot, InstanceRoot: l.instanceRoot,
		InterfaceName: l.interfaceName, IPv4LocalNetwork: l.network, IPv6LocalNetwork: l.ipv6Network, PartitionAmount: l.partitionNumber, CreateTap: "false",
		ComputerXML: l.home + "/slapos.xml", LogFile: logs + "/slapos-node-format.log",
		CacheURL: publicCacheURL, DirURL: publicDirURL,
	}
	shacache := ""
	if l.shacache {
		shacache = filepath.Join(l.instanceRoot, "shacache")
		node.CacheURL, node.DirURL = l.masterURL()+"/shacache/cache", l.masterURL()+"/shacache/dir"
		if err := makeSigningKey(filepath.Join(shacache, "signing-key.pem")); err != nil {
			return err
		}
	}
	proxy := struct {
		ComputerID, SoftwareRoot, InstanceRoot, Host, Port, Database, Shacache, TokenFile string
		Authority                                                                         bool
	}{
		localComputer, l.softwareRoot, l.instanceRoot, l.ip, l.port, database, shacache, l.tokenFile(), l.joinable(),
	}
	if err := pytext.WriteExample(l.proxyFile(), proxyExample, proxy, 0o644); err != nil {
		return err
	}
	service := l.service(filepath.Join(logs, "slapos-proxy.log"))
	if err := wholefile.Write(filepath.Join(services, "slapproxy.conf"), []byte(service), 0o600); err != nil {
		return err
	}
	// Last, since its presence prevents another try.
	return pytext.WriteExample(l.nodeFile(), nodeExample, node, 0o644)
}

// makeAuthority makes the authority before the master does: format, which runs
// first, wants its certificate.
func (l *localNode) makeAuthority(database string) error {
	office, err := l.e.openAuthority(map[string]string{"database_uri": database, "host": l.ip})
	if err == nil {
		l.authorityFile = office.File()
	}
	return err
}

// ipv6LocalNetwork draws a network for an interface that has no global IPv6
// address; it is empty for one that has.
func (e *environment) ipv6LocalNetwork(ctx context.Context, interfaceName string) (string, error) {
	hasIPv6, err := format.HasGlobalIPv6(ctx, interfaceName)
	if err != nil {
		return "", fmt.Errorf("--interface-name: %w", err)
	}
	if hasIPv6 {
		return "", nil
	}
	address := [16]byte{0xfd}
	_, _ = rand.Read(address[1:6]) // never fails; RFC 4193
	network := netip.PrefixFrom(netip.AddrFrom16(address), 48).String()
	e.log.Info("Interface " + interfaceName + " has no global IPv6 address: partitions get theirs from " + network + ", which this machine alone reaches.")
	return network, nil
}

// service is the proxy as a program of the supervisor.
func (l *localNode) service(log string) string {
	escape := strings.NewReplacer("%", "%%").Replace
	return "[program:slapproxy]\n" +
		"directory=" + escape(l.home) + "\n" +
		"command=" + escape(l.program()) + " proxy start --cfg " + escape(l.proxyFile()) + "\n" +
		"process_name=slapproxy\nautostart=true\nautorestart=true\nstartsecs=0\nstartretries=0\nexitcodes=0\n" +
		"stopsignal=TERM\nstopwaitsecs=60\nuser=0\ngroup=0\nserverurl=AUTO\nredirect_stderr=true\n" +
		"stdout_logfile=" + escape(log) + "\nstdout_logfile_maxbytes=100KB\nstdout_logfile_backups=1\n" +
		"stderr_logfile=" + escape(log) + "\nstderr_logfile_maxbytes=100KB\nstderr_logfile_backups=1\n"
}

// makeSigningKey makes a private key that signs entries of the cache, unless
// there is one.
func makeSigningKey(path string) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return wholefile.Write(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}

// format is node format, which reports its own errors.
func (l *localNode) format(ctx context.Context) *exec.Cmd {
	return exec.CommandContext(ctx, l.program(), "node", "format", "--now", "--cfg", l.nodeFile())
}

// linkClient makes the node's configuration that of the client commands too.
func (l *localNode) linkClient() error {
	path := l.e.expandUser(clientConfigurationFile)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if err := os.Chmod(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if _, err := os.Lstat(path); err == nil {
		return nil
	}
	return os.Symlink(l.nodeFile(), path)
}

const (
	masterPatience = time.Minute
	masterPause    = 100 * time.Millisecond
)

// waitForMaster waits until the proxy that the supervisor started listens.
func (l *localNode) waitForMaster(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, masterPatience)
	defer cancel()
	for {
		connection, err := (&net.Dialer{}).DialContext(ctx, "tcp", l.address())
		if err == nil {
			return connection.Close()
		}
		if clock.Pause(ctx, masterPause) != nil {
			return fmt.Errorf("the local master does not answer at %s, see %s/log/slapos-proxy.log: %w", l.masterURL(), l.home, err)
		}
	}
}
