#!/bin/bash
# reheap validate: an allocator that wastes a known number of bytes in each block, or does a known
# number of instructions more in each call, is predicted to 1 %, and so observed, also under a program
# that links an allocator of its own; what cannot be validated is refused with the reason.
# shellcheck source=ci/own/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
command -v cc >/dev/null || skip_all 'no C compiler'

# A hundred thousand blocks of 64 bytes, all written, and some work on them.
cat >job.c <<'END'
#include <stdlib.h>
#include <string.h>
enum { BLOCKS = 100000, ROUNDS = 1500 };
int main(void)
{
	static char *block[BLOCKS];
	unsigned long sum = 0;

	for (int i = 0; i < BLOCKS; i++)
		memset(block[i] = malloc(64), i, 64);
	for (int r = 0; r < ROUNDS; r++)
		for (int i = 0; i < BLOCKS; i++)
			sum += (unsigned char)block[i][r % 64];
	for (int i = 0; i < BLOCKS; i++)
		free(block[i]);
	return sum == 1;
}
END
# libc with 640 bytes more in each block, written: 61.04 MiB for the job, which links a library that
# wastes half of that. The memory it takes when loaded (8 MiB) is not part of the answer.
cat >waste.c <<'END'
#include <stddef.h>
#include <string.h>
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void __libc_free(void *);
void *malloc(size_t bytes)
{
	char *p = __libc_malloc(bytes + 640);

	return p ? memset(p, 1, bytes + 640) : p;
}
void *calloc(size_t n, size_t bytes) { return __libc_calloc(n, bytes); }
void *realloc(void *p, size_t bytes) { return __libc_realloc(p, bytes); }
void free(void *p) { __libc_free(p); }
END
cp waste.c own.c
cat >>waste.c <<'END'
__attribute__((constructor)) static void begin(void)
{
	static char volatile own[8 << 20];

	for (size_t at = 0; at < sizeof(own); at += 4096)
		own[at] = 1;
}
END
cc -O1 -shared -fPIC -fno-builtin waste.c -o waste.so
sed -i 's/640/320/g' own.c
cc -O1 -shared -fPIC -fno-builtin own.c -o libown.so
cc -O1 -fno-builtin job.c -o job -Wl,--no-as-needed -L. -lown "-Wl,-rpath,$PWD"
"$reheap" validate -q --reps 2 --backend libc,waste=./waste.so --trace kept.rht -v -o v.json \
	-- ./job >out 2>err
code=$?
ok "the program is validated (exit $code)" test $code = 0 -o $code = 1
ok 'the recording is kept' "$reheap" info kept.rht
awk '/peak resident memory/ { on = 1 } on && $1 == "waste" { print $2, $5; exit }' out |
	tr -d '[],+' >figures
read -r predicted observed <figures
near() { awk -v a="$1" -v b="$2" 'BEGIN { d = a / b - 1; exit !(d < 0.01 && d > -0.01) }'; }
ok "640 bytes a block are predicted to 1 % (61.04 MiB, $predicted)" near "${predicted:-0}" 61.035
ok "and so observed ($observed)" near "${observed:-0}" 61.035
ok 'the library that the program links is named' grep -q '^note: the program links libown.so' out
ok 'also in the result' grep -q '"linked":"libown.so"' v.json
ok 'and in the recording, which is of libc' bash -c \
	"'$reheap' info kept.rht | grep -q '^  allocator  *libc'"
ok 'with two rounds nothing is claimed' grep -q '^waste .* cannot tell: 2 rounds are too few$' out
for what in 'user CPU time' 'kernel CPU time' 'page faults'; do
	ok "with -v $what has a table" grep -q "^change of $what against libc" out
done
ok 'with the reason, in the result, too' grep -q '"why":"2 rounds are too few"' v.json
ok 'what is not the heap is said' grep -qE '^\(the other [0-9]+ % is the program.s own' out
ok 'the result says what was predicted and observed' grep -q '"validation":{"argv":\["./job"\]' v.json
is_exit 0 'it is drawn' "$reheap" plot v.json -o drawn
ok 'time against time' test -s drawn/truth-cpu.svg -a -s drawn/truth-cpu.tsv
ok 'memory against memory' grep -qE '6[01]\.[0-9]' drawn/truth-memory.tsv
ok 'with the diagonal' grep -q '^diagonal = 1' drawn/truth-memory.gp
ok 'the report has a section' grep -q '<section id="truth">' drawn/report.html
ok 'with the table' grep -q 'Change of peak resident memory, MiB' drawn/report.html
ok 'and says how much of the program it cannot predict' \
	grep -qE 'What an allocator does to the other [0-9]+ %, the program' drawn/report.html
ok 'what was not asked for is absent with the reason' \
	grep -q 'truth-instructions: no result holds' drawn/report.html

# 20,000 blocks, and time in the kernel, which callgrind does not count. The allocator does 3,000
# instructions more for each: 60 million.
cat >calls.c <<'END'
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
/* With a name: a file that holds how often this ran; then each run makes more calls. */
int main(int argc, char **argv)
{
	static char page[1 << 20];
	int calls = 20000, runs = 0, fd = open("/dev/zero", O_RDONLY);
	FILE *file = argc > 1 ? fopen(argv[1], "r+") : NULL;

	if (file && fscanf(file, "%d", &runs) == 1) {
		rewind(file);
		fprintf(file, "%d\n", runs + 1);
		fclose(file);
	}
	for (int i = 0; i < calls + 1000 * runs; i++) {
		char *volatile block = malloc(100);

		free(block);
	}
	for (int i = 0; i < 12000; i++)
		if (read(fd, page, sizeof(page)) < 0)
			return 1;
	return 0;
}
END
sed -e 's/bytes + 320/bytes/g' -e 's/return p ? memset.*/spin();\n\treturn p;/' own.c >busy.c
cat >>busy.c <<'END'
static void spin(void)
{
	long turns = 1500;
#if defined(__x86_64__)
	__asm__ volatile("1: dec %0\n\tjnz 1b" : "+r"(turns));
#else
	__asm__ volatile("1: subs %0, %0, #1\n\tb.ne 1b" : "+r"(turns));
#endif
}
END
sed -i '1i static void spin(void);' busy.c
cc -O1 -fno-builtin calls.c -o calls
cc -O1 -shared -fPIC -fno-builtin busy.c -o busy.so
# What follows is for allocators that answer differently.
cat >grows.c <<'END'
#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(void)
{
	static char page[1 << 20];
	int fd = open("/dev/zero", O_RDONLY);

	for (int i = 0; i < 300; i++) {
		char *block = malloc(100);

		for (size_t bytes = 110; bytes <= 1000; bytes += 10) {
			if (malloc_usable_size(block) < bytes)
				block = realloc(block, bytes);
			memset(block, i, bytes);
		}
		free(block);
	}
	for (int i = 0; i < 12000; i++)
		if (read(fd, page, sizeof(page)) < 0)
			return 1;
	return 0;
}
END
sed -e 's/bytes + 320/2 * bytes/g' -e 's/return p ? memset.*/return p;/' \
	-e 's/{ return __libc_realloc(p, bytes); }/{ spin(); return __libc_realloc(p, 2 * bytes); }/' \
	own.c >roomy.c
sed -n '/^static void spin(void)$/,$p' busy.c >>roomy.c
cat >>roomy.c <<'END'
size_t malloc_usable_size(void *p) { return p ? (((size_t *)p)[-1] & ~(size_t)7) - 8 : 0; }
END
sed -i '1i static void spin(void);' roomy.c
# counts_of WHAT BACKEND: what validate says of it
counts_of() {
	awk -v of="^change of $1" -v row="$2" '$0 ~ of { on = 1 } on && $1 == row { print $2, $3, $NF; exit }' \
		out >counts
	read -r predicted observed verdict <counts
}
counts=
if command -v valgrind >/dev/null && ! grep -q RH_SANITIZE "$build/.flags" 2>/dev/null; then
	"$reheap" validate -q --reps 1 -i --backend libc,busy=./busy.so -- ./calls >out 2>err
	code=$?
	if grep -q 'sanitizer' out err; then
		echo '# this build carries a sanitizer: no instructions'
	else
		counts=yes
		ok "instructions are counted (exit $code)" test $code = 0 -o $code = 1
		for of in instructions "the heap.s own instructions"; do
			counts_of "$of" busy
			ok "3,000 a block are predicted to 1 % (60 million, $predicted)" \
				near "${predicted:-0}" 60
			ok "and so observed, of $of ($observed)" near "${observed:-0}" 60
			ok "so the verdict is one ($verdict)" test "$verdict" = predicted
		done

		# A program that asks how large its blocks are, and makes them grow when it must: 56 times
		# a block on libc, 3 times where twice as much is given. A realloc is 3,000 instructions
		# there: 48 million more, were all of the recorded ones made.
		cc -O1 -fno-builtin grows.c -o grows
		cc -O1 -shared -fPIC -fno-builtin roomy.c -o roomy.so
		"$reheap" validate -q --reps 1 -i --backend libc,roomy=./roomy.so --trace grows.rht \
			-- ./grows >out 2>err
		counts_of "the heap.s own instructions" roomy
		ok "reallocs that a larger block saves are not made ($predicted, $observed)" \
			awk -v p="${predicted:-99}" -v o="${observed:-99}" \
			'BEGIN { d = p - o; exit !(d < 0.48 && d > -0.48 && o < 5) }'
		is_exit 0 'such blocks are what they should be' "$reheap" replay grows.rht --reps 1 \
			--verify --backend libc,roomy=./roomy.so,checked:libc,null

		# Blocks that are born by realloc(NULL, n): 3,000 instructions more are in that call.
		# The same of free(NULL), which programs call, too.
		sed -e 's/malloc(100)/realloc(NULL, 100)/' -e 's/free(block);/&\n\t\tfree(NULL);/' calls.c >nulls.c
		sed -e 's/return p ? memset.*/return p;/' -e 's/bytes + 320/bytes/g' \
			-e 's/{ return __libc_realloc(p, bytes); }/{ if (!p) spin(); return __libc_realloc(p, bytes); }/' \
			-e 's/{ __libc_free(p); }/{ if (!p) spin(); __libc_free(p); }/' own.c >nullbusy.c
		sed -n '/^static void spin(void)$/,$p' busy.c >>nullbusy.c
		sed -i '1i static void spin(void);' nullbusy.c
		cc -O1 -fno-builtin nulls.c -o nulls
		cc -O1 -shared -fPIC -fno-builtin nullbusy.c -o nullbusy.so
		"$reheap" validate -q --reps 1 -i --backend libc,nullbusy=./nullbusy.so --trace nulls.rht \
			-- ./nulls >out 2>err
		counts_of "the heap.s own instructions" nullbusy
		ok "realloc(NULL, n) and free(NULL) are replayed as that (120 million, $predicted)" \
			near "${predicted:-0}" 120
		ok "as the program called them ($observed)" near "${observed:-0}" 120
		ok 'and the trace says how often: born so' bash -c \
			"'$reheap' info nulls.rht | grep -q '^  realloc(NULL)  *20000$'"
		ok 'and freed so' bash -c "'$reheap' info nulls.rht | grep -q '^  free_null  *20000 '"
		is_exit 0 'such blocks are what they should be, too' "$reheap" replay nulls.rht --reps 1 \
			--verify --backend libc,nullbusy=./nullbusy.so,checked:libc,tiered,null

		# C++: operator new and delete of another allocator do not come through malloc. Here new is
		# 3,000 instructions more, malloc is not, and each block of new[] is one.
		if command -v c++ >/dev/null; then
			sed -e 's/#include <stdlib.h>//' -e 's/char \*volatile block = malloc(100);/char *volatile block = new char[100];/' \
				-e 's/free(block);/delete[] block;\n\t\tlong *volatile word = new long(i);\n\t\tdelete word;/' \
				calls.c >news.cc
			sed -e 's/bytes + 320/bytes/g' -e 's/return p ? memset.*/return p;/' own.c >newbusy.c
			sed -n '/^static void spin(void)$/,$p' busy.c >>newbusy.c
			cat >>newbusy.c <<'END'
#ifdef SPIN
#define COST() spin()
#else
#define COST() (void)spin
#endif
void *_Znwm(size_t bytes) { COST(); return __libc_malloc(bytes); }
void _ZdlPv(void *p) { __libc_free(p); }
void _ZdlPvm(void *p, size_t bytes) { (void)bytes; __libc_free(p); }
END
			c++ -O1 -fno-builtin -std=c++14 news.cc -o news
			cc -O1 -shared -fPIC -fno-builtin -DSPIN newbusy.c -o newbusy.so
			cc -O1 -shared -fPIC -fno-builtin newbusy.c -o newplain.so
			"$reheap" validate -q --reps 1 -i --backend libc,newbusy=./newbusy.so,newplain=./newplain.so \
				--trace news.rht -- ./news >out 2>err
			counts_of "the heap.s own instructions" newbusy
			ok "what operator new costs is predicted to 1 % (119 million, $predicted)" \
				near "${predicted:-0}" "${observed:-1}"
			ok "as the program had it ($observed)" \
				awk -v o="${observed:-0}" 'BEGIN { exit !(o > 117 && o < 121) }'
			counts_of "the heap.s own instructions" newplain
			own=$(sed -n 's/^(the heap.s own, by its replay: \([0-9.]*\) .*/\1/p' out)
			ok "so is what that of libstdc++ costs, to 1 % of $own million ($predicted, $observed)" \
				awk -v p="${predicted:-99}" -v o="${observed:-9}" -v h="${own:-0}" \
				'BEGIN { d = p - o; exit !(o < 0 && d < 0.01 * h + 0.06 && d > -0.01 * h - 0.06) }'
			ok 'the trace says how many blocks new made' bash -c \
				"'$reheap' info news.rht | grep -qE '^  C\+\+ new  *(3999|4000)[0-9]$'"
			is_exit 0 'such blocks are what they should be, and end by delete' "$reheap" replay \
				news.rht --reps 1 --passes 2 --verify \
				--backend libc,newbusy=./newbusy.so,checked:libc,tiered,null
		fi
	fi
fi

echo 0 >runs
"$reheap" validate -q --reps 1 --backend libc,busy=./busy.so -- ./calls runs >out 2>err
code=$?
ok "a program that does not do the same twice (exit $code)" test $code = 0 -o $code = 1
ok 'is said to be one' grep -q 'note: two recordings made [0-9]* and [0-9]* heap calls' out
ok 'and compared by rates' grep -q '^change of CPU time .* against libc, ns a heap call' out

# Two thousand calls and nothing else: some ms, most of them loading.
sed -e 's/calls = 20000/calls = 2000/' -e 's/i < 12000/i < 0/' calls.c >brief.c
cc -O1 -fno-builtin brief.c -o brief
is_exit 1 'a program under 50 ms is refused' "$reheap" validate -q --backend libc,./waste.so -- ./brief
says 'takes [0-9]+ ms of CPU: under 50 ms' 'with the reason'
mkdir fake
printf '#!/bin/sh\n: >%s/used\nexit 1\n' "$PWD" >fake/valgrind
chmod +x fake/valgrind
is_exit 1 'with instructions, too' env PATH="$PWD/fake:$PATH" "$reheap" validate -q -i \
	--backend libc,./waste.so -- ./brief
ok 'before callgrind has run it' test ! -e used
is_exit 1 'so is one without a use for a heap' "$reheap" validate -q --backend libc,./waste.so -- \
	/bin/true
says 'has no use for a heap' 'with its reason'
# Thirty large blocks, as zstd and memcached take them.
cat >large.c <<'END'
#include <stdlib.h>
#include <string.h>
int main(void)
{
	for (int i = 0; i < 30; i++)
		memset(malloc(4 << 20), i, 4 << 20);
	return 0;
}
END
cc -O1 large.c -o large
is_exit 1 'one that takes few large blocks is refused' "$reheap" validate -q --backend \
	libc,./waste.so -- ./large
says 'takes its memory in few large blocks \(3[0-9] of [0-9]+ KiB on the mean\)' 'as such'
cc -O1 -static job.c -o fixed 2>/dev/null && {
	"$reheap" validate -q --backend libc,./waste.so -- ./fixed >.out 2>.err
	code=$?
	ok "one that ignores preloads is refused (exit $code)" test $code != 0
	ok 'with the reason' grep -q 'static' .err
}
is_exit 2 'a model is no backend for a program' "$reheap" validate -q --backend libc,tiered -- ./job
says 'cannot be put under a real program' 'it says'
is_exit 2 'nor is one backend a comparison' "$reheap" validate -q --backend libc -- ./job

# A library that the program bears and the replay does not.
cat >dies.c <<'END'
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <unistd.h>
__attribute__((constructor)) static void begin(void)
{
	if (strcmp(program_invocation_short_name, "reheap-worker") == 0)
		_exit(3);
}
END
cc -shared -fPIC dies.c own.c -fno-builtin -o dies.so
is_exit 1 'a replay that fails on the baseline is an error' "$reheap" validate -q --reps 1 \
	--backend dies=./dies.so,libc --baseline dies -- ./job
says 'the replay on dies failed: ' 'with the reason'
"$reheap" validate -q --reps 1 --backend libc,dies=./dies.so -- ./job >out 2>err
ok 'on another backend it is a note' grep -q '^note: replay: failed on dies: ' out
"$reheap" validate -q --reps 1 --backend libc,./waste.so -- ./no-such-program >.out 2>.err
code=$?
ok "a program that is not there is an error (exit $code)" test $code != 0
ok 'that names it' grep -q no-such-program .err

# Who allocates: of two lanes the first is the program's main thread, which libc serves from another arena.
sed -e 's/return p ? memset.*/seen(bytes);\n\treturn p;/' -e 's/bytes + 320/bytes/g' own.c >who.c
cat >>who.c <<'END'
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>
static void seen(size_t bytes)
{
	int fd = bytes == 4001 || bytes == 4002 ? open("who", O_WRONLY | O_APPEND) : -1;

	if (fd >= 0 && write(fd, syscall(SYS_gettid) == getpid() ? "main " : "other ", bytes == 4001 ? 5 : 6) < 0)
		_exit(1);
	if (fd >= 0)
		close(fd);
}
END
sed -i '1i static void seen(unsigned long bytes);' who.c
cc -O1 -shared -fPIC -fno-builtin who.c -o who.so
{
	echo 'reheap-trace 1'
	printf 'lane_start lane=%s\n' 0 1
	printf 'alloc lane=0 size=%s\n' 4001 4001 4001
	printf 'alloc lane=1 size=%s\n' 4002 4002
	echo end
} >two.txt
: >who
is_exit 0 'two lanes are replayed' "$reheap" replay two.txt -q --reps 1 --lanes recorded --backend ./who.so
ok "the first by the main thread ($(tr ' ' '\n' <who | sort | uniq -c | xargs))" \
	test "$(tr ' ' '\n' <who | sort | uniq -c | xargs)" = '3 main 2 other'

# A server: driven, then ended. For each byte it makes 10,000 blocks and spends time in the kernel.
cat >server.c <<'END'
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
static void ended(int number)
{
	(void)number;
	exit(0);
}
int main(void)
{
	static char page[1 << 20];
	int fd = open("ready", O_RDONLY), zero = open("/dev/zero", O_RDONLY);
	char c;

	signal(SIGTERM, ended);
	while (fd >= 0 && read(fd, &c, 1) == 1) {
		for (int i = 0; i < 10000; i++) {
			char *volatile block = malloc(100);

			free(block);
		}
		for (int i = 0; i < 6000; i++)
			if (read(zero, page, sizeof(page)) < 0)
				return 1;
	}
	fd = open("done", O_WRONLY);
	close(fd);
	for (;;)
		pause();
}
END
cc -O1 -fno-builtin server.c -o server
mkfifo ready done
drive='printf xx >ready; cat done'
"$reheap" validate -q --reps 1 --backend libc,busy=./busy.so --driver "$drive" ${counts:+-i} \
	-- ./server >out 2>err
code=$?
ok "a server is driven and ended (exit $code)" test $code = 0 -o $code = 1
ok 'and seen' grep -q '^busy ' out
if [ -n "$counts" ]; then
	counts_of instructions busy
	ok "its instructions are predicted to 1 % (60 million, $predicted)" near "${predicted:-0}" 60
	ok "and so observed ($observed)" near "${observed:-0}" 60
fi
is_exit 1 'a server that is gone is not waited for' "$reheap" validate -q --backend libc,./waste.so \
	--driver 'read -r never <ready' -- ./brief
says 'the server ended before its driver did' 'with the reason'
sed 's/^/# /' err
finish
