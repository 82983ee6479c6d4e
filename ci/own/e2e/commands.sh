#!/bin/bash
# The command line itself: help for every command, versions, unknown words, install and uninstall.
# shellcheck source=ci/own/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

ok 'help lists commands' "$reheap" --help
ok 'version' "$reheap" --version
is_exit 2 'no command is a usage error' "$reheap"
is_exit 2 'an unknown command is a usage error' "$reheap" frobnicate
says "no command 'frobnicate'" 'and is named'

# ---- help, parser and documents name the same words ----

# options COMMAND: what its help lists, a line each
options() {
	"$reheap" "$1" --help | sed -n 's/^  \(-.,\|   \) --\([a-z-]*\) .*/\2/p' |
		grep -v -x help
}
# words COMMAND: on standard input, lines that show commands; the options of this one in them,
# before what belongs to another program (after --, a pipe, or the end of the quoted words)
words() {
	sed -E -e ':join' -e '/\\$/{N;s/\\\n//;b join' -e '}' |
		grep -o -E "reheap $1( [^\`|;]*)?\$|reheap $1 [^\`|;]*" |
		sed -E -e 's/ -- .*//' -e "s/'[^']*'//g" | grep -o -E -e ' --[a-z-]+' | sort -u |
		sed 's/^ --//'
}
# unknown COMMAND: words on standard input that its help does not list
unknown() {
	grep -v -x -F -e "$(options "$1")" -e help
}
# Values that nobody can list: numbers, times, sizes, files, commands, what is in a result.
open='N|K\[,K...\]|R|X|P|PID|TIME|SIZE|SHARE|SIZE\|TIME|EVENTS|A-B|GOOD|URL|COMMAND|PATTERN|PREFIX|DIR|FILE|PATH'
open+='|T.rht|OUT.rht|T.rht.capture|R.json|W.json|LIB.so'
# unlisted COMMAND: options whose values are words, and completion has none of them
unlisted() {
	"$reheap" "$1" --help | sed -n '/^options:$/,/^[a-z]*:$/p' |
		sed -n 's/^  \(-.,\|   \) --\([a-z-]*\) \([^ ][^ ]*\) .*/\2 \3/p' |
		while read -r option value; do
			[ "$1 $option" != 'cut lanes' ] || continue # numbers of lanes
			[[ $value =~ ^($open)$ ]] && continue
			echo "$1 $option" >>with-words
			[ -n "$("$reheap" complete "reheap $1 --$option ")" ] || echo "--$option"
			[ -n "$("$reheap" complete "reheap $1 --$option=")" ] || echo "--$option="
		done
}
commands=$("$reheap" --help | sed -n 's/^  \([a-z-]*\)  .*/\1/p')
ok 'there are commands' test "$(echo "$commands" | wc -l)" -ge 16
for command in $commands; do
	ok "$command --help" "$reheap" "$command" --help
	ok "help $command says the same" \
		test "$("$reheap" help "$command")" = "$("$reheap" "$command" --help)"
	is_exit 2 "$command --no-such-option is a usage error" "$reheap" "$command" --no-such-option
	says "^reheap $command: no such option --no-such-option" 'is said once'
	ok "$command: its options fit in 100 columns" test -z "$("$reheap" "$command" --help |
		sed -n '/^options:$/,/^[a-z]*:$/p' | grep '.\{101\}')"
	strange='' missing=''
	"$reheap" help --man "$command" >man
	for option in $(options "$command"); do
		# A value where none belongs, or none where one does: either is another error
		# than an option that is not known.
		"$reheap" "$command" "--$option=" >.out 2>&1 </dev/null
		[ $? -lt 128 ] || strange="$strange --$option (died)"
		! grep -q 'no such option' .out || strange="$strange --$option"
		"$reheap" complete "reheap $command --$option" | grep -q -x -F -e "--$option" ||
			missing="$missing --$option (completion)"
		sed 's/\\-/-/g' man | grep -q -F -e "--$option" || missing="$missing --$option (man)"
	done
	ok "$command: the parser knows every option of its help$strange" test -z "$strange"
	ok "$command: manual page and completion know them, too$missing" test -z "$missing"
	missing=$(unlisted "$command")
	ok "$command: completion has the words of each$missing" test -z "$missing"
	missing=''
	for section in SYNOPSIS DESCRIPTION OPTIONS 'EXIT STATUS' ENVIRONMENT 'SEE ALSO'; do
		grep -q -x ".SH $section" man || missing="$missing $section"
	done
	ok "$command: its manual page has every section$missing" test -z "$missing"
	strange=$("$reheap" "$command" --help | words "$command" | unknown "$command")
	ok "$command: its help shows no other$strange" test -z "$strange"
	strange=$(find "$root" -name '*.md' -not -path '*/build/*' -exec cat {} + |
		words "$command" | unknown "$command")
	ok "$command: the documents show no other$strange" test -z "$strange"
done
ok 'options with words were found' test "$(wc -l <with-words)" -gt 40
"$reheap" help --man >man
# Every variable that the sources ask for, but for those by which we talk to our own processes.
ok 'the manual page knows every variable of the environment' test -z "$(
	cd "$root" && grep -rhoE '(getenv\(|_ENV[[:space:]]+)"[A-Z_]+"' alloc traces harness plots ci/gate \
		--include='*.c' --include='*.h' --exclude-dir=test | grep -oE '[A-Z_]+"$' | tr -d '"' | sort -u |
		grep -v -x -E 'REHEAP_RECORD|REHEAP_PAD' | while read -r name; do
		grep -q -x ".B $name" "$temp/man" || echo "$name"
	done)"
for what in backends importers generators probes; do
	ok "list $what" "$reheap" list $what
done
is_exit 2 'list of something unknown' "$reheap" list unicorns
# A reader that is gone before the first word (`reheap tour | head`): no error, the end of a filter.
mkfifo reader
cat >gone.sh <<'EOF'
exec 8<>reader 9>reader 8<&-
exec "$@" >&9 9>&-
EOF
"$reheap" gen churn -o gone.rht events=2000 lanes=1
"$reheap" export text gone.rht -o gone.txt
go=$root/traces/corpus/go/workers.rht
while read -r -a words; do
	is_exit 141 "nobody reads reheap ${words[*]:0:3}" bash gone.sh "$reheap" "${words[@]}"
	ok 'and nothing is said' test ! -s "$temp/.err"
done <<EOF
--help
--version
tour
list profiles
list schema
info gone.rht
export text gone.rht
gen churn -o - events=2000
import text gone.txt -o -
whatif --quick $go
whatif --quick --json $go
fidelity --no-oracle $go
EOF
is_exit 74 'where the caller ignores the signal, it is one' bash -c \
	"trap '' PIPE; exec bash gone.sh '$reheap' tour"
is_exit 74 'a full standard output is an error' bash -c "'$reheap' --help >/dev/full"

case $build in
*/build)
	ok 'make install' make -C "$root" B="$build" NO_DEPS=1 -s install DESTDIR="$temp/dest" PREFIX=/opt/reheap
	ok 'the installed program runs from there' "$temp/dest/opt/reheap/bin/reheap" gen churn \
		-o small.rht events=2000 lanes=1
	is_exit 0 'and finds its worker' "$temp/dest/opt/reheap/bin/reheap" replay small.rht \
		--backend libc --reps 1 -o small.json
	is_exit 0 'and its plots' "$temp/dest/opt/reheap/bin/reheap" plot small.json -o drawn
	ok 'make uninstall' make -C "$root" B="$build" NO_DEPS=1 -s uninstall DESTDIR="$temp/dest" PREFIX=/opt/reheap
	ok 'leaves nothing behind' fails test -e "$temp/dest/opt/reheap/bin/reheap"
	;;
*) skip 'make install' 'not the plain build' ;;
esac
finish
