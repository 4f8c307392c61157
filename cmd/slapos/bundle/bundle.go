// SPDX-License-Identifier: GPL-3.0-or-later

// Package bundle packs what somebody needs to help with a node into an archive,
// without secrets:
//
//	b := bundle.New(file, "slapos-doctor-host", bundle.Masks{Hide: hide, Secrets: secrets}, time.Now())
//	b.Text("version", ...)
//	b.Tail("logs/supervisord.log", path)
//	err := b.Close()
//
// All that goes in is masked: the secrets that are known wherever they stand, also
// as JSON and in URLs; keys in PEM form, tokens of a master; and what looks like a
// password. It masks too much rather than too little.
package bundle

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// MaxFile is how much of a file, or of a program's output, is packed: its end.
const MaxFile = 256 << 10

// shortest is the length of a secret that is masked wherever it stands: a shorter
// one would mask half of all words.
const shortest = 5

// Masks say what must not be told.
type Masks struct {
	// Hide masks what looks like a secret in a line.
	Hide func(line string) string
	// Secrets are masked wherever they stand.
	Secrets []string
}

// A Bundle is an archive that is being written. The first error stays.
type Bundle struct {
	prefix     string
	now        time.Time
	hide       func(string) string
	known      *strings.Replacer
	archive    *tar.Writer
	compressed *gzip.Writer
	err        error
}

// New begins an archive in which all names begin with prefix.
func New(w io.Writer, prefix string, masks Masks, now time.Time) *Bundle {
	compressed := gzip.NewWriter(w)
	return &Bundle{prefix: prefix, now: now, hide: masks.Hide, known: replacerOf(masks.Secrets), compressed: compressed, archive: tar.NewWriter(compressed)}
}

const mask = "***"

// replacerOf masks secrets, and the forms that they have in JSON and in URLs. The
// longest come first: one may be a part of another.
func replacerOf(secrets []string) *strings.Replacer {
	forms := map[string]bool{}
	for _, secret := range secrets {
		if len(secret) < shortest {
			continue
		}
		encoded, _ := json.Marshal(secret) // never fails
		forms[secret] = true
		forms[strings.Trim(string(encoded), `"`)] = true
		forms[url.QueryEscape(secret)] = true
		forms[url.PathEscape(secret)] = true
	}
	var sorted []string
	for form := range forms {
		sorted = append(sorted, form)
	}
	slices.SortFunc(sorted, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	var pairs []string
	for _, form := range sorted {
		pairs = append(pairs, form, mask)
	}
	return strings.NewReplacer(pairs...)
}

var (
	// A private key, of which the beginning or the end may be missing.
	keyForm = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\z)|\A[A-Za-z0-9+/=\\nr\s]*-----END [A-Z ]*PRIVATE KEY-----`)
	})
	// A token that slapos proxy token made.
	tokenForm = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`\bS1\.[A-Za-z0-9_-]{10,}\.[0-9a-f]{6,}\.[A-Za-z0-9_-]{10,}`)
	})
)

// Mask masks a text as all that goes in is.
func (b *Bundle) Mask(text string) string {
	text = keyForm().ReplaceAllString(text, mask)
	text = tokenForm().ReplaceAllString(text, mask)
	text = b.known.Replace(text)
	lines := strings.SplitAfter(text, "\n")
	for i, line := range lines {
		lines[i] = b.hide(line)
	}
	return strings.Join(lines, "")
}

// Text packs a text.
func (b *Bundle) Text(name, text string) {
	if b.err != nil {
		return
	}
	masked := []byte(b.Mask(text))
	header := &tar.Header{Name: b.prefix + "/" + name, Mode: 0o600, Size: int64(len(masked)), ModTime: b.now}
	if b.err = b.archive.WriteHeader(header); b.err == nil {
		_, b.err = b.archive.Write(masked)
	}
}

// JSON packs a value.
func (b *Bundle) JSON(name string, value any) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(value); err != nil {
		b.Text(name, "can't be shown: "+err.Error()+"\n")
		return
	}
	b.Text(name, text.String())
}

// Tail packs the end of a file that is one, or why that can't be.
func (b *Bundle) Tail(name, path string) {
	text, err := tail(path)
	if err != nil {
		text = "can't be read: " + err.Error() + "\n"
	}
	b.Text(name, text)
}

func tail(path string) (string, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", errors.New(path + " is not a file")
	}
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	if size := info.Size(); size > MaxFile {
		if _, err := file.Seek(size-MaxFile, io.SeekStart); err != nil {
			return "", err
		}
	}
	text, err := io.ReadAll(io.LimitReader(file, MaxFile))
	if err != nil {
		return "", err
	}
	return wholeLines(string(text), info.Size() > MaxFile), nil
}

// wholeLines leaves out the first line of a text whose beginning was cut off: half
// of a secret is recognised by nobody.
func wholeLines(text string, cut bool) string {
	if cut {
		_, text, _ = strings.Cut(text, "\n")
	}
	return text
}

// commandPatience is how long a program may take.
const commandPatience = 15 * time.Second

// Command packs the output of a program, if the machine has it.
func (b *Bundle) Command(ctx context.Context, name string, words ...string) {
	path, err := exec.LookPath(words[0])
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, commandPatience)
	defer cancel()
	output, err := exec.CommandContext(ctx, path, words[1:]...).CombinedOutput()
	text := string(output)
	if len(text) > MaxFile {
		text = wholeLines(text[len(text)-MaxFile:], true)
	}
	if err != nil {
		text += fmt.Sprintf("%s: %v\n", strings.Join(words, " "), err)
	}
	b.Text(name, text)
}

// Close ends the archive and returns what went wrong.
func (b *Bundle) Close() error {
	return errors.Join(b.err, b.archive.Close(), b.compressed.Close())
}
