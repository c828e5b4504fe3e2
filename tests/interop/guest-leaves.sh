#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# shellcheck disable=SC1091
#
# In a guest: the leaves ng and nvme over a PCI drive. 62-leaves.sh starts it
# and counts its checks.

. /run/guest-lib.sh

D=$(basename "$(readlink -f /sys/class/nvme/nvme0/device)")
SOCK=/tmp/leaves.sock
URL=shm:$SOCK/$NQN
FIRST=65536		# of the window, in blocks of 512: the second half

by_nsid() {	# NSID: a block device of the kernel's own
	local b

	for b in /sys/block/nvme*n*; do
		case $b in */nvme*c*n*) continue ;; esac
		[ "$(cat "$b/nsid" 2>/dev/null)" = "$1" ] && basename "$b" &&
			return
	done
	return 1
}

# serve STACK1 STACK2: as namespaces 1 and 2
serve() {
	socp --listen shm:$SOCK --threads 2 --subsystem "$NQN" \
		--ns "nsid=1,stack=$1" --ns "nsid=2,stack=$2" \
		>/tmp/socp.out 2>&1 &
	SOCP=$!
	wait_for 20 test -S $SOCK || { cat /tmp/socp.out; return 1; }
}

stop() {
	kill $SOCP
	wait $SOCP
}

verify() {	# NAME ARGUMENTS...
	local name=$1

	shift
	check "$name" leap-perf --verify --quiet "$@" "$URL"
}

sum_before() {	# what lies in front of the window
	dd if="/dev/$(by_nsid 1)" bs=1M count=$((FIRST / 2048)) iflag=direct \
		2>/dev/null | md5sum
}

data() {	# LEAF
	check "$1: blocks of 512, every size, every alignment" \
		drive "$URL" shapes 1
	check "$1: blocks of 4096, every size, every alignment" \
		drive "$URL" shapes 2
	verify "$1: verified, 4 queues, blocks of 512" --bs 512-256k \
		--nsid 1 --queues 4 --count 600 --depth 32 --range 16m
	verify "$1: verified, 4 queues, blocks of 4096" --bs 4k-256k \
		--nsid 2 --queues 4 --count 600 --depth 32 --range 16m
}

dd if=/dev/urandom of=/tmp/image bs=1M count=8 2>/dev/null
check "the kernel has the drive" wait_for 10 by_nsid 2
dd if=/dev/urandom of="/dev/$(by_nsid 1)" bs=1M count=32 2>/dev/null
sync
before=$(sum_before)
one=ng$(by_nsid 1 | sed 's/^nvme//')
two=ng$(by_nsid 2 | sed 's/^nvme//')
check "it has nodes for pass-through" test -c "/dev/$one" -a -c "/dev/$two"

# ---- ng ----

/usr/bin/mke2fs -q -t ext4 -F "/dev/$(by_nsid 2)"
check "a file system is mounted" mount -t ext4 "/dev/$(by_nsid 2)" /mnt
timeout 60 socp --listen shm:$SOCK --subsystem "$NQN" \
	--ns "stack=ng:/dev/$two" >/tmp/busy.out 2>&1
[ $? = 1 ] && grep -q "mounted or otherwise in use" /tmp/busy.out
ok $? "ng: not one that is mounted" || cat /tmp/busy.out
umount /mnt

serve "ng:/dev/${one}[start=$FIRST]" "ng:/dev/$two"
ok $? "ng: served"
! mount -t ext4 "/dev/$(by_nsid 2)" /mnt 2>/dev/null
ok $? "ng: not mounted while it is served"
data ng
check "ng: written through it" drive "$URL" put 1 /tmp/image
check "ng: socp ends" stop
dd if="/dev/$(by_nsid 1)" bs=1M skip=$((FIRST / 2048)) count=8 iflag=direct \
	2>/dev/null | cmp - /tmp/image
ok $? "ng: and read by the kernel, where the window is"
[ "$(sum_before)" = "$before" ]
ok $? "ng: nothing outside of the window has changed"

# ---- nvme ----

check "the drive is taken from the kernel" leap-hostd devices bind "$D"
serve "nvme:${D}[nsid=1,start=$FIRST]" "null:1M"
ok $? "nvme: served"
check "nvme: reads what was written before" \
	drive "$URL" get 1 /tmp/back $((8 << 20))
cmp /tmp/back /tmp/image
ok $? "nvme: the same"
check "nvme: blocks of 512, every size, every alignment" drive "$URL" shapes 1
verify "nvme: verified, 4 queues" --bs 512-256k --nsid 1 --queues 4 \
	--count 600 --depth 32 --range 16m
check "nvme: socp ends" stop
check "the kernel has it again" leap-hostd devices release "$D"
wait_for 10 by_nsid 1
[ "$(sum_before)" = "$before" ]
ok $? "nvme: nothing outside of the window has changed"
