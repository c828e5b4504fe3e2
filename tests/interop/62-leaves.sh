#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# usage: 62-leaves.sh [--long]
#
# A PCI drive (QEMU's NVMe) behind a stack, in a guest with an IOMMU: by the
# kernel's pass-through (leaf ng) and by our own driver with queue pairs lent to
# each thread (leaf nvme), served to a host over shared memory. TAP.

TARGET=pcie
. "$(dirname "$(realpath "$0")")/lib.sh"
long_option "$@" # no more to do than always
work_open
DRIVE=$(BUILD=$BUILD/tests/interop real_program drive)
. "$HERE/target-$TARGET.sh"

target_program && [ -n "$SOCP" ] ||
	bail "socp, leap-perf, leap-hostd or drive is not built"
prog_args leap-perf leap-hostd socp drive
lab_ready
target_start
iommu_guest leaves --env "NQN=nqn.2026-01.org.example:leaves" \
	--with nvme --with e2fs --mem 768 --module ext4 \
	--module crc32c_generic
tap_done 24
