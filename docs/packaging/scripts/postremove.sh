#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
#
# After the files of the package were removed. dpkg says "remove", "purge" and
# others, rpm how many versions are left.
set -e

case "$1" in
remove | purge | 0) ;;
*) exit 0 ;;
esac

# The link that was made for slapos.core's agent, if it is still ours.
if [ "$(readlink /opt/slapos/bin/slapos-watchdog 2>/dev/null)" = /usr/bin/slapos-watchdog ]; then
	rm -f /opt/slapos/bin/slapos-watchdog
fi

# Only empty directories go: configuration and keys that a node or a master got,
# logs, databases, releases and partitions are never the package's to remove.
if [ "$1" = purge ]; then
	for directory in /opt/slapos/bin /opt/slapos/log /opt/slapos /etc/opt/slapos; do
		rmdir --ignore-fail-on-non-empty "$directory" 2>/dev/null || :
	done
fi

if [ -d /run/systemd/system ]; then
	systemctl daemon-reload || :
fi
