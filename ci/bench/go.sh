#!/bin/bash
# go.sh BUILD - the same allocations inside Go and through reheap: `make bench-go`.
#
# The Go side runs traces/corpus/go/sequence, which times itself: ns per allocation, share of
# its collector, peak RSS. Our side records the same run and replays it through Go's heap in C
# and through the platform's.
set -u
cd "$(dirname "$0")/../.." || exit 2
build=$(realpath "${1:-build}")
go=$(command -v go || echo /usr/local/go/bin/go)
if ! [ -x "$go" ] || ! "$go" version | grep -q -E 'go1\.(2[3-9]|[3-9][0-9])'; then
	echo "bench-go: skipped, Go 1.23 or later is not on PATH"
	exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r traces/corpus/go/go.mod traces/corpus/go/sequence "$work"
export GOTOOLCHAIN=local GOFLAGS=-mod=mod GOCACHE=${GOCACHE:-$work/cache}
(cd "$work" && "$go" build -o sequence-bin ./sequence) || exit 1
echo "== the sequence inside Go ($("$go" version | cut -d' ' -f3))"
"$work/sequence-bin" 2000000
echo "== the same sequence, recorded and replayed"
"$build/reheap" record-go -o "$work/s.rht" --level 1 --trace-file "$work/s.trace" -- \
	"$work/sequence-bin" 2000000 "$work/s.trace" >/dev/null || exit 1
"$build/reheap" replay "$work/s.rht" --reps 3 -o "$work/r.json" \
	--backend tiered:profile=1.26:gc=recorded/pools:profile=1.26,tiered/pools,libc/none
