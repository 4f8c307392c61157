// SPDX-License-Identifier: GPL-3.0-or-later

package xmlrpc

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// maximumDepth bounds how deep arrays and structures may be nested.
const maximumDepth = 64

// decoder walks over the elements of one message.
type decoder struct {
	*xml.Decoder
	depth int
}

func newDecoder(data []byte) *decoder {
	d := &decoder{Decoder: xml.NewDecoder(bytes.NewReader(data))}
	d.CharsetReader = func(charset string, input io.Reader) (io.Reader, error) {
		if strings.EqualFold(charset, "us-ascii") {
			return input, nil
		}
		return nil, fmt.Errorf("character set %q is not supported: send UTF-8", charset)
	}
	return d
}

// UnmarshalCall reads a request. A call without <params> has no parameters.
func UnmarshalCall(data []byte) (method string, params []any, err error) {
	d := newDecoder(data)
	if err := d.open("methodCall"); err != nil {
		return "", nil, err
	}
	err = d.children(func(name string) error {
		switch name {
		case "methodName":
			text, err := d.text()
			method = strings.TrimSpace(text)
			return err
		case "params":
			params, err = d.params()
			return err
		}
		return d.Skip()
	})
	if err == nil && method == "" {
		err = errors.New("the call names no method")
	}
	return method, params, err
}

// UnmarshalResponse reads an answer. It returns an error answer as *Fault.
func UnmarshalResponse(data []byte) (value any, err error) {
	d := newDecoder(data)
	if err := d.open("methodResponse"); err != nil {
		return nil, err
	}
	err = d.children(func(name string) error {
		switch name {
		case "params":
			params, err := d.params()
			if err == nil && len(params) != 1 {
				err = fmt.Errorf("an answer has one value, this one has %d", len(params))
			}
			if err == nil {
				value = params[0]
			}
			return err
		case "fault":
			return d.fault()
		}
		return d.Skip()
	})
	return value, err
}

func (d *decoder) fault() error {
	var fault *Fault
	err := d.children(func(name string) error {
		if name != "value" {
			return d.Skip()
		}
		value, err := d.value()
		if err != nil {
			return err
		}
		members, _ := value.(map[string]any)
		code, _ := members["faultCode"].(int)
		text, _ := members["faultString"].(string)
		fault = &Fault{Code: code, Text: text}
		return nil
	})
	if err == nil && fault == nil {
		err = errors.New("the fault has no value")
	}
	if err != nil {
		return err
	}
	return fault
}

func (d *decoder) params() (params []any, err error) {
	err = d.children(func(name string) error {
		if name != "param" {
			return d.Skip()
		}
		return d.children(func(name string) error {
			if name != "value" {
				return d.Skip()
			}
			value, err := d.value()
			params = append(params, value)
			return err
		})
	})
	return params, err
}

// value reads the inside of <value>: bare text is a string, an element gives the type.
func (d *decoder) value() (value any, err error) {
	if d.depth++; d.depth > maximumDepth {
		return nil, fmt.Errorf("values are nested deeper than %d", maximumDepth)
	}
	defer func() { d.depth-- }()
	var text strings.Builder
	typed := false
	for {
		token, err := d.Token()
		if err != nil {
			return nil, err
		}
		switch token := token.(type) {
		case xml.CharData:
			text.Write(token)
		case xml.StartElement:
			typed = true
			if value, err = d.typed(token.Name.Local); err != nil {
				return nil, err
			}
		case xml.EndElement:
			if typed {
				return value, nil
			}
			return text.String(), nil
		}
	}
}

func (d *decoder) typed(name string) (any, error) {
	switch name {
	case "array":
		return d.array()
	case "struct":
		return d.structure()
	case "nil":
		return nil, d.Skip()
	}
	text, err := d.text()
	if err != nil {
		return nil, err
	}
	word := strings.TrimSpace(text)
	switch name {
	case "string", "dateTime.iso8601":
		return text, nil
	case "int", "i1", "i2", "i4", "i8":
		return strconv.Atoi(word)
	case "boolean":
		if word != "0" && word != "1" {
			return nil, fmt.Errorf("%q is no boolean", word)
		}
		return word == "1", nil
	case "double":
		return strconv.ParseFloat(word, 64)
	case "base64":
		return base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	}
	return nil, fmt.Errorf("unknown type %q", name)
}

func (d *decoder) array() (any, error) {
	values := []any{}
	err := d.children(func(name string) error {
		if name != "data" {
			return d.Skip()
		}
		return d.children(func(name string) error {
			if name != "value" {
				return d.Skip()
			}
			value, err := d.value()
			values = append(values, value)
			return err
		})
	})
	return values, err
}

func (d *decoder) structure() (any, error) {
	members := map[string]any{}
	err := d.children(func(name string) error {
		if name != "member" {
			return d.Skip()
		}
		var key string
		var value any
		err := d.children(func(name string) (err error) {
			switch name {
			case "name":
				key, err = d.text()
			case "value":
				value, err = d.value()
			default:
				err = d.Skip()
			}
			return err
		})
		members[key] = value
		return err
	})
	return members, err
}

// open finds the message's root element.
func (d *decoder) open(name string) error {
	for {
		token, err := d.Token()
		if err == io.EOF {
			return errors.New("the message is empty")
		} else if err != nil {
			return err
		}
		if start, ok := token.(xml.StartElement); ok {
			if start.Name.Local != name {
				return fmt.Errorf("the message is <%s>, not <%s>", start.Name.Local, name)
			}
			return nil
		}
	}
}

// children calls visit for each child of the current element, up to its end;
// visit reads the child to its own end.
func (d *decoder) children(visit func(name string) error) error {
	for {
		token, err := d.Token()
		if err != nil {
			return err
		}
		switch token := token.(type) {
		case xml.StartElement:
			if err := visit(token.Name.Local); err != nil {
				return err
			}
		case xml.EndElement:
			return nil
		}
	}
}

// text reads the characters up to the end of the current element.
func (d *decoder) text() (string, error) {
	var text strings.Builder
	for {
		token, err := d.Token()
		if err != nil {
			return "", err
		}
		switch token := token.(type) {
		case xml.CharData:
			text.Write(token)
		case xml.StartElement:
			return "", fmt.Errorf("unexpected element <%s> inside a text", token.Name.Local)
		case xml.EndElement:
			return text.String(), nil
		}
	}
}
