// SPDX-License-Identifier: GPL-3.0-or-later

package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// A Bucket keeps contents as the objects PREFIX/SUM of a bucket with Amazon's
// S3 protocol. Its address is
//
//	s3://BUCKET/PREFIX?endpoint=https://HOST:PORT&region=REGION
//
// The endpoint defaults to Amazon's own. The time of the empty object
// PREFIX/used/SUM is the last use; without that object, the content's time is.
type Bucket struct {
	client  *minio.Client
	bucket  string
	prefix  string // with a slash at its end, or empty
	scratch string // directory of uploads whose sum isn't known yet
	now     func() time.Time

	mu      sync.Mutex
	touched map[string]time.Time // the uses that this process has recorded
}

// A Login says who uses a bucket: an access key, else a file in the format of
// ~/.aws/credentials, else what the cloud gives the machine that it runs.
type Login struct {
	AccessKey, SecretKey, SessionToken string
	File, Profile                      string
	Region                             string // unless the address has it
}

func (l Login) credentials() *credentials.Credentials {
	if l.AccessKey != "" {
		return credentials.NewStaticV4(l.AccessKey, l.SecretKey, l.SessionToken)
	}
	if l.File != "" {
		return credentials.NewFileAWSCredentials(l.File, l.Profile)
	}
	return credentials.NewIAM("")
}

// openBucket checks that the bucket exists.
func openBucket(ctx context.Context, address, scratch string, login Login) (*Bucket, error) {
	b, err := newBucket(address, scratch, login)
	if err == nil {
		var found bool
		found, err = b.client.BucketExists(ctx, b.bucket)
		if err == nil && !found {
			err = fmt.Errorf("there is no bucket %s: make it first", b.bucket)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("contents in %s: %w", address, err)
	}
	return b, nil
}

func newBucket(address, scratch string, login Login) (*Bucket, error) {
	parsed, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	if parsed.Host == "" {
		return nil, errors.New("no bucket in the address: s3://BUCKET/PREFIX?endpoint=…&region=…")
	}
	query := parsed.Query()
	for name := range query {
		if name != "endpoint" && name != "region" {
			return nil, fmt.Errorf("the address has the unknown parameter %q: endpoint and region are known", name)
		}
	}
	endpoint := &url.URL{Scheme: "https", Host: "s3.amazonaws.com"}
	lookup := minio.BucketLookupAuto
	if text := query.Get("endpoint"); text != "" {
		lookup = minio.BucketLookupPath
		if endpoint, err = url.Parse(text); err != nil || endpoint.Host == "" || endpoint.Scheme != "http" && endpoint.Scheme != "https" {
			return nil, fmt.Errorf("endpoint %q is no address as https://HOST:PORT", text)
		}
	}
	region := query.Get("region")
	if region == "" {
		region = login.Region
	}
	client, err := minio.New(endpoint.Host, &minio.Options{
		Creds: login.credentials(), Secure: endpoint.Scheme == "https", Region: region, BucketLookup: lookup, MaxRetries: 3,
	})
	if err != nil {
		return nil, err
	}
	b := &Bucket{client: client, bucket: parsed.Host, scratch: scratch, now: time.Now, touched: map[string]time.Time{}}
	if b.prefix = strings.Trim(parsed.Path, "/"); b.prefix != "" {
		b.prefix += "/"
	}
	return b, nil
}

// Open implements [Blobs].
func (b *Bucket) Open(ctx context.Context, sum string) (io.ReadSeekCloser, error) {
	if !IsSum(sum) {
		return nil, fs.ErrNotExist
	}
	name := b.prefix + sum
	info, err := b.client.StatObject(ctx, b.bucket, name, minio.StatObjectOptions{})
	if err != nil {
		return nil, b.failure("open", sum, err)
	}
	b.touch(ctx, sum, info)
	object, err := b.client.GetObject(ctx, b.bucket, name, minio.GetObjectOptions{})
	if err != nil {
		return nil, b.failure("open", sum, err)
	}
	return object, nil
}

// Peek implements [Blobs].
func (b *Bucket) Peek(ctx context.Context, sum string) (io.ReadCloser, error) {
	if has, err := b.Has(ctx, sum); !has {
		return nil, cmp.Or[error](err, fs.ErrNotExist)
	}
	object, err := b.client.GetObject(ctx, b.bucket, b.prefix+sum, minio.GetObjectOptions{})
	if err != nil {
		return nil, b.failure("read", sum, err)
	}
	return object, nil
}

// abort ends the uploads of parts that were begun a day ago, which nothing lists
// and somebody pays for. A user who may not do that is not told.
func (b *Bucket) abort(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx) // ends the listing if we leave early
	defer cancel()
	for upload := range b.client.ListIncompleteUploads(ctx, b.bucket, b.prefix, true) {
		if upload.Err != nil {
			return
		}
		if IsSum(strings.TrimPrefix(upload.Key, b.prefix)) && b.now().Sub(upload.Initiated) > usedEvery {
			_ = b.client.RemoveIncompleteUpload(ctx, b.bucket, upload.Key) // the next time then
		}
	}
}

// used returns the name of the object that records a content's last use.
func (b *Bucket) used(sum string) string { return b.prefix + "used/" + sum }

// touch records the use of a content. If it can't write, all contents count as
// old.
func (b *Bucket) touch(ctx context.Context, sum string, info minio.ObjectInfo) {
	now := b.now()
	b.mu.Lock()
	last := b.touched[sum]
	isRecent := now.Sub(last) <= usedEvery || now.Sub(info.LastModified) <= usedEvery
	if !isRecent {
		b.touched[sum] = now
	}
	b.mu.Unlock()
	if !isRecent {
		_, _ = b.client.PutObject(ctx, b.bucket, b.used(sum), strings.NewReader(""), 0, minio.PutObjectOptions{})
	}
}

// partSize bounds how much of an upload to the bucket is in memory.
const partSize = 16 << 20

// Store implements [Blobs]. The content waits on disk until its sum is known:
// an object only appears under its right name.
func (b *Bucket) Store(ctx context.Context, content io.Reader, expected string) (sum string, err error) {
	return store(ctx, b, content, expected)
}

// Scratch implements [Blobs].
func (b *Bucket) Scratch() string { return b.scratch }

// Adopt implements [Blobs]. An existing object isn't sent again.
func (b *Bucket) Adopt(ctx context.Context, file *os.File, sum string) error {
	defer os.Remove(file.Name())
	name := b.prefix + sum
	if info, err := b.client.StatObject(ctx, b.bucket, name, minio.StatObjectOptions{}); err == nil {
		b.touch(ctx, sum, info)
		return nil
	}
	info, err := file.Stat()
	if err != nil {
		return err
	}
	size := info.Size()
	_, err = b.client.PutObject(ctx, b.bucket, name, io.NewSectionReader(file, 0, size), size, minio.PutObjectOptions{
		ContentType: "application/octet-stream", PartSize: max(partSize, uint64(size/9000)), NumThreads: 2,
	})
	return b.failure("store", sum, err)
}

// Has implements [Blobs].
func (b *Bucket) Has(ctx context.Context, sum string) (bool, error) {
	if !IsSum(sum) {
		return false, nil
	}
	_, err := b.client.StatObject(ctx, b.bucket, b.prefix+sum, minio.StatObjectOptions{})
	err = b.failure("look for", sum, err)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// List implements [Blobs].
func (b *Bucket) List(ctx context.Context) ([]Blob, error) {
	left, _ := os.ReadDir(b.scratch) // what can't be read now is removed later
	for _, file := range left {
		if info, err := file.Info(); err == nil && isTemporary(file.Name()) {
			removeAbandoned(filepath.Join(b.scratch, file.Name()), info.ModTime())
		}
	}
	b.abort(ctx)
	b.mu.Lock()
	maps.DeleteFunc(b.touched, func(_ string, last time.Time) bool { return b.now().Sub(last) > usedEvery })
	b.mu.Unlock()
	uses, err := b.list(ctx, b.used(""))
	if err != nil {
		return nil, err
	}
	used := map[string]time.Time{}
	for _, use := range uses {
		used[use.Sum] = use.Used
	}
	all, err := b.list(ctx, b.prefix)
	for i, blob := range all {
		if last := used[blob.Sum]; last.After(blob.Used) {
			all[i].Used = last
		}
	}
	return all, err
}

// list finds the objects whose names are a prefix and a sum.
func (b *Bucket) list(ctx context.Context, prefix string) ([]Blob, error) {
	ctx, cancel := context.WithCancel(ctx) // ends the listing if we leave early
	defer cancel()
	var all []Blob
	for object := range b.client.ListObjects(ctx, b.bucket, minio.ListObjectsOptions{Prefix: prefix}) {
		if object.Err != nil {
			return nil, fmt.Errorf("list the bucket %s: %w", b.bucket, object.Err)
		}
		if sum := strings.TrimPrefix(object.Key, prefix); IsSum(sum) {
			all = append(all, Blob{Sum: sum, Size: object.Size, Used: object.LastModified, Stored: object.LastModified})
		}
	}
	return all, ctx.Err()
}

// Remove implements [Blobs].
func (b *Bucket) Remove(ctx context.Context, sum string) error {
	b.mu.Lock()
	delete(b.touched, sum)
	b.mu.Unlock()
	for _, name := range []string{b.prefix + sum, b.used(sum)} {
		err := b.failure("remove", sum, b.client.RemoveObject(ctx, b.bucket, name, minio.RemoveObjectOptions{}))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// failure adds what failed, and makes a missing object fs.ErrNotExist.
func (b *Bucket) failure(doing, sum string, err error) error {
	if err == nil {
		return nil
	}
	if answer := minio.ToErrorResponse(err); answer.StatusCode == http.StatusNotFound && answer.Code != minio.NoSuchBucket {
		return fs.ErrNotExist
	}
	return fmt.Errorf("%s %s in the bucket %s: %w", doing, sum, b.bucket, err)
}
