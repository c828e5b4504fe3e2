#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# usage: 30-flush.sh [--target socp|nvmet]
#
# Flush and FUA reach the medium: socp and the kernel that connects to it run in
# one guest, and the guest's disks count the flushes that arrive. TAP.

TARGET=socp
while [ $# -gt 0 ]; do
	case $1 in
	--target) TARGET=$2; shift ;;
	--long) ;; # no more to do than always
	*) sed -n '4s/^# //p' "$0" >&2; exit 2 ;;
	esac
	shift
done
. "$(dirname "$(realpath "$0")")/lib.sh"

args=()
if [ "$TARGET" = socp ]; then
	SOCP=$(real_program socp) || bail "socp is not built"
	# In the build tree the library is where only libtool's wrapper looks.
	export LD_LIBRARY_PATH=$BUILD/.libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
	args=(--prog "$SOCP:/usr/bin/socp")
fi
work_open
lab_ready
truncate -s 64M "$WORK/a.img" "$WORK/b.img"
guest flush --script "$HERE/guest-flush.sh" \
	--file "$HERE/guest-lib.sh:/run/guest-lib.sh" \
	--file "$HERE/commands.sh:/run/commands.sh" \
	--env "TARGET=$TARGET" --env SOCP=/usr/bin/socp --env "NQN=$NQN" \
	--with nvme --with fio --with e2fs "${args[@]}" \
	--module nvme-tcp --module nvmet-tcp --module virtio_pci \
	--module virtio_blk --module ext4 --module crc32c_generic -- \
	-drive "file=$WORK/a.img,if=none,id=a,format=raw" \
	-device virtio-blk-pci,drive=a \
	-drive "file=$WORK/b.img,if=none,id=b,format=raw" \
	-device virtio-blk-pci,drive=b
tap_done 13
