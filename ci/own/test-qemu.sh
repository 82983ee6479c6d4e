#!/bin/bash
# test-qemu.sh - the unit tests, and a few whole runs, of an AArch64 build under qemu-user: pages of
# 4, 16 and 64 KiB.
#
# Quicker than a boot (test-arm64.sh has real kernels). The kernel here starts AArch64
# programs by binfmt_misc, registered in a user namespace of the run's own, so that the machine
# does not notice. Tests of what qemu-user does not have are named below and not counted. The
# recorder is not run here: with large pages qemu-user leaves out the end of ld.so's data, which
# ends programs that bind names late; record-pages.sh tests it with such pages.
#
#   CC=clang         built by clang instead of the cross gcc
#   PAGES="4096"     only those pages
#   TESTS=REGEX      the unit tests whose path begins so (alloc/, where pages and order matter)
#
# Debian 12's qemu-user is fetched (one static program), because newer ones (since 9.1) have the
# pages of the machine and no others, with a sysroot of Debian 12, into
# ${XDG_CACHE_HOME:-~/.cache}/reheap/arm64. Exit 77 with a message where that cannot be had.
# INSTALLED=1 (.ci/run): for machines that have a cross gcc and a qemu-user; only libraries are fetched.
set -u
cd "$(dirname "$0")/../.." || exit 2
# shellcheck source=ci/own/lib_arm64.sh
. ci/own/lib_arm64.sh

# ---- within the namespaces ----

# What qemu-user is given, for every program that is started from here on. It answers mincore for
# each of the machine's own pages, past the end of what the program gave; so programs get one that
# answers for theirs.
if [ "${1:-}" = /inside ]; then
	export QEMU_LD_PREFIX=$sysroot QEMU_PAGESIZE=$2 QEMU_SET_ENV=LD_PRELOAD=$cache/mincore.so
	mount -t binfmt_misc none /proc/sys/fs/binfmt_misc || exit 77
	magic='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
	mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
	printf '%s' ":aarch64:M::$magic:$mask:$QEMU:PF" >/proc/sys/fs/binfmt_misc/register || exit 77
	shift 2
	exec "$@"
fi

fetch_qemu() {
	local machine
	machine=$(dpkg --print-architecture)
	apt_of bookworm "$machine" download qemu-user-static && mkdir -p "$cache/qemu" &&
		unpack_all "bookworm-$machine" "$cache/qemu" && touch "$cache/qemu.done"
}
export QEMU=$cache/qemu/usr/bin/qemu-aarch64-static
if [ -n "${INSTALLED:-}" ]; then
	command -v aarch64-linux-gnu-gcc >/dev/null || skip_all 'aarch64-linux-gnu-gcc is not installed'
	[ -e "$cache/qemu.done" ] || QEMU=$(command -v qemu-aarch64-static || command -v qemu-aarch64) ||
		skip_all 'qemu-user is not installed'
fi
need_tools 'aarch64-linux-gnu-gcc dpkg-deb' 'gcc-aarch64-linux-gnu libc6-dev-arm64-cross'
have_sysroot
[ -n "${INSTALLED:-}" ] || [ -e "$cache/qemu.done" ] || fetch_qemu >"$cache/fetch-qemu.log" 2>&1 ||
	skip_all "Debian 12's qemu-user cannot be fetched: $cache/fetch-qemu.log"

cat >"$cache/mincore.c" <<-'END_C'
	#include <sys/syscall.h>
	#include <unistd.h>

	int mincore(char *at, unsigned long bytes, unsigned char *pages)
	{
		unsigned long page = (unsigned long)sysconf(_SC_PAGESIZE);

		for (unsigned long from = 0; from < bytes; from += page) {
			unsigned char part[64] = { 0 }, any = 0;

			if (syscall(SYS_mincore, at + from, bytes - from < page ? bytes - from : page, part) != 0)
				return -1;
			for (unsigned i = 0; i < sizeof(part); i++)
				any |= part[i];
			pages[from / page] = any & 1;
		}
		return 0;
	}
END_C
aarch64-linux-gnu-gcc --sysroot="$sysroot" -D_GNU_SOURCE -O2 -w -shared -fPIC "$cache/mincore.c" -o "$cache/mincore.so" ||
	skip_all 'the cross compiler does not link'

# emulated PAGE COMMAND...: where AArch64 programs start like others
emulated() {
	unshare -U -r -m --propagation private bash "$PWD/ci/own/test-qemu.sh" /inside "$@"
}
emulated 4096 true 2>/dev/null || skip_all 'this kernel has no binfmt_misc for a user namespace (Linux 6.7)'

build=build/aarch64-linux-gnu${CC:+-$CC}
log=$cache/build-qemu.log
make --no-print-directory -j"$(nproc)" NO_DEPS=1 CROSS=aarch64-linux-gnu- SYSROOT="$sysroot" ${CC:+CC="$CC"} \
	B="$build" tests >"$log" 2>&1 || {
	grep -m 5 -E 'error:|undefined|\*\*\*' "$log"
	echo "not ok 1 - builds for AArch64: $log"
	exit 1
}
check "builds for AArch64 by ${CC:-gcc}" grep -q 'AArch64' <(readelf -h "$build/reheap")
check 'without a warning' test "$(grep -c 'warning:' "$log")" = 0

# A lane that publishes looks for sleepers with a load that stays behind the store (ldar): emulation
# on x86 would not show that one is missing.
late() {
	aarch64-linux-gnu-objdump -dr "$build/obj/harness/worker/loop.o" | awk '
		/swp[a-z0-9_]*4?_?(acq_rel|al)|stlxr/ { seen++; open = 1; next }
		open && /\tld[a-z]*\t/ { if ($3 !~ /^lda/) { print; bad++ } open = 0 }
		END { exit bad > 0 || seen == 0 }'
}
check 'a publication comes before the look for sleepers' late

# musl: the worker is linked and starts, of all other sources each is compiled (Debian has no musl
# builds of the driver's libraries). Debian's musl, with the paths of its specs moved to where it is.
musl=$cache/musl
fetch_musl() {
	rm -rf "$musl" && mkdir -p "$musl/headers" &&
		apt_of bookworm arm64 clean && apt_of bookworm arm64 download musl musl-dev musl-tools &&
		unpack_all bookworm-arm64 "$musl" &&
		sed "s|/usr/|$musl/usr/|g" "$musl/usr/lib/aarch64-linux-musl/musl-gcc.specs" >"$musl/specs" &&
		ln -s "$sysroot"/usr/include/{linux,asm-generic} "$sysroot/usr/include/aarch64-linux-gnu/asm" \
			"$sysroot"/usr/include/{archive,archive_entry,jansson,jansson_config,sqlite3,zstd,zstd_errors,xxhash,sha2}.h \
			"$musl/headers/" && touch "$cache/musl.done"
}
if [ -e "$cache/musl.done" ] || fetch_musl >"$cache/fetch-musl.log" 2>&1; then
	check 'by musl: builds' make --no-print-directory -s -j"$(nproc)" NO_DEPS=1 AR=aarch64-linux-gnu-ar \
		CC="aarch64-linux-gnu-gcc -specs $musl/specs -idirafter $musl/headers" LDFLAGS=-static \
		B=build/aarch64-linux-musl build/aarch64-linux-musl/reheap-worker build/aarch64-linux-musl/libreheap.a
	check 'the worker starts' emulated 4096 build/aarch64-linux-musl/reheap-worker version
else
	echo "ok $((tests += 1)) - by musl: builds # SKIP musl cannot be fetched: $cache/fetch-musl.log"
fi

# What qemu-user does its own way: address space and its limits, residence, huge pages, words after an
# abort, and a late binding (above).
lacks='close_returns_everything|an_end_of_address_space_is_survived|pages_return_to_the_system'
lacks+='|huge_pages_are_asked_for_where_wanted|aborts_with_one_line|ranks_rise'
# only_lacking FILE: tests passed, none died, and those that failed are of the above
only_lacking() {
	tail -n 1 "$1" | grep -q -E '^[1-9][0-9]* passed' &&
		! grep -q -E '^failed [^ ].*: (exit 1[0-9][0-9]|still running)' "$1" &&
		! grep -E '^failed +not ok' "$1" | grep -v -E " ($lacks)\$"
}

sum=$(mktemp -d "${TMPDIR:-/tmp}/reheap-qemu.XXXXXX")
trap 'rm -rf "$sum"' EXIT
for page in ${PAGES:-4096 16384 65536}; do
	say=$(emulated "$page" "$build/helpers/page_size")
	check "pages of $page bytes: programs see them" test "$say" = "$page"
	emulated "$page" env TIMEOUT=900 ONLY="${TESTS:-alloc/}" ci/own/test.sh "$build" unit >"$sum/$page" 2>&1
	echo "# $(tail -n 1 "$sum/$page")"
	grep -E "^failed .* ($lacks)\$" "$sum/$page" | sed 's/.* - /# SKIP qemu-user has no such thing: /'
	check "pages of $page bytes: unit tests" only_lacking "$sum/$page"
	emulated "$page" "$build/reheap" replay traces/corpus/sqlite.rht --backend libc,tiered/pools,bump/thread --reps 1 \
		--verify >"$sum/replay" 2>&1 </dev/null
	code=$? # 6: something is absent here, as counters are
	check "pages of $page bytes: a whole trace is replayed and verified" test $code = 0 -o $code = 6
done
echo "1..$tests"
[ $failures = 0 ]
