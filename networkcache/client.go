// SPDX-License-Identifier: GPL-3.0-or-later

package networkcache

import (
	"bytes"
	"context"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"sync"
	"time"
)

// Config configures a [Client].
type Config struct {
	Cache, Directory Service // ShaCache and ShaDir
	// SignatureKeyFile is the key that signs uploads; if empty, entries are not
	// signed. If there is also a directory to download from, the key's
	// certificate must be a trusted one.
	SignatureKeyFile string
	// PassphraseFile has the passphrase of the key, if that is encrypted.
	PassphraseFile string
	// CertificateList are the trusted certificates, see [ParseCertificates].
	CertificateList string
	// Timeout is how long the client waits for a connection and for each piece
	// of data. It can only shorten the usual limits: a minute for a download,
	// an hour for an upload.
	Timeout time.Duration
	// Connect can shorten the wait for a connection further.
	Connect time.Duration
	Logger  *slog.Logger // default: none
}

// A Client reads and writes both services. It opens a connection per request,
// and several goroutines can use it.
type Client struct {
	cache, directory *service
	signer           *Signer
	trusted          Certificates
}

// ErrForeignSigner means that the signing key matches no trusted certificate.
var ErrForeignSigner = errors.New("Invalid configuration: no matching certificate for private key: add it to signature-certificate-list, or uploads would be made again and again, as they are not trusted here")

// NewClient reads the files that config names.
func NewClient(config Config) (*Client, error) {
	if config.Timeout == 0 {
		config.Timeout = uploadTimeout
	}
	if config.Connect == 0 {
		config.Connect = config.Timeout
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	client := &Client{trusted: ParseCertificates(config.CertificateList, config.Logger)}
	var err error
	if config.SignatureKeyFile != "" {
		if client.signer, err = ReadSigner(config.SignatureKeyFile, config.PassphraseFile); err != nil {
			return nil, err
		}
		if config.Directory.Download != "" && !client.trusted.has(client.signer) { // NC-4
			return nil, ErrForeignSigner
		}
	}
	if client.cache, err = newService(config.Cache, config.Connect, config.Timeout); err != nil {
		return nil, fmt.Errorf("shacache: %w", err)
	}
	if client.directory, err = newService(config.Directory, config.Connect, config.Timeout); err != nil {
		return nil, fmt.Errorf("shadir: %w", err)
	}
	return client, nil
}

// maximumEntries bounds the answer of ShaDir, in bytes.
const maximumEntries = 16 << 20

// Entries returns everything that ShaDir lists under a key, trusted or not, in
// its order. For an unknown key the error is ErrNotFound.
func (c *Client) Entries(ctx context.Context, key string) ([]Entry, error) {
	response, err := c.directory.get(ctx, key, nil)
	if err != nil {
		return nil, fmt.Errorf("shadir: %w", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maximumEntries+1))
	if err == nil && len(text) > maximumEntries {
		err = fmt.Errorf("more than %d bytes of entries", maximumEntries)
	}
	if err != nil {
		return nil, fmt.Errorf("shadir: key %s: %w", key, err)
	}
	entries, err := ParseEntries(text)
	if err != nil {
		return nil, fmt.Errorf("shadir: key %s: %w", key, err)
	}
	return entries, nil
}

// TrustedSums are the sums in the trusted entries of a key, those with the
// newest signed date first (NC-47).
func (c *Client) TrustedSums(ctx context.Context, key string) (sums []string, err error) {
	entries, err := c.Entries(ctx, key)
	if err != nil {
		return nil, err
	}
	newestFirst(entries)
	for _, entry := range entries {
		if sum := entry.SHA512(); sum != "" && c.Trusts(entry) {
			sums = append(sums, sum)
		}
	}
	return sums, nil
}

// Trusts reports whether a trusted certificate verifies the entry.
func (c *Client) Trusts(e Entry) bool { return c.trusted.Verify(e) }

// Upload stores a content in ShaCache, unless it is already there, and returns its sum.
func (c *Client) Upload(ctx context.Context, content io.ReadSeeker) (sum string, err error) {
	hash := sha512.New()
	if _, err = content.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	size, err := io.Copy(hash, content)
	if err != nil {
		return "", err
	}
	if _, err = content.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	sum = hex.EncodeToString(hash.Sum(nil))
	return sum, c.store(ctx, sum, size, content)
}

// store uploads size bytes with a known sum (NC-20).
func (c *Client) store(ctx context.Context, sum string, size int64, content io.Reader) error {
	if c.cache.Download != "" {
		response, err := c.cache.get(ctx, sum, nil)
		if err == nil {
			return response.Body.Close()
		}
		var status *StatusError
		if !errors.As(err, &status) {
			return fmt.Errorf("shacache: %w", err)
		}
	}
	lent := &lentReader{Reader: content}
	defer lent.Close()
	answer, err := c.post(ctx, size, lent)
	if err != nil {
		return err
	}
	return checkAnswer(answer, sum)
}

// A lentReader is a request's body, which the transport may still read after
// the answer. Close takes it back, once a running read has ended.
type lentReader struct {
	io.Reader
	mu     sync.Mutex
	closed bool
}

func (r *lentReader) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return 0, fs.ErrClosed
	}
	return r.Reader.Read(p)
}

func (r *lentReader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	return nil
}

// post sends a content and returns the answer, which should be its sum. size is
// -1 if unknown.
func (c *Client) post(ctx context.Context, size int64, content io.ReadCloser) (answer string, err error) {
	response, err := c.cache.send(ctx, http.MethodPost, "", contentType("application/octet-stream"), size, content)
	if err != nil {
		return "", fmt.Errorf("shacache: %w", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 1024))
	if err != nil {
		return "", fmt.Errorf("shacache: answer to an upload: %w", err)
	}
	return string(text), nil
}

func checkAnswer(answer, sum string) error {
	if answer != sum {
		return fmt.Errorf("Failed to upload data to SHACACHE Server: it answers %.128q instead of the sum %s", answer, sum)
	}
	return nil
}

// has reports whether ShaCache has a content.
func (c *Client) has(ctx context.Context, sum string) bool {
	response, err := c.cache.get(ctx, sum, nil)
	if err != nil {
		return false
	}
	response.Body.Close()
	return true
}

// Index adds an entry under key for the content with a sum. fields, which must
// not be empty, describe the content.
func (c *Client) Index(ctx context.Context, key, sum string, fields []Field) error {
	if len(fields) == 0 {
		return errors.New("metadata should not be empty")
	}
	content, err := contentText(append([]Field{{"sha512", sum}}, fields...))
	if err != nil {
		return err
	}
	entry := Entry{Content: content}
	if c.signer != nil {
		if entry.Signature, err = c.signer.Sign(content); err != nil {
			return err
		}
	}
	text := entry.Text()
	response, err := c.directory.send(ctx, http.MethodPut, key, contentType("application/json"), int64(len(text)), io.NopCloser(bytes.NewReader(text)))
	if err != nil {
		return fmt.Errorf("shadir: %w", err)
	}
	return response.Body.Close()
}

func contentType(kind string) http.Header { return http.Header{"Content-Type": {kind}} }

// send uploads; the answer is 201 (NC-15).
func (s *service) send(ctx context.Context, method, name string, header http.Header, size int64, content io.ReadCloser) (*http.Response, error) {
	if s.Upload == "" {
		return nil, errors.New("no URL to upload to")
	}
	request, err := http.NewRequestWithContext(ctx, method, address(s.Upload, name), content)
	if err != nil {
		return nil, err
	}
	request.ContentLength = size
	if size == 0 {
		request.Body = http.NoBody
	}
	maps.Copy(request.Header, header)
	request.Header.Set("Accept-Encoding", "identity")
	response, err := s.upload.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusCreated {
		return nil, newStatusError(response)
	}
	return response, nil
}
