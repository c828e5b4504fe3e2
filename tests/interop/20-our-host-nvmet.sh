#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# usage: 20-our-host-nvmet.sh [--lab-only] [--port PORT] [--long]
#
# Our NVMe/TCP host end (leap-perf) against Linux nvmet in a guest, behind a
# forwarded port on 127.0.0.1. The namespace is a disk that outlives the guest,
# so "nothing lost" can be asked of a target that was killed. TAP. --lab-only
# tries the target without leap-perf.

TARGET=nvmet lab_only=0 ONLY_DISK=1 rounds=1
while [ $# -gt 0 ]; do
	case $1 in
	--lab-only) lab_only=1 ;;
	--long) rounds=5 ;;
	--port) PORT=$2; shift ;;
	*) sed -n '4s/^# //p' "$0" >&2; exit 2 ;;
	esac
	shift
done
. "$(dirname "$(realpath "$0")")/lib.sh"
. "$HERE/target-nvmet.sh"
CHECKS=8

silent() { ! target_answers; }

lab_checks() {
	tap_cmd "nvmet starts" target_start
	tap_cmd "it answers" wait_for 10 target_answers
	tap_cmd "its port closes" target_port_down
	tap_cmd "it is silent" wait_for 10 silent
	tap_cmd "its port opens" target_port_up
	tap_cmd "it answers again" wait_for 10 target_answers
}

# load COMMAND...: verified I/O before, while and after COMMAND upsets the target
load() {
	local rc=0 pid

	(exec_perf_verify --range 32M --time 600) >"$WORK/perf.log" 2>&1 &
	pid=$!
	echo $pid >"$WORK/perf.pid"
	sleep 2
	"$@" || rc=1
	sleep 2
	gone $pid && rc=1
	kill -INT $pid
	wait $pid || rc=1
	rm -f "$WORK/perf.pid"
	sed 's/^/# /' "$WORK/perf.log" >&4
	return $rc
}

bounce_port() { target_port_down && sleep 2 && target_port_up; }
kill_and_start() { target_kill && target_start; }

client_checks() {
	local i

	CHECKS=$((CHECKS + 3 + 2 * rounds))
	perf_discover >"$WORK/disc" 2>&1 && grep -qF "$NQN" "$WORK/disc"
	tap $? "discovery finds the subsystem"
	tap_cmd "verified I/O" perf_verify --range 32M --time 5
	tap_cmd "verified I/O, both digests" \
		perf_verify --range 32M --time 5 --digest
	tap_cmd "verified I/O, 4 queues" \
		perf_verify --range 32M --time 5 --queues 4
	for i in $(seq $rounds); do
		tap_cmd "$i: the port goes and comes under load" \
			load bounce_port
		tap_cmd "$i: the target is killed and started under load" \
			load kill_and_start
	done
}

exec 4>&1
work_open
export ONLY_DISK
[ $lab_only = 1 ] || [ -n "$LEAP_PERF" ] || bail "leap-perf is not built"
lab_ready
lab_checks
# Under load, or by itself.
if [ $lab_only = 1 ]; then
	tap_cmd "nvmet is killed and started" kill_and_start
else
	client_checks
fi
tap_cmd "nvmet stops when told to" target_stop
tap_done $CHECKS || { sed 's/^/# target: /' "$WORK/target.log"; exit 1; }
