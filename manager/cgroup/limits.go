// SPDX-License-Identifier: GPL-3.0-or-later

package cgroup

import (
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
)

// Limits of one partition. The zero value of a field sets no limit.
type Limits struct {
	MemoryMax uint64 // bytes
	CPUWeight int    // 1 to 10000; the kernel's default is 100
	PIDsMax   int
}

// With returns the limits changed by the options memory_max (bytes, or with K,
// M, G or T), cpu_weight and pids_max. An empty option, or "max", sets no limit.
func (l Limits) With(options map[string]string) (Limits, error) {
	if text, found := options["memory_max"]; found {
		value, err := parseSize(text)
		if err != nil {
			return l, fmt.Errorf("memory_max: %w", err)
		}
		l.MemoryMax = value
	}
	for _, number := range []struct {
		key    string
		most   int
		target *int
	}{{"cpu_weight", 10000, &l.CPUWeight}, {"pids_max", math.MaxInt32, &l.PIDsMax}} {
		text, found := options[number.key]
		if !found {
			continue
		}
		if text = strings.TrimSpace(text); text == "" || text == "max" {
			*number.target = 0
			continue
		}
		value, err := strconv.Atoi(text)
		if err != nil || value < 1 || value > number.most {
			return l, fmt.Errorf("%s: %q is not a number from 1 to %d", number.key, text, number.most)
		}
		*number.target = value
	}
	return l, nil
}

func parseSize(text string) (uint64, error) {
	text = strings.ToUpper(strings.TrimSpace(text))
	if text == "" || text == "MAX" {
		return 0, nil
	}
	digits := strings.TrimRight(text, "KMGT")
	shift := 0
	if unit := text[len(digits):]; unit != "" {
		shift = 10 * (1 + strings.Index("KMGT", unit))
	}
	value, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || len(text)-len(digits) > 1 || value == 0 || value > math.MaxInt64>>shift {
		return 0, fmt.Errorf("%q is not a size such as 512M or 4G", text)
	}
	return value << shift, nil
}

type setting struct{ file, value, initial string }

// settings returns the control files to write; memory is rounded to whole pages.
func (l Limits) settings() []setting {
	memory, weight, processes := "max", "100", "max"
	if l.MemoryMax > 0 {
		page := uint64(os.Getpagesize())
		memory = strconv.FormatUint(max(1, l.MemoryMax/page)*page, 10)
	}
	if l.CPUWeight > 0 {
		weight = strconv.Itoa(l.CPUWeight)
	}
	if l.PIDsMax > 0 {
		processes = strconv.Itoa(l.PIDsMax)
	}
	return []setting{
		{file: "memory.max", value: memory, initial: "max"},
		{file: "cpu.weight", value: weight, initial: "100"},
		{file: "pids.max", value: processes, initial: "max"},
	}
}
