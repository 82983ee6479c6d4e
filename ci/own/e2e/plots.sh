#!/bin/bash
# Figures and reports: strange names are data, figures need no gnuplot, the same input gives the
# same bytes, many trials stay small and quick, scripts run alone.
# shellcheck source=ci/own/e2e/lib.sh
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
	'naïve_ünï^{x}:ключ=5' 'say \"hi\"' '@home/&amp;' 'a]]>b' 'back\\tab' >strange.json
is_exit 0 'strange names' "$reheap" plot strange.json -o strange
ok 'are not run' test -z "$(find . -name harm)"
ok 'are escaped in the page' fails grep -q '<script>alert' strange/report.html
ok 'are shown in the page' grep -q '&lt;script&gt;alert(1)' strange/report.html
ok 'there are exports' test -s strange/results.csv -a -s strange/github-benchmark.json \
	-a -s strange/bencher.json
ok 'the CSV has a line for each metric' test "$(wc -l <strange/results.csv)" = 31
ok 'no script of the page can run' fails grep -q -E '<script>|<script type="(text|module)| on[a-z]+=' strange/report.html
ok 'nothing is fetched' fails grep -q -E '(src|href)="?(https?:)?//' strange/report.html
ok 'ids are unique' test -z "$(grep -o " id=[\"'][^\"']*" strange/report.html | sort | uniq -d)"
ok 'a backslash is one' grep -q -F 'back\tab' strange/report.html
ok 'no name stands in a script' fails grep -l -E 'touch|alert|ключ' strange/*.gp
if command -v xmllint >/dev/null; then
	ok 'figures are well-formed' xmllint --noout strange/*.svg
fi
if command -v gnuplot >/dev/null; then
	"$reheap" plot strange.json -o again >/dev/null 2>&1
	for figure in strange/*.svg; do
		ok "$(basename "$figure") is the same to the byte" cmp "$figure" "again/${figure#*/}"
	done
	ok 'a backslash is one in a figure' grep -q -F '>back\tab<' strange/time-ratio.svg
	mkdir alone
	cp strange/*.gp strange/*.tsv alone
	for script in alone/*.gp; do
		ok "$(basename "$script") runs alone" bash -c "cd alone && gnuplot ${script#*/} && \
			test -s $(basename "$script" .gp).svg"
	done
	is_exit 0 'png and pdf' "$reheap" plot strange.json -o all --format svg,png,pdf
	ok 'are there' test -s all/time-ratio.png -a -s all/time-ratio.pdf

	# For papers: LaTeX sets the words, and no name from outside is a command to it.
	is_exit 0 'tex beside pdf' "$reheap" plot strange.json -o paper --format tex,pdf
	ok 'has words and lines' test -s paper/time-ratio-tex.tex -a -s paper/time-ratio-tex.pdf
	ok 'beside the PDF with both' test -s paper/time-ratio.pdf
	ok 'a $ is escaped' grep -q -F '\$(touch harm)' paper/time-ratio-tex.tex
	ok 'an underscore is escaped' grep -q -F '\_ünï' paper/time-ratio-tex.tex
	ok 'and so is a % of ours' grep -q 'interval of the median, .* \\%' paper/time-ratio-tex.tex
	ok 'no name is a command' fails grep -q -E '[^\]\$\(touch|[^\]_(ünï|y )|@home/&' paper/time-ratio-tex.tex
	ok 'the script runs alone' bash -c 'rm paper/time-ratio-tex.tex && cd paper &&
		gnuplot time-ratio-tex.gp 2>/dev/null && test -s time-ratio-tex.tex'
	if command -v pdflatex >/dev/null; then
		"$reheap" plot "$root/plots/test/fixture.json" -o set --format tex >/dev/null 2>&1
		{
			printf '%s\n' '\documentclass{article}' '\usepackage{graphicx,color}' '\begin{document}'
			for tex in set/*-tex.tex; do
				printf '\\input{%s}\n' "$(basename "$tex")"
			done
			echo '\end{document}'
		} >set/paper.tex
		ok 'LaTeX sets every figure of a result' bash -c 'cd set && pdflatex -interaction=nonstopmode \
			-halt-on-error paper.tex >/dev/null && test -s paper.pdf'
	else
		skip 'LaTeX sets every figure of a result' 'there is no pdflatex here'
	fi

	# A style stands in the scripts, after the look and before the layout.
	printf 'set terminal svg size 300,200\nset label 9 "of the style" at screen 0.5,0.5\n' >my.style
	is_exit 0 'a style' "$reheap" plot strange.json -o styled --style my.style
	ok 'draws' grep -q 'of the style' styled/time-ratio.svg
	ok 'and may choose the size' grep -q 'viewBox="0 0 300 200"' styled/time-ratio.svg
	ok 'stands in the script, which runs alone' bash -c 'cp styled/time-ratio.gp styled/time-ratio.tsv alone &&
		cd alone && rm -f time-ratio.svg && gnuplot time-ratio.gp && grep -q "of the style" time-ratio.svg'
	echo 'no such command' >bad.style
	is_exit 1 'a style that is no gnuplot' "$reheap" plot strange.json -o styled --style bad.style
	says '--style bad.style' 'is named'

	# So do those of figures that other commands draw.
	echo 'set label 9 "of the style" at screen 0.5,0.5' >label.style
	go=$root/traces/corpus/go
	"$reheap" gen server -o t.rht events=20000 lanes=1 >/dev/null 2>&1
	is_exit 0 'tour' "$reheap" tour --plot tour --style label.style
	is_exit 0 'whatif' "$reheap" whatif --plot whatif --style label.style "$go/nats.rht"
	"$reheap" fidelity --no-oracle --plot fidelity --style label.style "$go/workers.rht" >/dev/null 2>&1
	"$reheap" gate t.rht --baseline libc --candidate libc --budget 2s --metrics wall --plot gate \
		--style label.style >/dev/null 2>&1
	for figure in tour whatif fidelity gate/gate; do
		ok "$figure is drawn with it" grep -q 'of the style' $figure.svg
	done
	is_exit 1 'a style that is no gnuplot' "$reheap" tour --plot tour --style bad.style
	says bad.style 'is named'
fi
is_exit 2 'a style without a figure' "$reheap" tour --style label.style
says --plot 'is what it is for'
is_exit 66 'a style that is not there' "$reheap" tour --plot tour --style nowhere.style
is_exit 2 'one of a gate' "$reheap" gate t.rht --baseline libc --candidate libc --plot gate --style nowhere.style
says nowhere.style 'is named'
is_exit 66 'a style that is not there' "$reheap" plot strange.json -o styled --style nowhere.style
says nowhere.style 'is named'
# Values that no axis holds, and a disk that is full.
result 5 libc one two | sed 's/"median":21/"median":5e-324/g; s/"median":28/"median":1e18/g' >wild.json
sed 's/1e18/1e308/g' wild.json >wilder.json
is_exit 65 'what no measurement is' "$reheap" plot wilder.json -o wild
says 'cannot be 1e.308' 'is named'
is_exit 0 'the smallest and the largest number' "$reheap" plot wild.json -o wild
ok 'are drawn with numbers' fails grep -l -E '[^a-z](nan|inf)[^a-z]' wild/*.svg
ok 'are drawn simply too' env PATH=/nowhere "$reheap" plot wild.json -o wild-simple
ok 'with numbers' fails grep -l -E '[^a-z](nan|inf)[^a-z]' wild-simple/*.svg
for blocks in 1 8 24; do
	is_exit 74 "$blocks KiB a file" bash -c 'ulimit -f $0; "$@"' $blocks "$reheap" plot strange.json \
		-o full$blocks
	says "full$blocks/" 'the file is named'
	ok 'no half figure is left' test -z "$(grep -L '</svg>' full$blocks/*.svg 2>/dev/null)"
done
if unshare -rm true 2>/dev/null && mkdir disk && unshare -rm mount -t tmpfs none disk 2>/dev/null; then
	is_exit 74 'a full disk' unshare -rm bash -c 'mount -t tmpfs -o size=64k none disk && "$0" plot \
		strange.json -o disk/out; code=$?; grep -L "</svg>" disk/out/*.svg >half; exit $code' "$reheap"
	ok 'leaves no half figure' test ! -s half
else
	skip 'a full disk' 'no name space of mounts can be made here'
fi
mkdir nowhere
is_exit 0 'without gnuplot' env PATH="$temp/nowhere" "$reheap" plot strange.json -o simple
if command -v xmllint >/dev/null; then
	ok 'simple figures are well-formed' xmllint --noout simple/*.svg
fi
ok 'is said' grep -q 'gnuplot is not installed' "$temp/.err"
ok 'there are figures, data and scripts' test -s simple/time-ratio.svg -a -s simple/time-ratio.tsv \
	-a -s simple/time-ratio.gp -a -s simple/report.html
is_exit 2 'a format that is none' "$reheap" plot strange.json -o x --format gif
is_exit 2 'a baseline that was not replayed' "$reheap" plot strange.json -o x --baseline unicorn
is_exit 0 'another baseline' "$reheap" plot strange.json -o other --baseline '@home/&amp;'

# The built-in drawing and the data are golden: a change shows here and is looked at.
is_exit 0 'the fixture' "$reheap" plot "$root/plots/test/fixture.json" --builtin -o golden
ok 'which sizes are slow is said in words' grep -q '^Slow sizes (99th percentile of allocations, steady, 1 lane): none' .out
for want in "$root"/plots/test/golden/*; do
	ok "golden ${want##*/}" cmp "$want" "golden/${want##*/}"
done

result 1 libc only >one.json
is_exit 0 'one trial' "$reheap" plot one.json -o one
ok 'the verdict stands below the names of the files' bash -c 'tail -n 2 .out | grep -q "cannot tell that from noise"'
ok 'what was not measured is one line' test "$(grep -c 'not drawn' .err)" = 1
is_exit 0 'asked for' "$reheap" plot one.json -o one -v
ok 'it says why' grep -q '^reheap plot: no latency: the latency probe has not run' .err
ok 'claims nothing' grep -q 'cannot tell' one/report.html
# shellcheck disable=SC2046
result 3 libc $(seq -f 'lib%g' 1 63) >wide.json
is_exit 0 '64 backends' "$reheap" plot wide.json -o wide
result 500 libc jemalloc >deep.json
began=$SECONDS
is_exit 0 '1000 trials' "$reheap" plot deep.json -o deep
ok 'take less than ten seconds' test $((SECONDS - began)) -lt 10
ok 'and less than 5 MB' test "$(stat -c %s deep/report.html)" -lt 5000000

# Settings of one allocator have their own marks, and nothing is left out silently.
result 3 libc jemalloc jemalloc@MALLOC_CONF=narenas:1 jemalloc@MALLOC_CONF=dirty_decay_ms:0 \
	mimalloc mimalloc@MIMALLOC_PURGE_DELAY=0 tiered tiered:profile=1.8 >var.json
cp var.json var2.json
"$reheap" plot var.json var2.json --builtin -o var >/dev/null 2>&1
ok 'eight settings are eight marks' test "$(sed 1d var/trade.tsv | cut -f4 | sort -u | wc -l)" = 8
ok 'of as many names' test "$(sed 1d var/trade.tsv | cut -f5 | sort -u | wc -l)" = 8
ok 'a name says what was set' grep -q 'jemalloc@dirty_decay_ms:0' var/trade.svg
ok 'each trace is counted once' grep -q 'over 2 traces, each counted once' var/trade.svg
# shellcheck disable=SC2046
result 3 libc $(seq -f 'lib%g' 1 15) >many.json
"$reheap" plot many.json var.json --builtin -o many >/dev/null 2>&1
ok 'of more than a figure holds it says so' grep -q 'the first 14 of' many/time-memory.svg

# Many settings are several figures, none a strip.
"$reheap" plot var.json var2.json var.json var2.json var.json var2.json var.json var2.json --builtin \
	-o tall >/dev/null 2>&1
ok 'eight settings are two figures' test -s tall/time-ratio-2.svg -a ! -e tall/time-ratio-3.svg
ok 'with every setting in one of them' test "$(cat tall/time-ratio.tsv tall/time-ratio-2.tsv | cut -f4 | grep -c '^libc$')" = 8
grep -ho 'viewBox="0 0 [0-9]* [0-9]*' tall/*.svg >heights
ok 'none is taller than two screens' awk '$4 > 1600 { print; bad = 1 } END { exit bad }' heights

# Two allocators of one result; the changes first; filters.
"$reheap" gen churn -o between.rht events=30000 lanes=1 >/dev/null 2>&1
"$reheap" replay between.rht --backend libc,bump --reps 6 -q -o between.json
is_exit 0 'two backends of one result' "$reheap" compare between.json --between libc,bump
ok 'which are named' grep -q '^before: libc, after: bump$' .out
ok 'with what changed, or that nothing did' grep -q -E '^(What changed most|Nothing changed)' .out
ok 'on one screen' test "$(wc -l <.out)" -le 40
is_exit 0 'one metric of them' "$reheap" compare between.json --between libc,bump -m rss_peak --all
ok 'and nothing else' test "$(grep -c '^[a-z]*\.' .out)" = 1 -a "$(grep -c '^memory.rss_peak_bytes' .out)" = 1
is_exit 65 'a trace in place of a result' "$reheap" plot between.rht -o drawn
says 'is a trace: reheap replay between.rht -o' 'names what makes one'
# Words that are nearly right: what was meant is named.
is_exit 2 'a backend with a slip' "$reheap" compare between.json --between libc,bmup
says "has no backend called 'bmup'; did you mean bump" 'is suggested'
is_exit 4 'a filter with a slip' "$reheap" compare between.json between.json -t betwen
says 'did you mean between[?] there are: between$' 'is suggested'
is_exit 4 'one of backends' "$reheap" compare between.json between.json -b bmup
says 'did you mean bump' 'is suggested'
is_exit 4 'one of metrics' "$reheap" compare between.json between.json -m rss_pek
says 'list metrics' 'names where they are listed'
for words in 'list backens:backends' 'replay between.rht --probes latncy:latency' 'history shwo:show' \
	'gen server evnts=3 -o x.rht:events' 'gate between.rht --baseline libc --candidate libc --metrics wal:wall'; do
	read -r -a slip <<<"${words%:*}"
	is_exit 2 "${words%:*}" "$reheap" "${slip[@]}"
	says "did you mean ${words##*:}[?]" 'is suggested'
done
ok 'time and memory of a comparison have a line in any case' bash -c '"$0" compare between.json between.json |
	grep -q "^time.ns_per_event  *[0-9]"' "$reheap"
is_exit 0 'patterns' "$reheap" compare between.json between.json -m 'memory.*' -t between -b libc --all
ok 'leave out the others' fails grep -q -E '^time\.|  bump  ' .out
is_exit 2 'one result alone is asked what with' "$reheap" compare between.json
says '--between libc,jemalloc' 'with an example'
is_exit 2 'a backend that is not in it' "$reheap" compare between.json --between libc,nobody
says "no backend called 'nobody'" 'is named'

# Panels of one trace stay in one figure.
for name in first second third; do
	"$reheap" gen churn -o $name.rht events=20000 lanes=1 seed=3 >/dev/null 2>&1
done
"$reheap" replay first.rht second.rht third.rht --backend libc,tiered --reps 2 -q -o apart.json
"$reheap" plot apart.json --builtin -o apart >/dev/null 2>&1
for name in first second third; do
	ok "the parts of the time of $name stay together" test "$(grep -l ", $name, 1 lane" apart/time-apart*.tsv | wc -l)" = 1
done

# Markdown for a pull request: metric by metric, what matters and what changed first.
"$reheap" compare between.json --between libc,bump --format md >pull.md 2>/dev/null
grep '^| [a-z]*\.' pull.md >rows.md
ok 'Markdown begins with a change of what people choose by' bash -c \
	'head -n 1 rows.md | grep -q -E "^\| (time.ratio|memory.rss_peak_bytes) .*(better|worse|faster|slower) \|$"'
ok 'and has each metric in one piece' test \
	"$(cut -d' ' -f2 rows.md | uniq | wc -l)" = "$(cut -d' ' -f2 rows.md | sort -u | wc -l)"

# The result of a gate is not a result of a replay: the message names the command that reads it.
printf '{"schema": "reheap.gate/1"}' >gate.json
is_exit 65 'a gate is not drawn by plot' "$reheap" plot gate.json -o gated
says 'reheap gate --recompute' 'and the command that does is named'

# A disk that is full leaves what was there, and no half of a file.
for limit in 4 24 64 200; do
	rm -rf full
	(
		ulimit -f "$limit"
		"$reheap" plot between.json -o full >/dev/null 2>.err
	)
	ok "limit $limit: every picture is whole" bash -c \
		'for f in full/*.svg; do [ ! -e "$f" ] || tail -c 20 "$f" | grep -q "</svg>" || exit 1; done'
	ok "limit $limit: no page is half" bash -c \
		'[ ! -e full/report.html ] || tail -c 20 full/report.html | grep -q "</html>"'
	ok "limit $limit: nothing else is left" test -z "$(find full -name '*.part*' -o -name '*.tmp*' 2>/dev/null)"
done

# The matrix on the terminal and that of the page are of the same ratios, digit by digit.
"$reheap" gen server -o one.rht events=6000 heap=256K lanes=1 >/dev/null
"$reheap" gen churn -o two.rht events=6000 lanes=1 >/dev/null
"$reheap" replay one.rht two.rht --backend libc,tiered -o both.json >both.out 2>&1
"$reheap" plot both.json -o both >/dev/null 2>&1
sed -n 's/^[a-z]*\.rht, 1 lane  *1\.00  *\([0-9.]*\).*/\1/p' both.out >terminal.numbers
sed -n 's/^<tr><th>[a-z]*, 1 lane<\/th><td[^>]*>1<\/td><td[^>]*>\([0-9.]*\).*/\1/p' both/report.html >page.numbers
ok 'time and memory of two traces are on the terminal' test "$(wc -l <terminal.numbers)" = 4
ok 'and in the page, the same to the digit' diff terminal.numbers page.numbers
finish
