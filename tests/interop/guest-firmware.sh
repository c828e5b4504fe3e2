#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# shellcheck disable=SC1091
#
# In a guest that firmware started from a drive: the kernel was read from that
# drive, which the kernel's own driver sees too. 51-vfio-user-firmware.sh.

. /run/guest-lib.sh

echo	# the boot loader left the line begun
grep -q BOOT_IMAGE=/vmlinuz /proc/cmdline
ok $? "a boot loader started this kernel"
# the kernel may number namespaces otherwise than they are
wait_for 20 sh -c 'test -b /dev/nvme0n1p1 || test -b /dev/nvme0n2p1'
ok $? "the kernel sees the drive it came from"
check "and its files" mount -t vfat -o ro "$(echo /dev/nvme0n?p1)" /mnt
[ -s /mnt/vmlinuz ] && [ -s /mnt/initrd ]
ok $? "kernel and initramfs lie on it"
! dmesg | grep -iE "nvme.*(timeout|abort|fail|error|invalid|missing|warn)"
ok $? "the driver has nothing to complain about"
umount /mnt
