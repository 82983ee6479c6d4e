#!/bin/bash
# tiered-go.sh - the tiered heap against the real Go runtime: the same sizes, scan and
# noscan, tiny and large, must take the same spans and count the same objects.
#
# Needs a Go toolchain of 1.23 or newer on PATH, else it is skipped.
. "$(dirname "$0")/lib.sh"

go=$(command -v go) || go=/usr/local/go/bin/go
[ -x "$go" ] || skip_all "no Go toolchain on PATH"
minor=$(GOTOOLCHAIN=local "$go" env GOVERSION | sed -n 's/^go1\.\([0-9]*\).*/\1/p')
[ "${minor:-0}" -ge 23 ] || skip_all "the Go toolchain on PATH is older than 1.23"
profile=1.22
[ "$minor" -lt 26 ] || profile=1.26
export GOCACHE=$temp/gocache GOTOOLCHAIN=local
cp "$root/ci/own/helpers/go_spans.go" . && "$go" run go_spans.go >facts 2>go.err ||
	skip_all "the Go program does not build here: $(head -n 1 go.err)"

# trace KIND SIZE COUNT: one object (not for large ones), then the measured ones
trace() {
	awk -v kind="$1" -v size="$2" -v count="$3" 'BEGIN {
		print "reheap-trace 1 columns=task"
		print "lane_start lane=0"
		n = 0
		flag = kind == "scan" ? "align=8 flags=scan_known" : "flags=noscan,scan_known"
		if (size <= 32760)
			printf "alloc lane=0 id=%d size=%d %s\n", n++, kind == "tiny" ? 16 : size, flag
		for (i = 0; i < count; i++)
			printf "alloc lane=0 id=%d size=%d %s\n", n++,
				kind == "tiny" ? 1 + i * 7 % 15 : size, flag
		print "lane_stop lane=0"
		print "end" }'
}

# same KIND SIZE COUNT HEAPINUSE MALLOCS: our heap says so too
same() {
	trace "$1" "$2" "$3" >t.txt
	"$reheap" replay t.txt --backend "tiered:profile=$profile:gc=recorded" --stats --lanes 1 \
		--reps 1 >out 2>&1 || { cat out; return 1; }
	awk -v size="$2" -v inuse="$4" -v mallocs="$5" '
		{ gsub(",", "", $2) }
		$1 == "HeapInuse" { got = $2 }
		$1 == "Mallocs" { objects = $2 }
		$1 == "spans.in_use" { spans = $2 }
		END {
			if (size <= 32760) {
				got -= got / spans
				objects--
			}
			if (got == inuse && objects == mallocs) exit 0
			printf "HeapInuse %d, Go %d; Mallocs %d, Go %d\n", got, inuse, objects, mallocs
			exit 1 }' out
}

while read -r kind size count inuse mallocs; do
	ok "$count objects, $kind ${size/#0/of 1 to 15} bytes: $((inuse >> 10)) KiB like Go 1.$minor" \
		same "$kind" "$size" "$count" "$inuse" "$mallocs"
done <facts
ok "every size was compared" test "$tests" -gt 80
finish
