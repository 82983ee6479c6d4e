#!/bin/bash
# dist.sh BUILD_DIR - build/reheap-VERSION.tar.gz of what git tracks, the same bytes each time:
# names sorted, one owner, one mode for all, the time of the last commit. In a tree that came out of
# such a tarball: of all but build/, by the time that it gave the files, which are those bytes again.
set -eu
cd "$(dirname "$0")/../.."
build=${1:?usage: ci/own/dist.sh BUILD_DIR}
version=$(sed 's/^v//' ci/VERSION)
name=reheap-$version
files() {
	if [ -e .git ]; then
		git ls-files -z
	else
		find . -path ./build -prune -o \( -type f -o -type l \) -print0 | sed -z 's|^\./||'
	fi
}
epoch=${SOURCE_DATE_EPOCH:-$([ -e .git ] && git log -1 --format=%ct || stat -c %Y ci/VERSION)}
mkdir -p "$build"
files | LC_ALL=C sort -z |
	tar --null --files-from=- --create --sort=name --format=gnu --owner=0 --group=0 --numeric-owner \
		--mode='u+rw,go+r-w,a-s' --mtime="@$epoch" --transform="s|^|$name/|" |
	gzip -9n >"$build/$name.tar.gz.new"
mv "$build/$name.tar.gz.new" "$build/$name.tar.gz"
echo "$build/$name.tar.gz"
