// SPDX-License-Identifier: GPL-3.0-or-later

package proximity

import (
	"testing"

	"slapos/slap/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }
