# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=dash disable=SC2034
#
# Every command line of the project's own programs that the interop tests use.
# When a program's options change, this is the one place to follow. A guest's
# shell reads it too, so it keeps to what busybox knows.

NQN=${NQN:-nqn.2024-01.io.libleapio:interop}

# program NAME: where the build put it, or where the system has it.
program() {
	local dir

	for dir in "$BUILD" "$BUILD/examples/$1" "$BUILD/examples"; do
		[ -f "$dir/$1" ] && [ -x "$dir/$1" ] && { echo "$dir/$1"; return; }
	done
	command -v "$1"
}

# real_program NAME: the program itself, not libtool's wrapper script.
real_program() {
	local p

	p=$(program "$1") || return 1
	[ -x "$(dirname "$p")/.libs/$1" ] && p=$(dirname "$p")/.libs/$1
	echo "$p"
}

SOCP=${SOCP:-$(program socp)}
LEAPCTL=${LEAPCTL:-$(program leapctl)}
LEAP_PERF=${LEAP_PERF:-$(program leap-perf)}
LEAP_HOSTD=${LEAP_HOSTD:-$(program leap-hostd)}
BAD_PEER=${BAD_PEER:-$BUILD/tests/interop/bad-peer}

# $1 where to listen, $2 control socket, then a stack per namespace, numbered
# from 1
socp_at() {
	local listen=$1 ctl=$2 nsid=0 last

	shift 2
	last=$#
	while [ $nsid -lt "$last" ]; do
		nsid=$((nsid + 1))
		set -- "$@" --ns "nsid=$nsid,stack=$1"
		shift
	done
	# shellcheck disable=SC2086 # SOCP may carry arguments
	exec $SOCP --listen "$listen" --subsystem "$NQN" "$@" --control "$ctl"
}

# $1 port, $2 address that the discovery log gives for it, then as socp_at.
# LISTEN6: on [::1] as well.
socp_run() {
	local listen=tcp://127.0.0.1:$1,advertise=$2

	[ -z "${LISTEN6:-}" ] || SOCP="$SOCP --listen tcp://[::1]:$1"
	shift 2
	socp_at "$listen" "$@"
}

# $1 address, $2 port, then as socp_at
rdma_socp_run() {
	local listen=rdma://$1:$2

	shift 2
	socp_at "$listen" "$@"
}

# $1 address, $2 port, then more options
rdma_perf_verify() { (exec_rdma_perf_verify "$@"); }

exec_rdma_perf_verify() {
	local url=rdma://$1:$2/$NQN

	shift 2
	# shellcheck disable=SC2086
	exec $LEAP_PERF --verify --bs 4k-128k --reconnect 500 --quiet "$@" \
		"$url"
}

# $1 vfio-user socket, $2 control socket, $3 microseconds of polling, then a stack
# per namespace, numbered from 1.
socp_vm_run() {
	local drive=$1 ctl=$2 spin=$3 nsid=0 last

	shift 3
	last=$#
	while [ $nsid -lt "$last" ]; do
		nsid=$((nsid + 1))
		set -- "$@" --ns "nsid=$nsid,stack=$1"
		shift
	done
	# shellcheck disable=SC2086 # SOCP may carry arguments
	exec $SOCP --subsystem "$NQN" "$@" --vfio-user "$drive" \
		--spin-us "$spin" --control "$ctl"
}

# $1 socket for runtimes, $2 control socket, $3 vfio-user socket
hostd_run() {
	exec "$LEAP_HOSTD" --listen "$1" --control "$2" --vfio-user "$3=$NQN"
}

# $1 transport and address of a socp that shares no memory, $2 control socket,
# $3 vfio-user socket
relay_hostd_run() {
	exec "$LEAP_HOSTD" --subsystem "$NQN" --control "$2" \
		--vfio-user "$3=$NQN" \
		--ns "stack=relay:$1/$NQN[nsid=1,queues=2,reconnect_ms=50]"
}

# $1 socket of leap-hostd, $2 control socket, $3 stack of the namespace, then more
# options
socp_agent_run() {
	local agent=$1 ctl=$2 stack=$3

	shift 3
	# shellcheck disable=SC2086
	exec $SOCP --agent "$agent" --subsystem "$NQN" \
		--ns "nsid=1,stack=$stack" --control "$ctl" "$@"
}

# $1 control socket of leap-hostd
ctl_handoff() {
	$LEAPCTL --control "$1" handoff
}

ctl_agent_status() {
	$LEAPCTL --control "$1" --json status
}

ctl_inspect() {
	$LEAPCTL --control "$1" inspect "$NQN"
}

# $1 control socket, then NSID and size
ctl_ns_add() {
	$LEAPCTL --control "$1" ns add "$NQN" "nsid=$2,stack=memory:$3"
}

ctl_ns_remove() {
	$LEAPCTL --control "$1" ns remove "$NQN" "$2"
}

ctl_ns_resize() {
	$LEAPCTL --control "$1" ns resize "$NQN" "$2" "$3"
}

# More options than these, --time or --count among them. Some of the writes are
# small enough for a capsule and some are not.
perf_verify() { (exec_perf_verify "$@"); }

# In the place of this shell, for a signal to reach it: SIGINT ends the load.
exec_perf_verify() {
	# shellcheck disable=SC2086 # LEAP_PERF may carry arguments
	exec $LEAP_PERF --verify --bs 4k-128k --reconnect 500 --quiet \
		"$@" "tcp://${PERF_HOST:-127.0.0.1}:$PORT/$NQN"
}

perf_discover() {
	# shellcheck disable=SC2086
	$LEAP_PERF --discover "tcp://127.0.0.1:$PORT"
}

# $1 control socket: trapped doorbells and commands of the guest that is there
ctl_vm_counters() {
	$LEAPCTL --control "$1" --json connections list "$NQN" | awk '
		/"doorbells":/ { d = $2 + 0 }
		/"commands":/ { c = $2 + 0 }
		END { print d + 0, c + 0 }'
}
