# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# The target of the kernel-host test: socp on this machine. Namespace 1 lives in
# memory, namespace 2 in a file, which is what a SIGKILL may not damage.

target_program() {
	[ -n "$SOCP" ] || return 1
	[ -n "$LEAPCTL" ]
}

# Like a service manager, starts it again while it ends at once: the kernel keeps
# the lock of a killed process on its file until its last write has landed.
target_start() {
	[ -e "$WORK/ns2.img" ] || truncate -s 256M "$WORK/ns2.img"
	wait_for 15 target_try
}

target_try() {
	local pid

	(socp_run "$PORT" "10.0.2.2:$PORT" "$WORK/ctl.sock" \
		memory:64M "file:$WORK/ns2.img") >>"$WORK/target.log" 2>&1 &
	pid=$!
	echo $pid >"$WORK/target.pid"
	disown $pid
	wait_for 10 up_or_gone $pid target_answers && ! gone $pid && return
	stop_pid KILL "$WORK/target.pid"
	return 1
}

target_freeze() { kill -STOP "$(cat "$WORK/target.pid")"; }
target_thaw() { kill -CONT "$(cat "$WORK/target.pid")"; }
target_kill() { stop_pid KILL "$WORK/target.pid"; }
target_stop() { stop_pid TERM "$WORK/target.pid"; }
target_ns_add() { ctl_ns_add "$WORK/ctl.sock" "$1" "$2"; }
target_ns_remove() { ctl_ns_remove "$WORK/ctl.sock" "$1"; }
target_ns_resize() { ctl_ns_resize "$WORK/ctl.sock" "$1" "$2"; }
