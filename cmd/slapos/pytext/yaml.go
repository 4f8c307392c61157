// SPDX-License-Identifier: GPL-3.0-or-later

package pytext

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"

	"slapos/slap/pyjson"
)

// DecodeYAML reads one document with the meaning that YAML 1.1 gives to plain
// words, as PyYAML does: yes and on are true, 010 is eight, 1:30 is ninety. The
// values are those of [DecodeJSON].
func DecodeYAML(data []byte) (any, error) {
	d := yaml.NewDecoder(bytes.NewReader(data))
	var document, second yaml.Node
	switch err := d.Decode(&document); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, err
	}
	if err := d.Decode(&second); !errors.Is(err, io.EOF) {
		return nil, errors.New("yaml: more than one document")
	}
	r := yamlReader{budget: yamlNodes}
	return r.value(&document, 0)
}

// Aliases multiply what a small file holds.
const (
	yamlNodes = 1 << 16 // that aliases stand for
	yamlDepth = 500
)

type yamlReader struct {
	budget int // nodes that aliases may still stand for
	within int // aliases that the present node is in
}

func (r *yamlReader) value(n *yaml.Node, depth int) (any, error) {
	if r.within > 0 {
		r.budget--
	}
	if r.budget < 0 || depth > yamlDepth {
		return nil, fmt.Errorf("yaml: line %d: too much or too deep", n.Line)
	}
	switch n.Kind {
	case yaml.SequenceNode, yaml.MappingNode:
		if n.Tag != "!!seq" && n.Tag != "!!map" {
			return nil, fmt.Errorf("yaml: line %d: %s can't be a parameter", n.Line, n.Tag)
		}
	}
	switch n.Kind {
	case yaml.DocumentNode:
		return r.value(n.Content[0], depth)
	case yaml.AliasNode:
		r.within++
		defer func() { r.within-- }()
		return r.value(n.Alias, depth+1)
	case yaml.SequenceNode:
		list := []any{}
		for _, item := range n.Content {
			value, err := r.value(item, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, value)
		}
		return list, nil
	case yaml.MappingNode:
		return r.mapping(n, depth)
	}
	return scalar(n)
}

func (r *yamlReader) mapping(n *yaml.Node, depth int) (any, error) {
	o := pyjson.Builder{Object: Object{}}
	for i := 0; i+1 < len(n.Content); i += 2 { // what is merged comes first
		if n.Content[i].Tag == "!!merge" {
			if err := r.merge(&o, n.Content[i+1], depth+1); err != nil {
				return nil, err
			}
		}
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Tag == "!!merge" {
			continue
		}
		key, err := r.key(n.Content[i], depth+1)
		if err != nil {
			return nil, err
		}
		value, err := r.value(n.Content[i+1], depth+1)
		if err != nil {
			return nil, err
		}
		o.Set(key, value)
	}
	return &o.Object, nil
}

// merge adds the keys of a mapping, or of several of which the first wins, in
// the order in which they are written, as PyYAML does since 6.0.4. Earlier
// versions differ in the order; in 6.0.4 itself the length of the key decides
// which mapping wins.
func (r *yamlReader) merge(o *pyjson.Builder, n *yaml.Node, depth int) error {
	value, err := r.value(n, depth)
	if err != nil {
		return err
	}
	sources, several := value.([]any)
	if !several {
		sources = []any{value}
	}
	var merged pyjson.Builder
	for _, source := range sources {
		source, ok := source.(*Object)
		if !ok {
			return fmt.Errorf("yaml: line %d: << must refer to a mapping", n.Line)
		}
		for _, member := range *source {
			if !merged.Has(member.Key) {
				merged.Set(member.Key, member.Value)
				o.Set(member.Key, member.Value)
			}
		}
	}
	return nil
}

// key is the text that Python's json module makes of a key.
func (r *yamlReader) key(n *yaml.Node, depth int) (string, error) {
	value, err := r.value(n, depth)
	if err != nil {
		return "", err
	}
	switch value := value.(type) {
	case string:
		return value, nil
	case *Object, []any:
		return "", fmt.Errorf("yaml: line %d: a key must be text", n.Line)
	default:
		return EncodeJSON(value), nil
	}
}

// The forms of plain words in YAML 1.1, as PyYAML knows them.
var yamlForms = sync.OnceValue(func() map[string]*regexp.Regexp {
	forms := map[string]*regexp.Regexp{}
	for name, pattern := range map[string]string{
		"bool": `yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF`,
		"null": `~|null|Null|NULL|`,
		"int":  `[-+]?0b[01_]+|[-+]?0[0-7_]+|[-+]?(?:0|[1-9][0-9_]*)|[-+]?0x[0-9a-fA-F_]+|[-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+`,
		"float": `[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?|` +
			`[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)`,
		"timestamp": `\d{4}-\d\d-\d\d|\d{4}-\d\d?-\d\d?(?:[Tt]|[ \t]+)\d\d?:\d\d:\d\d(?:\.\d*)?(?:[ \t]*(?:Z|[-+]\d\d?(?::\d\d)?))?`,
	} {
		forms[name] = regexp.MustCompile(`^(?:` + pattern + `)$`)
	}
	return forms
})

func scalar(n *yaml.Node) (any, error) {
	text := n.Value
	form := strings.TrimPrefix(n.Tag, "!!")
	if n.Style&yaml.TaggedStyle == 0 {
		if form = "str"; n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0 {
			form = plainForm(text)
		}
	}
	switch form {
	case "str":
		return text, nil
	case "null":
		return nil, nil
	case "bool":
		return strings.Contains(" yes true on ", " "+strings.ToLower(text)+" "), nil
	case "int":
		if value := yamlInteger(text); value != nil {
			return value, nil
		}
	case "float":
		if value, ok := yamlFloat(text); ok {
			return value, nil
		}
	case "timestamp":
		return nil, fmt.Errorf("yaml: line %d: %s is a date, which parameters can't hold: quote it", n.Line, text)
	}
	return nil, fmt.Errorf("yaml: line %d: %s is not a valid %s", n.Line, Shortened(text), n.Tag)
}

func plainForm(text string) string {
	for _, form := range []string{"bool", "int", "float", "null", "timestamp"} {
		if yamlForms()[form].MatchString(text) {
			return form
		}
	}
	return "str"
}

func yamlInteger(text string) any {
	text = strings.ReplaceAll(text, "_", "")
	digits, negative := unsigned(text)
	value := new(big.Int)
	switch {
	case strings.Contains(digits, ":"):
		for _, part := range strings.Split(digits, ":") {
			n, err := strconv.Atoi(part)
			if err != nil {
				return nil
			}
			value.Add(value.Mul(value, big.NewInt(60)), big.NewInt(int64(n)))
		}
	case digits != "":
		base := 10
		if len(digits) > 1 && digits[0] == '0' {
			base = 0 // 0x, 0b, and octal
		}
		if _, ok := value.SetString(digits, base); !ok {
			return nil
		}
	default:
		return nil
	}
	if negative {
		value.Neg(value)
	}
	if value.IsInt64() {
		return value.Int64()
	}
	return value
}

func yamlFloat(text string) (float64, bool) {
	text = strings.ToLower(strings.ReplaceAll(text, "_", ""))
	digits, negative := unsigned(text)
	value := 0.0
	switch digits {
	case ".inf":
		value = math.Inf(1)
	case ".nan":
		value = math.NaN()
	default:
		for _, part := range strings.Split(digits, ":") {
			f, err := strconv.ParseFloat(part, 64)
			if err != nil && !errors.Is(err, strconv.ErrRange) {
				return 0, false
			}
			value = value*60 + f
		}
	}
	if negative {
		value = -value
	}
	return value, true
}

func unsigned(text string) (digits string, negative bool) {
	if text != "" && (text[0] == '-' || text[0] == '+') {
		return text[1:], text[0] == '-'
	}
	return text, false
}
