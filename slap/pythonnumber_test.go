// SPDX-License-Identifier: GPL-3.0-or-later

package slap

import (
	"fmt"
	"math"
	"os/exec"
	"strings"
	"testing"

	"slapos/slap/testkit"
)

// PythonInt agrees with Python.
func TestPythonInt(t *testing.T) {
	texts := []string{"5", " 5 ", "\t5\n", "1_000", "1__0", "_1", "1_", "+5", "-5", "- 5", "--5", "05", "0x10", "0o7", "0b1", "5.0", "1e3", "", " ", "abc", "nan", "inf",
		"99999999999999999999", "-99999999999999999999", "9223372036854775807", "9223372036854775808", "1 0", "5\x1f", "+_1", "0_0", "99999999999999999999GB", "-99999999999999999999_", "+", "-", "+-5", "0000000000000000000000005"}
	var program strings.Builder
	for _, text := range texts {
		fmt.Fprintf(&program, "try: print(min(max(int(%s), %d), %d), 'true')\nexcept ValueError: print(0, 'false')\n", PythonRepr(text), math.MinInt, math.MaxInt)
	}
	output, err := exec.Command(testkit.Python(t), "-c", program.String()).Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(output)), "\n")
	if len(lines) != len(texts) {
		t.Fatalf("%d answers", len(lines))
	}
	for i, text := range texts {
		number, ok := PythonInt(text)
		if !ok {
			number = 0
		}
		if got := fmt.Sprint(number, " ", ok); got != lines[i] {
			t.Errorf("%q: %s, Python says %s", text, got, lines[i])
		}
	}
}
