# lib_gate.sh - helpers for the tests of the gate: run it, compare its exit code and its last line.
# shellcheck shell=bash disable=SC2154

# gate CODE WHAT ARGUMENTS...: that exit code and the last line agree
gate() {
	local want=$1 what=$2 code
	shift 2
	timeout 100 "$reheap" gate "$@" >"$temp/.out" 2>"$temp/.err" </dev/null
	code=$?
	[ $code = "$want" ] || { tail -n 5 "$temp/.out" "$temp/.err" | sed 's/^/# /'; }
	ok "$what (exit $code)" test $code = "$want"
	ok '  and the last line says so' bash -c \
		"tail -n 1 '$temp/.out' | grep -q '^REHEAP-GATE .* exit=$want'"
}
# said PATTERN: somewhere in the output
said() {
	ok "  which says: $1" grep -q -E -e "$1" "$temp/.out" "$temp/.err"
}
