# whatif.gp - memory against the work of marking, one point for each GOGC, one line for each limit.
# Run by `reheap whatif --plot PREFIX`, or by hand:
#	gnuplot -e "data='t.tsv'; picture='t.svg'; title_text='t'" plots/layout/whatif.gp
#
# Down and left is better: less memory, less marking. Names come from outside: never markup.
W = 620
H = 400
set terminal svg size W,H dynamic noenhanced font "sans-serif,12" linewidth 1.2 background "#ffffff"
set output picture
set encoding utf8
set datafile separator tab
if (!exists("title_text")) title_text = data
ink = 0x000000
quiet = 0x808080
array colour[6] = [0x0072b2, 0xd55e00, 0x009e73, 0xcc79a7, 0xe69f00, 0x56b4e9]
px(v) = v / (1.0 * W)
py(v) = 1.0 - v / (1.0 * H)
set border 3 lc rgb quiet lw 0.7
set tics out nomirror scale 0.5 textcolor rgb ink
set grid lc rgb quiet lw 0.25 dt (2,4)
set lmargin at screen px(64)
set rmargin at screen px(W - 28)
set tmargin at screen py(64)
set bmargin at screen py(H - 56)
set label 1 title_text.": peak heap and marking by GOGC" at screen px(8),py(17) left font ",13" \
	textcolor rgb ink
set label 2 "numbers at the points: GOGC; both axes begin at 0" at screen px(8),py(H - 9) left \
	font ",9" textcolor rgb quiet
set xlabel "marked by the collector, MiB" textcolor rgb ink
set ylabel "peak heap, MiB" textcolor rgb ink
set key at screen px(64),py(40) left horizontal Left reverse samplen 1.8 font ",11" textcolor rgb ink
set xrange [0:*]
set yrange [0:*]
set offsets graph 0, graph 0.06, graph 0.08, 0
stats data using (column(5)) every ::1 nooutput
limits = ""
do for [row = 1:int(STATS_records)] {
	set table $one
	plot data using (strcol(2)) every ::row::row with table
	unset table
	one = $one[1]
	one = one[strstrt(one, strlen(one) > 0 ? one[strlen(one):strlen(one)] : "") > 0 ? 1 : 1:]
	while (strlen(one) && one[1:1] eq " ") { one = one[2:] }
	while (strlen(one) && (one[strlen(one):] eq " " || one[strlen(one):] eq "\t")) { one = one[1:strlen(one) - 1] }
	if (!strstrt(" ".limits." ", " ".one." ")) { limits = limits." ".one }
}
plot for [i = 1:words(limits)] data using 3:(strcol(2) eq word(limits, i) ? column(4) : NaN) every ::1 \
	with linespoints lw 1.6 pt 7 ps 0.6 lc rgb colour[(i - 1) % 6 + 1] \
	title (word(limits, i) eq "off" ? "no limit" : "GOMEMLIMIT=".word(limits, i)), \
	data using 3:4:1 every ::1 with labels offset 0,0.8 font ",10" textcolor rgb ink notitle
