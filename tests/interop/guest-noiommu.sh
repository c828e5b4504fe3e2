#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# shellcheck disable=SC1091
#
# In a guest: our driver on a PCI drive that no IOMMU stands before. 60-pcie.sh
# --long starts it and counts its checks.

. /run/guest-lib.sh

D=$(basename "$(readlink -f /sys/class/nvme/nvme0/device)")
PLAIN=pcie:$D/$NQN
URL=pcie:$D?noiommu=1/$NQN

driver_is() {
	[ "$(basename "$(readlink "/sys/bus/pci/devices/$D/driver")")" = "$1" ]
}

verify() {	# NAME ARGUMENTS...
	local name=$1

	shift
	check "$name" leap-perf --verify --range 16m --quiet "$@" "$URL"
}

# Memory is moved about all the while; what was pinned stays.
moving() {
	until [ -e /tmp/moving.end ]; do
		dd if=/dev/zero of=/tmp/fill bs=1M count=64 2>/dev/null
		echo 1 >/proc/sys/vm/compact_memory
		rm -f /tmp/fill
	done
}

bound() {
	nvme id-ctrl /dev/nvme0 -o binary >/tmp/id-ctrl
	check "bound to vfio-pci" leap-hostd devices bind "$D"
	check "vfio-pci has it" driver_is vfio-pci
	test -c /dev/vfio/noiommu-0
	ok $? "in no-IOMMU mode"
	drive "$PLAIN" list >/tmp/refused.out 2>&1
	[ $? = 1 ] && grep -q "an IOMMU is needed, or ?noiommu=1" /tmp/refused.out
	ok $? "not driven unless that is asked for" || cat /tmp/refused.out
	timeout 20 leap-hostd --lend "$URL=/run/lend.sock" >/tmp/refused.out 2>&1
	[ $? = 1 ] && grep -q "cannot be lent" /tmp/refused.out
	ok $? "not lent" || cat /tmp/refused.out
	echo "user:x:1000:1000::/tmp:/bin/sh" >>/etc/passwd
	chown 1000 /dev/vfio/noiommu-0
	su user -c "drive '$URL' list" >/tmp/refused.out 2>&1
	[ $? = 1 ] && grep -q "may not be opened by this user" /tmp/refused.out
	ok $? "not for others than root" || cat /tmp/refused.out
	chown 0 /dev/vfio/noiommu-0
}

data() {
	local q spin

	for q in 1 4; do
		for spin in 0 100000; do
			verify "verified, $q queues, $spin us of polling" \
				--bs 512-256k --nsid 1 --queues $q --count 400 \
				--depth 32 --spin-us $spin --misalign
		done
	done
	verify "blocks of 4096" --bs 4k-256k --nsid 2 --queues 2 --count 400 \
		--depth 32 --misalign
	rm -f /tmp/moving.end
	moving &
	verify "verified, while memory is moved about" --bs 512-64k --nsid 1 \
		--queues 2 --depth 32 --time 15
	touch /tmp/moving.end
	wait
	check "huge pages" sh -c 'echo 64 >/proc/sys/vm/nr_hugepages'
	drive "$URL" id-ctrl >/tmp/ours && cmp /tmp/id-ctrl /tmp/ours
	ok $? "Identify Controller is what nvme-cli got from the kernel"
	check "blocks of 512: every size to MDTS, every alignment" \
		drive "$URL" shapes 1
	check "blocks of 4096: every size to MDTS, every alignment" \
		drive "$URL" shapes 2
	verify "verified, rings of more than a page" --bs 4k-256k --nsid 2 \
		--queues 2 --count 600 --depth 120
}

queues_since() {	# COUNT: the drive has made more than so many
	[ "$(host admin-commands CREATE_SQ)" -gt "$1" ]
}

disturbed() {
	local perf before

	before=$(host admin-commands CREATE_SQ)
	leap-perf --verify --quiet --range 16m --queues 2 --reconnect 300 \
		--time 3600 --json "$URL" >/tmp/load.out 2>&1 &
	perf=$!
	wait_for 10 queues_since "$before"
	sleep 2
	before=$(host admin-commands CREATE_SQ)
	echo 1 >"/sys/bus/pci/devices/$D/reset"
	wait_for 20 queues_since "$before"
	sleep 2
	kill -INT $perf
	wait $perf
	ok $? "verified I/O goes on over a reset" || tail -n 5 /tmp/load.out
	grep -q '"reconnects": *[1-9]' /tmp/load.out
	ok $? "... which the driver has noticed" || cat /tmp/load.out
	before=$(host admin-commands CREATE_SQ)
	leap-perf --quiet --time 3600 "$URL" >/dev/null 2>&1 &
	perf=$!
	wait_for 10 queues_since "$before"
	sleep 2
	kill -9 $perf
	wait $perf
	verify "one that was killed leaves a drive that works" --bs 4k-64k \
		--nsid 2 --queues 2 --count 400
}

handed_over() {
	mkdir -p /tmp/tree && cp -a /usr/bin /tmp/tree/
	/usr/bin/mke2fs -q -t ext4 -b 4096 -d /tmp/tree -F /tmp/image 48M
	check "a file system is written by our driver" \
		drive "$URL" put 2 /tmp/image
	check "released" leap-hostd devices release "$D"
	check "its old driver has it again" driver_is nvme
	wait_for 10 ns 2
	check "fsck finds nothing" e2fsck -f -n "/dev/$(ns 2)"
	mount -t ext4 -o ro "/dev/$(ns 2)" /mnt && diff -r /tmp/tree/bin \
		/mnt/bin >/tmp/diff.out
	ok $? "the kernel mounts it, and reads what was written"
}

wait_for 10 ns 2
bound
data
disturbed
handed_over
exit 0
