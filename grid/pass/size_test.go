// SPDX-License-Identifier: GPL-3.0-or-later

package pass

import (
	"math"
	"testing"

	"slapos/slap/testkit"
)

// GRID-8.
func TestMain(m *testing.M) { testkit.Main(m) }

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"1000M": 1048576000, "1 G": 1 << 30, "1.5Ki": 1536, "12": 12, ".5K": 512, "5.": 5,
		"5 kilo": 5120, "3k": 3072, "7 B": 7, "2 tebi": 2 << 40, "0": 0, "1.9": 1,
		"5 iotta": math.MaxInt64,
	} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "k", "-1", "1.2.3M", "5 Mb", "5m", "1e3", "M1", ".", " 1"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("ParseSize(%q) = %d, want an error", text, got)
		}
	}
}

// GRID-8.
func TestFormatSize(t *testing.T) {
	for bytes, want := range map[int64]string{
		0: "0.0 ", 1023: "1023.0 ", 1024: "1.0 KB", 1000000000: "953.7 MB", 1 << 40: "1.0 TB",
	} {
		if got := FormatSize(bytes); got != want {
			t.Errorf("FormatSize(%d) = %q, want %q", bytes, got, want)
		}
	}
}

func FuzzParseSize(f *testing.F) {
	for _, seed := range []string{"1000M", "1.5 Gi", "5 iotta", "x", "1e3"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if size, err := ParseSize(text); err == nil && size < 0 {
			t.Errorf("ParseSize(%q) = %d", text, size)
		}
	})
}
