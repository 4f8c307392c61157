// SPDX-License-Identifier: GPL-3.0-or-later

package console

import (
	"testing"

	"slapos/slap/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }
