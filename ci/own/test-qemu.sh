#!/bin/bash
# test-qemu.sh - the unit tests, and a few whole runs, of an AArch64 build under qemu-user: pages of
# 4, 16 and 64 KiB.
#
# Minutes where a boot takes longer (test-arm64.sh has real kernels). The kernel here starts AArch64
# programs by binfmt_misc, registered in a user namespace of the run's own, so that the machine
# does not notice; a test that needs what qemu-user lacks (robust mutexes, ptrace, counters) says so
# and is skipped by itself.
#
#   CC=clang         built by clang instead of the cross gcc
#   PAGES="4096"     only those pages
#   TESTS="alloc/"   only unit tests whose path begins so
#
# Debian 12's qemu-user is fetched (one static program), because newer ones (since 9.1) have the
# pages of the machine and no others, with a sysroot of Debian 12, into
# ${XDG_CACHE_HOME:-~/.cache}/reheap/arm64. Exit 77 with a message where that cannot be had.
# FETCH=no: what is not there already is a reason to skip.
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
	printf '%s' ":aarch64:M::$magic:$mask:$cache/qemu/usr/bin/qemu-aarch64-static:PF" >/proc/sys/fs/binfmt_misc/register || exit 77
	shift 2
	exec "$@"
fi

if [ "${FETCH:-}" = no ]; then
	for there in "$cache/sysroot.done" "$cache/qemu.done"; do
		[ -e "$there" ] || skip_all "$there is not there: make test-qemu fetches it"
	done
	command -v aarch64-linux-gnu-gcc >/dev/null || skip_all 'aarch64-linux-gnu-gcc is not installed'
fi
need_tools 'aarch64-linux-gnu-gcc dpkg-deb' 'gcc-aarch64-linux-gnu libc6-dev-arm64-cross'
have_sysroot
machine=$(dpkg --print-architecture)
fetch_qemu() {
	apt_of bookworm "$machine" download qemu-user-static && mkdir -p "$cache/qemu" &&
		unpack_all "bookworm-$machine" "$cache/qemu" && touch "$cache/qemu.done"
}
[ -e "$cache/qemu.done" ] || fetch_qemu >"$cache/fetch-qemu.log" 2>&1 ||
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

sum=$(mktemp -d "${TMPDIR:-/tmp}/reheap-qemu.XXXXXX")
trap 'rm -rf "$sum"' EXIT
for page in ${PAGES:-4096 16384 65536}; do
	say=$(emulated "$page" "$build/helpers/page_size")
	check "pages of $page bytes: programs see them" test "$say" = "$page"
	emulated "$page" env TIMEOUT=900 ONLY="${TESTS:-}" ci/own/test.sh "$build" unit >"$sum/$page" 2>&1
	tail -n 1 "$sum/$page"
	grep '^failed ' "$sum/$page" | sed 's/^/# /'
	check "pages of $page bytes: unit tests" grep -q -E '^[1-9][0-9]* passed, 0 failed' "$sum/$page"
done
echo "1..$tests"
[ $failures = 0 ]
