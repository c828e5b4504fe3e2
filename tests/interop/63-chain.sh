#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# usage: 63-chain.sh [--long]
#
# From end to end in a guest with an IOMMU: a PCI drive (QEMU's NVMe), leap-hostd
# that owns it and lends its queue pairs, socp that borrows them and serves Linux'
# own NVMe/TCP host, a host over shared memory and a virtual machine's driver. All
# is verified, and copies of payload are counted. TAP.

TARGET=pcie long=''
while [ $# -gt 0 ]; do
	case $1 in
	--long) long=1 ;;
	*) sed -n '4s/^# //p' "$0" >&2; exit 2 ;;
	esac
	shift
done
. "$(dirname "$(realpath "$0")")/lib.sh"
NQN=nqn.2019-08.org.qemu:${NQN#nqn.*:}
export NQN
work_open
DRIVE=none
. "$HERE/target-$TARGET.sh"
LD_LIBRARY_PATH=$BUILD/.libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export LD_LIBRARY_PATH

progs() {
	local p

	for p in leap-perf leap-hostd socp leapctl; do
		echo --prog "$(real_program $p):/usr/bin/$p"
	done
}

target_program && [ -n "$SOCP" ] && [ -n "$LEAPCTL" ] ||
	bail "leap-perf, leap-hostd, socp or leapctl is not built"
lab_ready
target_start
# shellcheck disable=SC2046 # words
guest chain --script "$HERE/guest-chain.sh" \
	--file "$HERE/guest-lib.sh:/run/guest-lib.sh" \
	--env "DRIVE_NQN=$NQN" --env "LONG=$long" --with nvme --with fio \
	--smp 2 --mem 1024 --timeout $((long ? 600 : 300)) --module nvme \
	--module nvme-tcp --module crc32c_generic --module vfio_iommu_type1 \
	--module vfio-pci --append "intel_iommu=on iommu=nopt" $(progs) \
	--plug port0 --qmp "$WORK" --hook "$HERE/hook.sh" -- \
	-device intel-iommu,intremap=on,caching-mode=on \
	-machine kernel-irqchip=split $(drive_qemu)
tap_done 25
