# gate.gp - every block of a gate, pair by pair, with the interval and the margin.
#
# A script is the facts of the figure (name, W, H, rows, dropped and apart: are there such
# blocks, threshold, margin, low and high of the axis in percent), then this file. It runs
# alone beside its .tsv:
#
#	gnuplot gate.gp			gnuplot -e 'format="png"' gate.gp
#
# Columns: 1 kind (0 block, 1 dropped block, 2 median of a pair, 3 interval of a
# scenario, 4 its name, 5 the rows it takes: limits are drawn there and not across names), 2 row from the top, 3 change in percent, 4 low, 5 high, 6 text.
# Names of traces come from the .tsv and are printed as they are, never as script. Fonts, ink,
# grid and places of title and notes are those of look.gp.
if (!exists("format")) format = "svg"
if (format eq "svg") set terminal svg size W,H dynamic noenhanced font "sans-serif,12" linewidth 1.2
if (format eq "png") set terminal pngcairo size 2*W,2*H noenhanced font "DejaVu Sans,12" fontscale 1.45 linewidth 2
if (format eq "pdf") set terminal pdfcairo size W/120.0,H/120.0 noenhanced font "DejaVu Sans,12" fontscale 0.44 linewidth 0.8
set output sprintf("%s.%s", name, format)
set encoding utf8
set datafile separator tab
set datafile commentschars ""
set datafile columnheaders
set datafile missing "NaN"
data = sprintf("%s.tsv", name)

ink = 0x000000
quiet = 0x808080
px(v) = v / (1.0 * W)
py(v) = 1.0 - v / (1.0 * H)
set border 1 lc rgb quiet lw 0.7
set tics out nomirror scale 0.5 textcolor rgb ink
set xtics offset 0,0.4
unset ytics
unset key
set grid x lc rgb quiet lw 0.25 dt (2,4)
set lmargin at screen px(18)
set rmargin at screen px(W - 18)
set tmargin at screen py(28)
set bmargin at screen py(H - 100)
set xrange [low:high]
set yrange [rows - 0.3:-0.8]
set format x "%g"
set xlabel "candidate / baseline - 1, in percent" offset 0,0.9 textcolor rgb ink
set label 1 "Gate: change of wall time (lower is better)" at screen px(8),py(14) left font ",13" textcolor rgb ink
set label 2 sprintf("dot: a block of four %s%s; cross: median of a pair;\nblack: median of all and its exact interval; dashed: the limit\nsolid: half of it, an interval beyond it fails and one short of it passes", \
	apart ? "passes" : "turns", dropped ? " (ring: dropped)" : "") at screen px(8),py(H - 43) left font ",11" textcolor rgb quiet
# A style of your own stands here (reheap gate --plot DIR --style FILE).
plot data using ($1 == 5 ? 0 : NaN):4:(0):($5 - $4) with vectors nohead lc rgb ink lw 0.8 dt (4,3), \
     data using ($1 == 5 ? margin : NaN):4:(0):($5 - $4) with vectors nohead lc rgb 0xD55E00 lw 1.2, \
     data using ($1 == 5 ? threshold : NaN):4:(0):($5 - $4) with vectors nohead lc rgb 0xD55E00 lw 0.8 dt (4,3), \
     for [i = 1:dropped] data using ($1 == 1 ? $3 : NaN):2 with points pt 6 ps 0.3 lc rgb 0xB0B0B0, \
     data using ($1 == 0 ? $3 : NaN):2 with points pt 7 ps 0.3 lc rgb 0x56B4E9, \
     data using ($1 == 2 ? $3 : NaN):2 with points pt 2 ps 0.6 lw 1.3 lc rgb 0x0072B2, \
     data using ($1 == 3 ? $3 : NaN):2:4:5 with xerrorbars pt 7 ps 0.75 lw 1.5 lc rgb ink, \
     data using ($1 == 4 ? low : NaN):2:6 with labels left textcolor rgb ink
