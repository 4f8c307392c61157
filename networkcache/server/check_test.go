// SPDX-License-Identifier: GPL-3.0-or-later

package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"slapos/networkcache"
	"slapos/slap/testkit"
)

func runCheck(t *testing.T, check Check) (Found, []string) {
	t.Helper()
	var lines []string
	check.Report = func(line string) { lines = append(lines, line) }
	found, err := check.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(lines)
	return found, lines
}

// NC-103: whatever is damaged is found, repaired, and then all is right.
func TestCheck(t *testing.T) {
	directory := t.TempDir()
	path := func(names ...string) string { return filepath.Join(append([]string{directory}, names...)...) }
	for _, name := range []string{"cache", "dir", "uploaders"} {
		if err := os.Mkdir(path(name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	store := &Store{Contents: &Directory{Path: path("cache")}, Entries: &Files{Path: path("dir"), Uploaders: path("uploaders")}}
	put := func(key, content string) {
		t.Helper()
		entry := networkcache.Entry{Content: fmt.Sprintf(`{"sha512": "%s"}`, sumOf(content))}
		if err := store.Entries.Add(t.Context(), key, entry.Text(), "somebody"); err != nil {
			t.Fatal(err)
		}
	}
	for _, content := range []string{"good", "damaged", "orphan", "old orphan"} {
		if _, err := store.Contents.Store(t.Context(), strings.NewReader(content), ""); err != nil {
			t.Fatal(err)
		}
	}
	put("good", "good")
	put("mixed", "good")
	put("mixed", "damaged")
	put("gone", "never there")
	if found, lines := runCheck(t, Check{Store: store}); found.Problems != 1 || found.Contents != 4 || found.Orphans != 2 || len(lines) != 1 {
		t.Errorf("%+v %q", found, lines)
	}
	long := time.Now().Add(-48 * time.Hour)
	if err := os.Chtimes(path("cache", sumOf("good")), long, long); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"cache/" + sumOf("damaged"): "damage", "cache/.upload-1": "cut off", "cache/" + PartialName(sumOf("begun")): "begun", "dir/.new-1": "cut off", "uploaders/.new-2": "{",
		"dir/no json": "[", "dir/no list": "{}", "dir/empty": "[]", "dir/odd": `[1, ["{}", ""]]`, "cache/other": "not ours",
	} {
		testkit.WriteFile(t, path(name), text)
	}
	wanted := []string{
		"content " + sumOf("damaged") + ": is damaged, its sum is " + sumOf("damage"),
		`key "empty": has no entries`,
		`key "gone": 1 of 1 entries lead to no content here`,
		`key "mixed": 1 of 2 entries lead to no content here`,
		`key "no json": can't be read: no JSON`,
		`key "no list": can't be read: no list of entries`,
		`key "odd": 2 of 2 entries lead to no content here`,
		path("cache/.upload-1") + ": left by an upload that didn't end",
		path("dir/.new-1") + ": left by an upload that didn't end",
		path("uploaders/.new-2") + ": left by an upload that didn't end",
	}
	slices.Sort(wanted)
	for _, repair := range []bool{false, false, true} {
		found, lines := runCheck(t, Check{Store: store, Repair: repair})
		if !slices.Equal(lines, wanted) || found.Problems != len(wanted) || found.Orphans != 2 {
			t.Errorf("%+v\n%s", found, strings.Join(lines, "\n"))
		}
	}
	if found, lines := runCheck(t, Check{Store: store}); found != (Found{Contents: 3, Bytes: 20, Orphans: 2}) || len(lines) > 0 {
		t.Errorf("after the repair: %+v %q", found, lines)
	}
	if info, err := os.Stat(path("cache", sumOf("good"))); err != nil || !info.ModTime().Equal(long) {
		t.Errorf("a check counts as a use: %v", err)
	}
	if names := testkit.Names(t, path("cache")); len(names) != 5 { // the other and the begun one
		t.Errorf("%v", names)
	}
	store.Now = func() time.Time { return time.Now().Add(25 * time.Hour) }
	if _, err := store.Contents.Store(t.Context(), strings.NewReader("orphan"), ""); err != nil {
		t.Fatal(err)
	}
	if found, lines := runCheck(t, Check{Store: store, Repair: true, RemoveOrphans: true}); found.Orphans != 2 || len(lines) != 2 {
		t.Errorf("orphans: %+v %q", found, lines)
	}
	if found, _ := runCheck(t, Check{Store: store}); found != (Found{Contents: 1, Bytes: 4}) {
		t.Errorf("after orphans are removed: %+v", found)
	}
}

// A young content may be waiting for its entry.
func TestYoungOrphan(t *testing.T) {
	store := &Store{Contents: &Directory{Path: t.TempDir()}, Entries: &Files{Path: t.TempDir()}}
	if _, err := store.Contents.Store(t.Context(), strings.NewReader("young"), ""); err != nil {
		t.Fatal(err)
	}
	if found, lines := runCheck(t, Check{Store: store, Repair: true, RemoveOrphans: true}); found.Contents != 1 || len(lines) > 0 {
		t.Errorf("%+v %q", found, lines)
	}
	if has, err := store.Contents.Has(t.Context(), sumOf("young")); !has || err != nil {
		t.Errorf("it is gone: %v", err)
	}
}

// NC-103: entries of a cache before another one may lead there.
func TestCheckPartial(t *testing.T) {
	store := &Store{Contents: &Directory{Path: t.TempDir()}, Entries: &Files{Path: t.TempDir()}, Partial: true}
	entry := networkcache.Entry{Content: fmt.Sprintf(`{"sha512": "%s"}`, sumOf("elsewhere"))}
	if err := store.Entries.Add(t.Context(), "key", entry.Text(), ""); err != nil {
		t.Fatal(err)
	}
	if found, lines := runCheck(t, Check{Store: store, Repair: true}); found != (Found{}) {
		t.Errorf("%+v %q", found, lines)
	}
}

// The same in a bucket and a database.
func TestCheckBucket(t *testing.T) {
	bucket := startBucket(t, "some/prefix")
	index, err := OpenIndex(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "index"), "")
	if err != nil {
		t.Fatal(err)
	}
	defer index.Close()
	store := &Store{Contents: bucket, Entries: index}
	sum, err := bucket.Store(t.Context(), strings.NewReader("good"), "")
	if err != nil {
		t.Fatal(err)
	}
	damaged := sumOf("damaged")
	if _, err := bucket.client.PutObject(t.Context(), bucket.bucket, bucket.prefix+damaged, strings.NewReader("damage"), 6, minio.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, of := range []string{sum, damaged} {
		entry := networkcache.Entry{Content: fmt.Sprintf(`{"sha512": "%s"}`, of)}
		if err := index.Add(t.Context(), "key", entry.Text(), ""); err != nil {
			t.Fatal(err)
		}
	}
	if found, lines := runCheck(t, Check{Store: store, Repair: true}); found.Problems != 2 || found.Contents != 2 {
		t.Errorf("%+v %q", found, lines)
	}
	if found, lines := runCheck(t, Check{Store: store}); found != (Found{Contents: 1, Bytes: 4}) {
		t.Errorf("after the repair: %+v %q", found, lines)
	}
	// Uploads of parts that nobody ends go after a day.
	core := minio.Core{Client: bucket.client}
	if _, err := core.NewMultipartUpload(t.Context(), bucket.bucket, bucket.prefix+sumOf("begun"), minio.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	unfinished := func() (count int) {
		if _, err := bucket.List(t.Context()); err != nil {
			t.Fatal(err)
		}
		for upload := range bucket.client.ListIncompleteUploads(t.Context(), bucket.bucket, bucket.prefix, true) {
			if upload.Err != nil {
				t.Fatal(upload.Err)
			}
			count++
		}
		return count
	}
	if count := unfinished(); count != 1 {
		t.Errorf("%d uploads are going on", count)
	}
	bucket.now = func() time.Time { return time.Now().Add(25 * time.Hour) }
	if count := unfinished(); count != 0 {
		t.Errorf("%d uploads are left", count)
	}
}

const killedVariable = "SLAPOS_TEST_KILLED_SERVER"

// NC-103: a server that is killed in the middle of uploads leaves no content, no
// entry, and after the next start no file.
func TestKilledServer(t *testing.T) {
	if directory := os.Getenv(killedVariable); directory != "" {
		serveUntilKilled(directory)
	}
	directory := t.TempDir()
	command := exec.Command(os.Args[0], "-test.run=^TestKilledServer$")
	command.Env = append(os.Environ(), killedVariable+"="+directory)
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	defer func() {
		if !ended {
			_ = command.Process.Kill()
			_ = command.Wait()
		}
	}()
	var url string
	if _, err := fmt.Fscanln(output, &url); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	failed := make(chan error, 2)
	var writers []*io.PipeWriter
	for _, path := range []string{"/shacache/cache", "/shacache/cache/" + sumOf("whole")} {
		reader, writer := io.Pipe()
		writers = append(writers, writer)
		defer writer.Close()
		method := map[bool]string{true: http.MethodPost, false: http.MethodPut}[path == "/shacache/cache"]
		request, err := http.NewRequestWithContext(ctx, method, url+path, reader)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			response, err := http.DefaultTransport.RoundTrip(request)
			if err == nil {
				response.Body.Close()
				err = fmt.Errorf("answered %s", response.Status)
			}
			failed <- err
		}()
		if _, err := io.WriteString(writer, noise(100_000)); err != nil {
			t.Fatal(err)
		}
	}
	uploads := func() int {
		names, err := filepath.Glob(filepath.Join(directory, temporaryPrefix+"*"))
		if err != nil {
			t.Fatal(err)
		}
		return len(names)
	}
	testkit.Eventually(t, 10*time.Second, "the uploads don't begin", func() bool { return uploads() == 2 })
	if err := command.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = command.Wait()
	ended = true
	for _, writer := range writers {
		writer.CloseWithError(io.ErrUnexpectedEOF)
		if err := <-failed; err == nil || strings.Contains(err.Error(), "answered") {
			t.Errorf("an upload to a killed server: %v", err)
		}
	}
	store := &Store{Contents: &Directory{Path: directory}, Entries: &Files{Path: filepath.Join(directory, "dir")}}
	if found, lines := runCheck(t, Check{Store: store}); found != (Found{Problems: 2}) {
		t.Errorf("%+v %q", found, lines)
	}
	if err := errors.Join(store.RemoveLeft(), store.RemoveLeft()); err != nil {
		t.Error(err)
	}
	if names := testkit.Names(t, directory); len(names) > 0 {
		t.Errorf("left: %v", names)
	}
}

// serveUntilKilled prints its URL.
func serveUntilKilled(directory string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Printf("http://%s\n", listener.Addr())
	s := New(Options{Store: Store{Contents: &Directory{Path: directory}, Entries: &Files{Path: filepath.Join(directory, "dir")}}})
	panic(http.Serve(listener, s))
}
