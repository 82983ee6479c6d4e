#!/bin/bash
# deb.sh BUILD_DIR - Debian packages (reheap, libreheap0, reheap-dev) in BUILD_DIR/deb, built by
# debhelper from the tarball that `make dist` made, and checked by lintian if it is installed.
#
# debian/ lives in ci/debian here; the changelog is written from ci/VERSION and ci/NEWS.md, with the
# time that the tarball gave its files. So one tarball makes the same packages in any folder.
set -eu -o pipefail
cd "$(dirname "$0")/../.."
build=$(realpath "${1:?usage: ci/own/deb.sh BUILD_DIR}")
version=$(sed 's/^v//' ci/VERSION)
for tool in dh dpkg-buildpackage; do
	command -v $tool >/dev/null || {
		echo "make deb needs $tool: sudo apt-get install debhelper dpkg-dev, or make deb without NO_DEPS" >&2
		exit 1
	}
done
out=$build/deb
rm -rf "$out"
mkdir -p "$out"
cp "$build/reheap-$version.tar.gz" "$out/reheap_$version.orig.tar.gz"
tar -xzf "$out/reheap_$version.orig.tar.gz" -C "$out"
tree=$out/reheap-$version
cp -r "$tree/ci/debian" "$tree/debian"
# The version's own section of the news is its changelog entry.
{
	printf 'reheap (%s-1) unstable; urgency=medium\n\n' "$version"
	awk -v section="## v$version" '
		function flush() { if (item != "") print item; item = "" }
		/^## / { flush(); inside = ($0 == section); next }
		inside && /^\* / { flush(); item = substr($0, 3); next }
		inside && /^  / { item = item " " substr($0, 3) }
		END { flush() }' "$tree/ci/NEWS.md" | while read -r item; do
		echo "$item" | fold -s -w 74 | sed -e '1s/^/  * /' -e '2,$s/^/    /' -e 's/ *$//'
	done
	printf '\n -- reheap developers <reheap@users.noreply.github.com>  %s\n' \
		"$(TZ=UTC LC_ALL=C date -R -d "@$(stat -c %Y "$tree/ci/VERSION")")"
} >"$tree/debian/changelog"
(cd "$tree" && dpkg-buildpackage -us -uc -b >"$out/build.log" 2>&1) || {
	tail -n 30 "$out/build.log" >&2
	echo "make deb: the build failed; all of it is in $out/build.log" >&2
	exit 1
}
rm -rf "$tree"
ls "$out"/*.deb
if command -v lintian >/dev/null; then
	lintian --allow-root --fail-on error,warning "$out"/*.changes | tee "$out/lintian.log"
	echo 'lintian: no error, no warning' | tee -a "$out/lintian.log"
else
	echo 'lintian is not installed: the packages were not looked at'
fi
