#!/bin/bash
# reheap validate with programs of every kind: what they read and write, what they leave behind, how
# they fail, and where their time goes, which is sampled. Facts and lower bounds, no times.
# shellcheck source=ci/own/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
command -v cc >/dev/null || skip_all 'no C compiler'

# validate ARGS...: exit 0 or 1 is a validation (1: a prediction is off, on a busy machine)
validate() {
	"$reheap" validate -q --reps 1 "$@" >out 2>err
	ended=$?
	[ $ended = 0 ] || [ $ended = 1 ]
}
refused() { ! grep -q '^change of' out && test $ended != 0; }

# Blocks and work, by the letters it reads: 2000 blocks for each; w: writes a lot, b: works in a
# background process of its own session, c: in a child, s: sleeps, x: exits with 3, k: dies.
cat >job.c <<'END'
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
static void work(int blocks)
{
	static char page[1 << 20];
	int zero = open("/dev/zero", O_RDONLY);

	for (int i = 0; i < blocks; i++) {
		char *volatile block = malloc(100);

		memset(block, i, 100);
		free(block);
	}
	for (int i = 0; i < 3 * blocks / 2; i++)
		if (read(zero, page, sizeof(page)) < 0)
			_exit(9);
	close(zero);
}
static void spin(void)
{
	for (volatile long i = 0; i < 200000000; i++)
		;
}
int main(int argc, char **argv)
{
	const char *at = argc > 1 ? argv[1] : "";
	int c;

	while ((c = argc > 1 ? *at++ : getchar()) > 0 && c != '\n')
		switch (c) {
		case 'w':
			for (int i = 0; i < 400000; i++)
				printf("line %d of many, which nobody reads\n", i);
			break;
		case 'b':
			if (fork() == 0) {
				setsid();
				for (;;)
					pause();
			}
			break;
		case 'c':
			if (fork() == 0) {
				spin();
				_exit(0);
			}
			wait(NULL);
			break;
		case 'x':
			fprintf(stderr, "one\nthe reason\n");
			return 3;
		case 's':
			sleep(100);
			break;
		case 'k':
			abort();
		default:
			work(2000);
		}
	return 0;
}
END
cc -O1 -fno-builtin job.c -o job
# libc with 20,000 turns of a loop in each block: 40 million a letter.
cat >busy.c <<'END'
#include <stddef.h>
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void __libc_free(void *);
void *malloc(size_t bytes)
{
	for (volatile int turn = 0; bytes == 100 && turn < 20000; turn++)
		;
	return __libc_malloc(bytes);
}
void *calloc(size_t n, size_t bytes) { return __libc_calloc(n, bytes); }
void *realloc(void *p, size_t bytes) { return __libc_realloc(p, bytes); }
void free(void *p) { __libc_free(p); }
END
cc -O0 -shared -fPIC -fno-builtin busy.c -o busy.so

# ---- where its time goes ----

ok 'a program is validated' validate --backend libc,busy=./busy.so -v -o v.json -- ./job nn
if grep -q '^note: how much of the user time .* is not sampled' out; then
	echo "# SKIP samples: $(sed -n 's/^note: how much.* is not sampled: //p' out)"
	sampled=
	ok 'the result says why' grep -q '"sample_why":"' v.json
else
	sampled=yes
	awk '/^change of user time in the allocator/ { on = 1 } on && $1 == "busy" { print; exit }' out |
		sed 's/\[[^]]*\]//g' | awk '{ print $2, $3 }' | tr -d + >change
	read -r predicted observed <change
	# 80 million turns of some instructions: no CPU does that in 10 ms.
	ok "the loop is in the allocator's code, predicted ($predicted ms)" \
		awk -v x="${predicted:-0}" 'BEGIN { exit !(x > 10) }'
	ok "and observed ($observed ms)" awk -v x="${observed:-0}" 'BEGIN { exit !(x > 10) }'
	ok 'the result has both sides' grep -q '"what":"allocator"' v.json
	ok 'and each round' grep -qE '"inside_s":\[[0-9.e-]+\]' v.json
	ok 'of the program, too' grep -qE '"outside_s":\[[0-9.e-]+\]' v.json
	is_exit 0 'it is drawn' "$reheap" plot v.json -o drawn
	ok 'as a figure' test -s drawn/truth-allocator.svg
	ok 'and a table' grep -q 'user time in the allocator.s own code, sampled' drawn/report.html
	is_exit 0 'a replay shows it, when asked' "$reheap" replay -q --reps 1 --probes code --lanes 1 \
		--backend libc,tiered,null -o r.json "$root/traces/corpus/sqlite.rht"
	ok 'of an allocator that is preloaded or libc' grep -q 'code.allocator_ns_per_event' r.json
	"$reheap" validate -q --reps 1 --backend libc,busy=./busy.so -- ./job ncn >out 2>err
	ok 'what a child takes is said' grep -qE \
		'^note: [0-9]+ of the [0-9]+ ms are of processes that the program starts' out
	"$reheap" validate -q --reps 1 --backend libc,busy=./busy.so -- sh -c './job c | cat' >out 2>err
	ended=$?
	ok 'a pipeline is refused' refused
	ok 'its shell is not what works' grep -qE \
		'too few to judge .*[0-9]+ % of the user time is that of processes it starts' err
fi

# ---- how many rounds ----

# with_rounds BUDGET: sets $rounds from the result, and $listed, how many times of the program are in it
with_rounds() {
	"$reheap" validate -q --backend libc,busy=./busy.so --budget "$1" -o b.json -- ./job nn >out 2>err
	rounds=$(grep -o '"rounds":[0-9]*' b.json | cut -d: -f2)
	listed=$(grep -o '"user_s":\[[^]]*\]' b.json | head -n 1 | tr ',' '\n' | wc -l)
}
with_rounds 0
ok "without a budget there are six rounds (${rounds:-none})" test "${rounds:-0}" = 6 -a "${listed:-0}" = 6
with_rounds 20s
ok "within one there may be more (${rounds:-none})" test "${rounds:-0}" -ge 6 -a "${rounds:-0}" -le 48
ok "each is in the result ($listed)" test "${listed:-0}" = "${rounds:-1}"
ok 'and each has a replay' test "$(grep -o '"rep":[0-9]*' b.json | sort -u | wc -l)" = "${rounds:-1}"

# ---- what it reads and writes ----

echo nn >letters
"$reheap" validate -q --reps 1 --backend libc,busy=./busy.so -- ./job <letters >out 2>err
ended=$?
ok "a file is its input, in each run (exit $ended)" grep -q '^busy ' out
ok 'from its start: two letters' grep -qE ' 8[0-9]{3} heap calls under libc' out
printf 'nn\n' | "$reheap" validate -q --reps 1 --backend libc,busy=./busy.so -- ./job >out 2>err
ended=$?
ok 'a pipe is not: it could be read once' refused
ok 'much output goes nowhere' validate --backend libc,busy=./busy.so -- ./job wnn
ok 'and is no output of ours' fails grep -q nobody out

# ---- how it ends ----

validate --backend libc,busy=./busy.so -- ./job nnx
ok 'a program that fails is refused' refused
ok 'with its status and last words' grep -q \
	'job ended with exit status 3 when it was recorded.*it said: the reason' err
validate --backend libc,busy=./busy.so -- ./job nnk
ok 'one that dies is refused' refused
ok 'with the signal' grep -q 'job was ended by signal 6' err
validate --backend libc,busy=./busy.so -- ./job b
ok 'one that goes on in the background is refused' refused
ok 'with the way to validate it' grep -q \
	'goes on in the background, in 1 process that it left: .*--driver' err
ok 'and nothing of it runs on' fails pgrep -x -f './job b'
is_exit 1 'a driver that does not wait is refused' "$reheap" validate -q --reps 1 \
	--backend libc,busy=./busy.so --driver true -- ./job nn
says 'the driver ended before|made [0-9]+ heap calls|takes [0-9]+ ms' 'with the reason'
is_exit 1 'so is a program that does not end' "$reheap" validate -q --reps 1 --timeout 3s \
	--backend libc,busy=./busy.so -- ./job s
says 'job did not end in time' 'with the reason'
cat >becomes.c <<'END'
#include <stdlib.h>
#include <unistd.h>
int main(void)
{
	free(malloc(100));
	return execl("./job", "job", "nn", (char *)NULL);
}
END
cc -O0 becomes.c -o becomes
mkdir temporary
TMPDIR=$PWD/temporary validate --backend libc,busy=./busy.so -- ./becomes
ok "a program that becomes another one leaves nothing in TMPDIR ($(ls temporary | xargs))" \
	test -z "$(ls temporary)"
long=$(printf 'n%.0s' $(seq 200))
cp job "$long"
ok 'names may be long' validate --backend libc,busy=./busy.so -- "./$long" nn
sed 's/^/# /' err
finish
