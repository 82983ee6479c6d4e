# parameters.awk - functions that take more than five parameters.
#
#	awk -v allowed=ci/own/baselines/parameters.tsv -f ci/own/parameters.awk FILE...
#
# With more than five a call is hard to read: such parameters become a structure whose fields are
# named where it is filled. `allowed` lists those that stay, and why; a row that is no longer needed
# is a breach as well, so the list only gets shorter. With -v list=1 it prints the rows.
#
# Relies on the house style (clang-format): the head of a function begins in column one, its
# opening brace stands alone there. A macro that makes a function is not seen.

function say(file, line, rule)
{
	printf "%s:%d: %s\n", file, line, rule
}

# The count of commas in the last outermost parentheses of a head, plus one.
function parameters(text,    i, c, depth, commas)
{
	for (i = 1; i <= length(text); i++) {
		c = substr(text, i, 1)
		if (c == "(" && depth++ == 0)
			commas = 0
		if (c == ")")
			depth--
		if (c == "," && depth == 1)
			commas++
	}
	return commas + 1
}

function judge(    name, count)
{
	count = parameters(head)
	name = head
	sub(/\(.*/, "", name)
	sub(/.*[ *]/, "", name)
	if (count <= 5)
		return
	if (list)
		printf "%s\t%s\t%d\n", FILENAME, name, count
	else if (!((FILENAME, name) in allow))
		say(FILENAME, at, name "() takes " count " parameters (5 are allowed: take a structure)")
	else if (count > allow[FILENAME, name])
		say(FILENAME, at, name "() takes " count " parameters, more than the list allows")
	else if (count == allow[FILENAME, name])
		used[FILENAME, name] = 1
}

BEGIN {
	FS = "\t"
	while (allowed && (getline <allowed) > 0) {
		row++
		if (/^#/)
			continue
		allow[$1, $2] = $3
		where[$1, $2] = row
		if ($4 == "")
			say(allowed, row, $2 " stays without a reason")
	}
}

FNR == 1 { head = "" }
/^[A-Za-z_]/ && /\(/ && !/;$/ { head = $0; at = FNR; next }
head != "" && /^\{$/ { judge(); head = ""; next }
head != "" && (/^[ \t]/ || /^[^{}#\/]/) && !/;$/ { head = head " " $0; next }
{ head = "" }

END {
	for (key in where)
		if (!(key in used) && !list) {
			split(key, part, SUBSEP)
			say(allowed, where[key], part[2] "() of " part[1] " needs no row any more, or a smaller number")
		}
}
