# run.gp - memory over the run of one trace: resident memory of the heap (one line for each backend)
# and bytes that the program has in use (the filled steps), then their ratio. The x axis counts
# events, not time: every backend is then at the same place of the program.
set output sprintf("%s.%s", name, format)
set multiplot
set lmargin at screen px(left)
set rmargin at screen px(W - right)
set xrange [0:x_max]
set label 3 panel[1] at screen px(8),py(top[1] - key_px - 3) left font ",11" textcolor rgb ink
set key at screen px(left),py(top[1] - key_px + 4) left top Left reverse maxrows key_rows samplen 1.6 spacing 1.0 width 1 font ",11" textcolor rgb ink
set tmargin at screen py(top[1])
set bmargin at screen py(bottom[1])
set yrange [0:*]
set label 4 y_text at screen px(11),py((top[1] + bottom[1]) / 2) center rotate textcolor rgb ink
set format x ""
plot for [s = first[1]:last[1]] data using ($3 == s && role[s] == 1 ? $7 : NaN):($10 / scale) \
		with filledcurves y=0 fs solid 1.0 noborder lc rgb 0xb0808080 title (role[s] == 1 ? label[s] : ""), \
	for [s = first[1]:last[1]] data using ($3 == s && role[s] == 0 ? $7 : NaN):($10 / scale) \
		with fsteps lc rgb color[s] dt dash[s] lw 1.5 title (role[s] == 0 ? label[s] : ""), \
	for [i = 1:hovers] data using (hover(1, $7)):($10 / scale):15 with labels hypertext point pt 7 ps 1.5 lc rgb 0xfe000000 notitle
unset label 1
unset label 2
unset label 3
unset key
set tmargin at screen py(top[2])
set bmargin at screen py(bottom[2])
set yrange [y2_min:y2_max]
set label 4 y2_text at screen px(11),py((top[2] + bottom[2]) / 2) center rotate textcolor rgb ink
eval sprintf("set xtics (%s)", x_ticks)
set xlabel x_text offset 0,0.9 textcolor rgb ink
set ytics y2_step
plot for [s = first[2]:last[2]] data using ($3 == s ? $7 : NaN):10 with fsteps lc rgb color[s] dt dash[s] lw 1.3, \
	for [i = 1:hovers] data using (hover(2, $7)):10:15 with labels hypertext point pt 7 ps 1.5 lc rgb 0xfe000000
unset multiplot
