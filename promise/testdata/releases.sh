#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Installs releases of slapos.core alone, each in a folder named after it.
#
# usage: releases.sh DIRECTORY PYTHON3 VERSION...
set -eu
top=$1 python3=$2
shift 2
for version; do
	"$python3" -m pip install -q --disable-pip-version-check --no-warn-script-location --root-user-action=ignore \
		--no-deps --target "$top/$version" "slapos.core==$version"
	# pip leaves the namespace package without what names it one.
	echo "__path__ = __import__('pkgutil').extend_path(__path__, __name__)" >"$top/$version/slapos/__init__.py"
done
