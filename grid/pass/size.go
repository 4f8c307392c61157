// SPDX-License-Identifier: GPL-3.0-or-later

package pass

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// sizeUnits lists the names of each power of 1024 in options (GRID-8). Their
// case matters, except that k stands for K.
var sizeUnits = [][]string{
	{"", "B", "byte"},
	{"K", "KB", "Ki", "kilo", "kibi", "k"},
	{"M", "MB", "Mi", "mega", "mebi"},
	{"G", "GB", "Gi", "giga", "gibi"},
	{"T", "TB", "Ti", "tera", "tebi"},
	{"P", "PB", "Pi", "peta", "pebi"},
	{"E", "EB", "Ei", "exa", "exbi"},
	{"Z", "ZB", "Zi", "zetta", "zebi"},
	{"Y", "YB", "Yi", "iotta", "yobi"},
}

// ParseSize reads a number of bytes such as 1000M, "1.5 Gi" or 512 (GRID-8).
// All units are powers of 1024. A size that no disk can hold becomes
// math.MaxInt64.
func ParseSize(text string) (int64, error) {
	digits := 0
	for digits < len(text) && (text[digits] == '.' || '0' <= text[digits] && text[digits] <= '9') {
		digits++
	}
	number, err := strconv.ParseFloat(text[:digits], 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a size: expected a number and a unit, such as 1000M", text)
	}
	unit := strings.TrimSpace(text[digits:])
	for power, names := range sizeUnits {
		for _, name := range names {
			if name != unit {
				continue
			}
			bytes := math.Ldexp(number, 10*power)
			if bytes >= math.MaxInt64 {
				return math.MaxInt64, nil
			}
			return int64(bytes), nil
		}
	}
	return 0, fmt.Errorf("%q is not a size: there is no unit %q", text, unit)
}

// FormatSize formats a number of bytes with one decimal and a unit: 953.7 MB.
func FormatSize(bytes int64) string {
	value, power := float64(bytes), 0
	for value >= 1024 && power < len(sizeUnits)-1 {
		value /= 1024
		power++
	}
	unit := ""
	if power > 0 {
		unit = sizeUnits[power][1]
	}
	return fmt.Sprintf("%.1f %s", value, unit)
}
