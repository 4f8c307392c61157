#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
#
# release.sh DIRECTORY: makes the packages of this source in DIRECTORY, which it
# empties. The same commit gives the same bytes, wherever it is built. `make release`
# calls it, after `make build`, with GO, TAGS and LDFLAGS of the Makefile and
#
#   PACKAGE            the version of the packages
#   SOURCE_DATE_EPOCH  the time that all files get
#   TOOLS              the directory of nfpm, crane and syft
#   ARCHES             amd64 arm64
#   FORMATS            deb rpm tar oci sbom
#   KEY                the gpg key that signs, or nothing
set -eu
umask 022
export LC_ALL=C SOURCE_DATE_EPOCH PACKAGE
GO=${GO:-go} ARCHES=${ARCHES-amd64 arm64} FORMATS=${FORMATS-deb rpm tar oci sbom}
: "${PACKAGE:?}" "${SOURCE_DATE_EPOCH:?}" "${TOOLS:?}"

rm -rf "$1"
mkdir -p "$1"
out=$(cd "$1" && pwd)
cd "$(dirname "$0")/../.."
work=$(mktemp -d) serving=
trap '[ -z "$serving" ] || kill "$serving"; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

wanted() { case " $FORMATS " in *" $1 "*) ;; *) return 1 ;; esac; }

# pack TARFILE OWNER DIRECTORY WORD...: adds to a tar archive, in which everything has
# the same time.
pack() {
	file=$1 owner=$2 from=$3
	shift 3
	tar --format=gnu --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner="$owner" --group="$owner" --numeric-owner -C "$from" -rf "$file" "$@"
}

# image NAME PORT WORD...: an OCI image of the program alone, with a user and a directory
# of that name, for the registry. WORD... is what the program is called with.
image() {
	name=$1 port=$2
	shift 2
	root=$work/root home=/var/lib/$name to=$registry/$name:$arch
	install -D -m 755 "$program" "$root/usr/bin/slapos"
	install -D -m 644 LICENSE "$root/usr/share/doc/slapos/LICENSE"
	cp -R bin/licenses "$root/usr/share/doc/slapos/"
	install -d -m 700 "$root$home"
	install -d -m 1777 "$root/tmp"
	install -d "$root/etc/opt/slapos"
	printf 'root:x:0:0:root:/:/bin/false\n%s:x:65532:65532::%s:/bin/false\n' "$name" "$home" >"$root/etc/passwd"
	printf 'root:x:0:\n%s:x:65532:\n' "$name" >"$root/etc/group"
	[ "$name" != slapos-proxy ] ||
		sed 's/^host = .*/host = ::/' docs/packaging/etc/slapos-proxy.cfg.example >"$root/etc/opt/slapos/slapos-proxy.cfg"
	pack "$work/layer.tar" 0 "$root" --exclude "./var/lib/$name" .
	pack "$work/layer.tar" 65532 "$root" "./var/lib/$name"
	crane append --oci-empty-base --new_layer "$work/layer.tar" --new_tag "$to"
	crane mutate "$to" --tag "$to" --set-platform "linux/$arch" --user 65532:65532 --workdir "$home" --exposed-ports "$port/tcp" \
		--entrypoint /usr/bin/slapos --cmd "$(echo "$*" | tr ' ' ,)" --label "org.opencontainers.image.version=$PACKAGE" \
		--label org.opencontainers.image.licenses=GPL-3.0-or-later
	rm -rf "$root" "$work/layer.tar"
}

crane() { "$TOOLS/crane" "$@" >>"$work/crane.log" 2>&1 || { cat "$work/crane.log" >&2; return 1; }; }

# registry: what images are put together in, on a free port of the loopback.
registry() {
	mkdir "$work/blobs"
	"$TOOLS/crane" registry serve --address 127.0.0.1:0 --disk "$work/blobs" 2>"$work/registry.log" &
	serving=$!
	for _ in $(seq 100); do
		registry=127.0.0.1:$(sed -n 's/.*serving on port //p' "$work/registry.log")
		[ "$registry" = 127.0.0.1: ] || return 0
		sleep 0.1
	done
	echo "release: crane's registry doesn't start: $(cat "$work/registry.log")" >&2
	return 1
}

# sbom: what the program is made of, in SPDX. Moment and random name of the document
# are replaced by those of the commit.
sbom() {
	SYFT_CHECK_FOR_APP_UPDATE=false "$TOOLS/syft" scan -q "file:$program" --source-name slapos --source-version "$PACKAGE" -o spdx-json |
		sed -E -e "s|\"created\":\"[^\"]*\"|\"created\":\"$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)\"|" \
			-e "s|\"documentNamespace\":\"[^\"]*\"|\"documentNamespace\":\"https://slapos.invalid/spdx/slapos-$PACKAGE-linux-$arch\"|" \
			>"$out/slapos-$PACKAGE-linux-$arch.spdx.json"
}

! wanted oci || registry
for arch in $ARCHES; do
	export ARCH="$arch" ROOT="$work/slapos-$PACKAGE-linux-$arch"
	program=$work/$arch/slapos
	if [ "$arch" = "$("$GO" env GOHOSTARCH)" ]; then
		install -D -m 755 bin/slapos "$program"
	else
		CGO_ENABLED=0 GOOS=linux GOARCH=$arch "$GO" build -buildvcs=false -tags "${TAGS-}" -trimpath -ldflags "${LDFLAGS-}" -o "$program" ./cmd/slapos
	fi
	BINARY=$program DESTDIR=$ROOT PREFIX=/usr docs/packaging/install.sh
	for format in deb rpm; do
		! wanted $format || "$TOOLS/nfpm" package --config docs/packaging/nfpm.yaml --packager $format --target "$out/" >/dev/null
	done
	if wanted tar; then
		pack "$work/$arch.tar" 0 "$work" "${ROOT##*/}"
		gzip -n -9 -c "$work/$arch.tar" >"$out/${ROOT##*/}.tar.gz"
	fi
	if wanted oci; then
		image slapos-proxy 5000 proxy start --cfg /etc/opt/slapos/slapos-proxy.cfg
		image slapos-cache 5010 cache start --host :: --port 5010 --directory /var/lib/slapos-cache
	fi
	! wanted sbom || sbom
	chmod -R u+w "$work"
	rm -rf "${work:?}/$arch" "$ROOT" "$work/$arch.tar"
done

if wanted oci; then
	for name in slapos-proxy slapos-cache; do
		set --
		for arch in $ARCHES; do set -- "$@" --manifest "$registry/$name:$arch"; done
		crane index append "$@" --docker-empty-base=false --tag "$registry/$name:all"
		crane pull --format oci "$registry/$name:all" "$work/$name"
		chmod -R u=rwX,go=rX "$work/$name"
		pack "$out/$name-$PACKAGE.oci.tar" 0 "$work/$name" .
	done
fi

sums=$(cd "$out" && sha256sum -- *)
printf '%s\n' "$sums" >"$out/SHA256SUMS"
if [ -n "${KEY-}" ]; then
	gpg --batch --yes --local-user "$KEY" --armor --detach-sign --output "$out/SHA256SUMS.asc" "$out/SHA256SUMS"
else
	echo "release: SHA256SUMS is not signed: name a gpg key to sign it, make release KEY=..." >&2
fi
(cd "$out" && ls -s --block-size=K)
