#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# usage: 52-vfio-user-kill.sh [--long]
#
# leap-hostd has a guest's drive, socp serves it and is killed, stopped, and
# replaced while the guest verifies what it reads. TAP. --long kills it 30 times
# instead of 5.

TARGET=agent KILLS=5
while [ $# -gt 0 ]; do
	case $1 in
	--long) KILLS=30 ;;
	*) sed -n '4s/^# //p' "$0" >&2; exit 2 ;;
	esac
	shift
done
. "$(dirname "$(realpath "$0")")/lib.sh"
work_open
. "$HERE/target-$TARGET.sh"

target_program || bail "socp, leapctl or leap-hostd is not built"
lab_ready
truncate -s 256M "$WORK/ns2.img"
tap_cmd "the drive is served" target_start
mapfile -t device < <(drive_args | tr ' ' '\n')
guest kill --script "$HERE/guest-kill.sh" --env "KILLS=$KILLS" \
	--file "$HERE/guest-lib.sh:/run/guest-lib.sh" --env "NQN=$NQN" \
	--with nvme --with fio --with e2fs --smp 2 --mem 1024 --timeout 400 \
	--module nvme --module ext4 --module crc32c_generic --reboot \
	--hook "$HERE/hook.sh" "${device[@]}"
tap_cmd "both stop when told to" target_stop
tap_done 30 || {
	sed 's/^/# hostd: /' "$WORK/hostd.log"
	sed 's/^/# socp: /' "$WORK/target.log"
	exit 1
}
