#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Installs releases of slapos.core alone, each in a folder named after it.
#
# PYTHON3 has what section build of .ci/requirements.txt names.
#
# usage: releases.sh DIRECTORY PYTHON3 VERSION...
set -eu
top=$1 python3=$2
shift 2
for version; do
	"$(dirname "$0")/../../.ci/pip" "$python3" "releases:$version" --target "$top/$version"
	# pip leaves the namespace package without what names it one.
	echo "__path__ = __import__('pkgutil').extend_path(__path__, __name__)" >"$top/$version/slapos/__init__.py"
done
