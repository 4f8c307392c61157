// SPDX-License-Identifier: GPL-3.0-or-later

package xmlrpc

import (
	"bytes"
	"errors"
	"math"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"

	"github.com/ochinchina/supervisord/faults"
	"github.com/ochinchina/supervisord/types"

	"slapos/slap/testkit"
)

func TestRoundTrip(t *testing.T) {
	values := []any{
		true, false, 0, -1, math.MaxInt64, 1.5, "", "plain", " kept ", "a<b>&\"c'\r\n\té", []byte("\x00\xff"),
		[]any{}, []any{[]any{[]any{"a"}, []any{}, []any{}}}, map[string]any{},
		map[string]any{"a": 1, "b&": []any{nil, map[string]any{"": "x"}}},
	}
	for _, value := range values {
		data, err := MarshalResponse(value)
		if err != nil {
			t.Fatal(err)
		}
		got, err := UnmarshalResponse(data)
		if err != nil || !reflect.DeepEqual(got, value) {
			t.Errorf("%#v came back as %#v, %v", value, got, err)
		}
	}
	data, err := MarshalCall("supervisor.startProcess", "group:name", false)
	if err != nil {
		t.Fatal(err)
	}
	method, params, err := UnmarshalCall(data)
	if method != "supervisor.startProcess" || !reflect.DeepEqual(params, []any{"group:name", false}) || err != nil {
		t.Errorf("call came back as %q %#v, %v", method, params, err)
	}
}

func TestEncodeReplacesWhatXMLCannotHold(t *testing.T) {
	data, err := MarshalResponse("\x1b[31mred\x00\xff\ufffe")
	if err != nil {
		t.Fatal(err)
	}
	got, err := UnmarshalResponse(data)
	if want := "\ufffd[31mred\ufffd\ufffd\ufffd"; got != want || err != nil {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if _, err := MarshalResponse(make(chan int)); err == nil {
		t.Error("a channel was written")
	}
}

func TestStructures(t *testing.T) {
	data, err := MarshalResponse([]types.ProcessInfo{{Name: "a", Pid: 3}})
	if err != nil {
		t.Fatal(err)
	}
	value, err := UnmarshalResponse(data)
	if err != nil {
		t.Fatal(err)
	}
	info := value.([]any)[0].(map[string]any)
	if len(info) != 14 || info["name"] != "a" || info["pid"] != 3 || info["spawnerr"] != "" {
		t.Errorf("got %v", info)
	}
}

func TestFault(t *testing.T) {
	want := NewFault(faults.BadName, "slappart0 <x>")
	if want.Text != "BAD_NAME: slappart0 <x>" || NewFault(faults.ShutdownState, "").Text != "SHUTDOWN_STATE" {
		t.Errorf("text %q", want.Text)
	}
	value, err := UnmarshalResponse(MarshalFault(want))
	var got *Fault
	if !errors.As(err, &got) || *got != *want || value != nil {
		t.Errorf("got %v, %v", value, err)
	}
}

func TestDecode(t *testing.T) {
	call := func(value string) string {
		return "<methodCall><methodName> a.b </methodName><params><param><value>" + value +
			"</value></param></params></methodCall>"
	}
	for _, c := range []struct {
		text string
		want any
	}{
		{"bare &amp; text", "bare & text"},
		{"<i4> 7 </i4>", 7},
		{"<i8>-7</i8>", -7},
		{" <string></string> ", ""},
		{"<double>1e3</double>", 1000.},
		{"<nil/>", nil},
		{"<dateTime.iso8601>20261121T01:02:03</dateTime.iso8601>", "20261121T01:02:03"},
		{"<base64>\nAA\nE=</base64>", []byte{0, 1}},
		{"<struct><member><name>a</name><value><int>1</int></value></member></struct>", map[string]any{"a": 1}},
	} {
		method, params, err := UnmarshalCall([]byte(call(c.text)))
		if err != nil || method != "a.b" || len(params) != 1 || !reflect.DeepEqual(params[0], c.want) {
			t.Errorf("%s: got %q %#v, %v", c.text, method, params, err)
		}
	}
	for _, text := range []string{
		"", "x", "<methodCall/>", "<methodResponse/>", "<methodCall><methodName>a</methodName>",
		call("<int>x</int>"), call("<boolean>2</boolean>"), call("<hash/>"), call("<string><b/></string>"),
		call("<int>99999999999999999999</int>"), call("<base64>!</base64>"),
		call(strings.Repeat("<array><data><value>", 100)),
		"<?xml version='1.0' encoding='koi8-r'?>" + call("x"),
	} {
		if method, params, err := UnmarshalCall([]byte(text)); err == nil {
			t.Errorf("%q was read as %q %v", text, method, params)
		}
	}
	if _, params, err := UnmarshalCall([]byte("<methodCall><methodName>a.b</methodName></methodCall>")); params != nil || err != nil {
		t.Errorf("no parameters: %v, %v", params, err)
	}
}

// TestPython has Python's own client library read what this package writes, and
// the reverse. Nesting is limited: deeper values would crash the reader.
func TestDepth(t *testing.T) {
	call := func(depth int) []byte {
		return []byte("<methodCall><methodName>m</methodName><params><param>" + strings.Repeat("<value><array><data>", depth) +
			strings.Repeat("</data></array></value>", depth) + "</param></params></methodCall>")
	}
	for depth, wanted := range map[int]bool{maximumDepth / 2: true, maximumDepth + 1: false, 10000: false} {
		if _, _, err := UnmarshalCall(call(depth)); (err == nil) != wanted {
			t.Errorf("depth %d: %v", depth, err)
		}
	}
}

func TestPython(t *testing.T) {
	python := testkit.Python(t)
	response, err := MarshalResponse([]any{
		true, 5, 1.5, "a<b>&é\n\x1b", []any{[]any{}, map[string]any{"k": "v"}}, []byte{0, 255}})
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(python, "-c", `
import sys, xmlrpc.client as x
(value,), _ = x.loads(sys.stdin.buffer.read(), use_builtin_types=True)
assert value == [True, 5, 1.5, 'a<b>&é\n\ufffd', [[], {'k': 'v'}], b'\0\xff'], value
sys.stdout.write(x.dumps((value, 'é<'), 'a.b', allow_none=True))
`)
	command.Stdin = bytes.NewReader(response)
	command.Stderr = os.Stderr
	call, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	method, params, err := UnmarshalCall(call)
	if err != nil || method != "a.b" || len(params) != 2 || params[1] != "é<" {
		t.Fatalf("%s came back as %q %v, %v", call, method, params, err)
	}
	again, err := MarshalResponse(params[0])
	if err != nil || !bytes.Equal(again, response) {
		t.Errorf("Python gave back %s, %v, want %s", again, err, response)
	}
	command = exec.Command(python, "-c", `
import sys, xmlrpc.client as x
try:
  x.loads(sys.stdin.buffer.read())
except x.Fault as e:
  assert (e.faultCode, e.faultString) == (10, 'BAD_NAME: <a>'), e
else:
  raise SystemExit('no fault')
`)
	command.Stdin = bytes.NewReader(MarshalFault(NewFault(10, "<a>")))
	if out, err := command.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

func FuzzUnmarshalCall(f *testing.F) {
	call, _ := MarshalCall("supervisor.x", "a", 1, true, []any{map[string]any{"k": 1.5}}, []byte("x"))
	f.Add(call)
	f.Add([]byte("<methodCall><methodName>a.b</methodName><params><param><value>x</value></param></params></methodCall>"))
	f.Fuzz(func(t *testing.T, data []byte) {
		method, params, err := UnmarshalCall(data)
		if err != nil {
			return
		}
		again, err := MarshalCall(method, params...)
		if err != nil {
			t.Fatal(err)
		}
		_, second, err := UnmarshalCall(again)
		if err != nil || len(second) != len(params) {
			t.Fatalf("%s came back as %v, %v", again, second, err)
		}
	})
}
