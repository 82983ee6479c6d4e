# heat.gp - latency over the run, a panel for each backend: where a box is darker more operations
# of that stretch of the run took that long. Every backend is at the same place of the program.
set output sprintf("%s.%s", name, format)
set multiplot
set lmargin at screen px(left)
set rmargin at screen px(W - right)
set xrange [0:x_max]
set logscale y 10
set yrange [y_min:y_max]
set format y "%.0s%c"
set style fill solid 1.0 noborder
# opacity by level: 1/6 ... 6/6, as gnuplot's alpha (0 is opaque)
tint(s, level) = color[s] + (int(255 * (6 - level) / 6) << 24)
do for [p = 1:panel_count] {
	set tmargin at screen py(top[p])
	set bmargin at screen py(bottom[p])
	set label 4 y_text at screen px(11),py((top[p] + bottom[p]) / 2) center rotate textcolor rgb ink
	if (floor_ns > y_min) { set object 1 rectangle from graph 0,graph 0 to graph 1,first floor_ns fc rgb quiet fs solid 0.2 noborder behind }
	set label 3 panel[p] at screen px(left),py(top[p] - 9) left font ",11" textcolor rgb ink
	if (p == panel_count) { eval sprintf("set xtics (%s)", x_ticks) } else { set format x "" }
	set xlabel (p == panel_count ? x_text : "") offset 0,0.9 textcolor rgb ink
	plot data using ($1 == p ? $7 : NaN):10:8:9:11:12:(tint(int($3), $13)) with boxxyerror lc rgb variable notitle
	unset label 1
	unset label 2
}
unset multiplot
