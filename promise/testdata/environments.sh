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

"$(dirname "$0")/releases.sh" "$top/core" "$python3" 1.4.28 1.7.13 1.10.8 1.15.0 1.21.1 1.22.1 1.24.1 1.26.1

common="zope.interface<5.5 six requests<2.28 lxml<4.9.4 netaddr<0.9 uritemplate<4 cachecontrol<0.12.7
	python-dateutil<3 zc.buildout<3 xml_marshaller<1.0.3 msgpack<1.0.6 lockfile jsonschema<4 distro<1.7"
for python in "$@"; do
	version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
	[ ! -e "$top/python/$version" ] || continue
	mkdir -p "$top/python/$version"
	ln -s "$python" "$top/python/$version/python"
	case $version in
	2.7)
		"$python" -m pip install -q --disable-pip-version-check --target "$top/python/$version/library" $common \
			'psutil<6' enum34 subprocess32 ipaddress backports.lzma functools32 'setuptools<45'
		# Later releases of what cliff needs, which pip would choose, are for Python 3.
		"$python" -m pip install -q --disable-pip-version-check --no-deps --target "$top/python/$version/library" \
			selectors34 'cliff==2.18' 'stevedore<1.33' 'pbr<5.6' 'prettytable<0.8' 'cmd2<0.9' 'pyparsing<3' \
			'PyYAML<5.5' 'wcwidth<0.2.6' 'pyperclip<1.8' unicodecsv
		cd "$top/python/$version/library"
		namespace zope backports zc
		cd - >/dev/null
		;;
	3.9)
		"$python" -m pip install -q --disable-pip-version-check --target "$top/python/$version/library" $common \
			psutil 'setuptools<80' 'cliff<5'
		;;
	esac
done
touch "$top/.ready"
