#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# shellcheck disable=SC1091
#
# In a guest that firmware started from a drive: the kernel was read from that
# drive, which the kernel's own driver sees too. 51-vfio-user-firmware.sh.

. /run/guest-lib.sh

grep -q BOOT_IMAGE=/vmlinuz /proc/cmdline
ok $? "a boot loader started this kernel"
wait_for 20 test -b /dev/nvme0n1p1
ok $? "the kernel sees the drive it came from"
check "and its files" mount -t vfat -o ro /dev/nvme0n1p1 /mnt
[ -s /mnt/vmlinuz ] && [ -s /mnt/initrd ]
ok $? "kernel and initramfs lie on it"
! dmesg | grep -iE "nvme.*(timeout|abort|fail|error|invalid|missing|warn)"
ok $? "the driver has nothing to complain about"
umount /mnt
