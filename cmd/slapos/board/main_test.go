// SPDX-License-Identifier: GPL-3.0-or-later

package board

import (
	"testing"

	"slapos/slap/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }
