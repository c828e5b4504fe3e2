#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# usage: 51-vfio-user-firmware.sh [--lab-only] [--long]
#
# SeaBIOS and OVMF read a boot loader, a kernel and an initramfs from a drive
# that socp serves over vfio-user; the kernel that comes up looks at the drive
# it came from. TAP. --lab-only puts QEMU's own drive in the place of ours.

TARGET=vfio-user
while [ $# -gt 0 ]; do
	case $1 in
	--lab-only) TARGET=qemu ;;
	--long) ;; # no more to do than always
	*) sed -n '4s/^# //p' "$0" >&2; exit 2 ;;
	esac
	shift
done
. "$(dirname "$(realpath "$0")")/lib.sh"
work_open
. "$HERE/target-$TARGET.sh"

# firmware NAME: boots from $WORK/disk.img, as namespace 1, and then stops
firmware() {
	local device=() qemu=() before

	before=$(cksum <"$WORK/disk.img")
	cp --sparse=always "$WORK/disk.img" "$WORK/ns1.img"
	if [ "$TARGET" = qemu ]; then
		mapfile -t qemu < <(drive_qemu | tr ' ' '\n')
		qemu=("${qemu[@]/,discard=unmap/}")
	else
		tap_cmd "$1: the drive is served" target_start
	fi
	mapfile -t device < <(drive_args | tr ' ' '\n')
	guest "$1" --boot "$1" "${device[@]}" -- "${qemu[@]}"
	[ "$TARGET" = qemu ] ||
		tap_cmd "$1: the server stops when told to" target_stop
	[ "$(cksum <"$WORK/ns1.img")" = "$before" ]
	tap $? "$1: nothing was written to the drive"
}

target_program || bail "socp is not built"
lab_ready
export STACK1=file:$WORK/ns1.img
truncate -s 16M "$WORK/ns2.img"
tap_cmd "a disk is made" "$VM/guest.sh" --make-disk "$WORK/disk.img" \
	--script "$HERE/guest-firmware.sh" \
	--file "$HERE/guest-lib.sh:/run/guest-lib.sh" \
	--module nvme --module vfat \
	--module nls_cp437 --module nls_ascii
firmware bios
firmware efi
[ "$TARGET" = vfio-user ] || { tap_done $tap_n; exit; }
tap_done 19 || { sed 's/^/# target: /' "$WORK/target.log"; exit 1; }
