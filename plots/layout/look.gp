# look.gp - the one look. Every figure's script is: its facts (numbers and our own words),
# this file, then the file of its layout. The script runs alone beside its .tsv:
#
#	gnuplot time-ratio.gp			gnuplot -e 'format="png"' time-ratio.gp
#
# Names of backends and traces are read from the .tsv and printed as they are: text
# coming from outside is never script, and never markup (noenhanced).
#
# Columns of every .tsv: 1 panel, 2 panel name, 3 series, 4 backend, 5 label, 6 role
# (0 a backend, 1 a thing to compare with), 7 x, 8 x low, 9 x high, 10 y, 11 y low,
# 12 y high, 13 n, 14 text, 15 what a pointer is shown (SVG). Unknown numbers are NaN.
#
# Colours are Okabe and Ito's, fixed by backend; dash and point type differ too.
if (!exists("format")) format = "svg"
if (format eq "svg") set terminal svg size W,H dynamic noenhanced font "sans-serif,12" linewidth 1.2
if (format eq "png") set terminal pngcairo size 2*W,2*H noenhanced font "DejaVu Sans,12" fontscale 1.45 linewidth 2
if (format eq "pdf") set terminal pdfcairo size W/120.0,H/120.0 noenhanced font "DejaVu Sans,12" fontscale 0.44 linewidth 0.8
if (format eq "tex") set terminal cairolatex pdf size W/120.0,H/120.0 header '\scriptsize' linewidth 0.8
set encoding utf8
set datafile separator tab
set datafile commentschars ""
set datafile columnheaders
set datafile missing "NaN"
data = sprintf("%s.tsv", name)

array panel[panel_count]
array label[series_count]
set table "/dev/null"
set xrange [*:*]
set yrange [*:*]
plot data using (panel[int($1)] = strcol(2), label[int($3)] = strcol(5), $0):(0)
unset table

ink = 0x000000
quiet = 0x808080
set border 3 lc rgb quiet lw 0.7
set tics out nomirror scale 0.5 textcolor rgb ink
set xtics offset 0,0.4
set grid y lc rgb quiet lw 0.25 dt (2,4)
unset key
set style data lines
# invisible marks that show their value under a pointer
hovers = format eq "svg"
hover(p, v) = $1 == p && strlen(strcol(15)) ? v : NaN

# from pixels (from the left, from the top) to gnuplot's screen coordinates
px(v) = v / (1.0 * W)
py(v) = 1.0 - v / (1.0 * H)
set label 1 title_text at screen px(8),py(17) left font ",13" textcolor rgb ink
notes = note[1]
do for [i = 2:|note|] { notes = notes."\n".note[i] }
set label 2 notes at screen px(8),py(H - 10 - 16 * (|note| - 1)) left font ",11" textcolor rgb quiet
# A style of your own stands here (reheap plot --style FILE). It may say all that gnuplot knows:
#	ink = 0x333333; color[1] = 0x882255	of this file and the facts above
#	set terminal cairolatex pdf size 3.3in,2.6in header '\footnotesize'
#	unset label 1				no title: the paper has a caption
