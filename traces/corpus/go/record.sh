#!/bin/bash
# record.sh [OUT_DIR] - records the Go traces of the corpus again; needs Go 1.23 or later and
# network access for the two programs from the Go module proxy.
#
#	jsonapi    a JSON API over HTTP under load        (jsonapi/)
#	parser     go/parser and gofmt over packages      (parser/)
#	workers    stages of goroutines and channels      (workers/)
#	recursion  stacks that grow and shrink            (recursion/)
#	esbuild    the bundler, on the sources of its own JavaScript side
#	nats       nats-server under load from natsload/, recorded from outside through pprof
#
# REHEAP names the reheap to use (build/reheap of this tree). Sizes and times are chosen so
# that all six stay below 6 MB; other machines record other numbers of events.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=$(realpath "${1:-$here}")
reheap=$(realpath "${REHEAP:-$here/../../../build/reheap}")
command -v go >/dev/null || { echo "go is not on PATH: install Go 1.23 or later" >&2; exit 77; }
esbuild=v0.25.5
nats_server=v2.10.29
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null; rm -rf "$work"' EXIT
cp -r "$here"/go.mod "$here"/*/ "$work"
cd "$work"

record() { # NAME PROGRAM TRACE ARGS...
	local name=$1
	shift
	"$reheap" record-go -o "$out/$name.rht" --level 19 --trace-file "$work/$name.trace" -- "$@"
}

for program in jsonapi parser workers recursion; do
	go build -o "$work/bin/$program" "./$program"
done
src=$(go env GOROOT)/src
record jsonapi "$work/bin/jsonapi" "$work/jsonapi.trace" 0.4
record parser "$work/bin/parser" "$work/parser.trace" 1 "$src/go/ast" "$src/net/textproto" \
	"$src/encoding/json" "$src/strings" "$src/sort"
record workers "$work/bin/workers" "$work/workers.trace" 12000
record recursion "$work/bin/recursion" "$work/recursion.trace" 8

GOBIN=$work/bin go install "github.com/evanw/esbuild/cmd/esbuild@$esbuild"
lib=$(go env GOMODCACHE)/github.com/evanw/esbuild@$esbuild
record esbuild "$work/bin/esbuild" "--trace=$work/esbuild.trace" --bundle --platform=node \
	--define:ESBUILD_VERSION='"0"' --define:WASM=false --external:esbuild --minify --sourcemap \
	--outdir="$work/js" "$lib/lib/npm/node.ts" "$lib/lib/npm/browser.ts" --log-level=error

GOBIN=$work/bin go install "github.com/nats-io/nats-server/v2@$nats_server"
go get github.com/nats-io/nats.go@v1.39.1 >/dev/null 2>&1
go build -o "$work/bin/natsload" ./natsload
GODEBUG=traceallocfree=1 "$work/bin/nats-server" --addr 127.0.0.1 --port 14222 --profile 16222 \
	>"$work/nats.log" 2>&1 &
server=$!
sleep 1
"$work/bin/natsload" nats://127.0.0.1:14222 4 &
load=$!
sleep 0.5
"$reheap" record-go -o "$out/nats.rht" --level 19 --pprof http://127.0.0.1:16222 --seconds 1
wait $load
ls -l "$out"/*.rht
