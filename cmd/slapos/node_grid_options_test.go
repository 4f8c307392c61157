// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"maps"
	"testing"

	"slapos/cmd/slapos/pytext"
)

// gridOptionsOf are the options that a pass gets from keys of section [slapos].
func gridOptionsOf(t *testing.T, keys map[string]string) (gridOptions, error) {
	t.Helper()
	e, _, _ := newTestEnvironment(t)
	merged := map[string]string{
		"computer_id": "COMP-1", "master_url": "http://127.0.0.1:1", "instance_root": t.TempDir(), "software_root": t.TempDir(),
	}
	maps.Copy(merged, keys)
	file, err := pytext.ParseConfiguration("slapos.cfg", []byte("[slapos]\n"))
	if err != nil {
		t.Fatal(err)
	}
	options, err := e.gridOptions(merged, file)
	if err == nil {
		options.Node.Master.Close()
	}
	return options, err
}
