#!/bin/bash
# Every figure in a real browser, at the widths of a phone, a tablet and a desk, light and dark: no
# text overlaps another or is cut off, none is smaller than 9 px on a phone, every text can be read,
# and marks show their values. Skipped where there is no chromium or gnuplot. shellcheck
# source=ci/own/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome) ||
	skip_all 'there is no chromium here'
command -v gnuplot >/dev/null || skip_all 'there is no gnuplot here'

# The made-up result has most figures; tasks, the hot split and a gate are made here.
"$reheap" plot "$root/plots/test/fixture.json" -o all >/dev/null 2>&1
"$reheap" plot "$root/plots/test/fixture.json" --builtin -o builtin >/dev/null 2>&1
"$reheap" gen goroutines -o parked.rht seed=1 shape=parked lanes=1 tasks=2000 events=10000 >/dev/null 2>&1
"$reheap" gen hotsplit -o split.rht seed=1 >/dev/null 2>&1
"$reheap" replay parked.rht --backend tiered/pools,libc/heap --reps 2 -q -o parked.json
"$reheap" replay split.rht --backend tiered/pools,tiered/segmented --reps 1 -q -o split.json
"$reheap" plot parked.json -o parked >/dev/null 2>&1
"$reheap" plot split.json -o split >/dev/null 2>&1
"$reheap" gen server -o t.rht events=60000 lanes=1 >/dev/null 2>&1
"$reheap" gate t.rht --baseline libc --candidate tiered --budget 5s --plot gate -o gate.json >/dev/null 2>&1
"$reheap" gate --recompute gate.json --plot again >/dev/null 2>&1
if command -v perl >/dev/null; then # the figures of what was predicted and what was observed
	"$reheap" validate -q --reps 1 --backend libc,one=libc@GLIBC_TUNABLES=glibc.malloc.arena_max=1 -o truth.json -- \
		perl -e '$h{$_} = "x" x 50 for 1 .. 200000' >/dev/null 2>&1
	"$reheap" plot truth.json -o truth >/dev/null 2>&1
fi
# Figures drawn only by scripts of plots/layout: Go as recorded and replayed, and other settings.
"$reheap" fidelity --no-oracle --plot fidelity "$root/traces/corpus/go/workers.rht" >/dev/null 2>&1
"$reheap" whatif --gogc 50,100,200,off --memlimit off,16M,64M --plot whatif \
	"$root/traces/corpus/go/nats.rht" >/dev/null 2>&1
# Settings of one allocator, whose names are long, at two numbers of lanes.
"$reheap" gen server -o second.rht events=30000 lanes=2 seed=2 >/dev/null 2>&1
"$reheap" replay t.rht second.rht --reps 2 --lanes 1,2 -q -o set.json \
	--backend libc,libc@GLIBC_TUNABLES=glibc.malloc.arena_max=1,libc@GLIBC_TUNABLES=glibc.malloc.tcache_count=0,tiered,tiered:profile=1.8,tiered:profile=1.14
"$reheap" plot set.json -o set >/dev/null 2>&1
shopt -s nullglob
figures=(all/*.svg parked/tasks-*.svg split/hot-split.svg gate/gate.svg truth/truth-*.svg
	truth/time-apar[t].svg set/*.svg fidelity.svg whatif.svg)
ok 'there are figures of every layout' test -s all/time-ratio.svg -a -s all/memory-run.svg -a \
	-s all/lanes.svg -a -s all/trade.svg -a -s all/latency.svg -a -s all/latency-run.svg -a \
	-s parked/tasks-memory.svg -a -s split/hot-split.svg -a -s gate/gate.svg -a -s fidelity.svg -a -s whatif.svg
ok 'marks of a figure show their values' grep -q '<title>jemalloc: 0.69 \[0.68, 0.69\]' all/time-ratio.svg
ok 'and so do those that were drawn without gnuplot' grep -q '<title>jemalloc: 0.69 \[0.68, 0.69\]' \
	builtin/time-ratio.svg
ok 'the gate names what was compared' grep -q 'tiered against libc' gate/gate.tsv
ok 'and so does one that is read again' grep -q 'tiered against libc' again/gate.tsv
ok 'no figure has a script' fails grep -l -i 'onmouse\|<script' "${figures[@]}"

# Text boxes are a line high: letters themselves are in the middle three fifths.
cat >probe.js <<'END'
addEventListener("load", () => {
	const rgb = c => (c.match(/[\d.]+/g) || []).map(Number);
	const light = c => {
		const [r, g, b] = rgb(c).slice(0, 3).map(v => v / 255)
			.map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
		return 0.2126 * r + 0.7152 * g + 0.0722 * b;
	};
	const lines = [], dark = matchMedia("(prefers-color-scheme: dark)").matches;
	let texts = 0;
	for (const box of document.querySelectorAll("[data-figure]")) {
		const name = box.dataset.figure, svg = box.querySelector("svg");
		const edge = svg.getBoundingClientRect(), scale = edge.width / svg.viewBox.baseVal.width;
		const page = svg.querySelector(".page");
		if (!page) { // gnuplot's own: it has no colours of the dark
			lines.push(`PROBE ${name} ${Math.round(edge.width)} undressed []`);
			continue;
		}
		const ground = light(getComputedStyle(page).fill);
		if (dark != ground < 0.2) lines.push(`PROBE ${name} ${Math.round(edge.width)} scheme []`);
		const list = [...svg.querySelectorAll("text")].filter(t => t.textContent.trim()).map(t => {
			const r = t.getBoundingClientRect(), up = r.height > r.width && t.textContent.length > 2;
			const dx = up ? r.width / 5 : 0, dy = up ? 0 : r.height / 5;
			const s = getComputedStyle(t), ink = light(s.fill);
			texts++;
			return { text: t.textContent.trim(), l: r.left + dx, r: r.right - dx, t: r.top + dy,
				b: r.bottom - dy, px: parseFloat(s.fontSize) * scale,
				contrast: (Math.max(ink, ground) + .05) / (Math.min(ink, ground) + .05) };
		});
		list.forEach((a, i) => {
			const say = what => lines.push(`PROBE ${name} ${Math.round(edge.width)} ${what} [${a.text}]`);
			if (a.l < edge.left - 1 || a.r > edge.right + 1 || a.t < edge.top - 1 || a.b > edge.bottom + 1)
				say("cut");
			if (edge.width < 400 && a.px < 9 && svg.viewBox.baseVal.width <= 460) say(`small ${a.px.toFixed(1)}`);
			if (a.contrast < 3) say(`pale ${a.contrast.toFixed(1)}`);
			for (const b of list.slice(i + 1)) {
				const x = Math.min(a.r, b.r) - Math.max(a.l, b.l), y = Math.min(a.b, b.b) - Math.max(a.t, b.t);
				if (x > 1 && y > 1) say(`over [${b.text}]`);
			}
		});
	}
	const out = document.createElement("pre");
	out.textContent = lines.concat(`PROBE-DONE texts=${texts} dark=${dark}`).join("\n");
	document.body.append(out);
});
END
{
	echo '<!doctype html><meta charset="utf-8"><style>svg{width:100%;display:block}</style><body>'
	for width in 390 900 1400; do
		for figure in "${figures[@]}" builtin/*.svg; do
			echo "<div data-figure=\"$figure\" style=\"width:${width}px\">"
			cat "$figure"
			echo '</div>'
		done
	done
	echo '<script>'
	cat probe.js
	echo '</script></body>'
} >page.html

# look NAME FLAGS...
look() {
	local name=$1
	shift
	timeout 90 "$browser" --headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage \
		--user-data-dir="$temp/profile" --window-size=1500,900 "$@" \
		--dump-dom "file://$temp/page.html" >dom 2>console </dev/null
	sed -n 's/.*\(PROBE [^$].*\)/\1/p' dom >"found.$name"
	ok "$name: the browser shows them" grep -q 'PROBE-DONE texts=[1-9]' dom
	grep -o 'PROBE-DONE texts=[0-9].*' dom | sed 's/^/# /; s/<.*//'
	ok "$name: every figure follows the colour scheme" fails grep -E " (undressed|scheme) " "found.$name"
	ok "$name: no text is cut off" fails grep ' cut ' "found.$name"
	ok "$name: no text lies on another" fails grep ' over ' "found.$name"
	ok "$name: no text is below 9 px on a phone" fails grep ' small ' "found.$name"
	ok "$name: every text can be read" fails grep ' pale ' "found.$name"
}
look light
look dark --blink-settings=preferredColorScheme=0
finish
