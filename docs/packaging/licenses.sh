#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
#
# licenses.sh DIRECTORY: puts the licence texts of everything that is linked into
# slapos below DIRECTORY, in a folder per module, as the modules ship them. Fails
# when a module ships none. GO and TAGS are those of the Makefile.
set -eu
target=$1
GO=${GO:-go}

# collect FROM INTO: copies the licence texts that lie in FROM.
collect() {
	texts=$(find "$1" -maxdepth 1 -type f ! -name '*.go' \( -iname 'licen[cs]e*' -o -iname 'copying*' \
		-o -iname 'copyright*' -o -iname 'notice*' -o -iname 'patents*' -o -iname 'unlicense*' \))
	[ -z "$texts" ] || {
		mkdir -p "$2"
		install -m 644 $texts "$2/"
	}
}

rm -rf "$target"
mkdir -p "$target"
root=$($GO env GOROOT)
collect "$root" "$target/go"
[ -d "$target/go" ] || collect /usr/share/doc/golang-go "$target/go" # Debian's package has it there
[ -d "$target/go" ] || { echo "licenses: no licence text of Go in $root" >&2; exit 1; }

linked=$($GO list -deps -tags "${TAGS:-}" -f '{{with .Module}}{{if not .Main}}{{.Path}}@{{.Version}} {{.Dir}} {{$.Dir}}{{end}}{{end}}' ./cmd/slapos)
printf '%s\n' "$linked" |
	while read -r module top directory; do
		# A package may have a licence of its own, below that of its module.
		while [ "$directory" != "$top" ]; do
			collect "$directory" "$target/$module${directory#"$top"}"
			directory=$(dirname "$directory")
		done
		[ -e "$target/$module/.seen" ] && continue
		collect "$top" "$target/$module"
		[ -d "$target/$module" ] || { echo "licenses: module $module ships no licence text" >&2; exit 1; }
		touch "$target/$module/.seen"
	done
find "$target" -name .seen -delete
