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

is_exit 0 "profiles can be listed" "$reheap" list profiles
says_out() { grep -q -- "$1" "$temp/.out"; }
ok "its columns are named before them" bash -c 'head -n 1 "$1" | grep -q "differs from the row above"' sh "$temp/.out"
ok "with every version that behaves differently" [ "$(grep -c '^  1\.' "$temp/.out")" -ge 26 ]
is_exit 0 "a version without a row runs as the nearest" "$reheap" replay "$corpus/esbuild.rht" \
	--backend tiered:profile=1.27 --reps 1
says '1.26 stands for it' "and says so"
is_exit 2 "fidelity refuses what is no version" "$reheap" fidelity --profile abc "$corpus/esbuild.rht"
says "is no version of Go" "and says that it is the name"
is_exit 0 "whatif answers for a recorded program" "$reheap" whatif --gogc 50,100,off \
	--memlimit off,16M --plot tradeoff "$corpus/nats.rht"
ok "the model is checked against the recording first" says_out 'model at this setting'
ok "one row for each setting" [ "$(grep -c -E '^ +(50|100|off) +(off|16M)' "$temp/.out")" = 6 ]
ok "and in the data of the figure" [ "$(wc -l <tradeoff.tsv)" = 7 ]
is_exit 0 "the answers are a document, too" "$reheap" whatif --gogc 50,off --memlimit off,1M \
	-o w.json "$corpus/nats.rht"
ok "beside the table" says_out 'model at this setting'
is_exit 0 "or instead of it" "$reheap" whatif --gogc 50,off --memlimit off,1M --json "$corpus/nats.rht"
ok "both the same" cmp w.json "$temp/.out"
if command -v jq >/dev/null; then
	ok "off is null, and a limit below the live bytes is reported" [ "$(jq -c \
		'[.schema, .recorded.gogc, (.answers | length), .answers[1].gogc, .answers[1].collections, .answers[2].over_limit]' \
		w.json)" = '["reheap.whatif/1",100,4,null,0,true]' ]
else
	skip "what the document holds" "jq is not installed"
fi
"$reheap" list schema-whatif >whatif.schema.json
ok "it has a schema" grep -q '"const": "reheap.whatif/1"\|reheap.whatif/1' whatif.schema.json
is_exit 2 "a setting that is none is refused" "$reheap" whatif --gogc 50,x "$corpus/nats.rht"
is_exit 65 "a trace of another program is refused" "$reheap" whatif "$root/traces/corpus/redis.rht"
# path VERSION STEP: the tiers that a step of the tour passed
path() {
	"$reheap" tour --profile "$1" | awk -v n="$2." '$1 == n { on = 1 } on && $1 == "path" {
		sub(/^ *path */, ""); print; on = 0 }'
}
is_path() { # VERSION STEP PATH
	ok "tour of $1, step $2: $3" [ "$(path "$1" "$2")" = "$3" ]
}
is_exit 0 "tour walks through a version" "$reheap" tour --profile 1.8
ok "with the guard of that version" says_out 'guard, 880 bytes'
ok "growth copies and adjusts pointers" says_out 'copy.pointers_adjusted *0 -> [1-9]'
ok "large objects are in busy[] and busylarge" says_out 'mheap.busylarge  *0 -> 1'
ok "what remains of a split span is in free[]" says_out 'mheap.free.112.  *0 -> 1'
ok "spans are in mcentral's lists" says_out 'mcentral.class03.32..empty  *0 -> 1'
ok "the number in a list's name is told" says_out 'class 2, objects of 16 bytes'
ok "a goroutine that ends with a large stack gives it back in the same step" \
	[ "$(awk '/^11\. .* it ends/ { on = 1 } /^12\./ { on = 0 } on && /spans.freed/' "$temp/.out" | wc -l)" = 1 ]
is_path 1.8 1 'mcache.tiny -> mcache.alloc -> mcentral -> mheap -> arena'
is_path 1.8 2 'mcache.tiny'
is_path 1.8 3 'mcache.alloc -> mcentral -> mheap'
is_path 1.8 4 'mcache.alloc'
is_path 1.8 6 'mheap'
is_path 1.8 7 'mheap -> arena'
is_path 1.8 8 'stackcache -> stackpool -> mheap'
is_path 1.8 9 'stackcache'
is_path 1.8 10 gfree
is_path 1.8 11 'stackLarge -> mheap'
is_path 1.4 11 'mheap'
is_path 1.8 14 'none: no memory was asked for'
is_exit 0 "from 1.9 on" "$reheap" tour --profile 1.9
ok "pointers have lists of their own" says_out 'mcentral.class03.32.scan..empty  *0 -> 1'
is_path 1.17 1 'mcache.tiny -> mcache.alloc -> mcentral -> pagecache -> mheap -> arena'
is_path 1.17 3 'mcache.alloc -> mcentral -> pagecache -> mheap'
is_path 1.17 6 'pagecache'
is_path 1.17 7 'mheap'
is_path 1.17 8 'stackcache -> stackpool -> pagecache'
is_path 1.17 11 'stackLarge -> pagecache'
is_exit 0 "a tour can be drawn" "$reheap" tour --profile 1.17 --plot tour
ok "a row for each step, as printed" [ "$(wc -l <tour.tsv)" = "$(($(grep -c '^ *[0-9]*\. ' "$temp/.out") + 1))" ]
# The tiers of step 8, by the names above them, as the text has them.
ok "with the same tiers" [ "$(awk -F'\t' 'NR == 1 { for (i = 9; i <= NF; i++) name[i] = $i }
	$1 == 8 { for (i = 9; i <= NF; i++) if ($i) printf "%s%s", sep++ ? " -> " : "", name[i] }' tour.tsv)" = \
	'stackcache -> stackpool -> pagecache' ]
is_exit 0 "and through the newest" "$reheap" tour --profile 1.26
ok "with its guard" says_out 'guard, 928 bytes'
is_exit 2 "a version that is none is refused" "$reheap" tour --profile x
cases=$shared/cases/go
if [ -r "$cases/large-126.rht" ]; then
	is_exit 0 "large objects in flight: fidelity passes" "$reheap" fidelity --no-oracle \
		"$cases/large-126.rht"
	gunzip -c "$cases/flight1.out.gz" >flight.out
	is_exit 0 "a flight recorder's snapshot is imported" "$reheap" import go flight.out -o f.rht
	ok "with what it is not suited for" says_out 'not suited for'
	is_exit 3 "and fidelity cannot tell" "$reheap" fidelity f.rht
	gunzip -c "$cases/m99.out.gz" >m99.out
	is_exit 6 "a cut trace is imported" "$reheap" import go m99.out -o m99.rht
	ok "up to its first gap" says_out 'after_first_gap_of_cut'
else
	skip "cases of Go" "they are not here"
fi

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
# Cut at twenty places: a trace or a refusal, as documented, and nothing that the whole did not have.
objects_in() {
	"$reheap" info "$1" >info.txt && awk '$1 == "alloc" { print $2; exit }' info.txt
}
cut_everywhere() { # TRACE
	local bytes whole code i some
	bytes=$(stat -c %s "$1")
	"$reheap" import go "$1" -o whole.rht >/dev/null 2>&1
	whole=$(objects_in whole.rht)
	[ -n "$whole" ] || return 1
	for i in $(seq 1 20); do
		head -c $((bytes * i / 21 + i)) "$1" >part.trace
		rm -f part.rht
		code=0
		"$reheap" import go part.trace -o part.rht >/dev/null 2>&1 || code=$?
		case $code in
		0 | 6) some=$(objects_in part.rht) && [ "${some:-0}" -le "$whole" ] || return 1 ;;
		65) [ ! -e part.rht ] || return 1 ;;
		*) return 1 ;;
		esac
	done
}
ok "a trace cut at twenty places invents nothing" cut_everywhere \
	"$root/traces/test/seeds/import-go/c1dd427b0e34f3a3886ca1e08fe5e8fb9b185e11"
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
	ok "nor does this one, wherever it is cut" cut_everywhere w.trace
	is_exit 0 "the environment it ran in is noted" env GOGC=50 GOMEMLIMIT=64MiB \
		"$reheap" record-go -o e.rht --trace-file e.trace -- ./workers-bin e.trace 8000
	"$reheap" whatif e.rht >e.txt
	ok "and is the setting to meet" grep -q 'GOGC=50 (by its environment), GOMEMLIMIT=64M' e.txt
	# Which edges are within 2 % depends on this run; the classes do not.
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
