#!/bin/bash
# The recorder inside a program whose system has pages of 16 or 64 KiB. A library between the recorder
# and the kernel plays that system: it says how large pages are, refuses addresses and offsets that
# do not begin one, maps whole ones, and counts what it refused. shellcheck source=ci/own/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
command -v cc >/dev/null || skip_all 'there is no compiler here'
hand_over=$build/helpers/hand_over
[ -x "$hand_over" ] && [ -f "$build/libreheap-record.so" ] || skip_all "no hand_over or no recorder in $build"
[ "$(getconf PAGESIZE)" = 4096 ] || skip_all 'this system has larger pages already'

cat >pages.c <<'END_C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static int refused, mapped;

/* Only of the recorded program: reheap is on the system as it is. */
static size_t page_bytes(void)
{
	return strcmp(program_invocation_short_name, "hand_over") == 0 ? LARGE : 4096;
}
#define PAGE page_bytes()

static int odd(uintptr_t at)
{
	if (at % PAGE == 0)
		return 0;
	refused++;
	errno = EINVAL;
	return 1;
}
static size_t whole(size_t bytes)
{
	return (bytes + PAGE - 1) / PAGE * PAGE;
}
long sysconf(int name)
{
	if (name == _SC_PAGESIZE)
		return (long)PAGE;
	return ((long (*)(int))dlsym(RTLD_NEXT, "sysconf"))(name);
}
/* A place that begins a page and is held for the caller, who maps over it: other threads map, too.
 * 0: no room. */
static uintptr_t place(size_t bytes)
{
	uintptr_t raw = (uintptr_t)syscall(SYS_mmap, NULL, whole(bytes) + PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0L);
	uintptr_t start;

	if (raw == (uintptr_t)MAP_FAILED)
		return 0;
	start = whole(raw);
	if (start > raw)
		syscall(SYS_munmap, raw, start - raw);
	syscall(SYS_munmap, start + whole(bytes), raw + PAGE - start);
	return start;
}
void *mmap(void *at, size_t bytes, int prot, int flags, int fd, off_t offset)
{
	uintptr_t start;

	if (PAGE == 4096 && LARGE != 4096)
		return (void *)syscall(SYS_mmap, at, bytes, prot, flags, fd, offset);
	mapped++;
	if (odd((uintptr_t)offset) || (flags & MAP_FIXED && odd((uintptr_t)at)) || bytes == 0)
		return MAP_FAILED;
	if (flags & MAP_FIXED)
		return (void *)syscall(SYS_mmap, at, whole(bytes), prot, flags, fd, offset);
	start = place(bytes);
	return start ? (void *)syscall(SYS_mmap, start, whole(bytes), prot, flags | MAP_FIXED, fd, offset) : MAP_FAILED;
}
void *mremap(void *at, size_t had, size_t bytes, int flags, ...)
{
	uintptr_t start;

	if (PAGE == 4096 && LARGE != 4096)
		return (void *)syscall(SYS_mremap, at, had, bytes, flags);
	start = place(bytes);
	return start && !odd((uintptr_t)at) ?
		       (void *)syscall(SYS_mremap, at, had, whole(bytes), flags | MREMAP_FIXED, start) : MAP_FAILED;
}
int remap_file_pages(void *at, size_t bytes, int prot, size_t page, int flags)
{
	return odd((uintptr_t)at) ? -1 :
		       (int)syscall(SYS_remap_file_pages, at, whole(bytes), prot, page * (PAGE / 4096), flags);
}
int munmap(void *p, size_t bytes)
{
	return odd((uintptr_t)p) ? -1 : (int)syscall(SYS_munmap, p, whole(bytes));
}
/* Segments of programs lie close here, not a large page apart: writing is allowed to what is around,
 * and never forbidden again. */
int mprotect(void *p, size_t bytes, int prot)
{
	if (odd((uintptr_t)p))
		return -1;
	for (size_t at = 0; prot & PROT_WRITE && at < whole(bytes); at += 4096)
		syscall(SYS_mprotect, (char *)p + at, 4096, PROT_READ | PROT_WRITE | PROT_EXEC);
	return 0;
}
int madvise(void *p, size_t bytes, int advice)
{
	return odd((uintptr_t)p) ? -1 : (int)syscall(SYS_madvise, p, whole(bytes), advice);
}
__attribute__((destructor)) static void say(void)
{
	int fd = PAGE == LARGE ? open(getenv("SAID"), O_WRONLY | O_CREAT | O_APPEND, 0666) : -1;
	dprintf(fd, "%d refused, %d mapped\n", refused, mapped);
	close(fd);
}
END_C
export SAID=$temp/said.txt
for page in 16384 65536; do
	ok "a system of pages of $page bytes" cc -w -O1 -shared -fPIC -DLARGE=${page}ul pages.c -o "pages$page.so"
	for how in '' --sites '--sample-bytes 4096' --residency; do
		rm -f "$SAID"
		# shellcheck disable=SC2086  # options or none
		is_exit 0 "  a program is recorded${how:+ with $how}" env LD_PRELOAD="$temp/pages$page.so" \
			"$reheap" record $how -o "p.rht" -- "$hand_over" 4 5000 sleepy
		ok '    and asks for whole pages only' test "$(tail -n 1 "$SAID" | cut -d, -f1)" = '0 refused'
		ok '    of that system' fails grep -q ' 0 mapped' "$SAID"
		"$reheap" info p.rht >info.txt 2>&1
		[ "$how" = '--sample-bytes 4096' ] ||
			ok '    all of its calls are there' test "$(awk '$1 == "free" { print ($2 >= 20000 && $2 < 20020) }' info.txt)" = 1
		ok '    in order' grep -q ' 0 stamps before an earlier' info.txt
	done
done
finish
