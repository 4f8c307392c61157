#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
#
# install.sh: puts what `make build` made, and the files beside this script, below
# $DESTDIR$PREFIX. It compiles nothing and needs only a shell and the basic tools.
# BINARY is the program to install (bin/slapos), BUILT the folder with its manuals,
# completions and licences (bin).
set -eu
umask 022
cd "$(dirname "$0")/../.."
prefix=${PREFIX:-/usr/local} built=${BUILT:-bin}
binary=${BINARY:-$built/slapos} to=${DESTDIR:-}$prefix here=docs/packaging

for needed in "$binary" "$built/man/man1" "$built/completions" "$built/licenses"; do
	[ -e "$needed" ] || { echo "install: $needed is missing: run make build first" >&2; exit 1; }
done

install -D -m 755 "$binary" "$to/bin/slapos"
ln -sfn slapos "$to/bin/slapos-watchdog"

install -d "$to/share/man/man1"
install -m 644 "$built"/man/man1/*.1 "$to/share/man/man1/"
install -D -m 644 "$built/completions/slapos.bash" "$to/share/bash-completion/completions/slapos"
install -D -m 644 "$built/completions/slapos.zsh" "$to/share/zsh/site-functions/_slapos"
install -D -m 644 "$built/completions/slapos.fish" "$to/share/fish/vendor_completions.d/slapos.fish"

install -d "$to/lib/systemd/system"
for unit in "$here"/systemd/*; do
	sed "s|/usr/bin/slapos|$prefix/bin/slapos|" "$unit" >"$to/lib/systemd/system/${unit##*/}"
done
chmod 644 "$to"/lib/systemd/system/slapos*
install -D -m 644 "$here"/sysusers/slapos.conf "$to/lib/sysusers.d/slapos.conf"
install -d "$to/lib/tmpfiles.d"
sed "s|/usr/bin/slapos|$prefix/bin/slapos|" "$here"/tmpfiles/slapos.conf >"$to/lib/tmpfiles.d/slapos.conf"
chmod 644 "$to/lib/tmpfiles.d/slapos.conf"

documents=$to/share/doc/slapos
rm -rf "$documents"
install -d "$documents/examples"
install -m 644 LICENSE CHANGELOG.md "$here"/copyright "$documents/"
install -m 644 "$here"/README.md "$documents/README.md"
install -m 644 "$here"/etc/*.example "$documents/examples/"
install -m 644 "$here/cron/slapos-node" "$documents/examples/cron"
install -m 644 "$here/logrotate/slapos" "$documents/examples/logrotate"
cp -R "$built/licenses" "$documents/"
chmod -R u=rwX,go=rX "$documents"
