# lib.sh - helpers for the end-to-end tests. Source it first:
#
#	. "$(dirname "$0")/lib.sh"
#
# It finds the build (REHEAP_BUILD, else build/ of this tree), makes a temporary folder that is
# removed at the end, enters it, and gives `ok`, `is_exit` and `says` to state facts in TAP.
# A test that needs something that is not here calls `skip_all REASON` (exit 77).
# shellcheck shell=bash
set -u
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
build=$(realpath "${REHEAP_BUILD:-$root/build}")
reheap=$build/reheap
# shellcheck disable=SC2034  # some tests use it
shared=$(realpath -m "${REHEAP_SHARED:-$root/../shared}")
tests=0
failures=0

temp=$(mktemp -d "${TMPDIR:-/tmp}/reheap-e2e.XXXXXX")
cleanup() {
	chmod -R u+rwx "$temp" 2>/dev/null
	rm -rf "$temp"
}
trap cleanup EXIT
trap 'exit 1' INT TERM HUP
cd "$temp" || exit 1

# ok WHAT COMMAND...: the command succeeds
ok() {
	local what=$1
	shift
	tests=$((tests + 1))
	local code
	"$@" >"$temp/.ok" 2>&1 </dev/null
	code=$?
	if [ $code = 0 ]; then
		echo "ok $tests - $what"
	else
		echo "not ok $tests - $what"
		echo "# $* ended with exit $code"
		sed 's/^/# /' "$temp/.ok" | head -n 20
		failures=$((failures + 1))
	fi
}

# fails COMMAND...: succeeds when the command does not
fails() {
	! "$@"
}

# until_true COMMAND...: waits until it succeeds; after two minutes a failure, however busy the machine
until_true() {
	for _ in $(seq 2400); do
		"$@" 2>/dev/null && return
		sleep 0.05
	done
	false
}

# grown CAPTURE BYTES: a recorder has captured so much there, behind its reserve of 1 MiB
grown() {
	test "$(stat -c %s "$1")" -ge $(((1 << 20) + $2))
}

# write_looked: looked.h, for programs that run under `reheap record`: wait until it has looked at all that it
# looks at ten times a second. It makes calls of read() then and no others while nothing is recorded.
write_looked() {
	cat >looked.h <<'EOF'
#include <stdio.h>
#include <unistd.h>

/* Calls of read() so far; -1: that cannot be seen. */
static long looked_reads(int recorder)
{
	char path[64], line[128];
	long reads = -1;
	FILE *in;

	snprintf(path, sizeof path, "/proc/%d/io", recorder);
	in = fopen(path, "r");
	while (in && reads < 0 && fgets(line, sizeof line, in))
		if (sscanf(line, "syscr: %ld", &reads) != 1)
			reads = -1;
	if (in)
		fclose(in);
	return reads;
}

/* Seen to change three times: one look has begun and ended since. Half a minute at most. */
static void wait_until_looked(int recorder)
{
	long before = looked_reads(recorder), now;

	if (before < 0)
		usleep(400000);
	for (int i = 0, changes = 0; before >= 0 && i < 1000 && changes < 3; i++) {
		usleep(30000);
		now = looked_reads(recorder);
		changes += now != before;
		before = now;
	}
}
EOF
}

# is_exit CODE WHAT COMMAND...: it ends with that exit code; output goes to $temp/.out and .err
is_exit() {
	local want=$1 what=$2 got
	shift 2
	tests=$((tests + 1))
	timeout 60 "$@" >"$temp/.out" 2>"$temp/.err" </dev/null
	got=$?
	if [ $got = "$want" ]; then
		echo "ok $tests - $what"
	else
		echo "not ok $tests - $what"
		echo "# $* ended with exit $got, not $want"
		cat "$temp/.out" "$temp/.err" | sed 's/^/# /' | head -n 20
		failures=$((failures + 1))
	fi
}

# says PATTERN WHAT: the last is_exit said so on standard error, in few lines
says() {
	tests=$((tests + 1))
	if grep -q -E -e "$1" "$temp/.err" && [ "$(wc -l <"$temp/.err")" -le 6 ]; then
		echo "ok $tests - $2"
	else
		echo "not ok $tests - $2"
		echo "# expected /$1/ in at most six lines of"
		sed 's/^/#   /' "$temp/.err" | head -n 20
		failures=$((failures + 1))
	fi
}

# skip WHAT WHY
skip() {
	tests=$((tests + 1))
	echo "ok $tests - $1 # SKIP $2"
}

skip_all() {
	echo "$1"
	exit 77
}

# can_trace: system calls of our programs can be counted. LeakSanitizer does not live with a tracer.
can_trace() {
	strace -o /dev/null true 2>/dev/null && ! ldd "$reheap" | grep -q -E 'lib(a|t|ub)san'
}

# share_calls CALLS DIR: of a log of `strace -f -e trace=%file`, those that ask for the cells of a matrix
share_calls() {
	grep -E "\"[^\"]*$2/(cells/|log/)" "$1" | grep -c -v 'O_DIRECTORY'
}

# number KEY FILE: the first number after "KEY": in a JSON file
number() {
	grep -o "\"$1\": *-\?[0-9.e+-]*" "$2" | head -n 1 | sed 's/.*: *//'
}

# Results that the program left behind, against the JSON Schema. A document that a test wrote or
# damaged itself names no tool, or no longer ends with its brace.
results_fit() {
	local validator=$build/test/harness/test/test_result file
	local -a results=()
	[ -x "$validator" ] || return 0
	while read -r file; do
		[ "$(tail -c 2 "$file")" = '}' ] && head -c 400 "$file" | grep -q '"tool"' && results+=("$file")
	done < <(find "$temp" -path "$temp/copy" -prune -o -name '*.json' -type f \
		-exec grep -l -m 1 '"schema": *"reheap.result/1"' {} +)
	[ ${#results[@]} = 0 ] || ok "${#results[@]} results are what the schema says" "$validator" "${results[@]}"
}

finish() {
	results_fit
	echo "1..$tests"
	exit $((failures > 0))
}

if [ ! -x "$reheap" ]; then
	echo "not ok 1 - there is a $reheap (build first)"
	exit 1
fi
