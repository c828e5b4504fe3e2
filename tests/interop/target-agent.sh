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

# runtime_run OPTION...: with a control socket of its own, there when it returns
runtime_run() {
	local ctl

	echo . >>"$WORK/runtimes"
	ctl=$WORK/ctl$(wc -l <"$WORK/runtimes").sock
	(socp_agent_run "$WORK/agent.sock" "$ctl" "file:$WORK/ns2.img" "$@") \
		>>"$WORK/target.log" 2>&1 &
	echo $! >"$WORK/target.pid"
	disown $!
	wait_for 5 test -S "$ctl"
}

# Like a service manager, starts it again while it ends at once: the kernel keeps
# the lock of a killed process on its file until its last write has landed.
runtime_start() {
	local i

	for i in 1 2 3; do
		runtime_run && return
		stop_pid KILL "$WORK/target.pid"
	done
	return 1
}

runtime_kill() { stop_pid KILL "$WORK/target.pid"; }
runtime_freeze() { kill -STOP "$(cat "$WORK/target.pid")"; }

# A standby takes over, and the one before drains and ends.
runtime_handoff() {
	local old

	old=$(cat "$WORK/target.pid")
	runtime_run --standby && wait_for 5 ctl_handoff "$WORK/hostd.sock" &&
		wait_for 10 gone "$old"
}

drive_args() {
	echo --vfio-user "$DRIVE"
}
