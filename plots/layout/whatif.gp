# whatif.gp - memory against the work of marking, one point for each GOGC, one line for each limit.
# Run by `reheap whatif --plot PREFIX`, or by hand:
#	gnuplot -e "data='t.tsv'; picture='t.svg'; about='t'" plots/layout/whatif.gp
#
# Down and left is better: less memory, less marking. Columns: 3 marked, 4 peak, 6 number of the
# limit, 7 what stands at the point (empty where another point has said it), 8 the limit's words.
# Limits that make no difference lie on one another: those below are broader, so that they show.
# Names come from outside: never markup. Width and text sizes are look.gp's.
W = 460
H = 380
set terminal svg size W,H dynamic noenhanced font "sans-serif,12" linewidth 1.2
set output picture
set encoding utf8
set datafile separator tab
if (!exists("about")) about = data
if (strlen(about) > 66) { about = about[1:63]."..." }
ink = 0x000000
quiet = 0x808080
array colour[6] = [0x0072b2, 0xd55e00, 0x009e73, 0xcc79a7, 0xe69f00, 0x56b4e9]
array shape[6] = [7, 5, 9, 13, 11, 15]
px(v) = v / (1.0 * W)
py(v) = 1.0 - v / (1.0 * H)
set border 3 lc rgb quiet lw 0.7
set tics out nomirror scale 0.5 textcolor rgb ink
set xtics offset 0,0.4
set grid lc rgb quiet lw 0.25 dt (2,4)
stats data using 6 skip 1 nooutput
limits = int(STATS_max)
array limit[limits]
set xrange [0:1]
set yrange [-1:1]
set table "/dev/null"
plot data using (limit[int($6)] = strcol(8), 0):(0) skip 1
unset table
rows = (limits + 1) / 2
set lmargin at screen px(70)
set rmargin at screen px(W - 28)
set tmargin at screen py(52 + 15 * rows)
set bmargin at screen py(H - 60)
set label 1 "Peak heap and marking, by GOGC" at screen px(8),py(17) left font ",13" textcolor rgb ink
set label 4 about at screen px(8),py(36) left font ",11" textcolor rgb ink
set label 2 "numbers at the points: GOGC; both axes begin at 0" at screen px(8),py(H - 10) left \
	font ",11" textcolor rgb quiet
set label 3 "peak heap, MiB" at screen px(11),py(0.5 * (H - 8 + 15 * rows)) center rotate textcolor rgb ink
set xlabel "marked by the collector, MiB" offset 0,0.9 textcolor rgb ink
set key at screen px(70),py(44) left top Left reverse maxrows rows samplen 1.6 width 1 font ",11" textcolor rgb ink
# A style of your own (--style FILE).
if (exists("own_style")) load own_style
set xrange [0:*]
set yrange [0:*]
set offsets graph 0.02, graph 0.06, graph 0.12, 0
plot for [i = 1:limits] data using 3:($6 == i ? column(4) : NaN) skip 1 \
		with linespoints lw 1.4 + 2.2 * (limits - i) pt shape[(i - 1) % 6 + 1] ps 0.6 + 0.25 * (limits - i) \
		lc rgb colour[(i - 1) % 6 + 1] title limit[i], \
	data using 3:4:7 skip 1 with labels offset 0,0.9 font ",11" textcolor rgb ink notitle
