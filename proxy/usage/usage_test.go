// SPDX-License-Identifier: GPL-3.0-or-later

package usage

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func report(movements ...string) string {
	var b strings.Builder
	b.WriteString(`<?xml version='1.0' encoding='utf-8'?><journal><transaction type="Sale Packing List"><title>Eco Information for C </title>` +
		`<start_date>2026-11-20 00:00:00</start_date><stop_date>2026-11-20 23:59:59</stop_date>`)
	for _, movement := range movements {
		fields := strings.Fields(movement)
		fmt.Fprintf(&b, `<movement><resource>service_module/%s</resource><title>T</title><reference>%s</reference><quantity>%s</quantity></movement>`, fields[0], fields[1], fields[2])
	}
	return b.String() + "</transaction></journal>"
}

func TestParse(t *testing.T) {
	got, err := Parse("C", report("cpu_load_percent C 39.70708106686866", "memory_used C 5996757099.676373", "zero_emission_ratio C -1",
		"cpu_load_percent slapuser0 109.43", "cpu_load_percent slapuser1 0.0", "memory_used slapuser0 62.02", "disk_used slapuser1 2637.9"))
	want := &Report{Title: "Eco Information for C", Days: "2026-11-20", Lines: []Line{
		{"C", "39.7 %", "5.6 GiB", ""}, {"slapuser0", "109.4 %", "62.0 MiB", ""}, {"slapuser1", "0.0 %", "", "2.6 GiB"},
	}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	const text = `Eco Information for C, 2026-11-20
                  CPU    memory      disk
  C            39.7 %   5.6 GiB         -
  slapuser0   109.4 %  62.0 MiB         -
  slapuser1     0.0 %         -   2.6 GiB
`
	if got.Text() != text {
		t.Errorf("got\n%s", got.Text())
	}
	if got, err := Parse("C", report("zero_emission_ratio C -1")); err != nil || !strings.HasSuffix(got.Text(), "\n  nothing was measured\n") {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := Parse("C", report("zero_emission_ratio C 100.0")); err != nil || got.ZeroEmission != "100.0 %" || got.Lines != nil {
		t.Errorf("%+v, %v", got, err)
	}
}

// What isn't from node collect alone is shown as it is.
func TestParseOthers(t *testing.T) {
	for _, movements := range [][]string{
		{"cpu_load_percent p 1", "cpu_load_percent p 2"}, {"cpu_load_percent p 1", "requests p 2"}, {"disk_used p much"}, {"disk_used p NaN"},
	} {
		got, err := Parse("C", report(movements...))
		if err != nil || got.Lines != nil || len(got.Movements) != len(movements) || got.Movements[0].Title != "T" {
			t.Errorf("%q: %+v, %v", movements, got, err)
		}
		if text := got.Text(); strings.Count(text, "\n") != len(movements)+1 || !strings.Contains(text, "\n  p  ") {
			t.Errorf("%q", text)
		}
	}
	scripts := strings.NewReplacer("Eco Information", "Resource consumptions", "2026-11-20 00:00:00", "", "23:59:59", "at 00:10:00").Replace(report("memory_used p 4"))
	if got, err := Parse("C", scripts); err != nil || got.Lines != nil || got.Movements[0].Quantity != "4" || got.Days != "2026-11-20" {
		t.Errorf("%+v, %v", got, err)
	}
	for _, text := range []string{"", "no XML", "<journal/>", report(), "<consumption/>",
		`<!DOCTYPE j [<!ENTITY e SYSTEM "file:///etc/passwd">]><journal><transaction><movement><title>&e;</title></movement></transaction></journal>`} {
		if got, err := Parse("C", text); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(report("cpu_load_percent C 39.7", "memory_used C 5996757099.6", "disk_used slapuser1 2637.9"))
	f.Add(report("requests \x1b[31m 1e400"))
	f.Fuzz(func(t *testing.T, text string) {
		r, err := Parse("C", text)
		if err != nil {
			return
		}
		if strings.ContainsAny(r.Text(), "\x00\x1b\r\t") {
			t.Errorf("%q", r.Text())
		}
	})
}
