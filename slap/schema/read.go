// SPDX-License-Identifier: GPL-3.0-or-later

package schema

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"slapos/slap/pyjson"
)

const (
	maximumSize  = 4 << 20  // bytes
	maximumTotal = 16 << 20 // bytes, of all documents
)

// patience limits how long one document may take, maximumReading all of a schema.
const (
	patience       = time.Minute
	maximumReading = 2 * time.Minute
)

// loader reads the documents to which a schema refers.
type loader struct {
	ctx context.Context
	// remote means that the schema came over the network: it may not read files
	// of this machine.
	remote    bool
	reach     *reach
	documents map[string][]byte
	size      int
	values    int
	pointers  int
}

func (l *loader) Load(location string) (any, error) {
	if l.remote && !isRemote(location) {
		return nil, errors.New("a schema of the network can't refer to a file of this machine")
	}
	if len(l.documents) >= maximumDocuments {
		return nil, tooMuch{fmt.Errorf("the schema has more than %d documents", maximumDocuments)}
	}
	data, err := l.reach.read(l.ctx, location, patience)
	if err != nil {
		return nil, err
	}
	if l.size += len(data); l.size > maximumTotal {
		return nil, tooMuch{fmt.Errorf("the schema has more than %d bytes", maximumTotal)}
	}
	if err := pyjson.Bounded(data); err != nil {
		return nil, err
	}
	// The library takes quadratic time in their number.
	if l.values += bytes.Count(data, []byte(":")) + bytes.Count(data, []byte(",")); l.values > maximumValues {
		return nil, tooMuch{fmt.Errorf("the schema has more than %d values", maximumValues)}
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	if l.pointers += pointersIn(document, len(location)); l.pointers > maximumPointers {
		return nil, tooMuch{errors.New("the names of the schema's members are too long")}
	}
	l.documents[location] = data
	return document, nil
}

// pointersIn returns the total length of the pointers to all values of a
// document: the library writes each several times.
func pointersIn(value any, length int) int {
	sum := length
	switch value := value.(type) {
	case map[string]any:
		for name, member := range value {
			sum += pointersIn(member, length+1+len(name))
		}
	case []any:
		for _, item := range value {
			sum += pointersIn(item, length+6)
		}
	}
	return sum
}

func isRemote(location string) bool {
	return strings.HasPrefix(location, "http://") || strings.HasPrefix(location, "https://")
}

// read reads an http or https address, a file: URL, or a path.
func (r *reach) read(ctx context.Context, location string, patience time.Duration) ([]byte, error) {
	if !isRemote(location) {
		return readFile(location)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, location, nil)
	if err != nil {
		return nil, err
	}
	response, err := r.client().Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK:
		return bounded(location, response.Body)
	case http.StatusNotFound:
		return nil, fs.ErrNotExist
	}
	return nil, errors.New(response.Status)
}

func readFile(location string) ([]byte, error) {
	path := location
	if u, err := url.Parse(location); err == nil && u.Scheme == "file" {
		path = u.Path
	}
	// Other files than plain ones may never end, or never begin.
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a plain file", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return bounded(location, file)
}

func bounded(location string, r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maximumSize+1))
	if len(data) > maximumSize {
		return nil, fmt.Errorf("%s is larger than %d bytes", location, maximumSize)
	}
	return data, err
}

// join resolves a reference in the document at base.
func join(base, reference string) string {
	b, err := url.Parse(base)
	r, err2 := url.Parse(reference)
	switch {
	case err2 == nil && r.IsAbs(), filepath.IsAbs(reference) && (err != nil || b.Scheme == ""):
		return reference
	case err == nil && err2 == nil && b.Scheme != "":
		return b.ResolveReference(r).String()
	}
	return filepath.Join(filepath.Dir(base), reference)
}
