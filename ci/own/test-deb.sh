#!/bin/bash
# test-deb.sh BUILD_DIR - tests the packages of `make deb` on a clean machine.
#
# Here: lintian found nothing, and a second build, in another folder, has the same bytes.
# A clean Debian by debootstrap, in a mount namespace of its own, gets the packages by apt with what
# they depend on. There: the manual pages, completion of values in bash, a recording, a replay,
# the native example built from the installed headers, and after removal not one file more than
# before. The base system is kept in ${XDG_CACHE_HOME:-~/.cache}/reheap/debian-SUITE.tar; SUITE=
# bookworm is what it is else. Exit 77 with a line where there is no root, debootstrap or archive.
set -u
cd "$(dirname "$0")/../.." || exit 2
export LC_ALL=C DEBIAN_FRONTEND=noninteractive
build=$(realpath "${1:?usage: ci/own/test-deb.sh BUILD_DIR}")
suite=${SUITE:-bookworm}
mirror=${MIRROR:-http://deb.debian.org/debian}
base=${XDG_CACHE_HOME:-$HOME/.cache}/reheap/debian-$suite.tar

# Within the namespace, in the chroot: TAP.
inside() {
	local n=2 bad=0 # two were before the chroot
	check() {
		local what=$1
		shift
		n=$((n + 1))
		if "$@" >/tmp/out 2>&1 </dev/null; then
			echo "ok $n - $what"
		else
			echo "not ok $n - $what"
			tail -n 12 /tmp/out | sed 's/^/# /'
			bad=1
		fi
	}
	# Files of the package manager and its caches do not belong to the packages.
	files() {
		find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /tmp -o -path /packages \
			-o -path /var/lib/dpkg -o -path /var/lib/apt -o -path /var/cache -o -path /var/log \
			-o -path /etc/ld.so.cache \) -prune -o -print | sort
	}
	completed() {
		bash -c '. /usr/share/bash-completion/completions/reheap
			COMP_LINE=$1 COMP_POINT=${#1} COMP_TYPE=9
			read -r -a COMP_WORDS <<<"$1"; COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
			_reheap; echo "${COMPREPLY[*]}"' bash "$1"
	}
	unset TMPDIR # the one outside is not here
	cd /tmp || exit 1
	# Compiler and manual reader first: they are the test's, not the package's.
	check 'the test has its tools' apt-get install -y -q --no-install-recommends gcc libc6-dev \
		pkgconf man-db bash-completion libarchive13 libjansson4 libsqlite3-0 libzstd1 libxxhash0 libmd0
	files >/tmp/before
	check 'the packages install' apt-get install -y -q --no-install-recommends /packages/*.deb
	check 'reheap says its version' reheap --version
	check 'man reheap-replay shows' bash -c 'man -P cat reheap-replay | grep -q "EXIT STATUS"'
	check 'completion: --backend ti' test "$(completed 'reheap replay --backend ti')" = tiered
	check 'a trace is made' reheap gen churn -o t.rht events=20000
	check 'a replay finds its worker' reheap replay t.rht --backend libc,tiered --reps 1 -o r.json
	check 'a program is recorded' reheap record -o p.rht -- ls /
	check 'the schema of results is there' test -s /usr/share/reheap/schema/result.schema.json
	check 'figures find their layouts' reheap plot r.json --builtin -o figures
	# shellcheck disable=SC2046  # flags are words
	check 'the native example builds from the package' cc -std=gnu11 -O2 -fPIC -shared \
		/usr/share/doc/reheap-dev/examples/skeleton_native.c $(pkgconf --cflags reheap) -o mine.so
	check 'and serves a replay' reheap replay t.rht --backend ./mine.so --reps 1 --verify
	# shellcheck disable=SC2046
	check 'the trace writer builds' cc -std=c11 /usr/share/doc/reheap-dev/examples/example_writer.c \
		$(pkgconf --cflags --libs reheap) -o writer
	check 'and writes a trace' bash -c './writer w.rht && reheap info w.rht'
	check 'the packages go' apt-get purge -y -q reheap reheap-dev 'libreheap*'
	files >/tmp/after
	check 'nothing is left' diff /tmp/before /tmp/after
	echo "1..$n"
	exit $bad
}
[ "${1:-}" != /inside ] || inside

# shellcheck source=ci/own/lib_chroot.sh
. ci/own/lib_chroot.sh
packages=$(ls "$build"/deb/*.deb 2>/dev/null)
[ -n "$packages" ] || skip_all "no package in $build/deb: make deb"

work=$(mktemp -d "${TMPDIR:-/tmp}/reheap-deb.XXXXXX") || exit 2
failed=0
trap 'rm -rf --one-file-system "$work"' EXIT
chroot=$work/root
if [ ! -e "$base" ]; then
	mkdir -p "${base%/*}"
	unshare -m -p -f --propagation private debootstrap --variant=minbase "$suite" "$chroot" "$mirror" \
		>"$base.log" 2>&1 </dev/null || skip_all "debootstrap of $suite failed: $base.log"
	tar -C "$chroot" -cf "$base.new" . && mv "$base.new" "$base"
else
	mkdir -p "$chroot" && tar -C "$chroot" -xf "$base"
fi
mkdir -p "$chroot/packages"
# shellcheck disable=SC2086  # a list of files
cp $packages "$chroot/packages/"
rm -f "$chroot"/packages/*dbgsym*
cp /etc/resolv.conf "$chroot/etc/resolv.conf"
cp "$0" "$chroot/packages/test-deb.sh"
export work chroot
# shellcheck disable=SC2016  # expanded by the inner shell
[ ! -e "$build/deb/lintian.log" ] && echo 'ok 1 - lintian # SKIP lintian is not installed' ||
	{ grep -q 'no error, no warning' "$build/deb/lintian.log" && echo 'ok 1 - lintian: no error, no warning'; } ||
	{ echo 'not ok 1 - lintian'; failed=1; }
sums() {
	(cd "$1" && sha256sum ./*.deb)
}
if ci/own/dist.sh "$work/another" >"$work/again.log" 2>&1 && ci/own/deb.sh "$work/another" >>"$work/again.log" 2>&1 &&
	diff <(sums "$build/deb") <(sums "$work/another/deb"); then
	echo 'ok 2 - built again in another folder: the same bytes'
else
	echo 'not ok 2 - built again in another folder: the same bytes'
	tail -n 5 "$work/again.log" | sed 's/^/# /'
	failed=1
fi
unshare -m -p -f --propagation private bash -c '
	mount -t proc proc "$chroot/proc" && mount -t tmpfs tmpfs "$chroot/dev/shm" &&
	for dev in null zero urandom tty; do [ -e "$chroot/dev/$dev" ] || cp -a "/dev/$dev" "$chroot/dev/"; done
	chroot "$chroot" /bin/bash -c "apt-get update -q >/dev/null 2>&1; exec /bin/bash /packages/test-deb.sh /inside"' || failed=1
exit $failed
