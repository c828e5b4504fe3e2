#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# usage: 52-kill.sh [--long]
#
# Linux in a guest drives a PCI NVMe drive that leap-hostd has and socp serves,
# while socp is killed and started again every few seconds: file system, fio
# with verification, resets; no error, nothing in the guest's log. TAP.

TARGET=vfio-agent PAUSE=4
[ "$1" != --long ] || PAUSE=1
. "$(dirname "$(realpath "$0")")/lib.sh"
work_open
. "$HERE/target-vfio-agent.sh"

# Until told to stop: one line for each kill.
killer() {
	while [ ! -e "$WORK/enough" ]; do
		sleep $PAUSE
		[ ! -e "$WORK/enough" ] || break
		target_kill || { echo "not served again"; return; }
		$LEAPCTL --control "$WORK/hctl.sock" status |
			sed -n 's/^\(pause\|slots\) */\1 /p' | tr '\n' ' '
		echo
	done
}

guest_of() {
	# shellcheck disable=SC2046 # words
	guest kill --script "$HERE/guest-vfio-user.sh" --env PASS=killed \
		--file "$HERE/guest-lib.sh:/run/guest-lib.sh" \
		--file "$WORK/dmesg.allow:/run/dmesg.allow" --env "NQN=$NQN" \
		--with nvme --with fio --with e2fs --smp 4 --mem 1024 \
		--timeout 300 --module nvme --module ext4 \
		--module crc32c_generic --qmp "$WORK" --hook "$HERE/hook.sh" \
		$(drive_args)
}

target_program || bail "socp or leap-hostd is not built"
lab_ready
cat "$HERE/expect/dmesg.allow" "$HERE/expect/dmesg-pci.allow" \
	>"$WORK/dmesg.allow"
tap_cmd "the drive is served" target_start
killer >"$WORK/kills" 2>&1 &
killer_pid=$!
guest_of
touch "$WORK/enough"
wait $killer_pid
sed 's/^/# /' "$WORK/kills"
kills=$(grep -c pause "$WORK/kills")
tap_cmd "socp was killed ($kills times) and every time replaced" \
	test "$kills" -ge 3
tap_cmd "both stop when told to" target_stop
tap_done 27 || { sed 's/^/# target: /' "$WORK/target.log"; exit 1; }
