#!/bin/bash
# The fault matrix: the n-th malloc, open, write, fsync, rename, mmap, fork and pipe of a command
# fails, for each n until the command does not come that far. Each time it must end by itself with
# a known exit code and at most a few lines, leave its output whole or as it was, and no process.
#
# `make test` takes steps through n that grow, and figures are drawn without gnuplot, so that it ends
# within a minute; with REHEAP_FAULTS=whole (make faults) n reaches every call. REHEAP_FAULTS_OF=
# "doctor matrix" tries these alone.
# shellcheck source=ci/own/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

preload=$build/helpers/faults.so
[ -e "$preload" ] || skip_all "there is no $preload (make tests builds it)"
[ "$("$reheap" --version >/dev/null; echo $?)" = 0 ] || skip_all 'reheap does not run'
if ldd "$reheap" | grep -q -E 'lib(a|t|ub)san'; then
	skip_all 'a sanitizer has malloc and would be counted'
fi

"$reheap" gen churn -o t.rht events=3000 lanes=2 >/dev/null 2>&1
"$reheap" replay t.rht --backend libc --reps 1 -o r.json >/dev/null 2>&1
printf '1: malloc 0x10 8\n1: malloc 0x20 64\n2: free 0x10\n' >log
ok 'there is what the commands need' test -s t.rht -a -s r.json

whole=
[ "${REHEAP_FAULTS:-}" != whole ] || whole=1

# next N: the call to fail after the N-th
next() {
	if [ -n "$whole" ]; then
		echo $(($1 + 1))
	else
		echo $(($1 * 5 / 2 + 1))
	fi
}

# said FILE: an error is at least one line and at most a few
said() {
	[ -s "$1" ] && [ "$(grep -v -c '^reheap [a-z]*: no ' "$1")" -le 12 ]
}

# whole_output FILE: the failure came after the file was put in place, and it is whole
whole_output() {
	case $1 in
	*.rht) "$reheap" info "$1" >/dev/null 2>&1 ;;
	*.json) tail -c 3 "$1" | grep -q '}' ;;
	*.html) tail -c 20 "$1" | grep -q '</html>' ;;
	*) test -s "$1" ;;
	esac
}

# half_made: documents below out that are incomplete
half_made() {
	find out -mindepth 2 -name '*.json' | while read -r file; do
		whole_output "$file" || echo "$file"
	done
}

# matrix NAME OUTPUT KINDS -- WORDS: all of it for one command
matrix() {
	local name=$1 output=$2 kinds=$3 kind n code bad tried=0 with
	case " ${REHEAP_FAULTS_OF:-$name} " in *" $name "*) ;; *) return ;; esac
	shift 4
	bad=
	# A command that ends before it begins would survive everything.
	rm -rf out
	mkdir out
	"$reheap" "$@" >.fault.out 2>.fault.err </dev/null || [ $? -lt 64 ] || bad=" $(head -n 1 .fault.err)"
	for kind in $kinds; do
		# gnuplot takes a second, and 2,500 calls of malloc do not need it.
		with=("PATH=$temp")
		[ -z "$whole" ] || [ "$kind" = malloc ] || with=()
		n=1
		while :; do
			rm -rf seen out
			mkdir out
			echo precious >"out/$output"
			timeout -k 5 60 env REHEAP_FAULT="$kind $n" REHEAP_FAULT_SEEN="$temp/seen" \
				LD_PRELOAD="$preload" "${with[@]}" "$reheap" "$@" >.fault.out 2>.fault.err </dev/null
			code=$?
			tried=$((tried + 1))
			case $code in
			0 | 1 | 2 | 3 | 4 | 5 | 6 | 65 | 66 | 69 | 71 | 73 | 74) ;;
			126) [ "$1" = record ] || bad="$bad $kind:$n=exit$code" ;; # of a program that did not start
			*) bad="$bad $kind:$n=exit$code" ;;
			esac
			# A failed command says why, and leaves the output as it was.
			if [ $code -ge 65 ]; then
				said .fault.err || bad="$bad $kind:$n=unsaid"
				grep -q precious "out/$output" || whole_output "out/$output" ||
					bad="$bad $kind:$n=output"
			fi
			[ "$(find out -name '*.tmp' -o -name '*.part' | wc -l)" = 0 ] || bad="$bad $kind:$n=tmp"
			[ -z "$(half_made)" ] || bad="$bad $kind:$n=half"
			[ -e seen ] || break
			n=$(next $n)
		done
	done
	if pgrep -f "$temp/out" >/dev/null; then
		bad="$bad process"
	fi
	ok "$name: $tried runs survived" test -z "$bad"
	[ -z "$bad" ] || echo "# $bad" | cut -c 1-400
}

all='malloc open write fsync rename mmap fork pipe'
matrix info x "$all" -- info t.rht
matrix import o.rht "$all" -- import log -o out/o.rht
matrix gen o.rht "$all" -- gen churn -o out/o.rht events=2000
matrix cut o.rht "$all" -- cut --first 100 t.rht -o out/o.rht
matrix export o.txt "$all" -- export text t.rht -o out/o.txt
matrix replay o.json "$all" -- replay t.rht --backend libc --reps 1 -o out/o.json
matrix plot report.html "$all" -- plot r.json -o out
matrix compare x "$all" -- compare r.json r.json
matrix gate o.json "$all" -- gate t.rht --baseline libc --candidate libc --pairs 6 --pairs-min 6 -o out/o.json
matrix record o.rht "$all" -- record -o out/o.rht -- /bin/true
matrix history h.db "$all" -- history add r.json --db out/h.db
# These call glob(3): see ci/own/helpers/faults.c.
export REHEAP_FAULT_OWN=1
matrix list x "$all" -- list backends
matrix doctor x "$all" -- doctor
cat >plan.json <<END
{ "schema": "reheap.plan/1", "traces": ["t.rht"], "backends": ["bump"], "aa": 0,
  "runs": [{ "kind": "timing", "lanes": "1", "reps": 1, "probes": "time" }] }
END
matrix matrix x "$all" -- matrix plan.json -o out/m
finish
