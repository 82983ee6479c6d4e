#!/bin/bash
# deps.sh - installs what is missing, or says exactly what to install.
#
# The check looks for the thing, not the package: a header the compiler finds, a command on the
# path, a library the loader would find. So a hand-built jemalloc or another distribution counts
# too, and the check is one compiler run and one look at the loader's cache (silent, well under 0.2
# s, when all is there).
#
# Required: without it nothing builds; missing and not installable = exit 1.
# Optional: adds a backend, a probe or the pictures; missing = one line with the reason
# and the way out, never a failure. An optional package that apt could not install is not tried
# again for a day (build/deps.tried), so that `make test` stays quick offline.
set -u
cd "$(dirname "$0")/../.." || exit 2

# what it is for | how it is found | package names, first one apt knows is taken
required='
C compiler|command cc|gcc
C library headers|header signal.h|libc6-dev
make|command make|make
reading compressed input|header archive.h|libarchive-dev
JSON|header jansson.h|libjansson-dev
trace blocks|header zstd.h|libzstd-dev
checksums|header xxhash.h|libxxhash-dev
trace identity (SHA-256)|header sha2.h|libmd-dev
results kept over time|header sqlite3.h|libsqlite3-dev
unit tests|header cmocka.h|libcmocka-dev
'
optional='
hardware counters|header papi.h|libpapi-dev
figures by gnuplot (a simple built-in drawing takes its place)|command gnuplot|gnuplot-nox
instruction counts and the callgrind tier|command valgrind|valgrind
reading the folders that LTTng writes (CTF)|command babeltrace2|babeltrace2
backend jemalloc|library libjemalloc.so|libjemalloc2
backend mimalloc|library libmimalloc.so|libmimalloc2.0 libmimalloc3 libmimalloc2 libmimalloc2.1
backend tcmalloc|library libtcmalloc_minimal.so|libtcmalloc-minimal4 libtcmalloc-minimal4t64
backend tbbmalloc|library libtbbmalloc_proxy.so|libtbbmalloc2
backend scudo|scudo|libclang-rt-dev libclang-rt-19-dev libclang-rt-18-dev libclang-rt-14-dev libclang-common-14-dev
'
# Tools of `make check`, for people who change the code.
[ -z "${DEVELOPER:-}" ] || optional+='
house checks: format|command clang-format-14|clang-format-14
house checks: static analysis|command cppcheck|cppcheck
'

# PACKAGING=1: what `make deb` needs, too.
[ -z "${PACKAGING:-}" ] || required+='
packaging: debhelper|command dh|debhelper
packaging: dpkg-buildpackage|command dpkg-buildpackage|dpkg-dev
packaging: flags of libraries|command pkg-config|pkgconf pkg-config
'
[ -z "${PACKAGING:-}" ] || optional+='
packaging: a look at the packages|command lintian|lintian
'

# LIST=required | optional: names of Debian packages, one for each row, and nothing else is done.
if [ -n "${LIST:-}" ]; then
	printf "%s" "${!LIST}" | sed -n "s/.*|\([^| ]*\)[^|]*$/\1/p"
	exit 0
fi

find_headers() {
	local compiler=cc list
	command -v cc >/dev/null || compiler=gcc
	command -v "$compiler" >/dev/null || return
	list=$(printf '%s%s' "$required" "$optional" | sed -n 's/.*|header \([^|]*\)|.*/\1/p')
	for header in $list; do
		printf '#if __has_include(<%s>)\nfound %s\n#endif\n' "$header" "$header"
	done | "$compiler" -E -P -x c - 2>/dev/null
}
headers=$(find_headers)
libraries=$( (PATH=$PATH:/sbin:/usr/sbin ldconfig -p) 2>/dev/null)

# have "command gnuplot" | "header papi.h" | "library libx.so" | "scudo"
have() {
	case $1 in
	command\ *) command -v "${1#* }" >/dev/null ;;
	header\ *) [[ $headers == *"found ${1#* }"* ]] ;;
	library\ *) [[ $libraries == *"${1#* }"* ]] ;;
	scudo) compgen -G '/usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.scudo_standalone-*.so' \
		>/dev/null ;;
	esac
}

# missing TABLE: its rows that are not there
missing() {
	local what how packages
	while IFS='|' read -r what how packages; do
		[ -z "$what" ] || have "$how" || printf '%s|%s|%s\n' "$what" "$how" "$packages"
	done <<<"$1"
}

need=$(missing "$required")
want=$(missing "$optional")
[ -n "$need$want" ] || exit 0

tried=build/deps.tried
if [ -z "$need" ] && [ -n "$(find $tried -mmin -1440 2>/dev/null)" ] &&
	[ "$(cat $tried)" = "$want" ]; then
	quiet_retry=1
fi

as_root=
may_install() {
	command -v apt-get >/dev/null || return 1
	[ "$(id -u)" = 0 ] && return
	command -v sudo >/dev/null && sudo -n true 2>/dev/null && as_root='sudo -n'
}

# first_known PACKAGES...: the first that apt can install
first_known() {
	for package in "$@"; do
		if apt-cache policy "$package" 2>/dev/null | grep -q 'Candidate: [^(]'; then
			echo "$package"
			return
		fi
	done
}

# packages_of ROWS: one package for each; the first name where apt knows none
packages_of() {
	local what how packages known
	while IFS='|' read -r what how packages; do
		[ -n "$what" ] || continue
		# shellcheck disable=SC2086  # a list of names
		known=$(first_known $packages)
		echo "${known:-${packages%% *}}"
	done <<<"$1"
}

# with_progress WHAT COMMAND...: the command into the log; on a terminal a line with the seconds passed
with_progress() {
	local what=$1 began=$SECONDS ticker=
	shift
	if [ -t 2 ]; then
		while sleep 1; do
			printf '\r\033[K%s ... %d s' "$what" $((SECONDS - began)) >&2
		done &
		ticker=$!
	fi
	"$@" </dev/null >>build/deps.log 2>&1
	local code=$?
	if [ -n "$ticker" ]; then
		kill "$ticker" 2>/dev/null
		wait "$ticker" 2>/dev/null
		printf '\r\033[K' >&2
	fi
	return $code
}

install_packages() {
	# shellcheck disable=SC2086  # as_root is empty or two words
	$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q \
		--no-install-recommends "$@" </dev/null >>build/deps.log 2>&1
}

if [ -z "${quiet_retry:-}" ] && may_install; then
	mkdir -p build
	: >build/deps.log
	echo "installing what is missing (the log is build/deps.log) ..."
	# shellcheck disable=SC2086
	with_progress 'reading the package lists' $as_root apt-get update -q
	# One call for all packages. If one is not available, the others are installed one by one.
	# shellcheck disable=SC2046  # a list of packages
	with_progress 'installing packages' install_packages $(packages_of "$need"; packages_of "$want") || {
		[ -z "$need" ] || with_progress 'installing what the build needs' install_packages $(packages_of "$need")
		for package in $(packages_of "$want"); do
			with_progress "installing $package" install_packages "$package"
		done
	}
	hash -r
	headers=$(find_headers)
	libraries=$( (PATH=$PATH:/sbin:/usr/sbin ldconfig -p) 2>/dev/null)
	need=$(missing "$required")
	want=$(missing "$optional")
	[ -z "$want" ] || printf '%s\n' "$want" >$tried
fi

while IFS='|' read -r what how packages; do
	[ -z "$what" ] || echo "without ${packages%% *}: no $what (optional)"
done <<<"$want"
[ -n "$need" ] || exit 0

echo "reheap cannot be built yet; install this and run make again:" >&2
if command -v apt-get >/dev/null; then
	echo "  sudo apt-get install $(packages_of "$need" | tr '\n' ' ')$(packages_of "$want" |
		tr '\n' ' ')" >&2
else
	while IFS='|' read -r what how packages; do
		echo "  $what: ${how#* } (Debian package ${packages%% *})" >&2
	done <<<"$need"
fi
exit 1
