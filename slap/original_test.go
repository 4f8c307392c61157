// SPDX-License-Identifier: GPL-3.0-or-later

package slap

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"slapos/slap/testkit"
)

var differential = flag.Int("differential", 1500, "number of random values compared with the original's codec")

type original struct {
	Marshal    string
	Repr       *string
	Instance   *string
	Parameters Dict
	Error      string
}

// askOriginal runs peer.py and reads its answers.
func askOriginal(t *testing.T, input []byte, args ...string) []original {
	t.Helper()
	cmd := exec.Command(testkit.Python(t), append([]string{"testdata/peer.py"}, args...)...)
	cmd.Stdin = bytes.NewReader(input)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("original: %v", err)
	}
	var answers []original
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var a original
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
			t.Fatalf("original said %q: %v", lines.Text(), err)
		}
		answers = append(answers, a)
	}
	return answers
}

// TestOriginal reads what the original writes for random values and writes it
// again, byte for byte the same; and it has the original read what we write.
func TestOriginal(t *testing.T) {
	answers := askOriginal(t, nil, "generate", "1", strconv.Itoa(*differential))
	if len(answers) != *differential {
		t.Fatalf("%d values of %d", len(answers), *differential)
	}
	var echo bytes.Buffer
	var ours []string
	for _, a := range answers {
		v, err := Unmarshal([]byte(a.Marshal))
		if err != nil {
			t.Fatalf("%v\n%s", err, a.Marshal)
		}
		again, err := Marshal(v)
		if err != nil || string(again) != a.Marshal {
			t.Errorf("marshal: %v\n got %s\nwant %s", err, again, a.Marshal)
		}
		if a.Repr != nil && PythonRepr(v) != *a.Repr {
			t.Errorf("repr of %s\n got %s\nwant %s", a.Marshal, PythonRepr(v), *a.Repr)
		}
		if a.Instance != nil {
			compareInstance(t, v.(Dict), a)
		}
		line, _ := json.Marshal(string(again))
		echo.Write(append(line, '\n'))
		ours = append(ours, string(again))
	}
	for i, a := range askOriginal(t, echo.Bytes(), "echo") {
		if a.Marshal != ours[i] {
			t.Errorf("the original reads\n%s as\n%s %s", ours[i], a.Marshal, a.Error)
		}
	}
}

func compareInstance(t *testing.T, d Dict, a original) {
	t.Helper()
	xml, err := EncodeInstance(d)
	if err != nil || string(xml) != *a.Instance {
		t.Errorf("instance: %v\n got %s\nwant %s", err, xml, *a.Instance)
	}
	back, err := DecodeInstance([]byte(*a.Instance))
	if err != nil || !reflect.DeepEqual(back, a.Parameters) {
		t.Errorf("parameters: %v\n got %v\nwant %v", err, back, a.Parameters)
	}
}

// jsonTexts writes texts with json.dumps. It gets their bytes in hexadecimal.
const jsonTexts = `
import json, sys
for line in sys.stdin:
    print(json.dumps(bytes.fromhex(line).decode('utf-8', 'surrogateescape')))
`

func TestAppendPythonJSON(t *testing.T) {
	texts := []string{"", "plain", `a"b\c/'`, "\x7f\u0080\u009f é€\ufffd\uffff\U00010000😀\U0010ffff", "\u2028</script>",
		"\xff\xfe a\xc3", "\xed\xa0\x80", "\xf0\x9f\x98", "\x80é\xe2\x82"}
	var control strings.Builder
	for c := range byte(' ') {
		control.WriteByte(c)
	}
	texts = append(texts, control.String())
	var lines strings.Builder
	for _, text := range texts {
		fmt.Fprintf(&lines, "%x\n", text)
	}
	command := exec.Command(testkit.Python(t), "-c", jsonTexts)
	command.Stdin, command.Stderr = strings.NewReader(lines.String()), os.Stderr
	output, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	wanted := strings.Split(strings.TrimSuffix(string(output), "\n"), "\n")
	if len(wanted) != len(texts) {
		t.Fatalf("%d answers to %d texts", len(wanted), len(texts))
	}
	for i, text := range texts {
		if got := string(AppendPythonJSON([]byte("["), text)); got != "["+wanted[i] {
			t.Errorf("%q: %s, want %s", text, got[1:], wanted[i])
		}
	}
}
