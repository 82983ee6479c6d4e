#!/bin/bash
# Every fuzz target replays its seeds and all findings so far (make fuzz): the same targets with a
# plain main, without clang. shellcheck source=ci/own/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

for folder in "$root"/{alloc,traces,harness,plots,ci/gate}/test/{seeds,findings}/*/; do
	[ -d "$folder" ] || continue
	target=$(basename "$folder")
	here=$(dirname "$(dirname "$folder")")
	kind=${target%%-*}
	export RH_FUZZ_IMPORTER=
	[ "$kind" != import ] || RH_FUZZ_IMPORTER=${target#import-}
	[ -n "$RH_FUZZ_IMPORTER" ] || unset RH_FUZZ_IMPORTER
	ok "${folder#"$root"/}: $(find "$folder" -type f | wc -l) files" \
		"$build/test/${here#"$root"/}/fuzz_$kind" "$folder"
done
ok 'there are seeds' test $tests -gt 10
finish
