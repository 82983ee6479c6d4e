#!/bin/bash
# Every command line of the pages next to the code runs.
# shellcheck source=ci/own/e2e/lib_docs.sh
. "$(dirname "$0")/lib_docs.sh"
for file in $room_pages; do
	page "$file"
done
ok 'commands were found' test "$tests" -gt 30
finish
