# printable.awk - finds code that prints foreign text unescaped: a %s in printf or fprintf, a text
# that is not a literal in puts or fputs, and perror. rh_print (alloc/base/printable.h) prints it
# safely.
#
# A call may span lines: it is gathered up to its semicolon. Prints `file:line: rule`.
# `own` names the files whose format has escapes of its own.

function judge(call,    name, args, literals, rest) {
	name = call
	sub(/[ \t]*\(.*/, "", name)
	args = call
	sub(/^[a-z]*[ \t]*\(/, "", args)
	rest = args
	literals = ""
	while (match(rest, /"([^"\\]|\\.)*"/)) {
		literals = literals substr(rest, RSTART, RLENGTH)
		rest = substr(rest, RSTART + RLENGTH)
	}
	if (name ~ /printf$/ && literals ~ /%[-+ #0-9*.]*s/)
		printf "%s:%d: %s prints %%s as it comes: use rh_print\n", FILENAME, line, name
	if (name ~ /puts$/ && args !~ /^"/ && args !~ /[?] *"/)
		printf "%s:%d: %s prints a text as it comes: use rh_print_text\n", FILENAME, line, name
	if (name ~ /^(perror|vprintf|vfprintf)$/)
		printf "%s:%d: %s prints what comes: use rh_print\n", FILENAME, line, name
}

BEGIN {
	count = split(own, list, " ")
	for (i = 1; i <= count; i++)
		exempt[list[i]] = 1
}

FNR == 1 { call = "" }

FILENAME in exempt { next }

call == "" && match(" " $0, /[^A-Za-z0-9_](printf|fprintf|vprintf|vfprintf|puts|fputs|perror)[ \t]*\(/) {
	call = substr(" " $0, RSTART + 1)
	line = FNR
	if ($0 ~ /^[ \t]*\*|^\/\*|__attribute__/)
		call = ""
	if (call !~ /;[ \t]*$/)
		next
	judge(call)
	call = ""
	next
}

call != "" {
	call = call $0
	if ($0 ~ /;[ \t]*$/) {
		judge(call)
		call = ""
	}
}
