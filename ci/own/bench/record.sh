#!/bin/sh
# record.sh BUILD [ROUNDS] - what recording costs: plain, a no-op interposer, reheap and
# heaptrack, one after the other in every round, so that a noisy neighbour hits all alike.
# NAMES="loop python" in the environment takes only these programs. Whole programs, as a user feels
# them, come first (record_whole.sh); NAMES leaves them out. `-new` are the loops in C++ new and delete
# on jemalloc. Goals: 5 ns of CPU a call on one thread, 10 on several.
#
# Every program times itself: start-up and the writing of traces are not in the figures.
# Prints medians over the rounds, and the ns that each recorder adds to a call: on the wall
# and in CPU time of the program, by the medians and by the least of the rounds. CPU time is
# what the program pays; the wall has waits too for a recorder that finds no CPU of its own,
# so on a machine that others use only its least means something. `exact` is reheap with
# --sample 1, a clock read at every call. heaptrack is as Debian's runs by default, ht-raw
# with its interpretation put off to later.
set -eu
build=${1:-build}
rounds=${2:-7}
here=$(dirname "$0")
# shellcheck source=ci/own/bench/lib_record.sh
. "$here/lib_record.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
${CC:-cc} -O2 -fPIC -shared "$here/noop_interposer.c" -o "$work/noop.so" -ldl
[ -n "${NAMES:-}" ] || "$here/record_whole.sh" "$build" "$rounds"
make --no-print-directory -s "$build/helpers/malloc_loop" B="$build" NO_DEPS=1 >/dev/null
jemalloc=$(ldconfig -p | sed -n 's/.*libjemalloc\.so\.2.*=> //p' | head -1)
cat > "$work/new.cc" <<'EOF'
#include <new>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#define malloc ::operator new
#define free   ::operator delete
EOF
cat "$here/../helpers/malloc_loop.c" >> "$work/new.cc"
if [ -n "$jemalloc" ] && ${CXX:-c++} -O2 -fno-builtin -o "$work/new_loop" "$work/new.cc" "$jemalloc" \
	-lpthread 2>/dev/null; then
	news="loop-new threads-new"
else
	echo "C++ new on jemalloc: absent, because there is no libjemalloc.so.2 or no C++ compiler"
	news=
fi

cat > "$work/lists.pl" <<'EOF'
use Time::HiRes qw(time clock);
my ($began, $cpu) = (time, clock);
for my $round (1 .. 2) {
	my (%by, @all);
	for my $i (1 .. 40000) {
		my $row = { id => $i, name => "row $i" };
		$by{$row->{name}} = $row;
		push @all, [ $i, "x" x ($i % 200) ];
	}
	delete $by{"row $_"} for grep { $_ % 2 } 1 .. 40000;
	@all = sort { $a->[1] cmp $b->[1] } @all;
}
printf "seconds %.6f %.6f\n", time - $began, clock - $cpu;
EOF
rows_sql 60000 >"$work/rows.sql"

cat > "$work/lists.py" <<'EOF'
import time
began, cpu = time.perf_counter(), time.process_time()
for _ in range(8):
    rows, by = [], {}
    for i in range(20000):
        name = "k%d" % i
        by[name] = [i, name]
        rows.append((i, name + "x"))
    rows = [row for row in rows if row[0] % 3]
    for name in list(by)[::2]:
        del by[name]
print("seconds %.6f %.6f" % (time.perf_counter() - began, time.process_time() - cpu))
EOF

loop() { echo "$build/helpers/malloc_loop $1 $2"; }
program() {	# NAME -> the command
	case $1 in
	loop) loop 10000000 1 ;;
	threads) loop 10000000 2 ;;
	loop-new) echo "$work/new_loop 10000000 1" ;;
	threads-new) echo "$work/new_loop 10000000 2" ;;
	perl) echo "perl $work/lists.pl" ;;
	python) echo "$python -S $work/lists.py" ;;
	sqlite) echo "sqlite3 :memory:" ;;
	esac
}
seconds() {	# on stdin what the program printed -> wall and CPU seconds
	awk '/^seconds/ { print $2, $3 }
		/Run Time/ { for (i = 1; i < NF; i++) {
				if ($i == "real") wall += $(i + 1)
				if ($i == "user" || $i == "sys") cpu += $(i + 1)
			} timed = 1 }
		END { if (timed) print wall, cpu }'
}

input() { if [ "$1" = sqlite ]; then echo "$work/rows.sql"; else echo /dev/null; fi; }

run() {		# RECORDER NAME -> seconds
	set -- "$1" "$2" "$(program "$2")"
	case $1 in
	plain) $3 < "$(input "$2")" ;;
	noop) LD_PRELOAD=$work/noop.so $3 < "$(input "$2")" ;;
	reheap) "$build/reheap" record -q -o "$work/t.rht" -- $3 < "$(input "$2")" ;;
	exact) "$build/reheap" record -q --sample 1 -o "$work/t.rht" -- $3 < "$(input "$2")" ;;
	heaptrack) heaptrack -o "$work/h" $3 < "$(input "$2")" 2>/dev/null || true
		rm -f "$work"/h* ;;
	ht-raw) heaptrack --raw -o "$work/h" $3 < "$(input "$2")" 2>/dev/null || true
		rm -f "$work"/h* ;;
	esac | seconds
}

recorders="plain noop reheap exact"
if command -v heaptrack >/dev/null; then
	recorders="$recorders heaptrack ht-raw"
else
	echo "heaptrack: absent (apt-get install heaptrack), no comparison"
fi
names=${NAMES:-loop threads $news}
# Without this python takes blocks up to 512 bytes from arenas of its own.
export PYTHONMALLOC=malloc PYTHONHASHSEED=0
if python=$(python3 -c 'import sys; print(sys.executable)' 2>/dev/null) && [ -z "${NAMES:-}" ]; then
	names="$names python"
fi
if [ -z "${NAMES:-}" ]; then
	command -v perl >/dev/null && names="$names perl"
	command -v sqlite3 >/dev/null && names="$names sqlite"
fi

printf '%s rounds, interleaved; CPU: %s, %s of them; load %s\n' "$rounds" \
	"$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)" "$(nproc)" \
	"$(cut -d' ' -f1 /proc/loadavg)"
for name in $names; do
	"$build/reheap" record -o "$work/t.rht" -- $(program $name) < "$(input $name)" \
		>/dev/null 2> "$work/summary"
	calls=$(sed -n 's/.*captured \([0-9]*\) calls.*/\1/p' "$work/summary")
	i=0
	: > "$work/figures"
	while [ $i -lt "$rounds" ]; do
		for recorder in $recorders; do
			echo "$recorder $(run $recorder $name)" >> "$work/figures"
		done
		i=$((i + 1))
	done
	echo
	echo "$name: $calls calls; $(grep -o '[0-9.]* bytes each' "$work/summary") raw;" \
		"$(grep -o 'written .*' "$work/summary" | head -1)"
	awk -v calls="$calls" -v order="$recorders" '
		function sorted(a, n,   i, j, t) {	# insertion sort
			for (i = 2; i <= n; i++)
				for (j = i; j > 1 && a[j - 1] > a[j]; j--) {
					t = a[j]; a[j] = a[j - 1]; a[j - 1] = t
				}
		}
		function summary(r, column,   i, a) {
			for (i = 1; i <= n[r]; i++) a[i] = at[r, i, column]
			sorted(a, n[r])
			least = a[1]; most = a[n[r]]
			return n[r] % 2 ? a[(n[r] + 1) / 2] : (a[n[r] / 2] + a[n[r] / 2 + 1]) / 2
		}
		function each(seconds) { return seconds * 1e9 / calls }
		function times(theirs, ours) {
			return ours > 0 ? sprintf("%.1f", theirs / ours) : "(ours is nothing here)"
		}
		NF == 3 { n[$1]++; at[$1, n[$1], 1] = $2; at[$1, n[$1], 2] = $3 }
		END {
			if (!n["plain"]) { print "  absent: the plain program did not finish"; exit }
			split(order, list, " ")
			plain = summary("plain", 1); plain_cpu = summary("plain", 2)
			printf "  %-10s %9s %17s %7s %9s %9s %9s %9s %9s\n", "", "wall s",
				"[min - max]", "ratio", "CPU s", "ns wall", "(least)", "ns CPU",
				"(least)"
			for (i = 1; i in list; i++) {
				r = list[i]
				if (!n[r]) { printf "  %-10s absent: it did not finish\n", r; continue }
				cpu = summary(r, 2); least_cpu[r] = least
				wall = summary(r, 1); least_wall[r] = least
				printf "  %-10s %9.4f [%.4f - %.4f] %7.3f %9.4f %9.1f %9.1f %9.1f %9.1f\n",
					r, wall, least, most, wall / plain, cpu,
					each(wall - plain), each(least - least_wall["plain"]),
					each(cpu - plain_cpu), each(least_cpu[r] - least_cpu["plain"])
				cost[r] = cpu - plain_cpu
				wall_cost[r] = wall - plain
			}
			if (!("heaptrack" in cost)) exit
			printf "  slow-down of heaptrack / of reheap: in CPU %s, by the least %s; " \
				"on the wall %s, by the least %s\n",
				times(cost["heaptrack"], cost["reheap"]),
				times(least_cpu["heaptrack"] - least_cpu["plain"],
					least_cpu["reheap"] - least_cpu["plain"]),
				times(wall_cost["heaptrack"], wall_cost["reheap"]),
				times(least_wall["heaptrack"] - least_wall["plain"],
					least_wall["reheap"] - least_wall["plain"])
		}' "$work/figures"
done
