# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# The drive of the guests that attach by vfio-user: one socp serves it, alone.
# Namespace 1 lives in memory, namespace 2 in a file. SPIN_US: how long it polls;
# DRIVE_OPTS: more of --vfio-user, from its comma on.

DRIVE=$WORK/drive.sock

target_program() {
	[ -n "$SOCP" ] || return 1
	[ -n "$LEAPCTL" ]
}

target_start() {
	[ -e "$WORK/ns2.img" ] || truncate -s 256M "$WORK/ns2.img"
	(socp_vm_run "$DRIVE${DRIVE_OPTS:-}" "$WORK/ctl.sock" "${SPIN_US:-50}" \
		"${STACK1:-memory:64M}" "file:$WORK/ns2.img") \
		>>"$WORK/target.log" 2>&1 &
	echo $! >"$WORK/target.pid"
	disown $!
	wait_for 10 test -S "$DRIVE"
}

target_stop() { stop_pid TERM "$WORK/target.pid"; }
target_ns_add() { ctl_ns_add "$WORK/ctl.sock" "$1" "$2"; }
target_ns_remove() { ctl_ns_remove "$WORK/ctl.sock" "$1"; }
target_ns_resize() { ctl_ns_resize "$WORK/ctl.sock" "$1" "$2"; }
target_counters() { ctl_vm_counters "$WORK/ctl.sock"; }

# What guest.sh is given, and what device_add is.
drive_args() {
	echo --vfio-user "$DRIVE"
}

drive_json() {
	"$VM/qmp.sh" --device drive0 port0 "$DRIVE"
}
