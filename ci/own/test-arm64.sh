#!/bin/bash
# test-arm64.sh - reheap on another processor, and on a real counter unit.
#
# Builds for AArch64 and boots Debian's arm64 kernels in qemu-system-aarch64:
#
#   4 KiB pages, a Cortex-A57 with -icount: its counter unit counts instructions exactly. doctor, and
#     replays counted by perf, by PAPI and by callgrind, which must agree; a recorded trace beside.
#   16 KiB pages, the newest instructions (LSE atomics): the recorder, heaps and stacks, verified.
#   72 CPUs in two NUMA nodes: lanes by default, folded and pinned, CPUs past 64, waits between
#     lanes, and the recorder with 64 threads.
#
# Fetched once into ${XDG_CACHE_HOME:-~/.cache}/reheap/arm64: packages of Debian 12 for arm64 (a
# sysroot), its kernel, and the 16 KiB kernel of Debian 13. 64 KiB pages are not booted, because
# Debian has no such kernel: test-qemu.sh runs the unit tests with them. Exit 77 with a message if
# they are not available. BOOTS="4k 16k many" chooses; KEEP=1 keeps the folder of the run;
# BOOT_SECONDS= limits one boot (900).
set -u
cd "$(dirname "$0")/../.." || exit 2
# shellcheck source=ci/own/lib_arm64.sh
. ci/own/lib_arm64.sh
need_tools 'qemu-system-aarch64 aarch64-linux-gnu-gcc cpio dpkg-deb' \
	'qemu-system-arm gcc-aarch64-linux-gnu libc6-dev-arm64-cross cpio'

# ---- fetched once ----

# fetch_kernel SUITE PACKAGE SIZE: the kernel that the package depends on, as $cache/kernel-SIZE
fetch_kernel() {
	local suite=$1 name
	apt_of "$suite" arm64 clean
	name=$(APT_CONFIG=$cache/apt/$suite-arm64/apt.conf apt-cache depends "$2" |
		sed -n 's/^ *Depends: \(linux-image\)/\1/p' | head -n 1)
	[ -n "$name" ] && apt_of "$suite" arm64 download "$name" || return 1
	mkdir -p "$cache/kernel-$3"
	dpkg-deb --fsys-tarfile "$cache/apt/$suite-arm64"/cache/archives/linux-image-*.deb |
		tar -x -C "$cache/kernel-$3" --wildcards './boot/vmlinuz*' && touch "$cache/$3.done"
}

have_sysroot
for kernel in bookworm:linux-image-arm64:4k trixie:linux-image-arm64-16k:16k; do
	IFS=: read -r suite package size <<<"$kernel"
	[ -e "$cache/$size.done" ] || fetch_kernel "$suite" "$package" "$size" >"$cache/fetch-$size.log" 2>&1
done
[ -e "$cache/4k.done" ] || skip_all "the arm64 kernel cannot be fetched: $cache/fetch-4k.log"

# ---- built, and packed with what it loads ----

make --no-print-directory -j"$(nproc)" NO_DEPS=1 CROSS=aarch64-linux-gnu- SYSROOT="$sysroot" all \
	build/aarch64-linux-gnu/helpers/malloc_loop >"$cache/build.log" 2>&1 || {
	tail -n 20 "$cache/build.log"
	echo 'not ok 1 - builds for AArch64'
	exit 1
}
check 'builds for AArch64' test -x build/aarch64-linux-gnu/reheap
build=build/aarch64-linux-gnu
run=$(mktemp -d "${TMPDIR:-/tmp}/reheap-arm64.XXXXXX")
trap '[ -n "${KEEP:-}" ] || rm -rf "$run"' EXIT
guest=$run/guest
mkdir -p "$guest"/{bin,dev,proc,sys,tmp,$lib,usr/bin,usr/libexec,traces,reheap}
ln -s aarch64-linux-gnu/ld-linux-aarch64.so.1 "$guest/lib/ld-linux-aarch64.so.1"

# pack FILE: a library of the sysroot by its name, and all that it needs
pack() {
	local from name
	for from in "$sysroot/$lib/$1" "$sysroot/usr/$lib/$1"; do
		[ -e "$from" ] || continue
		[ ! -e "$guest/$lib/$1" ] || return 0
		cp -L "$from" "$guest/$lib/$1"
		for name in $(aarch64-linux-gnu-readelf -d "$from" | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p'); do
			pack "$name"
		done
		return 0
	done
	echo "# $1 is not in the sysroot"
}
cp "$build"/reheap "$build"/reheap-worker "$build"/*.so "$build"/helpers/malloc_loop "$guest/reheap/"
for file in "$build"/reheap "$build"/libreheap-record.so; do
	for name in $(aarch64-linux-gnu-readelf -d "$file" | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p'); do
		pack "$name"
	done
done
for name in libpapi.so.7.0 libjemalloc.so.2 ld-linux-aarch64.so.1; do pack "$name"; done
cp -P "$sysroot/usr/$lib"/libpapi.so* "$guest/$lib/" 2>/dev/null
cp "$sysroot/bin/busybox" "$guest/bin/"
cp "$sysroot/usr/bin/valgrind" "$guest/usr/bin/" 2>/dev/null
cp "$sysroot/usr/bin/valgrind.bin" "$guest/usr/bin/" 2>/dev/null
mkdir -p "$guest/usr/libexec/valgrind"
for name in callgrind-arm64-linux vgpreload_core-arm64-linux.so default.supp; do
	cp "$sysroot/usr/libexec/valgrind/$name" "$guest/usr/libexec/valgrind/"
done
aarch64-linux-gnu-strip -g "$guest"/reheap/* 2>/dev/null
cp traces/corpus/sqlite.rht "$guest/traces/"

cat >"$guest/init" <<'END'
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin:/usr/bin:/reheap HOME=/tmp TMPDIR=/tmp
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
mkdir -p /dev/shm; mount -t tmpfs tmp /tmp; mount -t tmpfs shm /dev/shm
echo -1 >/proc/sys/kernel/perf_event_paranoid
ip link set lo up 2>/dev/null
cd /tmp
do_it() {
	echo "@begin $1"; shift
	"$@" 2>&1
	echo "@end $?"
}
# Where the lanes of a pinned replay on CPUs 64 to 71 are, seen from outside as long as it runs.
seats() {
	rm -f ended
	{ taskset -c 64-71 reheap replay many.rht --pin --backend libc --probes time --reps 10 >/dev/null 2>&1; echo >ended; } &
	while [ ! -e ended ]; do
		for process in /proc/[0-9]*; do
			read -r name <"$process/comm"
			case $name in reheap-worker*) grep -h Cpus_allowed_list "$process"/task/*/status ;; esac
		done
	done 2>/dev/null | sort -u
}
echo "@page $(awk '/KernelPageSize/ { print $2 * 1024; exit }' /proc/self/smaps)"
dmesg | grep -i 'hw perfevents'
for step in $(sed 's/.*steps=\([^ ]*\).*/\1/; s/,/ /g' /proc/cmdline); do
	case $step in
	doctor) do_it doctor reheap doctor ;;
	verify) do_it verify reheap replay /traces/sqlite.rht --backend libc,tiered --verify --reps 1 --format csv ;;
	sqlite) do_it sqlite reheap replay /traces/sqlite.rht --backend libc,tiered --probes counters,latency,locks \
		--counters perf --reps 1 --format csv ;;
	perf | papi | callgrind)
		do_it count-$step reheap replay small.rht --backend libc,tiered --lanes 1 --reps 1 --probes counters --counters $step --format csv ;;
	cut) do_it gen reheap gen larson -o small.rht events=20000 lanes=1 seed=1 ;;
	record) do_it record reheap record -o r.rht -- malloc_loop 64000 64
		do_it info reheap info r.rht ;;
	many) do_it nodes cat /sys/devices/system/node/node0/cpulist /sys/devices/system/node/node1/cpulist
		do_it threads reheap gen larson -o many.rht events=20000 lanes=100 seed=1
		do_it default reheap replay many.rht --backend libc,tiered --probes time --verify --reps 1 --format csv
		do_it recorded reheap replay many.rht --backend libc,tiered --lanes recorded --probes time --verify --reps 1 --format csv
		do_it pinned reheap replay many.rht --backend libc,tiered --pin --probes time --reps 1 --format csv
		do_it few taskset -c 64-71 reheap replay many.rht --backend libc,tiered --pin --probes time --reps 1 --format csv
		do_it seats seats ;;
	pages) do_it pages reheap replay small.rht --backend tiered/pools,tiered:profile=1.8/pools,bump/thread --probes time,memory --verify --reps 1 --format csv ;;
	esac
done
echo '@over'
poweroff -f
END
chmod +x "$guest/init"
(cd "$guest" && find . | cpio -o -H newc --quiet | gzip -1) >"$run/initrd.gz"

# boot NAME KERNEL STEPS QEMU-OPTIONS...: the guest's console goes to $run/NAME.log
boot() {
	local name=$1 kernel steps=$3
	kernel=$(ls "$cache/kernel-$2"/boot/vmlinuz* | tail -n 1)
	shift 3
	echo "booting: $name ..."
	timeout "${BOOT_SECONDS:-900}" qemu-system-aarch64 -M virt "$@" -m 1500 -nic none -nographic -no-reboot \
		-kernel "$kernel" -initrd "$run/initrd.gz" \
		-append "console=ttyAMA0 rdinit=/init panic=-1 quiet steps=$steps" </dev/null >"$run/$name.raw" 2>&1
	tr -d '\r' <"$run/$name.raw" >"$run/$name.log"
	if ! grep -q '^@over' "$run/$name.log"; then
		tail -n 30 "$run/$name.log" | sed 's/^/# /'
		return 1
	fi
}
# part LOG STEP: what it printed
part() {
	sed -n "/^@begin $2\$/,/^@end /p" "$run/$1.log"
}
# figure LOG STEP BACKEND METRIC
figure() {
	part "$1" "$2" | awk -F, -v b="$3" -v n="$4" '$2 == b && $5 == n { print $10; exit }'
}
ended() {
	part "$1" "$2" | grep -q "^@end [$3]\$" || {
		part "$1" "$2" | tail -n 12 | sed 's/^/# /'
		false
	}
}
within() {
	awk -v a="${1:-0}" -v b="${2:-0}" 'BEGIN { exit !(a > 0 && b > 0 && a / b < 1.01 && b / a < 1.01) }'
}

# wanted BOOT: is it among those asked for
wanted() {
	case " ${BOOTS:-4k 16k many} " in *" $1 "*) ;; *) return 1 ;; esac
}
# says LOG STEP PATTERN: a line of it
says() {
	part "$1" "$2" | grep -q -E "$3" || {
		part "$1" "$2" | tail -n 12 | sed 's/^/# /'
		false
	}
}
# lanes LOG STEP N: all that was replayed ran on so many
lanes() {
	test "$(part "$1" "$2" | awk -F, '$5 == "time.ns_per_event" && $2 != "null" { print $3 }' | sort -u)" = "$3"
}
recorded() {
	check "$1: 64 threads are recorded" ended "$1" record 0
	check "$1: every heap call is in the recording" says "$1" record ': complete: '
	check "$1: as many lanes as threads" says "$1" info '^lanes +65 started, 64 stopped'
	# Each thread frees its own blocks, and each event comes after what it depends on.
	check "$1: no free on another lane" says "$1" info 'remote frees +0 of [0-9]{5}'
	check "$1: stamps in order" says "$1" info ' 0 stamps before an earlier'
}

count_4k() {
	check 'the guest ran to its end' boot 4k 4k doctor,cut,perf,papi,callgrind,sqlite,verify -cpu cortex-a57 -icount shift=0
	check 'its kernel has a counter unit' grep -q 'hw perfevents: enabled' "$run/4k.log"
	check 'doctor looks around' ended 4k doctor 06
	# Events that this unit cannot count are named, with a reason.
	check 'doctor names the events that this unit lacks' says 4k doctor '^  absent +(l1d|l2|llc|dtlb)[a-z0-9_]*_misses +[^ ]'
	check 'PAPI counts instructions by its own name' says 4k doctor '^  ok +instructions +papi counts it as PAPI_TOT_INS'
	for backend in libc tiered; do
		hw=$(figure 4k count-perf $backend counters.instructions_per_event)
		papi=$(figure 4k count-papi $backend counters.instructions_per_event)
		cycles=$(figure 4k count-perf $backend counters.cycles_per_event)
		ir=$(figure 4k count-callgrind $backend counters.ir_per_event)
		echo "# $backend: instructions an event: ${hw:-none} by perf, ${papi:-none} by PAPI, ${ir:-none} by callgrind"
		check "$backend: instructions were counted" test -n "$hw"
		# Under -icount each instruction takes one cycle: two counters, one truth.
		check "$backend: cycles and instructions agree within 1 %" within "$hw" "$cycles"
		check "$backend: PAPI agrees within 1 %" within "$hw" "$papi"
		check "$backend: callgrind agrees within 1 %" within "$hw" "$ir"
		[ -n "$ir" ] || part 4k count-callgrind | tail -n 12 | sed 's/^/# /'
		echo "# $backend: sqlite takes $(figure 4k sqlite $backend counters.instructions_per_event) instructions an event, p99 of an operation" \
			"$(figure 4k sqlite $backend latency.p99) ns of the guest"
		check "$backend: sqlite's instructions are counted" test -n "$(figure 4k sqlite $backend counters.instructions_per_event)"
		check "$backend: sqlite's latencies are measured" test -n "$(figure 4k sqlite $backend latency.p99)"
	done
	check 'sqlite replays verified' ended 4k verify 0
}

pages_16k() {
	check 'the guest of larger pages ran to its end' boot 16k 16k record,cut,pages -cpu max,pauth-impdef=on -icount shift=0
	check 'its pages have 16 KiB' grep -q '^@page 16384' "$run/16k.log"
	recorded 16k
	check 'heaps and stacks replay verified' ended 16k pages 06
}

# One host thread runs all of them, so there is no real parallelism, and qemu decides which CPU runs
# next.
many_cpus() {
	check 'a guest of 72 CPUs ran to its end' boot many 4k many,record -machine gic-version=3 -cpu max,pauth-impdef=on \
		-accel tcg,thread=single -smp 72 -object memory-backend-ram,size=750M,id=m0 \
		-object memory-backend-ram,size=750M,id=m1 -numa node,nodeid=0,cpus=0-35,memdev=m0 \
		-numa node,nodeid=1,cpus=36-71,memdev=m1
	check 'in two nodes' says many nodes '^36-71$'
	check '100 threads are folded onto 72 lanes' lanes many default 72
	check 'verified' ended many default 0
	check 'or keep a lane each' lanes many recorded 100
	check 'verified, too' ended many recorded 0
	check 'lanes wait for each other' says many default ',tiered,72,1,waits\.per_event,[a-z]*,[a-z]*,[a-z]*,1,0\.00[0-9]'
	check '72 lanes can be pinned' lanes many pinned 72
	check 'eight CPUs past the 64th are eight lanes' lanes many few 8
	check 'a pinned lane is on one of them alone' says many seats '^Cpus_allowed_list:.(6[4-9]|7[01])$'
	check 'and none is elsewhere' bash -c '! grep -v -E "(6[4-9]|7[01]|64-71)$"' _ <<<"$(part many seats | grep Cpus)"
	recorded many
}

! wanted 4k || count_4k
if ! wanted 16k; then
	:
elif [ -e "$cache/16k.done" ]; then
	pages_16k
else
	echo "ok $((tests += 1)) - pages of 16 KiB # SKIP the kernel cannot be fetched: $cache/fetch-16k.log"
fi
! wanted many || many_cpus
echo "1..$tests"
[ $failures = 0 ]
