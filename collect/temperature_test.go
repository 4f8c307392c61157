// SPDX-License-Identifier: GPL-3.0-or-later

package collect

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"slapos/slap/testkit"
)

const sensorsOutput = `coretemp-isa-0000
Adapter: ISA adapter
Package id 0:
  temp1_input: 47.000
  temp1_max: 80.000
  temp1_crit: 100.000
Core 0:
  temp2_input: 85.500
  temp2_max: 80.000
  temp2_crit: 100.000
Core 1:
  temp3_input: 101.000
  temp3_max: 80.000
  temp3_crit: 100.000

acpitz-acpi-0
Adapter: ACPI interface
temp1:
  temp1_input: 27.800
fan1:
  fan1_input: 1200.000
temp2:
  temp2_input: N/A
`

// COL-26.
func TestParseSensors(t *testing.T) {
	want := []temperature{
		{sensor: "coretemp-isa-0000 Package id 0:", value: 47, alarm: 0}, {sensor: "coretemp-isa-0000 Core 0:", value: 85.5, alarm: 1},
		{sensor: "coretemp-isa-0000 Core 1:", value: 101, alarm: 2}, {sensor: "acpitz-acpi-0 temp1:", value: 27.8, alarm: 0},
	}
	if got := parseSensors(sensorsOutput); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v", got)
	}
	if got := parseSensors("temp1_input: 5"); len(got) != 1 || got[0].sensor != " " {
		t.Errorf("%v", got)
	}
}

func FuzzParseSensors(f *testing.F) {
	f.Add(sensorsOutput)
	f.Add("Adapter:\ntemp_input 1")
	f.Fuzz(func(_ *testing.T, output string) { parseSensors(output) })
}

// sensorsScript makes a program sensors.
func sensorsScript(t *testing.T, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sensors")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// COL-3, COL-26.
func TestReadTemperatures(t *testing.T) {
	c := newTestCollector(t)
	c.Folders.Measure = false
	c.Sensors = sensorsScript(t, "cat <<END\n"+sensorsOutput+"END\n")
	pass(t, c)
	if got := ask(t, c, "SELECT group_concat(sensor_id || alarm, ',') FROM temperature"); got != "coretemp-isa-0000 Package id 0:0,coretemp-isa-0000 Core 0:1,coretemp-isa-0000 Core 1:2,acpitz-acpi-0 temp1:0" {
		t.Error(got)
	}
	c.Sensors = sensorsScript(t, "echo 'No sensors found!'; exit 1")
	pass(t, c)
	c.Sensors = sensorsScript(t, "echo broken bus; exit 2")
	if err := c.Pass(t.Context()); err == nil || !strings.Contains(err.Error(), "broken bus") {
		t.Error(err)
	}
	// Without the program the kernel's sensors are used.
	c.Sensors = ""
	testkit.WriteFile(t, filepath.Join(c.Sys, "class/hwmon/hwmon0/name"), "coretemp\n")
	testkit.WriteFile(t, filepath.Join(c.Sys, "class/hwmon/hwmon0/temp1_input"), "85500\n")
	testkit.WriteFile(t, filepath.Join(c.Sys, "class/hwmon/hwmon0/temp1_max"), "80000\n")
	testkit.WriteFile(t, filepath.Join(c.Sys, "class/hwmon/hwmon0/temp1_label"), "Core 0\n")
	pass(t, c)
	if got := ask(t, c, "SELECT temperature || ' ' || alarm FROM temperature ORDER BY rowid DESC LIMIT 1"); got != "85.5 1" {
		t.Error(got)
	}
}

// heater returns a collector whose sensor shows the given temperatures one
// after the other.
func heater(t *testing.T, temperatures ...string) *Collector {
	c := newTestCollector(t)
	c.Folders.Measure = false
	list := filepath.Join(t.TempDir(), "list")
	testkit.WriteFile(t, list, strings.Join(temperatures, "\n")+"\n")
	c.Sensors = sensorsScript(t, fmt.Sprintf(`t=$(head -n 1 %[1]s); if test $(wc -l <%[1]s) -gt 1; then sed -i 1d %[1]s; fi
printf 'chip\nAdapter: x\nCore 0:\n  temp1_input: %%s\n  temp1_max: 90\n' $t`, list))
	c.Heating = Heating{Model: "nuc_i7", Sensor: "chip Core 0:", Step: time.Millisecond}
	proc := c.Proc
	c.Proc = t.TempDir()
	entries, err := os.ReadDir(proc)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if err := os.Symlink(filepath.Join(proc, entry.Name()), filepath.Join(c.Proc, entry.Name())); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(c.Proc, "uptime")); err != nil {
		t.Fatal(err)
	}
	testkit.WriteFile(t, filepath.Join(c.Proc, "uptime"), "90000.5 1\n")
	c.Counters = ""
	return c
}

// COL-11, COL-27.
func TestHeating(t *testing.T) {
	const result = "SELECT group_concat(model_id || sensor_id || initial_temperature || ' ' || final_temperature || ' ' || zero_emission_ratio) FROM heating"
	c := heater(t, "30", "30", "50", "60", "55")
	pass(t, c)
	if got := ask(t, c, result); got != "nuc_i7chip Core 0:30.0 55.0 100.0" {
		t.Error(got)
	}
	pass(t, c) // once per boot
	if got := ask(t, c, "SELECT count(*) FROM heating"); got != "1" {
		t.Error(got)
	}
	c = heater(t, "30", "30", "30")
	pass(t, c)
	if got := ask(t, c, result); got != "nuc_i7chip Core 0:30.0 30.0 0.0" {
		t.Error(got)
	}
	for name, change := range map[string]func(*Collector){
		"too hot": func(c *Collector) {
			c.Sensors = sensorsScript(t, "printf 'chip\nAdapter: x\nCore 0:\ntemp1_input: 95\ntemp1_max: 90\n'")
		},
		"no sensor":     func(c *Collector) { c.Heating.Sensor = "none" },
		"unknown model": func(c *Collector) { c.Heating.Model = "no_model" },
	} {
		c := heater(t, "30", "50")
		change(c)
		log := logTo(c)
		pass(t, c)
		if got := ask(t, c, "SELECT count(*) FROM heating"); got != "0" || !strings.Contains(log.String(), "Impossible to test") {
			t.Errorf("%s: %s\n%s", name, got, log)
		}
	}
}
