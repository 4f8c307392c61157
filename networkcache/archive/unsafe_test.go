// SPDX-License-Identifier: GPL-3.0-or-later

package archive

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/klauspost/compress/gzip"
)

// archiveOf makes an archive of headers; the content of a file is its Size in
// letters.
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

// Each of these does harm when it is extracted as told. Outside is a directory
// with a file, victim.
// D-22: the archive is refused whole, and nothing of it stays.
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
		"hard link to link":       {link(tar.TypeSymlink, top+"/s", victim), link(tar.TypeLink, top+"/l", top+"/s")},
		"hard link to nothing":    {link(tar.TypeLink, top+"/l", top+"/missing")},
		"hard link to itself":     {file(top + "/f"), link(tar.TypeLink, top+"/f", top+"/./f")},
		"hard link to directory":  {{Typeflag: tar.TypeDir, Name: top + "/d/"}, link(tar.TypeLink, top+"/l", top+"/d")},
		"character device":        {{Typeflag: tar.TypeChar, Name: top + "/null", Devmajor: 1, Devminor: 3}},
		"block device":            {{Typeflag: tar.TypeBlock, Name: top + "/disk", Devmajor: 8}},
		"root's set-user-id":      {{Typeflag: tar.TypeReg, Name: top + "/sh", Mode: 0o4755, Uname: "root"}},
		"root's set-group-id":     {{Typeflag: tar.TypeReg, Name: top + "/sh", Mode: 0o2755, Gname: "root"}},
		"somebody's set-user-id":  {{Typeflag: tar.TypeReg, Name: top + "/sh", Mode: 0o4755, Uid: 54321}},
		"too deep":                {file(top + "/" + strings.Repeat("d/", 300) + "x")},
		"unknown kind":            {{Typeflag: 'Q', Name: top + "/q"}},
		"no top directory":        {{Typeflag: tar.TypeDir, Name: "./"}},
	} {
		t.Run(name, func(t *testing.T) {
			good := file(top + "/good")
			if name == "no top directory" {
				testRefused(t, "alone", archiveOf(t, members...))
			} else {
				testRefused(t, "first", archiveOf(t, append(members, good)...))
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

// What looks odd and is harmless is unpacked.
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

// An archive must not fill the disk. How much is free changes while others work,
// so that all of the disk is reserved here.
func TestReserve(t *testing.T) {
	var status syscall.Statfs_t
	around := t.TempDir()
	if err := syscall.Statfs(around, &status); err != nil {
		t.Fatal(err)
	}
	all := int64(status.Blocks) * status.Bsize
	data := archiveOf(t, tar.Header{Typeflag: tar.TypeReg, Name: top + "/f", Size: 40 << 20})
	target := filepath.Join(around, top)
	err := Unpack(context.Background(), bytes.NewReader(data), UnpackOptions{Directory: target, Reserve: all})
	var unsafe *UnsafeError
	if !errors.As(err, &unsafe) {
		t.Errorf("error %v", err)
	}
	if entries, _ := os.ReadDir(around); len(entries) > 0 {
		t.Errorf("left %v", entries)
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
