#!/bin/bash
# What the heap is worth to the program: the sentence that leads what replay and the report say,
# against the same shares computed from the raw figures of the result.
# shellcheck source=ci/own/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
command -v perl >/dev/null || skip_all 'no perl'
"$reheap" record -q -o app.rht -- perl -e '$h{$_} = "x" x 50 for 1 .. 100000' 2>err ||
	skip_all "perl cannot be recorded: $(head -n 1 err)"

# An allocator of its own name, so that a second one is always there.
cat >thin.c <<'END'
#include <stddef.h>
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void __libc_free(void *);
void *malloc(size_t bytes) { return __libc_malloc(bytes); }
void *calloc(size_t n, size_t bytes) { return __libc_calloc(n, bytes); }
void *realloc(void *p, size_t bytes) { return __libc_realloc(p, bytes); }
void free(void *p) { __libc_free(p); }
END
cc -O1 -shared -fPIC -fno-builtin thin.c -o thin.so || skip_all 'no C compiler'
is_exit 0 'replay' "$reheap" replay app.rht --backend libc,thin=./thin.so --reps 6 -o app.json
ok 'the sentence is the first line' bash -c \
	"head -n 1 .out | grep -qE '^The heap (is about [0-9.]+ %|takes)'"
ok 'and names the other backend' bash -c "head -n 1 .out | grep -qE 'thin|takes'"

# The same from the raw figures: median over repetitions of (libc - null) / program.
perl -MJSON::PP -e '
	local $/; my $d = decode_json(<STDIN>); my $n = $d->{traces}[0]{notes};
	my $whole = $n->{cpu_user_ns} + $n->{cpu_kernel_ns} - 2.5 * $n->{recorded_calls};
	my (%cpu, %at);
	$at{$d->{backends}[$_]{spec}} = $_ for 0 .. $#{$d->{backends}};
	$cpu{$_->{backend}}[$_->{rep}] = $_->{cpu_ns} for @{$d->{trials}};
	my ($libc, $null, $thin) = map { $cpu{$at{$_}} } qw(libc null thin);
	my @mid = map { my @v = sort { $a <=> $b } @$_; ($v[2] + $v[3]) / 2 }
		[map { ($libc->[$_] - $null->[$_]) / $whole } 0 .. 5],
		[map { ($libc->[$_] - $thin->[$_]) / $whole } 0 .. 5];
	my %metric = map { ("$_->{name} $_->{backend}", $_->{median}) } @{$d->{metrics}};
	my @said = ($metric{"program.heap_share $at{libc}"}, $metric{"program.saved_share $at{thin}"});
	printf "%.12g %.12g %.12g %.12g\n", @mid, @said;
	exit !(abs($mid[0] - $said[0]) < 1e-9 && abs($mid[1] - $said[1]) < 1e-9);
' <app.json >shares 2>&1
code=$?
ok "both shares are those of the raw figures ($(head -n 1 shares))" test $code = 0
ok 'and the program took time' grep -qE '^0\.[0-9]|^[1-9]' shares

is_exit 0 'plot' "$reheap" plot app.json -o drawn
ok 'the report begins with it' grep -qE 'class="lead">The heap (is about|takes)' drawn/report.html

"$reheap" record -q --preload ./thin.so -o on.rht -- perl -e '$h{$_} = "x" x 50 for 1 .. 1000'
ok 'a recording names the library that served it' bash -c \
	"'$reheap' info on.rht | grep -q '^  allocator  *thin.so'"
is_exit 0 'its replay' "$reheap" replay on.rht --backend libc --reps 1
ok 'says so, for the program is compared with libc' grep -q 'recorded on thin.so, not on libc' .out
is_exit 66 'a library that is not there is an error' "$reheap" record --preload ./no.so -- /bin/true

"$reheap" gen churn -o made.rht events=2000 >/dev/null 2>&1
is_exit 0 'a trace without a program' "$reheap" replay made.rht --backend libc --reps 1 -o made.json
ok 'has a reason instead' grep -q \
	'program.saved_share not measured: made.rht: the trace does not say' .out
"$reheap" cut app.rht -o part.rht --first 1000 >/dev/null 2>&1
is_exit 0 'a part of a trace' "$reheap" replay part.rht --backend libc --reps 1
ok 'has another' grep -q 'part.rht: a part of a trace' .out
finish
