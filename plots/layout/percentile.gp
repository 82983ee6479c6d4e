# percentile.gp - latency by percentile or by size. For percentiles the x axis is 1 / (1 - p), so
# that each step to the right is one more nine; below the grey band's edge the clock cannot separate
# values.
set output sprintf("%s.%s", name, format)
set multiplot
set lmargin at screen px(left)
set rmargin at screen px(W - right)
set logscale x 10
set logscale y 10
set xrange [x_min:x_max]
set yrange [y_min:y_max]
eval sprintf("set xtics (%s)", ticks)
set format y "%.0s%c"
do for [p = 1:panel_count] {
	set tmargin at screen py(top[p])
	set bmargin at screen py(bottom[p])
	set label 4 y_text at screen px(11),py((top[p] + bottom[p]) / 2) center rotate textcolor rgb ink
	if (floor_ns > y_min) { set object 1 rectangle from graph 0,graph 0 to graph 1,first floor_ns fc rgb quiet fs solid 0.2 noborder behind }
	keyless = one_key && p > 1
	set label 3 panel[p] at screen px(8),py(top[p] - (keyless ? 13 : key_px + 3)) left font ",11" textcolor rgb ink
	if (panel_count == 1) { unset label 3 }
	set xlabel (p == panel_count ? x_text : "") offset 0,0.9 textcolor rgb ink
	set key at screen px(left),py(top[p] - key_px + 4) left top Left reverse maxrows key_rows samplen 1.6 spacing 1.0 width 1 font ",11" textcolor rgb ink
	if (keyless) { unset key }
	plot for [s = first[p]:last[p]] data using ($3 == s ? $7 : NaN):10 \
			with linespoints lc rgb color[s] dt dash[s] pt mark[s] ps 0.5 lw 1.3 title label[s], \
		for [i = 1:hovers] data using (hover(p, $7)):10:15 with labels hypertext point pt 7 ps 1.5 lc rgb 0xfe000000 notitle
	unset label 1
	unset label 2
}
unset multiplot
