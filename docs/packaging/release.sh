#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
#
# release.sh DIRECTORY: makes the packages of this source in DIRECTORY, which it
# empties. The same commit gives the same bytes, wherever it is built. `make release`
# calls it, after `make build`, with GO, TAGS and LDFLAGS of the Makefile and
#
#   PACKAGE            the version of the packages
#   SOURCE_DATE_EPOCH  the time that all files get
#   TOOLS              the directory of nfpm, umoci and syft
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
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
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
# of that name. WORD... is what the program is called with.
image() {
	name=$1 port=$2
	shift 2
	root=$work/root home=/var/lib/$name
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

	layout=$work/$name tag=$work/$name:$(echo "$PACKAGE" | tr + -) time=$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)
	"$TOOLS/umoci" init --layout "$layout"
	"$TOOLS/umoci" new --image "$tag"
	"$TOOLS/umoci" raw add-layer --image "$tag" --history.created "$time" --history.author "" --history.created_by "slapos $PACKAGE" "$work/layer.tar"
	for word; do
		set -- "$@" --config.cmd "$word"
		shift
	done
	"$TOOLS/umoci" config --image "$tag" --no-history --created "$time" --os linux --architecture "$arch" \
		--config.user 65532:65532 --config.workingdir "$home" --config.volume "$home" --config.exposedports "$port/tcp" \
		--config.entrypoint /usr/bin/slapos "$@" \
		--config.label "org.opencontainers.image.version=$PACKAGE" --config.label org.opencontainers.image.licenses=GPL-3.0-or-later
	"$TOOLS/umoci" gc --layout "$layout"
	pack "$out/$name-$PACKAGE-linux-$arch.oci.tar" 0 "$layout" .
	rm -rf "$root" "$layout" "$work/layer.tar"
}

# sbom: what the program is made of, in SPDX. The moment and the random name that the
# tool gives a document come from the commit instead.
sbom() {
	"$TOOLS/syft" scan -q "file:$program" --source-name slapos --source-version "$PACKAGE" -o spdx-json |
		sed -E -e "s|\"created\": *\"[^\"]*\"|\"created\":\"$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)\"|" \
			-e "s|\"documentNamespace\": *\"[^\"]*\"|\"documentNamespace\":\"https://slapos.invalid/spdx/slapos-$PACKAGE-linux-$arch\"|" \
			>"$out/slapos-$PACKAGE-linux-$arch.spdx.json"
}

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

sums=$(cd "$out" && sha256sum -- *)
printf '%s\n' "$sums" >"$out/SHA256SUMS"
if [ -n "${KEY-}" ]; then
	gpg --batch --yes --local-user "$KEY" --armor --detach-sign --output "$out/SHA256SUMS.asc" "$out/SHA256SUMS"
else
	echo "release: SHA256SUMS is not signed: name a gpg key to sign it, make release KEY=..." >&2
fi
(cd "$out" && ls -s --block-size=K)
