// SPDX-License-Identifier: GPL-3.0-or-later

package daemon

import (
	"slices"
	"testing"
)

func TestCleanMappings(t *testing.T) {
	const smaps = `00400000-00c00000 r-xp 00000000 fe:00 1234                       /usr/bin/slapos
Size:               8192 kB
Anonymous:             0 kB
00c00000-00d00000 r--p 00800000 fe:00 1234                       /usr/bin/slapos
Anonymous:             4 kB
00d00000-00e00000 rw-p 00900000 fe:00 1234                       /usr/bin/slapos
Anonymous:             0 kB
00e00000-00f00000 r--p 00000000 00:00 0
Anonymous:             0 kB
00f00000-00f01000 r--s 00000000 fe:00 99                         /shared
Anonymous:             0 kB
`
	if got, want := cleanMappings([]byte(smaps)), []mapping{{start: 0x400000, length: 0x800000}}; !slices.Equal(got, want) {
		t.Errorf("got %x", got)
	}
	dropStartup()
}
