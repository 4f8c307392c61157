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

# No service of a partition is stopped: a running supervisor goes on as the new
# program, in its own process. Nothing is started that wasn't running, and passes
# finish with the program they began with.
if [ ! -d /run/systemd/system ]; then
	if [ -e /etc/opt/slapos/slapos.cfg ]; then
		set +e
		slapos node supervisord --upgrade
	fi
	exit 0
fi
systemctl daemon-reload || :
if systemctl -q is-active slapos-supervisord.service; then
	systemctl reload slapos-supervisord.service || echo "slapos: the supervisor goes on with the former program: journalctl -u slapos-supervisord" >&2
fi
systemctl try-restart slapos-proxy.service slapos-cache.service ||
	echo "slapos: the master or the cache server did not start again: journalctl -u slapos-proxy -u slapos-cache" >&2
