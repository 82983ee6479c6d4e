#!/bin/bash
# go.sh - Go traces from end to end: import, replay like any other trace, fidelity, and
# recording where Go is installed.
. "$(dirname "$0")/lib.sh"

corpus=$root/traces/corpus/go
for name in esbuild workers; do
	is_exit 0 "fidelity passes on $name" "$reheap" fidelity "$corpus/$name.rht"
	ok "every object of $name is in its class" \
		grep -q 'objects in their span class .* ok$' "$temp/.out"
done
is_exit 0 "fidelity writes both curves" "$reheap" fidelity --no-oracle --edges --plot curves \
	"$corpus/workers.rht"
ok "one line for each edge" [ "$(wc -l <curves.tsv)" -gt 10 ]
is_exit 0 "a Go trace replays like any other" "$reheap" replay "$corpus/esbuild.rht" \
	--backend tiered/pools,libc/thread --reps 2 -o r.json
is_exit 0 "collections can be the trace's" "$reheap" replay "$corpus/esbuild.rht" \
	--backend tiered:profile=1.26:gc=recorded/pools:profile=1.26 --reps 2 -o s.json

printf 'go 1.22 trace\0\0\0' >old.trace
is_exit 65 "an old trace is refused" "$reheap" import go old.trace -o o.rht
says 'traceallocfree=1' "and says what to set"
printf 'go 1.26 trace\0\0\0\001' >cut.trace
is_exit 65 "a trace without an event is refused" "$reheap" import go cut.trace -o o.rht
ok "and leaves nothing behind" fails test -e o.rht
# Two batches of a made trace: a P, a goroutine and a span; then an object and the cut.
printf 'go 1.26 trace\0\0\0' >made.trace
printf '\1\1\7\144\16\15\1\0\1\31\1\1\7\2\201\1\1\1\30' >>made.trace
printf '\1\1\7\170\11\204\1\1\200\10\0' >>made.trace
is_exit 6 "a trace that is cut off is imported as far as it goes" \
	"$reheap" import go made.trace -o m.rht
says 'made.trace was cut off' "and the error says so"
ok "the account says what is missing" grep -q 'cut off .*dropped' "$temp/.out"
is_exit 0 "the result is a whole trace" "$reheap" info m.rht
is_exit 66 "no service" "$reheap" record-go --pprof http://127.0.0.1:1 -o o.rht
says '127.0.0.1:1' "and says where"

go=$(command -v go || echo /usr/local/go/bin/go)
if [ -x "$go" ] && "$go" version | grep -q -E 'go1\.(2[3-9]|[3-9][0-9])'; then
	mkdir gosrc
	cp -r "$corpus"/go.mod "$corpus"/workers gosrc/
	export GOCACHE=$temp/cache GOTOOLCHAIN=local GOFLAGS=-mod=mod
	(cd gosrc && "$go" build -o ../workers-bin ./workers)
	is_exit 0 "record-go finds the trace that a program writes" \
		"$reheap" record-go -o w.rht -- ./workers-bin w.trace 500
	# Which edges are within 2 % hangs on this very run; the classes do not.
	"$reheap" fidelity --no-oracle w.rht >f.txt
	ok "and every object of it is in its class" \
		grep -q 'objects in their span class .* ok$' f.txt
	cat >service.go <<'GO'
package main

import (
	"net/http"
	_ "net/http/pprof"
	"os"
	"time"
)

var kept [64][]byte

func main() {
	go func() {
		for i := 0; ; i++ {
			kept[i%64] = make([]byte, i%4000)
			time.Sleep(time.Microsecond)
		}
	}()
	go func() { time.Sleep(30 * time.Second); os.Exit(0) }()
	http.ListenAndServe(os.Args[1], nil)
}
GO
	"$go" build -o service service.go
	port=$((20000 + $$ % 20000))
	GODEBUG=traceallocfree=1 ./service 127.0.0.1:$port &
	service=$!
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		(exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break
		sleep 0.3
	done
	is_exit 0 "record-go records a running service" \
		"$reheap" record-go --pprof http://127.0.0.1:$port --seconds 1 -o s.rht
	ok "with its allocations" "$reheap" info s.rht
	kill $service 2>/dev/null
	wait $service 2>/dev/null
else
	skip "record-go" "Go 1.23 or later is not on PATH"
fi
finish
