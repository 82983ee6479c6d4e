#!/bin/bash
# gate --bisect: commits of an allocator: one made it slower, one does not build. Instruction counts judge, so time decides nothing.
# shellcheck source=ci/own/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=ci/own/e2e/lib_gate.sh
. "$root/ci/own/e2e/lib_gate.sh"
for tool in cc git valgrind; do
	command -v $tool >/dev/null || skip_all "there is no $tool"
done

mkdir repo
# save SUBJECT ROUNDS: a commit whose malloc does so many rounds more
save() {
	cat >mine.c <<-END
		#include <stddef.h>
		void *__libc_malloc(size_t);
		void __libc_free(void *);
		void *__libc_calloc(size_t, size_t);
		void *__libc_realloc(void *, size_t);
		void *calloc(size_t n, size_t m) { return __libc_calloc(n, m); }
		void *realloc(void *p, size_t n) { return __libc_realloc(p, n); }
		void free(void *p) { __libc_free(p); }
		/* $1 */
		void *malloc(size_t n)
		{
			for (volatile int i = 0; i < $2; i++)
				;
			return __libc_malloc(n);
		}
	END
	git add mine.c && git commit -q -m "$1" && git tag "$1"
}
(
	cd repo || exit 1
	git init -q . && git config user.email t@example.org && git config user.name t
	save one 1
	save two 1
	save three 1
	save four 40
	save five 40
	save seven 40
	git checkout -q -b side two
	save broken oops
	save late 40
	git checkout -q -b main seven || git checkout -q --detach seven
) >/dev/null 2>&1
"$reheap" gen server -o t.rht events=20000 lanes=1 heap=1M >/dev/null 2>&1
rest=(--repo repo --build 'cc -shared -fPIC -O1 mine.c -o mine.so' --artifact mine.so
	--tier deterministic --no-verify --no-cause)

gate 1 'seven commits' t.rht --bisect one seven "${rest[@]}" -o bisect.json
said '^First bad commit: [0-9a-f]+ four$'
ok '  named on the last line' grep -q -E "^REHEAP-GATE .* first-bad=$(git -C repo rev-parse --short four)\$" .out
ok '  and in the document' grep -q '"first_bad": "[0-9a-f]* four"' bisect.json
gate 1 'a commit that does not build is skipped' t.rht --bisect two..late "${rest[@]}"
said '^bisect: skip  [0-9a-f]+ broken: '
said '^First bad commit: one of 2, the others could not be judged: [0-9a-f]+ broken \.\.\. [0-9a-f]+ late$'
gate 0 'no regression between them: nothing is looked for' t.rht --bisect one two "${rest[@]}"
ok '  and no commit is blamed' fails grep -q 'First bad commit' .out
gate 2 'a name that is no commit' t.rht --bisect one nine "${rest[@]}"
said "'nine' is no commit of repo"
gate 2 'one revision' t.rht --bisect one "${rest[@]}"
said 'needs two revisions'
gate 2 'nothing to build with' t.rht --bisect one two --repo repo
said 'needs --build'
ok 'the checkouts are gone' test "$(git -C repo worktree list | wc -l)" = 1
ok 'the repository is where it was' test "$(git -C repo log -1 --format=%s)" = seven
finish
