#!/bin/bash
# fuzz.sh [TARGET] [SECONDS] - runs the fuzz targets (fuzz_*.c beside the tests) under libFuzzer
# with ASan and UBSan, each for SECONDS (30), and prints one line for each: runs, edges, findings.
#
# A target is a file FOLDER/test/fuzz_NAME.c; `import` stands for all importers, import-FORMAT for
# one. It starts from FOLDER/test/seeds/TARGET/ (small, in the tree) and what grew in
# build/fuzz/corpus/TARGET on earlier runs, with the words of FOLDER/test/seeds/NAME.dict. A finding
# is kept in build/fuzz/found/TARGET: put it into FOLDER/test/findings/TARGET with the mend, and
# `make test` replays it for ever (ci/own/e2e/findings.sh).
#
# FUZZ_COVERAGE=1 (make fuzz-coverage) replays all these in a build that counts, and prints how much
# of each file that reads they reach: regions are the edges of the control flow, one for each
# straight piece of code. Below 80 % of them anywhere: exit 1. With SECONDS the targets run so long
# first. Without clang: one line, exit 77.
set -u
cd "$(dirname "$0")/../.." || exit 2
only=${1:-}
seconds=${2:-30}
coverage=${FUZZ_COVERAGE:-}
if [ -n "$coverage" ] && [ "${2:-0}" -gt 0 ]; then
	FUZZ_COVERAGE='' "$0" "$only" "$2" || exit
fi
clang=
for name in clang clang-{21,20,19,18,17,16,15,14}; do
	command -v "$name" >/dev/null || continue
	echo 'int LLVMFuzzerTestOneInput(const unsigned char *d, unsigned long n) { return !d && n; }' |
		"$name" -fsanitize=fuzzer,address,undefined -x c - -o /dev/null 2>/dev/null || continue
	clang=$name
	break
done
if [ -z "$clang" ]; then
	echo 'skipped: clang with libFuzzer is not installed (apt-get install clang)'
	exit 77
fi
b=build/fuzz
checks='fuzzer-no-link,address,undefined,float-cast-overflow'
flags="-O1 -g -fno-sanitize-recover=all -fsanitize=$checks -DRH_SANITIZE=\\\"fuzzer\\\""
if [ -n "$coverage" ]; then
	b=build/fuzz-coverage
	flags='-O1 -g -fprofile-instr-generate -fcoverage-mapping'
	profdata=llvm-profdata${clang#clang} cov=llvm-cov${clang#clang}
	if ! command -v "$profdata" "$cov" >/dev/null; then
		echo "skipped: $profdata and $cov are not installed (apt-get install llvm)"
		exit 77
	fi
fi
mkdir -p build/fuzz $b/gen
make -s -j2 NO_DEPS=1 B=$b CC="$clang" CFLAGS="$flags" WARN=-w $b/libreheap.a >$b/build.log 2>&1 ||
	{ tail -n 20 $b/build.log; echo 'the fuzz targets do not build'; exit 1; }

# link KIND SOURCE: the program of a target, once
link() {
	[ ! $b/run-"$1" -nt $b/libreheap.a ] || [ ! $b/run-"$1" -nt "$2" ] || return 0
	local with=(-fsanitize="${checks/-no-link/}" -fno-sanitize-recover=all)
	[ -z "$coverage" ] ||
		with=(-fprofile-instr-generate -fcoverage-mapping ci/own/helpers/fuzz_driver.c)
	$clang -std=c11 -D_GNU_SOURCE -w -O1 -g -pthread -I. -I$b/gen -DRH_FUZZ "$2" "${with[@]}" \
		$b/libreheap.a -o $b/run-"$1" -larchive -ljansson -lsqlite3 -lzstd -lxxhash -lmd -lm -ldl \
		-rdynamic
}

# target NAME SOURCE [IMPORTER]: its run, beside the others', as many as there are CPUs
failed=0
pids=()
target() {
	local name=$1 source=$2 kind=${1%%-*} log=$b/$1.log
	[ -z "$only" ] || [ "$only" = "$name" ] || [ "$only" = "$kind" ] || return 0
	if ! link "$kind" "$source" >"$log" 2>&1; then
		head -n 20 "$log"
		echo "$name does not build"
		failed=1
		return
	fi
	while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do wait -n; done
	run_target "$@" &
	pids+=($!)
}

# Exit 1 when something was found.
run_target() {
	local name=$1 source=$2 importer=${3:-} kind=${1%%-*} log=$b/$1.log runs edges code here
	here=${source%/*}
	mkdir -p "build/fuzz/corpus/$name" "build/fuzz/found/$name"
	local dictionary=() seeds=() folder
	[ ! -e "$here/seeds/$kind.dict" ] || dictionary=("-dict=$here/seeds/$kind.dict")
	for folder in "$here/seeds/$name" "$here/findings/$name"; do
		[ ! -d "$folder" ] || seeds+=("$folder")
	done
	export RH_FUZZ_IMPORTER=$importer UBSAN_OPTIONS=print_stacktrace=1
	if [ -n "$coverage" ]; then
		LLVM_PROFILE_FILE=$b/$name.profraw $b/run-"$kind" "build/fuzz/corpus/$name" "${seeds[@]}" \
			>"$log" 2>&1 || { echo "$name: see $log"; return 1; }
		return 0
	fi
	# Whole results and gates do not fit into 4 KiB, and a part of one is refused.
	local most=4096
	case $kind in result | gate) most=65536 ;; esac
	# A bomb of 16 MiB takes 6 s of CPU before it is refused, and ran into 25 s on a busy machine.
	$b/run-"$kind" -max_total_time="$seconds" -timeout=120 -rss_limit_mb=2048 -max_len=$most \
		-print_final_stats=1 -artifact_prefix="build/fuzz/found/$name/" "${dictionary[@]}" \
		"build/fuzz/corpus/$name" "${seeds[@]}" >"$log" 2>&1
	code=$?
	runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
	edges=$(grep -o 'cov: [0-9]*' "$log" | tail -n 1 | cut -d' ' -f2)
	if [ $code = 0 ]; then
		printf '%-22s %10s runs %7s edges  clean\n' "$name" "${runs:-0}" "${edges:-0}"
	else
		printf '%-22s %10s runs %7s edges  FOUND: see %s\n' "$name" "${runs:-0}" "${edges:-0}" "$log"
		grep -m 3 -E 'ERROR|SUMMARY|runtime error|property broken' "$log"
		return 1
	fi
}
trap 'kill "${pids[@]}" 2>/dev/null' INT TERM

for source in {alloc,traces,harness,plots,ci/gate}/test/fuzz_*.c; do
	name=$(basename "${source#*/fuzz_}" .c)
	if [ "$name" = import ]; then
		for importer in $(sed -n 's/^\t\.name = "\(.*\)",$/\1/p' traces/import/*.c traces/import/go/*.c); do
			# ctf starts babeltrace2 on a folder, and what that prints is lttng's.
			[ "$importer" = ctf ] || target "import-$importer" "$source" "$importer"
		done
	else
		target "$name" "$source"
	fi
done
for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
if [ -n "$coverage" ]; then
	"$profdata" merge -sparse $b/*.profraw -o $b/all.profdata || exit 1
	# What takes bytes that are not trusted; writers and what works on checked data are not asked.
	readers=(traces/import/{[!cf]*,csv}.c traces/import/go
		traces/format/{check,decode,frame,live,map,names,order,read,read_binary,read_text}.c
		traces/format/{repair,repair_calls,text}.c
		traces/record/{recover,merge,merge_row,calls,calls_row}.c
		harness/compile/{compile,events,ids,join,lanes,program,slots,tasks}.c
		harness/probe/callgrind.c harness/result/{fields,json,load}.c
		ci/gate/{history,json_read,policy}.c alloc/base/{opt,variant,wrapping}.c)
	# The first program stands alone, the others behind -object.
	objects=()
	for kind in $b/run-*; do
		objects+=(${objects[0]:+-object} "$kind")
	done
	"$cov" report "${objects[@]}" -instr-profile=$b/all.profdata "${readers[@]}" >$b/report.txt ||
		exit 1
	awk '$1 ~ /\.c$/ {
		low = $4 + 0 < 80
		printf "%-40s %8s of regions %8s of lines %8s of branches%s\n", $1, $4, $10, $13,
			low ? "  LOW" : ""
		files++
		below += low
	}
	END {
		printf "%d of %d files that read: 80 %% of their regions and more\n", files - below, files
		exit below > 0
	}' $b/report.txt || [ -n "$only" ] || failed=1
fi
exit $failed
