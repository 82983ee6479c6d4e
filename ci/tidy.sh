#!/bin/bash
# tidy.sh [BUILD_DIR] - the house checks. Prints `file:line: rule` for every breach, one
# summary line for each rule, and exits 1 when there was one.
#
# The rules: headers compile alone and somebody includes them; folders include only what they
# may and never in a circle; what the text of a file shows (ci/tidy.awk); names that leave a
# library start with rh_; files that are named exist; the top level has its six folders;
# shell scripts parse.
set -u
cd "$(dirname "$0")/.." || exit 2
build=${1:-build}
CC=${CC:-cc}
failed=0

# rule NAME COMMAND...: COMMAND prints the breaches
rule() {
	local name=$1 found
	shift
	found=$("$@")
	if [ -n "$found" ]; then
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

# May a file of folder $1 include "$2"?
includes() {
	sources | xargs awk '
		match($0, /^[ \t]*#[ \t]*include[ \t]*"[^"]*"/) {
			name = $0
			sub(/^[^"]*"/, "", name)
			sub(/".*/, "", name)
			split(FILENAME, part, "/")
			from = part[1]
			test = FILENAME ~ /\/test\//
			ok = 0
			if (from == "ci") ok = 1
			if (name ~ /^alloc\/base\//) ok = 1
			if (name ~ "^" from "/") ok = 1
			if (from == "harness" && name == "alloc/backend.h") ok = 1
			if (from == "harness" && name ~ /^traces\/[^\/]*\.h$/) ok = 1
			if (from == "harness" && name ~ /^traces\/record\/[^\/]*\.h$/) ok = 1
			if (from == "harness" && name == "version.h") ok = 1
			if (name !~ /\// && name != "version.h") ok = 0
			if (from == "plots" && !test) ok = 0
			if (from != "ci" && name ~ /^ci\//) ok = 0
			if (!ok)
				printf "%s:%d: %s/ may not include \"%s\"\n",
					FILENAME, FNR, from, name
		}'
}

# A circle of includes has no first file to read. tsort names the files of each it finds.
circles() {
	sources | xargs awk 'match($0, /^[ \t]*#[ \t]*include[ \t]*"[^"]*"/) {
			name = $0
			sub(/^[^"]*"/, "", name)
			sub(/".*/, "", name)
			print FILENAME, name
		}' | tsort 2>&1 >/dev/null |
		sed -n 's/^tsort: \([a-z].*\.[a-z]*\)$/\1:1: includes itself by way of others/p'
}

unread_headers() {
	sources | grep '\.\(h\|inc\)$' | while read -r header; do
		sources | xargs grep -q -F "include \"$header\"" ||
			echo "$header:1: nobody includes it"
	done
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
	sources | xargs awk -f ci/tidy.awk
}

# Names that leave the libraries; the shim may also define what libc defines, and C++ operators, and
# what C23 adds to the malloc family and this libc may not have yet.
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
		$3 !~ /^(rh_|_init$|_fini$|_Zn|_Zd|free_sized$|free_aligned_sized$)/ && !($3 in libc) \
			{ print shim ":1: exports " $3 ", which libc does not define" }'
}

top_level() {
	git ls-files 2>/dev/null | sed -n 's|/.*||p' | sort -u |
		grep -v -x -E 'alloc|traces|harness|plots|ci|\.ci|\.github' |
		sed 's|$|:1: is not one of the folders of this project|'
}

shell_scripts() {
	local script
	find ci .ci -type f \( -name '*.sh' -o -path .ci/run \) | while read -r script; do
		bash -n "$script" 2>&1 | head -n 1
		[ -x "$script" ] || [ "${script##*/}" = lib.sh ] ||
			echo "$script:1: is not executable"
	done
}

rule 'headers compile alone' headers_alone
rule 'folders include what they may' includes
rule 'no circle of includes' circles
rule 'every header is included' unread_headers
rule 'files that are named exist' named_files
rule 'text: lengths, comments, banned functions' text
rule 'exported names start with rh_' exported
rule 'six folders at the top' top_level
rule 'shell scripts parse' shell_scripts
[ $failed = 0 ]
