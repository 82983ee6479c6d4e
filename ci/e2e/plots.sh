#!/bin/bash
# Figures and reports: strange names are data, figures need no gnuplot, the same input gives the
# same bytes, many trials stay small and quick, scripts run alone.
# shellcheck source=ci/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

# A result made by hand: backends with names that would do harm in a script or a page.
# result REPS SPEC...
result() {
	local reps=$1 i=0 r values trials="" metrics="" backends=""
	shift
	for spec in "$@"; do
		values="" trials_of=""
		for r in $(seq 1 "$reps"); do
			values+="${values:+,}$((20 + i * 7 + r % 3)).$((r % 10))"
			trials_of+="${trials_of:+,}{\"trace\":0,\"backend\":$i,\"lanes\":1,\"copies\":1,\"rep\":$r,\"order\":0,\"status\":\"ok\",\"events\":1000,\"wall_ns\":$((20000 + r)),\"segments\":{\"events\":[500,500],\"rss_bytes\":[4096000,8192000],\"live_bytes\":[3000000,6000000]}}"
		done
		backends+="${backends:+,}{\"spec\":\"$spec\",\"status\":\"ok\"}"
		trials+="${trials:+,}$trials_of"
		for metric in time.ns_per_event time.ratio memory.rss_peak_bytes; do
			metrics+="${metrics:+,}{\"trace\":0,\"backend\":$i,\"lanes\":1,\"copies\":1,\"name\":\"$metric\",\"unit\":\"ns\",\"source\":\"own\",\"better\":\"lower\",\"n\":$reps,\"median\":$((21 + i * 7)),\"lo\":$((20 + i * 7)),\"hi\":$((23 + i * 7)),\"level\":0.95,\"values\":[$values]}"
		done
		i=$((i + 1))
	done
	printf '{"schema":"reheap.result/1","config":{"baseline":"libc"},"host":{"cpu_model":"x"},"traces":[{"name":"t <b>`id`</b> $(id) @x_y"}],"backends":[%s],"trials":[%s],"metrics":[%s]}' \
		"$backends" "$trials" "$metrics"
}

result 5 libc '`touch harm`' '$(touch harm)' '<script>alert(1)</script>' "'; system('touch harm') #" \
	'naïve_ünï^{x}:ключ=5' 'say \"hi\"' '@home/&amp;' >strange.json
is_exit 0 'strange names' "$reheap" plot strange.json -o strange
ok 'are not run' test -z "$(find . -name harm)"
ok 'are escaped in the page' fails grep -q '<script>alert' strange/report.html
ok 'are shown in the page' grep -q '&lt;script&gt;alert(1)' strange/report.html
ok 'there are exports' test -s strange/results.csv -a -s strange/github-benchmark.json \
	-a -s strange/bencher.json
ok 'the CSV has a line for each metric' test "$(wc -l <strange/results.csv)" = 25
ok 'no script of the page can run' fails grep -q -E '<script>|<script type="(text|module)| on[a-z]+=' strange/report.html
ok 'nothing is fetched' fails grep -q -E '(src|href)="?(https?:)?//' strange/report.html
ok 'ids are unique' test -z "$(grep -o " id=[\"'][^\"']*" strange/report.html | sort | uniq -d)"
ok 'no name stands in a script' fails grep -l -E 'touch|alert|ключ' strange/*.gp
if command -v xmllint >/dev/null; then
	ok 'figures are well-formed' xmllint --noout strange/*.svg
fi
if command -v gnuplot >/dev/null; then
	"$reheap" plot strange.json -o again >/dev/null 2>&1
	for figure in strange/*.svg; do
		ok "$(basename "$figure") is the same to the byte" cmp "$figure" "again/${figure#*/}"
	done
	mkdir alone
	cp strange/*.gp strange/*.tsv alone
	for script in alone/*.gp; do
		ok "$(basename "$script") runs alone" bash -c "cd alone && gnuplot ${script#*/} && \
			test -s $(basename "$script" .gp).svg"
	done
	is_exit 0 'png and pdf' "$reheap" plot strange.json -o all --format svg,png,pdf
	ok 'are there' test -s all/time-ratio.png -a -s all/time-ratio.pdf
fi
mkdir nowhere
is_exit 0 'without gnuplot' env PATH="$temp/nowhere" "$reheap" plot strange.json -o simple
ok 'is said' grep -q 'gnuplot is not installed' "$temp/.err"
ok 'there are figures, data and scripts' test -s simple/time-ratio.svg -a -s simple/time-ratio.tsv \
	-a -s simple/time-ratio.gp -a -s simple/report.html
is_exit 2 'a format that is none' "$reheap" plot strange.json -o x --format gif
is_exit 2 'a baseline that was not replayed' "$reheap" plot strange.json -o x --baseline unicorn
is_exit 0 'another baseline' "$reheap" plot strange.json -o other --baseline '@home/&amp;'

# The built-in drawing and the data are golden: a change shows here and is looked at.
is_exit 0 'the fixture' "$reheap" plot "$root/plots/test/fixture.json" --builtin -o golden
for want in "$root"/plots/test/golden/*; do
	ok "golden ${want##*/}" cmp "$want" "golden/${want##*/}"
done

result 1 libc only >one.json
is_exit 0 'one trial' "$reheap" plot one.json -o one
ok 'claims nothing' grep -q 'cannot tell' one/report.html
# shellcheck disable=SC2046
result 3 libc $(seq -f 'lib%g' 1 63) >wide.json
is_exit 0 '64 backends' "$reheap" plot wide.json -o wide
result 500 libc jemalloc >deep.json
began=$SECONDS
is_exit 0 '1000 trials' "$reheap" plot deep.json -o deep
ok 'take less than ten seconds' test $((SECONDS - began)) -lt 10
ok 'and less than 5 MB' test "$(stat -c %s deep/report.html)" -lt 5000000
finish
