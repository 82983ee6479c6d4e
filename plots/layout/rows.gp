# rows.gp - one row for each backend: a point and its interval, sorted; the numbers beside it.
set output sprintf("%s.%s", name, format)
set multiplot
set lmargin at screen px(left)
set rmargin at screen px(W - right)
set xtics x_step
if (log_x) set logscale x 10
if (log_x) eval sprintf("set xtics (%s)", ticks)
set xrange [x_min:x_max]
set format x "%g"
unset grid
set grid x lc rgb quiet lw 0.25 dt (2,4)
set border 1
unset ytics
do for [p = 1:panel_count] {
	set tmargin at screen py(top[p])
	set bmargin at screen py(bottom[p])
	set yrange [rows[p] - 0.5:-0.5]
	at_left = own_x ? x_lo[p] : x_min
	at_right = own_x ? x_hi[p] : x_max
	set xrange [at_left:at_right]
	if (own_x) { set xtics x_steps[p] }
	set label 3 panel[p] at screen px(8),py(top[p] - 7) left font ",11" textcolor rgb ink
	if (panel_count == 1) { unset label 3 }
	set xlabel (p == panel_count ? x_text : "") offset 0,0.9 textcolor rgb ink
	if (reference > 0) { set arrow 1 from first reference,graph 0 to first reference,graph 1 nohead lc rgb ink lw 0.8 dt (4,3) back }
	plot data using (at_left):($1 == p ? $10 : NaN):5 with labels right offset -1.2,0 textcolor rgb ink, \
		data using (at_right):($1 == p ? $10 : NaN):14 with labels left offset 0.8,0 textcolor rgb ink, \
		for [s = first[p]:last[p]] data using ($3 == s ? $7 / scale : NaN):10:((valid(8) ? $8 : $7) / scale):((valid(9) ? $9 : $7) / scale) \
			with xerrorbars lc rgb color[s] pt mark[s] ps 0.75 lw 1.3, \
		for [i = 1:hovers] data using (hover(p, $7 / scale)):10:15 with labels hypertext point pt 7 ps 1.5 lc rgb 0xfe000000
	unset label 1
	unset label 2
}
unset multiplot
