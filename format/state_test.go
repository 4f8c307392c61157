// SPDX-License-Identifier: GPL-3.0-or-later

package format

import (
	"archive/zip"
	"bytes"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"slapos/slap"
	"slapos/slap/testkit"
)

// sample is the computer of FMT-75.
func sample() *Computer {
	return &Computer{
		Reference: "COMP-1234", Version: "1.26.1", PythonVersion: "3.11.7",
		Address: "2001:db8:1:2::1", Netmask: "ffff:ffff:ffff:ffff::",
		InstanceRoot: "/srv/slapgrid", SoftwareRoot: "/opt/slapgrid", SoftwareUser: "slapsoft",
		OSType:    `["Linux-6.18.44-x86_64-with-glibc2.36", "debian", "12", "Debian GNU/Linux"]`,
		Interface: &Interface{Name: "eth0", IPv6Interface: "eth0", IPv4LocalNetwork: "10.0.0.0/24", PrefixShift: 16}, PartitionHasIPv6Range: true, TapIPv6: true,
		Partitions: []*Partition{{
			Reference: "slappart0", Path: "/srv/slapgrid/slappart0", User: "slapuser0", Tap: Device{Name: "slaptap0"},
			Addresses: []Address{{Address: "10.0.0.229", Netmask: "255.255.255.255"}, {Address: "2001:db8:1:2::2", Netmask: "ffff:ffff:ffff:ffff::"}},
			Range:     &Range{Address: "2001:db8:1:2:4001::", Netmask: "ffff:ffff:ffff:ffff:ffff::", Network: "2001:db8:1:2:4001::/80", PrefixLength: 80},
		}},
	}
}

// FMT-80, FMT-71, FMT-74, FMT-85, SLAP-59: the files have what the master gets.
func TestComputerFile(t *testing.T) {
	compact, err := slap.Marshal(sample().document())
	if err != nil {
		t.Fatal(err)
	}
	holds := func(value any, keys string) {
		t.Helper()
		dict, _ := value.(slap.Dict)
		if got, want := slices.Sorted(maps.Keys(dict)), strings.Fields(keys); !slices.Equal(got, want) {
			t.Errorf("keys %q, want %q", got, want)
		}
	}
	sent, err := slap.Unmarshal(compact)
	if err != nil {
		t.Fatal(err)
	}
	holds(sent, `address instance_root instance_storage_home interface ipv6_interface netmask os_type partition_has_ipv6_range partition_list
		public_ipv4_address python_version reference slapos_version software_root software_user tap_gateway_interface tap_ipv6`)
	first := sent.(slap.Dict)["partition_list"].([]any)[0].(slap.Dict)
	holds(first, "address_list external_storage_list ipv6_range path reference tap tun user")
	holds(first["tap"], "ipv4_addr ipv4_gateway ipv4_netmask ipv4_network ipv6_addr ipv6_gateway ipv6_netmask ipv6_network name")
	holds(first["user"], "additional_group_list name path shell")
	want := testkit.ReadFile(t, "testdata/computer.xml")
	if got := string(indentXML(compact)); got != want {
		t.Errorf("computer file\n%s\nwant\n%s", got, want)
	}
	loaded, err := parseComputer([]byte(want))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(loaded.Partitions, sample().Partitions) || loaded.Address != "2001:db8:1:2::1" || loaded.SoftwareUser != "slapsoft" {
		t.Errorf("loaded %+v", loaded)
	}
	if got, want := string(pythonJSON(sample().Partitions[0].document("slapsoft"), "    ")), testkit.ReadFile(t, "testdata/resource.json"); got != want {
		t.Errorf("resources\n%s\nwant\n%s", got, want)
	}
}

// What is loaded from a document is written unchanged. FMT-81.
func TestComputerFileRoundTrip(t *testing.T) {
	computer := sample()
	first := computer.Partitions[0]
	first.Tun = &Device{Name: "slaptun0", IPv4: DeviceNetwork{Address: "172.16.0.1", Netmask: "255.248.0.0", Network: "172.16.0.1/255.248.0.0"}, IPv6: DeviceNetwork{Address: "a", Netmask: "b", Gateway: "c", Network: "d"}}
	first.Tap.IPv4 = DeviceNetwork{Address: "10.9.0.2", Netmask: "255.255.255.0", Gateway: "10.9.0.1", Network: "10.9.0.0"}
	compact, err := slap.Marshal(computer.document())
	if err != nil {
		t.Fatal(err)
	}
	for _, document := range [][]byte{compact, indentXML(compact)} {
		loaded, err := parseComputer(document)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(loaded.Partitions, computer.Partitions) {
			t.Errorf("loaded %+v", loaded.Partitions[0])
		}
	}
}

func TestBrokenComputerFiles(t *testing.T) {
	for name, content := range map[string]string{
		"cut":           "<marshal><dictionary",
		"empty":         "",
		"no list":       `<marshal><dictionary id="i2"><string>address</string><none/></dictionary></marshal>`,
		"no dictionary": `<marshal><list id="i2"/></marshal>`,
		"no reference":  `<marshal><dictionary id="i2"><string>partition_list</string><list id="i3"><dictionary id="i4"/></list></dictionary></marshal>`,
		"not partition": `<marshal><dictionary id="i2"><string>partition_list</string><list id="i3"><none/></list></dictionary></marshal>`,
	} {
		n := newNode(t, 1)
		testkit.WriteFile(t, n.options.ComputerXML, content)
		if _, err := Run(t.Context(), n.options); err == nil || !strings.Contains(err.Error(), "slapos.xml") {
			t.Errorf("%s: error %v", name, err)
		}
		if got := testkit.ReadFile(t, n.options.ComputerXML); got != content {
			t.Errorf("%s: the file now holds %q", name, got)
		}
	}
}

func FuzzParseComputer(f *testing.F) {
	compact, err := slap.Marshal(sample().document())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(compact)
	f.Add([]byte("<marshal><dictionary"))
	f.Fuzz(func(t *testing.T, content []byte) {
		computer, err := parseComputer(content)
		if err != nil {
			return
		}
		document, err := slap.Marshal(computer.document())
		if err != nil {
			return
		}
		again, err := parseComputer(indentXML(document))
		if err != nil || len(again.Partitions) != len(computer.Partitions) {
			t.Errorf("written and read again: %v", err)
		}
	})
}

// Python writes the same bytes.
func TestPythonJSON(t *testing.T) {
	value := map[string]any{"z": []any{}, "a": map[string]any{}, "é<&>\u2028😀\x7f\x01\"\\/": []any{1, nil, true, "x"}, "n": map[string]any{"b": 1, "a": "\t\b\f\n\r\v", "c": false}}
	got := pythonJSON(value, "    ")
	program := "import json, sys; sys.stdout.write(json.dumps(json.load(sys.stdin), sort_keys=True, indent=4))"
	python := exec.Command(testkit.Python(t), "-c", program)
	python.Stdin = bytes.NewReader(got)
	want, err := python.Output()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

func isThere(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// archived returns the names and contents in an archive.
func archived(t *testing.T, path string) (names, contents []string) {
	t.Helper()
	reader, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reader.Close() }()
	for _, entry := range reader.File {
		file, err := entry.Open()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(file)
		if err != nil {
			t.Fatal(err)
		}
		if entry.Method != zip.Deflate {
			t.Errorf("%s is not deflated", entry.Name)
		}
		names, contents = append(names, entry.Name), append(contents, string(content))
	}
	return names, contents
}

// FMT-78, FMT-79.
func TestArchive(t *testing.T) {
	directory := t.TempDir()
	now := time.Date(2026, 11, 21, 4, 5, 6, 0, time.Local)
	s := state{computerXML: filepath.Join(directory, "slapos.xml"), now: func() time.Time { return now }, log: testLog()}
	archive := s.computerXML + ".zip"
	save := func(content string) {
		t.Helper()
		if err := s.saveComputer([]byte(content)); err != nil {
			t.Fatal(err)
		}
		if got := testkit.ReadFile(t, s.computerXML); got != content {
			t.Errorf("computer file holds %q", got)
		}
	}
	save("one")
	if isThere(archive) {
		t.Error("the first run made an archive")
	}
	save("one") // no change, but no archive either
	save("one")
	now = now.Add(25 * time.Hour)
	save("two")
	names, contents := archived(t, archive)
	if !reflect.DeepEqual(names, []string{"slapos.xml.20261121-04:05", "slapos.xml.20261122-05:05"}) || !reflect.DeepEqual(contents, []string{"one", "one"}) {
		t.Errorf("archive %q, %q", names, contents)
	}

	// A file that isn't an archive stays before the entries.
	testkit.WriteFile(t, archive, "no archive\n")
	save("three")
	if names, _ := archived(t, archive); len(names) != 1 || !strings.HasPrefix(testkit.ReadFile(t, archive), "no archive\n") {
		t.Errorf("archive %q", names)
	}
	save("four")
	if names, contents := archived(t, archive); len(names) != 2 || contents[1] != "three" {
		t.Errorf("archive %q, %q", names, contents)
	}

	// An archive that can't be written to is moved away.
	if err := os.Remove(archive); err != nil {
		t.Fatal(err)
	}
	testkit.WriteFile(t, filepath.Join(archive, "file"), "")
	save("five")
	if _, contents := archived(t, archive); !reflect.DeepEqual(contents, []string{"four"}) || !isThere(archive+"_broken_20261122-05:05") {
		t.Errorf("archive %q", contents)
	}
}

// Empty elements of any name beside closing tags of the same name. FMT-74.
func TestIndentXML(t *testing.T) {
	compact, err := slap.Marshal(slap.Dict{"a": []any{[]any{}, []any{[]any{}}}, "b": slap.Dict{"c": slap.Dict{}, "d": ""}, "é": "ü"})
	if err != nil {
		t.Fatal(err)
	}
	want := strings.TrimPrefix(`
<marshal>
  <dictionary id="i2">
    <string>a</string>
    <list id="i3">
      <list id="i4"/>
      <list id="i5">
        <list id="i6"/>
      </list>
    </list>
    <string>b</string>
    <dictionary id="i7">
      <string>c</string>
      <dictionary id="i8"/>
      <string>d</string>
      <string/>
    </dictionary>
    <string>&#233;</string>
    <string>&#252;</string>
  </dictionary>
</marshal>
`, "\n")
	if got := string(indentXML(compact)); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

// A pipe in place of the file is replaced, and nobody waits for it.
func TestResourceFileIsAPipe(t *testing.T) {
	partition := &Partition{Reference: "slappart0", Path: t.TempDir()}
	path := filepath.Join(partition.Path, resourceFile)
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	s := state{log: testLog()}
	if err := s.saveResources(partition, map[string]any{}); err != nil {
		t.Fatal(err)
	}
	if got := testkit.ReadFile(t, path); got != "{}" {
		t.Errorf("resources %q", got)
	}
}

// A partition's user owns the directory, but nothing outside is written to.
func TestResourceFileIsConfined(t *testing.T) {
	directory := t.TempDir()
	partition := &Partition{Reference: "slappart0", Path: filepath.Join(directory, "slappart0")}
	secret := filepath.Join(directory, "secret")
	testkit.WriteFile(t, secret, "secret")
	for _, name := range []string{resourceFile, resourceFile + ".new"} {
		if err := os.MkdirAll(partition.Path, 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(secret, filepath.Join(partition.Path, name)); err != nil {
			t.Fatal(err)
		}
	}
	s := state{log: testLog()}
	if err := s.saveResources(partition, map[string]any{}); err != nil {
		t.Fatal(err)
	}
	if got := testkit.ReadFile(t, secret); got != "secret" {
		t.Errorf("the file outside holds %q", got)
	}
	if got := testkit.ReadFile(t, filepath.Join(partition.Path, resourceFile)); got != "{}" {
		t.Errorf("resources %q", got)
	}
}

// A directory in place of the file is removed, like one in place of any of the
// agent's files.
func TestResourceFileIsADirectory(t *testing.T) {
	partition := &Partition{Reference: "slappart0", Path: t.TempDir()}
	if err := os.MkdirAll(filepath.Join(partition.Path, resourceFile, "below"), 0o755); err != nil {
		t.Fatal(err)
	}
	s := state{log: testLog()}
	if err := s.saveResources(partition, map[string]any{}); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(partition.Path)
	if err != nil || len(entries) != 1 || !entries[0].Type().IsRegular() {
		t.Errorf("%v, %v", entries, err)
	}
}
