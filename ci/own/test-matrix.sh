#!/bin/bash
# test-matrix.sh - reheap on other systems: built, its unit tests and some end-to-end tests run, a
# short replay.
#
# A row is SYSTEM/COMPILER/PARTS. The system is a clean one by debootstrap (bookworm and trixie of
# Debian, noble of Ubuntu 24.04) in namespaces of its own; the compiler gcc, clang or musl-gcc; the
# optional parts `all` (what `make deps` installs there), `none`, or `no:PACKAGE` (all but that one).
#
#   (default)    four rows: each system, gcc and clang, with all and with none
#   FULL=1       each system with each compiler, with all and with none, musl, each part alone
#                missing; every end-to-end test
#   ROWS='...'   these rows
#   TESTS=REGEX, SCRIPTS=REGEX   the unit tests and end-to-end tests whose path begins so (alloc/)
#   SHOW=1       runs none of them: the lines of the last run of each
#
# Ends with one line for each row, and exit 1 when one failed. A row that cannot be tried here is
# skipped with the reason; 77 when that holds for all. Base systems, compiled objects (ccache) and
# the logs of the last run are kept in ${XDG_CACHE_HOME:-~/.cache}/reheap/matrix, outside the tree.
# Remove that folder to have newer systems.
# MIRROR_DEBIAN= and MIRROR_UBUNTU= name other archives, KEEP=1 keeps the folder of the run.
set -u
cd "$(dirname "$0")/../.." || exit 2
export LC_ALL=C DEBIAN_FRONTEND=noninteractive
cache=${XDG_CACHE_HOME:-$HOME/.cache}/reheap/matrix
debian=${MIRROR_DEBIAN:-http://deb.debian.org/debian}
ubuntu=${MIRROR_UBUNTU:-https://archive.ubuntu.com/ubuntu}

# ---- within the namespace, in the chroot ----

# Of the end-to-end tests those where systems differ: loaders, allocators, shells, installed files.
scripts=${SCRIPTS:-ci/own/e2e/(install|backends|order|record|record-families|probes)[.]sh}
[ -z "${FULL:-}" ] || scripts=ci/own/e2e/

# What one row says: lines `system`, `compiler`, `build`, `tests`, `scripts`, `replay`, each TAB and
# the words.
inside() {
	local compiler=$1 parts=$2 cc=$1 jobs
	unset TMPDIR # the one outside is not here
	export CCACHE_DIR=/ccache CCACHE_COMPILERCHECK=content CCACHE_MAXSIZE=2G HOME=/root
	cd /src || exit 2
	[ "${parts%%:*}" != no ] || dpkg --remove --force-depends "${parts#no:}" >/row/remove.log 2>&1 ||
		{ printf 'failed\tremoving %s\n' "${parts#no:}"; exit 1; }
	# shellcheck source=/dev/null
	printf 'system\t%s\n' "$(. /etc/os-release && echo "$PRETTY_NAME")"
	[ "$compiler" != musl ] || { inside_musl; return; }
	printf 'compiler\t%s\n' "$compiler $($cc -dumpfullversion 2>/dev/null || $cc -dumpversion)"
	jobs=$(nproc)
	if make -k -j"$jobs" NO_DEPS=1 CC="ccache $cc" CFLAGS=-O2 tests >/row/build.log 2>&1; then
		printf 'build\tok, %s warnings\n' "$(grep -c 'warning:' /row/build.log)"
	else
		printf 'failed\tthe build: %s\n' "$(grep -m 1 -E 'error:|undefined reference|\*\*\*' /row/build.log)"
		exit 1
	fi
	# A niced run on a busy machine must not count as a hang.
	ONLY=${TESTS:-} TIMEOUT=1200 ci/own/test.sh build unit >/row/unit.log 2>&1
	printf 'tests\t%s\n' "$(tail -n 1 /row/unit.log)"
	grep '^failed ' /row/unit.log | head -n 5 | sed 's/^failed /failed\tunit tests: /'
	# CC: what tests compile of their own is by the row's compiler, too.
	CC=$cc ONLY=$scripts TIMEOUT=1200 ci/own/test.sh build e2e >/row/e2e.log 2>&1
	printf 'scripts\t%s\n' "$(tail -n 1 /row/e2e.log)"
	grep '^failed ' /row/e2e.log | head -n 5 | sed 's/^failed /failed\tend to end: /'
	replay
}

# The worker, which needs the C library alone, is built and asked for its version. Of the driver all
# sources are compiled; it is linked where its libraries are built for musl, which Debian's are not.
# The recorder needs the versions of glibc's symbols.
inside_musl() {
	local name target missing=''
	mkdir -p /musl && ln -sfn /usr/include/linux /usr/include/asm-generic /usr/include/x86_64-linux-gnu/asm \
		/usr/include/{archive,archive_entry,jansson,jansson_config,sqlite3,zstd,zstd_errors,xxhash,sha2}.h \
		/musl/
	printf 'compiler\tmusl-gcc\n'
	for name in archive jansson sqlite3 zstd xxhash md; do
		echo 'int main(void) { return 0; }' | musl-gcc -x c - -o /tmp/linked "-l$name" 2>/dev/null || missing="$missing lib$name"
	done
	target="build/reheap-worker build/libreheap.a"
	[ -n "$missing" ] || target=all
	# shellcheck disable=SC2086  # a list of targets
	make -k -j"$(nproc)" NO_DEPS=1 CC='ccache musl-gcc -idirafter /musl' CFLAGS=-O2 $target >/row/build.log 2>&1 ||
		{ printf 'failed\tthe build: %s\n' "$(grep -m 1 -E 'error:|undefined reference' /row/build.log)"; return; }
	printf 'build\tok, %s warnings\ntests\t-\nscripts\t-\n' "$(grep -c 'warning:' /row/build.log)"
	build/reheap-worker version >/row/replay.out 2>&1 || printf 'failed\tthe worker does not start\n'
	printf 'replay\tthe worker starts; the driver %s\n' \
		"$([ -n "$missing" ] && echo "is compiled, not linked: no musl build of$missing" || echo 'is linked')"
}

replay() {
	local name backends=libc,tiered/pools
	for name in jemalloc mimalloc tcmalloc tbbmalloc scudo; do
		build/reheap list backends | grep -E "^ *$name " | grep -q absent || backends=$backends,$name
	done
	{
		build/reheap gen churn -o /tmp/t.rht events=20000 seed=1 &&
			# 6: something is absent here, as counters are without a counter unit
			{ build/reheap replay /tmp/t.rht --backend "$backends" --reps 1 --probes time,latency,memory,counters \
				--format csv -o /tmp/r.json || [ $? = 6 ]; } &&
			build/reheap plot /tmp/r.json --builtin -o /tmp/figures &&
			build/reheap record -o /tmp/p.rht -- ls /
	} >/row/replay.out 2>/row/replay.log || {
		printf 'failed\ta replay: %s\n' "$(tail -n 1 /row/replay.log)"
		return
	}
	printf 'replay\t%s\n' "$backends"
}
if [ "${1:-}" = /inside ]; then
	inside "$2" "$3"
	exit 0
fi

# ---- outside ----

# shellcheck source=ci/own/lib_chroot.sh
. ci/own/lib_chroot.sh
mkdir -p "$cache/ccache" "$cache/logs" || skip_all "$cache cannot be made"

rows() {
	local suite compiler package
	if [ -n "${ROWS:-}" ]; then
		echo "$ROWS"
		return
	elif [ -z "${FULL:-}" ]; then
		echo bookworm/gcc/all trixie/gcc/all noble/gcc/all trixie/clang/none
		return
	fi
	for suite in bookworm trixie noble; do
		for compiler in gcc clang; do
			echo "$suite/$compiler/all $suite/$compiler/none"
		done
	done
	echo bookworm/musl/none
	for package in libpapi-dev gnuplot-nox valgrind babeltrace2 libjemalloc2 libmimalloc3 libtcmalloc-minimal4t64 \
		libtbbmalloc2 libclang-rt-19-dev; do
		echo "trixie/gcc/no:$package"
	done
}

# in_root ROOT COMMAND...: within namespaces of its own, so that what it mounts and starts ends with it
in_root() {
	chroot_of=$1 unshare -m -p -f --propagation private bash -c '
		root=$chroot_of
		mount -t proc proc "$root/proc" && mount -t sysfs sys "$root/sys" &&
		mkdir -p "$root/dev/shm" && mount -t tmpfs tmpfs "$root/dev/shm" || exit 2
		for dev in null zero full random urandom tty; do
			[ -e "$root/dev/$dev" ] || cp -a "/dev/$dev" "$root/dev/"
		done
		[ ! -d "$root/ccache" ] || mount --bind "$1" "$root/ccache" || exit 2
		shift
		exec chroot "$root" "$@"' in_root "$cache/ccache" "${@:2}" </dev/null
}

# bootstrap SUITE ROOT
bootstrap() {
	local suite=$1 root=$2 mirror=$debian components=main script='' check=''
	if [ "$suite" = noble ]; then
		mirror=$ubuntu components=main,universe
		# All of Ubuntu's are one script; an older debootstrap does not know the newer names.
		[ -e /usr/share/debootstrap/scripts/noble ] || script=gutsy
		# Without Ubuntu's keys the archive is verified by its certificate; later apt has
		# the keys.
		[ -e /usr/share/keyrings/ubuntu-archive-keyring.gpg ] || check=--no-check-gpg
	fi
	# shellcheck disable=SC2086  # an option or none
	unshare -m -p -f --propagation private debootstrap --variant=minbase --components=$components $check \
		"$suite" "$root" "$mirror" $script </dev/null &&
		sed -i 's|https://|http://|' "$root/etc/apt/sources.list"
}

# system SUITE PARTS: makes $cache/SUITE-PARTS.tar, or says in $why what is in the way
system() {
	local suite=$1 parts=$2 root tar=$cache/$1-$2.tar log=$cache/logs/system-$1-$2.log
	[ ! -e "$tar" ] || return 0
	root=$(mktemp -d "$work/root.XXXXXX")
	echo "# making $suite with $parts of the optional parts ..."
	if [ "$parts" = none ]; then
		why="debootstrap of $suite failed: $log"
		bootstrap "$suite" "$root" >"$log" 2>&1 || return 1
		mkdir -p "$root/ccache" "$root/src" "$root/row"
		cp /etc/resolv.conf "$root/etc/resolv.conf"
		why="the packages of $suite cannot be had: $log"
		# shellcheck disable=SC2046  # a list of packages
		in_root "$root" bash -c 'apt-get update -q && apt-get install -y -q --no-install-recommends "$@" &&
			apt-get clean' install clang ccache binutils procps musl-tools $(LIST=required ci/own/deps.sh) \
			>>"$log" 2>&1 || return 1
	else
		why="the optional packages of $suite cannot be had: $log"
		system "$suite" none && tar -C "$root" -xf "$cache/$suite-none.tar" || return 1
		sources "$root"
		in_root "$root" bash -c 'cd /src && CI=true ci/own/deps.sh && apt-get clean' >"$log" 2>&1 || return 1
	fi
	rm -rf "$root/src"
	mkdir -p "$root/src"
	tar -C "$root" --exclude=./proc/* --exclude=./sys/* -cf "$tar.new" . && mv "$tar.new" "$tar"
	rm -rf --one-file-system "$root"
}

# The tree as it stands, also what is not committed.
sources() {
	{ git ls-files -co --exclude-standard 2>/dev/null || find . -type f -not -path './build/*'; } |
		tar -cf - -T - | tar -xf - -C "$1/src"
}

# row SUITE COMPILER PARTS: its lines go to $cache/logs/ROW
row() {
	local suite=$1 compiler=$2 parts=$3 root said=$cache/logs/$1-$2-$3
	local base=$parts
	[ "${parts%%:*}" != no ] || base=all
	rm -rf "$said" && mkdir -p "$said"
	case $compiler in
	gcc | clang | musl) ;;
	*) printf 'failed\tno such compiler: %s\n' "$compiler" >"$said/said"; return ;;
	esac
	system "$suite" "$base" || { printf 'skipped\t%s\n' "$why" >"$said/said"; return; }
	root=$(mktemp -d "$work/root.XXXXXX")
	tar -C "$root" -xf "$cache/$suite-$base.tar" && sources "$root" || {
		printf 'skipped\tno room to unpack %s\n' "$suite" >"$said/said"
		return
	}
	echo "# $suite, $compiler, $parts ..."
	in_root "$root" /bin/bash /src/ci/own/test-matrix.sh /inside "$compiler" "$parts" >"$said/said" 2>"$said/errors"
	cp "$root"/row/*.log "$said/" 2>/dev/null
	rm -rf --one-file-system "$root"
}

work=$(mktemp -d "${TMPDIR:-/tmp}/reheap-matrix.XXXXXX") || exit 2
trap '[ -n "${KEEP:-}" ] || rm -rf --one-file-system "$work"' EXIT
# shellcheck disable=SC2046  # a list of rows
set -- $(rows)
for name in "$@"; do
	IFS=/ read -r suite compiler parts <<<"$name"
	[ -n "${SHOW:-}" ] || row "$suite" "$compiler" "$parts"
done

# said ROW KEY
said() {
	sed -n "s/^$2	//p" "$cache/logs/${1//\//-}/said" 2>/dev/null | head -n 1
}
echo
line='%-20.20s %-14s %-26s %-16s %-34s %-34s %s\n'
# shellcheck disable=SC2059  # one format for all
printf "$line" system compiler 'optional parts' build 'unit tests' 'end to end' replay
failures=0 tried=0
for name in "$@"; do
	IFS=/ read -r suite compiler parts <<<"$name"
	why=$(said "$name" skipped)
	if [ -n "$why" ]; then
		printf '%-20s %-14s %-26s skipped: %s\n' "$suite" "$compiler" "$parts" "$why"
		continue
	fi
	tried=$((tried + 1))
	system=$(said "$name" system)
	# shellcheck disable=SC2059
	printf "$line" "${system:-$suite}" "$(said "$name" compiler)" "$parts" "$(said "$name" build)" \
		"$(said "$name" tests)" "$(said "$name" scripts)" "$(said "$name" replay)"
	# A row passes when all parts reported success: built without a warning, tests without a
	# failure, a replay.
	if grep -q '^failed' "$cache/logs/${name//\//-}/said" 2>/dev/null || [ -z "$(said "$name" replay)" ] ||
		[ "$(said "$name" build)" != 'ok, 0 warnings' ]; then
		failures=$((failures + 1))
		grep '^failed' "$cache/logs/${name//\//-}/said" 2>/dev/null | sed 's/^failed	/    failed: /'
		echo "    the logs: $cache/logs/${name//\//-}"
	fi
done
[ $tried -gt 0 ] || skip_all 'no row can be tried here'
echo "$((tried - failures)) passed, $failures failed, $(($# - tried)) skipped"
[ $failures = 0 ]
