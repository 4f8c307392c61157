#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Makes the Python environments of the long promise tests in a directory:
#
#	core/VERSION/        slapos.core alone, one folder for each release
#	python/X.Y/python    link to each Python that was found
#	python/X.Y/library/  what releases of slapos.core import, for Python 2.7 and 3.9
#
# usage: environments.sh DIRECTORY PYTHON3 [PYTHON...]
set -eu
mkdir -p "$1"
top=$(cd "$1" && pwd) python3=$2
shift 2
rm -rf "$top"
mkdir -p "$top/core" "$top/python"

# namespace makes a package of folders that pip leaves without what names them one.
namespace() {
	for folder; do
		echo "__path__ = __import__('pkgutil').extend_path(__path__, __name__)" >"$folder/__init__.py"
	done
}

here=$(cd "$(dirname "$0")" && pwd)
install=$here/../../.ci/pip
"$python3" -m venv "$top/build"
"$install" "$top/build/bin/python" build
"$here/releases.sh" "$top/core" "$top/build/bin/python" 1.4.28 1.7.13 1.10.8 1.15.0 1.21.1 1.22.1 1.24.1 1.26.1
rm -r "$top/build"

for python in "$@"; do
	version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
	[ ! -e "$top/python/$version" ] || continue
	mkdir -p "$top/python/$version"
	ln -s "$python" "$top/python/$version/python"
	case $version in
	2.7)
		"$install" "$python" promises-2.7 --target "$top/python/$version/library"
		"$install" "$python" promises-2.7-cliff --target "$top/python/$version/library"
		cd "$top/python/$version/library"
		namespace zope backports zc
		cd - >/dev/null
		;;
	3.9) "$install" "$python" promises-3.9 --target "$top/python/$version/library" ;;
	esac
done
touch "$top/.ready"
