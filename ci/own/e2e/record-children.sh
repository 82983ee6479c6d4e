#!/bin/bash
# Children of a recorded program (-f): make, shells, pipelines, sudo, env -i. For each the output
# says whether it was recorded, and why not; none of them fails because of the recorder. shellcheck
# source=ci/own/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
[ -f "$build/libreheap-record.so" ] || skip_all "no recorder in $build"
hard=$build/helpers/record_hard
export hard

# record NAME COMMAND: in the shell, to NAME.rht; standard error in NAME.txt
record() {
	timeout 60 "$reheap" record -f -o "$1.rht" -- sh -c "export recorder=\$PPID; $2" >"$1.out" 2>"$1.txt" </dev/null
}

# recorded COUNT NAME: so many children's traces hold the blocks of the helper, 1000 each (and a
# stdio buffer); make itself has more
recorded() {
	local file sum=0
	for file in "$2".[0-9]*.rht; do
		allocs=$("$reheap" info "$file" | awk '$1 == "alloc" { print $2 }')
		[ "${allocs:-0}" -lt 1000 ] || [ "$allocs" -gt 1020 ] || sum=$((sum + 1))
	done
	[ "$sum" = "$1" ]
}

# not_recorded COUNT NAME WHY: so many children are named with that reason, by line and in the note
not_recorded() {
	[ "$(grep -c "^reheap record: child [0-9]* .*: not recorded: $3" "$2.txt")" = "$1" ] &&
		"$reheap" info "$2.rht" | grep -q "children .*($3"
}

# none_else COUNT NAME: nothing beside these
none_else() {
	[ "$(grep -c ': not recorded: ' "$2.txt")" = "$1" ] &&
		"$reheap" info "$2.rht" | grep -qE "children +[0-9]+ recorded, $1 not"
}

if command -v make >/dev/null; then
	printf 'all: a b c d\na b c d:\n\t@$$hard many 1000\n' >Makefile
	record make 'make -s -j2'
	ok 'make: its exit status' test $? = 0
	ok 'all four rules are recorded' recorded 4 make
	ok 'and nothing else is missing' none_else 0 make
fi
record pipe '$hard many 1000 | $hard many 1000 | ($hard many 1000; cat)'
ok 'three parts of a pipeline are recorded' recorded 3 pipe
ok 'and nothing is missing' none_else 0 pipe

record clear 'env -i "$hard" many 1000; env -u LD_PRELOAD "$hard" many 1000; "$hard" many 1000; exit 5'
ok 'the exit status is that of the program' test $? = 5
ok 'two children got no environment, and that is said' not_recorded 2 clear 'its environment'
ok 'the third is recorded' recorded 1 clear

# In a root folder without the recorder, as in a container.
printf '%s\n' 'mkdir -p "$1" && mount -t tmpfs none "$1" && cd "$1" || exit 77' \
	'for folder in /bin /lib /lib64 /usr; do' \
	'	[ ! -d $folder ] || { mkdir .$folder && mount --rbind $folder .$folder; }' 'done' \
	'cp "$hard" .' 'exec chroot . "${@:2}"' >jail.sh
jailed=$(unshare -m bash jail.sh jail /bin/sh -c 'test ! -e "$0" && echo yes' "$build" 2>/dev/null)
if [ "$jailed" = yes ]; then
	record root 'unshare -m bash jail.sh jail /record_hard many 1000; echo $?'
	ok 'a program in another root folder runs' test "$(cat root.out)" = 0
	ok 'and is named' not_recorded 1 root 'its root folder'
else
	skip 'a program in another root folder' 'needs the right to mount, and a build outside of /usr'
fi

if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
	record sudo 'sudo -n "$hard" many 1000'
	ok 'what sudo runs is named' not_recorded 1 sudo 'its environment'
	ok 'by its path' grep -q "child [0-9]* $hard: not recorded" sudo.txt
else
	skip 'sudo' 'not to be had here'
fi

cat >one.c <<'EOF'
#include <stdio.h>
#include <stdlib.h>
#include "looked.h"
int main(int argc, char **argv)
{
	free(malloc(argc));
	if (argc > 1)
		execv(argv[1], argv + 1);
	puts("lives");
	fflush(stdout);
	if (getenv("recorder"))
		wait_until_looked(atoi(getenv("recorder")));
	return 9;
}
EOF
write_looked
if gcc -static one.c -o static 2>/dev/null; then
	record static './static; ./static'
	ok 'a static child lives' test $? = 9
	ok 'and twice it is named' not_recorded 2 static 'statically linked'
	record below './static "$(command -v env)" -i "$hard" many 1000; true'
	ok 'what it execs is recorded until its environment goes' not_recorded 1 below 'its environment'
	gcc one.c -o one
	record exec 'exec ./one ./static'
	ok 'the program itself becomes static: its status' test $? = 9
	ok 'and it is said' grep -q 'the program [0-9]* ./static: not recorded: statically linked' exec.txt
	record strange './static ./static ./one; true'
	ok 'a static one begins another by itself' test "$(grep -c lives strange.out)" = 1
else
	skip 'a static child' 'no static libc here'
fi
# Its child lives for less than a millisecond; the kernel reports it in the first namespaces.
cat >quick.c <<'EOF'
#include <sys/wait.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	for (int i = 0; i < 10 && argc > 1; i++) {
		if (vfork() == 0)
			_exit(execv(argv[1], argv + 1));
		wait(NULL);
	}
	return 0;
}
EOF
if [ "$(id -u)" = 0 ] && [ "$(readlink /proc/self/ns/pid)" = 'pid:[4026531836]' ] &&
	[ "$(readlink /proc/self/ns/user)" = 'user:[4026531837]' ] &&
	awk '$2 == 11 { found = 1 } END { exit !found }' /proc/net/netlink && gcc -static quick.c -o quick 2>/dev/null; then
	record quick './quick ./quick; ./quick ./quick; $hard many 1000'
	ok 'what a static child begins is named, however short it lives' none_else 22 quick
	ok 'and what is recorded is not' recorded 1 quick
	record mixed './quick $hard many 1000; true'
	ok 'a static child is named' none_else 1 mixed
	ok 'and the ten that it begins are recorded' recorded 10 mixed
else
	skip 'short-lived children of a static child' 'the kernel does not report them here'
fi
if command -v musl-gcc >/dev/null && musl-gcc one.c -o musl 2>/dev/null; then
	record musl './musl'
	ok 'a musl child lives' test $? = 9 -a "$(cat musl.out)" = lives
	ok 'and is named' not_recorded 1 musl 'built on musl'
else
	skip 'a musl child' 'no musl-gcc here'
fi
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
	gcc one.c -o setuid && chmod 4755 setuid && chmod 755 "$temp"
	record setuid "setpriv --reuid=65534 --clear-groups ./setuid"
	ok 'a setuid child lives' test $? = 9
	ok 'and is named' not_recorded 1 setuid 'setuid'
fi
# A daemon that drops its privileges and closes its descriptors: the exec after that cannot open the
# area.
cat >drop.c <<'EOF'
#include <grp.h>
#include <stdlib.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	for (int fd = 3; fd < 1024 && argc > 2; fd++)
		close(fd);
	if (setgroups(0, NULL) || setgid(65534) || setuid(65534))
		return 77;
	execl(getenv("hard"), "hard", "many", "1000", (char *)NULL);
	return 1;
}
EOF
if [ "$(id -u)" = 0 ] && gcc drop.c -o drop && ./drop >/dev/null 2>&1 && chmod 755 "$temp"; then
	record drop './drop one'
	ok 'a child of another user is recorded' recorded 1 drop
	record shut './drop one two'
	ok 'its exit status, when its descriptors are closed' test $? = 0
	ok 'then it is named' not_recorded 1 shut 'it runs as another user'
else
	skip 'a child of another user' 'may not change user, or that one may not read here'
fi
for kind in address thread leak; do
	if gcc -fsanitize=$kind one.c -o san 2>/dev/null && ./san >/dev/null 2>&1; [ $? = 9 ]; then
		record san './san'
		ok "a child built with -fsanitize=$kind lives" test $? = 9 -a "$(cat san.out)" = lives
		ok 'and is named' not_recorded 1 san 'built with a sanitizer'
	else
		skip "a child built with -fsanitize=$kind" 'no such compiler here'
	fi
done

# Each function that starts a program, with our environment and with none.
cat >ways.c <<'EOF'
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
extern char **environ;
int main(int argc, char **argv)
{
	char *hard = getenv("hard"), *words[] = { hard, "many", "1000", NULL };
	char *none[] = { NULL }, **with = argc > 2 ? none : environ;
	int fd = open(hard, O_RDONLY | O_CLOEXEC), status;
	pid_t pid;

	if (strcmp(argv[1], "posix_spawn") == 0 && posix_spawn(&pid, hard, NULL, NULL, words, with) == 0)
		return waitpid(pid, &status, 0) != pid;
	if (strcmp(argv[1], "posix_spawnp") == 0 && posix_spawnp(NULL, hard, NULL, NULL, words, with) == 0)
		return wait(&status) < 0;
	if (strcmp(argv[1], "execve") == 0)
		execve(hard, words, with);
	if (strcmp(argv[1], "execvpe") == 0)
		execvpe(hard, words, with);
	if (strcmp(argv[1], "execle") == 0)
		execle(hard, hard, "many", "1000", (char *)NULL, with);
	if (strcmp(argv[1], "fexecve") == 0)
		fexecve(fd, words, with);
	if (strcmp(argv[1], "execveat") == 0)
		execveat(fd, "", words, with, AT_EMPTY_PATH);
	environ = with;
	if (strcmp(argv[1], "execv") == 0)
		execv(hard, words);
	if (strcmp(argv[1], "execvp") == 0)
		execvp(hard, words);
	if (strcmp(argv[1], "execl") == 0)
		execl(hard, hard, "many", "1000", (char *)NULL);
	if (strcmp(argv[1], "execlp") == 0)
		execlp(hard, hard, "many", "1000", (char *)NULL);
	return 1;
}
EOF
if gcc -D_GNU_SOURCE ways.c -o ways 2>/dev/null; then
	record ways 'for w in posix_spawn posix_spawnp execve execvpe execle fexecve execveat execv \
		execvp execl execlp; do ./ways $w && ./ways $w none || exit 1; done'
	ok 'each way to begin a program works' test $? = 0
	ok 'eleven are recorded' recorded 11 ways
	ok 'and the eleven without an environment are named' not_recorded 11 ways 'its environment'
	ok 'and none else' none_else 11 ways
else
	skip 'each way to begin a program' 'no compiler here'
fi

# One that comes past libc, as Go's os/exec does: the kernel reports it.
cat >past.c <<'EOF'
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
static long call(long number, long a, long b, long c)
{
	long result;
	__asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
	return result;
}
int main(int argc, char **argv, char **with)
{
	char *none[] = { "A=b", NULL };
	free(malloc(argc));
	for (int i = 0; i < 6; i++) {
		if (call(SYS_fork, 0, 0, 0) == 0)
			_exit((int)call(SYS_execve, (long)argv[1], (long)(argv + 1), (long)(i & 1 ? none : with)));
		wait(NULL);
	}
	return 0;
}
EOF
if [ -e quick ] && [ "$(uname -m)" = x86_64 ] && gcc -w past.c -o past; then
	record past 'exec ./past "$hard" many 1000'
	ok 'begun past libc: three are recorded' recorded 3 past
	ok 'and the three without an environment are named' none_else 3 past
else
	skip 'what begins past libc' 'the kernel does not report them here'
fi
# A program that fails to start does not count as a child.
record none './nothing-here; env -i ./nothing-here; "$hard" many 1000'
ok 'what does not begin is not named' none_else 0 none
ok 'without --follow-children nothing is said' fails grep -q 'child [0-9].*not recorded' <(
	"$reheap" record -o n.rht -- sh -c 'env -i true; true' 2>&1)
# An invalid name pointer is refused by the kernel, as usual.
if command -v cc >/dev/null; then
	cat >nowhere.c <<-'END'
		#define _GNU_SOURCE
		#include <errno.h>
		#include <fcntl.h>
		#include <stdint.h>
		#include <stdlib.h>
		#include <unistd.h>
		int main(void)
		{
			char *const argv[] = { "x", NULL };
			const char *volatile places[] = { NULL, (const char *)(uintptr_t)16 };
			int refused = 0;
			free(malloc(100));
			for (int i = 0; i < 2; i++) {
				refused += execve(places[i], argv, argv + 1) < 0 && errno == EFAULT;
				refused += execv(places[i], argv) < 0 && errno == EFAULT;
				refused += execveat(AT_FDCWD, places[i], argv, argv + 1, 0) < 0 && errno == EFAULT;
			}
			return refused == 6 ? 7 : 1;
		}
	END
	cc -w nowhere.c -o nowhere
	is_exit 7 'a bad name of a program is refused as without a recorder' \
		"$reheap" record -q -f -o nowhere.rht -- ./nowhere
fi
finish
