# lib_slurm.sh - a Slurm of two nodes on this machine, for the tests that need one. Source it after
# lib.sh:
#
#	. "$root/ci/own/e2e/lib_slurm.sh"
#	slurm_start || skip_all 'why'
#
# munged, slurmctld and two slurmd (n1, n2; one CPU each) of this test alone: their own key, sockets,
# ports and folders. Every process is ended by its number when the test ends. What slurmd starts
# leaves its process group; it is known by SLURM_CONF in its environment, which names our file.
# shellcheck shell=bash
slurm_conf=$temp/slurm/slurm.conf
slurm_pids=()

# A daemon in the foreground of a background job: its number is ours.
slurm_daemon() {
	"$@" >>"$temp/slurm/log/daemons" 2>&1 </dev/null &
	slurm_last=$!
	slurm_pids+=("$slurm_last")
}

# Numbers of the processes that slurmd of node $1 started, or of all that is ours. slurmstepd writes
# over its environment: it is found as the parent of what it runs, and comes first.
slurm_started() {
	local file parent
	for file in $(grep -lzxF -e "SLURM_CONF=$slurm_conf" /proc/[0-9]*/environ 2>/dev/null); do
		[ -z "${1:-}" ] ||
			grep -qzxF -e "RH_NODE=$1" -e "SLURMD_NODENAME=$1" "$file" 2>/dev/null || continue
		file=${file%/environ}
		parent=$(sed -n 's/^PPid:[[:space:]]*//p' "$file/status" 2>/dev/null)
		[ "$(cat "/proc/$parent/comm" 2>/dev/null)" != slurmstepd ] || echo "$parent"
		echo "${file#/proc/}"
	done
}

slurm_node() {
	RH_NODE=$1 slurm_daemon slurmd -D -N "$1" -f "$slurm_conf"
}

# Everything of a node at once, as when its power goes: all are stopped before the first one dies,
# so that none can report how another ended.
slurm_node_dies() {
	local pid signal
	# twice: a process may have started another meanwhile
	for signal in STOP STOP KILL KILL; do
		for pid in $(slurm_started "$1"); do
			[ "$pid" = $$ ] || kill -$signal "$pid" 2>/dev/null
		done
	done
}

slurm_stop() {
	local pid
	[ -e "$slurm_conf" ] || return 0
	for _ in 1 2 3; do
		for pid in $(slurm_started) "${slurm_pids[@]}"; do
			[ "$pid" = $$ ] || [ "$pid" = "$BASHPID" ] || kill -KILL "$pid" 2>/dev/null
		done
	done
	wait "${slurm_pids[@]}" 2>/dev/null
} 2>/dev/null

slurm_config() {
	local host port=$((20000 + RANDOM % 20000))
	host=$(hostname -s)
	cat >"$slurm_conf" <<END
ClusterName=t
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
AuthType=auth/munge
AuthInfo=socket=$temp/slurm/munge/socket,cred_expire=5
CryptoType=crypto/munge
SlurmUser=root
StateSaveLocation=$temp/slurm/state
SlurmdSpoolDir=$temp/slurm/spool%n
SlurmctldPidFile=$temp/slurm/ctld.pid
SlurmdPidFile=$temp/slurm/slurmd.%n.pid
SlurmctldLogFile=$temp/slurm/log/ctld
SlurmdLogFile=$temp/slurm/log/%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
ReturnToService=2
SlurmctldTimeout=10
SlurmdTimeout=10
KillWait=2
JobRequeue=1
MpiDefault=none
NodeName=n1 NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + 1)) CPUs=1 RealMemory=1000
NodeName=n2 NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + 2)) CPUs=1 RealMemory=1000
PartitionName=p Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
END
}

# wait_for SECONDS COMMAND...
wait_for() {
	local end=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.1
	done
}
nodes_idle() {
	[ "$(sinfo -h -N -t idle -o %N | sort -u | wc -l)" = "${1:-2}" ]
}
jobs_gone() {
	[ -z "$(squeue -h -o %i)" ]
}

# False, with slurm_why set, where it cannot be had.
slurm_start() {
	local program
	PATH=$PATH:/usr/sbin:/sbin
	for program in munged slurmctld slurmd sbatch; do
		command -v $program >/dev/null || {
			slurm_why="$program is not installed (make test-fleet installs it)"
			return 1
		}
	done
	[ "$(id -u)" = 0 ] || { slurm_why='slurmd needs root'; return 1; }
	mkdir -p "$temp"/slurm/{munge,state,spooln1,spooln2,log}
	chmod 755 "$temp" "$temp/slurm"
	export SLURM_CONF=$slurm_conf
	trap 'slurm_stop; cleanup' EXIT
	slurm_config
	head -c 128 /dev/urandom >"$temp/slurm/munge/key"
	chown -R munge "$temp/slurm/munge"
	chmod 711 "$temp/slurm/munge"
	chmod 600 "$temp/slurm/munge/key"
	slurm_daemon runuser -u munge -- munged --foreground --force --num-threads=2 \
		--key-file="$temp/slurm/munge/key" --socket="$temp/slurm/munge/socket" \
		--pid-file="$temp/slurm/munge/pid" --log-file="$temp/slurm/munge/log" \
		--seed-file="$temp/slurm/munge/seed"
	wait_for 20 test -S "$temp/slurm/munge/socket" || { slurm_why="munged did not start: $(tail -n 1 "$temp/slurm/log/daemons")"; return 1; }
	slurm_daemon slurmctld -D -c -f "$slurm_conf"
	slurm_node n1
	slurm_node n2
	wait_for 40 nodes_idle || { slurm_why="the nodes did not come up: $(tail -n 1 "$temp/slurm/log/ctld")"; return 1; }
}
