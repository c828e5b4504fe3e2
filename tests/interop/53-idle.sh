#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# usage: 53-idle.sh [--long]
#
# A guest that does nothing with its drive costs nothing: the times that
# leap-hostd and socp woke up while it slept are counted. What is left is the
# question every ten seconds whether the other one lives. TAP.

TARGET=agent
SECONDS_IDLE=10
while [ $# -gt 0 ]; do
	case $1 in
	--long) SECONDS_IDLE=60 ;;
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
guest idle --env "NQN=$NQN" --env "SLEEP=$SECONDS_IDLE" --with nvme \
	--file "$HERE/guest-lib.sh:/run/guest-lib.sh" --module nvme \
	--hook "$HERE/hook.sh" "${device[@]}" --cmd '
	. /run/guest-lib.sh
	check "the drive is there" wait_for 20 ns 1
	dd if=/dev/$(ns 1) of=/dev/null bs=64k count=64 iflag=direct 2>/dev/null
	ok $? "and answers"
	quiet() {
		set -- $(host wakeups)
		sleep 1
		[ $(($(host wakeups | cut -d" " -f1) - $1)) -le 1 ]
	}
	wait_for 5 quiet
	set -- $(host wakeups)
	sleep $SLEEP
	set -- "$@" $(host wakeups)
	echo "leap-hostd and socp: $1 before, $3 after $(($4 - $2)) s without I/O"
	# Those that have really passed.
	[ $(($3 - $1)) -le $(($4 - $2)) ]
	ok $? "less than one wake-up a second ($(($3 - $1)))"
	exit 0'
tap_cmd "both stop when told to" target_stop
tap_done 6
