// SPDX-License-Identifier: GPL-3.0-or-later

package manager

import (
	"encoding/json"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"slapos/slap"
)

func socatAt(path string) System {
	return System{LookPath: func(name string) (string, error) {
		if path == "" || name != "socat" {
			return "", exec.ErrNotFound
		}
		return path, nil
	}}
}

// MGR-30, MGR-31, MGR-32.
func TestPortRedirection(t *testing.T) {
	const user = true
	tests := []struct {
		name    string
		request string
		want    []string // command lines
		asUser  []bool
	}{
		{"default tcp", `[{"srcPort": 18080, "destPort": 80}]`,
			[]string{"/bin/socat TCP4-LISTEN:18080,fork TCP6:[2001:db8::5]:80"}, []bool{user}},
		{"IPv4 destination, digits", `[{"srcPort": "18080", "destPort": "80", "destAddress": "127.0.0.1"}]`,
			[]string{"/bin/socat TCP4-LISTEN:18080,fork TCP4:127.0.0.1:80"}, []bool{user}},
		{"udp, bound to IPv6", `[{"type": "UdP", "srcPort": 5353, "srcAddress": "::1", "destPort": 53, "destAddress": "::2"}]`,
			[]string{"/bin/socat UDP6-LISTEN:5353,bind=::1,fork UDP6:[::2]:53"}, []bool{user}},
		{"low port is root's", `[{"srcPort": 80, "srcAddress": "10.0.0.1", "destPort": 8080}, {"srcPort": 1024, "destPort": 1}]`,
			[]string{"/bin/socat TCP4-LISTEN:80,bind=10.0.0.1,fork TCP6:[2001:db8::5]:8080",
				"/bin/socat TCP4-LISTEN:1024,fork TCP6:[2001:db8::5]:1"}, []bool{!user, user}},
		{"bad entries are left out", `[{"type": "sctp", "srcPort": 1, "destPort": 1}, {"destPort": 1}, {"srcPort": 2},
			{"srcPort": "x", "destPort": 1}, {"srcPort": 3, "destPort": 70000}, {"srcPort": [4], "destPort": 1},
			{"srcPort": 5, "destPort": 1, "srcAddress": "host"}, {"srcPort": 6, "destPort": 1, "destAddress": "fe80::1%eth0"},
			{"srcPort": 2000, "destPort": 1}, {"srcPort": 2000, "destPort": 2}]`,
			[]string{"/bin/socat TCP4-LISTEN:2000,fork TCP6:[2001:db8::5]:2"}, []bool{user}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m, _ := newManager(t, "portredir", Config{System: socatAt("/bin/socat")})
			partition := newPartition(t, map[string]string{redirectRequest: test.request})
			partition.Addresses = []slap.Address{{Interface: "lo", IP: "10.0.0.4"}, {Interface: "lo", IP: "2001:db8::5"}, {Interface: "lo", IP: "2001:db8::6"}}
			supervisor := newRecorder()
			partition.Supervisor = supervisor
			if err := m.InstanceTearDown(t.Context(), partition); err != nil {
				t.Fatal(err)
			}
			programs := supervisor.groups["socat"]
			if len(programs) != len(test.want) {
				t.Fatalf("programs %+v, want %q", programs, test.want)
			}
			for i, program := range programs {
				if program.Command != test.want[i] {
					t.Errorf("command %q, want %q", program.Command, test.want[i])
				}
				uid, gid := 0, 0
				if test.asUser[i] {
					uid, gid = partition.UID, partition.GID
				}
				if program.UID != uid || program.GID != gid {
					t.Errorf("%s runs as %d:%d, want %d:%d", program.Name, program.UID, program.GID, uid, gid)
				}
			}
		})
	}
}

// MGR-32.
func TestPortRedirectionStartsOnce(t *testing.T) {
	m, _ := newManager(t, "portredir", Config{System: socatAt("/bin/socat")})
	partition := newPartition(t, map[string]string{redirectRequest: `[{"srcPort": 8080, "destPort": 80, "destAddress": "::1"}]`})
	supervisor := newRecorder()
	partition.Supervisor = supervisor
	for range 2 {
		if err := m.InstanceTearDown(t.Context(), partition); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(partition.Path, redirectRequest)); err != nil {
		t.Fatal(err)
	}
	if err := m.InstanceTearDown(t.Context(), partition); err != nil {
		t.Fatal(err)
	}
	want := []string{"set socat", "start socat:socat-tcp-8080", "set socat", "remove socat"}
	if !slices.Equal(supervisor.calls, want) {
		t.Errorf("calls %q, want %q", supervisor.calls, want)
	}
}

// MGR-30.
func TestPortRedirectionBadRequest(t *testing.T) {
	for _, request := range []string{"", "{", `{"srcPort": 1}`, `[1]`, `"x"`} {
		m, log := newManager(t, "portredir", Config{System: socatAt("/bin/socat")})
		partition := newPartition(t, map[string]string{redirectRequest: request})
		supervisor := newRecorder()
		partition.Supervisor = supervisor
		if err := m.InstanceTearDown(t.Context(), partition); err != nil {
			t.Errorf("%q: %v", request, err)
		}
		if !strings.Contains(log.String(), "Bad port redirection config file") || len(supervisor.calls) != 0 {
			t.Errorf("%q: calls %q, log %s", request, supervisor.calls, log)
		}
	}
}

// MGR-31.
func TestPortRedirectionWithoutSocat(t *testing.T) {
	m, _ := newManager(t, "portredir", Config{System: socatAt("")})
	partition := newPartition(t, map[string]string{redirectRequest: `[{"srcPort": 1, "destPort": 1, "destAddress": "::1"}]`})
	partition.Supervisor = newRecorder()
	err := m.InstanceTearDown(t.Context(), partition)
	if err == nil || !strings.Contains(err.Error(), "Path to socat executable does not exist") {
		t.Errorf("error %v", err)
	}
}

// Whatever a partition's user requests, only socat with two addresses runs,
// perhaps as root.
func FuzzRedirections(f *testing.F) {
	f.Add([]byte(`[{"type": "udp", "srcPort": "53", "srcAddress": "::1", "destPort": 5353, "destAddress": "10.0.0.1"}, {"srcPort": 80, "destPort": 8080}]`))
	f.Add([]byte(`[{"srcPort": 1, "destPort": 2, "destAddress": "fe80::1%x,exec:sh"}, null, {"srcPort": {}}]`))
	command := regexp.MustCompile(`^/usr/bin/socat (TCP|UDP)[46]-LISTEN:[0-9]+(,bind=[0-9a-f.:]+)?,fork (TCP|UDP)[46]:([0-9.]+|\[[0-9a-f.:]+\]):[0-9]+$`)
	name := regexp.MustCompile(`^socat-(tcp|udp)-[0-9]+$`)
	m := &portRedirection{log: slog.New(slog.DiscardHandler), system: System{LookPath: func(string) (string, error) { return "/usr/bin/socat", nil }}}
	partition := &Partition{ID: "slappart0", UID: 1000, GID: 1000, Addresses: []slap.Address{{IP: "2001:db8::1"}}}
	f.Fuzz(func(t *testing.T, request []byte) {
		var entries []redirection
		if json.Unmarshal(request, &entries) != nil {
			return
		}
		programs, err := m.programs(partition, entries)
		if err != nil {
			t.Fatal(err)
		}
		for _, program := range programs {
			if !command.MatchString(program.Command) || !name.MatchString(program.Name) {
				t.Errorf("%s runs %q", program.Name, program.Command)
			}
		}
	})
}
