// SPDX-License-Identifier: GPL-3.0-or-later

package cloud

import (
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"slapos/slap/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// Python's supervisor reads what is written, even with unusual names.
func TestFiles(t *testing.T) {
	root := filepath.Join(t.TempDir(), "half of a 'cloud'")
	c, err := New(Options{Root: root, Executable: "/opt/my programs/slapos", User: os.Geteuid(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	c.Settings = Settings{Host: "127.0.0.1", Port: 5001, Partitions: 2, Python: "/usr/bin/python3"}
	for range 2 { // again over what is there
		if err := c.WriteFiles(); err != nil {
			t.Fatal(err)
		}
	}
	if text, err := os.ReadFile(c.ConfigurationFile()); err != nil || !strings.Contains(string(text), "\nsoftware_root = "+root+"/soft\n") {
		t.Errorf("%s, %v", text, err)
	}
	shown, err := exec.Command(testkit.Python(t), "-c", `
import sys
from supervisor.options import ServerOptions
options = ServerOptions()
options.realize(['-c', sys.argv[1]])
for group in options.process_group_configs:
    for program in group.process_configs:
        print(program.name, program.autostart, program.command)
`, c.Path("etc/supervisord.conf")).CombinedOutput()
	if err != nil {
		t.Fatalf("supervisor: %v: %s", err, shown)
	}
	for _, want := range []string{
		"slapos-proxy True '/opt/my programs/slapos' proxy start --cfg ",
		"slapos-agent True '/opt/my programs/slapos' node agent --cfg ",
		"slapos-node-instance-all False ",
	} {
		if !strings.Contains(string(shown), want) {
			t.Errorf("no %q in\n%s", want, shown)
		}
	}
}

// 0 is a free port.
func TestPortZero(t *testing.T) {
	c := &Cloud{Settings: Settings{Host: "127.0.0.1", Port: 0}}
	if err := c.choosePort(); err != nil || c.Settings.Port < 1 {
		t.Errorf("%d %v", c.Settings.Port, err)
	}
}
