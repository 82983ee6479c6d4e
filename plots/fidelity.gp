# fidelity.gp - recorded and replayed curves at the edges of collections.
# Run by `reheap fidelity --plot PREFIX`, or by hand:
#	gnuplot -e "data='t.tsv'; picture='t.svg'" plots/fidelity.gp
set terminal svg size 900,760 font 'sans-serif,13' background '#ffffff'
set output picture
set datafile separator '\t'
set multiplot layout 3,1
set key top left
set grid ytics linecolor '#dddddd'
set xlabel 'time, ms'
recorded = '#0072b2'
replayed = '#d55e00'
set ylabel 'HeapInuse, MiB'
plot data using 3:($4/1048576) skip 1 with linespoints lc rgb recorded pt 6 title 'recorded by Go', \
     data using 3:($5/1048576) skip 1 with linespoints lc rgb replayed pt 2 title 'replayed'
set ylabel 'live, MiB'
plot data using 3:($8/1048576) skip 1 with linespoints lc rgb recorded pt 6 title 'recorded by Go', \
     data using 3:($9/1048576) skip 1 with linespoints lc rgb replayed pt 2 title 'replayed'
set ylabel 'StackInuse, MiB'
plot data using 3:($10/1048576) skip 1 with linespoints lc rgb recorded pt 6 title 'recorded by Go', \
     data using 3:($11/1048576) skip 1 with linespoints lc rgb replayed pt 2 title 'replayed'
unset multiplot
