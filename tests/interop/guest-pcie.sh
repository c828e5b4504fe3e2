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

# perf_at_work ARGUMENT...: leap-perf with two queues, until SIGINT, as $perf; it
# drives the device when this returns.
perf_at_work() {
	local before

	before=$(host admin-commands CREATE_SQ)
	leap-perf --queues 2 --quiet --time 3600 "$@" "$URL" >/tmp/load.out 2>&1 &
	perf=$!
	wait_for 10 commands_since CREATE_SQ "$before"
}

commands_since() {	# NAME COUNT: the drive has had more than so many of that name
	[ "$(host admin-commands "$1")" -gt "$2" ]
}

# load NAME SECONDS COMMAND...: verified I/O goes on over COMMAND, and SECONDS more
load() {
	local name=$1 seconds=$2 rc

	shift 2
	perf_at_work --verify --bs 512-64k --range 16m --reconnect 300 --json
	sleep 2
	"$@"
	rc=$?
	[ $rc = 0 ] && kill -0 $perf
	ok $? "$name"
	sleep "$seconds"
	kill -INT $perf
	wait $perf
	ok $? "verified I/O goes on: $name" || tail -n 5 /tmp/load.out
	# Once for each controller that came: else nothing has been disturbed.
	grep -q '"reconnects": *[1-9]' /tmp/load.out
	ok $? "the driver has noticed: $name" || cat /tmp/load.out
}

function_reset() {
	echo 1 >"/sys/bus/pci/devices/$D/reset"
}

# Namespace 1 does a command a second, and two are out. Both may be done when the
# Abort comes, which then says of one that it has ended it.
too_slow() {
	local rc aborts queues

	perf_at_work --verify --bs 512-16k --range 4m --nsid 1 --queues 1 \
		--depth 2 --timeout 1000 --reconnect 300 --json
	sleep 2
	aborts=$(host admin-commands ABORT)
	queues=$(host admin-commands CREATE_SQ)
	host drive-speed 1
	wait_for 20 commands_since ABORT "$aborts"
	ok $? "commands take too long: the drive is told to abort one"
	wait_for 5 commands_since CREATE_SQ "$queues"
	host drive-speed 0
	wait_for 20 commands_since CREATE_SQ "$queues"
	sleep 1
	kill -INT $perf
	wait $perf
	rc=$?
	grep -q '"reconnects":[1-9].*"redriven":[1-9]' /tmp/load.out
	ok $? "... then it is reset, and commands are sent again" ||
		cat /tmp/load.out
	[ $rc -le 1 ] && grep -q '"bad":0' /tmp/load.out
	ok $? "... and what is read is what was written" || cat /tmp/load.out
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
	load "reset under I/O" $((LONG ? 25 : 2)) function_reset
	too_slow
	load "unplugged under I/O and plugged in again" 2 replug
	perf_at_work
	refused "not released while it is driven" "is driven by a process" \
		devices release "$D"
	kill -INT $perf
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

# What a drive says of its first 8 zones, as the other side would put it: its
# shutdown, when it changes hands, closes those that are open.
as_seen() {
	sed 's/[IE][MX]P_OPENED/CLOSED/; s/ [0-9]* FULL/ - FULL/' | head -n 8
}

kernel_zones() {	# DEVICE
	nvme zns report-zones "$1" -o json | tr -d ' "\n' | tr '{' '\n' | sed -n \
		's/.*slba:\([0-9]*\).*wp:\([0-9]*\).*state:\([A-Z_]*\).*/\1 \2 \3/p' |
		as_seen
}

kernel_image() {	# DEVICE
	dd if="$1" bs=1M count=32 iflag=direct 2>/dev/null | md5sum
}

our_image() {
	drive "$URL" get 3 /tmp/zones.img $((32 << 20)) &&
		md5sum </tmp/zones.img
}

# The same zones, as the kernel and as ours have them.
same_zones() {	# NAME
	[ -s /tmp/zones.ours ] && [ "$(wc -l </tmp/zones.ours)" = 8 ] &&
		cmp /tmp/zones.ours /tmp/zones.kernel
	ok $? "$1: states and write pointers of zones" ||
		cat /tmp/zones.ours /tmp/zones.kernel
	[ -n "$ours" ] && [ "$ours" = "$kernels" ]
	ok $? "$1: what is in them"
}

# Past the block layer, which would not know any more where its pointers are.
kernel_changes() {	# DEVICE
	dd if=/dev/urandom of=/tmp/piece bs=64k count=1 2>/dev/null
	nvme zns reset-zone "$1" -s 1024 &&
		nvme zns zone-append "$1" -s 1024 -z 65536 -d /tmp/piece &&
		nvme zns zone-append "$1" -s 1024 -z 65536 -d /tmp/piece &&
		nvme zns reset-zone "$1" -s 2048 &&
		nvme write "$1" -s 2048 -c 15 -z 65536 -d /tmp/piece &&
		nvme zns finish-zone "$1" -s 2048 &&
		nvme zns reset-zone "$1" -s 3072
}

zones() {
	local mode ours kernels dev

	for mode in append write; do
		check "zones, by $mode" leap-perf --zoned $mode --nsid 3 \
			--bs 4k-64k --queues 2 --depth 8 --range 32m \
			--count 700 --quiet "$URL"
	done
	ours=$(our_image)
	drive "$URL" zones 3 | as_seen >/tmp/zones.ours
	devices release "$D"
	wait_for 10 ns 3
	dev=/dev/$(ns 3)
	kernel_zones "$dev" >/tmp/zones.kernel
	kernels=$(kernel_image "$dev")
	grep -q CLOSED /tmp/zones.kernel
	ok $? "some zones are left half written"
	same_zones "ours seen by the kernel's driver"
	check "the kernel's driver changes zones" kernel_changes "$dev"
	kernel_zones "$dev" >/tmp/zones.kernel
	kernels=$(kernel_image "$dev")
	devices bind "$D" >/dev/null
	drive "$URL" zones 3 | as_seen >/tmp/zones.ours
	ours=$(our_image)
	same_zones "the kernel's seen by ours"
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

# Both on the same drive by turns, so that what else this machine does hits both.
bench() {
	local d round

	: >/tmp/bench
	for round in 1 2 3 4 5; do
		for d in 1 32; do
			eval "k$d=$(fio_iops $d)"
		done
		devices bind "$D" >/dev/null
		for d in 1 32; do
			eval "echo $d \$(our_iops $d) \$k$d" >>/tmp/bench
		done
		devices release "$D"
		wait_for 10 ns 2
	done
	for d in 1 32; do
		awk -v d=$d '$1 == d && $3 > 0 { print $2 / $3, $2, $3 }' \
			/tmp/bench | sort -n | awk -v d=$d '
			{ r[NR] = $1; o[NR] = $2; k[NR] = $3 }
			END {
				m = int((NR + 1) / 2)
				printf "bench: 4k randread QD %d: %.2f times " \
					"io_uring on the kernel driver (median of " \
					"%d runs by turns, %.2f to %.2f); ours %d, " \
					"it %d IOPS\n", d, r[m], NR, r[1], r[NR],
					o[m], k[m]
			}'
	done
	[ "$(wc -l </tmp/bench)" = 10 ]
	ok $? "measured"
}

by_kernel
if [ -n "$BENCH" ]; then
	bench
	exit 0
fi
in_use
bound
same_answers
data
disturbed
without_root
zones
handed_over
exit 0
