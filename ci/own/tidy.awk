# tidy.awk - rules that a compiler does not check, read from C sources one line at a time.
#
# Comments, strings and character constants are blanked first, so that a word in prose is
# not a call. Prints `file:line: rule`; exit 1 when anything was printed.
# Relies on the house style: a function's braces stand alone in column one.

function say(rule)
{
	printf "%s:%d: %s\n", FILENAME, FNR, rule
	bad = 1
}

# The line without comments, strings and character constants; in_comment carries over.
function code_of(line,    out, c, two, quote)
{
	out = ""
	while (line != "") {
		c = substr(line, 1, 1)
		two = substr(line, 1, 2)
		if (in_comment) {
			if (two == "*/") {
				in_comment = 0
				line = substr(line, 3)
			} else {
				line = substr(line, 2)
			}
		} else if (quote != "") {
			if (c == "\\") {
				line = substr(line, 3)
				continue
			}
			if (c == quote)
				quote = ""
			line = substr(line, 2)
		} else if (two == "/*") {
			in_comment = 1
			line = substr(line, 3)
		} else if (two == "//") {
			say("comment is not /* */")
			break
		} else {
			if (c == "\"" || c == "'")
				quote = c
			out = out c
			line = substr(line, 2)
		}
	}
	return out
}

BEGIN {
	# what to use instead
	banned["strcpy"] = "snprintf or memcpy with a known length"
	banned["strcat"] = "snprintf"
	banned["strncpy"] = "snprintf"
	banned["strncat"] = "snprintf"
	banned["sprintf"] = "snprintf"
	banned["vsprintf"] = "vsnprintf"
	banned["strtok"] = "strtok_r or strchr"
	banned["gets"] = "getline"
	banned["atoi"] = "rh_parse_uint or strtol"
	banned["atol"] = "rh_parse_uint or strtol"
	banned["atoll"] = "rh_parse_uint or strtoull"
	banned["atof"] = "strtod"
	banned["rand"] = "a seeded generator of our own"
	banned["srand"] = "a seeded generator of our own"
	banned["random"] = "a seeded generator of our own"
	banned["ctime"] = "strftime"
	banned["asctime"] = "strftime"
	banned["localtime"] = "localtime_r or gmtime_r"
	banned["gmtime"] = "gmtime_r"
	banned["tmpnam"] = "mkstemp"
	banned["mktemp"] = "mkstemp"
	banned["alloca"] = "an array of fixed size"
	banned["setjmp"] = "error returns"
	banned["longjmp"] = "error returns"
}

FNR == 1 {
	if (in_comment)
		printf "%s: comment is not closed\n", last
	in_comment = open_line = 0
	last = FILENAME
	if ($0 !~ /^\/\*/)
		say("file does not open with its story")
}

# clang-format takes the blank away where it breaks a line that is too wide.
/^ \*[A-Za-z]/ && in_comment {
	say("comment without a blank behind its star")
}

FNR == 601 {
	say("file is longer than 600 lines: split it by concept")
}

{
	line = $0
	gsub(/[\200-\277]/, "", line) # what follows the first byte of a character of UTF-8
	width = 0
	for (i = 1; i <= length(line); i++)
		width += substr(line, i, 1) == "\t" ? 8 - width % 8 : 1
	if (width > 100)
		say("line is wider than 100 columns (" width ")")
	if ($0 ~ /[ \t]$/)
		say("white space at the end of the line")
	if ($0 ~ /^        / && $0 !~ /\\$/)
		say("indented with spaces")
	if ($0 ~ /(TODO|FIXME|(^|[^X])XXX([^X]|$)|HACK)/)
		say("unfinished: " $0)

	code = code_of($0)
	if (code == "{")
		open_line = FNR
	if (code == "}" && open_line) {
		if (FNR - open_line - 1 > 70)
			say("function of " FNR - open_line - 1 " lines (70 are allowed)")
		open_line = 0
	}
	# every identifier that is followed by an opening parenthesis
	rest = code
	while (match(rest, /[A-Za-z_][A-Za-z_0-9]*[ \t]*\(/)) {
		word = substr(rest, RSTART, RLENGTH)
		sub(/[ \t]*\($/, "", word)
		before = substr(rest, 1, RSTART - 1)
		if (word in banned && before !~ /(->|\.)$/)
			say(word "() is banned: use " banned[word])
		rest = substr(rest, RSTART + RLENGTH)
	}
}

END { exit bad }
