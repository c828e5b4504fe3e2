#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# shellcheck disable=SC1091
#
# In a guest: a PCI drive changes hands between the kernel's driver and ours.
# 60-pcie.sh starts it and counts its checks.

. /run/guest-lib.sh

D=$(basename "$(readlink -f /sys/class/nvme/nvme0/device)")
URL=pcie:$D/$NQN
GROUP=$(basename "$(readlink "/sys/bus/pci/devices/$D/iommu_group")")

driver() { basename "$(readlink "/sys/bus/pci/devices/$D/driver")"; }
driver_is() { [ "$(driver)" = "$1" ]; }
devices() { leap-hostd devices "$@"; }

# refused NAME TEXT COMMAND...: fails with 1, and says that
refused() {
	local name=$1 text=$2 rc=0

	shift 2
	"$@" >/tmp/refused.out 2>&1 || rc=$?
	[ $rc = 1 ] && grep -qF "$text" /tmp/refused.out
	ok $? "$name" || sed 's/^/  /' /tmp/refused.out
}

verify() {	# NAME ARGUMENTS...
	local name=$1

	shift
	check "$name" leap-perf --verify --range 16m --quiet "$@" "$URL"
}

by_kernel() {
	check "the kernel's driver has the drive" wait_for 10 ns 2
	devices list >/tmp/list && grep -q "^$D .* $GROUP  *nvme .*$NQN" /tmp/list
	ok $? "devices list shows it" || cat /tmp/list
	nvme id-ctrl /dev/nvme0 -o binary >/tmp/id-ctrl
	nvme id-ns /dev/nvme0 -n 1 -o binary >/tmp/id-ns-1
	nvme id-ns /dev/nvme0 -n 2 -o binary >/tmp/id-ns-2
}

in_use() {
	local dev

	dev=/dev/$(ns 2)
	/usr/bin/mke2fs -q -t ext4 -F "$dev" && mount -t ext4 "$dev" /mnt
	refused "not bound while it is mounted" "is mounted at /mnt" \
		devices bind "$D"
	devices list | grep -q "is mounted at /mnt"
	ok $? "devices list says so"
	umount /mnt
	mkswap "$dev" >/dev/null && swapon "$dev"
	refused "not bound while it is swap" "is swap" devices bind "$D"
	swapoff "$dev"
	check "the kernel's driver still has it" driver_is nvme
}

bound() {
	check "bound to vfio-pci" devices bind "$D"
	grep -qx "$URL" /tmp/check.out
	ok $? "bind says where it is" || cat /tmp/check.out
	check "vfio-pci has it" driver_is vfio-pci
	check "binding it again changes nothing" devices bind "$D"
	devices list --json | tr -d '\n' |
		grep -q '"driver": "vfio-pci", *"previous": "nvme"'
	ok $? "devices list --json knows who had it"
}

same_answers() {
	local n

	drive "$URL" id-ctrl >/tmp/ours && cmp /tmp/id-ctrl /tmp/ours
	ok $? "Identify Controller is what nvme-cli got from the kernel"
	for n in 1 2; do
		drive "$URL" id-ns $n >/tmp/ours && cmp /tmp/id-ns-$n /tmp/ours
		ok $? "Identify Namespace $n as well"
	done
}

data() {
	local q depth spin

	check "blocks of 512: every size to MDTS, every alignment" \
		drive "$URL" shapes 1
	check "blocks of 4096: every size to MDTS, every alignment" \
		drive "$URL" shapes 2
	for q in 1 4 16; do
		depth=$((q == 16 ? 8 : 32))
		for spin in 0 100000; do
			verify "verified, $q queues, $spin us of polling, SGLs" \
				--bs 512-512k --nsid 1 --queues $q --count 400 \
				--depth $depth --spin-us $spin --misalign
			verify "the same, blocks of 4096, PRPs" \
				--bs 4k-512k --nsid 2 --queues $q --count 400 \
				--depth $depth --spin-us $spin --misalign --prp
		done
	done
	! dmesg | grep -i "DMAR.*fault"
	ok $? "the IOMMU has seen no fault"
}

# load NAME SECONDS COMMAND...: verified I/O goes on over COMMAND
load() {
	local name=$1 seconds=$2 rc pid

	shift 2
	leap-perf --verify --bs 512-64k --range 16m --queues 2 --reconnect 300 \
		--quiet --time "$seconds" --json "$URL" >/tmp/load.out 2>&1 &
	pid=$!
	sleep 2
	"$@"
	rc=$?
	[ $rc = 0 ] && kill -0 $pid
	ok $? "$name"
	wait $pid
	ok $? "verified I/O goes on: $name" || tail -n 5 /tmp/load.out
	# Once for each controller that came: else nothing has been disturbed.
	grep -q '"reconnects": *[1-9]' /tmp/load.out
	ok $? "the driver has noticed: $name" || cat /tmp/load.out
}

function_reset() {
	echo 1 >"/sys/bus/pci/devices/$D/reset"
}

# The kernel's driver takes what is plugged in; it is bound again by hand.
replug() {
	host unplug || return 1
	wait_for 10 test ! -e "/sys/bus/pci/devices/$D" || return 1
	sleep 1
	host plug || return 1
	wait_for 10 driver_is nvme || return 1
	wait_for 10 devices bind "$D"
}

disturbed() {
	load "reset under I/O" $((LONG ? 30 : 8)) function_reset
	load "unplugged under I/O and plugged in again" 25 replug
	leap-perf --quiet --time 4 "$URL" >/dev/null 2>&1 &
	sleep 1.5
	refused "not released while it is driven" "is driven by a process" \
		devices release "$D"
	wait
}

# Who may open the group's node, and may lock enough memory, needs no root.
without_root() {
	echo "user:x:1000:1000::/tmp:/bin/sh" >>/etc/passwd
	check "given to a user" devices bind --owner 1000 "$D"
	(ulimit -l 1024; su user -c "drive $URL list") >/tmp/user.out 2>&1
	[ $? = 1 ] && grep -q "the limit is 1024 KiB (ulimit -l)" /tmp/user.out
	ok $? "too little memory may be locked: says so" || cat /tmp/user.out
	(ulimit -l 262144; su user -c "drive $URL list") >/tmp/user.out 2>&1
	ok $? "driven without root" || cat /tmp/user.out
}

handed_over() {
	mkdir -p /tmp/tree && cp -a /usr/bin /tmp/tree/
	/usr/bin/mke2fs -q -t ext4 -b 4096 -d /tmp/tree -F /tmp/image 48M
	check "a file system is written by our driver" \
		drive "$URL" put 2 /tmp/image
	check "released" devices release "$D"
	check "its old driver has it again" driver_is nvme
	wait_for 10 ns 2
	check "fsck finds nothing" e2fsck -f -n "/dev/$(ns 2)"
	mount -t ext4 "/dev/$(ns 2)" /mnt && diff -r /tmp/tree/bin /mnt/bin \
		>/tmp/diff.out && rm -rf /mnt/bin && mkdir /mnt/back &&
		cp -a /modules /mnt/back/
	umount /mnt
	ok $? "the kernel mounts it, and reads what was written"
	dd if="/dev/$(ns 2)" of=/tmp/kernel.img bs=1M count=48 iflag=direct \
		2>/dev/null
	devices bind "$D" >/dev/null &&
		drive "$URL" get 2 /tmp/ours.img $((48 << 20)) &&
		cmp /tmp/kernel.img /tmp/ours.img
	ok $? "what the kernel wrote since is read by our driver"
	check "released again" devices release "$D"
	refused "not released twice" "was not bound" devices release "$D"
}

fio_iops() {	# DEPTH, of the kernel's driver
	fio --name=x --filename="/dev/$(ns 1)" --ioengine=io_uring --direct=1 \
		--rw=randread --bs=4k --iodepth="$1" --time_based --runtime=6 \
		--output-format=json --eta=never |
		awk -F: '/"iops" :/ && !n { n = $2 + 0 } END { printf "%d", n }'
}

our_iops() {	# DEPTH
	leap-perf --depth "$1" --time 6 --nsid 1 --quiet "$URL" |
		awk '/^read/ { print $2 }'
}

bench() {
	local d round

	for round in 1 2 3; do
		for d in 1 32; do
			eval "k$d=$(fio_iops $d)"
		done
		devices bind "$D" >/dev/null
		for d in 1 32; do
			eval "echo bench: 4k randread QD $d: ours \$(our_iops \
				$d) IOPS, io_uring on the kernel driver \$k$d"
		done
		devices release "$D"
		wait_for 10 ns 2
	done
}

by_kernel
in_use
bound
same_answers
data
disturbed
without_root
handed_over
[ -z "$BENCH" ] || bench
exit 0
