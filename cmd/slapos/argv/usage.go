// SPDX-License-Identifier: GPL-3.0-or-later

package argv

import "fmt"

// A UsageError is a command line that can't be understood. It is reported with
// the usage of the command, and exit code 2 (CLI-7).
type UsageError struct{ Text string }

func (e *UsageError) Error() string { return e.Text }

// UsageErrorf makes a UsageError.
func UsageErrorf(format string, args ...any) error {
	return &UsageError{fmt.Sprintf(format, args...)}
}
