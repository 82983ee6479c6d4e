#!/bin/bash
# matrix-read.sh - reading a matrix whose answers are known (ci/own/helpers/matrix_maker.c): pooled
# effects, contradicting machines, the front, outliers, changes, what is damaged or missing.
# shellcheck source=ci/own/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

maker=$build/helpers/matrix_maker
[ -x "$maker" ] || skip_all 'matrix_maker is not built (make tests)'
cat >policy.json <<'END'
{ "schema": "reheap.policy/1", "threshold": "5%", "metrics": { "wall": "5%", "rss": "10%", "startup": "25%" } }
END
echo '{ "schema": "reheap.policy/1", "wal": "5%" }' >bad.json
"$maker" known 500 1
far=$(printf '22%030x' 34)
"$maker" later 500 2 1.10

is_exit 0 'a matrix in words' "$reheap" compare known
ok 'a backend that takes 0.80' grep -q -F 'b0: 100 cells, time 0.80 [0.80, 0.80], peak memory 1.10' .out
ok 'one that is as the baseline' grep -q -E '^b1: 100 cells, time 1.00 ' .out
ok 'classes of machines that contradict each other are not pooled' \
	grep -q -F 'b2: 100 cells, time: not pooled, m0 0.70 and m1 1.40' .out
ok 'the front' grep -q -F 'nothing beats in both time and memory: baseline, b0, b3' .out
ok 'one cell stands apart, planted ones are counted' \
	grep -q -E '^1 cells stand apart, [0-9]+ of 10 planted cells' .out

is_exit 0 'its page' "$reheap" plot known -o page
ok 'has the heat map' grep -q -E '<th>f00</th>.*<td class="b3".*>0.80</td>' page/report.html
ok "numbers that read the same have one shade" test "$(grep -o -E "class=\"[a-z0-9]*\" title=[^>]*>0.80<" page/report.html | cut -d " " -f 1 | sort -u | wc -l)" = 1
ok 'says where there is no number' grep -q 'title="classes of machines contradict each other: m0 0.70, m1 1.40"' page/report.html
ok 'links the outlier' grep -q "href=\"outlier/$far/report.html\"" page/report.html
ok 'to a report of its own' grep -q '<h1>' "page/outlier/$far/report.html"
ok 'draws no script and fetches nothing' fails grep -E '<script|src=|https?://' page/report.html
ok 'reports the false alarms' grep -q -E 'False alarms: [0-9]+ of 10 planted' page/report.html
ok 'every effect is a row of CSV' test "$(wc -l <page/matrix.csv)" = 1501
ok 'with one number of columns' test "$(awk -F, '{ print NF }' page/matrix.csv | sort -u | wc -l)" = 1
ok 'the file of numbers is there' test -s known/matrix.sqlite
if command -v sqlite3 >/dev/null; then
	sql() {
		sqlite3 known/matrix.sqlite "$1"
	}
	ok 'views: by family' test "$(sql "SELECT cells || ' ' || round(exp(mean_log_ratio), 1) FROM by_family
		WHERE metric = 'time.ns_per_event' AND family = 'f01' AND backend = 'b3' AND machine = 'm0'")" = '10 1.2'
	ok 'views: planted' test "$(sql "SELECT sum(planted) FROM false_alarms WHERE metric = 'time.ns_per_event'")" = 10
	ok 'views: nothing is left to do' test "$(sql 'SELECT count(*) FROM not_done')" = 0
else
	skip 'views' 'sqlite3 is not installed'
fi

# ---- changes ----

is_exit 0 'what changed' "$reheap" compare known later
ok 'one backend, by 10 %' grep -q -F 'time.ns_per_event: 490 questions are in both, 100 changed' .out
ok 'and no other' test "$(sed '/^memory/,$d' .out | grep -c -E '^  [+-].* b[0234]: ')" = 0
ok 'in time alone' grep -q -E '^memory.rss_peak_bytes: 490 questions are in both, [0-9] changed' .out
is_exit 0 'on the page' "$reheap" plot later -o page2 --since known
ok 'too' grep -q -E '<td class="worse">\+[0-9.]* %</td><td>[01].[0-9]*</td><td>1.[01][0-9]*</td><td class="name">f.*<td class="name">b1</td>.*time.ns_per_event' page2/report.html
is_exit 2 'since belongs to a matrix' "$reheap" plot known/cells/00/00000000000000000000000000000000.json --since later
mkdir nothing
is_exit 66 'since what is none' "$reheap" plot later -o page3 --since nothing
says 'nothing is not the folder of a matrix' 'is said'

# ---- a gate ----

is_exit 1 'a policy over the matrix' "$reheap" gate known --policy policy.json
ok 'a family that is slower fails' grep -q -E '^FAIL f01, b3, time.ns_per_event, class m0: 1.[12][0-9]* over 10 cells, 60 of 60' .out
ok 'on the class where it is' grep -q -E '^FAIL f01, b2, time.ns_per_event, class m1: 1.[34]' .out
ok 'and not on the other' fails grep -q -E '^(FAIL|inconclusive) f01, b2, time.ns_per_event, class m0' .out
ok 'what is as fast passes' fails grep -q -E '^(FAIL|inconclusive) f..?, b[01], time' .out
ok 'bytes below the slack are nothing' fails grep -q 'memory.rss_peak_bytes' .out
ok 'what a matrix does not measure is said' grep -q '^startup: absent, because' .out
ok 'the last line is for scripts' test "$(tail -n 1 .out | sed 's/ ratio=.* scenarios/ scenarios/')" = \
	'REHEAP-GATE verdict=fail scenarios=100 exit=1'
is_exit 2 'an unknown word in the policy' "$reheap" gate known --policy bad.json
says 'nothing named "wal"' 'is said'

# ---- what is not whole ----

one=known/cells/01/01000000000000000000000000000001.json
cp $one whole.json
head -c 3000 whole.json >$one
rm known/matrix.sqlite known/cells/02/02000000000000000000000000000002.json
is_exit 0 'a damaged result and one that is gone' "$reheap" plot known -o page4
ok 'are counted' grep -q -E '498 done, 1 missing, .*1 results cannot be read' page4/report.html
cp whole.json $one
is_exit 0 'whole again' "$reheap" plot known -o page4
ok 'it is read' grep -q '499 done, 1 missing. Each' page4/report.html
rm $one
"$reheap" plot known -o page4 >/dev/null
ok 'one that goes afterwards is missing, too' grep -q '498 done, 2 missing' page4/report.html
rm known/matrix.sqlite
printf 'no database' >known/matrix.sqlite
is_exit 74 'a database that is none' "$reheap" compare known
says 'matrix.sqlite: file is not a database' 'is said'
rm known/matrix.sqlite
sed -i 's|"family":"f00"|"family":"<script>alert(1)</script>"|' known/matrix.json
is_exit 0 'names from outside' "$reheap" plot known -o page5
ok 'are text on the page' grep -q '&lt;script&gt;alert(1)' page5/report.html
ok 'and nothing else' fails grep '<script' page5/report.html
sed -i 's|"name":"01000|"name":"../..|' known/matrix.json
is_exit 65 'a name that would be a path' "$reheap" compare known
finish
