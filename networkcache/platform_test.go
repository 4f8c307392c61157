// SPDX-License-Identifier: GPL-3.0-or-later

package networkcache

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

// The table of NC-42.
func TestCompatible(t *testing.T) {
	for _, test := range []struct {
		a, b [3]string
		want bool
	}{
		{[3]string{"debian", "12", "bookworm"}, [3]string{"Debian", "12.5", ""}, true},
		{[3]string{"raspbian", "11", "bullseye"}, [3]string{"debian", "11", ""}, true},
		{[3]string{"debian", "12", ""}, [3]string{"debian", "11", ""}, false},
		{[3]string{"ubuntu", "22.04", "jammy"}, [3]string{"Ubuntu", "22.04", "jammy"}, true},
		{[3]string{"ubuntu", "22.04", "jammy"}, [3]string{"ubuntu", "22.04", "Jammy Jellyfish"}, false},
		{[3]string{"almalinux", "9.3", ""}, [3]string{"almalinux", "9.4", ""}, false},
	} {
		a, b := Platform{"x86_64-linux-gnu", test.a}, Platform{"x86_64-linux-gnu", test.b}
		if a.Compatible(b) != test.want || b.Compatible(a) != test.want {
			t.Errorf("%v and %v: not %v", test.a, test.b, test.want)
		}
		b.Multiarch = "aarch64-linux-gnu"
		if a.Compatible(b) {
			t.Errorf("%v and %v: compatible", a, b)
		}
	}
}

// NC-40.
func TestEntryPlatform(t *testing.T) {
	debian := Platform{"x86_64-linux-gnu", [3]string{"debian", "7.0", ""}}
	for content, want := range map[string]*Platform{
		`{"multiarch": "x86_64-linux-gnu", "os": ["debian", "7.0", ""]}`:   &debian,
		`{"machine": "x86_64", "os": "('debian', '7.0', '')"}`:             &debian,
		`{"machine": "x86_64", "os": "(u'debian', \"7.0\", '')"}`:          &debian,
		`{"machine": "i686", "os": "('debian', '7.0', '')"}`:               nil,
		`{"machine": "x86_64", "os": ["debian", "7.0", ""]}`:               nil,
		`{"machine": "x86_64", "os": "__import__('os').system('x')"}`:      nil,
		`{"multiarch": "x86_64-linux-gnu", "os": ["debian"]}`:              nil,
		`{"multiarch": "x86_64-linux-gnu", "os": "('debian', '7.0', '')"}`: nil,
		`{"multiarch": 3, "os": ["debian", "7.0", ""]}`:                    nil,
		`{"multiarch": "x86_64-linux-gnu"}`:                                nil,
		`[]`:                                                               nil,
		`no JSON`:                                                          nil,
	} {
		got, err := EntryPlatform(Entry{Content: content})
		if (err == nil) != (want != nil) || want != nil && got != *want {
			t.Errorf("%s: %v %v", content, got, err)
		}
	}
}

// NC-41.
func TestDistribution(t *testing.T) {
	t.Setenv("PATH", t.TempDir()) // neither gcc nor lsb_release
	for _, test := range []struct {
		name  string
		files map[string]string
		want  [3]string
	}{
		{"debian", map[string]string{"etc/os-release": "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID=\"12\"\nVERSION=\"12 (bookworm)\"\nVERSION_CODENAME=bookworm\nID=debian\n"}, [3]string{"debian", "12", "bookworm"}},
		{"code name in the version", map[string]string{"usr/lib/os-release": "ID=debian\nVERSION_ID='8'\nVERSION=\"8 (jessie)\""}, [3]string{"debian", "8", "jessie"}},
		{"code name behind a comma", map[string]string{"etc/os-release": "ID=ubuntu\nVERSION_ID=12.04\nVERSION=\"12.04.5 LTS, Precise Pangolin\""}, [3]string{"ubuntu", "12.04", "Precise Pangolin"}},
		{"Ubuntu's own", map[string]string{"etc/os-release": "ID=mint\nVERSION_ID=20\nUBUNTU_CODENAME=focal\nVERSION=\"20 (Ulyana)\""}, [3]string{"mint", "20", "focal"}},
		{"empty code name", map[string]string{"etc/os-release": "ID=fedora\nVERSION_ID=39\nVERSION_CODENAME=\"\"\nVERSION=\"39 (Server)\""}, [3]string{"fedora", "39", ""}},
		{"renamed", map[string]string{"etc/os-release": "ID=ol\nVERSION_ID=8.9\n# ID=x\n"}, [3]string{"oracle", "8.9", ""}},
		{"release file", map[string]string{"etc/redhat-release": "Red Hat Enterprise Linux Server release 6.10 (Santiago)\n", "etc/system-release": "x"}, [3]string{"rhel", "6.10", "Santiago"}},
		{"debian_version", map[string]string{"etc/os-release": "ID=debian\nVERSION_CODENAME=trixie\n", "etc/debian_version": "trixie/sid\n"}, [3]string{"debian", "trixie/sid", "trixie"}},
		{"nothing", nil, [3]string{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			root := t.TempDir()
			for name, text := range test.files {
				path := filepath.Join(root, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			got := DetectPlatform(context.Background(), root)
			if got.OS != test.want || got.Multiarch == "" {
				t.Errorf("%v, want %v", got, test.want)
			}
		})
	}
}

func FuzzOSRelease(f *testing.F) {
	f.Add("ID=debian\nVERSION=\"12 (bookworm)\"\n# x\nA='b'\\")
	f.Fuzz(func(t *testing.T, text string) {
		osCodename(parseOSRelease(text))
		parseReleaseLine(text)
	})
}
