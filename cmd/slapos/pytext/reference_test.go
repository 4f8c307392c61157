// SPDX-License-Identifier: GPL-3.0-or-later

package pytext

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"slapos/slap/testkit"
)

// A reference is a running Python that answers how it would do things.
type reference struct {
	in  io.Writer
	out *bufio.Reader
}

func newReference(t testing.TB) *reference {
	command := exec.Command(testkit.Python(t), filepath.Join("testdata", "reference.py"))
	command.Stderr = os.Stderr
	in, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := command.Wait(); err != nil {
			t.Error(err)
		}
	})
	return &reference{in, bufio.NewReader(out)}
}

// ask has a function of testdata/reference.py work on data, stores its answer,
// and tells whether it had one.
func (r *reference) ask(t testing.TB, function string, data []byte, answer any) bool {
	question, err := json.Marshal(map[string]any{"of": function, "data": data})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.in.Write(append(question, '\n')); err != nil {
		t.Fatal(err)
	}
	line, err := r.out.ReadBytes('\n')
	if err != nil {
		t.Fatal(err)
	}
	var reply struct {
		Value json.RawMessage
		Error string
	}
	if err := json.Unmarshal(line, &reply); err != nil {
		t.Fatal(err)
	}
	if reply.Error != "" {
		return false
	}
	if err := json.Unmarshal(reply.Value, answer); err != nil {
		t.Fatal(err)
	}
	return true
}
