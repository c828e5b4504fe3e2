# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# The drive of guests that outlives who serves it: leap-hostd has the socket, a
# socp of its own the namespace, which is a file.

DRIVE=$WORK/drive.sock

target_program() {
	[ -n "$SOCP" ] || return 1
	[ -n "$LEAPCTL" ] || return 1
	[ -n "$LEAP_HOSTD" ]
}

target_start() {
	(hostd_run "$WORK/agent.sock" "$WORK/hostd.sock" "$DRIVE") \
		>>"$WORK/hostd.log" 2>&1 &
	echo $! >"$WORK/hostd.pid"
	disown $!
	wait_for 10 test -S "$DRIVE" && runtime_start
}

target_stop() {
	stop_pid TERM "$WORK/target.pid" && stop_pid TERM "$WORK/hostd.pid"
}

# Starts it; the guest's disk says when it serves.
runtime_start() {
	(socp_agent_run "$WORK/agent.sock" "$WORK/ctl.sock" \
		"file:$WORK/ns2.img") >>"$WORK/target.log" 2>&1 &
	echo $! >"$WORK/target.pid"
	disown $!
}

runtime_kill() { stop_pid KILL "$WORK/target.pid"; }
runtime_freeze() { kill -STOP "$(cat "$WORK/target.pid")"; }

runtime_handoff() {
	local old

	old=$(cat "$WORK/target.pid")
	(socp_agent_run "$WORK/agent.sock" "$WORK/ctl2.sock" \
		"file:$WORK/ns2.img") >>"$WORK/target.log" 2>&1 &
	echo $! >"$WORK/target.pid"
	disown $!
	wait_for 10 test -S "$WORK/ctl2.sock" || return 1
	ctl_handoff "$WORK/hostd.sock" || return 1
	wait_for 10 gone "$old"
	mv "$WORK/ctl2.sock" "$WORK/ctl.sock"
}

drive_args() {
	echo --vfio-user "$DRIVE"
}
