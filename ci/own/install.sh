#!/bin/bash
# install.sh install|uninstall BUILD_DIR - installs everything under DESTDIR and PREFIX, or removes
# exactly that. One list serves both, so nothing is left behind.
#
# DESTDIR= PREFIX=/usr/local LIBDIR=$PREFIX/lib. Headers are installed as <reheap/NAME.h>: their
# folders here are the tree's, not the user's. RUN= goes before a cross-built reheap.
set -eu
cd "$(dirname "$0")/../.."
mode=${1:?usage: ci/own/install.sh install|uninstall BUILD_DIR}
build=${2:?usage: ci/own/install.sh install|uninstall BUILD_DIR}
# absolute PATH: without ~ (which sh leaves alone in PREFIX=~/x), without slashes too many
absolute() {
	local path=$1
	# shellcheck disable=SC2088  # the ~ is the text
	case $path in
	"~/"*) path=$HOME/${path#"~/"} ;;
	/*) ;;
	*) path=$PWD/$path ;;
	esac
	path=$(printf '%s/' "$path" | tr -s /)
	printf '%s' "${path%/}"
}
prefix=$(absolute "${PREFIX:-/usr/local}")
libdir=$(absolute "${LIBDIR:-$prefix/lib}")
root=${DESTDIR:-}
version=$(sed 's/^v//' ci/VERSION)
abi=${version%%.*}

made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT

# put MODE SOURCE DESTINATION
put() {
	if [ "$mode" = install ]; then
		install -D -m "$1" "$2" "$root$3"
	else
		rm -f "$root$3"
	fi
}
# link TARGET DESTINATION
link() {
	if [ "$mode" = install ]; then
		ln -sf "$1" "$root$2"
	else
		rm -f "$root$2"
	fi
}
# write DESTINATION COMMAND...: what the command prints
write() {
	local to=$1
	shift
	[ "$mode" = uninstall ] || "$@" >"$made/out"
	put 644 "$made/out" "$to"
}
# shellcheck disable=SC2086  # RUN may be several words, or none
reheap() {
	${RUN:-} "$build/reheap" "$@"
}
gzipped() {
	"$@" | gzip -9n
}
# An installed header: includes by <reheap/NAME.h>, without parts that only the driver uses.
public_header() {
	sed -E -e '/^\/\* ---- only for the driver ---- \*\/$/,/^#endif$/{/^#endif$/!d}' \
		-e 's@#include "[a-z/]*/([a-z_]+\.h)"@#include <reheap/\1>@' "$1" |
		awk '/^#ifndef RH_[A-Z_]*_H$/ && !done { print; getline; print
				print "\n#ifdef __cplusplus\nextern \"C\" {\n#endif"; done = 1; next }
			{ line[n++] = $0 }
			END {
				for (i = 0; i < n; i++) {
					if (i == n - 1)
						print "#ifdef __cplusplus\n}\n#endif\n"
					print line[i]
				}
			}'
}
public_example() {
	sed -E 's@#include "[a-z/]*/([a-z_]+\.h)"@#include <reheap/\1>@' "$1"
}
# Relative to the prefix, so that pkg-config --define-prefix finds a tree that was moved.
pkg_config() {
	local from=$libdir
	[ "${libdir#"$prefix/"}" = "$libdir" ] || from="\${prefix}/${libdir#"$prefix/"}"
	cat <<END
prefix=$prefix
includedir=\${prefix}/include
libdir=$from

Name: reheap
Description: read, write and import traces of memory behaviour; the interface of backends
Version: $version
Libs: -L"\${libdir}" -lreheap
Cflags: -I"\${includedir}"
END
}
commands() {
	reheap --help | sed -n 's/^  \([a-z-]*\)  .*/\1/p'
}

put 755 "$build/reheap" "$prefix/bin/reheap"
put 755 "$build/reheap-worker" "$prefix/libexec/reheap/reheap-worker"
put 644 "$build/libreheap-record.so" "$prefix/libexec/reheap/libreheap-record.so"
put 644 "$build/libreheap-maps.so" "$prefix/libexec/reheap/libreheap-maps.so"
put 644 "$build/libreheap-mutex.so" "$prefix/libexec/reheap/libreheap-mutex.so"
for file in plots/layout/*; do
	put 644 "$file" "$prefix/share/reheap/$file"
done
for file in traces/corpus/*.rht traces/corpus/go/*.rht; do
	put 644 "$file" "$prefix/share/reheap/corpus/${file##*/}"
done
put 644 harness/result/result.schema.json "$prefix/share/reheap/schema/result.schema.json"
for file in ci/policy.json ci/github/* ci/gitlab/*; do
	put 644 "$file" "$prefix/share/reheap/$file"
done

for file in README.md LICENSE ci/NEWS.md ci/gate/GATE.md traces/format/FORMAT.md \
	harness/METHOD.md harness/TRUTH.md harness/cli/COOKBOOK.md harness/cli/QUESTIONS.md harness/matrix/MATRIX.md \
	harness/result/RESULT.md plots/README.md traces/corpus/README.md traces/record/HOWTO.md; do
	name=${file##*/}
	case $file in
	plots/README.md) name=PLOTS.md ;;
	traces/corpus/README.md) name=CORPUS.md ;;
	traces/record/HOWTO.md) name=RECORDING.md ;;
	esac
	put 644 "$file" "$prefix/share/doc/reheap/$name"
done

for header in alloc/backend.h alloc/base/err.h alloc/base/opt.h alloc/base/lock_stats.h \
	traces/format/event.h traces/format/trace.h traces/format/repair.h traces/import/import.h; do
	write "$prefix/include/reheap/${header##*/}" public_header "$header"
done
for example in alloc/test/skeleton_native.c alloc/test/example_arena.c alloc/test/example_pools.cc \
	traces/test/example_writer.c; do
	write "$prefix/share/doc/reheap/examples/${example##*/}" public_example "$example"
done
put 644 "$build/libreheap.so.$abi" "$libdir/libreheap.so.$abi"
link "libreheap.so.$abi" "$libdir/libreheap.so"
write "$libdir/pkgconfig/reheap.pc" pkg_config

man=$prefix/share/man/man1
write "$man/reheap.1.gz" gzipped reheap help --man
for command in $(commands); do
	write "$man/reheap-$command.1.gz" gzipped reheap help --man "$command"
done
write "$prefix/share/bash-completion/completions/reheap" reheap help --completion bash
write "$prefix/share/zsh/site-functions/_reheap" reheap help --completion zsh
write "$prefix/share/fish/vendor_completions.d/reheap.fish" reheap help --completion fish

[ "$mode" = uninstall ] || exit 0
# Folders that are empty now go too; the system's own stay.
for folder in libexec/reheap share/reheap share/doc/reheap include/reheap share/man/man1 \
	share/bash-completion/completions share/zsh/site-functions share/fish/vendor_completions.d bin; do
	[ ! -d "$root$prefix/$folder" ] || find "$root$prefix/$folder" -depth -type d -empty -delete
done
for folder in "$libdir/pkgconfig" "$libdir"; do
	[ ! -d "$root$folder" ] || rmdir --ignore-fail-on-non-empty "$root$folder"
done
case $root$prefix in
/usr | /usr/local) ;;
*)
	for folder in libexec share/man share/doc share/bash-completion share/zsh share/fish share \
		include ''; do
		[ ! -d "$root$prefix/$folder" ] || rmdir --ignore-fail-on-non-empty "$root$prefix/$folder"
	done
	;;
esac
