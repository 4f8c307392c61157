// SPDX-License-Identifier: GPL-3.0-or-later

package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
	"time"
)

// A usageElement is an element in a report's schema (GRID-86): its place in a
// sequence, and its content.
type usageElement struct {
	name     string
	least    int            // occurrences
	many     bool           // more than one is allowed
	typed    bool           // has an attribute type, the only attribute there is
	number   bool           // holds a number, else any text
	sequence []usageElement // holds these, in this order; no text
}

var movementElement = usageElement{name: "movement", least: 1, many: true, sequence: []usageElement{
	{name: "resource", least: 1},
	{name: "title"},
	{name: "reference"},
	{name: "quantity", least: 1, number: true},
	{name: "price", least: 1, number: true},
	{name: "VAT", least: 1},
	{name: "category", many: true},
}}

var partitionUsageSchema = usageElement{name: "consumption", sequence: []usageElement{movementElement}}

var computerUsageSchema = usageElement{name: "journal", sequence: []usageElement{
	{name: "transaction", least: 1, many: true, typed: true, sequence: []usageElement{
		{name: "title"},
		{name: "start_date", least: 1},
		{name: "stop_date", least: 1},
		{name: "reference", least: 1},
		{name: "currency", least: 1},
		{name: "payment_mode", least: 1},
		{name: "category", many: true},
		{name: "arrow", least: 1, many: true, typed: true, sequence: []usageElement{{name: "source"}, {name: "destination"}}},
		movementElement,
	}},
}}

// A usageMovement is the consumption of one resource: the fields of a movement
// element, in order.
type usageMovement []usageField

type usageField struct{ name, text string }

// parsePartitionUsage reads the report of a partition. It accepts only what
// the schema of partition reports allows.
func parsePartitionUsage(content []byte) ([]usageMovement, error) {
	reader := newUsageReader(content)
	if err := reader.document(partitionUsageSchema); err != nil {
		return nil, fmt.Errorf("usage report: %w", err)
	}
	return reader.movements, nil
}

// validateComputerUsage checks a report on the whole computer.
func validateComputerUsage(content []byte) error {
	if err := newUsageReader(content).document(computerUsageSchema); err != nil {
		return fmt.Errorf("computer usage report: %w", err)
	}
	return nil
}

// A usageReader walks a document and its schema together. The schema bounds the
// depth, since the reader doesn't enter unknown elements.
type usageReader struct {
	decoder   *xml.Decoder
	movements []usageMovement
}

func newUsageReader(content []byte) *usageReader {
	content = bytes.TrimPrefix(content, []byte("\ufeff"))
	decoder := xml.NewDecoder(bytes.NewReader(content))
	decoder.CharsetReader = usageCharset
	return &usageReader{decoder: decoder}
}

func (r *usageReader) document(schema usageElement) error {
	root, err := r.child(schema.name)
	if err != nil {
		return err
	}
	if root == nil {
		return errors.New("no element")
	}
	if err := schema.accepts(*root); err != nil {
		return err
	}
	if _, err := r.element(schema); err != nil {
		return err
	}
	next, err := r.child(schema.name)
	if err == nil && next != nil {
		err = fmt.Errorf("<%s> after the end", next.Name.Local)
	}
	return err
}

// element reads the content and the end of an element whose start was read.
func (r *usageReader) element(schema usageElement) (text string, err error) {
	if schema.sequence == nil {
		return r.leaf(schema)
	}
	var fields usageMovement
	place, count := 0, 0
	for {
		start, err := r.child(schema.name)
		if err != nil {
			return "", err
		}
		for place < len(schema.sequence) && (start == nil || schema.sequence[place].name != start.Name.Local) {
			if count < schema.sequence[place].least {
				return "", fmt.Errorf("<%s>: <%s> is missing", schema.name, schema.sequence[place].name)
			}
			place, count = place+1, 0
		}
		if start == nil {
			break
		}
		if place == len(schema.sequence) {
			return "", fmt.Errorf("<%s>: <%s> is not allowed here", schema.name, start.Name.Local)
		}
		wanted := schema.sequence[place]
		if count++; count > 1 && !wanted.many {
			return "", fmt.Errorf("<%s>: a second <%s>", schema.name, wanted.name)
		}
		if err := wanted.accepts(*start); err != nil {
			return "", err
		}
		text, err := r.element(wanted)
		if err != nil {
			return "", err
		}
		fields = append(fields, usageField{wanted.name, text})
	}
	if schema.name == movementElement.name {
		r.movements = append(r.movements, fields)
	}
	return "", nil
}

// child returns the start of the next element in a sequence, nil at the end of
// its parent or of the document.
func (r *usageReader) child(above string) (*xml.StartElement, error) {
	for {
		token, err := r.decoder.Token()
		if errors.Is(err, io.EOF) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		switch token := token.(type) {
		case xml.StartElement:
			return &token, nil
		case xml.EndElement:
			return nil, nil
		case xml.CharData:
			if len(bytes.Trim(token, " \t\r\n")) > 0 {
				return nil, fmt.Errorf("text in or beside <%s>", above)
			}
		case xml.Directive:
			return nil, errors.New("document type declarations are not allowed")
		}
	}
}

// leaf reads an element without children.
func (r *usageReader) leaf(schema usageElement) (string, error) {
	var text strings.Builder
	for {
		token, err := r.decoder.Token()
		if err != nil {
			return "", err
		}
		switch token := token.(type) {
		case xml.StartElement:
			return "", fmt.Errorf("<%s>: <%s> is not allowed here", schema.name, token.Name.Local)
		case xml.CharData:
			text.Write(token)
		case xml.Directive:
			return "", errors.New("document type declarations are not allowed")
		case xml.EndElement:
			if schema.number && !isFloat(text.String()) {
				return "", fmt.Errorf("<%s>: %.40q is not a number", schema.name, text.String())
			}
			return text.String(), nil
		}
	}
}

const schemaInstance = "http://www.w3.org/2001/XMLSchema-instance"

// accepts checks the name and the attributes of a start tag.
func (e usageElement) accepts(start xml.StartElement) error {
	if start.Name.Local != e.name || start.Name.Space != "" {
		return fmt.Errorf("<%s> instead of <%s>", strings.TrimPrefix(start.Name.Space+":"+start.Name.Local, ":"), e.name)
	}
	types := 0
	for _, attribute := range start.Attr {
		name := attribute.Name
		switch {
		case name.Space == "xmlns", name.Space == schemaInstance && strings.HasSuffix(strings.ToLower(name.Local), "schemalocation"):
		case name.Space == "" && name.Local == "type" && e.typed:
			types++
		default:
			return fmt.Errorf("<%s>: the attribute %s is not allowed", e.name, name.Local)
		}
	}
	if e.typed && types != 1 {
		return fmt.Errorf("<%s>: one attribute type is required", e.name)
	}
	return nil
}

// floatText is XML Schema's float.
var floatText = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[ \t\r\n]*([+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?|-?INF|NaN)[ \t\r\n]*$`)
})

func isFloat(text string) bool { return floatText().MatchString(text) }

// usageCharset supports the encodings besides UTF-8 in which reports came.
func usageCharset(label string, input io.Reader) (io.Reader, error) {
	switch strings.ToLower(label) {
	case "us-ascii", "ascii":
		return input, nil
	case "iso-8859-1", "latin-1", "latin1":
		content, err := io.ReadAll(input)
		runes := make([]rune, len(content))
		for i, c := range content {
			runes[i] = rune(c)
		}
		return strings.NewReader(string(runes)), err
	}
	return nil, fmt.Errorf("the encoding %.20q is not supported", label)
}

// partitionUsage is one report of a partition.
type partitionUsage struct {
	partition string
	movements []usageMovement
}

var usageEscaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "\r", "&#13;")

// aggregateUsage makes one report of the computer from those of its partitions
// (GRID-85). Each movement's reference becomes its partition.
func aggregateUsage(computer string, reports []partitionUsage, now time.Time) string {
	var text strings.Builder
	text.WriteString(`<?xml version="1.0"?><journal><transaction type="Sale Packing List">` +
		`<title>Resource consumptions</title><start_date></start_date>`)
	fmt.Fprintf(&text, `<stop_date>%s</stop_date><reference>%s</reference>`,
		now.Format("2006-01-02 at 15:04:05"), usageEscaper.Replace(computer))
	text.WriteString(`<currency></currency><payment_mode></payment_mode><category></category>` +
		`<arrow type="Administration"><source></source><destination></destination></arrow>`)
	for _, report := range reports {
		for _, movement := range report.movements {
			text.WriteString("<movement>")
			for _, field := range movement {
				value := field.text
				switch {
				case field.name == "reference":
					value = report.partition
				case value == "":
					value = "None" // as the original sends it
				}
				fmt.Fprintf(&text, "<%s>%s</%s>", field.name, usageEscaper.Replace(value), field.name)
			}
			text.WriteString("</movement>")
		}
	}
	text.WriteString("</transaction></journal>")
	return text.String()
}
