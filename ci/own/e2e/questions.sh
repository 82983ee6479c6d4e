#!/bin/bash
# The ten questions of harness/cli/QUESTIONS.md: every command there runs, and its answer is on the
# first screen of its output. shellcheck source=ci/own/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
page=$root/harness/cli/QUESTIONS.md
SCREEN=24 # lines

"$reheap" list backends | grep -q '^  jemalloc *present' || skip_all 'jemalloc is not installed'
command -v cc >/dev/null || skip_all 'there is no compiler here'
"$reheap" gen server -o mine.rht events=60000 lanes=1 seed=1 >/dev/null 2>&1 || exit 1
"$reheap" gen churn -o other.rht events=40000 lanes=1 seed=1 >/dev/null 2>&1 || exit 1
"$reheap" gen larson -o threads.rht events=60000 lanes=2 seed=1 >/dev/null 2>&1 || exit 1
"$reheap" replay mine.rht --backend libc,jemalloc -q -o before.json || exit 1
cat >forward.c <<'END'
#include <stddef.h>
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void __libc_free(void *);
void *malloc(size_t bytes) { return __libc_malloc(bytes); }
void *calloc(size_t n, size_t bytes) { return __libc_calloc(n, bytes); }
void *realloc(void *p, size_t bytes) { return __libc_realloc(p, bytes); }
void free(void *p) { __libc_free(p); }
END
cc -shared -fPIC -O2 forward.c -o old.so && cp old.so new.so || exit 1

# Of each question: its words, its command, the pattern of its answer.
question='' command=''
while IFS= read -r line; do
	case $line in
	'**'*) question=${line#\*\*} question=${question%%\*\**} ;;
	'    reheap '*) command=${line#    reheap } ;;
	'<!-- answer: '*)
		answer=${line#<!-- answer: } answer=${answer% -->}
		read -r -a words <<<"$command"
		timeout 60 "$reheap" "${words[@]}" >.out 2>.err </dev/null
		head -n "$SCREEN" .out >.screen
		ok "$question" grep -q -E -e "$answer" .screen
		;;
	esac
done <"$page"
ok 'ten questions were asked' test "$tests" = 10
finish
