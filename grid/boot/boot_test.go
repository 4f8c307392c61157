// SPDX-License-Identifier: GPL-3.0-or-later

package boot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"slapos/slap/testkit"
)

// A bootRecord is what a boot did, in order.
type bootRecord struct{ steps []string }

// codes returns a command that ends with these codes, one after the other.
func (r *bootRecord) codes(name string, codes ...int) func(context.Context) (int, error) {
	return func(context.Context) (int, error) {
		code := codes[0]
		codes = codes[1:]
		r.steps = append(r.steps, fmt.Sprint(name, " ", code))
		return code, nil
	}
}

// answers returns a ping that succeeds at the given try.
func (r *bootRecord) answers(at int) func(context.Context, int, string) (bool, error) {
	return func(_ context.Context, version int, host string) (bool, error) {
		at--
		r.steps = append(r.steps, fmt.Sprintf("ping%d %s", version, host))
		return at == 0, nil
	}
}

// CLI-73 to CLI-75.
func TestMain(m *testing.M) { testkit.Main(m) }

func TestBoot(t *testing.T) {
	for name, test := range map[string]struct {
		host         string
		format, bang []int
		ping         int
		want         string
	}{
		"at once":      {"master", []int{0}, []int{0}, 0, "format 0, bang 0"},
		"format fails": {"master", []int{1, 1, 0}, []int{0}, 0, "format 1, format 1, format 0, bang 0"},
		"bang fails":   {"master", []int{0}, []int{1, 10, 0}, 0, "format 0, bang 1, bang 10, bang 0"},
		"offline, name": {"master", []int{2, 0}, []int{0}, 5,
			"format 2, ping6 master, ping4 master, ping6 master, ping4 master, ping6 master, format 0, bang 0"},
		"offline, IPv4": {"10.0.0.1", []int{2, 2, 0}, []int{0}, 2, "format 2, ping4 10.0.0.1, ping4 10.0.0.1, format 2"},
		"offline, IPv6": {"2001:db8::1", []int{2, 0}, []int{0}, 2, "format 2, ping6 2001:db8::1, ping6 2001:db8::1, format 0, bang 0"},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			for _, path := range []string{"slappart0/.timestamp", "slappart1/file", "other0/.timestamp", "slappart2/.timestamp/file"} {
				testkit.WriteFile(t, filepath.Join(root, path), "1")
			}
			testkit.WriteFile(t, filepath.Join(root, "slappart9"), "")
			var record bootRecord
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			err := Run(ctx, Options{
				MasterHost: test.host, InstanceRoot: root, PartitionPrefix: "slappart",
				Format: record.codes("format", test.format...), Bang: record.codes("bang", test.bang...),
				Ping: record.answers(test.ping), Logger: slog.New(slog.DiscardHandler),
				NetworkPause: time.Millisecond, CommandPause: time.Millisecond,
			})
			got := strings.Join(record.steps, ", ")
			if name == "offline, IPv4" { // it doesn't answer the second time
				if !errors.Is(err, context.DeadlineExceeded) || !strings.HasPrefix(got, test.want) {
					t.Errorf("%v: %s", err, got)
				}
				testkit.MustExist(t, filepath.Join(root, "slappart0", ".timestamp"))
				return
			}
			if err != nil || got != test.want {
				t.Errorf("%v: %s", err, got)
			}
			testkit.MustNotExist(t, filepath.Join(root, "slappart0", ".timestamp"))
			testkit.MustExist(t, filepath.Join(root, "slappart1", "file"))
			testkit.MustExist(t, filepath.Join(root, "slappart2", ".timestamp", "file"))
			testkit.MustExist(t, filepath.Join(root, "other0", ".timestamp"))
		})
	}
}

// CLI-73.
func TestBootEndsWithError(t *testing.T) {
	failure := errors.New("usage")
	var record bootRecord
	err := Run(context.Background(), Options{Logger: slog.New(slog.DiscardHandler),
		Format: func(context.Context) (int, error) { return 2, failure }, Bang: record.codes("bang", 0)})
	if !errors.Is(err, failure) || len(record.steps) > 0 {
		t.Error(err, record.steps)
	}
}

// CLI-73.
func TestPing(t *testing.T) {
	directory := t.TempDir()
	t.Setenv("PATH", directory)
	if _, err := ping(context.Background(), 4, "localhost"); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("no ping: %v", err)
	}
	calls := filepath.Join(directory, "calls")
	script := "#!/bin/sh\necho \"${0##*/} $*\" >>" + calls + "\ntest \"$4\" != down -a \"$3\" != down\n"
	os.Chmod(testkit.WriteFile(t, filepath.Join(directory, "ping"), script), 0o755)
	for _, test := range []struct {
		version int
		host    string
		want    bool
	}{{4, "up", true}, {4, "down", false}, {6, "up", true}} {
		if reached, err := ping(context.Background(), test.version, test.host); reached != test.want || err != nil {
			t.Errorf("%v: %v, %v", test, reached, err)
		}
	}
	os.Symlink("ping", filepath.Join(directory, "ping6"))
	if reached, err := ping(context.Background(), 6, "up"); !reached || err != nil {
		t.Error(reached, err)
	}
	content, _ := os.ReadFile(calls)
	if want := "ping -c 2 up\nping -c 2 down\nping -6 -c 2 up\nping6 -c 2 up\n"; string(content) != want {
		t.Errorf("calls are\n%s", content)
	}
}

func TestIsGlobalIPv6(t *testing.T) {
	got := map[string]bool{}
	want := map[string]bool{"2001:db8::1": true, "fd00::1": true, "fe80::1": false, "::1": false, "::": false, "ff02::1": false,
		"::ffff:10.0.0.1": false, "4000::1": false, "64:ff9b::1": false, "fec0::1": true}
	for text := range want {
		got[text] = isGlobalIPv6(netip.MustParseAddr(text))
	}
	if !reflect.DeepEqual(got, want) {
		t.Error(got)
	}
}

// TestWaitForIPv6 has an interface that gets its address only after the wait
// began: the kernel's event ends the wait, long before the next poll.
func TestWaitForIPv6(t *testing.T) {
	if !testkit.InNamespace(t, syscall.CLONE_NEWNET) {
		return
	}
	runtime.LockOSThread()
	var log bytes.Buffer
	told := make(chan struct{}, 100)
	b := boot{Options{Interface: "dummy0", NetworkPause: time.Hour}, slog.New(&tellingHandler{slog.NewTextHandler(&log, nil), told})}
	if err := b.waitForIPv6(context.Background()); err == nil || !strings.Contains(err.Error(), "dummy0") {
		t.Errorf("unknown interface: %v", err)
	}
	link := addInterface(t, "dummy0")
	if err := netlink.LinkSetUp(link); err != nil {
		t.Fatal(err)
	}
	add := func(text string) {
		address, _ := netlink.ParseAddr(text)
		if err := netlink.AddrAdd(link, address); err != nil {
			t.Error(err)
		}
	}
	add("10.0.0.1/24")
	go func() {
		<-told // Checking
		<-told // No IPv6
		add("10.0.0.2/24")
		add("fe80::99/64")
		add("fd00::1/64")
	}()
	if err := b.waitForIPv6(context.Background()); err != nil {
		t.Error(err)
	}
	if text := log.String(); strings.Count(text, "No IPv6 found on interface 'dummy0', try again in 3600 seconds...") != 1 {
		t.Errorf("log: %s", text)
	}
	if err := b.waitForIPv6(context.Background()); err != nil {
		t.Error("present at once:", err)
	}
	b.Interface, b.NetworkPause = "lo", time.Millisecond
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := b.waitForIPv6(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if strings.Count(log.String(), "No IPv6 found on interface 'lo'") < 2 {
		t.Error("the wait is not told again and again")
	}
}

// addInterface adds an interface of any kind that the kernel supports.
func addInterface(t *testing.T, name string) netlink.Link {
	t.Helper()
	attributes := netlink.LinkAttrs{Name: name}
	var errs []error
	for _, link := range []netlink.Link{&netlink.Dummy{LinkAttrs: attributes}, &netlink.Bridge{LinkAttrs: attributes},
		&netlink.Tuntap{LinkAttrs: attributes, Mode: netlink.TUNTAP_MODE_TAP}} {
		err := netlink.LinkAdd(link)
		if err == nil {
			return link
		}
		errs = append(errs, err)
	}
	t.Fatal(errs)
	return nil
}

// tellingHandler sends on a channel for each record.
type tellingHandler struct {
	slog.Handler
	told chan struct{}
}

func (h *tellingHandler) Handle(ctx context.Context, record slog.Record) error {
	defer func() {
		select {
		case h.told <- struct{}{}:
		default:
		}
	}()
	return h.Handler.Handle(ctx, record)
}

// TestBootGoesOn: what a user has in the place of a partition keeps none of the others
// from their work, and a link of a user's leads nobody to other files (GRID-96).
func TestBootGoesOn(t *testing.T) {
	root, elsewhere := t.TempDir(), t.TempDir()
	for _, path := range []string{filepath.Join(root, "slappart0/.timestamp"), filepath.Join(elsewhere, ".timestamp")} {
		testkit.WriteFile(t, path, "1")
	}
	link := filepath.Join(root, "slappart1")
	if err := os.Symlink(elsewhere, link); err != nil {
		t.Fatal(err)
	}
	testkit.HandOver(t, link)
	var record bootRecord
	var log bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	err := Run(ctx, Options{
		InstanceRoot: root, PartitionPrefix: "slappart", Logger: slog.New(slog.NewTextHandler(&log, nil)), CommandPause: time.Hour,
		Format: func(context.Context) (int, error) {
			return 0, &PartlyError{errors.New("partition slappart1: not a directory")}
		},
		Bang: record.codes("bang", 0),
	})
	if err != nil || !reflect.DeepEqual(record.steps, []string{"bang 0"}) {
		t.Error(err, record.steps)
	}
	if !strings.Contains(log.String(), "Going on without some partitions, which the next format tries again: partition slappart1: not a directory") {
		t.Error(&log)
	}
	testkit.MustNotExist(t, filepath.Join(root, "slappart0/.timestamp"))
	if os.Geteuid() == 0 { // else the link is of no use to anybody
		testkit.MustExist(t, filepath.Join(elsewhere, ".timestamp"))
	}
}
