#!/bin/bash
# The command line itself: help for every command, versions, unknown words, install and uninstall.
# shellcheck source=ci/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

ok 'help lists commands' "$reheap" --help
ok 'version' "$reheap" --version
is_exit 2 'no command is a usage error' "$reheap"
is_exit 2 'an unknown command is a usage error' "$reheap" frobnicate
says "no command 'frobnicate'" 'and is named'
for command in $("$reheap" --help | sed -n 's/^  \([a-z]*\)  .*/\1/p'); do
	ok "$command --help" "$reheap" "$command" --help
	is_exit 2 "$command --no-such-option is a usage error" "$reheap" "$command" --no-such-option
done
for what in backends importers generators; do
	ok "list $what" "$reheap" list $what
done
is_exit 2 'list of something unknown' "$reheap" list unicorns
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
