#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# usage: 61-lend.sh [--long]
#
# A PCI drive in a guest with an IOMMU (QEMU's NVMe): leap-hostd owns it and
# lends its queue pairs; programs borrow them, alone and beside one another, and
# socp serves a host with them and is killed again and again. TAP.

TARGET=pcie
. "$(dirname "$(realpath "$0")")/lib.sh"
long_option "$@"
work_open
DRIVE=none
. "$HERE/target-$TARGET.sh"

target_program && [ -n "$SOCP" ] ||
	bail "leap-perf, leap-hostd or socp is not built"
prog_args leap-perf leap-hostd socp
lab_ready
target_start
KILLS=$((long ? 20 : 5))
iommu_guest lend --env "NQN=$NQN" --env "KILLS=$KILLS" --with nvme \
	--mem 1024 --timeout $((600 + KILLS * 60))
tap_done $((18 + KILLS))
