# lanes.gp - throughput against lanes, with intervals; the grey line is lanes times the best of one
# lane (worse scaling is below it), the dotted upright the number of CPUs: beyond it lanes share.
set output sprintf("%s.%s", name, format)
set multiplot
set lmargin at screen px(left)
set rmargin at screen px(W - right)
set xrange [0:x_max]
set xtics 1
if (x_max > 12) eval sprintf("set xtics (%s)", x_ticks)
set arrow 1 from first cpus,graph 0 to first cpus,graph 1 nohead lc rgb quiet lw 0.8 dt (1,3) back
do for [p = 1:panel_count] {
	set tmargin at screen py(top[p])
	set bmargin at screen py(bottom[p])
	set yrange [0:y_hi[p]]
	eval sprintf("set ytics (%s)", y_ticks[p])
	set label 4 y_text at screen px(11),py((top[p] + bottom[p]) / 2) center rotate textcolor rgb ink
	keyless = one_key && p > 1
	set label 3 panel[p] at screen px(8),py(top[p] - (keyless ? 13 : key_px + 3)) left font ",11" textcolor rgb ink
	if (panel_count == 1) { unset label 3 }
	set xlabel (p == panel_count ? x_text : "") offset 0,0.9 textcolor rgb ink
	set key at screen px(left),py(top[p] - key_px + 4) left top Left reverse maxrows key_rows samplen 1.6 spacing 1.0 width 1 font ",11" textcolor rgb ink
	if (keyless) { unset key }
	plot for [s = first[p]:last[p]] data using ($3 == s && role[s] == 1 ? $7 : NaN):10 \
			with lines lc rgb quiet lw 1 dt (6,3) title (role[s] == 1 ? label[s] : ""), \
		for [s = first[p]:last[p]] data using ($3 == s && role[s] == 0 ? $7 : NaN):10:11:12 \
			with yerrorbars lc rgb color[s] pt 0 lw 1 notitle, \
		for [s = first[p]:last[p]] data using ($3 == s && role[s] == 0 ? $7 : NaN):10 \
			with linespoints lc rgb color[s] dt dash[s] pt mark[s] ps 0.6 lw 1.3 title (role[s] == 0 ? label[s] : ""), \
		for [i = 1:hovers] data using (hover(p, $7)):10:15 with labels hypertext point pt 7 ps 1.5 lc rgb 0xfe000000 notitle
	unset label 1
	unset label 2
}
unset multiplot
