// SPDX-License-Identifier: GPL-3.0-or-later

package archive

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"slapos/slap/testkit"
)

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func runPython(t *testing.T, program string, arguments ...string) {
	t.Helper()
	output, err := exec.Command(testkit.Python(t), append([]string{"-c", program}, arguments...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
}

var modified = time.Unix(1700000000, 123456000)

// makeTree makes a directory with every kind of file.
func makeTree(t *testing.T, directory string) {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	deep := filepath.Join(directory, "parts", strings.Repeat("long/", 30))
	check(os.MkdirAll(deep, 0o755))
	check(os.MkdirAll(filepath.Join(directory, "read only"), 0o755))
	write := func(name string, mode fs.FileMode, content []byte) {
		t.Helper()
		path := filepath.Join(directory, name)
		check(os.WriteFile(path, content, 0o600))
		check(os.Chmod(path, mode))
		check(os.Chtimes(path, modified, modified))
	}
	write("empty", 0o644, nil)
	write("bin", 0o755, bytes.Repeat([]byte("executable\n"), 300000))
	write("secret", 0o600, []byte("x"))
	write("read only/file", 0o444, []byte("y"))
	write("name \xff\xfe not UTF-8", 0o640, []byte("z"))
	write("name é 日本", 0o640, []byte("z"))
	write(strings.Repeat("n", 255), 0o644, []byte("long name"))
	check(os.Link(filepath.Join(directory, "bin"), filepath.Join(directory, "parts/hard")))
	check(os.Symlink("bin", filepath.Join(directory, "soft")))
	check(os.Symlink("/etc/passwd", filepath.Join(directory, "outside")))
	check(os.Symlink(strings.Repeat("t", 300), filepath.Join(directory, "dangling")))
	check(syscall.Mkfifo(filepath.Join(directory, "fifo"), 0o600))
	check(os.Chmod(filepath.Join(directory, "fifo"), 0o620))
	check(os.Chmod(filepath.Join(directory, "read only"), 0o555))
	t.Cleanup(func() { os.Chmod(filepath.Join(directory, "read only"), 0o755) })
	check(os.Chtimes(filepath.Join(directory, "parts"), modified, modified))
}

// describe lists a tree, one line per member.
func describe(t *testing.T, directory string) string {
	t.Helper()
	var b strings.Builder
	inodes := map[uint64]string{}
	var walk func(path, name string)
	walk = func(path, name string) {
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%q %v", name, info.Mode())
		status := info.Sys().(*syscall.Stat_t)
		switch info.Mode().Type() {
		case fs.ModeSymlink:
			target, _ := os.Readlink(path)
			fmt.Fprintf(&b, " -> %q", target)
		case fs.ModeDir:
			fmt.Fprintf(&b, " %d", info.ModTime().Unix())
		case 0:
			content, _ := os.ReadFile(path)
			fmt.Fprintf(&b, " %d %d %d", info.ModTime().UnixMicro(), len(content), bytes.Count(content, []byte("e")))
			if first, again := inodes[status.Ino]; again {
				fmt.Fprintf(&b, " = %q", first)
			} else {
				inodes[status.Ino] = name
			}
		}
		b.WriteByte('\n')
		if !info.IsDir() {
			return
		}
		entries, err := os.ReadDir(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			walk(filepath.Join(path, entry.Name()), filepath.Join(name, entry.Name()))
		}
	}
	walk(directory, ".")
	return b.String()
}

const top = "0123456789abcdef0123456789abcdef"

func pack(t *testing.T, directory string, without ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Pack(context.Background(), &b, directory, without...); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func unpack(t *testing.T, archive io.Reader) (directory string, err error) {
	t.Helper()
	directory = filepath.Join(t.TempDir(), top)
	return directory, Unpack(context.Background(), archive, UnpackOptions{Directory: directory})
}

// NC-44.
func TestRoundTrip(t *testing.T) {
	source := filepath.Join(t.TempDir(), top)
	makeTree(t, source)
	want := describe(t, source)
	target, err := unpack(t, bytes.NewReader(pack(t, source)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(filepath.Join(target, "read only"), 0o755) })
	if got := describe(t, target); got != want {
		t.Errorf("unpacked:\n%s\nwant:\n%s", got, want)
	}
}

// Names are left out only at the top.
func TestWithout(t *testing.T) {
	source := filepath.Join(t.TempDir(), top)
	if err := os.MkdirAll(filepath.Join(source, "d/.completed"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(source, ".completed"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	target, err := unpack(t, bytes.NewReader(pack(t, source, ".completed")))
	if err != nil {
		t.Fatal(err)
	}
	if exists(filepath.Join(target, ".completed")) || !exists(filepath.Join(target, "d/.completed")) {
		t.Error(describe(t, target))
	}
}

// Python's tarfile reads what we pack, and we read each format that it packs.
// NC-44.
func TestPython(t *testing.T) {
	source := filepath.Join(t.TempDir(), top)
	makeTree(t, source)
	want := describe(t, source)
	t.Run("reads", func(t *testing.T) {
		packed := filepath.Join(t.TempDir(), "archive")
		if err := os.WriteFile(packed, pack(t, source), 0o644); err != nil {
			t.Fatal(err)
		}
		target := t.TempDir()
		runPython(t, "import sys, tarfile\ntarfile.open(sys.argv[1]).extractall(sys.argv[2])", packed, target)
		t.Cleanup(func() { os.Chmod(filepath.Join(target, top, "read only"), 0o755) })
		if got := describe(t, filepath.Join(target, top)); got != want {
			t.Errorf("extracted:\n%s\nwant:\n%s", got, want)
		}
	})
	for _, compression := range []string{"", "gz", "bz2", "xz"} {
		for _, format := range []string{"PAX", "GNU"} {
			t.Run("writes "+compression+" "+format, func(t *testing.T) {
				packed := filepath.Join(t.TempDir(), "archive")
				runPython(t, "import os, sys, tarfile\nwith tarfile.open(sys.argv[1], 'w:' + sys.argv[3], format=getattr(tarfile, sys.argv[4] + '_FORMAT')) as t:\n"+
					"  t.add(sys.argv[2], arcname=os.path.basename(sys.argv[2]))", packed, source, compression, format)
				file, err := os.Open(packed)
				if err != nil {
					t.Fatal(err)
				}
				defer file.Close()
				target, err := unpack(t, file)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { os.Chmod(filepath.Join(target, "read only"), 0o755) })
				got := describe(t, target)
				if format == "GNU" { // has whole seconds only
					got, want := strings.ReplaceAll(got, "1700000000000000", "1700000000123456"), want
					if got != want {
						t.Errorf("unpacked:\n%s\nwant:\n%s", got, want)
					}
				} else if got != want {
					t.Errorf("unpacked:\n%s\nwant:\n%s", got, want)
				}
			})
		}
	}
}

// For root, members belong to the users that the archive names, if it can mean
// those, else to the owner of the parent directory (NC-44).
func TestOwner(t *testing.T) {
	testkit.Root(t) // otherwise there is nobody to give files to
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	number, _ := strconv.Atoi(nobody.Uid)
	const own = 12345
	for _, test := range []struct {
		uname     string
		uid, want int
	}{
		{"nobody", 54321, number},
		{"missing", 54321, 54321},
		{"missing", number, own}, // somebody else's here
		{"missing", 1 << 32, own},
		{"", 1 << 32, own},
		{"", 1<<32 - 1, own},
		{"root", 0, 0},
		{"", 54321, 54321},
	} {
		around := t.TempDir()
		if err := os.Chown(around, own, own); err != nil {
			t.Fatal(err)
		}
		data := archiveOf(t, tar.Header{Typeflag: tar.TypeDir, Name: top, Uid: 1},
			tar.Header{Typeflag: tar.TypeDir, Name: top + "/d", Uname: test.uname, Uid: test.uid},
			tar.Header{Typeflag: tar.TypeReg, Name: top + "/d/f", Uname: test.uname, Uid: test.uid},
			tar.Header{Typeflag: tar.TypeSymlink, Name: top + "/d/l", Linkname: "f", Uname: test.uname, Uid: test.uid},
			tar.Header{Typeflag: tar.TypeReg, Name: top + "/f", Uname: test.uname, Uid: test.uid},
			tar.Header{Typeflag: tar.TypeFifo, Name: top + "/d/p", Uname: test.uname, Uid: test.uid})
		target := filepath.Join(around, top)
		if err := Unpack(context.Background(), bytes.NewReader(data), UnpackOptions{Directory: target}); err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]int{".": own, "d": test.want, "d/f": test.want, "d/l": test.want, "f": test.want, "d/p": test.want} {
			info, err := os.Lstat(filepath.Join(target, name))
			if err != nil {
				t.Fatal(err)
			}
			if got := info.Sys().(*syscall.Stat_t).Uid; int(got) != want {
				t.Errorf("%q %d: %s belongs to %d, want %d", test.uname, test.uid, name, got, want)
			}
		}
	}
}

// A truncated archive leaves nothing. A changed one leaves nothing or, since
// some bits of deflate have no meaning, everything.
func TestDamage(t *testing.T) {
	source := filepath.Join(t.TempDir(), top)
	makeTree(t, source)
	whole := pack(t, source)
	for _, length := range []int{0, 1, 10, memberHeaderSize, len(whole) / 2, len(whole) - 1} {
		testRefused(t, fmt.Sprintf("cut to %d", length), whole[:length])
	}
	want := describe(t, source)
	for at := 0; at < len(whole); at += 1 + len(whole)/97 {
		changed := bytes.Clone(whole)
		changed[at] ^= 0x10
		target, err := unpack(t, bytes.NewReader(changed))
		t.Cleanup(func() { os.Chmod(filepath.Join(target, "read only"), 0o755) })
		if err == nil && describe(t, target) != want {
			t.Errorf("changed at %d: unpacked\n%s", at, describe(t, target))
		}
		if entries, readErr := os.ReadDir(filepath.Dir(target)); err != nil && len(entries) > 0 || readErr != nil {
			t.Errorf("changed at %d: left %v %v", at, entries, readErr)
		}
	}
	testRefused(t, "followed by something", append(bytes.Clone(whole), "something"...))
}

func testRefused(t *testing.T, name string, archive []byte) error {
	t.Helper()
	target, err := unpack(t, bytes.NewReader(archive))
	if err == nil {
		t.Errorf("%s: unpacked", name)
	}
	entries, readErr := os.ReadDir(filepath.Dir(target))
	if readErr != nil || len(entries) > 0 {
		t.Errorf("%s: left %v %v", name, entries, readErr)
	}
	return err
}

// A reader that fails at its end, as a download with a wrong sum does.
func TestFailureAtEnd(t *testing.T) {
	source := filepath.Join(t.TempDir(), top)
	makeTree(t, source)
	target, err := unpack(t, io.MultiReader(bytes.NewReader(pack(t, source)), failingReader{}))
	if err == nil || !strings.Contains(err.Error(), "wrong sum") {
		t.Errorf("error %v", err)
	}
	if exists(target) {
		t.Error("the directory is there")
	}
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, fmt.Errorf("wrong sum") }

func TestCancel(t *testing.T) {
	source := filepath.Join(t.TempDir(), top)
	makeTree(t, source)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := Pack(ctx, io.Discard, source); err == nil {
		t.Error("packed after the end")
	}
	target := filepath.Join(t.TempDir(), top)
	if err := Unpack(ctx, bytes.NewReader(pack(t, source)), UnpackOptions{Directory: target}); err == nil || exists(target) {
		t.Error("unpacked after the end")
	}
}
