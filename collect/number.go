// SPDX-License-Identifier: GPL-3.0-or-later

package collect

import (
	"math"
	"strconv"

	"slapos/slap"
)

// pythonFloat writes a number as Python does, which is how all files have them.
func pythonFloat(value float64) string { return slap.PythonRepr(value) }

// roundTo rounds as Python's round: by the exact value, a tie to even.
func roundTo(value float64, digits int) float64 {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return value
	}
	rounded, _ := strconv.ParseFloat(strconv.FormatFloat(value, 'f', digits, 64), 64)
	return rounded
}
