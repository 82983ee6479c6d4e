#!/bin/bash
# reheap record --pid: a program that runs already. record_live counts its own calls; blocks born
# before are counted apart; it must end with 0, which shows that it was not disturbed. shellcheck
# source=ci/own/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
[ -f "$build/libreheap-record.so" ] || skip_all "no recorder in $build"
live=$build/helpers/record_live
[ "$(uname -m)" = x86_64 ] || skip_all 'attaching is for x86-64'

until_there() { # FILE
	until_true test -e "$1"
}
until_says() { # TEXT FILE
	until_true grep -q "$1" "$2"
}
# begin FOLDER [quiet]: a program, its number in $program
begin() {
	mkdir "$1"
	[ $# = 1 ] || touch "$1/$2"
	"$live" 3 20000 "$1" &
	program=$!
	until_there "$1/ready"
}
attach() { # TRACE: its number in $recorder
	rm -f said.txt
	"$reheap" record --pid $program -o "$1" 2>said.txt &
	recorder=$!
	until_says 'recorded from now on' said.txt
}
end() { # FOLDER
	touch "$1/off" "$1/end"
	wait $program
	ok "$1: the program ended undisturbed" test $? = 0
}
# count KEY FILE: of the counts and notes
count() {
	"$reheap" info "$2" | awk -v key="$1" '$1 == key { print $2; exit }' | grep . || echo 0
}

begin exact quiet
attach exact.rht
touch exact/on
until_there exact/counted
kill -INT $recorder
wait $recorder
ok 'Ctrl-C ends the recording' test $? = 0
ok 'each birth is there once' test "$(count alloc exact.rht)" = "$(cat exact/counted)"
ok 'each death too' test "$(count free exact.rht)" = "$(cat exact/counted)"
ok 'blocks born before are counted apart' test "$(count before.freed exact.rht)" = 1000
ok 'and is no damage' fails grep -qE 'unknown|alloc_live|inversion|drop\.' <("$reheap" info exact.rht)
is_exit 0 'replay verifies' "$reheap" replay exact.rht --backend libc --verify -o r.json
end exact

# Under load: 1000 of the main thread, and what 3 threads that keep 64 blocks each came to free.
begin load
attach load.rht
touch load/on
until_there load/counted
kill -INT $recorder
wait $recorder
before=$(($(count before.freed load.rht) + $(count before.resized load.rht)))
ok "under load: what was born before ($before)" test $before -ge 1000 -a $before -le 1192
ok 'under load: at least what was counted' test "$(count alloc load.rht)" -ge "$(cat load/counted)"
ok 'under load: no damage' fails grep -qE 'unknown|alloc_live|inversion|drop\.' <("$reheap" info load.rht)
is_exit 0 'under load: replay verifies' "$reheap" replay load.rht --backend libc --verify -o r.json
touch load/off
until_there load/after
for round in 1 2 3 4 5 6; do
	"$reheap" record -q --pid $program --duration 0.02 -o again.rht 2>/dev/null || break
done
ok 'again and again' test $round = 6
ok 'with calls each time' test "$(count alloc again.rht)" -gt 0
ok 'and each call is once' fails grep -qE 'unknown|alloc_live|inversion' <("$reheap" info again.rht)

attach twice.rht
is_exit 69 'one recording at a time' "$reheap" record --pid $program -o x.rht
says 'recorded already' 'is said'
kill -KILL $recorder
wait $recorder 2>/dev/null
is_exit 0 'a killed recorder makes place' "$reheap" record --pid $program --duration 0.1 -o after.rht
ok 'for the next' test "$(count alloc after.rht)" -gt 0
kill -STOP $program
is_exit 69 'a stopped process is refused' "$reheap" record --pid $program -o x.rht
says 'kill -CONT' 'with the way out'
kill -CONT $program
end load
rm -f ./*.capture

# The program ends first.
begin over
attach over.rht
touch over/on
until_there over/counted
end over
wait $recorder
ok 'the recording ends with the program' test $? = 0
ok 'and is there' test "$(count alloc over.rht)" -ge "$(cat over/counted)"
ok 'and says so' grep -qE 'ended +over' <("$reheap" info over.rht)

# Refusals.
is_exit 66 'no such process' "$reheap" record --pid 4194304 -o x.rht
says 'no process' 'is said'
is_exit 2 'a process and a program' "$reheap" record --pid $$ -o x.rht -- true
echo 'int pause(void); int main(void) { return pause(); }' >static.c
if gcc -static static.c -o static 2>/dev/null; then
	./static &
	program=$!
	until_true grep -qx static /proc/$program/comm # it is no shell any more
	is_exit 69 'a static program is refused' "$reheap" record --pid $program -o x.rht
	says 'static.*link it dynamically' 'with the way out'
	kill $program
else
	skip 'a static program' 'no static libc here'
fi
# The setting of the kernel's yama is read from a file that a mount namespace can provide.
# yama SCOPE PID REHEAP: to a process of the same user that may not be attached to
cat >yama <<'EOF'
mount -t tmpfs none /proc/sys/kernel && mkdir -m 755 /proc/sys/kernel/yama || exit 77
echo $1 >/proc/sys/kernel/yama/ptrace_scope
exec setpriv --reuid 65534 --clear-groups "$3" record --pid $2 -o /dev/null
EOF
printf '#include <sys/prctl.h>\n#include <unistd.h>\nint main(void)\n{\n\tprctl(PR_SET_DUMPABLE, 0);\n' >dump.c
printf '\treturn write(1, "\\n", 1) == 1 ? pause() : 1;\n}\n' >>dump.c
if [ "$(id -u)" = 0 ] && gcc dump.c -o undumpable 2>/dev/null && chmod 755 . undumpable &&
	unshare -m mount -t tmpfs none /proc/sys/kernel 2>/dev/null &&
	setpriv --reuid 65534 --clear-groups test -r "$build/libreheap-record.so" -a -x "$temp/undumpable"; then
	mkfifo undumped
	setpriv --reuid 65534 --clear-groups ./undumpable >undumped &
	program=$!
	read -r _ <undumped # the line it writes when it is
	is_exit 69 'yama, scope 1: refused' unshare -m bash yama 1 $program "$reheap"
	says 'ptrace_scope 1.*as root, or sysctl kernel.yama.ptrace_scope=0' 'with the way out'
	is_exit 69 'yama, scope 3: refused' unshare -m bash yama 3 $program "$reheap"
	says 'ptrace_scope 3.*REHEAP_DORMANT' 'with the way out'
	is_exit 69 'an undumpable process: refused' unshare -m bash yama 0 $program "$reheap"
	says 'undumpable.*start it under reheap record' 'with the way out'
	kill $program
else
	skip 'refusals by yama' 'needs root, mount namespaces and a build that others can read'
fi
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
	if setpriv --reuid 65534 --clear-groups test -r "$build/libreheap-record.so"; then
		sleep 100 &
		program=$!
		is_exit 69 "another user's process is refused" setpriv --reuid 65534 --clear-groups \
			"$reheap" record --pid $program -o /dev/null
		says "another user's" 'by name'
		kill $program
		chmod 777 .
		mkdir -m 777 user
		setpriv --reuid 65534 --clear-groups "$live" 2 1000 "$temp/user" &
		program=$!
		chmod 755 "$temp"
		until_there user/ready
		is_exit 0 "root records another user's" "$reheap" record --pid $program --duration 0.1 -o user.rht
		ok 'calls are there' test "$(count alloc user.rht)" -gt 0
		ok 'nothing is left in /dev/shm' fails ls /dev/shm/reheap-area.*
		touch user/on
		end user
	else
		skip "another user's process" 'that user cannot read the build'
	fi
else
	skip "another user's process" 'needs root'
fi

# A container: a root folder of its own without the recorder, without /proc and /dev.
printf '%s\n' 'mkdir -p jail && mount -t tmpfs none jail && cd jail && mkdir -m 1777 tmp shared || exit 77' \
	'for folder in /bin /lib /lib64 /usr; do' \
	'	[ ! -d $folder ] || { mkdir .$folder && mount --rbind $folder .$folder; }' 'done' \
	'mount --bind "$1" shared && cp "$2" live && exec chroot . /live 2 1000 /shared' >jail.sh
mkdir box
touch box/quiet
unshare -m bash jail.sh "$temp/box" "$live" 2>/dev/null &
program=$!
until_true test -e box/ready -o ! -e /proc/$program/exe
if [ -e box/ready ] && [ ! -e "/proc/$program/root$build" ]; then
	for round in 1 2; do # the second finds it loaded
		attach box.rht
		[ $round = 1 ] || touch box/on
		[ $round = 1 ] || until_there box/counted
		kill -INT $recorder
		wait $recorder
		ok "a process in a container, $round" test $? = 0
	done
	ok 'each birth is there once' test "$(count alloc box.rht)" = "$(cat box/counted)"
	ok 'nothing is left in its folders' fails ls /proc/$program/root/tmp/*reheap*
	end box
else
	skip 'a process in a container' 'needs the right to mount, and a build outside of /usr'
	kill $program 2>/dev/null
fi

# It becomes program after program by exec while we attach: the last is recorded.
cat >execs.c <<'EOF'
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	char left[20];
	int more = atoi(argv[1]);
	for (int i = 0; i < 1000; i++)
		free(malloc(10));
	snprintf(left, sizeof left, "%d", more - 1);
	if (more && access("execs.enough", F_OK) != 0)
		execl("/proc/self/exe", argv[0], left, (char *)NULL);
	while (access("execs.over", F_OK) != 0) {
		free(malloc(50));
		usleep(1000);
	}
	return 7;
}
EOF
if gcc -w execs.c -o execs; then
	for round in 1 2 3; do
		rm -f execs.enough execs.over execs.rht
		./execs 1000000 &
		program=$!
		until_true grep -qx exe /proc/$program/comm # by its second exec
		{ sleep 0.0$round && touch execs.enough; } &
		"$reheap" record --pid $program --duration 0.3 -o execs.rht 2>said.txt
		ok "one that becomes others as we come ($round) is recorded" \
			test $? = 0 -a "$(count alloc execs.rht)" -gt 0
		touch execs.enough execs.over
		wait $program
		ok 'and ends as ever' test $? = 7
	done
fi
# Calls that a stop ends with EINTR: the program must not see it. `waits HOW` for 3 s at least.
cat >waits.c <<'EOF'
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	struct timespec began, end, time = { 3, 0 };
	struct timeval same = { 3, 0 };
	struct epoll_event event;
	struct sembuf down = { 0, -1, 0 };
	int ends[2], sem = semget(IPC_PRIVATE, 1, 0600), epoll = epoll_create1(0), got = -1, want = EAGAIN;
	sigset_t set;
	char byte;
	free(malloc(argc));
	sigemptyset(&set), sigaddset(&set, SIGUSR1), sigprocmask(SIG_BLOCK, &set, NULL);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) || sem < 0 || epoll < 0)
		return 9;
	setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &same, sizeof same);
	clock_gettime(CLOCK_MONOTONIC, &began);
	if (strcmp(argv[1], "epoll") == 0)
		got = epoll_wait(epoll, &event, 1, 3000) - 1, errno = got == -1 ? EAGAIN : errno;
	else if (strcmp(argv[1], "socket") == 0)
		got = recv(ends[0], &byte, 1, 0);
	else if (strcmp(argv[1], "semaphore") == 0)
		got = semtimedop(sem, &down, 1, &time);
	else if (strcmp(argv[1], "signal") == 0)
		got = sigtimedwait(&set, NULL, &time);
	else if (strcmp(argv[1], "poll") == 0)
		got = poll(NULL, 0, 3000) - 1, errno = got == -1 ? EAGAIN : errno;
	want = got != -1 || errno != want;
	clock_gettime(CLOCK_MONOTONIC, &end);
	semctl(sem, 0, IPC_RMID);
	return want || (end.tv_sec - began.tv_sec) * 1000 + (end.tv_nsec - began.tv_nsec) / 1000000 < 2990;
}
EOF
if gcc -w waits.c -o waits; then
	for how in epoll socket semaphore signal poll; do
		./waits $how &
		program=$!
		until_true grep -qE ' 0x' /proc/$program/syscall # it is in a system call, and its own
		until_true grep -qx waits /proc/$program/comm
		sleep 0.3
		"$reheap" record -q --pid $program --duration 0.1 -o waits.rht 2>/dev/null
		wait $program
		ok "a process that waits ($how) is not woken" test $? = 0
	done
fi
# Under a filter of system calls, as every container: what it forbids decides. `filter MODE PROGRAM...`
cat >filter.c <<'EOF'
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define IF(value, others) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, others)
#define END(how) BPF_STMT(BPF_RET | BPF_K, how)
static int set(struct sock_filter *filter, int count)
{
	struct sock_fprog program = { (unsigned short)count, filter };
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}
static struct sock_filter mild[] = { LOAD(nr), IF(SYS_reboot, 1), END(SECCOMP_RET_KILL_PROCESS), END(SECCOMP_RET_ALLOW) };
/* No code that can be written: mprotect, and not for the loader's own protection. */
static struct sock_filter writing[] = { LOAD(nr), IF(SYS_mprotect, 4), LOAD(args[2]),
	BPF_STMT(BPF_ALU | BPF_AND | BPF_K, PROT_WRITE | PROT_EXEC), IF(PROT_WRITE | PROT_EXEC, 1),
	END(SECCOMP_RET_KILL_PROCESS), END(SECCOMP_RET_ALLOW) };
static struct sock_filter hard[] = { LOAD(nr), IF(SYS_mincore, 1), END(SECCOMP_RET_KILL_PROCESS), END(SECCOMP_RET_ALLOW) };
static void *waits(void *unused)
{
	set(mild, 4);
	return pause() ? unused : unused;
}
int main(int argc, char **argv)
{
	pthread_t thread;
	if (strcmp(argv[1], "mixed") == 0)
		return pthread_create(&thread, NULL, waits, NULL) || write(1, "\n", 1) != 1 || pause();
	if (set(mild, 4) || (strcmp(argv[1], "writing") == 0 && set(writing, 7)) ||
	    (strcmp(argv[1], "hard") == 0 && set(hard, 4)))
		return 77;
	return execv(argv[2], argv + 2);
}
EOF
filtered() { # MODE FOLDER
	mkdir "$2"
	touch "$2/quiet"
	./filter "$1" "$live" 2 1000 "$temp/$2" &
	program=$!
	until_there "$2/ready"
}
if [ "$(id -u)" = 0 ] && gcc -w filter.c -o filter -pthread && ./filter writing /bin/true; then
	for mode in mild writing; do
		filtered $mode $mode
		attach filter.rht
		touch $mode/on
		until_there $mode/counted
		kill -INT $recorder
		wait $recorder
		ok "under a $mode filter: each birth is there once" test "$(count alloc filter.rht)" = "$(cat $mode/counted)"
		is_exit 0 'and again' "$reheap" record --pid $program --duration 0.1 -o filter.rht
		end $mode
	done
	filtered hard hard
	is_exit 69 'under a filter that forbids what we do' "$reheap" record --pid $program -o x.rht
	says 'filter of system calls.*forbids mincore; start it under reheap record' 'it is said what'
	touch hard/on
	until_there hard/counted
	end hard
	mkfifo mixed
	./filter mixed >mixed &
	program=$!
	read -r _ <mixed
	until_true grep -qs 'Seccomp_filters:.*1' /proc/$program/task/*/status
	is_exit 69 'threads under different filters' "$reheap" record --pid $program -o x.rht
	says 'its threads have different ones' 'are refused'
	kill $program
else
	skip 'a process under a filter' 'needs root and a compiler'
fi
# podman, with its own filter and namespaces: runc, for crun takes no cgroups of version 1.
pod() { # NAME ARGUMENTS...
	podman --runtime runc --cgroup-manager=cgroupfs run --name "$1" --ulimit nofile=1024:1024 \
		--ulimit nproc=4096:4096 --rm --network none --rootfs "$temp/rootfs" "${@:2}"
}
if [ "$(id -u)" = 0 ] && command -v podman >/dev/null && command -v runc >/dev/null; then
	mkdir -p rootfs/proc rootfs/sys rootfs/dev rootfs/etc rootfs/run rootfs/work && mkdir -m 1777 rootfs/tmp
	cp "$live" rootfs/live
	for library in $(ldd "$live" | grep -o '/[^ ]*'); do
		mkdir -p "rootfs${library%/*}" && cp -L "$library" "rootfs$library"
	done
	name=reheap-e2e-$$
	touch rootfs/work/quiet
	pod $name /live 2 1000 /work >pod.txt 2>&1 &
	pod=$!
	until_true test -e rootfs/work/ready -o ! -e /proc/$pod/exe
fi
if [ -e rootfs/work/ready ]; then
	program=$(podman inspect -f '{{.State.Pid}}' $name)
	attach pod.rht
	touch rootfs/work/on
	until_there rootfs/work/counted
	kill -INT $recorder
	wait $recorder
	ok 'podman: each birth is there once' test "$(count alloc pod.rht)" = "$(cat rootfs/work/counted)"
	touch rootfs/work/off rootfs/work/end
	wait $pod
	ok 'podman: the program ended undisturbed' test $? = 0
	ok 'nothing is left in its folders' test -z "$(ls rootfs/tmp)"
else
	skip 'a container of podman' 'no podman with runc that works here'
fi
if command -v redis-server >/dev/null && command -v redis-benchmark >/dev/null; then
	redis-server --port 0 --unixsocket "$temp/redis.sock" --save '' --daemonize no >redis.txt 2>&1 &
	program=$!
	until_says 'eady to accept' redis.txt
	# Until recording is over, however long it takes to attach.
	while [ ! -e enough ]; do
		redis-benchmark -s "$temp/redis.sock" -q -n 20000 -P 8 -c 8 -d 100 -r 5000 -t set,get,lpush
	done >bench.txt 2>&1 &
	bench=$!
	until_says 'requests per second' bench.txt
	is_exit 0 'redis-server under load' "$reheap" record --pid $program --duration 0.7 -o redis.rht
	touch enough
	wait $bench
	ok 'the benchmark is undisturbed' grep -q 'requests per second' bench.txt
	ok 'its calls are there' test "$(count alloc redis.rht)" -gt 1000
	ok 'without damage' fails grep -qE 'free_unknown|alloc_live|inversion' <("$reheap" info redis.rht)
	is_exit 0 'replay verifies' "$reheap" replay redis.rht --backend libc --verify -o r.json
	kill -TERM $program
	wait $program
	ok 'redis-server ends as ever' test $? = 0
else
	skip 'redis-server under load' 'no redis here'
fi
finish
