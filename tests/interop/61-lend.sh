#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# usage: 61-lend.sh [--long]
#
# A PCI drive in a guest with an IOMMU (QEMU's NVMe): leap-hostd owns it and
# lends its queue pairs; programs borrow them, alone and beside one another, and
# socp serves a host with them and is killed again and again. TAP.

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

	for p in leap-perf leap-hostd socp; do
		echo --prog "$(real_program $p):/usr/bin/$p"
	done
}

target_program || bail "leap-perf or leap-hostd is not built"
lab_ready
target_start
KILLS=$((long ? 20 : 5))
# shellcheck disable=SC2046 # words
guest lend --script "$HERE/guest-lend.sh" \
	--file "$HERE/guest-lib.sh:/run/guest-lib.sh" \
	--env "NQN=$NQN" --env "KILLS=$KILLS" --with nvme \
	--smp 2 --mem 1024 --timeout $((long ? 600 : 300)) --module nvme \
	--module vfio_iommu_type1 --module vfio-pci \
	--append "intel_iommu=on iommu=nopt" $(progs) --plug port0 \
	--qmp "$WORK" --hook "$HERE/hook.sh" -- \
	-device intel-iommu,intremap=on,caching-mode=on \
	-machine kernel-irqchip=split $(drive_qemu)
tap_done $((18 + KILLS))
