#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# usage: 10-kernel-host-tcp.sh [--target-cmd CMD] [--target socp|nvmet]
#                              [--update-expect] [--port PORT] [--long]
#
# The Linux kernel in a guest as NVMe/TCP host of a target on 127.0.0.1: socp,
# or CMD in its place. TAP. --target nvmet takes Linux' own target instead, to
# try the test without the project's programs; what it answers to id-ctrl and
# the like is then only shown to be there, not compared. --update-expect writes
# expect/*.json from this run instead of comparing.

TARGET=socp update=0 long=
while [ $# -gt 0 ]; do
	case $1 in
	--target-cmd) SOCP=$2; shift ;;
	--target) TARGET=$2; shift ;;
	--port) PORT=$2; shift ;;
	--update-expect) update=1 ;;
	--long) long=1 ;;
	*) sed -n '4,5s/^# //p' "$0" >&2; exit 2 ;;
	esac
	shift
done
export SOCP
. "$(dirname "$(realpath "$0")")/lib.sh"
. "$HERE/target-$TARGET.sh"

ANSWERS="id-ctrl id-ns-1 ns-descs-1 list-ns smart-log error-log effects-log
show-regs"
FEATURES="0x06 0x07 0x0b 0x0f"
REFUSAL="LBA Out of Range"
# nvmet lacks some that every controller must have, leaves ranges to the disk,
# and its forwarded port takes connections before its guest does
if [ "$TARGET" = nvmet ]; then
	REFUSAL="Internal Error"
else
	FEATURES="0x01 0x02 0x04 $FEATURES"
fi
for fid in $FEATURES; do
	ANSWERS="$ANSWERS feature-$fid"
done
CHECKS=$((59 + $(wc -w <<<"$ANSWERS")))
[ -z "$long" ] || CHECKS=$((CHECKS + 8 * 5 + 7))

work_open
target_program || bail "$TARGET is not built"
lab_ready
cp "$HERE/expect/dmesg.allow" "$WORK/"
[ "$TARGET" = socp ] ||
	cat "$HERE/expect/dmesg-$TARGET.allow" >>"$WORK/dmesg.allow"
tap_cmd "the target starts" target_start
guest "kernel host" --script "$HERE/guest-kernel-host.sh" \
	--file "$HERE/guest-lib.sh:/run/guest-lib.sh" \
	--file "$WORK/dmesg.allow:/run/dmesg.allow" \
	--env "FEATURES=$FEATURES" --env "LONG=$long" \
	--env "REFUSAL=$REFUSAL" --env "NQN=$NQN" \
	--env ADDR=10.0.2.2 --env "PORT=$PORT" \
	--with nvme --with fio --with e2fs --smp 4 --mem 1536 \
	--timeout $((long ? 2700 : 900)) \
	--module nvme-tcp --module ext4 --module crc32c_generic --net \
	--hook "$HERE/hook.sh"
if [ "$TARGET" = socp ]; then
	compare "$HERE/expect" "$ANSWERS" $update
	CHECKS=$((CHECKS + $(wc -w <<<"$ANSWERS")))
fi
tap_cmd "the target stops when told to" target_stop
tap_done $CHECKS || { sed 's/^/# target: /' "$WORK/target.log"; exit 1; }
