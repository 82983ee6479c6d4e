#!/bin/bash
# truth.sh BUILD [NAME...] - does a replay predict the real program? Programs of Debian packages
# doing real work, each validated (reheap validate) under every installed allocator; then the goals:
# the sign of each significant change of CPU time right and its size within a third, peak memory
# within 10 % or 1 MiB in 90 % of cells. A program that is not installed is skipped, naming its
# package. With INSTRUCTIONS=1 each runs once more under callgrind, also the whole replay (slow, and
# exact on a loaded machine): the change within 5 % of the heap's own instructions in 90 % of cells,
# in calls of the allocator, where the program's own scatter is not, and beside it of the whole
# program. User time in the allocator's own code is sampled on both sides: what changes elsewhere is
# the program's own and is counted apart. REPS= rounds (6) at least, and more within BUDGET= (90s; 0: none)
# for each program while they are expected to bring a verdict; BACKENDS= allocators; OUT= where the tables
# and results are kept.
#
# It can be stopped and called again: results in OUT with the same settings are not run again,
# unless AGAIN=1. HALF=tune or HALF=report runs and counts half of the programs, by a hash of their
# names: a model is changed on the former and reported on the latter. The tables as Markdown go to
# OUT/table.md; WRITE=1 puts them between the marks in README.md, and with KEEP=1 rows of programs that
# did not run now stay there, marked. COUNTS= another OUT that was made
# with INSTRUCTIONS=1: its instructions stand in the table beside what was timed, for counts need no
# quiet machine and times do.
set -u
build=$(realpath "${1:-build}")
[ $# -eq 0 ] || shift
reheap=$build/reheap
all="redis memcached sqlite python perl git cc1plus ruby php lua gawk jq zstd make node mawk bc tcl bash"
work=$(mktemp -d)
out=${OUT:-$build/truth}
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
mkdir -p "$out" || exit 1
port=${PORT:-17390}
budget=${BUDGET:-90s}
python=/usr/bin/python3
cc1plus=$(ls /usr/lib/gcc/*/*/cc1plus 2>/dev/null | tail -n 1)

# need PROGRAM PACKAGE
need() {
	[ -n "$1" ] && type -P "$1" >/dev/null && return 0
	echo "$name: skipped, $2 is not installed (apt-get install $2)"
	return 1
}

# The half a name belongs to.
half_of() {
	[ $(($(printf '%s' "$1" | cksum | cut -d ' ' -f 1) % 2)) -eq 0 ] && echo tune || echo report
}

validate() {
	local began=$SECONDS code
	"$reheap" validate -q --reps "${REPS:-6}" --budget "$budget" ${BACKENDS:+--backend "$BACKENDS"} \
		${INSTRUCTIONS:+--instructions} -o "$out/$name.json" "$@" \
		>"$work/$name.txt" 2>"$work/err"
	code=$?
	if [ $code -gt 1 ] || ! grep -q '^change of' "$work/$name.txt"; then
		echo "$name: not validated: $(tail -n 1 "$work/err")"
		return
	fi
	mv "$work/$name.txt" "$out/$name.txt"
	echo "$name: $(sed -n 2p "$out/$name.txt") ($((SECONDS - began)) s)"
}

redis() {
	need redis-server redis-server || return
	validate --driver "until redis-cli -p $port ping >/dev/null 2>&1; do sleep 0.05; done
		redis-benchmark -p $port -q -n 30000 -r 50000 -P 8 -d 40 \\
			-t set,lpush,hset,sadd,get,lpop,spop >/dev/null" \
		-- redis-server --port $port --bind 127.0.0.1 --save '' --appendonly no
}
memcached() {
	need memcached memcached || return
	cat >"$work/load.pl" <<'END'
use IO::Socket::INET;
my $s;
until ($s = IO::Socket::INET->new("127.0.0.1:$ARGV[0]")) { select undef, undef, undef, 0.05 }
srand 1;
for my $i (1 .. 200000) {
	my $n = 10 + int rand 900;
	print $s "set k" . ($i % 50000) . " 0 0 $n noreply\r\n" . "x" x $n . "\r\n";
}
print $s "version\r\n";
$s->flush;
scalar <$s>;
END
	validate --driver "perl $work/load.pl $port" \
		-- memcached -p $port -l 127.0.0.1 -U 0 -m 256 -u "$(id -un)" -t 1
}
sqlite() {
	need sqlite3 sqlite3 || return
	cat >"$work/load.sql" <<'END'
create table t(a integer primary key, b text, c real);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 150000)
insert into t select i, hex(i * 7919) || 'abcdefgh', i * 0.5 from n;
create index tb on t(b);
select count(*), sum(c) from t where b like '%A%';
select substr(b, 1, 3) k, count(*), group_concat(a) from t group by k order by 2 desc limit 5;
END
	validate -- sqlite3 -bail :memory: ".read $work/load.sql"
}
python() {
	need $python python3 || return
	cat >"$work/load.py" <<'END'
import json
rows = [{"id": i, "name": "n%d" % i, "tags": [str(j) for j in range(i % 7)]} for i in range(60000)]
text = json.dumps(rows)
back = json.loads(text)
d = {}
for r in back:
    d.setdefault(len(r["tags"]), []).append(r["name"].upper())
print(sum(len(v) for v in d.values()))
END
	PYTHONMALLOC=malloc validate -- $python "$work/load.py"
}
perl() {
	need perl perl || return
	validate -- perl -e 'my %h;
		for my $i (1 .. 300000) { push @{$h{$i % 5000}}, "value $i" x (1 + $i % 3) }
		my $n = 0; $n += length join ",", map { uc } sort @$_ for values %h;'
}
git() {
	need git git || return
	local root
	root=${REPOSITORY:-$(cd "$(dirname "$0")/../../.." && pwd)}
	if ! command git -C "$root" rev-parse HEAD >/dev/null 2>&1; then
		echo "$name: skipped, no repository here"
		return
	fi
	validate -- git -C "$root" log --stat --no-ext-diff
}
cc1plus() {
	need "$cc1plus" g++ || return
	printf '#include <map>\n#include <regex>\n#include <string>\n%s\n' \
		'int main() { std::map<std::string, int> m; return std::regex_match("a", std::regex("[a-z]")) + (int)m.size(); }' >"$work/x.cc"
	g++ -E "$work/x.cc" -o "$work/x.ii" || return
	validate -- "$cc1plus" -fpreprocessed -quiet -O1 "$work/x.ii" -o /dev/null
}
ruby() {
	need ruby ruby || return
	validate -- ruby -e 'h = {}; 250000.times { |i| (h[i % 3000] ||= []) << "value #{i} " * 4 }
		n = 0; h.each_value { |v| n += v.sort.join(",").size }'
}
php() {
	need php php-cli || return
	USE_ZEND_ALLOC=0 validate -- php -n -r '$h = []; for ($i = 0; $i < 400000; $i++) $h[$i % 4000][] = "value $i " . str_repeat("x", $i % 50);
		$n = 0; foreach ($h as $v) { sort($v); $n += strlen(implode(",", $v)); }'
}
lua() {
	need lua5.4 lua5.4 || return
	validate -- lua5.4 -e 'local t = {} for i = 1, 600000 do local k = i % 5000; t[k] = t[k] or {}; local v = t[k]; v[#v + 1] = "value " .. i end
		local n = 0 for _, v in pairs(t) do table.sort(v) n = n + #table.concat(v, ",") end'
}
gawk() {
	need gawk gawk || return
	validate -- gawk 'BEGIN { for (i = 0; i < 600000; i++) a[i % 200000] = a[i % 200000] "value " i
		for (k in a) n += length(toupper(a[k])) }'
}
jq() {
	need jq jq || return
	awk 'BEGIN { for (i = 0; i < 40000; i++) printf "{\"id\":%d,\"name\":\"n%d\",\"tags\":[%d,%d,\"x%d\"]}\n", i, i, i, i * 2, i }' >"$work/x.json"
	validate -- jq -s 'map(select(.id % 3 == 0) | {n: .name, t: (.tags | map(tostring) | join("-"))}) | group_by(.t[0:2]) | length' "$work/x.json"
}
zstd() {
	need zstd zstd || return
	seq 3000000 >"$work/x.txt"
	validate -- zstd -q -T2 -9 -f "$work/x.txt" -o "$work/x.zst"
}
make() {
	need make make || return
	for i in $(seq 3000); do
		printf 't%d: t%d\n\t@echo $(subst a,b,$@ $(V)) $(wordlist 2,9,$(V))\n' "$i" $((i + 1))
	done >"$work/Makefile"
	printf 't3001:\nV = %s\n' "$(seq -s ' ' 60)" >>"$work/Makefile"
	validate -- make -n -f "$work/Makefile" t1
}
node() {
	need node nodejs || return
	validate -- node -e 'const m = new Map(); for (let i = 0; i < 300000; i++) { const k = "k" + i % 9000; m.set(k, (m.get(k) || "").slice(-200) + "v" + i); }'
}
mawk() {
	need mawk mawk || return
	validate -- mawk 'BEGIN { for (i = 0; i < 600000; i++) a[i % 20000] = a[i % 20000] "value " i
		for (k in a) n += length(toupper(a[k])) }'
}
bc() {
	need bc bc || return
	printf 'for (i = 0; i < 30000; i++) s += i ^ 20 / (i + 1)\ns\nquit\n' >"$work/x.bc"
	validate -- bc -q "$work/x.bc"
}
tcl() {
	need tclsh tcl || return
	echo 'for {set i 0} {$i < 300000} {incr i} {dict set d k$i [string repeat x 20]}' >"$work/x.tcl"
	validate -- tclsh "$work/x.tcl"
}
bash() {
	need bash bash || return
	validate -- bash -c 'declare -A a; for ((i = 0; i < 60000; i++)); do a[k$((i % 5000))]+="v$i"; done
		n=0; for k in "${!a[@]}"; do n=$((n + ${#a[$k]})); done'
}

settings="reps ${REPS:-6}, budget $budget, backends ${BACKENDS:-all}, instructions ${INSTRUCTIONS:-no}, $("$reheap" --version)"
if [ -n "${AGAIN-}" ] || [ "$(cat "$out/settings" 2>/dev/null)" != "$settings" ]; then
	rm -f "$out"/*.txt "$out"/*.json
	echo "$settings" >"$out/settings"
fi
seen= halves=
for name in ${*:-$all}; do
	[ "${HALF:-$(half_of "$name")}" = "$(half_of "$name")" ] || continue
	if [ -s "$out/$name.txt" ]; then
		echo "$name: there already ($(sed -n 2p "$out/$name.txt"))"
	else
		$name
	fi
	[ ! -s "$out/$name.txt" ] || {
		seen="$seen $out/$name.txt"
		halves="$halves $name $(half_of "$name")"
		[ ! -s "${COUNTS:-/nowhere}/$name.txt" ] || seen="$seen $COUNTS/$name.txt"
	}
done
[ -n "$seen" ] || {
	echo 'nothing was validated'
	exit 1
}

# What the tables say, cell by cell.
# shellcheck disable=SC2086 # names of ours
# gawk 5.2 cannot take an element that nothing was put into as an argument, hence the + 0.
settings="$settings${COUNTS:+; instructions: $(cat "$COUNTS/settings")}"
awk -v table="$out/rows.md" -v halves="$halves" -v counts_in="${COUNTS-}/" -v rounds="${REPS:-6}" '
	function of(some, whole) { return whole ? some " of " whole : "-" }
	# What validate says of a miss, and how much of the program the replay covers.
	function reason(line) {
		return (match(line, /(off by|cannot tell|predicted).*/) ? "; validate: " substr(line, RSTART) : "") \
			(share[program] ? "; the heap is " share[program] " of the CPU time" : "")
	}
	function row(x, of_half, of_cpu) {
		printf "| %s | %s | %s | %d of %d | %d of %d | %s | %d | %s | %d of %d | %s | %s |\n", x, of_half, of_cpu,
			sign_of[x], clear_of[x], third_of[x], clear_of[x], of(judged_third[x] + 0, judged_of[x] + 0),
			elsewhere_of[x],
			of(code_third[x] + 0, code_clear[x] + 0), near_of[x], cell_of[x],
			of(exact_of[x, "ir"] + 0, count_of[x, "ir"] + 0),
			of(exact_of[x, "all"] + 0, count_of[x, "all"] + 0) >table
	}
	BEGIN {
		for (i = split(halves, name, " "); i > 1; i -= 2) half[name[i - 1]] = name[i]
		split("ir all", counted, " ")
	}
	FNR == 1 {
		program = FILENAME; sub(/.*\//, "", program); sub(/\.txt$/, "", program)
		only_counts = FILENAME == counts_in program ".txt"
		if (!only_counts) order[++programs] = program
		field = ""
	}
	FNR == 2 && !only_counts { match($0, /[0-9]+ % of the CPU/); share[program] = substr($0, RSTART, RLENGTH - 11) }
	FNR == 2 && !only_counts { for (i = 1; i < NF; i++) if ($(i + 1) ~ /^MiB/) base = $i }
	/^change of CPU/ && !only_counts { field = "cpu"; next }
	/^change of user time in the allocator/ && !only_counts { field = "code"; next }
	/^change of peak/ && !only_counts { field = "rss"; next }
	/^change of instructions/ { field = "all"; held = 0; next }
	/^change of the heap.s own/ { field = "ir"; next }
	/^\(the heap.s own/ {
		for (i = 1; i < NF; i++) if ($i == "replay:") own = $(i + 1)
		for (i = 0; i < held; i++) {
			split(kept[i], c, " ")
			gsub(/\+/, "", c[3]); gsub(/\+/, "", c[4])
			off = c[3] - c[4]; if (off < 0) off = -off
			what = c[1]
			counts[what]++
			count_of[program, what]++
			if (off <= 0.05 * own) { exact[what]++; exact_of[program, what]++ }
			else missed = missed sprintf("  instructions %s%s, %s: predicted %+.1f million, observed %+.1f (the heap: %.1f)\n", program, what == "all" ? " (of the whole program)" : "", c[2], c[3], c[4], own)
		}
		next
	}
	field == "ir" || field == "all" {
		if (NF >= 4 && $1 != "backend") kept[held++] = field " " $1 " " $2 " " $3
		next
	}
	/^observed/ { field = "" }
	/^Brackets: / && !only_counts { # their level: what is significant by chance
		match($0, /[0-9.]+ %/)
		if (rounds >= 6) chance += times_of[program] * (1 - substr($0, RSTART, RLENGTH - 2) / 100)
	}
	field == "" || NF < 7 || $1 == "backend" { next }
	{
		for (i = 2; i <= 7; i++) gsub(/[][,+]/, "", $i)
		p = $2 + 0; p_half = ($4 - $3) / 2; o = $5 + 0; lo = $6 + 0; hi = $7 + 0
		off = p - o; if (off < 0) off = -off
		if (field == "rss") {
			cells++
			cell_of[program]++
			if (off <= 1 || off <= 0.1 * base) { near++; near_of[program]++ }
			else missed = missed sprintf("  memory %s, %s: predicted %+.1f MiB, observed %+.1f (of %s)%s\n", program, $1, p, o, base, reason($0))
			next
		}
		if (field == "code") {
			codes++
			if (rounds < 6 || (lo <= 0 && hi >= 0)) next
			size = o < 0 ? -o : o
			code_clear[program]++; code_clear["every"]++
			if (off <= size / 3) { code_third[program]++; code_third["every"]++ }
			else missed = missed sprintf("  allocator %s, %s: predicted %+.1f ms, observed %+.1f [%.1f, %.1f]\n", program, $1, p, o, lo, hi)
			next
		}
		times++
		times_of[program]++
		if (rounds < 6 || (lo <= 0 && hi >= 0)) { unclear++; next } # fewer rounds reach no 95 %
		clear++
		clear_of[program]++
		if (p * o > 0) { sign++; sign_of[program]++ }
		else missed = missed sprintf("  sign %s, %s: predicted %+.1f ms, observed %+.1f [%.1f, %.1f]%s\n", program, $1, p, o, lo, hi, reason($0))
		if (/cannot tell: .*own code/ && off > (o < 0 ? -o : o) / 3) { elsewhere++; elsewhere_of[program]++ }
		size = o < 0 ? -o : o
		# Where both sides scatter by less than what is asked for.
		if (p_half <= size / 3 && hi - lo <= 2 * size / 3) {
			judged++; judged_of[program]++
			if (off <= size / 3) { judged_right++; judged_third[program]++ }
		}
		if (off <= size / 3) { third++; third_of[program]++ }
		else if (p * o > 0) missed = missed sprintf("  size %s, %s: predicted %+.1f ms, observed %+.1f [%.1f, %.1f]%s\n", program, $1, p, o, lo, hi, reason($0))
	}
	END {
		if (!cells) { print "nothing was validated"; exit 1 }
		for (i = 1; i <= programs; i++)
			row(order[i], half[order[i]], share[order[i]])
		printf "\npeak memory within 10 %% or 1 MiB: %d of %d cells, %.0f %% (goal 90)\n", near, cells, 100 * near / cells
		if (counts["ir"] + 0) {
			printf "instructions in the heap within 5 %% of them: %s cells, %.0f %% (goal 90)\n", of(exact["ir"] + 0, counts["ir"] + 0), 100 * exact["ir"] / counts["ir"]
			printf "instructions of the whole program within 5 %% of the heap'"'"'s: %s cells\n", of(exact["all"] + 0, counts["all"] + 0)
		}
		printf "CPU time, sign right where the change is significant: %d of %d (goal all); %d cells not significant\n", sign, clear, unclear
		printf "(of %d cells without any change %.1f would look significant by chance)\n", times, chance
		printf "CPU time, size within a third of it: %d of %d; %d of the others have what is missing in the program, by samples\n", third, clear, elsewhere
		printf "of those whose intervals, predicted and observed, are within a third of the change to each side: %s\n", of(judged_right + 0, judged + 0)
		if (codes) printf "user time in the allocator, size within a third where it is significant: %d of %d\n", code_third["every"], code_clear["every"]
		if (missed) printf "missed:\n%s", missed
	}' $seen || exit

# The rows as a table with sums. KEEP=1: rows of programs that did not run now stay as README.md has
# them, marked; a column that a kept row does not have is empty there.
readme=$(dirname "$0")/../../../README.md
sed -n '/^<!-- truth -->$/,/^<!-- \/truth -->$/p' "$readme" >"$work/before.md"
[ -n "${KEEP-}" ] || : >"$work/before.md"
awk -F ' *[|] *' -v settings="$settings" '
	function add(whole, i, cell,   of) {
		if (cell ~ /^[0-9]+ of [0-9]+$/) {
			split(cell, of, " of ")
			some[whole, i] += of[1]; all[whole, i] += of[2]; paired[i] = 1
		} else if (cell ~ /^[0-9]+$/) some[whole, i] += cell
	}
	function take(name,   i, plain) {
		rows[++count] = name
		for (i = 3; i <= 12; i++) {
			plain = cell[count, i] = $i
			sub(/ †$/, "", plain)
			if (i > 4) { add($3, i, plain); add("all", i, plain) }
		}
		seen[$3]++
	}
	function sums(title, whole,   i) {
		printf "| %s |  |  |", title
		for (i = 5; i <= 12; i++)
			if (paired[i]) printf " %s |", all[whole, i] ? some[whole, i] " of " all[whole, i] : "-"
			else printf " %d |", some[whole, i]
		print ""
	}
	/^[|] (all|[0-9]+ programs|---)/ || /^[|]---/ || /^$/ || /^<!--/ { next }
	/^[(]/ { earlier = substr($0, 2, length($0) - 2); next }
	FNR == NR { take($2); now[$2] = count; next }
	{
		name = $2; sub(/ †$/, "", name)
		if (name in now) { # timed anew, and its instructions counted before
			for (i = 11; i <= 12; i++) {
				old = $(i - (NF < 12 ? 3 : NF < 13 ? 1 : 0)); sub(/ †$/, "", old)
				if (cell[now[name], i] != "-" || old == "-") continue
				cell[now[name], i] = old " †"; kept = 1
				add(cell[now[name], 3], i, old); add("all", i, old)
			}
			next
		}
		if (NF < 12) # a table without samples: two columns fewer
			$0 = "| " $2 " | " $3 " | " $4 " | " $5 " | " $6 " | - | - | " $7 " | " $8 " | " $9 " |"
		if (NF < 13) # one that does not say which sizes can be judged
			$0 = "| " $2 " | " $3 " | " $4 " | " $5 " | " $6 " | - | " $7 " | " $8 " | " $9 " | " $10 " | " $11 " |"
		take(name " †"); kept = 1
	}
	END {
		printf "| %d programs | half | the heap, of the CPU | sign of CPU time | its size, to a third | of those that can be judged | missed, and seen in the program | time in the allocator, to a third | peak memory, to 10 %% or 1 MiB | instructions in the heap, to 5 %% of them | of the whole program |\n", count
		print "|---|---|---|---|---|---|---|---|---|---|---|"
		for (r = 1; r <= count; r++) {
			printf "| %s |", rows[r]
			for (i = 3; i <= 12; i++) printf " %s |", cell[r, i]
			print ""
		}
		if (seen["tune"]) sums("all of tune", "tune")
		if (seen["report"]) sums("all of report", "report")
		sums("all", "all")
		printf "\n(%s%s)\n", settings, kept ? "; †: " earlier : ""
	}' "$out/rows.md" "$work/before.md" >"$out/table.md"
[ -z "${WRITE-}" ] || sed -i -e '/^<!-- truth -->$/,/^<!-- \/truth -->$/ { /^<!-- truth -->$/r '"$out/table.md" \
	-e '/^<!--/!d }' "$readme"
