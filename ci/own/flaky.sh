#!/bin/bash
# flaky.sh BUILD_DIR [TEST...] - runs every unit test N= times (50) on a loaded machine.
#
# Beside the tests run two loops that only burn CPU and one process that fills a quarter of the
# free memory (at most 1 GiB) again and again, so that timing, scheduling and
# page faults are as bad as on a shared runner. A test whose runs do not all end the same way flips:
# it is named with how often it failed, and its first failing output is kept. TEST: names to
# restrict it to (test_live). JOBS= tests at once (2), TIMEOUT= seconds of one run (300). Exit 1 when
# a test flipped or never passed.
set -u
cd "$(dirname "$0")/../.." || exit 2
build=$(realpath "${1:?usage: ci/own/flaky.sh BUILD_DIR [TEST...]}") || exit 2
shift
logs=$build/test/flaky
rm -rf "$logs"
mkdir -p "$logs"
export REHEAP_BUILD=$build CMOCKA_MESSAGE_OUTPUT=TAP N=${N:-50} TIMEOUT=${TIMEOUT:-300}
hogs=()
trap '[ ${#hogs[@]} = 0 ] || kill "${hogs[@]}" 2>/dev/null; wait 2>/dev/null' EXIT
trap 'exit 130' INT TERM

# Both end with this script, whatever happens to it.
burn() {
	while kill -0 "$1" 2>/dev/null; do
		for _ in {1..20000}; do :; done
	done
}
# tail keeps what it has read until the end of its input: all of it, in pages that are new each time.
fill() {
	while kill -0 "$1" 2>/dev/null; do
		head -c "$2" /dev/zero | tail -c "$2" >/dev/null
	done
}
free_bytes=$(awk '/^MemAvailable:/ { print $2 * 1024 }' /proc/meminfo)
pressure=$((free_bytes / 4 < 1073741824 ? free_bytes / 4 : 1073741824))
burn $$ & hogs+=($!)
burn $$ & hogs+=($!)
fill $$ "$pressure" & hogs+=($!)

list_tests() {
	find alloc/test traces/test harness/test plots/test ci/gate/test -name 'test_*.c' | LC_ALL=C sort |
		sed 's|\.c$||' | while read -r name; do
		[ $# = 0 ] || [[ " $* " == *" ${name##*/} "* ]] || continue
		echo "$name"
	done
}

# One test, N times. Skips count as passes: what is absent stays absent.
repeat() {
	local name=$1 log=$2/${1//\//.} failed=0 rc
	for ((i = 1; i <= N; i++)); do
		timeout -k 5 "$TIMEOUT" "$REHEAP_BUILD/test/$name" >"$log.now" 2>&1 </dev/null
		rc=$?
		[ $rc != 0 ] && [ $rc != 77 ] || continue
		failed=$((failed + 1))
		[ -e "$log.log" ] || { echo "run $i, exit $rc" | cat - "$log.now" >"$log.log"; }
	done
	rm -f "$log.now"
	if [ $failed = 0 ]; then
		printf 'ok    %-44s %d of %d\n' "$name" "$N" "$N"
	elif [ $failed = "$N" ]; then
		printf 'FAIL  %-44s never passed: %s\n' "$name" "$log.log"
	else
		printf 'FLIP  %-44s failed %d of %d: %s\n' "$name" $failed "$N" "$log.log"
		grep '^not ok' "$log.log" | grep -v '# SKIP' | head -n 3 | sed 's/^/      | /'
	fi
	[ $failed = 0 ]
}
export -f repeat
# shellcheck disable=SC2016  # expanded by the inner shell
list_tests "$@" | xargs -r -P "${JOBS:-2}" -I{} bash -c 'repeat "$1" "$2"' flaky.sh {} "$logs"
rc=$?
[ $rc = 0 ] && echo "no test flipped in $N runs" || echo "tests flipped"
exit $((rc != 0))
