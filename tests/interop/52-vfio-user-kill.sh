#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# usage: 52-vfio-user-kill.sh [--long]
#
# leap-hostd has a guest's drive, socp serves it and is killed, stopped, and
# replaced while the guest verifies what it reads. TAP. --long kills it 30 times
# instead of 5, and then in another guest with four times the memory.

TARGET=agent KILLS=5 MEMS=1024
while [ $# -gt 0 ]; do
	case $1 in
	--long) KILLS=30 MEMS='1024 4096' ;;
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
CHECKS=0 PART=all
# Or the guest, which is emulated, would mostly be at something else. Reads, the
# pause of which is measured, have none.
export DELAY='delay[write_us=5000]'

# one MEM: a guest with so much memory, and what serves it
one() {
	local device=()

	rm -f "$WORK/boots"
	tap_cmd "$1 MiB: the drive is served" target_start
	mapfile -t device < <(drive_args | tr ' ' '\n')
	guest "$1 MiB" --script "$HERE/guest-kill.sh" --env "KILLS=$KILLS" \
		--env "PART=$PART" --env "MEM=$1" \
		--file "$HERE/guest-lib.sh:/run/guest-lib.sh" --env "NQN=$NQN" \
		--with nvme --with fio --with e2fs --smp 2 --mem "$1" \
		--timeout $((600 + KILLS * 60)) --module nvme --module ext4 \
		--module crc32c_generic --reboot --hook "$HERE/hook.sh" \
		"${device[@]}"
	tap_cmd "$1 MiB: both stop when told to" target_stop
}

# per_gib NAME: what a GiB more of guest memory adds to the median pause
per_gib() {
	awk -v name="$1" '{ v[FNR == NR] = $2 }
		END { printf "# pause of %s: %.1f ms more per GiB of guest " \
			"memory\n", name, (v[0] - v[1]) / 3 }' \
		"$WORK/got/$1.1024" "$WORK/got/$1.4096"
}

for mem in $MEMS; do
	one "$mem"
	# a second one for its pauses only
	case $PART in all) CHECKS=$((CHECKS + 33)) ;; *) CHECKS=$((CHECKS + 12)) ;; esac
	PART=pauses
done
sed 's/^/# /' "$WORK/slots"
grep -q '^killed: .* issued [1-9]' "$WORK/slots"
tap $? "commands were under way when it was killed"
case $MEMS in *4096) per_gib kills; per_gib handoffs ;; esac
tap_done $((CHECKS + 1)) || {
	sed 's/^/# hostd: /' "$WORK/hostd.log"
	sed 's/^/# socp: /' "$WORK/target.log"
	exit 1
}
