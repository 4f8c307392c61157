#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
#
# version.sh: prints the version of the packages of this source. A release is a
# commit with a tag v1.26.1+N, and its packages are 1.26.1+N; those of the M-th
# commit after it are 1.26.1+N.M.gCOMMIT, which dpkg and rpm order between N and
# N+1. What isn't committed yet adds .dirty.
set -eu
cd "$(dirname "$0")/../.."
core=1.26.1
git rev-parse --is-inside-work-tree >/dev/null 2>&1 || { echo $core+0; exit 0; }

if described=$(git describe --tags --long --abbrev=10 --match "v$core+[0-9]*" 2>/dev/null); then
	tag=${described%-*-*} after=${described#"$tag"-}
	version=${tag#v} after=${after%-*}
else
	version=$core+0 after=$(git rev-list --count HEAD)
fi
[ "$after" = 0 ] || version=$version.$after.g$(git rev-parse --short=10 HEAD)
[ -z "$(git status --porcelain --untracked-files=no)" ] || version=$version.dirty
echo "$version"
