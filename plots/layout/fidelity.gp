# fidelity.gp - what Go had and what the replay had, at the edges of collections.
# Run by `reheap fidelity --plot PREFIX`, or by hand:
#	gnuplot -e "data='t.tsv'; picture='t.svg'; title_text='t'" plots/layout/fidelity.gp
#
# Recorded is a broad pale line, replayed a thin dark one on it: where they are one, they agree.
# Names come from outside: never markup (noenhanced). Colours and text sizes are look.gp's.
W = 620
H = 560
set terminal svg size W,H dynamic noenhanced font "sans-serif,12" linewidth 1.2 background "#ffffff"
set output picture
set encoding utf8
set datafile separator tab
set datafile missing "NaN"
if (!exists("title_text")) title_text = data
ink = 0x000000
quiet = 0x808080
recorded = 0x56b4e9
replayed = 0xd55e00
set border 3 lc rgb quiet lw 0.7
set tics out nomirror scale 0.5 textcolor rgb ink
set grid y lc rgb quiet lw 0.25 dt (2,4)
px(v) = v / (1.0 * W)
py(v) = 1.0 - v / (1.0 * H)
mib = 1.0 / 1048576
set lmargin at screen px(64)
set rmargin at screen px(W - 22)
set xrange [0:*]
set yrange [0:*]
set format x ""
set label 1 title_text.": Go as recorded, and replayed" at screen px(8),py(17) left font ",13" textcolor rgb ink
set label 2 "memory at the begin and end of each collection; every axis begins at 0" \
	at screen px(8),py(H - 9) left font ",9" textcolor rgb quiet
set key at screen px(64),py(36) left horizontal Left reverse samplen 1.8 width 2 font ",11" textcolor rgb ink
set multiplot

do for [panel = 1:3] {
	top = 52 + (panel - 1) * 152
	col = panel == 1 ? 4 : panel == 2 ? 8 : 10
	name = panel == 1 ? "HeapInuse" : panel == 2 ? "live bytes" : "StackInuse"
	set tmargin at screen py(top)
	set bmargin at screen py(top + 134)
	set label 3 sprintf("%s, MiB", name) at screen px(14),py(top + 67) center rotate textcolor rgb ink
	if (panel == 3) {
		set format x "%g"
		set xlabel "time in the recording, ms" offset 0,0.6 textcolor rgb ink
	}
	plot data using 3:(column(col) * mib) skip 1 with lines lw 5 lc rgb recorded \
			title (panel == 1 ? "recorded by Go" : ""), \
		data using 3:(column(col + 1) * mib) skip 1 with linespoints lw 1.2 pt 7 ps 0.35 lc rgb replayed \
			title (panel == 1 ? "replayed on tiered/pools" : "")
	unset label 1
	unset label 2
	unset key
}
unset multiplot
