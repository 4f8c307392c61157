#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
#
# After the files of the package were installed or replaced. dpkg says "configure
# VERSION-BEFORE" or "abort-…", rpm how many versions are installed now.
set -e

case "$1" in
configure | [1-9]*) ;;
*) exit 0 ;;
esac

# Accounts of master and cache server, and the directories of a node.
systemd-sysusers slapos.conf
systemd-tmpfiles --create slapos.conf || :

[ -d /run/systemd/system ] || exit 0
systemctl daemon-reload || :

# No service of a partition is stopped: a running supervisor changes to the new
# program in place, if its unit knows how, and otherwise stays what it is. Nothing
# is started that wasn't running, and passes finish with the program they began with.
if [ "$(systemctl show -P CanReload slapos-supervisord.service)" = yes ] && systemctl -q is-active slapos-supervisord.service; then
	systemctl reload slapos-supervisord.service || echo "slapos: the supervisor goes on with the former program: journalctl -u slapos-supervisord" >&2
fi
systemctl try-restart slapos-proxy.service slapos-cache.service ||
	echo "slapos: the master or the cache server did not start again: journalctl -u slapos-proxy -u slapos-cache" >&2
