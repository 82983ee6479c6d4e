#!/bin/bash
# The gate as a user meets it: verdicts and exit codes, broken candidates, interrupts, stored
# baselines, revisions, policies, and the snippets for CI systems, executed.
#
# Timing decides nothing here: where it could, several exit codes are accepted and the wrong one is
# named (identical code must not fail, a slowed-down one must not pass). Exact checks use the
# deterministic tier. shellcheck source=ci/own/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

"$reheap" gen server -o t.rht events=300000 lanes=2 heap=2M >/dev/null 2>&1
"$reheap" gen server -o small.rht events=3000 lanes=1 heap=64K >/dev/null 2>&1
quick=(--lanes 1 --pairs 4 --blocks 8 --no-verify)

# ends_in WHAT PATTERN CODE... -- COMMAND: one of the codes, and a last line that says PATTERN
ends_in() {
	local what=$1 pattern=$2 codes=' ' code
	shift 2
	while [ "$1" != -- ]; do codes="$codes$1 "; shift; done
	shift
	timeout 240 "$@" >"$temp/.out" 2>"$temp/.err" </dev/null
	code=$?
	if [[ $codes != *" $code "* ]]; then
		echo "# exit $code: $(head -c 600 "$temp/.err")"
		tail -n 12 "$temp/.out" | sed 's/^/# /'
	fi
	ok "$what (exit $code)" test "${codes/ $code /}" != "$codes"
	ok '  and the last line says so' bash -c "tail -n 1 '$temp/.out' | grep -q -E '^REHEAP-GATE verdict=($pattern) '"
}

ends_in 'identical code does not fail' 'pass|inconclusive' 0 3 -- "$reheap" gate t.rht \
	--baseline libc --candidate libc "${quick[@]}" -o aa.json
ends_in 'twice the work does not pass' 'fail|inconclusive' 1 3 -- "$reheap" gate t.rht \
	--baseline libc --candidate slow:100%:libc "${quick[@]}" -o ab.json --junit ab.xml \
	--markdown ab.md --plot figure --smaller-is-better ab.smaller.json \
	--bencher ab.bencher.json --annotate
ok 'what both sides hold between passes is printed' grep -q -E \
	'between passes [0-9]+ objects of [0-9.]+ MiB live on; resident there: baseline [0-9.]*[1-9][0-9.]* MiB' "$temp/.out"
ok '  and kept' grep -q '"kept_bytes": *[1-9]' ab.json
ok 'every form is written' test -s ab.json -a -s ab.xml -a -s ab.md -a -s figure/gate.gp -a \
	-s figure/gate.tsv -a -s ab.smaller.json -a -s ab.bencher.json
if command -v xmllint >/dev/null; then
	ok 'JUnit is well-formed' xmllint --noout ab.xml
else
	skip 'JUnit is well-formed' 'xmllint is not installed'
fi
ends_in 'one CPU is enough' 'pass|inconclusive' 0 3 -- taskset -c "$(taskset -pc $$ |
	sed 's/.*: *\([0-9]*\).*/\1/')" "$reheap" gate t.rht --baseline libc --candidate libc \
	--pairs 3 --blocks 8 --no-verify

# the self-test: gates in the file are not run again, and a cut line does not count
"$reheap" gate t.rht --self-test --candidate libc --lanes 1 --gates 1 --slow-by 50% --pairs 3 \
	--blocks 4 --no-verify --keep self.txt >self.out 2>self.err </dev/null
code=$?
ok "a self-test ends (exit $code)" test $code = 0 -o $code = 1 -o $code = 3
ok '  and prints its rates' bash -c "grep -q '^  false alarms: ' self.out &&
	grep -q '^  slow-downs found: ' self.out && grep -q '^  slow-down: 50 % more operations' self.out &&
	tail -n 1 self.out | grep -q '^REHEAP-GATE verdict=self-test same=1 .* slower=1 '"
for i in $(seq 40); do echo "same libc pass 1.00000 0.99 1.01 3 0.50"; done >kept.txt
for i in $(seq 38); do echo "slower libc fail 1.05000 1.03 1.07 3 0.50 lag=1.25%"; done >>kept.txt
{
	echo 'calibrated libc lag=1.25% 1.05000 1.04700 1.05300 32 10.00'
	echo 'slower libc pass 1.03000 1.01 1.05 6 0.50 7%'
	echo 'slower libc fail 1.05000 1.03 1.07 3 0.50 lag=1.25%'
	echo 'slower libc inconclusive 1.05000 1.01 1.07 40 0.50 lag=1.25%'
	printf 'slower libc pa'
} >>kept.txt
sort -o kept.txt kept.txt
ends_in 'a finished self-test is only reported' self-test 0 -- "$reheap" gate t.rht --self-test \
	--candidate libc --gates 40 --keep kept.txt
ok '  with the slow-down it was made with, and without what is another' bash -c \
	"grep -q 'slow-down: 1.25 ns an operation, calibrated to 5.0 % more time' '$temp/.out' &&
	 grep -q 'slow-downs found: 97.50 %' '$temp/.out' &&
	 grep -q 'time ratio 1.0500' '$temp/.out' && grep -q '1 gates of another' '$temp/.err'"
ends_in 'a slow-down of a given time is looked for, and found or said not to be' \
	'self-test|invalid' 0 1 3 5 -- "$reheap" gate t.rht --self-test --candidate libc --lanes 1 \
	--gates 0 --gates-slower 1 --slow-time 100% --blocks 4 --pairs 3 --no-verify
ok '  with its ratio and interval' grep -q -E \
	'calibrated to 100.0 % more time: ratio 2.0000 \[|no wait makes' \
	"$temp/.out" "$temp/.err"
# A tail is planted: one free in fifty takes 50 us more. Its calibration is given, the gate is real.
{
	echo 'calibrated libc 1.25% 1.05000 1.04700 1.05300 32 10.00'
	echo 'calibrated libc late=50000ns 300.0 290.0 310.0 24 10.00'
	echo 'slower libc fail 1.20000 1.03 1.27 3 0.50 late=300ns'
} >tail.txt
ends_in 'a tail of frees is found' self-test 0 -- "$reheap" gate t.rht --self-test --candidate libc \
	--lanes 1 --gates 0 --gates-slower 1 --slow-tail 20% --metrics p99 --blocks 4 --pairs 24 \
	--no-verify --keep tail.txt
ok '  by the percentile of frees, as it was planted' bash -c \
	"grep -q 'one free in fifty takes 50000 ns more, calibrated to 20.0 % more' '$temp/.out' &&
	 grep -q '^gate 1, slowed down: fail, ratio [1-9][0-9]' '$temp/.out' &&
	 grep -q '1 gates of another' '$temp/.err' && tail -n 1 tail.txt | grep -q ' late=50000ns .*free.p99=[0-9]*/[0-9]*!\$'"
ends_in 'a tail judged by the mean, too' usage 2 -- "$reheap" gate t.rht --self-test --slow-tail 20%
ends_in 'two slow-downs at once' usage 2 -- "$reheap" gate t.rht --self-test --slow-tail 20% \
	--slow-by 2% --metrics p99
ends_in 'a self-test without a trace' usage 2 -- "$reheap" gate --self-test

# recomputing
for name in aa ab; do
	want=$(sed -n 's/^ "exit": \([0-9]*\).*/\1/p' $name.json)
	ends_in "samples of $name judged again" '[a-z]*' "$want" -- "$reheap" gate --recompute \
		$name.json
done
sed 's/^ "verdict": "[a-z]*"/ "verdict": "invalid"/' aa.json >changed.json
ends_in 'a changed verdict is noticed' invalid 5 -- "$reheap" gate --recompute changed.json
head -c 3000 aa.json >cut.json
ends_in 'half a document is no pass' invalid 5 -- "$reheap" gate --recompute cut.json
ends_in 'no document is no pass' usage 2 -- "$reheap" gate --recompute none.json

# words and files
ends_in 'no baseline named' usage 2 -- "$reheap" gate t.rht --candidate libc
ends_in 'metrics that name none' usage 2 -- "$reheap" gate t.rht --baseline libc --candidate libc \
	--metrics ''
ends_in 'lanes that name none' usage 2 -- "$reheap" gate t.rht --baseline libc --candidate libc \
	--lanes ,
ends_in 'an output that cannot be there, before anything is measured' usage 2 -- "$reheap" gate \
	t.rht --baseline libc --candidate libc -o /nonexistent/gate.json
ends_in 'a verdict that cannot be written is no pass' 'invalid|fail' 1 5 -- "$reheap" gate t.rht \
	--baseline libc --candidate libc "${quick[@]}" -o /dev/full
ends_in 'an unknown candidate' usage 2 -- "$reheap" gate t.rht --baseline libc --candidate unicorn
ends_in 'a baseline that is not there' no-baseline 4 -- "$reheap" gate t.rht --candidate libc \
	--baseline ./old.so
ends_in 'a stored baseline that is not there' no-baseline 4 -- "$reheap" gate t.rht \
	--candidate libc --baseline none.json
for dirty in '' '{' '[]' 'null' '{ "schema": "reheap.gate/1" }'; do
	echo "$dirty" >broken.json
	ends_in "a stored baseline that says '$dirty'" no-baseline 4 -- "$reheap" gate t.rht \
		--candidate libc --baseline broken.json
done
head -c 3000 aa.json >half.json
ends_in 'half a stored baseline' no-baseline 4 -- "$reheap" gate t.rht --candidate libc \
	--baseline half.json
ends_in 'a trace that is not there' no-baseline 4 -- "$reheap" gate none.rht --baseline libc \
	--candidate libc
head -c 30000 t.rht >cut.rht
ends_in 'a trace that was cut off' invalid 5 -- "$reheap" gate cut.rht --baseline libc \
	--candidate libc
ends_in 'a trace too short to decide' inconclusive 3 -- "$reheap" gate small.rht --baseline bump \
	--candidate bump --metrics wall
ends_in 'the same, when that shall fail' inconclusive 1 -- "$reheap" gate small.rht \
	--baseline bump --candidate bump --inconclusive fail
ends_in 'nothing to gate' usage 2 -- "$reheap" gate t.rht --baseline libc --candidate null

# candidates that go wrong
ends_in 'one that runs out of memory' invalid 5 -- "$reheap" gate t.rht --baseline libc \
	--candidate failing:n=1000:libc "${quick[@]}"
ends_in 'one that leaks' fail 1 -- "$reheap" gate t.rht --baseline libc --candidate bump \
	--metrics rss "${quick[@]}"
if command -v cc >/dev/null; then
	# Serves from libc; after a while it crashes, hangs, or hands out one block for many.
	cat >odd.c <<-'END'
		#include <stddef.h>
		#include <stdlib.h>
		#include <sys/mman.h>
		#include <unistd.h>
		void *__libc_malloc(size_t);
		void __libc_free(void *);
		void *__libc_calloc(size_t, size_t);
		void *__libc_realloc(void *, size_t);
		static _Atomic int count;
		static void *one;
		void *malloc(size_t n)
		{
			if (++count > 20000 && ODD == 1)
				abort();
			while (count > 20000 && ODD == 2)
				;
			if (count > 20000 && ODD == 5)
				_exit(0);
			if (count > 20000 && ODD == 6)
				return NULL;
			if (count % 100 == 0 && ODD == 4)
				munmap(mmap(0, 4096, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 4096);
			if (count > 20000 && ODD == 3 && n <= 64)
				return one ? one : (one = __libc_malloc(64));
			return __libc_malloc(n);
		}
		void free(void *p) { if (p != one) __libc_free(p); }
		void *calloc(size_t n, size_t m) { return __libc_calloc(n, m); }
		void *realloc(void *p, size_t n) { return __libc_realloc(p, n); }
	END
	for odd in 0 1 2 3 4 5 6; do
		cc -shared -fPIC -O1 -DODD=$odd odd.c -o odd$odd.so 2>/dev/null
	done
	ends_in 'one that crashes' invalid 5 -- "$reheap" gate t.rht --baseline libc \
		--candidate ./odd1.so "${quick[@]}"
	ends_in 'one that hangs' invalid 5 -- "$reheap" gate t.rht --baseline libc \
		--candidate ./odd2.so --timeout 2s "${quick[@]}"
	ends_in 'one that ends the process as if all were well' invalid 5 -- "$reheap" gate t.rht \
		--baseline libc --candidate ./odd5.so "${quick[@]}"
	ends_in 'one that returns NULL' invalid 5 -- "$reheap" gate t.rht --baseline libc \
		--candidate ./odd6.so "${quick[@]}"
	ends_in 'a baseline that crashes' invalid 5 -- "$reheap" gate t.rht --baseline ./odd1.so \
		--candidate libc "${quick[@]}"
	ends_in 'one that is no allocator' invalid 5 -- "$reheap" gate t.rht --baseline libc \
		--candidate "$(type -P true)" "${quick[@]}"
	ends_in 'one that hands out a block more than once' invalid 5 -- "$reheap" gate t.rht \
		--baseline libc --candidate ./odd3.so --lanes 1 --pairs 4 --blocks 8
else
	skip 'candidates that crash and hang' 'there is no compiler'
fi

# one process at a time, when two heaps are too much for the machine
ends_in 'two heaps that are too much: one process at a time' 'fail|inconclusive' 1 3 -- \
	"$reheap" gate t.rht --baseline libc --candidate slow:200%:libc --lanes 1 --pairs 10 \
	--memory 64K -o apart.json
ok '  said in the output and in the document' bash -c "grep -q 'one process at a time, whole passes: two heaps of' \
	'$temp/.out' && grep -q '\"apart\": true' apart.json"
ok '  and judged at 15 % at best' bash -c "grep -q '^  wall .* +15.0 % ' '$temp/.out'"
ends_in '  its document is judged alike' 'fail|inconclusive' 1 3 -- "$reheap" gate --recompute apart.json
# workers that a process has started, from /proc alone: a bare Debian has no pgrep
workers() {
	grep -ls "^PPid:[[:space:]]$1\$" /proc/[0-9]*/status | cut -d / -f 3
}
watch_workers() {
	local most=0 now
	while kill -0 "$1" 2>/dev/null; do
		# seen twice: otherwise a process that ended and its successor would count as two
		now=$(comm -12 <(workers "$1" | sort) <(workers "$1" | sort) | wc -l)
		[ "$now" -le $most ] || most=$now
	done
	echo $most
}
"$reheap" gate t.rht --baseline libc --candidate libc --lanes 1 --pairs 8 --pairs-min 8 --memory 64K \
	--no-verify >/dev/null 2>&1 </dev/null &
ok '  and never two workers are alive' test "$(watch_workers $!)" = 1

# interrupts: whatever ends the driver, no worker is left, and samples are kept where asked
workers_of() {
	for _ in $(seq 100); do
		workers=$(workers "$1" | tr '\n' ' ')
		[ "$(wc -w <<<"$workers")" = 2 ] && break
		sleep 0.1
	done
}
gone() {
	local worker
	for worker in $workers; do
		for _ in $(seq 50); do
			grep -q '^State:.[^ZX]' "/proc/$worker/status" 2>/dev/null || continue 2
			[ "$(cat "/proc/$worker/comm" 2>/dev/null)" = reheap-worker ] || continue 2
			sleep 0.1
		done
		return 1
	done
}
for signal in TERM INT KILL; do
	# a shell's background jobs ignore SIGINT, and so would what they start
	env --default-signal=INT "$reheap" gate t.rht --baseline libc --candidate libc --pairs 1000 \
		--pairs-min 1000 >/dev/null 2>interrupted.err </dev/null &
	driver=$!
	workers_of $driver
	kill -$signal $driver
	wait $driver 2>/dev/null
	code=$?
	ok "SIG$signal ends it as such (exit $code)" test $code = $((128 + $(kill -l $signal)))
	ok '  and leaves no worker' gone
done
cut=(gate t.rht --baseline libc --candidate libc --pairs 12 --pairs-min 12 --blocks 8 --lanes 1
	--no-verify --resume kept.json)
"$reheap" "${cut[@]}" >/dev/null 2>&1 </dev/null &
driver=$!
workers_of $driver
while [ ! -e kept.json ] && kill -0 $driver 2>/dev/null; do sleep 0.02; done
kill -KILL $driver 2>/dev/null
wait $driver 2>/dev/null
if [ -e kept.json ]; then
	had=$(grep -c '"cpu": [0-9n]' kept.json)
	ends_in 'half a gate is no verdict' invalid 5 -- "$reheap" gate --recompute kept.json
	ends_in 'it is not gone on with by another candidate' usage 2 -- "$reheap" "${cut[@]}" \
		--candidate bump
	ends_in 'nor by other options' usage 2 -- "$reheap" "${cut[@]}" --metrics wall
	sed 's/"file_sha256": ""/"file_sha256": "0"/' kept.json >other.json
	ends_in 'nor by another library' usage 2 -- "$reheap" "${cut[@]}" --resume other.json
	head -c 2000 kept.json >half.json
	ends_in 'nor is it a baseline' no-baseline 4 -- "$reheap" gate t.rht --candidate libc \
		--lanes 1 --baseline kept.json
	ends_in 'a damaged file is refused' usage 2 -- "$reheap" "${cut[@]}" --resume half.json
	ends_in "the same command goes on after $had pairs" 'pass|inconclusive' 0 3 -- \
		"$reheap" "${cut[@]}" -o whole.json
	ok '  all pairs and blocks are there, and what was kept is gone' bash -c \
		"test \$(grep -c '\"switches\"' whole.json) = 24 -a ! -e kept.json &&
		 tail -n 1 '$temp/.out' | grep -q ' pairs=12 ' && grep -q 'pairs are from kept.json' '$temp/.out'"
	ends_in '  and it is judged alike' 'pass|inconclusive' 0 3 -- "$reheap" gate \
		--recompute whole.json
else
	skip 'a gate that was cut goes on' 'it had ended before it could be killed'
fi

# stored baselines: a busy machine may refuse to store (5), never lie
"$reheap" gate t.rht --candidate libc --lanes 1 --save-baseline base.json --blocks 8 \
	--threshold 20% >/dev/null 2>.err
code=$?
if [ $code = 0 ]; then
	ends_in 'the same allocator against its stored baseline' 'pass|inconclusive' 0 3 -- \
		"$reheap" gate t.rht --lanes 1 --candidate libc --baseline base.json --blocks 8 \
		--threshold 20%
	ok '  which says how old it is' grep -q '^note: stored baseline base.json: 0.0 days old, of ' "$temp/.out"
	sed 's/"started": "[0-9]*/"started": "2001/' base.json >old.json
	ends_in 'a baseline from long ago' 'pass|inconclusive' 0 3 -- "$reheap" gate t.rht --lanes 1 \
		--candidate libc --baseline old.json --blocks 8 --threshold 20%
	ok '  which says so' grep -q 'older than 30 days: make it anew' "$temp/.out"
	sed 's/"cpu": "[^"]*"/"cpu": "another"/' base.json >other.json
	ends_in 'a baseline from another machine' no-baseline 4 -- "$reheap" gate t.rht --lanes 1 \
		--candidate libc --baseline other.json
	ends_in 'a baseline of another trace' no-baseline 4 -- "$reheap" gate small.rht --lanes 1 \
		--candidate libc --baseline base.json
else
	ok "a busy machine stores no baseline (exit $code)" test $code = 5
fi

# policies
cat >policy.json <<-'END'
	{ "schema": "reheap.policy/1", "traces": ["t.rht"], "lanes": "1",
	  "metrics": { "wall": "50%" }, "budget": { "ns-per-event": 0.001 } }
END
ends_in 'a budget that is too small fails' fail 1 -- "$reheap" gate --policy policy.json \
	--baseline libc --candidate libc --pairs 3 --blocks 8
echo '{ "schema": "reheap.policy/1", "trace": [] }' >wrong.json
ends_in 'a misspelt policy protects nothing' usage 2 -- "$reheap" gate --policy wrong.json \
	--baseline libc --candidate libc

# the deterministic tier
counts=(--tier deterministic --lanes 1 --events 60000 --no-verify)
if command -v valgrind >/dev/null; then
	ends_in 'identical code counts the same' pass 0 -- "$reheap" gate t.rht --baseline libc \
		--candidate libc "${counts[@]}"
	ends_in 'a few percent more operations are counted' fail 1 -- "$reheap" gate t.rht \
		--baseline slow:0%:libc --candidate slow:3%:libc "${counts[@]}"
	if [ -f odd4.so ] && grep -q '^  memory-calls' "$temp/.out"; then
		ends_in 'a map and an unmap in every hundredth call are counted' fail 1 -- \
			"$reheap" gate t.rht --baseline ./odd0.so --candidate ./odd4.so \
			"${counts[@]}" -o calls.json
		ok '  and the count of calls fails, too' bash -c "grep -q '^  memory-calls .* fail ' \
			'$temp/.out' && grep -A9 '\"name\": \"memory-calls\"' calls.json |
			grep -q '\"failed\": true'"
		ends_in '  and judged alike from its document' fail 1 -- "$reheap" gate \
			--recompute calls.json
	else
		skip 'system calls are counted' 'nothing can be traced here, or there is no compiler'
	fi
else
	ends_in 'without valgrind the deterministic tier is no pass' invalid 5 -- "$reheap" gate \
		t.rht --baseline libc --candidate libc "${counts[@]}"
fi

# revisions: the second one does more in every call
if command -v git >/dev/null && command -v cc >/dev/null && command -v valgrind >/dev/null; then
	mkdir repo
	(
		cd repo || exit 1
		git init -q . && git config user.email t@example.org && git config user.name t
		sed 's/ODD == [0-9]/0/g' ../odd.c >mine.c
		git add mine.c && git commit -q -m one
		sed -i 's/return __libc_malloc(n)/for (volatile int i = 0; i < 5; i++) ; &/' mine.c
		git commit -q -a -m two
	) >/dev/null 2>&1
	revisions=(--repo repo --build 'cc -shared -fPIC -O1 mine.c -o mine.so' --artifact mine.so)
	ends_in 'a revision against itself' pass 0 -- "$reheap" gate t.rht --baseline git:HEAD \
		--candidate git:HEAD "${revisions[@]}" "${counts[@]}"
	ends_in 'a revision with more instructions' fail 1 -- "$reheap" gate t.rht \
		--baseline git:HEAD~1 --candidate git:HEAD "${revisions[@]}" "${counts[@]}"
	ends_in 'a baseline that does not build' no-baseline 4 -- "$reheap" gate t.rht \
		--baseline git:HEAD~1 --candidate git:HEAD --repo repo --build false \
		--artifact mine.so "${counts[@]}"
	(cd repo && cc -shared -fPIC -O1 mine.c -o mine.so && echo '/* more */' >>mine.c) 2>/dev/null
	ends_in 'no baseline is stored of uncommitted changes' invalid 5 -- "$reheap" gate t.rht \
		--candidate ./repo/mine.so --lanes 1 --save-baseline dirty.json
	ok '  which is said, and no file is left' bash -c \
		"grep -q 'uncommitted changes' '$temp/.err' && test ! -e dirty.json"
	ends_in 'a revision beside uncommitted changes' pass 0 -- "$reheap" gate t.rht \
		--baseline git:HEAD --candidate git:HEAD "${revisions[@]}" "${counts[@]}"
	ok '  which are noted' grep -q '^note: repo has uncommitted changes' "$temp/.out"
	ok 'checkouts are gone' test "$(git -C repo worktree list | wc -l)" = 1
fi

# the snippets, as the CI systems would run them
mkdir job && cd job || exit 1
sed -n '/^      run: |$/,$ s/^        //p' "$root/ci/github/action.yml" >github.sh
sed -n '/^  script:$/,/^  [a-z]/ s/^    - //p' "$root/ci/gitlab/reheap-gate.yml" >gitlab.sh
export REHEAP=$reheap BASELINE=libc CANDIDATE=slow:100%:libc TRACES=$temp/t.rht POLICY=
export ARGUMENTS='--lanes 1 --pairs 4 --blocks 8 --no-verify' GITHUB_STEP_SUMMARY=summary.md
export GITHUB_OUTPUT=output.txt
bash -e -o pipefail github.sh >github.out 2>&1 </dev/null
code=$?
ok "the GitHub action does not pass twice the work (exit $code)" test $code = 1 -o $code = 3
ok '  and says so in the summary, an annotation and its output' bash -c \
	'grep -q "reheap gate" summary.md && grep -q "^::" github.out && grep -q "^verdict=" output.txt'
bash -e gitlab.sh >gitlab.out 2>&1 </dev/null
code=$?
ok "the GitLab job does not pass twice the work (exit $code)" test $code = 1 -o $code = 3
ok '  and leaves its JUnit report' test -s reheap-gate.xml
export CANDIDATE=libc POLICY=$root/ci/policy.json TRACES=
if [ -f "$root/traces/corpus/redis.rht" ]; then
	bash -e gitlab.sh >gitlab.out 2>&1 </dev/null
	code=$?
	ok "the example of a policy works (exit $code)" test $code = 0 -o $code = 3
else
	skip 'the example of a policy works' 'the corpus is not here'
fi
cd "$temp" || exit 1

# history
ok 'gates go to the history' "$reheap" history add aa.json ab.json --db h.sqlite
ok 'and are shown' bash -c "'$reheap' history show --db h.sqlite -m 'gate.wall' | grep -q 'slow:100%:libc'"
finish
