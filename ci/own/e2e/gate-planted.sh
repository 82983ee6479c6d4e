#!/bin/bash
# Faults that must not pass a gate: each is planted in an allocator, a document, a policy or a name,
# and the gate has to detect it. Time decides nothing: each fault is far beyond any limit, or is a
# fact. shellcheck source=ci/own/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=ci/own/e2e/lib_gate.sh
. "$root/ci/own/e2e/lib_gate.sh"

"$reheap" gen server -o t.rht events=200000 lanes=2 heap=2M >/dev/null 2>&1
quick=(--lanes 1 --pairs 4 --blocks 8 --no-verify)

# ---- the whole life of a worker ----
if command -v cc >/dev/null; then
	cat >life.c <<-'END'
		#include <fcntl.h>
		#include <pthread.h>
		#include <signal.h>
		#include <spawn.h>
		#include <stdlib.h>
		#include <string.h>
		#include <sys/mman.h>
		#include <sys/prctl.h>
		#include <sys/wait.h>
		#include <time.h>
		#include <unistd.h>
		void *__libc_malloc(size_t);
		void __libc_free(void *);
		void *__libc_calloc(size_t, size_t);
		void *__libc_realloc(void *, size_t);
		static void leak(void)
		{
			static unsigned calls, held;
			if (++calls % 64 || held == 600)
				return;
			held++;
			if (LIFE == 19 && held < 300)
				open("/dev/null", O_RDONLY);
			if (LIFE == 20) /* neighbours of one kind would be one mapping */
				mmap(0, 4096, held % 2 ? PROT_READ : PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
			if (LIFE == 21 && held == 20) {
				int status;
				pid_t pid = fork();
				if (pid == 0)
					_exit(0);
				waitpid(pid, &status, 0);
			}
		}
		void *malloc(size_t n)
		{
			if (LIFE >= 19 && LIFE <= 21)
				leak();
			return __libc_malloc(n);
		}
		static _Thread_local unsigned count;
		void free(void *p)
		{
			if (LIFE == 9 && p && ++count % 64 == 0)
				for (volatile int i = 0; i < 4000; i++)
					;
			__libc_free(p);
		}
		void *calloc(size_t n, size_t m) { return __libc_calloc(n, m); }
		size_t malloc_usable_size(void *p);
		void *realloc(void *p, size_t n)
		{
			size_t old = LIFE == 26 && p && n ? malloc_usable_size(p) : 0;
			void *made = old ? __libc_malloc(n) : NULL;
			if (!made)
				return __libc_realloc(p, n);
			memcpy(made, p, old < n ? old : n);
			__libc_free(p);
			return made;
		}
		size_t malloc_usable_size(void *p)
		{
			size_t word = p ? ((size_t *)p)[-1] : 0; /* 2: mapped alone */
			size_t bytes = (word & ~(size_t)7) - (word & 2 ? 16 : 8);
			return p ? bytes + (LIFE == 14 ? bytes / 2 + 16 : 0) : 0;
		}
		char pages[LIFE == 11 ? 16 << 20 : 1];
		static pthread_t spinner;
		static void *spin(void *none)
		{
			for (;;)
				;
			return none;
		}
		static void *part(void *none) /* 3 ms of 10 */
		{
			struct timespec a, b;
			for (;;) {
				clock_gettime(CLOCK_MONOTONIC, &a);
				do
					clock_gettime(CLOCK_MONOTONIC, &b);
				while ((b.tv_sec - a.tv_sec) * 1000000000 + b.tv_nsec - a.tv_nsec < 3000000);
				nanosleep(&(struct timespec){ 0, 7000000 }, NULL);
			}
			return none;
		}
		static void *doze(void *none)
		{
			for (;;)
				pause();
			return none;
		}
		static void leave(void) /* only its descent shows where it comes from */
		{
			setsid();
			if (fork())
				_exit(0);
			clearenv();
			for (int i = 0; i < 1024; i++)
				close(i);
		}
		__attribute__((constructor)) static void begin(void)
		{
			if (LIFE == 16 && fork() == 0) {
				leave();
				execl("/bin/sleep", "sleep", "8642", (char *)0);
				_exit(1);
			}
			if (LIFE == 17)
				pthread_create(&spinner, NULL, part, NULL);
			if (LIFE == 18 && fork() == 0) { /* another one each 5 ms */
				leave();
				for (int i = 0; i < 1000; i++) {
					nanosleep(&(struct timespec){ 0, 5000000 }, NULL);
					if (fork())
						_exit(0);
				}
				_exit(0);
			}
			for (int i = 0; i < 8 && LIFE == 22; i++)
				pthread_create(&spinner, NULL, doze, NULL);
			if (LIFE == 23) { /* waited for, by other means than fork() */
				char *words[] = { "true", NULL };
				int status;
				pid_t pid;
				if (posix_spawnp(&pid, "true", NULL, NULL, words, NULL) == 0)
					waitpid(pid, &status, 0);
			}
			if (LIFE == 24 || LIFE == 25) { /* its orphans go to whoever started it */
				prctl(PR_SET_CHILD_SUBREAPER, 0);
				if (fork() == 0) {
					leave();
					execl("/bin/sleep", "sleep", LIFE == 24 ? "8643" : "8644", (char *)0);
					_exit(1);
				}
				if (LIFE == 25)
					usleep(100000);
				if (LIFE == 25)
					prctl(PR_SET_CHILD_SUBREAPER, 1);
			}
			if (LIFE == 4 && fork() == 0)
				for (;;)
					pause();
			if (LIFE == 5 && fork() == 0) {
				setsid();
				for (;;)
					pause();
			}
			if (LIFE == 6)
				nanosleep(&(struct timespec){ 0, 150000000 }, NULL);
			if (LIFE == 7 && fork() == 0)
				_exit(0);
			if (LIFE == 11)
				memset(pages, 1, sizeof(pages));
			if (LIFE == 13)
				pthread_create(&spinner, NULL, spin, NULL);
			if (LIFE == 15 && fork() == 0) {
				setsid();
				if (fork() == 0) {
					for (int i = 0; i < 1024; i++)
						close(i);
					for (;;)
						pause();
				}
				_exit(0);
			}
		}
		__attribute__((destructor)) static void end(void)
		{
			static const char words[] = "\x1b[31mleak of 5 blocks\n";
			if (LIFE == 1)
				abort();
			if (LIFE == 2)
				_exit(7);
			if (LIFE == 3)
				raise(SIGSEGV);
			if (LIFE == 10)
				_exit(0);
			if (LIFE == 12)
				nanosleep(&(struct timespec){ 0, 400000000 }, NULL);
			if (LIFE == 8 && write(2, words, strlen(words)) < 0)
				_exit(1);
		}
	END
	for life in $(seq 0 26); do
		cc -pthread -shared -fPIC -O1 -w -DLIFE=$life life.c -o life$life.so || skip_all 'life.c does not compile'
	done
	for way in "${quick[*]}" "--lanes 1 --pairs 3 --blocks 8 --memory 64K --no-verify" \
		"--lanes 2 --pairs 3 --blocks 8"; do
		# shellcheck disable=SC2086
		gate 5 "abort() in a destructor ($way)" t.rht --baseline libc --candidate ./life1.so $way
		said 'candidate: .*signal 6'
	done
	gate 5 '_exit(7) in a destructor' t.rht --baseline libc --candidate ./life2.so "${quick[@]}"
	said 'exit ended with status 7'
	gate 5 '_exit(0) in a destructor' t.rht --baseline libc --candidate ./life10.so "${quick[@]}"
	said 'a program would lose its last output'
	is_exit 1 '  and replay fails alike' "$reheap" replay t.rht --backend ./life10.so --reps 1 --probes time
	gate 5 'a usable size that is not there' t.rht --baseline libc --candidate ./life14.so --lanes 1 \
		--pairs 4 --blocks 8
	gate 5 'a destructor that crashes' t.rht --baseline libc --candidate ./life3.so "${quick[@]}"
	gate 5 'a baseline that aborts at its end' t.rht --baseline ./life1.so --candidate libc \
		"${quick[@]}"
	said 'baseline: .*signal 6'
	for life in 4 5 15 18; do
		gate 5 "a constructor that forks (life $life)" t.rht --baseline libc \
			--candidate "./life$life.so" "${quick[@]}"
		said 'started 1 process that outlived the worker'
		ok '  and nothing of it is left' bash -c "! grep -l life$life.so /proc/[0-9]*/maps 2>/dev/null"
	done
	gate 5 'a daemon without its environment' t.rht --baseline libc --candidate ./life16.so "${quick[@]}"
	said 'candidate: the allocator started 1 process that outlived the worker'
	ok '  and it is gone' bash -c "! grep -z -s -x -l '864[2]' /proc/[0-9]*/cmdline | grep ."
	for side in candidate baseline; do
		other=$([ $side = baseline ] && echo candidate || echo baseline)
		gate 5 "one whose orphans are not its own ($side)" t.rht --$other ./life0.so \
			--$side ./life24.so "${quick[@]}"
		said "$side: the allocator has changed the process: it adopts orphans no more"
		gate 5 "one whose orphans were not its own for a while ($side)" t.rht \
			--$other ./life0.so --$side ./life25.so "${quick[@]}"
		said "$side: the allocator started 1 process that outlived the worker"
		ok '  and they are gone' bash -c "! grep -z -s -x -l '864[34]' /proc/[0-9]*/cmdline | grep ."
	done
	gate 5 'one that the baseline leaves' t.rht --baseline ./life16.so --candidate libc "${quick[@]}"
	said 'baseline: the allocator started 1 process that outlived the worker'
	timeout 100 "$reheap" gate t.rht --baseline ./life0.so --candidate ./life7.so \
		--metrics wall "${quick[@]}" >.out 2>&1 </dev/null
	ok 'a child that ended and was not waited for is no leak' test $? != 5
	timeout 100 "$reheap" gate t.rht --baseline ./life0.so --candidate ./life8.so \
		--metrics wall "${quick[@]}" >.out 2>&1 </dev/null
	ok 'what a worker prints is shown, harmless' grep -q \
		'a worker of the candidate printed:.*leak of 5 blocks' .out
	ok '  without its escape' fails grep -q "$(printf '\033')" .out

	# ---- start-up ----
	gate 1 '150 ms more to start' t.rht --baseline ./life0.so --candidate ./life6.so \
		--metrics startup "${quick[@]}" -o startup.json
	said '^  startup .* fail'
	gate 1 '  its document is judged alike' --recompute startup.json

	# ---- the rest of its life ----
	gate 1 '16 MiB of pages of its own' t.rht --baseline ./life0.so --candidate ./life11.so \
		--metrics image "${quick[@]}"
	said '^  image .* fail'
	gate 1 '400 ms more to end' t.rht --baseline ./life0.so --candidate ./life12.so \
		--metrics exit "${quick[@]}"
	said '^  exit .* fail'
	gate 1 'a thread of the library that spins' t.rht --baseline ./life0.so --candidate ./life13.so \
		--metrics process --lanes 1 --pairs 4 --blocks 60 --no-verify
	said '^  process .* fail'
	gate 1 'a thread of the library that takes some of a CPU' t.rht --baseline ./life0.so \
		--candidate ./life17.so --metrics background "${quick[@]}" -o background.json
	said '^  background .* fail'
	gate 1 '  its document is judged alike' --recompute background.json

	# ---- what it changes ----
	cat >change.c <<-'END'
		#include <signal.h>
		#include <stdlib.h>
		#include <sys/resource.h>
		#include <sys/time.h>
		#include <unistd.h>
		__attribute__((constructor)) static void change(void)
		{
			struct rlimit limit = { 60, 60 };
			struct itimerval timer = { { 0, 0 }, { 3600, 0 } };
			sigset_t set;
			sigemptyset(&set);
			sigaddset(&set, SIGTERM);
			if (CHANGE == 0)
				close(1);
			if (CHANGE == 1)
				signal(SIGTERM, SIG_IGN);
			if (CHANGE == 2)
				sigprocmask(SIG_BLOCK, &set, 0);
			if (CHANGE == 3)
				nice(3);
			if (CHANGE == 4)
				setrlimit(RLIMIT_NOFILE, &limit);
			if (CHANGE == 5)
				setitimer(ITIMER_REAL, &timer, 0);
			if (CHANGE == 6)
				setenv("MALLOC_ARENA_MAX", "1", 1);
			if (CHANGE == 7)
				chdir("/");
		}
	END
	words=('standard streams' 'signal handlers' 'blocked signals' priority 'resource limits' timers
		environment 'working folder')
	for change in $(seq 0 7); do
		cc -pthread -shared -fPIC -O1 -w -DLIFE=0 -DCHANGE="$change" life.c change.c -o "change$change.so"
		gate 1 "a library that changes its process's ${words[$change]}" t.rht --baseline ./life0.so \
			--candidate "$temp/change$change.so" --metrics changes "${quick[@]}"
		said "a worker of the candidate changed its process: ${words[$change]}\$"
	done

	# ---- what it holds ----
	for fault in '19 files' '20 maps' '21 children' '22 threads' '23 children'; do
		gate 1 "more ${fault#* } (life ${fault% *})" t.rht --baseline ./life0.so \
			--candidate "./life${fault% *}.so" --metrics "${fault#* }" "${quick[@]}" -o held.json
		said "^  ${fault#* } .* fail$"
		gate 1 '  its document is judged alike' --recompute held.json
		gate 0 '  and fewer are no fault' t.rht --baseline "./life${fault% *}.so" \
			--candidate ./life0.so --metrics "${fault#* }" "${quick[@]}"
	done

	gate 1 'a realloc that always copies' "$root/traces/corpus/perl.rht" --baseline ./life0.so --candidate ./life26.so \
		--metrics moved "${quick[@]}"
	said '^  moved .* fail$'

	# ---- single operations ----
	gate 1 'a tail that one free in 64 has' t.rht --baseline ./life0.so --candidate ./life9.so \
		--lanes 1 --pairs 30 --blocks 8 --no-verify -o tail.json
	said '^  free.p99 .* fail$'
	ok '  and no other kind is blamed' fails grep -q -E '^  (alloc|resize).p99 .* fail$' "$temp/.out"
	gate 1 '  its document is judged alike' --recompute tail.json
	ok '  latencies gate by default' grep -q '"latency_by_default": true' tail.json
	pairs=$(grep -c '"cpu": [0-9n]' tail.json)
	ok "  nor are there pairs that decide nothing any more ($pairs of 30)" test "$pairs" -ge 7 -a "$pairs" -lt 30
	gate 1 '  beside memory, which three pairs decide' t.rht --baseline ./life0.so --candidate ./life9.so \
		--metrics rss,free.p99 --lanes 1 --pairs 30 --blocks 8 --no-verify -o tail.json
	ok '  it has pairs of its own' grep -q '"rss": null' tail.json
	"$reheap" gate t.rht --baseline ./life0.so --candidate ./life9.so "${quick[@]}" >.out 2>&1 </dev/null
	ok '  not with fewer pairs than can decide them' fails grep -q 'free.p99' .out

	# ---- one build on both sides ----
	timeout 100 "$reheap" gate t.rht --baseline ./life0.so --candidate "$temp/life0.so" "${quick[@]}" \
		>.out 2>&1 </dev/null
	ok 'one build under two names is said first' bash -c "head -n 1 .out | grep -q '^NOTE: .* same build'"
else
	skip 'the whole life of a worker' 'there is no compiler'
fi

# ---- faults that appear late, elsewhere, or never end ----
if command -v cc >/dev/null; then
	cat >late.c <<-'END'
		#include <stdlib.h>
		#include <string.h>
		#include <sys/mman.h>
		#include <unistd.h>
		void *__libc_malloc(size_t);
		void __libc_free(void *);
		void *__libc_calloc(size_t, size_t);
		void *__libc_realloc(void *, size_t);
		static void linger(void) /* microseconds */
		{
			for (volatile int i = 0; i < 20000; i++)
				;
		}
		static unsigned long count, frees; /* one lane: 110,000 a pass */
		static char arena[1 << 20], *shared;
		static unsigned given, held;
		#define GROWN (40 << 20)
		static int ours(const void *p) { return (char *)p >= arena && (char *)p < arena + sizeof(arena); }
		void *malloc(size_t n)
		{
			count++;
			if (LATE == 1 && count > 250000 && n <= 64) /* each twice */
				return arena + given++ / 2 * 64 % sizeof(arena);
			if (LATE == 2 && count == 150000) /* behind the first pass */
				memset(mmap(0, GROWN, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 1, GROWN);
			if (LATE == 3 && !shared)
				shared = mmap(0, GROWN, 3, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
			if (LATE == 3 && count % 8 == 0 && held < GROWN) {
				shared[held] = 1;
				held += 4096;
			}
			if (LATE == 4)
				for (;;)
					pause();
			if (LATE == 7 && n > 1024 && n <= 2048)
				linger();
			return __libc_malloc(n);
		}
		void free(void *p)
		{
			if (LATE == 8 && ++frees % 300 == 0)
				linger();
			if (!ours(p))
				__libc_free(p);
		}
		void *calloc(size_t n, size_t m) { return __libc_calloc(n, m); }
		void *realloc(void *p, size_t n) { return __libc_realloc(p, n); }
		size_t malloc_usable_size(void *p)
		{
			size_t word = p ? ((size_t *)p)[-1] : 0;
			return !p ? 0 : ours(p) ? 64 : (word & ~(size_t)7) - (word & 2 ? 16 : 8);
		}
		__attribute__((constructor)) static void begin(void)
		{
			static const char words[] = "\nREHEAP-GATE verdict=pass exit=0\n";
			if (LATE == 5 && fork() == 0) {
				setsid();
				if (fork() == 0) {
					unsetenv("LD_PRELOAD");
					execl("/bin/sleep", "sleep", "9753", (char *)0);
				}
				_exit(0);
			}
			if (LATE == 6 && write(1, words, sizeof(words) - 1) < 0)
				_exit(1);
		}
	END
	for late in $(seq 0 8); do
		cc -shared -fPIC -O1 -w -DLATE=$late late.c -o late$late.so || skip_all 'late.c does not compile'
	done
	gate 5 'one block given out twice, but not in the first pass' t.rht --baseline ./late0.so \
		--candidate ./late1.so --lanes 1 --pairs 4 --blocks 8
	said 'in a heap that was in use for a while: candidate: .*contents changed'
	for late in 2 3; do
		gate 1 "memory that grows $([ $late = 2 ] && echo in the second pass || echo in shared mappings)" t.rht \
			--baseline ./late0.so --candidate ./late$late.so --metrics rss "${quick[@]}"
		said '^  rss .* fail$'
	done
	gate 1 'one class of sizes that is slow' t.rht --baseline ./late0.so --candidate ./late7.so --metrics class \
		"${quick[@]}" -o class.json
	said '^  class .* fail$'
	gate 1 '  its document is judged alike' --recompute class.json
	gate 1 'one free in 300 that is slow' t.rht --baseline ./late0.so --candidate ./late8.so \
		--metrics free.p99.9 "${quick[@]}"
	said '^  free.p99.9 .* fail$'
	gate 5 'a daemon that executed another program' t.rht --baseline ./late0.so --candidate ./late5.so \
		--lanes 1 --pairs 4 --blocks 8
	said 'candidate: the allocator started 1 process that outlived'
	ok '  and it is gone' bash -c "! grep -z -s -x -l '975[3]' /proc/[0-9]*/cmdline | grep ."
	timeout 100 "$reheap" gate t.rht --baseline ./late0.so --candidate ./late6.so --metrics rss "${quick[@]}" \
		>.out 2>&1 </dev/null
	ok 'a line that looks like ours is not at the start of one' test "$(grep -c '^REHEAP-GATE' .out)" = 1
	"$reheap" gen server -o hangs.rht events=60000 lanes=2 heap=1M >/dev/null 2>&1
	gate 5 'a trace that hangs under a budget' hangs.rht t.rht --baseline ./late0.so --candidate ./late4.so \
		--lanes 1 --budget 60s --metrics rss --timeout 2s --no-verify
	said 'no end in sight: stopped after its time limit'
else
	skip 'what is wrong late only' 'there is no compiler'
fi
gate 1 '8 MiB more are held' t.rht --baseline slow:0%:libc --candidate slow:hold=8M:libc --metrics rss "${quick[@]}"
said '^  rss .* fail$'
{
	echo 'calibrated libc hold=8388608 1.5 1.5 1.5 6 10.00'
	echo 'same libc pass 1.00000 0.99 1.01 3 0.50 - wall=3/0,rss=3/0,alloc.p99=9/1'
	echo 'same libc fail 1.00000 0.99 1.01 3 0.50 - wall=3/0,rss=7/7!,alloc.p99=6/0'
} >hold.txt
is_exit 1 'a self-test of memory' "$reheap" gate t.rht --self-test --candidate libc --lanes 1 --gates 2 \
	--gates-slower 1 --slow-memory 10% --metrics rss --blocks 8 --pairs 4 --no-verify --keep hold.txt
said 'memory: 8.00 MiB are held, calibrated to 10.0 % more'
said '^    rss +2 +1 +50.00 % \[1.26, 98.74\] +7 of 10: '
said '^    alloc.p99 +2 +0 +0.00 % \[0.00, 84.19\] +1 of 15: 0.002 %'
said '^    rss +1 +1 +100.00 % \[2.50, 100.00\] +4 of 4'

# ---- limits ----
for word in '--threshold 5' '--metrics wall=5' '--count-threshold 2' '--metrics rss=10'; do
	# shellcheck disable=SC2086
	is_exit 2 "$word would be a hundred times that" "$reheap" gate t.rht --baseline libc \
		--candidate libc $word
	said 'did you mean [0-9]+%\?'
done
for policy in '"threshold": 5' '"threshold": "5"' '"metrics": { "wall": 5 }' '"counts": "3"' \
	'"metrics": { "rss": "5000%" }' '"threshold": -1' '"improve-check": 1e300'; do
	echo "{ \"schema\": \"reheap.policy/1\", \"traces\": [\"t.rht\"], $policy }" >policy.json
	gate 2 "a policy of $policy" --policy policy.json --baseline libc --candidate libc
done
"$reheap" gate t.rht --baseline libc --candidate libc "${quick[@]}" >.out 2>&1 </dev/null
"$reheap" gate --help >help.txt
agree() {
	local name limit rows=0
	while read -r name limit; do
		rows=$((rows + 1))
		grep -q -E "^ +$name +$limit %" help.txt || { echo "help: $name $limit"; return 1; }
		grep -q -E "^\| \`$name\` \| $limit %" "$root/ci/gate/GATE.md" ||
			{ echo "GATE.md: $name $limit"; return 1; }
	done < <(sed -n '/^  metric/,/^  [^ ]* *count\|^$/ s/^  \([a-z0-9-]*\) .*\] *+\([0-9]*\)\.0 %.*/\1 \2/p' .out)
	[ $rows -ge 8 ]
}
ok 'each limit of the output stands in --help and in GATE.md' agree

# ---- several traces in one budget ----
"$reheap" gen server -o small.rht events=60000 lanes=2 heap=1M >/dev/null 2>&1
gate 3 'a budget that is spent at once' t.rht small.rht --baseline libc --candidate libc --budget 1ns \
	--lanes 1
said 'small.rht: --budget was spent before its first pair'
gate 3 'a budget that decides nothing' t.rht small.rht --baseline libc --candidate libc --budget 3s \
	--lanes 1 --pairs 5000 --pairs-min 5000 --blocks 8 --no-verify
ok '  each trace had pairs, and says that more are needed' test \
	"$(grep -c -- '--budget was spent after [1-9][0-9]* pairs' "$temp/.out")" = 2
ok '  small traces come first' bash -c "grep '^done: ' '$temp/.out' | head -n 1 | grep -q small.rht ||
	test \$(grep -c '^done: ' '$temp/.out') = 2"
many=(gate t.rht small.rht --baseline libc --candidate libc --lanes 1 --pairs 30 --pairs-min 30
	--blocks 8 --no-verify --resume kept.json)
"$reheap" "${many[@]}" >cut.out 2>/dev/null </dev/null &
driver=$!
for _ in $(seq 600); do
	grep -q '^done: ' cut.out && break
	sleep 0.05
done
kill -KILL $driver 2>/dev/null
wait $driver 2>/dev/null
ok 'what is finished is printed while the rest runs' grep -q '^done: .* small.rht, 1 lane: ' cut.out
if [ -e kept.json ]; then
	timeout 100 "$reheap" "${many[@]}" >again.out 2>&1 </dev/null
	code=$?
	ok "  and the same command goes on after a kill (exit $code)" test $code = 0 -o $code = 3
	ok '  with a line for each trace and one for all' bash -c \
		"test \$(grep -c '^REHEAP-GATE trace=.* pairs=30 ' again.out) = 2 &&
		 tail -n 1 again.out | grep -q '^REHEAP-GATE verdict='"
else
	skip '  and the same command goes on after a kill' 'it had ended before it was killed'
fi

# ---- lanes: a lock is seen by two threads only ----
echo '{ "schema": "reheap.policy/1", "traces": ["t.rht"] }' >policy.json
"$reheap" gate --policy policy.json --baseline libc --candidate libc --pairs 3 --blocks 8 --no-verify \
	>.out 2>/dev/null </dev/null
ok 'a policy without lanes judges one lane and all' bash -c \
	"grep -q '^REHEAP-GATE trace=t.rht lanes=1 ' .out &&
	 test \$(grep -c '^REHEAP-GATE trace=' .out) = \$(( \$(nproc) > 1 ? 2 : 1 ))"
is_exit 2 'a word that is no number of lanes' "$reheap" gate t.rht --baseline libc --candidate libc \
	--lanes few
says 'cpus' '  names those that are'

# ---- documents ----
"$reheap" gate t.rht --baseline libc --candidate libc --lanes 1 --pairs 3 --blocks 8 --no-verify \
	-o good.json >/dev/null 2>&1 </dev/null
spoil() {
	sed -E "$1" good.json >bad.json
	ok "  $2 is spoilt" fails cmp -s good.json bad.json
	gate 5 "a document with $2" --recompute bad.json
	said "bad.json: $3 (must be|is |has )"
}
spoil 's/^     "cpu": .*/     "cpu": 1e300,/' 'a CPU of 1e300' 'scenarios\[0\].pairs\[[0-9]\].cpu'
spoil 's/"alpha": [0-9.e-]+/"alpha": -1/' 'an alpha of -1' 'rule.alpha'
spoil 's/"pairs_max": [0-9]+/"pairs_max": 1e19/' 'pairs of 1e19' 'rule.pairs_max'
spoil 's/"events": [0-9]+/"events": 2.5/' 'half an event' 'scenarios\[0\].events'
spoil 's/"lanes": 1/"lanes": -1/' 'lanes of -1' 'scenarios\[0\].lanes'
spoil 's/"wall": 0\.[0-9]+/"wall": 1e308/' 'a limit of 1e308' 'rule.thresholds.wall'
spoil 's/"switches": [0-9]+/"switches": "many"/' 'a text for a number' \
	'scenarios\[0\].pairs\[[0-9]\].(baseline|candidate).switches'
for file in "$shared"/cases/hostile/gatejson/*.json; do
	[ -f "$file" ] || { skip 'hostile documents' 'they are not here'; break; }
	gate 5 "${file##*/}" --recompute "$file"
	said '(rule|scenarios)[][a-z0-9_.]* must be'
done

# ---- names ----
evil=$(printf 'y\n::error::x\033[31m\302\2332J.rht')
cp t.rht "$evil"
harmless() {
	! grep -q -E '^ *::error::x' "$@" && ! grep -q "$(printf '\033')" "$@" &&
		! LC_ALL=C grep -q "$(printf '\302\233')" "$@" && grep -q -F 'y\n::error::x\x1b[31m\u009b2J' "$@"
}
"$reheap" gate "$evil" --baseline libc --candidate libc --lanes 1 --pairs 3 --blocks 8 --no-verify \
	--markdown n.md --junit n.xml --annotate --plot n.figure >n.out 2>n.err </dev/null
for file in n.out n.xml; do
	ok "a name with commands and escapes is harmless in $file" harmless $file
done
ok '  and in Markdown' bash -c "grep -q '::error' n.md && ! LC_ALL=C grep -q \$'^ *::error\\|[\\001-\\010\\013-\\037\\177]\\|\\302\\233' n.md"
"$reheap" gate "$evil" --baseline libc --candidate libc --lanes 1 --pairs 3 --blocks 8 --no-verify \
	-o n.json >/dev/null 2>&1 </dev/null
ok 'JSON has no control character' bash -c "! LC_ALL=C grep -q \$'[\\001-\\010\\013-\\037\\177-\\377]' n.json"
"$reheap" info "$evil" >i.out 2>&1
ok '  nor in info' harmless i.out
"$reheap" info "./none$evil" >i.out 2>&1
ok '  nor in an error' harmless i.out
"$reheap" history add n.json --db h.sqlite >/dev/null
"$reheap" history show --db h.sqlite -m 'gate.%' >h.out
ok '  nor in the history' harmless h.out
"$reheap" replay "$evil" --backend libc --reps 1 --probes time --format csv >r.csv 2>/dev/null
ok '  nor in CSV' harmless r.csv
if [ -f "$shared/cases/hostile/gate-injection.json" ]; then
	"$reheap" gate --recompute "$shared/cases/hostile/gate-injection.json" --junit n.xml \
		--markdown n.md >n.out 2>&1
	ok 'a document that injects is harmless' bash -c \
		"grep -q 'PWN3' n.out && ! grep -q -E \$'\\033|^ *::' n.out n.md n.xml && ! grep -q '<script\|<img' n.xml"
fi
printf '#include <stdio.h>\nvoid f(const char *name)\n{\n\tprintf("%%-10s\\n",\n\t       name);\n\tputs(name);\n}\n' >raw.c
ok 'the check of make check sees a raw print' bash -c \
	"awk -v own= -f '$root/ci/own/printable.awk' raw.c | grep -c 'use rh_print' | grep -q 2"
finish
