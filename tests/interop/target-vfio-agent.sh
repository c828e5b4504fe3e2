# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# The drive of the guests that attach by vfio-user, in two processes: leap-hostd
# has it, one socp after the other serves it. Both namespaces are files.

DRIVE=$WORK/drive.sock
HOSTD=${HOSTD:-$(program leap-hostd)}

target_program() {
	[ -n "$SOCP" ] && [ -n "$HOSTD" ] && [ -n "$LEAPCTL" ]
}

hostd_state() {
	$LEAPCTL --control "$WORK/hctl.sock" --json status |
		sed -n "s/.*\"$1\": \"\\{0,1\\}\\([a-z0-9]*\\).*/\\1/p"
}
is_served() { [ "$(hostd_state state)" = served ]; }

serve() {
	# shellcheck disable=SC2086 # SOCP may carry arguments
	$SOCP --agent "$WORK/agent.sock" --subsystem "$NQN" \
		--ns "nsid=1,stack=file:$WORK/ns1.img" \
		--ns "nsid=2,stack=file:$WORK/ns2.img" "$@" \
		>>"$WORK/target.log" 2>&1 &
	echo $! >"$WORK/socp.pid"
	disown $!
}

target_start() {
	truncate -s 256M "$WORK/ns2.img"
	truncate -s 64M "$WORK/ns1.img"
	# shellcheck disable=SC2086
	$HOSTD --listen "$WORK/agent.sock" --control "$WORK/hctl.sock" \
		--vfio-user "$DRIVE=$NQN" >>"$WORK/target.log" 2>&1 &
	echo $! >"$WORK/target.pid"
	disown $!
	wait_for 10 test -S "$DRIVE"
	serve
	wait_for 10 is_served
}

target_kill() {
	kill -KILL "$(cat "$WORK/socp.pid")"
	serve
	wait_for 10 is_served
}

target_stop() {
	stop_pid TERM "$WORK/socp.pid"
	stop_pid TERM "$WORK/target.pid"
}

drive_args() {
	echo --vfio-user "$DRIVE"
}
