// SPDX-License-Identifier: GPL-3.0-or-later

package collect

import (
	"math"
	"strconv"

	"slapos/slap"
)

// pythonFloat formats a number as Python does; all files use that.
func pythonFloat(value float64) string { return slap.PythonRepr(value) }

// roundTo rounds as Python's round does: by the exact value, a tie to even.
func roundTo(value float64, digits int) float64 {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return value
	}
	rounded, _ := strconv.ParseFloat(strconv.FormatFloat(value, 'f', digits, 64), 64)
	return rounded
}
