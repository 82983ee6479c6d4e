#!/bin/bash
# dist.sh BUILD_DIR - build/reheap-VERSION.tar.gz of what git tracks, the same bytes each time:
# names sorted, one owner, one mode for all, the time of the last commit.
set -eu
cd "$(dirname "$0")/../.."
build=${1:?usage: ci/own/dist.sh BUILD_DIR}
version=$(sed 's/^v//' ci/VERSION)
name=reheap-$version
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
mkdir -p "$build"
git ls-files -z |
	tar --null --files-from=- --create --sort=name --format=gnu --owner=0 --group=0 --numeric-owner \
		--mode='u+rw,go+r-w,a-s' --mtime="@$epoch" --transform="s|^|$name/|" |
	gzip -9n >"$build/$name.tar.gz.new"
mv "$build/$name.tar.gz.new" "$build/$name.tar.gz"
echo "$build/$name.tar.gz"
