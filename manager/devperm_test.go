// SPDX-License-Identifier: GPL-3.0-or-later

package manager

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"slapos/slap/testkit"
)

// MGR-20, MGR-21, MGR-22, MGR-23.
func TestDevPerm(t *testing.T) {
	devices := t.TempDir()
	for _, name := range []string{"sda", "sda1", "deep", "loop0", "file"} {
		testkit.WriteFile(t, filepath.Join(devices, name), "")
	}
	if err := os.Symlink(filepath.Join(devices, "sda"), filepath.Join(devices, "link")); err != nil {
		t.Fatal(err)
	}
	listing := strings.ReplaceAll(`{"blockdevices": [
		{"path": "D/sda", "type": "disk", "children": [
			{"path": "D/sda1", "type": "part", "children": [{"path": "D/deep", "type": "part"}]},
			{"path": "D/crypt", "type": "crypt"}]},
		{"path": "D/loop0", "type": "loop"}]}`, "D/", devices+"/")
	tests := []struct {
		name    string
		request string // D stands for the directory of the devices
		allowed *string
		lsblk   error
		owned   bool
		given   []string
		warns   string
	}{
		{name: "disk and part", request: `[{"disk": "D/sda"}, {"disk": "D/sda1"}]`, given: []string{"sda", "sda1"}, warns: "Transfer ownership of"},
		{name: "link", request: `[{"disk": "D/link"}]`, given: []string{"sda"}},
		{name: "already owned", request: `[{"disk": "D/sda"}]`, owned: true},
		{name: "other types and depths", request: `[{"disk": "D/loop0"}, {"disk": "D/deep"}, {"disk": "D/file"}]`, warns: "lsblk"},
		{name: "no such file", request: `[{"disk": "D/none"}, {}]`, warns: "cannot be resolved"},
		{name: "allowed", request: `[{"disk": "D/sda"}, {"disk": "D/sda1"}]`, allowed: new("\n  D/sda1 \n"), given: []string{"sda1"}, warns: "allowed disks"},
		{name: "none allowed", request: `[{"disk": "D/sda"}]`, allowed: new(""), warns: "allowed disks"},
		{name: "lsblk fails", request: `[{"disk": "D/sda"}]`, lsblk: errors.New("no lsblk"), warns: "lsblk call failed"},
		{name: "not JSON", request: `disk`, warns: "Bad disk configuration file"},
		{name: "no list", request: `{"disk": "D/sda"}`, warns: "Bad disk configuration file"},
		{name: "no objects", request: `["D/sda"]`, warns: "Bad disk configuration file"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var given []string
			config := Config{Managers: map[string]map[string]string{}, System: System{
				Run: func(context.Context, string, ...string) ([]byte, error) {
					return []byte(listing), test.lsblk
				},
				Owner: func(string) (int, error) {
					if test.owned {
						return 2003, nil
					}
					return 0, nil
				},
				GroupID: func(string) (int, error) { return 6, nil },
				Chown: func(path string, uid, gid int) error {
					if uid != 2003 || gid != 6 {
						return fmt.Errorf("owner %d:%d", uid, gid)
					}
					given = append(given, filepath.Base(path))
					return nil
				},
			}}
			if test.allowed != nil {
				config.Managers["devperm"] = map[string]string{"allowed-disk-for-vm": strings.ReplaceAll(*test.allowed, "D/", devices+"/")}
			}
			m, log := newManager(t, "devperm", config)
			partition := newPartition(t, map[string]string{diskRequest: strings.ReplaceAll(test.request, "D/", devices+"/")})
			if err := m.Instance(t.Context(), partition); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(given, test.given) {
				t.Errorf("given %q, want %q", given, test.given)
			}
			if !strings.Contains(log.String(), test.warns) {
				t.Errorf("log lacks %q:\n%s", test.warns, log)
			}
			// Removing the request takes nothing back (MGR-23).
			if err := os.Remove(filepath.Join(partition.Path, diskRequest)); err != nil {
				t.Fatal(err)
			}
			for _, hook := range []func(context.Context, *Partition) error{m.Instance, m.InstanceTearDown, m.Report} {
				if err := hook(t.Context(), partition); err != nil || !slices.Equal(given, test.given) {
					t.Errorf("then given %q, %v", given, err)
				}
			}
		})
	}
	t.Run("no request", func(t *testing.T) {
		m, _ := newManager(t, "devperm", Config{System: System{Run: func(context.Context, string, ...string) ([]byte, error) {
			t.Error("lsblk was run")
			return nil, nil
		}}})
		if err := m.InstanceTearDown(t.Context(), newPartition(t, nil)); err != nil {
			t.Error(err)
		}
	})
}

func FuzzParseBlockDevices(f *testing.F) {
	f.Add([]byte(`{"blockdevices": [{"path": "/dev/sda", "type": "disk", "children": null}]}`))
	f.Fuzz(func(t *testing.T, output []byte) {
		if paths, err := parseBlockDevices(output); err != nil && paths != nil {
			t.Errorf("paths %q beside error %v", paths, err)
		}
	})
}
