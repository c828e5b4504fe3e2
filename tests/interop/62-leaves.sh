#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# usage: 62-leaves.sh
#
# A PCI drive (QEMU's NVMe) behind a stack, in a guest with an IOMMU: by the
# kernel's pass-through (leaf ng) and by our own driver with queue pairs lent to
# each thread (leaf nvme), served to a host over shared memory. TAP.

TARGET=pcie
. "$(dirname "$(realpath "$0")")/lib.sh"
work_open
. "$HERE/target-$TARGET.sh"
# What a guest is given is the program itself, with the library that it finds.
LD_LIBRARY_PATH=$BUILD/.libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export LD_LIBRARY_PATH

DRIVE=$BUILD/tests/interop/drive
[ -x "${DRIVE%/*}/.libs/drive" ] && DRIVE=${DRIVE%/*}/.libs/drive

progs() {
	local p

	for p in leap-perf leap-hostd socp; do
		echo --prog "$(real_program $p):/usr/bin/$p"
	done
	echo --prog "$DRIVE:/usr/bin/drive"
}

target_program && [ -n "$SOCP" ] ||
	bail "socp, leap-perf, leap-hostd or drive is not built"
lab_ready
target_start
# shellcheck disable=SC2046 # words
guest leaves --script "$HERE/guest-leaves.sh" \
	--file "$HERE/guest-lib.sh:/run/guest-lib.sh" \
	--env "NQN=nqn.2026-01.org.example:leaves" \
	--with nvme --with e2fs --smp 2 --mem 768 \
	--timeout 300 --module nvme --module ext4 \
	--module crc32c_generic --module vfio_iommu_type1 --module vfio-pci \
	--append "intel_iommu=on iommu=nopt" $(progs) --plug port0 \
	--qmp "$WORK" --hook "$HERE/hook.sh" -- \
	-device intel-iommu,intremap=on,caching-mode=on \
	-machine kernel-irqchip=split $(drive_qemu)
tap_done 24
