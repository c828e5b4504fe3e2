#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# shellcheck disable=SC1091
#
# In a guest: a target on 127.0.0.1 whose namespaces are the disk vda and a file
# on the disk vdb, and the kernel as its host. Flushes of the host must come out
# at the disks, which count them in /sys/block/X/stat.

. /run/guest-lib.sh
. /run/commands.sh
ADDR=127.0.0.1 PORT=4420

flushes() {
	awk '{ print $16 }' "/sys/block/$1/stat"
}

start_socp() {
	(socp_run $PORT $ADDR:$PORT /run/ctl.sock file:/dev/vda file:/mnt/leaf) &
}

start_nvmet() {
	cfg=/sys/kernel/config/nvmet
	sub=$cfg/subsystems/$NQN
	port=$cfg/ports/1
	mkdir "$sub" "$port" "$sub/namespaces/1" "$sub/namespaces/2"
	echo 1 >"$sub/attr_allow_any_host"
	echo /dev/vda >"$sub/namespaces/1/device_path"
	echo /mnt/leaf >"$sub/namespaces/2/device_path"
	echo 1 >"$sub/namespaces/1/enable"
	echo 1 >"$sub/namespaces/2/enable"
	echo tcp >"$port/addr_trtype"
	echo ipv4 >"$port/addr_adrfam"
	echo $ADDR >"$port/addr_traddr"
	echo $PORT >"$port/addr_trsvcid"
	ln -s "$sub" "$port/subsystems/$NQN"
}

# writes NSID ARGUMENTS...: 32 writes through NVMe/TCP
writes() {
	local dev

	dev=/dev/$(ns "$1")
	shift
	fio --name=w --filename="$dev" --rw=write --bs=4k --size=128k --direct=1 \
		--ioengine=psync --eta=never --output=/tmp/fio.out "$@" ||
		cat /tmp/fio.out
}

# grew NSID DISK LEAST MOST ARGUMENTS...: flushes that the writes cost the disk
grew() {
	local nsid=$1 disk=$2 least=$3 most=$4 n

	shift 4
	n=$(flushes "$disk")
	writes "$nsid" "$@"
	n=$(($(flushes "$disk") - n))
	echo "$disk: $n flushes for 32 writes $*"
	[ $n -ge "$least" ] && [ $n -le "$most" ]
}

on() {	# NSID DISK WHAT
	check "$3: has a volatile write cache" grep -q "write back" \
		"/sys/block/$(ns "$1")/queue/write_cache"
	# closing the device, and a journal's own commit, may cost one or two
	grew "$1" "$2" 0 2
	ok $? "$3: plain writes do not flush"
	# fio leaves out the fsync after its last write
	grew "$1" "$2" 31 36 --fsync=1
	ok $? "$3: each fsync reaches the disk"
	# the kernel sends a write with FUA, then a flush, for each
	grew "$1" "$2" 63 70 --sync=dsync
	ok $? "$3: each FUA write and each flush reaches the disk"
}

/usr/bin/mke2fs -q -t ext4 -F /dev/vdb &&
	mount -t ext4 -o commit=600 /dev/vdb /mnt
dd if=/dev/zero of=/mnt/leaf bs=1M count=16 2>/dev/null
sync
check "the disks count flushes" [ "$(flushes vdb)" -gt 0 ]
"start_$TARGET"
check "connect" wait_for 10 connect -i 1 || exit 1
check "the file is there" wait_for 10 ns 2
on 1 vda "block device"
on 2 vdb "file"
check "disconnect" disconnect
exit 0
