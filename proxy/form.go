// SPDX-License-Identifier: GPL-3.0-or-later

package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"slapos/proxy/store"
	"slapos/slap"
)

// fields are those of a form or of a query string.
type fields url.Values

func (f fields) has(name string) bool { return len(f[name]) > 0 }

func (f fields) get(name string) string {
	if !f.has(name) {
		return ""
	}
	return strings.ToValidUTF8(f[name][0], "\uFFFD")
}

// mandatory reads fields, given as names and places to put them, or refuses
// the request (PROXY-13).
func (f fields) mandatory(namesAndPlaces ...any) error {
	for i := 0; i < len(namesAndPlaces); i += 2 {
		name := namesAndPlaces[i].(string)
		if !f.has(name) {
			return errBad
		}
		*namesAndPlaces[i+1].(*string) = f.get(name)
	}
	return nil
}

// queryOf reads the query string.
func queryOf(r *http.Request) fields { return parseFields(r.URL.RawQuery) }

// parseFields reads what is urlencoded, as the original does: "&" alone ends a
// field, and an escape that is malformed, or no UTF-8, stands for itself.
func parseFields(text string) fields {
	parsed := fields{}
	for field := range strings.SplitSeq(text, "&") {
		if field == "" {
			continue
		}
		name, value, _ := strings.Cut(field, "=")
		name = valid(unescape(name))
		parsed[name] = append(parsed[name], valid(unescape(value)))
	}
	return parsed
}

// valid escapes the bytes that are no UTF-8.
func valid(text string) string {
	if utf8.ValidString(text) {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		if r == utf8.RuneError && size == 1 {
			fmt.Fprintf(&b, "%%%02X", text[i])
		} else {
			b.WriteString(text[i : i+size])
		}
		i += size
	}
	return b.String()
}

func unescape(text string) string {
	if plain, err := url.QueryUnescape(text); err == nil {
		return plain
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if i+2 < len(text) && text[i] == '%' && isHex(text[i+1]) && isHex(text[i+2]) {
			plain, _ := url.QueryUnescape(text[i : i+3])
			b.WriteString(plain)
			i += 2
			continue
		}
		if text[i] == '+' {
			b.WriteByte(' ')
		} else {
			b.WriteByte(text[i])
		}
	}
	return b.String()
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// maximumFields bounds those of a form, which take more memory than its text.
const maximumFields = 1000

// formOf reads the body, urlencoded or multipart (PROXY-13).
func formOf(r *http.Request) (fields, error) {
	if form, read := formRead(r); read {
		return form, nil
	}
	switch kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind {
	case "application/x-www-form-urlencoded":
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		if bytes.Count(body, []byte("&")) >= maximumFields {
			return nil, errBody
		}
		return parseFields(string(body)), nil
	case "multipart/form-data":
		err := r.ParseMultipartForm(DefaultMaximumBody)
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return nil, err
		}
		if err != nil {
			return nil, errBad
		}
		defer func() { _ = r.MultipartForm.RemoveAll() }()
		return fields(r.MultipartForm.Value), nil
	}
	return fields{}, nil
}

// mandatory reads fields of the body.
func mandatory(r *http.Request, namesAndPlaces ...any) error {
	form, err := formOf(r)
	if err != nil {
		return err
	}
	return form.mandatory(namesAndPlaces...)
}

// authorization reads the partition that a request is made for, nil without one
// (PROXY-14). A separate header with a token may come before it.
func authorization(r *http.Request) *slap.PartitionID {
	for _, header := range r.Header.Values("Authorization") {
		header = strings.TrimSpace(header)
		end := strings.IndexAny(header, " \t")
		if end >= 0 && strings.EqualFold(header[:end], "X-SlapPartition") {
			return partitionOf(header[end:])
		}
	}
	return nil
}

func partitionOf(items string) *slap.PartitionID {
	var id slap.PartitionID
	given := false
	for item := range strings.SplitSeq(items, ",") {
		key, value, _ := strings.Cut(item, "=")
		switch value = strings.TrimSpace(value); strings.TrimSpace(key) {
		case "computer_id":
			id.Computer, given = value, true
		case "computer_partition_id":
			id.Partition = value
		}
	}
	if !given {
		return nil
	}
	return &id
}

// orderOf reads a request for an instance (PROXY-60).
func orderOf(r *http.Request) (store.Order, error) {
	var order store.Order
	form, err := formOf(r)
	if err != nil {
		return order, err
	}
	var unused string
	if err := form.mandatory("software_release", &unused, "software_type", &unused,
		"partition_reference", &unused, "state", &unused); err != nil {
		return order, err
	}
	values := url.Values{}
	for name := range form {
		values.Set(name, form.get(name))
	}
	shared := false
	if text := values.Get("shared_xml"); text != "" {
		value, err := slap.Unmarshal([]byte(text))
		if err != nil {
			return order, err
		}
		shared = truthy(value)
		values.Del("shared_xml")
	}
	if order.Request, err = slap.ParseRequest(values); err != nil {
		return order, err
	}
	order.Shared = shared
	order.Authorized = authorization(r)
	return order, nil
}

// truthy is Python's idea of truth, for the values that come unmarshalled.
func truthy(value any) bool {
	switch v := value.(type) {
	case nil:
		return false
	case bool:
		return v
	case int:
		return v != 0
	case float64:
		return v != 0
	case string:
		return v != ""
	case slap.Dict:
		return len(v) > 0
	case []any:
		return len(v) > 0
	case slap.Tuple:
		return len(v) > 0
	}
	return true
}
