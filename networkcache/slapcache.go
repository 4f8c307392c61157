// SPDX-License-Identifier: GPL-3.0-or-later

package networkcache

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Files that machines hand each other under a key, newest first, as slapcache
// does (NC-91, NC-92). The key with checkSuffix leads to the SHA-256 of the
// file, in base64: a file counts only with both.
const (
	checkSuffix  = "-sha256-content"
	checkSize    = 44 // characters of a SHA-256 in base64
	tokenLetters = 128
)

// Publish uploads a content and its check under a key, as of now. It returns
// the content's sum.
func (c *Client) Publish(ctx context.Context, key string, content io.ReadSeeker, now time.Time) (sum string, err error) {
	fields := []Field{
		{"timestamp", float64(now.UnixMicro()) / 1e6},
		{"token", newToken()},
		{"file", "notused"},
		{"urlmd5", "notused"},
	}
	hash := sha256.New()
	if _, err := content.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	if _, err := io.Copy(hash, content); err != nil {
		return "", err
	}
	check := base64.StdEncoding.EncodeToString(hash.Sum(nil))
	if sum, err = c.publish(ctx, key, content, fields); err != nil {
		return "", err
	}
	_, err = c.publish(ctx, key+checkSuffix, strings.NewReader(check), fields)
	return sum, err
}

func (c *Client) publish(ctx context.Context, key string, content io.ReadSeeker, fields []Field) (sum string, err error) {
	if sum, err = c.Upload(ctx, content); err != nil {
		return "", err
	}
	return sum, c.Index(ctx, key, sum, fields)
}

// newToken draws what distinguishes the entries of two uploads.
func newToken() string {
	token := make([]byte, tokenLetters)
	_, _ = rand.Read(token) // never fails
	for i, b := range token {
		token[i] = 'a' + b%26
	}
	return string(token)
}

// FetchNewest writes the newest content that was published under a key by
// somebody whom the client trusts. After an error, what was written is of no
// use. Without any such content the error is ErrNotFound.
func (c *Client) FetchNewest(ctx context.Context, key string, to io.Writer) error {
	hash := sha256.New()
	if err := c.fetchNewest(ctx, key, io.MultiWriter(to, hash)); err != nil {
		return err
	}
	var check strings.Builder
	if err := c.fetchNewest(ctx, key+checkSuffix, limited{&check}); err != nil {
		return err
	}
	if found := base64.StdEncoding.EncodeToString(hash.Sum(nil)); found != check.String() {
		return fmt.Errorf("key %s: the newest file has the SHA-256 %s instead of %.64q: it is being replaced, or somebody else's", key, found, check.String())
	}
	return nil
}

func (c *Client) fetchNewest(ctx context.Context, key string, to io.Writer) error {
	entries, err := c.Entries(ctx, key)
	if err != nil {
		return err
	}
	newestFirst(entries)
	for _, entry := range entries {
		if _, dated := entry.Date(); !dated || !c.Trusts(entry) || entry.SHA512() == "" {
			continue
		}
		content, err := c.Download(ctx, entry.SHA512())
		if err != nil {
			return err
		}
		_, err = io.Copy(to, content)
		return errors.Join(err, content.Close())
	}
	return fmt.Errorf("key %s: %w: none of %d entries is trusted and dated", key, ErrNotFound, len(entries))
}

// limited takes no more than a check.
type limited struct{ *strings.Builder }

func (l limited) Write(p []byte) (int, error) {
	if l.Len()+len(p) > checkSize {
		return 0, errors.New("a check of more than a SHA-256")
	}
	return l.Builder.Write(p)
}
