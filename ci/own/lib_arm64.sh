# shellcheck shell=bash
# lib_arm64.sh - what tests on an emulated AArch64 share: tools, and Debian's arm64 packages as a
# sysroot. Sourced by test-arm64.sh and test-qemu.sh. All is fetched once, into $cache.
export LC_ALL=C
cache=${XDG_CACHE_HOME:-$HOME/.cache}/reheap/arm64
sysroot=$cache/sysroot
lib=lib/aarch64-linux-gnu
tests=0 failures=0

skip_all() {
	echo "skipped: $*"
	exit 77
}
# check WHAT COMMAND...
check() {
	local what=$1
	shift
	tests=$((tests + 1))
	if "$@"; then
		echo "ok $tests - $what"
	else
		echo "not ok $tests - $what"
		failures=$((failures + 1))
	fi
}

# need_tools "NAME..." "PACKAGE...": installs the packages if a tool is missing and we may
need_tools() {
	local tools=$1 packages=$2
	# shellcheck disable=SC2086  # lists of names
	have() { [ "$(command -v $tools | wc -l)" = "$(echo $tools | wc -w)" ]; }
	if ! have && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
		echo "installing $packages ..."
		apt-get update -q >/dev/null 2>&1 </dev/null
		# shellcheck disable=SC2086
		DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $packages >/dev/null 2>&1 </dev/null
	fi
	have || skip_all "needs $packages, and apt-get to fetch arm64 packages"
}

# apt_of SUITE ARCHITECTURE ARGS...: apt-get with lists and a cache of its own
apt_of() {
	local dir=$cache/apt/$1-$2 suite=$1 arch=$2 command=$3
	shift 3
	if [ ! -e "$dir/apt.conf" ]; then
		mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial" "$dir/state" "$dir/parts"
		: >"$dir/status"
		echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian $suite main" \
			>"$dir/sources.list"
		cat >"$dir/apt.conf" <<-END_CONF
			APT::Architecture "$arch";
			APT::Architectures { "$arch"; };
			APT::Install-Recommends "false";
			APT::Sandbox::User "root";
			Acquire::Languages "none";
			Dir::State "$dir/state";
			Dir::State::lists "$dir/lists";
			Dir::State::status "$dir/status";
			Dir::Cache "$dir/cache";
			Dir::Etc::sourcelist "$dir/sources.list";
			Dir::Etc::sourceparts "$dir/parts";
			Dir::Etc::preferencesparts "$dir/parts";
		END_CONF
		APT_CONFIG=$dir/apt.conf apt-get update -q </dev/null || { rm -rf "$dir"; return 1; }
	fi
	(cd "$dir/cache/archives" && APT_CONFIG=$dir/apt.conf apt-get "$command" -q "$@" </dev/null)
}

# unpack_all SUITE-ARCHITECTURE FOLDER: the packages fetched, but for kernels
unpack_all() {
	local deb
	for deb in "$cache/apt/$1"/cache/archives/*.deb; do
		case $deb in
		*/linux-image-*) ;;
		*) dpkg-deb --fsys-tarfile "$deb" | tar -x --keep-directory-symlink -C "$2" || return 1 ;;
		esac
	done
}

# A sysroot of Debian 12: what the driver and the unit tests are linked with, and what they run.
fetch_sysroot() {
	apt_of bookworm arm64 install -y --download-only libc6 libc6-dev libarchive-dev libjansson-dev \
		libsqlite3-dev libzstd-dev libxxhash-dev libmd-dev libcmocka-dev libpapi-dev valgrind \
		busybox-static libjemalloc2 || return 1
	rm -rf "$sysroot"
	mkdir -p "$sysroot"
	unpack_all bookworm-arm64 "$sysroot" && touch "$cache/sysroot.done"
}
have_sysroot() {
	mkdir -p "$cache" || skip_all "$cache cannot be made"
	[ -e "$cache/sysroot.done" ] || {
		echo "fetching Debian's arm64 libraries into $cache ..."
		fetch_sysroot >"$cache/fetch.log" 2>&1 || skip_all "the arm64 packages cannot be fetched: $cache/fetch.log"
	}
}
