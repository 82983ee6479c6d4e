# gate.gp - every block of a gate, pair by pair, with the interval and the margin.
#
# A script is the facts of the figure (name, W, H, rows, dropped: are there dropped blocks,
# threshold, margin, low and high of the axis in percent), then this file. It runs alone beside its .tsv:
#
#	gnuplot gate.gp			gnuplot -e 'format="png"' gate.gp
#
# Columns: 1 kind (0 block, 1 dropped block, 2 median of a pair, 3 interval of a
# scenario), 2 row from the top, 3 change in percent, 4 low, 5 high, 6 label.
# Names of traces come from the .tsv and are printed as they are, never as script.
if (!exists("format")) format = "svg"
if (format eq "svg") set terminal svg size W,H dynamic noenhanced font "sans-serif,12"
if (format eq "png") set terminal pngcairo size 2*W,2*H noenhanced font "DejaVu Sans,12" fontscale 1.45
set output sprintf("%s.%s", name, format)
set encoding utf8
set datafile separator tab
set datafile columnheaders
set datafile missing "NaN"
data = sprintf("%s.tsv", name)

quiet = 0x808080
set border 1 lc rgb quiet lw 0.7
set tics out nomirror scale 0.5
set grid x lc rgb quiet lw 0.25 dt (2,4)
set lmargin 28
set rmargin 3
set xrange [low:high]
set yrange [rows + 0.7:-0.7]
set xlabel "candidate / baseline - 1, in percent (less is better)"
set title "Gate: change of wall time, block by block"
set key bottom outside horizontal center samplen 1.5
set arrow 1 from 0, graph 0 to 0, graph 1 nohead lc rgb quiet lw 1
set arrow 2 from margin, graph 0 to margin, graph 1 nohead lc rgb 0xD55E00 lw 1.5
set arrow 3 from threshold, graph 0 to threshold, graph 1 nohead lc rgb 0xD55E00 lw 1 dt (4,3)
plot for [i = 1:dropped] data using ($1 == 1 ? $3 : NaN):2 with points pt 6 ps 0.25 lc rgb 0xBBBBBB title "block, dropped", \
     data using ($1 == 0 ? $3 : NaN):2 with points pt 7 ps 0.25 lc rgb 0x56B4E9 title "block", \
     data using ($1 == 2 ? $3 : NaN):2 with points pt 2 ps 0.8 lw 1.5 lc rgb 0x0072B2 title "median of a pair", \
     data using ($1 == 3 ? $3 : NaN):2:4:5:ytic(6) with xerrorbars pt 7 ps 0.9 lw 2 lc rgb 0x000000 title "median, interval", \
     NaN with lines lc rgb 0xD55E00 lw 1.5 title "fails beyond", \
     NaN with lines lc rgb 0xD55E00 lw 1 dt (4,3) title "threshold"
