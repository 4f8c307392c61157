// SPDX-License-Identifier: GPL-3.0-or-later

package store

// Further makes these scripts the migrations that come after those of this
// version, and returns the number of the last one.
func Further(o *Options, scripts ...string) int64 {
	version := newest(dialectOf(o.URI).migrations())
	for _, script := range scripts {
		version++
		o.further = append(o.further, migration{version, script})
	}
	return version
}
