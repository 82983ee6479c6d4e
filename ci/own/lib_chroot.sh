# shellcheck shell=bash
# lib_chroot.sh - what tests in a Debian of their own need; they are skipped with a line without it.
# Sourced by test-deb.sh and test-matrix.sh.
skip_all() {
	echo "skipped: $*"
	exit 77
}
PATH=$PATH:/usr/sbin:/sbin
[ "$(id -u)" = 0 ] || skip_all 'a chroot needs root'
command -v debootstrap >/dev/null || skip_all 'debootstrap is not installed'
unshare -m -p -f --propagation private true 2>/dev/null || skip_all 'no mount namespace is to be had'
