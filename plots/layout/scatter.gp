# scatter.gp - time against memory: one point for each backend, crosses are intervals.
# Down and left is better; nothing beats a point that has no other below it and to its left.
# With `diagonal` it is predicted against observed instead: on the dashed line they are the same.
set output sprintf("%s.%s", name, format)
set multiplot
set lmargin at screen px(left)
set rmargin at screen px(W - right)
set xtics x_step
if (log_x) set logscale x 10
if (log_x) eval sprintf("set xtics (%s)", ticks)
set xrange [x_min:x_max]
set grid x y lc rgb quiet lw 0.25 dt (2,4)
do for [p = 1:panel_count] {
	set tmargin at screen py(top[p])
	set bmargin at screen py(bottom[p])
	set yrange [y_lo[p]:y_hi[p]]
	set label 4 y_text at screen px(11),py((top[p] + bottom[p]) / 2) center rotate textcolor rgb ink
	keyless = one_key && p > 1
	set label 3 panel[p] at screen px(8),py(top[p] - (keyless ? 13 : key_px + 3)) left font ",11" textcolor rgb ink
	if (panel_count == 1) { unset label 3 }
	set xlabel (p == panel_count ? x_text : "") offset 0,0.9 textcolor rgb ink
	set key at screen px(left),py(top[p] - key_px + 4) left top Left reverse maxrows key_rows samplen 1.6 spacing 1.0 width 1 font ",11" textcolor rgb ink
	if (keyless) { unset key }
	plot for [s = first[p]:last[p]] data using ($3 == s ? $7 : NaN):($10 / scale):8:9:($11 / scale):($12 / scale) \
			with xyerrorbars lc rgb color[s] pt mark[s] ps 0.9 lw 1 title label[s], \
		for [i = 1:diagonal] x with lines lc rgb quiet lw 0.8 dt (5,4) notitle, \
		for [i = 1:hovers] data using (hover(p, $7)):($10 / scale):15 with labels hypertext point pt 7 ps 1.5 lc rgb 0xfe000000 notitle
	unset label 1
	unset label 2
}
unset multiplot
