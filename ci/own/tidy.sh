#!/bin/bash
# tidy.sh [BUILD_DIR] - the house checks. Prints `file:line: rule` for every breach, one
# summary line for each rule, and exits 1 when there was one.
#
# The rules: headers compile alone and are included somewhere; every function is used; folders
# include only what they may and never in a cycle; the text of each file (ci/own/tidy.awk);
# exported names start with rh_; files named in comments exist; the top level has its five folders; shell scripts parse.
set -u
cd "$(dirname "$0")/../.." || exit 2
build=${1:-build}
CC=${CC:-cc}
failed=0

# rule NAME COMMAND...: COMMAND prints the breaches; or ends with 77 and prints what it needs
rule() {
	local name=$1 found
	shift
	found=$("$@")
	if [ $? = 77 ]; then
		printf 'skip  %s: there is no %s here\n' "$name" "$found"
	elif [ -n "$found" ]; then
		printf '%s\n' "$found"
		printf 'FAIL  %s\n' "$name"
		failed=$((failed + 1))
	else
		printf 'ok    %s\n' "$name"
	fi
}

sources() {
	find alloc traces harness plots ci -type f \( -name '*.[ch]' -o -name '*.inc' \) |
		LC_ALL=C sort
}

header_alone() {
	local out
	out=$($CC -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -fsyntax-only -I. \
		-I"$2/gen" -x c "$1" 2>&1 | grep -v 'pragma once\|unused-const' | head -n 3)
	[ -z "$out" ] || printf '%s:1: does not compile alone\n%s\n' "$1" "$out"
}
headers_alone() {
	export -f header_alone
	export CC
	# shellcheck disable=SC2016  # expanded by the inner shell
	sources | grep '\.h$' |
		xargs -r -P 2 -I{} bash -c 'header_alone "$1" "$2"' tidy {} "$build"
}

# room FILE: the folder of a file, without test/ or shim/.
# Allowed includes, room by room: alloc/ serves; traces/ builds on alloc/base; harness/ rooms go
# left to right; plots/ reads results; ci/gate/ judges; harness/cli/ may include every room and no
# room includes it. Tests may include what they test and other tests.
includes() {
	sources | xargs awk '
		function room(path) {
			sub(/\/[^\/]*$/, "", path)
			sub(/\/(test|shim)$/, "", path)
			return path
		}
		function rank(r,   i) {
			for (i = 1; i <= ranks; i++)
				if (order[i] == r)
					return i
			return 0
		}
		BEGIN {
			ranks = split("harness/compile harness/control harness/worker " \
				"harness/launch harness/result harness/probe harness/run " \
				"harness/matrix harness/fidelity", order, " ")
		}
		match($0, /^[ \t]*#[ \t]*include[ \t]*"[^"]*"/) {
			name = $0
			sub(/^[^"]*"/, "", name)
			sub(/".*/, "", name)
			from = room(FILENAME)
			to = room(name)
			test = FILENAME ~ /\/test\// || FILENAME ~ /^ci\/own\//
			ok = name == "version.h" || to == "alloc/base" || to == from || test
			if (from == "harness/cli") ok = 1
			if (from ~ /^alloc\//) ok = ok || name ~ /^alloc\//
			if (from ~ /^traces\//) ok = ok || name ~ /^traces\//
			if (from ~ /^harness\// && (name == "alloc/backend.h" || name == "alloc/registry.h" ||
			    to ~ /^traces\/(format|record|import)$/)) ok = 1
			if (rank(from) && rank(to) && rank(to) <= rank(from)) ok = 1
			if (from ~ /^plots\// && to ~ /^(harness\/(result|matrix)|plots\/figure)$/) ok = 1
			if (from == "ci/gate" && to ~ /^(harness\/(compile|control|launch|result|probe|run|matrix)|plots\/figure|traces\/format)$/) ok = 1
			if (from == "ci/gate" && name ~ /^alloc\/[a-z]*\.h$/) ok = 1
			if (!test && name ~ /\/test\//) ok = 0
			if (from != "harness/cli" && !test && name ~ /^harness\/cli\//) ok = 0
			if (name !~ /\// && name != "version.h") ok = 0
			if (!ok)
				printf "%s:%d: %s/ may not include \"%s\"\n", FILENAME, FNR, from, name
		}'
}

# A circle of includes has no first file to read. tsort names the members of each it finds: once over
# files, once over folders (tests apart: they may look at every room).
edges() {
	sources | xargs awk -v folders="$1" 'match($0, /^[ \t]*#[ \t]*include[ \t]*"[^"]*"/) {
			name = $0
			sub(/^[^"]*"/, "", name)
			sub(/".*/, "", name)
			from = FILENAME
			if (folders && (from ~ /\/test\// || from ~ /^ci\/own\// || name !~ /\//))
				next
			if (folders) {
				sub(/\/[^\/]*$/, "", name)
				sub(/\/[^\/]*$/, "", from)
			}
			if (!folders || from != name)
				print from, name
		}'
}
circles() {
	edges 0 | tsort 2>&1 >/dev/null |
		sed -n 's/^tsort: \([a-z].*\.[a-z]*\)$/\1:1: includes itself by way of others/p'
	edges 1 | sort -u | tsort 2>&1 >/dev/null |
		sed -n 's/^tsort: \([a-z][a-z]*\(\/[a-z]*\)*\)$/\1\/:1: includes itself by way of other folders/p'
}

unread_headers() {
	sources | grep '\.\(h\|inc\)$' | while read -r header; do
		sources | xargs grep -q -F "include \"$header\"" ||
			echo "$header:1: nobody includes it"
	done
}

# A function that a header declares is called, or its address is taken, somewhere: its name stands in a third
# place beside declaration and definition (an inline one: in a second).
unused_functions() {
	sources | xargs awk '
		/^[ \t]*(\/\*|\*)/ { next }
		{
			inline = /inline/
			line = $0
			while (match(line, /[A-Za-z0-9_]*rh_[a-z0-9_]+/)) {
				name = substr(line, RSTART, RLENGTH)
				line = substr(line, RSTART + RLENGTH)
				count[name]++
				if (FILENAME ~ /\.h$/ && line ~ /^\(/ && !(name in at)) {
					at[name] = FILENAME ":" FNR
					least[name] = inline ? 2 : 3
				}
			}
		}
		END {
			for (name in at)
				if (name ~ /^rh_/ && count[name] < least[name])
					printf "%s: nothing uses %s\n", at[name], name
		}'
}

# Files that comments and pages name by their path. Upper case is a placeholder (cmd_NAME.c).
named_files() {
	{
		sources | xargs grep -n -o -E \
			'\b(alloc|traces|harness|plots|ci)/[a-z0-9_/-]+\.(c|h|inc|md|sh|awk)\b' /dev/null
		find . -name '*.md' -not -path './build/*' | sed 's|^\./||' | while read -r page; do
			grep -n -o -E '\]\([^)#:]*\)' "$page" |
				sed -E "s|^([0-9]+):\]\((.*)\)$|$page:\1:${page%"${page##*/}"}\2|"
		done
	} | while IFS=: read -r file line name; do
		[ -e "$name" ] || echo "$file:$line: names $name, which is not there"
	done
}

text() {
	sources | LC_ALL=C xargs awk -f ci/own/tidy.awk
}

# A header is guarded by RH_[FOLDER_]FILE_H, a name of its own: two headers of one guard, both included,
# are one header, and which one depends on the order of the lines.
guards() {
	sources | grep '\.h$' | xargs awk '
		function check() {
			if (file != "" && !(guard ~ ("^RH_([A-Z0-9]+_)*" name "_H$") && defined && last == "#endif"))
				print file ":1: is not guarded by #ifndef RH_" name "_H, #define, #endif"
			if (guard in seen)
				print file ":1: has the guard of " seen[guard]
			seen[guard] = file
		}
		FNR == 1 {
			check()
			file = name = FILENAME
			gsub(/^.*\/|\.h$/, "", name)
			name = toupper(name)
			gsub(/-/, "_", name)
			guard = ""
			defined = 0
		}
		guard == "" && /^#ifndef / { guard = $2; at = FNR }
		FNR == at + 1 && $0 == "#define " guard { defined = 1 }
		{ last = $0 }
		END { check() }'
}

# Arrays grow by rh_reserve (alloc/base/grow.h). The remaining callers of realloc have a reason: two
# arrays of one room, a known size, a limit; a number here may fall but not rise.
grown_by_hand() {
	sources | grep -v -E '/test/|/shim/|^alloc/(heap|stack|base/grow)|^ci/own/' |
		xargs grep -n -E '(^|[^_a-z"->*])(realloc|reallocarray)\([a-z*]' | grep -v -E ':[ \t]*/?\*' |
		awk -F: '{ line[NR] = $1 ":" $2 } END {
			for (i = 1; NR > 24 && i <= NR; i++)
				print line[i] ": one of " NR " arrays that grow by hand (24 were allowed): rh_reserve"
		}'
}

# Comments say why: of lines with code, how many lines have a comment, in each of these folders, no fewer
# than ci/own/baselines/comments.tsv says (in 100). A number there may rise and not fall.
commented() {
	local folder least
	while IFS=$'\t' read -r folder least; do
		[[ $folder != \#* ]] || continue
		sources | grep "^$folder/" | grep -v /test/ | xargs cat | awk -v folder="$folder" -v least="$least" '
			inside { comments++; inside = !/\*\//; next }
			/^[ \t]*$/ { next }
			/^[ \t]*\/\*/ { comments++; inside = !/\*\//; next }
			/\/\*/ { comments++; inside = !/\*\// }
			{ code++ }
			END {
				if (100 * comments < least * code)
					printf "%s:1: %d lines of comment on %d of code, fewer than %d in 100\n",
						folder, comments, code, least
			}'
	done <ci/own/baselines/comments.tsv
}

parameters() {
	sources | LC_ALL=C xargs awk -v allowed=ci/own/baselines/parameters.tsv -f ci/own/parameters.awk
}

# Foreign text goes through rh_print. These files use other escapes: SVG, HTML and
# XML (rh_escape_xml), JSON (jansson), gnuplot's data and scripts, roff and shells (our own words
# only), invariants of heaps (our own names only).
own_escapes='alloc/base/printable.c alloc/base/cells.c alloc/base/lock.c alloc/base/opt.c alloc/heap/tiered/block.c
	alloc/heap/tiered/check.c traces/edit/export_perfetto.c harness/cli/usage.c harness/cli/manual.c
	harness/cli/complete.c harness/cli/completion.c plots/figure/figure_svg.c
	plots/figure/svg_embed.c plots/figure/svg_pack.c plots/figure/svg_path.c plots/figure/svg_tree.c plots/figure/figure_write.c plots/report/report.c
	plots/report/report_tables.c plots/report/overview.c plots/report/overview_tables.c ci/gate/junit.c ci/gate/ci.c ci/gate/figure.c'
printable() {
	sources | grep -v -E '/test/|^ci/own/|^traces/record/shim/' |
		xargs awk -v own="$(tr -s '\n\t' '  ' <<<"$own_escapes")" -f ci/own/printable.awk
}

# .clang-format is obeyed. Releases of clang-format differ, so only the reference one judges.
formatted() {
	local tool
	tool=$(command -v clang-format-14) || { echo clang-format-14; return 77; }
	sources | xargs "$tool" --dry-run 2>&1 | sed -n 's/^\([^ :]*:[0-9]*\):.*/\1: clang-format would change it/p' |
		head -n 20
}

# Static analysis of the product; results are kept by file, so only changed files cost time (40 s of
# CPU for all of them). ci/own/cppcheck.txt lists the false findings, with reasons.
analysed() {
	command -v cppcheck >/dev/null || { echo cppcheck; return 77; }
	mkdir -p "$build/cppcheck"
	cppcheck --quiet --enable=warning,portability --std=c11 -D_GNU_SOURCE -I. -I"$build/gen" -j2 \
		--suppressions-list=ci/own/cppcheck.txt --cppcheck-build-dir="$build/cppcheck" \
		--template='{file}:{line}: {message} [{id}]' -i alloc/test -i traces/test -i harness/test -i plots/test \
		-i ci/gate/test alloc traces harness plots ci/gate 2>&1
}

# Names that leave the libraries; the shim may also define what libc defines, and C++ operators, and
# what C23 adds to the malloc family and this libc may not have yet, and what allocators offer beside.
exported() {
	local library=$build/libreheap.a shim=$build/libreheap-record.so libc
	[ -f "$library" ] || { echo "$library:1: is not built"; return; }
	nm -g --defined-only "$library" 2>/dev/null |
		awk -v lib="$library" 'NF == 3 && $3 !~ /^rh_/ && $3 != "reheap_backend" \
			{ print lib ":1: exports " $3 ", which does not start with rh_" }'
	[ -f "$shim" ] || return
	libc=$(ldd "$shim" | awk '/libc\.so/ { print $3 }')
	nm -D --defined-only "${libc:-/lib/x86_64-linux-gnu/libc.so.6}" |
		awk '{ sub(/@.*/, "", $3); print $3 }' >"$build/libc.names"
	nm -D --defined-only "$shim" | awk -v names="$build/libc.names" -v shim="$shim" '
		BEGIN { while ((getline name < names) > 0) libc[name] = 1 }
		{ sub(/@.*/, "", $3) }
		$3 !~ /^(rh_|_init$|_fini$|_Zn|_Zd|free_sized$|free_aligned_sized$|(je_|tc_|mi_|scalable_)|([rxs]|sd|d|m)allocx$|mallocx$|malloc_size$|cfree$|__libc_cfree$|__posix_memalign$)/ && !($3 in libc) \
			{ print shim ":1: exports " $3 ", which libc does not define" }'
}

top_level() {
	git ls-files 2>/dev/null | sed -n 's|/.*||p' | sort -u |
		grep -v -x -E 'alloc|traces|harness|plots|ci|\.ci|\.github' |
		sed 's|$|:1: is not one of the folders of this project|'
	git ls-files 2>/dev/null | grep -v / | grep -v -x -E 'Makefile|README\.md|LICENSE|\..*' |
		sed 's|$|:1: no file of this project stands at the top|'
}

shell_scripts() {
	local script
	find ci .ci -type f \( -name '*.sh' -o -path .ci/run \) | while read -r script; do
		bash -n "$script" 2>&1 | head -n 1
		[ -x "$script" ] || [[ ${script##*/} = lib*.sh ]] ||
			echo "$script:1: is not executable"
	done
}

# A public structure has one definition: two of one name meet in one file sooner or later. What
# alloc/backend.h only declares, each backend defines.
one_struct_each() {
	sources | grep "\.h$" | grep -v /test/ |
		xargs awk 'FILENAME == "alloc/backend.h" && /^struct rh_[a-z_]+;/ { opaque[$2] = 1 }
			/^struct rh_[a-z0-9_]+ \{/ && !(($2 ";") in opaque) {
			if ($2 in seen) print FILENAME ":" FNR ": struct " $2 " is also in " seen[$2]
			seen[$2] = FILENAME
		}'
}

# The JSON library stands behind harness/result/record.h: code that writes or reads a document gives
# a table of its fields.
json_files() {
	sources | xargs grep -l "<jansson.h>" | awk '{ file[NR] = $0 }
		END { for (i = 1; NR > 6 && i <= NR; i++) print file[i] ":1: one of " NR " files that touch JSON" }'
}

# Assertions in pairs across the seams: per 100 functions, in each of these folders, no fewer than
# ci/own/baselines/assertions.tsv says. A number there may rise and not fall.
asserted() {
	local folder least functions asserts
	while IFS=$'\t' read -r folder least; do
		[[ $folder != \#* ]] || continue
		functions=$(sources | grep "^$folder/" | grep -v /test/ | xargs cat | grep -c '^{')
		asserts=$(sources | grep "^$folder/" | grep -v /test/ | xargs cat |
			grep -c -E '\b(assert|rh_debug_assert|_Static_assert)\(')
		[ $((100 * asserts)) -ge $((least * functions)) ] ||
			echo "$folder:1: $asserts assertions in $functions functions, fewer than $least in 100"
	done <ci/own/baselines/assertions.tsv
}

# RESULT.md must show the same fields as the reader and the writer.
result_page() {
	[ -x "$build/reheap" ] || return
	sed -n "/^### .document./,\$p" harness/result/RESULT.md | cmp -s - <("$build/reheap" list fields) ||
		echo "harness/result/RESULT.md:1: is not what fields.h says: make result-doc"
	cmp -s harness/result/result.schema.json <("$build/reheap" list schema) ||
		echo "harness/result/result.schema.json:1: is not what fields.h says: make result-doc"
}

rule 'headers compile alone' headers_alone
rule 'folders include what they may' includes
rule 'no circle of includes' circles
rule 'every header is included' unread_headers
rule 'every function is used' unused_functions
rule 'files that are named exist' named_files
rule 'clang-format leaves the code as it is' formatted
rule 'static analysis finds nothing' analysed
rule 'text: lengths, comments, banned functions' text
rule 'arrays grow by rh_reserve' grown_by_hand
rule 'headers have guards of their own' guards
rule 'comments say why' commented
rule 'functions take five parameters at most' parameters
rule 'foreign text is printed by rh_print' printable
rule 'one definition for each structure' one_struct_each
rule 'seams are asserted on both sides' asserted
rule 'RESULT.md shows the fields of a result' result_page
rule 'JSON is touched in six files at most' json_files
rule 'exported names start with rh_' exported
rule 'five folders at the top, and three files' top_level
rule 'shell scripts parse' shell_scripts
[ $failed = 0 ]
