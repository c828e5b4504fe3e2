#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# usage: 60-pcie.sh [--long] [--bench] [--no-iommu]
#
# A PCI drive in a guest with an IOMMU (QEMU's NVMe): taken from the kernel,
# driven by this library with verified I/O, reset, unplugged and plugged in
# again, made slower than its commands may take, and given back: what each of the
# two drivers wrote the other reads, zones and their write pointers too. TAP.
# --bench: nothing but how fast it is beside fio on the kernel's driver, as lines
# that begin with "# bench:".
# --no-iommu: nothing but a guest without one, whose kernel has a VFIO that does
# without it; --long: that too.

TARGET=pcie long='' bench='' only=''
. "$(dirname "$(realpath "$0")")/lib.sh"
while [ $# -gt 0 ]; do
	case $1 in
	--long) long=1 ;;
	--bench) bench=1 ;;
	--no-iommu) only=1 ;;
	*) usage ;;
	esac
	shift
done
work_open
DRIVE=$(BUILD=$BUILD/tests/interop real_program drive) ZONED=1
export ZONED
. "$HERE/target-$TARGET.sh"

target_program || bail "leap-perf, leap-hostd or drive is not built"
prog_args leap-perf leap-hostd drive
with_iommu() {
	lab_ready
	target_start
	iommu_guest pcie --env "NQN=$NQN" --env "LONG=$long" \
		--env "BENCH=$bench" --with nvme --with e2fs \
		${bench:+--with fio} --mem 1024 \
		--timeout $((long ? 2700 : 900)) --module ext4 \
		--module crc32c_generic
}

# Another guest, as VFIO of Debian's kernels does not do it.
without_iommu() {
	lab_ready --built
	target_start
	# shellcheck disable=SC2046 # words
	guest no-iommu --kernel built --script "$HERE/guest-noiommu.sh" \
		--file "$HERE/guest-lib.sh:/run/guest-lib.sh" --env "NQN=$NQN" \
		--with nvme --with e2fs --smp 2 --mem 1024 \
		--module nvme --module ext4 --module crc32c_generic \
		--module 'vfio enable_unsafe_noiommu_mode=1' \
		--module vfio-pci "${PROGS[@]}" --plug port0 --qmp "$WORK" \
		--hook "$HERE/hook.sh" -- $(drive_qemu)
}

checks=0
if [ -z "$only" ]; then
	with_iommu
	checks=$((bench ? 4 : 59))
fi
if [ -n "$only" ] || [ -n "$long" ]; then
	without_iommu
	checks=$((checks + 26))
fi
tap_done $checks
