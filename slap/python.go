// SPDX-License-Identifier: GPL-3.0-or-later

package slap

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"math/big"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// maxPythonText bounds what PythonString and PythonRepr write. References to
// shared lists could otherwise make it grow exponentially.
const maxPythonText = 16 << 20

// PythonString returns Python's str() of a value. Keys of dictionaries are
// sorted, since Go's have no order. Text longer than 16 MiB is cut and ends
// with "...".
func PythonString(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case State:
		return string(v)
	case []byte:
		return string(v)
	}
	return PythonRepr(v)
}

// PythonRepr returns Python's repr() of a value, with the limits of
// [PythonString].
func PythonRepr(v any) string {
	w := reprWriter{limit: maxPythonText}
	w.value(v)
	return string(w.out)
}

// IsPythonSpace is Python's str.isspace.
func IsPythonSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }

// PythonStrip is Python's str.strip.
func PythonStrip(text string) string { return strings.TrimFunc(text, IsPythonSpace) }

// PythonLines is Python's str.splitlines(True): lines with their ends.
func PythonLines(text string) []string {
	var lines []string
	begin := 0
	for i, r := range text {
		if !strings.ContainsRune("\n\r\v\f\x1c\x1d\x1e\u0085\u2028\u2029", r) || r == utf8.RuneError {
			continue
		}
		end := i + utf8.RuneLen(r)
		if r == '\r' && strings.HasPrefix(text[end:], "\n") {
			continue
		}
		lines = append(lines, text[begin:end])
		begin = end
	}
	if begin < len(text) {
		lines = append(lines, text[begin:])
	}
	return lines
}

type reprWriter struct {
	out   []byte
	open  []identity // the containers being written, outermost first
	limit int
}

func (w *reprWriter) value(v any) {
	if len(w.out) > w.limit {
		return
	}
	switch v := v.(type) {
	case nil:
		w.out = append(w.out, "None"...)
	case bool:
		if v {
			w.out = append(w.out, "True"...)
		} else {
			w.out = append(w.out, "False"...)
		}
	case string:
		w.out = appendStringRepr(w.out, v)
	case State:
		w.out = appendStringRepr(w.out, string(v))
	case []byte:
		w.out = appendStringRepr(w.out, string(v))
	case float64:
		w.out = appendFloat(w.out, v)
	case complex128:
		w.out = appendComplex(w.out, v)
	case Tuple:
		if len(v) == 1 {
			w.sequence(v, v, "(", ",)", "(...)")
		} else {
			w.sequence(v, v, "(", ")", "(...)")
		}
	case []any:
		w.sequence(v, v, "[", "]", "[...]")
	case *List:
		w.sequence(v, v.Items, "[", "]", "[...]")
	case []string:
		w.sequence(v, anySlice(v), "[", "]", "[...]")
	case Set:
		if len(v) == 0 {
			w.out = append(w.out, "set()"...)
		} else {
			w.sequence(v, v, "{", "}", "{...}")
		}
	case Dict:
		w.dict(v, sortedKeys(v), func(key any) any { return v[key.(string)] })
	case map[string]string:
		w.dict(v, sortedKeys(v), func(key any) any { return v[key.(string)] })
	case *Map:
		w.dict(v, v.sortedKeys(), func(key any) any { value, _ := v.Get(key); return value })
	default:
		if n := toBig(v); n != nil {
			w.out = n.Append(w.out, 10)
			return
		}
		if n, ok := v.(json.Number); ok {
			f, _ := n.Float64() // out of range: an infinity, as in Python
			w.out = appendFloat(w.out, f)
			return
		}
		w.out = fmt.Appendf(w.out, "<%s>", strings.TrimPrefix(fmt.Sprintf("%T", v), "*"))
	}
}

// sequence writes items between open and end, or again if the container is
// already being written.
func (w *reprWriter) sequence(container any, items []any, open, end, again string) {
	if !w.enter(container, again) {
		return
	}
	w.out = append(w.out, open...)
	for i, item := range items {
		if i > 0 {
			w.out = append(w.out, ", "...)
		}
		w.value(item)
		if len(w.out) > w.limit {
			w.out = append(w.out[:w.limit], "..."...)
			break
		}
	}
	w.out = append(w.out, end...)
	w.open = w.open[:len(w.open)-1]
}

func (w *reprWriter) dict(container any, keys []any, get func(any) any) {
	if !w.enter(container, "{...}") {
		return
	}
	w.out = append(w.out, '{')
	for i, key := range keys {
		if i > 0 {
			w.out = append(w.out, ", "...)
		}
		w.value(key)
		w.out = append(w.out, ": "...)
		w.value(get(key))
		if len(w.out) > w.limit {
			w.out = append(w.out[:w.limit], "..."...)
			break
		}
	}
	w.out = append(w.out, '}')
	w.open = w.open[:len(w.open)-1]
}

func (w *reprWriter) enter(container any, again string) bool {
	id := identityOf(container)
	if id != (identity{}) && slices.Contains(w.open, id) || len(w.open) >= MaxDepth {
		w.out = append(w.out, again...)
		return false
	}
	w.open = append(w.open, id)
	return true
}

// appendFloat writes the shortest digits that represent f, in Python's form
// (SLAP-13).
func appendFloat(b []byte, f float64) []byte {
	switch {
	case math.IsNaN(f):
		return append(b, "nan"...)
	case math.IsInf(f, 1):
		return append(b, "inf"...)
	case math.IsInf(f, -1):
		return append(b, "-inf"...)
	}
	if a := math.Abs(f); f != 0 && (a < 1e-4 || a >= 1e16) {
		return strconv.AppendFloat(b, f, 'e', -1, 64)
	}
	start := len(b)
	b = strconv.AppendFloat(b, f, 'f', -1, 64)
	if !slices.Contains(b[start:], '.') {
		b = append(b, ".0"...)
	}
	return b
}

func appendComplex(b []byte, c complex128) []byte {
	re, im := real(c), imag(c)
	if re == 0 && !math.Signbit(re) {
		return append(appendComplexPart(b, im), 'j')
	}
	b = append(b, '(')
	b = appendComplexPart(b, re)
	if !math.Signbit(im) || math.IsNaN(im) {
		b = append(b, '+')
	}
	return append(appendComplexPart(b, im), "j)"...)
}

func appendComplexPart(b []byte, f float64) []byte {
	start := len(b)
	b = appendFloat(b, f)
	if rest, ok := strings.CutSuffix(string(b[start:]), ".0"); ok {
		return append(b[:start], rest...)
	}
	return b
}

// appendStringRepr quotes as Python does: with single quotes unless the text
// has some and no double ones, and with escapes for what cannot be printed.
func appendStringRepr(b []byte, s string) []byte {
	quote := byte('\'')
	if strings.IndexByte(s, '\'') >= 0 && strings.IndexByte(s, '"') < 0 {
		quote = '"'
	}
	b = append(b, quote)
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == rune(quote) || r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\n':
			b = append(b, `\n`...)
		case r == '\r':
			b = append(b, `\r`...)
		case r == '\t':
			b = append(b, `\t`...)
		case r == utf8.RuneError && size == 1:
			b = fmt.Appendf(b, `\udc%02x`, s[i]) // Python's surrogateescape
		case unicode.IsPrint(r):
			b = append(b, s[i:i+size]...)
		case r < 0x100:
			b = fmt.Appendf(b, `\x%02x`, r)
		case r < 0x10000:
			b = fmt.Appendf(b, `\u%04x`, r)
		default:
			b = fmt.Appendf(b, `\U%08x`, r)
		}
		i += size
	}
	return append(b, quote)
}

// AppendPythonJSON appends a text as Python's json.dumps writes it: in double
// quotes and ASCII only. Bytes that aren't UTF-8 become the lone surrogates of
// Python's surrogateescape.
func AppendPythonJSON(out []byte, text string) []byte {
	out = append(out, '"')
	for i := 0; i < len(text); {
		start := i
		for i < len(text) && text[i] >= ' ' && text[i] <= '~' && text[i] != '"' && text[i] != '\\' {
			i++
		}
		if out = append(out, text[start:i]...); i == len(text) {
			break
		}
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == '"' || r == '\\':
			out = append(out, '\\', byte(r))
		case r >= '\b' && r <= '\r' && r != '\v':
			out = append(out, '\\', "btn-fr"[r-'\b'])
		case r == utf8.RuneError && size == 1:
			out = fmt.Appendf(out, `\udc%02x`, text[i])
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		i += size
	}
	return append(out, '"')
}

// PythonLevelName returns Python's name of a log level. Any level above
// [slog.LevelError] is CRITICAL.
func PythonLevelName(level slog.Level) string {
	switch {
	case level > slog.LevelError:
		return "CRITICAL"
	case level >= slog.LevelError:
		return "ERROR"
	case level >= slog.LevelWarn:
		return "WARNING"
	case level >= slog.LevelInfo:
		return "INFO"
	}
	return "DEBUG"
}

// identity distinguishes containers as Python's id() does. The zero identity
// belongs to values without one: scalars and empty slices. The pointer keeps
// the container from being freed and its address from being reused.
type identity struct {
	pointer unsafe.Pointer
	length  int
}

// identityOf returns the identity of a list, dictionary, set or entity.
func identityOf(v any) identity {
	switch v := v.(type) {
	case []any:
		return sliceIdentity(v)
	case Tuple:
		return sliceIdentity(v)
	case Set:
		return sliceIdentity(v)
	case []string:
		return sliceIdentity(v)
	case Dict, map[string]string, *List, *Map, *Computer, *Partition, *SoftwareRelease, *Instance:
		return identity{pointer: reflect.ValueOf(v).UnsafePointer(), length: -1}
	}
	return identity{}
}

func sliceIdentity[T any](s []T) identity {
	if len(s) == 0 {
		return identity{}
	}
	return identity{pointer: unsafe.Pointer(unsafe.SliceData(s)), length: len(s)}
}

// sortedKeys returns the keys in code point order.
func sortedKeys[V any](m map[string]V) []any {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return anySlice(names)
}

func anySlice(texts []string) []any {
	list := make([]any, len(texts))
	for i, s := range texts {
		list[i] = s
	}
	return list
}

// sortedKeys returns the keys in the order of SLAP-14.
func (m *Map) sortedKeys() []any {
	keys := slices.Clone(m.keys)
	slices.SortStableFunc(keys, func(a, b any) int {
		if c, ok := pythonCompare(a, b); ok {
			return c
		}
		return strings.Compare(PythonRepr(a), PythonRepr(b))
	})
	return keys
}

// pythonCompare orders two keys as Python's < and > do; ok is false if Python
// raises TypeError.
func pythonCompare(a, b any) (order int, ok bool) {
	if s, isText := a.(string); isText {
		t, isText := b.(string)
		return strings.Compare(s, t), isText
	}
	if s, isTuple := a.(Tuple); isTuple {
		t, isTuple := b.(Tuple)
		if !isTuple {
			return 0, false
		}
		return compareTuples(s, t)
	}
	x, okX := toNumber(a)
	y, okY := toNumber(b)
	if !okX || !okY {
		return 0, false
	}
	if x == nil || y == nil { // NaN is neither before nor after anything
		return 0, true
	}
	return x.Cmp(y), true
}

// compareTuples compares the first pair of items that differ.
func compareTuples(s, t Tuple) (order int, ok bool) {
	for i := range min(len(s), len(t)) {
		x, errX := hashKey(s[i])
		y, errY := hashKey(t[i])
		if errX == nil && errY == nil && x == y {
			continue
		}
		return pythonCompare(s[i], t[i])
	}
	return len(s) - len(t), true
}

// toNumber returns the exact value of an integer, bool or float; nil for NaN.
func toNumber(v any) (*big.Float, bool) {
	switch v := v.(type) {
	case bool:
		if v {
			return big.NewFloat(1), true
		}
		return big.NewFloat(0), true
	case float64:
		if math.IsNaN(v) {
			return nil, true
		}
		return big.NewFloat(v), true
	}
	if n := toBig(v); n != nil {
		return new(big.Float).SetPrec(uint(max(n.BitLen(), 64))).SetInt(n), true
	}
	return nil, false
}
