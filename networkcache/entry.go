// SPDX-License-Identifier: GPL-3.0-or-later

package networkcache

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// An Entry is what ShaDir keeps under a key: a JSON object as text, and the
// base64 signature of exactly this text, empty if there is none (NC-14).
type Entry struct{ Content, Signature string }

// ParseEntry reads a JSON list of two texts.
func ParseEntry(data []byte) (Entry, error) {
	var pair []*string
	if err := json.Unmarshal(data, &pair); err != nil {
		return Entry{}, fmt.Errorf("entry: %w", err)
	}
	if len(pair) != 2 || pair[0] == nil || pair[1] == nil {
		return Entry{}, errors.New("entry: not a list of two texts")
	}
	return Entry{*pair[0], *pair[1]}, nil
}

// ParseEntries reads the list that ShaDir returns. It skips what isn't an entry.
func ParseEntries(data []byte) ([]Entry, error) {
	var list []json.RawMessage
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf("not a list of entries: %w", err)
	}
	entries := make([]Entry, 0, len(list))
	for _, item := range list {
		if entry, err := ParseEntry(item); err == nil {
			entries = append(entries, entry)
		}
	}
	return entries, nil
}

// Text returns the entry as JSON, formatted as Python does.
func (e Entry) Text() []byte {
	text := append([]byte{'['}, quote(e.Content)...)
	text = append(append(text, ", "...), quote(e.Signature)...)
	return append(text, ']')
}

// SHA512 returns the sum in the entry, or "".
func (e Entry) SHA512() string {
	var about struct {
		SHA512 string `json:"sha512"`
	}
	if json.Unmarshal([]byte(e.Content), &about) != nil {
		return ""
	}
	return about.SHA512
}

// Date returns the signed date of an entry: its field timestamp, in seconds
// since 1970. The original's entries have none (NC-47).
func (e Entry) Date() (date time.Time, dated bool) {
	var about struct {
		Timestamp *float64 `json:"timestamp"`
	}
	if json.Unmarshal([]byte(e.Content), &about) != nil || about.Timestamp == nil {
		return time.Time{}, false
	}
	seconds := *about.Timestamp
	if seconds < 0 || seconds > lastSecond {
		return time.Time{}, false
	}
	return time.UnixMicro(int64(seconds * 1e6)), true
}

// lastSecond is the end of the year 9999.
const lastSecond = 253402300799

// newestFirst orders entries by date: whoever keeps the index can list an old
// entry first, but not change its date. Entries without a date keep their
// order, after the others.
func newestFirst(entries []Entry) {
	dates := make(map[Entry]int64, len(entries))
	for _, entry := range entries {
		dates[entry] = -1
		if date, dated := entry.Date(); dated {
			dates[entry] = date.UnixMicro()
		}
	}
	slices.SortStableFunc(entries, func(a, b Entry) int { return cmp.Compare(dates[b], dates[a]) })
}

// A Field is a member of an entry's JSON object. Fields are ordered, since
// their text is signed.
type Field struct {
	Name  string
	Value any // as for json.Marshal
}

// contentText writes fields as Python's json module does (NC-33).
func contentText(fields []Field) (string, error) {
	text := []byte{'{'}
	for i, field := range fields {
		value, err := marshal(field.Value)
		if err != nil {
			return "", fmt.Errorf("metadata %s: %w", field.Name, err)
		}
		if i > 0 {
			text = append(text, ", "...)
		}
		text = append(append(text, quote(field.Name)...), ": "...)
		text = append(text, spaced(value)...)
	}
	return string(append(text, '}')), nil
}

func quote(s string) []byte {
	text, err := marshal(s)
	if err != nil {
		panic(err) // every string has a JSON form
	}
	return spaced(text)
}

func marshal(value any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// spaced inserts Python's blanks into a compact JSON text, and escapes what is
// not ASCII.
func spaced(compact []byte) []byte {
	var text []byte
	inString := false
	for len(compact) > 0 {
		r, size := utf8.DecodeRune(compact)
		if r == '\\' {
			size++ // plus the escaped character
		}
		switch {
		case r < 0x7f:
			text = append(text, compact[:size]...)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			text = fmt.Appendf(text, "\\u%04x\\u%04x", high, low)
		default:
			text = fmt.Appendf(text, "\\u%04x", r)
		}
		if r == '"' {
			inString = !inString
		} else if !inString && (r == ',' || r == ':') {
			text = append(text, ' ')
		}
		compact = compact[size:]
	}
	return text
}

// softwareRoot of the node that built a release.
func (e Entry) softwareRoot() string {
	var about struct {
		SoftwareRoot string `json:"software_root"`
	}
	if json.Unmarshal([]byte(e.Content), &about) != nil {
		return ""
	}
	return about.SoftwareRoot
}
