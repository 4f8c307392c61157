// SPDX-License-Identifier: GPL-3.0-or-later

package partition

import (
	"testing"

	"slapos/grid/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }
