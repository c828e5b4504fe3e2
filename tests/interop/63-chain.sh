#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# usage: 63-chain.sh [--long]
#
# From end to end in a guest with an IOMMU: a PCI drive (QEMU's NVMe), leap-hostd
# that owns it and lends its queue pairs, socp that borrows them and serves Linux'
# own NVMe/TCP host, a host over shared memory and a virtual machine's driver. All
# is verified, and copies of payload are counted. TAP.

TARGET=pcie
. "$(dirname "$(realpath "$0")")/lib.sh"
long_option "$@"
work_open
DRIVE=none
. "$HERE/target-$TARGET.sh"

target_program && [ -n "$SOCP" ] && [ -n "$LEAPCTL" ] ||
	bail "leap-perf, leap-hostd, socp or leapctl is not built"
prog_args leap-perf leap-hostd socp leapctl
lab_ready
target_start
iommu_guest chain --env "DRIVE_NQN=$NQN" --env "LONG=$long" \
	--with nvme --with fio --mem 1024 \
	--module nvme-tcp --module crc32c_generic
tap_done 25
