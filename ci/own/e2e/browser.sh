#!/bin/bash
# The report and the page of a matrix in a real browser, without a window: nothing on the console, nothing fetched, ids
# unique, text readable on light and dark. Skipped where there is no chromium.
# shellcheck source=ci/own/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome) ||
	skip_all 'there is no chromium here'

"$reheap" gen server -o t.rht events=40000 lanes=2 heap=2M >/dev/null 2>&1
"$reheap" replay t.rht --backend libc,bump,null --reps 5 -o r.json >/dev/null 2>&1
is_exit 0 'a report' "$reheap" plot r.json -o drawn

# A second page around the report queries the browser: it reads the computed colours of text and
# background and writes contrast and counts into its own text, which --dump-dom prints.
cat >probe.js <<'END'
addEventListener("load", () => {
	const rgb = c => (c.match(/[\d.]+/g) || []).map(Number);
	const light = c => {
		const [r, g, b] = rgb(c).slice(0, 3).map(v => v / 255)
			.map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
		return 0.2126 * r + 0.7152 * g + 0.0722 * b;
	};
	// the nearest that is painted: cells of a heat map have grounds of their own
	const ground_of = e => {
		for (; e; e = e.parentElement) {
			const c = getComputedStyle(e).backgroundColor;
			if (rgb(c).length && !/, 0\)$/.test(c)) return light(c);
		}
		return 1;
	};
	const fold = document.querySelector("main details")?.getBoundingClientRect().top ?? 0;
	let least = 99, where = "";
	for (const e of document.querySelectorAll("h1,h2,h3,p,li,td,th,small,a,summary,figcaption,svg text")) {
		if (!e.textContent.trim()) continue;
		const s = getComputedStyle(e);
		const own = light(e.tagName == "text" ? (s.fill == "currentcolor" ? s.color : s.fill) : s.color);
		const ground = ground_of(e), c = (Math.max(own, ground) + 0.05) / (Math.min(own, ground) + 0.05);
		if (c < least) { least = c; where = e.tagName + " " + e.textContent.slice(0, 30); }
	}
	const ids = [...document.querySelectorAll("[id]")].map(e => e.id);
	const twice = ids.filter((id, i) => ids.indexOf(id) != i);
	const wide = document.documentElement.scrollWidth > innerWidth + 1;
	const data = document.querySelector("script[type='application/json']");
	// What a screen reader and a keyboard need; each finding is a word.
	const bad = [];
	if (!document.documentElement.lang || !document.title) bad.push("no-lang-or-title");
	if (document.querySelectorAll("main").length != 1) bad.push("main");
	if (document.querySelectorAll("h1").length != 1) bad.push("h1");
	let level = 0;
	for (const h of document.querySelectorAll("h1,h2,h3,h4,h5,h6")) {
		const now = +h.tagName[1];
		if (now > level + 1) bad.push("heading-jumps:" + h.textContent.slice(0, 20));
		level = now;
	}
	for (const s of document.querySelectorAll("svg"))
		if (s.getAttribute("role") != "img" ||
		    !(s.getAttribute("aria-label") || s.querySelector("title")?.textContent))
			bad.push("figure-without-name");
	for (const t of document.querySelectorAll("table"))
		if (!t.querySelector("th")) bad.push("table-without-head");
	for (const a of document.querySelectorAll("a[href^='#']"))
		if (!document.getElementById(a.getAttribute("href").slice(1)))
			bad.push("link-to-nothing:" + a.textContent);
	for (const d of document.querySelectorAll("details")) {
		if (!d.querySelector(":scope > summary")?.textContent.trim()) bad.push("fold-without-name");
		d.open = true;
	}
	for (const t of document.querySelectorAll("figure svg text")) {
		const r = t.getBoundingClientRect(), box = t.ownerSVGElement.getBoundingClientRect();
		if (r.left < box.left - 2 || r.right > box.right + 2 || r.top < box.top - 2 || r.bottom > box.bottom + 2)
			bad.push("cut:" + t.textContent.slice(0, 20));
	}
	for (const e of document.querySelectorAll("main *"))
		if (e.scrollWidth > e.clientWidth + 1 && /auto|scroll/.test(getComputedStyle(e).overflowX) &&
		    e.tabIndex < 0)
			bad.push("scrolls-without-keyboard:" + e.className);
	for (const e of document.querySelectorAll("[tabindex]"))
		if (e.tabIndex > 0) bad.push("order-of-tabs");
	const out = document.createElement("pre");
	out.textContent = `PROBE contrast=${least.toFixed(2)} at=[${where}] twice=${twice.length} ` +
		`screens=${(fold / innerHeight).toFixed(1)} inner=${innerWidth} fetched=${performance.getEntriesByType("resource").length} wide=${wide} ` +
		`access=${bad.length ? [...new Set(bad)].join(",").replace(/ /g, "_") : "good"} ` +
		`dark=${matchMedia("(prefers-color-scheme: dark)").matches} ` +
		`json=${data ? JSON.parse(data.textContent).schema : "none"}`;
	document.querySelector("main").append(out);
});
END
# around PAGE
around() {
	{ sed 's|</body>.*||' "$1"; echo '<script>'; [ -z "${2:-}" ] || cat "$2"; cat probe.js; echo '</script></body></html>'; } >page.html
}

# look NAME WIDTH FLAGS...
look() {
	local name=$1 width=$2
	shift 2
	timeout 90 "$browser" --headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage \
		--user-data-dir="$temp/profile" --window-size="$width,900" --enable-logging=stderr \
		--v=0 "$@" --dump-dom "file://$temp/page.html" >dom 2>console </dev/null
	grep -o 'PROBE contrast=[0-9][^<]*' dom | tail -n 1 >seen
	ok "$name: the browser shows it" test -s seen
	sed 's/^/# /' seen
	ok "$name: nothing on the console" fails grep -q 'CONSOLE' console
	ok "$name: ids are unique" grep -q 'twice=0 ' seen
	ok "$name: names, headings, tables and keyboard" grep -q 'access=good ' seen
	ok "$name: nothing is fetched" grep -q 'fetched=0 ' seen
	ok "$name: text is readable (contrast >= 4.5)" awk -F'contrast=' '{ exit !($2 + 0 >= 4.5) }' seen
	ok "$name: the page is not wider than the window" grep -q 'wide=false' seen
}
around drawn/report.html
look light 1200
ok 'the result can be read back' grep -q 'json=reheap.result/1' seen
look phone 500
look dark 1200 --blink-settings=preferredColorScheme=0
if grep -q 'dark=true' seen; then
	ok 'dark is dark' true
else
	skip 'dark is dark' 'this browser has no option to prefer dark'
fi

# ---- the first minute: four traces, five allocators ----

backends=libc,one=libc@GLIBC_TUNABLES=glibc.malloc.arena_max=1,none=libc@GLIBC_TUNABLES=glibc.malloc.tcache_count=0
for name in a b c d; do
	"$reheap" gen server -o $name.rht seed=1 events=40000 lanes=1 heap=1M >/dev/null 2>&1
done
"$reheap" replay [abcd].rht --backend $backends,bump,tiered --reps 6 -q -o demo.json
"$reheap" plot demo.json -o demo >/dev/null 2>&1
ok 'the page of the demo has at most 1.5 MB' test "$(stat -c %s demo/report.html)" -le 1500000
around demo/report.html
look 'demo on a phone' 500
ok 'has at most four screens before the folded part' awk -F'screens=' '{ exit !($2 + 0 > 0 && $2 + 0 <= 4) }' seen
axe=${AXE:-/usr/share/nodejs/axe-core/axe.min.js}
if [ -s "$axe" ]; then
	cp probe.js probe-only.js
	cat >>probe.js <<'END'
addEventListener("load", async () => {
	const found = await axe.run(document, { resultTypes: ["violations"] });
	const out = document.createElement("pre");
	out.textContent = `AXE violations=${found.violations.length} ${found.violations.map(v => v.id)}.`;
	document.body.append(out);
});
END
	around demo/report.html "$axe"
	look 'demo under axe' 900 --virtual-time-budget=60000
	ok 'axe finds nothing' grep -q 'AXE violations=0 ' dom
	mv probe-only.js probe.js
else
	skip 'axe finds nothing' 'axe-core is not here (AXE=.../axe.min.js)'
fi

# ---- a matrix ----

maker=$build/helpers/matrix_maker
if [ -x "$maker" ]; then
	"$maker" known 500 1
	"$maker" later 500 2 1.10
	is_exit 0 'a page of a matrix' "$reheap" plot later -o overview --since known
	around overview/report.html
	for width in 390 900 1400; do
		look "matrix $width" $width
	done
	look 'matrix dark' 900 --blink-settings=preferredColorScheme=0
else
	skip 'a matrix' 'matrix_maker is not built (make tests)'
fi
finish
