#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# usage: 50-vfio-user-linux.sh [--lab-only] [--update-expect] [--long]
#                              [--only full|brief|plug|pin|abort|intx]
#
# Linux in a guest drives a PCI NVMe drive that socp serves over vfio-user: a
# newer kernel in full, an older one in brief, one that is pulled out and plugged
# in again under I/O, and one without MSI. TAP.
# --lab-only puts QEMU's own drive in the place of ours, to try the scripts;
# --update-expect writes expect/vfio-user/*.json from this run instead of
# comparing.

TARGET=vfio-user update=0 only='full brief plug intx' lab_only= long=
while [ $# -gt 0 ]; do
	case $1 in
	--lab-only) TARGET=qemu lab_only=1 ;;
	--update-expect) update=1 ;;
	--only) only=$2; shift ;;
	--long) long=' pin abort' ;;
	*) sed -n '4,5s/^# //p' "$0" >&2; exit 2 ;;
	esac
	shift
done
only=$only$long
. "$(dirname "$(realpath "$0")")/lib.sh"
work_open
. "$HERE/target-$TARGET.sh"

ANSWERS="id-ctrl id-ns-1 ns-descs-1 list-ns smart-log error-log effects-log
show-regs"
FEATURES="0x01 0x02 0x04 0x06 0x07 0x08 0x0a 0x0b"
for fid in $FEATURES; do
	ANSWERS="$ANSWERS feature-$fid"
done

# guest_of PASS GUEST-ARGUMENT...
guest_of() {
	local name=$1

	shift
	rm -f "$WORK"/qmp.*
	# shellcheck disable=SC2046 # words
	guest "$name" --script "$HERE/guest-vfio-user.sh" --env "PASS=$name" \
		--file "$HERE/guest-lib.sh:/run/guest-lib.sh" \
		--file "$WORK/dmesg.allow:/run/dmesg.allow" \
		--env "FEATURES=$FEATURES" --env "NQN=$NQN" \
		--env "LAB_ONLY=$lab_only" \
		--with nvme --with fio --with e2fs --smp 4 --mem 1024 \
		--module nvme --module ext4 --module crc32c_generic \
		--qmp "$WORK" --hook "$HERE/hook.sh" "$@"
}

chosen() {
	case " $only " in *" $1 "*) return 0 ;; esac
	return 1
}

# pass NAME CHECKS GUEST-ARGUMENT...: one guest and its drive, from new
pass() {
	local name=$1 device=()

	chosen "$name" || return 0
	CHECKS=$((CHECKS + $2 + 3))
	shift 2
	rm -f "$WORK/boots" "$WORK/ns2.img"
	tap_cmd "$name: the drive is served" target_start
	mapfile -t device < <(drive_args | tr ' ' '\n')
	# shellcheck disable=SC2046 # words
	guest_of "$name" "${device[@]}" "$@" -- \
		$([ -z "$lab_only" ] || drive_qemu)
	tap_cmd "$name: the server stops when told to" target_stop
}

# plug NAME KIND CHECKS GUEST-ARGUMENT...: a drive that interrupts by KIND comes
# and goes
plug() {
	local name=$1 kind=$2

	chosen "$name" || return 0
	CHECKS=$((CHECKS + $3 + 3))
	shift 3
	rm -f "$WORK/boots" "$WORK/ns2.img"
	DRIVE_OPTS=,irq=$kind tap_cmd "$name: the drive is served" target_start
	guest_of plug --shared --plug port0 --env "IRQ=$kind" "$@"
	tap_cmd "$name: the server stops when told to" target_stop
}

# QEMU up to 11.1 aborts when it frees a pulled vfio-user device that has MSI-X;
# the server has to take that, and a second guest to find what the first one wrote.
abort() {
	local DIES='*memory_region_del_subregion: Assertion*'

	chosen abort || return 0
	rm -f "$WORK/boots" "$WORK/ns2.img"
	tap_cmd "abort: the drive is served" target_start
	if guest_of abort --shared --plug port0 --env IRQ=msix; then
		CHECKS=$((CHECKS + 14))
	else
		CHECKS=$((CHECKS + 21))
		guest_of abort --shared --plug port0 --env IRQ=msix
	fi
	tap_cmd "abort: the server stops when told to" target_stop
}

target_program || bail "socp is not built"
lab_ready
cat "$HERE/expect/dmesg.allow" "$HERE/expect/dmesg-pci.allow" \
	>"$WORK/dmesg.allow"
[ -z "$lab_only" ] || NQN=nqn.2019-08.org.qemu:${NQN#nqn.*:}
CHECKS=0
# A guest that is emulated is slow enough for its drive to fall asleep between
# commands: the number of doorbells that leave it is counted when it may not.
export SPIN_US=1000000
# nvme show-regs maps registers that the kernel keeps to itself otherwise.
pass full 73 --reboot --append iomem=relaxed
unset SPIN_US
if [ -z "$lab_only" ] && [ -e "$WORK/got/id-ctrl.json" ]; then
	mkdir -p "$HERE/expect/vfio-user"
	compare "$HERE/expect/vfio-user" "$ANSWERS" $update
	CHECKS=$((CHECKS + $(wc -w <<<"$ANSWERS")))
fi
pass brief 23 --kernel older
if [ -z "$lab_only" ]; then
	# With interrupts remapped a function may have more than one message.
	plug plug msi 30 --append intel_iommu=off -- \
		-device intel-iommu,intremap=on
	plug pin intx 30
	abort
fi
pass intx 18 --append pci=nomsi
[ -z "$lab_only" ] || CHECKS=$tap_n
tap_done $CHECKS || { sed 's/^/# target: /' "$WORK/target.log"; exit 1; }
