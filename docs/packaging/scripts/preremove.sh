#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Before the files of the package are removed. dpkg says "remove" or "upgrade", rpm
# how many versions will be left.
set -e

case "$1" in
remove | 0) ;;
*) exit 0 ;;
esac

[ -d /run/systemd/system ] || exit 0

# What would only fail without the program is stopped: passes, master and cache
# server. The supervisor and the services of partitions go on until they are
# stopped by hand, or the machine is.
for path in /usr/lib/systemd/system/slapos*; do
	unit=${path##*/}
	case "$unit" in
	*@*) ;; # what timers start
	slapos-supervisord.service | slapos.target) systemctl -q --no-reload disable "$unit" || : ;;
	*) systemctl -q --no-reload disable --now "$unit" || : ;;
	esac
done
if systemctl -q is-active slapos-supervisord.service; then
	echo "slapos: the services of partitions go on; before a removal, systemctl stop slapos.target stops them." >&2
fi
