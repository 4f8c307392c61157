// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"strings"
	"testing"

	"slapos/slap/schema"
)

// A parameters file that is not UTF-8 is refused with its line, in each format.
func TestParametersFileOutsideUTF8(t *testing.T) {
	for name, text := range map[string]string{
		"p.json": "{\n\"a\": \"caf\xe9\"}",
		"p.yaml": "a: 1\nb: caf\xe9\n",
		"p.xml":  "<instance>\n<parameter id=\"a\">caf\xe9</parameter></instance>",
	} {
		_, err := readParameters(t.Context(), name, []byte(text), schema.Serialisation("xml"), nil)
		if err == nil || !strings.Contains(err.Error(), name+":2: not UTF-8") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
