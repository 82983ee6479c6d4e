# fidelity.gp - Go and the replay, at the edges of collections.
# Run by `reheap fidelity --plot PREFIX`, or by hand:
#	gnuplot -e "data='t.tsv'; picture='t.svg'; about='t'" plots/layout/fidelity.gp
#
# Recorded is a broad pale line, replayed a thin dark one on it: where they are one, they agree.
# Names come from outside: never markup (noenhanced). Width and text sizes are look.gp's.
W = 460
H = 578
set terminal svg size W,H dynamic noenhanced font "sans-serif,12" linewidth 1.2
set output picture
set encoding utf8
set datafile separator tab
set datafile missing "NaN"
if (!exists("about")) about = data
if (strlen(about) > 66) { about = about[1:63]."..." }
ink = 0x000000
quiet = 0x808080
recorded = 0x56b4e9
replayed = 0xd55e00
set border 3 lc rgb quiet lw 0.7
set tics out nomirror scale 0.5 textcolor rgb ink
set xtics offset 0,0.4
set grid y lc rgb quiet lw 0.25 dt (2,4)
px(v) = v / (1.0 * W)
py(v) = 1.0 - v / (1.0 * H)
mib = 1.0 / 1048576
# 1, 2 or 5 times a power of ten that cuts `most` into four or fewer
ten(most) = 10**floor(log10(most / 4))
step(most) = ten(most) * (most / 4 / ten(most) > 5 ? 10 : most / 4 / ten(most) > 2 ? 5 : most / 4 / ten(most) > 1 ? 2 : 1)
array col[3] = [4, 8, 10]
array named[3] = ["HeapInuse", "live bytes", "StackInuse"]
array most[3]
do for [panel = 1:3] {
	stats data using (column(col[panel]) * mib):(column(col[panel] + 1) * mib) skip 1 nooutput
	most[panel] = STATS_max_x > STATS_max_y ? STATS_max_x : STATS_max_y
	if (!(most[panel] > 0)) { most[panel] = 1 }
}
set lmargin at screen px(70)
set rmargin at screen px(W - 22)
set xrange [0:*]
set format x ""
set label 1 "Go as recorded, and replayed" at screen px(8),py(17) left font ",13" textcolor rgb ink
set label 4 about at screen px(8),py(36) left font ",11" textcolor rgb ink
set label 2 "memory at begin and end of each collection; axes begin at 0" \
	at screen px(8),py(H - 10) left font ",11" textcolor rgb quiet
set key at screen px(70),py(44) left top horizontal Left reverse samplen 1.6 width 1 font ",11" textcolor rgb ink
# A style of your own (--style FILE).
if (exists("own_style")) load own_style
set multiplot

do for [panel = 1:3] {
	top = 80 + (panel - 1) * 150
	set tmargin at screen py(top)
	set bmargin at screen py(top + 134)
	set yrange [0:1.08 * most[panel]]
	set ytics step(most[panel])
	set label 3 sprintf("%s, MiB", named[panel]) at screen px(11),py(top + 67) center rotate textcolor rgb ink
	if (panel == 3) {
		set format x "%g"
		set xlabel "time in the recording, ms" offset 0,0.9 textcolor rgb ink
	}
	plot data using 3:(column(col[panel]) * mib) skip 1 with lines lw 5 lc rgb recorded \
			title (panel == 1 ? "recorded by Go" : ""), \
		data using 3:(column(col[panel] + 1) * mib) skip 1 with linespoints lw 1.2 pt 7 ps 0.35 lc rgb replayed \
			title (panel == 1 ? "replayed on tiered/pools" : "")
	unset label 1
	unset label 2
	unset label 4
	unset key
}
unset multiplot
