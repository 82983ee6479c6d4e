#!/bin/bash
# Every command line of the README and the cookbook runs.
# shellcheck source=ci/own/e2e/lib_docs.sh
. "$(dirname "$0")/lib_docs.sh"
for file in README.md harness/cli/COOKBOOK.md; do
	page "$file"
done
ok 'commands were found' test "$tests" -gt 30
finish
