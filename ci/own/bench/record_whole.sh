#!/bin/bash
# record_whole.sh BUILD [ROUNDS] - the cost of `reheap record` as a user sees it: whole programs,
# plain, under an interposer that does nothing, under reheap, the same with --later (which writes no
# trace), and under heaptrack, interleaved. The first part of `make bench-record`.
#
#	own CPU		of the program alone, as it says itself
#	all CPU		of all processes, the writing of the trace included
#	wall		from the start until the shell has its prompt back; of a server, of its load
#	finish		events a second of CPU, making the trace of a capture anew (--recover)
#	back after	until reheap record returns, from the program's end
#	peak		resident memory of reheap record, the most that was seen
#
# Medians of the rounds; goal and measured beside each other. CPU time is what to judge by on a
# machine that others use.
set -u
build=$(realpath "${1:-build}")
rounds=${2:-5}
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=ci/own/bench/lib_record.sh
. "$here/lib_record.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
TIMEFORMAT='%R %U %S'
export PYTHONMALLOC=malloc PYTHONHASHSEED=0
${CC:-cc} -O2 -fPIC -shared "$here/noop_interposer.c" -o "$work/noop.so" -ldl || exit 1

cat >"$work/lists.pl" <<'EOF'
use Time::HiRes qw(clock);
my (%by, @all);
for my $i (1 .. 300000) {
	$by{"key" . $i % 5000} = [ $i, "v$i", { x => $i } ];
	push @all, "s" . $i * 7;
	@all = () if @all > 2000;
}
printf "own %.6f\n", clock;
EOF
cat >"$work/lists.py" <<'EOF'
import time
for _ in range(12):
    rows, by = [], {}
    for i in range(20000):
        name = "k%d" % i
        by[name] = [i, name]
        rows.append((i, name + "x"))
    rows = [row for row in rows if row[0] % 3]
    for name in list(by)[::2]:
        del by[name]
print("own %.6f" % time.process_time())
EOF
rows_sql 200000 >"$work/rows.sql"

# under RECORDER COMMAND...: the command as the recorder is used; its own words in said.
under() {
	local recorder=$1
	shift
	case $recorder in
	plain) "$@" ;;
	noop) LD_PRELOAD=$work/noop.so "$@" ;;
	reheap) "$build/reheap" record ${children:+-f} -o "$work/t.rht" -- "$@" 2>"$work/said" ;;
	later)
		rm -f "$work"/t.rht.capture*
		"$build/reheap" record --later ${children:+-f} -o "$work/t.rht" -- "$@" 2>"$work/said"
		;;
	heaptrack)
		heaptrack -o "$work/h" "$@" 2>/dev/null
		rm -f "$work"/h*
		;;
	esac
}

# CPU seconds of redis itself, and its load's seconds on the wall, as one line.
redis() {
	local recorder=$1 port=$((20000 + $$ % 20000)) server began
	(cd "$work" && under "$recorder" redis-server --port $port --save '' --appendonly no \
		--daemonize no >/dev/null) &
	server=$!
	for _ in $(seq 100); do
		redis-cli -p $port ping 2>/dev/null | grep -q PONG && break
		sleep 0.1
	done
	began=$(date +%s.%N)
	redis-benchmark -p $port -n 100000 -r 100000 -d 100 -q -t set,lpush,hset -P 4 \
		>/dev/null 2>&1
	echo "load $(date +%s.%N) $began"
	redis-cli -p $port info cpu | tr -d '\r' |
		awk -F: '/^used_cpu_(sys|user):/ { own += $2 } END { print "own", own }'
	redis-cli -p $port shutdown nosave >/dev/null 2>&1
	wait $server
}

# PostgreSQL refuses to run as root, and a recorder started by root is the harder case.
pg=$(command -v postgres || ls -d /usr/lib/postgresql/*/bin/postgres 2>/dev/null | tail -1)
pg=$(dirname "$(readlink -f "${pg:-/none/postgres}")")
other=()
[ "$(id -u)" != 0 ] || other=(setpriv --reuid=nobody --regid=nogroup --clear-groups)
cluster=$work/cluster

make_cluster() {
	mkdir -p "$cluster" && chmod 711 "$work" || return
	[ ${#other[@]} = 0 ] || chown nobody:nogroup "$cluster" || return
	(cd / && "${other[@]}" "$pg/initdb" -D "$cluster/data" -A trust -N -U bench) >/dev/null || return
	start_cluster plain && "$pg/pgbench" "${to[@]}" -i -q -s 5 postgres >/dev/null 2>&1
	local code=$?
	stop_cluster
	return $code
}

to=(-h "$cluster" -p 5499 -U bench)

start_cluster() {	# RECORDER
	(cd / && children=1 && under "$1" "${other[@]}" "$pg/postgres" -D "$cluster/data" -k "$cluster" \
		-p 5499 -c listen_addresses= -c fsync=off -c autovacuum=off >"$work/server" 2>&1) &
	server=$!
	for _ in $(seq 200); do
		"$pg/pg_isready" -q "${to[@]}" && return
		kill -0 $server 2>/dev/null || break
		sleep 0.1
	done
	echo "PostgreSQL did not start:" >&2
	cat "$work/server" >&2
	return 1
}

stop_cluster() {
	kill -INT "$(head -1 "$cluster/data/postmaster.pid" 2>/dev/null)" 2>/dev/null
	wait $server
	rm -f "$work"/t.*.rht "$work"/t.rht.capture*
}

# CPU seconds of the server and of the children that it waited for: each connection is one. A fixed
# number of transactions that only read.
postgres() {
	local began
	start_cluster "$1" || return
	began=$(date +%s.%N)
	"$pg/pgbench" "${to[@]}" -S -n -c 2 -t 20000 postgres >/dev/null 2>&1
	echo "load $(date +%s.%N) $began"
	sleep 0.2
	sed 's/^.*) //' "/proc/$(head -1 "$cluster/data/postmaster.pid")/stat" |
		awk -v hz="$(getconf CLK_TCK)" '{ print "own", ($12 + $13 + $14 + $15) / hz }'
	stop_cluster
}

run() {		# RECORDER NAME: what the program says on stdout
	case $2 in
	perl) under "$1" perl "$work/lists.pl" ;;
	python) under "$1" "$python" -S "$work/lists.py" ;;
	sqlite) under "$1" sqlite3 :memory: <"$work/rows.sql" ;;
	redis) redis "$1" ;;
	postgres) postgres "$1" ;;
	esac
}

# The most resident memory of a process of ours named reheap, while $1 lives, into peak.
watch() {
	local most=0 now pid
	while kill -0 "$1" 2>/dev/null; do
		for pid in $(pgrep -P "$1" -x reheap) $(pgrep -f "record (-f )?-o $work/t.rht"); do
			now=$(awk '/^VmHWM/ { print $2 }' "/proc/$pid/status" 2>/dev/null)
			[ "${now:-0}" -le $most ] || most=$now
		done
		sleep 0.05
	done
	echo $most >"$work/peak"
}

one() {		# RECORDER NAME -> wall, all CPU, own CPU
	{ time run "$1" "$2" >"$work/out"; } 2>"$work/time"
	cat "$work/time" "$work/out" | awk '
		NR == 1 { wall = $1; all = $2 + $3 }
		$1 == "own" { own = $2 }
		$1 == "load" { wall = $2 - $3 }
		/Run Time/ { for (i = 1; i < NF; i++) if ($i == "user" || $i == "sys") own += $(i + 1) }
		END { print wall, all, own }'
}

# Events a second of CPU from a capture to its trace: the recorder is killed when its program is over.
finish() {	# NAME
	rm -f "$work"/f.rht*
	"$build/reheap" record -q -f -o "$work/f.rht" -- sh -c \
		"$(declare -f run under redis); work=$work; python=$python; run plain $1; sleep 0.5; kill -9 \$PPID" \
		>/dev/null 2>&1
	{ time "$build/reheap" record --recover "$work/f.rht.capture" -o "$work/f.rht" >/dev/null 2>"$work/said"; } \
		2>"$work/time"
	tail -n 1 "$work/time" | cat - "$work/said" | awk 'NR == 1 { cpu = $2 + $3 }
		match($0, /: [0-9]+ events/) { events += substr($0, RSTART + 2) }
		END { if (cpu > 0 && events) printf "%.1f", events / cpu / 1e6 }'
}

table() {	# NAME, on stdin RECORDER wall all own
	awk -v name="$1" -v order="$recorders" -v finish="$2" -v back="$3" -v peak="$4" -v calls="$5" '
		function median(r, column,   i, j, t, n, a) {
			n = count[r]
			for (i = 1; i <= n; i++) a[i] = at[r, i, column]
			for (i = 2; i <= n; i++) for (j = i; j > 1 && a[j - 1] > a[j]; j--) {
				t = a[j]; a[j] = a[j - 1]; a[j - 1] = t
			}
			return n % 2 ? a[(n + 1) / 2] : (a[n / 2] + a[n / 2 + 1]) / 2
		}
		function more(r, column,   base) {
			base = median("plain", column)
			return base > 0 ? sprintf("%+.1f %%", 100 * (median(r, column) / base - 1)) : "absent"
		}
		{ n = ++count[$1]; at[$1, n, 1] = $2; at[$1, n, 2] = $3; at[$1, n, 3] = $4 }
		END {
			own = median("plain", 3)
			rate = own > 0 ? calls / own / 1e6 : 0
			printf "\n%s: %d calls, %.2f M a second of its CPU; plain: wall %.2f s, CPU %.2f s\n", name,
				calls, rate, median("plain", 1), own
			printf "  %-10s %10s %10s %10s\n", "", "own CPU", "all CPU", "wall"
			for (i = split(order, r, " "); i > 0; i--) last = i
			for (i = 2; i in r; i++)
				if (count[r[i]])
					printf "  %-10s %10s %10s %10s\n", r[i], more(r[i], 3), more(r[i], 2),
						more(r[i], 1)
			printf "  %-10s %10s %10s %10s\n", "goal", rate < 1 ? "<= +2 %" : "<= +5 %", "<= +35 %",
				"<= +10 %"
			cost = own > 0 && calls ? (median("reheap", 3) - own) * 1e9 / calls : 0
			printf "  %.1f ns a call of its own CPU (goal 5); finish %s M events/s (goal 10); " \
				"back after %s s (goal 2); peak %.1f MiB (goal 64)\n", cost, finish, back, peak / 1024
		}'
}

recorders='plain noop reheap later'
if command -v heaptrack >/dev/null; then
	recorders="$recorders heaptrack"
else
	echo 'heaptrack: absent, because it is not installed (apt-get install heaptrack)'
fi
python=$(python3 -c 'import sys; print(sys.executable)' 2>/dev/null)
names=${WHOLE:-perl python sqlite redis postgres}
printf 'whole programs: %s rounds, interleaved; CPU: %s, %s of them; load %s\n' "$rounds" \
	"$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)" "$(nproc)" \
	"$(cut -d' ' -f1 /proc/loadavg)"
for name in $names; do
	case $name in
	redis) need=redis-server ;;
	postgres) need=$pg/pgbench ;;
	sqlite) need=sqlite3 ;;
	python) need=${python:-python3} ;;
	*) need=$name ;;
	esac
	if ! command -v "$need" >/dev/null; then
		echo "$name: absent, because $need is not installed"
		continue
	fi
	if [ "$name" = postgres ] && ! make_cluster; then
		echo "$name: absent, because no cluster could be made"
		continue
	fi
	: >"$work/figures"
	run reheap "$name" >/dev/null &
	watch $!
	calls=$(sed -n 's/.*captured \([0-9]*\) calls.*/\1/p' "$work/said")
	back=$(sed -n 's/.*written .*in \([0-9.]*\) s.*/\1/p' "$work/said" | tail -1)
	for ((i = 0; i < rounds; i++)); do
		for recorder in $recorders; do
			# heaptrack follows no children, and that user may not write its files.
			[ "$name/$recorder" != postgres/heaptrack ] || continue
			echo "$recorder $(one "$recorder" "$name")" >>"$work/figures"
		done
	done
	rate=absent
	case $name in redis | postgres) ;; *) rate=$(finish "$name") ;; esac
	table "$name" "${rate:-absent}" "${back:-absent}" "$(cat "$work/peak")" "${calls:-0}" <"$work/figures"
done
