#!/bin/bash
# The gate as CI systems run it: the workflow and pipeline to copy, executed step by step in a
# repository of an allocator (offline: reheap comes from this build, installed under a prefix as the
# cache would hold it), and their outputs: JUnit valid against the strict schema, Markdown with the
# reason, a single line where requested.
# shellcheck source=ci/own/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

# What the schema of Jenkins' xUnit plugin (junit-10) demands of the elements and attributes that
# a gate writes, in our own words.
cat >junit.xsd <<'END'
<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" elementFormDefault="qualified">
 <xs:simpleType name="seconds"><xs:restriction base="xs:string">
  <xs:pattern value="(([0-9]{0,3},)*[0-9]{3}|[0-9]{0,3})*(\.[0-9]{0,3})?"/></xs:restriction></xs:simpleType>
 <xs:complexType name="outcome" mixed="true">
  <xs:attribute name="type" type="xs:string"/><xs:attribute name="message" type="xs:string"/></xs:complexType>
 <xs:element name="testcase"><xs:complexType>
  <xs:choice minOccurs="0" maxOccurs="unbounded">
   <xs:element name="skipped" type="outcome"/><xs:element name="error" type="outcome"/>
   <xs:element name="failure" type="outcome"/><xs:element name="system-out" type="xs:string"/>
   <xs:element name="system-err" type="xs:string"/></xs:choice>
  <xs:attribute name="name" type="xs:string" use="required"/>
  <xs:attribute name="classname" type="xs:string"/><xs:attribute name="time" type="seconds"/>
 </xs:complexType></xs:element>
 <xs:element name="testsuite"><xs:complexType>
  <xs:sequence><xs:element ref="testcase" minOccurs="0" maxOccurs="unbounded"/></xs:sequence>
  <xs:attribute name="name" type="xs:string" use="required"/>
  <xs:attribute name="tests" type="xs:nonNegativeInteger" use="required"/>
  <xs:attribute name="failures" type="xs:nonNegativeInteger" use="required"/>
  <xs:attribute name="errors" type="xs:nonNegativeInteger" use="required"/>
  <xs:attribute name="skipped" type="xs:nonNegativeInteger"/>
  <xs:attribute name="time" type="seconds"/><xs:attribute name="timestamp" type="xs:dateTime" use="required"/>
  <xs:attribute name="hostname" type="xs:string" use="required"/>
  <xs:attribute name="id" type="xs:nonNegativeInteger"/><xs:attribute name="package" type="xs:string"/>
 </xs:complexType></xs:element>
 <xs:element name="testsuites"><xs:complexType>
  <xs:sequence><xs:element ref="testsuite" minOccurs="0" maxOccurs="unbounded"/></xs:sequence>
  <xs:attribute name="name" type="xs:string"/><xs:attribute name="time" type="seconds"/>
  <xs:attribute name="tests" type="xs:nonNegativeInteger"/>
  <xs:attribute name="failures" type="xs:nonNegativeInteger"/>
  <xs:attribute name="errors" type="xs:nonNegativeInteger"/>
 </xs:complexType></xs:element>
</xs:schema>
END
# junit FILE WHAT: valid, and its counts are those of its elements
counted() {
	local kind
	for kind in failure error skipped; do
		local plural=${kind}s
		[ $kind = skipped ] && plural=skipped
		[ "$(grep -o "<$kind " "$1" | wc -l)" = "$(grep '<testsuite ' "$1" |
			sed "s/.* $plural=\"\([0-9]*\)\".*/\1/" | awk '{ n += $1 } END { print n + 0 }')" ] || return 1
	done
	[ "$(grep -o '<testcase ' "$1" | wc -l)" = "$(sed -n 's/^<testsuites .* tests="\([0-9]*\)".*/\1/p' "$1")" ]
}
junit() {
	ok "JUnit of $2: its counts are those of its cases" counted "$1"
	if command -v xmllint >/dev/null; then
		ok '  and the strict schema takes it' xmllint --noout --schema "$temp/junit.xsd" "$1"
	else
		skip '  and the strict schema takes it' 'xmllint is not installed (libxml2-utils)'
	fi
}

"$reheap" gen server -o t.rht events=200000 lanes=2 heap=2M >/dev/null 2>&1
quick=(--pairs 4 --blocks 8 --no-verify)

"$reheap" gate t.rht --lanes 1,2 --baseline libc --candidate slow:100%:libc "${quick[@]}" --junit fail.xml \
	--markdown fail.md >fail.out 2>/dev/null </dev/null
junit fail.xml 'a regression'
ok 'each scenario has a line for scripts, and the last is for all' bash -c \
	"test \$(grep -c '^REHEAP-GATE trace=t.rht lanes=[12] verdict=' fail.out) = 2 &&
	 tail -n 1 fail.out | grep -q '^REHEAP-GATE verdict=.* scenarios=2 '"
head -c 20000 t.rht >cut.rht
"$reheap" gate cut.rht --baseline libc --candidate libc --junit cut.xml --markdown cut.md \
	>/dev/null 2>&1 </dev/null
junit cut.xml 'a trace that is cut off'
ok '  Markdown says why, without an empty table' bash -c \
	"grep -q '\*\*invalid\*\* cut.rht' cut.md && ! grep -q '^|' cut.md && grep -q 'no table' cut.md"
"$reheap" gate t.rht --baseline ./none.so --candidate libc --junit none.xml --markdown none.md \
	>/dev/null 2>&1 </dev/null
ok 'a baseline that is not there ends with 4' test $? = 4
junit none.xml 'a baseline that is not there'
ok '  and Markdown names it' grep -q 'none.so' none.md
"$reheap" gate t.rht --lanes 1 --baseline libc --candidate libc "${quick[@]}" --quiet-ci >one.out 2>one.err \
	</dev/null
ok '--quiet-ci prints one line, and nothing else' bash -c \
	"test \$(wc -l <one.out) = 1 && test ! -s one.err &&
	 grep -q '^REHEAP-GATE verdict=.* worst=\"t.rht, 1 lane\" why=\".*\"\$' one.out"

# ---- the workflow and the pipeline, whole ----
if ! command -v git >/dev/null || ! command -v cc >/dev/null; then
	skip 'the workflow and the pipeline' 'there is no git or no compiler'
	finish
fi
export HOME=$temp/home
mkdir -p "$HOME" origin/alloc origin/ci origin/traces
if ! make -C "$root" -s install B="$build" PREFIX="$HOME/reheap" NO_DEPS=1 >install.out 2>&1; then
	sed 's/^/# /' install.out | tail -n 5
	ok 'reheap installs under a prefix, as the cache of the workflow has it' false
	finish
fi
cp t.rht origin/traces/
sed 's|"traces": \[.*\]|"traces": ["../traces/t.rht"]|' "$root/ci/policy.json" >origin/ci/policy.json
cat >origin/alloc/mine.c <<'END'
#include <stddef.h>
void *__libc_malloc(size_t);
void __libc_free(void *);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *malloc(size_t n) { return __libc_malloc(n); }
void free(void *p) { __libc_free(p); }
void *calloc(size_t n, size_t m) { return __libc_calloc(n, m); }
void *realloc(void *p, size_t n) { return __libc_realloc(p, n); }
END
printf 'libmine.so: mine.c\n\tcc -shared -fPIC -O1 mine.c -o $@\n' >origin/alloc/Makefile
(
	cd origin || exit 1
	git init -q -b main . && git config user.email t@example.org && git config user.name t
	git add . && git commit -q -m one
	git checkout -q -b change
	sed -i 's/void free(void \*p) {/& for (volatile int i = 0; i < 400; i++) ;/' alloc/mine.c
	git commit -q -a -m two
) >/dev/null 2>&1

# step NAME FILE: the script of a step of a workflow; vars FILE: its `env:` at the top
step() {
	awk -v name="$1" '
		$0 ~ "^      - name: " name "$" { in_step = 1; next }
		/^      - / { in_step = in_run = 0 }
		in_step && /^        run: \|$/ { in_run = 1; next }
		in_run { sub(/^          /, ""); print }' "$2"
}
flow=$root/ci/github/workflow.yml
ok 'the workflow installs, gates and comments' bash -c \
	"grep -q 'uses: actions/cache' '$flow' && grep -q 'uses: actions/upload-artifact' '$flow' &&
	 grep -q 'edit-last' '$flow' && grep -q 'checkout@' '$flow'"
for name in 'install reheap' gate comment; do
	step "$name" "$flow" >"$name.step"
	ok "  its step '$name' is a script" bash -c "test -s '$name.step' && bash -n '$name.step'"
done
export BUILD='make -C alloc' ARTIFACT=alloc/libmine.so POLICY=ci/policy.json
export GITHUB_STEP_SUMMARY=$temp/summary.md GITHUB_OUTPUT=$temp/output.txt
git clone -q origin clone
(cd clone && git checkout -q change) 2>/dev/null
cd clone || exit 1
BASELINE=git:origin/main CANDIDATE=git:origin/main bash -e -o pipefail "$temp/gate.step" >"$temp/same.out" 2>&1 \
	</dev/null
code=$?
ok "from a fresh clone the workflow passes a change that is none (exit $code)" test $code = 0 -o $code = 3
ok '  and judges the lanes of the policy' bash -c \
	"test \$(grep -c '^REHEAP-GATE trace=t.rht lanes=' '$temp/same.out') -ge 2"
: >"$GITHUB_STEP_SUMMARY"
BASELINE=git:origin/main CANDIDATE=git:HEAD bash -e -o pipefail "$temp/gate.step" >"$temp/slow.out" 2>&1 </dev/null
code=$?
ok "  and fails one that is slow (exit $code)" test $code = 1 -o $code = 3
for file in gate.json gate.xml comment.md gate.txt figure/gate.tsv; do
	ok "  leaving $file" test -s reheap-gate/$file
done
ok '  and a summary, an annotation, an output' bash -c \
	"grep -q 'reheap gate' '$GITHUB_STEP_SUMMARY' && grep -q '^::' '$temp/slow.out' &&
	 grep -q '^exit=$code' '$GITHUB_OUTPUT'"
junit reheap-gate/gate.xml 'the workflow'
# gh as the comment step calls it: there is no comment yet, then there is one
mkdir -p "$temp/bin"
cat >"$temp/bin/gh" <<'END'
#!/bin/sh
echo "$@" >>"$GH_LOG"
case "$*" in *--edit-last*) exit 1 ;; esac
END
chmod +x "$temp/bin/gh"
GH_LOG=$temp/gh.log NUMBER=7 PATH=$temp/bin:$PATH bash -e "$temp/comment.step" >/dev/null 2>&1
ok '  one comment: the last is edited, else one is made' bash -c \
	"test \$(wc -l <'$temp/gh.log') = 2 && grep -q '^pr comment 7 --edit-last --body-file' '$temp/gh.log' &&
	 head -n 1 reheap-gate/comment.md | grep -q '<!-- reheap-gate -->'"

pipe=$root/ci/gitlab/gitlab-ci.yml
for part in before_script script; do
	sed -n "/^  $part:\$/,/^  [a-z]/ s/^    - //p" "$pipe" | sed "s/^'\(.*\)'\$/\1/" >"$temp/$part.sh"
done
rm -rf reheap-gate
ln -s "$HOME/reheap" .reheap
CI_PROJECT_DIR=$PWD CI_MERGE_REQUEST_TARGET_BRANCH_NAME=main bash -e -c \
	". '$temp/before_script.sh'; . '$temp/script.sh'" >"$temp/lab.out" 2>&1 </dev/null
code=$?
ok "the pipeline fails a change that is slow (exit $code)" test $code = 1 -o $code = 3
for file in gate.json gate.xml gate.md; do
	ok "  leaving $file" test -s reheap-gate/$file
done
ok '  its cache held reheap: nothing was cloned' test ! -e reheap-source
cd "$temp" || exit 1
finish
