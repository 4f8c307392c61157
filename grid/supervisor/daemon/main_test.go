// SPDX-License-Identifier: GPL-3.0-or-later

package daemon

import (
	"testing"

	"slapos/slap/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }
