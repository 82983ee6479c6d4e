#!/bin/bash
# test-fleet.sh BUILD_DIR - the long test of a matrix on Slurm: 200 cells, a node that dies, a cancelled
# array, a full folder (ci/own/e2e/fleet.sh). Installs slurm-wlm and munge where apt can; exit 77
# with a line where it cannot.
set -u
cd "$(dirname "$0")/../.." || exit 2
build=$(realpath "${1:?usage: ci/own/test-fleet.sh BUILD_DIR}")
PATH=$PATH:/usr/sbin:/sbin
if ! { command -v slurmctld && command -v slurmd && command -v munged; } >/dev/null; then
	if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
		echo 'installing slurm-wlm and munge ...'
		apt-get update -q >/dev/null 2>&1 </dev/null
		DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
			slurm-wlm munge >/dev/null 2>&1 </dev/null
	fi
	command -v slurmctld >/dev/null || {
		echo 'skipped: slurm-wlm and munge are not installed, and apt could not install them'
		exit 77
	}
fi
REHEAP_BUILD=$build FLEET=whole ci/own/e2e/fleet.sh
