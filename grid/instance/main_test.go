// SPDX-License-Identifier: GPL-3.0-or-later

package instance

import (
	"testing"

	"slapos/grid/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }
