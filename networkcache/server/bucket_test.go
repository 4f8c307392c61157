// SPDX-License-Identifier: GPL-3.0-or-later

package server

import (
	"context"
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"slapos/slap/testkit"
)

var bucketLogin = Login{AccessKey: "somebody", SecretKey: "something secret", Region: "us-east-1"}

// buckets counts the buckets of this test run.
var buckets atomic.Int64

// startBucket starts a server of S3 and makes a bucket there.
func startBucket(t *testing.T, prefix string) *Bucket {
	t.Helper()
	endpoint := startS3(t)
	name := fmt.Sprintf("bucket-%d", buckets.Add(1))
	address := fmt.Sprintf("s3://%s/%s?endpoint=%s", name, prefix, endpoint)
	b, err := newBucket(address, t.TempDir(), bucketLogin)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	testkit.Eventually(t, time.Minute, "the bucket is made",
		func() bool { err = b.client.MakeBucket(ctx, name, minio.MakeBucketOptions{}); return err == nil }, func() any { return err })
	opened, err := OpenBlobs(ctx, address, t.TempDir(), bucketLogin)
	if err != nil {
		t.Fatal(err)
	}
	return opened.(*Bucket)
}

// startS3 runs versitygw, a server of S3 over a directory.
func startS3(t *testing.T) (endpoint string) {
	t.Helper()
	program := testProgram(t, "var/bin/versitygw")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	folder := t.TempDir()
	for _, name := range []string{"data", "side"} {
		if err := os.Mkdir(filepath.Join(folder, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	// Attributes that the file system can't keep go to another directory.
	command := exec.Command(program, "--port", address, "--quiet", "posix", "--sidecar", filepath.Join(folder, "side"), filepath.Join(folder, "data"))
	command.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+bucketLogin.AccessKey, "ROOT_SECRET_KEY="+bucketLogin.SecretKey)
	var log strings.Builder
	command.Stdout, command.Stderr = &log, &log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
		if t.Failed() {
			t.Logf("versitygw:\n%s", &log)
		}
	})
	return "http://" + address
}

// testProgram returns a file that make testenv makes.
func testProgram(t *testing.T, path string) string {
	t.Helper()
	directory, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; directory != "/"; directory = filepath.Dir(directory) {
		if program := filepath.Join(directory, path); isFile(program) {
			return program
		}
	}
	t.Fatalf("no %s: run `make testenv` first", path)
	return ""
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// Reading or storing a content in a bucket again counts as a new use.
func TestBucketUse(t *testing.T) {
	b := startBucket(t, "")
	ctx := t.Context()
	sum, err := b.Store(ctx, strings.NewReader("hello"), "")
	if err != nil {
		t.Fatal(err)
	}
	used := func() time.Time {
		t.Helper()
		all, err := b.List(ctx)
		if err != nil || len(all) != 1 {
			t.Fatal(all, err)
		}
		return all[0].Used
	}
	first := used()
	b.now = func() time.Time { return time.Now().Add(2 * usedEvery) }
	// A bucket's times are whole seconds.
	testkit.Eventually(t, testkit.Patience, "a second has passed", func() bool { return time.Since(first) > 1100*time.Millisecond })
	if got := readBlob(t, b, sum, 0); got != "hello" {
		t.Errorf("read %q", got)
	}
	if second := used(); !second.After(first) {
		t.Errorf("used at %s, then at %s", first, second)
	}
	if err := b.Remove(ctx, sum); err != nil {
		t.Fatal(err)
	}
	for object := range b.client.ListObjects(ctx, b.bucket, minio.ListObjectsOptions{Recursive: true}) {
		t.Errorf("left %s", object.Key)
	}
}

// A server with a bucket and a database, as a fleet uses.
func TestBucketServer(t *testing.T) {
	b := startBucket(t, "cache")
	index, err := OpenIndex(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "index.db"), "")
	if err != nil {
		t.Fatal(err)
	}
	defer index.Close()
	_, url := start(t, Options{Store: Store{Contents: b, Entries: index}})
	t.Run("Python", func(t *testing.T) { testPythonClient(t, url) })
	sum := sumOf("hello")
	for _, request := range []struct {
		method, path, body string
		header             []string
		status             int
		answer             string
	}{
		{"POST", "/cache", "hello", nil, 201, sum},
		{"PUT", "/cache/" + sumOf("x"), "hello", nil, 400, "Checksum mismatch\n"},
		{"GET", "/cache/" + sum, "", []string{"Range", "bytes=1-"}, 206, "ello"},
		{"GET", "/cache/" + sum, "", []string{"Range", "bytes=9-"}, 416, "invalid range: failed to overlap\n"},
		{"GET", "/cache/" + sumOf("x"), "", nil, 404, "Not found\n"},
		{"HEAD", "/cache/" + sum, "", nil, 200, ""},
		{"POST", "/update", "", nil, 200, "{\"removed\":[],\"updated\":[]}\n"},
	} {
		status, answer := ask(t, request.method, url+"/shacache"+request.path, request.body, request.header...)
		if status != request.status || answer != request.answer {
			t.Errorf("%s %.20s: %d %q, want %d %q", request.method, request.path, status, answer, request.status, request.answer)
		}
	}
}

func TestBucketAddress(t *testing.T) {
	web := httptest.NewServer(nil) // which isn't S3
	defer web.Close()
	for address, want := range map[string]string{
		"s3://":                     "no bucket in the address",
		"s3://b?endpoint=127.0.0.1": "no address as https",
		"s3://b?place=x":            `unknown parameter "place"`,
		"s3://bucket?endpoint=http://127.0.0.1:1": "refused",
		"s3://bucket?endpoint=" + web.URL:         "contents in s3://bucket",
		"s3://b%zz":                               "invalid",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		_, err := OpenBlobs(ctx, address, t.TempDir(), bucketLogin)
		cancel()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", address, err, want)
		}
	}
}
