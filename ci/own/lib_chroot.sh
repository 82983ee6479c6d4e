# shellcheck shell=bash
# lib_chroot.sh - helpers for tests in a separate Debian; without their requirements such tests are
# skipped with a message. Sourced by test-deb.sh and test-matrix.sh.
skip_all() {
	echo "skipped: $*"
	exit 77
}
PATH=$PATH:/usr/sbin:/sbin
[ "$(id -u)" = 0 ] || skip_all 'a chroot needs root'
command -v debootstrap >/dev/null || skip_all 'debootstrap is not installed'
unshare -m -p -f --propagation private true 2>/dev/null || skip_all 'no mount namespace is to be had'
