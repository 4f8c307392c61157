// SPDX-License-Identifier: GPL-3.0-or-later

package archive

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/klauspost/compress/gzip"

	"slapos/slap/testkit"
)

// archiveOf makes an archive from headers; a file's content is Size letters.
func archiveOf(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, header := range headers {
		if header.Mode == 0 && header.Typeflag != tar.TypeXGlobalHeader {
			header.Mode = 0o755
		}
		if err := w.WriteHeader(&header); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(bytes.Repeat([]byte("x"), int(header.Size))); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

var directoryMember = tar.Header{Typeflag: tar.TypeDir, Name: top + "/"}

// unsafeReasons are for members that several checks would refuse.
var unsafeReasons = map[string]string{
	"absolute name":           "has an absolute name",
	"name that leads out":     "has a name that leads out",
	"below own link":          "which is not a directory",
	"hard link out, absolute": "which is not in the archive",
	"hard link through link":  "which is not an earlier file",
	"file over directory":     "takes the place of another member",
}

// Each of these would do harm if it were extracted as it says. outside is a
// directory with a file, victim. D-22: the archive is refused as a whole, and
// nothing of it stays.
func TestUnsafe(t *testing.T) {
	outside := t.TempDir()
	victim := filepath.Join(outside, "victim")
	if err := os.WriteFile(victim, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	file := func(name string) tar.Header { return tar.Header{Typeflag: tar.TypeReg, Name: name, Size: 3} }
	link := func(kind byte, name, target string) tar.Header {
		return tar.Header{Typeflag: kind, Name: name, Linkname: target}
	}
	for name, members := range map[string][]tar.Header{
		"absolute name":           {file(victim)},
		"name that leads out":     {file(top + "/../../victim")},
		"out and back":            {file(top + "/../" + top + "/x")},
		"dots only":               {file("..")},
		"other top":               {file("other/x")},
		"top of another release":  {file("fedcba9876543210fedcba9876543210/x")},
		"top is a file":           {file(top)},
		"top is a link":           {link(tar.TypeSymlink, top, outside), file(top + "/victim")},
		"below own link":          {link(tar.TypeSymlink, top+"/l", outside), file(top + "/l/victim")},
		"below own link, inside":  {{Typeflag: tar.TypeDir, Name: top + "/d/"}, link(tar.TypeSymlink, top+"/l", "d"), file(top + "/l/x")},
		"below a chain of links":  {link(tar.TypeSymlink, top+"/a", ".."), link(tar.TypeSymlink, top+"/b", "a/.."), file(top + "/b/x")},
		"directory over link":     {link(tar.TypeSymlink, top+"/l", outside), {Typeflag: tar.TypeDir, Name: top + "/l/", Mode: 0o777}},
		"file over link":          {link(tar.TypeSymlink, top+"/l", victim), file(top + "/l")},
		"file over directory":     {{Typeflag: tar.TypeDir, Name: top + "/d/"}, file(top + "/d")},
		"below a file":            {file(top + "/f"), file(top + "/f/x")},
		"hard link out, absolute": {link(tar.TypeLink, top+"/l", victim)},
		"hard link out, relative": {link(tar.TypeLink, top+"/l", top+"/../../"+filepath.Base(outside)+"/victim")},
		"hard link, then file":    {link(tar.TypeLink, top+"/l", victim), file(top + "/l")},
		"hard link through link":  {link(tar.TypeSymlink, top+"/s", outside), link(tar.TypeLink, top+"/l", top+"/s/victim")},
		"hard link through link, inside": {{Typeflag: tar.TypeDir, Name: top + "/d/"}, file(top + "/d/f"), link(tar.TypeSymlink, top+"/s", "d"),
			link(tar.TypeLink, top+"/l", top+"/s/f")},
		"hard link to link":      {link(tar.TypeSymlink, top+"/s", victim), link(tar.TypeLink, top+"/l", top+"/s")},
		"hard link to nothing":   {link(tar.TypeLink, top+"/l", top+"/missing")},
		"hard link to itself":    {file(top + "/f"), link(tar.TypeLink, top+"/f", top+"/./f")},
		"hard link to directory": {{Typeflag: tar.TypeDir, Name: top + "/d/"}, link(tar.TypeLink, top+"/l", top+"/d")},
		"character device":       {{Typeflag: tar.TypeChar, Name: top + "/null", Devmajor: 1, Devminor: 3}},
		"block device":           {{Typeflag: tar.TypeBlock, Name: top + "/disk", Devmajor: 8}},
		"root's set-user-id":     {{Typeflag: tar.TypeReg, Name: top + "/sh", Mode: 0o4755, Uname: "root"}},
		"root's set-group-id":    {{Typeflag: tar.TypeReg, Name: top + "/sh", Mode: 0o2755, Gname: "root"}},
		"somebody's set-user-id": {{Typeflag: tar.TypeReg, Name: top + "/sh", Mode: 0o4755, Uid: 54321}},
		"too deep":               {file(top + "/" + strings.Repeat("d/", 300) + "x")},
		"unknown kind":           {{Typeflag: 'Q', Name: top + "/q"}},
		"no top directory":       {{Typeflag: tar.TypeDir, Name: "./"}},
	} {
		t.Run(name, func(t *testing.T) {
			good := file(top + "/good")
			if name == "no top directory" {
				testRefused(t, "alone", archiveOf(t, members...))
			} else {
				err := testRefused(t, "first", archiveOf(t, append(members, good)...))
				if reason := unsafeReasons[name]; reason != "" && (err == nil || !strings.Contains(err.Error(), reason)) {
					t.Errorf("error %v, want one that says %q", err, reason)
				}
				testRefused(t, "last", archiveOf(t, append([]tar.Header{directoryMember, good}, members...)...))
			}
		})
	}
	content, err := os.ReadFile(victim)
	if err != nil || string(content) != "precious" {
		t.Errorf("the victim is %q %v", content, err)
	}
	if info, _ := os.Stat(victim); info.Sys().(*syscall.Stat_t).Nlink != 1 {
		t.Error("the victim has another name")
	}
}

// Odd but harmless members are unpacked.
func TestHarmless(t *testing.T) {
	file := tar.Header{Typeflag: tar.TypeReg, Name: top + "/f", Size: 3}
	for name, test := range map[string]struct {
		members []tar.Header
		check   func(directory string) error
	}{
		"directories not listed": {
			[]tar.Header{{Typeflag: tar.TypeReg, Name: "./" + top + "/a/b/c", Size: 1}},
			func(directory string) error { return hasMode(directory+"/a/b", os.ModeDir|0o755) },
		},
		"the same file again": {
			[]tar.Header{file, {Typeflag: tar.TypeReg, Name: top + "/f", Size: 5}},
			func(directory string) error {
				info, err := os.Stat(directory + "/f")
				if err == nil && info.Size() != 5 {
					err = fmt.Errorf("size %d", info.Size())
				}
				return err
			},
		},
		"a directory again, locked": {
			[]tar.Header{{Typeflag: tar.TypeDir, Name: top + "/d", Mode: 0o500}, file, {Typeflag: tar.TypeReg, Name: top + "/d/x", Size: 1}},
			func(directory string) error { return hasMode(directory+"/d", os.ModeDir|0o500) },
		},
		"link to the outside": {
			[]tar.Header{{Typeflag: tar.TypeSymlink, Name: top + "/l", Linkname: "/../../etc"}},
			func(directory string) error { return hasMode(directory+"/l", os.ModeSymlink|0o777) },
		},
		"the directory around, first": {
			[]tar.Header{{Typeflag: tar.TypeDir, Name: "./"}, file},
			func(directory string) error { return hasMode(directory+"/f", 0o755) },
		},
		"global header": {
			[]tar.Header{{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": "x"}}, file},
			func(directory string) error { return hasMode(directory+"/f", 0o755) },
		},
		"sticky and set-group-id directory": {
			[]tar.Header{{Typeflag: tar.TypeDir, Name: top + "/d", Mode: 0o3777}},
			func(directory string) error {
				return hasMode(directory+"/d", os.ModeDir|os.ModeSticky|os.ModeSetgid|0o777)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			directory, err := unpack(t, bytes.NewReader(archiveOf(t, test.members...)))
			if err == nil {
				err = test.check(directory)
			}
			if err != nil {
				t.Error(err)
			}
			os.Chmod(directory+"/d", 0o700)
		})
	}
}

func hasMode(path string, mode os.FileMode) error {
	info, err := os.Lstat(path)
	if err == nil && info.Mode() != mode {
		err = fmt.Errorf("%s is %v, not %v", path, info.Mode(), mode)
	}
	return err
}

// The software user may keep set-id programs of its own.
func TestOwnSetID(t *testing.T) {
	owner := os.Geteuid()
	around := t.TempDir()
	if owner == 0 {
		owner = 12345
		if err := os.Chown(around, owner, owner); err != nil {
			t.Fatal(err)
		}
	}
	data := archiveOf(t, tar.Header{Typeflag: tar.TypeReg, Name: top + "/f", Mode: 0o4755, Uid: owner, Gid: 1})
	target := filepath.Join(around, top)
	if err := Unpack(context.Background(), bytes.NewReader(data), UnpackOptions{Directory: target}); err != nil {
		t.Fatal(err)
	}
	if err := hasMode(target+"/f", os.ModeSetuid|0o755); err != nil {
		t.Error(err)
	}
}

// An archive must not fill the disk. Other programs change how much is free, so
// the test reserves the whole disk.
func TestReserve(t *testing.T) {
	var status syscall.Statfs_t
	around := t.TempDir()
	if err := syscall.Statfs(around, &status); err != nil {
		t.Fatal(err)
	}
	all := int64(status.Blocks) * status.Bsize
	for _, member := range []tar.Header{
		{Typeflag: tar.TypeReg, Name: top + "/f", Size: 40 << 20},
		{Typeflag: tar.TypeSymlink, Name: top + "/l", Linkname: "x"},
	} {
		target := filepath.Join(around, top)
		err := Unpack(context.Background(), bytes.NewReader(archiveOf(t, member)), UnpackOptions{Directory: target, Reserve: all})
		var unsafe *UnsafeError
		if !errors.As(err, &unsafe) {
			t.Errorf("error %v", err)
		}
		if entries, _ := os.ReadDir(around); len(entries) > 0 {
			t.Errorf("left %v", entries)
		}
	}
}

// A file that can't fit is refused before any of it is written.
func TestReserveFile(t *testing.T) {
	var b bytes.Buffer
	if err := tar.NewWriter(&b).WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: top + "/f", Mode: 0o644, Size: 1 << 50}); err != nil {
		t.Fatal(err)
	}
	var unsafe *UnsafeError
	if err := testRefused(t, "a million gigabytes", b.Bytes()); !errors.As(err, &unsafe) {
		t.Errorf("error %v", err)
	}
}

// It must not take all inodes of a file system, either.
func TestReserveFiles(t *testing.T) {
	testkit.Namespaces(t)
	testkit.Program(t, "unshare", "util-linux")
	if os.Getenv("SLAPOS_TEST_MOUNT") == "" {
		program, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		command := exec.CommandContext(t.Context(), "unshare", "--mount", "--user", "--map-root-user", program)
		if os.Geteuid() == 0 {
			command = exec.CommandContext(t.Context(), "unshare", "--mount", program)
		}
		command.Env = append(os.Environ(), "SLAPOS_TEST_MOUNT=1")
		testkit.RunAgain(t, command)
		return
	}
	around := t.TempDir()
	if err := syscall.Mount("tmpfs", around, "tmpfs", 0, "nr_inodes=100,size=8m"); err != nil {
		t.Fatal(err)
	}
	defer syscall.Unmount(around, 0)
	members := []tar.Header{directoryMember}
	for n := range 200 {
		members = append(members, tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprintf("%s/%d", top, n)})
	}
	err := Unpack(t.Context(), bytes.NewReader(archiveOf(t, members...)), UnpackOptions{Directory: filepath.Join(around, top)})
	var unsafe *UnsafeError
	if !errors.As(err, &unsafe) {
		t.Errorf("error %v", err)
	}
}

// What follows an archive is read up to a limit: it could be without end.
func TestTail(t *testing.T) {
	var plain bytes.Buffer
	w := tar.NewWriter(&plain)
	if err := errors.Join(w.WriteHeader(&directoryMember), w.Close()); err != nil {
		t.Fatal(err)
	}
	if err := testRefused(t, "two megabytes", append(plain.Bytes(), make([]byte, 2<<20)...)); err == nil || !strings.Contains(err.Error(), "more data") {
		t.Errorf("error %v", err)
	}
}

// A stream may not choose how much memory its decompression takes.
func TestDictionary(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.xz")
	runPython(t, "import lzma, sys; open(sys.argv[1], 'wb').write(lzma.compress(b'x' * 9000, preset=0))", file)
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	header := content[12 : 12+4*(int(content[12])+1)] // of the first block
	properties := bytes.Index(header, []byte{0x21, 1}) + 2
	for bits, wanted := range map[byte]bool{28: true, 34: false} { // 64 MiB, 512 MiB
		header[properties] = bits
		binary.LittleEndian.PutUint32(header[len(header)-4:], crc32.ChecksumIEEE(header[:len(header)-4]))
		r, err := inflateForeign(content[:6], bytes.NewReader(content))
		if err == nil {
			_, err = io.Copy(io.Discard, r)
		}
		if (err == nil) != wanted {
			t.Errorf("dictionary of size %d: %v", bits, err)
		}
	}
}

// Nobody else can look into a directory while it is made.
func TestPrivateWhileMade(t *testing.T) {
	around := t.TempDir()
	tree, err := newTree(UnpackOptions{Directory: filepath.Join(around, top)})
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(around)
	if err != nil || len(entries) != 1 {
		t.Fatal(entries, err)
	}
	if err := hasMode(filepath.Join(around, entries[0].Name()), os.ModeDir|0o700); err != nil {
		t.Error(err)
	}
	if err := tree.discard(); err != nil {
		t.Error(err)
	}
}

// What became a pipe since it was looked at isn't packed, nor waited for.
func TestPackFile(t *testing.T) {
	directory := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(directory, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(directory)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	p := &packer{ctx: t.Context(), tar: tar.NewWriter(io.Discard), links: map[inode]string{}, buffer: []byte{0}}
	if err := p.packFile(root, "pipe", "pipe"); err == nil {
		t.Error("a pipe is packed")
	}
}

// What an agent that was killed has left does not stand in the way.
func TestLeftover(t *testing.T) {
	around := t.TempDir()
	left := filepath.Join(around, "."+top+".unpack", "locked")
	if err := os.MkdirAll(filepath.Join(left, "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(left, 0); err != nil {
		t.Fatal(err)
	}
	target := filepath.Join(around, top)
	data := archiveOf(t, directoryMember)
	if err := Unpack(context.Background(), bytes.NewReader(data), UnpackOptions{Directory: target}); err != nil {
		t.Fatal(err)
	}
	if err := Unpack(context.Background(), bytes.NewReader(data), UnpackOptions{Directory: target}); !errors.Is(err, os.ErrExist) {
		t.Errorf("over a directory that is there: %v", err)
	}
	if entries, _ := os.ReadDir(around); len(entries) != 1 {
		t.Errorf("there are %v", entries)
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add(archiveOf(f, directoryMember, tar.Header{Typeflag: tar.TypeReg, Name: top + "/f", Size: 3}))
	f.Add(archiveOf(f, tar.Header{Typeflag: tar.TypeSymlink, Name: top + "/l", Linkname: "/"}, tar.Header{Typeflag: tar.TypeReg, Name: top + "/l/f"}))
	source := filepath.Join(f.TempDir(), top)
	if err := os.Mkdir(source, 0o755); err != nil {
		f.Fatal(err)
	}
	var ours bytes.Buffer
	if err := Pack(context.Background(), &ours, source); err != nil {
		f.Fatal(err)
	}
	f.Add(ours.Bytes())
	var plain bytes.Buffer
	inflated, err := decompress(bytes.NewReader(ours.Bytes()))
	if err != nil {
		f.Fatal(err)
	}
	if _, err := io.Copy(&plain, inflated); err != nil {
		f.Fatal(err)
	}
	f.Add(plain.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		around := t.TempDir()
		err := Unpack(context.Background(), bytes.NewReader(data), UnpackOptions{Directory: filepath.Join(around, top)})
		entries, readErr := os.ReadDir(around)
		switch {
		case readErr != nil:
			t.Error(readErr)
		case err != nil && len(entries) > 0:
			t.Errorf("left %v after %v", entries, err)
		case err == nil && (len(entries) != 1 || entries[0].Name() != top):
			t.Errorf("made %v", entries)
		}
	})
}
