#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# usage: 65-zoned.sh [--long]
#
# Linux in a guest uses namespaces with zones: over NVMe/TCP, and as a PCI drive
# which is a relay to a window of another one. TAP.

TARGET=zoned
. "$(dirname "$(realpath "$0")")/lib.sh"
long_option "$@" # no more to do than always
work_open
. "$HERE/target-$TARGET.sh"
CHECKS=71

target_program || bail "socp is not built"
lab_ready
cat "$HERE/expect/dmesg.allow" "$HERE/expect/dmesg-pci.allow" \
	- >"$WORK/dmesg.allow" <<-'END'
	zonefs .*: (Mounting [0-9]+ zones|Zone group "seq" has [0-9]+ files)
END
tap_cmd "the targets start" target_start
# shellcheck disable=SC2046 # words
guest "zoned" --script "$HERE/guest-zoned.sh" \
	--file "$HERE/guest-lib.sh:/run/guest-lib.sh" \
	--file "$WORK/dmesg.allow:/run/dmesg.allow" \
	--env "TCP_NQN=$NQN" --env ADDR=10.0.2.2 --env "PORT=$PORT" \
	--with nvme --with fio --smp 2 --mem 768 \
	--module nvme --module nvme-tcp --module zonefs \
	--module crc32c_generic --net --hook "$HERE/hook.sh" $(drive_args)
tap_cmd "the targets stop when told to" target_stop
tap_done $CHECKS || { sed 's/^/# target: /' "$WORK/target.log"; exit 1; }
