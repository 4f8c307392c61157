// SPDX-License-Identifier: GPL-3.0-or-later

package testkit

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

// Pieces add up to the whole content, even if that arrives in pieces itself,
// and end as it ends.
func TestPieces(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789"), 40)
	broken := errors.New("broken")
	for name, pieces := range Pieces {
		if err := iotest.TestReader(pieces(bytes.NewReader(content)), content); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for inner, slow := range Pieces {
			got, err := io.ReadAll(pieces(slow(CutReader(bytes.NewReader(content), 300, broken))))
			if err != broken || !bytes.Equal(got, content[:300]) {
				t.Errorf("%s of %s: %d bytes, %v", name, inner, len(got), err)
			}
		}
	}
}
