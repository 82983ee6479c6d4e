#!/bin/bash
# test.sh BUILD_DIR [unit|e2e|threads] - runs the tests of a build and counts them.
#
# A unit test program is a cmocka group that speaks TAP; an end-to-end test is a script of
# ci/own/e2e that speaks TAP too (lines `ok N - what`) and exits 0, 77 (skipped, its last line
# says why) or anything else. One short line for each, below it what was skipped and why, or
# the end of the output of those that failed and where all of it is; and at the end exactly
# `N passed, N failed, N skipped`. Exit 1 when one failed.
#
# A program fails also when it dies, hangs past the limit, runs fewer tests than it announced
# or skips one without a reason. TIMEOUT= seconds for one program (300, which only a hang
# takes, also on a machine that is busy with more), JOBS= programs at once (2), ONLY= those whose
# path begins so ("alloc/|traces/test/test_record"). With AGAIN=1 (.ci/run) a program that failed
# without a sanitizer's report is run once more, alone: what passes then counts, and is listed as
# flaky, so that nothing is hidden.
set -u
cd "$(dirname "$0")/../.." || exit 2
build=${1:?usage: ci/own/test.sh BUILD_DIR [unit|e2e]}
part=${2:-all}
build=$(realpath "$build") || exit 2
logs=$build/test/logs
rm -rf "$logs"
mkdir -p "$logs"
export REHEAP_BUILD=$build CMOCKA_MESSAGE_OUTPUT=TAP TIMEOUT=${TIMEOUT:-300}

# `threads`: the unit tests without those of code that has one thread (readers, writers, generators,
# the compiler, figures), which take half the time under ThreadSanitizer and cannot race.
left_out=none
if [ "$part" = threads ]; then
	left_out='traces/test/test_(import|cut|gen|fuzz|ranges|event|live)|plots/'
	left_out+='|harness/test/test_(compile|fidelity|whatif|stat|estimate)'
fi

list_tests() {
	if [ "$part" != e2e ]; then
		find alloc/test traces/test harness/test plots/test ci/gate/test -name 'test_*.c' 2>/dev/null |
			grep -v -E "^($left_out)" | grep -E "^(${ONLY:-})" | LC_ALL=C sort | sed "s|^|$build/test/|;s|\.c$||"
	fi
	if [ "$part" = all ] || [ "$part" = e2e ]; then
		find ci/own/e2e -name '*.sh' ! -name 'lib*.sh' | grep -E "^(${ONLY:-})" | LC_ALL=C sort
	fi
}

# Runs one program; its output, exit code and seconds go to files named after it.
run_one() {
	local program=$1 name start end
	name=${program#"$REHEAP_BUILD/test/"}
	local log=$2/${name//\//.}
	start=$(date +%s%N)
	timeout -k 5 "$TIMEOUT" "$program" >"$log.log" 2>&1 </dev/null
	echo $? >"$log.rc"
	end=$(date +%s%N)
	judge "$name" "$log" $(((end - start) / 10000000))
}

# Of a log: a line `test: why` for each that was skipped. A script writes `ok N - what # SKIP why`;
# cmocka writes `not ok N # SKIP test`, and the reason is in a line `# SKIP why` before it.
reasons() {
	awk '
		/^# SKIP / { why = substr($0, 8) }
		/^(not )?ok / {
			if (match($0, /# (SKIP|skip) */)) {
				head = substr($0, 1, RSTART - 1)
				tail = substr($0, RSTART + RLENGTH)
				sub(/^(not )?ok [0-9]* *(- )?/, "", head)
				sub(/ *$/, "", head)
				print (head == "" ? tail ": " why : head ": " tail)
			}
			why = ""
		}' "$1"
}

# count PATTERN FILE
count() {
	grep -c -E "$1" "$2"
}

# What failed, in a few lines: they stand again above the count.
digest() {
	echo "$1: $3"
	grep -E '^not ok |^# +[^ ]*(error|assert)|\[  ERROR|: error: |(Thread|Address|Leak|UndefinedBehavior)Sanitizer: |runtime error: ' "$2.log" |
		grep -v -E '# (SKIP|skip)' | head -n 8 | sed 's/^/    /'
}

# Turns a log into one line and one record `passed failed skipped`.
judge() {
	local name=$1 log=$2 centis=$3 rc passed failed skipped plan why=
	rc=$(cat "$log.rc")
	# cmocka writes a skipped test as `not ok N # SKIP`
	skipped=$(count '^(not )?ok .*# (SKIP|skip)' "$log.log")
	passed=$(grep -E '^ok ' "$log.log" | grep -c -v -E '# (SKIP|skip)')
	failed=$(grep -E '^not ok ' "$log.log" | grep -c -v -E '# (SKIP|skip)')
	plan=$(sed -n 's/^1\.\.\([0-9]*\).*/\1/p' "$log.log" |
		awk '{ n += $1 } END { print n + 0 }')
	case $rc in
	0) ;;
	77) skipped=$((skipped + 1)) why=$(tail -n 1 "$log.log") ;;
	124 | 137) why="still running after $TIMEOUT s" ;;
	*) why="exit $rc" ;;
	esac
	if [ "$rc" = 0 ] && [ $((passed + failed + skipped)) = 0 ]; then
		why="ran no test" rc=1
	elif [ "$rc" = 0 ] && [ "$plan" -gt $((passed + failed + skipped)) ]; then
		why="announced $plan tests, ran $((passed + failed + skipped))" rc=1
	fi
	reasons "$log.log" >"$log.skips"
	if [ "$rc$why" = 77 ] || grep -q ': $' "$log.skips"; then
		why="${why:+$why; }skipped without a reason" failed=$((failed + 1))
	fi
	if [ "$rc" != 0 ] && [ "$rc" != 77 ] && [ "$failed" = 0 ]; then
		failed=1
	fi
	echo "$passed $failed $skipped" >"$log.sum"
	local verdict=ok
	[ "$rc" != 77 ] || verdict=skip
	[ "$failed" = 0 ] || { verdict=FAIL; digest "$name" "$log" "$why" >"$log.failed"; }
	# written at once: another program may end at the same time
	printf '%s\n' "$(
		printf '%-5s %-44s %4d tests %4d.%02d s  %s\n' $verdict "$name" \
			$((passed + failed)) $((centis / 100)) $((centis % 100)) "$why"
		sed 's/^/      skipped: /' "$log.skips"
		[ $verdict != FAIL ] || {
			tail -n 60 "$log.log" | sed 's/^/      | /'
			echo "      the whole of it: $log.log"
		}
	)"
}

# A leak is no finding where a test failed: cmocka leaves the test by longjmp.
sanitizer_found="ERROR: AddressSanitizer|WARNING: ThreadSanitizer|runtime error: "

# A program that failed, run alone: passed now, its first failure is listed as flaky.
again() {
	local log=${1%.failed} name program
	name=$(sed -n '1s/:.*//p' "$1")
	! grep -q -E "$sanitizer_found" "$log.log" || return 0
	mv "$1" "$log.first"
	program=$(list_tests | grep -F -x -e "$name" -e "$build/test/$name")
	run_one "$program" "$logs"
	[ -e "$1" ] || sed 's/^/flaky  /' "$log.first" >"$log.flaky"
}

export -f run_one judge digest reasons count
# shellcheck disable=SC2016  # expanded by the inner shell
list_tests | xargs -r -P "${JOBS:-2}" -I{} bash -c 'run_one "$1" "$2"' test.sh {} "$logs"
if [ "${AGAIN:-0}" = 1 ]; then
	for failed in "$logs"/*.failed; do
		[ ! -e "$failed" ] || again "$failed"
	done
fi
cat /dev/null "$logs"/*.flaky 2>/dev/null
cat /dev/null "$logs"/*.failed 2>/dev/null | sed 's/^/failed /'
cat /dev/null "$logs"/*.sum 2>/dev/null | awk '
	{ passed += $1; failed += $2; skipped += $3 }
	END {
		printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
		exit failed > 0 || passed == 0
	}'
