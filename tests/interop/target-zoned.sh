# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# Two targets with a namespace of zones each: one for the guest's NVMe/TCP host,
# one as its PCI drive, behind a relay to a window of the first one's second.

DRIVE=$WORK/drive.sock
ZONES="zone=4M,cap=3M,max_active=12,max_open=8,append=64K"

target_program() {
	[ -n "$SOCP" ] || return 1
	[ -n "$LEAPCTL" ]
}

start_one() {	# NAME COMMAND...
	local name=$1

	shift
	("$@") >>"$WORK/target.log" 2>&1 &
	echo $! >"$WORK/$name.pid"
	disown $!
}

target_start() {
	start_one tcp socp_run "$PORT" "10.0.2.2:$PORT" "$WORK/ctl.sock" \
		"zoned:128M[$ZONES]" "zoned:256M[$ZONES]"
	wait_for 10 target_answers || return 1
	NQN=$NQN-pci start_one pci socp_vm_run "$DRIVE" "$WORK/pci.sock" 50 \
		"relay:\"tcp://127.0.0.1:$PORT/$NQN\"[nsid=2,start=8192,blocks=32768]"
	wait_for 10 test -S "$DRIVE"
}

target_stop() {
	stop_pid TERM "$WORK/pci.pid" && stop_pid TERM "$WORK/tcp.pid"
}

drive_args() {
	echo --vfio-user "$DRIVE"
}
