#!/bin/bash
# Every command line of the README and the cookbook runs; every command that any page names in its
# text exists; and no page has commands that no test runs.
# shellcheck source=ci/own/e2e/lib_docs.sh
. "$(dirname "$0")/lib_docs.sh"
for file in $main_pages; do
	page "$file"
done
ok 'commands were found' test "$tests" -gt 30

pages=$(cd "$root" && find . -name '*.md' -not -path './build/*' -not -path './ci/NEWS.md' | sed 's|^\./||' | sort)
for file in $pages; do
	case " $(echo $main_pages $room_pages) harness/cli/QUESTIONS.md " in
	*" $file "*) continue ;;
	esac
	commands_of "$root/$file" >lines
	escaped=''
	while read -r number text; do
		[[ $number == - ]] || { [[ $text == '? '* ]] && is_text "$file" "${text#? }"; } || escaped="$escaped $number"
	done <lines
	ok "$file has no commands that no test runs$escaped" test -z "$escaped"
done

# In the text: targets of make, lists, and names of commands (their options are checked in commands.sh).
cd "$temp/given" || exit 1
while read -r span; do
	read -r -a words <<<"$span"
	case $span in
	'make -n') ;;
	make*) ok "text: $span" make -n -C "$root" NO_DEPS=1 "${words[@]:1}" ;;
	'reheap list '* | 'reheap doctor') ran "text: $span" "$reheap" "${words[@]:1}" ;;
	*) ok "text: $span" "$reheap" "${words[1]}" --help ;;
	esac
done < <(cd "$root" && grep -ohE '`(reheap|make) [^`]*`' $pages | tr -d '`' | sort -u)
finish
