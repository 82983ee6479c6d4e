# tour.gp - the tiers of Go's memory that each step of a tour passed, and the memory after it.
# Run by `reheap tour --plot PREFIX`, or by hand:
#	gnuplot -e "data='t.tsv'; picture='t.svg'; about='t'" plots/layout/tour.gp
#
# Above: a column for each step, a mark for each tier whose counter moved, from the P's own caches
# down to the arena. Below: memory after the step. Columns: 1 step, 2 what, 3 and 4 first and last
# tier, 5 to 8 MiB, from 9 on the tiers. Width and text sizes are look.gp's.
W = 460
H = 600
set terminal svg size W,H dynamic noenhanced font "sans-serif,12" linewidth 1.2
set output picture
set encoding utf8
set datafile separator tab
set datafile missing "NaN"
if (!exists("about")) about = data
ink = 0x000000
quiet = 0x808080
mark = 0x0072b2
array colour[4] = [0xe69f00, 0x009e73, 0x56b4e9, 0xd55e00]
array named[4] = ["HeapInuse", "StackInuse", "virtual", "physical"]
array dash[4] = [1, 1, 2, 1]
px(v) = v / (1.0 * W)
py(v) = 1.0 - v / (1.0 * H)
stats data using 1 skip 1 nooutput
steps = int(STATS_max)
tiers = 10
array tier[tiers]
set xrange [0:1]
set yrange [-1:1]
set table "/dev/null"
do for [t = 1:tiers] { plot data using (column(0) == 0 ? (tier[t] = strcol(8 + t), 0) : 0):(0) }
unset table
set border 3 lc rgb quiet lw 0.7
set tics out nomirror scale 0.5 textcolor rgb ink
set grid x lc rgb quiet lw 0.25 dt (2,4)
set lmargin at screen px(100)
set rmargin at screen px(W - 14)
set xrange [0.4:steps + 0.6]
set label 1 "Which tiers a request passes" at screen px(8),py(17) left font ",13" textcolor rgb ink
set label 4 about at screen px(8),py(36) left font ",11" textcolor rgb ink
set label 2 "a mark: the tier's own counter moved; below, memory after each step" at screen px(8),py(H - 10) \
	left font ",11" textcolor rgb quiet
# A style of your own (--style FILE).
if (exists("own_style")) load own_style
set multiplot

set tmargin at screen py(50)
set bmargin at screen py(258)
set yrange [-tiers - 0.6:-0.4]
set ytics () font ",11"
do for [t = 1:tiers] { set ytics add (tier[t] -t) }
set xtics 1,1,steps format ""
unset key
plot data using 1:(-$3):(0):($3 - $4) skip 1 with vectors nohead lw 3 lc rgb 0x99c7e0, \
	for [t = 1:tiers] data using 1:(column(8 + t) > 0 ? -t : 9) skip 1 with points pt 7 ps 0.55 lc rgb mark
unset label 1
unset label 2
unset label 4

set tmargin at screen py(318)
set bmargin at screen py(H - 132)
set yrange [0:*]
set offsets 0, 0, graph 0.08, 0
set ytics autofreq font ",11"
set grid y lc rgb quiet lw 0.25 dt (2,4)
set label 3 "MiB" at screen px(60),py(392) center rotate textcolor rgb ink
set xtics rotate by 90 right font ",11"
set key at screen px(100),py(276) left top horizontal Left reverse samplen 1.6 width 1 font ",11" textcolor rgb ink
plot for [c = 1:4] data using 1:(column(4 + c)):xtic(sprintf("%d  %s", int($1), strcol(2))) skip 1 with steps lw 1.8 \
	dt dash[c] lc rgb colour[c] title named[c]
unset multiplot
