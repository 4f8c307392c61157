// SPDX-License-Identifier: GPL-3.0-or-later

package bundle

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"
)

// Machine packs what the kernel and the distribution say.
func (b *Bundle) Machine(ctx context.Context, roots ...string) {
	for name, path := range map[string]string{
		"machine/os-release": "/etc/os-release", "machine/uname": "/proc/version", "machine/mounts": "/proc/self/mounts",
		"machine/meminfo": "/proc/meminfo", "machine/loadavg": "/proc/loadavg", "machine/cgroup.controllers": "/sys/fs/cgroup/cgroup.controllers",
		"machine/ipv6-disabled": "/proc/sys/net/ipv6/conf/all/disable_ipv6",
	} {
		text, err := os.ReadFile(path) // of the kernel: their size is said to be 0
		if err != nil {
			text = []byte("can't be read: " + err.Error() + "\n")
		}
		b.Text(name, string(text))
	}
	b.Text("machine/interfaces", interfaces())
	b.Text("machine/disks", disks(roots))
	if hasSystemd() {
		b.Command(ctx, "machine/units", "systemctl", "list-units", "--all", "--no-pager", "slapos*")
	}
}

// Journal packs what systemd keeps of the node's units.
func (b *Bundle) Journal(ctx context.Context) {
	if hasSystemd() {
		b.Command(ctx, "logs/journal", "journalctl", "--no-pager", "-n", "1000", "-u", "slapos*")
	}
}

func hasSystemd() bool {
	_, err := os.Stat("/run/systemd/system")
	return err == nil
}

func interfaces() string {
	links, err := net.Interfaces()
	if err != nil {
		return "can't be read: " + err.Error() + "\n"
	}
	var text strings.Builder
	for _, link := range links {
		fmt.Fprintf(&text, "%s mtu %d %s\n", link.Name, link.MTU, link.Flags)
		addresses, err := link.Addrs()
		if err != nil {
			fmt.Fprintf(&text, "    %v\n", err)
		}
		for _, address := range addresses {
			fmt.Fprintf(&text, "    %s\n", address)
		}
	}
	return text.String()
}

func disks(roots []string) string {
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "PATH\tFREE MIB\tOF MIB\tFREE INODES")
	for _, root := range append([]string{"/"}, roots...) {
		var stat unix.Statfs_t
		if err := unix.Statfs(root, &stat); err != nil {
			fmt.Fprintf(table, "%s\t%v\t\t\n", root, err)
			continue
		}
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\n", root, int64(stat.Bavail)*stat.Bsize>>20, int64(stat.Blocks)*stat.Bsize>>20, stat.Ffree)
	}
	_ = table.Flush() // to memory
	return text.String()
}

// Listing packs what is in a directory, and of each directory there the files with
// some names: when they were written tells what the passes did.
func (b *Bundle) Listing(name, directory string, marks ...string) {
	entries, err := os.ReadDir(directory)
	if err != nil {
		b.Text(name, "can't be read: "+err.Error()+"\n")
		return
	}
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, entry := range entries {
		path := filepath.Join(directory, entry.Name())
		describe(table, entry.Name(), path)
		for _, mark := range marks {
			if _, err := os.Lstat(filepath.Join(path, mark)); err == nil {
				describe(table, "  "+mark, filepath.Join(path, mark))
			}
		}
	}
	_ = table.Flush() // to memory
	b.Text(name, text.String())
}

func describe(table *tabwriter.Writer, name, path string) {
	info, err := os.Lstat(path)
	if err != nil {
		fmt.Fprintf(table, "%s\t%v\n", name, err)
		return
	}
	stat := info.Sys().(*syscall.Stat_t)
	fmt.Fprintf(table, "%s\t%s\t%d:%d\t%d\t%s\n", name, info.Mode(), stat.Uid, stat.Gid, info.Size(), info.ModTime().UTC().Format(time.RFC3339))
}

// PIDFile packs whether the process of a pid file lives.
func PIDFile(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return path + ": " + err.Error() + "\n"
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return path + ": no number\n"
	}
	command, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return fmt.Sprintf("%s: %d, which doesn't run\n", path, pid)
	}
	return fmt.Sprintf("%s: %d, %s\n", path, pid, strings.TrimSpace(string(command)))
}
